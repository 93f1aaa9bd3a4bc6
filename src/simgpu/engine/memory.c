/* Linear device memory, lookups, pool charges. */
#include "simgpu/engine/memory.h"

#include "simgpu/engine/arena.h"
#include "simgpu/engine/machine.h"
#include "simgpu/engine/self.h"

#include "core/sys.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define GRAIN     ((uint64_t)DIVVY_SIMGPU_GRAIN_BYTES)
#define ALIGN_MAX (UINT64_C(1) << 30) /* of the arena's base */
/* Grains are numbered with 32 bits. */
#define ARENA_MAX (((UINT64_C(1) << 32) - 1) / 4096 * 4096 * GRAIN)
/* From this size on a freed range's host pages go back at once. */
#define DROP_BYTES (UINT64_C(1) << 20)
/* Smaller ones go back when so much of them was freed. */
#define SMALL_FREED_BYTES (UINT64_C(64) << 20)
#define SMALL_DROP_BYTES  (UINT64_C(64) << 10)

static sim_arena_t arenas[DIVVY_SIMGPU_UNITS_MAX];
/* Those that are made, in the order of their making: a lookup asks no others. */
static sim_arena_t *made[DIVVY_SIMGPU_UNITS_MAX];
static uint32_t made_count;
static pthread_mutex_t arenas_mutex = PTHREAD_MUTEX_INITIALIZER;

/* --- arenas ------------------------------------------------------------------------------------------------ */

bool sim_fd_is(int fd, uint64_t inode) {
    struct stat st;

    return fd >= 0 && !divvy_core_sys_fstat(fd, &st) && st.st_ino == inode;
}

void sim_fd_close(int *fd, uint64_t inode) {
    if (sim_fd_is(*fd, inode))
        close(*fd);
    *fd = -1;
}

void sim_pages_drop(uint64_t addr, uint64_t bytes) {
    uint64_t first = (addr + 4095) & ~UINT64_C(4095), end = (addr + bytes) & ~UINT64_C(4095);

    if (first < end)
        (void)madvise((void *)(uintptr_t)first, end - first, MADV_REMOVE);
}

/* Addresses for twice the capacity: room for fragments, since addresses cost nothing. */
static int arena_map(sim_arena_t *arena, uint64_t capacity_bytes) {
    uint64_t bytes = 2 * capacity_bytes + ALIGN_MAX;
    struct stat st;
    char *p;

    if (bytes > ARENA_MAX)
        bytes = ARENA_MAX;
    bytes &= ~(uint64_t)(DIVVY_SIMGPU_PAGE_BYTES - 1);
    arena->fd = divvy_core_sys_memfd_create("divvy-sim-memory");
    if (arena->fd < 0)
        return arena->fd;
    if (ftruncate(arena->fd, (off_t)bytes) || divvy_core_sys_fstat(arena->fd, &st) < 0)
        return -ENOMEM;
    p = mmap(NULL, bytes + ALIGN_MAX, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
             0);
    if (p == MAP_FAILED)
        return -ENOMEM;
    uint64_t base = ((uint64_t)(uintptr_t)p + ALIGN_MAX - 1) & ~(ALIGN_MAX - 1);
    uint64_t lead = base - (uint64_t)(uintptr_t)p;

    if (lead)
        (void)munmap(p, lead);
    if (ALIGN_MAX - lead)
        (void)munmap((void *)(uintptr_t)(base + bytes), ALIGN_MAX - lead);
    if (mmap((void *)(uintptr_t)base, bytes, PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_NORESERVE | MAP_FIXED, arena->fd, 0) == MAP_FAILED) {
        (void)munmap((void *)(uintptr_t)base, bytes);
        return -ENOMEM;
    }
    (void)madvise((void *)(uintptr_t)base, bytes, MADV_DONTFORK);
    (void)madvise((void *)(uintptr_t)base, bytes, MADV_DONTDUMP);
    arena->base = base;
    arena->bytes = bytes;
    arena->inode = st.st_ino;
    return 0;
}

static int arena_make(sim_arena_t *arena, uint32_t device) {
    sim_file_t *f = sim_self_file();
    sim_usage_t *u = &f->procs[sim_self_slot()].use[device];
    int r;

    arena->device = device;
    r = arena_map(arena, f->header.devices[device].facts.memory_bytes);
    if (!r && (r = sim_alloc_init(&arena->alloc, (uint32_t)(arena->bytes / GRAIN))) < 0)
        (void)munmap((void *)(uintptr_t)arena->base, arena->bytes);
    if (r < 0) {
        divvy_core_sys_close(&arena->fd);
        return -ENOMEM;
    }
    pthread_mutex_init(&arena->mutex, NULL);
    arena->small_freed_bytes = 0;
    arena->charged_bytes = 0;
    sim_store(&u->arena_fd, arena->fd);
    sim_store(&u->arena_inode, arena->inode);
    sim_store(&arena->ready, 1);
    __atomic_store_n(&made[made_count], arena, __ATOMIC_RELEASE);
    sim_store(&made_count, made_count + 1);
    return 0;
}

int sim_arena_get(int device, sim_arena_t **ret_arena) {
    sim_file_t *f = sim_self_file();
    int r = 0;

    if (!f)
        return -ENOTCONN;
    if ((r = sim_self_unit(device)) < 0)
        return r;
    sim_arena_t *arena = &arenas[device];

    if (!sim_load(&arena->ready)) {
        pthread_mutex_lock(&arenas_mutex);
        if (!arena->ready)
            r = arena_make(arena, (uint32_t)device);
        pthread_mutex_unlock(&arenas_mutex);
    }
    if (!r)
        *ret_arena = arena;
    return r;
}

sim_arena_t *sim_arena_around(uint64_t addr) {
    uint32_t count = sim_load(&made_count);

    for (uint32_t i = 0; i < count; i++)
        if (sim_load(&made[i]->ready) && addr - made[i]->base < made[i]->bytes)
            return made[i];
    return NULL;
}

void sim_local_memory_destroy(void) {
    sim_mapped_destroy();
    pthread_mutex_lock(&arenas_mutex);
    for (uint32_t count = made_count; count > 0; count--) {
        sim_arena_t *arena = made[count - 1];

        sim_store(&made_count, count - 1);
        sim_store(&arena->ready, 0);
        (void)munmap((void *)(uintptr_t)arena->base, arena->bytes);
        sim_fd_close(&arena->fd, arena->inode);
        sim_alloc_done(&arena->alloc);
        pthread_mutex_destroy(&arena->mutex);
    }
    pthread_mutex_unlock(&arenas_mutex);
}

/* --- the pool ---------------------------------------------------------------------------------------------- */

static int charge(uint32_t device, int64_t bytes) {
    sim_file_t *f = sim_self_file();

    return f ? sim_pool_charge(f, sim_self_tag(), sim_self_slot(), device, bytes) : -ENOTCONN;
}

int divvy_simgpu_mem_charge(int device, int64_t bytes) {
    sim_arena_t *arena;
    int r = sim_arena_get(device, &arena);

    if (r < 0)
        return r;
    if (bytes > 0 && divvy_simgpu_device_lost(device))
        return -ENODEV;
    pthread_mutex_lock(&arena->mutex);
    if (bytes == INT64_MIN || arena->charged_bytes + bytes < 0)
        r = -EINVAL;
    else if (!(r = charge(arena->device, bytes)))
        arena->charged_bytes += bytes;
    pthread_mutex_unlock(&arena->mutex);
    return r;
}

int divvy_simgpu_mem_info(int device, uint64_t *ret_free_bytes, uint64_t *ret_total_bytes) {
    sim_file_t *f = sim_self_file();

    if (!f)
        return -ENOTCONN;
    if (device < 0 || !sim_unit_exists(f, (uint32_t)device) || divvy_simgpu_device_lost(device))
        return -ENODEV;
    uint64_t total = f->header.devices[device].facts.memory_bytes;
    uint64_t used = sim_device_used(f, (uint32_t)device);

    *ret_free_bytes = used < total ? total - used : 0;
    *ret_total_bytes = total;
    return 0;
}

/* --- linear memory ------------------------------------------------------------------------------------------ */

static uint64_t round_up(uint64_t bytes) {
    return (bytes + GRAIN - 1) & ~(GRAIN - 1);
}

int divvy_simgpu_mem_alloc(int device, uint64_t bytes, uint64_t align, uint32_t tag,
                           uint64_t *ret_addr) {
    sim_arena_t *arena;
    uint32_t start = 0;
    int r = sim_arena_get(device, &arena);

    if (r < 0)
        return r;
    if (divvy_simgpu_device_lost(device))
        return -ENODEV;
    if (!bytes || align & (align - 1) || align > ALIGN_MAX)
        return -EINVAL;
    if (bytes > arena->bytes)
        return -ENOMEM;
    if ((r = charge(arena->device, (int64_t)round_up(bytes))) < 0)
        return r;
    pthread_mutex_lock(&arena->mutex);
    r = sim_alloc_take(&arena->alloc, (uint32_t)(round_up(bytes) / GRAIN),
                       align > GRAIN ? (uint32_t)(align / GRAIN) : 1, bytes, tag, &start);
    pthread_mutex_unlock(&arena->mutex);
    if (r < 0) {
        (void)charge(arena->device, -(int64_t)round_up(bytes));
        return r;
    }
    *ret_addr = arena->base + start * GRAIN;
    return 0;
}

static void drop_free(void *arg, uint32_t start, uint32_t grains) {
    const sim_arena_t *arena = arg;

    sim_pages_drop(arena->base + start * GRAIN, grains * GRAIN);
}

/* Host pages first, while nobody can get the range. */
static void block_give(sim_arena_t *arena, uint32_t block, uint64_t addr, uint64_t bytes) {
    if (bytes >= DROP_BYTES)
        sim_pages_drop(addr, bytes);
    pthread_mutex_lock(&arena->mutex);
    (void)sim_alloc_release(&arena->alloc, block);
    if (bytes < DROP_BYTES && (arena->small_freed_bytes += bytes) >= SMALL_FREED_BYTES) {
        arena->small_freed_bytes = 0;
        sim_alloc_each_free(&arena->alloc, (uint32_t)(SMALL_DROP_BYTES / GRAIN), drop_free, arena);
    }
    pthread_mutex_unlock(&arena->mutex);
}

int divvy_simgpu_mem_free(uint64_t addr) {
    if (!divvy_simgpu_attached())
        return -ENOTCONN;
    sim_arena_t *arena = sim_arena_around(addr);
    uint64_t bytes = 0;

    if (!arena || (addr - arena->base) % GRAIN)
        return -EINVAL;
    pthread_mutex_lock(&arena->mutex);
    uint32_t block = sim_alloc_block(&arena->alloc, (uint32_t)((addr - arena->base) / GRAIN));

    if (block) {
        bytes = round_up(arena->alloc.blocks[block].bytes);
        sim_alloc_hide(&arena->alloc, block);
    }
    pthread_mutex_unlock(&arena->mutex);
    if (!block)
        return -EINVAL;
    block_give(arena, block, addr, bytes);
    return charge(arena->device, -(int64_t)bytes);
}

int sim_arena_take_hidden(sim_arena_t *arena, uint64_t bytes, uint64_t align, uint32_t *ret_block,
                          uint64_t *ret_addr) {
    uint32_t start;

    if (bytes > arena->bytes)
        return -ENOMEM;
    pthread_mutex_lock(&arena->mutex);
    int r = sim_alloc_take(&arena->alloc, (uint32_t)(round_up(bytes) / GRAIN),
                           (uint32_t)(align / GRAIN), bytes, 0, &start);

    if (!r) {
        *ret_block = sim_alloc_block(&arena->alloc, start);
        *ret_addr = arena->base + start * GRAIN;
        sim_alloc_hide(&arena->alloc, *ret_block);
    }
    pthread_mutex_unlock(&arena->mutex);
    return r;
}

void sim_arena_give_hidden(sim_arena_t *arena, uint32_t block) {
    const sim_block_t *b = &arena->alloc.blocks[block];

    block_give(arena, block, arena->base + b->start * GRAIN, b->grains * GRAIN);
}

/* --- lookup ------------------------------------------------------------------------------------------------ */

int divvy_simgpu_mem_lookup(uint64_t addr, divvy_simgpu_range_t *ret_range) {
    sim_block_t block;

    if (!divvy_simgpu_attached())
        return -ENOTCONN;
    sim_arena_t *arena = sim_arena_around(addr);

    if (!arena)
        return sim_mapped_lookup(addr, ret_range);
    uint64_t offset = addr - arena->base;

    if (!sim_alloc_find(&arena->alloc, (uint32_t)(offset / GRAIN), &block) ||
        offset - block.start * GRAIN >= block.bytes)
        return -EFAULT;
    *ret_range = (divvy_simgpu_range_t){
        .base = arena->base + block.start * GRAIN,
        .bytes = block.bytes,
        .device = (int32_t)arena->device,
        .kind = DIVVY_SIMGPU_RANGE_LINEAR,
        .tag = block.tag,
        .readable = true,
        .writable = true,
        .id = block.id << 7 | arena->device,
    };
    return 0;
}

bool divvy_simgpu_mem_valid(uint64_t addr, uint64_t bytes, bool write) {
    divvy_simgpu_range_t range;

    while (bytes) {
        if (divvy_simgpu_mem_lookup(addr, &range) < 0 || !(write ? range.writable : range.readable))
            return false;
        uint64_t inside = range.base + range.bytes - addr;

        if (inside >= bytes)
            return true;
        if (range.kind != DIVVY_SIMGPU_RANGE_MAPPED)
            return false;
        addr += inside;
        bytes -= inside;
    }
    return true;
}

void divvy_simgpu_mem_zero(uint64_t addr, uint64_t bytes) {
    uint64_t first = (addr + 4095) & ~UINT64_C(4095), end = (addr + bytes) & ~UINT64_C(4095);

    if (bytes < DROP_BYTES || madvise((void *)(uintptr_t)first, end - first, MADV_REMOVE)) {
        memset((void *)(uintptr_t)addr, 0, bytes);
        return;
    }
    memset((void *)(uintptr_t)addr, 0, first - addr);
    memset((void *)(uintptr_t)end, 0, addr + bytes - end);
}
