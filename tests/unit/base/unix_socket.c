/* Names of unix sockets: who has one, who takes it over, what is left alone. */
#include "base/unix_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/divvy-unix-socket-XXXXXX";
static char path[sizeof folder + 16];

static mode_t mode_of(void) {
    struct stat status;

    assert_int_equal(lstat(path, &status), 0);
    return status.st_mode;
}

static void names_are_taken_over_from_the_dead_only(void **state) {
    struct divvy_error error;
    int fd, again, file;

    (void)state;
    fd = divvy_unix_listen(path, 0600, &error);
    assert_true(fd >= 0);
    assert_int_equal(divvy_unix_listen(path, 0600, &error), -EADDRINUSE);
    assert_non_null(strstr(error.text, path));
    close(fd); /* the name stays behind */
    again = divvy_unix_listen(path, 0600, &error);
    assert_true(again >= 0);
    close(again);
    unlink(path);
    file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_int_equal(write(file, "not a socket", 12), 12);
    close(file);
    assert_int_equal(divvy_unix_listen(path, 0600, &error), -ENOTSOCK);
    assert_true(S_ISREG(mode_of()));
    unlink(path);
    assert_int_equal(symlink("/nowhere", path), 0);
    assert_int_equal(divvy_unix_listen(path, 0600, &error), -ENOTSOCK);
    unlink(path);
}

static void names_have_the_mode_whatever_the_umask(void **state) {
    static const mode_t modes[] = {0600, 0660, 0666}, masks[] = {0, 022, 077};

    (void)state;
    for (size_t i = 0; i < 3; i++)
        for (size_t k = 0; k < 3; k++) {
            struct divvy_error error;
            mode_t before = umask(masks[k]);
            int fd = divvy_unix_listen(path, modes[i], &error);

            assert_int_equal(umask(before), masks[k]); /* it is not ours to change */
            assert_true(fd >= 0);
            assert_int_equal(mode_of() & 0777, modes[i]);
            close(fd);
            unlink(path);
        }
}

static void paths_that_cannot_be(void **state) {
    struct divvy_error error;
    char lengthy[300];

    (void)state;
    memset(lengthy, 'x', sizeof lengthy);
    lengthy[sizeof lengthy - 1] = '\0';
    assert_int_equal(divvy_unix_listen("", 0600, &error), -EINVAL);
    assert_int_equal(divvy_unix_listen(lengthy, 0600, &error), -ENAMETOOLONG);
    assert_int_equal(divvy_unix_listen("/no/such/folder/x", 0600, &error), -ENOENT);
}

static int begin(void **state) {
    (void)state;
    return mkdtemp(folder) && snprintf(path, sizeof path, "%s/socket", folder) > 0 ? 0 : -1;
}

static int end(void **state) {
    (void)state;
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_taken_over_from_the_dead_only),
        cmocka_unit_test(names_have_the_mode_whatever_the_umask),
        cmocka_unit_test(paths_that_cannot_be),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
