/*
 * The same instructions on the interpreter and on a real GPU. Needs a driver (libcuda.so.1) and a
 * GPU of sm_90 or later; exits 77 (skipped) without. Prints every difference; fails when there is
 * one.
 */
#include "cases.h"
#include "kit.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 64, BLOCKS = 16, COUNT = THREADS * BLOCKS, SKIPPED = 77 };
enum { JIT_ERROR_LOG = 5, JIT_ERROR_LOG_BYTES = 6, CAPABILITY_MAJOR = 75 };

/* X(function, parameters): the part of the driver's interface that is used here. */
#define DRIVER(X)                                                                                  \
    X(cuInit, (unsigned))                                                                          \
    X(cuDeviceGet, (int *, int))                                                                   \
    X(cuDeviceGetAttribute, (int *, int, int))                                                     \
    X(cuDevicePrimaryCtxRetain, (void **, int))                                                    \
    X(cuCtxSetCurrent, (void *))                                                                   \
    X(cuModuleLoadDataEx, (void **, const void *, unsigned, int *, void **))                       \
    X(cuModuleUnload, (void *))                                                                    \
    X(cuModuleGetFunction, (void **, void *, const char *))                                        \
    X(cuMemAlloc_v2, (uint64_t *, size_t))                                                         \
    X(cuMemcpyHtoD_v2, (uint64_t, const void *, size_t))                                           \
    X(cuMemcpyDtoH_v2, (void *, uint64_t, size_t))                                                 \
    X(cuLaunchKernel, (void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,         \
                       unsigned, void *, void **, void **))
#define X(name, parameters) static int(*name) parameters;
DRIVER(X)
#undef X

static value_t in[COUNT][4], simulated[COUNT][2], real[COUNT][2];
static uint64_t device_in, device_out;

static bool open_driver(void) {
    void *library = dlopen("libcuda.so.1", RTLD_NOW);
    if (!library)
        return false;
#define X(name, parameters)                                                                        \
    *(void **)&name = dlsym(library, #name);                                                       \
    if (!name)                                                                                     \
        return false;
    DRIVER(X)
#undef X
    int device, major = 0;
    void *context;
    return cuInit(0) == 0 && cuDeviceGet(&device, 0) == 0 &&
           cuDeviceGetAttribute(&major, CAPABILITY_MAJOR, device) == 0 && major >= 9 &&
           cuDevicePrimaryCtxRetain(&context, device) == 0 && cuCtxSetCurrent(context) == 0 &&
           cuMemAlloc_v2(&device_in, sizeof(in)) == 0 &&
           cuMemAlloc_v2(&device_out, sizeof(real)) == 0;
}

/* Runs TEXT on the GPU; false with a message when that fails. */
static bool run_real(const char *text) {
    char log[4096] = "";
    int options[2] = {JIT_ERROR_LOG, JIT_ERROR_LOG_BYTES};
    void *values[2] = {log, (void *)sizeof(log)};
    void *module, *function;
    void *params[2] = {&device_in, &device_out};
    int r = cuModuleLoadDataEx(&module, text, 2, options, values);
    if (r != 0) {
        printf("the driver refuses it (%d): %s\n", r, log);
        return false;
    }
    if (cuModuleGetFunction(&function, module, "k") != 0 ||
        cuMemcpyHtoD_v2(device_in, in, sizeof(in)) != 0 ||
        cuMemcpyHtoD_v2(device_out, real, sizeof(real)) != 0 ||
        cuLaunchKernel(function, BLOCKS, 1, 1, THREADS, 1, 1, 0, NULL, params, NULL) != 0 ||
        cuMemcpyDtoH_v2(real, device_out, sizeof(real)) != 0) {
        printf("the driver fails to run it\n");
        return false;
    }
    cuModuleUnload(module);
    return true;
}

static void run_simulated(const char *text) {
    kit_memory_t memory = {.count = 0};
    kit_memory_add(&memory, in, sizeof(in), false);
    kit_memory_add(&memory, simulated, sizeof(simulated), true);
    uint64_t params[2] = {(uintptr_t)in, (uintptr_t)simulated};
    kit_run(text, BLOCKS, THREADS, params, 2, &memory, DIVVY_PTX_DONE);
}

/* Number of differing results of one case, the first of which is printed. */
static int compare(const case_t *c, uint64_t *state) {
    char text[4096];
    for (int k = 0; k < COUNT; k++) {
        for (int operand = 0; operand < 3; operand++)
            in[k][operand] = case_operand(c->types[operand + 1], state);
    }
    memset(simulated, 0, sizeof(simulated));
    memset(real, 0, sizeof(real));
    case_text(c, text, sizeof(text));
    run_simulated(text);
    if (!run_real(text)) {
        printf("  %s\n", c->instruction);
        return 1;
    }
    int differences = 0;
    for (int k = 0; k < COUNT; k++) {
        value_t reference = {.u64 = 0};
        c->reference(in[k], &reference);
        /*
         * Where the reference gives no opinion (NaN of an approximate operation) there is none here
         * either.
         */
        if (case_same(c, simulated[k][0], real[k][0]) ||
            (c->tolerance != 0 && reference.f32 != reference.f32))
            continue;
        if (differences++ == 0)
            printf("%s\n  a=%#llx b=%#llx c=%#llx: simulated %#llx, real %#llx\n", c->instruction,
                   (unsigned long long)in[k][0].u64, (unsigned long long)in[k][1].u64,
                   (unsigned long long)in[k][2].u64, (unsigned long long)simulated[k][0].u64,
                   (unsigned long long)real[k][0].u64);
    }
    return differences;
}

static void test_all(void **unused) {
    (void)unused;
    uint64_t state = kit_seed();
    int wrong = 0;
    for (size_t k = 0; k < case_count; k++)
        wrong += compare(&cases[k], &state) != 0;
    printf("%d of %zu instructions differ\n", wrong, case_count);
    assert_int_equal(wrong, 0);
}

int main(void) {
    if (!open_driver()) {
        printf("skipped: no driver with a GPU of sm_90 or later\n");
        return SKIPPED;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
