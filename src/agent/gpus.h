/* The GPUs of this machine, as ggo tells them to the platform: found by an accelerator library, or made up. One thread. */
#ifndef DIVVY_AGENT_GPUS_H
#define DIVVY_AGENT_GPUS_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define DIVVY_AGENT_GPUS_MAX 64u

struct divvy_agent_gpu {
    char id[64];
    char vendor[32]; /* lower case */
    char model[128];
    char driver_version[80]; /* "": not told */
    char cuda_version[32];   /* likewise */
    unsigned int index;
    uint64_t vram_mb;
    unsigned int workers_max; /* 0: not told */
};

struct divvy_agent_gpus {
    unsigned int count;
    bool is_mock;
    struct divvy_agent_gpu gpus[DIVVY_AGENT_GPUS_MAX];
};

/*
 * GPU_GO_MOCK_GPUS=N first: N made-up cards (its leading number, anything else is 1; at most DIVVY_AGENT_GPUS_MAX). Else the library at
 * `library` (NULL: searched for). A machine without any is 0 with count 0, and *ret_why says why; other failures are errors.
 */
int divvy_agent_gpus_find(const char *library, struct divvy_agent_gpus *ret_gpus,
                          struct divvy_error *ret_why, struct divvy_error *error);

/* The list as register sends it, and, for gpus.json, with used_by_worker (null). A new reference, or NULL: no memory. */
json_t *divvy_agent_gpus_wire(const struct divvy_agent_gpus *gpus);
json_t *divvy_agent_gpus_file(const struct divvy_agent_gpus *gpus);

/* Whether the environment asks for made-up cards, and how many. */
bool divvy_agent_gpus_mocked(unsigned int *ret_count);

#endif
