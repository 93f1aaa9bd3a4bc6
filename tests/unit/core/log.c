/*
 * The logger of injected code: levels from the environment, one write per line, errno kept, once
 * and seldom.
 */
#include "core/log.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Runs `body` in a child whose descriptors 1 and 2 are pipes; returns what it wrote to them. */
static void capture(void (*body)(void), char *ret_out, char *ret_error, size_t size) {
    int out[2], error[2], status;
    ssize_t length;
    pid_t child;

    assert_int_equal(pipe(out), 0);
    assert_int_equal(pipe(error), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(out[1], STDOUT_FILENO);
        dup2(error[1], STDERR_FILENO);
        body();
        _exit(0);
    }
    close(out[1]);
    close(error[1]);
    length = read(out[0], ret_out, size - 1);
    ret_out[length > 0 ? length : 0] = '\0';
    for (length = 0;;) {
        ssize_t got = read(error[0], ret_error + length, size - 1 - (size_t)length);

        if (got <= 0)
            break;
        length += got;
    }
    ret_error[length] = '\0';
    close(out[0]);
    close(error[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void every_level(void) {
    divvy_core_log_error("an error %d", 1);
    divvy_core_log_warn("a warning");
    divvy_core_log_info("news");
    divvy_core_log_debug("detail");
}

static void variables_clear(void) {
    unsetenv("DIVVY_LOG");
    unsetenv("TF_ENABLE_LOG");
    unsetenv("TF_LOG_LEVEL");
}

static unsigned int lines_count(const char *text) {
    unsigned int count = 0;

    for (; *text; text++)
        count += *text == '\n';
    return count;
}

static void levels_from_environment(void **state) {
    static const struct {
        const char *own, *enable, *level;
        unsigned int lines;
    } cases[] = {
        {NULL, NULL, NULL, 1},      {"off", NULL, NULL, 0},      {"error", NULL, NULL, 1},
        {"warn", NULL, NULL, 2},    {"WARNING", NULL, NULL, 2},  {"info", NULL, NULL, 3},
        {"trace", NULL, NULL, 4},   {"nonsense", NULL, NULL, 1}, {NULL, "1", NULL, 3},
        {NULL, "true", "debug", 4}, {NULL, "0", "debug", 1},     {NULL, NULL, "debug", 1},
        {"error", "1", "debug", 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[4096], error[4096];

        variables_clear();
        if (cases[i].own)
            setenv("DIVVY_LOG", cases[i].own, 1);
        if (cases[i].enable)
            setenv("TF_ENABLE_LOG", cases[i].enable, 1);
        if (cases[i].level)
            setenv("TF_LOG_LEVEL", cases[i].level, 1);
        capture(every_level, out, error, sizeof error);
        assert_string_equal(out, "");
        if (lines_count(error) != cases[i].lines)
            fail_msg("case %zu: %s", i, error);
    }
    variables_clear();
}

static void repeat_messages(void) {
    for (int i = 0; i < 100; i++) {
        divvy_core_log_once(DIVVY_LOG_ERROR, "once %d", i);
        divvy_core_log_limited(DIVVY_LOG_ERROR, 3600 * DIVVY_NS_PER_SECOND, "seldom %d", i);
    }
}

static void once_and_seldom(void **state) {
    char out[4096], error[4096];

    (void)state;
    capture(repeat_messages, out, error, sizeof error);
    assert_int_equal(lines_count(error), 2);
    assert_non_null(strstr(error, "error: once 0\n"));
    assert_non_null(strstr(error, "error: seldom 0\n"));
}

static void long_message(void) {
    static char word[5000];

    memset(word, 'x', sizeof word - 1);
    errno = EDOM;
    divvy_core_log_error("first\nsecond %s", word);
    if (errno != EDOM)
        _exit(1);
    close(STDERR_FILENO);
    divvy_core_log_error("to nobody");
    if (errno != EDOM)
        _exit(2);
}

static void lines_are_whole(void **state) {
    char out[8192], error[8192];

    (void)state;
    capture(long_message, out, error, sizeof error);
    assert_int_equal(lines_count(error), 1);
    assert_true(strlen(error) <= 1024);
    assert_int_equal(error[strlen(error) - 1], '\n');
    assert_non_null(strstr(error, "first second xxx"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_from_environment),
        cmocka_unit_test(once_and_seldom),
        cmocka_unit_test(lines_are_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
