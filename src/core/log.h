/*
 * Messages of injected code: one line to descriptor 2 by a single write(2), from a stack buffer.
 * errno kept, no stdio, no allocation, no lock; usable in hooks, constructors and signal handlers.
 * Never stdout.
 *
 * The level comes from DIVVY_LOG (off, error, warn, info, debug, trace) or, when that is not set,
 * from TF_ENABLE_LOG (1 or true) with TF_LOG_LEVEL (the same words; info when not set). Without
 * them only errors are written. Programs that run with more rights than their user (AT_SECURE) get
 * errors only.
 */
#ifndef DIVVY_CORE_LOG_H
#define DIVVY_CORE_LOG_H

#include "core/clock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    DIVVY_LOG_OFF,
    DIVVY_LOG_ERROR,
    DIVVY_LOG_WARN,
    DIVVY_LOG_INFO,
    DIVVY_LOG_DEBUG,
    DIVVY_LOG_TRACE,
    DIVVY_LOG_MAX,
} divvy_log_level_t;

/*
 * Whether messages of this level are written; reads the environment on the first call of the
 * process.
 */
bool divvy_core_log_enabled(divvy_log_level_t level);

/* Sets the level, whatever the environment says. */
void divvy_core_log_set_level(divvy_log_level_t level);

/* The level of a word ("warn", "WARNING"), or -EINVAL. */
int divvy_core_log_level_parse(const char *text, size_t length, divvy_log_level_t *ret_level);

/*
 * Writes "divvy[PID]: LEVEL: message" if enabled. Conversions as in core/text.h. Line breaks become
 * blanks.
 */
void divvy_core_log_write(divvy_log_level_t level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* True once per interval_ns for each *last_ns (starts at 0), also with many threads. */
bool divvy_core_log_due(uint64_t *last_ns, uint64_t interval_ns);

/* The arguments are evaluated only when the message is written. */
#define divvy_core_log(level, ...)                                                                 \
    do {                                                                                           \
        if (divvy_core_log_enabled(level))                                                         \
            divvy_core_log_write((level), __VA_ARGS__);                                            \
    } while (0)

#define divvy_core_log_error(...) divvy_core_log(DIVVY_LOG_ERROR, __VA_ARGS__)
#define divvy_core_log_warn(...)  divvy_core_log(DIVVY_LOG_WARN, __VA_ARGS__)
#define divvy_core_log_info(...)  divvy_core_log(DIVVY_LOG_INFO, __VA_ARGS__)
#define divvy_core_log_debug(...) divvy_core_log(DIVVY_LOG_DEBUG, __VA_ARGS__)

/*
 * At most once in the life of the process (and of its forked children) for this place in the code.
 */
#define divvy_core_log_once(level, ...)                                                            \
    do {                                                                                           \
        static uint64_t divvy_log_done_;                                                           \
        if (divvy_core_log_enabled(level) &&                                                       \
            __atomic_exchange_n(&divvy_log_done_, 1, __ATOMIC_RELAXED) == 0)                       \
            divvy_core_log_write((level), __VA_ARGS__);                                            \
    } while (0)

/* At most once per interval_ns for this place in the code. */
#define divvy_core_log_limited(level, interval_ns, ...)                                            \
    do {                                                                                           \
        static uint64_t divvy_log_last_ns_;                                                        \
        if (divvy_core_log_enabled(level) &&                                                       \
            divvy_core_log_due(&divvy_log_last_ns_, (interval_ns)))                                \
            divvy_core_log_write((level), __VA_ARGS__);                                            \
    } while (0)

#endif
