/* What the limiter adds to the start of a program: one that has nothing to do with CUDA, one that has, and 64 at once. */
#include "bench.h"

#include <stdlib.h>
#include <unistd.h>

enum { REPEATS_MAX = 400, CROWD = 64 };

static const struct bench_limits plain = {.preload = false};
static const struct bench_limits limited = {.preload = true, .percent = 50, .bytes = UINT64_C(1) << 30};

static const char *const no_arguments[] = {NULL};
static const char *const any_size[] = {"0", NULL};
static const char *const one_gib[] = {"1073741824", NULL};
static const char *const any_size_crowd[] = {"0", "64", NULL};
static const char *const one_gib_crowd[] = {"1073741824", "64", NULL};

/* Milliseconds from the start of a program to its end. */
static double run_ms(const struct bench *bench, const struct bench_limits *limits, const char *program,
                     const char *const arguments[]) {
    uint64_t start_ns = bench_now_ns();

    bench_finish(bench, bench_start(bench, limits, program, arguments, NULL), program);
    return (double)(bench_now_ns() - start_ns) / 1e6;
}

struct pair {
    struct bench_stats plain, limited, added;
};

static void pair_measure(const struct bench *bench, const char *program, const char *const alone[],
                         const char *const under_limit[], int repeats, struct pair *ret_pair) {
    static double without[REPEATS_MAX], with[REPEATS_MAX], added[REPEATS_MAX];

    (void)run_ms(bench, &plain, program, alone); /* caches */
    (void)run_ms(bench, &limited, program, under_limit);
    for (int i = 0; i < repeats; i++) {
        without[i] = run_ms(bench, &plain, program, alone);
        with[i] = run_ms(bench, &limited, program, under_limit);
        added[i] = with[i] - without[i];
    }
    bench_stats(added, (size_t)repeats, &ret_pair->added);
    bench_stats(without, (size_t)repeats, &ret_pair->plain);
    bench_stats(with, (size_t)repeats, &ret_pair->limited);
}

static void show(struct bench *bench, const char *what, const struct bench_stats *stats,
                 const char *unit, const char *target, enum bench_verdict verdict) {
    bench_row(bench, what, stats->median, stats->p05, stats->p95, unit, target, verdict);
}

int main(int argc, char **argv) {
    static struct bench bench;
    struct pair idle, one, crowd;

    bench_open(&bench, argc, argv, "startup", BENCH_REAL,
               "Milliseconds that the limiter adds to /bin/true and to a CUDA program, and 64 limited CUDA programs\n"
               "started at once against the same without the limiter. Medians of runs in turns, 5 % to 95 %.");
    pair_measure(&bench, "/bin/true", no_arguments, no_arguments, bench.quick ? 30 : 400, &idle);
    show(&bench, "/bin/true without limiter", &idle.plain, "ms", "", BENCH_SHOWN);
    show(&bench, "/bin/true, limiter preloaded", &idle.added, "ms+", "<= 0.5",
         bench_judge(idle.added.median, 0.5));
    pair_measure(&bench, "bench/subject_start", any_size, one_gib, bench.quick ? 3 : 30, &one);
    show(&bench, "one CUDA program without limiter", &one.plain, "ms", "", BENCH_SHOWN);
    show(&bench, "one CUDA program, limited", &one.added, "ms+", "", BENCH_SHOWN);
    pair_measure(&bench, "bench/subject_start", any_size_crowd, one_gib_crowd, bench.quick ? 1 : 7, &crowd);
    show(&bench, "64 at once without limiter", &crowd.plain, "ms", "", BENCH_SHOWN);
    show(&bench, "64 at once, limited", &crowd.limited, "ms", "", BENCH_SHOWN);
    /* Serialised starts would cost each of the crowd at least what one costs alone; parallel ones share it out. */
    bench_row(&bench, "64 at once, limited, per process", crowd.added.median / CROWD,
              crowd.added.p05 / CROWD, crowd.added.p95 / CROWD, "ms+", "<= alone",
              bench_judge(crowd.added.median / CROWD, one.added.median));
    return bench_close(&bench);
}
