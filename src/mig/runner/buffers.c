/* Buffers: see buffers.h. */
#include "mig/runner/buffers.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

int divvy_runner_buffers_init(struct divvy_runner_buffers *buffers, uint32_t count) {
    void *memory = mmap(NULL, (size_t)count * DIVVY_RUNNER_BUFFER_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    *buffers = (struct divvy_runner_buffers){.count = count, .free_count = count, .least = count};
    if (memory == MAP_FAILED)
        return -ENOMEM;
    buffers->memory = memory;
    buffers->free = calloc(count, sizeof *buffers->free);
    if (!buffers->free) {
        divvy_runner_buffers_done(buffers);
        return -ENOMEM;
    }
    /* A huge page for a few small heads would be most of what the runner may have. */
    (void)madvise(memory, (size_t)count * DIVVY_RUNNER_BUFFER_BYTES, MADV_NOHUGEPAGE);
    for (uint32_t i = 0; i < count; i++)
        buffers->free[i] = buffers->memory + (size_t)(count - 1 - i) * DIVVY_RUNNER_BUFFER_BYTES;
    return 0;
}

void divvy_runner_buffers_done(struct divvy_runner_buffers *buffers) {
    if (buffers->memory)
        (void)munmap(buffers->memory, (size_t)buffers->count * DIVVY_RUNNER_BUFFER_BYTES);
    free(buffers->free);
    *buffers = (struct divvy_runner_buffers){0};
}

char *divvy_runner_buffers_take(struct divvy_runner_buffers *buffers) {
    uint32_t used;

    if (buffers->free_count == 0)
        return NULL;
    buffers->free_count--;
    if (buffers->free_count < buffers->least)
        buffers->least = buffers->free_count;
    used = buffers->count - buffers->free_count;
    if (used > buffers->touched)
        buffers->touched = used;
    return buffers->free[buffers->free_count];
}

void divvy_runner_buffers_give(struct divvy_runner_buffers *buffers, char *buffer) {
    if (buffer)
        buffers->free[buffers->free_count++] = buffer;
}

void divvy_runner_buffers_trim(struct divvy_runner_buffers *buffers) {
    uint32_t cold = buffers->count - buffers->touched;

    /* The bottom of the stack below `least` was not taken; below `cold` there never was anything. */
    for (uint32_t i = cold; i < buffers->least; i++)
        (void)madvise(buffers->free[i], DIVVY_RUNNER_BUFFER_BYTES, MADV_DONTNEED);
    if (buffers->count - buffers->least < buffers->touched)
        buffers->touched = buffers->count - buffers->least;
    buffers->least = buffers->free_count;
}
