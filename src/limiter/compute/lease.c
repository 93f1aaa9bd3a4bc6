/*
 * What the daemon says about this device, if there is one and it lives: see page/control.h. Without one, and while it is gone, the
 * tenant's own account decides.
 */
#include "limiter/compute/account.h"
#include "limiter/compute/state.h"
#include "limiter/hook/process.h"

bool divvy_compute_armed_on(const struct divvy_compute_device *device) {
    if (__atomic_load_n(&divvy_compute_suspended, __ATOMIC_RELAXED))
        return true;
    return device->control ? __atomic_load_n(&device->control->armed, __ATOMIC_RELAXED) != 0
                           : divvy_pacer_limits(__atomic_load_n(&device->page->compute_permille, __ATOMIC_RELAXED));
}

/* Whether the daemon's word counts at this moment. What was frozen stays so for longer than a restart of the daemon takes. */
static bool lease_counts(const struct divvy_control_lease *lease, uint64_t now_ns) {
    uint64_t silent_ns = now_ns - (uint64_t)__atomic_load_n(&divvy_control_link.page->heartbeat_ns, __ATOMIC_RELAXED);

    if (lease->mode == DIVVY_CONTROL_SELF)
        return false;
    return divvy_control_is_alive(divvy_control_link.page, (int64_t)now_ns) ||
           (lease->mode == DIVVY_CONTROL_FROZEN && silent_ns < (uint64_t)DIVVY_CONTROL_FROZEN_STALE_NS);
}

/* The lease that nobody gets: while the daemon is in the middle of writing another, or has died there. */
static const struct divvy_control_lease lease_shut = {.mode = DIVVY_CONTROL_LEASED};

void divvy_compute_ask(struct divvy_compute_device *device, uint64_t now_ns, struct divvy_compute_say *ret_say) {
    const struct divvy_control_device *control = device->control;

    ret_say->is_leased = __atomic_load_n(&divvy_compute_suspended, __ATOMIC_SEQ_CST) != 0;
    if (ret_say->is_leased) {
        ret_say->word = &divvy_compute_suspended;
        ret_say->seen = 1;
        ret_say->lease = (struct divvy_control_lease){.mode = DIVVY_CONTROL_FROZEN};
        return;
    }
    if (!control) {
        ret_say->permille = __atomic_load_n(&device->page->compute_permille, __ATOMIC_RELAXED);
        ret_say->word = &device->page->compute_permille;
        ret_say->seen = ret_say->permille;
        return;
    }
    ret_say->permille = __atomic_load_n(&control->compute_permille, __ATOMIC_RELAXED);
    ret_say->word = &control->lease_seq;
    ret_say->seen = __atomic_load_n(&control->lease_seq, __ATOMIC_ACQUIRE);
    if (divvy_control_lease_read(divvy_control_link.page, (unsigned)(control - divvy_control_link.page->devices),
                                 &ret_say->lease))
        ret_say->seen = ret_say->lease.seq;
    else
        ret_say->lease = lease_shut;
    ret_say->is_leased = lease_counts(&ret_say->lease, now_ns);
    if (ret_say->is_leased)
        divvy_compute_account_rest(device->page);
    __atomic_store_n(&device->leased, ret_say->is_leased, __ATOMIC_RELAXED);
}

uint64_t divvy_compute_lease_wait(const struct divvy_control_lease *lease, uint64_t now_ns, uint64_t drain_ns,
                                  uint64_t least_ns, uint64_t *work_ns) {
    uint64_t begin_ns = (uint64_t)lease->begin_ns, end_ns = (uint64_t)lease->end_ns;
    uint64_t start_ns = drain_ns > now_ns ? drain_ns : now_ns;

    if (lease->mode == DIVVY_CONTROL_OPEN)
        return now_ns;
    if (lease->mode != DIVVY_CONTROL_LEASED || lease->begin_ns < 0 || lease->end_ns < 0 || start_ns >= end_ns)
        return UINT64_MAX;
    if (now_ns < begin_ns)
        return begin_ns;
    if (least_ns > DIVVY_CONTROL_LAST_NS && end_ns - start_ns < DIVVY_CONTROL_LAST_NS &&
        end_ns - begin_ns > 2 * DIVVY_CONTROL_LAST_NS)
        return UINT64_MAX;
    if (*work_ns > end_ns - start_ns)
        *work_ns = end_ns - start_ns > least_ns ? end_ns - start_ns : least_ns;
    return now_ns;
}

/* The two counters are compared over no less than this. */
#define TICKS_KNOWN_NS UINT64_C(1000000)

uint64_t divvy_compute_ticks_at(uint64_t now_ns, uint64_t until_ns) {
    uint64_t ticks = divvy_compute_ticks(&divvy_compute_port);
    uint64_t passed_ns = now_ns - divvy_compute_gate.ns_from, passed = ticks - divvy_compute_gate.ticks_from;
    uint64_t left_ns = until_ns - now_ns;

    if (until_ns <= now_ns || passed_ns < TICKS_KNOWN_NS || passed > UINT64_MAX / 2)
        return 0;
    left_ns -= left_ns / 16; /* the clock has the last word */
    return ticks + (uint64_t)((unsigned __int128)left_ns * passed / passed_ns);
}

bool divvy_compute_lease_wants_bell(const struct divvy_compute_device *device, const struct divvy_compute_say *say) {
    return say->is_leased && say->lease.mode == DIVVY_CONTROL_LEASED &&
           __atomic_load_n(&device->control->listening, __ATOMIC_SEQ_CST) != 0;
}
