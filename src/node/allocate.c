/* Choice of a device; see allocate.h. */
#include "node/allocate.h"

#include <errno.h>

#include "core/checked.h"
#include "node/registry_internal.h"

struct candidate {
    bool share_fits;
    uint64_t left_bytes;
    struct divvy_node_promise promise;
};

static struct candidate look_at(const struct divvy_node_registry *registry, uint32_t device,
                                const struct divvy_node_wish *wish, uint32_t overcommit_permille) {
    struct candidate c = {.promise = divvy_node_registry_promise(registry, device)};
    uint64_t size = registry->devices[device].memory_bytes;
    /* A device of unknown size comes behind the others, but may be taken: nothing is checked there. */
    if (size == 0)
        c.left_bytes = 0;
    else if (overcommit_permille == UINT32_MAX)
        c.left_bytes = divvy_core_u64_sub_floored(size, c.promise.memory_bytes);
    else
        c.left_bytes = divvy_core_u64_sub_floored(divvy_core_u64_scale(size, overcommit_permille, 1000), c.promise.memory_bytes);
    c.share_fits = c.promise.compute_permille + wish->compute_permille <= 1000;
    return c;
}

static bool enough(const struct divvy_node_registry *registry, uint32_t device, const struct candidate *c,
                   const struct divvy_node_wish *wish, uint32_t overcommit_permille) {
    uint64_t size = registry->devices[device].memory_bytes;
    if (wish->limit_bytes == DIVVY_NODE_MEMORY_NONE || size == 0)
        return true;
    return wish->limit_bytes <= size && (overcommit_permille == UINT32_MAX || wish->limit_bytes <= c->left_bytes);
}

static bool better(const struct candidate *a, const struct candidate *b) {
    if (a->share_fits != b->share_fits)
        return a->share_fits;
    if (a->left_bytes != b->left_bytes)
        return a->left_bytes > b->left_bytes;
    if (a->promise.compute_permille != b->promise.compute_permille)
        return a->promise.compute_permille < b->promise.compute_permille;
    return a->promise.tenants < b->promise.tenants;
}

int divvy_node_allocate(const struct divvy_node_registry *registry, const struct divvy_node_wish *wish,
                        uint32_t overcommit_permille) {
    struct candidate best = {0};
    int found = -ENODEV;
    for (uint32_t i = 0; i < registry->device_count; i++) {
        if (!registry->devices[i].healthy || wish->except >> i & 1)
            continue;
        struct candidate c = look_at(registry, i, wish, overcommit_permille);
        if (!enough(registry, i, &c, wish, overcommit_permille)) {
            if (found < 0)
                found = -EDQUOT;
        } else if (found < 0 || better(&c, &best)) {
            best = c;
            found = (int)i;
        }
    }
    return found;
}
