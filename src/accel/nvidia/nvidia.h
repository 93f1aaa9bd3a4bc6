/*
 * Inside libaccelerator_nvidia.so: NVML, devices and partitions. All of it is called under the lock of the call
 * (provider/provider.h) and, but for start, with NVML begun.
 */
#ifndef DIVVY_ACCEL_NVIDIA_NVIDIA_H
#define DIVVY_ACCEL_NVIDIA_NVIDIA_H

#include "accel/provider/provider.h"
#include "cuda/nvml.h"

#define NVIDIA_UUID_BYTES NVML_DEVICE_UUID_V2_BUFFER_SIZE

/* Without these nothing can be told. */
#define NVIDIA_NEEDED(X)                                                                           \
    X(nvmlInit_v2)                                                                                 \
    X(nvmlShutdown)                                                                                \
    X(nvmlErrorString)                                                                             \
    X(nvmlDeviceGetCount_v2)                                                                       \
    X(nvmlDeviceGetHandleByIndex_v2)                                                               \
    X(nvmlDeviceGetUUID)

/* Any of these may be missing or fail. */
#define NVIDIA_WANTED(X)                                                                           \
    X(nvmlSystemGetDriverVersion)                                                                  \
    X(nvmlSystemGetCudaDriverVersion_v2)                                                           \
    X(nvmlDeviceGetName)                                                                           \
    X(nvmlDeviceGetBrand)                                                                          \
    X(nvmlDeviceGetArchitecture)                                                                   \
    X(nvmlDeviceGetSerial)                                                                         \
    X(nvmlDeviceGetBoardPartNumber)                                                                \
    X(nvmlDeviceGetMinorNumber)                                                                    \
    X(nvmlDeviceGetPciInfo_v3)                                                                     \
    X(nvmlDeviceGetVbiosVersion)                                                                   \
    X(nvmlDeviceGetInforomImageVersion)                                                            \
    X(nvmlDeviceGetMemoryInfo)                                                                     \
    X(nvmlDeviceGetMemoryInfo_v2)                                                                  \
    X(nvmlDeviceGetMemoryBusWidth)                                                                 \
    X(nvmlDeviceGetBAR1MemoryInfo)                                                                 \
    X(nvmlDeviceGetMemoryAffinity)                                                                 \
    X(nvmlDeviceGetNumGpuCores)                                                                    \
    X(nvmlDeviceGetCudaComputeCapability)                                                          \
    X(nvmlDeviceGetComputeMode)                                                                    \
    X(nvmlDeviceGetPersistenceMode)                                                                \
    X(nvmlDeviceGetEccMode)                                                                        \
    X(nvmlDeviceGetMaxClockInfo)                                                                   \
    X(nvmlDeviceGetClockInfo)                                                                      \
    X(nvmlDeviceGetEnforcedPowerLimit)                                                             \
    X(nvmlDeviceGetPowerManagementDefaultLimit)                                                    \
    X(nvmlDeviceGetPowerManagementLimitConstraints)                                                \
    X(nvmlDeviceGetTemperatureThreshold)                                                           \
    X(nvmlDeviceGetCurrPcieLinkGeneration)                                                         \
    X(nvmlDeviceGetCurrPcieLinkWidth)                                                              \
    X(nvmlDeviceGetMaxPcieLinkGeneration)                                                          \
    X(nvmlDeviceGetMaxPcieLinkWidth)                                                               \
    X(nvmlDeviceGetTopologyCommonAncestor)                                                         \
    X(nvmlDeviceGetUtilizationRates)                                                               \
    X(nvmlDeviceGetEncoderUtilization)                                                             \
    X(nvmlDeviceGetDecoderUtilization)                                                             \
    X(nvmlDeviceGetTemperature)                                                                    \
    X(nvmlDeviceGetPowerUsage)                                                                     \
    X(nvmlDeviceGetTotalEnergyConsumption)                                                         \
    X(nvmlDeviceGetPerformanceState)                                                               \
    X(nvmlDeviceGetFanSpeed)                                                                       \
    X(nvmlDeviceGetPcieThroughput)                                                                 \
    X(nvmlDeviceGetFieldValues)                                                                    \
    X(nvmlDeviceGetPcieReplayCounter)                                                              \
    X(nvmlDeviceGetTotalEccErrors)                                                                 \
    X(nvmlDeviceGetCurrentClocksThrottleReasons)                                                   \
    X(nvmlDeviceGetComputeRunningProcesses_v3)                                                     \
    X(nvmlDeviceGetGraphicsRunningProcesses_v3)                                                    \
    X(nvmlDeviceGetProcessUtilization)                                                             \
    X(nvmlDeviceGetMigMode)                                                                        \
    X(nvmlDeviceGetMaxMigDeviceCount)                                                              \
    X(nvmlDeviceGetMigDeviceHandleByIndex)                                                         \
    X(nvmlDeviceGetGpuInstanceId)                                                                  \
    X(nvmlDeviceGetComputeInstanceId)                                                              \
    X(nvmlDeviceGetGpuInstanceProfileInfo)                                                         \
    X(nvmlDeviceGetGpuInstanceProfileInfoV)                                                        \
    X(nvmlDeviceCreateGpuInstance)                                                                 \
    X(nvmlDeviceGetGpuInstanceById)                                                                \
    X(nvmlGpuInstanceDestroy)                                                                      \
    X(nvmlGpuInstanceGetInfo)                                                                      \
    X(nvmlGpuInstanceGetComputeInstanceProfileInfo)                                                \
    X(nvmlGpuInstanceCreateComputeInstance)                                                        \
    X(nvmlGpuInstanceGetComputeInstanceById)                                                       \
    X(nvmlComputeInstanceGetInfo_v2)                                                               \
    X(nvmlComputeInstanceDestroy)

#define NVIDIA_MEMBER(symbol) __typeof__(&symbol) symbol;
struct nvidia_functions {
    NVIDIA_NEEDED(NVIDIA_MEMBER) NVIDIA_WANTED(NVIDIA_MEMBER)
};
#undef NVIDIA_MEMBER

extern struct nvidia_functions divvy_nvidia_nvml;

/* Calls one that may be missing. */
#define NVIDIA_ASK(symbol, ...)                                                                    \
    (divvy_nvidia_nvml.symbol ? divvy_nvidia_nvml.symbol(__VA_ARGS__) : NVML_ERROR_FUNCTION_NOT_FOUND)

/* A GPU, or an instance of one. */
struct nvidia_device {
    nvmlDevice_t handle;
    nvmlDevice_t gpu; /* the same, but for an instance */
    unsigned int index; /* of the GPU */
    char uuid[NVIDIA_UUID_BYTES];
};

/* --- NVML (nvml.c) --------------------------------------------------------------------------------------------- */

AccelResult divvy_nvidia_start(void);
void divvy_nvidia_stop(void);

/* The file of the loaded libnvidia-ml, or NULL. */
const char *divvy_nvidia_library(void);

/* A failed call, told and in the ABI's terms. */
AccelResult divvy_nvidia_failed(const char *call, const char *device, nvmlReturn_t result);

AccelResult divvy_nvidia_count(size_t *ret_count);

/* GPU `index`. A failure is told. */
AccelResult divvy_nvidia_gpu(size_t index, struct nvidia_device *ret_device);

/* Calls visit for each instance of a GPU until it returns true; whether it did. */
bool divvy_nvidia_instances(const struct nvidia_device *gpu, bool (*visit)(const struct nvidia_device *instance, void *data),
                            void *data);

/* The GPU or instance of this UUID in any spelling, or NOT_FOUND. */
AccelResult divvy_nvidia_find(const char *uuid, struct nvidia_device *ret_device);

/* Streaming multiprocessors, 0 when not known. */
uint64_t divvy_nvidia_units(nvmlDevice_t gpu);

/* --- the slots of the table ------------------------------------------------------------------------------------ */

AccelResult divvy_nvidia_device(size_t index, Accel2DeviceBasicInfo *ret_basic, DeviceProperties *ret_properties,
                                VirtualizationCapabilities *ret_capabilities);
AccelResult divvy_nvidia_topology(size_t index, Accel2DeviceTopologyInfo *ret_row);
AccelResult divvy_nvidia_metrics(const char *uuid, DeviceMetrics *ret_metrics);
AccelResult divvy_nvidia_processes(ProcessInformation *ret_infos, size_t max, size_t *ret_count);
AccelResult divvy_nvidia_device_pids(const char *device_uuid, pid_t *ret_pids, size_t max, size_t *ret_count);
AccelResult divvy_nvidia_mounts(MountPath *ret_mounts, size_t max, size_t *ret_count);
AccelResult divvy_nvidia_assign(const char *template_id, const char *device_uuid, Accel2PartitionResult *ret_result);
AccelResult divvy_nvidia_remove(const char *name, const char *device_uuid);
AccelResult divvy_nvidia_snapshot(const pid_t *pids, size_t count);
AccelResult divvy_nvidia_resume(const pid_t *pids, size_t count);

#endif
