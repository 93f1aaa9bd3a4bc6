/*
 * The lease thread's parts share this: lease.c (what the rest of the daemon calls), lease_thread.c (clock and bells), lease_grant.c (who
 * comes next, and the hand-over), lease_seat.c (what a tenant's pages, or its end of the channel, say and are told). All of it is under
 * the lease's lock.
 */
#ifndef DIVVY_DAEMON_LEASE_INSIDE_H
#define DIVVY_DAEMON_LEASE_INSIDE_H

#include "core/clock.h"
#include "daemon/lease.h"
#include "daemon/remote.h"
#include "daemon/usage.h"

#include <pthread.h>

#define US             INT64_C(1000)
#define MS             INT64_C(1000000)
#define GRACE_NS       (10 * MS)
#define IDLE_NS        (1 * MS)
#define REMOTE_IDLE_NS (8 * MS) /* two looks of the limiter's end of the channel */
#define BUDGET_NS      UINT32_C(5000000) /* in flight: a whole lease of class medium, so that a late wake-up in it costs nothing */
#define POLL_NS        (3 * MS)
#define WAKE_EVENT     UINT64_MAX
#define TIMER_EVENT    (UINT64_MAX - 1)

/* A tenant on a device. */
struct seat {
    struct divvy_lease_binding binding;
    struct divvy_usage usage;
    bool present;
    bool stuck;
    int64_t fruitless_ns; /* leases, in a row, without any progress */
    int64_t probe_ns;     /* stuck: when it is given the next try */
    int64_t probe_step_ns;
    uint64_t seen_ns; /* GPU time, charged and in flight, that the scheduler has been told of */
    uint64_t begin_seen_ns; /* the same when its lease began */
    /* The last time that it had the device: from when the one before was done until it was done itself; end 0: not known. */
    int64_t window_begin_ns, window_end_ns;
    uint64_t window_seen_ns; /* seen_ns when that began */
    bool window_hungry;      /* it had work for all of that time */
    uint64_t excess_ns;      /* charged beyond what such times had: taken off what comes */
    uint64_t signature;
    int64_t moved_ns; /* when the signature last changed */
    int64_t several_ns; /* when last more than one of its processes had work in flight; 0: never */
    struct divvy_usage_device last;
    bool last_known;
};

struct tenant {
    struct divvy_lease_tenant info;
    struct divvy_remote *remote; /* the lease's */
    struct seat *seats; /* one per binding */
    uint32_t rings;     /* in the second that began at rings_ns */
    int64_t rings_ns;
    int64_t bell_ns; /* not heard before; 0: heard */
    struct tenant *next_muted;
};

struct device {
    struct divvy_node_sched *sched;
    uint32_t holder;      /* DIVVY_NODE_SCHED_NOBODY */
    bool open;            /* the holder is alone: its lease has no end */
    int64_t contended_ns; /* when last somebody else came while it was held */
    int64_t begin_ns, end_ns;
    int64_t
        from_ns; /* when the holder has the device: by then what it launches at begin_ns arrives there */
    uint32_t previous; /* whose drain decides when the holder's lease begins; NOBODY */
    int64_t previous_from_ns, previous_end_ns;
    uint64_t lease_id;
    uint32_t seats;     /* tenants on it */
    uint32_t sensitive; /* of them, those of class high and critical */
    int64_t lost_ns;    /* by a hand-over, as a rule */
    int64_t lease_ns;   /* of class medium, as the settings have it */
    int64_t next_ns;    /* when it has to be looked at */
    int64_t probe_ns;   /* no tenant that is stuck on it is to be tried before; INT64_MAX: none is stuck */
    int64_t way_ns;     /* that an order takes to one of its tenants; 0: all have pages */
};

struct divvy_lease {
    pthread_mutex_t lock;
    pthread_t thread;
    bool started, stopping;
    int epoll_fd, wake_fd, timer_fd;
    struct divvy_node_sched_params params;
    uint32_t capacity, high; /* numbers below `high` may be in use */
    struct tenant **tenants;
    uint32_t own_pidns;
    struct divvy_page *copy; /* usage pages are read into it, under the lock */
    struct divvy_remote *remote;
    void (*knock)(void *data, uint32_t number);
    void *knock_data;
    struct device devices[DIVVY_PAGE_DEVICES];
    struct tenant *muted; /* bells that are not heard for a moment */
    int64_t heartbeat_ns;
    struct divvy_lease_health health;
    struct {
        int64_t since_ns, decision_sum_ns, decision_max_ns, late_sum_ns, late_max_ns;
        uint64_t decisions, wakes;
    } second;
};

static inline int64_t now(void) {
    return (int64_t)divvy_core_clock_ns();
}

static inline struct tenant *tenant_of(const struct divvy_lease *lease, uint32_t number) {
    return number < lease->capacity ? lease->tenants[number] : NULL;
}

static inline struct seat *seat_of(const struct tenant *tenant, uint32_t device) {
    for (uint32_t i = 0; tenant && i < tenant->info.binding_count; i++)
        if (tenant->info.bindings[i].device == device)
            return &tenant->seats[i];
    return NULL;
}

static inline bool is_remote(const struct tenant *tenant) {
    return divvy_remote_is_there(tenant->remote, tenant->info.number);
}

static inline int64_t earlier(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* --- lease_seat.c --------------------------------------------------------------------------------------------------- */

void divvy_lease_page_write(struct tenant *tenant, const struct seat *seat, const struct divvy_control_lease *wanted);
void divvy_lease_page_shut(struct tenant *tenant, const struct seat *seat);
void divvy_lease_listen_set(struct tenant *tenant, const struct seat *seat, uint32_t listening);
bool divvy_lease_seat_read(struct divvy_lease *lease, struct tenant *tenant, struct seat *seat, bool check_lives, int64_t now_ns);
void divvy_lease_seat_catch_up(struct divvy_lease *lease, struct tenant *tenant, struct seat *seat, int64_t now_ns);
int64_t divvy_lease_seat_drain_ns(const struct seat *seat, int64_t begin_ns, int64_t now_ns);
bool divvy_lease_seat_is_busy(const struct seat *seat, int64_t now_ns);
int64_t divvy_lease_remote_length_ns(const struct tenant *tenant, int64_t length_ns);
int64_t divvy_lease_remote_wait_ns(const struct device *device, const struct tenant *tenant, const struct seat *seat, int64_t since_ns,
                                   int64_t now_ns);
int64_t divvy_lease_remote_from_ns(const struct tenant *tenant, const struct seat *seat, int64_t from_ns, int64_t now_ns);
void divvy_lease_seat_wake(struct divvy_lease *lease, struct tenant *tenant, struct seat *seat, int64_t now_ns);
bool divvy_lease_seat_sleep(struct divvy_lease *lease, struct tenant *tenant, struct seat *seat, int64_t now_ns);
void divvy_lease_seat_stuck(struct divvy_lease *lease, struct seat *seat, int64_t now_ns);
void divvy_lease_tenant_knocked(struct divvy_lease *lease, const struct tenant *tenant);
void divvy_lease_tenant_rang(struct divvy_lease *lease, struct tenant *tenant, int64_t now_ns);
void divvy_lease_remote_listen(struct divvy_lease *lease, int64_t now_ns);

/* --- lease_grant.c: returns when it is to look again ------------------------------------------------------------------ */

int64_t divvy_lease_device_look(struct divvy_lease *lease, uint32_t index, int64_t now_ns);

/* --- lease_thread.c ------------------------------------------------------------------------------------------------- */

/*
 * The time, for whoever has just taken the lock and is to change what tenants have. When nobody looked for so long that tenants paced
 * themselves (the daemon was stopped, or had no processor), all begins anew: what they used meanwhile they kept to their caps by
 * themselves, and a cap that were to pay for it once more would stop its tenant for as long again.
 */
int64_t divvy_lease_now(struct divvy_lease *lease);

void *divvy_lease_thread_run(void *data);
void divvy_lease_wake(const struct divvy_lease *lease);

#endif
