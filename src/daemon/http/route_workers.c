/* Tenants as TensorFusion's hypervisor tells of workers. */
#include "daemon/http/copies.h"
#include "daemon/http/seed.h"
#include "daemon/http/server.h"

#include <errno.h>
#include <stdlib.h>

static int no_worker(struct divvy_http_request *request) {
    return divvy_http_fail(request, 404, "worker not found");
}

int divvy_http_get_workers(struct divvy_http_request *request) {
    return divvy_http_answer_tenants(request, "data", divvy_http_worker_allocation, NULL);
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
    int result = divvy_http_copies_tenant(request, request->id, &tenant);

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
