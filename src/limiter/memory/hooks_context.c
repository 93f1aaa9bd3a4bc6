/*
 * Contexts: what a context held comes back when it goes, whether or not its program freed it. The
 * gate is told of every change of the current context that it does not see itself.
 */
#include "limiter/compute/compute.h"
#include "limiter/hook/real.h"
#include "limiter/hook/table.h"
#include "limiter/memory/account.h"
#include "limiter/memory/overhead.h"
#include "limiter/memory/pool.h"

#include <stddef.h>

/* The primary context of each CUDA ordinal, as last retained. */
static CUcontext primary[DIVVY_CUDA_DEVICES];

struct sweep {
    CUcontext context;
    uint64_t bytes[DIVVY_PAGE_DEVICES];
};

static bool visit_context(const struct divvy_record *record, void *argument) {
    struct sweep *sweep = argument;
    bool owned = record->kind == DIVVY_RECORD_ARRAY || record->kind == DIVVY_RECORD_MIPMAP ||
                 (record->kind == DIVVY_RECORD_POINTER && record->pool == 0);

    if (!owned || record->owner != (uint64_t)(uintptr_t)sweep->context ||
        record->device >= DIVVY_PAGE_DEVICES)
        return false;
    sweep->bytes[record->device] += record->bytes;
    return true;
}

/* Credit everything that was allocated in a context that is gone. */
static void context_gone(CUcontext context) {
    struct sweep sweep = {.context = context};

    divvy_memory_contexts_changed();
    if (!context || divvy_memory_passes())
        return;
    divvy_table_sweep(visit_context, &sweep);
    for (int device = 0; device < (int)DIVVY_PAGE_DEVICES; device++)
        divvy_memory_credit(device, sweep.bytes[device]);
    divvy_overhead_context_gone();
}

static void context_made(CUdevice ordinal) {
    divvy_compute_context_switched();
    divvy_overhead_context_made(ordinal);
}

#define CREATED(symbol, parameters, arguments)                                                     \
    CUresult divvy_hook_##symbol parameters {                                                      \
        CUresult result;                                                                           \
                                                                                                   \
        if (divvy_process_is_refused())                                                            \
            return CUDA_ERROR_NOT_PERMITTED;                                                       \
        result = divvy_real.symbol arguments;                                                      \
        if (result == CUDA_SUCCESS)                                                                \
            context_made(dev);                                                                     \
        return result;                                                                             \
    }

CREATED(cuCtxCreate, (CUcontext * pctx, unsigned int flags, CUdevice dev), (pctx, flags, dev))
CREATED(cuCtxCreate_v2, (CUcontext * pctx, unsigned int flags, CUdevice dev), (pctx, flags, dev))
CREATED(cuCtxCreate_v3,
        (CUcontext * pctx, CUexecAffinityParam *paramsArray, int numParams, unsigned int flags,
         CUdevice dev),
        (pctx, paramsArray, numParams, flags, dev))
CREATED(cuCtxCreate_v4,
        (CUcontext * pctx, CUctxCreateParams *ctxCreateParams, unsigned int flags, CUdevice dev),
        (pctx, ctxCreateParams, flags, dev))

CUresult divvy_hook_cuCtxAttach(CUcontext *pctx, unsigned int flags) {
    CUresult result = divvy_real.cuCtxAttach(pctx, flags);

    divvy_compute_context_switched();
    return result;
}

#define DESTROYED(symbol)                                                                          \
    CUresult divvy_hook_##symbol(CUcontext ctx) {                                                  \
        CUresult result;                                                                           \
                                                                                                   \
        divvy_compute_context_destroying(ctx);                                                     \
        result = DIVVY_MEMORY_DRIVER(divvy_real.symbol(ctx));                                      \
        if (result == CUDA_SUCCESS)                                                                \
            context_gone(ctx);                                                                     \
        divvy_compute_context_switched();                                                          \
        return result;                                                                             \
    }

DESTROYED(cuCtxDestroy)
DESTROYED(cuCtxDestroy_v2)

/* Undoes cuCtxAttach or cuCtxCreate; the context goes with the last one. */
CUresult divvy_hook_cuCtxDetach(CUcontext ctx) {
    unsigned int version = 0;
    CUresult result;

    divvy_compute_context_destroying(ctx);
    result = DIVVY_MEMORY_DRIVER(divvy_real.cuCtxDetach(ctx));
    if (result == CUDA_SUCCESS && divvy_real.cuCtxGetApiVersion(ctx, &version) != CUDA_SUCCESS)
        context_gone(ctx);
    divvy_compute_context_switched();
    return result;
}

CUresult divvy_hook_cuGreenCtxDestroy(CUgreenCtx hCtx) {
    CUcontext context = NULL;
    CUresult result;

    if (divvy_real.cuCtxFromGreenCtx(&context, hCtx) == CUDA_SUCCESS && context)
        divvy_compute_context_destroying(context);
    result = DIVVY_MEMORY_DRIVER(divvy_real.cuGreenCtxDestroy(hCtx));
    divvy_memory_contexts_changed();
    divvy_compute_context_switched();
    return result;
}

/* ---- primary contexts ---- */

CUresult divvy_hook_cuDevicePrimaryCtxRetain(CUcontext *pctx, CUdevice dev) {
    CUcontext before = NULL;
    CUresult result;

    if (divvy_process_is_refused())
        return CUDA_ERROR_NOT_PERMITTED;
    result = divvy_real.cuDevicePrimaryCtxRetain(pctx, dev);
    if (result != CUDA_SUCCESS || !pctx || (unsigned)dev >= DIVVY_CUDA_DEVICES)
        return result;
    before = __atomic_exchange_n(&primary[dev], *pctx, __ATOMIC_ACQ_REL);
    if (before != *pctx)
        divvy_overhead_context_made(dev);
    return result;
}

/* The primary context of `dev` has gone, if the driver says that it is not active any more. */
static void primary_released(CUdevice dev) {
    unsigned int flags = 0;
    int active = 1;

    if ((unsigned)dev >= DIVVY_CUDA_DEVICES ||
        divvy_real.cuDevicePrimaryCtxGetState(dev, &flags, &active) != CUDA_SUCCESS || active)
        return;
    context_gone(__atomic_exchange_n(&primary[dev], NULL, __ATOMIC_ACQ_REL));
    divvy_pool_device_reset(dev);
}

#define PRIMARY_ENDED(symbol)                                                                      \
    CUresult divvy_hook_##symbol(CUdevice dev) {                                                   \
        CUresult result;                                                                           \
                                                                                                   \
        divvy_compute_device_destroying(dev);                                                      \
        result = DIVVY_MEMORY_DRIVER(divvy_real.symbol(dev));                                      \
        if (result == CUDA_SUCCESS)                                                                \
            primary_released(dev);                                                                 \
        divvy_compute_context_switched();                                                          \
        return result;                                                                             \
    }

PRIMARY_ENDED(cuDevicePrimaryCtxRelease)
PRIMARY_ENDED(cuDevicePrimaryCtxRelease_v2)
PRIMARY_ENDED(cuDevicePrimaryCtxReset)
PRIMARY_ENDED(cuDevicePrimaryCtxReset_v2)
