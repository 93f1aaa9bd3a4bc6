/* Stream capture; see capture.h. One lock for all captures: they are rare, and cross streams and
 * threads. */
#include "simgpu/driver/capture.h"
#include "simgpu/driver/graph.h"

#include <stdlib.h>
#include <string.h>

_Atomic unsigned divvy_drv_captures;

/* One capture sequence, from cuStreamBeginCapture to cuStreamEndCapture. */
typedef struct sequence {
    uint64_t id;
    divvy_drv_graph_t *graph;
    bool own_graph; /* made for it; else the program's (cuStreamBeginCaptureToGraph) */
    CUstreamCaptureMode mode;
    bool invalid;
    const void *thread; /* that began it */
    divvy_drv_capture_t *streams;
    divvy_drv_stream_t *origin;
    struct sequence *next;
} sequence_t;

/* The part of one stream in it: the nodes that the next one will depend on. */
struct divvy_drv_capture {
    sequence_t *sequence;
    divvy_drv_stream_t *stream;
    divvy_drv_node_t **nodes;
    size_t count, room;
    CUgraphNode *handles; /* what cuStreamGetCaptureInfo last showed */
    CUgraphEdgeData *edge_data;
    divvy_drv_capture_t *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static sequence_t *sequences;
static uint64_t last_id;

/* ---- sequences (under the lock) -------------------------------------------------------------- */

static void leave(divvy_drv_capture_t *part) {
    atomic_store(&part->stream->capture, NULL);
    free(part->nodes);
    free(part->handles);
    free(part->edge_data);
    free(part);
}

static void sequence_free(sequence_t *sequence, bool keep_graph) {
    sequence_t **link = &sequences;
    while (*link != sequence)
        link = &(*link)->next;
    *link = sequence->next;
    while (sequence->streams) {
        divvy_drv_capture_t *part = sequence->streams;
        sequence->streams = part->next;
        leave(part);
    }
    if (sequence->own_graph && !keep_graph)
        divvy_drv_graph_free(sequence->graph);
    free(sequence);
    atomic_fetch_sub(&divvy_drv_captures, 1);
}

static sequence_t *by_id(uint64_t id) {
    sequence_t *sequence = sequences;
    while (sequence && sequence->id != id)
        sequence = sequence->next;
    return sequence;
}

/* STREAM becomes part of SEQUENCE, behind no node yet. */
static divvy_drv_capture_t *join(sequence_t *sequence, divvy_drv_stream_t *stream) {
    divvy_drv_capture_t *part = calloc(1, sizeof(*part));
    if (!part)
        return NULL;
    part->sequence = sequence;
    part->stream = stream;
    part->next = sequence->streams;
    sequence->streams = part;
    atomic_store(&stream->capture, part);
    return part;
}

static CUresult part_add(divvy_drv_capture_t *part, divvy_drv_node_t *node) {
    for (size_t i = 0; i < part->count; i++)
        if (part->nodes[i] == node)
            return CUDA_SUCCESS;
    if (part->count == part->room) {
        size_t room = part->room ? 2 * part->room : 4;
        divvy_drv_node_t **grown = realloc(part->nodes, room * sizeof(*grown));
        if (!grown)
            return CUDA_ERROR_OUT_OF_MEMORY;
        part->nodes = grown;
        part->room = room;
    }
    part->nodes[part->count++] = node;
    return CUDA_SUCCESS;
}

static bool blocking(const divvy_drv_stream_t *stream) {
    return !(stream->flags & CU_STREAM_NON_BLOCKING);
}

/* The legacy stream waits for blocking streams, and so for their captures, which cannot be
 * waited for. */
static CUresult check_implicit(divvy_drv_stream_t *stream) {
    bool found = false;
    if (stream->kind != DRV_STREAM_LEGACY)
        return CUDA_SUCCESS;
    for (sequence_t *s = sequences; s; s = s->next)
        for (divvy_drv_capture_t *part = s->streams; part; part = part->next)
            if (part->stream->context == stream->context && blocking(part->stream)) {
                s->invalid = true;
                found = true;
            }
    return found ? CUDA_ERROR_STREAM_CAPTURE_IMPLICIT : CUDA_SUCCESS;
}

static CUresult add_node(divvy_drv_capture_t *part, const divvy_drv_op_t *op) {
    divvy_drv_node_t *node;
    sequence_t *sequence = part->sequence;
    if (sequence->invalid)
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    CUresult result = divvy_drv_graph_add(sequence->graph, op, part->nodes, part->count, &node);
    if (result == CUDA_SUCCESS) {
        part->count = 0;
        result = part_add(part, node);
    }
    if (result != CUDA_SUCCESS)
        sequence->invalid = true;
    return result;
}

/* ---- what other calls ask -------------------------------------------------------------------- */

/* This thread's own captures count unless they are relaxed; those of others if they are global. */
CUresult divvy_drv_capture_check(void) {
    CUresult result = CUDA_SUCCESS;
    if (divvy_drv_self.capture_mode == CU_STREAM_CAPTURE_MODE_RELAXED)
        return CUDA_SUCCESS;
    pthread_mutex_lock(&lock);
    for (sequence_t *s = sequences; s; s = s->next) {
        bool own = s->thread == &divvy_drv_self;
        bool bars = own ? s->mode != CU_STREAM_CAPTURE_MODE_RELAXED
                        : s->mode == CU_STREAM_CAPTURE_MODE_GLOBAL &&
                              divvy_drv_self.capture_mode == CU_STREAM_CAPTURE_MODE_GLOBAL;
        if (!bars)
            continue;
        s->invalid = true;
        result = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    pthread_mutex_unlock(&lock);
    return result;
}

CUresult divvy_drv_capture_check_context(divvy_drv_context_t *context) {
    CUresult result = CUDA_SUCCESS;
    pthread_mutex_lock(&lock);
    for (sequence_t *s = sequences; s; s = s->next)
        for (divvy_drv_capture_t *part = s->streams; part; part = part->next)
            if (part->stream->context == context) {
                s->invalid = true;
                result = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
            }
    pthread_mutex_unlock(&lock);
    return result;
}

CUresult divvy_drv_capture_check_stream(divvy_drv_stream_t *stream) {
    pthread_mutex_lock(&lock);
    divvy_drv_capture_t *part = atomic_load(&stream->capture);
    CUresult result = check_implicit(stream);
    if (part) {
        result = part->sequence->invalid ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED
                                         : CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
        part->sequence->invalid = true;
    }
    pthread_mutex_unlock(&lock);
    return result;
}

CUresult divvy_drv_capture_check_event(divvy_drv_event_t *event) {
    if (!atomic_load(&event->captured))
        return CUDA_SUCCESS;
    pthread_mutex_lock(&lock);
    sequence_t *sequence = by_id(event->capture_id);
    if (sequence)
        sequence->invalid = true;
    pthread_mutex_unlock(&lock);
    return CUDA_ERROR_CAPTURED_EVENT;
}

void divvy_drv_capture_abandon(divvy_drv_stream_t *stream) {
    if (!atomic_load(&stream->capture))
        return;
    pthread_mutex_lock(&lock);
    divvy_drv_capture_t *part = atomic_load(&stream->capture);
    if (part) {
        sequence_t *sequence = part->sequence;
        sequence->invalid = true;
        if (sequence->origin == stream) {
            sequence_free(sequence, false); /* nobody can end it any more */
        } else {
            divvy_drv_capture_t **link = &sequence->streams;
            while (*link != part)
                link = &(*link)->next;
            *link = part->next;
            leave(part);
        }
    }
    pthread_mutex_unlock(&lock);
}

/* ---- work that is captured ------------------------------------------------------------------- */

CUresult divvy_drv_capture_op(divvy_drv_stream_t *stream, const divvy_drv_op_t *op,
                              bool *ret_taken) {
    pthread_mutex_lock(&lock);
    divvy_drv_capture_t *part = atomic_load(&stream->capture);
    CUresult result = part ? add_node(part, op) : check_implicit(stream);
    pthread_mutex_unlock(&lock);
    *ret_taken = part && result == CUDA_SUCCESS;
    return result;
}

/* ---- events ---------------------------------------------------------------------------------- */

static void event_clear(divvy_drv_event_t *event) {
    if (!atomic_exchange(&event->captured, false))
        return;
    free(event->capture_nodes);
    event->capture_nodes = NULL;
    event->capture_count = 0;
    atomic_fetch_sub(&divvy_drv_captures, 1);
}

void divvy_drv_capture_forget_event(divvy_drv_event_t *event) {
    pthread_mutex_lock(&lock);
    event_clear(event);
    pthread_mutex_unlock(&lock);
}

/* The event stands for the nodes that the stream has come to. */
static CUresult event_take(divvy_drv_event_t *event, const divvy_drv_capture_t *part) {
    divvy_drv_node_t **nodes = calloc(part->count + 1, sizeof(*nodes));
    if (!nodes)
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (part->count)
        memcpy(nodes, part->nodes, part->count * sizeof(*nodes));
    event_clear(event);
    event->capture_nodes = nodes;
    event->capture_count = part->count;
    event->capture_id = part->sequence->id;
    atomic_fetch_add(&divvy_drv_captures, 1);
    atomic_store(&event->captured, true);
    return CUDA_SUCCESS;
}

CUresult divvy_drv_capture_record(divvy_drv_stream_t *stream, divvy_drv_event_t *event,
                                  unsigned flags, bool *ret_taken) {
    pthread_mutex_lock(&lock);
    divvy_drv_capture_t *part = atomic_load(&stream->capture);
    CUresult result;
    *ret_taken = part != NULL;
    if (!part) {
        result = check_implicit(stream);
        if (result == CUDA_SUCCESS)
            event_clear(event);
    } else if (part->sequence->invalid) {
        result = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    } else if (flags & CU_EVENT_RECORD_EXTERNAL) {
        divvy_drv_op_t op = {.kind = CU_GRAPH_NODE_TYPE_EVENT_RECORD, .event = event->handle};
        result = add_node(part, &op);
    } else {
        result = event_take(event, part);
    }
    pthread_mutex_unlock(&lock);
    return result;
}

static CUresult wait_external(divvy_drv_capture_t *part, divvy_drv_event_t *event) {
    divvy_drv_op_t op = {.kind = CU_GRAPH_NODE_TYPE_WAIT_EVENT, .event = event->handle};
    return add_node(part, &op);
}

/* STREAM waits for nodes of a capture: it joins it, or is in it already. */
static CUresult wait_captured(divvy_drv_stream_t *stream, divvy_drv_event_t *event) {
    divvy_drv_capture_t *part = atomic_load(&stream->capture);
    sequence_t *sequence = by_id(event->capture_id);
    if (!sequence)
        return CUDA_ERROR_CAPTURED_EVENT; /* of a capture that has ended */
    if (sequence->invalid)
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    if (stream->kind == DRV_STREAM_LEGACY) {
        sequence->invalid = true;
        return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
    }
    if (part && part->sequence != sequence) {
        part->sequence->invalid = sequence->invalid = true;
        return CUDA_ERROR_STREAM_CAPTURE_MERGE;
    }
    if (!part)
        part = join(sequence, stream);
    CUresult result = part ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
    for (size_t i = 0; i < event->capture_count && result == CUDA_SUCCESS; i++)
        result = part_add(part, event->capture_nodes[i]);
    return result;
}

CUresult divvy_drv_capture_wait(divvy_drv_stream_t *stream, divvy_drv_event_t *event,
                                unsigned flags, bool *ret_taken) {
    pthread_mutex_lock(&lock);
    divvy_drv_capture_t *part = atomic_load(&stream->capture);
    CUresult result;
    *ret_taken = true;
    if (part && part->sequence->invalid) {
        result = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    } else if (part && flags & CU_EVENT_WAIT_EXTERNAL) {
        result = wait_external(part, event);
    } else if (atomic_load(&event->captured)) {
        result = wait_captured(stream, event);
    } else if (part) {
        part->sequence->invalid = true; /* work outside cannot be waited for inside */
        result = CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
    } else {
        result = check_implicit(stream);
        *ret_taken = false;
    }
    pthread_mutex_unlock(&lock);
    return result;
}

/* ---- beginning and ending -------------------------------------------------------------------- */

static CUresult begin(divvy_drv_stream_t *stream, divvy_drv_graph_t *graph, bool own_graph,
                      CUstreamCaptureMode mode, divvy_drv_node_t *const *nodes, size_t count) {
    if (atomic_load(&stream->capture))
        return CUDA_ERROR_ILLEGAL_STATE;
    sequence_t *sequence = calloc(1, sizeof(*sequence));
    if (!sequence)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *sequence = (sequence_t){.id = ++last_id,
                             .graph = graph,
                             .own_graph = own_graph,
                             .mode = mode,
                             .thread = &divvy_drv_self,
                             .origin = stream,
                             .next = sequences};
    divvy_drv_capture_t *part = join(sequence, stream);
    CUresult result = part ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
    for (size_t i = 0; i < count && result == CUDA_SUCCESS; i++)
        result = nodes[i]->graph == graph ? part_add(part, nodes[i]) : CUDA_ERROR_INVALID_VALUE;
    if (result != CUDA_SUCCESS) {
        if (part)
            leave(part);
        free(sequence);
        return result;
    }
    sequences = sequence;
    atomic_fetch_add(&divvy_drv_captures, 1);
    return CUDA_SUCCESS;
}

static CUresult find_stream(CUstream handle, CUstreamCaptureMode mode,
                            divvy_drv_stream_t **ret_stream) {
    if (mode > CU_STREAM_CAPTURE_MODE_RELAXED)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_stream_find(handle, ret_stream));
    return (*ret_stream)->kind == DRV_STREAM_LEGACY ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED
                                                    : CUDA_SUCCESS;
}

CUresult DRV(cuStreamBeginCapture_v2)(CUstream hStream, CUstreamCaptureMode mode) {
    divvy_drv_stream_t *stream;
    divvy_drv_graph_t *graph;
    DRV_TRY(find_stream(hStream, mode, &stream));
    DRV_TRY(divvy_drv_graph_new(&graph));
    pthread_mutex_lock(&lock);
    CUresult result = begin(stream, graph, true, mode, NULL, 0);
    pthread_mutex_unlock(&lock);
    if (result != CUDA_SUCCESS)
        divvy_drv_graph_free(graph);
    return result;
}

CUresult DRV(cuStreamBeginCapture)(CUstream hStream) {
    return DRV(cuStreamBeginCapture_v2)(hStream, CU_STREAM_CAPTURE_MODE_GLOBAL);
}

CUresult DRV(cuStreamBeginCaptureToGraph)(CUstream hStream, CUgraph hGraph,
                                          const CUgraphNode *dependencies,
                                          const CUgraphEdgeData *dependencyData,
                                          size_t numDependencies, CUstreamCaptureMode mode) {
    divvy_drv_stream_t *stream;
    divvy_drv_graph_t *graph;
    divvy_drv_node_t **nodes;
    (void)dependencyData; /* edges to captured work are plain */
    DRV_TRY(find_stream(hStream, mode, &stream));
    DRV_TRY(divvy_drv_graph_find(hGraph, &graph));
    DRV_TRY(divvy_drv_nodes_find(dependencies, numDependencies, &nodes));
    pthread_mutex_lock(&lock);
    CUresult result = begin(stream, graph, false, mode, nodes, numDependencies);
    pthread_mutex_unlock(&lock);
    free(nodes);
    return result;
}

/* Marks all that NODE depends on, and itself. Graphs can be deep: no recursion, but repeated
 * sweeps over a stack. */
static int mark_ancestors(divvy_drv_graph_t *graph, divvy_drv_node_t *const *from, size_t count) {
    divvy_drv_node_t **stack = calloc(graph->count + 1, sizeof(*stack));
    size_t depth = 0;
    if (!stack)
        return -1;
    for (divvy_drv_node_t *n = graph->first; n; n = n->next)
        n->mark = 0;
    for (size_t i = 0; i < count; i++)
        if (!from[i]->mark) {
            from[i]->mark = 1;
            stack[depth++] = from[i];
        }
    while (depth) {
        divvy_drv_node_t *node = stack[--depth];
        for (size_t e = 0; e < node->before.count; e++)
            if (!node->before.edges[e].node->mark) {
                node->before.edges[e].node->mark = 1;
                stack[depth++] = node->before.edges[e].node;
            }
    }
    free(stack);
    return 0;
}

/* Every stream that joined must have been joined back: what it did last is waited for by the
 * origin. */
static CUresult check_joined(const sequence_t *sequence, const divvy_drv_capture_t *origin) {
    if (mark_ancestors(sequence->graph, origin->nodes, origin->count))
        return CUDA_ERROR_OUT_OF_MEMORY;
    for (const divvy_drv_capture_t *part = sequence->streams; part; part = part->next)
        for (size_t i = 0; i < part->count; i++)
            if (!part->nodes[i]->mark)
                return CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
    return CUDA_SUCCESS;
}

static CUresult end(divvy_drv_stream_t *stream, CUgraph *ret_graph) {
    divvy_drv_capture_t *part = atomic_load(&stream->capture);
    if (!part)
        return CUDA_ERROR_ILLEGAL_STATE;
    sequence_t *sequence = part->sequence;
    if (sequence->origin != stream) {
        sequence->invalid = true;
        return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
    }
    if (sequence->mode != CU_STREAM_CAPTURE_MODE_RELAXED && sequence->thread != &divvy_drv_self)
        return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
    CUresult result =
        sequence->invalid ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED : check_joined(sequence, part);
    CUgraph graph = sequence->graph->handle;
    sequence_free(sequence, result == CUDA_SUCCESS);
    *ret_graph = result == CUDA_SUCCESS ? graph : NULL;
    return result;
}

CUresult DRV(cuStreamEndCapture)(CUstream hStream, CUgraph *phGraph) {
    divvy_drv_stream_t *stream;
    if (!phGraph)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_stream_find(hStream, &stream));
    pthread_mutex_lock(&lock);
    CUresult result = end(stream, phGraph);
    pthread_mutex_unlock(&lock);
    return result;
}

CUresult DRV(cuThreadExchangeStreamCaptureMode)(CUstreamCaptureMode *mode) {
    if (!mode || *mode > CU_STREAM_CAPTURE_MODE_RELAXED)
        return CUDA_ERROR_INVALID_VALUE;
    CUstreamCaptureMode old = (CUstreamCaptureMode)divvy_drv_self.capture_mode;
    divvy_drv_self.capture_mode = (uint8_t)*mode;
    *mode = old;
    return CUDA_SUCCESS;
}

/* ---- asking and steering --------------------------------------------------------------------- */

/* Asking about the legacy stream while a blocking stream captures is an error that invalidates
 * nothing. */
static CUresult status(divvy_drv_stream_t *stream, CUstreamCaptureStatus *ret_status,
                       divvy_drv_capture_t **ret_part) {
    divvy_drv_capture_t *part = atomic_load(&stream->capture);
    if (!part && stream->kind == DRV_STREAM_LEGACY)
        for (sequence_t *s = sequences; s; s = s->next)
            for (divvy_drv_capture_t *p = s->streams; p; p = p->next)
                if (p->stream->context == stream->context && blocking(p->stream))
                    return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
    *ret_status = !part                     ? CU_STREAM_CAPTURE_STATUS_NONE
                  : part->sequence->invalid ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
                                            : CU_STREAM_CAPTURE_STATUS_ACTIVE;
    *ret_part = part;
    return CUDA_SUCCESS;
}

CUresult DRV(cuStreamIsCapturing)(CUstream hStream, CUstreamCaptureStatus *captureStatus) {
    divvy_drv_stream_t *stream;
    divvy_drv_capture_t *part;
    if (!captureStatus)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_stream_find(hStream, &stream));
    pthread_mutex_lock(&lock);
    CUresult result = status(stream, captureStatus, &part);
    pthread_mutex_unlock(&lock);
    return result;
}

static CUresult show_nodes(divvy_drv_capture_t *part, const CUgraphNode **ret_nodes,
                           const CUgraphEdgeData **ret_data) {
    CUgraphNode *handles = realloc(part->handles, (part->count + 1) * sizeof(*handles));
    if (!handles)
        return CUDA_ERROR_OUT_OF_MEMORY;
    part->handles = handles;
    for (size_t i = 0; i < part->count; i++)
        handles[i] = part->nodes[i]->handle;
    if (ret_nodes)
        *ret_nodes = handles;
    if (ret_data) {
        free(part->edge_data);
        part->edge_data = calloc(part->count + 1, sizeof(*part->edge_data));
        if (!part->edge_data)
            return CUDA_ERROR_OUT_OF_MEMORY;
        *ret_data = part->edge_data;
    }
    return CUDA_SUCCESS;
}

CUresult DRV(cuStreamGetCaptureInfo_v3)(CUstream hStream, CUstreamCaptureStatus *captureStatus_out,
                                        cuuint64_t *id_out, CUgraph *graph_out,
                                        const CUgraphNode **dependencies_out,
                                        const CUgraphEdgeData **edgeData_out,
                                        size_t *numDependencies_out) {
    divvy_drv_stream_t *stream;
    divvy_drv_capture_t *part = NULL;
    if (!captureStatus_out || (edgeData_out && !dependencies_out))
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_stream_find(hStream, &stream));
    pthread_mutex_lock(&lock);
    CUresult result = status(stream, captureStatus_out, &part);
    if (result == CUDA_SUCCESS && part && *captureStatus_out == CU_STREAM_CAPTURE_STATUS_ACTIVE) {
        if (id_out)
            *id_out = part->sequence->id;
        if (graph_out)
            *graph_out = part->sequence->graph->handle;
        if (numDependencies_out)
            *numDependencies_out = part->count;
        result = show_nodes(part, dependencies_out, edgeData_out);
    }
    pthread_mutex_unlock(&lock);
    return result;
}

CUresult DRV(cuStreamGetCaptureInfo_v2)(CUstream hStream, CUstreamCaptureStatus *captureStatus_out,
                                        cuuint64_t *id_out, CUgraph *graph_out,
                                        const CUgraphNode **dependencies_out,
                                        size_t *numDependencies_out) {
    return DRV(cuStreamGetCaptureInfo_v3)(hStream, captureStatus_out, id_out, graph_out,
                                          dependencies_out, NULL, numDependencies_out);
}

CUresult DRV(cuStreamGetCaptureInfo)(CUstream hStream, CUstreamCaptureStatus *captureStatus_out,
                                     cuuint64_t *id_out) {
    return DRV(cuStreamGetCaptureInfo_v3)(hStream, captureStatus_out, id_out, NULL, NULL, NULL,
                                          NULL);
}

static CUresult update(divvy_drv_capture_t *part, divvy_drv_node_t *const *nodes, size_t count,
                       unsigned flags) {
    if (!part)
        return CUDA_ERROR_ILLEGAL_STATE;
    if (part->sequence->invalid)
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    for (size_t i = 0; i < count; i++)
        if (nodes[i]->graph != part->sequence->graph)
            return CUDA_ERROR_INVALID_VALUE;
    if (flags == CU_STREAM_SET_CAPTURE_DEPENDENCIES)
        part->count = 0;
    for (size_t i = 0; i < count; i++)
        DRV_TRY(part_add(part, nodes[i]));
    return CUDA_SUCCESS;
}

CUresult DRV(cuStreamUpdateCaptureDependencies)(CUstream hStream, CUgraphNode *dependencies,
                                                size_t numDependencies, unsigned int flags) {
    divvy_drv_stream_t *stream;
    divvy_drv_node_t **nodes;
    if (flags > CU_STREAM_SET_CAPTURE_DEPENDENCIES)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_stream_find(hStream, &stream));
    DRV_TRY(divvy_drv_nodes_find(dependencies, numDependencies, &nodes));
    pthread_mutex_lock(&lock);
    CUresult result = update(atomic_load(&stream->capture), nodes, numDependencies, flags);
    pthread_mutex_unlock(&lock);
    free(nodes);
    return result;
}

CUresult DRV(cuStreamUpdateCaptureDependencies_v2)(CUstream hStream, CUgraphNode *dependencies,
                                                   const CUgraphEdgeData *dependencyData,
                                                   size_t numDependencies, unsigned int flags) {
    (void)dependencyData;
    return DRV(cuStreamUpdateCaptureDependencies)(hStream, dependencies, numDependencies, flags);
}
