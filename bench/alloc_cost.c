/* What the limiter adds to an allocation and a free, with many blocks alive, in three orders of freeing. */
#include "bench.h"

#include <stdlib.h>

enum { REPEATS_MAX = 64, ROUNDS_MAX = 64 };

static const uint64_t limit_bytes = UINT64_C(32) << 30;

static double run_once(const struct bench *bench, bool limited, const char *order) {
    static double rounds[ROUNDS_MAX];
    const struct bench_limits limits = {.preload = limited, .bytes = limited ? limit_bytes : 0};
    char expected[32];
    const char *const arguments[] = {order, bench->quick ? "20000" : "100000", bench->quick ? "3" : "10",
                                     expected, NULL};
    struct bench_stats stats;
    size_t count;

    (void)snprintf(expected, sizeof(expected), "%llu", (unsigned long long)limits.bytes);
    count = bench_numbers(bench, &limits, "bench/subject_alloc", arguments, rounds, ROUNDS_MAX);
    if (count == 0)
        bench_fail(bench, "subject_alloc measured nothing");
    bench_stats(rounds, count, &stats);
    return stats.median;
}

int main(int argc, char **argv) {
    static const char *const orders[] = {"fifo", "lifo", "random"};
    static double plain[REPEATS_MAX], added[REPEATS_MAX];
    static struct bench bench;
    struct bench_stats stats;
    unsigned int repeats;
    char what[96];

    bench_open(&bench, argc, argv, "alloc_cost", BENCH_STUB,
               "Nanoseconds of one cuMemFree and one cuMemAlloc with 100,000 blocks alive, and what the limiter\n"
               "adds (ns+), by the order in which blocks are freed. Median over processes that run in turns.");
    repeats = bench.quick ? 2 : 11;
    for (size_t o = 0; o < sizeof(orders) / sizeof(orders[0]); o++) {
        for (unsigned int r = 0; r < repeats; r++) {
            plain[r] = run_once(&bench, false, orders[o]);
            added[r] = run_once(&bench, true, orders[o]) - plain[r];
        }
        bench_stats(plain, repeats, &stats);
        (void)snprintf(what, sizeof(what), "alloc + free without limiter, %s", orders[o]);
        bench_row(&bench, what, stats.median, stats.min, stats.max, "ns", "", BENCH_SHOWN);
        bench_stats(added, repeats, &stats);
        (void)snprintf(what, sizeof(what), "alloc + free, memory limit, %s", orders[o]);
        bench_row(&bench, what, stats.median, stats.min, stats.max, "ns+", "<= 300",
                  bench_judge(stats.median, 300));
    }
    return bench_close(&bench);
}
