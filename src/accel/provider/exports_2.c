/* Generation 2 of the ABI over the vendor's table. Linked into each library itself. */
#include "accel/provider/call.h"

#include <string.h>

AccelResult AccelInit(void) {
    struct divvy_provider_call call;

    return divvy_provider_leave(&call, divvy_provider_enter(&call));
}

AccelResult AccelShutdown(void) {
    struct divvy_provider_call call;

    divvy_provider_enter_quietly(&call);
    divvy_provider_stop();
    return divvy_provider_leave(&call, ACCEL_SUCCESS);
}

AccelResult AccelGetDeviceCount(size_t *count) {
    return divvy_provider_count_get(count);
}

AccelResult AccelGetAllDevices(Accel2ExtendedDeviceInfo *devices, size_t maxCount, size_t *count) {
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
        Accel2ExtendedDeviceInfo *device = &devices[written];

        memset(device, 0, sizeof *device);
        if (divvy_provider.device(i, &device->basic, &device->props, &device->virtualizationCapabilities) == ACCEL_SUCCESS)
            written++;
    }
    *count = written;
    return divvy_provider_leave(&call, result);
}

AccelResult AccelGetAllDevicesTopology(Accel2ExtendedDeviceTopology *topology) {
    struct divvy_provider_call call;
    AccelResult result;
    size_t there = 0;

    if (!topology)
        return ACCEL_ERROR_INVALID_PARAM;
    memset(topology, 0, sizeof *topology);
    result = divvy_provider_enter(&call);
    if (result == ACCEL_SUCCESS)
        result = divvy_provider.count(&there);
    for (size_t i = 0; result == ACCEL_SUCCESS && i < there && i < MAX_TOPOLOGY_DEVICES; i++) {
        Accel2DeviceTopologyInfo *row = &topology->devices[topology->deviceCount];

        if (divvy_provider.topology(i, row) == ACCEL_SUCCESS)
            topology->deviceCount++;
        else
            memset(row, 0, sizeof *row);
    }
    return divvy_provider_leave(&call, result);
}

AccelResult AccelAssignPartition(const char *templateId, const char *deviceUUID, Accel2PartitionResult *result) {
    return divvy_provider_partition_make(2, templateId, deviceUUID, result);
}

AccelResult AccelRemovePartition(const char *templateId, const char *deviceUUID) {
    return divvy_provider_partition_remove(templateId, deviceUUID);
}

AccelResult AccelSetMemHardLimit(const char *deviceUUID, uint64_t bytes) {
    return divvy_provider_memory_limit(deviceUUID, bytes);
}

AccelResult AccelSetComputeUnitHardLimit(const char *deviceUUID, uint32_t limit) {
    return divvy_provider_compute_limit(deviceUUID, limit);
}

static AccelResult freeze(const Accel2SnapshotContext *context, bool resume) {
    if (!context || (!context->processIds && context->processCount > 0))
        return ACCEL_ERROR_INVALID_PARAM;
    return divvy_provider_freeze(context->processIds, context->processCount, context->deviceUUID, resume);
}

AccelResult AccelSnapshot(Accel2SnapshotContext *context) {
    return freeze(context, false);
}

AccelResult AccelResume(Accel2SnapshotContext *context) {
    return freeze(context, true);
}

AccelResult AccelGetProcessInformation(ProcessInformation *infos, size_t maxCount, size_t *count) {
    return divvy_provider_processes_get(infos, maxCount, count);
}

AccelResult AccelGetDeviceMetrics(const char **uuids, size_t count, DeviceMetrics *metrics) {
    return divvy_provider_metrics_get(uuids, count, metrics);
}

AccelResult AccelGetVendorMountLibs(MountPath *mounts, size_t maxCount, size_t *count) {
    return divvy_provider_mounts_get(mounts, maxCount, count);
}

AccelResult AccelRegisterLogCallback(LogCallbackFunc callback) {
    divvy_provider_listen(callback);
    return ACCEL_SUCCESS;
}
