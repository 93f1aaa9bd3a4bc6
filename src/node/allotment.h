/*
 * Who has what of which device: the book that allocation is decided by. Every claim is checked against what the devices have, is
 * made for all devices of a worker or for none, and is given back whole. Pure: no device is touched. Not thread-safe.
 *
 * What counts on a device: memory and compute that are reserved, up to what it has and the factor of over-commitment; workers, up to its
 * maximum; partitions, up to its maximum. A device that is divided into partitions takes partitioned workers only, and the other way round:
 * a divided GPU cannot be used whole. Devices are known by UUID, whose case never matters.
 */
#ifndef DIVVY_NODE_ALLOTMENT_H
#define DIVVY_NODE_ALLOTMENT_H

#include "node/worker.h"

/* Where a number is 0 it is not known, and not checked. */
struct divvy_node_capacity {
    char uuid[DIVVY_NODE_WORKER_UUID_BYTES];
    uint64_t memory_bytes;
    double tflops;
    uint32_t workers_max, partitions_max;
    bool partitioning, soft, hard; /* what it can do */
    bool is_partition;             /* itself a part of another device: takes one worker, and is not divided further */
    bool healthy;
};

struct divvy_node_overcommit {
    uint32_t memory_permille, compute_permille; /* 1000: no more than there is; UINT32_MAX: no check */
};

/* What a worker has on one device. */
struct divvy_node_claim {
    char uuid[DIVVY_NODE_WORKER_UUID_BYTES]; /* as the device spells it */
    struct divvy_node_demand demand;
    bool partition; /* a partition of the device */
    bool lost;      /* the device has vanished or is broken */
};

struct divvy_node_claims {
    enum divvy_node_isolation isolation;
    uint32_t count;
    struct divvy_node_claim claims[DIVVY_NODE_WORKER_DEVICES];
};

/* What of a device is given out. */
struct divvy_node_given {
    uint64_t memory_bytes, compute_permille;
    uint32_t workers, partitions;
};

struct divvy_node_allotment;

/* 0 or -ENOMEM. */
int divvy_node_allotment_new(struct divvy_node_allotment **ret_allotment);
void divvy_node_allotment_free(struct divvy_node_allotment *allotment);

/* Enters or updates a device; claims on it stay as they are. 0, -EINVAL (no UUID) or -ENOMEM. */
int divvy_node_allotment_device_set(struct divvy_node_allotment *allotment, const struct divvy_node_capacity *capacity);
/* It has vanished: takes no new claim, and those on it are lost until it is set again. -ENOENT. */
int divvy_node_allotment_device_lose(struct divvy_node_allotment *allotment, const char *uuid);
/* Forgets it. -EBUSY: somebody has a claim on it; -ENOENT. */
int divvy_node_allotment_device_remove(struct divvy_node_allotment *allotment, const char *uuid);
/* -ENOENT. */
int divvy_node_allotment_device_given(const struct divvy_node_allotment *allotment, const char *uuid,
                                      struct divvy_node_given *ret_given);

/*
 * Claims a worker's devices, in `isolation` where it names none itself. A worker that has claims already changes them: they are checked as if it
 * had none, and stay as they were on failure. ret_claims (may be NULL) gets a copy. With `why` in words:
 *   -ENODEV   no such device, or it is lost or not healthy
 *   -EINVAL   a demand that makes no sense, a device named twice, none at all, no template for partitions
 *   -EOPNOTSUPP  the device cannot do this isolation
 *   -EDQUOT   more memory or compute than is left
 *   -EUSERS   as many workers or partitions as the device takes
 *   -EBUSY    it is divided, or used whole
 */
int divvy_node_allotment_claim(struct divvy_node_allotment *allotment, const struct divvy_node_worker *worker,
                               enum divvy_node_isolation isolation, struct divvy_node_overcommit overcommit,
                               struct divvy_node_claims *ret_claims, char why[DIVVY_NODE_TEXT_BYTES]);
int divvy_node_allotment_release(struct divvy_node_allotment *allotment, const char *uid); /* 0 or -ENOENT */
int divvy_node_allotment_get(const struct divvy_node_allotment *allotment, const char *uid, struct divvy_node_claims *ret_claims);
size_t divvy_node_allotment_count(const struct divvy_node_allotment *allotment); /* of workers with claims */

#endif
