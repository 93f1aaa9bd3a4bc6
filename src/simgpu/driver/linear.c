/* Linear, pitched and managed device memory. */
#include "simgpu/driver/capture.h"
#include "simgpu/driver/memory.h"
#include "simgpu/driver/pool.h"

enum { PITCH_BYTES = 512 }; /* rows of cuMemAllocPitch start at multiples of this */

/* Allocates on the device of CONTEXT and enters it; unused reserves of pools are given back
 * before giving up. */
static CUresult allocate(divvy_drv_context_t *context, uint64_t bytes, divvy_drv_mem_kind_t kind,
                         unsigned flags, CUdeviceptr *ret_address) {
    divvy_drv_mem_t mem = {.bytes = bytes,
                           .kind = kind,
                           .flags = flags,
                           .device = context->device,
                           .context = context};
    int status = divvy_simgpu_mem_alloc(context->device, bytes, 0, (uint32_t)kind, &mem.address);
    if (status && divvy_drv_pool_reclaim(context->device))
        status = divvy_simgpu_mem_alloc(context->device, bytes, 0, (uint32_t)kind, &mem.address);
    if (!status) {
        status = divvy_drv_mem_enter(&mem);
        if (status)
            divvy_simgpu_mem_free(mem.address);
    }
    if (!status)
        *ret_address = mem.address;
    return divvy_drv_result(status);
}

CUresult DRV(cuMemAlloc_v2)(CUdeviceptr *dptr, size_t bytesize) {
    divvy_drv_context_t *context;
    if (!dptr || !bytesize)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_context_current(&context));
    DRV_TRY(divvy_drv_capture_guard());
    return allocate(context, bytesize, DRV_MEM_LINEAR, 0, dptr);
}

CUresult DRV(cuMemAllocPitch_v2)(CUdeviceptr *dptr, size_t *pPitch, size_t WidthInBytes,
                                 size_t Height, unsigned int ElementSizeBytes) {
    divvy_drv_context_t *context;
    size_t pitch, bytes;
    if (!dptr || !pPitch || !WidthInBytes || !Height ||
        (ElementSizeBytes != 4 && ElementSizeBytes != 8 && ElementSizeBytes != 16))
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_context_current(&context));
    DRV_TRY(divvy_drv_capture_guard());
    if (__builtin_add_overflow(WidthInBytes, PITCH_BYTES - 1, &pitch))
        return CUDA_ERROR_INVALID_VALUE;
    pitch -= pitch % PITCH_BYTES;
    if (__builtin_mul_overflow(pitch, Height, &bytes))
        return CUDA_ERROR_OUT_OF_MEMORY;
    DRV_TRY(allocate(context, bytes, DRV_MEM_LINEAR, 0, dptr));
    *pPitch = pitch;
    return CUDA_SUCCESS;
}

/* Managed memory lives on the device here from the beginning, and is charged in full. */
CUresult DRV(cuMemAllocManaged)(CUdeviceptr *dptr, size_t bytesize, unsigned int flags) {
    divvy_drv_context_t *context;
    if (!dptr || !bytesize || (flags != CU_MEM_ATTACH_GLOBAL && flags != CU_MEM_ATTACH_HOST))
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_context_current(&context));
    DRV_TRY(divvy_drv_capture_guard());
    return allocate(context, bytesize, DRV_MEM_MANAGED, flags, dptr);
}

CUresult DRV(cuMemFree_v2)(CUdeviceptr dptr) {
    divvy_drv_context_t *context;
    divvy_drv_mem_t mem;
    if (!dptr)
        return CUDA_SUCCESS;
    DRV_TRY(divvy_drv_context_current(&context));
    if (!divvy_drv_mem_find(dptr, &mem) || mem.address != dptr)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_capture_guard());
    if (mem.kind == DRV_MEM_IPC)
        return divvy_drv_ipc_close(dptr, true);
    if (!(mem.kind & (DRV_MEM_LINEAR | DRV_MEM_MANAGED | DRV_MEM_POOL | DRV_MEM_GRAPH)))
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_mem_quiesce(mem.device));
    if (mem.kind & (DRV_MEM_POOL | DRV_MEM_GRAPH)) {
        DRV_TRY(mem.kind == DRV_MEM_POOL ? divvy_drv_pool_free(dptr)
                                         : divvy_drv_graph_memory_free(dptr));
        divvy_drv_pool_settle(mem.device);
        return CUDA_SUCCESS;
    }
    if (!divvy_drv_mem_take(dptr, DRV_MEM_LINEAR | DRV_MEM_MANAGED, &mem))
        return CUDA_ERROR_INVALID_VALUE;
    return divvy_drv_result(divvy_simgpu_mem_free(dptr));
}

CUresult DRV(cuMemGetInfo_v2)(size_t *free, size_t *total) {
    divvy_drv_context_t *context;
    uint64_t free_bytes, total_bytes;
    if (!free || !total)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_context_current(&context));
    divvy_simgpu_reap(); /* what ended processes left is free, as the kernel sees to */
    DRV_TRY(divvy_drv_result(divvy_simgpu_mem_info(context->device, &free_bytes, &total_bytes)));
    *free = free_bytes;
    *total = total_bytes;
    return CUDA_SUCCESS;
}

CUresult DRV(cuMemGetAddressRange_v2)(CUdeviceptr *pbase, size_t *psize, CUdeviceptr dptr) {
    divvy_drv_context_t *context;
    divvy_drv_mem_t mem;
    DRV_TRY(divvy_drv_context_current(&context));
    if (!divvy_drv_mem_find(dptr, &mem))
        return CUDA_ERROR_NOT_FOUND;
    if (pbase)
        *pbase = mem.address;
    if (psize)
        *psize = mem.bytes;
    return CUDA_SUCCESS;
}

/* ---- the 32-bit interface of CUDA 3.1 and before --------------------------------------------- */

/* Device addresses are 64 bits wide here, so this interface cannot hold one: what it would hand
 * out is refused, and what it hands in names nothing. */
CUresult DRV(cuMemAlloc)(CUdeviceptr_v1 *dptr, unsigned int bytesize) {
    return dptr && bytesize ? CUDA_ERROR_NOT_SUPPORTED : CUDA_ERROR_INVALID_VALUE;
}

CUresult DRV(cuMemAllocPitch)(CUdeviceptr_v1 *dptr, unsigned int *pPitch, unsigned int WidthInBytes,
                              unsigned int Height, unsigned int ElementSizeBytes) {
    (void)ElementSizeBytes;
    return dptr && pPitch && WidthInBytes && Height ? CUDA_ERROR_NOT_SUPPORTED
                                                    : CUDA_ERROR_INVALID_VALUE;
}

CUresult DRV(cuMemFree)(CUdeviceptr_v1 dptr) {
    return DRV(cuMemFree_v2)(dptr);
}

CUresult DRV(cuMemGetInfo)(unsigned int *free, unsigned int *total) {
    size_t free_bytes, total_bytes;
    if (!free || !total)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(DRV(cuMemGetInfo_v2)(&free_bytes, &total_bytes));
    *free = free_bytes > UINT32_MAX ? UINT32_MAX : (unsigned)free_bytes;
    *total = total_bytes > UINT32_MAX ? UINT32_MAX : (unsigned)total_bytes;
    return CUDA_SUCCESS;
}

CUresult DRV(cuMemGetAddressRange)(CUdeviceptr_v1 *pbase, unsigned int *psize,
                                   CUdeviceptr_v1 dptr) {
    (void)pbase;
    (void)psize;
    (void)dptr;
    return CUDA_ERROR_NOT_FOUND;
}
