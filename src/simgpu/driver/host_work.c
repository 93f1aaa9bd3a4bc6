/* What a stream does besides computing and copying: calls of host functions, and reading and
 * writing of words. */
#include "simgpu/driver/capture.h"
#include "simgpu/driver/memory.h"
#include "simgpu/driver/op.h"

#include <stdlib.h>

/* ---- host functions -------------------------------------------------------------------------- */

typedef struct {
    divvy_drv_context_t *context;
    CUhostFn call;
    CUstreamCallback callback;
    CUstream stream;
    void *argument;
} job_t;

/* A host function is not called once the context has failed; a callback is, and is told. */
static int job_run(void *argument, uint64_t *duration_ns) {
    job_t *job = argument;
    (void)duration_ns;
    CUresult error = divvy_drv_context_error(job->context);
    divvy_drv_self.depth++; /* work that a checkpoint waits for must not wait for its lock */
    if (job->callback)
        job->callback(job->stream, error, job->argument);
    else if (error == CUDA_SUCCESS)
        job->call(job->argument);
    divvy_drv_self.depth--;
    free(job);
    return 0;
}

static CUresult submit(divvy_drv_stream_t *stream, const job_t *job) {
    job_t *copy = malloc(sizeof(*copy));
    if (!copy)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *copy = *job;
    divvy_simgpu_item_t item = {
        .kind = DIVVY_SIMGPU_HOST, .run = job_run, .drop = free, .arg = copy};
    CUresult result = divvy_drv_stream_submit(stream, &item, NULL);
    if (result != CUDA_SUCCESS)
        free(copy);
    return result;
}

CUresult divvy_drv_host_execute(divvy_drv_stream_t *stream, const divvy_drv_host_op_t *op) {
    job_t job = {.context = stream->context, .call = op->call, .argument = op->argument};
    return submit(stream, &job);
}

CUresult DRV(cuLaunchHostFunc)(CUstream hStream, CUhostFn fn, void *userData) {
    divvy_drv_stream_t *stream;
    divvy_drv_op_t op = {.kind = CU_GRAPH_NODE_TYPE_HOST, .host = {fn, userData}};
    if (!fn)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_stream_find(hStream, &stream));
    return divvy_drv_op_run(stream, &op);
}

CUresult DRV(cuStreamAddCallback)(CUstream hStream, CUstreamCallback callback, void *userData,
                                  unsigned int flags) {
    divvy_drv_stream_t *stream;
    if (!callback || flags)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_stream_find(hStream, &stream));
    DRV_TRY(divvy_drv_capture_guard_stream(stream));
    job_t job = {
        .context = stream->context, .callback = callback, .stream = hStream, .argument = userData};
    return submit(stream, &job);
}

/* ---- words in memory ------------------------------------------------------------------------- */

static CUresult word(CUdeviceptr address, bool wide, bool write) {
    unsigned bytes = wide ? 8 : 4;
    return address && address % bytes == 0 && divvy_drv_mem_usable(address, bytes, write)
               ? CUDA_SUCCESS
               : CUDA_ERROR_INVALID_VALUE;
}

static CUresult make_write(const CUstreamBatchMemOpParams *op, bool wide,
                           divvy_simgpu_item_t *item) {
    if (op->writeValue.flags & ~(unsigned)CU_STREAM_WRITE_VALUE_NO_MEMORY_BARRIER)
        return CUDA_ERROR_INVALID_VALUE;
    item->kind = DIVVY_SIMGPU_MEM_WRITE;
    item->flags = wide ? DIVVY_SIMGPU_WIDE : 0;
    item->address = op->writeValue.address;
    item->value = wide ? op->writeValue.value64 : op->writeValue.value;
    return word(item->address, wide, true);
}

static CUresult make_wait(const CUstreamBatchMemOpParams *op, bool wide,
                          divvy_simgpu_item_t *item) {
    static const divvy_simgpu_compare_t compares[] = {DIVVY_SIMGPU_GEQ, DIVVY_SIMGPU_EQ,
                                                      DIVVY_SIMGPU_AND, DIVVY_SIMGPU_NOR};
    if (op->waitValue.flags & ~(3u | CU_STREAM_WAIT_VALUE_FLUSH))
        return CUDA_ERROR_INVALID_VALUE;
    if (op->waitValue.flags & CU_STREAM_WAIT_VALUE_FLUSH)
        return CUDA_ERROR_NOT_SUPPORTED;
    item->kind = DIVVY_SIMGPU_MEM_WAIT;
    item->flags = wide ? DIVVY_SIMGPU_WIDE : 0;
    item->address = op->waitValue.address;
    item->value = wide ? op->waitValue.value64 : op->waitValue.value;
    item->compare = compares[op->waitValue.flags & 3];
    return word(item->address, wide, false);
}

/* A barrier orders what the engine orders anyway: kind 0 means that there is nothing to submit. */
static CUresult make(const CUstreamBatchMemOpParams *op, divvy_simgpu_item_t *item) {
    *item = (divvy_simgpu_item_t){0};
    switch (op->operation) {
    case CU_STREAM_MEM_OP_WRITE_VALUE_32:
        return make_write(op, false, item);
    case CU_STREAM_MEM_OP_WRITE_VALUE_64:
        return make_write(op, true, item);
    case CU_STREAM_MEM_OP_WAIT_VALUE_32:
        return make_wait(op, false, item);
    case CU_STREAM_MEM_OP_WAIT_VALUE_64:
        return make_wait(op, true, item);
    case CU_STREAM_MEM_OP_BARRIER:
        return op->memoryBarrier.flags > CU_STREAM_MEMORY_BARRIER_TYPE_GPU
                   ? CUDA_ERROR_INVALID_VALUE
                   : CUDA_SUCCESS;
    case CU_STREAM_MEM_OP_FLUSH_REMOTE_WRITES:
        return CUDA_ERROR_NOT_SUPPORTED;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

CUresult divvy_drv_memop_check(const CUDA_BATCH_MEM_OP_NODE_PARAMS *params) {
    divvy_simgpu_item_t item;
    for (unsigned i = 0; i < params->count; i++)
        DRV_TRY(make(params->paramArray + i, &item));
    return CUDA_SUCCESS;
}

CUresult divvy_drv_memop_execute(divvy_drv_stream_t *stream,
                                 const CUDA_BATCH_MEM_OP_NODE_PARAMS *params) {
    divvy_simgpu_item_t item;
    DRV_TRY(divvy_drv_memop_check(params)); /* all or none */
    for (unsigned i = 0; i < params->count; i++) {
        DRV_TRY(make(params->paramArray + i, &item));
        if (item.kind)
            DRV_TRY(divvy_drv_stream_submit(stream, &item, NULL));
    }
    return CUDA_SUCCESS;
}

CUresult DRV(cuStreamBatchMemOp_v2)(CUstream hStream, unsigned int count,
                                    CUstreamBatchMemOpParams *paramArray, unsigned int flags) {
    divvy_drv_stream_t *stream;
    divvy_drv_op_t op = {.kind = CU_GRAPH_NODE_TYPE_BATCH_MEM_OP};
    if (flags || count > 256 || (count && !paramArray))
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_stream_find(hStream, &stream));
    op.memop.params =
        (CUDA_BATCH_MEM_OP_NODE_PARAMS){stream->context->handle, count, paramArray, 0};
    DRV_TRY(divvy_drv_memop_check(&op.memop.params));
    return divvy_drv_op_run(stream, &op);
}

CUresult DRV(cuStreamBatchMemOp)(CUstream hStream, unsigned int count,
                                 CUstreamBatchMemOpParams *paramArray, unsigned int flags) {
    return DRV(cuStreamBatchMemOp_v2)(hStream, count, paramArray, flags);
}

static CUresult one(CUstream stream, CUstreamBatchMemOpType type, CUdeviceptr address,
                    uint64_t value, unsigned flags) {
    CUstreamBatchMemOpParams op = {0};
    op.writeValue.operation = type;
    op.writeValue.address = address;
    op.writeValue.value64 = value; /* waits have the same shape */
    op.writeValue.flags = flags;
    return DRV(cuStreamBatchMemOp_v2)(stream, 1, &op, 0);
}

CUresult DRV(cuStreamWriteValue32_v2)(CUstream stream, CUdeviceptr addr, cuuint32_t value,
                                      unsigned int flags) {
    return one(stream, CU_STREAM_MEM_OP_WRITE_VALUE_32, addr, value, flags);
}

CUresult DRV(cuStreamWriteValue64_v2)(CUstream stream, CUdeviceptr addr, cuuint64_t value,
                                      unsigned int flags) {
    return one(stream, CU_STREAM_MEM_OP_WRITE_VALUE_64, addr, value, flags);
}

CUresult DRV(cuStreamWaitValue32_v2)(CUstream stream, CUdeviceptr addr, cuuint32_t value,
                                     unsigned int flags) {
    return one(stream, CU_STREAM_MEM_OP_WAIT_VALUE_32, addr, value, flags);
}

CUresult DRV(cuStreamWaitValue64_v2)(CUstream stream, CUdeviceptr addr, cuuint64_t value,
                                     unsigned int flags) {
    return one(stream, CU_STREAM_MEM_OP_WAIT_VALUE_64, addr, value, flags);
}

/* The first interface of these calls differs from the second only in what a driver may refuse. */
CUresult DRV(cuStreamWriteValue32)(CUstream stream, CUdeviceptr addr, cuuint32_t value,
                                   unsigned int flags) {
    return DRV(cuStreamWriteValue32_v2)(stream, addr, value, flags);
}

CUresult DRV(cuStreamWriteValue64)(CUstream stream, CUdeviceptr addr, cuuint64_t value,
                                   unsigned int flags) {
    return DRV(cuStreamWriteValue64_v2)(stream, addr, value, flags);
}

CUresult DRV(cuStreamWaitValue32)(CUstream stream, CUdeviceptr addr, cuuint32_t value,
                                  unsigned int flags) {
    return DRV(cuStreamWaitValue32_v2)(stream, addr, value, flags);
}

CUresult DRV(cuStreamWaitValue64)(CUstream stream, CUdeviceptr addr, cuuint64_t value,
                                  unsigned int flags) {
    return DRV(cuStreamWaitValue64_v2)(stream, addr, value, flags);
}
