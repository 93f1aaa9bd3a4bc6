/*
 * What this process tells the daemon about its use of the devices while leases come over the channel: what it would have found
 * in the usage page. A report costs a request, so there is one only when it changes what the daemon would do: somebody has come
 * to the shut gate, a lease is over, the device has run out of work, and else now and then while something is used.
 *
 * For the channel's thread only.
 */
#ifndef DIVVY_LIMITER_CHANNEL_REPORT_H
#define DIVVY_LIMITER_CHANNEL_REPORT_H

#include "core/text.h"

#include <stdbool.h>
#include <stdint.h>

/* Room for the largest report. */
#define DIVVY_CHANNEL_REPORT_BYTES 6144

/*
 * The report that is due at now_ns (CLOCK_MONOTONIC), as JSON in `body`: true. In any case *ret_next_ns is the time from now at
 * which to ask again, if nothing wakes the thread before.
 */
bool divvy_channel_report_make(const char *client_id, uint64_t now_ns, divvy_core_text_t *body, uint64_t *ret_next_ns);

/* The daemon knows nothing of what was told: another stream, or a forked child. */
void divvy_channel_report_reset(void);

#endif
