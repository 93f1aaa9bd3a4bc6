/*
 * Number formats that C lacks (half and bfloat16) and the GPU's rules for NaN and subnormals. Pure.
 */
#ifndef DIVVY_SIMGPU_PTX_FP_H
#define DIVVY_SIMGPU_PTX_FP_H

#include <stdint.h>
#include <string.h>

static inline uint32_t ptx_f32_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

static inline float ptx_bits_f32(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof(x));
    return x;
}

static inline uint64_t ptx_f64_bits(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

static inline double ptx_bits_f64(uint64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof(x));
    return x;
}

/* Subnormal numbers become zero of the same sign. */
static inline float ptx_flush(float x) {
    uint32_t bits = ptx_f32_bits(x);
    return bits & 0x7f800000 ? x : ptx_bits_f32(bits & 0x80000000);
}

/* Single-precision results that are NaN are this NaN. */
static inline float ptx_canonical(float x) {
    return x == x ? x : ptx_bits_f32(0x7fffffff);
}

/* ROUND is one of PTX_ROUND_RN, RZ, RM, RP (exec.h). */
uint16_t divvy_ptx_half_from(double x, unsigned round);
uint16_t divvy_ptx_bfloat_from(double x, unsigned round);
double divvy_ptx_half_to(uint16_t bits);

static inline float ptx_bfloat_to(uint16_t bits) {
    return ptx_bits_f32((uint32_t)bits << 16);
}

#endif
