/*
 * A stand-in for libcuda.so.1 that answers only what divvy's command line asks: two devices, or
 * whatever trouble FAKE_DRIVER names (none, broken, crash, hang).
 */
#include "cuda/driver.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

#define MEMORY_BYTES 17000000000u

/* Not when it plays the simulated driver. */
static int trouble(const char *name) {
    const char *set = getenv("FAKE_DRIVER");
    Dl_info self;

    return set && strcmp(set, name) == 0 && dladdr(&cuInit, &self) &&
           !strstr(self.dli_fname, "/simgpu/");
}

EXPORT CUresult cuInit(unsigned int Flags) {
    (void)Flags;
    if (trouble("crash"))
        abort();
    if (trouble("hang"))
        pause();
    if (trouble("broken"))
        return CUDA_ERROR_SYSTEM_DRIVER_MISMATCH;
    return trouble("none") ? CUDA_ERROR_NO_DEVICE : CUDA_SUCCESS;
}

EXPORT CUresult cuGetErrorName(CUresult error, const char **pStr) {
    *pStr = error == CUDA_ERROR_NO_DEVICE ? "CUDA_ERROR_NO_DEVICE"
                                          : "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH";
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDriverGetVersion(int *driverVersion) {
    *driverVersion = 12080;
    return CUDA_SUCCESS;
}

/*
 * CUDA counts the other way round than NVML does, unless told otherwise; visibility is by UUID
 * only.
 */
static int device_map(int ordinal, int *ret_index) {
    const char *visible = getenv("CUDA_VISIBLE_DEVICES"), *order = getenv("CUDA_DEVICE_ORDER");
    int reversed = !(order && strcmp(order, "PCI_BUS_ID") == 0);

    if (visible) {
        size_t length = strlen(visible);

        if (ordinal != 0 || length == 0)
            return -1;
        *ret_index = visible[length - 1] - '0';
        return *ret_index == 0 || *ret_index == 1 ? 0 : -1;
    }
    *ret_index = reversed ? 1 - ordinal : ordinal;
    return ordinal == 0 || ordinal == 1 ? 0 : -1;
}

EXPORT CUresult cuDeviceGetCount(int *count) {
    int index;

    *count = device_map(0, &index) < 0 ? 0 : device_map(1, &index) < 0 ? 1 : 2;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDeviceGet(CUdevice *device, int ordinal) {
    return device_map(ordinal, device) == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

EXPORT CUresult cuDeviceGetName(char *name, int len, CUdevice dev) {
    snprintf(name, (size_t)len, "Fake GPU %d", dev);
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDeviceGetUuid(CUuuid *uuid, CUdevice dev) {
    memset(uuid, 0x11, sizeof *uuid);
    ((unsigned char *)uuid)[15] = (unsigned char)(0x10 + dev);
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice dev) {
    (void)dev;
    *bytes = MEMORY_BYTES;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDeviceGetAttribute(int *pi, CUdevice_attribute attrib, CUdevice dev) {
    (void)dev;
    *pi = attrib == CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT ? 24 : 0;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDeviceGetPCIBusId(char *pciBusId, int len, CUdevice dev) {
    snprintf(pciBusId, (size_t)len, "0000:0%d:00.0", dev + 1);
    return CUDA_SUCCESS;
}
