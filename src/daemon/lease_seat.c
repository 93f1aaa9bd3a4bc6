/* What a tenant says of its use of a device, and what it is told: by pages, or over the channel. */
#include "daemon/lease_inside.h"

#include <errno.h>
#include <string.h>

#define PROBE_FIRST_NS     (50 * MS)
#define PROBE_LAST_NS      (1000 * MS)
#define REMOTE_LEAD_MAX_NS (2 * MS)
#define REMOTE_WAYS        50 /* so many times the way there and back is a lease long: that is what it costs at most */

void divvy_lease_page_write(struct tenant *tenant, const struct seat *seat,
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

void divvy_lease_page_shut(struct tenant *tenant, const struct seat *seat) {
    struct divvy_control_lease shut = {.mode = tenant->info.frozen ? DIVVY_CONTROL_FROZEN
                                                                   : DIVVY_CONTROL_LEASED,
                                       .budget_ns = BUDGET_NS};

    divvy_lease_page_write(tenant, seat, &shut);
}

void divvy_lease_listen_set(struct tenant *tenant, const struct seat *seat, uint32_t listening) {
    __atomic_store_n(&tenant->info.control->devices[seat->binding.entry].listening, listening,
                     __ATOMIC_SEQ_CST);
}

static const uint8_t *seat_uuid(const struct tenant *tenant, const struct seat *seat) {
    return (const uint8_t *)&tenant->info.control->devices[seat->binding.entry].uuid;
}

static uint64_t mix(uint64_t hash, uint64_t value) {
    return (hash ^ value) * UINT64_C(0x9E3779B97F4A7C15) + (hash >> 29);
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
bool divvy_lease_seat_read(struct divvy_lease *lease, struct tenant *tenant, struct seat *seat,
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
    if (use->busy_processes > 1)
        seat->several_ns = now_ns;
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

/* What its page says of the past is not charged: it was another daemon's, or nobody's. */
void divvy_lease_seat_catch_up(struct divvy_lease *lease, struct tenant *tenant, struct seat *seat, int64_t now_ns) {
    uint64_t before_ns = seat->seen_ns;

    seat->seen_ns = UINT64_MAX;
    seat->seen_ns =
        divvy_lease_seat_read(lease, tenant, seat, true, now_ns) ? seat->last.charged_ns + seat->last.inflight_ns : before_ns;
    seat->begin_seen_ns = seat->window_seen_ns = seat->seen_ns;
    seat->window_end_ns = 0;
    seat->excess_ns = 0;
    seat->fruitless_ns = 0;
    seat->moved_ns = now_ns;
}

/*
 * What it has in flight is done by then, as far as can be told; never before now. Several processes that share the device know
 * little of how far they got; but all that they launched since their lease began, at begin_ns, takes its time from there.
 */
int64_t divvy_lease_seat_drain_ns(const struct seat *seat, int64_t begin_ns, int64_t now_ns) {
    int64_t drain_ns =
        seat->last_known && seat->last.drain_ns > now_ns ? seat->last.drain_ns : now_ns;
    int64_t done_ns = begin_ns + (int64_t)(seat->seen_ns - seat->begin_seen_ns);

    if (seat->last_known && seat->last.busy_processes > 1 && drain_ns > done_ns)
        drain_ns = done_ns > now_ns ? done_ns : now_ns;
    return drain_ns;
}

bool divvy_lease_seat_is_busy(const struct seat *seat, int64_t now_ns) {
    return seat->last_known && (seat->last.waiting || seat->last.last_ns + IDLE_NS > now_ns);
}

/* --- processes that go by the channel -------------------------------------------------------------------------------- */

/* Long enough for the way there and back not to matter. */
int64_t divvy_lease_remote_length_ns(const struct tenant *tenant, int64_t length_ns) {
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
int64_t divvy_lease_remote_wait_ns(const struct device *device, const struct tenant *tenant, const struct seat *seat,
                              int64_t since_ns, int64_t now_ns) {
    int64_t until_ns = device->end_ns + GRACE_NS; /* what it says comes before that, and wakes us */

    if (divvy_remote_is_over(tenant->remote, tenant->info.number, seat->binding.entry))
        return 0;
    if (!seat->last.waiting && since_ns + REMOTE_IDLE_NS < until_ns)
        until_ns = since_ns + REMOTE_IDLE_NS;
    return until_ns > now_ns ? until_ns : 0;
}

/* What it was told a moment ago it does not know yet. */
int64_t divvy_lease_remote_from_ns(const struct tenant *tenant, const struct seat *seat, int64_t from_ns, int64_t now_ns) {
    int64_t told_ns = now_ns + divvy_remote_way_ns(tenant->remote, tenant->info.number);

    return told_ns > from_ns && is_remote(tenant) &&
                   !divvy_remote_is_over(tenant->remote, tenant->info.number, seat->binding.entry)
               ? told_ns
               : from_ns;
}

/* --- who is ready --------------------------------------------------------------------------------------------------- */

void divvy_lease_seat_wake(struct divvy_lease *lease, struct tenant *tenant, struct seat *seat,
                      int64_t now_ns) {
    struct device *device = &lease->devices[seat->binding.device];

    divvy_lease_listen_set(tenant, seat, 0);
    if (device->holder != DIVVY_NODE_SCHED_NOBODY && device->holder != tenant->info.number)
        device->contended_ns = now_ns;
    (void)divvy_node_sched_wake(device->sched, tenant->info.number, now_ns);
    device->next_ns = now_ns;
}

/*
 * The tenant has nothing to do. False: it turned out to have, at the last moment. Its page is shut first, so that its next launch
 * comes to the gate and rings.
 */
bool divvy_lease_seat_sleep(struct divvy_lease *lease, struct tenant *tenant, struct seat *seat,
                       int64_t now_ns) {
    struct device *device = &lease->devices[seat->binding.device];

    divvy_lease_page_shut(tenant, seat);
    divvy_lease_listen_set(tenant, seat, 1);
    (void)divvy_lease_seat_read(lease, tenant, seat, true, now_ns);
    (void)divvy_node_sched_sleep(device->sched, tenant->info.number, now_ns);
    if (!seat->last.waiting || seat->stuck)
        return true;
    divvy_lease_seat_wake(lease, tenant, seat, now_ns);
    return false;
}

void divvy_lease_seat_stuck(struct divvy_lease *lease, struct seat *seat, int64_t now_ns) {
    struct device *device = &lease->devices[seat->binding.device];

    seat->stuck = true;
    seat->probe_step_ns = seat->probe_step_ns ? seat->probe_step_ns * 2 : PROBE_FIRST_NS;
    if (seat->probe_step_ns > PROBE_LAST_NS)
        seat->probe_step_ns = PROBE_LAST_NS;
    seat->probe_ns = now_ns + seat->probe_step_ns;
    device->probe_ns = earlier(device->probe_ns, seat->probe_ns);
}

void divvy_lease_tenant_knocked(struct divvy_lease *lease, const struct tenant *tenant) {
    if ((tenant->info.door & DIVVY_CONTROL_DOOR_SHUT) && lease->knock)
        lease->knock(lease->knock_data, tenant->info.number);
}

void divvy_lease_tenant_rang(struct divvy_lease *lease, struct tenant *tenant, int64_t now_ns) {
    for (uint32_t i = 0; i < tenant->info.binding_count; i++) {
        struct seat *seat = &tenant->seats[i];

        if (seat->stuck || !divvy_lease_seat_read(lease, tenant, seat, false, now_ns) || !seat->last.waiting)
            continue;
        divvy_lease_seat_wake(lease, tenant, seat, now_ns);
    }
}

static int64_t remote_way_ns(const struct tenant *tenant) {
    int64_t way_ns = is_remote(tenant) ? divvy_remote_way_ns(tenant->remote, tenant->info.number) : 0;

    return way_ns < REMOTE_LEAD_MAX_NS ? way_ns : REMOTE_LEAD_MAX_NS;
}

/* Something was heard of its processes: use, somebody at a gate, or at the door. */
static void remote_rang(struct divvy_lease *lease, struct tenant *tenant, int64_t now_ns) {
    bool all = true, came = false;
    uint32_t count = 0;

    divvy_remote_door(tenant->remote, tenant->info.number, tenant->info.door, &all, &came, &count);
    if (came)
        divvy_lease_tenant_knocked(lease, tenant);
    divvy_lease_tenant_rang(lease, tenant, now_ns);
}

/* Tenants that have said something over the channel. */
void divvy_lease_remote_listen(struct divvy_lease *lease, int64_t now_ns) {
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
