/*
 * What a node full of tenants costs the daemon: 1,000 registered, 50 of them running. Its processor time, its memory, and how
 * fast tenants are registered.
 */
#include "node.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUNNING_MAX 50u

static uint64_t stat_ticks(const struct bench *bench, pid_t pid) {
    char path[48], text[1024], *at;
    unsigned long long user = 0, system = 0;
    FILE *file;

    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    file = fopen(path, "re");
    if (file == NULL || fgets(text, sizeof text, file) == NULL)
        bench_fail(bench, "%s cannot be read", path);
    (void)fclose(file);
    at = strrchr(text, ')');
    if (at == NULL || sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
                             &user, &system) != 2)
        bench_fail(bench, "%s is not as expected", path);
    return user + system;
}

static double resident_mib(const struct bench *bench, pid_t pid) {
    char path[48];
    unsigned long long pages = 0;
    FILE *file;

    (void)snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    file = fopen(path, "re");
    if (file == NULL || fscanf(file, "%*u %llu", &pages) != 1)
        bench_fail(bench, "%s cannot be read", path);
    (void)fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / (1024 * 1024);
}

/* What was measured of a node. */
struct figures {
    double percent, mib, rate;
};

static struct figures measure(struct node *node, bool pods) {
    static pid_t pids[RUNNING_MAX];
    static FILE *outs[RUNNING_MAX];
    const char *arguments[] = {"--kernel-us", "1000", "--seconds", "600", "--json", NULL};
    const struct bench *bench = node->bench;
    unsigned int registered = bench->quick ? 100 : 1000, running = bench->quick ? 5 : RUNNING_MAX;
    uint64_t begin_ns = bench_now_ns(), ticks,
             window_ns = bench->quick ? UINT64_C(2000000000) : UINT64_C(10000000000);
    char id[64], pod[32], folder[256], line[512];
    struct figures figures;

    for (unsigned int i = 0; i < registered; i++) {
        const struct node_wish wish = {.weight = 1, .pod = pods ? pod : NULL};

        (void)snprintf(pod, sizeof pod, "pod-%u", i);
        (void)snprintf(id, sizeof id, pods ? "bench/pod-%u/main" : "tenant-%u", i);
        node_tenant(node, id, &wish, folder);
        if (i < running)
            pids[i] = node_run(node, folder, "examples/throughput", arguments, &outs[i]);
    }
    figures.rate = registered / ((double)(bench_now_ns() - begin_ns) / 1e9);
    bench_sleep_until_ns(bench_now_ns() + UINT64_C(3000000000));
    ticks = stat_ticks(bench, node->pid);
    begin_ns = bench_now_ns();
    bench_sleep_until_ns(begin_ns + window_ns);
    figures.percent = 100.0 * (double)(stat_ticks(bench, node->pid) - ticks) /
                      (double)sysconf(_SC_CLK_TCK) / ((double)(bench_now_ns() - begin_ns) / 1e9);
    figures.mib = resident_mib(bench, node->pid);
    for (unsigned int i = 0; i < running; i++)
        (void)kill(pids[i], SIGTERM);
    for (unsigned int i = 0; i < running; i++) {
        while (fgets(line, sizeof line, outs[i]) != NULL)
            ;
        (void)fclose(outs[i]);
        bench_finish(bench, pids[i], "examples/throughput");
    }
    return figures;
}

int main(int argc, char **argv) {
    static struct bench bench;
    struct figures tenants, pods;
    char shm[160];
    struct node node;

    bench_open(
        &bench, argc, argv, "node_size", BENCH_SIM,
        "What 1,000 registered tenants, 50 of them running, cost the daemon: processor time "
        "and memory; and the same where each is a pod, with a file for limiters of other systems.");
    node_start(&node, &bench);
    tenants = measure(&node, false);
    node_stop(&node);
    node_prepare(&node, &bench);
    (void)snprintf(shm, sizeof shm, "%s/shm", node.folder);
    if (setenv("SHM_BASE_PATH", shm, 1) != 0)
        bench_fail(&bench, "no memory for the environment");
    node_restart(&node);
    pods = measure(&node, true);
    node_stop(&node);
    bench_row(&bench, "daemon's processor time, of one core", tenants.percent, tenants.percent,
              tenants.percent, "%", "<= 5", bench_judge(tenants.percent, 5));
    bench_row(&bench, "daemon's memory", tenants.mib, tenants.mib, tenants.mib, "MiB", "<= 64",
              bench_judge(tenants.mib, 64));
    bench_row(&bench, "tenants registered, a connection each", tenants.rate, tenants.rate,
              tenants.rate, "1/s", "", BENCH_SHOWN);
    bench_row(&bench, "pods: daemon's processor time, of one core", pods.percent, pods.percent,
              pods.percent, "%", "<= 5", bench_judge(pods.percent, 5));
    bench_row(&bench, "pods: daemon's memory", pods.mib, pods.mib, pods.mib, "MiB", "<= 64",
              bench_judge(pods.mib, 64));
    return bench_close(&bench);
}
