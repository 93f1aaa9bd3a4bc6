/*
 * What leases over the two-way channel reach: shares between a tenant with pages and one whose process talks to divvyd over TCP on
 * loopback, as the simulated device recorded them; what of the device the two get together; and how long an order takes there and
 * back while they compute.
 */
#include "node.h"

#include "simgpu/engine/engine.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECOND_NS UINT64_C(1000000000)

enum { WINDOWS_MAX = 60, SHARES = 3, KERNELS = 3 };

static const unsigned int shares[SHARES] = {30, 50, 70}; /* of the remote one; the other has what is left */
static const char *const kernels_us[KERNELS] = {"1000", "50", "5000"};

static const char *const listen_options[] = {"--listen", "127.0.0.1:0", "--jwt-unverified", NULL};

/* --- a pod without pages ------------------------------------------------------------------------------------- */

static unsigned int port_find(const struct node *node) {
    static const char mark[] = " port ";
    char path[160], line[512];
    unsigned int port = 0;
    FILE *log;

    (void)snprintf(path, sizeof path, "%s/log", node->folder);
    log = fopen(path, "r");
    while (log && fgets(line, sizeof line, log))
        if (strstr(line, "listening on") && strstr(line, mark))
            port = (unsigned int)strtoul(strstr(line, mark) + sizeof mark - 1, NULL, 10);
    if (log)
        (void)fclose(log);
    if (port == 0)
        bench_fail(node->bench, "divvyd does not say where it listens; its log is %s", path);
    return port;
}

static void base64_add(char *text, size_t room, const char *bytes) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t length = strlen(bytes), at = strlen(text);

    for (size_t i = 0; i < length && at + 5 < room; i += 3) {
        unsigned int left = (unsigned int)(length - i), group = (unsigned int)(unsigned char)bytes[i] << 16;

        group |= left > 1 ? (unsigned int)(unsigned char)bytes[i + 1] << 8 : 0;
        group |= left > 2 ? (unsigned int)(unsigned char)bytes[i + 2] : 0;
        for (unsigned int k = 0; k < (left > 2 ? 4 : left + 1); k++)
            text[at++] = digits[group >> (18 - 6 * k) & 63];
        text[at] = '\0';
    }
}

static void text_add(char *text, size_t room, const char *more) {
    size_t at = strlen(text);

    (void)snprintf(text + at, room - at, "%s", more);
}

/* A token that is believed unseen on loopback: what a cluster would have signed. */
static void token_write(const struct node *node, char ret_path[160]) {
    char text[1024] = "", claims[512];
    FILE *file;

    (void)snprintf(claims, sizeof claims,
                   "{\"exp\":4102444800,\"nbf\":1,\"sub\":\"system:serviceaccount:bench:default\",\"kubernetes.io\":{\"namespace\":"
                   "\"bench\",\"pod\":{\"name\":\"remote\",\"uid\":\"u\"},\"serviceaccount\":{\"name\":\"default\",\"uid\":\"s\"}}}");
    base64_add(text, sizeof text, "{\"alg\":\"none\"}");
    text_add(text, sizeof text, ".");
    base64_add(text, sizeof text, claims);
    text_add(text, sizeof text, ".");
    base64_add(text, sizeof text, "none");
    (void)snprintf(ret_path, 160, "%s/token", node->folder);
    file = fopen(ret_path, "w");
    if (!file || fputs(text, file) < 0 || fclose(file) != 0)
        bench_fail(node->bench, "%s cannot be written", ret_path);
}

static const char *const names[] = {"HYPERVISOR_IP", "HYPERVISOR_PORT", "POD_NAME", "POD_NAMESPACE", "CONTAINER_NAME",
                                    "DIVVY_POD_TOKEN"};

static pid_t remote_start(const struct node *node, const char *const arguments[], FILE **ret_out) {
    const struct bench_limits limits = {.preload = true};
    char token[160], port[16];
    const char *values[] = {"127.0.0.1", port, "remote", "bench", "main", token};
    pid_t pid;

    token_write(node, token);
    (void)snprintf(port, sizeof port, "%u", port_find(node));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        (void)setenv(names[i], values[i], 1);
    pid = bench_start(node->bench, &limits, "examples/throughput", arguments, ret_out);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        (void)unsetenv(names[i]);
    return pid;
}

/* --- measuring ----------------------------------------------------------------------------------------------- */

static uint64_t busy_ns(const struct bench *bench, pid_t pid) {
    static divvy_simgpu_process_t processes[64];
    size_t total;

    if (divvy_simgpu_processes(0, processes, 64, &total) != 0)
        bench_fail(bench, "the simulated GPU cannot be read");
    for (size_t i = 0; i < total && i < 64; i++)
        if (processes[i].pid == pid)
            return processes[i].busy_ns;
    return 0;
}

static double metric(const struct node *node, const char *name) {
    static char answer[1 << 18];
    char begin[96];
    const char *found;

    if (node_request(node, "GET", "/metrics", NULL, answer, sizeof answer) != 200)
        bench_fail(node->bench, "no metrics");
    (void)snprintf(begin, sizeof begin, "\n%s ", name);
    found = strstr(answer, begin);
    return found ? strtod(found + strlen(begin), NULL) : -1;
}

static void throughput_end(const struct node *node, pid_t pid, FILE *out) {
    char line[512];

    (void)kill(pid, SIGTERM);
    while (fgets(line, sizeof line, out) != NULL)
        ;
    (void)fclose(out);
    bench_finish(node->bench, pid, "examples/throughput");
}

struct result {
    double errors[2 * WINDOWS_MAX], together[WINDOWS_MAX];
    double least, most; /* of the errors, with their signs */
    size_t count;
};

static void window_take(struct result *result, unsigned int percent, double remote, double near) {
    double errors[2] = {remote - percent, near - (100 - percent)};

    for (int i = 0; i < 2; i++) {
        size_t at = 2 * result->count + (size_t)i;

        result->least = at == 0 || errors[i] < result->least ? errors[i] : result->least;
        result->most = at == 0 || errors[i] > result->most ? errors[i] : result->most;
        result->errors[at] = fabs(errors[i]);
    }
    result->together[result->count++] = remote + near;
}

static void pair_measure(struct bench *bench, unsigned int percent, const char *kernel_us, bool is_pages, struct result *result) {
    const char *arguments[] = {"--kernel-us", kernel_us, "--blocks", "132", "--seconds", "600", "--json", NULL};
    struct node_wish first = {.percent = percent, .pod = "remote"}, second = {.percent = 100 - percent};
    unsigned int windows = bench->quick ? 3 : 20;
    uint64_t edge_ns, last_ns, now_ns, remote_ns, near_ns;
    char folder[256], first_folder[256];
    FILE *remote_out, *near_out;
    struct node node;
    pid_t remote, near;

    node_prepare(&node, bench);
    node.options = listen_options;
    node_restart(&node);
    node_tenant(&node, "remote", &first, first_folder);
    node_tenant(&node, "near", &second, folder);
    remote = is_pages ? node_run(&node, first_folder, "examples/throughput", arguments, &remote_out)
                      : remote_start(&node, arguments, &remote_out);
    near = node_run(&node, folder, "examples/throughput", arguments, &near_out);
    edge_ns = bench_now_ns() + 3 * SECOND_NS;
    bench_sleep_until_ns(edge_ns);
    last_ns = bench_now_ns();
    remote_ns = busy_ns(bench, remote);
    near_ns = busy_ns(bench, near);
    for (unsigned int i = 0; i < windows; i++) {
        uint64_t remote_now_ns, near_now_ns;

        edge_ns += SECOND_NS;
        bench_sleep_until_ns(edge_ns);
        remote_now_ns = busy_ns(bench, remote);
        near_now_ns = busy_ns(bench, near);
        now_ns = bench_now_ns();
        window_take(result, percent, 100.0 * (double)(remote_now_ns - remote_ns) / (double)(now_ns - last_ns),
                    100.0 * (double)(near_now_ns - near_ns) / (double)(now_ns - last_ns));
        last_ns = now_ns;
        remote_ns = remote_now_ns;
        near_ns = near_now_ns;
    }
    if (!is_pages && metric(&node, "divvy_channel_lease_orders_total") < windows)
        bench_fail(bench, "the remote tenant got no leases");
    if (!is_pages)
        bench_detail(bench, "an order there and back", metric(&node, "divvy_channel_lease_way_seconds") * 1e6, 0, 0, "us");
    throughput_end(&node, remote, remote_out);
    throughput_end(&node, near, near_out);
    node_stop(&node);
}

static void result_show(struct bench *bench, const char *what, struct result *result) {
    struct bench_stats errors, together;
    char text[96];

    bench_stats(result->errors, 2 * result->count, &errors);
    bench_stats(result->together, result->count, &together);
    (void)snprintf(text, sizeof text, "%s: mean error", what);
    bench_row(bench, text, errors.mean, result->least, result->most, "points", "", BENCH_SHOWN);
    (void)snprintf(text, sizeof text, "%s: p95 error", what);
    bench_row(bench, text, errors.p95, errors.min, errors.max, "points", "", BENCH_SHOWN);
    (void)snprintf(text, sizeof text, "%s: both together", what);
    bench_row(bench, text, together.mean, together.min, together.max, "%", "", BENCH_SHOWN);
}

int main(int argc, char **argv) {
    static struct bench bench;
    char error[DIVVY_SIMGPU_ERROR_MAX];

    bench_open(&bench, argc, argv, "remote", BENCH_SIM,
               "Two tenants that share one GPU by caps that add up to all of it, in windows of one second: one with pages, one\n"
               "that gets its leases over TCP on loopback; and two with pages for comparison.");
    if (bench.gpu != BENCH_SIM) {
        (void)fputs("remote: judged by the simulated device's record only\n", stderr);
        return 2;
    }
    if (divvy_simgpu_attach(DIVVY_SIMGPU_OBSERVER, error) != 0)
        bench_fail(&bench, "%s", error);
    for (int k = 0; k < (bench.quick ? 1 : KERNELS); k++) {
        static struct result over_tcp, by_pages;
        char what[64];

        over_tcp = by_pages = (struct result){.count = 0};
        for (int s = 0; s < (bench.quick ? 1 : SHARES); s++) {
            struct result *both[2] = {&over_tcp, &by_pages};

            for (int p = 0; p < 2; p++)
                pair_measure(&bench, shares[s], kernels_us[k], p == 1, both[p]);
        }
        (void)snprintf(what, sizeof what, "kernels of %s us, one over TCP", kernels_us[k]);
        result_show(&bench, what, &over_tcp);
        (void)snprintf(what, sizeof what, "kernels of %s us, both with pages", kernels_us[k]);
        result_show(&bench, what, &by_pages);
    }
    divvy_simgpu_detach();
    return bench_close(&bench);
}
