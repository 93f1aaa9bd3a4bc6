/*
 * What a node full of tenants costs the daemon: 1,000 registered, 50 of them running. Its processor time, its memory, and how
 * fast tenants are registered.
 */
#include "node.h"

#include <signal.h>
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

int main(int argc, char **argv) {
    static struct bench bench;
    static pid_t pids[RUNNING_MAX];
    static FILE *outs[RUNNING_MAX];
    const struct node_wish wish = {.weight = 1};
    const char *arguments[] = {"--kernel-us", "1000", "--seconds", "600", "--json", NULL};
    unsigned int registered, running;
    uint64_t begin_ns, ticks, window_ns;
    char id[32], folder[256], line[512];
    double rate, percent, mib;
    struct node node;

    bench_open(&bench, argc, argv, "node_size", BENCH_SIM,
               "What 1,000 registered tenants, 50 of them running, cost the daemon: processor time "
               "and memory.");
    registered = bench.quick ? 100 : 1000;
    running = bench.quick ? 5 : RUNNING_MAX;
    node_start(&node, &bench);
    begin_ns = bench_now_ns();
    for (unsigned int i = 0; i < registered; i++) {
        (void)snprintf(id, sizeof id, "tenant-%u", i);
        node_tenant(&node, id, &wish, folder);
        if (i < running)
            pids[i] = node_run(&node, folder, "examples/throughput", arguments, &outs[i]);
    }
    rate = registered / ((double)(bench_now_ns() - begin_ns) / 1e9);
    bench_sleep_until_ns(bench_now_ns() + UINT64_C(3000000000));
    window_ns = bench.quick ? UINT64_C(2000000000) : UINT64_C(10000000000);
    ticks = stat_ticks(&bench, node.pid);
    begin_ns = bench_now_ns();
    bench_sleep_until_ns(begin_ns + window_ns);
    percent = 100.0 * (double)(stat_ticks(&bench, node.pid) - ticks) /
              (double)sysconf(_SC_CLK_TCK) / ((double)(bench_now_ns() - begin_ns) / 1e9);
    mib = resident_mib(&bench, node.pid);
    for (unsigned int i = 0; i < running; i++)
        (void)kill(pids[i], SIGTERM);
    for (unsigned int i = 0; i < running; i++) {
        while (fgets(line, sizeof line, outs[i]) != NULL)
            ;
        (void)fclose(outs[i]);
        bench_finish(&bench, pids[i], "examples/throughput");
    }
    node_stop(&node);
    bench_row(&bench, "daemon's processor time, of one core", percent, percent, percent, "%",
              "<= 5", bench_judge(percent, 5));
    bench_row(&bench, "daemon's memory", mib, mib, mib, "MiB", "<= 64", bench_judge(mib, 64));
    bench_row(&bench, "tenants registered, a connection each", rate, rate, rate, "1/s", "",
              BENCH_SHOWN);
    return bench_close(&bench);
}
