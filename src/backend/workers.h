/*
 * The worker controller: puts devices, allocations and the backend together. As long as it is started, each worker of the backend that shall run
 * gets its allocation before its process starts, and gives it back when its process is gone; and it tells what workers use.
 *
 * Functions may be called from any thread.
 */
#ifndef DIVVY_BACKEND_WORKERS_H
#define DIVVY_BACKEND_WORKERS_H

#include "backend/single.h"

struct divvy_backend_workers;

/* All three must outlive it. From here on the backend runs nobody until the controller is started. 0 or -ENOMEM. */
int divvy_backend_workers_new(struct divvy_backend_devices *devices, struct divvy_backend_allocations *allocations,
                              struct divvy_backend_single *single, struct divvy_backend_workers **ret_workers);
void divvy_backend_workers_free(struct divvy_backend_workers *workers); /* stops it too; NULL is fine */

/* Becomes the backend's keeper, and lets it hear of devices. Whether the backend is started before or after makes no difference. 0 or -ENOMEM. */
int divvy_backend_workers_start(struct divvy_backend_workers *workers);
/* Workers and allocations stay; nobody new gets one. */
void divvy_backend_workers_stop(struct divvy_backend_workers *workers);

/* What one process of a worker uses of one device. */
struct divvy_backend_worker_usage {
    char worker[DIVVY_NODE_WORKER_ID_BYTES];
    char device[DIVVY_ACCEL_NAME_BYTES];
    pid_t pid; /* of the host */
    uint64_t memory_bytes;
    double memory_percent; /* of the worker's limit; without one of the device */
    double compute_percent, compute_tflops;
};

/* By worker, device and process; malloc'd, the caller's. Processes of nobody's are left out. As divvy_backend_devices_processes. */
int divvy_backend_workers_metrics(struct divvy_backend_workers *workers, struct divvy_backend_worker_usage **ret_usages,
                                  size_t *ret_count, struct divvy_error *error);

#endif
