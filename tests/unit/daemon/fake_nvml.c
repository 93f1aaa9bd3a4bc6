/*
 * A libnvidia-ml.so.1 that does what a test tells it to: see fake_nvml.h. It lacks most of NVML, clocks among it, as an old
 * driver would.
 */
#include "fake_nvml.h"

#include "cuda/nvml.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct fake_nvml_control fake_nvml = {.count = 2};

static uint32_t found, bad; /* as of nvmlInit: devices, and handles that are worth nothing until the next */

static uint32_t get(const uint32_t *word) {
    return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static void set(uint32_t *word, uint32_t value) {
    __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}

nvmlReturn_t nvmlInit_v2(void) {
    __atomic_add_fetch(&fake_nvml.inits, 1, __ATOMIC_SEQ_CST);
    if (get(&fake_nvml.init_code))
        return (nvmlReturn_t)get(&fake_nvml.init_code);
    set(&found, get(&fake_nvml.count));
    set(&bad, 0);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlShutdown(void) {
    return NVML_SUCCESS;
}

const char *nvmlErrorString(nvmlReturn_t result) {
    return result == NVML_ERROR_DRIVER_NOT_LOADED ? "no driver" : "broken by the test";
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count) {
    *count = get(&found);
    return NVML_SUCCESS;
}

static unsigned int index_of(nvmlDevice_t device) {
    return (unsigned int)(uintptr_t)device - 1;
}

/* Whether a call about this device may go on. */
static nvmlReturn_t check(nvmlDevice_t device) {
    return __atomic_or_fetch(&bad, get(&fake_nvml.lost), __ATOMIC_SEQ_CST) & (1u << index_of(device)) ? NVML_ERROR_GPU_IS_LOST : NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device) {
    if (index >= get(&found))
        return NVML_ERROR_INVALID_ARGUMENT;
    *device = (nvmlDevice_t)(uintptr_t)(index + 1);
    return check(*device);
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned int length) {
    if (get(&fake_nvml.nameless) & (1u << index_of(device)))
        return NVML_ERROR_UNKNOWN;
    (void)snprintf(uuid, length, "GPU-AAAAAAAA-bbbb-cccc-dddd-%012x", index_of(device));
    return check(device);
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned int length) {
    (void)snprintf(name, length, "NVIDIA A100-SXM4-80GB");
    return check(device);
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory) {
    nvmlReturn_t result = check(device);

    while (get(&fake_nvml.hang))
        (void)usleep(1000);
    if (result != NVML_SUCCESS)
        return result;
    if (get(&fake_nvml.lame) & 4)
        return NVML_ERROR_NOT_SUPPORTED;
    *memory = (nvmlMemory_t){.total = 1000, .used = 300, .free = 700};
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *utilization) {
    if (get(&fake_nvml.lame) & 2)
        return NVML_ERROR_UNKNOWN;
    *utilization = (nvmlUtilization_t){.gpu = 42, .memory = 7};
    return check(device);
}

nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, nvmlTemperatureSensors_t sensor, unsigned int *degrees) {
    (void)sensor;
    *degrees = 55;
    return check(device);
}

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned int *milliwatts) {
    if (get(&fake_nvml.lame) & 1)
        return NVML_ERROR_NOT_SUPPORTED;
    *milliwatts = 123456;
    return check(device);
}

/* Two processes on each device, one of whose memory cannot be told. */
nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_t *processes) {
    if (get(&fake_nvml.lame) & 16)
        return NVML_ERROR_NOT_SUPPORTED;
    if (*count < 2)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    processes[0] = (nvmlProcessInfo_t){.pid = 10, .usedGpuMemory = 100};
    processes[1] = (nvmlProcessInfo_t){.pid = 11, .usedGpuMemory = ~0ull};
    *count = 2;
    return check(device);
}

nvmlReturn_t nvmlDeviceGetProcessUtilization(nvmlDevice_t device, nvmlProcessUtilizationSample_t *samples, unsigned int *count,
                                             unsigned long long since_us) {
    set(&fake_nvml.since_us, (uint32_t)since_us);
    if (get(&fake_nvml.lame) & 8)
        return NVML_ERROR_NOT_SUPPORTED;
    if (get(&fake_nvml.quiet))
        return NVML_ERROR_NOT_FOUND;
    samples[0] = (nvmlProcessUtilizationSample_t){.pid = 10, .timeStamp = 5000, .smUtil = 100};
    samples[1] = (nvmlProcessUtilizationSample_t){.pid = 99, .timeStamp = 7000, .smUtil = 80};
    samples[2] = (nvmlProcessUtilizationSample_t){.pid = 10, .timeStamp = 6000, .smUtil = 1};
    *count = 3;
    return check(device);
}
