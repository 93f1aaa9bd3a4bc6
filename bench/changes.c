/*
 * How fast shares follow what happens: a tenant idles and comes back, a limit is changed, the daemon is killed and comes back.
 * Judged by the simulated device's record, looked at every millisecond.
 */
#include "node.h"

#include "simgpu/engine/engine.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define MS        UINT64_C(1000000)
#define TRACE_MAX 40000u
#define TURNS_MAX 64u

struct point {
    uint64_t ns, first_ns, second_ns; /* busy time of two processes so far */
};

static struct point trace[TRACE_MAX];
static size_t trace_count;

static void busy_two(const struct bench *bench, pid_t first, pid_t second, struct point *ret) {
    static divvy_simgpu_process_t processes[64];
    size_t total;

    if (divvy_simgpu_processes(0, processes, 64, &total) != 0)
        bench_fail(bench, "the simulated GPU cannot be read");
    ret->ns = bench_now_ns();
    ret->first_ns = ret->second_ns = 0;
    for (size_t i = 0; i < total && i < 64; i++) {
        if (processes[i].pid == first)
            ret->first_ns = processes[i].busy_ns;
        if (processes[i].pid == second)
            ret->second_ns = processes[i].busy_ns;
    }
}

static void trace_take(const struct bench *bench, pid_t first, pid_t second, uint64_t length_ns) {
    uint64_t end_ns = bench_now_ns() + length_ns;

    for (trace_count = 0; trace_count < TRACE_MAX && bench_now_ns() < end_ns; trace_count++) {
        busy_two(bench, first, second, &trace[trace_count]);
        bench_sleep_until_ns(bench_now_ns() + MS);
    }
}

static size_t trace_at(uint64_t ns) {
    size_t i = 0;

    while (i + 1 < trace_count && trace[i].ns < ns)
        i++;
    return i;
}

static pid_t greedy_start(const struct node *node, const char *id, const struct node_wish *wish,
                          FILE **ret_out) {
    const char *arguments[] = {"--kernel-us", "1000", "--seconds", "600", "--json", NULL};
    char folder[256];

    node_tenant(node, id, wish, folder);
    return node_run(node, folder, "examples/throughput", arguments, ret_out);
}

static void greedy_end(const struct node *node, pid_t pid, FILE *out) {
    char line[512];

    (void)kill(pid, SIGTERM);
    while (fgets(line, sizeof line, out) != NULL)
        ;
    (void)fclose(out);
    bench_finish(node->bench, pid, "examples/throughput");
}

/* --- a tenant that idles ---------------------------------------------------------------------------------------------- */

/* From `ns` on, when the second process first had nine tenths of the device for 5 ms. */
static double taken_after_ms(uint64_t ns) {
    for (size_t i = trace_at(ns); i < trace_count; i++) {
        size_t k = trace_at(trace[i].ns + 5 * MS);

        if ((trace[k].second_ns - trace[i].second_ns) * 10 >= (trace[k].ns - trace[i].ns) * 9 &&
            k > i)
            return (double)(trace[i].ns - ns) / 1e6;
    }
    return 1000;
}

/* When the first process first had its half (nine tenths of it) of the time since `ns`. */
static double back_after_ms(uint64_t ns) {
    size_t from = trace_at(ns);

    for (size_t i = from; i < trace_count; i++)
        if (trace[i].ns > ns + 2 * MS &&
            (double)(trace[i].first_ns - trace[from].first_ns) >= 0.45 * (double)(trace[i].ns - ns))
            return (double)(trace[i].ns - ns) / 1e6;
    return 1000;
}

static void idle_measure(struct bench *bench) {
    const struct node_wish half = {.weight = 1};
    const char *arguments[] = {"200", "200", bench->quick ? "4" : "22", NULL};
    double taken[TURNS_MAX], back[TURNS_MAX];
    size_t taken_count = 0, back_count = 0;
    struct bench_stats stats;
    struct node node;
    char folder[256], word[16];
    unsigned long long ns;
    FILE *out, *greedy_out;
    pid_t bursts, greedy;

    node_start(&node, bench);
    greedy = greedy_start(&node, "greedy", &half, &greedy_out);
    bench_sleep_until_ns(bench_now_ns() + 1000 * MS);
    node_tenant(&node, "bursts", &half, folder);
    bursts = node_run(&node, folder, "bench/subject_bursts", arguments, &out);
    trace_take(bench, bursts, greedy, bench->quick ? 1800 * MS : 9000 * MS);
    while (fscanf(out, "%15s %llu", word, &ns) == 2) {
        if (ns < trace[0].ns + 600 * MS || ns + 150 * MS > trace[trace_count - 1].ns)
            continue; /* before all is warm, or not to be seen whole */
        if (strcmp(word, "rest") == 0 && taken_count < TURNS_MAX)
            taken[taken_count++] = taken_after_ms(ns);
        else if (back_count < TURNS_MAX)
            back[back_count++] = back_after_ms(ns);
    }
    (void)fclose(out);
    bench_finish(bench, bursts, "subject_bursts");
    greedy_end(&node, greedy, greedy_out);
    node_stop(&node);
    if (!taken_count || !back_count)
        bench_fail(bench, "no turn was seen whole");
    bench_stats(taken, taken_count, &stats);
    bench_row(bench, "one tenant idles: the other has its share after", stats.p95, stats.min,
              stats.max, "ms", "<= 20", bench_judge(stats.p95, 20));
    bench_stats(back, back_count, &stats);
    bench_row(bench, "it comes back: it has its share again after", stats.p95, stats.min, stats.max,
              "ms", "<= 20", bench_judge(stats.p95, 20));
}

/* --- a limit that changes ---------------------------------------------------------------------------------------------- */

static void limit_measure(struct bench *bench) {
    const struct node_wish before = {.percent = 20}, after = {.percent = 60},
                           other = {.percent = 40};
    struct node node;
    FILE *out, *other_out;
    pid_t changed, beside;
    uint64_t set_ns;
    double times[8];
    struct bench_stats stats;
    size_t repeats = bench->quick ? 1 : 5;

    node_start(&node, bench);
    changed = greedy_start(&node, "changed", &before, &out);
    beside = greedy_start(&node, "beside", &other, &other_out);
    for (size_t r = 0; r < repeats; r++) {
        node_tenant_set(&node, "changed", &before);
        bench_sleep_until_ns(bench_now_ns() + 2000 * MS);
        node_tenant_set(&node, "changed", &after);
        set_ns = bench_now_ns();
        trace_take(bench, changed, beside, 1500 * MS);
        times[r] = 1000;
        for (size_t i = 0; i < trace_count && times[r] >= 1000; i++) {
            size_t k = trace_at(trace[i].ns + 100 * MS);
            double share = 100.0 * (double)(trace[k].first_ns - trace[i].first_ns) /
                           (double)(trace[k].ns - trace[i].ns);

            if (share > 55 && share < 65)
                times[r] = (double)(trace[i].ns - set_ns) / 1e6;
        }
    }
    greedy_end(&node, changed, out);
    greedy_end(&node, beside, other_out);
    node_stop(&node);
    bench_stats(times, repeats, &stats);
    bench_row(bench, "limit set from 20 to 60 %: within 5 points after", stats.max, stats.min,
              stats.max, "ms", "<= 500", bench_judge(stats.max, 500));
}

/* --- a daemon that dies ------------------------------------------------------------------------------------------------- */

static bool all_leased(const struct node *node) {
    static char body[1 << 16];
    unsigned int leased = 0;

    if (node_request(node, "GET", "/api/v1/tenants", NULL, body, sizeof body) != 200)
        return false;
    for (const char *at = body; (at = strstr(at, "\"mode\":\"leased\"")) != NULL; at++)
        leased++;
    return leased == 2;
}

static void death_measure(struct bench *bench) {
    const struct node_wish some = {.percent = 30}, more = {.percent = 70};
    struct node node;
    FILE *out, *other_out;
    pid_t first, second;
    double times[8], gaps[8];
    struct bench_stats stats;
    size_t repeats = bench->quick ? 1 : 5;

    node_start(&node, bench);
    first = greedy_start(&node, "first", &some, &out);
    second = greedy_start(&node, "second", &more, &other_out);
    bench_sleep_until_ns(bench_now_ns() + 1500 * MS);
    for (size_t r = 0; r < repeats; r++) {
        uint64_t start_ns;
        struct point from, to;

        node_kill(&node, SIGKILL);
        bench_sleep_until_ns(bench_now_ns() + 1000 * MS);
        busy_two(bench, first, second, &from);
        bench_sleep_until_ns(bench_now_ns() + 1000 * MS);
        busy_two(bench, first, second, &to);
        gaps[r] = 100.0 * (double)(to.first_ns - from.first_ns) / (double)(to.ns - from.ns) - 30;
        gaps[r] = gaps[r] < 0 ? -gaps[r] : gaps[r];
        start_ns = bench_now_ns();
        node_restart(&node);
        while (!all_leased(&node) && bench_now_ns() < start_ns + 5000 * MS)
            bench_sleep_until_ns(bench_now_ns() + 5 * MS);
        times[r] = (double)(bench_now_ns() - start_ns) / 1e6;
        bench_sleep_until_ns(bench_now_ns() + 500 * MS);
    }
    greedy_end(&node, first,
               out); /* a call that failed would have ended it with a status of its own */
    greedy_end(&node, second, other_out);
    node_stop(&node);
    bench_row(bench, "daemon killed under load: calls failed in tenants", 0, 0, 0, "", "0",
              BENCH_RIGHT);
    bench_stats(times, repeats, &stats);
    bench_row(bench, "restarted: tenants have leases again after", stats.max, stats.min, stats.max,
              "ms", "<= 1000", bench_judge(stats.max, 1000));
    bench_stats(gaps, repeats, &stats);
    bench_row(bench, "while it is gone: error of the share of 30 %", stats.mean, stats.min,
              stats.max, "points", "", BENCH_SHOWN);
}

int main(int argc, char **argv) {
    static struct bench bench;
    char error[DIVVY_SIMGPU_ERROR_MAX];

    bench_open(
        &bench, argc, argv, "changes", BENCH_SIM,
        "How fast shares follow: a tenant idles and comes back (95th percentile of the turns), a "
        "limit is set\n"
        "anew (worst of the repeats), the daemon is killed and comes back (worst of the repeats).");
    if (bench.gpu != BENCH_SIM) {
        (void)fputs("changes: works on the simulated GPU only; use --gpu sim\n", stderr);
        return 2;
    }
    if (divvy_simgpu_attach(DIVVY_SIMGPU_OBSERVER, error) != 0)
        bench_fail(&bench, "%s", error);
    idle_measure(&bench);
    limit_measure(&bench);
    death_measure(&bench);
    divvy_simgpu_detach();
    return bench_close(&bench);
}
