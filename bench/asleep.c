/*
 * How long it takes a tenant that was saved because it was idle to come back: the first launch after a pause, against the same
 * launch of a tenant that is not saved. With little memory, and with a gigabyte that has to be copied.
 */
#include "node.h"

#include <stdlib.h>
#include <string.h>

enum { ROUNDS_MAX = 40 };

static const char *const freeze_options[] = {"--freeze-medium", "200ms", NULL};

/* Times that the tenant's memory was brought back. */
static unsigned int returns(const struct node *node) {
    static char answer[1 << 18];
    const char *found;

    if (node_request(node, "GET", "/metrics", NULL, answer, sizeof answer) != 200)
        bench_fail(node->bench, "no metrics");
    found = strstr(answer, "\ndivvy_tenant_restored_total{tenant=\"rests\"} ");
    return found ? (unsigned int)strtoul(strchr(found, '}') + 1, NULL, 10) : 0;
}

static void measure(struct bench *bench, const char *what, const char *bytes, bool sleeps) {
    const struct node_wish wish = {.percent = 0};
    unsigned int rounds = bench->quick ? 3 : 25, came = 0;
    const char *arguments[] = {bytes, bench->quick ? "3" : "25", "900", NULL};
    double took_us[ROUNDS_MAX];
    struct bench_stats stats;
    size_t count = 0;
    char folder[256];
    struct node node;
    FILE *out;
    pid_t pid;

    node_prepare(&node, bench);
    node.options = sleeps ? freeze_options : NULL;
    node_restart(&node);
    bench_sleep_until_ns(bench_now_ns() + UINT64_C(1500000000)); /* the driver is asked whether it can */
    node_tenant(&node, "rests", &wish, folder);
    pid = node_run(&node, folder, "bench/subject_return", arguments, &out);
    while (count < rounds && fscanf(out, "%lf", &took_us[count]) == 1) {
        count++;
        came = returns(&node);
    }
    (void)fclose(out);
    bench_finish(bench, pid, "bench/subject_return");
    node_stop(&node);
    if (count < rounds || (sleeps && came + 1 < rounds))
        bench_fail(bench, "%s: %zu launches, %u returns", what, count, came);
    bench_stats(took_us, count, &stats);
    bench_row(bench, what, stats.median / 1e3, stats.p05 / 1e3, stats.p95 / 1e3, "ms", "", BENCH_SHOWN);
}

int main(int argc, char **argv) {
    static struct bench bench;

    bench_open(&bench, argc, argv, "asleep", BENCH_SIM,
               "First launch of a tenant that divvyd had saved because it was idle, from the call to its return; median, 5th and\n"
               "95th percentile.");
    if (bench.gpu == BENCH_STUB) {
        (void)fputs("asleep: the stub driver has no checkpoints\n", stderr);
        return 2;
    }
    measure(&bench, "launch after 0.9 s of rest, not saved", "1048576", false);
    measure(&bench, "launch that brings 1 MiB back", "1048576", true);
    measure(&bench, "launch that brings 1 GiB back", "1073741824", true);
    return bench_close(&bench);
}
