/*
 * Graph memory: what an executable graph allocates is learned when it is instantiated, by looking
 * at the nodes of its graph; charged when it is launched or uploaded; and afterwards set to what
 * the driver says it holds.
 */
#include "limiter/memory/graph.h"
#include "limiter/hook/door.h"
#include "limiter/hook/lock.h"
#include "limiter/hook/real.h"
#include "limiter/memory/account.h"
#include "limiter/memory/graph_pool.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define CHILD_DEPTH_MAX 16

/* A graph that allocates on several devices has one record for each: the device goes above the
 * pointer's bits. */
#define DEVICE_SHIFT 52

struct graph_pool {
    divvy_lock_t lock;
    uint32_t launches; /* between begin and end */
    uint64_t charged;
    uint64_t pending; /* part of `charged` reserved for launches under way */
    CUdevice ordinal; /* valid once `known` */
    bool known;       /* some graph allocates here */
};

static struct graph_pool pools[DIVVY_PAGE_DEVICES];
static uint32_t graphs_any; /* some executable graph has memory nodes */

/* ---- learning ---- */

struct sums {
    uint64_t bytes[DIVVY_PAGE_DEVICES];
    bool any;
};

static void add_node(CUgraphNode node, struct sums *sums) {
    CUDA_MEM_ALLOC_NODE_PARAMS parameters;
    int device;

    memset(&parameters, 0, sizeof parameters);
    if (divvy_real.cuGraphMemAllocNodeGetParams(node, &parameters) != CUDA_SUCCESS ||
        parameters.poolProps.location.type != CU_MEM_LOCATION_TYPE_DEVICE)
        return;
    device = divvy_process_page_device(parameters.poolProps.location.id);
    if (device < 0)
        return;
    pools[device].ordinal = parameters.poolProps.location.id;
    __atomic_store_n(&pools[device].known, true, __ATOMIC_RELEASE);
    if (__builtin_add_overflow(sums->bytes[device], parameters.bytesize, &sums->bytes[device]))
        sums->bytes[device] = UINT64_MAX;
    sums->any = true;
}

static void add_graph(CUgraph graph, unsigned depth, struct sums *sums);

static void add_nodes(const CUgraphNode *nodes, size_t count, unsigned depth, struct sums *sums) {
    for (size_t i = 0; i < count; i++) {
        CUgraphNodeType type;
        CUgraph child;

        if (divvy_real.cuGraphNodeGetType(nodes[i], &type) != CUDA_SUCCESS)
            continue;
        if (type == CU_GRAPH_NODE_TYPE_MEM_ALLOC)
            add_node(nodes[i], sums);
        else if (type == CU_GRAPH_NODE_TYPE_GRAPH &&
                 divvy_real.cuGraphChildGraphNodeGetGraph(nodes[i], &child) == CUDA_SUCCESS)
            add_graph(child, depth + 1, sums);
    }
}

static void add_graph(CUgraph graph, unsigned depth, struct sums *sums) {
    int saved = errno;
    size_t count = 0;
    void *memory;

    if (depth > CHILD_DEPTH_MAX ||
        divvy_real.cuGraphGetNodes(graph, NULL, &count) != CUDA_SUCCESS || count == 0)
        return;
    memory = mmap(NULL, count * sizeof(CUgraphNode), PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory != MAP_FAILED) {
        size_t room = count;

        if (divvy_real.cuGraphGetNodes(graph, memory, &count) == CUDA_SUCCESS)
            add_nodes(memory, count < room ? count : room, depth, sums);
        (void)munmap(memory, room * sizeof(CUgraphNode));
    }
    errno = saved;
}

static uint64_t key_of(CUgraphExec exec, unsigned device) {
    return (uint64_t)(uintptr_t)exec | (uint64_t)device << DEVICE_SHIFT;
}

static void forget(CUgraphExec exec) {
    struct divvy_record record;

    for (unsigned device = 0; device < DIVVY_PAGE_DEVICES; device++)
        (void)divvy_table_take(DIVVY_RECORD_GRAPH, key_of(exec, device), &record);
}

void divvy_memory_graph_instantiated(CUgraphExec exec, CUgraph graph) {
    struct sums sums = {0};

    if (divvy_memory_passes())
        return;
    add_graph(graph, 0, &sums);
    if (__atomic_load_n(&graphs_any, __ATOMIC_ACQUIRE) != 0)
        forget(exec);
    if (!sums.any)
        return;
    for (unsigned device = 0; device < DIVVY_PAGE_DEVICES; device++) {
        struct divvy_record old, record = {.kind = DIVVY_RECORD_GRAPH,
                                           .key = key_of(exec, device),
                                           .bytes = sums.bytes[device],
                                           .device = (uint8_t)device};

        if (sums.bytes[device] > 0)
            (void)divvy_table_put(&record, &old);
    }
    __atomic_store_n(&graphs_any, 1, __ATOMIC_RELEASE);
    divvy_graph_pool_reconcile_all(); /* instantiation may have uploaded it at once */
}

void divvy_memory_graph_exec_destroyed(CUgraphExec exec) {
    if (__atomic_load_n(&graphs_any, __ATOMIC_ACQUIRE) == 0 || divvy_memory_passes())
        return;
    forget(exec);
    divvy_graph_pool_reconcile_all();
}

/* ---- charging ---- */

static uint64_t attribute(const struct graph_pool *pool, CUgraphMem_attribute which,
                          uint64_t if_unknown) {
    cuuint64_t value = 0;

    return divvy_real.cuDeviceGetGraphMemAttribute(pool->ordinal, which, &value) == CUDA_SUCCESS
               ? value
               : if_unknown;
}

/* Pool locked, no launch under way: charged becomes what the driver holds. */
static void settle(struct graph_pool *pool, unsigned device) {
    uint64_t held = attribute(pool, CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT, pool->charged);

    if (held > pool->charged)
        divvy_memory_charge((int)device, held - pool->charged);
    else
        divvy_memory_credit((int)device, pool->charged - held);
    pool->charged = held;
    pool->pending = 0;
}

/* What a launch that allocates `bytes` may add: what is held and not in use serves it first. */
static int begin_device(unsigned device, uint64_t bytes) {
    struct graph_pool *pool = &pools[device];
    uint64_t used, spare, growth;
    int status = 0;

    divvy_lock_take(&pool->lock);
    if (pool->launches == 0)
        settle(pool, device);
    used = attribute(pool, CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT, pool->charged);
    spare = pool->charged - pool->pending > used ? pool->charged - pool->pending - used : 0;
    growth = bytes > spare ? bytes - spare : 0;
    pool->launches++; /* from here on nobody settles */
    if (growth > 0)
        status = divvy_memory_reserve((int)device, growth);
    if (status == 0) {
        pool->charged += growth;
        pool->pending += growth;
    } else {
        pool->launches--;
    }
    divvy_lock_give(&pool->lock);
    return status;
}

static void end_device(unsigned device) {
    struct graph_pool *pool = &pools[device];

    divvy_lock_take(&pool->lock);
    if (pool->launches > 0 && --pool->launches == 0)
        settle(pool, device);
    divvy_lock_give(&pool->lock);
}

/* The devices on which exec allocates are remembered between begin and end: exec may be changed or
 * destroyed meanwhile. */
static __thread uint32_t launching_devices __attribute__((tls_model("initial-exec")));

CUresult divvy_memory_graph_launch_begin(CUgraphExec exec) {
    struct divvy_record record;

    launching_devices = 0;
    if (__builtin_expect(__atomic_load_n(&graphs_any, __ATOMIC_ACQUIRE) == 0, 1) ||
        divvy_memory_passes())
        return CUDA_SUCCESS;
    divvy_door_pass(); /* the gate comes later, and the driver is asked before */
    for (unsigned device = 0; device < DIVVY_PAGE_DEVICES; device++) {
        if (!divvy_table_get(DIVVY_RECORD_GRAPH, key_of(exec, device), &record))
            continue;
        if (begin_device(device, record.bytes) < 0) {
            divvy_memory_graph_launch_end(exec);
            return CUDA_ERROR_OUT_OF_MEMORY;
        }
        launching_devices |= 1u << device;
    }
    return CUDA_SUCCESS;
}

void divvy_memory_graph_launch_end(CUgraphExec exec) {
    (void)exec;
    for (unsigned device = 0; launching_devices != 0 && device < DIVVY_PAGE_DEVICES; device++)
        if (launching_devices & 1u << device)
            end_device(device);
    launching_devices = 0;
}

void divvy_graph_pool_reconcile(unsigned device, bool trim) {
    struct graph_pool *pool = &pools[device];
    uint32_t free_word = 0;

    if (!__atomic_load_n(&pool->known, __ATOMIC_ACQUIRE) ||
        !__atomic_compare_exchange_n(&pool->lock.word, &free_word, 1, false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED))
        return;
    if (pool->launches == 0) {
        if (trim)
            (void)DIVVY_MEMORY_DRIVER(divvy_real.cuDeviceGraphMemTrim(pool->ordinal));
        settle(pool, device);
    }
    divvy_lock_give(&pool->lock);
}

void divvy_graph_pool_reconcile_all(void) {
    if (__atomic_load_n(&graphs_any, __ATOMIC_ACQUIRE) == 0)
        return;
    for (unsigned device = 0; device < DIVVY_PAGE_DEVICES; device++)
        divvy_graph_pool_reconcile(device, false);
}

void divvy_graph_pool_fork_child(void) {
    memset(pools, 0, sizeof pools);
    graphs_any = 0;
}
