/* The functions of the CUDA driver that a worker calls, found at run time. */
#ifndef DIVVY_REMOTE_WORKER_DRIVER_H
#define DIVVY_REMOTE_WORKER_DRIVER_H

#include "base/error.h"
#include "cuda/driver.h"

/* clang-format off */
#define DIVVY_WORKER_FUNCTIONS(X) \
    X(cuInit) X(cuGetErrorName) X(cuDriverGetVersion) X(cuDeviceGetCount) X(cuDeviceGet) X(cuDeviceGetName) \
    X(cuDeviceGetUuid) X(cuDeviceTotalMem_v2) X(cuDeviceGetAttribute) X(cuCtxCreate_v2) X(cuCtxDestroy_v2) \
    X(cuCtxSetCurrent) X(cuCtxSynchronize) X(cuDevicePrimaryCtxRetain) X(cuDevicePrimaryCtxRelease_v2) \
    X(cuMemAlloc_v2) X(cuMemFree_v2) X(cuMemGetInfo_v2) X(cuMemcpyDtoH_v2) \
    X(cuMemcpyHtoDAsync_v2) X(cuMemcpyDtoHAsync_v2) X(cuMemcpyDtoDAsync_v2) X(cuMemsetD8Async) \
    X(cuMemsetD16Async) X(cuMemsetD32Async) X(cuModuleLoadDataEx) X(cuModuleUnload) X(cuModuleGetFunction) \
    X(cuModuleGetGlobal_v2) X(cuFuncGetAttribute) X(cuLaunchKernel) X(cuStreamCreateWithPriority) \
    X(cuStreamDestroy_v2) X(cuStreamSynchronize) X(cuStreamQuery) X(cuStreamWaitEvent) X(cuEventCreate) \
    X(cuEventDestroy_v2) X(cuEventRecord) X(cuEventSynchronize) X(cuEventQuery) X(cuEventElapsedTime)
/* clang-format on */

/* Functions that older drivers lack: NULL there. */
#define DIVVY_WORKER_OPTIONAL_FUNCTIONS(X) X(cuFuncGetParamInfo) X(cuEventRecordWithFlags) X(cuMemHostAlloc) \
    X(cuMemFreeHost) X(cuMemHostGetDevicePointer_v2) X(cuMemHostRegister_v2) X(cuMemHostUnregister) \
    X(cuLaunchKernelEx)

struct divvy_worker_driver {
#define DIVVY_WORKER_MEMBER(symbol) __typeof__(&symbol) symbol;
    DIVVY_WORKER_FUNCTIONS(DIVVY_WORKER_MEMBER) DIVVY_WORKER_OPTIONAL_FUNCTIONS(DIVVY_WORKER_MEMBER)
#undef DIVVY_WORKER_MEMBER
};

/*
 * Loads libcuda.so.1 and calls cuInit; there must be a device. To be called once in a process, and never in one that forks
 * afterwards. -ENODEV, with what is wrong.
 */
int divvy_worker_driver_load(struct divvy_worker_driver *ret_driver, struct divvy_error *error);

/* The driver's name of a result ("CUDA_ERROR_OUT_OF_MEMORY"), never NULL. */
const char *divvy_worker_driver_error_name(const struct divvy_worker_driver *driver, CUresult result);

#endif
