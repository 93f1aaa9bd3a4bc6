/*
 * A program under divvy's limiter at a foreign pod file:
 *   foreign_work share WARM-UP SECONDS   kernels of a millisecond, eight at a time; the part of SECONDS that they took
 *   foreign_work graph WARM-UP SECONDS   the same, ten in a graph
 *   foreign_work hold BYTES              "ready", and hold them until killed
 *   foreign_work memory BYTES            what cuMemGetInfo and NVML say, whether BYTES can be had, and whether one more can
 *   foreign_work init                    what cuInit answers
 */
#include "../limiter/cu.h"

#include <time.h>
#include <unistd.h>

#define KERNEL_NS 1000000
#define IN_GRAPH  10
#define AT_ONCE   8 /* so that a busy host leaves no gaps */

static const char ptx[] = ".version 8.0\n"
                          ".target sm_80\n"
                          ".address_size 64\n"
                          ".visible .entry work(.param .u64 duration_ns)\n"
                          "{\n"
                          "    .pragma \"divvy.time_only_param 0\";\n"
                          "    ret;\n"
                          "}\n";

static double now_s(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void ready(void) {
    CHECK(write(1, "ready\n", 6) == 6);
}

static CUgraphExec graph_make(CUfunction work) {
    uint64_t duration_ns = KERNEL_NS;
    void *parameters[] = {&duration_ns};
    CUgraphExec exec;
    CUstream stream;
    CUgraph graph;

    CHECK_CU(cu.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    CHECK_CU(cu.cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
    for (int i = 0; i < IN_GRAPH; i++)
        CHECK_CU(cu.cuLaunchKernel(work, 132, 1, 1, 1024, 1, 1, 0, stream, parameters, NULL));
    CHECK_CU(cu.cuStreamEndCapture(stream, &graph));
    CHECK_CU(cu.cuGraphInstantiateWithFlags(&exec, graph, 0));
    return exec;
}

static int share(const char *warm_up, const char *seconds, int in_graph) {
    uint64_t duration_ns = KERNEL_NS;
    void *parameters[] = {&duration_ns};
    double begin, end, counted = 0;
    CUgraphExec exec = NULL;
    CUfunction work;
    CUmodule module;

    (void)cu_begin(0);
    CHECK_CU(cu.cuModuleLoadData(&module, ptx));
    CHECK_CU(cu.cuModuleGetFunction(&work, module, "work"));
    if (in_graph)
        exec = graph_make(work);
    ready();
    begin = now_s() + strtod(warm_up, NULL);
    end = begin + strtod(seconds, NULL);
    for (double now = now_s(); now < end; now = now_s()) {
        if (in_graph)
            CHECK_CU(cu.cuGraphLaunch(exec, NULL));
        for (int i = 0; !in_graph && i < AT_ONCE; i++)
            CHECK_CU(cu.cuLaunchKernel(work, 132, 1, 1, 1024, 1, 1, 0, NULL, parameters, NULL));
        CHECK_CU(cu.cuCtxSynchronize());
        counted += now >= begin ? (in_graph ? IN_GRAPH : AT_ONCE) * KERNEL_NS * 1e-9 : 0;
    }
    printf("%.4f\n", counted / strtod(seconds, NULL));
    return 0;
}

static int memory(uint64_t bytes) {
    nvmlDevice_t device;
    nvmlMemory_t seen;
    CUdeviceptr pointer;
    CUresult first, second;

    (void)cu_begin(0);
    nv_load();
    CHECK(nv.nvmlInit_v2() == NVML_SUCCESS);
    CHECK(nv.nvmlDeviceGetHandleByIndex_v2(0, &device) == NVML_SUCCESS);
    first = cu.cuMemAlloc_v2(&pointer, bytes);
    second = cu.cuMemAlloc_v2(&pointer, 1);
    CHECK(nv.nvmlDeviceGetMemoryInfo(device, &seen) == NVML_SUCCESS);
    printf("total %llu nvml %llu first %d second %d\n", (unsigned long long)cu_total(), seen.total,
           (int)first, (int)second);
    return 0;
}

static int hold(uint64_t bytes) {
    CUdeviceptr pointer;

    (void)cu_begin(0);
    CHECK_CU(cu.cuMemAlloc_v2(&pointer, bytes));
    ready();
    for (;;)
        (void)sleep(60); /* a signal ends it */
}

int main(int argc, char **argv) {
    CHECK(argc >= 2);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 4 && (strcmp(argv[1], "share") == 0 || strcmp(argv[1], "graph") == 0))
        return share(argv[2], argv[3], argv[1][0] == 'g');
    if (argc == 3 && strcmp(argv[1], "memory") == 0)
        return memory(strtoull(argv[2], NULL, 10));
    if (argc == 3 && strcmp(argv[1], "hold") == 0)
        return hold(strtoull(argv[2], NULL, 10));
    CHECK(strcmp(argv[1], "init") == 0);
    cu_load();
    printf("init %d\n", (int)cu.cuInit(0));
    return 0;
}
