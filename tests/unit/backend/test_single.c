/* The backend of a node by itself: wishes become workers, whatever happens to files and programs meanwhile. */
#include "node.h"

#include "core/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int setup(void **data) {
    struct node *node = calloc(1, sizeof *node);

    node_room(node);
    node->worker_binary = WORKER;
    node_start(node);
    *data = node;
    return 0;
}

static int teardown(void **data) {
    struct node *node = *data;

    if (!node->single)
        node_start(node);
    room_replace(&node->room, "workers.json", "[]");
    for (int i = 0; i < 1000; i++) {
        struct divvy_backend_allocation **list;
        size_t count;

        assert_int_equal(divvy_backend_allocations_list(node->allocations, &list, &count), 0);
        for (size_t k = 0; k < count; k++)
            divvy_backend_allocation_unref(list[k]);
        free(list);
        if (!count)
            break;
        (void)usleep(10000);
    }
    node_end(node);
    free(node);
    return 0;
}

static void start(struct node *node, const struct divvy_node_worker *worker) {
    must(divvy_backend_single_worker_start(node->single, worker, &node->error), &node->error);
}

static json_t *element(struct node *node, const char *uid) {
    char *text = room_read(&node->room, "workers.json");
    json_t *array = json_loads(text, JSON_ALLOW_NUL, NULL), *object, *found = NULL;
    size_t i;

    assert_non_null(array);
    json_array_foreach(array, i, object) {
        if (strcmp(json_string_value(json_object_get(object, "WorkerUID")), uid) == 0)
            found = json_incref(object);
    }
    json_decref(array);
    free(text);
    return found;
}

/* --- the way of a worker ------------------------------------------------------------------------------------------------------- */

struct events {
    pthread_mutex_t lock;
    char log[256];
};

static void note(struct events *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void note(struct events *e, const char *format, ...) {
    va_list arguments;
    size_t used;

    (void)pthread_mutex_lock(&e->lock);
    used = strlen(e->log);
    va_start(arguments, format);
    (void)vsnprintf(e->log + used, sizeof e->log - used, format, arguments);
    va_end(arguments);
    (void)pthread_mutex_unlock(&e->lock);
}

/* Until the log holds that, or too long; then whether it is all that it holds. */
static void log_await(struct events *e, const char *whole) {
    bool same = false;

    for (int i = 0; i < 1000 && !same; i++) {
        (void)pthread_mutex_lock(&e->lock);
        same = strcmp(e->log, whole) == 0;
        (void)pthread_mutex_unlock(&e->lock);
        (void)usleep(same ? 0 : 10000);
    }
    assert_true(same);
}

static void added(void *data, const struct divvy_node_worker *worker) {
    note(data, "+%s ", worker->uid);
}

static void removed(void *data, const struct divvy_node_worker *worker) {
    note(data, "-%s ", worker->uid);
}

static void updated(void *data, const struct divvy_node_worker *before, const struct divvy_node_worker *after) {
    note(data, "%s:%s>%s ", after->uid, before->devices[0], after->devices[0]);
}

static void runs_from_start_to_stop(void **data) {
    struct node *node = *data;
    struct divvy_node_worker worker = node_worker("w", "gpu-a", 4, 30);
    struct divvy_backend_mapping mapping;
    struct divvy_backend_worker view;
    json_t *object;
    char *log;

    start(node, &worker);
    node_await(node, "w", DIVVY_NODE_WORKER_RUNNING);
    view = node_view(node, "w");
    assert_true(view.has_process && view.process.pid > 1);
    assert_int_equal(divvy_backend_single_mapping(node->single, view.process.pid, &mapping), 0);
    assert_string_equal(mapping.worker, "w");
    assert_int_equal(mapping.leader, view.process.pid);
    assert_int_equal(divvy_backend_single_mapping(node->single, getpid(), &mapping), -ENOENT);
    assert_int_equal(divvy_backend_single_mapping(node->single, 0, &mapping), -ESRCH);
    for (int i = 0; i < 1000; i++) { /* until how it fares is written back */
        object = element(node, "w");
        if (json_is_true(json_object_get(json_object_get(object, "WorkerRunningInfo"), "isRunning")))
            break;
        json_decref(object);
        (void)usleep(10000);
    }
    assert_int_equal(json_integer_value(json_object_get(json_object_get(object, "WorkerRunningInfo"), "pid")), view.process.pid);
    assert_string_equal(json_string_value(json_object_get(object, "Status")), "Running");
    assert_string_equal(json_string_value(json_object_get(json_object_get(object, "Limits"), "vram")), "4Gi");
    json_decref(object);
    log = room_read(&node->room, "logs/worker-w.log");
    assert_non_null(strstr(log, "devices GPU-A"));
    free(log);
    must(divvy_backend_single_worker_stop(node->single, "w", &node->error), &node->error);
    node_gone_await(node, "w");
    assert_int_equal(kill(view.process.pid, 0), -1);
    assert_int_equal(divvy_backend_single_get(node->single, "w", &view), -ENOENT);
    assert_int_equal(divvy_backend_single_worker_stop(node->single, "w", &node->error), -ENOENT);
}

static void every_change_is_told(void **data) {
    struct node *node = *data;
    struct events e = {PTHREAD_MUTEX_INITIALIZER, ""}, late = {PTHREAD_MUTEX_INITIALIZER, ""};
    struct divvy_backend_worker_handler handler = {&e, added, removed, updated}, second = {&late, added, removed, updated};

    assert_int_equal(divvy_backend_single_handler_add(node->single, &handler), 0);
    room_replace(&node->room, "workers.json", "[{\"WorkerUID\":\"a\",\"AllocatedDevices\":[\"GPU-A\"],\"Status\":\"Running\"}]");
    log_await(&e, "+a ");
    assert_int_equal(divvy_backend_single_handler_add(node->single, &second), 0);
    log_await(&late, "+a ");
    room_replace(&node->room, "workers.json", "[{\"WorkerUID\":\"a\",\"AllocatedDevices\":[\"GPU-B\"],\"Status\":\"Running\"}]");
    log_await(&e, "+a a:GPU-A>GPU-B ");
    assert_int_equal(unlinkat(node->room.fd, "workers.json", 0), 0);
    log_await(&e, "+a a:GPU-A>GPU-B -a ");
    divvy_backend_single_handler_remove(node->single, &e);
    divvy_backend_single_handler_remove(node->single, &late);
}

static void the_refused_wait_for_room(void **data) {
    struct node *node = *data;
    struct divvy_node_worker first = node_worker("first", "GPU-A", 10, 0), second = node_worker("second", "GPU-A", 10, 0),
                             stranger = node_worker("stranger", "GPU-Z", 1, 0);
    struct divvy_backend_worker view;
    json_t *object;

    start(node, &first);
    start(node, &second);
    start(node, &stranger);
    view = node_view(node, "second");
    assert_int_equal(view.status, DIVVY_NODE_WORKER_PENDING);
    assert_non_null(strstr(view.message, "memory"));
    assert_false(view.has_process);
    assert_non_null(strstr(node_view(node, "stranger").message, "does not exist"));
    (void)usleep(300000);
    object = element(node, "second");
    assert_non_null(strstr(json_string_value(json_object_get(object, "Message")), "memory"));
    assert_string_equal(json_string_value(json_object_get(object, "Status")), "Running"); /* the wish stays a wish */
    json_decref(object);
    must(divvy_backend_single_worker_stop(node->single, "first", &node->error), &node->error);
    node_await(node, "second", DIVVY_NODE_WORKER_RUNNING);
    node_fake(node, "devices", "GPU-A\nGPU-B\nGPU-Z\n");
    must(divvy_backend_devices_discover(node->devices, &node->error), &node->error);
    node_await(node, "stranger", DIVVY_NODE_WORKER_RUNNING);
    assert_string_equal(node_view(node, "stranger").message, "");
}

static void the_lost_are_marked(void **data) {
    struct node *node = *data;
    struct divvy_node_worker worker = node_worker("w", "GPU-A", 4, 30);

    start(node, &worker);
    node_await(node, "w", DIVVY_NODE_WORKER_RUNNING);
    node_fake(node, "devices", "GPU-B\n");
    must(divvy_backend_devices_discover(node->devices, &node->error), &node->error);
    for (int i = 0; i < 1000 && !node_view(node, "w").message[0]; i++)
        (void)usleep(10000);
    assert_non_null(strstr(node_view(node, "w").message, "vanished"));
    node_fake(node, "devices", "GPU-A\nGPU-B\n");
    must(divvy_backend_devices_discover(node->devices, &node->error), &node->error);
    for (int i = 0; i < 1000 && node_view(node, "w").message[0]; i++)
        (void)usleep(10000);
    assert_string_equal(node_view(node, "w").message, "");
}

static void workers_may_say_how(void **data) {
    struct node *node = *data;
    char text[1024], *log;
    uint16_t port = room_port();

    (void)snprintf(text, sizeof text,
                   "[{\"WorkerUID\":\"w\",\"AllocatedDevices\":[\"gpu-b\"],\"Status\":\"Pending\",\"WorkerRunningInfo\":{\"type\":\"process\","
                   "\"executable\":\"%s\",\"args\":[\"-p\",\"%u\",\"-n\",\"native\"],\"env\":{\"NVIDIA_VISIBLE_DEVICES\":\"all\"},"
                   "\"workingDir\":\"/tmp\"}},"
                   "{\"WorkerUID\":\"off\",\"AllocatedDevices\":[\"gpu-b\"],\"Status\":\"Pending\"},"
                   "{\"WorkerUID\":\"unit\",\"Status\":\"Running\",\"AllocatedDevices\":[\"gpu-b\"],\"WorkerRunningInfo\":{\"type\":\"systemd\","
                   "\"executable\":\"x\"}}]",
                   WORKER, port);
    room_replace(&node->room, "workers.json", text);
    node_await(node, "w", DIVVY_NODE_WORKER_RUNNING);
    assert_int_equal(node_view(node, "w").process.port, port);
    (void)usleep(100000);
    log = room_read(&node->room, "logs/worker-w.log");
    assert_non_null(strstr(log, "devices GPU-B")); /* what it is given cannot be widened */
    free(log);
    assert_int_equal(node_view(node, "off").status, DIVVY_NODE_WORKER_PENDING);
    assert_false(node_view(node, "off").wanted);
    assert_non_null(strstr(node_view(node, "unit").message, "only process"));
}

/* --- files that are wrong -------------------------------------------------------------------------------------------------------- */

static void bad_files_change_nothing(void **data) {
    static const char *const texts[] = {"", "{", "[{]", "[[[[", "17", "[{\"worker_id\":\"w\"}]",
                                        "[{\"WorkerUID\":\"w\",\"AllocatedDevices\":\"GPU-A\",\"Status\":\"Running\"}]",
                                        "[{\"WorkerUID\":\"w\",\"AllocatedDevices\":[\"GPU-A\"],\"Status\":\"Sideways\"}]",
                                        "[{\"WorkerUID\":\"w\",\"Limits\":{\"vram\":\"500m\"}}]", "[{\"WorkerUID\":\"w\",\"DeletedAt\":\"x\"}]"};
    struct node *node = *data;
    struct divvy_node_worker worker = node_worker("w", "GPU-A", 4, 30);
    pid_t pid;

    start(node, &worker);
    node_await(node, "w", DIVVY_NODE_WORKER_RUNNING);
    pid = node_view(node, "w").process.pid;
    for (size_t i = 1; i < sizeof texts / sizeof texts[0]; i++) { /* an empty file would be no wish at all */
        room_replace(&node->room, "workers.json", texts[i]);
        (void)usleep(100000);
        assert_int_equal(node_view(node, "w").process.pid, pid);
        assert_true(node_view(node, "w").wanted);
    }
    start(node, &worker); /* the last is readable as a file: its element becomes right again */
    assert_int_equal(node_view(node, "w").process.pid, pid);
}

/* --- programs that die --------------------------------------------------------------------------------------------------------- */

static void supervisors_come_back(void **data) {
    struct node *node = *data;
    struct divvy_node_worker worker = node_worker("w", "GPU-A", 4, 30), other = node_worker("other", "GPU-B", 4, 30);
    pid_t pid;

    start(node, &worker);
    start(node, &other);
    node_await(node, "w", DIVVY_NODE_WORKER_RUNNING);
    node_await(node, "other", DIVVY_NODE_WORKER_RUNNING);
    pid = node_view(node, "w").process.pid;
    node_halt(node);
    assert_int_equal(kill(pid, 0), 0);
    room_replace(&node->room, "workers.json", "[{\"WorkerUID\":\"w\",\"AllocatedDevices\":[\"GPU-A\"],\"Status\":\"Terminated\"}]");
    node_start(node); /* one is to end, the other is not there any more: both were wished away while nobody looked */
    for (int i = 0; i < 1000; i++) {
        (void)waitpid(-1, NULL, WNOHANG); /* this program is still their parent */
        if (kill(pid, 0) < 0 && !node_view(node, "w").has_process)
            break;
        (void)usleep(10000);
    }
    assert_int_equal(kill(pid, 0), -1);
    assert_int_equal(node_view(node, "w").status, DIVVY_NODE_WORKER_TERMINATED);
}

static void step(struct node *node, unsigned int what) {
    struct divvy_node_worker worker = node_worker("w", "GPU-A", 4, 30), moved = node_worker("w", "GPU-B", 8, 50);

    if (what % 3 == 0)
        (void)divvy_backend_single_worker_start(node->single, &worker, &node->error);
    else if (what % 3 == 1)
        (void)divvy_backend_single_worker_start(node->single, &moved, &node->error);
    else
        (void)divvy_backend_single_worker_stop(node->single, "w", &node->error);
}

/* A whole node in a process of its own is killed at random times of a worker's life; in the end the file's wish is what is. */
static void nodes_die_at_any_time(void **data) {
    struct node *node = *data;
    uint64_t seed = room_seed();
    json_t *object;

    node_halt(node);
    for (int i = 0; i < 25; i++) {
        unsigned int what = room_random(&seed), length = room_random(&seed) % 60000;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
            node_start(node);
            for (;;)
                step(node, what++);
        }
        (void)usleep(length);
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
    }
    node_start(node);
    object = element(node, "w");
    if (object) {
        node_await(node, "w", DIVVY_NODE_WORKER_RUNNING);
        print_message("in the end it runs%s\n", node_view(node, "w").process.adopted ? ", as it did" : "");
    }
    json_decref(object);
}

static void used_is_told(void **data) {
    struct node *node = *data;
    struct divvy_node_worker worker = node_worker("w", "GPU-A", 4, 30);
    struct divvy_backend_worker_usage *usages;
    char text[256];
    size_t count;

    start(node, &worker);
    node_await(node, "w", DIVVY_NODE_WORKER_RUNNING);
    (void)snprintf(text, sizeof text, "%d GPU-A 1073741824 25\n%d GPU-B 1 1\n", node_view(node, "w").process.pid, (int)getpid());
    node_fake(node, "processes", text);
    must(divvy_backend_workers_metrics(node->workers, &usages, &count, &node->error), &node->error);
    assert_int_equal(count, 1); /* the other process is nobody's */
    assert_string_equal(usages[0].worker, "w");
    assert_int_equal(usages[0].memory_bytes, 1073741824);
    assert_true(usages[0].memory_percent > 24.9 && usages[0].memory_percent < 25.1); /* of 4 GiB */
    assert_true(usages[0].compute_tflops > 24.9 && usages[0].compute_tflops < 25.1);
    free(usages);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(runs_from_start_to_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(every_change_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(the_refused_wait_for_room, setup, teardown),
        cmocka_unit_test_setup_teardown(the_lost_are_marked, setup, teardown),
        cmocka_unit_test_setup_teardown(workers_may_say_how, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_files_change_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(supervisors_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(nodes_die_at_any_time, setup, teardown),
        cmocka_unit_test_setup_teardown(used_is_told, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
