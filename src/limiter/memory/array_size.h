/*
 * How many bytes a CUDA array has. Pure.
 */
#ifndef DIVVY_LIMITER_MEMORY_ARRAY_SIZE_H
#define DIVVY_LIMITER_MEMORY_ARRAY_SIZE_H

#include "cuda/driver_types.h"

#include <stdint.h>

/*
 * Bytes of all elements: a height or depth of 0 counts as 1; layers and cube faces count;
 * block-compressed and planar formats by their true density. UINT64_MAX when the product does not
 * fit.
 */
uint64_t divvy_array_bytes(uint64_t width, uint64_t height, uint64_t depth, CUarray_format format,
                           unsigned int channels);

/* The same over `levels` mip levels, each half as large as the one before; layers are not halved.
 */
uint64_t divvy_mipmap_bytes(const CUDA_ARRAY3D_DESCRIPTOR *descriptor, unsigned int levels);

#endif
