/* Watching devices: values that a driver lacks, devices that go and come back, drivers that hang or are not there. */
#include "daemon/monitor.h"
#include "daemon/nvml.h"
#include "fake_nvml.h"
#include "fake_state.h"

#include "core/clock.h"
#include "cuda/nvml_types.h"

#include <dlfcn.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MS ((int64_t)DIVVY_NS_PER_MS)
#define S  ((int64_t)DIVVY_NS_PER_SECOND)

static struct fake_nvml_control *fake;

static void set(uint32_t *word, uint32_t value) {
    __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}

static int fake_find(void **state) {
    void *library = dlopen(FAKE_NVML_DIR "/libnvidia-ml.so.1", RTLD_NOW);

    (void)state;
    fake = library ? dlsym(library, "fake_nvml") : NULL;
    return fake ? 0 : -1;
}

static int fake_reset(void **state) {
    (void)state;
    set(&fake->hang, 0);
    set(&fake->count, 2);
    set(&fake->init_code, 0);
    set(&fake->lost, 0);
    set(&fake->lame, 0);
    set(&fake->nameless, 0);
    set(&fake->quiet, 0);
    divvy_daemon_devices_seen(NULL, NULL, 0);
    return 0;
}

static struct divvy_monitor_options quick(void) {
    return (struct divvy_monitor_options){.gpu = DIVVY_MONITOR_GPU_SIM,
                                          .simulated_dir = FAKE_NVML_DIR,
                                          .sample_interval_ns = 5 * MS,
                                          .discovery_interval_ns = 3600 * S,
                                          .hang_ns = 3600 * S};
}

static struct divvy_monitor *monitor_begin(const struct divvy_monitor_options *options) {
    struct divvy_monitor *monitor = NULL;
    struct divvy_error error = {0, ""};

    assert_int_equal(divvy_monitor_start(NULL, options, 10 * S, &monitor, &error), 0);
    assert_int_equal(error.status, 0);
    return monitor;
}

static void what_is_there_is_told(void **state) {
    struct divvy_monitor_options options = quick();
    struct divvy_monitor *monitor = monitor_begin(&options);
    struct divvy_node_device devices[DIVVY_NODE_DEVICES];
    size_t count;

    (void)state;
    assert_true(fake_devices(devices, &count) > 0);
    assert_int_equal(count, 2);
    assert_string_equal(devices[1].uuid_text, "GPU-aaaaaaaa-bbbb-cccc-dddd-000000000001");
    assert_int_equal(devices[1].index, 1);
    assert_string_equal(devices[1].model, "NVIDIA A100-SXM4-80GB");
    assert_int_equal(devices[1].memory_bytes, 1000);
    assert_int_equal(devices[1].memory_used_bytes, 300);
    assert_int_equal(devices[1].utilisation_permille, 420);
    assert_int_equal(devices[1].temperature_c, 55);
    assert_int_equal(devices[1].power_mw, 123456);
    /* The library lacks these functions. */
    assert_true(devices[1].clock_sm_mhz == DIVVY_NODE_UNKNOWN && devices[1].pcie_rx_kb == DIVVY_NODE_UNKNOWN);
    assert_true(devices[1].max_tflops > 311 && devices[1].max_tflops < 313);
    assert_int_equal(devices[1].numa_node, -1);
    assert_true(devices[0].healthy && devices[0].sampled_ns > 0);
    assert_false(divvy_monitor_is_simulated(monitor)); /* it does not lie in a folder simgpu */
    divvy_monitor_stop(monitor);
}

static bool power_is_unknown(const struct divvy_node_device *devices, size_t count) {
    return count == 2 && devices[0].power_mw == DIVVY_NODE_UNKNOWN && devices[0].temperature_c == 55 && devices[0].healthy;
}

static bool only_temperature(const struct divvy_node_device *devices, size_t count) {
    return count == 2 && devices[0].power_mw == DIVVY_NODE_UNKNOWN && devices[0].utilisation_permille == DIVVY_NODE_UNKNOWN &&
           devices[0].memory_used_bytes == DIVVY_NODE_UNKNOWN && devices[0].memory_bytes == 1000 &&
           devices[0].temperature_c == 55 && devices[0].healthy;
}

static void a_call_that_fails_loses_its_value_only(void **state) {
    struct divvy_monitor_options options = quick();
    struct divvy_monitor *monitor = monitor_begin(&options);

    (void)state;
    set(&fake->lame, 1);
    assert_true(fake_devices_wait(power_is_unknown));
    set(&fake->lame, 7);
    assert_true(fake_devices_wait(only_temperature));
    divvy_monitor_stop(monitor);
}

static bool second_is_lost(const struct divvy_node_device *devices, size_t count) {
    return count == 2 && devices[0].healthy && devices[0].temperature_c == 55 && !devices[1].healthy &&
           devices[1].temperature_c == DIVVY_NODE_UNKNOWN && devices[1].memory_bytes == 1000;
}

static bool all_is_well(const struct divvy_node_device *devices, size_t count) {
    return count == 2 && devices[0].healthy && devices[1].healthy && devices[1].temperature_c == 55;
}

static void a_lost_device_comes_back(void **state) {
    struct divvy_monitor_options options = quick();
    struct divvy_monitor *monitor = monitor_begin(&options);

    (void)state;
    set(&fake->lost, 2);
    assert_true(fake_devices_wait(second_is_lost));
    set(&fake->lost, 0);
    assert_true(fake_devices_wait(all_is_well)); /* NVML was begun anew, after a second */
    divvy_monitor_stop(monitor);
}

static void discovery_on_request(void **state) {
    struct divvy_monitor_options options = quick();
    struct divvy_monitor *monitor = monitor_begin(&options);
    struct divvy_node_device devices[DIVVY_NODE_DEVICES];
    size_t count;

    (void)state;
    set(&fake->count, 3);
    assert_int_equal(divvy_monitor_discover(monitor, 10 * S, NULL), 3);
    fake_devices(devices, &count);
    assert_int_equal(count, 3);
    set(&fake->nameless, 2); /* cannot be told from others: counts as missing */
    set(&fake->count, 2);
    assert_int_equal(divvy_monitor_discover(monitor, 10 * S, NULL), 1);
    fake_devices(devices, &count);
    assert_int_equal(count, 3); /* the two that are missing are told as unhealthy */
    for (size_t i = 0; i < count; i++)
        assert_int_equal(devices[i].healthy, devices[i].index == 0);
    divvy_monitor_stop(monitor);
}

static bool nothing_is_left(const struct divvy_node_device *devices, size_t count) {
    (void)devices;
    return count == 0;
}

static void a_driver_that_hangs_holds_nobody(void **state) {
    struct divvy_monitor_options options = quick();
    struct divvy_monitor *monitor;
    struct divvy_error error = {0, ""};
    uint64_t begin_ns = divvy_core_clock_ns();

    (void)state;
    options.hang_ns = 20 * MS;
    monitor = monitor_begin(&options);
    set(&fake->hang, 1);
    while (!divvy_monitor_check(monitor) && divvy_core_clock_ns() - begin_ns < 10 * DIVVY_NS_PER_SECOND)
        (void)usleep(1000);
    assert_true(divvy_monitor_check(monitor));
    assert_true(fake_devices_wait(nothing_is_left));
    assert_int_equal(divvy_monitor_discover(monitor, 50 * MS, &error), -ETIMEDOUT);
    set(&fake->hang, 0);
    assert_true(fake_devices_wait(all_is_well));
    divvy_monitor_stop(monitor);
}

static void stopping_does_not_wait_for_a_hanging_driver(void **state) {
    struct divvy_monitor_options options = quick();
    struct divvy_monitor *monitor = monitor_begin(&options);
    struct divvy_node_device devices[DIVVY_NODE_DEVICES];
    uint64_t before;
    size_t count;

    (void)state;
    set(&fake->hang, 1);
    (void)usleep(50000);
    divvy_monitor_stop(monitor);
    before = fake_devices(devices, &count);
    set(&fake->hang, 0);
    (void)usleep(200000); /* it comes back, frees itself and tells nobody */
    assert_int_equal(fake_devices(devices, &count), before);
}

static void no_driver_is_not_the_end(void **state) {
    struct divvy_monitor_options options = quick();
    struct divvy_monitor *monitor;
    struct divvy_error error = {0, ""};

    (void)state;
    set(&fake->init_code, NVML_ERROR_DRIVER_NOT_LOADED);
    assert_int_equal(divvy_monitor_start(NULL, &options, 10 * S, &monitor, &error), 0);
    assert_int_equal(error.status, -ENODEV);
    assert_non_null(strstr(error.text, "no driver"));
    set(&fake->init_code, 0);
    assert_true(fake_devices_wait(all_is_well)); /* tried again after a second */
    divvy_monitor_stop(monitor);
    options.simulated_dir = "/nonexistent";
    assert_int_equal(divvy_monitor_start(NULL, &options, 10 * S, &monitor, &error), 0);
    assert_int_equal(error.status, -ENOENT);
    divvy_monitor_stop(monitor);
    divvy_monitor_stop(NULL);
}

static void models_are_told_apart(void **state) {
    (void)state;
    assert_true(divvy_nvml_model_tflops("NVIDIA H100 PCIe") == 756);
    assert_true(divvy_nvml_model_tflops("NVIDIA H100 80GB HBM3") == 989.5);
    assert_true(divvy_nvml_model_tflops("NVIDIA L40S") == 362);
    assert_true(divvy_nvml_model_tflops("NVIDIA L4") == 121);
    assert_true(divvy_nvml_model_tflops("NVIDIA A10G") == 70);
    assert_true(divvy_nvml_model_tflops("Tesla T4") == 65);
    assert_true(divvy_nvml_model_tflops("NVIDIA RTX A1000") == 0);
    assert_true(divvy_nvml_model_tflops("Something else") == 0);
}

static void processes_are_told(void **state) {
    struct divvy_node_sighting seen[4];
    struct divvy_node_device devices[DIVVY_NODE_DEVICES];
    struct divvy_error error = {0, ""};
    struct divvy_nvml *nvml;
    size_t lost;

    (void)state;
    assert_int_equal(divvy_nvml_open(FAKE_NVML_DIR "/libnvidia-ml.so.1", &nvml, &error), 0);
    assert_int_equal(divvy_nvml_processes(nvml, seen, 4), 4);
    assert_int_equal(fake->since_us, 0);
    assert_true(seen[0].host_pid == 10 && seen[0].used_bytes == 100);
    assert_int_equal(seen[0].busy_permille, 505); /* of both samples */
    assert_true(seen[1].host_pid == 11 && seen[1].used_bytes == 0 && seen[1].busy_permille == 0);
    assert_int_equal(seen[3].uuid[15], 1);
    set(&fake->quiet, 1);
    assert_int_equal(divvy_nvml_processes(nvml, seen, 3), 3);
    assert_int_equal(fake->since_us, 7000);
    assert_int_equal(seen[0].busy_permille, 0);
    set(&fake->lame, 8);
    assert_int_equal(divvy_nvml_processes(nvml, seen, 4), 4);
    assert_true(seen[0].busy_permille == DIVVY_NODE_UNKNOWN && seen[0].used_bytes == 100);
    set(&fake->lame, 16);
    assert_int_equal(divvy_nvml_processes(nvml, seen, 4), 0);
    set(&fake->lame, 0);
    set(&fake->lost, 1);
    (void)divvy_nvml_sample(nvml, 0, devices, &lost);
    assert_int_equal(lost, 1);
    assert_int_equal(divvy_nvml_processes(nvml, seen, 4), 2); /* of the other device */
    divvy_nvml_close(nvml);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_is_there_is_told, fake_reset),
        cmocka_unit_test_setup(processes_are_told, fake_reset),
        cmocka_unit_test_setup(a_call_that_fails_loses_its_value_only, fake_reset),
        cmocka_unit_test_setup(a_lost_device_comes_back, fake_reset),
        cmocka_unit_test_setup(discovery_on_request, fake_reset),
        cmocka_unit_test_setup(a_driver_that_hangs_holds_nobody, fake_reset),
        cmocka_unit_test_setup(stopping_does_not_wait_for_a_hanging_driver, fake_reset),
        cmocka_unit_test_setup(no_driver_is_not_the_end, fake_reset),
        cmocka_unit_test(models_are_told_apart),
    };

    return cmocka_run_group_tests(tests, fake_find, NULL);
}
