/*
 * Generation 1 of the accelerator provider ABI: VirtualGPUInit and bare names. Include divvy/accelerator.h. Structures whose
 * layout differs from generation 2 carry Accel1 in front of their published name.
 *
 * All functions but RegisterLogCallback are needed by a host. Any thread, one after another; they block as long as the driver
 * does. The library writes to the caller's buffers only during the call. Ids are at most 63 bytes and a NUL; a library reads no
 * more than 64 bytes of them.
 */
#ifndef DIVVY_ACCELERATOR_1_H
#define DIVVY_ACCELERATOR_1_H

#include "divvy/accelerator_types.h"

#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    char uuid[UUID_STRING_LENGTH];
    char vendor[32];
    char model[128];
    char driverVersion[64];
    char firmwareVersion[64];
    int32_t index;
    int32_t numaNode; /* -1: none */
    uint64_t totalMemoryBytes;
    uint64_t totalComputeUnits;
    double maxTflops;
    uint32_t pcieGen;
    uint32_t pcieWidth;
} Accel1DeviceBasicInfo;
DIVVY_ABI_SIZE(Accel1DeviceBasicInfo, 392);
DIVVY_ABI_OFFSET(Accel1DeviceBasicInfo, vendor, 64);
DIVVY_ABI_OFFSET(Accel1DeviceBasicInfo, model, 96);
DIVVY_ABI_OFFSET(Accel1DeviceBasicInfo, driverVersion, 224);
DIVVY_ABI_OFFSET(Accel1DeviceBasicInfo, firmwareVersion, 288);
DIVVY_ABI_OFFSET(Accel1DeviceBasicInfo, index, 352);
DIVVY_ABI_OFFSET(Accel1DeviceBasicInfo, numaNode, 356);
DIVVY_ABI_OFFSET(Accel1DeviceBasicInfo, totalMemoryBytes, 360);
DIVVY_ABI_OFFSET(Accel1DeviceBasicInfo, totalComputeUnits, 368);
DIVVY_ABI_OFFSET(Accel1DeviceBasicInfo, maxTflops, 376);
DIVVY_ABI_OFFSET(Accel1DeviceBasicInfo, pcieGen, 384);
DIVVY_ABI_OFFSET(Accel1DeviceBasicInfo, pcieWidth, 388);

typedef struct {
    Accel1DeviceBasicInfo basic;
    DeviceProperties props;
    VirtualizationCapabilities virtualizationCapabilities;
} Accel1ExtendedDeviceInfo;
DIVVY_ABI_SIZE(Accel1ExtendedDeviceInfo, 20896);
DIVVY_ABI_OFFSET(Accel1ExtendedDeviceInfo, props, 392);
DIVVY_ABI_OFFSET(Accel1ExtendedDeviceInfo, virtualizationCapabilities, 20880);

typedef struct {
    char deviceUUID[UUID_STRING_LENGTH];
    int32_t numaNode;
} Accel1DeviceTopology;
DIVVY_ABI_SIZE(Accel1DeviceTopology, 68);
DIVVY_ABI_OFFSET(Accel1DeviceTopology, numaNode, 64);

typedef struct {
    Accel1DeviceTopology devices[MAX_TOPOLOGY_DEVICES];
    size_t deviceCount;
    char topologyType[32];
} Accel1ExtendedDeviceTopology;
DIVVY_ABI_SIZE(Accel1ExtendedDeviceTopology, 4392);
DIVVY_ABI_OFFSET(Accel1ExtendedDeviceTopology, deviceCount, 4352);
DIVVY_ABI_OFFSET(Accel1ExtendedDeviceTopology, topologyType, 4360);

typedef struct {
    char key[MAX_ENV_KEY_LENGTH];
    char value[MAX_ENV_VALUE_LENGTH];
} Accel1EnvVar;
DIVVY_ABI_SIZE(Accel1EnvVar, 320);
DIVVY_ABI_OFFSET(Accel1EnvVar, value, 64);

typedef struct {
    char templateId[64];                    /* in */
    char deviceUUID[UUID_STRING_LENGTH];    /* in */
    char partitionUUID[UUID_STRING_LENGTH]; /* out, as all that follows */
    Accel1EnvVar envVars[MAX_PARTITION_ENVS];
    size_t envVarCount;
} Accel1PartitionAssignment;
DIVVY_ABI_SIZE(Accel1PartitionAssignment, 5320);
DIVVY_ABI_OFFSET(Accel1PartitionAssignment, deviceUUID, 64);
DIVVY_ABI_OFFSET(Accel1PartitionAssignment, partitionUUID, 128);
DIVVY_ABI_OFFSET(Accel1PartitionAssignment, envVars, 192);
DIVVY_ABI_OFFSET(Accel1PartitionAssignment, envVarCount, 5312);

/* No function uses it. */
typedef struct {
    char workerId[64];
    char deviceUUID[UUID_STRING_LENGTH];
    pid_t processId;
    uint64_t memoryLimitBytes;
    uint32_t computeUnitLimit;
} Accel1WorkerInfo;
DIVVY_ABI_SIZE(Accel1WorkerInfo, 152);
DIVVY_ABI_OFFSET(Accel1WorkerInfo, deviceUUID, 64);
DIVVY_ABI_OFFSET(Accel1WorkerInfo, processId, 128);
DIVVY_ABI_OFFSET(Accel1WorkerInfo, memoryLimitBytes, 136);
DIVVY_ABI_OFFSET(Accel1WorkerInfo, computeUnitLimit, 144);

typedef struct {
    pid_t processIds[MAX_PROCESSES];
    size_t processCount;
    char deviceUUID[UUID_STRING_LENGTH];
} Accel1ProcessArray;
DIVVY_ABI_SIZE(Accel1ProcessArray, 4168);
DIVVY_ABI_OFFSET(Accel1ProcessArray, processCount, 4096);
DIVVY_ABI_OFFSET(Accel1ProcessArray, deviceUUID, 4104);

/* Deprecated by its makers; no function uses it. */
typedef struct {
    char uuid[UUID_STRING_LENGTH];
} Accel1DeviceUUIDEntry;
DIVVY_ABI_SIZE(Accel1DeviceUUIDEntry, 64);

/* May be called again at any time. NOT_FOUND: no driver on this machine. */
ACCELERATOR_API AccelResult VirtualGPUInit(void);

/* INVALID_PARAM for NULL. */
ACCELERATOR_API AccelResult GetDeviceCount(size_t *count);

/* The first maxCount devices. INVALID_PARAM for NULL and for maxCount 0. */
ACCELERATOR_API AccelResult GetAllDevices(Accel1ExtendedDeviceInfo *devices, size_t maxCount, size_t *count);

/* Of these devices, by index. INVALID_PARAM for NULL, for count 0 or above 64; NOT_FOUND for an index that is none. */
ACCELERATOR_API AccelResult GetDeviceTopology(int32_t *indices, size_t count, Accel1ExtendedDeviceTopology *topology);

/* All or nothing: false leaves no partition and the outputs zero. */
ACCELERATOR_API bool AssignPartition(Accel1PartitionAssignment *assignment);

/* A partition's UUID, or the template's id: then the newest partition made from it there. True when there is none. */
ACCELERATOR_API bool RemovePartition(const char *partitionUUID, const char *deviceUUID);

/* INVALID_PARAM for 0 bytes; NOT_SUPPORTED where the driver has no such limit. */
ACCELERATOR_API AccelResult SetMemHardLimit(const char *workerId, const char *deviceUUID, uint64_t bytes);

/* Percent. INVALID_PARAM for 0 and above 100; NOT_SUPPORTED where the driver has no such limit. */
ACCELERATOR_API AccelResult SetComputeUnitHardLimit(const char *workerId, const char *deviceUUID, uint32_t limit);

/* These processes, or with a processCount of 0 all of the device. All or none. NOT_FOUND: a process that is none. */
ACCELERATOR_API AccelResult Snapshot(Accel1ProcessArray *processes);

/* The other way. */
ACCELERATOR_API AccelResult Resume(Accel1ProcessArray *processes);

/* One entry for each process and device. INVALID_PARAM for NULL and for maxCount 0. */
ACCELERATOR_API AccelResult GetProcessInformation(ProcessInformation *infos, size_t maxCount, size_t *count);

/*
 * `count` UUIDs, as many metrics. INVALID_PARAM for NULL and for count 0 or above 64; NOT_FOUND when none of them is a device of
 * the library. One that is none among others has zeros, and a message says so.
 */
ACCELERATOR_API AccelResult GetDeviceMetrics(const char **uuids, size_t count, DeviceMetrics *metrics);

/* Always succeeds where its arguments are valid: INVALID_PARAM for NULL and for maxCount 0. */
ACCELERATOR_API AccelResult GetVendorMountLibs(MountPath *mounts, size_t maxCount, size_t *count);

/* Optional, before init or later. NULL: no messages any more. Called only inside calls of the host, on the same thread. */
ACCELERATOR_API AccelResult RegisterLogCallback(LogCallbackFunc callback);

#ifdef __cplusplus
}
#endif

#endif
