/* Power, energy and temperature: a plain model on top of the exact busy time. */
#include "simgpu/nvml/api.h"

#include "core/checked.h"

#include <string.h>

/* Degrees Celsius: idle, and what full load adds; the thresholds are those of an H200. */
enum {
    IDLE_C = 36,
    LOAD_C = 38,
    MAX_C = 87,
    SLOWDOWN_C = 89,
    SHUTDOWN_C = 95,
    MEMORY_MAX_C = 95,
};

/* Temperature follows load more slowly than power does. */
#define TEMPERATURE_WINDOW_NS UINT64_C(1000000000)

static int temperature(const divvy_simgpu_device_t *facts) {
    unsigned int permille = 0;

    (void)divvy_simgpu_utilisation(facts->index, 0, TEMPERATURE_WINDOW_NS, &permille);
    return IDLE_C + (int)(LOAD_C * permille / 1000);
}

/* --- power ---------------------------------------------------------------------------------------- */

#define POWER(symbol, argument, value)                                                             \
    nvmlReturn_t NVM(symbol)(nvmlDevice_t device, unsigned int *argument) {                        \
        NVM_DEVICE(facts, device);                                                                 \
        NVM_REQUIRE(argument);                                                                     \
        *argument = (value);                                                                       \
        return NVML_SUCCESS;                                                                       \
    }

POWER(nvmlDeviceGetPowerUsage, power,
      divvy_nvml_power_mw(facts, divvy_nvml_busy_permille(facts->index)))
POWER(nvmlDeviceGetPowerManagementLimit, limit, facts->power_limit_mw)
POWER(nvmlDeviceGetPowerManagementDefaultLimit, defaultLimit, facts->power_limit_mw)
POWER(nvmlDeviceGetEnforcedPowerLimit, limit, facts->power_limit_mw)

/* The limit cannot be changed, so both ends are the limit. */
nvmlReturn_t NVM(nvmlDeviceGetPowerManagementLimitConstraints)(nvmlDevice_t device,
                                                               unsigned int *minLimit,
                                                               unsigned int *maxLimit) {
    NVM_DEVICE(facts, device);
    NVM_REQUIRE(minLimit);
    NVM_REQUIRE(maxLimit);
    *minLimit = *maxLimit = facts->power_limit_mw;
    return NVML_SUCCESS;
}

/* The integral of the power that the model draws, since the machine was made; millijoules. */
nvmlReturn_t NVM(nvmlDeviceGetTotalEnergyConsumption)(nvmlDevice_t device,
                                                      unsigned long long *energy) {
    divvy_simgpu_status_t status;
    uint64_t idle_mj, busy_mj;
    NVM_DEVICE(facts, device);

    NVM_REQUIRE(energy);
    NVM_TRY(divvy_nvml_result(divvy_simgpu_status(facts->index, &status)));
    idle_mj = divvy_core_u64_scale(status.now_ns - status.created_ns, facts->power_idle_mw,
                                   UINT64_C(1000000000));
    busy_mj = divvy_core_u64_scale(
        status.busy_ns,
        divvy_core_u64_sub_floored(facts->power_limit_mw, facts->power_idle_mw),
        UINT64_C(1000000000));
    *energy = idle_mj + busy_mj;
    return NVML_SUCCESS;
}

/* --- temperature ------------------------------------------------------------------------------------ */

nvmlReturn_t NVM(nvmlDeviceGetTemperature)(nvmlDevice_t device, nvmlTemperatureSensors_t sensorType,
                                           unsigned int *temp) {
    NVM_DEVICE(facts, device);
    NVM_REQUIRE(temp);
    if (sensorType != NVML_TEMPERATURE_GPU)
        return NVML_ERROR_INVALID_ARGUMENT;
    *temp = (unsigned int)temperature(facts);
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlDeviceGetTemperatureV)(nvmlDevice_t device, nvmlTemperature_t *reading) {
    NVM_DEVICE(facts, device);
    NVM_REQUIRE(reading);
    if (reading->version != NVML_STRUCT_VERSION(Temperature, 1))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    if (reading->sensorType != NVML_TEMPERATURE_GPU)
        return NVML_ERROR_INVALID_ARGUMENT;
    reading->temperature = temperature(facts);
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlDeviceGetMarginTemperature)(nvmlDevice_t device,
                                                 nvmlMarginTemperature_t *marginTempInfo) {
    NVM_DEVICE(facts, device);
    NVM_REQUIRE(marginTempInfo);
    if (marginTempInfo->version != NVML_STRUCT_VERSION(MarginTemperature, 1))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    marginTempInfo->marginTemperature = MAX_C - temperature(facts);
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlDeviceGetTemperatureThreshold)(nvmlDevice_t device,
                                                    nvmlTemperatureThresholds_t thresholdType,
                                                    unsigned int *temp) {
    NVM_DEVICE(facts, device);
    NVM_REQUIRE(temp);
    switch (thresholdType) {
    case NVML_TEMPERATURE_THRESHOLD_SHUTDOWN:
        *temp = SHUTDOWN_C;
        return NVML_SUCCESS;
    case NVML_TEMPERATURE_THRESHOLD_SLOWDOWN:
        *temp = SLOWDOWN_C;
        return NVML_SUCCESS;
    case NVML_TEMPERATURE_THRESHOLD_MEM_MAX:
        *temp = MEMORY_MAX_C;
        return NVML_SUCCESS;
    case NVML_TEMPERATURE_THRESHOLD_GPU_MAX:
        *temp = MAX_C;
        return NVML_SUCCESS;
    default:
        return (unsigned int)thresholdType < NVML_TEMPERATURE_THRESHOLD_COUNT
                   ? NVML_ERROR_NOT_SUPPORTED
                   : NVML_ERROR_INVALID_ARGUMENT;
    }
}

nvmlReturn_t NVM(nvmlDeviceGetThermalSettings)(nvmlDevice_t device, unsigned int sensorIndex,
                                               nvmlGpuThermalSettings_t *pThermalSettings) {
    NVM_DEVICE(facts, device);
    NVM_REQUIRE(pThermalSettings);
    if (sensorIndex != 0 && sensorIndex != NVML_THERMAL_TARGET_ALL)
        return NVML_ERROR_INVALID_ARGUMENT;
    memset(pThermalSettings, 0, sizeof(*pThermalSettings));
    pThermalSettings->count = 1;
    pThermalSettings->sensor[0].controller = NVML_THERMAL_CONTROLLER_GPU_INTERNAL;
    pThermalSettings->sensor[0].defaultMaxTemp = SHUTDOWN_C;
    pThermalSettings->sensor[0].currentTemp = temperature(facts);
    pThermalSettings->sensor[0].target = NVML_THERMAL_TARGET_GPU;
    return NVML_SUCCESS;
}

/* --- fans: a datacentre board has none -------------------------------------------------------------------- */

nvmlReturn_t NVM(nvmlDeviceGetFanSpeed_v2)(nvmlDevice_t device, unsigned int fan,
                                           unsigned int *speed) {
    NVM_DEVICE(facts, device);
    NVM_REQUIRE(speed);
    (void)fan;
    return NVML_ERROR_INVALID_ARGUMENT; /* no fan has that number */
}
