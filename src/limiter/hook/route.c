/*
 * The routing table: addresses in the driver, and of our own functions, each with the row of its
 * hook. Filled without a lock by whoever finds the driver first; every entry is one word (address
 * << 16 | row + 1), so a reader sees all of it or nothing.
 */
#include "limiter/hook/route.h"
#include "core/hash.h"
#include "core/log.h"
#include "core/parse.h"
#include "limiter/hook/door.h"
#include "limiter/hook/limits.h"
#include "limiter/hook/loader.h"
#include "limiter/hook/real.h"
#include "limiter/hook/table.h"

#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_ENTRIES                                                                              \
    8192 /* a power of two; four addresses for each of some 630 rows leave it a third full */

static uint64_t table[TABLE_ENTRIES];

static const struct divvy_route_row rows[] = {
#define ROW(symbol, what)               {#symbol, (void *)divvy_hook_##symbol, false},
#define LAUNCH_ROW(symbol, room, what)  {#symbol, (void *)divvy_hook_##symbol, false},
#define DOORWAY_ROW(symbol, what)       {#symbol, (void *)divvy_doorway_##symbol, false},
#define COMPUTE_ROW(symbol, room, what) {#symbol, (void *)divvy_doorway_##symbol, false},
#define DOOR_ROW(symbol)                {#symbol, (void *)divvy_hook_##symbol, false},
#define NVML_ROW(symbol, what)          {#symbol, (void *)divvy_hook_##symbol, true},
    DIVVY_BASE_HOOKS(ROW) DIVVY_COMPUTE_LAUNCHES(LAUNCH_ROW) DIVVY_MEMORY_HOOKS(DOORWAY_ROW)
        DIVVY_VIEW_HOOKS(DOORWAY_ROW) DIVVY_COMPUTE_OTHERS(COMPUTE_ROW) DIVVY_NVML_HOOKS(NVML_ROW)
            DIVVY_DOOR_HOOKS(DOOR_ROW)};

#define ROWS (sizeof rows / sizeof rows[0])

const struct divvy_route_row *divvy_route_rows(size_t *ret_count) {
    *ret_count = ROWS;
    return rows;
}

/* ---- switches ---- */

static bool word_is_false(const char *value) {
    return value &&
           (strcmp(value, "0") == 0 || divvy_core_word_equal(value, strlen(value), "false"));
}

/* 0: not read yet. */
enum switches { SWITCHES_READ = 1, SWITCH_CUDA = 2, SWITCH_NVML = 4 };

static unsigned switches_read(void) {
    static unsigned switches;
    unsigned value = __atomic_load_n(&switches, __ATOMIC_RELAXED);

    if (value == 0) {
        bool off = divvy_limits_word_is_true(getenv("DISABLE_GPU_LIMITER")) ||
                   divvy_limits_word_is_true(getenv("TF_ENABLE_DISPATCH_FORWARD"));

        value = SWITCHES_READ |
                (off || word_is_false(getenv("ENABLE_CUDA_HOOKS")) ? 0 : SWITCH_CUDA) |
                (off || word_is_false(getenv("ENABLE_NVML_HOOKS")) ? 0 : SWITCH_NVML);
        __atomic_store_n(&switches, value, __ATOMIC_RELAXED);
    }
    return value;
}

bool divvy_route_cuda_enabled(void) {
    return (switches_read() & SWITCH_CUDA) != 0;
}

bool divvy_route_nvml_enabled(void) {
    return (switches_read() & SWITCH_NVML) != 0;
}

/* ---- the table ---- */

static void enter(const void *address, size_t row) {
    uint64_t wanted = (uint64_t)(uintptr_t)address << 16 | (row + 1);
    size_t at = divvy_core_hash_mix((uintptr_t)address) % TABLE_ENTRIES;

    if (!address)
        return;
    for (size_t tries = 0; tries < TABLE_ENTRIES; tries++, at = (at + 1) % TABLE_ENTRIES) {
        uint64_t there = 0;

        if (__atomic_compare_exchange_n(&table[at], &there, wanted, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE) ||
            there >> 16 == wanted >> 16)
            return;
    }
}

static const struct divvy_route_row *row_of(const void *address) {
    uint64_t key = (uint64_t)(uintptr_t)address << 16;
    size_t at = divvy_core_hash_mix((uintptr_t)address) % TABLE_ENTRIES;

    for (size_t tries = 0; tries < TABLE_ENTRIES; tries++, at = (at + 1) % TABLE_ENTRIES) {
        uint64_t there = __atomic_load_n(&table[at], __ATOMIC_ACQUIRE);

        if (there == 0)
            return NULL;
        if ((there & ~UINT64_C(0xffff)) == key)
            return &rows[(there & 0xffff) - 1];
    }
    return NULL;
}

/* A library that was learned once is known by the first of its functions; looking all of them up again would take a while. */
static bool is_learned(const struct divvy_elf *object, bool is_nvml) {
    return row_of(divvy_elf_symbol(object, is_nvml ? "nvmlInit_v2" : "cuInit")) != NULL;
}

static void learn(const struct divvy_elf *object, bool is_nvml) {
    if (is_learned(object, is_nvml))
        return;
    for (size_t row = 0; row < ROWS; row++)
        if (rows[row].is_nvml == is_nvml)
            enter(divvy_elf_symbol(object, rows[row].symbol), row);
}

void divvy_route_learn_driver(const struct divvy_elf *driver) {
    learn(driver, false);
}

void divvy_route_learn_nvml(const struct divvy_elf *nvml) {
    learn(nvml, true);
}

void divvy_route_learn_address(const void *address, const char *symbol) {
    for (size_t row = 0; row < ROWS; row++)
        if (!rows[row].is_nvml && strcmp(rows[row].symbol, symbol) == 0)
            enter(address, row);
}

void *divvy_route_pointer(void *function) {
    const struct divvy_route_row *row = function ? row_of(function) : NULL;

    return row ? row->hook : function;
}

/* ---- lookups by name ---- */

static const struct divvy_route_row *row_named(const char *name, bool is_nvml) {
    for (size_t row = 0; row < ROWS; row++)
        if (rows[row].is_nvml == is_nvml && strcmp(rows[row].symbol, name) == 0)
            return &rows[row];
    return NULL;
}

void *divvy_route_named(const char *symbol) {
    const struct divvy_route_row *row = row_named(symbol, symbol[0] == 'n');

    return row ? row->hook : NULL;
}

/* The vendor's library of this family, if it is loaded; its functions are known to the table
 * afterwards. */
static bool library_loaded(bool is_nvml, struct divvy_elf *ret_object) {
    if (!divvy_elf_named(is_nvml ? "libnvidia-ml.so" : "libcuda.so", ret_object))
        return false;
    learn(ret_object, is_nvml);
    return true;
}

static void *symbol_at(void *handle, const char *name, const char *version) {
    return version ? divvy_loader_symbol_version(handle, name, version)
                   : divvy_loader_symbol(handle, name);
}

static bool is_own(const void *address) {
    struct divvy_elf here, there;

    return divvy_elf_containing(table, &here) && divvy_elf_containing(address, &there) &&
           here.base == there.base;
}

/* What the program gets for a row: the hook, or with the family switched off the vendor's own
 * function. */
static void *answer(const struct divvy_route_row *row, const struct divvy_elf *library) {
    bool enabled = row->is_nvml ? divvy_route_nvml_enabled() : divvy_route_cuda_enabled();

    return enabled ? row->hook : divvy_elf_symbol(library, row->symbol);
}

void *divvy_route_lookup(void *handle, const char *name, const char *version, void **ret_handle) {
    bool is_nvml = name[0] == 'n';
    const struct divvy_route_row *row = row_named(name, is_nvml);
    bool by_scope = handle == RTLD_DEFAULT || handle == RTLD_NEXT;
    struct divvy_elf library;
    void *function;

    if (!row)
        return NULL;
    function = by_scope ? NULL : symbol_at(handle, name, version);
    if (!by_scope && !function)
        return NULL;
    if (by_scope || is_own(function)) {
        /* The program's own scope begins with this library: that alone must not look like a driver.
         */
        if (library_loaded(is_nvml, &library) && divvy_elf_symbol(&library, name))
            return answer(row, &library);
        *ret_handle = divvy_loader_libc();
        return NULL;
    }
    /* Somebody else's library may have a function of this name; only the vendor's is exchanged. */
    if (!row_of(function) && divvy_elf_containing(function, &library) &&
        divvy_elf_is_named(&library, is_nvml ? "libnvidia-ml.so" : "libcuda.so"))
        learn(&library, is_nvml);
    row = row_of(function);
    if (!row || !(is_nvml ? divvy_route_nvml_enabled() : divvy_route_cuda_enabled()))
        return NULL;
    return row->hook;
}
