/* Finding a container's process, in a /proc of our own making, and a real one where pid namespaces can be made. */
#include "daemon/hostpid.h"

#include "core/clock.h"
#include "core/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
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

#define MS ((int64_t)DIVVY_NS_PER_MS)

static char proc[] = "/tmp/divvy-hostpid-XXXXXX";

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk) {
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

static int proc_make(void **state) {
    (void)state;
    memcpy(proc + strlen(proc) - 6, "XXXXXX", 6);
    return mkdtemp(proc) ? 0 : -1;
}

static int proc_remove(void **state) {
    (void)state;
    return nftw(proc, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void file_write(int pid, const char *name, const char *text, size_t length) {
    char path[256];
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/%d/%s", proc, pid, name);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, length, file), length);
    (void)fclose(file);
}

/* A process as the kernel shows it. `peer`: whose pid namespace it shares, 0: a namespace of its own. */
static void process_make(int pid, const char *nspid, const char *environment, size_t length, const char *cgroup, int peer) {
    char path[256], other[256], text[256];

    (void)snprintf(path, sizeof path, "%s/%d", proc, pid);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/%d/ns", proc, pid);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/%d/ns/pid", proc, pid);
    if (peer) {
        (void)snprintf(other, sizeof other, "%s/%d/ns/pid", proc, peer);
        assert_int_equal(link(other, path), 0);
    } else {
        file_write(pid, "ns/pid", "", 0);
    }
    (void)snprintf(text, sizeof text, "Name:\tx\nPid:\t%d\nNSpid:\t%s\nThreads:\t1\n", pid, nspid);
    file_write(pid, "status", text, strlen(text));
    (void)snprintf(text, sizeof text, "%d (a) b) c) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 %d 0 0\n", pid, pid * 10);
    file_write(pid, "stat", text, strlen(text));
    file_write(pid, "environ", environment, length);
    file_write(pid, "cgroup", cgroup, strlen(cgroup));
}

static const char env_a[] = "PATH=/bin\0POD_NAME=a\0POD_NAMESPACE=n\0CONTAINER_NAME=c";
static const char env_b[] = "POD_NAME=ab\0POD_NAMESPACE=n\0CONTAINER_NAME=c\0XPOD_NAME=a";

static struct divvy_hostpid_search search_of(int32_t pid) {
    return (struct divvy_hostpid_search){.container_pid = pid, .timeout_ns = 100 * MS, .proc = proc};
}

static void by_environment(void **state) {
    struct divvy_hostpid_search search = search_of(7);
    int32_t pid = -1;
    uint64_t ticks = 0;

    (void)state;
    process_make(100, "100\t7", env_a, sizeof env_a, "0::/x\n", 0);
    process_make(101, "101\t7", env_b, sizeof env_b, "0::/x\n", 0);
    process_make(102, "102\t8", env_a, sizeof env_a, "0::/x\n", 0);
    process_make(103, "7", env_b, sizeof env_b, "0::/x\n", 0);
    search.pod = "a";
    search.namespace = "n";
    search.container = "c";
    assert_int_equal(divvy_hostpid_find(&search, &pid, &ticks, NULL), 0);
    assert_int_equal(pid, 100);
    assert_int_equal(ticks, 1000);
    /* Somebody else says the same of itself: then nobody is believed. */
    process_make(104, "104\t7", env_a, sizeof env_a, "0::/x\n", 0);
    assert_int_equal(divvy_hostpid_find(&search, &pid, &ticks, NULL), -ENOTUNIQ);
}

static void by_peer_and_by_pod(void **state) {
    static const char uid[] = "0b2c1f5e-1111-2222-3333-444455556666";
    struct divvy_hostpid_search search = search_of(7);
    int32_t pid = -1;
    uint64_t ticks = 0;

    (void)state;
    process_make(200, "200\t1", env_a, sizeof env_a, "0::/a\n", 0);
    process_make(201, "201\t7", env_a, sizeof env_a, "0::/a\n", 200);
    process_make(202, "202\t7", env_a, sizeof env_a,
                 "0::/kubepods.slice/kubepods-pod0b2c1f5e_1111_2222_3333_444455556666.slice/x\n", 0);
    search.peer_pid = 200;
    assert_int_equal(divvy_hostpid_find(&search, &pid, &ticks, NULL), 0);
    assert_int_equal(pid, 201);
    search.peer_pid = 0;
    search.pod_uid = uid;
    search.pod = "a";
    assert_int_equal(divvy_hostpid_find(&search, &pid, &ticks, NULL), 0);
    assert_int_equal(pid, 202);
    search.peer_pid = 999;
    assert_int_equal(divvy_hostpid_find(&search, &pid, &ticks, NULL), -ESRCH);
    assert_int_equal(divvy_hostpid_container_pid(proc, 202, &pid), 0);
    assert_int_equal(pid, 7);
    assert_int_equal(divvy_hostpid_container_pid(proc, 999, &pid), -ESRCH);
}

static void time_is_bounded(void **state) {
    struct divvy_hostpid_search search = search_of(7);
    int32_t pid = -1;
    uint64_t ticks = 0, begin_ns = divvy_core_clock_ns();

    (void)state;
    assert_int_equal(divvy_hostpid_find(&search, &pid, &ticks, NULL), -EINVAL); /* a pid alone is nobody's */
    search.pod = "a";
    assert_int_equal(divvy_hostpid_find(&search, &pid, &ticks, NULL), -ETIMEDOUT);
    search.container_pid = 0;
    assert_int_equal(divvy_hostpid_find(&search, &pid, &ticks, NULL), -EINVAL);
    assert_true(divvy_core_clock_ns() - begin_ns < 5 * DIVVY_NS_PER_SECOND);
    assert_int_equal(pid, -1);
}

/* In a new pid namespace: its first process starts another, and both stay. */
static void namespace_begin(int fd) {
    pid_t first;

    if (unshare(CLONE_NEWPID) < 0)
        _exit(77);
    first = fork();
    if (first == 0) {
        pid_t second = fork();

        if (second > 0)
            (void)!write(fd, &second, sizeof second); /* as the namespace counts */
        for (;;)
            (void)pause();
    }
    (void)!write(fd, &first, sizeof first); /* as we count */
    while (waitpid(first, NULL, 0) < 0 && errno == EINTR)
        ;
    _exit(0);
}

static void a_real_namespace(void **state) {
    struct divvy_hostpid_search search = {.timeout_ns = 3000 * MS};
    pid_t helper, values[2], peer, inside;
    int ends[2], status;
    int32_t pid = -1, again = -1;
    uint64_t ticks = 0, expected = 0;
    size_t got = 0;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    helper = fork();
    if (helper == 0)
        namespace_begin(ends[1]);
    (void)close(ends[1]);
    while (got < sizeof values) {
        ssize_t more = read(ends[0], (char *)values + got, sizeof values - got);

        if (more <= 0)
            break;
        got += (size_t)more;
    }
    (void)close(ends[0]);
    if (got < sizeof values) {
        assert_int_equal(waitpid(helper, &status, 0), helper);
        skip();
    }
    /* Inside, pids are small: the helper's child is 1 and its child 2. */
    peer = values[0] > values[1] ? values[0] : values[1];
    inside = values[0] > values[1] ? values[1] : values[0];
    search.peer_pid = peer;
    search.container_pid = inside;
    assert_int_equal(divvy_hostpid_find(&search, &pid, &ticks, NULL), 0);
    assert_int_not_equal(pid, peer);
    assert_int_equal(divvy_core_sys_start_time(pid, &expected), 0);
    assert_int_equal(ticks, expected);
    assert_int_equal(divvy_hostpid_container_pid(NULL, pid, &again), 0);
    assert_int_equal(again, inside);
    assert_int_equal(kill(peer, SIGKILL), 0); /* the first process takes its namespace along */
    assert_int_equal(waitpid(helper, &status, 0), helper);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(by_environment, proc_make, proc_remove),
        cmocka_unit_test_setup_teardown(by_peer_and_by_pod, proc_make, proc_remove),
        cmocka_unit_test_setup_teardown(time_is_bounded, proc_make, proc_remove),
        cmocka_unit_test(a_real_namespace),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
