/* The inside of memory pools: segments, blocks, and when they go back; see pool.h. */
#include "simgpu/driver/pool.h"
#include "simgpu/driver/handle.h"
#include "simgpu/driver/op.h"

#include <stdlib.h>

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static divvy_drv_pool_t *pools;
static _Atomic uint64_t segments_alive;

/* ---- bins and queues (under the pool's lock) ------------------------------------------------- */

static unsigned bin_of(uint64_t bytes) {
    unsigned bin = 63u - (unsigned)__builtin_clzll(bytes | 1);
    return bin < DRV_POOL_BINS ? bin : DRV_POOL_BINS - 1;
}

static void unlink_block(divvy_drv_block_t *block) {
    divvy_drv_pool_t *pool = block->segment->pool;
    if (block->state == DRV_BLOCK_USED)
        return;
    if (block->next)
        block->next->previous = block->previous;
    else if (block->state == DRV_BLOCK_PENDING)
        pool->pending_last = block->previous;
    if (block->previous)
        block->previous->next = block->next;
    else if (block->state == DRV_BLOCK_PENDING)
        pool->pending_first = block->next;
    else
        pool->bins[bin_of(block->bytes)] = block->next;
    block->previous = block->next = NULL;
    block->state = DRV_BLOCK_USED;
}

static void link_free(divvy_drv_block_t *block) {
    divvy_drv_pool_t *pool = block->segment->pool;
    divvy_drv_block_t **bin = pool->bins + bin_of(block->bytes);
    block->state = DRV_BLOCK_FREE;
    block->previous = NULL;
    block->next = *bin;
    if (*bin)
        (*bin)->previous = block;
    *bin = block;
}

static void link_pending(divvy_drv_block_t *block, uint64_t stream,
                         divvy_simgpu_position_t position) {
    divvy_drv_pool_t *pool = block->segment->pool;
    block->state = DRV_BLOCK_PENDING;
    block->stream = stream;
    block->position = position;
    block->next = NULL;
    block->previous = pool->pending_last;
    if (pool->pending_last)
        pool->pending_last->next = block;
    else
        pool->pending_first = block;
    pool->pending_last = block;
}

/* The block after BLOCK becomes part of it; both are out of all lists. */
static void absorb(divvy_drv_block_t *block) {
    divvy_drv_block_t *gone = block->after;
    block->bytes += gone->bytes;
    block->after = gone->after;
    if (block->after)
        block->after->before = block;
    free(gone);
}

static void become_free(divvy_drv_block_t *block) {
    unlink_block(block);
    if (block->after && block->after->state == DRV_BLOCK_FREE) {
        unlink_block(block->after);
        absorb(block);
    }
    if (block->before && block->before->state == DRV_BLOCK_FREE) {
        block = block->before;
        unlink_block(block);
        absorb(block);
    }
    link_free(block);
}

/* Pending blocks whose stream got there become free. The queue is in order of freeing, so the
 * first that is not there yet ends the search. */
static void sweep(divvy_drv_pool_t *pool) {
    while (pool->pending_first && divvy_simgpu_query(pool->pending_first->position) != 0)
        become_free(pool->pending_first);
}

/* ---- segments -------------------------------------------------------------------------------- */

static divvy_drv_block_t *grow(divvy_drv_pool_t *pool, uint64_t bytes) {
    divvy_drv_segment_t *segment = calloc(1, sizeof(*segment));
    divvy_drv_block_t *block = calloc(1, sizeof(*block));
    uint64_t page = DIVVY_SIMGPU_PAGE_BYTES;
    if (segment && block) {
        segment->pool = pool;
        segment->bytes = pool->shared ? bytes : (bytes + page - 1) / page * page;
        uint64_t most = pool->props.maxSize;
        if ((!most || pool->reserved_bytes + segment->bytes <= most) &&
            !divvy_simgpu_mem_alloc(pool->device, segment->bytes, 0, DRV_MEM_POOL,
                                    &segment->address)) {
            block->segment = segment;
            block->address = segment->address;
            block->bytes = segment->bytes;
            block->state = DRV_BLOCK_USED;
            segment->first = block;
            segment->next = pool->segments;
            if (segment->next)
                segment->next->previous = segment;
            pool->segments = segment;
            pool->reserved_bytes += segment->bytes;
            if (pool->reserved_bytes > pool->reserved_high_bytes)
                pool->reserved_high_bytes = pool->reserved_bytes;
            atomic_fetch_add(&segments_alive, 1);
            return block;
        }
    }
    free(segment);
    free(block);
    return NULL;
}

static void release(divvy_drv_segment_t *segment) {
    divvy_drv_pool_t *pool = segment->pool;
    if (segment->next)
        segment->next->previous = segment->previous;
    if (segment->previous)
        segment->previous->next = segment->next;
    else
        pool->segments = segment->next;
    pool->reserved_bytes -= segment->bytes;
    divvy_simgpu_mem_free(segment->address);
    free(segment);
    atomic_fetch_sub(&segments_alive, 1);
}

static bool unused(const divvy_drv_segment_t *segment) {
    return segment->first->state == DRV_BLOCK_FREE && !segment->first->after;
}

static uint64_t trim(divvy_drv_pool_t *pool, uint64_t keep_bytes) {
    uint64_t before = pool->reserved_bytes;
    sweep(pool);
    /* A kernel that still runs must not find its memory unmapped, not even memory that it should
     * not use. */
    if (pool->reserved_bytes <= keep_bytes || !divvy_drv_action_none())
        return 0;
    for (divvy_drv_segment_t *segment = pool->segments, *next;
         segment && pool->reserved_bytes > keep_bytes; segment = next) {
        next = segment->next;
        if (!unused(segment))
            continue;
        unlink_block(segment->first);
        free(segment->first);
        release(segment);
    }
    return before - pool->reserved_bytes;
}

uint64_t divvy_drv_pool_trim(divvy_drv_pool_t *pool, uint64_t keep_bytes) {
    pthread_mutex_lock(&pool->lock);
    uint64_t given = trim(pool, keep_bytes);
    pthread_mutex_unlock(&pool->lock);
    return given;
}

/* ---- allocation ------------------------------------------------------------------------------ */

/* BLOCK (in use, of at least BYTES) is cut to size; the rest stays what the whole was. */
static void cut(divvy_drv_block_t *block, uint64_t bytes, divvy_drv_block_state_t was) {
    if (block->bytes == bytes || block->segment->pool->shared)
        return;
    divvy_drv_block_t *rest = calloc(1, sizeof(*rest));
    if (!rest)
        return; /* then the whole block serves */
    *rest = (divvy_drv_block_t){
        .segment = block->segment,
        .address = block->address + bytes,
        .bytes = block->bytes - bytes,
        .state = DRV_BLOCK_USED,
        .before = block,
        .after = block->after,
    };
    if (rest->after)
        rest->after->before = rest;
    block->after = rest;
    block->bytes = bytes;
    if (was == DRV_BLOCK_PENDING)
        link_pending(rest, block->stream, block->position);
    else
        link_free(rest);
}

static divvy_drv_block_t *take(divvy_drv_block_t *block, uint64_t bytes) {
    divvy_drv_block_state_t was = block->state;
    unlink_block(block);
    cut(block, bytes, was);
    return block;
}

/* Good enough: the smallest of the first few that fit in the own bin, or the first one of a
 * larger bin. A block of its own segment is not given away for something half its size. */
static divvy_drv_block_t *find_free(divvy_drv_pool_t *pool, uint64_t bytes) {
    for (unsigned bin = bin_of(bytes); bin < DRV_POOL_BINS; bin++) {
        divvy_drv_block_t *best = NULL;
        int looked = 0;
        for (divvy_drv_block_t *b = pool->bins[bin]; b && looked < 32; b = b->next, looked++)
            if (b->bytes >= bytes && (!best || b->bytes < best->bytes) &&
                !(pool->shared && b->bytes / 2 > bytes))
                best = b;
        if (best)
            return best;
    }
    return NULL;
}

static divvy_drv_block_t *find_pending(divvy_drv_pool_t *pool, uint64_t bytes, uint64_t stream) {
    int looked = 0;
    for (divvy_drv_block_t *b = pool->pending_last; b && looked < 256; b = b->previous, looked++)
        if (b->bytes >= bytes && (!stream || b->stream == stream) &&
            !(pool->shared && b->bytes / 2 > bytes))
            return b;
    return NULL;
}

/* Nothing else is left: a block that another stream will have freed by then. */
static divvy_drv_block_t *borrow(divvy_drv_pool_t *pool, divvy_drv_stream_t *stream,
                                 uint64_t bytes) {
    divvy_drv_block_t *block = find_pending(pool, bytes, 0);
    if (!block)
        return NULL;
    divvy_simgpu_item_t item = {.kind = DIVVY_SIMGPU_EVENT_WAIT,
                                .position = block->position,
                                .flags = DIVVY_SIMGPU_NONBLOCK};
    return divvy_simgpu_submit(stream->channel, &item, NULL) ? NULL : take(block, bytes);
}

static divvy_drv_block_t *obtain(divvy_drv_pool_t *pool, divvy_drv_stream_t *stream,
                                 uint64_t bytes) {
    divvy_drv_block_t *block = find_pending(pool, bytes, stream->id);
    if (block)
        return take(block, bytes);
    sweep(pool);
    block = find_free(pool, bytes);
    if (block)
        return take(block, bytes);
    block = grow(pool, bytes);
    if (!block) {
        trim(pool, 0);
        pthread_mutex_unlock(&pool->lock);
        divvy_drv_pool_reclaim(pool->device);
        pthread_mutex_lock(&pool->lock);
        block = grow(pool, bytes);
    }
    if (block) {
        cut(block, bytes, DRV_BLOCK_FREE);
        return block;
    }
    return borrow(pool, stream, bytes);
}

CUresult divvy_drv_pool_alloc(divvy_drv_pool_t *pool, divvy_drv_stream_t *stream, uint64_t bytes,
                              CUdeviceptr *ret_address) {
    uint64_t grain = DIVVY_SIMGPU_GRAIN_BYTES, rounded;
    if (__builtin_add_overflow(bytes, grain - 1, &rounded))
        return CUDA_ERROR_OUT_OF_MEMORY;
    rounded -= rounded % grain;
    pthread_mutex_lock(&pool->lock);
    divvy_drv_block_t *block = obtain(pool, stream, rounded);
    if (block) {
        pool->live++;
        pool->used_bytes += block->bytes;
        if (pool->used_bytes > pool->used_high_bytes)
            pool->used_high_bytes = pool->used_bytes;
    }
    pthread_mutex_unlock(&pool->lock);
    if (!block)
        return CUDA_ERROR_OUT_OF_MEMORY;
    divvy_drv_mem_t mem = {.address = block->address,
                           .bytes = bytes,
                           .kind = DRV_MEM_POOL,
                           .device = pool->device,
                           .owner = pool,
                           .block = block};
    if (divvy_drv_mem_enter(&mem)) {
        divvy_drv_pool_return(&mem, 0, (divvy_simgpu_position_t){0});
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *ret_address = mem.address;
    return CUDA_SUCCESS;
}

/* ---- freeing --------------------------------------------------------------------------------- */

static void pool_free(divvy_drv_pool_t *pool);

void divvy_drv_pool_return(const divvy_drv_mem_t *mem, uint64_t stream_id,
                           divvy_simgpu_position_t position) {
    divvy_drv_pool_t *pool = mem->owner;
    divvy_drv_block_t *block = mem->block;
    pthread_mutex_lock(&pool->lock);
    pool->live--;
    pool->used_bytes -= block->bytes;
    link_pending(block, stream_id, position);
    bool last = pool->destroyed && !pool->live;
    pthread_mutex_unlock(&pool->lock);
    if (last)
        pool_free(pool);
}

CUresult divvy_drv_pool_free(CUdeviceptr address) {
    divvy_drv_mem_t mem;
    if (!divvy_drv_mem_take(address, DRV_MEM_POOL, &mem))
        return CUDA_ERROR_INVALID_VALUE;
    divvy_drv_pool_return(&mem, 0, (divvy_simgpu_position_t){0});
    return CUDA_SUCCESS;
}

/* ---- all pools ------------------------------------------------------------------------------- */

CUresult divvy_drv_pool_new(divvy_drv_device_t *device, int ordinal, const CUmemPoolProps *props,
                            divvy_drv_pool_t **ret_pool) {
    divvy_drv_pool_t *pool = calloc(1, sizeof(*pool));
    if (!pool)
        return CUDA_ERROR_OUT_OF_MEMORY;
    pool->props = *props;
    pool->device = device->engine;
    pool->ordinal = ordinal;
    pool->shared = props->handleTypes != CU_MEM_HANDLE_TYPE_NONE;
    for (size_t i = 0; i < sizeof(pool->reuse) / sizeof(pool->reuse[0]); i++)
        pool->reuse[i] = 1;
    atomic_init(&pool->peers, (uint32_t)1 << ordinal);
    pthread_mutex_init(&pool->lock, NULL);
    pool->handle = divvy_drv_handle_new(DRV_HANDLE_POOL, pool);
    if (!pool->handle) {
        free(pool);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    pthread_mutex_lock(&list_lock);
    pool->next = pools;
    pools = pool;
    pthread_mutex_unlock(&list_lock);
    *ret_pool = pool;
    return CUDA_SUCCESS;
}

/* No block is in use. Pending ones are waited for, so that nothing runs on memory that is gone. */
static void pool_free(divvy_drv_pool_t *pool) {
    pthread_mutex_lock(&list_lock);
    divvy_drv_pool_t **link = &pools;
    while (*link && *link != pool)
        link = &(*link)->next;
    if (*link)
        *link = pool->next;
    pthread_mutex_unlock(&list_lock);
    while (pool->pending_first) {
        divvy_simgpu_wait(pool->pending_first->position);
        become_free(pool->pending_first);
    }
    if (pool->segments)
        divvy_drv_action_barrier();
    while (pool->segments) {
        free(pool->segments->first); /* release moves on. NOLINT(clang-analyzer-unix.Malloc) */
        release(pool->segments);
    }
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

void divvy_drv_pool_destroy(divvy_drv_pool_t *pool) {
    divvy_drv_handle_end(pool->handle, DRV_HANDLE_POOL);
    pthread_mutex_lock(&pool->lock);
    pool->destroyed = true;
    bool last = !pool->live;
    pthread_mutex_unlock(&pool->lock);
    if (last)
        pool_free(pool);
}

void divvy_drv_pool_settle(int device) {
    if (!atomic_load_explicit(&segments_alive, memory_order_relaxed))
        return;
    pthread_mutex_lock(&list_lock);
    for (divvy_drv_pool_t *pool = pools; pool; pool = pool->next)
        if (pool->device == device)
            divvy_drv_pool_trim(pool, pool->threshold_bytes);
    pthread_mutex_unlock(&list_lock);
}

bool divvy_drv_pool_reclaim(int device) {
    uint64_t given = 0;
    if (!atomic_load_explicit(&segments_alive, memory_order_relaxed))
        return false;
    pthread_mutex_lock(&list_lock);
    for (divvy_drv_pool_t *pool = pools; pool; pool = pool->next)
        if (pool->device == device)
            given += divvy_drv_pool_trim(pool, 0);
    pthread_mutex_unlock(&list_lock);
    return given != 0;
}

/* One at a time: freeing a block takes the lock of the index. */
static uint64_t some_block(int device) {
    uint64_t address = 0;
    pthread_mutex_lock(&list_lock);
    for (divvy_drv_pool_t *pool = pools; pool && !address; pool = pool->next) {
        if (pool->device != device)
            continue;
        pthread_mutex_lock(&pool->lock);
        for (divvy_drv_segment_t *s = pool->segments; s && !address; s = s->next)
            for (divvy_drv_block_t *b = s->first; b && !address; b = b->after)
                if (b->state == DRV_BLOCK_USED)
                    address = b->address;
        pthread_mutex_unlock(&pool->lock);
    }
    pthread_mutex_unlock(&list_lock);
    return address;
}

void divvy_drv_pool_device_gone(int device) {
    uint64_t address;
    if (!atomic_load_explicit(&segments_alive, memory_order_relaxed))
        return;
    while ((address = some_block(device)) && divvy_drv_pool_free(address) == CUDA_SUCCESS) {
    }
    divvy_drv_pool_reclaim(device);
}

bool divvy_drv_pool_reaches(const divvy_drv_mem_t *mem, int ordinal) {
    const divvy_drv_pool_t *pool = mem->owner;
    return mem->kind == DRV_MEM_POOL && pool && ordinal >= 0 &&
           atomic_load_explicit(&pool->peers, memory_order_relaxed) >> ordinal & 1;
}
