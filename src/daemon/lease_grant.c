/* Who has the device next, and the hand-over to him: see lease.h. */
#include "daemon/lease_inside.h"

#define LEAD_NS         (800 * US)
#define RECHECK_NS      (250 * US)
#define EARLY_MAX_NS    (200 * US) /* a lease begins so much before the device is free, at most */
#define DRAINED_NS      (100 * US) /* a drain no longer than this behind the next lease's begin is not worth another */
#define FRUITLESS_NS    (20 * MS) /* of leases in a row that it waited through: it is stopped, or stuck */
#define PROBE_NS        (2 * MS)
#define BUDGET_TIGHT_NS UINT32_C(400000) /* while somebody's waits must be short */
#define BUDGET_SHARED_NS UINT32_C(2000000) /* by several processes, each of which knows the end of its own work only */
#define SEVERAL_NS      (1000 * MS)
#define OPEN_LOOK_NS    (100 * MS)
#define PEACE_NS        (2000 * MS) /* alone for so long: nothing is measured any more, and anything may be in flight */
#define EXCESS_MAX_NS   (5 * MS) /* more is no error of measurement */
#define HAND_OVER_STEPS 32 /* what one hand-over moves what is known of them by, as a part of it */
#define LOSS_PERMILLE   10 /* of the device that hand-overs may cost before leases are stretched */

/* How long before its end a lease of a tenant with pages is handed on: early enough for the order, should it be one. */
static int64_t lead_ns(const struct device *device) {
    return LEAD_NS + device->way_ns / 2;
}

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

static uint32_t budget_ns(const struct device *device, const struct seat *seat, int64_t now_ns) {
    uint32_t others = device->sensitive - (seat->binding.params.qos >= DIVVY_NODE_QOS_HIGH);

    if (others)
        return BUDGET_TIGHT_NS;
    return seat->several_ns && now_ns - seat->several_ns < SEVERAL_NS ? BUDGET_SHARED_NS : BUDGET_NS;
}

static bool device_is_peaceful(const struct device *device, int64_t now_ns) {
    return device->seats == 1 || now_ns >= device->contended_ns + PEACE_NS;
}

static void lease_put(struct divvy_lease *lease, struct device *device, struct tenant *tenant,
                      struct seat *seat) {
    int64_t now_ns = now();
    struct divvy_control_lease written = {
        .mode = device->open && device_is_peaceful(device, now_ns) ? DIVVY_CONTROL_OPEN
                                                                  : DIVVY_CONTROL_LEASED,
        .begin_ns = device->begin_ns,
        .end_ns = device->open ? DIVVY_CONTROL_FOREVER_NS : device->end_ns,
        .id = ++device->lease_id,
        .budget_ns = budget_ns(device, seat, now_ns),
    };

    lease->health.granted++;
    divvy_lease_page_write(tenant, seat, &written);
}

/* Stuck tenants whose next try has come are ready again. */
static void device_probe(struct divvy_lease *lease, uint32_t index, int64_t now_ns) {
    struct device *device = &lease->devices[index];
    int64_t next_ns = INT64_MAX;

    if (now_ns < device->probe_ns)
        return; /* nearly always: looking at each of 1,000 tenants was a fifth of all that the daemon did */
    for (uint32_t i = 0; i < lease->high; i++) {
        struct tenant *tenant = lease->tenants[i];
        struct seat *seat = seat_of(tenant, index);

        if (!seat || !seat->stuck)
            continue;
        if (seat->probe_ns > now_ns) {
            next_ns = earlier(next_ns, seat->probe_ns);
            continue;
        }
        if (divvy_lease_seat_read(lease, tenant, seat, true, now_ns) && seat->last.waiting) {
            (void)divvy_node_sched_wake(device->sched, tenant->info.number, now_ns);
            seat->probe_ns = now_ns + seat->probe_step_ns;
            next_ns = earlier(next_ns, seat->probe_ns);
        } else {
            seat->stuck = false; /* it went away, or works again and will ring */
            seat->probe_step_ns = 0;
            divvy_lease_listen_set(tenant, seat, 1);
        }
    }
    device->probe_ns = next_ns;
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
            return earlier(pick.retry_ns, device->probe_ns); /* bells, caps, and who is stuck */
        tenant = tenant_of(lease, pick.tenant);
        seat = seat_of(tenant, index);
        if (pick.tenant != before && !seat->stuck) {
            (void)divvy_lease_seat_read(lease, tenant, seat, false, now_ns);
            if (!divvy_lease_seat_is_busy(seat, now_ns) && divvy_lease_seat_sleep(lease, tenant, seat, now_ns))
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
            device->from_ns = divvy_lease_seat_drain_ns(seat, device->from_ns, now_ns);
            seat->begin_seen_ns = seat->seen_ns;
        }
        if (is_remote(tenant))
            pick.length_ns = divvy_lease_remote_length_ns(tenant, pick.length_ns);
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
    (void)divvy_lease_seat_sleep(lease, tenant, seat, now_ns);
    device->holder = DIVVY_NODE_SCHED_NOBODY;
    return device_grant(lease, index, now_ns, now_ns);
}

/* The lease that ends was waited through without any progress: by a process that has died at the gate, or not for the first time. */
static bool seat_is_fruitless(struct divvy_lease *lease, struct tenant *tenant, struct seat *seat,
                              int64_t from_ns, int64_t now_ns) {
    bool had_waited = seat->moved_ns <= from_ns && seat->last.waiting;

    if (had_waited)
        (void)divvy_lease_seat_read(lease, tenant, seat, true, now_ns); /* the dead wait for nothing */
    if (!had_waited || seat->moved_ns > from_ns || !seat->last.waiting) {
        seat->fruitless_ns = 0;
        return had_waited && !seat->last.waiting;
    }
    seat->fruitless_ns += now_ns - from_ns;
    if (seat->fruitless_ns < FRUITLESS_NS)
        return false;
    divvy_lease_seat_stuck(lease, seat, now_ns);
    return true;
}

/* The holder's lease is over at end_ns: who comes next? */
static int64_t device_hand_over(struct divvy_lease *lease, uint32_t index, struct tenant *tenant,
                                struct seat *seat, int64_t end_ns, int64_t now_ns) {
    struct device *device = &lease->devices[index];
    int64_t drain_ns = divvy_lease_seat_drain_ns(seat, device->from_ns, now_ns);
    int64_t from_ns =
        drain_ns > end_ns - DIVVY_CONTROL_LAST_NS ? drain_ns : end_ns - DIVVY_CONTROL_LAST_NS;

    if (seat_is_fruitless(lease, tenant, seat, device->from_ns, now_ns))
        return device_give_up(lease, index, tenant, seat, now_ns);
    window_end(seat, from_ns, from_ns <= end_ns + GRACE_NS && !is_remote(tenant), drain_ns > now_ns);
    if (from_ns > end_ns + GRACE_NS)
        from_ns = end_ns + GRACE_NS;
    from_ns = divvy_lease_remote_from_ns(tenant, seat, from_ns, now_ns);
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
    if (!left || !divvy_lease_seat_read(lease, previous, left, false, now_ns))
        return now_ns;
    drain_ns = divvy_lease_seat_drain_ns(left, device->previous_from_ns, now_ns);
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

        (void)divvy_lease_seat_read(lease, tenant, seat, false, now_ns);
        if (is_open != device_is_peaceful(device, now_ns))
            lease_put(lease, device, tenant, seat);
        return now_ns + OPEN_LOOK_NS;
    }
    device->open = false;
    device->begin_ns = device->from_ns = now_ns;
    device->end_ns = now_ns + (is_remote(tenant) ? divvy_lease_remote_length_ns(tenant, pick.length_ns) : pick.length_ns);
    seat->moved_ns = now_ns;
    (void)divvy_lease_seat_read(lease, tenant, seat, false, now_ns);
    lease_put(lease, device, tenant, seat);
    return now_ns;
}

int64_t divvy_lease_device_look(struct divvy_lease *lease, uint32_t index, int64_t now_ns) {
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
    (void)divvy_lease_seat_read(lease, tenant, seat, false, now_ns);
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
        until_ns = divvy_lease_remote_wait_ns(device, tenant, seat, since_ns, now_ns);
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
