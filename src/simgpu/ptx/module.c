/* Looking into a parsed module, and freeing it. */
#include "simgpu/ptx/code.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void divvy_ptx_module_free(divvy_ptx_module_t *module) {
    if (!module)
        return;
    for (uint32_t k = 0; k < module->variable_count; k++) {
        free(module->variables[k].data);
        free(module->variables[k].patches);
    }
    free(module->functions);
    free(module->entries);
    free(module->variables);
    free(module->shared);
    divvy_ptx_arena_done(&module->arena);
    free(module);
}

void divvy_ptx_module_info(const divvy_ptx_module_t *module, divvy_ptx_module_info_t *ret_info) {
    *ret_info = module->info;
}

int divvy_ptx_entry_find(const divvy_ptx_module_t *module, const char *name) {
    for (uint32_t k = 0; k < module->entry_count; k++) {
        if (strcmp(module->entries[k].info.name, name) == 0)
            return (int)k;
    }
    return -ENOENT;
}

const divvy_ptx_entry_t *divvy_ptx_entry_get(const divvy_ptx_module_t *module, uint32_t index) {
    return index < module->entry_count ? &module->entries[index].info : NULL;
}

int divvy_ptx_entry_param(const divvy_ptx_module_t *module, uint32_t index, uint32_t param,
                          divvy_ptx_param_t *ret_param) {
    if (index >= module->entry_count || param >= module->entries[index].info.params)
        return -EINVAL;
    *ret_param = module->entries[index].params[param];
    return 0;
}

int divvy_ptx_entry_fixed_time(const divvy_ptx_module_t *module, uint32_t index, const void *params,
                               size_t params_bytes, uint64_t *ret_ns) {
    if (index >= module->entry_count)
        return -EINVAL;
    const ptx_entry_t *entry = &module->entries[index];
    if (entry->info.time == DIVVY_PTX_TIME_MODEL)
        return 0;
    if (entry->info.time == DIVVY_PTX_TIME_FIXED) {
        *ret_ns = entry->info.time_ns;
        return 1;
    }
    const divvy_ptx_param_t *param = &entry->params[entry->info.time_param];
    if (!params || params_bytes < (size_t)param->offset_bytes + sizeof(*ret_ns))
        return -EINVAL;
    memcpy(ret_ns, (const uint8_t *)params + param->offset_bytes, sizeof(*ret_ns));
    return 1;
}

int divvy_ptx_variable_find(const divvy_ptx_module_t *module, const char *name) {
    for (uint32_t k = 0; k < module->variable_count; k++) {
        if (strcmp(module->variables[k].info.name, name) == 0)
            return (int)k;
    }
    return -ENOENT;
}

const divvy_ptx_variable_t *divvy_ptx_variable_get(const divvy_ptx_module_t *module,
                                                   uint32_t index) {
    return index < module->variable_count ? &module->variables[index].info : NULL;
}

int divvy_ptx_variable_init(const divvy_ptx_module_t *module, uint32_t index,
                            const uint64_t *addresses, void *dst) {
    if (index >= module->variable_count)
        return -EINVAL;
    const ptx_variable_t *variable = &module->variables[index];
    uint8_t *bytes = dst;
    if (variable->data_bytes)
        memcpy(bytes, variable->data, variable->data_bytes);
    memset(bytes + variable->data_bytes, 0, variable->info.size_bytes - variable->data_bytes);
    for (uint32_t k = 0; k < variable->patch_count; k++) {
        const ptx_patch_t *patch = &variable->patches[k];
        uint64_t address = addresses[patch->index] + (uint64_t)patch->addend;
        memcpy(bytes + patch->offset_bytes, &address, patch->size_bytes);
    }
    return 0;
}
