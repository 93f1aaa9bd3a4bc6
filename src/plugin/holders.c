/* Who holds which devices: see holders.h. */
#include "plugin/holders.h"

#include "plugin/pod_resources.pb-c.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct source {
    const char *resource;
    const struct divvy_node_device *devices;
    size_t device_count;
    uint32_t slots;
};

/* 0; -EINVAL: not what Kubernetes takes for a name, so nobody's. */
static int name_take(const char *name, char ret_name[DIVVY_NODE_ID_BYTES]) {
    size_t length = strlen(name);

    if (length == 0 || length >= DIVVY_NODE_ID_BYTES || name[0] == '.')
        return -EINVAL;
    if (strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") != length)
        return -EINVAL;
    memcpy(ret_name, name, length + 1);
    return 0;
}

/* The container's slots behind those that are there; there is room. -EINVAL: an id is none of ours. */
static int slots_take(const struct source *source, const V1__ContainerResources *container, struct divvy_plugin_holders *holders,
                      uint32_t *ret_count) {
    size_t first = holders->slot_count, count = 0;

    for (size_t i = 0; i < container->n_devices; i++) {
        const V1__ContainerDevices *devices = container->devices[i];

        if (strcmp(devices->resource_name, source->resource) != 0)
            continue;
        for (size_t k = 0; k < devices->n_device_ids; k++)
            if (divvy_plugin_slot_parse(devices->device_ids[k], source->devices, source->device_count, source->slots,
                                        &holders->slots[first + count++]) < 0)
                return -EINVAL;
    }
    if (count > 1)
        qsort(holders->slots + first, count, sizeof *holders->slots, divvy_plugin_slot_compare);
    *ret_count = (uint32_t)count;
    return 0;
}

static void container_take(const struct source *source, const V1__PodResources *pod, const V1__ContainerResources *container,
                           struct divvy_plugin_holders *holders) {
    struct divvy_plugin_holder *holder = &holders->holders[holders->count];
    uint32_t count;

    if (slots_take(source, container, holders, &count) < 0) {
        holders->odd++;
        return;
    }
    if (count == 0)
        return;
    if (name_take(pod->namespace_, holder->namespace) < 0 || name_take(pod->name, holder->pod) < 0 ||
        name_take(container->name, holder->container) < 0) {
        holders->odd++;
        return;
    }
    holder->first = (uint32_t)holders->slot_count;
    holder->count = count;
    holders->slot_count += count;
    holders->count++;
}

/* The message is in memory as a whole, so its sums cannot wrap. */
static void sizes_sum(const V1__ListPodResourcesResponse *list, size_t *ret_containers, size_t *ret_ids) {
    for (size_t i = 0; i < list->n_pod_resources; i++) {
        const V1__PodResources *pod = list->pod_resources[i];

        *ret_containers += pod->n_containers;
        for (size_t k = 0; k < pod->n_containers; k++)
            for (size_t m = 0; m < pod->containers[k]->n_devices; m++)
                *ret_ids += pod->containers[k]->devices[m]->n_device_ids;
    }
}

int divvy_plugin_holders_parse(const uint8_t *answer, size_t length, const char *resource, const struct divvy_node_device *devices,
                               size_t device_count, uint32_t slots, struct divvy_plugin_holders *ret_holders) {
    struct source source = {resource, devices, device_count, slots};
    struct divvy_plugin_holders holders = {0};
    V1__ListPodResourcesResponse *list = v1__list_pod_resources_response__unpack(NULL, length, answer);
    size_t containers = 0, ids = 0;

    if (!list)
        return -EPROTO;
    sizes_sum(list, &containers, &ids);
    holders.holders = calloc(containers + 1, sizeof *holders.holders);
    holders.slots = calloc(ids + 1, sizeof *holders.slots);
    for (size_t i = 0; holders.holders && holders.slots && i < list->n_pod_resources; i++)
        for (size_t k = 0; k < list->pod_resources[i]->n_containers; k++)
            container_take(&source, list->pod_resources[i], list->pod_resources[i]->containers[k], &holders);
    v1__list_pod_resources_response__free_unpacked(list, NULL);
    if (!holders.holders || !holders.slots) {
        divvy_plugin_holders_done(&holders);
        return -ENOMEM;
    }
    *ret_holders = holders;
    return 0;
}

void divvy_plugin_holders_done(struct divvy_plugin_holders *holders) {
    free(holders->holders);
    free(holders->slots);
    *holders = (struct divvy_plugin_holders){0};
}

static bool holds(const struct divvy_plugin_holders *holders, const struct divvy_plugin_holder *holder, const struct divvy_plugin_slot *slot) {
    return bsearch(slot, holders->slots + holder->first, holder->count, sizeof *slot, divvy_plugin_slot_compare) != NULL;
}

const struct divvy_plugin_holder *divvy_plugin_holders_find(const struct divvy_plugin_holders *holders, const struct divvy_plugin_slot *slots,
                                                            size_t count) {
    const struct divvy_plugin_holder *found = NULL;

    for (size_t i = 0; i < holders->count; i++) {
        const struct divvy_plugin_holder *holder = &holders->holders[i];
        size_t k = 0;

        if (holder->count < count || (found && holder->count != count))
            continue;
        while (k < count && holds(holders, holder, &slots[k]))
            k++;
        if (k == count)
            found = holder;
        if (found == holder && holder->count == count)
            return found;
    }
    return found;
}

bool divvy_plugin_holders_has(const struct divvy_plugin_holders *holders, const struct divvy_plugin_slot *slot) {
    for (size_t i = 0; i < holders->count; i++)
        if (holds(holders, &holders->holders[i], slot))
            return true;
    return false;
}
