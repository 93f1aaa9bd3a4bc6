/*
 * Pacing decisions: when may work start, given what was charged. Pure: time and state are arguments.
 *
 * The account of a tenant on a device is one number, `paid_ns`: the moment (CLOCK_MONOTONIC) at which everything charged so
 * far is paid for at the tenant's share. Charging c nanoseconds of GPU time moves it by c / share; work may start when it
 * does not lie in the future. So overruns are repaid exactly, estimates are corrected by moving it back, a late wake-up
 * loses nothing (the next wait is shorter), and several processes can share it with one compare-and-swap. Idleness is
 * banked up to a limit: paid_ns is never further back than that.
 */
#ifndef DIVVY_LIMITER_COMPUTE_PACER_H
#define DIVVY_LIMITER_COMPUTE_PACER_H

#include <stdbool.h>
#include <stdint.h>

/* Whether a share in parts of 1000 limits anything; 0 means that none was set. */
static inline bool divvy_pacer_limits(uint32_t permille) {
    return permille - 1u < 999u;
}

/* Wall time that pays for gpu_ns at the share. permille 1..1000; gpu_ns may be negative, below 2^53 in size. */
static inline int64_t divvy_pacer_wall_ns(int64_t gpu_ns, uint32_t permille) {
    return gpu_ns * 1000 / (int64_t)permille;
}

/* The account as of now: idle time beyond the bank is forfeited. A new account (0) starts at now. */
static inline uint64_t divvy_pacer_settle(uint64_t paid_ns, uint64_t now_ns, uint32_t permille,
                                          uint64_t bank_ns) {
    uint64_t bank_wall_ns = (uint64_t)divvy_pacer_wall_ns((int64_t)bank_ns, permille);

    if (paid_ns == 0)
        return now_ns;
    return paid_ns + bank_wall_ns < now_ns ? now_ns - bank_wall_ns : paid_ns;
}

/* The account after a charge (or a correction, negative). Never 0. */
static inline uint64_t divvy_pacer_charge(uint64_t paid_ns, int64_t gpu_ns, uint32_t permille) {
    int64_t wall_ns = divvy_pacer_wall_ns(gpu_ns, permille);

    if (wall_ns < 0 && (uint64_t)-wall_ns >= paid_ns)
        return 1;
    return paid_ns + (uint64_t)wall_ns;
}

/* The account after the share changed: what is owed (or banked) in GPU time stays. */
static inline uint64_t divvy_pacer_rescale(uint64_t paid_ns, uint64_t now_ns, uint32_t old_permille,
                                           uint32_t new_permille) {
    uint64_t debt_ns = paid_ns > now_ns ? paid_ns - now_ns : now_ns - paid_ns;
    uint64_t scaled_ns =
        (uint64_t)((unsigned __int128)debt_ns * old_permille / new_permille);

    if (paid_ns > now_ns)
        return now_ns + scaled_ns;
    return scaled_ns < now_ns ? now_ns - scaled_ns : 1;
}

/*
 * What was launched and has not completed, as estimates. drain_ns is the moment at which it should all be done.
 * `pending_ns` is the sum of estimates; both are corrected whenever something is known to have completed.
 */
struct divvy_pacer_flight {
    uint64_t pending_ns;
    uint64_t drain_ns;
    uint64_t newest_ns;   /* estimate of what was launched last */
    uint64_t progress_ns; /* when work was last seen to complete, or began after idleness */
    uint64_t patience_ns; /* how long without progress before work is let through anyway */
};

#define DIVVY_PACER_PATIENCE_MIN_NS UINT64_C(10000000)
#define DIVVY_PACER_PATIENCE_MAX_NS UINT64_C(1000000000)
#define DIVVY_PACER_POLL_NS         UINT64_C(100000)

/* Work was launched; it began no earlier than now_ns. */
static inline void divvy_pacer_flight_add(struct divvy_pacer_flight *flight, uint64_t now_ns,
                                          uint64_t work_ns) {
    if (flight->pending_ns == 0)
        flight->progress_ns = now_ns;
    if (flight->drain_ns < now_ns)
        flight->drain_ns = now_ns;
    flight->drain_ns += work_ns;
    flight->pending_ns += work_ns;
    flight->newest_ns = work_ns;
}

/*
 * Whether more is pending than estimates say: all but the newest should be done when little remains. Where several processes share
 * the device each of them gets on more slowly than it thinks, and would pile up work.
 */
static inline bool divvy_pacer_flight_is_behind(const struct divvy_pacer_flight *flight, uint64_t room_ns) {
    return flight->pending_ns > flight->newest_ns + room_ns;
}

/* Work with estimate work_ns is known to be complete. */
static inline void divvy_pacer_flight_done(struct divvy_pacer_flight *flight, uint64_t now_ns,
                                           uint64_t work_ns) {
    flight->pending_ns = flight->pending_ns > work_ns ? flight->pending_ns - work_ns : 0;
    if (flight->drain_ns > now_ns + flight->pending_ns)
        flight->drain_ns = now_ns + flight->pending_ns;
    flight->progress_ns = now_ns;
    flight->patience_ns = DIVVY_PACER_PATIENCE_MIN_NS;
}

/* What is in flight is known not to be done before last_ns. */
static inline void divvy_pacer_flight_last(struct divvy_pacer_flight *flight, uint64_t last_ns) {
    if (flight->pending_ns && flight->drain_ns < last_ns)
        flight->drain_ns = last_ns;
}

/* How long what is in flight may show no progress before more is let in: it may be waiting for just that. */
static inline bool divvy_pacer_flight_is_stuck(const struct divvy_pacer_flight *flight, uint64_t now_ns) {
    uint64_t patience_ns = flight->patience_ns ? flight->patience_ns : DIVVY_PACER_PATIENCE_MIN_NS;
    uint64_t due_ns =
        flight->drain_ns > flight->progress_ns ? flight->drain_ns : flight->progress_ns;

    return now_ns >= due_ns + patience_ns;
}

/*
 * When the next work (estimate work_ns) may be queued behind what is in flight: a moment not after now_ns means now.
 * Short work fits when the total stays within the budget; long work when what remains is half of it. Work that is overdue,
 * and everything before work of a length not yet known (`unknown`), is polled for; `shared`: also what is behind.
 */
static inline uint64_t divvy_pacer_flight_wait(const struct divvy_pacer_flight *flight, uint64_t now_ns,
                                               uint64_t work_ns, uint64_t budget_ns, bool unknown,
                                               bool shared) {
    uint64_t room_ns = work_ns < budget_ns / 2 ? budget_ns - work_ns : budget_ns / 2;

    if (flight->pending_ns == 0 || (flight->pending_ns <= room_ns && !unknown))
        return now_ns;
    if (flight->drain_ns > now_ns + room_ns)
        return flight->drain_ns - room_ns;
    if (flight->drain_ns > now_ns && !unknown && !(shared && divvy_pacer_flight_is_behind(flight, room_ns)))
        return now_ns; /* in time as far as is known, and little enough remains */
    return divvy_pacer_flight_is_stuck(flight, now_ns) ? now_ns : now_ns + DIVVY_PACER_POLL_NS;
}

/* Something was let through because patience ran out: be more patient next time. */
static inline void divvy_pacer_flight_forced(struct divvy_pacer_flight *flight, uint64_t now_ns) {
    uint64_t patience_ns = flight->patience_ns ? flight->patience_ns : DIVVY_PACER_PATIENCE_MIN_NS;

    flight->progress_ns = now_ns;
    flight->patience_ns = patience_ns >= DIVVY_PACER_PATIENCE_MAX_NS / 2 ? DIVVY_PACER_PATIENCE_MAX_NS
                                                                         : patience_ns * 2;
}

#endif
