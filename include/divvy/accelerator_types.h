/*
 * What both generations of the accelerator provider ABI share: result codes, constants, structures. Include
 * divvy/accelerator.h. The contract is TensorFusion's; names, sizes and offsets are theirs and are asserted (x86-64 and every
 * other LP64 machine).
 */
#ifndef DIVVY_ACCELERATOR_TYPES_H
#define DIVVY_ACCELERATOR_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a library exports. */
#define ACCELERATOR_API __attribute__((visibility("default")))

/* Layouts are part of the contract: a build that would change one fails. */
#if defined(__cplusplus)
#define DIVVY_ABI_ASSERT(condition, text) static_assert(condition, text)
#else
#define DIVVY_ABI_ASSERT(condition, text) _Static_assert(condition, text)
#endif
#define DIVVY_ABI_SIZE(type, bytes)           DIVVY_ABI_ASSERT(sizeof(type) == (bytes), #type " is not " #bytes " bytes")
#define DIVVY_ABI_OFFSET(type, member, bytes) DIVVY_ABI_ASSERT(offsetof(type, member) == (bytes), #type "." #member)

#define MAX_DEVICE_PROPERTIES 64
#define MAX_TOPOLOGY_DEVICES  64
#define MAX_EXTRA_METRICS     64
#define MAX_DEVICE_UUIDS      64
#define UUID_STRING_LENGTH    64
#define MAX_ENV_KEY_LENGTH    64
#define MAX_PROCESSES         1024
#define MAX_MOUNT_PATH        512
#define MAX_PARTITION_ENVS    16
#define MAX_ENV_VALUE_LENGTH  256

/* Generation 1 calls these RESULT_*, with the same numbers. */
typedef enum {
    ACCEL_SUCCESS = 0,
    ACCEL_ERROR_INVALID_PARAM = 1,
    ACCEL_ERROR_NOT_FOUND = 2,
    ACCEL_ERROR_NOT_SUPPORTED = 3,
    ACCEL_ERROR_RESOURCE_EXHAUSTED = 4,
    ACCEL_ERROR_OPERATION_FAILED = 5,
    ACCEL_ERROR_INTERNAL = 6
} AccelResult;
DIVVY_ABI_SIZE(AccelResult, 4);

/*
 * Level: DEBUG, INFO, WARN, WARNING, ERROR or FATAL in one case; a host of TensorFusion ends at FATAL. Both texts are the
 * library's and valid during the call only.
 */
typedef void (*LogCallbackFunc)(const char *level, const char *message);

typedef struct {
    bool supportsPartitioning;
    bool supportsSoftIsolation;
    bool supportsHardIsolation;
    bool supportsSnapshot;
    bool supportsMetrics;
    bool supportsRemoting;
    uint32_t maxPartitions;
    uint32_t maxWorkersPerDevice;
} VirtualizationCapabilities;
DIVVY_ABI_SIZE(VirtualizationCapabilities, 16);
DIVVY_ABI_OFFSET(VirtualizationCapabilities, supportsPartitioning, 0);
DIVVY_ABI_OFFSET(VirtualizationCapabilities, supportsSoftIsolation, 1);
DIVVY_ABI_OFFSET(VirtualizationCapabilities, supportsHardIsolation, 2);
DIVVY_ABI_OFFSET(VirtualizationCapabilities, supportsSnapshot, 3);
DIVVY_ABI_OFFSET(VirtualizationCapabilities, supportsMetrics, 4);
DIVVY_ABI_OFFSET(VirtualizationCapabilities, supportsRemoting, 5);
DIVVY_ABI_OFFSET(VirtualizationCapabilities, maxPartitions, 8);
DIVVY_ABI_OFFSET(VirtualizationCapabilities, maxWorkersPerDevice, 12);

typedef struct {
    char key[64];
    char value[256];
} DevicePropertyKV;
DIVVY_ABI_SIZE(DevicePropertyKV, 320);
DIVVY_ABI_OFFSET(DevicePropertyKV, value, 64);

typedef struct {
    DevicePropertyKV properties[MAX_DEVICE_PROPERTIES];
    size_t count; /* at most MAX_DEVICE_PROPERTIES */
} DeviceProperties;
DIVVY_ABI_SIZE(DeviceProperties, 20488);
DIVVY_ABI_OFFSET(DeviceProperties, count, 20480);

/* No function returns it. */
typedef struct {
    char templateId[64];
    char name[128];
    uint64_t memoryBytes;
    uint64_t computeUnits;
    double tflops;
    uint32_t sliceCount;
    bool isDefault;
    char description[256];
} PartitionTemplate;
DIVVY_ABI_SIZE(PartitionTemplate, 480);
DIVVY_ABI_OFFSET(PartitionTemplate, name, 64);
DIVVY_ABI_OFFSET(PartitionTemplate, memoryBytes, 192);
DIVVY_ABI_OFFSET(PartitionTemplate, computeUnits, 200);
DIVVY_ABI_OFFSET(PartitionTemplate, tflops, 208);
DIVVY_ABI_OFFSET(PartitionTemplate, sliceCount, 216);
DIVVY_ABI_OFFSET(PartitionTemplate, isDefault, 220);
DIVVY_ABI_OFFSET(PartitionTemplate, description, 221);

typedef struct {
    char key[64];
    double value;
} ExtraMetric;
DIVVY_ABI_SIZE(ExtraMetric, 72);
DIVVY_ABI_OFFSET(ExtraMetric, value, 64);

typedef struct {
    char processId[32]; /* decimal */
    char deviceUUID[UUID_STRING_LENGTH];
    double computeUtilizationPercent;
    uint64_t activeSMs;
    uint64_t totalSMs;
    uint64_t memoryUsedBytes;
    uint64_t memoryReservedBytes;
    double memoryUtilizationPercent;
} ProcessInformation;
DIVVY_ABI_SIZE(ProcessInformation, 144);
DIVVY_ABI_OFFSET(ProcessInformation, deviceUUID, 32);
DIVVY_ABI_OFFSET(ProcessInformation, computeUtilizationPercent, 96);
DIVVY_ABI_OFFSET(ProcessInformation, activeSMs, 104);
DIVVY_ABI_OFFSET(ProcessInformation, totalSMs, 112);
DIVVY_ABI_OFFSET(ProcessInformation, memoryUsedBytes, 120);
DIVVY_ABI_OFFSET(ProcessInformation, memoryReservedBytes, 128);
DIVVY_ABI_OFFSET(ProcessInformation, memoryUtilizationPercent, 136);

typedef struct {
    char deviceUUID[UUID_STRING_LENGTH]; /* as it was asked for */
    double powerUsageWatts;
    double temperatureCelsius;
    uint64_t pcieRxBytes;
    uint64_t pcieTxBytes;
    uint32_t utilizationPercent;
    uint64_t memoryUsedBytes;
    ExtraMetric extraMetrics[MAX_EXTRA_METRICS];
    size_t extraMetricsCount; /* at most MAX_EXTRA_METRICS */
} DeviceMetrics;
DIVVY_ABI_SIZE(DeviceMetrics, 4728);
DIVVY_ABI_OFFSET(DeviceMetrics, powerUsageWatts, 64);
DIVVY_ABI_OFFSET(DeviceMetrics, temperatureCelsius, 72);
DIVVY_ABI_OFFSET(DeviceMetrics, pcieRxBytes, 80);
DIVVY_ABI_OFFSET(DeviceMetrics, pcieTxBytes, 88);
DIVVY_ABI_OFFSET(DeviceMetrics, utilizationPercent, 96);
DIVVY_ABI_OFFSET(DeviceMetrics, memoryUsedBytes, 104);
DIVVY_ABI_OFFSET(DeviceMetrics, extraMetrics, 112);
DIVVY_ABI_OFFSET(DeviceMetrics, extraMetricsCount, 4720);

/* Generation 1 calls it Mount. */
typedef struct {
    char hostPath[MAX_MOUNT_PATH];
    char guestPath[MAX_MOUNT_PATH];
} MountPath;
DIVVY_ABI_SIZE(MountPath, 1024);
DIVVY_ABI_OFFSET(MountPath, guestPath, 512);

#endif
