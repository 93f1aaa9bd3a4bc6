/*
 * The parser's frame: errors, tokens, directives at module level, and the public parse function.
 */
#include "simgpu/ptx/build.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Longest piece of the text shown in an error. */
enum { SHOWN_MAX = 80, MESSAGE_MAX = 320 };

/* ---- Errors ---------------------------------------------------------------------------------- */

static void record(ptx_build_t *build, int code, uint32_t line, const char *text, size_t length,
                   const char *message) {
    char shown[SHOWN_MAX + 1];
    size_t n = length < SHOWN_MAX ? length : SHOWN_MAX;
    for (size_t k = 0; k < n; k++)
        shown[k] = text[k] >= ' ' && text[k] < 127      ? text[k]
                   : text[k] == '\n' || text[k] == '\t' ? ' '
                                                        : '?';
    shown[n] = 0;
    build->error = code;
    if (!build->log || !build->log_bytes)
        return;
    if (n)
        snprintf(build->log, build->log_bytes, "simgpu: line %u: '%s': %s", line, shown, message);
    else
        snprintf(build->log, build->log_bytes, "simgpu: line %u: %s", line, message);
}

bool divvy_ptx_error(ptx_build_t *build, int code, uint32_t line, const char *text, size_t length,
                     const char *format, ...) {
    if (build->error)
        return false;
    char message[MESSAGE_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    record(build, code, line, text, length, message);
    return false;
}

bool divvy_ptx_error_here(ptx_build_t *build, int code, const char *format, ...) {
    if (build->error)
        return false;
    const ptx_token_t *token = &build->token;
    char message[MESSAGE_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    if (token->kind == PTX_TOKEN_BAD)
        record(build, -EINVAL, token->line, token->text, token->length, token->problem);
    else if (token->kind == PTX_TOKEN_END)
        record(build, code, token->line, "end of text", 11, message);
    else
        record(build, code, token->line, token->text - (token->kind == PTX_TOKEN_DOT),
               token->length + (token->kind == PTX_TOKEN_DOT), message);
    return false;
}

bool divvy_ptx_error_memory(ptx_build_t *build) {
    return divvy_ptx_error(build, -ENOMEM, build->token.line, NULL, 0, "out of memory");
}

/* ---- Tokens ---------------------------------------------------------------------------------- */

void divvy_ptx_advance(ptx_build_t *build) {
    divvy_ptx_lexer_next(&build->lexer, &build->token);
}

bool divvy_ptx_at_punct(const ptx_build_t *build, uint64_t code) {
    return build->token.kind == PTX_TOKEN_PUNCT && build->token.u == code;
}

bool divvy_ptx_at_dot(const ptx_build_t *build, const char *word) {
    return build->token.kind == PTX_TOKEN_DOT &&
           divvy_ptx_text_compare(build->token.text, build->token.length, word) == 0;
}

bool divvy_ptx_skip_punct(ptx_build_t *build, uint64_t code) {
    if (!divvy_ptx_at_punct(build, code))
        return false;
    divvy_ptx_advance(build);
    return true;
}

bool divvy_ptx_expect_punct(ptx_build_t *build, uint64_t code) {
    if (divvy_ptx_skip_punct(build, code))
        return true;
    return divvy_ptx_error_here(build, -EINVAL, "expected '%c'", (char)code);
}

/* ---- Symbols --------------------------------------------------------------------------------- */

/* %r7 of a range %r<10> becomes a register of its own when first named. */
static ptx_symbol_t *lookup_range(ptx_build_t *build, uint32_t scope, const char *name,
                                  size_t length) {
    size_t prefix = length;
    while (prefix && name[prefix - 1] >= '0' && name[prefix - 1] <= '9')
        prefix--;
    /*
     * Digits may belong to the prefix (%r1<10> declares %r10 to %r19): the longest number goes
     * first.
     */
    for (size_t split = prefix; split < length; split++) {
        if (name[split] == '0' && split + 1 < length)
            continue;
        ptx_symbol_t *range = divvy_ptx_symbols_find(&build->locals, scope, name, split, true);
        if (!range || length - split > 9)
            continue;
        uint64_t number = 0;
        for (size_t k = split; k < length; k++)
            number = number * 10 + (uint64_t)(name[k] - '0');
        if (number >= range->count)
            continue;
        ptx_symbol_t *symbol = divvy_ptx_arena_alloc(&build->function_arena, sizeof(*symbol));
        if (!symbol) {
            divvy_ptx_error_memory(build);
            return NULL;
        }
        *symbol = (ptx_symbol_t){.name = name,
                                 .length = length,
                                 .scope = scope,
                                 .kind = PTX_SYMBOL_REGISTER,
                                 .type = range->type,
                                 .slot = PTX_SLOT_NONE};
        if (divvy_ptx_symbols_add(&build->locals, symbol) < 0) {
            divvy_ptx_error_memory(build);
            return NULL;
        }
        return symbol;
    }
    return NULL;
}

ptx_symbol_t *divvy_ptx_lookup(ptx_build_t *build, uint32_t scope, const char *name,
                               size_t length) {
    while (scope) {
        ptx_symbol_t *symbol = divvy_ptx_symbols_find(&build->locals, scope, name, length, false);
        if (!symbol)
            symbol = lookup_range(build, scope, name, length);
        if (symbol || build->error)
            return symbol;
        scope = build->scope_parents[scope];
    }
    return divvy_ptx_symbols_find(&build->globals, 0, name, length, false);
}

ptx_symbol_t *divvy_ptx_declare(ptx_build_t *build, ptx_symbol_kind_t kind, const char *name,
                                size_t length) {
    bool global = build->scope == 0;
    ptx_symbol_t *symbol = divvy_ptx_arena_alloc(
        global ? &build->module->arena : &build->function_arena, sizeof(*symbol));
    if (!symbol) {
        divvy_ptx_error_memory(build);
        return NULL;
    }
    *symbol = (ptx_symbol_t){
        .name = name, .length = length, .scope = build->scope, .kind = kind, .slot = PTX_SLOT_NONE};
    int r = divvy_ptx_symbols_add(global ? &build->globals : &build->locals, symbol);
    if (r == -EEXIST)
        divvy_ptx_error(build, -EINVAL, build->token.line, name, length, "already declared");
    else if (r < 0)
        divvy_ptx_error_memory(build);
    return r < 0 ? NULL : symbol;
}

/* ---- Module directives ----------------------------------------------------------------------- */

/* ".version 8.3": the lexer reads 8.3 as a number, so the digits are taken from the text. */
static bool parse_version(ptx_build_t *build) {
    divvy_ptx_module_info_t *info = &build->module->info;
    if (!divvy_ptx_at_dot(build, "version"))
        return divvy_ptx_error_here(build, -EINVAL, "missing .version directive at start of text");
    const char *p = build->lexer.next;
    const char *end = build->lexer.end;
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    uint32_t part[2] = {0, 0};
    for (int k = 0; k < 2; k++) {
        const char *start = p;
        for (; p < end && *p >= '0' && *p <= '9' && p - start < 4; p++)
            part[k] = part[k] * 10 + (uint32_t)(*p - '0');
        if (p == start || (k == 0 && (p >= end || *p++ != '.')))
            return divvy_ptx_error_here(build, -EINVAL, "malformed version number");
    }
    build->lexer.next = p;
    info->ptx_major = part[0];
    info->ptx_minor = part[1];
    if (part[0] > DIVVY_PTX_VERSION_MAJOR ||
        (part[0] == DIVVY_PTX_VERSION_MAJOR && part[1] > DIVVY_PTX_VERSION_MINOR))
        return divvy_ptx_error_here(
            build, -EPROTONOSUPPORT, "version %u.%u is newer than the newest supported, %u.%u",
            part[0], part[1], DIVVY_PTX_VERSION_MAJOR, DIVVY_PTX_VERSION_MINOR);
    divvy_ptx_advance(build);
    return true;
}

/* One word of .target; platforms other than sm_NN change nothing here. */
static bool parse_target_word(ptx_build_t *build) {
    static const char *const others[] = {"texmode_unified", "texmode_independent", "texmode_raw",
                                         "debug", "map_f64_to_f32"};
    const ptx_token_t *token = &build->token;
    if (token->kind != PTX_TOKEN_NAME)
        return divvy_ptx_error_here(build, -EINVAL, "expected a target such as sm_90");
    if (token->length > 3 && memcmp(token->text, "sm_", 3) == 0) {
        uint32_t sm = 0;
        size_t k = 3;
        for (; k < token->length && k < 7 && token->text[k] >= '0' && token->text[k] <= '9'; k++)
            sm = sm * 10 + (uint32_t)(token->text[k] - '0');
        char suffix = 0;
        if (k + 1 == token->length && (token->text[k] == 'a' || token->text[k] == 'f'))
            suffix = token->text[k++];
        if (k != token->length || sm < 10)
            return divvy_ptx_error_here(build, -EINVAL, "unknown target");
        build->module->info.target_sm = sm;
        build->module->info.target_suffix = suffix;
        divvy_ptx_advance(build);
        return true;
    }
    for (size_t k = 0; k < sizeof(others) / sizeof(others[0]); k++) {
        if (divvy_ptx_text_compare(token->text, token->length, others[k]) == 0) {
            divvy_ptx_advance(build);
            return true;
        }
    }
    return divvy_ptx_error_here(build, -EINVAL, "unknown target");
}

static bool parse_target(ptx_build_t *build) {
    do {
        if (!parse_target_word(build))
            return false;
    } while (divvy_ptx_skip_punct(build, ','));
    if (!build->module->info.target_sm)
        return divvy_ptx_error_here(build, -EINVAL, "missing target sm_NN");
    return true;
}

static bool parse_address_size(ptx_build_t *build) {
    uint64_t size;
    if (!divvy_ptx_parse_integer(build, 32, 64, &size))
        return false;
    if (size != 64)
        return divvy_ptx_error_here(build, -EOPNOTSUPP, "only .address_size 64 is supported");
    return true;
}

bool divvy_ptx_skip_debug(ptx_build_t *build, bool *ret_skipped) {
    *ret_skipped = true;
    if (divvy_ptx_at_dot(build, "loc") || divvy_ptx_at_dot(build, "file")) {
        divvy_ptx_lexer_skip_line(&build->lexer);
        divvy_ptx_advance(build);
        return true;
    }
    if (!divvy_ptx_at_dot(build, "section")) {
        *ret_skipped = false;
        return true;
    }
    /* .section .debug_info { data }: the data holds no braces of its own. */
    while (!divvy_ptx_at_punct(build, '}')) {
        if (build->token.kind == PTX_TOKEN_END || build->token.kind == PTX_TOKEN_BAD)
            return divvy_ptx_error_here(build, -EINVAL, "section without end");
        divvy_ptx_advance(build);
    }
    divvy_ptx_advance(build);
    return true;
}

static ptx_linkage_t parse_linkage(ptx_build_t *build) {
    ptx_linkage_t linkage = {false, false};
    for (;; divvy_ptx_advance(build)) {
        if (divvy_ptx_at_dot(build, "extern"))
            linkage.is_extern = true;
        else if (divvy_ptx_at_dot(build, "visible") || divvy_ptx_at_dot(build, "weak") ||
                 divvy_ptx_at_dot(build, "common"))
            linkage.visible = true;
        else
            return linkage;
    }
}

/* Directives that exist in PTX but have no meaning here. */
static bool is_unsupported(const ptx_build_t *build) {
    static const char *const names[] = {"tex",   "texref", "samplerref", "surfref",    "alias",
                                        "local", "param",  "reg",        "calltargets"};
    for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
        if (divvy_ptx_at_dot(build, names[k]))
            return true;
    }
    return false;
}

static bool parse_top(ptx_build_t *build) {
    bool skipped;
    if (!divvy_ptx_skip_debug(build, &skipped))
        return false;
    if (skipped)
        return true;
    if (divvy_ptx_at_dot(build, "target")) {
        divvy_ptx_advance(build);
        return parse_target(build);
    }
    if (!build->module->info.target_sm)
        return divvy_ptx_error_here(build, -EINVAL, "missing .target directive");
    if (divvy_ptx_at_dot(build, "address_size")) {
        divvy_ptx_advance(build);
        return parse_address_size(build);
    }
    if (divvy_ptx_at_dot(build, "pragma")) {
        divvy_ptx_advance(build);
        return divvy_ptx_parse_pragma(build, &build->pragma);
    }
    ptx_linkage_t linkage = parse_linkage(build);
    bool entry = divvy_ptx_at_dot(build, "entry");
    if (entry || divvy_ptx_at_dot(build, "func")) {
        divvy_ptx_advance(build);
        return divvy_ptx_parse_function(build, linkage, entry);
    }
    bool constant = divvy_ptx_at_dot(build, "const");
    if (constant || divvy_ptx_at_dot(build, "global")) {
        divvy_ptx_advance(build);
        return divvy_ptx_parse_variables(build, linkage, constant);
    }
    if (divvy_ptx_at_dot(build, "shared")) {
        divvy_ptx_advance(build);
        return divvy_ptx_parse_shared(build, linkage);
    }
    if (is_unsupported(build))
        return divvy_ptx_error_here(build, -EOPNOTSUPP, "not supported by the simulated GPU here");
    return divvy_ptx_error_here(build, -EINVAL, "unexpected at module level");
}

static bool parse_module(ptx_build_t *build) {
    divvy_ptx_advance(build);
    if (!parse_version(build))
        return false;
    while (build->token.kind != PTX_TOKEN_END) {
        if (!parse_top(build))
            return false;
    }
    if (!build->module->info.target_sm)
        return divvy_ptx_error_here(build, -EINVAL, "missing .target directive");
    return divvy_ptx_layout(build);
}

static void build_done(ptx_build_t *build) {
    divvy_ptx_arena_done(&build->function_arena);
    divvy_ptx_arena_done(&build->statement_arena);
    divvy_ptx_symbols_done(&build->globals);
    divvy_ptx_symbols_done(&build->locals);
    free(build->scope_parents);
    free(build->code);
    free(build->lines);
    free(build->template);
    free(build->lives);
    free(build->relocs);
    free(build->callees);
    free(build->fixups);
    free(build);
}

int divvy_ptx_module_parse(const char *text, size_t length_bytes, char *log, size_t log_bytes,
                           divvy_ptx_module_t **ret_module) {
    if (log && log_bytes)
        log[0] = 0;
    ptx_build_t *build = calloc(1, sizeof(*build));
    divvy_ptx_module_t *module = calloc(1, sizeof(*module));
    if (!build || !module) {
        free(build);
        free(module);
        return -ENOMEM;
    }
    build->module = module;
    build->log = log;
    build->log_bytes = log_bytes;
    build->token.line = 1;
    if (length_bytes > DIVVY_PTX_TEXT_MAX_BYTES) {
        divvy_ptx_error(build, -E2BIG, 1, NULL, 0, "text of more than %u MiB",
                        DIVVY_PTX_TEXT_MAX_BYTES >> 20);
    } else {
        divvy_ptx_lexer_init(&build->lexer, text, length_bytes);
        parse_module(build);
    }
    int error = build->error;
    build_done(build);
    if (error) {
        divvy_ptx_module_free(module);
        return error;
    }
    *ret_module = module;
    return 0;
}
