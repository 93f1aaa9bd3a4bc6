/*
 * The control page: made, adopted and refused; hostile content; leases read whole beside a writer, and beside one that was killed
 * in the middle of writing.
 */
#include "core/clock.h"
#include "page/control.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64], page_path[96];
static int folder_fd = -1;

static int folder_make(void **state) {
    (void)state;
    strcpy(folder, "/tmp/divvy-control-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(page_path, sizeof page_path, "%s/%s", folder, DIVVY_CONTROL_FILE);
    folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return folder_fd < 0;
}

static int folder_remove(void **state) {
    char command[128];

    (void)state;
    close(folder_fd);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static struct divvy_control *created(int *ret_fd) {
    struct divvy_control *control = NULL;

    assert_int_equal(divvy_control_create(folder_fd, &control, ret_fd), 0);
    return control;
}

static int opens(void) {
    const struct divvy_control *control = NULL;
    int status = divvy_control_open(page_path, &control);

    divvy_control_close(control);
    return status;
}

static void test_created_and_opened(void **state) {
    const struct divvy_control *seen;
    struct divvy_control *control, *second = NULL;
    mode_t mask = umask(077);
    struct stat status;
    int fd, second_fd;

    (void)state;
    assert_int_equal(opens(), -ENOENT);
    control = created(&fd);
    umask(mask);
    assert_int_equal(divvy_control_create(folder_fd, &second, &second_fd), -EEXIST);
    assert_int_equal(divvy_control_adopt(folder_fd, &second, &second_fd), -EWOULDBLOCK);
    assert_int_equal(stat(page_path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0644);
    assert_int_equal(divvy_control_open(page_path, &seen), 0);
    strcpy(control->name, "somebody");
    assert_string_equal(seen->name, "somebody");
    divvy_control_close(seen);
    divvy_control_close(control);
    close(fd);
    assert_int_equal(faccessat(folder_fd, "control.new", F_OK, 0), -1);
}

static void test_adopted_after_death(void **state) {
    struct divvy_control *control;
    int fd, status;

    (void)state;
    if (fork() == 0) {
        control = created(&fd);
        strcpy(control->name, "orphan");
        control->devices[3].compute_permille = 250;
        _exit(0);
    }
    wait(&status);
    assert_int_equal(status, 0);
    assert_int_equal(divvy_control_adopt(folder_fd, &control, &fd), 0);
    assert_string_equal(control->name, "orphan");
    assert_int_equal(control->devices[3].compute_permille, 250);
    divvy_control_close(control);
    close(fd);
}

static void test_refused_files(void **state) {
    struct divvy_control *control, *other;
    int fd = -1, other_fd;
    char path[128];

    (void)state;
    control = created(&fd);
    assert_int_equal(chmod(page_path, 0664), 0);
    assert_int_equal(opens(), -EPROTO);
    assert_int_equal(chmod(page_path, 0646), 0);
    assert_int_equal(opens(), -EPROTO);
    assert_int_equal(chmod(page_path, 0644), 0);
    assert_int_equal(opens(), 0);
    /* somebody else's */
    if (geteuid() == 0) {
        assert_int_equal(chown(page_path, 12345, 12345), 0);
        assert_int_equal(opens(), -EPROTO);
        assert_int_equal(chown(page_path, 0, 0), 0);
    }
    control->version++;
    assert_int_equal(opens(), -EPROTO);
    control->version--;
    memset(control->pod, 'x', sizeof control->pod);
    assert_int_equal(opens(), -EPROTO);
    memset(control->pod, 0, sizeof control->pod);
    control->devices[15].mode = DIVVY_CONTROL_MODE_MAX;
    assert_int_equal(opens(), -EPROTO);
    control->devices[15].mode = 0;
    control->devices[15].compute_permille = 1001;
    assert_int_equal(opens(), -EPROTO);
    control->devices[15].compute_permille = 1000;
    assert_int_equal(opens(), 0);
    divvy_control_close(control);
    close(fd);

    /* another length, a link, a folder, a pipe, nothing at all */
    assert_int_equal(truncate(page_path, sizeof *control - 1), 0);
    assert_int_equal(opens(), -EPROTO);
    assert_int_equal(divvy_control_adopt(folder_fd, &other, &other_fd), -EPROTO);
    snprintf(path, sizeof path, "%s/there", folder);
    assert_int_equal(truncate(page_path, sizeof *control), 0);
    assert_int_equal(rename(page_path, path), 0);
    assert_int_equal(symlink(path, page_path), 0);
    assert_int_equal(opens(), -EPROTO);
    assert_int_equal(divvy_control_adopt(folder_fd, &other, &other_fd), -EPROTO);
    assert_int_equal(unlink(page_path), 0);
    assert_int_equal(mkdir(page_path, 0700), 0);
    assert_int_equal(opens(), -EPROTO);
    assert_int_equal(rmdir(page_path), 0);
    assert_int_equal(mkfifo(page_path, 0600), 0);
    assert_int_equal(opens(), -EPROTO);
    assert_int_equal(unlink(page_path), 0);
}

/* What is refused is never read past its end, and no single byte of the header may be another. */
static void test_hostile_bytes(void **state) {
    struct divvy_control *control;
    uint8_t *bytes = malloc(sizeof *control);
    int fd;

    (void)state;
    assert_non_null(bytes);
    control = created(&fd);
    for (size_t i = 0; i < offsetof(struct divvy_control, heartbeat_ns); i++) {
        memcpy(bytes, control, sizeof *control);
        bytes[i] ^= (uint8_t)(1 + rand() % 255);
        assert_int_equal(divvy_control_validate(bytes, sizeof *control), -EPROTO);
    }
    for (size_t length = 0; length < 600; length++) {
        uint8_t *exact = malloc(length + !length);

        assert_non_null(exact);
        memcpy(exact, control, length);
        assert_int_equal(divvy_control_validate(exact, length), -EPROTO);
        free(exact);
    }
    for (int round = 0; round < 2000; round++) {
        struct divvy_control_lease lease;
        struct divvy_control *garbage = (struct divvy_control *)(void *)bytes;

        for (size_t i = 0; i < sizeof *control; i++)
            bytes[i] = (uint8_t)rand();
        memcpy(bytes, control, offsetof(struct divvy_control, heartbeat_ns));
        (void)divvy_control_validate(bytes, sizeof *control);
        (void)divvy_control_lease_read(garbage, (unsigned)round % DIVVY_PAGE_DEVICES, &lease);
        (void)divvy_control_is_alive(garbage, (int64_t)divvy_core_clock_ns());
    }
    free(bytes);
    divvy_control_close(control);
    close(fd);
}

static void test_devices_are_found(void **state) {
    static const uint8_t one[16] = {1}, two[16] = {[15] = 9}, zero[16];
    struct divvy_control *control;
    int fd;

    (void)state;
    control = created(&fd);
    memcpy(&control->devices[0].uuid, one, 16);
    memcpy(&control->devices[1].uuid, two, 16);
    assert_int_equal(divvy_control_device_find(control, one), 0);
    assert_int_equal(divvy_control_device_find(control, two), 1);
    assert_int_equal(divvy_control_device_find(control, zero), -ENOENT);
    divvy_control_close(control);
    close(fd);
}

static void test_alive_by_heartbeat(void **state) {
    static const struct {
        int64_t heartbeat_ns, now_ns;
        bool alive;
    } cases[] = {
        {1000000000, 1000000000, true},
        {1000000000, 1000000000 + DIVVY_CONTROL_STALE_NS - 1, true},
        {1000000000, 1000000000 + DIVVY_CONTROL_STALE_NS, false},
        {1000000000, 1000000000 - DIVVY_CONTROL_STALE_NS, true},
        {1000000000, 1000000000 - DIVVY_CONTROL_STALE_NS - 1, false},
        {0, 1000000000, false},
        {INT64_MAX, 1000000000, false},
        {INT64_MIN, 1000000000, false},
        {INT64_MIN, INT64_MAX, true}, /* one apart on the circle */
    };
    static struct divvy_control control;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        control.heartbeat_ns = cases[i].heartbeat_ns;
        if (divvy_control_is_alive(&control, cases[i].now_ns) != cases[i].alive)
            fail_msg("case %zu", i);
    }
}

/* Leases whose fields all follow from their number. */
static void lease_write(struct divvy_control *control, uint64_t number) {
    struct divvy_control_lease lease = {.mode = (uint32_t)(number % DIVVY_CONTROL_MODE_MAX),
                                        .begin_ns = (int64_t)number * 3,
                                        .end_ns = (int64_t)number * 5,
                                        .id = number,
                                        .budget_ns = (uint32_t)(number * 7)};

    divvy_control_lease_write(control, 2, &lease);
}

static void lease_check(const struct divvy_control_lease *lease) {
    if (lease->seq % 2 || lease->mode != lease->id % DIVVY_CONTROL_MODE_MAX || lease->begin_ns != (int64_t)lease->id * 3 ||
        lease->end_ns != (int64_t)lease->id * 5 || lease->budget_ns != (uint32_t)(lease->id * 7))
        fail_msg("lease %llu came in pieces", (unsigned long long)lease->id);
}

static uint32_t writer_stops;

static void *writing(void *argument) {
    for (uint64_t number = 1; !__atomic_load_n(&writer_stops, __ATOMIC_RELAXED); number++)
        lease_write(argument, number);
    return NULL;
}

static void test_read_beside_a_writer(void **state) {
    struct divvy_control *control;
    uint64_t newest = 0, reads = 0;
    pthread_t thread;
    int fd;

    (void)state;
    control = created(&fd);
    writer_stops = 0;
    assert_int_equal(pthread_create(&thread, NULL, writing, control), 0);
    for (uint64_t end_ns = divvy_core_clock_ns() + 300 * DIVVY_NS_PER_MS; divvy_core_clock_ns() < end_ns;) {
        struct divvy_control_lease lease;

        if (!divvy_control_lease_read(control, 2, &lease))
            continue;
        lease_check(&lease);
        assert_true(lease.id >= newest);
        newest = lease.id;
        reads++;
    }
    __atomic_store_n(&writer_stops, 1, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    assert_true(reads > 0);
    divvy_control_close(control);
    close(fd);
}

/* A writer that is killed anywhere leaves a lease that is whole, or one that cannot be read until the next one writes. */
static void test_writer_killed(void **state) {
    struct divvy_control *control = NULL;
    unsigned torn = 0;
    int fd, status;

    (void)state;
    divvy_control_close(created(&fd));
    close(fd);
    for (unsigned round = 0; round < 60; round++) {
        struct divvy_control_lease lease;
        pid_t child = fork();

        if (child == 0) {
            if (divvy_control_adopt(folder_fd, &control, &fd) < 0)
                _exit(9);
            for (uint64_t number = 1;; number++)
                lease_write(control, number);
        }
        usleep((useconds_t)(1000 + rand() % 3000));
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(divvy_control_adopt(folder_fd, &control, &fd), 0);
        if (divvy_control_lease_read(control, 2, &lease))
            lease_check(&lease);
        else
            torn++;
        lease_write(control, 1000000 + round);
        assert_true(divvy_control_lease_read(control, 2, &lease));
        assert_int_equal(lease.id, 1000000 + round);
        divvy_control_close(control);
        close(fd);
    }
    /* and for certain: */
    assert_int_equal(divvy_control_adopt(folder_fd, &control, &fd), 0);
    control->devices[2].lease_seq |= 1;
    control->devices[2].begin_ns = 77;
    {
        struct divvy_control_lease lease;

        assert_false(divvy_control_lease_read(control, 2, &lease));
        lease_write(control, 5);
        assert_true(divvy_control_lease_read(control, 2, &lease));
        lease_check(&lease);
    }
    print_message("%u of 60 killed while writing\n", torn);
    divvy_control_close(control);
    close(fd);
}

int main(void) {
    unsigned seed = (unsigned)time(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_created_and_opened, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_adopted_after_death, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_refused_files, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_hostile_bytes, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_devices_are_found, folder_make, folder_remove),
        cmocka_unit_test(test_alive_by_heartbeat),
        cmocka_unit_test_setup_teardown(test_read_beside_a_writer, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_writer_killed, folder_make, folder_remove),
    };

    printf("seed %u\n", seed);
    srand(seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
