/*
 * Which workers this machine shall run, and with what: read from the state files, ports given out, and judged against the GPUs that are
 * there. Pure: what a file held is an argument, as is what runs already.
 */
#ifndef DIVVY_AGENT_WISH_H
#define DIVVY_AGENT_WISH_H

#include "backend/filestate.h"
#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIVVY_AGENT_WORKER_ID_BYTES 128u
#define DIVVY_AGENT_REASON_BYTES    160u
#define DIVVY_AGENT_PROFILE_BYTES   32u
#define DIVVY_AGENT_PORT_FIRST                                                                     \
    42352u /* of workers without a port: this plus their place in state/workers.json */
#define DIVVY_AGENT_WORKERS_PER_GPU 16u /* where the GPU does not say */

enum divvy_agent_isolation {
    DIVVY_AGENT_SHARED,      /* nothing is limited */
    DIVVY_AGENT_SOFT,        /* limits kept by the limiter */
    DIVVY_AGENT_HARD,        /* limits that the worker itself is told */
    DIVVY_AGENT_PARTITIONED, /* a slice of its GPU (MIG), made for it if need be and reserved by divvy-runner */
    DIVVY_AGENT_ISOLATION_MAX
};

struct divvy_agent_wish {
    char id[DIVVY_AGENT_WORKER_ID_BYTES];
    json_t *devices; /* list of ids as the file spells them; owned */
    bool enabled;    /* it shall run */
    uint16_t port;   /* given out, also when it does not run */
    enum divvy_agent_isolation isolation;
    uint64_t memory_bytes;                  /* limit on each of its GPUs, 0: none */
    uint32_t percent;                       /* likewise */
    char profile[DIVVY_AGENT_PROFILE_BYTES]; /* of a partition: 1g.10gb; "": by the memory limit */
    bool is_local;                          /* nobody but state/workers.json knows it */
    char refusal[DIVVY_AGENT_REASON_BYTES]; /* why it cannot run although it shall; "": it can */
};

struct divvy_agent_wishes {
    size_t count;
    struct divvy_agent_wish *list;
    json_t *by_id; /* id: place in the list */
};

struct divvy_agent_wish_input {
    bool is_single_node;                  /* state/workers.json decides, else config/workers.json */
    const json_t *state;                  /* elements of state/workers.json, each with its id */
    const json_t *config;                 /* of config/workers.json */
    const json_t *gpus;                   /* of config/gpus.json */
    enum divvy_agent_isolation isolation; /* of workers that name none */
    bool (*runs)(
        void *data,
        const char *
            id); /* whether it runs now: it keeps its place before others that would be one too many */
    void *data;
};

/* Freed by divvy_agent_wishes_done. -ENOMEM. */
int divvy_agent_wishes_make(const struct divvy_agent_wish_input *input,
                            struct divvy_agent_wishes *ret_wishes);
void divvy_agent_wishes_done(struct divvy_agent_wishes *wishes);

const struct divvy_agent_wish *divvy_agent_wishes_find(const struct divvy_agent_wishes *wishes,
                                                       const char *id);

/* An object with the elements of a list by their ids; a new reference, or NULL: no memory. */
json_t *divvy_agent_elements_index(const json_t *list, enum divvy_backend_schema schema);

/* The GPU of this id in any spelling, borrowed; NULL. */
const json_t *divvy_agent_gpu_find(const json_t *gpus, const char *id);

/* "shared", "soft", ...; in any case: 0 or -EINVAL. */
int divvy_agent_isolation_parse(const char *text, enum divvy_agent_isolation *ret_isolation);
const char *divvy_agent_isolation_name(enum divvy_agent_isolation isolation);

#endif
