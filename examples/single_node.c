/*
 * A node by itself in one program: devices, an allocation, a worker that runs, figures, and the end.
 *
 *   single_node [LIBRARY]
 *
 * LIBRARY is an accelerator library or the folder that it lies in (default: libaccelerator_example.so beside this program's lib/, which needs no
 * hardware). With libaccelerator_nvidia.so and the simulated driver in LD_LIBRARY_PATH it divides the simulated GPU.
 */
#include "backend/workers.h"
#include "base/log.h"

#include <ftw.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOUR_NS INT64_C(3600000000000)

struct node {
    char folder[64], logs[96];
    int folder_fd;
    struct divvy_backend_devices *devices;
    struct divvy_backend_allocations *allocations;
    struct divvy_backend_single *backend;
    struct divvy_backend_workers *workers;
    struct divvy_error error;
};

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *where) {
    (void)status;
    (void)kind;
    (void)where;
    return remove(path);
}

static void node_end(struct node *node) {
    divvy_backend_workers_free(node->workers);
    divvy_backend_single_free(node->backend);
    divvy_backend_allocations_free(node->allocations);
    divvy_backend_devices_free(node->devices);
    (void)close(node->folder_fd);
    (void)nftw(node->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static int fail(struct node *node, const char *step) {
    (void)fprintf(stderr, "single_node: %s: %s\n", step, node->error.text);
    node_end(node);
    return EXIT_FAILURE;
}

/* Where this program's build or installation has its libraries; NULL: not there. */
static const char *library_find(const char *name, char path[PATH_MAX]) {
    static const char *const places[] = {"../../lib", "../../../lib/divvy", "../../lib/divvy", ".."};
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);

    self[length > 0 ? length : 0] = '\0';
    *(strrchr(self, '/') ? strrchr(self, '/') : self) = '\0';
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if (snprintf(path, PATH_MAX, "%s/%s/%s", self, places[i], name) < PATH_MAX && access(path, R_OK) == 0)
            return path;
    return NULL;
}

static void worker_added(void *data, const struct divvy_node_worker *worker) {
    (void)data;
    printf("worker %s is wished for\n", worker->uid);
}

static void worker_removed(void *data, const struct divvy_node_worker *worker) {
    (void)data;
    printf("worker %s is not wished for any more\n", worker->uid);
}

/* 1 to 5: the controllers, in the order in which they need each other, and their start. */
static int node_start(struct node *node, const char *library) {
    static char limiter[PATH_MAX];
    struct divvy_backend_devices_options devices = {
        .library = library, .interval_ns = HOUR_NS, .isolation = DIVVY_NODE_SHARED, .state_fd = node->folder_fd};
    struct divvy_backend_allocations_options allocations = {.isolation = DIVVY_NODE_SHARED,
                                                            .limiter = divvy_backend_limiter_alone(library_find("libcuda_limiter.so", limiter))};
    struct divvy_backend_single_options backend = {
        .state_fd = node->folder_fd, .log_folder = node->logs, .worker_binary = "/proc/self/exe"};
    struct divvy_backend_worker_handler handler = {.added = worker_added, .removed = worker_removed};

    if (divvy_backend_devices_new(&devices, &node->devices, &node->error) < 0 ||
        divvy_backend_allocations_new(node->devices, &allocations, &node->allocations) < 0 ||
        divvy_backend_single_new(&backend, &node->backend, &node->error) < 0 ||
        divvy_backend_workers_new(node->devices, node->allocations, node->backend, &node->workers) < 0)
        return -1;
    if (divvy_backend_devices_start(node->devices, &node->error) < 0 || divvy_backend_single_start(node->backend, &node->error) < 0 ||
        divvy_backend_workers_start(node->workers) < 0)
        return -1;
    return divvy_backend_single_handler_add(node->backend, &handler);
}

/* 6: what there is; the first device is the worker's. */
static int devices_show(struct node *node, char ret_uuid[DIVVY_NODE_WORKER_UUID_BYTES]) {
    struct divvy_backend_device_list list;

    if (divvy_backend_devices_list(node->devices, &list) < 0 || list.count == 0)
        return -1;
    for (size_t i = 0; i < list.count; i++)
        printf("device %s: %s, %llu MiB\n", list.devices[i]->uuid, list.devices[i]->model,
               (unsigned long long)(list.devices[i]->memory_bytes >> 20));
    memcpy(ret_uuid, list.devices[0]->uuid, DIVVY_NODE_WORKER_UUID_BYTES);
    divvy_backend_device_list_free(&list);
    return 0;
}

/* 9: figures of devices and workers. */
static int figures_show(struct node *node) {
    struct divvy_backend_usage_list usages;
    struct divvy_backend_worker_usage *workers;
    size_t count;

    if (divvy_backend_devices_metrics(node->devices, &usages, &node->error) < 0)
        return -1;
    for (size_t i = 0; i < usages.count; i++)
        if (usages.usages[i].status == 0)
            printf("device %s: %.0f W, %.0f C, %.1f %% of its memory\n", usages.usages[i].device->uuid, usages.usages[i].power_watts,
                   usages.usages[i].temperature_c, usages.usages[i].memory_percent);
    divvy_backend_usage_list_free(&usages);
    if (divvy_backend_workers_metrics(node->workers, &workers, &count, &node->error) < 0)
        return -1;
    printf("%zu processes of workers on devices\n", count);
    free(workers);
    return 0;
}

/* A worker is started with `-p PORT`, listens there, and ends on SIGTERM. This one does nothing else. */
static int worker_main(const char *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)strtoul(port, NULL, 10))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 1) < 0)
        return EXIT_FAILURE;
    for (;;)
        (void)pause();
}

int main(int argc, char **argv) {
    struct node node = {.folder = "/tmp/divvy-single-node-XXXXXX", .folder_fd = -1};
    struct divvy_log_settings quiet = {.level = DIVVY_LOG_WARN, .program = "single_node"};
    struct divvy_backend_allocation *allocation = NULL;
    struct divvy_backend_worker view;
    struct divvy_node_worker worker;
    char path[PATH_MAX];

    if (argc == 3 && strcmp(argv[1], "-p") == 0)
        return worker_main(argv[2]);
    if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
        (void)fprintf(argc == 2 && strcmp(argv[1], "--help") == 0 ? stdout : stderr, "usage: single_node [LIBRARY]\n");
        return argc == 2 && strcmp(argv[1], "--help") == 0 ? EXIT_SUCCESS : 2;
    }
    (void)divvy_log_open(&quiet, NULL);
    if (!mkdtemp(node.folder) || (node.folder_fd = divvy_backend_folder_open(node.folder, &node.error)) < 0)
        return fail(&node, "the folder of state");
    (void)snprintf(node.logs, sizeof node.logs, "%s/logs", node.folder);
    if (node_start(&node, argc == 2 ? argv[1] : library_find("libaccelerator_example.so", path)) < 0)
        return fail(&node, "the start");

    /* 7: devices for a worker */
    memset(&worker, 0, sizeof worker);
    (void)snprintf(worker.uid, sizeof worker.uid, "my-worker-1");
    worker.device_count = 1;
    worker.qos = DIVVY_NODE_QOS_MEDIUM;
    worker.has_isolation = true;
    worker.isolation = DIVVY_NODE_SOFT;
    worker.limits.vram_bytes = UINT64_C(2) << 30;
    worker.limits.compute.whole = 30;
    if (devices_show(&node, worker.devices[0]) < 0 ||
        divvy_backend_allocate(node.allocations, &worker, &allocation, &node.error) < 0)
        return fail(&node, "the allocation");
    printf("%s has %s and sees it as %s\n", worker.uid, allocation->devices[0]->uuid,
           divvy_backend_environment_get(&allocation->environment, "NVIDIA_VISIBLE_DEVICES"));
    divvy_backend_allocation_unref(allocation);

    /* 8: the worker runs: this program again, see worker_main */
    if (divvy_backend_single_worker_start(node.backend, &worker, &node.error) < 0)
        return fail(&node, "the worker");
    if (divvy_backend_single_get(node.backend, worker.uid, &view) == 0)
        printf("%s is %s as process %d, port %u\n", worker.uid, divvy_node_worker_status_name(view.status), (int)view.process.pid, view.process.port);
    if (figures_show(&node) < 0)
        return fail(&node, "figures");

    /* 10: the end */
    if (divvy_backend_single_worker_stop(node.backend, worker.uid, &node.error) < 0)
        return fail(&node, "stopping the worker");
    divvy_backend_workers_stop(node.workers);
    divvy_backend_single_stop(node.backend);
    divvy_backend_devices_stop(node.devices);
    node_end(&node);
    return EXIT_SUCCESS;
}
