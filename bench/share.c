/*
 * The share of GPU time that a capped tenant gets, in windows of one second, for many kinds of work.
 *
 * The work is examples/throughput. On the simulated GPU the truth is the device's own record of busy time, read from
 * outside the tenant; on a real one it is the work completed against the same work without a limit.
 */
#include "bench.h"

#include "simgpu/engine/engine.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOWS_MAX = 64, PERCENTS = 5, WORDS_MAX = 8 };

static const unsigned int percents[PERCENTS] = {10, 30, 50, 70, 90};

static const struct work {
    const char *name;
    const char *words[WORDS_MAX];
} works[] = {
    {"132 blocks of 0.1 ms", {"--kernel-us", "100", "--blocks", "132"}},
    {"132 blocks of 1 ms", {"--kernel-us", "1000", "--blocks", "132"}},
    {"132 blocks of 5 ms", {"--kernel-us", "5000", "--blocks", "132"}},
    {"4,096 blocks of 0.25 ms", {"--kernel-us", "250", "--blocks", "4096"}},
    {"graph of 20 kernels of 0.1 ms", {"--kernel-us", "100", "--blocks", "132", "--graph", "20"}},
    {"cooperative, 1 ms", {"--kernel-us", "1000", "--blocks", "132", "--launch", "cooperative"}},
    {"cuLaunchKernelEx, 1 ms", {"--kernel-us", "1000", "--blocks", "132", "--launch", "ex"}},
    {"four streams at once, 1 ms", {"--kernel-us", "1000", "--blocks", "132", "--streams", "4"}},
};
enum { WORKS = sizeof(works) / sizeof(works[0]) };

/* --- running ---------------------------------------------------------------------------------------- */

static pid_t work_start(const struct bench *bench, const struct work *work,
                        const struct bench_limits *limits, unsigned int seconds, FILE **ret_out) {
    const char *arguments[WORDS_MAX + 4] = {NULL};
    char text[16];
    size_t count = 0;

    while (count < WORDS_MAX && work->words[count] != NULL) {
        arguments[count] = work->words[count];
        count++;
    }
    (void)snprintf(text, sizeof(text), "%u", seconds);
    arguments[count++] = "--seconds";
    arguments[count++] = text;
    arguments[count++] = "--json";
    return bench_start(bench, limits, "examples/throughput", arguments, ret_out);
}

/* The number after "NAME": in a line of JSON; negative when it is not there. */
static double field(const char *line, const char *name) {
    char quoted[64];
    const char *found;

    (void)snprintf(quoted, sizeof(quoted), "\"%s\": ", name);
    found = strstr(line, quoted);
    return found != NULL ? strtod(found + strlen(quoted), NULL) : -1;
}

/* Kernels per second in each interval that the work reports until it ends; the first two warm up. */
static size_t rates_read(FILE *out, double *ret_rates, size_t room) {
    char line[512];
    size_t intervals = 0, count = 0;

    while (fgets(line, sizeof(line), out) != NULL) {
        if (strstr(line, "\"interval\"") == NULL)
            continue;
        if (++intervals > 2 && count < room && field(line, "seconds") > 0)
            ret_rates[count++] = field(line, "kernels") / field(line, "seconds");
    }
    return count;
}

/* --- the truth ---------------------------------------------------------------------------------------- */

static uint64_t process_busy_ns(const struct bench *bench, pid_t pid) {
    divvy_simgpu_process_t processes[16];
    size_t total;

    if (divvy_simgpu_processes(0, processes, 16, &total) != 0)
        bench_fail(bench, "the simulated GPU cannot be read");
    for (size_t i = 0; i < total && i < 16; i++) {
        if (processes[i].pid == pid)
            return processes[i].busy_ns;
    }
    return 0;
}

/* Shares in percent, window by window, as the device recorded them; percent 0: without the limiter. */
static size_t shares_recorded(const struct bench *bench, const struct work *work, unsigned int percent,
                              unsigned int windows, double *ret_shares) {
    const struct bench_limits limits = {.preload = percent > 0, .percent = percent};
    FILE *out;
    pid_t pid = work_start(bench, work, &limits, windows + 4, &out);
    uint64_t edge_ns, last_ns, last_busy_ns, busy_ns, now_ns;
    char line[512];

    if (fgets(line, sizeof(line), out) == NULL)
        bench_fail(bench, "examples/throughput did not start");
    edge_ns = bench_now_ns() + UINT64_C(2000000000);
    bench_sleep_until_ns(edge_ns);
    last_busy_ns = process_busy_ns(bench, pid);
    last_ns = bench_now_ns();
    for (unsigned int i = 0; i < windows; i++) {
        edge_ns += UINT64_C(1000000000);
        bench_sleep_until_ns(edge_ns);
        busy_ns = process_busy_ns(bench, pid);
        now_ns = bench_now_ns();
        ret_shares[i] = 100.0 * (double)(busy_ns - last_busy_ns) / (double)(now_ns - last_ns);
        last_busy_ns = busy_ns;
        last_ns = now_ns;
    }
    (void)kill(pid, SIGTERM); /* it ends in its own time, with 0 */
    while (fgets(line, sizeof(line), out) != NULL)
        ;
    (void)fclose(out);
    bench_finish(bench, pid, "examples/throughput");
    return windows;
}

/* Shares in percent as work completed against `solo`, in kernels per second. */
static size_t shares_completed(const struct bench *bench, const struct work *work, unsigned int percent,
                               unsigned int windows, double solo, double *ret_shares) {
    const struct bench_limits limits = {.preload = true, .percent = percent};
    FILE *out;
    pid_t pid = work_start(bench, work, &limits, windows + 3, &out);
    size_t count = rates_read(out, ret_shares, windows);

    (void)fclose(out);
    bench_finish(bench, pid, "examples/throughput");
    for (size_t i = 0; i < count; i++)
        ret_shares[i] = 100.0 * ret_shares[i] / solo;
    return count;
}

static double solo_rate(const struct bench *bench, const struct work *work) {
    const struct bench_limits none = {.preload = false};
    double rates[WINDOWS_MAX];
    struct bench_stats stats;
    FILE *out;
    pid_t pid = work_start(bench, work, &none, bench->quick ? 4 : 8, &out);
    size_t count = rates_read(out, rates, WINDOWS_MAX);

    (void)fclose(out);
    bench_finish(bench, pid, "examples/throughput");
    if (count == 0)
        bench_fail(bench, "%s reports no work without a limit", work->name);
    bench_stats(rates, count, &stats);
    return stats.median;
}

/* --- summing up ------------------------------------------------------------------------------------------ */

struct errors {
    double sizes[WORKS * PERCENTS * WINDOWS_MAX]; /* |achieved - asked|, points */
    double signed_min, signed_max;
    size_t count;
};

static void errors_add(struct errors *errors, double error) {
    if (errors->count == 0 || error < errors->signed_min)
        errors->signed_min = error;
    if (errors->count == 0 || error > errors->signed_max)
        errors->signed_max = error;
    errors->sizes[errors->count++] = fabs(error);
}

static void errors_show(struct bench *bench, struct errors *errors, const char *what) {
    struct bench_stats stats;
    char text[128];

    if (errors->count == 0)
        bench_fail(bench, "%s: no window was measured", what);
    bench_stats(errors->sizes, errors->count, &stats);
    (void)snprintf(text, sizeof(text), "%s: mean error", what);
    bench_row(bench, text, stats.mean, errors->signed_min, errors->signed_max, "points", "<= 1",
              bench_judge(stats.mean, 1.0));
    (void)snprintf(text, sizeof(text), "%s: p95 error", what);
    bench_detail(bench, text, stats.p95, stats.min, stats.max, "points");
}

/* How much of the simulated GPU the work keeps busy without the limiter: where that is not about 100, the host was too
 * busy to feed it, and large shares cannot be reached either. */
static void solo_measure(struct bench *bench, const struct work *work, struct errors *idle) {
    double shares[WINDOWS_MAX];
    struct bench_stats stats;
    size_t count = shares_recorded(bench, work, 0, bench->quick ? 2 : 5, shares);
    char what[128];

    for (size_t i = 0; i < count; i++)
        errors_add(idle, shares[i] - 100);
    bench_stats(shares, count, &stats);
    (void)snprintf(what, sizeof(what), "%s, no limit", work->name);
    bench_detail(bench, what, stats.mean, stats.min, stats.max, "%");
}

static void work_measure(struct bench *bench, const struct work *work, unsigned int windows,
                         struct errors *all, struct errors *idle) {
    static struct errors own;
    static double shares[WINDOWS_MAX];
    double solo = bench->gpu == BENCH_REAL ? solo_rate(bench, work) : 0;
    struct bench_stats stats;
    char what[128];

    own.count = 0;
    if (bench->gpu == BENCH_SIM)
        solo_measure(bench, work, idle);
    for (int p = 0; p < PERCENTS; p++) {
        size_t count;

        if (bench->quick && percents[p] != 30)
            continue;
        if (bench->gpu == BENCH_REAL)
            count = shares_completed(bench, work, percents[p], windows, solo, shares);
        else
            count = shares_recorded(bench, work, percents[p], windows, shares);
        for (size_t i = 0; i < count; i++) {
            errors_add(&own, shares[i] - percents[p]);
            errors_add(all, shares[i] - percents[p]);
        }
        if (count == 0)
            bench_fail(bench, "%s at %u %%: no window was measured", work->name, percents[p]);
        bench_stats(shares, count, &stats);
        (void)snprintf(what, sizeof(what), "%s, asked %u %%", work->name, percents[p]);
        bench_detail(bench, what, stats.mean, stats.min, stats.max, "%");
    }
    errors_show(bench, &own, work->name);
}

int main(int argc, char **argv) {
    static struct bench bench;
    static struct errors all, idle;
    struct bench_stats stats;
    char error[DIVVY_SIMGPU_ERROR_MAX];

    bench_open(&bench, argc, argv, "share", BENCH_REAL,
               "What one tenant, capped at 10 to 90 percent, gets of the GPU's time in windows of one second:\n"
               "mean size of the error in points; the spread is the largest error downwards and upwards.");
    if (bench.gpu == BENCH_STUB) {
        (void)fputs("share: the stub driver does no work\n", stderr);
        return 2;
    }
    if (bench.gpu == BENCH_SIM && divvy_simgpu_attach(DIVVY_SIMGPU_OBSERVER, error) != 0)
        bench_fail(&bench, "%s", error);
    for (size_t w = 0; w < WORKS; w++) {
        if (!bench.quick || w == 1 || w == 4)
            work_measure(&bench, &works[w], bench.quick ? 3 : 20, &all, &idle);
    }
    errors_show(&bench, &all, "all kinds of work");
    if (idle.count > 0) {
        bench_stats(idle.sizes, idle.count, &stats);
        bench_row(&bench, "the same without a limit: GPU left idle", stats.mean, stats.min, stats.max,
                  "points", "", BENCH_SHOWN);
    }
    if (bench.gpu == BENCH_SIM)
        divvy_simgpu_detach();
    return bench_close(&bench);
}
