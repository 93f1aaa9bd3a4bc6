/* PTX text to tokens. */
#include "simgpu/ptx/lexer.h"

#include <stdlib.h>
#include <string.h>

/* Longest decimal floating-point literal; longer ones are refused. */
enum { DECIMAL_MAX = 63 };

void divvy_ptx_lexer_init(ptx_lexer_t *lexer, const char *text, size_t length_bytes) {
    const char *nul = length_bytes ? memchr(text, 0, length_bytes) : NULL;
    lexer->next = text;
    lexer->end = nul ? nul : text + length_bytes;
    lexer->line = 1;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_name_start(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$';
}

static bool is_name(char c) {
    return is_name_start(c) || is_digit(c);
}

/* Value of a digit up to base 16; 255 when it is none. */
static unsigned digit_value(char c) {
    if (is_digit(c))
        return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'f')
        return (unsigned)(c - 'a') + 10;
    if (c >= 'A' && c <= 'F')
        return (unsigned)(c - 'A') + 10;
    return 255;
}

/* Skips blanks and comments; false with a problem when a comment does not end. */
static bool skip_blanks(ptx_lexer_t *lexer) {
    while (lexer->next < lexer->end) {
        const char *p = lexer->next;
        size_t left = (size_t)(lexer->end - p);
        if (*p == '\n') {
            lexer->line++;
            lexer->next++;
        } else if (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\f' || *p == '\v') {
            lexer->next++;
        } else if (left >= 2 && p[0] == '/' && p[1] == '/') {
            const char *newline = memchr(p, '\n', left);
            lexer->next = newline ? newline : lexer->end;
        } else if (left >= 2 && p[0] == '/' && p[1] == '*') {
            const char *q = p + 2;
            uint32_t lines = 0;
            while (q + 1 < lexer->end && !(q[0] == '*' && q[1] == '/'))
                lines += *q++ == '\n';
            if (q + 1 >= lexer->end)
                return false;
            lexer->line += lines;
            lexer->next = q + 2;
        } else {
            break;
        }
    }
    return true;
}

static void bad(ptx_token_t *token, const char *problem) {
    token->kind = PTX_TOKEN_BAD;
    token->problem = problem;
}

/* 0f and 0d literals: exactly 8 or 16 hexadecimal digits. */
static void read_float_bits(ptx_lexer_t *lexer, ptx_token_t *token, size_t digits) {
    const char *p = lexer->next + 2;
    uint64_t bits = 0;
    for (size_t k = 0; k < digits; k++, p++) {
        unsigned digit = p < lexer->end ? digit_value(*p) : 255;
        if (digit > 15) {
            bad(token, "malformed floating-point literal");
            return;
        }
        bits = bits << 4 | digit;
    }
    if (p < lexer->end && is_name(*p)) {
        bad(token, "malformed floating-point literal");
        return;
    }
    token->kind = digits == 8 ? PTX_TOKEN_F32 : PTX_TOKEN_F64;
    token->u = bits;
    lexer->next = p;
}

/*
 * 12.5, 1e-3. The locale must not matter, so the text is taken apart here and only scaled by strtod
 * of C.
 */
static bool read_decimal_float(ptx_lexer_t *lexer, ptx_token_t *token) {
    const char *p = lexer->next;
    const char *end = lexer->end;
    char digits[DECIMAL_MAX + 1];
    size_t n = 0;
    long exponent = 0;
    bool is_float = false;
    bool fraction = false;
    for (; p < end && (is_digit(*p) || (*p == '.' && !fraction)); p++) {
        if (*p == '.') {
            fraction = is_float = true;
            continue;
        }
        if (n + 8 >= DECIMAL_MAX) {
            bad(token, "floating-point literal too long");
            return true;
        }
        digits[n++] = *p;
        exponent -= fraction;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        const char *q = p + 1;
        bool negative = q < end && *q == '-';
        if (q < end && (*q == '-' || *q == '+'))
            q++;
        if (q < end && is_digit(*q)) {
            long written = 0;
            for (; q < end && is_digit(*q); q++)
                written = written < 10000 ? written * 10 + (*q - '0') : written;
            exponent += negative ? -written : written;
            is_float = true;
            p = q;
        }
    }
    if (!is_float)
        return false;
    /* "123e-2" holds no decimal point, hence nothing that a locale could change. */
    digits[n++] = 'e';
    digits[n++] = exponent < 0 ? '-' : '+';
    unsigned long size = (unsigned long)labs(exponent);
    for (unsigned long place = 10000; place; place /= 10)
        digits[n++] = (char)('0' + size / place % 10);
    digits[n] = 0;
    double value = strtod(digits, NULL);
    token->kind = PTX_TOKEN_F64;
    memcpy(&token->u, &value, sizeof(token->u));
    lexer->next = p;
    if (p < end && is_name(*p))
        bad(token, "malformed floating-point literal");
    return true;
}

static void read_number(ptx_lexer_t *lexer, ptx_token_t *token) {
    const char *p = lexer->next;
    size_t left = (size_t)(lexer->end - p);
    char second = left > 1 ? p[1] : 0;
    if (p[0] == '0' && (second == 'f' || second == 'F')) {
        read_float_bits(lexer, token, 8);
        return;
    }
    if (p[0] == '0' && (second == 'd' || second == 'D')) {
        read_float_bits(lexer, token, 16);
        return;
    }
    unsigned base = 10;
    if (p[0] == '0' && (second == 'x' || second == 'X')) {
        base = 16;
        p += 2;
    } else if (p[0] == '0' && (second == 'b' || second == 'B')) {
        base = 2;
        p += 2;
    } else if (read_decimal_float(lexer, token)) {
        return;
    } else if (p[0] == '0') {
        base = 8;
    }
    uint64_t value = 0;
    size_t digits = 0;
    for (; p < lexer->end && digit_value(*p) < base; p++, digits++) {
        if (__builtin_mul_overflow(value, (uint64_t)base, &value) ||
            __builtin_add_overflow(value, (uint64_t)digit_value(*p), &value)) {
            bad(token, "integer literal larger than 64 bits");
            return;
        }
    }
    token->is_unsigned = value > INT64_MAX;
    if (p < lexer->end && (*p == 'U' || *p == 'u')) {
        token->is_unsigned = true;
        p++;
    }
    if (digits == 0 || (p < lexer->end && is_name(*p))) {
        bad(token, "malformed integer literal");
        return;
    }
    token->kind = PTX_TOKEN_INT;
    token->u = value;
    lexer->next = p;
}

static void read_name(ptx_lexer_t *lexer, ptx_token_t *token) {
    const char *p = lexer->next + 1;
    while (p < lexer->end && is_name(*p))
        p++;
    token->kind = PTX_TOKEN_NAME;
    token->text = lexer->next;
    token->length = (size_t)(p - lexer->next);
    lexer->next = p;
}

/* .name or .name::name */
static void read_dot(ptx_lexer_t *lexer, ptx_token_t *token) {
    const char *start = lexer->next + 1;
    const char *p = start;
    while (p < lexer->end &&
           (is_name(*p) || (lexer->end - p > 2 && p[0] == ':' && p[1] == ':' && is_name(p[2])))) {
        p += *p == ':' ? 2 : 1;
    }
    if (p == start) {
        bad(token, "stray '.'");
        return;
    }
    token->kind = PTX_TOKEN_DOT;
    token->text = start;
    token->length = (size_t)(p - start);
    lexer->next = p;
}

static void read_string(ptx_lexer_t *lexer, ptx_token_t *token) {
    const char *start = lexer->next + 1;
    const char *p = start;
    while (p < lexer->end && *p != '"' && *p != '\n')
        p += (*p == '\\' && p + 1 < lexer->end && p[1] != '\n') ? 2 : 1;
    if (p >= lexer->end || *p != '"') {
        bad(token, "string without end");
        return;
    }
    token->kind = PTX_TOKEN_STRING;
    token->text = start;
    token->length = (size_t)(p - start);
    lexer->next = p + 1;
}

static void read_punct(ptx_lexer_t *lexer, ptx_token_t *token) {
    static const char pairs[][2] = {{'<', '<'}, {'>', '>'}, {'<', '='}, {'>', '='},
                                    {'=', '='}, {'!', '='}, {'&', '&'}, {'|', '|'}};
    const char *p = lexer->next;
    if (!*p || !strchr("{}()[],;:+-*/%&|^~!<>=?@", *p)) {
        bad(token, "unexpected character");
        return;
    }
    token->kind = PTX_TOKEN_PUNCT;
    token->u = (unsigned char)*p;
    for (size_t k = 0; k < sizeof(pairs) / sizeof(pairs[0]) && lexer->end - p > 1; k++) {
        if (p[0] == pairs[k][0] && p[1] == pairs[k][1])
            token->u = PTX_PUNCT2(p[0], p[1]);
    }
    token->length = token->u > 255 ? 2 : 1;
    lexer->next += token->length;
}

void divvy_ptx_lexer_next(ptx_lexer_t *lexer, ptx_token_t *ret_token) {
    bool blanks = skip_blanks(lexer);
    *ret_token =
        (ptx_token_t){.kind = PTX_TOKEN_END, .line = lexer->line, .text = lexer->next, .length = 0};
    if (!blanks) {
        bad(ret_token, "comment without end");
        return;
    }
    if (lexer->next >= lexer->end)
        return;
    char c = *lexer->next;
    ret_token->length = 1;
    if (is_digit(c))
        read_number(lexer, ret_token);
    else if (is_name_start(c))
        read_name(lexer, ret_token);
    else if (c == '%' && lexer->end - lexer->next > 1 && is_name_start(lexer->next[1]))
        read_name(lexer, ret_token);
    else if (c == '.')
        read_dot(lexer, ret_token);
    else if (c == '"')
        read_string(lexer, ret_token);
    else
        read_punct(lexer, ret_token);
}

void divvy_ptx_lexer_skip_line(ptx_lexer_t *lexer) {
    const char *newline = lexer->next < lexer->end
                              ? memchr(lexer->next, '\n', (size_t)(lexer->end - lexer->next))
                              : NULL;
    lexer->next = newline ? newline : lexer->end;
}
