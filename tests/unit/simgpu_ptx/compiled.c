/*
 * PTX made by a compiler (compiled/kernels.cu, three ways) against the same computation in C.
 * Blocks, grids and sizes vary; the results must be equal to the bit.
 */
#include "kit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    divvy_ptx_module_t *module;
    uint64_t *addresses; /* of variables */
    kit_memory_t memory;
    uint64_t random;
} device_t;

static char *read_file(const char *name) {
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s", COMPILED_DIR, name);
    FILE *file = fopen(path, "rb");
    if (!file)
        fail_msg("cannot read %s", path);
    char *text = calloc(1, 1 << 20);
    assert_true(fread(text, 1, (1 << 20) - 1, file) > 0);
    fclose(file);
    return text;
}

static void device_init(device_t *device, const char *name) {
    divvy_ptx_module_info_t info;
    char *text = read_file(name);
    memset(device, 0, sizeof(*device));
    device->module = kit_parse(text);
    device->random = 42;
    free(text);
    divvy_ptx_module_info(device->module, &info);
    device->addresses = calloc(info.variables + 1, sizeof(uint64_t));
    for (uint32_t k = 0; k < info.variables; k++)
        device->addresses[k] =
            (uintptr_t)calloc(1, divvy_ptx_variable_get(device->module, k)->size_bytes + 16);
    for (uint32_t k = 0; k < info.variables; k++)
        divvy_ptx_variable_init(device->module, k, device->addresses,
                                (void *)(uintptr_t)device->addresses[k]);
}

static void device_done(device_t *device) {
    divvy_ptx_module_info_t info;
    divvy_ptx_module_info(device->module, &info);
    for (uint32_t k = 0; k < info.variables; k++)
        free((void *)(uintptr_t)device->addresses[k]);
    free(device->addresses);
    divvy_ptx_module_free(device->module);
}

/* Memory of the device for one launch; the variables are always reachable. */
static void *allocate(device_t *device, size_t size_bytes) {
    void *memory = calloc(1, size_bytes);
    kit_memory_add(&device->memory, memory, size_bytes, true);
    return memory;
}

static void release(device_t *device) {
    for (int k = 0; k < device->memory.count; k++) {
        if (device->memory.ranges[k].writable)
            free((void *)(uintptr_t)device->memory.ranges[k].first);
    }
    device->memory.count = 0;
}

static void launch(device_t *device, const char *name, uint32_t grid_x, uint32_t grid_y,
                   uint32_t block_x, uint32_t block_y, const void *params, size_t params_bytes) {
    int entry = divvy_ptx_entry_find(device->module, name);
    assert_true(entry >= 0);
    divvy_ptx_module_info_t info;
    divvy_ptx_module_info(device->module, &info);
    for (uint32_t k = 0; k < info.variables && k < 4; k++)
        kit_memory_add(&device->memory, (void *)(uintptr_t)device->addresses[k],
                       divvy_ptx_variable_get(device->module, k)->size_bytes, false);
    divvy_ptx_launch_t launch = {.module = device->module,
                                 .entry = (uint32_t)entry,
                                 .grid = {grid_x, grid_y, 1},
                                 .block = {block_x, block_y, 1},
                                 .params = params,
                                 .params_bytes = params_bytes,
                                 .variables = device->addresses,
                                 .access = kit_access,
                                 .access_ctx = &device->memory};
    divvy_ptx_result_t result;
    int r = divvy_ptx_execute(&launch, &result);
    if (r != DIVVY_PTX_DONE)
        fail_msg("%s: %d, line %u, address %#llx", name, r, result.fault_line,
                 (unsigned long long)result.fault_address);
}

static float random_float(device_t *device) {
    return (float)(kit_random(&device->random) % 2001) / 16 - 60;
}

static void check_vector_add(device_t *device) {
    enum { N = 1000 };
    float *a = allocate(device, N * 4), *b = allocate(device, N * 4), *c = allocate(device, N * 4);
    for (int k = 0; k < N; k++)
        a[k] = random_float(device), b[k] = random_float(device);
    struct {
        float *a, *b, *c;
        int n;
    } params = {a, b, c, N - 7};
    launch(device, "vector_add", 4, 1, 256, 1, &params, sizeof(params));
    for (int k = 0; k < N; k++)
        assert_true(c[k] == (k < N - 7 ? a[k] + b[k] : 0));
    release(device);
}

static void check_saxpy(device_t *device) {
    enum { N = 5000 };
    float *x = allocate(device, N * 4), *y = allocate(device, N * 4), wanted[N];
    for (int k = 0; k < N; k++) {
        x[k] = random_float(device);
        y[k] = random_float(device);
        wanted[k] = fmaf(2.5f, x[k], y[k]);
    }
    struct {
        float a, pad, *x, *y;
        int n;
    } params = {2.5f, 0, x, y, N};
    launch(device, "saxpy", 3, 1, 100, 1, &params, sizeof(params));
    for (int k = 0; k < N; k++)
        assert_true(y[k] == wanted[k]);
    release(device);
}

static void check_matrix_product(device_t *device) {
    enum { N = 64 };
    float *a = allocate(device, N * N * 4), *b = allocate(device, N * N * 4),
          *c = allocate(device, N * N * 4);
    for (int k = 0; k < N * N; k++)
        a[k] = random_float(device), b[k] = random_float(device);
    struct {
        float *a, *b, *c;
        int n;
    } params = {a, b, c, N};
    launch(device, "matrix_product", N / 16, N / 16, 16, 16, &params, sizeof(params));
    for (int row = 0; row < N; row++) {
        for (int column = 0; column < N; column++) {
            float sum = 0;
            for (int k = 0; k < N; k++)
                sum = fmaf(a[row * N + k], b[k * N + column], sum);
            assert_true(c[row * N + column] == sum);
        }
    }
    release(device);
}

static void check_reduce(device_t *device) {
    static const uint32_t sizes[] = {32, 64, 320, 1024};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        enum { N = 3000 };
        int *x = allocate(device, N * 4), *sum = allocate(device, 4), wanted = 0;
        for (int k = 0; k < N; k++)
            wanted += x[k] = (int)(kit_random(&device->random) % 1000) - 300;
        struct {
            int *x, *sum;
            int n;
        } params = {x, sum, N};
        launch(device, "reduce", (N + sizes[s] - 1) / sizes[s], 1, sizes[s], 1, &params,
               sizeof(params));
        assert_int_equal(*sum, wanted);
        release(device);
    }
}

static void check_histogram(device_t *device) {
    enum { N = 20000 };
    uint8_t *x = allocate(device, N);
    int *bins = allocate(device, 1024), wanted[256] = {0};
    for (int k = 0; k < N; k++)
        wanted[x[k] = (uint8_t)(kit_random(&device->random) % 200)]++;
    struct {
        uint8_t *x;
        int *bins;
        int n;
    } params = {x, bins, N};
    launch(device, "histogram", 7, 1, 96, 1, &params, sizeof(params));
    assert_memory_equal(bins, wanted, sizeof(wanted));
    release(device);
}

typedef struct {
    int a;
    double b;
    char c[13];
} mixed_t;

static void check_calls(device_t *device) {
    enum { N = 64 };
    int *fib = allocate(device, N * 4);
    double *sums = allocate(device, N * 8);
    struct {
        mixed_t m;
        int *fib;
        double *sums;
    } params = {{3, 0.5, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, -11, 12, 13}}, fib, sums};
    launch(device, "calls", 1, 1, N, 1, &params, sizeof(params));
    for (int t = 0; t < N; t++) {
        int x = 0, y = 1;
        for (int k = 0; k < (t & 15); k++) {
            int next = x + y;
            x = y;
            y = next;
        }
        double sum = params.m.a + params.m.b;
        for (int k = 0; k < 13; k++)
            sum += params.m.c[(k + t) % 13] * k;
        assert_int_equal(fib[t], x);
        assert_true(sums[t] == sum);
    }
    release(device);
}

static void check_local_arrays(device_t *device) {
    enum { N = 64, COUNT = 50 };
    static const int table[8] = {1, 2, 3, 5, 8, 13, 21, 34};
    int *out = allocate(device, N * 4);
    struct {
        int *out;
        int n;
    } params = {out, COUNT};
    launch(device, "local_arrays", 1, 1, N, 1, &params, sizeof(params));
    for (int t = 0; t < N; t++) {
        int sum = 7;
        for (int k = 0; k < COUNT; k++) {
            int i = (k * 7 + t) & 31;
            sum += table[i & 7] * i + COUNT;
        }
        int kind = t & 7;
        int wanted = kind == 0   ? sum + 3
                     : kind == 1 ? sum * 5
                     : kind == 2 ? sum ^ 77
                     : kind == 3 ? sum - 9
                     : kind == 4 ? sum / 3
                     : kind == 5 ? sum % 11
                                 : sum;
        assert_int_equal(out[t], wanted);
    }
    release(device);
}

static void check_collatz(device_t *device) {
    enum { N = 300 };
    uint64_t *in = allocate(device, N * 8);
    uint32_t *steps = allocate(device, N * 4);
    for (int k = 0; k < N; k++)
        in[k] = 1 + kit_random(&device->random) % 1000000;
    struct {
        uint64_t *in;
        uint32_t *steps;
        int n;
    } params = {in, steps, N};
    launch(device, "collatz", 5, 1, 64, 1, &params, sizeof(params));
    for (int k = 0; k < N; k++) {
        uint32_t count = 0;
        for (uint64_t x = in[k]; x != 1; x = x & 1 ? 3 * x + 1 : x / 2)
            count++;
        assert_int_equal(steps[k], count);
    }
    release(device);
}

static void check_polynomial(device_t *device) {
    enum { N = 400 };
    double *x = allocate(device, N * 8);
    float *y = allocate(device, N * 4);
    for (int k = 0; k < N; k++)
        x[k] = (double)random_float(device) / 10;
    struct {
        double *x;
        float *y;
        long n;
    } params = {x, y, N};
    launch(device, "polynomial", 4, 1, 128, 1, &params, sizeof(params));
    for (long k = 0; k < N; k++) {
        double sum = 1, term = 1;
        for (int i = 1; i < 20; i++) {
            term *= x[k] / i;
            sum += term;
        }
        float wanted = (float)sum - (float)(long)sum + (float)(short)k + (float)(unsigned char)k;
        assert_true(y[k] == wanted);
    }
    release(device);
}

static void test_file(void **state) {
    device_t device;
    device_init(&device, *state);
    check_vector_add(&device);
    check_saxpy(&device);
    check_matrix_product(&device);
    check_reduce(&device);
    check_histogram(&device);
    check_calls(&device);
    check_local_arrays(&device);
    check_collatz(&device);
    check_polynomial(&device);
    device_done(&device);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_file, (void *)"kernels_o2.ptx"),
        cmocka_unit_test_prestate(test_file, (void *)"kernels_o0.ptx"),
        cmocka_unit_test_prestate(test_file, (void *)"kernels_g.ptx"),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
