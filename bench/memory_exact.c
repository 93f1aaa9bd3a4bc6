/* How exactly the memory limit holds, for each family of allocation: the largest success and the smallest failure. */
#include "bench.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *const families[] = {
    "cuMemAlloc",      "cuMemAllocPitch",         "cuMemAllocManaged",      "cuMemAllocAsync",
    "cuMemAllocFromPoolAsync", "cuMemCreate",     "cuArrayCreate",          "cuArray3DCreate",
    "cuMipmappedArrayCreate",  "cuGraphAddMemAllocNode",
};

static const struct limit {
    const char *name;
    uint64_t bytes;
} limits[] = {
    {"1 GiB", UINT64_C(1) << 30},
    {"7 GiB + 4097", (UINT64_C(7) << 30) + 4097},
    {"13 GiB", UINT64_C(13) << 30},
};

/* What is left between the largest success and what was shown as free must be less than the granularity, and not
 * negative. */
static void family_measure(struct bench *bench, const char *family, const struct limit *limit) {
    const struct bench_limits limited = {.preload = true, .bytes = limit->bytes};
    double seen[4];
    char expected[32], what[96], target[32];
    const char *const arguments[] = {family, expected, NULL};
    size_t count;
    double left, failure;

    (void)snprintf(expected, sizeof(expected), "%" PRIu64, limit->bytes);
    (void)snprintf(what, sizeof(what), "%s, limit %s", family, limit->name);
    count = bench_numbers(bench, &limited, "bench/subject_exact", arguments, seen, 4);
    if (count == 0) {
        bench_row(bench, what, 0, 0, 0, "B", "", BENCH_SHOWN);
        return;
    }
    if (count != 4)
        bench_fail(bench, "subject_exact said too little about %s", family);
    left = seen[0] - seen[1];
    failure = seen[2] - seen[0];
    (void)snprintf(target, sizeof(target), "< %.0f", seen[3]);
    /* value: bytes free that could not be had; spread: from there to the smallest failure beyond the limit */
    bench_row(bench, what, left, -left, failure, "B", target,
              left >= 0 && left < seen[3] && failure > 0 && seen[0] <= (double)limit->bytes
                  ? BENCH_RIGHT
                  : BENCH_WRONG);
}

int main(int argc, char **argv) {
    static struct bench bench;
    size_t limit_count = sizeof(limits) / sizeof(limits[0]);

    bench_open(&bench, argc, argv, "memory_exact", BENCH_REAL,
               "For each family of allocation, the bytes shown as free that the largest success leaves over; the\n"
               "spread goes from there to the smallest failure. Right when less than the family's granularity.");
    if (bench.gpu == BENCH_STUB) {
        (void)fputs("memory_exact: the stub driver has no memory\n", stderr);
        return 2;
    }
    for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++) {
        for (size_t l = 0; l < (bench.quick ? 1 : limit_count); l++)
            family_measure(&bench, families[f], &limits[l]);
    }
    return bench_close(&bench);
}
