/* NVML as the MIG library uses it: loaded at run time, each function there or not. */
#ifndef DIVVY_MIG_NVML_H
#define DIVVY_MIG_NVML_H

#include "cuda/nvml.h"
#include "divvy/mig.h"

#include <stdbool.h>

/* Without these nothing can be told. */
#define DIVVY_MIG_NVML_NEEDED(X)                                                                   \
    X(nvmlInit_v2)                                                                                 \
    X(nvmlShutdown)                                                                                \
    X(nvmlErrorString)                                                                             \
    X(nvmlDeviceGetCount_v2)                                                                       \
    X(nvmlDeviceGetHandleByIndex_v2)                                                               \
    X(nvmlDeviceGetUUID)

/* One of these may be missing or fail. */
#define DIVVY_MIG_NVML_WANTED(X)                                                                   \
    X(nvmlDeviceGetName)                                                                           \
    X(nvmlDeviceGetMemoryInfo)                                                                     \
    X(nvmlDeviceGetUtilizationRates)                                                               \
    X(nvmlDeviceGetHandleByUUID)                                                                   \
    X(nvmlDeviceGetMigMode)                                                                        \
    X(nvmlDeviceGetMaxMigDeviceCount)                                                              \
    X(nvmlDeviceGetMigDeviceHandleByIndex)                                                         \
    X(nvmlDeviceGetAttributes_v2)                                                                  \
    X(nvmlDeviceGetGpuInstanceId)                                                                  \
    X(nvmlDeviceGetComputeInstanceId)                                                              \
    X(nvmlDeviceGetGpuInstanceProfileInfo)                                                         \
    X(nvmlDeviceGetGpuInstanceProfileInfoV)                                                        \
    X(nvmlDeviceGetGpuInstanceRemainingCapacity)                                                   \
    X(nvmlDeviceGetGpuInstanceById)                                                                \
    X(nvmlDeviceCreateGpuInstance)                                                                 \
    X(nvmlGpuInstanceDestroy)                                                                      \
    X(nvmlGpuInstanceGetInfo)                                                                      \
    X(nvmlGpuInstanceGetComputeInstanceProfileInfo)                                                \
    X(nvmlGpuInstanceCreateComputeInstance)                                                        \
    X(nvmlGpuInstanceGetComputeInstanceById)                                                       \
    X(nvmlComputeInstanceDestroy)

#define DIVVY_MIG_NVML_MEMBER(symbol) __typeof__(&symbol) symbol;
struct divvy_mig {
    DIVVY_MIG_NVML_NEEDED(DIVVY_MIG_NVML_MEMBER) DIVVY_MIG_NVML_WANTED(DIVVY_MIG_NVML_MEMBER)
    char library[256]; /* as it was asked for */
    bool is_apart;     /* there are no functions: see apart.h */
    struct divvy_mig_list *fresh; /* then: what opening has read, at fresh_ns */
    uint64_t fresh_ns;
};
#undef DIVVY_MIG_NVML_MEMBER

/* Calls one that may be missing. */
#define DIVVY_MIG_ASK(mig, symbol, ...)                                                            \
    ((mig)->symbol ? (mig)->symbol(__VA_ARGS__) : NVML_ERROR_FUNCTION_NOT_FOUND)

/* The negative errno that an answer of NVML means. */
int divvy_mig_nvml_errno(nvmlReturn_t result);

#endif
