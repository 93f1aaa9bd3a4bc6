/*
 * Slots: the parts that the kubelet counts. Each device has the same number of them, and an id names one: "GPU-…::N", N from 0.
 * Which of them a container had best get, and what a set of them means. Pure: no clock, file or lock.
 */
#ifndef DIVVY_PLUGIN_SLOTS_H
#define DIVVY_PLUGIN_SLOTS_H

#include "base/error.h"
#include "node/registry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIVVY_PLUGIN_SLOTS_MAX 100u /* of a device */
#define DIVVY_PLUGIN_IDS_MAX   (DIVVY_NODE_DEVICES * DIVVY_PLUGIN_SLOTS_MAX)
#define DIVVY_PLUGIN_ID_BYTES  64u /* the kubelet's bound, NUL included */

enum divvy_plugin_policy {
    DIVVY_PLUGIN_PACK,   /* onto devices that are in use already, and few of them */
    DIVVY_PLUGIN_SPREAD, /* onto those that are used least */
    DIVVY_PLUGIN_POLICY_MAX
};

struct divvy_plugin_slot {
    uint32_t device; /* index in the list of devices */
    uint32_t number;
};

/* By device, then by number; for qsort and bsearch. */
int divvy_plugin_slot_compare(const void *a, const void *b);
void divvy_plugin_slot_id(const struct divvy_node_device *device, uint32_t number, char ret_id[DIVVY_PLUGIN_ID_BYTES]);
/* -EINVAL: no slot of these devices; `slots` is how many each has. */
int divvy_plugin_slot_parse(const char *id, const struct divvy_node_device *devices, size_t device_count, uint32_t slots,
                            struct divvy_plugin_slot *ret_slot);
/* The ids as slots, by device and number. -EINVAL with the reason: unknown, twice, none, or too many. ret_slots: `count` entries. */
int divvy_plugin_slots_parse(const char *const *ids, size_t count, const struct divvy_node_device *devices, size_t device_count,
                             uint32_t slots, struct divvy_plugin_slot *ret_slots, struct divvy_error *error);

/*
 * Choose `size` of the available slots, among them those that must be. Both lists as divvy_plugin_slots_parse gives them (an empty
 * one is fine). What is used already of a device is what is not available. The same question has the same answer. Into ret_slots
 * (`size` entries, by device and number); -EINVAL with the reason: size below what must be, or above what there is, or a slot that
 * must be is not available.
 */
int divvy_plugin_slots_choose(enum divvy_plugin_policy policy, const struct divvy_plugin_slot *available, size_t available_count,
                              const struct divvy_plugin_slot *must, size_t must_count, size_t size, struct divvy_plugin_slot *ret_slots,
                              struct divvy_error *error);

/* What a container with these slots (of at most DIVVY_NODE_DEVICES devices) is given of each device: its share, rounded down. */
struct divvy_plugin_share {
    uint32_t device; /* index in the list of devices */
    uint32_t slots;
    uint64_t memory_bytes;     /* 0: the device's size is not known */
    uint32_t compute_permille; /* 1..1000 */
};
/* How many shares, by device. */
size_t divvy_plugin_slots_share(const struct divvy_plugin_slot *slots, size_t count, const struct divvy_node_device *devices,
                                uint32_t slots_of_device, struct divvy_plugin_share ret_shares[DIVVY_NODE_DEVICES]);

/* The name of the folder that a container with these slots finds its pages by: that of its first slot. */
void divvy_plugin_slot_name(const struct divvy_node_device *device, uint32_t number, char ret_name[DIVVY_PLUGIN_ID_BYTES]);

/* What Kubernetes takes for the name of a resource: "domain/name". 0 or -EINVAL. */
int divvy_plugin_resource_check(const char *name);

#endif
