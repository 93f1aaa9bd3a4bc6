/* How busy a device is: from the engine's exact busy time, over sampling periods as an H200 has them. */
#include "simgpu/nvml/api.h"

#include <string.h>
#include <time.h>

/* Memory traffic of kernels is not modelled: that figure stays 0. */
nvmlReturn_t NVM(nvmlDeviceGetUtilizationRates)(nvmlDevice_t device, nvmlUtilization_t *utilization) {
    unsigned int permille;
    NVM_DEVICE(facts, device);

    NVM_REQUIRE(utilization);
    NVM_UNDIVIDED(facts);
    NVM_TRY(divvy_nvml_result(
        divvy_simgpu_utilisation(facts->index, 0, DIVVY_NVML_PERIOD_NS, &permille)));
    *utilization = (nvmlUtilization_t){.gpu = (permille + 5) / 10, .memory = 0};
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlDeviceGetDynamicPstatesInfo)(nvmlDevice_t device,
                                                  nvmlGpuDynamicPstatesInfo_t *pDynamicPstatesInfo) {
    nvmlUtilization_t rates;

    NVM_REQUIRE(pDynamicPstatesInfo);
    NVM_TRY(NVM(nvmlDeviceGetUtilizationRates)(device, &rates));
    memset(pDynamicPstatesInfo, 0, sizeof(*pDynamicPstatesInfo));
    for (int domain = 0; domain < 4; domain++)
        pDynamicPstatesInfo->utilization[domain].bIsPresent = 1;
    pDynamicPstatesInfo->utilization[NVML_GPU_UTILIZATION_DOMAIN_GPU].percentage = rates.gpu;
    return NVML_SUCCESS;
}

/* --- samples --------------------------------------------------------------------------------------- */

/* False for a type that has no samples here. */
static bool sample_value(const divvy_simgpu_device_t *facts, nvmlSamplingType_t type,
                         unsigned int busy_permille, unsigned int *ret_value) {
    switch (type) {
    case NVML_TOTAL_POWER_SAMPLES:
        *ret_value = divvy_nvml_power_mw(facts, busy_permille);
        return true;
    case NVML_GPU_UTILIZATION_SAMPLES:
        *ret_value = (busy_permille + 5) / 10;
        return true;
    case NVML_MEMORY_UTILIZATION_SAMPLES:
    case NVML_ENC_UTILIZATION_SAMPLES:
    case NVML_DEC_UTILIZATION_SAMPLES:
    case NVML_JPG_UTILIZATION_SAMPLES:
    case NVML_OFA_UTILIZATION_SAMPLES:
        *ret_value = 0;
        return true;
    case NVML_PROCESSOR_CLK_SAMPLES:
        *ret_value = facts->sm_clock_khz / 1000;
        return true;
    case NVML_MEMORY_CLK_SAMPLES:
        *ret_value = facts->memory_clock_khz / 1000;
        return true;
    default:
        return false;
    }
}

/* With no buffer the answer is how many there can be; with one, the newest that fit and are newer than asked. */
nvmlReturn_t NVM(nvmlDeviceGetSamples)(nvmlDevice_t device, nvmlSamplingType_t type,
                                       unsigned long long lastSeenTimeStamp,
                                       nvmlValueType_t *sampleValType, unsigned int *sampleCount,
                                       nvmlSample_t *samples) {
    divvy_nvml_period_t periods[DIVVY_NVML_PERIODS_MAX];
    unsigned int value;
    size_t found, first = 0;
    NVM_DEVICE(facts, device);

    NVM_REQUIRE(sampleValType);
    NVM_REQUIRE(sampleCount);
    if (!sample_value(facts, type, 0, &value) || (samples != NULL && *sampleCount == 0))
        return NVML_ERROR_INVALID_ARGUMENT;
    if (type != NVML_TOTAL_POWER_SAMPLES && type != NVML_PROCESSOR_CLK_SAMPLES &&
        type != NVML_MEMORY_CLK_SAMPLES)
        NVM_UNDIVIDED(facts);
    *sampleValType = NVML_VALUE_TYPE_UNSIGNED_INT;
    if (samples == NULL) {
        *sampleCount = DIVVY_NVML_PERIODS_MAX;
        return NVML_SUCCESS;
    }
    NVM_TRY(divvy_nvml_result(
        divvy_nvml_periods(facts->index, 0, lastSeenTimeStamp, periods, &found)));
    if (found == 0)
        return NVML_ERROR_NOT_FOUND;
    if (found > *sampleCount)
        first = found - *sampleCount;
    for (size_t i = first; i < found; i++) {
        (void)sample_value(facts, type, periods[i].busy_permille, &value);
        memset(&samples[i - first], 0, sizeof(samples[0]));
        samples[i - first].timeStamp = periods[i].end_us;
        samples[i - first].sampleValue.uiVal = value;
    }
    *sampleCount = (unsigned int)(found - first);
    return NVML_SUCCESS;
}

/* --- the link to the host ------------------------------------------------------------------------------ */

/* KB/s over the next 20 ms: like the real library the call takes that long. Sent means sent by the device. */
nvmlReturn_t NVM(nvmlDeviceGetPcieThroughput)(nvmlDevice_t device, nvmlPcieUtilCounter_t counter,
                                              unsigned int *value) {
    const struct timespec window = {.tv_nsec = 20000000};
    divvy_simgpu_status_t before, after;
    uint64_t bytes, elapsed_ns;
    int direction = counter == NVML_PCIE_UTIL_TX_BYTES ? 1 : 0;
    NVM_DEVICE(facts, device);

    NVM_REQUIRE(value);
    if ((unsigned int)counter >= NVML_PCIE_UTIL_COUNT)
        return NVML_ERROR_INVALID_ARGUMENT;
    NVM_TRY(divvy_nvml_result(divvy_simgpu_status(facts->index, &before)));
    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &window, NULL);
    NVM_TRY(divvy_nvml_result(divvy_simgpu_status(facts->index, &after)));
    bytes = after.copy_bytes[direction] - before.copy_bytes[direction];
    elapsed_ns = after.now_ns > before.now_ns ? after.now_ns - before.now_ns : 1;
    *value = (unsigned int)((double)bytes / 1000.0 / ((double)elapsed_ns / 1e9));
    return NVML_SUCCESS;
}

/* --- video sessions, of which there are never any --------------------------------------------------------- */

nvmlReturn_t NVM(nvmlDeviceGetEncoderStats)(nvmlDevice_t device, unsigned int *sessionCount,
                                            unsigned int *averageFps, unsigned int *averageLatency) {
    NVM_DEVICE(facts, device);
    NVM_REQUIRE(sessionCount);
    NVM_REQUIRE(averageFps);
    NVM_REQUIRE(averageLatency);
    *sessionCount = *averageFps = *averageLatency = 0;
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlDeviceGetEncoderSessions)(nvmlDevice_t device, unsigned int *sessionCount,
                                               nvmlEncoderSessionInfo_t *sessionInfos) {
    NVM_DEVICE(facts, device);
    NVM_REQUIRE(sessionCount);
    (void)sessionInfos;
    *sessionCount = 0;
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlDeviceGetFBCStats)(nvmlDevice_t device, nvmlFBCStats_t *fbcStats) {
    NVM_DEVICE(facts, device);
    NVM_REQUIRE(fbcStats);
    memset(fbcStats, 0, sizeof(*fbcStats));
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlDeviceGetFBCSessions)(nvmlDevice_t device, unsigned int *sessionCount,
                                           nvmlFBCSessionInfo_t *sessionInfo) {
    NVM_DEVICE(facts, device);
    NVM_REQUIRE(sessionCount);
    (void)sessionInfo;
    *sessionCount = 0;
    return NVML_SUCCESS;
}
