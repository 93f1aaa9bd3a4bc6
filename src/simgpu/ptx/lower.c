/*
 * The common part of lowering: slots, constants, operands, the start and end of a function's code.
 */
#include "simgpu/ptx/lower.h"

#include "simgpu/ptx/opcode.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Errors ---------------------------------------------------------------------------------- */

bool divvy_ptx_reject(ptx_build_t *build, const ptx_statement_t *statement, int code,
                      const char *format, ...) {
    char message[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    return divvy_ptx_error(build, code, statement->line, statement->text, statement->length, "%s",
                           message);
}

bool divvy_ptx_reject_operand(ptx_build_t *build, const ptx_statement_t *statement,
                              uint32_t number) {
    return divvy_ptx_reject(build, statement, -EINVAL, "operand %u does not fit", number + 1);
}

bool divvy_ptx_reject_types(ptx_build_t *build, const ptx_statement_t *statement) {
    return divvy_ptx_reject(build, statement, -EOPNOTSUPP,
                            "types or modifiers not supported by the simulated GPU");
}

bool divvy_ptx_take(ptx_statement_t *statement, ptx_modifier_t modifier) {
    bool there = ptx_modifiers_has(&statement->modifiers, modifier);
    ptx_modifiers_remove(&statement->modifiers, modifier);
    return there;
}

bool divvy_ptx_expect(ptx_build_t *build, const ptx_statement_t *statement, uint32_t types,
                      uint32_t operands_least, uint32_t operands_most) {
    if (statement->type_count != types)
        return divvy_ptx_reject(build, statement, -EINVAL, "takes %u types, not %u", types,
                                statement->type_count);
    if (statement->operand_count < operands_least || statement->operand_count > operands_most)
        return divvy_ptx_reject(build, statement, -EINVAL, "wrong number of operands");
    return true;
}

/* ---- Slots ----------------------------------------------------------------------------------- */

bool divvy_ptx_slot_new(ptx_build_t *build, ptx_type_t type, uint32_t *ret_slot) {
    uint32_t slot = build->slot_count;
    if (slot >= PTX_SLOTS_MAX)
        return divvy_ptx_error(build, -E2BIG, build->token.line, NULL, 0,
                               "more than %u registers in a function", PTX_SLOTS_MAX);
    if (divvy_ptx_array_grow((void **)&build->template, &build->template_capacity,
                             (uint64_t)slot + 1, sizeof(uint64_t)) < 0 ||
        divvy_ptx_array_grow((void **)&build->lives, &build->lives_capacity, (uint64_t)slot + 1,
                             sizeof(ptx_life_t)) < 0)
        return divvy_ptx_error_memory(build);
    build->template[slot] = 0;
    build->lives[slot] = (ptx_life_t){build->code_count, build->code_count,
                                      divvy_ptx_type_bytes(type) > 4 ? 2
                                      : type == PTX_PRED             ? 0
                                                                     : 1};
    build->slot_count++;
    *ret_slot = slot;
    return true;
}

bool divvy_ptx_slot_constant(ptx_build_t *build, uint64_t value, uint32_t *ret_slot) {
    uint64_t h = value * UINT64_C(0x9e3779b97f4a7c15) >> 56;
    if (build->constants[h].slot != PTX_SLOT_NONE && build->constants[h].value == value) {
        *ret_slot = build->constants[h].slot;
        return true;
    }
    if (!divvy_ptx_slot_new(build, PTX_PRED, ret_slot))
        return false;
    build->template[*ret_slot] = value;
    build->constants[h].value = value;
    build->constants[h].slot = *ret_slot;
    return true;
}

bool divvy_ptx_slot_address(ptx_build_t *build, ptx_reloc_kind_t kind, uint32_t index,
                            int64_t addend, uint32_t *ret_slot) {
    /* The latest ones first: accesses to the same variable come in groups. */
    for (uint32_t k = build->reloc_count; k > 0 && build->reloc_count - k < 16; k--) {
        const ptx_reloc_t *reloc = &build->relocs[k - 1];
        if (reloc->kind == kind && reloc->index == index && reloc->addend == addend) {
            *ret_slot = reloc->slot;
            return true;
        }
    }
    if (divvy_ptx_array_grow((void **)&build->relocs, &build->reloc_capacity,
                             (uint64_t)build->reloc_count + 1, sizeof(ptx_reloc_t)) < 0)
        return divvy_ptx_error_memory(build);
    if (!divvy_ptx_slot_new(build, PTX_PRED, ret_slot))
        return false;
    build->relocs[build->reloc_count++] = (ptx_reloc_t){kind, *ret_slot, index, addend};
    return true;
}

bool divvy_ptx_slot_of(ptx_build_t *build, ptx_symbol_t *symbol, uint32_t *ret_slot) {
    if (symbol->slot == PTX_SLOT_NONE && !divvy_ptx_slot_new(build, symbol->type, &symbol->slot))
        return false;
    build->lives[symbol->slot].last = build->code_count;
    *ret_slot = symbol->slot;
    return true;
}

bool divvy_ptx_frame_reserve(ptx_build_t *build, const ptx_declaration_t *declaration,
                             uint32_t *ret_offset) {
    uint64_t align = declaration->align_bytes;
    uint64_t offset = (build->frame_bytes + align - 1) & ~(align - 1);
    if (declaration->size_bytes > PTX_FRAME_MAX_BYTES ||
        offset + declaration->size_bytes > PTX_FRAME_MAX_BYTES)
        return divvy_ptx_error(build, -E2BIG, declaration->line, declaration->text,
                               declaration->text_length, "more than %u bytes of local memory",
                               PTX_FRAME_MAX_BYTES);
    build->frame_bytes = offset + declaration->size_bytes;
    *ret_offset = (uint32_t)offset;
    return true;
}

/* ---- Instructions ---------------------------------------------------------------------------- */

ptx_insn_t divvy_ptx_insn(const ptx_build_t *build, ptx_handler_t handler) {
    return (ptx_insn_t){.handler = handler, .d = build->scratch, .e = build->scratch};
}

bool divvy_ptx_emit(ptx_build_t *build, uint32_t line, const ptx_insn_t *insn) {
    if (build->code_total >= PTX_CODE_MAX)
        return divvy_ptx_error(build, -E2BIG, line, NULL, 0, "more than %u instructions",
                               PTX_CODE_MAX);
    if (divvy_ptx_array_grow((void **)&build->code, &build->code_capacity,
                             (uint64_t)build->code_count + 1, sizeof(ptx_insn_t)) < 0 ||
        divvy_ptx_array_grow((void **)&build->lines, &build->lines_capacity,
                             (uint64_t)build->code_count + 1, sizeof(uint32_t)) < 0)
        return divvy_ptx_error_memory(build);
    build->lines[build->code_count] = line;
    build->code[build->code_count++] = *insn;
    build->code_total++;
    return true;
}

/* ---- Operands -------------------------------------------------------------------------------- */

/* Whether a register of type HELD can stand where TYPE is wanted. */
static bool fits(ptx_type_t held, ptx_type_t type, ptx_fit_t fit) {
    ptx_class_t have = divvy_ptx_type_class(held);
    ptx_class_t want = divvy_ptx_type_class(type);
    if (have == PTX_CLASS_PRED || want == PTX_CLASS_PRED)
        return have == want;
    uint32_t held_bytes = divvy_ptx_type_bytes(held);
    uint32_t bytes = divvy_ptx_type_bytes(type);
    if (fit == PTX_FIT_EXACT ? held_bytes != bytes : held_bytes < bytes)
        return false;
    if (have == PTX_CLASS_BITS || want == PTX_CLASS_BITS)
        return true;
    return (have == PTX_CLASS_FLOAT) == (want == PTX_CLASS_FLOAT);
}

/* The bits of NUMBER as TYPE. */
static bool number_bits(const ptx_number_t *number, ptx_type_t type, uint64_t *ret_bits) {
    uint32_t bytes = divvy_ptx_type_bytes(type);
    if (number->kind == PTX_NUMBER_INT) {
        if (divvy_ptx_type_class(type) == PTX_CLASS_FLOAT)
            return false;
        if (type == PTX_PRED)
            *ret_bits = number->u != 0;
        else
            *ret_bits = bytes < 8 ? number->u & ((UINT64_C(1) << 8 * bytes) - 1) : number->u;
        return true;
    }
    double wide;
    float single;
    if (number->kind == PTX_NUMBER_F32) {
        uint32_t bits = (uint32_t)number->u;
        memcpy(&single, &bits, sizeof(single));
        wide = single;
    } else {
        memcpy(&wide, &number->u, sizeof(wide));
        single = (float)wide;
    }
    bool is_bits = divvy_ptx_type_class(type) == PTX_CLASS_BITS;
    if (type == PTX_F64 || (is_bits && bytes == 8 && number->kind == PTX_NUMBER_F64)) {
        memcpy(ret_bits, &wide, sizeof(wide));
        return true;
    }
    if (type == PTX_F32 || (is_bits && bytes == 4 && number->kind == PTX_NUMBER_F32)) {
        uint32_t bits;
        memcpy(&bits, &single, sizeof(bits));
        /* The literal's own bits, for a detour by a number may change a NaN. */
        *ret_bits = number->kind == PTX_NUMBER_F32 ? number->u : bits;
        return true;
    }
    return false;
}

/* A special register, or an address in local memory: an instruction puts it into a fresh slot. */
static bool computed(ptx_build_t *build, const ptx_statement_t *statement, ptx_handler_t handler,
                     uint64_t imm, uint32_t f, uint32_t *ret_slot) {
    if (!divvy_ptx_slot_new(build, PTX_B64, ret_slot))
        return false;
    ptx_insn_t insn = divvy_ptx_insn(build, handler);
    insn.d = *ret_slot;
    insn.f = f;
    insn.imm = imm;
    return divvy_ptx_emit(build, statement->line, &insn);
}

/* The address of a variable as a value. */
static bool symbol_source(ptx_build_t *build, ptx_statement_t *statement,
                          const ptx_operand_t *operand, uint32_t *ret_slot) {
    const ptx_symbol_t *symbol = operand->symbol;
    switch (symbol->kind) {
    case PTX_SYMBOL_VARIABLE:
        return divvy_ptx_slot_address(build, PTX_RELOC_VARIABLE, symbol->index, operand->offset,
                                      ret_slot);
    case PTX_SYMBOL_SHARED:
        return divvy_ptx_slot_address(build, PTX_RELOC_SHARED, symbol->index, operand->offset,
                                      ret_slot);
    case PTX_SYMBOL_LOCAL:
        return computed(build, statement, divvy_ptx_exec_frame_address(),
                        symbol->offset_bytes + (uint64_t)operand->offset, 0, ret_slot);
    case PTX_SYMBOL_FORMAL:
        return divvy_ptx_slot_constant(build, symbol->offset_bytes + (uint64_t)operand->offset,
                                       ret_slot);
    default:
        return divvy_ptx_reject(build, statement, -EINVAL, "'%.*s' has no address here",
                                (int)operand->length, operand->text);
    }
}

static bool negate_predicate(ptx_build_t *build, const ptx_statement_t *statement, uint32_t *slot) {
    uint32_t negated;
    if (!divvy_ptx_slot_new(build, PTX_PRED, &negated))
        return false;
    ptx_insn_t insn = divvy_ptx_insn(build, divvy_ptx_exec_flow(PTX_FLOW_NOT));
    insn.d = negated;
    insn.a = *slot;
    *slot = negated;
    return divvy_ptx_emit(build, statement->line, &insn);
}

bool divvy_ptx_source(ptx_build_t *build, ptx_statement_t *statement, const ptx_operand_t *operand,
                      ptx_type_t type, ptx_fit_t fit, uint32_t *ret_slot) {
    uint32_t number = (uint32_t)(operand - statement->operands);
    number = number < PTX_OPERANDS_MAX ? number : 0; /* an item of a vector: named by the first */
    uint64_t bits;
    if (operand->second || (operand->negated && type != PTX_PRED))
        return divvy_ptx_reject_operand(build, statement, number);
    switch (operand->kind) {
    case PTX_OPERAND_REGISTER:
        if (!fits(operand->symbol->type, type, fit))
            return divvy_ptx_reject_operand(build, statement, number);
        if (!divvy_ptx_slot_of(build, operand->symbol, ret_slot))
            return false;
        return !operand->negated || negate_predicate(build, statement, ret_slot);
    case PTX_OPERAND_NUMBER:
        if (!number_bits(&operand->number, type, &bits))
            return divvy_ptx_reject_operand(build, statement, number);
        return divvy_ptx_slot_constant(build, bits, ret_slot);
    case PTX_OPERAND_SREG:
        if (type == PTX_PRED || divvy_ptx_type_class(type) == PTX_CLASS_FLOAT)
            return divvy_ptx_reject_operand(build, statement, number);
        return computed(build, statement, divvy_ptx_exec_sreg(operand->sreg), 0, operand->sreg,
                        ret_slot);
    case PTX_OPERAND_SYMBOL:
        if (divvy_ptx_type_bytes(type) < 4 || divvy_ptx_type_class(type) == PTX_CLASS_FLOAT)
            return divvy_ptx_reject_operand(build, statement, number);
        return symbol_source(build, statement, operand, ret_slot);
    case PTX_OPERAND_NAME:
        if (operand->symbol && operand->symbol->kind == PTX_SYMBOL_FUNCTION)
            return divvy_ptx_reject(build, statement, -EOPNOTSUPP,
                                    "addresses of functions are not supported");
        return divvy_ptx_reject(build, statement, -EINVAL, "unknown name '%.*s'",
                                (int)(operand->length < 80 ? operand->length : 80), operand->text);
    default:
        return divvy_ptx_reject_operand(build, statement, number);
    }
}

bool divvy_ptx_destination(ptx_build_t *build, ptx_statement_t *statement,
                           const ptx_operand_t *operand, ptx_type_t type, ptx_fit_t fit,
                           uint32_t *ret_slot) {
    if (operand->kind == PTX_OPERAND_SINK) {
        *ret_slot = build->scratch;
        return true;
    }
    if (operand->kind == PTX_OPERAND_NAME && !operand->symbol)
        return divvy_ptx_reject(build, statement, -EINVAL, "unknown name '%.*s'",
                                (int)(operand->length < 80 ? operand->length : 80), operand->text);
    if (operand->kind != PTX_OPERAND_REGISTER || operand->negated ||
        !fits(operand->symbol->type, type, fit))
        return divvy_ptx_reject_operand(build, statement, 0);
    return divvy_ptx_slot_of(build, operand->symbol, ret_slot);
}

bool divvy_ptx_emit_plain(ptx_build_t *build, ptx_statement_t *statement, ptx_handler_t handler,
                          ptx_type_t to, const ptx_type_t *from, uint32_t sources) {
    if (!handler)
        return divvy_ptx_reject_types(build, statement);
    ptx_insn_t insn = divvy_ptx_insn(build, handler);
    uint32_t *const fields[3] = {&insn.a, &insn.b, &insn.c};
    for (uint32_t k = 0; k < sources; k++) {
        if (!divvy_ptx_source(build, statement, &statement->operands[k + 1], from[k], PTX_FIT_EXACT,
                              fields[k]))
            return false;
    }
    if (statement->operands[0].second)
        return divvy_ptx_reject_operand(build, statement, 0);
    return divvy_ptx_destination(build, statement, &statement->operands[0], to, PTX_FIT_EXACT,
                                 &insn.d) &&
           divvy_ptx_emit(build, statement->line, &insn);
}

/* ---- Statements ------------------------------------------------------------------------------ */

bool divvy_ptx_lower_check(ptx_build_t *build, const ptx_statement_t *statement) {
    const ptx_opcode_t *opcode = divvy_ptx_opcode_find(statement->text, statement->opcode_length);
    if (!opcode)
        return divvy_ptx_reject(build, statement, -EINVAL, "no such instruction");
    if (!opcode->lower)
        return divvy_ptx_reject(build, statement, -EOPNOTSUPP,
                                "not supported by the simulated GPU");
    if (statement->unknown)
        return divvy_ptx_reject(
            build, statement, -EOPNOTSUPP, "modifier '.%.*s' not supported by the simulated GPU",
            (int)(statement->unknown_length < 40 ? statement->unknown_length : 40),
            statement->unknown);
    build->opcode = opcode;
    return true;
}

static bool modifiers_used(ptx_build_t *build, const ptx_statement_t *statement) {
    for (unsigned k = 0; k < PTX_MODIFIER_MAX; k++) {
        if (ptx_modifiers_has(&statement->modifiers, k))
            return divvy_ptx_reject(build, statement, -EOPNOTSUPP,
                                    "modifier '.%s' not supported by the simulated GPU here",
                                    divvy_ptx_modifier_name(k));
    }
    return true;
}

bool divvy_ptx_lower(ptx_build_t *build, ptx_statement_t *statement) {
    const ptx_opcode_t *opcode = build->opcode;
    /* A guarded branch is an instruction of its own. */
    bool guarded = statement->guard && opcode->lower != divvy_ptx_lower_bra;
    uint32_t guard = build->code_count;
    if (guarded) {
        ptx_insn_t insn = divvy_ptx_insn(build, divvy_ptx_exec_flow(PTX_FLOW_GUARD));
        insn.e = !statement->guard_negated;
        if (!divvy_ptx_slot_of(build, statement->guard, &insn.a) ||
            !divvy_ptx_emit(build, statement->line, &insn))
            return false;
    }
    if (!opcode->lower(build, statement, opcode->variant) || !modifiers_used(build, statement))
        return false;
    if (guarded)
        build->code[guard].f = build->code_count - guard - 1;
    return true;
}

/* ---- Functions ------------------------------------------------------------------------------- */

bool divvy_ptx_code_begin(ptx_build_t *build) {
    uint32_t zero;
    build->code_count = build->slot_count = build->reloc_count = build->callee_count = 0;
    build->fixup_count = 0;
    build->frame_bytes = 0;
    for (unsigned k = 0; k < PTX_CONSTANT_CACHE; k++)
        build->constants[k].slot = PTX_SLOT_NONE;
    /* Slot 0 is zero: what unused operand fields read. */
    return divvy_ptx_slot_constant(build, 0, &zero) &&
           divvy_ptx_slot_new(build, PTX_PRED, &build->scratch);
}

static bool resolve_fixups(ptx_build_t *build, ptx_insn_t *code) {
    for (uint32_t k = 0; k < build->fixup_count; k++) {
        const ptx_fixup_t *fixup = &build->fixups[k];
        const ptx_symbol_t *label =
            divvy_ptx_lookup(build, fixup->scope, fixup->name, fixup->length);
        if (!label || label->kind != PTX_SYMBOL_LABEL)
            return divvy_ptx_error(build, -EINVAL, fixup->line, fixup->name, fixup->length,
                                   "no such label");
        if (fixup->table)
            fixup->table->targets[fixup->position] = label->index;
        else
            code[fixup->position].data = &code[label->index];
    }
    return true;
}

/* The most 32-bit registers alive at once, each from its first to its last naming. */
static bool estimate_registers(ptx_build_t *build, uint32_t *ret_registers) {
    int32_t *change = calloc((size_t)build->code_count + 2, sizeof(int32_t));
    if (!change)
        return divvy_ptx_error_memory(build);
    for (uint32_t k = 0; k < build->slot_count; k++) {
        const ptx_life_t *life = &build->lives[k];
        change[life->first] += life->words;
        change[life->last + 1] -= life->words;
    }
    int32_t alive = 0;
    int32_t most = 0;
    for (uint32_t k = 0; k <= build->code_count; k++) {
        alive += change[k];
        most = alive > most ? alive : most;
    }
    free(change);
    /* A few are always taken: stack pointer, predicates and such. */
    most += 8;
    *ret_registers = most > 255 ? 255 : (uint32_t)most;
    return true;
}

static void *keep(ptx_build_t *build, const void *data, size_t bytes) {
    void *copy = divvy_ptx_arena_alloc(&build->module->arena, bytes);
    if (copy && bytes)
        memcpy(copy, data, bytes);
    return copy;
}

bool divvy_ptx_code_end(ptx_build_t *build, ptx_function_t *function) {
    ptx_insn_t insn = divvy_ptx_insn(build, divvy_ptx_exec_flow(PTX_FLOW_RETURN));
    if (!divvy_ptx_emit(build, build->token.line, &insn))
        return false;
    function->instructions = build->code_count;
    function->slots = build->slot_count;
    function->reloc_count = build->reloc_count;
    function->callee_count = build->callee_count;
    function->frame_bytes = ((uint32_t)build->frame_bytes + 15) & ~15u;
    function->code = keep(build, build->code, build->code_count * sizeof(ptx_insn_t));
    function->lines = keep(build, build->lines, build->code_count * sizeof(uint32_t));
    function->template = keep(build, build->template, build->slot_count * sizeof(uint64_t));
    function->relocs = keep(build, build->relocs, build->reloc_count * sizeof(ptx_reloc_t));
    function->callees = keep(build, build->callees, build->callee_count * sizeof(ptx_callee_t));
    if (!function->code || !function->lines || !function->template || !function->relocs ||
        !function->callees)
        return divvy_ptx_error_memory(build);
    function->defined = true;
    return resolve_fixups(build, function->code) && estimate_registers(build, &function->registers);
}
