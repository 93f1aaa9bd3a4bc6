/*
 * Which partitions are ours: one small file each, so that they can be removed after their host has been started anew, and nobody
 * else's ever are. Partitions do not outlive the machine's running, and neither does the folder: DIVVY_PARTITION_DIR, or
 * /run/divvy-partitions for root, or divvy-partitions in XDG_RUNTIME_DIR. Without any, partitions are known to this process only.
 */
#ifndef DIVVY_ACCEL_NVIDIA_RECORD_H
#define DIVVY_ACCEL_NVIDIA_RECORD_H

#include "accel/provider/provider.h"

struct nvidia_record {
    char device[UUID_STRING_LENGTH];    /* the GPU's UUID, as the driver writes it */
    char partition[UUID_STRING_LENGTH]; /* the instance's */
    char template_id[DIVVY_PROVIDER_ID_BYTES];
    unsigned int gpu_instance, compute_instance;
    uint64_t order; /* which was made later */
};

/* Remembers it, sets its order. 0, or -ENOMEM; that it can be remembered here only is told. */
int divvy_nvidia_record_add(struct nvidia_record *record);

/* Forgets it; nothing when it is not known. */
void divvy_nvidia_record_drop(const char *partition);

/*
 * The partition of this UUID (any spelling) on the device, or else the newest made from this template there. `device` is as the
 * driver writes it, or NULL for any: then only by UUID.
 */
bool divvy_nvidia_record_find(const char *name, const char *device, struct nvidia_record *ret_record);

#endif
