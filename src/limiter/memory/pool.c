/*
 * Pools. Lock order: a pool's lock, then (inside the account) the device's. Reconciling another
 * pool from within an allocation only tries its lock.
 */
#include "limiter/memory/pool.h"
#include "limiter/hook/lock.h"
#include "limiter/hook/real.h"
#include "limiter/memory/account.h"

#include <errno.h>
#include <string.h>

#define FREED_MAX 16 /* frees remembered; older ones are only not relied upon */

struct pool {
    divvy_lock_t lock;
    bool destroyed;
    int8_t device;       /* of the page */
    CUmemoryPool handle; /* NULL: free entry */
    uint64_t used;       /* allocated from it and not freed */
    uint64_t charged;    /* >= used */
    /* Blocks that were freed and are surely whole: for each allocation since, the largest of each
     * stream is struck. */
    struct freed_block {
        uint64_t stream;
        uint64_t bytes; /* 0: no entry */
    } freed[FREED_MAX];
    uint32_t next_freed;
};

static divvy_lock_t entry_lock;
static struct pool pools[DIVVY_POOLS_MAX];
static uint32_t slack_pools; /* hint: some pool has charged > used */
static CUmemoryPool current[DIVVY_CUDA_DEVICES];
static uint32_t current_epoch = 1;
static uint32_t current_seen[DIVVY_CUDA_DEVICES];

static bool lock_try(divvy_lock_t *lock) {
    uint32_t free_word = 0;

    return __atomic_compare_exchange_n(&lock->word, &free_word, 1, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

/* What the pool holds of the device; false: the driver cannot say. */
static bool reserved_bytes(const struct pool *pool, uint64_t *ret_bytes) {
    cuuint64_t bytes = 0;

    if (pool->destroyed ||
        divvy_real.cuMemPoolGetAttribute(pool->handle, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT,
                                         &bytes) != CUDA_SUCCESS)
        return false;
    *ret_bytes = bytes;
    return true;
}

static void slack_note(const struct pool *pool) {
    if (pool->charged > pool->used)
        __atomic_store_n(&slack_pools, 1, __ATOMIC_RELAXED);
}

/* Pool locked: credit what it has given back. */
static void reconcile(struct pool *pool) {
    uint64_t held = 0;

    if (pool->charged <= pool->used)
        return;
    if (!reserved_bytes(pool, &held) || held < pool->used)
        held = pool->used;
    if (held < pool->charged) {
        divvy_memory_credit(pool->device, pool->charged - held);
        pool->charged = held;
        memset(pool->freed, 0, sizeof pool->freed); /* some of them went */
    }
    slack_note(pool);
}

/* ---- blocks to be had again ---- */

static bool serves_again(const struct pool *pool, uint64_t stream, uint64_t bytes) {
    for (unsigned i = 0; i < FREED_MAX; i++)
        if (pool->freed[i].bytes >= bytes && pool->freed[i].bytes != 0 &&
            (pool->freed[i].stream == stream || pool->freed[i].stream == DIVVY_POOL_ANY_STREAM))
            return true;
    return false;
}

static void remember_freed(struct pool *pool, uint64_t stream, uint64_t bytes) {
    pool->freed[pool->next_freed++ % FREED_MAX] =
        (struct freed_block){.stream = stream, .bytes = bytes};
}

/* An allocation took some block, we cannot know which: none of the streams' largest is sure to be
 * whole any more. */
static void strike_largest(struct pool *pool) {
    uint32_t struck = 0;

    for (unsigned i = 0; i < FREED_MAX; i++) {
        bool largest = pool->freed[i].bytes != 0;

        for (unsigned k = 0; largest && k < FREED_MAX; k++)
            if (k != i && pool->freed[k].stream == pool->freed[i].stream &&
                (pool->freed[k].bytes > pool->freed[i].bytes ||
                 (pool->freed[k].bytes == pool->freed[i].bytes && k < i)))
                largest = false;
        struck |= largest ? 1u << i : 0;
    }
    for (unsigned i = 0; i < FREED_MAX; i++)
        if (struck & 1u << i)
            pool->freed[i].bytes = 0;
}

/* Pool locked: a destroyed pool with nothing allocated is forgotten. */
static void release_if_done(struct pool *pool) {
    if (pool->destroyed && pool->used == 0)
        pool->handle = NULL;
}

int divvy_pool_number(CUmemoryPool handle, int page_device) {
    int number = -1;

    if (!handle)
        return -1;
    for (int i = 0; i < DIVVY_POOLS_MAX; i++)
        if (__atomic_load_n(&pools[i].handle, __ATOMIC_ACQUIRE) == handle && !pools[i].destroyed)
            return i;
    if (page_device < 0)
        return -1;
    divvy_lock_take(&entry_lock);
    for (int i = DIVVY_POOLS_MAX - 1; i >= 0; i--) {
        if (pools[i].handle == handle && !pools[i].destroyed) {
            number = i;
            break;
        }
        if (!pools[i].handle)
            number = i;
    }
    if (number >= 0 && !pools[number].handle) {
        pools[number].destroyed = false;
        pools[number].device = (int8_t)page_device;
        pools[number].used = pools[number].charged = 0;
        __atomic_store_n(&pools[number].handle, handle, __ATOMIC_RELEASE);
    }
    divvy_lock_give(&entry_lock);
    return number;
}

int divvy_pool_current(CUdevice ordinal) {
    uint32_t epoch = __atomic_load_n(&current_epoch, __ATOMIC_ACQUIRE);
    CUmemoryPool pool = NULL;

    if ((unsigned)ordinal >= DIVVY_CUDA_DEVICES)
        return -1;
    if (__atomic_load_n(&current_seen[ordinal], __ATOMIC_ACQUIRE) == epoch) {
        pool = __atomic_load_n(&current[ordinal], __ATOMIC_RELAXED);
    } else {
        if (divvy_real.cuDeviceGetMemPool(&pool, ordinal) != CUDA_SUCCESS)
            return -1;
        __atomic_store_n(&current[ordinal], pool, __ATOMIC_RELAXED);
        __atomic_store_n(&current_seen[ordinal], epoch, __ATOMIC_RELEASE);
    }
    return divvy_pool_number(pool, divvy_process_page_device(ordinal));
}

void divvy_pool_current_changed(void) {
    __atomic_fetch_add(&current_epoch, 1, __ATOMIC_RELEASE);
}

/* Pool locked: bytes reserved for a request in *ret_growth; -ENOMEM. */
static int begin(struct pool *pool, uint64_t stream, uint64_t bytes, uint64_t *ret_growth) {
    if (__builtin_add_overflow(pool->used, bytes, &(uint64_t){0}))
        return -ENOMEM;
    reconcile(pool);
    if (pool->charged - pool->used >= bytes && serves_again(pool, stream, bytes)) {
        *ret_growth = 0;
        return 0;
    }
    *ret_growth = bytes;
    if (pool->charged == pool->used)
        return divvy_memory_reserve(pool->device, bytes);
    if (divvy_memory_reserve_at_once(pool->device, bytes) == 0)
        return 0;
    (void)DIVVY_MEMORY_DRIVER(divvy_real.cuMemPoolTrimTo(pool->handle, 0));
    reconcile(pool);
    return divvy_memory_reserve(pool->device, bytes);
}

int divvy_pool_begin(int number, uint64_t stream, uint64_t bytes) {
    struct pool *pool = &pools[number];
    uint64_t growth = 0;
    int status;

    divvy_lock_take(&pool->lock);
    status = begin(pool, stream, bytes, &growth);
    if (status < 0) {
        divvy_lock_give(&pool->lock);
        return status;
    }
    pool->charged += growth;
    pool->used += bytes;
    return 0;
}

void divvy_pool_end(int number, uint64_t bytes, bool succeeded) {
    struct pool *pool = &pools[number];

    if (succeeded)
        strike_largest(pool);
    else
        pool->used -= bytes;
    if (pool->charged > pool->used) {
        struct freed_block kept[FREED_MAX];

        /* What was reserved and the pool did not grow by. The blocks that it keeps are still there.
         */
        memcpy(kept, pool->freed, sizeof kept);
        reconcile(pool);
        memcpy(pool->freed, kept, sizeof kept);
    }
    divvy_lock_give(&pool->lock);
}

void divvy_pool_freed(int number, uint64_t stream, uint64_t bytes) {
    struct pool *pool = &pools[number];

    divvy_lock_take(&pool->lock);
    pool->used -= bytes <= pool->used ? bytes : pool->used;
    remember_freed(pool, stream, bytes);
    if (pool->destroyed)
        reconcile(pool);
    slack_note(pool);
    release_if_done(pool);
    divvy_lock_give(&pool->lock);
}

void divvy_pool_destroyed(CUmemoryPool handle) {
    int number = divvy_pool_number(handle, -1);
    struct pool *pool;

    if (number < 0)
        return;
    pool = &pools[number];
    divvy_lock_take(&pool->lock);
    pool->destroyed = true;
    reconcile(pool);
    release_if_done(pool);
    divvy_lock_give(&pool->lock);
    divvy_pool_current_changed();
}

static bool visit_pool(const struct divvy_record *record, void *argument) {
    return record->kind == DIVVY_RECORD_POINTER && record->pool == *(const unsigned *)argument;
}

void divvy_pool_device_reset(CUdevice ordinal) {
    int device = divvy_process_page_device(ordinal);

    for (unsigned i = 0; device >= 0 && i < DIVVY_POOLS_MAX; i++) {
        struct pool *pool = &pools[i];
        unsigned mark = i + 1;
        uint64_t held = 1;

        if (!__atomic_load_n(&pool->handle, __ATOMIC_ACQUIRE) || pool->device != device)
            continue;
        divvy_lock_take(&pool->lock);
        if (reserved_bytes(pool, &held) && held == 0) {
            divvy_table_sweep(visit_pool, &mark);
            divvy_memory_credit(device, pool->charged);
            pool->used = pool->charged = 0;
        }
        divvy_lock_give(&pool->lock);
    }
}

void divvy_pool_reconcile_device(unsigned page_device, bool trim) {
    for (int i = 0; i < DIVVY_POOLS_MAX; i++) {
        struct pool *pool = &pools[i];

        if (!__atomic_load_n(&pool->handle, __ATOMIC_ACQUIRE) || pool->device != (int)page_device ||
            !lock_try(&pool->lock))
            continue;
        if (pool->handle && pool->charged > pool->used) {
            if (trim && !pool->destroyed)
                (void)DIVVY_MEMORY_DRIVER(divvy_real.cuMemPoolTrimTo(pool->handle, 0));
            reconcile(pool);
        }
        divvy_lock_give(&pool->lock);
    }
}

void divvy_pool_reconcile_idle(void) {
    if (__atomic_load_n(&slack_pools, __ATOMIC_RELAXED) == 0)
        return;
    __atomic_store_n(&slack_pools, 0, __ATOMIC_RELAXED);
    for (unsigned device = 0; device < DIVVY_PAGE_DEVICES; device++)
        divvy_pool_reconcile_device(device, false);
}

void divvy_pool_fork_child(void) {
    memset(pools, 0, sizeof pools);
    divvy_lock_reset(&entry_lock);
    slack_pools = 0;
    divvy_pool_current_changed();
}
