/* Freezing tenants, and their device memory to host memory and back: see state.h. What is done without being asked is in freezer.c. */
#include "daemon/inside.h"

#include "daemon/checkpoint.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

static void lock(struct divvy_daemon *daemon) {
    (void)pthread_mutex_lock(&daemon->lock);
    daemon->touched_ns = divvy_daemon_now_ns();
}

static void unlock(struct divvy_daemon *daemon) {
    (void)pthread_mutex_unlock(&daemon->lock);
}

uint32_t divvy_daemon_door_set(struct divvy_daemon *daemon, const struct divvy_node_tenant *tenant, uint32_t bits) {
    uint32_t word = 0;

    if (bits) {
        daemon->door_last += DIVVY_CONTROL_DOOR_STEP;
        word = (daemon->door_last & ~(DIVVY_CONTROL_DOOR_STEP - 1)) | bits;
    }
    (void)divvy_lease_tenant_door(daemon->lease, tenant->number, word);
    return word;
}

/* --- freezing ------------------------------------------------------------------------------------------------------- */

/* By request, or not any more. One that is asleep stays as it is, and is not woken by its own calls from here on. */
static void frozen_set(struct divvy_daemon *daemon, struct divvy_node_tenant *tenant, bool frozen) {
    struct divvy_daemon_held *held = daemon->held[tenant->number];

    if (tenant->frozen == frozen && !tenant->asleep)
        return;
    tenant->frozen = frozen;
    tenant->asleep = false;
    held->folder.control->frozen = frozen ? DIVVY_CONTROL_FROZEN_ASKED : DIVVY_CONTROL_FROZEN_NOT;
    if (!frozen)
        tenant->state = DIVVY_NODE_TENANT_IDLE;
    else
        tenant->state = held->saved ? DIVVY_NODE_TENANT_SAVED : DIVVY_NODE_TENANT_FROZEN;
    /* What it got so far is not what it gets; what drains now is counted in a second of its own. */
    for (uint32_t i = 0; i < tenant->binding_count; i++) {
        tenant->bindings[i].share_permille = 0;
        held->share_busy_ns[i] = tenant->bindings[i].busy_ns;
        held->share_since_ns[i] = divvy_daemon_now_ns();
    }
    (void)divvy_lease_tenant_freeze(daemon->lease, tenant->number, frozen);
    divvy_freezer_hold(daemon, tenant);
    divvy_daemon_event_locked(
        daemon, frozen ? DIVVY_NODE_EVENT_TENANT_FROZEN : DIVVY_NODE_EVENT_TENANT_RESUMED,
        tenant->id, frozen ? "gets no GPU time until it is resumed" : "gets GPU time again");
}

int divvy_daemon_tenant_freeze(struct divvy_daemon *daemon, const struct divvy_daemon_peer *peer,
                               const char *id, bool frozen, struct divvy_error *error) {
    struct divvy_node_tenant *tenant;
    int status;

    if (!frozen)
        return divvy_daemon_tenant_resume(daemon, peer, id, error);
    lock(daemon);
    status = divvy_daemon_tenant_for(daemon, peer, id, &tenant, error);
    if (status == 0)
        frozen_set(daemon, tenant, true);
    unlock(daemon);
    return status;
}

/* --- steps ---------------------------------------------------------------------------------------------------------- */

/* The calls that a daemon before us began are made by a process that may still be at it. */
static int steps_take(struct divvy_daemon *daemon, struct divvy_error *error) {
    if (daemon->steps_ours)
        return 0;
    if (flock(daemon->steps_fd, LOCK_EX | LOCK_NB) < 0)
        return divvy_error_set(error, errno == EWOULDBLOCK ? -EBUSY : -errno,
                               "what the daemon before has begun with the driver is not over yet");
    daemon->steps_ours = true;
    return 0;
}

int divvy_daemon_stepping_begin(struct divvy_daemon *daemon, struct divvy_node_tenant *tenant,
                                struct divvy_daemon_stepping *stepping, struct divvy_error *error) {
    struct divvy_node_process processes[DIVVY_NODE_PROCESSES_MAX];
    struct divvy_daemon_held *held = daemon->held[tenant->number];
    int count, status;

    if (held->stepping)
        return divvy_error_set(error, -EBUSY, "tenant '%.100s' is being saved or resumed",
                               tenant->id);
    status = steps_take(daemon, error);
    if (status < 0)
        return status;
    held->stepping = true;
    (void)divvy_daemon_processes_look(daemon, tenant); /* one may have begun a moment ago */
    memcpy(stepping->id, tenant->id, sizeof stepping->id);
    memcpy(stepping->driver, daemon->driver, sizeof stepping->driver);
    stepping->created_ns = tenant->created_ns;
    stepping->was_frozen = tenant->frozen;
    count = divvy_node_registry_processes(daemon->registry, tenant->id, processes,
                                          DIVVY_NODE_PROCESSES_MAX);
    stepping->count = count > 0 ? (uint32_t)count : 0;
    for (uint32_t i = 0; i < stepping->count; i++)
        stepping->pids[i] = processes[i].host_pid;
    return 0;
}

struct divvy_node_tenant *divvy_daemon_stepping_end(struct divvy_daemon *daemon,
                                                    const struct divvy_daemon_stepping *stepping) {
    struct divvy_node_tenant *tenant = divvy_node_registry_tenant(daemon->registry, stepping->id);

    if (!tenant || tenant->created_ns != stepping->created_ns)
        return NULL;
    daemon->held[tenant->number]->stepping = false;
    return tenant;
}

int divvy_daemon_stepping_run(struct divvy_daemon *daemon, const struct divvy_daemon_stepping *stepping, bool saves,
                              struct divvy_error *error) {
    return divvy_checkpoint_run(stepping->driver, saves ? DIVVY_CHECKPOINT_SAVE : DIVVY_CHECKPOINT_RESTORE, stepping->pids,
                                stepping->count, daemon->steps_fd, DIVVY_DAEMON_STEP_NS, error);
}

void divvy_daemon_saved_set(struct divvy_daemon *daemon, struct divvy_node_tenant *tenant,
                            const struct divvy_daemon_stepping *stepping) {
    daemon->held[tenant->number]->saved = true;
    tenant->state = tenant->asleep ? DIVVY_NODE_TENANT_ASLEEP : DIVVY_NODE_TENANT_SAVED;
    tenant->frozen_count++;
    divvy_daemon_event_locked(daemon, DIVVY_NODE_EVENT_TENANT_CHANGED, tenant->id,
                              "device memory of %u process%s saved in host memory", stepping->count,
                              stepping->count == 1 ? "" : "es");
}

/* --- by request ----------------------------------------------------------------------------------------------------- */

int divvy_daemon_tenant_snapshot(struct divvy_daemon *daemon, const struct divvy_daemon_peer *peer,
                                 const char *id, struct divvy_error *error) {
    struct divvy_daemon_stepping stepping;
    struct divvy_node_tenant *tenant;
    int status;

    lock(daemon);
    status = divvy_daemon_tenant_for(daemon, peer, id, &tenant, error);
    if (status == 0 && daemon->held[tenant->number]->saved && !daemon->held[tenant->number]->stepping) {
        frozen_set(daemon, tenant, true); /* from now on its calls do not bring it back */
        unlock(daemon);
        return 0;
    }
    if (status == 0)
        status = divvy_daemon_stepping_begin(daemon, tenant, &stepping, error);
    if (status == 0) {
        (void)divvy_daemon_door_set(daemon, tenant, DIVVY_CONTROL_DOOR_SHUT);
        frozen_set(daemon, tenant, true);
    }
    unlock(daemon);
    if (status < 0)
        return status;
    /* What is in flight is waited for by the driver itself, once no call can add to it. */
    status = divvy_daemon_stepping_run(daemon, &stepping, true, error);
    lock(daemon);
    tenant = divvy_daemon_stepping_end(daemon, &stepping);
    if (tenant && status == 0) {
        divvy_daemon_saved_set(daemon, tenant, &stepping);
    } else if (tenant) {
        if (!stepping.was_frozen)
            frozen_set(daemon, tenant, false);
        (void)divvy_daemon_door_set(daemon, tenant, 0);
    }
    unlock(daemon);
    return status;
}

int divvy_daemon_tenant_resume(struct divvy_daemon *daemon, const struct divvy_daemon_peer *peer,
                               const char *id, struct divvy_error *error) {
    struct divvy_daemon_stepping stepping = {.count = 0};
    struct divvy_node_tenant *tenant;
    bool restore = false, known = false;
    int status;

    lock(daemon);
    status = divvy_daemon_tenant_for(daemon, peer, id, &tenant, error);
    if (status == 0) {
        known = daemon->held[tenant->number]->saved;
        restore = known || daemon->held[tenant->number]->maybe_saved;
        status = divvy_daemon_stepping_begin(daemon, tenant, &stepping, error);
    }
    unlock(daemon);
    if (status < 0)
        return status;
    if (restore)
        status = divvy_daemon_stepping_run(daemon, &stepping, false, error);
    if (status == -EOPNOTSUPP && !known)
        status = 0; /* a driver without the calls cannot have saved it either */
    lock(daemon);
    tenant = divvy_daemon_stepping_end(daemon, &stepping);
    if (tenant && status == 0) {
        daemon->held[tenant->number]->saved = daemon->held[tenant->number]->maybe_saved = false;
        tenant->resumed_count += known;
        frozen_set(daemon, tenant, false);
        (void)divvy_daemon_door_set(daemon, tenant, 0);
    }
    unlock(daemon);
    return status;
}
