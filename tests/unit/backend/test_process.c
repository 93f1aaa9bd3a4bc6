/* Workers as processes: started, started again, stopped, adopted, killed together with their supervisor. */
#include "backend/process.h"
#include "core/clock.h"
#include "core/sys.h"
#include "room.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SECOND INT64_C(1000000000)

struct fixture {
    struct room room;
    char logs[96];
    struct divvy_backend_processes *processes;
    struct divvy_error error;
    unsigned int told;
};

static void count_change(void *data, const struct divvy_backend_process *process) {
    struct fixture *f = data;

    (void)process;
    f->told++;
}

static void supervise(struct fixture *f) {
    struct divvy_backend_process_options options = {
        .state_fd = f->room.fd,
        .log_folder = f->logs,
        .log_bytes = 4096,
        .log_files = 2,
        .grace_ns = SECOND / 2,
        .life = {.delay_ns = SECOND / 20, .delay_max_ns = SECOND / 5, .healthy_ns = 60 * SECOND},
        .changed = count_change,
        .data = f,
    };

    must(divvy_backend_processes_new(&options, &f->processes, &f->error), &f->error);
}

static int setup(void **data) {
    struct fixture *f = calloc(1, sizeof *f);

    room_open(&f->room);
    (void)snprintf(f->logs, sizeof f->logs, "%s/logs", f->room.path);
    supervise(f);
    *data = f;
    return 0;
}

static void nothing(void *data, const char *id) {
    struct fixture *f = data;

    (void)divvy_backend_process_unwant(f->processes, id);
}

static void turn(struct fixture *f, int wait_ms) {
    struct pollfd ready = {.fd = divvy_backend_processes_fd(f->processes), .events = POLLIN};

    (void)poll(&ready, 1, wait_ms);
    divvy_backend_processes_turn(f->processes);
}

/* Until no worker is left, or too long. */
static void stop_all(struct fixture *f) {
    struct divvy_backend_process view;

    for (size_t i = 0; divvy_backend_processes_at(f->processes, i, &view) == 0; i++)
        (void)divvy_backend_process_unwant(f->processes, view.id);
    (void)divvy_backend_processes_left(f->processes, nothing, f);
    for (int i = 0; i < 1000 && divvy_backend_processes_count(f->processes); i++)
        turn(f, 10);
}

static int teardown(void **data) {
    struct fixture *f = *data;

    stop_all(f);
    assert_int_equal(divvy_backend_processes_count(f->processes), 0);
    divvy_backend_processes_free(f->processes);
    room_close(&f->room);
    free(f);
    return 0;
}

static void want(struct fixture *f, const char *id, uint16_t port, const char *way) {
    char port_text[8], way_text[64], id_text[160];
    const char *const arguments[] = {"-p", port_text, NULL};
    const char *const environment[] = {id_text, way_text, NULL};
    struct divvy_backend_command command = {
        .binary = WORKER, .arguments = arguments, .environment = environment, .port = port};

    (void)snprintf(port_text, sizeof port_text, "%u", port);
    (void)snprintf(way_text, sizeof way_text, way ? "TCP_WORKER=%s" : "TCP_WORKER", way);
    (void)snprintf(id_text, sizeof id_text, "WORKER_ID=%s", id);
    must(divvy_backend_process_want(f->processes, id, &command, &f->error), &f->error);
}

/* Within a second: a port that a worker has left may be another program's by now, one that says nothing. */
static bool answers(uint16_t port) {
    const struct timeval limit = {.tv_sec = 1};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char byte;
    bool answered;

    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit), 0);
    answered = connect(fd, (struct sockaddr *)&address, sizeof address) == 0 && read(fd, &byte, 1) == 1;

    (void)close(fd);
    return answered;
}

static void answer_await(struct fixture *f, uint16_t port) {
    for (int i = 0; i < 1000; i++) {
        if (answers(port))
            return;
        turn(f, 10);
    }
    fail_msg("nobody answers on port %u", port);
}

static struct divvy_backend_process view_of(struct fixture *f, const char *id) {
    struct divvy_backend_process view;

    assert_int_equal(divvy_backend_process_get(f->processes, id, &view), 0);
    return view;
}

static struct divvy_backend_process phase_await(struct fixture *f, const char *id, enum divvy_node_life_phase phase) {
    for (int i = 0; i < 1000; i++) {
        struct divvy_backend_process view = view_of(f, id);

        if (view.phase == phase)
            return view;
        turn(f, 10);
    }
    fail_msg("worker %s is not %s", id, divvy_node_life_phase_name(phase));
    return view_of(f, id);
}

static void gone_await(struct fixture *f, const char *id) {
    struct divvy_backend_process view;

    for (int i = 0; i < 1000; i++) {
        if (divvy_backend_process_get(f->processes, id, &view) == -ENOENT)
            return;
        turn(f, 10);
    }
    fail_msg("worker %s is still there", id);
}

/* --- life -------------------------------------------------------------------------------------------------------------------- */

static void starts_and_stops(void **data) {
    struct fixture *f = *data;
    struct divvy_backend_process view;
    uint16_t port = room_port();
    char *log;

    want(f, "ns/pod a", port, NULL);
    answer_await(f, port);
    view = view_of(f, "ns/pod a");
    assert_int_equal(view.phase, DIVVY_NODE_LIFE_RUNNING);
    assert_int_equal(getpgid(view.pid), view.pid);
    assert_int_equal(divvy_backend_port_check(port), -EADDRINUSE);
    log = room_read(&f->room, "logs/worker-ns%2Fpod%20a.log");
    assert_non_null(strstr(log, "worker ns/pod a pid "));
    free(log);
    assert_int_equal(divvy_backend_process_unwant(f->processes, "ns/pod a"), 0);
    gone_await(f, "ns/pod a");
    assert_false(divvy_core_sys_is_alive(view.pid, view.start_ticks));
    assert_int_equal(divvy_backend_port_check(port), 0);
    assert_int_equal(divvy_backend_process_unwant(f->processes, "ns/pod a"), -ENOENT);
    assert_true(f->told >= 3);
}

static void a_crash_is_followed_by_a_start(void **data) {
    struct fixture *f = *data;
    uint16_t port = room_port();
    struct divvy_backend_process first, view;

    want(f, "w", port, NULL);
    answer_await(f, port);
    first = view_of(f, "w");
    assert_int_equal(kill(first.pid, SIGKILL), 0);
    view = phase_await(f, "w", DIVVY_NODE_LIFE_WAITING);
    assert_int_equal(view.exit_signal, SIGKILL);
    assert_string_equal(view.reason, "killed by signal 9 (Killed)");
    answer_await(f, port);
    view = view_of(f, "w");
    assert_int_not_equal(view.pid, first.pid);
    assert_int_equal(view.restarts, 1);
}

static void ends_are_counted_and_told(void **data) {
    struct fixture *f = *data;
    struct divvy_backend_process view;

    want(f, "w", 0, "exit 7");
    for (int i = 0; i < 1000; i++) {
        turn(f, 10);
        view = view_of(f, "w");
        if (view.restarts >= 3)
            break;
    }
    assert_true(view.restarts >= 3);
    view = phase_await(f, "w", DIVVY_NODE_LIFE_WAITING);
    assert_int_equal(view.exit_code, 7);
    assert_string_equal(view.reason, "exited with status 7");
}

static void children_end_with_it(void **data) {
    struct fixture *f = *data;
    uint16_t port = room_port();
    struct divvy_backend_process view;

    want(f, "w", port, "child");
    answer_await(f, port);
    view = view_of(f, "w");
    assert_int_equal(divvy_backend_process_unwant(f->processes, "w"), 0);
    gone_await(f, "w");
    for (int i = 0; i < 1000 && kill(-view.pid, 0) == 0; i++)
        (void)usleep(10000); /* whoever has taken the child over collects it in its own time */
    assert_int_equal(kill(-view.pid, 0), -1);
    assert_int_equal(errno, ESRCH);
}

static void the_deaf_are_killed(void **data) {
    struct fixture *f = *data;
    uint16_t port = room_port();

    want(f, "w", port, "deaf");
    answer_await(f, port);
    assert_int_equal(divvy_backend_process_unwant(f->processes, "w"), 0);
    gone_await(f, "w");
    assert_int_equal(divvy_backend_port_check(port), 0);
}

static void a_stopped_one_can_end(void **data) {
    struct fixture *f = *data;
    uint16_t port = room_port();

    want(f, "w", port, NULL);
    answer_await(f, port);
    assert_int_equal(kill(view_of(f, "w").pid, SIGSTOP), 0);
    assert_int_equal(divvy_backend_process_unwant(f->processes, "w"), 0);
    gone_await(f, "w");
}

static void what_cannot_start_says_why(void **data) {
    struct fixture *f = *data;
    struct divvy_backend_process view;
    uint16_t port = room_port();
    struct divvy_backend_command none = {.binary = "/nonexistent/worker"}, empty = {.binary = ""}, folder = {.binary = "/tmp"};

    want(f, "first", port, NULL);
    answer_await(f, port);
    want(f, "second", port, NULL);
    view = phase_await(f, "second", DIVVY_NODE_LIFE_WAITING);
    turn(f, 10);
    view = view_of(f, "second");
    assert_non_null(strstr(view.reason, "in use"));
    assert_int_equal(divvy_backend_process_unwant(f->processes, "first"), 0);
    gone_await(f, "first");
    view = phase_await(f, "second", DIVVY_NODE_LIFE_RUNNING); /* once the port is free */
    must(divvy_backend_process_want(f->processes, "none", &none, &f->error), &f->error);
    turn(f, 10);
    view = view_of(f, "none");
    assert_non_null(strstr(view.reason, "/nonexistent/worker"));
    must(divvy_backend_process_want(f->processes, "folder", &folder, &f->error), &f->error);
    turn(f, 10);
    assert_non_null(strstr(view_of(f, "folder").reason, "no program"));
    assert_int_equal(divvy_backend_process_want(f->processes, "empty", &empty, &f->error), -EINVAL);
    assert_int_equal(divvy_backend_process_want(f->processes, "", &none, &f->error), -EINVAL);
    assert_int_equal(divvy_backend_process_want(f->processes, "a\nb", &none, &f->error), -EINVAL);
}

static void another_command_restarts(void **data) {
    struct fixture *f = *data;
    uint16_t port = room_port(), other = room_port();
    struct divvy_backend_process before, after;

    want(f, "w", port, NULL);
    answer_await(f, port);
    before = view_of(f, "w");
    want(f, "w", port, NULL);
    turn(f, 50);
    assert_int_equal(view_of(f, "w").pid, before.pid);
    want(f, "w", other, NULL);
    answer_await(f, other);
    after = view_of(f, "w");
    assert_int_not_equal(after.pid, before.pid);
    assert_int_equal(divvy_backend_port_check(port), 0);
}

/* --- supervisors that end ------------------------------------------------------------------------------------------------------ */

static void a_second_supervisor_is_refused(void **data) {
    struct fixture *f = *data;
    struct divvy_backend_process_options options = {.state_fd = f->room.fd, .log_folder = f->logs};
    struct divvy_backend_command command = {.binary = WORKER};
    struct divvy_backend_processes *second;
    struct divvy_backend_process view;

    want(f, "w", 0, NULL);
    (void)phase_await(f, "w", DIVVY_NODE_LIFE_RUNNING);
    must(divvy_backend_processes_new(&options, &second, &f->error), &f->error);
    assert_int_equal(divvy_backend_process_want(second, "w", &command, &f->error), -EBUSY);
    assert_int_equal(divvy_backend_process_unwant(second, "w"), -EBUSY);
    assert_int_equal(divvy_backend_process_recorded(second, "w", &view), 0);
    assert_int_equal(view.pid, view_of(f, "w").pid);
    divvy_backend_processes_free(second);
}

static void workers_are_adopted(void **data) {
    struct fixture *f = *data;
    uint16_t port = room_port(), other = room_port();
    struct divvy_backend_process first, view;

    want(f, "stays", port, NULL);
    want(f, "goes", other, NULL);
    answer_await(f, port);
    answer_await(f, other);
    first = view_of(f, "stays");
    divvy_backend_processes_free(f->processes);
    assert_true(answers(port));
    supervise(f);
    want(f, "stays", port, NULL);
    turn(f, 50);
    view = view_of(f, "stays");
    assert_true(view.adopted);
    assert_int_equal(view.pid, first.pid);
    assert_int_equal(divvy_backend_process_get(f->processes, "goes", &view), -ENOENT);
    (void)divvy_backend_processes_left(f->processes, nothing, f);
    gone_await(f, "goes");
    assert_int_equal(divvy_backend_port_check(other), 0);
    /* one that was adopted is started again too; this test is its parent still, and has to collect it */
    assert_int_equal(kill(first.pid, SIGKILL), 0);
    assert_int_equal(waitpid(first.pid, NULL, 0), first.pid);
    answer_await(f, port);
    assert_int_not_equal(view_of(f, "stays").pid, first.pid);
}

/* A supervisor in a process of its own, killed after a random time; the next one must find or start exactly one worker. */
static void supervisors_die_at_any_time(void **data) {
    struct fixture *f = *data;
    uint64_t seed = room_seed();
    uint16_t port = room_port();
    unsigned int found = 0;

    divvy_backend_processes_free(f->processes);
    for (int i = 0; i < 40; i++) {
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
            supervise(f);
            if (room_random(&seed) % 4 == 0)
                (void)divvy_backend_process_unwant(f->processes, "w");
            else
                want(f, "w", port, NULL);
            for (;;)
                turn(f, 5);
        }
        (void)usleep(room_random(&seed) % (i % 2 ? 3000 : 40000));
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
    }
    supervise(f);
    want(f, "w", port, NULL);
    answer_await(f, port);
    found = view_of(f, "w").adopted;
    print_message("the last was %s\n", found ? "adopted" : "started");
    assert_int_equal(divvy_backend_process_unwant(f->processes, "w"), 0);
    gone_await(f, "w");
    assert_int_equal(divvy_backend_port_check(port), 0); /* there was no second one */
}

static void broken_records_are_nobody(void **data) {
    static const char *const texts[] = {"", "x", "1 2", "1 1 1 boot 1 1 w\n", "2 1 1 - 1 1 w\n", "1 4294967297 1 - 1 1 w\n",
                                        "1 999999 1 - 1 1 w", "1 0 0 - 0 0 w\n", "1 1 1 - 1 99999 w\n"};
    struct fixture *f = *data;
    struct divvy_backend_process view;

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        room_write(&f->room, "run/w.run", texts[i]);
        assert_int_equal(divvy_backend_process_unwant(f->processes, "w"), -ENOENT);
        want(f, "w", 0, NULL);
        view = phase_await(f, "w", DIVVY_NODE_LIFE_RUNNING);
        assert_false(view.adopted);
        assert_int_equal(divvy_backend_process_unwant(f->processes, "w"), 0);
        gone_await(f, "w");
    }
}

/* --- logs, trees ------------------------------------------------------------------------------------------------------------- */

static void processes_have_workers(void **data) {
    struct fixture *f = *data;
    uint16_t port = room_port();
    struct divvy_backend_process view;
    char path[64], text[64] = "";
    FILE *file;

    want(f, "w", port, "child");
    answer_await(f, port);
    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", view_of(f, "w").pid, view_of(f, "w").pid);
    file = fopen(path, "r");
    if (file) {
        assert_non_null(fgets(text, sizeof text, file));
        (void)fclose(file);
        assert_int_equal(divvy_backend_process_of_pid(f->processes, (pid_t)strtol(text, NULL, 10), &view), 0);
        assert_string_equal(view.id, "w");
    }
    assert_int_equal(divvy_backend_process_of_pid(f->processes, getpid(), &view), -ENOENT);
    assert_int_equal(divvy_backend_process_of_pid(f->processes, 0, &view), -ENOENT);
    assert_int_equal(divvy_backend_process_of_pid(f->processes, -5, &view), -ENOENT);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(starts_and_stops, setup, teardown),
        cmocka_unit_test_setup_teardown(a_crash_is_followed_by_a_start, setup, teardown),
        cmocka_unit_test_setup_teardown(ends_are_counted_and_told, setup, teardown),
        cmocka_unit_test_setup_teardown(children_end_with_it, setup, teardown),
        cmocka_unit_test_setup_teardown(the_deaf_are_killed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stopped_one_can_end, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_start_says_why, setup, teardown),
        cmocka_unit_test_setup_teardown(another_command_restarts, setup, teardown),
        cmocka_unit_test_setup_teardown(a_second_supervisor_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(workers_are_adopted, setup, teardown),
        cmocka_unit_test_setup_teardown(supervisors_die_at_any_time, setup, teardown),
        cmocka_unit_test_setup_teardown(broken_records_are_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(processes_have_workers, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
