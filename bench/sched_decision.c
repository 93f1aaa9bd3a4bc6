/*
 * What a decision of the scheduler costs: who is next, charged for what was used, and put back in line, with many tenants
 * ready. Virtual time and no daemon: the scheduler's own cost and nothing else.
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>

#include "node/sched.h"

#define MS INT64_C(1000000)

static uint64_t state = 1;

static uint32_t random_below(uint32_t n) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((state >> 33) % n);
}

/* All classes and weights; `capped` of a hundred have a cap, hard or soft, of twice their part of the device. */
static struct divvy_node_sched *make(struct bench *bench, uint32_t count, uint32_t capped) {
    struct divvy_node_sched *sched;

    if (divvy_node_sched_new(count, NULL, &sched) < 0)
        bench_fail(bench, "no memory for %u tenants", count);
    for (uint32_t i = 0; i < count; i++) {
        struct divvy_node_tenant_params params = {.weight = 1 + random_below(1000), .qos = random_below(DIVVY_NODE_QOS_MAX)};

        if (random_below(100) < capped) {
            params.cap_permille = 2000 / count ? 2000 / count : 1;
            params.cap_soft = random_below(2);
        }
        if (divvy_node_sched_add(sched, i, &params, 0) < 0 || divvy_node_sched_wake(sched, i, 0) < 0)
            bench_fail(bench, "tenant %u was refused", i);
    }
    return sched;
}

/* One lease from grant to grant, as the daemon plays it: granted, looked at on the way, charged, ended. */
static int64_t cycle(struct divvy_node_sched *sched, int64_t now_ns) {
    struct divvy_node_lease lease;
    int64_t used_ns;

    (void)divvy_node_sched_pick(sched, now_ns, &lease);
    if (lease.kind == DIVVY_NODE_LEASE_NONE)
        return lease.retry_ns;
    used_ns = lease.length_ns + random_below(MS);
    (void)divvy_node_sched_should_revoke(sched, now_ns + used_ns / 2);
    (void)divvy_node_sched_charge(sched, lease.tenant, used_ns, now_ns + used_ns);
    (void)divvy_node_sched_end(sched, lease.tenant, now_ns + used_ns);
    return now_ns + used_ns;
}

static void measure(struct bench *bench, uint32_t count, uint32_t capped, double at_most_us) {
    enum { SAMPLES = 200, BATCH = 500 };
    struct divvy_node_sched *sched = make(bench, count, capped);
    static double samples[SAMPLES];
    struct bench_stats stats;
    char what[96], target[32] = "";
    size_t sample_count = bench->quick ? SAMPLES / 10 : SAMPLES;
    int64_t now_ns = 0;

    for (uint32_t i = 0; i < 2 * count; i++)
        now_ns = cycle(sched, now_ns);
    for (size_t i = 0; i < sample_count; i++) {
        uint64_t began_ns = bench_now_ns();

        for (int k = 0; k < BATCH; k++)
            now_ns = cycle(sched, now_ns);
        samples[i] = (double)(bench_now_ns() - began_ns) / BATCH / 1000;
    }
    divvy_node_sched_free(sched);
    bench_stats(samples, sample_count, &stats);
    (void)snprintf(what, sizeof what, "%u ready tenants%s", count, capped ? ", half of them capped" : "");
    if (at_most_us > 0)
        (void)snprintf(target, sizeof target, "<= %.0f", at_most_us);
    bench_row(bench, what, stats.median, stats.p05, stats.p95, "us", target,
              at_most_us > 0 ? bench_judge(stats.median, at_most_us) : BENCH_SHOWN);
}

int main(int argc, char **argv) {
    static struct bench bench;

    bench_open(&bench, argc, argv, "sched_decision", BENCH_STUB,
               "One decision of the scheduler: grant, look for a revocation, charge, end. The spread is that of batches of\n"
               "500, 5th to 95th percentile.");
    for (uint32_t capped = 0; capped <= 50; capped += 50) {
        measure(&bench, 10, capped, 0);
        measure(&bench, 1000, capped, 2);
        measure(&bench, 10000, capped, 0);
    }
    return bench_close(&bench);
}
