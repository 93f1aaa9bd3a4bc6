/* Threads that are known to be past something: asleep, busy, stopped, gone. */
#include "daemon/quiet.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define MS     INT64_C(1000000)
#define SECOND (1000 * MS)

static void *sleep_run(void *data) {
    (void)data;
    for (;;)
        pause();
    return NULL;
}

static void *spin_run(void *data) {
    for (;;)
        __atomic_add_fetch((volatile uint64_t *)data, 1, __ATOMIC_RELAXED);
    return NULL;
}

/* A process with three threads that sleep, and one that works if `spins`. Its name is meant to confuse. */
static pid_t start(bool spins) {
    static uint64_t counter;
    int ready[2];
    pid_t pid;
    char byte;

    assert_int_equal(pipe(ready), 0);
    pid = fork();
    if (pid == 0) {
        pthread_t thread;

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)prctl(PR_SET_NAME, ") R 1 (");
        for (int i = 0; i < 3; i++)
            (void)pthread_create(&thread, NULL, sleep_run, NULL);
        if (spins)
            (void)pthread_create(&thread, NULL, spin_run, &counter);
        (void)!write(ready[1], "r", 1);
        for (;;)
            pause();
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

static void end(pid_t pid) {
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_asleep(void **state) {
    pid_t pid = start(false);
    int32_t pids[2] = {pid, pid};

    (void)state;
    assert_int_equal(divvy_quiet_wait(pids, 2, 10 * SECOND), 0);
    assert_int_equal(divvy_quiet_wait(pids, 0, SECOND), 0);
    end(pid);
    assert_int_equal(divvy_quiet_wait(pids, 2, SECOND), 0); /* gone */
}

/* One that works is past it as soon as it has had the processor for a while. */
static void test_busy(void **state) {
    pid_t pid = start(true);
    int32_t pids[1] = {pid};

    (void)state;
    assert_int_equal(divvy_quiet_wait(pids, 1, 60 * SECOND), 0);
    end(pid);
}

/* One that is stopped may be anywhere. */
static void test_stopped(void **state) {
    pid_t pid = start(true);
    int32_t pids[1] = {pid};
    int status;

    (void)state;
    kill(pid, SIGSTOP);
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_int_equal(divvy_quiet_wait(pids, 1, 100 * MS), -ETIMEDOUT);
    kill(pid, SIGCONT);
    assert_int_equal(divvy_quiet_wait(pids, 1, 60 * SECOND), 0);
    end(pid);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_asleep),
        cmocka_unit_test(test_busy),
        cmocka_unit_test(test_stopped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
