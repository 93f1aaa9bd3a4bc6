/*
 * Launches a kernel that does nothing, in batches, and prints the nanoseconds per launch of each batch.
 *
 * usage: subject_launch linked|dlsym|address BATCHES LAUNCHES SYNC EXPECTED_BYTES
 *
 * The first argument is how the program comes by cuLaunchKernel. SYNC 1 waits for the device after each batch, outside
 * the time that is measured, so that a real driver's queue never fills.
 */
#include "subject.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static __typeof__(&cuLaunchKernel) launch_find(const char *route) {
    void *found = NULL;

    if (strcmp(route, "linked") == 0)
        return cuLaunchKernel;
    if (strcmp(route, "dlsym") == 0)
        found = dlsym(dlopen("libcuda.so.1", RTLD_NOW), "cuLaunchKernel");
    else
        CHECK(cuGetProcAddress_v2("cuLaunchKernel", &found, 12000, 0, NULL));
    if (found == NULL)
        subject_check(CUDA_ERROR_NOT_FOUND, "cuLaunchKernel");
    return (__typeof__(&cuLaunchKernel))found;
}

int main(int argc, char **argv) {
    __typeof__(&cuLaunchKernel) launch;
    uint64_t batches, launches, start_ns;
    int syncs;
    CUfunction kernel;
    CUresult result = CUDA_SUCCESS;

    if (argc != 6)
        return 2;
    batches = subject_number(argv[2]);
    launches = subject_number(argv[3]);
    syncs = argv[4][0] == '1';
    subject_open(subject_number(argv[5]));
    kernel = subject_kernel();
    launch = launch_find(argv[1]);
    for (uint64_t batch = 0; batch < batches + batches / 10 + 2; batch++) {
        start_ns = subject_now_ns();
        for (uint64_t i = 0; i < launches; i++)
            result |= launch(kernel, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL);
        if (batch >= batches / 10 + 2) /* the first ones warm up */
            (void)printf("%.4f\n", (double)(subject_now_ns() - start_ns) / (double)launches);
        if (syncs)
            CHECK(cuCtxSynchronize());
    }
    CHECK(result);
    return 0;
}
