/*
 * Sizes of arrays: bits are not bytes, a missing dimension is 1, every level counts.
 */
#include "limiter/memory/array_size.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_formats(void **state) {
    (void)state;
    assert_int_equal(divvy_array_bytes(100, 0, 0, CU_AD_FORMAT_UNSIGNED_INT8, 1), 100);
    assert_int_equal(divvy_array_bytes(100, 0, 0, CU_AD_FORMAT_FLOAT, 1), 400);
    assert_int_equal(divvy_array_bytes(100, 10, 0, CU_AD_FORMAT_FLOAT, 4), 16000);
    assert_int_equal(divvy_array_bytes(100, 10, 3, CU_AD_FORMAT_HALF, 2), 12000);
    assert_int_equal(divvy_array_bytes(100, 0, 6, CU_AD_FORMAT_UNSIGNED_INT16, 1), 1200);
    /* 256 MiB of floats: taken for bits it would be 2 GiB. */
    assert_int_equal(divvy_array_bytes(8192, 8192, 0, CU_AD_FORMAT_FLOAT, 1), 256u << 20);
    assert_int_equal(divvy_array_bytes(64, 64, 0, CU_AD_FORMAT_UNORM_INT8X4, 4), 64 * 64 * 4);
    /* Blocks of 4 x 4: 8 or 16 bytes each, partial blocks are whole ones. */
    assert_int_equal(divvy_array_bytes(64, 64, 0, CU_AD_FORMAT_BC1_UNORM, 4), 16 * 16 * 8);
    assert_int_equal(divvy_array_bytes(65, 1, 0, CU_AD_FORMAT_BC7_UNORM, 4), 17 * 1 * 16);
    /* Luma and a quarter of chroma, twice. */
    assert_int_equal(divvy_array_bytes(1920, 1080, 0, CU_AD_FORMAT_NV12, 3), 1920 * 1080 * 3 / 2);
    /* A format of the future is not free. */
    assert_true(divvy_array_bytes(10, 10, 0, (CUarray_format)0x7777, 1) >= 100);
}

static void test_overflow(void **state) {
    (void)state;
    assert_true(divvy_array_bytes(UINT64_MAX, 1, 1, CU_AD_FORMAT_FLOAT, 4) == UINT64_MAX);
    assert_true(divvy_array_bytes(1ull << 40, 1ull << 40, 1, CU_AD_FORMAT_UNSIGNED_INT8, 1) ==
                UINT64_MAX);
}

static uint64_t mipmap(size_t width, size_t height, size_t depth, unsigned flags, unsigned levels) {
    CUDA_ARRAY3D_DESCRIPTOR descriptor = {.Width = width,
                                          .Height = height,
                                          .Depth = depth,
                                          .Format = CU_AD_FORMAT_UNSIGNED_INT8,
                                          .NumChannels = 1,
                                          .Flags = flags};

    return divvy_mipmap_bytes(&descriptor, levels);
}

static void test_levels(void **state) {
    (void)state;
    assert_int_equal(mipmap(8, 8, 0, 0, 1), 64);
    assert_int_equal(mipmap(8, 8, 0, 0, 4), 64 + 16 + 4 + 1);
    assert_int_equal(mipmap(8, 8, 0, 0, 100), 64 + 16 + 4 + 1);
    assert_int_equal(mipmap(8, 2, 0, 0, 4), 16 + 4 + 2 + 1);
    assert_int_equal(mipmap(8, 0, 0, 0, 4), 8 + 4 + 2 + 1);
    assert_int_equal(mipmap(4, 4, 4, 0, 3), 64 + 8 + 1);
    /* Layers stay as many. */
    assert_int_equal(mipmap(4, 4, 6, CUDA_ARRAY3D_LAYERED, 3), (16 + 4 + 1) * 6);
    assert_int_equal(mipmap(4, 4, 6, CUDA_ARRAY3D_CUBEMAP, 3), (16 + 4 + 1) * 6);
    assert_int_equal(mipmap(4, 4, 0, 0, 0), 16);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_overflow),
        cmocka_unit_test(test_levels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
