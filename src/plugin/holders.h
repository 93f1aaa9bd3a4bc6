/* Who holds which devices, as the kubelet's PodResources API tells. Its answers are taken as hostile input. Pure. */
#ifndef DIVVY_PLUGIN_HOLDERS_H
#define DIVVY_PLUGIN_HOLDERS_H

#include "node/registry.h"
#include "plugin/slots.h"

#include <stddef.h>
#include <stdint.h>

/* A container that holds slots. */
struct divvy_plugin_holder {
    char namespace[DIVVY_NODE_ID_BYTES], pod[DIVVY_NODE_ID_BYTES], container[DIVVY_NODE_ID_BYTES];
    uint32_t first, count; /* of its slots in the list of slots */
};

struct divvy_plugin_holders {
    struct divvy_plugin_holder *holders;
    size_t count;
    struct divvy_plugin_slot *slots; /* of each holder by device and number */
    size_t slot_count;
    uint32_t odd; /* containers that were left out: ids that are none of ours, names that are none */
};

/* The holders of `resource` in a ListPodResourcesResponse. -EPROTO: it is none; -ENOMEM. */
int divvy_plugin_holders_parse(const uint8_t *answer, size_t length, const char *resource, const struct divvy_node_device *devices,
                               size_t device_count, uint32_t slots, struct divvy_plugin_holders *ret_holders);
void divvy_plugin_holders_done(struct divvy_plugin_holders *holders);

/*
 * Who holds exactly these slots (by device and number), else who holds all of them and more: an init container's devices go on to
 * the container after it. NULL.
 */
const struct divvy_plugin_holder *divvy_plugin_holders_find(const struct divvy_plugin_holders *holders, const struct divvy_plugin_slot *slots,
                                                            size_t count);
/* Whether somebody holds the slot. */
bool divvy_plugin_holders_has(const struct divvy_plugin_holders *holders, const struct divvy_plugin_slot *slot);

#endif
