/* Idle tenants: see freezer.h. */
#include "daemon/inside.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "daemon/checkpoint.h"
#include "daemon/quiet.h"
#include "daemon/remote.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define MS         INT64_C(1000000)
#define SECOND_NS  (1000 * MS)
#define PAUSE_NS   SECOND_NS /* without measured use, before the door is watched; no longer than the class's time */
#define QUIET_NS   (2 * SECOND_NS)
#define AGAIN_NS   (100 * MS)
#define AGAIN_MAX_NS (5 * SECOND_NS)
#define HOUR_NS    (3600 * SECOND_NS)
#define STOP_NS    (60 * SECOND_NS)
#define PROBE_NS   (60 * SECOND_NS)
#define WORKERS    4u /* one of which may save; who is waited for never waits for that */
#define LOOK_MS    1000

/* Something to be done with a tenant, which may be gone by then. */
struct job {
    char id[DIVVY_NODE_ID_BYTES];
    int64_t created_ns;
    bool saves;
    struct job *next;
};

struct divvy_freezer {
    struct divvy_daemon *daemon;
    int event_fd; /* somebody knocked, or stopping */
    uint8_t *knocks; /* by tenant number; atomic */
    bool any_knock;  /* atomic */
    /* under the daemon's lock */
    pthread_cond_t work;
    struct job *first, *last;
    bool is_saving, stopping;
    pthread_t listener, workers[WORKERS];
    uint32_t worker_count;
    bool has_listener;
    bool is_able; /* the driver has the calls */
    char probed[PATH_MAX];
    int64_t probe_ns; /* when the driver may be asked again */
};

static void lock(struct divvy_daemon *daemon) {
    (void)pthread_mutex_lock(&daemon->lock);
}

static void unlock(struct divvy_daemon *daemon) {
    (void)pthread_mutex_unlock(&daemon->lock);
}

static struct divvy_freezer_tenant *rest_of(const struct divvy_daemon *daemon, const struct divvy_node_tenant *tenant) {
    return &daemon->held[tenant->number]->rest;
}

/* --- jobs, the lock is held ------------------------------------------------------------------------------- */

static bool job_add(struct divvy_freezer *freezer, const struct divvy_node_tenant *tenant, bool saves) {
    struct job *job = calloc(1, sizeof *job);

    if (!job)
        return false;
    memcpy(job->id, tenant->id, sizeof job->id);
    job->created_ns = tenant->created_ns;
    job->saves = saves;
    if (freezer->last)
        freezer->last->next = job;
    else
        freezer->first = job;
    freezer->last = job;
    (void)pthread_cond_signal(&freezer->work);
    return true;
}

/* The first that may be done now: who comes back goes before, and one at a time is saved. */
static struct job *job_take(struct divvy_freezer *freezer) {
    struct job **found = NULL, *before = NULL, *taken;

    for (struct job **link = &freezer->first; *link; link = &(*link)->next)
        if (!(*link)->saves || (!found && !freezer->is_saving)) {
            found = link;
            if (!(*link)->saves)
                break;
        }
    if (!found)
        return NULL;
    taken = *found;
    *found = taken->next;
    for (struct job *job = freezer->first; job; job = job->next)
        before = job;
    freezer->last = before;
    return taken;
}

static struct divvy_node_tenant *job_tenant(struct divvy_daemon *daemon, const struct job *job) {
    struct divvy_node_tenant *tenant = divvy_node_registry_tenant(daemon->registry, job->id);

    return tenant && tenant->created_ns == job->created_ns ? tenant : NULL;
}

/* --- phases, the lock is held ----------------------------------------------------------------------------- */

static void rest_wake(struct divvy_daemon *daemon, struct divvy_node_tenant *tenant, int64_t now_ns) {
    struct divvy_freezer_tenant *rest = rest_of(daemon, tenant);

    if (rest->phase == DIVVY_FREEZER_WATCHED)
        (void)divvy_daemon_door_set(daemon, tenant, 0);
    if (rest->phase == DIVVY_FREEZER_WATCHED || rest->phase == DIVVY_FREEZER_AWAKE) {
        rest->phase = DIVVY_FREEZER_AWAKE;
        rest->active_ns = now_ns;
    }
}

void divvy_freezer_active(struct divvy_daemon *daemon, const struct divvy_node_tenant *tenant, int64_t now_ns) {
    rest_of(daemon, tenant)->active_ns = now_ns;
}

void divvy_freezer_hold(struct divvy_daemon *daemon, struct divvy_node_tenant *tenant) {
    struct divvy_freezer_tenant *rest = rest_of(daemon, tenant);
    int64_t now_ns = divvy_daemon_now_ns();

    rest->failures = 0;
    rest->retry_ns = 0;
    rest->active_ns = now_ns;
    if (tenant->asleep) {
        /* Found so: whoever is at the door has rung for the daemon before. */
        rest->phase = DIVVY_FREEZER_ASLEEP;
        rest->knocked = true;
        rest->knocked_ns = now_ns;
        return;
    }
    rest->knocked = false;
    rest->phase = DIVVY_FREEZER_AWAKE;
    if (!tenant->frozen)
        (void)divvy_daemon_door_set(daemon, tenant, 0);
}

/* All its processes look at the door; *ret_came: one has come by since it is watched. */
static bool door_is_known(struct divvy_daemon *daemon, const struct divvy_node_tenant *tenant, uint32_t word, bool *ret_came) {
    struct divvy_daemon_held *held = daemon->held[tenant->number];
    uint32_t count = 0;
    bool all = true;
    int status = divvy_usage_door(&held->usage, held->folder.fd, tenant->owner_uid, daemon->own_pidns, word, &all, ret_came,
                                  &count);

    divvy_remote_door(divvy_lease_remote(daemon->lease), tenant->number, word, &all, ret_came, &count);
    return (status == 0 || status == -ENOENT) && all && count == tenant->process_count;
}

/* Those that go by the channel have heard of the door, and said what they know of it. They may not be there any more. */
static int remote_wait(struct divvy_daemon *daemon, uint32_t number) {
    struct divvy_remote *remote = divvy_lease_remote(daemon->lease);
    int64_t until_ns = divvy_daemon_now_ns() + QUIET_NS;

    while (!divvy_remote_has_said(remote, number)) {
        struct timespec pause = {.tv_nsec = 1000000};

        if (divvy_daemon_now_ns() >= until_ns)
            return -ETIMEDOUT;
        (void)nanosleep(&pause, NULL);
    }
    return 0;
}

/* On a device that a tenant has open nothing is measured; what its utilisation says is the tenant's. */
static bool is_open_and_busy(const struct divvy_daemon *daemon, const struct divvy_node_tenant *tenant) {
    bool is_busy = false;

    for (uint32_t i = 0; i < tenant->binding_count; i++)
        is_busy = is_busy || (tenant->bindings[i].mode == DIVVY_CONTROL_OPEN &&
                              divvy_node_registry_device(daemon->registry, tenant->bindings[i].device)->utilisation_permille > 0);
    return is_busy;
}

static void awake_look(struct divvy_daemon *daemon, struct divvy_node_tenant *tenant, struct divvy_freezer_tenant *rest,
                       int64_t after_ns, int64_t now_ns) {
    bool came = false;

    if (now_ns < rest->active_ns + (after_ns < PAUSE_NS ? after_ns : PAUSE_NS) || !door_is_known(daemon, tenant, DIVVY_CONTROL_DOOR_KNOWN, &came))
        return;
    rest->word = divvy_daemon_door_set(daemon, tenant, DIVVY_CONTROL_DOOR_WATCHED);
    rest->watched_ns = now_ns;
    rest->phase = DIVVY_FREEZER_WATCHED;
}

static void watched_look(struct divvy_daemon *daemon, struct divvy_node_tenant *tenant, struct divvy_freezer_tenant *rest,
                         int64_t after_ns, int64_t now_ns) {
    bool came = false;

    if (!door_is_known(daemon, tenant, rest->word, &came) || came || rest->active_ns > rest->watched_ns) {
        rest_wake(daemon, tenant, now_ns);
        return;
    }
    if (now_ns >= rest->watched_ns + after_ns && now_ns >= rest->retry_ns && job_add(daemon->freezer, tenant, true))
        rest->phase = DIVVY_FREEZER_GOING;
}

void divvy_freezer_look(struct divvy_daemon *daemon, struct divvy_node_tenant *tenant, int64_t now_ns) {
    struct divvy_freezer_tenant *rest = rest_of(daemon, tenant);
    int64_t after_ns = divvy_freezer_after_ns(daemon, tenant->qos);

    if (rest->phase == DIVVY_FREEZER_ASLEEP && tenant->process_count == 0)
        rest->knocked = true; /* they have ended: there is nothing to wait for */
    if (rest->phase == DIVVY_FREEZER_ASLEEP && rest->knocked && now_ns >= rest->retry_ns && daemon->driver_known &&
        daemon->freezer->worker_count && job_add(daemon->freezer, tenant, false))
        rest->phase = DIVVY_FREEZER_COMING;
    if (rest->phase > DIVVY_FREEZER_WATCHED)
        return;
    if (after_ns == 0 || tenant->frozen || tenant->process_count == 0 || daemon->held[tenant->number]->stepping ||
        is_open_and_busy(daemon, tenant))
        rest_wake(daemon, tenant, now_ns);
    else if (rest->phase == DIVVY_FREEZER_AWAKE)
        awake_look(daemon, tenant, rest, after_ns, now_ns);
    else
        watched_look(daemon, tenant, rest, after_ns, now_ns);
}

int64_t divvy_freezer_after_ns(const struct divvy_daemon *daemon, enum divvy_node_qos qos) {
    return daemon->freezer && daemon->freezer->is_able && (unsigned)qos < DIVVY_NODE_QOS_MAX
               ? daemon->settings.autofreeze_ns[qos]
               : 0;
}

/* --- going to sleep --------------------------------------------------------------------------------------- */

/* The page first, then the door, then the leases: a daemon that finds any part of it knows what to undo. */
static uint32_t sleep_begin(struct divvy_daemon *daemon, struct divvy_node_tenant *tenant) {
    uint32_t word;

    tenant->asleep = true;
    daemon->held[tenant->number]->folder.control->frozen = DIVVY_CONTROL_FROZEN_IDLE;
    word = divvy_daemon_door_set(daemon, tenant, DIVVY_CONTROL_DOOR_SHUT);
    (void)divvy_lease_tenant_freeze(daemon->lease, tenant->number, true);
    return word;
}

static void sleep_end(struct divvy_daemon *daemon, struct divvy_node_tenant *tenant) {
    tenant->asleep = false;
    tenant->state = DIVVY_NODE_TENANT_IDLE;
    (void)divvy_lease_tenant_freeze(daemon->lease, tenant->number, false);
    daemon->held[tenant->number]->folder.control->frozen = DIVVY_CONTROL_FROZEN_NOT;
    (void)divvy_daemon_door_set(daemon, tenant, 0);
}

/* Nobody was on the way to the driver when the door was shut. Word of the shut door hides that of the watched one. */
static int going_check(struct divvy_daemon *daemon, const struct divvy_daemon_stepping *stepping, uint32_t number,
                       uint32_t watched, uint32_t shut) {
    const struct divvy_node_tenant *tenant;
    bool came = false, stands = false;
    int status = remote_wait(daemon, number);

    if (status == 0)
        status = divvy_quiet_wait(stepping->pids, stepping->count, QUIET_NS);
    divvy_remote_ask(divvy_lease_remote(daemon->lease), number);
    if (status == 0)
        status = remote_wait(daemon, number);
    if (status < 0)
        return status;
    lock(daemon);
    tenant = divvy_node_registry_tenant(daemon->registry, stepping->id);
    if (!tenant || tenant->created_ns != stepping->created_ns)
        status = -ENOENT;
    else if (!door_is_known(daemon, tenant, watched, &came) || !door_is_known(daemon, tenant, shut, &stands) || came || stands ||
             rest_of(daemon, tenant)->knocked || tenant->process_count != stepping->count)
        status = -EAGAIN;
    unlock(daemon);
    return status;
}

static int64_t doubled(int64_t first_ns, uint32_t times, int64_t most_ns) {
    int64_t value_ns = first_ns;

    while (times-- > 0 && value_ns < most_ns)
        value_ns *= 2;
    return value_ns < most_ns ? value_ns : most_ns;
}

static void going_failed(struct divvy_daemon *daemon, struct divvy_node_tenant *tenant, int status, const char *why) {
    struct divvy_freezer_tenant *rest = rest_of(daemon, tenant);
    int64_t now_ns = divvy_daemon_now_ns();

    if (tenant->asleep)
        sleep_end(daemon, tenant);
    else
        (void)divvy_daemon_door_set(daemon, tenant, 0);
    rest->phase = DIVVY_FREEZER_AWAKE;
    rest->knocked = false;
    rest->active_ns = now_ns;
    if (status == -EAGAIN)
        return; /* it is not idle any more */
    if (rest->failures++ == 0)
        divvy_daemon_event_locked(daemon, DIVVY_NODE_EVENT_TENANT_CHANGED, tenant->id, "idle, but not saved: %.120s", why);
    rest->retry_ns = now_ns + doubled(daemon->settings.autofreeze_ns[tenant->qos], rest->failures, HOUR_NS);
}

/* By the lock's holder: what has come of saving. */
static void going_end(struct divvy_daemon *daemon, const struct divvy_daemon_stepping *stepping, int status,
                      const struct divvy_error *error) {
    struct divvy_node_tenant *tenant = divvy_daemon_stepping_end(daemon, stepping);
    struct divvy_freezer_tenant *rest;
    int64_t idle_ns;

    if (!tenant)
        return;
    rest = rest_of(daemon, tenant);
    if (status < 0) {
        going_failed(daemon, tenant, status, error->text[0] ? error->text : strerror(-status));
        return;
    }
    divvy_daemon_saved_set(daemon, tenant, stepping);
    idle_ns = divvy_daemon_now_ns() - rest->watched_ns;
    if (tenant->asleep)
        divvy_daemon_event_locked(daemon, DIVVY_NODE_EVENT_TENANT_FROZEN, tenant->id,
                                  "idle for %lld.%lld s: sleeps, and comes back with its next call",
                                  (long long)(idle_ns / SECOND_NS), (long long)(idle_ns / (SECOND_NS / 10) % 10));
    rest->failures = 0;
    rest->retry_ns = 0;
    /* Somebody may have asked for it meanwhile, and then it stays; or knocked, and then it comes back. */
    rest->phase = tenant->asleep ? DIVVY_FREEZER_ASLEEP : DIVVY_FREEZER_AWAKE;
    divvy_freezer_look(daemon, tenant, divvy_daemon_now_ns());
}

static void save(struct divvy_freezer *freezer, const struct job *job) {
    struct divvy_daemon *daemon = freezer->daemon;
    struct divvy_node_tenant *tenant = job_tenant(daemon, job);
    struct divvy_daemon_stepping stepping;
    struct divvy_error error = {0, ""};
    uint32_t watched, shut, number;
    int status;

    if (!tenant || rest_of(daemon, tenant)->phase != DIVVY_FREEZER_GOING)
        return;
    watched = rest_of(daemon, tenant)->word;
    status = freezer->stopping ? -EAGAIN : divvy_daemon_stepping_begin(daemon, tenant, &stepping, &error);
    if (status < 0) {
        going_failed(daemon, tenant, status, error.text);
        return;
    }
    rest_of(daemon, tenant)->knocked = false;
    shut = sleep_begin(daemon, tenant);
    number = tenant->number;
    unlock(daemon);
    status = going_check(daemon, &stepping, number, watched, shut);
    if (status == -ETIMEDOUT)
        (void)divvy_error_set(&error, status, "a process of it is stopped, or gets no processor, or does not answer");
    if (status == 0)
        status = divvy_daemon_stepping_run(daemon, &stepping, true, &error);
    lock(daemon);
    going_end(daemon, &stepping, status, &error);
}

/* --- coming back ------------------------------------------------------------------------------------------ */

static void coming_end(struct divvy_daemon *daemon, const struct divvy_daemon_stepping *stepping, int status,
                       const struct divvy_error *error) {
    struct divvy_node_tenant *tenant = divvy_daemon_stepping_end(daemon, stepping);
    struct divvy_freezer_tenant *rest;
    int64_t now_ns = divvy_daemon_now_ns(), took_ns;

    if (!tenant)
        return;
    rest = rest_of(daemon, tenant);
    if (status == -EOPNOTSUPP && !daemon->held[tenant->number]->saved)
        status = 0; /* a driver without the calls cannot have saved it either */
    if (status < 0) {
        if (rest->phase == DIVVY_FREEZER_COMING)
            rest->phase = DIVVY_FREEZER_ASLEEP;
        if (rest->failures == 0)
            divvy_daemon_event_locked(daemon, DIVVY_NODE_EVENT_TENANT_CHANGED, tenant->id, "cannot come back yet: %.120s",
                                      error->text);
        rest->retry_ns = now_ns + doubled(AGAIN_NS, rest->failures++, AGAIN_MAX_NS);
        return;
    }
    tenant->resumed_count += daemon->held[tenant->number]->saved;
    daemon->held[tenant->number]->saved = daemon->held[tenant->number]->maybe_saved = false;
    if (!tenant->asleep) { /* somebody froze it meanwhile: nothing starts, but its memory is there */
        tenant->state = DIVVY_NODE_TENANT_FROZEN;
        (void)divvy_daemon_door_set(daemon, tenant, 0);
        return;
    }
    took_ns = now_ns - rest->knocked_ns;
    sleep_end(daemon, tenant);
    divvy_freezer_hold(daemon, tenant);
    tenant->return_ns_last = took_ns;
    tenant->return_ns_total += took_ns;
    divvy_daemon_event_locked(daemon, DIVVY_NODE_EVENT_TENANT_RESUMED, tenant->id, "needed again: back after %lld.%lld ms",
                              (long long)(took_ns / MS), (long long)(took_ns / (MS / 10) % 10));
}

static void restore(struct divvy_freezer *freezer, const struct job *job) {
    struct divvy_daemon *daemon = freezer->daemon;
    struct divvy_node_tenant *tenant = job_tenant(daemon, job);
    struct divvy_daemon_stepping stepping;
    struct divvy_error error = {0, ""};
    int status;

    if (!tenant || rest_of(daemon, tenant)->phase != DIVVY_FREEZER_COMING)
        return;
    status = divvy_daemon_stepping_begin(daemon, tenant, &stepping, &error);
    if (status < 0) { /* somebody else is at it */
        rest_of(daemon, tenant)->phase = DIVVY_FREEZER_ASLEEP;
        rest_of(daemon, tenant)->retry_ns = divvy_daemon_now_ns() + AGAIN_NS;
        return;
    }
    unlock(daemon);
    status = divvy_daemon_stepping_run(daemon, &stepping, false, &error);
    lock(daemon);
    coming_end(daemon, &stepping, status, &error);
}

/* --- threads ---------------------------------------------------------------------------------------------- */

static void *work_run(void *data) {
    struct divvy_freezer *freezer = data;

    (void)prctl(PR_SET_NAME, "divvyd-freezer");
    lock(freezer->daemon);
    while (!freezer->stopping) {
        struct job *job = job_take(freezer);

        if (!job) {
            (void)pthread_cond_wait(&freezer->work, &freezer->daemon->lock);
            continue;
        }
        freezer->is_saving |= job->saves;
        if (job->saves)
            save(freezer, job);
        else
            restore(freezer, job);
        if (job->saves) {
            freezer->is_saving = false;
            (void)pthread_cond_broadcast(&freezer->work);
        }
        free(job);
    }
    unlock(freezer->daemon);
    return NULL;
}

/* By the lease thread. */
static void knock(void *data, uint32_t number) {
    struct divvy_freezer *freezer = data;

    __atomic_store_n(&freezer->knocks[number], 1, __ATOMIC_SEQ_CST);
    if (!__atomic_exchange_n(&freezer->any_knock, true, __ATOMIC_SEQ_CST))
        (void)eventfd_write(freezer->event_fd, 1);
}

/* Lock held: who stands at its door. */
static void knocks_take(struct divvy_freezer *freezer) {
    struct divvy_daemon *daemon = freezer->daemon;
    struct divvy_node_tenant *tenant = NULL;
    int64_t now_ns = divvy_daemon_now_ns();

    __atomic_store_n(&freezer->any_knock, false, __ATOMIC_SEQ_CST);
    while ((tenant = divvy_node_registry_tenant_next(daemon->registry, tenant))) {
        struct divvy_freezer_tenant *rest = rest_of(daemon, tenant);

        if (!__atomic_exchange_n(&freezer->knocks[tenant->number], 0, __ATOMIC_SEQ_CST) || !tenant->asleep)
            continue;
        if (!rest->knocked)
            rest->knocked_ns = now_ns;
        rest->knocked = true;
        divvy_freezer_look(daemon, tenant, now_ns);
    }
}

static bool is_wanted(const struct divvy_daemon *daemon) {
    bool wanted = false;

    for (int i = 0; i < DIVVY_NODE_QOS_MAX; i++)
        wanted = wanted || daemon->settings.autofreeze_ns[i] > 0;
    return wanted;
}

/* Lock held, and given up meanwhile. Asked once for each driver, and again after a minute if it could not be begun. */
static void driver_probe(struct divvy_freezer *freezer) {
    struct divvy_daemon *daemon = freezer->daemon;
    struct divvy_error error = {0, ""};
    int64_t now_ns = divvy_daemon_now_ns();
    char driver[PATH_MAX];
    bool is_new;
    int status;

    if (!is_wanted(daemon) || !daemon->driver_known ||
        (strcmp(freezer->probed, daemon->driver) == 0 && (freezer->is_able || now_ns < freezer->probe_ns)))
        return;
    memcpy(driver, daemon->driver, sizeof driver);
    is_new = strcmp(freezer->probed, driver) != 0;
    unlock(daemon);
    status = divvy_checkpoint_run(driver, DIVVY_CHECKPOINT_PROBE, NULL, 0, -1, QUIET_NS * 15, &error);
    if (status < 0 && is_new)
        divvy_log_warn("freeze-*: idle tenants are not frozen: %s", error.text);
    lock(daemon);
    memcpy(freezer->probed, driver, sizeof driver);
    freezer->is_able = status == 0;
    freezer->probe_ns = status == -EOPNOTSUPP ? INT64_MAX : now_ns + PROBE_NS;
}

static void *listen_run(void *data) {
    struct divvy_freezer *freezer = data;
    struct pollfd ready = {.fd = freezer->event_fd, .events = POLLIN};

    (void)prctl(PR_SET_NAME, "divvyd-door");
    lock(freezer->daemon);
    while (!freezer->stopping) {
        eventfd_t value;

        driver_probe(freezer);
        unlock(freezer->daemon);
        if (poll(&ready, 1, LOOK_MS) > 0)
            (void)eventfd_read(freezer->event_fd, &value);
        lock(freezer->daemon);
        knocks_take(freezer);
    }
    unlock(freezer->daemon);
    return NULL;
}

/* --- beginning and end ------------------------------------------------------------------------------------ */

int divvy_freezer_new(struct divvy_daemon *daemon, struct divvy_freezer **ret_freezer) {
    struct divvy_freezer *freezer = calloc(1, sizeof *freezer);

    if (!freezer)
        return -ENOMEM;
    freezer->daemon = daemon;
    freezer->knocks = calloc(DIVVY_NODE_TENANTS_MAX, sizeof freezer->knocks[0]);
    freezer->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!freezer->knocks || freezer->event_fd < 0) {
        int status = freezer->knocks ? -errno : -ENOMEM;

        divvy_cleanup_close(&freezer->event_fd);
        free(freezer->knocks);
        free(freezer);
        return status;
    }
    (void)pthread_cond_init(&freezer->work, NULL);
    divvy_lease_knock_set(daemon->lease, knock, freezer);
    *ret_freezer = freezer;
    return 0;
}

int divvy_freezer_start(struct divvy_freezer *freezer, struct divvy_error *error) {
    int result = pthread_create(&freezer->listener, NULL, listen_run, freezer);

    freezer->has_listener = result == 0;
    while (result == 0 && freezer->worker_count < WORKERS) {
        result = pthread_create(&freezer->workers[freezer->worker_count], NULL, work_run, freezer);
        freezer->worker_count += result == 0;
    }
    return result ? divvy_error_set_errno(error, -result, "the threads for idle tenants cannot be started") : 0;
}

/* Lock held. Nobody else could bring them back: their next call would wait for another daemon. */
static void all_bring_back(struct divvy_freezer *freezer) {
    struct divvy_daemon *daemon = freezer->daemon;
    int64_t until_ns = divvy_daemon_now_ns() + STOP_NS;
    struct divvy_node_tenant *tenant = NULL;

    while ((tenant = divvy_node_registry_tenant_next(daemon->registry, tenant)) && divvy_daemon_now_ns() < until_ns) {
        struct job job = {.created_ns = tenant->created_ns};

        if (!tenant->asleep || rest_of(daemon, tenant)->phase != DIVVY_FREEZER_ASLEEP)
            continue;
        memcpy(job.id, tenant->id, sizeof job.id);
        rest_of(daemon, tenant)->phase = DIVVY_FREEZER_COMING;
        rest_of(daemon, tenant)->knocked_ns = divvy_daemon_now_ns();
        restore(freezer, &job);
        tenant = job_tenant(daemon, &job);
        if (!tenant)
            break; /* it went, and the list with it: the rest is found by the next daemon */
    }
}

void divvy_freezer_stop(struct divvy_freezer *freezer) {
    if (!freezer)
        return;
    lock(freezer->daemon);
    freezer->stopping = true;
    (void)pthread_cond_broadcast(&freezer->work);
    unlock(freezer->daemon);
    (void)eventfd_write(freezer->event_fd, 1);
    for (uint32_t i = 0; i < freezer->worker_count; i++)
        (void)pthread_join(freezer->workers[i], NULL);
    if (freezer->has_listener)
        (void)pthread_join(freezer->listener, NULL);
    lock(freezer->daemon);
    if (freezer->worker_count)
        all_bring_back(freezer);
    freezer->worker_count = 0;
    freezer->has_listener = false;
    unlock(freezer->daemon);
}

void divvy_freezer_free(struct divvy_freezer *freezer) {
    if (!freezer)
        return;
    while (freezer->first) {
        struct job *job = freezer->first;

        freezer->first = job->next;
        free(job);
    }
    (void)pthread_cond_destroy(&freezer->work);
    divvy_cleanup_close(&freezer->event_fd);
    free(freezer->knocks);
    free(freezer);
}
