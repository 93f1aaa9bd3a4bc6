/*
 * What a lock file says: one line "pid=PID ts=TIME" with the time as RFC 3339 has it. Pure.
 */
#ifndef DIVVY_MIG_LINE_H
#define DIVVY_MIG_LINE_H

#include <stddef.h>
#include <stdint.h>

#define DIVVY_MIG_LINE_BYTES 64 /* of a line that we write, its end and NUL included */

struct divvy_mig_line {
    int32_t pid; /* above 0 */
    int64_t realtime_s;
};

/* Writes the line with its end; the length. The time is written in UTC, to the second. */
size_t divvy_mig_line_format(const struct divvy_mig_line *line, char ret_text[DIVVY_MIG_LINE_BYTES]);

/*
 * Reads one line of any writer: any RFC 3339 time, its fraction dropped, and the end of the line may be missing. -EINVAL:
 * anything else, before, behind or between. `text` need not end in NUL.
 */
int divvy_mig_line_parse(const char *text, size_t length, struct divvy_mig_line *ret_line);

#endif
