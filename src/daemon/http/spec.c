/* Bodies of POST and PATCH of tenants. */
#include "daemon/http/spec.h"

#include "core/parse.h"
#include "core/uuid.h"
#include "daemon/http/fields.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int divvy_http_device_find(const struct divvy_node_device *devices, size_t count, const char *text) {
    size_t length = strlen(text);
    uint64_t index;
    bool is_index = length > 0 && length < 6 && divvy_core_u64_parse(text, length, &index, NULL) == 0;

    for (size_t i = 0; i < count; i++) {
        if (is_index ? devices[i].index == index
                     : divvy_core_uuid_text_equal(text, length, devices[i].uuid_text, strlen(devices[i].uuid_text)))
            return (int)i;
    }
    return -ENOENT;
}

static int gpu_read(const struct divvy_http_fields *fields, const struct divvy_node_device *devices, size_t count,
                    int *ret_place, struct divvy_error *error) {
    const json_t *value = json_object_get(fields->object, "gpu");
    char text[DIVVY_NODE_UUID_BYTES] = "";

    if (!value)
        return -ENOENT;
    if (json_is_integer(value) && json_integer_value(value) >= 0 && json_integer_value(value) < 65536)
        snprintf(text, sizeof text, "%d", (int)json_integer_value(value));
    else if (!json_is_string(value))
        return divvy_error_set(error, -EINVAL, "%sgpu must be a UUID or an index", fields->prefix);
    else if (json_string_length(value) < sizeof text)
        snprintf(text, sizeof text, "%s", json_string_value(value));
    *ret_place = divvy_http_device_find(devices, count, text);
    if (*ret_place < 0)
        return divvy_error_set(error, -EINVAL, "%sgpu: this node has no GPU '%.60s'", fields->prefix,
                               json_is_string(value) ? json_string_value(value) : text);
    return 0;
}

static int qos_read(const struct divvy_http_fields *fields, enum divvy_node_qos *ret_qos, struct divvy_error *error) {
    char text[16];
    int result = divvy_http_field_text(fields, "qos", text, sizeof text, error);

    if (result == 0 && divvy_node_qos_parse(text, ret_qos) != 0)
        result = divvy_error_set(error, -EINVAL, "qos must be low, medium, high or critical");
    return result;
}

/* A field that may be missing: 0 for both, so that errors can be told apart. */
static int optional(int result) {
    return result == -ENOENT ? 0 : result;
}

static int binding_read(const json_t *object, size_t place, const struct divvy_node_device *devices, size_t count,
                        struct divvy_node_spec *spec, struct divvy_error *error) {
    static const char *const names[] = {"gpu", "memory_limit_bytes", "compute_percent", "soft", "weight", NULL};
    char prefix[32];
    const struct divvy_http_fields fields = {object, prefix};
    uint64_t limit = DIVVY_NODE_MEMORY_NONE, weight = 0;
    uint32_t permille = DIVVY_NODE_PERMILLE_NONE;
    bool soft = false;
    int device = 0, result;

    snprintf(prefix, sizeof prefix, "devices[%zu].", place);
    if (!json_is_object(object))
        return divvy_error_set(error, -EINVAL, "devices[%zu] must be an object", place);
    result = divvy_http_fields_only(&fields, names, error);
    if (result == 0 && (result = gpu_read(&fields, devices, count, &device, error)) == -ENOENT)
        return divvy_error_set(error, -EINVAL, "%sgpu is missing", prefix);
    if (result == 0)
        result = optional(
            divvy_http_field_u64_or_null(&fields, "memory_limit_bytes", 1, INT64_MAX, DIVVY_NODE_MEMORY_NONE, &limit, error));
    if (result == 0)
        result = optional(divvy_http_field_permille(&fields, "compute_percent", DIVVY_NODE_PERMILLE_NONE, &permille, error));
    if (result == 0)
        result = optional(divvy_http_field_flag(&fields, "soft", &soft, error));
    if (result == 0)
        result = optional(divvy_http_field_u64(&fields, "weight", 1, DIVVY_NODE_SCHED_WEIGHT_MAX, &weight, error));
    if (result < 0)
        return result;
    spec->bindings[place].device = (uint32_t)device;
    spec->bindings[place].limit_bytes = limit;
    spec->bindings[place].compute_permille = permille;
    spec->bindings[place].soft = soft;
    spec->bindings[place].weight = (uint32_t)weight;
    return 0;
}

static int bindings_read(const json_t *body, const struct divvy_node_device *devices, size_t count,
                         struct divvy_node_spec *spec, struct divvy_error *error) {
    const json_t *list = json_object_get(body, "devices");
    size_t length = json_array_size(list);
    int result = 0;

    if (!json_is_array(list) || length == 0)
        return divvy_error_set(error, -EINVAL, "devices must be a list of at least one device");
    if (length > DIVVY_NODE_DEVICES)
        return divvy_error_set(error, -EINVAL, "devices must not have more than %u entries", DIVVY_NODE_DEVICES);
    for (size_t i = 0; i < length && result == 0; i++)
        result = binding_read(json_array_get(list, i), i, devices, count, spec, error);
    spec->binding_count = (uint32_t)length;
    return result;
}

/* Labels of a pod: texts by name, small enough for the registry. */
static int labels_read(const json_t *body, char ret_labels[DIVVY_NODE_LABELS_BYTES], struct divvy_error *error) {
    const json_t *object = json_object_get(body, "labels");
    const char *key;
    json_t *value;
    char *text;
    int result = 0;

    if (!object || json_is_null(object))
        return 0;
    if (!json_is_object(object))
        return divvy_error_set(error, -EINVAL, "labels must be an object of texts");
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
        if (!*key || !json_is_string(value))
            return divvy_error_set(error, -EINVAL, "labels: '%.60s' must be a text", key);
    if (json_object_size(object) == 0)
        return 0;
    text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);
    if (!text)
        return -ENOMEM;
    if (strlen(text) < DIVVY_NODE_LABELS_BYTES)
        (void)snprintf(ret_labels, DIVVY_NODE_LABELS_BYTES, "%s", text);
    else
        result = divvy_error_set(error, -EINVAL, "labels must not take more than %u bytes of JSON", DIVVY_NODE_LABELS_BYTES - 1);
    free(text);
    return result;
}

int divvy_http_spec_read(const json_t *body, const struct divvy_node_device *devices, size_t count,
                         struct divvy_node_spec *ret_spec, bool *ret_owner_set, struct divvy_error *error) {
    static const char *const names[] = {"id",        "qos",       "keeper_pid", "pod", "namespace",
                                        "container", "owner_uid", "devices",    "labels", NULL};
    const struct divvy_http_fields fields = {body, ""};
    struct divvy_node_spec spec = {.qos = DIVVY_NODE_QOS_MEDIUM, .source = DIVVY_NODE_FROM_API};
    uint64_t keeper = 0, owner = 0;
    bool owner_set = false;
    int result = divvy_http_fields_only(&fields, names, error);

    if (result == 0 && (result = divvy_http_field_text(&fields, "id", spec.id, sizeof spec.id, error)) == -ENOENT)
        return divvy_error_set(error, -EINVAL, "id is missing");
    if (result == 0)
        result = optional(qos_read(&fields, &spec.qos, error));
    if (result == 0)
        result = optional(divvy_http_field_u64(&fields, "keeper_pid", 1, INT32_MAX, &keeper, error));
    if (result == 0)
        result = optional(divvy_http_field_text(&fields, "pod", spec.pod, sizeof spec.pod, error));
    if (result == 0)
        result = optional(divvy_http_field_text(&fields, "namespace", spec.namespace, sizeof spec.namespace, error));
    if (result == 0)
        result = optional(divvy_http_field_text(&fields, "container", spec.container, sizeof spec.container, error));
    if (result == 0) {
        result = divvy_http_field_u64(&fields, "owner_uid", 0, UINT32_MAX - 1, &owner, error);
        owner_set = result == 0;
        result = optional(result);
    }
    if (result == 0)
        result = labels_read(body, spec.labels, error);
    if (result == 0)
        result = bindings_read(body, devices, count, &spec, error);
    if (result < 0)
        return result;
    spec.keeper_pid = (int32_t)keeper;
    spec.owner_uid = (uint32_t)owner;
    if (spec.pod[0])
        spec.source = DIVVY_NODE_FROM_POD;
    else if (keeper)
        spec.source = DIVVY_NODE_FROM_RUN;
    *ret_spec = spec;
    *ret_owner_set = owner_set;
    return 0;
}

int divvy_http_change_read(const json_t *body, const struct divvy_node_device *devices, size_t count,
                           struct divvy_node_change *ret_change, struct divvy_error *error) {
    static const char *const names[] = {"gpu", "memory_limit_bytes", "compute_percent", "soft", "weight", "qos", NULL};
    const struct divvy_http_fields fields = {body, ""};
    struct divvy_node_change change = {.device = -1};
    uint64_t weight = 0;
    int place = -1, result = divvy_http_fields_only(&fields, names, error);
    uint32_t found = 0;

    if (result == 0)
        result = optional(gpu_read(&fields, devices, count, &place, error));
        /* Each reader leaves the change alone when its field is not there, and says so. */
#define TAKE(bit, call)                                                                                                        \
    if (result == 0) {                                                                                                         \
        result = (call);                                                                                                       \
        if (result == 0)                                                                                                       \
            found |= (bit);                                                                                                    \
        result = optional(result);                                                                                             \
    }
    TAKE(DIVVY_NODE_CHANGE_MEMORY, divvy_http_field_u64_or_null(&fields, "memory_limit_bytes", 1, INT64_MAX,
                                                                DIVVY_NODE_MEMORY_NONE, &change.limit_bytes, error))
    TAKE(DIVVY_NODE_CHANGE_COMPUTE,
         divvy_http_field_permille(&fields, "compute_percent", DIVVY_NODE_PERMILLE_NONE, &change.compute_permille, error))
    TAKE(DIVVY_NODE_CHANGE_SOFT, divvy_http_field_flag(&fields, "soft", &change.soft, error))
    TAKE(DIVVY_NODE_CHANGE_WEIGHT, divvy_http_field_u64(&fields, "weight", 1, DIVVY_NODE_SCHED_WEIGHT_MAX, &weight, error))
    TAKE(DIVVY_NODE_CHANGE_QOS, qos_read(&fields, &change.qos, error))
#undef TAKE
    if (result < 0)
        return result;
    if (found == 0)
        return divvy_error_set(error, -EINVAL,
                               "nothing to change: give memory_limit_bytes, compute_percent, soft, "
                               "weight or qos");
    change.fields = found;
    change.device = place;
    change.weight = (uint32_t)weight;
    *ret_change = change;
    return 0;
}
