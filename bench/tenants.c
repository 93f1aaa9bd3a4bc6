/*
 * Shares between tenants on one GPU through the daemon: what each gets of the device's time in windows of one second, beside
 * what it asked for, and what all together complete beside one alone. The work is examples/throughput, the truth the
 * simulated device's own record of busy time.
 */
#include "node.h"

#include "simgpu/engine/engine.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define TENANTS_MAX   32
#define WINDOWS_MAX   64
#define PROCESSES_MAX 2

struct part {
    unsigned int percent, weight;  /* hard cap, weight; 0 not given */
    unsigned int kernel_us, graph; /* graph: kernels in it, 0 single launches */
    unsigned int processes;        /* 0 is 1 */
};

static const struct scene {
    const char *name;
    unsigned int count; /* tenants; those beyond the parts given are like the last */
    struct part parts[8];
    bool equal; /* Jain's index is what counts */
} scenes[] = {
    {"30 / 70", 2, {{30, 0, 1000, 0, 0}, {70, 0, 1000, 0, 0}}, false},
    {"10 / 90", 2, {{10, 0, 1000, 0, 0}, {90, 0, 1000, 0, 0}}, false},
    {"50 / 50", 2, {{50, 0, 1000, 0, 0}, {50, 0, 1000, 0, 0}}, false},
    {"30 / 70, kernels of 50 us / 5 ms", 2, {{30, 0, 50, 0, 0}, {70, 0, 5000, 0, 0}}, false},
    {"30 / 70, kernels of 5 ms / 50 us", 2, {{30, 0, 5000, 0, 0}, {70, 0, 50, 0, 0}}, false},
    {"30 / 70, graph of 20 / single launches",
     2,
     {{30, 0, 100, 20, 0}, {70, 0, 1000, 0, 0}},
     false},
    {"30 / 70, two processes / one", 2, {{30, 0, 1000, 0, 2}, {70, 0, 1000, 0, 0}}, false},
    {"weights 1:2:4:8",
     4,
     {{0, 1, 1000, 0, 0}, {0, 2, 1000, 0, 0}, {0, 4, 1000, 0, 0}, {0, 8, 1000, 0, 0}},
     false},
    {"2 equal", 2, {{0, 1, 1000, 0, 0}}, true},
    {"4 equal", 4, {{0, 1, 1000, 0, 0}}, true},
    {"8 equal", 8, {{0, 1, 1000, 0, 0}}, true},
    {"32 equal", 32, {{0, 1, 1000, 0, 0}}, true},
};
enum { SCENES = sizeof scenes / sizeof scenes[0] };

struct running {
    pid_t pids[PROCESSES_MAX];
    FILE *outs[PROCESSES_MAX];
    unsigned int count;
    double asked; /* percent */
};

static const struct part *part_of(const struct scene *scene, unsigned int i) {
    unsigned int last = 0;

    for (unsigned int k = 0; k < 8 && scene->parts[k].kernel_us; k++)
        last = k;
    return &scene->parts[i < last ? i : last];
}

/* --- the truth ------------------------------------------------------------------------------------------------------- */

static uint64_t busy_ns(const struct bench *bench, const struct running *tenant) {
    static divvy_simgpu_process_t processes[128];
    uint64_t sum_ns = 0;
    size_t total;

    if (divvy_simgpu_processes(0, processes, 128, &total) != 0)
        bench_fail(bench, "the simulated GPU cannot be read");
    for (size_t i = 0; i < total && i < 128; i++)
        for (unsigned int k = 0; k < tenant->count; k++)
            if (processes[i].pid == tenant->pids[k])
                sum_ns += processes[i].busy_ns;
    return sum_ns;
}

/* --- running --------------------------------------------------------------------------------------------------------- */

static void tenant_start(const struct node *node, const struct scene *scene, unsigned int i,
                         double weights, struct running *tenant) {
    const struct part *part = part_of(scene, i);
    const struct node_wish wish = {.percent = part->percent,
                                   .weight = part->weight ? part->weight : 0};
    char id[32], folder[256], kernel_us[16], graph[16];
    const char *arguments[] = {"--kernel-us", kernel_us, "--seconds",
                               "600",         "--json",  part->graph ? "--graph" : NULL,
                               graph,         NULL};

    (void)snprintf(id, sizeof id, "tenant-%u", i);
    (void)snprintf(kernel_us, sizeof kernel_us, "%u", part->kernel_us);
    (void)snprintf(graph, sizeof graph, "%u", part->graph);
    node_tenant(node, id, &wish, folder);
    tenant->count = part->processes ? part->processes : 1;
    for (unsigned int k = 0; k < tenant->count; k++)
        tenant->pids[k] =
            node_run(node, folder, "examples/throughput", arguments, &tenant->outs[k]);
    tenant->asked = part->percent ? part->percent : 100.0 * part->weight / weights;
}

static void tenant_end(const struct node *node, unsigned int i, struct running *tenant) {
    char id[32], line[512];

    for (unsigned int k = 0; k < tenant->count; k++)
        (void)kill(tenant->pids[k], SIGTERM);
    for (unsigned int k = 0; k < tenant->count; k++) {
        while (fgets(line, sizeof line, tenant->outs[k]) != NULL)
            ;
        (void)fclose(tenant->outs[k]);
        bench_finish(node->bench, tenant->pids[k], "examples/throughput");
    }
    (void)snprintf(id, sizeof id, "tenant-%u", i);
    node_tenant_remove(node, id);
}

struct result {
    double errors[TENANTS_MAX * WINDOWS_MAX];
    size_t count;
    double low, high;           /* signed errors, extremes */
    double shares[TENANTS_MAX]; /* over all windows */
    double busy;                /* percent of the device, all tenants together */
};

static void window_add(struct result *result, double error) {
    if (result->count == 0 || error < result->low)
        result->low = error;
    if (result->count == 0 || error > result->high)
        result->high = error;
    result->errors[result->count++] = fabs(error);
}

static void windows_measure(const struct bench *bench, struct running *tenants, unsigned int count,
                            unsigned int windows, struct result *result) {
    uint64_t last[TENANTS_MAX], first[TENANTS_MAX], now_ns = bench_now_ns(), begin_ns = now_ns,
                                                    last_ns = now_ns, sum = 0;

    *result = (struct result){0};
    for (unsigned int i = 0; i < count; i++)
        first[i] = last[i] = busy_ns(bench, &tenants[i]);
    for (unsigned int w = 0; w < windows; w++) {
        bench_sleep_until_ns(begin_ns + (w + 1) * UINT64_C(1000000000));
        now_ns = bench_now_ns();
        for (unsigned int i = 0; i < count; i++) {
            uint64_t busy = busy_ns(bench, &tenants[i]);

            window_add(result, 100.0 * (double)(busy - last[i]) / (double)(now_ns - last_ns) -
                                   tenants[i].asked);
            last[i] = busy;
        }
        last_ns = now_ns;
    }
    for (unsigned int i = 0; i < count; i++) {
        result->shares[i] = 100.0 * (double)(last[i] - first[i]) / (double)(now_ns - begin_ns);
        sum += last[i] - first[i];
    }
    result->busy = 100.0 * (double)sum / (double)(now_ns - begin_ns);
}

static double jain(const double *shares, unsigned int count) {
    double sum = 0, squares = 0;

    for (unsigned int i = 0; i < count; i++) {
        sum += shares[i];
        squares += shares[i] * shares[i];
    }
    return squares > 0 ? sum * sum / (count * squares) : 0;
}

static void scene_show(struct bench *bench, const struct scene *scene,
                       const struct running *tenants, struct result *result) {
    struct bench_stats stats;
    char text[128];

    for (unsigned int i = 0; i < scene->count; i++) {
        (void)snprintf(text, sizeof text, "%s: tenant %u, asked %.2f %%", scene->name, i,
                       tenants[i].asked);
        bench_detail(bench, text, result->shares[i], result->shares[i], result->shares[i], "%");
    }
    bench_stats(result->errors, result->count, &stats);
    if (scene->equal) {
        double index = jain(result->shares, scene->count);

        (void)snprintf(text, sizeof text, "%s: Jain's index", scene->name);
        bench_row(bench, text, index, index, index, "", ">= 0.9995",
                  index >= 0.9995 ? BENCH_MET : BENCH_MISSED);
    } else {
        double mean_most = scene->parts[0].percent ? 0.5 : 1.0;

        (void)snprintf(text, sizeof text, "%s: mean error", scene->name);
        bench_row(bench, text, stats.mean, result->low, result->high, "points",
                  mean_most < 1 ? "<= 0.5" : "<= 1", bench_judge(stats.mean, mean_most));
        if (mean_most < 1) {
            (void)snprintf(text, sizeof text, "%s: p95", scene->name);
            bench_row(bench, text, stats.p95, stats.min, stats.max, "points", "<= 1",
                      bench_judge(stats.p95, 1.0));
        }
    }
    (void)snprintf(text, sizeof text, "%s: device busy", scene->name);
    bench_row(bench, text, result->busy, result->busy, result->busy, "%", ">= 98.5",
              result->busy >= 98.5 ? BENCH_MET : BENCH_MISSED);
}

static void scene_measure(struct bench *bench, const struct scene *scene, unsigned int windows) {
    static struct running tenants[TENANTS_MAX];
    static struct result result;
    struct node node;
    double weights = 0;

    node_start(&node, bench);
    for (unsigned int i = 0; i < scene->count; i++)
        weights += part_of(scene, i)->weight;
    for (unsigned int i = 0; i < scene->count; i++)
        tenant_start(&node, scene, i, weights, &tenants[i]);
    bench_sleep_until_ns(bench_now_ns() + UINT64_C(3000000000));
    windows_measure(bench, tenants, scene->count, windows, &result);
    scene_show(bench, scene, tenants, &result);
    for (unsigned int i = 0; i < scene->count; i++)
        tenant_end(&node, i, &tenants[i]);
    node_stop(&node);
}

int main(int argc, char **argv) {
    static struct bench bench;
    char error[DIVVY_SIMGPU_ERROR_MAX];
    const char *only = getenv("BENCH_SCENE"); /* a part of a scene's name: only those */

    bench_open(&bench, argc, argv, "tenants", BENCH_SIM,
               "What tenants of one GPU get of its time through divvyd, in windows of one second: "
               "mean size of the\n"
               "error in points (the spread is the largest error downwards and upwards), its 95th "
               "percentile, Jain's\n"
               "index of equal tenants, and how busy all together keep the device.");
    if (bench.gpu != BENCH_SIM) {
        (void)fputs("tenants: measured by the simulated GPU's record; use --gpu sim\n", stderr);
        return 2;
    }
    if (divvy_simgpu_attach(DIVVY_SIMGPU_OBSERVER, error) != 0)
        bench_fail(&bench, "%s", error);
    for (size_t i = 0; i < SCENES; i++)
        if ((only && strstr(scenes[i].name, only)) || (!only && (!bench.quick || i == 0)))
            scene_measure(&bench, &scenes[i], bench.quick ? 3 : 20);
    divvy_simgpu_detach();
    return bench_close(&bench);
}
