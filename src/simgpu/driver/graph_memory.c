/* Memory that graphs allocate; see graph_memory.h. */
#include "simgpu/driver/graph_memory.h"
#include "simgpu/driver/capture.h"
#include "simgpu/driver/handle.h"
#include "simgpu/driver/pool.h"

#include <stdlib.h>

struct divvy_drv_graph_memory {
    _Atomic unsigned refs;
    int device, ordinal;
    uint64_t address, bytes, reserved_bytes;
    uint64_t physical; /* 0 while no bytes are taken */
    bool allocated;    /* between the allocation node and whatever frees it */
    divvy_drv_graph_memory_t *previous, *next; /* list of all */
};

typedef struct {
    uint64_t used, used_high, reserved, reserved_high;
} account_t;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* all memories and accounts */
static divvy_drv_graph_memory_t *memories;
static account_t accounts[DIVVY_SIMGPU_UNITS_MAX];

static void raise_mark(uint64_t now, uint64_t *high) {
    if (now > *high)
        *high = now;
}

/* ---- taking and giving back bytes (under the lock) ------------------------------------------- */

static CUresult take_bytes(divvy_drv_graph_memory_t *memory) {
    if (memory->physical)
        return CUDA_SUCCESS;
    uint64_t handle;
    int status = divvy_simgpu_phys_create(memory->device, memory->reserved_bytes, 0, &handle);
    if (status && divvy_drv_pool_reclaim(memory->device))
        status = divvy_simgpu_phys_create(memory->device, memory->reserved_bytes, 0, &handle);
    if (status)
        return divvy_drv_result(status);
    status = divvy_simgpu_va_map(memory->address, memory->reserved_bytes, handle, 0);
    if (!status)
        status = divvy_simgpu_va_protect(memory->address, memory->reserved_bytes, true, true);
    if (status) {
        divvy_simgpu_phys_release(handle);
        return divvy_drv_result(status);
    }
    memory->physical = handle;
    account_t *account = accounts + memory->device;
    account->reserved += memory->reserved_bytes;
    raise_mark(account->reserved, &account->reserved_high);
    return CUDA_SUCCESS;
}

static void give_bytes(divvy_drv_graph_memory_t *memory) {
    if (!memory->physical)
        return;
    divvy_simgpu_va_unmap(memory->address, memory->reserved_bytes);
    divvy_simgpu_phys_release(memory->physical);
    memory->physical = 0;
    accounts[memory->device].reserved -= memory->reserved_bytes;
}

/* Out of the index and the account; the bytes stay taken. */
static void end_allocation(divvy_drv_graph_memory_t *memory) {
    divvy_drv_mem_t mem;
    memory->allocated = false;
    accounts[memory->device].used -= memory->reserved_bytes;
    divvy_drv_mem_take(memory->address, DRV_MEM_GRAPH, &mem);
}

/* ---- life ------------------------------------------------------------------------------------ */

static uint64_t pages(uint64_t bytes) {
    uint64_t page = DIVVY_SIMGPU_PAGE_BYTES;
    return (bytes + page - 1) / page * page;
}

CUresult divvy_drv_graph_memory_new(CUDA_MEM_ALLOC_NODE_PARAMS *params,
                                    divvy_drv_graph_memory_t **ret_memory) {
    divvy_drv_device_t *device;
    const CUmemPoolProps *props = &params->poolProps;
    if (!params->bytesize || props->allocType != CU_MEM_ALLOCATION_TYPE_PINNED ||
        props->handleTypes != CU_MEM_HANDLE_TYPE_NONE ||
        props->location.type != CU_MEM_LOCATION_TYPE_DEVICE ||
        (params->accessDescCount && !params->accessDescs))
        return CUDA_ERROR_INVALID_VALUE;
    if (params->bytesize > (uint64_t)1 << 48)
        return CUDA_ERROR_OUT_OF_MEMORY;
    DRV_TRY(divvy_drv_device_find(props->location.id, &device));
    divvy_drv_graph_memory_t *memory = calloc(1, sizeof(*memory));
    if (!memory)
        return CUDA_ERROR_OUT_OF_MEMORY;
    memory->device = device->engine;
    memory->ordinal = props->location.id;
    memory->bytes = params->bytesize;
    memory->reserved_bytes = pages(params->bytesize);
    atomic_init(&memory->refs, 1);
    int status = divvy_simgpu_va_reserve(memory->reserved_bytes, 0, 0, &memory->address);
    if (status) {
        free(memory);
        return divvy_drv_result(status);
    }
    pthread_mutex_lock(&lock);
    memory->next = memories;
    if (memories)
        memories->previous = memory;
    memories = memory;
    pthread_mutex_unlock(&lock);
    params->dptr = memory->address;
    *ret_memory = memory;
    return CUDA_SUCCESS;
}

void divvy_drv_graph_memory_ref(divvy_drv_graph_memory_t *memory) {
    atomic_fetch_add(&memory->refs, 1);
}

/* Under the lock. What the program has not freed yet lives on without its graph. */
static void memory_free(divvy_drv_graph_memory_t *memory) {
    if (memory->next)
        memory->next->previous = memory->previous;
    if (memory->previous)
        memory->previous->next = memory->next;
    else
        memories = memory->next;
    give_bytes(memory);
    divvy_simgpu_va_free(memory->address, memory->reserved_bytes);
    free(memory);
}

void divvy_drv_graph_memory_unref(divvy_drv_graph_memory_t *memory) {
    if (!memory)
        return;
    if (atomic_load(&memory->refs) == 1)
        divvy_drv_mem_quiesce(memory->device); /* a launch of the graph may still be under way */
    pthread_mutex_lock(&lock);
    if (atomic_fetch_sub(&memory->refs, 1) == 1 && !memory->allocated)
        memory_free(memory);
    pthread_mutex_unlock(&lock);
}

static divvy_drv_graph_memory_t *allocated_at(CUdeviceptr address) {
    divvy_drv_graph_memory_t *memory = memories;
    while (memory && !(memory->address == address && memory->allocated))
        memory = memory->next;
    return memory;
}

static void freed(divvy_drv_graph_memory_t *memory) {
    end_allocation(memory);
    if (!atomic_load(&memory->refs))
        memory_free(memory);
}

bool divvy_drv_graph_memory_covers(uint64_t address, uint64_t bytes, int *ret_device) {
    pthread_mutex_lock(&lock);
    divvy_drv_graph_memory_t *m = memories;
    while (m && !(address >= m->address && address - m->address < m->reserved_bytes &&
                  bytes <= m->reserved_bytes - (address - m->address)))
        m = m->next;
    if (m)
        *ret_device = m->device;
    pthread_mutex_unlock(&lock);
    return m != NULL;
}

/* ---- what nodes do --------------------------------------------------------------------------- */

CUresult divvy_drv_graph_memory_prepare(divvy_drv_graph_memory_t *memory) {
    pthread_mutex_lock(&lock);
    CUresult result = take_bytes(memory);
    pthread_mutex_unlock(&lock);
    return result;
}

CUresult divvy_drv_graph_memory_allocate(divvy_drv_graph_memory_t *memory, bool again) {
    pthread_mutex_lock(&lock);
    CUresult result = memory->allocated && !again ? CUDA_ERROR_INVALID_VALUE : take_bytes(memory);
    if (result == CUDA_SUCCESS && !memory->allocated) {
        divvy_drv_mem_t mem = {.address = memory->address,
                               .bytes = memory->bytes,
                               .kind = DRV_MEM_GRAPH,
                               .device = memory->device,
                               .owner = memory};
        if (divvy_drv_mem_enter(&mem)) {
            result = CUDA_ERROR_OUT_OF_MEMORY;
        } else {
            account_t *account = accounts + memory->device;
            memory->allocated = true;
            account->used += memory->reserved_bytes;
            raise_mark(account->used, &account->used_high);
        }
    }
    pthread_mutex_unlock(&lock);
    return result;
}

CUresult divvy_drv_graph_memory_free(CUdeviceptr address) {
    pthread_mutex_lock(&lock);
    divvy_drv_graph_memory_t *memory = allocated_at(address);
    if (memory)
        freed(memory);
    pthread_mutex_unlock(&lock);
    return memory ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult divvy_drv_graph_memory_node_free(CUdeviceptr address, uint64_t stream_id,
                                          divvy_simgpu_position_t position) {
    divvy_drv_mem_t mem;
    if (divvy_drv_graph_memory_free(address) == CUDA_SUCCESS)
        return CUDA_SUCCESS;
    if (!divvy_drv_mem_take(address, DRV_MEM_POOL, &mem))
        return CUDA_ERROR_INVALID_VALUE;
    divvy_drv_pool_return(&mem, stream_id, position);
    return CUDA_SUCCESS;
}

/* The bytes stay with the graph, so that nothing has to wait here; memory whose graph is gone is
 * waited for. */
CUresult divvy_drv_graph_memory_free_async(CUdeviceptr address, divvy_drv_stream_t *stream) {
    pthread_mutex_lock(&lock);
    divvy_drv_graph_memory_t *memory = allocated_at(address);
    bool orphan = memory && !atomic_load(&memory->refs);
    pthread_mutex_unlock(&lock);
    if (orphan)
        DRV_TRY(divvy_drv_stream_synchronize(stream));
    return divvy_drv_graph_memory_free(address);
}

/* ---- the calls ------------------------------------------------------------------------------- */

static CUresult add(divvy_drv_graph_t *graph, CUDA_MEM_ALLOC_NODE_PARAMS *params,
                    divvy_drv_node_t *const *before, size_t count, divvy_drv_node_t **ret_node) {
    divvy_drv_op_t op = {.kind = CU_GRAPH_NODE_TYPE_MEM_ALLOC};
    DRV_TRY(divvy_drv_graph_memory_new(params, &op.alloc.memory));
    op.alloc.params = *params;
    op.alloc.params.accessDescs = NULL; /* the program's array; the simulated peers need no list */
    op.alloc.params.accessDescCount = 0;
    CUresult result = divvy_drv_graph_add(graph, &op, before, count, ret_node);
    divvy_drv_graph_memory_unref(op.alloc.memory); /* the node has its own */
    return result;
}

CUresult DRV(cuGraphAddMemAllocNode)(CUgraphNode *phGraphNode, CUgraph hGraph,
                                     const CUgraphNode *dependencies, size_t numDependencies,
                                     CUDA_MEM_ALLOC_NODE_PARAMS *nodeParams) {
    divvy_drv_graph_t *graph;
    divvy_drv_node_t *node, **before;
    if (!phGraphNode || !nodeParams)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_graph_find(hGraph, &graph));
    DRV_TRY(divvy_drv_nodes_find(dependencies, numDependencies, &before));
    CUresult result = add(graph, nodeParams, before, numDependencies, &node);
    free(before);
    if (result == CUDA_SUCCESS)
        *phGraphNode = node->handle;
    return result;
}

CUresult DRV(cuGraphAddMemFreeNode)(CUgraphNode *phGraphNode, CUgraph hGraph,
                                    const CUgraphNode *dependencies, size_t numDependencies,
                                    CUdeviceptr dptr) {
    divvy_drv_op_t op = {.kind = CU_GRAPH_NODE_TYPE_MEM_FREE, .free_address = dptr};
    divvy_drv_graph_t *graph;
    divvy_drv_node_t *node, **before;
    if (!phGraphNode || !dptr)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_graph_find(hGraph, &graph));
    for (divvy_drv_node_t *n = graph->first; n; n = n->next)
        if (n->op.kind == CU_GRAPH_NODE_TYPE_MEM_FREE && n->op.free_address == dptr)
            return CUDA_ERROR_INVALID_VALUE; /* twice in one graph */
    DRV_TRY(divvy_drv_nodes_find(dependencies, numDependencies, &before));
    CUresult result = divvy_drv_graph_add(graph, &op, before, numDependencies, &node);
    free(before);
    if (result == CUDA_SUCCESS)
        *phGraphNode = node->handle;
    return result;
}

CUresult DRV(cuGraphMemAllocNodeGetParams)(CUgraphNode hNode,
                                           CUDA_MEM_ALLOC_NODE_PARAMS *params_out) {
    divvy_drv_node_t *node;
    if (!params_out)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_node_find(hNode, &node));
    if (node->op.kind != CU_GRAPH_NODE_TYPE_MEM_ALLOC)
        return CUDA_ERROR_INVALID_VALUE;
    *params_out = node->op.alloc.params;
    return CUDA_SUCCESS;
}

CUresult DRV(cuGraphMemFreeNodeGetParams)(CUgraphNode hNode, CUdeviceptr *dptr_out) {
    divvy_drv_node_t *node;
    if (!dptr_out)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_node_find(hNode, &node));
    if (node->op.kind != CU_GRAPH_NODE_TYPE_MEM_FREE)
        return CUDA_ERROR_INVALID_VALUE;
    *dptr_out = node->op.free_address;
    return CUDA_SUCCESS;
}

CUresult divvy_drv_graph_memory_capture_alloc(divvy_drv_stream_t *stream,
                                              const CUmemPoolProps *props, uint64_t bytes,
                                              CUdeviceptr *ret_address, bool *ret_taken) {
    divvy_drv_op_t op = {.kind = CU_GRAPH_NODE_TYPE_MEM_ALLOC};
    op.alloc.params.poolProps = *props;
    op.alloc.params.poolProps.handleTypes = CU_MEM_HANDLE_TYPE_NONE;
    op.alloc.params.bytesize = bytes;
    *ret_taken = false;
    if (!atomic_load(&stream->capture))
        return CUDA_SUCCESS;
    DRV_TRY(divvy_drv_graph_memory_new(&op.alloc.params, &op.alloc.memory));
    CUresult result = divvy_drv_capture_op(stream, &op, ret_taken);
    divvy_drv_graph_memory_unref(op.alloc.memory);
    if (result == CUDA_SUCCESS && *ret_taken)
        *ret_address = op.alloc.params.dptr;
    return result;
}

CUresult divvy_drv_graph_memory_capture_free(divvy_drv_stream_t *stream, CUdeviceptr address,
                                             bool *ret_taken) {
    divvy_drv_op_t op = {.kind = CU_GRAPH_NODE_TYPE_MEM_FREE, .free_address = address};
    *ret_taken = false;
    return atomic_load(&stream->capture) ? divvy_drv_capture_op(stream, &op, ret_taken)
                                         : CUDA_SUCCESS;
}

/* ---- the device's account -------------------------------------------------------------------- */

CUresult DRV(cuDeviceGraphMemTrim)(CUdevice device) {
    divvy_drv_device_t *found;
    DRV_TRY(divvy_drv_device_find(device, &found));
    DRV_TRY(divvy_drv_mem_quiesce(found->engine));
    pthread_mutex_lock(&lock);
    for (divvy_drv_graph_memory_t *m = memories; m; m = m->next)
        if (m->device == found->engine && !m->allocated)
            give_bytes(m);
    pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}

static uint64_t *mark_of(account_t *account, CUgraphMem_attribute attr) {
    switch (attr) {
    case CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT:
        return &account->used;
    case CU_GRAPH_MEM_ATTR_USED_MEM_HIGH:
        return &account->used_high;
    case CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT:
        return &account->reserved;
    case CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH:
        return &account->reserved_high;
    default:
        return NULL;
    }
}

CUresult DRV(cuDeviceGetGraphMemAttribute)(CUdevice device, CUgraphMem_attribute attr,
                                           void *value) {
    divvy_drv_device_t *found;
    if (!value)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_device_find(device, &found));
    uint64_t *mark = mark_of(accounts + found->engine, attr);
    if (!mark)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&lock);
    *(cuuint64_t *)value = *mark;
    pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}

CUresult DRV(cuDeviceSetGraphMemAttribute)(CUdevice device, CUgraphMem_attribute attr,
                                           void *value) {
    divvy_drv_device_t *found;
    if (!value || *(cuuint64_t *)value)
        return CUDA_ERROR_INVALID_VALUE; /* the marks can only be set back */
    DRV_TRY(divvy_drv_device_find(device, &found));
    account_t *account = accounts + found->engine;
    if (attr != CU_GRAPH_MEM_ATTR_USED_MEM_HIGH && attr != CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&lock);
    if (attr == CU_GRAPH_MEM_ATTR_USED_MEM_HIGH)
        account->used_high = account->used;
    else
        account->reserved_high = account->reserved;
    pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}
