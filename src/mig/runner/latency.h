/*
 * How long inferences took: the histogram, and the lines by which models tell of themselves.
 *
 * A model that wants to be heard sends datagrams to the unix socket HYPERCORE_LATENCY_SOCKET, of one or more lines each:
 *
 *     latency 0.0123      an inference took so many seconds: digits, a point, an exponent (1.5e-3) as programs print them
 *     error               one failed
 *
 * A line that is neither is counted as refused, and the others of its datagram still count. Pure.
 */
#ifndef DIVVY_MIG_RUNNER_LATENCY_H
#define DIVVY_MIG_RUNNER_LATENCY_H

#include <stddef.h>
#include <stdint.h>

#define DIVVY_RUNNER_BUCKETS         11u /* with a bound; one more has none */
#define DIVVY_RUNNER_DATAGRAM_BYTES  8192u
#define DIVVY_RUNNER_LATENCY_MAX_NS  (UINT64_C(86400) * 366 * 1000000000) /* a year: more is no time that anything took */

/* Upper bounds in ns, ascending: 5 ms to 10 s. */
extern const uint64_t divvy_runner_bucket_ns[DIVVY_RUNNER_BUCKETS];

struct divvy_runner_latency {
    uint64_t buckets[DIVVY_RUNNER_BUCKETS + 1]; /* those within the bound and above the one before; the last: the rest */
    uint64_t count;
    uint64_t sum_ns; /* stays at UINT64_MAX once there */
    uint64_t told, errors, refused; /* lines of datagrams: latencies, errors, others */
};

void divvy_runner_latency_add(struct divvy_runner_latency *latency, uint64_t duration_ns);

/* "0.0123" or "1.2e-05" seconds, the whole range, cut to ns. 0; -EINVAL no such number; -ERANGE above DIVVY_RUNNER_LATENCY_MAX_NS. */
int divvy_runner_seconds_parse(const char *text, size_t length, uint64_t *ret_ns);

/* All lines of one datagram; empty ones are skipped, the last need not have an end. */
void divvy_runner_latency_take(struct divvy_runner_latency *latency, const char *datagram, size_t length);

#endif
