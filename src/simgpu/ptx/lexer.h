/*
 * PTX text to tokens. The lexer copies nothing: tokens point into the text, which must outlive
 * them.
 */
#ifndef DIVVY_SIMGPU_PTX_LEXER_H
#define DIVVY_SIMGPU_PTX_LEXER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    PTX_TOKEN_END,
    PTX_TOKEN_NAME,   /* r1, %r1, $L__BB0 */
    PTX_TOKEN_DOT,    /* .u32, .L1::no_allocate: text without the dot */
    PTX_TOKEN_INT,    /* value in u */
    PTX_TOKEN_F32,    /* 0f3F800000: bits in u */
    PTX_TOKEN_F64,    /* 0d..., 1.5e3: bits in u */
    PTX_TOKEN_STRING, /* text without the quotes */
    PTX_TOKEN_PUNCT,  /* one or two characters, code in u */
    PTX_TOKEN_BAD,    /* problem says what is wrong */
} ptx_token_kind_t;

/* Code of a punctuation token of two characters. */
#define PTX_PUNCT2(first, second) ((uint64_t)(first) << 8 | (uint64_t)(second))

typedef struct {
    ptx_token_kind_t kind;
    uint32_t line;
    const char *text;
    size_t length;
    uint64_t u;
    bool is_unsigned; /* integer written with a U, or too large for int64 */
    const char *problem;
} ptx_token_t;

typedef struct {
    const char *next;
    const char *end;
    uint32_t line;
} ptx_lexer_t;

/* A NUL in TEXT ends it. */
void divvy_ptx_lexer_init(ptx_lexer_t *lexer, const char *text, size_t length_bytes);

/* Reads one token. After END or BAD the same comes again. */
void divvy_ptx_lexer_next(ptx_lexer_t *lexer, ptx_token_t *ret_token);

/* Drops the rest of the current line (.loc and .file end with their line, not with a semicolon). */
void divvy_ptx_lexer_skip_line(ptx_lexer_t *lexer);

#endif
