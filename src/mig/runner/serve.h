/*
 * The little server of /metrics and /healthz: GET and HEAD, a few connections, one answer after another. A newcomer takes the place
 * of the connection that has been quiet longest; nobody is waited for. One thread, the loop's.
 */
#ifndef DIVVY_MIG_RUNNER_SERVE_H
#define DIVVY_MIG_RUNNER_SERVE_H

#include "base/error.h"
#include "base/loop.h"

#include <stddef.h>
#include <stdint.h>

#define DIVVY_RUNNER_SERVE_CONNECTIONS 8u

/* The text of /metrics, borrowed until the next call; and what /healthz says: a word, and whether all is well. */
struct divvy_runner_serve_source {
    const char *(*metrics)(void *data, size_t *ret_length);
    const char *(*health)(void *data, int *ret_is_well);
    void *data;
};

struct divvy_runner_serve;

/* Serves `listen_fd` (listening, non-blocking, taken over also on failure). */
int divvy_runner_serve_new(struct divvy_loop *loop, int listen_fd, const struct divvy_runner_serve_source *source,
                           struct divvy_runner_serve **ret_serve, struct divvy_error *error);

/* Once a second or so: ends connections that say nothing. */
void divvy_runner_serve_tick(struct divvy_runner_serve *serve, uint64_t now_ns);

/* NULL is fine. */
void divvy_runner_serve_free(struct divvy_runner_serve *serve);

#endif
