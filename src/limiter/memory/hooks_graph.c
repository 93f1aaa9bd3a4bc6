/*
 * Trimming the graphs' pool. (Instantiation, upload and launch are hooked in limiter/compute, which
 * calls graph.h.)
 */
#include "limiter/hook/real.h"
#include "limiter/hook/table.h"
#include "limiter/memory/account.h"
#include "limiter/memory/graph_pool.h"

CUresult divvy_hook_cuDeviceGraphMemTrim(CUdevice device) {
    CUresult result = DIVVY_MEMORY_DRIVER(divvy_real.cuDeviceGraphMemTrim(device));

    if (result == CUDA_SUCCESS && !divvy_memory_passes())
        divvy_graph_pool_reconcile_all();
    return result;
}
