/*
 * An accelerator library that does what files below $FAKE_ACCEL say: "devices" has a UUID a line; "fail-NAME" makes the function fail whose
 * name ends so; "processes" has lines "PID UUID BYTES PERCENT". Each partition is a file "part-UUID-N" there, so that none can hide, with its
 * template in it; "die-AssignPartition" ends the process when one has been made.
 */
#include "divvy/accelerator.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static const char *path_of(const char *name, char path[512]) {
    const char *folder = getenv("FAKE_ACCEL");

    (void)snprintf(path, 512, "%s/%s", folder ? folder : "/nonexistent", name);
    return path;
}

static int fails(const char *name) {
    char path[512], file[64];

    (void)snprintf(file, sizeof file, "fail-%s", name);
    return access(path_of(file, path), F_OK) == 0;
}

static FILE *lines(const char *name) {
    char path[512];

    return fopen(path_of(name, path), "r");
}

AccelResult AccelInit(void) {
    return fails("Init") ? ACCEL_ERROR_INTERNAL : ACCEL_SUCCESS;
}

AccelResult AccelShutdown(void) {
    return ACCEL_SUCCESS;
}

AccelResult AccelGetAllDevices(Accel2ExtendedDeviceInfo *devices, size_t maxCount, size_t *count) {
    FILE *file = lines("devices");
    char uuid[64];

    if (fails("GetAllDevices"))
        return ACCEL_ERROR_OPERATION_FAILED;
    for (*count = 0; file && *count < maxCount && fscanf(file, "%63s", uuid) == 1; ++*count) {
        Accel2ExtendedDeviceInfo *device = &devices[*count];

        memset(device, 0, sizeof *device);
        (void)snprintf(device->basic.uuid, sizeof device->basic.uuid, "%s", uuid);
        (void)snprintf(device->basic.vendor, sizeof device->basic.vendor, "NVIDIA");
        (void)snprintf(device->basic.model, sizeof device->basic.model, "Fake");
        device->basic.index = (int)*count;
        device->basic.totalMemoryBytes = UINT64_C(16) << 30;
        device->basic.maxTflops = 100;
        device->basic.totalComputeUnits = 100;
        device->virtualizationCapabilities = (VirtualizationCapabilities){.supportsPartitioning = true,
                                                                          .supportsSoftIsolation = true,
                                                                          .supportsHardIsolation = true,
                                                                          .supportsMetrics = true,
                                                                          .maxPartitions = 3,
                                                                          .maxWorkersPerDevice = 2000};
    }
    if (file)
        (void)fclose(file);
    return ACCEL_SUCCESS;
}

AccelResult AccelGetDeviceCount(size_t *count) {
    static Accel2ExtendedDeviceInfo devices[64];

    return AccelGetAllDevices(devices, 64, count);
}

AccelResult AccelGetAllDevicesTopology(Accel2ExtendedDeviceTopology *topology) {
    (void)topology;
    return ACCEL_ERROR_NOT_SUPPORTED;
}

AccelResult AccelAssignPartition(const char *templateId, const char *deviceUUID, Accel2PartitionResult *result) {
    static unsigned int number;
    char path[512], name[128];
    FILE *file;

    if (fails("AssignPartition"))
        return ACCEL_ERROR_RESOURCE_EXHAUSTED;
    memset(result, 0, sizeof *result);
    (void)snprintf(result->deviceUUID, sizeof result->deviceUUID, "MIG-%d-%u", (int)getpid(), number++);
    (void)snprintf(result->envVars[0], sizeof result->envVars[0], "PARTITION_TEMPLATE=%s", templateId);
    (void)snprintf(name, sizeof name, "part-%.40s-%.60s", deviceUUID, result->deviceUUID);
    file = fopen(path_of(name, path), "w");
    if (!file)
        return ACCEL_ERROR_INTERNAL;
    (void)fputs(templateId, file);
    (void)fclose(file);
    if (access(path_of("die-AssignPartition", path), F_OK) == 0)
        (void)kill(getpid(), SIGKILL);
    return ACCEL_SUCCESS;
}

/* Some partition of this template. */
static int template_remove(const char *template_id, const char *uuid) {
    char path[512], name[128], text[64];
    DIR *folder = opendir(path_of("", path));
    struct dirent *entry;
    int removed = 0;

    (void)snprintf(name, sizeof name, "part-%.40s-", uuid);
    while (folder && !removed && (entry = readdir(folder))) {
        FILE *file = strncasecmp(entry->d_name, name, strlen(name)) == 0 ? lines(entry->d_name) : NULL;

        if (!file)
            continue;
        removed = fgets(text, sizeof text, file) && strcmp(text, template_id) == 0 && unlink(path_of(entry->d_name, path)) == 0;
        (void)fclose(file);
    }
    if (folder)
        (void)closedir(folder);
    return removed;
}

AccelResult AccelRemovePartition(const char *templateId, const char *deviceUUID) {
    char path[512], name[128];

    if (fails("RemovePartition"))
        return ACCEL_ERROR_OPERATION_FAILED;
    if (template_remove(templateId, deviceUUID))
        return ACCEL_SUCCESS;
    (void)snprintf(name, sizeof name, "part-%.40s-%.60s", deviceUUID, templateId);
    return unlink(path_of(name, path)) == 0 ? ACCEL_SUCCESS : ACCEL_ERROR_NOT_FOUND;
}

AccelResult AccelSetMemHardLimit(const char *deviceUUID, uint64_t bytes) {
    (void)deviceUUID;
    (void)bytes;
    return fails("SetMemHardLimit") ? ACCEL_ERROR_NOT_SUPPORTED : ACCEL_SUCCESS;
}

AccelResult AccelSetComputeUnitHardLimit(const char *deviceUUID, uint32_t limit) {
    (void)deviceUUID;
    (void)limit;
    return fails("SetComputeUnitHardLimit") ? ACCEL_ERROR_OPERATION_FAILED : ACCEL_SUCCESS;
}

AccelResult AccelSnapshot(Accel2SnapshotContext *context) {
    (void)context;
    return ACCEL_ERROR_NOT_SUPPORTED;
}

AccelResult AccelResume(Accel2SnapshotContext *context) {
    (void)context;
    return ACCEL_ERROR_NOT_SUPPORTED;
}

AccelResult AccelGetProcessInformation(ProcessInformation *infos, size_t maxCount, size_t *count) {
    FILE *file = lines("processes");

    *count = 0;
    while (file && *count < maxCount) {
        ProcessInformation *info = &infos[*count];
        unsigned long long bytes;

        memset(info, 0, sizeof *info);
        if (fscanf(file, "%31s %63s %llu %lf", info->processId, info->deviceUUID, &bytes, &info->computeUtilizationPercent) != 4)
            break;
        info->memoryUsedBytes = bytes;
        ++*count;
    }
    if (file)
        (void)fclose(file);
    return ACCEL_SUCCESS;
}

AccelResult AccelGetDeviceMetrics(const char **uuids, size_t count, DeviceMetrics *metrics) {
    for (size_t i = 0; i < count; i++) {
        memset(&metrics[i], 0, sizeof metrics[i]);
        (void)snprintf(metrics[i].deviceUUID, sizeof metrics[i].deviceUUID, "%s", uuids[i]);
        metrics[i].powerUsageWatts = 250;
        metrics[i].utilizationPercent = 40;
        metrics[i].memoryUsedBytes = UINT64_C(4) << 30;
        metrics[i].pcieRxBytes = 2048;
        (void)snprintf(metrics[i].extraMetrics[0].key, sizeof metrics[i].extraMetrics[0].key, "smClock");
        metrics[i].extraMetrics[0].value = 1500;
        metrics[i].extraMetricsCount = 1;
    }
    return ACCEL_SUCCESS;
}

AccelResult AccelGetVendorMountLibs(MountPath *mounts, size_t maxCount, size_t *count) {
    (void)mounts;
    (void)maxCount;
    *count = 0;
    return fails("GetVendorMountLibs") ? ACCEL_ERROR_OPERATION_FAILED : ACCEL_SUCCESS;
}
