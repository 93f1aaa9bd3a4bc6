/* What the tests of the PTX interpreter share. */
#include "kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

divvy_ptx_module_t *kit_parse(const char *text) {
    char log[512];
    divvy_ptx_module_t *module = NULL;
    int r = divvy_ptx_module_parse(text, strlen(text), log, sizeof(log), &module);
    if (r != 0)
        fail_msg("%d: %s\n%s", r, log, text);
    return module;
}

void kit_refuse(const char *text, int code, const char *part) {
    char log[512];
    divvy_ptx_module_t *module = NULL;
    int r = divvy_ptx_module_parse(text, strlen(text), log, sizeof(log), &module);
    if (r != code || module || !strstr(log, part))
        fail_msg("expected %d with \"%s\", got %d: %s\n%s", code, part, r, log, text);
}

void kit_memory_add(kit_memory_t *memory, void *start, size_t size_bytes, bool writable) {
    uint64_t first = (uintptr_t)start;
    memory->ranges[memory->count].first = first;
    memory->ranges[memory->count].last = first + size_bytes - 1;
    memory->ranges[memory->count++].writable = writable;
}

bool kit_access(void *ctx, uint64_t address, size_t length_bytes, bool write,
                divvy_ptx_span_t *ret_span) {
    kit_memory_t *memory = ctx;
    __atomic_fetch_add(&memory->asked, 1, __ATOMIC_RELAXED);
    for (int k = 0; k < memory->count; k++) {
        if (address < memory->ranges[k].first || address > memory->ranges[k].last ||
            memory->ranges[k].last - address < length_bytes - 1)
            continue;
        if (write && !memory->ranges[k].writable)
            return false;
        *ret_span = (divvy_ptx_span_t){memory->ranges[k].first, memory->ranges[k].last,
                                       memory->ranges[k].writable};
        return true;
    }
    return false;
}

divvy_ptx_launch_t kit_launch(const divvy_ptx_module_t *module, const char *name, uint32_t blocks,
                              uint32_t threads, const uint64_t *params, size_t param_count,
                              kit_memory_t *memory) {
    int entry = divvy_ptx_entry_find(module, name);
    assert_true(entry >= 0);
    return (divvy_ptx_launch_t){.module = module,
                                .entry = (uint32_t)entry,
                                .grid = {blocks, 1, 1},
                                .block = {threads, 1, 1},
                                .params = params,
                                .params_bytes = param_count * sizeof(uint64_t),
                                .access = kit_access,
                                .access_ctx = memory,
                                .sm_count = 4,
                                .clock_khz = 1000000};
}

void kit_run(const char *text, uint32_t blocks, uint32_t threads, const uint64_t *params,
             size_t param_count, kit_memory_t *memory, divvy_ptx_status_t status) {
    divvy_ptx_module_t *module = kit_parse(text);
    divvy_ptx_launch_t launch =
        kit_launch(module, "k", blocks, threads, params, param_count, memory);
    divvy_ptx_result_t result;
    int r = divvy_ptx_execute(&launch, &result);
    if (r != (int)status)
        fail_msg("expected %s, got %d (%s), line %u, address %#llx", divvy_ptx_status_name(status),
                 r, r >= 0 ? divvy_ptx_status_name((divvy_ptx_status_t)r) : "error",
                 result.fault_line, (unsigned long long)result.fault_address);
    divvy_ptx_module_free(module);
}

void kit_replace(const char *text, const char *const *words, char *result, size_t size) {
    size_t used = 0;
    while (*text) {
        const char *const *word = words;
        while (*word && strncmp(text, *word, strlen(*word)) != 0)
            word += 2;
        const char *piece = *word ? word[1] : text;
        size_t length = *word ? strlen(word[1]) : 1;
        assert_true(used + length < size);
        memcpy(result + used, piece, length);
        used += length;
        text += *word ? strlen(*word) : 1;
    }
    result[used] = 0;
}

uint64_t kit_seed(void) {
    const char *text = getenv("DIVVY_TEST_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 0) : (uint64_t)time(NULL);
    printf("DIVVY_TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed ? seed : 1;
}

uint64_t kit_random(uint64_t *state) {
    /* splitmix64 */
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}
