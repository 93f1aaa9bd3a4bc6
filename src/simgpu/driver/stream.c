/* Streams: their life, the order of the legacy default stream, submitting and waiting. */
#include "simgpu/driver/stream.h"
#include "simgpu/driver/capture.h"
#include "simgpu/driver/handle.h"
#include "simgpu/driver/pool.h"

#include <stdlib.h>

static _Atomic uint64_t last_id = 2; /* 1 and 2 name the default streams */

/* ---- life ------------------------------------------------------------------------------------ */

CUresult divvy_drv_stream_new(divvy_drv_context_t *context, divvy_drv_stream_kind_t kind,
                              unsigned flags, int priority, divvy_drv_stream_t **ret_stream) {
    divvy_drv_stream_t *stream = calloc(1, sizeof(*stream));
    if (!stream)
        return CUDA_ERROR_OUT_OF_MEMORY;
    stream->context = context;
    stream->kind = kind;
    stream->flags = flags;
    stream->priority = priority;
    stream->sync_policy = CU_SYNC_POLICY_AUTO;
    stream->sync_domain_map.remote = 1;
    stream->id = atomic_fetch_add(&last_id, 1) + 1;
    /* CUDA's greatest priority is the smallest number. */
    int status = divvy_simgpu_channel_open(context->engine, -priority, &stream->channel);
    if (status) {
        free(stream);
        return divvy_drv_result(status);
    }
    if (kind == DRV_STREAM_USER) {
        stream->handle = divvy_drv_handle_new(DRV_HANDLE_STREAM, stream);
        if (!stream->handle) {
            divvy_simgpu_channel_close(stream->channel);
            free(stream);
            return CUDA_ERROR_OUT_OF_MEMORY;
        }
    }
    pthread_mutex_lock(&context->lock);
    stream->next = context->streams;
    if (stream->next)
        stream->next->previous = stream;
    context->streams = stream;
    pthread_mutex_unlock(&context->lock);
    *ret_stream = stream;
    return CUDA_SUCCESS;
}

void divvy_drv_stream_free(divvy_drv_stream_t *stream) {
    divvy_drv_context_t *context = stream->context;
    divvy_drv_handle_end(stream->handle, DRV_HANDLE_STREAM);
    divvy_drv_capture_abandon(stream);
    pthread_mutex_lock(&context->lock);
    if (stream->next)
        stream->next->previous = stream->previous;
    if (stream->previous)
        stream->previous->next = stream->next;
    else
        context->streams = stream->next;
    pthread_mutex_unlock(&context->lock);
    divvy_simgpu_channel_close(stream->channel);
    free(stream);
}

/* ---- lookup ---------------------------------------------------------------------------------- */

CUresult divvy_drv_stream_look(CUstream handle, divvy_drv_stream_t **ret_stream) {
    divvy_drv_context_t *context;
    if (handle > CU_STREAM_PER_THREAD) {
        divvy_drv_stream_t *stream = divvy_drv_handle_get(handle, DRV_HANDLE_STREAM);
        if (!stream)
            return CUDA_ERROR_INVALID_HANDLE;
        *ret_stream = stream;
        return CUDA_SUCCESS;
    }
    DRV_TRY(divvy_drv_context_bound(&context));
    if (handle == CU_STREAM_PER_THREAD || (!handle && divvy_drv_self.per_thread))
        return divvy_drv_thread_stream(context, ret_stream);
    *ret_stream = context->legacy;
    return CUDA_SUCCESS;
}

CUresult divvy_drv_stream_find(CUstream handle, divvy_drv_stream_t **ret_stream) {
    DRV_TRY(divvy_drv_stream_look(handle, ret_stream));
    return divvy_drv_context_error((*ret_stream)->context);
}

/* ---- the order of the legacy stream ---------------------------------------------------------- */

static CUresult await(divvy_drv_stream_t *stream, divvy_drv_stream_t *other) {
    divvy_simgpu_item_t item = {.kind = DIVVY_SIMGPU_EVENT_WAIT,
                                .position = divvy_simgpu_channel_tail(other->channel)};
    if (stream->channel == other->channel)
        return CUDA_SUCCESS;
    return divvy_drv_result(divvy_simgpu_submit(stream->channel, &item, NULL));
}

static bool blocking(const divvy_drv_stream_t *stream) {
    return stream->kind != DRV_STREAM_LEGACY && !(stream->flags & CU_STREAM_NON_BLOCKING);
}

/* The lock is not held while an item may have to wait for room in a full channel: the streams to
 * wait for are noted first. Streams are few; those beyond the array are waited for in the next
 * round. */
static CUresult legacy_awaits(divvy_drv_stream_t *legacy, bool all) {
    divvy_drv_context_t *context = legacy->context;
    for (;;) {
        divvy_simgpu_position_t positions[64];
        size_t count = 0;
        bool more = false;
        pthread_mutex_lock(&context->lock);
        if (!all)
            atomic_store_explicit(&context->blocking_work, false, memory_order_relaxed);
        for (divvy_drv_stream_t *s = context->streams; s; s = s->next) {
            if (s == legacy || !(all || blocking(s)) ||
                !atomic_load_explicit(&s->dirty, memory_order_relaxed))
                continue;
            if (count == sizeof(positions) / sizeof(positions[0])) {
                more = true;
                atomic_store_explicit(&context->blocking_work, true, memory_order_relaxed);
                break;
            }
            atomic_store_explicit(&s->dirty, false, memory_order_relaxed);
            positions[count++] = divvy_simgpu_channel_tail(s->channel);
        }
        pthread_mutex_unlock(&context->lock);
        for (size_t i = 0; i < count; i++) {
            divvy_simgpu_item_t item = {.kind = DIVVY_SIMGPU_EVENT_WAIT, .position = positions[i]};
            DRV_TRY(divvy_drv_result(divvy_simgpu_submit(legacy->channel, &item, NULL)));
        }
        if (!more)
            return CUDA_SUCCESS;
    }
}

CUresult divvy_drv_stream_gather(divvy_drv_stream_t *legacy) {
    return legacy_awaits(legacy, true);
}

/* Before something enters STREAM: what it must wait for by the rules of the legacy stream. */
static inline CUresult order_before(divvy_drv_stream_t *stream) {
    divvy_drv_context_t *context = stream->context;
    if (stream->kind == DRV_STREAM_LEGACY) {
        if (__builtin_expect(atomic_load_explicit(&context->blocking_work, memory_order_relaxed),
                             0))
            return legacy_awaits(stream, false);
        return CUDA_SUCCESS;
    }
    if (stream->flags & CU_STREAM_NON_BLOCKING)
        return CUDA_SUCCESS;
    uint64_t count = atomic_load_explicit(&context->legacy_count, memory_order_relaxed);
    if (__builtin_expect(count != atomic_load_explicit(&stream->legacy_seen, memory_order_relaxed),
                         0)) {
        atomic_store_explicit(&stream->legacy_seen, count, memory_order_relaxed);
        return await(stream, context->legacy);
    }
    return CUDA_SUCCESS;
}

static inline void order_after(divvy_drv_stream_t *stream) {
    divvy_drv_context_t *context = stream->context;
    if (stream->kind == DRV_STREAM_LEGACY) {
        atomic_fetch_add_explicit(&context->legacy_count, 1, memory_order_relaxed);
        return;
    }
    if (!atomic_load_explicit(&stream->dirty, memory_order_relaxed))
        atomic_store_explicit(&stream->dirty, true, memory_order_relaxed);
    if (!(stream->flags & CU_STREAM_NON_BLOCKING) &&
        !atomic_load_explicit(&context->blocking_work, memory_order_relaxed))
        atomic_store_explicit(&context->blocking_work, true, memory_order_relaxed);
}

CUresult divvy_drv_stream_submit(divvy_drv_stream_t *stream, const divvy_simgpu_item_t *item,
                                 divvy_simgpu_position_t *ret_position) {
    DRV_TRY(order_before(stream));
    int status = divvy_simgpu_submit(stream->channel, item, ret_position);
    if (status)
        return divvy_drv_result(status);
    order_after(stream);
    return CUDA_SUCCESS;
}

void divvy_drv_stream_touched(divvy_drv_stream_t *stream) {
    order_after(stream);
}

CUresult divvy_drv_stream_tail(divvy_drv_stream_t *stream, divvy_simgpu_position_t *ret_position) {
    DRV_TRY(order_before(stream));
    *ret_position = divvy_simgpu_channel_tail(stream->channel);
    return CUDA_SUCCESS;
}

CUresult divvy_drv_stream_wait(divvy_drv_stream_t *stream, divvy_simgpu_position_t position) {
    DRV_TRY(divvy_drv_result(divvy_simgpu_wait(position)));
    return divvy_drv_context_error(stream->context);
}

CUresult divvy_drv_stream_synchronize(divvy_drv_stream_t *stream) {
    divvy_simgpu_position_t position;
    DRV_TRY(divvy_drv_stream_tail(stream, &position));
    return divvy_drv_stream_wait(stream, position);
}

CUresult divvy_drv_stream_wait_all(divvy_drv_context_t *context, divvy_drv_event_t *event) {
    divvy_simgpu_item_t item = {.kind = DIVVY_SIMGPU_EVENT_WAIT};
    DRV_TRY(divvy_drv_result(divvy_simgpu_event_position(event->engine, &item.position)));
    /* A stream whose channel is full may take a while; it cannot go meanwhile, its owner would
     * have to wait too. */
    pthread_mutex_lock(&context->lock);
    int status = 0;
    for (divvy_drv_stream_t *s = context->streams; s && !status; s = s->next)
        status = divvy_simgpu_submit(s->channel, &item, NULL);
    pthread_mutex_unlock(&context->lock);
    return divvy_drv_result(status);
}

/* ---- the calls ------------------------------------------------------------------------------- */

CUresult DRV(cuStreamCreateWithPriority)(CUstream *phStream, unsigned int flags, int priority) {
    divvy_drv_context_t *context;
    divvy_drv_stream_t *stream;
    if (!phStream || (flags & ~(unsigned)CU_STREAM_NON_BLOCKING))
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_context_current(&context));
    priority = priority > 0 ? 0 : priority < -5 ? -5 : priority;
    DRV_TRY(divvy_drv_stream_new(context, DRV_STREAM_USER, flags, priority, &stream));
    *phStream = stream->handle;
    return CUDA_SUCCESS;
}

CUresult DRV(cuStreamCreate)(CUstream *phStream, unsigned int Flags) {
    return DRV(cuStreamCreateWithPriority)(phStream, Flags, 0);
}

CUresult DRV(cuStreamDestroy_v2)(CUstream hStream) {
    if (hStream <= CU_STREAM_PER_THREAD) /* the default streams are not the program's to destroy */
        return hStream ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_INVALID_HANDLE;
    divvy_drv_stream_t *stream = divvy_drv_handle_get(hStream, DRV_HANDLE_STREAM);
    if (!stream)
        return CUDA_ERROR_INVALID_HANDLE;
    divvy_drv_stream_free(stream);
    return CUDA_SUCCESS;
}

CUresult DRV(cuStreamDestroy)(CUstream hStream) {
    return DRV(cuStreamDestroy_v2)(hStream);
}

CUresult DRV(cuStreamSynchronize)(CUstream hStream) {
    divvy_drv_stream_t *stream;
    DRV_TRY(divvy_drv_stream_find(hStream, &stream));
    DRV_TRY(divvy_drv_capture_guard_stream(stream));
    DRV_TRY(divvy_drv_stream_synchronize(stream));
    divvy_drv_pool_settle(stream->context->device);
    return CUDA_SUCCESS;
}

CUresult DRV(cuStreamQuery)(CUstream hStream) {
    divvy_drv_stream_t *stream;
    divvy_simgpu_position_t position;
    DRV_TRY(divvy_drv_stream_find(hStream, &stream));
    DRV_TRY(divvy_drv_capture_guard_stream(stream));
    DRV_TRY(divvy_drv_stream_tail(stream, &position));
    int reached = divvy_simgpu_query(position);
    if (reached < 0)
        return divvy_drv_result(reached);
    DRV_TRY(divvy_drv_context_error(stream->context));
    return reached ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}

CUresult DRV(cuStreamGetPriority)(CUstream hStream, int *priority) {
    divvy_drv_stream_t *stream;
    if (!priority)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_stream_look(hStream, &stream));
    *priority = stream->priority;
    return CUDA_SUCCESS;
}

CUresult DRV(cuStreamGetFlags)(CUstream hStream, unsigned int *flags) {
    divvy_drv_stream_t *stream;
    if (!flags)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_stream_look(hStream, &stream));
    *flags = stream->flags;
    return CUDA_SUCCESS;
}

CUresult DRV(cuStreamGetId)(CUstream hStream, unsigned long long *streamId) {
    divvy_drv_stream_t *stream;
    if (!streamId)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_stream_look(hStream, &stream));
    *streamId = stream->id;
    return CUDA_SUCCESS;
}

CUresult DRV(cuStreamGetCtx)(CUstream hStream, CUcontext *pctx) {
    divvy_drv_stream_t *stream;
    if (!pctx)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_stream_look(hStream, &stream));
    *pctx = stream->context->handle;
    return CUDA_SUCCESS;
}

CUresult DRV(cuStreamGetCtx_v2)(CUstream hStream, CUcontext *pCtx, CUgreenCtx *pGreenCtx) {
    divvy_drv_stream_t *stream;
    if (!pCtx || !pGreenCtx)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_stream_look(hStream, &stream));
    *pCtx = stream->context->handle;
    *pGreenCtx = NULL;
    return CUDA_SUCCESS;
}

CUresult DRV(cuStreamGetGreenCtx)(CUstream hStream, CUgreenCtx *phCtx) {
    divvy_drv_stream_t *stream;
    if (!phCtx)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_stream_look(hStream, &stream));
    *phCtx = NULL; /* there are no green contexts here */
    return CUDA_SUCCESS;
}

CUresult DRV(cuStreamGetDevice)(CUstream hStream, CUdevice *device) {
    divvy_drv_stream_t *stream;
    if (!device)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_stream_look(hStream, &stream));
    *device = stream->context->ordinal;
    return CUDA_SUCCESS;
}

CUresult DRV(cuStreamAttachMemAsync)(CUstream hStream, CUdeviceptr dptr, size_t length,
                                     unsigned int flags) {
    divvy_drv_stream_t *stream;
    divvy_simgpu_range_t range;
    (void)length;
    if (flags != CU_MEM_ATTACH_GLOBAL && flags != CU_MEM_ATTACH_HOST &&
        flags != CU_MEM_ATTACH_SINGLE)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_stream_find(hStream, &stream));
    if (divvy_simgpu_mem_lookup(dptr, &range))
        return CUDA_ERROR_INVALID_VALUE;
    return CUDA_SUCCESS; /* managed memory is coherent here at all times */
}

/* ---- attributes ------------------------------------------------------------------------------ */

CUresult DRV(cuStreamGetAttribute)(CUstream hStream, CUstreamAttrID attr,
                                   CUstreamAttrValue *value) {
    divvy_drv_stream_t *stream;
    if (!value)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_stream_look(hStream, &stream));
    switch ((int)attr) {
    case CU_STREAM_ATTRIBUTE_ACCESS_POLICY_WINDOW:
        value->accessPolicyWindow = stream->window;
        return CUDA_SUCCESS;
    case CU_STREAM_ATTRIBUTE_SYNCHRONIZATION_POLICY:
        value->syncPolicy = stream->sync_policy;
        return CUDA_SUCCESS;
    case CU_STREAM_ATTRIBUTE_PRIORITY:
        value->priority = stream->priority;
        return CUDA_SUCCESS;
    case CU_STREAM_ATTRIBUTE_MEM_SYNC_DOMAIN:
        value->memSyncDomain = stream->sync_domain;
        return CUDA_SUCCESS;
    case CU_STREAM_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
        value->memSyncDomainMap = stream->sync_domain_map;
        return CUDA_SUCCESS;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

CUresult DRV(cuStreamSetAttribute)(CUstream hStream, CUstreamAttrID attr,
                                   const CUstreamAttrValue *param) {
    divvy_drv_stream_t *stream;
    if (!param)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_stream_look(hStream, &stream));
    switch ((int)attr) {
    case CU_STREAM_ATTRIBUTE_ACCESS_POLICY_WINDOW:
        stream->window = param->accessPolicyWindow;
        return CUDA_SUCCESS;
    case CU_STREAM_ATTRIBUTE_SYNCHRONIZATION_POLICY:
        stream->sync_policy = param->syncPolicy;
        return CUDA_SUCCESS;
    case CU_STREAM_ATTRIBUTE_PRIORITY: /* the channel keeps the place it was opened with */
        stream->priority = param->priority;
        return CUDA_SUCCESS;
    case CU_STREAM_ATTRIBUTE_MEM_SYNC_DOMAIN:
        stream->sync_domain = param->memSyncDomain;
        return CUDA_SUCCESS;
    case CU_STREAM_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
        stream->sync_domain_map = param->memSyncDomainMap;
        return CUDA_SUCCESS;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

CUresult DRV(cuStreamCopyAttributes)(CUstream dstStream, CUstream srcStream) {
    divvy_drv_stream_t *to, *from;
    DRV_TRY(divvy_drv_stream_look(dstStream, &to));
    DRV_TRY(divvy_drv_stream_look(srcStream, &from));
    to->window = from->window;
    to->sync_policy = from->sync_policy;
    to->sync_domain = from->sync_domain;
    to->sync_domain_map = from->sync_domain_map;
    return CUDA_SUCCESS;
}
