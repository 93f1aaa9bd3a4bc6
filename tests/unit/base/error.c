/* Errors for people: text, context in front, cut instead of overrun, errno kept. */
#include "base/error.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void text_and_context(void **state) {
    struct divvy_error error = {0};

    (void)state;
    errno = EDOM;
    assert_int_equal(divvy_error_set(&error, -EINVAL, "value %d", 7), -EINVAL);
    assert_string_equal(error.text, "value 7");
    assert_int_equal(divvy_error_prefix(&error, "option %s", "--x"), -EINVAL);
    assert_string_equal(error.text, "option --x: value 7");
    assert_int_equal(divvy_error_set_errno(&error, -ENOENT, "file %s", "a"), -ENOENT);
    assert_string_equal(error.text, "file a: No such file or directory");
    assert_int_equal(errno, EDOM);
    assert_int_equal(divvy_error_set(NULL, -EIO, "nobody asks"), -EIO);
    assert_int_equal(divvy_error_prefix(NULL, "nobody asks"), 0);
}

static void long_texts_are_cut(void **state) {
    struct divvy_error error = {0};
    char word[600];

    (void)state;
    memset(word, 'x', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    divvy_error_set(&error, -EINVAL, "%s", word);
    assert_int_equal(strlen(error.text), sizeof error.text - 1);
    divvy_error_prefix(&error, "%s", "front");
    assert_int_equal(strlen(error.text), sizeof error.text - 1);
    assert_memory_equal(error.text, "front: xxx", 10);
    divvy_error_prefix(&error, "%s", word);
    assert_true(strlen(error.text) < sizeof error.text);
    divvy_error_set_errno(&error, -EINVAL, "%s", word);
    assert_int_equal(strlen(error.text), sizeof error.text - 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_and_context),
        cmocka_unit_test(long_texts_are_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
