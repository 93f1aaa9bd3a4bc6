/*
 * Hooks of device work that is no kernel: fills, copies within a device, decompression. Large ones pass the gate like a
 * launch; small ones cost less than asking. Copies to and from the host are never gated: they use engines of their own, and
 * a program may wait for one before it does what would open the gate.
 */
#include "limiter/compute/hooks.h"

/* From here on a fill or copy takes microseconds of a large GPU's memory bandwidth. */
#define LARGE_BYTES UINT64_C(4194304)
/* From here on a copy over the bus is long enough to matter in measured time. */
#define BREAK_BYTES UINT64_C(65536)
/* A first guess: a terabyte per second is a thousand bytes per nanosecond. */
#define GUESS_NS(bytes) ((uint64_t)(bytes) / 1000)

/* Work of about the same size takes about the same time. */
static inline uint64_t size_key(unsigned kind, uint64_t bytes) {
    uint64_t octave = 63u - (unsigned)__builtin_clzll(bytes | 1);
    uint64_t quarter = octave >= 2 ? bytes >> (octave - 2) & 3 : 0;

    return divvy_compute_key(NULL, kind) | ((octave << 2 | quarter) + 1);
}

/* Paid for, where it has to be, like a kernel whose threads take 16 bytes each. */
#define UNPAID(bytes, stream) !divvy_compute_paid((bytes) / 16, 1, stream)

#define SIZED(symbol, parameters, arguments, kind, bytes, stream)                                                      \
    DIVVY_COMPUTE_GATED(symbol, parameters, arguments, (bytes) >= LARGE_BYTES && UNPAID(bytes, stream),                \
                        size_key(kind, bytes), GUESS_NS(bytes), stream)

/* --- fills -------------------------------------------------------------------------------------------------------- */

#define FILL(width, type)                                                                                              \
    SIZED(cuMemsetD##width, (CUdeviceptr_v1 dst, type value, unsigned int count), (dst, value, count),                 \
          DIVVY_COMPUTE_KEY_MEMSET, (uint64_t)count * sizeof(type), CU_STREAM_LEGACY)                                  \
    SIZED(cuMemsetD##width##_v2, (CUdeviceptr dst, type value, size_t count), (dst, value, count),                     \
          DIVVY_COMPUTE_KEY_MEMSET, count * sizeof(type), CU_STREAM_LEGACY)                                            \
    SIZED(cuMemsetD##width##_v2_ptds, (CUdeviceptr dst, type value, size_t count), (dst, value, count),                \
          DIVVY_COMPUTE_KEY_MEMSET, count * sizeof(type), CU_STREAM_PER_THREAD)                                        \
    SIZED(cuMemsetD##width##Async, (CUdeviceptr dst, type value, size_t count, CUstream stream),                       \
          (dst, value, count, stream), DIVVY_COMPUTE_KEY_MEMSET, count * sizeof(type), LEGACY(stream))                 \
    SIZED(cuMemsetD##width##Async_ptsz, (CUdeviceptr dst, type value, size_t count, CUstream stream),                  \
          (dst, value, count, stream), DIVVY_COMPUTE_KEY_MEMSET, count * sizeof(type), PER_THREAD(stream))

#define FILL_2D(width, type)                                                                                           \
    SIZED(cuMemsetD2D##width,                                                                                          \
          (CUdeviceptr_v1 dst, unsigned int pitch, type value, unsigned int columns, unsigned int rows),               \
          (dst, pitch, value, columns, rows), DIVVY_COMPUTE_KEY_MEMSET, (uint64_t)columns * rows * sizeof(type),       \
          CU_STREAM_LEGACY)                                                                                            \
    SIZED(cuMemsetD2D##width##_v2, (CUdeviceptr dst, size_t pitch, type value, size_t columns, size_t rows),           \
          (dst, pitch, value, columns, rows), DIVVY_COMPUTE_KEY_MEMSET, columns *rows * sizeof(type),                  \
          CU_STREAM_LEGACY)                                                                                            \
    SIZED(cuMemsetD2D##width##_v2_ptds, (CUdeviceptr dst, size_t pitch, type value, size_t columns, size_t rows),      \
          (dst, pitch, value, columns, rows), DIVVY_COMPUTE_KEY_MEMSET, columns *rows * sizeof(type),                  \
          CU_STREAM_PER_THREAD)                                                                                        \
    SIZED(cuMemsetD2D##width##Async,                                                                                   \
          (CUdeviceptr dst, size_t pitch, type value, size_t columns, size_t rows, CUstream stream),                   \
          (dst, pitch, value, columns, rows, stream), DIVVY_COMPUTE_KEY_MEMSET, columns *rows * sizeof(type),          \
          LEGACY(stream))                                                                                              \
    SIZED(cuMemsetD2D##width##Async_ptsz,                                                                              \
          (CUdeviceptr dst, size_t pitch, type value, size_t columns, size_t rows, CUstream stream),                   \
          (dst, pitch, value, columns, rows, stream), DIVVY_COMPUTE_KEY_MEMSET, columns *rows * sizeof(type),          \
          PER_THREAD(stream))

FILL(8, unsigned char)
FILL(16, unsigned short)
FILL(32, unsigned int)
FILL_2D(8, unsigned char)
FILL_2D(16, unsigned short)
FILL_2D(32, unsigned int)

/* --- copies within a device --------------------------------------------------------------------------------------- */

#define COPY(symbol, parameters, arguments, stream)                                                                    \
    SIZED(symbol, parameters, arguments, DIVVY_COMPUTE_KEY_COPY, (uint64_t)bytes, stream)

COPY(cuMemcpyDtoD, (CUdeviceptr_v1 dst, CUdeviceptr_v1 src, unsigned int bytes), (dst, src, bytes), CU_STREAM_LEGACY)
COPY(cuMemcpyDtoD_v2, (CUdeviceptr dst, CUdeviceptr src, size_t bytes), (dst, src, bytes), CU_STREAM_LEGACY)
COPY(cuMemcpyDtoD_v2_ptds, (CUdeviceptr dst, CUdeviceptr src, size_t bytes), (dst, src, bytes), CU_STREAM_PER_THREAD)
COPY(cuMemcpyDtoDAsync, (CUdeviceptr_v1 dst, CUdeviceptr_v1 src, unsigned int bytes, CUstream stream),
     (dst, src, bytes, stream), LEGACY(stream))
COPY(cuMemcpyDtoDAsync_v2, (CUdeviceptr dst, CUdeviceptr src, size_t bytes, CUstream stream),
     (dst, src, bytes, stream), LEGACY(stream))
COPY(cuMemcpyDtoDAsync_v2_ptsz, (CUdeviceptr dst, CUdeviceptr src, size_t bytes, CUstream stream),
     (dst, src, bytes, stream), PER_THREAD(stream))

/* --- copies that may or may not stay within a device -------------------------------------------------------------- */

static bool is_device_pointer(CUdeviceptr pointer) {
    CUmemorytype type = 0;

    return divvy_real.cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, pointer) == CUDA_SUCCESS &&
           type == CU_MEMORYTYPE_DEVICE;
}

static bool is_device_type(CUmemorytype type, CUdeviceptr pointer) {
    return type == CU_MEMORYTYPE_DEVICE || type == CU_MEMORYTYPE_ARRAY ||
           (type == CU_MEMORYTYPE_UNIFIED && is_device_pointer(pointer));
}

/* True: gate it. Otherwise it is kept out of measured time if it is long enough to matter. */
static bool copy_is_gated(bool within_device, uint64_t bytes, CUstream stream) {
    if (within_device)
        return bytes >= LARGE_BYTES && UNPAID(bytes, stream);
    divvy_compute_break(stream);
    return false;
}

/* `within`, an expression, is evaluated for copies of some size only. */
#define EITHER(symbol, parameters, arguments, within, bytes, stream)                                                   \
    DIVVY_COMPUTE_GATED(symbol, parameters, arguments,                                                                 \
                        (bytes) >= BREAK_BYTES && copy_is_gated(within, bytes, stream),                                \
                        size_key(DIVVY_COMPUTE_KEY_COPY, bytes), GUESS_NS(bytes), stream)

#define BOTH_POINTERS (is_device_pointer(dst) && is_device_pointer(src))

EITHER(cuMemcpy, (CUdeviceptr dst, CUdeviceptr src, size_t count), (dst, src, count), BOTH_POINTERS, count,
       CU_STREAM_LEGACY)
EITHER(cuMemcpy_ptds, (CUdeviceptr dst, CUdeviceptr src, size_t count), (dst, src, count), BOTH_POINTERS, count,
       CU_STREAM_PER_THREAD)
EITHER(cuMemcpyAsync, (CUdeviceptr dst, CUdeviceptr src, size_t count, CUstream stream), (dst, src, count, stream),
       BOTH_POINTERS, count, LEGACY(stream))
EITHER(cuMemcpyAsync_ptsz, (CUdeviceptr dst, CUdeviceptr src, size_t count, CUstream stream),
       (dst, src, count, stream), BOTH_POINTERS, count, PER_THREAD(stream))

#define BOTH_TYPES                                                                                                     \
    (is_device_type(copy->srcMemoryType, copy->srcDevice) && is_device_type(copy->dstMemoryType, copy->dstDevice))
#define BYTES_2D (copy ? copy->WidthInBytes * copy->Height : 0)
#define BYTES_3D (copy ? copy->WidthInBytes * copy->Height * copy->Depth : 0)

#define COPY_2D(symbol, stream) EITHER(symbol, (const CUDA_MEMCPY2D *copy), (copy), BOTH_TYPES, BYTES_2D, stream)
#define COPY_2D_ASYNC(symbol, normal)                                                                                  \
    EITHER(symbol, (const CUDA_MEMCPY2D *copy, CUstream stream), (copy, stream), BOTH_TYPES, BYTES_2D, normal(stream))
#define COPY_3D(symbol, stream) EITHER(symbol, (const CUDA_MEMCPY3D *copy), (copy), BOTH_TYPES, BYTES_3D, stream)
#define COPY_3D_ASYNC(symbol, normal)                                                                                  \
    EITHER(symbol, (const CUDA_MEMCPY3D *copy, CUstream stream), (copy, stream), BOTH_TYPES, BYTES_3D, normal(stream))

COPY_2D(cuMemcpy2D_v2, CU_STREAM_LEGACY)
COPY_2D(cuMemcpy2D_v2_ptds, CU_STREAM_PER_THREAD)
COPY_2D(cuMemcpy2DUnaligned_v2, CU_STREAM_LEGACY)
COPY_2D(cuMemcpy2DUnaligned_v2_ptds, CU_STREAM_PER_THREAD)
COPY_2D_ASYNC(cuMemcpy2DAsync_v2, LEGACY)
COPY_2D_ASYNC(cuMemcpy2DAsync_v2_ptsz, PER_THREAD)
COPY_3D(cuMemcpy3D_v2, CU_STREAM_LEGACY)
COPY_3D(cuMemcpy3D_v2_ptds, CU_STREAM_PER_THREAD)
COPY_3D_ASYNC(cuMemcpy3DAsync_v2, LEGACY)
COPY_3D_ASYNC(cuMemcpy3DAsync_v2_ptsz, PER_THREAD)

/* --- copies over the bus ------------------------------------------------------------------------------------------ */

#define BUS(symbol, parameters, arguments, stream)                                                                     \
    DIVVY_COMPUTE_BREAKING(symbol, parameters, arguments, bytes >= BREAK_BYTES, stream)

BUS(cuMemcpyHtoD_v2, (CUdeviceptr dst, const void *src, size_t bytes), (dst, src, bytes), CU_STREAM_LEGACY)
BUS(cuMemcpyHtoD_v2_ptds, (CUdeviceptr dst, const void *src, size_t bytes), (dst, src, bytes), CU_STREAM_PER_THREAD)
BUS(cuMemcpyHtoDAsync_v2, (CUdeviceptr dst, const void *src, size_t bytes, CUstream stream), (dst, src, bytes, stream),
    LEGACY(stream))
BUS(cuMemcpyHtoDAsync_v2_ptsz, (CUdeviceptr dst, const void *src, size_t bytes, CUstream stream),
    (dst, src, bytes, stream), PER_THREAD(stream))
BUS(cuMemcpyDtoH_v2, (void *dst, CUdeviceptr src, size_t bytes), (dst, src, bytes), CU_STREAM_LEGACY)
BUS(cuMemcpyDtoH_v2_ptds, (void *dst, CUdeviceptr src, size_t bytes), (dst, src, bytes), CU_STREAM_PER_THREAD)
BUS(cuMemcpyDtoHAsync_v2, (void *dst, CUdeviceptr src, size_t bytes, CUstream stream), (dst, src, bytes, stream),
    LEGACY(stream))
BUS(cuMemcpyDtoHAsync_v2_ptsz, (void *dst, CUdeviceptr src, size_t bytes, CUstream stream), (dst, src, bytes, stream),
    PER_THREAD(stream))

/* --- decompression ------------------------------------------------------------------------------------------------ */

static uint64_t decompressed_bytes(const CUmemDecompressParams *parts, size_t count) {
    uint64_t bytes = 0;

    for (size_t i = 0; parts && i < count; i++)
        bytes += parts[i].dstNumBytes;
    return bytes;
}

#define DECOMPRESS_PARAMETERS                                                                                          \
    (CUmemDecompressParams * parts, size_t count, unsigned int flags, size_t *errorIndex, CUstream stream)

SIZED(cuMemBatchDecompressAsync, DECOMPRESS_PARAMETERS, (parts, count, flags, errorIndex, stream),
      DIVVY_COMPUTE_KEY_DECOMPRESS, decompressed_bytes(parts, count), LEGACY(stream))
SIZED(cuMemBatchDecompressAsync_ptsz, DECOMPRESS_PARAMETERS, (parts, count, flags, errorIndex, stream),
      DIVVY_COMPUTE_KEY_DECOMPRESS, decompressed_bytes(parts, count), PER_THREAD(stream))
