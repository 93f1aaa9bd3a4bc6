/* JSON files: what is refused, what a write leaves behind, writers that hurry one another. */
#include "base/json/file.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/divvy-json-file.XXXXXX";
static char path[PATH_MAX];

static int setup(void **state) {
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(path, sizeof path, "%s/value.json", folder);
    return 0;
}

static int teardown(void **state) {
    char command[PATH_MAX + 16];

    (void)state;
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static void put(const char *text) {
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    (void)fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void what_cannot_be_read(void **state) {
    static const struct {
        const char *text, *part;
    } cases[] = {{"", "empty"}, {"[1,", "line 1"}, {"{\"a\": 1\n\n]", "line 3"}, {"[1] x", "line 1"}};
    struct divvy_error error;
    json_t *value = NULL;

    (void)state;
    (void)unlink(path);
    assert_int_equal(divvy_json_file_read(path, &value, &error), -ENOENT);
    assert_int_equal(divvy_json_file_read(folder, &value, &error), -EISDIR);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(divvy_json_file_read(path, &value, &error), -ENODEV);
    assert_int_equal(unlink(path), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put(cases[i].text);
        assert_int_equal(divvy_json_file_read(path, &value, &error), -EINVAL);
        assert_non_null(strstr(error.text, cases[i].part));
        assert_null(value);
    }
    assert_int_equal(truncate(path, (off_t)DIVVY_JSON_FILE_BYTES + 1), 0);
    assert_int_equal(divvy_json_file_read(path, &value, &error), -EFBIG);
}

static void written_and_read(void **state) {
    json_t *value = json_pack("{s:i, s:[s]}", "b", 2, "a", "x"), *back = NULL;
    struct stat status;
    char text[64] = "";
    FILE *file;

    (void)state;
    (void)unlink(path);
    assert_int_equal(divvy_json_file_write(path, value, 0600, NULL), 0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(divvy_json_file_write(path, value, 0644, NULL), 0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0644);
    file = fopen(path, "r");
    assert_non_null(file);
    assert_true(fread(text, 1, sizeof text - 1, file) > 0);
    (void)fclose(file);
    assert_string_equal(text, "{\n  \"b\": 2,\n  \"a\": [\n    \"x\"\n  ]\n}\n");
    assert_int_equal(divvy_json_file_read(path, &back, NULL), 0);
    assert_true(json_equal(value, back));
    json_decref(back);
    json_decref(value);
}

static void a_failed_write_leaves_nothing(void **state) {
    json_t *value = json_true();
    char beside[PATH_MAX + 8];

    (void)state;
    (void)snprintf(beside, sizeof beside, "%s/none/v", folder);
    assert_int_equal(divvy_json_file_write(beside, value, 0600, NULL), -ENOENT);
    /* A folder of that name cannot be replaced. */
    (void)snprintf(beside, sizeof beside, "%s/sub", folder);
    assert_int_equal(mkdir(beside, 0700), 0);
    assert_true(divvy_json_file_write(beside, value, 0600, NULL) < 0);
    (void)snprintf(beside, sizeof beside, "test -z \"$(find %s -name '.*.*' -type f)\"", folder);
    assert_int_equal(system(beside), 0);
}

static void set_aside(void **state) {
    char first[PATH_MAX], second[PATH_MAX];

    (void)state;
    put("broken");
    assert_int_equal(divvy_json_file_set_aside(path, first, NULL), 0);
    put("again");
    assert_int_equal(divvy_json_file_set_aside(path, second, NULL), 0);
    assert_string_not_equal(first, second);
    assert_int_equal(access(first, R_OK) | access(second, R_OK), 0);
    assert_int_equal(divvy_json_file_set_aside(path, second, NULL), -ENOENT);
}

/* Writers under the lock lose nothing, and the file parses whenever it is looked at. */
static void many_writers(void **state) {
    enum { WRITERS = 4, STEPS = 100 };
    json_t *value;
    pid_t writers[WRITERS];

    (void)state;
    value = json_integer(0);
    assert_int_equal(divvy_json_file_write(path, value, 0600, NULL), 0);
    json_decref(value);
    for (int w = 0; w < WRITERS; w++) {
        writers[w] = fork();
        if (writers[w] == 0) {
            for (int i = 0; i < STEPS; i++) {
                int lock = -1;

                if (divvy_json_file_lock(path, &lock, NULL) < 0 || divvy_json_file_read(path, &value, NULL) < 0)
                    _exit(1);
                (void)json_integer_set(value, json_integer_value(value) + 1);
                if (divvy_json_file_write(path, value, 0600, NULL) < 0)
                    _exit(2);
                json_decref(value);
                (void)close(lock);
            }
            _exit(0);
        }
    }
    for (int w = 0; w < WRITERS; w++) {
        int status = -1;

        while (waitpid(writers[w], &status, WNOHANG) == 0) {
            assert_int_equal(divvy_json_file_read(path, &value, NULL), 0);
            json_decref(value);
        }
        assert_int_equal(status, 0);
    }
    assert_int_equal(divvy_json_file_read(path, &value, NULL), 0);
    assert_int_equal(json_integer_value(value), WRITERS * STEPS);
    json_decref(value);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_be_read), cmocka_unit_test(written_and_read),
        cmocka_unit_test(a_failed_write_leaves_nothing), cmocka_unit_test(set_aside), cmocka_unit_test(many_writers)};

    return cmocka_run_group_tests(tests, setup, teardown);
}
