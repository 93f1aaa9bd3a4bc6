/*
 * From statements to instructions: what the files lower*.c share.
 */
#ifndef DIVVY_SIMGPU_PTX_LOWER_H
#define DIVVY_SIMGPU_PTX_LOWER_H

#include "simgpu/ptx/build.h"

#include <errno.h>

/* Lowers one kind of instruction; VARIANT comes from the opcode's row. */
typedef bool (*ptx_lower_t)(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);

/* How strictly a register must fit the instruction's type. */
typedef enum {
    PTX_FIT_EXACT,
    PTX_FIT_WIDER, /* may be wider, as for ld, st and cvt */
} ptx_fit_t;

/* Records an error about STATEMENT. Returns false. */
bool divvy_ptx_reject(ptx_build_t *build, const ptx_statement_t *statement, int code,
                      const char *format, ...) __attribute__((format(printf, 4, 5)));
/* The error for operands that do not fit. */
bool divvy_ptx_reject_operand(ptx_build_t *build, const ptx_statement_t *statement,
                              uint32_t number);
/* The error for a combination of types and modifiers that does not exist. */
bool divvy_ptx_reject_types(ptx_build_t *build, const ptx_statement_t *statement);

/* Whether the modifier is there; it counts as used from now on. */
bool divvy_ptx_take(ptx_statement_t *statement, ptx_modifier_t modifier);

/* Checks the number of operands, and of types. */
bool divvy_ptx_expect(ptx_build_t *build, const ptx_statement_t *statement, uint32_t types,
                      uint32_t operands_least, uint32_t operands_most);

/* The slot to read OPERAND from, as TYPE; may emit instructions that put it there. */
bool divvy_ptx_source(ptx_build_t *build, ptx_statement_t *statement, const ptx_operand_t *operand,
                      ptx_type_t type, ptx_fit_t fit, uint32_t *ret_slot);
/* The slot to write OPERAND to; the sink "_" is allowed. */
bool divvy_ptx_destination(ptx_build_t *build, ptx_statement_t *statement,
                           const ptx_operand_t *operand, ptx_type_t type, ptx_fit_t fit,
                           uint32_t *ret_slot);
/* The slot of a register's symbol. */
bool divvy_ptx_slot_of(ptx_build_t *build, ptx_symbol_t *symbol, uint32_t *ret_slot);

/* An instruction whose unused fields are harmless: results to the scratch slot, operands zero. */
ptx_insn_t divvy_ptx_insn(const ptx_build_t *build, ptx_handler_t handler);

/*
 * Operands 0 (d) and 1 to SOURCES (a, b, c) with the types given, then the instruction. HANDLER
 * NULL is the error for unknown types.
 */
bool divvy_ptx_emit_plain(ptx_build_t *build, ptx_statement_t *statement, ptx_handler_t handler,
                          ptx_type_t to, const ptx_type_t *from, uint32_t sources);

/* lower_alu.c */
bool divvy_ptx_lower_arith(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);
bool divvy_ptx_lower_multiply(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);
bool divvy_ptx_lower_multiply_add(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);
bool divvy_ptx_lower_carry(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);
bool divvy_ptx_lower_divide(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);
bool divvy_ptx_lower_function(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);
bool divvy_ptx_lower_unary(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);
bool divvy_ptx_lower_extreme(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);
bool divvy_ptx_lower_bits(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);
bool divvy_ptx_lower_shift(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);
bool divvy_ptx_lower_field(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);
bool divvy_ptx_lower_bytes(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);
bool divvy_ptx_lower_product24(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);
bool divvy_ptx_lower_dot(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);

/* lower_move.c */
bool divvy_ptx_lower_setp(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);
bool divvy_ptx_lower_set(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);
bool divvy_ptx_lower_select(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);
bool divvy_ptx_lower_testp(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);
bool divvy_ptx_lower_cvt(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);
bool divvy_ptx_lower_mov(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);
ptx_round_t divvy_ptx_take_round(ptx_statement_t *statement);
/* TYPE, or its flushing form when .ftz is there. */
ptx_type_t divvy_ptx_take_flush(ptx_statement_t *statement, ptx_type_t type);

/* lower_mem.c; VARIANT of load/store: 0 load, 1 store; of atom: 1 when there is a result. */
bool divvy_ptx_lower_access(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);
bool divvy_ptx_lower_atom(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);
bool divvy_ptx_lower_cvta(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);
bool divvy_ptx_lower_isspacep(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);
bool divvy_ptx_lower_prefetch(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);

/* lower_flow.c */
bool divvy_ptx_lower_bra(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);
bool divvy_ptx_lower_brx(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);
bool divvy_ptx_lower_call(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);
bool divvy_ptx_lower_simple(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);
bool divvy_ptx_lower_sleep(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);
bool divvy_ptx_lower_barrier(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);
bool divvy_ptx_lower_fence(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);
bool divvy_ptx_lower_shfl(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);
bool divvy_ptx_lower_vote(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);
bool divvy_ptx_lower_match(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);
bool divvy_ptx_lower_redux(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);
bool divvy_ptx_lower_elect(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);
bool divvy_ptx_lower_activemask(ptx_build_t *build, ptx_statement_t *statement, unsigned variant);

#endif
