/* Functions: headers, parameters, bodies, and the pragmas that fix device time. */
#include "simgpu/ptx/build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Pragmas --------------------------------------------------------------------------------- */

static bool parse_pragma_value(const char *text, size_t length, uint64_t *ret_value) {
    uint64_t value = 0;
    size_t k = 0;
    while (k < length && text[k] == ' ')
        k++;
    size_t start = k;
    for (; k < length && text[k] >= '0' && text[k] <= '9'; k++) {
        if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
            __builtin_add_overflow(value, (uint64_t)(text[k] - '0'), &value))
            return false;
    }
    *ret_value = value;
    return k > start && k == length && start > 0;
}

static bool apply_pragma(ptx_build_t *build, const ptx_token_t *token, ptx_pragma_t *pragma) {
    static const struct {
        const char *word;
        divvy_ptx_time_t time;
        bool executed;
    } kinds[] = {
        {"divvy.time_ns", DIVVY_PTX_TIME_FIXED, true},
        {"divvy.time_only_ns", DIVVY_PTX_TIME_FIXED, false},
        {"divvy.time_param", DIVVY_PTX_TIME_PARAM, true},
        {"divvy.time_only_param", DIVVY_PTX_TIME_PARAM, false},
    };
    if (token->length < 6 || memcmp(token->text, "divvy.", 6) != 0)
        return true; /* for other compilers */
    const char *space = memchr(token->text, ' ', token->length);
    size_t word = space ? (size_t)(space - token->text) : token->length;
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        if (divvy_ptx_text_compare(token->text, word, kinds[k].word) != 0)
            continue;
        if (!parse_pragma_value(token->text + word, token->length - word, &pragma->value))
            return divvy_ptx_error_here(build, -EINVAL, "expected a number after %s",
                                        kinds[k].word);
        pragma->set = true;
        pragma->time = kinds[k].time;
        pragma->executed = kinds[k].executed;
        pragma->line = token->line;
        return true;
    }
    return divvy_ptx_error_here(build, -EINVAL, "unknown pragma of divvy");
}

bool divvy_ptx_parse_pragma(ptx_build_t *build, ptx_pragma_t *pragma) {
    do {
        if (build->token.kind != PTX_TOKEN_STRING)
            return divvy_ptx_error_here(build, -EINVAL, "expected a string");
        if (!apply_pragma(build, &build->token, pragma))
            return false;
        divvy_ptx_advance(build);
    } while (divvy_ptx_skip_punct(build, ','));
    return divvy_ptx_expect_punct(build, ';');
}

/* ---- Scopes ---------------------------------------------------------------------------------- */

static bool scope_enter(ptx_build_t *build) {
    if (build->depth >= PTX_DEPTH_MAX)
        return divvy_ptx_error_here(build, -E2BIG, "scopes nested too deeply");
    uint32_t scope = build->scope_count ? build->scope_count : 1;
    if (divvy_ptx_array_grow((void **)&build->scope_parents, &build->scope_capacity,
                             (uint64_t)scope + 1, sizeof(uint32_t)) < 0)
        return divvy_ptx_error_memory(build);
    build->scope_parents[scope] = build->scope;
    build->scope_count = scope + 1;
    build->scope = scope;
    build->depth++;
    return true;
}

static void scope_leave(ptx_build_t *build) {
    build->scope = build->scope_parents[build->scope];
    build->depth--;
}

/* ---- Parameters ------------------------------------------------------------------------------ */

/* What the header collects before the function's place in the module is known. */
typedef struct {
    ptx_formal_t *formals;
    uint32_t count, capacity;
} formals_t;

/* .ptr .global .align 16: says what a pointer points to, of no consequence here. */
static bool skip_pointer(ptx_build_t *build) {
    static const char *const spaces[] = {"const", "global", "local", "shared"};
    if (!divvy_ptx_at_dot(build, "ptr"))
        return true;
    divvy_ptx_advance(build);
    for (size_t k = 0; k < sizeof(spaces) / sizeof(spaces[0]); k++) {
        if (divvy_ptx_at_dot(build, spaces[k])) {
            divvy_ptx_advance(build);
            break;
        }
    }
    if (divvy_ptx_at_dot(build, "align")) {
        uint64_t align;
        divvy_ptx_advance(build);
        return divvy_ptx_parse_integer(build, 1, 1u << 20, &align);
    }
    return true;
}

/* The type and so on of a parameter, .ptr in between. */
static bool parse_formal_type(ptx_build_t *build, ptx_declaration_t *declaration) {
    *declaration = (ptx_declaration_t){.line = build->token.line, .vector = 1};
    while (build->token.kind == PTX_TOKEN_DOT) {
        if (divvy_ptx_at_dot(build, "ptr")) {
            if (!skip_pointer(build))
                return false;
            continue;
        }
        if (divvy_ptx_at_dot(build, "align")) {
            uint64_t align;
            divvy_ptx_advance(build);
            if (!divvy_ptx_parse_integer(build, 1, 128, &align))
                return false;
            if (align & (align - 1))
                return divvy_ptx_error_here(build, -EINVAL, "alignment must be a power of two");
            declaration->align_bytes = (uint32_t)align;
            continue;
        }
        ptx_type_t type = divvy_ptx_type_find(build->token.text, build->token.length);
        if (type == PTX_NONE || declaration->type != PTX_NONE)
            return divvy_ptx_error_here(build, -EOPNOTSUPP, "unsupported type of a parameter");
        declaration->type = type;
        divvy_ptx_advance(build);
    }
    if (declaration->type == PTX_NONE)
        return divvy_ptx_error_here(build, -EINVAL, "parameter without type");
    return true;
}

/* One parameter or return value; its offset is set later, when all are known to be there. */
static bool parse_formal(ptx_build_t *build, formals_t *formals) {
    bool in_register = divvy_ptx_at_dot(build, "reg");
    if (!in_register && !divvy_ptx_at_dot(build, "param"))
        return divvy_ptx_error_here(build, -EINVAL, "expected .param or .reg");
    if (in_register && build->is_entry)
        return divvy_ptx_error_here(build, -EINVAL, "kernels have no parameters in registers");
    divvy_ptx_advance(build);
    ptx_declaration_t declaration;
    if (!parse_formal_type(build, &declaration))
        return false;
    if (declaration.type == PTX_PRED && !in_register)
        return divvy_ptx_error_here(build, -EINVAL, "predicates live in registers only");
    if (build->token.kind == PTX_TOKEN_NAME &&
        divvy_ptx_text_compare(build->token.text, build->token.length, "_") == 0) {
        /* Prototypes may leave the name out. */
        declaration.size_bytes = divvy_ptx_type_bytes(declaration.type);
        declaration.align_bytes =
            declaration.align_bytes ? declaration.align_bytes : (uint32_t)declaration.size_bytes;
        divvy_ptx_advance(build);
    } else if (!divvy_ptx_parse_declarator(build, &declaration)) {
        return false;
    }
    if (in_register && declaration.dim_count)
        return divvy_ptx_error_here(build, -EINVAL, "array in a register");
    if (declaration.size_bytes > DIVVY_PTX_PARAMS_MAX_BYTES)
        return divvy_ptx_error_here(build, -E2BIG, "parameters of more than %u bytes",
                                    DIVVY_PTX_PARAMS_MAX_BYTES);
    if (divvy_ptx_array_grow((void **)&formals->formals, &formals->capacity,
                             (uint64_t)formals->count + 1, sizeof(ptx_formal_t)) < 0)
        return divvy_ptx_error_memory(build);
    ptx_formal_t *formal = &formals->formals[formals->count++];
    *formal = (ptx_formal_t){.type = (uint8_t)declaration.type,
                             .in_register = in_register,
                             .size_bytes = (uint32_t)declaration.size_bytes,
                             .align_bytes = declaration.align_bytes};
    if (!declaration.name)
        return true;
    ptx_symbol_t *symbol =
        divvy_ptx_declare(build, in_register ? PTX_SYMBOL_REGISTER : PTX_SYMBOL_FORMAL,
                          declaration.name, declaration.name_length);
    if (!symbol)
        return false;
    symbol->type = formal->type;
    symbol->size_bytes = formal->size_bytes;
    formal->symbol = symbol;
    return true;
}

/* "( a, b )" or nothing. */
static bool parse_formals(ptx_build_t *build, formals_t *formals) {
    if (!divvy_ptx_skip_punct(build, '('))
        return true;
    if (divvy_ptx_skip_punct(build, ')'))
        return true;
    do {
        if (!parse_formal(build, formals))
            return false;
    } while (divvy_ptx_skip_punct(build, ','));
    return divvy_ptx_expect_punct(build, ')');
}

/*
 * Places FORMALS from *USED on: in the parameter buffer of a kernel or in the frame of a function.
 */
static bool place_formals(ptx_build_t *build, formals_t *formals, uint64_t *used) {
    for (uint32_t k = 0; k < formals->count; k++) {
        ptx_formal_t *formal = &formals->formals[k];
        if (formal->in_register) {
            if (!divvy_ptx_slot_new(build, formal->type, &formal->slot))
                return false;
            if (formal->symbol)
                formal->symbol->slot = formal->slot;
            continue;
        }
        uint64_t align = formal->align_bytes;
        uint64_t offset = (*used + align - 1) & ~(align - 1);
        if (offset + formal->size_bytes > DIVVY_PTX_PARAMS_MAX_BYTES)
            return divvy_ptx_error_here(build, -E2BIG, "parameters of more than %u bytes",
                                        DIVVY_PTX_PARAMS_MAX_BYTES);
        formal->offset_bytes = (uint32_t)offset;
        if (formal->symbol)
            formal->symbol->offset_bytes = (uint32_t)offset;
        *used = offset + formal->size_bytes;
    }
    return true;
}

/* ---- Directives of a function ---------------------------------------------------------------- */

/* "nx, ny, nz", each missing one 1. */
static bool parse_extent(ptx_build_t *build, uint32_t extent[3], uint32_t *ret_threads) {
    uint64_t threads = 1;
    extent[0] = extent[1] = extent[2] = 1;
    for (int k = 0; k < 3; k++) {
        uint64_t value;
        if (!divvy_ptx_parse_integer(build, 1, UINT32_MAX, &value))
            return false;
        extent[k] = (uint32_t)value;
        threads = threads * value > DIVVY_PTX_BLOCK_MAX_THREADS ? DIVVY_PTX_BLOCK_MAX_THREADS
                                                                : threads * value;
        if (!divvy_ptx_skip_punct(build, ','))
            break;
    }
    *ret_threads = (uint32_t)threads;
    return true;
}

/* The directives between a header and its body. ENTRY is scratch space for device functions. */
static bool parse_directives(ptx_build_t *build, divvy_ptx_entry_t *entry) {
    while (build->token.kind == PTX_TOKEN_DOT) {
        uint64_t value;
        uint32_t threads;
        bool skipped;
        if (!divvy_ptx_skip_debug(build, &skipped))
            return false;
        if (skipped)
            continue;
        ptx_token_t token = build->token;
        divvy_ptx_advance(build);
        bool fine = true;
        if (divvy_ptx_text_compare(token.text, token.length, "maxntid") == 0) {
            fine = parse_extent(build, entry->max_ntid, &threads);
            entry->max_threads = fine ? threads : 0;
        } else if (divvy_ptx_text_compare(token.text, token.length, "reqntid") == 0) {
            fine = parse_extent(build, entry->req_ntid, &threads);
            entry->max_threads = fine ? threads : 0;
        } else if (divvy_ptx_text_compare(token.text, token.length, "minnctapersm") == 0 ||
                   divvy_ptx_text_compare(token.text, token.length, "maxnctapersm") == 0) {
            fine = divvy_ptx_parse_integer(build, 0, UINT32_MAX, &value);
            if (fine && token.text[1] == 'i')
                entry->min_blocks_per_sm = (uint32_t)value;
        } else if (divvy_ptx_text_compare(token.text, token.length, "maxnreg") == 0) {
            fine = divvy_ptx_parse_integer(build, 1, UINT32_MAX, &value);
        } else if (divvy_ptx_text_compare(token.text, token.length, "pragma") == 0) {
            fine = divvy_ptx_parse_pragma(build, &build->entry_pragma);
        } else if (divvy_ptx_text_compare(token.text, token.length, "noreturn") != 0) {
            return divvy_ptx_error(build, -EOPNOTSUPP, token.line, token.text - 1, token.length + 1,
                                   "not supported by the simulated GPU here");
        }
        if (!fine)
            return false;
    }
    return true;
}

/* ---- Bodies ---------------------------------------------------------------------------------- */

/* After ".reg": .type a, %r<10>; */
static bool parse_registers(ptx_build_t *build) {
    ptx_declaration_t declaration;
    if (!divvy_ptx_parse_declaration(build, &declaration))
        return false;
    if (declaration.vector > 1 || declaration.type == PTX_B128)
        return divvy_ptx_error_here(build, -EOPNOTSUPP,
                                    "vector and 128-bit registers are not supported");
    do {
        if (build->token.kind != PTX_TOKEN_NAME)
            return divvy_ptx_error_here(build, -EINVAL, "expected a name");
        ptx_token_t name = build->token;
        divvy_ptx_advance(build);
        bool range = divvy_ptx_skip_punct(build, '<');
        uint64_t count = 1;
        if (range) {
            /* No expression: '>' would be read as an operator. */
            if (build->token.kind != PTX_TOKEN_INT || build->token.u > 1u << 24)
                return divvy_ptx_error_here(build, -EINVAL, "expected a number of registers");
            count = build->token.u;
            divvy_ptx_advance(build);
            if (!divvy_ptx_expect_punct(build, '>'))
                return false;
        }
        ptx_symbol_t *symbol = divvy_ptx_declare(
            build, range ? PTX_SYMBOL_RANGE : PTX_SYMBOL_REGISTER, name.text, name.length);
        if (!symbol)
            return false;
        symbol->type = (uint8_t)declaration.type;
        symbol->count = count;
    } while (divvy_ptx_skip_punct(build, ','));
    return divvy_ptx_expect_punct(build, ';');
}

/* After ".local" or ".param" in a body. */
static bool parse_frame_variables(ptx_build_t *build, ptx_symbol_kind_t kind) {
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
        ptx_symbol_t *symbol =
            divvy_ptx_declare(build, kind, declaration.name, declaration.name_length);
        if (!symbol || !divvy_ptx_frame_reserve(build, &declaration, &symbol->offset_bytes))
            return false;
        symbol->size_bytes = (uint32_t)declaration.size_bytes;
    } while (divvy_ptx_skip_punct(build, ','));
    return divvy_ptx_expect_punct(build, ';');
}

/* "name: .branchtargets a, b;", the directive being the current token. */
static bool parse_targets(ptx_build_t *build, ptx_symbol_t *symbol) {
    divvy_ptx_advance(build);
    uint32_t first = build->fixup_count;
    do {
        if (build->token.kind != PTX_TOKEN_NAME)
            return divvy_ptx_error_here(build, -EINVAL, "expected a label");
        if (divvy_ptx_array_grow((void **)&build->fixups, &build->fixup_capacity,
                                 (uint64_t)build->fixup_count + 1, sizeof(ptx_fixup_t)) < 0)
            return divvy_ptx_error_memory(build);
        build->fixups[build->fixup_count++] = (ptx_fixup_t){.name = build->token.text,
                                                            .length = build->token.length,
                                                            .scope = build->scope,
                                                            .line = build->token.line};
        divvy_ptx_advance(build);
    } while (divvy_ptx_skip_punct(build, ','));
    uint32_t count = build->fixup_count - first;
    ptx_table_t *table = divvy_ptx_arena_alloc(&build->module->arena,
                                               sizeof(*table) + count * sizeof(table->targets[0]));
    if (!table)
        return divvy_ptx_error_memory(build);
    table->count = count;
    for (uint32_t k = 0; k < count; k++) {
        build->fixups[first + k].table = table;
        build->fixups[first + k].position = k;
    }
    symbol->kind = PTX_SYMBOL_TABLE;
    symbol->data = table;
    return divvy_ptx_expect_punct(build, ';');
}

/* A name at the start of a statement: a label when ':' follows, else an opcode. */
static bool parse_label(ptx_build_t *build, bool *ret_is_label) {
    ptx_lexer_t lexer = build->lexer;
    ptx_token_t token = build->token;
    divvy_ptx_advance(build);
    *ret_is_label = divvy_ptx_skip_punct(build, ':');
    if (!*ret_is_label) {
        build->lexer = lexer;
        build->token = token;
        return true;
    }
    ptx_symbol_t *symbol = divvy_ptx_declare(build, PTX_SYMBOL_LABEL, token.text, token.length);
    if (!symbol)
        return false;
    symbol->index = build->code_count;
    if (divvy_ptx_at_dot(build, "branchtargets"))
        return parse_targets(build, symbol);
    if (divvy_ptx_at_dot(build, "callprototype") || divvy_ptx_at_dot(build, "calltargets"))
        return divvy_ptx_error_here(build, -EOPNOTSUPP, "indirect calls are not supported");
    return true;
}

static bool parse_guarded(ptx_build_t *build) {
    divvy_ptx_advance(build);
    bool negated = divvy_ptx_skip_punct(build, '!');
    if (build->token.kind != PTX_TOKEN_NAME)
        return divvy_ptx_error_here(build, -EINVAL, "expected a predicate");
    ptx_symbol_t *symbol =
        divvy_ptx_lookup(build, build->scope, build->token.text, build->token.length);
    if (!symbol || symbol->kind != PTX_SYMBOL_REGISTER || symbol->type != PTX_PRED)
        return divvy_ptx_error_here(build, -EINVAL, "expected a predicate");
    divvy_ptx_advance(build);
    return divvy_ptx_parse_instruction(build, symbol, negated);
}

static bool parse_body_directive(ptx_build_t *build) {
    bool skipped;
    if (!divvy_ptx_skip_debug(build, &skipped))
        return false;
    if (skipped)
        return true;
    ptx_token_t token = build->token;
    divvy_ptx_advance(build);
    ptx_linkage_t linkage = {false, false};
    if (divvy_ptx_text_compare(token.text, token.length, "reg") == 0)
        return parse_registers(build);
    if (divvy_ptx_text_compare(token.text, token.length, "local") == 0)
        return parse_frame_variables(build, PTX_SYMBOL_LOCAL);
    if (divvy_ptx_text_compare(token.text, token.length, "param") == 0)
        return parse_frame_variables(build, PTX_SYMBOL_CALL_PARAM);
    if (divvy_ptx_text_compare(token.text, token.length, "pragma") == 0)
        return divvy_ptx_parse_pragma(build, &build->entry_pragma);
    if (divvy_ptx_text_compare(token.text, token.length, "extern") == 0 &&
        divvy_ptx_at_dot(build, "shared")) {
        linkage.is_extern = true;
        token = build->token;
        divvy_ptx_advance(build);
    }
    if (divvy_ptx_text_compare(token.text, token.length, "shared") == 0)
        return divvy_ptx_parse_shared(build, linkage);
    return divvy_ptx_error(build, -EOPNOTSUPP, token.line, token.text - 1, token.length + 1,
                           "not supported by the simulated GPU in a function");
}

static bool parse_statement(ptx_build_t *build) {
    if (divvy_ptx_skip_punct(build, ';'))
        return true;
    if (build->token.kind == PTX_TOKEN_DOT)
        return parse_body_directive(build);
    if (divvy_ptx_at_punct(build, '@'))
        return parse_guarded(build);
    if (build->token.kind != PTX_TOKEN_NAME)
        return divvy_ptx_error_here(build, -EINVAL, "expected an instruction");
    bool is_label;
    if (!parse_label(build, &is_label))
        return false;
    return is_label || divvy_ptx_parse_instruction(build, NULL, false);
}

/* From "{" to the matching "}". Nested scopes are handled in place, without recursion. */
static bool parse_body(ptx_build_t *build) {
    uint32_t outer = build->scope;
    if (!divvy_ptx_expect_punct(build, '{'))
        return false;
    for (;;) {
        if (divvy_ptx_at_punct(build, '{')) {
            if (!scope_enter(build))
                return false;
            divvy_ptx_advance(build);
        } else if (divvy_ptx_at_punct(build, '}')) {
            divvy_ptx_advance(build);
            if (build->scope == outer)
                return true;
            scope_leave(build);
        } else if (!parse_statement(build)) {
            return false;
        }
    }
}

/* ---- Functions ------------------------------------------------------------------------------- */

static bool same_formals(const ptx_formal_t *a, const ptx_formal_t *b, uint32_t count) {
    for (uint32_t k = 0; k < count; k++) {
        if (a[k].in_register != b[k].in_register || a[k].size_bytes != b[k].size_bytes ||
            a[k].offset_bytes != b[k].offset_bytes ||
            (a[k].in_register && (a[k].type != b[k].type || a[k].slot != b[k].slot)))
            return false;
    }
    return true;
}

/* The function's place in the module: new, or the one a prototype made. */
static bool enter_function(ptx_build_t *build, const ptx_token_t *name, const formals_t *results,
                           const formals_t *formals) {
    divvy_ptx_module_t *module = build->module;
    uint32_t scope = build->scope;
    ptx_symbol_t *symbol =
        divvy_ptx_symbols_find(&build->globals, 0, name->text, name->length, false);
    if (symbol && symbol->kind == PTX_SYMBOL_FUNCTION) {
        const ptx_function_t *known = &module->functions[symbol->index];
        if (known->is_entry != build->is_entry || known->formal_count != formals->count ||
            known->result_count != results->count ||
            !same_formals(known->formals, formals->formals, formals->count) ||
            !same_formals(known->results, results->formals, results->count))
            return divvy_ptx_error(build, -EINVAL, name->line, name->text, name->length,
                                   "declared differently before");
        build->function = symbol->index;
        return true;
    }
    build->scope = 0;
    symbol = divvy_ptx_declare(build, PTX_SYMBOL_FUNCTION, name->text, name->length);
    build->scope = scope;
    if (!symbol)
        return false;
    if (divvy_ptx_array_grow((void **)&module->functions, &module->function_capacity,
                             (uint64_t)module->function_count + 1, sizeof(ptx_function_t)) < 0)
        return divvy_ptx_error_memory(build);
    ptx_function_t function = {.is_entry = build->is_entry, .line = name->line};
    function.name = divvy_ptx_arena_text(&module->arena, name->text, name->length);
    size_t bytes = formals->count * sizeof(ptx_formal_t);
    size_t result_bytes = results->count * sizeof(ptx_formal_t);
    function.formals = divvy_ptx_arena_alloc(&module->arena, bytes);
    function.results = divvy_ptx_arena_alloc(&module->arena, result_bytes);
    if (!function.name || !function.formals || !function.results)
        return divvy_ptx_error_memory(build);
    if (bytes)
        memcpy(function.formals, formals->formals, bytes);
    if (result_bytes)
        memcpy(function.results, results->formals, result_bytes);
    function.formal_count = formals->count;
    function.result_count = results->count;
    symbol->index = build->function = module->function_count;
    module->functions[module->function_count++] = function;
    return true;
}

static bool apply_time(ptx_build_t *build, divvy_ptx_entry_t *entry,
                       const ptx_function_t *function) {
    const ptx_pragma_t *pragma = build->entry_pragma.set ? &build->entry_pragma : &build->pragma;
    entry->executed = true;
    if (!pragma->set)
        return true;
    entry->time = pragma->time;
    entry->executed = pragma->executed;
    if (pragma->time == DIVVY_PTX_TIME_FIXED) {
        entry->time_ns = pragma->value;
        return true;
    }
    if (pragma->value >= function->formal_count || function->formals[pragma->value].size_bytes != 8)
        return divvy_ptx_error(build, -EINVAL, pragma->line, ".pragma", 7,
                               "kernel '%s' has no 64-bit parameter %llu", function->name,
                               (unsigned long long)pragma->value);
    entry->time_param = (uint32_t)pragma->value;
    return true;
}

/* Adds the kernel that was just read to the module. */
static bool add_entry(ptx_build_t *build, const divvy_ptx_entry_t *directives,
                      ptx_linkage_t linkage) {
    divvy_ptx_module_t *module = build->module;
    const ptx_function_t *function = &module->functions[build->function];
    if (divvy_ptx_array_grow((void **)&module->entries, &module->entry_capacity,
                             (uint64_t)module->entry_count + 1, sizeof(ptx_entry_t)) < 0)
        return divvy_ptx_error_memory(build);
    ptx_entry_t *entry = &module->entries[module->entry_count];
    *entry = (ptx_entry_t){.info = *directives, .function = build->function};
    entry->info.name = function->name;
    entry->info.visible = linkage.visible;
    entry->info.params = function->formal_count;
    entry->info.instructions = function->instructions;
    if (!entry->info.max_threads)
        entry->info.max_threads = DIVVY_PTX_BLOCK_MAX_THREADS;
    entry->params =
        divvy_ptx_arena_alloc(&module->arena, function->formal_count * sizeof(divvy_ptx_param_t));
    if (!entry->params)
        return divvy_ptx_error_memory(build);
    for (uint32_t k = 0; k < function->formal_count; k++) {
        const ptx_formal_t *formal = &function->formals[k];
        entry->params[k] =
            (divvy_ptx_param_t){formal->offset_bytes, formal->size_bytes, formal->align_bytes};
        entry->info.params_bytes = formal->offset_bytes + formal->size_bytes;
    }
    module->entry_count++;
    return apply_time(build, &entry->info, function);
}

/* The header's parts in order: (results) name (parameters) directives. */
static bool parse_header(ptx_build_t *build, formals_t *results, formals_t *formals,
                         ptx_token_t *ret_name) {
    if (divvy_ptx_at_dot(build, "noreturn"))
        divvy_ptx_advance(build);
    if (!build->is_entry && !parse_formals(build, results))
        return false;
    if (build->token.kind != PTX_TOKEN_NAME)
        return divvy_ptx_error_here(build, -EINVAL, "expected the name of a function");
    *ret_name = build->token;
    divvy_ptx_advance(build);
    if (!parse_formals(build, formals))
        return false;
    uint64_t used = 0;
    if (!place_formals(build, results, &used) || !place_formals(build, formals, &used))
        return false;
    if (!build->is_entry)
        build->frame_bytes = used;
    return true;
}

static bool parse_function(ptx_build_t *build, ptx_linkage_t linkage, formals_t *results,
                           formals_t *formals) {
    ptx_token_t name = {.kind = PTX_TOKEN_END};
    divvy_ptx_entry_t directives = {.name = NULL};
    if (!scope_enter(build) || !divvy_ptx_code_begin(build) ||
        !parse_header(build, results, formals, &name) ||
        !enter_function(build, &name, results, formals) || !parse_directives(build, &directives))
        return false;
    if (divvy_ptx_skip_punct(build, ';')) /* a prototype */
        return true;
    if (build->module->functions[build->function].defined)
        return divvy_ptx_error(build, -EINVAL, name.line, name.text, name.length, "defined twice");
    if (linkage.is_extern)
        return divvy_ptx_error(build, -EINVAL, name.line, name.text, name.length,
                               "external function with a body");
    if (!parse_body(build))
        return false;
    ptx_function_t *function = &build->module->functions[build->function];
    if (!divvy_ptx_code_end(build, function))
        return false;
    return !build->is_entry || add_entry(build, &directives, linkage);
}

bool divvy_ptx_parse_function(ptx_build_t *build, ptx_linkage_t linkage, bool is_entry) {
    formals_t results = {NULL, 0, 0};
    formals_t formals = {NULL, 0, 0};
    build->is_entry = is_entry;
    build->scope_count = 0;
    memset(&build->entry_pragma, 0, sizeof(build->entry_pragma));
    bool fine = parse_function(build, linkage, &results, &formals);
    free(results.formals);
    free(formals.formals);
    build->scope = 0;
    build->depth = 0;
    divvy_ptx_symbols_clear(&build->locals);
    divvy_ptx_arena_reset(&build->function_arena);
    return fine;
}
