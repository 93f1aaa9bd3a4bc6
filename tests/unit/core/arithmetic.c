/* Checked and saturating arithmetic, hash mixing, clocks. */
#include "core/checked.h"
#include "core/clock.h"
#include "core/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void sums_and_products(void **state) {
    uint64_t result = 7;

    (void)state;
    assert_int_equal(divvy_core_u64_add(UINT64_MAX, 0, &result), 0);
    assert_true(result == UINT64_MAX);
    assert_int_equal(divvy_core_u64_add(UINT64_MAX, 1, &result), -ERANGE);
    assert_true(result == UINT64_MAX);
    assert_int_equal(divvy_core_u64_mul(UINT64_C(1) << 32, UINT64_C(1) << 31, &result), 0);
    assert_int_equal(divvy_core_u64_mul(UINT64_C(1) << 32, UINT64_C(1) << 32, &result), -ERANGE);
    assert_true(divvy_core_u64_add_saturated(UINT64_MAX, 5) == UINT64_MAX);
    assert_true(divvy_core_u64_mul_saturated(UINT64_MAX, 2) == UINT64_MAX);
    assert_true(divvy_core_u64_sub_floored(3, 5) == 0);
    assert_true(divvy_core_u64_sub_floored(5, 3) == 2);
    assert_true(divvy_core_u64_scale(UINT64_MAX, 50, 100) == UINT64_MAX / 2);
    assert_true(divvy_core_u64_scale(UINT64_MAX, 200, 100) == UINT64_MAX);
}

/*
 * Device pointers step by 512 bytes or 2 MiB; their hashes must fill a table evenly, in low and in
 * high bits.
 */
static void pointers_spread(void **state) {
    static const uint64_t steps[] = {1, 256, 512, 4096, UINT64_C(2) << 20, UINT64_C(1) << 32};
    static unsigned int low[1024], high[1024];

    (void)state;
    for (size_t s = 0; s < sizeof steps / sizeof steps[0]; s++) {
        for (int i = 0; i < 1024; i++)
            low[i] = high[i] = 0;
        for (uint64_t i = 0; i < 65536; i++) {
            uint64_t hash = divvy_core_hash_mix(UINT64_C(0x7f0000000000) + i * steps[s]);

            low[hash & 1023]++;
            high[hash >> 54]++;
        }
        for (int i = 0; i < 1024; i++) {
            assert_in_range(low[i], 20, 140);
            assert_in_range(high[i], 20, 140);
        }
    }
    assert_true(divvy_core_hash_pair(1, 2) != divvy_core_hash_pair(2, 1));
}

static void clocks_go_forward(void **state) {
    uint64_t before = divvy_core_clock_ns(), coarse = divvy_core_clock_coarse_ns();
    uint64_t ticks = divvy_core_clock_ticks();
    struct timespec split = divvy_core_clock_timespec(UINT64_C(3500000000));

    (void)state;
    assert_true(coarse <= divvy_core_clock_ns());
    assert_true(divvy_core_clock_ns() >= before);
    assert_true(divvy_core_clock_ticks() != ticks);
    assert_int_equal(split.tv_sec, 3);
    assert_int_equal(split.tv_nsec, 500000000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_and_products),
        cmocka_unit_test(pointers_spread),
        cmocka_unit_test(clocks_go_forward),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
