/* Filling memory. It is work of the device's SMs, as on a real one. */
#include "simgpu/driver/capture.h"
#include "simgpu/driver/graph_memory.h"
#include "simgpu/driver/memory.h"
#include "simgpu/driver/op.h"
#include "simgpu/driver/set.h"

#include <stdlib.h>
#include <string.h>

/* ---- execution ------------------------------------------------------------------------------- */

static uint64_t row_bytes(const divvy_drv_set_op_t *op) {
    return op->width * op->element_bytes;
}

static uint64_t span(const divvy_drv_set_op_t *op) {
    return (op->height - 1) * op->pitch_bytes + row_bytes(op);
}

static void fill_row(char *row, const divvy_drv_set_op_t *op) {
    switch (op->element_bytes) {
    case 1:
        memset(row, (int)(op->value & 0xff), op->width);
        return;
    case 2:
        for (uint64_t i = 0; i < op->width; i++)
            ((uint16_t *)(void *)row)[i] = (uint16_t)op->value;
        return;
    default:
        for (uint64_t i = 0; i < op->width; i++)
            ((uint32_t *)(void *)row)[i] = op->value;
    }
}

static void fill(const divvy_drv_set_op_t *op) {
    for (uint64_t y = 0; y < op->height; y++) {
        uint64_t row = op->to + y * op->pitch_bytes;
        if (!op->value && !op->to_host)
            divvy_simgpu_mem_zero(row, row_bytes(op));
        else
            fill_row((char *)(uintptr_t)row, op);
    }
}

static int job_run(void *argument, uint64_t *duration_ns) {
    divvy_drv_set_op_t *op = argument;
    (void)duration_ns;
    uint64_t ticket = divvy_drv_action_begin();
    bool there = divvy_drv_mem_usable(op->to, span(op), true);
    if (there)
        fill(op);
    divvy_drv_action_end(ticket);
    free(op);
    return there ? CUDA_SUCCESS : CUDA_ERROR_ILLEGAL_ADDRESS;
}

enum { LATENCY_NS = 1000 };

CUresult divvy_drv_set_execute(divvy_drv_stream_t *stream, const divvy_drv_set_op_t *op) {
    uint64_t rate = stream->context->facts->memory_bytes_per_s;
    divvy_drv_set_op_t *copy = malloc(sizeof(*copy));
    if (!copy)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *copy = *op;
    double bytes = (double)(row_bytes(op) * op->height);
    divvy_simgpu_item_t item = {
        .kind = DIVVY_SIMGPU_HOST,
        .fraction_permille = 1000,
        .duration_ns = LATENCY_NS + (rate ? (uint64_t)(bytes * 1e9 / (double)rate) : 0),
        .run = job_run,
        .drop = free,
        .arg = copy,
    };
    CUresult result = divvy_drv_stream_submit(stream, &item, NULL);
    if (result != CUDA_SUCCESS)
        free(copy);
    return result;
}

/* ---- the calls ------------------------------------------------------------------------------- */

CUresult divvy_drv_set_resolve(const CUDA_MEMSET_NODE_PARAMS *params, divvy_drv_set_op_t *ret_op) {
    divvy_drv_set_op_t op = {
        .to = params->dst,
        .pitch_bytes = params->pitch,
        .value = params->value,
        .element_bytes = params->elementSize,
        .width = params->width,
        .height = params->height,
    };
    uint64_t row, last, bytes;
    if ((op.element_bytes != 1 && op.element_bytes != 2 && op.element_bytes != 4) ||
        op.to % op.element_bytes)
        return CUDA_ERROR_INVALID_VALUE;
    if (op.element_bytes < 4 && op.value >> (8 * op.element_bytes))
        return CUDA_ERROR_INVALID_VALUE;
    if (!op.width || !op.height) {
        op.width = op.height = 0;
        *ret_op = op;
        return CUDA_SUCCESS;
    }
    if (__builtin_mul_overflow(op.width, (uint64_t)op.element_bytes, &row))
        return CUDA_ERROR_INVALID_VALUE;
    if (op.height == 1)
        op.pitch_bytes = row;
    if (op.pitch_bytes < row || op.pitch_bytes % op.element_bytes ||
        __builtin_mul_overflow(op.height - 1, op.pitch_bytes, &last) ||
        __builtin_add_overflow(last, row, &bytes))
        return CUDA_ERROR_INVALID_VALUE;
    if (!divvy_simgpu_mem_valid(op.to, bytes, true)) {
        int device;
        op.to_host = divvy_drv_mem_is_host(op.to, bytes);
        if (!op.to_host && !divvy_drv_graph_memory_covers(op.to, bytes, &device))
            return CUDA_ERROR_INVALID_VALUE;
    }
    *ret_op = op;
    return CUDA_SUCCESS;
}

/* Filling page-locked host memory is the one case in which the synchronous call waits. */
static CUresult set(const CUDA_MEMSET_NODE_PARAMS *params, CUstream handle, bool sync) {
    divvy_drv_stream_t *stream;
    divvy_drv_op_t op = {.kind = CU_GRAPH_NODE_TYPE_MEMSET};
    DRV_TRY(divvy_drv_stream_find(handle, &stream));
    DRV_TRY(divvy_drv_set_resolve(params, &op.set.set));
    if (sync)
        DRV_TRY(divvy_drv_capture_guard());
    if (!op.set.set.width)
        return CUDA_SUCCESS;
    op.context = stream->context->handle;
    op.set.params = *params;
    DRV_TRY(divvy_drv_op_run(stream, &op));
    return sync && op.set.set.to_host ? divvy_drv_stream_synchronize(stream) : CUDA_SUCCESS;
}

#define PARAMS(to, step, fill, bytes, columns, rows)                                               \
    &(CUDA_MEMSET_NODE_PARAMS) {                                                                   \
        .dst = (to), .pitch = (step), .value = (fill), .elementSize = (bytes), .width = (columns), \
        .height = (rows)                                                                           \
    }

/* The three widths differ in a type and a number only. */
#define WIDTH(bits, type, bytes)                                                                   \
    CUresult DRV(cuMemsetD##bits##_v2)(CUdeviceptr dstDevice, type value, size_t N) {              \
        return set(PARAMS(dstDevice, 0, value, bytes, N, 1), NULL, true);                          \
    }                                                                                              \
    CUresult DRV(cuMemsetD##bits)(CUdeviceptr_v1 dstDevice, type value, unsigned int N) {          \
        return set(PARAMS(dstDevice, 0, value, bytes, N, 1), NULL, true);                          \
    }                                                                                              \
    CUresult DRV(cuMemsetD##bits##Async)(CUdeviceptr dstDevice, type value, size_t N,              \
                                         CUstream hStream) {                                       \
        return set(PARAMS(dstDevice, 0, value, bytes, N, 1), hStream, false);                      \
    }                                                                                              \
    CUresult DRV(cuMemsetD2D##bits##_v2)(CUdeviceptr dstDevice, size_t dstPitch, type value,       \
                                         size_t Width, size_t Height) {                            \
        return set(PARAMS(dstDevice, dstPitch, value, bytes, Width, Height), NULL, true);          \
    }                                                                                              \
    CUresult DRV(cuMemsetD2D##bits)(CUdeviceptr_v1 dstDevice, unsigned int dstPitch, type value,   \
                                    unsigned int Width, unsigned int Height) {                     \
        return set(PARAMS(dstDevice, dstPitch, value, bytes, Width, Height), NULL, true);          \
    }                                                                                              \
    CUresult DRV(cuMemsetD2D##bits##Async)(CUdeviceptr dstDevice, size_t dstPitch, type value,     \
                                           size_t Width, size_t Height, CUstream hStream) {        \
        return set(PARAMS(dstDevice, dstPitch, value, bytes, Width, Height), hStream, false);      \
    }

WIDTH(8, unsigned char, 1)
WIDTH(16, unsigned short, 2)
WIDTH(32, unsigned int, 4)
