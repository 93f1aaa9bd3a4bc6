/*
 * What the example programs share: the driver's functions, loaded at run time, and the options that
 * every one of them takes. Nothing here is special to divvy's simulated GPU: the same programs run
 * on a real one.
 */
#ifndef DIVVY_EXAMPLES_CU_H
#define DIVVY_EXAMPLES_CU_H

#include "cuda/driver.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The functions that the examples call: member, symbol. */
#define CU_FUNCTIONS(X)                                                                            \
    X(Init, cuInit)                                                                                \
    X(GetErrorName, cuGetErrorName)                                                                \
    X(DeviceGetCount, cuDeviceGetCount)                                                            \
    X(DeviceGet, cuDeviceGet)                                                                      \
    X(DeviceGetName, cuDeviceGetName)                                                              \
    X(DeviceGetUuid, cuDeviceGetUuid)                                                              \
    X(DeviceGetAttribute, cuDeviceGetAttribute)                                                    \
    X(DeviceTotalMem, cuDeviceTotalMem_v2)                                                         \
    X(DevicePrimaryCtxRetain, cuDevicePrimaryCtxRetain)                                            \
    X(DevicePrimaryCtxRelease, cuDevicePrimaryCtxRelease_v2)                                       \
    X(CtxSetCurrent, cuCtxSetCurrent)                                                              \
    X(CtxSynchronize, cuCtxSynchronize)                                                            \
    X(ModuleLoadDataEx, cuModuleLoadDataEx)                                                        \
    X(ModuleUnload, cuModuleUnload)                                                                \
    X(ModuleGetFunction, cuModuleGetFunction)                                                      \
    X(MemAlloc, cuMemAlloc_v2)                                                                     \
    X(MemFree, cuMemFree_v2)                                                                       \
    X(MemGetInfo, cuMemGetInfo_v2)                                                                 \
    X(MemcpyHtoD, cuMemcpyHtoD_v2)                                                                 \
    X(MemcpyDtoH, cuMemcpyDtoH_v2)                                                                 \
    X(LaunchKernel, cuLaunchKernel)                                                                \
    X(StreamCreate, cuStreamCreate)                                                                \
    X(StreamDestroy, cuStreamDestroy_v2)                                                           \
    X(StreamSynchronize, cuStreamSynchronize)                                                      \
    X(EventCreate, cuEventCreate)                                                                  \
    X(EventDestroy, cuEventDestroy_v2)                                                             \
    X(EventRecord, cuEventRecord)                                                                  \
    X(EventQuery, cuEventQuery)                                                                    \
    X(EventSynchronize, cuEventSynchronize)                                                        \
    X(EventElapsedTime, cuEventElapsedTime)

/* Functions that older drivers lack; their pointers are NULL there. */
#define CU_OPTIONAL_FUNCTIONS(X)                                                                   \
    X(LaunchKernelEx, cuLaunchKernelEx)                                                            \
    X(LaunchCooperativeKernel, cuLaunchCooperativeKernel)                                          \
    X(StreamBeginCapture, cuStreamBeginCapture_v2)                                                 \
    X(StreamEndCapture, cuStreamEndCapture)                                                        \
    X(GraphInstantiateWithFlags, cuGraphInstantiateWithFlags)                                      \
    X(GraphLaunch, cuGraphLaunch)                                                                  \
    X(GraphExecDestroy, cuGraphExecDestroy)                                                        \
    X(GraphDestroy, cuGraphDestroy)

struct cu_functions {
#define CU_MEMBER(member, symbol) __typeof__(&symbol) member;
    CU_FUNCTIONS(CU_MEMBER)
    CU_OPTIONAL_FUNCTIONS(CU_MEMBER)
#undef CU_MEMBER
};

/* Filled by cu_open. */
extern struct cu_functions cu;

/* A device in use. */
struct cu_device {
    CUdevice device;
    CUcontext context;
    char name[128];
    size_t total_bytes;
    int sm_count;
};

/* Ends the program with status 1 and the driver's name of the error, unless it is CUDA_SUCCESS. */
void cu_check(CUresult result, const char *what);

/* cu_do(MemAlloc, &pointer, size): calls the driver, ends the program if it fails. */
#define cu_do(member, ...) cu_check(cu.member(__VA_ARGS__), "cu" #member)

/*
 * Loads the driver, picks the device and makes its primary context current. `gpu` is NULL (the
 * first device, or the simulated GPU where there is no driver), "sim", an index or a UUID. Ends the
 * program when that cannot be done.
 */
void cu_open(const char *gpu, struct cu_device *ret_device);
void cu_close(struct cu_device *device);

/* Loads PTX text; the program ends with the driver's own log when it is refused. */
CUmodule cu_module_load(const char *ptx);

/* Host memory, zeroed; the program ends when there is none. The caller frees it. */
void *cu_host(size_t size_bytes);

/* Seconds on the monotonic clock. */
double cu_now(void);

/*
 * An option "--name VALUE" or "--name=VALUE" (or, with value NULL, a plain "--name"): true when
 * argv[*at] is it; then *at has moved to its last word and *ret_value is the value. Ends the
 * program with status 2 when the value is missing.
 */
bool cu_option(int argc, char **argv, int *at, const char *name, const char **ret_value);

/*
 * The value of an option as a whole number between min and max, else the program ends with status
 * 2.
 */
uint64_t cu_number(const char *option, const char *value, uint64_t min, uint64_t max);

/* As above, a size such as "8GiB" or "50%" (of total_bytes). */
uint64_t cu_size(const char *option, const char *value, uint64_t total_bytes);

/*
 * Handles an argument that no option of the program matched: --help prints `help` and ends with 0,
 * others end with 2.
 */
void cu_other_argument(const char *argument, const char *help);

#define CU_GPU_HELP                                                                                \
    "  --gpu sim|N|UUID     the simulated GPU, or a device (default: the first)\n"                 \
    "  --help               this text\n"

#endif
