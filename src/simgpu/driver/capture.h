/*
 * Stream capture: calls on a capturing stream become nodes of a graph, and calls that would wait
 * for, or hide a dependency from, a capture are refused and invalidate it.
 */
#ifndef DIVVY_SIMGPU_DRIVER_CAPTURE_H
#define DIVVY_SIMGPU_DRIVER_CAPTURE_H

#include "simgpu/driver/op.h"
#include "simgpu/driver/stream.h"

/* Whether anything at all is being captured in this process, or an event may still belong to a
 * capture. */
extern _Atomic unsigned divvy_drv_captures;
static inline bool divvy_drv_capturing(void) {
    return atomic_load_explicit(&divvy_drv_captures, memory_order_relaxed) != 0;
}

/* The slow halves of the inline functions below. */
CUresult divvy_drv_capture_check(void);
CUresult divvy_drv_capture_check_context(divvy_drv_context_t *context);
CUresult divvy_drv_capture_check_stream(divvy_drv_stream_t *stream);
CUresult divvy_drv_capture_check_event(divvy_drv_event_t *event);

/* For calls that the mode of a capture may forbid to this thread (allocation, synchronous
 * copies, loading): CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED. */
static inline CUresult divvy_drv_capture_guard(void) {
    return divvy_drv_capturing() ? divvy_drv_capture_check() : CUDA_SUCCESS;
}
/* For calls that wait for a whole context. */
static inline CUresult divvy_drv_capture_guard_context(divvy_drv_context_t *context) {
    return divvy_drv_capturing() ? divvy_drv_capture_check_context(context) : CUDA_SUCCESS;
}
/* For calls that wait for, or ask about, a stream. */
static inline CUresult divvy_drv_capture_guard_stream(divvy_drv_stream_t *stream) {
    return divvy_drv_capturing() ? divvy_drv_capture_check_stream(stream) : CUDA_SUCCESS;
}
/* The same for an event: CUDA_ERROR_CAPTURED_EVENT. */
static inline CUresult divvy_drv_capture_guard_event(divvy_drv_event_t *event) {
    return divvy_drv_capturing() ? divvy_drv_capture_check_event(event) : CUDA_SUCCESS;
}

/*
 * OP is about to enter STREAM. *ret_taken: it became a node (and what OP owns was copied);
 * otherwise it is to be executed. Refuses work in the legacy stream that would depend on a capture.
 */
CUresult divvy_drv_capture_op(divvy_drv_stream_t *stream, const divvy_drv_op_t *op,
                              bool *ret_taken);
CUresult divvy_drv_capture_record(divvy_drv_stream_t *stream, divvy_drv_event_t *event,
                                  unsigned flags, bool *ret_taken);
CUresult divvy_drv_capture_wait(divvy_drv_stream_t *stream, divvy_drv_event_t *event,
                                unsigned flags, bool *ret_taken);
/* STREAM goes while it captures: the capture is invalidated. */
void divvy_drv_capture_abandon(divvy_drv_stream_t *stream);
/* EVENT goes. */
void divvy_drv_capture_forget_event(divvy_drv_event_t *event);

#endif
