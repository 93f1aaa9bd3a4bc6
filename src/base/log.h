/*
 * Messages of programs: one line each, to standard error or to a file, as text, as JSON, or with the "<N>" prefixes of the
 * journal. Injected code has a log of its own, core/log.h, whose levels these are.
 *
 * Each place in the code that logs has a budget of DIVVY_LOG_BURST messages in DIVVY_LOG_WINDOW_NS; what is beyond is
 * counted, and the count is told with its next message or by divvy_log_tick. Where standard error cannot take a line at once
 * (a pipe whose reader sleeps) the line is dropped and counted as well: a log never holds up the program.
 *
 * Thread-safe. errno is kept. Until divvy_log_open everything from `info` up is written to standard error as text.
 */
#ifndef DIVVY_BASE_LOG_H
#define DIVVY_BASE_LOG_H

#include "base/error.h"
#include "core/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIVVY_LOG_BURST      10u
#define DIVVY_LOG_WINDOW_NS  UINT64_C(10000000000)
#define DIVVY_LOG_LINE_BYTES 2048u /* longer lines are cut */

enum divvy_log_format {
    DIVVY_LOG_FORMAT_AUTO, /* journal where standard error is the journal, else text */
    DIVVY_LOG_FORMAT_TEXT, /* 2026-11-28T10:15:14.123Z warn divvyd[PID]: message name=value */
    DIVVY_LOG_FORMAT_JSON, /* {"time":…,"level":…,"program":…,"pid":…,"message":…,"name":"value"} */
    DIVVY_LOG_FORMAT_JOURNAL, /* <4>message name=value */
    DIVVY_LOG_FORMAT_MAX
};

struct divvy_log_settings {
    divvy_log_level_t level;
    enum divvy_log_format format;
    const char *program; /* borrowed for good: a literal */
    const char *path;    /* NULL or empty: standard error. Made with mode 0600, appended to */
    uint64_t file_bytes; /* a file that is this long is renamed to PATH.1 and begun anew; 0: never */
};

/* A message's further facts, for machines. Borrowed during the call; NULL values are left out. */
struct divvy_log_field {
    const char *name; /* letters and '_' */
    const char *value;
};

/* What is remembered for a place in the code that logs; zero at the start. */
struct divvy_log_site {
    uint64_t window_ns; /* when the running window began */
    uint32_t count;     /* messages in it */
    uint32_t dropped;
    bool known;         /* is in the list */
    struct divvy_log_site *next;
};

/*
 * Takes these settings from here on, also a second time (SIGHUP): a file is opened anew, so that it may have been moved away.
 * On failure, a negative errno, the old ones stay.
 */
int divvy_log_open(const struct divvy_log_settings *settings, struct divvy_error *error);

/* Tells what was dropped; closes a file; standard error and text again. */
void divvy_log_close(void);

/* To be called now and then: tells what was dropped in windows that are over. */
void divvy_log_tick(void);

bool divvy_log_enabled(divvy_log_level_t level);

/* "text", "json", "journal", "auto" in any case; or -EINVAL. */
int divvy_log_format_parse(const char *text, enum divvy_log_format *ret_format);

/* What the macros call. `site` lives as long as the program. */
void divvy_log_write(struct divvy_log_site *site, divvy_log_level_t level, const struct divvy_log_field *fields,
                     size_t field_count, const char *format, ...) __attribute__((format(printf, 5, 6)));

/*
 * The line (without its end) of a message as it would be written: for tests. Its length; what does not fit is cut, and JSON
 * stays well formed.
 */
size_t divvy_log_line_format(enum divvy_log_format format, const char *program, divvy_log_level_t level,
                             int64_t realtime_ns, const char *message, const struct divvy_log_field *fields,
                             size_t field_count, char *ret_line, size_t size_bytes);

/* The arguments are evaluated only when the level is enabled. */
#define divvy_log_at(level, fields, field_count, ...)                                              \
    do {                                                                                           \
        static struct divvy_log_site divvy_log_site_;                                              \
        if (divvy_log_enabled(level))                                                              \
            divvy_log_write(&divvy_log_site_, (level), (fields), (field_count), __VA_ARGS__);      \
    } while (0)

#define divvy_log_error(...) divvy_log_at(DIVVY_LOG_ERROR, NULL, 0, __VA_ARGS__)
#define divvy_log_warn(...)  divvy_log_at(DIVVY_LOG_WARN, NULL, 0, __VA_ARGS__)
#define divvy_log_info(...)  divvy_log_at(DIVVY_LOG_INFO, NULL, 0, __VA_ARGS__)
#define divvy_log_debug(...) divvy_log_at(DIVVY_LOG_DEBUG, NULL, 0, __VA_ARGS__)

/* The same about a tenant: divvy_log_tenant(DIVVY_LOG_INFO, id, "…"). */
#define divvy_log_tenant(level, id, ...)                                                           \
    do {                                                                                           \
        const struct divvy_log_field divvy_log_field_ = {"tenant", (id)};                          \
        divvy_log_at((level), &divvy_log_field_, 1, __VA_ARGS__);                                  \
    } while (0)

#endif
