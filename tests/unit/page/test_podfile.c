/*
 * The pod file, against bytes built here from the published offsets and not from the structs; files made, opened and refused;
 * tokens beside other threads; the PID set against a model, and its lock beside holders that live, died or never were.
 */
#include "page/podfile.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
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

#define BYTES  35504
#define NOW    1700000000u
#define UUID   "GPU-0a1b2c3d-0000-1111-2222-33445566778f"
#define UUID_2 "GPU-ffffffff-0000-1111-2222-334455667788"

static char folder[64];
static int folder_fd = -1;

static int folder_make(void **state) {
    (void)state;
    strcpy(folder, "/tmp/divvy-podfile-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
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

static struct divvy_podfile created(void) {
    struct divvy_podfile file;

    assert_int_equal(divvy_podfile_create(folder_fd, DIVVY_PODFILE_NAME, NOW, &file), 0);
    return file;
}

static void put(uint8_t *bytes, size_t offset, const void *value, size_t size) { memcpy(bytes + offset, value, size); }
static void put32(uint8_t *bytes, size_t offset, uint32_t value) { put(bytes, offset, &value, sizeof value); }
static void put64(uint8_t *bytes, size_t offset, uint64_t value) { put(bytes, offset, &value, sizeof value); }
static void put_double(uint8_t *bytes, size_t offset, double value) { put(bytes, offset, &value, sizeof value); }

static void file_write(const char *name, const void *bytes, size_t size) {
    int fd = openat(folder_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
}

static void file_expect(const char *name, const uint8_t *wanted) {
    static uint8_t seen[BYTES + 1];
    int fd = openat(folder_fd, name, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(read(fd, seen, sizeof seen), BYTES);
    close(fd);
    for (size_t i = 0; i < BYTES; i++)
        if (seen[i] != wanted[i])
            fail_msg("byte %zu is %02x, not %02x", i, seen[i], wanted[i]);
}

/* --- bytes ------------------------------------------------------------------------------------------------------------- */

static void test_golden_v2(void **state) {
    struct divvy_podfile_limits limits = {
        .uuid = UUID, .up_limit = 30, .mem_limit = 0x123456789abcdef0, .total_cuda_cores = 16896};
    uint8_t wanted[BYTES] = {0};
    struct divvy_podfile file = created();
    size_t third = 8 + 3 * 136;

    (void)state;
    put32(wanted, 0, 1);
    put64(wanted, 2192, NOW);
    put64(wanted, 34984, (uint64_t)getpid());
    file_expect(DIVVY_PODFILE_NAME, wanted);

    assert_int_equal(divvy_podfile_device_set(&file, 0, &limits, NOW + 0.5), 0);
    limits.uuid = UUID_2;
    limits.up_limit = 100;
    assert_int_equal(divvy_podfile_device_set(&file, 3, &limits, NOW + 1.5), 0);
    put(wanted, 8, UUID, strlen(UUID));
    put32(wanted, 72, 30);
    put64(wanted, 80, 0x123456789abcdef0);
    put32(wanted, 88, 16896);
    put_double(wanted, 104, 10);
    put_double(wanted, 112, 100);
    put_double(wanted, 120, 100);
    put_double(wanted, 128, NOW + 0.5);
    put32(wanted, 136, 1);
    put(wanted, third, UUID_2, strlen(UUID_2));
    put32(wanted, third + 64, 100);
    put64(wanted, third + 72, 0x123456789abcdef0);
    put32(wanted, third + 80, 16896);
    put_double(wanted, third + 96, 10);
    put_double(wanted, third + 104, 100);
    put_double(wanted, third + 112, 100);
    put_double(wanted, third + 120, NOW + 1.5);
    put32(wanted, third + 128, 1);
    put32(wanted, 2184, 2);
    file_expect(DIVVY_PODFILE_NAME, wanted);

    assert_int_equal(divvy_podfile_device_use(&file, 3, 77777777777), 0);
    assert_int_equal(divvy_podfile_rate_set(&file, 3, 1234.5, 617.25, NOW + 2), 0);
    assert_int_equal(divvy_podfile_tokens_take(&file, 3, 2.5), 0);
    assert_int_equal(divvy_podfile_beat(&file, NOW + 7), 0);
    assert_int_equal(divvy_podfile_pid_add(&file, 4001), 0);
    assert_int_equal(divvy_podfile_pid_add(&file, 4002), 0);
    put64(wanted, third + 88, 77777777777);
    put_double(wanted, third + 96, 1234.5);
    put_double(wanted, third + 104, 617.25);
    put_double(wanted, third + 112, 97.5);
    put_double(wanted, third + 120, NOW + 2);
    put64(wanted, 0x890, NOW + 7);
    put64(wanted, 2208, 4001);
    put64(wanted, 2216, 4002);
    put64(wanted, 18592, UINT64_C(0xc000000000000000)); /* the highest bits first */
    put64(wanted, 34976, 2);
    file_expect(DIVVY_PODFILE_NAME, wanted);

    assert_int_equal(divvy_podfile_device_clear(&file, 0), 0);
    assert_int_equal(divvy_podfile_pid_remove(&file, 4001), 0);
    put32(wanted, 136, 0);
    put32(wanted, 2184, 1);
    put64(wanted, 2208, 0);
    put64(wanted, 18592, UINT64_C(0x4000000000000000));
    put64(wanted, 34976, 1);
    file_expect(DIVVY_PODFILE_NAME, wanted);
    divvy_podfile_close(&file);
}

/* Place 70 is bit 57 of the second word. */
static void test_bitmap_order(void **state) {
    uint8_t wanted[BYTES] = {0};
    struct divvy_podfile file = created();

    (void)state;
    put32(wanted, 0, 1);
    put64(wanted, 2192, NOW);
    put64(wanted, 34984, (uint64_t)getpid());
    for (unsigned i = 0; i < 71; i++) {
        assert_int_equal(divvy_podfile_pid_add(&file, 100 + i), 0);
        put64(wanted, 2208 + 8 * i, 100 + i);
    }
    put64(wanted, 18592, UINT64_MAX);
    put64(wanted, 18600, UINT64_MAX << 57);
    put64(wanted, 34976, 71);
    file_expect(DIVVY_PODFILE_NAME, wanted);
    divvy_podfile_close(&file);
}

static void test_read_v2_of_others(void **state) {
    uint8_t bytes[BYTES] = {0};
    struct divvy_podfile_entry entry;
    struct divvy_podfile file;
    size_t fifteenth = 8 + 15 * 136;
    uint64_t pids[2];

    (void)state;
    put32(bytes, 0, 1);
    put(bytes, fifteenth, "0A1B2C3D-0000-1111-2222-33445566778F", 36);
    put32(bytes, fifteenth + 64, 80);
    put64(bytes, fifteenth + 72, 8589934592);
    put64(bytes, fifteenth + 88, 4096);
    put_double(bytes, fifteenth + 96, 50);
    put_double(bytes, fifteenth + 104, 200);
    put_double(bytes, fifteenth + 112, 3.5);
    put32(bytes, fifteenth + 128, 1);
    put32(bytes, 2184, 1);
    put64(bytes, 2192, NOW);
    put64(bytes, 2208 + 8 * 2047, 4711);
    put64(bytes, 18592 + 8 * 31, 1);
    put64(bytes, 34976, 1);
    file_write(DIVVY_PODFILE_NAME, bytes, BYTES);
    assert_int_equal(divvy_podfile_open(folder_fd, DIVVY_PODFILE_NAME, &file), 0);
    assert_int_equal(divvy_podfile_device_find(&file, UUID), 15);
    assert_int_equal(divvy_podfile_device_find(&file, "0a1b2c3d-0000-1111-2222-33445566778f"), 15);
    assert_int_equal(divvy_podfile_device_find(&file, UUID_2), -ENOENT);
    assert_int_equal(divvy_podfile_device_find(&file, ""), -ENOENT);
    assert_int_equal(divvy_podfile_device_read(&file, 15, &entry), 0);
    assert_true(entry.is_active && entry.up_limit == 80 && entry.mem_limit == 8589934592 && entry.pod_memory_used == 4096);
    assert_true(entry.rate == 50 && entry.capacity == 200 && entry.tokens == 3.5);
    assert_int_equal(divvy_podfile_pid_list(&file, pids, 2), 1);
    assert_int_equal(pids[0], 4711);
    file_expect(DIVVY_PODFILE_NAME, bytes); /* looking changes nothing */
    divvy_podfile_close(&file);
}

static void test_read_v1(void **state) {
    struct divvy_podfile_limits limits = {.uuid = UUID, .up_limit = 30};
    uint8_t bytes[BYTES] = {0};
    struct divvy_podfile_entry entry;
    struct divvy_podfile file;
    size_t second = 8 + 1 * 104;
    uint64_t pids[4];

    (void)state;
    put(bytes, second, UUID, strlen(UUID));
    put32(bytes, second + 64, (uint32_t)-5);
    put32(bytes, second + 68, 40);
    put64(bytes, second + 72, 1073741824);
    put32(bytes, second + 80, 5120);
    put64(bytes, second + 88, 4097);
    put32(bytes, second + 96, 1);
    put32(bytes, 1672, 1);
    put64(bytes, 1680, NOW);
    put64(bytes, 1696 + 8, 99);
    put64(bytes, 18080, UINT64_C(1) << 62);
    put64(bytes, 34464, 1);
    file_write(DIVVY_PODFILE_NAME, bytes, BYTES);
    assert_int_equal(divvy_podfile_open(folder_fd, DIVVY_PODFILE_NAME, &file), 0);
    assert_int_equal(divvy_podfile_device_find(&file, UUID), 1);
    assert_int_equal(divvy_podfile_device_read(&file, 1, &entry), 0);
    assert_true(entry.is_active && entry.available_cores == -5 && entry.up_limit == 40);
    assert_true(entry.mem_limit == 1073741824 && entry.total_cuda_cores == 5120 && entry.pod_memory_used == 4097);
    assert_true(divvy_podfile_is_healthy(&file, NOW + 2) && !divvy_podfile_is_healthy(&file, NOW + 3));
    assert_int_equal(divvy_podfile_pid_list(&file, pids, 4), 1);
    assert_int_equal(pids[0], 99);

    assert_int_equal(divvy_podfile_beat(&file, NOW), -EROFS);
    assert_int_equal(divvy_podfile_device_set(&file, 1, &limits, NOW), -EROFS);
    assert_int_equal(divvy_podfile_device_clear(&file, 1), -EROFS);
    assert_int_equal(divvy_podfile_device_use(&file, 1, 1), -EROFS);
    assert_int_equal(divvy_podfile_rate_set(&file, 1, 1, 1, 1), -EROFS);
    assert_int_equal(divvy_podfile_tokens_take(&file, 1, 1), -EROFS);
    assert_int_equal(divvy_podfile_tokens_add(&file, 1, 1), -EROFS);
    assert_int_equal(divvy_podfile_tokens_drop(&file, 1, 1, 1), -EROFS);
    assert_int_equal(divvy_podfile_pid_add(&file, 1), -EROFS);
    assert_int_equal(divvy_podfile_pid_remove(&file, 99), -EROFS);
    assert_int_equal(divvy_podfile_lock_reset(&file), -EROFS);
    file_expect(DIVVY_PODFILE_NAME, bytes);
    divvy_podfile_close(&file);
}

/* --- files ------------------------------------------------------------------------------------------------------------- */

static void test_created_and_opened(void **state) {
    struct divvy_podfile file, second = {0};
    mode_t mask = umask(077);
    struct stat status;

    (void)state;
    assert_int_equal(divvy_podfile_open(folder_fd, DIVVY_PODFILE_NAME, &second), -ENOENT);
    file = created();
    umask(mask);
    assert_int_equal(fstatat(folder_fd, DIVVY_PODFILE_NAME, &status, 0), 0);
    assert_int_equal(status.st_mode & 0777, 0666);
    assert_int_equal(status.st_nlink, 1);
    assert_int_equal(divvy_podfile_beat(&file, NOW + 5), 0);
    assert_int_equal(divvy_podfile_create(folder_fd, DIVVY_PODFILE_NAME, NOW, &second), -EEXIST);
    assert_int_equal(divvy_podfile_open(folder_fd, DIVVY_PODFILE_NAME, &second), 0);
    assert_true(divvy_podfile_is_healthy(&second, NOW + 5)); /* the same, not made anew */
    divvy_podfile_close(&second);
    divvy_podfile_close(&second);

    assert_true(divvy_podfile_is_current(&file, folder_fd, DIVVY_PODFILE_NAME));
    assert_int_equal(unlinkat(folder_fd, DIVVY_PODFILE_NAME, 0), 0);
    assert_false(divvy_podfile_is_current(&file, folder_fd, DIVVY_PODFILE_NAME));
    second = created();
    assert_false(divvy_podfile_is_current(&file, folder_fd, DIVVY_PODFILE_NAME));
    assert_true(divvy_podfile_is_current(&second, folder_fd, DIVVY_PODFILE_NAME));
    divvy_podfile_close(&second);
    divvy_podfile_close(&file);
}

static void test_refused(void **state) {
    static uint8_t bytes[BYTES + 8];
    struct divvy_podfile file;

    (void)state;
    put32(bytes, 0, 1);
    for (size_t size = 0; size <= sizeof bytes; size += 8) {
        file_write("cut", bytes, size);
        assert_int_equal(divvy_podfile_open(folder_fd, "cut", &file), size == BYTES ? 0 : -EPROTO);
        if (size == BYTES)
            divvy_podfile_close(&file);
    }
    put32(bytes, 0, 2);
    assert_int_equal(divvy_podfile_validate(bytes, BYTES), -EPROTO);
    file_write("tag", bytes, BYTES);
    assert_int_equal(divvy_podfile_open(folder_fd, "tag", &file), -EPROTO);
    put32(bytes, 0, 1);
    for (size_t device = 0; device < 16; device++) {
        memset(bytes + 8 + 136 * device, 'x', 64);
        assert_int_equal(divvy_podfile_validate(bytes, BYTES), -EPROTO);
        bytes[8 + 136 * device + 63] = 0;
        assert_int_equal(divvy_podfile_validate(bytes, BYTES), 0);
    }
    put32(bytes, 2184, 17);
    assert_int_equal(divvy_podfile_validate(bytes, BYTES), -EPROTO);
    put32(bytes, 2184, 16);
    put64(bytes, 34976, 2049);
    file_write("pids", bytes, BYTES);
    assert_int_equal(divvy_podfile_open(folder_fd, "pids", &file), -EPROTO);
    put64(bytes, 34976, 2048);
    assert_int_equal(divvy_podfile_validate(bytes, BYTES), 0);
    file_write("whole", bytes, BYTES);
    assert_int_equal(symlinkat("whole", folder_fd, "link"), 0);
    assert_int_equal(divvy_podfile_open(folder_fd, "link", &file), -EPROTO);
    assert_int_equal(mkfifoat(folder_fd, "fifo", 0600), 0);
    assert_int_equal(divvy_podfile_open(folder_fd, "fifo", &file), -EPROTO);
}

static void test_heartbeat(void **state) {
    struct divvy_podfile file = created();

    (void)state;
    assert_true(divvy_podfile_is_healthy(&file, NOW));
    assert_true(divvy_podfile_is_healthy(&file, NOW + 2));
    assert_false(divvy_podfile_is_healthy(&file, NOW + 3));
    assert_false(divvy_podfile_is_healthy(&file, NOW - 1));
    assert_int_equal(divvy_podfile_beat(&file, 0), 0);
    assert_false(divvy_podfile_is_healthy(&file, 0));
    assert_false(divvy_podfile_is_healthy(&file, 1));
    assert_int_equal(divvy_podfile_beat(&file, UINT64_MAX), 0);
    assert_false(divvy_podfile_is_healthy(&file, NOW));
    divvy_podfile_close(&file);
}

static void test_device_set(void **state) {
    struct divvy_podfile_limits limits = {.uuid = UUID, .up_limit = 30, .mem_limit = 5};
    struct divvy_podfile file = created();
    struct divvy_podfile_entry entry;
    char longest[65];

    (void)state;
    memset(longest, 'u', sizeof longest);
    longest[64] = 0;
    assert_int_equal(divvy_podfile_device_set(&file, 0, &limits, NOW), 0);
    assert_int_equal(divvy_podfile_device_use(&file, 0, 4), 0);
    assert_int_equal(divvy_podfile_tokens_take(&file, 0, 99), 0);
    limits.uuid = "0A1B2C3D-0000-1111-2222-33445566778F"; /* the same device: limits alone change */
    limits.up_limit = 40;
    assert_int_equal(divvy_podfile_device_set(&file, 0, &limits, NOW + 100), 0);
    assert_int_equal(divvy_podfile_device_read(&file, 0, &entry), 0);
    assert_true(entry.up_limit == 40 && entry.tokens == 1 && entry.pod_memory_used == 4 && entry.last_update == NOW);
    limits.uuid = UUID_2;
    assert_int_equal(divvy_podfile_device_set(&file, 0, &limits, NOW + 100), 0);
    assert_int_equal(divvy_podfile_device_read(&file, 0, &entry), 0);
    assert_true(entry.tokens == 100 && entry.pod_memory_used == 0 && entry.last_update == NOW + 100);
    assert_int_equal(divvy_podfile_device_set(&file, 16, &limits, NOW), -ERANGE);
    assert_int_equal(divvy_podfile_device_read(&file, 16, &entry), -ERANGE);
    assert_int_equal(divvy_podfile_tokens_take(&file, 16, 1), -ERANGE);
    limits.uuid = longest;
    assert_int_equal(divvy_podfile_device_set(&file, 0, &limits, NOW), -EINVAL);
    longest[63] = 0;
    assert_int_equal(divvy_podfile_device_set(&file, 1, &limits, NOW), 0);
    assert_int_equal(divvy_podfile_device_find(&file, longest), 1);
    limits.uuid = "";
    assert_int_equal(divvy_podfile_device_set(&file, 0, &limits, NOW), -EINVAL);
    divvy_podfile_close(&file);
}

/* --- tokens ------------------------------------------------------------------------------------------------------------ */

static void test_cost(void **state) {
    static const struct {
        uint64_t threads;
        double cost;
    } published[] = {{256, 0.1063},    {65536, 1.596},   {262144, 4.859},
                     {400000, 6.358}, {1000000, 9.187}, {2097152, 9.948}};

    (void)state;
    for (size_t i = 0; i < sizeof published / sizeof *published; i++)
        assert_true(fabs(divvy_podfile_cost(1, published[i].threads) - published[i].cost) < 0.0006);
    for (uint64_t threads = 1; threads < UINT64_C(1) << 62; threads += 1 + threads / 3) {
        double wanted = 0.1 - 9.9 * expm1(-(double)threads / 400000);

        assert_true(fabs(divvy_podfile_cost(threads, 1) - wanted) < 1e-12);
        assert_true(divvy_podfile_cost(1, threads) == divvy_podfile_cost(threads, 0));
    }
    assert_true(divvy_podfile_cost(0, 0) == divvy_podfile_cost(1, 1));
    assert_true(divvy_podfile_cost(UINT64_C(1) << 40, UINT64_C(1) << 40) == 10);
    assert_true(divvy_podfile_cost(UINT64_C(1) << 22, 1024) == 10); /* 2^32 threads: not 0 */
    assert_true(divvy_podfile_cost(UINT64_MAX, UINT64_MAX) == 10);
}

static double tokens(const struct divvy_podfile *file) {
    struct divvy_podfile_entry entry;

    assert_int_equal(divvy_podfile_device_read(file, 0, &entry), 0);
    return entry.tokens;
}

static void test_tokens(void **state) {
    struct divvy_podfile_limits limits = {.uuid = UUID, .up_limit = 30};
    struct divvy_podfile file = created();

    (void)state;
    assert_int_equal(divvy_podfile_device_set(&file, 0, &limits, NOW), 0);
    assert_int_equal(divvy_podfile_tokens_take(&file, 0, 100.5), -EAGAIN);
    assert_true(tokens(&file) == 100); /* nothing is taken in part */
    assert_int_equal(divvy_podfile_tokens_take(&file, 0, 100), 0);
    assert_true(tokens(&file) == 0);
    assert_int_equal(divvy_podfile_tokens_take(&file, 0, 0.1), -EAGAIN);
    assert_int_equal(divvy_podfile_tokens_add(&file, 0, 60), 0);
    assert_int_equal(divvy_podfile_tokens_add(&file, 0, 60), 0);
    assert_true(tokens(&file) == 100);
    assert_int_equal(divvy_podfile_tokens_add(&file, 0, -130), 0);
    assert_true(tokens(&file) == 0);
    assert_int_equal(divvy_podfile_tokens_add(&file, 0, NAN), -EINVAL);
    assert_int_equal(divvy_podfile_tokens_add(&file, 0, 100), 0);
    assert_int_equal(divvy_podfile_tokens_drop(&file, 0, 30, 35), 0);
    assert_true(tokens(&file) == 70);
    assert_int_equal(divvy_podfile_tokens_drop(&file, 0, 50, 35), 0);
    assert_true(tokens(&file) == 35);
    assert_int_equal(divvy_podfile_tokens_drop(&file, 0, 50, 60), 0);
    assert_true(tokens(&file) == 35);
    assert_int_equal(divvy_podfile_rate_set(&file, 0, 1, -1, NOW), -EINVAL);
    assert_int_equal(divvy_podfile_rate_set(&file, 0, INFINITY, 1, NOW), -EINVAL);

    file.v2->devices[0].tokens = UINT64_MAX; /* not a number */
    assert_true(tokens(&file) == 0);
    assert_int_equal(divvy_podfile_tokens_take(&file, 0, 0.1), -EAGAIN);
    assert_int_equal(divvy_podfile_tokens_add(&file, 0, 5), 0);
    assert_true(tokens(&file) == 5);
    divvy_podfile_close(&file);
}

enum { TAKERS = 4, REFILLS = 20000 };
static struct divvy_podfile shared;
static int stopped;

static void *taker(void *unused) {
    uintptr_t taken = 0;

    (void)unused;
    for (;;) {
        int last = __atomic_load_n(&stopped, __ATOMIC_ACQUIRE);

        if (divvy_podfile_tokens_take(&shared, 0, 1) == 0)
            taken++;
        else if (last)
            return (void *)taken;
        else
            sched_yield();
    }
}

/* Whole tokens, so that sums are exact: all that was put in is taken once. */
static void test_tokens_of_threads(void **state) {
    struct divvy_podfile_limits limits = {.uuid = UUID, .up_limit = 30};
    pthread_t threads[TAKERS];
    uintptr_t sum = 0;

    (void)state;
    shared = created();
    assert_int_equal(divvy_podfile_device_set(&shared, 0, &limits, NOW), 0);
    assert_int_equal(divvy_podfile_rate_set(&shared, 0, 1, 1e9, NOW), 0);
    __atomic_store_n(&stopped, 0, __ATOMIC_RELEASE);
    for (int i = 0; i < TAKERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, taker, NULL), 0);
    for (int i = 0; i < REFILLS; i++)
        assert_int_equal(divvy_podfile_tokens_add(&shared, 0, 3), 0);
    __atomic_store_n(&stopped, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < TAKERS; i++) {
        void *taken;

        assert_int_equal(pthread_join(threads[i], &taken), 0);
        sum += (uintptr_t)taken;
    }
    assert_int_equal(sum, 100 + 3 * REFILLS);
    assert_true(tokens(&shared) == 0);
    divvy_podfile_close(&shared);
}

/* --- PID set ------------------------------------------------------------------------------------------------------------ */

static void test_pids_against_a_model(void **state) {
    static bool model[3000];
    static uint64_t pids[DIVVY_PODFILE_PIDS];
    struct divvy_podfile file = created();
    unsigned seed = (unsigned)time(NULL), count = 0;

    (void)state;
    print_message("  seed %u\n", seed);
    srand(seed);
    memset(model, 0, sizeof model);
    for (int step = 0; step < 12000; step++) {
        unsigned pid = 1 + (unsigned)rand() % 2999;
        bool adds = rand() % 100 < (step < 9000 ? 85 : 20);
        int status = adds ? divvy_podfile_pid_add(&file, pid) : divvy_podfile_pid_remove(&file, pid);

        if (adds)
            assert_int_equal(status, !model[pid] && count == DIVVY_PODFILE_PIDS ? -ENOSPC : 0);
        else
            assert_int_equal(status, model[pid] ? 0 : -ENOENT);
        if (status == 0 && model[pid] != adds) {
            model[pid] = adds;
            count += adds ? 1u : -1u;
        }
        assert_int_equal(file.v2->pid_set.length, count);
        assert_int_equal(file.v2->pid_set.lock, 0);
    }
    assert_int_equal(divvy_podfile_pid_list(&file, pids, DIVVY_PODFILE_PIDS), count);
    for (unsigned i = 0; i < count; i++) {
        assert_true(pids[i] < 3000 && model[pids[i]]);
        model[pids[i]] = false; /* none twice */
    }
    assert_int_equal(divvy_podfile_pid_add(&file, 0), -EINVAL);
    assert_int_equal(divvy_podfile_pid_add(&file, UINT64_C(1) << 32), -EINVAL);
    divvy_podfile_close(&file);
}

static void test_lock(void **state) {
    struct divvy_podfile file = created();
    pid_t child = fork();

    (void)state;
    if (child == 0)
        _exit(0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    file.v2->pid_set.lock = (uint64_t)child; /* dead */
    assert_int_equal(divvy_podfile_pid_add(&file, 5), 0);
    assert_int_equal(file.v2->pid_set.lock, 0);
    file.v2->pid_set.lock = UINT64_MAX; /* never was */
    assert_int_equal(divvy_podfile_pid_add(&file, 6), 0);
    file.v2->pid_set.lock = 1; /* alive, whether it may be signalled or not */
    assert_int_equal(divvy_podfile_pid_add(&file, 7), -EBUSY);
    assert_int_equal(file.v2->pid_set.lock, 1);
    file.v2->pid_set.length = 9;
    file.v2->pid_set.owner = 1;
    assert_int_equal(divvy_podfile_lock_reset(&file), 0);
    assert_int_equal(file.v2->pid_set.lock, 0);
    assert_int_equal(file.v2->pid_set.owner, getpid());
    assert_int_equal(file.v2->pid_set.length, 2);
    assert_int_equal(divvy_podfile_pid_add(&file, 7), 0);
    file.v2->pid_set.owner = 0; /* would leave the lock free while it is held */
    assert_int_equal(divvy_podfile_pid_remove(&file, 7), 0);
    assert_int_equal(file.v2->pid_set.lock, 0);
    divvy_podfile_close(&file);
}

int main(void) {
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_make, folder_remove)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_golden_v2),
        IN_FOLDER(test_bitmap_order),
        IN_FOLDER(test_read_v2_of_others),
        IN_FOLDER(test_read_v1),
        IN_FOLDER(test_created_and_opened),
        IN_FOLDER(test_refused),
        IN_FOLDER(test_heartbeat),
        IN_FOLDER(test_device_set),
        cmocka_unit_test(test_cost),
        IN_FOLDER(test_tokens),
        IN_FOLDER(test_tokens_of_threads),
        IN_FOLDER(test_pids_against_a_model),
        IN_FOLDER(test_lock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
