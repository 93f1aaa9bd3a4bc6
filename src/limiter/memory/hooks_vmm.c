/*
 * Virtual memory management: physical memory is charged when it is created, on the device that its
 * properties name (there need not be any context), and credited when neither a handle nor a mapping
 * of it is left.
 */
#include "limiter/hook/real.h"
#include "limiter/hook/table.h"
#include "limiter/memory/account.h"
#include "limiter/memory/vmm.h"

#include <errno.h>

CUresult divvy_hook_cuMemCreate(CUmemGenericAllocationHandle *handle, size_t size,
                                const CUmemAllocationProp *prop, unsigned long long flags) {
    int device = -1;
    CUresult result;

    if (divvy_memory_passes())
        return divvy_process_is_refused() ? CUDA_ERROR_NOT_PERMITTED
                                          : divvy_real.cuMemCreate(handle, size, prop, flags);
    if (prop && prop->location.type == CU_MEM_LOCATION_TYPE_DEVICE)
        device = divvy_process_page_device(prop->location.id);
    if (!handle || device < 0) {
        result = divvy_real.cuMemCreate(handle, size, prop, flags);
        return result;
    }
    if (divvy_memory_reserve(device, size) < 0)
        return CUDA_ERROR_OUT_OF_MEMORY;
    result = DIVVY_MEMORY_DRIVER(divvy_real.cuMemCreate(handle, size, prop, flags));
    if (result == CUDA_SUCCESS && divvy_vmm_created(*handle, device, size) != CUDA_SUCCESS) {
        (void)DIVVY_MEMORY_DRIVER(divvy_real.cuMemRelease(*handle));
        result = CUDA_ERROR_OUT_OF_MEMORY;
    }
    if (result != CUDA_SUCCESS)
        divvy_memory_credit(device, size);
    return result;
}

CUresult divvy_hook_cuMemRelease(CUmemGenericAllocationHandle handle) {
    CUresult result;

    if (divvy_memory_passes())
        return divvy_real.cuMemRelease(handle);
    result = DIVVY_MEMORY_DRIVER(divvy_real.cuMemRelease(handle));
    if (result == CUDA_SUCCESS)
        divvy_vmm_released(handle);
    return result;
}

CUresult divvy_hook_cuMemRetainAllocationHandle(CUmemGenericAllocationHandle *handle, void *addr) {
    CUresult result = divvy_real.cuMemRetainAllocationHandle(handle, addr);

    if (result == CUDA_SUCCESS && !divvy_memory_passes())
        divvy_vmm_retained(*handle, (uint64_t)(uintptr_t)addr);
    return result;
}

CUresult divvy_hook_cuMemImportFromShareableHandle(CUmemGenericAllocationHandle *handle,
                                                   void *osHandle,
                                                   CUmemAllocationHandleType shHandleType) {
    CUresult result = divvy_real.cuMemImportFromShareableHandle(handle, osHandle, shHandleType);

    if (result == CUDA_SUCCESS && !divvy_memory_passes())
        (void)divvy_vmm_created(*handle, -1, 0);
    return result;
}

CUresult divvy_hook_cuMemMap(CUdeviceptr ptr, size_t size, size_t offset,
                             CUmemGenericAllocationHandle handle, unsigned long long flags) {
    CUresult result = divvy_real.cuMemMap(ptr, size, offset, handle, flags);

    if (result == CUDA_SUCCESS && !divvy_memory_passes())
        divvy_vmm_mapped(ptr, size, handle);
    return result;
}

CUresult divvy_hook_cuMemUnmap(CUdeviceptr ptr, size_t size) {
    CUresult result = DIVVY_MEMORY_DRIVER(divvy_real.cuMemUnmap(ptr, size));

    if (result == CUDA_SUCCESS && !divvy_memory_passes())
        divvy_vmm_unmapped(ptr, size);
    return result;
}

/* After the call: which arrays hold which memory now. */
static void arrays_mapped(const CUarrayMapInfo *list, unsigned int count) {
    for (unsigned int i = 0; i < count; i++) {
        const CUarrayMapInfo *info = &list[i];
        uint64_t array = info->resourceType == CU_RESOURCE_TYPE_MIPMAPPED_ARRAY
                             ? (uint64_t)(uintptr_t)info->resource.mipmap
                             : (uint64_t)(uintptr_t)info->resource.array;

        if (info->memOperationType == CU_MEM_OPERATION_TYPE_MAP &&
            info->memHandleType == CU_MEM_HANDLE_TYPE_GENERIC)
            divvy_vmm_array_holds(array, info->memHandle.memHandle);
    }
}

#define MAP_ARRAY(symbol)                                                                          \
    CUresult divvy_hook_##symbol(CUarrayMapInfo *mapInfoList, unsigned int count,                  \
                                 CUstream hStream) {                                               \
        CUresult result = divvy_real.symbol(mapInfoList, count, hStream);                          \
                                                                                                   \
        if (result == CUDA_SUCCESS && mapInfoList && !divvy_memory_passes())                       \
            arrays_mapped(mapInfoList, count);                                                     \
        return result;                                                                             \
    }

MAP_ARRAY(cuMemMapArrayAsync)
MAP_ARRAY(cuMemMapArrayAsync_ptsz)
