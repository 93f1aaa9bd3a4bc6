/* Operations: captured, or handed to the file that executes their kind. */
#include "simgpu/driver/op.h"
#include "simgpu/driver/capture.h"

CUresult divvy_drv_op_execute(divvy_drv_stream_t *stream, const divvy_drv_op_t *op) {
    divvy_drv_event_t *event;
    switch (op->kind) {
    case CU_GRAPH_NODE_TYPE_KERNEL:
        return divvy_drv_kernel_execute(stream, &op->kernel);
    case CU_GRAPH_NODE_TYPE_MEMCPY:
        return divvy_drv_copy_execute(stream, &op->copy.copy, NULL, NULL);
    case CU_GRAPH_NODE_TYPE_MEMSET:
        return divvy_drv_set_execute(stream, &op->set.set);
    case CU_GRAPH_NODE_TYPE_HOST:
        return divvy_drv_host_execute(stream, &op->host);
    case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP:
        return divvy_drv_memop_execute(stream, &op->memop.params);
    case CU_GRAPH_NODE_TYPE_EVENT_RECORD:
        DRV_TRY(divvy_drv_event_find(op->event, &event));
        return divvy_drv_event_record(event, stream);
    case CU_GRAPH_NODE_TYPE_WAIT_EVENT:
        DRV_TRY(divvy_drv_event_find(op->event, &event));
        return divvy_drv_event_wait(event, stream);
    case CU_GRAPH_NODE_TYPE_EMPTY:
    case CU_GRAPH_NODE_TYPE_MEM_ALLOC: /* done by the launch of the graph, before its work */
    case CU_GRAPH_NODE_TYPE_MEM_FREE:
        return CUDA_SUCCESS;
    default:
        return CUDA_ERROR_NOT_SUPPORTED;
    }
}

CUresult divvy_drv_op_run(divvy_drv_stream_t *stream, const divvy_drv_op_t *op) {
    if (__builtin_expect(divvy_drv_capturing(), 0)) {
        bool taken;
        DRV_TRY(divvy_drv_capture_op(stream, op, &taken));
        if (taken)
            return CUDA_SUCCESS;
    }
    return divvy_drv_op_execute(stream, op);
}
