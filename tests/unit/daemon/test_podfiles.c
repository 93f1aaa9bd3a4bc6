/*
 * Pod files as divvyd serves them, with a state that the tests play: made and gone on with, limits set right again, pids kept in
 * step, tokens by the controller, files that are cut, removed or replaced, orphans.
 */
#include "daemon/podfiles.h"
#include "page/podfile.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define SECOND_NS INT64_C(1000000000)
#define TURN_NS   DIVVY_PODFILES_TURN_NS
#define UUID      "GPU-0a1b2c3d-0000-1111-2222-33445566778f"

static char top[64], base[96], path[160];
static struct divvy_podfiles *files;
static unsigned told, restored;
static uint64_t restored_pid;
static int64_t clock_ns, realtime_ns;
static struct divvy_podfiles_device device;

static void on_tell(void *data, const char *name, const char *text) {
    (void)data;
    print_message("  %s: %s\n", name, text);
    told++;
}

static bool on_restore(void *data, const char *namespace, const char *pod, uint64_t pid) {
    (void)data;
    assert_string_equal(namespace, "space");
    assert_string_equal(pod, "pod");
    restored++;
    restored_pid = pid;
    return true;
}

static void files_begin(void) {
    const struct divvy_podfiles_callbacks callbacks = {.tell = on_tell, .restore = on_restore};

    assert_int_equal(divvy_podfiles_new(base, &callbacks, &files), 0);
}

static int test_begin(void **state) {
    struct timespec now;

    (void)state;
    strcpy(top, "/tmp/divvy-podfiles-XXXXXX");
    if (!mkdtemp(top))
        return -1;
    snprintf(base, sizeof base, "%s/a/b", top);
    snprintf(path, sizeof path, "%s/space/pod/shm", base);
    (void)clock_gettime(CLOCK_REALTIME, &now);
    realtime_ns = now.tv_sec * SECOND_NS + now.tv_nsec;
    clock_ns = 100 * SECOND_NS;
    told = restored = 0;
    device = (struct divvy_podfiles_device){
        .uuid = UUID, .compute_permille = 300, .limit_bytes = 1 << 30, .used_bytes = 12345, .cores = 7, .utilisation = NAN};
    files_begin();
    return 0;
}

static int test_end(void **state) {
    char command[128];

    (void)state;
    divvy_podfiles_free(files);
    snprintf(command, sizeof command, "rm -rf %s", top);
    return system(command);
}

static void turn_of(const struct divvy_podfiles_pod *pod) {
    clock_ns += TURN_NS;
    realtime_ns += TURN_NS;
    divvy_podfiles_begin(files);
    if (pod)
        assert_int_equal(divvy_podfiles_add(files, pod), 0);
    divvy_podfiles_end(files, clock_ns, realtime_ns);
}

static void turn(const uint64_t *pids, uint32_t count) {
    const struct divvy_podfiles_pod pod = {
        .namespace = "space", .pod = "pod", .devices = &device, .device_count = 1, .pids = pids, .pid_count = count};

    turn_of(&pod);
}

static struct divvy_podfile opened(void) {
    struct divvy_podfile file = {0};

    assert_int_equal(divvy_podfile_open(AT_FDCWD, path, &file), 0);
    return file;
}

static struct divvy_podfile_entry entry_of(const struct divvy_podfile *file) {
    struct divvy_podfile_entry entry;

    assert_int_equal(divvy_podfile_device_read(file, 0, &entry), 0);
    return entry;
}

static ino_t inode(void) {
    struct stat status;

    assert_int_equal(stat(path, &status), 0);
    return status.st_ino;
}

static void test_served(void **state) {
    const uint64_t pids[] = {11, 12, 13};
    uint64_t seen[8];
    struct divvy_podfile file;
    struct divvy_podfile_entry entry;

    (void)state;
    turn(pids, 2);
    file = opened();
    entry = entry_of(&file);
    assert_true(entry.is_active && entry.up_limit == 30 && entry.mem_limit == 1 << 30 && entry.pod_memory_used == 12345);
    assert_true(entry.total_cuda_cores == 7 && strcmp(entry.uuid, UUID) == 0);
    assert_true(divvy_podfile_is_healthy(&file, (uint64_t)(realtime_ns / SECOND_NS)));
    assert_int_equal(divvy_podfile_pid_list(&file, seen, 8), 2);

    /* A second has just begun: a reader whose clock lags by a tick still sees no heartbeat of the future. */
    realtime_ns = (realtime_ns / SECOND_NS + 1) * SECOND_NS + 2000000 - TURN_NS;
    turn(pids, 2);
    assert_int_equal(realtime_ns % SECOND_NS, 2000000);
    assert_true(divvy_podfile_is_healthy(&file, (uint64_t)(realtime_ns / SECOND_NS) - 1));
    turn(pids, 2);
    assert_int_equal(file.v2->heartbeat, (realtime_ns - 10000000) / SECOND_NS);

    /* What a tenant writes is undone. */
    file.v2->devices[0].up_limit = 100;
    file.v2->devices[0].mem_limit = UINT64_MAX;
    file.v2->devices[5].is_active = 1;
    file.v2->heartbeat = 0;
    device.used_bytes = 99;
    turn(pids + 1, 2);
    entry = entry_of(&file);
    assert_true(entry.up_limit == 30 && entry.mem_limit == 1 << 30 && entry.pod_memory_used == 99);
    assert_int_equal(file.v2->device_count, 1);
    assert_true(divvy_podfile_is_healthy(&file, (uint64_t)(realtime_ns / SECOND_NS)));
    assert_int_equal(divvy_podfile_pid_list(&file, seen, 8), 2);
    assert_true(seen[0] + seen[1] == 25);

    file.v2->pid_set.lock = 1; /* somebody who lives */
    turn(pids, 3);
    turn(pids, 3);
    assert_int_equal(divvy_podfile_pid_list(&file, seen, 8), 3);
    device.compute_permille = 555;
    turn(pids, 0);
    assert_int_equal(entry_of(&file).up_limit, 56);
    assert_int_equal(divvy_podfile_pid_list(&file, seen, 8), 0);
    assert_int_equal(told, 0);
    divvy_podfile_close(&file);
}

/* One kernel of 1 ms for 1.6 tokens after the other: near its share after a while, and nothing when frozen. */
static void test_tokens(void **state) {
    struct divvy_podfiles_pod pod = {.namespace = "space", .pod = "pod", .devices = &device, .device_count = 1};
    double used = 0, carried = 0, sum = 0;
    struct divvy_podfile file;

    (void)state;
    turn_of(&pod);
    file = opened();
    for (int i = 0; i < 120; i++) {
        for (used = carried, carried = 0; used < 0.5 && divvy_podfile_tokens_take(&file, 0, 1.6) == 0;)
            used += 0.001;
        device.utilisation = used / 0.5;
        sum += i >= 80 ? used / 20 : 0;
        turn_of(&pod);
    }
    print_message("  target 30 %%: %.1f %%\n", 100 * sum);
    assert_true(fabs(sum - 0.3) < 0.03);
    /* Without samples it fills all the same. */
    while (divvy_podfile_tokens_take(&file, 0, 1.6) == 0)
        ;
    device.utilisation = NAN;
    turn_of(&pod);
    assert_int_equal(divvy_podfile_tokens_take(&file, 0, 1.6), 0);
    while (divvy_podfile_tokens_take(&file, 0, 1.6) == 0)
        ;
    divvy_podfiles_refill(files, clock_ns += TURN_NS / 5); /* between turns */
    assert_int_equal(divvy_podfile_tokens_take(&file, 0, 1.6), 0);
    pod.frozen = true;
    turn_of(&pod);
    assert_int_equal(divvy_podfile_tokens_take(&file, 0, 0.1), -EAGAIN);
    device.compute_permille = 1000;
    turn_of(&pod);
    assert_int_equal(entry_of(&file).up_limit, 99);
    pod.frozen = false;
    turn_of(&pod);
    assert_int_equal(entry_of(&file).up_limit, 100);
    assert_int_equal(divvy_podfile_tokens_take(&file, 0, 0.1), 0);
    divvy_podfile_close(&file);
}

/* Parameters from outside: used from the next step on, nonsense replaced by divvyd's own. */
static void test_params(void **state) {
    struct divvy_node_elastic_params params = {.rate_max = 50, .capacity_max = 30, .capacity_min = 1e9, .kp = NAN, .alpha = 7};
    struct divvy_podfile_entry entry;
    struct divvy_podfile file;

    (void)state;
    device.utilisation = 0;
    turn(NULL, 0);
    file = opened();
    entry = entry_of(&file);
    assert_true(entry.rate > 99 && entry.capacity > 30);
    divvy_podfiles_params_set(files, &params);
    for (int i = 0; i < 10; i++) {
        device.utilisation = 0.1; /* below its share, and takes all it gets */
        while (divvy_podfile_tokens_take(&file, 0, 1) == 0)
            ;
        turn(NULL, 0);
    }
    entry = entry_of(&file);
    assert_true(entry.rate <= 50 && entry.capacity <= 30 && entry.tokens <= 30);
    divvy_podfile_close(&file);
}

static void test_containers_add_up(void **state) {
    const uint64_t pids[] = {21, 22};
    struct divvy_podfiles_pod pod = {
        .namespace = "space", .pod = "pod", .devices = &device, .device_count = 1, .pids = pids, .pid_count = 1};
    struct divvy_podfile file;
    struct divvy_podfile_entry entry;
    uint64_t seen[4];

    (void)state;
    divvy_podfiles_begin(files);
    assert_int_equal(divvy_podfiles_add(files, &pod), 0);
    pod.pids++;
    assert_int_equal(divvy_podfiles_add(files, &pod), 0);
    pod.pod = "..";
    assert_int_equal(divvy_podfiles_add(files, &pod), -EINVAL);
    pod.pod = "a/b";
    assert_int_equal(divvy_podfiles_add(files, &pod), -EINVAL);
    pod.namespace = "";
    assert_int_equal(divvy_podfiles_add(files, &pod), -EINVAL);
    pod.namespace = pod.pod = "big";
    device.index = 16;
    assert_int_equal(divvy_podfiles_add(files, &pod), -ERANGE);
    divvy_podfiles_end(files, clock_ns, realtime_ns);
    assert_int_equal(told, 1);
    file = opened();
    entry = entry_of(&file);
    assert_true(entry.up_limit == 60 && entry.mem_limit == UINT64_C(2) << 30 && entry.pod_memory_used == 24690);
    assert_int_equal(divvy_podfile_pid_list(&file, seen, 4), 2);
    divvy_podfile_close(&file);
}

/* Another daemon comes: the same file, its tokens and those of its processes that live. */
static void test_gone_on_with(void **state) {
    uint64_t pids[] = {(uint64_t)getpid(), 4194303};
    struct divvy_podfile file;
    ino_t before;

    (void)state;
    turn(pids, 2);
    file = opened();
    assert_int_equal(divvy_podfile_tokens_take(&file, 0, 5), 0);
    divvy_podfile_close(&file);
    before = inode();
    divvy_podfiles_free(files);
    files_begin();
    turn(NULL, 0);
    assert_int_equal(inode(), before);
    assert_int_equal(restored, 1);
    assert_int_equal(restored_pid, getpid());
    file = opened();
    assert_int_equal(divvy_podfile_pid_list(&file, pids, 2), 1);
    assert_int_equal(file.v2->pid_set.owner, getpid());
    assert_true(entry_of(&file).tokens <= 95);
    /* Gone and back: the file is the same, its entry too. */
    turn_of(NULL);
    turn(pids, 1);
    assert_int_equal(inode(), before);
    divvy_podfile_close(&file);
}

/* A process with the pid of one that the daemon before knew, but younger than that daemon's last sign of life. */
static void test_pid_used_again(void **state) {
    uint64_t pids[] = {(uint64_t)getpid()};
    struct divvy_podfile file;

    (void)state;
    turn(pids, 1);
    file = opened();
    assert_int_equal(divvy_podfile_beat(&file, 1000), 0);
    divvy_podfile_close(&file);
    divvy_podfiles_free(files);
    files_begin();
    turn(NULL, 0);
    assert_int_equal(restored, 0);
}

static void test_files_that_break(void **state) {
    const uint64_t pids[] = {(uint64_t)getpid()};
    struct divvy_podfile file;
    ino_t before;
    int fd;

    (void)state;
    turn(NULL, 0);
    turn(NULL, 0);
    file = opened();
    before = inode();
    assert_int_equal(unlink(path), 0);
    for (int turns = 0; access(path, F_OK) < 0; turns++) { /* the pod is at rest */
        assert_true(turns < 4);
        turn(NULL, 0);
    }
    assert_true(inode() != before); /* the old one is still mapped here, so its inode is not used again */
    divvy_podfile_close(&file);
    turn(pids, 1);
    before = inode();
    file = opened();
    assert_int_equal(unlink(path), 0);
    turn(pids, 1);
    assert_true(inode() != before);
    divvy_podfile_close(&file);
    assert_int_equal(truncate(path, 100), 0);
    turn(pids, 1);
    assert_int_equal(told, 1);
    file = opened();
    divvy_podfile_close(&file);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    turn(pids, 1);
    file = opened();
    divvy_podfile_close(&file);

    /* A folder in the way is told of and changes nothing for others. */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0755), 0);
    turn(pids, 1);
    assert_int_equal(told, 2);
    assert_int_equal(rmdir(path), 0);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "short", 5), 5);
    close(fd);
    turn(pids, 1);
    file = opened();
    divvy_podfile_close(&file);
}

/* Cut at the worst moment: not a signal, and made again. The child dies where the guard does not hold. */
static volatile sig_atomic_t cutting;
static bool cutting_restore(void *data, const char *namespace, const char *pod, uint64_t pid) {
    (void)data, (void)namespace, (void)pod, (void)pid;
    cutting = 1;
    return truncate(path, 0) == 0;
}

static void test_cut_while_read(void **state) {
    const struct divvy_podfiles_callbacks callbacks = {.tell = on_tell, .restore = cutting_restore};
    uint64_t pids[] = {(uint64_t)getpid()};
    struct divvy_podfile file;
    pid_t child;
    int status;

    (void)state;
    turn(pids, 1);
    child = fork();
    if (child == 0) {
        struct divvy_podfiles *mine;
        const struct divvy_podfiles_pod pod = {.namespace = "space", .pod = "pod", .devices = &device, .device_count = 1};

        if (divvy_podfiles_new(base, &callbacks, &mine) < 0)
            _exit(2);
        for (int i = 0; i < 2; i++) {
            divvy_podfiles_begin(mine);
            if (divvy_podfiles_add(mine, &pod) < 0)
                _exit(3);
            divvy_podfiles_end(mine, clock_ns, realtime_ns);
        }
        _exit(cutting ? 0 : 4);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    file = opened();
    divvy_podfile_close(&file);
}

static void test_orphans(void **state) {
    uint64_t pids[] = {(uint64_t)getpid()};
    char odd[160];

    (void)state;
    snprintf(odd, sizeof odd, "%s/odd/x/y/z", base);
    turn(pids, 1);
    assert_int_equal(mkdir((snprintf(odd, sizeof odd, "%s/odd", base), odd), 0755), 0);
    assert_int_equal(mkdir((snprintf(odd, sizeof odd, "%s/odd/x", base), odd), 0755), 0);
    assert_int_equal(mkdir((snprintf(odd, sizeof odd, "%s/odd/x/shm", base), odd), 0755), 0);
    assert_int_equal(divvy_podfiles_sweep(files, realtime_ns + 100 * SECOND_NS), 0); /* served */
    turn_of(NULL);
    assert_int_equal(divvy_podfiles_sweep(files, realtime_ns + 100 * SECOND_NS), 0); /* a process lives */
    turn(NULL, 0); /* opened again, with the process that it knew */
    turn(NULL, 0);
    turn_of(NULL);
    assert_int_equal(divvy_podfiles_sweep(files, realtime_ns + 9 * SECOND_NS), 0); /* too young */
    assert_int_equal(divvy_podfiles_sweep(files, realtime_ns + 13 * SECOND_NS), 1);
    assert_int_equal(access(path, F_OK), -1);
    snprintf(path, sizeof path, "%s/space", base);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(access(odd, F_OK), 0);
}

int main(void) {
#define PLAYED(test) cmocka_unit_test_setup_teardown(test, test_begin, test_end)
    const struct CMUnitTest tests[] = {
        PLAYED(test_served),           PLAYED(test_tokens),         PLAYED(test_containers_add_up),
         PLAYED(test_params),
        PLAYED(test_gone_on_with),     PLAYED(test_pid_used_again), PLAYED(test_files_that_break),
        PLAYED(test_cut_while_read),   PLAYED(test_orphans),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
