/*
 * cuGetProcAddress in both its forms. The driver decides which version and stream form a request
 * means; its pointer is then exchanged for the hook of that form.
 */
#include "core/log.h"
#include "limiter/hook/real.h"
#include "limiter/hook/route.h"
#include "limiter/hook/table.h"

#include <stdint.h>

/*
 * Ask the driver for every hooked function in the way that programs do, and enter addresses that
 * its exports did not tell. Once; harmless if two threads do.
 */
static void learn_from_driver(void) {
    static uint32_t done;
    unsigned different = 0;

    if (__atomic_load_n(&done, __ATOMIC_ACQUIRE) != 0)
        return;
    if (!divvy_real_has(cuGetProcAddress))
        return;
#define ASK(symbol, api, since, form, kind, parameters, arguments)                                 \
    {                                                                                              \
        void *function = NULL;                                                                     \
                                                                                                   \
        if (divvy_real.cuGetProcAddress(#api, &function, since, DIVVY_ASK_##form) ==               \
                CUDA_SUCCESS &&                                                                    \
            function && function != (void *)divvy_real.symbol &&                                   \
            (void *)divvy_real.symbol != (void *)divvy_real_missing) {                             \
            different++;                                                                           \
            divvy_route_learn_address(function, #symbol);                                          \
        }                                                                                          \
    }
#define DIVVY_ASK_PLAIN CU_GET_PROC_ADDRESS_LEGACY_STREAM
#define DIVVY_ASK_PTSZ  CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM
#define DIVVY_ASK_PTDS  CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM
    DIVVY_CUDA_DRIVER_TABLE(ASK)
#undef ASK
    __atomic_store_n(&done, 1, __ATOMIC_RELEASE);
    divvy_core_log_debug("cuGetProcAddress: %u addresses differ from the exported ones", different);
}

CUresult divvy_hook_cuGetProcAddress(const char *symbol, void **pfn, int cudaVersion,
                                     cuuint64_t flags) {
    CUresult result = divvy_real.cuGetProcAddress(symbol, pfn, cudaVersion, flags);

    if (result == CUDA_SUCCESS && pfn && *pfn && divvy_route_cuda_enabled()) {
        learn_from_driver();
        *pfn = divvy_route_pointer(*pfn);
    }
    return result;
}

CUresult divvy_hook_cuGetProcAddress_v2(const char *symbol, void **pfn, int cudaVersion,
                                        cuuint64_t flags,
                                        CUdriverProcAddressQueryResult *symbolStatus) {
    CUresult result = divvy_real.cuGetProcAddress_v2(symbol, pfn, cudaVersion, flags, symbolStatus);

    if (result == CUDA_SUCCESS && pfn && *pfn && divvy_route_cuda_enabled()) {
        learn_from_driver();
        *pfn = divvy_route_pointer(*pfn);
    }
    return result;
}
