/* Copies: classifying their ends, executing them, and the linear calls. */
#include "simgpu/driver/copy.h"
#include "simgpu/driver/capture.h"
#include "simgpu/driver/graph_memory.h"
#include "simgpu/driver/memory.h"

#include <stdlib.h>
#include <string.h>

/* ---- ends ------------------------------------------------------------------------------------ */

CUresult divvy_drv_end_classify(uint64_t address, uint64_t bytes, bool host_allowed, bool write,
                                divvy_drv_end_t *ret_end) {
    divvy_simgpu_range_t range;
    ret_end->address = address;
    if (!divvy_simgpu_mem_lookup(address, &range)) {
        if (!divvy_simgpu_mem_valid(address, bytes, write))
            return CUDA_ERROR_INVALID_VALUE;
        ret_end->device = range.device;
        ret_end->pageable = false;
        return CUDA_SUCCESS;
    }
    ret_end->pageable = false;
    if (divvy_drv_graph_memory_covers(address, bytes, &ret_end->device))
        return CUDA_SUCCESS;
    ret_end->device = -1;
    ret_end->pageable = !divvy_drv_mem_is_host(address, bytes);
    return address && (host_allowed || !ret_end->pageable) ? CUDA_SUCCESS
                                                           : CUDA_ERROR_INVALID_VALUE;
}

void divvy_drv_copy_join(const divvy_drv_end_t *to, const divvy_drv_end_t *from, uint64_t width,
                         uint64_t height, uint64_t depth, divvy_drv_copy_op_t *ret_op) {
    divvy_drv_copy_way_t way = from->device < 0 && to->device < 0 ? DRV_COPY_HOST
                               : from->device < 0                 ? DRV_COPY_TO_DEVICE
                               : to->device < 0                   ? DRV_COPY_FROM_DEVICE
                               : to->device == from->device       ? DRV_COPY_ON_DEVICE
                                                                  : DRV_COPY_PEER;
    *ret_op = (divvy_drv_copy_op_t){
        .way = way,
        .from = from->address,
        .to = to->address,
        .from_pitch_bytes = from->pitch_bytes,
        .from_slice_bytes = from->slice_bytes,
        .to_pitch_bytes = to->pitch_bytes,
        .to_slice_bytes = to->slice_bytes,
        .width_bytes = width,
        .height = height,
        .depth = depth,
        .from_device = from->device >= 0,
        .to_device = to->device >= 0,
        .from_pageable = from->pageable,
        .to_pageable = to->pageable,
        .device = to->device >= 0 ? to->device : from->device,
    };
}

static uint64_t span(const divvy_drv_copy_op_t *op, uint64_t pitch, uint64_t slice) {
    return (op->depth - 1) * slice + (op->height - 1) * pitch + op->width_bytes;
}

static uint64_t volume(const divvy_drv_copy_op_t *op) {
    return op->width_bytes * op->height * op->depth;
}

/* ---- execution ------------------------------------------------------------------------------- */

typedef struct {
    divvy_drv_copy_op_t op;
    void *staged;
} job_t;

static void move(const divvy_drv_copy_op_t *op) {
    char *to = (char *)(uintptr_t)op->to;
    const char *from = (const char *)(uintptr_t)op->from;
    bool packed = op->height == 1 || (op->from_pitch_bytes == op->width_bytes &&
                                      op->to_pitch_bytes == op->width_bytes);
    for (uint64_t z = 0; z < op->depth; z++) {
        char *row_to = to + z * op->to_slice_bytes;
        const char *row_from = from + z * op->from_slice_bytes;
        if (packed) {
            memmove(row_to, row_from, op->width_bytes * op->height);
            continue;
        }
        for (uint64_t y = 0; y < op->height; y++)
            memmove(row_to + y * op->to_pitch_bytes, row_from + y * op->from_pitch_bytes,
                    op->width_bytes);
    }
}

/* Device memory may have gone since the copy was asked for; a GPU would fault. */
static bool still_there(const divvy_drv_copy_op_t *op) {
    return (!op->from_device ||
            divvy_simgpu_mem_valid(op->from, span(op, op->from_pitch_bytes, op->from_slice_bytes),
                                   false)) &&
           (!op->to_device ||
            divvy_simgpu_mem_valid(op->to, span(op, op->to_pitch_bytes, op->to_slice_bytes), true));
}

static void job_free(void *argument) {
    job_t *job = argument;
    free(job->staged);
    free(job);
}

static int job_run(void *argument, uint64_t *duration_ns) {
    job_t *job = argument;
    (void)duration_ns;
    uint64_t ticket = divvy_drv_action_begin();
    bool there = still_there(&job->op);
    if (there)
        move(&job->op);
    divvy_drv_action_end(ticket);
    job_free(job);
    return there ? CUDA_SUCCESS : CUDA_ERROR_ILLEGAL_ADDRESS;
}

enum {
    LATENCY_LINK_NS = 1500, /* of a transfer between host and device, or devices */
    LATENCY_CHIP_NS = 1000, /* of a copy inside the device */
};

static uint64_t at_rate(uint64_t bytes, uint64_t bytes_per_s) {
    return bytes_per_s ? (uint64_t)((double)bytes * 1e9 / (double)bytes_per_s) : 0;
}

/* A copy inside a device reads and writes its memory, so it moves twice the bytes; kernels do
 * it. */
static void describe(const divvy_drv_copy_op_t *op, const divvy_simgpu_device_t *facts,
                     divvy_simgpu_item_t *item) {
    uint64_t bytes = volume(op);
    item->bytes = bytes;
    switch (op->way) {
    case DRV_COPY_HOST:
        item->kind = DIVVY_SIMGPU_HOST;
        item->bytes = 0;
        return;
    case DRV_COPY_ON_DEVICE:
        item->kind = DIVVY_SIMGPU_HOST;
        item->fraction_permille = 1000;
        item->bytes = 0;
        item->duration_ns = LATENCY_CHIP_NS + at_rate(2 * bytes, facts->memory_bytes_per_s);
        return;
    default:
        item->kind = DIVVY_SIMGPU_COPY;
        item->flags = op->way == DRV_COPY_FROM_DEVICE ? DIVVY_SIMGPU_FROM_DEVICE : 0;
        item->duration_ns = LATENCY_LINK_NS + at_rate(bytes, facts->pcie_bytes_per_s);
    }
}

CUresult divvy_drv_copy_execute(divvy_drv_stream_t *stream, const divvy_drv_copy_op_t *op,
                                void *staged, divvy_simgpu_position_t *ret_position) {
    divvy_simgpu_item_t item = {.run = job_run, .drop = job_free};
    job_t *job = malloc(sizeof(*job));
    if (!job) {
        free(staged);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *job = (job_t){*op, staged};
    item.arg = job;
    describe(op, stream->context->facts, &item);
    CUresult result = divvy_drv_stream_submit(stream, &item, ret_position);
    if (result != CUDA_SUCCESS)
        job_free(job);
    return result;
}

/* ---- sending --------------------------------------------------------------------------------- */

/* The source's bytes, row by row without gaps; OP then reads from there. */
static void *stage(divvy_drv_copy_op_t *op) {
    void *buffer = malloc(volume(op));
    if (!buffer)
        return NULL;
    divvy_drv_copy_op_t gather = *op;
    gather.to = (uintptr_t)buffer;
    gather.to_pitch_bytes = op->width_bytes;
    gather.to_slice_bytes = op->width_bytes * op->height;
    move(&gather);
    op->from = gather.to;
    op->from_pitch_bytes = gather.to_pitch_bytes;
    op->from_slice_bytes = gather.to_slice_bytes;
    return buffer;
}

static void whole_params(const divvy_drv_copy_op_t *op, CUDA_MEMCPY3D *ret_params) {
    *ret_params = (CUDA_MEMCPY3D){
        .srcMemoryType = op->from_device ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST,
        .srcHost = op->from_device ? NULL : (const void *)(uintptr_t)op->from,
        .srcDevice = op->from_device ? op->from : 0,
        .srcPitch = op->width_bytes,
        .dstMemoryType = op->to_device ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST,
        .dstHost = op->to_device ? NULL : (void *)(uintptr_t)op->to,
        .dstDevice = op->to_device ? op->to : 0,
        .dstPitch = op->width_bytes,
        .WidthInBytes = op->width_bytes,
        .Height = 1,
        .Depth = 1,
    };
}

static CUresult capture_send(divvy_drv_stream_t *stream, const divvy_drv_copy_op_t *op,
                             const CUDA_MEMCPY3D *params, bool *ret_taken) {
    divvy_drv_op_t whole = {.kind = CU_GRAPH_NODE_TYPE_MEMCPY, .context = stream->context->handle};
    whole.copy.copy = *op;
    if (params)
        whole.copy.params = *params;
    else
        whole_params(op, &whole.copy.params);
    return divvy_drv_capture_op(stream, &whole, ret_taken);
}

CUresult divvy_drv_copy_send(CUstream handle, const divvy_drv_copy_op_t *op,
                             const CUDA_MEMCPY3D *params, divvy_drv_copy_mode_t mode) {
    divvy_drv_stream_t *stream;
    divvy_simgpu_position_t position;
    DRV_TRY(divvy_drv_stream_find(handle, &stream));
    if (divvy_drv_capturing()) {
        bool taken = false;
        if (mode == DRV_COPY_SYNC)
            DRV_TRY(divvy_drv_capture_guard());
        DRV_TRY(capture_send(stream, op, params, &taken));
        if (taken)
            return CUDA_SUCCESS;
    }
    if (!volume(op))
        return CUDA_SUCCESS;
    divvy_drv_copy_op_t sent = *op;
    void *staged = NULL;
    bool wait = mode == DRV_COPY_SYNC ? op->way != DRV_COPY_ON_DEVICE && op->way != DRV_COPY_PEER
                                      : op->to_pageable;
    if (!wait && op->from_pageable) {
        staged = stage(&sent);
        wait = !staged;
    }
    DRV_TRY(divvy_drv_copy_execute(stream, &sent, staged, &position));
    return wait ? divvy_drv_stream_wait(stream, position) : CUDA_SUCCESS;
}

/* ---- the linear calls ------------------------------------------------------------------------ */

static CUresult linear(uint64_t to, bool to_host, uint64_t from, bool from_host, uint64_t bytes,
                       CUstream stream, divvy_drv_copy_mode_t mode) {
    divvy_drv_end_t a = {0}, b = {0};
    divvy_drv_copy_op_t op;
    if (!bytes) {
        divvy_drv_stream_t *found;
        return divvy_drv_stream_find(stream, &found);
    }
    divvy_drv_context_t *context;
    if (stream <= CU_STREAM_PER_THREAD)
        DRV_TRY(divvy_drv_context_current(&context));
    DRV_TRY(divvy_drv_end_classify(to, bytes, to_host, true, &a));
    DRV_TRY(divvy_drv_end_classify(from, bytes, from_host, false, &b));
    divvy_drv_copy_join(&a, &b, bytes, 1, 1, &op);
    return divvy_drv_copy_send(stream, &op, NULL, mode);
}

#define P(pointer) ((uint64_t)(uintptr_t)(pointer))

CUresult DRV(cuMemcpyHtoD_v2)(CUdeviceptr dstDevice, const void *srcHost, size_t ByteCount) {
    return linear(dstDevice, false, P(srcHost), true, ByteCount, NULL, DRV_COPY_SYNC);
}

CUresult DRV(cuMemcpyDtoH_v2)(void *dstHost, CUdeviceptr srcDevice, size_t ByteCount) {
    return linear(P(dstHost), true, srcDevice, false, ByteCount, NULL, DRV_COPY_SYNC);
}

CUresult DRV(cuMemcpyDtoD_v2)(CUdeviceptr dstDevice, CUdeviceptr srcDevice, size_t ByteCount) {
    return linear(dstDevice, false, srcDevice, false, ByteCount, NULL, DRV_COPY_SYNC);
}

CUresult DRV(cuMemcpy)(CUdeviceptr dst, CUdeviceptr src, size_t ByteCount) {
    return linear(dst, true, src, true, ByteCount, NULL, DRV_COPY_SYNC);
}

CUresult DRV(cuMemcpyHtoDAsync_v2)(CUdeviceptr dstDevice, const void *srcHost, size_t ByteCount,
                                   CUstream hStream) {
    return linear(dstDevice, false, P(srcHost), true, ByteCount, hStream, DRV_COPY_ASYNC);
}

CUresult DRV(cuMemcpyDtoHAsync_v2)(void *dstHost, CUdeviceptr srcDevice, size_t ByteCount,
                                   CUstream hStream) {
    return linear(P(dstHost), true, srcDevice, false, ByteCount, hStream, DRV_COPY_ASYNC);
}

CUresult DRV(cuMemcpyDtoDAsync_v2)(CUdeviceptr dstDevice, CUdeviceptr srcDevice, size_t ByteCount,
                                   CUstream hStream) {
    return linear(dstDevice, false, srcDevice, false, ByteCount, hStream, DRV_COPY_ASYNC);
}

CUresult DRV(cuMemcpyAsync)(CUdeviceptr dst, CUdeviceptr src, size_t ByteCount, CUstream hStream) {
    return linear(dst, true, src, true, ByteCount, hStream, DRV_COPY_ASYNC);
}

/* The contexts must be real ones; addresses say by themselves where they lie. */
static CUresult check_peers(CUcontext a, CUcontext b) {
    divvy_drv_context_t *context;
    DRV_TRY(divvy_drv_context_find(a, &context));
    return divvy_drv_context_find(b, &context);
}

CUresult DRV(cuMemcpyPeer)(CUdeviceptr dstDevice, CUcontext dstContext, CUdeviceptr srcDevice,
                           CUcontext srcContext, size_t ByteCount) {
    DRV_TRY(check_peers(dstContext, srcContext));
    return linear(dstDevice, false, srcDevice, false, ByteCount, NULL, DRV_COPY_SYNC);
}

CUresult DRV(cuMemcpyPeerAsync)(CUdeviceptr dstDevice, CUcontext dstContext, CUdeviceptr srcDevice,
                                CUcontext srcContext, size_t ByteCount, CUstream hStream) {
    DRV_TRY(check_peers(dstContext, srcContext));
    return linear(dstDevice, false, srcDevice, false, ByteCount, hStream, DRV_COPY_ASYNC);
}

/* ---- the 32-bit forms: addresses that small are not device memory ---------------------------- */

CUresult DRV(cuMemcpyHtoD)(CUdeviceptr_v1 dstDevice, const void *srcHost, unsigned int ByteCount) {
    return linear(dstDevice, false, P(srcHost), true, ByteCount, NULL, DRV_COPY_SYNC);
}

CUresult DRV(cuMemcpyDtoH)(void *dstHost, CUdeviceptr_v1 srcDevice, unsigned int ByteCount) {
    return linear(P(dstHost), true, srcDevice, false, ByteCount, NULL, DRV_COPY_SYNC);
}

CUresult DRV(cuMemcpyDtoD)(CUdeviceptr_v1 dstDevice, CUdeviceptr_v1 srcDevice,
                           unsigned int ByteCount) {
    return linear(dstDevice, false, srcDevice, false, ByteCount, NULL, DRV_COPY_SYNC);
}

CUresult DRV(cuMemcpyHtoDAsync)(CUdeviceptr_v1 dstDevice, const void *srcHost,
                                unsigned int ByteCount, CUstream hStream) {
    return linear(dstDevice, false, P(srcHost), true, ByteCount, hStream, DRV_COPY_ASYNC);
}

CUresult DRV(cuMemcpyDtoHAsync)(void *dstHost, CUdeviceptr_v1 srcDevice, unsigned int ByteCount,
                                CUstream hStream) {
    return linear(P(dstHost), true, srcDevice, false, ByteCount, hStream, DRV_COPY_ASYNC);
}

CUresult DRV(cuMemcpyDtoDAsync)(CUdeviceptr_v1 dstDevice, CUdeviceptr_v1 srcDevice,
                                unsigned int ByteCount, CUstream hStream) {
    return linear(dstDevice, false, srcDevice, false, ByteCount, hStream, DRV_COPY_ASYNC);
}
