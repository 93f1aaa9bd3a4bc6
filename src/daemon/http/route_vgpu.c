/* vGPUs of VMs, for an orchestrator: capacity, assignments, usage. */
#include "daemon/http/server.h"
#include "daemon/http/vgpu.h"

#include <errno.h>
#include <string.h>

/* Opens the state, or answers why not: 0 or the answer's status. */
static int state_open(struct divvy_http_request *request, struct divvy_relay_store **ret_store) {
    struct divvy_error error = {0};
    int status = divvy_http_vgpu_open(&request->http->vgpu, ret_store, &error);

    return status < 0 ? divvy_http_fail_errno(request, status, &error) : 0;
}

int divvy_http_get_vgpu_capacity(struct divvy_http_request *request) {
    struct divvy_relay_store_capacity pools[DIVVY_RELAY_STORE_POOLS];
    struct divvy_relay_store_gpu *gpus = calloc(DIVVY_RELAY_STORE_GPUS_MAX, sizeof *gpus);
    struct divvy_relay_store *store;
    struct divvy_error error = {0};
    json_t *json = NULL;
    size_t count;
    int status;

    if (!gpus)
        return divvy_http_fail_errno(request, -ENOMEM, NULL);
    status = state_open(request, &store);
    if (status == 0) {
        status = divvy_relay_store_capacity(store, pools, &error);
        if (status == 0)
            status = divvy_relay_store_gpus(store, gpus, &count, &error);
        if (status == 0)
            json = divvy_http_vgpu_capacity_json(pools, gpus, count);
        divvy_relay_store_close(store);
        status = status < 0 ? divvy_http_fail_errno(request, status, &error) : divvy_http_answer(request, 200, json);
    }
    free(gpus);
    return status;
}

static int vm_add(const struct divvy_relay_store_vm *vm, void *data) {
    return json_array_append_new(data, divvy_http_vgpu_json(vm)) < 0 ? -ENOMEM : 0;
}

/* The VMs of the state, or NULL with the answer set. */
static json_t *vms_get(struct divvy_http_request *request) {
    struct divvy_relay_store *store;
    struct divvy_error error = {0};
    json_t *list = json_array();
    int status;

    if (state_open(request, &store) != 0) {
        json_decref(list);
        return NULL;
    }
    status = divvy_relay_store_each(store, vm_add, list, &error);
    divvy_relay_store_close(store);
    if (status == 0)
        return list;
    json_decref(list);
    (void)divvy_http_fail_errno(request, status, &error);
    return NULL;
}

int divvy_http_get_vgpu_assignments(struct divvy_http_request *request) {
    json_t *list = vms_get(request);

    return list ? divvy_http_answer(request, 200, json_pack("{s:o}", "assignments", list)) : request->status;
}

int divvy_http_get_vgpu_assignment(struct divvy_http_request *request) {
    struct divvy_relay_store_vm vm;
    struct divvy_relay_store *store;
    struct divvy_error error = {0};
    int status = state_open(request, &store);

    if (status != 0)
        return status;
    status = divvy_http_vgpu_find(store, request->id, &vm, &error);
    divvy_relay_store_close(store);
    return status < 0 ? divvy_http_fail_errno(request, status, &error) : divvy_http_answer(request, 200, divvy_http_vgpu_json(&vm));
}

int divvy_http_post_vgpu_assignment(struct divvy_http_request *request) {
    struct divvy_http_vgpu_wish wish;
    struct divvy_relay_store_vm vm;
    struct divvy_relay_store *store;
    struct divvy_error error = {0};
    bool is_new = false, is_live = false;
    json_t *body = NULL;
    int status = divvy_http_body_object(request, false, &body);

    if (status != 0)
        return status;
    status = divvy_http_vgpu_wish_read(body, &wish, &error);
    json_decref(body);
    if (status < 0)
        return divvy_http_fail(request, 400, "%s", error.text);
    status = state_open(request, &store);
    if (status != 0)
        return status;
    status = divvy_http_vgpu_create(&request->http->vgpu, store, &wish, &vm, &is_new, &is_live, &error);
    divvy_relay_store_close(store);
    if (status < 0)
        return divvy_http_fail_errno(request, status, &error);
    return divvy_http_answer(request, is_new ? 201 : 200,
                             json_pack("{s:o, s:b}", "assignment", divvy_http_vgpu_json(&vm), "live", (int)is_live));
}

int divvy_http_delete_vgpu_assignment(struct divvy_http_request *request) {
    struct divvy_relay_store *store;
    struct divvy_error error = {0};
    int status = state_open(request, &store);

    if (status != 0)
        return status;
    status = divvy_http_vgpu_destroy(&request->http->vgpu, store, request->id, &error);
    divvy_relay_store_close(store);
    if (status < 0)
        return divvy_http_fail_errno(request, status, &error);
    return divvy_http_answer(request, 200, json_pack("{s:b}", "removed", status));
}

/* What the relay counted of the VM with this number, or NULL. Borrowed. */
static json_t *usage_of(const json_t *metrics, json_int_t vm_id) {
    json_t *one;
    size_t i;

    json_array_foreach(json_object_get(metrics, "vms"), i, one) if (json_integer_value(json_object_get(one, "vm_id")) == vm_id) return one;
    return NULL;
}

/* The figures of the relay under this API's own names; null where it does not know the VM. */
static json_t *usage_json(const json_t *one) {
    static const struct {
        const char *name, *key;
    } figures[] = {{"jobs", "jobs"},       {"errors", "errors"}, {"rejected", "rejected"}, {"gpu_time_ns", "used_ns"}, {"queued", "queued"},
                   {"running", "running"}, {"p50_us", "p50_us"}, {"p95_us", "p95_us"},     {"p99_us", "p99_us"},       {"utilisation", "utilisation"}};
    json_t *object;

    if (!one)
        return json_null();
    object = json_object();
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++) {
        json_t *value = json_object_get(one, figures[i].key);

        if (json_object_set(object, figures[i].name, value ? value : json_null()) < 0)
            break;
    }
    return object;
}

int divvy_http_get_vgpu_usage(struct divvy_http_request *request) {
    json_t *vms = vms_get(request), *metrics = NULL, *list, *vm;
    struct divvy_error error = {0};
    size_t i;

    if (!vms)
        return request->status;
    if (divvy_http_vgpu_metrics(&request->http->vgpu, &metrics, &error) < 0) {
        json_decref(vms);
        return divvy_http_fail_errno(request, error.status, &error);
    }
    list = json_array();
    json_array_foreach(vms, i, vm) {
        json_t *id = json_object_get(vm, "vm_id");

        (void)json_array_append_new(list, json_pack("{s:O, s:O, s:O, s:O, s:o}", "vm_id", id, "name", json_object_get(vm, "name"), "uuid",
                                                    json_object_get(vm, "uuid"), "pool", json_object_get(vm, "pool"), "usage",
                                                    usage_json(usage_of(metrics, json_integer_value(id)))));
    }
    vm = json_pack("{s:b, s:o}", "live", metrics != NULL, "vms", list);
    json_decref(vms);
    json_decref(metrics);
    return divvy_http_answer(request, 200, vm);
}
