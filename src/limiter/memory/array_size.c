/*
 * Sizes of arrays and mipmapped arrays from their descriptors.
 */
#include "limiter/memory/array_size.h"
#include "core/checked.h"

#include <stdbool.h>

/* What a format needs: bits for each element of `width` x `height`, for one channel or for the
 * whole. */
struct density {
    unsigned bits; /* per element (times channels), or per 4x4 block */
    bool per_channel;
    bool blocks; /* 4x4 elements at a time */
};

static struct density density_of(CUarray_format format) {
    switch ((unsigned)format) {
    case CU_AD_FORMAT_UNSIGNED_INT8:
    case CU_AD_FORMAT_SIGNED_INT8:
        return (struct density){.bits = 8, .per_channel = true};
    case CU_AD_FORMAT_UNSIGNED_INT16:
    case CU_AD_FORMAT_SIGNED_INT16:
    case CU_AD_FORMAT_HALF:
        return (struct density){.bits = 16, .per_channel = true};
    case CU_AD_FORMAT_UNSIGNED_INT32:
    case CU_AD_FORMAT_SIGNED_INT32:
    case CU_AD_FORMAT_FLOAT:
        return (struct density){.bits = 32, .per_channel = true};
    case CU_AD_FORMAT_UNORM_INT8X1:
    case CU_AD_FORMAT_SNORM_INT8X1:
        return (struct density){.bits = 8};
    case CU_AD_FORMAT_UNORM_INT8X2:
    case CU_AD_FORMAT_SNORM_INT8X2:
    case CU_AD_FORMAT_UNORM_INT16X1:
    case CU_AD_FORMAT_SNORM_INT16X1:
        return (struct density){.bits = 16};
    case CU_AD_FORMAT_UNORM_INT8X4:
    case CU_AD_FORMAT_SNORM_INT8X4:
    case CU_AD_FORMAT_UNORM_INT16X2:
    case CU_AD_FORMAT_SNORM_INT16X2:
    case CU_AD_FORMAT_UNORM_INT_101010_2:
        return (struct density){.bits = 32};
    case CU_AD_FORMAT_UNORM_INT16X4:
    case CU_AD_FORMAT_SNORM_INT16X4:
        return (struct density){.bits = 64};
    case CU_AD_FORMAT_BC1_UNORM:
    case CU_AD_FORMAT_BC1_UNORM_SRGB:
    case CU_AD_FORMAT_BC4_UNORM:
    case CU_AD_FORMAT_BC4_SNORM:
        return (struct density){.bits = 64, .blocks = true};
    case CU_AD_FORMAT_BC2_UNORM:
    case CU_AD_FORMAT_BC2_UNORM_SRGB:
    case CU_AD_FORMAT_BC3_UNORM:
    case CU_AD_FORMAT_BC3_UNORM_SRGB:
    case CU_AD_FORMAT_BC5_UNORM:
    case CU_AD_FORMAT_BC5_SNORM:
    case CU_AD_FORMAT_BC6H_UF16:
    case CU_AD_FORMAT_BC6H_SF16:
    case CU_AD_FORMAT_BC7_UNORM:
    case CU_AD_FORMAT_BC7_UNORM_SRGB:
        return (struct density){.bits = 128, .blocks = true};
    /* Video: luma of every pixel, chroma of every fourth, second or first one. */
    case CU_AD_FORMAT_NV12:
        return (struct density){.bits = 12};
    case CU_AD_FORMAT_P010:
    case CU_AD_FORMAT_P016:
        return (struct density){.bits = 24};
    case CU_AD_FORMAT_NV16:
    case CU_AD_FORMAT_YUY2:
        return (struct density){.bits = 16};
    case CU_AD_FORMAT_P210:
    case CU_AD_FORMAT_P216:
    case CU_AD_FORMAT_Y210:
    case CU_AD_FORMAT_Y216:
    case CU_AD_FORMAT_AYUV:
    case CU_AD_FORMAT_Y410:
        return (struct density){.bits = 32};
    case CU_AD_FORMAT_Y444_PLANAR8:
    case CU_AD_FORMAT_YUV444_8bit_SemiPlanar:
        return (struct density){.bits = 24};
    case CU_AD_FORMAT_Y444_PLANAR10:
    case CU_AD_FORMAT_YUV444_16bit_SemiPlanar:
        return (struct density){.bits = 48};
    case CU_AD_FORMAT_Y416:
        return (struct density){.bits = 64};
    default:
        /* A format newer than this table: the widest per channel, so that it is not a way around
         * the limit. */
        return (struct density){.bits = 32, .per_channel = true};
    }
}

static uint64_t at_least_1(uint64_t value) {
    return value ? value : 1;
}

uint64_t divvy_array_bytes(uint64_t width, uint64_t height, uint64_t depth, CUarray_format format,
                           unsigned int channels) {
    struct density density = density_of(format);
    uint64_t columns = width, rows = at_least_1(height), bits;

    if (density.blocks) {
        columns = columns / 4 + (columns % 4 != 0);
        rows = rows / 4 + (rows % 4 != 0);
    }
    bits = divvy_core_u64_mul_saturated(columns, rows);
    bits = divvy_core_u64_mul_saturated(bits, at_least_1(depth));
    bits = divvy_core_u64_mul_saturated(bits, density.bits);
    if (density.per_channel)
        bits = divvy_core_u64_mul_saturated(bits, at_least_1(channels));
    return bits == UINT64_MAX ? UINT64_MAX : bits / 8 + (bits % 8 != 0);
}

static uint64_t halved(uint64_t size, unsigned int level) {
    return size == 0 ? 0 : at_least_1(level < 64 ? size >> level : 0);
}

uint64_t divvy_mipmap_bytes(const CUDA_ARRAY3D_DESCRIPTOR *descriptor, unsigned int levels) {
    bool layered = (descriptor->Flags & (CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_CUBEMAP)) != 0;
    uint64_t largest =
        descriptor->Width > descriptor->Height ? descriptor->Width : descriptor->Height;
    uint64_t total = 0;
    unsigned int level = 0;

    if (!layered && descriptor->Depth > largest)
        largest = descriptor->Depth;
    /* The driver makes no level beyond the one of a single element. */
    do {
        uint64_t depth = layered ? descriptor->Depth : halved(descriptor->Depth, level);

        total = divvy_core_u64_add_saturated(
            total,
            divvy_array_bytes(halved(descriptor->Width, level), halved(descriptor->Height, level),
                              depth, descriptor->Format, descriptor->NumChannels));
        level++;
    } while (level < levels && level < 64 && largest >> level != 0);
    return total;
}
