/*
 * The limiter at the pod file of a foreign hypervisor: which file, limits and tokens against bytes built here from the published
 * offsets, silence of the hypervisor, memory of others, and files of every wrong kind, before and while they are attached.
 */
#include "limiter/compute/fast.h"
#include "limiter/foreign/foreign.h"
#include "limiter/hook/process.h"
#include "limiter/hook/real.h"
#include "limiter/memory/account.h"

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
#define UUID   "GPU-0a1b2c3d-0000-1111-2222-33445566778f"
#define ENTRY  (8 + 3 * 136) /* the device's, which is number 3 of the node */
#define TOKENS (ENTRY + 112)
#define MIB    UINT64_C(1048576)

static char folder[64], path[96];
static uint8_t file[BYTES];
static const uint8_t raw[16] = {0x0a, 0x1b, 0x2c, 0x3d, 0x00, 0x00, 0x11, 0x11,
                                0x22, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x8f};

/* --- the file, by its offsets ------------------------------------------------------------------------------------------- */

static void put(size_t offset, const void *value, size_t size) {
    memcpy(file + offset, value, size);
}
static void put32(size_t offset, uint32_t value) {
    put(offset, &value, sizeof value);
}
static void put64(size_t offset, uint64_t value) {
    put(offset, &value, sizeof value);
}
static void put_double(size_t offset, double value) {
    put(offset, &value, sizeof value);
}

static void file_write(const char *name, const void *bytes, size_t size) {
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
}

/* Without a moment in which it is shorter. */
static void file_update(size_t offset, size_t size) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, file + offset, size, (off_t)offset), size);
    close(fd);
}

static void file_read(uint8_t *ret_bytes) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(read(fd, ret_bytes, BYTES), BYTES);
    close(fd);
}

static double tokens(void) {
    uint8_t now[BYTES];
    double value;

    file_read(now);
    memcpy(&value, now + TOKENS, sizeof value);
    return value;
}

static void tokens_set(double value) {
    put_double(TOKENS, value);
    file_update(TOKENS, 8);
}

static void beat(int64_t ago_s) {
    put64(2192, (uint64_t)(time(NULL) - ago_s));
    file_update(2192, 8);
    divvy_foreign_doubt();
}

/* 30 %, 256 MiB, 50 tokens of 100. */
static void golden_v2(void) {
    memset(file, 0, sizeof file);
    put32(0, 1);
    put(ENTRY, UUID, strlen(UUID));
    put32(ENTRY + 64, 30);
    put64(ENTRY + 72, 256 * MIB);
    put32(ENTRY + 80, 16896);
    put_double(ENTRY + 96, 10);
    put_double(ENTRY + 104, 100);
    put_double(TOKENS, 50);
    put_double(ENTRY + 120, (double)time(NULL));
    put32(ENTRY + 128, 1);
    put32(2184, 1);
    put64(2192, (uint64_t)time(NULL));
    put64(34984, (uint64_t)getppid());
}

static void golden_v1(void) {
    memset(file, 0, sizeof file);
    put(8 + 104, UUID + 4, strlen(UUID) - 4); /* without the prefix, device 1 */
    put32(8 + 104 + 64, 1000);
    put32(8 + 104 + 68, 40);
    put64(8 + 104 + 72, 128 * MIB);
    put32(8 + 104 + 96, 1);
    put32(1672, 1);
    put64(1680, (uint64_t)time(NULL));
}

/* --- a process ----------------------------------------------------------------------------------------------------------- */

static CUresult current(CUcontext *ret_context) {
    *ret_context = (CUcontext)0x1000;
    return CUDA_SUCCESS;
}

static CUresult current_device(CUdevice *ret_device) {
    *ret_device = 0;
    return CUDA_SUCCESS;
}

static int begin(void **state) {
    (void)state;
    setenv("DIVVY_LOG", "off", 1);
    unsetenv("DIVVY_FAIL_POLICY");
    strcpy(folder, "/tmp/divvy-foreign-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/shm", folder);
    setenv("TF_SHM_PATH", path, 1);
    divvy_real.cuCtxGetCurrent = current;
    divvy_real.cuCtxGetDevice = current_device;
    if (divvy_page_open_anonymous("t", 1, &divvy_process.page) < 0)
        return -1;
    divvy_process.page_device[0] = 0;
    divvy_process.device_count = 1;
    divvy_page_identity_self(&divvy_process.self);
    divvy_process.slot = (uint32_t)divvy_page_slot_claim(divvy_process.page, &divvy_process.self);
    *divvy_process_attached_word = 1;
    golden_v2();
    return 0;
}

static int end(void **state) {
    char command[128];

    (void)state;
    divvy_foreign_detach();
    divvy_page_close(divvy_process.page);
    divvy_process.page = NULL;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static int attach(void) {
    int status = divvy_foreign_attach(NULL, 0);

    if (status < 0 || divvy_foreign_state() == DIVVY_FOREIGN_NONE)
        return status;
    assert_int_equal(divvy_page_device_enter(divvy_process.page, raw), 0);
    divvy_page_device_propose(divvy_process.page, 0, DIVVY_PAGE_UNLIMITED,
                              DIVVY_PAGE_PERMILLE_UNLIMITED, 1 << 30);
    divvy_foreign_device_entered(0);
    divvy_foreign_joined();
    return 0;
}

static void attach_written(void) {
    file_write(path, file, sizeof file);
    assert_int_equal(attach(), 0);
}

/* A launch of `threads` threads: whether it was let through here. */
static bool launch(uint64_t threads) {
    return divvy_compute_paid(threads / 256, 256, CU_STREAM_LEGACY);
}

static uint64_t limit_bytes(void) {
    return divvy_process.page->devices[0].limit_bytes;
}
static uint32_t permille(void) {
    return divvy_process.page->devices[0].compute_permille;
}

/* --- which file ----------------------------------------------------------------------------------------------------------- */

static void test_source(void **state) {
    static const char *const all[] = {"TF_SHM_FILE", "TF_SHM_PATH", "SHM_PATH", "POD_NAME"};
    struct divvy_foreign_source source;

    (void)state;
    for (size_t i = 0; i < 4; i++)
        unsetenv(all[i]);
    assert_int_equal(divvy_foreign_source_find(&source), -ENOENT);
    assert_false(divvy_foreign_is_wanted());
    setenv("POD_NAME", "p", 1);
    assert_int_equal(divvy_foreign_source_find(&source), 0);
    assert_string_equal(source.path, "/run/tensor-fusion/shm/shm");
    assert_null(source.variable);
    setenv("SHM_PATH", "/a/b", 1);
    assert_int_equal(divvy_foreign_source_find(&source), 0);
    assert_string_equal(source.path, "/a/b/shm");
    setenv("TF_SHM_PATH", "/c/d", 1);
    assert_int_equal(divvy_foreign_source_find(&source), 0);
    assert_string_equal(source.path, "/c/d");
    assert_false(source.is_test);
    setenv("TF_SHM_FILE", "/e/f/g", 1);
    assert_int_equal(divvy_foreign_source_find(&source), 0);
    assert_string_equal(source.path, "/e/f/shm");
    assert_true(source.is_test && divvy_foreign_is_wanted());
    setenv("TF_SHM_FILE", "relative", 1);
    assert_int_equal(divvy_foreign_source_find(&source), -EINVAL);
    assert_true(divvy_foreign_attach(NULL, 0) == -EINVAL);
    for (size_t i = 0; i < 4; i++)
        unsetenv(all[i]);
}

static void test_made_for_tests(void **state) {
    struct divvy_limit_device machine = {.index = 3};
    uint8_t now[BYTES];
    uint32_t percent;
    uint64_t bytes;

    (void)state;
    memcpy(machine.uuid.bytes, raw, sizeof raw);
    unsetenv("TF_SHM_PATH");
    setenv("TF_SHM_FILE", path, 1);
    unsetenv("TF_VISIBLE_DEVICES");
    assert_int_equal(divvy_foreign_attach(&machine, 1), -EINVAL);
    assert_int_equal(access(path, F_OK), -1);
    setenv("TF_VISIBLE_DEVICES", "GPU-0A1B2C3D-0000-1111-2222-33445566778F", 1);
    assert_int_equal(divvy_foreign_attach(&machine, 1), 0);
    unsetenv("TF_SHM_FILE");
    file_read(now);
    memcpy(&percent, now + ENTRY + 64, 4);
    memcpy(&bytes, now + ENTRY + 72, 8);
    assert_int_equal(percent, 80);
    assert_int_equal(bytes, 8192 * MIB);
    assert_memory_equal(now + ENTRY, UUID, sizeof UUID);
}

/* --- bytes ----------------------------------------------------------------------------------------------------------------- */

static void test_golden_v2(void **state) {
    double cost = 0.1 + 9.9 * (1 - exp(-262144.0 / 400000)), seen;
    uint8_t now[BYTES];

    (void)state;
    attach_written();
    assert_int_equal(divvy_foreign_state(), DIVVY_FOREIGN_HEALTHY);
    assert_int_equal(limit_bytes(), 256 * MIB);
    assert_int_equal(permille(), 300);
    /* It has entered its pid: place 0, its bit, the count. */
    put64(2208, (uint64_t)getpid());
    put64(18592, UINT64_C(1) << 63);
    put64(34976, 1);
    file_read(now);
    assert_memory_equal(now, file, BYTES);
    assert_true(launch(262144));
    file_read(now);
    memcpy(&seen, now + TOKENS, 8);
    assert_true(fabs(seen - (50 - cost)) < 1e-9);
    memcpy(now + TOKENS, file + TOKENS, 8);
    assert_memory_equal(now, file, BYTES); /* tokens and nothing else */
    assert_int_equal(divvy_process.page->slots[divvy_process.slot].usage[0].launches, 1);
}

static void test_golden_v1(void **state) {
    uint8_t now[BYTES];

    (void)state;
    golden_v1();
    attach_written();
    assert_int_equal(limit_bytes(), 128 * MIB);
    assert_int_equal(permille(), 400);
    assert_false(launch(256)); /* left to our own gate */
    file_read(now);
    assert_memory_equal(now, file, BYTES);
}

static void *refill(void *unused) {
    struct timespec wait = {.tv_nsec = 30000000};

    nanosleep(&wait, NULL);
    tokens_set(20);
    return unused;
}

static void test_waits_for_tokens(void **state) {
    struct divvy_page_usage *usage = &divvy_process.page->slots[divvy_process.slot].usage[0];
    pthread_t thread;

    (void)state;
    put_double(TOKENS, 1);
    attach_written();
    assert_int_equal(pthread_create(&thread, NULL, refill, NULL), 0);
    assert_true(launch(1 << 22)); /* 10 tokens */
    pthread_join(thread, NULL);
    assert_true(fabs(tokens() - 10) < 1e-3);
    assert_true(usage->waited_ns >= 20 * DIVVY_NS_PER_MS);
    assert_int_equal(usage->waiting, 0);
}

struct race {
    uint64_t threads;
    double cost;
    unsigned launches;
};

static void *racer(void *data) {
    struct race *race = data;

    for (unsigned i = 0; i < race->launches; i++)
        assert_true(launch(race->threads));
    return NULL;
}

/* Many threads, some of which need a hundred times as much as others: all get through, and what is taken is what was paid. */
static void test_everybody_gets_through(void **state) {
    struct race few = {.threads = 256, .launches = 400},
                many = {.threads = 1 << 22, .launches = 12};
    double paid = 8 * 400 * divvy_podfile_cost(1, 256) + 2 * 12 * divvy_podfile_cost(1 << 14, 256);
    pthread_t threads[10];
    double given = 0;
    bool done = false;

    (void)state;
    put_double(TOKENS, 0);
    attach_written();
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, racer, i < 8 ? &few : &many), 0);
    while (!done) {
        struct timespec wait = {.tv_nsec = 2000000};

        if (given <= paid && tokens() < 50) { /* never more than the bucket holds */
            assert_int_equal(divvy_podfile_tokens_add(&divvy_foreign.file, 3, 11), 0);
            given += 11;
        }
        beat(0);
        nanosleep(&wait, NULL);
        done = __atomic_load_n(&divvy_process.page->slots[divvy_process.slot].usage[0].launches,
                               __ATOMIC_RELAXED) == 8 * 400 + 2 * 12;
    }
    for (unsigned i = 0; i < 10; i++)
        pthread_join(threads[i], NULL);
    assert_true(fabs(given - paid - tokens()) < 1e-3);
}

static void test_without_cap(void **state) {
    (void)state;
    put32(ENTRY + 64, 100);
    put_double(TOKENS, 0);
    attach_written();
    assert_int_equal(permille(), DIVVY_PAGE_PERMILLE_UNLIMITED);
    assert_true(launch(1 << 22));
    /* A cap that comes later counts. */
    put32(ENTRY + 64, 20);
    file_update(ENTRY + 64, 4);
    tokens_set(30);
    divvy_foreign_doubt();
    assert_true(launch(1 << 22));
    assert_true(fabs(tokens() - 20) < 1e-3);
    assert_int_equal(permille(), 200);
}

/* A bucket that is smaller than what a launch costs never has enough: the launch takes what it holds. */
static void test_small_bucket(void **state) {
    (void)state;
    put_double(ENTRY + 104, 4);
    put_double(TOKENS, 4);
    attach_written();
    assert_true(launch(1 << 22));
    assert_true(tokens() < 1e-9);
}

/* --- silence ---------------------------------------------------------------------------------------------------------------- */

static void test_silent_closed(void **state) {
    (void)state;
    attach_written();
    assert_true(launch(256));
    beat(3);
    assert_false(launch(256)); /* the gate keeps the last limit */
    assert_int_equal(divvy_foreign_state(), DIVVY_FOREIGN_SILENT);
    assert_int_equal(limit_bytes(), 256 * MIB);
    assert_int_equal(permille(), 300);
    beat(-5); /* of the future */
    assert_false(launch(256));
    beat(0);
    assert_true(launch(256));
}

static void test_silent_open(void **state) {
    (void)state;
    setenv("DIVVY_FAIL_POLICY", "open", 1);
    put_double(TOKENS, 0);
    attach_written();
    beat(3);
    assert_true(launch(1 << 22));
    assert_true(tokens() < 1e-9);
    assert_int_equal(divvy_memory_reserve(0, 300 * MIB), -ENOMEM); /* memory stays limited */
    unsetenv("DIVVY_FAIL_POLICY");
}

/* Who waits when the hypervisor falls silent does not wait for ever. */
static void *silence(void *unused) {
    struct timespec wait = {.tv_nsec = 50000000};

    nanosleep(&wait, NULL);
    beat(10);
    return unused;
}

static void test_silent_while_waiting(void **state) {
    pthread_t thread;

    (void)state;
    put_double(TOKENS, 0);
    attach_written();
    assert_int_equal(pthread_create(&thread, NULL, silence, NULL), 0);
    assert_false(launch(1 << 22));
    pthread_join(thread, NULL);
    assert_int_equal(divvy_process.page->slots[divvy_process.slot].usage[0].waiting, 0);
}

/* --- memory ----------------------------------------------------------------------------------------------------------------- */

static void pod_uses(uint64_t bytes) {
    put64(ENTRY + 88, bytes);
    file_update(ENTRY + 88, 8);
    divvy_foreign_doubt();
}

static void test_memory(void **state) {
    struct timespec old = {.tv_sec = 2, .tv_nsec = 300000000};

    (void)state;
    attach_written();
    assert_int_equal(divvy_memory_reserve(0, 256 * MIB + 1), -ENOMEM);
    assert_int_equal(divvy_memory_reserve(0, 256 * MIB), 0);
    pod_uses(256 * MIB); /* ours */
    assert_int_equal(divvy_memory_reserve(0, 1), -ENOMEM);
    divvy_memory_credit(0, 256 * MIB);
    /* The hypervisor does not know yet; that is no reason to refuse. */
    assert_int_equal(divvy_memory_reserve(0, 256 * MIB), 0);
    divvy_memory_credit(0, 256 * MIB);
    /* Others of the pod hold 100 MiB: what was ours has been forgotten after two turns. */
    for (int i = 0; i < 3; i++) {
        pod_uses(100 * MIB);
        (void)divvy_foreign_others(0, 0);
        if (i < 2) {
            struct timespec turn = {.tv_sec = old.tv_sec / 2, .tv_nsec = old.tv_nsec};

            beat(0);
            nanosleep(&turn, NULL);
        }
    }
    assert_int_equal(divvy_foreign_others(0, 0), 100 * MIB);
    assert_int_equal(divvy_memory_reserve(0, 157 * MIB), -ENOMEM);
    assert_int_equal(divvy_memory_reserve(0, 156 * MIB), 0);
    /* A figure from nowhere. */
    pod_uses(UINT64_MAX);
    assert_int_equal(divvy_memory_reserve(0, 1), -ENOMEM);
    divvy_memory_credit(0, 156 * MIB);
}

/* What is written into the usage page, or by set_limit, does not count against the file. */
static void test_limits_follow(void **state) {
    (void)state;
    attach_written();
    divvy_process.page->devices[0].limit_bytes = 10 * MIB;
    assert_int_equal(divvy_memory_reserve(0, 200 * MIB), 0);
    assert_int_equal(limit_bytes(), 256 * MIB);
    put64(ENTRY + 72, 210 * MIB);
    file_update(ENTRY + 72, 8);
    divvy_foreign_doubt();
    assert_int_equal(divvy_memory_reserve(0, 11 * MIB), -ENOMEM);
    /* An entry that vanishes leaves its limits. */
    put32(ENTRY + 128, 0);
    file_update(ENTRY + 128, 4);
    divvy_foreign_doubt();
    assert_int_equal(divvy_memory_reserve(0, 11 * MIB), -ENOMEM);
    assert_int_equal(limit_bytes(), 210 * MIB);
    divvy_memory_credit(0, 200 * MIB);
}

/* --- files of the wrong kind ------------------------------------------------------------------------------------------------ */

static void test_refused(void **state) {
    static uint8_t long_file[BYTES + 8];

    (void)state;
    assert_int_equal(attach(), -ENOENT); /* named, and not there */
    for (size_t size = 0; size < sizeof long_file; size += size < 2400 ? 8 : 504) {
        memcpy(long_file, file, BYTES);
        file_write(path, long_file, size == BYTES ? size + 8 : size);
        assert_int_equal(attach(), -EPROTO);
        assert_int_equal(divvy_foreign_state(), DIVVY_FOREIGN_NONE);
    }
    put32(0, 2);
    file_write(path, file, BYTES);
    assert_int_equal(attach(), -EPROTO);
    golden_v2();
    put32(2184, 17);
    file_write(path, file, BYTES);
    assert_int_equal(attach(), -EPROTO);
    golden_v2();
    memset(file + ENTRY, 'x', 64);
    file_write(path, file, BYTES);
    assert_int_equal(attach(), -EPROTO);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_int_equal(attach(), -EPROTO);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0666), 0);
    assert_int_equal(attach(), -EPROTO);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0777), 0);
    assert_int_equal(attach(), -EISDIR);
}

static void test_numbers_from_nowhere(void **state) {
    uint64_t seed = (uint64_t)time(NULL);

    (void)state;
    print_message("seed %llu\n", (unsigned long long)seed);
    attach_written();
    for (unsigned round = 0; round < 300; round++) {
        golden_v2();
        for (unsigned i = 0; i < 12;
             i++) { /* anywhere behind the tag, but the bucket is never empty */
            seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            put64(8 + (seed >> 33) % 4430 * 8,
                  i % 3 ? seed : UINT64_C(0x7ff8000000000000) | seed % 3);
        }
        put_double(TOKENS, 1e6);
        put32(ENTRY + 64, (uint32_t)seed);
        file_update(0, BYTES);
        divvy_foreign_doubt();
        (void)launch(256);
        (void)divvy_memory_reserve(0, 1);
    }
    golden_v2();
    file_update(0, BYTES);
    divvy_foreign_doubt();
    assert_true(launch(256));
    assert_int_equal(permille(), 300);
}

/* Cut, gone, replaced by something else, made again: silent each time, and back each time. */
static void test_changes_under_us(void **state) {
    uint64_t place = (uint64_t)(uintptr_t)divvy_foreign.file.v2;

    (void)state;
    attach_written();
    place = (uint64_t)(uintptr_t)divvy_foreign.file.v2;
    for (unsigned round = 0; round < 3; round++) {
        assert_int_equal(truncate(path, 4096), 0);
        divvy_foreign_doubt();
        assert_false(launch(256));
        assert_int_equal(divvy_foreign_state(), DIVVY_FOREIGN_SILENT);
        file_write(path, file, BYTES);
        divvy_foreign_doubt();
        assert_true(launch(256));
        assert_int_equal(unlink(path), 0);
        divvy_foreign_doubt();
        assert_false(launch(256));
        file_write(path, "not a pod file", 14);
        divvy_foreign_doubt();
        assert_false(launch(256));
        assert_int_equal(limit_bytes(), 256 * MIB);
        assert_int_equal(unlink(path), 0);
        file_write(path, file, BYTES);
        divvy_foreign_doubt();
        assert_true(launch(256));
        assert_true(fabs(tokens() - (50 - divvy_podfile_cost(1, 256))) <
                    1e-9); /* of the new file */
        assert_int_equal((uint64_t)(uintptr_t)divvy_foreign.file.v2, place);
    }
}

static bool replaced_enough;

static void *launcher(void *unused) {
    while (!__atomic_load_n(&replaced_enough, __ATOMIC_RELAXED)) {
        (void)launch(256);
        if (divvy_memory_reserve(0, 4096) == 0)
            divvy_memory_credit(0, 4096);
    }
    return unused;
}

/* The same while threads launch and allocate: the file is exchanged under their hands, whole each time. */
static void test_replaced_beside_launches(void **state) {
    pthread_t threads[4];
    char other[128];

    (void)state;
    put32(ENTRY + 64, 60);
    put_double(TOKENS, 1e9);
    put_double(ENTRY + 104, 1e9);
    attach_written();
    __atomic_store_n(&replaced_enough, false, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, launcher, NULL), 0);
    snprintf(other, sizeof other, "%s/other", folder);
    for (unsigned round = 0; round < 200; round++) {
        struct timespec wait = {.tv_nsec = 1000000};

        put64(2192, (uint64_t)time(NULL));
        file_write(other, file, BYTES);
        if (round % 3 == 0)
            assert_int_equal(unlink(path), 0);
        assert_int_equal(rename(other, path), 0);
        divvy_foreign_doubt();
        nanosleep(&wait, NULL);
    }
    __atomic_store_n(&replaced_enough, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    beat(0);
    assert_true(launch(256));
}

/* A program that closes all descriptors, and gets our number for a file of its own. */
static void test_descriptors_closed(void **state) {
    int own;

    (void)state;
    attach_written();
    for (int fd = 3; fd < 64; fd++)
        close(fd);
    own = open("/dev/null", O_RDONLY | O_CLOEXEC);
    divvy_foreign_doubt();
    (void)launch(256);
    assert_int_equal(fcntl(own, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC); /* still open */
    close(own);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(test_source),
        TEST(test_made_for_tests),
        TEST(test_golden_v2),
        TEST(test_golden_v1),
        TEST(test_waits_for_tokens),
        TEST(test_everybody_gets_through),
        TEST(test_without_cap),
        TEST(test_small_bucket),
        TEST(test_silent_closed),
        TEST(test_silent_open),
        TEST(test_silent_while_waiting),
        TEST(test_memory),
        TEST(test_limits_follow),
        TEST(test_refused),
        TEST(test_numbers_from_nowhere),
        TEST(test_changes_under_us),
        TEST(test_replaced_beside_launches),
        TEST(test_descriptors_closed),
    };

    return cmocka_run_group_tests_name("limiter/foreign", tests, NULL, NULL);
}
