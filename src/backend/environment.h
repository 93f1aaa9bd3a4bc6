/*
 * The environment that a worker gets over what it inherits: its name, its devices and, where the isolation asks for them, its
 * limits. Pure; nothing of this process's own environment is read.
 */
#ifndef DIVVY_BACKEND_ENVIRONMENT_H
#define DIVVY_BACKEND_ENVIRONMENT_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

#define DIVVY_BACKEND_ENVIRONMENT_MAX 96u

/* Entries as divvy_backend_command takes them: "NAME=VALUE", or "NAME" for what is taken away. Ended by NULL. */
struct divvy_backend_environment {
    char *entries[DIVVY_BACKEND_ENVIRONMENT_MAX + 1];
    size_t count;
};

/* What a worker is given. Texts are borrowed during the call. */
struct divvy_backend_grant {
    const char *worker;         /* its id */
    const char *vendor;         /* of its devices, in any case; "amd" has variables of its own, others get NVIDIA's and CUDA's */
    const char *const *devices; /* UUIDs in the driver's spelling or in lower case */
    size_t device_count;        /* 0: it sees no device at all */
    uint64_t memory_bytes;      /* limit that the worker is told (hard isolation); 0: none */
    uint32_t compute_percent;   /* likewise, 1..100; 0: none */
};

/*
 * WORKER_ID; NVIDIA_VISIBLE_DEVICES and CUDA_VISIBLE_DEVICES (AMD: HIP_VISIBLE_DEVICES and ROCR_VISIBLE_DEVICES) with exactly the
 * devices; TF_CUDA_SM_PERCENT_LIMIT, TF_GPU_MEMORY_LIMIT and TF_CUDA_MEMORY_LIMIT (MB of 2^20 bytes) where there are limits, else they are
 * taken away. Of UUIDs in lower case the prefix is put right ("gpu-" to "GPU-", "mig-" to "MIG-"): the driver knows them only so.
 * To be freed with _done, also after a failure. 0, -EINVAL, -ENOMEM.
 */
int divvy_backend_environment_init(struct divvy_backend_environment *ret_environment, const struct divvy_backend_grant *grant,
                                   struct divvy_error *error);
/* Sets an entry anew, NAME=VALUE, or with a NULL value takes it away. -EINVAL: no name, or '=' in it; -ENOSPC, -ENOMEM. */
int divvy_backend_environment_set(struct divvy_backend_environment *environment, const char *name, const char *value);
/* The value of a name, or NULL. */
const char *divvy_backend_environment_get(const struct divvy_backend_environment *environment, const char *name);
void divvy_backend_environment_done(struct divvy_backend_environment *environment);

#endif
