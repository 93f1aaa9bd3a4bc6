/*
 * Arrays and mipmapped arrays. Sparse and deferred-mapping arrays have no memory of their own: what
 * is mapped into them was charged by cuMemCreate.
 */
#include "limiter/hook/real.h"
#include "limiter/hook/table.h"
#include "limiter/memory/account.h"
#include "limiter/memory/array_size.h"
#include "limiter/memory/vmm.h"

#include <errno.h>

#define NO_MEMORY_OF_ITS_OWN (CUDA_ARRAY3D_SPARSE | CUDA_ARRAY3D_DEFERRED_MAPPING)

static uint64_t bytes_1(const CUDA_ARRAY_DESCRIPTOR_v1 *descriptor) {
    return divvy_array_bytes(descriptor->Width, descriptor->Height, 0, descriptor->Format,
                             descriptor->NumChannels);
}

static uint64_t bytes_2(const CUDA_ARRAY_DESCRIPTOR *descriptor) {
    return divvy_array_bytes(descriptor->Width, descriptor->Height, 0, descriptor->Format,
                             descriptor->NumChannels);
}

static uint64_t bytes_3d_1(const CUDA_ARRAY3D_DESCRIPTOR_v1 *descriptor) {
    return divvy_array_bytes(descriptor->Width, descriptor->Height, descriptor->Depth,
                             descriptor->Format, descriptor->NumChannels);
}

static uint64_t bytes_3d_2(const CUDA_ARRAY3D_DESCRIPTOR *descriptor) {
    if (descriptor->Flags & NO_MEMORY_OF_ITS_OWN)
        return 0;
    return divvy_array_bytes(descriptor->Width, descriptor->Height, descriptor->Depth,
                             descriptor->Format, descriptor->NumChannels);
}

static uint64_t bytes_mipmap(const CUDA_ARRAY3D_DESCRIPTOR *descriptor, unsigned int levels) {
    return descriptor->Flags & NO_MEMORY_OF_ITS_OWN ? 0 : divvy_mipmap_bytes(descriptor, levels);
}

static CUresult record(divvy_record_kind_t kind, const void *handle, uint64_t bytes, int device,
                       CUcontext context) {
    struct divvy_record entry = {.kind = (uint16_t)kind,
                                 .key = (uint64_t)(uintptr_t)handle,
                                 .bytes = bytes,
                                 .owner = (uint64_t)(uintptr_t)context,
                                 .device = (uint8_t)device};

    return divvy_memory_record(&entry);
}

#define CREATED(symbol, parameters, arguments, descriptor, size, record_kind, destroy)             \
    CUresult divvy_hook_##symbol parameters {                                                      \
        CUcontext context;                                                                         \
        CUresult result;                                                                           \
        uint64_t bytes;                                                                            \
        int device;                                                                                \
                                                                                                   \
        if (divvy_memory_passes())                                                                 \
            return divvy_process_is_refused() ? CUDA_ERROR_NOT_PERMITTED                           \
                                              : divvy_real.symbol arguments;                       \
        device = divvy_memory_current(&context);                                                   \
        if (device < 0 || !pHandle || !descriptor)                                                 \
            return divvy_real.symbol arguments;                                                    \
        bytes = size;                                                                              \
        if (divvy_memory_reserve(device, bytes) < 0)                                               \
            return CUDA_ERROR_OUT_OF_MEMORY;                                                       \
        result = DIVVY_MEMORY_DRIVER(divvy_real.symbol arguments);                                 \
        if (result == CUDA_SUCCESS &&                                                              \
            record(record_kind, *pHandle, bytes, device, context) != CUDA_SUCCESS) {               \
            (void)DIVVY_MEMORY_DRIVER(divvy_real.destroy(*pHandle));                               \
            result = CUDA_ERROR_OUT_OF_MEMORY;                                                     \
        }                                                                                          \
        if (result != CUDA_SUCCESS)                                                                \
            divvy_memory_credit(device, bytes);                                                    \
        return result;                                                                             \
    }

CREATED(cuArrayCreate, (CUarray * pHandle, const CUDA_ARRAY_DESCRIPTOR_v1 *pAllocateArray),
        (pHandle, pAllocateArray), pAllocateArray, bytes_1(pAllocateArray), DIVVY_RECORD_ARRAY,
        cuArrayDestroy)
CREATED(cuArrayCreate_v2, (CUarray * pHandle, const CUDA_ARRAY_DESCRIPTOR *pAllocateArray),
        (pHandle, pAllocateArray), pAllocateArray, bytes_2(pAllocateArray), DIVVY_RECORD_ARRAY,
        cuArrayDestroy)
CREATED(cuArray3DCreate, (CUarray * pHandle, const CUDA_ARRAY3D_DESCRIPTOR_v1 *pAllocateArray),
        (pHandle, pAllocateArray), pAllocateArray, bytes_3d_1(pAllocateArray), DIVVY_RECORD_ARRAY,
        cuArrayDestroy)
CREATED(cuArray3DCreate_v2, (CUarray * pHandle, const CUDA_ARRAY3D_DESCRIPTOR *pAllocateArray),
        (pHandle, pAllocateArray), pAllocateArray, bytes_3d_2(pAllocateArray), DIVVY_RECORD_ARRAY,
        cuArrayDestroy)
CREATED(cuMipmappedArrayCreate,
        (CUmipmappedArray * pHandle, const CUDA_ARRAY3D_DESCRIPTOR *pMipmappedArrayDesc,
         unsigned int numMipmapLevels),
        (pHandle, pMipmappedArrayDesc, numMipmapLevels), pMipmappedArrayDesc,
        bytes_mipmap(pMipmappedArrayDesc, numMipmapLevels), DIVVY_RECORD_MIPMAP,
        cuMipmappedArrayDestroy)

#define DESTROYED(symbol, type, record_kind)                                                       \
    CUresult divvy_hook_##symbol(type handle) {                                                    \
        struct divvy_record entry, old;                                                            \
        CUresult result;                                                                           \
        bool known;                                                                                \
                                                                                                   \
        if (divvy_memory_passes())                                                                 \
            return divvy_real.symbol(handle);                                                      \
        known = divvy_table_take(record_kind, (uint64_t)(uintptr_t)handle, &entry);                \
        result = DIVVY_MEMORY_DRIVER(divvy_real.symbol(handle));                                   \
        if (known && result != CUDA_SUCCESS)                                                       \
            (void)divvy_table_put(&entry, &old);                                                   \
        else if (known)                                                                            \
            divvy_memory_credit(entry.device, entry.bytes);                                        \
        if (result == CUDA_SUCCESS)                                                                \
            divvy_vmm_array_destroyed((uint64_t)(uintptr_t)handle);                                \
        return result;                                                                             \
    }

DESTROYED(cuArrayDestroy, CUarray, DIVVY_RECORD_ARRAY)
DESTROYED(cuMipmappedArrayDestroy, CUmipmappedArray, DIVVY_RECORD_MIPMAP)
