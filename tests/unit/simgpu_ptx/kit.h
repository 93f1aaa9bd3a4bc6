/*
 * What the tests of the PTX interpreter share: modules from text, memory that kernels may touch,
 * launches. Everything fails the running cmocka test when it goes wrong, unless the name says
 * otherwise.
 */
#ifndef DIVVY_TESTS_SIMGPU_PTX_KIT_H
#define DIVVY_TESTS_SIMGPU_PTX_KIT_H

#include "simgpu/ptx/ptx.h"

/* cmocka.h needs the others before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#define HEADER ".version 8.0\n.target sm_90\n.address_size 64\n"

/* Parses TEXT, to be freed with divvy_ptx_module_free(). */
divvy_ptx_module_t *kit_parse(const char *text);
/* Expects TEXT to be refused with CODE and a message that holds PART. */
void kit_refuse(const char *text, int code, const char *part);

/* Memory that kernels may touch: up to eight ranges. */
typedef struct {
    struct {
        uint64_t first, last;
        bool writable;
    } ranges[8];
    int count;
    uint64_t asked; /* calls of the access function */
} kit_memory_t;

void kit_memory_add(kit_memory_t *memory, void *start, size_t size_bytes, bool writable);
bool kit_access(void *ctx, uint64_t address, size_t length_bytes, bool write,
                divvy_ptx_span_t *ret_span);

/* A launch of kernel NAME with 64-bit parameters PARAMS, which must stay. */
divvy_ptx_launch_t kit_launch(const divvy_ptx_module_t *module, const char *name, uint32_t blocks,
                              uint32_t threads, const uint64_t *params, size_t param_count,
                              kit_memory_t *memory);

/* Parses TEXT, runs its kernel "k" and expects STATUS. */
void kit_run(const char *text, uint32_t blocks, uint32_t threads, const uint64_t *params,
             size_t param_count, kit_memory_t *memory, divvy_ptx_status_t status);

/* TEXT with every word of WORDS (word, replacement, word, ..., NULL) replaced. */
void kit_replace(const char *text, const char *const *words, char *result, size_t size);

/* Deterministic random numbers; the seed is printed, and DIVVY_TEST_SEED replaces it. */
uint64_t kit_seed(void);
uint64_t kit_random(uint64_t *state);

#endif
