/* Conversion to and from the 16-bit floating-point formats, in any rounding mode. */
#include "simgpu/ptx/fp.h"

#include "simgpu/ptx/exec.h"

#include <math.h>

/*
 * A binary format with FRACTION bits of fraction and exponents from MIN_EXPONENT (of normal
 * numbers) on.
 */
typedef struct {
    int fraction;
    int min_exponent;
    int max_exponent;
    uint16_t nan;
} format_t;

static const format_t half = {10, -14, 15, 0x7fff};
static const format_t bfloat = {7, -126, 127, 0x7fff};

static uint16_t infinity_bits(const format_t *format) {
    return (uint16_t)((unsigned)(format->max_exponent - format->min_exponent + 2)
                      << format->fraction);
}

static uint16_t encode(double x, unsigned round, const format_t *format) {
    if (x != x)
        return format->nan;
    uint16_t sign = signbit(x) ? 0x8000 : 0;
    double magnitude = fabs(x);
    if (magnitude == 0)
        return sign;
    if (isinf(magnitude))
        return sign | infinity_bits(format);
    int exponent;
    frexp(magnitude, &exponent);
    exponent--; /* magnitude = 1.f * 2^exponent */
    if (exponent < format->min_exponent)
        exponent = format->min_exponent;
    /* In units of the last place: exact, for only the exponent changes. */
    double units = ldexp(magnitude, format->fraction - exponent);
    double whole = floor(units);
    double rest = units - whole;
    bool up = false;
    if (round == PTX_ROUND_RN)
        up = rest > 0.5 || (rest == 0.5 && fmod(whole, 2) != 0);
    else if (round == PTX_ROUND_RM)
        up = sign && rest > 0;
    else if (round == PTX_ROUND_RP)
        up = !sign && rest > 0;
    unsigned value = (unsigned)whole + up;
    /* Adding with the implicit bit carries into the exponent by itself. */
    unsigned bits = value + ((unsigned)(exponent - format->min_exponent) << format->fraction);
    uint16_t infinite = infinity_bits(format);
    if (bits >= infinite) {
        bool away = round == PTX_ROUND_RN || (round == PTX_ROUND_RM && sign) ||
                    (round == PTX_ROUND_RP && !sign);
        bits = away ? infinite : infinite - 1u;
    }
    return (uint16_t)(sign | bits);
}

uint16_t divvy_ptx_half_from(double x, unsigned round) {
    return encode(x, round, &half);
}

uint16_t divvy_ptx_bfloat_from(double x, unsigned round) {
    return encode(x, round, &bfloat);
}

double divvy_ptx_half_to(uint16_t bits) {
    unsigned exponent = bits >> 10 & 31;
    unsigned fraction = bits & 1023;
    double magnitude = exponent == 0    ? ldexp(fraction, -24)
                       : exponent == 31 ? (fraction ? (double)NAN : (double)INFINITY)
                                        : ldexp(fraction + 1024, (int)exponent - 25);
    return bits & 0x8000 ? -magnitude : magnitude;
}
