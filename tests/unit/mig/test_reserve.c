/* Reservations by profile: best fit, all candidates, waiting, many processes at once, and deaths at any moment. */
#include "common.h"

#include "core/sys.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#define MS     UINT64_C(1000000)
#define SECOND INT64_C(1000000000)

static struct divvy_mig_reservation *reserved(const char *profile) {
    struct divvy_mig_options options = test_options();
    struct divvy_mig_reservation *reservation = NULL;
    struct divvy_mig_error error = {0};

    if (test_reserve(profile, &options, &reservation, &error) != 0)
        fail_msg("%s: %s", profile, error.text);
    return reservation;
}

static void refused(const char *profile, int status, const char *text) {
    struct divvy_mig_options options = test_options();
    struct divvy_mig_reservation *reservation = NULL;
    struct divvy_mig_error error = {0};
    int found = test_reserve(profile, &options, &reservation, &error);

    if (found != status || error.status != status)
        fail_msg("%s: %d, %s", profile, found, error.text);
    if (text && !strstr(error.text, text))
        fail_msg("%s: '%s' lacks '%s'", profile, error.text, text);
    assert_null(reservation);
}

static void is_at(const struct divvy_mig_reservation *reservation, uint32_t gpu, uint32_t slot) {
    const struct divvy_mig_device *device = divvy_mig_reservation_device(reservation);

    if (device->gpu_index != gpu || device->mig_index != slot)
        fail_msg("reserved slot %u of GPU %u", device->mig_index, device->gpu_index);
}

static void release(struct divvy_mig_reservation *reservation) {
    struct divvy_mig_error error = {0};

    if (divvy_mig_release(reservation, &error) != 0)
        fail_msg("%s", error.text);
}

/* A profile takes the device of its name, neither a bigger nor a smaller one, at real sizes. */
static void test_by_name(void **state) {
    struct divvy_mig_reservation *first, *second;

    (void)state;
    test_env("FAKE_MIG", "H100:2g.20gb,1g.20gb,1g.10gb,1g.10gb+me;A100-40:1g.10gb,1g.5gb,2g.10gb");
    first = reserved("1g.10gb");
    is_at(first, 1, 0); /* the smaller of two of that name: 9856 MiB and 9984 */
    second = reserved("1g.10gb");
    is_at(second, 0, 2);
    refused("1g.10gb", -EBUSY, "held by process");
    release(first);
    release(second);
    first = reserved("1g.5gb");
    is_at(first, 1, 1);
    refused("1g.5gb", -EBUSY, NULL);
    release(first);
    first = reserved("1g.10gb+me");
    is_at(first, 0, 3);
    assert_int_equal(divvy_mig_reservation_match(first), DIVVY_MIG_MATCH_BY_NAME);
    release(first);
    refused("7g.80gb", -ENXIO, "2g.20gb, 1g.20gb, 1g.10gb, 1g.10gb+me, 1g.5gb, 2g.10gb");
    refused("4g.40gb", -ENXIO, NULL);
    refused("1g.5gb+me", -ENXIO, NULL);
}

/* Two of equal slices that differ by size only, without names. */
static void test_without_names(void **state) {
    struct divvy_mig_reservation *reservation;

    (void)state;
    test_env("FAKE_MIG", "H100:1g.20gb,1g.10gb,2g.20gb");
    test_env("FAKE_MIG_NAMES", "plain");
    reservation = reserved("1g.10gb");
    is_at(reservation, 0, 1);
    assert_int_equal(divvy_mig_reservation_match(reservation), DIVVY_MIG_MATCH_BY_SLICES);
    release(reservation);
    reservation = reserved("2g.20gb");
    is_at(reservation, 0, 2);
    release(reservation);
    test_env("FAKE_MIG_FAIL", "nvmlDeviceGetAttributes_v2=3");
    reservation = reserved("1g.10gb");
    is_at(reservation, 0, 1);
    assert_int_equal(divvy_mig_reservation_match(reservation), DIVVY_MIG_MATCH_BY_SIZE);
    release(reservation);
}

static void test_by_size(void **state) {
    struct divvy_mig_reservation *first, *second, *third;

    (void)state;
    test_env("FAKE_MIG", "H100:3g.40gb,1g.10gb,-,1g.10gb;A100-40:1g.5gb");
    first = reserved("custom.8192");
    is_at(first, 0, 1);
    second = reserved("custom.8192");
    is_at(second, 0, 3);
    third = reserved("custom.0");
    is_at(third, 1, 0);
    release(third);
    third = reserved("custom.8192"); /* what is left */
    is_at(third, 0, 0);
    refused("custom.8192", -EBUSY, NULL);
    refused("custom.40449", -ENXIO, NULL);
    release(first);
    release(second);
    release(third);
}

static void test_bad_wishes(void **state) {
    (void)state;
    test_env("FAKE_MIG", "H100:1g.10gb");
    refused("custom.x", -EINVAL, "custom.x");
    refused("9z.1gb", -EINVAL, "9z.1gb");
    refused("custom.", -EINVAL, "custom.");
    refused("", -EINVAL, NULL);
    assert_false(test_exists(test_locks)); /* nothing left behind, not even the folder */
    refused("1g.20gb", -ENXIO, "1g.10gb");
    assert_int_equal(rmdir(test_locks), 0); /* no lock in it */
}

static void test_no_mig(void **state) {
    (void)state;
    test_env("FAKE_MIG", "H100:off;H200:none");
    refused("1g.10gb", -ENODEV, "MIG mode");
    test_env("FAKE_MIG", "");
    refused("1g.10gb", -ENODEV, "no GPU");
    assert_true(divvy_mig_is_unusable(-ENODEV));
    test_env("FAKE_MIG", "H100");
    refused("1g.10gb", -ENXIO, "none");
    assert_false(divvy_mig_is_unusable(-ENXIO));
}

static void test_options_refused(void **state) {
    struct divvy_mig_options options = test_options();
    struct divvy_mig_reservation *reservation = NULL;

    (void)state;
    test_env("FAKE_MIG", "H100:1g.10gb");
    options.flags = 0x80;
    assert_int_equal(test_reserve("1g.10gb", &options, &reservation, NULL), -EINVAL);
    options = test_options();
    options.size_bytes = 0;
    assert_int_equal(test_reserve("1g.10gb", &options, &reservation, NULL), -EINVAL);
    options = test_options();
    options.wait_ns = -2;
    assert_int_equal(test_reserve("1g.10gb", &options, &reservation, NULL), -EINVAL);
    options = test_options();
    options.holder_pid = getpid();
    assert_int_equal(test_reserve("1g.10gb", &options, &reservation, NULL), -EINVAL);
    options = test_options();
    options.lock_dir = "not/absolute";
    assert_int_equal(test_reserve("1g.10gb", &options, &reservation, NULL), -EINVAL);
}

static void test_only_one_of(void **state) {
    struct divvy_mig *mig = test_open("H100:1g.10gb,1g.10gb;H100:1g.10gb");
    struct divvy_mig_list *list = test_list(mig);
    struct divvy_mig_options options = test_options();
    struct divvy_mig_reservation *reservation = NULL;
    struct divvy_mig_error error = {0};

    (void)state;
    options.uuid = test_uuid(list, 0, 1);
    assert_int_equal(test_reserve("custom.0", &options, &reservation, &error), 0);
    is_at(reservation, 0, 1);
    assert_int_equal(test_reserve("custom.0", &options, &reservation, &error), -EBUSY);
    release(reservation);
    options.uuid = "MIG-no-such";
    assert_int_equal(test_reserve("custom.0", &options, &reservation, &error), -ENXIO);
    options.uuid = NULL;
    options.gpu_uuid = divvy_mig_list_at(list, 3)->uuid;
    assert_int_equal(test_reserve("1g.10gb", &options, &reservation, &error), 0);
    is_at(reservation, 1, 0);
    release(reservation);
    divvy_mig_list_free(list);
    divvy_mig_close(mig);
}

static void test_bigger(void **state) {
    struct divvy_mig_options options = test_options();
    struct divvy_mig_reservation *first = NULL, *second = NULL;

    (void)state;
    test_env("FAKE_MIG", "H100:3g.40gb,1g.10gb,2g.20gb");
    options.flags = DIVVY_MIG_BIGGER;
    assert_int_equal(test_reserve("1g.10gb", &options, &first, NULL), 0);
    is_at(first, 0, 1);
    assert_int_equal(test_reserve("1g.10gb", &options, &second, NULL), 0);
    is_at(second, 0, 2);
    release(first);
    release(second);
    assert_int_equal(test_reserve("7g.80gb", &options, &first, NULL), -ENXIO);
}

/* --- heartbeat ----------------------------------------------------------------------------------------------------- */

static void test_heartbeat(void **state) {
    struct divvy_mig_reservation *reservation;
    struct divvy_mig_error error = {0};
    struct timespec old[2] = {{.tv_sec = time(NULL) - 3600}, {.tv_sec = time(NULL) - 3600}};

    (void)state;
    test_env("FAKE_MIG", "H100:1g.10gb");
    reservation = reserved("1g.10gb");
    assert_true(divvy_mig_heartbeat_interval_ns(reservation) == 100 * SECOND);
    assert_int_equal(utimensat(AT_FDCWD, divvy_mig_reservation_path(reservation), old, 0), 0);
    refused("1g.10gb", -EBUSY, NULL); /* older than the TTL, and alive */
    assert_int_equal(divvy_mig_heartbeat(reservation, &error), 0);
    assert_true(test_age_s(divvy_mig_reservation_path(reservation)) < 60);
    assert_int_equal(unlink(divvy_mig_reservation_path(reservation)), 0);
    assert_int_equal(divvy_mig_heartbeat(reservation, &error), -ESTALE);
    assert_non_null(strstr(error.text, "lock file"));
    assert_int_equal(divvy_mig_release(reservation, &error), -ESTALE);
}

static int complaints;

static void complain(void *data, int level, const char *line) {
    (void)data;
    (void)line;
    if (level == DIVVY_MIG_LOG_ERROR)
        __atomic_add_fetch(&complaints, 1, __ATOMIC_SEQ_CST);
}

static void test_heartbeat_thread(void **state) {
    struct divvy_mig_options options = test_options();
    struct divvy_mig_reservation *reservation = NULL;
    struct timespec old[2] = {{.tv_sec = time(NULL) - 3600}, {.tv_sec = time(NULL) - 3600}};
    const char *path;

    (void)state;
    test_env("FAKE_MIG", "H100:1g.10gb");
    options.flags = DIVVY_MIG_HEARTBEAT_THREAD;
    options.ttl_ns = 30 * (int64_t)MS;
    options.log = complain;
    complaints = 0;
    assert_int_equal(test_reserve("1g.10gb", &options, &reservation, NULL), 0);
    path = divvy_mig_reservation_path(reservation);
    assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
    for (int tries = 0; tries < 5000 && test_age_s(path) > 60; tries++)
        (void)usleep(1000);
    assert_true(test_age_s(path) < 60);
    assert_int_equal(unlink(path), 0);
    for (int tries = 0; tries < 5000 && __atomic_load_n(&complaints, __ATOMIC_SEQ_CST) == 0; tries++)
        (void)usleep(1000);
    (void)usleep(60000); /* six heartbeats later it was still said once */
    assert_int_equal(__atomic_load_n(&complaints, __ATOMIC_SEQ_CST), 1);
    assert_int_equal(divvy_mig_release(reservation, NULL), -ESTALE);
}

/* --- waiting ------------------------------------------------------------------------------------------------------- */

static void *release_soon(void *reservation) {
    (void)usleep(100000);
    (void)divvy_mig_release(reservation, NULL);
    return NULL;
}

static void test_wait(void **state) {
    struct divvy_mig_options options = test_options();
    struct divvy_mig_reservation *held, *waited = NULL;
    struct divvy_mig_error error = {0};
    pthread_t thread;
    uint64_t start_ns;

    (void)state;
    test_env("FAKE_MIG", "H100:1g.10gb");
    held = reserved("1g.10gb");
    options.wait_ns = 50 * (int64_t)MS;
    start_ns = test_now_ns();
    assert_int_equal(test_reserve("1g.10gb", &options, &waited, &error), -ETIMEDOUT);
    assert_true(test_now_ns() - start_ns >= 50 * MS);
    assert_non_null(strstr(error.text, "in time"));
    options.wait_ns = 60 * SECOND;
    assert_int_equal(pthread_create(&thread, NULL, release_soon, held), 0);
    assert_int_equal(test_reserve("1g.10gb", &options, &waited, &error), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    release(waited);
    /* What does not fit at all is not waited for. */
    assert_int_equal(test_reserve("7g.80gb", &options, &waited, &error), -ENXIO);
}

static void test_wait_for_death(void **state) {
    struct divvy_mig_options options = test_options();
    struct divvy_mig_reservation *reservation = NULL;
    int ready[2];
    pid_t child;
    char byte;

    (void)state;
    test_env("FAKE_MIG", "H100:1g.10gb");
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    child = fork();
    if (child == 0) {
        (void)reserved("1g.10gb");
        (void)!write(ready[1], "x", 1);
        (void)usleep(100000);
        (void)kill(getpid(), SIGKILL);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    options.wait_ns = DIVVY_MIG_WAIT_FOREVER;
    assert_int_equal(test_reserve("1g.10gb", &options, &reservation, NULL), 0);
    release(reservation);
    assert_int_equal(waitpid(child, NULL, 0), child);
    (void)close(ready[0]);
    (void)close(ready[1]);
}

static void test_cancel(void **state) {
    struct divvy_mig_options options = test_options();
    struct divvy_mig_reservation *held, *other = NULL;
    struct divvy_mig_error error = {0};
    int cancel[2];

    (void)state;
    test_env("FAKE_MIG", "H100:1g.10gb");
    held = reserved("1g.10gb");
    assert_int_equal(pipe2(cancel, O_CLOEXEC), 0);
    options.wait_ns = DIVVY_MIG_WAIT_FOREVER;
    options.cancel_fd = cancel[0];
    assert_int_equal(write(cancel[1], "x", 1), 1);
    assert_int_equal(test_reserve("1g.10gb", &options, &other, &error), -ECANCELED);
    release(held);
    (void)close(cancel[0]);
    (void)close(cancel[1]);
}

/* --- many at once -------------------------------------------------------------------------------------------------- */

#define EIGHT_OF_SEVEN                                                                                                         \
    "H100:1g.10gb,1g.10gb,1g.10gb,1g.10gb,1g.10gb,1g.10gb,1g.10gb;H100:1g.10gb,1g.10gb,1g.10gb,1g.10gb,1g.10gb,1g.10gb,"        \
    "1g.10gb;H100:1g.10gb,1g.10gb,1g.10gb,1g.10gb,1g.10gb,1g.10gb,1g.10gb;H100:1g.10gb,1g.10gb,1g.10gb,1g.10gb,1g.10gb,"         \
    "1g.10gb,1g.10gb;H100:1g.10gb,1g.10gb,1g.10gb,1g.10gb,1g.10gb,1g.10gb,1g.10gb;H100:1g.10gb,1g.10gb,1g.10gb,1g.10gb,"         \
    "1g.10gb,1g.10gb,1g.10gb;H100:1g.10gb,1g.10gb,1g.10gb,1g.10gb,1g.10gb,1g.10gb,1g.10gb;H100:1g.10gb,1g.10gb,1g.10gb,"         \
    "1g.10gb,1g.10gb,1g.10gb,1g.10gb"

#define RACERS 56u

/* 56 processes for 56 slices: each gets a different one, at once; a 57th gets none. */
static void test_race(void **state) {
    uint32_t *counts = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t racers[RACERS];
    int go[2], done[2], hold[2];
    char byte;

    (void)state;
    assert_true(counts != MAP_FAILED);
    test_env("FAKE_MIG", EIGHT_OF_SEVEN);
    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    assert_int_equal(pipe2(done, O_CLOEXEC), 0);
    assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
    for (uint32_t i = 0; i < RACERS; i++) {
        racers[i] = fork();
        if (racers[i] == 0) {
            const struct divvy_mig_device *device;

            (void)close(go[1]);
            (void)close(hold[1]);
            (void)!read(go[0], &byte, 1);
            device = divvy_mig_reservation_device(reserved("1g.10gb"));
            __atomic_add_fetch(&counts[device->gpu_index * 7 + device->mig_index], 1, __ATOMIC_SEQ_CST);
            (void)!write(done[1], "x", 1);
            (void)!read(hold[0], &byte, 1);
            _exit(0);
        }
    }
    (void)close(go[1]);
    for (uint32_t i = 0; i < RACERS; i++)
        assert_int_equal(read(done[0], &byte, 1), 1);
    for (uint32_t i = 0; i < RACERS; i++)
        assert_int_equal(counts[i], 1);
    refused("1g.10gb", -EBUSY, "all 56");
    (void)close(hold[1]);
    for (uint32_t i = 0; i < RACERS; i++) {
        int status;

        assert_int_equal(waitpid(racers[i], &status, 0), racers[i]);
        assert_int_equal(status, 0);
    }
    (void)munmap(counts, 4096);
    (void)close(go[0]);
    (void)close(done[0]);
    (void)close(done[1]);
    (void)close(hold[0]);
}

/* --- reserve, release, kill ------------------------------------------------------------------------------------------ */

#define WORKERS 8u
#define SLICES  5u

/* What the workers say of themselves, where all can see it. */
struct board {
    struct {
        pid_t pid;
        uint64_t ticks;
    } owners[SLICES];
    uint64_t steps, limit;
    uint32_t broken;
};

static bool is_gone(pid_t pid, uint64_t ticks) {
    uint64_t end_ns = test_now_ns() + 100 * MS;

    while (divvy_core_sys_is_alive(pid, ticks))
        if (test_now_ns() > end_ns)
            return false;
    return true;
}

static void board_enter(struct board *board, uint32_t slice) {
    pid_t before = __atomic_exchange_n(&board->owners[slice].pid, getpid(), __ATOMIC_SEQ_CST);

    /* Whoever was here must be dead: it was killed before it could leave. */
    if (before != 0 && before != getpid() && !is_gone(before, board->owners[slice].ticks))
        __atomic_store_n(&board->broken, 1 + slice, __ATOMIC_SEQ_CST);
    (void)divvy_core_sys_start_time(0, &board->owners[slice].ticks);
}

static void board_leave(struct board *board, uint32_t slice) {
    pid_t self = getpid();

    if (!__atomic_compare_exchange_n(&board->owners[slice].pid, &self, 0, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        __atomic_store_n(&board->broken, 100 + slice, __ATOMIC_SEQ_CST);
}

static void worker(struct board *board, unsigned int seed) {
    struct divvy_mig_profile wanted;
    struct divvy_mig_options options = test_options();
    struct divvy_mig *mig = test_open(NULL);

    (void)divvy_mig_profile_parse("1g.10gb", &wanted, NULL);
    while (__atomic_add_fetch(&board->steps, 1, __ATOMIC_SEQ_CST) <= board->limit) {
        struct divvy_mig_reservation *reservation;
        struct divvy_mig_error error = {0};
        uint32_t slice;
        int status = divvy_mig_reserve(mig, &wanted, &options, &reservation, &error);

        if (status == -EBUSY)
            continue;
        if (status < 0) {
            (void)fprintf(stderr, "worker: %s\n", error.text);
            __atomic_store_n(&board->broken, 1000, __ATOMIC_SEQ_CST);
            _exit(1);
        }
        slice = divvy_mig_reservation_device(reservation)->mig_index;
        board_enter(board, slice);
        for (unsigned int spins = (unsigned int)rand_r(&seed) % 200; spins > 0; spins--)
            (void)sched_yield();
        board_leave(board, slice);
        if (divvy_mig_release(reservation, &error) != 0) {
            (void)fprintf(stderr, "worker: %s\n", error.text);
            __atomic_store_n(&board->broken, 2000, __ATOMIC_SEQ_CST);
        }
    }
    _exit(0);
}

static pid_t worker_start(struct board *board, unsigned int seed) {
    pid_t pid = fork();

    if (pid == 0)
        worker(board, seed);
    assert_true(pid > 0);
    return pid;
}

static void all_are_reservable(void) {
    struct divvy_mig_reservation *all[SLICES];
    uint64_t start_ns = test_now_ns();

    for (uint32_t i = 0; i < SLICES; i++)
        all[i] = reserved("1g.10gb");
    if (test_now_ns() - start_ns > 100 * MS * SLICES)
        print_message("slow machine: %llu ms\n", (unsigned long long)((test_now_ns() - start_ns) / MS));
    for (uint32_t i = 0; i < SLICES; i++)
        release(all[i]);
}

static void test_kill_at_any_moment(void **state) {
    struct board *board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    const char *steps = getenv("MIG_TEST_STEPS"), *seed_text = getenv("MIG_TEST_SEED");
    unsigned int seed = seed_text ? (unsigned int)strtoul(seed_text, NULL, 10) : (unsigned int)test_now_ns();
    pid_t workers[WORKERS];
    unsigned long kills = 0;

    (void)state;
    print_message("seed %u\n", seed);
    assert_true(board != MAP_FAILED);
    board->limit = steps ? strtoull(steps, NULL, 10) : 4000;
    test_env("FAKE_MIG", "H100:1g.10gb,1g.10gb,1g.10gb,1g.10gb,1g.10gb");
    for (uint32_t i = 0; i < WORKERS; i++)
        workers[i] = worker_start(board, seed + i);
    while (__atomic_load_n(&board->steps, __ATOMIC_SEQ_CST) < board->limit && !board->broken) {
        uint32_t victim = (uint32_t)rand_r(&seed) % WORKERS;

        (void)usleep((useconds_t)rand_r(&seed) % 3000);
        (void)kill(workers[victim], SIGKILL);
        assert_int_equal(waitpid(workers[victim], NULL, 0), workers[victim]);
        workers[victim] = worker_start(board, (unsigned int)rand_r(&seed));
        kills++;
    }
    for (uint32_t i = 0; i < WORKERS; i++)
        assert_int_equal(waitpid(workers[i], NULL, 0), workers[i]);
    print_message("%llu steps, %lu kills\n", (unsigned long long)board->limit, kills);
    assert_int_equal(board->broken, 0);
    all_are_reservable();
    (void)munmap(board, sizeof *board);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, test_folder_make, test_folder_remove)
    const struct CMUnitTest tests[] = {
        TEST(test_by_name),        TEST(test_without_names), TEST(test_by_size),          TEST(test_bad_wishes),
        TEST(test_no_mig),         TEST(test_options_refused), TEST(test_only_one_of),    TEST(test_bigger),
        TEST(test_heartbeat),      TEST(test_heartbeat_thread), TEST(test_wait),          TEST(test_wait_for_death),
        TEST(test_cancel),         TEST(test_race),          TEST(test_kill_at_any_moment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
