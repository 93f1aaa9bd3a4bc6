/*
 * Single instructions with a reference in C: run by the unit test "arith" on the interpreter, and
 * by "against_gpu" on the interpreter and a real GPU.
 */
#ifndef DIVVY_TESTS_SIMGPU_PTX_CASES_H
#define DIVVY_TESTS_SIMGPU_PTX_CASES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef union {
    uint64_t u64;
    int64_t s64;
    uint32_t u32;
    int32_t s32;
    uint16_t u16;
    int16_t s16;
    uint8_t u8;
    int8_t s8;
    float f32;
    double f64;
    uint16_t b16;
    uint32_t b32;
    uint64_t b64;
    uint32_t pred;
    uint16_t f16;  /* bits */
    uint16_t bf16; /* bits */
} value_t;

typedef struct {
    const char *instruction; /* with %d, %a, %b, %c */
    const char *types[4];    /* of d, a, b, c; "" when unused */
    double tolerance;        /* relative; 0 for exact */
    void (*reference)(const value_t in[3], value_t *out);
} case_t;

extern const case_t cases[];
extern const size_t case_count;

/*
 * The PTX of CASE: kernel "k" with parameters in and out, 32 bytes of operands and 16 of result per
 * thread.
 */
void case_text(const case_t *c, char *text, size_t size);
/* Operands that reach the corners of TYPE. */
value_t case_operand(const char *type, uint64_t *random_state);
/* Whether GOT is right for WANTED. */
bool case_same(const case_t *c, value_t got, value_t wanted);

#endif
