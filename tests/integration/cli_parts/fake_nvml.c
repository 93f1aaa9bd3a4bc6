/*
 * A stand-in for libnvidia-ml.so.1 beside fake_cuda.c: the same two devices, in PCI order, with a
 * little more memory.
 */
#include "cuda/nvml.h"

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

EXPORT nvmlReturn_t nvmlInit_v2(void) {
    const char *trouble = getenv("FAKE_DRIVER");
    Dl_info self;

    /* Not when it plays the simulated driver. */
    if (dladdr(&nvmlInit_v2, &self) && strstr(self.dli_fname, "/simgpu/"))
        return NVML_SUCCESS;

    if (trouble && strcmp(trouble, "none") == 0)
        return NVML_ERROR_DRIVER_NOT_LOADED;
    return trouble ? NVML_ERROR_LIB_RM_VERSION_MISMATCH : NVML_SUCCESS;
}

EXPORT const char *nvmlErrorString(nvmlReturn_t result) {
    return result == NVML_ERROR_DRIVER_NOT_LOADED ? "Driver Not Loaded"
                                                  : "Driver/library version mismatch";
}

EXPORT nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *deviceCount) {
    *deviceCount = 2;
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device) {
    *device = (nvmlDevice_t)(uintptr_t)(index + 1);
    return NVML_SUCCESS;
}

static unsigned int index_of(nvmlDevice_t device) {
    return (unsigned int)(uintptr_t)device - 1;
}

EXPORT nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned int length) {
    snprintf(name, length, "Fake GPU %u", index_of(device));
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned int length) {
    snprintf(uuid, length, "GPU-11111111-1111-1111-1111-1111111111%02x", 0x10 + index_of(device));
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory) {
    (void)device;
    memory->total = 17100000000u;
    memory->used = 0;
    memory->free = memory->total;
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t *pci) {
    memset(pci, 0, sizeof *pci);
    snprintf(pci->busId, sizeof pci->busId, "00000000:0%u:00.0", index_of(device) + 1);
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetComputeMode(nvmlDevice_t device, nvmlComputeMode_t *mode) {
    (void)device;
    *mode =
        getenv("FAKE_EXCLUSIVE") ? NVML_COMPUTEMODE_EXCLUSIVE_PROCESS : NVML_COMPUTEMODE_DEFAULT;
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned int *currentMode,
                                         unsigned int *pendingMode) {
    (void)device;
    (void)currentMode;
    (void)pendingMode;
    return NVML_ERROR_NOT_SUPPORTED;
}
