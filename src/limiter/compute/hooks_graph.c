/*
 * Hooks of executable graphs. A graph is one piece of work to the gate, under the key of its handle: an update keeps what
 * was learned (the mean follows), a new graph at an old handle starts afresh. Memory that graphs allocate is the concern of
 * limiter/memory, which is told here.
 */
#include "limiter/compute/hooks.h"
#include "limiter/memory/graph.h"

#define GRAPH_KEY(exec) divvy_compute_key((exec), DIVVY_COMPUTE_KEY_GRAPH)


static void graph_forget(CUgraphExec exec) {
    for (uint64_t device = 0; device < DIVVY_PAGE_DEVICES; device++)
        divvy_compute_cost_forget(GRAPH_KEY(exec) ^ device << DIVVY_COMPUTE_KEY_SALT_SHIFT);
}

/* Who takes a toll wants to know what is in it. */
static void graph_made(CUgraphExec exec, CUgraph graph) {
    const struct divvy_compute_toll *toll = __atomic_load_n(&divvy_compute_gate.toll, __ATOMIC_ACQUIRE);

    divvy_memory_graph_instantiated(exec, graph);
    if (toll)
        toll->graph_made(exec, graph);
}

static CUresult instantiated(CUresult result, const CUgraphExec *exec, CUgraph graph) {
    if (result == CUDA_SUCCESS && exec) {
        graph_forget(*exec);
        graph_made(*exec, graph);
    }
    return result;
}

#define INSTANTIATE(symbol, parameters, arguments)                                                                     \
    CUresult divvy_hook_##symbol parameters {                                                                          \
        return instantiated(divvy_real.symbol arguments, phGraphExec, hGraph);                                         \
    }

INSTANTIATE(cuGraphInstantiate,
            (CUgraphExec * phGraphExec, CUgraph hGraph, CUgraphNode *phErrorNode, char *logBuffer, size_t bufferSize),
            (phGraphExec, hGraph, phErrorNode, logBuffer, bufferSize))
INSTANTIATE(cuGraphInstantiate_v2,
            (CUgraphExec * phGraphExec, CUgraph hGraph, CUgraphNode *phErrorNode, char *logBuffer, size_t bufferSize),
            (phGraphExec, hGraph, phErrorNode, logBuffer, bufferSize))
INSTANTIATE(cuGraphInstantiateWithFlags, (CUgraphExec * phGraphExec, CUgraph hGraph, unsigned long long flags),
            (phGraphExec, hGraph, flags))
INSTANTIATE(cuGraphInstantiateWithParams,
            (CUgraphExec * phGraphExec, CUgraph hGraph, CUDA_GRAPH_INSTANTIATE_PARAMS *instantiateParams),
            (phGraphExec, hGraph, instantiateParams))
INSTANTIATE(cuGraphInstantiateWithParams_ptsz,
            (CUgraphExec * phGraphExec, CUgraph hGraph, CUDA_GRAPH_INSTANTIATE_PARAMS *instantiateParams),
            (phGraphExec, hGraph, instantiateParams))

CUresult divvy_hook_cuGraphExecUpdate(CUgraphExec hGraphExec, CUgraph hGraph, CUgraphNode *hErrorNode_out,
                                      CUgraphExecUpdateResult *updateResult_out) {
    CUresult result = divvy_real.cuGraphExecUpdate(hGraphExec, hGraph, hErrorNode_out, updateResult_out);

    if (result == CUDA_SUCCESS)
        graph_made(hGraphExec, hGraph);
    return result;
}

CUresult divvy_hook_cuGraphExecUpdate_v2(CUgraphExec hGraphExec, CUgraph hGraph,
                                         CUgraphExecUpdateResultInfo *resultInfo) {
    CUresult result = divvy_real.cuGraphExecUpdate_v2(hGraphExec, hGraph, resultInfo);

    if (result == CUDA_SUCCESS)
        graph_made(hGraphExec, hGraph);
    return result;
}

CUresult divvy_hook_cuGraphExecDestroy(CUgraphExec hGraphExec) {
    CUresult result = divvy_real.cuGraphExecDestroy(hGraphExec);

    if (result == CUDA_SUCCESS) {
        graph_forget(hGraphExec);
        divvy_memory_graph_exec_destroyed(hGraphExec);
    }
    return result;
}

#define UPLOAD(symbol)                                                                                                 \
    CUresult divvy_hook_##symbol(CUgraphExec exec, CUstream stream) {                                                  \
        CUresult result = divvy_memory_graph_launch_begin(exec);                                                       \
                                                                                                                       \
        if (result != CUDA_SUCCESS)                                                                                    \
            return result;                                                                                             \
        result = divvy_real.symbol(exec, stream);                                                                      \
        divvy_memory_graph_launch_end(exec);                                                                           \
        return result;                                                                                                 \
    }

UPLOAD(cuGraphUpload)
UPLOAD(cuGraphUpload_ptsz)

static __attribute__((noinline)) CUresult launch_slow(__typeof__(&cuGraphLaunch) launch, CUgraphExec exec,
                                                      CUstream stream, CUstream slot_stream) {
    struct divvy_compute_pass pass;
    CUresult result;

    divvy_compute_begin(&pass, GRAPH_KEY(exec), DIVVY_COMPUTE_GUESS_NS, slot_stream);
    result = launch(exec, stream);
    divvy_compute_end(&pass, result);
    return result;
}

#define LAUNCH(symbol, slot_stream)                                                                                    \
    CUresult divvy_hook_##symbol(CUgraphExec exec, CUstream stream) {                                                  \
        CUresult result = divvy_memory_graph_launch_begin(exec);                                                       \
                                                                                                                       \
        if (result != CUDA_SUCCESS)                                                                                    \
            return result;                                                                                             \
        if (!divvy_compute_armed() || divvy_compute_graph_paid(exec, slot_stream) ||                                   \
            divvy_compute_fast(GRAPH_KEY(exec), slot_stream))                                                          \
            result = divvy_real.symbol(exec, stream);                                                                  \
        else                                                                                                           \
            result = launch_slow(divvy_real.symbol, exec, stream, slot_stream);                                        \
        divvy_memory_graph_launch_end(exec);                                                                           \
        return result;                                                                                                 \
    }

LAUNCH(cuGraphLaunch, LEGACY(stream))
LAUNCH(cuGraphLaunch_ptsz, PER_THREAD(stream))
