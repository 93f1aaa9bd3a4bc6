/*
 * A bump allocator: what a parse builds is freed in one go. Not thread-safe; one arena belongs to
 * one parse.
 */
#ifndef DIVVY_SIMGPU_PTX_ARENA_H
#define DIVVY_SIMGPU_PTX_ARENA_H

#include <stddef.h>
#include <stdint.h>

typedef struct ptx_chunk ptx_chunk_t;

typedef struct {
    ptx_chunk_t *chunks; /* newest first */
    size_t left_bytes;   /* in the newest chunk */
    unsigned char *next;
} ptx_arena_t;

/* Zeroed memory aligned to 16; NULL when there is none. A zero ARENA is ready to use. */
void *divvy_ptx_arena_alloc(ptx_arena_t *arena, size_t size_bytes);

/* A NUL-terminated copy of TEXT; NULL when there is no memory. */
char *divvy_ptx_arena_text(ptx_arena_t *arena, const char *text, size_t length);

/* Forgets all content but keeps the newest chunk for reuse. */
void divvy_ptx_arena_reset(ptx_arena_t *arena);

/* Frees everything; the arena may be used again. */
void divvy_ptx_arena_done(ptx_arena_t *arena);

/*
 * Makes room for NEED elements of ELEMENT_BYTES in the malloc'd array *ARRAY of *CAPACITY elements;
 * new elements are zeroed. 0 or -ENOMEM.
 */
int divvy_ptx_array_grow(void **array, uint32_t *capacity, uint64_t need, size_t element_bytes);

#endif
