/* Memory of other processes. */
#include "simgpu/driver/capture.h"
#include "simgpu/driver/memory.h"

#include <string.h>

_Static_assert(sizeof(CUipcMemHandle) == sizeof(divvy_simgpu_ipc_t),
               "a handle is the engine's own");

enum { POOLED = 1 }; /* flags of an entry: of a shared pool */

/* The engine counts openings and gives the same address again; the index has one entry, which
 * knows the number. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

CUresult divvy_drv_ipc_open(const divvy_simgpu_ipc_t *ipc, bool pooled, CUdeviceptr *ret_address) {
    divvy_drv_context_t *context;
    divvy_simgpu_range_t range;
    divvy_drv_mem_t mem;
    uint64_t address;
    DRV_TRY(divvy_drv_context_current(&context));
    pthread_mutex_lock(&lock);
    CUresult result = divvy_drv_result(divvy_simgpu_ipc_import(ipc, &address));
    if (result == CUDA_SUCCESS && !divvy_drv_mem_find(address, &mem)) {
        result = divvy_drv_result(divvy_simgpu_mem_lookup(address, &range));
        mem = (divvy_drv_mem_t){.address = address,
                                .bytes = range.bytes,
                                .kind = DRV_MEM_IPC,
                                .flags = pooled ? POOLED : 0,
                                .device = range.device,
                                .context = context};
        if (result == CUDA_SUCCESS && divvy_drv_mem_enter(&mem))
            result = CUDA_ERROR_OUT_OF_MEMORY;
        if (result != CUDA_SUCCESS)
            divvy_simgpu_ipc_close(address);
    }
    pthread_mutex_unlock(&lock);
    if (result == CUDA_SUCCESS)
        *ret_address = address;
    return result;
}

CUresult divvy_drv_ipc_close(CUdeviceptr address, bool pooled) {
    divvy_simgpu_range_t range;
    divvy_drv_mem_t mem;
    if (!divvy_drv_mem_find(address, &mem) || mem.address != address || mem.kind != DRV_MEM_IPC ||
        (mem.flags == POOLED) != pooled)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_mem_quiesce(mem.device));
    pthread_mutex_lock(&lock);
    CUresult result = divvy_drv_result(divvy_simgpu_ipc_close(address));
    if (result == CUDA_SUCCESS && divvy_simgpu_mem_lookup(address, &range))
        divvy_drv_mem_take(address, DRV_MEM_IPC, &mem); /* that was the last opening */
    pthread_mutex_unlock(&lock);
    return result;
}

CUresult DRV(cuIpcGetMemHandle)(CUipcMemHandle *pHandle, CUdeviceptr dptr) {
    divvy_drv_context_t *context;
    divvy_drv_mem_t mem;
    divvy_simgpu_ipc_t ipc;
    if (!pHandle)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_context_current(&context));
    if (!divvy_drv_mem_find(dptr, &mem) || !(mem.kind & (DRV_MEM_LINEAR | DRV_MEM_GLOBAL)))
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_result(divvy_simgpu_ipc_export(dptr, &ipc)));
    memcpy(pHandle->reserved, ipc.bytes, sizeof(ipc.bytes));
    return CUDA_SUCCESS;
}

CUresult DRV(cuIpcOpenMemHandle_v2)(CUdeviceptr *pdptr, CUipcMemHandle handle, unsigned int Flags) {
    divvy_simgpu_ipc_t ipc;
    if (!pdptr || (Flags & ~(unsigned)CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS))
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_capture_guard());
    memcpy(ipc.bytes, handle.reserved, sizeof(ipc.bytes));
    return divvy_drv_ipc_open(&ipc, false, pdptr);
}

CUresult DRV(cuIpcOpenMemHandle)(CUdeviceptr *pdptr, CUipcMemHandle handle, unsigned int Flags) {
    return DRV(cuIpcOpenMemHandle_v2)(pdptr, handle, Flags);
}

CUresult DRV(cuIpcCloseMemHandle)(CUdeviceptr dptr) {
    divvy_drv_context_t *context;
    DRV_TRY(divvy_drv_context_current(&context));
    return divvy_drv_ipc_close(dptr, false);
}
