/* Modules: code in one context, its functions and variables. */
#include "simgpu/driver/module.h"
#include "simgpu/driver/capture.h"
#include "simgpu/driver/file.h"
#include "simgpu/driver/handle.h"
#include "simgpu/driver/library.h"
#include "simgpu/driver/memory.h"

#include <stdlib.h>
#include <string.h>

/* ---- life ------------------------------------------------------------------------------------ */

static int add_functions(divvy_drv_module_t *module) {
    const divvy_ptx_module_t *ptx = module->image->ptx;
    module->functions = calloc(module->image->info.entries + 1, sizeof(*module->functions));
    if (!module->functions)
        return -1;
    for (uint32_t i = 0; i < module->image->info.entries; i++) {
        divvy_drv_function_t *function = module->functions + i;
        function->module = module;
        function->index = i;
        function->entry = divvy_ptx_entry_get(ptx, i);
        function->carveout = -1;
        int room = (int)module->context->facts->shared_per_block_bytes -
                   (int)function->entry->shared_static_bytes;
        function->max_dynamic_shared_bytes = room > 0 ? room : 0;
        function->params = calloc(function->entry->params + 1, sizeof(*function->params));
        function->handle = divvy_drv_handle_new(DRV_HANDLE_FUNCTION, function);
        if (!function->params || !function->handle)
            return -1;
        for (uint32_t p = 0; p < function->entry->params; p++)
            divvy_ptx_entry_param(ptx, i, p, function->params + p);
    }
    return 0;
}

/* Variables get their addresses first, then their values, which may be addresses of one another. */
static CUresult add_variables(divvy_drv_module_t *module) {
    const divvy_ptx_module_t *ptx = module->image->ptx;
    uint32_t count = module->image->info.variables;
    module->variables = calloc(count + 1, sizeof(*module->variables));
    if (!module->variables)
        return CUDA_ERROR_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < count; i++) {
        const divvy_ptx_variable_t *variable = divvy_ptx_variable_get(ptx, i);
        divvy_drv_mem_t mem = {.bytes = variable->size_bytes,
                               .device = module->context->device,
                               .kind = DRV_MEM_GLOBAL};
        if (!mem.bytes)
            continue;
        DRV_TRY(divvy_drv_result(
            divvy_simgpu_mem_alloc(mem.device, mem.bytes, 0, DRV_MEM_GLOBAL, &mem.address)));
        module->variables[i] = mem.address;
        if (divvy_drv_mem_enter(&mem)) {
            divvy_simgpu_mem_free(mem.address);
            module->variables[i] = 0;
            return CUDA_ERROR_OUT_OF_MEMORY;
        }
    }
    for (uint32_t i = 0; i < count; i++)
        if (module->variables[i])
            divvy_ptx_variable_init(ptx, i, module->variables,
                                    (void *)(uintptr_t)module->variables[i]);
    return CUDA_SUCCESS;
}

CUresult divvy_drv_module_new(divvy_drv_context_t *context, divvy_drv_image_t *image,
                              divvy_drv_library_t *library, divvy_drv_module_t **ret_module) {
    divvy_drv_module_t *module = calloc(1, sizeof(*module));
    if (!module)
        return CUDA_ERROR_OUT_OF_MEMORY;
    module->context = context;
    module->image = image;
    module->library = library;
    divvy_drv_image_ref(image);
    uint64_t grain = DIVVY_SIMGPU_GRAIN_BYTES,
             code_bytes = (image->info.code_bytes + grain - 1) / grain * grain;
    CUresult result =
        divvy_drv_result(divvy_simgpu_mem_charge(context->device, (int64_t)code_bytes));
    if (result == CUDA_SUCCESS)
        module->code_bytes = code_bytes;
    if (result == CUDA_SUCCESS && add_functions(module))
        result = CUDA_ERROR_OUT_OF_MEMORY;
    if (result == CUDA_SUCCESS)
        result = add_variables(module);
    if (result == CUDA_SUCCESS) {
        module->handle = divvy_drv_handle_new(DRV_HANDLE_MODULE, module);
        if (!module->handle)
            result = CUDA_ERROR_OUT_OF_MEMORY;
    }
    pthread_mutex_lock(&context->lock);
    module->next = context->modules;
    context->modules = module;
    pthread_mutex_unlock(&context->lock);
    if (result != CUDA_SUCCESS) {
        divvy_drv_module_free(module);
        return result;
    }
    *ret_module = module;
    return CUDA_SUCCESS;
}

static void free_parts(divvy_drv_module_t *module) {
    for (uint32_t i = 0; module->functions && i < module->image->info.entries; i++) {
        divvy_drv_function_t *function = module->functions + i;
        divvy_drv_handle_end(function->handle, DRV_HANDLE_FUNCTION);
        free(function->params);
        free(function->legacy_params);
    }
    for (uint32_t i = 0; module->variables && i < module->image->info.variables; i++) {
        divvy_drv_mem_t mem;
        if (module->variables[i] && divvy_drv_mem_take(module->variables[i], DRV_MEM_GLOBAL, &mem))
            divvy_simgpu_mem_free(mem.address);
    }
    divvy_simgpu_mem_charge(module->context->device, -(int64_t)module->code_bytes);
    divvy_drv_image_unref(module->image);
    free(module->functions);
    free(module->variables);
    free(module);
}

void divvy_drv_module_free(divvy_drv_module_t *module) {
    divvy_drv_context_t *context = module->context;
    divvy_drv_handle_end(module->handle, DRV_HANDLE_MODULE);
    pthread_mutex_lock(&context->lock);
    divvy_drv_module_t **link = &context->modules;
    while (*link && *link != module)
        link = &(*link)->next;
    if (*link)
        *link = module->next;
    pthread_mutex_unlock(&context->lock);
    free_parts(module);
}

void divvy_drv_module_free_all(divvy_drv_context_t *context) {
    while (context->modules) {
        divvy_drv_module_t *module = context->modules;
        if (module->library)
            divvy_drv_library_forget(module->library, context);
        divvy_drv_module_free(module);
    }
}

/* ---- loading --------------------------------------------------------------------------------- */

CUresult DRV(cuModuleLoadDataEx)(CUmodule *module, const void *image, unsigned int numOptions,
                                 CUjit_option *options, void **optionValues) {
    divvy_drv_context_t *context;
    divvy_drv_image_t *loaded;
    divvy_drv_module_t *made;
    if (!module || !image)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_context_current(&context));
    DRV_TRY(divvy_drv_capture_guard());
    DRV_TRY(divvy_drv_image_load(image, numOptions, options, optionValues, &loaded));
    CUresult result = divvy_drv_module_new(context, loaded, NULL, &made);
    divvy_drv_image_unref(loaded);
    if (result == CUDA_SUCCESS)
        *module = made->handle;
    return result;
}

CUresult DRV(cuModuleLoadData)(CUmodule *module, const void *image) {
    return DRV(cuModuleLoadDataEx)(module, image, 0, NULL, NULL);
}

CUresult DRV(cuModuleLoadFatBinary)(CUmodule *module, const void *fatCubin) {
    return DRV(cuModuleLoadDataEx)(module, fatCubin, 0, NULL, NULL);
}

CUresult DRV(cuModuleLoad)(CUmodule *module, const char *fname) {
    char *text;
    if (!module || !fname)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_file_read(fname, &text));
    CUresult result = DRV(cuModuleLoadDataEx)(module, text, 0, NULL, NULL);
    free(text);
    return result;
}

static CUresult find(CUmodule handle, divvy_drv_module_t **ret_module) {
    divvy_drv_module_t *module = divvy_drv_handle_get(handle, DRV_HANDLE_MODULE);
    if (!module)
        return CUDA_ERROR_INVALID_HANDLE;
    *ret_module = module;
    return CUDA_SUCCESS;
}

CUresult DRV(cuModuleUnload)(CUmodule hmod) {
    divvy_drv_module_t *module;
    DRV_TRY(find(hmod, &module));
    if (module->library)
        return CUDA_ERROR_INVALID_HANDLE; /* it goes with its library */
    DRV_TRY(divvy_drv_capture_guard());
    if (!atomic_load(&module->context->destroyed))
        divvy_simgpu_context_wait(module->context->engine); /* its variables may be in use */
    divvy_drv_action_barrier();
    divvy_drv_module_free(module);
    return CUDA_SUCCESS;
}

CUresult DRV(cuModuleGetLoadingMode)(CUmoduleLoadingMode *mode) {
    if (!mode)
        return CUDA_ERROR_INVALID_VALUE;
    const char *wanted = getenv("CUDA_MODULE_LOADING");
    *mode = wanted && !strcmp(wanted, "EAGER") ? CU_MODULE_EAGER_LOADING : CU_MODULE_LAZY_LOADING;
    return CUDA_SUCCESS;
}

/* ---- what is in it --------------------------------------------------------------------------- */

CUresult DRV(cuModuleGetFunction)(CUfunction *hfunc, CUmodule hmod, const char *name) {
    divvy_drv_module_t *module;
    if (!hfunc || !name || !*name)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(find(hmod, &module));
    int index = divvy_ptx_entry_find(module->image->ptx, name);
    if (index < 0)
        return CUDA_ERROR_NOT_FOUND;
    *hfunc = module->functions[index].handle;
    return CUDA_SUCCESS;
}

CUresult DRV(cuModuleGetFunctionCount)(unsigned int *count, CUmodule mod) {
    divvy_drv_module_t *module;
    if (!count)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(find(mod, &module));
    *count = module->image->info.entries;
    return CUDA_SUCCESS;
}

CUresult DRV(cuModuleEnumerateFunctions)(CUfunction *functions, unsigned int numFunctions,
                                         CUmodule mod) {
    divvy_drv_module_t *module;
    if (!functions && numFunctions)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(find(mod, &module));
    for (unsigned i = 0; i < numFunctions && i < module->image->info.entries; i++)
        functions[i] = module->functions[i].handle;
    return CUDA_SUCCESS;
}

CUresult DRV(cuModuleGetGlobal_v2)(CUdeviceptr *dptr, size_t *bytes, CUmodule hmod,
                                   const char *name) {
    divvy_drv_module_t *module;
    if (!name || (!dptr && !bytes))
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(find(hmod, &module));
    int index = divvy_ptx_variable_find(module->image->ptx, name);
    if (index < 0)
        return CUDA_ERROR_NOT_FOUND;
    if (dptr)
        *dptr = module->variables[index];
    if (bytes)
        *bytes = divvy_ptx_variable_get(module->image->ptx, (uint32_t)index)->size_bytes;
    return CUDA_SUCCESS;
}

/* The 32-bit form can tell the size only. */
CUresult DRV(cuModuleGetGlobal)(CUdeviceptr_v1 *dptr, unsigned int *bytes, CUmodule hmod,
                                const char *name) {
    size_t wide;
    if (dptr)
        return CUDA_ERROR_NOT_SUPPORTED;
    if (!bytes)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(DRV(cuModuleGetGlobal_v2)(NULL, &wide, hmod, name));
    *bytes = (unsigned)wide;
    return CUDA_SUCCESS;
}
