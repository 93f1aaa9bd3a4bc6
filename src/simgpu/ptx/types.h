/*
 * The words of PTX: types and instruction modifiers, as data.
 */
#ifndef DIVVY_SIMGPU_PTX_TYPES_H
#define DIVVY_SIMGPU_PTX_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    PTX_CLASS_BITS,
    PTX_CLASS_UNSIGNED,
    PTX_CLASS_SIGNED,
    PTX_CLASS_FLOAT,
    PTX_CLASS_PRED,
} ptx_class_t;

/* X(id, text, bytes, class) */
#define PTX_TYPES(X)                                                                               \
    X(PRED, "pred", 1, PRED)                                                                       \
    X(B8, "b8", 1, BITS)                                                                           \
    X(B16, "b16", 2, BITS)                                                                         \
    X(B32, "b32", 4, BITS)                                                                         \
    X(B64, "b64", 8, BITS)                                                                         \
    X(B128, "b128", 16, BITS)                                                                      \
    X(U8, "u8", 1, UNSIGNED)                                                                       \
    X(U16, "u16", 2, UNSIGNED)                                                                     \
    X(U32, "u32", 4, UNSIGNED)                                                                     \
    X(U64, "u64", 8, UNSIGNED)                                                                     \
    X(S8, "s8", 1, SIGNED)                                                                         \
    X(S16, "s16", 2, SIGNED)                                                                       \
    X(S32, "s32", 4, SIGNED)                                                                       \
    X(S64, "s64", 8, SIGNED)                                                                       \
    X(F16, "f16", 2, FLOAT)                                                                        \
    X(BF16, "bf16", 2, FLOAT)                                                                      \
    X(F16X2, "f16x2", 4, FLOAT)                                                                    \
    X(BF16X2, "bf16x2", 4, FLOAT)                                                                  \
    X(F32, "f32", 4, FLOAT)                                                                        \
    X(F64, "f64", 8, FLOAT)

typedef enum {
    PTX_NONE,
#define X(id, text, bytes, class) PTX_##id,
    PTX_TYPES(X)
#undef X
        PTX_F32Z, /* f32 with subnormals flushed to zero; never written in PTX, it selects code */
    PTX_TYPE_MAX
} ptx_type_t;

/* X(id, text), sorted by text. Only modifiers that some supported instruction knows. */
#define PTX_MODIFIERS(X)                                                                           \
    X(L1, "L1")                                                                                    \
    X(L1_EVICT_FIRST, "L1::evict_first")                                                           \
    X(L1_EVICT_LAST, "L1::evict_last")                                                             \
    X(L1_EVICT_NORMAL, "L1::evict_normal")                                                         \
    X(L1_EVICT_UNCHANGED, "L1::evict_unchanged")                                                   \
    X(L1_NO_ALLOCATE, "L1::no_allocate")                                                           \
    X(L2, "L2")                                                                                    \
    X(L2_128B, "L2::128B")                                                                         \
    X(L2_256B, "L2::256B")                                                                         \
    X(L2_64B, "L2::64B")                                                                           \
    X(L2_EVICT_LAST, "L2::evict_last")                                                             \
    X(L2_EVICT_NORMAL, "L2::evict_normal")                                                         \
    X(NAN_RESULT, "NaN")                                                                           \
    X(ACQ_REL, "acq_rel")                                                                          \
    X(ACQUIRE, "acquire")                                                                          \
    X(ADD, "add")                                                                                  \
    X(ALIGNED, "aligned")                                                                          \
    X(ALL, "all")                                                                                  \
    X(AND, "and")                                                                                  \
    X(ANY, "any")                                                                                  \
    X(APPROX, "approx")                                                                            \
    X(ARRIVE, "arrive")                                                                            \
    X(B4E, "b4e")                                                                                  \
    X(BALLOT, "ballot")                                                                            \
    X(BFLY, "bfly")                                                                                \
    X(CA, "ca")                                                                                    \
    X(CAS, "cas")                                                                                  \
    X(CC, "cc")                                                                                    \
    X(CG, "cg")                                                                                    \
    X(CLAMP, "clamp")                                                                              \
    X(CLUSTER, "cluster")                                                                          \
    X(CONST, "const")                                                                              \
    X(CS, "cs")                                                                                    \
    X(CTA, "cta")                                                                                  \
    X(CV, "cv")                                                                                    \
    X(DEC, "dec")                                                                                  \
    X(DOWN, "down")                                                                                \
    X(ECL, "ecl")                                                                                  \
    X(ECR, "ecr")                                                                                  \
    X(EQ, "eq")                                                                                    \
    X(EQU, "equ")                                                                                  \
    X(EXCH, "exch")                                                                                \
    X(F4E, "f4e")                                                                                  \
    X(FINITE, "finite")                                                                            \
    X(FTZ, "ftz")                                                                                  \
    X(FULL, "full")                                                                                \
    X(GE, "ge")                                                                                    \
    X(GENERIC, "generic")                                                                          \
    X(GEU, "geu")                                                                                  \
    X(GL, "gl")                                                                                    \
    X(GLOBAL, "global")                                                                            \
    X(GPU, "gpu")                                                                                  \
    X(GT, "gt")                                                                                    \
    X(GTU, "gtu")                                                                                  \
    X(HI, "hi")                                                                                    \
    X(HS, "hs")                                                                                    \
    X(IDX, "idx")                                                                                  \
    X(INC, "inc")                                                                                  \
    X(INFINITE, "infinite")                                                                        \
    X(L, "l")                                                                                      \
    X(LE, "le")                                                                                    \
    X(LEU, "leu")                                                                                  \
    X(LO, "lo")                                                                                    \
    X(LOCAL, "local")                                                                              \
    X(LS, "ls")                                                                                    \
    X(LT, "lt")                                                                                    \
    X(LTU, "ltu")                                                                                  \
    X(LU, "lu")                                                                                    \
    X(MAX, "max")                                                                                  \
    X(MIN, "min")                                                                                  \
    X(MMIO, "mmio")                                                                                \
    X(NAN, "nan")                                                                                  \
    X(NC, "nc")                                                                                    \
    X(NE, "ne")                                                                                    \
    X(NEU, "neu")                                                                                  \
    X(NOFTZ, "noftz")                                                                              \
    X(NORMAL, "normal")                                                                            \
    X(NOTANUMBER, "notanumber")                                                                    \
    X(NUM, "num")                                                                                  \
    X(NUMBER, "number")                                                                            \
    X(OR, "or")                                                                                    \
    X(PARAM, "param")                                                                              \
    X(PARAM_ENTRY, "param::entry")                                                                 \
    X(PARAM_FUNC, "param::func")                                                                   \
    X(POPC, "popc")                                                                                \
    X(R, "r")                                                                                      \
    X(RC16, "rc16")                                                                                \
    X(RC8, "rc8")                                                                                  \
    X(RED, "red")                                                                                  \
    X(RELAXED, "relaxed")                                                                          \
    X(RELEASE, "release")                                                                          \
    X(RM, "rm")                                                                                    \
    X(RMI, "rmi")                                                                                  \
    X(RN, "rn")                                                                                    \
    X(RNI, "rni")                                                                                  \
    X(RP, "rp")                                                                                    \
    X(RPI, "rpi")                                                                                  \
    X(RZ, "rz")                                                                                    \
    X(RZI, "rzi")                                                                                  \
    X(SAT, "sat")                                                                                  \
    X(SC, "sc")                                                                                    \
    X(SHARED, "shared")                                                                            \
    X(SHARED_CTA, "shared::cta")                                                                   \
    X(SHIFTAMT, "shiftamt")                                                                        \
    X(SUBNORMAL, "subnormal")                                                                      \
    X(SYNC, "sync")                                                                                \
    X(SYS, "sys")                                                                                  \
    X(TO, "to")                                                                                    \
    X(UNI, "uni")                                                                                  \
    X(UNIFIED, "unified")                                                                          \
    X(UP, "up")                                                                                    \
    X(V2, "v2")                                                                                    \
    X(V4, "v4")                                                                                    \
    X(VOLATILE, "volatile")                                                                        \
    X(WARP, "warp")                                                                                \
    X(WB, "wb")                                                                                    \
    X(WEAK, "weak")                                                                                \
    X(WIDE, "wide")                                                                                \
    X(WRAP, "wrap")                                                                                \
    X(WT, "wt")                                                                                    \
    X(X, "x")                                                                                      \
    X(XOR, "xor")

typedef enum {
#define X(id, text) PTX_M_##id,
    PTX_MODIFIERS(X)
#undef X
        PTX_MODIFIER_MAX
} ptx_modifier_t;

/* A set of modifiers. */
typedef struct {
    uint64_t bits[(PTX_MODIFIER_MAX + 63) / 64];
} ptx_modifiers_t;

static inline void ptx_modifiers_add(ptx_modifiers_t *set, unsigned modifier) {
    set->bits[modifier / 64] |= UINT64_C(1) << modifier % 64;
}

static inline bool ptx_modifiers_has(const ptx_modifiers_t *set, unsigned modifier) {
    return set->bits[modifier / 64] >> modifier % 64 & 1;
}

static inline void ptx_modifiers_remove(ptx_modifiers_t *set, unsigned modifier) {
    set->bits[modifier / 64] &= ~(UINT64_C(1) << modifier % 64);
}

/* The type called TEXT (without the dot), or PTX_NONE. */
ptx_type_t divvy_ptx_type_find(const char *text, size_t length);

/* The modifier called TEXT, or -1. */
int divvy_ptx_modifier_find(const char *text, size_t length);

/* Never NULL. */
const char *divvy_ptx_type_name(ptx_type_t type);
const char *divvy_ptx_modifier_name(unsigned modifier);

/* 0 for PTX_NONE. */
uint32_t divvy_ptx_type_bytes(ptx_type_t type);
ptx_class_t divvy_ptx_type_class(ptx_type_t type);

/* Compares TEXT with the NUL-terminated WORD as strcmp does. */
int divvy_ptx_text_compare(const char *text, size_t length, const char *word);

#endif
