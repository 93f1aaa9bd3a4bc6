/* What NVML knows of a GPU: see nvidia.h. What it does not know is left out. */
#include "accel/nvidia/nvidia.h"
#include "core/text.h"
#include "cuda/models.h"

#include <string.h>

#define WORKERS_PER_DEVICE   64u
#define PARTITIONS_USUAL     7u
#define CHECKPOINT_SINCE     12080 /* the CUDA version whose driver can save processes */
#define NODES_WORDS          16u   /* of a set of NUMA nodes */

/* --- properties -------------------------------------------------------------------------------------------------- */

typedef nvmlReturn_t text_reader(nvmlDevice_t device, char *text, unsigned int length);
typedef nvmlReturn_t number_reader(nvmlDevice_t device, unsigned int *value);

static void text_property(DeviceProperties *properties, const char *key, nvmlDevice_t gpu, text_reader *read) {
    char text[96] = "";

    if (read && read(gpu, text, sizeof text) == NVML_SUCCESS) {
        text[sizeof text - 1] = '\0';
        divvy_provider_property(properties, key, "%s", text);
    }
}

/* `divisor` leads from NVML's unit to the property's. */
static void number_property(DeviceProperties *properties, const char *key, nvmlDevice_t gpu, number_reader *read,
                            unsigned int divisor) {
    unsigned int value;

    if (read && read(gpu, &value) == NVML_SUCCESS)
        divvy_provider_property(properties, key, "%u", value / divisor);
}

static const char *truth(bool value) {
    return value ? "true" : "false";
}

static void clock_properties(DeviceProperties *properties, nvmlDevice_t gpu) {
    static const struct {
        const char *now, *max;
        nvmlClockType_t type;
    } clocks[] = {
        {"clockGraphics", "clockGraphicsMax", NVML_CLOCK_GRAPHICS},
        {"clockSM", "clockSMMax", NVML_CLOCK_SM},
        {"clockMem", "clockMemMax", NVML_CLOCK_MEM},
        {"clockVideo", "clockVideoMax", NVML_CLOCK_VIDEO},
    };

    for (size_t i = 0; i < sizeof clocks / sizeof clocks[0]; i++) {
        unsigned int mhz;

        if (NVIDIA_ASK(nvmlDeviceGetClockInfo, gpu, clocks[i].type, &mhz) == NVML_SUCCESS)
            divvy_provider_property(properties, clocks[i].now, "%u", mhz);
        if (NVIDIA_ASK(nvmlDeviceGetMaxClockInfo, gpu, clocks[i].type, &mhz) == NVML_SUCCESS)
            divvy_provider_property(properties, clocks[i].max, "%u", mhz);
    }
}

static void power_properties(DeviceProperties *properties, nvmlDevice_t gpu) {
    unsigned int lowest, highest, degrees;

    number_property(properties, "powerLimit", gpu, divvy_nvidia_nvml.nvmlDeviceGetEnforcedPowerLimit, 1000);
    number_property(properties, "powerLimitDefault", gpu, divvy_nvidia_nvml.nvmlDeviceGetPowerManagementDefaultLimit, 1000);
    if (NVIDIA_ASK(nvmlDeviceGetPowerManagementLimitConstraints, gpu, &lowest, &highest) == NVML_SUCCESS) {
        divvy_provider_property(properties, "powerLimitMin", "%u", lowest / 1000);
        divvy_provider_property(properties, "powerLimitMax", "%u", highest / 1000);
    }
    if (NVIDIA_ASK(nvmlDeviceGetTemperatureThreshold, gpu, NVML_TEMPERATURE_THRESHOLD_SLOWDOWN, &degrees) == NVML_SUCCESS)
        divvy_provider_property(properties, "temperatureThreshold", "%u", degrees);
    if (NVIDIA_ASK(nvmlDeviceGetTemperatureThreshold, gpu, NVML_TEMPERATURE_THRESHOLD_SHUTDOWN, &degrees) == NVML_SUCCESS)
        divvy_provider_property(properties, "temperatureShutdown", "%u", degrees);
}

static void state_properties(DeviceProperties *properties, nvmlDevice_t gpu) {
    nvmlEnableState_t now, pending;
    nvmlComputeMode_t mode;
    unsigned int mig, mig_pending;

    if (NVIDIA_ASK(nvmlDeviceGetEccMode, gpu, &now, &pending) == NVML_SUCCESS)
        divvy_provider_property(properties, "eccEnabled", "%s", truth(now == NVML_FEATURE_ENABLED));
    if (NVIDIA_ASK(nvmlDeviceGetPersistenceMode, gpu, &now) == NVML_SUCCESS)
        divvy_provider_property(properties, "persistenceModeEnabled", "%s", truth(now == NVML_FEATURE_ENABLED));
    if (NVIDIA_ASK(nvmlDeviceGetComputeMode, gpu, &mode) == NVML_SUCCESS)
        divvy_provider_property(properties, "computeMode", "%s",
                                mode == NVML_COMPUTEMODE_DEFAULT      ? "default"
                                : mode == NVML_COMPUTEMODE_PROHIBITED ? "prohibited"
                                                                      : "exclusive");
    if (NVIDIA_ASK(nvmlDeviceGetMigMode, gpu, &mig, &mig_pending) == NVML_SUCCESS) {
        divvy_provider_property(properties, "migEnabled", "%s", truth(mig == NVML_DEVICE_MIG_ENABLE));
        if (mig != mig_pending)
            divvy_provider_property(properties, "migPending", "%s", truth(mig_pending == NVML_DEVICE_MIG_ENABLE));
    }
}

static void identity_properties(DeviceProperties *properties, nvmlDevice_t gpu, const char *driver) {
    nvmlPciInfo_t pci = {.busId = ""};
    int version = 0, major = 0, minor = 0;

    if (driver[0])
        divvy_provider_property(properties, "driverVersion", "%s", driver);
    if (NVIDIA_ASK(nvmlSystemGetCudaDriverVersion_v2, &version) == NVML_SUCCESS)
        divvy_provider_property(properties, "cudaVersion", "%d.%d", version / 1000, version % 1000 / 10);
    if (NVIDIA_ASK(nvmlDeviceGetCudaComputeCapability, gpu, &major, &minor) == NVML_SUCCESS)
        divvy_provider_property(properties, "computeCapability", "%d.%d", major, minor);
    divvy_provider_property(properties, "chipType", "NVIDIA");
    if (NVIDIA_ASK(nvmlDeviceGetPciInfo_v3, gpu, &pci) == NVML_SUCCESS) {
        pci.busId[sizeof pci.busId - 1] = '\0';
        divvy_provider_property(properties, "pciBusId", "%s", pci.busId);
    }
    number_property(properties, "minorNumber", gpu, divvy_nvidia_nvml.nvmlDeviceGetMinorNumber, 1);
    number_property(properties, "cudaCores", gpu, divvy_nvidia_nvml.nvmlDeviceGetNumGpuCores, 1);
    number_property(properties, "memoryBusWidth", gpu, divvy_nvidia_nvml.nvmlDeviceGetMemoryBusWidth, 1);
    number_property(properties, "pcieGenMax", gpu, divvy_nvidia_nvml.nvmlDeviceGetMaxPcieLinkGeneration, 1);
    number_property(properties, "pcieWidthMax", gpu, divvy_nvidia_nvml.nvmlDeviceGetMaxPcieLinkWidth, 1);
    text_property(properties, "serial", gpu, divvy_nvidia_nvml.nvmlDeviceGetSerial);
    text_property(properties, "boardPartNumber", gpu, divvy_nvidia_nvml.nvmlDeviceGetBoardPartNumber);
    text_property(properties, "vbiosVersion", gpu, divvy_nvidia_nvml.nvmlDeviceGetVbiosVersion);
    text_property(properties, "inforomVersion", gpu, divvy_nvidia_nvml.nvmlDeviceGetInforomImageVersion);
}

/* --- the device -------------------------------------------------------------------------------------------------- */

/* The first of the nodes of memory that the driver calls near, -1 when it does not say. */
static int32_t numa_read(nvmlDevice_t gpu) {
    unsigned long nodes[NODES_WORDS] = {0};

    if (NVIDIA_ASK(nvmlDeviceGetMemoryAffinity, gpu, NODES_WORDS, nodes, NVML_AFFINITY_SCOPE_NODE) != NVML_SUCCESS)
        return -1;
    for (size_t i = 0; i < NODES_WORDS; i++)
        if (nodes[i])
            return (int32_t)(i * sizeof nodes[0] * 8) + __builtin_ctzl(nodes[i]);
    return -1;
}

/* By the maker's word for the model; else a multiply-add a core and clock. */
static double tflops_find(nvmlDevice_t gpu, const char *model) {
    double known = divvy_cuda_model_tflops(model);
    unsigned int cores, mhz;

    if (known > 0)
        return known;
    if (NVIDIA_ASK(nvmlDeviceGetNumGpuCores, gpu, &cores) == NVML_SUCCESS &&
        NVIDIA_ASK(nvmlDeviceGetMaxClockInfo, gpu, NVML_CLOCK_SM, &mhz) == NVML_SUCCESS)
        return 2e-6 * cores * mhz;
    return 0;
}

static void basic_read(const struct nvidia_device *device, Accel2DeviceBasicInfo *ret_basic) {
    nvmlDevice_t gpu = device->handle;
    nvmlMemory_t memory = {0};
    unsigned int minor;

    divvy_provider_text(ret_basic->uuid, sizeof ret_basic->uuid, device->uuid);
    divvy_provider_text(ret_basic->vendor, sizeof ret_basic->vendor, "NVIDIA");
    if (NVIDIA_ASK(nvmlDeviceGetName, gpu, ret_basic->model, sizeof ret_basic->model) != NVML_SUCCESS)
        divvy_provider_text(ret_basic->model, sizeof ret_basic->model, "unknown");
    ret_basic->model[sizeof ret_basic->model - 1] = '\0';
    if (NVIDIA_ASK(nvmlSystemGetDriverVersion, ret_basic->driverVersion, sizeof ret_basic->driverVersion) != NVML_SUCCESS)
        ret_basic->driverVersion[0] = '\0';
    ret_basic->driverVersion[sizeof ret_basic->driverVersion - 1] = '\0';
    if (NVIDIA_ASK(nvmlDeviceGetVbiosVersion, gpu, ret_basic->firmwareVersion, sizeof ret_basic->firmwareVersion) != NVML_SUCCESS)
        ret_basic->firmwareVersion[0] = '\0';
    ret_basic->firmwareVersion[sizeof ret_basic->firmwareVersion - 1] = '\0';
    if (NVIDIA_ASK(nvmlDeviceGetMinorNumber, gpu, &minor) == NVML_SUCCESS) {
        divvy_core_text_t node;

        divvy_core_text_init(&node, ret_basic->deviceNode, sizeof ret_basic->deviceNode);
        divvy_core_text_format(&node, "/dev/nvidia%u", minor);
    }
    ret_basic->index = (int32_t)device->index;
    ret_basic->numaNode = numa_read(gpu);
    if (NVIDIA_ASK(nvmlDeviceGetMemoryInfo, gpu, &memory) == NVML_SUCCESS)
        ret_basic->totalMemoryBytes = memory.total;
    ret_basic->totalComputeUnits = divvy_nvidia_units(gpu);
    ret_basic->maxTflops = tflops_find(gpu, ret_basic->model);
    if (NVIDIA_ASK(nvmlDeviceGetCurrPcieLinkGeneration, gpu, &ret_basic->pcieGen) != NVML_SUCCESS)
        ret_basic->pcieGen = 0;
    if (NVIDIA_ASK(nvmlDeviceGetCurrPcieLinkWidth, gpu, &ret_basic->pcieWidth) != NVML_SUCCESS)
        ret_basic->pcieWidth = 0;
}

/* What the hardware can have; while MIG is off the driver counts none, but knows its profiles. */
static unsigned int partitions_max(nvmlDevice_t gpu) {
    unsigned int mode, pending, count = 0;
    nvmlGpuInstanceProfileInfo_t smallest;

    if (NVIDIA_ASK(nvmlDeviceGetMigMode, gpu, &mode, &pending) != NVML_SUCCESS)
        return 0;
    if (NVIDIA_ASK(nvmlDeviceGetMaxMigDeviceCount, gpu, &count) == NVML_SUCCESS && count > 0)
        return count;
    if (NVIDIA_ASK(nvmlDeviceGetGpuInstanceProfileInfo, gpu, NVML_GPU_INSTANCE_PROFILE_1_SLICE, &smallest) == NVML_SUCCESS)
        return smallest.instanceCount;
    return PARTITIONS_USUAL;
}

AccelResult divvy_nvidia_device(size_t index, Accel2DeviceBasicInfo *ret_basic, DeviceProperties *ret_properties,
                                VirtualizationCapabilities *ret_capabilities) {
    struct nvidia_device device;
    int cuda = 0;
    AccelResult result = divvy_nvidia_gpu(index, &device);

    if (result != ACCEL_SUCCESS)
        return result;
    basic_read(&device, ret_basic);
    identity_properties(ret_properties, device.handle, ret_basic->driverVersion);
    clock_properties(ret_properties, device.handle);
    power_properties(ret_properties, device.handle);
    state_properties(ret_properties, device.handle);
    if (NVIDIA_ASK(nvmlSystemGetCudaDriverVersion_v2, &cuda) != NVML_SUCCESS)
        cuda = 0;
    *ret_capabilities = (VirtualizationCapabilities){
        .supportsPartitioning = partitions_max(device.handle) > 0,
        .supportsSoftIsolation = true,
        .supportsHardIsolation = false, /* the driver knows no limit of a worker but MIG */
        .supportsSnapshot = cuda >= CHECKPOINT_SINCE,
        .supportsMetrics = true,
        .supportsRemoting = true,
        .maxPartitions = partitions_max(device.handle),
        .maxWorkersPerDevice = WORKERS_PER_DEVICE,
    };
    return ACCEL_SUCCESS;
}

/* --- topology ---------------------------------------------------------------------------------------------------- */

static TopoLevelType level_between(nvmlDevice_t one, nvmlDevice_t other) {
    nvmlGpuTopologyLevel_t level;

    if (NVIDIA_ASK(nvmlDeviceGetTopologyCommonAncestor, one, other, &level) != NVML_SUCCESS)
        return TOPO_LEVEL_UNKNOWN;
    switch (level) {
    case NVML_TOPOLOGY_INTERNAL:
        return TOPO_LEVEL_INTERNAL;
    case NVML_TOPOLOGY_SINGLE:
        return TOPO_LEVEL_SINGLE_SWITCH;
    case NVML_TOPOLOGY_MULTIPLE:
        return TOPO_LEVEL_MULTI_SWITCH;
    case NVML_TOPOLOGY_HOSTBRIDGE:
        return TOPO_LEVEL_HOST_BRIDGE;
    case NVML_TOPOLOGY_NODE:
        return TOPO_LEVEL_NUMA_NODE;
    case NVML_TOPOLOGY_SYSTEM:
        return TOPO_LEVEL_SYSTEM;
    default:
        return TOPO_LEVEL_UNKNOWN;
    }
}

AccelResult divvy_nvidia_topology(size_t index, Accel2DeviceTopologyInfo *ret_row) {
    struct nvidia_device device, peer;
    size_t count = 0;
    AccelResult result = divvy_nvidia_gpu(index, &device);

    if (result == ACCEL_SUCCESS)
        result = divvy_nvidia_count(&count);
    if (result != ACCEL_SUCCESS)
        return result;
    divvy_provider_text(ret_row->deviceUUID, sizeof ret_row->deviceUUID, device.uuid);
    ret_row->deviceIndex = (int32_t)index;
    ret_row->numaNode = numa_read(device.handle);
    for (size_t i = 0; i < count && ret_row->peerCount < MAX_TOPOLOGY_DEVICES; i++) {
        Accel2DeviceTopoNode *node = &ret_row->peers[ret_row->peerCount];

        if (i == index || divvy_nvidia_gpu(i, &peer) != ACCEL_SUCCESS)
            continue;
        divvy_provider_text(node->peerUUID, sizeof node->peerUUID, peer.uuid);
        node->peerIndex = (int32_t)i;
        node->topoLevel = level_between(device.handle, peer.handle);
        ret_row->peerCount++;
    }
    return ACCEL_SUCCESS;
}
