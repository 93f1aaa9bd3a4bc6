/* The table of ranges outside the arenas, and what is opened there from other processes. */
#include "simgpu/engine/mapped.h"

#include "simgpu/engine/arena.h"
#include "simgpu/engine/machine.h"
#include "simgpu/engine/self.h"
#include "simgpu/engine/vmm.h"

#include "core/hash.h"
#include "core/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

pthread_rwlock_t sim_mapped_lock = PTHREAD_RWLOCK_INITIALIZER;
sim_mapped_list_t sim_mapped_list;

/* --- the table --------------------------------------------------------------------------------------------- */

size_t sim_mapped_from(uint64_t addr) {
    size_t low = 0, high = sim_mapped_list.count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const divvy_simgpu_range_t *range = &sim_mapped_list.entries[middle].range;

        if (range->base + range->bytes <= addr)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int sim_mapped_insert(const sim_mapped_t *entry) {
    sim_mapped_list_t *l = &sim_mapped_list;
    size_t at = sim_mapped_from(entry->range.base);

    if (l->count == l->capacity) {
        size_t capacity = l->capacity ? l->capacity * 2 : 64;
        sim_mapped_t *grown = realloc(l->entries, capacity * sizeof *grown);

        if (!grown)
            return -ENOMEM;
        l->entries = grown;
        l->capacity = capacity;
    }
    memmove(&l->entries[at + 1], &l->entries[at], (l->count - at) * sizeof *l->entries);
    l->entries[at] = *entry;
    l->count++;
    return 0;
}

void sim_mapped_remove(size_t first, size_t count) {
    sim_mapped_list_t *l = &sim_mapped_list;

    memmove(&l->entries[first], &l->entries[first + count],
            (l->count - first - count) * sizeof *l->entries);
    l->count -= count;
}

uint64_t sim_mapped_next_id(void) {
    static uint64_t last;

    /* bit 63 keeps them apart from the arenas' */
    return UINT64_C(1) << 63 | __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
}

int sim_mapped_lookup(uint64_t addr, divvy_simgpu_range_t *ret_range) {
    int r = -EFAULT;

    pthread_rwlock_rdlock(&sim_mapped_lock);
    size_t at = sim_mapped_from(addr);

    if (at < sim_mapped_list.count && addr >= sim_mapped_list.entries[at].range.base) {
        *ret_range = sim_mapped_list.entries[at].range;
        r = 0;
    }
    pthread_rwlock_unlock(&sim_mapped_lock);
    return r;
}

void sim_mapped_destroy(void) {
    pthread_rwlock_wrlock(&sim_mapped_lock);
    for (size_t i = 0; i < sim_mapped_list.count; i++)
        if (sim_mapped_list.entries[i].range.kind == DIVVY_SIMGPU_RANGE_IPC)
            (void)munmap((void *)(uintptr_t)sim_mapped_list.entries[i].map_addr,
                         sim_mapped_list.entries[i].map_bytes);
    free(sim_mapped_list.entries);
    sim_mapped_list = (sim_mapped_list_t){0};
    sim_vmm_destroy();
    pthread_rwlock_unlock(&sim_mapped_lock);
}

/* --- memory of other processes ------------------------------------------------------------------------------ */

typedef struct token {
    uint32_t magic, device;
    uint32_t slot;
    int32_t pid;
    uint64_t generation;
    uint64_t offset, bytes; /* in the owner's arena */
    uint64_t id;            /* of the allocation */
    uint64_t proof;         /* that the owner's process made it */
    uint64_t reserved;
} token_t;
_Static_assert(sizeof(token_t) == sizeof(divvy_simgpu_ipc_t), "an IPC handle is 64 bytes");
#define TOKEN_MAGIC UINT32_C(0x43504944) /* "DIPC" */

static uint64_t token_proof(const sim_proc_t *p, const token_t *t) {
    uint64_t what = divvy_core_hash_pair(divvy_core_hash_pair(t->offset, t->bytes), t->id);

    return divvy_core_hash_pair(divvy_core_hash_pair(p->nonce, t->device), what);
}

int divvy_simgpu_ipc_export(uint64_t addr, divvy_simgpu_ipc_t *ret_ipc) {
    sim_file_t *f = sim_self_file();
    divvy_simgpu_range_t range;

    if (!f)
        return -ENOTCONN;
    if (divvy_simgpu_mem_lookup(addr, &range) < 0 || range.kind != DIVVY_SIMGPU_RANGE_LINEAR)
        return -EINVAL;
    const sim_arena_t *arena = sim_arena_around(addr);
    const sim_proc_t *p = &f->procs[sim_self_slot()];
    token_t t = {.magic = TOKEN_MAGIC,
                 .device = arena->device,
                 .slot = sim_self_slot(),
                 .pid = p->pid,
                 .generation = sim_self_generation(),
                 .offset = range.base - arena->base,
                 .bytes = range.bytes,
                 .id = range.id};

    t.proof = token_proof(p, &t);
    sim_store(&f->procs[sim_self_slot()].sharing, 1);
    memcpy(ret_ipc, &t, sizeof t);
    return 0;
}

static int token_check(sim_file_t *f, const token_t *t) {
    if (t->magic != TOKEN_MAGIC || t->slot >= SIM_PROCS || t->device >= SIM_UNITS || !t->bytes ||
        sim_self_unit((int)t->device) < 0)
        return -EINVAL;
    if (sim_load(&f->header.proc_words[t->slot]) != sim_slot_word(t->generation, SIM_SLOT_LIVE))
        return -EINVAL;
    const sim_proc_t *p = &f->procs[t->slot];

    if (p->pid != t->pid || !sim_proc_uses(p, t->device) || t->proof != token_proof(p, t))
        return -EINVAL;
    return t->slot == sim_self_slot() ? -EALREADY : 0;
}

static int open_owner(sim_file_t *f, const token_t *t) {
    const sim_usage_t *u = &f->procs[t->slot].use[t->device];
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/fd/%d", t->pid, sim_load(&u->arena_fd));
    int fd = divvy_core_sys_open(path, O_RDWR, 0);

    if (fd < 0)
        return fd == -ENOENT || fd == -ESRCH ? -EINVAL : -EACCES;
    if (!sim_fd_is(fd, sim_load(&u->arena_inode)) ||
        !sim_process_alive(t->pid, f->procs[t->slot].start_ticks)) {
        divvy_core_sys_close(&fd);
        return -EINVAL;
    }
    return fd;
}

static int map_token(sim_file_t *f, const token_t *t, sim_mapped_t *entry) {
    uint64_t first = t->offset & ~UINT64_C(4095),
             end = (t->offset + t->bytes + 4095) & ~UINT64_C(4095);
    int fd = open_owner(f, t);

    if (fd < 0)
        return fd;
    void *p = end > first ? mmap(NULL, end - first, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_NORESERVE, fd, (off_t)first)
                          : MAP_FAILED;

    divvy_core_sys_close(&fd);
    if (p == MAP_FAILED)
        return -ENOMEM;
    (void)madvise(p, end - first, MADV_DONTFORK);
    entry->map_addr = (uint64_t)(uintptr_t)p;
    entry->map_bytes = end - first;
    entry->range.base = entry->map_addr + (t->offset - first);
    return 0;
}

static int import_locked(sim_file_t *f, const token_t *t, uint64_t *ret_addr) {
    sim_mapped_t entry = {
        .range = {.bytes = t->bytes,
                  .device = (int32_t)t->device,
                  .kind = DIVVY_SIMGPU_RANGE_IPC,
                  .readable = true,
                  .writable = true},
        .key = {(uint64_t)t->slot << 32 | t->device, t->generation, t->offset, t->id},
        .opened = 1,
    };
    int r;

    for (size_t i = 0; i < sim_mapped_list.count; i++) {
        sim_mapped_t *open = &sim_mapped_list.entries[i];

        if (open->range.kind == DIVVY_SIMGPU_RANGE_IPC &&
            !memcmp(open->key, entry.key, sizeof entry.key)) {
            open->opened++;
            *ret_addr = open->range.base;
            return 0;
        }
    }
    if ((r = map_token(f, t, &entry)) < 0)
        return r;
    entry.range.id = sim_mapped_next_id();
    if ((r = sim_mapped_insert(&entry)) < 0) {
        (void)munmap((void *)(uintptr_t)entry.map_addr, entry.map_bytes);
        return r;
    }
    *ret_addr = entry.range.base;
    return 0;
}

int divvy_simgpu_ipc_import(const divvy_simgpu_ipc_t *ipc, uint64_t *ret_addr) {
    sim_file_t *f = sim_self_file();
    token_t t;
    int r;

    if (!f)
        return -ENOTCONN;
    memcpy(&t, ipc, sizeof t);
    if ((r = token_check(f, &t)) < 0)
        return r;
    sim_store(&f->procs[sim_self_slot()].sharing, 1);
    pthread_rwlock_wrlock(&sim_mapped_lock);
    r = import_locked(f, &t, ret_addr);
    pthread_rwlock_unlock(&sim_mapped_lock);
    return r;
}

int divvy_simgpu_ipc_close(uint64_t addr) {
    int r = -EINVAL;

    if (!divvy_simgpu_attached())
        return -ENOTCONN;
    pthread_rwlock_wrlock(&sim_mapped_lock);
    size_t at = sim_mapped_from(addr);
    sim_mapped_t *entry = at < sim_mapped_list.count ? &sim_mapped_list.entries[at] : NULL;

    if (entry && entry->range.base == addr && entry->range.kind == DIVVY_SIMGPU_RANGE_IPC) {
        if (!--entry->opened) {
            (void)munmap((void *)(uintptr_t)entry->map_addr, entry->map_bytes);
            sim_mapped_remove(at, 1);
        }
        r = 0;
    }
    pthread_rwlock_unlock(&sim_mapped_lock);
    return r;
}
