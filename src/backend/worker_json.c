/* Workers in the state file: see worker_json.h. */
#include "backend/worker_json.h"

#include "core/parse.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define RUNNING_INFO "WorkerRunningInfo"

/* --- reading ----------------------------------------------------------------------------------------------------------------- */

/* The text of a quantity, which may be written as a number. */
static int quantity_text(const json_t *value, char ret_text[64]) {
    if (json_is_string(value) && json_string_length(value) < 64 && strlen(json_string_value(value)) == json_string_length(value))
        (void)snprintf(ret_text, 64, "%s", json_string_value(value));
    else if (json_is_integer(value) && json_integer_value(value) >= 0)
        (void)snprintf(ret_text, 64, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value) && json_real_value(value) >= 0 && json_real_value(value) < 1e18)
        (void)snprintf(ret_text, 64, "%.9f", json_real_value(value));
    else
        return -EINVAL;
    return 0;
}

static int quantity_read(const json_t *resource, const char *key, divvy_node_quantity_t *ret, uint64_t *ret_bytes, char why[128]) {
    const json_t *value = divvy_backend_object_get(resource, key);
    divvy_core_fault_t fault = {0, "not a quantity"};
    char text[64];
    int status = 0;

    if (!value)
        return 0;
    status = quantity_text(value, text);
    if (status == 0 && text[0] && ret)
        status = divvy_node_quantity_parse(text, strlen(text), ret, &fault);
    if (status == 0 && text[0] && ret_bytes)
        status = divvy_node_quantity_bytes_parse(text, json_is_real(value) ? strcspn(text, ".") : strlen(text), ret_bytes, &fault);
    if (status < 0)
        (void)snprintf(why, 128, "%s: %s", key, fault.reason);
    return status;
}

static int resource_read(const json_t *object, const char *key, struct divvy_node_resource *ret, char why[128]) {
    const json_t *resource = divvy_backend_object_get(object, key);

    if (!resource)
        return 0;
    if (!json_is_object(resource)) {
        (void)snprintf(why, 128, "an object is needed");
        return -EINVAL;
    }
    if (quantity_read(resource, "tflops", &ret->tflops, NULL, why) < 0 ||
        quantity_read(resource, "compute", &ret->compute, NULL, why) < 0 ||
        quantity_read(resource, "vram", NULL, &ret->vram_bytes, why) < 0)
        return -EINVAL;
    return 0;
}

static int devices_read(const json_t *object, struct divvy_node_worker *worker, char why[128]) {
    const json_t *devices = divvy_backend_object_get(object, "AllocatedDevices"), *value;
    size_t i;

    if (!devices)
        return 0;
    if (!json_is_array(devices) || json_array_size(devices) > DIVVY_NODE_WORKER_DEVICES) {
        (void)snprintf(why, 128, "an array of at most %u UUIDs is needed", DIVVY_NODE_WORKER_DEVICES);
        return -EINVAL;
    }
    json_array_foreach((json_t *)devices, i, value) {
        size_t length = json_string_length(value);

        if (!json_is_string(value) || length == 0 || length >= DIVVY_NODE_WORKER_UUID_BYTES ||
            strlen(json_string_value(value)) != length) {
            (void)snprintf(why, 128, "element %zu is no UUID", i);
            return -EINVAL;
        }
        memcpy(worker->devices[worker->device_count++], json_string_value(value), length + 1);
    }
    return 0;
}

static int words_read(const json_t *object, struct divvy_node_worker *worker, const char **ret_key, char why[128]) {
    char word[64];

    *ret_key = "Status";
    (void)snprintf(why, 128, "Pending, DeviceAllocating, Running or Terminated is needed");
    if (divvy_backend_object_text(object, "Status", word, sizeof word) < 0 ||
        (word[0] && divvy_node_worker_status_parse(word, &worker->status) < 0))
        return -EINVAL;
    worker->has_status = word[0] != '\0';
    *ret_key = "QoS";
    (void)snprintf(why, 128, "low, medium, high or critical is needed");
    worker->qos = DIVVY_NODE_QOS_MEDIUM;
    if (divvy_backend_object_text(object, "QoS", word, sizeof word) < 0 || (word[0] && divvy_node_qos_parse(word, &worker->qos) < 0))
        return -EINVAL;
    *ret_key = "IsolationMode";
    (void)snprintf(why, 128, "shared, soft, hard or partitioned is needed");
    if (divvy_backend_object_text(object, "IsolationMode", word, sizeof word) < 0 ||
        (word[0] && divvy_node_isolation_parse(word, &worker->isolation) < 0))
        return -EINVAL;
    worker->has_isolation = word[0] != '\0';
    return 0;
}

static int texts_read(const json_t *object, struct divvy_node_worker *worker, const char **ret_key, char why[128]) {
    const struct {
        const char *key;
        char *text;
        size_t size;
    } rows[] = {{"Namespace", worker->namespace, sizeof worker->namespace},
                {"WorkerName", worker->name, sizeof worker->name},
                {"WorkloadName", worker->workload, sizeof worker->workload},
                {"WorkloadNamespace", worker->workload_namespace, sizeof worker->workload_namespace},
                {"PartitionTemplateID", worker->template_id, sizeof worker->template_id}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        *ret_key = rows[i].key;
        if (divvy_backend_object_text(object, rows[i].key, rows[i].text, rows[i].size) < 0) {
            (void)snprintf(why, 128, "a text of at most %zu bytes is needed", rows[i].size - 1);
            return -EINVAL;
        }
    }
    return 0;
}

static int rest_read(const json_t *object, struct divvy_node_worker *worker, const char **ret_key, char why[128]) {
    const json_t *deleted;

    *ret_key = "AllocatedDevices";
    if (devices_read(object, worker, why) < 0)
        return -EINVAL;
    *ret_key = "Requests";
    if (resource_read(object, "Requests", &worker->requests, why) < 0)
        return -EINVAL;
    *ret_key = "Limits";
    if (resource_read(object, "Limits", &worker->limits, why) < 0)
        return -EINVAL;
    *ret_key = "DeletedAt";
    deleted = divvy_backend_object_get(object, "DeletedAt");
    (void)snprintf(why, 128, "a number is needed");
    if (deleted && !json_is_integer(deleted))
        return -EINVAL;
    worker->deleted_at = deleted ? json_integer_value(deleted) : 0;
    return 0;
}

int divvy_backend_worker_read(const json_t *object, struct divvy_node_worker *ret_worker, struct divvy_error *error) {
    const char *uid = divvy_backend_object_id(object, DIVVY_BACKEND_WORKERS), *key = "WorkerUID";
    char why[128] = "";

    memset(ret_worker, 0, sizeof *ret_worker);
    if (!uid)
        return divvy_error_set(error, -EINVAL, "a worker without WorkerUID");
    (void)snprintf(ret_worker->uid, sizeof ret_worker->uid, "%s", uid);
    if (texts_read(object, ret_worker, &key, why) < 0 || words_read(object, ret_worker, &key, why) < 0 ||
        rest_read(object, ret_worker, &key, why) < 0)
        return divvy_error_set(error, -EINVAL, "worker %.80s: %s: %.110s", uid, key, why);
    return 0;
}

/* --- writing ----------------------------------------------------------------------------------------------------------------- */

static json_t *resource_json(const struct divvy_node_resource *resource) {
    char tflops[DIVVY_NODE_QUANTITY_TEXT_BYTES], compute[DIVVY_NODE_QUANTITY_TEXT_BYTES], vram[DIVVY_NODE_QUANTITY_TEXT_BYTES];

    divvy_node_quantity_format(resource->tflops, tflops);
    divvy_node_quantity_format(resource->compute, compute);
    divvy_node_quantity_format((divvy_node_quantity_t){resource->vram_bytes, 0}, vram);
    return json_pack("{s:s, s:s, s:s}", "tflops", tflops, "compute", compute, "vram", vram);
}

static json_t *devices_json(const struct divvy_node_worker *worker) {
    json_t *array = worker->device_count ? json_array() : json_null();

    for (uint32_t i = 0; array && i < worker->device_count; i++)
        if (json_array_append_new(array, json_string(worker->devices[i])) < 0) {
            json_decref(array);
            return NULL;
        }
    return array;
}

/* Of what only others know, whatever is there stays. */
static json_t *kept(const json_t *object, const char *key) {
    json_t *value = divvy_backend_object_get(object, key);

    return value ? json_incref(value) : json_null();
}

int divvy_backend_worker_write(const struct divvy_node_worker *worker, json_t *object) {
    const struct {
        const char *key;
        json_t *value;
    } rows[] = {
        {"WorkerUID", json_string(worker->uid)},
        {"Namespace", json_string(worker->namespace)},
        {"WorkerName", json_string(worker->name)},
        {"AllocatedDevices", devices_json(worker)},
        {"Status", json_string(divvy_node_worker_status_name(worker->has_status ? worker->status : DIVVY_NODE_WORKER_RUNNING))},
        {"QoS", json_string(divvy_node_qos_name(worker->qos))},
        {"IsolationMode", json_string(worker->has_isolation ? divvy_node_isolation_name(worker->isolation) : "")},
        {"Requests", resource_json(&worker->requests)},
        {"Limits", resource_json(&worker->limits)},
        {"WorkloadName", json_string(worker->workload)},
        {"WorkloadNamespace", json_string(worker->workload_namespace)},
        {"PartitionTemplateID", json_string(worker->template_id)},
        {"Labels", kept(object, "Labels")},
        {"Annotations", kept(object, "Annotations")},
        {RUNNING_INFO, kept(object, RUNNING_INFO)},
        {"DeletedAt", json_integer(worker->deleted_at)},
    };
    int status = 0;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (status < 0)
            json_decref(rows[i].value);
        else
            status = rows[i].value ? divvy_backend_object_set(object, rows[i].key, rows[i].value) : -ENOMEM;
    }
    return status;
}

/* --- comparing --------------------------------------------------------------------------------------------------------------- */

static bool is_ours(const char *key) {
    return divvy_core_word_equal(key, strlen(key), DIVVY_BACKEND_OWN_PORT) ||
           divvy_core_word_equal(key, strlen(key), DIVVY_BACKEND_OWN_MESSAGE);
}

/* How it is run is a wish; how it fares is not. */
static bool running_same(const json_t *a, const json_t *b) {
    static const char *const wishes[] = {"type", "executable", "args", "env", "workingDir"};

    if (!json_is_object(a) || !json_is_object(b))
        return json_is_object(a) == json_is_object(b);
    for (size_t i = 0; i < sizeof wishes / sizeof wishes[0]; i++) {
        json_t *x = divvy_backend_object_get(a, wishes[i]), *y = divvy_backend_object_get(b, wishes[i]);

        if (!x != !y || (x && !json_equal(x, y)))
            return false;
    }
    return true;
}

static bool holds_all(const json_t *a, const json_t *b) {
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)a, key, value) {
        json_t *other = divvy_backend_object_get(b, key);

        if (is_ours(key) || divvy_core_word_equal(key, strlen(key), RUNNING_INFO))
            continue;
        if (json_is_null(value) ? other != NULL : !other || !json_equal(value, other))
            return false;
    }
    return true;
}

/* Whoever has a port of ours has all of that from us. */
static bool is_run_our_way(const json_t *object) {
    return divvy_backend_object_get(object, DIVVY_BACKEND_OWN_PORT) != NULL;
}

bool divvy_backend_worker_same(const json_t *a, const json_t *b) {
    if (!holds_all(a, b) || !holds_all(b, a))
        return false;
    return is_run_our_way(a) || is_run_our_way(b) ||
           running_same(divvy_backend_object_get(a, RUNNING_INFO), divvy_backend_object_get(b, RUNNING_INFO));
}

bool divvy_backend_worker_is_wanted(const json_t *object, const struct divvy_node_worker *worker) {
    if (worker->deleted_at > 0)
        return false;
    if (!worker->has_status)
        return true;
    switch (worker->status) {
    case DIVVY_NODE_WORKER_RUNNING:
    case DIVVY_NODE_WORKER_ALLOCATING:
        return true;
    case DIVVY_NODE_WORKER_PENDING:
        return json_is_object(divvy_backend_object_get(object, RUNNING_INFO)) && !is_run_our_way(object);
    default:
        return false;
    }
}
