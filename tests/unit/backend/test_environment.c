/* The environment of workers. */
#include "backend/environment.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const char *const two[] = {"gpu-3430f778-7a25-704c-9090-8b0bb2478114", "MIG-1f"};

static void devices_are_passed(void **data) {
    struct divvy_backend_grant grant = {.worker = "w", .vendor = "NVIDIA", .devices = two, .device_count = 2};
    struct divvy_backend_environment e;
    struct divvy_error error;

    (void)data;
    assert_int_equal(divvy_backend_environment_init(&e, &grant, &error), 0);
    assert_string_equal(divvy_backend_environment_get(&e, "WORKER_ID"), "w");
    assert_string_equal(divvy_backend_environment_get(&e, "NVIDIA_VISIBLE_DEVICES"),
                        "GPU-3430f778-7a25-704c-9090-8b0bb2478114,MIG-1f");
    assert_string_equal(divvy_backend_environment_get(&e, "CUDA_VISIBLE_DEVICES"),
                        "GPU-3430f778-7a25-704c-9090-8b0bb2478114,MIG-1f");
    assert_null(divvy_backend_environment_get(&e, "TF_GPU_MEMORY_LIMIT")); /* and is taken away from what is inherited */
    divvy_backend_environment_done(&e);
}

static void none_is_none(void **data) {
    struct divvy_backend_grant grant = {.worker = "w"};
    struct divvy_backend_environment e;
    struct divvy_error error;

    (void)data;
    assert_int_equal(divvy_backend_environment_init(&e, &grant, &error), 0);
    assert_string_equal(divvy_backend_environment_get(&e, "NVIDIA_VISIBLE_DEVICES"), "void");
    assert_string_equal(divvy_backend_environment_get(&e, "CUDA_VISIBLE_DEVICES"), "");
    divvy_backend_environment_done(&e);
}

static void limits_are_told_in_megabytes(void **data) {
    struct divvy_backend_grant grant = {
        .worker = "w", .vendor = "amd", .devices = two, .device_count = 1, .memory_bytes = (8ull << 30) + 5, .compute_percent = 30};
    struct divvy_backend_environment e;
    struct divvy_error error;

    (void)data;
    assert_int_equal(divvy_backend_environment_init(&e, &grant, &error), 0);
    assert_string_equal(divvy_backend_environment_get(&e, "TF_GPU_MEMORY_LIMIT"), "8192");
    assert_string_equal(divvy_backend_environment_get(&e, "TF_CUDA_MEMORY_LIMIT"), "8192");
    assert_string_equal(divvy_backend_environment_get(&e, "TF_CUDA_SM_PERCENT_LIMIT"), "30");
    assert_non_null(divvy_backend_environment_get(&e, "ROCR_VISIBLE_DEVICES"));
    assert_null(divvy_backend_environment_get(&e, "CUDA_VISIBLE_DEVICES"));
    assert_int_equal(divvy_backend_environment_set(&e, "TF_CUDA_SM_PERCENT_LIMIT", NULL), 0);
    assert_null(divvy_backend_environment_get(&e, "TF_CUDA_SM_PERCENT_LIMIT"));
    assert_int_equal(divvy_backend_environment_set(&e, "A=B", "c"), -EINVAL);
    assert_int_equal(divvy_backend_environment_set(&e, "", "c"), -EINVAL);
    divvy_backend_environment_done(&e);
}

static void nonsense_is_refused(void **data) {
    static const struct divvy_backend_grant grants[] = {
        {.worker = NULL}, {.worker = ""}, {.worker = "w", .compute_percent = 101}, {.worker = "w", .memory_bytes = 1}};
    struct divvy_backend_environment e;
    struct divvy_error error;

    (void)data;
    for (size_t i = 0; i < sizeof grants / sizeof grants[0]; i++) {
        assert_int_equal(divvy_backend_environment_init(&e, &grants[i], &error), -EINVAL);
        divvy_backend_environment_done(&e);
    }
}

static void there_is_an_end(void **data) {
    struct divvy_backend_environment e = {0};
    char name[16];

    (void)data;
    for (unsigned int i = 0; i < DIVVY_BACKEND_ENVIRONMENT_MAX; i++) {
        (void)snprintf(name, sizeof name, "N%u", i);
        assert_int_equal(divvy_backend_environment_set(&e, name, "x"), 0);
    }
    assert_int_equal(divvy_backend_environment_set(&e, "ONE_MORE", "x"), -ENOSPC);
    assert_int_equal(divvy_backend_environment_set(&e, "N3", "y"), 0);
    assert_null(e.entries[DIVVY_BACKEND_ENVIRONMENT_MAX]);
    divvy_backend_environment_done(&e);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(devices_are_passed),  cmocka_unit_test(none_is_none),    cmocka_unit_test(limits_are_told_in_megabytes),
        cmocka_unit_test(nonsense_is_refused), cmocka_unit_test(there_is_an_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
