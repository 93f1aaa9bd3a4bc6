/*
 * Durations as people write them in HTTP_REQUEST_TIMEOUT: "30s", "1h 30m", "250ms", "1day 2hours". Pure.
 */
#ifndef DIVVY_WIRE_CHANNEL_DURATION_H
#define DIVVY_WIRE_CHANNEL_DURATION_H

#include <stddef.h>
#include <stdint.h>

/*
 * One or more of a whole number with a unit behind it: ns, us, ms, s, m, h, d, w and their longer names (nsec, usec, msec,
 * sec, second, min, minute, hr, hour, day, week, plural as well). Blanks between and around are fine. A sum of 0 is refused:
 * nobody waits no time. 0; -EINVAL malformed; -ERANGE beyond INT64_MAX ns.
 */
int divvy_wire_duration_parse(const char *text, size_t length, int64_t *ret_ns);

#endif
