/* Devices and allocations: events, partitions, restarts, and failures at every step. */
#include "node.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int setup(void **data) {
    struct node *node = calloc(1, sizeof *node);

    node_room(node);
    node_start(node);
    *data = node;
    return 0;
}

static int teardown(void **data) {
    node_end(*data);
    free(*data);
    return 0;
}

struct events {
    unsigned int added, removed, updated, discovered;
    struct divvy_backend_node node;
};

static void added(void *data, struct divvy_backend_device *device) {
    (void)device;
    ((struct events *)data)->added++;
}

static void removed(void *data, struct divvy_backend_device *device) {
    (void)device;
    ((struct events *)data)->removed++;
}

static void updated(void *data, struct divvy_backend_device *before, struct divvy_backend_device *after) {
    (void)before;
    (void)after;
    ((struct events *)data)->updated++;
}

static void discovered(void *data, const struct divvy_backend_node *node) {
    ((struct events *)data)->discovered++;
    ((struct events *)data)->node = *node;
}

static void look(struct node *node) {
    must(divvy_backend_devices_discover(node->devices, &node->error), &node->error);
}

static void events_are_told(void **data) {
    struct node *node = *data;
    struct events e = {0};
    struct divvy_backend_device_handler handler = {&e, added, removed, updated, discovered};
    struct divvy_backend_device_list list;
    struct divvy_backend_device *device;

    assert_int_equal(divvy_backend_devices_handler_add(node->devices, &handler), 0);
    assert_int_equal(e.added, 2); /* what is there already */
    assert_int_equal(e.discovered, 1);
    assert_int_equal(e.node.devices, 2);
    assert_true(e.node.memory_bytes == UINT64_C(32) << 30);
    look(node);
    assert_int_equal(e.added + e.removed + e.updated, 2); /* nothing has changed */
    node_fake(node, "devices", "GPU-B\nGPU-C\n");
    look(node);
    assert_int_equal(e.removed, 1);
    assert_int_equal(e.added, 3);
    assert_int_equal(e.updated, 1); /* B has another index */
    assert_null(divvy_backend_devices_get(node->devices, "gpu-a"));
    device = divvy_backend_devices_get(node->devices, "gpu-c");
    assert_string_equal(device->uuid, "GPU-C");
    assert_string_equal(divvy_backend_device_property(device, "totalComputeUnits"), "100");
    divvy_backend_device_unref(device);
    assert_int_equal(divvy_backend_devices_list(node->devices, &list), 0);
    assert_int_equal(list.count, 2);
    divvy_backend_device_list_free(&list);
    node_fake(node, "fail-GetAllDevices", "");
    assert_true(divvy_backend_devices_discover(node->devices, &node->error) < 0); /* a look that fails takes nothing away */
    assert_int_equal(e.removed, 1);
    assert_string_equal(divvy_backend_devices_vendor(node->devices), "NVIDIA");
    divvy_backend_devices_handler_remove(node->devices, &e);
}

static void figures_are_there(void **data) {
    struct node *node = *data;
    struct divvy_backend_usage_list list;

    must(divvy_backend_devices_metrics(node->devices, &list, &node->error), &node->error);
    assert_int_equal(list.count, 2);
    assert_true(list.usages[0].memory_percent > 24.9 && list.usages[0].memory_percent < 25.1);
    assert_true(list.usages[0].compute_tflops > 39.9 && list.usages[0].compute_tflops < 40.1);
    assert_true(list.usages[0].rx_kb > 1.9 && list.usages[0].rx_kb < 2.1);
    assert_int_equal(list.usages[0].extra_count, 1);
    divvy_backend_usage_list_free(&list);
}

static void partitions_live_long(void **data) {
    struct node *node = *data;
    struct divvy_backend_device *made, *again;
    char uuid[64];

    must(divvy_backend_devices_split(node->devices, "gpu-a", "1g.18gb", NULL, &made, &node->error), &node->error);
    (void)snprintf(uuid, sizeof uuid, "%s", made->uuid);
    assert_string_equal(made->parent, "GPU-A");
    assert_int_equal(node_partitions(node), 1);
    look(node);
    assert_non_null(again = divvy_backend_devices_get(node->devices, uuid));
    divvy_backend_device_unref(again);
    divvy_backend_device_unref(made);
    node_halt(node);
    node_fake(node, "devices", "GPU-B\n"); /* its device is away for a while */
    node_start(node);
    assert_null(divvy_backend_devices_get(node->devices, uuid));
    node_fake(node, "devices", "GPU-A\nGPU-B\n");
    look(node);
    again = divvy_backend_devices_get(node->devices, uuid);
    assert_non_null(again);
    assert_string_equal(again->uuid, uuid); /* spelled as the library spells it */
    assert_string_equal(again->template_id, "1g.18gb");
    assert_string_equal(again->environment.pairs[0].key, "PARTITION_TEMPLATE");
    divvy_backend_device_unref(again);
    assert_int_equal(divvy_backend_devices_partition_remove(node->devices, uuid, "GPU-B", &node->error), -ENOENT);
    must(divvy_backend_devices_partition_remove(node->devices, uuid, "gpu-A", &node->error), &node->error);
    assert_int_equal(node_partitions(node), 0);
    assert_int_equal(divvy_backend_devices_partition_remove(node->devices, uuid, NULL, &node->error), -ENOENT);
    assert_int_equal(divvy_backend_devices_split(node->devices, "GPU-Z", "t", NULL, &made, &node->error), -ENODEV);
}

static void a_partition_that_is_not_written_down_is_none(void **data) {
    struct node *node = *data;
    struct divvy_backend_device *made;

    assert_int_equal(unlinkat(node->room.fd, "devices.json.lock", 0), 0);
    assert_int_equal(mkdirat(node->room.fd, "devices.json.lock", 0700), 0); /* no lock is to be had */
    assert_true(divvy_backend_devices_split(node->devices, "GPU-A", "1g.18gb", NULL, &made, &node->error) < 0);
    assert_int_equal(node_partitions(node), 0);
    assert_int_equal(unlinkat(node->room.fd, "devices.json.lock", AT_REMOVEDIR), 0);
}

static struct divvy_backend_allocation *allocate(struct node *node, const struct divvy_node_worker *worker) {
    struct divvy_backend_allocation *allocation = NULL;

    node->error = (struct divvy_error){0, ""};
    must(divvy_backend_allocate(node->allocations, worker, &allocation, &node->error), &node->error);
    return allocation;
}

/* A process that is killed when the library has made the partition, before anybody knows of it. The node is halted before and after. */
static void die_dividing(struct node *node) {
    struct divvy_backend_device *made;
    int status = 0;
    pid_t child;

    node_fake(node, "die-AssignPartition", "");
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        node_start(node);
        (void)divvy_backend_devices_split(node->devices, "GPU-A", "1g.18gb", NULL, &made, &node->error);
        _exit(1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    node_fake(node, "die-AssignPartition", NULL);
}

static void a_partition_that_was_being_made_is_taken_back(void **data) {
    struct node *node = *data;
    struct divvy_backend_device *made;
    char uuid[64];

    node_halt(node);
    die_dividing(node);
    assert_int_equal(node_partitions(node), 1);
    node_start(node);
    assert_int_equal(node_partitions(node), 0);
    /* Beside one of the same template that is known it could be mistaken, and the known one must stay. */
    must(divvy_backend_devices_split(node->devices, "GPU-A", "1g.18gb", NULL, &made, &node->error), &node->error);
    (void)snprintf(uuid, sizeof uuid, "%.63s", made->uuid);
    divvy_backend_device_unref(made);
    node_halt(node);
    die_dividing(node);
    node_start(node);
    assert_int_equal(node_partitions(node), 2);
    must(divvy_backend_devices_partition_remove(node->devices, uuid, NULL, &node->error), &node->error);
    assert_int_equal(node_partitions(node), 1);
}

static struct divvy_node_worker partitioned(const char *uid, uint32_t count) {
    struct divvy_node_worker worker = node_worker(uid, "GPU-A", 0, 0);

    worker.has_isolation = true;
    worker.isolation = DIVVY_NODE_PARTITIONED;
    (void)snprintf(worker.template_id, sizeof worker.template_id, "1g.18gb");
    worker.device_count = count;
    for (uint32_t i = 1; i < count; i++)
        memcpy(worker.devices[i], worker.devices[0], sizeof worker.devices[0]);
    return worker;
}

static void allocations_are_the_same_for_the_same(void **data) {
    struct node *node = *data;
    struct divvy_node_worker worker = node_worker("w", "gpu-a", 4, 30), more = node_worker("w", "gpu-a", 17, 30);
    struct divvy_backend_allocation *first = allocate(node, &worker), *second = allocate(node, &worker);

    assert_ptr_equal(first, second);
    assert_int_equal(divvy_backend_allocate(node->allocations, &more, NULL, &node->error), -EINVAL);
    assert_string_equal(divvy_backend_environment_get(&first->environment, "NVIDIA_VISIBLE_DEVICES"), "GPU-A");
    assert_null(divvy_backend_environment_get(&first->environment, "TF_GPU_MEMORY_LIMIT")); /* shared */
    divvy_backend_allocation_unref(first);
    divvy_backend_allocation_unref(second);
    assert_int_equal(divvy_backend_release(node->allocations, "w"), 0);
    assert_int_equal(divvy_backend_release(node->allocations, "w"), -ENOENT);
}

static void hard_limits_are_kept_by_somebody(void **data) {
    struct node *node = *data;
    struct divvy_node_worker worker = node_worker("w", "GPU-A", 4, 30);
    struct divvy_backend_allocation *allocation;

    worker.has_isolation = true;
    worker.isolation = DIVVY_NODE_HARD;
    allocation = allocate(node, &worker);
    assert_true(allocation->driver_keeps);
    assert_string_equal(divvy_backend_environment_get(&allocation->environment, "TF_GPU_MEMORY_LIMIT"), "4096");
    assert_string_equal(divvy_backend_environment_get(&allocation->environment, "TF_CUDA_SM_PERCENT_LIMIT"), "30");
    divvy_backend_allocation_unref(allocation);
    assert_int_equal(divvy_backend_release(node->allocations, "w"), 0);
    node_fake(node, "fail-SetMemHardLimit", ""); /* "not supported": the limiter has to */
    node->error = (struct divvy_error){0, ""};
    if (divvy_backend_allocate(node->allocations, &worker, &allocation, &node->error) == 0) {
        assert_false(allocation->driver_keeps);
        assert_non_null(strstr(divvy_backend_environment_get(&allocation->environment, "LD_PRELOAD"), "libcuda_limiter.so"));
        assert_string_equal(divvy_backend_environment_get(&allocation->environment, "TENSOR_FUSION_CUDA_MEM_LIMIT"),
                            "{\"GPU-A\":4294967296}");
        divvy_backend_allocation_unref(allocation);
        assert_int_equal(divvy_backend_release(node->allocations, "w"), 0);
    } else { /* no limiter was built: refused, never unlimited */
        assert_non_null(strstr(node->error.text, "libcuda_limiter.so"));
    }
    node_fake(node, "fail-SetMemHardLimit", NULL);
    node_fake(node, "fail-SetComputeUnitHardLimit", "");
    assert_true(divvy_backend_allocate(node->allocations, &worker, NULL, &node->error) < 0);
    assert_null(divvy_backend_allocation_get(node->allocations, "w"));
}

static void what_fails_leaves_nothing(void **data) {
    static const char *const steps[] = {"fail-AssignPartition", "fail-GetVendorMountLibs"};
    struct node *node = *data;
    struct divvy_node_worker worker = partitioned("w", 2), whole = node_worker("whole", "GPU-A", 16, 100);

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        node_fake(node, steps[i], "");
        assert_true(divvy_backend_allocate(node->allocations, &worker, NULL, &node->error) < 0);
        assert_int_equal(node_partitions(node), 0);
        node_fake(node, steps[i], NULL);
        divvy_backend_allocation_unref(allocate(node, &whole)); /* all of the device is free */
        assert_int_equal(divvy_backend_release(node->allocations, "whole"), 0);
    }
    divvy_backend_allocation_unref(allocate(node, &worker));
    assert_int_equal(node_partitions(node), 2);
    worker.device_count = 4; /* more than the device takes: what it had stays */
    memcpy(worker.devices[2], "GPU-A", 6);
    memcpy(worker.devices[3], "GPU-A", 6);
    assert_int_equal(divvy_backend_allocate(node->allocations, &worker, NULL, &node->error), -EUSERS);
    assert_int_equal(node_partitions(node), 2);
    worker.device_count = 1;
    divvy_backend_allocation_unref(allocate(node, &worker));
    assert_int_equal(node_partitions(node), 1);
    assert_int_equal(divvy_backend_release(node->allocations, "w"), 0);
    assert_int_equal(node_partitions(node), 0);
}

static bool nobody(void *data, const char *uid) {
    (void)data;
    (void)uid;
    return false;
}

static void partitions_find_their_worker(void **data) {
    struct node *node = *data;
    struct divvy_node_worker worker = partitioned("w", 2);
    struct divvy_backend_allocation *allocation;
    char first[64];

    must(divvy_backend_single_worker_start(node->single, &worker, &node->error), &node->error);
    allocation = allocate(node, &worker);
    (void)snprintf(first, sizeof first, "%s", allocation->devices[0]->uuid);
    divvy_backend_allocation_unref(allocation);
    node_halt(node);
    assert_int_equal(node_partitions(node), 2);
    node_start(node);
    allocation = allocate(node, &worker);
    assert_int_equal(node_partitions(node), 2); /* no new ones */
    assert_true(strcmp(allocation->devices[0]->uuid, first) == 0 || strcmp(allocation->devices[1]->uuid, first) == 0);
    divvy_backend_allocation_unref(allocation);
    divvy_backend_allocations_sweep(node->allocations, nobody, NULL);
    assert_int_equal(node_partitions(node), 2); /* they have an allocation */
    node_halt(node);
    room_replace(&node->room, "workers.json", "[]"); /* it goes while nobody looks */
    node_start(node);
    for (int i = 0; i < 1000 && node_partitions(node); i++)
        (void)usleep(10000);
    assert_int_equal(node_partitions(node), 0);
}

static void the_lost_are_counted(void **data) {
    struct node *node = *data;
    struct divvy_node_worker worker = node_worker("w", "GPU-A", 4, 30), late = node_worker("late", "GPU-A", 4, 30);

    divvy_backend_allocation_unref(allocate(node, &worker));
    node_fake(node, "devices", "GPU-B\n");
    look(node);
    assert_int_equal(divvy_backend_allocation_lost(node->allocations, "w"), 1);
    assert_int_equal(divvy_backend_allocate(node->allocations, &late, NULL, &node->error), -ENODEV);
    node_fake(node, "devices", "GPU-A\nGPU-B\n");
    look(node);
    assert_int_equal(divvy_backend_allocation_lost(node->allocations, "w"), 0);
    assert_int_equal(divvy_backend_release(node->allocations, "w"), 0);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(events_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(figures_are_there, setup, teardown),
        cmocka_unit_test_setup_teardown(partitions_live_long, setup, teardown),
        cmocka_unit_test_setup_teardown(a_partition_that_is_not_written_down_is_none, setup, teardown),
        cmocka_unit_test_setup_teardown(a_partition_that_was_being_made_is_taken_back, setup, teardown),
        cmocka_unit_test_setup_teardown(allocations_are_the_same_for_the_same, setup, teardown),
        cmocka_unit_test_setup_teardown(hard_limits_are_kept_by_somebody, setup, teardown),
        cmocka_unit_test_setup_teardown(what_fails_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(partitions_find_their_worker, setup, teardown),
        cmocka_unit_test_setup_teardown(the_lost_are_counted, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
