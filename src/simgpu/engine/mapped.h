/* Ranges of device memory outside the arenas: mapped physical handles and memory of other processes. Internal. */
#ifndef DIVVY_SIMGPU_MAPPED_H
#define DIVVY_SIMGPU_MAPPED_H

#include "simgpu/engine/memory.h"

#include <pthread.h>
#include <stddef.h>

typedef struct sim_phys {
    uint64_t handle;
    uint32_t device;
    uint64_t bytes;
    uint32_t references, mappings;
    int fd; /* own file: exportable or imported; -1: a block of the arena */
    uint64_t inode;
    bool imported; /* charged to somebody else */
    uint32_t block;
    uint64_t home; /* address in the arena */
} sim_phys_t;

typedef struct sim_mapped {
    divvy_simgpu_range_t range;
    sim_phys_t *phys; /* MAPPED */
    /* IPC */
    uint64_t key[4]; /* what was opened */
    uint32_t opened;
    uint64_t map_addr, map_bytes;
} sim_mapped_t;

/* Sorted by base; under mapped_lock. */
typedef struct sim_mapped_list {
    sim_mapped_t *entries;
    size_t count, capacity;
} sim_mapped_list_t;

extern pthread_rwlock_t sim_mapped_lock;
extern sim_mapped_list_t sim_mapped_list;

/* First entry that ends above addr. */
size_t sim_mapped_from(uint64_t addr);
int sim_mapped_insert(const sim_mapped_t *entry);
void sim_mapped_remove(size_t first, size_t count);
uint64_t sim_mapped_next_id(void);

#endif
