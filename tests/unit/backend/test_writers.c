/*
 * Several writers at once: ten thousand steps of four processes that add, change and remove elements and are killed in the middle of
 * it. Each keeps a model of its own elements: nothing that a change reported as done may be lost, and whatever
 * stands under the file's name at any time must be a whole file.
 */
#include "backend/filestate.h"
#include "room.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define WRITERS  4
#define ELEMENTS 32 /* of each writer */

/* In shared memory, so that it outlives a writer that is killed. */
struct model {
    int value[ELEMENTS]; /* -1: removed */
    int pending, pending_value; /* the step under way: it may or may not have happened. pending < 0: none */
    unsigned int steps;
};

static unsigned int steps_each = 2500;

static int step_do(struct divvy_backend_filestate *state, int writer, int element, int value, struct divvy_error *error) {
    char id[32];
    json_t *object;
    int status;

    (void)snprintf(id, sizeof id, "w%d-%d", writer, element);
    if (value < 0) {
        status = divvy_backend_filestate_remove(state, id, error);
        return status == -ENOENT ? 0 : status;
    }
    object = json_pack("{s:s, s:i, s:s}", "WorkerUID", id, "Value", value, "Status", value % 2 ? "Running" : "Pending");
    status = divvy_backend_filestate_put(state, object, error);
    json_decref(object);
    return status;
}

static void writer_run(const struct room *room, int writer, struct model *model, uint64_t seed) {
    struct divvy_backend_filestate *state;
    struct divvy_error error = {0, ""};

    if (divvy_backend_filestate_open(room->fd, "workers.json", DIVVY_BACKEND_WORKERS, &state, &error) < 0)
        _exit(10);
    while (model->steps < steps_each) {
        int element = (int)(room_random(&seed) % ELEMENTS), value = (int)(room_random(&seed) % 1000);

        if (room_random(&seed) % 4 == 0)
            value = -1;
        model->pending_value = value;
        model->pending = element;
        if (step_do(state, writer, element, value, &error) < 0) {
            (void)fprintf(stderr, "writer %d: %s\n", writer, error.text);
            _exit(11);
        }
        model->value[element] = value;
        model->pending = -1;
        model->steps++;
    }
    divvy_backend_filestate_close(state);
    _exit(0);
}

/* What the file says of a writer's element; -1: nothing. */
static int value_in(json_t *array, int writer, int element) {
    char id[32];
    size_t i;
    json_t *object;

    (void)snprintf(id, sizeof id, "w%d-%d", writer, element);
    json_array_foreach(array, i, object) {
        if (strcmp(divvy_backend_object_id(object, DIVVY_BACKEND_WORKERS), id) == 0)
            return (int)json_integer_value(json_object_get(object, "Value"));
    }
    return -1;
}

/* With nobody writing for `writer`: what its model says is what the file says. */
static void model_check(struct divvy_backend_filestate *state, int writer, struct model *model) {
    struct divvy_error error = {0, ""};
    json_t *array;

    must(divvy_backend_filestate_read(state, &array, NULL, &error), &error);
    for (int i = 0; i < ELEMENTS; i++) {
        int found = value_in(array, writer, i);

        if (i == model->pending && (found == model->value[i] || found == model->pending_value))
            model->value[i] = found; /* killed before or after: both are right */
        if (found != model->value[i])
            fail_msg("writer %d, element %d: %d in the file, %d in the model", writer, i, found, model->value[i]);
    }
    model->pending = -1;
    json_decref(array);
}

static pid_t writer_start(const struct room *room, int writer, struct model *model, uint64_t *seed) {
    uint64_t own = (uint64_t)room_random(seed) << 8 | (uint64_t)writer;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        writer_run(room, writer, &model[writer], own);
    return pid;
}

/* Looks at the file whenever something was renamed: until `stop` is written to. */
static void reader_run(const struct room *room, int stop_fd) {
    int fd = inotify_init1(IN_CLOEXEC);
    struct pollfd ready[2] = {{.fd = fd, .events = POLLIN}, {.fd = stop_fd, .events = POLLIN}};
    struct divvy_backend_filestate *state;
    struct divvy_error error = {0, ""};
    unsigned int looks = 0;
    char buffer[4096];
    json_t *array;

    if (inotify_add_watch(fd, room->path, IN_MOVED_TO) < 0 ||
        divvy_backend_filestate_open(room->fd, "workers.json", DIVVY_BACKEND_WORKERS, &state, &error) < 0)
        _exit(20);
    while (poll(ready, 2, -1) >= 0 && !ready[1].revents) {
        (void)!read(fd, buffer, sizeof buffer);
        if (divvy_backend_filestate_read(state, &array, NULL, &error) < 0) {
            (void)fprintf(stderr, "after a rename: %s\n", error.text);
            _exit(21);
        }
        json_decref(array);
        looks++;
    }
    divvy_backend_filestate_close(state);
    _exit(looks > 100 ? 0 : 22);
}

static void end_await(pid_t pid) {
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void no_update_is_lost(void **data) {
    struct model *model = mmap(NULL, WRITERS * sizeof *model, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct divvy_backend_filestate *state;
    struct divvy_error error = {0, ""};
    uint64_t seed = room_seed();
    pid_t pids[WRITERS], reader;
    unsigned int kills = 0;
    struct room room;
    int stop[2];

    (void)data;
    room_open(&room);
    must(divvy_backend_filestate_open(room.fd, "workers.json", DIVVY_BACKEND_WORKERS, &state, &error), &error);
    assert_int_equal(pipe(stop), 0);
    for (int w = 0; w < WRITERS; w++) {
        model[w].pending = -1;
        for (int i = 0; i < ELEMENTS; i++)
            model[w].value[i] = -1;
    }
    reader = fork();
    if (reader == 0)
        reader_run(&room, stop[0]);
    for (int w = 0; w < WRITERS; w++)
        pids[w] = writer_start(&room, w, model, &seed);
    for (;;) {
        int w = (int)(room_random(&seed) % WRITERS), status;

        (void)usleep(5000 + room_random(&seed) % 30000);
        if (model[0].steps + model[1].steps + model[2].steps + model[3].steps >= WRITERS * steps_each * 9 / 10)
            break;
        if (waitpid(pids[w], &status, WNOHANG) == pids[w]) { /* done before the others */
            assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        } else {
            assert_int_equal(kill(pids[w], SIGKILL), 0);
            assert_int_equal(waitpid(pids[w], &status, 0), pids[w]);
            kills += WIFSIGNALED(status);
        }
        model_check(state, w, &model[w]);
        pids[w] = writer_start(&room, w, model, &seed);
    }
    for (int w = 0; w < WRITERS; w++) {
        end_await(pids[w]);
        model_check(state, w, &model[w]);
    }
    assert_int_equal(write(stop[1], "", 1), 1);
    end_await(reader);
    print_message("%u steps of each of %d writers, %u kills\n", steps_each, WRITERS, kills);
    divvy_backend_filestate_close(state);
    must(divvy_backend_filestate_open(room.fd, "workers.json", DIVVY_BACKEND_WORKERS, &state, &error), &error);
    assert_int_equal(room_count(&room, ".workers"), 0); /* what the killed left behind is gone */
    assert_int_equal(room_count(&room, "workers.json.unreadable"), 0);
    divvy_backend_filestate_close(state);
    (void)close(stop[0]);
    (void)close(stop[1]);
    room_close(&room);
    (void)munmap(model, WRITERS * sizeof *model);
}

int main(void) {
    static const struct CMUnitTest tests[] = {cmocka_unit_test(no_update_is_lost)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
