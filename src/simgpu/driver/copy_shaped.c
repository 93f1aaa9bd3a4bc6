/* Copies with a shape: rows, boxes, arrays, and batches of them. */
#include "simgpu/driver/array.h"
#include "simgpu/driver/capture.h"
#include "simgpu/driver/copy.h"

/* ---- from parameters to an operation --------------------------------------------------------- */

typedef struct {
    size_t x, y, z, pitch, height;
    CUmemorytype type;
    uint64_t host, device;
    CUarray array;
} side_t;

typedef struct {
    uint64_t width, height, depth;
} box_t;

static CUresult array_end(const side_t *side, const box_t *box, divvy_drv_end_t *ret_end) {
    divvy_drv_array_t *array;
    DRV_TRY(divvy_drv_array_find(side->array, &array));
    if (side->x > array->row_bytes || box->width > array->row_bytes - side->x ||
        side->y > array->rows || box->height > array->rows - side->y || side->z > array->slices ||
        box->depth > array->slices - side->z)
        return CUDA_ERROR_INVALID_VALUE;
    *ret_end = (divvy_drv_end_t){
        .pitch_bytes = array->row_bytes,
        .slice_bytes = array->row_bytes * array->rows,
        .device = array->context->device,
        .address = array->address + side->z * array->row_bytes * array->rows +
                   side->y * array->row_bytes + side->x,
    };
    return CUDA_SUCCESS;
}

static CUresult linear_end(const side_t *side, const box_t *box, bool write,
                           divvy_drv_end_t *ret_end) {
    uint64_t pitch = side->pitch ? side->pitch : box->width + side->x;
    uint64_t height = side->height ? side->height : box->height + side->y;
    uint64_t slice, start, part, bytes, end;
    if (side->x + box->width < side->x || side->y + box->height < side->y)
        return CUDA_ERROR_INVALID_VALUE;
    if ((box->height > 1 || box->depth > 1) && pitch < side->x + box->width)
        return CUDA_ERROR_INVALID_VALUE;
    if (box->depth > 1 && height < side->y + box->height)
        return CUDA_ERROR_INVALID_VALUE;
    if (__builtin_mul_overflow(pitch, height, &slice) ||
        __builtin_mul_overflow(side->z, slice, &start) ||
        __builtin_mul_overflow(side->y, pitch, &part) ||
        __builtin_add_overflow(start, part, &start) ||
        __builtin_add_overflow(start, side->x, &start) ||
        __builtin_mul_overflow(box->depth - 1, slice, &bytes) ||
        __builtin_mul_overflow(box->height - 1, pitch, &part) ||
        __builtin_add_overflow(bytes, part, &bytes) ||
        __builtin_add_overflow(bytes, box->width, &bytes))
        return CUDA_ERROR_INVALID_VALUE;
    uint64_t base = side->type == CU_MEMORYTYPE_HOST ? side->host : side->device;
    if (__builtin_add_overflow(base, start, &base) || __builtin_add_overflow(base, bytes, &end))
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(
        divvy_drv_end_classify(base, bytes, side->type != CU_MEMORYTYPE_DEVICE, write, ret_end));
    ret_end->pitch_bytes = pitch;
    ret_end->slice_bytes = slice;
    return CUDA_SUCCESS;
}

static CUresult resolve(const side_t *side, const box_t *box, bool write,
                        divvy_drv_end_t *ret_end) {
    switch (side->type) {
    case CU_MEMORYTYPE_ARRAY:
        return array_end(side, box, ret_end);
    case CU_MEMORYTYPE_HOST:
    case CU_MEMORYTYPE_DEVICE:
    case CU_MEMORYTYPE_UNIFIED:
        return linear_end(side, box, write, ret_end);
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

static CUresult join(const side_t *to, const side_t *from, const box_t *box,
                     divvy_drv_copy_op_t *ret_op) {
    divvy_drv_end_t a = {0}, b = {0};
    if (!box->width || !box->height || !box->depth) {
        *ret_op = (divvy_drv_copy_op_t){0};
        return CUDA_SUCCESS;
    }
    DRV_TRY(resolve(to, box, true, &a));
    DRV_TRY(resolve(from, box, false, &b));
    divvy_drv_copy_join(&a, &b, box->width, box->height, box->depth, ret_op);
    return CUDA_SUCCESS;
}

CUresult divvy_drv_copy_resolve(const CUDA_MEMCPY3D *p, divvy_drv_copy_op_t *ret_op) {
    side_t from = {p->srcXInBytes,
                   p->srcY,
                   p->srcZ,
                   p->srcPitch,
                   p->srcHeight,
                   p->srcMemoryType,
                   (uint64_t)(uintptr_t)p->srcHost,
                   p->srcDevice,
                   p->srcArray};
    side_t to = {p->dstXInBytes,
                 p->dstY,
                 p->dstZ,
                 p->dstPitch,
                 p->dstHeight,
                 p->dstMemoryType,
                 (uint64_t)(uintptr_t)p->dstHost,
                 p->dstDevice,
                 p->dstArray};
    box_t box = {p->WidthInBytes, p->Height, p->Depth};
    if (p->srcLOD || p->dstLOD)
        return CUDA_ERROR_INVALID_VALUE; /* must be 0 */
    return join(&to, &from, &box, ret_op);
}

/* ---- 2D and 3D ------------------------------------------------------------------------------- */

static CUresult copy3d(const CUDA_MEMCPY3D *params, CUstream stream, divvy_drv_copy_mode_t mode) {
    divvy_drv_copy_op_t op;
    if (!params)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_copy_resolve(params, &op));
    return divvy_drv_copy_send(stream, &op, params, mode);
}

CUresult DRV(cuMemcpy3D_v2)(const CUDA_MEMCPY3D *pCopy) {
    return copy3d(pCopy, NULL, DRV_COPY_SYNC);
}

CUresult DRV(cuMemcpy3DAsync_v2)(const CUDA_MEMCPY3D *pCopy, CUstream hStream) {
    return copy3d(pCopy, hStream, DRV_COPY_ASYNC);
}

static CUresult copy2d(const CUDA_MEMCPY2D *p, CUstream stream, divvy_drv_copy_mode_t mode) {
    if (!p)
        return CUDA_ERROR_INVALID_VALUE;
    CUDA_MEMCPY3D params = {
        .srcXInBytes = p->srcXInBytes,
        .srcY = p->srcY,
        .srcMemoryType = p->srcMemoryType,
        .srcHost = p->srcHost,
        .srcDevice = p->srcDevice,
        .srcArray = p->srcArray,
        .srcPitch = p->srcPitch,
        .dstXInBytes = p->dstXInBytes,
        .dstY = p->dstY,
        .dstMemoryType = p->dstMemoryType,
        .dstHost = p->dstHost,
        .dstDevice = p->dstDevice,
        .dstArray = p->dstArray,
        .dstPitch = p->dstPitch,
        .WidthInBytes = p->WidthInBytes,
        .Height = p->Height,
        .Depth = 1,
    };
    return copy3d(&params, stream, mode);
}

CUresult DRV(cuMemcpy2D_v2)(const CUDA_MEMCPY2D *pCopy) {
    return copy2d(pCopy, NULL, DRV_COPY_SYNC);
}

CUresult DRV(cuMemcpy2DUnaligned_v2)(const CUDA_MEMCPY2D *pCopy) {
    return copy2d(pCopy, NULL, DRV_COPY_SYNC);
}

CUresult DRV(cuMemcpy2DAsync_v2)(const CUDA_MEMCPY2D *pCopy, CUstream hStream) {
    return copy2d(pCopy, hStream, DRV_COPY_ASYNC);
}

static CUresult copy_peer(const CUDA_MEMCPY3D_PEER *p, CUstream stream,
                          divvy_drv_copy_mode_t mode) {
    divvy_drv_context_t *context;
    if (!p)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_context_find(p->srcContext, &context));
    DRV_TRY(divvy_drv_context_find(p->dstContext, &context));
    CUDA_MEMCPY3D params = {
        .srcXInBytes = p->srcXInBytes,
        .srcY = p->srcY,
        .srcZ = p->srcZ,
        .srcLOD = p->srcLOD,
        .srcMemoryType = p->srcMemoryType,
        .srcHost = p->srcHost,
        .srcDevice = p->srcDevice,
        .srcArray = p->srcArray,
        .srcPitch = p->srcPitch,
        .srcHeight = p->srcHeight,
        .dstXInBytes = p->dstXInBytes,
        .dstY = p->dstY,
        .dstZ = p->dstZ,
        .dstLOD = p->dstLOD,
        .dstMemoryType = p->dstMemoryType,
        .dstHost = p->dstHost,
        .dstDevice = p->dstDevice,
        .dstArray = p->dstArray,
        .dstPitch = p->dstPitch,
        .dstHeight = p->dstHeight,
        .WidthInBytes = p->WidthInBytes,
        .Height = p->Height,
        .Depth = p->Depth,
    };
    return copy3d(&params, stream, mode);
}

CUresult DRV(cuMemcpy3DPeer)(const CUDA_MEMCPY3D_PEER *pCopy) {
    return copy_peer(pCopy, NULL, DRV_COPY_SYNC);
}

CUresult DRV(cuMemcpy3DPeerAsync)(const CUDA_MEMCPY3D_PEER *pCopy, CUstream hStream) {
    return copy_peer(pCopy, hStream, DRV_COPY_ASYNC);
}

/* ---- arrays by byte offset ------------------------------------------------------------------- */

/* An array seen as a line of bytes. */
static CUresult flat(CUarray handle, size_t offset, size_t bytes, divvy_drv_end_t *ret_end) {
    divvy_drv_array_t *array;
    DRV_TRY(divvy_drv_array_find(handle, &array));
    if (offset > divvy_drv_array_bytes(array) || bytes > divvy_drv_array_bytes(array) - offset)
        return CUDA_ERROR_INVALID_VALUE;
    *ret_end =
        (divvy_drv_end_t){.address = array->address + offset, .device = array->context->device};
    return CUDA_SUCCESS;
}

static CUresult send_flat(const divvy_drv_end_t *to, const divvy_drv_end_t *from, size_t bytes,
                          CUstream stream, divvy_drv_copy_mode_t mode) {
    divvy_drv_copy_op_t op;
    divvy_drv_copy_join(to, from, bytes, 1, 1, &op);
    return divvy_drv_copy_send(stream, &op, NULL, mode);
}

static CUresult into_array(CUarray array, size_t offset, uint64_t from, bool host, size_t bytes,
                           CUstream stream, divvy_drv_copy_mode_t mode) {
    divvy_drv_end_t a = {0}, b = {0};
    DRV_TRY(flat(array, offset, bytes, &a));
    if (!bytes)
        return CUDA_SUCCESS;
    DRV_TRY(divvy_drv_end_classify(from, bytes, host, false, &b));
    return send_flat(&a, &b, bytes, stream, mode);
}

static CUresult out_of_array(uint64_t to, bool host, CUarray array, size_t offset, size_t bytes,
                             CUstream stream, divvy_drv_copy_mode_t mode) {
    divvy_drv_end_t a = {0}, b = {0};
    DRV_TRY(flat(array, offset, bytes, &b));
    if (!bytes)
        return CUDA_SUCCESS;
    DRV_TRY(divvy_drv_end_classify(to, bytes, host, true, &a));
    return send_flat(&a, &b, bytes, stream, mode);
}

#define P(pointer) ((uint64_t)(uintptr_t)(pointer))

CUresult DRV(cuMemcpyDtoA_v2)(CUarray dstArray, size_t dstOffset, CUdeviceptr srcDevice,
                              size_t ByteCount) {
    return into_array(dstArray, dstOffset, srcDevice, false, ByteCount, NULL, DRV_COPY_SYNC);
}

CUresult DRV(cuMemcpyAtoD_v2)(CUdeviceptr dstDevice, CUarray srcArray, size_t srcOffset,
                              size_t ByteCount) {
    return out_of_array(dstDevice, false, srcArray, srcOffset, ByteCount, NULL, DRV_COPY_SYNC);
}

CUresult DRV(cuMemcpyHtoA_v2)(CUarray dstArray, size_t dstOffset, const void *srcHost,
                              size_t ByteCount) {
    return into_array(dstArray, dstOffset, P(srcHost), true, ByteCount, NULL, DRV_COPY_SYNC);
}

CUresult DRV(cuMemcpyAtoH_v2)(void *dstHost, CUarray srcArray, size_t srcOffset, size_t ByteCount) {
    return out_of_array(P(dstHost), true, srcArray, srcOffset, ByteCount, NULL, DRV_COPY_SYNC);
}

CUresult DRV(cuMemcpyHtoAAsync_v2)(CUarray dstArray, size_t dstOffset, const void *srcHost,
                                   size_t ByteCount, CUstream hStream) {
    return into_array(dstArray, dstOffset, P(srcHost), true, ByteCount, hStream, DRV_COPY_ASYNC);
}

CUresult DRV(cuMemcpyAtoHAsync_v2)(void *dstHost, CUarray srcArray, size_t srcOffset,
                                   size_t ByteCount, CUstream hStream) {
    return out_of_array(P(dstHost), true, srcArray, srcOffset, ByteCount, hStream, DRV_COPY_ASYNC);
}

CUresult DRV(cuMemcpyAtoA_v2)(CUarray dstArray, size_t dstOffset, CUarray srcArray,
                              size_t srcOffset, size_t ByteCount) {
    divvy_drv_end_t a = {0}, b = {0};
    DRV_TRY(flat(dstArray, dstOffset, ByteCount, &a));
    DRV_TRY(flat(srcArray, srcOffset, ByteCount, &b));
    return ByteCount ? send_flat(&a, &b, ByteCount, NULL, DRV_COPY_SYNC) : CUDA_SUCCESS;
}

/* ---- the 32-bit forms ------------------------------------------------------------------------ */

CUresult DRV(cuMemcpyDtoA)(CUarray dstArray, unsigned int dstOffset, CUdeviceptr_v1 srcDevice,
                           unsigned int ByteCount) {
    return DRV(cuMemcpyDtoA_v2)(dstArray, dstOffset, srcDevice, ByteCount);
}

CUresult DRV(cuMemcpyAtoD)(CUdeviceptr_v1 dstDevice, CUarray srcArray, unsigned int srcOffset,
                           unsigned int ByteCount) {
    return DRV(cuMemcpyAtoD_v2)(dstDevice, srcArray, srcOffset, ByteCount);
}

CUresult DRV(cuMemcpyHtoA)(CUarray dstArray, unsigned int dstOffset, const void *srcHost,
                           unsigned int ByteCount) {
    return DRV(cuMemcpyHtoA_v2)(dstArray, dstOffset, srcHost, ByteCount);
}

CUresult DRV(cuMemcpyAtoH)(void *dstHost, CUarray srcArray, unsigned int srcOffset,
                           unsigned int ByteCount) {
    return DRV(cuMemcpyAtoH_v2)(dstHost, srcArray, srcOffset, ByteCount);
}

CUresult DRV(cuMemcpyAtoA)(CUarray dstArray, unsigned int dstOffset, CUarray srcArray,
                           unsigned int srcOffset, unsigned int ByteCount) {
    return DRV(cuMemcpyAtoA_v2)(dstArray, dstOffset, srcArray, srcOffset, ByteCount);
}

CUresult DRV(cuMemcpyHtoAAsync)(CUarray dstArray, unsigned int dstOffset, const void *srcHost,
                                unsigned int ByteCount, CUstream hStream) {
    return DRV(cuMemcpyHtoAAsync_v2)(dstArray, dstOffset, srcHost, ByteCount, hStream);
}

CUresult DRV(cuMemcpyAtoHAsync)(void *dstHost, CUarray srcArray, unsigned int srcOffset,
                                unsigned int ByteCount, CUstream hStream) {
    return DRV(cuMemcpyAtoHAsync_v2)(dstHost, srcArray, srcOffset, ByteCount, hStream);
}

static CUDA_MEMCPY2D widen2d(const CUDA_MEMCPY2D_v1 *p) {
    return (CUDA_MEMCPY2D){p->srcXInBytes, p->srcY,          p->srcMemoryType, p->srcHost,
                           p->srcDevice,   p->srcArray,      p->srcPitch,      p->dstXInBytes,
                           p->dstY,        p->dstMemoryType, p->dstHost,       p->dstDevice,
                           p->dstArray,    p->dstPitch,      p->WidthInBytes,  p->Height};
}

CUresult DRV(cuMemcpy2D)(const CUDA_MEMCPY2D_v1 *pCopy) {
    if (!pCopy)
        return CUDA_ERROR_INVALID_VALUE;
    CUDA_MEMCPY2D wide = widen2d(pCopy);
    return copy2d(&wide, NULL, DRV_COPY_SYNC);
}

CUresult DRV(cuMemcpy2DUnaligned)(const CUDA_MEMCPY2D_v1 *pCopy) {
    return DRV(cuMemcpy2D)(pCopy);
}

CUresult DRV(cuMemcpy2DAsync)(const CUDA_MEMCPY2D_v1 *pCopy, CUstream hStream) {
    if (!pCopy)
        return CUDA_ERROR_INVALID_VALUE;
    CUDA_MEMCPY2D wide = widen2d(pCopy);
    return copy2d(&wide, hStream, DRV_COPY_ASYNC);
}

static CUDA_MEMCPY3D widen3d(const CUDA_MEMCPY3D_v1 *p) {
    return (CUDA_MEMCPY3D){
        .srcXInBytes = p->srcXInBytes,
        .srcY = p->srcY,
        .srcZ = p->srcZ,
        .srcLOD = p->srcLOD,
        .srcMemoryType = p->srcMemoryType,
        .srcHost = p->srcHost,
        .srcDevice = p->srcDevice,
        .srcArray = p->srcArray,
        .srcPitch = p->srcPitch,
        .srcHeight = p->srcHeight,
        .dstXInBytes = p->dstXInBytes,
        .dstY = p->dstY,
        .dstZ = p->dstZ,
        .dstLOD = p->dstLOD,
        .dstMemoryType = p->dstMemoryType,
        .dstHost = p->dstHost,
        .dstDevice = p->dstDevice,
        .dstArray = p->dstArray,
        .dstPitch = p->dstPitch,
        .dstHeight = p->dstHeight,
        .WidthInBytes = p->WidthInBytes,
        .Height = p->Height,
        .Depth = p->Depth,
    };
}

CUresult DRV(cuMemcpy3D)(const CUDA_MEMCPY3D_v1 *pCopy) {
    if (!pCopy)
        return CUDA_ERROR_INVALID_VALUE;
    CUDA_MEMCPY3D wide = widen3d(pCopy);
    return copy3d(&wide, NULL, DRV_COPY_SYNC);
}

CUresult DRV(cuMemcpy3DAsync)(const CUDA_MEMCPY3D_v1 *pCopy, CUstream hStream) {
    if (!pCopy)
        return CUDA_ERROR_INVALID_VALUE;
    CUDA_MEMCPY3D wide = widen3d(pCopy);
    return copy3d(&wide, hStream, DRV_COPY_ASYNC);
}

/* ---- batches --------------------------------------------------------------------------------- */

/* The legacy default stream is not allowed; SIZE_MAX as the failing index means that no single
 * one is to blame. */
static CUresult batch_stream(CUstream handle, size_t *fail_index) {
    divvy_drv_stream_t *stream;
    if (fail_index)
        *fail_index = SIZE_MAX;
    DRV_TRY(divvy_drv_stream_find(handle, &stream));
    return stream->kind == DRV_STREAM_LEGACY ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

static CUresult batch(CUdeviceptr *dsts, CUdeviceptr *srcs, size_t *sizes, size_t count,
                      const CUmemcpyAttributes *attrs, const size_t *attrs_indices,
                      size_t attrs_count, size_t *fail_index, CUstream stream) {
    if (!dsts || !srcs || !sizes || !count || !attrs || !attrs_indices || !attrs_count ||
        attrs_count > count || attrs_indices[0])
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < attrs_count; i++)
        if (attrs[i].srcAccessOrder == CU_MEMCPY_SRC_ACCESS_ORDER_INVALID ||
            attrs[i].srcAccessOrder > CU_MEMCPY_SRC_ACCESS_ORDER_ANY || attrs_indices[i] >= count ||
            (i && attrs_indices[i] <= attrs_indices[i - 1]))
            return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(batch_stream(stream, fail_index));
    for (size_t i = 0; i < count; i++) {
        CUresult result = sizes[i] ? DRV(cuMemcpyAsync)(dsts[i], srcs[i], sizes[i], stream)
                                   : CUDA_ERROR_INVALID_VALUE;
        if (result == CUDA_SUCCESS)
            continue;
        if (fail_index)
            *fail_index = i;
        return result;
    }
    return CUDA_SUCCESS;
}

CUresult DRV(cuMemcpyBatchAsync)(CUdeviceptr *dsts, CUdeviceptr *srcs, size_t *sizes, size_t count,
                                 CUmemcpyAttributes *attrs, size_t *attrsIdxs, size_t numAttrs,
                                 size_t *failIdx, CUstream hStream) {
    return batch(dsts, srcs, sizes, count, attrs, attrsIdxs, numAttrs, failIdx, hStream);
}

CUresult DRV(cuMemcpyBatchAsync_v2)(CUdeviceptr *dsts, CUdeviceptr *srcs, size_t *sizes,
                                    size_t count, CUmemcpyAttributes *attrs, size_t *attrsIdxs,
                                    size_t numAttrs, CUstream hStream) {
    return batch(dsts, srcs, sizes, count, attrs, attrsIdxs, numAttrs, NULL, hStream);
}

/* Lengths of rows and layers are in elements of an array's size where an array is involved, in
 * bytes otherwise. */
static CUresult operand(const CUmemcpy3DOperand *o, unsigned element_bytes, side_t *ret_side) {
    switch (o->type) {
    case CU_MEMCPY_OPERAND_TYPE_POINTER:
        *ret_side = (side_t){.type = CU_MEMORYTYPE_UNIFIED,
                             .device = o->op.ptr.ptr,
                             .pitch = o->op.ptr.rowLength * element_bytes,
                             .height = o->op.ptr.layerHeight};
        return CUDA_SUCCESS;
    case CU_MEMCPY_OPERAND_TYPE_ARRAY:
        *ret_side = (side_t){.type = CU_MEMORYTYPE_ARRAY,
                             .array = o->op.array.array,
                             .x = o->op.array.offset.x * element_bytes,
                             .y = o->op.array.offset.y,
                             .z = o->op.array.offset.z};
        return CUDA_SUCCESS;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

static CUresult operand_element(const CUmemcpy3DOperand *o, unsigned *ret_bytes) {
    divvy_drv_array_t *array;
    if (o->type != CU_MEMCPY_OPERAND_TYPE_ARRAY)
        return CUDA_SUCCESS;
    DRV_TRY(divvy_drv_array_find(o->op.array.array, &array));
    *ret_bytes = array->element_bytes;
    return CUDA_SUCCESS;
}

static CUresult batch_one(const CUDA_MEMCPY3D_BATCH_OP *o, CUstream stream) {
    side_t from, to;
    divvy_drv_copy_op_t op;
    unsigned element = 1;
    DRV_TRY(operand_element(&o->src, &element));
    DRV_TRY(operand_element(&o->dst, &element));
    DRV_TRY(operand(&o->src, element, &from));
    DRV_TRY(operand(&o->dst, element, &to));
    box_t box = {o->extent.width * element, o->extent.height, o->extent.depth};
    DRV_TRY(join(&to, &from, &box, &op));
    CUDA_MEMCPY3D params = {
        .srcXInBytes = from.x,
        .srcY = from.y,
        .srcZ = from.z,
        .srcMemoryType = from.type,
        .srcDevice = from.device,
        .srcArray = from.array,
        .srcPitch = from.pitch,
        .srcHeight = from.height,
        .dstXInBytes = to.x,
        .dstY = to.y,
        .dstZ = to.z,
        .dstMemoryType = to.type,
        .dstDevice = to.device,
        .dstArray = to.array,
        .dstPitch = to.pitch,
        .dstHeight = to.height,
        .WidthInBytes = box.width,
        .Height = box.height,
        .Depth = box.depth,
    };
    return divvy_drv_copy_send(stream, &op, &params, DRV_COPY_ASYNC);
}

static CUresult batch3d(size_t count, const CUDA_MEMCPY3D_BATCH_OP *list, size_t *fail_index,
                        unsigned long long flags, CUstream stream) {
    if (!count || !list || flags)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(batch_stream(stream, fail_index));
    for (size_t i = 0; i < count; i++) {
        CUresult result = batch_one(list + i, stream);
        if (result == CUDA_SUCCESS)
            continue;
        if (fail_index)
            *fail_index = i;
        return result;
    }
    return CUDA_SUCCESS;
}

CUresult DRV(cuMemcpy3DBatchAsync)(size_t numOps, CUDA_MEMCPY3D_BATCH_OP *opList, size_t *failIdx,
                                   unsigned long long flags, CUstream hStream) {
    return batch3d(numOps, opList, failIdx, flags, hStream);
}

CUresult DRV(cuMemcpy3DBatchAsync_v2)(size_t numOps, CUDA_MEMCPY3D_BATCH_OP *opList,
                                      unsigned long long flags, CUstream hStream) {
    return batch3d(numOps, opList, NULL, flags, hStream);
}
