/* What a pointer is. */
#include "simgpu/driver/memory.h"
#include "simgpu/driver/pool.h"

#include <string.h>

static const struct {
    CUpointer_attribute attribute;
    size_t bytes;
} sizes[] = {
    {CU_POINTER_ATTRIBUTE_CONTEXT, sizeof(CUcontext)},
    {CU_POINTER_ATTRIBUTE_MEMORY_TYPE, sizeof(CUmemorytype)},
    {CU_POINTER_ATTRIBUTE_DEVICE_POINTER, sizeof(CUdeviceptr)},
    {CU_POINTER_ATTRIBUTE_HOST_POINTER, sizeof(void *)},
    {CU_POINTER_ATTRIBUTE_SYNC_MEMOPS, sizeof(int)},
    {CU_POINTER_ATTRIBUTE_BUFFER_ID, sizeof(unsigned long long)},
    {CU_POINTER_ATTRIBUTE_IS_MANAGED, sizeof(int)},
    {CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, sizeof(int)},
    {CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE, sizeof(int)},
    {CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, sizeof(CUdeviceptr)},
    {CU_POINTER_ATTRIBUTE_RANGE_SIZE, sizeof(size_t)},
    {CU_POINTER_ATTRIBUTE_MAPPED, sizeof(int)},
    {CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES, sizeof(cuuint64_t)},
    {CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE, sizeof(int)},
    {CU_POINTER_ATTRIBUTE_ACCESS_FLAGS, sizeof(CUDA_POINTER_ATTRIBUTE_ACCESS_FLAGS)},
    {CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE, sizeof(CUmemoryPool)},
    {CU_POINTER_ATTRIBUTE_MAPPING_SIZE, sizeof(size_t)},
    {CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR, sizeof(CUdeviceptr)},
    {CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID, sizeof(cuuint64_t)},
    {CU_POINTER_ATTRIBUTE_IS_HW_DECOMPRESS_CAPABLE, sizeof(int)},
};

static size_t size_of(CUpointer_attribute attribute) {
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        if (sizes[i].attribute == attribute)
            return sizes[i].bytes;
    return 0;
}

static uint64_t handle_types(const divvy_drv_mem_t *mem) {
    CUmemAllocationProp props;
    if (mem->kind == DRV_MEM_MAPPED &&
        DRV(cuMemGetAllocationPropertiesFromHandle)(&props, mem->handle) == CUDA_SUCCESS)
        return (uint64_t)props.requestedHandleTypes;
    if (mem->kind == DRV_MEM_POOL)
        return (uint64_t)((divvy_drv_pool_t *)mem->owner)->props.handleTypes;
    return 0;
}

/* The value as a number of the attribute's size; false when such memory has no such attribute. */
static bool value_of(const divvy_drv_mem_t *mem, CUdeviceptr ptr, CUpointer_attribute attribute,
                     uint64_t *ret_value) {
    bool host = mem->kind & DRV_MEM_ON_HOST;
    switch (attribute) {
    case CU_POINTER_ATTRIBUTE_CONTEXT:
        *ret_value = mem->context ? (uintptr_t)mem->context->handle : 0;
        return true;
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
        *ret_value = host ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE;
        return true;
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
        *ret_value = ptr;
        return true;
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
        *ret_value = ptr;
        return host || mem->kind == DRV_MEM_MANAGED;
    case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
        *ret_value = mem->sync_memops;
        return true;
    case CU_POINTER_ATTRIBUTE_BUFFER_ID:
    case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID:
        *ret_value = mem->id;
        return true;
    case CU_POINTER_ATTRIBUTE_IS_MANAGED:
        *ret_value = mem->kind == DRV_MEM_MANAGED;
        return true;
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
        *ret_value =
            (uint64_t)(host ? mem->context->ordinal : divvy_drv_device_ordinal(mem->device));
        return true;
    case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
        *ret_value = mem->kind == DRV_MEM_LINEAR || mem->kind == DRV_MEM_GLOBAL;
        return true;
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
    case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR:
        *ret_value = mem->address;
        return true;
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
    case CU_POINTER_ATTRIBUTE_MAPPING_SIZE:
        *ret_value = mem->bytes;
        return true;
    case CU_POINTER_ATTRIBUTE_MAPPED:
        *ret_value = 1;
        return true;
    case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
        *ret_value = handle_types(mem);
        return true;
    case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
        *ret_value = mem->kind == DRV_MEM_MAPPED
                         ? (mem->writers   ? CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READWRITE
                            : mem->readers ? CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READ
                                           : CU_POINTER_ATTRIBUTE_ACCESS_FLAG_NONE)
                         : CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READWRITE;
        return true;
    case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE:
        *ret_value =
            mem->kind == DRV_MEM_POOL ? (uintptr_t)((divvy_drv_pool_t *)mem->owner)->handle : 0;
        return true;
    default: /* direct access by other devices and decompression are not there */
        *ret_value = 0;
        return true;
    }
}

static void put(void *data, size_t bytes, uint64_t value) {
    memcpy(data, &value, bytes); /* little-endian */
}

CUresult DRV(cuPointerGetAttribute)(void *data, CUpointer_attribute attribute, CUdeviceptr ptr) {
    divvy_drv_context_t *context;
    divvy_drv_mem_t mem;
    uint64_t value;
    size_t bytes = size_of(attribute);
    if (!data || !ptr || (!bytes && attribute != CU_POINTER_ATTRIBUTE_P2P_TOKENS))
        return CUDA_ERROR_INVALID_VALUE;
    if (!bytes)
        return CUDA_ERROR_NOT_SUPPORTED;
    DRV_TRY(divvy_drv_context_bound(&context));
    if (!divvy_drv_mem_find(ptr, &mem) || mem.kind == DRV_MEM_ARRAY ||
        !value_of(&mem, ptr, attribute, &value))
        return CUDA_ERROR_INVALID_VALUE;
    put(data, bytes, value);
    return CUDA_SUCCESS;
}

/* Here a pointer that the driver does not know is no error: its attributes are empty. */
CUresult DRV(cuPointerGetAttributes)(unsigned int numAttributes, CUpointer_attribute *attributes,
                                     void **data, CUdeviceptr ptr) {
    divvy_drv_context_t *context;
    divvy_drv_mem_t mem;
    if (!numAttributes || !attributes || !data)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_context_bound(&context));
    bool known = divvy_drv_mem_find(ptr, &mem) && mem.kind != DRV_MEM_ARRAY;
    for (unsigned i = 0; i < numAttributes; i++)
        if (!data[i] || !size_of(attributes[i]))
            return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < numAttributes; i++) {
        uint64_t value = 0;
        if (!known || !value_of(&mem, ptr, attributes[i], &value))
            value = attributes[i] == CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
                        ? (uint64_t)CU_DEVICE_INVALID
                        : 0;
        put(data[i], size_of(attributes[i]), value);
    }
    return CUDA_SUCCESS;
}

CUresult DRV(cuPointerSetAttribute)(const void *value, CUpointer_attribute attribute,
                                    CUdeviceptr ptr) {
    if (!value || attribute != CU_POINTER_ATTRIBUTE_SYNC_MEMOPS)
        return CUDA_ERROR_INVALID_VALUE;
    return divvy_drv_mem_set_sync(ptr, *(const unsigned *)value != 0) ? CUDA_SUCCESS
                                                                      : CUDA_ERROR_INVALID_DEVICE;
}

/* ---- hints about managed memory ------------------------------------------------------------- */

/* They are checked, and without effect: managed memory is always on the device. */

static CUresult managed_range(CUdeviceptr ptr, size_t count) {
    divvy_drv_mem_t mem;
    if (!count || !divvy_drv_mem_find(ptr, &mem) || mem.kind != DRV_MEM_MANAGED ||
        count > mem.bytes - (ptr - mem.address))
        return CUDA_ERROR_INVALID_VALUE;
    return CUDA_SUCCESS;
}

static CUresult check_place(const CUmemLocation *location) {
    divvy_drv_device_t *device;
    switch (location->type) {
    case CU_MEM_LOCATION_TYPE_DEVICE:
        return divvy_drv_device_find(location->id, &device);
    case CU_MEM_LOCATION_TYPE_HOST:
    case CU_MEM_LOCATION_TYPE_HOST_NUMA:
    case CU_MEM_LOCATION_TYPE_HOST_NUMA_CURRENT:
        return CUDA_SUCCESS;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

static CUmemLocation place_of(CUdevice device) {
    return (CUmemLocation){
        device == CU_DEVICE_CPU ? CU_MEM_LOCATION_TYPE_HOST : CU_MEM_LOCATION_TYPE_DEVICE, device};
}

CUresult DRV(cuMemAdvise_v2)(CUdeviceptr devPtr, size_t count, CUmem_advise advice,
                             CUmemLocation location) {
    if (advice < CU_MEM_ADVISE_SET_READ_MOSTLY || advice > CU_MEM_ADVISE_UNSET_ACCESSED_BY)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(managed_range(devPtr, count));
    if (advice == CU_MEM_ADVISE_SET_PREFERRED_LOCATION || advice >= CU_MEM_ADVISE_SET_ACCESSED_BY)
        DRV_TRY(check_place(&location));
    return CUDA_SUCCESS;
}

CUresult DRV(cuMemAdvise)(CUdeviceptr devPtr, size_t count, CUmem_advise advice, CUdevice device) {
    return DRV(cuMemAdvise_v2)(devPtr, count, advice, place_of(device));
}

CUresult DRV(cuMemPrefetchAsync_v2)(CUdeviceptr devPtr, size_t count, CUmemLocation location,
                                    unsigned int flags, CUstream hStream) {
    divvy_drv_stream_t *stream;
    if (flags)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_stream_find(hStream, &stream));
    DRV_TRY(managed_range(devPtr, count));
    return check_place(&location);
}

CUresult DRV(cuMemPrefetchAsync)(CUdeviceptr devPtr, size_t count, CUdevice dstDevice,
                                 CUstream hStream) {
    return DRV(cuMemPrefetchAsync_v2)(devPtr, count, place_of(dstDevice), 0, hStream);
}
