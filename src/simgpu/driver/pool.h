/*
 * Memory pools: stream-ordered allocation.
 *
 * A pool takes segments from the device (whole pages of 2 MiB) and hands out blocks of them
 * (multiples of 512 bytes). A block that was freed in a stream is pending until that stream has got
 * there: the same stream may have it again at once, others when it has settled, or, when there is
 * nothing else, by waiting for it in their own order. Pools that can be shared with other processes
 * take a segment for each block, so that a block can be named.
 */
#ifndef DIVVY_SIMGPU_DRIVER_POOL_H
#define DIVVY_SIMGPU_DRIVER_POOL_H

#include "simgpu/driver/memory.h"
#include "simgpu/driver/stream.h"

typedef struct divvy_drv_block divvy_drv_block_t;
typedef struct divvy_drv_segment divvy_drv_segment_t;

typedef enum { DRV_BLOCK_FREE, DRV_BLOCK_PENDING, DRV_BLOCK_USED } divvy_drv_block_state_t;

struct divvy_drv_block {
    divvy_drv_segment_t *segment;
    uint64_t address, bytes;
    divvy_drv_block_state_t state;
    uint64_t stream;                    /* PENDING: id of the stream that freed it */
    divvy_simgpu_position_t position;   /* PENDING */
    divvy_drv_block_t *before, *after;  /* neighbours in the segment */
    divvy_drv_block_t *previous, *next; /* FREE: its bin; PENDING: the pool's queue */
};

struct divvy_drv_segment {
    divvy_drv_pool_t *pool;
    uint64_t address, bytes;
    divvy_drv_block_t *first;
    divvy_drv_segment_t *previous, *next;
};

enum { DRV_POOL_BINS = 48 };

struct divvy_drv_pool {
    CUmemoryPool handle;
    CUmemPoolProps props;
    int device, ordinal;
    bool shared;   /* made with a handle type: one segment per block */
    bool imported; /* of another process; only its pointers can be opened */
    bool is_default;
    bool destroyed; /* goes with its last block */
    pthread_mutex_t lock;
    divvy_drv_segment_t *segments;
    divvy_drv_block_t *bins[DRV_POOL_BINS];
    divvy_drv_block_t *pending_first, *pending_last;
    uint64_t live; /* blocks in use */
    uint64_t reserved_bytes, reserved_high_bytes, used_bytes, used_high_bytes;
    uint64_t threshold_bytes;
    int reuse[4];           /* by CU_MEMPOOL_ATTR_REUSE_* */
    _Atomic uint32_t peers; /* ordinals that cuMemPoolSetAccess let in */
    divvy_drv_pool_t *next; /* list of all */
};

/* A pool on DEVICE, entered in the list; CUDA_ERROR_OUT_OF_MEMORY. */
CUresult divvy_drv_pool_new(divvy_drv_device_t *device, int ordinal, const CUmemPoolProps *props,
                            divvy_drv_pool_t **ret_pool);
void divvy_drv_pool_destroy(divvy_drv_pool_t *pool);

/* A block for STREAM. The memory's address is known at once; its contents are the stream's from
 * now on. */
CUresult divvy_drv_pool_alloc(divvy_drv_pool_t *pool, divvy_drv_stream_t *stream, uint64_t bytes,
                              CUdeviceptr *ret_address);
/* Frees the block at MEM (taken out of the index already) as of POSITION in the stream with that
 * id. */
void divvy_drv_pool_return(const divvy_drv_mem_t *mem, uint64_t stream_id,
                           divvy_simgpu_position_t position);
/* Gives back unused segments until at most KEEP bytes are reserved. Returns the bytes given
 * back. */
uint64_t divvy_drv_pool_trim(divvy_drv_pool_t *pool, uint64_t keep_bytes);

/* After the host has waited for something on engine device DEVICE: pools give back what they
 * hold unused beyond their release threshold. Costs next to nothing where no pool was used. */
void divvy_drv_pool_settle(int device);
/* Before an allocation on DEVICE fails: pools give back all that they hold unused. Whether that
 * was anything. */
bool divvy_drv_pool_reclaim(int device);
/* A block of a pool goes; no work uses it any more. */
CUresult divvy_drv_pool_free(CUdeviceptr address);
/* The last context of this process on DEVICE goes, and all blocks with it. */
void divvy_drv_pool_device_gone(int device);
/* Whether the pool of MEM lets the device with that ordinal in. */
bool divvy_drv_pool_reaches(const divvy_drv_mem_t *mem, int ordinal);

/* The same for memory of a graph (graph_memory.c). */
CUresult divvy_drv_graph_memory_free(CUdeviceptr address);

#endif
