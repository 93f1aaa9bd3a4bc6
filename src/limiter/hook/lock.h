/*
 * A mutex between the threads of one process: a futex word, nothing from libpthread. Not recursive.
 * After fork the child resets it (divvy_lock_reset): the holder may have been a thread that the
 * child does not have.
 */
#ifndef DIVVY_LIMITER_HOOK_LOCK_H
#define DIVVY_LIMITER_HOOK_LOCK_H

#include "core/futex.h"

#include <stdint.h>

typedef struct {
    uint32_t word; /* 0 free, 1 held, 2 held and somebody sleeps */
} divvy_lock_t;

static inline void divvy_lock_take(divvy_lock_t *lock) {
    uint32_t free_word = 0;

    if (__builtin_expect(__atomic_compare_exchange_n(&lock->word, &free_word, 1, 0,
                                                     __ATOMIC_ACQUIRE, __ATOMIC_RELAXED),
                         1))
        return;
    while (__atomic_exchange_n(&lock->word, 2, __ATOMIC_ACQUIRE) != 0)
        (void)divvy_core_futex_wait(&lock->word, 2, DIVVY_CORE_FUTEX_FOREVER, false);
}

static inline void divvy_lock_give(divvy_lock_t *lock) {
    if (__atomic_exchange_n(&lock->word, 0, __ATOMIC_RELEASE) == 2)
        (void)divvy_core_futex_wake(&lock->word, 1, false);
}

static inline void divvy_lock_reset(divvy_lock_t *lock) {
    __atomic_store_n(&lock->word, 0, __ATOMIC_RELAXED);
}

#endif
