/*
 * Accelerator libraries that do what a test orders (misbehave.h). GENERATION is 1 or 2; LACKS_SOME leaves out the last two
 * functions, DISCOVERY_ONLY all but those that agents need.
 */
#include "misbehave.h"

#include "divvy/accelerator.h"

#include <stdio.h>
#include <string.h>

ACCELERATOR_API struct misbehave misbehave;

static LogCallbackFunc listener;

static uint32_t random_next(void) {
    misbehave.seed = misbehave.seed * 1664525u + 1013904223u;
    return misbehave.seed >> 8;
}

static void fill(void *memory, size_t bytes) {
    unsigned char *at = memory;

    if (misbehave.mode == UNTERMINATED)
        memset(memory, 'A', bytes);
    for (size_t i = 0; misbehave.mode == GARBAGE && i < bytes; i++)
        at[i] = random_next() % 3 ? (unsigned char)random_next() : (unsigned char)('a' + random_next() % 3);
}

static size_t counted(size_t good, size_t max) {
    switch (misbehave.mode) {
    case OVERCOUNT:
        return max + 1;
    case HUGE_COUNT:
        return SIZE_MAX;
    case GARBAGE:
        return random_next() % 8 == 0 ? SIZE_MAX - random_next() : random_next() % (max + 1);
    default:
        return good;
    }
}

/* What the call is to answer: 0, or its fault. */
static int begin(void) {
    misbehave.calls++;
    if (misbehave.level && listener)
        listener(misbehave.level, misbehave.message);
    return misbehave.calls == misbehave.fail_at ? misbehave.fail_code : 0;
}

#define BEGIN()                                                                                    \
    do {                                                                                           \
        int fault = begin();                                                                       \
        if (fault)                                                                                 \
            return (AccelResult)fault;                                                             \
    } while (0)

static AccelResult hear(LogCallbackFunc callback) {
    listener = callback;
    misbehave.listening = callback != NULL;
    return ACCEL_SUCCESS;
}

static AccelResult count_give(size_t *count) {
    BEGIN();
    *count = misbehave.mode == HUGE_COUNT ? SIZE_MAX : misbehave.mode == OVERCOUNT ? 64 : misbehave.mode == TWINS ? 3 : 2;
    return ACCEL_SUCCESS;
}

#define DEVICE_GIVE(type)                                                                          \
    static AccelResult devices_give(type *devices, size_t max, size_t *count) {                    \
        BEGIN();                                                                                   \
        for (size_t i = 0; i < max; i++) {                                                         \
            memset(&devices[i], 0, sizeof devices[i]);                                             \
            (void)snprintf(devices[i].basic.uuid, sizeof devices[i].basic.uuid, "%s-%zu",          \
                           misbehave.mode == TWINS && i == 1 ? "BAD" : "bad", misbehave.mode == TWINS ? 0 : i); \
            if (misbehave.mode == TWINS && i == 2)                                                 \
                devices[i].basic.uuid[0] = '\0';                                                   \
            (void)snprintf(devices[i].basic.vendor, sizeof devices[i].basic.vendor, "BAD");        \
            (void)snprintf(devices[i].basic.model, sizeof devices[i].basic.model, "Model\t%zu", i); \
            devices[i].basic.index = (int32_t)i;                                                   \
            devices[i].basic.numaNode = -7;                                                        \
            devices[i].basic.maxTflops = -1.0 / 0.0;                                               \
            devices[i].props.count = i == 0 ? 1000 : 1;                                            \
            (void)snprintf(devices[i].props.properties[0].key, 64, "key");                         \
            (void)snprintf(devices[i].props.properties[0].value, 256, "value");                    \
            (void)snprintf(devices[i].props.properties[1].key, 64, "KEY");                         \
            memset(&devices[i].virtualizationCapabilities, 0x5a, sizeof(bool));                    \
            fill(&devices[i], misbehave.mode == WELL ? 0 : sizeof devices[i]);                     \
        }                                                                                          \
        *count = counted(misbehave.mode == TWINS ? 3 : 2, max);                                    \
        return ACCEL_SUCCESS;                                                                      \
    }

static AccelResult metrics_give(const char **uuids, size_t count, DeviceMetrics *metrics) {
    BEGIN();
    for (size_t i = 0; i < count; i++) {
        memset(&metrics[i], 0, sizeof metrics[i]);
        metrics[i].powerUsageWatts = uuids[i][0] == 'n' ? 0.0 / 0.0 : 100;
        metrics[i].utilizationPercent = 1000;
        metrics[i].extraMetricsCount = counted(1, MAX_EXTRA_METRICS);
        (void)snprintf(metrics[i].extraMetrics[0].key, 64, "extra");
        metrics[i].extraMetrics[0].value = -2;
        fill(&metrics[i], sizeof metrics[i]);
        uuids[i] = NULL; /* it is the host's array, but who knows */
    }
    return ACCEL_SUCCESS;
}

#ifndef DISCOVERY_ONLY
static AccelResult done(void) {
    BEGIN();
    return ACCEL_SUCCESS;
}

static AccelResult processes_give(ProcessInformation *infos, size_t max, size_t *count) {
    BEGIN();
    memset(infos, 0, 2 * sizeof *infos);
    (void)snprintf(infos[0].processId, sizeof infos[0].processId, "4711");
    (void)snprintf(infos[0].deviceUUID, sizeof infos[0].deviceUUID, "bad-0");
    (void)snprintf(infos[1].processId, sizeof infos[1].processId, "-4711");
    fill(infos, max * sizeof *infos);
    *count = counted(2, max);
    return ACCEL_SUCCESS;
}

#ifndef LACKS_SOME
static AccelResult mounts_give(MountPath *mounts, size_t max, size_t *count) {
    BEGIN();
    memset(mounts, 0, 3 * sizeof *mounts);
    (void)snprintf(mounts[0].hostPath, sizeof mounts[0].hostPath, "/usr/lib/libbad.so");
    (void)snprintf(mounts[0].guestPath, sizeof mounts[0].guestPath, "/usr/lib/libbad.so");
    (void)snprintf(mounts[1].hostPath, sizeof mounts[1].hostPath, "../../etc/shadow");
    (void)snprintf(mounts[1].guestPath, sizeof mounts[1].guestPath, "/etc/shadow");
    fill(mounts, max * sizeof *mounts);
    *count = counted(2, max);
    return ACCEL_SUCCESS;
}
#endif
#endif

#if GENERATION == 1
DEVICE_GIVE(Accel1ExtendedDeviceInfo)

AccelResult VirtualGPUInit(void) {
    BEGIN();
    return ACCEL_SUCCESS;
}

AccelResult GetDeviceCount(size_t *count) {
    return count_give(count);
}

AccelResult GetAllDevices(Accel1ExtendedDeviceInfo *devices, size_t max, size_t *count) {
    return devices_give(devices, max, count);
}

AccelResult GetDeviceMetrics(const char **uuids, size_t count, DeviceMetrics *metrics) {
    return metrics_give(uuids, count, metrics);
}

#ifndef DISCOVERY_ONLY
AccelResult GetDeviceTopology(int32_t *indices, size_t count, Accel1ExtendedDeviceTopology *topology) {
    BEGIN();
    memset(topology, 0, sizeof *topology);
    for (size_t i = 0; i < count; i++)
        (void)snprintf(topology->devices[i].deviceUUID, 64, "bad-%d", indices[i]);
    fill(topology, sizeof *topology);
    topology->deviceCount = counted(count, count);
    return ACCEL_SUCCESS;
}

bool AssignPartition(Accel1PartitionAssignment *assignment) {
    if (begin())
        return false;
    (void)snprintf(assignment->partitionUUID, 64, "part");
    (void)snprintf(assignment->envVars[0].key, 64, "KEY");
    (void)snprintf(assignment->envVars[0].value, 256, "value");
    fill(assignment, sizeof *assignment);
    assignment->envVarCount = counted(1, MAX_PARTITION_ENVS);
    return true;
}

bool RemovePartition(const char *partitionUUID, const char *deviceUUID) {
    (void)partitionUUID;
    (void)deviceUUID;
    return begin() == 0;
}

AccelResult SetMemHardLimit(const char *workerId, const char *deviceUUID, uint64_t bytes) {
    (void)workerId;
    (void)deviceUUID;
    (void)bytes;
    return done();
}

AccelResult SetComputeUnitHardLimit(const char *workerId, const char *deviceUUID, uint32_t limit) {
    (void)workerId;
    (void)deviceUUID;
    (void)limit;
    return done();
}

AccelResult Snapshot(Accel1ProcessArray *processes) {
    memset(processes, 0x5a, sizeof *processes);
    return done();
}

#ifndef LACKS_SOME
AccelResult Resume(Accel1ProcessArray *processes) {
    (void)processes;
    return done();
}

AccelResult GetVendorMountLibs(MountPath *mounts, size_t max, size_t *count) {
    return mounts_give(mounts, max, count);
}
#endif

AccelResult GetProcessInformation(ProcessInformation *infos, size_t max, size_t *count) {
    return processes_give(infos, max, count);
}
#endif

AccelResult RegisterLogCallback(LogCallbackFunc callback) {
    return hear(callback);
}

#else
DEVICE_GIVE(Accel2ExtendedDeviceInfo)

AccelResult AccelInit(void) {
    BEGIN();
    return ACCEL_SUCCESS;
}

AccelResult AccelGetDeviceCount(size_t *count) {
    return count_give(count);
}

AccelResult AccelGetAllDevices(Accel2ExtendedDeviceInfo *devices, size_t max, size_t *count) {
    return devices_give(devices, max, count);
}

AccelResult AccelGetDeviceMetrics(const char **uuids, size_t count, DeviceMetrics *metrics) {
    return metrics_give(uuids, count, metrics);
}

#ifndef DISCOVERY_ONLY
AccelResult AccelShutdown(void) {
    misbehave.shutdowns++;
    return done();
}

AccelResult AccelGetAllDevicesTopology(Accel2ExtendedDeviceTopology *topology) {
    BEGIN();
    memset(topology, 0, sizeof *topology);
    (void)snprintf(topology->devices[0].deviceUUID, 64, "bad-0");
    (void)snprintf(topology->devices[0].peers[0].peerUUID, 64, "bad-1");
    memset(&topology->devices[0].peers[0].topoLevel, 0x7f, sizeof(int));
    topology->devices[0].peerCount = 1;
    fill(topology, sizeof *topology);
    topology->deviceCount = counted(1, MAX_TOPOLOGY_DEVICES);
    return ACCEL_SUCCESS;
}

AccelResult AccelAssignPartition(const char *templateId, const char *deviceUUID, Accel2PartitionResult *result) {
    BEGIN();
    (void)templateId;
    (void)deviceUUID;
    (void)snprintf(result->deviceUUID, 64, "part");
    (void)snprintf(result->envVars[0], 256, "KEY=value=more");
    (void)snprintf(result->envVars[2], 256, "EMPTY=");
    (void)snprintf(result->envVars[3], 256, "=none");
    (void)snprintf(result->deviceNodes[0], 1026, "/dev/a=/dev/b");
    fill(result, sizeof *result);
    if (misbehave.mode == OVERCOUNT)
        memset(&result->type, 0x7f, sizeof result->type);
    return ACCEL_SUCCESS;
}

AccelResult AccelRemovePartition(const char *templateId, const char *deviceUUID) {
    (void)templateId;
    (void)deviceUUID;
    return done();
}

AccelResult AccelSetMemHardLimit(const char *deviceUUID, uint64_t bytes) {
    (void)deviceUUID;
    (void)bytes;
    return done();
}

AccelResult AccelSetComputeUnitHardLimit(const char *deviceUUID, uint32_t limit) {
    (void)deviceUUID;
    (void)limit;
    return done();
}

AccelResult AccelSnapshot(Accel2SnapshotContext *context) {
    if (context->processIds)
        memset(context->processIds, 0x5a, context->processCount * sizeof *context->processIds);
    return done();
}

#ifndef LACKS_SOME
AccelResult AccelResume(Accel2SnapshotContext *context) {
    (void)context;
    return done();
}

AccelResult AccelGetVendorMountLibs(MountPath *mounts, size_t max, size_t *count) {
    return mounts_give(mounts, max, count);
}
#endif

AccelResult AccelGetProcessInformation(ProcessInformation *infos, size_t max, size_t *count) {
    return processes_give(infos, max, count);
}
#endif

AccelResult AccelRegisterLogCallback(LogCallbackFunc callback) {
    return hear(callback);
}
#endif
