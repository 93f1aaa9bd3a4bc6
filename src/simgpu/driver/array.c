/* Arrays and mipmapped arrays. They take exactly the bytes of their elements, rounded up to 512
 * as a whole. */
#include "simgpu/driver/array.h"
#include "simgpu/driver/capture.h"
#include "simgpu/driver/handle.h"
#include "simgpu/driver/memory.h"
#include "simgpu/driver/pool.h"

#include <stdlib.h>

struct divvy_drv_mipmap {
    CUmipmappedArray handle;
    divvy_drv_context_t *context;
    uint64_t address, bytes;
    unsigned count;
    divvy_drv_array_t *levels;
};

CUresult divvy_drv_array_find(CUarray handle, divvy_drv_array_t **ret_array) {
    divvy_drv_array_t *array = divvy_drv_handle_get(handle, DRV_HANDLE_ARRAY);
    if (!array)
        return CUDA_ERROR_INVALID_HANDLE;
    *ret_array = array;
    return CUDA_SUCCESS;
}

/* ---- shape ----------------------------------------------------------------------------------- */

/* Bytes of one channel; 0 for the formats of compressed and planar pictures, which are not
 * supported. */
static unsigned format_bytes(CUarray_format format) {
    switch ((int)format) {
    case CU_AD_FORMAT_UNSIGNED_INT8:
    case CU_AD_FORMAT_SIGNED_INT8:
        return 1;
    case CU_AD_FORMAT_UNSIGNED_INT16:
    case CU_AD_FORMAT_SIGNED_INT16:
    case CU_AD_FORMAT_HALF:
        return 2;
    case CU_AD_FORMAT_UNSIGNED_INT32:
    case CU_AD_FORMAT_SIGNED_INT32:
    case CU_AD_FORMAT_FLOAT:
        return 4;
    default:
        return 0;
    }
}

static CUresult check_flags(const CUDA_ARRAY3D_DESCRIPTOR *d) {
    const unsigned known = CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_SURFACE_LDST | CUDA_ARRAY3D_CUBEMAP |
                           CUDA_ARRAY3D_TEXTURE_GATHER | CUDA_ARRAY3D_DEPTH_TEXTURE |
                           CUDA_ARRAY3D_COLOR_ATTACHMENT;
    if (d->Flags &
        (CUDA_ARRAY3D_SPARSE | CUDA_ARRAY3D_DEFERRED_MAPPING | CUDA_ARRAY3D_VIDEO_ENCODE_DECODE))
        return CUDA_ERROR_NOT_SUPPORTED;
    if (d->Flags & ~known)
        return CUDA_ERROR_INVALID_VALUE;
    if (d->Flags & CUDA_ARRAY3D_CUBEMAP) {
        bool layered = d->Flags & CUDA_ARRAY3D_LAYERED;
        if (d->Width != d->Height || (layered ? !d->Depth || d->Depth % 6 : d->Depth != 6))
            return CUDA_ERROR_INVALID_VALUE;
    } else if (d->Flags & CUDA_ARRAY3D_LAYERED && !d->Depth) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}

/* The layers of a layered array are slices; a 1D layered array has them although its height is
 * 0. */
static CUresult shape(const CUDA_ARRAY3D_DESCRIPTOR *d, divvy_drv_array_t *array) {
    unsigned channel = format_bytes(d->Format);
    bool layered = d->Flags & (CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_CUBEMAP);
    if (!channel)
        return (int)d->Format >= 0x50 ? CUDA_ERROR_NOT_SUPPORTED : CUDA_ERROR_INVALID_VALUE;
    if (!d->Width || (d->NumChannels != 1 && d->NumChannels != 2 && d->NumChannels != 4) ||
        (d->Depth && !d->Height && !layered))
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(check_flags(d));
    if (d->Width > 131072 || d->Height > 131072 || d->Depth > 16384)
        return CUDA_ERROR_INVALID_VALUE;
    array->descriptor = *d;
    array->element_bytes = channel * d->NumChannels;
    array->row_bytes = d->Width * array->element_bytes;
    array->rows = d->Height ? d->Height : 1;
    array->slices = d->Depth ? d->Depth : 1;
    return CUDA_SUCCESS;
}

static CUresult obtain(divvy_drv_context_t *context, uint64_t bytes, uint64_t *ret_address) {
    int status = divvy_simgpu_mem_alloc(context->device, bytes, 0, DRV_MEM_ARRAY, ret_address);
    if (status && divvy_drv_pool_reclaim(context->device))
        status = divvy_simgpu_mem_alloc(context->device, bytes, 0, DRV_MEM_ARRAY, ret_address);
    return divvy_drv_result(status);
}

/* The memory is entered as the context's, so that it goes with it, and takes the handles along. */
static CUresult enter(divvy_drv_context_t *context, uint64_t address, uint64_t bytes, void *owner,
                      bool mipmapped) {
    divvy_drv_mem_t mem = {.address = address,
                           .bytes = bytes,
                           .kind = DRV_MEM_ARRAY,
                           .device = context->device,
                           .context = context,
                           .owner = owner,
                           .flags = mipmapped};
    if (!divvy_drv_mem_enter(&mem))
        return CUDA_SUCCESS;
    divvy_simgpu_mem_free(address);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

static void give_up(uint64_t address) {
    divvy_drv_mem_t mem;
    if (divvy_drv_mem_take(address, DRV_MEM_ARRAY, &mem))
        divvy_simgpu_mem_free(address);
}

/* ---- arrays ---------------------------------------------------------------------------------- */

CUresult DRV(cuArray3DCreate_v2)(CUarray *pHandle, const CUDA_ARRAY3D_DESCRIPTOR *pAllocateArray) {
    divvy_drv_context_t *context;
    if (!pHandle || !pAllocateArray)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_context_current(&context));
    DRV_TRY(divvy_drv_capture_guard());
    divvy_drv_array_t *array = calloc(1, sizeof(*array));
    if (!array)
        return CUDA_ERROR_OUT_OF_MEMORY;
    array->context = context;
    CUresult result = shape(pAllocateArray, array);
    if (result == CUDA_SUCCESS)
        result = obtain(context, divvy_drv_array_bytes(array), &array->address);
    if (result == CUDA_SUCCESS)
        result = enter(context, array->address, divvy_drv_array_bytes(array), array, false);
    if (result == CUDA_SUCCESS) {
        array->handle = divvy_drv_handle_new(DRV_HANDLE_ARRAY, array);
        if (!array->handle) {
            give_up(array->address);
            result = CUDA_ERROR_OUT_OF_MEMORY;
        }
    }
    if (result != CUDA_SUCCESS) {
        free(array);
        return result;
    }
    *pHandle = array->handle;
    return CUDA_SUCCESS;
}

CUresult DRV(cuArrayCreate_v2)(CUarray *pHandle, const CUDA_ARRAY_DESCRIPTOR *pAllocateArray) {
    if (!pHandle || !pAllocateArray)
        return CUDA_ERROR_INVALID_VALUE;
    CUDA_ARRAY3D_DESCRIPTOR d = {.Width = pAllocateArray->Width,
                                 .Height = pAllocateArray->Height,
                                 .Format = pAllocateArray->Format,
                                 .NumChannels = pAllocateArray->NumChannels};
    return DRV(cuArray3DCreate_v2)(pHandle, &d);
}

CUresult DRV(cuArray3DCreate)(CUarray *pHandle, const CUDA_ARRAY3D_DESCRIPTOR_v1 *pAllocateArray) {
    if (!pHandle || !pAllocateArray)
        return CUDA_ERROR_INVALID_VALUE;
    CUDA_ARRAY3D_DESCRIPTOR d = {.Width = pAllocateArray->Width,
                                 .Height = pAllocateArray->Height,
                                 .Depth = pAllocateArray->Depth,
                                 .Format = pAllocateArray->Format,
                                 .NumChannels = pAllocateArray->NumChannels,
                                 .Flags = pAllocateArray->Flags};
    return DRV(cuArray3DCreate_v2)(pHandle, &d);
}

CUresult DRV(cuArrayCreate)(CUarray *pHandle, const CUDA_ARRAY_DESCRIPTOR_v1 *pAllocateArray) {
    if (!pHandle || !pAllocateArray)
        return CUDA_ERROR_INVALID_VALUE;
    CUDA_ARRAY3D_DESCRIPTOR d = {.Width = pAllocateArray->Width,
                                 .Height = pAllocateArray->Height,
                                 .Format = pAllocateArray->Format,
                                 .NumChannels = pAllocateArray->NumChannels};
    return DRV(cuArray3DCreate_v2)(pHandle, &d);
}

CUresult DRV(cuArrayDestroy)(CUarray hArray) {
    divvy_drv_array_t *array;
    DRV_TRY(divvy_drv_array_find(hArray, &array));
    if (array->parent)
        return CUDA_ERROR_INVALID_HANDLE; /* a level goes with its mipmapped array */
    DRV_TRY(divvy_drv_capture_guard());
    DRV_TRY(divvy_drv_mem_quiesce(array->context->device));
    if (!divvy_drv_handle_end(hArray, DRV_HANDLE_ARRAY))
        return CUDA_ERROR_INVALID_HANDLE;
    give_up(array->address);
    free(array);
    return CUDA_SUCCESS;
}

/* ---- what is asked of them ------------------------------------------------------------------- */

CUresult DRV(cuArray3DGetDescriptor_v2)(CUDA_ARRAY3D_DESCRIPTOR *pArrayDescriptor, CUarray hArray) {
    divvy_drv_array_t *array;
    if (!pArrayDescriptor)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_array_find(hArray, &array));
    *pArrayDescriptor = array->descriptor;
    return CUDA_SUCCESS;
}

CUresult DRV(cuArrayGetDescriptor_v2)(CUDA_ARRAY_DESCRIPTOR *pArrayDescriptor, CUarray hArray) {
    divvy_drv_array_t *array;
    if (!pArrayDescriptor)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_array_find(hArray, &array));
    const CUDA_ARRAY3D_DESCRIPTOR *d = &array->descriptor;
    *pArrayDescriptor = (CUDA_ARRAY_DESCRIPTOR){d->Width, d->Height, d->Format, d->NumChannels};
    return CUDA_SUCCESS;
}

CUresult DRV(cuArray3DGetDescriptor)(CUDA_ARRAY3D_DESCRIPTOR_v1 *pArrayDescriptor, CUarray hArray) {
    divvy_drv_array_t *array;
    if (!pArrayDescriptor)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_array_find(hArray, &array));
    const CUDA_ARRAY3D_DESCRIPTOR *d = &array->descriptor;
    *pArrayDescriptor =
        (CUDA_ARRAY3D_DESCRIPTOR_v1){(unsigned)d->Width, (unsigned)d->Height, (unsigned)d->Depth,
                                     d->Format,          d->NumChannels,      d->Flags};
    return CUDA_SUCCESS;
}

CUresult DRV(cuArrayGetDescriptor)(CUDA_ARRAY_DESCRIPTOR_v1 *pArrayDescriptor, CUarray hArray) {
    divvy_drv_array_t *array;
    if (!pArrayDescriptor)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_array_find(hArray, &array));
    const CUDA_ARRAY3D_DESCRIPTOR *d = &array->descriptor;
    *pArrayDescriptor = (CUDA_ARRAY_DESCRIPTOR_v1){(unsigned)d->Width, (unsigned)d->Height,
                                                   d->Format, d->NumChannels};
    return CUDA_SUCCESS;
}

static uint64_t rounded(uint64_t bytes) {
    return (bytes + DIVVY_SIMGPU_GRAIN_BYTES - 1) / DIVVY_SIMGPU_GRAIN_BYTES *
           DIVVY_SIMGPU_GRAIN_BYTES;
}

CUresult DRV(cuArrayGetMemoryRequirements)(CUDA_ARRAY_MEMORY_REQUIREMENTS *memoryRequirements,
                                           CUarray array, CUdevice device) {
    divvy_drv_array_t *found;
    divvy_drv_device_t *on;
    if (!memoryRequirements)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_array_find(array, &found));
    DRV_TRY(divvy_drv_device_find(device, &on));
    *memoryRequirements = (CUDA_ARRAY_MEMORY_REQUIREMENTS){
        .size = rounded(divvy_drv_array_bytes(found)), .alignment = DIVVY_SIMGPU_GRAIN_BYTES};
    return CUDA_SUCCESS;
}

CUresult DRV(cuArrayGetPlane)(CUarray *pPlaneArray, CUarray hArray, unsigned int planeIdx) {
    divvy_drv_array_t *array;
    (void)planeIdx;
    if (!pPlaneArray)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_array_find(hArray, &array));
    return CUDA_ERROR_INVALID_VALUE; /* only planar formats have planes */
}

CUresult DRV(cuArrayGetSparseProperties)(CUDA_ARRAY_SPARSE_PROPERTIES *sparseProperties,
                                         CUarray array) {
    divvy_drv_array_t *found;
    if (!sparseProperties)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_array_find(array, &found));
    return CUDA_ERROR_INVALID_VALUE; /* no array here is sparse */
}

/* ---- mipmapped arrays ------------------------------------------------------------------------ */

static uint64_t half(uint64_t value, unsigned level) {
    return !value ? 0 : value >> level ? value >> level : 1;
}

/* Each level halves the sides; layers and faces stay as many. */
static CUDA_ARRAY3D_DESCRIPTOR level_shape(const CUDA_ARRAY3D_DESCRIPTOR *d, unsigned level) {
    CUDA_ARRAY3D_DESCRIPTOR reduced = *d;
    reduced.Width = half(d->Width, level);
    reduced.Height = half(d->Height, level);
    if (!(d->Flags & (CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_CUBEMAP)))
        reduced.Depth = half(d->Depth, level);
    return reduced;
}

static unsigned levels_max(const CUDA_ARRAY3D_DESCRIPTOR *d) {
    uint64_t largest = d->Width > d->Height ? d->Width : d->Height;
    if (!(d->Flags & (CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_CUBEMAP)) && d->Depth > largest)
        largest = d->Depth;
    return 64u - (unsigned)__builtin_clzll(largest | 1);
}

static void mipmap_free(divvy_drv_mipmap_t *mipmap) {
    for (unsigned i = 0; mipmap->levels && i < mipmap->count; i++)
        divvy_drv_handle_end(mipmap->levels[i].handle, DRV_HANDLE_ARRAY);
    divvy_drv_handle_end(mipmap->handle, DRV_HANDLE_MIPMAP);
    if (mipmap->address)
        give_up(mipmap->address);
    free(mipmap->levels);
    free(mipmap);
}

/* Shapes all levels and lays them out one behind the other. */
static CUresult mipmap_plan(divvy_drv_mipmap_t *mipmap, const CUDA_ARRAY3D_DESCRIPTOR *d) {
    mipmap->levels = calloc(mipmap->count, sizeof(*mipmap->levels));
    if (!mipmap->levels)
        return CUDA_ERROR_OUT_OF_MEMORY;
    for (unsigned i = 0; i < mipmap->count; i++) {
        divvy_drv_array_t *level = mipmap->levels + i;
        CUDA_ARRAY3D_DESCRIPTOR reduced = level_shape(d, i);
        level->context = mipmap->context;
        level->parent = mipmap;
        DRV_TRY(shape(&reduced, level));
        level->address = mipmap->bytes; /* an offset for now */
        mipmap->bytes += rounded(divvy_drv_array_bytes(level));
        level->handle = divvy_drv_handle_new(DRV_HANDLE_ARRAY, level);
        if (!level->handle)
            return CUDA_ERROR_OUT_OF_MEMORY;
    }
    return CUDA_SUCCESS;
}

CUresult DRV(cuMipmappedArrayCreate)(CUmipmappedArray *pHandle,
                                     const CUDA_ARRAY3D_DESCRIPTOR *pMipmappedArrayDesc,
                                     unsigned int numMipmapLevels) {
    divvy_drv_context_t *context;
    if (!pHandle || !pMipmappedArrayDesc || !numMipmapLevels)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_context_current(&context));
    DRV_TRY(divvy_drv_capture_guard());
    divvy_drv_mipmap_t *mipmap = calloc(1, sizeof(*mipmap));
    if (!mipmap)
        return CUDA_ERROR_OUT_OF_MEMORY;
    mipmap->context = context;
    unsigned most =
        levels_max(pMipmappedArrayDesc); /* more levels than there can be are cut, as documented */
    mipmap->count = numMipmapLevels < most ? numMipmapLevels : most;
    CUresult result = mipmap_plan(mipmap, pMipmappedArrayDesc);
    if (result == CUDA_SUCCESS)
        result = obtain(context, mipmap->bytes, &mipmap->address);
    if (result == CUDA_SUCCESS) {
        result = enter(context, mipmap->address, mipmap->bytes, mipmap, true);
        if (result != CUDA_SUCCESS)
            mipmap->address = 0;
    }
    if (result == CUDA_SUCCESS) {
        mipmap->handle = divvy_drv_handle_new(DRV_HANDLE_MIPMAP, mipmap);
        if (!mipmap->handle)
            result = CUDA_ERROR_OUT_OF_MEMORY;
    }
    if (result != CUDA_SUCCESS) {
        mipmap_free(mipmap);
        return result;
    }
    for (unsigned i = 0; i < mipmap->count; i++)
        mipmap->levels[i].address += mipmap->address;
    *pHandle = mipmap->handle;
    return CUDA_SUCCESS;
}

static CUresult find_mipmap(CUmipmappedArray handle, divvy_drv_mipmap_t **ret_mipmap) {
    divvy_drv_mipmap_t *mipmap = divvy_drv_handle_get(handle, DRV_HANDLE_MIPMAP);
    if (!mipmap)
        return CUDA_ERROR_INVALID_HANDLE;
    *ret_mipmap = mipmap;
    return CUDA_SUCCESS;
}

CUresult DRV(cuMipmappedArrayDestroy)(CUmipmappedArray hMipmappedArray) {
    divvy_drv_mipmap_t *mipmap;
    DRV_TRY(find_mipmap(hMipmappedArray, &mipmap));
    DRV_TRY(divvy_drv_capture_guard());
    DRV_TRY(divvy_drv_mem_quiesce(mipmap->context->device));
    mipmap_free(mipmap);
    return CUDA_SUCCESS;
}

CUresult DRV(cuMipmappedArrayGetLevel)(CUarray *pLevelArray, CUmipmappedArray hMipmappedArray,
                                       unsigned int level) {
    divvy_drv_mipmap_t *mipmap;
    if (!pLevelArray)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(find_mipmap(hMipmappedArray, &mipmap));
    if (level >= mipmap->count)
        return CUDA_ERROR_INVALID_VALUE;
    *pLevelArray = mipmap->levels[level].handle;
    return CUDA_SUCCESS;
}

CUresult DRV(cuMipmappedArrayGetMemoryRequirements)(
    CUDA_ARRAY_MEMORY_REQUIREMENTS *memoryRequirements, CUmipmappedArray mipmap, CUdevice device) {
    divvy_drv_mipmap_t *found;
    divvy_drv_device_t *on;
    if (!memoryRequirements)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(find_mipmap(mipmap, &found));
    DRV_TRY(divvy_drv_device_find(device, &on));
    *memoryRequirements = (CUDA_ARRAY_MEMORY_REQUIREMENTS){.size = found->bytes,
                                                           .alignment = DIVVY_SIMGPU_GRAIN_BYTES};
    return CUDA_SUCCESS;
}

CUresult DRV(cuMipmappedArrayGetSparseProperties)(CUDA_ARRAY_SPARSE_PROPERTIES *sparseProperties,
                                                  CUmipmappedArray mipmap) {
    divvy_drv_mipmap_t *found;
    if (!sparseProperties)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(find_mipmap(mipmap, &found));
    return CUDA_ERROR_INVALID_VALUE;
}

/* ---- the end of a context -------------------------------------------------------------------- */

void divvy_drv_array_gone(const divvy_drv_mem_t *mem) {
    divvy_simgpu_mem_free(mem->address);
    if (mem->flags) {
        divvy_drv_mipmap_t *mipmap = mem->owner;
        mipmap->address = 0; /* given back above */
        mipmap_free(mipmap);
        return;
    }
    divvy_drv_array_t *array = mem->owner;
    divvy_drv_handle_end(array->handle, DRV_HANDLE_ARRAY);
    free(array);
}
