/*
 * A device of the node, whole or a partition, as others see it. Once made it never changes: a new state of a device is a new object.
 * Counted, and shared between threads.
 */
#ifndef DIVVY_BACKEND_DEVICE_H
#define DIVVY_BACKEND_DEVICE_H

#include "accel/accel.h"
#include "node/allotment.h"

#include <jansson.h>

struct divvy_backend_pair {
    char *key, *value;
};

struct divvy_backend_pairs {
    size_t count;
    struct divvy_backend_pair *pairs;
};

/* Copies both texts to the end. 0 or -ENOMEM. */
int divvy_backend_pairs_add(struct divvy_backend_pairs *pairs, const char *key, const char *value);

struct divvy_backend_device {
    char uuid[DIVVY_ACCEL_NAME_BYTES];   /* as the library spells it */
    char parent[DIVVY_ACCEL_NAME_BYTES]; /* of a partition: the device that it is a part of; else empty */
    char template_id[DIVVY_ACCEL_NAME_BYTES]; /* of a partition */
    char worker[DIVVY_NODE_WORKER_ID_BYTES];  /* of a partition: whom it was made for; or empty */
    char vendor[32], model[128];
    int32_t index, numa_node;
    uint64_t memory_bytes; /* 0: not known, as of partitions */
    double tflops;
    struct divvy_accel_capabilities capabilities;
    bool healthy;
    enum divvy_node_isolation isolation; /* of workers that name none */
    struct divvy_backend_pairs properties;
    struct divvy_backend_pairs environment; /* of a partition: what its worker is given */
    struct divvy_backend_pairs nodes;       /* host path to guest path */
    unsigned int references; /* last: the rest is copied without it */
};

/* From the library's; NULL: no memory. The caller's reference, as all that come from here. */
struct divvy_backend_device *divvy_backend_device_new(const struct divvy_accel_device *device, enum divvy_node_isolation isolation);
struct divvy_backend_device *divvy_backend_device_partition(const struct divvy_backend_device *parent, const char *template_id,
                                                            const char *worker, const struct divvy_accel_partition *partition);
/* A partition as the state file has it. NULL: the object is none, or no memory. */
struct divvy_backend_device *divvy_backend_device_read(const json_t *object);
/* Sets the object's keys; foreign ones stay. 0 or -ENOMEM. */
int divvy_backend_device_write(const struct divvy_backend_device *device, json_t *object);

/* A copy that has one reference; NULL: no memory. */
struct divvy_backend_device *divvy_backend_device_copy(const struct divvy_backend_device *device);

struct divvy_backend_device *divvy_backend_device_ref(struct divvy_backend_device *device);
void divvy_backend_device_unref(struct divvy_backend_device *device); /* NULL is fine */

bool divvy_backend_device_equal(const struct divvy_backend_device *a, const struct divvy_backend_device *b);
/* By UUID, whatever the case. */
bool divvy_backend_device_is(const struct divvy_backend_device *device, const char *uuid);
void divvy_backend_device_capacity(const struct divvy_backend_device *device, struct divvy_node_capacity *ret_capacity);
const char *divvy_backend_device_property(const struct divvy_backend_device *device, const char *key); /* or NULL */

#endif
