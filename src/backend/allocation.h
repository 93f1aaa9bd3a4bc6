/*
 * The allocation controller: gives workers their devices, and what goes with them: partitions, limits, environment, mounts. All of it or
 * nothing: whatever fails, what was done before is undone.
 *
 * | isolation   | what keeps the limits                                                                     |
 * |-------------|-------------------------------------------------------------------------------------------|
 * | shared      | nothing                                                                                   |
 * | soft        | the limiter                                                                               |
 * | hard        | the driver where the accelerator library can have it so, else the limiter, and the worker is told them |
 * | partitioned | the device: a partition for each device that the worker names                             |
 *
 * All functions may be called from any thread. _allocate and _release block as long as the accelerator library and the limiter do.
 */
#ifndef DIVVY_BACKEND_ALLOCATION_H
#define DIVVY_BACKEND_ALLOCATION_H

#include "backend/devices.h"
#include "backend/environment.h"

struct divvy_backend_allocations;

/*
 * Who keeps limits of workers. `hold` is called for a new worker, and again when its limits change; it adds to the environment what the
 * worker needs so that the limits hold. A failure refuses the allocation. `drop` takes them away, also of workers unknown to it.
 */
struct divvy_backend_limiter {
    void *data;
    int (*hold)(void *data, const struct divvy_node_worker *worker, const struct divvy_node_claims *claims,
                struct divvy_backend_environment *environment, struct divvy_error *error);
    void (*drop)(void *data, const char *uid);
};

/*
 * A limiter without a daemon: libcuda_limiter.so in LD_PRELOAD with TENSOR_FUSION_CUDA_UP_LIMIT and _MEM_LIMIT. `library` is its path,
 * borrowed for good; NULL: the one beside this program.
 */
struct divvy_backend_limiter divvy_backend_limiter_alone(const char *library);

/* A worker's allocation. Never changes, counted; a changed worker has another one. */
struct divvy_backend_allocation {
    struct divvy_node_worker worker;
    struct divvy_node_claims claims; /* as they were given; _lost tells about now */
    uint32_t device_count;
    struct divvy_backend_device *devices[DIVVY_NODE_WORKER_DEVICES]; /* partitions where there are such */
    bool driver_keeps; /* its hard limits */
    struct divvy_backend_environment environment;
    struct divvy_accel_mounts mounts;
    unsigned int references;
};

struct divvy_backend_allocations_options {
    struct divvy_node_overcommit overcommit; /* zeros: none, 1000 permille */
    enum divvy_node_isolation isolation;     /* of workers that name none */
    struct divvy_backend_limiter limiter;    /* zeros: divvy_backend_limiter_alone(NULL) */
    const char *library_dir; /* of the driver's libraries, in front of LD_LIBRARY_PATH of every worker; NULL: the system's. Copied */
};

/* `devices` must outlive it. 0 or -ENOMEM. */
int divvy_backend_allocations_new(struct divvy_backend_devices *devices, const struct divvy_backend_allocations_options *options,
                                  struct divvy_backend_allocations **ret_allocations);
/* Allocations are forgotten, not given back: partitions and limits stay, and are found again. NULL is fine. */
void divvy_backend_allocations_free(struct divvy_backend_allocations *allocations);

/*
 * Asked again for the same worker with the same wish it is the same allocation; with another wish it is changed, or stays as it was when that
 * fails. Partitions that were made for this worker before a restart are used. ret_allocation (may be NULL) is the caller's reference.
 * Errors as divvy_node_allotment_claim, divvy_backend_devices_split and the limiter have them.
 */
int divvy_backend_allocate(struct divvy_backend_allocations *allocations, const struct divvy_node_worker *worker,
                           struct divvy_backend_allocation **ret_allocation, struct divvy_error *error);
/* 0 or -ENOENT. What cannot be given back now is said in the log and tried again by _sweep. */
int divvy_backend_release(struct divvy_backend_allocations *allocations, const char *uid);

/* The caller's reference, or NULL. */
struct divvy_backend_allocation *divvy_backend_allocation_get(struct divvy_backend_allocations *allocations, const char *uid);
/* References; free each, and the array with free(). NULL and 0 without any. */
int divvy_backend_allocations_list(struct divvy_backend_allocations *allocations, struct divvy_backend_allocation ***ret_list,
                                   size_t *ret_count);
/* How many of its devices have vanished. 0 for workers without an allocation. */
uint32_t divvy_backend_allocation_lost(struct divvy_backend_allocations *allocations, const char *uid);

/* Removes partitions that were made for workers who have no allocation and are not wanted. */
void divvy_backend_allocations_sweep(struct divvy_backend_allocations *allocations, bool (*is_wanted)(void *data, const char *uid),
                                     void *data);

struct divvy_backend_allocation *divvy_backend_allocation_ref(struct divvy_backend_allocation *allocation);
void divvy_backend_allocation_unref(struct divvy_backend_allocation *allocation); /* NULL is fine */

#endif
