/* Adding vectors on the GPU, for the JSON dialect. One thread of a process uses it. */
#ifndef DIVVY_REMOTE_WORKER_VECTOR_H
#define DIVVY_REMOTE_WORKER_VECTOR_H

#include "remote/worker/driver.h"

#include <stdbool.h>
#include <stddef.h>

/* Made at the first use: the first device's primary context, which is only current during a job. */
struct divvy_worker_vector {
    const struct divvy_worker_driver *driver;
    CUcontext context; /* NULL: not made yet */
    CUdevice device;
    CUmodule module;
    CUfunction add_s64, add_f64;
    CUdeviceptr memory; /* three arrays, kept from job to job */
    size_t memory_bytes;
    bool near_asked; /* for memory of the host that the device reaches, for small jobs */
    void *near;      /* NULL: none */
    CUdeviceptr near_address;
};

/*
 * sum[i] = a[i] + b[i] of `count` >= 1 elements of 8 bytes, int64_t (wraps) or double; `operands` is a and behind it b. Blocks until it is done; `current` is
 * made current again (NULL: none). -EIO when the GPU refuses, with the call and the driver's name of the error; nothing is
 * written then. -ENOMEM: out of device memory.
 */
int divvy_worker_vector_add(struct divvy_worker_vector *vector, bool is_double, const void *operands,
                            size_t count, CUcontext current, void *ret_sum, struct divvy_error *error);

#endif
