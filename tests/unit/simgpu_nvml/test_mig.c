/* MIG through NVML: the mode, making, destroying and enumerating instances, and what MIG devices answer. */
#include "room.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MIB = 1024 * 1024 };

/* A whole H200, so that sizes are real. */
static int setup(void **state) {
    if (room_setup_bare(state) != 0)
        return -1;
    (void)unsetenv("DIVVY_SIM_MEMORY");
    return nvmlInit_v2() == NVML_SUCCESS ? 0 : -1;
}

static nvmlDevice_t device_divided(void) {
    nvmlDevice_t device = room_device(0);
    nvmlReturn_t activation = NVML_ERROR_UNKNOWN;

    assert_int_equal(nvmlDeviceSetMigMode(device, 1, &activation), NVML_SUCCESS);
    assert_int_equal(activation, NVML_SUCCESS);
    return device;
}

static nvmlGpuInstance_t instance(nvmlDevice_t device, unsigned int profile_id) {
    nvmlGpuInstance_t made = NULL;

    assert_int_equal(nvmlDeviceCreateGpuInstance(device, profile_id, &made), NVML_SUCCESS);
    return made;
}

static nvmlComputeInstance_t compute(nvmlGpuInstance_t parent, unsigned int profile_id) {
    nvmlComputeInstance_t made = NULL;

    assert_int_equal(nvmlGpuInstanceCreateComputeInstance(parent, profile_id, &made), NVML_SUCCESS);
    return made;
}

static nvmlDevice_t mig(nvmlDevice_t device, unsigned int index) {
    nvmlDevice_t found = NULL;

    assert_int_equal(nvmlDeviceGetMigDeviceHandleByIndex(device, index, &found), NVML_SUCCESS);
    return found;
}

static nvmlReturn_t mig_result(nvmlDevice_t device, unsigned int index) {
    nvmlDevice_t found;

    return nvmlDeviceGetMigDeviceHandleByIndex(device, index, &found);
}

/* --- mode -------------------------------------------------------------------------------------------- */

static void modes(nvmlDevice_t device, unsigned int current, unsigned int pending) {
    unsigned int a = 9, b = 9;

    assert_int_equal(nvmlDeviceGetMigMode(device, &a, &b), NVML_SUCCESS);
    assert_int_equal(a, current);
    assert_int_equal(b, pending);
}

static void test_mode(void **state) {
    nvmlDevice_t device = room_device(0);
    nvmlGpuInstance_t made;
    nvmlReturn_t activation;
    unsigned int count = 9;

    (void)state;
    modes(device, 0, 0);
    assert_int_equal(nvmlDeviceGetMaxMigDeviceCount(device, &count), NVML_SUCCESS);
    assert_int_equal(count, 0);
    assert_int_equal(nvmlDeviceCreateGpuInstance(device, 19, &made), NVML_ERROR_NOT_SUPPORTED);
    assert_int_equal(nvmlDeviceGetGpuInstanceById(device, 0, &made), NVML_ERROR_NOT_SUPPORTED);
    assert_int_equal(nvmlDeviceGetGpuInstanceRemainingCapacity(device, 19, &count),
                     NVML_ERROR_NOT_SUPPORTED);
    assert_int_equal(mig_result(device, 0), NVML_ERROR_NOT_FOUND);
    assert_int_equal(nvmlDeviceSetMigMode(device, 2, &activation), NVML_ERROR_INVALID_ARGUMENT);
    device_divided();
    modes(device, 1, 1);
    modes(room_device(1), 0, 0);
    assert_int_equal(nvmlDeviceGetMaxMigDeviceCount(device, &count), NVML_SUCCESS);
    assert_int_equal(count, 7);
    (void)compute(instance(device, 19), 0);
    assert_int_equal(mig_result(device, 0), NVML_SUCCESS);
    /* switching off takes the instances with it */
    assert_int_equal(nvmlDeviceSetMigMode(device, 0, &activation), NVML_SUCCESS);
    assert_int_equal(activation, NVML_SUCCESS);
    modes(device, 0, 0);
    device_divided();
    assert_int_equal(mig_result(device, 0), NVML_ERROR_NOT_FOUND);
    assert_int_equal(nvmlDeviceGetGpuInstanceRemainingCapacity(device, 19, &count), NVML_SUCCESS);
    assert_int_equal(count, 7);
}

static void test_mode_waits_for_users(void **state) {
    nvmlDevice_t device = room_device(0);
    room_guest_t guest = room_guest_start(0, MIB, 0);
    nvmlReturn_t activation = NVML_SUCCESS;

    (void)state;
    assert_int_equal(nvmlDeviceSetMigMode(device, 1, &activation), NVML_SUCCESS);
    assert_int_equal(activation, NVML_ERROR_IN_USE);
    modes(device, 0, 1);
    room_guest_end(guest);
    modes(device, 0, 1); /* nobody resets it */
    device_divided();
    modes(device, 1, 1);
}

/* --- instances --------------------------------------------------------------------------------------- */

/* As NVIDIA's driver places "-cgi 19,14,5" and "-cgi 14,14,14,20". */
static void placed(nvmlDevice_t device, unsigned int profile_id, unsigned int id,
                   unsigned int start, unsigned int size) {
    nvmlGpuInstance_t made = instance(device, profile_id), same;
    nvmlGpuInstanceInfo_t info;

    assert_int_equal(nvmlGpuInstanceGetInfo(made, &info), NVML_SUCCESS);
    assert_ptr_equal(info.device, device);
    assert_int_equal(info.id, id);
    assert_int_equal(info.profileId, profile_id);
    assert_int_equal(info.placement.start, start);
    assert_int_equal(info.placement.size, size);
    assert_int_equal(nvmlDeviceGetGpuInstanceById(device, id, &same), NVML_SUCCESS);
    assert_ptr_equal(same, made);
}

static void test_placement(void **state) {
    nvmlDevice_t device = device_divided();
    nvmlGpuInstance_t list[7], made;
    nvmlGpuInstancePlacement_t place = {.start = 1, .size = 2}, many[8];
    unsigned int count = 0;

    (void)state;
    placed(device, 19, 13, 6, 1);
    placed(device, 14, 5, 4, 2);
    placed(device, 5, 1, 0, 4);
    assert_int_equal(nvmlDeviceCreateGpuInstance(device, 19, &made),
                     NVML_ERROR_INSUFFICIENT_RESOURCES);
    assert_int_equal(nvmlDeviceGetGpuInstances(device, 14, list, &count), NVML_SUCCESS);
    assert_int_equal(count, 1);
    assert_int_equal(nvmlGpuInstanceDestroy(list[0]), NVML_SUCCESS);
    assert_int_equal(nvmlGpuInstanceDestroy(list[0]), NVML_ERROR_INVALID_ARGUMENT);
    assert_int_equal(nvmlDeviceGetGpuInstanceById(device, 5, &made), NVML_ERROR_NOT_FOUND);
    assert_int_equal(nvmlDeviceCreateGpuInstanceWithPlacement(device, 14, &place, &made),
                     NVML_ERROR_INVALID_ARGUMENT);
    place.start = 2;
    assert_int_equal(nvmlDeviceCreateGpuInstanceWithPlacement(device, 14, &place, &made),
                     NVML_ERROR_INSUFFICIENT_RESOURCES);
    place.start = 4;
    assert_int_equal(nvmlDeviceCreateGpuInstanceWithPlacement(device, 14, &place, &made),
                     NVML_SUCCESS);
    assert_int_equal(nvmlDeviceCreateGpuInstance(device, 77, &made), NVML_ERROR_INVALID_ARGUMENT);
    count = 0;
    assert_int_equal(nvmlDeviceGetGpuInstancePossiblePlacements_v2(device, 9, NULL, &count),
                     NVML_SUCCESS);
    assert_int_equal(count, 2);
    count = 1;
    assert_int_equal(nvmlDeviceGetGpuInstancePossiblePlacements_v2(device, 9, many, &count),
                     NVML_ERROR_INSUFFICIENT_SIZE);
    assert_int_equal(nvmlDeviceGetGpuInstancePossiblePlacements_v2(device, 9, many, &count),
                     NVML_SUCCESS);
    assert_int_equal(many[1].start, 4);
    assert_int_equal(many[1].size, 4);
}

static void test_driver_order(void **state) {
    nvmlDevice_t device = device_divided();

    (void)state;
    placed(device, 14, 5, 4, 2);
    placed(device, 14, 3, 0, 2);
    placed(device, 14, 4, 2, 2);
    placed(device, 20, 13, 6, 1);
}

static void test_compute_instances(void **state) {
    nvmlDevice_t device = device_divided(), parent_device;
    nvmlGpuInstance_t parent = instance(device, 9);
    nvmlComputeInstance_t first = compute(parent, 0), second = compute(parent, 1), third;
    nvmlComputeInstanceInfo_t info;
    unsigned int count, id;

    (void)state;
    assert_int_equal(nvmlComputeInstanceGetInfo_v2(first, &info), NVML_SUCCESS);
    assert_int_equal(info.id, 0);
    assert_int_equal(info.placement.start, 2); /* so that two slices stay together */
    assert_int_equal(nvmlComputeInstanceGetInfo_v2(second, &info), NVML_SUCCESS);
    assert_int_equal(info.id, 1);
    assert_int_equal(info.profileId, 1);
    assert_int_equal(info.placement.start, 0);
    assert_int_equal(info.placement.size, 2);
    assert_ptr_equal(info.gpuInstance, parent);
    assert_int_equal(nvmlGpuInstanceCreateComputeInstance(parent, 0, &third),
                     NVML_ERROR_INSUFFICIENT_RESOURCES);
    assert_int_equal(nvmlGpuInstanceGetComputeInstanceRemainingCapacity(parent, 0, &count),
                     NVML_SUCCESS);
    assert_int_equal(count, 0);
    assert_int_equal(nvmlGpuInstanceCreateComputeInstance(parent, 4, &third),
                     NVML_ERROR_INVALID_ARGUMENT); /* no 7c in 3g */
    assert_int_equal(nvmlDeviceGetGpuInstanceId(mig(device, 1), &id), NVML_SUCCESS);
    assert_int_equal(id, 2);
    assert_int_equal(nvmlDeviceGetComputeInstanceId(mig(device, 1), &id), NVML_SUCCESS);
    assert_int_equal(id, 1);
    assert_int_equal(nvmlDeviceGetDeviceHandleFromMigDeviceHandle(mig(device, 1), &parent_device),
                     NVML_SUCCESS);
    assert_ptr_equal(parent_device, device);
    assert_int_equal(nvmlGpuInstanceDestroy(parent), NVML_ERROR_IN_USE);
    assert_int_equal(nvmlComputeInstanceDestroy(first), NVML_SUCCESS);
    assert_int_equal(nvmlComputeInstanceDestroy(first), NVML_ERROR_INVALID_ARGUMENT);
    assert_int_equal(nvmlGpuInstanceDestroy(parent), NVML_ERROR_IN_USE);
    assert_int_equal(nvmlComputeInstanceDestroy(second), NVML_SUCCESS);
    assert_int_equal(nvmlGpuInstanceDestroy(parent), NVML_SUCCESS);
}

/* Destroyed instances leave holes; their handles are known as old; a new one fills the lowest hole. */
static void test_holes(void **state) {
    nvmlDevice_t device = device_divided(), old, fresh;
    nvmlGpuInstance_t parents[3];
    nvmlComputeInstance_t parts[3];
    char name[96], before[96], after[96];

    (void)state;
    for (int i = 0; i < 3; i++) {
        parents[i] = instance(device, 19);
        parts[i] = compute(parents[i], 0);
    }
    old = mig(device, 1);
    assert_int_equal(nvmlDeviceGetUUID(old, before, sizeof(before)), NVML_SUCCESS);
    assert_int_equal(nvmlComputeInstanceDestroy(parts[1]), NVML_SUCCESS);
    assert_int_equal(nvmlGpuInstanceDestroy(parents[1]), NVML_SUCCESS);
    assert_int_equal(mig_result(device, 0), NVML_SUCCESS);
    assert_int_equal(mig_result(device, 1), NVML_ERROR_NOT_FOUND);
    assert_int_equal(mig_result(device, 2), NVML_SUCCESS);
    assert_int_equal(nvmlDeviceGetName(old, name, sizeof(name)), NVML_ERROR_INVALID_ARGUMENT);
    assert_int_equal(nvmlDeviceGetHandleByUUID(before, &fresh), NVML_ERROR_NOT_FOUND);
    (void)compute(instance(device, 19), 0); /* in the same place: the same UUID, another handle */
    fresh = mig(device, 1);
    assert_ptr_not_equal(fresh, old);
    assert_int_equal(nvmlDeviceGetUUID(fresh, after, sizeof(after)), NVML_SUCCESS);
    assert_string_equal(before, after);
}

/* --- MIG devices ------------------------------------------------------------------------------------- */

static void test_identity(void **state) {
    nvmlDevice_t device = device_divided(), own, found;
    char text[96], parent[96], legacy[96];
    nvmlDeviceAttributes_t attributes;
    nvmlMemory_t memory;
    unsigned int flag;

    (void)state;
    (void)compute(instance(device, 14), 1);
    own = mig(device, 0);
    assert_int_equal(nvmlDeviceGetName(own, text, sizeof(text)), NVML_SUCCESS);
    assert_string_equal(text, "NVIDIA H200 MIG 2g.35gb");
    assert_int_equal(nvmlDeviceGetUUID(own, text, sizeof(text)), NVML_SUCCESS);
    assert_int_equal(strlen(text), 40);
    assert_memory_equal(text, "MIG-", 4);
    assert_int_equal(text[18], '5'); /* version */
    assert_int_equal(nvmlDeviceGetHandleByUUID(text, &found), NVML_SUCCESS);
    assert_ptr_equal(found, own);
    assert_int_equal(nvmlDeviceGetUUID(device, parent, sizeof(parent)), NVML_SUCCESS);
    (void)snprintf(legacy, sizeof(legacy), "MIG-%.80s/5/0", parent);
    assert_int_equal(nvmlDeviceGetHandleByUUID(legacy, &found), NVML_SUCCESS);
    assert_ptr_equal(found, own);
    assert_int_equal(nvmlDeviceGetAttributes_v2(own, &attributes), NVML_SUCCESS);
    assert_int_equal(attributes.multiprocessorCount, 32);
    assert_int_equal(attributes.gpuInstanceSliceCount, 2);
    assert_int_equal(attributes.computeInstanceSliceCount, 2);
    assert_int_equal(attributes.memorySizeMB, 33280);
    assert_int_equal(nvmlDeviceGetMemoryInfo(own, &memory), NVML_SUCCESS);
    assert_int_equal(memory.total, 33280ull * MIB);
    assert_int_equal(memory.used, 0);
    assert_int_equal(nvmlDeviceIsMigDeviceHandle(own, &flag), NVML_SUCCESS);
    assert_int_equal(flag, 1);
    assert_int_equal(nvmlDeviceIsMigDeviceHandle(device, &flag), NVML_SUCCESS);
    assert_int_equal(flag, 0);
    assert_int_equal(nvmlDeviceGetAttributes_v2(device, &attributes), NVML_ERROR_NOT_SUPPORTED);
}

/* What a real driver does not answer for MIG devices, nor any more for the device that they are parts of. */
static void test_not_supported(void **state) {
    nvmlDevice_t device = device_divided(), own;
    nvmlUtilization_t use;
    unsigned int a, b;

    (void)state;
    (void)compute(instance(device, 19), 0);
    own = mig(device, 0);
    assert_int_equal(nvmlDeviceGetUtilizationRates(own, &use), NVML_ERROR_NOT_SUPPORTED);
    assert_int_equal(nvmlDeviceGetUtilizationRates(device, &use), NVML_ERROR_NOT_SUPPORTED);
    assert_int_equal(nvmlDeviceGetUtilizationRates(room_device(1), &use), NVML_SUCCESS);
    assert_int_equal(nvmlDeviceGetEncoderUtilization(device, &a, &b), NVML_ERROR_NOT_SUPPORTED);
    assert_int_equal(nvmlDeviceGetPowerUsage(own, &a), NVML_ERROR_NOT_SUPPORTED);
    assert_int_equal(nvmlDeviceGetPowerUsage(device, &a), NVML_SUCCESS);
    assert_int_equal(nvmlDeviceGetTemperature(own, NVML_TEMPERATURE_GPU, &a),
                     NVML_ERROR_NOT_SUPPORTED);
}

/* A process computes on one instance; the lists say which. */
static void test_processes(void **state) {
    nvmlDevice_t device = device_divided();
    nvmlComputeInstance_t second;
    nvmlProcessInfo_t list[4];
    unsigned int count;
    room_guest_t guest;

    (void)state;
    (void)compute(instance(device, 19), 0);
    second = compute(instance(device, 19), 0);
    guest = room_guest_start(DIVVY_SIMGPU_UNIT(0, 1), 64 * MIB, 0);
    count = 4;
    assert_int_equal(nvmlDeviceGetComputeRunningProcesses_v3(mig(device, 0), &count, list),
                     NVML_SUCCESS);
    assert_int_equal(count, 0);
    for (int i = 0; i < 2; i++) { /* by the MIG device, and by the whole */
        count = 4;
        assert_int_equal(
            nvmlDeviceGetComputeRunningProcesses_v3(i ? device : mig(device, 1), &count, list),
            NVML_SUCCESS);
        assert_int_equal(count, 1);
        assert_int_equal(list[0].pid, guest.pid);
        assert_int_equal(list[0].usedGpuMemory, 64 * MIB);
        assert_int_equal(list[0].gpuInstanceId, 11);
        assert_int_equal(list[0].computeInstanceId, 0);
    }
    assert_int_equal(nvmlComputeInstanceDestroy(second), NVML_ERROR_IN_USE);
    room_guest_end(guest);
    assert_int_equal(nvmlComputeInstanceDestroy(second), NVML_SUCCESS);
}

/* The utilisation of an instance, which NVML gives by performance samples only. */
static void test_utilisation(void **state) {
    nvmlDevice_t device = device_divided();
    static nvmlGpmMetricsGet_t get;
    nvmlGpmSample_t samples[2][2];
    nvmlGpmSupport_t support = {.version = NVML_GPM_SUPPORT_VERSION};
    room_guest_t guest;

    (void)state;
    (void)compute(instance(device, 9), 2);
    (void)compute(instance(device, 9), 2);
    assert_int_equal(nvmlGpmQueryDeviceSupport(device, &support), NVML_SUCCESS);
    assert_int_equal(support.isSupportedDevice, 1);
    for (int i = 0; i < 4; i++)
        assert_int_equal(nvmlGpmSampleAlloc(&samples[i / 2][i % 2]), NVML_SUCCESS);
    assert_int_equal(nvmlGpmMigSampleGet(device, 7, samples[0][0]), NVML_ERROR_NOT_FOUND);
    assert_int_equal(nvmlGpmMigSampleGet(mig(device, 0), 2, samples[0][0]),
                     NVML_ERROR_NOT_SUPPORTED);
    for (unsigned int i = 0; i < 2; i++)
        assert_int_equal(nvmlGpmMigSampleGet(device, 2 - i, samples[i][0]), NVML_SUCCESS);
    guest = room_guest_start(DIVVY_SIMGPU_UNIT(0, 0), 0, 100000000); /* that long, and waited for */
    for (unsigned int i = 0; i < 2; i++)
        assert_int_equal(nvmlGpmMigSampleGet(device, 2 - i, samples[i][1]), NVML_SUCCESS);
    room_guest_end(guest);
    for (unsigned int i = 0; i < 2; i++) {
        get = (nvmlGpmMetricsGet_t){.version = NVML_GPM_METRICS_GET_VERSION,
                                    .numMetrics = 2,
                                    .sample1 = samples[i][0],
                                    .sample2 = samples[i][1]};
        get.metrics[0].metricId = NVML_GPM_METRIC_SM_UTIL;
        get.metrics[1].metricId = NVML_GPM_METRIC_ANY_TENSOR_UTIL;
        assert_int_equal(nvmlGpmMetricsGet(&get), NVML_SUCCESS);
        assert_int_equal(get.metrics[0].nvmlReturn, NVML_SUCCESS);
        if (i == 0) /* more than nothing: how long the guest took to start is not known */
            assert_true(get.metrics[0].value > 0 && get.metrics[0].value <= 100);
        else
            assert_true(get.metrics[0].value == 0);
        assert_int_equal(get.metrics[1].nvmlReturn, NVML_ERROR_NOT_SUPPORTED);
    }
    get.sample1 = samples[0][1];
    get.sample2 = samples[0][0];
    assert_int_equal(nvmlGpmMetricsGet(&get),
                     NVML_ERROR_INVALID_ARGUMENT); /* the wrong way round */
    for (int i = 0; i < 4; i++)
        assert_int_equal(nvmlGpmSampleFree(samples[i / 2][i % 2]), NVML_SUCCESS);
    assert_int_equal(nvmlGpmSampleFree(samples[0][0]), NVML_ERROR_INVALID_ARGUMENT);
    assert_int_equal(nvmlGpmMetricsGet(&get), NVML_ERROR_INVALID_ARGUMENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_mode, setup, room_teardown),
        cmocka_unit_test_setup_teardown(test_mode_waits_for_users, setup, room_teardown),
        cmocka_unit_test_setup_teardown(test_placement, setup, room_teardown),
        cmocka_unit_test_setup_teardown(test_driver_order, setup, room_teardown),
        cmocka_unit_test_setup_teardown(test_compute_instances, setup, room_teardown),
        cmocka_unit_test_setup_teardown(test_holes, setup, room_teardown),
        cmocka_unit_test_setup_teardown(test_identity, setup, room_teardown),
        cmocka_unit_test_setup_teardown(test_not_supported, setup, room_teardown),
        cmocka_unit_test_setup_teardown(test_processes, setup, room_teardown),
        cmocka_unit_test_setup_teardown(test_utilisation, setup, room_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
