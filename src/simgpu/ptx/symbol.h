/*
 * Names of a module and of the function being parsed, by scope.
 */
#ifndef DIVVY_SIMGPU_PTX_SYMBOL_H
#define DIVVY_SIMGPU_PTX_SYMBOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    PTX_SYMBOL_REGISTER,   /* type, slot */
    PTX_SYMBOL_RANGE,      /* %r<count>: type, count; the name is the prefix */
    PTX_SYMBOL_LABEL,      /* index: instruction */
    PTX_SYMBOL_TABLE,      /* .branchtargets: data is the ptx_table_t */
    PTX_SYMBOL_FORMAL,     /* parameter in .param space: offset_bytes, size_bytes */
    PTX_SYMBOL_CALL_PARAM, /* .param in a body: offset_bytes in the frame, size_bytes */
    PTX_SYMBOL_LOCAL,      /* the same for .local */
    PTX_SYMBOL_VARIABLE,   /* index, constant */
    PTX_SYMBOL_SHARED,     /* index */
    PTX_SYMBOL_FUNCTION,   /* index */
} ptx_symbol_kind_t;

/* Slot of a register that no instruction has named yet. */
#define PTX_SLOT_NONE UINT32_MAX

typedef struct {
    const char *name; /* not NUL-terminated; in the module's text */
    size_t length;
    uint32_t scope;
    ptx_symbol_kind_t kind;
    uint8_t type; /* ptx_type_t */
    bool constant;
    uint32_t slot;
    uint32_t index;
    uint32_t offset_bytes;
    uint32_t size_bytes;
    uint64_t count;
    void *data;
} ptx_symbol_t;

typedef struct {
    ptx_symbol_t **cells;
    uint32_t capacity; /* 0 or a power of two */
    uint32_t count;
} ptx_symbols_t;

/* The symbol NAME of exactly SCOPE, or NULL. Ranges have a name space of their own. */
ptx_symbol_t *divvy_ptx_symbols_find(const ptx_symbols_t *symbols, uint32_t scope, const char *name,
                                     size_t length, bool range);

/* Adds SYMBOL, which stays the caller's. 0, -EEXIST or -ENOMEM. */
int divvy_ptx_symbols_add(ptx_symbols_t *symbols, ptx_symbol_t *symbol);

/* Forgets all symbols. */
void divvy_ptx_symbols_clear(ptx_symbols_t *symbols);

void divvy_ptx_symbols_done(ptx_symbols_t *symbols);

#endif
