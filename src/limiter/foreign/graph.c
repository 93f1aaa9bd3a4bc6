/*
 * What graphs cost: learned from the nodes when an executable graph is made, kept in a fixed table by its handle. A graph that found
 * no room in the table, or was made before there was a toll, costs one launch.
 */
#include "limiter/foreign/foreign.h"

#include "core/hash.h"
#include "limiter/hook/real.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define GRAPHS          4096u
#define PLACES          8u /* looked at for a handle */
#define CHILD_DEPTH_MAX 16
/* One launch, at most. */
#define COST_UNKNOWN 10.0

/* A handle is changed by its owner only; a launch that reads between the two words pays once what another graph costs. */
static struct {
    uint64_t exec; /* atomic; 0: free */
    uint64_t cost; /* atomic; bits of a double */
} graphs[GRAPHS];

static double kernel_cost(CUgraphNode node) {
    CUDA_KERNEL_NODE_PARAMS params;
    uint64_t blocks, threads;

    memset(&params, 0, sizeof params);
    if (!divvy_real_has(cuGraphKernelNodeGetParams_v2)) {
        CUDA_KERNEL_NODE_PARAMS_v1 old;

        memset(&old, 0, sizeof old);
        if (divvy_real.cuGraphKernelNodeGetParams(node, &old) != CUDA_SUCCESS)
            return COST_UNKNOWN;
        memcpy(&params, &old, sizeof old < sizeof params ? sizeof old : sizeof params);
    } else if (divvy_real.cuGraphKernelNodeGetParams_v2(node, &params) != CUDA_SUCCESS) {
        return COST_UNKNOWN;
    }
    if (__builtin_mul_overflow((uint64_t)params.gridDimX * params.gridDimY, params.gridDimZ,
                               &blocks))
        blocks = UINT64_MAX;
    threads = (uint64_t)params.blockDimX * params.blockDimY * params.blockDimZ;
    return divvy_podfile_cost(blocks, threads);
}

static double graph_sum(CUgraph graph, unsigned depth);

static double node_cost(CUgraphNode node, unsigned depth) {
    CUgraphNodeType type;
    CUgraph child;

    if (divvy_real.cuGraphNodeGetType(node, &type) != CUDA_SUCCESS)
        return COST_UNKNOWN;
    if (type == CU_GRAPH_NODE_TYPE_KERNEL)
        return kernel_cost(node);
    if (type == CU_GRAPH_NODE_TYPE_GRAPH &&
        divvy_real.cuGraphChildGraphNodeGetGraph(node, &child) == CUDA_SUCCESS)
        return graph_sum(child, depth + 1);
    return 0;
}

static double graph_sum(CUgraph graph, unsigned depth) {
    size_t count = 0, room;
    CUgraphNode *nodes;
    double sum = 0;

    if (depth > CHILD_DEPTH_MAX ||
        divvy_real.cuGraphGetNodes(graph, NULL, &count) != CUDA_SUCCESS || count == 0)
        return 0;
    room = count;
    nodes = mmap(NULL, room * sizeof *nodes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                 -1, 0);
    if (nodes == MAP_FAILED)
        return COST_UNKNOWN;
    if (divvy_real.cuGraphGetNodes(graph, nodes, &count) == CUDA_SUCCESS)
        for (size_t i = 0; i < count && i < room; i++)
            sum += node_cost(nodes[i], depth);
    (void)munmap(nodes, room * sizeof *nodes);
    return sum;
}

static size_t place_of(uint64_t exec, unsigned offset) {
    return (divvy_core_hash_mix(exec) + offset) % GRAPHS;
}

void divvy_foreign_graph_learn(CUgraphExec exec, CUgraph graph) {
    uint64_t handle = (uint64_t)(uintptr_t)exec, bits;
    int saved = errno;
    double cost = graph_sum(graph, 0);

    errno = saved;
    memcpy(&bits, &cost, sizeof bits);
    for (unsigned i = 0; i < PLACES; i++) {
        size_t place = place_of(handle, i);
        uint64_t there = 0;

        if (!__atomic_compare_exchange_n(&graphs[place].exec, &there, handle, false,
                                         __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE) &&
            there != handle)
            continue;
        __atomic_store_n(&graphs[place].cost, bits, __ATOMIC_RELEASE);
        return;
    }
    /* Full: the first place is taken over; whoever had it costs one launch from now on. */
    __atomic_store_n(&graphs[place_of(handle, 0)].exec, handle, __ATOMIC_RELEASE);
    __atomic_store_n(&graphs[place_of(handle, 0)].cost, bits, __ATOMIC_RELEASE);
}

double divvy_foreign_graph_cost(CUgraphExec exec) {
    uint64_t handle = (uint64_t)(uintptr_t)exec;

    for (unsigned i = 0; i < PLACES; i++) {
        size_t place = place_of(handle, i);
        uint64_t bits;
        double cost;

        if (__atomic_load_n(&graphs[place].exec, __ATOMIC_ACQUIRE) != handle)
            continue;
        bits = __atomic_load_n(&graphs[place].cost, __ATOMIC_ACQUIRE);
        memcpy(&cost, &bits, sizeof cost);
        return cost;
    }
    return COST_UNKNOWN;
}
