/*
 * What the limit variables mean for a device: missing values, both kinds of key, the stricter one,
 * keys of nobody.
 */
#include "core/log.h"
#include "limiter/hook/limits.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define UUID_0 "GPU-00000000-0000-0000-0000-000000000001"
#define UUID_1 "GPU-00000000-0000-0000-0000-000000000002"

static struct divvy_limit_device devices[2];

static int prepare(void **state) {
    (void)state;
    divvy_core_log_set_level(DIVVY_LOG_OFF);
    for (int i = 0; i < 2; i++)
        devices[i] = (struct divvy_limit_device){.index = i, .total_bytes = 1000};
    assert_int_equal(divvy_core_uuid_parse(UUID_0, strlen(UUID_0), &devices[0].uuid, NULL), 0);
    assert_int_equal(divvy_core_uuid_parse(UUID_1, strlen(UUID_1), &devices[1].uuid, NULL), 0);
    return 0;
}

static void set(const char *percent, const char *bytes) {
    if (percent)
        setenv("TENSOR_FUSION_CUDA_UP_LIMIT", percent, 1);
    else
        unsetenv("TENSOR_FUSION_CUDA_UP_LIMIT");
    if (bytes)
        setenv("TENSOR_FUSION_CUDA_MEM_LIMIT", bytes, 1);
    else
        unsetenv("TENSOR_FUSION_CUDA_MEM_LIMIT");
}

static struct divvy_limit limit_of(const char *percent, const char *bytes, int device) {
    static struct divvy_limits limits;
    struct divvy_limit limit = {0};

    set(percent, bytes);
    assert_int_equal(divvy_limits_read(&limits), 0);
    assert_int_equal(divvy_limits_of(&limits, &devices[device], &limit), 0);
    return limit;
}

static void test_values(void **state) {
    (void)state;
    assert_int_equal(limit_of(NULL, "{\"0\": 500}", 0).bytes, 500);
    assert_int_equal(limit_of(NULL, "{\"0\": 500}", 0).permille, 0);
    assert_int_equal(limit_of(NULL, "{\"0\": 500}", 1).bytes, 0);
    assert_int_equal(limit_of("{\"1\": 25}", NULL, 1).permille, 250);
    assert_int_equal(limit_of("{\"1\": 25}", NULL, 1).bytes, 0);
    assert_int_equal(limit_of("{\"1\": 250}", NULL, 1).permille, 0);
    assert_int_equal(limit_of("{\"1\": 0}", "{\"1\": 0}", 1).permille, 0);
    assert_int_equal(
        limit_of("{\"" UUID_1 "\": 10}", "{\"gpu-00000000-0000-0000-0000-000000000002\": 7}", 1)
            .bytes,
        7);
    assert_int_equal(limit_of(NULL, "{\"0\": 300, \"" UUID_0 "\": 200}", 0).bytes, 200);
    assert_int_equal(limit_of(NULL, "{\"0\": 300, \"" UUID_0 "\": 0}", 0).bytes, 300);
    assert_int_equal(limit_of(NULL, "{\"0\": 1000}", 0).bytes, 1000);
}

/* A MIG device is limited by its own name, its GPU's UUID and its GPU's index. */
static void test_parts(void **state) {
    static struct divvy_limits limits;
    struct divvy_limit_device part = devices[1];
    struct divvy_limit limit;

    (void)state;
    part.parent = devices[1].uuid;
    part.uuid.bytes[0] = 0x55;
    set(NULL, "{\"" UUID_1 "\": 9}");
    assert_int_equal(divvy_limits_read(&limits), 0);
    assert_int_equal(divvy_limits_of(&limits, &part, &limit), 0);
    assert_int_equal(limit.bytes, 9);
    set(NULL, "{\"1\": 8}");
    assert_int_equal(divvy_limits_read(&limits), 0);
    assert_int_equal(divvy_limits_of(&limits, &part, &limit), 0);
    assert_int_equal(limit.bytes, 8);
    set(NULL, "{\"0\": 8}");
    assert_int_equal(divvy_limits_read(&limits), 0);
    assert_int_equal(divvy_limits_of(&limits, &part, &limit), 0);
    assert_int_equal(limit.bytes, 0);
    /* its own name, with its prefix or a GPU's; and only where it is known */
    memcpy(part.uuid.bytes, "\x55\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x07", 16);
    set(NULL, "{\"MIG-55000000-0000-0000-0000-000000000007\": 6}");
    assert_int_equal(divvy_limits_read(&limits), 0);
    assert_int_equal(divvy_limits_of(&limits, &part, &limit), 0);
    assert_int_equal(limit.bytes, 6);
    assert_int_equal(divvy_limits_of(&limits, &devices[1], &limit), 0);
    assert_int_equal(limit.bytes, 0);
    assert_int_equal(divvy_limits_check_keys(&limits, devices, 2, true), -ENODEV);
    assert_int_equal(divvy_limits_check_keys(&limits, &part, 1, true), 0);
    assert_true(divvy_limits_is_mig(&part));
    assert_int_equal(divvy_limits_gpus(devices, 2), 2);
    assert_int_equal(divvy_limits_gpus(&part, 1), 0);
}

static void test_refused(void **state) {
    static const char *const bad[] = {"{",
                                      "x",
                                      "[]",
                                      "{\"0\": -1}",
                                      "{\"0\": 1.5}",
                                      "{\"0\": \"1\"}",
                                      "{\"0\": 1,}",
                                      "{\"0\": 1, \"0\": 1}",
                                      "{\"gpu\": 1}",
                                      "{\"0\": 99999999999999999999}"};
    static struct divvy_limits limits;
    struct divvy_limit limit = {.bytes = 77};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        set(NULL, bad[i]);
        assert_int_equal(divvy_limits_read(&limits), -EINVAL);
        set(bad[i], NULL);
        assert_int_equal(divvy_limits_read(&limits), -EINVAL);
    }
    set(NULL, "{\"0\": 1001}");
    assert_int_equal(divvy_limits_read(&limits), 0);
    assert_int_equal(divvy_limits_of(&limits, &devices[0], &limit), -ERANGE);
    assert_int_equal(limit.bytes, 77);
}

static int check(const char *bytes, bool complete) {
    static struct divvy_limits limits;

    set(NULL, bytes);
    assert_int_equal(divvy_limits_read(&limits), 0);
    return divvy_limits_check_keys(&limits, devices, 2, complete);
}

static void test_keys(void **state) {
    (void)state;
    assert_int_equal(check("{\"0\": 1, \"1\": 1, \"" UUID_0 "\": 1}", true), 0);
    assert_int_equal(check("{\"2\": 1}", true), -ENODEV);
    assert_int_equal(check("{\"2\": 1}", false), 0);
    assert_int_equal(check("{\"GPU-00000000-0000-0000-0000-000000000000\": 1}", true), -ENODEV);
    assert_int_equal(check("{\"0\": 1, \"2\": 1}", true), 0);
    assert_int_equal(check("{\"0\": 1, \"GPU-00000000-0000-0000-0000-0000000000ff\": 1}", true),
                     -ENODEV);
}

static void test_switches(void **state) {
    static struct divvy_limits limits;

    (void)state;
    set(NULL, NULL);
    assert_int_equal(divvy_limits_read(&limits), 0);
    assert_false(limits.any);
    set("", "");
    assert_int_equal(divvy_limits_read(&limits), 0);
    assert_false(limits.any);
    setenv("TF_DISABLE_MEMORY_MANAGER", "1", 1);
    set(NULL, "{\"0\": 5}");
    assert_int_equal(divvy_limits_read(&limits), 0);
    assert_int_equal(limits.bytes.count, 0);
    unsetenv("TF_DISABLE_MEMORY_MANAGER");
    unsetenv("DIVVY_FAIL_POLICY");
    assert_true(divvy_limits_fail_closed());
    setenv("DIVVY_FAIL_POLICY", "OPEN", 1);
    assert_false(divvy_limits_fail_closed());
    setenv("DIVVY_FAIL_POLICY", "opened", 1);
    assert_true(divvy_limits_fail_closed());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_switches),
    };

    return cmocka_run_group_tests(tests, prepare, NULL);
}
