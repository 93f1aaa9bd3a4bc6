/*
 * The forms for the per-thread default stream and the plain form that does their work: T(symbol, plain).
 * Every _ptsz and _ptds row of the table stands here; a missing one does not compile (exports.c).
 */
#ifndef DIVVY_SIMGPU_DRIVER_PER_THREAD_H
#define DIVVY_SIMGPU_DRIVER_PER_THREAD_H

/* clang-format off */
#define DIVVY_DRV_PER_THREAD(T) \
    T(cuEventRecord_ptsz, cuEventRecord) \
    T(cuEventRecordWithFlags_ptsz, cuEventRecordWithFlags) \
    T(cuGraphInstantiateWithParams_ptsz, cuGraphInstantiateWithParams) \
    T(cuGraphLaunch_ptsz, cuGraphLaunch) \
    T(cuGraphUpload_ptsz, cuGraphUpload) \
    T(cuGraphicsMapResources_ptsz, cuGraphicsMapResources) \
    T(cuGraphicsUnmapResources_ptsz, cuGraphicsUnmapResources) \
    T(cuLaunchCooperativeKernel_ptsz, cuLaunchCooperativeKernel) \
    T(cuLaunchHostFunc_ptsz, cuLaunchHostFunc) \
    T(cuLaunchKernel_ptsz, cuLaunchKernel) \
    T(cuLaunchKernelEx_ptsz, cuLaunchKernelEx) \
    T(cuMemAllocAsync_ptsz, cuMemAllocAsync) \
    T(cuMemAllocFromPoolAsync_ptsz, cuMemAllocFromPoolAsync) \
    T(cuMemBatchDecompressAsync_ptsz, cuMemBatchDecompressAsync) \
    T(cuMemDiscardAndPrefetchBatchAsync_ptsz, cuMemDiscardAndPrefetchBatchAsync) \
    T(cuMemDiscardBatchAsync_ptsz, cuMemDiscardBatchAsync) \
    T(cuMemFreeAsync_ptsz, cuMemFreeAsync) \
    T(cuMemMapArrayAsync_ptsz, cuMemMapArrayAsync) \
    T(cuMemPrefetchAsync_ptsz, cuMemPrefetchAsync) \
    T(cuMemPrefetchAsync_v2_ptsz, cuMemPrefetchAsync_v2) \
    T(cuMemPrefetchBatchAsync_ptsz, cuMemPrefetchBatchAsync) \
    T(cuMemcpy_ptds, cuMemcpy) \
    T(cuMemcpy2D_v2_ptds, cuMemcpy2D_v2) \
    T(cuMemcpy2DAsync_v2_ptsz, cuMemcpy2DAsync_v2) \
    T(cuMemcpy2DUnaligned_v2_ptds, cuMemcpy2DUnaligned_v2) \
    T(cuMemcpy3D_v2_ptds, cuMemcpy3D_v2) \
    T(cuMemcpy3DAsync_v2_ptsz, cuMemcpy3DAsync_v2) \
    T(cuMemcpy3DBatchAsync_ptsz, cuMemcpy3DBatchAsync) \
    T(cuMemcpy3DBatchAsync_v2_ptsz, cuMemcpy3DBatchAsync_v2) \
    T(cuMemcpy3DPeer_ptds, cuMemcpy3DPeer) \
    T(cuMemcpy3DPeerAsync_ptsz, cuMemcpy3DPeerAsync) \
    T(cuMemcpyAsync_ptsz, cuMemcpyAsync) \
    T(cuMemcpyAtoA_v2_ptds, cuMemcpyAtoA_v2) \
    T(cuMemcpyAtoD_v2_ptds, cuMemcpyAtoD_v2) \
    T(cuMemcpyAtoH_v2_ptds, cuMemcpyAtoH_v2) \
    T(cuMemcpyAtoHAsync_v2_ptsz, cuMemcpyAtoHAsync_v2) \
    T(cuMemcpyBatchAsync_ptsz, cuMemcpyBatchAsync) \
    T(cuMemcpyBatchAsync_v2_ptsz, cuMemcpyBatchAsync_v2) \
    T(cuMemcpyDtoA_v2_ptds, cuMemcpyDtoA_v2) \
    T(cuMemcpyDtoD_v2_ptds, cuMemcpyDtoD_v2) \
    T(cuMemcpyDtoDAsync_v2_ptsz, cuMemcpyDtoDAsync_v2) \
    T(cuMemcpyDtoH_v2_ptds, cuMemcpyDtoH_v2) \
    T(cuMemcpyDtoHAsync_v2_ptsz, cuMemcpyDtoHAsync_v2) \
    T(cuMemcpyHtoA_v2_ptds, cuMemcpyHtoA_v2) \
    T(cuMemcpyHtoAAsync_v2_ptsz, cuMemcpyHtoAAsync_v2) \
    T(cuMemcpyHtoD_v2_ptds, cuMemcpyHtoD_v2) \
    T(cuMemcpyHtoDAsync_v2_ptsz, cuMemcpyHtoDAsync_v2) \
    T(cuMemcpyPeer_ptds, cuMemcpyPeer) \
    T(cuMemcpyPeerAsync_ptsz, cuMemcpyPeerAsync) \
    T(cuMemsetD16_v2_ptds, cuMemsetD16_v2) \
    T(cuMemsetD16Async_ptsz, cuMemsetD16Async) \
    T(cuMemsetD2D16_v2_ptds, cuMemsetD2D16_v2) \
    T(cuMemsetD2D16Async_ptsz, cuMemsetD2D16Async) \
    T(cuMemsetD2D32_v2_ptds, cuMemsetD2D32_v2) \
    T(cuMemsetD2D32Async_ptsz, cuMemsetD2D32Async) \
    T(cuMemsetD2D8_v2_ptds, cuMemsetD2D8_v2) \
    T(cuMemsetD2D8Async_ptsz, cuMemsetD2D8Async) \
    T(cuMemsetD32_v2_ptds, cuMemsetD32_v2) \
    T(cuMemsetD32Async_ptsz, cuMemsetD32Async) \
    T(cuMemsetD8_v2_ptds, cuMemsetD8_v2) \
    T(cuMemsetD8Async_ptsz, cuMemsetD8Async) \
    T(cuSignalExternalSemaphoresAsync_ptsz, cuSignalExternalSemaphoresAsync) \
    T(cuStreamAddCallback_ptsz, cuStreamAddCallback) \
    T(cuStreamAttachMemAsync_ptsz, cuStreamAttachMemAsync) \
    T(cuStreamBatchMemOp_ptsz, cuStreamBatchMemOp) \
    T(cuStreamBatchMemOp_v2_ptsz, cuStreamBatchMemOp_v2) \
    T(cuStreamBeginCapture_ptsz, cuStreamBeginCapture) \
    T(cuStreamBeginCapture_v2_ptsz, cuStreamBeginCapture_v2) \
    T(cuStreamBeginCaptureToGraph_ptsz, cuStreamBeginCaptureToGraph) \
    T(cuStreamCopyAttributes_ptsz, cuStreamCopyAttributes) \
    T(cuStreamEndCapture_ptsz, cuStreamEndCapture) \
    T(cuStreamGetAttribute_ptsz, cuStreamGetAttribute) \
    T(cuStreamGetCaptureInfo_ptsz, cuStreamGetCaptureInfo) \
    T(cuStreamGetCaptureInfo_v2_ptsz, cuStreamGetCaptureInfo_v2) \
    T(cuStreamGetCaptureInfo_v3_ptsz, cuStreamGetCaptureInfo_v3) \
    T(cuStreamGetCtx_ptsz, cuStreamGetCtx) \
    T(cuStreamGetCtx_v2_ptsz, cuStreamGetCtx_v2) \
    T(cuStreamGetDevice_ptsz, cuStreamGetDevice) \
    T(cuStreamGetFlags_ptsz, cuStreamGetFlags) \
    T(cuStreamGetId_ptsz, cuStreamGetId) \
    T(cuStreamGetPriority_ptsz, cuStreamGetPriority) \
    T(cuStreamIsCapturing_ptsz, cuStreamIsCapturing) \
    T(cuStreamQuery_ptsz, cuStreamQuery) \
    T(cuStreamSetAttribute_ptsz, cuStreamSetAttribute) \
    T(cuStreamSynchronize_ptsz, cuStreamSynchronize) \
    T(cuStreamUpdateCaptureDependencies_ptsz, cuStreamUpdateCaptureDependencies) \
    T(cuStreamUpdateCaptureDependencies_v2_ptsz, cuStreamUpdateCaptureDependencies_v2) \
    T(cuStreamWaitEvent_ptsz, cuStreamWaitEvent) \
    T(cuStreamWaitValue32_ptsz, cuStreamWaitValue32) \
    T(cuStreamWaitValue32_v2_ptsz, cuStreamWaitValue32_v2) \
    T(cuStreamWaitValue64_ptsz, cuStreamWaitValue64) \
    T(cuStreamWaitValue64_v2_ptsz, cuStreamWaitValue64_v2) \
    T(cuStreamWriteValue32_ptsz, cuStreamWriteValue32) \
    T(cuStreamWriteValue32_v2_ptsz, cuStreamWriteValue32_v2) \
    T(cuStreamWriteValue64_ptsz, cuStreamWriteValue64) \
    T(cuStreamWriteValue64_v2_ptsz, cuStreamWriteValue64_v2) \
    T(cuWaitExternalSemaphoresAsync_ptsz, cuWaitExternalSemaphoresAsync)
/* clang-format on */

#endif
