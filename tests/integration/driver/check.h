/* What the tests of the simulated driver share: checks that end the test, a context, and
 * kernels. */
#ifndef DIVVY_TESTS_DRIVER_CHECK_H
#define DIVVY_TESTS_DRIVER_CHECK_H

#include "cuda/driver.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAIL(...)                                                                                  \
    do {                                                                                           \
        fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);                                            \
        fprintf(stderr, __VA_ARGS__);                                                              \
        fputc('\n', stderr);                                                                       \
        exit(1);                                                                                   \
    } while (0)

/* EXPRESSION is a call; it must give RESULT. */
#define IS(result, expression)                                                                     \
    do {                                                                                           \
        CUresult is_ = (expression);                                                               \
        if (is_ != (result)) {                                                                     \
            const char *got_ = "?";                                                                \
            cuGetErrorName(is_, &got_);                                                            \
            FAIL("%s: %s (%d), expected " #result, #expression, got_, is_);                        \
        }                                                                                          \
    } while (0)
#define OK(expression) IS(CUDA_SUCCESS, expression)
#define TRUE(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            FAIL("not so: %s", #condition);                                                        \
    } while (0)
#define EQUAL(a, b)                                                                                \
    do {                                                                                           \
        long long a_ = (long long)(a), b_ = (long long)(b);                                        \
        if (a_ != b_)                                                                              \
            FAIL("%s is %lld, expected %s = %lld", #a, a_, #b, b_);                                \
    } while (0)

/* Kernels: add1(u32 *p, u32 n) adds 1 to each word; scale(u32 *p, u32 n, u32 f); tick takes 1 ms
 * of device time and does nothing; wait_ns(u64 ns) takes that long; touch(u64 address) writes
 * there. */
static const char kernels[] =
    ".version 7.0\n.target sm_70\n.address_size 64\n"
    ".global .align 4 .u32 counter = 7;\n"
    ".const .align 4 .b8 table[8] = {1, 2, 3, 4, 5, 6, 7, 8};\n"
    ".visible .entry add1(.param .u64 p, .param .u32 n) {\n"
    "    .reg .pred %q; .reg .b32 %r<8>; .reg .b64 %d<4>;\n"
    "    ld.param.u64 %d1, [p]; ld.param.u32 %r1, [n];\n"
    "    mov.u32 %r2, %ctaid.x; mov.u32 %r3, %ntid.x; mov.u32 %r4, %tid.x;\n"
    "    mad.lo.u32 %r5, %r2, %r3, %r4;\n"
    "    setp.ge.u32 %q, %r5, %r1; @%q bra END;\n"
    "    mul.wide.u32 %d2, %r5, 4; add.u64 %d3, %d1, %d2;\n"
    "    ld.global.u32 %r6, [%d3]; add.u32 %r6, %r6, 1; st.global.u32 [%d3], %r6;\n"
    "END: ret; }\n"
    ".visible .entry scale(.param .u64 p, .param .u32 n, .param .u32 f) {\n"
    "    .reg .pred %q; .reg .b32 %r<9>; .reg .b64 %d<4>;\n"
    "    ld.param.u64 %d1, [p]; ld.param.u32 %r1, [n]; ld.param.u32 %r7, [f];\n"
    "    mov.u32 %r2, %ctaid.x; mov.u32 %r3, %ntid.x; mov.u32 %r4, %tid.x;\n"
    "    mad.lo.u32 %r5, %r2, %r3, %r4;\n"
    "    setp.ge.u32 %q, %r5, %r1; @%q bra END;\n"
    "    mul.wide.u32 %d2, %r5, 4; add.u64 %d3, %d1, %d2;\n"
    "    ld.global.u32 %r6, [%d3]; mul.lo.u32 %r6, %r6, %r7; st.global.u32 [%d3], %r6;\n"
    "END: ret; }\n"
    ".visible .entry tick() {\n"
    "    .pragma \"divvy.time_only_ns 1000000\";\n"
    "    ret; }\n"
    ".visible .entry wait_ns(.param .u64 ns) {\n"
    "    .pragma \"divvy.time_only_param 0\";\n"
    "    ret; }\n"
    ".visible .entry touch(.param .u64 a) {\n"
    "    .reg .b64 %d1; .reg .b32 %r1;\n"
    "    ld.param.u64 %d1, [a]; mov.u32 %r1, 42; st.global.u32 [%d1], %r1;\n"
    "    ret; }\n";

typedef struct {
    CUcontext context;
    CUmodule module;
    CUfunction add1, scale, tick, wait_ns, touch;
} fixture_t;

static inline fixture_t begin(void) {
    fixture_t f;
    OK(cuInit(0));
    OK(cuDevicePrimaryCtxRetain(&f.context, 0));
    OK(cuCtxSetCurrent(f.context));
    OK(cuModuleLoadData(&f.module, kernels));
    OK(cuModuleGetFunction(&f.add1, f.module, "add1"));
    OK(cuModuleGetFunction(&f.scale, f.module, "scale"));
    OK(cuModuleGetFunction(&f.tick, f.module, "tick"));
    OK(cuModuleGetFunction(&f.wait_ns, f.module, "wait_ns"));
    OK(cuModuleGetFunction(&f.touch, f.module, "touch"));
    return f;
}

static inline CUdeviceptr words(unsigned count, unsigned value) {
    CUdeviceptr p;
    OK(cuMemAlloc_v2(&p, count * 4ul));
    OK(cuMemsetD32_v2(p, value, count));
    OK(cuStreamSynchronize(NULL)); /* non-blocking streams do not wait for it */
    return p;
}

static inline unsigned word_at(CUdeviceptr p, unsigned index) {
    unsigned value;
    OK(cuMemcpyDtoH_v2(&value, p + index * 4ul, 4));
    return value;
}

static inline CUresult add1(const fixture_t *f, CUdeviceptr p, unsigned count, CUstream stream) {
    void *args[] = {&p, &count};
    return cuLaunchKernel(f->add1, (count + 63) / 64, 1, 1, 64, 1, 1, 0, stream, args, NULL);
}

static inline CUresult scale(const fixture_t *f, CUdeviceptr p, unsigned count, unsigned by,
                             CUstream stream) {
    void *args[] = {&p, &count, &by};
    return cuLaunchKernel(f->scale, (count + 63) / 64, 1, 1, 64, 1, 1, 0, stream, args, NULL);
}

static inline CUresult wait_for(const fixture_t *f, unsigned long long ns, CUstream stream) {
    void *args[] = {&ns};
    return cuLaunchKernel(f->wait_ns, 1, 1, 1, 32, 1, 1, 0, stream, args, NULL);
}

static inline size_t free_bytes(void) {
    size_t free_now, total;
    OK(cuMemGetInfo_v2(&free_now, &total));
    return free_now;
}

#endif
