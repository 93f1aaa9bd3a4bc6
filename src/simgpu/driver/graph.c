/* Graphs: nodes, edges, clones, and the order of their nodes. */
#include "simgpu/driver/graph.h"
#include "simgpu/driver/handle.h"

#include <stdlib.h>
#include <string.h>

CUresult divvy_drv_graph_find(CUgraph handle, divvy_drv_graph_t **ret_graph) {
    divvy_drv_graph_t *graph = divvy_drv_handle_get(handle, DRV_HANDLE_GRAPH);
    if (!graph)
        return CUDA_ERROR_INVALID_VALUE;
    *ret_graph = graph;
    return CUDA_SUCCESS;
}

CUresult divvy_drv_node_find(CUgraphNode handle, divvy_drv_node_t **ret_node) {
    divvy_drv_node_t *node = divvy_drv_handle_get(handle, DRV_HANDLE_NODE);
    if (!node)
        return CUDA_ERROR_INVALID_VALUE;
    *ret_node = node;
    return CUDA_SUCCESS;
}

CUresult divvy_drv_nodes_find(const CUgraphNode *handles, size_t count,
                              divvy_drv_node_t ***ret_nodes) {
    if ((count && !handles) || count > SIZE_MAX / 2 / sizeof(**ret_nodes))
        return CUDA_ERROR_INVALID_VALUE;
    divvy_drv_node_t **nodes = calloc(count + 1, sizeof(*nodes));
    if (!nodes)
        return CUDA_ERROR_OUT_OF_MEMORY;
    for (size_t i = 0; i < count; i++)
        if (divvy_drv_node_find(handles[i], nodes + i) != CUDA_SUCCESS) {
            free(nodes);
            return CUDA_ERROR_INVALID_VALUE;
        }
    *ret_nodes = nodes;
    return CUDA_SUCCESS;
}

CUresult divvy_drv_graph_new(divvy_drv_graph_t **ret_graph) {
    divvy_drv_graph_t *graph = calloc(1, sizeof(*graph));
    if (!graph)
        return CUDA_ERROR_OUT_OF_MEMORY;
    graph->handle = divvy_drv_handle_new(DRV_HANDLE_GRAPH, graph);
    if (!graph->handle) {
        free(graph);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *ret_graph = graph;
    return CUDA_SUCCESS;
}

/* ---- edges ----------------------------------------------------------------------------------- */

static divvy_drv_edge_t *edge_to(const divvy_drv_edges_t *edges, const divvy_drv_node_t *node) {
    for (size_t i = 0; i < edges->count; i++)
        if (edges->edges[i].node == node)
            return edges->edges + i;
    return NULL;
}

static int edges_push(divvy_drv_edges_t *edges, divvy_drv_node_t *node,
                      const CUgraphEdgeData *data) {
    if (edges->count == edges->room) {
        size_t room = edges->room ? 2 * edges->room : 4;
        divvy_drv_edge_t *grown = realloc(edges->edges, room * sizeof(*grown));
        if (!grown)
            return -1;
        edges->edges = grown;
        edges->room = room;
    }
    edges->edges[edges->count] = (divvy_drv_edge_t){.node = node};
    if (data)
        edges->edges[edges->count].data = *data;
    edges->count++;
    return 0;
}

static void edges_drop(divvy_drv_edges_t *edges, const divvy_drv_node_t *node) {
    divvy_drv_edge_t *edge = edge_to(edges, node);
    if (edge) /* the order of the others stays */
        memmove(edge, edge + 1, (size_t)(edges->edges + --edges->count - edge) * sizeof(*edge));
}

CUresult divvy_drv_edge_add(divvy_drv_node_t *from, divvy_drv_node_t *to,
                            const CUgraphEdgeData *data) {
    if (from->graph != to->graph || from == to || edge_to(&from->after, to))
        return CUDA_ERROR_INVALID_VALUE;
    if (edges_push(&from->after, to, data))
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (edges_push(&to->before, from, data)) {
        from->after.count--;
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    return CUDA_SUCCESS;
}

static CUresult edge_remove(divvy_drv_node_t *from, divvy_drv_node_t *to,
                            const CUgraphEdgeData *data) {
    divvy_drv_edge_t *edge = edge_to(&from->after, to);
    if (!edge || (data && memcmp(&edge->data, data, sizeof(*data))))
        return CUDA_ERROR_INVALID_VALUE;
    edges_drop(&from->after, to);
    edges_drop(&to->before, from);
    return CUDA_SUCCESS;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static void node_free(divvy_drv_node_t *node) {
    divvy_drv_graph_t *graph = node->graph;
    while (node->before.count)
        edge_remove(node->before.edges[0].node, node, NULL);
    while (node->after.count)
        edge_remove(node, node->after.edges[0].node, NULL);
    if (node->next)
        node->next->previous = node->previous;
    else
        graph->last = node->previous;
    if (node->previous)
        node->previous->next = node->next;
    else
        graph->first = node->next;
    graph->count--;
    divvy_drv_handle_end(node->handle, DRV_HANDLE_NODE);
    divvy_drv_op_clear(&node->op);
    free(node->kernel_params);
    free(node->attributes);
    free(node->before.edges);
    free(node->after.edges);
    free(node);
}

/* The array of pointers that a kernel node shows. */
static CUresult point_params(divvy_drv_node_t *node) {
    if (node->op.kind != CU_GRAPH_NODE_TYPE_KERNEL)
        return CUDA_SUCCESS;
    const divvy_drv_function_t *function = node->op.kernel.function;
    void **pointers = calloc(function->entry->params + 1, sizeof(*pointers));
    if (!pointers)
        return CUDA_ERROR_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < function->entry->params; i++)
        pointers[i] = (char *)(uintptr_t)node->op.kernel.params + function->params[i].offset_bytes;
    free(node->kernel_params);
    node->kernel_params = pointers;
    return CUDA_SUCCESS;
}

CUresult divvy_drv_graph_add(divvy_drv_graph_t *graph, const divvy_drv_op_t *op,
                             divvy_drv_node_t *const *before, size_t count,
                             divvy_drv_node_t **ret_node) {
    divvy_drv_node_t *node = calloc(1, sizeof(*node));
    if (!node)
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult result = divvy_drv_op_copy(op, &node->op);
    if (result != CUDA_SUCCESS) {
        free(node);
        return result;
    }
    node->graph = graph;
    node->previous = graph->last;
    if (graph->last)
        graph->last->next = node;
    else
        graph->first = node;
    graph->last = node;
    graph->count++;
    node->handle = divvy_drv_handle_new(DRV_HANDLE_NODE, node);
    result = node->handle ? point_params(node) : CUDA_ERROR_OUT_OF_MEMORY;
    for (size_t i = 0; i < count && result == CUDA_SUCCESS; i++)
        result = divvy_drv_edge_add(before[i], node, NULL);
    if (result != CUDA_SUCCESS) {
        node_free(node);
        return result;
    }
    *ret_node = node;
    return CUDA_SUCCESS;
}

CUresult divvy_drv_node_replace(divvy_drv_node_t *node, const divvy_drv_op_t *op) {
    divvy_drv_op_t copy;
    DRV_TRY(divvy_drv_op_copy(op, &copy));
    divvy_drv_op_clear(&node->op);
    node->op = copy;
    return point_params(node);
}

void divvy_drv_graph_free(divvy_drv_graph_t *graph) {
    if (!graph)
        return;
    while (graph->first)
        node_free(graph->first);
    divvy_drv_handle_end(graph->handle, DRV_HANDLE_GRAPH);
    divvy_drv_users_release(graph->users);
    free(graph);
}

/* ---- clones and order ------------------------------------------------------------------------ */

static CUresult clone_node(divvy_drv_graph_t *clone, const divvy_drv_node_t *node,
                           divvy_drv_node_t **ret_copy) {
    DRV_TRY(divvy_drv_graph_add(clone, &node->op, NULL, 0, ret_copy));
    (*ret_copy)->original = (divvy_drv_node_t *)(uintptr_t)node;
    if (node->attributes) {
        (*ret_copy)->attributes = malloc(sizeof(*node->attributes) * CU_LAUNCH_ATTRIBUTE_MAX);
        if (!(*ret_copy)->attributes)
            return CUDA_ERROR_OUT_OF_MEMORY;
        memcpy((*ret_copy)->attributes, node->attributes,
               sizeof(*node->attributes) * CU_LAUNCH_ATTRIBUTE_MAX);
        (*ret_copy)->attributes_set = node->attributes_set;
    }
    return CUDA_SUCCESS;
}

static void give_numbers(const divvy_drv_graph_t *graph) {
    size_t i = 0;
    for (divvy_drv_node_t *n = graph->first; n; n = n->next)
        n->mark = i++;
}

static CUresult clone_into(const divvy_drv_graph_t *graph, divvy_drv_graph_t *clone,
                           divvy_drv_node_t **copies) {
    size_t i = 0;
    for (const divvy_drv_node_t *n = graph->first; n; n = n->next)
        DRV_TRY(clone_node(clone, n, copies + i++));
    for (const divvy_drv_node_t *n = graph->first; n; n = n->next)
        for (size_t e = 0; e < n->before.count; e++)
            DRV_TRY(divvy_drv_edge_add(copies[n->before.edges[e].node->mark], copies[n->mark],
                                       &n->before.edges[e].data));
    return divvy_drv_users_clone(graph->users, &clone->users);
}

CUresult divvy_drv_graph_clone(const divvy_drv_graph_t *graph, divvy_drv_graph_t **ret_clone) {
    divvy_drv_graph_t *clone;
    DRV_TRY(divvy_drv_graph_new(&clone));
    divvy_drv_node_t **copies = calloc(graph->count + 1, sizeof(*copies));
    give_numbers(graph);
    CUresult result = copies ? clone_into(graph, clone, copies) : CUDA_ERROR_OUT_OF_MEMORY;
    free(copies);
    if (result != CUDA_SUCCESS) {
        divvy_drv_graph_free(clone);
        return result;
    }
    *ret_clone = clone;
    return CUDA_SUCCESS;
}

/* Nodes that wait for nothing first, in the order in which they were made; mark counts what each
 * still waits for. */
CUresult divvy_drv_graph_order(const divvy_drv_graph_t *graph, divvy_drv_node_t ***ret_nodes) {
    divvy_drv_node_t **nodes = calloc(graph->count + 1, sizeof(*nodes));
    size_t done = 0, found = 0;
    if (!nodes)
        return CUDA_ERROR_OUT_OF_MEMORY;
    for (divvy_drv_node_t *n = graph->first; n; n = n->next) {
        n->mark = n->before.count;
        if (!n->mark)
            nodes[found++] = n;
    }
    for (; done < found; done++)
        for (size_t e = 0; e < nodes[done]->after.count; e++) {
            divvy_drv_node_t *next = nodes[done]->after.edges[e].node;
            if (!--next->mark)
                nodes[found++] = next;
        }
    if (found != graph->count) {
        free(nodes);
        return CUDA_ERROR_INVALID_VALUE;
    }
    *ret_nodes = nodes;
    return CUDA_SUCCESS;
}

/* ---- the calls: graphs ----------------------------------------------------------------------- */

CUresult DRV(cuGraphCreate)(CUgraph *phGraph, unsigned int flags) {
    divvy_drv_graph_t *graph;
    if (!phGraph || flags)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_graph_new(&graph));
    *phGraph = graph->handle;
    return CUDA_SUCCESS;
}

CUresult DRV(cuGraphDestroy)(CUgraph hGraph) {
    divvy_drv_graph_t *graph;
    DRV_TRY(divvy_drv_graph_find(hGraph, &graph));
    if (graph->child)
        return CUDA_ERROR_INVALID_VALUE;
    divvy_drv_graph_free(graph);
    return CUDA_SUCCESS;
}

/* Memory nodes cannot be had twice. */
static bool has_memory(const divvy_drv_graph_t *graph) {
    for (const divvy_drv_node_t *n = graph->first; n; n = n->next)
        if (n->op.kind == CU_GRAPH_NODE_TYPE_MEM_ALLOC ||
            n->op.kind == CU_GRAPH_NODE_TYPE_MEM_FREE ||
            (n->op.kind == CU_GRAPH_NODE_TYPE_GRAPH && has_memory(n->op.child)))
            return true;
    return false;
}

CUresult DRV(cuGraphClone)(CUgraph *phGraphClone, CUgraph originalGraph) {
    divvy_drv_graph_t *graph, *clone;
    if (!phGraphClone)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_graph_find(originalGraph, &graph));
    if (has_memory(graph))
        return CUDA_ERROR_NOT_SUPPORTED;
    DRV_TRY(divvy_drv_graph_clone(graph, &clone));
    *phGraphClone = clone->handle;
    return CUDA_SUCCESS;
}

CUresult DRV(cuGraphNodeFindInClone)(CUgraphNode *phNode, CUgraphNode hOriginalNode,
                                     CUgraph hClonedGraph) {
    divvy_drv_graph_t *clone;
    divvy_drv_node_t *original;
    if (!phNode)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_node_find(hOriginalNode, &original));
    DRV_TRY(divvy_drv_graph_find(hClonedGraph, &clone));
    for (divvy_drv_node_t *n = clone->first; n; n = n->next)
        if (n->original == original) {
            *phNode = n->handle;
            return CUDA_SUCCESS;
        }
    return CUDA_ERROR_INVALID_VALUE;
}

CUresult DRV(cuGraphDestroyNode)(CUgraphNode hNode) {
    divvy_drv_node_t *node;
    DRV_TRY(divvy_drv_node_find(hNode, &node));
    if (node->op.kind == CU_GRAPH_NODE_TYPE_MEM_ALLOC ||
        node->op.kind == CU_GRAPH_NODE_TYPE_MEM_FREE)
        return CUDA_ERROR_NOT_SUPPORTED;
    node_free(node);
    return CUDA_SUCCESS;
}

CUresult DRV(cuGraphNodeGetType)(CUgraphNode hNode, CUgraphNodeType *type) {
    divvy_drv_node_t *node;
    if (!type)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_node_find(hNode, &node));
    *type = node->op.kind;
    return CUDA_SUCCESS;
}

CUresult DRV(cuGraphChildGraphNodeGetGraph)(CUgraphNode hNode, CUgraph *phGraph) {
    divvy_drv_node_t *node;
    if (!phGraph)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_node_find(hNode, &node));
    if (node->op.kind != CU_GRAPH_NODE_TYPE_GRAPH)
        return CUDA_ERROR_INVALID_VALUE;
    *phGraph = node->op.child->handle;
    return CUDA_SUCCESS;
}

/* ---- the calls: lists ------------------------------------------------------------------------ */

/* With no array the number is told; otherwise up to *NUMBER are written, the rest of the array
 * becomes NULL, and the number written is told. */
static size_t begin_list(size_t total, size_t *number, const void *array) {
    size_t room = *number;
    size_t written = !array ? 0 : room < total ? room : total;
    *number = array ? written : total;
    return written;
}

CUresult DRV(cuGraphGetNodes)(CUgraph hGraph, CUgraphNode *nodes, size_t *numNodes) {
    divvy_drv_graph_t *graph;
    if (!numNodes)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_graph_find(hGraph, &graph));
    size_t room = *numNodes, written = begin_list(graph->count, numNodes, nodes), i = 0;
    for (divvy_drv_node_t *n = graph->first; n && i < written; n = n->next)
        nodes[i++] = n->handle;
    for (; nodes && i < room; i++)
        nodes[i] = NULL;
    return CUDA_SUCCESS;
}

CUresult DRV(cuGraphGetRootNodes)(CUgraph hGraph, CUgraphNode *rootNodes, size_t *numRootNodes) {
    divvy_drv_graph_t *graph;
    size_t total = 0, i = 0;
    if (!numRootNodes)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_graph_find(hGraph, &graph));
    for (divvy_drv_node_t *n = graph->first; n; n = n->next)
        total += !n->before.count;
    size_t room = *numRootNodes, written = begin_list(total, numRootNodes, rootNodes);
    for (divvy_drv_node_t *n = graph->first; n && i < written; n = n->next)
        if (!n->before.count)
            rootNodes[i++] = n->handle;
    for (; rootNodes && i < room; i++)
        rootNodes[i] = NULL;
    return CUDA_SUCCESS;
}

static CUresult list_edges(const divvy_drv_edges_t *edges, CUgraphNode *nodes,
                           CUgraphEdgeData *data, size_t *count) {
    if (!count || (data && !nodes))
        return CUDA_ERROR_INVALID_VALUE;
    size_t room = *count, written = begin_list(edges->count, count, nodes);
    for (size_t i = 0; nodes && i < room; i++) {
        nodes[i] = i < written ? edges->edges[i].node->handle : NULL;
        if (data)
            data[i] = i < written ? edges->edges[i].data : (CUgraphEdgeData){0};
    }
    return CUDA_SUCCESS;
}

CUresult DRV(cuGraphNodeGetDependencies_v2)(CUgraphNode hNode, CUgraphNode *dependencies,
                                            CUgraphEdgeData *edgeData, size_t *numDependencies) {
    divvy_drv_node_t *node;
    DRV_TRY(divvy_drv_node_find(hNode, &node));
    return list_edges(&node->before, dependencies, edgeData, numDependencies);
}

CUresult DRV(cuGraphNodeGetDependencies)(CUgraphNode hNode, CUgraphNode *dependencies,
                                         size_t *numDependencies) {
    return DRV(cuGraphNodeGetDependencies_v2)(hNode, dependencies, NULL, numDependencies);
}

CUresult DRV(cuGraphNodeGetDependentNodes_v2)(CUgraphNode hNode, CUgraphNode *dependentNodes,
                                              CUgraphEdgeData *edgeData,
                                              size_t *numDependentNodes) {
    divvy_drv_node_t *node;
    DRV_TRY(divvy_drv_node_find(hNode, &node));
    return list_edges(&node->after, dependentNodes, edgeData, numDependentNodes);
}

CUresult DRV(cuGraphNodeGetDependentNodes)(CUgraphNode hNode, CUgraphNode *dependentNodes,
                                           size_t *numDependentNodes) {
    return DRV(cuGraphNodeGetDependentNodes_v2)(hNode, dependentNodes, NULL, numDependentNodes);
}

CUresult DRV(cuGraphGetEdges_v2)(CUgraph hGraph, CUgraphNode *from, CUgraphNode *to,
                                 CUgraphEdgeData *edgeData, size_t *numEdges) {
    divvy_drv_graph_t *graph;
    size_t total = 0, i = 0;
    if (!numEdges || !from != !to || (edgeData && !from))
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_graph_find(hGraph, &graph));
    for (divvy_drv_node_t *n = graph->first; n; n = n->next)
        total += n->after.count;
    size_t room = *numEdges, written = begin_list(total, numEdges, from);
    for (divvy_drv_node_t *n = graph->first; n; n = n->next)
        for (size_t e = 0; e < n->after.count && i < written; e++, i++) {
            from[i] = n->handle;
            to[i] = n->after.edges[e].node->handle;
            if (edgeData)
                edgeData[i] = n->after.edges[e].data;
        }
    for (; from && i < room; i++)
        from[i] = to[i] = NULL;
    return CUDA_SUCCESS;
}

CUresult DRV(cuGraphGetEdges)(CUgraph hGraph, CUgraphNode *from, CUgraphNode *to,
                              size_t *numEdges) {
    return DRV(cuGraphGetEdges_v2)(hGraph, from, to, NULL, numEdges);
}

/* ---- the calls: edges ------------------------------------------------------------------------ */

static CUresult find_pair(CUgraph hGraph, CUgraphNode from, CUgraphNode to,
                          divvy_drv_node_t **ret_from, divvy_drv_node_t **ret_to) {
    divvy_drv_graph_t *graph;
    DRV_TRY(divvy_drv_graph_find(hGraph, &graph));
    DRV_TRY(divvy_drv_node_find(from, ret_from));
    DRV_TRY(divvy_drv_node_find(to, ret_to));
    return (*ret_from)->graph == graph && (*ret_to)->graph == graph ? CUDA_SUCCESS
                                                                    : CUDA_ERROR_INVALID_VALUE;
}

CUresult DRV(cuGraphAddDependencies_v2)(CUgraph hGraph, const CUgraphNode *from,
                                        const CUgraphNode *to, const CUgraphEdgeData *edgeData,
                                        size_t numDependencies) {
    divvy_drv_node_t *a, *b;
    if (numDependencies && (!from || !to))
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < numDependencies; i++) {
        DRV_TRY(find_pair(hGraph, from[i], to[i], &a, &b));
        DRV_TRY(divvy_drv_edge_add(a, b, edgeData ? edgeData + i : NULL));
    }
    return CUDA_SUCCESS;
}

CUresult DRV(cuGraphAddDependencies)(CUgraph hGraph, const CUgraphNode *from, const CUgraphNode *to,
                                     size_t numDependencies) {
    return DRV(cuGraphAddDependencies_v2)(hGraph, from, to, NULL, numDependencies);
}

CUresult DRV(cuGraphRemoveDependencies_v2)(CUgraph hGraph, const CUgraphNode *from,
                                           const CUgraphNode *to, const CUgraphEdgeData *edgeData,
                                           size_t numDependencies) {
    divvy_drv_node_t *a, *b;
    if (numDependencies && (!from || !to))
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < numDependencies; i++) {
        DRV_TRY(find_pair(hGraph, from[i], to[i], &a, &b));
        DRV_TRY(edge_remove(a, b, edgeData ? edgeData + i : NULL));
    }
    return CUDA_SUCCESS;
}

CUresult DRV(cuGraphRemoveDependencies)(CUgraph hGraph, const CUgraphNode *from,
                                        const CUgraphNode *to, size_t numDependencies) {
    return DRV(cuGraphRemoveDependencies_v2)(hGraph, from, to, NULL, numDependencies);
}
