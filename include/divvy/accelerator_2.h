/*
 * Generation 2 of the accelerator provider ABI: AccelInit and Accel*. Include divvy/accelerator.h. Structures whose layout
 * differs from generation 1 carry Accel2 in front of their published name. What is said in accelerator_1.h about threads,
 * buffers and ids is true here too.
 */
#ifndef DIVVY_ACCELERATOR_2_H
#define DIVVY_ACCELERATOR_2_H

#include "divvy/accelerator_types.h"

#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MAX_PARTITION_DEVICE_NODES       16
#define MAX_PARTITION_DEVICE_NODE_LENGTH (512 * 2 + 2)

typedef enum { PARTITION_TYPE_ENVIRONMENT_VARIABLE = 0, PARTITION_TYPE_DEVICE_NODE = 1 } PartitionResultType;

typedef enum {
    TOPO_LEVEL_INTERNAL = 0,
    TOPO_LEVEL_SINGLE_SWITCH = 1,
    TOPO_LEVEL_MULTI_SWITCH = 2,
    TOPO_LEVEL_HOST_BRIDGE = 3,
    TOPO_LEVEL_NUMA_NODE = 4,
    TOPO_LEVEL_SYSTEM = 5,
    TOPO_LEVEL_SELF = 6,
    TOPO_LEVEL_UNKNOWN = 7
} TopoLevelType;

typedef struct {
    char uuid[UUID_STRING_LENGTH];
    char vendor[32];
    char model[128];
    char driverVersion[80];
    char firmwareVersion[64];
    char deviceNode[64];
    int32_t index;
    int32_t numaNode; /* -1: none */
    uint64_t totalMemoryBytes;
    uint64_t totalComputeUnits;
    double maxTflops;
    uint32_t pcieGen;
    uint32_t pcieWidth;
} Accel2DeviceBasicInfo;
DIVVY_ABI_SIZE(Accel2DeviceBasicInfo, 472);
DIVVY_ABI_OFFSET(Accel2DeviceBasicInfo, vendor, 64);
DIVVY_ABI_OFFSET(Accel2DeviceBasicInfo, model, 96);
DIVVY_ABI_OFFSET(Accel2DeviceBasicInfo, driverVersion, 224);
DIVVY_ABI_OFFSET(Accel2DeviceBasicInfo, firmwareVersion, 304);
DIVVY_ABI_OFFSET(Accel2DeviceBasicInfo, deviceNode, 368);
DIVVY_ABI_OFFSET(Accel2DeviceBasicInfo, index, 432);
DIVVY_ABI_OFFSET(Accel2DeviceBasicInfo, numaNode, 436);
DIVVY_ABI_OFFSET(Accel2DeviceBasicInfo, totalMemoryBytes, 440);
DIVVY_ABI_OFFSET(Accel2DeviceBasicInfo, totalComputeUnits, 448);
DIVVY_ABI_OFFSET(Accel2DeviceBasicInfo, maxTflops, 456);
DIVVY_ABI_OFFSET(Accel2DeviceBasicInfo, pcieGen, 464);
DIVVY_ABI_OFFSET(Accel2DeviceBasicInfo, pcieWidth, 468);

typedef struct {
    Accel2DeviceBasicInfo basic;
    DeviceProperties props;
    VirtualizationCapabilities virtualizationCapabilities;
} Accel2ExtendedDeviceInfo;
DIVVY_ABI_SIZE(Accel2ExtendedDeviceInfo, 20976);
DIVVY_ABI_OFFSET(Accel2ExtendedDeviceInfo, props, 472);
DIVVY_ABI_OFFSET(Accel2ExtendedDeviceInfo, virtualizationCapabilities, 20960);

typedef struct {
    char peerUUID[UUID_STRING_LENGTH];
    int32_t peerIndex;
    TopoLevelType topoLevel;
} Accel2DeviceTopoNode;
DIVVY_ABI_SIZE(Accel2DeviceTopoNode, 72);
DIVVY_ABI_OFFSET(Accel2DeviceTopoNode, peerIndex, 64);
DIVVY_ABI_OFFSET(Accel2DeviceTopoNode, topoLevel, 68);

typedef struct {
    char deviceUUID[UUID_STRING_LENGTH];
    int32_t deviceIndex;
    int32_t numaNode;
    Accel2DeviceTopoNode peers[MAX_TOPOLOGY_DEVICES];
    size_t peerCount;
} Accel2DeviceTopologyInfo;
DIVVY_ABI_SIZE(Accel2DeviceTopologyInfo, 4688);
DIVVY_ABI_OFFSET(Accel2DeviceTopologyInfo, deviceIndex, 64);
DIVVY_ABI_OFFSET(Accel2DeviceTopologyInfo, numaNode, 68);
DIVVY_ABI_OFFSET(Accel2DeviceTopologyInfo, peers, 72);
DIVVY_ABI_OFFSET(Accel2DeviceTopologyInfo, peerCount, 4680);

/* 300 KB: not for stacks. */
typedef struct {
    Accel2DeviceTopologyInfo devices[MAX_TOPOLOGY_DEVICES];
    size_t deviceCount;
} Accel2ExtendedDeviceTopology;
DIVVY_ABI_SIZE(Accel2ExtendedDeviceTopology, 300040);
DIVVY_ABI_OFFSET(Accel2ExtendedDeviceTopology, deviceCount, 300032);

/* Processes, or with NULL and 0 all processes of the device. Borrowed. */
typedef struct {
    pid_t *processIds;
    size_t processCount;
    const char *deviceUUID;
} Accel2SnapshotContext;
DIVVY_ABI_SIZE(Accel2SnapshotContext, 24);
DIVVY_ABI_OFFSET(Accel2SnapshotContext, processCount, 8);
DIVVY_ABI_OFFSET(Accel2SnapshotContext, deviceUUID, 16);

typedef struct {
    PartitionResultType type;
    char deviceUUID[UUID_STRING_LENGTH]; /* of the partition */
    char envVars[MAX_PARTITION_ENVS][MAX_ENV_VALUE_LENGTH];                             /* KEY=VALUE, or empty */
    char deviceNodes[MAX_PARTITION_DEVICE_NODES][MAX_PARTITION_DEVICE_NODE_LENGTH];     /* HOST=GUEST, or empty */
} Accel2PartitionResult;
DIVVY_ABI_SIZE(Accel2PartitionResult, 20580);
DIVVY_ABI_OFFSET(Accel2PartitionResult, deviceUUID, 4);
DIVVY_ABI_OFFSET(Accel2PartitionResult, envVars, 68);
DIVVY_ABI_OFFSET(Accel2PartitionResult, deviceNodes, 4164);

/* May be called again at any time, also after AccelShutdown. NOT_FOUND: no driver on this machine. */
ACCELERATOR_API AccelResult AccelInit(void);

/* Lets go of the driver. Functions may be called afterwards, and take hold of it again. */
ACCELERATOR_API AccelResult AccelShutdown(void);

/* INVALID_PARAM for NULL. */
ACCELERATOR_API AccelResult AccelGetDeviceCount(size_t *count);

/* The first maxCount devices. INVALID_PARAM for NULL and for maxCount 0. */
ACCELERATOR_API AccelResult AccelGetAllDevices(Accel2ExtendedDeviceInfo *devices, size_t maxCount, size_t *count);

/* Of all devices, 64 at most. */
ACCELERATOR_API AccelResult AccelGetAllDevicesTopology(Accel2ExtendedDeviceTopology *topology);

/* All or nothing: a failure leaves no partition, and *result zero. */
ACCELERATOR_API AccelResult AccelAssignPartition(const char *templateId, const char *deviceUUID, Accel2PartitionResult *result);

/* The template's id: the newest partition made from it there; or a partition's UUID. Success when there is none. */
ACCELERATOR_API AccelResult AccelRemovePartition(const char *templateId, const char *deviceUUID);

/* INVALID_PARAM for 0 bytes; NOT_SUPPORTED where the driver has no such limit. */
ACCELERATOR_API AccelResult AccelSetMemHardLimit(const char *deviceUUID, uint64_t bytes);

/* Percent. INVALID_PARAM for 0 and above 100; NOT_SUPPORTED where the driver has no such limit. */
ACCELERATOR_API AccelResult AccelSetComputeUnitHardLimit(const char *deviceUUID, uint32_t limit);

/* All or none. INVALID_PARAM for more than 1024 processes, or neither processes nor a device; NOT_FOUND: no such process. */
ACCELERATOR_API AccelResult AccelSnapshot(Accel2SnapshotContext *context);

/* The other way. */
ACCELERATOR_API AccelResult AccelResume(Accel2SnapshotContext *context);

/* One entry for each process and device. INVALID_PARAM for NULL and for maxCount 0. */
ACCELERATOR_API AccelResult AccelGetProcessInformation(ProcessInformation *infos, size_t maxCount, size_t *count);

/*
 * `count` UUIDs, as many metrics. INVALID_PARAM for NULL and for count 0 or above 64; NOT_FOUND when none of them is a device of
 * the library. One that is none among others has zeros, and a message says so.
 */
ACCELERATOR_API AccelResult AccelGetDeviceMetrics(const char **uuids, size_t count, DeviceMetrics *metrics);

/* Always succeeds where its arguments are valid: INVALID_PARAM for NULL and for maxCount 0. */
ACCELERATOR_API AccelResult AccelGetVendorMountLibs(MountPath *mounts, size_t maxCount, size_t *count);

/* Optional, before init or later. NULL: no messages any more. Called only inside calls of the host, on the same thread. */
ACCELERATOR_API AccelResult AccelRegisterLogCallback(LogCallbackFunc callback);

#ifdef __cplusplus
}
#endif

#endif
