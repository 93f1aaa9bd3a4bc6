/* NVML in processes of its own: the same lists and reservations, and nothing of NVML in this process. */
#include "common.h"

#include "mig/apart.h"

#include <sys/wait.h>

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

static void test_no_creation(void **state) {
    struct divvy_mig *mig = open_apart("H100:none");
    struct divvy_mig_options options = test_options();
    struct divvy_mig_reservation *reservation;
    struct divvy_mig_profile profile;
    struct divvy_mig_error error;

    (void)state;
    assert_int_equal(divvy_mig_profile_parse("1g.10gb", &profile, &error), 0);
    options.flags = DIVVY_MIG_CREATE;
    assert_int_equal(divvy_mig_reserve(mig, &profile, &options, &reservation, &error), -EINVAL);
    divvy_mig_close(mig);
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_reserve_apart), cmocka_unit_test(test_no_creation),
                                       cmocka_unit_test(test_same_list), cmocka_unit_test(test_failures)};

    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
