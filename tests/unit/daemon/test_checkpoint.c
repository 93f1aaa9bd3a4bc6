/* The process that makes the driver's checkpoint calls: order, undoing, errors, and a driver that hangs or dies. This program
 * is started again as that process; the driver is a fake one. */
#include "daemon/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define LIBRARY FAKE_CUDA_DIR "/libcuda.so.1"
#define SECOND  INT64_C(1000000000)

static char folder[] = "/tmp/divvy-checkpoint-XXXXXX";
static char states_path[64], log_path[64];
static struct divvy_error error;

static void states_put(const char *states) {
    int fd = open(states_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    for (; *states; states++) {
        unsigned char byte = (unsigned char)(*states - '0');

        assert_int_equal(write(fd, &byte, 1), 1);
    }
    close(fd);
    unlink(log_path);
    unsetenv("FAKE_CUDA_FAIL");
    unsetenv("FAKE_CUDA_INIT");
    memset(&error, 0, sizeof error);
}

static void states_are(const char *expected) {
    char found[16] = "";
    int fd = open(states_path, O_RDONLY);
    ssize_t count = read(fd, found, sizeof found - 1);

    close(fd);
    for (ssize_t i = 0; i < count; i++)
        found[i] = (char)(found[i] + '0');
    assert_string_equal(found, expected);
}

static void log_is(const char *expected) {
    char found[512] = "";
    int fd = open(log_path, O_RDONLY);

    if (fd >= 0) {
        assert_true(read(fd, found, sizeof found - 1) >= 0);
        close(fd);
    }
    assert_string_equal(found, expected);
}

static const int32_t pids[] = {100, 101, 102};

static int save(void) {
    return divvy_checkpoint_run(LIBRARY, DIVVY_CHECKPOINT_SAVE, pids, 3, -1, 10 * SECOND, &error);
}

static int restore(void) {
    return divvy_checkpoint_run(LIBRARY, DIVVY_CHECKPOINT_RESTORE, pids, 3, -1, 10 * SECOND, &error);
}

static void all_are_locked_before_one_is_saved(void **state) {
    (void)state;
    states_put("000");
    assert_int_equal(save(), 0);
    states_are("222");
    log_is("lock 100\nlock 101\nlock 102\nsave 100\nsave 101\nsave 102\n");
    unlink(log_path);
    assert_int_equal(restore(), 0);
    states_are("000");
    log_is("restore 100\nrestore 101\nrestore 102\nunlock 100\nunlock 101\nunlock 102\n");
}

static void each_goes_on_from_where_it_is(void **state) {
    (void)state;
    states_put("192");
    assert_int_equal(save(), 0);
    states_are("292");
    log_is("save 100\n");
    states_put("012");
    assert_int_equal(restore(), 0);
    states_are("000");
    states_put("999"); /* none of CUDA */
    assert_int_equal(save(), 0);
    assert_int_equal(restore(), 0);
    log_is("");
    assert_int_equal(divvy_checkpoint_run("/no/such/file", DIVVY_CHECKPOINT_SAVE, pids, 0, -1, SECOND, &error), 0);
}

static void failure_is_undone(void **state) {
    (void)state;
    states_put("000");
    setenv("FAKE_CUDA_FAIL", "lock 101 600", 1);
    assert_int_equal(save(), -EBUSY);
    assert_string_equal(error.text, "cuCheckpointProcessLock of process 101: ERROR_600 (600)");
    states_are("000");
    log_is("lock 100\nlock 101\nunlock 100\n");
    states_put("000");
    setenv("FAKE_CUDA_FAIL", "save 102 801", 1);
    assert_int_equal(save(), -EOPNOTSUPP);
    assert_string_equal(error.text, "cuCheckpointProcessCheckpoint of process 102: ERROR_801 (801)");
    states_are("000");
    states_put("222");
    setenv("FAKE_CUDA_FAIL", "restore 101 2", 1);
    assert_int_equal(restore(), -ENOMEM);
    assert_string_equal(error.text, "cuCheckpointProcessRestore of process 101: ERROR_2 (2)");
    states_are("222");
    states_put("003");
    assert_int_equal(save(), -EIO);
    assert_string_equal(error.text, "process 102 failed in an earlier checkpoint");
    states_are("003");
}

static void one_that_ends_meanwhile_is_no_failure(void **state) {
    (void)state;
    states_put("000");
    setenv("FAKE_CUDA_FAIL", "save 101 gone", 1);
    assert_int_equal(save(), 0);
    states_are("292");
}

static void a_driver_that_cannot(void **state) {
    (void)state;
    states_put("000");
    assert_int_equal(divvy_checkpoint_run("/no/such/file", DIVVY_CHECKPOINT_SAVE, pids, 3, -1, SECOND, &error), -EOPNOTSUPP);
    assert_non_null(strstr(error.text, "/no/such/file"));
    assert_int_equal(divvy_checkpoint_run("libm.so.6", DIVVY_CHECKPOINT_SAVE, pids, 3, -1, SECOND, &error), -EOPNOTSUPP);
    assert_string_equal(error.text, "libm.so.6 lacks cuInit");
    setenv("FAKE_CUDA_INIT", "999", 1);
    assert_int_equal(save(), -EIO);
    assert_string_equal(error.text, "cuInit: ERROR_999 (999)");
    unsetenv("FAKE_CUDA_INIT");
    setenv("CUDA_VISIBLE_DEVICES", "", 1); /* the daemon's own is no matter */
    assert_int_equal(save(), 0);
    unsetenv("CUDA_VISIBLE_DEVICES");
}

/* The restore that undoes it meets the same driver, but does not get as far as the call that hangs. */
static void a_driver_that_hangs_or_dies(void **state) {
    (void)state;
    states_put("000");
    setenv("FAKE_CUDA_FAIL", "save 101 die", 1);
    assert_int_equal(save(), -EIO);
    assert_non_null(strstr(error.text, "killed by signal 9"));
    states_are("000");
    states_put("000");
    setenv("FAKE_CUDA_FAIL", "save 101 hang", 1);
    assert_int_equal(divvy_checkpoint_run(LIBRARY, DIVVY_CHECKPOINT_SAVE, pids, 3, -1, SECOND, &error), -ETIMEDOUT);
    assert_string_equal(error.text, "the driver did not answer within 1 s");
    states_are("000");
}

static int setup(void **state) {
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(states_path, sizeof states_path, "%s/states", folder);
    snprintf(log_path, sizeof log_path, "%s/log", folder);
    setenv("FAKE_CUDA_STATES", states_path, 1);
    return setenv("FAKE_CUDA_LOG", log_path, 1);
}

static int teardown(void **state) {
    (void)state;
    unlink(states_path);
    unlink(log_path);
    return rmdir(folder);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_are_locked_before_one_is_saved),
        cmocka_unit_test(each_goes_on_from_where_it_is),
        cmocka_unit_test(failure_is_undone),
        cmocka_unit_test(one_that_ends_meanwhile_is_no_failure),
        cmocka_unit_test(a_driver_that_cannot),
        cmocka_unit_test(a_driver_that_hangs_or_dies),
    };

    if (argc > 1 && strcmp(argv[1], DIVVY_CHECKPOINT_ARGUMENT) == 0)
        return divvy_checkpoint_main(argc, argv);
    return cmocka_run_group_tests(tests, setup, teardown);
}
