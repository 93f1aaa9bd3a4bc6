/* Every name of the table: exported, refusing before initialisation, and never a success for nothing. */
#include "room.h"

#include <dlfcn.h>
#include <string.h>

typedef nvmlReturn_t any_fn(void *, void *, void *, void *, void *, void *);

typedef struct {
    const char *name;
    any_fn *call;
} row_t;

#define ROW(symbol, type, parameters, arguments) {#symbol, (any_fn *)(void *)symbol},
static const row_t rows[] = {DIVVY_CUDA_NVML_TABLE(ROW)};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static bool is_lifetime(const char *name) {
    return strncmp(name, "nvmlInit", 8) == 0 || strcmp(name, "nvmlShutdown") == 0 ||
           strcmp(name, "nvmlErrorString") == 0;
}

static void test_every_name_is_exported(void **state) {
    (void)state;
    assert_int_equal(ROWS, 398);
    for (int i = 0; i < ROWS; i++) {
        if (dlsym(RTLD_DEFAULT, rows[i].name) == NULL)
            fail_msg("%s is not exported", rows[i].name);
    }
    assert_null(dlsym(RTLD_DEFAULT, "divvy_nvml_device"));
}

static void test_nothing_answers_before_initialisation(void **state) {
    (void)state;
    for (int i = 0; i < ROWS; i++) {
        if (!is_lifetime(rows[i].name) &&
            rows[i].call(NULL, NULL, NULL, NULL, NULL, NULL) != NVML_ERROR_UNINITIALIZED)
            fail_msg("%s answers without initialisation", rows[i].name);
    }
    assert_int_equal(nvmlShutdown(), NVML_ERROR_UNINITIALIZED);
}

static void test_no_argument_is_no_success(void **state) {
    (void)state;
    for (int i = 0; i < ROWS; i++) {
        if (!is_lifetime(rows[i].name) &&
            rows[i].call(NULL, NULL, NULL, NULL, NULL, NULL) == NVML_SUCCESS)
            fail_msg("%s succeeds without arguments", rows[i].name);
    }
}

/* The handle alone, and every pointer null. */
static void test_handle_alone_is_no_success(void **state) {
    nvmlDevice_t device = room_device(0);

    (void)state;
    for (int i = 0; i < ROWS; i++) {
        if (strncmp(rows[i].name, "nvmlDevice", 10) != 0)
            continue;
        /* these take a handle as second argument or pointer to write to, and have it checked elsewhere */
        if (strstr(rows[i].name, "DiscoverGpus") || strstr(rows[i].name, "GetCount"))
            continue;
        if (strstr(rows[i].name, "GetHandleBy") || strstr(rows[i].name, "DrainState") ||
            strstr(rows[i].name, "RemoveGpu"))
            continue;
        if (rows[i].call(device, NULL, NULL, NULL, NULL, NULL) == NVML_SUCCESS)
            fail_msg("%s succeeds with a handle and null pointers", rows[i].name);
    }
}

static void test_bad_handles(void **state) {
    nvmlDevice_t good = room_device(0);
    nvmlDevice_t bad[] = {NULL, (nvmlDevice_t)(uintptr_t)1, (nvmlDevice_t)(uintptr_t)-1,
                          (nvmlDevice_t)((uintptr_t)good + 2), /* a third device */
                          (nvmlDevice_t)((uintptr_t)good - 1), (nvmlDevice_t)(void *)&good};
    nvmlMemory_t memory;
    unsigned int index;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(nvmlDeviceGetMemoryInfo(bad[i], &memory), NVML_ERROR_INVALID_ARGUMENT);
        assert_int_equal(nvmlDeviceGetIndex(bad[i], &index), NVML_ERROR_INVALID_ARGUMENT);
    }
}

static void test_unsupported_says_so(void **state) {
    nvmlDevice_t device = room_device(0);
    nvmlEnableState_t active;
    unsigned int number;

    (void)state;
    assert_int_equal(nvmlDeviceGetNvLinkState(device, 0, &active), NVML_ERROR_NOT_SUPPORTED);
    assert_int_equal(nvmlDeviceGetFanSpeed(device, &number), NVML_ERROR_NOT_SUPPORTED);
    assert_int_equal(nvmlDeviceGetNumaNodeId(device, &number), NVML_ERROR_NOT_SUPPORTED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_name_is_exported),
        cmocka_unit_test(test_nothing_answers_before_initialisation),
        cmocka_unit_test_setup_teardown(test_no_argument_is_no_success, room_setup, room_teardown),
        cmocka_unit_test_setup_teardown(test_handle_alone_is_no_success, room_setup, room_teardown),
        cmocka_unit_test_setup_teardown(test_bad_handles, room_setup, room_teardown),
        cmocka_unit_test_setup_teardown(test_unsupported_says_so, room_setup, room_teardown),
    };

    return cmocka_run_group_tests_name("simgpu_nvml_table", tests, NULL, NULL);
}
