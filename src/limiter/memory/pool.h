/*
 * Memory pools of this process. What is charged for a pool is the most it has held and not yet
 * given back: a request that the pool can serve from what it keeps is charged nothing more, so
 * request and reserve are never both counted; what the pool keeps after frees stays charged, since
 * the device has not got it back, until the driver says that the pool has shrunk
 * (CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT).
 */
#ifndef DIVVY_LIMITER_MEMORY_POOL_H
#define DIVVY_LIMITER_MEMORY_POOL_H

#include "cuda/driver_types.h"

#include <stdbool.h>
#include <stdint.h>

#define DIVVY_POOLS_MAX 255 /* of one process; numbers 0..254 */

/*
 * Number of a pool, entered if new; -1: too many, or its device has no page entry. `page_device` is
 * used when the pool is new.
 */
int divvy_pool_number(CUmemoryPool pool, int page_device);

/* The pool that cuMemAllocAsync takes on a CUDA ordinal; -1 as above. */
int divvy_pool_current(CUdevice ordinal);

/* The current pool of some device was changed: it is asked for afresh. */
void divvy_pool_current_changed(void);

/*
 * Reserve for `bytes` from the pool in a stream, before the driver's call: 0, or -ENOMEM. After
 * success the pool stays locked against other threads' allocations until divvy_pool_end, which says
 * whether the driver's call succeeded.
 *
 * Whether the pool will serve a request from what it keeps, or grow, is the driver's secret: memory
 * may be pending in another stream, or in pieces. Nothing is reserved beyond the books only where
 * it must be served: when a block at least as large was freed in the same stream and cannot have
 * been given out since. Else the whole request is reserved, and what the pool did not grow by is
 * credited afterwards; where that does not fit, the pool is trimmed first.
 */
int divvy_pool_begin(int number, uint64_t stream, uint64_t bytes);
void divvy_pool_end(int number, uint64_t bytes, bool succeeded);

/* After a successful free of an allocation from the pool, in a stream (DIVVY_POOL_ANY_STREAM: a
 * synchronous free). */
#define DIVVY_POOL_ANY_STREAM 0
void divvy_pool_freed(int number, uint64_t stream, uint64_t bytes);

/* After cuMemPoolDestroy: what it kept is credited; what is still allocated when it is freed. */
void divvy_pool_destroyed(CUmemoryPool pool);

/*
 * After the primary context of a CUDA ordinal went, and everything allocated there with it: pools
 * of the device that hold nothing any more have no allocations either.
 */
void divvy_pool_device_reset(CUdevice ordinal);

/* Credit what the pools of a device gave back. `trim`: ask the driver to give back what is unused,
 * first. */
void divvy_pool_reconcile_device(unsigned page_device, bool trim);

/* All devices, if any pool keeps more than is allocated from it; one load otherwise. Called after
 * synchronisation. */
void divvy_pool_reconcile_idle(void);

void divvy_pool_fork_child(void);

#endif
