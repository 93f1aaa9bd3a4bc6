/*
 * Constant expressions: literals, WARP_SZ and the operators of C on 64-bit integers. Of
 * floating-point constants only literals with a sign occur in PTX.
 */
#include "simgpu/ptx/build.h"

#include <errno.h>

typedef ptx_number_t number_t;

static bool parse_ternary(ptx_build_t *build, number_t *ret_number);

static bool needs_int(ptx_build_t *build, const number_t *number) {
    if (number->kind == PTX_NUMBER_INT)
        return true;
    return divvy_ptx_error_here(build, -EINVAL, "floating-point value in a constant expression");
}

static number_t integer(uint64_t value, bool is_unsigned) {
    return (number_t){.kind = PTX_NUMBER_INT, .is_unsigned = is_unsigned, .u = value};
}

static bool parse_literal(ptx_build_t *build, number_t *ret_number) {
    const ptx_token_t *token = &build->token;
    switch (token->kind) {
    case PTX_TOKEN_INT:
        *ret_number = integer(token->u, token->is_unsigned);
        break;
    case PTX_TOKEN_F32:
        *ret_number = (number_t){.kind = PTX_NUMBER_F32, .u = token->u};
        break;
    case PTX_TOKEN_F64:
        *ret_number = (number_t){.kind = PTX_NUMBER_F64, .u = token->u};
        break;
    case PTX_TOKEN_NAME:
        if (divvy_ptx_text_compare(token->text, token->length, "WARP_SZ") == 0) {
            *ret_number = integer(DIVVY_PTX_WARP_SIZE, false);
            break;
        }
        return divvy_ptx_error_here(build, -EINVAL, "expected a constant");
    default:
        return divvy_ptx_error_here(build, -EINVAL, "expected a constant");
    }
    divvy_ptx_advance(build);
    return true;
}

static bool parse_unary(ptx_build_t *build, number_t *ret_number);

/* After "(": a cast such as (.s64) x, or an expression. */
static bool parse_parenthesis(ptx_build_t *build, number_t *ret_number) {
    if (build->token.kind == PTX_TOKEN_DOT) {
        bool is_unsigned = divvy_ptx_at_dot(build, "u64");
        if (!is_unsigned && !divvy_ptx_at_dot(build, "s64"))
            return divvy_ptx_error_here(build, -EINVAL, "expected .s64 or .u64");
        divvy_ptx_advance(build);
        if (!divvy_ptx_expect_punct(build, ')') || !parse_unary(build, ret_number) ||
            !needs_int(build, ret_number))
            return false;
        ret_number->is_unsigned = is_unsigned;
        return true;
    }
    return parse_ternary(build, ret_number) && divvy_ptx_expect_punct(build, ')');
}

static void negate(number_t *number) {
    if (number->kind == PTX_NUMBER_F32)
        number->u ^= UINT64_C(1) << 31;
    else if (number->kind == PTX_NUMBER_F64)
        number->u ^= UINT64_C(1) << 63;
    else
        number->u = 0 - number->u;
}

static bool parse_operator(ptx_build_t *build, number_t *ret_number) {
    if (divvy_ptx_skip_punct(build, '('))
        return parse_parenthesis(build, ret_number);
    if (divvy_ptx_skip_punct(build, '+'))
        return parse_unary(build, ret_number);
    if (divvy_ptx_skip_punct(build, '-')) {
        if (!parse_unary(build, ret_number))
            return false;
        negate(ret_number);
        return true;
    }
    bool complement = divvy_ptx_skip_punct(build, '~');
    if (complement || divvy_ptx_skip_punct(build, '!')) {
        if (!parse_unary(build, ret_number) || !needs_int(build, ret_number))
            return false;
        ret_number->u = complement ? ~ret_number->u : ret_number->u == 0;
        return true;
    }
    return parse_literal(build, ret_number);
}

static bool parse_unary(ptx_build_t *build, number_t *ret_number) {
    if (build->depth >= PTX_DEPTH_MAX)
        return divvy_ptx_error_here(build, -E2BIG, "expression nested too deeply");
    build->depth++;
    bool fine = parse_operator(build, ret_number);
    build->depth--;
    return fine;
}

/* Binding strength of a binary operator, 0 when the token is none. */
static int strength(const ptx_token_t *token) {
    if (token->kind != PTX_TOKEN_PUNCT)
        return 0;
    switch (token->u) {
    case PTX_PUNCT2('|', '|'):
        return 1;
    case PTX_PUNCT2('&', '&'):
        return 2;
    case '|':
        return 3;
    case '^':
        return 4;
    case '&':
        return 5;
    case PTX_PUNCT2('=', '='):
    case PTX_PUNCT2('!', '='):
        return 6;
    case '<':
    case '>':
    case PTX_PUNCT2('<', '='):
    case PTX_PUNCT2('>', '='):
        return 7;
    case PTX_PUNCT2('<', '<'):
    case PTX_PUNCT2('>', '>'):
        return 8;
    case '+':
    case '-':
        return 9;
    case '*':
    case '/':
    case '%':
        return 10;
    default:
        return 0;
    }
}

static bool less(const number_t *a, const number_t *b, bool is_unsigned) {
    return is_unsigned ? a->u < b->u : (int64_t)a->u < (int64_t)b->u;
}

static bool divide(ptx_build_t *build, uint64_t op, const number_t *a, const number_t *b,
                   bool is_unsigned, uint64_t *ret_value) {
    if (b->u == 0)
        return divvy_ptx_error_here(build, -EINVAL, "division by zero in a constant expression");
    if (is_unsigned)
        *ret_value = op == '/' ? a->u / b->u : a->u % b->u;
    else if ((int64_t)b->u == -1)
        *ret_value = op == '/' ? 0 - a->u : 0;
    else
        *ret_value =
            (uint64_t)(op == '/' ? (int64_t)a->u / (int64_t)b->u : (int64_t)a->u % (int64_t)b->u);
    return true;
}

static bool apply(ptx_build_t *build, uint64_t op, number_t *a, const number_t *b) {
    bool is_unsigned = a->is_unsigned || b->is_unsigned;
    uint64_t value = 0;
    switch (op) {
    case PTX_PUNCT2('|', '|'):
        value = a->u || b->u;
        break;
    case PTX_PUNCT2('&', '&'):
        value = a->u && b->u;
        break;
    case '|':
        value = a->u | b->u;
        break;
    case '^':
        value = a->u ^ b->u;
        break;
    case '&':
        value = a->u & b->u;
        break;
    case PTX_PUNCT2('=', '='):
        value = a->u == b->u;
        break;
    case PTX_PUNCT2('!', '='):
        value = a->u != b->u;
        break;
    case '<':
        value = less(a, b, is_unsigned);
        break;
    case '>':
        value = less(b, a, is_unsigned);
        break;
    case PTX_PUNCT2('<', '='):
        value = !less(b, a, is_unsigned);
        break;
    case PTX_PUNCT2('>', '='):
        value = !less(a, b, is_unsigned);
        break;
    case PTX_PUNCT2('<', '<'):
        value = b->u < 64 ? a->u << b->u : 0;
        break;
    case PTX_PUNCT2('>', '>'):
        if (a->is_unsigned)
            value = b->u < 64 ? a->u >> b->u : 0;
        else
            value = (uint64_t)((int64_t)a->u >> (b->u < 64 ? b->u : 63));
        is_unsigned = a->is_unsigned;
        break;
    case '+':
        value = a->u + b->u;
        break;
    case '-':
        value = a->u - b->u;
        break;
    case '*':
        value = a->u * b->u;
        break;
    default:
        if (!divide(build, op, a, b, is_unsigned, &value))
            return false;
        break;
    }
    *a = integer(value, is_unsigned);
    return true;
}

/* Operators at least as strong as LEAST; recursion is bounded by the ten strengths. */
static bool parse_binary(ptx_build_t *build, int least, number_t *ret_number) {
    if (!parse_unary(build, ret_number))
        return false;
    for (;;) {
        int here = strength(&build->token);
        if (here == 0 || here < least)
            return true;
        uint64_t op = build->token.u;
        number_t right;
        divvy_ptx_advance(build);
        if (!parse_binary(build, here + 1, &right) || !needs_int(build, ret_number) ||
            !needs_int(build, &right) || !apply(build, op, ret_number, &right))
            return false;
    }
}

static bool parse_ternary(ptx_build_t *build, number_t *ret_number) {
    if (!parse_binary(build, 1, ret_number))
        return false;
    if (!divvy_ptx_at_punct(build, '?'))
        return true;
    number_t yes, no;
    if (build->depth >= PTX_DEPTH_MAX)
        return divvy_ptx_error_here(build, -E2BIG, "expression nested too deeply");
    build->depth++;
    divvy_ptx_advance(build);
    bool fine = needs_int(build, ret_number) && parse_ternary(build, &yes) &&
                divvy_ptx_expect_punct(build, ':') && parse_ternary(build, &no);
    build->depth--;
    if (fine)
        *ret_number = ret_number->u ? yes : no;
    return fine;
}

bool divvy_ptx_parse_number(ptx_build_t *build, ptx_number_t *ret_number) {
    return parse_ternary(build, ret_number);
}

bool divvy_ptx_parse_integer(ptx_build_t *build, uint64_t low, uint64_t high, uint64_t *ret_value) {
    number_t number;
    uint32_t line = build->token.line;
    if (!divvy_ptx_parse_number(build, &number) || !needs_int(build, &number))
        return false;
    bool negative = !number.is_unsigned && (int64_t)number.u < 0;
    if (negative || number.u < low || number.u > high)
        return divvy_ptx_error(build, -EINVAL, line, NULL, 0, "value %lld is outside %llu to %llu",
                               (long long)number.u, (unsigned long long)low,
                               (unsigned long long)high);
    *ret_value = number.u;
    return true;
}
