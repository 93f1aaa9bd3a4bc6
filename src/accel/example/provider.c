/*
 * libaccelerator_example.so: four devices that do not exist, with the answers of the ABI's reference library, so that hosts can
 * be tried without hardware. No thread, no file, nothing kept but a counter.
 */
#include "accel/provider/provider.h"
#include "core/text.h"


#define DEVICES 4u
#define GIB     (UINT64_C(1) << 30)

static AccelResult start(void) {
    return ACCEL_SUCCESS;
}

static AccelResult count(size_t *ret_count) {
    *ret_count = DEVICES;
    return ACCEL_SUCCESS;
}

static void uuid_write(size_t index, char *field, size_t size_bytes) {
    divvy_core_text_t text;

    divvy_core_text_init(&text, field, size_bytes);
    divvy_core_text_format(&text, "example-device-%zu", index);
}

static int32_t numa_of(size_t index) {
    return (int32_t)(index % 2);
}

static AccelResult device(size_t index, Accel2DeviceBasicInfo *ret_basic, DeviceProperties *ret_properties,
                          VirtualizationCapabilities *ret_capabilities) {
    divvy_core_text_t node;

    uuid_write(index, ret_basic->uuid, sizeof ret_basic->uuid);
    divvy_provider_text(ret_basic->vendor, sizeof ret_basic->vendor, "STUB");
    divvy_provider_text(ret_basic->model, sizeof ret_basic->model, "Example-GPU-Model");
    divvy_provider_text(ret_basic->driverVersion, sizeof ret_basic->driverVersion, "1.0.0-example");
    divvy_provider_text(ret_basic->firmwareVersion, sizeof ret_basic->firmwareVersion, "1.0.0-example");
    divvy_core_text_init(&node, ret_basic->deviceNode, sizeof ret_basic->deviceNode);
    divvy_core_text_format(&node, "/dev/example%zu", index);
    ret_basic->index = (int32_t)index;
    ret_basic->numaNode = numa_of(index);
    ret_basic->totalMemoryBytes = 16 * GIB;
    ret_basic->totalComputeUnits = 108;
    ret_basic->maxTflops = 312.0;
    ret_basic->pcieGen = 4;
    ret_basic->pcieWidth = 16;
    divvy_provider_property(ret_properties, "clockGraphics", "1410");
    divvy_provider_property(ret_properties, "clockSM", "1410");
    divvy_provider_property(ret_properties, "clockMem", "1215");
    divvy_provider_property(ret_properties, "powerLimit", "400");
    divvy_provider_property(ret_properties, "temperatureThreshold", "83");
    divvy_provider_property(ret_properties, "eccEnabled", "true");
    divvy_provider_property(ret_properties, "persistenceModeEnabled", "false");
    divvy_provider_property(ret_properties, "computeCapability", "8.0");
    divvy_provider_property(ret_properties, "chipType", "STUB");
    *ret_capabilities = (VirtualizationCapabilities){
        .supportsPartitioning = true,
        .supportsSoftIsolation = true,
        .supportsHardIsolation = true,
        .supportsSnapshot = true,
        .supportsMetrics = true,
        .maxPartitions = 7,
        .maxWorkersPerDevice = 16,
    };
    return ACCEL_SUCCESS;
}

static AccelResult topology(size_t index, Accel2DeviceTopologyInfo *ret_row) {
    uuid_write(index, ret_row->deviceUUID, sizeof ret_row->deviceUUID);
    ret_row->deviceIndex = (int32_t)index;
    ret_row->numaNode = numa_of(index);
    for (size_t i = 0; i < DEVICES; i++) {
        Accel2DeviceTopoNode *peer = &ret_row->peers[ret_row->peerCount];

        if (i == index)
            continue;
        uuid_write(i, peer->peerUUID, sizeof peer->peerUUID);
        peer->peerIndex = (int32_t)i;
        peer->topoLevel = numa_of(i) == numa_of(index) ? TOPO_LEVEL_NUMA_NODE : TOPO_LEVEL_SYSTEM;
        ret_row->peerCount++;
    }
    return ACCEL_SUCCESS;
}

/* Its number, or 0 for one that is none of the four. */
static size_t index_of(const char *uuid, bool *ret_known) {
    char name[UUID_STRING_LENGTH];

    *ret_known = true;
    for (size_t i = 0; i < DEVICES; i++) {
        uuid_write(i, name, sizeof name);
        if (divvy_provider_same_device(uuid, name))
            return i;
    }
    *ret_known = false;
    return 0;
}

static AccelResult find(const char *uuid) {
    bool known;

    (void)index_of(uuid, &known);
    return known ? ACCEL_SUCCESS : ACCEL_ERROR_NOT_FOUND;
}

/* Devices that do not exist hold nothing and need no limit. */
static AccelResult memory_limit(const char *device_uuid, uint64_t bytes) {
    (void)device_uuid;
    (void)bytes;
    return ACCEL_SUCCESS;
}

static AccelResult compute_limit(const char *device_uuid, uint32_t percent) {
    (void)device_uuid;
    (void)percent;
    return ACCEL_SUCCESS;
}

static AccelResult freeze(const pid_t *pids, size_t number) {
    (void)pids;
    (void)number;
    return ACCEL_SUCCESS;
}

/* Unknown devices get the figures of the first: the test programs ask for those of "stub-device-0". */
static AccelResult metrics(const char *uuid, DeviceMetrics *ret_metrics) {
    bool known;
    size_t index = index_of(uuid, &known);

    ret_metrics->powerUsageWatts = 200.0 + 10.0 * (double)index;
    ret_metrics->temperatureCelsius = 45.0 + 5.0 * (double)index;
    ret_metrics->pcieRxBytes = (index + 1) * GIB;
    ret_metrics->pcieTxBytes = (index + 1) * GIB / 2;
    divvy_provider_extra(ret_metrics, "memoryBandwidthMBps", 800.0 + 50.0 * (double)index);
    divvy_provider_extra(ret_metrics, "tensorCoreUsagePercent", 30.0 + 5.0 * (double)index);
    divvy_provider_extra(ret_metrics, "encoderUtilization", 10.0 + 2.0 * (double)index);
    divvy_provider_extra(ret_metrics, "decoderUtilization", 15.0 + 3.0 * (double)index);
    return ACCEL_SUCCESS;
}

const struct divvy_provider divvy_provider = {
    .always_lenient = true,
    .topology_kind = "NUMA",
    .start = start,
    .count = count,
    .device = device,
    .topology = topology,
    .find = find,
    .memory_limit = memory_limit,
    .compute_limit = compute_limit,
    .snapshot = freeze,
    .resume = freeze,
    .metrics = metrics,
};
