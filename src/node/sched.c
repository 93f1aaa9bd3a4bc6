/*
 * Weighted fair leases of GPU time; see sched.h for what it promises.
 *
 * Every tenant has a virtual start time: GPU time used divided by weight. The system's virtual time V is the mean of these, by
 * weight, over all that compete: so it advances by the time used divided by the weight of all, and what a tenant is owed or owes
 * when it comes or goes (its lag) neither helps nor harms a third one. A tenant whose virtual start is not after V has had no more
 * than its share: it is eligible. Among the eligible the earliest deadline (virtual start + length of a lease / weight) goes first.
 *
 * A ready tenant without the lease sits in exactly one of:
 *   eligible   may run, by deadline
 *   ahead      has had more than its share, by virtual start
 *   capped     hard cap used up, by the time at which it may run again
 *   borrowers  soft cap used up, by the same time; they run when nobody eligible or ahead is left. They are in a second heap
 *              too, by a virtual time of what they borrowed, so that what is left is shared by weight as well
 */
#include "node/sched.h"

#include <errno.h>
#include <stdlib.h>

#include "node/heap.h"

#define MSEC_NS      1000000ll
#define CAPACITY_MAX 1000000u
/* Virtual units per ns at weight 1; what a division leaves over is carried, so that nothing used is ever lost. */
#define VIRTUAL_PER_NS 1024ll
#define CHARGE_MAX_NS  (INT64_MAX / (2 * VIRTUAL_PER_NS))

enum where { NOWHERE, ELIGIBLE, AHEAD, CAPPED, BORROWERS, TURNS, HEAPS };

struct tenant {
    struct divvy_node_tenant_params params;
    bool known, ready, frozen;
    uint8_t where;
    int64_t vstart, vstart_rest;
    int64_t vborrowed; /* virtual time of what it borrowed: whose turn it is in the heap TURNS */
    int64_t credit_ns, credit_rest, credit_at_ns; /* of the cap */
    int64_t ready_since_ns;
    struct divvy_node_sched_stats stats;
};

struct divvy_node_sched {
    struct divvy_node_sched_params params;
    int64_t stretch_permille; /* of leases; 1000 and more */
    struct tenant *tenants;
    uint32_t capacity;
    struct divvy_node_heap heaps[HEAPS]; /* NOWHERE is not used */
    uint32_t *place, *place_of_turns;
    int64_t now_ns;
    /* V, and what its division left over: the sum of weight * (virtual start - V) over all that compete, 0 <= rest < weight. */
    int64_t virtual_now, virtual_rest;
    int64_t competing_weight; /* of the eligible, those ahead, and the holder unless it borrows */
    int64_t vborrowed_now; /* at which the last borrower began: who comes later is not owed more */
    uint32_t ready_count;  /* with the holder */
    uint32_t holder;
    struct divvy_node_lease lease;
    bool lease_borrowed;
    int64_t lease_used_ns;
    int64_t
        open_since_ns; /* up to here the time under an open lease is in the holder's virtual start */
    bool
        lease_was_open; /* it was turned into a timed one; of what is charged since, so much counted: */
    int64_t counted_ns;
};

static int64_t later(int64_t a, int64_t b) {
    return divvy_node_key_before(a, b) ? b : a;
}

/* Virtual times run on for ever; their differences count. */
static int64_t shifted(int64_t virtual_time, int64_t by) {
    return (int64_t)((uint64_t)virtual_time + (uint64_t)by);
}

static bool has_cap(const struct tenant *t) {
    return t->params.cap_permille > 0 && t->params.cap_permille < 1000;
}

static int64_t virtual_length(const struct tenant *t, int64_t ns) {
    return ns * VIRTUAL_PER_NS / t->params.weight;
}

static void clock_to(struct divvy_node_sched *s, int64_t now_ns) {
    if (now_ns > s->now_ns)
        s->now_ns = now_ns;
}

/* Leases of the classes that have no promise of short waits are stretched where hand-overs are dear, and what is banked with them. */
static int64_t lease_of(const struct divvy_node_sched *s, const struct tenant *t) {
    int64_t lease_ns = s->params.lease_ns[t->params.qos];

    return t->params.qos >= DIVVY_NODE_QOS_HIGH ? lease_ns : lease_ns / 1000 * s->stretch_permille;
}

static int64_t bank_of(const struct divvy_node_sched *s) {
    return s->params.bank_ns / 1000 * s->stretch_permille;
}

/*
 * The bank bounds what idleness saves up, not what comes in while the tenant runs: that is charged with the kernel, which may be
 * late by its whole length.
 */
static void refill(struct divvy_node_sched *s, struct tenant *t) {
    bool runs = s->holder != DIVVY_NODE_SCHED_NOBODY && t == &s->tenants[s->holder];
    int64_t elapsed = s->now_ns - t->credit_at_ns;
    t->credit_at_ns = s->now_ns;
    if (!has_cap(t) || elapsed <= 0)
        return;
    /* A pause longer than it takes to repay any debt and fill the bank needs no exact product. */
    int64_t room = bank_of(s) - t->credit_ns;
    if (!runs && elapsed > room / t->params.cap_permille * 1000 + 1000) {
        t->credit_ns = bank_of(s);
        t->credit_rest = 0;
        return;
    }
    if (elapsed > CHARGE_MAX_NS)
        elapsed = CHARGE_MAX_NS;
    int64_t product = elapsed * t->params.cap_permille + t->credit_rest;
    t->credit_ns += product / 1000;
    t->credit_rest = product % 1000;
    if (!runs && t->credit_ns > bank_of(s))
        t->credit_ns = bank_of(s);
}

/* When the cap allows the shortest lease again. */
static int64_t allowed_at(const struct divvy_node_sched *s, const struct tenant *t) {
    int64_t missing = s->params.lease_min_ns - t->credit_ns;
    return missing <= 0 ? s->now_ns : s->now_ns + missing * 1000 / t->params.cap_permille + 1;
}

/* The sum of weighted distances from V has changed: V follows. */
static void virtual_add(struct divvy_node_sched *s, int64_t weighted) {
    s->virtual_rest += weighted;
    if (s->competing_weight == 0 || (s->virtual_rest >= 0 && s->virtual_rest < s->competing_weight))
        return;
    int64_t whole = s->virtual_rest / s->competing_weight,
            rest = s->virtual_rest % s->competing_weight;
    if (rest < 0) {
        rest += s->competing_weight;
        whole--;
    }
    s->virtual_now = shifted(s->virtual_now, whole);
    s->virtual_rest = rest;
}

static int64_t weighted_distance(const struct divvy_node_sched *s, const struct tenant *t) {
    return t->params.weight * (int64_t)((uint64_t)t->vstart - (uint64_t)s->virtual_now);
}

static void join(struct divvy_node_sched *s, const struct tenant *t) {
    int64_t distance = weighted_distance(s, t);
    s->competing_weight += t->params.weight;
    virtual_add(s, distance);
}

/* The last to go leaves V at its own virtual start. */
static void part(struct divvy_node_sched *s, const struct tenant *t) {
    int64_t distance = weighted_distance(s, t);
    s->competing_weight -= t->params.weight;
    virtual_add(s, -distance);
}

static bool competes(enum where where) {
    return where == ELIGIBLE || where == AHEAD;
}

static void leave(struct divvy_node_sched *s, uint32_t id) {
    struct tenant *t = &s->tenants[id];
    if (t->where == NOWHERE)
        return;
    divvy_node_heap_remove(&s->heaps[t->where], id);
    if (t->where == BORROWERS)
        divvy_node_heap_remove(&s->heaps[TURNS], id);
    if (competes(t->where))
        part(s, t);
    t->where = NOWHERE;
}

static void enter(struct divvy_node_sched *s, uint32_t id, enum where where, int64_t key) {
    struct tenant *t = &s->tenants[id];
    t->where = (uint8_t)where;
    divvy_node_heap_insert(&s->heaps[where], id, key);
    if (where == BORROWERS) {
        t->vborrowed = later(t->vborrowed, s->vborrowed_now);
        divvy_node_heap_insert(&s->heaps[TURNS], id, t->vborrowed);
    }
    if (competes(where))
        join(s, t);
}

/*
 * Whoever did not compete (asleep, or stopped by its cap) is owed little for that time. Twice as much in the higher classes:
 * theirs are requests, and a few of them in a row should not have to wait for one another's turn.
 */
static void forget_absence(struct divvy_node_sched *s, struct tenant *t) {
    int64_t bank_ns = t->params.qos >= DIVVY_NODE_QOS_HIGH ? 2 * bank_of(s) : bank_of(s);
    t->vstart = later(t->vstart, shifted(s->virtual_now, -virtual_length(t, bank_ns)));
}

/* What a tenant owes for an overrun is bounded, so that a very long kernel does not shut it out for minutes. */
static void bound_debt(struct divvy_node_sched *s, struct tenant *t) {
    int64_t newest = shifted(s->virtual_now, virtual_length(t, s->params.debt_max_ns));
    if (divvy_node_key_before(newest, t->vstart))
        t->vstart = newest;
}

static int64_t deadline(const struct divvy_node_sched *s, const struct tenant *t) {
    return shifted(t->vstart, virtual_length(t, lease_of(s, t)));
}

/* Put a ready tenant that does not hold the lease where it belongs. */
static void file(struct divvy_node_sched *s, uint32_t id) {
    struct tenant *t = &s->tenants[id];
    bool was_absent = t->where == CAPPED || t->where == BORROWERS;
    leave(s, id);
    if (!t->ready || t->frozen || id == s->holder)
        return;
    refill(s, t);
    if (has_cap(t) && t->credit_ns < s->params.lease_min_ns) {
        enter(s, id, t->params.cap_soft ? BORROWERS : CAPPED, allowed_at(s, t));
        return;
    }
    if (was_absent)
        forget_absence(s, t);
    bound_debt(s, t);
    if (divvy_node_key_before(s->virtual_now, t->vstart))
        enter(s, id, AHEAD, t->vstart);
    else
        enter(s, id, ELIGIBLE, deadline(s, t));
}

static struct tenant *find(const struct divvy_node_sched *s, uint32_t id) {
    return id < s->capacity && s->tenants[id].known ? &s->tenants[id] : NULL;
}

static bool params_valid(const struct divvy_node_tenant_params *p) {
    return p && p->weight >= 1 && p->weight <= DIVVY_NODE_SCHED_WEIGHT_MAX &&
           p->cap_permille <= 1000 && (unsigned)p->qos < DIVVY_NODE_QOS_MAX;
}

void divvy_node_sched_defaults(struct divvy_node_sched_params *ret_params) {
    *ret_params = (struct divvy_node_sched_params){
        .lease_ns = {10 * MSEC_NS, 5 * MSEC_NS, 3 * MSEC_NS, 2 * MSEC_NS},
        .lease_min_ns = MSEC_NS / 2,
        .bank_ns = 10 * MSEC_NS,
        .debt_max_ns = 2000 * MSEC_NS,
    };
}

static bool settings_valid(const struct divvy_node_sched_params *p) {
    for (int i = 0; i < DIVVY_NODE_QOS_MAX; i++)
        if (p->lease_ns[i] <= 0)
            return false;
    return p->lease_min_ns > 0 && p->bank_ns >= p->lease_min_ns && p->debt_max_ns > 0;
}

int divvy_node_sched_new(uint32_t capacity, const struct divvy_node_sched_params *params,
                         struct divvy_node_sched **ret_sched) {
    struct divvy_node_sched_params settings;
    divvy_node_sched_defaults(&settings);
    if (params)
        settings = *params;
    if (capacity == 0 || capacity > CAPACITY_MAX || !settings_valid(&settings))
        return -EINVAL;
    struct divvy_node_sched *s = calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    *s = (struct divvy_node_sched){.params = settings,
                                   .capacity = capacity,
                                   .holder = DIVVY_NODE_SCHED_NOBODY,
                                   .stretch_permille = 1000,
                                   .tenants = calloc(capacity, sizeof *s->tenants),
                                   .place = calloc(capacity, sizeof *s->place),
                                   .place_of_turns = calloc(capacity, sizeof *s->place)};
    bool complete = s->tenants && s->place && s->place_of_turns;
    for (int i = NOWHERE + 1; complete && i < HEAPS; i++) {
        s->heaps[i] = (struct divvy_node_heap){.items = calloc(capacity, sizeof(uint32_t)),
                                               .keys = calloc(capacity, sizeof(int64_t)),
                                               .place = i == TURNS ? s->place_of_turns : s->place};
        complete = s->heaps[i].items && s->heaps[i].keys;
    }
    if (!complete) {
        divvy_node_sched_free(s);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < capacity; i++)
        s->place[i] = s->place_of_turns[i] = DIVVY_NODE_HEAP_ABSENT;
    *ret_sched = s;
    return 0;
}

void divvy_node_sched_free(struct divvy_node_sched *s) {
    if (!s)
        return;
    for (int i = NOWHERE + 1; i < HEAPS; i++) {
        free(s->heaps[i].items);
        free(s->heaps[i].keys);
    }
    free(s->place);
    free(s->place_of_turns);
    free(s->tenants);
    free(s);
}

static void account_begin(struct divvy_node_sched *s, struct tenant *t) {
    t->vstart = s->virtual_now;
    t->vstart_rest = 0;
    t->vborrowed = s->vborrowed_now;
    t->credit_ns = s->params.lease_min_ns;
    t->credit_rest = 0;
    t->credit_at_ns = s->now_ns;
}

int divvy_node_sched_add(struct divvy_node_sched *s, uint32_t id,
                         const struct divvy_node_tenant_params *params, int64_t now_ns) {
    if (id >= s->capacity)
        return -ERANGE;
    if (!params_valid(params))
        return -EINVAL;
    if (s->tenants[id].known)
        return -EEXIST;
    clock_to(s, now_ns);
    s->tenants[id] = (struct tenant){.params = *params, .known = true};
    account_begin(s, &s->tenants[id]);
    return 0;
}

int divvy_node_sched_renew(struct divvy_node_sched *s, uint32_t id, int64_t now_ns) {
    if (!find(s, id))
        return -ENOENT;
    if (id == s->holder)
        return -EBUSY;
    clock_to(s, now_ns);
    leave(s, id);
    account_begin(s, &s->tenants[id]);
    file(s, id);
    return 0;
}

/* Move the tenant's virtual start on. */
static void run_on(struct divvy_node_sched *s, uint32_t id, int64_t ns) {
    struct tenant *t = &s->tenants[id];
    int64_t units = ns * VIRTUAL_PER_NS + t->vstart_rest, step = units / t->params.weight;
    t->vstart = shifted(t->vstart, step);
    t->vstart_rest = units % t->params.weight;
    if (competes(t->where) || (id == s->holder && !s->lease_borrowed))
        virtual_add(s, step * t->params.weight);
}

/*
 * Time under an open lease has passed: virtual time goes on as if all of it was used (nobody measures it), or whoever used
 * little meanwhile, now and then, would seem to be ahead of the one who had the rest. Nobody else was there to lose by it.
 */
static void settle_open(struct divvy_node_sched *s) {
    if (s->holder == DIVVY_NODE_SCHED_NOBODY || s->lease.kind != DIVVY_NODE_LEASE_OPEN ||
        s->ready_count > 1)
        return;
    int64_t ns = s->now_ns - s->open_since_ns;
    s->open_since_ns = s->now_ns;
    run_on(s, s->holder, ns < CHARGE_MAX_NS ? ns : CHARGE_MAX_NS);
}

/* The holder gives the lease up, for whatever reason. */
static void release(struct divvy_node_sched *s) {
    struct tenant *t = &s->tenants[s->holder];
    settle_open(s);
    if (!s->lease_borrowed)
        part(s, t);
    t->ready_since_ns = s->now_ns;
    s->holder = DIVVY_NODE_SCHED_NOBODY;
    s->lease = (struct divvy_node_lease){.tenant = DIVVY_NODE_SCHED_NOBODY};
}

int divvy_node_sched_remove(struct divvy_node_sched *s, uint32_t id, int64_t now_ns) {
    int r = divvy_node_sched_sleep(s, id, now_ns);
    if (r == 0)
        s->tenants[id].known = false;
    return r;
}

int divvy_node_sched_set(struct divvy_node_sched *s, uint32_t id,
                         const struct divvy_node_tenant_params *params, int64_t now_ns) {
    struct tenant *t = find(s, id);
    if (!t)
        return -ENOENT;
    if (!params_valid(params))
        return -EINVAL;
    clock_to(s, now_ns);
    refill(s, t);
    bool competing_holder = id == s->holder && !s->lease_borrowed;
    if (competing_holder)
        part(s, t);
    else if (id != s->holder)
        leave(s, id);
    if (!has_cap(t))
        t->credit_ns = s->params.lease_min_ns; /* a new cap starts neither in debt nor rich */
    t->params = *params;
    t->vstart_rest = 0;
    t->credit_rest = 0;
    if (competing_holder)
        join(s, t);
    file(s, id);
    return 0;
}

int divvy_node_sched_wake(struct divvy_node_sched *s, uint32_t id, int64_t now_ns) {
    struct tenant *t = find(s, id);
    if (!t)
        return -ENOENT;
    clock_to(s, now_ns);
    if (t->ready)
        return 0;
    settle_open(s);
    t->ready = true;
    t->ready_since_ns = s->now_ns;
    s->ready_count += !t->frozen;
    forget_absence(s, t);
    file(s, id);
    return 0;
}

int divvy_node_sched_sleep(struct divvy_node_sched *s, uint32_t id, int64_t now_ns) {
    struct tenant *t = find(s, id);
    if (!t)
        return -ENOENT;
    clock_to(s, now_ns);
    if (!t->ready)
        return 0;
    t->ready = false;
    s->ready_count -= !t->frozen;
    if (id == s->holder)
        release(s);
    leave(s, id);
    return 0;
}

int divvy_node_sched_freeze(struct divvy_node_sched *s, uint32_t id, bool frozen, int64_t now_ns) {
    struct tenant *t = find(s, id);
    if (!t)
        return -ENOENT;
    clock_to(s, now_ns);
    if (t->frozen == frozen)
        return 0;
    t->frozen = frozen;
    settle_open(s);
    if (t->ready && frozen)
        s->ready_count--;
    else if (t->ready)
        s->ready_count++;
    t->ready_since_ns = s->now_ns;
    if (id == s->holder)
        release(s);
    forget_absence(s, t);
    file(s, id);
    return 0;
}

/*
 * What is charged first after an open lease became a timed one is mostly older than that. More than the time since cannot have
 * been used since; the shortest lease is allowed for, which may be in flight.
 */
static int64_t used_since_open(struct divvy_node_sched *s, int64_t used_ns) {
    int64_t most = s->now_ns - s->open_since_ns + s->params.lease_min_ns - s->counted_ns;
    int64_t counted = used_ns < most ? used_ns : most > 0 ? most : 0;
    s->counted_ns += counted;
    return counted;
}

/*
 * What is used under an open lease, or borrowed, was nobody else's: it counts neither against the share nor against the cap. What
 * of it comes late, when the lease is over, counts: by then somebody may have waited for it.
 */
int divvy_node_sched_charge(struct divvy_node_sched *s, uint32_t id, int64_t used_ns,
                            int64_t now_ns) {
    struct tenant *t = find(s, id);
    if (!t)
        return -ENOENT;
    if (used_ns < 0 || used_ns > CHARGE_MAX_NS)
        return -EINVAL;
    clock_to(s, now_ns);
    refill(s, t);
    t->stats.used_ns += (uint64_t)used_ns;
    if (id == s->holder && s->lease_borrowed) {
        t->vborrowed = shifted(t->vborrowed, virtual_length(t, used_ns));
    } else if (id != s->holder || s->lease.kind != DIVVY_NODE_LEASE_OPEN) {
        int64_t counted =
            id == s->holder && s->lease_was_open ? used_since_open(s, used_ns) : used_ns;
        t->credit_ns -= has_cap(t) ? counted : 0;
        run_on(s, id, counted);
    }
    if (id == s->holder) {
        int64_t before = s->lease_used_ns, length = s->lease.length_ns;
        s->lease_used_ns += used_ns;
        if (s->lease.kind == DIVVY_NODE_LEASE_TIMED && s->lease_used_ns > length)
            t->stats.overrun_ns +=
                (uint64_t)(s->lease_used_ns - (before > length ? before : length));
    } else {
        file(s, id);
    }
    return 0;
}

int divvy_node_sched_charge_idle(struct divvy_node_sched *s, uint32_t id, int64_t idle_ns,
                                 int64_t now_ns) {
    if (!find(s, id))
        return -ENOENT;
    if (idle_ns < 0 || idle_ns > CHARGE_MAX_NS)
        return -EINVAL;
    clock_to(s, now_ns);
    if (id == s->holder && s->lease.kind == DIVVY_NODE_LEASE_TIMED && !s->lease_borrowed)
        run_on(s, id, idle_ns);
    return 0;
}

static uint32_t top(const struct divvy_node_sched *s, enum where where) {
    const struct divvy_node_heap *heap = &s->heaps[where];
    return heap->count ? heap->items[0] : DIVVY_NODE_SCHED_NOBODY;
}

/* Move those whose time has come: caps that have refilled, and tenants that the fair share has caught up with. */
static void promote(struct divvy_node_sched *s) {
    for (int i = 0; i < 2; i++) {
        enum where where = i == 0 ? CAPPED : BORROWERS;
        while (s->heaps[where].count && s->heaps[where].keys[0] <= s->now_ns)
            file(s, top(s, where));
    }
    while (s->heaps[AHEAD].count && !divvy_node_key_before(s->virtual_now, s->heaps[AHEAD].keys[0]))
        file(s, top(s, AHEAD));
}

static bool may_be_open(const struct divvy_node_sched *s, const struct tenant *t) {
    return s->ready_count == 1 && (!has_cap(t) || t->params.cap_soft);
}

/*
 * Whole leases for capped tenants as well: what a lease takes beyond the cap is waited for afterwards. Cut to what the cap has
 * left they would be as short as could be all the time, and every hand-over costs.
 */
static void grant(struct divvy_node_sched *s, uint32_t id, bool borrowed) {
    struct tenant *t = &s->tenants[id];
    uint64_t waited = (uint64_t)(s->now_ns - t->ready_since_ns);
    bool open = may_be_open(s, t);
    leave(s, id);
    s->holder = id;
    s->lease_borrowed = borrowed && !open;
    if (!s->lease_borrowed)
        join(s, t);
    else
        s->vborrowed_now = later(s->vborrowed_now, t->vborrowed);
    s->open_since_ns = s->now_ns;
    s->lease_was_open = false;
    s->lease_used_ns = 0;
    s->lease =
        (struct divvy_node_lease){.kind = open ? DIVVY_NODE_LEASE_OPEN : DIVVY_NODE_LEASE_TIMED,
                                  .tenant = id,
                                  .length_ns = open ? 0 : lease_of(s, t)};
    t->stats.granted++;
    t->stats.waited_ns += waited;
    if (waited > t->stats.wait_max_ns)
        t->stats.wait_max_ns = waited;
}

void divvy_node_sched_stretch(struct divvy_node_sched *s, uint32_t permille) {
    s->stretch_permille = permille < 1000                           ? 1000
                          : permille > DIVVY_NODE_SCHED_STRETCH_MAX ? DIVVY_NODE_SCHED_STRETCH_MAX
                                                                    : permille;
}

int divvy_node_sched_pick(struct divvy_node_sched *s, int64_t now_ns,
                          struct divvy_node_lease *ret_lease) {
    clock_to(s, now_ns);
    promote(s);
    if (s->holder == DIVVY_NODE_SCHED_NOBODY) {
        uint32_t next = top(s, ELIGIBLE);
        if (next == DIVVY_NODE_SCHED_NOBODY)
            next = top(s, AHEAD);
        bool borrowed = next == DIVVY_NODE_SCHED_NOBODY;
        if (borrowed)
            next = top(s, TURNS);
        if (next != DIVVY_NODE_SCHED_NOBODY)
            grant(s, next, borrowed);
    } else if (s->lease.kind == DIVVY_NODE_LEASE_OPEN && !may_be_open(s, &s->tenants[s->holder])) {
        s->lease.kind = DIVVY_NODE_LEASE_TIMED;
        s->lease.length_ns = s->params.lease_min_ns; /* it has had more than anybody */
        s->lease_used_ns = 0;
        s->lease_was_open = true;
        s->counted_ns = 0;
    }
    *ret_lease = s->lease;
    if (s->holder == DIVVY_NODE_SCHED_NOBODY)
        *ret_lease = (struct divvy_node_lease){
            .tenant = DIVVY_NODE_SCHED_NOBODY,
            .retry_ns = s->heaps[CAPPED].count ? s->heaps[CAPPED].keys[0] : DIVVY_NODE_SCHED_NEVER};
    return 0;
}

int divvy_node_sched_end(struct divvy_node_sched *s, uint32_t id, int64_t now_ns) {
    if (!find(s, id) || id != s->holder)
        return -ENOENT;
    clock_to(s, now_ns);
    release(s);
    file(s, id);
    return 0;
}

bool divvy_node_sched_should_revoke(struct divvy_node_sched *s, int64_t now_ns) {
    clock_to(s, now_ns);
    promote(s);
    uint32_t rival = top(s, ELIGIBLE);
    if (s->holder == DIVVY_NODE_SCHED_NOBODY || rival == DIVVY_NODE_SCHED_NOBODY)
        return false;
    struct tenant *t = &s->tenants[s->holder];
    bool revoke =
        s->tenants[rival].params.qos > t->params.qos &&
        (s->lease_borrowed || divvy_node_key_before(s->heaps[ELIGIBLE].keys[0], deadline(s, t)));
    t->stats.revoked += revoke;
    return revoke;
}

uint32_t divvy_node_sched_first_within(struct divvy_node_sched *s, int64_t slack_ns, int64_t now_ns,
                                       bool (*may_run)(const void *data, uint32_t id),
                                       const void *data) {
    static const enum where among[] = {ELIGIBLE, AHEAD};
    uint32_t first = DIVVY_NODE_SCHED_NOBODY;
    int64_t key = 0;

    clock_to(s, now_ns);
    promote(s);
    for (int i = 0; i < 2 && first == DIVVY_NODE_SCHED_NOBODY; i++) {
        const struct divvy_node_heap *heap = &s->heaps[among[i]];

        for (uint32_t at = 0; at < heap->count; at++) {
            uint32_t id = heap->items[at];
            const struct tenant *t = &s->tenants[id];

            if ((first != DIVVY_NODE_SCHED_NOBODY && !divvy_node_key_before(heap->keys[at], key)) ||
                divvy_node_key_before(shifted(s->virtual_now, virtual_length(t, slack_ns)),
                                      t->vstart) ||
                !may_run(data, id))
                continue;
            first = id;
            key = heap->keys[at];
        }
    }
    return first;
}

uint32_t divvy_node_sched_holder(const struct divvy_node_sched *s) {
    return s->holder;
}

int divvy_node_sched_stats(const struct divvy_node_sched *s, uint32_t id,
                           struct divvy_node_sched_stats *ret_stats) {
    const struct tenant *t = find(s, id);
    if (!t)
        return -ENOENT;
    *ret_stats = t->stats;
    return 0;
}
