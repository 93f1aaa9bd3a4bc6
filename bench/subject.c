/* What subjects share: see subject.h. */
#include "subject.h"

#include "core/clock.h"
#include "core/parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void subject_check(CUresult result, const char *what) {
    const char *name = NULL;

    if (result == CUDA_SUCCESS)
        return;
    (void)cuGetErrorName(result, &name);
    (void)fprintf(stderr, "%s: %s (%d)\n", what, name != NULL ? name : "?", (int)result);
    exit(1);
}

void subject_open(uint64_t expected_bytes) {
    CUdevice device;
    CUcontext context;
    size_t total_bytes;

    CHECK(cuInit(0));
    CHECK(cuDeviceGet(&device, 0));
    CHECK(cuDevicePrimaryCtxRetain(&context, device));
    CHECK(cuCtxSetCurrent(context));
    CHECK(cuDeviceTotalMem_v2(&total_bytes, device));
    if (expected_bytes != 0 && total_bytes != expected_bytes) {
        (void)fprintf(stderr, "the limiter is not at work: the device has %zu bytes instead of %llu\n",
                      total_bytes, (unsigned long long)expected_bytes);
        exit(3);
    }
}

static CUfunction kernel_load(const char *ptx, const char *name) {
    CUmodule module;
    CUfunction function;

    CHECK(cuModuleLoadData(&module, ptx));
    CHECK(cuModuleGetFunction(&function, module, name));
    return function;
}

CUfunction subject_kernel(void) {
    static const char ptx[] = ".version 7.0\n.target sm_70\n.address_size 64\n"
                              ".visible .entry nothing()\n{\n"
                              "    .pragma \"divvy.time_only_ns 1000\";\n"
                              "    ret;\n}\n";

    return kernel_load(ptx, "nothing");
}

CUfunction subject_timed_kernel(void) {
    static const char ptx[] = ".version 7.0\n.target sm_70\n.address_size 64\n"
                              ".visible .entry timed(.param .u64 duration_ns)\n{\n"
                              "    .pragma \"divvy.time_only_param 0\";\n"
                              "    ret;\n}\n";

    return kernel_load(ptx, "timed");
}

uint64_t subject_number(const char *text) {
    uint64_t number;

    if (divvy_core_u64_parse(text, strlen(text), &number, NULL) != 0) {
        (void)fprintf(stderr, "%s: not a whole number\n", text);
        exit(2);
    }
    return number;
}

uint64_t subject_now_ns(void) {
    return divvy_core_clock_ns();
}

uint64_t subject_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}
