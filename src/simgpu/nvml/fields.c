/* Field values: the same figures by number, many at a time. */
#include "simgpu/nvml/api.h"

typedef struct {
    nvmlValueType_t type;
    unsigned long long number;
} field_t;

static nvmlReturn_t as_unsigned(unsigned int number, field_t *ret_field) {
    *ret_field = (field_t){NVML_VALUE_TYPE_UNSIGNED_INT, number};
    return NVML_SUCCESS;
}

static nvmlReturn_t as_zero(nvmlValueType_t type, field_t *ret_field) {
    *ret_field = (field_t){type, 0};
    return NVML_SUCCESS;
}

static nvmlReturn_t power_field(nvmlDevice_t device, unsigned int id, field_t *ret_field) {
    unsigned int number = 0, other = 0;

    if (id == NVML_FI_DEV_POWER_AVERAGE || id == NVML_FI_DEV_POWER_INSTANT)
        NVM_TRY(NVM(nvmlDeviceGetPowerUsage)(device, &number));
    else if (id == NVML_FI_DEV_POWER_MIN_LIMIT)
        NVM_TRY(NVM(nvmlDeviceGetPowerManagementLimitConstraints)(device, &number, &other));
    else
        NVM_TRY(NVM(nvmlDeviceGetPowerManagementLimit)(device, &number));
    return as_unsigned(number, ret_field);
}

static nvmlReturn_t energy_field(nvmlDevice_t device, field_t *ret_field) {
    ret_field->type = NVML_VALUE_TYPE_UNSIGNED_LONG_LONG;
    return NVM(nvmlDeviceGetTotalEnergyConsumption)(device, &ret_field->number);
}

static nvmlReturn_t copied_field(nvmlDevice_t device, int direction, field_t *ret_field) {
    divvy_simgpu_status_t status;
    NVM_DEVICE(facts, device);

    NVM_TRY(divvy_nvml_result(divvy_simgpu_status(facts->index, &status)));
    return as_unsigned((unsigned int)status.copy_bytes[direction], ret_field); /* wraps, by contract */
}

static nvmlReturn_t field_read(nvmlDevice_t device, unsigned int id, field_t *ret_field) {
    unsigned int number = 0;

    if ((id >= NVML_FI_DEV_ECC_SBE_VOL_TOTAL && id <= NVML_FI_DEV_ECC_DBE_AGG_TOTAL))
        return as_zero(NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, ret_field);
    switch (id) {
    case NVML_FI_DEV_ECC_CURRENT:
    case NVML_FI_DEV_ECC_PENDING:
        return as_unsigned(NVML_FEATURE_ENABLED, ret_field);
    case NVML_FI_DEV_PCIE_REPLAY_COUNTER:
    case NVML_FI_DEV_PCIE_REPLAY_ROLLOVER_COUNTER:
        return as_zero(NVML_VALUE_TYPE_UNSIGNED_INT, ret_field);
    case NVML_FI_DEV_REMAPPED_COR:
    case NVML_FI_DEV_REMAPPED_UNC:
    case NVML_FI_DEV_REMAPPED_PENDING:
    case NVML_FI_DEV_REMAPPED_FAILURE:
    case NVML_FI_DEV_PERF_POLICY_POWER:
    case NVML_FI_DEV_PERF_POLICY_THERMAL:
    case NVML_FI_DEV_PERF_POLICY_SYNC_BOOST:
    case NVML_FI_DEV_PERF_POLICY_BOARD_LIMIT:
    case NVML_FI_DEV_PERF_POLICY_LOW_UTILIZATION:
    case NVML_FI_DEV_PERF_POLICY_RELIABILITY:
    case NVML_FI_DEV_PERF_POLICY_TOTAL_APP_CLOCKS:
    case NVML_FI_DEV_PERF_POLICY_TOTAL_BASE_CLOCKS:
        return as_zero(NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, ret_field);
    case NVML_FI_DEV_MEMORY_TEMP:
        NVM_TRY(NVM(nvmlDeviceGetTemperature)(device, NVML_TEMPERATURE_GPU, &number));
        return as_unsigned(number, ret_field);
    case NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION:
    case NVML_FI_DEV_ENERGY:
        return energy_field(device, ret_field);
    case NVML_FI_DEV_POWER_AVERAGE:
    case NVML_FI_DEV_POWER_INSTANT:
    case NVML_FI_DEV_POWER_MIN_LIMIT:
    case NVML_FI_DEV_POWER_MAX_LIMIT:
    case NVML_FI_DEV_POWER_DEFAULT_LIMIT:
    case NVML_FI_DEV_POWER_CURRENT_LIMIT:
    case NVML_FI_DEV_POWER_REQUESTED_LIMIT:
        return power_field(device, id, ret_field);
    case NVML_FI_DEV_PCIE_COUNT_TX_BYTES:
        return copied_field(device, 1, ret_field);
    case NVML_FI_DEV_PCIE_COUNT_RX_BYTES:
        return copied_field(device, 0, ret_field);
    default:
        return NVML_ERROR_NOT_SUPPORTED;
    }
}

/* The call succeeds as such; each value bears its own result. */
nvmlReturn_t NVM(nvmlDeviceGetFieldValues)(nvmlDevice_t device, int valuesCount,
                                           nvmlFieldValue_t *values) {
    NVM_DEVICE(facts, device);
    NVM_REQUIRE(values);
    if (valuesCount <= 0)
        return NVML_ERROR_INVALID_ARGUMENT;
    for (int i = 0; i < valuesCount; i++) {
        uint64_t start_ns = divvy_simgpu_now_ns();
        field_t field = {NVML_VALUE_TYPE_DOUBLE, 0};

        values[i].nvmlReturn = field_read(device, values[i].fieldId, &field);
        values[i].timestamp = (long long)divvy_nvml_stamp_us(start_ns);
        values[i].latencyUsec = (long long)((divvy_simgpu_now_ns() - start_ns) / 1000);
        if (values[i].nvmlReturn == NVML_SUCCESS) {
            values[i].valueType = field.type;
            values[i].value.ullVal = field.number;
        }
    }
    return NVML_SUCCESS;
}
