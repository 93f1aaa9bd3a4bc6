/* The calls that add nodes of each kind, and read and change their parameters. */
#include "simgpu/driver/graph.h"

#include <stdlib.h>
#include <string.h>

/* ---- adding ---------------------------------------------------------------------------------- */

static CUresult add_op(CUgraphNode *ret_handle, CUgraph hGraph, const CUgraphNode *dependencies,
                       const CUgraphEdgeData *data, size_t count, const divvy_drv_op_t *op) {
    divvy_drv_graph_t *graph;
    divvy_drv_node_t *node, **before;
    DRV_TRY(divvy_drv_graph_find(hGraph, &graph));
    DRV_TRY(divvy_drv_nodes_find(dependencies, count, &before));
    CUresult result = divvy_drv_graph_add(graph, op, before, count, &node);
    free(before);
    if (result != CUDA_SUCCESS)
        return result;
    for (size_t i = 0; data && i < count; i++) {
        node->before.edges[i].data = data[i];
        divvy_drv_edges_t *after = &node->before.edges[i].node->after;
        after->edges[after->count - 1].data = data[i]; /* the newest edge there */
    }
    *ret_handle = node->handle;
    return CUDA_SUCCESS;
}

static CUresult add(CUgraphNode *ret_handle, CUgraph graph, const CUgraphNode *dependencies,
                    const CUgraphEdgeData *data, size_t count, const CUgraphNodeParams *params) {
    divvy_drv_op_t op;
    void *buffer;
    if (!ret_handle)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult result = divvy_drv_op_from_params(params, &op, &buffer);
    if (result == CUDA_SUCCESS)
        result = add_op(ret_handle, graph, dependencies, data, count, &op);
    free(buffer);
    return result;
}

CUresult DRV(cuGraphAddNode_v2)(CUgraphNode *phGraphNode, CUgraph hGraph,
                                const CUgraphNode *dependencies,
                                const CUgraphEdgeData *dependencyData, size_t numDependencies,
                                CUgraphNodeParams *nodeParams) {
    if (!nodeParams)
        return CUDA_ERROR_INVALID_VALUE;
    if (nodeParams->type == CU_GRAPH_NODE_TYPE_MEM_ALLOC) {
        CUDA_MEM_ALLOC_NODE_PARAMS plain;
        memcpy(&plain, &nodeParams->alloc, sizeof(plain)); /* two names for one layout */
        CUresult result =
            DRV(cuGraphAddMemAllocNode)(phGraphNode, hGraph, dependencies, numDependencies, &plain);
        nodeParams->alloc.dptr = plain.dptr;
        return result;
    }
    if (nodeParams->type == CU_GRAPH_NODE_TYPE_MEM_FREE)
        return DRV(cuGraphAddMemFreeNode)(phGraphNode, hGraph, dependencies, numDependencies,
                                          nodeParams->free.dptr);
    return add(phGraphNode, hGraph, dependencies, dependencyData, numDependencies, nodeParams);
}

CUresult DRV(cuGraphAddNode)(CUgraphNode *phGraphNode, CUgraph hGraph,
                             const CUgraphNode *dependencies, size_t numDependencies,
                             CUgraphNodeParams *nodeParams) {
    return DRV(cuGraphAddNode_v2)(phGraphNode, hGraph, dependencies, NULL, numDependencies,
                                  nodeParams);
}

/* ---- the older parameters of each kind, in the form of the newest ---------------------------- */

static CUgraphNodeParams kernel_v1(const CUDA_KERNEL_NODE_PARAMS_v1 *p) {
    CUgraphNodeParams params = {.type = CU_GRAPH_NODE_TYPE_KERNEL};
    memcpy(&params.kernel, p, sizeof(*p)); /* the newer one is longer */
    return params;
}

static CUgraphNodeParams kernel_v2(const CUDA_KERNEL_NODE_PARAMS *p) {
    CUgraphNodeParams params = {.type = CU_GRAPH_NODE_TYPE_KERNEL};
    memcpy(&params.kernel, p, sizeof(*p));
    return params;
}

static CUgraphNodeParams copy_of(const CUDA_MEMCPY3D *p, CUcontext ctx) {
    CUgraphNodeParams params = {.type = CU_GRAPH_NODE_TYPE_MEMCPY};
    params.memcpy.copyCtx = ctx;
    params.memcpy.copyParams = *p;
    return params;
}

static CUgraphNodeParams set_of(const CUDA_MEMSET_NODE_PARAMS *p, CUcontext ctx) {
    CUgraphNodeParams params = {.type = CU_GRAPH_NODE_TYPE_MEMSET};
    params.memset = (CUDA_MEMSET_NODE_PARAMS_v2){p->dst,   p->pitch,  p->value, p->elementSize,
                                                 p->width, p->height, ctx};
    return params;
}

static CUgraphNodeParams host_of(const CUDA_HOST_NODE_PARAMS *p) {
    CUgraphNodeParams params = {.type = CU_GRAPH_NODE_TYPE_HOST};
    params.host = (CUDA_HOST_NODE_PARAMS_v2){p->fn, p->userData};
    return params;
}

static CUgraphNodeParams memop_of(const CUDA_BATCH_MEM_OP_NODE_PARAMS *p) {
    CUgraphNodeParams params = {.type = CU_GRAPH_NODE_TYPE_BATCH_MEM_OP};
    params.memOp = (CUDA_BATCH_MEM_OP_NODE_PARAMS_v2){p->ctx, p->count, p->paramArray, p->flags};
    return params;
}

static CUgraphNodeParams record_of(CUevent event) {
    CUgraphNodeParams params = {.type = CU_GRAPH_NODE_TYPE_EVENT_RECORD};
    params.eventRecord.event = event;
    return params;
}

static CUgraphNodeParams wait_of(CUevent event) {
    CUgraphNodeParams params = {.type = CU_GRAPH_NODE_TYPE_WAIT_EVENT};
    params.eventWait.event = event;
    return params;
}

static CUgraphNodeParams child_of(CUgraph graph) {
    CUgraphNodeParams params = {.type = CU_GRAPH_NODE_TYPE_GRAPH};
    params.graph.graph = graph;
    return params;
}

#define ADD(convert)                                                                               \
    CUgraphNodeParams params = convert;                                                            \
    return add(phGraphNode, hGraph, dependencies, NULL, numDependencies, &params)

CUresult DRV(cuGraphAddKernelNode)(CUgraphNode *phGraphNode, CUgraph hGraph,
                                   const CUgraphNode *dependencies, size_t numDependencies,
                                   const CUDA_KERNEL_NODE_PARAMS_v1 *nodeParams) {
    if (!nodeParams)
        return CUDA_ERROR_INVALID_VALUE;
    ADD(kernel_v1(nodeParams));
}

CUresult DRV(cuGraphAddKernelNode_v2)(CUgraphNode *phGraphNode, CUgraph hGraph,
                                      const CUgraphNode *dependencies, size_t numDependencies,
                                      const CUDA_KERNEL_NODE_PARAMS *nodeParams) {
    if (!nodeParams)
        return CUDA_ERROR_INVALID_VALUE;
    ADD(kernel_v2(nodeParams));
}

CUresult DRV(cuGraphAddMemcpyNode)(CUgraphNode *phGraphNode, CUgraph hGraph,
                                   const CUgraphNode *dependencies, size_t numDependencies,
                                   const CUDA_MEMCPY3D *copyParams, CUcontext ctx) {
    if (!copyParams)
        return CUDA_ERROR_INVALID_VALUE;
    ADD(copy_of(copyParams, ctx));
}

CUresult DRV(cuGraphAddMemsetNode)(CUgraphNode *phGraphNode, CUgraph hGraph,
                                   const CUgraphNode *dependencies, size_t numDependencies,
                                   const CUDA_MEMSET_NODE_PARAMS *memsetParams, CUcontext ctx) {
    if (!memsetParams)
        return CUDA_ERROR_INVALID_VALUE;
    ADD(set_of(memsetParams, ctx));
}

CUresult DRV(cuGraphAddHostNode)(CUgraphNode *phGraphNode, CUgraph hGraph,
                                 const CUgraphNode *dependencies, size_t numDependencies,
                                 const CUDA_HOST_NODE_PARAMS *nodeParams) {
    if (!nodeParams)
        return CUDA_ERROR_INVALID_VALUE;
    ADD(host_of(nodeParams));
}

CUresult DRV(cuGraphAddChildGraphNode)(CUgraphNode *phGraphNode, CUgraph hGraph,
                                       const CUgraphNode *dependencies, size_t numDependencies,
                                       CUgraph childGraph) {
    ADD(child_of(childGraph));
}

CUresult DRV(cuGraphAddEmptyNode)(CUgraphNode *phGraphNode, CUgraph hGraph,
                                  const CUgraphNode *dependencies, size_t numDependencies) {
    ADD((CUgraphNodeParams){.type = CU_GRAPH_NODE_TYPE_EMPTY});
}

CUresult DRV(cuGraphAddEventRecordNode)(CUgraphNode *phGraphNode, CUgraph hGraph,
                                        const CUgraphNode *dependencies, size_t numDependencies,
                                        CUevent event) {
    ADD(record_of(event));
}

CUresult DRV(cuGraphAddEventWaitNode)(CUgraphNode *phGraphNode, CUgraph hGraph,
                                      const CUgraphNode *dependencies, size_t numDependencies,
                                      CUevent event) {
    ADD(wait_of(event));
}

CUresult DRV(cuGraphAddBatchMemOpNode)(CUgraphNode *phGraphNode, CUgraph hGraph,
                                       const CUgraphNode *dependencies, size_t numDependencies,
                                       const CUDA_BATCH_MEM_OP_NODE_PARAMS *nodeParams) {
    if (!nodeParams)
        return CUDA_ERROR_INVALID_VALUE;
    ADD(memop_of(nodeParams));
}

/* ---- reading --------------------------------------------------------------------------------- */

static CUresult of_kind(CUgraphNode handle, CUgraphNodeType kind, divvy_drv_node_t **ret_node) {
    DRV_TRY(divvy_drv_node_find(handle, ret_node));
    return (*ret_node)->op.kind == kind ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult DRV(cuGraphKernelNodeGetParams_v2)(CUgraphNode hNode,
                                            CUDA_KERNEL_NODE_PARAMS *nodeParams) {
    divvy_drv_node_t *node;
    if (!nodeParams)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(of_kind(hNode, CU_GRAPH_NODE_TYPE_KERNEL, &node));
    const divvy_drv_kernel_op_t *op = &node->op.kernel;
    *nodeParams = (CUDA_KERNEL_NODE_PARAMS){
        .func = node->op.kernel_handle,
        .gridDimX = op->grid[0],
        .gridDimY = op->grid[1],
        .gridDimZ = op->grid[2],
        .blockDimX = op->block[0],
        .blockDimY = op->block[1],
        .blockDimZ = op->block[2],
        .sharedMemBytes = op->shared_bytes,
        .kernelParams = node->kernel_params,
    };
    return CUDA_SUCCESS;
}

CUresult DRV(cuGraphKernelNodeGetParams)(CUgraphNode hNode,
                                         CUDA_KERNEL_NODE_PARAMS_v1 *nodeParams) {
    CUDA_KERNEL_NODE_PARAMS wide;
    if (!nodeParams)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(DRV(cuGraphKernelNodeGetParams_v2)(hNode, &wide));
    memcpy(nodeParams, &wide, sizeof(*nodeParams));
    return CUDA_SUCCESS;
}

CUresult DRV(cuGraphMemcpyNodeGetParams)(CUgraphNode hNode, CUDA_MEMCPY3D *nodeParams) {
    divvy_drv_node_t *node;
    if (!nodeParams)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(of_kind(hNode, CU_GRAPH_NODE_TYPE_MEMCPY, &node));
    *nodeParams = node->op.copy.params;
    return CUDA_SUCCESS;
}

CUresult DRV(cuGraphMemsetNodeGetParams)(CUgraphNode hNode, CUDA_MEMSET_NODE_PARAMS *nodeParams) {
    divvy_drv_node_t *node;
    if (!nodeParams)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(of_kind(hNode, CU_GRAPH_NODE_TYPE_MEMSET, &node));
    *nodeParams = node->op.set.params;
    return CUDA_SUCCESS;
}

CUresult DRV(cuGraphHostNodeGetParams)(CUgraphNode hNode, CUDA_HOST_NODE_PARAMS *nodeParams) {
    divvy_drv_node_t *node;
    if (!nodeParams)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(of_kind(hNode, CU_GRAPH_NODE_TYPE_HOST, &node));
    *nodeParams = (CUDA_HOST_NODE_PARAMS){node->op.host.call, node->op.host.argument};
    return CUDA_SUCCESS;
}

CUresult DRV(cuGraphBatchMemOpNodeGetParams)(CUgraphNode hNode,
                                             CUDA_BATCH_MEM_OP_NODE_PARAMS *nodeParams_out) {
    divvy_drv_node_t *node;
    if (!nodeParams_out)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(of_kind(hNode, CU_GRAPH_NODE_TYPE_BATCH_MEM_OP, &node));
    *nodeParams_out = node->op.memop.params;
    return CUDA_SUCCESS;
}

CUresult DRV(cuGraphEventRecordNodeGetEvent)(CUgraphNode hNode, CUevent *event_out) {
    divvy_drv_node_t *node;
    if (!event_out)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(of_kind(hNode, CU_GRAPH_NODE_TYPE_EVENT_RECORD, &node));
    *event_out = node->op.event;
    return CUDA_SUCCESS;
}

CUresult DRV(cuGraphEventWaitNodeGetEvent)(CUgraphNode hNode, CUevent *event_out) {
    divvy_drv_node_t *node;
    if (!event_out)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(of_kind(hNode, CU_GRAPH_NODE_TYPE_WAIT_EVENT, &node));
    *event_out = node->op.event;
    return CUDA_SUCCESS;
}

/* ---- changing -------------------------------------------------------------------------------- */

static CUresult change(CUgraphNode handle, const CUgraphNodeParams *params) {
    divvy_drv_node_t *node;
    divvy_drv_op_t op;
    void *buffer;
    DRV_TRY(of_kind(handle, params->type, &node));
    if (params->type == CU_GRAPH_NODE_TYPE_GRAPH)
        return CUDA_ERROR_NOT_SUPPORTED;
    CUresult result = divvy_drv_op_from_params(params, &op, &buffer);
    if (result == CUDA_SUCCESS) {
        if (op.kind == CU_GRAPH_NODE_TYPE_KERNEL)
            op.kernel.cooperative = node->op.kernel.cooperative;
        result = divvy_drv_node_replace(node, &op);
    }
    free(buffer);
    return result;
}

CUresult DRV(cuGraphNodeSetParams)(CUgraphNode hNode, CUgraphNodeParams *nodeParams) {
    return nodeParams ? change(hNode, nodeParams) : CUDA_ERROR_INVALID_VALUE;
}

#define CHANGE(convert)                                                                            \
    CUgraphNodeParams params = convert;                                                            \
    return change(hNode, &params)

/* Copies and sets keep the context of the node. */
static CUcontext context_of(CUgraphNode handle) {
    divvy_drv_node_t *node;
    return divvy_drv_node_find(handle, &node) == CUDA_SUCCESS ? node->op.context : NULL;
}

CUresult DRV(cuGraphKernelNodeSetParams)(CUgraphNode hNode,
                                         const CUDA_KERNEL_NODE_PARAMS_v1 *nodeParams) {
    if (!nodeParams)
        return CUDA_ERROR_INVALID_VALUE;
    CHANGE(kernel_v1(nodeParams));
}

CUresult DRV(cuGraphKernelNodeSetParams_v2)(CUgraphNode hNode,
                                            const CUDA_KERNEL_NODE_PARAMS *nodeParams) {
    if (!nodeParams)
        return CUDA_ERROR_INVALID_VALUE;
    CHANGE(kernel_v2(nodeParams));
}

CUresult DRV(cuGraphMemcpyNodeSetParams)(CUgraphNode hNode, const CUDA_MEMCPY3D *nodeParams) {
    if (!nodeParams)
        return CUDA_ERROR_INVALID_VALUE;
    CHANGE(copy_of(nodeParams, context_of(hNode)));
}

CUresult DRV(cuGraphMemsetNodeSetParams)(CUgraphNode hNode,
                                         const CUDA_MEMSET_NODE_PARAMS *nodeParams) {
    if (!nodeParams)
        return CUDA_ERROR_INVALID_VALUE;
    CHANGE(set_of(nodeParams, context_of(hNode)));
}

CUresult DRV(cuGraphHostNodeSetParams)(CUgraphNode hNode, const CUDA_HOST_NODE_PARAMS *nodeParams) {
    if (!nodeParams)
        return CUDA_ERROR_INVALID_VALUE;
    CHANGE(host_of(nodeParams));
}

CUresult DRV(cuGraphBatchMemOpNodeSetParams)(CUgraphNode hNode,
                                             const CUDA_BATCH_MEM_OP_NODE_PARAMS *nodeParams) {
    if (!nodeParams)
        return CUDA_ERROR_INVALID_VALUE;
    CHANGE(memop_of(nodeParams));
}

CUresult DRV(cuGraphEventRecordNodeSetEvent)(CUgraphNode hNode, CUevent event) {
    CHANGE(record_of(event));
}

CUresult DRV(cuGraphEventWaitNodeSetEvent)(CUgraphNode hNode, CUevent event) {
    CHANGE(wait_of(event));
}

/* ---- the same in an executable graph (graph_exec.c) ------------------------------------------ */

#define CHANGE_EXEC(convert)                                                                       \
    CUgraphNodeParams params = convert;                                                            \
    return DRV(cuGraphExecNodeSetParams)(hGraphExec, hNode, &params)

CUresult DRV(cuGraphExecKernelNodeSetParams)(CUgraphExec hGraphExec, CUgraphNode hNode,
                                             const CUDA_KERNEL_NODE_PARAMS_v1 *nodeParams) {
    if (!nodeParams)
        return CUDA_ERROR_INVALID_VALUE;
    CHANGE_EXEC(kernel_v1(nodeParams));
}

CUresult DRV(cuGraphExecKernelNodeSetParams_v2)(CUgraphExec hGraphExec, CUgraphNode hNode,
                                                const CUDA_KERNEL_NODE_PARAMS *nodeParams) {
    if (!nodeParams)
        return CUDA_ERROR_INVALID_VALUE;
    CHANGE_EXEC(kernel_v2(nodeParams));
}

CUresult DRV(cuGraphExecMemcpyNodeSetParams)(CUgraphExec hGraphExec, CUgraphNode hNode,
                                             const CUDA_MEMCPY3D *copyParams, CUcontext ctx) {
    if (!copyParams)
        return CUDA_ERROR_INVALID_VALUE;
    CHANGE_EXEC(copy_of(copyParams, ctx));
}

CUresult DRV(cuGraphExecMemsetNodeSetParams)(CUgraphExec hGraphExec, CUgraphNode hNode,
                                             const CUDA_MEMSET_NODE_PARAMS *memsetParams,
                                             CUcontext ctx) {
    if (!memsetParams)
        return CUDA_ERROR_INVALID_VALUE;
    CHANGE_EXEC(set_of(memsetParams, ctx));
}

CUresult DRV(cuGraphExecHostNodeSetParams)(CUgraphExec hGraphExec, CUgraphNode hNode,
                                           const CUDA_HOST_NODE_PARAMS *nodeParams) {
    if (!nodeParams)
        return CUDA_ERROR_INVALID_VALUE;
    CHANGE_EXEC(host_of(nodeParams));
}

CUresult DRV(cuGraphExecChildGraphNodeSetParams)(CUgraphExec hGraphExec, CUgraphNode hNode,
                                                 CUgraph childGraph) {
    CHANGE_EXEC(child_of(childGraph));
}

CUresult DRV(cuGraphExecBatchMemOpNodeSetParams)(CUgraphExec hGraphExec, CUgraphNode hNode,
                                                 const CUDA_BATCH_MEM_OP_NODE_PARAMS *nodeParams) {
    if (!nodeParams)
        return CUDA_ERROR_INVALID_VALUE;
    CHANGE_EXEC(memop_of(nodeParams));
}

CUresult DRV(cuGraphExecEventRecordNodeSetEvent)(CUgraphExec hGraphExec, CUgraphNode hNode,
                                                 CUevent event) {
    CHANGE_EXEC(record_of(event));
}

CUresult DRV(cuGraphExecEventWaitNodeSetEvent)(CUgraphExec hGraphExec, CUgraphNode hNode,
                                               CUevent event) {
    CHANGE_EXEC(wait_of(event));
}

/* ---- attributes of kernel nodes -------------------------------------------------------------- */

static bool kernel_attribute(CUkernelNodeAttrID attr) {
    switch ((int)attr) {
    case CU_KERNEL_NODE_ATTRIBUTE_ACCESS_POLICY_WINDOW:
    case CU_KERNEL_NODE_ATTRIBUTE_COOPERATIVE:
    case CU_KERNEL_NODE_ATTRIBUTE_CLUSTER_DIMENSION:
    case CU_KERNEL_NODE_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
    case CU_KERNEL_NODE_ATTRIBUTE_PRIORITY:
    case CU_KERNEL_NODE_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
    case CU_KERNEL_NODE_ATTRIBUTE_MEM_SYNC_DOMAIN:
    case CU_KERNEL_NODE_ATTRIBUTE_PREFERRED_CLUSTER_DIMENSION:
    case CU_KERNEL_NODE_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
        return true;
    default:
        return false;
    }
}

CUresult DRV(cuGraphKernelNodeGetAttribute)(CUgraphNode hNode, CUkernelNodeAttrID attr,
                                            CUkernelNodeAttrValue *value_out) {
    divvy_drv_node_t *node;
    if (!value_out || !kernel_attribute(attr))
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(of_kind(hNode, CU_GRAPH_NODE_TYPE_KERNEL, &node));
    if (node->attributes_set >> attr & 1)
        *value_out = node->attributes[attr];
    else
        memset(value_out, 0, sizeof(*value_out));
    if (attr == CU_LAUNCH_ATTRIBUTE_COOPERATIVE)
        value_out->cooperative = node->op.kernel.cooperative;
    return CUDA_SUCCESS;
}

CUresult DRV(cuGraphKernelNodeSetAttribute)(CUgraphNode hNode, CUkernelNodeAttrID attr,
                                            const CUkernelNodeAttrValue *value) {
    divvy_drv_node_t *node;
    if (!value || !kernel_attribute(attr))
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(of_kind(hNode, CU_GRAPH_NODE_TYPE_KERNEL, &node));
    if (attr == CU_LAUNCH_ATTRIBUTE_COOPERATIVE) {
        divvy_drv_kernel_op_t op = node->op.kernel;
        op.cooperative = value->cooperative != 0;
        DRV_TRY(divvy_drv_op_alive(&node->op));
        DRV_TRY(divvy_drv_kernel_check(op.function, &op));
        node->op.kernel.cooperative = op.cooperative;
    }
    if (!node->attributes)
        node->attributes = calloc(CU_LAUNCH_ATTRIBUTE_MAX, sizeof(*node->attributes));
    if (!node->attributes)
        return CUDA_ERROR_OUT_OF_MEMORY;
    node->attributes[attr] = *value;
    node->attributes_set |= (uint32_t)1 << attr;
    return CUDA_SUCCESS;
}

CUresult DRV(cuGraphKernelNodeCopyAttributes)(CUgraphNode dst, CUgraphNode src) {
    divvy_drv_node_t *to, *from;
    DRV_TRY(of_kind(dst, CU_GRAPH_NODE_TYPE_KERNEL, &to));
    DRV_TRY(of_kind(src, CU_GRAPH_NODE_TYPE_KERNEL, &from));
    for (int attr = 0; attr < CU_LAUNCH_ATTRIBUTE_MAX; attr++)
        if (from->attributes_set >> attr & 1)
            DRV_TRY(DRV(cuGraphKernelNodeSetAttribute)(dst, (CUkernelNodeAttrID)attr,
                                                       from->attributes + attr));
    return CUDA_SUCCESS;
}
