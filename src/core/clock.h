/*
 * Time for injected code and programs. Monotonic, in nanoseconds; never fails on Linux.
 * Async-signal-safe, no locks. clock_gettime has been in libc.so.6 since glibc 2.17, the floor of
 * injected libraries.
 */
#ifndef DIVVY_CORE_CLOCK_H
#define DIVVY_CORE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define DIVVY_NS_PER_SECOND UINT64_C(1000000000)
#define DIVVY_NS_PER_MS     UINT64_C(1000000)
#define DIVVY_NS_PER_US     UINT64_C(1000)

/*
 * Nanoseconds of CLOCK_MONOTONIC: comparable between the processes of one machine (and time
 * namespace).
 */
static inline uint64_t divvy_core_clock_ns(void) {
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * DIVVY_NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

/*
 * The same clock at the resolution of the scheduler's tick (1 to 10 ms), a few nanoseconds cheaper
 * than a full read.
 */
static inline uint64_t divvy_core_clock_coarse_ns(void) {
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * DIVVY_NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

/*
 * Raw cycle counter where the processor has one, else nanoseconds. Only differences within one
 * process mean anything.
 */
static inline uint64_t divvy_core_clock_ticks(void) {
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t ticks;

    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#else
    return divvy_core_clock_ns();
#endif
}

static inline struct timespec divvy_core_clock_timespec(uint64_t duration_ns) {
    return (struct timespec){.tv_sec = (time_t)(duration_ns / DIVVY_NS_PER_SECOND),
                             .tv_nsec = (long)(duration_ns % DIVVY_NS_PER_SECOND)};
}

#endif
