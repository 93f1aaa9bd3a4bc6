/* The references of cases.inc, written another way than the interpreter wherever there is one. */
#include "cases.h"

#include "kit.h"

#include <fenv.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define NOT_CHECKED (__builtin_nanf("0x1234"))

static __int128 clamp(__int128 x, __int128 low, __int128 high) {
    return x < low ? low : x > high ? high : x;
}

static int64_t sign_bits(int64_t x, unsigned bits) {
    int64_t value = x & ((INT64_C(1) << bits) - 1);
    return value >= INT64_C(1) << (bits - 1) ? value - (INT64_C(1) << bits) : value;
}

static int count_bits(uint64_t x) {
    int n = 0;
    for (; x; x >>= 1)
        n += x & 1;
    return n;
}

static int top_bit(uint64_t x) {
    int n = -1;
    for (; x; x >>= 1)
        n++;
    return n;
}

static uint64_t reverse(uint64_t x, unsigned width) {
    uint64_t y = 0;
    for (unsigned k = 0; k < width; k++)
        y |= (x >> k & 1) << (width - 1 - k);
    return y;
}

/* Bit by bit, as the definition of bfe has it; the 64-bit form does not cut its operands. */
static uint64_t field(uint64_t a, unsigned width, uint64_t pos, uint64_t len, bool is_signed) {
    unsigned msb = width - 1;
    if (width == 32) {
        pos &= 255;
        len &= 255;
    }
    bool sign = is_signed && len && (a >> (pos + len - 1 < msb ? pos + len - 1 : msb) & 1);
    uint64_t d = 0;
    for (unsigned k = 0; k <= msb; k++) {
        bool bit = k < len && pos + k <= msb ? a >> (pos + k) & 1 : sign;
        d |= (uint64_t)bit << k;
    }
    return d;
}

static uint64_t put(uint64_t a, uint64_t b, unsigned width, uint64_t pos, uint64_t len) {
    if (width == 32) {
        pos &= 255;
        len &= 255;
    }
    for (uint64_t k = 0; k < len && pos + k < width; k++)
        b = (b & ~(UINT64_C(1) << (pos + k))) | (a >> k & 1) << (pos + k);
    return b;
}

static uint64_t mix(uint32_t low, uint32_t high) {
    return (uint64_t)high << 32 | low;
}
static uint32_t both(uint16_t low, uint16_t high) {
    return (uint32_t)high << 16 | low;
}

static uint32_t bytes(uint32_t a, uint32_t b, uint32_t c) {
    uint8_t in[8], out[4];
    memcpy(in, &a, 4);
    memcpy(in + 4, &b, 4);
    for (unsigned k = 0; k < 4; k++) {
        unsigned s = c >> 4 * k & 15;
        out[k] = s & 8 ? (uint8_t)((int8_t)in[s & 7] >> 7) : in[s & 7];
    }
    uint32_t d;
    memcpy(&d, out, 4);
    return d;
}

static uint32_t lop(uint32_t a, uint32_t b, uint32_t c, unsigned table) {
    uint32_t d = 0;
    for (unsigned k = 0; k < 32; k++)
        d |= (uint32_t)(table >> ((a >> k & 1) * 4 + (b >> k & 1) * 2 + (c >> k & 1)) & 1) << k;
    return d;
}

static int64_t dot(uint32_t a, uint32_t b, int64_t c, bool a_signed, bool b_signed) {
    for (unsigned k = 0; k < 32; k += 8)
        c += (a_signed ? (int8_t)(a >> k) : (uint8_t)(a >> k)) *
             (int64_t)(b_signed ? (int8_t)(b >> k) : (uint8_t)(b >> k));
    return c;
}

static float flush(float x) {
    return fpclassify(x) == FP_SUBNORMAL ? copysignf(0, x) : x;
}
static bool normal(float x) {
    return fpclassify(x) != FP_SUBNORMAL && x != 0;
}
static float unit(float x) {
    return isnan(x) || x <= 0 ? 0 : x >= 1 ? 1 : x;
}
static bool range(double x, double low, double high) {
    return fabs(x) >= low && fabs(x) <= high;
}

/* Evaluates EXPRESSION of va, vb, vc in rounding MODE. */
#define ROUNDED(mode, expression)                                                                  \
    ({                                                                                             \
        volatile __typeof__(a) va_ = a, vb_ = b_or_a(b), vc_ = c_or_a(c);                          \
        fesetround(mode);                                                                          \
        __typeof__(a) va = va_, vb = vb_, vc = vc_;                                                \
        (void)va, (void)vb, (void)vc;                                                              \
        volatile __typeof__(a) result_ = (expression);                                             \
        fesetround(FE_TONEAREST);                                                                  \
        result_;                                                                                   \
    })
#define b_or_a(x) (__typeof__(a))(x)
#define c_or_a(x) (__typeof__(a))(x)
#define ROUNDED_FROM(mode, expression)                                                             \
    ({                                                                                             \
        volatile __typeof__(a) va = a;                                                             \
        fesetround(mode);                                                                          \
        volatile __typeof__(expression) result_ = (expression);                                    \
        fesetround(FE_TONEAREST);                                                                  \
        result_;                                                                                   \
    })

static double half(uint32_t bits) {
    unsigned e = bits >> 10 & 31, f = bits & 1023;
    double x = e == 31 ? (f ? (double)NAN : (double)INFINITY)
               : e     ? (1 + f / 1024.0) * exp2((int)e - 15)
                       : f * exp2(-24);
    return bits & 0x8000 ? -x : x;
}

static float bfloat(uint32_t bits) {
    uint32_t word = bits << 16;
    float x;
    memcpy(&x, &word, 4);
    return x;
}

/*
 * The 16-bit number nearest to x + y, even on a tie, by search. Only signs of (x - v) + y are used,
 * which come out right although the sum may not fit a double.
 */
static uint16_t search(double x, double y, double (*value)(uint32_t), unsigned fraction) {
    uint16_t infinity = fraction == 10 ? 0x7c00 : 0x7f80;
    double sum = x + y;
    uint16_t sign = signbit(sum) ? 0x8000 : 0;
    if (isnan(sum))
        return 0x7fff;
    if (isinf(sum))
        return sign | infinity;
    if (sign) {
        x = -x;
        y = -y;
    }
    uint16_t low = 0, high = infinity;
    while (high - low > 1) {
        uint16_t middle = (uint16_t)((low + high) / 2);
        if ((x - value(middle)) + y >= 0)
            low = middle;
        else
            high = middle;
    }
    double above = high == infinity
                       ? 2 * value((uint16_t)(infinity - 1)) - value((uint16_t)(infinity - 2))
                       : value(high);
    double beyond = (x - (value(low) + above) / 2) + y;
    return sign | (beyond < 0 ? low : beyond > 0 ? high : low % 2 ? high : low);
}
static double bfloat_value(uint32_t bits) {
    return (double)bfloat(bits);
}
static uint16_t half_of_sum(double x, double y) {
    return search(x, y, half, 10);
}
static uint16_t bfloat_of_sum(double x, double y) {
    return search(x, y, bfloat_value, 7);
}
static uint16_t to_half(double x) {
    return search(x, signbit(x) ? -0.0 : 0.0, half, 10);
}
static uint16_t to_bfloat(double x) {
    return search(x, signbit(x) ? -0.0 : 0.0, bfloat_value, 7);
}

static uint16_t half_toward_zero(float x) {
    uint16_t nearest = to_half((double)x);
    if (isnan(x) || isinf(x) || fabs(half(nearest)) <= fabs((double)x))
        return nearest;
    return (uint16_t)(nearest - 1);
}

static __int128 to_int(double whole, unsigned bits, bool is_signed, bool is_nan, bool wide) {
    if (is_nan)
        return wide ? (__int128)1 << (bits - 1) : 0;
    double high = ldexp(1, (int)(bits - is_signed));
    if (whole >= high)
        return ((__int128)1 << (bits - is_signed)) - 1;
    if (whole <= (is_signed ? -high : 0))
        return is_signed ? -((__int128)1 << (bits - 1)) : 0;
    return (__int128)whole;
}

/* ---- The table ------------------------------------------------------------------------------- */

#define JOIN_(x, y) x##y
#define JOIN(x, y)  JOIN_(x, y)
#define FIELD(t)    JOIN(FIELD_, t)
#define FIELD__     u64
#define FIELD_u16   u16
#define FIELD_s16   s16
#define FIELD_u32   u32
#define FIELD_s32   s32
#define FIELD_u64   u64
#define FIELD_s64   s64
#define FIELD_b16   b16
#define FIELD_b32   b32
#define FIELD_b64   b64
#define FIELD_f32   f32
#define FIELD_f64   f64
#define FIELD_f16   f16
#define FIELD_bf16  bf16
#define FIELD_pred  pred

#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#define CASE(instruction, d, ta, tb, tc, tolerance, expression)                                    \
    static void JOIN(reference_, __LINE__)(const value_t in[3], value_t *out) {                    \
        __typeof__(in[0].FIELD(ta)) a = in[0].FIELD(ta);                                           \
        __typeof__(in[1].FIELD(tb)) b = in[1].FIELD(tb);                                           \
        __typeof__(in[2].FIELD(tc)) c = in[2].FIELD(tc);                                           \
        (void)a, (void)b, (void)c;                                                                 \
        out->FIELD(d) = (__typeof__(out->FIELD(d)))(expression);                                   \
    }
#include "cases.inc"
#undef CASE

#define CASE(instruction, d, ta, tb, tc, tolerance, expression)                                    \
    {instruction, {#d, #ta, #tb, #tc}, tolerance, JOIN(reference_, __LINE__)},
const case_t cases[] = {
#include "cases.inc"
};
const size_t case_count = sizeof(cases) / sizeof(cases[0]);

/* ---- Use ------------------------------------------------------------------------------------- */

static bool is(const char *a, const char *b) {
    return strcmp(a, b) == 0;
}
static bool is_half(const char *type) {
    return is(type, "f16") || is(type, "bf16");
}
static const char *register_type(const char *type) {
    return is(type, "_") ? "b64" : is_half(type) ? "b16" : type;
}

void case_text(const case_t *c, char *text, size_t size) {
    char load[512] = "";
    for (int k = 1; k < 4; k++) {
        const char *type = c->types[k];
        size_t used = strlen(load);
        if (is(type, "pred"))
            snprintf(load + used, sizeof(load) - used,
                     "ld.global.u32 %%w, [%%in+%d]; setp.ne.u32 %%%c, %%w, 0;\n", 8 * (k - 1),
                     'a' + k - 1);
        else if (!is(type, "_"))
            snprintf(load + used, sizeof(load) - used, "ld.global.%s %%%c, [%%in+%d];\n",
                     register_type(type), 'a' + k - 1, 8 * (k - 1));
    }
    char store[128];
    if (is(c->types[0], "pred"))
        snprintf(store, sizeof(store), "selp.u32 %%w, 1, 0, %%d; st.global.u32 [%%out], %%w;");
    else
        snprintf(store, sizeof(store), "st.global.%s [%%out], %%d;", register_type(c->types[0]));
    snprintf(
        text, size,
        HEADER
        ".visible .entry k(.param .u64 pin, .param .u64 pout) {\n"
        ".reg .u64 %%in, %%out, %%at; .reg .u32 %%t, %%u, %%n, %%w; .reg .pred %%q;\n"
        ".reg .%s %%d; .reg .%s %%a; .reg .%s %%b; .reg .%s %%c;\n"
        "ld.param.u64 %%in, [pin]; ld.param.u64 %%out, [pout];\n"
        "mov.u32 %%t, %%tid.x; mov.u32 %%u, %%ctaid.x; mov.u32 %%n, %%ntid.x;\n"
        "mad.lo.u32 %%t, %%u, %%n, %%t; mul.wide.u32 %%at, %%t, 32; add.u64 %%in, %%in, %%at;\n"
        "mul.wide.u32 %%at, %%t, 16; add.u64 %%out, %%out, %%at;\n%s%s\n%s\nret;\n}\n",
        register_type(c->types[0]), register_type(c->types[1]), register_type(c->types[2]),
        register_type(c->types[3]), load, c->instruction, store);
}

value_t case_operand(const char *type, uint64_t *random_state) {
    static const float f32s[] = {0,    1,     0.5f, 2, 1e-40f, 1e-45f, 3e38f, 1.17549435e-38f,
                                 0.1f, 65504, 1e-5f};
    value_t v = {.u64 = 0};
    uint64_t bits = kit_random(random_state);
    uint64_t choice = kit_random(random_state);
    bool negative = choice >> 40 & 1;
    if (is(type, "f32") || is(type, "f64")) {
        bool single = is(type, "f32");
        double x = f32s[bits % (sizeof(f32s) / sizeof(f32s[0]))];
        if (choice % 8 == 1)
            x = (double)INFINITY;
        if (choice % 8 == 2 || choice % 8 == 3)
            x = (double)(int32_t)bits / (choice & 8 ? 7 : 65536.0);
        if (choice % 8 == 4)
            x = ldexp((double)bits, -64);
        if (negative)
            x = -x;
        if (single)
            v.f32 = (float)x;
        else
            v.f64 = x;
        if (choice % 8 >= 5) /* any bits, NaN among them */
            v.u64 = bits;
        return v;
    }
    if (is(type, "pred")) {
        v.u32 = bits & 1;
        return v;
    }
    switch (choice % 6) {
    case 0:
        v.u64 = 0;
        break;
    case 1:
        v.u64 = bits % 70;
        break;
    case 2:
        v.u64 = UINT64_C(0x8000800080008000) >> (bits & 1 ? 63 : 0);
        break;
    case 3:
        v.u64 = UINT64_C(1) << bits % 64;
        break;
    default:
        v.u64 = bits;
        break;
    }
    if (negative)
        v.u64 = ~v.u64;
    return v;
}

static bool is_nan_half(uint16_t bits, bool brain) {
    return brain ? (bits & 0x7fff) > 0x7f80 : (bits & 0x7fff) > 0x7c00;
}

bool case_same(const case_t *c, value_t got, value_t wanted) {
    const char *type = c->types[0];
    if (is_half(type)) {
        bool brain = is(type, "bf16");
        return got.u16 == wanted.u16 ||
               (is_nan_half(got.u16, brain) && is_nan_half(wanted.u16, brain));
    }
    if (strstr(c->instruction, "16x2")) {
        bool brain = strstr(c->instruction, "bf16x2") != NULL;
        for (unsigned k = 0; k < 32; k += 16) {
            uint16_t g = (uint16_t)(got.u32 >> k), w = (uint16_t)(wanted.u32 >> k);
            if (g != w && !(is_nan_half(g, brain) && is_nan_half(w, brain)))
                return false;
        }
        return true;
    }
    if (is(type, "f32") || is(type, "f64")) {
        double g = is(type, "f32") ? (double)got.f32 : got.f64;
        double w = is(type, "f32") ? (double)wanted.f32 : wanted.f64;
        if (isnan(w))
            return c->tolerance != 0 || isnan(g);
        if (c->tolerance != 0)
            return g == w || fabs(g - w) <= c->tolerance * fabs(w);
        return g == w && signbit(g) == signbit(w);
    }
    if (is(type, "u64") || is(type, "s64") || is(type, "b64"))
        return got.u64 == wanted.u64;
    if (is(type, "u16") || is(type, "s16") || is(type, "b16"))
        return got.u16 == wanted.u16;
    return got.u32 == wanted.u32;
}
