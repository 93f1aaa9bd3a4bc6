/*
 * Which functions of the driver and of NVML the limiter takes, one row each:
 *
 *   X(symbol, "what the hook does")
 *
 * Prototypes come from cuda/driver_table.h and cuda/nvml_table.h; the body of a row is
 * `divvy_hook_<symbol>` in the folder that the list is named after. Exports, the answers of dlsym,
 * dlvsym and cuGetProcAddress, the tests of interception and docs/COVERAGE.md expand these lists;
 * nothing else names hooked functions. The rows of the gate stand in limiter/compute/hooks_table.h, those of functions that
 * only have to wait while the tenant is saved in limiter/hook/door_table.h.
 */
#ifndef DIVVY_LIMITER_HOOK_TABLE_H
#define DIVVY_LIMITER_HOOK_TABLE_H

#include "cuda/driver.h"
#include "cuda/nvml.h"
#include "limiter/compute/compute.h"

/* clang-format off */
#define DIVVY_BASE_HOOKS(X) \
    X(cuInit, "limits are read and the tenant's page is attached; refused when the limits cannot be understood") \
    X(cuGetProcAddress, "the driver answers; its pointer is exchanged for the hook of that exact form") \
    X(cuGetProcAddress_v2, "the driver answers; its pointer is exchanged for the hook of that exact form")

#define DIVVY_MEMORY_HOOKS(X) \
    X(cuMemAlloc, "charged: size") X(cuMemAlloc_v2, "charged: size") \
    X(cuMemAllocPitch, "charged: pitch x height") X(cuMemAllocPitch_v2, "charged: pitch x height") \
    X(cuMemAllocManaged, "charged: full size, on the current device") \
    X(cuMemFree, "credited") X(cuMemFree_v2, "credited") \
    X(cuMemAllocAsync, "charged: what its pool grows by") X(cuMemAllocAsync_ptsz, "charged: what its pool grows by") \
    X(cuMemAllocFromPoolAsync, "charged: what its pool grows by") \
    X(cuMemAllocFromPoolAsync_ptsz, "charged: what its pool grows by") \
    X(cuMemFreeAsync, "back to its pool; credited when the pool gives it back") \
    X(cuMemFreeAsync_ptsz, "back to its pool; credited when the pool gives it back") \
    X(cuMemPoolCreate, "followed: pool and its device") \
    X(cuMemPoolDestroy, "credited: what the pool kept") X(cuMemPoolTrimTo, "credited: what the pool gave back") \
    X(cuDeviceSetMemPool, "followed: which pool a device allocates from") \
    X(cuMemSetMemPool, "followed: which pool a device allocates from") \
    X(cuStreamSynchronize, "pools that shrank are credited") X(cuStreamSynchronize_ptsz, "pools that shrank are credited") \
    X(cuEventSynchronize, "pools that shrank are credited") \
    X(cuCtxSynchronize, "pools that shrank are credited") X(cuCtxSynchronize_v2, "pools that shrank are credited") \
    X(cuMemCreate, "charged: size, on the device of its properties; host memory is not") \
    X(cuMemRelease, "credited with the last handle and the last mapping") \
    X(cuMemRetainAllocationHandle, "followed: one more handle") \
    X(cuMemImportFromShareableHandle, "followed: the exporter's bytes, not charged again") \
    X(cuMemMap, "followed: one more mapping") X(cuMemUnmap, "credited with the last handle and the last mapping") \
    X(cuMemMapArrayAsync, "followed: the array holds the memory") X(cuMemMapArrayAsync_ptsz, "followed: the array holds the memory") \
    X(cuArrayCreate, "charged: all elements") X(cuArrayCreate_v2, "charged: all elements") \
    X(cuArray3DCreate, "charged: all elements and layers") X(cuArray3DCreate_v2, "charged: all elements and layers; sparse arrays by what is mapped") \
    X(cuArrayDestroy, "credited") \
    X(cuMipmappedArrayCreate, "charged: all levels") X(cuMipmappedArrayDestroy, "credited") \
    X(cuDeviceGraphMemTrim, "credited: what the graphs' pool gave back") \
    X(cuCtxCreate, "context counted; its overhead is measured") X(cuCtxCreate_v2, "context counted; its overhead is measured") \
    X(cuCtxCreate_v3, "context counted; its overhead is measured") X(cuCtxCreate_v4, "context counted; its overhead is measured") \
    X(cuCtxAttach, "the gate learns of the context") \
    X(cuCtxDetach, "what the context held is credited") \
    X(cuCtxDestroy, "what the context held is credited") X(cuCtxDestroy_v2, "what the context held is credited") \
    X(cuGreenCtxDestroy, "the gate forgets the context") \
    X(cuDevicePrimaryCtxRetain, "context counted; its overhead is measured") \
    X(cuDevicePrimaryCtxRelease, "with the last release, what the context held is credited") \
    X(cuDevicePrimaryCtxRelease_v2, "with the last release, what the context held is credited") \
    X(cuDevicePrimaryCtxReset, "what the context held is credited") \
    X(cuDevicePrimaryCtxReset_v2, "what the context held is credited")

#define DIVVY_VIEW_HOOKS(X) \
    X(cuMemGetInfo, "shows the limit and what is left of it") X(cuMemGetInfo_v2, "shows the limit and what is left of it") \
    X(cuDeviceTotalMem, "shows the limit") X(cuDeviceTotalMem_v2, "shows the limit")

#define DIVVY_NVML_HOOKS(X) \
    X(nvmlInit, "limits are read and the tenant's page is attached") \
    X(nvmlInit_v2, "limits are read and the tenant's page is attached") \
    X(nvmlInitWithFlags, "limits are read and the tenant's page is attached") \
    X(nvmlDeviceGetMemoryInfo, "total is the limit, used the tenant's charge") \
    X(nvmlDeviceGetMemoryInfo_v2, "total is the limit, used the tenant's charge, reserved 0") \
    X(nvmlDeviceGetUtilizationRates, "the tenant's own processes only") \
    X(nvmlDeviceGetComputeRunningProcesses, "the tenant's own processes only") \
    X(nvmlDeviceGetComputeRunningProcesses_v2, "the tenant's own processes only") \
    X(nvmlDeviceGetComputeRunningProcesses_v3, "the tenant's own processes only") \
    X(nvmlDeviceGetGraphicsRunningProcesses, "the tenant's own processes only") \
    X(nvmlDeviceGetGraphicsRunningProcesses_v2, "the tenant's own processes only") \
    X(nvmlDeviceGetGraphicsRunningProcesses_v3, "the tenant's own processes only") \
    X(nvmlDeviceGetMPSComputeRunningProcesses, "the tenant's own processes only") \
    X(nvmlDeviceGetMPSComputeRunningProcesses_v2, "the tenant's own processes only") \
    X(nvmlDeviceGetMPSComputeRunningProcesses_v3, "the tenant's own processes only") \
    X(nvmlDeviceGetRunningProcessDetailList, "the tenant's own processes only") \
    X(nvmlDeviceGetProcessUtilization, "the tenant's own processes only") \
    X(nvmlDeviceGetProcessesUtilizationInfo, "the tenant's own processes only")
/* clang-format on */

#define DIVVY_HOOK_DECLARE(symbol, what) __typeof__(symbol) divvy_hook_##symbol;
DIVVY_BASE_HOOKS(DIVVY_HOOK_DECLARE)
DIVVY_MEMORY_HOOKS(DIVVY_HOOK_DECLARE)
DIVVY_VIEW_HOOKS(DIVVY_HOOK_DECLARE)
DIVVY_NVML_HOOKS(DIVVY_HOOK_DECLARE)
#undef DIVVY_HOOK_DECLARE

/* What programs are given for rows whose hooks do not ask the door themselves (hook/door.h): the way to the hook through it. */
#define DIVVY_DOORWAY_DECLARE(symbol, what)               void divvy_doorway_##symbol(void);
#define DIVVY_DOORWAY_COMPUTE_DECLARE(symbol, room, what) void divvy_doorway_##symbol(void);
DIVVY_MEMORY_HOOKS(DIVVY_DOORWAY_DECLARE)
DIVVY_VIEW_HOOKS(DIVVY_DOORWAY_DECLARE)
DIVVY_COMPUTE_OTHERS(DIVVY_DOORWAY_COMPUTE_DECLARE)
#undef DIVVY_DOORWAY_DECLARE
#undef DIVVY_DOORWAY_COMPUTE_DECLARE

#endif
