/* ECC, row remapping and repair: switched on where an H200 has them, and nothing ever went wrong. */
#include "simgpu/nvml/api.h"

#include <string.h>

static bool ecc_arguments_valid(nvmlMemoryErrorType_t errorType, nvmlEccCounterType_t counterType) {
    return (unsigned int)errorType < NVML_MEMORY_ERROR_TYPE_COUNT &&
           (unsigned int)counterType < NVML_ECC_COUNTER_TYPE_COUNT;
}

nvmlReturn_t NVM(nvmlDeviceGetTotalEccErrors)(nvmlDevice_t device, nvmlMemoryErrorType_t errorType,
                                              nvmlEccCounterType_t counterType,
                                              unsigned long long *eccCounts) {
    NVM_DEVICE(facts, device);
    NVM_REQUIRE(eccCounts);
    if (!ecc_arguments_valid(errorType, counterType))
        return NVML_ERROR_INVALID_ARGUMENT;
    *eccCounts = 0;
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlDeviceGetDetailedEccErrors)(nvmlDevice_t device,
                                                 nvmlMemoryErrorType_t errorType,
                                                 nvmlEccCounterType_t counterType,
                                                 nvmlEccErrorCounts_t *eccCounts) {
    NVM_DEVICE(facts, device);
    NVM_REQUIRE(eccCounts);
    if (!ecc_arguments_valid(errorType, counterType))
        return NVML_ERROR_INVALID_ARGUMENT;
    memset(eccCounts, 0, sizeof(*eccCounts));
    return NVML_SUCCESS;
}

/* Parts of this generation count per kind of memory, no longer per cache. */
nvmlReturn_t NVM(nvmlDeviceGetMemoryErrorCounter)(nvmlDevice_t device,
                                                  nvmlMemoryErrorType_t errorType,
                                                  nvmlEccCounterType_t counterType,
                                                  nvmlMemoryLocation_t locationType,
                                                  unsigned long long *count) {
    NVM_DEVICE(facts, device);
    NVM_REQUIRE(count);
    if (!ecc_arguments_valid(errorType, counterType) ||
        (unsigned int)locationType >= NVML_MEMORY_LOCATION_COUNT)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (locationType != NVML_MEMORY_LOCATION_DRAM && locationType != NVML_MEMORY_LOCATION_SRAM)
        return NVML_ERROR_NOT_SUPPORTED;
    *count = 0;
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlDeviceGetSramEccErrorStatus)(nvmlDevice_t device,
                                                  nvmlEccSramErrorStatus_t *status) {
    NVM_DEVICE(facts, device);
    NVM_REQUIRE(status);
    if (status->version != NVML_STRUCT_VERSION(EccSramErrorStatus, 1))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    *status = (nvmlEccSramErrorStatus_t){.version = status->version};
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlDeviceGetRemappedRows)(nvmlDevice_t device, unsigned int *corrRows,
                                            unsigned int *uncRows, unsigned int *isPending,
                                            unsigned int *failureOccurred) {
    NVM_DEVICE(facts, device);
    NVM_REQUIRE(corrRows);
    NVM_REQUIRE(uncRows);
    NVM_REQUIRE(isPending);
    NVM_REQUIRE(failureOccurred);
    *corrRows = *uncRows = *isPending = *failureOccurred = 0;
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlDeviceGetRowRemapperHistogram)(nvmlDevice_t device,
                                                    nvmlRowRemapperHistogramValues_t *values) {
    NVM_DEVICE(facts, device);
    NVM_REQUIRE(values);
    *values = (nvmlRowRemapperHistogramValues_t){.max = 3072};
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlDeviceGetRepairStatus)(nvmlDevice_t device, nvmlRepairStatus_t *repairStatus) {
    NVM_DEVICE(facts, device);
    NVM_REQUIRE(repairStatus);
    if (repairStatus->version != NVML_STRUCT_VERSION(RepairStatus, 1))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    *repairStatus = (nvmlRepairStatus_t){.version = repairStatus->version};
    return NVML_SUCCESS;
}
