/* The lease thread: see lease.h. */
#include "daemon/lease.h"

#include "base/cleanup.h"
#include "core/clock.h"
#include "core/futex.h"
#include "core/sys.h"
#include "daemon/remote.h"
#include "daemon/usage.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define US INT64_C(1000)
#define MS INT64_C(1000000)

#define LEAD_NS      (800 * US)
#define RECHECK_NS   (250 * US)
#define EARLY_MAX_NS (200 * US) /* a lease begins so much before the device is free, at most */
#define DRAINED_NS                                                                                 \
    (100 * US) /* a drain no longer than this behind the next lease's begin is not worth another */
#define GRACE_NS (10 * MS)
#define POLL_NS  (3 * MS)
#define IDLE_NS  (1 * MS)
#define FRUITLESS_NS                                                                               \
    (20 * MS) /* of leases in a row that it waited through: it is stopped, or stuck */
#define PROBE_NS        (2 * MS)
#define PROBE_FIRST_NS  (50 * MS)
#define PROBE_LAST_NS   (1000 * MS)
#define BUDGET_NS       UINT32_C(2000000)
#define BUDGET_TIGHT_NS UINT32_C(400000) /* while somebody's waits must be short */
#define OPEN_LOOK_NS    (100 * MS)
#define PEACE_NS                                                                                   \
    (2000 * MS) /* alone for so long: nothing is measured any more, and anything may be in flight */
#define BELL_PAUSE_NS       (200 * US)
#define BELL_FLOOD          500u /* rings in a second; beyond, the bell is heard a hundred times a second */
#define BELL_FLOOD_PAUSE_NS (10 * MS)
#define EXCESS_MAX_NS       (5 * MS) /* more is no error of measurement */
#define HAND_OVER_STEPS     32 /* what one hand-over moves what is known of them by, as a part of it */
#define LOSS_PERMILLE       10 /* of the device that hand-overs may cost before leases are stretched */
#define REMOTE_IDLE_NS      (8 * MS) /* two looks of the limiter's end of the channel */
#define REMOTE_LEAD_MAX_NS  (2 * MS)
#define REMOTE_WAYS         50       /* so many times the way there and back is a lease long: that is what it costs at most */
#define EPOLL_BATCH         64
#define WAKE_EVENT          UINT64_MAX
#define TIMER_EVENT         (UINT64_MAX - 1)

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

static int64_t now(void) {
    return (int64_t)divvy_core_clock_ns();
}

static struct tenant *tenant_of(const struct divvy_lease *lease, uint32_t number) {
    return number < lease->capacity ? lease->tenants[number] : NULL;
}

static struct seat *seat_of(const struct tenant *tenant, uint32_t device) {
    for (uint32_t i = 0; tenant && i < tenant->info.binding_count; i++)
        if (tenant->info.bindings[i].device == device)
            return &tenant->seats[i];
    return NULL;
}

/* --- pages -------------------------------------------------------------------------------------------------------- */

static void page_write(struct tenant *tenant, const struct seat *seat,
                       const struct divvy_control_lease *wanted) {
    struct divvy_control_device *entry = &tenant->info.control->devices[seat->binding.entry];
    bool armed = tenant->info.door != 0 ||
                 (wanted->mode != DIVVY_CONTROL_OPEN &&
                  (wanted->mode != DIVVY_CONTROL_SELF ||
                   __atomic_load_n(&entry->compute_permille, __ATOMIC_RELAXED) <
                       DIVVY_PAGE_PERMILLE_UNLIMITED));

    /* Whoever is to wait must look first; whoever need not look must not be made to wait. */
    if (armed)
        __atomic_store_n(&entry->armed, 1, __ATOMIC_SEQ_CST);
    divvy_control_lease_write(tenant->info.control, seat->binding.entry, wanted);
    if (!armed)
        __atomic_store_n(&entry->armed, 0, __ATOMIC_SEQ_CST);
    divvy_remote_lease(tenant->remote, tenant->info.number, seat->binding.entry, wanted, tenant->info.control);
}

static void page_shut(struct tenant *tenant, const struct seat *seat) {
    struct divvy_control_lease shut = {.mode = tenant->info.frozen ? DIVVY_CONTROL_FROZEN
                                                                   : DIVVY_CONTROL_LEASED,
                                       .budget_ns = BUDGET_NS};

    page_write(tenant, seat, &shut);
}

static void listen_set(struct tenant *tenant, const struct seat *seat, uint32_t listening) {
    __atomic_store_n(&tenant->info.control->devices[seat->binding.entry].listening, listening,
                     __ATOMIC_SEQ_CST);
}

static const uint8_t *seat_uuid(const struct tenant *tenant, const struct seat *seat) {
    return (const uint8_t *)&tenant->info.control->devices[seat->binding.entry].uuid;
}

static uint64_t mix(uint64_t hash, uint64_t value) {
    return (hash ^ value) * UINT64_C(0x9E3779B97F4A7C15) + (hash >> 29);
}

static bool is_remote(const struct tenant *tenant) {
    return divvy_remote_is_there(tenant->remote, tenant->info.number);
}

/* What the tenant says of its use: in its page, over the channel, or both. */
static int usage_read(struct tenant *tenant, struct seat *seat, int64_t now_ns, const uint32_t *own_pidns) {
    struct divvy_usage_device *use = &seat->last;
    int error = divvy_usage_read(&seat->usage, tenant->info.folder_fd, tenant->info.owner_uid,
                                 seat_uuid(tenant, seat), now_ns, own_pidns, use);

    if (error)
        *use = (struct divvy_usage_device){.drain_ns = now_ns};
    return divvy_remote_usage(tenant->remote, tenant->info.number, seat->binding.entry, use) ? 0 : error;
}

/* Read the seat's page and tell the scheduler what was used. False: nothing can be known. */
static bool seat_read(struct divvy_lease *lease, struct tenant *tenant, struct seat *seat,
                      bool check_lives, int64_t now_ns) {
    struct divvy_usage_device *use = &seat->last;
    int error = usage_read(tenant, seat, now_ns, check_lives ? &lease->own_pidns : NULL);
    uint64_t used_ns, signature;

    seat->last_known = error == 0;
    if (error == -EPROTO)
        lease->health.pages_broken++;
    if (error) {
        memset(use, 0, sizeof *use);
        return false;
    }
    used_ns = use->charged_ns + use->inflight_ns;
    if (used_ns > seat->seen_ns && used_ns >= use->charged_ns) {
        uint64_t more_ns = used_ns - seat->seen_ns;

        /* No device does more than a second's work in a second: a page that claims so lies, to its own loss. */
        if (more_ns > (uint64_t)(10000 * MS))
            more_ns = (uint64_t)(10000 * MS);
        if (seat->excess_ns) {
            uint64_t less_ns = more_ns < seat->excess_ns ? more_ns : seat->excess_ns;

            seat->excess_ns -= less_ns;
            more_ns -= less_ns;
        }
        (void)divvy_node_sched_charge(lease->devices[seat->binding.device].sched,
                                      tenant->info.number, (int64_t)more_ns, now_ns);
        seat->seen_ns = used_ns;
    }
    signature = mix(mix(mix(mix(0, use->charged_ns), use->inflight_ns), use->launches),
                    (uint64_t)use->last_ns);
    if (signature != seat->signature) {
        seat->signature = signature;
        seat->moved_ns = now_ns;
    }
    return true;
}

/*
 * What it has in flight is done by then, as far as can be told; never before now. Several processes that share the device know
 * little of how far they got; but all that they launched since their lease began, at begin_ns, takes its time from there.
 */
static int64_t seat_drain_ns(const struct seat *seat, int64_t begin_ns, int64_t now_ns) {
    int64_t drain_ns =
        seat->last_known && seat->last.drain_ns > now_ns ? seat->last.drain_ns : now_ns;
    int64_t done_ns = begin_ns + (int64_t)(seat->seen_ns - seat->begin_seen_ns);

    if (seat->last_known && seat->last.busy_processes > 1 && drain_ns > done_ns)
        drain_ns = done_ns > now_ns ? done_ns : now_ns;
    return drain_ns;
}

static bool seat_is_busy(const struct seat *seat, int64_t now_ns) {
    return seat->last_known && (seat->last.waiting || seat->last.last_ns + IDLE_NS > now_ns);
}

/* --- processes that go by the channel -------------------------------------------------------------------------------- */

/* Long enough for the way there and back not to matter. */
static int64_t remote_length_ns(const struct tenant *tenant, int64_t length_ns) {
    int64_t least_ns = REMOTE_WAYS * divvy_remote_way_ns(tenant->remote, tenant->info.number);

    if (least_ns < DIVVY_REMOTE_LEASE_NS)
        least_ns = DIVVY_REMOTE_LEASE_NS;
    if (least_ns > DIVVY_REMOTE_LEASE_MAX_NS)
        least_ns = DIVVY_REMOTE_LEASE_MAX_NS;
    return length_ns > least_ns ? length_ns : least_ns;
}

/*
 * When to look again at a holder whose lease should be over by now, and who has not said so: 0, it has, or cannot be waited for
 * any longer. What was in flight when it said so is known by then.
 */
static int64_t remote_wait_ns(const struct device *device, const struct tenant *tenant, const struct seat *seat,
                              int64_t since_ns, int64_t now_ns) {
    int64_t until_ns = device->end_ns + GRACE_NS; /* what it says comes before that, and wakes us */

    if (divvy_remote_is_over(tenant->remote, tenant->info.number, seat->binding.entry))
        return 0;
    if (!seat->last.waiting && since_ns + REMOTE_IDLE_NS < until_ns)
        until_ns = since_ns + REMOTE_IDLE_NS;
    return until_ns > now_ns ? until_ns : 0;
}

/* What it was told a moment ago it does not know yet. */
static int64_t remote_from_ns(const struct tenant *tenant, const struct seat *seat, int64_t from_ns, int64_t now_ns) {
    int64_t told_ns = now_ns + divvy_remote_way_ns(tenant->remote, tenant->info.number);

    return told_ns > from_ns && is_remote(tenant) &&
                   !divvy_remote_is_over(tenant->remote, tenant->info.number, seat->binding.entry)
               ? told_ns
               : from_ns;
}

/* --- who is ready --------------------------------------------------------------------------------------------------- */

static void seat_wake(struct divvy_lease *lease, struct tenant *tenant, struct seat *seat,
                      int64_t now_ns) {
    struct device *device = &lease->devices[seat->binding.device];

    listen_set(tenant, seat, 0);
    if (device->holder != DIVVY_NODE_SCHED_NOBODY && device->holder != tenant->info.number)
        device->contended_ns = now_ns;
    (void)divvy_node_sched_wake(device->sched, tenant->info.number, now_ns);
    device->next_ns = now_ns;
}

/*
 * The tenant has nothing to do. False: it turned out to have, at the last moment. Its page is shut first, so that its next launch
 * comes to the gate and rings.
 */
static bool seat_sleep(struct divvy_lease *lease, struct tenant *tenant, struct seat *seat,
                       int64_t now_ns) {
    struct device *device = &lease->devices[seat->binding.device];

    page_shut(tenant, seat);
    listen_set(tenant, seat, 1);
    (void)seat_read(lease, tenant, seat, true, now_ns);
    (void)divvy_node_sched_sleep(device->sched, tenant->info.number, now_ns);
    if (!seat->last.waiting || seat->stuck)
        return true;
    seat_wake(lease, tenant, seat, now_ns);
    return false;
}

static void seat_stuck(struct seat *seat, int64_t now_ns) {
    seat->stuck = true;
    seat->probe_step_ns = seat->probe_step_ns ? seat->probe_step_ns * 2 : PROBE_FIRST_NS;
    if (seat->probe_step_ns > PROBE_LAST_NS)
        seat->probe_step_ns = PROBE_LAST_NS;
    seat->probe_ns = now_ns + seat->probe_step_ns;
}

static void tenant_knocked(struct divvy_lease *lease, const struct tenant *tenant) {
    if ((tenant->info.door & DIVVY_CONTROL_DOOR_SHUT) && lease->knock)
        lease->knock(lease->knock_data, tenant->info.number);
}

static void tenant_rang(struct divvy_lease *lease, struct tenant *tenant, int64_t now_ns) {
    for (uint32_t i = 0; i < tenant->info.binding_count; i++) {
        struct seat *seat = &tenant->seats[i];

        if (seat->stuck || !seat_read(lease, tenant, seat, false, now_ns) || !seat->last.waiting)
            continue;
        seat_wake(lease, tenant, seat, now_ns);
    }
}

static int64_t remote_way_ns(const struct tenant *tenant) {
    int64_t way_ns = is_remote(tenant) ? divvy_remote_way_ns(tenant->remote, tenant->info.number) : 0;

    return way_ns < REMOTE_LEAD_MAX_NS ? way_ns : REMOTE_LEAD_MAX_NS;
}

/* How long before its end a lease of a tenant with pages is handed on: early enough for the order, should it be one. */
static int64_t lead_ns(const struct device *device) {
    return LEAD_NS + device->way_ns / 2;
}

/* Something was heard of its processes: use, somebody at a gate, or at the door. */
static void remote_rang(struct divvy_lease *lease, struct tenant *tenant, int64_t now_ns) {
    bool all = true, came = false;
    uint32_t count = 0;

    divvy_remote_door(tenant->remote, tenant->info.number, tenant->info.door, &all, &came, &count);
    if (came)
        tenant_knocked(lease, tenant);
    tenant_rang(lease, tenant, now_ns);
}

/* Tenants that have said something over the channel. */
static void remote_listen(struct divvy_lease *lease, int64_t now_ns) {
    uint32_t number;

    while (divvy_remote_heard_next(lease->remote, &number)) {
        struct tenant *tenant = tenant_of(lease, number);

        if (!tenant)
            continue;
        remote_rang(lease, tenant, now_ns);
        for (uint32_t i = 0; i < tenant->info.binding_count; i++)
            lease->devices[tenant->seats[i].binding.device].way_ns = remote_way_ns(tenant);
        for (uint32_t i = 0; i < tenant->info.binding_count; i++)
            if (lease->devices[tenant->seats[i].binding.device].holder == number)
                lease->devices[tenant->seats[i].binding.device].next_ns = now_ns;
    }
}

/* --- granting ------------------------------------------------------------------------------------------------------- */

static void device_pick(struct divvy_lease *lease, struct device *device, int64_t now_ns,
                        struct divvy_node_lease *ret_pick) {
    int64_t began_ns = now(), took_ns;

    (void)divvy_node_sched_pick(device->sched, now_ns, ret_pick);
    took_ns = now() - began_ns;
    lease->second.decisions++;
    lease->second.decision_sum_ns += took_ns;
    if (took_ns > lease->second.decision_max_ns)
        lease->second.decision_max_ns = took_ns;
}

static uint32_t budget_ns(const struct device *device, const struct seat *seat) {
    uint32_t others = device->sensitive - (seat->binding.params.qos >= DIVVY_NODE_QOS_HIGH);

    return others ? BUDGET_TIGHT_NS : BUDGET_NS;
}

static bool device_is_peaceful(const struct device *device, int64_t now_ns) {
    return device->seats == 1 || now_ns >= device->contended_ns + PEACE_NS;
}

static void lease_put(struct divvy_lease *lease, struct device *device, struct tenant *tenant,
                      struct seat *seat) {
    struct divvy_control_lease written = {
        .mode = device->open && device_is_peaceful(device, now()) ? DIVVY_CONTROL_OPEN
                                                                  : DIVVY_CONTROL_LEASED,
        .begin_ns = device->begin_ns,
        .end_ns = device->open ? DIVVY_CONTROL_FOREVER_NS : device->end_ns,
        .id = ++device->lease_id,
        .budget_ns = budget_ns(device, seat),
    };

    lease->health.granted++;
    page_write(tenant, seat, &written);
}

/* Whether the device does not know of anything that it could do: then it waits for bells and caps. */
static int64_t device_rest(struct divvy_lease *lease, uint32_t index, int64_t retry_ns) {
    int64_t next_ns = retry_ns;

    for (uint32_t i = 0; i < lease->high; i++) {
        struct seat *seat = seat_of(lease->tenants[i], index);

        if (seat && seat->stuck && seat->probe_ns < next_ns)
            next_ns = seat->probe_ns;
    }
    return next_ns;
}

/* Stuck tenants whose next try has come are ready again. */
static void device_probe(struct divvy_lease *lease, uint32_t index, int64_t now_ns) {
    for (uint32_t i = 0; i < lease->high; i++) {
        struct tenant *tenant = lease->tenants[i];
        struct seat *seat = seat_of(tenant, index);

        if (!seat || !seat->stuck || seat->probe_ns > now_ns)
            continue;
        if (seat_read(lease, tenant, seat, true, now_ns) && seat->last.waiting) {
            (void)divvy_node_sched_wake(lease->devices[index].sched, tenant->info.number, now_ns);
            seat->probe_ns = now_ns + seat->probe_step_ns;
        } else {
            seat->stuck = false; /* it went away, or works again and will ring */
            seat->probe_step_ns = 0;
            listen_set(tenant, seat, 1);
        }
    }
}

/*
 * A hand-over cost so much: between what a tenant with enough to do had of the device and what it used. Where the GPU takes long to
 * change over from one process to another, leases become longer, so that no more than a small part is lost; not while somebody's waits
 * must be short.
 */
static void hand_over_learn(struct device *device, int64_t lost_ns) {
    int64_t step_ns = device->lost_ns / HAND_OVER_STEPS + US, permille;

    /* The upper quartile, slowly: some hand-overs are dearer than others, but a few late wake-ups do not count. */
    device->lost_ns += lost_ns > device->lost_ns ? 3 * step_ns : -step_ns;
    if (device->lost_ns < 0)
        device->lost_ns = 0;
    permille = device->sensitive ? 0 : device->lost_ns * 1000 / LOSS_PERMILLE * 1000 / device->lease_ns;
    divvy_node_sched_stretch(device->sched, permille < DIVVY_NODE_SCHED_STRETCH_MAX ? (uint32_t)permille
                                                                                    : DIVVY_NODE_SCHED_STRETCH_MAX);
}

/*
 * Measured time errs, by a percent where kernels are short. But leases are exclusive: what was used in one is no more than the
 * time from the hand-over before it to the one behind. Where caps give out the whole device, it would idle for what is charged
 * too much.
 */
static void window_judge(struct device *device, struct seat *seat) {
    int64_t used_ns = (int64_t)(seat->seen_ns - seat->window_seen_ns);
    int64_t had_ns = seat->window_end_ns - seat->window_begin_ns;

    if (seat->window_end_ns && seat->last_known && seat->last.inflight_ns == 0 && had_ns > 0 &&
        used_ns > 0) {
        if (used_ns > had_ns && used_ns - had_ns < EXCESS_MAX_NS)
            seat->excess_ns += (uint64_t)(used_ns - had_ns);
        if (seat->window_hungry)
            hand_over_learn(device, had_ns - used_ns);
    }
    seat->window_end_ns = 0;
}

static void window_begin(struct device *device, struct seat *seat, int64_t ns) {
    window_judge(device, seat);
    seat->window_begin_ns = ns;
    seat->window_seen_ns = seat->seen_ns;
}

/* The holder is done then; told before the next one is picked. hungry: it had work for the whole time. */
static void window_end(struct seat *seat, int64_t ns, bool is_known, bool hungry) {
    seat->window_end_ns = is_known ? ns : 0;
    seat->window_hungry = hungry;
}

/*
 * How long before the device is free the tenant is to be woken up: what it is known to take at its quickest from the begin of its
 * lease to its first launch. Whatever arrives earlier is no gain: devices take turns then, and what the tenant before has left is put
 * off by a whole slice.
 */
static int64_t early_ns(const struct seat *seat) {
    int64_t late_ns = seat->last_known ? seat->last.late_ns : 0;

    return late_ns < EARLY_MAX_NS ? late_ns : EARLY_MAX_NS;
}

/* Give the device to whoever is next; a lease begins no earlier than from_ns. Returns when to look again. */
static int64_t device_grant(struct divvy_lease *lease, uint32_t index, int64_t from_ns,
                            int64_t now_ns) {
    struct device *device = &lease->devices[index];
    uint32_t before = device->holder;

    device_probe(lease, index, now_ns);
    for (;;) {
        struct divvy_node_lease pick;
        struct tenant *tenant;
        struct seat *seat;

        device_pick(lease, device, now_ns, &pick);
        device->holder = pick.tenant;
        if (pick.kind == DIVVY_NODE_LEASE_NONE)
            return device_rest(lease, index, pick.retry_ns);
        tenant = tenant_of(lease, pick.tenant);
        seat = seat_of(tenant, index);
        if (pick.tenant != before && !seat->stuck) {
            (void)seat_read(lease, tenant, seat, false, now_ns);
            if (!seat_is_busy(seat, now_ns) && seat_sleep(lease, tenant, seat, now_ns))
                continue;
            if (divvy_node_sched_holder(device->sched) != pick.tenant)
                continue;
        }
        device->open = pick.kind == DIVVY_NODE_LEASE_OPEN && !seat->stuck;
        if (pick.tenant != before) {
            device->previous = before;
            device->previous_from_ns = device->from_ns;
            device->previous_end_ns = from_ns;
            device->from_ns = from_ns > now_ns ? from_ns : now_ns;
            device->begin_ns = from_ns > now_ns ? from_ns - early_ns(seat) : now_ns;
            lease->health.handovers += before != DIVVY_NODE_SCHED_NOBODY;
            seat->moved_ns = device->from_ns;
            seat->begin_seen_ns = seat->seen_ns;
            window_begin(device, seat, device->from_ns);
        } else {
            device->begin_ns = now_ns;
            device->from_ns = seat_drain_ns(seat, device->from_ns, now_ns);
            seat->begin_seen_ns = seat->seen_ns;
        }
        if (is_remote(tenant))
            pick.length_ns = remote_length_ns(tenant, pick.length_ns);
        device->end_ns = (from_ns > now_ns ? from_ns : now_ns) +
                         (seat->stuck && !is_remote(tenant) ? PROBE_NS : pick.length_ns);
        lease_put(lease, device, tenant, seat);
        return device->open ? now_ns + OPEN_LOOK_NS : now_ns;
    }
}

/* What the holder let the device idle for counts as had: others could have used it. */
static void idle_charge(const struct device *device, const struct tenant *tenant,
                        const struct seat *seat, int64_t now_ns) {
    int64_t held_ns = now_ns - device->from_ns,
            used_ns = (int64_t)(seat->seen_ns - seat->begin_seen_ns);

    if (!device->open && used_ns >= 0 && held_ns > used_ns)
        (void)divvy_node_sched_charge_idle(device->sched, tenant->info.number, held_ns - used_ns,
                                           now_ns);
}

static int64_t device_give_up(struct divvy_lease *lease, uint32_t index, struct tenant *tenant,
                              struct seat *seat, int64_t now_ns) {
    struct device *device = &lease->devices[index];

    idle_charge(device, tenant, seat, now_ns);
    (void)seat_sleep(lease, tenant, seat, now_ns);
    device->holder = DIVVY_NODE_SCHED_NOBODY;
    return device_grant(lease, index, now_ns, now_ns);
}

/* The lease that ends was waited through without any progress: by a process that has died at the gate, or not for the first time. */
static bool seat_is_fruitless(struct divvy_lease *lease, struct tenant *tenant, struct seat *seat,
                              int64_t from_ns, int64_t now_ns) {
    bool had_waited = seat->moved_ns <= from_ns && seat->last.waiting;

    if (had_waited)
        (void)seat_read(lease, tenant, seat, true, now_ns); /* the dead wait for nothing */
    if (!had_waited || seat->moved_ns > from_ns || !seat->last.waiting) {
        seat->fruitless_ns = 0;
        return had_waited && !seat->last.waiting;
    }
    seat->fruitless_ns += now_ns - from_ns;
    if (seat->fruitless_ns < FRUITLESS_NS)
        return false;
    seat_stuck(seat, now_ns);
    return true;
}

/* The holder's lease is over at end_ns: who comes next? */
static int64_t device_hand_over(struct divvy_lease *lease, uint32_t index, struct tenant *tenant,
                                struct seat *seat, int64_t end_ns, int64_t now_ns) {
    struct device *device = &lease->devices[index];
    int64_t drain_ns = seat_drain_ns(seat, device->from_ns, now_ns);
    int64_t from_ns =
        drain_ns > end_ns - DIVVY_CONTROL_LAST_NS ? drain_ns : end_ns - DIVVY_CONTROL_LAST_NS;

    if (seat_is_fruitless(lease, tenant, seat, device->from_ns, now_ns))
        return device_give_up(lease, index, tenant, seat, now_ns);
    window_end(seat, from_ns, from_ns <= end_ns + GRACE_NS && !is_remote(tenant), drain_ns > now_ns);
    if (from_ns > end_ns + GRACE_NS)
        from_ns = end_ns + GRACE_NS;
    from_ns = remote_from_ns(tenant, seat, from_ns, now_ns);
    idle_charge(device, tenant, seat, now_ns);
    (void)divvy_node_sched_end(device->sched, tenant->info.number, now_ns);
    return device_grant(lease, index, from_ns, now_ns);
}

/* What the lease before left running longer than expected puts the present one off. */
static int64_t device_put_off(struct divvy_lease *lease, uint32_t index, struct tenant *tenant,
                              struct seat *seat, int64_t now_ns) {
    struct device *device = &lease->devices[index];
    struct tenant *previous = tenant_of(lease, device->previous);
    struct seat *left = seat_of(previous, index);
    int64_t most_ns = device->previous_end_ns + GRACE_NS, drain_ns;

    device->previous = DIVVY_NODE_SCHED_NOBODY;
    if (!left || !seat_read(lease, previous, left, false, now_ns))
        return now_ns;
    drain_ns = seat_drain_ns(left, device->previous_from_ns, now_ns);
    if (drain_ns > most_ns)
        drain_ns = most_ns;
    if (drain_ns > now_ns + DRAINED_NS && drain_ns > device->from_ns + DRAINED_NS) {
        device->end_ns += drain_ns - device->from_ns;
        device->begin_ns += drain_ns - device->from_ns;
        device->from_ns = drain_ns;
        window_end(left, drain_ns, drain_ns < most_ns && left->window_end_ns != 0,
                   left->window_hungry);
        seat->window_begin_ns = drain_ns;
        seat->moved_ns = drain_ns;
        lease_put(lease, device, tenant, seat);
    }
    return now_ns;
}

static int64_t earlier(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* An open gate stays open until somebody else is ready. */
static int64_t device_look_open(struct divvy_lease *lease, uint32_t index, struct tenant *tenant,
                                struct seat *seat, int64_t now_ns) {
    struct device *device = &lease->devices[index];
    struct divvy_node_lease pick;

    device_probe(lease, index, now_ns); /* one that was stuck may stand at its gate again, unheard */
    device_pick(lease, device, now_ns, &pick);
    if (pick.kind == DIVVY_NODE_LEASE_OPEN) {
        bool is_open =
            tenant->info.control->devices[seat->binding.entry].mode == DIVVY_CONTROL_OPEN;

        (void)seat_read(lease, tenant, seat, false, now_ns);
        if (is_open != device_is_peaceful(device, now_ns))
            lease_put(lease, device, tenant, seat);
        return now_ns + OPEN_LOOK_NS;
    }
    device->open = false;
    device->begin_ns = device->from_ns = now_ns;
    device->end_ns = now_ns + (is_remote(tenant) ? remote_length_ns(tenant, pick.length_ns) : pick.length_ns);
    seat->moved_ns = now_ns;
    (void)seat_read(lease, tenant, seat, false, now_ns);
    lease_put(lease, device, tenant, seat);
    return now_ns;
}

static int64_t device_look(struct divvy_lease *lease, uint32_t index, int64_t now_ns) {
    struct device *device = &lease->devices[index];
    struct tenant *tenant = tenant_of(lease, device->holder);
    struct seat *seat = seat_of(tenant, index);
    int64_t since_ns, until_ns;
    bool remote;

    if (!seat || divvy_node_sched_holder(device->sched) != device->holder) {
        device->holder = DIVVY_NODE_SCHED_NOBODY;
        return device_grant(lease, index, now_ns, now_ns);
    }
    if (device->open)
        return device_look_open(lease, index, tenant, seat, now_ns);
    if (device->previous != DIVVY_NODE_SCHED_NOBODY && now_ns >= device->begin_ns - RECHECK_NS)
        return device_put_off(lease, index, tenant, seat, now_ns);
    (void)seat_read(lease, tenant, seat, false, now_ns);
    if (seat->stuck && seat->moved_ns == now_ns && now_ns > device->begin_ns) {
        seat->stuck = false; /* it moves again */
        seat->probe_step_ns = seat->fruitless_ns = 0;
    }
    if (divvy_node_sched_should_revoke(device->sched, now_ns)) {
        lease->health.revoked++;
        device->end_ns = now_ns;
        lease_put(lease, device, tenant, seat);
        return device_hand_over(lease, index, tenant, seat, now_ns, now_ns);
    }
    since_ns = seat->moved_ns > device->begin_ns ? seat->moved_ns : device->begin_ns;
    if (seat->last.last_ns > since_ns)
        since_ns = seat->last.last_ns;
    remote = is_remote(tenant);
    if (!seat->last.waiting && now_ns >= since_ns + (remote ? REMOTE_IDLE_NS : IDLE_NS))
        return device_give_up(lease, index, tenant, seat, now_ns);
    if (remote && now_ns >= device->begin_ns) {
        until_ns = remote_wait_ns(device, tenant, seat, since_ns, now_ns);
        return until_ns > now_ns ? until_ns : device_hand_over(lease, index, tenant, seat, now_ns, now_ns);
    }
    if (now_ns >= device->end_ns - lead_ns(device))
        return device_hand_over(lease, index, tenant, seat, device->end_ns, now_ns);
    if (device->previous != DIVVY_NODE_SCHED_NOBODY)
        return earlier(device->begin_ns - RECHECK_NS, device->end_ns - lead_ns(device));
    /* Who does not wait may have nothing to do any more. */
    return earlier(device->end_ns - lead_ns(device),
                   seat->last.waiting ? now_ns + POLL_NS : earlier(now_ns + POLL_NS, since_ns + IDLE_NS));
}

/* --- the thread ----------------------------------------------------------------------------------------------------- */

static void bell_listen(struct divvy_lease *lease, const struct tenant *tenant, bool on) {
    struct epoll_event event = {.events = on ? EPOLLIN : 0, .data.u64 = tenant->info.number};

    if (tenant->info.bell_fd >= 0)
        (void)epoll_ctl(lease->epoll_fd, EPOLL_CTL_MOD, tenant->info.bell_fd, &event);
}

static void bell_heard(struct divvy_lease *lease, struct tenant *tenant, int64_t now_ns) {
    char bytes[256];

    while (read(tenant->info.bell_fd, bytes, sizeof bytes) == sizeof bytes)
        ;
    if (now_ns > tenant->rings_ns + 1000 * MS) {
        tenant->rings_ns = now_ns;
        tenant->rings = 0;
    }
    tenant->bell_ns = now_ns + (++tenant->rings > BELL_FLOOD ? BELL_FLOOD_PAUSE_NS : BELL_PAUSE_NS);
    bell_listen(lease, tenant, false);
    tenant->next_muted = lease->muted;
    lease->muted = tenant;
    lease->health.bells++;
    tenant_knocked(lease, tenant);
    tenant_rang(lease, tenant, now_ns);
}

/* Hear the bells again whose pause is over; returns when the next one's is. */
static int64_t bells_unmute(struct divvy_lease *lease, int64_t now_ns) {
    int64_t next_ns = INT64_MAX;

    for (struct tenant **link = &lease->muted; *link;) {
        struct tenant *tenant = *link;

        if (tenant->bell_ns > now_ns) {
            next_ns = earlier(next_ns, tenant->bell_ns);
            link = &tenant->next_muted;
            continue;
        }
        *link = tenant->next_muted;
        tenant->bell_ns = 0;
        bell_listen(lease, tenant, true);
    }
    return next_ns;
}

static void heartbeat(struct divvy_lease *lease, int64_t now_ns) {
    if (now_ns < lease->heartbeat_ns)
        return;
    lease->heartbeat_ns = now_ns + DIVVY_CONTROL_HEARTBEAT_NS;
    for (uint32_t i = 0; i < lease->high; i++)
        if (lease->tenants[i])
            __atomic_store_n(&lease->tenants[i]->info.control->heartbeat_ns, now_ns,
                             __ATOMIC_RELAXED);
}

static void second_close(struct divvy_lease *lease, int64_t now_ns) {
    if (now_ns < lease->second.since_ns + 1000 * MS)
        return;
    lease->health.decision_ns_mean =
        lease->second.decisions ? lease->second.decision_sum_ns / (int64_t)lease->second.decisions
                                : 0;
    lease->health.decision_ns_max = lease->second.decision_max_ns;
    lease->health.late_ns_mean =
        lease->second.wakes ? lease->second.late_sum_ns / (int64_t)lease->second.wakes : 0;
    lease->health.late_ns_max = lease->second.late_max_ns;
    memset(&lease->second, 0, sizeof lease->second);
    lease->second.since_ns = now_ns;
}

/* All that is due. Returns when the next is. */
static int64_t turn(struct divvy_lease *lease, int64_t now_ns) {
    int64_t next_ns;

    heartbeat(lease, now_ns);
    second_close(lease, now_ns);
    remote_listen(lease, now_ns);
    next_ns = earlier(lease->heartbeat_ns, bells_unmute(lease, now_ns));
    for (uint32_t i = 0; i < DIVVY_PAGE_DEVICES; i++) {
        struct device *device = &lease->devices[i];

        if (!device->seats)
            continue;
        for (int tries = 0; device->next_ns <= now_ns && tries < 8; tries++)
            device->next_ns = device_look(lease, i, now_ns);
        if (device->next_ns <= now_ns)
            device->next_ns = now_ns + POLL_NS;
        next_ns = earlier(next_ns, device->next_ns);
    }
    return next_ns;
}

static void *thread_run(void *data) {
    struct divvy_lease *lease = data;
    struct epoll_event events[EPOLL_BATCH];
    int64_t due_ns = 0;

    (void)prctl(PR_SET_NAME, "divvyd-lease");
    (void)prctl(PR_SET_TIMERSLACK, 1UL);
    for (;;) {
        int count = epoll_wait(lease->epoll_fd, events, EPOLL_BATCH, -1);
        int64_t now_ns = now();
        struct itimerspec when = {0};

        (void)pthread_mutex_lock(&lease->lock);
        for (int i = 0; i < count; i++) {
            uint64_t value;

            if (events[i].data.u64 == TIMER_EVENT) {
                int64_t late_ns = now_ns - due_ns;

                (void)!read(lease->timer_fd, &value, sizeof value);
                lease->second.wakes++;
                lease->second.late_sum_ns += late_ns;
                if (late_ns > lease->second.late_max_ns)
                    lease->second.late_max_ns = late_ns;
            } else if (events[i].data.u64 == WAKE_EVENT) {
                (void)!read(lease->wake_fd, &value, sizeof value);
            } else if (tenant_of(lease, (uint32_t)events[i].data.u64)) {
                bell_heard(lease, lease->tenants[events[i].data.u64], now_ns);
            }
        }
        if (lease->stopping) {
            (void)pthread_mutex_unlock(&lease->lock);
            return NULL;
        }
        due_ns = turn(lease, now_ns);
        (void)pthread_mutex_unlock(&lease->lock);
        if (due_ns < 1)
            due_ns = 1;
        when.it_value.tv_sec = (time_t)(due_ns / (1000 * MS));
        when.it_value.tv_nsec = (long)(due_ns % (1000 * MS));
        (void)timerfd_settime(lease->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
    }
}

static void wake(const struct divvy_lease *lease) {
    uint64_t one = 1;

    (void)!write(lease->wake_fd, &one, sizeof one);
}

/* --- from outside --------------------------------------------------------------------------------------------------- */

static int lock_init(pthread_mutex_t *lock) {
    pthread_mutexattr_t attributes;
    int error = pthread_mutexattr_init(&attributes);

    if (error)
        return -error;
    (void)pthread_mutexattr_setprotocol(
        &attributes, PTHREAD_PRIO_INHERIT); /* whoever holds it must not hold up leases */
    error = pthread_mutex_init(lock, &attributes);
    (void)pthread_mutexattr_destroy(&attributes);
    return -error;
}

static void remote_heard(void *data) {
    wake(data);
}

struct divvy_remote *divvy_lease_remote(struct divvy_lease *lease) {
    return lease->remote;
}

int divvy_lease_new(uint32_t capacity, const struct divvy_node_sched_params *params,
                    struct divvy_lease **ret_lease) {
    struct epoll_event wake_event = {.events = EPOLLIN, .data.u64 = WAKE_EVENT};
    struct epoll_event timer_event = {.events = EPOLLIN, .data.u64 = TIMER_EVENT};
    struct divvy_lease *lease;
    uint64_t pidns;

    if (capacity == 0)
        return -EINVAL;
    lease = calloc(1, sizeof *lease);
    if (!lease)
        return -ENOMEM;
    lease->capacity = capacity;
    if (divvy_core_sys_namespace_id("pid", &pidns) == 0)
        lease->own_pidns = (uint32_t)pidns;
    lease->tenants = calloc(capacity, sizeof(lease->tenants[0]));
    lease->copy = calloc(1, sizeof *lease->copy);
    lease->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    lease->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    lease->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (params)
        lease->params = *params;
    else
        divvy_node_sched_defaults(&lease->params);
    for (uint32_t i = 0; i < DIVVY_PAGE_DEVICES; i++)
        lease->devices[i].holder = lease->devices[i].previous = DIVVY_NODE_SCHED_NOBODY;
    if (!lease->tenants || !lease->copy || lease->epoll_fd < 0 || lease->wake_fd < 0 ||
        lease->timer_fd < 0 ||
        epoll_ctl(lease->epoll_fd, EPOLL_CTL_ADD, lease->wake_fd, &wake_event) < 0 ||
        epoll_ctl(lease->epoll_fd, EPOLL_CTL_ADD, lease->timer_fd, &timer_event) < 0 ||
        lock_init(&lease->lock) || divvy_remote_new(capacity, remote_heard, lease, &lease->remote) < 0) {
        int error = lease->tenants && lease->copy && errno ? -errno : -ENOMEM;

        divvy_lease_free(lease);
        return error;
    }
    *ret_lease = lease;
    return 0;
}

int divvy_lease_start(struct divvy_lease *lease, struct divvy_error *error) {
    struct sched_param real_time = {.sched_priority = 2};
    int result = pthread_create(&lease->thread, NULL, thread_run, lease);

    if (result)
        return divvy_error_set_errno(error, -result, "the lease thread cannot be started");
    lease->started = true;
    /* Late hand-overs waste the device: first in line where we may, a little ahead of others where we may do that. */
    if (pthread_setschedparam(lease->thread, SCHED_RR, &real_time) != 0)
        (void)setpriority(PRIO_PROCESS, 0, -10);
    wake(lease);
    return 0;
}

static void tenant_let_go(struct tenant *tenant) {
    if (tenant->info.door && !(tenant->info.door & DIVVY_CONTROL_DOOR_SHUT))
        tenant->info.door = 0;
    __atomic_store_n(&tenant->info.control->door, tenant->info.door, __ATOMIC_SEQ_CST);
    (void)divvy_core_futex_wake(&tenant->info.control->door, INT32_MAX, true);
    for (uint32_t i = 0; i < tenant->info.binding_count; i++) {
        struct divvy_control_lease self = {.mode = DIVVY_CONTROL_SELF, .budget_ns = BUDGET_NS};

        if (tenant->info.frozen)
            self.mode = DIVVY_CONTROL_FROZEN;
        page_write(tenant, &tenant->seats[i], &self);
    }
}

static void tenant_free(struct tenant *tenant) {
    for (uint32_t i = 0; i < tenant->info.binding_count; i++)
        divvy_usage_close(&tenant->seats[i].usage);
    free(tenant->seats);
    free(tenant);
}

void divvy_lease_free(struct divvy_lease *lease) {
    if (!lease)
        return;
    if (lease->started) {
        (void)pthread_mutex_lock(&lease->lock);
        lease->stopping = true;
        (void)pthread_mutex_unlock(&lease->lock);
        wake(lease);
        (void)pthread_join(lease->thread, NULL);
    }
    for (uint32_t i = 0; lease->tenants && i < lease->high; i++)
        if (lease->tenants[i]) {
            tenant_let_go(lease->tenants[i]);
            tenant_free(lease->tenants[i]);
        }
    for (uint32_t i = 0; i < DIVVY_PAGE_DEVICES; i++)
        divvy_node_sched_free(lease->devices[i].sched);
    divvy_remote_free(lease->remote);
    divvy_cleanup_close(&lease->epoll_fd);
    divvy_cleanup_close(&lease->wake_fd);
    divvy_cleanup_close(&lease->timer_fd);
    free(lease->copy);
    free(lease->tenants);
    (void)pthread_mutex_destroy(&lease->lock);
    free(lease);
}

static void seat_remove(struct divvy_lease *lease, struct tenant *tenant, struct seat *seat,
                        int64_t now_ns) {
    struct device *device = &lease->devices[seat->binding.device];

    if (!seat->present)
        return;
    (void)divvy_node_sched_remove(device->sched, tenant->info.number, now_ns);
    device->seats--;
    device->way_ns = 0; /* the others say theirs with their next word */
    device->sensitive -= seat->binding.params.qos >= DIVVY_NODE_QOS_HIGH;
    if (device->previous == tenant->info.number)
        device->previous = DIVVY_NODE_SCHED_NOBODY;
    device->next_ns = now_ns;
    seat->present = false;
}

/* Where somebody's waits must be short, leases are as short as the settings say from now on. */
static void sensitive_add(struct device *device, const struct divvy_node_tenant_params *params) {
    device->sensitive += params->qos >= DIVVY_NODE_QOS_HIGH;
    if (device->sensitive)
        divvy_node_sched_stretch(device->sched, 1000);
}

/*
 * A new tenant is taken for ready when its page says so, and listened for otherwise. After a restart of the daemon its page has a
 * past, which is not charged again.
 */
static int seat_add(struct divvy_lease *lease, struct tenant *tenant, struct seat *seat,
                    int64_t now_ns) {
    struct device *device;
    int error;

    if (seat->binding.device >= DIVVY_PAGE_DEVICES || seat->binding.entry >= DIVVY_PAGE_DEVICES)
        return -EINVAL;
    device = &lease->devices[seat->binding.device];
    if (!device->sched) {
        error = divvy_node_sched_new(lease->capacity, &lease->params, &device->sched);
        if (error)
            return error;
        device->lease_ns = lease->params.lease_ns[DIVVY_NODE_QOS_MEDIUM];
    }
    error = divvy_node_sched_add(device->sched, tenant->info.number, &seat->binding.params, now_ns);
    if (error)
        return error;
    seat->present = true;
    device->seats++;
    sensitive_add(device, &seat->binding.params);
    if (tenant->info.frozen)
        (void)divvy_node_sched_freeze(device->sched, tenant->info.number, true, now_ns);
    seat->seen_ns = UINT64_MAX;
    if (seat_read(lease, tenant, seat, true, now_ns))
        seat->seen_ns = seat->last.charged_ns + seat->last.inflight_ns;
    else
        seat->seen_ns = 0;
    page_shut(tenant, seat);
    listen_set(tenant, seat, 1);
    if (seat_read(lease, tenant, seat, true, now_ns) && seat->last.waiting)
        seat_wake(lease, tenant, seat, now_ns);
    device->next_ns = now_ns;
    return 0;
}

static int tenant_enter(struct divvy_lease *lease, struct tenant *tenant, int64_t now_ns) {
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = tenant->info.number};
    int error = 0;

    __atomic_store_n(&tenant->info.control->heartbeat_ns, now_ns, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < tenant->info.binding_count && !error; i++)
        error = seat_add(lease, tenant, &tenant->seats[i], now_ns);
    if (!error && tenant->info.bell_fd >= 0 &&
        epoll_ctl(lease->epoll_fd, EPOLL_CTL_ADD, tenant->info.bell_fd, &event) < 0)
        error = -errno;
    if (error) {
        for (uint32_t i = 0; i < tenant->info.binding_count; i++)
            seat_remove(lease, tenant, &tenant->seats[i], now_ns);
        return error;
    }
    lease->tenants[tenant->info.number] = tenant;
    if (lease->high <= tenant->info.number)
        lease->high = tenant->info.number + 1;
    return 0;
}

int divvy_lease_tenant_add(struct divvy_lease *lease, const struct divvy_lease_tenant *info) {
    struct tenant *tenant;
    int error = -EEXIST;

    if (info->number >= lease->capacity || info->binding_count > DIVVY_PAGE_DEVICES)
        return -EINVAL;
    tenant = calloc(1, sizeof *tenant);
    if (!tenant)
        return -ENOMEM;
    tenant->info = *info;
    tenant->remote = lease->remote;
    tenant->seats = calloc(info->binding_count ? info->binding_count : 1, sizeof(tenant->seats[0]));
    if (!tenant->seats) {
        free(tenant);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < info->binding_count; i++) {
        tenant->seats[i].binding = info->bindings[i];
        divvy_usage_init(&tenant->seats[i].usage, lease->copy);
    }
    (void)pthread_mutex_lock(&lease->lock);
    if (!lease->tenants[info->number])
        error = tenant_enter(lease, tenant, now());
    (void)pthread_mutex_unlock(&lease->lock);
    if (error)
        tenant_free(tenant);
    else
        wake(lease);
    return error;
}

static void seat_freeze(struct divvy_lease *lease, struct tenant *tenant, struct seat *seat,
                        bool frozen, int64_t now_ns) {
    struct device *device = &lease->devices[seat->binding.device];

    (void)seat_read(lease, tenant, seat, false, now_ns);
    (void)divvy_node_sched_freeze(device->sched, tenant->info.number, frozen, now_ns);
    if (!frozen)
        (void)divvy_node_sched_sleep(device->sched, tenant->info.number, now_ns);
    page_shut(tenant, seat);
    listen_set(tenant, seat, !frozen);
    if (!frozen && seat_read(lease, tenant, seat, false, now_ns) && seat->last.waiting)
        seat_wake(lease, tenant, seat, now_ns);
    device->next_ns = now_ns;
}

int divvy_lease_tenant_freeze(struct divvy_lease *lease, uint32_t number, bool frozen) {
    struct tenant *tenant;

    (void)pthread_mutex_lock(&lease->lock);
    tenant = tenant_of(lease, number);
    if (tenant && tenant->info.frozen != frozen) {
        tenant->info.frozen = frozen;
        for (uint32_t i = 0; i < tenant->info.binding_count; i++)
            seat_freeze(lease, tenant, &tenant->seats[i], frozen, now());
    }
    (void)pthread_mutex_unlock(&lease->lock);
    wake(lease);
    return tenant ? 0 : -ENOENT;
}

/* The door, then the leases once more: whoever has looked at the old ones comes by again. */
static void tenant_door(struct tenant *tenant, uint32_t word) {
    tenant->info.door = word;
    __atomic_store_n(&tenant->info.control->door, word, __ATOMIC_SEQ_CST);
    for (uint32_t i = 0; i < tenant->info.binding_count; i++) {
        struct divvy_control_lease lease;

        if (divvy_control_lease_read(tenant->info.control, tenant->seats[i].binding.entry, &lease))
            page_write(tenant, &tenant->seats[i], &lease);
    }
    (void)divvy_core_futex_wake(&tenant->info.control->door, INT32_MAX, true);
}

int divvy_lease_tenant_door(struct divvy_lease *lease, uint32_t number, uint32_t word) {
    struct tenant *tenant;

    (void)pthread_mutex_lock(&lease->lock);
    tenant = tenant_of(lease, number);
    if (tenant)
        tenant_door(tenant, word);
    (void)pthread_mutex_unlock(&lease->lock);
    return tenant ? 0 : -ENOENT;
}

void divvy_lease_knock_set(struct divvy_lease *lease, void (*knock)(void *data, uint32_t number), void *data) {
    lease->knock = knock;
    lease->knock_data = data;
}

/* The new parameters count from now: the lease under way ends, and the next is granted by them. */
static int seat_set(struct divvy_lease *lease, struct tenant *tenant, struct seat *seat,
                    const struct divvy_node_tenant_params *params, int64_t now_ns) {
    struct device *device = &lease->devices[seat->binding.device];
    int error;

    (void)seat_read(lease, tenant, seat, false, now_ns);
    error = divvy_node_sched_set(device->sched, tenant->info.number, params, now_ns);
    if (error)
        return error;
    device->sensitive -= seat->binding.params.qos >= DIVVY_NODE_QOS_HIGH;
    sensitive_add(device, params);
    seat->binding.params = *params;
    if (device->holder == tenant->info.number) {
        (void)divvy_node_sched_end(device->sched, tenant->info.number, now_ns);
        page_shut(tenant, seat);
    }
    device->next_ns = now_ns;
    return 0;
}

int divvy_lease_tenant_set(struct divvy_lease *lease, uint32_t number, uint32_t device,
                           const struct divvy_node_tenant_params *params) {
    struct tenant *tenant;
    struct seat *seat;
    int error = -ENOENT;

    (void)pthread_mutex_lock(&lease->lock);
    tenant = tenant_of(lease, number);
    seat = seat_of(tenant, device);
    if (seat)
        error = seat_set(lease, tenant, seat, params, now());
    (void)pthread_mutex_unlock(&lease->lock);
    wake(lease);
    return error;
}

int divvy_lease_tenant_remove(struct divvy_lease *lease, uint32_t number) {
    struct tenant *tenant;

    (void)pthread_mutex_lock(&lease->lock);
    tenant = tenant_of(lease, number);
    if (tenant) {
        lease->tenants[number] = NULL;
        if (tenant->info.bell_fd >= 0)
            (void)epoll_ctl(lease->epoll_fd, EPOLL_CTL_DEL, tenant->info.bell_fd, NULL);
        for (struct tenant **link = &lease->muted; *link; link = &(*link)->next_muted)
            if (*link == tenant) {
                *link = tenant->next_muted;
                break;
            }
        for (uint32_t i = 0; i < tenant->info.binding_count; i++)
            seat_remove(lease, tenant, &tenant->seats[i], now());
        tenant_let_go(tenant);
        tenant_free(tenant);
        divvy_remote_forget(lease->remote, number);
    }
    (void)pthread_mutex_unlock(&lease->lock);
    wake(lease);
    return tenant ? 0 : -ENOENT;
}

int divvy_lease_stats(struct divvy_lease *lease, uint32_t number, uint32_t device,
                      struct divvy_node_sched_stats *ret_stats, bool *ret_ready) {
    struct seat *seat;
    int error = -ENOENT;

    (void)pthread_mutex_lock(&lease->lock);
    seat = seat_of(tenant_of(lease, number), device);
    if (seat) {
        error = divvy_node_sched_stats(lease->devices[device].sched, number, ret_stats);
        *ret_ready = seat->last_known && seat_is_busy(seat, now());
    }
    (void)pthread_mutex_unlock(&lease->lock);
    return error;
}

void divvy_lease_health(struct divvy_lease *lease, struct divvy_lease_health *ret_health) {
    (void)pthread_mutex_lock(&lease->lock);
    *ret_health = lease->health;
    (void)pthread_mutex_unlock(&lease->lock);
}
