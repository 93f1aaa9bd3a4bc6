/* The library and the system: versions, error texts, process names, and units, of which there are none. */
#include "simgpu/nvml/api.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* clang-format off */
#define RESULTS(X) \
    X(NVML_SUCCESS, "Success") \
    X(NVML_ERROR_UNINITIALIZED, "Uninitialized") \
    X(NVML_ERROR_INVALID_ARGUMENT, "Invalid Argument") \
    X(NVML_ERROR_NOT_SUPPORTED, "Not Supported") \
    X(NVML_ERROR_NO_PERMISSION, "Insufficient Permissions") \
    X(NVML_ERROR_ALREADY_INITIALIZED, "Already Initialized") \
    X(NVML_ERROR_NOT_FOUND, "Not Found") \
    X(NVML_ERROR_INSUFFICIENT_SIZE, "Insufficient Size") \
    X(NVML_ERROR_INSUFFICIENT_POWER, "Insufficient External Power") \
    X(NVML_ERROR_DRIVER_NOT_LOADED, "Driver Not Loaded") \
    X(NVML_ERROR_TIMEOUT, "Timeout") \
    X(NVML_ERROR_IRQ_ISSUE, "Interrupt Request Issue") \
    X(NVML_ERROR_LIBRARY_NOT_FOUND, "NVML Shared Library Not Found") \
    X(NVML_ERROR_FUNCTION_NOT_FOUND, "Function Not Found") \
    X(NVML_ERROR_CORRUPTED_INFOROM, "Corrupted infoROM") \
    X(NVML_ERROR_GPU_IS_LOST, "GPU is lost") \
    X(NVML_ERROR_RESET_REQUIRED, "GPU requires reset") \
    X(NVML_ERROR_OPERATING_SYSTEM, "GPU access blocked by the operating system") \
    X(NVML_ERROR_LIB_RM_VERSION_MISMATCH, "Driver/library version mismatch") \
    X(NVML_ERROR_IN_USE, "In use by another client") \
    X(NVML_ERROR_MEMORY, "Insufficient Memory") \
    X(NVML_ERROR_NO_DATA, "No data") \
    X(NVML_ERROR_VGPU_ECC_NOT_SUPPORTED, "The requested vgpu operation is not available on target device because ECC is enabled") \
    X(NVML_ERROR_INSUFFICIENT_RESOURCES, "Insufficient Resources") \
    X(NVML_ERROR_FREQ_NOT_SUPPORTED, "Requested frequency is not supported") \
    X(NVML_ERROR_ARGUMENT_VERSION_MISMATCH, "Argument version mismatch") \
    X(NVML_ERROR_DEPRECATED, "Requested functionality has been deprecated") \
    X(NVML_ERROR_NOT_READY, "System is not ready") \
    X(NVML_ERROR_GPU_NOT_FOUND, "GPU not found") \
    X(NVML_ERROR_INVALID_STATE, "Invalid State") \
    X(NVML_ERROR_RESET_TYPE_NOT_SUPPORTED, "Reset type not supported") \
    X(NVML_ERROR_UNKNOWN, "Unknown Error")
/* clang-format on */

const char *NVM(nvmlErrorString)(nvmlReturn_t result) {
    switch (result) {
#define RESULT_TEXT(code, text)                                                                    \
    case code:                                                                                     \
        return text;
        RESULTS(RESULT_TEXT)
    default:
        return "Unknown Error";
    }
}

nvmlReturn_t NVM(nvmlSystemGetDriverVersion)(char *version, unsigned int length) {
    char driver[DIVVY_NVML_DRIVER_BYTES];

    divvy_nvml_driver_version(driver);
    return divvy_nvml_text(driver, version, length);
}

nvmlReturn_t NVM(nvmlSystemGetNVMLVersion)(char *version, unsigned int length) {
    char driver[DIVVY_NVML_DRIVER_BYTES], text[DIVVY_NVML_DRIVER_BYTES + 3];

    divvy_nvml_driver_version(driver);
    (void)snprintf(text, sizeof(text), "13.%s", driver);
    return divvy_nvml_text(text, version, length);
}

nvmlReturn_t NVM(nvmlSystemGetCudaDriverVersion_v2)(int *cudaDriverVersion) {
    NVM_REQUIRE(cudaDriverVersion);
    *cudaDriverVersion = DIVVY_NVML_CUDA_VERSION;
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlSystemGetCudaDriverVersion)(int *cudaDriverVersion) {
    return NVM(nvmlSystemGetCudaDriverVersion_v2)(cudaDriverVersion);
}

nvmlReturn_t NVM(nvmlSystemGetDriverBranch)(nvmlSystemDriverBranchInfo_t *branchInfo,
                                            unsigned int length) {
    NVM_REQUIRE(branchInfo);
    if (branchInfo->version != NVML_STRUCT_VERSION(SystemDriverBranchInfo, 1))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    if (length > sizeof(branchInfo->branch))
        return NVML_ERROR_INVALID_ARGUMENT;
    return divvy_nvml_text("r580_00", branchInfo->branch, length);
}

/* The first word of the command line, cut to what fits, as the real library answers. */
nvmlReturn_t NVM(nvmlSystemGetProcessName)(unsigned int pid, char *name, unsigned int length) {
    char path[32], line[1024];
    ssize_t bytes;
    int fd;

    NVM_REQUIRE(name);
    if (length == 0)
        return NVML_ERROR_INVALID_ARGUMENT;
    (void)snprintf(path, sizeof(path), "/proc/%u/cmdline", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == EACCES ? NVML_ERROR_NO_PERMISSION : NVML_ERROR_NOT_FOUND;
    bytes = read(fd, line, sizeof(line) - 1);
    (void)close(fd);
    if (bytes <= 0)
        return NVML_ERROR_NOT_FOUND;
    line[bytes] = '\0';
    (void)snprintf(name, length, "%s", line);
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlSystemGetHicVersion)(unsigned int *hwbcCount, nvmlHwbcEntry_t *hwbcEntries) {
    NVM_REQUIRE(hwbcCount);
    (void)hwbcEntries;
    *hwbcCount = 0;
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlSystemGetConfComputeState)(nvmlConfComputeSystemState_t *state) {
    NVM_REQUIRE(state);
    *state = (nvmlConfComputeSystemState_t){.environment = NVML_CC_SYSTEM_ENVIRONMENT_UNAVAILABLE};
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlGetExcludedDeviceCount)(unsigned int *deviceCount) {
    NVM_REQUIRE(deviceCount);
    *deviceCount = 0;
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlGetExcludedDeviceInfoByIndex)(unsigned int index,
                                                   nvmlExcludedDeviceInfo_t *info) {
    (void)index;
    (void)info;
    return NVML_ERROR_INVALID_ARGUMENT; /* no excluded device has that number */
}

nvmlReturn_t NVM(nvmlUnitGetCount)(unsigned int *unitCount) {
    NVM_REQUIRE(unitCount);
    *unitCount = 0;
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlUnitGetHandleByIndex)(unsigned int index, nvmlUnit_t *unit) {
    (void)index;
    (void)unit;
    return NVML_ERROR_INVALID_ARGUMENT; /* no unit has that number */
}
