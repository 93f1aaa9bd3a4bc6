/*
 * Compare-and-swap of 16 bytes, without libatomic. x86-64: cmpxchg16b, which every processor with a
 * driver for a current GPU has. Both halves may be read separately first: a torn read only makes
 * the swap fail.
 */
#ifndef DIVVY_PAGE_WORD_H
#define DIVVY_PAGE_WORD_H

#include "page/page.h"

#include <stdbool.h>

static inline struct divvy_page_word divvy_page_word_load(const struct divvy_page_word *word) {
    return (struct divvy_page_word){.low = __atomic_load_n(&word->low, __ATOMIC_ACQUIRE),
                                    .high = __atomic_load_n(&word->high, __ATOMIC_ACQUIRE)};
}

/* *word == *expected: becomes `wanted`, true. Else *expected becomes what is there (read at once),
 * false. */
static inline bool divvy_page_word_swap(struct divvy_page_word *word,
                                        struct divvy_page_word *expected,
                                        struct divvy_page_word wanted) {
#if defined(__x86_64__)
    bool swapped;

    __asm__ volatile("lock cmpxchg16b %1"
                     : "=@ccz"(swapped), "+m"(*word), "+a"(expected->low), "+d"(expected->high)
                     : "b"(wanted.low), "c"(wanted.high)
                     : "memory");
    return swapped;
#elif defined(__aarch64__)
    uint64_t low, high;
    uint32_t failed;

    for (;;) {
        __asm__ volatile("ldaxp %0, %1, %2" : "=&r"(low), "=&r"(high) : "Q"(*word) : "memory");
        bool equal = low == expected->low && high == expected->high;
        uint64_t new_low = equal ? wanted.low : low;
        uint64_t new_high = equal ? wanted.high : high;
        /* A failed comparison is stored back too: only a completed pair of accesses proves that the
         * read was one. */
        __asm__ volatile("stlxp %w0, %2, %3, %1"
                         : "=&r"(failed), "=Q"(*word)
                         : "r"(new_low), "r"(new_high)
                         : "memory");
        if (failed)
            continue;
        if (!equal) {
            expected->low = low;
            expected->high = high;
        }
        return equal;
    }
#else
#error "no 16-byte compare-and-swap for this processor"
#endif
}

#endif
