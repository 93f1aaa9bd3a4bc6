/* Names by scope: an open-address hash table of pointers. */
#include "simgpu/ptx/symbol.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A table that one function made larger than this is not kept for the next. */
enum { KEPT_CAPACITY = 4096 };

static uint32_t hash(uint32_t scope, const char *name, size_t length) {
    uint64_t h = UINT64_C(0xcbf29ce484222325) ^ scope;
    for (size_t k = 0; k < length; k++)
        h = (h ^ (unsigned char)name[k]) * UINT64_C(0x100000001b3);
    return (uint32_t)(h ^ h >> 32);
}

static bool matches(const ptx_symbol_t *symbol, uint32_t scope, const char *name, size_t length,
                    bool range) {
    return symbol->scope == scope && symbol->length == length &&
           (symbol->kind == PTX_SYMBOL_RANGE) == range && memcmp(symbol->name, name, length) == 0;
}

/* The cell that holds the symbol, or the free cell where it belongs. The table has free cells. */
static ptx_symbol_t **locate(const ptx_symbols_t *symbols, uint32_t scope, const char *name,
                             size_t length, bool range) {
    uint32_t mask = symbols->capacity - 1;
    uint32_t k = hash(scope, name, length) & mask;
    while (symbols->cells[k] && !matches(symbols->cells[k], scope, name, length, range))
        k = (k + 1) & mask;
    return &symbols->cells[k];
}

ptx_symbol_t *divvy_ptx_symbols_find(const ptx_symbols_t *symbols, uint32_t scope, const char *name,
                                     size_t length, bool range) {
    return symbols->capacity ? *locate(symbols, scope, name, length, range) : NULL;
}

static int grow(ptx_symbols_t *symbols) {
    ptx_symbols_t larger = {.capacity = symbols->capacity ? 2 * symbols->capacity : 64};
    larger.cells = calloc(larger.capacity, sizeof(ptx_symbol_t *));
    if (!larger.cells)
        return -ENOMEM;
    for (uint32_t k = 0; k < symbols->capacity; k++) {
        ptx_symbol_t *symbol = symbols->cells[k];
        if (symbol)
            *locate(&larger, symbol->scope, symbol->name, symbol->length,
                    symbol->kind == PTX_SYMBOL_RANGE) = symbol;
    }
    larger.count = symbols->count;
    free(symbols->cells);
    *symbols = larger;
    return 0;
}

int divvy_ptx_symbols_add(ptx_symbols_t *symbols, ptx_symbol_t *symbol) {
    if (symbols->count >= symbols->capacity / 2) {
        if (symbols->capacity > UINT32_MAX / 4)
            return -ENOMEM;
        int r = grow(symbols);
        if (r < 0)
            return r;
    }
    ptx_symbol_t **cell = locate(symbols, symbol->scope, symbol->name, symbol->length,
                                 symbol->kind == PTX_SYMBOL_RANGE);
    if (*cell)
        return -EEXIST;
    *cell = symbol;
    symbols->count++;
    return 0;
}

void divvy_ptx_symbols_clear(ptx_symbols_t *symbols) {
    if (symbols->capacity > KEPT_CAPACITY) {
        divvy_ptx_symbols_done(symbols);
        return;
    }
    if (symbols->count)
        memset(symbols->cells, 0, symbols->capacity * sizeof(ptx_symbol_t *));
    symbols->count = 0;
}

void divvy_ptx_symbols_done(ptx_symbols_t *symbols) {
    free(symbols->cells);
    memset(symbols, 0, sizeof(*symbols));
}
