/* The calls about pools, and stream-ordered allocation and freeing. */
#include "simgpu/driver/capture.h"
#include "simgpu/driver/graph_memory.h"
#include "simgpu/driver/handle.h"
#include "simgpu/driver/pool.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static CUresult find(CUmemoryPool handle, divvy_drv_pool_t **ret_pool) {
    divvy_drv_pool_t *pool = divvy_drv_handle_get(handle, DRV_HANDLE_POOL);
    if (!pool)
        return CUDA_ERROR_INVALID_VALUE;
    *ret_pool = pool;
    return CUDA_SUCCESS;
}

/* ---- the pools of a device ------------------------------------------------------------------- */

static pthread_mutex_t default_lock = PTHREAD_MUTEX_INITIALIZER;

static CUresult default_pool(CUdevice dev, divvy_drv_pool_t **ret_pool) {
    divvy_drv_device_t *device;
    DRV_TRY(divvy_drv_device_find(dev, &device));
    divvy_drv_pool_t *pool = atomic_load(&device->pool_default);
    CUresult result = CUDA_SUCCESS;
    if (!pool) {
        pthread_mutex_lock(&default_lock);
        pool = atomic_load(&device->pool_default);
        if (!pool) {
            CUmemPoolProps props = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                                    .location = {CU_MEM_LOCATION_TYPE_DEVICE, dev}};
            result = divvy_drv_pool_new(device, dev, &props, &pool);
            if (result == CUDA_SUCCESS) {
                pool->is_default = true;
                atomic_store(&device->pool_default, pool);
            }
        }
        pthread_mutex_unlock(&default_lock);
    }
    if (result == CUDA_SUCCESS)
        *ret_pool = pool;
    return result;
}

static CUresult current_pool(CUdevice dev, divvy_drv_pool_t **ret_pool) {
    divvy_drv_device_t *device;
    DRV_TRY(divvy_drv_device_find(dev, &device));
    divvy_drv_pool_t *pool = atomic_load(&device->pool_current);
    if (!pool)
        return default_pool(dev, ret_pool);
    *ret_pool = pool;
    return CUDA_SUCCESS;
}

CUresult DRV(cuDeviceGetDefaultMemPool)(CUmemoryPool *pool_out, CUdevice dev) {
    divvy_drv_pool_t *pool;
    if (!pool_out)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(default_pool(dev, &pool));
    *pool_out = pool->handle;
    return CUDA_SUCCESS;
}

CUresult DRV(cuDeviceGetMemPool)(CUmemoryPool *pool, CUdevice dev) {
    divvy_drv_pool_t *found;
    if (!pool)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(current_pool(dev, &found));
    *pool = found->handle;
    return CUDA_SUCCESS;
}

CUresult DRV(cuDeviceSetMemPool)(CUdevice dev, CUmemoryPool pool) {
    divvy_drv_device_t *device;
    divvy_drv_pool_t *found;
    DRV_TRY(divvy_drv_device_find(dev, &device));
    DRV_TRY(find(pool, &found));
    if (found->device != device->engine || found->imported)
        return CUDA_ERROR_INVALID_VALUE;
    atomic_store(&device->pool_current, found);
    return CUDA_SUCCESS;
}

/* The forms of CUDA 13 name a place instead of a device; only devices have pools here. */
static CUresult place(const CUmemLocation *location, CUmemAllocationType type,
                      CUdevice *ret_device) {
    if (!location)
        return CUDA_ERROR_INVALID_VALUE;
    if (location->type != CU_MEM_LOCATION_TYPE_DEVICE || type != CU_MEM_ALLOCATION_TYPE_PINNED)
        return location->type == CU_MEM_LOCATION_TYPE_INVALID ? CUDA_ERROR_INVALID_VALUE
                                                              : CUDA_ERROR_NOT_SUPPORTED;
    *ret_device = location->id;
    return CUDA_SUCCESS;
}

CUresult DRV(cuMemGetDefaultMemPool)(CUmemoryPool *pool_out, CUmemLocation *location,
                                     CUmemAllocationType type) {
    CUdevice dev;
    DRV_TRY(place(location, type, &dev));
    return DRV(cuDeviceGetDefaultMemPool)(pool_out, dev);
}

CUresult DRV(cuMemGetMemPool)(CUmemoryPool *pool, CUmemLocation *location,
                              CUmemAllocationType type) {
    CUdevice dev;
    DRV_TRY(place(location, type, &dev));
    return DRV(cuDeviceGetMemPool)(pool, dev);
}

CUresult DRV(cuMemSetMemPool)(CUmemLocation *location, CUmemAllocationType type,
                              CUmemoryPool pool) {
    CUdevice dev;
    DRV_TRY(place(location, type, &dev));
    return DRV(cuDeviceSetMemPool)(dev, pool);
}

/* ---- allocating and freeing ------------------------------------------------------------------ */

static CUresult allocate(divvy_drv_pool_t *pool, CUdeviceptr *dptr, size_t bytesize,
                         divvy_drv_stream_t *stream) {
    divvy_simgpu_position_t position;
    if (pool->imported)
        return CUDA_ERROR_INVALID_VALUE;
    if (divvy_drv_capturing()) {
        bool taken;
        DRV_TRY(divvy_drv_graph_memory_capture_alloc(stream, &pool->props, bytesize, dptr, &taken));
        if (taken)
            return CUDA_SUCCESS;
    }
    DRV_TRY(divvy_drv_stream_tail(stream, &position)); /* the order of the legacy stream */
    return divvy_drv_pool_alloc(pool, stream, bytesize, dptr);
}

CUresult DRV(cuMemAllocAsync)(CUdeviceptr *dptr, size_t bytesize, CUstream hStream) {
    divvy_drv_stream_t *stream;
    divvy_drv_pool_t *pool;
    if (!dptr || !bytesize)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_stream_find(hStream, &stream));
    DRV_TRY(current_pool(stream->context->ordinal, &pool));
    return allocate(pool, dptr, bytesize, stream);
}

CUresult DRV(cuMemAllocFromPoolAsync)(CUdeviceptr *dptr, size_t bytesize, CUmemoryPool pool,
                                      CUstream hStream) {
    divvy_drv_stream_t *stream;
    divvy_drv_pool_t *found;
    if (!dptr || !bytesize)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_stream_find(hStream, &stream));
    DRV_TRY(find(pool, &found));
    return allocate(found, dptr, bytesize, stream);
}

/* Memory of cuMemAlloc may be freed here too: the call then waits, as cuMemFree does. */
CUresult DRV(cuMemFreeAsync)(CUdeviceptr dptr, CUstream hStream) {
    divvy_drv_stream_t *stream;
    divvy_drv_mem_t mem;
    divvy_simgpu_position_t position;
    if (!dptr)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_stream_find(hStream, &stream));
    if (divvy_drv_capturing()) {
        bool taken;
        DRV_TRY(divvy_drv_graph_memory_capture_free(stream, dptr, &taken));
        if (taken)
            return CUDA_SUCCESS;
    }
    if (!divvy_drv_mem_find(dptr, &mem) || mem.address != dptr)
        return CUDA_ERROR_INVALID_VALUE;
    if (mem.kind == DRV_MEM_GRAPH)
        return divvy_drv_graph_memory_free_async(dptr, stream);
    if (mem.kind != DRV_MEM_POOL)
        return DRV(cuMemFree_v2)(dptr);
    DRV_TRY(divvy_drv_stream_tail(stream, &position));
    if (!divvy_drv_mem_take(dptr, DRV_MEM_POOL, &mem))
        return CUDA_ERROR_INVALID_VALUE;
    divvy_drv_pool_return(&mem, stream->id, position);
    return CUDA_SUCCESS;
}

/* ---- pools of the program -------------------------------------------------------------------- */

CUresult DRV(cuMemPoolCreate)(CUmemoryPool *pool, const CUmemPoolProps *poolProps) {
    divvy_drv_device_t *device;
    divvy_drv_pool_t *made;
    if (!pool || !poolProps)
        return CUDA_ERROR_INVALID_VALUE;
    if (poolProps->allocType != CU_MEM_ALLOCATION_TYPE_PINNED)
        return poolProps->allocType == CU_MEM_ALLOCATION_TYPE_MANAGED ? CUDA_ERROR_NOT_SUPPORTED
                                                                      : CUDA_ERROR_INVALID_VALUE;
    if (poolProps->location.type != CU_MEM_LOCATION_TYPE_DEVICE)
        return poolProps->location.type == CU_MEM_LOCATION_TYPE_INVALID ? CUDA_ERROR_INVALID_VALUE
                                                                        : CUDA_ERROR_NOT_SUPPORTED;
    if (poolProps->handleTypes & ~(unsigned)CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR)
        return CUDA_ERROR_NOT_SUPPORTED;
    DRV_TRY(divvy_drv_device_find(poolProps->location.id, &device));
    DRV_TRY(divvy_drv_pool_new(device, poolProps->location.id, poolProps, &made));
    *pool = made->handle;
    return CUDA_SUCCESS;
}

CUresult DRV(cuMemPoolDestroy)(CUmemoryPool pool) {
    divvy_drv_device_t *device;
    divvy_drv_pool_t *found;
    DRV_TRY(find(pool, &found));
    if (found->is_default)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_device_find(found->ordinal, &device));
    divvy_drv_pool_t *expected = found;
    atomic_compare_exchange_strong(&device->pool_current, &expected, NULL);
    divvy_drv_pool_destroy(found);
    return CUDA_SUCCESS;
}

CUresult DRV(cuMemPoolTrimTo)(CUmemoryPool pool, size_t minBytesToKeep) {
    divvy_drv_pool_t *found;
    DRV_TRY(find(pool, &found));
    divvy_drv_pool_trim(found, minBytesToKeep);
    return CUDA_SUCCESS;
}

/* Attributes up to REUSE_ALLOW_INTERNAL_DEPENDENCIES are ints, the others 64-bit numbers. */
CUresult DRV(cuMemPoolGetAttribute)(CUmemoryPool pool, CUmemPool_attribute attr, void *value) {
    divvy_drv_pool_t *found;
    CUresult result = CUDA_SUCCESS;
    if (!value)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(find(pool, &found));
    pthread_mutex_lock(&found->lock);
    switch (attr) {
    case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES:
        *(int *)value = found->reuse[attr];
        break;
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
        *(cuuint64_t *)value = found->threshold_bytes;
        break;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT:
        *(cuuint64_t *)value = found->reserved_bytes;
        break;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
        *(cuuint64_t *)value = found->reserved_high_bytes;
        break;
    case CU_MEMPOOL_ATTR_USED_MEM_CURRENT:
        *(cuuint64_t *)value = found->used_bytes;
        break;
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
        *(cuuint64_t *)value = found->used_high_bytes;
        break;
    default:
        result = CUDA_ERROR_INVALID_VALUE;
    }
    pthread_mutex_unlock(&found->lock);
    return result;
}

CUresult DRV(cuMemPoolSetAttribute)(CUmemoryPool pool, CUmemPool_attribute attr, void *value) {
    divvy_drv_pool_t *found;
    CUresult result = CUDA_SUCCESS;
    if (!value)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(find(pool, &found));
    pthread_mutex_lock(&found->lock);
    switch (attr) {
    case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES:
        found->reuse[attr] = *(int *)value != 0;
        break;
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
        found->threshold_bytes = *(cuuint64_t *)value;
        break;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH: /* the marks can only be set back */
        result = *(cuuint64_t *)value ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
        if (result == CUDA_SUCCESS)
            found->reserved_high_bytes = found->reserved_bytes;
        break;
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
        result = *(cuuint64_t *)value ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
        if (result == CUDA_SUCCESS)
            found->used_high_bytes = found->used_bytes;
        break;
    default:
        result = CUDA_ERROR_INVALID_VALUE;
    }
    pthread_mutex_unlock(&found->lock);
    return result;
}

CUresult DRV(cuMemPoolSetAccess)(CUmemoryPool pool, const CUmemAccessDesc *map, size_t count) {
    divvy_drv_pool_t *found;
    divvy_drv_device_t *device;
    if (!map || !count)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(find(pool, &found));
    for (size_t i = 0; i < count; i++) {
        if (map[i].location.type != CU_MEM_LOCATION_TYPE_DEVICE)
            return CUDA_ERROR_INVALID_VALUE;
        DRV_TRY(divvy_drv_device_find(map[i].location.id, &device));
        if (map[i].flags == CU_MEM_ACCESS_FLAGS_PROT_NONE && map[i].location.id == found->ordinal)
            return CUDA_ERROR_INVALID_DEVICE; /* its own device cannot be kept out */
    }
    for (size_t i = 0; i < count; i++) {
        uint32_t bit = (uint32_t)1 << map[i].location.id;
        if (map[i].flags == CU_MEM_ACCESS_FLAGS_PROT_NONE)
            atomic_fetch_and(&found->peers, ~bit);
        else
            atomic_fetch_or(&found->peers, bit);
    }
    return CUDA_SUCCESS;
}

CUresult DRV(cuMemPoolGetAccess)(CUmemAccess_flags *flags, CUmemoryPool memPool,
                                 CUmemLocation *location) {
    divvy_drv_pool_t *found;
    divvy_drv_device_t *device;
    if (!flags || !location || location->type != CU_MEM_LOCATION_TYPE_DEVICE)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(find(memPool, &found));
    DRV_TRY(divvy_drv_device_find(location->id, &device));
    *flags = atomic_load(&found->peers) >> location->id & 1 ? CU_MEM_ACCESS_FLAGS_PROT_READWRITE
                                                            : CU_MEM_ACCESS_FLAGS_PROT_NONE;
    return CUDA_SUCCESS;
}

/* ---- other processes ------------------------------------------------------------------------- */

/* A shared pool is told by a small sealed file; its memory by the handles of single pointers. */
typedef struct {
    char magic[8];
    uint64_t device;
} pool_file_t;

static const char pool_magic[8] = "divvyPl";

CUresult DRV(cuMemPoolExportToShareableHandle)(void *handle_out, CUmemoryPool pool,
                                               CUmemAllocationHandleType handleType,
                                               unsigned long long flags) {
    divvy_drv_pool_t *found;
    pool_file_t file = {.magic = "divvyPl"};
    if (!handle_out || flags)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(find(pool, &found));
    if (handleType != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR || !found->shared || found->imported)
        return CUDA_ERROR_INVALID_VALUE;
    int fd = memfd_create("simgpu-pool", MFD_CLOEXEC);
    if (fd < 0)
        return CUDA_ERROR_OPERATING_SYSTEM;
    file.device = (uint64_t)found->device;
    if (write(fd, &file, sizeof(file)) != (ssize_t)sizeof(file)) {
        close(fd);
        return CUDA_ERROR_OPERATING_SYSTEM;
    }
    *(int *)handle_out = fd;
    return CUDA_SUCCESS;
}

CUresult DRV(cuMemPoolImportFromShareableHandle)(CUmemoryPool *pool_out, void *handle,
                                                 CUmemAllocationHandleType handleType,
                                                 unsigned long long flags) {
    divvy_drv_device_t *device;
    divvy_drv_pool_t *made;
    pool_file_t file;
    if (!pool_out || flags || handleType != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR)
        return CUDA_ERROR_INVALID_VALUE;
    int fd = (int)(intptr_t)handle;
    if (pread(fd, &file, sizeof(file), 0) != (ssize_t)sizeof(file) ||
        memcmp(file.magic, pool_magic, sizeof(pool_magic)) ||
        file.device >= DIVVY_SIMGPU_UNITS_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    int ordinal = divvy_drv_device_ordinal((int)file.device);
    DRV_TRY(divvy_drv_device_find(ordinal, &device));
    CUmemPoolProps props = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                            .handleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
                            .location = {CU_MEM_LOCATION_TYPE_DEVICE, ordinal}};
    DRV_TRY(divvy_drv_pool_new(device, ordinal, &props, &made));
    made->imported = true;
    *pool_out = made->handle;
    return CUDA_SUCCESS;
}

_Static_assert(sizeof(CUmemPoolPtrExportData) == sizeof(divvy_simgpu_ipc_t),
               "a pointer is told by the engine's handle");

CUresult DRV(cuMemPoolExportPointer)(CUmemPoolPtrExportData *shareData_out, CUdeviceptr ptr) {
    divvy_drv_mem_t mem;
    divvy_simgpu_ipc_t ipc;
    if (!shareData_out)
        return CUDA_ERROR_INVALID_VALUE;
    if (!divvy_drv_mem_find(ptr, &mem) || mem.kind != DRV_MEM_POOL || mem.address != ptr ||
        !((divvy_drv_pool_t *)mem.owner)->shared)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_result(divvy_simgpu_ipc_export(ptr, &ipc)));
    memcpy(shareData_out->reserved, ipc.bytes, sizeof(ipc.bytes));
    return CUDA_SUCCESS;
}

CUresult DRV(cuMemPoolImportPointer)(CUdeviceptr *ptr_out, CUmemoryPool pool,
                                     CUmemPoolPtrExportData *shareData) {
    divvy_drv_pool_t *found;
    divvy_simgpu_ipc_t ipc;
    if (!ptr_out || !shareData)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(find(pool, &found));
    if (!found->imported)
        return CUDA_ERROR_INVALID_VALUE;
    memcpy(ipc.bytes, shareData->reserved, sizeof(ipc.bytes));
    return divvy_drv_ipc_open(&ipc, true, ptr_out);
}
