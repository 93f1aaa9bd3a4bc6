/*
 * What a hypervisor answers about this process's pod and about the process itself: reading the two envelopes. Pure.
 */
#ifndef DIVVY_LIMITER_CHANNEL_POD_H
#define DIVVY_LIMITER_CHANNEL_POD_H

#include "core/uuid.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIVVY_POD_GPUS_MAX      16
#define DIVVY_POD_MESSAGE_BYTES 160

struct divvy_pod {
    uint64_t memory_bytes; /* of each GPU; 0: no limit */
    uint32_t permille;     /* of GPU time; 0: no limit, or none that can be told in these terms */
    bool is_divvyd;        /* the answer has what only divvyd says */
    bool has_tflops;       /* a limit in TFLOPS came without a percentage: not ours to enforce */
    unsigned gpu_count;
    divvy_core_uuid_t gpus[DIVVY_POD_GPUS_MAX]; /* in the order of the answer */
};

/*
 * PodInfo and ProcessInfo. 0; -ENOENT: the hypervisor says that it failed, and why; -EINVAL: not such an answer. The message is a
 * line for people, set on failure.
 */
int divvy_pod_parse(const char *body, size_t length, struct divvy_pod *ret_pod, char message[DIVVY_POD_MESSAGE_BYTES]);
int divvy_pod_process_parse(const char *body, size_t length, int32_t *ret_host_pid, char message[DIVVY_POD_MESSAGE_BYTES]);

/* Whether this GPU is one of the pod's; all are when the answer named none. */
bool divvy_pod_has(const struct divvy_pod *pod, const divvy_core_uuid_t *uuid);

#endif
