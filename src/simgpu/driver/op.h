/*
 * Operations: what a stream executes, and what a node of a graph holds. A call on a stream builds
 * one on its stack and runs it, or, while the stream captures, leaves a copy in the graph.
 */
#ifndef DIVVY_SIMGPU_DRIVER_OP_H
#define DIVVY_SIMGPU_DRIVER_OP_H

#include "simgpu/driver/stream.h"

typedef struct divvy_drv_function divvy_drv_function_t;
typedef struct divvy_drv_graph divvy_drv_graph_t;

typedef struct {
    divvy_drv_function_t *function;
    uint32_t grid[3], block[3];
    uint32_t shared_bytes; /* dynamic */
    bool cooperative;
    const void *params; /* packed by the kernel's layout; NULL where nothing needs them */
    uint32_t params_bytes;
} divvy_drv_kernel_op_t;

typedef enum {
    DRV_COPY_HOST, /* host to host */
    DRV_COPY_TO_DEVICE,
    DRV_COPY_FROM_DEVICE,
    DRV_COPY_ON_DEVICE, /* inside one device */
    DRV_COPY_PEER,      /* between devices */
} divvy_drv_copy_way_t;

/* Addresses are of this process, whatever kind of memory they lie in. */
typedef struct {
    divvy_drv_copy_way_t way;
    uint64_t from, to;
    uint64_t from_pitch_bytes, from_slice_bytes;
    uint64_t to_pitch_bytes, to_slice_bytes;
    uint64_t width_bytes, height, depth;
    bool from_device, to_device;     /* checked again when the copy runs */
    bool from_pageable, to_pageable; /* host memory that the driver does not know */
    int device;                      /* engine index of the device that does it */
} divvy_drv_copy_op_t;

typedef struct {
    uint64_t to, pitch_bytes;
    uint32_t value;
    uint32_t element_bytes; /* 1, 2 or 4 */
    uint64_t width, height; /* elements, rows */
    bool to_host;           /* page-locked host memory */
} divvy_drv_set_op_t;

typedef struct {
    CUhostFn call;
    void *argument;
} divvy_drv_host_op_t;

typedef struct divvy_drv_graph_memory divvy_drv_graph_memory_t;

typedef struct {
    divvy_drv_graph_memory_t *memory; /* its addresses are reserved when the node is made */
    CUDA_MEM_ALLOC_NODE_PARAMS params;
} divvy_drv_alloc_op_t;

typedef struct {
    CUDA_BATCH_MEM_OP_NODE_PARAMS params;
} divvy_drv_memop_op_t;

typedef struct {
    CUgraphNodeType kind;
    CUcontext context;        /* of copies and sets in graphs, as given */
    CUfunction kernel_handle; /* of kernels in graphs: the function may go before the graph */
    union {
        divvy_drv_kernel_op_t kernel;
        struct {
            divvy_drv_copy_op_t copy;
            CUDA_MEMCPY3D params; /* as asked for */
        } copy;
        struct {
            divvy_drv_set_op_t set;
            CUDA_MEMSET_NODE_PARAMS params; /* as asked for */
        } set;
        divvy_drv_host_op_t host;
        CUevent event;
        divvy_drv_alloc_op_t alloc;
        uint64_t free_address;
        divvy_drv_memop_op_t memop;
        divvy_drv_graph_t *child;
    };
} divvy_drv_op_t;

/* Runs OP in STREAM, or captures it. Events and graph memory are handled by their own files. */
CUresult divvy_drv_op_run(divvy_drv_stream_t *stream, const divvy_drv_op_t *op);
/* Runs OP in STREAM, which does not capture. */
CUresult divvy_drv_op_execute(divvy_drv_stream_t *stream, const divvy_drv_op_t *op);

/* The parts (launch.c, copy.c, memset.c, host.c). */
CUresult divvy_drv_kernel_execute(divvy_drv_stream_t *stream, const divvy_drv_kernel_op_t *op);
/* STAGED, when not NULL, is a buffer from malloc that holds the source; it is taken over, also
 * on failure. */
CUresult divvy_drv_copy_execute(divvy_drv_stream_t *stream, const divvy_drv_copy_op_t *op,
                                void *staged, divvy_simgpu_position_t *ret_position);
CUresult divvy_drv_set_execute(divvy_drv_stream_t *stream, const divvy_drv_set_op_t *op);
CUresult divvy_drv_host_execute(divvy_drv_stream_t *stream, const divvy_drv_host_op_t *op);
CUresult divvy_drv_memop_execute(divvy_drv_stream_t *stream,
                                 const CUDA_BATCH_MEM_OP_NODE_PARAMS *params);
/* Whether each operation of the batch is well-formed. */
CUresult divvy_drv_memop_check(const CUDA_BATCH_MEM_OP_NODE_PARAMS *params);

/*
 * Actions of the engine's threads touch memory that this process could take away. Each says when it
 * begins and ends; whoever unmaps memory first waits for those that are running.
 */
uint64_t divvy_drv_action_begin(void);
void divvy_drv_action_end(uint64_t ticket);
/* Waits for all actions that are running now. Not from inside an action. */
void divvy_drv_action_barrier(void);
/* Whether none is running at this moment. */
bool divvy_drv_action_none(void);

#endif
