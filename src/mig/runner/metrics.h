/*
 * The runner's figures as Prometheus reads them, text format 0.0.4. Pure. Names and labels are those of Hypercore; what is not
 * known is left out, never told as 0.
 */
#ifndef DIVVY_MIG_RUNNER_METRICS_H
#define DIVVY_MIG_RUNNER_METRICS_H

#include "mig/runner/latency.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIVVY_RUNNER_METRICS_BYTES 16384u /* all of it, with the longest labels */
#define DIVVY_RUNNER_LABEL_BYTES   128u   /* of a label's value, NUL included; longer ones are cut */
#define DIVVY_RUNNER_UNKNOWN       UINT64_MAX

/* Texts are borrowed. */
struct divvy_runner_figures {
    const char *instance; /* name of the runner */
    const char *mig_uuid; /* of the reserved slice, "" none */
    const char *profile;  /* of it, "" none */
    const char *model_id; /* "" none */
    const struct divvy_runner_latency *latency;
    bool is_running;      /* the model */
    uint64_t restarts;
    uint64_t quota_exceeded;
    uint64_t vram_used_bytes, vram_limit_bytes; /* UNKNOWN */
    uint64_t memory_used_bytes, memory_limit_bytes;
    uint64_t requests, errors;
    uint64_t proxy_refused; /* requests that were no HTTP; UNKNOWN: there is no proxy */
    uint64_t proxy_connections;
};

/* Bytes written without the NUL; cut only if `size_bytes` is below DIVVY_RUNNER_METRICS_BYTES. */
size_t divvy_runner_metrics_render(const struct divvy_runner_figures *figures, char *ret_text, size_t size_bytes);

#endif
