/* The devices as NVML tells them: see nvml.h. */
#include "daemon/nvml.h"

#include "core/clock.h"
#include "core/parse.h"
#include "core/uuid.h"
#include "cuda/models.h"
#include "cuda/nvml.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PCIE_TICKS 10u

/* Without these nothing can be told. */
#define NEEDED(X)                                                                                  \
    X(nvmlInit_v2)                                                                                 \
    X(nvmlShutdown)                                                                                \
    X(nvmlErrorString)                                                                             \
    X(nvmlDeviceGetCount_v2)                                                                       \
    X(nvmlDeviceGetHandleByIndex_v2)                                                               \
    X(nvmlDeviceGetUUID)

/* One of these may be missing or fail. */
#define WANTED(X)                                                                                  \
    X(nvmlDeviceGetName)                                                                           \
    X(nvmlDeviceGetPciInfo_v3)                                                                     \
    X(nvmlDeviceGetMinorNumber)                                                                    \
    X(nvmlDeviceGetMemoryInfo)                                                                     \
    X(nvmlDeviceGetNumGpuCores)                                                                    \
    X(nvmlDeviceGetMaxClockInfo)                                                                   \
    X(nvmlDeviceGetUtilizationRates)                                                               \
    X(nvmlDeviceGetTemperature)                                                                    \
    X(nvmlDeviceGetPowerUsage)                                                                     \
    X(nvmlDeviceGetClockInfo)                                                                      \
    X(nvmlDeviceGetPcieThroughput)                                                                 \
    X(nvmlDeviceGetComputeRunningProcesses_v3)                                                     \
    X(nvmlDeviceGetProcessUtilization)

#define MEMBER(symbol) __typeof__(&symbol) symbol;
struct functions {
    NEEDED(MEMBER) WANTED(MEMBER)
};
#undef MEMBER

struct entry {
    nvmlDevice_t handle;
    bool lost;
    unsigned long long utilisation_us; /* time of the newest sample of processes */
    struct divvy_node_device device;
};

struct divvy_nvml {
    struct functions nvml;
    bool simulated;
    bool begun;
    size_t count;
    struct entry entries[DIVVY_NODE_DEVICES];
};

double divvy_nvml_model_tflops(const char *model) {
    return divvy_cuda_model_tflops(model);
}

/* --- opening ------------------------------------------------------------------------------------------ */

static int functions_load(void *library, const char *file, struct functions *functions, struct divvy_error *error) {
#define LOAD(symbol)                                                                               \
    functions->symbol = (__typeof__(functions->symbol))dlsym(library, #symbol);
#define CHECK(symbol)                                                                              \
    if (!functions->symbol)                                                                        \
        return divvy_error_set(error, -EIO, "%s lacks " #symbol, file);
    NEEDED(LOAD)
    WANTED(LOAD)
    NEEDED(CHECK)
#undef LOAD
#undef CHECK
    return 0;
}

/* The simulated driver lies in a folder of this name wherever it is installed. */
static bool is_simulated(void *library) {
    struct link_map *map;
    const char *slash;

    if (dlinfo(library, RTLD_DI_LINKMAP, &map) < 0 || !map->l_name)
        return false;
    slash = strrchr(map->l_name, '/');
    return slash && slash - map->l_name >= 7 && strncmp(slash - 7, "/simgpu", 7) == 0;
}

static int begin(struct divvy_nvml *nvml, struct divvy_error *error) {
    nvmlReturn_t result = nvml->nvml.nvmlInit_v2();

    if (result == NVML_SUCCESS) {
        nvml->begun = true;
        return 0;
    }
    return divvy_error_set(error, result == NVML_ERROR_DRIVER_NOT_LOADED ? -ENODEV : -EIO, "NVML: %s",
                           nvml->nvml.nvmlErrorString(result));
}

static void end(struct divvy_nvml *nvml) {
    if (nvml->begun)
        (void)nvml->nvml.nvmlShutdown();
    nvml->begun = false;
}

int divvy_nvml_open(const char *file, struct divvy_nvml **ret_nvml, struct divvy_error *error) {
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    struct divvy_nvml *nvml;
    int status;

    if (!library) {
        const char *reason = dlerror();

        return divvy_error_set(error, strstr(reason, "No such file") ? -ENOENT : -EIO, "%s", reason);
    }
    nvml = calloc(1, sizeof *nvml);
    if (!nvml)
        return divvy_error_set_errno(error, -ENOMEM, "cannot read devices");
    nvml->simulated = is_simulated(library);
    status = functions_load(library, file, &nvml->nvml, error);
    if (status == 0)
        status = divvy_nvml_discover(nvml, true, error);
    if (status < 0) {
        divvy_nvml_close(nvml);
        return status;
    }
    *ret_nvml = nvml;
    return 0;
}

void divvy_nvml_close(struct divvy_nvml *nvml) {
    if (!nvml)
        return;
    end(nvml);
    free(nvml);
}

bool divvy_nvml_is_simulated(const struct divvy_nvml *nvml) {
    return nvml->simulated;
}

/* --- discovery ---------------------------------------------------------------------------------------- */

/* Which node of memory the device is near, as sysfs says; -1 where it does not. */
static int32_t numa_read(const nvmlPciInfo_t *pci) {
    char path[96], text[16] = "";
    int32_t node = -1;
    FILE *file;

    (void)snprintf(path, sizeof path, "/sys/bus/pci/devices/%04x:%02x:%02x.0/numa_node", pci->domain & 0xffff,
                   pci->bus & 0xff, pci->device & 0xff);
    file = fopen(path, "re");
    if (!file)
        return -1;
    if (fgets(text, sizeof text, file) && text[0] != '-')
        node = (int32_t)strtol(text, NULL, 10);
    (void)fclose(file);
    return node;
}

static void values_clear(struct divvy_node_device *device) {
    device->utilisation_permille = device->memory_used_bytes = DIVVY_NODE_UNKNOWN;
    device->temperature_c = device->power_mw = DIVVY_NODE_UNKNOWN;
    device->clock_sm_mhz = device->clock_memory_mhz = DIVVY_NODE_UNKNOWN;
    device->clock_graphics_mhz = device->clock_video_mhz = DIVVY_NODE_UNKNOWN;
    device->pcie_rx_kb = device->pcie_tx_kb = DIVVY_NODE_UNKNOWN;
}

/* Calls one that may be missing. */
#define ASK(nvml, symbol, ...)                                                                     \
    ((nvml)->nvml.symbol ? (nvml)->nvml.symbol(__VA_ARGS__) : NVML_ERROR_FUNCTION_NOT_FOUND)

static double tflops_find(struct divvy_nvml *nvml, nvmlDevice_t handle, const char *model) {
    double known = divvy_nvml_model_tflops(model);
    unsigned int cores, mhz;

    if (known > 0)
        return known;
    /* A multiply-add a core and clock: the single-precision figure of every model. */
    if (ASK(nvml, nvmlDeviceGetNumGpuCores, handle, &cores) == NVML_SUCCESS &&
        ASK(nvml, nvmlDeviceGetMaxClockInfo, handle, NVML_CLOCK_SM, &mhz) == NVML_SUCCESS)
        return 2e-6 * cores * mhz;
    return 0;
}

/* False: what NVML has at this index cannot be named, and is left out. */
static bool entry_read(struct divvy_nvml *nvml, unsigned int index, struct entry *ret_entry) {
    struct entry entry = {.device = {.index = index, .minor = -1, .numa_node = -1, .vendor = "NVIDIA", .healthy = true}};
    struct divvy_node_device *device = &entry.device;
    char uuid_text[96] = "";
    divvy_core_uuid_t uuid;
    unsigned int cores, minor;
    nvmlPciInfo_t pci = {0};
    nvmlMemory_t memory = {0};

    if (nvml->nvml.nvmlDeviceGetHandleByIndex_v2(index, &entry.handle) != NVML_SUCCESS ||
        nvml->nvml.nvmlDeviceGetUUID(entry.handle, uuid_text, sizeof uuid_text) != NVML_SUCCESS ||
        divvy_core_uuid_parse(uuid_text, strnlen(uuid_text, sizeof uuid_text), &uuid, NULL) < 0)
        return false;
    memcpy(device->uuid, uuid.bytes, sizeof device->uuid);
    divvy_core_uuid_format(&uuid, device->uuid_text);
    if (ASK(nvml, nvmlDeviceGetName, entry.handle, device->model, sizeof device->model) != NVML_SUCCESS)
        (void)snprintf(device->model, sizeof device->model, "unknown");
    device->model[sizeof device->model - 1] = '\0';
    if (ASK(nvml, nvmlDeviceGetPciInfo_v3, entry.handle, &pci) == NVML_SUCCESS) {
        (void)snprintf(device->pci_bus_id, sizeof device->pci_bus_id, "%.31s", pci.busId);
        if (!nvml->simulated)
            device->numa_node = numa_read(&pci);
    }
    if (ASK(nvml, nvmlDeviceGetMinorNumber, entry.handle, &minor) == NVML_SUCCESS && minor <= INT32_MAX)
        device->minor = (int32_t)minor;
    if (ASK(nvml, nvmlDeviceGetMemoryInfo, entry.handle, &memory) == NVML_SUCCESS)
        device->memory_bytes = memory.total;
    if (ASK(nvml, nvmlDeviceGetNumGpuCores, entry.handle, &cores) == NVML_SUCCESS)
        device->cores = cores;
    device->max_tflops = tflops_find(nvml, entry.handle, device->model);
    device->simulated = nvml->simulated;
    values_clear(device);
    *ret_entry = entry;
    return true;
}

/* Devices that were there and are not any more stay in the list as lost: somebody may have tenants on them. */
static void lost_keep(struct divvy_nvml *nvml, const struct entry *old, size_t old_count) {
    for (size_t i = 0; i < old_count; i++) {
        bool found = false;

        for (size_t k = 0; k < nvml->count && !found; k++)
            found = memcmp(nvml->entries[k].device.uuid, old[i].device.uuid, sizeof old[i].device.uuid) == 0;
        if (found || nvml->count == DIVVY_NODE_DEVICES)
            continue;
        nvml->entries[nvml->count] = old[i];
        nvml->entries[nvml->count++].lost = true;
    }
}

int divvy_nvml_discover(struct divvy_nvml *nvml, bool again, struct divvy_error *error) {
    struct entry old[DIVVY_NODE_DEVICES];
    size_t old_count = nvml->count, found;
    unsigned int count = 0;
    nvmlReturn_t result;
    int status = 0;

    memcpy(old, nvml->entries, sizeof old);
    if (again)
        end(nvml);
    if (!nvml->begun)
        status = begin(nvml, error);
    if (status == 0) {
        result = nvml->nvml.nvmlDeviceGetCount_v2(&count);
        if (result != NVML_SUCCESS)
            status = divvy_error_set(error, -EIO, "NVML: %s", nvml->nvml.nvmlErrorString(result));
    }
    nvml->count = 0;
    for (unsigned int i = 0; status == 0 && i < count && nvml->count < DIVVY_NODE_DEVICES; i++)
        if (entry_read(nvml, i, &nvml->entries[nvml->count]))
            nvml->count++;
    found = nvml->count;
    lost_keep(nvml, old, old_count);
    if (status < 0)
        return status;
    if (found == 0)
        return divvy_error_set(error, -ENODEV, "NVML works and shows no device");
    return (int)found;
}

/* --- samples -------------------------------------------------------------------------------------------- */

/* The value, or unknown; *lost is set where the driver says that the device is gone. */
static int64_t value_of(nvmlReturn_t result, int64_t value, bool *lost) {
    if (result == NVML_ERROR_GPU_IS_LOST || result == NVML_ERROR_UNINITIALIZED ||
        result == NVML_ERROR_DRIVER_NOT_LOADED || result == NVML_ERROR_RESET_REQUIRED)
        *lost = true;
    return result == NVML_SUCCESS ? value : DIVVY_NODE_UNKNOWN;
}

static int64_t clock_read(struct divvy_nvml *nvml, nvmlDevice_t handle, nvmlClockType_t type, bool *lost) {
    unsigned int mhz = 0;
    nvmlReturn_t result = ASK(nvml, nvmlDeviceGetClockInfo, handle, type, &mhz);

    return value_of(result, mhz, lost);
}

static int64_t pcie_read(struct divvy_nvml *nvml, nvmlDevice_t handle, nvmlPcieUtilCounter_t counter, bool *lost) {
    unsigned int kb = 0;
    nvmlReturn_t result = ASK(nvml, nvmlDeviceGetPcieThroughput, handle, counter, &kb);

    return value_of(result, kb, lost);
}

static void entry_sample(struct divvy_nvml *nvml, struct entry *entry, bool with_pcie) {
    struct divvy_node_device *device = &entry->device;
    nvmlUtilization_t utilisation = {0};
    nvmlMemory_t memory = {0};
    unsigned int degrees = 0, milliwatts = 0;
    bool lost = false;
    nvmlReturn_t result;

    result = ASK(nvml, nvmlDeviceGetMemoryInfo, entry->handle, &memory);
    device->memory_used_bytes = value_of(result, (int64_t)memory.used, &lost);
    if (result == NVML_SUCCESS && memory.total)
        device->memory_bytes = memory.total;
    if (!lost) {
        result = ASK(nvml, nvmlDeviceGetUtilizationRates, entry->handle, &utilisation);
        device->utilisation_permille = value_of(result, (int64_t)utilisation.gpu * 10, &lost);
        result = ASK(nvml, nvmlDeviceGetTemperature, entry->handle, NVML_TEMPERATURE_GPU, &degrees);
        device->temperature_c = value_of(result, degrees, &lost);
        result = ASK(nvml, nvmlDeviceGetPowerUsage, entry->handle, &milliwatts);
        device->power_mw = value_of(result, milliwatts, &lost);
        device->clock_sm_mhz = clock_read(nvml, entry->handle, NVML_CLOCK_SM, &lost);
        device->clock_memory_mhz = clock_read(nvml, entry->handle, NVML_CLOCK_MEM, &lost);
        device->clock_graphics_mhz = clock_read(nvml, entry->handle, NVML_CLOCK_GRAPHICS, &lost);
        device->clock_video_mhz = clock_read(nvml, entry->handle, NVML_CLOCK_VIDEO, &lost);
    }
    if (!lost && with_pcie) {
        device->pcie_rx_kb = pcie_read(nvml, entry->handle, NVML_PCIE_UTIL_RX_BYTES, &lost);
        device->pcie_tx_kb = pcie_read(nvml, entry->handle, NVML_PCIE_UTIL_TX_BYTES, &lost);
    }
    entry->lost = lost;
}

size_t divvy_nvml_sample(struct divvy_nvml *nvml, uint64_t tick, struct divvy_node_device *ret_devices, size_t *ret_lost) {
    *ret_lost = 0;
    for (size_t i = 0; i < nvml->count; i++) {
        struct entry *entry = &nvml->entries[i];

        if (!entry->lost) /* a lost one comes back by discovery only: its handle is worth nothing */
            entry_sample(nvml, entry, tick % PCIE_TICKS == i % PCIE_TICKS);
        entry->device.healthy = !entry->lost;
        if (entry->lost) {
            values_clear(&entry->device);
            (*ret_lost)++;
        }
        entry->device.sampled_ns = (int64_t)divvy_core_clock_ns();
        ret_devices[i] = entry->device;
    }
    return nvml->count;
}

/* --- processes ------------------------------------------------------------------------------------------ */

#define PROCESSES_MAX 1024u

/* Samples of the time since the call before; how many. False: the driver does not tell. */
static bool utilisation_read(struct divvy_nvml *nvml, struct entry *entry, nvmlProcessUtilizationSample_t *samples,
                             unsigned int *ret_count) {
    unsigned int count = PROCESSES_MAX;
    nvmlReturn_t result =
        ASK(nvml, nvmlDeviceGetProcessUtilization, entry->handle, samples, &count, entry->utilisation_us);

    if (result == NVML_ERROR_NOT_FOUND) /* nothing ran */
        count = 0;
    else if (result != NVML_SUCCESS)
        return false;
    for (unsigned int i = 0; i < count; i++)
        if (samples[i].timeStamp > entry->utilisation_us)
            entry->utilisation_us = samples[i].timeStamp;
    *ret_count = count;
    return true;
}

static int64_t busy_of(const nvmlProcessUtilizationSample_t *samples, unsigned int count, unsigned int pid) {
    int64_t sum = 0, found = 0;

    for (unsigned int i = 0; i < count; i++) {
        if (samples[i].pid != pid)
            continue;
        sum += (int64_t)samples[i].smUtil * 10;
        found++;
    }
    return found ? sum / found : 0;
}

static size_t entry_processes(struct divvy_nvml *nvml, struct entry *entry, struct divvy_node_sighting *ret_sightings,
                              size_t room) {
    static nvmlProcessInfo_t processes[PROCESSES_MAX]; /* of the one thread that calls */
    static nvmlProcessUtilizationSample_t samples[PROCESSES_MAX];
    unsigned int count = PROCESSES_MAX, sampled = 0;
    bool told;

    if (ASK(nvml, nvmlDeviceGetComputeRunningProcesses_v3, entry->handle, &count, processes) != NVML_SUCCESS)
        return 0;
    told = utilisation_read(nvml, entry, samples, &sampled);
    if (count > room)
        count = (unsigned int)room;
    for (unsigned int i = 0; i < count; i++) {
        uint64_t used = processes[i].usedGpuMemory;

        ret_sightings[i] = (struct divvy_node_sighting){
            .host_pid = (int32_t)processes[i].pid,
            .used_bytes = used == UINT64_MAX ? 0 : used, /* "not available" */
            .busy_permille = told ? busy_of(samples, sampled, processes[i].pid) : DIVVY_NODE_UNKNOWN,
        };
        memcpy(ret_sightings[i].uuid, entry->device.uuid, sizeof ret_sightings[i].uuid);
    }
    return count;
}

size_t divvy_nvml_processes(struct divvy_nvml *nvml, struct divvy_node_sighting *ret_sightings, size_t room) {
    size_t count = 0;

    for (size_t i = 0; i < nvml->count; i++)
        if (!nvml->entries[i].lost)
            count += entry_processes(nvml, &nvml->entries[i], ret_sightings + count, room - count);
    return count;
}
