/* Copies: from what a program asks for to an operation, and on its way. */
#ifndef DIVVY_SIMGPU_DRIVER_COPY_H
#define DIVVY_SIMGPU_DRIVER_COPY_H

#include "simgpu/driver/op.h"

/* One end of a copy of WIDTH x HEIGHT x DEPTH. */
typedef struct {
    uint64_t address, pitch_bytes, slice_bytes;
    int device; /* engine index, or -1: host memory */
    bool pageable;
} divvy_drv_end_t;

/* What kind of memory [address, address+bytes) is. HOST_ALLOWED: memory that the driver does not
 * know counts as host memory; else it is CUDA_ERROR_INVALID_VALUE, as is device memory that is
 * not all there. */
CUresult divvy_drv_end_classify(uint64_t address, uint64_t bytes, bool host_allowed, bool write,
                                divvy_drv_end_t *ret_end);

void divvy_drv_copy_join(const divvy_drv_end_t *to, const divvy_drv_end_t *from, uint64_t width,
                         uint64_t height, uint64_t depth, divvy_drv_copy_op_t *ret_op);

/* Turns the parameters of a 3D copy into an operation; nothing to copy gives width_bytes 0. */
CUresult divvy_drv_copy_resolve(const CUDA_MEMCPY3D *params, divvy_drv_copy_op_t *ret_op);

typedef enum {
    DRV_COPY_SYNC,  /* the host waits where the driver makes it wait */
    DRV_COPY_ASYNC, /* pageable sources are staged, pageable targets are waited for */
} divvy_drv_copy_mode_t;

/* Sends OP into the stream; PARAMS is what it was made from (NULL: a linear copy). */
CUresult divvy_drv_copy_send(CUstream stream, const divvy_drv_copy_op_t *op,
                             const CUDA_MEMCPY3D *params, divvy_drv_copy_mode_t mode);

#endif
