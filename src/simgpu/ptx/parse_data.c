/* Declarations of variables: types, dimensions, initialisers; .global, .const and .shared. */
#include "simgpu/ptx/build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Declarations ---------------------------------------------------------------------------- */

/* .attribute(.managed) and .attribute(.unified(1, 2)); the second only sets an identity. */
static bool parse_attribute(ptx_build_t *build, ptx_declaration_t *declaration) {
    divvy_ptx_advance(build);
    if (!divvy_ptx_expect_punct(build, '('))
        return false;
    if (!divvy_ptx_at_dot(build, "managed"))
        return divvy_ptx_error_here(build, -EOPNOTSUPP, "attribute not supported");
    declaration->managed = true;
    divvy_ptx_advance(build);
    return divvy_ptx_expect_punct(build, ')');
}

bool divvy_ptx_parse_declaration(ptx_build_t *build, ptx_declaration_t *ret_declaration) {
    ptx_declaration_t *d = ret_declaration;
    *d = (ptx_declaration_t){.line = build->token.line, .vector = 1};
    while (build->token.kind == PTX_TOKEN_DOT) {
        const ptx_token_t *token = &build->token;
        d->text = token->text - 1;
        d->text_length = token->length + 1;
        if (divvy_ptx_at_dot(build, "align")) {
            uint64_t align;
            divvy_ptx_advance(build);
            if (!divvy_ptx_parse_integer(build, 1, 1024, &align))
                return false;
            if (align & (align - 1))
                return divvy_ptx_error_here(build, -EINVAL, "alignment must be a power of two");
            d->align_bytes = (uint32_t)align;
            continue;
        }
        if (divvy_ptx_at_dot(build, "attribute")) {
            if (!parse_attribute(build, d))
                return false;
            continue;
        }
        if (divvy_ptx_at_dot(build, "v2") || divvy_ptx_at_dot(build, "v4")) {
            d->vector = (uint32_t)(token->text[1] - '0');
        } else {
            ptx_type_t type = divvy_ptx_type_find(token->text, token->length);
            if (type == PTX_NONE || d->type != PTX_NONE)
                return divvy_ptx_error_here(build, -EINVAL, "unexpected in a declaration");
            d->type = type;
        }
        divvy_ptx_advance(build);
    }
    if (d->type == PTX_NONE)
        return divvy_ptx_error_here(build, -EINVAL, "declaration without type");
    return true;
}

bool divvy_ptx_parse_declarator(ptx_build_t *build, ptx_declaration_t *declaration) {
    ptx_declaration_t *d = declaration;
    if (build->token.kind != PTX_TOKEN_NAME)
        return divvy_ptx_error_here(build, -EINVAL, "expected a name");
    d->name = build->token.text;
    d->name_length = build->token.length;
    d->dim_count = 0;
    d->open = false;
    divvy_ptx_advance(build);
    uint64_t elements = 1;
    while (divvy_ptx_skip_punct(build, '[')) {
        if (d->dim_count == sizeof(d->dims) / sizeof(d->dims[0]))
            return divvy_ptx_error_here(build, -E2BIG, "too many dimensions");
        uint64_t dim = 0;
        if (divvy_ptx_at_punct(build, ']') && d->dim_count == 0)
            d->open = true;
        else if (!divvy_ptx_parse_integer(build, 0, PTX_VARIABLE_MAX_BYTES, &dim))
            return false;
        d->dims[d->dim_count++] = dim;
        if (__builtin_mul_overflow(elements, dim, &elements) || elements > PTX_VARIABLE_MAX_BYTES)
            return divvy_ptx_error_here(build, -E2BIG, "variable too large");
        if (!divvy_ptx_expect_punct(build, ']'))
            return false;
    }
    d->size_bytes = elements * d->vector * divvy_ptx_type_bytes(d->type);
    if (d->size_bytes > PTX_VARIABLE_MAX_BYTES)
        return divvy_ptx_error_here(build, -E2BIG, "variable too large");
    uint32_t natural = d->vector * divvy_ptx_type_bytes(d->type);
    if (d->align_bytes < natural)
        d->align_bytes = natural;
    return true;
}

/* ---- Initialisers ---------------------------------------------------------------------------- */

typedef struct {
    ptx_build_t *build;
    ptx_declaration_t *declaration;
    ptx_variable_t *variable;
    uint64_t capacity;       /* of variable->data */
    uint32_t patch_capacity; /* of variable->patches */
    uint64_t counted;        /* elements of an open first dimension */
} initialiser_t;

static bool reserve(initialiser_t *init, uint64_t end) {
    ptx_variable_t *variable = init->variable;
    if (end > PTX_INITIALISED_MAX_BYTES)
        return divvy_ptx_error_here(init->build, -E2BIG, "initialiser reaches too far");
    if (end > init->capacity) {
        uint64_t wanted = 2 * init->capacity > end ? 2 * init->capacity : end + 64;
        uint8_t *grown = realloc(variable->data, wanted);
        if (!grown)
            return divvy_ptx_error_memory(init->build);
        memset(grown + init->capacity, 0, wanted - init->capacity);
        variable->data = grown;
        init->capacity = wanted;
    }
    if (end > variable->data_bytes)
        variable->data_bytes = end;
    return true;
}

/* The address of another variable, after its name; "generic(" has been skipped by the caller. */
static bool parse_address(initialiser_t *init, uint64_t offset, bool generic) {
    ptx_build_t *build = init->build;
    uint32_t size = divvy_ptx_type_bytes(init->declaration->type);
    const ptx_symbol_t *symbol =
        divvy_ptx_symbols_find(&build->globals, 0, build->token.text, build->token.length, false);
    if (!symbol)
        return divvy_ptx_error_here(build, -EINVAL, "unknown name in an initialiser");
    if (symbol->kind != PTX_SYMBOL_VARIABLE)
        return divvy_ptx_error_here(build, -EOPNOTSUPP,
                                    "only addresses of .global and .const variables are supported");
    if (size != 8)
        return divvy_ptx_error_here(build, -EOPNOTSUPP,
                                    "address in an element of other than 64 bits");
    divvy_ptx_advance(build);
    if (generic && !divvy_ptx_expect_punct(build, ')'))
        return false;
    ptx_number_t addend = {.kind = PTX_NUMBER_INT};
    bool minus = divvy_ptx_at_punct(build, '-');
    if ((minus || divvy_ptx_at_punct(build, '+')) && !divvy_ptx_parse_number(build, &addend))
        return false;
    if (addend.kind != PTX_NUMBER_INT)
        return divvy_ptx_error_here(build, -EINVAL, "offset must be an integer");
    ptx_variable_t *variable = init->variable;
    if (divvy_ptx_array_grow((void **)&variable->patches, &init->patch_capacity,
                             (uint64_t)variable->patch_count + 1, sizeof(ptx_patch_t)) < 0)
        return divvy_ptx_error_memory(build);
    variable->patches[variable->patch_count++] =
        (ptx_patch_t){offset, size, symbol->index, (int64_t)addend.u};
    return reserve(init, offset + size);
}

static bool store_number(initialiser_t *init, uint64_t offset, const ptx_number_t *number) {
    ptx_type_t type = init->declaration->type;
    uint32_t size = divvy_ptx_type_bytes(type);
    uint64_t bits = number->u;
    if (type == PTX_F32 || type == PTX_F64) {
        double value = 0;
        float single = 0;
        if (number->kind == PTX_NUMBER_INT)
            return divvy_ptx_error_here(init->build, -EINVAL,
                                        "integer initialises a floating-point variable");
        if (number->kind == PTX_NUMBER_F32)
            memcpy(&single, &bits, sizeof(single)), value = single;
        else
            memcpy(&value, &bits, sizeof(value)), single = (float)value;
        if (type == PTX_F64)
            memcpy(&bits, &value, sizeof(bits));
        else if (number->kind != PTX_NUMBER_F32)
            memcpy(&bits, &single, sizeof(single));
    } else if (number->kind != PTX_NUMBER_INT &&
               !(divvy_ptx_type_class(type) == PTX_CLASS_BITS &&
                 size == (number->kind == PTX_NUMBER_F32 ? 4 : 8))) {
        return divvy_ptx_error_here(init->build, -EINVAL,
                                    "floating-point value initialises an integer variable");
    }
    if (!reserve(init, offset + size))
        return false;
    memcpy(init->variable->data + offset, &bits, size);
    return true;
}

static bool parse_element(initialiser_t *init, uint64_t offset) {
    ptx_build_t *build = init->build;
    const ptx_token_t *token = &build->token;
    if (token->kind == PTX_TOKEN_NAME &&
        divvy_ptx_text_compare(token->text, token->length, "WARP_SZ") != 0) {
        bool generic = divvy_ptx_text_compare(token->text, token->length, "generic") == 0;
        if (generic) {
            divvy_ptx_advance(build);
            if (!divvy_ptx_expect_punct(build, '('))
                return false;
            if (build->token.kind != PTX_TOKEN_NAME)
                return divvy_ptx_error_here(build, -EINVAL, "expected a variable");
        }
        return parse_address(init, offset, generic);
    }
    ptx_number_t number;
    return divvy_ptx_parse_number(build, &number) && store_number(init, offset, &number);
}

/* Bytes of one item at nesting LEVEL; vectors count as one more dimension. */
static uint64_t stride(const ptx_declaration_t *d, uint32_t level) {
    uint64_t size = divvy_ptx_type_bytes(d->type);
    if (level <= d->dim_count)
        size *= d->vector;
    for (uint32_t k = level; k < d->dim_count; k++)
        size *= d->dims[k];
    return size;
}

/*
 * "{ item, ... }" that fills the part of the variable at OFFSET; LEVEL dimensions are fixed
 * already.
 */
static bool parse_braces(initialiser_t *init, uint32_t level, uint64_t offset) {
    ptx_build_t *build = init->build;
    const ptx_declaration_t *d = init->declaration;
    uint32_t levels = d->dim_count + (d->vector > 1);
    if (level >= levels && !(level == 0 && levels == 0))
        return divvy_ptx_error_here(build, -EINVAL, "too many braces in an initialiser");
    divvy_ptx_advance(build);
    uint64_t step = levels ? stride(d, level + 1) : divvy_ptx_type_bytes(d->type);
    uint64_t room = levels ? (level < d->dim_count ? d->dims[level] : d->vector) : 1;
    bool open = d->open && level == 0;
    uint64_t count = 0;
    while (!divvy_ptx_at_punct(build, '}')) {
        if (!open && count >= room)
            return divvy_ptx_error_here(build, -EINVAL, "too many values in an initialiser");
        uint64_t at;
        if (__builtin_mul_overflow(count, step, &at) || at > PTX_INITIALISED_MAX_BYTES)
            return divvy_ptx_error_here(build, -E2BIG, "initialiser reaches too far");
        bool fine = divvy_ptx_at_punct(build, '{') ? parse_braces(init, level + 1, offset + at)
                    : level + 1 < levels           ? false
                                                   : parse_element(init, offset + at);
        if (!fine)
            return divvy_ptx_error_here(build, -EINVAL, "expected '{' for an inner dimension");
        count++;
        if (!divvy_ptx_skip_punct(build, ','))
            break;
    }
    if (open)
        init->counted = count;
    return divvy_ptx_expect_punct(build, '}');
}

static bool parse_initialiser(ptx_build_t *build, ptx_declaration_t *declaration,
                              ptx_variable_t *variable) {
    initialiser_t init = {.build = build, .declaration = declaration, .variable = variable};
    bool braces = divvy_ptx_at_punct(build, '{');
    if (!braces && declaration->dim_count)
        return divvy_ptx_error_here(build, -EINVAL, "expected '{' to initialise an array");
    if (braces ? !parse_braces(&init, 0, 0) : !parse_element(&init, 0))
        return false;
    variable->info.initialised = true;
    if (declaration->open)
        declaration->size_bytes = init.counted * stride(declaration, 1);
    return true;
}

/* ---- Module variables ------------------------------------------------------------------------ */

/* The entry for the variable just named: new, or the one that an .extern announced. */
static bool enter_variable(ptx_build_t *build, const ptx_declaration_t *declaration, bool is_extern,
                           bool constant, uint32_t *ret_index) {
    divvy_ptx_module_t *module = build->module;
    ptx_symbol_t *known = divvy_ptx_symbols_find(&build->globals, 0, declaration->name,
                                                 declaration->name_length, false);
    if (known && known->kind == PTX_SYMBOL_VARIABLE && known->constant == constant &&
        (is_extern || known->size_bytes)) {
        *ret_index = known->index;
        if (!is_extern)
            known->size_bytes = 0;
        return true;
    }
    ptx_symbol_t *symbol =
        divvy_ptx_declare(build, PTX_SYMBOL_VARIABLE, declaration->name, declaration->name_length);
    if (!symbol)
        return false;
    if (divvy_ptx_array_grow((void **)&module->variables, &module->variable_capacity,
                             (uint64_t)module->variable_count + 1, sizeof(ptx_variable_t)) < 0)
        return divvy_ptx_error_memory(build);
    symbol->constant = constant;
    symbol->index = module->variable_count++;
    symbol->size_bytes = is_extern; /* nonzero: announced, still to be defined */
    ptx_variable_t *variable = &module->variables[symbol->index];
    variable->info.name =
        divvy_ptx_arena_text(&module->arena, declaration->name, declaration->name_length);
    variable->info.constant = constant;
    variable->line = declaration->line;
    variable->announced = is_extern;
    *ret_index = symbol->index;
    return variable->info.name || divvy_ptx_error_memory(build);
}

bool divvy_ptx_parse_variables(ptx_build_t *build, ptx_linkage_t linkage, bool constant) {
    if (build->token.kind == PTX_TOKEN_PUNCT)
        return divvy_ptx_error_here(build, -EOPNOTSUPP, "banks of .const are not supported");
    ptx_declaration_t declaration;
    if (!divvy_ptx_parse_declaration(build, &declaration))
        return false;
    if (declaration.type == PTX_PRED)
        return divvy_ptx_error_here(build, -EINVAL, "predicates live in registers only");
    uint32_t align = declaration.align_bytes;
    do {
        uint32_t index = 0;
        declaration.align_bytes = align;
        if (!divvy_ptx_parse_declarator(build, &declaration) ||
            !enter_variable(build, &declaration, linkage.is_extern, constant, &index))
            return false;
        ptx_variable_t *variable = &build->module->variables[index];
        if (divvy_ptx_at_punct(build, '=')) {
            if (linkage.is_extern)
                return divvy_ptx_error_here(build, -EINVAL, "external variable with initialiser");
            divvy_ptx_advance(build);
            if (!parse_initialiser(build, &declaration, variable))
                return false;
        } else if (declaration.open && !linkage.is_extern) {
            return divvy_ptx_error_here(build, -EINVAL, "array without size");
        }
        variable->announced = variable->announced && linkage.is_extern;
        if (!linkage.is_extern || !variable->info.size_bytes) {
            variable->info.size_bytes = declaration.size_bytes;
            variable->info.align_bytes = declaration.align_bytes;
        }
        variable->info.visible = variable->info.visible || linkage.visible;
        variable->info.managed = variable->info.managed || declaration.managed;
    } while (divvy_ptx_skip_punct(build, ','));
    return divvy_ptx_expect_punct(build, ';');
}

/* ---- Shared memory --------------------------------------------------------------------------- */

bool divvy_ptx_parse_shared(ptx_build_t *build, ptx_linkage_t linkage) {
    divvy_ptx_module_t *module = build->module;
    ptx_declaration_t declaration;
    if (!divvy_ptx_parse_declaration(build, &declaration))
        return false;
    if (declaration.type == PTX_PRED)
        return divvy_ptx_error_here(build, -EINVAL, "predicates live in registers only");
    uint32_t align = declaration.align_bytes;
    do {
        declaration.align_bytes = align;
        if (!divvy_ptx_parse_declarator(build, &declaration))
            return false;
        if (declaration.open && !linkage.is_extern)
            return divvy_ptx_error_here(build, -EINVAL, "array without size");
        ptx_symbol_t *symbol =
            divvy_ptx_declare(build, PTX_SYMBOL_SHARED, declaration.name, declaration.name_length);
        if (!symbol)
            return false;
        if (divvy_ptx_array_grow((void **)&module->shared, &module->shared_capacity,
                                 (uint64_t)module->shared_count + 1, sizeof(ptx_shared_t)) < 0)
            return divvy_ptx_error_memory(build);
        symbol->index = module->shared_count++;
        module->shared[symbol->index] = (ptx_shared_t){.size_bytes = declaration.size_bytes,
                                                       .align_bytes = declaration.align_bytes,
                                                       .dynamic = linkage.is_extern};
        if (divvy_ptx_at_punct(build, '='))
            return divvy_ptx_error_here(build, -EINVAL, "shared memory cannot be initialised");
    } while (divvy_ptx_skip_punct(build, ','));
    return divvy_ptx_expect_punct(build, ';');
}
