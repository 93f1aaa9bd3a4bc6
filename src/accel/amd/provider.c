/*
 * libaccelerator_amd.so: devices as ROCm SMI knows them. It has no limits for processes, partitions are whole modes of a device and
 * are left to its operator, and snapshots are CRIU's: these are not supported. Its PCIe figures take a second each, and are left
 * out.
 */
#include "accel/amd/kfd.h"
#include "accel/amd/rsmi.h"
#include "accel/provider/provider.h"
#include "core/text.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#define WORKERS_PER_DEVICE  64u
#define PROCESSES           1024u
#define DEVICES_OF_PROCESS  64u
#define MICROWATTS          1000000u
#define UNKNOWN_NODE        UINT32_MAX

/* --- the library -------------------------------------------------------------------------------------------------- */

#define MEMBER(symbol, parameters) rsmi_status_t (*symbol) parameters;
static struct {
    RSMI_NEEDED(MEMBER)
    RSMI_WANTED(MEMBER)
} rsmi;
#undef MEMBER

static void *library; /* stays loaded */

/* Calls one that may be missing. */
#define ASK(symbol, ...) (rsmi.symbol ? rsmi.symbol(__VA_ARGS__) : RSMI_STATUS_NOT_SUPPORTED)

static AccelResult library_load(void) {
    /* Debian's, then those of AMD's own packages. */
    static const char *const files[] = {
        "librocm_smi64.so.1", "librocm_smi64.so.7", "librocm_smi64.so.6",
        "librocm_smi64.so.5", "librocm_smi64.so",   "/opt/rocm/lib/librocm_smi64.so",
    };
    const char *missing = NULL;

    for (size_t i = 0; !library && i < sizeof files / sizeof files[0]; i++) {
        library = dlopen(files[i], RTLD_NOW | RTLD_LOCAL);
        if (!library)
            divvy_provider_log(i == 0 ? "WARN" : "DEBUG", "%s", dlerror());
    }
    if (!library)
        return ACCEL_ERROR_NOT_FOUND;
#define LOAD(symbol, parameters) rsmi.symbol = (__typeof__(rsmi.symbol))dlsym(library, #symbol);
#define CHECK(symbol, parameters)                                                                  \
    if (!rsmi.symbol)                                                                              \
        missing = #symbol;
    RSMI_NEEDED(LOAD)
    RSMI_WANTED(LOAD)
    RSMI_NEEDED(CHECK)
#undef LOAD
#undef CHECK
    if (!missing)
        return ACCEL_SUCCESS;
    divvy_provider_log("ERROR", "librocm_smi64 lacks %s", missing);
    (void)dlclose(library);
    library = NULL;
    return ACCEL_ERROR_OPERATION_FAILED;
}

static AccelResult failed(const char *call, rsmi_status_t status) {
    const char *words = NULL;

    if (ASK(rsmi_status_string, status, &words) != RSMI_STATUS_SUCCESS || !words)
        words = "unknown";
    divvy_provider_log("ERROR", "%s: %s (%u)", call, words, status);
    return ACCEL_ERROR_OPERATION_FAILED;
}

static AccelResult start(void) {
    AccelResult result = library ? ACCEL_SUCCESS : library_load();
    rsmi_status_t status;

    if (result != ACCEL_SUCCESS)
        return result;
    status = rsmi.rsmi_init(0);
    if (status == RSMI_STATUS_SUCCESS)
        return ACCEL_SUCCESS;
    (void)failed("rsmi_init", status);
    return status == RSMI_STATUS_INIT_ERROR || status == RSMI_STATUS_NOT_FOUND || status == RSMI_STATUS_FILE_ERROR
               ? ACCEL_ERROR_NOT_FOUND
               : ACCEL_ERROR_OPERATION_FAILED;
}

static void stop(void) {
    (void)rsmi.rsmi_shut_down();
}

static AccelResult count(size_t *ret_count) {
    uint32_t devices = 0;
    rsmi_status_t status = rsmi.rsmi_num_monitor_devices(&devices);

    if (status != RSMI_STATUS_SUCCESS)
        return failed("rsmi_num_monitor_devices", status);
    *ret_count = devices;
    return ACCEL_SUCCESS;
}

/* --- devices --------------------------------------------------------------------------------------------------------- */

/* "0000:c1:00.0" of ROCm SMI's number. */
static void address_write(uint64_t bdfid, char *field, size_t size_bytes) {
    divvy_core_text_t text;

    divvy_core_text_init(&text, field, size_bytes);
    divvy_core_text_format(&text, "%04x:%02x:%02x.%x", (unsigned int)(bdfid >> 32), (unsigned int)(bdfid >> 8 & 0xff),
                           (unsigned int)(bdfid >> 3 & 0x1f), (unsigned int)(bdfid & 7));
}

/* As ROCR_VISIBLE_DEVICES takes it; boards without a number of their own are named by their place. False: neither is known. */
static bool uuid_read(uint32_t index, char *field, size_t size_bytes) {
    char address[32];
    divvy_core_text_t text;
    uint64_t id = 0;

    divvy_core_text_init(&text, field, size_bytes);
    if (ASK(rsmi_dev_unique_id_get, index, &id) == RSMI_STATUS_SUCCESS && id) {
        divvy_core_text_format(&text, "GPU-%08x%08x", (unsigned int)(id >> 32), (unsigned int)id);
        return true;
    }
    if (ASK(rsmi_dev_pci_id_get, index, &id) != RSMI_STATUS_SUCCESS)
        return false;
    address_write(id, address, sizeof address);
    divvy_core_text_format(&text, "GPU-%s", address);
    return true;
}

static AccelResult index_find(const char *uuid, uint32_t *ret_index) {
    char own[UUID_STRING_LENGTH];
    size_t devices = 0;
    AccelResult result = count(&devices);

    if (result != ACCEL_SUCCESS)
        return result;
    for (uint32_t i = 0; i < devices; i++)
        if (uuid_read(i, own, sizeof own) && divvy_provider_same_device(uuid, own)) {
            *ret_index = i;
            return ACCEL_SUCCESS;
        }
    return ACCEL_ERROR_NOT_FOUND;
}

static AccelResult find(const char *uuid) {
    uint32_t index;

    return index_find(uuid, &index);
}

/* Dense FP16 TFLOPS by AMD's data sheets: parts of names, the longer first. */
static double model_tflops(const char *model) {
    static const struct {
        const char *name;
        double tflops;
    } models[] = {
        {"MI355X", 2516.6}, {"MI350X", 2306.9}, {"MI325X", 1307.4}, {"MI300X", 1307.4}, {"MI300A", 980.6}, {"MI250X", 383.0},
        {"MI250", 362.1},   {"MI210", 181.0},   {"MI100", 184.6},   {"MI60", 29.5},     {"MI50", 26.5},
    };

    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++)
        if (strstr(model, models[i].name))
            return models[i].tflops;
    return 0;
}

static int32_t numa_read(uint32_t index) {
    uint32_t node = UNKNOWN_NODE;

    return ASK(rsmi_topo_numa_affinity_get, index, &node) == RSMI_STATUS_SUCCESS && node <= INT32_MAX ? (int32_t)node : -1;
}

/* The generation of the present rate, in billions of transfers a second. */
static uint32_t pcie_generation(uint64_t rate) {
    static const uint64_t rates[] = {2500000000u, 5000000000u, 8000000000u, 16000000000u, 32000000000u, 64000000000u};
    uint32_t generation = 0;

    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++)
        if (rate >= rates[i])
            generation = (uint32_t)i + 1;
    return generation;
}

/* The present one of a list in either layout, and its place in the list. False: none. */
static bool frequency_read(const uint64_t *room, uint64_t *ret_value, uint32_t *ret_lanes) {
    const rsmi_frequencies_old_t *old = (const rsmi_frequencies_old_t *)(const void *)room;
    const rsmi_frequencies_new_t *new = (const rsmi_frequencies_new_t *)(const void *)room;
    size_t old_max = sizeof old->frequency / sizeof old->frequency[0], new_max = sizeof new->frequency / sizeof new->frequency[0];

    if (room[1] <= new_max) {
        if (new->current >= new->num_supported || new->current >= new_max)
            return false;
        *ret_value = new->frequency[new->current];
        memcpy(ret_lanes, (const char *)room + sizeof *new + new->current * sizeof *ret_lanes, sizeof *ret_lanes);
        return true;
    }
    if (old->current >= old->num_supported || old->current >= old_max)
        return false;
    *ret_value = old->frequency[old->current];
    memcpy(ret_lanes, (const char *)room + sizeof *old + old->current * sizeof *ret_lanes, sizeof *ret_lanes);
    return true;
}

static bool clock_read(uint32_t index, uint32_t type, uint64_t *ret_mhz) {
    uint64_t room[RSMI_ROOM_WORDS] = {0}, hertz;
    uint32_t lanes;

    if (ASK(rsmi_dev_gpu_clk_freq_get, index, type, room) != RSMI_STATUS_SUCCESS || !frequency_read(room, &hertz, &lanes))
        return false;
    *ret_mhz = hertz / 1000000;
    return true;
}

static void basic_read(uint32_t index, Accel2DeviceBasicInfo *basic) {
    uint64_t link[RSMI_ROOM_WORDS] = {0}, bdfid = 0, rate;
    uint32_t minor, lanes;

    divvy_provider_text(basic->vendor, sizeof basic->vendor, "AMD");
    if (ASK(rsmi_dev_name_get, index, basic->model, sizeof basic->model) != RSMI_STATUS_SUCCESS || !basic->model[0])
        divvy_provider_text(basic->model, sizeof basic->model, "unknown");
    basic->model[sizeof basic->model - 1] = '\0';
    if (ASK(rsmi_version_str_get, RSMI_SW_COMP_DRIVER, basic->driverVersion, sizeof basic->driverVersion) != RSMI_STATUS_SUCCESS)
        basic->driverVersion[0] = '\0';
    basic->driverVersion[sizeof basic->driverVersion - 1] = '\0';
    if (ASK(rsmi_dev_vbios_version_get, index, basic->firmwareVersion, sizeof basic->firmwareVersion) != RSMI_STATUS_SUCCESS)
        basic->firmwareVersion[0] = '\0';
    basic->firmwareVersion[sizeof basic->firmwareVersion - 1] = '\0';
    if (ASK(rsmi_dev_drm_render_minor_get, index, &minor) == RSMI_STATUS_SUCCESS) {
        divvy_core_text_t node;

        divvy_core_text_init(&node, basic->deviceNode, sizeof basic->deviceNode);
        divvy_core_text_format(&node, "/dev/dri/renderD%u", minor);
    }
    basic->index = (int32_t)index;
    basic->numaNode = numa_read(index);
    if (ASK(rsmi_dev_memory_total_get, index, RSMI_MEM_TYPE_VRAM, &basic->totalMemoryBytes) != RSMI_STATUS_SUCCESS)
        basic->totalMemoryBytes = 0;
    if (ASK(rsmi_dev_pci_id_get, index, &bdfid) == RSMI_STATUS_SUCCESS)
        basic->totalComputeUnits = divvy_amd_kfd_units(DIVVY_AMD_KFD_NODES, bdfid);
    basic->maxTflops = model_tflops(basic->model);
    if (ASK(rsmi_dev_pci_bandwidth_get, index, link) == RSMI_STATUS_SUCCESS && frequency_read(link, &rate, &lanes)) {
        basic->pcieGen = pcie_generation(rate);
        basic->pcieWidth = lanes;
    }
}

static void properties_read(uint32_t index, const Accel2DeviceBasicInfo *basic, DeviceProperties *properties) {
    char text[64] = "";
    uint64_t value = 0;
    int64_t degrees;
    uint16_t id;

    if (basic->driverVersion[0])
        divvy_provider_property(properties, "driverVersion", "%s", basic->driverVersion);
    divvy_provider_property(properties, "chipType", "AMD");
    if (ASK(rsmi_dev_pci_id_get, index, &value) == RSMI_STATUS_SUCCESS) {
        address_write(value, text, sizeof text);
        divvy_provider_property(properties, "pciBusId", "%s", text);
    }
    if (ASK(rsmi_dev_id_get, index, &id) == RSMI_STATUS_SUCCESS)
        divvy_provider_property(properties, "pciDeviceId", "%04x", (unsigned int)id);
    if (ASK(rsmi_dev_serial_number_get, index, text, sizeof text) == RSMI_STATUS_SUCCESS) {
        text[sizeof text - 1] = '\0';
        divvy_provider_property(properties, "serial", "%s", text);
    }
    if (basic->firmwareVersion[0])
        divvy_provider_property(properties, "vbiosVersion", "%s", basic->firmwareVersion);
    if (clock_read(index, RSMI_CLK_TYPE_SYS, &value)) {
        divvy_provider_property(properties, "clockGraphics", "%llu", (unsigned long long)value);
        divvy_provider_property(properties, "clockSM", "%llu", (unsigned long long)value);
    }
    if (clock_read(index, RSMI_CLK_TYPE_MEM, &value))
        divvy_provider_property(properties, "clockMem", "%llu", (unsigned long long)value);
    if (ASK(rsmi_dev_power_cap_get, index, 0, &value) == RSMI_STATUS_SUCCESS)
        divvy_provider_property(properties, "powerLimit", "%llu", (unsigned long long)(value / MICROWATTS));
    if (ASK(rsmi_dev_temp_metric_get, index, RSMI_TEMP_TYPE_JUNCTION, RSMI_TEMP_CRITICAL, &degrees) == RSMI_STATUS_SUCCESS)
        divvy_provider_property(properties, "temperatureThreshold", "%lld", (long long)(degrees / 1000));
}

static AccelResult device(size_t index, Accel2DeviceBasicInfo *ret_basic, DeviceProperties *ret_properties,
                          VirtualizationCapabilities *ret_capabilities) {
    if (!uuid_read((uint32_t)index, ret_basic->uuid, sizeof ret_basic->uuid)) {
        divvy_provider_log("WARN", "device %zu is left out: it has neither a number of its own nor a place", index);
        return ACCEL_ERROR_OPERATION_FAILED;
    }
    basic_read((uint32_t)index, ret_basic);
    properties_read((uint32_t)index, ret_basic, ret_properties);
    *ret_capabilities = (VirtualizationCapabilities){
        .supportsSoftIsolation = true,
        .supportsMetrics = true,
        .maxWorkersPerDevice = WORKERS_PER_DEVICE,
    };
    return ACCEL_SUCCESS;
}

/* XGMI is as near as one switch; what goes over PCIe is told by the nodes of memory only. */
static TopoLevelType level_between(uint32_t one, uint32_t other) {
    uint64_t hops = 0;
    uint32_t type = 0;
    int32_t node = numa_read(one);

    if (ASK(rsmi_topo_get_link_type, one, other, &hops, &type) == RSMI_STATUS_SUCCESS && type == RSMI_IOLINK_TYPE_XGMI)
        return TOPO_LEVEL_SINGLE_SWITCH;
    if (node < 0 || numa_read(other) < 0)
        return TOPO_LEVEL_UNKNOWN;
    return node == numa_read(other) ? TOPO_LEVEL_NUMA_NODE : TOPO_LEVEL_SYSTEM;
}

static AccelResult topology(size_t index, Accel2DeviceTopologyInfo *ret_row) {
    size_t devices = 0;
    AccelResult result = count(&devices);

    if (result != ACCEL_SUCCESS)
        return result;
    if (!uuid_read((uint32_t)index, ret_row->deviceUUID, sizeof ret_row->deviceUUID))
        return ACCEL_ERROR_OPERATION_FAILED;
    ret_row->deviceIndex = (int32_t)index;
    ret_row->numaNode = numa_read((uint32_t)index);
    for (uint32_t i = 0; i < devices && ret_row->peerCount < MAX_TOPOLOGY_DEVICES; i++) {
        Accel2DeviceTopoNode *peer = &ret_row->peers[ret_row->peerCount];

        if (i == index || !uuid_read(i, peer->peerUUID, sizeof peer->peerUUID))
            continue;
        peer->peerIndex = (int32_t)i;
        peer->topoLevel = level_between((uint32_t)index, i);
        ret_row->peerCount++;
    }
    return ACCEL_SUCCESS;
}

/* --- figures ----------------------------------------------------------------------------------------------------------- */

static double power_read(uint32_t index) {
    uint64_t microwatts = 0;
    uint32_t type = 0;

    if (ASK(rsmi_dev_power_ave_get, index, 0, &microwatts) == RSMI_STATUS_SUCCESS ||
        ASK(rsmi_dev_power_get, index, &microwatts, &type) == RSMI_STATUS_SUCCESS)
        return (double)microwatts / MICROWATTS;
    return 0;
}

static bool temperature_read(uint32_t index, uint32_t sensor, double *ret_celsius) {
    int64_t millidegrees = 0;

    if (ASK(rsmi_dev_temp_metric_get, index, sensor, RSMI_TEMP_CURRENT, &millidegrees) != RSMI_STATUS_SUCCESS)
        return false;
    *ret_celsius = (double)millidegrees / 1000.0;
    return true;
}

static AccelResult metrics(const char *uuid, DeviceMetrics *ret_metrics) {
    uint32_t index = 0, percent = 0;
    uint64_t value = 0, total = 0;
    double celsius;
    AccelResult result = index_find(uuid, &index);

    if (result != ACCEL_SUCCESS)
        return result;
    ret_metrics->powerUsageWatts = power_read(index);
    /* accelerators have no sensor at the edge */
    if (temperature_read(index, RSMI_TEMP_TYPE_EDGE, &celsius) || temperature_read(index, RSMI_TEMP_TYPE_JUNCTION, &celsius))
        ret_metrics->temperatureCelsius = celsius;
    if (ASK(rsmi_dev_busy_percent_get, index, &percent) == RSMI_STATUS_SUCCESS)
        ret_metrics->utilizationPercent = percent <= 100 ? percent : 100;
    if (ASK(rsmi_dev_memory_usage_get, index, RSMI_MEM_TYPE_VRAM, &value) == RSMI_STATUS_SUCCESS) {
        ret_metrics->memoryUsedBytes = value;
        if (ASK(rsmi_dev_memory_total_get, index, RSMI_MEM_TYPE_VRAM, &total) == RSMI_STATUS_SUCCESS && total >= value) {
            divvy_provider_extra(ret_metrics, "memoryTotalBytes", (double)total);
            divvy_provider_extra(ret_metrics, "memoryFreeBytes", (double)(total - value));
        }
    }
    if (ASK(rsmi_dev_memory_busy_percent_get, index, &percent) == RSMI_STATUS_SUCCESS)
        divvy_provider_extra(ret_metrics, "memoryBandwidthUtilization", percent);
    if (temperature_read(index, RSMI_TEMP_TYPE_MEMORY, &celsius))
        divvy_provider_extra(ret_metrics, "temperatureMemoryCelsius", celsius);
    if (clock_read(index, RSMI_CLK_TYPE_SYS, &value))
        divvy_provider_extra(ret_metrics, "clockSMMHz", (double)value);
    if (clock_read(index, RSMI_CLK_TYPE_MEM, &value))
        divvy_provider_extra(ret_metrics, "clockMemMHz", (double)value);
    if (ASK(rsmi_dev_power_cap_get, index, 0, &value) == RSMI_STATUS_SUCCESS)
        divvy_provider_extra(ret_metrics, "powerLimitWatts", (double)value / MICROWATTS);
    if (ASK(rsmi_dev_pci_replay_counter_get, index, &value) == RSMI_STATUS_SUCCESS)
        divvy_provider_extra(ret_metrics, "pcieReplays", (double)value);
    return ACCEL_SUCCESS;
}

/* One process on one device. `alone`: it uses no other, so that its sums are this one's. */
static bool process_write(const rsmi_process_info_t *process, uint32_t index, bool alone, ProcessInformation *info) {
    rsmi_process_info_t here = *process;
    uint64_t total = 0, bdfid = 0;
    divvy_core_text_t pid;
    bool known = ASK(rsmi_compute_process_info_by_device_get, process->process_id, index, &here) == RSMI_STATUS_SUCCESS;

    memset(info, 0, sizeof *info);
    if (!uuid_read(index, info->deviceUUID, sizeof info->deviceUUID))
        return false;
    divvy_core_text_init(&pid, info->processId, sizeof info->processId);
    divvy_core_text_add_u64(&pid, process->process_id);
    if (ASK(rsmi_dev_pci_id_get, index, &bdfid) == RSMI_STATUS_SUCCESS)
        info->totalSMs = divvy_amd_kfd_units(DIVVY_AMD_KFD_NODES, bdfid);
    if (!known && !alone)
        return true; /* which of its memory is where is not known */
    info->memoryUsedBytes = info->memoryReservedBytes = here.vram_usage;
    info->computeUtilizationPercent = here.cu_occupancy <= 100 ? here.cu_occupancy : 100;
    info->activeSMs = info->totalSMs * (uint64_t)info->computeUtilizationPercent / 100;
    if (ASK(rsmi_dev_memory_total_get, index, RSMI_MEM_TYPE_VRAM, &total) == RSMI_STATUS_SUCCESS && total)
        info->memoryUtilizationPercent = 100.0 * (double)here.vram_usage / (double)total;
    return true;
}

static AccelResult processes(ProcessInformation *ret_infos, size_t max, size_t *ret_count) {
    rsmi_process_info_t *room = calloc(PROCESSES, sizeof *room);
    uint32_t found = PROCESSES;
    size_t written = 0;

    if (!room)
        return ACCEL_ERROR_INTERNAL;
    if (ASK(rsmi_compute_process_info_get, room, &found) != RSMI_STATUS_SUCCESS || found > PROCESSES)
        found = 0;
    for (uint32_t i = 0; i < found; i++) {
        uint32_t devices[DEVICES_OF_PROCESS], used = DEVICES_OF_PROCESS;

        if (ASK(rsmi_compute_process_gpus_get, room[i].process_id, devices, &used) != RSMI_STATUS_SUCCESS || used > DEVICES_OF_PROCESS)
            continue;
        for (uint32_t k = 0; k < used && written < max; k++)
            written += process_write(&room[i], devices[k], used == 1, &ret_infos[written]);
    }
    free(room);
    *ret_count = written;
    return ACCEL_SUCCESS;
}

const struct divvy_provider divvy_provider = {
    .topology_kind = "PCIe",
    .start = start,
    .stop = stop,
    .count = count,
    .device = device,
    .topology = topology,
    .find = find,
    .processes = processes,
    .metrics = metrics,
};
