/* What the environment asks of the runner: the variables of Hypercore. Malformed sizes are refused. */
#ifndef DIVVY_MIG_RUNNER_SETTINGS_H
#define DIVVY_MIG_RUNNER_SETTINGS_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct divvy_runner_settings {
    const char *profile;  /* HC_MIG_PROFILE; "" none. Borrowed from the environment, as is the next */
    const char *model_id; /* MODEL_ID; "" none */
    uint64_t vram_limit_bytes; /* HYPERCORE_VRAM_LIMIT_BYTES; 0 none */
    uint64_t memory_bytes;     /* HYPERCORE_CPU_MEM_MB, in bytes; 0 none */
    bool debug;           /* HC_DEBUG */
    bool prefetch;        /* HYPERCORE_PREFETCH */
    const char *bad_prefetch; /* what it said, where that is neither 0 nor 1 (taken for 0); else NULL */
    bool no_limiter;      /* HYPERCORE_DISABLE_SHIM */
    bool no_meminfo;      /* HYPERCORE_DISABLE_FUSE */
};

/* Reads the environment of this process. 0, or -EINVAL / -ERANGE with the variable named. */
int divvy_runner_settings_read(struct divvy_runner_settings *ret_settings, struct divvy_error *error);

#endif
