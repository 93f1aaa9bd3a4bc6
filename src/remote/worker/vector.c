/* Adding vectors on the GPU: see vector.h. */
#include "remote/worker/vector.h"

#include "core/checked.h"
#include "remote/kernels.h"

#include <errno.h>

#define ELEMENT_BYTES 8u
#define BLOCK_THREADS 256u
/* Memory is kept for the next job up to this; what a large job took is given back. */
#define KEPT_BYTES (16u << 20)

static int failed(const struct divvy_worker_vector *vector, const char *call, CUresult result,
                  struct divvy_error *error) {
    return divvy_error_set(error, result == CUDA_ERROR_OUT_OF_MEMORY ? -ENOMEM : -EIO,
                           "%s failed: %s (%d)", call,
                           divvy_worker_driver_error_name(vector->driver, result), (int)result);
}

#define TRY(call, ...)                                                                             \
    do {                                                                                           \
        CUresult result_ = vector->driver->call(__VA_ARGS__);                                      \
        if (result_ != CUDA_SUCCESS)                                                               \
            return failed(vector, #call, result_, error);                                          \
    } while (0)

static int context_enter(struct divvy_worker_vector *vector, struct divvy_error *error) {
    if (!vector->context) {
        TRY(cuDeviceGet, &vector->device, 0);
        TRY(cuDevicePrimaryCtxRetain, &vector->context, vector->device);
    }
    TRY(cuCtxSetCurrent, vector->context);
    if (!vector->module)
        TRY(cuModuleLoadDataEx, &vector->module, DIVVY_REMOTE_PTX_VECTOR_ADD, 0, NULL, NULL);
    if (!vector->add_s64)
        TRY(cuModuleGetFunction, &vector->add_s64, vector->module, "add_s64");
    if (!vector->add_f64)
        TRY(cuModuleGetFunction, &vector->add_f64, vector->module, "add_f64");
    return 0;
}

static int memory_have(struct divvy_worker_vector *vector, size_t bytes,
                       struct divvy_error *error) {
    if (vector->memory_bytes >= bytes)
        return 0;
    if (vector->memory_bytes) {
        vector->memory_bytes = 0;
        TRY(cuMemFree_v2, vector->memory);
    }
    TRY(cuMemAlloc_v2, &vector->memory, bytes);
    vector->memory_bytes = bytes;
    return 0;
}

static int compute(struct divvy_worker_vector *vector, bool is_double, const void *operands, size_t count, void *ret_sum,
                   struct divvy_error *error) {
    size_t bytes = count * ELEMENT_BYTES;
    CUdeviceptr at_a = vector->memory, at_b = at_a + bytes, at_sum = at_b + bytes;
    uint64_t number = count;
    void *parameters[] = {&at_a, &at_b, &at_sum, &number};
    unsigned int blocks = (unsigned int)((count + BLOCK_THREADS - 1) / BLOCK_THREADS);

    /* One wait for the whole job: the copy to the device is staged, and that from it comes last. */
    TRY(cuMemcpyHtoDAsync_v2, at_a, operands, 2 * bytes, NULL);
    TRY(cuLaunchKernel, is_double ? vector->add_f64 : vector->add_s64, blocks, 1, 1, BLOCK_THREADS,
        1, 1, 0, NULL, parameters, NULL);
    TRY(cuMemcpyDtoH_v2, ret_sum, at_sum, bytes);
    return 0;
}

static int memory_shrink(struct divvy_worker_vector *vector, struct divvy_error *error) {
    if (vector->memory_bytes <= KEPT_BYTES)
        return 0;
    vector->memory_bytes = 0;
    TRY(cuMemFree_v2, vector->memory);
    return 0;
}

int divvy_worker_vector_add(struct divvy_worker_vector *vector, bool is_double, const void *operands,
                            size_t count, CUcontext current, void *ret_sum, struct divvy_error *error) {
    uint64_t bytes;
    int status;

    if (divvy_core_u64_mul(count, UINT64_C(3) * ELEMENT_BYTES, &bytes) < 0 ||
        count / BLOCK_THREADS >= INT32_MAX)
        return divvy_error_set(error, -ENOMEM, "too many elements");
    status = context_enter(vector, error);
    if (status == 0)
        status = memory_have(vector, bytes, error);
    if (status == 0)
        status = compute(vector, is_double, operands, count, ret_sum, error);
    if (status == 0)
        status = memory_shrink(vector, error);
    (void)vector->driver->cuCtxSetCurrent(current);
    return status;
}
