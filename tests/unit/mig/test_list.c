/* Discovery: what is found, holes, and what happens when calls fail, each in turn. */
#include "common.h"

static const struct divvy_mig_device *at(const struct divvy_mig_list *list, uint32_t place) {
    const struct divvy_mig_device *device = divvy_mig_list_at(list, place);

    assert_non_null(device);
    return device;
}

static void test_all(void **state) {
    struct divvy_mig *mig = test_open("A100-40:1g.5gb,-,-,3g.20gb;H200:off;H100;A100-80:none");
    struct divvy_mig_list *list = test_list(mig);
    const char *first;

    (void)state;
    assert_int_equal(divvy_mig_list_count(list), 6);
    assert_int_equal(divvy_mig_list_faults(list, &first), 0);
    assert_string_equal(first, "");
    assert_true(divvy_mig_list_has_mig(list));

    assert_false(at(list, 0)->is_mig);
    assert_string_equal(at(list, 0)->name, "NVIDIA A100-SXM4-40GB");
    assert_string_equal(at(list, 0)->profile, "~40536 MB");
    assert_string_equal(at(list, 0)->uuid, at(list, 0)->parent_uuid);
    assert_true(at(list, 0)->mig_mode);

    assert_true(at(list, 1)->is_mig);
    assert_int_equal(at(list, 1)->mig_index, 0);
    assert_string_equal(at(list, 1)->profile, "1g.5gb");
    assert_true(at(list, 1)->memory_bytes == UINT64_C(4864) << 20);
    assert_int_equal(at(list, 1)->gpu_instance, 1);
    assert_int_equal(at(list, 1)->compute_instance, 0);
    assert_string_equal(at(list, 1)->parent_uuid, at(list, 0)->uuid);

    assert_int_equal(at(list, 2)->mig_index, 3); /* past the holes */
    assert_int_equal(at(list, 2)->gpu_index, 0);
    assert_int_equal(at(list, 2)->gpu_slices, 3);
    assert_string_equal(at(list, 2)->profile, "3g.20gb");

    assert_int_equal(at(list, 3)->gpu_index, 1);
    assert_false(at(list, 3)->mig_mode);
    assert_int_equal(at(list, 4)->gpu_index, 2);
    assert_true(at(list, 4)->mig_mode);
    assert_int_equal(at(list, 5)->gpu_index, 3);
    assert_null(divvy_mig_list_at(list, 6));
    divvy_mig_list_free(list);
    divvy_mig_close(mig);
}

/* One GPU, slot or reading that fails hides nothing else. */
static void test_broken_slot(void **state) {
    struct divvy_mig *mig = test_open("A100-40:!,1g.5gb,!,2g.10gb;H200:1g.18gb");
    struct divvy_mig_list *list = test_list(mig);
    const char *first;

    (void)state;
    assert_int_equal(divvy_mig_list_count(list), 5);
    assert_int_equal(divvy_mig_list_faults(list, &first), 2);
    assert_non_null(strstr(first, "GPU 0, MIG slot 0"));
    assert_non_null(strstr(first, "lost"));
    divvy_mig_list_free(list);
    divvy_mig_close(mig);
}

static void test_nothing(void **state) {
    struct divvy_mig *mig = test_open("");
    struct divvy_mig_list *list = test_list(mig);

    (void)state;
    assert_int_equal(divvy_mig_list_count(list), 0);
    assert_false(divvy_mig_list_has_mig(list));
    divvy_mig_list_free(list);
    divvy_mig_close(mig);
}

static void test_no_library(void **state) {
    struct divvy_mig_error error = {0};
    struct divvy_mig *mig = NULL;
    char path[512];
    FILE *file;

    (void)state;
    assert_int_equal(divvy_mig_open("/no/libnvidia-ml.so.1", &mig, &error), -ENOENT);
    assert_true(divvy_mig_is_unusable(error.status));
    assert_non_null(strstr(error.text, "/no/libnvidia-ml.so.1"));
    (void)snprintf(path, sizeof path, "%s/libnvidia-ml.so.1", test_folder);
    file = fopen(path, "we");
    assert_non_null(file);
    (void)fputs("not a library\n", file);
    (void)fclose(file);
    assert_int_equal(divvy_mig_open(path, &mig, &error), -EIO);
    assert_int_equal(divvy_mig_open("libc.so.6", &mig, &error), -EIO); /* a library, and another one */
    assert_non_null(strstr(error.text, "nvmlInit_v2"));
    assert_null(mig);
}

static void test_no_driver(void **state) {
    struct divvy_mig_error error = {0};
    struct divvy_mig *mig;

    (void)state;
    test_env("FAKE_MIG", "H200");
    test_env("FAKE_MIG_FAIL", "nvmlInit_v2=9");
    assert_int_equal(divvy_mig_open(FAKE_NVML, &mig, &error), -ENODEV);
    assert_non_null(strstr(error.text, "Driver Not Loaded"));
    test_env("FAKE_MIG_FAIL", "nvmlInit_v2=999");
    assert_int_equal(divvy_mig_open(FAKE_NVML, &mig, &error), -EIO);
    test_env("FAKE_MIG_FAIL", NULL);
}

/* Each of the calls of a listing fails once, with each of some errors: what can be known still is. */
static void test_each_call_fails(void **state) {
    static const unsigned int codes[] = {3, 4, 6, 13, 15, 999};

    (void)state;
    for (size_t c = 0; c < sizeof codes / sizeof codes[0]; c++) {
        bool is_over = false;

        for (unsigned int call = 2; !is_over; call++) {
            char fail[64];
            struct divvy_mig_error error = {0};
            struct divvy_mig_list *list = NULL;
            struct divvy_mig *mig;
            uint32_t faults;
            int status;

            (void)snprintf(fail, sizeof fail, "#%u=%u", call, codes[c]);
            test_env("FAKE_MIG_FAIL", fail);
            mig = test_open("A100-40:1g.5gb,-,2g.10gb;H200:1g.18gb;A100-80:off");
            status = divvy_mig_list(mig, 0, &list, &error);
            if (call == 2) {
                assert_int_equal(status, -EIO); /* the number of GPUs */
            } else {
                assert_int_equal(status, 0);
                faults = divvy_mig_list_faults(list, NULL);
                assert_true(faults <= 1);
                /* At most one GPU, or the instances of one, are missing; never all. */
                assert_true(divvy_mig_list_count(list) >= 3 && divvy_mig_list_count(list) <= 6);
                is_over = faults == 0 && call > 60;
                divvy_mig_list_free(list);
            }
            divvy_mig_close(mig);
        }
    }
    test_env("FAKE_MIG_FAIL", NULL);
}

/* Drivers that lack a function altogether behave as if it always failed. */
static void test_each_function_fails(void **state) {
    static const char *const optional[] = {"nvmlDeviceGetName", "nvmlDeviceGetMemoryInfo", "nvmlDeviceGetAttributes_v2",
                                           "nvmlDeviceGetGpuInstanceId", "nvmlDeviceGetComputeInstanceId"};

    (void)state;
    for (size_t i = 0; i < sizeof optional / sizeof optional[0]; i++) {
        struct divvy_mig *mig;
        struct divvy_mig_list *list;

        test_env("FAKE_MIG_FAIL", optional[i]);
        mig = test_open("A100-40:1g.5gb,-,2g.10gb");
        list = test_list(mig);
        assert_int_equal(divvy_mig_list_count(list), 3);
        assert_true(divvy_mig_list_faults(list, NULL) > 0);
        divvy_mig_list_free(list);
        divvy_mig_close(mig);
    }
    test_env("FAKE_MIG_FAIL", NULL);
}

static void resolved(const struct divvy_mig_list *list, const char *visible, const char *uuid) {
    const struct divvy_mig_device *device = divvy_mig_list_resolve(list, visible);

    if (!uuid) {
        if (device)
            fail_msg("%s is %s", visible, device->uuid);
        return;
    }
    if (!device)
        fail_msg("%s is nothing", visible);
    assert_string_equal(device->uuid, uuid);
}

static void test_resolve(void **state) {
    struct divvy_mig *mig = test_open("A100-40:-,1g.5gb,1g.5gb;H200:off;H100");
    struct divvy_mig_list *list = test_list(mig);
    const char *first = test_uuid(list, 0, 1), *second = test_uuid(list, 0, 2);
    char upper[DIVVY_MIG_UUID_BYTES];

    (void)state;
    resolved(list, "0", first); /* CUDA's 0 is the first instance */
    resolved(list, "1", at(list, 3)->uuid);
    resolved(list, " 1 , 0", at(list, 3)->uuid);
    resolved(list, "2", NULL); /* a divided GPU without instances shows nothing */
    resolved(list, "", NULL);
    resolved(list, "-1", NULL);
    resolved(list, "none", NULL);
    resolved(list, first, first);
    resolved(list, second, second);
    resolved(list, "MIG-", NULL); /* more than one */
    resolved(list, "GPU-a0000000", first);
    resolved(list, "GPU-a0000001", at(list, 3)->uuid);
    resolved(list, "GPU-a000000f", NULL);
    resolved(list, "MIG-GPU-a0000000-1111-2222-3333-444444444444/3/0", second);
    resolved(list, "MIG-GPU-a0000000-1111-2222-3333-444444444444/9/0", NULL);
    for (size_t i = 0; i <= strlen(second); i++)
        upper[i] = (char)(second[i] >= 'a' && second[i] <= 'z' ? second[i] - 32 : second[i]);
    resolved(list, upper, second);
    divvy_mig_list_free(list);
    divvy_mig_close(mig);
}

static void test_legacy(void **state) {
    struct divvy_mig *mig;
    struct divvy_mig_list *list;

    (void)state;
    test_env("FAKE_MIG_LEGACY", "1");
    mig = test_open("A100-40:-,1g.5gb");
    list = test_list(mig);
    assert_string_equal(at(list, 1)->uuid, "MIG-GPU-a0000000-1111-2222-3333-444444444444/2/0");
    resolved(list, "MIG-GPU-a0000000-1111-2222-3333-444444444444/2/0", at(list, 1)->uuid);
    divvy_mig_list_free(list);
    divvy_mig_close(mig);
    test_env("FAKE_MIG_LEGACY", NULL);
}

/* Closing one does not end NVML for another. */
static void test_twice(void **state) {
    struct divvy_mig *first = test_open("A100-40:1g.5gb"), *second = test_open(NULL);
    struct divvy_mig_list *list;

    (void)state;
    divvy_mig_close(first);
    list = test_list(second);
    assert_int_equal(divvy_mig_list_count(list), 2);
    divvy_mig_list_free(list);
    divvy_mig_close(second);
    first = test_open("H200");
    divvy_mig_close(first);
    divvy_mig_close(NULL);
    divvy_mig_list_free(NULL);
}

static void test_offers(void **state) {
    struct divvy_mig *mig = test_open("A100-40:1g.5gb,1g.5gb,2g.10gb;H200:off");
    struct divvy_mig_list *list = test_list(mig);
    struct divvy_mig_options options = test_options();
    struct divvy_mig_reservation *reservation;
    struct divvy_mig_offer *offers;
    uint32_t count, seen = 0;

    (void)state;
    assert_int_equal(test_reserve("1g.5gb", &options, &reservation, NULL), 0);
    assert_int_equal(divvy_mig_offers(mig, test_locks, &offers, &count, NULL), 0);
    for (uint32_t i = 0; i < count; i++) {
        const struct divvy_mig_offer *offer = &offers[i];

        if (i > 0)
            assert_true(offers[i - 1].gpu_index <= offer->gpu_index);
        if (offer->gpu_index == 0 && strcmp(offer->profile, "1g.5gb") == 0) {
            seen++;
            assert_int_equal(offer->instances, 2);
            assert_int_equal(offer->reserved, 1);
            assert_int_equal(offer->creatable, 3);
            assert_int_equal(offer->instances_max, 7);
            assert_int_equal(offer->memory_mib, 4864);
        }
        if (offer->gpu_index == 0 && strcmp(offer->profile, "3g.20gb") == 0) {
            seen++;
            assert_int_equal(offer->instances, 0);
            assert_int_equal(offer->creatable, 1);
        }
        if (offer->gpu_index == 1 && strcmp(offer->profile, "1g.18gb") == 0) {
            seen++;
            assert_int_equal(offer->creatable, 0);
            assert_int_equal(offer->mig_mode, 0);
        }
    }
    assert_int_equal(seen, 3);
    divvy_mig_offers_free(offers);
    assert_int_equal(divvy_mig_release(reservation, NULL), 0);
    divvy_mig_list_free(list);
    divvy_mig_close(mig);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, test_folder_make, test_folder_remove)
    const struct CMUnitTest tests[] = {
        TEST(test_all),       TEST(test_broken_slot),     TEST(test_nothing),
        TEST(test_no_library), TEST(test_no_driver),      TEST(test_each_call_fails),
        TEST(test_each_function_fails), TEST(test_resolve), TEST(test_legacy),
        TEST(test_twice),     TEST(test_offers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
