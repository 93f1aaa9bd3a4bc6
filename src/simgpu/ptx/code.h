/*
 * What a parsed module consists of: functions as compact instruction arrays, their layouts, the
 * variables. Built by the parser and the lowering, read by the interpreter; immutable in between.
 */
#ifndef DIVVY_SIMGPU_PTX_CODE_H
#define DIVVY_SIMGPU_PTX_CODE_H

#include "simgpu/ptx/arena.h"
#include "simgpu/ptx/ptx.h"
#include "simgpu/ptx/symbol.h"
#include "simgpu/ptx/types.h"

/* A register. Instructions read and write only as many low bytes as their type has. */
typedef union {
    uint64_t u64;
    int64_t s64;
    uint32_t u32;
    int32_t s32;
    uint16_t u16;
    int16_t s16;
    uint8_t u8;
    int8_t s8;
    float f32;
    double f64;
} ptx_slot_t;

typedef struct ptx_thread ptx_thread_t;
typedef struct ptx_insn ptx_insn_t;

/* Executes INSN and returns the next one; NULL makes the thread stop (thread->stop says why). */
typedef const ptx_insn_t *(*ptx_handler_t)(ptx_thread_t *thread, const ptx_insn_t *insn);

/*
 * d and e are destination slots, a, b and c source slots; f and imm mean what the handler says.
 * Immediates of the PTX text are slots too, filled in by the function's template.
 */
struct ptx_insn {
    ptx_handler_t handler;
    uint32_t d, e, a, b, c, f;
    union {
        uint64_t imm;
        int64_t simm;
        const void *data; /* ptx_vector_t, ptx_call_t, ptx_table_t */
    };
};

/* Register lists of vector loads and stores. */
typedef struct {
    int64_t offset;
    uint32_t count;
    uint32_t slots[4];
} ptx_vector_t;

/* Jump targets of brx.idx, as instruction indices. */
typedef struct {
    uint32_t count;
    uint32_t targets[];
} ptx_table_t;

/* One value handed to or back from a device function. */
typedef struct {
    bool from_slot;
    bool to_slot;
    uint8_t type;  /* when a slot meets memory */
    uint32_t from; /* slot, or offset in the frame it comes from */
    uint32_t to;
    uint32_t size_bytes;
} ptx_transfer_t;

typedef struct {
    uint32_t callee; /* index of the function */
    uint32_t arguments;
    uint32_t results;
    ptx_transfer_t transfers[]; /* arguments, then results */
} ptx_call_t;

/* A slot that receives an address only known when a run starts. */
typedef enum { PTX_RELOC_VARIABLE, PTX_RELOC_SHARED } ptx_reloc_kind_t;
typedef struct {
    ptx_reloc_kind_t kind;
    uint32_t slot;
    uint32_t index;
    int64_t addend;
} ptx_reloc_t;

/*
 * A formal parameter or return value. In kernels offset counts in the parameter buffer, else in the
 * frame.
 */
typedef struct {
    uint8_t type;
    bool in_register;
    uint32_t slot;
    uint32_t offset_bytes;
    uint32_t size_bytes;
    uint32_t align_bytes;
    ptx_symbol_t *symbol; /* only while its function is parsed */
} ptx_formal_t;

typedef struct {
    uint32_t index;
    uint32_t line; /* of the call */
} ptx_callee_t;

typedef struct {
    const char *name;
    bool is_entry;
    bool defined;
    uint32_t line;
    ptx_insn_t *code;
    uint32_t *lines; /* per instruction */
    uint32_t instructions;
    uint64_t *template; /* initial registers: zero, constants */
    uint32_t slots;
    ptx_reloc_t *relocs;
    uint32_t reloc_count;
    ptx_callee_t *callees;
    uint32_t callee_count;
    ptx_formal_t *formals;
    uint32_t formal_count;
    ptx_formal_t *results;
    uint32_t result_count;
    uint32_t frame_bytes; /* parameters of calls and .local variables, multiple of 16 */
    uint32_t registers;   /* estimate */
} ptx_function_t;

/* An initialised piece of a module variable that depends on another variable's address. */
typedef struct {
    uint64_t offset_bytes;
    uint32_t size_bytes;
    uint32_t index;
    int64_t addend;
} ptx_patch_t;

typedef struct {
    divvy_ptx_variable_t info;
    uint8_t *data; /* the first data_bytes; the rest is zero */
    uint64_t data_bytes;
    ptx_patch_t *patches;
    uint32_t patch_count;
    uint32_t line;
    bool announced; /* .extern, and no definition so far */
} ptx_variable_t;

typedef struct {
    uint64_t size_bytes;
    uint32_t align_bytes;
    bool dynamic; /* .extern .shared */
} ptx_shared_t;

typedef struct {
    divvy_ptx_entry_t info;
    uint32_t function;
    uint32_t *functions; /* all that can be reached, this one first */
    uint32_t function_count;
    uint32_t *shared; /* indices of the .shared variables used ... */
    uint32_t *shared_offsets;
    uint32_t shared_count;
    uint32_t slots;       /* registers of the deepest call chain */
    uint32_t frame_bytes; /* local memory of the deepest call chain */
    uint32_t calls;       /* return records of the deepest call chain */
    divvy_ptx_param_t *params;
} ptx_entry_t;

struct divvy_ptx_module {
    ptx_arena_t arena; /* everything small below */
    divvy_ptx_module_info_t info;
    ptx_function_t *functions;
    uint32_t function_count, function_capacity;
    ptx_entry_t *entries;
    uint32_t entry_count, entry_capacity;
    ptx_variable_t *variables;
    uint32_t variable_count, variable_capacity;
    ptx_shared_t *shared;
    uint32_t shared_count, shared_capacity;
};

#endif
