/*
 * Every function that libcuda.so.1 exports for the CUDA 13.0 driver API (graphics interoperability apart), one row each:
 *
 *   X(symbol, api, since, form, kind, (parameters), (arguments))
 *
 *   symbol  the exported name, as dlsym finds it
 *   api     the name that cuGetProcAddress takes
 *   since   the CUDA version (1000 * major + 10 * minor) from which cuGetProcAddress answers with this symbol
 *   form    PLAIN (legacy default stream), PTSZ or PTDS (per-thread default stream: takes a stream / synchronous)
 *   kind    what the call is to divvy; the limiter's hooks and the documentation of coverage derive from it
 *
 * All return CUresult. Hooks, the simulated driver's exports and its cuGetProcAddress, tests and documents expand this
 * table; nothing else lists these names. Source of the contract: NVIDIA's published cuda.h and cudaTypedefs.h of CUDA 13.0.
 */
#ifndef DIVVY_CUDA_DRIVER_TABLE_H
#define DIVVY_CUDA_DRIVER_TABLE_H

#include "cuda/driver_types.h"

/* clang-format off */
#define DIVVY_CUDA_DRIVER_TABLE(X) \
    X(cuArray3DCreate, cuArray3DCreate, 2000, PLAIN, ARRAY, (CUarray *pHandle, const CUDA_ARRAY3D_DESCRIPTOR_v1 *pAllocateArray), (pHandle, pAllocateArray)) \
    X(cuArray3DCreate_v2, cuArray3DCreate, 3020, PLAIN, ARRAY, (CUarray *pHandle, const CUDA_ARRAY3D_DESCRIPTOR *pAllocateArray), (pHandle, pAllocateArray)) \
    X(cuArray3DGetDescriptor, cuArray3DGetDescriptor, 2000, PLAIN, ARRAY, (CUDA_ARRAY3D_DESCRIPTOR_v1 *pArrayDescriptor, CUarray hArray), (pArrayDescriptor, hArray)) \
    X(cuArray3DGetDescriptor_v2, cuArray3DGetDescriptor, 3020, PLAIN, ARRAY, (CUDA_ARRAY3D_DESCRIPTOR *pArrayDescriptor, CUarray hArray), (pArrayDescriptor, hArray)) \
    X(cuArrayCreate, cuArrayCreate, 2000, PLAIN, ARRAY, (CUarray *pHandle, const CUDA_ARRAY_DESCRIPTOR_v1 *pAllocateArray), (pHandle, pAllocateArray)) \
    X(cuArrayCreate_v2, cuArrayCreate, 3020, PLAIN, ARRAY, (CUarray *pHandle, const CUDA_ARRAY_DESCRIPTOR *pAllocateArray), (pHandle, pAllocateArray)) \
    X(cuArrayDestroy, cuArrayDestroy, 2000, PLAIN, ARRAY, (CUarray hArray), (hArray)) \
    X(cuArrayGetDescriptor, cuArrayGetDescriptor, 2000, PLAIN, ARRAY, (CUDA_ARRAY_DESCRIPTOR_v1 *pArrayDescriptor, CUarray hArray), (pArrayDescriptor, hArray)) \
    X(cuArrayGetDescriptor_v2, cuArrayGetDescriptor, 3020, PLAIN, ARRAY, (CUDA_ARRAY_DESCRIPTOR *pArrayDescriptor, CUarray hArray), (pArrayDescriptor, hArray)) \
    X(cuArrayGetMemoryRequirements, cuArrayGetMemoryRequirements, 11060, PLAIN, ARRAY, (CUDA_ARRAY_MEMORY_REQUIREMENTS *memoryRequirements, CUarray array, CUdevice device), (memoryRequirements, array, device)) \
    X(cuArrayGetPlane, cuArrayGetPlane, 11020, PLAIN, ARRAY, (CUarray *pPlaneArray, CUarray hArray, unsigned int planeIdx), (pPlaneArray, hArray, planeIdx)) \
    X(cuArrayGetSparseProperties, cuArrayGetSparseProperties, 11010, PLAIN, ARRAY, (CUDA_ARRAY_SPARSE_PROPERTIES *sparseProperties, CUarray array), (sparseProperties, array)) \
    X(cuCheckpointProcessCheckpoint, cuCheckpointProcessCheckpoint, 12080, PLAIN, OTHER, (int pid, CUcheckpointCheckpointArgs *args), (pid, args)) \
    X(cuCheckpointProcessGetRestoreThreadId, cuCheckpointProcessGetRestoreThreadId, 12080, PLAIN, OTHER, (int pid, int *tid), (pid, tid)) \
    X(cuCheckpointProcessGetState, cuCheckpointProcessGetState, 12080, PLAIN, OTHER, (int pid, CUprocessState *state), (pid, state)) \
    X(cuCheckpointProcessLock, cuCheckpointProcessLock, 12080, PLAIN, OTHER, (int pid, CUcheckpointLockArgs *args), (pid, args)) \
    X(cuCheckpointProcessRestore, cuCheckpointProcessRestore, 12080, PLAIN, OTHER, (int pid, CUcheckpointRestoreArgs *args), (pid, args)) \
    X(cuCheckpointProcessUnlock, cuCheckpointProcessUnlock, 12080, PLAIN, OTHER, (int pid, CUcheckpointUnlockArgs *args), (pid, args)) \
    X(cuCoredumpGetAttribute, cuCoredumpGetAttribute, 12010, PLAIN, OTHER, (CUcoredumpSettings attrib, void *value, size_t *size), (attrib, value, size)) \
    X(cuCoredumpGetAttributeGlobal, cuCoredumpGetAttributeGlobal, 12010, PLAIN, OTHER, (CUcoredumpSettings attrib, void *value, size_t *size), (attrib, value, size)) \
    X(cuCoredumpSetAttribute, cuCoredumpSetAttribute, 12010, PLAIN, OTHER, (CUcoredumpSettings attrib, void *value, size_t *size), (attrib, value, size)) \
    X(cuCoredumpSetAttributeGlobal, cuCoredumpSetAttributeGlobal, 12010, PLAIN, OTHER, (CUcoredumpSettings attrib, void *value, size_t *size), (attrib, value, size)) \
    X(cuCtxAttach, cuCtxAttach, 2000, PLAIN, CONTEXT, (CUcontext *pctx, unsigned int flags), (pctx, flags)) \
    X(cuCtxCreate, cuCtxCreate, 2000, PLAIN, CONTEXT, (CUcontext *pctx, unsigned int flags, CUdevice dev), (pctx, flags, dev)) \
    X(cuCtxCreate_v2, cuCtxCreate, 3020, PLAIN, CONTEXT, (CUcontext *pctx, unsigned int flags, CUdevice dev), (pctx, flags, dev)) \
    X(cuCtxCreate_v3, cuCtxCreate, 11040, PLAIN, CONTEXT, (CUcontext *pctx, CUexecAffinityParam *paramsArray, int numParams, unsigned int flags, CUdevice dev), (pctx, paramsArray, numParams, flags, dev)) \
    X(cuCtxCreate_v4, cuCtxCreate, 12050, PLAIN, CONTEXT, (CUcontext *pctx, CUctxCreateParams *ctxCreateParams, unsigned int flags, CUdevice dev), (pctx, ctxCreateParams, flags, dev)) \
    X(cuCtxDestroy, cuCtxDestroy, 2000, PLAIN, CONTEXT, (CUcontext ctx), (ctx)) \
    X(cuCtxDestroy_v2, cuCtxDestroy, 4000, PLAIN, CONTEXT, (CUcontext ctx), (ctx)) \
    X(cuCtxDetach, cuCtxDetach, 2000, PLAIN, CONTEXT, (CUcontext ctx), (ctx)) \
    X(cuCtxDisablePeerAccess, cuCtxDisablePeerAccess, 4000, PLAIN, CONTEXT, (CUcontext peerContext), (peerContext)) \
    X(cuCtxEnablePeerAccess, cuCtxEnablePeerAccess, 4000, PLAIN, CONTEXT, (CUcontext peerContext, unsigned int Flags), (peerContext, Flags)) \
    X(cuCtxFromGreenCtx, cuCtxFromGreenCtx, 12040, PLAIN, CONTEXT, (CUcontext *pContext, CUgreenCtx hCtx), (pContext, hCtx)) \
    X(cuCtxGetApiVersion, cuCtxGetApiVersion, 3020, PLAIN, CONTEXT, (CUcontext ctx, unsigned int *version), (ctx, version)) \
    X(cuCtxGetCacheConfig, cuCtxGetCacheConfig, 3020, PLAIN, CONTEXT, (CUfunc_cache *pconfig), (pconfig)) \
    X(cuCtxGetCurrent, cuCtxGetCurrent, 4000, PLAIN, CONTEXT, (CUcontext *pctx), (pctx)) \
    X(cuCtxGetDevResource, cuCtxGetDevResource, 12040, PLAIN, CONTEXT, (CUcontext hCtx, CUdevResource *resource, CUdevResourceType type), (hCtx, resource, type)) \
    X(cuCtxGetDevice, cuCtxGetDevice, 2000, PLAIN, CONTEXT, (CUdevice *device), (device)) \
    X(cuCtxGetDevice_v2, cuCtxGetDevice, 13000, PLAIN, CONTEXT, (CUdevice *device, CUcontext ctx), (device, ctx)) \
    X(cuCtxGetExecAffinity, cuCtxGetExecAffinity, 11040, PLAIN, CONTEXT, (CUexecAffinityParam *pExecAffinity, CUexecAffinityType type), (pExecAffinity, type)) \
    X(cuCtxGetFlags, cuCtxGetFlags, 7000, PLAIN, CONTEXT, (unsigned int *flags), (flags)) \
    X(cuCtxGetId, cuCtxGetId, 12000, PLAIN, CONTEXT, (CUcontext ctx, unsigned long long *ctxId), (ctx, ctxId)) \
    X(cuCtxGetLimit, cuCtxGetLimit, 3010, PLAIN, CONTEXT, (size_t *pvalue, CUlimit limit), (pvalue, limit)) \
    X(cuCtxGetSharedMemConfig, cuCtxGetSharedMemConfig, 4020, PLAIN, CONTEXT, (CUsharedconfig *pConfig), (pConfig)) \
    X(cuCtxGetStreamPriorityRange, cuCtxGetStreamPriorityRange, 5050, PLAIN, CONTEXT, (int *leastPriority, int *greatestPriority), (leastPriority, greatestPriority)) \
    X(cuCtxPopCurrent, cuCtxPopCurrent, 2000, PLAIN, CONTEXT, (CUcontext *pctx), (pctx)) \
    X(cuCtxPopCurrent_v2, cuCtxPopCurrent, 4000, PLAIN, CONTEXT, (CUcontext *pctx), (pctx)) \
    X(cuCtxPushCurrent, cuCtxPushCurrent, 2000, PLAIN, CONTEXT, (CUcontext ctx), (ctx)) \
    X(cuCtxPushCurrent_v2, cuCtxPushCurrent, 4000, PLAIN, CONTEXT, (CUcontext ctx), (ctx)) \
    X(cuCtxRecordEvent, cuCtxRecordEvent, 12050, PLAIN, CONTEXT, (CUcontext hCtx, CUevent hEvent), (hCtx, hEvent)) \
    X(cuCtxResetPersistingL2Cache, cuCtxResetPersistingL2Cache, 11000, PLAIN, CONTEXT, (void), ()) \
    X(cuCtxSetCacheConfig, cuCtxSetCacheConfig, 3020, PLAIN, CONTEXT, (CUfunc_cache config), (config)) \
    X(cuCtxSetCurrent, cuCtxSetCurrent, 4000, PLAIN, CONTEXT, (CUcontext ctx), (ctx)) \
    X(cuCtxSetFlags, cuCtxSetFlags, 12010, PLAIN, CONTEXT, (unsigned int flags), (flags)) \
    X(cuCtxSetLimit, cuCtxSetLimit, 3010, PLAIN, CONTEXT, (CUlimit limit, size_t value), (limit, value)) \
    X(cuCtxSetSharedMemConfig, cuCtxSetSharedMemConfig, 4020, PLAIN, CONTEXT, (CUsharedconfig config), (config)) \
    X(cuCtxSynchronize, cuCtxSynchronize, 2000, PLAIN, CONTEXT, (void), ()) \
    X(cuCtxSynchronize_v2, cuCtxSynchronize, 13000, PLAIN, CONTEXT, (CUcontext ctx), (ctx)) \
    X(cuCtxWaitEvent, cuCtxWaitEvent, 12050, PLAIN, CONTEXT, (CUcontext hCtx, CUevent hEvent), (hCtx, hEvent)) \
    X(cuDestroyExternalMemory, cuDestroyExternalMemory, 10000, PLAIN, IMPORT, (CUexternalMemory extMem), (extMem)) \
    X(cuDestroyExternalSemaphore, cuDestroyExternalSemaphore, 10000, PLAIN, IMPORT, (CUexternalSemaphore extSem), (extSem)) \
    X(cuDevResourceGenerateDesc, cuDevResourceGenerateDesc, 12040, PLAIN, CONTEXT, (CUdevResourceDesc *phDesc, CUdevResource *resources, unsigned int nbResources), (phDesc, resources, nbResources)) \
    X(cuDevSmResourceSplitByCount, cuDevSmResourceSplitByCount, 12040, PLAIN, OTHER, (CUdevResource *result, unsigned int *nbGroups, const CUdevResource *input, CUdevResource *remaining, unsigned int useFlags, unsigned int minCount), (result, nbGroups, input, remaining, useFlags, minCount)) \
    X(cuDeviceCanAccessPeer, cuDeviceCanAccessPeer, 4000, PLAIN, DEVICE, (int *canAccessPeer, CUdevice dev, CUdevice peerDev), (canAccessPeer, dev, peerDev)) \
    X(cuDeviceComputeCapability, cuDeviceComputeCapability, 2000, PLAIN, DEVICE, (int *major, int *minor, CUdevice dev), (major, minor, dev)) \
    X(cuDeviceGet, cuDeviceGet, 2000, PLAIN, DEVICE, (CUdevice *device, int ordinal), (device, ordinal)) \
    X(cuDeviceGetAttribute, cuDeviceGetAttribute, 2000, PLAIN, DEVICE, (int *pi, CUdevice_attribute attrib, CUdevice dev), (pi, attrib, dev)) \
    X(cuDeviceGetByPCIBusId, cuDeviceGetByPCIBusId, 4010, PLAIN, DEVICE, (CUdevice *dev, const char *pciBusId), (dev, pciBusId)) \
    X(cuDeviceGetCount, cuDeviceGetCount, 2000, PLAIN, DEVICE, (int *count), (count)) \
    X(cuDeviceGetDefaultMemPool, cuDeviceGetDefaultMemPool, 11020, PLAIN, POOL, (CUmemoryPool *pool_out, CUdevice dev), (pool_out, dev)) \
    X(cuDeviceGetDevResource, cuDeviceGetDevResource, 12040, PLAIN, CONTEXT, (CUdevice device, CUdevResource *resource, CUdevResourceType type), (device, resource, type)) \
    X(cuDeviceGetExecAffinitySupport, cuDeviceGetExecAffinitySupport, 11040, PLAIN, CONTEXT, (int *pi, CUexecAffinityType type, CUdevice dev), (pi, type, dev)) \
    X(cuDeviceGetGraphMemAttribute, cuDeviceGetGraphMemAttribute, 11040, PLAIN, GRAPH_MEMORY, (CUdevice device, CUgraphMem_attribute attr, void *value), (device, attr, value)) \
    X(cuDeviceGetHostAtomicCapabilities, cuDeviceGetHostAtomicCapabilities, 13000, PLAIN, DEVICE, (unsigned int *capabilities, const CUatomicOperation *operations, unsigned int count, CUdevice dev), (capabilities, operations, count, dev)) \
    X(cuDeviceGetLuid, cuDeviceGetLuid, 10000, PLAIN, DEVICE, (char *luid, unsigned int *deviceNodeMask, CUdevice dev), (luid, deviceNodeMask, dev)) \
    X(cuDeviceGetMemPool, cuDeviceGetMemPool, 11020, PLAIN, POOL, (CUmemoryPool *pool, CUdevice dev), (pool, dev)) \
    X(cuDeviceGetName, cuDeviceGetName, 2000, PLAIN, DEVICE, (char *name, int len, CUdevice dev), (name, len, dev)) \
    X(cuDeviceGetNvSciSyncAttributes, cuDeviceGetNvSciSyncAttributes, 10020, PLAIN, DEVICE, (void *nvSciSyncAttrList, CUdevice dev, int flags), (nvSciSyncAttrList, dev, flags)) \
    X(cuDeviceGetP2PAtomicCapabilities, cuDeviceGetP2PAtomicCapabilities, 13000, PLAIN, DEVICE, (unsigned int *capabilities, const CUatomicOperation *operations, unsigned int count, CUdevice srcDevice, CUdevice dstDevice), (capabilities, operations, count, srcDevice, dstDevice)) \
    X(cuDeviceGetP2PAttribute, cuDeviceGetP2PAttribute, 8000, PLAIN, DEVICE, (int *value, CUdevice_P2PAttribute attrib, CUdevice srcDevice, CUdevice dstDevice), (value, attrib, srcDevice, dstDevice)) \
    X(cuDeviceGetPCIBusId, cuDeviceGetPCIBusId, 4010, PLAIN, DEVICE, (char *pciBusId, int len, CUdevice dev), (pciBusId, len, dev)) \
    X(cuDeviceGetProperties, cuDeviceGetProperties, 2000, PLAIN, DEVICE, (CUdevprop *prop, CUdevice dev), (prop, dev)) \
    X(cuDeviceGetTexture1DLinearMaxWidth, cuDeviceGetTexture1DLinearMaxWidth, 11010, PLAIN, DEVICE, (size_t *maxWidthInElements, CUarray_format format, unsigned numChannels, CUdevice dev), (maxWidthInElements, format, numChannels, dev)) \
    X(cuDeviceGetUuid, cuDeviceGetUuid, 9020, PLAIN, DEVICE, (CUuuid *uuid, CUdevice dev), (uuid, dev)) \
    X(cuDeviceGetUuid_v2, cuDeviceGetUuid, 11040, PLAIN, DEVICE, (CUuuid *uuid, CUdevice dev), (uuid, dev)) \
    X(cuDeviceGraphMemTrim, cuDeviceGraphMemTrim, 11040, PLAIN, GRAPH_MEMORY, (CUdevice device), (device)) \
    X(cuDevicePrimaryCtxGetState, cuDevicePrimaryCtxGetState, 7000, PLAIN, CONTEXT, (CUdevice dev, unsigned int *flags, int *active), (dev, flags, active)) \
    X(cuDevicePrimaryCtxRelease, cuDevicePrimaryCtxRelease, 7000, PLAIN, CONTEXT, (CUdevice dev), (dev)) \
    X(cuDevicePrimaryCtxRelease_v2, cuDevicePrimaryCtxRelease, 11000, PLAIN, CONTEXT, (CUdevice dev), (dev)) \
    X(cuDevicePrimaryCtxReset, cuDevicePrimaryCtxReset, 7000, PLAIN, CONTEXT, (CUdevice dev), (dev)) \
    X(cuDevicePrimaryCtxReset_v2, cuDevicePrimaryCtxReset, 11000, PLAIN, CONTEXT, (CUdevice dev), (dev)) \
    X(cuDevicePrimaryCtxRetain, cuDevicePrimaryCtxRetain, 7000, PLAIN, CONTEXT, (CUcontext *pctx, CUdevice dev), (pctx, dev)) \
    X(cuDevicePrimaryCtxSetFlags, cuDevicePrimaryCtxSetFlags, 7000, PLAIN, CONTEXT, (CUdevice dev, unsigned int flags), (dev, flags)) \
    X(cuDevicePrimaryCtxSetFlags_v2, cuDevicePrimaryCtxSetFlags, 11000, PLAIN, CONTEXT, (CUdevice dev, unsigned int flags), (dev, flags)) \
    X(cuDeviceRegisterAsyncNotification, cuDeviceRegisterAsyncNotification, 12040, PLAIN, DEVICE, (CUdevice device, CUasyncCallback callbackFunc, void *userData, CUasyncCallbackHandle *callback), (device, callbackFunc, userData, callback)) \
    X(cuDeviceSetGraphMemAttribute, cuDeviceSetGraphMemAttribute, 11040, PLAIN, GRAPH_MEMORY, (CUdevice device, CUgraphMem_attribute attr, void *value), (device, attr, value)) \
    X(cuDeviceSetMemPool, cuDeviceSetMemPool, 11020, PLAIN, POOL, (CUdevice dev, CUmemoryPool pool), (dev, pool)) \
    X(cuDeviceTotalMem, cuDeviceTotalMem, 2000, PLAIN, VIEW, (unsigned int *bytes, CUdevice dev), (bytes, dev)) \
    X(cuDeviceTotalMem_v2, cuDeviceTotalMem, 3020, PLAIN, VIEW, (size_t *bytes, CUdevice dev), (bytes, dev)) \
    X(cuDeviceUnregisterAsyncNotification, cuDeviceUnregisterAsyncNotification, 12040, PLAIN, DEVICE, (CUdevice device, CUasyncCallbackHandle callback), (device, callback)) \
    X(cuDriverGetVersion, cuDriverGetVersion, 2020, PLAIN, OTHER, (int *driverVersion), (driverVersion)) \
    X(cuEventCreate, cuEventCreate, 2000, PLAIN, EVENT, (CUevent *phEvent, unsigned int Flags), (phEvent, Flags)) \
    X(cuEventDestroy, cuEventDestroy, 2000, PLAIN, EVENT, (CUevent hEvent), (hEvent)) \
    X(cuEventDestroy_v2, cuEventDestroy, 4000, PLAIN, EVENT, (CUevent hEvent), (hEvent)) \
    X(cuEventElapsedTime, cuEventElapsedTime, 2000, PLAIN, EVENT, (float *pMilliseconds, CUevent hStart, CUevent hEnd), (pMilliseconds, hStart, hEnd)) \
    X(cuEventElapsedTime_v2, cuEventElapsedTime, 12080, PLAIN, EVENT, (float *pMilliseconds, CUevent hStart, CUevent hEnd), (pMilliseconds, hStart, hEnd)) \
    X(cuEventQuery, cuEventQuery, 2000, PLAIN, EVENT, (CUevent hEvent), (hEvent)) \
    X(cuEventRecord, cuEventRecord, 2000, PLAIN, EVENT, (CUevent hEvent, CUstream hStream), (hEvent, hStream)) \
    X(cuEventRecord_ptsz, cuEventRecord, 7000, PTSZ, EVENT, (CUevent hEvent, CUstream hStream), (hEvent, hStream)) \
    X(cuEventRecordWithFlags, cuEventRecordWithFlags, 11010, PLAIN, EVENT, (CUevent hEvent, CUstream hStream, unsigned int flags), (hEvent, hStream, flags)) \
    X(cuEventRecordWithFlags_ptsz, cuEventRecordWithFlags, 11010, PTSZ, EVENT, (CUevent hEvent, CUstream hStream, unsigned int flags), (hEvent, hStream, flags)) \
    X(cuEventSynchronize, cuEventSynchronize, 2000, PLAIN, EVENT, (CUevent hEvent), (hEvent)) \
    X(cuExternalMemoryGetMappedBuffer, cuExternalMemoryGetMappedBuffer, 10000, PLAIN, IMPORT, (CUdeviceptr *devPtr, CUexternalMemory extMem, const CUDA_EXTERNAL_MEMORY_BUFFER_DESC *bufferDesc), (devPtr, extMem, bufferDesc)) \
    X(cuExternalMemoryGetMappedMipmappedArray, cuExternalMemoryGetMappedMipmappedArray, 10000, PLAIN, IMPORT, (CUmipmappedArray *mipmap, CUexternalMemory extMem, const CUDA_EXTERNAL_MEMORY_MIPMAPPED_ARRAY_DESC *mipmapDesc), (mipmap, extMem, mipmapDesc)) \
    X(cuFlushGPUDirectRDMAWrites, cuFlushGPUDirectRDMAWrites, 11030, PLAIN, OTHER, (CUflushGPUDirectRDMAWritesTarget target, CUflushGPUDirectRDMAWritesScope scope), (target, scope)) \
    X(cuFuncGetAttribute, cuFuncGetAttribute, 2020, PLAIN, CODE, (int *pi, CUfunction_attribute attrib, CUfunction hfunc), (pi, attrib, hfunc)) \
    X(cuFuncGetModule, cuFuncGetModule, 11000, PLAIN, CODE, (CUmodule *hmod, CUfunction hfunc), (hmod, hfunc)) \
    X(cuFuncGetName, cuFuncGetName, 12030, PLAIN, CODE, (const char **name, CUfunction hfunc), (name, hfunc)) \
    X(cuFuncGetParamInfo, cuFuncGetParamInfo, 12040, PLAIN, CODE, (CUfunction func, size_t paramIndex, size_t *paramOffset, size_t *paramSize), (func, paramIndex, paramOffset, paramSize)) \
    X(cuFuncIsLoaded, cuFuncIsLoaded, 12040, PLAIN, CODE, (CUfunctionLoadingState *state, CUfunction function), (state, function)) \
    X(cuFuncLoad, cuFuncLoad, 12040, PLAIN, CODE, (CUfunction function), (function)) \
    X(cuFuncSetAttribute, cuFuncSetAttribute, 9000, PLAIN, CODE, (CUfunction hfunc, CUfunction_attribute attrib, int value), (hfunc, attrib, value)) \
    X(cuFuncSetBlockShape, cuFuncSetBlockShape, 2000, PLAIN, CODE, (CUfunction hfunc, int x, int y, int z), (hfunc, x, y, z)) \
    X(cuFuncSetCacheConfig, cuFuncSetCacheConfig, 3000, PLAIN, CODE, (CUfunction hfunc, CUfunc_cache config), (hfunc, config)) \
    X(cuFuncSetSharedMemConfig, cuFuncSetSharedMemConfig, 4020, PLAIN, CODE, (CUfunction hfunc, CUsharedconfig config), (hfunc, config)) \
    X(cuFuncSetSharedSize, cuFuncSetSharedSize, 2000, PLAIN, CODE, (CUfunction hfunc, unsigned int bytes), (hfunc, bytes)) \
    X(cuGetErrorName, cuGetErrorName, 6000, PLAIN, OTHER, (CUresult error, const char **pStr), (error, pStr)) \
    X(cuGetErrorString, cuGetErrorString, 6000, PLAIN, OTHER, (CUresult error, const char **pStr), (error, pStr)) \
    X(cuGetExportTable, cuGetExportTable, 3000, PLAIN, LOOKUP, (const void **ppExportTable, const CUuuid *pExportTableId), (ppExportTable, pExportTableId)) \
    X(cuGetProcAddress, cuGetProcAddress, 11030, PLAIN, LOOKUP, (const char *symbol, void **pfn, int cudaVersion, cuuint64_t flags), (symbol, pfn, cudaVersion, flags)) \
    X(cuGetProcAddress_v2, cuGetProcAddress, 12000, PLAIN, LOOKUP, (const char *symbol, void **pfn, int cudaVersion, cuuint64_t flags, CUdriverProcAddressQueryResult *symbolStatus), (symbol, pfn, cudaVersion, flags, symbolStatus)) \
    X(cuGraphAddBatchMemOpNode, cuGraphAddBatchMemOpNode, 11070, PLAIN, GRAPH, (CUgraphNode *phGraphNode, CUgraph hGraph, const CUgraphNode *dependencies, size_t numDependencies, const CUDA_BATCH_MEM_OP_NODE_PARAMS *nodeParams), (phGraphNode, hGraph, dependencies, numDependencies, nodeParams)) \
    X(cuGraphAddChildGraphNode, cuGraphAddChildGraphNode, 10000, PLAIN, GRAPH, (CUgraphNode *phGraphNode, CUgraph hGraph, const CUgraphNode *dependencies, size_t numDependencies, CUgraph childGraph), (phGraphNode, hGraph, dependencies, numDependencies, childGraph)) \
    X(cuGraphAddDependencies, cuGraphAddDependencies, 10000, PLAIN, GRAPH, (CUgraph hGraph, const CUgraphNode *from, const CUgraphNode *to, size_t numDependencies), (hGraph, from, to, numDependencies)) \
    X(cuGraphAddDependencies_v2, cuGraphAddDependencies, 12030, PLAIN, GRAPH, (CUgraph hGraph, const CUgraphNode *from, const CUgraphNode *to, const CUgraphEdgeData *edgeData, size_t numDependencies), (hGraph, from, to, edgeData, numDependencies)) \
    X(cuGraphAddEmptyNode, cuGraphAddEmptyNode, 10000, PLAIN, GRAPH, (CUgraphNode *phGraphNode, CUgraph hGraph, const CUgraphNode *dependencies, size_t numDependencies), (phGraphNode, hGraph, dependencies, numDependencies)) \
    X(cuGraphAddEventRecordNode, cuGraphAddEventRecordNode, 11010, PLAIN, GRAPH, (CUgraphNode *phGraphNode, CUgraph hGraph, const CUgraphNode *dependencies, size_t numDependencies, CUevent event), (phGraphNode, hGraph, dependencies, numDependencies, event)) \
    X(cuGraphAddEventWaitNode, cuGraphAddEventWaitNode, 11010, PLAIN, GRAPH, (CUgraphNode *phGraphNode, CUgraph hGraph, const CUgraphNode *dependencies, size_t numDependencies, CUevent event), (phGraphNode, hGraph, dependencies, numDependencies, event)) \
    X(cuGraphAddExternalSemaphoresSignalNode, cuGraphAddExternalSemaphoresSignalNode, 11020, PLAIN, GRAPH, (CUgraphNode *phGraphNode, CUgraph hGraph, const CUgraphNode *dependencies, size_t numDependencies, const CUDA_EXT_SEM_SIGNAL_NODE_PARAMS *nodeParams), (phGraphNode, hGraph, dependencies, numDependencies, nodeParams)) \
    X(cuGraphAddExternalSemaphoresWaitNode, cuGraphAddExternalSemaphoresWaitNode, 11020, PLAIN, GRAPH, (CUgraphNode *phGraphNode, CUgraph hGraph, const CUgraphNode *dependencies, size_t numDependencies, const CUDA_EXT_SEM_WAIT_NODE_PARAMS *nodeParams), (phGraphNode, hGraph, dependencies, numDependencies, nodeParams)) \
    X(cuGraphAddHostNode, cuGraphAddHostNode, 10000, PLAIN, GRAPH, (CUgraphNode *phGraphNode, CUgraph hGraph, const CUgraphNode *dependencies, size_t numDependencies, const CUDA_HOST_NODE_PARAMS *nodeParams), (phGraphNode, hGraph, dependencies, numDependencies, nodeParams)) \
    X(cuGraphAddKernelNode, cuGraphAddKernelNode, 10000, PLAIN, GRAPH, (CUgraphNode *phGraphNode, CUgraph hGraph, const CUgraphNode *dependencies, size_t numDependencies, const CUDA_KERNEL_NODE_PARAMS_v1 *nodeParams), (phGraphNode, hGraph, dependencies, numDependencies, nodeParams)) \
    X(cuGraphAddKernelNode_v2, cuGraphAddKernelNode, 12000, PLAIN, GRAPH, (CUgraphNode *phGraphNode, CUgraph hGraph, const CUgraphNode *dependencies, size_t numDependencies, const CUDA_KERNEL_NODE_PARAMS *nodeParams), (phGraphNode, hGraph, dependencies, numDependencies, nodeParams)) \
    X(cuGraphAddMemAllocNode, cuGraphAddMemAllocNode, 11040, PLAIN, GRAPH_MEMORY, (CUgraphNode *phGraphNode, CUgraph hGraph, const CUgraphNode *dependencies, size_t numDependencies, CUDA_MEM_ALLOC_NODE_PARAMS *nodeParams), (phGraphNode, hGraph, dependencies, numDependencies, nodeParams)) \
    X(cuGraphAddMemFreeNode, cuGraphAddMemFreeNode, 11040, PLAIN, GRAPH_MEMORY, (CUgraphNode *phGraphNode, CUgraph hGraph, const CUgraphNode *dependencies, size_t numDependencies, CUdeviceptr dptr), (phGraphNode, hGraph, dependencies, numDependencies, dptr)) \
    X(cuGraphAddMemcpyNode, cuGraphAddMemcpyNode, 10000, PLAIN, GRAPH, (CUgraphNode *phGraphNode, CUgraph hGraph, const CUgraphNode *dependencies, size_t numDependencies, const CUDA_MEMCPY3D *copyParams, CUcontext ctx), (phGraphNode, hGraph, dependencies, numDependencies, copyParams, ctx)) \
    X(cuGraphAddMemsetNode, cuGraphAddMemsetNode, 10000, PLAIN, GRAPH, (CUgraphNode *phGraphNode, CUgraph hGraph, const CUgraphNode *dependencies, size_t numDependencies, const CUDA_MEMSET_NODE_PARAMS *memsetParams, CUcontext ctx), (phGraphNode, hGraph, dependencies, numDependencies, memsetParams, ctx)) \
    X(cuGraphAddNode, cuGraphAddNode, 12020, PLAIN, GRAPH, (CUgraphNode *phGraphNode, CUgraph hGraph, const CUgraphNode *dependencies, size_t numDependencies, CUgraphNodeParams *nodeParams), (phGraphNode, hGraph, dependencies, numDependencies, nodeParams)) \
    X(cuGraphAddNode_v2, cuGraphAddNode, 12030, PLAIN, GRAPH, (CUgraphNode *phGraphNode, CUgraph hGraph, const CUgraphNode *dependencies, const CUgraphEdgeData *dependencyData, size_t numDependencies, CUgraphNodeParams *nodeParams), (phGraphNode, hGraph, dependencies, dependencyData, numDependencies, nodeParams)) \
    X(cuGraphBatchMemOpNodeGetParams, cuGraphBatchMemOpNodeGetParams, 11070, PLAIN, GRAPH, (CUgraphNode hNode, CUDA_BATCH_MEM_OP_NODE_PARAMS *nodeParams_out), (hNode, nodeParams_out)) \
    X(cuGraphBatchMemOpNodeSetParams, cuGraphBatchMemOpNodeSetParams, 11070, PLAIN, GRAPH, (CUgraphNode hNode, const CUDA_BATCH_MEM_OP_NODE_PARAMS *nodeParams), (hNode, nodeParams)) \
    X(cuGraphChildGraphNodeGetGraph, cuGraphChildGraphNodeGetGraph, 10000, PLAIN, GRAPH, (CUgraphNode hNode, CUgraph *phGraph), (hNode, phGraph)) \
    X(cuGraphClone, cuGraphClone, 10000, PLAIN, GRAPH, (CUgraph *phGraphClone, CUgraph originalGraph), (phGraphClone, originalGraph)) \
    X(cuGraphConditionalHandleCreate, cuGraphConditionalHandleCreate, 12030, PLAIN, GRAPH, (CUgraphConditionalHandle *pHandle_out, CUgraph hGraph, CUcontext ctx, unsigned int defaultLaunchValue, unsigned int flags), (pHandle_out, hGraph, ctx, defaultLaunchValue, flags)) \
    X(cuGraphCreate, cuGraphCreate, 10000, PLAIN, GRAPH, (CUgraph *phGraph, unsigned int flags), (phGraph, flags)) \
    X(cuGraphDebugDotPrint, cuGraphDebugDotPrint, 11030, PLAIN, GRAPH, (CUgraph hGraph, const char *path, unsigned int flags), (hGraph, path, flags)) \
    X(cuGraphDestroy, cuGraphDestroy, 10000, PLAIN, GRAPH, (CUgraph hGraph), (hGraph)) \
    X(cuGraphDestroyNode, cuGraphDestroyNode, 10000, PLAIN, GRAPH, (CUgraphNode hNode), (hNode)) \
    X(cuGraphEventRecordNodeGetEvent, cuGraphEventRecordNodeGetEvent, 11010, PLAIN, GRAPH, (CUgraphNode hNode, CUevent *event_out), (hNode, event_out)) \
    X(cuGraphEventRecordNodeSetEvent, cuGraphEventRecordNodeSetEvent, 11010, PLAIN, GRAPH, (CUgraphNode hNode, CUevent event), (hNode, event)) \
    X(cuGraphEventWaitNodeGetEvent, cuGraphEventWaitNodeGetEvent, 11010, PLAIN, GRAPH, (CUgraphNode hNode, CUevent *event_out), (hNode, event_out)) \
    X(cuGraphEventWaitNodeSetEvent, cuGraphEventWaitNodeSetEvent, 11010, PLAIN, GRAPH, (CUgraphNode hNode, CUevent event), (hNode, event)) \
    X(cuGraphExecBatchMemOpNodeSetParams, cuGraphExecBatchMemOpNodeSetParams, 11070, PLAIN, GRAPH, (CUgraphExec hGraphExec, CUgraphNode hNode, const CUDA_BATCH_MEM_OP_NODE_PARAMS *nodeParams), (hGraphExec, hNode, nodeParams)) \
    X(cuGraphExecChildGraphNodeSetParams, cuGraphExecChildGraphNodeSetParams, 11010, PLAIN, GRAPH, (CUgraphExec hGraphExec, CUgraphNode hNode, CUgraph childGraph), (hGraphExec, hNode, childGraph)) \
    X(cuGraphExecDestroy, cuGraphExecDestroy, 10000, PLAIN, GRAPH, (CUgraphExec hGraphExec), (hGraphExec)) \
    X(cuGraphExecEventRecordNodeSetEvent, cuGraphExecEventRecordNodeSetEvent, 11010, PLAIN, GRAPH, (CUgraphExec hGraphExec, CUgraphNode hNode, CUevent event), (hGraphExec, hNode, event)) \
    X(cuGraphExecEventWaitNodeSetEvent, cuGraphExecEventWaitNodeSetEvent, 11010, PLAIN, GRAPH, (CUgraphExec hGraphExec, CUgraphNode hNode, CUevent event), (hGraphExec, hNode, event)) \
    X(cuGraphExecExternalSemaphoresSignalNodeSetParams, cuGraphExecExternalSemaphoresSignalNodeSetParams, 11020, PLAIN, GRAPH, (CUgraphExec hGraphExec, CUgraphNode hNode, const CUDA_EXT_SEM_SIGNAL_NODE_PARAMS *nodeParams), (hGraphExec, hNode, nodeParams)) \
    X(cuGraphExecExternalSemaphoresWaitNodeSetParams, cuGraphExecExternalSemaphoresWaitNodeSetParams, 11020, PLAIN, GRAPH, (CUgraphExec hGraphExec, CUgraphNode hNode, const CUDA_EXT_SEM_WAIT_NODE_PARAMS *nodeParams), (hGraphExec, hNode, nodeParams)) \
    X(cuGraphExecGetFlags, cuGraphExecGetFlags, 12000, PLAIN, GRAPH, (CUgraphExec hGraphExec, cuuint64_t *flags), (hGraphExec, flags)) \
    X(cuGraphExecHostNodeSetParams, cuGraphExecHostNodeSetParams, 10020, PLAIN, GRAPH, (CUgraphExec hGraphExec, CUgraphNode hNode, const CUDA_HOST_NODE_PARAMS *nodeParams), (hGraphExec, hNode, nodeParams)) \
    X(cuGraphExecKernelNodeSetParams, cuGraphExecKernelNodeSetParams, 10010, PLAIN, GRAPH, (CUgraphExec hGraphExec, CUgraphNode hNode, const CUDA_KERNEL_NODE_PARAMS_v1 *nodeParams), (hGraphExec, hNode, nodeParams)) \
    X(cuGraphExecKernelNodeSetParams_v2, cuGraphExecKernelNodeSetParams, 12000, PLAIN, GRAPH, (CUgraphExec hGraphExec, CUgraphNode hNode, const CUDA_KERNEL_NODE_PARAMS *nodeParams), (hGraphExec, hNode, nodeParams)) \
    X(cuGraphExecMemcpyNodeSetParams, cuGraphExecMemcpyNodeSetParams, 10020, PLAIN, GRAPH, (CUgraphExec hGraphExec, CUgraphNode hNode, const CUDA_MEMCPY3D *copyParams, CUcontext ctx), (hGraphExec, hNode, copyParams, ctx)) \
    X(cuGraphExecMemsetNodeSetParams, cuGraphExecMemsetNodeSetParams, 10020, PLAIN, GRAPH, (CUgraphExec hGraphExec, CUgraphNode hNode, const CUDA_MEMSET_NODE_PARAMS *memsetParams, CUcontext ctx), (hGraphExec, hNode, memsetParams, ctx)) \
    X(cuGraphExecNodeSetParams, cuGraphExecNodeSetParams, 12020, PLAIN, GRAPH, (CUgraphExec hGraphExec, CUgraphNode hNode, CUgraphNodeParams *nodeParams), (hGraphExec, hNode, nodeParams)) \
    X(cuGraphExecUpdate, cuGraphExecUpdate, 10020, PLAIN, GRAPH, (CUgraphExec hGraphExec, CUgraph hGraph, CUgraphNode *hErrorNode_out, CUgraphExecUpdateResult *updateResult_out), (hGraphExec, hGraph, hErrorNode_out, updateResult_out)) \
    X(cuGraphExecUpdate_v2, cuGraphExecUpdate, 12000, PLAIN, GRAPH, (CUgraphExec hGraphExec, CUgraph hGraph, CUgraphExecUpdateResultInfo *resultInfo), (hGraphExec, hGraph, resultInfo)) \
    X(cuGraphExternalSemaphoresSignalNodeGetParams, cuGraphExternalSemaphoresSignalNodeGetParams, 11020, PLAIN, GRAPH, (CUgraphNode hNode, CUDA_EXT_SEM_SIGNAL_NODE_PARAMS *params_out), (hNode, params_out)) \
    X(cuGraphExternalSemaphoresSignalNodeSetParams, cuGraphExternalSemaphoresSignalNodeSetParams, 11020, PLAIN, GRAPH, (CUgraphNode hNode, const CUDA_EXT_SEM_SIGNAL_NODE_PARAMS *nodeParams), (hNode, nodeParams)) \
    X(cuGraphExternalSemaphoresWaitNodeGetParams, cuGraphExternalSemaphoresWaitNodeGetParams, 11020, PLAIN, GRAPH, (CUgraphNode hNode, CUDA_EXT_SEM_WAIT_NODE_PARAMS *params_out), (hNode, params_out)) \
    X(cuGraphExternalSemaphoresWaitNodeSetParams, cuGraphExternalSemaphoresWaitNodeSetParams, 11020, PLAIN, GRAPH, (CUgraphNode hNode, const CUDA_EXT_SEM_WAIT_NODE_PARAMS *nodeParams), (hNode, nodeParams)) \
    X(cuGraphGetEdges, cuGraphGetEdges, 10000, PLAIN, GRAPH, (CUgraph hGraph, CUgraphNode *from, CUgraphNode *to, size_t *numEdges), (hGraph, from, to, numEdges)) \
    X(cuGraphGetEdges_v2, cuGraphGetEdges, 12030, PLAIN, GRAPH, (CUgraph hGraph, CUgraphNode *from, CUgraphNode *to, CUgraphEdgeData *edgeData, size_t *numEdges), (hGraph, from, to, edgeData, numEdges)) \
    X(cuGraphGetNodes, cuGraphGetNodes, 10000, PLAIN, GRAPH, (CUgraph hGraph, CUgraphNode *nodes, size_t *numNodes), (hGraph, nodes, numNodes)) \
    X(cuGraphGetRootNodes, cuGraphGetRootNodes, 10000, PLAIN, GRAPH, (CUgraph hGraph, CUgraphNode *rootNodes, size_t *numRootNodes), (hGraph, rootNodes, numRootNodes)) \
    X(cuGraphHostNodeGetParams, cuGraphHostNodeGetParams, 10000, PLAIN, GRAPH, (CUgraphNode hNode, CUDA_HOST_NODE_PARAMS *nodeParams), (hNode, nodeParams)) \
    X(cuGraphHostNodeSetParams, cuGraphHostNodeSetParams, 10000, PLAIN, GRAPH, (CUgraphNode hNode, const CUDA_HOST_NODE_PARAMS *nodeParams), (hNode, nodeParams)) \
    X(cuGraphInstantiate, cuGraphInstantiate, 10000, PLAIN, GRAPH, (CUgraphExec *phGraphExec, CUgraph hGraph, CUgraphNode *phErrorNode, char *logBuffer, size_t bufferSize), (phGraphExec, hGraph, phErrorNode, logBuffer, bufferSize)) \
    X(cuGraphInstantiate_v2, cuGraphInstantiate, 11000, PLAIN, GRAPH, (CUgraphExec *phGraphExec, CUgraph hGraph, CUgraphNode *phErrorNode, char *logBuffer, size_t bufferSize), (phGraphExec, hGraph, phErrorNode, logBuffer, bufferSize)) \
    X(cuGraphInstantiateWithFlags, cuGraphInstantiateWithFlags, 11040, PLAIN, GRAPH, (CUgraphExec *phGraphExec, CUgraph hGraph, unsigned long long flags), (phGraphExec, hGraph, flags)) \
    X(cuGraphInstantiateWithParams, cuGraphInstantiateWithParams, 12000, PLAIN, GRAPH, (CUgraphExec *phGraphExec, CUgraph hGraph, CUDA_GRAPH_INSTANTIATE_PARAMS *instantiateParams), (phGraphExec, hGraph, instantiateParams)) \
    X(cuGraphInstantiateWithParams_ptsz, cuGraphInstantiateWithParams, 12000, PTSZ, GRAPH, (CUgraphExec *phGraphExec, CUgraph hGraph, CUDA_GRAPH_INSTANTIATE_PARAMS *instantiateParams), (phGraphExec, hGraph, instantiateParams)) \
    X(cuGraphKernelNodeCopyAttributes, cuGraphKernelNodeCopyAttributes, 11000, PLAIN, GRAPH, (CUgraphNode dst, CUgraphNode src), (dst, src)) \
    X(cuGraphKernelNodeGetAttribute, cuGraphKernelNodeGetAttribute, 11000, PLAIN, GRAPH, (CUgraphNode hNode, CUkernelNodeAttrID attr, CUkernelNodeAttrValue *value_out), (hNode, attr, value_out)) \
    X(cuGraphKernelNodeGetParams, cuGraphKernelNodeGetParams, 10000, PLAIN, GRAPH, (CUgraphNode hNode, CUDA_KERNEL_NODE_PARAMS_v1 *nodeParams), (hNode, nodeParams)) \
    X(cuGraphKernelNodeGetParams_v2, cuGraphKernelNodeGetParams, 12000, PLAIN, GRAPH, (CUgraphNode hNode, CUDA_KERNEL_NODE_PARAMS *nodeParams), (hNode, nodeParams)) \
    X(cuGraphKernelNodeSetAttribute, cuGraphKernelNodeSetAttribute, 11000, PLAIN, GRAPH, (CUgraphNode hNode, CUkernelNodeAttrID attr, const CUkernelNodeAttrValue *value), (hNode, attr, value)) \
    X(cuGraphKernelNodeSetParams, cuGraphKernelNodeSetParams, 10000, PLAIN, GRAPH, (CUgraphNode hNode, const CUDA_KERNEL_NODE_PARAMS_v1 *nodeParams), (hNode, nodeParams)) \
    X(cuGraphKernelNodeSetParams_v2, cuGraphKernelNodeSetParams, 12000, PLAIN, GRAPH, (CUgraphNode hNode, const CUDA_KERNEL_NODE_PARAMS *nodeParams), (hNode, nodeParams)) \
    X(cuGraphLaunch, cuGraphLaunch, 10000, PLAIN, GRAPH_LAUNCH, (CUgraphExec hGraph, CUstream hStream), (hGraph, hStream)) \
    X(cuGraphLaunch_ptsz, cuGraphLaunch, 10000, PTSZ, GRAPH_LAUNCH, (CUgraphExec hGraphExec, CUstream hStream), (hGraphExec, hStream)) \
    X(cuGraphMemAllocNodeGetParams, cuGraphMemAllocNodeGetParams, 11040, PLAIN, GRAPH_MEMORY, (CUgraphNode hNode, CUDA_MEM_ALLOC_NODE_PARAMS *params_out), (hNode, params_out)) \
    X(cuGraphMemFreeNodeGetParams, cuGraphMemFreeNodeGetParams, 11040, PLAIN, GRAPH_MEMORY, (CUgraphNode hNode, CUdeviceptr *dptr_out), (hNode, dptr_out)) \
    X(cuGraphMemcpyNodeGetParams, cuGraphMemcpyNodeGetParams, 10000, PLAIN, GRAPH, (CUgraphNode hNode, CUDA_MEMCPY3D *nodeParams), (hNode, nodeParams)) \
    X(cuGraphMemcpyNodeSetParams, cuGraphMemcpyNodeSetParams, 10000, PLAIN, GRAPH, (CUgraphNode hNode, const CUDA_MEMCPY3D *nodeParams), (hNode, nodeParams)) \
    X(cuGraphMemsetNodeGetParams, cuGraphMemsetNodeGetParams, 10000, PLAIN, GRAPH, (CUgraphNode hNode, CUDA_MEMSET_NODE_PARAMS *nodeParams), (hNode, nodeParams)) \
    X(cuGraphMemsetNodeSetParams, cuGraphMemsetNodeSetParams, 10000, PLAIN, GRAPH, (CUgraphNode hNode, const CUDA_MEMSET_NODE_PARAMS *nodeParams), (hNode, nodeParams)) \
    X(cuGraphNodeFindInClone, cuGraphNodeFindInClone, 10000, PLAIN, GRAPH, (CUgraphNode *phNode, CUgraphNode hOriginalNode, CUgraph hClonedGraph), (phNode, hOriginalNode, hClonedGraph)) \
    X(cuGraphNodeGetDependencies, cuGraphNodeGetDependencies, 10000, PLAIN, GRAPH, (CUgraphNode hNode, CUgraphNode *dependencies, size_t *numDependencies), (hNode, dependencies, numDependencies)) \
    X(cuGraphNodeGetDependencies_v2, cuGraphNodeGetDependencies, 12030, PLAIN, GRAPH, (CUgraphNode hNode, CUgraphNode *dependencies, CUgraphEdgeData *edgeData, size_t *numDependencies), (hNode, dependencies, edgeData, numDependencies)) \
    X(cuGraphNodeGetDependentNodes, cuGraphNodeGetDependentNodes, 10000, PLAIN, GRAPH, (CUgraphNode hNode, CUgraphNode *dependentNodes, size_t *numDependentNodes), (hNode, dependentNodes, numDependentNodes)) \
    X(cuGraphNodeGetDependentNodes_v2, cuGraphNodeGetDependentNodes, 12030, PLAIN, GRAPH, (CUgraphNode hNode, CUgraphNode *dependentNodes, CUgraphEdgeData *edgeData, size_t *numDependentNodes), (hNode, dependentNodes, edgeData, numDependentNodes)) \
    X(cuGraphNodeGetEnabled, cuGraphNodeGetEnabled, 11060, PLAIN, GRAPH, (CUgraphExec hGraphExec, CUgraphNode hNode, unsigned int *isEnabled), (hGraphExec, hNode, isEnabled)) \
    X(cuGraphNodeGetType, cuGraphNodeGetType, 10000, PLAIN, GRAPH, (CUgraphNode hNode, CUgraphNodeType *type), (hNode, type)) \
    X(cuGraphNodeSetEnabled, cuGraphNodeSetEnabled, 11060, PLAIN, GRAPH, (CUgraphExec hGraphExec, CUgraphNode hNode, unsigned int isEnabled), (hGraphExec, hNode, isEnabled)) \
    X(cuGraphNodeSetParams, cuGraphNodeSetParams, 12020, PLAIN, GRAPH, (CUgraphNode hNode, CUgraphNodeParams *nodeParams), (hNode, nodeParams)) \
    X(cuGraphReleaseUserObject, cuGraphReleaseUserObject, 11030, PLAIN, GRAPH, (CUgraph graph, CUuserObject object, unsigned int count), (graph, object, count)) \
    X(cuGraphRemoveDependencies, cuGraphRemoveDependencies, 10000, PLAIN, GRAPH, (CUgraph hGraph, const CUgraphNode *from, const CUgraphNode *to, size_t numDependencies), (hGraph, from, to, numDependencies)) \
    X(cuGraphRemoveDependencies_v2, cuGraphRemoveDependencies, 12030, PLAIN, GRAPH, (CUgraph hGraph, const CUgraphNode *from, const CUgraphNode *to, const CUgraphEdgeData *edgeData, size_t numDependencies), (hGraph, from, to, edgeData, numDependencies)) \
    X(cuGraphRetainUserObject, cuGraphRetainUserObject, 11030, PLAIN, GRAPH, (CUgraph graph, CUuserObject object, unsigned int count, unsigned int flags), (graph, object, count, flags)) \
    X(cuGraphUpload, cuGraphUpload, 11010, PLAIN, GRAPH, (CUgraphExec hGraph, CUstream hStream), (hGraph, hStream)) \
    X(cuGraphUpload_ptsz, cuGraphUpload, 11010, PTSZ, GRAPH, (CUgraphExec hGraphExec, CUstream hStream), (hGraphExec, hStream)) \
    X(cuGraphicsMapResources, cuGraphicsMapResources, 3000, PLAIN, GRAPH, (unsigned int count, CUgraphicsResource *resources, CUstream hStream), (count, resources, hStream)) \
    X(cuGraphicsMapResources_ptsz, cuGraphicsMapResources, 7000, PTSZ, GRAPH, (unsigned int count, CUgraphicsResource *resources, CUstream hStream), (count, resources, hStream)) \
    X(cuGraphicsResourceGetMappedMipmappedArray, cuGraphicsResourceGetMappedMipmappedArray, 5000, PLAIN, GRAPH, (CUmipmappedArray *pMipmappedArray, CUgraphicsResource resource), (pMipmappedArray, resource)) \
    X(cuGraphicsResourceGetMappedPointer, cuGraphicsResourceGetMappedPointer, 3000, PLAIN, GRAPH, (CUdeviceptr_v1 *pDevPtr, unsigned int *pSize, CUgraphicsResource resource), (pDevPtr, pSize, resource)) \
    X(cuGraphicsResourceGetMappedPointer_v2, cuGraphicsResourceGetMappedPointer, 3020, PLAIN, GRAPH, (CUdeviceptr *pDevPtr, size_t *pSize, CUgraphicsResource resource), (pDevPtr, pSize, resource)) \
    X(cuGraphicsResourceSetMapFlags, cuGraphicsResourceSetMapFlags, 3000, PLAIN, GRAPH, (CUgraphicsResource resource, unsigned int flags), (resource, flags)) \
    X(cuGraphicsResourceSetMapFlags_v2, cuGraphicsResourceSetMapFlags, 6050, PLAIN, GRAPH, (CUgraphicsResource resource, unsigned int flags), (resource, flags)) \
    X(cuGraphicsSubResourceGetMappedArray, cuGraphicsSubResourceGetMappedArray, 3000, PLAIN, GRAPH, (CUarray *pArray, CUgraphicsResource resource, unsigned int arrayIndex, unsigned int mipLevel), (pArray, resource, arrayIndex, mipLevel)) \
    X(cuGraphicsUnmapResources, cuGraphicsUnmapResources, 3000, PLAIN, GRAPH, (unsigned int count, CUgraphicsResource *resources, CUstream hStream), (count, resources, hStream)) \
    X(cuGraphicsUnmapResources_ptsz, cuGraphicsUnmapResources, 7000, PTSZ, GRAPH, (unsigned int count, CUgraphicsResource *resources, CUstream hStream), (count, resources, hStream)) \
    X(cuGraphicsUnregisterResource, cuGraphicsUnregisterResource, 3000, PLAIN, GRAPH, (CUgraphicsResource resource), (resource)) \
    X(cuGreenCtxCreate, cuGreenCtxCreate, 12040, PLAIN, CONTEXT, (CUgreenCtx *phCtx, CUdevResourceDesc desc, CUdevice dev, unsigned int flags), (phCtx, desc, dev, flags)) \
    X(cuGreenCtxDestroy, cuGreenCtxDestroy, 12040, PLAIN, CONTEXT, (CUgreenCtx hCtx), (hCtx)) \
    X(cuGreenCtxGetDevResource, cuGreenCtxGetDevResource, 12040, PLAIN, CONTEXT, (CUgreenCtx hCtx, CUdevResource *resource, CUdevResourceType type), (hCtx, resource, type)) \
    X(cuGreenCtxGetId, cuGreenCtxGetId, 12090, PLAIN, CONTEXT, (CUgreenCtx greenCtx, unsigned long long *greenCtxId), (greenCtx, greenCtxId)) \
    X(cuGreenCtxRecordEvent, cuGreenCtxRecordEvent, 12040, PLAIN, CONTEXT, (CUgreenCtx hCtx, CUevent hEvent), (hCtx, hEvent)) \
    X(cuGreenCtxStreamCreate, cuGreenCtxStreamCreate, 12050, PLAIN, CONTEXT, (CUstream *phStream, CUgreenCtx greenCtx, unsigned int flags, int priority), (phStream, greenCtx, flags, priority)) \
    X(cuGreenCtxWaitEvent, cuGreenCtxWaitEvent, 12040, PLAIN, CONTEXT, (CUgreenCtx hCtx, CUevent hEvent), (hCtx, hEvent)) \
    X(cuImportExternalMemory, cuImportExternalMemory, 10000, PLAIN, IMPORT, (CUexternalMemory *extMem_out, const CUDA_EXTERNAL_MEMORY_HANDLE_DESC *memHandleDesc), (extMem_out, memHandleDesc)) \
    X(cuImportExternalSemaphore, cuImportExternalSemaphore, 10000, PLAIN, IMPORT, (CUexternalSemaphore *extSem_out, const CUDA_EXTERNAL_SEMAPHORE_HANDLE_DESC *semHandleDesc), (extSem_out, semHandleDesc)) \
    X(cuInit, cuInit, 2000, PLAIN, OTHER, (unsigned int Flags), (Flags)) \
    X(cuIpcCloseMemHandle, cuIpcCloseMemHandle, 4010, PLAIN, IMPORT, (CUdeviceptr dptr), (dptr)) \
    X(cuIpcGetEventHandle, cuIpcGetEventHandle, 4010, PLAIN, IMPORT, (CUipcEventHandle *pHandle, CUevent event), (pHandle, event)) \
    X(cuIpcGetMemHandle, cuIpcGetMemHandle, 4010, PLAIN, IMPORT, (CUipcMemHandle *pHandle, CUdeviceptr dptr), (pHandle, dptr)) \
    X(cuIpcOpenEventHandle, cuIpcOpenEventHandle, 4010, PLAIN, IMPORT, (CUevent *phEvent, CUipcEventHandle handle), (phEvent, handle)) \
    X(cuIpcOpenMemHandle, cuIpcOpenMemHandle, 4010, PLAIN, IMPORT, (CUdeviceptr *pdptr, CUipcMemHandle handle, unsigned int Flags), (pdptr, handle, Flags)) \
    X(cuIpcOpenMemHandle_v2, cuIpcOpenMemHandle, 11000, PLAIN, IMPORT, (CUdeviceptr *pdptr, CUipcMemHandle handle, unsigned int Flags), (pdptr, handle, Flags)) \
    X(cuKernelGetAttribute, cuKernelGetAttribute, 12000, PLAIN, CODE, (int *pi, CUfunction_attribute attrib, CUkernel kernel, CUdevice dev), (pi, attrib, kernel, dev)) \
    X(cuKernelGetFunction, cuKernelGetFunction, 12000, PLAIN, CODE, (CUfunction *pFunc, CUkernel kernel), (pFunc, kernel)) \
    X(cuKernelGetLibrary, cuKernelGetLibrary, 12050, PLAIN, CODE, (CUlibrary *pLib, CUkernel kernel), (pLib, kernel)) \
    X(cuKernelGetName, cuKernelGetName, 12030, PLAIN, CODE, (const char **name, CUkernel hfunc), (name, hfunc)) \
    X(cuKernelGetParamInfo, cuKernelGetParamInfo, 12040, PLAIN, CODE, (CUkernel kernel, size_t paramIndex, size_t *paramOffset, size_t *paramSize), (kernel, paramIndex, paramOffset, paramSize)) \
    X(cuKernelSetAttribute, cuKernelSetAttribute, 12000, PLAIN, CODE, (CUfunction_attribute attrib, int val, CUkernel kernel, CUdevice dev), (attrib, val, kernel, dev)) \
    X(cuKernelSetCacheConfig, cuKernelSetCacheConfig, 12000, PLAIN, CODE, (CUkernel kernel, CUfunc_cache config, CUdevice dev), (kernel, config, dev)) \
    X(cuLaunch, cuLaunch, 2000, PLAIN, LAUNCH, (CUfunction f), (f)) \
    X(cuLaunchCooperativeKernel, cuLaunchCooperativeKernel, 9000, PLAIN, LAUNCH, (CUfunction f, unsigned int gridDimX, unsigned int gridDimY, unsigned int gridDimZ, unsigned int blockDimX, unsigned int blockDimY, unsigned int blockDimZ, unsigned int sharedMemBytes, CUstream hStream, void **kernelParams), (f, gridDimX, gridDimY, gridDimZ, blockDimX, blockDimY, blockDimZ, sharedMemBytes, hStream, kernelParams)) \
    X(cuLaunchCooperativeKernel_ptsz, cuLaunchCooperativeKernel, 9000, PTSZ, LAUNCH, (CUfunction f, unsigned int gridDimX, unsigned int gridDimY, unsigned int gridDimZ, unsigned int blockDimX, unsigned int blockDimY, unsigned int blockDimZ, unsigned int sharedMemBytes, CUstream hStream, void **kernelParams), (f, gridDimX, gridDimY, gridDimZ, blockDimX, blockDimY, blockDimZ, sharedMemBytes, hStream, kernelParams)) \
    X(cuLaunchCooperativeKernelMultiDevice, cuLaunchCooperativeKernelMultiDevice, 9000, PLAIN, LAUNCH, (CUDA_LAUNCH_PARAMS *launchParamsList, unsigned int numDevices, unsigned int flags), (launchParamsList, numDevices, flags)) \
    X(cuLaunchGrid, cuLaunchGrid, 2000, PLAIN, LAUNCH, (CUfunction f, int grid_width, int grid_height), (f, grid_width, grid_height)) \
    X(cuLaunchGridAsync, cuLaunchGridAsync, 2000, PLAIN, LAUNCH, (CUfunction f, int grid_width, int grid_height, CUstream hStream), (f, grid_width, grid_height, hStream)) \
    X(cuLaunchHostFunc, cuLaunchHostFunc, 10000, PLAIN, HOST_CALLBACK, (CUstream hStream, CUhostFn fn, void *userData), (hStream, fn, userData)) \
    X(cuLaunchHostFunc_ptsz, cuLaunchHostFunc, 10000, PTSZ, HOST_CALLBACK, (CUstream hStream, CUhostFn fn, void *userData), (hStream, fn, userData)) \
    X(cuLaunchKernel, cuLaunchKernel, 4000, PLAIN, LAUNCH, (CUfunction f, unsigned int gridDimX, unsigned int gridDimY, unsigned int gridDimZ, unsigned int blockDimX, unsigned int blockDimY, unsigned int blockDimZ, unsigned int sharedMemBytes, CUstream hStream, void **kernelParams, void **extra), (f, gridDimX, gridDimY, gridDimZ, blockDimX, blockDimY, blockDimZ, sharedMemBytes, hStream, kernelParams, extra)) \
    X(cuLaunchKernel_ptsz, cuLaunchKernel, 7000, PTSZ, LAUNCH, (CUfunction f, unsigned int gridDimX, unsigned int gridDimY, unsigned int gridDimZ, unsigned int blockDimX, unsigned int blockDimY, unsigned int blockDimZ, unsigned int sharedMemBytes, CUstream hStream, void **kernelParams, void **extra), (f, gridDimX, gridDimY, gridDimZ, blockDimX, blockDimY, blockDimZ, sharedMemBytes, hStream, kernelParams, extra)) \
    X(cuLaunchKernelEx, cuLaunchKernelEx, 11060, PLAIN, LAUNCH, (const CUlaunchConfig *config, CUfunction f, void **kernelParams, void **extra), (config, f, kernelParams, extra)) \
    X(cuLaunchKernelEx_ptsz, cuLaunchKernelEx, 11060, PTSZ, LAUNCH, (const CUlaunchConfig *config, CUfunction f, void **kernelParams, void **extra), (config, f, kernelParams, extra)) \
    X(cuLibraryEnumerateKernels, cuLibraryEnumerateKernels, 12040, PLAIN, CODE, (CUkernel *kernels, unsigned int numKernels, CUlibrary lib), (kernels, numKernels, lib)) \
    X(cuLibraryGetGlobal, cuLibraryGetGlobal, 12000, PLAIN, CODE, (CUdeviceptr *dptr, size_t *bytes, CUlibrary library, const char *name), (dptr, bytes, library, name)) \
    X(cuLibraryGetKernel, cuLibraryGetKernel, 12000, PLAIN, CODE, (CUkernel *pKernel, CUlibrary library, const char *name), (pKernel, library, name)) \
    X(cuLibraryGetKernelCount, cuLibraryGetKernelCount, 12040, PLAIN, CODE, (unsigned int *count, CUlibrary lib), (count, lib)) \
    X(cuLibraryGetManaged, cuLibraryGetManaged, 12000, PLAIN, CODE, (CUdeviceptr *dptr, size_t *bytes, CUlibrary library, const char *name), (dptr, bytes, library, name)) \
    X(cuLibraryGetModule, cuLibraryGetModule, 12000, PLAIN, CODE, (CUmodule *pMod, CUlibrary library), (pMod, library)) \
    X(cuLibraryGetUnifiedFunction, cuLibraryGetUnifiedFunction, 12000, PLAIN, CODE, (void **fptr, CUlibrary library, const char *symbol), (fptr, library, symbol)) \
    X(cuLibraryLoadData, cuLibraryLoadData, 12000, PLAIN, CODE, (CUlibrary *library, const void *code, CUjit_option *jitOptions, void **jitOptionsValues, unsigned int numJitOptions, CUlibraryOption *libraryOptions, void **libraryOptionValues, unsigned int numLibraryOptions), (library, code, jitOptions, jitOptionsValues, numJitOptions, libraryOptions, libraryOptionValues, numLibraryOptions)) \
    X(cuLibraryLoadFromFile, cuLibraryLoadFromFile, 12000, PLAIN, CODE, (CUlibrary *library, const char *fileName, CUjit_option *jitOptions, void **jitOptionsValues, unsigned int numJitOptions, CUlibraryOption *libraryOptions, void **libraryOptionValues, unsigned int numLibraryOptions), (library, fileName, jitOptions, jitOptionsValues, numJitOptions, libraryOptions, libraryOptionValues, numLibraryOptions)) \
    X(cuLibraryUnload, cuLibraryUnload, 12000, PLAIN, CODE, (CUlibrary library), (library)) \
    X(cuLinkAddData, cuLinkAddData, 5050, PLAIN, CODE, (CUlinkState state, CUjitInputType type, void *data, size_t size, const char *name, unsigned int numOptions, CUjit_option *options, void **optionValues), (state, type, data, size, name, numOptions, options, optionValues)) \
    X(cuLinkAddData_v2, cuLinkAddData, 6050, PLAIN, CODE, (CUlinkState state, CUjitInputType type, void *data, size_t size, const char *name, unsigned int numOptions, CUjit_option *options, void **optionValues), (state, type, data, size, name, numOptions, options, optionValues)) \
    X(cuLinkAddFile, cuLinkAddFile, 5050, PLAIN, CODE, (CUlinkState state, CUjitInputType type, const char *path, unsigned int numOptions, CUjit_option *options, void **optionValues), (state, type, path, numOptions, options, optionValues)) \
    X(cuLinkAddFile_v2, cuLinkAddFile, 6050, PLAIN, CODE, (CUlinkState state, CUjitInputType type, const char *path, unsigned int numOptions, CUjit_option *options, void **optionValues), (state, type, path, numOptions, options, optionValues)) \
    X(cuLinkComplete, cuLinkComplete, 5050, PLAIN, CODE, (CUlinkState state, void **cubinOut, size_t *sizeOut), (state, cubinOut, sizeOut)) \
    X(cuLinkCreate, cuLinkCreate, 5050, PLAIN, CODE, (unsigned int numOptions, CUjit_option *options, void **optionValues, CUlinkState *stateOut), (numOptions, options, optionValues, stateOut)) \
    X(cuLinkCreate_v2, cuLinkCreate, 6050, PLAIN, CODE, (unsigned int numOptions, CUjit_option *options, void **optionValues, CUlinkState *stateOut), (numOptions, options, optionValues, stateOut)) \
    X(cuLinkDestroy, cuLinkDestroy, 5050, PLAIN, CODE, (CUlinkState state), (state)) \
    X(cuLogsCurrent, cuLogsCurrent, 12090, PLAIN, OTHER, (CUlogIterator *iterator_out, unsigned int flags), (iterator_out, flags)) \
    X(cuLogsDumpToFile, cuLogsDumpToFile, 12090, PLAIN, OTHER, (CUlogIterator *iterator, const char *pathToFile, unsigned int flags), (iterator, pathToFile, flags)) \
    X(cuLogsDumpToMemory, cuLogsDumpToMemory, 12090, PLAIN, OTHER, (CUlogIterator *iterator, char *buffer, size_t *size, unsigned int flags), (iterator, buffer, size, flags)) \
    X(cuLogsRegisterCallback, cuLogsRegisterCallback, 12090, PLAIN, OTHER, (CUlogsCallback callbackFunc, void *userData, CUlogsCallbackHandle *callback_out), (callbackFunc, userData, callback_out)) \
    X(cuLogsUnregisterCallback, cuLogsUnregisterCallback, 12090, PLAIN, OTHER, (CUlogsCallbackHandle callback), (callback)) \
    X(cuMemAddressFree, cuMemAddressFree, 10020, PLAIN, VMM, (CUdeviceptr ptr, size_t size), (ptr, size)) \
    X(cuMemAddressReserve, cuMemAddressReserve, 10020, PLAIN, VMM, (CUdeviceptr *ptr, size_t size, size_t alignment, CUdeviceptr addr, unsigned long long flags), (ptr, size, alignment, addr, flags)) \
    X(cuMemAdvise, cuMemAdvise, 8000, PLAIN, MEMORY_OTHER, (CUdeviceptr devPtr, size_t count, CUmem_advise advice, CUdevice device), (devPtr, count, advice, device)) \
    X(cuMemAdvise_v2, cuMemAdvise, 12020, PLAIN, MEMORY_OTHER, (CUdeviceptr devPtr, size_t count, CUmem_advise advice, CUmemLocation location), (devPtr, count, advice, location)) \
    X(cuMemAlloc, cuMemAlloc, 2000, PLAIN, ALLOC, (CUdeviceptr_v1 *dptr, unsigned int bytesize), (dptr, bytesize)) \
    X(cuMemAlloc_v2, cuMemAlloc, 3020, PLAIN, ALLOC, (CUdeviceptr *dptr, size_t bytesize), (dptr, bytesize)) \
    X(cuMemAllocAsync, cuMemAllocAsync, 11020, PLAIN, ALLOC_ASYNC, (CUdeviceptr *dptr, size_t bytesize, CUstream hStream), (dptr, bytesize, hStream)) \
    X(cuMemAllocAsync_ptsz, cuMemAllocAsync, 11020, PTSZ, ALLOC_ASYNC, (CUdeviceptr *dptr, size_t bytesize, CUstream hStream), (dptr, bytesize, hStream)) \
    X(cuMemAllocFromPoolAsync, cuMemAllocFromPoolAsync, 11020, PLAIN, ALLOC_ASYNC, (CUdeviceptr *dptr, size_t bytesize, CUmemoryPool pool, CUstream hStream), (dptr, bytesize, pool, hStream)) \
    X(cuMemAllocFromPoolAsync_ptsz, cuMemAllocFromPoolAsync, 11020, PTSZ, ALLOC_ASYNC, (CUdeviceptr *dptr, size_t bytesize, CUmemoryPool pool, CUstream hStream), (dptr, bytesize, pool, hStream)) \
    X(cuMemAllocHost, cuMemAllocHost, 2000, PLAIN, HOST_MEMORY, (void **pp, unsigned int bytesize), (pp, bytesize)) \
    X(cuMemAllocHost_v2, cuMemAllocHost, 3020, PLAIN, HOST_MEMORY, (void **pp, size_t bytesize), (pp, bytesize)) \
    X(cuMemAllocManaged, cuMemAllocManaged, 6000, PLAIN, ALLOC, (CUdeviceptr *dptr, size_t bytesize, unsigned int flags), (dptr, bytesize, flags)) \
    X(cuMemAllocPitch, cuMemAllocPitch, 2000, PLAIN, ALLOC, (CUdeviceptr_v1 *dptr, unsigned int *pPitch, unsigned int WidthInBytes, unsigned int Height, unsigned int ElementSizeBytes), (dptr, pPitch, WidthInBytes, Height, ElementSizeBytes)) \
    X(cuMemAllocPitch_v2, cuMemAllocPitch, 3020, PLAIN, ALLOC, (CUdeviceptr *dptr, size_t *pPitch, size_t WidthInBytes, size_t Height, unsigned int ElementSizeBytes), (dptr, pPitch, WidthInBytes, Height, ElementSizeBytes)) \
    X(cuMemBatchDecompressAsync, cuMemBatchDecompressAsync, 12060, PLAIN, DEVICE_WORK, (CUmemDecompressParams *paramsArray, size_t count, unsigned int flags, size_t *errorIndex, CUstream stream), (paramsArray, count, flags, errorIndex, stream)) \
    X(cuMemBatchDecompressAsync_ptsz, cuMemBatchDecompressAsync, 12060, PTSZ, DEVICE_WORK, (CUmemDecompressParams *paramsArray, size_t count, unsigned int flags, size_t *errorIndex, CUstream stream), (paramsArray, count, flags, errorIndex, stream)) \
    X(cuMemCreate, cuMemCreate, 10020, PLAIN, VMM, (CUmemGenericAllocationHandle *handle, size_t size, const CUmemAllocationProp *prop, unsigned long long flags), (handle, size, prop, flags)) \
    X(cuMemDiscardAndPrefetchBatchAsync, cuMemDiscardAndPrefetchBatchAsync, 13000, PLAIN, MEMORY_OTHER, (CUdeviceptr *dptrs, size_t *sizes, size_t count, CUmemLocation *prefetchLocs, size_t *prefetchLocIdxs, size_t numPrefetchLocs, unsigned long long flags, CUstream hStream), (dptrs, sizes, count, prefetchLocs, prefetchLocIdxs, numPrefetchLocs, flags, hStream)) \
    X(cuMemDiscardAndPrefetchBatchAsync_ptsz, cuMemDiscardAndPrefetchBatchAsync, 13000, PTSZ, MEMORY_OTHER, (CUdeviceptr *dptrs, size_t *sizes, size_t count, CUmemLocation *prefetchLocs, size_t *prefetchLocIdxs, size_t numPrefetchLocs, unsigned long long flags, CUstream hStream), (dptrs, sizes, count, prefetchLocs, prefetchLocIdxs, numPrefetchLocs, flags, hStream)) \
    X(cuMemDiscardBatchAsync, cuMemDiscardBatchAsync, 13000, PLAIN, MEMORY_OTHER, (CUdeviceptr *dptrs, size_t *sizes, size_t count, unsigned long long flags, CUstream hStream), (dptrs, sizes, count, flags, hStream)) \
    X(cuMemDiscardBatchAsync_ptsz, cuMemDiscardBatchAsync, 13000, PTSZ, MEMORY_OTHER, (CUdeviceptr *dptrs, size_t *sizes, size_t count, unsigned long long flags, CUstream hStream), (dptrs, sizes, count, flags, hStream)) \
    X(cuMemExportToShareableHandle, cuMemExportToShareableHandle, 10020, PLAIN, VMM, (void *shareableHandle, CUmemGenericAllocationHandle handle, CUmemAllocationHandleType handleType, unsigned long long flags), (shareableHandle, handle, handleType, flags)) \
    X(cuMemFree, cuMemFree, 2000, PLAIN, FREE, (CUdeviceptr_v1 dptr), (dptr)) \
    X(cuMemFree_v2, cuMemFree, 3020, PLAIN, FREE, (CUdeviceptr dptr), (dptr)) \
    X(cuMemFreeAsync, cuMemFreeAsync, 11020, PLAIN, FREE_ASYNC, (CUdeviceptr dptr, CUstream hStream), (dptr, hStream)) \
    X(cuMemFreeAsync_ptsz, cuMemFreeAsync, 11020, PTSZ, FREE_ASYNC, (CUdeviceptr dptr, CUstream hStream), (dptr, hStream)) \
    X(cuMemFreeHost, cuMemFreeHost, 2000, PLAIN, HOST_MEMORY, (void *p), (p)) \
    X(cuMemGetAccess, cuMemGetAccess, 10020, PLAIN, VMM, (unsigned long long *flags, const CUmemLocation *location, CUdeviceptr ptr), (flags, location, ptr)) \
    X(cuMemGetAddressRange, cuMemGetAddressRange, 2000, PLAIN, MEMORY_OTHER, (CUdeviceptr_v1 *pbase, unsigned int *psize, CUdeviceptr_v1 dptr), (pbase, psize, dptr)) \
    X(cuMemGetAddressRange_v2, cuMemGetAddressRange, 3020, PLAIN, MEMORY_OTHER, (CUdeviceptr *pbase, size_t *psize, CUdeviceptr dptr), (pbase, psize, dptr)) \
    X(cuMemGetAllocationGranularity, cuMemGetAllocationGranularity, 10020, PLAIN, VMM, (size_t *granularity, const CUmemAllocationProp *prop, CUmemAllocationGranularity_flags option), (granularity, prop, option)) \
    X(cuMemGetAllocationPropertiesFromHandle, cuMemGetAllocationPropertiesFromHandle, 10020, PLAIN, VMM, (CUmemAllocationProp *prop, CUmemGenericAllocationHandle handle), (prop, handle)) \
    X(cuMemGetDefaultMemPool, cuMemGetDefaultMemPool, 13000, PLAIN, POOL, (CUmemoryPool *pool_out, CUmemLocation *location, CUmemAllocationType type), (pool_out, location, type)) \
    X(cuMemGetHandleForAddressRange, cuMemGetHandleForAddressRange, 11070, PLAIN, VMM, (void *handle, CUdeviceptr dptr, size_t size, CUmemRangeHandleType handleType, unsigned long long flags), (handle, dptr, size, handleType, flags)) \
    X(cuMemGetInfo, cuMemGetInfo, 2000, PLAIN, VIEW, (unsigned int *free, unsigned int *total), (free, total)) \
    X(cuMemGetInfo_v2, cuMemGetInfo, 3020, PLAIN, VIEW, (size_t *free, size_t *total), (free, total)) \
    X(cuMemGetMemPool, cuMemGetMemPool, 13000, PLAIN, POOL, (CUmemoryPool *pool, CUmemLocation *location, CUmemAllocationType type), (pool, location, type)) \
    X(cuMemHostAlloc, cuMemHostAlloc, 2020, PLAIN, HOST_MEMORY, (void **pp, size_t bytesize, unsigned int Flags), (pp, bytesize, Flags)) \
    X(cuMemHostGetDevicePointer, cuMemHostGetDevicePointer, 2020, PLAIN, HOST_MEMORY, (CUdeviceptr_v1 *pdptr, void *p, unsigned int Flags), (pdptr, p, Flags)) \
    X(cuMemHostGetDevicePointer_v2, cuMemHostGetDevicePointer, 3020, PLAIN, HOST_MEMORY, (CUdeviceptr *pdptr, void *p, unsigned int Flags), (pdptr, p, Flags)) \
    X(cuMemHostGetFlags, cuMemHostGetFlags, 2030, PLAIN, HOST_MEMORY, (unsigned int *pFlags, void *p), (pFlags, p)) \
    X(cuMemHostRegister, cuMemHostRegister, 4000, PLAIN, HOST_MEMORY, (void *p, size_t bytesize, unsigned int Flags), (p, bytesize, Flags)) \
    X(cuMemHostRegister_v2, cuMemHostRegister, 6050, PLAIN, HOST_MEMORY, (void *p, size_t bytesize, unsigned int Flags), (p, bytesize, Flags)) \
    X(cuMemHostUnregister, cuMemHostUnregister, 4000, PLAIN, HOST_MEMORY, (void *p), (p)) \
    X(cuMemImportFromShareableHandle, cuMemImportFromShareableHandle, 10020, PLAIN, VMM, (CUmemGenericAllocationHandle *handle, void *osHandle, CUmemAllocationHandleType shHandleType), (handle, osHandle, shHandleType)) \
    X(cuMemMap, cuMemMap, 10020, PLAIN, VMM, (CUdeviceptr ptr, size_t size, size_t offset, CUmemGenericAllocationHandle handle, unsigned long long flags), (ptr, size, offset, handle, flags)) \
    X(cuMemMapArrayAsync, cuMemMapArrayAsync, 11010, PLAIN, VMM, (CUarrayMapInfo *mapInfoList, unsigned int count, CUstream hStream), (mapInfoList, count, hStream)) \
    X(cuMemMapArrayAsync_ptsz, cuMemMapArrayAsync, 11010, PTSZ, VMM, (CUarrayMapInfo *mapInfoList, unsigned int count, CUstream hStream), (mapInfoList, count, hStream)) \
    X(cuMemPoolCreate, cuMemPoolCreate, 11020, PLAIN, POOL, (CUmemoryPool *pool, const CUmemPoolProps *poolProps), (pool, poolProps)) \
    X(cuMemPoolDestroy, cuMemPoolDestroy, 11020, PLAIN, POOL, (CUmemoryPool pool), (pool)) \
    X(cuMemPoolExportPointer, cuMemPoolExportPointer, 11020, PLAIN, POOL, (CUmemPoolPtrExportData *shareData_out, CUdeviceptr ptr), (shareData_out, ptr)) \
    X(cuMemPoolExportToShareableHandle, cuMemPoolExportToShareableHandle, 11020, PLAIN, POOL, (void *handle_out, CUmemoryPool pool, CUmemAllocationHandleType handleType, unsigned long long flags), (handle_out, pool, handleType, flags)) \
    X(cuMemPoolGetAccess, cuMemPoolGetAccess, 11020, PLAIN, POOL, (CUmemAccess_flags *flags, CUmemoryPool memPool, CUmemLocation *location), (flags, memPool, location)) \
    X(cuMemPoolGetAttribute, cuMemPoolGetAttribute, 11020, PLAIN, POOL, (CUmemoryPool pool, CUmemPool_attribute attr, void *value), (pool, attr, value)) \
    X(cuMemPoolImportFromShareableHandle, cuMemPoolImportFromShareableHandle, 11020, PLAIN, POOL, (CUmemoryPool *pool_out, void *handle, CUmemAllocationHandleType handleType, unsigned long long flags), (pool_out, handle, handleType, flags)) \
    X(cuMemPoolImportPointer, cuMemPoolImportPointer, 11020, PLAIN, POOL, (CUdeviceptr *ptr_out, CUmemoryPool pool, CUmemPoolPtrExportData *shareData), (ptr_out, pool, shareData)) \
    X(cuMemPoolSetAccess, cuMemPoolSetAccess, 11020, PLAIN, POOL, (CUmemoryPool pool, const CUmemAccessDesc *map, size_t count), (pool, map, count)) \
    X(cuMemPoolSetAttribute, cuMemPoolSetAttribute, 11020, PLAIN, POOL, (CUmemoryPool pool, CUmemPool_attribute attr, void *value), (pool, attr, value)) \
    X(cuMemPoolTrimTo, cuMemPoolTrimTo, 11020, PLAIN, POOL, (CUmemoryPool pool, size_t minBytesToKeep), (pool, minBytesToKeep)) \
    X(cuMemPrefetchAsync, cuMemPrefetchAsync, 8000, PLAIN, MEMORY_OTHER, (CUdeviceptr devPtr, size_t count, CUdevice dstDevice, CUstream hStream), (devPtr, count, dstDevice, hStream)) \
    X(cuMemPrefetchAsync_ptsz, cuMemPrefetchAsync, 8000, PTSZ, MEMORY_OTHER, (CUdeviceptr devPtr, size_t count, CUdevice dstDevice, CUstream hStream), (devPtr, count, dstDevice, hStream)) \
    X(cuMemPrefetchAsync_v2, cuMemPrefetchAsync, 12020, PLAIN, MEMORY_OTHER, (CUdeviceptr devPtr, size_t count, CUmemLocation location, unsigned int flags, CUstream hStream), (devPtr, count, location, flags, hStream)) \
    X(cuMemPrefetchAsync_v2_ptsz, cuMemPrefetchAsync, 12020, PTSZ, MEMORY_OTHER, (CUdeviceptr devPtr, size_t count, CUmemLocation location, unsigned int flags, CUstream hStream), (devPtr, count, location, flags, hStream)) \
    X(cuMemPrefetchBatchAsync, cuMemPrefetchBatchAsync, 13000, PLAIN, MEMORY_OTHER, (CUdeviceptr *dptrs, size_t *sizes, size_t count, CUmemLocation *prefetchLocs, size_t *prefetchLocIdxs, size_t numPrefetchLocs, unsigned long long flags, CUstream hStream), (dptrs, sizes, count, prefetchLocs, prefetchLocIdxs, numPrefetchLocs, flags, hStream)) \
    X(cuMemPrefetchBatchAsync_ptsz, cuMemPrefetchBatchAsync, 13000, PTSZ, MEMORY_OTHER, (CUdeviceptr *dptrs, size_t *sizes, size_t count, CUmemLocation *prefetchLocs, size_t *prefetchLocIdxs, size_t numPrefetchLocs, unsigned long long flags, CUstream hStream), (dptrs, sizes, count, prefetchLocs, prefetchLocIdxs, numPrefetchLocs, flags, hStream)) \
    X(cuMemRangeGetAttribute, cuMemRangeGetAttribute, 8000, PLAIN, MEMORY_OTHER, (void *data, size_t dataSize, CUmem_range_attribute attribute, CUdeviceptr devPtr, size_t count), (data, dataSize, attribute, devPtr, count)) \
    X(cuMemRangeGetAttributes, cuMemRangeGetAttributes, 8000, PLAIN, MEMORY_OTHER, (void **data, size_t *dataSizes, CUmem_range_attribute *attributes, size_t numAttributes, CUdeviceptr devPtr, size_t count), (data, dataSizes, attributes, numAttributes, devPtr, count)) \
    X(cuMemRelease, cuMemRelease, 10020, PLAIN, VMM, (CUmemGenericAllocationHandle handle), (handle)) \
    X(cuMemRetainAllocationHandle, cuMemRetainAllocationHandle, 11000, PLAIN, VMM, (CUmemGenericAllocationHandle *handle, void *addr), (handle, addr)) \
    X(cuMemSetAccess, cuMemSetAccess, 10020, PLAIN, VMM, (CUdeviceptr ptr, size_t size, const CUmemAccessDesc *desc, size_t count), (ptr, size, desc, count)) \
    X(cuMemSetMemPool, cuMemSetMemPool, 13000, PLAIN, POOL, (CUmemLocation *location, CUmemAllocationType type, CUmemoryPool pool), (location, type, pool)) \
    X(cuMemUnmap, cuMemUnmap, 10020, PLAIN, VMM, (CUdeviceptr ptr, size_t size), (ptr, size)) \
    X(cuMemcpy, cuMemcpy, 4000, PLAIN, COPY, (CUdeviceptr dst, CUdeviceptr src, size_t ByteCount), (dst, src, ByteCount)) \
    X(cuMemcpy_ptds, cuMemcpy, 7000, PTDS, COPY, (CUdeviceptr dst, CUdeviceptr src, size_t ByteCount), (dst, src, ByteCount)) \
    X(cuMemcpy2D, cuMemcpy2D, 2000, PLAIN, COPY, (const CUDA_MEMCPY2D_v1 *pCopy), (pCopy)) \
    X(cuMemcpy2D_v2, cuMemcpy2D, 3020, PLAIN, COPY, (const CUDA_MEMCPY2D *pCopy), (pCopy)) \
    X(cuMemcpy2D_v2_ptds, cuMemcpy2D, 7000, PTDS, COPY, (const CUDA_MEMCPY2D *pCopy), (pCopy)) \
    X(cuMemcpy2DAsync, cuMemcpy2DAsync, 2000, PLAIN, COPY, (const CUDA_MEMCPY2D_v1 *pCopy, CUstream hStream), (pCopy, hStream)) \
    X(cuMemcpy2DAsync_v2, cuMemcpy2DAsync, 3020, PLAIN, COPY, (const CUDA_MEMCPY2D *pCopy, CUstream hStream), (pCopy, hStream)) \
    X(cuMemcpy2DAsync_v2_ptsz, cuMemcpy2DAsync, 7000, PTSZ, COPY, (const CUDA_MEMCPY2D *pCopy, CUstream hStream), (pCopy, hStream)) \
    X(cuMemcpy2DUnaligned, cuMemcpy2DUnaligned, 2000, PLAIN, COPY, (const CUDA_MEMCPY2D_v1 *pCopy), (pCopy)) \
    X(cuMemcpy2DUnaligned_v2, cuMemcpy2DUnaligned, 3020, PLAIN, COPY, (const CUDA_MEMCPY2D *pCopy), (pCopy)) \
    X(cuMemcpy2DUnaligned_v2_ptds, cuMemcpy2DUnaligned, 7000, PTDS, COPY, (const CUDA_MEMCPY2D *pCopy), (pCopy)) \
    X(cuMemcpy3D, cuMemcpy3D, 2000, PLAIN, COPY, (const CUDA_MEMCPY3D_v1 *pCopy), (pCopy)) \
    X(cuMemcpy3D_v2, cuMemcpy3D, 3020, PLAIN, COPY, (const CUDA_MEMCPY3D *pCopy), (pCopy)) \
    X(cuMemcpy3D_v2_ptds, cuMemcpy3D, 7000, PTDS, COPY, (const CUDA_MEMCPY3D *pCopy), (pCopy)) \
    X(cuMemcpy3DAsync, cuMemcpy3DAsync, 2000, PLAIN, COPY, (const CUDA_MEMCPY3D_v1 *pCopy, CUstream hStream), (pCopy, hStream)) \
    X(cuMemcpy3DAsync_v2, cuMemcpy3DAsync, 3020, PLAIN, COPY, (const CUDA_MEMCPY3D *pCopy, CUstream hStream), (pCopy, hStream)) \
    X(cuMemcpy3DAsync_v2_ptsz, cuMemcpy3DAsync, 7000, PTSZ, COPY, (const CUDA_MEMCPY3D *pCopy, CUstream hStream), (pCopy, hStream)) \
    X(cuMemcpy3DBatchAsync, cuMemcpy3DBatchAsync, 12080, PLAIN, COPY, (size_t numOps, CUDA_MEMCPY3D_BATCH_OP *opList, size_t *failIdx, unsigned long long flags, CUstream hStream), (numOps, opList, failIdx, flags, hStream)) \
    X(cuMemcpy3DBatchAsync_ptsz, cuMemcpy3DBatchAsync, 12080, PTSZ, COPY, (size_t numOps, CUDA_MEMCPY3D_BATCH_OP *opList, size_t *failIdx, unsigned long long flags, CUstream hStream), (numOps, opList, failIdx, flags, hStream)) \
    X(cuMemcpy3DBatchAsync_v2, cuMemcpy3DBatchAsync, 13000, PLAIN, COPY, (size_t numOps, CUDA_MEMCPY3D_BATCH_OP *opList, unsigned long long flags, CUstream hStream), (numOps, opList, flags, hStream)) \
    X(cuMemcpy3DBatchAsync_v2_ptsz, cuMemcpy3DBatchAsync, 13000, PTSZ, COPY, (size_t numOps, CUDA_MEMCPY3D_BATCH_OP *opList, unsigned long long flags, CUstream hStream), (numOps, opList, flags, hStream)) \
    X(cuMemcpy3DPeer, cuMemcpy3DPeer, 4000, PLAIN, COPY, (const CUDA_MEMCPY3D_PEER *pCopy), (pCopy)) \
    X(cuMemcpy3DPeer_ptds, cuMemcpy3DPeer, 7000, PTDS, COPY, (const CUDA_MEMCPY3D_PEER *pCopy), (pCopy)) \
    X(cuMemcpy3DPeerAsync, cuMemcpy3DPeerAsync, 4000, PLAIN, COPY, (const CUDA_MEMCPY3D_PEER *pCopy, CUstream hStream), (pCopy, hStream)) \
    X(cuMemcpy3DPeerAsync_ptsz, cuMemcpy3DPeerAsync, 7000, PTSZ, COPY, (const CUDA_MEMCPY3D_PEER *pCopy, CUstream hStream), (pCopy, hStream)) \
    X(cuMemcpyAsync, cuMemcpyAsync, 4000, PLAIN, COPY, (CUdeviceptr dst, CUdeviceptr src, size_t ByteCount, CUstream hStream), (dst, src, ByteCount, hStream)) \
    X(cuMemcpyAsync_ptsz, cuMemcpyAsync, 7000, PTSZ, COPY, (CUdeviceptr dst, CUdeviceptr src, size_t ByteCount, CUstream hStream), (dst, src, ByteCount, hStream)) \
    X(cuMemcpyAtoA, cuMemcpyAtoA, 2000, PLAIN, COPY, (CUarray dstArray, unsigned int dstOffset, CUarray srcArray, unsigned int srcOffset, unsigned int ByteCount), (dstArray, dstOffset, srcArray, srcOffset, ByteCount)) \
    X(cuMemcpyAtoA_v2, cuMemcpyAtoA, 3020, PLAIN, COPY, (CUarray dstArray, size_t dstOffset, CUarray srcArray, size_t srcOffset, size_t ByteCount), (dstArray, dstOffset, srcArray, srcOffset, ByteCount)) \
    X(cuMemcpyAtoA_v2_ptds, cuMemcpyAtoA, 7000, PTDS, COPY, (CUarray dstArray, size_t dstOffset, CUarray srcArray, size_t srcOffset, size_t ByteCount), (dstArray, dstOffset, srcArray, srcOffset, ByteCount)) \
    X(cuMemcpyAtoD, cuMemcpyAtoD, 2000, PLAIN, COPY, (CUdeviceptr_v1 dstDevice, CUarray srcArray, unsigned int srcOffset, unsigned int ByteCount), (dstDevice, srcArray, srcOffset, ByteCount)) \
    X(cuMemcpyAtoD_v2, cuMemcpyAtoD, 3020, PLAIN, COPY, (CUdeviceptr dstDevice, CUarray srcArray, size_t srcOffset, size_t ByteCount), (dstDevice, srcArray, srcOffset, ByteCount)) \
    X(cuMemcpyAtoD_v2_ptds, cuMemcpyAtoD, 7000, PTDS, COPY, (CUdeviceptr dstDevice, CUarray srcArray, size_t srcOffset, size_t ByteCount), (dstDevice, srcArray, srcOffset, ByteCount)) \
    X(cuMemcpyAtoH, cuMemcpyAtoH, 2000, PLAIN, COPY, (void *dstHost, CUarray srcArray, unsigned int srcOffset, unsigned int ByteCount), (dstHost, srcArray, srcOffset, ByteCount)) \
    X(cuMemcpyAtoH_v2, cuMemcpyAtoH, 3020, PLAIN, COPY, (void *dstHost, CUarray srcArray, size_t srcOffset, size_t ByteCount), (dstHost, srcArray, srcOffset, ByteCount)) \
    X(cuMemcpyAtoH_v2_ptds, cuMemcpyAtoH, 7000, PTDS, COPY, (void *dstHost, CUarray srcArray, size_t srcOffset, size_t ByteCount), (dstHost, srcArray, srcOffset, ByteCount)) \
    X(cuMemcpyAtoHAsync, cuMemcpyAtoHAsync, 2000, PLAIN, COPY, (void *dstHost, CUarray srcArray, unsigned int srcOffset, unsigned int ByteCount, CUstream hStream), (dstHost, srcArray, srcOffset, ByteCount, hStream)) \
    X(cuMemcpyAtoHAsync_v2, cuMemcpyAtoHAsync, 3020, PLAIN, COPY, (void *dstHost, CUarray srcArray, size_t srcOffset, size_t ByteCount, CUstream hStream), (dstHost, srcArray, srcOffset, ByteCount, hStream)) \
    X(cuMemcpyAtoHAsync_v2_ptsz, cuMemcpyAtoHAsync, 7000, PTSZ, COPY, (void *dstHost, CUarray srcArray, size_t srcOffset, size_t ByteCount, CUstream hStream), (dstHost, srcArray, srcOffset, ByteCount, hStream)) \
    X(cuMemcpyBatchAsync, cuMemcpyBatchAsync, 12080, PLAIN, COPY, (CUdeviceptr *dsts, CUdeviceptr *srcs, size_t *sizes, size_t count, CUmemcpyAttributes *attrs, size_t *attrsIdxs, size_t numAttrs, size_t *failIdx, CUstream hStream), (dsts, srcs, sizes, count, attrs, attrsIdxs, numAttrs, failIdx, hStream)) \
    X(cuMemcpyBatchAsync_ptsz, cuMemcpyBatchAsync, 12080, PTSZ, COPY, (CUdeviceptr *dsts, CUdeviceptr *srcs, size_t *sizes, size_t count, CUmemcpyAttributes *attrs, size_t *attrsIdxs, size_t numAttrs, size_t *failIdx, CUstream hStream), (dsts, srcs, sizes, count, attrs, attrsIdxs, numAttrs, failIdx, hStream)) \
    X(cuMemcpyBatchAsync_v2, cuMemcpyBatchAsync, 13000, PLAIN, COPY, (CUdeviceptr *dsts, CUdeviceptr *srcs, size_t *sizes, size_t count, CUmemcpyAttributes *attrs, size_t *attrsIdxs, size_t numAttrs, CUstream hStream), (dsts, srcs, sizes, count, attrs, attrsIdxs, numAttrs, hStream)) \
    X(cuMemcpyBatchAsync_v2_ptsz, cuMemcpyBatchAsync, 13000, PTSZ, COPY, (CUdeviceptr *dsts, CUdeviceptr *srcs, size_t *sizes, size_t count, CUmemcpyAttributes *attrs, size_t *attrsIdxs, size_t numAttrs, CUstream hStream), (dsts, srcs, sizes, count, attrs, attrsIdxs, numAttrs, hStream)) \
    X(cuMemcpyDtoA, cuMemcpyDtoA, 2000, PLAIN, COPY, (CUarray dstArray, unsigned int dstOffset, CUdeviceptr_v1 srcDevice, unsigned int ByteCount), (dstArray, dstOffset, srcDevice, ByteCount)) \
    X(cuMemcpyDtoA_v2, cuMemcpyDtoA, 3020, PLAIN, COPY, (CUarray dstArray, size_t dstOffset, CUdeviceptr srcDevice, size_t ByteCount), (dstArray, dstOffset, srcDevice, ByteCount)) \
    X(cuMemcpyDtoA_v2_ptds, cuMemcpyDtoA, 7000, PTDS, COPY, (CUarray dstArray, size_t dstOffset, CUdeviceptr srcDevice, size_t ByteCount), (dstArray, dstOffset, srcDevice, ByteCount)) \
    X(cuMemcpyDtoD, cuMemcpyDtoD, 2000, PLAIN, COPY, (CUdeviceptr_v1 dstDevice, CUdeviceptr_v1 srcDevice, unsigned int ByteCount), (dstDevice, srcDevice, ByteCount)) \
    X(cuMemcpyDtoD_v2, cuMemcpyDtoD, 3020, PLAIN, COPY, (CUdeviceptr dstDevice, CUdeviceptr srcDevice, size_t ByteCount), (dstDevice, srcDevice, ByteCount)) \
    X(cuMemcpyDtoD_v2_ptds, cuMemcpyDtoD, 7000, PTDS, COPY, (CUdeviceptr dstDevice, CUdeviceptr srcDevice, size_t ByteCount), (dstDevice, srcDevice, ByteCount)) \
    X(cuMemcpyDtoDAsync, cuMemcpyDtoDAsync, 3000, PLAIN, COPY, (CUdeviceptr_v1 dstDevice, CUdeviceptr_v1 srcDevice, unsigned int ByteCount, CUstream hStream), (dstDevice, srcDevice, ByteCount, hStream)) \
    X(cuMemcpyDtoDAsync_v2, cuMemcpyDtoDAsync, 3020, PLAIN, COPY, (CUdeviceptr dstDevice, CUdeviceptr srcDevice, size_t ByteCount, CUstream hStream), (dstDevice, srcDevice, ByteCount, hStream)) \
    X(cuMemcpyDtoDAsync_v2_ptsz, cuMemcpyDtoDAsync, 7000, PTSZ, COPY, (CUdeviceptr dstDevice, CUdeviceptr srcDevice, size_t ByteCount, CUstream hStream), (dstDevice, srcDevice, ByteCount, hStream)) \
    X(cuMemcpyDtoH, cuMemcpyDtoH, 2000, PLAIN, COPY, (void *dstHost, CUdeviceptr_v1 srcDevice, unsigned int ByteCount), (dstHost, srcDevice, ByteCount)) \
    X(cuMemcpyDtoH_v2, cuMemcpyDtoH, 3020, PLAIN, COPY, (void *dstHost, CUdeviceptr srcDevice, size_t ByteCount), (dstHost, srcDevice, ByteCount)) \
    X(cuMemcpyDtoH_v2_ptds, cuMemcpyDtoH, 7000, PTDS, COPY, (void *dstHost, CUdeviceptr srcDevice, size_t ByteCount), (dstHost, srcDevice, ByteCount)) \
    X(cuMemcpyDtoHAsync, cuMemcpyDtoHAsync, 2000, PLAIN, COPY, (void *dstHost, CUdeviceptr_v1 srcDevice, unsigned int ByteCount, CUstream hStream), (dstHost, srcDevice, ByteCount, hStream)) \
    X(cuMemcpyDtoHAsync_v2, cuMemcpyDtoHAsync, 3020, PLAIN, COPY, (void *dstHost, CUdeviceptr srcDevice, size_t ByteCount, CUstream hStream), (dstHost, srcDevice, ByteCount, hStream)) \
    X(cuMemcpyDtoHAsync_v2_ptsz, cuMemcpyDtoHAsync, 7000, PTSZ, COPY, (void *dstHost, CUdeviceptr srcDevice, size_t ByteCount, CUstream hStream), (dstHost, srcDevice, ByteCount, hStream)) \
    X(cuMemcpyHtoA, cuMemcpyHtoA, 2000, PLAIN, COPY, (CUarray dstArray, unsigned int dstOffset, const void *srcHost, unsigned int ByteCount), (dstArray, dstOffset, srcHost, ByteCount)) \
    X(cuMemcpyHtoA_v2, cuMemcpyHtoA, 3020, PLAIN, COPY, (CUarray dstArray, size_t dstOffset, const void *srcHost, size_t ByteCount), (dstArray, dstOffset, srcHost, ByteCount)) \
    X(cuMemcpyHtoA_v2_ptds, cuMemcpyHtoA, 7000, PTDS, COPY, (CUarray dstArray, size_t dstOffset, const void *srcHost, size_t ByteCount), (dstArray, dstOffset, srcHost, ByteCount)) \
    X(cuMemcpyHtoAAsync, cuMemcpyHtoAAsync, 2000, PLAIN, COPY, (CUarray dstArray, unsigned int dstOffset, const void *srcHost, unsigned int ByteCount, CUstream hStream), (dstArray, dstOffset, srcHost, ByteCount, hStream)) \
    X(cuMemcpyHtoAAsync_v2, cuMemcpyHtoAAsync, 3020, PLAIN, COPY, (CUarray dstArray, size_t dstOffset, const void *srcHost, size_t ByteCount, CUstream hStream), (dstArray, dstOffset, srcHost, ByteCount, hStream)) \
    X(cuMemcpyHtoAAsync_v2_ptsz, cuMemcpyHtoAAsync, 7000, PTSZ, COPY, (CUarray dstArray, size_t dstOffset, const void *srcHost, size_t ByteCount, CUstream hStream), (dstArray, dstOffset, srcHost, ByteCount, hStream)) \
    X(cuMemcpyHtoD, cuMemcpyHtoD, 2000, PLAIN, COPY, (CUdeviceptr_v1 dstDevice, const void *srcHost, unsigned int ByteCount), (dstDevice, srcHost, ByteCount)) \
    X(cuMemcpyHtoD_v2, cuMemcpyHtoD, 3020, PLAIN, COPY, (CUdeviceptr dstDevice, const void *srcHost, size_t ByteCount), (dstDevice, srcHost, ByteCount)) \
    X(cuMemcpyHtoD_v2_ptds, cuMemcpyHtoD, 7000, PTDS, COPY, (CUdeviceptr dstDevice, const void *srcHost, size_t ByteCount), (dstDevice, srcHost, ByteCount)) \
    X(cuMemcpyHtoDAsync, cuMemcpyHtoDAsync, 2000, PLAIN, COPY, (CUdeviceptr_v1 dstDevice, const void *srcHost, unsigned int ByteCount, CUstream hStream), (dstDevice, srcHost, ByteCount, hStream)) \
    X(cuMemcpyHtoDAsync_v2, cuMemcpyHtoDAsync, 3020, PLAIN, COPY, (CUdeviceptr dstDevice, const void *srcHost, size_t ByteCount, CUstream hStream), (dstDevice, srcHost, ByteCount, hStream)) \
    X(cuMemcpyHtoDAsync_v2_ptsz, cuMemcpyHtoDAsync, 7000, PTSZ, COPY, (CUdeviceptr dstDevice, const void *srcHost, size_t ByteCount, CUstream hStream), (dstDevice, srcHost, ByteCount, hStream)) \
    X(cuMemcpyPeer, cuMemcpyPeer, 4000, PLAIN, COPY, (CUdeviceptr dstDevice, CUcontext dstContext, CUdeviceptr srcDevice, CUcontext srcContext, size_t ByteCount), (dstDevice, dstContext, srcDevice, srcContext, ByteCount)) \
    X(cuMemcpyPeer_ptds, cuMemcpyPeer, 7000, PTDS, COPY, (CUdeviceptr dstDevice, CUcontext dstContext, CUdeviceptr srcDevice, CUcontext srcContext, size_t ByteCount), (dstDevice, dstContext, srcDevice, srcContext, ByteCount)) \
    X(cuMemcpyPeerAsync, cuMemcpyPeerAsync, 4000, PLAIN, COPY, (CUdeviceptr dstDevice, CUcontext dstContext, CUdeviceptr srcDevice, CUcontext srcContext, size_t ByteCount, CUstream hStream), (dstDevice, dstContext, srcDevice, srcContext, ByteCount, hStream)) \
    X(cuMemcpyPeerAsync_ptsz, cuMemcpyPeerAsync, 7000, PTSZ, COPY, (CUdeviceptr dstDevice, CUcontext dstContext, CUdeviceptr srcDevice, CUcontext srcContext, size_t ByteCount, CUstream hStream), (dstDevice, dstContext, srcDevice, srcContext, ByteCount, hStream)) \
    X(cuMemsetD16, cuMemsetD16, 2000, PLAIN, DEVICE_WORK, (CUdeviceptr_v1 dstDevice, unsigned short us, unsigned int N), (dstDevice, us, N)) \
    X(cuMemsetD16_v2, cuMemsetD16, 3020, PLAIN, DEVICE_WORK, (CUdeviceptr dstDevice, unsigned short us, size_t N), (dstDevice, us, N)) \
    X(cuMemsetD16_v2_ptds, cuMemsetD16, 7000, PTDS, DEVICE_WORK, (CUdeviceptr dstDevice, unsigned short us, size_t N), (dstDevice, us, N)) \
    X(cuMemsetD16Async, cuMemsetD16Async, 3020, PLAIN, DEVICE_WORK, (CUdeviceptr dstDevice, unsigned short us, size_t N, CUstream hStream), (dstDevice, us, N, hStream)) \
    X(cuMemsetD16Async_ptsz, cuMemsetD16Async, 7000, PTSZ, DEVICE_WORK, (CUdeviceptr dstDevice, unsigned short us, size_t N, CUstream hStream), (dstDevice, us, N, hStream)) \
    X(cuMemsetD2D16, cuMemsetD2D16, 2000, PLAIN, DEVICE_WORK, (CUdeviceptr_v1 dstDevice, unsigned int dstPitch, unsigned short us, unsigned int Width, unsigned int Height), (dstDevice, dstPitch, us, Width, Height)) \
    X(cuMemsetD2D16_v2, cuMemsetD2D16, 3020, PLAIN, DEVICE_WORK, (CUdeviceptr dstDevice, size_t dstPitch, unsigned short us, size_t Width, size_t Height), (dstDevice, dstPitch, us, Width, Height)) \
    X(cuMemsetD2D16_v2_ptds, cuMemsetD2D16, 7000, PTDS, DEVICE_WORK, (CUdeviceptr dstDevice, size_t dstPitch, unsigned short us, size_t Width, size_t Height), (dstDevice, dstPitch, us, Width, Height)) \
    X(cuMemsetD2D16Async, cuMemsetD2D16Async, 3020, PLAIN, DEVICE_WORK, (CUdeviceptr dstDevice, size_t dstPitch, unsigned short us, size_t Width, size_t Height, CUstream hStream), (dstDevice, dstPitch, us, Width, Height, hStream)) \
    X(cuMemsetD2D16Async_ptsz, cuMemsetD2D16Async, 7000, PTSZ, DEVICE_WORK, (CUdeviceptr dstDevice, size_t dstPitch, unsigned short us, size_t Width, size_t Height, CUstream hStream), (dstDevice, dstPitch, us, Width, Height, hStream)) \
    X(cuMemsetD2D32, cuMemsetD2D32, 2000, PLAIN, DEVICE_WORK, (CUdeviceptr_v1 dstDevice, unsigned int dstPitch, unsigned int ui, unsigned int Width, unsigned int Height), (dstDevice, dstPitch, ui, Width, Height)) \
    X(cuMemsetD2D32_v2, cuMemsetD2D32, 3020, PLAIN, DEVICE_WORK, (CUdeviceptr dstDevice, size_t dstPitch, unsigned int ui, size_t Width, size_t Height), (dstDevice, dstPitch, ui, Width, Height)) \
    X(cuMemsetD2D32_v2_ptds, cuMemsetD2D32, 7000, PTDS, DEVICE_WORK, (CUdeviceptr dstDevice, size_t dstPitch, unsigned int ui, size_t Width, size_t Height), (dstDevice, dstPitch, ui, Width, Height)) \
    X(cuMemsetD2D32Async, cuMemsetD2D32Async, 3020, PLAIN, DEVICE_WORK, (CUdeviceptr dstDevice, size_t dstPitch, unsigned int ui, size_t Width, size_t Height, CUstream hStream), (dstDevice, dstPitch, ui, Width, Height, hStream)) \
    X(cuMemsetD2D32Async_ptsz, cuMemsetD2D32Async, 7000, PTSZ, DEVICE_WORK, (CUdeviceptr dstDevice, size_t dstPitch, unsigned int ui, size_t Width, size_t Height, CUstream hStream), (dstDevice, dstPitch, ui, Width, Height, hStream)) \
    X(cuMemsetD2D8, cuMemsetD2D8, 2000, PLAIN, DEVICE_WORK, (CUdeviceptr_v1 dstDevice, unsigned int dstPitch, unsigned char uc, unsigned int Width, unsigned int Height), (dstDevice, dstPitch, uc, Width, Height)) \
    X(cuMemsetD2D8_v2, cuMemsetD2D8, 3020, PLAIN, DEVICE_WORK, (CUdeviceptr dstDevice, size_t dstPitch, unsigned char uc, size_t Width, size_t Height), (dstDevice, dstPitch, uc, Width, Height)) \
    X(cuMemsetD2D8_v2_ptds, cuMemsetD2D8, 7000, PTDS, DEVICE_WORK, (CUdeviceptr dstDevice, size_t dstPitch, unsigned char uc, size_t Width, size_t Height), (dstDevice, dstPitch, uc, Width, Height)) \
    X(cuMemsetD2D8Async, cuMemsetD2D8Async, 3020, PLAIN, DEVICE_WORK, (CUdeviceptr dstDevice, size_t dstPitch, unsigned char uc, size_t Width, size_t Height, CUstream hStream), (dstDevice, dstPitch, uc, Width, Height, hStream)) \
    X(cuMemsetD2D8Async_ptsz, cuMemsetD2D8Async, 7000, PTSZ, DEVICE_WORK, (CUdeviceptr dstDevice, size_t dstPitch, unsigned char uc, size_t Width, size_t Height, CUstream hStream), (dstDevice, dstPitch, uc, Width, Height, hStream)) \
    X(cuMemsetD32, cuMemsetD32, 2000, PLAIN, DEVICE_WORK, (CUdeviceptr_v1 dstDevice, unsigned int ui, unsigned int N), (dstDevice, ui, N)) \
    X(cuMemsetD32_v2, cuMemsetD32, 3020, PLAIN, DEVICE_WORK, (CUdeviceptr dstDevice, unsigned int ui, size_t N), (dstDevice, ui, N)) \
    X(cuMemsetD32_v2_ptds, cuMemsetD32, 7000, PTDS, DEVICE_WORK, (CUdeviceptr dstDevice, unsigned int ui, size_t N), (dstDevice, ui, N)) \
    X(cuMemsetD32Async, cuMemsetD32Async, 3020, PLAIN, DEVICE_WORK, (CUdeviceptr dstDevice, unsigned int ui, size_t N, CUstream hStream), (dstDevice, ui, N, hStream)) \
    X(cuMemsetD32Async_ptsz, cuMemsetD32Async, 7000, PTSZ, DEVICE_WORK, (CUdeviceptr dstDevice, unsigned int ui, size_t N, CUstream hStream), (dstDevice, ui, N, hStream)) \
    X(cuMemsetD8, cuMemsetD8, 2000, PLAIN, DEVICE_WORK, (CUdeviceptr_v1 dstDevice, unsigned char uc, unsigned int N), (dstDevice, uc, N)) \
    X(cuMemsetD8_v2, cuMemsetD8, 3020, PLAIN, DEVICE_WORK, (CUdeviceptr dstDevice, unsigned char uc, size_t N), (dstDevice, uc, N)) \
    X(cuMemsetD8_v2_ptds, cuMemsetD8, 7000, PTDS, DEVICE_WORK, (CUdeviceptr dstDevice, unsigned char uc, size_t N), (dstDevice, uc, N)) \
    X(cuMemsetD8Async, cuMemsetD8Async, 3020, PLAIN, DEVICE_WORK, (CUdeviceptr dstDevice, unsigned char uc, size_t N, CUstream hStream), (dstDevice, uc, N, hStream)) \
    X(cuMemsetD8Async_ptsz, cuMemsetD8Async, 7000, PTSZ, DEVICE_WORK, (CUdeviceptr dstDevice, unsigned char uc, size_t N, CUstream hStream), (dstDevice, uc, N, hStream)) \
    X(cuMipmappedArrayCreate, cuMipmappedArrayCreate, 5000, PLAIN, ARRAY, (CUmipmappedArray *pHandle, const CUDA_ARRAY3D_DESCRIPTOR *pMipmappedArrayDesc, unsigned int numMipmapLevels), (pHandle, pMipmappedArrayDesc, numMipmapLevels)) \
    X(cuMipmappedArrayDestroy, cuMipmappedArrayDestroy, 5000, PLAIN, ARRAY, (CUmipmappedArray hMipmappedArray), (hMipmappedArray)) \
    X(cuMipmappedArrayGetLevel, cuMipmappedArrayGetLevel, 5000, PLAIN, ARRAY, (CUarray *pLevelArray, CUmipmappedArray hMipmappedArray, unsigned int level), (pLevelArray, hMipmappedArray, level)) \
    X(cuMipmappedArrayGetMemoryRequirements, cuMipmappedArrayGetMemoryRequirements, 11060, PLAIN, ARRAY, (CUDA_ARRAY_MEMORY_REQUIREMENTS *memoryRequirements, CUmipmappedArray mipmap, CUdevice device), (memoryRequirements, mipmap, device)) \
    X(cuMipmappedArrayGetSparseProperties, cuMipmappedArrayGetSparseProperties, 11010, PLAIN, ARRAY, (CUDA_ARRAY_SPARSE_PROPERTIES *sparseProperties, CUmipmappedArray mipmap), (sparseProperties, mipmap)) \
    X(cuModuleEnumerateFunctions, cuModuleEnumerateFunctions, 12040, PLAIN, CODE, (CUfunction *functions, unsigned int numFunctions, CUmodule mod), (functions, numFunctions, mod)) \
    X(cuModuleGetFunction, cuModuleGetFunction, 2000, PLAIN, CODE, (CUfunction *hfunc, CUmodule hmod, const char *name), (hfunc, hmod, name)) \
    X(cuModuleGetFunctionCount, cuModuleGetFunctionCount, 12040, PLAIN, CODE, (unsigned int *count, CUmodule mod), (count, mod)) \
    X(cuModuleGetGlobal, cuModuleGetGlobal, 2000, PLAIN, CODE, (CUdeviceptr_v1 *dptr, unsigned int *bytes, CUmodule hmod, const char *name), (dptr, bytes, hmod, name)) \
    X(cuModuleGetGlobal_v2, cuModuleGetGlobal, 3020, PLAIN, CODE, (CUdeviceptr *dptr, size_t *bytes, CUmodule hmod, const char *name), (dptr, bytes, hmod, name)) \
    X(cuModuleGetLoadingMode, cuModuleGetLoadingMode, 11070, PLAIN, CODE, (CUmoduleLoadingMode *mode), (mode)) \
    X(cuModuleGetSurfRef, cuModuleGetSurfRef, 3000, PLAIN, CODE, (CUsurfref *pSurfRef, CUmodule hmod, const char *name), (pSurfRef, hmod, name)) \
    X(cuModuleGetTexRef, cuModuleGetTexRef, 2000, PLAIN, CODE, (CUtexref *pTexRef, CUmodule hmod, const char *name), (pTexRef, hmod, name)) \
    X(cuModuleLoad, cuModuleLoad, 2000, PLAIN, CODE, (CUmodule *module, const char *fname), (module, fname)) \
    X(cuModuleLoadData, cuModuleLoadData, 2000, PLAIN, CODE, (CUmodule *module, const void *image), (module, image)) \
    X(cuModuleLoadDataEx, cuModuleLoadDataEx, 2010, PLAIN, CODE, (CUmodule *module, const void *image, unsigned int numOptions, CUjit_option *options, void **optionValues), (module, image, numOptions, options, optionValues)) \
    X(cuModuleLoadFatBinary, cuModuleLoadFatBinary, 2000, PLAIN, CODE, (CUmodule *module, const void *fatCubin), (module, fatCubin)) \
    X(cuModuleUnload, cuModuleUnload, 2000, PLAIN, CODE, (CUmodule hmod), (hmod)) \
    X(cuMulticastAddDevice, cuMulticastAddDevice, 12010, PLAIN, VMM, (CUmemGenericAllocationHandle mcHandle, CUdevice dev), (mcHandle, dev)) \
    X(cuMulticastBindAddr, cuMulticastBindAddr, 12010, PLAIN, VMM, (CUmemGenericAllocationHandle mcHandle, size_t mcOffset, CUdeviceptr memptr, size_t size, unsigned long long flags), (mcHandle, mcOffset, memptr, size, flags)) \
    X(cuMulticastBindMem, cuMulticastBindMem, 12010, PLAIN, VMM, (CUmemGenericAllocationHandle mcHandle, size_t mcOffset, CUmemGenericAllocationHandle memHandle, size_t memOffset, size_t size, unsigned long long flags), (mcHandle, mcOffset, memHandle, memOffset, size, flags)) \
    X(cuMulticastCreate, cuMulticastCreate, 12010, PLAIN, VMM, (CUmemGenericAllocationHandle *mcHandle, const CUmulticastObjectProp *prop), (mcHandle, prop)) \
    X(cuMulticastGetGranularity, cuMulticastGetGranularity, 12010, PLAIN, VMM, (size_t *granularity, const CUmulticastObjectProp *prop, CUmulticastGranularity_flags option), (granularity, prop, option)) \
    X(cuMulticastUnbind, cuMulticastUnbind, 12010, PLAIN, VMM, (CUmemGenericAllocationHandle mcHandle, CUdevice dev, size_t mcOffset, size_t size), (mcHandle, dev, mcOffset, size)) \
    X(cuOccupancyAvailableDynamicSMemPerBlock, cuOccupancyAvailableDynamicSMemPerBlock, 10020, PLAIN, CODE, (size_t *dynamicSmemSize, CUfunction func, int numBlocks, int blockSize), (dynamicSmemSize, func, numBlocks, blockSize)) \
    X(cuOccupancyMaxActiveBlocksPerMultiprocessor, cuOccupancyMaxActiveBlocksPerMultiprocessor, 6050, PLAIN, CODE, (int *numBlocks, CUfunction func, int blockSize, size_t dynamicSMemSize), (numBlocks, func, blockSize, dynamicSMemSize)) \
    X(cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags, cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags, 7000, PLAIN, CODE, (int *numBlocks, CUfunction func, int blockSize, size_t dynamicSMemSize, unsigned int flags), (numBlocks, func, blockSize, dynamicSMemSize, flags)) \
    X(cuOccupancyMaxActiveClusters, cuOccupancyMaxActiveClusters, 11070, PLAIN, CODE, (int *numClusters, CUfunction func, const CUlaunchConfig *config), (numClusters, func, config)) \
    X(cuOccupancyMaxPotentialBlockSize, cuOccupancyMaxPotentialBlockSize, 6050, PLAIN, CODE, (int *minGridSize, int *blockSize, CUfunction func, CUoccupancyB2DSize blockSizeToDynamicSMemSize, size_t dynamicSMemSize, int blockSizeLimit), (minGridSize, blockSize, func, blockSizeToDynamicSMemSize, dynamicSMemSize, blockSizeLimit)) \
    X(cuOccupancyMaxPotentialBlockSizeWithFlags, cuOccupancyMaxPotentialBlockSizeWithFlags, 7000, PLAIN, CODE, (int *minGridSize, int *blockSize, CUfunction func, CUoccupancyB2DSize blockSizeToDynamicSMemSize, size_t dynamicSMemSize, int blockSizeLimit, unsigned int flags), (minGridSize, blockSize, func, blockSizeToDynamicSMemSize, dynamicSMemSize, blockSizeLimit, flags)) \
    X(cuOccupancyMaxPotentialClusterSize, cuOccupancyMaxPotentialClusterSize, 11070, PLAIN, CODE, (int *clusterSize, CUfunction func, const CUlaunchConfig *config), (clusterSize, func, config)) \
    X(cuParamSetSize, cuParamSetSize, 2000, PLAIN, CODE, (CUfunction hfunc, unsigned int numbytes), (hfunc, numbytes)) \
    X(cuParamSetTexRef, cuParamSetTexRef, 2000, PLAIN, CODE, (CUfunction hfunc, int texunit, CUtexref hTexRef), (hfunc, texunit, hTexRef)) \
    X(cuParamSetf, cuParamSetf, 2000, PLAIN, CODE, (CUfunction hfunc, int offset, float value), (hfunc, offset, value)) \
    X(cuParamSeti, cuParamSeti, 2000, PLAIN, CODE, (CUfunction hfunc, int offset, unsigned int value), (hfunc, offset, value)) \
    X(cuParamSetv, cuParamSetv, 2000, PLAIN, CODE, (CUfunction hfunc, int offset, void *ptr, unsigned int numbytes), (hfunc, offset, ptr, numbytes)) \
    X(cuPointerGetAttribute, cuPointerGetAttribute, 4000, PLAIN, MEMORY_OTHER, (void *data, CUpointer_attribute attribute, CUdeviceptr ptr), (data, attribute, ptr)) \
    X(cuPointerGetAttributes, cuPointerGetAttributes, 7000, PLAIN, MEMORY_OTHER, (unsigned int numAttributes, CUpointer_attribute *attributes, void **data, CUdeviceptr ptr), (numAttributes, attributes, data, ptr)) \
    X(cuPointerSetAttribute, cuPointerSetAttribute, 6000, PLAIN, MEMORY_OTHER, (const void *value, CUpointer_attribute attribute, CUdeviceptr ptr), (value, attribute, ptr)) \
    X(cuSignalExternalSemaphoresAsync, cuSignalExternalSemaphoresAsync, 10000, PLAIN, IMPORT, (const CUexternalSemaphore *extSemArray, const CUDA_EXTERNAL_SEMAPHORE_SIGNAL_PARAMS *paramsArray, unsigned int numExtSems, CUstream stream), (extSemArray, paramsArray, numExtSems, stream)) \
    X(cuSignalExternalSemaphoresAsync_ptsz, cuSignalExternalSemaphoresAsync, 10000, PTSZ, IMPORT, (const CUexternalSemaphore *extSemArray, const CUDA_EXTERNAL_SEMAPHORE_SIGNAL_PARAMS *paramsArray, unsigned int numExtSems, CUstream stream), (extSemArray, paramsArray, numExtSems, stream)) \
    X(cuStreamAddCallback, cuStreamAddCallback, 5000, PLAIN, HOST_CALLBACK, (CUstream hStream, CUstreamCallback callback, void *userData, unsigned int flags), (hStream, callback, userData, flags)) \
    X(cuStreamAddCallback_ptsz, cuStreamAddCallback, 7000, PTSZ, HOST_CALLBACK, (CUstream hStream, CUstreamCallback callback, void *userData, unsigned int flags), (hStream, callback, userData, flags)) \
    X(cuStreamAttachMemAsync, cuStreamAttachMemAsync, 6000, PLAIN, STREAM, (CUstream hStream, CUdeviceptr dptr, size_t length, unsigned int flags), (hStream, dptr, length, flags)) \
    X(cuStreamAttachMemAsync_ptsz, cuStreamAttachMemAsync, 7000, PTSZ, STREAM, (CUstream hStream, CUdeviceptr dptr, size_t length, unsigned int flags), (hStream, dptr, length, flags)) \
    X(cuStreamBatchMemOp, cuStreamBatchMemOp, 8000, PLAIN, STREAM, (CUstream stream, unsigned int count, CUstreamBatchMemOpParams *paramArray, unsigned int flags), (stream, count, paramArray, flags)) \
    X(cuStreamBatchMemOp_ptsz, cuStreamBatchMemOp, 8000, PTSZ, STREAM, (CUstream stream, unsigned int count, CUstreamBatchMemOpParams *paramArray, unsigned int flags), (stream, count, paramArray, flags)) \
    X(cuStreamBatchMemOp_v2, cuStreamBatchMemOp, 11070, PLAIN, STREAM, (CUstream stream, unsigned int count, CUstreamBatchMemOpParams *paramArray, unsigned int flags), (stream, count, paramArray, flags)) \
    X(cuStreamBatchMemOp_v2_ptsz, cuStreamBatchMemOp, 11070, PTSZ, STREAM, (CUstream stream, unsigned int count, CUstreamBatchMemOpParams *paramArray, unsigned int flags), (stream, count, paramArray, flags)) \
    X(cuStreamBeginCapture, cuStreamBeginCapture, 10000, PLAIN, CAPTURE, (CUstream hStream), (hStream)) \
    X(cuStreamBeginCapture_ptsz, cuStreamBeginCapture, 10000, PTSZ, CAPTURE, (CUstream hStream), (hStream)) \
    X(cuStreamBeginCapture_v2, cuStreamBeginCapture, 10010, PLAIN, CAPTURE, (CUstream hStream, CUstreamCaptureMode mode), (hStream, mode)) \
    X(cuStreamBeginCapture_v2_ptsz, cuStreamBeginCapture, 10010, PTSZ, CAPTURE, (CUstream hStream, CUstreamCaptureMode mode), (hStream, mode)) \
    X(cuStreamBeginCaptureToGraph, cuStreamBeginCaptureToGraph, 12030, PLAIN, CAPTURE, (CUstream hStream, CUgraph hGraph, const CUgraphNode *dependencies, const CUgraphEdgeData *dependencyData, size_t numDependencies, CUstreamCaptureMode mode), (hStream, hGraph, dependencies, dependencyData, numDependencies, mode)) \
    X(cuStreamBeginCaptureToGraph_ptsz, cuStreamBeginCaptureToGraph, 12030, PTSZ, CAPTURE, (CUstream hStream, CUgraph hGraph, const CUgraphNode *dependencies, const CUgraphEdgeData *dependencyData, size_t numDependencies, CUstreamCaptureMode mode), (hStream, hGraph, dependencies, dependencyData, numDependencies, mode)) \
    X(cuStreamCopyAttributes, cuStreamCopyAttributes, 11000, PLAIN, STREAM, (CUstream dstStream, CUstream srcStream), (dstStream, srcStream)) \
    X(cuStreamCopyAttributes_ptsz, cuStreamCopyAttributes, 11000, PTSZ, STREAM, (CUstream dst, CUstream src), (dst, src)) \
    X(cuStreamCreate, cuStreamCreate, 2000, PLAIN, STREAM, (CUstream *phStream, unsigned int Flags), (phStream, Flags)) \
    X(cuStreamCreateWithPriority, cuStreamCreateWithPriority, 5050, PLAIN, STREAM, (CUstream *phStream, unsigned int flags, int priority), (phStream, flags, priority)) \
    X(cuStreamDestroy, cuStreamDestroy, 2000, PLAIN, STREAM, (CUstream hStream), (hStream)) \
    X(cuStreamDestroy_v2, cuStreamDestroy, 4000, PLAIN, STREAM, (CUstream hStream), (hStream)) \
    X(cuStreamEndCapture, cuStreamEndCapture, 10000, PLAIN, CAPTURE, (CUstream hStream, CUgraph *phGraph), (hStream, phGraph)) \
    X(cuStreamEndCapture_ptsz, cuStreamEndCapture, 10000, PTSZ, CAPTURE, (CUstream hStream, CUgraph *phGraph), (hStream, phGraph)) \
    X(cuStreamGetAttribute, cuStreamGetAttribute, 11000, PLAIN, STREAM, (CUstream hStream, CUstreamAttrID attr, CUstreamAttrValue *value), (hStream, attr, value)) \
    X(cuStreamGetAttribute_ptsz, cuStreamGetAttribute, 11000, PTSZ, STREAM, (CUstream hStream, CUstreamAttrID attr, CUstreamAttrValue *value_out), (hStream, attr, value_out)) \
    X(cuStreamGetCaptureInfo, cuStreamGetCaptureInfo, 10010, PLAIN, CAPTURE, (CUstream hStream, CUstreamCaptureStatus *captureStatus_out, cuuint64_t *id_out), (hStream, captureStatus_out, id_out)) \
    X(cuStreamGetCaptureInfo_ptsz, cuStreamGetCaptureInfo, 10010, PTSZ, CAPTURE, (CUstream hStream, CUstreamCaptureStatus *captureStatus_out, cuuint64_t *id_out), (hStream, captureStatus_out, id_out)) \
    X(cuStreamGetCaptureInfo_v2, cuStreamGetCaptureInfo, 11030, PLAIN, CAPTURE, (CUstream hStream, CUstreamCaptureStatus *captureStatus_out, cuuint64_t *id_out, CUgraph *graph_out, const CUgraphNode **dependencies_out, size_t *numDependencies_out), (hStream, captureStatus_out, id_out, graph_out, dependencies_out, numDependencies_out)) \
    X(cuStreamGetCaptureInfo_v2_ptsz, cuStreamGetCaptureInfo, 11030, PTSZ, CAPTURE, (CUstream hStream, CUstreamCaptureStatus *captureStatus_out, cuuint64_t *id_out, CUgraph *graph_out, const CUgraphNode **dependencies_out, size_t *numDependencies_out), (hStream, captureStatus_out, id_out, graph_out, dependencies_out, numDependencies_out)) \
    X(cuStreamGetCaptureInfo_v3, cuStreamGetCaptureInfo, 12030, PLAIN, CAPTURE, (CUstream hStream, CUstreamCaptureStatus *captureStatus_out, cuuint64_t *id_out, CUgraph *graph_out, const CUgraphNode **dependencies_out, const CUgraphEdgeData **edgeData_out, size_t *numDependencies_out), (hStream, captureStatus_out, id_out, graph_out, dependencies_out, edgeData_out, numDependencies_out)) \
    X(cuStreamGetCaptureInfo_v3_ptsz, cuStreamGetCaptureInfo, 12030, PTSZ, CAPTURE, (CUstream hStream, CUstreamCaptureStatus *captureStatus_out, cuuint64_t *id_out, CUgraph *graph_out, const CUgraphNode **dependencies_out, const CUgraphEdgeData **edgeData_out, size_t *numDependencies_out), (hStream, captureStatus_out, id_out, graph_out, dependencies_out, edgeData_out, numDependencies_out)) \
    X(cuStreamGetCtx, cuStreamGetCtx, 9020, PLAIN, STREAM, (CUstream hStream, CUcontext *pctx), (hStream, pctx)) \
    X(cuStreamGetCtx_ptsz, cuStreamGetCtx, 9020, PTSZ, STREAM, (CUstream hStream, CUcontext *pctx), (hStream, pctx)) \
    X(cuStreamGetCtx_v2, cuStreamGetCtx, 12050, PLAIN, STREAM, (CUstream hStream, CUcontext *pCtx, CUgreenCtx *pGreenCtx), (hStream, pCtx, pGreenCtx)) \
    X(cuStreamGetCtx_v2_ptsz, cuStreamGetCtx, 12050, PTSZ, STREAM, (CUstream hStream, CUcontext *pCtx, CUgreenCtx *pGreenCtx), (hStream, pCtx, pGreenCtx)) \
    X(cuStreamGetDevice, cuStreamGetDevice, 12080, PLAIN, STREAM, (CUstream hStream, CUdevice *device), (hStream, device)) \
    X(cuStreamGetDevice_ptsz, cuStreamGetDevice, 12080, PTSZ, STREAM, (CUstream hStream, CUdevice *device), (hStream, device)) \
    X(cuStreamGetFlags, cuStreamGetFlags, 5050, PLAIN, STREAM, (CUstream hStream, unsigned int *flags), (hStream, flags)) \
    X(cuStreamGetFlags_ptsz, cuStreamGetFlags, 7000, PTSZ, STREAM, (CUstream hStream, unsigned int *flags), (hStream, flags)) \
    X(cuStreamGetGreenCtx, cuStreamGetGreenCtx, 12040, PLAIN, STREAM, (CUstream hStream, CUgreenCtx *phCtx), (hStream, phCtx)) \
    X(cuStreamGetId, cuStreamGetId, 12000, PLAIN, STREAM, (CUstream hStream, unsigned long long *streamId), (hStream, streamId)) \
    X(cuStreamGetId_ptsz, cuStreamGetId, 12000, PTSZ, STREAM, (CUstream hStream, unsigned long long *streamId), (hStream, streamId)) \
    X(cuStreamGetPriority, cuStreamGetPriority, 5050, PLAIN, STREAM, (CUstream hStream, int *priority), (hStream, priority)) \
    X(cuStreamGetPriority_ptsz, cuStreamGetPriority, 7000, PTSZ, STREAM, (CUstream hStream, int *priority), (hStream, priority)) \
    X(cuStreamIsCapturing, cuStreamIsCapturing, 10000, PLAIN, CAPTURE, (CUstream hStream, CUstreamCaptureStatus *captureStatus), (hStream, captureStatus)) \
    X(cuStreamIsCapturing_ptsz, cuStreamIsCapturing, 10000, PTSZ, CAPTURE, (CUstream hStream, CUstreamCaptureStatus *captureStatus), (hStream, captureStatus)) \
    X(cuStreamQuery, cuStreamQuery, 2000, PLAIN, STREAM, (CUstream hStream), (hStream)) \
    X(cuStreamQuery_ptsz, cuStreamQuery, 7000, PTSZ, STREAM, (CUstream hStream), (hStream)) \
    X(cuStreamSetAttribute, cuStreamSetAttribute, 11000, PLAIN, STREAM, (CUstream hStream, CUstreamAttrID attr, const CUstreamAttrValue *param), (hStream, attr, param)) \
    X(cuStreamSetAttribute_ptsz, cuStreamSetAttribute, 11000, PTSZ, STREAM, (CUstream hStream, CUstreamAttrID attr, const CUstreamAttrValue *value), (hStream, attr, value)) \
    X(cuStreamSynchronize, cuStreamSynchronize, 2000, PLAIN, STREAM, (CUstream hStream), (hStream)) \
    X(cuStreamSynchronize_ptsz, cuStreamSynchronize, 7000, PTSZ, STREAM, (CUstream hStream), (hStream)) \
    X(cuStreamUpdateCaptureDependencies, cuStreamUpdateCaptureDependencies, 11030, PLAIN, CAPTURE, (CUstream hStream, CUgraphNode *dependencies, size_t numDependencies, unsigned int flags), (hStream, dependencies, numDependencies, flags)) \
    X(cuStreamUpdateCaptureDependencies_ptsz, cuStreamUpdateCaptureDependencies, 11030, PTSZ, CAPTURE, (CUstream hStream, CUgraphNode *dependencies, size_t numDependencies, unsigned int flags), (hStream, dependencies, numDependencies, flags)) \
    X(cuStreamUpdateCaptureDependencies_v2, cuStreamUpdateCaptureDependencies, 12030, PLAIN, CAPTURE, (CUstream hStream, CUgraphNode *dependencies, const CUgraphEdgeData *dependencyData, size_t numDependencies, unsigned int flags), (hStream, dependencies, dependencyData, numDependencies, flags)) \
    X(cuStreamUpdateCaptureDependencies_v2_ptsz, cuStreamUpdateCaptureDependencies, 12030, PTSZ, CAPTURE, (CUstream hStream, CUgraphNode *dependencies, const CUgraphEdgeData *dependencyData, size_t numDependencies, unsigned int flags), (hStream, dependencies, dependencyData, numDependencies, flags)) \
    X(cuStreamWaitEvent, cuStreamWaitEvent, 3020, PLAIN, STREAM, (CUstream hStream, CUevent hEvent, unsigned int Flags), (hStream, hEvent, Flags)) \
    X(cuStreamWaitEvent_ptsz, cuStreamWaitEvent, 7000, PTSZ, STREAM, (CUstream hStream, CUevent hEvent, unsigned int Flags), (hStream, hEvent, Flags)) \
    X(cuStreamWaitValue32, cuStreamWaitValue32, 8000, PLAIN, STREAM, (CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags), (stream, addr, value, flags)) \
    X(cuStreamWaitValue32_ptsz, cuStreamWaitValue32, 8000, PTSZ, STREAM, (CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags), (stream, addr, value, flags)) \
    X(cuStreamWaitValue32_v2, cuStreamWaitValue32, 11070, PLAIN, STREAM, (CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags), (stream, addr, value, flags)) \
    X(cuStreamWaitValue32_v2_ptsz, cuStreamWaitValue32, 11070, PTSZ, STREAM, (CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags), (stream, addr, value, flags)) \
    X(cuStreamWaitValue64, cuStreamWaitValue64, 9000, PLAIN, STREAM, (CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags), (stream, addr, value, flags)) \
    X(cuStreamWaitValue64_ptsz, cuStreamWaitValue64, 9000, PTSZ, STREAM, (CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags), (stream, addr, value, flags)) \
    X(cuStreamWaitValue64_v2, cuStreamWaitValue64, 11070, PLAIN, STREAM, (CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags), (stream, addr, value, flags)) \
    X(cuStreamWaitValue64_v2_ptsz, cuStreamWaitValue64, 11070, PTSZ, STREAM, (CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags), (stream, addr, value, flags)) \
    X(cuStreamWriteValue32, cuStreamWriteValue32, 8000, PLAIN, STREAM, (CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags), (stream, addr, value, flags)) \
    X(cuStreamWriteValue32_ptsz, cuStreamWriteValue32, 8000, PTSZ, STREAM, (CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags), (stream, addr, value, flags)) \
    X(cuStreamWriteValue32_v2, cuStreamWriteValue32, 11070, PLAIN, STREAM, (CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags), (stream, addr, value, flags)) \
    X(cuStreamWriteValue32_v2_ptsz, cuStreamWriteValue32, 11070, PTSZ, STREAM, (CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags), (stream, addr, value, flags)) \
    X(cuStreamWriteValue64, cuStreamWriteValue64, 9000, PLAIN, STREAM, (CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags), (stream, addr, value, flags)) \
    X(cuStreamWriteValue64_ptsz, cuStreamWriteValue64, 9000, PTSZ, STREAM, (CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags), (stream, addr, value, flags)) \
    X(cuStreamWriteValue64_v2, cuStreamWriteValue64, 11070, PLAIN, STREAM, (CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags), (stream, addr, value, flags)) \
    X(cuStreamWriteValue64_v2_ptsz, cuStreamWriteValue64, 11070, PTSZ, STREAM, (CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags), (stream, addr, value, flags)) \
    X(cuSurfObjectCreate, cuSurfObjectCreate, 5000, PLAIN, CODE, (CUsurfObject *pSurfObject, const CUDA_RESOURCE_DESC *pResDesc), (pSurfObject, pResDesc)) \
    X(cuSurfObjectDestroy, cuSurfObjectDestroy, 5000, PLAIN, CODE, (CUsurfObject surfObject), (surfObject)) \
    X(cuSurfObjectGetResourceDesc, cuSurfObjectGetResourceDesc, 5000, PLAIN, CODE, (CUDA_RESOURCE_DESC *pResDesc, CUsurfObject surfObject), (pResDesc, surfObject)) \
    X(cuSurfRefGetArray, cuSurfRefGetArray, 3000, PLAIN, CODE, (CUarray *phArray, CUsurfref hSurfRef), (phArray, hSurfRef)) \
    X(cuSurfRefSetArray, cuSurfRefSetArray, 3000, PLAIN, CODE, (CUsurfref hSurfRef, CUarray hArray, unsigned int Flags), (hSurfRef, hArray, Flags)) \
    X(cuTensorMapEncodeIm2col, cuTensorMapEncodeIm2col, 12000, PLAIN, CODE, (CUtensorMap *tensorMap, CUtensorMapDataType tensorDataType, cuuint32_t tensorRank, void *globalAddress, const cuuint64_t *globalDim, const cuuint64_t *globalStrides, const int *pixelBoxLowerCorner, const int *pixelBoxUpperCorner, cuuint32_t channelsPerPixel, cuuint32_t pixelsPerColumn, const cuuint32_t *elementStrides, CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle, CUtensorMapL2promotion l2Promotion, CUtensorMapFloatOOBfill oobFill), (tensorMap, tensorDataType, tensorRank, globalAddress, globalDim, globalStrides, pixelBoxLowerCorner, pixelBoxUpperCorner, channelsPerPixel, pixelsPerColumn, elementStrides, interleave, swizzle, l2Promotion, oobFill)) \
    X(cuTensorMapEncodeIm2colWide, cuTensorMapEncodeIm2colWide, 12080, PLAIN, CODE, (CUtensorMap *tensorMap, CUtensorMapDataType tensorDataType, cuuint32_t tensorRank, void *globalAddress, const cuuint64_t *globalDim, const cuuint64_t *globalStrides, int pixelBoxLowerCornerWidth, int pixelBoxUpperCornerWidth, cuuint32_t channelsPerPixel, cuuint32_t pixelsPerColumn, const cuuint32_t *elementStrides, CUtensorMapInterleave interleave, CUtensorMapIm2ColWideMode mode, CUtensorMapSwizzle swizzle, CUtensorMapL2promotion l2Promotion, CUtensorMapFloatOOBfill oobFill), (tensorMap, tensorDataType, tensorRank, globalAddress, globalDim, globalStrides, pixelBoxLowerCornerWidth, pixelBoxUpperCornerWidth, channelsPerPixel, pixelsPerColumn, elementStrides, interleave, mode, swizzle, l2Promotion, oobFill)) \
    X(cuTensorMapEncodeTiled, cuTensorMapEncodeTiled, 12000, PLAIN, CODE, (CUtensorMap *tensorMap, CUtensorMapDataType tensorDataType, cuuint32_t tensorRank, void *globalAddress, const cuuint64_t *globalDim, const cuuint64_t *globalStrides, const cuuint32_t *boxDim, const cuuint32_t *elementStrides, CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle, CUtensorMapL2promotion l2Promotion, CUtensorMapFloatOOBfill oobFill), (tensorMap, tensorDataType, tensorRank, globalAddress, globalDim, globalStrides, boxDim, elementStrides, interleave, swizzle, l2Promotion, oobFill)) \
    X(cuTensorMapReplaceAddress, cuTensorMapReplaceAddress, 12000, PLAIN, CODE, (CUtensorMap *tensorMap, void *globalAddress), (tensorMap, globalAddress)) \
    X(cuTexObjectCreate, cuTexObjectCreate, 5000, PLAIN, CODE, (CUtexObject *pTexObject, const CUDA_RESOURCE_DESC *pResDesc, const CUDA_TEXTURE_DESC *pTexDesc, const CUDA_RESOURCE_VIEW_DESC *pResViewDesc), (pTexObject, pResDesc, pTexDesc, pResViewDesc)) \
    X(cuTexObjectDestroy, cuTexObjectDestroy, 5000, PLAIN, CODE, (CUtexObject texObject), (texObject)) \
    X(cuTexObjectGetResourceDesc, cuTexObjectGetResourceDesc, 5000, PLAIN, CODE, (CUDA_RESOURCE_DESC *pResDesc, CUtexObject texObject), (pResDesc, texObject)) \
    X(cuTexObjectGetResourceViewDesc, cuTexObjectGetResourceViewDesc, 5000, PLAIN, CODE, (CUDA_RESOURCE_VIEW_DESC *pResViewDesc, CUtexObject texObject), (pResViewDesc, texObject)) \
    X(cuTexObjectGetTextureDesc, cuTexObjectGetTextureDesc, 5000, PLAIN, CODE, (CUDA_TEXTURE_DESC *pTexDesc, CUtexObject texObject), (pTexDesc, texObject)) \
    X(cuTexRefCreate, cuTexRefCreate, 2000, PLAIN, CODE, (CUtexref *pTexRef), (pTexRef)) \
    X(cuTexRefDestroy, cuTexRefDestroy, 2000, PLAIN, CODE, (CUtexref hTexRef), (hTexRef)) \
    X(cuTexRefGetAddress, cuTexRefGetAddress, 2000, PLAIN, CODE, (CUdeviceptr_v1 *pdptr, CUtexref hTexRef), (pdptr, hTexRef)) \
    X(cuTexRefGetAddress_v2, cuTexRefGetAddress, 3020, PLAIN, CODE, (CUdeviceptr *pdptr, CUtexref hTexRef), (pdptr, hTexRef)) \
    X(cuTexRefGetAddressMode, cuTexRefGetAddressMode, 2000, PLAIN, CODE, (CUaddress_mode *pam, CUtexref hTexRef, int dim), (pam, hTexRef, dim)) \
    X(cuTexRefGetArray, cuTexRefGetArray, 2000, PLAIN, CODE, (CUarray *phArray, CUtexref hTexRef), (phArray, hTexRef)) \
    X(cuTexRefGetBorderColor, cuTexRefGetBorderColor, 8000, PLAIN, CODE, (float *pBorderColor, CUtexref hTexRef), (pBorderColor, hTexRef)) \
    X(cuTexRefGetFilterMode, cuTexRefGetFilterMode, 2000, PLAIN, CODE, (CUfilter_mode *pfm, CUtexref hTexRef), (pfm, hTexRef)) \
    X(cuTexRefGetFlags, cuTexRefGetFlags, 2000, PLAIN, CODE, (unsigned int *pFlags, CUtexref hTexRef), (pFlags, hTexRef)) \
    X(cuTexRefGetFormat, cuTexRefGetFormat, 2000, PLAIN, CODE, (CUarray_format *pFormat, int *pNumChannels, CUtexref hTexRef), (pFormat, pNumChannels, hTexRef)) \
    X(cuTexRefGetMaxAnisotropy, cuTexRefGetMaxAnisotropy, 5000, PLAIN, CODE, (int *pmaxAniso, CUtexref hTexRef), (pmaxAniso, hTexRef)) \
    X(cuTexRefGetMipmapFilterMode, cuTexRefGetMipmapFilterMode, 5000, PLAIN, CODE, (CUfilter_mode *pfm, CUtexref hTexRef), (pfm, hTexRef)) \
    X(cuTexRefGetMipmapLevelBias, cuTexRefGetMipmapLevelBias, 5000, PLAIN, CODE, (float *pbias, CUtexref hTexRef), (pbias, hTexRef)) \
    X(cuTexRefGetMipmapLevelClamp, cuTexRefGetMipmapLevelClamp, 5000, PLAIN, CODE, (float *pminMipmapLevelClamp, float *pmaxMipmapLevelClamp, CUtexref hTexRef), (pminMipmapLevelClamp, pmaxMipmapLevelClamp, hTexRef)) \
    X(cuTexRefGetMipmappedArray, cuTexRefGetMipmappedArray, 5000, PLAIN, CODE, (CUmipmappedArray *phMipmappedArray, CUtexref hTexRef), (phMipmappedArray, hTexRef)) \
    X(cuTexRefSetAddress, cuTexRefSetAddress, 2000, PLAIN, CODE, (unsigned int *ByteOffset, CUtexref hTexRef, CUdeviceptr_v1 dptr, unsigned int bytes), (ByteOffset, hTexRef, dptr, bytes)) \
    X(cuTexRefSetAddress_v2, cuTexRefSetAddress, 3020, PLAIN, CODE, (size_t *ByteOffset, CUtexref hTexRef, CUdeviceptr dptr, size_t bytes), (ByteOffset, hTexRef, dptr, bytes)) \
    X(cuTexRefSetAddress2D, cuTexRefSetAddress2D, 2020, PLAIN, CODE, (CUtexref hTexRef, const CUDA_ARRAY_DESCRIPTOR_v1 *desc, CUdeviceptr_v1 dptr, unsigned int Pitch), (hTexRef, desc, dptr, Pitch)) \
    X(cuTexRefSetAddress2D_v2, cuTexRefSetAddress2D, 3020, PLAIN, CODE, (CUtexref hTexRef, const CUDA_ARRAY_DESCRIPTOR *desc, CUdeviceptr dptr, size_t Pitch), (hTexRef, desc, dptr, Pitch)) \
    X(cuTexRefSetAddress2D_v3, cuTexRefSetAddress2D, 4010, PLAIN, CODE, (CUtexref hTexRef, const CUDA_ARRAY_DESCRIPTOR *desc, CUdeviceptr dptr, size_t Pitch), (hTexRef, desc, dptr, Pitch)) \
    X(cuTexRefSetAddressMode, cuTexRefSetAddressMode, 2000, PLAIN, CODE, (CUtexref hTexRef, int dim, CUaddress_mode am), (hTexRef, dim, am)) \
    X(cuTexRefSetArray, cuTexRefSetArray, 2000, PLAIN, CODE, (CUtexref hTexRef, CUarray hArray, unsigned int Flags), (hTexRef, hArray, Flags)) \
    X(cuTexRefSetBorderColor, cuTexRefSetBorderColor, 8000, PLAIN, CODE, (CUtexref hTexRef, float *pBorderColor), (hTexRef, pBorderColor)) \
    X(cuTexRefSetFilterMode, cuTexRefSetFilterMode, 2000, PLAIN, CODE, (CUtexref hTexRef, CUfilter_mode fm), (hTexRef, fm)) \
    X(cuTexRefSetFlags, cuTexRefSetFlags, 2000, PLAIN, CODE, (CUtexref hTexRef, unsigned int Flags), (hTexRef, Flags)) \
    X(cuTexRefSetFormat, cuTexRefSetFormat, 2000, PLAIN, CODE, (CUtexref hTexRef, CUarray_format fmt, int NumPackedComponents), (hTexRef, fmt, NumPackedComponents)) \
    X(cuTexRefSetMaxAnisotropy, cuTexRefSetMaxAnisotropy, 5000, PLAIN, CODE, (CUtexref hTexRef, unsigned int maxAniso), (hTexRef, maxAniso)) \
    X(cuTexRefSetMipmapFilterMode, cuTexRefSetMipmapFilterMode, 5000, PLAIN, CODE, (CUtexref hTexRef, CUfilter_mode fm), (hTexRef, fm)) \
    X(cuTexRefSetMipmapLevelBias, cuTexRefSetMipmapLevelBias, 5000, PLAIN, CODE, (CUtexref hTexRef, float bias), (hTexRef, bias)) \
    X(cuTexRefSetMipmapLevelClamp, cuTexRefSetMipmapLevelClamp, 5000, PLAIN, CODE, (CUtexref hTexRef, float minMipmapLevelClamp, float maxMipmapLevelClamp), (hTexRef, minMipmapLevelClamp, maxMipmapLevelClamp)) \
    X(cuTexRefSetMipmappedArray, cuTexRefSetMipmappedArray, 5000, PLAIN, CODE, (CUtexref hTexRef, CUmipmappedArray hMipmappedArray, unsigned int Flags), (hTexRef, hMipmappedArray, Flags)) \
    X(cuThreadExchangeStreamCaptureMode, cuThreadExchangeStreamCaptureMode, 10010, PLAIN, CAPTURE, (CUstreamCaptureMode *mode), (mode)) \
    X(cuUserObjectCreate, cuUserObjectCreate, 11030, PLAIN, GRAPH, (CUuserObject *object_out, void *ptr, CUhostFn destroy, unsigned int initialRefcount, unsigned int flags), (object_out, ptr, destroy, initialRefcount, flags)) \
    X(cuUserObjectRelease, cuUserObjectRelease, 11030, PLAIN, GRAPH, (CUuserObject object, unsigned int count), (object, count)) \
    X(cuUserObjectRetain, cuUserObjectRetain, 11030, PLAIN, GRAPH, (CUuserObject object, unsigned int count), (object, count)) \
    X(cuWaitExternalSemaphoresAsync, cuWaitExternalSemaphoresAsync, 10000, PLAIN, IMPORT, (const CUexternalSemaphore *extSemArray, const CUDA_EXTERNAL_SEMAPHORE_WAIT_PARAMS *paramsArray, unsigned int numExtSems, CUstream stream), (extSemArray, paramsArray, numExtSems, stream)) \
    X(cuWaitExternalSemaphoresAsync_ptsz, cuWaitExternalSemaphoresAsync, 10000, PTSZ, IMPORT, (const CUexternalSemaphore *extSemArray, const CUDA_EXTERNAL_SEMAPHORE_WAIT_PARAMS *paramsArray, unsigned int numExtSems, CUstream stream), (extSemArray, paramsArray, numExtSems, stream))
/* clang-format on */

#endif
