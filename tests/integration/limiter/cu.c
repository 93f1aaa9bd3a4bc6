/*
 * Loading libcuda and NVML the way that programs do.
 */
#include "cu.h"

#ifdef CU_DIRECT
#include "limiter/hook/route.h"

/*
 * The hooks linked into the program, in the place of a preloaded library: so they can be run under
 * sanitizers, which a preload cannot bring into a program.
 */
static void *hook_of(const char *symbol, void *otherwise) {
    size_t count;
    const struct divvy_route_row *rows = divvy_route_rows(&count);

    for (size_t i = 0; i < count; i++)
        if (strcmp(rows[i].symbol, symbol) == 0)
            return rows[i].hook;
    return otherwise;
}
#else
#define hook_of(symbol, otherwise) (otherwise)
#endif

struct cu cu;
struct nv nv;

void cu_load(void) {
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);

    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        exit(77);
    }
#define LOAD(symbol, api, since, form, kind, parameters, arguments)                                \
    cu.symbol = (__typeof__(&symbol))hook_of(#symbol, dlsym(library, #symbol));
    DIVVY_CUDA_DRIVER_TABLE(LOAD)
#undef LOAD
}

void nv_load(void) {
    void *library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);

    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        exit(77);
    }
#define LOAD(symbol, type, parameters, arguments)                                                  \
    nv.symbol = (__typeof__(&symbol))hook_of(#symbol, dlsym(library, #symbol));
    DIVVY_CUDA_NVML_TABLE(LOAD)
#undef LOAD
}

CUcontext cu_begin(int ordinal) {
    CUcontext context;
    CUdevice device;

    cu_load();
    CHECK_CU(cu.cuInit(0));
    CHECK_CU(cu.cuDeviceGet(&device, ordinal));
    CHECK_CU(cu.cuCtxCreate_v2(&context, 0, device));
    return context;
}

uint64_t cu_used(void) {
    size_t free_bytes, total;

    CHECK_CU(cu.cuMemGetInfo_v2(&free_bytes, &total));
    return total - free_bytes;
}

uint64_t cu_total(void) {
    size_t free_bytes, total;

    CHECK_CU(cu.cuMemGetInfo_v2(&free_bytes, &total));
    return total;
}
