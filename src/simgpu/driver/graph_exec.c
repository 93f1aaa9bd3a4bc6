/*
 * Executable graphs: the nodes of a graph and of its children in one ordered list, spread over
 * lanes. Lane 0 is the stream of the launch, the others are streams of the graph's own, so that
 * branches may overlap.
 */
#include "simgpu/driver/capture.h"
#include "simgpu/driver/graph.h"
#include "simgpu/driver/graph_memory.h"
#include "simgpu/driver/handle.h"
#include "simgpu/driver/pool.h"

#include <stdlib.h>
#include <string.h>

enum { LANES = 8 };

typedef struct {
    divvy_drv_op_t op;
    CUgraphNode handle; /* of the node in its graph; NULL: made here to frame a child graph */
    size_t *before;     /* indices in the list */
    size_t before_count;
    unsigned lane;
    bool disabled;
} step_t;

typedef struct {
    divvy_drv_context_t
        *context; /* NULL: any; compared, and used only after its handle was found alive */
    CUcontext context_handle;
    divvy_drv_stream_t *stream; /* made at the first launch */
    size_t last;                /* index of its last step, while lanes are assigned */
} lane_t;

typedef struct {
    CUgraphExec handle;
    uint64_t flags;
    step_t *steps;
    size_t count, room;
    lane_t lanes[LANES];
    unsigned lane_count;
    pthread_mutex_t lock;         /* one launch at a time */
    divvy_simgpu_position_t done; /* of the latest launch */
    divvy_drv_user_t *users;
} exec_t;

static CUresult find(CUgraphExec handle, exec_t **ret_exec) {
    exec_t *exec = divvy_drv_handle_get(handle, DRV_HANDLE_EXEC);
    if (!exec)
        return CUDA_ERROR_INVALID_VALUE;
    *ret_exec = exec;
    return CUDA_SUCCESS;
}

/* ---- building the list ----------------------------------------------------------------------- */

static CUresult push(exec_t *exec, const divvy_drv_op_t *op, CUgraphNode handle, size_t before_room,
                     step_t **ret_step) {
    if (exec->count == exec->room) {
        size_t room = exec->room ? 2 * exec->room : 16;
        step_t *grown = realloc(exec->steps, room * sizeof(*grown));
        if (!grown)
            return CUDA_ERROR_OUT_OF_MEMORY;
        exec->steps = grown;
        exec->room = room;
    }
    step_t *step = exec->steps + exec->count;
    *step = (step_t){.handle = handle, .before = calloc(before_room + 1, sizeof(size_t))};
    if (!step->before)
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult result = divvy_drv_op_copy(op, &step->op);
    if (result != CUDA_SUCCESS) {
        free(step->before);
        return result;
    }
    exec->count++;
    *ret_step = step;
    return CUDA_SUCCESS;
}

static CUresult push_frame(exec_t *exec, size_t before_room, step_t **ret_step) {
    divvy_drv_op_t empty = {.kind = CU_GRAPH_NODE_TYPE_EMPTY};
    return push(exec, &empty, NULL, before_room, ret_step);
}

static CUresult append(exec_t *exec, const divvy_drv_graph_t *graph, size_t begin);

/* A child graph stands between two empty steps; NODE's mark becomes the index of the second. */
static CUresult append_child(exec_t *exec, divvy_drv_node_t *node, size_t begin) {
    step_t *step;
    DRV_TRY(push_frame(exec, node->before.count + 1, &step));
    for (size_t e = 0; e < node->before.count; e++)
        step->before[step->before_count++] = node->before.edges[e].node->mark;
    if (!node->before.count && begin != SIZE_MAX)
        step->before[step->before_count++] = begin;
    size_t first = exec->count - 1;
    DRV_TRY(append(exec, node->op.child, first));
    DRV_TRY(push_frame(exec, node->op.child->count + 1, &step));
    for (divvy_drv_node_t *n = node->op.child->first; n; n = n->next)
        if (!n->after.count)
            step->before[step->before_count++] = n->mark;
    if (!step->before_count)
        step->before[step->before_count++] = first;
    node->mark = exec->count - 1;
    return CUDA_SUCCESS;
}

static CUresult append_node(exec_t *exec, divvy_drv_node_t *node, size_t begin) {
    step_t *step;
    if (node->op.kind == CU_GRAPH_NODE_TYPE_GRAPH)
        return append_child(exec, node, begin);
    DRV_TRY(divvy_drv_op_alive(&node->op));
    DRV_TRY(push(exec, &node->op, node->handle, node->before.count + 1, &step));
    for (size_t e = 0; e < node->before.count; e++)
        step->before[step->before_count++] = node->before.edges[e].node->mark;
    if (!node->before.count && begin != SIZE_MAX)
        step->before[step->before_count++] = begin;
    node->mark = exec->count - 1;
    return CUDA_SUCCESS;
}

/* The nodes of GRAPH, those that wait for nothing behind step BEGIN (SIZE_MAX: none). */
static CUresult append(exec_t *exec, const divvy_drv_graph_t *graph, size_t begin) {
    divvy_drv_node_t **nodes;
    DRV_TRY(divvy_drv_graph_order(graph, &nodes));
    CUresult result = CUDA_SUCCESS;
    for (size_t i = 0; i < graph->count && result == CUDA_SUCCESS; i++)
        result = append_node(exec, nodes[i], begin);
    free(nodes);
    return result;
}

/* ---- lanes ----------------------------------------------------------------------------------- */

static bool lane_fits(lane_t *lane, divvy_drv_context_t *context) {
    return !context || !lane->context || lane->context == context;
}

static unsigned new_lane(exec_t *exec, divvy_drv_context_t *context) {
    lane_t *lane = exec->lanes + exec->lane_count;
    *lane = (lane_t){.context = context, .last = SIZE_MAX};
    return exec->lane_count++;
}

/* Behind something it waits for, if nothing else went there yet; else in a lane of its own; else
 * in any that fits. */
static CUresult choose_lane(exec_t *exec, size_t index) {
    step_t *step = exec->steps + index;
    divvy_drv_context_t *context = divvy_drv_op_context(&step->op);
    unsigned chosen = LANES;
    for (size_t i = 0; i < step->before_count && chosen == LANES; i++) {
        unsigned lane = exec->steps[step->before[i]].lane;
        if (exec->lanes[lane].last == step->before[i] && lane_fits(exec->lanes + lane, context))
            chosen = lane;
    }
    if (chosen == LANES && exec->lane_count < LANES)
        chosen = new_lane(exec, context);
    for (unsigned lane = (unsigned)(index % LANES), tried = 0; chosen == LANES && tried < LANES;
         tried++) {
        if (lane_fits(exec->lanes + lane, context))
            chosen = lane;
        lane = (lane + 1) % LANES;
    }
    if (chosen == LANES)
        return CUDA_ERROR_NOT_SUPPORTED; /* a graph over more contexts than there are lanes */
    step->lane = chosen;
    lane_t *lane = exec->lanes + chosen;
    lane->last = index;
    if (context) {
        lane->context = context;
        lane->context_handle = context->handle;
    }
    return CUDA_SUCCESS;
}

static CUresult choose_lanes(exec_t *exec) {
    exec->lane_count = 0;
    for (size_t i = 0; i < exec->count; i++)
        DRV_TRY(choose_lane(exec, i));
    divvy_drv_context_t *some = NULL;
    for (unsigned i = 0; i < exec->lane_count && !some; i++)
        some = exec->lanes[i].context;
    for (unsigned i = 0; some && i < exec->lane_count; i++)
        if (!exec->lanes[i].context) { /* steps that may run anywhere run where others do */
            exec->lanes[i].context = some;
            exec->lanes[i].context_handle = some->handle;
        }
    return CUDA_SUCCESS;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void free_lanes(exec_t *exec) {
    for (unsigned i = 0; i < LANES; i++) {
        lane_t *lane = exec->lanes + i;
        if (lane->stream && divvy_drv_handle_get(lane->context_handle, DRV_HANDLE_CONTEXT))
            divvy_drv_stream_free(lane->stream);
        lane->stream = NULL;
    }
}

static void exec_free(exec_t *exec) {
    divvy_drv_handle_end(exec->handle, DRV_HANDLE_EXEC);
    free_lanes(exec);
    for (size_t i = 0; i < exec->count; i++) {
        divvy_drv_op_clear(&exec->steps[i].op);
        free(exec->steps[i].before);
    }
    divvy_drv_users_release(exec->users);
    pthread_mutex_destroy(&exec->lock);
    free(exec->steps);
    free(exec);
}

static CUresult exec_new(const divvy_drv_graph_t *graph, uint64_t flags, exec_t **ret_exec) {
    exec_t *exec = calloc(1, sizeof(*exec));
    if (!exec)
        return CUDA_ERROR_OUT_OF_MEMORY;
    exec->flags = flags;
    pthread_mutex_init(&exec->lock, NULL);
    CUresult result = append(exec, graph, SIZE_MAX);
    if (result == CUDA_SUCCESS)
        result = choose_lanes(exec);
    if (result == CUDA_SUCCESS)
        result = divvy_drv_users_clone(graph->users, &exec->users);
    if (result == CUDA_SUCCESS) {
        exec->handle = divvy_drv_handle_new(DRV_HANDLE_EXEC, exec);
        result = exec->handle ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
    }
    if (result != CUDA_SUCCESS) {
        exec_free(exec);
        return result;
    }
    *ret_exec = exec;
    return CUDA_SUCCESS;
}

/* ---- instantiation --------------------------------------------------------------------------- */

static CUresult upload(exec_t *exec) {
    for (size_t i = 0; i < exec->count; i++)
        if (exec->steps[i].op.kind == CU_GRAPH_NODE_TYPE_MEM_ALLOC)
            DRV_TRY(divvy_drv_graph_memory_prepare(exec->steps[i].op.alloc.memory));
    return CUDA_SUCCESS;
}

static CUresult instantiate(CUgraphExec *ret_handle, CUgraph hGraph, uint64_t flags) {
    const uint64_t known =
        CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH | CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD |
        CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH | CUDA_GRAPH_INSTANTIATE_FLAG_USE_NODE_PRIORITY;
    divvy_drv_graph_t *graph;
    exec_t *exec;
    if (!ret_handle || (flags & ~known))
        return CUDA_ERROR_INVALID_VALUE;
    if (flags & CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH)
        return CUDA_ERROR_NOT_SUPPORTED;
    DRV_TRY(divvy_drv_graph_find(hGraph, &graph));
    DRV_TRY(exec_new(graph, flags, &exec));
    if (flags & CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD) {
        CUresult result = upload(exec);
        if (result != CUDA_SUCCESS) {
            exec_free(exec);
            return result;
        }
    }
    *ret_handle = exec->handle;
    return CUDA_SUCCESS;
}

CUresult DRV(cuGraphInstantiateWithFlags)(CUgraphExec *phGraphExec, CUgraph hGraph,
                                          unsigned long long flags) {
    return instantiate(phGraphExec, hGraph, flags);
}

CUresult DRV(cuGraphInstantiateWithParams)(CUgraphExec *phGraphExec, CUgraph hGraph,
                                           CUDA_GRAPH_INSTANTIATE_PARAMS *instantiateParams) {
    if (!instantiateParams)
        return CUDA_ERROR_INVALID_VALUE;
    instantiateParams->hErrNode_out = NULL;
    CUresult result = instantiate(phGraphExec, hGraph, instantiateParams->flags);
    instantiateParams->result_out = result == CUDA_SUCCESS ? CUDA_GRAPH_INSTANTIATE_SUCCESS
                                    : result == CUDA_ERROR_INVALID_VALUE
                                        ? CUDA_GRAPH_INSTANTIATE_INVALID_STRUCTURE
                                        : CUDA_GRAPH_INSTANTIATE_ERROR;
    return result;
}

CUresult DRV(cuGraphInstantiate_v2)(CUgraphExec *phGraphExec, CUgraph hGraph,
                                    CUgraphNode *phErrorNode, char *logBuffer, size_t bufferSize) {
    if (phErrorNode)
        *phErrorNode = NULL;
    if (logBuffer && bufferSize)
        *logBuffer = 0;
    return instantiate(phGraphExec, hGraph, 0);
}

CUresult DRV(cuGraphInstantiate)(CUgraphExec *phGraphExec, CUgraph hGraph, CUgraphNode *phErrorNode,
                                 char *logBuffer, size_t bufferSize) {
    return DRV(cuGraphInstantiate_v2)(phGraphExec, hGraph, phErrorNode, logBuffer, bufferSize);
}

CUresult DRV(cuGraphExecDestroy)(CUgraphExec hGraphExec) {
    exec_t *exec;
    DRV_TRY(find(hGraphExec, &exec));
    exec_free(exec);
    return CUDA_SUCCESS;
}

CUresult DRV(cuGraphExecGetFlags)(CUgraphExec hGraphExec, cuuint64_t *flags) {
    exec_t *exec;
    if (!flags)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(find(hGraphExec, &exec));
    *flags = exec->flags;
    return CUDA_SUCCESS;
}

CUresult DRV(cuGraphUpload)(CUgraphExec hGraph, CUstream hStream) {
    exec_t *exec;
    divvy_drv_stream_t *stream;
    DRV_TRY(find(hGraph, &exec));
    DRV_TRY(divvy_drv_stream_find(hStream, &stream));
    DRV_TRY(divvy_drv_capture_guard_stream(stream));
    return upload(exec);
}

/* ---- launch ---------------------------------------------------------------------------------- */

/* Every step must still have what it refers to, before any of them runs. */
static CUresult check_alive(exec_t *exec) {
    for (size_t i = 0; i < exec->count; i++)
        DRV_TRY(divvy_drv_op_alive(&exec->steps[i].op));
    for (unsigned i = 0; i < exec->lane_count; i++)
        if (exec->lanes[i].context_handle &&
            !divvy_drv_handle_get(exec->lanes[i].context_handle, DRV_HANDLE_CONTEXT))
            return CUDA_ERROR_INVALID_CONTEXT;
    return CUDA_SUCCESS;
}

/* The stream of each lane: lane 0 is the launching one, if it is of the right context. */
static CUresult open_lanes(exec_t *exec, divvy_drv_stream_t *stream,
                           divvy_drv_stream_t **ret_streams) {
    for (unsigned i = 0; i < exec->lane_count; i++) {
        lane_t *lane = exec->lanes + i;
        divvy_drv_context_t *context = lane->context ? lane->context : stream->context;
        if (i == 0 && context == stream->context) {
            ret_streams[0] = stream;
            continue;
        }
        if (lane->stream &&
            lane->stream->context != context) { /* a graph of no context moved to another one */
            divvy_drv_stream_free(lane->stream);
            lane->stream = NULL;
        }
        if (!lane->stream) {
            DRV_TRY(divvy_drv_stream_new(context, DRV_STREAM_INTERNAL, CU_STREAM_NON_BLOCKING,
                                         stream->priority, &lane->stream));
            lane->context_handle = context->handle;
        }
        ret_streams[i] = lane->stream;
    }
    return CUDA_SUCCESS;
}

/* Allocation and free nodes, in order, before any work: an allocation that fails lets nothing
 * run. */
static CUresult do_memory(exec_t *exec) {
    bool again = exec->flags & CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH;
    for (size_t i = 0; i < exec->count; i++) {
        divvy_drv_op_t *op = &exec->steps[i].op;
        if (op->kind != CU_GRAPH_NODE_TYPE_MEM_ALLOC)
            continue;
        CUresult result = divvy_drv_graph_memory_allocate(op->alloc.memory, again);
        if (result == CUDA_SUCCESS)
            continue;
        while (i--)
            if (exec->steps[i].op.kind == CU_GRAPH_NODE_TYPE_MEM_ALLOC)
                divvy_drv_graph_memory_free(exec->steps[i].op.alloc.params.dptr);
        return result;
    }
    return CUDA_SUCCESS;
}

static CUresult free_memory(exec_t *exec, divvy_drv_stream_t *stream) {
    CUresult first = CUDA_SUCCESS;
    for (size_t i = 0; i < exec->count; i++)
        if (exec->steps[i].op.kind == CU_GRAPH_NODE_TYPE_MEM_FREE) {
            CUresult result = divvy_drv_graph_memory_node_free(exec->steps[i].op.free_address,
                                                               stream->id, exec->done);
            first = first == CUDA_SUCCESS ? result : first;
        }
    return first;
}

static CUresult wait_in(divvy_drv_stream_t *stream, divvy_simgpu_position_t position) {
    divvy_simgpu_item_t item = {.kind = DIVVY_SIMGPU_EVENT_WAIT, .position = position};
    return divvy_drv_stream_submit(stream, &item, NULL);
}

/* POSITIONS holds, per step, the moment when it is done. */
static CUresult run_steps(exec_t *exec, divvy_drv_stream_t **streams, divvy_simgpu_position_t begin,
                          divvy_drv_stream_t *stream, divvy_simgpu_position_t *positions) {
    bool entered[LANES] = {false};
    for (size_t i = 0; i < exec->count; i++) {
        step_t *step = exec->steps + i;
        divvy_drv_stream_t *lane = streams[step->lane];
        if (!entered[step->lane] && lane != stream)
            DRV_TRY(wait_in(lane, begin));
        entered[step->lane] = true;
        for (size_t e = 0; e < step->before_count; e++)
            if (exec->steps[step->before[e]].lane != step->lane)
                DRV_TRY(wait_in(lane, positions[step->before[e]]));
        if (!step->disabled)
            DRV_TRY(divvy_drv_op_execute(lane, &step->op));
        positions[i] = divvy_simgpu_channel_tail(lane->channel);
    }
    return CUDA_SUCCESS;
}

static CUresult launch(exec_t *exec, divvy_drv_stream_t *stream) {
    divvy_drv_stream_t *streams[LANES];
    divvy_simgpu_position_t begin;
    DRV_TRY(check_alive(exec));
    DRV_TRY(open_lanes(exec, stream, streams));
    DRV_TRY(do_memory(exec));
    divvy_simgpu_position_t *positions = calloc(exec->count + 1, sizeof(*positions));
    if (!positions)
        return CUDA_ERROR_OUT_OF_MEMORY;
    /* Launches of one executable graph run one after the other, in whatever streams. */
    CUresult result = exec->done.channel ? wait_in(stream, exec->done) : CUDA_SUCCESS;
    if (result == CUDA_SUCCESS)
        result = divvy_drv_stream_tail(stream, &begin);
    if (result == CUDA_SUCCESS)
        result = run_steps(exec, streams, begin, stream, positions);
    for (unsigned i = 0; i < exec->lane_count && result == CUDA_SUCCESS; i++)
        if (streams[i] != stream)
            result = wait_in(stream, divvy_simgpu_channel_tail(streams[i]->channel));
    free(positions);
    exec->done = divvy_simgpu_channel_tail(stream->channel);
    CUresult freed = free_memory(exec, stream);
    return result != CUDA_SUCCESS ? result : freed;
}

/* In a capturing stream the launch becomes a child graph of the same steps. */
static CUresult as_graph(const exec_t *exec, divvy_drv_graph_t *graph, divvy_drv_node_t **nodes) {
    for (size_t i = 0; i < exec->count; i++) {
        const step_t *step = exec->steps + i;
        DRV_TRY(divvy_drv_graph_add(graph, &step->op, NULL, 0, nodes + i));
        for (size_t e = 0; e < step->before_count; e++)
            DRV_TRY(divvy_drv_edge_add(nodes[step->before[e]], nodes[i], NULL));
    }
    return CUDA_SUCCESS;
}

static CUresult capture_launch(const exec_t *exec, divvy_drv_stream_t *stream, bool *ret_taken) {
    divvy_drv_op_t op = {.kind = CU_GRAPH_NODE_TYPE_GRAPH};
    DRV_TRY(divvy_drv_graph_new(&op.child));
    divvy_drv_node_t **nodes = calloc(exec->count + 1, sizeof(*nodes));
    CUresult result = nodes ? as_graph(exec, op.child, nodes) : CUDA_ERROR_OUT_OF_MEMORY;
    if (result == CUDA_SUCCESS)
        result = divvy_drv_capture_op(stream, &op, ret_taken);
    free(nodes);
    divvy_drv_graph_free(op.child); /* the node has a copy */
    return result;
}

CUresult DRV(cuGraphLaunch)(CUgraphExec hGraph, CUstream hStream) {
    exec_t *exec;
    divvy_drv_stream_t *stream;
    DRV_TRY(find(hGraph, &exec));
    DRV_TRY(divvy_drv_stream_find(hStream, &stream));
    bool taken = false;
    CUresult result = CUDA_SUCCESS;
    pthread_mutex_lock(&exec->lock);
    if (divvy_drv_capturing())
        result = capture_launch(exec, stream, &taken);
    if (result == CUDA_SUCCESS && !taken)
        result = launch(exec, stream);
    pthread_mutex_unlock(&exec->lock);
    return result;
}

/* ---- changing what is instantiated ----------------------------------------------------------- */

static step_t *step_of(exec_t *exec, CUgraphNode handle) {
    for (size_t i = 0; handle && i < exec->count; i++)
        if (exec->steps[i].handle == handle)
            return exec->steps + i;
    return NULL;
}

/* OP takes the place of the step's own; the context stays, because lanes were chosen by it. */
static CUresult replace(step_t *step, const divvy_drv_op_t *op) {
    divvy_drv_op_t copy;
    if (divvy_drv_op_context(op) != divvy_drv_op_context(&step->op))
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_op_copy(op, &copy));
    divvy_drv_op_clear(&step->op);
    step->op = copy;
    return CUDA_SUCCESS;
}

static bool same_shape(const exec_t *a, const exec_t *b) {
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (a->steps[i].before_count != b->steps[i].before_count ||
            (a->steps[i].before_count && memcmp(a->steps[i].before, b->steps[i].before,
                                                a->steps[i].before_count * sizeof(size_t))))
            return false;
    return true;
}

static CUresult set_child(exec_t *exec, CUgraphNode handle, CUgraph child) {
    divvy_drv_node_t *node;
    divvy_drv_graph_t *graph;
    exec_t *fresh;
    DRV_TRY(divvy_drv_node_find(handle, &node));
    DRV_TRY(divvy_drv_graph_find(child, &graph));
    if (node->op.kind != CU_GRAPH_NODE_TYPE_GRAPH)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(exec_new(graph, 0, &fresh));
    /* The steps of the child follow its first node's. Both lists come from the same walk. */
    divvy_drv_node_t **nodes;
    CUresult result = divvy_drv_graph_order(node->op.child, &nodes);
    step_t *first =
        result == CUDA_SUCCESS && node->op.child->count ? step_of(exec, nodes[0]->handle) : NULL;
    if (result == CUDA_SUCCESS)
        free(nodes);
    if (!first || fresh->count != node->op.child->count ||
        (size_t)(first - exec->steps) + fresh->count > exec->count)
        result = CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < fresh->count && result == CUDA_SUCCESS; i++)
        if (first[i].op.kind != fresh->steps[i].op.kind)
            result = CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < fresh->count && result == CUDA_SUCCESS; i++)
        result = replace(first + i, &fresh->steps[i].op);
    exec_free(fresh);
    return result;
}

CUresult DRV(cuGraphExecNodeSetParams)(CUgraphExec hGraphExec, CUgraphNode hNode,
                                       CUgraphNodeParams *nodeParams) {
    exec_t *exec;
    divvy_drv_op_t op;
    void *buffer;
    if (!nodeParams)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(find(hGraphExec, &exec));
    if (nodeParams->type == CU_GRAPH_NODE_TYPE_GRAPH)
        return set_child(exec, hNode, nodeParams->graph.graph);
    pthread_mutex_lock(&exec->lock);
    step_t *step = step_of(exec, hNode);
    CUresult result =
        step && step->op.kind == nodeParams->type ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    if (result == CUDA_SUCCESS) {
        result = divvy_drv_op_from_params(nodeParams, &op, &buffer);
        if (result == CUDA_SUCCESS) {
            if (op.kind == CU_GRAPH_NODE_TYPE_KERNEL)
                op.kernel.cooperative = step->op.kernel.cooperative;
            result = replace(step, &op);
        }
        free(buffer);
    }
    pthread_mutex_unlock(&exec->lock);
    return result;
}

static bool can_disable(CUgraphNodeType kind) {
    return kind == CU_GRAPH_NODE_TYPE_KERNEL || kind == CU_GRAPH_NODE_TYPE_MEMCPY ||
           kind == CU_GRAPH_NODE_TYPE_MEMSET;
}

CUresult DRV(cuGraphNodeSetEnabled)(CUgraphExec hGraphExec, CUgraphNode hNode,
                                    unsigned int isEnabled) {
    exec_t *exec;
    DRV_TRY(find(hGraphExec, &exec));
    step_t *step = step_of(exec, hNode);
    if (!step || !can_disable(step->op.kind))
        return CUDA_ERROR_INVALID_VALUE;
    step->disabled = !isEnabled;
    return CUDA_SUCCESS;
}

CUresult DRV(cuGraphNodeGetEnabled)(CUgraphExec hGraphExec, CUgraphNode hNode,
                                    unsigned int *isEnabled) {
    exec_t *exec;
    if (!isEnabled)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(find(hGraphExec, &exec));
    step_t *step = step_of(exec, hNode);
    if (!step || !can_disable(step->op.kind))
        return CUDA_ERROR_INVALID_VALUE;
    *isEnabled = !step->disabled;
    return CUDA_SUCCESS;
}

/* ---- updating from a graph ------------------------------------------------------------------- */

/* What speaks against the update; *RET_STEP is the step it speaks of. */
static CUgraphExecUpdateResult compare(const exec_t *exec, const exec_t *fresh, size_t *ret_step) {
    *ret_step = SIZE_MAX;
    if (!same_shape(exec, fresh))
        return CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED;
    for (size_t i = 0; i < exec->count; i++) {
        const divvy_drv_op_t *a = &exec->steps[i].op, *b = &fresh->steps[i].op;
        *ret_step = i;
        if (a->kind != b->kind)
            return CU_GRAPH_EXEC_UPDATE_ERROR_NODE_TYPE_CHANGED;
        if (a->kind == CU_GRAPH_NODE_TYPE_MEM_ALLOC && a->alloc.memory != b->alloc.memory)
            return CU_GRAPH_EXEC_UPDATE_ERROR_NOT_SUPPORTED;
        if (divvy_drv_op_alive(a) != CUDA_SUCCESS ||
            divvy_drv_op_context(a) != divvy_drv_op_context(b))
            return a->kind == CU_GRAPH_NODE_TYPE_KERNEL
                       ? CU_GRAPH_EXEC_UPDATE_ERROR_UNSUPPORTED_FUNCTION_CHANGE
                       : CU_GRAPH_EXEC_UPDATE_ERROR_PARAMETERS_CHANGED;
        if (a->kind == CU_GRAPH_NODE_TYPE_KERNEL && a->kernel.cooperative != b->kernel.cooperative)
            return CU_GRAPH_EXEC_UPDATE_ERROR_ATTRIBUTES_CHANGED;
    }
    return CU_GRAPH_EXEC_UPDATE_SUCCESS;
}

CUresult DRV(cuGraphExecUpdate_v2)(CUgraphExec hGraphExec, CUgraph hGraph,
                                   CUgraphExecUpdateResultInfo *resultInfo) {
    exec_t *exec, *fresh;
    divvy_drv_graph_t *graph;
    size_t at;
    if (!resultInfo)
        return CUDA_ERROR_INVALID_VALUE;
    *resultInfo = (CUgraphExecUpdateResultInfo){.result = CU_GRAPH_EXEC_UPDATE_ERROR};
    DRV_TRY(find(hGraphExec, &exec));
    DRV_TRY(divvy_drv_graph_find(hGraph, &graph));
    DRV_TRY(exec_new(graph, 0, &fresh));
    pthread_mutex_lock(&exec->lock);
    resultInfo->result = compare(exec, fresh, &at);
    CUresult result = CUDA_SUCCESS;
    if (resultInfo->result == CU_GRAPH_EXEC_UPDATE_SUCCESS) {
        for (size_t i = 0; i < exec->count; i++) { /* the operations change places */
            divvy_drv_op_t op = exec->steps[i].op;
            exec->steps[i].op = fresh->steps[i].op;
            fresh->steps[i].op = op;
        }
    } else {
        result = CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
        if (at != SIZE_MAX)
            resultInfo->errorNode = fresh->steps[at].handle;
    }
    pthread_mutex_unlock(&exec->lock);
    exec_free(fresh);
    return result;
}

CUresult DRV(cuGraphExecUpdate)(CUgraphExec hGraphExec, CUgraph hGraph, CUgraphNode *hErrorNode_out,
                                CUgraphExecUpdateResult *updateResult_out) {
    CUgraphExecUpdateResultInfo info;
    if (!updateResult_out)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult result = DRV(cuGraphExecUpdate_v2)(hGraphExec, hGraph, &info);
    *updateResult_out = info.result;
    if (hErrorNode_out)
        *hErrorNode_out = info.errorNode;
    return result;
}
