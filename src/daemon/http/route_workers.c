/* Tenants as TensorFusion's hypervisor tells of workers. */
#include "daemon/http/copies.h"
#include "daemon/http/seed.h"
#include "daemon/http/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int no_worker(struct divvy_http_request *request) {
    return divvy_http_fail(request, 404, "worker not found");
}

/* Workers of a single node have no owner: they are shown to whoever may see everybody's. */
static bool may_see_workers(const struct divvy_http_request *request) {
    return request->http->single.workers && (request->credential == DIVVY_HTTP_CREDENTIAL_ADMIN ||
                                             (!request->http->hide_others && request->credential != DIVVY_HTTP_CREDENTIAL_POD));
}

static const char *uid_of(const json_t *allocation) {
    const char *uid = json_string_value(json_object_get(json_object_get(allocation, "WorkerInfo"), "WorkerUID"));

    return uid ? uid : "";
}

static int by_uid(const void *a, const void *b) {
    return strcmp(uid_of(*(json_t *const *)a), uid_of(*(json_t *const *)b));
}

/* Tenants that are no workers of the node, and its workers; by id. `list` is taken over. NULL: no memory. */
static json_t *merged(const struct divvy_http_copies *copies, json_t *workers) {
    size_t count = 0, known = json_array_size(workers);
    json_t **all = calloc(known + copies->tenant_count + 1, sizeof(json_t *)), *list = json_array(), *names = json_object();

    for (size_t i = 0; all && i < known; i++) {
        all[count++] = json_incref(json_array_get(workers, i));
        (void)json_object_set_new(names, uid_of(all[i]), json_true());
    }
    for (size_t i = 0; all && i < copies->tenant_count; i++)
        if (!json_object_get(names, copies->tenants[i].id))
            all[count++] = divvy_http_worker_allocation(&copies->tenants[i], copies->devices, copies->device_count);
    if (all)
        qsort(all, count, sizeof(json_t *), by_uid);
    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(list, all[i]);
    free(all);
    json_decref(names);
    json_decref(workers);
    return list;
}

int divvy_http_get_workers(struct divvy_http_request *request) {
    struct divvy_http_copies copies;
    json_t *workers, *list = NULL;
    int result;

    if (!may_see_workers(request))
        return divvy_http_answer_tenants(request, "data", divvy_http_worker_allocation, NULL);
    result = divvy_http_copies_get(request, &copies);
    workers = result == 0 ? request->http->single.workers(request->http->single.data) : NULL;
    if (workers)
        list = merged(&copies, workers);
    divvy_http_copies_free(&copies);
    if (result < 0)
        return divvy_http_fail_errno(request, result, NULL);
    return divvy_http_answer(request, 200, list ? json_pack("{s:o}", "data", list) : NULL);
}

int divvy_http_get_limiter(struct divvy_http_request *request) {
    return divvy_http_answer_tenants(request, "limiters", divvy_http_limiter_json, NULL);
}

int divvy_http_get_worker(struct divvy_http_request *request) {
    struct divvy_node_device *devices = NULL;
    struct divvy_node_process *processes = NULL;
    struct divvy_node_tenant tenant;
    size_t count = 0, process_count = 0;
    json_t *json = NULL;
    int result;

    if (may_see_workers(request))
        json = request->http->single.worker(request->http->single.data, request->id);
    if (json)
        return divvy_http_answer(request, 200, json_pack("{s:o}", "data", json));
    result = divvy_http_copies_tenant(request, request->id, &tenant);
    if (result == 0)
        result = divvy_daemon_devices(request->daemon, &devices, &count);
    if (result == 0)
        result = divvy_daemon_processes(request->daemon, request->id, &processes, &process_count);
    if (result == 0)
        json = json_pack("{s:{s:s, s:o, s:o}}", "data", "worker_uid", tenant.id, "allocation",
                         divvy_http_worker_allocation(&tenant, devices, count), "metrics",
                         divvy_http_worker_metrics(&tenant, devices, count, processes, process_count));
    free(devices);
    free(processes);
    if (result == -ENOENT)
        return no_worker(request);
    return result < 0 ? divvy_http_fail_errno(request, result, NULL) : divvy_http_answer(request, 200, json);
}

static int worker_save(struct divvy_http_request *request, const char *what,
                       int (*save)(struct divvy_daemon *, const struct divvy_daemon_peer *, const char *,
                                   struct divvy_error *)) {
    struct divvy_node_tenant tenant;
    struct divvy_error error = {0};
    char message[64];
    int result = divvy_http_copies_tenant(request, request->id, &tenant);

    if (result == 0)
        result = save(request->daemon, &request->peer, request->id, &error);
    if (result == -ENOENT)
        return no_worker(request);
    if (result < 0)
        return divvy_http_fail_errno(request, result, &error);
    snprintf(message, sizeof message, "worker %s initiated", what);
    return divvy_http_answer(request, 200, json_pack("{s:s, s:s}", "message", message, "data", request->id));
}

int divvy_http_snapshot_worker(struct divvy_http_request *request) {
    return worker_save(request, "snapshot", divvy_daemon_tenant_snapshot);
}

int divvy_http_resume_worker(struct divvy_http_request *request) {
    return worker_save(request, "resume", divvy_daemon_tenant_resume);
}
