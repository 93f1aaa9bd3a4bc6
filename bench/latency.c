/*
 * What requests of a tenant of high class wait for beside a greedy tenant of low class: requests of 3 ms that come at random and
 * take 20 % of the device, against kernels of 1 ms as fast as they go. 99th percentile beside over alone, and what the greedy one
 * keeps of what the requests leave.
 */
#include "node.h"

#include "simgpu/engine/engine.h"

#include <signal.h>

#define REQUESTS_MAX 4000u

static double latencies[REQUESTS_MAX];

static uint64_t device_busy_ns(const struct bench *bench, pid_t pid) {
    static divvy_simgpu_process_t processes[16];
    size_t total;

    if (divvy_simgpu_processes(0, processes, 16, &total) != 0)
        bench_fail(bench, "the simulated GPU cannot be read");
    for (size_t i = 0; i < total && i < 16; i++)
        if (processes[i].pid == pid)
            return processes[i].busy_ns;
    return 0;
}

static size_t requests_read(FILE *out) {
    size_t count = 0;

    while (count < REQUESTS_MAX && fscanf(out, "%lf", &latencies[count]) == 1)
        count++;
    (void)fclose(out);
    return count;
}

static pid_t requests_start(const struct node *node, unsigned int count, FILE **ret_out) {
    char folder[256], text[16];
    const char *arguments[] = {"3", "20", text, "7", NULL};
    const struct node_wish wish = {.qos = "high", .weight = 500};

    (void)snprintf(text, sizeof text, "%u", count);
    node_tenant(node, "requests", &wish, folder);
    return node_run(node, folder, "bench/subject_requests", arguments, ret_out);
}

static void percentile(const struct bench *bench, size_t count, double *ret_p50, double *ret_p99) {
    struct bench_stats stats;

    if (count < 10)
        bench_fail(bench, "no requests were measured");
    bench_stats(latencies, count, &stats); /* sorts */
    *ret_p50 = stats.median;
    *ret_p99 = latencies[(size_t)((double)count * 0.99)];
}

int main(int argc, char **argv) {
    static struct bench bench;
    struct node node;
    double alone_p50, alone_p99, beside_p50, beside_p99, kept;
    const char *greedy_arguments[] = {"--kernel-us", "1000", "--seconds", "600", "--json", NULL};
    const struct node_wish greedy_wish = {.qos = "low", .weight = 500};
    char folder[256], line[512], error[DIVVY_SIMGPU_ERROR_MAX];
    uint64_t begin_ns, begin_busy_ns, busy_ns, passed_ns;
    unsigned int count;
    FILE *out, *greedy_out;
    pid_t requests, greedy;

    bench_open(&bench, argc, argv, "latency", BENCH_SIM,
               "Requests of a tenant of class high (3 ms each, 20 percent of the device, at "
               "random) beside a greedy\n"
               "one of class low: 99th percentile over alone, and what the greedy one keeps of the "
               "leftover.");
    count = bench.quick ? 200 : 2000;
    if (bench.gpu != BENCH_SIM) {
        (void)fputs("latency: works on the simulated GPU only; use --gpu sim\n", stderr);
        return 2;
    }
    if (divvy_simgpu_attach(DIVVY_SIMGPU_OBSERVER, error) != 0)
        bench_fail(&bench, "%s", error);
    node_start(&node, &bench);
    requests = requests_start(&node, count, &out);
    count = (unsigned int)requests_read(out);
    bench_finish(&bench, requests, "subject_requests");
    percentile(&bench, count, &alone_p50, &alone_p99);
    node_tenant_remove(&node, "requests");

    node_tenant(&node, "greedy", &greedy_wish, folder);
    greedy = node_run(&node, folder, "examples/throughput", greedy_arguments, &greedy_out);
    bench_sleep_until_ns(bench_now_ns() + UINT64_C(2000000000));
    requests = requests_start(&node, count, &out);
    bench_sleep_until_ns(bench_now_ns() + UINT64_C(500000000));
    begin_ns = bench_now_ns();
    begin_busy_ns = device_busy_ns(&bench, greedy);
    count = (unsigned int)requests_read(out);
    busy_ns = device_busy_ns(&bench, greedy) - begin_busy_ns;
    passed_ns = bench_now_ns() - begin_ns;
    bench_finish(&bench, requests, "subject_requests");
    (void)kill(greedy, SIGTERM);
    while (fgets(line, sizeof line, greedy_out) != NULL)
        ;
    (void)fclose(greedy_out);
    bench_finish(&bench, greedy, "examples/throughput");
    percentile(&bench, count, &beside_p50, &beside_p99);
    node_stop(&node);
    divvy_simgpu_detach();

    kept = 100.0 * (double)busy_ns / (double)passed_ns / 0.8;
    bench_row(&bench, "requests alone: 99th percentile", alone_p99, alone_p50, alone_p99, "ms", "",
              BENCH_SHOWN);
    bench_row(&bench, "requests beside a greedy tenant: 99th percentile", beside_p99, beside_p50,
              beside_p99, "ms", "", BENCH_SHOWN);
    bench_row(&bench, "99th percentile beside over alone", beside_p99 / alone_p99,
              beside_p50 / alone_p50, beside_p99 / alone_p99, "x", "<= 1.2",
              bench_judge(beside_p99 / alone_p99, 1.2));
    bench_row(&bench, "the greedy tenant keeps of the leftover", kept, kept, kept, "%", ">= 80",
              kept >= 80 ? BENCH_MET : BENCH_MISSED);
    return bench_close(&bench);
}
