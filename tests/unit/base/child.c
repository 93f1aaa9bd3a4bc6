/* Short-lived children: what they write, how they end, and that none can hold its parent. */
#include "base/child.h"
#include "core/clock.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PLENTY_NS (20 * DIVVY_NS_PER_SECOND)

static int says_and_returns(void *data, int fd) {
    (void)!write(fd, data, strlen(data));
    (void)!write(STDOUT_FILENO, "unheard", 7);
    (void)!write(STDERR_FILENO, "error", 5);
    return 5;
}

static void output_and_status(void **state) {
    struct divvy_child_result result;
    char buffer[64], word[] = "hello";

    (void)state;
    assert_int_equal(divvy_child_collect(says_and_returns, word, 0, PLENTY_NS, buffer,
                                         sizeof buffer, &result, NULL),
                     0);
    assert_int_equal(result.length, 5);
    assert_memory_equal(buffer, "hello", 5);
    assert_true(WIFEXITED(result.wait_status) && WEXITSTATUS(result.wait_status) == 5);
    assert_false(result.timed_out);
    assert_int_equal(divvy_child_collect(says_and_returns, word, 1, PLENTY_NS, buffer,
                                         sizeof buffer, &result, NULL),
                     0);
    assert_int_equal(result.length, 10);
    assert_memory_equal(buffer, "helloerror", 10);
}

static int floods(void *data, int fd) {
    char block[4096];

    (void)data;
    memset(block, 'x', sizeof block);
    for (int i = 0; i < 100; i++)
        (void)!write(fd, block, sizeof block);
    return 0;
}

static void too_much_is_dropped(void **state) {
    struct divvy_child_result result;
    char buffer[10];

    (void)state;
    assert_int_equal(
        divvy_child_collect(floods, NULL, 0, PLENTY_NS, buffer, sizeof buffer, &result, NULL), 0);
    assert_int_equal(result.length, sizeof buffer);
    assert_true(WIFEXITED(result.wait_status) && WEXITSTATUS(result.wait_status) == 0);
}

static int kills_itself(void *data, int fd) {
    (void)data;
    (void)!write(fd, "x", 1);
    raise(SIGKILL);
    return 0;
}

static void its_death_is_seen(void **state) {
    struct divvy_child_result result;
    char buffer[10];

    (void)state;
    assert_int_equal(
        divvy_child_collect(kills_itself, NULL, 0, PLENTY_NS, buffer, sizeof buffer, &result, NULL),
        0);
    assert_int_equal(result.length, 1);
    assert_true(WIFSIGNALED(result.wait_status) && WTERMSIG(result.wait_status) == SIGKILL);
}

static int hangs(void *data, int fd) {
    (void)data;
    (void)fd;
    return pause();
}

static int hangs_after_closing(void *data, int fd) {
    (void)data;
    close(fd);
    return pause();
}

static void hanging_ones_are_killed(void **state) {
    struct divvy_child_result result;
    char buffer[10];

    (void)state;
    assert_int_equal(divvy_child_collect(hangs, NULL, 0, 50 * DIVVY_NS_PER_MS, buffer,
                                         sizeof buffer, &result, NULL),
                     0);
    assert_true(result.timed_out);
    assert_int_equal(divvy_child_collect(hangs_after_closing, NULL, 0, 50 * DIVVY_NS_PER_MS, buffer,
                                         sizeof buffer, &result, NULL),
                     0);
    assert_true(result.timed_out);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(output_and_status),
        cmocka_unit_test(too_much_is_dropped),
        cmocka_unit_test(its_death_is_seen),
        cmocka_unit_test(hanging_ones_are_killed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
