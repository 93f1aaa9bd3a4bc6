/*
 * The linker. Only PTX can be linked here, and only one text at a time: what comes out is the text
 * itself, which cuModuleLoadData takes.
 */
#include "simgpu/driver/file.h"
#include "simgpu/driver/handle.h"
#include "simgpu/driver/module.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    CUlinkState handle;
    unsigned option_count; /* of cuLinkCreate: the logs of every step go there */
    CUjit_option *options;
    void **values; /* the program's array, where sizes are told */
    char *text;
    size_t length;
    bool complete;
} linker_t;

static CUresult find(CUlinkState handle, linker_t **ret_link) {
    linker_t *link = divvy_drv_handle_get(handle, DRV_HANDLE_LINK);
    if (!link)
        return CUDA_ERROR_INVALID_HANDLE;
    *ret_link = link;
    return CUDA_SUCCESS;
}

CUresult DRV(cuLinkCreate_v2)(unsigned int numOptions, CUjit_option *options, void **optionValues,
                              CUlinkState *stateOut) {
    divvy_drv_context_t *context;
    if (!stateOut || (numOptions && (!options || !optionValues)) || numOptions > CU_JIT_NUM_OPTIONS)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_context_current(&context));
    linker_t *link = calloc(1, sizeof(*link));
    if (!link)
        return CUDA_ERROR_OUT_OF_MEMORY;
    link->options = calloc(numOptions + 1, sizeof(*link->options));
    link->handle = divvy_drv_handle_new(DRV_HANDLE_LINK, link);
    if (!link->options || !link->handle) {
        divvy_drv_handle_end(link->handle, DRV_HANDLE_LINK);
        free(link->options);
        free(link);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    if (numOptions)
        memcpy(link->options, options, numOptions * sizeof(*options));
    link->option_count = numOptions;
    link->values = optionValues;
    *stateOut = link->handle;
    return CUDA_SUCCESS;
}

CUresult DRV(cuLinkCreate)(unsigned int numOptions, CUjit_option *options, void **optionValues,
                           CUlinkState *stateOut) {
    return DRV(cuLinkCreate_v2)(numOptions, options, optionValues, stateOut);
}

/* The text is parsed here, so that its errors are told where the program expects them. */
static CUresult add(linker_t *link, const void *data, size_t size) {
    divvy_drv_image_t *image;
    if (link->complete || link->text)
        return link->complete ? CUDA_ERROR_INVALID_HANDLE : CUDA_ERROR_NOT_SUPPORTED;
    if (size > DIVVY_PTX_TEXT_MAX_BYTES)
        return CUDA_ERROR_INVALID_PTX;
    char *text = malloc(size + 4);
    if (!text)
        return CUDA_ERROR_OUT_OF_MEMORY;
    memcpy(text, data, size);
    memset(text + size, 0, 4);
    CUresult result =
        divvy_drv_image_load(text, link->option_count, link->options, link->values, &image);
    if (result != CUDA_SUCCESS) {
        free(text);
        return result;
    }
    divvy_drv_image_unref(image);
    link->text = text;
    link->length = strnlen(text, size) + 1;
    return CUDA_SUCCESS;
}

CUresult DRV(cuLinkAddData_v2)(CUlinkState state, CUjitInputType type, void *data, size_t size,
                               const char *name, unsigned int numOptions, CUjit_option *options,
                               void **optionValues) {
    linker_t *link;
    (void)name;
    if (!data || !size || (unsigned)type >= CU_JIT_NUM_INPUT_TYPES ||
        (numOptions && (!options || !optionValues)))
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(find(state, &link));
    return type == CU_JIT_INPUT_PTX ? add(link, data, size) : CUDA_ERROR_NO_BINARY_FOR_GPU;
}

CUresult DRV(cuLinkAddData)(CUlinkState state, CUjitInputType type, void *data, size_t size,
                            const char *name, unsigned int numOptions, CUjit_option *options,
                            void **optionValues) {
    return DRV(cuLinkAddData_v2)(state, type, data, size, name, numOptions, options, optionValues);
}

CUresult DRV(cuLinkAddFile_v2)(CUlinkState state, CUjitInputType type, const char *path,
                               unsigned int numOptions, CUjit_option *options,
                               void **optionValues) {
    linker_t *link;
    char *text;
    if (!path || (unsigned)type >= CU_JIT_NUM_INPUT_TYPES ||
        (numOptions && (!options || !optionValues)))
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(find(state, &link));
    DRV_TRY(divvy_drv_file_read(path, &text));
    CUresult result =
        type == CU_JIT_INPUT_PTX ? add(link, text, strlen(text)) : CUDA_ERROR_NO_BINARY_FOR_GPU;
    free(text);
    return result;
}

CUresult DRV(cuLinkAddFile)(CUlinkState state, CUjitInputType type, const char *path,
                            unsigned int numOptions, CUjit_option *options, void **optionValues) {
    return DRV(cuLinkAddFile_v2)(state, type, path, numOptions, options, optionValues);
}

CUresult DRV(cuLinkComplete)(CUlinkState state, void **cubinOut, size_t *sizeOut) {
    linker_t *link;
    if (!cubinOut)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(find(state, &link));
    if (!link->text)
        return CUDA_ERROR_INVALID_VALUE; /* nothing was added */
    link->complete = true;
    *cubinOut = link->text;
    if (sizeOut)
        *sizeOut = link->length;
    return CUDA_SUCCESS;
}

CUresult DRV(cuLinkDestroy)(CUlinkState state) {
    linker_t *link;
    DRV_TRY(find(state, &link));
    divvy_drv_handle_end(state, DRV_HANDLE_LINK);
    free(link->options);
    free(link->text);
    free(link);
    return CUDA_SUCCESS;
}
