/* Arrays and mipmapped arrays: device memory with a shape, kept row by row without gaps. */
#ifndef DIVVY_SIMGPU_DRIVER_ARRAY_H
#define DIVVY_SIMGPU_DRIVER_ARRAY_H

#include "simgpu/driver/memory.h"

typedef struct divvy_drv_mipmap divvy_drv_mipmap_t;

typedef struct {
    CUarray handle;
    CUDA_ARRAY3D_DESCRIPTOR descriptor;
    divvy_drv_context_t *context;
    uint64_t address;
    uint64_t row_bytes, rows, slices; /* rows and slices at least 1 */
    unsigned element_bytes;
    divvy_drv_mipmap_t *parent; /* of which it is a level, or NULL */
} divvy_drv_array_t;

CUresult divvy_drv_array_find(CUarray handle, divvy_drv_array_t **ret_array);
/* The context of the array (or mipmapped array) behind MEM, which was taken out of the index,
 * goes. */
void divvy_drv_array_gone(const divvy_drv_mem_t *mem);
static inline uint64_t divvy_drv_array_bytes(const divvy_drv_array_t *array) {
    return array->row_bytes * array->rows * array->slices;
}

#endif
