/* The worker controller: see workers.h. */
#include "backend/workers.h"

#include "backend/leaders.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct divvy_backend_workers {
    struct divvy_backend_devices *devices;
    struct divvy_backend_allocations *allocations;
    struct divvy_backend_single *single;
    bool started;
};

/* Until the controller is started nobody may run without what it would be given. */
static int prepare_not_yet(void *data, const struct divvy_node_worker *worker, struct divvy_backend_allocation **ret_allocation,
                           struct divvy_error *error) {
    (void)data;
    (void)worker;
    (void)ret_allocation;
    return divvy_error_set(error, -EAGAIN, "the worker controller is not started");
}

static const struct divvy_backend_keeper not_yet = {.prepare = prepare_not_yet};

int divvy_backend_workers_new(struct divvy_backend_devices *devices, struct divvy_backend_allocations *allocations,
                              struct divvy_backend_single *single, struct divvy_backend_workers **ret_workers) {
    struct divvy_backend_workers *workers = calloc(1, sizeof *workers);

    if (!workers)
        return -ENOMEM;
    *workers = (struct divvy_backend_workers){devices, allocations, single, false};
    divvy_backend_single_keeper_set(single, &not_yet);
    *ret_workers = workers;
    return 0;
}

void divvy_backend_workers_free(struct divvy_backend_workers *workers) {
    if (!workers)
        return;
    divvy_backend_workers_stop(workers);
    divvy_backend_single_keeper_set(workers->single, NULL);
    free(workers);
}

/* --- keeping ----------------------------------------------------------------------------------------------------------------- */

static int prepare(void *data, const struct divvy_node_worker *worker, struct divvy_backend_allocation **ret_allocation,
                   struct divvy_error *error) {
    struct divvy_backend_workers *workers = data;

    return divvy_backend_allocate(workers->allocations, worker, ret_allocation, error);
}

static void clean(void *data, const char *uid) {
    struct divvy_backend_workers *workers = data;

    (void)divvy_backend_release(workers->allocations, uid);
}

static uint32_t lost(void *data, const char *uid) {
    struct divvy_backend_workers *workers = data;

    return divvy_backend_allocation_lost(workers->allocations, uid);
}

static void settled(void *data, bool (*is_wanted)(void *backend, const char *uid), void *backend) {
    struct divvy_backend_workers *workers = data;

    divvy_backend_allocations_sweep(workers->allocations, is_wanted, backend);
}

int divvy_backend_workers_start(struct divvy_backend_workers *workers) {
    struct divvy_backend_keeper keeper = {workers, prepare, clean, lost, settled};
    struct divvy_backend_device_handler handler = divvy_backend_single_device_handler(workers->single);
    int status;

    if (workers->started)
        return 0;
    divvy_backend_single_keeper_set(workers->single, &keeper);
    status = divvy_backend_devices_handler_add(workers->devices, &handler);
    if (status < 0)
        divvy_backend_single_keeper_set(workers->single, &not_yet);
    workers->started = status == 0;
    return status;
}

void divvy_backend_workers_stop(struct divvy_backend_workers *workers) {
    if (!workers->started)
        return;
    divvy_backend_devices_handler_remove(workers->devices, workers->single);
    divvy_backend_single_keeper_set(workers->single, &not_yet);
    workers->started = false;
}

/* --- figures ----------------------------------------------------------------------------------------------------------------- */

/* A worker's limit on a device; 0: none. */
static uint64_t limit_of(const struct divvy_backend_allocation *allocation, const struct divvy_backend_device *device) {
    for (uint32_t i = 0; allocation && i < allocation->claims.count; i++)
        if (divvy_backend_device_is(device, allocation->claims.claims[i].uuid))
            return allocation->claims.claims[i].demand.limit_bytes;
    return 0;
}

static void usage_fill(struct divvy_backend_workers *workers, const struct divvy_accel_process *process, const char *worker,
                       struct divvy_backend_worker_usage *usage) {
    struct divvy_backend_device *device = divvy_backend_devices_get(workers->devices, process->device_uuid);
    struct divvy_backend_allocation *allocation = divvy_backend_allocation_get(workers->allocations, worker);
    uint64_t whole = device ? limit_of(allocation, device) : 0;

    (void)snprintf(usage->worker, sizeof usage->worker, "%s", worker);
    (void)snprintf(usage->device, sizeof usage->device, "%s", process->device_uuid);
    usage->pid = (pid_t)process->pid;
    usage->memory_bytes = process->memory_used_bytes;
    if (!whole && device)
        whole = device->memory_bytes;
    usage->memory_percent = whole ? (double)process->memory_used_bytes * 100 / (double)whole : process->memory_percent;
    usage->compute_percent = process->compute_percent;
    usage->compute_tflops = device ? device->tflops * process->compute_percent / 100 : 0;
    divvy_backend_device_unref(device);
    divvy_backend_allocation_unref(allocation);
}

static int order(const void *a, const void *b) {
    const struct divvy_backend_worker_usage *x = a, *y = b;
    int by_worker = strcmp(x->worker, y->worker), by_device = strcmp(x->device, y->device);

    if (by_worker || by_device)
        return by_worker ? by_worker : by_device;
    return x->pid < y->pid ? -1 : x->pid > y->pid;
}

int divvy_backend_workers_metrics(struct divvy_backend_workers *workers, struct divvy_backend_worker_usage **ret_usages,
                                  size_t *ret_count, struct divvy_error *error) {
    struct divvy_backend_worker_usage *usages;
    struct divvy_backend_leaders leaders;
    struct divvy_accel_processes processes;
    size_t count = 0;
    int status = divvy_backend_devices_processes(workers->devices, &processes, error);

    if (status < 0)
        return status;
    status = divvy_backend_leaders_get(workers->single, &leaders);
    usages = status == 0 ? calloc(processes.count + 1, sizeof *usages) : NULL;
    for (size_t i = 0; usages && i < processes.count; i++) {
        const struct divvy_backend_leader *leader = divvy_backend_leaders_find(&leaders, (pid_t)processes.processes[i].pid);

        if (leader)
            usage_fill(workers, &processes.processes[i], leader->worker, &usages[count++]);
    }
    divvy_accel_processes_free(&processes);
    if (status == 0)
        divvy_backend_leaders_free(&leaders);
    if (!usages)
        return divvy_error_set_errno(error, -ENOMEM, "figures of workers");
    qsort(usages, count, sizeof *usages, order);
    *ret_usages = usages;
    *ret_count = count;
    return 0;
}
