/*
 * Hooks that tell the gate about streams and contexts: captures, waits inside streams, destruction, the current context.
 */
#include "limiter/compute/hooks.h"

#include <string.h>

/* --- captures ----------------------------------------------------------------------------------------------------- */

/*
 * Streams that are being captured. While there is one, every launch takes the slow path, which asks the driver about its
 * stream; captures are rare, and launches inside one go straight through.
 */
#define CAPTURES 64u

static CUstream captures[CAPTURES];
static divvy_lock_t lock;

void divvy_compute_captures_reset(void) {
    divvy_lock_reset(&lock);
    memset(captures, 0, sizeof(captures));
    __atomic_store_n(&divvy_compute_gate.capturing, 0, __ATOMIC_RELAXED);
}

/* The per-thread stream is another one in each thread: it stands in the table once per capture. */
static void capture_begun(CUstream stream) {
    divvy_lock_take(&lock);
    for (unsigned i = 0; i < CAPTURES; i++)
        if (!captures[i]) {
            captures[i] = stream;
            break;
        }
    __atomic_add_fetch(&divvy_compute_gate.capturing, 1, __ATOMIC_SEQ_CST);
    divvy_lock_give(&lock);
}

static void capture_ended(CUstream stream) {
    divvy_lock_take(&lock);
    for (unsigned i = 0; i < CAPTURES; i++)
        if (captures[i] == stream) {
            captures[i] = NULL;
            if (__atomic_load_n(&divvy_compute_gate.capturing, __ATOMIC_RELAXED))
                __atomic_sub_fetch(&divvy_compute_gate.capturing, 1, __ATOMIC_SEQ_CST);
            break;
        }
    divvy_lock_give(&lock);
}

/*
 * Counted before the driver's call: from its first moment on nobody may ask about events except in relaxed mode. Segments
 * that this thread has open on the stream are closed first, since nothing can be recorded later.
 */
#define BEGIN(symbol, parameters, arguments, stream)                                                                   \
    CUresult divvy_hook_##symbol parameters {                                                                          \
        CUresult result;                                                                                               \
                                                                                                                       \
        divvy_compute_break(stream);                                                                                   \
        capture_begun(stream);                                                                                         \
        result = divvy_real.symbol arguments;                                                                          \
        if (result != CUDA_SUCCESS)                                                                                    \
            capture_ended(stream);                                                                                     \
        return result;                                                                                                 \
    }

BEGIN(cuStreamBeginCapture, (CUstream hStream), (hStream), LEGACY(hStream))
BEGIN(cuStreamBeginCapture_ptsz, (CUstream hStream), (hStream), PER_THREAD(hStream))
BEGIN(cuStreamBeginCapture_v2, (CUstream hStream, CUstreamCaptureMode mode), (hStream, mode), LEGACY(hStream))
BEGIN(cuStreamBeginCapture_v2_ptsz, (CUstream hStream, CUstreamCaptureMode mode), (hStream, mode), PER_THREAD(hStream))

#define TO_GRAPH_PARAMETERS                                                                                            \
    (CUstream hStream, CUgraph hGraph, const CUgraphNode *dependencies, const CUgraphEdgeData *dependencyData,         \
     size_t numDependencies, CUstreamCaptureMode mode)
#define TO_GRAPH_ARGUMENTS (hStream, hGraph, dependencies, dependencyData, numDependencies, mode)

BEGIN(cuStreamBeginCaptureToGraph, TO_GRAPH_PARAMETERS, TO_GRAPH_ARGUMENTS, LEGACY(hStream))
BEGIN(cuStreamBeginCaptureToGraph_ptsz, TO_GRAPH_PARAMETERS, TO_GRAPH_ARGUMENTS, PER_THREAD(hStream))

/* Whatever the driver answered: only if the stream no longer captures has the capture ended. */
static CUresult capture_end(CUresult result, CUstream stream) {
    CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;

    if (result == CUDA_SUCCESS || divvy_real.cuStreamIsCapturing(stream, &status) != CUDA_SUCCESS ||
        status == CU_STREAM_CAPTURE_STATUS_NONE)
        capture_ended(stream);
    return result;
}

CUresult divvy_hook_cuStreamEndCapture(CUstream hStream, CUgraph *phGraph) {
    return capture_end(divvy_real.cuStreamEndCapture(hStream, phGraph), LEGACY(hStream));
}

CUresult divvy_hook_cuStreamEndCapture_ptsz(CUstream hStream, CUgraph *phGraph) {
    return capture_end(divvy_real.cuStreamEndCapture_ptsz(hStream, phGraph), PER_THREAD(hStream));
}

/* --- waits inside streams ----------------------------------------------------------------------------------------- */

#define WAITING(symbol, parameters, arguments, stream)                                                                 \
    DIVVY_COMPUTE_BREAKING(symbol, parameters, arguments, true, LEGACY(stream))                                        \
    DIVVY_COMPUTE_BREAKING(symbol##_ptsz, parameters, arguments, true, PER_THREAD(stream))

WAITING(cuStreamWaitEvent, (CUstream stream, CUevent event, unsigned int flags), (stream, event, flags), stream)
WAITING(cuStreamWaitValue32, (CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags),
        (stream, addr, value, flags), stream)
WAITING(cuStreamWaitValue32_v2, (CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags),
        (stream, addr, value, flags), stream)
WAITING(cuStreamWaitValue64, (CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags),
        (stream, addr, value, flags), stream)
WAITING(cuStreamWaitValue64_v2, (CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags),
        (stream, addr, value, flags), stream)
WAITING(cuStreamBatchMemOp,
        (CUstream stream, unsigned int count, CUstreamBatchMemOpParams *paramArray, unsigned int flags),
        (stream, count, paramArray, flags), stream)
WAITING(cuStreamBatchMemOp_v2,
        (CUstream stream, unsigned int count, CUstreamBatchMemOpParams *paramArray, unsigned int flags),
        (stream, count, paramArray, flags), stream)
WAITING(cuLaunchHostFunc, (CUstream stream, CUhostFn fn, void *userData), (stream, fn, userData), stream)
WAITING(cuStreamAddCallback, (CUstream stream, CUstreamCallback callback, void *userData, unsigned int flags),
        (stream, callback, userData, flags), stream)
WAITING(cuWaitExternalSemaphoresAsync,
        (const CUexternalSemaphore *extSemArray, const CUDA_EXTERNAL_SEMAPHORE_WAIT_PARAMS *paramsArray,
         unsigned int numExtSems, CUstream stream),
        (extSemArray, paramsArray, numExtSems, stream), stream)

/* --- streams and contexts ----------------------------------------------------------------------------------------- */

#define DESTROY(symbol)                                                                                                \
    CUresult divvy_hook_##symbol(CUstream stream) {                                                                    \
        if (stream && __atomic_load_n(&divvy_compute_gate.threads_high, __ATOMIC_RELAXED))                                                                 \
            divvy_compute_stream_forget(stream);                                                                       \
        if (__atomic_load_n(&divvy_compute_gate.capturing, __ATOMIC_RELAXED))                                          \
            capture_ended(LEGACY(stream));                                                                             \
        return divvy_real.symbol(stream);                                                                              \
    }

DESTROY(cuStreamDestroy)
DESTROY(cuStreamDestroy_v2)

#define SWITCHING(symbol, parameters, arguments)                                                                       \
    CUresult divvy_hook_##symbol parameters {                                                                          \
        divvy_compute_park();                                                                                          \
        return divvy_real.symbol arguments;                                                                            \
    }

SWITCHING(cuCtxSetCurrent, (CUcontext ctx), (ctx))
SWITCHING(cuCtxPushCurrent, (CUcontext ctx), (ctx))
SWITCHING(cuCtxPushCurrent_v2, (CUcontext ctx), (ctx))
SWITCHING(cuCtxPopCurrent, (CUcontext * pctx), (pctx))
SWITCHING(cuCtxPopCurrent_v2, (CUcontext * pctx), (pctx))
