/* Filling memory: from parameters to an operation. */
#ifndef DIVVY_SIMGPU_DRIVER_SET_H
#define DIVVY_SIMGPU_DRIVER_SET_H

#include "simgpu/driver/op.h"

/* Checks PARAMS; nothing to fill gives width and height 0. CUDA_ERROR_INVALID_VALUE. */
CUresult divvy_drv_set_resolve(const CUDA_MEMSET_NODE_PARAMS *params, divvy_drv_set_op_t *ret_op);

#endif
