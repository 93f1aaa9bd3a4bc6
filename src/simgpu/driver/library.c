/* Libraries and kernels; see library.h. */
#include "simgpu/driver/library.h"
#include "simgpu/driver/file.h"
#include "simgpu/driver/handle.h"
#include "simgpu/driver/memory.h"

#include <stdlib.h>

struct divvy_drv_kernel {
    CUkernel handle;
    divvy_drv_library_t *library;
    uint32_t index;
    const divvy_ptx_entry_t *entry;
};

typedef struct instance {
    divvy_drv_context_t *context;
    divvy_drv_module_t *module;
    struct instance *next;
} instance_t;

struct divvy_drv_library {
    CUlibrary handle;
    divvy_drv_image_t *image;
    divvy_drv_kernel_t *kernels;
    pthread_mutex_t lock;
    instance_t *instances;
};

/* ---- life ------------------------------------------------------------------------------------ */

static void library_free(divvy_drv_library_t *library) {
    divvy_drv_handle_end(library->handle, DRV_HANDLE_LIBRARY);
    for (uint32_t i = 0; library->kernels && i < library->image->info.entries; i++)
        divvy_drv_handle_end(library->kernels[i].handle, DRV_HANDLE_KERNEL);
    while (library->instances) {
        instance_t *instance = library->instances;
        library->instances = instance->next;
        divvy_simgpu_context_wait(instance->context->engine);
        divvy_drv_action_barrier();
        divvy_drv_module_free(instance->module);
        free(instance);
    }
    divvy_drv_image_unref(library->image);
    pthread_mutex_destroy(&library->lock);
    free(library->kernels);
    free(library);
}

static CUresult library_new(divvy_drv_image_t *image, divvy_drv_library_t **ret_library) {
    divvy_drv_library_t *library = calloc(1, sizeof(*library));
    if (!library) {
        divvy_drv_image_unref(image);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    library->image = image;
    pthread_mutex_init(&library->lock, NULL);
    library->kernels = calloc(image->info.entries + 1, sizeof(*library->kernels));
    library->handle = divvy_drv_handle_new(DRV_HANDLE_LIBRARY, library);
    bool complete = library->kernels && library->handle;
    for (uint32_t i = 0; complete && i < image->info.entries; i++) {
        divvy_drv_kernel_t *kernel = library->kernels + i;
        kernel->library = library;
        kernel->index = i;
        kernel->entry = divvy_ptx_entry_get(image->ptx, i);
        kernel->handle = divvy_drv_handle_new(DRV_HANDLE_KERNEL, kernel);
        complete = kernel->handle != NULL;
    }
    if (!complete) {
        library_free(library);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *ret_library = library;
    return CUDA_SUCCESS;
}

static CUresult module_in(divvy_drv_library_t *library, divvy_drv_context_t *context,
                          divvy_drv_module_t **ret_module) {
    CUresult result = CUDA_SUCCESS;
    pthread_mutex_lock(&library->lock);
    instance_t *instance = library->instances;
    while (instance && instance->context != context)
        instance = instance->next;
    if (!instance) {
        instance = calloc(1, sizeof(*instance));
        result = instance
                     ? divvy_drv_module_new(context, library->image, library, &instance->module)
                     : CUDA_ERROR_OUT_OF_MEMORY;
        if (result == CUDA_SUCCESS) {
            instance->context = context;
            instance->next = library->instances;
            library->instances = instance;
        } else {
            free(instance);
        }
    }
    if (result == CUDA_SUCCESS)
        *ret_module = instance->module;
    pthread_mutex_unlock(&library->lock);
    return result;
}

void divvy_drv_library_forget(divvy_drv_library_t *library, divvy_drv_context_t *context) {
    pthread_mutex_lock(&library->lock);
    for (instance_t **link = &library->instances; *link; link = &(*link)->next)
        if ((*link)->context == context) {
            instance_t *gone = *link;
            *link = gone->next;
            free(gone);
            break;
        }
    pthread_mutex_unlock(&library->lock);
}

CUresult divvy_drv_kernel_function(divvy_drv_kernel_t *kernel, divvy_drv_context_t *context,
                                   divvy_drv_function_t **ret_function) {
    divvy_drv_module_t *module;
    DRV_TRY(module_in(kernel->library, context, &module));
    *ret_function = module->functions + kernel->index;
    return CUDA_SUCCESS;
}

CUresult divvy_drv_function_find(CUfunction handle, divvy_drv_context_t *context,
                                 divvy_drv_function_t **ret_function) {
    divvy_drv_function_t *function = divvy_drv_handle_get(handle, DRV_HANDLE_FUNCTION);
    if (__builtin_expect(function != NULL, 1)) {
        *ret_function = function;
        return CUDA_SUCCESS;
    }
    divvy_drv_kernel_t *kernel = divvy_drv_handle_get(handle, DRV_HANDLE_KERNEL);
    if (!kernel)
        return CUDA_ERROR_INVALID_HANDLE;
    if (!context)
        DRV_TRY(divvy_drv_context_current(&context));
    return divvy_drv_kernel_function(kernel, context, ret_function);
}

/* ---- the calls ------------------------------------------------------------------------------- */

CUresult DRV(cuLibraryLoadData)(CUlibrary *library, const void *code, CUjit_option *jitOptions,
                                void **jitOptionsValues, unsigned int numJitOptions,
                                CUlibraryOption *libraryOptions, void **libraryOptionValues,
                                unsigned int numLibraryOptions) {
    divvy_drv_image_t *image;
    divvy_drv_library_t *made;
    if (!library || !code || (numLibraryOptions && !libraryOptions))
        return CUDA_ERROR_INVALID_VALUE;
    (void)libraryOptionValues; /* they describe host tables that only machine code refers to */
    for (unsigned i = 0; i < numLibraryOptions; i++)
        if (libraryOptions[i] >= CU_LIBRARY_NUM_OPTIONS)
            return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_image_load(code, numJitOptions, jitOptions, jitOptionsValues, &image));
    DRV_TRY(library_new(image, &made));
    *library = made->handle;
    return CUDA_SUCCESS;
}

CUresult DRV(cuLibraryLoadFromFile)(CUlibrary *library, const char *fileName,
                                    CUjit_option *jitOptions, void **jitOptionsValues,
                                    unsigned int numJitOptions, CUlibraryOption *libraryOptions,
                                    void **libraryOptionValues, unsigned int numLibraryOptions) {
    char *text;
    if (!library || !fileName)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_file_read(fileName, &text));
    CUresult result =
        DRV(cuLibraryLoadData)(library, text, jitOptions, jitOptionsValues, numJitOptions,
                               libraryOptions, libraryOptionValues, numLibraryOptions);
    free(text);
    return result;
}

static CUresult find(CUlibrary handle, divvy_drv_library_t **ret_library) {
    divvy_drv_library_t *library = divvy_drv_handle_get(handle, DRV_HANDLE_LIBRARY);
    if (!library)
        return CUDA_ERROR_INVALID_HANDLE;
    *ret_library = library;
    return CUDA_SUCCESS;
}

CUresult DRV(cuLibraryUnload)(CUlibrary library) {
    divvy_drv_library_t *found;
    DRV_TRY(find(library, &found));
    library_free(found);
    return CUDA_SUCCESS;
}

CUresult DRV(cuLibraryGetKernel)(CUkernel *pKernel, CUlibrary library, const char *name) {
    divvy_drv_library_t *found;
    if (!pKernel || !name)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(find(library, &found));
    int index = divvy_ptx_entry_find(found->image->ptx, name);
    if (index < 0)
        return CUDA_ERROR_NOT_FOUND;
    *pKernel = found->kernels[index].handle;
    return CUDA_SUCCESS;
}

CUresult DRV(cuLibraryGetKernelCount)(unsigned int *count, CUlibrary lib) {
    divvy_drv_library_t *found;
    if (!count)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(find(lib, &found));
    *count = found->image->info.entries;
    return CUDA_SUCCESS;
}

CUresult DRV(cuLibraryEnumerateKernels)(CUkernel *kernels, unsigned int numKernels, CUlibrary lib) {
    divvy_drv_library_t *found;
    if (!kernels && numKernels)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(find(lib, &found));
    for (unsigned i = 0; i < numKernels && i < found->image->info.entries; i++)
        kernels[i] = found->kernels[i].handle;
    return CUDA_SUCCESS;
}

CUresult DRV(cuLibraryGetModule)(CUmodule *pMod, CUlibrary library) {
    divvy_drv_library_t *found;
    divvy_drv_context_t *context;
    divvy_drv_module_t *module;
    if (!pMod)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(find(library, &found));
    DRV_TRY(divvy_drv_context_current(&context));
    DRV_TRY(module_in(found, context, &module));
    *pMod = module->handle;
    return CUDA_SUCCESS;
}

static CUresult global(CUdeviceptr *dptr, size_t *bytes, CUlibrary library, const char *name,
                       bool managed) {
    divvy_drv_library_t *found;
    divvy_drv_context_t *context;
    divvy_drv_module_t *module;
    if (!name || (!dptr && !bytes))
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(find(library, &found));
    int index = divvy_ptx_variable_find(found->image->ptx, name);
    if (index < 0)
        return CUDA_ERROR_NOT_FOUND;
    const divvy_ptx_variable_t *variable =
        divvy_ptx_variable_get(found->image->ptx, (uint32_t)index);
    if (managed && !variable->managed)
        return CUDA_ERROR_NOT_FOUND;
    DRV_TRY(divvy_drv_context_current(&context));
    DRV_TRY(module_in(found, context, &module));
    if (dptr)
        *dptr = module->variables[index];
    if (bytes)
        *bytes = variable->size_bytes;
    return CUDA_SUCCESS;
}

CUresult DRV(cuLibraryGetGlobal)(CUdeviceptr *dptr, size_t *bytes, CUlibrary library,
                                 const char *name) {
    return global(dptr, bytes, library, name, false);
}

CUresult DRV(cuLibraryGetManaged)(CUdeviceptr *dptr, size_t *bytes, CUlibrary library,
                                  const char *name) {
    return global(dptr, bytes, library, name, true);
}

CUresult DRV(cuLibraryGetUnifiedFunction)(void **fptr, CUlibrary library, const char *symbol) {
    divvy_drv_library_t *found;
    if (!fptr || !symbol)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(find(library, &found));
    return CUDA_ERROR_NOT_FOUND; /* PTX has no functions for host and device alike */
}

/* ---- kernels --------------------------------------------------------------------------------- */

static CUresult find_kernel(CUkernel handle, divvy_drv_kernel_t **ret_kernel) {
    divvy_drv_kernel_t *kernel = divvy_drv_handle_get(handle, DRV_HANDLE_KERNEL);
    if (!kernel)
        return CUDA_ERROR_INVALID_HANDLE;
    *ret_kernel = kernel;
    return CUDA_SUCCESS;
}

CUresult DRV(cuKernelGetFunction)(CUfunction *pFunc, CUkernel kernel) {
    divvy_drv_kernel_t *found;
    divvy_drv_context_t *context;
    divvy_drv_function_t *function;
    if (!pFunc)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(find_kernel(kernel, &found));
    DRV_TRY(divvy_drv_context_current(&context));
    DRV_TRY(divvy_drv_kernel_function(found, context, &function));
    *pFunc = function->handle;
    return CUDA_SUCCESS;
}

CUresult DRV(cuKernelGetLibrary)(CUlibrary *pLib, CUkernel kernel) {
    divvy_drv_kernel_t *found;
    if (!pLib)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(find_kernel(kernel, &found));
    *pLib = found->library->handle;
    return CUDA_SUCCESS;
}

CUresult DRV(cuKernelGetName)(const char **name, CUkernel hfunc) {
    divvy_drv_kernel_t *found;
    if (!name)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(find_kernel(hfunc, &found));
    *name = found->entry->name;
    return CUDA_SUCCESS;
}

CUresult DRV(cuKernelGetParamInfo)(CUkernel kernel, size_t paramIndex, size_t *paramOffset,
                                   size_t *paramSize) {
    divvy_drv_kernel_t *found;
    divvy_ptx_param_t param;
    if (!paramOffset)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(find_kernel(kernel, &found));
    if (paramIndex >= found->entry->params ||
        divvy_ptx_entry_param(found->library->image->ptx, found->index, (uint32_t)paramIndex,
                              &param))
        return CUDA_ERROR_INVALID_VALUE;
    *paramOffset = param.offset_bytes;
    if (paramSize)
        *paramSize = param.size_bytes;
    return CUDA_SUCCESS;
}

/* Attributes are those of the function in the primary context of the device, or in the current
 * one if it is there. */
static CUresult function_on(CUkernel kernel, CUdevice dev, divvy_drv_function_t **ret_function) {
    divvy_drv_kernel_t *found;
    divvy_drv_device_t *device;
    divvy_drv_context_t *context;
    DRV_TRY(find_kernel(kernel, &found));
    DRV_TRY(divvy_drv_device_find(dev, &device));
    if (divvy_drv_context_bound(&context) != CUDA_SUCCESS || context->ordinal != dev)
        context = divvy_drv_context_of_device(device->engine);
    return context ? divvy_drv_kernel_function(found, context, ret_function)
                   : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult DRV(cuKernelGetAttribute)(int *pi, CUfunction_attribute attrib, CUkernel kernel,
                                   CUdevice dev) {
    divvy_drv_function_t *function;
    DRV_TRY(function_on(kernel, dev, &function));
    return DRV(cuFuncGetAttribute)(pi, attrib, function->handle);
}

CUresult DRV(cuKernelSetAttribute)(CUfunction_attribute attrib, int val, CUkernel kernel,
                                   CUdevice dev) {
    divvy_drv_function_t *function;
    DRV_TRY(function_on(kernel, dev, &function));
    return DRV(cuFuncSetAttribute)(function->handle, attrib, val);
}

CUresult DRV(cuKernelSetCacheConfig)(CUkernel kernel, CUfunc_cache config, CUdevice dev) {
    divvy_drv_function_t *function;
    DRV_TRY(function_on(kernel, dev, &function));
    return DRV(cuFuncSetCacheConfig)(function->handle, config);
}
