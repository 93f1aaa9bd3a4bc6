/* Events: recording, waiting, asking and timing, and their sharing between processes. */
#include "simgpu/driver/capture.h"
#include "simgpu/driver/handle.h"
#include "simgpu/driver/pool.h"
#include "simgpu/driver/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

CUresult divvy_drv_event_find(CUevent handle, divvy_drv_event_t **ret_event) {
    divvy_drv_event_t *event = divvy_drv_handle_get(handle, DRV_HANDLE_EVENT);
    if (!event)
        return CUDA_ERROR_INVALID_HANDLE;
    *ret_event = event;
    return CUDA_SUCCESS;
}

static CUresult event_new(divvy_drv_context_t *context, unsigned flags, divvy_simgpu_event_t engine,
                          bool imported, CUevent *ret_handle) {
    divvy_drv_event_t *event = calloc(1, sizeof(*event));
    if (!event)
        return CUDA_ERROR_OUT_OF_MEMORY;
    event->context = context;
    event->flags = flags;
    event->engine = engine;
    event->imported = imported;
    event->recorded = imported;
    event->handle = divvy_drv_handle_new(DRV_HANDLE_EVENT, event);
    if (!event->handle) {
        free(event);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    divvy_drv_context_ref(
        context); /* it may outlive its context, and is then refused, not read through */
    *ret_handle = event->handle;
    return CUDA_SUCCESS;
}

CUresult DRV(cuEventCreate)(CUevent *phEvent, unsigned int Flags) {
    const unsigned known = CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING | CU_EVENT_INTERPROCESS;
    divvy_drv_context_t *context;
    divvy_simgpu_event_t engine;
    if (!phEvent || (Flags & ~known) ||
        ((Flags & CU_EVENT_INTERPROCESS) && !(Flags & CU_EVENT_DISABLE_TIMING)))
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_context_current(&context));
    DRV_TRY(divvy_drv_result(divvy_simgpu_event_create(&engine)));
    CUresult result = event_new(context, Flags, engine, false, phEvent);
    if (result != CUDA_SUCCESS)
        divvy_simgpu_event_destroy(engine);
    return result;
}

CUresult DRV(cuEventDestroy_v2)(CUevent hEvent) {
    divvy_drv_event_t *event;
    DRV_TRY(divvy_drv_event_find(hEvent, &event));
    if (!divvy_drv_handle_end(hEvent, DRV_HANDLE_EVENT))
        return CUDA_ERROR_INVALID_HANDLE;
    divvy_drv_capture_forget_event(event);
    if (!event->imported)
        divvy_simgpu_event_destroy(event->engine);
    divvy_drv_context_unref(event->context);
    free(event);
    return CUDA_SUCCESS;
}

CUresult DRV(cuEventDestroy)(CUevent hEvent) {
    return DRV(cuEventDestroy_v2)(hEvent);
}

/* ---- recording and waiting ------------------------------------------------------------------- */

CUresult divvy_drv_event_record(divvy_drv_event_t *event, divvy_drv_stream_t *stream) {
    divvy_simgpu_position_t before;
    DRV_TRY(divvy_drv_stream_tail(stream, &before)); /* the order of the legacy stream */
    DRV_TRY(divvy_drv_result(divvy_simgpu_event_record(stream->channel, event->engine, 0)));
    divvy_drv_stream_touched(stream);
    atomic_store_explicit(&event->recorded, true, memory_order_relaxed);
    return CUDA_SUCCESS;
}

CUresult divvy_drv_event_wait(divvy_drv_event_t *event, divvy_drv_stream_t *stream) {
    divvy_simgpu_item_t item = {.kind = DIVVY_SIMGPU_EVENT_WAIT};
    DRV_TRY(divvy_drv_result(divvy_simgpu_event_position(event->engine, &item.position)));
    return divvy_drv_stream_submit(stream, &item, NULL);
}

CUresult DRV(cuEventRecordWithFlags)(CUevent hEvent, CUstream hStream, unsigned int flags) {
    divvy_drv_event_t *event;
    divvy_drv_stream_t *stream;
    if (flags & ~(unsigned)CU_EVENT_RECORD_EXTERNAL)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_event_find(hEvent, &event));
    DRV_TRY(divvy_drv_stream_find(hStream, &stream));
    if (event->context != stream->context && !event->imported)
        return CUDA_ERROR_INVALID_HANDLE;
    if (__builtin_expect(divvy_drv_capturing(), 0)) {
        bool taken;
        DRV_TRY(divvy_drv_capture_record(stream, event, flags, &taken));
        if (taken)
            return CUDA_SUCCESS;
    }
    return divvy_drv_event_record(event, stream);
}

CUresult DRV(cuEventRecord)(CUevent hEvent, CUstream hStream) {
    return DRV(cuEventRecordWithFlags)(hEvent, hStream, 0);
}

CUresult DRV(cuStreamWaitEvent)(CUstream hStream, CUevent hEvent, unsigned int Flags) {
    divvy_drv_event_t *event;
    divvy_drv_stream_t *stream;
    if (Flags & ~(unsigned)CU_EVENT_WAIT_EXTERNAL)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_event_find(hEvent, &event));
    DRV_TRY(divvy_drv_stream_find(hStream, &stream));
    if (__builtin_expect(divvy_drv_capturing(), 0)) {
        bool taken;
        DRV_TRY(divvy_drv_capture_wait(stream, event, Flags, &taken));
        if (taken)
            return CUDA_SUCCESS;
    }
    return divvy_drv_event_wait(event, stream);
}

CUresult DRV(cuEventQuery)(CUevent hEvent) {
    divvy_drv_event_t *event;
    DRV_TRY(divvy_drv_event_find(hEvent, &event));
    DRV_TRY(divvy_drv_context_error(event->context));
    DRV_TRY(divvy_drv_capture_guard_event(event));
    int done = divvy_simgpu_event_query(event->engine);
    if (done < 0)
        return divvy_drv_result(done);
    DRV_TRY(divvy_drv_context_error(event->context));
    return done ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}

CUresult DRV(cuEventSynchronize)(CUevent hEvent) {
    divvy_drv_event_t *event;
    DRV_TRY(divvy_drv_event_find(hEvent, &event));
    DRV_TRY(divvy_drv_context_error(event->context));
    DRV_TRY(divvy_drv_capture_guard_event(event));
    DRV_TRY(divvy_drv_result(divvy_simgpu_event_wait(event->engine)));
    divvy_drv_pool_settle(event->context->device);
    return divvy_drv_context_error(event->context);
}

static CUresult moment(divvy_drv_event_t *event, uint64_t *ret_ns) {
    if (event->flags & CU_EVENT_DISABLE_TIMING || !event->recorded)
        return CUDA_ERROR_INVALID_HANDLE;
    int status = divvy_simgpu_event_time(event->engine, ret_ns);
    return status == -ENODATA ? CUDA_ERROR_INVALID_HANDLE : divvy_drv_result(status);
}

CUresult DRV(cuEventElapsedTime_v2)(float *pMilliseconds, CUevent hStart, CUevent hEnd) {
    divvy_drv_event_t *start, *end;
    uint64_t from, to;
    if (!pMilliseconds)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_event_find(hStart, &start));
    DRV_TRY(divvy_drv_event_find(hEnd, &end));
    DRV_TRY(divvy_drv_context_error(start->context));
    DRV_TRY(moment(start, &from));
    DRV_TRY(moment(end, &to));
    *pMilliseconds = (float)((double)(int64_t)(to - from) / 1e6);
    return CUDA_SUCCESS;
}

CUresult DRV(cuEventElapsedTime)(float *pMilliseconds, CUevent hStart, CUevent hEnd) {
    return DRV(cuEventElapsedTime_v2)(pMilliseconds, hStart, hEnd);
}

/* ---- other processes ------------------------------------------------------------------------- */

typedef struct {
    char magic[8];
    uint64_t event;
    uint32_t flags;
} shared_event_t;

static const char event_magic[8] = "divvyEv";

CUresult DRV(cuIpcGetEventHandle)(CUipcEventHandle *pHandle, CUevent hEvent) {
    divvy_drv_event_t *event;
    shared_event_t shared = {.magic = "divvyEv"};
    if (!pHandle)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_event_find(hEvent, &event));
    if (!(event->flags & CU_EVENT_INTERPROCESS) || event->imported)
        return CUDA_ERROR_INVALID_HANDLE;
    shared.event = event->engine;
    shared.flags = event->flags;
    memset(pHandle, 0, sizeof(*pHandle));
    memcpy(pHandle->reserved, &shared, sizeof(shared));
    return CUDA_SUCCESS;
}

CUresult DRV(cuIpcOpenEventHandle)(CUevent *phEvent, CUipcEventHandle handle) {
    divvy_drv_context_t *context;
    divvy_simgpu_position_t position;
    shared_event_t shared;
    if (!phEvent)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_context_current(&context));
    memcpy(&shared, handle.reserved, sizeof(shared));
    if (memcmp(shared.magic, event_magic, sizeof(event_magic)) || !shared.event ||
        divvy_simgpu_event_position(shared.event, &position))
        return CUDA_ERROR_INVALID_HANDLE;
    return event_new(context, CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING, shared.event, true,
                     phEvent);
}
