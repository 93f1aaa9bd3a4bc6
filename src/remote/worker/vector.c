/* Adding vectors on the GPU: see vector.h. */
#include "remote/worker/vector.h"

#include "core/checked.h"
#include "remote/kernels.h"

#include <errno.h>
#include <string.h>

#define ELEMENT_BYTES 8u
#define BLOCK_THREADS 256u
#define WARP_THREADS  32u
/* Memory is kept for the next job up to this; what a large job took is given back. */
#define KEPT_BYTES (16u << 20)
/* Up to this the kernel reads and writes the host's memory: over PCIe that takes less than two copies and what starts them. */
#define NEAR_BYTES (32u << 10)

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

/* Memory of the host that the device reaches; a driver that has none of it is asked once. */
static void near_have(struct divvy_worker_vector *vector) {
    const struct divvy_worker_driver *driver = vector->driver;

    if (vector->near_asked)
        return;
    vector->near_asked = true;
    if (!driver->cuMemHostAlloc || !driver->cuMemHostGetDevicePointer_v2 ||
        driver->cuMemHostAlloc(&vector->near, NEAR_BYTES, CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP) != CUDA_SUCCESS)
        vector->near = NULL;
    else if (driver->cuMemHostGetDevicePointer_v2(&vector->near_address, vector->near, 0) != CUDA_SUCCESS) {
        (void)driver->cuMemFreeHost(vector->near);
        vector->near = NULL;
    }
}

static int launch(struct divvy_worker_vector *vector, bool is_double, CUdeviceptr memory, size_t count, struct divvy_error *error) {
    CUdeviceptr at_a = memory, at_b = at_a + count * ELEMENT_BYTES, at_sum = at_b + count * ELEMENT_BYTES;
    uint64_t number = count;
    void *parameters[] = {&at_a, &at_b, &at_sum, &number};
    unsigned int blocks = (unsigned int)((count + BLOCK_THREADS - 1) / BLOCK_THREADS), threads = BLOCK_THREADS;

    if (count < BLOCK_THREADS) /* whole warps: the others of a block would only be started and ended */
        threads = (unsigned int)((count + WARP_THREADS - 1) / WARP_THREADS * WARP_THREADS);
    TRY(cuLaunchKernel, is_double ? vector->add_f64 : vector->add_s64, blocks, 1, 1, threads, 1, 1, 0, NULL, parameters, NULL);
    return 0;
}

/* One command of the device for the whole job. */
static int compute_near(struct divvy_worker_vector *vector, bool is_double, const void *operands, size_t count, void *ret_sum,
                        struct divvy_error *error) {
    size_t bytes = count * ELEMENT_BYTES;
    int status;

    memcpy(vector->near, operands, 2 * bytes);
    status = launch(vector, is_double, vector->near_address, count, error);
    if (status < 0)
        return status;
    TRY(cuStreamSynchronize, NULL);
    memcpy(ret_sum, (const char *)vector->near + 2 * bytes, bytes);
    return 0;
}

static int compute(struct divvy_worker_vector *vector, bool is_double, const void *operands, size_t count, void *ret_sum,
                   struct divvy_error *error) {
    size_t bytes = count * ELEMENT_BYTES;
    int status = memory_have(vector, 3 * bytes, error);

    if (status < 0)
        return status;
    /* One wait for the whole job: the copy to the device is staged, and that from it comes last. */
    TRY(cuMemcpyHtoDAsync_v2, vector->memory, operands, 2 * bytes, NULL);
    status = launch(vector, is_double, vector->memory, count, error);
    if (status < 0)
        return status;
    TRY(cuMemcpyDtoH_v2, ret_sum, vector->memory + 2 * bytes, bytes);
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
        near_have(vector);
    if (status == 0)
        status = (vector->near && bytes <= NEAR_BYTES ? compute_near : compute)(vector, is_double, operands, count, ret_sum, error);
    if (status == 0)
        status = memory_shrink(vector, error);
    (void)vector->driver->cuCtxSetCurrent(current);
    return status;
}
