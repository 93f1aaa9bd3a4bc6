/*
 * Graphs and what becomes of them. A graph is a list of nodes with edges; an executable graph is a
 * flat, ordered copy. As with the driver, a graph is not protected against use by several threads
 * at once.
 */
#ifndef DIVVY_SIMGPU_DRIVER_GRAPH_H
#define DIVVY_SIMGPU_DRIVER_GRAPH_H

#include "simgpu/driver/module.h"
#include "simgpu/driver/op.h"

typedef struct {
    divvy_drv_node_t *node;
    CUgraphEdgeData data;
} divvy_drv_edge_t;

typedef struct {
    divvy_drv_edge_t *edges;
    size_t count, room;
} divvy_drv_edges_t;

struct divvy_drv_node {
    CUgraphNode handle;
    divvy_drv_graph_t *graph;
    divvy_drv_op_t op;
    void **kernel_params;              /* KERNEL: pointers into op.kernel.params, to show */
    CUkernelNodeAttrValue *attributes; /* KERNEL: by id, made when first set */
    uint32_t attributes_set;
    divvy_drv_edges_t before, after;
    divvy_drv_node_t *original; /* the node that this one is a clone of; never read through */
    size_t mark;                /* for walks */
    divvy_drv_node_t *previous, *next;
};

typedef struct divvy_drv_user divvy_drv_user_t; /* a user object that the graph holds */

struct divvy_drv_graph {
    CUgraph handle;
    divvy_drv_node_t *first, *last;
    size_t count;
    bool child; /* belongs to a node */
    divvy_drv_user_t *users;
};

/* ---- graphs (graph.c) ------------------------------------------------------------------------ */

CUresult divvy_drv_graph_find(CUgraph handle, divvy_drv_graph_t **ret_graph);
CUresult divvy_drv_node_find(CUgraphNode handle, divvy_drv_node_t **ret_node);
/* All of HANDLES, into an array that the caller frees. */
CUresult divvy_drv_nodes_find(const CUgraphNode *handles, size_t count,
                              divvy_drv_node_t ***ret_nodes);
CUresult divvy_drv_graph_new(divvy_drv_graph_t **ret_graph);
void divvy_drv_graph_free(divvy_drv_graph_t *graph);
CUresult divvy_drv_graph_clone(const divvy_drv_graph_t *graph, divvy_drv_graph_t **ret_clone);
/* Adds a node with a copy of OP, behind COUNT nodes of the same graph. */
CUresult divvy_drv_graph_add(divvy_drv_graph_t *graph, const divvy_drv_op_t *op,
                             divvy_drv_node_t *const *before, size_t count,
                             divvy_drv_node_t **ret_node);
/* An edge; one that is there already is an error. DATA may be NULL. */
CUresult divvy_drv_edge_add(divvy_drv_node_t *from, divvy_drv_node_t *to,
                            const CUgraphEdgeData *data);
/* Replaces the operation of NODE by a copy of OP, of the same kind. */
CUresult divvy_drv_node_replace(divvy_drv_node_t *node, const divvy_drv_op_t *op);
/* The nodes in an order in which each comes after all it depends on; the caller frees the array.
 * CUDA_ERROR_INVALID_VALUE when there is none (a circle). */
CUresult divvy_drv_graph_order(const divvy_drv_graph_t *graph, divvy_drv_node_t ***ret_nodes);

/* ---- operations that are kept (graph_op.c) --------------------------------------------------- */

/* A copy that owns what it points to. */
CUresult divvy_drv_op_copy(const divvy_drv_op_t *op, divvy_drv_op_t *ret_copy);
void divvy_drv_op_clear(divvy_drv_op_t *op);
/* Makes an operation from the parameters of a node. It points into PARAMS or, for a kernel, into
 * *RET_BUFFER, which the caller frees in any case. */
CUresult divvy_drv_op_from_params(const CUgraphNodeParams *params, divvy_drv_op_t *ret_op,
                                  void **ret_buffer);
/* The context that OP must run in, or NULL when any will do. */
divvy_drv_context_t *divvy_drv_op_context(const divvy_drv_op_t *op);
/* Whether what OP refers to is still there. */
CUresult divvy_drv_op_alive(const divvy_drv_op_t *op);

/* ---- user objects (graph_user.c) ------------------------------------------------------------- */

void divvy_drv_users_release(divvy_drv_user_t *users);
CUresult divvy_drv_users_clone(const divvy_drv_user_t *users, divvy_drv_user_t **ret_users);

#endif
