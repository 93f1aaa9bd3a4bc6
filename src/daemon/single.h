/*
 * The single-node backend (backend/single.h) inside divvyd: workers.json says which workers there shall be; those whose limits the limiter keeps are
 * tenants of the daemon, named like the worker, and get leases like all others.
 */
#ifndef DIVVY_DAEMON_SINGLE_H
#define DIVVY_DAEMON_SINGLE_H

#include "daemon/state.h"

#include <jansson.h>

/* Texts are borrowed during the call; an empty one means "not set". */
struct divvy_single_options {
    const char *state_dir;
    const char *accelerator, *vendor; /* see accel/accel.h */
    const char *worker_binary;
    const char *library_dir; /* in front of the workers' LD_LIBRARY_PATH: of the simulated driver */
    uint32_t isolation;      /* enum divvy_node_isolation, of workers that name none */
    int64_t discovery_interval_ns;
    uint32_t memory_permille, compute_permille; /* that may be given out */
};

struct divvy_single;

/* After the daemon's state and its devices. What keeps it from starting is an error: folder, library, no device. */
int divvy_single_start(struct divvy_daemon *daemon, const struct divvy_single_options *options, struct divvy_single **ret_single,
                       struct divvy_error *error);
/* Workers run on, and are found again at the next start. NULL is fine. */
void divvy_single_stop(struct divvy_single *single);

/*
 * Workers that have an allocation, as TensorFusion's WorkerAllocation: an array by id; one, with "worker_uid", "allocation", "metrics" (by
 * device and process), "status" and "message". The caller's. NULL: no memory, or no such worker. Any thread; `single` is a struct divvy_single.
 */
json_t *divvy_single_workers_json(void *single);
json_t *divvy_single_worker_json(void *single, const char *uid);

/*
 * What workers use that are no tenants of the daemon: an array of {WorkerUID, WorkerName, Namespace, WorkloadName, DeviceUUID,
 * MemoryBytes, MemoryPercentage, ComputePercentage, ComputeTflops}, a worker's processes on a device summed up. The caller's; NULL: it
 * cannot be told. Any thread.
 */
json_t *divvy_single_usages_json(void *single);

#endif
