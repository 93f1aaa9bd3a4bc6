/* Tenants: made, looked at, changed, frozen, saved and removed. */
#include "daemon/http/copies.h"
#include "daemon/http/fields.h"
#include "daemon/http/server.h"
#include "daemon/http/shape.h"
#include "daemon/http/spec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int no_tenant(struct divvy_http_request *request) {
    return divvy_http_fail(request, 404, "there is no tenant '%s'", request->id);
}

/* The tenant of the path, if whoever asks may see it. 0, or the status of the refusal. */
static int tenant_get(struct divvy_http_request *request, struct divvy_node_tenant *ret_tenant) {
    int result = divvy_http_copies_tenant(request, request->id, ret_tenant);

    if (result == -ENOENT)
        return no_tenant(request);
    return result < 0 ? divvy_http_fail_errno(request, result, NULL) : 0;
}

static int tenant_answer(struct divvy_http_request *request, int status, const struct divvy_node_tenant *tenant) {
    struct divvy_node_device *devices = NULL;
    size_t count = 0;
    int result = divvy_daemon_devices(request->daemon, &devices, &count);
    json_t *json = result == 0 ? divvy_http_tenant_json(tenant, devices, count) : NULL;

    free(devices);
    return divvy_http_answer(request, status, json);
}

/* After an operation: the tenant as it is now, or what went wrong. */
static int tenant_after(struct divvy_http_request *request, int result, const struct divvy_error *error) {
    struct divvy_node_tenant tenant;

    if (result == -ENOENT)
        return no_tenant(request);
    if (result < 0)
        return divvy_http_fail_errno(request, result, error);
    return tenant_get(request, &tenant) != 0 ? request->status : tenant_answer(request, 200, &tenant);
}

int divvy_http_get_tenants(struct divvy_http_request *request) {
    return divvy_http_answer_tenants(request, "tenants", divvy_http_tenant_json, NULL);
}

/* What only an administrator may say of a new tenant: whose it is, and that it is a pod's. 0, or the status of the refusal. */
static int spec_check(struct divvy_http_request *request, struct divvy_node_spec *spec, bool owner_set) {
    if (!owner_set)
        spec->owner_uid = request->peer.known ? (uint32_t)request->peer.uid : 0;
    if (request->peer.admin)
        return 0;
    if (owner_set && spec->owner_uid != (uint32_t)request->peer.uid)
        return divvy_http_fail(request, 403, "owner_uid: only administrators make tenants of others");
    if (spec->pod[0] || spec->namespace[0] || spec->container[0] || spec->labels[0])
        return divvy_http_fail(request, 403, "pod, namespace, container and labels are for administrators");
    return 0;
}

int divvy_http_post_tenants(struct divvy_http_request *request) {
    struct divvy_node_device *devices = NULL;
    struct divvy_node_tenant tenant;
    struct divvy_node_spec spec;
    struct divvy_error error = {0};
    bool owner_set = false;
    size_t count = 0;
    json_t *body;
    int result, status = divvy_http_body_object(request, false, &body);

    if (status != 0)
        return status;
    result = divvy_daemon_devices(request->daemon, &devices, &count);
    if (result == 0)
        result = divvy_http_spec_read(body, devices, count, &spec, &owner_set, &error);
    json_decref(body);
    free(devices);
    if (result == 0 && (status = spec_check(request, &spec, owner_set)) != 0)
        return status;
    if (result == 0)
        result = divvy_daemon_tenant_create(request->daemon, &request->peer, &spec, &tenant, &error);
    if (result < 0)
        return divvy_http_fail_errno(request, result, &error);
    return tenant_answer(request, 201, &tenant);
}

int divvy_http_get_tenant(struct divvy_http_request *request) {
    struct divvy_node_tenant tenant;

    return tenant_get(request, &tenant) != 0 ? request->status : tenant_answer(request, 200, &tenant);
}

int divvy_http_patch_tenant(struct divvy_http_request *request) {
    struct divvy_node_device *devices = NULL;
    struct divvy_node_change change;
    struct divvy_node_tenant tenant;
    struct divvy_error error = {0};
    size_t count = 0;
    json_t *body;
    int result, status = divvy_http_body_object(request, false, &body);

    if (status != 0)
        return status;
    result = divvy_daemon_devices(request->daemon, &devices, &count);
    if (result == 0)
        result = divvy_http_change_read(body, devices, count, &change, &error);
    json_decref(body);
    free(devices);
    if (result < 0)
        return divvy_http_fail_errno(request, result, &error);
    if (tenant_get(request, &tenant) != 0)
        return request->status;
    result = divvy_daemon_tenant_change(request->daemon, &request->peer, request->id, &change, &error);
    return tenant_after(request, result, &error);
}

int divvy_http_delete_tenant(struct divvy_http_request *request) {
    struct divvy_node_tenant tenant;
    struct divvy_error error = {0};
    bool force;
    int result;

    if (divvy_http_query_flag(request, "force", &force) < 0)
        return divvy_http_fail(request, 400, "force must be 1 or 0");
    if (tenant_get(request, &tenant) != 0)
        return request->status;
    result = divvy_daemon_tenant_remove(request->daemon, &request->peer, request->id, force, &error);
    if (result == -ENOENT)
        return no_tenant(request);
    return result < 0 ? divvy_http_fail_errno(request, result, &error) : divvy_http_answer_empty(request, 204);
}

/* Operations without parameters: their bodies may be empty or an empty object. */
static int operation_check(struct divvy_http_request *request) {
    struct divvy_node_tenant tenant;
    json_t *body;
    size_t size;

    if (divvy_http_body_object(request, true, &body) != 0)
        return request->status;
    size = json_object_size(body);
    json_decref(body);
    if (size > 0)
        return divvy_http_fail(request, 422, "this takes no fields");
    return tenant_get(request, &tenant);
}

static int tenant_freeze(struct divvy_http_request *request, bool frozen) {
    struct divvy_error error = {0};
    int result;

    if (operation_check(request) != 0)
        return request->status;
    result = divvy_daemon_tenant_freeze(request->daemon, &request->peer, request->id, frozen, &error);
    if (result == 0)
        divvy_http_channel_freeze(request, request->id, frozen);
    return tenant_after(request, result, &error);
}

int divvy_http_freeze_tenant(struct divvy_http_request *request) {
    return tenant_freeze(request, true);
}

int divvy_http_thaw_tenant(struct divvy_http_request *request) {
    return tenant_freeze(request, false);
}

int divvy_http_snapshot_tenant(struct divvy_http_request *request) {
    struct divvy_error error = {0};

    if (operation_check(request) != 0)
        return request->status;
    return tenant_after(request, divvy_daemon_tenant_snapshot(request->daemon, &request->peer, request->id, &error), &error);
}

int divvy_http_resume_tenant(struct divvy_http_request *request) {
    struct divvy_error error = {0};

    if (operation_check(request) != 0)
        return request->status;
    return tenant_after(request, divvy_daemon_tenant_resume(request->daemon, &request->peer, request->id, &error), &error);
}

int divvy_http_get_tenant_processes(struct divvy_http_request *request) {
    struct divvy_node_process *processes = NULL;
    struct divvy_node_tenant tenant;
    json_t *list;
    size_t count = 0;
    int result;

    if (tenant_get(request, &tenant) != 0)
        return request->status;
    result = divvy_daemon_processes(request->daemon, request->id, &processes, &count);
    if (result == -ENOENT)
        return no_tenant(request);
    list = json_array();
    for (size_t i = 0; i < count && result == 0; i++)
        if (json_array_append_new(list, divvy_http_process_json(&processes[i])) != 0)
            result = -ENOMEM;
    free(processes);
    if (result < 0) {
        json_decref(list);
        return divvy_http_fail_errno(request, result, NULL);
    }
    return divvy_http_answer(request, 200, json_pack("{s:o}", "processes", list));
}

int divvy_http_post_tenant_process(struct divvy_http_request *request) {
    static const char *const names[] = {"container_pid", NULL};
    struct divvy_node_process process;
    struct divvy_node_tenant tenant;
    struct divvy_error error = {0};
    uint64_t container_pid = 0;
    json_t *body;
    int result, status = divvy_http_body_object(request, true, &body);
    const struct divvy_http_fields fields = {body, ""};

    if (status != 0)
        return status;
    result = body ? divvy_http_fields_only(&fields, names, &error) : 0;
    if (body && result == 0)
        result = divvy_http_field_u64(&fields, "container_pid", 1, INT32_MAX, &container_pid, &error);
    json_decref(body);
    if (result < 0 && result != -ENOENT)
        return divvy_http_fail_errno(request, result, &error);
    if (tenant_get(request, &tenant) != 0)
        return request->status;
    result =
        divvy_daemon_process_register(request->daemon, &request->peer, request->id, (int32_t)container_pid, &process, &error);
    if (result < 0)
        return divvy_http_fail_errno(request, result, &error);
    return divvy_http_answer(request, 201, divvy_http_process_json(&process));
}
