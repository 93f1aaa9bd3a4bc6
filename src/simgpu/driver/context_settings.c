/* What can be asked of a context and set in it, waiting for it, and access to peers. */
#include "simgpu/driver/capture.h"
#include "simgpu/driver/context.h"
#include "simgpu/driver/pool.h"
#include "simgpu/driver/stream.h"

CUresult DRV(cuCtxGetDevice)(CUdevice *device) {
    divvy_drv_context_t *context;
    if (!device)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_context_bound(&context));
    *device = context->ordinal;
    return CUDA_SUCCESS;
}

CUresult DRV(cuCtxGetDevice_v2)(CUdevice *device, CUcontext ctx) {
    divvy_drv_context_t *context;
    if (!device)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_context_find(ctx, &context));
    *device = context->ordinal;
    return CUDA_SUCCESS;
}

CUresult DRV(cuCtxGetFlags)(unsigned int *flags) {
    divvy_drv_context_t *context;
    if (!flags)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_context_bound(&context));
    *flags = context->flags;
    return CUDA_SUCCESS;
}

CUresult DRV(cuCtxSetFlags)(unsigned int flags) {
    divvy_drv_context_t *context;
    if (flags & ~(unsigned)CU_CTX_FLAGS_MASK)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_context_bound(&context));
    context->flags = flags;
    return CUDA_SUCCESS;
}

CUresult DRV(cuCtxGetId)(CUcontext ctx, unsigned long long *ctxId) {
    divvy_drv_context_t *context;
    if (!ctxId)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_context_find(ctx, &context));
    *ctxId = context->id;
    return CUDA_SUCCESS;
}

CUresult DRV(cuCtxGetApiVersion)(CUcontext ctx, unsigned int *version) {
    divvy_drv_context_t *context;
    if (!version)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_context_find(ctx, &context));
    *version = context->api_version;
    return CUDA_SUCCESS;
}

CUresult DRV(cuCtxGetStreamPriorityRange)(int *leastPriority, int *greatestPriority) {
    divvy_drv_context_t *context;
    DRV_TRY(divvy_drv_context_bound(&context));
    if (leastPriority)
        *leastPriority = 0;
    if (greatestPriority)
        *greatestPriority = -5;
    return CUDA_SUCCESS;
}

CUresult DRV(cuCtxGetExecAffinity)(CUexecAffinityParam *pExecAffinity, CUexecAffinityType type) {
    divvy_drv_context_t *context;
    if (!pExecAffinity || type >= CU_EXEC_AFFINITY_TYPE_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_context_bound(&context));
    return CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY;
}

/* ---- limits and preferences ------------------------------------------------------------------ */

CUresult DRV(cuCtxGetLimit)(size_t *pvalue, CUlimit limit) {
    divvy_drv_context_t *context;
    if (!pvalue || (int)limit < 0)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_context_bound(&context));
    if (limit >= CU_LIMIT_MAX)
        return CUDA_ERROR_UNSUPPORTED_LIMIT;
    *pvalue = context->limits[limit];
    return CUDA_SUCCESS;
}

CUresult DRV(cuCtxSetLimit)(CUlimit limit, size_t value) {
    divvy_drv_context_t *context;
    DRV_TRY(divvy_drv_context_bound(&context));
    switch (limit) {
    case CU_LIMIT_STACK_SIZE: /* per thread, in steps of 16 bytes up to 512 KiB */
        if (value > 524288)
            return CUDA_ERROR_INVALID_VALUE;
        value = (value + 15) & ~(size_t)15;
        break;
    case CU_LIMIT_PERSISTING_L2_CACHE_SIZE:
        if (value > context->facts->l2_bytes * 5 / 8)
            value = context->facts->l2_bytes * 5 / 8;
        break;
    case CU_LIMIT_MAX_L2_FETCH_GRANULARITY:
        if (value > 128)
            return CUDA_ERROR_INVALID_VALUE;
        break;
    case CU_LIMIT_PRINTF_FIFO_SIZE:
    case CU_LIMIT_MALLOC_HEAP_SIZE:
    case CU_LIMIT_DEV_RUNTIME_PENDING_LAUNCH_COUNT:
        break;
    default:
        return CUDA_ERROR_UNSUPPORTED_LIMIT;
    }
    context->limits[limit] = value;
    return CUDA_SUCCESS;
}

CUresult DRV(cuCtxGetCacheConfig)(CUfunc_cache *pconfig) {
    divvy_drv_context_t *context;
    if (!pconfig)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_context_bound(&context));
    *pconfig = context->cache_config;
    return CUDA_SUCCESS;
}

CUresult DRV(cuCtxSetCacheConfig)(CUfunc_cache config) {
    divvy_drv_context_t *context;
    if (config > CU_FUNC_CACHE_PREFER_EQUAL)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_context_bound(&context));
    context->cache_config = config;
    return CUDA_SUCCESS;
}

CUresult DRV(cuCtxGetSharedMemConfig)(CUsharedconfig *pConfig) {
    divvy_drv_context_t *context;
    if (!pConfig)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_context_bound(&context));
    *pConfig = CU_SHARED_MEM_CONFIG_FOUR_BYTE_BANK_SIZE;
    return CUDA_SUCCESS;
}

/* Bank sizes are fixed since Maxwell; the call is accepted and changes nothing. */
CUresult DRV(cuCtxSetSharedMemConfig)(CUsharedconfig config) {
    divvy_drv_context_t *context;
    if (config > CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE)
        return CUDA_ERROR_INVALID_VALUE;
    return divvy_drv_context_bound(&context);
}

CUresult DRV(cuCtxResetPersistingL2Cache)(void) {
    divvy_drv_context_t *context;
    return divvy_drv_context_current(&context);
}

/* ---- waiting --------------------------------------------------------------------------------- */

static CUresult synchronize(divvy_drv_context_t *context) {
    DRV_TRY(divvy_drv_capture_guard_context(context));
    DRV_TRY(divvy_drv_result(divvy_simgpu_context_wait(context->engine)));
    divvy_drv_pool_settle(context->device);
    return divvy_drv_context_error(context);
}

CUresult DRV(cuCtxSynchronize)(void) {
    divvy_drv_context_t *context;
    DRV_TRY(divvy_drv_context_current(&context));
    return synchronize(context);
}

CUresult DRV(cuCtxSynchronize_v2)(CUcontext ctx) {
    divvy_drv_context_t *context;
    DRV_TRY(divvy_drv_context_find(ctx, &context));
    DRV_TRY(divvy_drv_context_error(context));
    return synchronize(context);
}

/* Records in the legacy stream after everything else of the context, which non-blocking streams
 * do not wait for. */
CUresult DRV(cuCtxRecordEvent)(CUcontext hCtx, CUevent hEvent) {
    divvy_drv_context_t *context;
    divvy_drv_event_t *event;
    DRV_TRY(divvy_drv_context_find(hCtx, &context));
    DRV_TRY(divvy_drv_event_find(hEvent, &event));
    if (event->context != context)
        return CUDA_ERROR_INVALID_HANDLE;
    DRV_TRY(divvy_drv_stream_gather(context->legacy));
    return divvy_drv_event_record(event, context->legacy);
}

/* All streams wait: those that exist now, directly. */
CUresult DRV(cuCtxWaitEvent)(CUcontext hCtx, CUevent hEvent) {
    divvy_drv_context_t *context;
    divvy_drv_event_t *event;
    DRV_TRY(divvy_drv_context_find(hCtx, &context));
    DRV_TRY(divvy_drv_event_find(hEvent, &event));
    return divvy_drv_stream_wait_all(context, event);
}

/* ---- peers ----------------------------------------------------------------------------------- */

CUresult DRV(cuCtxEnablePeerAccess)(CUcontext peerContext, unsigned int Flags) {
    divvy_drv_context_t *context, *peer;
    DRV_TRY(divvy_drv_context_current(&context));
    if (Flags)
        return CUDA_ERROR_INVALID_VALUE;
    if (!peerContext || divvy_drv_context_find(peerContext, &peer) != CUDA_SUCCESS)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (peer->device == context->device)
        return CUDA_ERROR_INVALID_DEVICE;
    if (context->device >= DIVVY_SIMGPU_DEVICES_MAX || peer->device >= DIVVY_SIMGPU_DEVICES_MAX)
        return CUDA_ERROR_PEER_ACCESS_UNSUPPORTED; /* MIG devices reach nobody */
    uint32_t bit = (uint32_t)1 << peer->ordinal;
    return atomic_fetch_or(&context->peers, bit) & bit ? CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED
                                                       : CUDA_SUCCESS;
}

CUresult DRV(cuCtxDisablePeerAccess)(CUcontext peerContext) {
    divvy_drv_context_t *context, *peer;
    DRV_TRY(divvy_drv_context_current(&context));
    if (!peerContext || divvy_drv_context_find(peerContext, &peer) != CUDA_SUCCESS)
        return CUDA_ERROR_INVALID_CONTEXT;
    uint32_t bit = (uint32_t)1 << peer->ordinal;
    return atomic_fetch_and(&context->peers, ~bit) & bit ? CUDA_SUCCESS
                                                         : CUDA_ERROR_PEER_ACCESS_NOT_ENABLED;
}
