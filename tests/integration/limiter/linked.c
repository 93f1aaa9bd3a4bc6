/*
 * A program, or a plugin of one, that is linked to libcuda and calls it by name. `linked LIMIT
 * [PLUGIN FLAGS]`: without a plugin the calls are the program's own; FLAGS are words: now lazy
 * local global deep.
 */
#include "cuda/driver.h"

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef LINKED_LOADER
int linked_check(uint64_t limit);

/* 0, or the number of the check that failed. */
int linked_check(uint64_t limit) {
    CUresult (*by_pointer)(CUdeviceptr *, size_t) = cuMemAlloc_v2;
    CUdeviceptr pointer;
    CUcontext context;
    size_t total = 0;

    if (cuInit(0) != CUDA_SUCCESS || cuCtxCreate_v2(&context, 0, 0) != CUDA_SUCCESS)
        return 1;
    if (cuDeviceTotalMem_v2(&total, 0) != CUDA_SUCCESS || total != limit)
        return 2;
    if (cuMemAlloc_v2(&pointer, limit + 1) != CUDA_ERROR_OUT_OF_MEMORY)
        return 3;
    if (by_pointer(&pointer, limit + 1) != CUDA_ERROR_OUT_OF_MEMORY)
        return 4;
    if (cuMemAlloc_v2(&pointer, limit) != CUDA_SUCCESS || cuMemFree_v2(pointer) != CUDA_SUCCESS)
        return 5;
    return cuCtxDestroy_v2(context) == CUDA_SUCCESS ? 0 : 6;
}
#endif

#ifndef LINKED_PLUGIN
int main(int argc, char **argv) {
    uint64_t limit = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    int failed;

#ifdef LINKED_LOADER
    const char *words = argc > 3 ? argv[3] : "";
    int flags = (strstr(words, "now") ? RTLD_NOW : RTLD_LAZY) |
                (strstr(words, "global") ? RTLD_GLOBAL : RTLD_LOCAL) |
                (strstr(words, "deep") ? RTLD_DEEPBIND : 0);
    void *plugin = dlopen(argc > 2 ? argv[2] : "", flags);
    int (*check)(uint64_t) = plugin ? (int (*)(uint64_t))dlsym(plugin, "linked_check") : NULL;

    if (!check) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    failed = check(limit);
#else
    failed = linked_check(limit);
#endif
    if (failed)
        fprintf(stderr, "linked: check %d failed\n", failed);
    return failed;
}
#endif
