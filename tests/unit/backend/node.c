/* A whole node for tests: see node.h. */
#include "node.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

void node_room(struct node *node) {
    memset(node, 0, sizeof *node);
    room_open(&node->room);
    (void)snprintf(node->fake, sizeof node->fake, "%s/fake", node->room.path);
    (void)snprintf(node->logs, sizeof node->logs, "%s/logs", node->room.path);
    assert_int_equal(mkdir(node->fake, 0700), 0);
    (void)setenv("FAKE_ACCEL", node->fake, 1);
    node_fake(node, "devices", "GPU-A\nGPU-B\n");
}

void node_fake(const struct node *node, const char *file, const char *text) {
    char name[128];

    (void)snprintf(name, sizeof name, "fake/%s", file);
    if (text)
        room_write(&node->room, name, text);
    else
        (void)unlinkat(node->room.fd, name, 0);
}

size_t node_partitions(const struct node *node) {
    DIR *folder = opendir(node->fake);
    struct dirent *entry;
    size_t count = 0;

    while ((entry = readdir(folder)))
        count += strncmp(entry->d_name, "part-", 5) == 0;
    (void)closedir(folder);
    return count;
}

void node_start(struct node *node) {
    struct divvy_backend_devices_options devices = {.library = FAKE_ACCEL_LIBRARY, .state_fd = node->room.fd};
    struct divvy_backend_allocations_options allocations = {.isolation = DIVVY_NODE_SHARED};
    struct divvy_backend_single_options single = {.state_fd = node->room.fd,
                                                  .log_folder = node->logs,
                                                  .worker_binary = node->worker_binary,
                                                  .grace_ns = 500000000,
                                                  .life = {.delay_ns = 50000000, .delay_max_ns = 200000000}};

    node->error = (struct divvy_error){0, ""};
    must(divvy_backend_devices_new(&devices, &node->devices, &node->error), &node->error);
    assert_int_equal(divvy_backend_allocations_new(node->devices, &allocations, &node->allocations), 0);
    must(divvy_backend_single_new(&single, &node->single, &node->error), &node->error);
    assert_int_equal(divvy_backend_workers_new(node->devices, node->allocations, node->single, &node->workers), 0);
    must(divvy_backend_devices_start(node->devices, &node->error), &node->error);
    must(divvy_backend_single_start(node->single, &node->error), &node->error);
    assert_int_equal(divvy_backend_workers_start(node->workers), 0);
}

void node_halt(struct node *node) {
    divvy_backend_single_stop(node->single);
    divvy_backend_workers_free(node->workers);
    divvy_backend_single_free(node->single);
    divvy_backend_allocations_free(node->allocations);
    divvy_backend_devices_free(node->devices);
    node->single = NULL;
}

void node_end(struct node *node) {
    if (node->single)
        node_halt(node);
    room_close(&node->room);
}

struct divvy_node_worker node_worker(const char *uid, const char *device, uint64_t gib, unsigned int percent) {
    struct divvy_node_worker worker;

    memset(&worker, 0, sizeof worker);
    (void)snprintf(worker.uid, sizeof worker.uid, "%s", uid);
    (void)snprintf(worker.devices[0], sizeof worker.devices[0], "%s", device);
    worker.device_count = 1;
    worker.qos = DIVVY_NODE_QOS_MEDIUM;
    worker.limits.vram_bytes = gib << 30;
    worker.limits.compute.whole = percent;
    return worker;
}

struct divvy_backend_worker node_view(struct node *node, const char *uid) {
    struct divvy_backend_worker view;

    assert_int_equal(divvy_backend_single_get(node->single, uid, &view), 0);
    return view;
}

void node_await(struct node *node, const char *uid, enum divvy_node_worker_status status) {
    struct divvy_backend_worker view = {.status = DIVVY_NODE_WORKER_STATUS_MAX};

    for (int i = 0; i < 1000; i++) {
        if (divvy_backend_single_get(node->single, uid, &view) == 0 && view.status == status)
            return;
        (void)usleep(10000);
    }
    fail_msg("worker %s is %s, not %s: %s", uid, divvy_node_worker_status_name(view.status), divvy_node_worker_status_name(status),
             view.message);
}

void node_gone_await(struct node *node, const char *uid) {
    for (int i = 0; i < 1000; i++) {
        struct divvy_backend_allocation *allocation = divvy_backend_allocation_get(node->allocations, uid);

        if (!allocation)
            return;
        divvy_backend_allocation_unref(allocation);
        (void)usleep(10000);
    }
    fail_msg("worker %s still has its devices", uid);
}
