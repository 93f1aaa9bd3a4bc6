/* Lowering of branches, calls, barriers and warp operations. */
#include "simgpu/ptx/lower.h"

#include <string.h>

/* ---- Branches -------------------------------------------------------------------------------- */

bool divvy_ptx_lower_bra(ptx_build_t *build, ptx_statement_t *statement, unsigned variant) {
    (void)variant;
    divvy_ptx_take(statement, PTX_M_UNI);
    if (!divvy_ptx_expect(build, statement, 0, 1, 1))
        return false;
    const ptx_operand_t *target = &statement->operands[0];
    if (target->kind != PTX_OPERAND_NAME || target->second)
        return divvy_ptx_reject_operand(build, statement, 0);
    ptx_insn_t insn = divvy_ptx_insn(build, divvy_ptx_exec_flow(PTX_FLOW_BRANCH));
    if (statement->guard) {
        insn.handler = divvy_ptx_exec_flow(PTX_FLOW_BRANCH_IF);
        insn.e = !statement->guard_negated;
        if (!divvy_ptx_slot_of(build, statement->guard, &insn.a))
            return false;
    }
    if (divvy_ptx_array_grow((void **)&build->fixups, &build->fixup_capacity,
                             (uint64_t)build->fixup_count + 1, sizeof(ptx_fixup_t)) < 0)
        return divvy_ptx_error_memory(build);
    build->fixups[build->fixup_count++] = (ptx_fixup_t){.position = build->code_count,
                                                        .name = target->text,
                                                        .length = target->length,
                                                        .scope = build->scope,
                                                        .line = statement->line};
    return divvy_ptx_emit(build, statement->line, &insn);
}

bool divvy_ptx_lower_brx(ptx_build_t *build, ptx_statement_t *statement, unsigned variant) {
    (void)variant;
    divvy_ptx_take(statement, PTX_M_UNI);
    if (!divvy_ptx_take(statement, PTX_M_IDX) || !divvy_ptx_expect(build, statement, 0, 2, 2))
        return divvy_ptx_reject_types(build, statement);
    const ptx_operand_t *table = &statement->operands[1];
    if (table->kind != PTX_OPERAND_NAME || !table->symbol ||
        table->symbol->kind != PTX_SYMBOL_TABLE)
        return divvy_ptx_reject(build, statement, -EINVAL,
                                "needs the name of a .branchtargets list");
    ptx_insn_t insn = divvy_ptx_insn(build, divvy_ptx_exec_flow(PTX_FLOW_TABLE));
    insn.data = table->symbol->data;
    return divvy_ptx_source(build, statement, &statement->operands[0], PTX_U32, PTX_FIT_EXACT,
                            &insn.a) &&
           divvy_ptx_emit(build, statement->line, &insn);
}

/* ret, exit, trap. */
bool divvy_ptx_lower_simple(ptx_build_t *build, ptx_statement_t *statement, unsigned variant) {
    divvy_ptx_take(statement, PTX_M_UNI);
    if (!divvy_ptx_expect(build, statement, 0, 0, 0))
        return false;
    ptx_insn_t insn = divvy_ptx_insn(build, divvy_ptx_exec_flow(variant));
    return divvy_ptx_emit(build, statement->line, &insn);
}

/* ---- Calls ----------------------------------------------------------------------------------- */

/*
 * Fills in TRANSFER between ACTUAL, in the caller, and FORMAL. RESULT: the value goes from FORMAL
 * to ACTUAL.
 */
static bool lower_transfer(ptx_build_t *build, ptx_statement_t *statement,
                           const ptx_operand_t *actual, const ptx_formal_t *formal, bool result,
                           ptx_transfer_t *transfer) {
    bool actual_slot = true;
    uint32_t place;
    if (actual->kind == PTX_OPERAND_SYMBOL &&
        (actual->symbol->kind == PTX_SYMBOL_CALL_PARAM ||
         (actual->symbol->kind == PTX_SYMBOL_FORMAL && !build->is_entry))) {
        if (actual->symbol->size_bytes != formal->size_bytes || actual->offset)
            return divvy_ptx_reject(build, statement, -EINVAL,
                                    "argument '%.*s' does not fit the parameter",
                                    (int)(actual->length < 80 ? actual->length : 80), actual->text);
        actual_slot = false;
        place = actual->symbol->offset_bytes;
    } else {
        if (formal->size_bytes != divvy_ptx_type_bytes(formal->type))
            return divvy_ptx_reject(build, statement, -EINVAL, "register for an array parameter");
        bool fine = result ? divvy_ptx_destination(build, statement, actual, formal->type,
                                                   PTX_FIT_WIDER, &place)
                           : divvy_ptx_source(build, statement, actual, formal->type, PTX_FIT_WIDER,
                                              &place);
        if (!fine)
            return false;
    }
    uint32_t formal_place = formal->in_register ? formal->slot : formal->offset_bytes;
    *transfer = (ptx_transfer_t){.type = formal->type, .size_bytes = formal->size_bytes};
    if (formal->type == PTX_PRED)
        transfer->size_bytes = 4;
    transfer->from = result ? formal_place : place;
    transfer->from_slot = result ? formal->in_register : actual_slot;
    transfer->to = result ? place : formal_place;
    transfer->to_slot = result ? actual_slot : formal->in_register;
    return true;
}

static bool add_callee(ptx_build_t *build, uint32_t index, uint32_t line) {
    if (divvy_ptx_array_grow((void **)&build->callees, &build->callee_capacity,
                             (uint64_t)build->callee_count + 1, sizeof(ptx_callee_t)) < 0)
        return divvy_ptx_error_memory(build);
    build->callees[build->callee_count++] = (ptx_callee_t){index, line};
    return true;
}

/* call (result), name, (arguments); both lists may be missing. */
bool divvy_ptx_lower_call(ptx_build_t *build, ptx_statement_t *statement, unsigned variant) {
    (void)variant;
    divvy_ptx_take(statement, PTX_M_UNI);
    if (!divvy_ptx_expect(build, statement, 0, 1, 4))
        return false;
    const ptx_operand_t *operand = statement->operands;
    const ptx_operand_t *end = operand + statement->operand_count;
    const ptx_operand_t *results = operand->kind == PTX_OPERAND_LIST ? operand++ : NULL;
    const ptx_operand_t *name = operand < end ? operand++ : NULL;
    const ptx_operand_t *arguments =
        operand < end && operand->kind == PTX_OPERAND_LIST ? operand++ : NULL;
    if (!name || operand != end || name->kind != PTX_OPERAND_NAME)
        return divvy_ptx_reject(build, statement, -EOPNOTSUPP, "indirect calls are not supported");
    if (!name->symbol || name->symbol->kind != PTX_SYMBOL_FUNCTION)
        return divvy_ptx_reject(build, statement, -EINVAL, "unknown function '%.*s'",
                                (int)(name->length < 80 ? name->length : 80), name->text);
    uint32_t index = name->symbol->index;
    const ptx_function_t *callee = &build->module->functions[index];
    uint32_t argument_count = arguments ? arguments->count : 0;
    uint32_t result_count = results ? results->count : 0;
    if (callee->is_entry)
        return divvy_ptx_reject(build, statement, -EINVAL, "kernels cannot be called");
    if (argument_count != callee->formal_count || result_count != callee->result_count)
        return divvy_ptx_reject(build, statement, -EINVAL, "wrong number of arguments or results");
    ptx_call_t *call = divvy_ptx_arena_alloc(&build->module->arena,
                                             sizeof(*call) + (argument_count + result_count) *
                                                                 sizeof(call->transfers[0]));
    if (!call)
        return divvy_ptx_error_memory(build);
    call->callee = index;
    call->arguments = argument_count;
    call->results = result_count;
    for (uint32_t k = 0; k < argument_count; k++) {
        if (!lower_transfer(build, statement, &arguments->items[k], &callee->formals[k], false,
                            &call->transfers[k]))
            return false;
    }
    for (uint32_t k = 0; k < result_count; k++) {
        if (!lower_transfer(build, statement, &results->items[k], &callee->results[k], true,
                            &call->transfers[argument_count + k]))
            return false;
    }
    ptx_insn_t insn = divvy_ptx_insn(build, divvy_ptx_exec_flow(PTX_FLOW_CALL));
    insn.data = call;
    return add_callee(build, index, statement->line) &&
           divvy_ptx_emit(build, statement->line, &insn);
}

/* ---- Waiting --------------------------------------------------------------------------------- */

bool divvy_ptx_lower_sleep(ptx_build_t *build, ptx_statement_t *statement, unsigned variant) {
    (void)variant;
    if (!divvy_ptx_expect(build, statement, 1, 1, 1))
        return false;
    ptx_insn_t insn = divvy_ptx_insn(build, divvy_ptx_exec_flow(PTX_FLOW_SLEEP));
    return divvy_ptx_source(build, statement, &statement->operands[0], PTX_U32, PTX_FIT_EXACT,
                            &insn.a) &&
           divvy_ptx_emit(build, statement->line, &insn);
}

bool divvy_ptx_lower_fence(ptx_build_t *build, ptx_statement_t *statement, unsigned variant) {
    (void)variant;
    static const ptx_modifier_t kinds[] = {PTX_M_CTA,     PTX_M_GL,      PTX_M_SYS,
                                           PTX_M_GPU,     PTX_M_CLUSTER, PTX_M_SC,
                                           PTX_M_ACQ_REL, PTX_M_ACQUIRE, PTX_M_RELEASE};
    if (!divvy_ptx_expect(build, statement, 0, 0, 0))
        return false;
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
        divvy_ptx_take(statement, kinds[k]);
    ptx_insn_t insn = divvy_ptx_insn(build, divvy_ptx_exec_flow(PTX_FLOW_FENCE));
    return divvy_ptx_emit(build, statement->line, &insn);
}

/* bar.warp.sync mask */
static bool lower_warp_sync(ptx_build_t *build, ptx_statement_t *statement) {
    if (!divvy_ptx_take(statement, PTX_M_SYNC) || !divvy_ptx_expect(build, statement, 0, 1, 1))
        return divvy_ptx_reject_types(build, statement);
    uint32_t mask;
    if (!divvy_ptx_source(build, statement, &statement->operands[0], PTX_B32, PTX_FIT_EXACT, &mask))
        return false;
    ptx_insn_t insn = divvy_ptx_insn(build, divvy_ptx_exec_warp());
    insn.f = PTX_WARP_SYNC;
    insn.imm = mask;
    return divvy_ptx_emit(build, statement->line, &insn);
}

/* bar.red.{popc.u32,and.pred,or.pred}: the kind, and the type of the result. */
static bool take_reduction(ptx_build_t *build, ptx_statement_t *statement, uint32_t *ret_kind) {
    if (statement->type_count != 1)
        return divvy_ptx_reject_types(build, statement);
    ptx_type_t wanted = PTX_PRED;
    if (divvy_ptx_take(statement, PTX_M_POPC)) {
        *ret_kind = PTX_BAR_POPC;
        wanted = PTX_U32;
    } else if (divvy_ptx_take(statement, PTX_M_AND)) {
        *ret_kind = PTX_BAR_AND;
    } else if (divvy_ptx_take(statement, PTX_M_OR)) {
        *ret_kind = PTX_BAR_OR;
    } else {
        return divvy_ptx_reject_types(build, statement);
    }
    return statement->types[0] == wanted || divvy_ptx_reject_types(build, statement);
}

/* bar and barrier: sync a{, b}; arrive a, b; red d, a{, b}, c. */
bool divvy_ptx_lower_barrier(ptx_build_t *build, ptx_statement_t *statement, unsigned variant) {
    (void)variant;
    if (divvy_ptx_take(statement, PTX_M_WARP))
        return lower_warp_sync(build, statement);
    divvy_ptx_take(statement, PTX_M_CTA);
    divvy_ptx_take(statement, PTX_M_ALIGNED);
    uint32_t kind = PTX_BAR_SYNC;
    uint32_t first = 0; /* operand that is the number */
    bool reduces = false;
    if (divvy_ptx_take(statement, PTX_M_ARRIVE)) {
        kind = PTX_BAR_ARRIVE;
        if (!divvy_ptx_expect(build, statement, 0, 2, 2))
            return false;
    } else if (divvy_ptx_take(statement, PTX_M_SYNC)) {
        if (!divvy_ptx_expect(build, statement, 0, 1, 2))
            return false;
    } else if (divvy_ptx_take(statement, PTX_M_RED)) {
        reduces = true;
        first = 1;
        if (!take_reduction(build, statement, &kind) ||
            !divvy_ptx_expect(build, statement, 1, 3, 4))
            return false;
    } else {
        return divvy_ptx_reject_types(build, statement);
    }
    ptx_operand_t *operands = statement->operands;
    ptx_insn_t insn = divvy_ptx_insn(build, divvy_ptx_exec_barrier());
    bool counted = statement->operand_count == first + 2u + reduces;
    insn.f = kind | (counted ? PTX_BAR_COUNTED : 0);
    if (!divvy_ptx_source(build, statement, &operands[first], PTX_U32, PTX_FIT_EXACT, &insn.a) ||
        (counted && !divvy_ptx_source(build, statement, &operands[first + 1], PTX_U32,
                                      PTX_FIT_EXACT, &insn.b)))
        return false;
    if (reduces && (!divvy_ptx_source(build, statement, &operands[statement->operand_count - 1],
                                      PTX_PRED, PTX_FIT_EXACT, &insn.c) ||
                    !divvy_ptx_destination(build, statement, &operands[0], statement->types[0],
                                           PTX_FIT_EXACT, &insn.d)))
        return false;
    return divvy_ptx_emit(build, statement->line, &insn);
}

/* ---- Warp operations ------------------------------------------------------------------------- */

/*
 * d{|p}, sources, mask: the common form. The first source is operand 1 with TYPE, further ones are
 * 32-bit.
 */
static bool emit_warp(ptx_build_t *build, ptx_statement_t *statement, ptx_warp_op_t op,
                      ptx_type_t to, ptx_type_t type, uint32_t sources, bool may_pair) {
    ptx_operand_t *operands = statement->operands;
    ptx_insn_t insn = divvy_ptx_insn(build, divvy_ptx_exec_warp());
    uint32_t *const fields[3] = {&insn.a, &insn.b, &insn.c};
    uint32_t mask;
    for (uint32_t k = 0; k < sources; k++) {
        if (!divvy_ptx_source(build, statement, &operands[1 + k], k ? PTX_B32 : type, PTX_FIT_EXACT,
                              fields[k]))
            return false;
    }
    if (!divvy_ptx_source(build, statement, &operands[1 + sources], PTX_B32, PTX_FIT_EXACT, &mask))
        return false;
    if (operands[0].second &&
        (!may_pair || !divvy_ptx_destination(build, statement, operands[0].second, PTX_PRED,
                                             PTX_FIT_EXACT, &insn.e)))
        return divvy_ptx_reject_operand(build, statement, 0);
    insn.f = op;
    insn.imm = mask;
    return divvy_ptx_destination(build, statement, &operands[0], to, PTX_FIT_EXACT, &insn.d) &&
           divvy_ptx_emit(build, statement->line, &insn);
}

/* The forms without .sync went away with sm_70, and what they did depended on the hardware. */
static bool take_sync(ptx_build_t *build, ptx_statement_t *statement) {
    if (divvy_ptx_take(statement, PTX_M_SYNC))
        return true;
    return divvy_ptx_reject(build, statement, -EOPNOTSUPP, "only the .sync form is supported");
}

bool divvy_ptx_lower_shfl(ptx_build_t *build, ptx_statement_t *statement, unsigned variant) {
    (void)variant;
    ptx_warp_op_t op;
    if (!take_sync(build, statement) || !divvy_ptx_expect(build, statement, 1, 5, 5))
        return false;
    if (divvy_ptx_take(statement, PTX_M_UP))
        op = PTX_WARP_SHFL_UP;
    else if (divvy_ptx_take(statement, PTX_M_DOWN))
        op = PTX_WARP_SHFL_DOWN;
    else if (divvy_ptx_take(statement, PTX_M_BFLY))
        op = PTX_WARP_SHFL_BFLY;
    else if (divvy_ptx_take(statement, PTX_M_IDX))
        op = PTX_WARP_SHFL_IDX;
    else
        return divvy_ptx_reject(build, statement, -EINVAL, "needs .up, .down, .bfly or .idx");
    if (statement->types[0] != PTX_B32)
        return divvy_ptx_reject_types(build, statement);
    return emit_warp(build, statement, op, PTX_B32, PTX_B32, 3, true);
}

bool divvy_ptx_lower_vote(ptx_build_t *build, ptx_statement_t *statement, unsigned variant) {
    (void)variant;
    ptx_warp_op_t op;
    ptx_type_t to = PTX_PRED;
    if (!take_sync(build, statement) || !divvy_ptx_expect(build, statement, 1, 3, 3))
        return false;
    if (divvy_ptx_take(statement, PTX_M_ALL)) {
        op = PTX_WARP_VOTE_ALL;
    } else if (divvy_ptx_take(statement, PTX_M_ANY)) {
        op = PTX_WARP_VOTE_ANY;
    } else if (divvy_ptx_take(statement, PTX_M_UNI)) {
        op = PTX_WARP_VOTE_UNI;
    } else if (divvy_ptx_take(statement, PTX_M_BALLOT)) {
        op = PTX_WARP_VOTE_BALLOT;
        to = PTX_B32;
    } else {
        return divvy_ptx_reject(build, statement, -EINVAL, "needs .all, .any, .uni or .ballot");
    }
    if (statement->types[0] != to)
        return divvy_ptx_reject_types(build, statement);
    return emit_warp(build, statement, op, to, PTX_PRED, 1, false);
}

bool divvy_ptx_lower_match(ptx_build_t *build, ptx_statement_t *statement, unsigned variant) {
    (void)variant;
    if (!take_sync(build, statement) || !divvy_ptx_expect(build, statement, 1, 3, 3))
        return false;
    ptx_type_t type = statement->types[0];
    bool all = divvy_ptx_take(statement, PTX_M_ALL);
    if ((!all && !divvy_ptx_take(statement, PTX_M_ANY)) || (type != PTX_B32 && type != PTX_B64))
        return divvy_ptx_reject_types(build, statement);
    ptx_warp_op_t op = type == PTX_B32 ? (all ? PTX_WARP_MATCH_ALL32 : PTX_WARP_MATCH_ANY32)
                                       : (all ? PTX_WARP_MATCH_ALL64 : PTX_WARP_MATCH_ANY64);
    return emit_warp(build, statement, op, PTX_B32, type, 1, all);
}

bool divvy_ptx_lower_redux(ptx_build_t *build, ptx_statement_t *statement, unsigned variant) {
    (void)variant;
    if (!take_sync(build, statement) || !divvy_ptx_expect(build, statement, 1, 3, 3))
        return false;
    ptx_type_t type = statement->types[0];
    ptx_warp_op_t op = PTX_WARP_MAX;
    if (type == PTX_U32 || type == PTX_S32) {
        if (divvy_ptx_take(statement, PTX_M_ADD))
            op = PTX_WARP_REDUX_ADD;
        else if (divvy_ptx_take(statement, PTX_M_MIN))
            op = type == PTX_S32 ? PTX_WARP_REDUX_MIN_S : PTX_WARP_REDUX_MIN_U;
        else if (divvy_ptx_take(statement, PTX_M_MAX))
            op = type == PTX_S32 ? PTX_WARP_REDUX_MAX_S : PTX_WARP_REDUX_MAX_U;
    } else if (type == PTX_B32) {
        if (divvy_ptx_take(statement, PTX_M_AND))
            op = PTX_WARP_REDUX_AND;
        else if (divvy_ptx_take(statement, PTX_M_OR))
            op = PTX_WARP_REDUX_OR;
        else if (divvy_ptx_take(statement, PTX_M_XOR))
            op = PTX_WARP_REDUX_XOR;
    }
    if (op == PTX_WARP_MAX)
        return divvy_ptx_reject_types(build, statement);
    return emit_warp(build, statement, op, type, type, 1, false);
}

/* elect.sync d|p, mask */
bool divvy_ptx_lower_elect(ptx_build_t *build, ptx_statement_t *statement, unsigned variant) {
    (void)variant;
    return take_sync(build, statement) && divvy_ptx_expect(build, statement, 0, 2, 2) &&
           emit_warp(build, statement, PTX_WARP_ELECT, PTX_B32, PTX_B32, 0, true);
}

bool divvy_ptx_lower_activemask(ptx_build_t *build, ptx_statement_t *statement, unsigned variant) {
    (void)variant;
    if (!divvy_ptx_expect(build, statement, 1, 1, 1))
        return false;
    if (statement->types[0] != PTX_B32)
        return divvy_ptx_reject_types(build, statement);
    ptx_insn_t insn = divvy_ptx_insn(build, divvy_ptx_exec_activemask());
    return divvy_ptx_destination(build, statement, &statement->operands[0], PTX_B32, PTX_FIT_EXACT,
                                 &insn.d) &&
           divvy_ptx_emit(build, statement->line, &insn);
}
