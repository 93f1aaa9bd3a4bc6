/* Lowering of arithmetic, logic, shifts and bit fields. */
#include "simgpu/ptx/lower.h"

/* ---- Helpers --------------------------------------------------------------------------------- */

static bool is_float(ptx_type_t type) {
    return divvy_ptx_type_class(type) == PTX_CLASS_FLOAT;
}

ptx_round_t divvy_ptx_take_round(ptx_statement_t *statement) {
    static const struct {
        ptx_modifier_t modifier;
        ptx_round_t round;
    } rounds[] = {
        {PTX_M_RN, PTX_ROUND_RN},   {PTX_M_RZ, PTX_ROUND_RZ},   {PTX_M_RM, PTX_ROUND_RM},
        {PTX_M_RP, PTX_ROUND_RP},   {PTX_M_RNI, PTX_ROUND_RNI}, {PTX_M_RZI, PTX_ROUND_RZI},
        {PTX_M_RMI, PTX_ROUND_RMI}, {PTX_M_RPI, PTX_ROUND_RPI},
    };
    for (size_t k = 0; k < sizeof(rounds) / sizeof(rounds[0]); k++) {
        if (divvy_ptx_take(statement, rounds[k].modifier))
            return rounds[k].round;
    }
    return PTX_ROUND_NONE;
}

ptx_type_t divvy_ptx_take_flush(ptx_statement_t *statement, ptx_type_t type) {
    /* The half formats keep their subnormals: too few programs tell the difference. */
    bool has_it = type == PTX_F32 || type == PTX_F16 || type == PTX_F16X2;
    if (!has_it || !divvy_ptx_take(statement, PTX_M_FTZ))
        return type;
    return type == PTX_F32 ? PTX_F32Z : type;
}

/* Clamps the result just emitted to [0, 1]. */
static bool emit_saturate(ptx_build_t *build, ptx_statement_t *statement, ptx_type_t type) {
    ptx_insn_t insn = divvy_ptx_insn(build, divvy_ptx_exec_float(PTX_OP_SATURATE, type));
    if (!insn.handler)
        return divvy_ptx_reject_types(build, statement);
    insn.d = insn.a = build->code[build->code_count - 1].d;
    return divvy_ptx_emit(build, statement->line, &insn);
}

/*
 * A floating-point operation of one type: rounding, .ftz and .sat are taken from the statement.
 * Operations of which PTX wants a rounding or .approx say so by NEEDS_MODE.
 */
static bool float_operation(ptx_build_t *build, ptx_statement_t *statement, ptx_op_t op,
                            uint32_t sources, bool needs_mode) {
    ptx_type_t type = statement->types[0];
    const ptx_type_t from[3] = {type, type, type};
    ptx_type_t code_type = divvy_ptx_take_flush(statement, type);
    bool saturate = divvy_ptx_take(statement, PTX_M_SAT);
    bool approx = divvy_ptx_take(statement, PTX_M_APPROX) || divvy_ptx_take(statement, PTX_M_FULL);
    ptx_round_t round = divvy_ptx_take_round(statement);
    if (needs_mode && !approx && round == PTX_ROUND_NONE)
        return divvy_ptx_reject(build, statement, -EINVAL, "rounding modifier required");
    bool directed = round > PTX_ROUND_RN;
    if (round > PTX_ROUND_RP || (approx && round != PTX_ROUND_NONE))
        return divvy_ptx_reject_types(build, statement);
    ptx_handler_t handler = directed ? divvy_ptx_exec_float_rounded(op, code_type)
                                     : divvy_ptx_exec_float(op, code_type);
    if (!divvy_ptx_emit_plain(build, statement, handler, type, from, sources))
        return false;
    build->code[build->code_count - 1].f = divvy_ptx_round_mode(round);
    return !saturate || emit_saturate(build, statement, code_type);
}

static bool int_operation(ptx_build_t *build, ptx_statement_t *statement, ptx_op_t op,
                          uint32_t sources) {
    ptx_type_t type = statement->types[0];
    const ptx_type_t from[3] = {type, type, type};
    return divvy_ptx_emit_plain(build, statement, divvy_ptx_exec_int(op, type), type, from,
                                sources);
}

/* The type of twice the width, for mul.wide. */
static ptx_type_t widen(ptx_type_t type) {
    switch (type) {
    case PTX_U16:
        return PTX_U32;
    case PTX_S16:
        return PTX_S32;
    case PTX_U32:
        return PTX_U64;
    case PTX_S32:
        return PTX_S64;
    default:
        return PTX_NONE;
    }
}

/* ---- Sums and products ----------------------------------------------------------------------- */

bool divvy_ptx_lower_arith(ptx_build_t *build, ptx_statement_t *statement, unsigned variant) {
    if (!divvy_ptx_expect(build, statement, 1, 3, 3))
        return false;
    if (is_float(statement->types[0]))
        return float_operation(build, statement, variant, 2, false);
    bool add = variant == PTX_OP_ADD;
    ptx_op_t op = variant;
    if (divvy_ptx_take(statement, PTX_M_CC))
        op = add ? PTX_OP_ADD_CC : PTX_OP_SUB_CC;
    else if (divvy_ptx_take(statement, PTX_M_SAT))
        op = add ? PTX_OP_ADD_SAT : PTX_OP_SUB_SAT;
    return int_operation(build, statement, op, 2);
}

bool divvy_ptx_lower_multiply(ptx_build_t *build, ptx_statement_t *statement, unsigned variant) {
    (void)variant;
    if (!divvy_ptx_expect(build, statement, 1, 3, 3))
        return false;
    ptx_type_t type = statement->types[0];
    if (is_float(type))
        return float_operation(build, statement, PTX_OP_MUL, 2, false);
    if (divvy_ptx_take(statement, PTX_M_LO))
        return int_operation(build, statement, PTX_OP_MUL_LO, 2);
    if (divvy_ptx_take(statement, PTX_M_HI))
        return int_operation(build, statement, PTX_OP_MUL_HI, 2);
    if (!divvy_ptx_take(statement, PTX_M_WIDE))
        return divvy_ptx_reject(build, statement, -EINVAL, "needs .lo, .hi or .wide");
    const ptx_type_t from[2] = {type, type};
    return divvy_ptx_emit_plain(build, statement, divvy_ptx_exec_int(PTX_OP_MUL_WIDE, type),
                                widen(type), from, 2);
}

/* VARIANT: 1 for fma, which has no integer form. */
bool divvy_ptx_lower_multiply_add(ptx_build_t *build, ptx_statement_t *statement,
                                  unsigned variant) {
    if (!divvy_ptx_expect(build, statement, 1, 4, 4))
        return false;
    ptx_type_t type = statement->types[0];
    if (is_float(type))
        return float_operation(build, statement, PTX_OP_FMA, 3, true);
    if (variant)
        return divvy_ptx_reject_types(build, statement);
    if (divvy_ptx_take(statement, PTX_M_WIDE)) {
        const ptx_type_t from[3] = {type, type, widen(type)};
        return divvy_ptx_emit_plain(build, statement, divvy_ptx_exec_int(PTX_OP_MAD_WIDE, type),
                                    widen(type), from, 3);
    }
    bool high = divvy_ptx_take(statement, PTX_M_HI);
    if (!high && !divvy_ptx_take(statement, PTX_M_LO))
        return divvy_ptx_reject(build, statement, -EINVAL, "needs .lo, .hi or .wide");
    ptx_op_t op = high ? PTX_OP_MAD_HI : PTX_OP_MAD_LO;
    if (divvy_ptx_take(statement, PTX_M_CC))
        op = high ? PTX_OP_MAD_HI_CC : PTX_OP_MAD_LO_CC;
    else if (high && divvy_ptx_take(statement, PTX_M_SAT))
        op = PTX_OP_MAD_HI_SAT;
    return int_operation(build, statement, op, 3);
}

/* addc, subc and madc; with .cc they hand the carry on. */
bool divvy_ptx_lower_carry(ptx_build_t *build, ptx_statement_t *statement, unsigned variant) {
    ptx_op_t op = variant;
    bool mad = op == PTX_OP_MADC_LO;
    if (!divvy_ptx_expect(build, statement, 1, mad ? 4 : 3, mad ? 4 : 3))
        return false;
    bool out = divvy_ptx_take(statement, PTX_M_CC);
    if (op == PTX_OP_ADDC)
        op = out ? PTX_OP_ADDC_CC : PTX_OP_ADDC;
    else if (op == PTX_OP_SUBC)
        op = out ? PTX_OP_SUBC_CC : PTX_OP_SUBC;
    else if (divvy_ptx_take(statement, PTX_M_HI))
        op = out ? PTX_OP_MADC_HI_CC : PTX_OP_MADC_HI;
    else if (divvy_ptx_take(statement, PTX_M_LO))
        op = out ? PTX_OP_MADC_LO_CC : PTX_OP_MADC_LO;
    else
        return divvy_ptx_reject(build, statement, -EINVAL, "needs .lo or .hi");
    return int_operation(build, statement, op, mad ? 3 : 2);
}

bool divvy_ptx_lower_divide(ptx_build_t *build, ptx_statement_t *statement, unsigned variant) {
    if (!divvy_ptx_expect(build, statement, 1, 3, 3))
        return false;
    if (is_float(statement->types[0]))
        return float_operation(build, statement, variant, 2, true);
    return int_operation(build, statement, variant, 2);
}

/* rcp, sqrt, ex2 and so on. */
bool divvy_ptx_lower_function(ptx_build_t *build, ptx_statement_t *statement, unsigned variant) {
    if (!divvy_ptx_expect(build, statement, 1, 2, 2))
        return false;
    /* The double forms that are written approx.ftz know no subnormals to flush. */
    if (statement->types[0] == PTX_F64 && (variant == PTX_OP_RCP || variant == PTX_OP_RSQRT))
        divvy_ptx_take(statement, PTX_M_FTZ);
    if (statement->types[0] == PTX_BF16 || statement->types[0] == PTX_BF16X2)
        divvy_ptx_take(statement, PTX_M_FTZ);
    return float_operation(build, statement, variant, 1, true);
}

/* ---- One operand, minimum and maximum -------------------------------------------------------- */

bool divvy_ptx_lower_unary(ptx_build_t *build, ptx_statement_t *statement, unsigned variant) {
    if (!divvy_ptx_expect(build, statement, 1, 2, 2))
        return false;
    ptx_type_t type = statement->types[0];
    if (is_float(type))
        return float_operation(build, statement, variant, 1, false);
    bool counts = variant == PTX_OP_POPC || variant == PTX_OP_CLZ;
    return divvy_ptx_emit_plain(build, statement, divvy_ptx_exec_int(variant, type),
                                counts ? PTX_U32 : type, &type, 1);
}

bool divvy_ptx_lower_extreme(ptx_build_t *build, ptx_statement_t *statement, unsigned variant) {
    if (!divvy_ptx_expect(build, statement, 1, 3, 3))
        return false;
    if (!is_float(statement->types[0]))
        return int_operation(build, statement, variant, 2);
    ptx_op_t op = variant;
    if (divvy_ptx_take(statement, PTX_M_NAN_RESULT))
        op = op == PTX_OP_MIN ? PTX_OP_MIN_NAN : PTX_OP_MAX_NAN;
    return float_operation(build, statement, op, 2, false);
}

/* ---- Bits ------------------------------------------------------------------------------------ */

bool divvy_ptx_lower_bits(ptx_build_t *build, ptx_statement_t *statement, unsigned variant) {
    return divvy_ptx_expect(build, statement, 1, 3, 3) &&
           int_operation(build, statement, variant, 2);
}

bool divvy_ptx_lower_shift(ptx_build_t *build, ptx_statement_t *statement, unsigned variant) {
    if (!divvy_ptx_expect(build, statement, 1, 3, 3))
        return false;
    ptx_type_t type = statement->types[0];
    const ptx_type_t from[2] = {type, PTX_U32};
    return divvy_ptx_emit_plain(build, statement, divvy_ptx_exec_int(variant, type), type, from, 2);
}

/* bfe, bfi, bfind and sad. */
bool divvy_ptx_lower_field(ptx_build_t *build, ptx_statement_t *statement, unsigned variant) {
    uint32_t operands = variant == PTX_OP_BFI ? 5 : variant == PTX_OP_BFIND ? 2 : 4;
    if (!divvy_ptx_expect(build, statement, 1, operands, operands))
        return false;
    ptx_type_t type = statement->types[0];
    ptx_op_t op = variant;
    if (op == PTX_OP_SAD)
        return int_operation(build, statement, op, 3);
    if (op == PTX_OP_BFIND) {
        if (divvy_ptx_take(statement, PTX_M_SHIFTAMT))
            op = PTX_OP_BFIND_SHIFT;
        return divvy_ptx_emit_plain(build, statement, divvy_ptx_exec_int(op, type), PTX_U32, &type,
                                    1);
    }
    const ptx_type_t field[3] = {type, PTX_U32, PTX_U32};
    const ptx_type_t inserted[3] = {type, type, PTX_U32};
    if (op == PTX_OP_BFE)
        return divvy_ptx_emit_plain(build, statement, divvy_ptx_exec_int(op, type), type, field, 3);
    uint32_t length;
    if (!divvy_ptx_source(build, statement, &statement->operands[4], PTX_U32, PTX_FIT_EXACT,
                          &length) ||
        !divvy_ptx_emit_plain(build, statement, divvy_ptx_exec_int(op, type), type, inserted, 3))
        return false;
    build->code[build->code_count - 1].f = length;
    return true;
}

static ptx_op_t permute_mode(ptx_statement_t *statement) {
    static const struct {
        ptx_modifier_t modifier;
        ptx_op_t op;
    } modes[] = {
        {PTX_M_F4E, PTX_OP_PRMT_F4E}, {PTX_M_B4E, PTX_OP_PRMT_B4E}, {PTX_M_RC8, PTX_OP_PRMT_RC8},
        {PTX_M_ECL, PTX_OP_PRMT_ECL}, {PTX_M_ECR, PTX_OP_PRMT_ECR}, {PTX_M_RC16, PTX_OP_PRMT_RC16},
    };
    for (size_t k = 0; k < sizeof(modes) / sizeof(modes[0]); k++) {
        if (divvy_ptx_take(statement, modes[k].modifier))
            return modes[k].op;
    }
    return PTX_OP_PRMT;
}

static ptx_op_t funnel_mode(ptx_statement_t *statement) {
    bool left = divvy_ptx_take(statement, PTX_M_L);
    bool right = divvy_ptx_take(statement, PTX_M_R);
    bool wrap = divvy_ptx_take(statement, PTX_M_WRAP);
    bool clamp = divvy_ptx_take(statement, PTX_M_CLAMP);
    if (left == right || wrap == clamp)
        return PTX_OP_MAX_;
    if (left)
        return wrap ? PTX_OP_SHF_L_WRAP : PTX_OP_SHF_L_CLAMP;
    return wrap ? PTX_OP_SHF_R_WRAP : PTX_OP_SHF_R_CLAMP;
}

/* prmt, shf, lop3 and copysign. */
bool divvy_ptx_lower_bytes(ptx_build_t *build, ptx_statement_t *statement, unsigned variant) {
    uint32_t operands = variant == PTX_OP_COPYSIGN ? 3 : variant == PTX_OP_LOP3 ? 5 : 4;
    if (!divvy_ptx_expect(build, statement, 1, operands, operands))
        return false;
    ptx_type_t type = statement->types[0];
    const ptx_type_t from[3] = {type, type, type};
    if (variant == PTX_OP_COPYSIGN)
        return divvy_ptx_emit_plain(build, statement, divvy_ptx_exec_float(variant, type), type,
                                    from, 2);
    ptx_op_t op = variant;
    if (op == PTX_OP_PRMT)
        op = permute_mode(statement);
    else if (op == PTX_OP_SHF_L_WRAP)
        op = funnel_mode(statement);
    if (op == PTX_OP_MAX_)
        return divvy_ptx_reject(build, statement, -EINVAL, "needs .l or .r, and .wrap or .clamp");
    uint64_t table = 0;
    if (op == PTX_OP_LOP3) {
        const ptx_operand_t *last = &statement->operands[4];
        if (last->kind != PTX_OPERAND_NUMBER || last->number.kind != PTX_NUMBER_INT ||
            last->number.u > 255)
            return divvy_ptx_reject_operand(build, statement, 4);
        table = last->number.u;
    }
    if (!divvy_ptx_emit_plain(build, statement, divvy_ptx_exec_int(op, type), type, from, 3))
        return false;
    build->code[build->code_count - 1].imm = table;
    return true;
}

bool divvy_ptx_lower_product24(ptx_build_t *build, ptx_statement_t *statement, unsigned variant) {
    bool mad = variant == PTX_OP_MAD24_LO;
    if (!divvy_ptx_expect(build, statement, 1, mad ? 4 : 3, mad ? 4 : 3))
        return false;
    ptx_op_t op = variant;
    if (divvy_ptx_take(statement, PTX_M_HI))
        op = !mad                                   ? PTX_OP_MUL24_HI
             : divvy_ptx_take(statement, PTX_M_SAT) ? PTX_OP_MAD24_HI_SAT
                                                    : PTX_OP_MAD24_HI;
    else if (!divvy_ptx_take(statement, PTX_M_LO))
        return divvy_ptx_reject(build, statement, -EINVAL, "needs .lo or .hi");
    return int_operation(build, statement, op, mad ? 3 : 2);
}

/* dp4a and dp2a: the types of both factors may differ in sign. */
bool divvy_ptx_lower_dot(ptx_build_t *build, ptx_statement_t *statement, unsigned variant) {
    if (!divvy_ptx_expect(build, statement, 2, 4, 4))
        return false;
    ptx_op_t op = variant;
    if (op == PTX_OP_DP2A_LO) {
        if (divvy_ptx_take(statement, PTX_M_HI))
            op = PTX_OP_DP2A_HI;
        else if (!divvy_ptx_take(statement, PTX_M_LO))
            return divvy_ptx_reject(build, statement, -EINVAL, "needs .lo or .hi");
    }
    ptx_type_t a = statement->types[0];
    ptx_type_t b = statement->types[1];
    if ((a != PTX_U32 && a != PTX_S32) || (b != PTX_U32 && b != PTX_S32))
        return divvy_ptx_reject_types(build, statement);
    const ptx_type_t from[3] = {PTX_B32, PTX_B32, PTX_B32};
    if (!divvy_ptx_emit_plain(build, statement, divvy_ptx_exec_int(op, PTX_B32), PTX_B32, from, 3))
        return false;
    build->code[build->code_count - 1].f =
        (uint32_t)((a == PTX_S32 ? 1 : 0) | (b == PTX_S32 ? 2 : 0));
    return true;
}
