/*
 * State of one parse, shared by the parser (parse*.c) and the lowering (lower*.c).
 *
 * Functions here return false after recording an error; the first error wins and ends the parse.
 */
#ifndef DIVVY_SIMGPU_PTX_BUILD_H
#define DIVVY_SIMGPU_PTX_BUILD_H

#include "simgpu/ptx/code.h"
#include "simgpu/ptx/exec.h"
#include "simgpu/ptx/lexer.h"
#include "simgpu/ptx/symbol.h"

/* Bounds on what a text may ask for. */
enum {
    PTX_DEPTH_MAX = 64,              /* nested scopes, parentheses, braces */
    PTX_OPERANDS_MAX = 8,            /* of one instruction, lists count once */
    PTX_LIST_MAX = 4096,             /* arguments of a call */
    PTX_CODE_MAX = 8 << 20,          /* instructions of a module */
    PTX_SLOTS_MAX = 1 << 20,         /* registers and constants of a function */
    PTX_FRAME_MAX_BYTES = 512 << 10, /* local memory of a function, as on the GPU */
    PTX_RECURSION_DEPTH = 64,        /* frames that a recursive kernel gets */
};
#define PTX_VARIABLE_MAX_BYTES    (UINT64_C(1) << 40)
#define PTX_INITIALISED_MAX_BYTES (UINT64_C(256) << 20)

/* A constant of the text. */
typedef struct {
    enum { PTX_NUMBER_INT, PTX_NUMBER_F32, PTX_NUMBER_F64 } kind;
    bool is_unsigned;
    uint64_t u; /* value, or bits */
} ptx_number_t;

typedef enum {
    PTX_OPERAND_REGISTER, /* symbol */
    PTX_OPERAND_SREG,     /* sreg */
    PTX_OPERAND_NUMBER,   /* number */
    PTX_OPERAND_SYMBOL,   /* symbol, offset */
    PTX_OPERAND_NAME,     /* text: a label, or unknown */
    PTX_OPERAND_VECTOR,   /* items, count */
    PTX_OPERAND_LIST,     /* items, count */
    PTX_OPERAND_ADDRESS,  /* items[0] is the base: register, symbol or number; offset */
    PTX_OPERAND_SINK,     /* _ */
} ptx_operand_kind_t;

typedef struct ptx_operand ptx_operand_t;
struct ptx_operand {
    ptx_operand_kind_t kind;
    bool negated; /* !p */
    ptx_symbol_t *symbol;
    ptx_sreg_t sreg;
    ptx_number_t number;
    const char *text;
    size_t length;
    int64_t offset;
    ptx_operand_t *items;
    uint32_t count;
    ptx_operand_t *second; /* b of a|b */
};

typedef struct {
    uint32_t line;
    const char *text; /* opcode with modifiers */
    size_t length;
    size_t opcode_length;
    ptx_modifiers_t modifiers; /* those not yet used up */
    const char *unknown;       /* first modifier that no supported instruction has */
    size_t unknown_length;
    ptx_type_t types[4];
    uint32_t type_count;
    ptx_operand_t operands[PTX_OPERANDS_MAX];
    uint32_t operand_count;
    ptx_symbol_t *guard;
    bool guard_negated;
} ptx_statement_t;

/* A jump whose label may come later. */
typedef struct {
    ptx_table_t *table; /* NULL: the instruction's own target */
    uint32_t position;  /* in the table, or the instruction */
    const char *name;
    size_t length;
    uint32_t scope;
    uint32_t line;
} ptx_fixup_t;

/* First and last instruction that names a slot, for the estimate of registers. */
typedef struct {
    uint32_t first;
    uint32_t last;
    uint8_t words; /* 32-bit registers; 0: a constant or never used */
} ptx_life_t;

/* Device time fixed by a pragma. */
typedef struct {
    bool set;
    divvy_ptx_time_t time;
    bool executed;
    uint64_t value;
    uint32_t line;
} ptx_pragma_t;

enum { PTX_CONSTANT_CACHE = 256 };

typedef struct {
    divvy_ptx_module_t *module;
    ptx_lexer_t lexer;
    ptx_token_t token; /* the current one */
    char *log;
    size_t log_bytes;
    int error;

    ptx_arena_t function_arena;  /* symbols */
    ptx_arena_t statement_arena; /* operands */
    ptx_symbols_t globals;       /* scope 0 */
    ptx_symbols_t locals;        /* the current function's scopes, from 1 on */
    uint32_t *scope_parents;
    uint32_t scope_count, scope_capacity;
    uint32_t scope; /* current; 0 outside functions */
    uint32_t depth; /* of scopes or braces */

    ptx_pragma_t pragma; /* at module level */
    uint64_t code_total;

    /* The function being parsed; FUNCTION is its index. */
    uint32_t function;
    bool is_entry;
    ptx_insn_t *code;
    uint32_t code_count, code_capacity;
    uint32_t *lines;
    uint32_t lines_capacity;
    uint64_t *template;
    uint32_t slot_count, template_capacity;
    ptx_life_t *lives;
    uint32_t lives_capacity;
    ptx_reloc_t *relocs;
    uint32_t reloc_count, reloc_capacity;
    ptx_callee_t *callees;
    uint32_t callee_count, callee_capacity;
    ptx_fixup_t *fixups;
    uint32_t fixup_count, fixup_capacity;
    uint64_t frame_bytes;
    ptx_pragma_t entry_pragma;
    const struct ptx_opcode *opcode; /* of the statement being parsed */
    uint32_t scratch;                /* slot for results that nobody wants */
    uint32_t sites;                  /* memory instructions so far */
    struct {
        uint64_t value;
        uint32_t slot; /* PTX_SLOT_NONE: empty */
    } constants[PTX_CONSTANT_CACHE];
} ptx_build_t;

/* ---- Errors ---------------------------------------------------------------------------------- */

/* Records CODE and the message for TEXT (an instruction or directive) in LINE. Returns false. */
bool divvy_ptx_error(ptx_build_t *build, int code, uint32_t line, const char *text, size_t length,
                     const char *format, ...) __attribute__((format(printf, 6, 7)));

/* The same at the current token; a malformed token's own problem takes precedence. */
bool divvy_ptx_error_here(ptx_build_t *build, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

bool divvy_ptx_error_memory(ptx_build_t *build);

/* ---- Tokens ---------------------------------------------------------------------------------- */

void divvy_ptx_advance(ptx_build_t *build);
bool divvy_ptx_at_punct(const ptx_build_t *build, uint64_t code);
bool divvy_ptx_at_dot(const ptx_build_t *build, const char *word);
/* Steps over the punctuation when it is there. */
bool divvy_ptx_skip_punct(ptx_build_t *build, uint64_t code);
/* Steps over the punctuation or records an error. */
bool divvy_ptx_expect_punct(ptx_build_t *build, uint64_t code);

/* ---- Parser ---------------------------------------------------------------------------------- */

/* A constant expression. */
bool divvy_ptx_parse_number(ptx_build_t *build, ptx_number_t *ret_number);
/* One that must be an integer from LOW to HIGH. */
bool divvy_ptx_parse_integer(ptx_build_t *build, uint64_t low, uint64_t high, uint64_t *ret_value);

/* An instruction from its opcode on, semicolon included; GUARD may be NULL. Lowers it. */
bool divvy_ptx_parse_instruction(ptx_build_t *build, ptx_symbol_t *guard, bool guard_negated);

/* What a declaration of variables or registers says before and after the name. */
typedef struct {
    uint32_t line;
    const char *text; /* of the directive */
    size_t text_length;
    ptx_type_t type;
    uint32_t vector; /* 1, 2 or 4 elements */
    uint32_t align_bytes;
    const char *name;
    size_t name_length;
    uint64_t dims[8];
    uint32_t dim_count;
    bool open; /* first dimension left out: [] */
    bool managed;
    uint64_t size_bytes; /* 0 when open */
} ptx_declaration_t;

/* .align, vector, type and .attribute in any order; stops at the name. */
bool divvy_ptx_parse_declaration(ptx_build_t *build, ptx_declaration_t *ret_declaration);
/* Name and dimensions; computes size_bytes. */
bool divvy_ptx_parse_declarator(ptx_build_t *build, ptx_declaration_t *declaration);

typedef struct {
    bool is_extern;
    bool visible;
} ptx_linkage_t;

/* After ".global" or ".const" (CONSTANT) at module level. */
bool divvy_ptx_parse_variables(ptx_build_t *build, ptx_linkage_t linkage, bool constant);
/* After ".shared", at module level or in a function. */
bool divvy_ptx_parse_shared(ptx_build_t *build, ptx_linkage_t linkage);
/* After ".entry" or ".func". */
bool divvy_ptx_parse_function(ptx_build_t *build, ptx_linkage_t linkage, bool is_entry);
/* After ".pragma". */
bool divvy_ptx_parse_pragma(ptx_build_t *build, ptx_pragma_t *pragma);
/* .loc, .file and .section: skips them and says so. */
bool divvy_ptx_skip_debug(ptx_build_t *build, bool *ret_skipped);

/*
 * The symbol NAME as seen from SCOPE, registers of ranges included; NULL when unknown or on error.
 */
ptx_symbol_t *divvy_ptx_lookup(ptx_build_t *build, uint32_t scope, const char *name, size_t length);
/*
 * A new symbol in the current scope, named by the text; NULL on error (also when the name is
 * taken).
 */
ptx_symbol_t *divvy_ptx_declare(ptx_build_t *build, ptx_symbol_kind_t kind, const char *name,
                                size_t length);

/* ---- Lowering -------------------------------------------------------------------------------- */

/* Whether the opcode and its modifiers are known at all. */
bool divvy_ptx_lower_check(ptx_build_t *build, const ptx_statement_t *statement);
/* Turns STATEMENT into instructions of the current function. */
bool divvy_ptx_lower(ptx_build_t *build, ptx_statement_t *statement);

/*
 * Starts and ends a function: .code and so on. END resolves labels and moves everything into the
 * module.
 */
bool divvy_ptx_code_begin(ptx_build_t *build);
bool divvy_ptx_code_end(ptx_build_t *build, ptx_function_t *function);

/* A fresh slot for a register of TYPE. */
bool divvy_ptx_slot_new(ptx_build_t *build, ptx_type_t type, uint32_t *ret_slot);
/* A slot that holds VALUE from the start. */
bool divvy_ptx_slot_constant(ptx_build_t *build, uint64_t value, uint32_t *ret_slot);
/* A slot that holds the address of a variable. */
bool divvy_ptx_slot_address(ptx_build_t *build, ptx_reloc_kind_t kind, uint32_t index,
                            int64_t addend, uint32_t *ret_slot);
/* Appends INSN. */
bool divvy_ptx_emit(ptx_build_t *build, uint32_t line, const ptx_insn_t *insn);
/* Room in the current function's frame. */
bool divvy_ptx_frame_reserve(ptx_build_t *build, const ptx_declaration_t *declaration,
                             uint32_t *ret_offset);

/* Once all text is read: call graphs, shared memory, stack sizes (layout.c). */
bool divvy_ptx_layout(ptx_build_t *build);

#endif
