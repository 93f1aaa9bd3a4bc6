/*
 * Integer and bitwise arithmetic, comparison and selection. One small function per operation and
 * type, all made by the macros below and found through one table.
 */
#include "simgpu/ptx/exec.h"

#include <stdlib.h>
#include <string.h>

typedef __int128 int128_t;
typedef unsigned __int128 uint128_t;

/*
 * DEFINE(name, out, in, expression): d.out = expression of A, B and C, read as type `in`. Small
 * unsigned types are promoted to int by C; the expressions keep to unsigned where that could
 * overflow.
 */
#define DEFINE(name, out, in, expression)                                                          \
    static const ptx_insn_t *name(ptx_thread_t *thread, const ptx_insn_t *insn) {                  \
        __typeof__(PTX_SLOT(a).in) A = PTX_SLOT(a).in;                                             \
        __typeof__(PTX_SLOT(a).in) B = PTX_SLOT(b).in;                                             \
        __typeof__(PTX_SLOT(a).in) C = PTX_SLOT(c).in;                                             \
        (void)A, (void)B, (void)C;                                                                 \
        PTX_SLOT(d).out = (__typeof__(PTX_SLOT(d).out))(expression);                               \
        PTX_NEXT;                                                                                  \
    }

#define U16(x) ((uint16_t)(x))
#define U32(x) ((uint32_t)(x))
#define U64(x) ((uint64_t)(x))

/* ---- Sums, products, quotients --------------------------------------------------------------- */

/* Wrapping results are computed unsigned; signedness matters only where the name says so. */
#define ADD_SUB_MUL(t, wide)                                                                       \
    DEFINE(add_##t, t, t, (wide)A + (wide)B)                                                       \
    DEFINE(sub_##t, t, t, (wide)A - (wide)B)                                                       \
    DEFINE(mul_lo_##t, t, t, ((wide)A) * ((wide)B))                                                \
    DEFINE(mad_lo_##t, t, t, ((wide)A) * ((wide)B) + (wide)C)                                      \
    DEFINE(neg_##t, t, t, (wide)0 - (wide)A)
ADD_SUB_MUL(u16, uint32_t)
ADD_SUB_MUL(u32, uint32_t)
ADD_SUB_MUL(u64, uint64_t)

#define MUL_HI(t, wide, bits)                                                                      \
    DEFINE(mul_hi_##t, t, t, ((wide)A * (wide)B) >> bits)                                          \
    DEFINE(mad_hi_##t, t, t, (uint64_t)(((wide)A * (wide)B) >> bits) + (uint64_t)C)
MUL_HI(u16, uint32_t, 16)
MUL_HI(s16, int32_t, 16)
MUL_HI(u32, uint64_t, 32)
MUL_HI(s32, int64_t, 32)
MUL_HI(u64, uint128_t, 64)
MUL_HI(s64, int128_t, 64)

DEFINE(mul_wide_u16, u32, u16, U32(A) * U32(B))
DEFINE(mul_wide_s16, s32, s16, ((int32_t)A) * ((int32_t)B))
DEFINE(mul_wide_u32, u64, u32, U64(A) * U64(B))
DEFINE(mul_wide_s32, s64, s32, ((int64_t)A) * ((int64_t)B))

/* The addend of mad.wide is as wide as the result. */
#define MAD_WIDE(t, out, product)                                                                  \
    static const ptx_insn_t *mad_wide_##t(ptx_thread_t *thread, const ptx_insn_t *insn) {          \
        PTX_SLOT(d).out = (__typeof__(PTX_SLOT(d).out))((product) + PTX_SLOT(c).out);              \
        PTX_NEXT;                                                                                  \
    }
MAD_WIDE(u16, u32, U32(PTX_SLOT(a).u16) * PTX_SLOT(b).u16)
MAD_WIDE(s16, u32, U32(((int32_t)PTX_SLOT(a).s16) * (PTX_SLOT(b).s16)))
MAD_WIDE(u32, u64, U64(PTX_SLOT(a).u32) * PTX_SLOT(b).u32)
MAD_WIDE(s32, u64, U64(((int64_t)PTX_SLOT(a).s32) * (PTX_SLOT(b).s32)))

/* Division by zero gives all ones, as quotient and as remainder: what an H200 does. */
#define DIV_REM_U(t)                                                                               \
    DEFINE(div_##t, t, t, B ? A / B : ~UINT64_C(0))                                                \
    DEFINE(rem_##t, t, t, B ? A % B : ~UINT64_C(0))
DIV_REM_U(u16)
DIV_REM_U(u32)
DIV_REM_U(u64)
/* The smallest number over -1 wraps. */
#define DIV_REM_S(t, unsigned_t)                                                                   \
    DEFINE(div_##t, t, t,                                                                          \
           B == 0    ? -1                                                                          \
           : B == -1 ? (__typeof__(A))((unsigned_t)0 - (unsigned_t)A)                              \
                     : A / B)                                                                      \
    DEFINE(rem_##t, t, t, B == 0 ? -1 : B == -1 ? 0 : A % B)
DIV_REM_S(s16, uint16_t)
DIV_REM_S(s32, uint32_t)
DIV_REM_S(s64, uint64_t)

#define MIN_MAX(t)                                                                                 \
    DEFINE(min_##t, t, t, A < B ? A : B)                                                           \
    DEFINE(max_##t, t, t, A > B ? A : B)
MIN_MAX(u16)
MIN_MAX(u32)
MIN_MAX(u64)
MIN_MAX(s16)
MIN_MAX(s32)
MIN_MAX(s64)

#define ABS(t, unsigned_t)                                                                         \
    DEFINE(abs_##t, t, t, A < 0 ? (unsigned_t)0 - (unsigned_t)A : (unsigned_t)A)
ABS(s16, uint16_t)
ABS(s32, uint32_t)
ABS(s64, uint64_t)

/* d = c + |a - b| */
#define SAD(t, wide)                                                                               \
    DEFINE(sad_##t, t, t, (wide)C + (A > B ? (wide)A - (wide)B : (wide)B - (wide)A))
SAD(u16, uint32_t)
SAD(u32, uint32_t)
SAD(u64, uint64_t)
SAD(s16, uint32_t)
SAD(s32, uint32_t)
SAD(s64, uint64_t)

static int32_t clamp_s32(int64_t value) {
    return value > INT32_MAX ? INT32_MAX : value < INT32_MIN ? INT32_MIN : (int32_t)value;
}

DEFINE(add_sat_s32, s32, s32, clamp_s32((int64_t)A + B))
DEFINE(sub_sat_s32, s32, s32, clamp_s32((int64_t)A - B))
DEFINE(mad_hi_sat_s32, s32, s32, clamp_s32((((int64_t)A * B) >> 32) + C))

/* 24-bit products of the low 24 bits; hi is bits 16 to 47. */
static int64_t product24_s(int32_t a, int32_t b) {
    return (int64_t)((int32_t)(U32(a) << 8) >> 8) * ((int32_t)(U32(b) << 8) >> 8);
}
static uint64_t product24_u(uint32_t a, uint32_t b) {
    return U64(a & 0xffffff) * (b & 0xffffff);
}

DEFINE(mul24_lo_u32, u32, u32, product24_u(A, B))
DEFINE(mul24_hi_u32, u32, u32, product24_u(A, B) >> 16)
DEFINE(mul24_lo_s32, u32, s32, product24_s(A, B))
DEFINE(mul24_hi_s32, u32, s32, product24_s(A, B) >> 16)
DEFINE(mad24_lo_u32, u32, u32, product24_u(A, B) + C)
DEFINE(mad24_hi_u32, u32, u32, (product24_u(A, B) >> 16) + C)
DEFINE(mad24_lo_s32, u32, s32, product24_s(A, B) + C)
DEFINE(mad24_hi_s32, u32, s32, (product24_s(A, B) >> 16) + C)
DEFINE(mad24_hi_sat_s32, s32, s32, clamp_s32((int32_t)(product24_s(A, B) >> 16) + (int64_t)C))

/* ---- Extended precision ---------------------------------------------------------------------- */

/*
 * x + y + carry in, all of type t. `use` and `set` are 0 or 1: whether the carry flag is read and
 * written. Subtraction adds the complement, with the flag as borrow.
 */
#define CARRY(name, t, x, y, use, set)                                                             \
    static const ptx_insn_t *name(ptx_thread_t *thread, const ptx_insn_t *insn) {                  \
        uint128_t sum =                                                                            \
            (uint128_t)(__typeof__(PTX_SLOT(d).t))(x) + (__typeof__(PTX_SLOT(d).t))(y);            \
        sum += use ? thread->carry : 0;                                                            \
        PTX_SLOT(d).t = (__typeof__(PTX_SLOT(d).t))sum;                                            \
        if (set)                                                                                   \
            thread->carry = (uint32_t)(sum >> (8 * sizeof(PTX_SLOT(d).t))) & 1;                    \
        PTX_NEXT;                                                                                  \
    }
#define BORROW(name, t, use, set)                                                                  \
    static const ptx_insn_t *name(ptx_thread_t *thread, const ptx_insn_t *insn) {                  \
        uint128_t taken = (uint128_t)PTX_SLOT(b).t + (use ? thread->carry : 0);                    \
        uint128_t from = PTX_SLOT(a).t;                                                            \
        PTX_SLOT(d).t = (__typeof__(PTX_SLOT(d).t))(from - taken);                                 \
        if (set)                                                                                   \
            thread->carry = from < taken;                                                          \
        PTX_NEXT;                                                                                  \
    }
#define CARRIES(t, hi)                                                                             \
    CARRY(add_cc_##t, t, PTX_SLOT(a).t, PTX_SLOT(b).t, 0, 1)                                       \
    CARRY(addc_##t, t, PTX_SLOT(a).t, PTX_SLOT(b).t, 1, 0)                                         \
    CARRY(addc_cc_##t, t, PTX_SLOT(a).t, PTX_SLOT(b).t, 1, 1)                                      \
    BORROW(sub_cc_##t, t, 0, 1)                                                                    \
    BORROW(subc_##t, t, 1, 0)                                                                      \
    BORROW(subc_cc_##t, t, 1, 1)                                                                   \
    CARRY(mad_lo_cc_##t, t, (PTX_SLOT(a).t) * (PTX_SLOT(b).t), PTX_SLOT(c).t, 0, 1)                \
    CARRY(madc_lo_##t, t, (PTX_SLOT(a).t) * (PTX_SLOT(b).t), PTX_SLOT(c).t, 1, 0)                  \
    CARRY(madc_lo_cc_##t, t, (PTX_SLOT(a).t) * (PTX_SLOT(b).t), PTX_SLOT(c).t, 1, 1)
CARRIES(u32, 32)
CARRIES(u64, 64)
#define CARRIES_HI(t, unsigned_t, wide, bits)                                                      \
    CARRY(mad_hi_cc_##t, unsigned_t, ((wide)PTX_SLOT(a).t * PTX_SLOT(b).t) >> bits,                \
          PTX_SLOT(c).unsigned_t, 0, 1)                                                            \
    CARRY(madc_hi_##t, unsigned_t, ((wide)PTX_SLOT(a).t * PTX_SLOT(b).t) >> bits,                  \
          PTX_SLOT(c).unsigned_t, 1, 0)                                                            \
    CARRY(madc_hi_cc_##t, unsigned_t, ((wide)PTX_SLOT(a).t * PTX_SLOT(b).t) >> bits,               \
          PTX_SLOT(c).unsigned_t, 1, 1)
CARRIES_HI(u32, u32, uint64_t, 32)
CARRIES_HI(s32, u32, int64_t, 32)
CARRIES_HI(u64, u64, uint128_t, 64)
CARRIES_HI(s64, u64, int128_t, 64)

/* ---- Bits ------------------------------------------------------------------------------------ */

#define BITS(t)                                                                                    \
    DEFINE(and_##t, t, t, (A) & (B))                                                               \
    DEFINE(or_##t, t, t, A | B)                                                                    \
    DEFINE(xor_##t, t, t, A ^ B)                                                                   \
    DEFINE(not_##t, t, t, ~A)                                                                      \
    DEFINE(cnot_##t, t, t, A == 0)
BITS(u16)
BITS(u32)
BITS(u64)
DEFINE(and_pred, u32, u32, (A) & (B))
DEFINE(or_pred, u32, u32, A | B)
DEFINE(xor_pred, u32, u32, A ^ B)
DEFINE(not_pred, u32, u32, A ^ 1)

/*
 * Shift amounts are 32 bits wide and stop at the width; right shifts of signed types keep the sign.
 */
#define SHIFTS(u, s, bits)                                                                         \
    DEFINE(shl_##u, u, u64, PTX_SLOT(b).u32 < bits ? U64(PTX_SLOT(a).u) << PTX_SLOT(b).u32 : 0)    \
    DEFINE(shr_##u, u, u64, PTX_SLOT(b).u32 < bits ? U64(PTX_SLOT(a).u) >> PTX_SLOT(b).u32 : 0)    \
    DEFINE(shr_##s, s, u64,                                                                        \
           (int64_t)PTX_SLOT(a).s >> (PTX_SLOT(b).u32 < bits ? PTX_SLOT(b).u32 : bits - 1))
SHIFTS(u16, s16, 16)
SHIFTS(u32, s32, 32)
SHIFTS(u64, s64, 64)

DEFINE(popc_u32, u32, u32, __builtin_popcount(A))
DEFINE(popc_u64, u32, u64, __builtin_popcountll(A))
DEFINE(clz_u32, u32, u32, A ? __builtin_clz(A) : 32)
DEFINE(clz_u64, u32, u64, A ? __builtin_clzll(A) : 64)

static uint64_t reverse64(uint64_t x) {
    x = (x >> 1 & UINT64_C(0x5555555555555555)) | (x & UINT64_C(0x5555555555555555)) << 1;
    x = (x >> 2 & UINT64_C(0x3333333333333333)) | (x & UINT64_C(0x3333333333333333)) << 2;
    x = (x >> 4 & UINT64_C(0x0f0f0f0f0f0f0f0f)) | (x & UINT64_C(0x0f0f0f0f0f0f0f0f)) << 4;
    return __builtin_bswap64(x);
}
DEFINE(brev_u32, u32, u32, reverse64(A) >> 32)
DEFINE(brev_u64, u64, u64, reverse64(A))

/*
 * PTX leaves positions and lengths above 255 open. On an H200 the 32-bit forms look at the low byte
 * only, the 64-bit forms at all bits.
 */
static uint32_t field_limit(unsigned width) {
    return width == 32 ? 0xff : UINT32_MAX;
}

/* Bits pos to pos+len-1; beyond the top a signed field repeats the sign bit. */
static uint64_t extract(uint64_t value, unsigned width, uint32_t pos, uint32_t len,
                        bool is_signed) {
    pos &= field_limit(width);
    len &= field_limit(width);
    if (len == 0)
        return 0;
    uint64_t last = (uint64_t)pos + len - 1;
    unsigned top = last < width - 1 ? (unsigned)last : width - 1;
    bool sign = is_signed && (value >> top & 1);
    uint64_t field = pos < width ? value >> pos : 0;
    uint32_t held = pos < width ? width - pos : 0;
    uint32_t keep = len < held ? len : held;
    if (keep < 64)
        field &= (UINT64_C(1) << keep) - 1;
    if (sign && keep < 64)
        field |= ~UINT64_C(0) << keep;
    return field;
}
#define BFE(t, width, is_signed)                                                                   \
    DEFINE(bfe_##t, t, u64,                                                                        \
           extract(U64(PTX_SLOT(a).t) & (~UINT64_C(0) >> (64 - width)), width, PTX_SLOT(b).u32,    \
                   PTX_SLOT(c).u32, is_signed))
BFE(u32, 32, false)
BFE(s32, 32, true)
BFE(u64, 64, false)
BFE(s64, 64, true)

/* The low len bits of a at pos of b; f is the slot of len. */
static uint64_t insert(uint64_t bits, uint64_t into, unsigned width, uint32_t pos, uint32_t len) {
    pos &= field_limit(width);
    len &= field_limit(width);
    if (pos >= width || len == 0)
        return into;
    uint64_t mask = len >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << len) - 1;
    mask <<= pos;
    return (into & ~mask) | (bits << pos & mask);
}
DEFINE(bfi_u32, u32, u64,
       insert(PTX_SLOT(a).u32, PTX_SLOT(b).u32, 32, PTX_SLOT(c).u32, PTX_SLOT(f).u32))
DEFINE(bfi_u64, u64, u64, insert(A, B, 64, PTX_SLOT(c).u32, PTX_SLOT(f).u32))

/* Highest bit that differs from the sign; all ones when there is none. */
static uint32_t find_bit(uint64_t value, unsigned width, bool shift_amount) {
    if (value == 0)
        return UINT32_MAX;
    unsigned bit = 63 - (unsigned)__builtin_clzll(value);
    return shift_amount ? width - 1 - bit : bit;
}
#define BFIND(t, unsigned_t, width)                                                                \
    DEFINE(bfind_##t, u32, t, find_bit((unsigned_t)(A < 0 ? ~A : A), width, false))                \
    DEFINE(bfind_shift_##t, u32, t, find_bit((unsigned_t)(A < 0 ? ~A : A), width, true))
BFIND(s32, uint32_t, 32)
BFIND(s64, uint64_t, 64)
DEFINE(bfind_u32, u32, u32, find_bit(A, 32, false))
DEFINE(bfind_u64, u32, u64, find_bit(A, 64, false))
DEFINE(bfind_shift_u32, u32, u32, find_bit(A, 32, true))
DEFINE(bfind_shift_u64, u32, u64, find_bit(A, 64, true))

/* ---- Bytes ----------------------------------------------------------------------------------- */

/* One byte of {b, a}; bit 3 of the selector repeats the byte's sign bit. */
static uint32_t select_byte(uint64_t bytes, unsigned selector, bool signs) {
    uint32_t byte = (uint32_t)(bytes >> 8 * (selector & 7)) & 0xff;
    if (signs && selector & 8)
        return byte & 0x80 ? 0xff : 0;
    return byte;
}
static uint32_t permute(uint32_t a, uint32_t b, uint32_t selectors, bool signs) {
    uint64_t bytes = U64(b) << 32 | a;
    uint32_t result = 0;
    for (unsigned k = 0; k < 4; k++)
        result |= select_byte(bytes, selectors >> 4 * k & 15, signs) << 8 * k;
    return result;
}
/* Selectors of the named modes by the two low bits of c. */
static const uint16_t mode_f4e[4] = {0x3210, 0x4321, 0x5432, 0x6543};
static const uint16_t mode_b4e[4] = {0x5670, 0x6701, 0x7012, 0x0123};
static const uint16_t mode_rc8[4] = {0x0000, 0x1111, 0x2222, 0x3333};
static const uint16_t mode_ecl[4] = {0x3210, 0x3211, 0x3222, 0x3333};
static const uint16_t mode_ecr[4] = {0x0000, 0x1110, 0x2210, 0x3210};
static const uint16_t mode_rc16[4] = {0x1010, 0x3232, 0x1010, 0x3232};
DEFINE(prmt_u32, u32, u32, permute(A, B, C, true))
DEFINE(prmt_f4e_u32, u32, u32, permute(A, B, mode_f4e[C & 3], false))
DEFINE(prmt_b4e_u32, u32, u32, permute(A, B, mode_b4e[C & 3], false))
DEFINE(prmt_rc8_u32, u32, u32, permute(A, B, mode_rc8[C & 3], false))
DEFINE(prmt_ecl_u32, u32, u32, permute(A, B, mode_ecl[C & 3], false))
DEFINE(prmt_ecr_u32, u32, u32, permute(A, B, mode_ecr[C & 3], false))
DEFINE(prmt_rc16_u32, u32, u32, permute(A, B, mode_rc16[C & 3], false))

/* Funnel shifts of {b, a}. */
#define FUNNEL (U64(B) << 32 | A)
DEFINE(shf_l_wrap_u32, u32, u32, FUNNEL << (C & 31) >> 32)
DEFINE(shf_l_clamp_u32, u32, u32, C >= 32 ? A : FUNNEL << C >> 32)
DEFINE(shf_r_wrap_u32, u32, u32, FUNNEL >> (C & 31))
DEFINE(shf_r_clamp_u32, u32, u32, C >= 32 ? B : FUNNEL >> C)

/* Any function of three bits, given as truth table. */
static uint32_t logic3(uint32_t a, uint32_t b, uint32_t c, uint64_t table) {
    uint32_t result = 0;
    for (unsigned k = 0; k < 8; k++) {
        if (table >> k & 1)
            result |= (k & 4 ? a : ~a) & (k & 2 ? b : ~b) & (k & 1 ? c : ~c);
    }
    return result;
}
DEFINE(lop3_u32, u32, u32, logic3(A, B, C, insn->imm))

static int32_t part(uint32_t word, unsigned shift, unsigned bits, bool is_signed) {
    uint32_t value = word >> shift & ((1u << bits) - 1);
    bool negative = is_signed && value >> (bits - 1) & 1;
    return negative ? (int32_t)value - (int32_t)(1u << bits) : (int32_t)value;
}
static uint32_t dot4(uint32_t a, uint32_t b, uint32_t c, uint32_t signs) {
    for (unsigned k = 0; k < 32; k += 8)
        c += (uint32_t)(part(a, k, 8, signs & 1) * part(b, k, 8, signs & 2));
    return c;
}
/* Two halves of a with two bytes of b from `from` on. */
static uint32_t dot2(uint32_t a, uint32_t b, uint32_t c, uint32_t signs, unsigned from) {
    for (unsigned k = 0; k < 2; k++)
        c += (uint32_t)(part(a, 16 * k, 16, signs & 1) * part(b, from + 8 * k, 8, signs & 2));
    return c;
}
DEFINE(dp4a_u32, u32, u32, dot4(A, B, C, insn->f))
DEFINE(dp2a_lo_u32, u32, u32, dot2(A, B, C, insn->f, 0))
DEFINE(dp2a_hi_u32, u32, u32, dot2(A, B, C, insn->f, 16))

/* ---- Comparison and selection ---------------------------------------------------------------- */

#define COMPARE(t)                                                                                 \
    DEFINE(eq_##t, u32, t, A == B)                                                                 \
    DEFINE(ne_##t, u32, t, A != B)                                                                 \
    DEFINE(lt_##t, u32, t, A < B)                                                                  \
    DEFINE(le_##t, u32, t, A <= B)                                                                 \
    DEFINE(gt_##t, u32, t, A > B)                                                                  \
    DEFINE(ge_##t, u32, t, A >= B)
COMPARE(u16)
COMPARE(u32)
COMPARE(u64)
COMPARE(s16)
COMPARE(s32)
COMPARE(s64)

DEFINE(select_u16, u16, u16, PTX_SLOT(c).u32 ? A : B)
DEFINE(select_u32, u32, u32, PTX_SLOT(c).u32 ? A : B)
DEFINE(select_u64, u64, u64, PTX_SLOT(c).u32 ? A : B)
#define SLCT(t)                                                                                    \
    DEFINE(slct_s32_##t, t, t, PTX_SLOT(c).s32 >= 0 ? A : B)                                       \
    DEFINE(slct_f32_##t, t, t, PTX_SLOT(c).f32 >= 0 ? A : B)
SLCT(u16)
SLCT(u32)
SLCT(u64)

static const ptx_insn_t *combine(ptx_thread_t *thread, const ptx_insn_t *insn) {
    uint32_t p = PTX_SLOT(a).u32;
    uint32_t q = p ^ 1;
    uint32_t c = PTX_SLOT(c).u32;
    if (insn->f == 1) {
        p &= c;
        q &= c;
    } else if (insn->f == 2) {
        p |= c;
        q |= c;
    } else if (insn->f == 3) {
        p ^= c;
        q ^= c;
    }
    PTX_SLOT(d).u32 = p;
    PTX_SLOT(e).u32 = q;
    PTX_NEXT;
}
ptx_handler_t divvy_ptx_exec_combine(void) {
    return combine;
}

DEFINE(set_u32, u32, u32, A ? UINT32_MAX : 0)
DEFINE(set_f32, f32, u32, A ? 1.0f : 0.0f)
ptx_handler_t divvy_ptx_exec_set(ptx_type_t type) {
    if (type == PTX_F32)
        return set_f32;
    return type == PTX_U32 || type == PTX_S32 ? set_u32 : NULL;
}

/* ---- Tables ---------------------------------------------------------------------------------- */

/* clang-format off */
#define ANY16(f) [PTX_U16] = f##_u16, [PTX_S16] = f##_u16, [PTX_B16] = f##_u16
#define ANY32(f) [PTX_U32] = f##_u32, [PTX_S32] = f##_u32, [PTX_B32] = f##_u32
#define ANY64(f) [PTX_U64] = f##_u64, [PTX_S64] = f##_u64, [PTX_B64] = f##_u64
#define INT(f) [PTX_U16] = f##_u16, [PTX_S16] = f##_u16, [PTX_U32] = f##_u32, [PTX_S32] = f##_u32, \
               [PTX_U64] = f##_u64, [PTX_S64] = f##_u64
#define SIGNS(f) [PTX_U16] = f##_u16, [PTX_S16] = f##_s16, [PTX_U32] = f##_u32, [PTX_S32] = f##_s32, \
                 [PTX_U64] = f##_u64, [PTX_S64] = f##_s64
#define SIGNED(f) [PTX_S16] = f##_s16, [PTX_S32] = f##_s32, [PTX_S64] = f##_s64
#define SIGNS_32(f) [PTX_U32] = f##_u32, [PTX_S32] = f##_s32
#define SIGNS_32_64(f) SIGNS_32(f), [PTX_U64] = f##_u64, [PTX_S64] = f##_s64
#define BITWISE(f) [PTX_B16] = f##_u16, [PTX_B32] = f##_u32, [PTX_B64] = f##_u64
#define CARRY_TYPES(f) [PTX_U32] = f##_u32, [PTX_S32] = f##_u32, [PTX_U64] = f##_u64, [PTX_S64] = f##_u64

static const ptx_handler_t arithmetic[PTX_OP_MAX_][PTX_TYPE_MAX] = {
    [PTX_OP_ADD] = {INT(add)},
    [PTX_OP_SUB] = {INT(sub)},
    [PTX_OP_MUL_LO] = {INT(mul_lo)},
    [PTX_OP_MUL_HI] = {SIGNS(mul_hi)},
    [PTX_OP_MUL_WIDE] = {[PTX_U16] = mul_wide_u16, [PTX_S16] = mul_wide_s16, SIGNS_32(mul_wide)},
    [PTX_OP_MAD_LO] = {INT(mad_lo)},
    [PTX_OP_MAD_HI] = {SIGNS(mad_hi)},
    [PTX_OP_MAD_WIDE] = {[PTX_U16] = mad_wide_u16, [PTX_S16] = mad_wide_s16, SIGNS_32(mad_wide)},
    [PTX_OP_DIV] = {SIGNS(div)},
    [PTX_OP_REM] = {SIGNS(rem)},
    [PTX_OP_ABS] = {SIGNED(abs)},
    [PTX_OP_NEG] = {[PTX_S16] = neg_u16, [PTX_S32] = neg_u32, [PTX_S64] = neg_u64},
    [PTX_OP_MIN] = {SIGNS(min)},
    [PTX_OP_MAX] = {SIGNS(max)},
    [PTX_OP_AND] = {BITWISE(and), [PTX_PRED] = and_pred},
    [PTX_OP_OR] = {BITWISE(or), [PTX_PRED] = or_pred},
    [PTX_OP_XOR] = {BITWISE(xor), [PTX_PRED] = xor_pred},
    [PTX_OP_NOT] = {BITWISE(not), [PTX_PRED] = not_pred},
    [PTX_OP_CNOT] = {BITWISE(cnot)},
    [PTX_OP_SHL] = {BITWISE(shl)},
    [PTX_OP_SHR] = {BITWISE(shr), SIGNS(shr)},
    [PTX_OP_POPC] = {[PTX_B32] = popc_u32, [PTX_B64] = popc_u64},
    [PTX_OP_CLZ] = {[PTX_B32] = clz_u32, [PTX_B64] = clz_u64},
    [PTX_OP_BREV] = {[PTX_B32] = brev_u32, [PTX_B64] = brev_u64},
    [PTX_OP_BFE] = {SIGNS_32_64(bfe)},
    [PTX_OP_BFI] = {[PTX_B32] = bfi_u32, [PTX_B64] = bfi_u64},
    [PTX_OP_BFIND] = {SIGNS_32_64(bfind)},
    [PTX_OP_BFIND_SHIFT] = {SIGNS_32_64(bfind_shift)},
    [PTX_OP_SAD] = {SIGNS(sad)},
    [PTX_OP_ADD_SAT] = {[PTX_S32] = add_sat_s32},
    [PTX_OP_SUB_SAT] = {[PTX_S32] = sub_sat_s32},
    [PTX_OP_MAD_HI_SAT] = {[PTX_S32] = mad_hi_sat_s32},
    [PTX_OP_MUL24_LO] = {SIGNS_32(mul24_lo)},
    [PTX_OP_MUL24_HI] = {SIGNS_32(mul24_hi)},
    [PTX_OP_MAD24_LO] = {SIGNS_32(mad24_lo)},
    [PTX_OP_MAD24_HI] = {SIGNS_32(mad24_hi)},
    [PTX_OP_MAD24_HI_SAT] = {[PTX_S32] = mad24_hi_sat_s32},
    [PTX_OP_ADD_CC] = {CARRY_TYPES(add_cc)},
    [PTX_OP_ADDC] = {CARRY_TYPES(addc)},
    [PTX_OP_ADDC_CC] = {CARRY_TYPES(addc_cc)},
    [PTX_OP_SUB_CC] = {CARRY_TYPES(sub_cc)},
    [PTX_OP_SUBC] = {CARRY_TYPES(subc)},
    [PTX_OP_SUBC_CC] = {CARRY_TYPES(subc_cc)},
    [PTX_OP_MAD_LO_CC] = {CARRY_TYPES(mad_lo_cc)},
    [PTX_OP_MADC_LO] = {CARRY_TYPES(madc_lo)},
    [PTX_OP_MADC_LO_CC] = {CARRY_TYPES(madc_lo_cc)},
    [PTX_OP_MAD_HI_CC] = {SIGNS_32_64(mad_hi_cc)},
    [PTX_OP_MADC_HI] = {SIGNS_32_64(madc_hi)},
    [PTX_OP_MADC_HI_CC] = {SIGNS_32_64(madc_hi_cc)},
    [PTX_OP_PRMT] = {[PTX_B32] = prmt_u32},
    [PTX_OP_PRMT_F4E] = {[PTX_B32] = prmt_f4e_u32},
    [PTX_OP_PRMT_B4E] = {[PTX_B32] = prmt_b4e_u32},
    [PTX_OP_PRMT_RC8] = {[PTX_B32] = prmt_rc8_u32},
    [PTX_OP_PRMT_ECL] = {[PTX_B32] = prmt_ecl_u32},
    [PTX_OP_PRMT_ECR] = {[PTX_B32] = prmt_ecr_u32},
    [PTX_OP_PRMT_RC16] = {[PTX_B32] = prmt_rc16_u32},
    [PTX_OP_SHF_L_WRAP] = {[PTX_B32] = shf_l_wrap_u32},
    [PTX_OP_SHF_L_CLAMP] = {[PTX_B32] = shf_l_clamp_u32},
    [PTX_OP_SHF_R_WRAP] = {[PTX_B32] = shf_r_wrap_u32},
    [PTX_OP_SHF_R_CLAMP] = {[PTX_B32] = shf_r_clamp_u32},
    [PTX_OP_LOP3] = {[PTX_B32] = lop3_u32},
    [PTX_OP_DP4A] = {ANY32(dp4a)},
    [PTX_OP_DP2A_LO] = {ANY32(dp2a_lo)},
    [PTX_OP_DP2A_HI] = {ANY32(dp2a_hi)},
    [PTX_OP_SELECT] = {ANY16(select), ANY32(select), ANY64(select), [PTX_F32] = select_u32,
                       [PTX_F64] = select_u64},
    [PTX_OP_SELECT_S32] = {ANY16(slct_s32), ANY32(slct_s32), ANY64(slct_s32), [PTX_F32] = slct_s32_u32,
                           [PTX_F64] = slct_s32_u64},
    [PTX_OP_SELECT_F32] = {ANY16(slct_f32), ANY32(slct_f32), ANY64(slct_f32), [PTX_F32] = slct_f32_u32,
                           [PTX_F64] = slct_f32_u64},
};

static const ptx_handler_t comparisons[PTX_CMP_MAX][PTX_TYPE_MAX] = {
    [PTX_CMP_EQ] = {SIGNS(eq), BITWISE(eq)},
    [PTX_CMP_NE] = {SIGNS(ne), BITWISE(ne)},
    [PTX_CMP_LT] = {SIGNS(lt)},
    [PTX_CMP_LE] = {SIGNS(le)},
    [PTX_CMP_GT] = {SIGNS(gt)},
    [PTX_CMP_GE] = {SIGNS(ge)},
};
/* clang-format on */

ptx_handler_t divvy_ptx_exec_int(ptx_op_t op, ptx_type_t type) {
    return arithmetic[op][type];
}

ptx_handler_t divvy_ptx_exec_compare_int(ptx_cmp_t cmp, ptx_type_t type) {
    return comparisons[cmp][type];
}
