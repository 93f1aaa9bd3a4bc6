/* Modules, libraries, functions, the JIT's answers, and every way to launch. */
#include "check.h"

#include <unistd.h>

static CUresult load(const char *text, char *log, size_t bytes) {
    CUmodule module;
    CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    void *values[] = {log, (void *)bytes};
    CUresult result = cuModuleLoadDataEx(&module, text, 2, options, values);
    EQUAL((size_t)values[1], strlen(log));
    return result;
}

static void refused(void) {
    static const unsigned char elf[] = {0x7f, 'E', 'L', 'F', 2, 1, 1, 0},
                               fat[] = {0x50, 0xed, 0x55, 0xba, 1, 0, 0x10},
                               junk[] = {0xff, 0xfe, 1, 2, 3, 0};
    CUmodule module;
    char log[256];
    IS(CUDA_ERROR_INVALID_PTX,
       load(".version 7.0\n.target sm_70\n.address_size 64\n.visible .entry k() {\n"
            "    frobnicate.u32 %r1;\n    ret;\n}\n",
            log, sizeof(log)));
    TRUE(strstr(log, "line 5") && strstr(log, "frobnicate"));
    IS(CUDA_ERROR_INVALID_PTX,
       load(".version 7.0\n.target sm_70\n.address_size 64\nnonsense", log, 12));
    EQUAL(strlen(log), 11);
    IS(CUDA_ERROR_INVALID_PTX, load("this is no PTX at all", log, sizeof(log)));
    IS(CUDA_ERROR_UNSUPPORTED_PTX_VERSION,
       load(".version 99.0\n.target sm_70\n", log, sizeof(log)));
    IS(CUDA_ERROR_NO_BINARY_FOR_GPU, cuModuleLoadData(&module, elf));
    IS(CUDA_ERROR_NO_BINARY_FOR_GPU, cuModuleLoadData(&module, fat));
    IS(CUDA_ERROR_INVALID_IMAGE, cuModuleLoadData(&module, junk));
    IS(CUDA_ERROR_INVALID_IMAGE, cuModuleLoadData(&module, ""));
    IS(CUDA_ERROR_INVALID_VALUE, cuModuleLoadData(&module, NULL));
    IS(CUDA_ERROR_FILE_NOT_FOUND, cuModuleLoad(&module, "/nonexistent/file.ptx"));
    IS(CUDA_ERROR_INVALID_HANDLE, cuModuleUnload((CUmodule)0x77));
}

static void functions(const fixture_t *f) {
    CUfunction function, list[8];
    unsigned count;
    size_t offset, bytes;
    const char *name;
    CUdeviceptr p;
    int value;
    IS(CUDA_ERROR_NOT_FOUND, cuModuleGetFunction(&function, f->module, "absent"));
    OK(cuModuleGetFunctionCount(&count, f->module));
    EQUAL(count, 5);
    OK(cuModuleEnumerateFunctions(list, 8, f->module));
    TRUE(list[0] == f->add1);
    OK(cuFuncGetName(&name, f->scale));
    TRUE(!strcmp(name, "scale"));
    OK(cuFuncGetParamInfo(f->scale, 2, &offset, &bytes));
    EQUAL(offset, 12);
    EQUAL(bytes, 4);
    IS(CUDA_ERROR_INVALID_VALUE, cuFuncGetParamInfo(f->scale, 3, &offset, &bytes));
    IS(CUDA_ERROR_INVALID_HANDLE, cuFuncGetName(&name, (CUfunction) "no function"));
    OK(cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, f->add1));
    EQUAL(value, 1024);
    OK(cuModuleGetGlobal_v2(&p, &bytes, f->module, "counter"));
    EQUAL(bytes, 4);
    EQUAL(word_at(p, 0), 7);
    OK(cuModuleGetGlobal_v2(&p, &bytes, f->module, "table"));
    EQUAL(word_at(p, 1), 0x08070605);
    IS(CUDA_ERROR_NOT_FOUND, cuModuleGetGlobal_v2(&p, &bytes, f->module, "absent"));
}

static void occupancy(const fixture_t *f) {
    int blocks, grid, block;
    size_t shared;
    OK(cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, f->tick, 1024, 0));
    EQUAL(blocks, 2);
    OK(cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, f->tick, 32, 0));
    EQUAL(blocks, 32);
    OK(cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, f->tick, 32, 100 * 1024));
    EQUAL(blocks, 2);
    OK(cuOccupancyMaxPotentialBlockSize(&grid, &block, f->tick, NULL, 0, 0));
    EQUAL(block, 1024);
    EQUAL(grid, 264);
    OK(cuOccupancyAvailableDynamicSMemPerBlock(&shared, f->tick, 2, 1024));
    TRUE(shared > 100 * 1024 && shared < 128 * 1024);
}

static void launches(const fixture_t *f) {
    CUdeviceptr p = words(256, 0);
    unsigned n = 256;
    void *args[] = {&p, &n};
    struct {
        CUdeviceptr p;
        unsigned n;
    } packed = {p, 256};
    size_t packed_bytes = sizeof(packed);
    void *extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, &packed, CU_LAUNCH_PARAM_BUFFER_SIZE,
                     &packed_bytes, CU_LAUNCH_PARAM_END};
    CUlaunchAttribute attributes[2] = {
        {.id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE, .value.cooperative = 1},
        {.id = CU_LAUNCH_ATTRIBUTE_PRIORITY, .value.priority = -1}};
    CUlaunchConfig config = {4, 1, 1, 64, 1, 1, 0, NULL, attributes, 2};
    CUevent after;
    OK(cuLaunchKernel(f->add1, 4, 1, 1, 64, 1, 1, 0, NULL, args, NULL));
    OK(cuLaunchKernel(f->add1, 4, 1, 1, 64, 1, 1, 0, NULL, NULL, extra));
    OK(cuLaunchKernel_ptsz(f->add1, 4, 1, 1, 64, 1, 1, 0, NULL, args, NULL));
    OK(cuLaunchKernelEx(&config, f->add1, args, NULL));
    OK(cuLaunchCooperativeKernel(f->add1, 4, 1, 1, 64, 1, 1, 0, NULL, args));
    OK(cuFuncSetBlockShape(f->add1, 64, 1, 1));
    OK(cuParamSetSize(f->add1, 12));
    OK(cuParamSetv(f->add1, 0, &p, 8));
    OK(cuParamSeti(f->add1, 8, 256));
    OK(cuLaunchGrid(f->add1, 4, 1));
    OK(cuLaunchGridAsync(f->add1, 4, 1, NULL));
    OK(cuLaunch(f->add1)); /* one block: the first 64 words */
    EQUAL(word_at(p, 255), 7);
    EQUAL(word_at(p, 63), 8);
    OK(cuEventCreate(&after, CU_EVENT_DISABLE_TIMING));
    attributes[1] = (CUlaunchAttribute){.id = CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT,
                                        .value.launchCompletionEvent.event = after};
    OK(cuLaunchKernelEx(&config, f->add1, args, NULL));
    OK(cuEventSynchronize(after));
    EQUAL(word_at(p, 255), 8);
    attributes[0] = (CUlaunchAttribute){.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION,
                                        .value.clusterDim = {3, 1, 1}};
    IS(CUDA_ERROR_INVALID_CLUSTER_SIZE, cuLaunchKernelEx(&config, f->add1, args, NULL));
    attributes[0].id = (CUlaunchAttributeID)77;
    IS(CUDA_ERROR_INVALID_VALUE, cuLaunchKernelEx(&config, f->add1, args, NULL));
    /* As an H200 answers. */
    config.numAttrs = 1;
    attributes[0] = (CUlaunchAttribute){.id = CU_LAUNCH_ATTRIBUTE_PREFERRED_CLUSTER_DIMENSION,
                                        .value.clusterDim = {2, 1, 1}};
    IS(CUDA_ERROR_INVALID_CLUSTER_SIZE, cuLaunchKernelEx(&config, f->add1, args, NULL));
    attributes[0] = (CUlaunchAttribute){.id = CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY,
                                        .value.syncPolicy = CU_SYNC_POLICY_AUTO};
    IS(CUDA_ERROR_INVALID_VALUE, cuLaunchKernelEx(&config, f->add1, args, NULL));
    OK(cuEventDestroy_v2(after));
    OK(cuEventCreate(&after, CU_EVENT_DEFAULT));
    attributes[0] = (CUlaunchAttribute){.id = CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT,
                                        .value.launchCompletionEvent.event = after};
    IS(CUDA_ERROR_NOT_SUPPORTED, cuLaunchKernelEx(&config, f->add1, args, NULL));
    OK(cuEventDestroy_v2(after));
    OK(cuMemFree_v2(p));
}

static void refused_launches(const fixture_t *f) {
    CUdeviceptr p = words(4, 0);
    unsigned n = 4;
    void *args[] = {&p, &n};
    size_t short_bytes = 8;
    void *extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, &p, CU_LAUNCH_PARAM_BUFFER_SIZE, &short_bytes,
                     CU_LAUNCH_PARAM_END};
#define LAUNCH(gx, gy, gz, bx, by, bz, shared)                                                     \
    cuLaunchKernel(f->add1, gx, gy, gz, bx, by, bz, shared, NULL, args, NULL)
    IS(CUDA_ERROR_INVALID_VALUE, LAUNCH(0, 1, 1, 1, 1, 1, 0));
    IS(CUDA_ERROR_INVALID_VALUE, LAUNCH(1, 65536, 1, 1, 1, 1, 0));
    IS(CUDA_ERROR_INVALID_VALUE, LAUNCH(0x80000000u, 1, 1, 1, 1, 1, 0));
    IS(CUDA_ERROR_INVALID_VALUE, LAUNCH(1, 1, 1, 1025, 1, 1, 0));
    IS(CUDA_ERROR_INVALID_VALUE, LAUNCH(1, 1, 1, 1, 1, 65, 0));
    IS(CUDA_ERROR_INVALID_VALUE, LAUNCH(1, 1, 1, 64, 64, 1, 0));
    IS(CUDA_ERROR_INVALID_VALUE, LAUNCH(1, 1, 1, 1, 1, 1, 49153));
    OK(LAUNCH(1, 1, 1, 1, 1, 1, 49152));
    OK(cuFuncSetAttribute(f->add1, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 100000));
    OK(LAUNCH(1, 1, 1, 1, 1, 1, 100000));
    IS(CUDA_ERROR_INVALID_VALUE,
       cuFuncSetAttribute(f->add1, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 1 << 20));
    IS(CUDA_ERROR_INVALID_VALUE, cuLaunchKernel(f->add1, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL));
    IS(CUDA_ERROR_INVALID_VALUE, cuLaunchKernel(f->add1, 1, 1, 1, 1, 1, 1, 0, NULL, args, extra));
    IS(CUDA_ERROR_INVALID_VALUE, cuLaunchKernel(f->add1, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, extra));
    IS(CUDA_ERROR_INVALID_HANDLE, cuLaunchKernel(NULL, 1, 1, 1, 1, 1, 1, 0, NULL, args, NULL));
    IS(CUDA_ERROR_INVALID_HANDLE,
       cuLaunchKernel((CUfunction)f->module, 1, 1, 1, 1, 1, 1, 0, NULL, args, NULL));
    IS(CUDA_ERROR_INVALID_HANDLE,
       cuLaunchKernel(f->add1, 1, 1, 1, 1, 1, 1, 0, (CUstream)0x99, args, NULL));
    IS(CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE,
       cuLaunchCooperativeKernel(f->tick, 265, 1, 1, 1024, 1, 1, 0, NULL, NULL));
    OK(cuLaunchCooperativeKernel(f->tick, 264, 1, 1, 1024, 1, 1, 0, NULL, NULL));
    OK(cuCtxSynchronize());
    OK(cuMemFree_v2(p));
}

static void multi_device(void) {
    CUcontext contexts[2];
    CUfunction tick[2];
    CUmodule module;
    CUDA_LAUNCH_PARAMS list[2];
    for (int i = 0; i < 2; i++) {
        CUstream stream;
        OK(cuDevicePrimaryCtxRetain(&contexts[i], i));
        OK(cuCtxPushCurrent_v2(contexts[i]));
        OK(cuModuleLoadData(&module, kernels));
        OK(cuModuleGetFunction(&tick[i], module, "tick"));
        OK(cuStreamCreate(&stream, 0));
        list[i] = (CUDA_LAUNCH_PARAMS){tick[i], 8, 1, 1, 32, 1, 1, 0, stream, NULL};
        OK(cuCtxPopCurrent_v2(NULL));
    }
    OK(cuLaunchCooperativeKernelMultiDevice(list, 2, 0));
    OK(cuStreamSynchronize(list[1].hStream));
    list[1] = list[0];
    IS(CUDA_ERROR_INVALID_DEVICE, cuLaunchCooperativeKernelMultiDevice(list, 2, 0));
    OK(cuDevicePrimaryCtxRelease_v2(1));
    OK(cuDevicePrimaryCtxRelease_v2(0));
}

static void libraries(void) {
    CUlibrary library;
    CUkernel kernel;
    CUfunction function, again;
    CUmodule module;
    CUcontext other;
    CUdeviceptr p = words(64, 1), global, far;
    unsigned n = 64, count;
    void *args[] = {&p, &n};
    size_t bytes;
    OK(cuLibraryLoadData(&library, kernels, NULL, NULL, 0, NULL, NULL, 0));
    OK(cuLibraryGetKernelCount(&count, library));
    EQUAL(count, 5);
    OK(cuLibraryGetKernel(&kernel, library, "add1"));
    IS(CUDA_ERROR_NOT_FOUND, cuLibraryGetKernel(&kernel, library, "absent"));
    OK(cuKernelGetFunction(&function, kernel));
    OK(cuLaunchKernel(function, 1, 1, 1, 64, 1, 1, 0, NULL, args, NULL));
    OK(cuLaunchKernel((CUfunction)kernel, 1, 1, 1, 64, 1, 1, 0, NULL, args,
                      NULL)); /* a kernel will do, too */
    EQUAL(word_at(p, 0), 3);
    OK(cuLibraryGetModule(&module, library));
    OK(cuModuleGetFunction(&again, module, "add1"));
    TRUE(again == function);
    OK(cuLibraryGetGlobal(&global, &bytes, library, "counter"));
    EQUAL(word_at(global, 0), 7);
    OK(cuCtxCreate_v2(&other, 0, 1)); /* in another context it is another function */
    OK(cuMemAlloc_v2(&far, 256));
    args[0] = &far;
    OK(cuKernelGetFunction(&again, kernel));
    TRUE(again != function);
    OK(cuLaunchKernel((CUfunction)kernel, 1, 1, 1, 64, 1, 1, 0, NULL, args, NULL));
    IS(CUDA_ERROR_INVALID_HANDLE, cuLaunchKernel(function, 1, 1, 1, 64, 1, 1, 0, NULL, args, NULL));
    OK(cuCtxSynchronize());
    OK(cuCtxDestroy_v2(other));
    OK(cuLibraryUnload(library));
    IS(CUDA_ERROR_INVALID_HANDLE, cuLibraryUnload(library));
    IS(CUDA_ERROR_INVALID_HANDLE, cuLaunchKernel(function, 1, 1, 1, 64, 1, 1, 0, NULL, args, NULL));
    OK(cuMemFree_v2(p));
}

static void linker(void) {
    CUlinkState state;
    CUmodule module;
    CUfunction function;
    void *image;
    size_t bytes;
    OK(cuLinkCreate_v2(0, NULL, NULL, &state));
    IS(CUDA_ERROR_INVALID_VALUE, cuLinkComplete(state, &image, &bytes));
    IS(CUDA_ERROR_NO_BINARY_FOR_GPU,
       cuLinkAddData_v2(state, CU_JIT_INPUT_CUBIN, "x", 1, "x", 0, NULL, NULL));
    OK(cuLinkAddData_v2(state, CU_JIT_INPUT_PTX, (void *)(size_t)kernels, sizeof(kernels),
                        "kernels", 0, NULL, NULL));
    OK(cuLinkComplete(state, &image, &bytes));
    OK(cuModuleLoadData(&module, image));
    OK(cuLinkDestroy(state));
    OK(cuModuleGetFunction(&function, module, "tick"));
    OK(cuModuleUnload(module));
    IS(CUDA_ERROR_INVALID_HANDLE, cuLinkDestroy(state));
}

static void unloading(void) {
    CUmodule module;
    CUfunction function;
    size_t before = free_bytes();
    OK(cuModuleLoadData(&module, kernels));
    TRUE(free_bytes() < before); /* code and variables take memory */
    OK(cuModuleGetFunction(&function, module, "tick"));
    OK(cuModuleUnload(module));
    EQUAL(free_bytes(), before);
    IS(CUDA_ERROR_INVALID_HANDLE, cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL));
    IS(CUDA_ERROR_INVALID_HANDLE, cuModuleUnload(module));
}

int main(void) {
    fixture_t f = begin();
    refused();
    functions(&f);
    occupancy(&f);
    launches(&f);
    refused_launches(&f);
    multi_device();
    libraries();
    linker();
    unloading();
    return 0;
}
