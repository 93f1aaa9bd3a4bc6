/* Operations that outlive the call that made them: copying, clearing, and making them from
 * parameters. */
#include "simgpu/driver/copy.h"
#include "simgpu/driver/graph.h"
#include "simgpu/driver/graph_memory.h"
#include "simgpu/driver/handle.h"
#include "simgpu/driver/set.h"

#include <stdlib.h>
#include <string.h>

/* A copy of BYTES bytes at FROM; at least one byte, so that NULL means failure. */
static void *duplicate(const void *from, size_t bytes) {
    void *copy = malloc(bytes ? bytes : 1);
    if (copy && bytes)
        memcpy(copy, from, bytes);
    return copy;
}

CUresult divvy_drv_op_copy(const divvy_drv_op_t *op, divvy_drv_op_t *ret_copy) {
    divvy_drv_op_t copy = *op;
    DRV_TRY(divvy_drv_op_alive(op));
    switch (op->kind) {
    case CU_GRAPH_NODE_TYPE_KERNEL:
        copy.kernel.params = duplicate(op->kernel.params, op->kernel.params_bytes);
        if (!copy.kernel.params)
            return CUDA_ERROR_OUT_OF_MEMORY;
        break;
    case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP:
        copy.memop.params.paramArray =
            duplicate(op->memop.params.paramArray,
                      op->memop.params.count * sizeof(*op->memop.params.paramArray));
        if (!copy.memop.params.paramArray)
            return CUDA_ERROR_OUT_OF_MEMORY;
        break;
    case CU_GRAPH_NODE_TYPE_GRAPH:
        DRV_TRY(divvy_drv_graph_clone(op->child, &copy.child));
        copy.child->child = true;
        break;
    case CU_GRAPH_NODE_TYPE_MEM_ALLOC:
        divvy_drv_graph_memory_ref(op->alloc.memory);
        break;
    default:
        break;
    }
    *ret_copy = copy;
    return CUDA_SUCCESS;
}

void divvy_drv_op_clear(divvy_drv_op_t *op) {
    switch (op->kind) {
    case CU_GRAPH_NODE_TYPE_KERNEL:
        free((void *)(uintptr_t)op->kernel.params);
        op->kernel.params = NULL;
        break;
    case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP:
        free(op->memop.params.paramArray);
        op->memop.params.paramArray = NULL;
        break;
    case CU_GRAPH_NODE_TYPE_GRAPH:
        divvy_drv_graph_free(op->child);
        op->child = NULL;
        break;
    case CU_GRAPH_NODE_TYPE_MEM_ALLOC:
        divvy_drv_graph_memory_unref(op->alloc.memory);
        op->alloc.memory = NULL;
        break;
    default:
        break;
    }
}

divvy_drv_context_t *divvy_drv_op_context(const divvy_drv_op_t *op) {
    switch (op->kind) {
    case CU_GRAPH_NODE_TYPE_KERNEL:
        return op->kernel.function->module->context;
    case CU_GRAPH_NODE_TYPE_MEMCPY:
    case CU_GRAPH_NODE_TYPE_MEMSET:
    case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP:
        return op->context ? divvy_drv_handle_get(op->context, DRV_HANDLE_CONTEXT) : NULL;
    default:
        return NULL;
    }
}

CUresult divvy_drv_op_alive(const divvy_drv_op_t *op) {
    if (op->kind == CU_GRAPH_NODE_TYPE_KERNEL &&
        divvy_drv_handle_get(op->kernel_handle, DRV_HANDLE_FUNCTION) != op->kernel.function)
        return CUDA_ERROR_INVALID_HANDLE;
    if (op->context && !divvy_drv_handle_get(op->context, DRV_HANDLE_CONTEXT))
        return CUDA_ERROR_INVALID_CONTEXT;
    return CUDA_SUCCESS;
}

/* ---- from parameters ------------------------------------------------------------------------- */

static CUresult from_kernel(const CUDA_KERNEL_NODE_PARAMS_v3 *p, divvy_drv_op_t *op,
                            void **ret_buffer) {
    divvy_drv_context_t *context = NULL;
    CUfunction handle = p->func;
    if (!handle) { /* then the kernel and a context say which function it is */
        handle = (CUfunction)(void *)p->kern;
        if (p->ctx)
            DRV_TRY(divvy_drv_context_find(p->ctx, &context));
    }
    op->kernel = (divvy_drv_kernel_op_t){
        .grid = {p->gridDimX, p->gridDimY, p->gridDimZ},
        .block = {p->blockDimX, p->blockDimY, p->blockDimZ},
        .shared_bytes = p->sharedMemBytes,
    };
    DRV_TRY(divvy_drv_function_find(handle, context, &op->kernel.function));
    DRV_TRY(divvy_drv_kernel_check(op->kernel.function, &op->kernel));
    op->kernel_handle = op->kernel.function->handle;
    op->kernel.params_bytes = op->kernel.function->entry->params_bytes;
    *ret_buffer = calloc(1, op->kernel.params_bytes + 1);
    if (!*ret_buffer)
        return CUDA_ERROR_OUT_OF_MEMORY;
    op->kernel.params = *ret_buffer;
    return divvy_drv_kernel_pack(op->kernel.function, p->kernelParams, p->extra, *ret_buffer);
}

static CUresult from_copy(const CUDA_MEMCPY_NODE_PARAMS *p, divvy_drv_op_t *op) {
    divvy_drv_context_t *context;
    if (p->flags || p->reserved)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_context_find(p->copyCtx, &context));
    op->context = context->handle;
    op->copy.params = p->copyParams;
    return divvy_drv_copy_resolve(&p->copyParams, &op->copy.copy);
}

static CUresult from_set(const CUDA_MEMSET_NODE_PARAMS_v2 *p, divvy_drv_op_t *op) {
    divvy_drv_context_t *context;
    CUDA_MEMSET_NODE_PARAMS plain = {p->dst,         p->pitch, p->value,
                                     p->elementSize, p->width, p->height};
    DRV_TRY(divvy_drv_context_find(p->ctx, &context));
    op->context = context->handle;
    op->set.params = plain;
    return divvy_drv_set_resolve(&plain, &op->set.set);
}

static CUresult from_event(CUevent handle, divvy_drv_op_t *op) {
    divvy_drv_event_t *event;
    if (divvy_drv_event_find(handle, &event) != CUDA_SUCCESS)
        return CUDA_ERROR_INVALID_VALUE;
    op->event = handle;
    return CUDA_SUCCESS;
}

static CUresult from_memop(const CUDA_BATCH_MEM_OP_NODE_PARAMS_v2 *p, divvy_drv_op_t *op) {
    divvy_drv_context_t *context;
    if (!p->count || p->count > 256 || !p->paramArray || p->flags)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_context_find(p->ctx, &context));
    op->context = context->handle;
    op->memop.params = (CUDA_BATCH_MEM_OP_NODE_PARAMS){context->handle, p->count, p->paramArray, 0};
    return divvy_drv_memop_check(&op->memop.params);
}

CUresult divvy_drv_op_from_params(const CUgraphNodeParams *params, divvy_drv_op_t *ret_op,
                                  void **ret_buffer) {
    *ret_buffer = NULL;
    *ret_op = (divvy_drv_op_t){.kind = params->type};
    switch (params->type) {
    case CU_GRAPH_NODE_TYPE_KERNEL:
        return from_kernel(&params->kernel, ret_op, ret_buffer);
    case CU_GRAPH_NODE_TYPE_MEMCPY:
        return from_copy(&params->memcpy, ret_op);
    case CU_GRAPH_NODE_TYPE_MEMSET:
        return from_set(&params->memset, ret_op);
    case CU_GRAPH_NODE_TYPE_HOST:
        ret_op->host = (divvy_drv_host_op_t){params->host.fn, params->host.userData};
        return params->host.fn ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    case CU_GRAPH_NODE_TYPE_GRAPH:
        if (params->graph.ownership != CU_GRAPH_CHILD_GRAPH_OWNERSHIP_CLONE)
            return CUDA_ERROR_NOT_SUPPORTED;
        return divvy_drv_graph_find(params->graph.graph, &ret_op->child);
    case CU_GRAPH_NODE_TYPE_EMPTY:
        return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_WAIT_EVENT:
        return from_event(params->eventWait.event, ret_op);
    case CU_GRAPH_NODE_TYPE_EVENT_RECORD:
        return from_event(params->eventRecord.event, ret_op);
    case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP:
        return from_memop(&params->memOp, ret_op);
    case CU_GRAPH_NODE_TYPE_EXT_SEMAS_SIGNAL:
    case CU_GRAPH_NODE_TYPE_EXT_SEMAS_WAIT:
    case CU_GRAPH_NODE_TYPE_CONDITIONAL:
        return CUDA_ERROR_NOT_SUPPORTED;
    default: /* memory nodes have their own way: they give an address back (graph_memory.c) */
        return CUDA_ERROR_INVALID_VALUE;
    }
}
