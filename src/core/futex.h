/*
 * Futex: sleeping on a 32-bit word, within a process or in shared memory. Raw system calls, no
 * locks, errno kept.
 */
#ifndef DIVVY_CORE_FUTEX_H
#define DIVVY_CORE_FUTEX_H

#include <stdbool.h>
#include <stdint.h>

#define DIVVY_CORE_FUTEX_FOREVER UINT64_MAX

/*
 * Sleeps while *word == expected, at most timeout_ns (DIVVY_CORE_FUTEX_FOREVER: no limit).
 * `shared`: the word lies in memory that other processes map. 0 when woken (also spuriously);
 * -EAGAIN when *word differed, -ETIMEDOUT, -EINTR. The caller looks at the word again in every
 * case.
 */
int divvy_core_futex_wait(const uint32_t *word, uint32_t expected, uint64_t timeout_ns,
                          bool shared);

/*
 * As above with an absolute deadline on the monotonic clock (divvy_core_clock_ns); a past deadline:
 * -ETIMEDOUT.
 */
int divvy_core_futex_wait_until(const uint32_t *word, uint32_t expected, uint64_t deadline_ns,
                                bool shared);

/* Wakes up to `count` sleepers (INT32_MAX: all). Number woken, or negative errno. */
int divvy_core_futex_wake(const uint32_t *word, int32_t count, bool shared);

#endif
