/* A device of the node: see device.h. */
#include "backend/device.h"

#include "core/parse.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void pairs_free(struct divvy_backend_pairs *pairs) {
    for (size_t i = 0; i < pairs->count; i++) {
        free(pairs->pairs[i].key);
        free(pairs->pairs[i].value);
    }
    free(pairs->pairs);
}

int divvy_backend_pairs_add(struct divvy_backend_pairs *pairs, const char *key, const char *value) {
    struct divvy_backend_pair *grown = reallocarray(pairs->pairs, pairs->count + 1, sizeof *grown);
    struct divvy_backend_pair pair = {strdup(key), strdup(value)};

    if (grown)
        pairs->pairs = grown;
    if (!grown || !pair.key || !pair.value) {
        free(pair.key);
        free(pair.value);
        return -ENOMEM;
    }
    pairs->pairs[pairs->count++] = pair;
    return 0;
}

static bool pairs_equal(const struct divvy_backend_pairs *a, const struct divvy_backend_pairs *b) {
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->pairs[i].key, b->pairs[i].key) != 0 || strcmp(a->pairs[i].value, b->pairs[i].value) != 0)
            return false;
    return true;
}

/* What the present hosts put beside the library's own properties. */
static int properties_fill(struct divvy_backend_pairs *pairs, const struct divvy_accel_device *device) {
    char units[24], generation[16], width[16];
    const struct {
        const char *key, *value;
    } more[] = {{"driverVersion", device->driver_version}, {"firmwareVersion", device->firmware_version},
                {"totalComputeUnits", units},              {"pcieGen", generation},
                {"pcieWidth", width}};
    int status = 0;

    (void)snprintf(units, sizeof units, "%llu", (unsigned long long)device->compute_units);
    (void)snprintf(generation, sizeof generation, "%u", device->pcie_generation);
    (void)snprintf(width, sizeof width, "%u", device->pcie_width);
    for (size_t i = 0; i < device->property_count && status == 0; i++)
        status = divvy_backend_pairs_add(pairs, device->properties[i].key, device->properties[i].value);
    for (size_t i = 0; i < sizeof more / sizeof more[0] && status == 0; i++)
        if (more[i].value[0] && !divvy_accel_device_property(device, more[i].key))
            status = divvy_backend_pairs_add(pairs, more[i].key, more[i].value);
    return status;
}

struct divvy_backend_device *divvy_backend_device_new(const struct divvy_accel_device *device, enum divvy_node_isolation isolation) {
    struct divvy_backend_device *made = calloc(1, sizeof *made);

    if (!made)
        return NULL;
    made->references = 1;
    made->healthy = true;
    made->isolation = isolation;
    made->index = device->index;
    made->numa_node = device->numa_node;
    made->memory_bytes = device->memory_bytes;
    made->tflops = device->tflops;
    made->capabilities = device->capabilities;
    memcpy(made->uuid, device->uuid, sizeof made->uuid);
    memcpy(made->vendor, device->vendor, sizeof made->vendor);
    memcpy(made->model, device->model, sizeof made->model);
    if (properties_fill(&made->properties, device) < 0 ||
        (device->device_node[0] && divvy_backend_pairs_add(&made->nodes, device->device_node, device->device_node) < 0)) {
        divvy_backend_device_unref(made);
        return NULL;
    }
    return made;
}

static int partition_fill(struct divvy_backend_device *made, const struct divvy_accel_partition *partition) {
    int status = divvy_backend_pairs_add(&made->properties, "partitionTemplate", made->template_id);

    for (size_t i = 0; i < partition->variable_count && status == 0; i++)
        status = divvy_backend_pairs_add(&made->environment, partition->variables[i].key, partition->variables[i].value);
    for (size_t i = 0; i < partition->node_count && status == 0; i++)
        status = divvy_backend_pairs_add(&made->nodes, partition->nodes[i].host, partition->nodes[i].guest);
    return status;
}

struct divvy_backend_device *divvy_backend_device_partition(const struct divvy_backend_device *parent, const char *template_id,
                                                            const char *worker, const struct divvy_accel_partition *partition) {
    struct divvy_backend_device *made = calloc(1, sizeof *made);

    if (!made)
        return NULL;
    made->references = 1;
    made->healthy = parent->healthy;
    made->isolation = DIVVY_NODE_PARTITIONED;
    made->index = parent->index;
    made->numa_node = parent->numa_node;
    made->capabilities = (struct divvy_accel_capabilities){.soft_isolation = parent->capabilities.soft_isolation,
                                                           .metrics = parent->capabilities.metrics,
                                                           .workers_max = 1};
    memcpy(made->vendor, parent->vendor, sizeof made->vendor);
    memcpy(made->model, parent->model, sizeof made->model);
    memcpy(made->parent, parent->uuid, sizeof made->parent);
    memcpy(made->uuid, partition->uuid, sizeof made->uuid);
    (void)snprintf(made->template_id, sizeof made->template_id, "%s", template_id);
    (void)snprintf(made->worker, sizeof made->worker, "%s", worker ? worker : "");
    if (partition_fill(made, partition) < 0) {
        divvy_backend_device_unref(made);
        return NULL;
    }
    return made;
}

static int pairs_copy(struct divvy_backend_pairs *to, const struct divvy_backend_pairs *from) {
    int status = 0;

    *to = (struct divvy_backend_pairs){0};
    for (size_t i = 0; i < from->count && status == 0; i++)
        status = divvy_backend_pairs_add(to, from->pairs[i].key, from->pairs[i].value);
    return status;
}

struct divvy_backend_device *divvy_backend_device_copy(const struct divvy_backend_device *device) {
    struct divvy_backend_device *made = malloc(sizeof *made);
    int status;

    if (!made)
        return NULL;
    memcpy(made, device, offsetof(struct divvy_backend_device, references)); /* others count references meanwhile */
    made->references = 1;
    status = pairs_copy(&made->properties, &device->properties);
    status = pairs_copy(&made->environment, &device->environment) < 0 ? -ENOMEM : status;
    status = pairs_copy(&made->nodes, &device->nodes) < 0 ? -ENOMEM : status;
    if (status == 0)
        return made;
    divvy_backend_device_unref(made);
    return NULL;
}

struct divvy_backend_device *divvy_backend_device_ref(struct divvy_backend_device *device) {
    (void)__atomic_add_fetch(&device->references, 1, __ATOMIC_RELAXED);
    return device;
}

void divvy_backend_device_unref(struct divvy_backend_device *device) {
    if (!device || __atomic_sub_fetch(&device->references, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    pairs_free(&device->properties);
    pairs_free(&device->environment);
    pairs_free(&device->nodes);
    free(device);
}

bool divvy_backend_device_equal(const struct divvy_backend_device *a, const struct divvy_backend_device *b) {
    const struct divvy_accel_capabilities *x = &a->capabilities, *y = &b->capabilities;

    return strcmp(a->uuid, b->uuid) == 0 && strcmp(a->parent, b->parent) == 0 && strcmp(a->vendor, b->vendor) == 0 &&
           strcmp(a->model, b->model) == 0 && a->index == b->index && a->numa_node == b->numa_node &&
           a->memory_bytes == b->memory_bytes && !(a->tflops < b->tflops) && !(a->tflops > b->tflops) &&
           a->healthy == b->healthy && a->isolation == b->isolation && x->partitioning == y->partitioning &&
           x->soft_isolation == y->soft_isolation && x->hard_isolation == y->hard_isolation && x->snapshot == y->snapshot &&
           x->metrics == y->metrics && x->remoting == y->remoting && x->partitions_max == y->partitions_max &&
           x->workers_max == y->workers_max && pairs_equal(&a->properties, &b->properties) &&
           pairs_equal(&a->environment, &b->environment) && pairs_equal(&a->nodes, &b->nodes);
}

bool divvy_backend_device_is(const struct divvy_backend_device *device, const char *uuid) {
    return divvy_core_word_equal(uuid, strlen(uuid), device->uuid);
}

void divvy_backend_device_capacity(const struct divvy_backend_device *device, struct divvy_node_capacity *ret_capacity) {
    *ret_capacity = (struct divvy_node_capacity){.memory_bytes = device->memory_bytes,
                                                 .tflops = device->tflops,
                                                 .workers_max = device->capabilities.workers_max,
                                                 .partitions_max = device->capabilities.partitions_max,
                                                 .partitioning = device->capabilities.partitioning,
                                                 .soft = device->capabilities.soft_isolation,
                                                 .hard = device->capabilities.hard_isolation,
                                                 .is_partition = device->parent[0] != '\0',
                                                 .healthy = device->healthy};
    memcpy(ret_capacity->uuid, device->uuid, sizeof ret_capacity->uuid);
}

const char *divvy_backend_device_property(const struct divvy_backend_device *device, const char *key) {
    for (size_t i = 0; i < device->properties.count; i++)
        if (strcmp(device->properties.pairs[i].key, key) == 0)
            return device->properties.pairs[i].value;
    return NULL;
}
