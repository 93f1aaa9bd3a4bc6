/*
 * The hooks whose bodies are in limiter/compute, one row each: X(symbol, compute, "what the hook does"). The body is
 * `CUresult divvy_hook_<symbol>(parameters of the driver table)`. limiter/hook/table.h joins these rows with its own:
 * exports, lookups and docs/COVERAGE.md follow from a row alone. Launches ask the door (hook/door.h) where they are gated; the
 * others pass it first.
 */
#ifndef DIVVY_LIMITER_COMPUTE_HOOKS_TABLE_H
#define DIVVY_LIMITER_COMPUTE_HOOKS_TABLE_H

/* clang-format off */
#define DIVVY_COMPUTE_LAUNCHES(X) \
    X(cuLaunch, compute, "gate and measure") \
    X(cuLaunchGrid, compute, "gate and measure") \
    X(cuLaunchGridAsync, compute, "gate and measure") \
    X(cuLaunchKernel, compute, "gate and measure") \
    X(cuLaunchKernel_ptsz, compute, "gate and measure") \
    X(cuLaunchKernelEx, compute, "gate and measure") \
    X(cuLaunchKernelEx_ptsz, compute, "gate and measure") \
    X(cuLaunchCooperativeKernel, compute, "gate and measure") \
    X(cuLaunchCooperativeKernel_ptsz, compute, "gate and measure") \
    X(cuLaunchCooperativeKernelMultiDevice, compute, "gate and measure") \
    X(cuGraphLaunch, compute, "gate and measure as one unit; memory that the graph allocates") \
    X(cuGraphLaunch_ptsz, compute, "gate and measure as one unit; memory that the graph allocates")

#define DIVVY_COMPUTE_OTHERS(X) \
    X(cuGraphUpload, compute, "memory that the graph allocates") \
    X(cuGraphUpload_ptsz, compute, "memory that the graph allocates") \
    X(cuGraphInstantiate, compute, "learn what the graph holds") \
    X(cuGraphInstantiate_v2, compute, "learn what the graph holds") \
    X(cuGraphInstantiateWithFlags, compute, "learn what the graph holds") \
    X(cuGraphInstantiateWithParams, compute, "learn what the graph holds") \
    X(cuGraphInstantiateWithParams_ptsz, compute, "learn what the graph holds") \
    X(cuGraphExecUpdate, compute, "keep the learned cost; memory that the graph allocates") \
    X(cuGraphExecUpdate_v2, compute, "keep the learned cost; memory that the graph allocates") \
    X(cuGraphExecDestroy, compute, "drop the learned cost") \
    X(cuStreamBeginCapture, compute, "know when capturing: nothing is gated or inserted then") \
    X(cuStreamBeginCapture_ptsz, compute, "know when capturing: nothing is gated or inserted then") \
    X(cuStreamBeginCapture_v2, compute, "know when capturing: nothing is gated or inserted then") \
    X(cuStreamBeginCapture_v2_ptsz, compute, "know when capturing: nothing is gated or inserted then") \
    X(cuStreamBeginCaptureToGraph, compute, "know when capturing: nothing is gated or inserted then") \
    X(cuStreamBeginCaptureToGraph_ptsz, compute, "know when capturing: nothing is gated or inserted then") \
    X(cuStreamEndCapture, compute, "know when capturing: nothing is gated or inserted then") \
    X(cuStreamEndCapture_ptsz, compute, "know when capturing: nothing is gated or inserted then") \
    X(cuMemsetD8, compute, "gate and measure when large") \
    X(cuMemsetD8_v2, compute, "gate and measure when large") \
    X(cuMemsetD8_v2_ptds, compute, "gate and measure when large") \
    X(cuMemsetD8Async, compute, "gate and measure when large") \
    X(cuMemsetD8Async_ptsz, compute, "gate and measure when large") \
    X(cuMemsetD16, compute, "gate and measure when large") \
    X(cuMemsetD16_v2, compute, "gate and measure when large") \
    X(cuMemsetD16_v2_ptds, compute, "gate and measure when large") \
    X(cuMemsetD16Async, compute, "gate and measure when large") \
    X(cuMemsetD16Async_ptsz, compute, "gate and measure when large") \
    X(cuMemsetD32, compute, "gate and measure when large") \
    X(cuMemsetD32_v2, compute, "gate and measure when large") \
    X(cuMemsetD32_v2_ptds, compute, "gate and measure when large") \
    X(cuMemsetD32Async, compute, "gate and measure when large") \
    X(cuMemsetD32Async_ptsz, compute, "gate and measure when large") \
    X(cuMemsetD2D8, compute, "gate and measure when large") \
    X(cuMemsetD2D8_v2, compute, "gate and measure when large") \
    X(cuMemsetD2D8_v2_ptds, compute, "gate and measure when large") \
    X(cuMemsetD2D8Async, compute, "gate and measure when large") \
    X(cuMemsetD2D8Async_ptsz, compute, "gate and measure when large") \
    X(cuMemsetD2D16, compute, "gate and measure when large") \
    X(cuMemsetD2D16_v2, compute, "gate and measure when large") \
    X(cuMemsetD2D16_v2_ptds, compute, "gate and measure when large") \
    X(cuMemsetD2D16Async, compute, "gate and measure when large") \
    X(cuMemsetD2D16Async_ptsz, compute, "gate and measure when large") \
    X(cuMemsetD2D32, compute, "gate and measure when large") \
    X(cuMemsetD2D32_v2, compute, "gate and measure when large") \
    X(cuMemsetD2D32_v2_ptds, compute, "gate and measure when large") \
    X(cuMemsetD2D32Async, compute, "gate and measure when large") \
    X(cuMemsetD2D32Async_ptsz, compute, "gate and measure when large") \
    X(cuMemBatchDecompressAsync, compute, "gate and measure when large") \
    X(cuMemBatchDecompressAsync_ptsz, compute, "gate and measure when large") \
    X(cuMemcpyDtoD, compute, "gate and measure when large") \
    X(cuMemcpyDtoD_v2, compute, "gate and measure when large") \
    X(cuMemcpyDtoD_v2_ptds, compute, "gate and measure when large") \
    X(cuMemcpyDtoDAsync, compute, "gate and measure when large") \
    X(cuMemcpyDtoDAsync_v2, compute, "gate and measure when large") \
    X(cuMemcpyDtoDAsync_v2_ptsz, compute, "gate and measure when large") \
    X(cuMemcpy, compute, "gate and measure when large and within a device") \
    X(cuMemcpy_ptds, compute, "gate and measure when large and within a device") \
    X(cuMemcpyAsync, compute, "gate and measure when large and within a device") \
    X(cuMemcpyAsync_ptsz, compute, "gate and measure when large and within a device") \
    X(cuMemcpy2D_v2, compute, "gate and measure when large and within a device") \
    X(cuMemcpy2D_v2_ptds, compute, "gate and measure when large and within a device") \
    X(cuMemcpy2DUnaligned_v2, compute, "gate and measure when large and within a device") \
    X(cuMemcpy2DUnaligned_v2_ptds, compute, "gate and measure when large and within a device") \
    X(cuMemcpy2DAsync_v2, compute, "gate and measure when large and within a device") \
    X(cuMemcpy2DAsync_v2_ptsz, compute, "gate and measure when large and within a device") \
    X(cuMemcpy3D_v2, compute, "gate and measure when large and within a device") \
    X(cuMemcpy3D_v2_ptds, compute, "gate and measure when large and within a device") \
    X(cuMemcpy3DAsync_v2, compute, "gate and measure when large and within a device") \
    X(cuMemcpy3DAsync_v2_ptsz, compute, "gate and measure when large and within a device") \
    X(cuMemcpyHtoD_v2, compute, "keep it out of measured time; never gated") \
    X(cuMemcpyHtoD_v2_ptds, compute, "keep it out of measured time; never gated") \
    X(cuMemcpyHtoDAsync_v2, compute, "keep it out of measured time; never gated") \
    X(cuMemcpyHtoDAsync_v2_ptsz, compute, "keep it out of measured time; never gated") \
    X(cuMemcpyDtoH_v2, compute, "keep it out of measured time; never gated") \
    X(cuMemcpyDtoH_v2_ptds, compute, "keep it out of measured time; never gated") \
    X(cuMemcpyDtoHAsync_v2, compute, "keep it out of measured time; never gated") \
    X(cuMemcpyDtoHAsync_v2_ptsz, compute, "keep it out of measured time; never gated") \
    X(cuStreamWaitEvent, compute, "keep the wait out of measured time") \
    X(cuStreamWaitEvent_ptsz, compute, "keep the wait out of measured time") \
    X(cuStreamWaitValue32, compute, "keep the wait out of measured time") \
    X(cuStreamWaitValue32_ptsz, compute, "keep the wait out of measured time") \
    X(cuStreamWaitValue32_v2, compute, "keep the wait out of measured time") \
    X(cuStreamWaitValue32_v2_ptsz, compute, "keep the wait out of measured time") \
    X(cuStreamWaitValue64, compute, "keep the wait out of measured time") \
    X(cuStreamWaitValue64_ptsz, compute, "keep the wait out of measured time") \
    X(cuStreamWaitValue64_v2, compute, "keep the wait out of measured time") \
    X(cuStreamWaitValue64_v2_ptsz, compute, "keep the wait out of measured time") \
    X(cuStreamBatchMemOp, compute, "keep the wait out of measured time") \
    X(cuStreamBatchMemOp_ptsz, compute, "keep the wait out of measured time") \
    X(cuStreamBatchMemOp_v2, compute, "keep the wait out of measured time") \
    X(cuStreamBatchMemOp_v2_ptsz, compute, "keep the wait out of measured time") \
    X(cuLaunchHostFunc, compute, "keep the wait out of measured time") \
    X(cuLaunchHostFunc_ptsz, compute, "keep the wait out of measured time") \
    X(cuStreamAddCallback, compute, "keep the wait out of measured time") \
    X(cuStreamAddCallback_ptsz, compute, "keep the wait out of measured time") \
    X(cuWaitExternalSemaphoresAsync, compute, "keep the wait out of measured time") \
    X(cuWaitExternalSemaphoresAsync_ptsz, compute, "keep the wait out of measured time") \
    X(cuStreamDestroy, compute, "forget the stream") \
    X(cuStreamDestroy_v2, compute, "forget the stream") \
    X(cuCtxSetCurrent, compute, "know which device the thread uses") \
    X(cuCtxPushCurrent, compute, "know which device the thread uses") \
    X(cuCtxPushCurrent_v2, compute, "know which device the thread uses") \
    X(cuCtxPopCurrent, compute, "know which device the thread uses") \
    X(cuCtxPopCurrent_v2, compute, "know which device the thread uses")

#define DIVVY_COMPUTE_HOOKS(X) DIVVY_COMPUTE_LAUNCHES(X) DIVVY_COMPUTE_OTHERS(X)
/* clang-format on */

#endif
