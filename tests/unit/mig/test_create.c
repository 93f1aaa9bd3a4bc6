/* Creation on demand: made, destroyed, undone when a step fails, and cleared away after a death. */
#include "common.h"

#include <signal.h>
#include <sys/wait.h>

static struct divvy_mig_options create_options(void) {
    struct divvy_mig_options options = test_options();

    options.flags = DIVVY_MIG_CREATE;
    return options;
}

static uint32_t instances(void) {
    struct divvy_mig *mig = test_open(NULL);
    struct divvy_mig_list *list = test_list(mig);
    uint32_t count = 0;

    for (uint32_t i = 0; i < divvy_mig_list_count(list); i++)
        count += divvy_mig_list_at(list, i)->is_mig;
    divvy_mig_list_free(list);
    divvy_mig_close(mig);
    return count;
}

/* How many more instances of a profile fit on all GPUs: what is leaked is missing here. */
static uint32_t room(const char *profile) {
    struct divvy_mig *mig = test_open(NULL);
    struct divvy_mig_offer *offers;
    uint32_t count, sum = 0;

    assert_int_equal(divvy_mig_offers(mig, test_locks, &offers, &count, NULL), 0);
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(offers[i].profile, profile) == 0 && offers[i].creatable != DIVVY_MIG_UNKNOWN)
            sum += offers[i].creatable;
    divvy_mig_offers_free(offers);
    divvy_mig_close(mig);
    return sum;
}

static void machine(const char *devices) {
    test_env("FAKE_MIG", devices);
}

/* One that is there is taken before one is made; what was made goes with the reservation. */
static void test_create_and_destroy(void **state) {
    struct divvy_mig *keep;
    struct divvy_mig_options options = create_options();
    struct divvy_mig_reservation *first = NULL, *second = NULL;
    struct divvy_mig_error error = {0};

    (void)state;
    machine("H100:1g.10gb");
    keep = test_open(NULL); /* the machine lives as long as somebody has NVML open */
    assert_int_equal(test_reserve("1g.10gb", &options, &first, &error), 0);
    assert_false(divvy_mig_reservation_is_created(first));
    assert_int_equal(test_reserve("1g.10gb", &options, &second, &error), 0);
    assert_true(divvy_mig_reservation_is_created(second));
    assert_string_equal(divvy_mig_reservation_device(second)->profile, "1g.10gb");
    assert_int_equal(instances(), 2);
    assert_int_equal(divvy_mig_release(second, &error), 0);
    assert_int_equal(instances(), 1);
    assert_int_equal(divvy_mig_release(first, &error), 0);
    assert_int_equal(instances(), 1); /* that one was there before */
    assert_int_equal(room("1g.10gb"), 6);
    divvy_mig_close(keep);
}

static void created(const char *profile, const char *expected, uint32_t gpu) {
    struct divvy_mig_options options = create_options();
    struct divvy_mig_reservation *reservation = NULL;
    struct divvy_mig_error error = {0};

    if (test_reserve(profile, &options, &reservation, &error) != 0)
        fail_msg("%s: %s", profile, error.text);
    assert_true(divvy_mig_reservation_is_created(reservation));
    assert_string_equal(divvy_mig_reservation_device(reservation)->profile, expected);
    assert_int_equal(divvy_mig_reservation_device(reservation)->gpu_index, gpu);
    assert_int_equal(divvy_mig_release(reservation, &error), 0);
}

static void test_what_is_created(void **state) {
    struct divvy_mig *keep;

    (void)state;
    machine("H100;H100:2g.20gb;A100-40:off");
    keep = test_open(NULL);
    created("1g.10gb", "1g.10gb", 1); /* where less is left */
    created("7g.80gb", "7g.80gb", 0);
    created("1c.3g.40gb", "1c.3g.40gb", 1);
    created("custom.21000", "3g.40gb", 1);
    created("1g.10gb+me", "1g.10gb+me", 0);
    assert_int_equal(instances(), 1);
    divvy_mig_close(keep);
}

static void not_created(const char *profile, int status, const char *text) {
    struct divvy_mig_options options = create_options();
    struct divvy_mig_reservation *reservation = NULL;
    struct divvy_mig_error error = {0};
    int found = test_reserve(profile, &options, &reservation, &error);

    if (found != status || !strstr(error.text, text))
        fail_msg("%s: %d, %s", profile, found, error.text);
}

static void test_no_room(void **state) {
    struct divvy_mig *keep;

    (void)state;
    machine("H100:7g.80gb");
    keep = test_open(NULL);
    not_created("1g.10gb", -EBUSY, "no GPU has room");
    not_created("1g.5gb", -ENXIO, "offers 1g.5gb");
    divvy_mig_close(keep);
    machine("H100:off");
    not_created("1g.10gb", -ENODEV, "MIG mode");
}

/* Each call on the way fails once: then there is an instance that is reserved, or nothing at all is left. */
static void test_each_step_fails(void **state) {
    static const char *const symbols[] = {
        "nvmlDeviceCreateGpuInstance",       "nvmlGpuInstanceGetComputeInstanceProfileInfo",
        "nvmlGpuInstanceCreateComputeInstance", "nvmlGpuInstanceGetInfo",
        "nvmlDeviceGetMaxMigDeviceCount@3",  "nvmlDeviceGetUUID@3",
        "nvmlDeviceGetMigDeviceHandleByIndex@17", "nvmlDeviceGetGpuInstanceRemainingCapacity",
    };
    struct divvy_mig *keep;

    (void)state;
    machine("H100");
    keep = test_open(NULL);
    for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {
        struct divvy_mig_options options = create_options();
        struct divvy_mig_reservation *reservation = NULL;
        struct divvy_mig_error error = {0};
        int status;

        test_env("FAKE_MIG_FAIL", symbols[i]);
        status = test_reserve("1g.10gb", &options, &reservation, &error);
        test_env("FAKE_MIG_FAIL", NULL);
        if (status == 0)
            assert_int_equal(divvy_mig_release(reservation, &error), 0);
        else if (status != -ENXIO || !strstr(error.text, "none was created"))
            fail_msg("%s: %d %s", symbols[i], status, error.text);
        if (room("1g.10gb") != 7)
            fail_msg("%s: something was left: room for %u", symbols[i], room("1g.10gb"));
    }
    divvy_mig_close(keep);
}

static void test_not_permitted(void **state) {
    struct divvy_mig *keep;

    (void)state;
    machine("H100");
    keep = test_open(NULL);
    test_env("FAKE_MIG_FAIL", "nvmlDeviceCreateGpuInstance=4");
    not_created("1g.10gb", -ENXIO, "Insufficient Permissions");
    test_env("FAKE_MIG_FAIL", NULL);
    divvy_mig_close(keep);
}

/* A maker that dies leaves an instance: the next one clears it away, where nobody uses it. */
static void test_after_death(void **state) {
    char state_file[256];
    struct divvy_mig_options options = create_options();
    struct divvy_mig_reservation *reservation = NULL;
    struct divvy_mig_error error = {0};
    struct divvy_mig *mig;
    int status;
    pid_t child;

    (void)state;
    /* Shared by processes: the library keeps the first such file that it is told. */
    (void)snprintf(state_file, sizeof state_file, "%s/nvml-state", test_folder);
    child = fork();
    if (child == 0) {
        test_env("FAKE_MIG", "H100");
        test_env("FAKE_MIG_STATE", state_file);
        _exit(test_reserve("7g.80gb", &options, &reservation, &error) == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    child = fork();
    if (child == 0) {
        test_env("FAKE_MIG_STATE", state_file);
        if (instances() != 1)
            _exit(1);
        /* 1g needs the room of the 7g that was left. */
        if (test_reserve("1g.10gb", &options, &reservation, &error) != 0 || instances() != 1 ||
            !divvy_mig_reservation_is_created(reservation))
            _exit(2);
        /* What is reserved is not an orphan. */
        mig = test_open(NULL);
        if (divvy_mig_reap(mig, test_locks, &error) != 0 || instances() != 1)
            _exit(3);
        divvy_mig_close(mig);
        if (divvy_mig_release(reservation, &error) != 0 || instances() != 0)
            _exit(4);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* A maker that is killed at the call-th call of NVML; 7g.80gb: nothing else fits beside it. 0, or the signal that ended it. */
static int made_until(unsigned int call, const char *state_file) {
    struct divvy_mig_options options = create_options();
    struct divvy_mig_reservation *reservation = NULL;
    struct divvy_mig_error error = {0};
    char text[16];
    int status;
    pid_t child = fork();

    if (child == 0) {
        (void)snprintf(text, sizeof text, "%u", call);
        test_env("FAKE_MIG_KILL", text);
        test_env("FAKE_MIG_STATE", state_file);
        if (test_reserve("7g.80gb", &options, &reservation, &error) < 0)
            _exit(1);
        _exit(divvy_mig_release(reservation, NULL) < 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status) == 0 ? 0 : -1;
}

/* What the next one finds, in a process that sees the same machine. 0, or the number of what is wrong. */
static int found_after(const char *state_file, bool is_by_reservation) {
    struct divvy_mig_options options = test_options();
    struct divvy_mig_reservation *reservation = NULL;
    struct divvy_mig_error error = {0};
    struct divvy_mig *mig;
    int status;
    pid_t child = fork();

    if (child == 0) {
        test_env("FAKE_MIG_STATE", state_file);
        mig = test_open(NULL);
        /* One that makes nothing itself clears away too, what has no mark yet included. */
        if (is_by_reservation && test_reserve("7g.80gb", &options, &reservation, &error) != -ENXIO)
            _exit(1);
        if (divvy_mig_reap(mig, test_locks, &error) < 0)
            _exit(2);
        if (instances() != 0)
            _exit(3);
        _exit(room("1g.10gb") != 7 ? 4 : 0); /* half an instance takes room as well */
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Killed before each call in turn: whatever the driver had made by then is found and goes. */
static void test_killed_at_each_call(void **state) {
    char state_file[256], intent[sizeof test_locks + 16];
    unsigned int call = 1, with_intent = 0;
    int ended = SIGKILL;

    (void)state;
    machine("H100");
    (void)snprintf(state_file, sizeof state_file, "%s/nvml-state", test_folder);
    (void)snprintf(intent, sizeof intent, "%s/.creating", test_locks);
    for (; ended == SIGKILL && call < 10000; call++) {
        bool is_begun;
        int found;

        ended = made_until(call, state_file);
        is_begun = test_exists(intent);
        with_intent += is_begun;
        found = found_after(state_file, is_begun);
        if (found != 0)
            fail_msg("killed at call %u: %d", call, found);
        assert_false(test_exists(intent));
    }
    assert_int_equal(ended, 0);
    assert_true(call > 50); /* all of it was tried */
    assert_true(with_intent > 3); /* and deaths between the driver's making and the mark were among them */
}

static void intent_write(const char *text) {
    char path[sizeof test_locks + 16];
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/.creating", test_locks);
    file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* A file that names somebody else's instance, or says nothing, destroys nothing. */
static void test_intents_of_others(void **state) {
    static const char *const texts[] = {
        "", "\n", "gpu=", "gpu=GPU-a0000000-1111-2222-3333-444444444444 profile=19 before=0\n",
        "gpu=GPU-a0000000-1111-2222-3333-444444444444 profile=19 before=0\nmade=64\n",
        "gpu=GPU-a0000000-1111-2222-3333-444444444444 profile=14 before=0\nmade=1\n",
        "gpu=GPU-a0000000-1111-2222-3333-444444444444 profile=19 before=2\nmade=1\n",
        "gpu=GPU-ffffffff-1111-2222-3333-444444444444 profile=19 before=0\nmade=1\n",
        "gpu=GPU-a0000000-1111-2222-3333-444444444444 profile=99999999999999999999 before=0\nmade=1\n",
    };
    struct divvy_mig_options options = test_options();
    struct divvy_mig_reservation *reservation = NULL;
    struct divvy_mig_error error = {0};
    struct divvy_mig *keep;

    (void)state;
    machine("H100:1g.10gb");
    keep = test_open(NULL);
    assert_int_equal(test_reserve("1g.10gb", &options, &reservation, &error), 0); /* makes the folder */
    assert_int_equal(divvy_mig_release(reservation, &error), 0);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        intent_write(texts[i]);
        assert_true(divvy_mig_reap(keep, test_locks, &error) >= 0);
        if (instances() != 1)
            fail_msg("'%s' destroyed somebody's instance", texts[i]);
    }
    /* What is ours by that, and reserved meanwhile, stays until it is given back. */
    assert_int_equal(test_reserve("1g.10gb", &options, &reservation, &error), 0);
    intent_write("gpu=GPU-a0000000-1111-2222-3333-444444444444 profile=19 before=0\nmade=1\n");
    assert_int_equal(divvy_mig_reap(keep, test_locks, &error), 0);
    assert_int_equal(instances(), 1);
    assert_int_equal(divvy_mig_release(reservation, &error), 0);
    assert_int_equal(divvy_mig_reap(keep, test_locks, &error), 1);
    assert_int_equal(instances(), 0);
    divvy_mig_close(keep);
}

/* Seven processes create on one GPU at once: all are served, none sees another's; the eighth is not. */
static void test_race(void **state) {
    char state_file[256];
    struct divvy_mig_options options = create_options();
    pid_t children[8];
    int hold[2], done[2], served = 0;

    (void)state;
    assert_int_equal(pipe(hold), 0);
    assert_int_equal(pipe(done), 0);
    (void)snprintf(state_file, sizeof state_file, "%s/nvml-state", test_folder);
    for (int i = 0; i < 8; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            struct divvy_mig_reservation *reservation = NULL;
            struct divvy_mig_error error = {0};
            char byte = 'n';

            (void)close(hold[1]);
            test_env("FAKE_MIG", "H100");
            test_env("FAKE_MIG_STATE", state_file);
            if (test_reserve("1g.10gb", &options, &reservation, &error) == 0)
                byte = 'y';
            (void)!write(done[1], &byte, 1);
            (void)!read(hold[0], &byte, 1);
            _exit(divvy_mig_release(reservation, NULL) == 0 ? 0 : 1);
        }
    }
    for (int i = 0; i < 8; i++) {
        char byte;

        assert_int_equal(read(done[0], &byte, 1), 1);
        served += byte == 'y';
    }
    assert_int_equal(served, 7);
    (void)close(hold[1]);
    for (int i = 0; i < 8; i++) {
        int status;

        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    (void)close(hold[0]);
    (void)close(done[0]);
    (void)close(done[1]);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, test_folder_make, test_folder_remove)
    const struct CMUnitTest tests[] = {
        TEST(test_create_and_destroy), TEST(test_what_is_created), TEST(test_no_room),  TEST(test_each_step_fails),
        TEST(test_not_permitted),      TEST(test_after_death),     TEST(test_race),
        TEST(test_killed_at_each_call), TEST(test_intents_of_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
