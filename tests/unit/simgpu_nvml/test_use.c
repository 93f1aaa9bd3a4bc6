/* Memory, processes, utilisation, faults and loss: what changes while programs run. */
#include "room.h"

#include <string.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)
#define MS  UINT64_C(1000000)

/* --- memory ----------------------------------------------------------------------------------------- */

static void test_memory(void **state) {
    nvmlDevice_t device = room_device(0), other = room_device(1);
    nvmlMemory_v2_t newer = {.version = NVML_STRUCT_VERSION(Memory, 2)};
    nvmlMemory_t empty, used;
    nvmlBAR1Memory_t bar1;
    room_guest_t guest;

    (void)state;
    assert_int_equal(nvmlDeviceGetMemoryInfo(device, &empty), NVML_SUCCESS);
    assert_int_equal(empty.total, 1024 * MIB);
    assert_int_equal(empty.used, 0); /* reading creates no context */
    guest = room_guest_start(0, 300 * MIB, 0);
    assert_int_equal(nvmlDeviceGetMemoryInfo(device, &used), NVML_SUCCESS);
    assert_true(used.used >= 300 * MIB);
    assert_int_equal(used.total, used.used + used.free);
    assert_int_equal(nvmlDeviceGetMemoryInfo_v2(device, &newer), NVML_SUCCESS);
    assert_int_equal(newer.version, NVML_STRUCT_VERSION(Memory, 2));
    assert_int_equal(newer.used, used.used);
    assert_int_equal(newer.total, newer.reserved + newer.free + newer.used);
    assert_int_equal(nvmlDeviceGetMemoryInfo(other, &used), NVML_SUCCESS);
    assert_int_equal(used.used, 0);
    newer.version = 2;
    assert_int_equal(nvmlDeviceGetMemoryInfo_v2(device, &newer), NVML_ERROR_FUNCTION_NOT_FOUND);
    room_guest_end(guest);
    assert_int_equal(nvmlDeviceGetMemoryInfo(device, &used), NVML_SUCCESS);
    assert_int_equal(used.used, 0);
    assert_int_equal(nvmlDeviceGetBAR1MemoryInfo(device, &bar1), NVML_SUCCESS);
    assert_int_equal(bar1.bar1Total, bar1.bar1Free + bar1.bar1Used);
}

/* --- processes --------------------------------------------------------------------------------------- */

static void test_process_lists(void **state) {
    nvmlDevice_t device = room_device(0);
    room_guest_t first = room_guest_start(0, 10 * MIB, 0), second = room_guest_start(0, 20 * MIB, 0);
    nvmlProcessInfo_v1_t oldest[3];
    nvmlProcessInfo_v2_t older[3];
    nvmlProcessInfo_t newest[3];
    unsigned int count = 0;

    (void)state;
    assert_int_equal(nvmlDeviceGetComputeRunningProcesses_v3(device, &count, NULL), NVML_ERROR_INSUFFICIENT_SIZE);
    assert_int_equal(count, 2);
    assert_int_equal(nvmlDeviceGetComputeRunningProcesses_v3(device, &count, NULL), NVML_ERROR_INVALID_ARGUMENT);
    count = 1;
    assert_int_equal(nvmlDeviceGetComputeRunningProcesses_v3(device, &count, newest), NVML_ERROR_INSUFFICIENT_SIZE);
    assert_int_equal(count, 2);

    count = 3;
    memset(newest, 0x5a, sizeof(newest));
    assert_int_equal(nvmlDeviceGetComputeRunningProcesses_v3(device, &count, newest), NVML_SUCCESS);
    assert_int_equal(count, 2);
    assert_int_equal(newest[0].pid, first.pid);
    assert_int_equal(newest[1].pid, second.pid);
    assert_true(newest[0].usedGpuMemory >= 10 * MIB && newest[1].usedGpuMemory >= 20 * MIB);
    assert_int_equal(newest[0].gpuInstanceId, 0xffffffffu);
    assert_int_equal(newest[2].pid, 0x5a5a5a5au); /* nothing beyond */

    count = 3;
    memset(oldest, 0x5a, sizeof(oldest));
    assert_int_equal(nvmlDeviceGetComputeRunningProcesses(device, &count, oldest), NVML_SUCCESS);
    assert_int_equal(oldest[1].pid, second.pid);
    assert_int_equal(oldest[1].usedGpuMemory, newest[1].usedGpuMemory);
    assert_int_equal(oldest[2].pid, 0x5a5a5a5au);

    count = 2;
    assert_int_equal(nvmlDeviceGetComputeRunningProcesses_v2(device, &count, older), NVML_SUCCESS);
    assert_memory_equal(older, newest, sizeof(older[0]));

    count = 3;
    assert_int_equal(nvmlDeviceGetGraphicsRunningProcesses_v3(device, &count, newest), NVML_SUCCESS);
    assert_int_equal(count, 0);
    assert_int_equal(nvmlDeviceGetComputeRunningProcesses_v3(device, NULL, newest), NVML_ERROR_INVALID_ARGUMENT);
    room_guest_end(first);
    room_guest_end(second);
    count = 0;
    assert_int_equal(nvmlDeviceGetComputeRunningProcesses_v3(device, &count, NULL), NVML_SUCCESS);
    assert_int_equal(count, 0);
}

static void test_process_details(void **state) {
    room_guest_t guest = room_guest_start(1, 10 * MIB, 0);
    nvmlProcessDetail_v1_t entries[2];
    nvmlProcessDetailList_t list = {.version = NVML_STRUCT_VERSION(ProcessDetailList, 1)};

    (void)state;
    assert_int_equal(nvmlDeviceGetRunningProcessDetailList(room_device(1), &list), NVML_ERROR_INSUFFICIENT_SIZE);
    assert_int_equal(list.numProcArrayEntries, 1);
    list.procArray = entries;
    assert_int_equal(nvmlDeviceGetRunningProcessDetailList(room_device(1), &list), NVML_SUCCESS);
    assert_int_equal(entries[0].pid, guest.pid);
    list.mode = 3;
    assert_int_equal(nvmlDeviceGetRunningProcessDetailList(room_device(1), &list), NVML_ERROR_INVALID_ARGUMENT);
    list.version = 0;
    assert_int_equal(nvmlDeviceGetRunningProcessDetailList(room_device(1), &list),
                     NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
    room_guest_end(guest);
}

/* --- utilisation --------------------------------------------------------------------------------------- */

/* 600 ms of work cover at least one whole period of 200 ms, wherever the periods begin. The engine forgets after a bit
 * more than a second: a machine that stalls for longer than that proves nothing. */
static void test_samples_are_exact(void **state) {
    nvmlDevice_t device = room_device(0);
    room_guest_t guest = room_guest_start(0, 0, 600 * MS);
    nvmlProcessUtilizationSample_t uses[4];
    nvmlSample_t samples[8];
    nvmlValueType_t type;
    unsigned int count = 4, most = 0;
    unsigned long long seen = 0, total = 0;
    nvmlReturn_t result = nvmlDeviceGetProcessUtilization(device, uses, &count, 0);
    nvmlReturn_t sampled;

    (void)state;
    if (result == NVML_SUCCESS) {
        assert_int_equal(count, 1);
        assert_int_equal(uses[0].pid, guest.pid);
        assert_true(uses[0].smUtil <= 100);
        seen = uses[0].timeStamp;
        count = 4;
        assert_int_equal(nvmlDeviceGetProcessUtilization(device, uses, &count, seen + 10000000),
                         NVML_ERROR_NOT_FOUND);
    } else {
        assert_int_equal(result, NVML_ERROR_NOT_FOUND);
    }
    count = 8;
    sampled = nvmlDeviceGetSamples(device, NVML_GPU_UTILIZATION_SAMPLES, 0, &type, &count, samples);
    assert_int_equal(sampled, NVML_SUCCESS);
    assert_int_equal(type, NVML_VALUE_TYPE_UNSIGNED_INT);
    for (unsigned int i = 0; i < count; i++) {
        assert_true(samples[i].sampleValue.uiVal <= 100);
        assert_true(i == 0 || samples[i].timeStamp == samples[i - 1].timeStamp + 200000 ||
                    samples[i].timeStamp == samples[i - 1].timeStamp + 200001 ||
                    samples[i].timeStamp == samples[i - 1].timeStamp + 199999);
        most = samples[i].sampleValue.uiVal > most ? samples[i].sampleValue.uiVal : most;
        total += samples[i].sampleValue.uiVal;
    }
    if (result == NVML_SUCCESS)
        assert_true(most == 100 || total < 300);
    assert_true(total <= 302); /* 600 ms of 200 ms periods, rounding apart */
    room_guest_end(guest);
}

static void test_energy_counts_busy_time(void **state) {
    nvmlDevice_t device = room_device(0);
    unsigned long long before, after, idle_ceiling;
    unsigned int limit, power, temperature;
    room_guest_t guest;
    uint64_t start_ns = divvy_simgpu_now_ns(), elapsed_ns;

    (void)state;
    assert_int_equal(nvmlDeviceGetTotalEnergyConsumption(device, &before), NVML_SUCCESS);
    guest = room_guest_start(0, 0, 200 * MS);
    assert_int_equal(nvmlDeviceGetTotalEnergyConsumption(device, &after), NVML_SUCCESS);
    elapsed_ns = divvy_simgpu_now_ns() - start_ns;
    assert_int_equal(nvmlDeviceGetEnforcedPowerLimit(device, &limit), NVML_SUCCESS);
    assert_int_equal(nvmlDeviceGetPowerUsage(device, &power), NVML_SUCCESS);
    assert_true(power <= limit);
    /* 200 ms at the limit, and the rest of the time at what an idle board draws */
    idle_ceiling = elapsed_ns / 1000 * limit / 1000000;
    assert_true(after - before >= 200ull * limit / 1000 - 2);
    assert_true(after - before <= idle_ceiling + 2);
    assert_int_equal(nvmlDeviceGetTemperature(device, NVML_TEMPERATURE_GPU, &temperature), NVML_SUCCESS);
    assert_true(temperature >= 20 && temperature < 87);
    room_guest_end(guest);
}

static void test_samples_protocol(void **state) {
    nvmlDevice_t device = room_device(0);
    nvmlProcessesUtilizationInfo_t info = {.version = NVML_STRUCT_VERSION(ProcessesUtilizationInfo, 1)};
    nvmlProcessUtilizationSample_t uses[1];
    nvmlValueType_t type;
    nvmlSample_t sample;
    unsigned int count = 0;

    (void)state;
    assert_int_equal(nvmlDeviceGetSamples(device, NVML_TOTAL_POWER_SAMPLES, 0, &type, &count, NULL), NVML_SUCCESS);
    assert_true(count > 0);
    count = 0;
    assert_int_equal(nvmlDeviceGetSamples(device, NVML_TOTAL_POWER_SAMPLES, 0, &type, &count, &sample),
                     NVML_ERROR_INVALID_ARGUMENT);
    count = 1;
    assert_int_equal(nvmlDeviceGetSamples(device, NVML_MODULE_POWER_SAMPLES, 0, &type, &count, &sample),
                     NVML_ERROR_INVALID_ARGUMENT);
    count = 1;
    assert_int_equal(nvmlDeviceGetSamples(device, NVML_GPU_UTILIZATION_SAMPLES, 1ull << 62, &type, &count, &sample),
                     NVML_ERROR_NOT_FOUND);
    count = 0;
    assert_int_equal(nvmlDeviceGetProcessUtilization(device, NULL, &count, 0), NVML_ERROR_INSUFFICIENT_SIZE);
    assert_true(count > 0);
    count = 1;
    assert_int_equal(nvmlDeviceGetProcessUtilization(device, uses, &count, 0), NVML_ERROR_NOT_FOUND);
    assert_int_equal(nvmlDeviceGetProcessesUtilizationInfo(device, &info), NVML_ERROR_INSUFFICIENT_SIZE);
    info.version = 7;
    assert_int_equal(nvmlDeviceGetProcessesUtilizationInfo(device, &info), NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
}

static void test_pcie_throughput(void **state) {
    unsigned int rate = 7;

    (void)state;
    assert_int_equal(nvmlDeviceGetPcieThroughput(room_device(0), NVML_PCIE_UTIL_TX_BYTES, &rate), NVML_SUCCESS);
    assert_int_equal(rate, 0);
    assert_int_equal(nvmlDeviceGetPcieThroughput(room_device(0), NVML_PCIE_UTIL_COUNT, &rate),
                     NVML_ERROR_INVALID_ARGUMENT);
}

static void test_field_values(void **state) {
    nvmlFieldValue_t values[3] = {{.fieldId = NVML_FI_DEV_POWER_INSTANT},
                                  {.fieldId = NVML_FI_DEV_NVLINK_LINK_COUNT},
                                  {.fieldId = NVML_FI_DEV_ENERGY}};

    (void)state;
    assert_int_equal(nvmlDeviceGetFieldValues(room_device(0), 3, values), NVML_SUCCESS);
    assert_int_equal(values[0].nvmlReturn, NVML_SUCCESS);
    assert_int_equal(values[0].valueType, NVML_VALUE_TYPE_UNSIGNED_INT);
    assert_true(values[0].value.uiVal > 0);
    assert_int_equal(values[1].nvmlReturn, NVML_ERROR_NOT_SUPPORTED);
    assert_int_equal(values[2].nvmlReturn, NVML_SUCCESS);
    assert_int_equal(values[2].valueType, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG);
    assert_int_equal(nvmlDeviceGetFieldValues(room_device(0), 0, values), NVML_ERROR_INVALID_ARGUMENT);
}

/* --- faults and loss -------------------------------------------------------------------------------------- */

static void test_ordered_faults(void **state) {
    nvmlDevice_t device = room_device(0);
    char name[64], error[DIVVY_SIMGPU_ERROR_MAX];
    nvmlMemory_t memory;
    unsigned int count;

    (void)state;
    assert_int_equal(divvy_simgpu_attach(DIVVY_SIMGPU_OBSERVER | DIVVY_SIMGPU_EXISTING, error), 0);
    assert_int_equal(divvy_simgpu_fault_add("fail:nvmlDeviceGetName=999,times=1;unsupported:nvmlDeviceGetMemoryInfo;"
                                            "fail:nvmlInit=9",
                                            error),
                     0);
    assert_int_equal(nvmlDeviceGetName(device, name, sizeof(name)), NVML_ERROR_UNKNOWN);
    assert_int_equal(nvmlDeviceGetName(device, name, sizeof(name)), NVML_SUCCESS);
    assert_int_equal(nvmlDeviceGetMemoryInfo(device, &memory), NVML_ERROR_NOT_SUPPORTED);
    assert_int_equal(nvmlInit_v2(), NVML_ERROR_DRIVER_NOT_LOADED);
    assert_int_equal(nvmlDeviceGetCount_v2(&count), NVML_SUCCESS); /* the first initialisation still counts */
    assert_int_equal(divvy_simgpu_fault_clear(), 0);
    assert_int_equal(nvmlDeviceGetMemoryInfo(device, &memory), NVML_SUCCESS);
    divvy_simgpu_detach();
}

static void test_lost_device(void **state) {
    nvmlDevice_t device = room_device(0), other = room_device(1), found;
    nvmlEventSet_t set;
    nvmlEventData_t data;
    nvmlMemory_t memory;
    char error[DIVVY_SIMGPU_ERROR_MAX], name[64];
    unsigned int count;

    (void)state;
    assert_int_equal(divvy_simgpu_attach(DIVVY_SIMGPU_OBSERVER | DIVVY_SIMGPU_EXISTING, error), 0);
    assert_int_equal(nvmlEventSetCreate(&set), NVML_SUCCESS);
    assert_int_equal(nvmlDeviceRegisterEvents(device, 8, set), NVML_SUCCESS);
    assert_int_equal(nvmlDeviceRegisterEvents(device, 1ull << 60, set), NVML_ERROR_NOT_SUPPORTED);
    assert_int_equal(nvmlEventSetWait_v2(set, &data, 1), NVML_ERROR_TIMEOUT);
    assert_int_equal(divvy_simgpu_device_set_lost(0, true), 0);
    assert_int_equal(nvmlDeviceGetMemoryInfo(device, &memory), NVML_ERROR_GPU_IS_LOST);
    assert_int_equal(nvmlDeviceGetName(device, name, sizeof(name)), NVML_ERROR_GPU_IS_LOST);
    assert_int_equal(nvmlDeviceGetHandleByIndex_v2(0, &found), NVML_ERROR_GPU_IS_LOST);
    assert_int_equal(nvmlDeviceGetMemoryInfo(other, &memory), NVML_SUCCESS);
    assert_int_equal(nvmlDeviceGetCount_v2(&count), NVML_SUCCESS);
    assert_int_equal(count, 2);
    assert_int_equal(nvmlInit(), NVML_ERROR_GPU_IS_LOST); /* the first version wants all devices in order */
    assert_int_equal(nvmlEventSetWait_v2(set, &data, 1000), NVML_SUCCESS);
    assert_ptr_equal(data.device, device);
    assert_int_equal(data.eventType, 8);
    assert_int_equal(data.eventData, 79);
    assert_int_equal(nvmlEventSetWait_v2(set, &data, 1), NVML_ERROR_GPU_IS_LOST);
    assert_int_equal(divvy_simgpu_device_set_lost(0, false), 0);
    assert_int_equal(nvmlDeviceGetMemoryInfo(device, &memory), NVML_SUCCESS);
    assert_int_equal(nvmlEventSetFree(set), NVML_SUCCESS);
    assert_int_equal(nvmlEventSetFree(set), NVML_ERROR_INVALID_ARGUMENT);
    assert_int_equal(nvmlEventSetWait_v2(set, &data, 1), NVML_ERROR_INVALID_ARGUMENT);
    divvy_simgpu_detach();
}

#define READY(test) cmocka_unit_test_setup_teardown(test, room_setup, room_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        READY(test_memory),
        READY(test_process_lists),
        READY(test_process_details),
        READY(test_samples_are_exact),
        READY(test_energy_counts_busy_time),
        READY(test_samples_protocol),
        READY(test_pcie_throughput),
        READY(test_field_values),
        READY(test_ordered_faults),
        READY(test_lost_device),
    };

    return cmocka_run_group_tests_name("simgpu_nvml_use", tests, NULL, NULL);
}
