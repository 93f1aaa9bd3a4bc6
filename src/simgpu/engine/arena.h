/* Device memory of this process: one sparse memfd and one range of addresses per device. Internal to the engine. */
#ifndef DIVVY_SIMGPU_ARENA_H
#define DIVVY_SIMGPU_ARENA_H

#include "simgpu/engine/alloc.h"
#include "simgpu/engine/memory.h"

#include <pthread.h>
#include <stdbool.h>

typedef struct sim_arena {
    uint32_t ready; /* the fields below are set and stay */
    uint32_t device;
    uint64_t base, bytes;
    int fd;
    uint64_t inode;
    pthread_mutex_t mutex; /* alloc */
    sim_alloc_t alloc;
    uint64_t small_freed_bytes; /* freed since host pages were last given back */
    int64_t charged_bytes;      /* by divvy_simgpu_mem_charge */
} sim_arena_t;

/* The arena of a device of this machine, made at first use. -ENODEV, -ENOMEM. */
int sim_arena_get(int device, sim_arena_t **ret_arena);
/* The arena that contains addr, or NULL. */
sim_arena_t *sim_arena_around(uint64_t addr);
/* A block that divvy_simgpu_mem_lookup does not see; the bytes are not charged. */
int sim_arena_take_hidden(sim_arena_t *arena, uint64_t bytes, uint64_t align, uint32_t *ret_block,
                          uint64_t *ret_addr);
void sim_arena_give_hidden(sim_arena_t *arena, uint32_t block);

/* Whether fd still is the file with this inode: programs that close all descriptors must not make us touch theirs. */
bool sim_fd_is(int fd, uint64_t inode);
void sim_fd_close(int *fd, uint64_t inode);
/* Gives host pages of a shared mapping back: they read as zero. */
void sim_pages_drop(uint64_t addr, uint64_t bytes);

/* Ranges that are not in an arena (mapped.c). -EFAULT: none. */
int sim_mapped_lookup(uint64_t addr, divvy_simgpu_range_t *ret_range);
void sim_local_memory_destroy(void);
void sim_mapped_destroy(void);

#endif
