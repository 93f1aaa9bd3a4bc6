/*
 * Floating-point arithmetic and comparison. Approximate operations give the correctly rounded
 * result or one within the C library's error, which is inside what PTX allows. Half formats compute
 * in double.
 */
#include "simgpu/ptx/exec.h"
#include "simgpu/ptx/fp.h"

#include <fenv.h>
#include <math.h>

/* ---- Formats: how each is read, computed with and written ------------------------------------ */

#define T_f32              float
#define LOAD_f32(slot)     ((slot).f32)
#define STORE_f32(slot, x) ((slot).f32 = ptx_canonical(x))

#define T_f32z              float
#define LOAD_f32z(slot)     ptx_flush((slot).f32)
#define STORE_f32z(slot, x) ((slot).f32 = ptx_flush(ptx_canonical(x)))

#define T_f64              double
#define LOAD_f64(slot)     ((slot).f64)
#define STORE_f64(slot, x) ((slot).f64 = (x))

#define T_f16              double
#define LOAD_f16(slot)     divvy_ptx_half_to((slot).u16)
#define STORE_f16(slot, x) ((slot).u16 = divvy_ptx_half_from((x), PTX_ROUND_RN))

#define T_bf16              double
#define LOAD_bf16(slot)     ((double)ptx_bfloat_to((slot).u16))
#define STORE_bf16(slot, x) ((slot).u16 = divvy_ptx_bfloat_from((x), PTX_ROUND_RN))

/* The math function of C for a format: FN(fma, f32) is fmaf. */
#define FN_f32(name)  name##f
#define FN_f32z(name) name##f
#define FN_f64(name)  name
#define FN_f16(name)  name
#define FN_bf16(name) name
#define FN(name, t)   FN_##t(name)

#define DEFINE(name, t, expression)                                                                \
    static const ptx_insn_t *name##_##t(ptx_thread_t *thread, const ptx_insn_t *insn) {            \
        T_##t A = LOAD_##t(PTX_SLOT(a));                                                           \
        T_##t B = LOAD_##t(PTX_SLOT(b));                                                           \
        T_##t C = LOAD_##t(PTX_SLOT(c));                                                           \
        (void)A, (void)B, (void)C;                                                                 \
        STORE_##t(PTX_SLOT(d), (T_##t)(expression));                                               \
        PTX_NEXT;                                                                                  \
    }

/* The half formats come in pairs too; both halves of a slot in turn. */
#define PAIR(name, single, t)                                                                      \
    static const ptx_insn_t *name##_##t##x2(ptx_thread_t *thread, const ptx_insn_t *insn) {        \
        uint32_t a = PTX_SLOT(a).u32, b = PTX_SLOT(b).u32, c = PTX_SLOT(c).u32, result = 0;        \
        for (unsigned k = 0; k < 32; k += 16) {                                                    \
            ptx_slot_t sa = {.u32 = a >> k}, sb = {.u32 = b >> k}, sc = {.u32 = c >> k};           \
            ptx_slot_t sd = {.u64 = 0};                                                            \
            T_##t A = LOAD_##t(sa), B = LOAD_##t(sb), C = LOAD_##t(sc);                            \
            (void)A, (void)B, (void)C;                                                             \
            STORE_##t(sd, single);                                                                 \
            result |= (uint32_t)sd.u16 << k;                                                       \
        }                                                                                          \
        PTX_SLOT(d).u32 = result;                                                                  \
        PTX_NEXT;                                                                                  \
    }

#define HALVES(name, expression)                                                                   \
    DEFINE(name, f16, expression)                                                                  \
    DEFINE(name, bf16, expression)                                                                 \
    PAIR(name, expression, f16)                                                                    \
    PAIR(name, expression, bf16)
#define ALL(name, expression)                                                                      \
    DEFINE(name, f32, expression)                                                                  \
    DEFINE(name, f32z, expression)                                                                 \
    DEFINE(name, f64, expression)                                                                  \
    HALVES(name, expression)

/* ---- Arithmetic ------------------------------------------------------------------------------ */

ALL(add, A + B)
ALL(sub, A - B)
ALL(mul, (A) * (B))

DEFINE(fma, f32, fmaf(A, B, C))
DEFINE(fma, f32z, fmaf(A, B, C))
DEFINE(fma, f64, fma(A, B, C))
/*
 * The product of two half numbers is exact in double, the sum need not be. It is rounded to odd, so
 * that rounding it once more to the half format gives the same as rounding the exact sum.
 */
static double fma_odd(double a, double b, double c) {
    double product = a * b;
    double sum = product + c;
    if (!isfinite(sum))
        return sum;
    double part = sum - product;
    double error = (product - (sum - part)) + (c - part);
    uint64_t bits = ptx_f64_bits(sum);
    if (error != 0 && !(bits & 1))
        bits += (error > 0) == (sum > 0) ? 1 : UINT64_MAX;
    return ptx_bits_f64(bits);
}
HALVES(fma, fma_odd(A, B, C))

DEFINE(div, f32, A / B)
DEFINE(div, f32z, A / B)
DEFINE(div, f64, A / B)
DEFINE(rcp, f32, 1.0f / A)
DEFINE(rcp, f32z, 1.0f / A)
DEFINE(rcp, f64, 1.0 / A)

#define UNARY(name, call)                                                                          \
    DEFINE(name, f32, FN(call, f32)(A))                                                            \
    DEFINE(name, f32z, FN(call, f32z)(A))
UNARY(sqrt, sqrt)
DEFINE(sqrt, f64, sqrt(A))
DEFINE(rsqrt, f32, (float)(1.0 / sqrt((double)A)))
DEFINE(rsqrt, f32z, (float)(1.0 / sqrt((double)A)))
DEFINE(rsqrt, f64, 1.0 / sqrt(A))
UNARY(ex2, exp2)
HALVES(ex2, exp2(A))
UNARY(lg2, log2)
UNARY(sin, sin)
UNARY(cos, cos)
UNARY(tanh, tanh)
HALVES(tanh, tanh(A))

/* Exactly one NaN operand gives the other operand; -0 is less than +0. */
static inline double least(double a, double b) {
    if (a != a)
        return b;
    if (b != b)
        return a;
    if (a == b)
        return signbit(a) ? a : b;
    return a < b ? a : b;
}
static inline double greatest(double a, double b) {
    return -least(-a, -b);
}
static inline double least_nan(double a, double b) {
    return a != a || b != b ? (double)NAN : least(a, b);
}
static inline double greatest_nan(double a, double b) {
    return a != a || b != b ? (double)NAN : greatest(a, b);
}
ALL(min, least(A, B))
ALL(max, greatest(A, B))
#define PROPAGATING(name, expression)                                                              \
    DEFINE(name, f32, expression)                                                                  \
    DEFINE(name, f32z, expression)                                                                 \
    HALVES(name, expression)
PROPAGATING(min_nan, least_nan(A, B))
PROPAGATING(max_nan, greatest_nan(A, B))

/* These work on bits, so that NaN keep their content. */
#define ON_BITS(name, t, field, expression)                                                        \
    static const ptx_insn_t *name##_##t(ptx_thread_t *thread, const ptx_insn_t *insn) {            \
        __typeof__(PTX_SLOT(a).field) A = PTX_SLOT(a).field, B = PTX_SLOT(b).field;                \
        (void)A, (void)B;                                                                          \
        PTX_SLOT(d).field = (__typeof__(A))(expression);                                           \
        PTX_NEXT;                                                                                  \
    }
#define SIGN_OPERATIONS(t, field, mask)                                                            \
    ON_BITS(neg, t, field, A ^ (mask))                                                             \
    ON_BITS(abs, t, field, A & ~(mask))
SIGN_OPERATIONS(f32, u32, UINT32_C(0x80000000))
SIGN_OPERATIONS(f64, u64, UINT64_C(0x8000000000000000))
SIGN_OPERATIONS(f16, u16, UINT32_C(0x8000))
SIGN_OPERATIONS(f16x2, u32, UINT32_C(0x80008000))
ON_BITS(copysign, f32, u32, (A & UINT32_C(0x80000000)) | (B & UINT32_C(0x7fffffff)))
ON_BITS(copysign, f64, u64, (A & UINT64_C(1) << 63) | (B & UINT64_C(0x7fffffffffffffff)))
ON_BITS(neg, f32z, u32, ptx_f32_bits(ptx_flush(ptx_bits_f32(A))) ^ UINT32_C(0x80000000))
ON_BITS(abs, f32z, u32, ptx_f32_bits(ptx_flush(ptx_bits_f32(A))) & UINT32_C(0x7fffffff))

DEFINE(saturate, f32, A > 0 ? (A < 1 ? A : 1) : 0)
DEFINE(saturate, f64, A > 0 ? (A < 1 ? A : 1) : 0)
DEFINE(saturate, f16, A > 0 ? (A < 1 ? A : 1) : 0)
PAIR(saturate, A > 0 ? (A < 1 ? A : 1) : 0, f16)

static uint32_t test(double x, bool subnormal, uint32_t modifier) {
    switch (modifier) {
    case PTX_M_FINITE:
        return isfinite(x) != 0;
    case PTX_M_INFINITE:
        return isinf(x) != 0;
    case PTX_M_NUMBER:
        return x == x;
    case PTX_M_NOTANUMBER:
        return x != x;
    case PTX_M_NORMAL:
        return isfinite(x) && !subnormal; /* zero counts as normal */
    default:
        return subnormal;
    }
}
static const ptx_insn_t *test_f32(ptx_thread_t *thread, const ptx_insn_t *insn) {
    float x = PTX_SLOT(a).f32;
    PTX_SLOT(d).u32 = test(x, fpclassify(x) == FP_SUBNORMAL, insn->f);
    PTX_NEXT;
}
static const ptx_insn_t *test_f64(ptx_thread_t *thread, const ptx_insn_t *insn) {
    double x = PTX_SLOT(a).f64;
    PTX_SLOT(d).u32 = test(x, fpclassify(x) == FP_SUBNORMAL, insn->f);
    PTX_NEXT;
}

/* ---- Directed rounding ----------------------------------------------------------------------- */

/* The volatile accesses keep the operation between the two mode changes. */
#define ROUNDED(name, t, expression)                                                               \
    static const ptx_insn_t *name##_rounded_##t(ptx_thread_t *thread, const ptx_insn_t *insn) {    \
        volatile T_##t va = LOAD_##t(PTX_SLOT(a)), vb = LOAD_##t(PTX_SLOT(b)),                     \
                       vc = LOAD_##t(PTX_SLOT(c));                                                 \
        fesetround((int)insn->f);                                                                  \
        T_##t A = va, B = vb, C = vc;                                                              \
        (void)A, (void)B, (void)C;                                                                 \
        volatile T_##t result = (expression);                                                      \
        fesetround(FE_TONEAREST);                                                                  \
        STORE_##t(PTX_SLOT(d), result);                                                            \
        PTX_NEXT;                                                                                  \
    }
#define ROUNDED_ALL(t)                                                                             \
    ROUNDED(add, t, A + B)                                                                         \
    ROUNDED(sub, t, A - B)                                                                         \
    ROUNDED(mul, t, (A) * (B))                                                                     \
    ROUNDED(fma, t, FN(fma, t)(A, B, C))                                                           \
    ROUNDED(div, t, A / B)                                                                         \
    ROUNDED(rcp, t, 1 / A)                                                                         \
    ROUNDED(sqrt, t, FN(sqrt, t)(A))
ROUNDED_ALL(f32)
ROUNDED_ALL(f32z)
ROUNDED_ALL(f64)

/* ---- Comparison ------------------------------------------------------------------------------ */

#define COMPARE_ONE(name, t, expression)                                                           \
    static const ptx_insn_t *name##_##t(ptx_thread_t *thread, const ptx_insn_t *insn) {            \
        T_##t A = LOAD_##t(PTX_SLOT(a)), B = LOAD_##t(PTX_SLOT(b));                                \
        PTX_SLOT(d).u32 = (expression);                                                            \
        PTX_NEXT;                                                                                  \
    }
#define COMPARE(t)                                                                                 \
    COMPARE_ONE(eq, t, A == B)                                                                     \
    COMPARE_ONE(ne, t, (A < B) || (A > B))                                                         \
    COMPARE_ONE(lt, t, A < B)                                                                      \
    COMPARE_ONE(le, t, A <= B)                                                                     \
    COMPARE_ONE(gt, t, A > B)                                                                      \
    COMPARE_ONE(ge, t, A >= B)                                                                     \
    COMPARE_ONE(equ, t, !(A < B || A > B))                                                         \
    COMPARE_ONE(neu, t, A != B)                                                                    \
    COMPARE_ONE(ltu, t, !(A >= B))                                                                 \
    COMPARE_ONE(leu, t, !(A > B))                                                                  \
    COMPARE_ONE(gtu, t, !(A <= B))                                                                 \
    COMPARE_ONE(geu, t, !(A < B))                                                                  \
    COMPARE_ONE(num, t, A == A && B == B)                                                          \
    COMPARE_ONE(nan, t, A != A || B != B)
COMPARE(f32)
COMPARE(f32z)
COMPARE(f64)
COMPARE(f16)
COMPARE(bf16)

/* ---- Tables ---------------------------------------------------------------------------------- */

/* clang-format off */
#define F32(f) [PTX_F32] = f##_f32, [PTX_F32Z] = f##_f32z
#define F32_64(f) F32(f), [PTX_F64] = f##_f64
#define F16S(f) [PTX_F16] = f##_f16, [PTX_BF16] = f##_bf16, [PTX_F16X2] = f##_f16x2, \
                [PTX_BF16X2] = f##_bf16x2
/* bfloat16 has its sign where half has it. */
#define SIGN(f) F32_64(f), [PTX_F16] = f##_f16, [PTX_BF16] = f##_f16, [PTX_F16X2] = f##_f16x2, \
                [PTX_BF16X2] = f##_f16x2

static const ptx_handler_t arithmetic[PTX_OP_MAX_][PTX_TYPE_MAX] = {
    [PTX_OP_ADD] = {F32_64(add), F16S(add)},
    [PTX_OP_SUB] = {F32_64(sub), F16S(sub)},
    [PTX_OP_MUL] = {F32_64(mul), F16S(mul)},
    [PTX_OP_FMA] = {F32_64(fma), F16S(fma)},
    [PTX_OP_DIV] = {F32_64(div)},
    [PTX_OP_RCP] = {F32_64(rcp)},
    [PTX_OP_SQRT] = {F32_64(sqrt)},
    [PTX_OP_RSQRT] = {F32_64(rsqrt)},
    [PTX_OP_EX2] = {F32(ex2), F16S(ex2)},
    [PTX_OP_LG2] = {F32(lg2)},
    [PTX_OP_SIN] = {F32(sin)},
    [PTX_OP_COS] = {F32(cos)},
    [PTX_OP_TANH] = {F32(tanh), F16S(tanh)},
    [PTX_OP_MIN] = {F32_64(min), F16S(min)},
    [PTX_OP_MAX] = {F32_64(max), F16S(max)},
    [PTX_OP_MIN_NAN] = {F32(min_nan), F16S(min_nan)},
    [PTX_OP_MAX_NAN] = {F32(max_nan), F16S(max_nan)},
    [PTX_OP_NEG] = {SIGN(neg)},
    [PTX_OP_ABS] = {SIGN(abs)},
    [PTX_OP_COPYSIGN] = {[PTX_F32] = copysign_f32, [PTX_F64] = copysign_f64},
    [PTX_OP_SATURATE] = {[PTX_F32] = saturate_f32, [PTX_F32Z] = saturate_f32, [PTX_F64] = saturate_f64,
                         [PTX_F16] = saturate_f16, [PTX_F16X2] = saturate_f16x2},
    [PTX_OP_TEST] = {[PTX_F32] = test_f32, [PTX_F64] = test_f64},
};

static const ptx_handler_t rounded[PTX_OP_MAX_][PTX_TYPE_MAX] = {
    [PTX_OP_ADD] = {F32_64(add_rounded)},
    [PTX_OP_SUB] = {F32_64(sub_rounded)},
    [PTX_OP_MUL] = {F32_64(mul_rounded)},
    [PTX_OP_FMA] = {F32_64(fma_rounded)},
    [PTX_OP_DIV] = {F32_64(div_rounded)},
    [PTX_OP_RCP] = {F32_64(rcp_rounded)},
    [PTX_OP_SQRT] = {F32_64(sqrt_rounded)},
};

#define COMPARABLE(f) {F32_64(f), [PTX_F16] = f##_f16, [PTX_BF16] = f##_bf16}
static const ptx_handler_t comparisons[PTX_CMP_MAX][PTX_TYPE_MAX] = {
    [PTX_CMP_EQ] = COMPARABLE(eq), [PTX_CMP_NE] = COMPARABLE(ne), [PTX_CMP_LT] = COMPARABLE(lt),
    [PTX_CMP_LE] = COMPARABLE(le), [PTX_CMP_GT] = COMPARABLE(gt), [PTX_CMP_GE] = COMPARABLE(ge),
    [PTX_CMP_EQU] = COMPARABLE(equ), [PTX_CMP_NEU] = COMPARABLE(neu), [PTX_CMP_LTU] = COMPARABLE(ltu),
    [PTX_CMP_LEU] = COMPARABLE(leu), [PTX_CMP_GTU] = COMPARABLE(gtu), [PTX_CMP_GEU] = COMPARABLE(geu),
    [PTX_CMP_NUM] = COMPARABLE(num), [PTX_CMP_NAN] = COMPARABLE(nan),
};
/* clang-format on */

ptx_handler_t divvy_ptx_exec_float(ptx_op_t op, ptx_type_t type) {
    return arithmetic[op][type];
}

ptx_handler_t divvy_ptx_exec_float_rounded(ptx_op_t op, ptx_type_t type) {
    return rounded[op][type];
}

ptx_handler_t divvy_ptx_exec_compare_float(ptx_cmp_t cmp, ptx_type_t type) {
    return comparisons[cmp][type];
}
