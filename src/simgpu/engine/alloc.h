/* Allocator of address ranges in units ("grains"); it never touches the memory it hands out. Internal to the engine.
 *
 * Two-level segregated fit: allocation and release take constant time whatever is live. Beside it, a tree of bitmaps
 * finds the block that contains a grain. One writer at a time (the caller locks); finding is safe beside a writer. */
#ifndef DIVVY_SIMGPU_ALLOC_H
#define DIVVY_SIMGPU_ALLOC_H

#include <stdbool.h>
#include <stdint.h>

enum { SIM_ALLOC_LEVELS = 6, SIM_ALLOC_FIRST = 32, SIM_ALLOC_SECOND = 16 };

typedef struct sim_block {
    uint32_t start, grains;
    uint32_t before, after;            /* neighbours in the address space; 0: none */
    uint32_t list_previous, list_next; /* free blocks of the same class, or unused blocks */
    uint32_t used;
    uint32_t tag;
    uint64_t bytes; /* the caller's, for used blocks */
    uint64_t id;
} sim_block_t;

typedef struct sim_alloc {
    uint32_t grains;
    uint32_t blocks_max, blocks_made, unused; /* block 0 is no block */
    sim_block_t *blocks;
    uint32_t *
        table; /* block by start: open addressing; table_size is a power of two, at least twice the use */
    uint32_t table_size, table_reserved, table_used;
    uint64_t *levels
        [SIM_ALLOC_LEVELS]; /* bit per grain at which a used block starts; each next one: per word */
    uint32_t first_map;
    uint32_t second_map[SIM_ALLOC_FIRST];
    uint32_t lists[SIM_ALLOC_FIRST][SIM_ALLOC_SECOND];
    uint32_t sequence; /* odd while a writer changes what finding reads */
    uint64_t next_id;
    uint64_t live; /* used blocks */
    void *memory;
    uint64_t memory_bytes;
} sim_alloc_t;

/* Covers grains 0 .. grains-1. Address space is reserved, memory is used as blocks are made. -ENOMEM. */
int sim_alloc_init(sim_alloc_t *a, uint32_t grains);
void sim_alloc_done(sim_alloc_t *a);
/* A used block of exactly grains (> 0) starting at a multiple of align (power of two). -ENOMEM. */
int sim_alloc_take(sim_alloc_t *a, uint32_t grains, uint32_t align, uint64_t bytes, uint32_t tag,
                   uint32_t *ret_start);
/* The used block that starts at start; 0: none. Writer only. */
uint32_t sim_alloc_block(const sim_alloc_t *a, uint32_t start);
/* From here on finding does not see the block of this number (sim_alloc_block); it stays used until released. */
void sim_alloc_hide(sim_alloc_t *a, uint32_t index);
/* Gives a hidden block back; returns the size of the free range it became part of. */
uint32_t sim_alloc_release(sim_alloc_t *a, uint32_t index);
/* Copies the used, not hidden block that contains grain. False: none. */
bool sim_alloc_find(const sim_alloc_t *a, uint32_t grain, sim_block_t *ret_block);
/* Calls visit for every free range of at least min grains. Writer only. */
void sim_alloc_each_free(const sim_alloc_t *a, uint32_t min,
                         void (*visit)(void *arg, uint32_t start, uint32_t grains), void *arg);
/* Checks every invariant; for tests. */
bool sim_alloc_check(const sim_alloc_t *a);

#endif
