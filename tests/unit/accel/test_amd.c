/* libaccelerator_amd.so over a stand-in for ROCm SMI, and compute units from a stand-in for sysfs. */
#include "accel/accel.h"
#include "accel/amd/kfd.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define GIB (UINT64_C(1) << 30)

static struct divvy_error error;

static void on_log(void *data, divvy_log_level_t level, const char *message) {
    (void)data;
    (void)level;
    (void)message;
}

static int try_open(struct divvy_accel **ret_accel) {
    const struct divvy_accel_settings settings = {.path = LIBRARY, .vendor = "AMD", .log = on_log};

    return divvy_accel_open(&settings, ret_accel, &error);
}

static struct divvy_accel *open_as(const char *mode) {
    struct divvy_accel *accel = NULL;

    if (mode)
        (void)setenv("FAKE_RSMI", mode, 1);
    else
        (void)unsetenv("FAKE_RSMI");
    if (try_open(&accel) < 0)
        fail_msg("%s", error.text);
    return accel;
}

static void devices_test(void) {
    struct divvy_accel *accel = open_as(NULL);
    struct divvy_accel_topology topology;
    struct divvy_accel_devices list;
    const struct divvy_accel_device *first;

    assert_int_equal(divvy_accel_devices_get(accel, &list, &error), 0);
    assert_int_equal(list.count, 2);
    first = &list.devices[0];
    assert_string_equal(first->uuid, "GPU-1234567890abcde0");
    assert_string_equal(first->vendor, "AMD");
    assert_string_equal(first->model, "AMD Instinct MI300X");
    assert_string_equal(first->driver_version, "6.3.6");
    assert_string_equal(first->firmware_version, "113-MI3SRIOV-001");
    assert_string_equal(first->device_node, "/dev/dri/renderD128");
    assert_true(first->memory_bytes == 192 * GIB && first->tflops == 1307.4);
    assert_true(first->pcie_generation == 5 && first->pcie_width == 16 && list.devices[1].numa_node == 1);
    assert_false(first->capabilities.partitioning || first->capabilities.snapshot || first->capabilities.hard_isolation);
    assert_string_equal(divvy_accel_device_property(first, "pciBusId"), "0000:c1:00.0");
    assert_string_equal(divvy_accel_device_property(first, "clockMem"), "1300");
    assert_string_equal(divvy_accel_device_property(first, "powerLimit"), "750");
    assert_string_equal(divvy_accel_device_property(first, "temperatureThreshold"), "100");
    assert_string_equal(divvy_accel_device_property(first, "serial"), "PCB0123-0");
    assert_int_equal(divvy_accel_topology_get(accel, &topology, &error), 0);
    assert_int_equal(topology.count, 2);
    assert_int_equal(topology.devices[0].peers[0].level, DIVVY_ACCEL_TOPOLOGY_SINGLE_SWITCH);
    divvy_accel_topology_free(&topology);
    divvy_accel_devices_free(&list);
    divvy_accel_close(accel);
}

/* ROCm SMI of either age: one structure has grown in between. */
static void test_devices(void **state) {
    (void)state;
    devices_test();
    (void)setenv("FAKE_RSMI_NEW", "1", 1);
    devices_test();
    (void)unsetenv("FAKE_RSMI_NEW");
}

static void test_figures(void **state) {
    const char *uuids[] = {"gpu-1234567890ABCDE1", "1234567890abcde0"};
    struct divvy_accel *accel = open_as(NULL);
    struct divvy_accel_metrics_list list;
    struct divvy_accel_processes processes;

    (void)state;
    assert_int_equal(divvy_accel_metrics_get(accel, uuids, 2, &list, &error), 0);
    assert_true(list.metrics[0].power_watts > 345.6 && list.metrics[0].power_watts < 345.7);
    assert_true(list.metrics[0].temperature_celsius == 45.5 && list.metrics[0].utilization_percent == 42);
    assert_true(list.metrics[0].memory_used_bytes == 2 * GIB && list.metrics[1].memory_used_bytes == GIB);
    assert_true(list.metrics[0].extra_count >= 6);
    divvy_accel_metrics_free(&list);
    assert_int_equal(divvy_accel_processes_get(accel, &processes, &error), 0);
    assert_int_equal(processes.count, 3);
    assert_true(processes.processes[0].pid == 100 && processes.processes[0].memory_used_bytes == GIB);
    assert_true(processes.processes[2].pid == 200 && processes.processes[2].memory_used_bytes == 2 * GIB);
    assert_true(processes.processes[2].compute_percent == 20);
    divvy_accel_processes_free(&processes);
    /* an older ROCm SMI knows sums only: right where there is one device, left out where there are two */
    (void)setenv("FAKE_RSMI_OLD", "1", 1);
    assert_int_equal(divvy_accel_processes_get(accel, &processes, &error), 0);
    assert_int_equal(processes.count, 3);
    assert_true(processes.processes[0].memory_used_bytes == GIB && processes.processes[0].compute_percent == 40);
    assert_true(processes.processes[1].memory_used_bytes == 0 && processes.processes[2].memory_used_bytes == 0);
    divvy_accel_processes_free(&processes);
    (void)unsetenv("FAKE_RSMI_OLD");
    divvy_accel_close(accel);
}

static void test_not_supported(void **state) {
    struct divvy_accel *accel = open_as(NULL);
    const char *uuid = "GPU-1234567890abcde0";
    struct divvy_accel_partition partition;
    pid_t pid = getppid();

    (void)state;
    assert_int_equal(divvy_accel_partition_assign(accel, "x", uuid, &partition, &error), -EOPNOTSUPP);
    assert_int_equal(divvy_accel_partition_remove(accel, "x", uuid, &error), 0);
    assert_int_equal(divvy_accel_memory_limit(accel, "w", uuid, GIB, &error), -EOPNOTSUPP);
    assert_int_equal(divvy_accel_compute_limit(accel, "w", uuid, 50, &error), -EOPNOTSUPP);
    assert_int_equal(divvy_accel_snapshot(accel, &pid, 1, NULL, &error), -EOPNOTSUPP);
    assert_int_equal(divvy_accel_resume(accel, NULL, 0, uuid, &error), -EOPNOTSUPP);
    divvy_accel_close(accel);
}

/* Hardly any reading, all readings failing, and readings that cannot be. */
static void test_poor_drivers(void **state) {
    static const char *const modes[] = {"bare", "broken", "nonsense"};

    (void)state;
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        struct divvy_accel *accel = open_as(modes[i]);
        struct divvy_accel_processes processes;
        struct divvy_accel_devices list;

        assert_int_equal(divvy_accel_devices_get(accel, &list, &error), 0);
        assert_int_equal(list.count, i == 1 ? 0 : 2);
        if (i == 0) {
            assert_string_equal(list.devices[1].uuid, "GPU-0000:c2:00.0");
            assert_string_equal(list.devices[0].model, "unknown");
            assert_int_equal(list.devices[0].numa_node, -1);
        }
        if (i == 2) {
            const char *uuid = list.devices[0].uuid;
            struct divvy_accel_metrics_list figures;

            assert_int_equal(list.devices[0].numa_node, -1);
            assert_int_equal(list.devices[0].pcie_width, 0);
            assert_int_equal(divvy_accel_metrics_get(accel, &uuid, 1, &figures, &error), 0);
            assert_int_equal(figures.metrics[0].utilization_percent, 100);
            divvy_accel_metrics_free(&figures);
        }
        assert_int_equal(divvy_accel_processes_get(accel, &processes, &error), 0);
        assert_int_equal(processes.count, 0);
        divvy_accel_processes_free(&processes);
        divvy_accel_devices_free(&list);
        divvy_accel_close(accel);
    }
}

static void test_no_driver(void **state) {
    struct divvy_accel *accel;

    (void)state;
    (void)setenv("FAKE_RSMI", "no-driver", 1);
    assert_int_equal(try_open(&accel), -ENODEV);
    assert_non_null(strstr(error.text, "there is no driver"));
    (void)unsetenv("FAKE_RSMI");
}

static void node_write(const char *folder, unsigned int number, const char *text) {
    char path[256];
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/%u", folder, number);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/%u/properties", folder, number);
    file = fopen(path, "we");
    assert_non_null(file);
    (void)fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void test_kfd(void **state) {
    char folder[] = "/tmp/divvy-kfd-XXXXXX", path[256];

    (void)state;
    assert_non_null(mkdtemp(folder));
    node_write(folder, 0, "cpu_cores_count 64\nsimd_count 0\nsimd_per_cu 0\nlocation_id 0\ndomain 0\n");
    node_write(folder, 1, "simd_count 1216\nsimd_per_cu 4\nlocation_id 49408\ndomain 0\n");
    node_write(folder, 2, "simd_count 1216\nsimd_per_cu 4\nlocation_id 49408\ndomain 1\n");
    node_write(folder, 3, "simd_count 440\nsimd_per_cu 4\nlocation_id 49664\n");
    node_write(folder, 4, "simd_count x\nlocation_id");
    assert_int_equal(divvy_amd_kfd_units(folder, 0xc100), 304);
    assert_int_equal(divvy_amd_kfd_units(folder, UINT64_C(0x13000c100)), 304);
    assert_int_equal(divvy_amd_kfd_units(folder, 0xc200), 110);
    assert_int_equal(divvy_amd_kfd_units(folder, 0), 0);
    assert_int_equal(divvy_amd_kfd_units(folder, 0xc300), 0);
    assert_int_equal(divvy_amd_kfd_units("/nowhere", 0xc100), 0);
    for (unsigned int i = 0; i < 5; i++) {
        (void)snprintf(path, sizeof path, "%s/%u/properties", folder, i);
        (void)unlink(path);
        (void)snprintf(path, sizeof path, "%s/%u", folder, i);
        (void)rmdir(path);
    }
    (void)rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_driver),    cmocka_unit_test(test_devices), cmocka_unit_test(test_figures),
        cmocka_unit_test(test_not_supported), cmocka_unit_test(test_poor_drivers), cmocka_unit_test(test_kfd),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
