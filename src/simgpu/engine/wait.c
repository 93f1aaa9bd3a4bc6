/* Waiting for positions without polling: sleep until the earliest moment at which it may be reached, look again. */
#include "simgpu/engine/engine.h"
#include "simgpu/engine/local.h"
#include "simgpu/engine/sched.h"
#include "simgpu/engine/self.h"

#include "core/clock.h"
#include "core/futex.h"
#include "core/spin.h"

#include <errno.h>

enum { CHAIN_MAX = 8 };
#define NEVER UINT64_MAX
/* Sleeping ends this much early and the rest is spun, because a sleeper wakes tens of microseconds late. */
#define SPIN_NS (50 * DIVVY_NS_PER_US)
/* While another context has the device, its turns come at their own time: no use in spinning. */
#define TURN_NS (100 * DIVVY_NS_PER_US)
/* Longest sleeps: when something should wake us (an action that returns), and when a clock does. */
#define WOKEN_NS (20 * DIVVY_NS_PER_MS)
#define CLOCK_NS (100 * DIVVY_NS_PER_MS)

typedef struct look {
    uint64_t now_ns;
    uint64_t until_ns;  /* no use in looking again before */
    bool lost, foreign; /* foreign: another context has the device */
} look_t;

/* Advances the position's device. True if reached. */
static bool look_at(sim_file_t *f, divvy_simgpu_position_t position, uint32_t device,
                    look_t *ret_look) {
    uint32_t slot = sim_position_context(position.channel);
    sim_device_t *d = sim_self_lock_device(device);
    look_t look = {.now_ns = divvy_core_clock_ns()};
    uint64_t lost_ns;
    bool reached;

    sim_sched_advance(f, device, look.now_ns);
    reached = sim_position_reached(f, position.channel, position.seq);
    if (!reached) {
        lost_ns = sim_unit_lost_ns(f, device);
        look.lost = lost_ns && look.now_ns >= lost_ns;
        look.until_ns = sim_sched_estimate(f, device, position.channel, position.seq, look.now_ns);
        look.foreign = d->current != slot && d->current < SIM_CONTEXTS;
        if (lost_ns && lost_ns < look.until_ns)
            look.until_ns = lost_ns;
    }
    sim_lock_give(&d->lock);
    *ret_look = look;
    return reached;
}

static bool position_device(sim_file_t *f, divvy_simgpu_position_t position, uint32_t *ret_device) {
    uint32_t device = sim_load(&f->contexts[sim_position_context(position.channel)].device);

    *ret_device = device;
    return sim_unit_plausible(f, device);
}

static int query_chain(sim_file_t *f, divvy_simgpu_position_t position, int depth) {
    divvy_simgpu_position_t blocker;
    uint32_t device;
    look_t look;

    if (sim_position_reached(f, position.channel, position.seq))
        return 1;
    if (!position_device(f, position, &device))
        return -ENODEV;
    if (look_at(f, position, device, &look))
        return 1;
    if (look.lost)
        return -ENODEV;
    if (depth < CHAIN_MAX && sim_sched_blocker(f, position.channel, &blocker) &&
        query_chain(f, blocker, depth + 1) == 1 && look_at(f, position, device, &look))
        return 1;
    return 0;
}

int sim_query(sim_file_t *f, divvy_simgpu_position_t position) {
    return query_chain(f, position, 0);
}

static void spin_until(const uint32_t *wake, uint32_t seen, uint64_t until_ns) {
    while (divvy_core_clock_ns() < until_ns && sim_load(wake) == seen) {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }
}

static void rest(sim_context_t *c, uint32_t seen, const look_t *look, uint64_t deadline_ns) {
    uint64_t until_ns = look->until_ns, spin_ns = SPIN_NS, cap_ns = look->now_ns + CLOCK_NS;

    if (until_ns == NEVER || until_ns <= look->now_ns) {
        until_ns = look->now_ns + WOKEN_NS;
        spin_ns = 0;
    } else if (look->foreign) {
        if (until_ns < look->now_ns + TURN_NS)
            until_ns = look->now_ns + TURN_NS;
        spin_ns = 0;
    }
    if (until_ns > cap_ns)
        until_ns = cap_ns;
    if (until_ns > deadline_ns)
        until_ns = deadline_ns;
    if (until_ns <= look->now_ns + spin_ns) {
        spin_until(&c->wake, seen, until_ns);
        return;
    }
    __atomic_add_fetch(&c->waiters, 1, __ATOMIC_SEQ_CST);
    (void)divvy_core_futex_wait_until(&c->wake, seen, until_ns - spin_ns, true);
    __atomic_sub_fetch(&c->waiters, 1, __ATOMIC_SEQ_CST);
}

/* Work that the host does for the device often is back at once: looks for a moment first, as CUDA's own waits do. */
static void rest_for_host(sim_context_t *c, uint32_t seen, const look_t *look, uint64_t deadline_ns) {
    static _Thread_local struct divvy_core_spin spin = {.window_ns = DIVVY_CORE_SPIN_WINDOW_NS};

    divvy_core_spin_begin(&spin);
    while (sim_load(&c->wake) == seen && divvy_core_spin_goes_on(&spin))
        ;
    if (sim_load(&c->wake) == seen)
        rest(c, seen, look, deadline_ns);
    divvy_core_spin_end(&spin);
}

static int wait_chain(sim_file_t *f, divvy_simgpu_position_t position, uint64_t deadline_ns,
                      const uint32_t *stop, int depth) {
    sim_context_t *c = &f->contexts[sim_position_context(position.channel)];
    divvy_simgpu_position_t blocker;
    uint32_t device;
    look_t look;
    int r = 0;

    while (!r && !sim_position_reached(f, position.channel, position.seq)) {
        uint32_t seen = sim_load(&c->wake);

        if (stop && sim_load(stop))
            return -ECANCELED;
        if (!position_device(f, position, &device))
            return -ENODEV;
        if (look_at(f, position, device, &look))
            return 0;
        if (look.lost)
            return -ENODEV;
        if (look.now_ns >= deadline_ns)
            return -ETIMEDOUT;
        if (depth < CHAIN_MAX && sim_sched_blocker(f, position.channel, &blocker)) {
            /* Only if the head is still before the position, looked at again now, must what it waits for come first.
             * A head beyond it may wait for something that the caller has yet to do. */
            if (sim_position_reached(f, position.channel, position.seq))
                return 0;
            if (!sim_position_reached(f, blocker.channel, blocker.seq)) {
                r = wait_chain(f, blocker, deadline_ns, stop, depth + 1);
                continue;
            }
        }
        if (look.until_ns == NEVER && !look.foreign)
            rest_for_host(c, seen, &look, deadline_ns);
        else
            rest(c, seen, &look, deadline_ns);
    }
    return r;
}

int sim_wait(sim_file_t *f, divvy_simgpu_position_t position, uint64_t deadline_ns,
             const uint32_t *stop) {
    return wait_chain(f, position, deadline_ns, stop, 0);
}

int divvy_simgpu_query(divvy_simgpu_position_t position) {
    sim_file_t *f = sim_self_file();

    return f ? sim_query(f, position) : -ENOTCONN;
}

int divvy_simgpu_wait(divvy_simgpu_position_t position) {
    return divvy_simgpu_wait_until(position, NEVER);
}

int divvy_simgpu_wait_until(divvy_simgpu_position_t position, uint64_t deadline_ns) {
    sim_file_t *f = sim_self_file();

    return f ? sim_wait(f, position, deadline_ns, NULL) : -ENOTCONN;
}
