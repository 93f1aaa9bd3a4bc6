/* What the limiter adds to one cuLaunchKernel: without a limit, with a memory limit, with a compute limit whose gate is
 * open; for each way in which programs come by the function. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

enum { KINDS = 4, ROUTES = 3, REPEATS_MAX = 64, BATCHES_MAX = 400 };

static const char *const routes[ROUTES] = {"linked", "dlsym", "address"};
static const uint64_t limit_bytes = UINT64_C(32) << 30;

static const struct kind {
    const char *name;
    struct bench_limits limits;
    const char *target;
    double at_most;
} kinds[KINDS] = {
    {"without limiter", {.preload = false}, "", 0},
    {"limiter, no limit", {.preload = true}, "", 0},
    {"memory limit", {.preload = true, .bytes = UINT64_C(32) << 30}, "<= 8", 8},
    {"compute limit, open", {.preload = true, .bytes = UINT64_C(32) << 30, .percent = 99}, "<= 15", 15},
};

/* The median batch of one process. */
static double run_once(const struct bench *bench, const struct kind *kind, const char *route) {
    static double batches[BATCHES_MAX];
    bool real = bench->gpu != BENCH_STUB;
    char expected[32];
    const char *const arguments[] = {route, bench->quick ? "40" : "200", real ? "256" : "10000",
                                     real ? "1" : "0", expected, NULL};
    struct bench_stats stats;
    size_t count;

    (void)snprintf(expected, sizeof(expected), "%llu",
                   (unsigned long long)(kind->limits.bytes != 0 ? limit_bytes : 0));
    count = bench_numbers(bench, &kind->limits, "bench/subject_launch", arguments, batches, BATCHES_MAX);
    if (count == 0)
        bench_fail(bench, "subject_launch measured nothing");
    bench_stats(batches, count, &stats);
    return stats.median;
}

static void route_measure(struct bench *bench, const char *route, unsigned int repeats) {
    static double cost[KINDS][REPEATS_MAX], added[KINDS][REPEATS_MAX];
    struct bench_stats stats;
    char what[96];

    for (unsigned int r = 0; r < repeats; r++) {
        for (int k = 0; k < KINDS; k++) /* in turns: what disturbs the machine disturbs all */
            cost[k][r] = run_once(bench, &kinds[k], route);
        for (int k = 0; k < KINDS; k++)
            added[k][r] = cost[k][r] - cost[0][r];
    }
    for (int k = 0; k < KINDS; k++) {
        (void)snprintf(what, sizeof(what), "%s, %s", kinds[k].name, route);
        bench_stats(k == 0 ? cost[k] : added[k], repeats, &stats);
        bench_row(bench, what, stats.median, stats.min, stats.max, k == 0 ? "ns" : "ns+", kinds[k].target,
                  kinds[k].at_most > 0 ? bench_judge(stats.median, kinds[k].at_most) : BENCH_SHOWN);
    }
}

int main(int argc, char **argv) {
    static struct bench bench;

    bench_open(&bench, argc, argv, "launch_cost", BENCH_STUB,
               "Nanoseconds per cuLaunchKernel, and what the limiter adds (ns+): the median over processes that\n"
               "run in turns, each the median of its batches; spread is the smallest and the largest process.");
    for (int i = 0; i < ROUTES; i++)
        route_measure(&bench, routes[i], bench.quick ? 2 : 15);
    return bench_close(&bench);
}
