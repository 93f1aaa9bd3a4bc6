/* The functions of the stub driver that do not refuse: see driver.c. */
#include "cuda/driver.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

enum { DRIVER_VERSION = 13000, SM_COUNT = 132 };
#define TOTAL_BYTES ((size_t)141 << 30)

#pragma GCC diagnostic ignored "-Wunused-parameter"

/* --- nothing at all ------------------------------------------------------------------------------------ */

#define EMPTY(symbol, ...)                                                                         \
    EXPORT CUresult symbol(__VA_ARGS__) {                                                          \
        return CUDA_SUCCESS;                                                                       \
    }

#define LAUNCH(symbol)                                                                             \
    EMPTY(symbol, CUfunction f, unsigned int gx, unsigned int gy, unsigned int gz, unsigned int bx, \
          unsigned int by, unsigned int bz, unsigned int shared, CUstream s, void **p, void **e)
#define COOPERATIVE(symbol)                                                                        \
    EMPTY(symbol, CUfunction f, unsigned int gx, unsigned int gy, unsigned int gz, unsigned int bx, \
          unsigned int by, unsigned int bz, unsigned int shared, CUstream s, void **p)
#define LAUNCH_EX(symbol) EMPTY(symbol, const CUlaunchConfig *c, CUfunction f, void **p, void **e)

LAUNCH(cuLaunchKernel)
LAUNCH(cuLaunchKernel_ptsz)
LAUNCH_EX(cuLaunchKernelEx)
LAUNCH_EX(cuLaunchKernelEx_ptsz)
COOPERATIVE(cuLaunchCooperativeKernel)
COOPERATIVE(cuLaunchCooperativeKernel_ptsz)
EMPTY(cuInit, unsigned int flags)
EMPTY(cuCtxSynchronize, void)
EMPTY(cuStreamSynchronize, CUstream s)
EMPTY(cuStreamSynchronize_ptsz, CUstream s)
EMPTY(cuStreamQuery, CUstream s)
EMPTY(cuStreamDestroy_v2, CUstream s)
EMPTY(cuEventRecord, CUevent e, CUstream s)
EMPTY(cuEventRecord_ptsz, CUevent e, CUstream s)
EMPTY(cuEventQuery, CUevent e)
EMPTY(cuEventSynchronize, CUevent e)
EMPTY(cuEventDestroy_v2, CUevent e)
EMPTY(cuModuleUnload, CUmodule m)
EMPTY(cuDevicePrimaryCtxRelease_v2, CUdevice d)
EMPTY(cuCtxDestroy_v2, CUcontext c)

/* --- one answer each -------------------------------------------------------------------------------------- */

#define ANSWER(symbol, parameters, target, value)                                                  \
    EXPORT CUresult symbol parameters {                                                            \
        if ((target) == NULL)                                                                      \
            return CUDA_ERROR_INVALID_VALUE;                                                       \
        *(target) = (value);                                                                       \
        return CUDA_SUCCESS;                                                                       \
    }

/* Handles need only be told apart and not be null. */
static uintptr_t handle_next(void) {
    static uintptr_t last = 0x1000;

    return __atomic_add_fetch(&last, 16, __ATOMIC_RELAXED);
}

static char the_context; /* its address is the handle */
static __thread CUcontext current;

ANSWER(cuDriverGetVersion, (int *version), version, DRIVER_VERSION)
ANSWER(cuDeviceGetCount, (int *count), count, 1)
ANSWER(cuDeviceGet, (CUdevice * device, int ordinal), device, ordinal)
ANSWER(cuDeviceTotalMem_v2, (size_t *bytes, CUdevice d), bytes, TOTAL_BYTES)
ANSWER(cuEventCreate, (CUevent * event, unsigned int flags), event, (CUevent)handle_next())
ANSWER(cuStreamCreate, (CUstream * stream, unsigned int flags), stream, (CUstream)handle_next())
ANSWER(cuStreamCreateWithPriority, (CUstream * stream, unsigned int flags, int priority), stream,
       (CUstream)handle_next())
ANSWER(cuModuleLoadData, (CUmodule * module, const void *image), module, (CUmodule)handle_next())
ANSWER(cuModuleLoadDataEx,
       (CUmodule * module, const void *image, unsigned int n, CUjit_option *o, void **v), module,
       (CUmodule)handle_next())
ANSWER(cuModuleGetFunction, (CUfunction * function, CUmodule m, const char *name), function,
       (CUfunction)handle_next())
ANSWER(cuStreamIsCapturing, (CUstream s, CUstreamCaptureStatus *status), status,
       CU_STREAM_CAPTURE_STATUS_NONE)
ANSWER(cuStreamIsCapturing_ptsz, (CUstream s, CUstreamCaptureStatus *status), status,
       CU_STREAM_CAPTURE_STATUS_NONE)
ANSWER(cuStreamGetCtx, (CUstream s, CUcontext *context), context, (CUcontext)(void *)&the_context)
ANSWER(cuStreamGetDevice, (CUstream s, CUdevice *device), device, 0)
ANSWER(cuCtxGetCurrent, (CUcontext * context), context, current)
ANSWER(cuCtxGetId, (CUcontext c, unsigned long long *id), id, 1)
ANSWER(cuStreamGetId, (CUstream s, unsigned long long *id), id, (unsigned long long)(uintptr_t)s)
ANSWER(cuDevicePrimaryCtxRetain, (CUcontext * context, CUdevice d), context,
       (CUcontext)(void *)&the_context)

/* All work of this driver takes a nanosecond, which is less than its launch: a compute limit never closes the gate. */
ANSWER(cuEventElapsedTime, (float *ms, CUevent start, CUevent end), ms, 1e-6f)
ANSWER(cuEventElapsedTime_v2, (float *ms, CUevent start, CUevent end), ms, 1e-6f)

EXPORT CUresult cuCtxGetDevice(CUdevice *device) {
    if (current == NULL)
        return CUDA_ERROR_INVALID_CONTEXT;
    *device = 0;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuCtxSetCurrent(CUcontext context) {
    current = context;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuCtxPushCurrent_v2(CUcontext context) {
    current = context;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuCtxPopCurrent_v2(CUcontext *context) {
    if (context != NULL)
        *context = current;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDevicePrimaryCtxGetState(CUdevice d, unsigned int *flags, int *active) {
    *flags = 0;
    *active = 1;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDeviceGetName(char *name, int length, CUdevice d) {
    static const char text[] = "divvy stub";

    if (length < (int)sizeof(text))
        return CUDA_ERROR_INVALID_VALUE;
    memcpy(name, text, sizeof(text));
    return CUDA_SUCCESS;
}

/* "divvy-bench-stub", as bench.c names it. */
EXPORT CUresult cuDeviceGetUuid(CUuuid *uuid, CUdevice d) {
    memcpy(uuid->bytes, "divvy-bench-stub", sizeof(uuid->bytes));
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice d) {
    return cuDeviceGetUuid(uuid, d);
}

EXPORT CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice d) {
    *value = attribute == CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT        ? SM_COUNT
             : attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR ? 9
                                                                         : 0;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuMemGetInfo_v2(size_t *free_bytes, size_t *total_bytes) {
    *free_bytes = *total_bytes = TOTAL_BYTES;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuGetErrorName(CUresult error, const char **text) {
    *text = "CUDA_ERROR";
    return CUDA_SUCCESS;
}

/* --- allocation: addresses from a stack, one thread ------------------------------------------------------------- */

enum { STACK_MAX = 1 << 20 };
#define ADDRESS_STEP ((CUdeviceptr)2 << 20)
static CUdeviceptr *stack;
static size_t depth;
static CUdeviceptr address_next = (CUdeviceptr)1 << 40;

EXPORT CUresult cuMemAlloc_v2(CUdeviceptr *pointer, size_t bytes) {
    if (depth > 0) {
        *pointer = stack[--depth];
    } else {
        *pointer = address_next;
        address_next += ADDRESS_STEP;
    }
    return CUDA_SUCCESS;
}

EXPORT CUresult cuMemFree_v2(CUdeviceptr pointer) {
    if (stack == NULL) {
        stack = malloc(STACK_MAX * sizeof(*stack));
        if (stack == NULL)
            return CUDA_ERROR_OUT_OF_MEMORY;
    }
    if (depth < STACK_MAX)
        stack[depth++] = pointer;
    return CUDA_SUCCESS;
}

/* --- lookup ------------------------------------------------------------------------------------------------------ */

enum { FORM_PLAIN, FORM_PTSZ, FORM_PTDS };

static const struct {
    const char *api;
    int since, form;
    void *address;
} rows[] = {
#define ROW(symbol, api, since, form, kind, parameters, arguments)                                 \
    {#api, since, FORM_##form, (void *)symbol},
    DIVVY_CUDA_DRIVER_TABLE(ROW)};

EXPORT CUresult cuGetProcAddress_v2(const char *symbol, void **pfn, int version, cuuint64_t flags,
                                    CUdriverProcAddressQueryResult *status) {
    int wants_thread = (flags & CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM) != 0, best = -1;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].since > version || strcmp(rows[i].api, symbol) != 0 ||
            (rows[i].form != FORM_PLAIN && !wants_thread))
            continue;
        if (best < 0 || rows[i].since > rows[best].since ||
            (rows[i].since == rows[best].since && rows[i].form != FORM_PLAIN))
            best = (int)i;
    }
    *pfn = best >= 0 ? rows[best].address : NULL;
    if (status != NULL)
        *status = best >= 0 ? CU_GET_PROC_ADDRESS_SUCCESS : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    return best >= 0 ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

EXPORT CUresult cuGetProcAddress(const char *symbol, void **pfn, int version, cuuint64_t flags) {
    return cuGetProcAddress_v2(symbol, pfn, version, flags, NULL);
}

/* --- how parameters lie: one of eight bytes, in every function ---------------------------------------------- */

EXPORT CUresult cuFuncGetParamInfo(CUfunction func, size_t paramIndex, size_t *paramOffset, size_t *paramSize) {
    if (paramIndex > 0)
        return CUDA_ERROR_INVALID_VALUE;
    *paramOffset = 0;
    *paramSize = 8;
    return CUDA_SUCCESS;
}
