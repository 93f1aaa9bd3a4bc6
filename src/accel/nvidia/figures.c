/* What a device does right now, and who uses it: see nvidia.h. */
#include "accel/nvidia/nvidia.h"
#include "core/checked.h"
#include "core/clock.h"
#include "core/text.h"

#include <stdlib.h>
#include <string.h>

#define DEVICES         64u
#define PROCESSES       1024u
#define SAMPLES         4096u
#define LINK_LEAST_NS   (100 * DIVVY_NS_PER_MS) /* rates of less say little */
#define WINDOW_US       UINT64_C(1000000)               /* of utilisation */
#define SAME_PERIOD_US  UINT64_C(20000)                 /* samples of one look of the driver's */
#define STALE_NS        (3 * DIVVY_NS_PER_SECOND)       /* without a new sample nothing runs */

/* --- metrics ------------------------------------------------------------------------------------------------------- */

static void rate_extra(DeviceMetrics *metrics, const char *key, nvmlDevice_t handle,
                       nvmlReturn_t (*read)(nvmlDevice_t, unsigned int *, unsigned int *)) {
    unsigned int percent, period;

    if (read && read(handle, &percent, &period) == NVML_SUCCESS)
        divvy_provider_extra(metrics, key, percent);
}

static void clock_extra(DeviceMetrics *metrics, const char *key, nvmlDevice_t handle, nvmlClockType_t type) {
    unsigned int mhz;

    if (NVIDIA_ASK(nvmlDeviceGetClockInfo, handle, type, &mhz) == NVML_SUCCESS)
        divvy_provider_extra(metrics, key, mhz);
}

/* --- the link to the host -------------------------------------------------------------------------------------------- */

/* Bytes a second, and what they are computed from. The first figure is of the 20 ms that NVML measures; later ones of all the time between. */
static struct {
    bool known;
    uint64_t at_ns, rx_bytes, tx_bytes; /* counters */
    uint64_t rx_rate, tx_rate;
} links[DEVICES];

static bool counter_read(const nvmlFieldValue_t *field, uint64_t *ret_bytes) {
    if (field->nvmlReturn != NVML_SUCCESS)
        return false;
    switch (field->valueType) {
    case NVML_VALUE_TYPE_UNSIGNED_INT:
        *ret_bytes = field->value.uiVal;
        return true;
    case NVML_VALUE_TYPE_UNSIGNED_LONG:
        *ret_bytes = field->value.ulVal;
        return true;
    case NVML_VALUE_TYPE_UNSIGNED_LONG_LONG:
        *ret_bytes = field->value.ullVal;
        return true;
    default:
        return false;
    }
}

/* NVML counts in thousands of bytes a second. */
static uint64_t rate_measure(nvmlDevice_t handle, nvmlPcieUtilCounter_t counter) {
    unsigned int kilobytes = 0;

    return NVIDIA_ASK(nvmlDeviceGetPcieThroughput, handle, counter, &kilobytes) == NVML_SUCCESS ? kilobytes * UINT64_C(1000) : 0;
}

static void link_read(const struct nvidia_device *gpu, uint64_t *ret_rx_rate, uint64_t *ret_tx_rate) {
    nvmlFieldValue_t fields[2] = {{.fieldId = NVML_FI_DEV_PCIE_COUNT_RX_BYTES}, {.fieldId = NVML_FI_DEV_PCIE_COUNT_TX_BYTES}};
    uint64_t rx = 0, tx = 0, now_ns, elapsed_ns;
    bool counted = gpu->index < DEVICES && NVIDIA_ASK(nvmlDeviceGetFieldValues, gpu->handle, 2, fields) == NVML_SUCCESS &&
                   counter_read(&fields[0], &rx) && counter_read(&fields[1], &tx);
    size_t index = counted ? gpu->index : 0;

    now_ns = divvy_core_clock_ns();
    elapsed_ns = now_ns - links[index].at_ns;
    if (counted && links[index].known && elapsed_ns < LINK_LEAST_NS) {
        *ret_rx_rate = links[index].rx_rate;
        *ret_tx_rate = links[index].tx_rate;
        return;
    }
    if (counted && links[index].known && rx >= links[index].rx_bytes && tx >= links[index].tx_bytes) {
        *ret_rx_rate = divvy_core_u64_scale(rx - links[index].rx_bytes, DIVVY_NS_PER_SECOND, elapsed_ns);
        *ret_tx_rate = divvy_core_u64_scale(tx - links[index].tx_bytes, DIVVY_NS_PER_SECOND, elapsed_ns);
    } else { /* the first time, after a counter began anew, or where there is none */
        *ret_rx_rate = rate_measure(gpu->handle, NVML_PCIE_UTIL_RX_BYTES);
        *ret_tx_rate = rate_measure(gpu->handle, NVML_PCIE_UTIL_TX_BYTES);
    }
    if (!counted)
        return;
    links[index].known = true;
    links[index].at_ns = now_ns;
    links[index].rx_bytes = rx;
    links[index].tx_bytes = tx;
    links[index].rx_rate = *ret_rx_rate;
    links[index].tx_rate = *ret_tx_rate;
}

static void extras_read(nvmlDevice_t handle, DeviceMetrics *metrics) {
    unsigned int value;
    unsigned long long wide;
    nvmlPstates_t state;

    rate_extra(metrics, "encoderUtilization", handle, divvy_nvidia_nvml.nvmlDeviceGetEncoderUtilization);
    rate_extra(metrics, "decoderUtilization", handle, divvy_nvidia_nvml.nvmlDeviceGetDecoderUtilization);
    clock_extra(metrics, "clockGraphicsMHz", handle, NVML_CLOCK_GRAPHICS);
    clock_extra(metrics, "clockSMMHz", handle, NVML_CLOCK_SM);
    clock_extra(metrics, "clockMemMHz", handle, NVML_CLOCK_MEM);
    clock_extra(metrics, "clockVideoMHz", handle, NVML_CLOCK_VIDEO);
    if (NVIDIA_ASK(nvmlDeviceGetEnforcedPowerLimit, handle, &value) == NVML_SUCCESS)
        divvy_provider_extra(metrics, "powerLimitWatts", value / 1000.0);
    if (NVIDIA_ASK(nvmlDeviceGetTotalEnergyConsumption, handle, &wide) == NVML_SUCCESS)
        divvy_provider_extra(metrics, "energyJoules", (double)wide / 1000.0);
    if (NVIDIA_ASK(nvmlDeviceGetFanSpeed, handle, &value) == NVML_SUCCESS)
        divvy_provider_extra(metrics, "fanSpeedPercent", value);
    if (NVIDIA_ASK(nvmlDeviceGetPerformanceState, handle, &state) == NVML_SUCCESS && state != NVML_PSTATE_UNKNOWN)
        divvy_provider_extra(metrics, "performanceState", state);
    if (NVIDIA_ASK(nvmlDeviceGetPcieReplayCounter, handle, &value) == NVML_SUCCESS)
        divvy_provider_extra(metrics, "pcieReplays", value);
    if (NVIDIA_ASK(nvmlDeviceGetTotalEccErrors, handle, NVML_MEMORY_ERROR_TYPE_UNCORRECTED, NVML_VOLATILE_ECC, &wide) ==
        NVML_SUCCESS)
        divvy_provider_extra(metrics, "eccUncorrectedErrors", (double)wide);
    if (NVIDIA_ASK(nvmlDeviceGetCurrentClocksThrottleReasons, handle, &wide) == NVML_SUCCESS)
        divvy_provider_extra(metrics, "throttleReasons", (double)wide);
}

/* Without what the driver keeps for itself, as nvidia-smi has it; drivers before 510 count that as used. */
static uint64_t memory_used(nvmlDevice_t handle, uint64_t used_bytes) {
    nvmlMemory_v2_t memory = {.version = (unsigned int)(sizeof memory | 2u << 24)};

    return NVIDIA_ASK(nvmlDeviceGetMemoryInfo_v2, handle, &memory) == NVML_SUCCESS ? memory.used : used_bytes;
}

AccelResult divvy_nvidia_metrics(const char *uuid, DeviceMetrics *ret_metrics) {
    nvmlUtilization_t utilisation = {0};
    struct nvidia_device device;
    nvmlMemory_t memory = {0};
    unsigned int value;
    AccelResult result = divvy_nvidia_find(uuid, &device);

    if (result != ACCEL_SUCCESS)
        return result;
    if (NVIDIA_ASK(nvmlDeviceGetMemoryInfo, device.handle, &memory) == NVML_SUCCESS) {
        ret_metrics->memoryUsedBytes = memory_used(device.handle, memory.used);
        divvy_provider_extra(ret_metrics, "memoryTotalBytes", (double)memory.total);
        divvy_provider_extra(ret_metrics, "memoryFreeBytes", (double)memory.free);
    }
    if (NVIDIA_ASK(nvmlDeviceGetUtilizationRates, device.handle, &utilisation) == NVML_SUCCESS) {
        ret_metrics->utilizationPercent = utilisation.gpu;
        divvy_provider_extra(ret_metrics, "memoryBandwidthUtilization", utilisation.memory);
    }
    if (NVIDIA_ASK(nvmlDeviceGetPowerUsage, device.handle, &value) == NVML_SUCCESS)
        ret_metrics->powerUsageWatts = value / 1000.0;
    if (NVIDIA_ASK(nvmlDeviceGetTemperature, device.handle, NVML_TEMPERATURE_GPU, &value) == NVML_SUCCESS)
        ret_metrics->temperatureCelsius = value;
    if (device.handle == device.gpu) /* an instance has no link of its own */
        link_read(&device, &ret_metrics->pcieRxBytes, &ret_metrics->pcieTxBytes);
    extras_read(device.handle, ret_metrics);
    return ACCEL_SUCCESS;
}

/* --- utilisation of processes ---------------------------------------------------------------------------------------- */

/* What is remembered of each GPU between calls. */
static struct {
    unsigned long long newest_us; /* the driver's clock, whatever it counts from */
    uint64_t changed_ns;          /* ours, when that moved */
} seen[DEVICES];

/* Samples of the last second; how many. */
static size_t samples_read(const struct nvidia_device *gpu, nvmlProcessUtilizationSample_t *room) {
    unsigned int count = SAMPLES;
    unsigned long long newest, since;
    size_t kept = 0;

    if (gpu->index >= DEVICES)
        return 0;
    newest = seen[gpu->index].newest_us;
    since = newest > WINDOW_US ? newest - WINDOW_US : 0;
    if (NVIDIA_ASK(nvmlDeviceGetProcessUtilization, gpu->handle, room, &count, since) != NVML_SUCCESS)
        return 0;
    for (unsigned int i = 0; i < count && i < SAMPLES; i++)
        if (room[i].timeStamp > newest)
            newest = room[i].timeStamp;
    if (newest != seen[gpu->index].newest_us)
        seen[gpu->index].changed_ns = divvy_core_clock_ns();
    else if (divvy_core_clock_ns() - seen[gpu->index].changed_ns > STALE_NS)
        return 0;
    seen[gpu->index].newest_us = newest;
    for (unsigned int i = 0; i < count && i < SAMPLES; i++)
        if (room[i].timeStamp + WINDOW_US > newest)
            room[kept++] = room[i];
    return kept;
}

/* How often the driver looked: a process that did nothing in between has no sample there. */
static size_t periods_count(const nvmlProcessUtilizationSample_t *samples, size_t count) {
    size_t periods = 0;

    for (size_t i = 0; i < count; i++) {
        bool first = true;

        for (size_t k = 0; k < i && first; k++)
            first = samples[k].timeStamp > samples[i].timeStamp + SAME_PERIOD_US ||
                    samples[i].timeStamp > samples[k].timeStamp + SAME_PERIOD_US;
        periods += first;
    }
    return periods;
}

static double busy_percent(const nvmlProcessUtilizationSample_t *samples, size_t count, size_t periods, unsigned int pid) {
    double sum = 0;

    for (size_t i = 0; i < count; i++)
        if (samples[i].pid == pid && samples[i].smUtil <= 100)
            sum += samples[i].smUtil;
    return periods && sum > 0 ? (sum / (double)periods < 100 ? sum / (double)periods : 100) : 0;
}

/* --- processes --------------------------------------------------------------------------------------------------------- */

typedef nvmlReturn_t process_lister(nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_t *infos);

/* How many were written to room for PROCESSES. */
static size_t list_read(nvmlDevice_t gpu, process_lister *list, nvmlProcessInfo_t *room) {
    unsigned int count = PROCESSES;

    if (!list || list(gpu, &count, room) != NVML_SUCCESS)
        return 0;
    return count < PROCESSES ? count : PROCESSES;
}

struct instance_search {
    unsigned int gpu_instance, compute_instance;
    char *uuid;
    size_t uuid_bytes;
};

static bool is_instance(const struct nvidia_device *instance, void *data) {
    struct instance_search *search = data;
    unsigned int gpu = 0, compute = 0;

    if (NVIDIA_ASK(nvmlDeviceGetGpuInstanceId, instance->handle, &gpu) != NVML_SUCCESS || gpu != search->gpu_instance ||
        NVIDIA_ASK(nvmlDeviceGetComputeInstanceId, instance->handle, &compute) != NVML_SUCCESS ||
        compute != search->compute_instance)
        return false;
    divvy_provider_text(search->uuid, search->uuid_bytes, instance->uuid);
    return true;
}

/* An entry of this process and device, or NULL when there is none. */
static ProcessInformation *entry_find(ProcessInformation *infos, size_t count, const char *pid, const char *uuid) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(infos[i].processId, pid) == 0 && strcmp(infos[i].deviceUUID, uuid) == 0)
            return &infos[i];
    return NULL;
}

/* One GPU's, behind those that are there already. */
static size_t gpu_processes(const struct nvidia_device *gpu, nvmlProcessInfo_t *room, nvmlProcessUtilizationSample_t *samples,
                            ProcessInformation *infos, size_t max) {
    process_lister *const lists[] = {divvy_nvidia_nvml.nvmlDeviceGetComputeRunningProcesses_v3,
                                     divvy_nvidia_nvml.nvmlDeviceGetGraphicsRunningProcesses_v3};
    uint64_t units = divvy_nvidia_units(gpu->handle);
    size_t sampled = samples_read(gpu, samples), periods = periods_count(samples, sampled), count = 0;
    nvmlMemory_t memory = {0};

    if (NVIDIA_ASK(nvmlDeviceGetMemoryInfo, gpu->handle, &memory) != NVML_SUCCESS)
        memory.total = 0;
    for (size_t l = 0; l < sizeof lists / sizeof lists[0]; l++) {
        size_t listed = list_read(gpu->handle, lists[l], room);

        for (size_t i = 0; i < listed && count < max; i++) {
            ProcessInformation entry = {.totalSMs = units};
            struct instance_search search = {room[i].gpuInstanceId, room[i].computeInstanceId, entry.deviceUUID,
                                             sizeof entry.deviceUUID};
            divvy_core_text_t pid;

            divvy_core_text_init(&pid, entry.processId, sizeof entry.processId);
            divvy_core_text_add_u64(&pid, room[i].pid);
            if (room[i].gpuInstanceId == UINT32_MAX || !divvy_nvidia_instances(gpu, is_instance, &search))
                divvy_provider_text(entry.deviceUUID, sizeof entry.deviceUUID, gpu->uuid);
            if (entry_find(infos, count, entry.processId, entry.deviceUUID))
                continue; /* draws and computes */
            if (room[i].usedGpuMemory != (unsigned long long)NVML_VALUE_NOT_AVAILABLE)
                entry.memoryUsedBytes = entry.memoryReservedBytes = room[i].usedGpuMemory;
            entry.computeUtilizationPercent = busy_percent(samples, sampled, periods, room[i].pid);
            entry.activeSMs = (uint64_t)((double)units * entry.computeUtilizationPercent / 100.0 + 0.5);
            if (memory.total)
                entry.memoryUtilizationPercent = 100.0 * (double)entry.memoryUsedBytes / (double)memory.total;
            infos[count++] = entry;
        }
    }
    return count;
}

struct room {
    nvmlProcessInfo_t processes[PROCESSES];
    nvmlProcessUtilizationSample_t samples[SAMPLES];
};

AccelResult divvy_nvidia_processes(ProcessInformation *ret_infos, size_t max, size_t *ret_count) {
    struct nvidia_device gpu;
    size_t devices = 0, count = 0;
    AccelResult result = divvy_nvidia_count(&devices);
    struct room *room;

    if (result != ACCEL_SUCCESS)
        return result;
    room = malloc(sizeof *room);
    if (!room)
        return ACCEL_ERROR_INTERNAL;
    for (size_t i = 0; i < devices && count < max; i++)
        if (divvy_nvidia_gpu(i, &gpu) == ACCEL_SUCCESS)
            count += gpu_processes(&gpu, room->processes, room->samples, ret_infos + count, max - count);
    free(room);
    *ret_count = count;
    return ACCEL_SUCCESS;
}

AccelResult divvy_nvidia_device_pids(const char *device_uuid, pid_t *ret_pids, size_t max, size_t *ret_count) {
    struct nvidia_device device;
    unsigned int instance = UINT32_MAX;
    nvmlProcessInfo_t *room;
    size_t listed;
    AccelResult result = divvy_nvidia_find(device_uuid, &device);

    if (result != ACCEL_SUCCESS)
        return result;
    room = malloc(PROCESSES * sizeof *room);
    if (!room)
        return ACCEL_ERROR_INTERNAL;
    if (device.handle != device.gpu)
        (void)NVIDIA_ASK(nvmlDeviceGetGpuInstanceId, device.handle, &instance);
    listed = list_read(device.gpu, divvy_nvidia_nvml.nvmlDeviceGetComputeRunningProcesses_v3, room);
    *ret_count = 0;
    for (size_t i = 0; i < listed && *ret_count < max; i++)
        if (device.handle == device.gpu || room[i].gpuInstanceId == instance)
            ret_pids[(*ret_count)++] = (pid_t)room[i].pid;
    free(room);
    return ACCEL_SUCCESS;
}
