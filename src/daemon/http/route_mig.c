/* Slices of GPUs (MIG) over HTTP: allocate, deallocate, devices. */
#include "core/parse.h"
#include "daemon/http/fields.h"
#include "daemon/http/mig.h"
#include "daemon/http/server.h"
#include "daemon/http/shape.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_S     3600u /* where none is given */
#define TIMEOUT_MAX_S (366u * 86400u)
#define MEMORY_MAX_GB (1u << 20)

/* --- shapes ------------------------------------------------------------------------------------------------------- */

static json_t *allocation_json(const struct divvy_http_mig_allocation *allocation) {
    char created[DIVVY_HTTP_TIME_BYTES], expires[DIVVY_HTTP_TIME_BYTES];

    divvy_http_time_format(allocation->created_ns, created);
    divvy_http_time_format(allocation->expires_ns, expires);
    return json_pack("{s:s, s:s, s:i, s:s, s:o, s:s, s:s}", "workload_id", allocation->workload, "device_uuid",
                     allocation->device.uuid, "gpu", (int)allocation->device.gpu_index, "profile", allocation->device.profile,
                     "memory_bytes", divvy_http_u64_json(allocation->device.memory_bytes), "created_at", created, "expires_at",
                     expires);
}

static bool is_available(const struct divvy_http_mig_device *device) {
    return device->device.is_mig && !divvy_mig_holder_is_taken(&device->holder);
}

static json_t *device_json(const struct divvy_http_mig_device *entry) {
    const struct divvy_mig_device *device = &entry->device;
    uint64_t used_bytes = device->memory_used_bytes;

    return json_pack("{s:i, s:s, s:s, s:s, s:b, s:s, s:o, s:o, s:b, s:o, s:s}", "gpu", (int)device->gpu_index, "uuid",
                     device->uuid, "parent_uuid", device->parent_uuid, "name", device->name, "is_mig", (int)device->is_mig,
                     "profile", device->profile, "memory_bytes", divvy_http_u64_json(device->memory_bytes),
                     "memory_used_bytes", used_bytes == DIVVY_MIG_UNKNOWN_BYTES ? json_null() : divvy_http_u64_json(used_bytes),
                     "available", (int)is_available(entry), "holder_pid",
                     device->is_mig && entry->holder.pid ? json_integer(entry->holder.pid) : json_null(), "state",
                     device->is_mig ? divvy_mig_holder_state_name(entry->holder.state) : "whole");
}

static json_t *devices_json(const struct divvy_http_mig_device *devices, size_t count, bool only_available) {
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++)
        if (!only_available || is_available(&devices[i]))
            (void)json_array_append_new(list, device_json(&devices[i]));
    return list;
}

/* What the driver does not tell, as of instances, is left out. */
static json_t *utilisation_json(const struct divvy_http_mig_device *devices, size_t count) {
    json_t *object = json_object();

    for (size_t i = 0; i < count; i++)
        if (devices[i].device.utilisation_percent != DIVVY_MIG_UNKNOWN)
            (void)json_object_set_new(object, devices[i].device.uuid, json_integer(devices[i].device.utilisation_percent));
    return object;
}

/* hide-others: users see their own. */
static bool may_see(const struct divvy_http_request *request, const struct divvy_http_mig_allocation *allocation) {
    if (request->credential == DIVVY_HTTP_CREDENTIAL_POD)
        return false;
    return !request->http->hide_others || request->peer.admin ||
           (request->peer.known && request->peer.uid == allocation->uid);
}

static json_t *allocations_json(const struct divvy_http_request *request,
                                const struct divvy_http_mig_allocation *allocations, size_t count) {
    json_t *object = json_object();

    for (size_t i = 0; i < count; i++)
        if (may_see(request, &allocations[i]))
            (void)json_object_set_new(object, allocations[i].workload, allocation_json(&allocations[i]));
    return object;
}

/* --- allocations ---------------------------------------------------------------------------------------------------- */

static int no_success(struct divvy_http_request *request, int status, const char *message) {
    return divvy_http_answer(request, status, json_pack("{s:b, s:s}", "success", 0, "message", message));
}

/* The text of a profile: its id, or a wish by size. */
static int profile_read(const json_t *body, char *text, size_t size, struct divvy_error *error) {
    static const char *const names[] = {"id", "memory_gb", "compute_util", NULL};
    const json_t *object = json_object_get(body, "profile");
    const struct divvy_http_fields fields = {object, "profile."};
    uint64_t gigabytes = 0, percent = 0;
    int status;

    if (!json_is_object(object))
        return divvy_error_set(error, -EINVAL, "profile must be an object with id or memory_gb");
    status = divvy_http_fields_only(&fields, names, error);
    if (status == 0) {
        status = divvy_http_field_u64(&fields, "compute_util", 0, 100, &percent, error);
        status = status == -ENOENT ? 0 : status;
    }
    if (status == 0) {
        status = divvy_http_field_u64(&fields, "memory_gb", 1, MEMORY_MAX_GB, &gigabytes, error);
        status = status == -ENOENT ? 0 : status;
    }
    if (status == 0)
        status = divvy_http_field_text(&fields, "id", text, size, error);
    if (status == -ENOENT && gigabytes > 0) {
        (void)snprintf(text, size, "custom.%" PRIu64, gigabytes * 1024);
        return 0;
    }
    return status == -ENOENT ? divvy_error_set(error, -EINVAL, "profile.id is missing, and memory_gb too") : status;
}

static int wish_read(const json_t *body, struct divvy_http_mig_wish *wish, char *workload, char *profile,
                     struct divvy_error *error) {
    static const char *const names[] = {"workload_id", "profile", "timeout", NULL};
    const struct divvy_http_fields fields = {body, ""};
    uint64_t timeout_s = TIMEOUT_S;
    int status = divvy_http_fields_only(&fields, names, error);

    if (status == 0 &&
        (status = divvy_http_field_text(&fields, "workload_id", workload, DIVVY_NODE_ID_BYTES, error)) == -ENOENT)
        return divvy_error_set(error, -EINVAL, "workload_id is missing");
    if (status == 0) {
        status = divvy_http_field_u64(&fields, "timeout", 0, TIMEOUT_MAX_S, &timeout_s, error);
        status = status == -ENOENT ? 0 : status;
    }
    if (status == 0)
        status = profile_read(body, profile, DIVVY_MIG_PROFILE_BYTES + 32, error);
    if (status < 0)
        return status;
    wish->workload = workload;
    wish->profile = profile;
    wish->timeout_ns = (int64_t)(timeout_s ? timeout_s : TIMEOUT_S) * 1000000000;
    return 0;
}

int divvy_http_post_gpu_allocate(struct divvy_http_request *request) {
    char workload[DIVVY_NODE_ID_BYTES], profile[DIVVY_MIG_PROFILE_BYTES + 32], message[DIVVY_NODE_ID_BYTES + 160];
    struct divvy_http_mig_wish wish = {.uid = request->peer.known ? request->peer.uid : 0};
    struct divvy_http_mig_allocation allocation;
    struct divvy_mig_error failed = {0};
    struct divvy_error error = {0};
    json_t *body = NULL;
    int status = divvy_http_body_object(request, false, &body);

    if (status != 0)
        return status;
    status = wish_read(body, &wish, workload, profile, &error);
    json_decref(body);
    if (status < 0)
        return divvy_http_fail(request, 400, "%s", error.text);
    status = divvy_http_mig_allocate(request->http->mig, &wish, &allocation, &failed);
    if (status == -EINVAL)
        return divvy_http_fail(request, 400, "%s", failed.text);
    if (status < 0)
        return no_success(request, status == -EEXIST ? 409 : 500, failed.text);
    (void)snprintf(message, sizeof message, "%s allocated to workload %s", allocation.device.uuid, workload);
    return divvy_http_answer(request, 200, json_pack("{s:o, s:b, s:s}", "allocation", allocation_json(&allocation), "success",
                                                     1, "message", message));
}

int divvy_http_delete_gpu_allocation(struct divvy_http_request *request) {
    uint32_t uid = request->peer.known ? request->peer.uid : UINT32_MAX;
    char *text = NULL;
    int status = divvy_http_mig_deallocate(request->http->mig, request->id, uid,
                                           request->credential == DIVVY_HTTP_CREDENTIAL_ADMIN), length;

    if (status == -EPERM)
        return divvy_http_fail(request, 403, "the allocation is another user's");
    if (status < 0)
        return divvy_http_fail(request, 404, "no workload of this name has an allocation");
    length = asprintf(&text, "GPU deallocated for workload %s\n", request->id);
    if (length < 0)
        return divvy_http_answer_empty(request, 500);
    return divvy_http_answer_text(request, 200, "text/plain; charset=utf-8", text, (size_t)length);
}

int divvy_http_get_gpu_allocation(struct divvy_http_request *request) {
    struct divvy_http_mig_allocation allocation;

    if (divvy_http_mig_find(request->http->mig, request->id, &allocation) < 0 || !may_see(request, &allocation))
        return divvy_http_fail(request, 404, "no workload of this name has an allocation");
    return divvy_http_answer(request, 200, allocation_json(&allocation));
}

int divvy_http_get_gpu_allocations(struct divvy_http_request *request) {
    struct divvy_http_mig_allocation *allocations = NULL;
    size_t count = 0;
    json_t *object;

    if (divvy_http_mig_allocations(request->http->mig, &allocations, &count) < 0)
        return divvy_http_answer_empty(request, 500);
    object = allocations_json(request, allocations, count);
    free(allocations);
    return divvy_http_answer(request, 200, object);
}

/* --- devices -------------------------------------------------------------------------------------------------------- */

/* 0, or the status of the failure, which is answered. */
static int devices_get(struct divvy_http_request *request, struct divvy_http_mig_device **ret_devices, size_t *ret_count) {
    struct divvy_mig_error error = {0};
    int status = divvy_http_mig_devices(request->http->mig, ret_devices, ret_count, &error);

    return status < 0 ? divvy_http_fail(request, 503, "%s", error.text[0] ? error.text : "out of memory") : 0;
}

static int devices_answer(struct divvy_http_request *request, json_t *(*make)(const struct divvy_http_mig_device *devices,
                                                                             size_t count)) {
    struct divvy_http_mig_device *devices = NULL;
    size_t count = 0;
    json_t *json;
    int status = devices_get(request, &devices, &count);

    if (status != 0)
        return status;
    json = make(devices, count);
    free(devices);
    return divvy_http_answer(request, 200, json);
}

static json_t *all_json(const struct divvy_http_mig_device *devices, size_t count) {
    return devices_json(devices, count, false);
}

static json_t *available_json(const struct divvy_http_mig_device *devices, size_t count) {
    return devices_json(devices, count, true);
}

int divvy_http_get_gpu_devices(struct divvy_http_request *request) {
    return devices_answer(request, all_json);
}

int divvy_http_get_gpu_available(struct divvy_http_request *request) {
    return devices_answer(request, available_json);
}

int divvy_http_get_gpu_utilization(struct divvy_http_request *request) {
    return devices_answer(request, utilisation_json);
}

int divvy_http_get_gpu_status(struct divvy_http_request *request) {
    struct divvy_http_mig_allocation *allocations = NULL;
    struct divvy_http_mig_device *devices = NULL;
    size_t device_count = 0, allocation_count = 0;
    json_t *json = NULL;
    int status = devices_get(request, &devices, &device_count);

    if (status != 0)
        return status;
    if (divvy_http_mig_allocations(request->http->mig, &allocations, &allocation_count) == 0)
        json = json_pack("{s:o, s:o, s:o}", "devices", devices_json(devices, device_count, false), "utilization",
                         utilisation_json(devices, device_count), "allocations",
                         allocations_json(request, allocations, allocation_count));
    free(allocations);
    free(devices);
    return divvy_http_answer(request, 200, json);
}

int divvy_http_get_gpu_health(struct divvy_http_request *request) {
    char now[DIVVY_HTTP_TIME_BYTES];
    struct timespec time;

    (void)clock_gettime(CLOCK_REALTIME, &time);
    divvy_http_time_format((int64_t)time.tv_sec * 1000000000 + time.tv_nsec, now);
    return divvy_http_answer(request, 200, json_pack("{s:s, s:s, s:s}", "status", "healthy", "timestamp", now, "service",
                                                     "mig-api"));
}
