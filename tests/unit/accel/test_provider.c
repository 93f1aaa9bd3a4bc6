/* The layer between the exported functions and a vendor's table, with a table that misbehaves: what a host relies on holds. */
#include "accel/provider/provider.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct {
    unsigned int starts, stops, froze;
    AccelResult start_result, device_result, assign_result;
    size_t devices, count;
    char assigned[DIVVY_PROVIDER_ID_BYTES];
    unsigned int messages; /* each call says so many */
} fake;

static AccelResult start(void) {
    fake.starts++;
    return fake.start_result;
}

static void stop(void) {
    fake.stops++;
}

static AccelResult count(size_t *ret_count) {
    for (unsigned int i = 0; i < fake.messages; i++)
        divvy_provider_log("INFO", "message %u of %u", i, fake.messages);
    *ret_count = fake.devices;
    return ACCEL_SUCCESS;
}

static AccelResult device(size_t index, Accel2DeviceBasicInfo *ret_basic, DeviceProperties *ret_properties,
                          VirtualizationCapabilities *ret_capabilities) {
    (void)ret_capabilities;
    if (index == 1 && fake.device_result != ACCEL_SUCCESS)
        return fake.device_result;
    (void)snprintf(ret_basic->uuid, sizeof ret_basic->uuid, "GPU-%zu", index);
    memset(ret_basic->driverVersion, 'd', sizeof ret_basic->driverVersion - 1);
    for (int i = 0; i < 100; i++)
        divvy_provider_property(ret_properties, "key", "%d", i);
    return ACCEL_SUCCESS;
}

static AccelResult topology(size_t index, Accel2DeviceTopologyInfo *ret_row) {
    (void)snprintf(ret_row->deviceUUID, sizeof ret_row->deviceUUID, "GPU-%zu", index);
    return fake.device_result != ACCEL_SUCCESS && index == 1 ? fake.device_result : ACCEL_SUCCESS;
}

static AccelResult find(const char *uuid) {
    return divvy_provider_same_device(uuid, "GPU-0") ? ACCEL_SUCCESS : ACCEL_ERROR_NOT_FOUND;
}

static AccelResult assign(const char *template_id, const char *device_uuid, Accel2PartitionResult *ret_result) {
    char long_value[300];

    (void)device_uuid;
    (void)snprintf(fake.assigned, sizeof fake.assigned, "%s", template_id);
    memset(long_value, 'x', sizeof long_value - 1);
    long_value[sizeof long_value - 1] = '\0';
    (void)snprintf(ret_result->deviceUUID, sizeof ret_result->deviceUUID, "MIG-7");
    divvy_provider_variable(ret_result, "TOO_LONG", long_value);
    divvy_provider_variable(ret_result, "EMPTY", "");
    for (int i = 0; i < 20; i++)
        divvy_provider_variable(ret_result, "KEY", "a=b");
    return fake.assign_result;
}

static AccelResult processes(ProcessInformation *ret_infos, size_t max, size_t *ret_count) {
    (void)ret_infos;
    (void)max;
    *ret_count = fake.count;
    return ACCEL_SUCCESS;
}

static AccelResult metrics(const char *uuid, DeviceMetrics *ret_metrics) {
    if (find(uuid) != ACCEL_SUCCESS)
        return ACCEL_ERROR_NOT_FOUND;
    for (int i = 0; i < 100; i++)
        divvy_provider_extra(ret_metrics, "key", i);
    ret_metrics->powerUsageWatts = 1;
    return ACCEL_SUCCESS;
}

static AccelResult mounts(MountPath *ret_mounts, size_t max, size_t *ret_count) {
    (void)ret_mounts;
    (void)max;
    *ret_count = fake.count;
    return fake.device_result;
}

static AccelResult freeze(const pid_t *pids, size_t number) {
    (void)pids;
    fake.froze += (unsigned int)number;
    return ACCEL_SUCCESS;
}

const struct divvy_provider divvy_provider = {
    .topology_kind = "fake", .start = start, .stop = stop, .count = count, .device = device, .topology = topology, .find = find,
    .assign = assign, .processes = processes, .metrics = metrics, .mounts = mounts, .snapshot = freeze,
};

static int reset(void **state) {
    (void)state;
    (void)AccelShutdown();
    memset(&fake, 0, sizeof fake);
    fake.devices = 3;
    return 0;
}

static void test_start(void **state) {
    size_t there = 99;

    (void)state;
    assert_int_equal(GetDeviceCount(&there), ACCEL_SUCCESS); /* without any init */
    assert_int_equal(fake.starts, 1);
    assert_int_equal(AccelInit(), ACCEL_SUCCESS);
    assert_int_equal(VirtualGPUInit(), ACCEL_SUCCESS);
    assert_int_equal(fake.starts, 1);
    assert_int_equal(AccelShutdown(), ACCEL_SUCCESS);
    assert_int_equal(AccelShutdown(), ACCEL_SUCCESS);
    assert_int_equal(fake.stops, 1);
    assert_int_equal(AccelGetDeviceCount(&there), ACCEL_SUCCESS);
    assert_int_equal(fake.starts, 2);
    (void)AccelShutdown();
    fake.start_result = ACCEL_ERROR_NOT_FOUND;
    assert_int_equal(AccelInit(), ACCEL_ERROR_NOT_FOUND);
    assert_int_equal(AccelGetDeviceCount(&there), ACCEL_ERROR_NOT_FOUND);
    assert_int_equal(there, 0);
    fake.start_result = ACCEL_SUCCESS; /* the driver comes later */
    assert_int_equal(AccelGetDeviceCount(&there), ACCEL_SUCCESS);
    assert_int_equal(there, 3);
}

/* Counts stay within the ABI's, and text is cut. */
static void test_counts(void **state) {
    Accel1ExtendedDeviceInfo *one = calloc(65, sizeof *one);
    Accel2ExtendedDeviceTopology *near = calloc(1, sizeof *near);
    ProcessInformation info;
    MountPath mount;
    DeviceMetrics figures;
    const char *uuid = "gpu-0";
    size_t written = 0;

    (void)state;
    assert_true(one && near);
    fake.devices = 100;
    assert_int_equal(GetAllDevices(one, 65, &written), ACCEL_SUCCESS);
    assert_int_equal(written, 64);
    assert_int_equal(one[64].basic.uuid[0], 0);
    assert_int_equal(strlen(one[0].basic.driverVersion), 63); /* 79 in generation 2 */
    assert_int_equal(one[0].props.count, 64);
    assert_int_equal(AccelGetAllDevicesTopology(near), ACCEL_SUCCESS);
    assert_int_equal(near->deviceCount, 64);
    fake.count = 5000;
    assert_int_equal(AccelGetProcessInformation(&info, 1, &written), ACCEL_SUCCESS);
    assert_int_equal(written, 1);
    assert_int_equal(GetVendorMountLibs(&mount, 1, &written), ACCEL_SUCCESS);
    assert_int_equal(written, 1);
    fake.device_result = ACCEL_ERROR_INTERNAL;
    assert_int_equal(GetVendorMountLibs(&mount, 1, &written), ACCEL_SUCCESS); /* whatever happens */
    assert_int_equal(written, 0);
    assert_int_equal(GetDeviceMetrics(&uuid, 1, &figures), ACCEL_SUCCESS);
    assert_int_equal(figures.extraMetricsCount, 64);
    free(one);
    free(near);
}

/* One that fails costs no other. */
static void test_one_fails(void **state) {
    Accel2ExtendedDeviceInfo *two = calloc(3, sizeof *two);
    Accel2ExtendedDeviceTopology *near = calloc(1, sizeof *near);
    size_t written = 0;

    (void)state;
    assert_true(two && near);
    fake.device_result = ACCEL_ERROR_OPERATION_FAILED;
    assert_int_equal(AccelGetAllDevices(two, 3, &written), ACCEL_SUCCESS);
    assert_int_equal(written, 2);
    assert_string_equal(two[1].basic.uuid, "GPU-2");
    assert_int_equal(AccelGetAllDevicesTopology(near), ACCEL_SUCCESS);
    assert_int_equal(near->deviceCount, 2);
    assert_string_equal(near->devices[1].deviceUUID, "GPU-2");
    free(two);
    free(near);
}

static void test_partition(void **state) {
    Accel2PartitionResult *two = calloc(1, sizeof *two);
    Accel1PartitionAssignment one = {.templateId = "19", .deviceUUID = "0"};
    char endless[64];

    (void)state;
    assert_non_null(two);
    assert_true(AssignPartition(&one));
    assert_string_equal(one.partitionUUID, "MIG-7");
    assert_int_equal(one.envVarCount, 16);
    assert_string_equal(one.envVars[15].key, "KEY");
    assert_string_equal(one.envVars[15].value, "a=b");
    assert_int_equal(AccelAssignPartition("19", "GPU-0", two), ACCEL_SUCCESS);
    assert_string_equal(two->envVars[0], "KEY=a=b");
    fake.assign_result = ACCEL_ERROR_RESOURCE_EXHAUSTED;
    assert_int_equal(AccelAssignPartition("19", "GPU-0", two), ACCEL_ERROR_RESOURCE_EXHAUSTED);
    for (size_t i = 0; i < sizeof *two; i++)
        assert_int_equal(((unsigned char *)two)[i], 0);
    assert_false(AssignPartition(&one));
    assert_int_equal(one.partitionUUID[0], 0);
    assert_int_equal(one.envVarCount, 0);
    fake.assign_result = ACCEL_SUCCESS;
    memset(endless, 'e', sizeof endless);
    assert_int_equal(AccelAssignPartition(endless, "GPU-0", two), ACCEL_SUCCESS);
    assert_int_equal(strlen(fake.assigned), 64);
    free(two);
}

/* What a table lacks is not supported, and what cannot be asked is not asked. */
static void test_lacking(void **state) {
    pid_t pids[2] = {getppid(), getpid()};
    Accel2SnapshotContext context = {pids, 1, NULL};

    (void)state;
    assert_int_equal(AccelSetMemHardLimit("GPU-0", 1), ACCEL_ERROR_NOT_SUPPORTED);
    assert_int_equal(AccelSetMemHardLimit("GPU-1", 1), ACCEL_ERROR_NOT_FOUND);
    assert_int_equal(AccelSetComputeUnitHardLimit("GPU-0", 100), ACCEL_ERROR_NOT_SUPPORTED);
    assert_int_equal(AccelRemovePartition("x", "GPU-0"), ACCEL_SUCCESS);
    assert_int_equal(AccelSnapshot(&context), ACCEL_SUCCESS);
    assert_int_equal(fake.froze, 1);
    assert_int_equal(AccelResume(&context), ACCEL_ERROR_NOT_SUPPORTED);
    context.processCount = 2; /* the host itself is among them */
    assert_int_equal(AccelSnapshot(&context), ACCEL_ERROR_INVALID_PARAM);
    assert_int_equal(fake.froze, 1);
}

static unsigned int heard;
static char last[256];

static void on_log(const char *level, const char *message) {
    size_t there;

    assert_string_equal(level, "INFO");
    (void)snprintf(last, sizeof last, "%s", message);
    if (heard++ < 3)
        assert_int_equal(AccelGetDeviceCount(&there), ACCEL_SUCCESS); /* no lock is held */
}

static void test_messages(void **state) {
    size_t there;

    (void)state;
    fake.messages = 1;
    assert_int_equal(AccelRegisterLogCallback(on_log), ACCEL_SUCCESS);
    assert_int_equal(AccelGetDeviceCount(&there), ACCEL_SUCCESS);
    assert_int_equal(heard, 4);
    assert_string_equal(last, "message 0 of 1");
    fake.messages = 1000; /* bounded */
    assert_int_equal(AccelGetDeviceCount(&there), ACCEL_SUCCESS);
    assert_true(heard > 4 && heard < 50);
    assert_int_equal(RegisterLogCallback(NULL), ACCEL_SUCCESS);
    heard = 0;
    assert_int_equal(AccelGetDeviceCount(&there), ACCEL_SUCCESS);
    assert_int_equal(heard, 0);
}

static void test_same_device(void **state) {
    static const struct {
        const char *one, *other;
        bool same;
    } pairs[] = {
        {"GPU-aBc", "gpu-AbC", true}, {"abc", "GPU-ABC", true}, {"MIG-abc", "abc", true},   {"MIG-abc", "GPU-abc", false},
        {"abc", "abcd", false},       {"", "", false},          {"GPU-", "", false},        {"GPU-", "GPU-", false},
        {"MIG-GPU-a/1/0", "mig-gpu-A/1/0", true},               {"abcd", "abc", false},     {"GPU", "GPU", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        assert_int_equal(divvy_provider_same_device(pairs[i].one, pairs[i].other), pairs[i].same);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_start, reset),     cmocka_unit_test_setup(test_counts, reset),
        cmocka_unit_test_setup(test_one_fails, reset), cmocka_unit_test_setup(test_partition, reset),
        cmocka_unit_test_setup(test_lacking, reset),   cmocka_unit_test_setup(test_messages, reset),
        cmocka_unit_test(test_same_device),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
