/* System calls and futexes: results, errno kept, identity of processes over death and zombies. */
#include "core/sys.h"

#include "core/clock.h"
#include "core/futex.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void files(void **state) {
    char path[] = "/tmp/divvy-test-sys-XXXXXX", buffer[16];
    int fd = mkstemp(path), other;
    struct stat status, expected;

    (void)state;
    assert_true(fd >= 0);
    errno = EDOM;
    assert_int_equal(divvy_core_sys_write(fd, "hello", 5), 0);
    assert_int_equal(divvy_core_sys_fstat(fd, &status), 0);
    assert_int_equal(status.st_size, 5);
    assert_int_equal(fstat(fd, &expected), 0);
    assert_int_equal(status.st_ino, expected.st_ino);
    assert_int_equal(divvy_core_sys_ftruncate(fd, 3), 0);
    assert_int_equal(divvy_core_sys_ftruncate(fd, UINT64_MAX), -EFBIG);
    assert_int_equal(divvy_core_sys_read_file(path, buffer, sizeof buffer), 3);
    assert_string_equal(buffer, "hel");
    assert_int_equal(divvy_core_sys_read_file(path, buffer, 4), 3);
    assert_int_equal(divvy_core_sys_read_file(path, buffer, 3), -EFBIG);
    assert_int_equal(divvy_core_sys_read_file("/nowhere", buffer, sizeof buffer), -ENOENT);
    assert_int_equal(divvy_core_sys_fstatat(AT_FDCWD, path, &status, 0), 0);
    other = divvy_core_sys_open(path, O_RDONLY, 0);
    assert_true(other >= 0);
    assert_true(fcntl(other, F_GETFD) & FD_CLOEXEC);
    errno = EDOM;
    assert_int_equal(divvy_core_sys_write(other, "x", 1), -EBADF);
    divvy_core_sys_close(&other);
    assert_int_equal(other, -1);
    divvy_core_sys_close(&other);
    assert_int_equal(errno, EDOM);
    close(fd);
    unlink(path);
}

static void randomness(void **state) {
    uint64_t words[32];
    unsigned int zero = 0;

    (void)state;
    assert_int_equal(divvy_core_sys_getrandom(words, sizeof words), 0);
    for (int i = 0; i < 32; i++)
        zero += words[i] == 0;
    assert_true(zero < 2);
}

static void identity(void **state) {
    uint64_t own, by_pid, ns;

    (void)state;
    assert_int_equal(divvy_core_sys_getpid(), getpid());
    assert_int_equal(divvy_core_sys_gettid(), getpid());
    assert_int_equal(divvy_core_sys_start_time(0, &own), 0);
    assert_int_equal(divvy_core_sys_start_time(getpid(), &by_pid), 0);
    assert_true(own == by_pid && own > 0);
    assert_true(divvy_core_sys_is_alive(getpid(), own));
    assert_false(divvy_core_sys_is_alive(getpid(), own + 1));
    assert_false(divvy_core_sys_is_alive(0, own));
    assert_int_equal(divvy_core_sys_start_time(-1, &own), -EINVAL);
    assert_int_equal(divvy_core_sys_start_time(0x3fffffff, &own), -ESRCH);
    assert_false(divvy_core_sys_is_alive(0x3fffffff, 1));
    assert_int_equal(divvy_core_sys_namespace_id("pid", &ns), 0);
    assert_true(ns > 0);
    assert_int_equal(divvy_core_sys_namespace_id("nonsense", &ns), -ENOENT);
}

/* A command name full of brackets and blanks does not confuse the reader of /proc/PID/stat. */
static void hostile_command_name(void **state) {
    uint64_t before, after;
    char name[16] = "";

    (void)state;
    assert_int_equal(divvy_core_sys_start_time(0, &before), 0);
    prctl(PR_GET_NAME, name);
    prctl(PR_SET_NAME, ") S 1 2) (3 4 5");
    assert_int_equal(divvy_core_sys_start_time(0, &after), 0);
    prctl(PR_SET_NAME, name);
    assert_true(before == after);
}

static void zombie_is_dead(void **state) {
    uint64_t start;
    int gate[2];
    pid_t child;
    siginfo_t info;

    (void)state;
    assert_int_equal(pipe(gate), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char byte;

        close(gate[1]);
        (void)!read(gate[0], &byte, 1);
        _exit(0);
    }
    assert_int_equal(divvy_core_sys_start_time(child, &start), 0);
    assert_true(divvy_core_sys_is_alive(child, start));
    close(gate[1]);
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    assert_false(divvy_core_sys_is_alive(child, start));
    waitpid(child, NULL, 0);
    assert_false(divvy_core_sys_is_alive(child, start));
    close(gate[0]);
}

static void futex_answers(void **state) {
    uint32_t word = 1;

    (void)state;
    errno = EDOM;
    assert_int_equal(divvy_core_futex_wait(&word, 2, DIVVY_CORE_FUTEX_FOREVER, false), -EAGAIN);
    assert_int_equal(divvy_core_futex_wait(&word, 1, DIVVY_NS_PER_MS, false), -ETIMEDOUT);
    assert_int_equal(divvy_core_futex_wait_until(&word, 1, divvy_core_clock_ns() - 1, true),
                     -ETIMEDOUT);
    assert_int_equal(divvy_core_futex_wait_until(&word, 2, DIVVY_CORE_FUTEX_FOREVER, true),
                     -EAGAIN);
    assert_int_equal(divvy_core_futex_wake(&word, INT32_MAX, false), 0);
    assert_int_equal(errno, EDOM);
}

static void futex_between_processes(void **state) {
    uint32_t *word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status;
    pid_t child;

    (void)state;
    assert_true(word != MAP_FAILED);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == 0)
            (void)divvy_core_futex_wait(word, 0, DIVVY_CORE_FUTEX_FOREVER, true);
        _exit(0);
    }
    usleep(2000);
    __atomic_store_n(word, 1, __ATOMIC_RELEASE);
    assert_true(divvy_core_futex_wake(word, INT32_MAX, true) >= 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    munmap(word, 4096);
}

static void memfd_and_pidfd(void **state) {
    int fd = divvy_core_sys_memfd_create("test");

    (void)state;
    if (fd == -ENOSYS)
        skip();
    assert_true(fd >= 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    divvy_core_sys_close(&fd);
    fd = divvy_core_sys_pidfd_open(getpid());
    assert_true(fd >= 0 || fd == -ENOSYS || fd == -EPERM);
    divvy_core_sys_close(&fd);
    assert_true(divvy_core_sys_pidfd_open(0x3fffffff) < 0);
}

/* Every error that the functions of this room return has words, and no two have the same. */
static void errors_in_words(void **state) {
    const int known[] = {EACCES, EPERM, ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG, ENOSPC, EROFS, EFBIG, EMFILE, ENFILE, ENOMEM,
                         EAGAIN, EEXIST, ENOSYS, ECONNREFUSED, ETIMEDOUT, EPROTO, EINVAL};

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        assert_string_not_equal(divvy_core_sys_error_text(-known[i]), "error");
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(divvy_core_sys_error_text(-known[i]), divvy_core_sys_error_text(-known[j]));
    }
    assert_string_equal(divvy_core_sys_error_text(-ENOSPC), "no space left");
    assert_string_equal(divvy_core_sys_error_text(-9999), "error");
    assert_string_equal(divvy_core_sys_error_text(0), "error");
    assert_string_equal(divvy_core_sys_error_text(ENOSPC), "error");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files),           cmocka_unit_test(randomness),
        cmocka_unit_test(identity),        cmocka_unit_test(hostile_command_name),
        cmocka_unit_test(zombie_is_dead),  cmocka_unit_test(futex_answers),
        cmocka_unit_test(memfd_and_pidfd), cmocka_unit_test(futex_between_processes),
        cmocka_unit_test(errors_in_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
