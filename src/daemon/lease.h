/*
 * The lease thread: watches who wants GPU time, asks the scheduler (node/sched.h) who may have it, and writes leases into the
 * control pages (page/control.h). Decisions are the scheduler's; here are the clock, the bells, the pages and the hand-over.
 *
 * A hand-over, with the next holder awake before the device runs dry:
 *
 *   end - LEAD       the holder's use is charged, the next one picked, its lease written: [drained - EARLY, ...)
 *   begin - RECHECK  the holder's drain is looked at again; where more has been launched since, the next lease is put off to
 *                    its end, GRACE at most, after which the device's own time slicing bounds the damage
 *
 * A holder that has nothing to do for IDLE_NS loses its lease and is not considered again until it rings its bell. One that
 * waits at the gate and makes nothing of its leases (stopped, or stuck) is given a short lease now and then until it does.
 *
 * Processes without pages (remote.h) are seats like others. Their leases are longer, and the device goes on to somebody else when
 * they have said that it is theirs no more.
 */
#ifndef DIVVY_DAEMON_LEASE_H
#define DIVVY_DAEMON_LEASE_H

#include "base/error.h"
#include "node/sched.h"
#include "page/control.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct divvy_lease;

struct divvy_lease_binding {
    uint32_t device; /* index in the registry */
    uint32_t entry;  /* in the control page */
    struct divvy_node_tenant_params params;
};

struct divvy_lease_tenant {
    uint32_t number;
    struct divvy_control *control; /* stays the caller's; must outlive divvy_lease_tenant_remove */
    int folder_fd, bell_fd;        /* likewise; -1 no bell: looked at every millisecond */
    uid_t owner_uid;
    bool frozen;
    uint32_t door; /* word of the control page: 0 open */
    uint32_t binding_count;
    struct divvy_lease_binding bindings[DIVVY_PAGE_DEVICES];
};

struct divvy_lease_health {
    uint64_t granted, revoked, handovers, bells;
    uint64_t pages_broken;
    int64_t decision_ns_mean, decision_ns_max; /* over the last full second */
    int64_t late_ns_mean, late_ns_max;
};

/* Room for `capacity` tenant numbers. 0, -EINVAL, -ENOMEM, and what epoll says. */
int divvy_lease_new(uint32_t capacity, const struct divvy_node_sched_params *params,
                    struct divvy_lease **ret_lease);
/* The processes that go by the two-way channel; lives as long as `lease`. */
struct divvy_remote;
struct divvy_remote *divvy_lease_remote(struct divvy_lease *lease);
/* Called when somebody rings at a door that is shut, with a lock held: must be quick, and call nothing of this. Before the start. */
void divvy_lease_knock_set(struct divvy_lease *lease, void (*knock)(void *data, uint32_t number), void *data);
/* Start the thread, with real-time priority where that is allowed. */
int divvy_lease_start(struct divvy_lease *lease, struct divvy_error *error);
/* Stop the thread, set every tenant to pace itself, free. NULL is fine. */
void divvy_lease_free(struct divvy_lease *lease);

/* All of these take effect at once; thread-safe. 0, -ENOENT, -EINVAL, -EEXIST, -ENOMEM. */
int divvy_lease_tenant_add(struct divvy_lease *lease, const struct divvy_lease_tenant *tenant);
int divvy_lease_tenant_set(struct divvy_lease *lease, uint32_t number, uint32_t device,
                           const struct divvy_node_tenant_params *params);
int divvy_lease_tenant_freeze(struct divvy_lease *lease, uint32_t number, bool frozen);
/* Write the tenant's door (page/control.h): launches come to look at it as long as it is not open, and who waits there goes on. */
int divvy_lease_tenant_door(struct divvy_lease *lease, uint32_t number, uint32_t word);
/* Afterwards the page is not touched any more; it is left in mode SELF. */
int divvy_lease_tenant_remove(struct divvy_lease *lease, uint32_t number);

int divvy_lease_stats(struct divvy_lease *lease, uint32_t number, uint32_t device,
                      struct divvy_node_sched_stats *ret_stats, bool *ret_ready);
void divvy_lease_health(struct divvy_lease *lease, struct divvy_lease_health *ret_health);

#endif
