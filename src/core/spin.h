/*
 * Waiting for what mostly comes at once: a few microseconds of looking save the tens that it takes to wake up a thread whose processor has
 * gone to sleep. Others that could use the processor have it meanwhile. Who waits in vain a few times sleeps at once, until something comes
 * quickly again.
 *
 *     divvy_core_spin_begin(&spin);
 *     while (!(come = look()) && divvy_core_spin_goes_on(&spin))
 *         ;
 *     if (!come)
 *         come = sleep_until_it_comes();
 *     divvy_core_spin_end(&spin);
 *
 * One thread.
 */
#ifndef DIVVY_CORE_SPIN_H
#define DIVVY_CORE_SPIN_H

#include "core/clock.h"

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#define DIVVY_CORE_SPIN_WINDOW_NS (50 * DIVVY_NS_PER_US) /* what it is worth: about what waking up takes */
#define DIVVY_CORE_SPIN_VAIN      4u                     /* so often in vain, in a row */

struct divvy_core_spin {
    uint64_t window_ns; /* at most so long; 0: never */
    uint64_t began_ns;
    uint32_t vain;
};

static inline void divvy_core_spin_begin(struct divvy_core_spin *spin) {
    spin->began_ns = spin->window_ns ? divvy_core_clock_ns() : 0;
}

static inline bool divvy_core_spin_goes_on(const struct divvy_core_spin *spin) {
    if (spin->vain >= DIVVY_CORE_SPIN_VAIN || divvy_core_clock_ns() - spin->began_ns >= spin->window_ns)
        return false;
    (void)sched_yield();
    return true;
}

static inline void divvy_core_spin_end(struct divvy_core_spin *spin) {
    if (spin->window_ns == 0)
        return;
    if (divvy_core_clock_ns() - spin->began_ns <= 2 * spin->window_ns) /* waking up included */
        spin->vain = 0;
    else if (spin->vain < DIVVY_CORE_SPIN_VAIN)
        spin->vain++;
}

#endif
