/*
 * Streams and events. A stream is a channel of the engine, and the rules of the legacy default
 * stream on top: work in it waits for all blocking streams of the context, and they wait for it.
 */
#ifndef DIVVY_SIMGPU_DRIVER_STREAM_H
#define DIVVY_SIMGPU_DRIVER_STREAM_H

#include "simgpu/driver/context.h"

typedef struct divvy_drv_capture divvy_drv_capture_t;
typedef struct divvy_drv_node divvy_drv_node_t;

typedef enum {
    DRV_STREAM_LEGACY,
    DRV_STREAM_PER_THREAD,
    DRV_STREAM_USER,
    DRV_STREAM_INTERNAL, /* a lane of an executable graph */
} divvy_drv_stream_kind_t;

struct divvy_drv_stream {
    CUstream handle; /* NULL for the legacy and per-thread streams */
    uint64_t id;
    divvy_drv_context_t *context;
    divvy_simgpu_channel_t *channel;
    divvy_drv_stream_kind_t kind;
    unsigned flags;
    int priority;
    _Atomic bool dirty;           /* has work that the legacy stream has not waited for */
    _Atomic uint64_t legacy_seen; /* legacy_count of the context that this stream has waited for */
    _Atomic(divvy_drv_capture_t *) capture;
    CUaccessPolicyWindow window; /* attributes that are kept and have no effect */
    CUsynchronizationPolicy sync_policy;
    CUlaunchMemSyncDomain sync_domain;
    CUlaunchMemSyncDomainMap sync_domain_map;
    divvy_drv_stream_t *previous, *next; /* list of the context */
};

/*
 * The stream that HANDLE names in the calling function: 0 by the form of the call, 1 legacy, 2 per
 * thread, or a live handle. CUDA_ERROR_INVALID_HANDLE, INVALID_CONTEXT; the sticky error of its
 * context.
 */
CUresult divvy_drv_stream_find(CUstream handle, divvy_drv_stream_t **ret_stream);
/* The same, with the sticky error left out: for destroying and asking facts. */
CUresult divvy_drv_stream_look(CUstream handle, divvy_drv_stream_t **ret_stream);

CUresult divvy_drv_stream_new(divvy_drv_context_t *context, divvy_drv_stream_kind_t kind,
                              unsigned flags, int priority, divvy_drv_stream_t **ret_stream);
/* What is queued still runs. */
void divvy_drv_stream_free(divvy_drv_stream_t *stream);

/* Puts ITEM into the stream in its order. On failure the item was not taken: run and drop will
 * not be called. */
CUresult divvy_drv_stream_submit(divvy_drv_stream_t *stream, const divvy_simgpu_item_t *item,
                                 divvy_simgpu_position_t *ret_position);
/* Something entered the stream's channel by another way than submit, after a call of tail. */
void divvy_drv_stream_touched(divvy_drv_stream_t *stream);
/* The moment when all that was submitted before is done, legacy order included. */
CUresult divvy_drv_stream_tail(divvy_drv_stream_t *stream, divvy_simgpu_position_t *ret_position);
CUresult divvy_drv_stream_wait(divvy_drv_stream_t *stream, divvy_simgpu_position_t position);
CUresult divvy_drv_stream_synchronize(divvy_drv_stream_t *stream);

typedef struct {
    CUevent handle;
    divvy_drv_context_t *context;
    unsigned flags;
    bool imported; /* of another process: cuIpcOpenEventHandle */
    _Atomic bool recorded;
    divvy_simgpu_event_t engine;
    /* Set while the latest record was made in a capturing stream (capture.c). */
    uint64_t capture_id;
    divvy_drv_node_t **capture_nodes;
    size_t capture_count;
    _Atomic bool captured;
} divvy_drv_event_t;

/* Makes the legacy stream wait for all work of its context, that of non-blocking streams too. */
CUresult divvy_drv_stream_gather(divvy_drv_stream_t *legacy);
/* Makes every stream of the context wait for the event. */
CUresult divvy_drv_stream_wait_all(divvy_drv_context_t *context, divvy_drv_event_t *event);

CUresult divvy_drv_event_find(CUevent handle, divvy_drv_event_t **ret_event);
CUresult divvy_drv_event_record(divvy_drv_event_t *event, divvy_drv_stream_t *stream);
CUresult divvy_drv_event_wait(divvy_drv_event_t *event, divvy_drv_stream_t *stream);

#endif
