/*
 * cvt: every pair of integer and floating-point types, rounding and saturation. The common
 * conversions have a function of their own; the rest goes through one that reads the details from
 * the instruction.
 */
#include "simgpu/ptx/exec.h"
#include "simgpu/ptx/fp.h"

#include <fenv.h>
#include <math.h>

/* What the general handlers need to know, packed into insn->imm. */
typedef union {
    uint64_t imm;
    struct {
        uint8_t to;
        uint8_t from;
        uint8_t round;
        bool saturate;
        bool flush;
    };
} detail_t;
_Static_assert(sizeof(detail_t) == sizeof(uint64_t), "a detail fits an immediate");

uint32_t divvy_ptx_round_mode(ptx_round_t round) {
    switch (round) {
    case PTX_ROUND_RZ:
        return FE_TOWARDZERO;
    case PTX_ROUND_RM:
        return FE_DOWNWARD;
    case PTX_ROUND_RP:
        return FE_UPWARD;
    default:
        return FE_TONEAREST;
    }
}

/* ---- Integer to integer ---------------------------------------------------------------------- */

/* The result fills the whole register: its signedness decides how it is extended. */
#define CVT(to, from)                                                                              \
    static const ptx_insn_t *to##_##from(ptx_thread_t *thread, const ptx_insn_t *insn) {           \
        PTX_SLOT(d).u64 = (uint64_t)(int64_t)(__typeof__(PTX_SLOT(d).to))PTX_SLOT(a).from;         \
        PTX_NEXT;                                                                                  \
    }
#define CVT_FROM_ALL(to)                                                                           \
    CVT(to, u8)                                                                                    \
    CVT(to, u16) CVT(to, u32) CVT(to, u64) CVT(to, s8) CVT(to, s16) CVT(to, s32) CVT(to, s64)
CVT_FROM_ALL(u8)
CVT_FROM_ALL(u16)
CVT_FROM_ALL(u32)
CVT_FROM_ALL(u64)
CVT_FROM_ALL(s8)
CVT_FROM_ALL(s16)
CVT_FROM_ALL(s32)
CVT_FROM_ALL(s64)

/* clang-format off */
#define ROW(to) {[PTX_U8] = to##_u8, [PTX_U16] = to##_u16, [PTX_U32] = to##_u32, [PTX_U64] = to##_u64, \
                 [PTX_S8] = to##_s8, [PTX_S16] = to##_s16, [PTX_S32] = to##_s32, [PTX_S64] = to##_s64}
static const ptx_handler_t int_to_int[PTX_TYPE_MAX][PTX_TYPE_MAX] = {
    [PTX_U8] = ROW(u8), [PTX_U16] = ROW(u16), [PTX_U32] = ROW(u32), [PTX_U64] = ROW(u64),
    [PTX_S8] = ROW(s8), [PTX_S16] = ROW(s16), [PTX_S32] = ROW(s32), [PTX_S64] = ROW(s64),
};
/* clang-format on */

static bool is_signed(unsigned type) {
    return divvy_ptx_type_class(type) == PTX_CLASS_SIGNED;
}
static unsigned bits_of(unsigned type) {
    return 8 * divvy_ptx_type_bytes(type);
}

static __int128 read_int(const ptx_slot_t *slot, unsigned type) {
    switch (type) {
    case PTX_U8:
        return slot->u8;
    case PTX_U16:
        return slot->u16;
    case PTX_U32:
        return slot->u32;
    case PTX_U64:
        return slot->u64;
    case PTX_S8:
        return slot->s8;
    case PTX_S16:
        return slot->s16;
    case PTX_S32:
        return slot->s32;
    default:
        return slot->s64;
    }
}

static __int128 int_max(unsigned type) {
    return ((__int128)1 << (bits_of(type) - is_signed(type))) - 1;
}
static __int128 int_min(unsigned type) {
    return is_signed(type) ? -((__int128)1 << (bits_of(type) - 1)) : 0;
}

static const ptx_insn_t *int_to_int_saturating(ptx_thread_t *thread, const ptx_insn_t *insn) {
    detail_t detail = {.imm = insn->imm};
    __int128 value = read_int(&PTX_SLOT(a), detail.from);
    __int128 low = int_min(detail.to);
    __int128 high = int_max(detail.to);
    value = value < low ? low : value > high ? high : value;
    PTX_SLOT(d).u64 = (uint64_t)value;
    PTX_NEXT;
}

/* ---- Integer to floating point --------------------------------------------------------------- */

#define TO_FLOAT(to, from)                                                                         \
    static const ptx_insn_t *to##_##from(ptx_thread_t *thread, const ptx_insn_t *insn) {           \
        PTX_SLOT(d).to = (__typeof__(PTX_SLOT(d).to))PTX_SLOT(a).from;                             \
        PTX_NEXT;                                                                                  \
    }
#define TO_FLOAT_FROM_ALL(to)                                                                      \
    TO_FLOAT(to, u8)                                                                               \
    TO_FLOAT(to, u16)                                                                              \
    TO_FLOAT(to, u32) TO_FLOAT(to, u64) TO_FLOAT(to, s8) TO_FLOAT(to, s16) TO_FLOAT(to, s32)       \
        TO_FLOAT(to, s64)
TO_FLOAT_FROM_ALL(f32)
TO_FLOAT_FROM_ALL(f64)
static const ptx_handler_t int_to_f32[PTX_TYPE_MAX] = ROW(f32);
static const ptx_handler_t int_to_f64[PTX_TYPE_MAX] = ROW(f64);

/* Writes VALUE in the format TYPE, rounded as ROUND says. */
static void write_float(ptx_slot_t *slot, unsigned type, double value, unsigned round) {
    if (type == PTX_F64) {
        slot->f64 = value;
    } else if (type == PTX_F32) {
        volatile double exact = value;
        fesetround((int)divvy_ptx_round_mode(round));
        volatile float result = (float)exact;
        fesetround(FE_TONEAREST);
        slot->f32 = ptx_canonical(result);
    } else if (type == PTX_F16) {
        slot->u16 = divvy_ptx_half_from(value, round);
    } else {
        slot->u16 = divvy_ptx_bfloat_from(value, round);
    }
}

static double saturate(double x) {
    return x > 0 ? (x < 1 ? x : 1) : 0;
}

/*
 * To f32 the conversion is done in one step in the mode wanted, for 64-bit integers do not fit a
 * double; to the 16-bit formats a detour by double rounded to odd is exact enough: odd results
 * never sit on a tie.
 */
static const ptx_insn_t *int_to_float(ptx_thread_t *thread, const ptx_insn_t *insn) {
    detail_t detail = {.imm = insn->imm};
    __int128 wide = read_int(&PTX_SLOT(a), detail.from);
    if (detail.saturate) {
        write_float(&PTX_SLOT(d), detail.to, saturate((double)wide), detail.round);
        PTX_NEXT;
    }
    bool negative = wide < 0;
    if (wide == 0) { /* a compiler's way to convert may end at -0 when rounding down */
        PTX_SLOT(d).u64 = 0;
        PTX_NEXT;
    }
    volatile uint64_t magnitude = (uint64_t)(negative ? -wide : wide);
    if (detail.to == PTX_F32 || detail.to == PTX_F64) {
        unsigned round = detail.round;
        if (negative && (round == PTX_ROUND_RM || round == PTX_ROUND_RP))
            round = round == PTX_ROUND_RM ? PTX_ROUND_RP : PTX_ROUND_RM;
        fesetround((int)divvy_ptx_round_mode(round));
        volatile float f32 = (float)magnitude;
        volatile double f64 = (double)magnitude;
        fesetround(FE_TONEAREST);
        if (detail.to == PTX_F32)
            PTX_SLOT(d).f32 = negative ? -f32 : f32;
        else
            PTX_SLOT(d).f64 = negative ? -f64 : f64;
        PTX_NEXT;
    }
    uint64_t kept = magnitude;
    if (kept >> 53)
        kept = (kept & ~UINT64_C(0xfff)) | ((kept & 0xfff) != 0 ? 0x1000 : 0);
    double value = negative ? -(double)kept : (double)kept;
    write_float(&PTX_SLOT(d), detail.to, value, detail.round);
    PTX_NEXT;
}

/* ---- Floating point to integer --------------------------------------------------------------- */

static double read_float(const ptx_slot_t *slot, unsigned type, bool flush) {
    switch (type) {
    case PTX_F64:
        return slot->f64;
    case PTX_F32:
        return flush ? ptx_flush(slot->f32) : slot->f32;
    case PTX_F16:
        return divvy_ptx_half_to(slot->u16);
    default:
        return ptx_bfloat_to(slot->u16);
    }
}

static double round_whole(double value, unsigned round) {
    switch (round) {
    case PTX_ROUND_RNI:
        return nearbyint(value);
    case PTX_ROUND_RMI:
        return floor(value);
    case PTX_ROUND_RPI:
        return ceil(value);
    default:
        return trunc(value);
    }
}

/* Out of range values clamp; NaN gives 0, or the top bit when one of the types is 64 bits wide. */
static const ptx_insn_t *float_to_int(ptx_thread_t *thread, const ptx_insn_t *insn) {
    detail_t detail = {.imm = insn->imm};
    double value = read_float(&PTX_SLOT(a), detail.from, detail.flush);
    unsigned bits = bits_of(detail.to);
    if (value != value) {
        bool wide = detail.from == PTX_F64 || bits == 64;
        uint64_t top = UINT64_C(1) << (bits - 1);
        PTX_SLOT(d).u64 = wide ? top : 0;
        PTX_NEXT;
    }
    value = round_whole(value, detail.round);
    __int128 low = int_min(detail.to);
    __int128 high = int_max(detail.to);
    __int128 result = value <= (double)low ? low : value >= (double)high ? high : (__int128)value;
    PTX_SLOT(d).u64 = (uint64_t)result;
    PTX_NEXT;
}

/* ---- Floating point to floating point -------------------------------------------------------- */

static const ptx_insn_t *f64_f32(ptx_thread_t *thread, const ptx_insn_t *insn) {
    PTX_SLOT(d).f64 = PTX_SLOT(a).f32;
    PTX_NEXT;
}

static const ptx_insn_t *f32_f64(ptx_thread_t *thread, const ptx_insn_t *insn) {
    PTX_SLOT(d).f32 = ptx_canonical((float)PTX_SLOT(a).f64);
    PTX_NEXT;
}

static const ptx_insn_t *float_to_float(ptx_thread_t *thread, const ptx_insn_t *insn) {
    detail_t detail = {.imm = insn->imm};
    double value = read_float(&PTX_SLOT(a), detail.from, detail.flush);
    if (detail.round >= PTX_ROUND_RNI)
        value = round_whole(value, detail.round);
    if (detail.saturate)
        value = saturate(value);
    write_float(&PTX_SLOT(d), detail.to, value, detail.round);
    if (detail.flush && detail.to == PTX_F32)
        PTX_SLOT(d).f32 = ptx_flush(PTX_SLOT(d).f32);
    PTX_NEXT;
}

static const ptx_insn_t *pack(ptx_thread_t *thread, const ptx_insn_t *insn) {
    detail_t detail = {.imm = insn->imm};
    double high = PTX_SLOT(a).f32;
    double low = PTX_SLOT(b).f32;
    bool half = detail.to == PTX_F16X2;
    uint32_t h =
        half ? divvy_ptx_half_from(high, detail.round) : divvy_ptx_bfloat_from(high, detail.round);
    uint32_t l =
        half ? divvy_ptx_half_from(low, detail.round) : divvy_ptx_bfloat_from(low, detail.round);
    PTX_SLOT(d).u32 = h << 16 | l;
    PTX_NEXT;
}

/* ---- Choice ---------------------------------------------------------------------------------- */

static bool is_int(ptx_type_t type) {
    ptx_class_t class = divvy_ptx_type_class(type);
    return class == PTX_CLASS_SIGNED || class == PTX_CLASS_UNSIGNED;
}
static bool is_float(ptx_type_t type) {
    return type == PTX_F16 || type == PTX_BF16 || type == PTX_F32 || type == PTX_F64;
}

ptx_handler_t divvy_ptx_exec_cvt(ptx_type_t to, ptx_type_t from, ptx_round_t round, bool saturate_,
                                 bool flush, uint64_t *ret_detail) {
    detail_t detail = {.imm = 0};
    detail.to = (uint8_t)to;
    detail.from = (uint8_t)from;
    detail.round = (uint8_t)(round == PTX_ROUND_NONE ? PTX_ROUND_RN : round);
    detail.saturate = saturate_;
    detail.flush = flush;
    *ret_detail = detail.imm;
    bool plain = !saturate_ && !flush;
    bool whole = round >= PTX_ROUND_RNI;
    if (is_int(to) && is_int(from)) {
        if (round != PTX_ROUND_NONE)
            return NULL;
        return saturate_ ? int_to_int_saturating : int_to_int[to][from];
    }
    if (is_float(to) && is_int(from)) {
        if (whole || round == PTX_ROUND_NONE)
            return NULL;
        if (plain && detail.round == PTX_ROUND_RN && (to == PTX_F32 || to == PTX_F64))
            return to == PTX_F32 ? int_to_f32[from] : int_to_f64[from];
        return int_to_float;
    }
    if (is_int(to) && is_float(from))
        return whole ? float_to_int : NULL;
    if (!is_float(to) || !is_float(from))
        return NULL;
    if (round == PTX_ROUND_NONE && divvy_ptx_type_bytes(to) < divvy_ptx_type_bytes(from))
        return NULL;
    if (plain && to == PTX_F64 && from == PTX_F32 && round == PTX_ROUND_NONE)
        return f64_f32;
    if (plain && to == PTX_F32 && from == PTX_F64 && round == PTX_ROUND_RN)
        return f32_f64;
    return float_to_float;
}

ptx_handler_t divvy_ptx_exec_cvt_pack(ptx_type_t to, ptx_round_t round, uint64_t *ret_detail) {
    detail_t detail = {.imm = 0};
    detail.to = (uint8_t)to;
    detail.round = (uint8_t)round;
    *ret_detail = detail.imm;
    bool known = to == PTX_F16X2 || to == PTX_BF16X2;
    return known && (round == PTX_ROUND_RN || round == PTX_ROUND_RZ) ? pack : NULL;
}
