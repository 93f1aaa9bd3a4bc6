/* Virtual memory management: physical handles, reserved addresses, mappings and who may use
 * them. */
#include "simgpu/driver/memory.h"
#include "simgpu/driver/op.h"
#include "simgpu/driver/pool.h"

#include <stdlib.h>

/* ---- what is remembered of a physical handle ------------------------------------------------- */

typedef struct physical {
    uint64_t handle;
    CUmemAllocationProp props;
    unsigned refs; /* of the program */
    unsigned mappings;
    struct physical *next;
} physical_t;

enum { BUCKETS = 1024 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static physical_t *buckets[BUCKETS];

static physical_t **locate(uint64_t handle) {
    physical_t **link = buckets + (handle * 0x9e3779b97f4a7c15ull >> 54);
    while (*link && (*link)->handle != handle)
        link = &(*link)->next;
    return link;
}

static CUresult remember(uint64_t handle, const CUmemAllocationProp *props) {
    physical_t *made = calloc(1, sizeof(*made));
    if (!made)
        return CUDA_ERROR_OUT_OF_MEMORY;
    pthread_mutex_lock(&lock);
    physical_t **link = locate(handle);
    if (*link) { /* imported before: the engine counts, and so do we */
        (*link)->refs++;
        free(made);
    } else {
        *made = (physical_t){.handle = handle, .props = *props, .refs = 1};
        *link = made;
    }
    pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}

/* Adds to the counts of a handle that is known; with both at 0 it is forgotten. */
static CUresult count(uint64_t handle, int refs, int mappings) {
    pthread_mutex_lock(&lock);
    physical_t **link = locate(handle), *found = *link;
    if (!found || (refs < 0 && !found->refs)) {
        pthread_mutex_unlock(&lock);
        return CUDA_ERROR_INVALID_VALUE;
    }
    found->refs += (unsigned)refs;
    found->mappings += (unsigned)mappings;
    if (!found->refs && !found->mappings) {
        *link = found->next;
        free(found);
    }
    pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}

static CUresult recall(uint64_t handle, CUmemAllocationProp *ret_props) {
    pthread_mutex_lock(&lock);
    physical_t *found = *locate(handle);
    if (found)
        *ret_props = found->props;
    pthread_mutex_unlock(&lock);
    return found ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* ---- physical memory ------------------------------------------------------------------------- */

static CUresult check_props(const CUmemAllocationProp *prop, divvy_drv_device_t **ret_device) {
    if (!prop || prop->location.type == CU_MEM_LOCATION_TYPE_INVALID)
        return CUDA_ERROR_INVALID_VALUE;
    if (prop->type != CU_MEM_ALLOCATION_TYPE_PINNED)
        return prop->type == CU_MEM_ALLOCATION_TYPE_MANAGED ? CUDA_ERROR_NOT_SUPPORTED
                                                            : CUDA_ERROR_INVALID_VALUE;
    if (prop->location.type != CU_MEM_LOCATION_TYPE_DEVICE)
        return CUDA_ERROR_NOT_SUPPORTED; /* memory of the host is not managed this way here */
    if (prop->requestedHandleTypes & ~(unsigned)CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR)
        return CUDA_ERROR_NOT_SUPPORTED;
    return divvy_drv_device_find(prop->location.id, ret_device);
}

CUresult DRV(cuMemGetAllocationGranularity)(size_t *granularity, const CUmemAllocationProp *prop,
                                            CUmemAllocationGranularity_flags option) {
    divvy_drv_device_t *device;
    if (!granularity || option > CU_MEM_ALLOC_GRANULARITY_RECOMMENDED)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(check_props(prop, &device));
    *granularity = DIVVY_SIMGPU_PAGE_BYTES;
    return CUDA_SUCCESS;
}

CUresult DRV(cuMemCreate)(CUmemGenericAllocationHandle *handle, size_t size,
                          const CUmemAllocationProp *prop, unsigned long long flags) {
    divvy_drv_device_t *device;
    uint64_t made;
    if (!handle || !size || size % DIVVY_SIMGPU_PAGE_BYTES || flags)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(check_props(prop, &device));
    unsigned exportable = prop->requestedHandleTypes ? DIVVY_SIMGPU_PHYS_EXPORTABLE : 0;
    int status = divvy_simgpu_phys_create(device->engine, size, exportable, &made);
    if (status && divvy_drv_pool_reclaim(device->engine))
        status = divvy_simgpu_phys_create(device->engine, size, exportable, &made);
    DRV_TRY(divvy_drv_result(status));
    CUresult result = remember(made, prop);
    if (result != CUDA_SUCCESS) {
        divvy_simgpu_phys_release(made);
        return result;
    }
    *handle = made;
    return CUDA_SUCCESS;
}

CUresult DRV(cuMemRelease)(CUmemGenericAllocationHandle handle) {
    DRV_TRY(count(handle, -1, 0));
    return divvy_drv_result(divvy_simgpu_phys_release(handle));
}

CUresult DRV(cuMemRetainAllocationHandle)(CUmemGenericAllocationHandle *handle, void *addr) {
    divvy_drv_mem_t mem;
    if (!handle || !addr)
        return CUDA_ERROR_INVALID_VALUE;
    if (!divvy_drv_mem_find((uintptr_t)addr, &mem) || mem.kind != DRV_MEM_MAPPED)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_result(divvy_simgpu_phys_retain(mem.handle)));
    CUresult result = count(mem.handle, 1, 0);
    if (result == CUDA_SUCCESS)
        *handle = mem.handle;
    return result;
}

CUresult DRV(cuMemGetAllocationPropertiesFromHandle)(CUmemAllocationProp *prop,
                                                     CUmemGenericAllocationHandle handle) {
    return prop ? recall(handle, prop) : CUDA_ERROR_INVALID_VALUE;
}

CUresult DRV(cuMemExportToShareableHandle)(void *shareableHandle,
                                           CUmemGenericAllocationHandle handle,
                                           CUmemAllocationHandleType handleType,
                                           unsigned long long flags) {
    CUmemAllocationProp props;
    if (!shareableHandle || flags)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(recall(handle, &props));
    if (handleType != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR ||
        !(props.requestedHandleTypes & handleType))
        return CUDA_ERROR_INVALID_VALUE;
    return divvy_drv_result(divvy_simgpu_phys_export_fd(handle, (int *)shareableHandle));
}

CUresult DRV(cuMemImportFromShareableHandle)(CUmemGenericAllocationHandle *handle, void *osHandle,
                                             CUmemAllocationHandleType shHandleType) {
    CUmemAllocationProp props = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                 .requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
                                 .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE}};
    uint64_t imported, bytes;
    int device;
    if (!handle)
        return CUDA_ERROR_INVALID_VALUE;
    if (shHandleType != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR)
        return CUDA_ERROR_NOT_SUPPORTED;
    DRV_TRY(divvy_drv_result(divvy_simgpu_phys_import_fd((int)(intptr_t)osHandle, &imported)));
    CUresult result = divvy_drv_result(divvy_simgpu_phys_info(imported, &device, &bytes));
    if (result == CUDA_SUCCESS) {
        props.location.id = divvy_drv_device_ordinal(device);
        result = props.location.id < 0 ? CUDA_ERROR_INVALID_DEVICE : remember(imported, &props);
    }
    if (result != CUDA_SUCCESS) {
        divvy_simgpu_phys_release(imported);
        return result;
    }
    *handle = imported;
    return CUDA_SUCCESS;
}

/* ---- addresses and mappings ------------------------------------------------------------------ */

CUresult DRV(cuMemAddressReserve)(CUdeviceptr *ptr, size_t size, size_t alignment, CUdeviceptr addr,
                                  unsigned long long flags) {
    uint64_t reserved;
    if (!ptr || !size || size % DIVVY_SIMGPU_PAGE_BYTES || (alignment & (alignment - 1)) || flags)
        return CUDA_ERROR_INVALID_VALUE;
    if (alignment < DIVVY_SIMGPU_PAGE_BYTES)
        alignment = 0;
    DRV_TRY(divvy_drv_result(divvy_simgpu_va_reserve(size, alignment, addr, &reserved)));
    *ptr = reserved;
    return CUDA_SUCCESS;
}

CUresult DRV(cuMemAddressFree)(CUdeviceptr ptr, size_t size) {
    return ptr && size ? divvy_drv_result(divvy_simgpu_va_free(ptr, size))
                       : CUDA_ERROR_INVALID_VALUE;
}

CUresult DRV(cuMemMap)(CUdeviceptr ptr, size_t size, size_t offset,
                       CUmemGenericAllocationHandle handle, unsigned long long flags) {
    CUmemAllocationProp props;
    if (!ptr || !size || offset || flags) /* the interface asks for an offset of 0 */
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(recall(handle, &props));
    DRV_TRY(divvy_drv_result(divvy_simgpu_va_map(ptr, size, handle, offset)));
    divvy_drv_device_t *device;
    DRV_TRY(divvy_drv_device_find(props.location.id, &device));
    divvy_drv_mem_t mem = {.address = ptr,
                           .bytes = size,
                           .kind = DRV_MEM_MAPPED,
                           .device = device->engine,
                           .handle = handle};
    CUresult result = divvy_drv_mem_enter(&mem) ? CUDA_ERROR_OUT_OF_MEMORY : count(handle, 0, 1);
    if (result != CUDA_SUCCESS)
        divvy_simgpu_va_unmap(ptr, size);
    return result;
}

/* Whether [ptr, ptr+size) is exactly a row of whole mappings. */
static bool whole_mappings(CUdeviceptr ptr, size_t size) {
    divvy_drv_mem_t mem;
    for (uint64_t at = ptr; at < ptr + size; at += mem.bytes)
        if (!divvy_drv_mem_find(at, &mem) || mem.kind != DRV_MEM_MAPPED || mem.address != at ||
            mem.bytes > ptr + size - at)
            return false;
    return true;
}

/* Work that still uses the memory faults afterwards, as on a GPU; only what runs at this moment
 * is waited for. */
CUresult DRV(cuMemUnmap)(CUdeviceptr ptr, size_t size) {
    divvy_drv_mem_t mem;
    if (!ptr || !size || ptr + size < ptr || !whole_mappings(ptr, size))
        return CUDA_ERROR_INVALID_VALUE;
    divvy_drv_action_barrier();
    DRV_TRY(divvy_drv_result(divvy_simgpu_va_unmap(ptr, size)));
    for (uint64_t at = ptr; at < ptr + size; at += mem.bytes) {
        if (!divvy_drv_mem_take(at, DRV_MEM_MAPPED, &mem))
            return CUDA_ERROR_UNKNOWN; /* somebody else unmapped at the same time */
        count(mem.handle, 0, -1);
    }
    return CUDA_SUCCESS;
}

CUresult DRV(cuMemSetAccess)(CUdeviceptr ptr, size_t size, const CUmemAccessDesc *desc, size_t n) {
    divvy_drv_device_t *device;
    uint32_t readers = 0, writers = 0, touched = 0;
    if (!ptr || !size || !desc || !n || ptr + size < ptr || !whole_mappings(ptr, size))
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < n; i++) {
        if (desc[i].location.type != CU_MEM_LOCATION_TYPE_DEVICE)
            return CUDA_ERROR_NOT_SUPPORTED;
        DRV_TRY(divvy_drv_device_find(desc[i].location.id, &device));
        uint32_t bit = (uint32_t)1 << desc[i].location.id;
        touched |= bit;
        if (desc[i].flags & ~(unsigned)CU_MEM_ACCESS_FLAGS_PROT_READWRITE ||
            (int)desc[i].flags == 2)
            return CUDA_ERROR_INVALID_VALUE;
        readers |= desc[i].flags ? bit : 0;
        writers |= desc[i].flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE ? bit : 0;
    }
    divvy_drv_action_barrier();
    divvy_drv_mem_t mem;
    for (uint64_t at = ptr; at < ptr + size; at += mem.bytes) {
        if (!divvy_drv_mem_set_access(at, touched, readers, writers, &mem))
            return CUDA_ERROR_INVALID_VALUE;
        DRV_TRY(divvy_drv_result(
            divvy_simgpu_va_protect(mem.address, mem.bytes, mem.readers != 0, mem.writers != 0)));
    }
    return CUDA_SUCCESS;
}

CUresult DRV(cuMemGetAccess)(unsigned long long *flags, const CUmemLocation *location,
                             CUdeviceptr ptr) {
    divvy_drv_device_t *device;
    divvy_drv_mem_t mem;
    if (!flags || !location)
        return CUDA_ERROR_INVALID_VALUE;
    if (location->type != CU_MEM_LOCATION_TYPE_DEVICE)
        return CUDA_ERROR_NOT_SUPPORTED;
    DRV_TRY(divvy_drv_device_find(location->id, &device));
    if (!divvy_drv_mem_find(ptr, &mem) || mem.kind != DRV_MEM_MAPPED)
        return CUDA_ERROR_INVALID_VALUE;
    *flags = mem.writers >> location->id & 1   ? CU_MEM_ACCESS_FLAGS_PROT_READWRITE
             : mem.readers >> location->id & 1 ? CU_MEM_ACCESS_FLAGS_PROT_READ
                                               : CU_MEM_ACCESS_FLAGS_PROT_NONE;
    return CUDA_SUCCESS;
}
