/*
 * Buffers of one size for those that need them just now. Memory that nobody has used for a while goes back to the system.
 * One thread.
 */
#ifndef DIVVY_MIG_RUNNER_BUFFERS_H
#define DIVVY_MIG_RUNNER_BUFFERS_H

#include <stddef.h>
#include <stdint.h>

#define DIVVY_RUNNER_BUFFER_BYTES 16384u /* a whole head fits: DIVVY_RUNNER_HTTP_HEAD_BYTES */

struct divvy_runner_buffers {
    char *memory;
    char **free;      /* a stack: the one used last is taken first, the others stay cold */
    uint32_t count, free_count;
    uint32_t touched; /* buffers from the top of the stack that may have memory behind them, those in use counted */
    uint32_t least;   /* fewest free ones since the last trim */
};

/* 0 or -ENOMEM. Address space only: memory comes with use. */
int divvy_runner_buffers_init(struct divvy_runner_buffers *buffers, uint32_t count);
void divvy_runner_buffers_done(struct divvy_runner_buffers *buffers);

/* NULL when all are in use. */
char *divvy_runner_buffers_take(struct divvy_runner_buffers *buffers);
/* NULL is fine. */
void divvy_runner_buffers_give(struct divvy_runner_buffers *buffers, char *buffer);

/* Gives back the memory of those that were free all the time since the last call. */
void divvy_runner_buffers_trim(struct divvy_runner_buffers *buffers);

#endif
