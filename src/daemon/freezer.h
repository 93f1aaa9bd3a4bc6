/*
 * Idle tenants: after the time that the settings give their class (freeze-low to freeze-critical) their device memory is saved by
 * the driver's checkpoint calls, and comes back by itself as soon as one of their processes calls the driver.
 *
 *   AWAKE     it does something, or has done so a moment ago
 *   WATCHED   nothing that is measured any more: its door (page/control.h) tells of other calls
 *   GOING     idle for long enough: the door is shut, and when nobody was on the way through it, it is saved
 *   ASLEEP    saved; the door is shut. Whoever comes to it rings
 *   COMING    being restored; then the door opens
 *
 * What fails is undone, and tried again later: saving after the class's time, twice that, and so on; coming back after a tenth of
 * a second, twice that, up to five seconds, since somebody waits. A daemon that finds a tenant asleep (after kill -9) brings it
 * back, one that ends does so before.
 *
 * Left alone are tenants that somebody froze, those without processes, with processes that know of no door (other limiters), with
 * stopped ones, and all of them where the driver has no checkpoint calls, which one line tells. Processes that go by the two-way
 * channel have the door's word from their leases, and report what comes by.
 */
#ifndef DIVVY_DAEMON_FREEZER_H
#define DIVVY_DAEMON_FREEZER_H

#include "base/error.h"
#include "node/registry.h"

#include <stdbool.h>
#include <stdint.h>

struct divvy_daemon;
struct divvy_freezer;

enum divvy_freezer_phase {
    DIVVY_FREEZER_AWAKE,
    DIVVY_FREEZER_WATCHED,
    DIVVY_FREEZER_GOING,
    DIVVY_FREEZER_ASLEEP,
    DIVVY_FREEZER_COMING
};

/* Of a tenant, among what the daemon holds of it. */
struct divvy_freezer_tenant {
    enum divvy_freezer_phase phase;
    uint32_t word;      /* of the door while it is watched */
    int64_t active_ns;  /* when it was last known to do something */
    int64_t watched_ns; /* when the door was */
    int64_t retry_ns;   /* not tried before */
    uint32_t failures;
    bool knocked; /* somebody stands at the door */
    int64_t knocked_ns;
};

/* Without threads yet. 0, -ENOMEM and what eventfd says. */
int divvy_freezer_new(struct divvy_daemon *daemon, struct divvy_freezer **ret_freezer);
int divvy_freezer_start(struct divvy_freezer *freezer, struct divvy_error *error);
/* Brings back who is asleep, as far as that goes within a minute, and ends the threads. NULL is fine. */
void divvy_freezer_stop(struct divvy_freezer *freezer);
void divvy_freezer_free(struct divvy_freezer *freezer);

/* The daemon's lock is held for these. */

/* A tenant was entered, or somebody has frozen or resumed it. */
void divvy_freezer_hold(struct divvy_daemon *daemon, struct divvy_node_tenant *tenant);
/* A look at the tenant, ten times a second; is_active: it is measured to do something. */
void divvy_freezer_look(struct divvy_daemon *daemon, struct divvy_node_tenant *tenant, int64_t now_ns);
void divvy_freezer_active(struct divvy_daemon *daemon, const struct divvy_node_tenant *tenant, int64_t now_ns);

/* After how long idle tenants of the class are saved: 0 never, also where the driver cannot. */
int64_t divvy_freezer_after_ns(const struct divvy_daemon *daemon, enum divvy_node_qos qos);

#endif
