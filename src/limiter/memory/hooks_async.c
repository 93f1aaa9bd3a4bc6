/*
 * Stream-ordered allocation and pools. Nothing here synchronises; what pools give back at the
 * application's own synchronisation points is credited there.
 */
#include "core/sys.h"
#include "limiter/hook/real.h"
#include "limiter/hook/table.h"
#include "limiter/memory/account.h"
#include "limiter/memory/graph_pool.h"
#include "limiter/memory/pool.h"

#include <errno.h>

/* The device on which a stream lies: a special stream lies where the current context does. */
static CUdevice stream_device(CUstream stream, bool per_thread) {
    CUdevice device = -1;

    if ((uintptr_t)stream > (uintptr_t)CU_STREAM_PER_THREAD && divvy_real_has(cuStreamGetDevice) &&
        (per_thread ? divvy_real.cuStreamGetDevice_ptsz(stream, &device)
                    : divvy_real.cuStreamGetDevice(stream, &device)) == CUDA_SUCCESS)
        return device;
    return divvy_real.cuCtxGetDevice(&device) == CUDA_SUCCESS ? device : -1;
}

/* A captured allocation becomes a node of the graph and is charged with it. */
static bool is_capturing(CUstream stream, bool per_thread) {
    CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
    CUresult result = per_thread ? divvy_real.cuStreamIsCapturing_ptsz(stream, &status)
                                 : divvy_real.cuStreamIsCapturing(stream, &status);

    return result == CUDA_SUCCESS && status != CU_STREAM_CAPTURE_STATUS_NONE;
}

/* A pool that we did not see made: it is the default pool of its device, or lies on the current
 * one. */
static int unseen_pool_device(CUmemoryPool pool) {
    CUcontext context;

    for (uint32_t ordinal = 0; ordinal < divvy_process.device_count; ordinal++) {
        CUmemoryPool its_default = NULL;

        if (divvy_real.cuDeviceGetDefaultMemPool(&its_default, (CUdevice)ordinal) == CUDA_SUCCESS &&
            its_default == pool)
            return divvy_process_page_device((CUdevice)ordinal);
    }
    return divvy_memory_current(&context);
}

static int pool_number(CUmemoryPool pool) {
    int number = divvy_pool_number(pool, -1);

    return number >= 0 ? number : divvy_pool_number(pool, unseen_pool_device(pool));
}

/* What tells streams apart; the default streams are the context's and the thread's. */
static uint64_t stream_key(CUstream stream, bool per_thread) {
    bool own = stream == CU_STREAM_PER_THREAD || (stream == NULL && per_thread);

    if ((uintptr_t)stream > (uintptr_t)CU_STREAM_PER_THREAD)
        return (uintptr_t)stream;
    return own ? (uint64_t)divvy_core_sys_gettid() << 2 | 2 : 1;
}

/* Record what the driver gave; where it cannot be kept, free it again. */
static CUresult keep(CUdeviceptr pointer, size_t bytes, int number, CUstream stream,
                     bool per_thread) {
    struct divvy_record record = {.kind = DIVVY_RECORD_POINTER,
                                  .key = pointer,
                                  .bytes = bytes,
                                  .pool = (uint8_t)(number + 1)};

    if (divvy_memory_record(&record) == CUDA_SUCCESS)
        return CUDA_SUCCESS;
    if (per_thread)
        (void)DIVVY_MEMORY_DRIVER(divvy_real.cuMemFreeAsync_ptsz(pointer, stream));
    else
        (void)DIVVY_MEMORY_DRIVER(divvy_real.cuMemFreeAsync(pointer, stream));
    divvy_pool_freed(number, stream_key(stream, per_thread), bytes);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

/* Allocation from the pool that `number_expression` gives. */
#define POOLED(symbol, parameters, arguments, per_thread, number_expression)                       \
    CUresult divvy_hook_##symbol parameters {                                                      \
        CUresult result;                                                                           \
        int number;                                                                                \
                                                                                                   \
        if (divvy_memory_passes())                                                                 \
            return divvy_process_is_refused() ? CUDA_ERROR_NOT_PERMITTED                           \
                                              : divvy_real.symbol arguments;                       \
        if (!dptr || is_capturing(hStream, per_thread))                                            \
            return divvy_real.symbol arguments;                                                    \
        number = number_expression;                                                                \
        if (number < 0)                                                                            \
            return divvy_real.symbol arguments;                                                    \
        if (divvy_pool_begin(number, stream_key(hStream, per_thread), bytesize) < 0)               \
            return CUDA_ERROR_OUT_OF_MEMORY;                                                       \
        result = DIVVY_MEMORY_DRIVER(divvy_real.symbol arguments);                                 \
        divvy_pool_end(number, bytesize, result == CUDA_SUCCESS);                                  \
        return result == CUDA_SUCCESS ? keep(*dptr, bytesize, number, hStream, per_thread)         \
                                      : result;                                                    \
    }

POOLED(cuMemAllocAsync, (CUdeviceptr * dptr, size_t bytesize, CUstream hStream),
       (dptr, bytesize, hStream), false, divvy_pool_current(stream_device(hStream, false)))
POOLED(cuMemAllocAsync_ptsz, (CUdeviceptr * dptr, size_t bytesize, CUstream hStream),
       (dptr, bytesize, hStream), true, divvy_pool_current(stream_device(hStream, true)))
POOLED(cuMemAllocFromPoolAsync,
       (CUdeviceptr * dptr, size_t bytesize, CUmemoryPool pool, CUstream hStream),
       (dptr, bytesize, pool, hStream), false, pool_number(pool))
POOLED(cuMemAllocFromPoolAsync_ptsz,
       (CUdeviceptr * dptr, size_t bytesize, CUmemoryPool pool, CUstream hStream),
       (dptr, bytesize, pool, hStream), true, pool_number(pool))

/* Also frees memory of cuMemAlloc, which then comes back to the device and not to a pool. */
#define FREED_ASYNC(symbol, per_thread)                                                            \
    CUresult divvy_hook_##symbol(CUdeviceptr dptr, CUstream hStream) {                             \
        struct divvy_record record, old;                                                           \
        CUresult result;                                                                           \
                                                                                                   \
        if (divvy_memory_passes() || is_capturing(hStream, per_thread) ||                          \
            !divvy_table_take(DIVVY_RECORD_POINTER, dptr, &record))                                \
            return divvy_real.symbol(dptr, hStream);                                               \
        result = DIVVY_MEMORY_DRIVER(divvy_real.symbol(dptr, hStream));                            \
        if (result != CUDA_SUCCESS)                                                                \
            (void)divvy_table_put(&record, &old);                                                  \
        else if (record.pool != 0)                                                                 \
            divvy_pool_freed(record.pool - 1, stream_key(hStream, per_thread), record.bytes);      \
        else                                                                                       \
            divvy_memory_credit(record.device, record.bytes);                                      \
        return result;                                                                             \
    }

FREED_ASYNC(cuMemFreeAsync, false)
FREED_ASYNC(cuMemFreeAsync_ptsz, true)

/* ---- pools ---- */

CUresult divvy_hook_cuMemPoolCreate(CUmemoryPool *pool, const CUmemPoolProps *poolProps) {
    CUresult result = divvy_real.cuMemPoolCreate(pool, poolProps);

    if (result == CUDA_SUCCESS && !divvy_memory_passes() && pool && poolProps &&
        poolProps->location.type == CU_MEM_LOCATION_TYPE_DEVICE)
        (void)divvy_pool_number(*pool, divvy_process_page_device(poolProps->location.id));
    return result;
}

CUresult divvy_hook_cuMemPoolDestroy(CUmemoryPool pool) {
    CUresult result = DIVVY_MEMORY_DRIVER(divvy_real.cuMemPoolDestroy(pool));

    if (result == CUDA_SUCCESS && !divvy_memory_passes())
        divvy_pool_destroyed(pool);
    return result;
}

CUresult divvy_hook_cuMemPoolTrimTo(CUmemoryPool pool, size_t minBytesToKeep) {
    CUresult result = DIVVY_MEMORY_DRIVER(divvy_real.cuMemPoolTrimTo(pool, minBytesToKeep));

    if (result == CUDA_SUCCESS && !divvy_memory_passes())
        divvy_pool_reconcile_idle();
    return result;
}

CUresult divvy_hook_cuDeviceSetMemPool(CUdevice dev, CUmemoryPool pool) {
    CUresult result = divvy_real.cuDeviceSetMemPool(dev, pool);

    divvy_pool_current_changed();
    return result;
}

CUresult divvy_hook_cuMemSetMemPool(CUmemLocation *location, CUmemAllocationType type,
                                    CUmemoryPool pool) {
    CUresult result = divvy_real.cuMemSetMemPool(location, type, pool);

    divvy_pool_current_changed();
    return result;
}

/* ---- where pools shrink ---- */

#define SYNCHRONISATION(symbol, parameters, arguments)                                             \
    CUresult divvy_hook_##symbol parameters {                                                      \
        CUresult result = divvy_real.symbol arguments;                                             \
                                                                                                   \
        divvy_pool_reconcile_idle();                                                               \
        return result;                                                                             \
    }

SYNCHRONISATION(cuStreamSynchronize, (CUstream hStream), (hStream))
SYNCHRONISATION(cuStreamSynchronize_ptsz, (CUstream hStream), (hStream))
SYNCHRONISATION(cuEventSynchronize, (CUevent hEvent), (hEvent))
SYNCHRONISATION(cuCtxSynchronize, (void), ())
SYNCHRONISATION(cuCtxSynchronize_v2, (CUcontext ctx), (ctx))
