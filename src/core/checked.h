/*
 * Arithmetic on sizes that others choose: sums and products that say when they do not fit, or
 * saturate. Pure; usable anywhere.
 */
#ifndef DIVVY_CORE_CHECKED_H
#define DIVVY_CORE_CHECKED_H

#include <errno.h>
#include <stdint.h>

/* 0, or -ERANGE when the sum does not fit; *ret_sum is untouched on failure. */
static inline int divvy_core_u64_add(uint64_t a, uint64_t b, uint64_t *ret_sum) {
    uint64_t sum;

    if (__builtin_add_overflow(a, b, &sum))
        return -ERANGE;
    *ret_sum = sum;
    return 0;
}

/* 0, or -ERANGE when the product does not fit; *ret_product is untouched on failure. */
static inline int divvy_core_u64_mul(uint64_t a, uint64_t b, uint64_t *ret_product) {
    uint64_t product;

    if (__builtin_mul_overflow(a, b, &product))
        return -ERANGE;
    *ret_product = product;
    return 0;
}

/* The sum, or UINT64_MAX when it does not fit. */
static inline uint64_t divvy_core_u64_add_saturated(uint64_t a, uint64_t b) {
    uint64_t sum;

    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

/* The product, or UINT64_MAX when it does not fit. */
static inline uint64_t divvy_core_u64_mul_saturated(uint64_t a, uint64_t b) {
    uint64_t product;

    return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

/* a - b, or 0 when b is larger. */
static inline uint64_t divvy_core_u64_sub_floored(uint64_t a, uint64_t b) {
    return a > b ? a - b : 0;
}

/* a * numerator / denominator without intermediate overflow, saturated; denominator > 0. */
static inline uint64_t divvy_core_u64_scale(uint64_t a, uint64_t numerator, uint64_t denominator) {
    unsigned __int128 scaled = (unsigned __int128)a * numerator / denominator;

    return scaled > UINT64_MAX ? UINT64_MAX : (uint64_t)scaled;
}

#endif
