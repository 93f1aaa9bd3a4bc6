/*
 * What the pods of a cluster cost the daemon: how long after the API server's event a pod has its tenant, how long the list at the start
 * takes, and processor time and memory with 1,000 pods on the node. The API server is the imitation of the tests.
 */
#include "node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PODS_MAX   1000u
#define EVENTS_MAX 200u
#define BODY_BYTES (1u << 20)

static struct server {
    pid_t pid;
    FILE *calls, *answers;
    char folder[96];
} server;

/* A call of the imitation (tests/fakes/kube/apiserver.py): a list of JSON; its answer is not looked at. */
static void call(const struct bench *bench, const char *text) {
    char line[4096];

    if (fprintf(server.calls, "%s\n", text) < 0 || fflush(server.calls) != 0 || fgets(line, sizeof line, server.answers) == NULL)
        bench_fail(bench, "the API server of the tests does not answer to %s", text);
}

static void server_start(const struct bench *bench) {
    int calls[2], answers[2];
    char line[64];

    (void)snprintf(server.folder, sizeof server.folder, "/tmp/divvy-bench-kube-XXXXXX");
    if (!mkdtemp(server.folder) || pipe(calls) < 0 || pipe(answers) < 0 || (server.pid = fork()) < 0)
        bench_fail(bench, "the API server of the tests cannot be started: %s", strerror(errno));
    if (server.pid == 0) {
        (void)dup2(calls[0], 0);
        (void)dup2(answers[1], 1);
        for (int fd = 3; fd < 64; fd++)
            (void)close(fd);
        (void)execlp("python3", "python3", "-B", FAKE_APISERVER, server.folder, (char *)NULL);
        _exit(127);
    }
    (void)close(calls[0]);
    (void)close(answers[1]);
    server.calls = fdopen(calls[1], "w");
    server.answers = fdopen(answers[0], "r");
    if (!server.calls || !server.answers || fgets(line, sizeof line, server.answers) == NULL)
        bench_fail(bench, "the API server of the tests (python3, openssl) does not start");
}

static void server_stop(void) {
    char command[128];

    (void)fclose(server.calls);
    (void)fclose(server.answers);
    (void)waitpid(server.pid, NULL, 0);
    (void)snprintf(command, sizeof command, "rm -rf %s", server.folder);
    (void)!system(command);
}

static void pod_add(const struct bench *bench, const char *name) {
    char text[256];

    (void)snprintf(text, sizeof text, "[\"pod\", \"%s\", {\"divvy.io/vram-limit\": \"64Mi\", \"divvy.io/compute-percent-limit\": \"1\"}]", name);
    call(bench, text);
}

/* --- the daemon's figures ---------------------------------------------------------------------------------------------- */

static double cpu_s(const struct bench *bench, pid_t pid) {
    char path[48], text[1024], *at;
    unsigned long long user = 0, system_ticks = 0;
    FILE *file;

    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    file = fopen(path, "re");
    if (file == NULL || fgets(text, sizeof text, file) == NULL)
        bench_fail(bench, "%s cannot be read", path);
    (void)fclose(file);
    at = strrchr(text, ')');
    if (at == NULL || sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &system_ticks) != 2)
        bench_fail(bench, "%s is not as expected", path);
    return (double)(user + system_ticks) / (double)sysconf(_SC_CLK_TCK);
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

/* Milliseconds until the daemon says it of itself. */
static double in_step_ms(const struct node *node, uint64_t since_ns) {
    static char body[BODY_BYTES];

    while (node_request(node, "GET", "/api/v1/node/pods", NULL, body, sizeof body) != 200 || !strstr(body, "\"in_step\":true")) {
        if (bench_now_ns() > since_ns + UINT64_C(60000000000))
            bench_fail(node->bench, "divvyd does not get in step with the API server");
        bench_sleep_until_ns(bench_now_ns() + 2000000);
    }
    return (double)(bench_now_ns() - since_ns) / 1e6;
}

/* Milliseconds from the call that makes a pod until it has its tenant. */
static double seen_ms(const struct node *node, unsigned int number) {
    uint64_t since_ns;
    char name[32], path[96], body[8192];

    (void)snprintf(name, sizeof name, "late-%u", number);
    (void)snprintf(path, sizeof path, "/api/v1/tenants/default%%2F%s", name);
    since_ns = bench_now_ns();
    pod_add(node->bench, name);
    while (node_request(node, "GET", path, NULL, body, sizeof body) != 200) {
        if (bench_now_ns() > since_ns + UINT64_C(20000000000))
            bench_fail(node->bench, "pod %s has no tenant after 20 seconds", name);
        bench_sleep_until_ns(bench_now_ns() + 500000);
    }
    return (double)(bench_now_ns() - since_ns) / 1e6;
}

static void seen_measure(const struct node *node, struct bench *bench) {
    static double values[EVENTS_MAX];
    unsigned int count = bench->quick ? 10 : EVENTS_MAX;
    struct bench_stats stats;

    for (unsigned int i = 0; i < count; i++) {
        values[i] = seen_ms(node, i);
        bench_sleep_until_ns(bench_now_ns() + 10000000);
    }
    bench_stats(values, count, &stats);
    bench_row(bench, "event to tenant, 95th percentile", stats.p95, stats.median, stats.max, "ms", "<= 100", bench_judge(stats.p95, 100));
}

static void cost_measure(const struct node *node, struct bench *bench) {
    uint64_t begin_ns = bench_now_ns(), window_ns = bench->quick ? UINT64_C(2000000000) : UINT64_C(20000000000);
    double before = cpu_s(bench, node->pid), percent, mib;

    bench_sleep_until_ns(begin_ns + window_ns);
    percent = 100 * (cpu_s(bench, node->pid) - before) / ((double)(bench_now_ns() - begin_ns) / 1e9);
    mib = resident_mib(bench, node->pid);
    bench_row(bench, "daemon's processor time, of one core", percent, percent, percent, "%", "<= 2", bench_judge(percent, 2));
    bench_row(bench, "daemon's memory", mib, mib, mib, "MiB", "<= 50", bench_judge(mib, 50));
}

int main(int argc, char **argv) {
    static struct bench bench;
    static char kubeconfig[160], option[192], shm[160];
    static const char *const options[] = {"--backend=kubernetes", option, "--node=node-a", NULL};
    struct node node;
    unsigned int count;
    double ms;

    bench_open(&bench, argc, argv, "pods", BENCH_SIM,
               "What the pods of a cluster cost the daemon: from an event to the pod's tenant, the list at the start, processor time and "
               "memory with 1,000 pods.");
    count = bench.quick ? 100 : PODS_MAX;
    server_start(&bench);
    (void)snprintf(kubeconfig, sizeof kubeconfig, "[\"kubeconfig\", \"%s/kubeconfig\"]", server.folder);
    (void)snprintf(option, sizeof option, "--kubeconfig=%s/kubeconfig", server.folder);
    call(&bench, kubeconfig);
    for (unsigned int i = 0; i < count; i++) {
        char name[32];

        (void)snprintf(name, sizeof name, "pod-%u", i);
        pod_add(&bench, name);
    }
    node_prepare(&node, &bench);
    node.options = options;
    (void)snprintf(shm, sizeof shm, "%s/shm", node.folder);
    if (setenv("SHM_BASE_PATH", shm, 1) != 0 || unsetenv("GPU_NODE_NAME") != 0)
        bench_fail(&bench, "no memory for the environment");
    node_restart(&node);
    ms = in_step_ms(&node, bench_now_ns());
    bench_row(&bench, "ready to in step with the list", ms, ms, ms, "ms", "<= 1000", bench_judge(ms, 1000));
    bench_sleep_until_ns(bench_now_ns() + UINT64_C(2000000000));
    cost_measure(&node, &bench);
    seen_measure(&node, &bench);
    node_stop(&node);
    server_stop();
    return bench_close(&bench);
}
