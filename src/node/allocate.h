/*
 * Which device a tenant gets that names none. A pure choice: nothing is promised by it.
 */
#ifndef DIVVY_NODE_ALLOCATE_H
#define DIVVY_NODE_ALLOCATE_H

#include "node/registry.h"

struct divvy_node_wish {
    uint64_t limit_bytes;      /* DIVVY_NODE_MEMORY_NONE: no limit */
    uint32_t compute_permille; /* DIVVY_NODE_PERMILLE_NONE: no cap */
    uint32_t except;           /* bit by device: not these (the tenant has them already) */
};

/*
 * The device's index in the registry. Only healthy devices count whose memory that may still be promised is enough for the wish.
 * Among them goes first: where the promised shares and the wish together are no more than the device has; then where most memory
 * is left to promise; then where least share is promised; then fewest tenants; then the lowest index.
 * -ENODEV: no healthy device (that is not excepted); -EDQUOT: none with that much memory left to promise.
 */
int divvy_node_allocate(const struct divvy_node_registry *registry, const struct divvy_node_wish *wish,
                        uint32_t overcommit_permille);

#endif
