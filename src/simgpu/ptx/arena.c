/* Bump allocation for what one parse builds, and growth of plain arrays. */
#include "simgpu/ptx/arena.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_BYTES = 64 * 1024, ALIGN_BYTES = 16 };

struct ptx_chunk {
    ptx_chunk_t *older;
    size_t size_bytes; /* of data */
    _Alignas(ALIGN_BYTES) unsigned char data[];
};

void *divvy_ptx_arena_alloc(ptx_arena_t *arena, size_t size_bytes) {
    if (size_bytes > SIZE_MAX / 2)
        return NULL;
    size_t size = (size_bytes + ALIGN_BYTES - 1) & ~(size_t)(ALIGN_BYTES - 1);
    if (size == 0)
        size = ALIGN_BYTES;
    if (size > arena->left_bytes) {
        size_t room = size > CHUNK_BYTES ? size : CHUNK_BYTES;
        ptx_chunk_t *chunk = malloc(sizeof(*chunk) + room);
        if (!chunk)
            return NULL;
        chunk->older = arena->chunks;
        chunk->size_bytes = room;
        arena->chunks = chunk;
        arena->next = chunk->data;
        arena->left_bytes = room;
    }
    void *result = arena->next;
    arena->next += size;
    arena->left_bytes -= size;
    memset(result, 0, size);
    return result;
}

char *divvy_ptx_arena_text(ptx_arena_t *arena, const char *text, size_t length) {
    char *copy = divvy_ptx_arena_alloc(arena, length + 1);
    if (copy)
        memcpy(copy, text, length);
    return copy;
}

static void free_chunks(ptx_chunk_t *chunk) {
    while (chunk) {
        ptx_chunk_t *older = chunk->older;
        free(chunk);
        chunk = older;
    }
}

void divvy_ptx_arena_reset(ptx_arena_t *arena) {
    if (!arena->chunks)
        return;
    free_chunks(arena->chunks->older);
    arena->chunks->older = NULL;
    arena->next = arena->chunks->data;
    arena->left_bytes = arena->chunks->size_bytes;
}

void divvy_ptx_arena_done(ptx_arena_t *arena) {
    free_chunks(arena->chunks);
    memset(arena, 0, sizeof(*arena));
}

int divvy_ptx_array_grow(void **array, uint32_t *capacity, uint64_t need, size_t element_bytes) {
    if (need <= *capacity)
        return 0;
    uint64_t wanted = *capacity ? 2 * (uint64_t)*capacity : 16;
    if (wanted < need)
        wanted = need;
    if (wanted > UINT32_MAX / 2)
        return -ENOMEM;
    void *grown = realloc(*array, (size_t)wanted * element_bytes);
    if (!grown)
        return -ENOMEM;
    memset((char *)grown + (size_t)*capacity * element_bytes, 0,
           (size_t)(wanted - *capacity) * element_bytes);
    *array = grown;
    *capacity = (uint32_t)wanted;
    return 0;
}
