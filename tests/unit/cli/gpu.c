/* Picking a GPU by number or UUID, whatever order the list has. */
#include "cli/gpu.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct divvy_cli_gpu_list list = {
    .cuda = {.state = DIVVY_CLI_DRIVER_OK},
    .count = 2,
    .gpus = {{.index = 1, .uuid = {{0xaa}}}, {.index = 0, .uuid = {{0xbb}}}},
};

static void by_number_and_uuid(void **state) {
    const struct divvy_cli_gpu *gpu = NULL;

    (void)state;
    assert_int_equal(divvy_cli_gpu_pick(&list, NULL, &gpu, NULL), 0);
    assert_ptr_equal(gpu, &list.gpus[0]);
    assert_int_equal(divvy_cli_gpu_pick(&list, "sim", &gpu, NULL), 0);
    assert_ptr_equal(gpu, &list.gpus[0]);
    assert_int_equal(divvy_cli_gpu_pick(&list, "0", &gpu, NULL), 0);
    assert_ptr_equal(gpu, &list.gpus[1]);
    assert_int_equal(
        divvy_cli_gpu_pick(&list, "gpu-BB000000-0000-0000-0000-000000000000", &gpu, NULL), 0);
    assert_ptr_equal(gpu, &list.gpus[1]);
}

static void no_such_one(void **state) {
    static const char *const others[] = {
        "2", "18446744073709551616", "GPU-cc000000-0000-0000-0000-000000000000", "SIM", "-1", ""};
    static struct divvy_cli_gpu_list empty;
    const struct divvy_cli_gpu *gpu = NULL;
    struct divvy_error error;

    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_int_equal(divvy_cli_gpu_pick(&list, others[i], &gpu, &error), -EINVAL);
        assert_null(gpu);
    }
    assert_int_equal(divvy_cli_gpu_pick(&empty, NULL, &gpu, &error), -ENODEV);
}

static void states(void **state) {
    static struct divvy_cli_gpu_list some;

    (void)state;
    some.nvml.state = DIVVY_CLI_DRIVER_NO_DEVICE;
    assert_int_equal(divvy_cli_gpu_list_state(&some), DIVVY_CLI_DRIVER_NO_DEVICE);
    some.cuda.state = DIVVY_CLI_DRIVER_BROKEN;
    assert_int_equal(divvy_cli_gpu_list_state(&some), DIVVY_CLI_DRIVER_BROKEN);
    assert_int_equal(divvy_cli_gpu_list_state(&list), DIVVY_CLI_DRIVER_OK);
}

static void nonsense_is_refused_before_a_driver_is_asked(void **state) {
    static const struct divvy_install nowhere;
    static struct divvy_cli_gpu_list result;
    struct divvy_error error;
    bool fell_back;

    (void)state;
    assert_int_equal(divvy_cli_gpu_list_choose(&nowhere, "first", 0, &result, &fell_back, &error),
                     -EINVAL);
    assert_non_null(strstr(error.text, "--gpu 'first': character 2"));
    assert_int_equal(divvy_cli_gpu_list_choose(&nowhere, "sim", 0, &result, &fell_back, &error),
                     -ENOENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_number_and_uuid),
        cmocka_unit_test(no_such_one),
        cmocka_unit_test(states),
        cmocka_unit_test(nonsense_is_refused_before_a_driver_is_asked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
