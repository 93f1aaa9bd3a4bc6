/*
 * Atomic read-modify-write operations. They are atomics of C with sequential order, because blocks
 * of other launches, in other threads and processes, work on the same memory at the same time.
 */
#include "simgpu/ptx/exec.h"
#include "simgpu/ptx/fp.h"

#define FIND_generic(size)                                                                         \
    divvy_ptx_memory_generic(thread, insn, PTX_SLOT(a).u64 + insn->imm, (size), true, insn->f)
#define FIND_shared(size)                                                                          \
    divvy_ptx_memory_shared(thread, insn, (uint32_t)(PTX_SLOT(a).u64 + insn->imm), (size))

/* d = *p, *p = expression of OLD, B and C, as one step. The register is written whole. */
#define ATOM(name, space, field, expression)                                                       \
    static const ptx_insn_t *name(ptx_thread_t *thread, const ptx_insn_t *insn) {                  \
        typedef __typeof__(PTX_SLOT(b).field) type_t;                                              \
        type_t *p = FIND_##space(sizeof(type_t));                                                  \
        if (!p)                                                                                    \
            return NULL;                                                                           \
        type_t B = PTX_SLOT(b).field, C = PTX_SLOT(c).field;                                       \
        (void)C;                                                                                   \
        type_t OLD = __atomic_load_n(p, __ATOMIC_RELAXED);                                         \
        type_t wanted;                                                                             \
        do {                                                                                       \
            wanted = (type_t)(expression);                                                         \
        } while (!__atomic_compare_exchange_n(p, &OLD, wanted, false, __ATOMIC_SEQ_CST,            \
                                              __ATOMIC_RELAXED));                                  \
        PTX_SLOT(d).u64 = (uint64_t)OLD;                                                           \
        PTX_NEXT;                                                                                  \
    }

/* The same in one instruction of the host. */
#define FETCH(name, space, field, builtin)                                                         \
    static const ptx_insn_t *name(ptx_thread_t *thread, const ptx_insn_t *insn) {                  \
        typedef __typeof__(PTX_SLOT(b).field) type_t;                                              \
        type_t *p = FIND_##space(sizeof(type_t));                                                  \
        if (!p)                                                                                    \
            return NULL;                                                                           \
        PTX_SLOT(d).u64 = (uint64_t)builtin(p, PTX_SLOT(b).field, __ATOMIC_SEQ_CST);               \
        PTX_NEXT;                                                                                  \
    }

static uint32_t add_f32(uint32_t a, uint32_t b) {
    return ptx_f32_bits(ptx_canonical(ptx_bits_f32(a) + ptx_bits_f32(b)));
}
static uint64_t add_f64(uint64_t a, uint64_t b) {
    return ptx_f64_bits(ptx_bits_f64(a) + ptx_bits_f64(b));
}
static uint16_t add_f16(uint16_t a, uint16_t b) {
    return divvy_ptx_half_from(divvy_ptx_half_to(a) + divvy_ptx_half_to(b), PTX_ROUND_RN);
}
static uint16_t add_bf16(uint16_t a, uint16_t b) {
    return divvy_ptx_bfloat_from((double)ptx_bfloat_to(a) + (double)ptx_bfloat_to(b), PTX_ROUND_RN);
}

#define WIDTH(space, t)                                                                            \
    FETCH(add_##space##_##t, space, t, __atomic_fetch_add)                                         \
    FETCH(and_##space##_##t, space, t, __atomic_fetch_and)                                         \
    FETCH(or_##space##_##t, space, t, __atomic_fetch_or)                                           \
    FETCH(xor_##space##_##t, space, t, __atomic_fetch_xor)                                         \
    FETCH(exch_##space##_##t, space, t, __atomic_exchange_n)                                       \
    ATOM(cas_##space##_##t, space, t, OLD == B ? C : OLD)
#define EXTREMES(space, t)                                                                         \
    ATOM(min_##space##_##t, space, t, OLD < B ? OLD : B)                                           \
    ATOM(max_##space##_##t, space, t, OLD > B ? OLD : B)
#define SPACE(space)                                                                               \
    WIDTH(space, u32)                                                                              \
    WIDTH(space, u64)                                                                              \
    EXTREMES(space, u32)                                                                           \
    EXTREMES(space, u64)                                                                           \
    EXTREMES(space, s32)                                                                           \
    EXTREMES(space, s64)                                                                           \
    ATOM(inc_##space##_u32, space, u32, OLD >= B ? 0 : OLD + 1)                                    \
    ATOM(dec_##space##_u32, space, u32, OLD == 0 || OLD > B ? B : OLD - 1)                         \
    ATOM(cas_##space##_u16, space, u16, OLD == B ? C : OLD)                                        \
    ATOM(add_##space##_f32, space, u32, add_f32(OLD, B))                                           \
    ATOM(add_##space##_f64, space, u64, add_f64(OLD, B))                                           \
    ATOM(add_##space##_f16, space, u16, add_f16(OLD, B))                                           \
    ATOM(add_##space##_bf16, space, u16, add_bf16(OLD, B))
SPACE(generic)
SPACE(shared)

/* clang-format off */
#define BITS(f) [PTX_B32] = f##_u32, [PTX_B64] = f##_u64
#define INT(f) [PTX_U32] = f##_u32, [PTX_S32] = f##_u32, [PTX_U64] = f##_u64, [PTX_S64] = f##_u64
#define SIGNS(f) [PTX_U32] = f##_u32, [PTX_S32] = f##_s32, [PTX_U64] = f##_u64, [PTX_S64] = f##_s64
#define OPERATIONS(space) { \
    [PTX_ATOM_ADD] = {INT(add_##space), [PTX_F32] = add_##space##_f32, [PTX_F64] = add_##space##_f64, \
                      [PTX_F16] = add_##space##_f16, [PTX_BF16] = add_##space##_bf16}, \
    [PTX_ATOM_MIN] = {SIGNS(min_##space)}, \
    [PTX_ATOM_MAX] = {SIGNS(max_##space)}, \
    [PTX_ATOM_AND] = {BITS(and_##space)}, \
    [PTX_ATOM_OR] = {BITS(or_##space)}, \
    [PTX_ATOM_XOR] = {BITS(xor_##space)}, \
    [PTX_ATOM_EXCH] = {BITS(exch_##space), INT(exch_##space), [PTX_F32] = exch_##space##_u32}, \
    [PTX_ATOM_CAS] = {BITS(cas_##space), INT(cas_##space), [PTX_B16] = cas_##space##_u16}, \
    [PTX_ATOM_INC] = {[PTX_U32] = inc_##space##_u32}, \
    [PTX_ATOM_DEC] = {[PTX_U32] = dec_##space##_u32}}
static const ptx_handler_t generic_table[PTX_ATOM_MAX_][PTX_TYPE_MAX] = OPERATIONS(generic);
static const ptx_handler_t shared_table[PTX_ATOM_MAX_][PTX_TYPE_MAX] = OPERATIONS(shared);
/* clang-format on */

ptx_handler_t divvy_ptx_exec_atom(ptx_atom_t op, ptx_space_t space, ptx_type_t type) {
    if (space == PTX_SPACE_GENERIC)
        return generic_table[op][type];
    return space == PTX_SPACE_SHARED ? shared_table[op][type] : NULL;
}
