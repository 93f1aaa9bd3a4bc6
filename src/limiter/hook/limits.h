/*
 * The limits of this process as its environment gives them, and what they mean for one device.
 */
#ifndef DIVVY_LIMITER_HOOK_LIMITS_H
#define DIVVY_LIMITER_HOOK_LIMITS_H

#include "core/limits_json.h"

#include <stdbool.h>
#include <stdint.h>

struct divvy_limits {
    bool any; /* one of the variables is set */
    divvy_core_limits_t percent;
    divvy_core_limits_t bytes;
};

/* What holds for one device: 0 = no limit. */
struct divvy_limit {
    uint32_t permille;
    uint64_t bytes;
};

/* A device as limits name it. */
struct divvy_limit_device {
    divvy_core_uuid_t uuid;
    divvy_core_uuid_t parent; /* of the GPU that a MIG device is a part of; else zero */
    int32_t index;            /* place in NVML's order (the parent's); -1 not known */
    uint64_t total_bytes;
    uint64_t pci; /* domain << 32 | bus << 8 | device; 0 not known */
};

/*
 * Read TENSOR_FUSION_CUDA_UP_LIMIT and TENSOR_FUSION_CUDA_MEM_LIMIT. 0, or -EINVAL after one line
 * on stderr that names the variable, the byte and the remedy.
 */
int divvy_limits_read(struct divvy_limits *ret_limits);

/*
 * The limits of one device; where it is named by index and by UUID, the stricter of both. -ERANGE
 * after one line on stderr: more memory than the device has.
 */
int divvy_limits_of(const struct divvy_limits *limits, const struct divvy_limit_device *device,
                    struct divvy_limit *ret_limit);

/*
 * Check every key against all devices of the machine: 0, or -ENODEV after one line on stderr: a
 * UUID that no device has, or only indices that no device has (an index too many beside a good one
 * is a warning). `complete` false: not all devices of the machine are known (some hidden, no NVML),
 * then only what certainly is wrong is.
 */
int divvy_limits_check_keys(const struct divvy_limits *limits,
                            const struct divvy_limit_device *devices, size_t count, bool complete);

/* Whether the device is a MIG device: what is none has a parent of zeros. */
bool divvy_limits_is_mig(const struct divvy_limit_device *device);
/* How many of the devices are whole GPUs: they come before all MIG devices. */
size_t divvy_limits_gpus(const struct divvy_limit_device *devices, size_t count);

/* Whether a key is an index, so that the devices' places in NVML's order must be known. */
bool divvy_limits_need_index(const struct divvy_limits *limits);

/* Hash of the limits as written, for telling tenants apart. */
uint64_t divvy_limits_hash(void);

/* Whether the value of a switch (NULL: not set) means on: 1 or true. */
bool divvy_limits_word_is_true(const char *value);

/* DIVVY_FAIL_POLICY: true: what cannot be judged is refused (closed, the default). */
bool divvy_limits_fail_closed(void);
/* The end of a line about it: what the policy makes of what is wrong. */
const char *divvy_limits_what_follows(void);

#endif
