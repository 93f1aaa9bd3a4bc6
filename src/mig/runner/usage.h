/*
 * What the program's limiter writes down of its device memory: the tenant's usage page, read as hostile input. Counters are
 * told as they may only grow, whatever the page says.
 */
#ifndef DIVVY_MIG_RUNNER_USAGE_H
#define DIVVY_MIG_RUNNER_USAGE_H

#include <limits.h>
#include <stdint.h>

struct divvy_page;

struct divvy_runner_usage {
    char path[PATH_MAX];          /* of the page, which the limiter makes when CUDA is first used */
    const struct divvy_page *page; /* NULL: not there yet */
    uint64_t seen_refused;        /* what the page said last */
    uint64_t refused;             /* allocations refused, in all */
    uint64_t used_bytes, limit_bytes; /* of all devices of the page; limit UINT64_MAX: none is known */
    uint64_t wanted_bytes;        /* by the allocation refused last; 0 unknown */
};

void divvy_runner_usage_init(struct divvy_runner_usage *usage, const char *folder);

/* Looks at the page: how many refusals are new. */
uint64_t divvy_runner_usage_look(struct divvy_runner_usage *usage);

void divvy_runner_usage_done(struct divvy_runner_usage *usage);

#endif
