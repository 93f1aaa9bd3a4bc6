/* Devices in the state file: see device.h. The keys and their order are TensorFusion's DeviceInfo; ours come behind. */
#include "backend/device.h"
#include "backend/filestate.h"

#include "core/parse.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OWN_NATIVE   "NativeUUID" /* the library's spelling, where it is not the lower case that the file has */
#define OWN_TEMPLATE "PartitionTemplateID"
#define OWN_WORKER   "PartitionWorkerUID"

/* Go has one kind of number: whole ones without a point. */
static json_t *number(double value) {
    return value >= 0 && value < 9e15 && !(floor(value) < value) ? json_integer((json_int_t)value) : json_real(value);
}

static json_t *lower(const char *text) {
    char buffer[DIVVY_ACCEL_NAME_BYTES];
    size_t i = 0;

    for (; text[i] && i + 1 < sizeof buffer; i++)
        buffer[i] = divvy_core_ascii_lower(text[i]);
    buffer[i] = '\0';
    return json_string(buffer);
}

/* A map that was never filled is null to Go. */
static json_t *map_of(const struct divvy_backend_pairs *pairs) {
    json_t *map = pairs->count ? json_object() : json_null();

    for (size_t i = 0; i < pairs->count; i++)
        if (json_object_set_new(map, pairs->pairs[i].key, json_string(pairs->pairs[i].value)) < 0) {
            json_decref(map);
            return NULL;
        }
    return map;
}

static json_t *capabilities_of(const struct divvy_accel_capabilities *c) {
    return json_pack("{s:b, s:b, s:b, s:b, s:b, s:b, s:I, s:I}", "SupportsPartitioning", c->partitioning, "SupportsSoftIsolation",
                     c->soft_isolation, "SupportsHardIsolation", c->hard_isolation, "SupportsSnapshot", c->snapshot,
                     "SupportsMetrics", c->metrics, "SupportsRemoting", c->remoting, "MaxPartitions",
                     (json_int_t)c->partitions_max, "MaxWorkersPerDevice", (json_int_t)c->workers_max);
}

/* json_pack would stop the program's own types from being checked; a row each does not. */
int divvy_backend_device_write(const struct divvy_backend_device *device, json_t *object) {
    const struct {
        const char *key;
        json_t *value;
    } rows[] = {
        {"UUID", lower(device->uuid)},
        {"Vendor", json_string(device->vendor)},
        {"Model", json_string(device->model)},
        {"Index", json_integer(device->index)},
        {"NUMANode", json_integer(device->numa_node)},
        {"Topology", json_null()},
        {"TotalMemoryBytes", number((double)device->memory_bytes)},
        {"MaxTflops", number(device->tflops)},
        {"VirtualizationCapabilities", capabilities_of(&device->capabilities)},
        {"Properties", map_of(&device->properties)},
        {"Healthy", json_boolean(device->healthy)},
        {"ParentUUID", lower(device->parent)},
        {"DeviceNode", map_of(&device->nodes)},
        {"DeviceEnv", map_of(&device->environment)},
        {"IsolationMode", json_string(divvy_node_isolation_name(device->isolation))},
        {"IsolationPolicy", json_string("")},
        {OWN_NATIVE, device->parent[0] ? json_string(device->uuid) : NULL},
        {OWN_TEMPLATE, device->parent[0] ? json_string(device->template_id) : NULL},
        {OWN_WORKER, device->parent[0] ? json_string(device->worker) : NULL},
    };
    size_t count = sizeof rows / sizeof rows[0], own = device->parent[0] ? count : count - 3;
    int status = 0;

    for (size_t i = 0; i < count; i++) {
        bool is_topology = strcmp(rows[i].key, "Topology") == 0 && divvy_backend_object_get(object, "Topology");

        if (i >= own || is_topology || status < 0)
            json_decref(rows[i].value);
        else if (!rows[i].value)
            status = -ENOMEM;
        else
            status = divvy_backend_object_set(object, rows[i].key, rows[i].value);
    }
    return status;
}

static int map_read(const json_t *object, const char *key, struct divvy_backend_pairs *pairs) {
    json_t *map = divvy_backend_object_get(object, key), *value;
    const char *name;

    if (!json_is_object(map))
        return 0;
    json_object_foreach(map, name, value) {
        if (json_is_string(value) && strlen(json_string_value(value)) == json_string_length(value) &&
            divvy_backend_pairs_add(pairs, name, json_string_value(value)) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int texts_read(const json_t *object, struct divvy_backend_device *made) {
    char native[DIVVY_ACCEL_NAME_BYTES];

    if (divvy_backend_object_text(object, "UUID", made->uuid, sizeof made->uuid) < 0 || !made->uuid[0] ||
        divvy_backend_object_text(object, "ParentUUID", made->parent, sizeof made->parent) < 0 || !made->parent[0] ||
        divvy_backend_object_text(object, OWN_NATIVE, native, sizeof native) < 0 ||
        divvy_backend_object_text(object, OWN_TEMPLATE, made->template_id, sizeof made->template_id) < 0 ||
        divvy_backend_object_text(object, OWN_WORKER, made->worker, sizeof made->worker) < 0 ||
        divvy_backend_object_text(object, "Vendor", made->vendor, sizeof made->vendor) < 0 ||
        divvy_backend_object_text(object, "Model", made->model, sizeof made->model) < 0)
        return -EINVAL;
    if (divvy_core_word_equal(native, strlen(native), made->uuid))
        memcpy(made->uuid, native, sizeof made->uuid);
    return 0;
}

struct divvy_backend_device *divvy_backend_device_read(const json_t *object) {
    struct divvy_backend_device *made = calloc(1, sizeof *made);

    if (!made)
        return NULL;
    made->references = 1;
    made->isolation = DIVVY_NODE_PARTITIONED;
    made->numa_node = -1;
    made->capabilities.workers_max = 1;
    if (texts_read(object, made) < 0 || map_read(object, "Properties", &made->properties) < 0 ||
        map_read(object, "DeviceEnv", &made->environment) < 0 || map_read(object, "DeviceNode", &made->nodes) < 0) {
        divvy_backend_device_unref(made);
        return NULL;
    }
    return made;
}
