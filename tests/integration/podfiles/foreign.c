/*
 * A program under a limiter of another system, played: podfiles_foreign FILE WARM-UP SECONDS. Holds 64 MiB, and launches kernels
 * of a millisecond for as many tokens as they cost, one after the other; where there are none it looks again 10 ms later. Prints
 * "ready" when it holds its memory, and at the end the part of the last SECONDS that its kernels took.
 */
#include "../limiter/cu.h"
#include "page/podfile.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#define KERNEL_NS 1000000
#define BLOCKS    132
#define THREADS   1024

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

static void launch(CUfunction work) {
    uint64_t duration_ns = KERNEL_NS;
    void *parameters[] = {&duration_ns};

    CHECK_CU(cu.cuLaunchKernel(work, BLOCKS, 1, 1, THREADS, 1, 1, 0, NULL, parameters, NULL));
    CHECK_CU(cu.cuCtxSynchronize());
}

int main(int argc, char **argv) {
    double cost = divvy_podfile_cost(BLOCKS, THREADS), begin, end, counted = 0;
    struct timespec pause = {.tv_nsec = 10000000};
    struct divvy_podfile file;
    CUdeviceptr memory;
    CUfunction work;
    CUmodule module;

    CHECK(argc == 4);
    CHECK(divvy_podfile_open(AT_FDCWD, argv[1], &file) == 0);
    (void)cu_begin(0);
    CHECK_CU(cu.cuModuleLoadData(&module, ptx));
    CHECK_CU(cu.cuModuleGetFunction(&work, module, "work"));
    CHECK_CU(cu.cuMemAlloc_v2(&memory, 64 << 20));
    CHECK(write(1, "ready\n", 6) == 6);
    begin = now_s() + strtod(argv[2], NULL);
    end = begin + strtod(argv[3], NULL);
    for (double now = now_s(); now < end; now = now_s()) {
        CHECK(divvy_podfile_is_healthy(&file, (uint64_t)time(NULL)));
        if (divvy_podfile_tokens_take(&file, 0, cost) < 0) {
            nanosleep(&pause, NULL);
            continue;
        }
        launch(work);
        counted += now >= begin ? KERNEL_NS * 1e-9 : 0;
    }
    printf("%.4f\n", counted / strtod(argv[3], NULL));
    return 0;
}
