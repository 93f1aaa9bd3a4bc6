/* Lowering of comparison, selection, conversion and moves. */
#include "simgpu/ptx/lower.h"

/* ---- Comparison ------------------------------------------------------------------------------ */

static bool take_compare(ptx_statement_t *statement, ptx_cmp_t *ret_cmp) {
    static const struct {
        ptx_modifier_t modifier;
        ptx_cmp_t cmp;
    } compares[] = {
        {PTX_M_EQ, PTX_CMP_EQ},   {PTX_M_NE, PTX_CMP_NE},   {PTX_M_LT, PTX_CMP_LT},
        {PTX_M_LE, PTX_CMP_LE},   {PTX_M_GT, PTX_CMP_GT},   {PTX_M_GE, PTX_CMP_GE},
        {PTX_M_LO, PTX_CMP_LT},   {PTX_M_LS, PTX_CMP_LE},   {PTX_M_HI, PTX_CMP_GT},
        {PTX_M_HS, PTX_CMP_GE},   {PTX_M_EQU, PTX_CMP_EQU}, {PTX_M_NEU, PTX_CMP_NEU},
        {PTX_M_LTU, PTX_CMP_LTU}, {PTX_M_LEU, PTX_CMP_LEU}, {PTX_M_GTU, PTX_CMP_GTU},
        {PTX_M_GEU, PTX_CMP_GEU}, {PTX_M_NUM, PTX_CMP_NUM}, {PTX_M_NAN, PTX_CMP_NAN},
    };
    for (size_t k = 0; k < sizeof(compares) / sizeof(compares[0]); k++) {
        if (divvy_ptx_take(statement, compares[k].modifier)) {
            *ret_cmp = compares[k].cmp;
            return true;
        }
    }
    return false;
}

/* 0 none, 1 and, 2 or, 3 xor: as the combine handler takes it. */
static uint32_t take_boolean(ptx_statement_t *statement) {
    if (divvy_ptx_take(statement, PTX_M_AND))
        return 1;
    if (divvy_ptx_take(statement, PTX_M_OR))
        return 2;
    return divvy_ptx_take(statement, PTX_M_XOR) ? 3 : 0;
}

/* Emits the comparison of operands 1 and 2 into the slot D. */
static bool emit_compare(ptx_build_t *build, ptx_statement_t *statement, ptx_type_t type,
                         uint32_t d) {
    ptx_cmp_t cmp;
    if (!take_compare(statement, &cmp))
        return divvy_ptx_reject(build, statement, -EINVAL, "needs a comparison");
    ptx_type_t code_type = divvy_ptx_take_flush(statement, type);
    ptx_insn_t insn = divvy_ptx_insn(build, divvy_ptx_type_class(type) == PTX_CLASS_FLOAT
                                                ? divvy_ptx_exec_compare_float(cmp, code_type)
                                                : divvy_ptx_exec_compare_int(cmp, type));
    if (!insn.handler)
        return divvy_ptx_reject_types(build, statement);
    insn.d = d;
    return divvy_ptx_source(build, statement, &statement->operands[1], type, PTX_FIT_EXACT,
                            &insn.a) &&
           divvy_ptx_source(build, statement, &statement->operands[2], type, PTX_FIT_EXACT,
                            &insn.b) &&
           divvy_ptx_emit(build, statement->line, &insn);
}

bool divvy_ptx_lower_setp(ptx_build_t *build, ptx_statement_t *statement, unsigned variant) {
    (void)variant;
    uint32_t boolean = take_boolean(statement);
    uint32_t operands = boolean ? 4 : 3;
    if (!divvy_ptx_expect(build, statement, 1, operands, operands))
        return false;
    const ptx_operand_t *first = &statement->operands[0];
    uint32_t p;
    if (!divvy_ptx_destination(build, statement, first, PTX_PRED, PTX_FIT_EXACT, &p))
        return false;
    if (!boolean && !first->second)
        return emit_compare(build, statement, statement->types[0], p);
    uint32_t result;
    ptx_insn_t insn = divvy_ptx_insn(build, divvy_ptx_exec_combine());
    insn.d = p;
    insn.f = boolean;
    /* The third source first: it may be the destination as well. */
    if (boolean && !divvy_ptx_source(build, statement, &statement->operands[3], PTX_PRED,
                                     PTX_FIT_EXACT, &insn.c))
        return false;
    if (first->second &&
        !divvy_ptx_destination(build, statement, first->second, PTX_PRED, PTX_FIT_EXACT, &insn.e))
        return false;
    if (!divvy_ptx_slot_new(build, PTX_PRED, &result) ||
        !emit_compare(build, statement, statement->types[0], result))
        return false;
    insn.a = result;
    return divvy_ptx_emit(build, statement->line, &insn);
}

/* set: as setp, with a number as result. */
bool divvy_ptx_lower_set(ptx_build_t *build, ptx_statement_t *statement, unsigned variant) {
    (void)variant;
    uint32_t boolean = take_boolean(statement);
    uint32_t operands = boolean ? 4 : 3;
    if (!divvy_ptx_expect(build, statement, 2, operands, operands))
        return false;
    uint32_t result;
    if (!divvy_ptx_slot_new(build, PTX_PRED, &result))
        return false;
    ptx_insn_t combine = divvy_ptx_insn(build, divvy_ptx_exec_combine());
    if (boolean && !divvy_ptx_source(build, statement, &statement->operands[3], PTX_PRED,
                                     PTX_FIT_EXACT, &combine.c))
        return false;
    if (!emit_compare(build, statement, statement->types[1], result))
        return false;
    combine.d = combine.a = result;
    combine.f = boolean;
    if (boolean && !divvy_ptx_emit(build, statement->line, &combine))
        return false;
    ptx_insn_t insn = divvy_ptx_insn(build, divvy_ptx_exec_set(statement->types[0]));
    if (!insn.handler)
        return divvy_ptx_reject_types(build, statement);
    insn.a = result;
    return divvy_ptx_destination(build, statement, &statement->operands[0], statement->types[0],
                                 PTX_FIT_EXACT, &insn.d) &&
           divvy_ptx_emit(build, statement->line, &insn);
}

/* selp and slct. */
bool divvy_ptx_lower_select(ptx_build_t *build, ptx_statement_t *statement, unsigned variant) {
    bool slct = variant == PTX_OP_SELECT_S32;
    if (!divvy_ptx_expect(build, statement, slct ? 2 : 1, 4, 4))
        return false;
    ptx_type_t type = statement->types[0];
    ptx_op_t op = variant;
    ptx_type_t condition = PTX_PRED;
    if (slct) {
        condition = statement->types[1];
        if (condition == PTX_F32) {
            divvy_ptx_take(statement, PTX_M_FTZ); /* a flushed number has the sign it had */
            op = PTX_OP_SELECT_F32;
        } else if (condition != PTX_S32) {
            return divvy_ptx_reject_types(build, statement);
        }
    }
    const ptx_type_t from[3] = {type, type, condition};
    return divvy_ptx_emit_plain(build, statement, divvy_ptx_exec_int(op, type), type, from, 3);
}

bool divvy_ptx_lower_testp(ptx_build_t *build, ptx_statement_t *statement, unsigned variant) {
    (void)variant;
    static const ptx_modifier_t tests[] = {PTX_M_FINITE,     PTX_M_INFINITE, PTX_M_NUMBER,
                                           PTX_M_NOTANUMBER, PTX_M_NORMAL,   PTX_M_SUBNORMAL};
    if (!divvy_ptx_expect(build, statement, 1, 2, 2))
        return false;
    ptx_type_t type = statement->types[0];
    for (size_t k = 0; k < sizeof(tests) / sizeof(tests[0]); k++) {
        if (!divvy_ptx_take(statement, tests[k]))
            continue;
        if (!divvy_ptx_emit_plain(build, statement, divvy_ptx_exec_float(PTX_OP_TEST, type),
                                  PTX_PRED, &type, 1))
            return false;
        build->code[build->code_count - 1].f = tests[k];
        return true;
    }
    return divvy_ptx_reject(build, statement, -EINVAL, "needs a test such as .finite");
}

/* ---- Conversion ------------------------------------------------------------------------------ */

static bool lower_pack(ptx_build_t *build, ptx_statement_t *statement) {
    uint64_t detail;
    ptx_round_t round = divvy_ptx_take_round(statement);
    if (statement->types[1] != PTX_F32)
        return divvy_ptx_reject_types(build, statement);
    ptx_handler_t handler = divvy_ptx_exec_cvt_pack(statement->types[0], round, &detail);
    const ptx_type_t from[2] = {PTX_F32, PTX_F32};
    if (!divvy_ptx_emit_plain(build, statement, handler, PTX_B32, from, 2))
        return false;
    build->code[build->code_count - 1].imm = detail;
    return true;
}

bool divvy_ptx_lower_cvt(ptx_build_t *build, ptx_statement_t *statement, unsigned variant) {
    (void)variant;
    bool packs = statement->operand_count == 3;
    if (!divvy_ptx_expect(build, statement, 2, 2, 3))
        return false;
    if (packs)
        return lower_pack(build, statement);
    ptx_type_t to = statement->types[0];
    ptx_type_t from = statement->types[1];
    bool flush = divvy_ptx_take(statement, PTX_M_FTZ) && (to == PTX_F32 || from == PTX_F32);
    bool saturate = divvy_ptx_take(statement, PTX_M_SAT);
    ptx_round_t round = divvy_ptx_take_round(statement);
    ptx_insn_t insn = divvy_ptx_insn(build, NULL);
    uint64_t detail;
    insn.handler = divvy_ptx_exec_cvt(to, from, round, saturate, flush, &detail);
    insn.imm = detail;
    if (!insn.handler)
        return divvy_ptx_reject(build, statement, -EINVAL,
                                "types or rounding not allowed for a conversion");
    return divvy_ptx_source(build, statement, &statement->operands[1], from, PTX_FIT_WIDER,
                            &insn.a) &&
           divvy_ptx_destination(build, statement, &statement->operands[0], to, PTX_FIT_WIDER,
                                 &insn.d) &&
           divvy_ptx_emit(build, statement->line, &insn);
}

/* ---- Moves ----------------------------------------------------------------------------------- */

/* The bits type of SIZE bytes. */
static ptx_type_t bits_type(uint32_t size) {
    return size == 1 ? PTX_B8 : size == 2 ? PTX_B16 : size == 4 ? PTX_B32 : PTX_B64;
}

/* mov.b64 d, {a, b} */
static bool lower_join(ptx_build_t *build, ptx_statement_t *statement, ptx_type_t type) {
    const ptx_operand_t *vector = &statement->operands[1];
    uint32_t element = vector->count ? divvy_ptx_type_bytes(type) / vector->count : 0;
    ptx_insn_t insn = divvy_ptx_insn(build, divvy_ptx_exec_pack(vector->count, element));
    uint32_t *const fields[4] = {&insn.a, &insn.b, &insn.c, &insn.f};
    if (!insn.handler || divvy_ptx_type_bytes(type) != element * vector->count)
        return divvy_ptx_reject_operand(build, statement, 1);
    for (uint32_t k = 0; k < vector->count; k++) {
        if (!divvy_ptx_source(build, statement, &vector->items[k], bits_type(element),
                              PTX_FIT_EXACT, fields[k]))
            return false;
    }
    return divvy_ptx_destination(build, statement, &statement->operands[0], type, PTX_FIT_EXACT,
                                 &insn.d) &&
           divvy_ptx_emit(build, statement->line, &insn);
}

/* mov.b64 {a, b}, d */
static bool lower_split(ptx_build_t *build, ptx_statement_t *statement, ptx_type_t type) {
    const ptx_operand_t *vector = &statement->operands[0];
    uint32_t element = vector->count ? divvy_ptx_type_bytes(type) / vector->count : 0;
    ptx_insn_t insn = divvy_ptx_insn(build, divvy_ptx_exec_unpack(vector->count, element));
    uint32_t *const fields[4] = {&insn.d, &insn.e, &insn.b, &insn.c};
    if (!insn.handler || divvy_ptx_type_bytes(type) != element * vector->count)
        return divvy_ptx_reject_operand(build, statement, 0);
    for (uint32_t k = 0; k < vector->count; k++) {
        if (!divvy_ptx_destination(build, statement, &vector->items[k], bits_type(element),
                                   PTX_FIT_EXACT, fields[k]))
            return false;
    }
    return divvy_ptx_source(build, statement, &statement->operands[1], type, PTX_FIT_EXACT,
                            &insn.a) &&
           divvy_ptx_emit(build, statement->line, &insn);
}

/* Special registers and local addresses are computed straight into the destination. */
static bool retarget_last(ptx_build_t *build, uint32_t from, uint32_t to) {
    ptx_insn_t *last = &build->code[build->code_count - 1];
    if (last->d != from)
        return false;
    last->d = to;
    return true;
}

bool divvy_ptx_lower_mov(ptx_build_t *build, ptx_statement_t *statement, unsigned variant) {
    (void)variant;
    if (!divvy_ptx_expect(build, statement, 1, 2, 2))
        return false;
    ptx_type_t type = statement->types[0];
    uint32_t size = type == PTX_PRED ? 4 : divvy_ptx_type_bytes(type);
    if (size == 1 || size > 8)
        return divvy_ptx_reject_types(build, statement);
    if (statement->operands[1].kind == PTX_OPERAND_VECTOR)
        return lower_join(build, statement, type);
    if (statement->operands[0].kind == PTX_OPERAND_VECTOR)
        return lower_split(build, statement, type);
    ptx_insn_t insn = divvy_ptx_insn(build, divvy_ptx_exec_move(size));
    uint32_t before = build->code_count;
    if (!divvy_ptx_source(build, statement, &statement->operands[1], type, PTX_FIT_EXACT,
                          &insn.a) ||
        !divvy_ptx_destination(build, statement, &statement->operands[0], type, PTX_FIT_EXACT,
                               &insn.d))
        return false;
    bool computed = build->code_count == before + 1 && !statement->operands[1].negated;
    if (computed && retarget_last(build, insn.a, insn.d))
        return true;
    return divvy_ptx_emit(build, statement->line, &insn);
}
