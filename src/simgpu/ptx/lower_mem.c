/* Lowering of loads, stores, atomics and address conversions. */
#include "simgpu/ptx/lower.h"

/* State spaces as an instruction names them. */
typedef enum {
    NAMED_NONE,
    NAMED_GLOBAL,
    NAMED_CONST,
    NAMED_SHARED,
    NAMED_LOCAL,
    NAMED_PARAM,
} named_t;

static named_t take_space(ptx_statement_t *statement) {
    if (divvy_ptx_take(statement, PTX_M_GLOBAL))
        return NAMED_GLOBAL;
    if (divvy_ptx_take(statement, PTX_M_CONST))
        return NAMED_CONST;
    if (divvy_ptx_take(statement, PTX_M_SHARED) || divvy_ptx_take(statement, PTX_M_SHARED_CTA))
        return NAMED_SHARED;
    if (divvy_ptx_take(statement, PTX_M_LOCAL))
        return NAMED_LOCAL;
    if (divvy_ptx_take(statement, PTX_M_PARAM) || divvy_ptx_take(statement, PTX_M_PARAM_ENTRY) ||
        divvy_ptx_take(statement, PTX_M_PARAM_FUNC))
        return NAMED_PARAM;
    return NAMED_NONE;
}

/* Cache hints, scopes and memory order: accesses here always have the strongest order. */
static void take_hints(ptx_statement_t *statement) {
    static const ptx_modifier_t hints[] = {
        PTX_M_WEAK,
        PTX_M_RELAXED,
        PTX_M_ACQUIRE,
        PTX_M_RELEASE,
        PTX_M_ACQ_REL,
        PTX_M_VOLATILE,
        PTX_M_MMIO,
        PTX_M_CTA,
        PTX_M_GPU,
        PTX_M_SYS,
        PTX_M_CLUSTER,
        PTX_M_CA,
        PTX_M_CG,
        PTX_M_CS,
        PTX_M_LU,
        PTX_M_CV,
        PTX_M_NC,
        PTX_M_WB,
        PTX_M_WT,
        PTX_M_UNIFIED,
        PTX_M_L1_EVICT_NORMAL,
        PTX_M_L1_EVICT_UNCHANGED,
        PTX_M_L1_EVICT_FIRST,
        PTX_M_L1_EVICT_LAST,
        PTX_M_L1_NO_ALLOCATE,
        PTX_M_L2_64B,
        PTX_M_L2_128B,
        PTX_M_L2_256B,
        PTX_M_L2_EVICT_LAST,
        PTX_M_L2_EVICT_NORMAL,
    };
    for (size_t k = 0; k < sizeof(hints) / sizeof(hints[0]); k++)
        divvy_ptx_take(statement, hints[k]);
}

/* ---- Addresses ------------------------------------------------------------------------------- */

/* [base + imm] in SPACE. */
typedef struct {
    ptx_space_t space;
    uint32_t base;
    uint64_t imm;
} place_t;

static bool symbol_matches(ptx_symbol_kind_t kind, bool constant, named_t named) {
    switch (named) {
    case NAMED_GLOBAL:
        return kind == PTX_SYMBOL_VARIABLE && !constant;
    case NAMED_CONST:
        return kind == PTX_SYMBOL_VARIABLE && constant;
    case NAMED_SHARED:
        return kind == PTX_SYMBOL_SHARED;
    case NAMED_LOCAL:
        return kind == PTX_SYMBOL_LOCAL;
    case NAMED_PARAM:
        return kind == PTX_SYMBOL_FORMAL || kind == PTX_SYMBOL_CALL_PARAM;
    default:
        return false;
    }
}

/* A variable's name as base. SIZE bytes must lie within parameters; elsewhere the run checks. */
static bool symbol_place(ptx_build_t *build, ptx_statement_t *statement,
                         const ptx_operand_t *address, named_t named, uint32_t size,
                         place_t *place) {
    const ptx_symbol_t *symbol = address->items[0].symbol;
    if (!symbol_matches(symbol->kind, symbol->constant, named))
        return divvy_ptx_reject(build, statement, -EINVAL, "'%.*s' lies in another state space",
                                (int)(symbol->length < 80 ? symbol->length : 80), symbol->name);
    place->imm = (uint64_t)address->offset;
    switch (symbol->kind) {
    case PTX_SYMBOL_VARIABLE:
        return divvy_ptx_slot_address(build, PTX_RELOC_VARIABLE, symbol->index, 0, &place->base);
    case PTX_SYMBOL_SHARED:
        return divvy_ptx_slot_address(build, PTX_RELOC_SHARED, symbol->index, 0, &place->base);
    case PTX_SYMBOL_LOCAL:
        /* The frame's own window saves computing the address. */
        place->space = PTX_SPACE_FRAME;
        break;
    default:
        if (address->offset < 0 || (uint64_t)address->offset + size > symbol->size_bytes)
            return divvy_ptx_reject(build, statement, -EINVAL, "access beyond the parameter");
        place->space = symbol->kind == PTX_SYMBOL_FORMAL && build->is_entry ? PTX_SPACE_PARAM
                                                                            : PTX_SPACE_FRAME;
        break;
    }
    place->imm += symbol->offset_bytes;
    return true;
}

static bool is_address(ptx_type_t type, named_t named) {
    if (divvy_ptx_type_class(type) == PTX_CLASS_FLOAT || type == PTX_PRED)
        return false;
    uint32_t bytes = divvy_ptx_type_bytes(type);
    /* Windows are small enough for 32 bits. */
    bool window = named == NAMED_SHARED || named == NAMED_LOCAL || named == NAMED_PARAM;
    return bytes == 8 || (window && bytes == 4);
}

static bool resolve(ptx_build_t *build, ptx_statement_t *statement, uint32_t operand, named_t named,
                    uint32_t size, place_t *ret_place) {
    static const ptx_space_t spaces[] = {
        [NAMED_NONE] = PTX_SPACE_GENERIC,  [NAMED_GLOBAL] = PTX_SPACE_GENERIC,
        [NAMED_CONST] = PTX_SPACE_GENERIC, [NAMED_SHARED] = PTX_SPACE_SHARED,
        [NAMED_LOCAL] = PTX_SPACE_LOCAL,   [NAMED_PARAM] = PTX_SPACE_PARAM,
    };
    const ptx_operand_t *address = &statement->operands[operand];
    if (address->kind != PTX_OPERAND_ADDRESS)
        return divvy_ptx_reject_operand(build, statement, operand);
    ptx_operand_t *base = &address->items[0];
    *ret_place = (place_t){.space = spaces[named], .imm = (uint64_t)address->offset};
    if (named == NAMED_PARAM && !build->is_entry)
        ret_place->space = PTX_SPACE_FRAME;
    switch (base->kind) {
    case PTX_OPERAND_REGISTER:
        if (!is_address(base->symbol->type, named))
            return divvy_ptx_reject_operand(build, statement, operand);
        return divvy_ptx_slot_of(build, base->symbol, &ret_place->base);
    case PTX_OPERAND_NUMBER:
        return divvy_ptx_slot_constant(build, base->number.u, &ret_place->base);
    case PTX_OPERAND_SYMBOL:
        return symbol_place(build, statement, address, named, size, ret_place);
    default:
        return divvy_ptx_reject(build, statement, -EINVAL, "unknown name '%.*s'",
                                (int)(base->length < 80 ? base->length : 80), base->text);
    }
}

/* ---- Loads and stores ------------------------------------------------------------------------ */

static bool lower_vector(ptx_build_t *build, ptx_statement_t *statement, bool store,
                         const place_t *place, uint32_t count) {
    ptx_type_t type = statement->types[0];
    const ptx_operand_t *operand = &statement->operands[store ? 1 : 0];
    if (operand->kind != PTX_OPERAND_VECTOR || operand->count != count)
        return divvy_ptx_reject(build, statement, -EINVAL, "needs a list of %u registers", count);
    if (count * divvy_ptx_type_bytes(type) > 16)
        return divvy_ptx_reject_types(build, statement);
    ptx_vector_t *vector = divvy_ptx_arena_alloc(&build->module->arena, sizeof(*vector));
    if (!vector)
        return divvy_ptx_error_memory(build);
    vector->count = count;
    vector->offset = (int64_t)place->imm;
    for (uint32_t k = 0; k < count; k++) {
        const ptx_operand_t *item = &operand->items[k];
        bool fine =
            store ? divvy_ptx_source(build, statement, item, type, PTX_FIT_WIDER, &vector->slots[k])
                  : divvy_ptx_destination(build, statement, item, type, PTX_FIT_WIDER,
                                          &vector->slots[k]);
        if (!fine)
            return false;
    }
    ptx_insn_t insn = divvy_ptx_insn(build, store ? divvy_ptx_exec_store_vector(place->space, type)
                                                  : divvy_ptx_exec_load_vector(place->space, type));
    if (!insn.handler)
        return divvy_ptx_reject_types(build, statement);
    insn.a = place->base;
    insn.f = build->sites++;
    insn.data = vector;
    return divvy_ptx_emit(build, statement->line, &insn);
}

bool divvy_ptx_lower_access(ptx_build_t *build, ptx_statement_t *statement, unsigned variant) {
    bool store = variant == 1;
    if (!divvy_ptx_expect(build, statement, 1, 2, 2))
        return false;
    named_t named = take_space(statement);
    take_hints(statement);
    uint32_t count = divvy_ptx_take(statement, PTX_M_V2)   ? 2
                     : divvy_ptx_take(statement, PTX_M_V4) ? 4
                                                           : 1;
    ptx_type_t type = statement->types[0];
    uint32_t size = count * divvy_ptx_type_bytes(type);
    place_t place;
    if (store && named == NAMED_CONST)
        return divvy_ptx_reject(build, statement, -EINVAL, "constant memory is read only");
    if (!resolve(build, statement, store ? 0 : 1, named, size, &place))
        return false;
    if (store && place.space == PTX_SPACE_PARAM)
        return divvy_ptx_reject(build, statement, -EINVAL, "parameters of kernels are read only");
    if (count > 1)
        return lower_vector(build, statement, store, &place, count);
    ptx_insn_t insn = divvy_ptx_insn(build, store ? divvy_ptx_exec_store(place.space, type)
                                                  : divvy_ptx_exec_load(place.space, type));
    if (!insn.handler)
        return divvy_ptx_reject_types(build, statement);
    insn.a = place.base;
    insn.imm = place.imm;
    insn.f = build->sites++;
    bool fine = store ? divvy_ptx_source(build, statement, &statement->operands[1], type,
                                         PTX_FIT_WIDER, &insn.b)
                      : divvy_ptx_destination(build, statement, &statement->operands[0], type,
                                              PTX_FIT_WIDER, &insn.d);
    return fine && divvy_ptx_emit(build, statement->line, &insn);
}

/* ---- Atomics --------------------------------------------------------------------------------- */

static bool take_atom(ptx_statement_t *statement, ptx_atom_t *ret_op) {
    static const struct {
        ptx_modifier_t modifier;
        ptx_atom_t op;
    } ops[] = {
        {PTX_M_ADD, PTX_ATOM_ADD},   {PTX_M_MIN, PTX_ATOM_MIN}, {PTX_M_MAX, PTX_ATOM_MAX},
        {PTX_M_AND, PTX_ATOM_AND},   {PTX_M_OR, PTX_ATOM_OR},   {PTX_M_XOR, PTX_ATOM_XOR},
        {PTX_M_EXCH, PTX_ATOM_EXCH}, {PTX_M_CAS, PTX_ATOM_CAS}, {PTX_M_INC, PTX_ATOM_INC},
        {PTX_M_DEC, PTX_ATOM_DEC},
    };
    for (size_t k = 0; k < sizeof(ops) / sizeof(ops[0]); k++) {
        if (divvy_ptx_take(statement, ops[k].modifier)) {
            *ret_op = ops[k].op;
            return true;
        }
    }
    return false;
}

/* atom d, [a], b {, c} and red [a], b. */
bool divvy_ptx_lower_atom(ptx_build_t *build, ptx_statement_t *statement, unsigned variant) {
    uint32_t first = variant ? 1 : 0; /* the address */
    ptx_atom_t op;
    if (!take_atom(statement, &op))
        return divvy_ptx_reject(build, statement, -EINVAL, "needs an operation such as .add");
    uint32_t operands = first + (op == PTX_ATOM_CAS ? 3 : 2);
    if (!divvy_ptx_expect(build, statement, 1, operands, operands))
        return false;
    if (!variant && (op == PTX_ATOM_CAS || op == PTX_ATOM_EXCH))
        return divvy_ptx_reject_types(build, statement);
    named_t named = take_space(statement);
    take_hints(statement);
    divvy_ptx_take(statement, PTX_M_NOFTZ);
    ptx_type_t type = statement->types[0];
    place_t place;
    if (named == NAMED_CONST || named == NAMED_PARAM || named == NAMED_LOCAL)
        return divvy_ptx_reject_types(build, statement);
    if (!resolve(build, statement, first, named, divvy_ptx_type_bytes(type), &place))
        return false;
    ptx_insn_t insn = divvy_ptx_insn(build, divvy_ptx_exec_atom(op, place.space, type));
    if (!insn.handler)
        return divvy_ptx_reject_types(build, statement);
    insn.a = place.base;
    insn.imm = place.imm;
    insn.f = build->sites++;
    if (!divvy_ptx_source(build, statement, &statement->operands[first + 1], type, PTX_FIT_EXACT,
                          &insn.b) ||
        (op == PTX_ATOM_CAS && !divvy_ptx_source(build, statement, &statement->operands[first + 2],
                                                 type, PTX_FIT_EXACT, &insn.c)))
        return false;
    if (variant && !divvy_ptx_destination(build, statement, &statement->operands[0], type,
                                          PTX_FIT_EXACT, &insn.d))
        return false;
    return divvy_ptx_emit(build, statement->line, &insn);
}

/* ---- Windows --------------------------------------------------------------------------------- */

static ptx_space_t window_of(named_t named) {
    return named == NAMED_SHARED  ? PTX_SPACE_SHARED
           : named == NAMED_LOCAL ? PTX_SPACE_LOCAL
           : named == NAMED_PARAM ? PTX_SPACE_PARAM
                                  : PTX_SPACE_GENERIC;
}

bool divvy_ptx_lower_cvta(ptx_build_t *build, ptx_statement_t *statement, unsigned variant) {
    (void)variant;
    if (!divvy_ptx_expect(build, statement, 1, 2, 2))
        return false;
    bool to = divvy_ptx_take(statement, PTX_M_TO);
    named_t named = take_space(statement);
    ptx_type_t type = statement->types[0];
    if (named == NAMED_NONE)
        return divvy_ptx_reject(build, statement, -EINVAL, "needs a state space");
    if (type != PTX_U64 || (named == NAMED_PARAM && !build->is_entry))
        return divvy_ptx_reject_types(build, statement);
    return divvy_ptx_emit_plain(build, statement, divvy_ptx_exec_cvta(window_of(named), to),
                                PTX_U64, &type, 1);
}

bool divvy_ptx_lower_isspacep(ptx_build_t *build, ptx_statement_t *statement, unsigned variant) {
    (void)variant;
    static const ptx_type_t address = PTX_B64;
    if (!divvy_ptx_expect(build, statement, 0, 2, 2))
        return false;
    named_t named = take_space(statement);
    if (named == NAMED_NONE || named == NAMED_CONST)
        return divvy_ptx_reject_types(build, statement);
    return divvy_ptx_emit_plain(build, statement, divvy_ptx_exec_isspace(window_of(named)),
                                PTX_PRED, &address, 1);
}

/* Only a hint: it checks nothing and does nothing, as on a GPU. */
bool divvy_ptx_lower_prefetch(ptx_build_t *build, ptx_statement_t *statement, unsigned variant) {
    (void)variant;
    if (!divvy_ptx_expect(build, statement, 0, 1, 1))
        return false;
    take_space(statement);
    take_hints(statement);
    divvy_ptx_take(statement, PTX_M_L1);
    divvy_ptx_take(statement, PTX_M_L2);
    if (statement->operands[0].kind != PTX_OPERAND_ADDRESS)
        return divvy_ptx_reject_operand(build, statement, 0);
    ptx_insn_t insn = divvy_ptx_insn(build, divvy_ptx_exec_flow(PTX_FLOW_NOTHING));
    return divvy_ptx_emit(build, statement->line, &insn);
}
