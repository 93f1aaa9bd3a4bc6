/*
 * Fuzz target: the parser on any text, and a short run of every kernel of what parses. Kernels may
 * touch one small buffer only; what they do besides must end in an error of the run.
 */
#include "simgpu/ptx/ptx.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BUFFER_BYTES = 4096, INSTRUCTIONS = 20000, KERNELS = 4, VARIABLE_BYTES = 1 << 20 };

static bool access_buffer(void *ctx, uint64_t address, size_t length_bytes, bool write,
                          divvy_ptx_span_t *ret_span) {
    uint64_t first = (uintptr_t)ctx;
    (void)write;
    if (length_bytes > BUFFER_BYTES || address - first > BUFFER_BYTES - length_bytes)
        return false;
    *ret_span = (divvy_ptx_span_t){first, first + BUFFER_BYTES - 1, true};
    return true;
}

static void run_kernel(const divvy_ptx_module_t *module, uint32_t index, uint8_t *buffer,
                       const uint64_t *variables) {
    const divvy_ptx_entry_t *entry = divvy_ptx_entry_get(module, index);
    uint8_t *params = calloc(1, entry->params_bytes + 8);
    divvy_ptx_run_t *run = NULL;
    uint64_t address = (uintptr_t)buffer;
    if (!params)
        return;
    for (uint32_t at = 0; at + 8 <= entry->params_bytes; at += 8)
        memcpy(params + at, &address, sizeof(address));
    uint32_t threads = entry->max_threads < 40 ? entry->max_threads : 40;
    divvy_ptx_launch_t launch = {
        .module = module,
        .entry = index,
        .grid = {2, 1, 1},
        .block = {threads, 1, 1},
        .shared_dynamic_bytes = 256,
        .params = params,
        .params_bytes = entry->params_bytes,
        .variables = variables,
        .access = access_buffer,
        .access_ctx = buffer,
    };
    if (entry->local_bytes < 65536 && divvy_ptx_run_new(&launch, &run) == 0)
        divvy_ptx_run_step(run, INSTRUCTIONS, NULL);
    divvy_ptx_run_free(run);
    free(params);
}

static void run_module(const divvy_ptx_module_t *module) {
    divvy_ptx_module_info_t info;
    divvy_ptx_module_info(module, &info);
    uint64_t *variables = calloc((size_t)info.variables + 1, sizeof(uint64_t));
    uint8_t *buffer = aligned_alloc(16, BUFFER_BYTES);
    if (variables && buffer) {
        memset(buffer, 0, BUFFER_BYTES);
        for (uint32_t k = 0; k < info.variables; k++) {
            const divvy_ptx_variable_t *variable = divvy_ptx_variable_get(module, k);
            void *content =
                variable->size_bytes <= VARIABLE_BYTES ? malloc(variable->size_bytes + 1) : NULL;
            variables[k] = (uintptr_t)buffer;
            if (content)
                divvy_ptx_variable_init(module, k, variables, content);
            free(content);
        }
        for (uint32_t k = 0; k < info.entries && k < KERNELS; k++)
            run_kernel(module, k, buffer, variables);
    }
    free(variables);
    free(buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char log[256];
    divvy_ptx_module_t *module = NULL;
    int r = divvy_ptx_module_parse((const char *)data, size, log, sizeof(log), &module);
    if (r == 0)
        run_module(module);
    else if (!memchr(log, 0, sizeof(log)) || !log[0] || module)
        abort();
    divvy_ptx_module_free(module);
    return 0;
}
