/* NVML in processes of its own: the same lists and reservations, and nothing of NVML in this process. */
#include "common.h"

#include "mig/apart.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

/* Whether this process has the fake mapped. */
static bool is_loaded(void) {
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[1024];
    bool found = false;

    assert_non_null(maps);
    while (fgets(line, sizeof line, maps))
        found = found || strstr(line, "libnvidia-ml");
    (void)fclose(maps);
    return found;
}

static struct divvy_mig *open_apart(const char *devices) {
    struct divvy_mig_error error = {0};
    struct divvy_mig *mig;

    test_env("FAKE_MIG", devices);
    if (divvy_mig_open_apart(FAKE_NVML, &mig, &error) < 0)
        fail_msg("%s", error.text);
    return mig;
}

/* First of all: others load it into this process. */
static void test_reserve_apart(void **state) {
    struct divvy_mig *mig = open_apart("H100:1g.10gb,1g.10gb;H200:off");
    struct divvy_mig_options options = test_options();
    struct divvy_mig_reservation *first, *second;
    struct divvy_mig_profile profile;
    struct divvy_mig_error error;

    (void)state;
    assert_int_equal(divvy_mig_profile_read(mig, "1g.10gb", &profile, &error), 0);
    assert_int_equal(divvy_mig_reserve(mig, &profile, &options, &first, &error), 0);
    assert_int_equal(divvy_mig_reserve(mig, &profile, &options, &second, &error), 0);
    assert_string_not_equal(divvy_mig_reservation_device(first)->uuid, divvy_mig_reservation_device(second)->uuid);
    assert_int_equal(divvy_mig_profile_read(mig, "9z.1gb", &profile, &error), -EINVAL);
    assert_non_null(strstr(error.text, "profiles here: 1g.10gb"));
    assert_false(is_loaded());
    assert_int_equal(divvy_mig_release(first, &error), 0);
    assert_int_equal(divvy_mig_release(second, &error), 0);
    divvy_mig_close(mig);
    /* No child is left. */
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

/* A machine that outlives the processes that ask for it. */
static void machine_share(const char *name) {
    char path[256];

    (void)snprintf(path, sizeof path, "%s/%s", test_folder, name);
    test_env("FAKE_MIG_STATE", path);
}

static uint32_t instances(struct divvy_mig *mig) {
    struct divvy_mig_list *list = test_list(mig);
    uint32_t count = 0;

    for (uint32_t i = 0; i < divvy_mig_list_count(list); i++)
        count += divvy_mig_list_at(list, i)->is_mig;
    divvy_mig_list_free(list);
    return count;
}

static int create(struct divvy_mig *mig, const char *profile, struct divvy_mig_reservation **ret_reservation,
                  struct divvy_mig_error *error) {
    struct divvy_mig_options options = test_options();
    struct divvy_mig_profile wanted;

    options.flags = DIVVY_MIG_CREATE;
    assert_int_equal(divvy_mig_profile_parse(profile, &wanted, error), 0);
    return divvy_mig_reserve(mig, &wanted, &options, ret_reservation, error);
}

/* Instances too are made and destroyed without NVML in this process. */
static void test_create_apart(void **state) {
    struct divvy_mig_reservation *reservation;
    struct divvy_mig_error error;
    struct divvy_mig *mig;

    (void)state;
    machine_share("created");
    mig = open_apart("H100");
    assert_int_equal(create(mig, "2g.20gb", &reservation, &error), 0);
    assert_true(divvy_mig_reservation_is_created(reservation));
    assert_string_equal(divvy_mig_reservation_device(reservation)->profile, "2g.20gb");
    assert_int_equal(instances(mig), 1);
    assert_int_equal(divvy_mig_release(reservation, &error), 0);
    assert_int_equal(instances(mig), 0);
    test_env("FAKE_MIG_FAIL", "nvmlGpuInstanceCreateComputeInstance");
    assert_int_equal(create(mig, "2g.20gb", &reservation, &error), -ENXIO);
    assert_non_null(strstr(error.text, "none was created"));
    test_env("FAKE_MIG_FAIL", NULL);
    /* One that lost its lock to somebody else is theirs, and left alone. */
    assert_int_equal(create(mig, "2g.20gb", &reservation, &error), 0);
    assert_int_equal(unlink(divvy_mig_reservation_path(reservation)), 0);
    assert_int_equal(divvy_mig_release(reservation, &error), -ESTALE);
    assert_int_equal(instances(mig), 1);
    assert_int_equal(divvy_mig_reap(mig, test_locks, &error), 1);
    assert_int_equal(instances(mig), 0);
    divvy_mig_close(mig);
    assert_false(is_loaded());
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    test_env("FAKE_MIG_STATE", NULL);
}

/* Whenever a maker is killed, what it has made is marked or undone: one who clears away finds all. */
static void test_killed_makers(void **state) {
    struct timespec pause = {0};
    struct divvy_mig_error error;
    unsigned int seed = (unsigned int)test_now_ns(), left = 0;
    uint64_t took_ns = 0;
    int status;
    struct divvy_mig *mig;

    (void)state;
    print_message("seed %u\n", seed);
    machine_share("killed");
    test_env("FAKE_MIG_SLOW", "10"); /* a driver takes much longer: deaths fall between its calls */
    mig = open_apart("H100");
    for (int i = 0; i < 30; i++) {
        uint64_t begin_ns = test_now_ns();
        pid_t maker = fork();

        if (maker == 0) {
            struct divvy_mig_reservation *reservation;

            if (create(mig, "7g.80gb", &reservation, &error) < 0)
                _exit(1);
            _exit(divvy_mig_release(reservation, NULL) < 0);
        }
        if (i > 0) { /* the first shows how long it takes */
            pause.tv_nsec = (long)((uint64_t)rand_r(&seed) % took_ns);
            (void)nanosleep(&pause, NULL);
            assert_int_equal(kill(maker, SIGKILL), 0);
        }
        assert_int_equal(waitpid(maker, &status, 0), maker);
        if (i == 0) {
            assert_int_equal(status, 0);
            took_ns = test_now_ns() - begin_ns;
        }
        /* The maker's child may still be about to destroy what is given back. */
        pause.tv_nsec = 2000000;
        for (int look = 0; look < 1000; look++) {
            if (divvy_mig_reap(mig, test_locks, &error) < 0)
                fail_msg("%s", error.text);
            left = instances(mig);
            if (left == 0)
                break;
            (void)nanosleep(&pause, NULL);
        }
        assert_int_equal(left, 0);
    }
    divvy_mig_close(mig);
    test_env("FAKE_MIG_STATE", NULL);
    test_env("FAKE_MIG_SLOW", NULL);
}

/* The maker's own child is killed at each call in turn: what it has made goes with the next reservation or clearing. */
static void test_killed_children(void **state) {
    struct divvy_mig_reservation *reservation;
    struct divvy_mig_error error;
    struct divvy_mig *mig;
    unsigned int call = 1;
    int status = -EIO;
    char text[16];

    (void)state;
    machine_share("killed-children");
    mig = open_apart("H100");
    for (; status < 0 && call < 10000; call++) {
        (void)snprintf(text, sizeof text, "%u", call);
        test_env("FAKE_MIG_KILL", text);
        status = create(mig, "7g.80gb", &reservation, &error);
        test_env("FAKE_MIG_KILL", NULL);
        if (status == 0)
            assert_int_equal(divvy_mig_release(reservation, &error), 0);
        if (divvy_mig_reap(mig, test_locks, &error) < 0)
            fail_msg("call %u: %s", call, error.text);
        assert_int_equal(instances(mig), 0);
    }
    assert_true(call > 20);
    assert_int_equal(create(mig, "7g.80gb", &reservation, &error), 0);
    assert_int_equal(divvy_mig_release(reservation, &error), 0);
    divvy_mig_close(mig);
    test_env("FAKE_MIG_STATE", NULL);
}

/* Twice: as opening has read it, and read anew. */
static void test_same_list(void **state) {
    static const char devices[] = "A100-40:!,1g.5gb,-,3g.20gb;H200:off;H100";
    struct divvy_mig *apart = open_apart(devices), *mig = test_open(devices);
    struct divvy_mig_list *expected = NULL, *list = NULL;
    const char *fault, *expected_fault;

    (void)state;
    assert_int_equal(divvy_mig_list(mig, 0, &expected, NULL), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(divvy_mig_list(apart, 0, &list, NULL), 0);
        assert_int_equal(divvy_mig_list_count(list), divvy_mig_list_count(expected));
        for (uint32_t k = 0; k < divvy_mig_list_count(list); k++)
            assert_memory_equal(divvy_mig_list_at(list, k), divvy_mig_list_at(expected, k), sizeof(struct divvy_mig_device));
        assert_int_equal(divvy_mig_list_faults(list, &fault), divvy_mig_list_faults(expected, &expected_fault));
        assert_string_equal(fault, expected_fault);
        divvy_mig_list_free(list);
    }
    divvy_mig_list_free(expected);
    divvy_mig_close(mig);
    divvy_mig_close(apart);
}

static void test_failures(void **state) {
    struct divvy_mig_error error = {0};
    struct divvy_mig *mig;
    char name[300];

    (void)state;
    assert_int_equal(divvy_mig_open_apart("/no/such/libnvidia-ml.so.1", &mig, &error), -ENOENT);
    assert_non_null(strstr(error.text, "/no/such"));
    assert_int_equal(divvy_mig_open_apart("/proc/self/exe", &mig, &error), -EIO);
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(divvy_mig_open_apart(name, &mig, &error), -ENOENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_reserve_apart), cmocka_unit_test(test_create_apart),
                                       cmocka_unit_test(test_killed_makers), cmocka_unit_test(test_killed_children),
                                       cmocka_unit_test(test_same_list), cmocka_unit_test(test_failures)};

    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
