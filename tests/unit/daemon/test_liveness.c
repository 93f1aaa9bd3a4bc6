/* Ends of processes: each that is watched is told of once, forgotten ones never; with and without pidfds. */
#include "core/sys.h"
#include "daemon/liveness.h"
#include "fake_state.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static pid_t sleeper_start(void) {
    pid_t child = fork();

    if (child == 0) {
        for (;;)
            (void)pause();
    }
    assert_true(child > 0);
    return child;
}

/* Reaped here, so that nothing but the watcher can tell of it afterwards. */
static void sleeper_end(pid_t pid) {
    assert_int_equal(kill(pid, SIGKILL), 0);
    while (waitpid(pid, NULL, 0) < 0)
        assert_int_equal(errno, EINTR);
}

static struct divvy_liveness *liveness_begin(void) {
    struct divvy_liveness *liveness;

    fake_ended_forget();
    assert_int_equal(divvy_liveness_new(NULL, &liveness, NULL), 0);
    assert_int_equal(divvy_liveness_start(liveness, NULL), 0);
    return liveness;
}

static void ends_are_told(void **state) {
    struct divvy_liveness *liveness = liveness_begin();
    pid_t process = sleeper_start(), keeper = sleeper_start();
    struct fake_ended ended[4];
    uint64_t ticks;
    uint32_t watched, polled;

    (void)state;
    assert_int_equal(divvy_core_sys_start_time(process, &ticks), 0);
    assert_int_equal(divvy_liveness_watch_process(liveness, "a/b", process, ticks), 0);
    assert_int_equal(divvy_liveness_watch_process(liveness, "a/b", process, 0), 0); /* the same again */
    assert_int_equal(divvy_liveness_watch_keeper(liveness, "a/b", keeper, 0), 0);
    divvy_liveness_count(liveness, &watched, &polled);
    assert_int_equal(watched, 2);
    sleeper_end(process);
    assert_int_equal(fake_ended_wait(1, ended, 4), 1);
    assert_string_equal(ended[0].id, "a/b");
    assert_int_equal(ended[0].pid, process);
    assert_int_equal(ended[0].start_ticks, ticks);
    sleeper_end(keeper);
    assert_int_equal(fake_ended_wait(2, ended, 4), 2);
    assert_int_equal(ended[1].pid, 0);
    divvy_liveness_count(liveness, &watched, &polled);
    assert_int_equal(watched, 0);
    divvy_liveness_free(liveness);
}

static void who_is_gone_cannot_be_watched(void **state) {
    struct divvy_liveness *liveness = liveness_begin();
    pid_t process = sleeper_start();
    char id[200];

    (void)state;
    assert_int_equal(divvy_liveness_watch_process(liveness, "a", getpid(), 12345), -ESRCH); /* another of that pid */
    sleeper_end(process);
    assert_int_equal(divvy_liveness_watch_process(liveness, "a", process, 0), -ESRCH);
    assert_int_equal(divvy_liveness_watch_process(liveness, "a", 0, 0), -ESRCH);
    memset(id, 'x', sizeof id - 1);
    id[sizeof id - 1] = '\0';
    assert_int_equal(divvy_liveness_watch_process(liveness, id, getpid(), 0), -ENAMETOOLONG);
    assert_int_equal(fake_ended_wait(0, NULL, 0), 0);
    divvy_liveness_free(liveness);
    divvy_liveness_free(NULL);
}

static void without_descriptors_they_are_polled(void **state) {
    struct divvy_liveness *liveness = liveness_begin();
    pid_t process = sleeper_start();
    struct rlimit before, few;
    uint32_t watched, polled;
    uint64_t ticks;

    (void)state;
    assert_int_equal(divvy_core_sys_start_time(process, &ticks), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    /* Not even /proc can be read now: the caller's start time is believed. */
    assert_int_equal(divvy_liveness_watch_process(liveness, "a", process, 0), -EMFILE);
    assert_int_equal(divvy_liveness_watch_process(liveness, "a", process, ticks), 0);
    assert_int_equal(divvy_liveness_watch_keeper(liveness, "b", process, ticks), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    divvy_liveness_count(liveness, &watched, &polled);
    assert_int_equal(watched, 2);
    assert_int_equal(polled, 2);
    divvy_liveness_forget(liveness, "b");
    sleeper_end(process);
    assert_int_equal(fake_ended_wait(1, NULL, 0), 1);
    divvy_liveness_count(liveness, &watched, &polled);
    assert_int_equal(polled, 0);
    divvy_liveness_free(liveness);
}

/* Random watching, forgetting and killing; every process that was watched at its end is told of once. */
static void random_lives(void **state) {
    unsigned int seed = (unsigned int)time(NULL) ^ (unsigned int)getpid();
    struct divvy_liveness *liveness = liveness_begin();
    pid_t lives[24] = {0};
    bool watched[24] = {false};
    static struct fake_ended ended[FAKE_ENDED_MAX];
    uint32_t expected = 0, count;
    pid_t told[512];
    char id[16];

    (void)state;
    print_message("seed %u\n", seed);
    srand(seed);
    for (int step = 0; step < 500; step++) {
        size_t slot = (size_t)rand() % 24;

        (void)snprintf(id, sizeof id, "t%zu", slot);
        if (!lives[slot]) {
            lives[slot] = sleeper_start();
            watched[slot] = rand() % 4 != 0;
            if (watched[slot])
                assert_int_equal(divvy_liveness_watch_process(liveness, id, lives[slot], 0), 0);
        } else if (rand() % 3 == 0) {
            divvy_liveness_forget(liveness, id);
            watched[slot] = false;
        } else {
            if (watched[slot])
                told[expected++] = lives[slot];
            sleeper_end(lives[slot]);
            /* Forgetting right behind an end may come before or after it is told: so wait here. */
            assert_int_equal(fake_ended_wait(expected, NULL, 0), expected);
            lives[slot] = 0;
            watched[slot] = false;
        }
    }
    for (size_t slot = 0; slot < 24; slot++)
        if (lives[slot]) {
            if (watched[slot])
                told[expected++] = lives[slot];
            sleeper_end(lives[slot]);
        }
    count = fake_ended_wait(expected, ended, FAKE_ENDED_MAX);
    assert_int_equal(count, expected);
    for (uint32_t i = 0; i < expected; i++) {
        uint32_t found = 0;

        for (uint32_t k = 0; k < count; k++)
            found += ended[k].pid == told[i];
        assert_true(found >= 1);
    }
    divvy_liveness_free(liveness);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends_are_told),
        cmocka_unit_test(who_is_gone_cannot_be_watched),
        cmocka_unit_test(without_descriptors_they_are_polled),
        cmocka_unit_test(random_lives),
    };

    divvy_liveness_files_raise();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
