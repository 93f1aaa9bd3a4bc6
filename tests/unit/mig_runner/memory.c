/* Host memory of a job: the view of /proc/meminfo, its processes, control groups, buffers. */
#include "mig/runner/buffers.h"
#include "mig/runner/cgroup.h"
#include "mig/runner/meminfo.h"
#include "mig/runner/processes.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB (UINT64_C(1) << 20)

static unsigned long long line_of(const char *text, const char *name) {
    unsigned long long value = 1;
    const char *at = strstr(text, name);

    assert_non_null(at);
    assert_int_equal(sscanf(at + strlen(name), ": %llu kB", &value), 1);
    return value;
}

static void view(void **state) {
    char text[DIVVY_RUNNER_MEMINFO_BYTES], other[DIVVY_RUNNER_MEMINFO_BYTES];
    size_t length = divvy_runner_meminfo_render(2048 * MIB, 500 * MIB, text);

    (void)state;
    assert_int_equal(line_of(text, "MemTotal"), 2048 * 1024);
    assert_int_equal(line_of(text, "MemAvailable"), 1548 * 1024);
    assert_int_equal(line_of(text, "SwapTotal"), 0);
    assert_int_equal(line_of(text, "AnonPages"), 500 * 1024);
    /* The same length whatever the figures, and never negative. */
    assert_int_equal(divvy_runner_meminfo_render(UINT64_MAX, 0, other), length);
    assert_int_equal(divvy_runner_meminfo_render(1, UINT64_MAX, other), length);
    assert_int_equal(line_of(other, "MemAvailable"), 0);
    assert_true(length < DIVVY_RUNNER_MEMINFO_BYTES - 1);
}

static void stat_lines(void **state) {
    static const char good[] = "42 (a) b) R) S 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 100 1000 25 0 0\n";
    static const char *const bad[] = {"", "42", "42 (x", "42 (x) S", "42 (x) S 1 2 3", "x (x) S 7 42 42 0 -1 4 1 2 3 4 5 6 7 8 20 0 1 0 100 1000 25 0"};
    struct divvy_runner_process process;

    (void)state;
    assert_int_equal(divvy_runner_process_parse(good, 4096, &process), 0);
    assert_int_equal(process.pid, 42);
    assert_int_equal(process.parent, 7);
    assert_int_equal(process.state, 'S');
    assert_int_equal(process.resident_bytes, 25 * 4096);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(divvy_runner_process_parse(bad[i], 4096, &process), -EINVAL);
}

/* A child and a grandchild are ours, whoever else there is. */
static void descendants(void **state) {
    struct divvy_runner_processes processes = {0};
    int ready[2], before;
    char byte;
    pid_t child;

    (void)state;
    before = divvy_runner_processes_find(&processes, getpid());
    assert_int_equal(before, 0);
    assert_int_equal(pipe(ready), 0);
    child = fork();
    if (child == 0) {
        if (fork() == 0) {
            (void)!write(ready[1], "x", 1);
            (void)pause();
            _exit(0);
        }
        (void)pause();
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(divvy_runner_processes_find(&processes, getpid()), 2);
    assert_true(divvy_runner_processes_resident(&processes) > 0);
    divvy_runner_processes_signal(&processes, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(divvy_runner_processes_find(&processes, getpid()), 0);
    divvy_runner_processes_done(&processes);
    (void)close(ready[0]);
    (void)close(ready[1]);
}

static void mounts(void **state) {
    static const char both[] = "30 24 0:26 / /sys/fs/cgroup rw shared:9 - tmpfs tmpfs rw\n"
                               "31 30 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:10 master:3 - cgroup2 cgroup2 rw\n";
    char path[64];

    (void)state;
    assert_int_equal(divvy_runner_cgroup_mount_find(both, path, sizeof path), 0);
    assert_string_equal(path, "/sys/fs/cgroup/unified");
    assert_int_equal(divvy_runner_cgroup_mount_find("30 24 0:26 / /sys rw - tmpfs x rw\n", path, sizeof path), -ENOENT);
    assert_int_equal(divvy_runner_cgroup_mount_find("", path, sizeof path), -ENOENT);
    assert_int_equal(divvy_runner_cgroup_mount_find("1 - cgroup2 x\n", path, sizeof path), -ENOENT);
    assert_int_equal(divvy_runner_cgroup_mount_find(both, path, 10), -ENOENT);
}

static void file_make(const char *folder, const char *name) {
    char path[512];
    int fd;

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
}

/* A folder that looks like a group: what is written to it, and what is removed. */
static void group(void **state) {
    struct divvy_runner_cgroup cgroup;
    char root[] = "/tmp/divvy-cgroup-XXXXXX", own[64], dead[64], text[64] = "";
    FILE *file;

    (void)state;
    assert_non_null(mkdtemp(root));
    (void)snprintf(own, sizeof own, "%s/divvy-runner-%d", root, (int)getpid());
    (void)snprintf(dead, sizeof dead, "%s/divvy-runner-2147483646", root);
    assert_int_equal(mkdir(dead, 0700), 0);
    /* No controller: nothing is left behind. */
    assert_int_equal(divvy_runner_cgroup_make_in(root, 5 * MIB, &cgroup), -ENOTSUP);
    assert_int_equal(access(own, F_OK), -1);
    assert_int_equal(access(dead, F_OK), -1);
    assert_int_equal(mkdir(own, 0700), 0);
    file_make(own, "memory.max");
    file_make(own, "cgroup.procs");
    assert_int_equal(divvy_runner_cgroup_make_in(root, 5 * MIB, &cgroup), 0);
    assert_string_equal(cgroup.path, own);
    assert_int_equal(divvy_runner_cgroup_enter(&cgroup), 0);
    (void)snprintf(own + strlen(own), sizeof own - strlen(own), "/memory.max");
    file = fopen(own, "r");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof text, file));
    (void)fclose(file);
    assert_string_equal(text, "5242880");
    divvy_runner_cgroup_remove(&cgroup);
    divvy_runner_cgroup_remove(&cgroup);
    (void)snprintf(text, sizeof text, "rm -rf %s", root);
    assert_int_equal(system(text), 0);
}

static void pool(void **state) {
    struct divvy_runner_buffers buffers;
    char *taken[4];

    (void)state;
    assert_int_equal(divvy_runner_buffers_init(&buffers, 4), 0);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 4; i++) {
            taken[i] = divvy_runner_buffers_take(&buffers);
            assert_non_null(taken[i]);
            memset(taken[i], round + 1, DIVVY_RUNNER_BUFFER_BYTES);
        }
        assert_null(divvy_runner_buffers_take(&buffers));
        for (int i = 0; i < 4; i++)
            assert_int_equal(taken[i][DIVVY_RUNNER_BUFFER_BYTES - 1], round + 1);
        for (int i = 0; i < 4; i++)
            divvy_runner_buffers_give(&buffers, taken[i]);
        divvy_runner_buffers_trim(&buffers);
    }
    /* One in use keeps what it holds, the others have given their memory back. */
    taken[0] = divvy_runner_buffers_take(&buffers);
    memset(taken[0], 9, DIVVY_RUNNER_BUFFER_BYTES);
    divvy_runner_buffers_trim(&buffers);
    divvy_runner_buffers_trim(&buffers);
    assert_int_equal(taken[0][100], 9);
    taken[1] = divvy_runner_buffers_take(&buffers);
    assert_int_equal(taken[1][100], 0);
    divvy_runner_buffers_give(&buffers, NULL);
    divvy_runner_buffers_done(&buffers);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(view),   cmocka_unit_test(stat_lines), cmocka_unit_test(descendants),
                                       cmocka_unit_test(mounts), cmocka_unit_test(group),      cmocka_unit_test(pool)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
