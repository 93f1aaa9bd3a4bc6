/*
 * What CUDA itself reports: cuMemGetInfo and cuDeviceTotalMem.
 */
#include "limiter/hook/process.h"
#include "limiter/hook/real.h"
#include "limiter/hook/table.h"
#include "limiter/memory/account.h"
#include "limiter/view/figures.h"

#include <limits.h>

static int current_device(void) {
    CUcontext context;

    return divvy_memory_passes() ? -1 : divvy_memory_current(&context);
}

CUresult divvy_hook_cuMemGetInfo_v2(size_t *free, size_t *total) {
    CUresult result = divvy_real.cuMemGetInfo_v2(free, total);
    struct divvy_figures figures;

    if (result == CUDA_SUCCESS && free && total &&
        divvy_view_figures(current_device(), *total, &figures)) {
        *free = figures.free_bytes;
        *total = figures.total_bytes;
    }
    return result;
}

static unsigned int narrow(uint64_t bytes) {
    return bytes > UINT_MAX ? UINT_MAX : (unsigned int)bytes;
}

/* 32-bit sizes, before CUDA 3.2. The physical size is asked for by the newer form. */
CUresult divvy_hook_cuMemGetInfo(unsigned int *free, unsigned int *total) {
    CUresult result = divvy_real.cuMemGetInfo(free, total);
    struct divvy_figures figures;

    if (result == CUDA_SUCCESS && free && total &&
        divvy_view_figures(current_device(), 0, &figures)) {
        *free = narrow(figures.free_bytes);
        *total = narrow(figures.total_bytes);
    }
    return result;
}

static int device_of(CUdevice ordinal) {
    return divvy_memory_passes() ? -1 : divvy_process_page_device(ordinal);
}

CUresult divvy_hook_cuDeviceTotalMem_v2(size_t *bytes, CUdevice dev) {
    CUresult result = divvy_real.cuDeviceTotalMem_v2(bytes, dev);
    struct divvy_figures figures;

    if (result == CUDA_SUCCESS && bytes && divvy_view_figures(device_of(dev), *bytes, &figures))
        *bytes = figures.total_bytes;
    return result;
}

CUresult divvy_hook_cuDeviceTotalMem(unsigned int *bytes, CUdevice dev) {
    CUresult result = divvy_real.cuDeviceTotalMem(bytes, dev);
    struct divvy_figures figures;

    if (result == CUDA_SUCCESS && bytes && divvy_view_figures(device_of(dev), 0, &figures))
        *bytes = narrow(figures.total_bytes);
    return result;
}
