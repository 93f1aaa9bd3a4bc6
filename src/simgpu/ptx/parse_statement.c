/* One instruction: opcode, modifiers, operands; then on to the lowering. */
#include "simgpu/ptx/build.h"

#include <errno.h>
#include <string.h>

static bool parse_operand(ptx_build_t *build, ptx_operand_t *ret_operand);

/* ---- Special registers ----------------------------------------------------------------------- */

static const struct {
    const char *name;
    const char *part; /* after the dot, NULL for none */
    ptx_sreg_t sreg;
} sregs[] = {
    {"%tid", "x", PTX_SREG_TID_X},
    {"%tid", "y", PTX_SREG_TID_Y},
    {"%tid", "z", PTX_SREG_TID_Z},
    {"%ntid", "x", PTX_SREG_NTID_X},
    {"%ntid", "y", PTX_SREG_NTID_Y},
    {"%ntid", "z", PTX_SREG_NTID_Z},
    {"%ctaid", "x", PTX_SREG_CTAID_X},
    {"%ctaid", "y", PTX_SREG_CTAID_Y},
    {"%ctaid", "z", PTX_SREG_CTAID_Z},
    {"%nctaid", "x", PTX_SREG_NCTAID_X},
    {"%nctaid", "y", PTX_SREG_NCTAID_Y},
    {"%nctaid", "z", PTX_SREG_NCTAID_Z},
    {"%laneid", NULL, PTX_SREG_LANEID},
    {"%warpid", NULL, PTX_SREG_WARPID},
    {"%nwarpid", NULL, PTX_SREG_NWARPID},
    {"%smid", NULL, PTX_SREG_SMID},
    {"%nsmid", NULL, PTX_SREG_NSMID},
    {"%gridid", NULL, PTX_SREG_GRIDID},
    {"%lanemask_eq", NULL, PTX_SREG_LANEMASK_EQ},
    {"%lanemask_le", NULL, PTX_SREG_LANEMASK_LE},
    {"%lanemask_lt", NULL, PTX_SREG_LANEMASK_LT},
    {"%lanemask_ge", NULL, PTX_SREG_LANEMASK_GE},
    {"%lanemask_gt", NULL, PTX_SREG_LANEMASK_GT},
    {"%clock", NULL, PTX_SREG_CLOCK},
    {"%clock_hi", NULL, PTX_SREG_CLOCK_HI},
    {"%clock64", NULL, PTX_SREG_CLOCK64},
    {"%globaltimer", NULL, PTX_SREG_GLOBALTIMER},
    {"%globaltimer_lo", NULL, PTX_SREG_GLOBALTIMER_LO},
    {"%globaltimer_hi", NULL, PTX_SREG_GLOBALTIMER_HI},
    {"%dynamic_smem_size", NULL, PTX_SREG_DYNAMIC_SMEM},
    {"%total_smem_size", NULL, PTX_SREG_TOTAL_SMEM},
};

/* The name has been stepped over; a part such as ".x" is the current token. */
static bool parse_sreg(ptx_build_t *build, ptx_operand_t *operand) {
    const ptx_token_t *part = build->token.kind == PTX_TOKEN_DOT ? &build->token : NULL;
    for (size_t k = 0; k < sizeof(sregs) / sizeof(sregs[0]); k++) {
        if (divvy_ptx_text_compare(operand->text, operand->length, sregs[k].name) != 0 ||
            (part != NULL) != (sregs[k].part != NULL) ||
            (part && divvy_ptx_text_compare(part->text, part->length, sregs[k].part) != 0))
            continue;
        operand->kind = PTX_OPERAND_SREG;
        operand->sreg = sregs[k].sreg;
        if (part)
            divvy_ptx_advance(build);
        return true;
    }
    return divvy_ptx_error(build, -EINVAL, build->token.line, operand->text, operand->length,
                           "unknown register");
}

/* ---- Operands -------------------------------------------------------------------------------- */

/* A name at the current token, without what may follow it. */
static bool parse_reference(ptx_build_t *build, ptx_operand_t *operand) {
    operand->text = build->token.text;
    operand->length = build->token.length;
    ptx_symbol_t *symbol =
        divvy_ptx_lookup(build, build->scope, build->token.text, build->token.length);
    if (build->error)
        return false;
    divvy_ptx_advance(build);
    operand->symbol = symbol;
    if (!symbol && operand->text[0] == '%')
        return parse_sreg(build, operand);
    if (symbol && build->token.kind == PTX_TOKEN_DOT)
        return divvy_ptx_error_here(build, -EOPNOTSUPP, "vector registers are not supported");
    if (!symbol || symbol->kind == PTX_SYMBOL_LABEL || symbol->kind == PTX_SYMBOL_TABLE ||
        symbol->kind == PTX_SYMBOL_FUNCTION)
        operand->kind = PTX_OPERAND_NAME;
    else if (symbol->kind == PTX_SYMBOL_REGISTER)
        operand->kind = PTX_OPERAND_REGISTER;
    else
        operand->kind = PTX_OPERAND_SYMBOL;
    return true;
}

static bool parse_offset(ptx_build_t *build, int64_t *ret_offset) {
    *ret_offset = 0;
    if (!divvy_ptx_at_punct(build, '+') && !divvy_ptx_at_punct(build, '-'))
        return true;
    ptx_number_t number;
    if (!divvy_ptx_parse_number(build, &number))
        return false;
    if (number.kind != PTX_NUMBER_INT)
        return divvy_ptx_error_here(build, -EINVAL, "offset must be an integer");
    *ret_offset = (int64_t)number.u;
    return true;
}

static bool is_name(const ptx_build_t *build) {
    return build->token.kind == PTX_TOKEN_NAME &&
           divvy_ptx_text_compare(build->token.text, build->token.length, "WARP_SZ") != 0;
}

static bool parse_constant(ptx_build_t *build, ptx_operand_t *operand) {
    operand->kind = PTX_OPERAND_NUMBER;
    return divvy_ptx_parse_number(build, &operand->number);
}

/* After "[". */
static bool parse_address(ptx_build_t *build, ptx_operand_t *operand) {
    operand->kind = PTX_OPERAND_ADDRESS;
    operand->items = divvy_ptx_arena_alloc(&build->statement_arena, sizeof(ptx_operand_t));
    if (!operand->items)
        return divvy_ptx_error_memory(build);
    operand->count = 1;
    if (!is_name(build)) {
        if (!parse_constant(build, operand->items))
            return false;
        if (operand->items->number.kind != PTX_NUMBER_INT)
            return divvy_ptx_error_here(build, -EINVAL, "address must be an integer");
    } else if (!parse_reference(build, operand->items) || !parse_offset(build, &operand->offset)) {
        return false;
    }
    if (divvy_ptx_at_punct(build, ','))
        return divvy_ptx_error_here(build, -EOPNOTSUPP,
                                    "addresses of several parts are not supported");
    return divvy_ptx_expect_punct(build, ']');
}

/* Items up to CLOSE, which is stepped over. */
static bool parse_items(ptx_build_t *build, ptx_operand_t *operand, ptx_operand_kind_t kind,
                        char close) {
    operand->kind = kind;
    uint32_t capacity = 0;
    if (divvy_ptx_skip_punct(build, (uint64_t)close))
        return true;
    do {
        if (operand->count == PTX_LIST_MAX)
            return divvy_ptx_error_here(build, -E2BIG, "too many operands");
        if (operand->count == capacity) {
            uint32_t larger = capacity ? 2 * capacity : 4;
            ptx_operand_t *items =
                divvy_ptx_arena_alloc(&build->statement_arena, larger * sizeof(ptx_operand_t));
            if (!items)
                return divvy_ptx_error_memory(build);
            if (capacity)
                memcpy(items, operand->items, capacity * sizeof(ptx_operand_t));
            operand->items = items;
            capacity = larger;
        }
        if (!parse_operand(build, &operand->items[operand->count++]))
            return false;
    } while (divvy_ptx_skip_punct(build, ','));
    return divvy_ptx_expect_punct(build, (uint64_t)close);
}

/* "p" or "a|b". */
static bool parse_pair(ptx_build_t *build, ptx_operand_t *operand) {
    if (divvy_ptx_text_compare(build->token.text, build->token.length, "_") == 0) {
        operand->kind = PTX_OPERAND_SINK;
        divvy_ptx_advance(build);
    } else if (!parse_reference(build, operand)) {
        return false;
    }
    if (divvy_ptx_skip_punct(build, '|')) {
        operand->second = divvy_ptx_arena_alloc(&build->statement_arena, sizeof(ptx_operand_t));
        if (!operand->second)
            return divvy_ptx_error_memory(build);
        if (!is_name(build))
            return divvy_ptx_error_here(build, -EINVAL, "expected a register after '|'");
        if (divvy_ptx_text_compare(build->token.text, build->token.length, "_") == 0) {
            operand->second->kind = PTX_OPERAND_SINK;
            divvy_ptx_advance(build);
            return true;
        }
        return parse_reference(build, operand->second);
    }
    if (operand->kind == PTX_OPERAND_SYMBOL)
        return parse_offset(build, &operand->offset);
    return true;
}

static bool parse_operand_here(ptx_build_t *build, ptx_operand_t *operand) {
    if (divvy_ptx_skip_punct(build, '{'))
        return parse_items(build, operand, PTX_OPERAND_VECTOR, '}');
    if (divvy_ptx_skip_punct(build, '['))
        return parse_address(build, operand);
    if (divvy_ptx_at_punct(build, '!')) {
        divvy_ptx_advance(build);
        operand->negated = true;
        if (is_name(build))
            return parse_reference(build, operand);
        if (!parse_constant(build, operand))
            return false;
        operand->negated = false;
        operand->number.u = operand->number.u == 0;
        operand->number.kind = PTX_NUMBER_INT;
        return true;
    }
    if (is_name(build))
        return parse_pair(build, operand);
    return parse_constant(build, operand);
}

static bool parse_operand(ptx_build_t *build, ptx_operand_t *ret_operand) {
    if (build->depth >= PTX_DEPTH_MAX)
        return divvy_ptx_error_here(build, -E2BIG, "operands nested too deeply");
    build->depth++;
    bool fine = parse_operand_here(build, ret_operand);
    build->depth--;
    return fine;
}

/* ---- Instructions ---------------------------------------------------------------------------- */

static bool parse_modifier(ptx_build_t *build, ptx_statement_t *statement) {
    const ptx_token_t *token = &build->token;
    ptx_type_t type = divvy_ptx_type_find(token->text, token->length);
    int modifier = type == PTX_NONE ? divvy_ptx_modifier_find(token->text, token->length) : -1;
    if (type != PTX_NONE && statement->type_count < 4) {
        statement->types[statement->type_count++] = type;
    } else if (modifier >= 0) {
        ptx_modifiers_add(&statement->modifiers, (unsigned)modifier);
    } else if (!statement->unknown) {
        statement->unknown = token->text;
        statement->unknown_length = token->length;
    }
    statement->length = (size_t)(token->text + token->length - statement->text);
    divvy_ptx_advance(build);
    return true;
}

static bool parse_operands(ptx_build_t *build, ptx_statement_t *statement) {
    bool is_call = divvy_ptx_text_compare(statement->text, statement->opcode_length, "call") == 0;
    if (divvy_ptx_skip_punct(build, ';'))
        return true;
    do {
        if (statement->operand_count == PTX_OPERANDS_MAX)
            return divvy_ptx_error_here(build, -EINVAL, "too many operands");
        ptx_operand_t *operand = &statement->operands[statement->operand_count++];
        bool fine = is_call && divvy_ptx_skip_punct(build, '(')
                        ? parse_items(build, operand, PTX_OPERAND_LIST, ')')
                        : parse_operand(build, operand);
        if (!fine)
            return false;
    } while (divvy_ptx_skip_punct(build, ','));
    return divvy_ptx_expect_punct(build, ';');
}

bool divvy_ptx_parse_instruction(ptx_build_t *build, ptx_symbol_t *guard, bool guard_negated) {
    ptx_statement_t statement = {.line = build->token.line,
                                 .text = build->token.text,
                                 .length = build->token.length,
                                 .opcode_length = build->token.length,
                                 .guard = guard,
                                 .guard_negated = guard_negated};
    if (build->token.kind != PTX_TOKEN_NAME)
        return divvy_ptx_error_here(build, -EINVAL, "expected an instruction");
    divvy_ptx_arena_reset(&build->statement_arena);
    divvy_ptx_advance(build);
    while (build->token.kind == PTX_TOKEN_DOT)
        parse_modifier(build, &statement);
    /* What cannot be supported is named before its operands, which may not be understood either. */
    if (!divvy_ptx_lower_check(build, &statement))
        return false;
    return parse_operands(build, &statement) && divvy_ptx_lower(build, &statement);
}
