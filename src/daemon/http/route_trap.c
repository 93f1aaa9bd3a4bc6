/*
 * POST /api/v1/trap. Without a body: device memory of all tenants of low and medium class is moved to host memory, as far as
 * the driver can. With a body: a process that got "out of memory" asks what to do; others of lower class are moved until its
 * request fits, or it hears that it cannot.
 */
#include "daemon/http/copies.h"
#include "daemon/http/fields.h"
#include "daemon/http/server.h"
#include "daemon/http/shape.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The daemon itself decides here: as an administrator, whoever has asked. */
static const struct divvy_daemon_peer self = {.admin = true};

static int trap_all(struct divvy_http_request *request) {
    struct divvy_http_copies copies;
    struct divvy_error error = {0};
    json_int_t moved = 0;
    int result, refused = 0;

    if (request->credential != DIVVY_HTTP_CREDENTIAL_ADMIN)
        return divvy_http_fail(request, 403, "this is for administrators");
    result = divvy_http_copies_get(request, &copies);
    for (size_t i = 0; result == 0 && i < copies.tenant_count; i++) {
        const struct divvy_node_tenant *tenant = &copies.tenants[i];
        int moving;

        if (tenant->qos > DIVVY_NODE_QOS_MEDIUM || tenant->process_count == 0 || tenant->state == DIVVY_NODE_TENANT_SAVED ||
            tenant->state == DIVVY_NODE_TENANT_ASLEEP)
            continue;
        moving = divvy_daemon_tenant_snapshot(request->daemon, &self, tenant->id, &error);
        moved += moving == 0;
        if (moving == -EOPNOTSUPP)
            refused = moving;
    }
    divvy_http_copies_free(&copies);
    if (result < 0)
        return divvy_http_fail_errno(request, result, NULL);
    if (moved == 0 && refused)
        return divvy_http_fail_errno(request, refused, &error);
    return divvy_http_answer(request, 200, json_pack("{s:s, s:I}", "message", "trap initiated", "snapshot_count", moved));
}

/* --- out of memory -------------------------------------------------------------------------------------------------- */

struct trap {
    char id[128];
    int32_t process;
    uint64_t requested_bytes;
    int64_t deadline_ns;
};

static int trap_read(const json_t *body, struct trap *trap, struct divvy_error *error) {
    const struct divvy_http_fields fields = {body, ""};
    const json_t *frame = json_object_get(body, "frame"), *memory = json_object_get(frame, "OutOfMemory");
    const struct divvy_http_fields inner = {memory, "frame.OutOfMemory."};
    uint64_t process = 0, timeout_s = 30;
    int result = divvy_http_field_text(&fields, "trap_id", trap->id, sizeof trap->id, error);

    if (result == -ENOENT)
        return divvy_error_set(error, -EINVAL, "trap_id is missing");
    if (result == 0 && (result = divvy_http_field_u64(&fields, "process_id", 1, INT32_MAX, &process, error)) == -ENOENT)
        return divvy_error_set(error, -EINVAL, "process_id is missing");
    if (result == 0 && !json_is_object(memory))
        return divvy_error_set(error, -EINVAL, "frame must be {\"OutOfMemory\": {\"requested_bytes\": n}}");
    if (result == 0 &&
        (result = divvy_http_field_u64(&inner, "requested_bytes", 1, INT64_MAX, &trap->requested_bytes, error)) == -ENOENT)
        return divvy_error_set(error, -EINVAL, "frame.OutOfMemory.requested_bytes is missing");
    if (result == 0 && (result = divvy_http_field_u64(&fields, "timeout_seconds", 0, 86400, &timeout_s, error)) == -ENOENT)
        result = 0;
    trap->process = (int32_t)process;
    trap->deadline_ns = divvy_http_now_ns() + (int64_t)(timeout_s < 60 ? timeout_s : 60) * 1000000000;
    return result;
}

/* The tenant that the caller's process belongs to; process_id is the process as the host counts. */
static int trapped_tenant(struct divvy_http_request *request, const struct divvy_http_copies *copies, int32_t pid,
                          const struct divvy_node_tenant **ret_tenant) {
    for (size_t i = 0; i < copies->tenant_count; i++) {
        const struct divvy_node_tenant *tenant = &copies->tenants[i];
        struct divvy_node_process *processes = NULL;
        size_t count = 0;
        bool found = false;

        if (request->credential == DIVVY_HTTP_CREDENTIAL_USER && tenant->owner_uid != request->peer.uid)
            continue;
        if (divvy_daemon_processes(request->daemon, tenant->id, &processes, &count) == 0)
            for (size_t j = 0; j < count; j++)
                found = found || processes[j].host_pid == pid;
        free(processes);
        if (found) {
            *ret_tenant = tenant;
            return 0;
        }
    }
    return -ENOENT;
}

/* Bytes that the candidate has on the device, or 0 where it is not to be touched for the sake of `tenant`. */
static uint64_t candidate_bytes(const struct divvy_node_tenant *tenant, uint32_t device,
                                const struct divvy_node_tenant *candidate) {
    if (strcmp(candidate->id, tenant->id) == 0 || candidate->qos >= tenant->qos || candidate->process_count == 0 ||
        candidate->state == DIVVY_NODE_TENANT_SAVED || candidate->state == DIVVY_NODE_TENANT_ASLEEP)
        return 0;
    for (uint32_t i = 0; i < candidate->binding_count; i++)
        if (candidate->bindings[i].device == device)
            return candidate->bindings[i].used_bytes;
    return 0;
}

/* The lowest class first, then who has been idle for longest. */
static const struct divvy_node_tenant *candidate_next(const struct divvy_node_tenant *tenant, uint32_t device,
                                                      const struct divvy_node_tenant *all, size_t count, const bool *tried) {
    const struct divvy_node_tenant *best = NULL;

    for (size_t i = 0; i < count; i++) {
        if (tried[i] || candidate_bytes(tenant, device, &all[i]) == 0)
            continue;
        if (!best || all[i].qos < best->qos || (all[i].qos == best->qos && all[i].active_ns < best->active_ns))
            best = &all[i];
    }
    return best;
}

/* Moves others until `missing` bytes are free. NULL, or why that did not come about. */
static const char *room_make(struct divvy_http_request *request, const struct divvy_node_tenant *tenant, uint32_t device,
                             uint64_t missing, const struct trap *trap) {
    struct divvy_node_tenant *all = NULL;
    const struct divvy_node_tenant *victim;
    const char *why = "no tenant of a lower class holds enough memory";
    size_t count = 0;
    bool *tried;
    uint64_t freed = 0;

    if (divvy_daemon_tenants(request->daemon, &all, &count) < 0)
        return "out of memory";
    tried = calloc(count ? count : 1, sizeof *tried);
    while (tried && freed < missing && (victim = candidate_next(tenant, device, all, count, tried))) {
        struct divvy_error error = {0};
        int result;

        tried[victim - all] = true;
        if (divvy_http_now_ns() >= trap->deadline_ns) {
            why = "no room was made in time";
            break;
        }
        result = divvy_daemon_tenant_snapshot(request->daemon, &self, victim->id, &error);
        if (result == 0)
            freed += candidate_bytes(tenant, device, victim);
        else if (result == -EOPNOTSUPP)
            why = "the driver cannot move memory of running processes";
    }
    free(tried);
    free(all);
    return freed >= missing ? NULL : why;
}

/* What becomes of the request: NULL it may be tried again, or why not. */
static const char *trap_decide(struct divvy_http_request *request, const struct divvy_http_copies *copies,
                               const struct divvy_node_tenant *tenant, const struct trap *trap) {
    const char *why = "the tenant has no device";

    /* The request does not say which device it is about: the first on which it can be met. */
    for (uint32_t i = 0; i < tenant->binding_count; i++) {
        const struct divvy_node_binding *binding = &tenant->bindings[i];
        const struct divvy_node_device *device =
            binding->device < copies->device_count ? &copies->devices[binding->device] : NULL;
        uint64_t used, free_bytes;

        if (!device)
            continue;
        if (binding->limit_bytes != DIVVY_NODE_MEMORY_NONE &&
            (binding->used_bytes > binding->limit_bytes ||
             trap->requested_bytes > binding->limit_bytes - binding->used_bytes)) {
            why = "the request is beyond the tenant's memory limit";
            continue;
        }
        if (trap->requested_bytes > device->memory_bytes) {
            why = "the request is larger than the device";
            continue;
        }
        used = device->memory_used_bytes > 0 ? (uint64_t)device->memory_used_bytes : 0;
        free_bytes = used < device->memory_bytes ? device->memory_bytes - used : 0;
        if (free_bytes >= trap->requested_bytes)
            return NULL;
        why = room_make(request, tenant, binding->device, trap->requested_bytes - free_bytes, trap);
        if (!why)
            return NULL;
    }
    return why;
}

static int trap_memory(struct divvy_http_request *request, const json_t *body) {
    const struct divvy_node_tenant *tenant = NULL;
    struct divvy_http_copies copies;
    struct divvy_error error = {0};
    struct trap trap = {0};
    struct timespec now;
    char when[DIVVY_HTTP_TIME_BYTES];
    const char *why;
    int result = trap_read(body, &trap, &error);

    if (result < 0)
        return divvy_http_fail_errno(request, result, &error);
    result = divvy_http_copies_get(request, &copies);
    if (result == 0)
        result = trapped_tenant(request, &copies, trap.process, &tenant);
    if (result < 0) {
        divvy_http_copies_free(&copies);
        return result == -ENOENT ? divvy_http_fail(request, 404, "no process %d of a tenant of yours", trap.process)
                                 : divvy_http_fail_errno(request, result, NULL);
    }
    why = trap_decide(request, &copies, tenant, &trap);
    divvy_daemon_event_process(request->daemon, DIVVY_NODE_EVENT_TRAP, tenant->id, trap.process,
                               "process %d is short of %llu bytes: %s", trap.process, (unsigned long long)trap.requested_bytes,
                               why ? why : "there is room now");
    divvy_http_copies_free(&copies);
    clock_gettime(CLOCK_REALTIME, &now);
    divvy_http_time_format((int64_t)now.tv_sec * 1000000000 + now.tv_nsec, when);
    return divvy_http_answer(request, 200,
                             json_pack("{s:s, s:o, s:s}", "trap_id", trap.id, "action",
                                       why ? json_pack("{s:s}", "Fatal", why) : json_string("Resume"), "timestamp", when));
}

int divvy_http_trap(struct divvy_http_request *request) {
    json_t *body;
    int status = divvy_http_body_object(request, true, &body);

    if (status != 0)
        return status;
    status = body ? trap_memory(request, body) : trap_all(request);
    json_decref(body);
    return status;
}
