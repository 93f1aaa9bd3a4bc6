/*
 * A node by itself: how soon a change in workers.json is acted on, and what a thousand workers cost. In this process, with an accelerator library
 * that has no hardware; files lie in memory, so that no disk is measured.
 */
#include "bench.h"

#include "backend/workers.h"
#include "base/log.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MS          UINT64_C(1000000)
#define REPEATS_MAX 50u

struct node {
    const struct bench *bench;
    char folder[64], logs[96];
    int fd;
    struct divvy_backend_devices *devices;
    struct divvy_backend_allocations *allocations;
    struct divvy_backend_single *single;
    struct divvy_backend_workers *workers;
    struct divvy_error error;
};

static void check(struct node *node, int status, const char *step) {
    if (status < 0)
        bench_fail(node->bench, "%s: %s", step, node->error.text);
}

static void devices_write(const char *folder) {
    char path[96];
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/devices", folder);
    file = fopen(path, "we");
    if (file) {
        (void)fputs("GPU-A\nGPU-B\n", file);
        (void)fclose(file);
    }
}

static void node_start(struct node *node, const struct bench *bench) {
    struct divvy_backend_devices_options devices = {.library = FAKE_ACCEL_LIBRARY};
    struct divvy_backend_allocations_options allocations = {.isolation = DIVVY_NODE_SHARED};
    struct divvy_backend_single_options single = {.grace_ns = 1000 * (int64_t)MS};

    *node = (struct node){.bench = bench, .folder = "/dev/shm/divvy-bench-XXXXXX"};
    if (!mkdtemp(node->folder) || (node->fd = open(node->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        bench_fail(bench, "there is no room in /dev/shm");
    (void)snprintf(node->logs, sizeof node->logs, "%s/logs", node->folder);
    (void)setenv("FAKE_ACCEL", node->folder, 1);
    devices_write(node->folder);
    devices.state_fd = single.state_fd = node->fd;
    single.log_folder = node->logs;
    check(node, divvy_backend_devices_new(&devices, &node->devices, &node->error), "devices");
    check(node, divvy_backend_allocations_new(node->devices, &allocations, &node->allocations), "allocations");
    check(node, divvy_backend_single_new(&single, &node->single, &node->error), "backend");
    check(node, divvy_backend_workers_new(node->devices, node->allocations, node->single, &node->workers), "workers");
    check(node, divvy_backend_devices_start(node->devices, &node->error), "devices");
    check(node, divvy_backend_workers_start(node->workers), "workers");
    check(node, divvy_backend_single_start(node->single, &node->error), "backend");
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *where) {
    (void)status;
    (void)kind;
    (void)where;
    return remove(path);
}

static void node_stop(struct node *node) {
    divvy_backend_single_stop(node->single);
    divvy_backend_workers_free(node->workers);
    divvy_backend_single_free(node->single);
    divvy_backend_allocations_free(node->allocations);
    divvy_backend_devices_free(node->devices);
    (void)close(node->fd);
    (void)nftw(node->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* As any other program would: a new file in the old one's place. */
static void file_put(struct node *node, const char *text) {
    int fd = openat(node->fd, "new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        bench_fail(node->bench, "workers.json cannot be written");
    (void)close(fd);
    if (renameat(node->fd, "new", node->fd, "workers.json") < 0)
        bench_fail(node->bench, "workers.json cannot be written");
}

static size_t allocated(struct node *node) {
    struct divvy_backend_allocation **list;
    size_t count;

    check(node, divvy_backend_allocations_list(node->allocations, &list, &count), "allocations");
    for (size_t i = 0; i < count; i++)
        divvy_backend_allocation_unref(list[i]);
    free(list);
    return count;
}

static void allocated_await(struct node *node, size_t wanted, uint64_t pause_ns) {
    uint64_t end_ns = bench_now_ns() + 60000 * MS;

    while (allocated(node) != wanted) {
        if (bench_now_ns() > end_ns)
            bench_fail(node->bench, "%zu workers have devices, not %zu", allocated(node), wanted);
        bench_sleep_until_ns(bench_now_ns() + pause_ns);
    }
}

/* --- one change ---------------------------------------------------------------------------------------------------------------- */

static bool runs(struct node *node) {
    static struct divvy_backend_worker view;

    return divvy_backend_single_get(node->single, "w", &view) == 0 && view.has_process && view.process.pid > 0;
}

static void await(struct node *node, bool running) {
    uint64_t end_ns = bench_now_ns() + 10000 * MS;

    while (runs(node) != running) {
        if (bench_now_ns() > end_ns)
            bench_fail(node->bench, "a change of workers.json was not acted on");
        bench_sleep_until_ns(bench_now_ns() + MS / 5);
    }
}

static void change_measure(struct bench *bench) {
    size_t repeats = bench->quick ? 3 : 30;
    double started[REPEATS_MAX], stopped[REPEATS_MAX];
    struct bench_stats stats;
    struct node node;

    node_start(&node, bench);
    for (size_t i = 0; i < repeats; i++) {
        uint64_t begin_ns;

        file_put(&node, "[{\"WorkerUID\":\"w\",\"AllocatedDevices\":[\"gpu-a\"],\"Status\":\"Running\",\"WorkerRunningInfo\":{\"type\":"
                        "\"process\",\"executable\":\"/bin/sleep\",\"args\":[\"600\"]}}]");
        begin_ns = bench_now_ns();
        await(&node, true);
        started[i] = (double)(bench_now_ns() - begin_ns) / 1e6;
        bench_sleep_until_ns(bench_now_ns() + 150 * MS); /* how it fares is written back meanwhile */
        file_put(&node, "[]");
        begin_ns = bench_now_ns();
        allocated_await(&node, 0, MS / 5);
        stopped[i] = (double)(bench_now_ns() - begin_ns) / 1e6;
    }
    node_stop(&node);
    bench_stats(started, repeats, &stats);
    bench_row(bench, "worker put into workers.json: it runs after", stats.max, stats.min, stats.max, "ms", "<= 100",
              bench_judge(stats.max, 100));
    bench_stats(stopped, repeats, &stats);
    bench_row(bench, "worker taken out: ended, its device free after", stats.max, stats.min, stats.max, "ms",
              "<= 100", bench_judge(stats.max, 100));
}

/* --- many workers ---------------------------------------------------------------------------------------------------------------- */

static char *many(const struct bench *bench, size_t count) {
    size_t room = count * 256 + 16, used = 0;
    char *text = malloc(room);

    if (!text)
        bench_fail(bench, "no memory");
    used += (size_t)snprintf(text, room, "[");
    for (size_t i = 0; i < count; i++)
        used += (size_t)snprintf(text + used, room - used,
                                 "%s{\"WorkerUID\":\"worker-%zu\",\"AllocatedDevices\":[\"gpu-%c\"],\"Status\":\"Running\","
                                 "\"Limits\":{\"vram\":\"4Mi\"}}",
                                 i ? "," : "", i, i % 2 ? 'a' : 'b');
    (void)snprintf(text + used, room - used, "]");
    return text;
}

/* Milliseconds from the file to all allocated, listed, taken out and released. */
static double many_once(struct bench *bench, size_t count) {
    struct divvy_backend_worker *workers;
    char *text = many(bench, count);
    uint64_t begin_ns;
    struct node node;
    size_t listed;
    double ms;

    node_start(&node, bench);
    begin_ns = bench_now_ns();
    file_put(&node, text);
    allocated_await(&node, count, 2 * MS);
    check(&node, divvy_backend_single_list(node.single, &workers, &listed), "list");
    if (listed != count)
        bench_fail(bench, "%zu workers are listed, not %zu", listed, count);
    free(workers);
    file_put(&node, "[]");
    allocated_await(&node, 0, 2 * MS);
    ms = (double)(bench_now_ns() - begin_ns) / 1e6;
    node_stop(&node);
    free(text);
    return ms;
}

static void many_measure(struct bench *bench) {
    size_t few = bench->quick ? 100 : 500, repeats = bench->quick ? 1 : 5;
    double thousand[REPEATS_MAX], growth[REPEATS_MAX];
    struct bench_stats stats;

    for (size_t i = 0; i < repeats; i++) {
        double small = many_once(bench, few), large = many_once(bench, few * 4);

        thousand[i] = many_once(bench, bench->quick ? 200 : 1000);
        growth[i] = large / small / 4;
    }
    bench_stats(thousand, repeats, &stats);
    bench_row(bench, "1,000 workers allocated, listed, released", stats.max, stats.min, stats.max, "ms", "<= 1000",
              bench_judge(stats.max, 1000));
    bench_stats(growth, repeats, &stats);
    bench_row(bench, "cost of a worker among 2,000 to one among 500", stats.median, stats.min, stats.max, "times", "<= 2",
              bench_judge(stats.median, 2));
}

int main(int argc, char **argv) {
    struct divvy_log_settings quiet = {.level = DIVVY_LOG_ERROR, .program = "single_node"};
    static struct bench bench;

    bench_open(&bench, argc, argv, "single_node", BENCH_STUB,
               "A node by itself: how soon a change of workers.json is acted on (worst of the repeats), and what 1,000 workers cost.");
    (void)divvy_log_open(&quiet, NULL);
    change_measure(&bench);
    many_measure(&bench);
    return bench_close(&bench);
}
