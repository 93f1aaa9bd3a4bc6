/* The single-node backend inside divvyd: see single.h. */
#include "daemon/single.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "core/parse.h"
#include "daemon/single_inside.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *or_null(const char *text) {
    return text && text[0] ? text : NULL;
}

static int controllers_make(struct divvy_single *single, const struct divvy_single_options *options, struct divvy_error *error) {
    char logs[PATH_MAX];
    struct divvy_backend_devices_options devices = {.library = or_null(options->accelerator),
                                                    .vendor = or_null(options->vendor),
                                                    .interval_ns = options->discovery_interval_ns,
                                                    .isolation = (enum divvy_node_isolation)options->isolation,
                                                    .state_fd = single->state_fd};
    struct divvy_backend_allocations_options allocations = {
        .overcommit = {options->memory_permille, options->compute_permille},
        .isolation = (enum divvy_node_isolation)options->isolation,
        .limiter = divvy_single_limiter(&single->notes),
        .library_dir = or_null(options->library_dir),
    };
    struct divvy_backend_single_options backend = {
        .state_fd = single->state_fd, .log_folder = logs, .worker_binary = or_null(options->worker_binary)};
    int status;

    if (snprintf(logs, sizeof logs, "%s/logs", options->state_dir) >= (int)sizeof logs)
        return divvy_error_set(error, -ENAMETOOLONG, "the folder of state has too long a name");
    status = divvy_backend_devices_new(&devices, &single->devices, error);
    if (status == 0 && divvy_backend_allocations_new(single->devices, &allocations, &single->allocations) < 0)
        status = divvy_error_set_errno(error, -ENOMEM, "the single-node backend");
    if (status == 0)
        status = divvy_backend_single_new(&backend, &single->single, error);
    if (status == 0 && divvy_backend_workers_new(single->devices, single->allocations, single->single, &single->workers) < 0)
        status = divvy_error_set_errno(error, -ENOMEM, "the single-node backend");
    return status;
}

/* A device that a worker may be given leases of must be known to the daemon too; others can be used in other ways. */
int divvy_single_start(struct divvy_daemon *daemon, const struct divvy_single_options *options, struct divvy_single **ret_single,
                       struct divvy_error *error) {
    struct divvy_single *single = calloc(1, sizeof *single);
    int status;

    if (!single)
        return divvy_error_set_errno(error, -ENOMEM, "the single-node backend");
    single->notes.fd = -1;
    single->state_fd = divvy_backend_folder_open(options->state_dir, error);
    status = single->state_fd < 0 ? single->state_fd : divvy_single_notes_open(daemon, single->state_fd, &single->notes, error);
    if (status == 0)
        status = controllers_make(single, options, error);
    if (status == 0)
        status = divvy_backend_devices_start(single->devices, error);
    if (status == 0 && divvy_backend_workers_start(single->workers) < 0)
        status = divvy_error_set_errno(error, -ENOMEM, "the single-node backend");
    if (status == 0)
        status = divvy_backend_single_start(single->single, error);
    if (status < 0) {
        divvy_single_stop(single);
        (void)divvy_error_prefix(error, "single-node");
        return status;
    }
    divvy_single_notes_sweep(&single->notes, single->single);
    divvy_log_info("single node: workers of %s/" DIVVY_BACKEND_WORKERS_FILE ", devices of %s", options->state_dir,
                   divvy_backend_devices_vendor(single->devices));
    *ret_single = single;
    return 0;
}

void divvy_single_stop(struct divvy_single *single) {
    if (!single)
        return;
    if (single->single)
        divvy_backend_single_stop(single->single);
    divvy_backend_workers_free(single->workers);
    divvy_backend_single_free(single->single);
    divvy_backend_allocations_free(single->allocations);
    divvy_backend_devices_free(single->devices);
    divvy_cleanup_close(&single->notes.fd);
    divvy_cleanup_close(&single->state_fd);
    free(single);
}

/* --- JSON -------------------------------------------------------------------------------------------------------------------- */

static json_t *pairs_json(const struct divvy_backend_pairs *pairs) {
    json_t *array = json_array();

    for (size_t i = 0; i < pairs->count; i++)
        (void)json_array_append_new(array, json_pack("{s:s, s:s, s:s}", "guestPath", pairs->pairs[i].value, "hostPath",
                                                     pairs->pairs[i].key, "permissions", "rwm"));
    return array;
}

static json_t *environment_json(const struct divvy_backend_environment *environment) {
    json_t *object = json_object();

    for (size_t i = 0; i < environment->count; i++) {
        const char *value = strchr(environment->entries[i], '=');

        if (value)
            (void)json_object_setn_new(object, environment->entries[i], (size_t)(value - environment->entries[i]),
                                       json_string(value + 1));
    }
    return object;
}

static json_t *allocation_json(const struct divvy_backend_allocation *allocation) {
    json_t *info = json_object(), *devices = json_array(), *mounts = json_array(), *nodes = json_array();

    if (!info || divvy_backend_worker_write(&allocation->worker, info) < 0) {
        json_decref(info);
        info = NULL;
    }
    (void)json_object_set_new(info, "IsolationMode", json_string(divvy_node_isolation_name(allocation->claims.isolation)));
    for (uint32_t i = 0; i < allocation->device_count; i++) {
        json_t *device = json_object(), *own = pairs_json(&allocation->devices[i]->nodes);

        (void)divvy_backend_device_write(allocation->devices[i], device);
        (void)json_array_append_new(devices, device);
        (void)json_array_extend(nodes, own);
        json_decref(own);
    }
    for (size_t i = 0; i < allocation->mounts.count; i++)
        (void)json_array_append_new(mounts, json_pack("{s:s, s:s}", "guestPath", allocation->mounts.mounts[i].guest, "hostPath",
                                                      allocation->mounts.mounts[i].host));
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "WorkerInfo", info, "DeviceInfos", devices, "Envs",
                     environment_json(&allocation->environment), "Mounts", mounts, "Devices", nodes);
}

json_t *divvy_single_workers_json(void *data) {
    struct divvy_single *single = data;
    struct divvy_backend_allocation **list;
    json_t *array = json_array();
    size_t count;

    if (!array || divvy_backend_allocations_list(single->allocations, &list, &count) < 0) {
        json_decref(array);
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        (void)json_array_append_new(array, allocation_json(list[i]));
        divvy_backend_allocation_unref(list[i]);
    }
    free(list);
    return array;
}

static json_t *object_in(json_t *object, const char *key) {
    if (!json_object_get(object, key))
        (void)json_object_set_new(object, key, json_object());
    return json_object_get(object, key);
}

/* By device in lower case, then by process. */
static json_t *metrics_json(struct divvy_single *single, const char *uid) {
    cleanup_free struct divvy_backend_worker_usage *usages = NULL;
    struct divvy_error error = {0, ""};
    json_t *metrics = json_object();
    size_t count = 0;

    if (divvy_backend_workers_metrics(single->workers, &usages, &count, &error) < 0)
        divvy_log_debug("figures of workers: %s", error.text);
    for (size_t i = 0; usages && i < count; i++) {
        const struct divvy_backend_worker_usage *usage = &usages[i];
        char device[DIVVY_ACCEL_NAME_BYTES], pid[16];
        size_t k = 0;

        if (strcmp(usage->worker, uid) != 0)
            continue;
        for (; usage->device[k] && k + 1 < sizeof device; k++)
            device[k] = divvy_core_ascii_lower(usage->device[k]);
        device[k] = '\0';
        (void)snprintf(pid, sizeof pid, "%d", (int)usage->pid);
        (void)json_object_set_new(
            object_in(metrics, device), pid,
            json_pack("{s:s, s:s, s:s, s:I, s:f, s:f, s:f, s:n}", "DeviceUUID", device, "WorkerUID", uid, "ProcessID", pid, "MemoryBytes",
                      (json_int_t)usage->memory_bytes, "MemoryPercentage", usage->memory_percent, "ComputeTflops", usage->compute_tflops,
                      "ComputePercentage", usage->compute_percent, "ExtraMetrics"));
    }
    return metrics;
}

/* --- for the file of metrics -------------------------------------------------------------------------------------------------- */

static json_t *usage_json(struct divvy_single *single, const struct divvy_backend_worker_usage *usage) {
    struct divvy_backend_allocation *allocation = divvy_backend_allocation_get(single->allocations, usage->worker);
    json_t *object = json_pack("{s:s, s:s, s:I, s:f, s:f, s:f}", "WorkerUID", usage->worker, "DeviceUUID", usage->device, "MemoryBytes",
                               (json_int_t)usage->memory_bytes, "MemoryPercentage", usage->memory_percent, "ComputePercentage",
                               usage->compute_percent, "ComputeTflops", usage->compute_tflops);

    if (object && allocation)
        (void)json_object_update_new(object, json_pack("{s:s, s:s, s:s}", "WorkerName", allocation->worker.name, "Namespace",
                                                       allocation->worker.namespace, "WorkloadName", allocation->worker.workload));
    divvy_backend_allocation_unref(allocation);
    return object;
}

/* `usages` are in order of worker and device: those of one pair are summed up in the first; how many there were. */
static size_t usage_sum(struct divvy_backend_worker_usage *usages, size_t count) {
    size_t same = 1;

    for (; same < count && strcmp(usages[same].worker, usages->worker) == 0 && strcmp(usages[same].device, usages->device) == 0; same++) {
        usages->memory_bytes += usages[same].memory_bytes;
        usages->memory_percent += usages[same].memory_percent;
        usages->compute_percent += usages[same].compute_percent;
        usages->compute_tflops += usages[same].compute_tflops;
    }
    return same;
}

json_t *divvy_single_usages_json(void *data) {
    struct divvy_single *single = data;
    cleanup_free struct divvy_backend_worker_usage *usages = NULL;
    struct divvy_error error = {0, ""};
    json_t *array;
    size_t count;

    if (divvy_backend_workers_metrics(single->workers, &usages, &count, &error) < 0) {
        divvy_log_debug("figures of workers: %s", error.text);
        return NULL;
    }
    array = json_array();
    for (size_t i = 0, same; array && i < count; i += same) {
        struct divvy_node_tenant tenant;

        same = usage_sum(&usages[i], count - i);
        if (divvy_daemon_tenant(single->notes.daemon, usages[i].worker, &tenant) < 0)
            (void)json_array_append_new(array, usage_json(single, &usages[i]));
    }
    return array;
}

json_t *divvy_single_worker_json(void *data, const char *uid) {
    struct divvy_single *single = data;
    struct divvy_backend_allocation *allocation = divvy_backend_allocation_get(single->allocations, uid);
    struct divvy_backend_worker *view = calloc(1, sizeof *view);
    json_t *json = NULL;

    if (view && allocation && divvy_backend_single_get(single->single, uid, view) == 0)
        json = json_pack("{s:s, s:o, s:o, s:s, s:s}", "worker_uid", uid, "allocation", allocation_json(allocation), "metrics",
                         metrics_json(single, uid), "status", divvy_node_worker_status_name(view->status), "message", view->message);
    divvy_backend_allocation_unref(allocation);
    free(view);
    return json;
}
