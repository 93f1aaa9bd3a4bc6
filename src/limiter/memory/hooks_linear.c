/*
 * cuMemAlloc, cuMemAllocPitch, cuMemAllocManaged and cuMemFree in all their forms. Reserve, call
 * the driver, record; on the way back: take the record, call the driver, credit. A record is taken
 * before the driver frees, because another thread may be given the same address right after.
 */
#include "limiter/hook/limits.h"
#include "limiter/hook/real.h"
#include "limiter/hook/table.h"
#include "limiter/memory/account.h"
#include "limiter/memory/graph_pool.h"
#include "limiter/memory/pool.h"

#include <errno.h>
#include <stdlib.h>

#define PITCH_ALIGNMENT                                                                            \
    512 /* what devices of today align rows to; the true pitch is charged afterwards */

static CUresult record_pointer(CUdeviceptr pointer, uint64_t bytes, int device, CUcontext context) {
    struct divvy_record record = {.kind = DIVVY_RECORD_POINTER,
                                  .key = pointer,
                                  .bytes = bytes,
                                  .owner = (uint64_t)(uintptr_t)context,
                                  .device = (uint8_t)device};

    return divvy_memory_record(&record);
}

/* Undo an allocation that cannot be kept. */
static CUresult give_back(CUdeviceptr pointer, uint64_t bytes, int device) {
    (void)DIVVY_MEMORY_DRIVER(divvy_real.cuMemFree_v2(pointer));
    divvy_memory_credit(device, bytes);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

/* Functions that allocate exactly `bytesize` bytes on the current device, whatever else they take.
 */
#define ALLOCATION(symbol, parameters, arguments, after)                                           \
    CUresult divvy_hook_##symbol parameters {                                                      \
        CUcontext context;                                                                         \
        CUresult result;                                                                           \
        int device;                                                                                \
                                                                                                   \
        if (divvy_memory_passes())                                                                 \
            return divvy_process_is_refused() ? CUDA_ERROR_NOT_PERMITTED                           \
                                              : divvy_real.symbol arguments;                       \
        device = divvy_memory_current(&context);                                                   \
        if (device < 0 || !dptr)                                                                   \
            return divvy_real.symbol arguments;                                                    \
        if (divvy_memory_reserve(device, bytesize) < 0)                                            \
            return CUDA_ERROR_OUT_OF_MEMORY;                                                       \
        result = DIVVY_MEMORY_DRIVER(divvy_real.symbol arguments);                                 \
        if (result != CUDA_SUCCESS) {                                                              \
            divvy_memory_credit(device, bytesize);                                                 \
            return result;                                                                         \
        }                                                                                          \
        if (record_pointer(*dptr, bytesize, device, context) != CUDA_SUCCESS)                      \
            return give_back(*dptr, bytesize, device);                                             \
        after;                                                                                     \
        return CUDA_SUCCESS;                                                                       \
    }

/*
 * HYPERCORE_PREFETCH: managed memory is brought to the device at once, so that the first use need not fault it in. Never
 * while a capture could be spoilt by work on the default stream; where the device cannot, nothing is lost.
 */
static void prefetch(CUdeviceptr pointer, size_t bytes) {
    static int known = -1;
    int wanted = __atomic_load_n(&known, __ATOMIC_RELAXED);
    CUstreamCaptureStatus capture = CU_STREAM_CAPTURE_STATUS_NONE;
    CUdevice device;

    if (wanted < 0) {
        wanted = divvy_limits_word_is_true(getenv("HYPERCORE_PREFETCH"));
        __atomic_store_n(&known, wanted, __ATOMIC_RELAXED);
    }
    if (!wanted || divvy_real.cuStreamIsCapturing(NULL, &capture) != CUDA_SUCCESS ||
        capture != CU_STREAM_CAPTURE_STATUS_NONE || divvy_real.cuCtxGetDevice(&device) != CUDA_SUCCESS)
        return;
    (void)DIVVY_MEMORY_DRIVER(divvy_real.cuMemPrefetchAsync(pointer, bytes, device, NULL));
}

ALLOCATION(cuMemAlloc_v2, (CUdeviceptr * dptr, size_t bytesize), (dptr, bytesize), (void)0)
ALLOCATION(cuMemAlloc, (CUdeviceptr_v1 * dptr, unsigned int bytesize),
           (dptr, bytesize), (void)0) /* 32-bit, before CUDA 3.2 */
ALLOCATION(cuMemAllocManaged, (CUdeviceptr * dptr, size_t bytesize, unsigned int flags),
           (dptr, bytesize, flags), prefetch(*dptr, bytesize))

/* Before the call the pitch is an estimate. */
static uint64_t pitch_estimate(uint64_t width, uint64_t height) {
    uint64_t pitch, bytes;

    if (__builtin_add_overflow(width, PITCH_ALIGNMENT - 1, &pitch))
        return UINT64_MAX;
    pitch -= pitch % PITCH_ALIGNMENT;
    return __builtin_mul_overflow(pitch, height, &bytes) ? UINT64_MAX : bytes;
}

/* After it the true size is known: correct the charge, or undo the allocation where the correction
 * does not fit. */
static CUresult pitch_settle(CUdeviceptr pointer, uint64_t charged, uint64_t bytes, int device,
                             CUcontext context) {
    if (bytes > charged && divvy_memory_reserve(device, bytes - charged) < 0)
        return give_back(pointer, charged, device);
    if (bytes < charged)
        divvy_memory_credit(device, charged - bytes);
    if (record_pointer(pointer, bytes, device, context) != CUDA_SUCCESS)
        return give_back(pointer, bytes, device);
    return CUDA_SUCCESS;
}

#define PITCHED(symbol, parameters, arguments)                                                     \
    CUresult divvy_hook_##symbol parameters {                                                      \
        uint64_t estimate = pitch_estimate(WidthInBytes, Height);                                  \
        CUcontext context;                                                                         \
        CUresult result;                                                                           \
        int device;                                                                                \
                                                                                                   \
        if (divvy_memory_passes())                                                                 \
            return divvy_process_is_refused() ? CUDA_ERROR_NOT_PERMITTED                           \
                                              : divvy_real.symbol arguments;                       \
        device = divvy_memory_current(&context);                                                   \
        if (device < 0 || !dptr || !pPitch)                                                        \
            return divvy_real.symbol arguments;                                                    \
        if (divvy_memory_reserve(device, estimate) < 0)                                            \
            return CUDA_ERROR_OUT_OF_MEMORY;                                                       \
        result = DIVVY_MEMORY_DRIVER(divvy_real.symbol arguments);                                 \
        if (result != CUDA_SUCCESS) {                                                              \
            divvy_memory_credit(device, estimate);                                                 \
            return result;                                                                         \
        }                                                                                          \
        return pitch_settle(*dptr, estimate, (uint64_t)*pPitch * Height, device, context);         \
    }

PITCHED(cuMemAllocPitch_v2,
        (CUdeviceptr * dptr, size_t *pPitch, size_t WidthInBytes, size_t Height,
         unsigned int ElementSizeBytes),
        (dptr, pPitch, WidthInBytes, Height, ElementSizeBytes))
PITCHED(cuMemAllocPitch,
        (CUdeviceptr_v1 * dptr, unsigned int *pPitch, unsigned int WidthInBytes,
         unsigned int Height, unsigned int ElementSizeBytes),
        (dptr, pPitch, WidthInBytes, Height, ElementSizeBytes))

/* After the driver's answer to a free: credit, or put the record back. */
static void freed(bool known, const struct divvy_record *record, CUresult result) {
    struct divvy_record old;

    if (!known) {
        /* Memory of a graph, an import, or something that we never saw. */
        if (result == CUDA_SUCCESS)
            divvy_graph_pool_reconcile_all();
    } else if (result != CUDA_SUCCESS) {
        (void)divvy_table_put(record, &old);
    } else if (record->pool != 0) {
        divvy_pool_freed(record->pool - 1, DIVVY_POOL_ANY_STREAM, record->bytes);
        divvy_pool_reconcile_idle(); /* cuMemFree waits for the device: an idle pool has given back
                                        by now */
    } else {
        divvy_memory_credit(record->device, record->bytes);
    }
}

CUresult divvy_hook_cuMemFree_v2(CUdeviceptr dptr) {
    struct divvy_record record;
    CUresult result;
    bool known;

    if (divvy_memory_passes())
        return divvy_real.cuMemFree_v2(dptr);
    known = divvy_table_take(DIVVY_RECORD_POINTER, dptr, &record);
    result = DIVVY_MEMORY_DRIVER(divvy_real.cuMemFree_v2(dptr));
    freed(known, &record, result);
    return result;
}

CUresult divvy_hook_cuMemFree(CUdeviceptr_v1 dptr) {
    struct divvy_record record;
    CUresult result;
    bool known;

    if (divvy_memory_passes())
        return divvy_real.cuMemFree(dptr);
    known = divvy_table_take(DIVVY_RECORD_POINTER, dptr, &record);
    result = DIVVY_MEMORY_DRIVER(divvy_real.cuMemFree(dptr));
    freed(known, &record, result);
    return result;
}
