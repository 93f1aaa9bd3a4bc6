/*
 * How the registry keeps what it knows; for the files registry*.c only.
 *
 * Tenants lie in records of their own, so that pointers to them stay valid while others come and go. A record is in three
 * structures: a hash table by id, an array by number, and a list in the order of making.
 */
#ifndef DIVVY_NODE_REGISTRY_INTERNAL_H
#define DIVVY_NODE_REGISTRY_INTERNAL_H

#include "node/registry.h"

struct divvy_node_record {
    struct divvy_node_tenant tenant; /* first: a tenant's address is its record's */
    uint64_t hash;
    struct divvy_node_record *chain; /* next in the same bucket */
    struct divvy_node_record *older, *newer;
    struct divvy_node_process *processes; /* tenant.process_count of them */
    uint32_t process_room;
};

/* What the tenants of a device were promised; sums of any limits fit. */
struct divvy_node_sums {
    unsigned __int128 memory_bytes;
    uint64_t compute_permille;
    uint32_t tenants;
};

struct divvy_node_registry {
    struct divvy_node_device devices[DIVVY_NODE_DEVICES];
    struct divvy_node_sums promised[DIVVY_NODE_DEVICES];
    uint32_t device_count;

    struct divvy_node_record **buckets;
    uint32_t bucket_count; /* a power of two */
    uint32_t tenant_count;
    struct divvy_node_record *oldest, *newest;
    struct divvy_node_record **by_number; /* DIVVY_NODE_TENANTS_MAX */
    uint16_t *resting;                    /* ring of as many numbers that were given back, oldest first */
    uint32_t resting_first, resting_count;
    uint32_t numbers_used; /* from here on they were never given out */

    struct divvy_node_event *events; /* ring: event n lies at (n - 1) % DIVVY_NODE_EVENTS */
    uint64_t event_last;             /* number of the newest, 0 none */
};

struct divvy_node_record *divvy_node_record_find(const struct divvy_node_registry *registry, const char *id);

/* Enter under id and number, as the newest. 0, -ENOMEM or -ENOSPC; the tenant's id is set, its number is set here. */
int divvy_node_record_enter(struct divvy_node_registry *registry, struct divvy_node_record *record);

/* Take out of everything, and free. */
void divvy_node_record_drop(struct divvy_node_registry *registry, struct divvy_node_record *record);

/* One printable line of at most `room` - 1 bytes, never cut within a UTF-8 character; NUL-terminated. NULL reads "". */
void divvy_node_line_copy(char *ret_line, size_t room, const char *text);

#endif
