/* Generation 1 of the ABI over the vendor's table. Linked into each library itself. */
#include "accel/provider/call.h"

#include <stdlib.h>
#include <string.h>

AccelResult VirtualGPUInit(void) {
    struct divvy_provider_call call;

    return divvy_provider_leave(&call, divvy_provider_enter(&call));
}

AccelResult GetDeviceCount(size_t *count) {
    return divvy_provider_count_get(count);
}

static void basic_convert(const Accel2DeviceBasicInfo *from, Accel1DeviceBasicInfo *to) {
    divvy_provider_text(to->uuid, sizeof to->uuid, from->uuid);
    divvy_provider_text(to->vendor, sizeof to->vendor, from->vendor);
    divvy_provider_text(to->model, sizeof to->model, from->model);
    divvy_provider_text(to->driverVersion, sizeof to->driverVersion, from->driverVersion);
    divvy_provider_text(to->firmwareVersion, sizeof to->firmwareVersion, from->firmwareVersion);
    to->index = from->index;
    to->numaNode = from->numaNode;
    to->totalMemoryBytes = from->totalMemoryBytes;
    to->totalComputeUnits = from->totalComputeUnits;
    to->maxTflops = from->maxTflops;
    to->pcieGen = from->pcieGen;
    to->pcieWidth = from->pcieWidth;
}

AccelResult GetAllDevices(Accel1ExtendedDeviceInfo *devices, size_t maxCount, size_t *count) {
    struct divvy_provider_call call;
    size_t there = 0, written = 0;
    AccelResult result;

    if (count)
        *count = 0;
    if (!devices || !count || maxCount == 0)
        return ACCEL_ERROR_INVALID_PARAM;
    result = divvy_provider_enter(&call);
    if (result == ACCEL_SUCCESS)
        result = divvy_provider.count(&there);
    for (size_t i = 0; result == ACCEL_SUCCESS && i < there && written < maxCount && written < MAX_DEVICE_UUIDS; i++) {
        Accel1ExtendedDeviceInfo *device = &devices[written];
        Accel2DeviceBasicInfo basic = {0};

        memset(device, 0, sizeof *device);
        if (divvy_provider.device(i, &basic, &device->props, &device->virtualizationCapabilities) != ACCEL_SUCCESS)
            continue;
        basic_convert(&basic, &device->basic);
        written++;
    }
    *count = written;
    return divvy_provider_leave(&call, result);
}

AccelResult GetDeviceTopology(int32_t *indices, size_t count, Accel1ExtendedDeviceTopology *topology) {
    struct divvy_provider_call call;
    AccelResult result;
    size_t there = 0;

    if (!indices || !topology || count == 0 || count > MAX_TOPOLOGY_DEVICES)
        return ACCEL_ERROR_INVALID_PARAM;
    memset(topology, 0, sizeof *topology);
    result = divvy_provider_enter(&call);
    if (result == ACCEL_SUCCESS)
        result = divvy_provider.count(&there);
    for (size_t i = 0; result == ACCEL_SUCCESS && i < count; i++) {
        Accel2DeviceTopologyInfo row = {.numaNode = -1};

        if (indices[i] < 0 || (size_t)indices[i] >= there)
            result = ACCEL_ERROR_NOT_FOUND;
        else
            result = divvy_provider.topology((size_t)indices[i], &row);
        divvy_provider_text(topology->devices[i].deviceUUID, sizeof topology->devices[i].deviceUUID, row.deviceUUID);
        topology->devices[i].numaNode = row.numaNode;
    }
    if (result == ACCEL_SUCCESS) {
        topology->deviceCount = count;
        divvy_provider_text(topology->topologyType, sizeof topology->topologyType, divvy_provider.topology_kind);
    } else {
        memset(topology, 0, sizeof *topology);
    }
    return divvy_provider_leave(&call, result);
}

/* "KEY=VALUE" as a pair. */
static bool variable_convert(const char *text, Accel1EnvVar *ret_variable) {
    const char *equals = strchr(text, '=');
    char key[MAX_ENV_KEY_LENGTH];

    if (!equals || equals == text || !equals[1] || (size_t)(equals - text) >= sizeof key)
        return false;
    memcpy(key, text, (size_t)(equals - text));
    key[equals - text] = '\0';
    divvy_provider_text(ret_variable->key, sizeof ret_variable->key, key);
    divvy_provider_text(ret_variable->value, sizeof ret_variable->value, equals + 1);
    return true;
}

bool AssignPartition(Accel1PartitionAssignment *assignment) {
    Accel2PartitionResult *made;
    AccelResult result;

    if (!assignment)
        return false;
    memset(assignment->partitionUUID, 0, sizeof *assignment - offsetof(Accel1PartitionAssignment, partitionUUID));
    made = calloc(1, sizeof *made);
    if (!made)
        return false;
    result = divvy_provider_partition_make(1, assignment->templateId, assignment->deviceUUID, made);
    if (result == ACCEL_SUCCESS) {
        memcpy(assignment->partitionUUID, made->deviceUUID, sizeof assignment->partitionUUID);
        for (size_t i = 0; i < MAX_PARTITION_ENVS; i++)
            if (variable_convert(made->envVars[i], &assignment->envVars[assignment->envVarCount]))
                assignment->envVarCount++;
    }
    free(made);
    return result == ACCEL_SUCCESS;
}

bool RemovePartition(const char *partitionUUID, const char *deviceUUID) {
    return divvy_provider_partition_remove(partitionUUID, deviceUUID) == ACCEL_SUCCESS;
}

/* A limit here is the device's: the driver knows no workers. */
AccelResult SetMemHardLimit(const char *workerId, const char *deviceUUID, uint64_t bytes) {
    return workerId ? divvy_provider_memory_limit(deviceUUID, bytes) : ACCEL_ERROR_INVALID_PARAM;
}

AccelResult SetComputeUnitHardLimit(const char *workerId, const char *deviceUUID, uint32_t limit) {
    return workerId ? divvy_provider_compute_limit(deviceUUID, limit) : ACCEL_ERROR_INVALID_PARAM;
}

static AccelResult freeze(Accel1ProcessArray *processes, bool resume) {
    if (!processes)
        return ACCEL_ERROR_INVALID_PARAM;
    return divvy_provider_freeze(processes->processIds, processes->processCount,
                                 processes->deviceUUID[0] ? processes->deviceUUID : NULL, resume);
}

AccelResult Snapshot(Accel1ProcessArray *processes) {
    return freeze(processes, false);
}

AccelResult Resume(Accel1ProcessArray *processes) {
    return freeze(processes, true);
}

AccelResult GetProcessInformation(ProcessInformation *infos, size_t maxCount, size_t *count) {
    return divvy_provider_processes_get(infos, maxCount, count);
}

AccelResult GetDeviceMetrics(const char **uuids, size_t count, DeviceMetrics *metrics) {
    return divvy_provider_metrics_get(uuids, count, metrics);
}

AccelResult GetVendorMountLibs(MountPath *mounts, size_t maxCount, size_t *count) {
    return divvy_provider_mounts_get(mounts, maxCount, count);
}

AccelResult RegisterLogCallback(LogCallbackFunc callback) {
    divvy_provider_listen(callback);
    return ACCEL_SUCCESS;
}
