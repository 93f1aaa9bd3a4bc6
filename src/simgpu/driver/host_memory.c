/* Page-locked host memory: allocated by the driver, or the program's own and registered. */
#include "simgpu/driver/capture.h"
#include "simgpu/driver/memory.h"

#include <sys/mman.h>
#include <unistd.h>

static uint64_t page_round(uint64_t bytes) {
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    return (bytes + page - 1) / page * page;
}

CUresult DRV(cuMemHostAlloc)(void **pp, size_t bytesize, unsigned int Flags) {
    const unsigned known =
        CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP | CU_MEMHOSTALLOC_WRITECOMBINED;
    divvy_drv_context_t *context;
    if (!pp || (Flags & ~known) || !bytesize || bytesize > SIZE_MAX / 2)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_context_current(&context));
    DRV_TRY(divvy_drv_capture_guard());
    void *memory = mmap(NULL, page_round(bytesize), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return CUDA_ERROR_OUT_OF_MEMORY;
    divvy_drv_mem_t mem = {.address = (uintptr_t)memory,
                           .bytes = bytesize,
                           .kind = DRV_MEM_HOST,
                           .flags = Flags,
                           .device = -1,
                           .context = context};
    if (divvy_drv_mem_enter(&mem)) {
        munmap(memory, page_round(bytesize));
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *pp = memory;
    return CUDA_SUCCESS;
}

CUresult DRV(cuMemAllocHost_v2)(void **pp, size_t bytesize) {
    return DRV(cuMemHostAlloc)(pp, bytesize, CU_MEMHOSTALLOC_DEVICEMAP);
}

CUresult DRV(cuMemAllocHost)(void **pp, unsigned int bytesize) {
    return DRV(cuMemAllocHost_v2)(pp, bytesize);
}

void divvy_drv_host_release(const divvy_drv_mem_t *mem) {
    munmap((void *)(uintptr_t)mem->address, page_round(mem->bytes));
}

CUresult DRV(cuMemFreeHost)(void *p) {
    divvy_drv_context_t *context;
    divvy_drv_mem_t mem;
    if (!p)
        return CUDA_SUCCESS;
    DRV_TRY(divvy_drv_context_current(&context));
    if (!divvy_drv_mem_find((uintptr_t)p, &mem) || mem.address != (uintptr_t)p ||
        mem.kind != DRV_MEM_HOST)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_capture_guard());
    DRV_TRY(divvy_drv_mem_quiesce(-1));
    if (!divvy_drv_mem_take((uintptr_t)p, DRV_MEM_HOST, &mem))
        return CUDA_ERROR_INVALID_VALUE;
    divvy_drv_host_release(&mem);
    return CUDA_SUCCESS;
}

CUresult DRV(cuMemHostRegister_v2)(void *p, size_t bytesize, unsigned int Flags) {
    const unsigned known = CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP |
                           CU_MEMHOSTREGISTER_IOMEMORY | CU_MEMHOSTREGISTER_READ_ONLY;
    divvy_drv_context_t *context;
    divvy_simgpu_range_t range;
    if (!p || !bytesize || (Flags & ~known) || (uintptr_t)p + bytesize < (uintptr_t)p)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_context_current(&context));
    if (!divvy_simgpu_mem_lookup((uintptr_t)p, &range))
        return CUDA_ERROR_INVALID_VALUE;
    if (divvy_drv_mem_overlaps((uintptr_t)p, bytesize))
        return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
    divvy_drv_mem_t mem = {.address = (uintptr_t)p,
                           .bytes = bytesize,
                           .kind = DRV_MEM_REGISTERED,
                           .flags = Flags,
                           .device = -1,
                           .context = context};
    return divvy_drv_result(divvy_drv_mem_enter(&mem));
}

CUresult DRV(cuMemHostRegister)(void *p, size_t bytesize, unsigned int Flags) {
    return DRV(cuMemHostRegister_v2)(p, bytesize, Flags);
}

CUresult DRV(cuMemHostUnregister)(void *p) {
    divvy_drv_context_t *context;
    divvy_drv_mem_t mem;
    if (!p)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_context_current(&context));
    if (!divvy_drv_mem_find((uintptr_t)p, &mem) || mem.address != (uintptr_t)p ||
        mem.kind != DRV_MEM_REGISTERED)
        return CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
    DRV_TRY(divvy_drv_mem_quiesce(-1));
    return divvy_drv_mem_take((uintptr_t)p, DRV_MEM_REGISTERED, &mem)
               ? CUDA_SUCCESS
               : CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
}

CUresult DRV(cuMemHostGetDevicePointer_v2)(CUdeviceptr *pdptr, void *p, unsigned int Flags) {
    divvy_drv_context_t *context;
    if (!pdptr || !p || Flags)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_context_current(&context));
    if (!divvy_drv_mem_is_host((uintptr_t)p, 1))
        return CUDA_ERROR_INVALID_VALUE;
    *pdptr = (uintptr_t)p; /* one address space */
    return CUDA_SUCCESS;
}

CUresult DRV(cuMemHostGetDevicePointer)(CUdeviceptr_v1 *pdptr, void *p, unsigned int Flags) {
    (void)Flags;
    return pdptr && p ? CUDA_ERROR_NOT_SUPPORTED : CUDA_ERROR_INVALID_VALUE;
}

CUresult DRV(cuMemHostGetFlags)(unsigned int *pFlags, void *p) {
    divvy_drv_context_t *context;
    divvy_drv_mem_t mem;
    if (!pFlags || !p)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_context_current(&context));
    if (!divvy_drv_mem_find((uintptr_t)p, &mem) || mem.kind != DRV_MEM_HOST)
        return CUDA_ERROR_INVALID_VALUE;
    *pFlags = mem.flags;
    return CUDA_SUCCESS;
}
