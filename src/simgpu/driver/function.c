/* Functions: their attributes and parameters, and how many of their blocks fit an SM. */
#include "simgpu/driver/module.h"

static uint64_t up(uint64_t value, uint64_t to) {
    return (value + to - 1) / to * to;
}

/* ---- attributes ------------------------------------------------------------------------------ */

/* Threads that a block may have by the registers that it takes. */
static int threads_max(const divvy_drv_function_t *function) {
    const divvy_simgpu_device_t *facts = function->module->context->facts;
    uint64_t warp = up((uint64_t)function->entry->registers * 32, 256);
    uint64_t by_registers = (uint64_t)facts->registers_per_block / warp * 32;
    uint64_t most = function->entry->max_threads;
    return (int)(by_registers < most ? by_registers : most);
}

static int target(const divvy_drv_function_t *function) {
    return (int)function->module->image->info.target_sm;
}

CUresult DRV(cuFuncGetAttribute)(int *pi, CUfunction_attribute attrib, CUfunction hfunc) {
    divvy_drv_function_t *function;
    if (!pi)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_function_find(hfunc, NULL, &function));
    const divvy_simgpu_device_t *facts = function->module->context->facts;
    switch (attrib) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
        *pi = threads_max(function);
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES:
        *pi = (int)function->entry->shared_static_bytes;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES:
        *pi = (int)function->entry->local_bytes;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_NUM_REGS:
        *pi = (int)function->entry->registers;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_PTX_VERSION:
        *pi = target(function);
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_BINARY_VERSION:
        *pi = facts->cc_major * 10 + facts->cc_minor;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
        *pi = function->max_dynamic_shared_bytes;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
        *pi = function->carveout;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH:
        *pi = function->cluster[attrib - CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH];
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED:
        *pi = function->non_portable_cluster;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
        *pi = function->cluster_policy;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES: /* constants are variables of the module */
    case CU_FUNC_ATTRIBUTE_CACHE_MODE_CA:
    case CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET:
        *pi = 0;
        return CUDA_SUCCESS;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

CUresult DRV(cuFuncSetAttribute)(CUfunction hfunc, CUfunction_attribute attrib, int value) {
    divvy_drv_function_t *function;
    DRV_TRY(divvy_drv_function_find(hfunc, NULL, &function));
    const divvy_simgpu_device_t *facts = function->module->context->facts;
    switch (attrib) {
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
        if (value < 0 || (uint64_t)value + function->entry->shared_static_bytes >
                             facts->shared_per_block_optin_bytes)
            return CUDA_ERROR_INVALID_VALUE;
        function->max_dynamic_shared_bytes = value;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
        if (value < -1 || value > 100)
            return CUDA_ERROR_INVALID_VALUE;
        function->carveout = value;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH:
        if (value < 0)
            return CUDA_ERROR_INVALID_VALUE;
        function->cluster[attrib - CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH] = value;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED:
        function->non_portable_cluster = value != 0;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
        function->cluster_policy = value;
        return CUDA_SUCCESS;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

CUresult DRV(cuFuncSetCacheConfig)(CUfunction hfunc, CUfunc_cache config) {
    divvy_drv_function_t *function;
    DRV_TRY(divvy_drv_function_find(hfunc, NULL, &function));
    if (config > CU_FUNC_CACHE_PREFER_EQUAL)
        return CUDA_ERROR_INVALID_VALUE;
    function->cache_config = config;
    return CUDA_SUCCESS;
}

CUresult DRV(cuFuncSetSharedMemConfig)(CUfunction hfunc, CUsharedconfig config) {
    divvy_drv_function_t *function;
    DRV_TRY(divvy_drv_function_find(hfunc, NULL, &function));
    return config > CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE ? CUDA_ERROR_INVALID_VALUE
                                                              : CUDA_SUCCESS;
}

CUresult DRV(cuFuncGetModule)(CUmodule *hmod, CUfunction hfunc) {
    divvy_drv_function_t *function;
    if (!hmod)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_function_find(hfunc, NULL, &function));
    *hmod = function->module->handle;
    return CUDA_SUCCESS;
}

CUresult DRV(cuFuncGetName)(const char **name, CUfunction hfunc) {
    divvy_drv_function_t *function;
    if (!name)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_function_find(hfunc, NULL, &function));
    *name = function->entry->name;
    return CUDA_SUCCESS;
}

CUresult DRV(cuFuncGetParamInfo)(CUfunction func, size_t paramIndex, size_t *paramOffset,
                                 size_t *paramSize) {
    divvy_drv_function_t *function;
    if (!paramOffset)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_function_find(func, NULL, &function));
    if (paramIndex >= function->entry->params)
        return CUDA_ERROR_INVALID_VALUE;
    *paramOffset = function->params[paramIndex].offset_bytes;
    if (paramSize)
        *paramSize = function->params[paramIndex].size_bytes;
    return CUDA_SUCCESS;
}

CUresult DRV(cuFuncIsLoaded)(CUfunctionLoadingState *state, CUfunction function) {
    divvy_drv_function_t *found;
    if (!state)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_function_find(function, NULL, &found));
    *state = CU_FUNCTION_LOADING_STATE_LOADED;
    return CUDA_SUCCESS;
}

CUresult DRV(cuFuncLoad)(CUfunction function) {
    divvy_drv_function_t *found;
    return divvy_drv_function_find(function, NULL, &found);
}

/* ---- occupancy ------------------------------------------------------------------------------- */

/* Registers are handed out per warp in steps of 256, shared memory per block in steps of 128
 * plus 1 KiB that the system keeps of each block. */
unsigned divvy_drv_occupancy(const divvy_drv_function_t *function, unsigned threads,
                             uint64_t shared_bytes) {
    const divvy_simgpu_device_t *facts = function->module->context->facts;
    if (!threads || threads > (unsigned)threads_max(function))
        return 0;
    uint64_t warps = (threads + 31) / 32;
    uint64_t blocks = (uint64_t)facts->threads_per_sm_max / 32 / warps;
    if (blocks > (uint64_t)facts->blocks_per_sm_max)
        blocks = (uint64_t)facts->blocks_per_sm_max;
    uint64_t registers = up((uint64_t)function->entry->registers * 32, 256) * warps;
    if (registers && blocks > (uint64_t)facts->registers_per_sm / registers)
        blocks = (uint64_t)facts->registers_per_sm / registers;
    uint64_t shared = up(function->entry->shared_static_bytes + shared_bytes + 1024, 128);
    if (blocks > facts->shared_per_sm_bytes / shared)
        blocks = facts->shared_per_sm_bytes / shared;
    return (unsigned)blocks;
}

CUresult DRV(cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags)(int *numBlocks, CUfunction func,
                                                                   int blockSize,
                                                                   size_t dynamicSMemSize,
                                                                   unsigned int flags) {
    divvy_drv_function_t *function;
    if (!numBlocks || blockSize <= 0 || (flags & ~(unsigned)CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE))
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_function_find(func, NULL, &function));
    *numBlocks = (int)divvy_drv_occupancy(function, (unsigned)blockSize, dynamicSMemSize);
    return CUDA_SUCCESS;
}

CUresult DRV(cuOccupancyMaxActiveBlocksPerMultiprocessor)(int *numBlocks, CUfunction func,
                                                          int blockSize, size_t dynamicSMemSize) {
    return DRV(cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags)(numBlocks, func, blockSize,
                                                                     dynamicSMemSize, 0);
}

/* The block size with the most resident threads, the larger one where two are equal. */
CUresult DRV(cuOccupancyMaxPotentialBlockSizeWithFlags)(
    int *minGridSize, int *blockSize, CUfunction func,
    CUoccupancyB2DSize blockSizeToDynamicSMemSize, size_t dynamicSMemSize, int blockSizeLimit,
    unsigned int flags) {
    divvy_drv_function_t *function;
    if (!minGridSize || !blockSize || blockSizeLimit < 0 ||
        (flags & ~(unsigned)CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE))
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_function_find(func, NULL, &function));
    int most = threads_max(function), best = 0;
    unsigned best_blocks = 0;
    if (blockSizeLimit && blockSizeLimit < most)
        most = blockSizeLimit;
    for (int threads = (most + 31) / 32 * 32; threads >= 32; threads -= 32) {
        int size = threads < most ? threads : most;
        size_t shared =
            blockSizeToDynamicSMemSize ? blockSizeToDynamicSMemSize(size) : dynamicSMemSize;
        unsigned blocks = divvy_drv_occupancy(function, (unsigned)size, shared);
        if (blocks * (unsigned)size > best_blocks * (unsigned)best) {
            best = size;
            best_blocks = blocks;
        }
    }
    *blockSize = best;
    *minGridSize = (int)best_blocks * function->module->context->facts->sm_count;
    return CUDA_SUCCESS;
}

CUresult DRV(cuOccupancyMaxPotentialBlockSize)(int *minGridSize, int *blockSize, CUfunction func,
                                               CUoccupancyB2DSize blockSizeToDynamicSMemSize,
                                               size_t dynamicSMemSize, int blockSizeLimit) {
    return DRV(cuOccupancyMaxPotentialBlockSizeWithFlags)(minGridSize, blockSize, func,
                                                          blockSizeToDynamicSMemSize,
                                                          dynamicSMemSize, blockSizeLimit, 0);
}

CUresult DRV(cuOccupancyAvailableDynamicSMemPerBlock)(size_t *dynamicSmemSize, CUfunction func,
                                                      int numBlocks, int blockSize) {
    divvy_drv_function_t *function;
    if (!dynamicSmemSize || numBlocks <= 0 || blockSize <= 0)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_function_find(func, NULL, &function));
    const divvy_simgpu_device_t *facts = function->module->context->facts;
    if ((unsigned)numBlocks > divvy_drv_occupancy(function, (unsigned)blockSize, 0))
        return CUDA_ERROR_INVALID_VALUE;
    uint64_t each = facts->shared_per_sm_bytes / (unsigned)numBlocks / 128 * 128;
    uint64_t taken = 1024 + function->entry->shared_static_bytes;
    uint64_t room = each > taken ? each - taken : 0;
    uint64_t most = facts->shared_per_block_optin_bytes - function->entry->shared_static_bytes;
    *dynamicSmemSize = room < most ? room : most;
    return CUDA_SUCCESS;
}

/* Blocks of a cluster run on SMs of one group; the simulated device has no groups but the
 * portable size of 8. */
CUresult DRV(cuOccupancyMaxPotentialClusterSize)(int *clusterSize, CUfunction func,
                                                 const CUlaunchConfig *config) {
    divvy_drv_function_t *function;
    if (!clusterSize || !config)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_function_find(func, NULL, &function));
    *clusterSize = function->non_portable_cluster ? 16 : 8;
    return CUDA_SUCCESS;
}

CUresult DRV(cuOccupancyMaxActiveClusters)(int *numClusters, CUfunction func,
                                           const CUlaunchConfig *config) {
    divvy_drv_function_t *function;
    unsigned size = 1;
    if (!numClusters || !config || (config->numAttrs && !config->attrs))
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_function_find(func, NULL, &function));
    for (unsigned i = 0; i < config->numAttrs; i++)
        if (config->attrs[i].id == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION)
            size = config->attrs[i].value.clusterDim.x * config->attrs[i].value.clusterDim.y *
                   config->attrs[i].value.clusterDim.z;
    if (!size || size > 16)
        return CUDA_ERROR_INVALID_CLUSTER_SIZE;
    unsigned threads = config->blockDimX * config->blockDimY * config->blockDimZ;
    unsigned blocks = divvy_drv_occupancy(function, threads, config->sharedMemBytes) *
                      (unsigned)function->module->context->facts->sm_count;
    *numClusters = (int)(blocks / size);
    return CUDA_SUCCESS;
}
