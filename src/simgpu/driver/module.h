/* Modules, libraries and their functions. */
#ifndef DIVVY_SIMGPU_DRIVER_MODULE_H
#define DIVVY_SIMGPU_DRIVER_MODULE_H

#include "simgpu/driver/op.h"
#include "simgpu/ptx/ptx.h"

/* The parsed code, shared by a library, its modules in several contexts, and launches that are
 * under way. */
typedef struct {
    _Atomic unsigned refs;
    divvy_ptx_module_t *ptx;
    divvy_ptx_module_info_t info;
} divvy_drv_image_t;

typedef struct divvy_drv_library divvy_drv_library_t;

struct divvy_drv_function {
    CUfunction handle;
    divvy_drv_module_t *module;
    uint32_t index;
    const divvy_ptx_entry_t *entry;
    divvy_ptx_param_t *params;
    int max_dynamic_shared_bytes; /* CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES */
    int carveout;
    int cluster[3];
    int non_portable_cluster;
    int cluster_policy;
    CUfunc_cache cache_config;
    /* The launch that cuFuncSetBlockShape, cuParamSet* and cuFuncSetSharedSize describe. */
    uint32_t legacy_block[3];
    uint32_t legacy_shared_bytes;
    uint32_t legacy_params_bytes;
    uint8_t *legacy_params; /* as long as the kernel's parameters, made when first needed */
};

struct divvy_drv_module {
    CUmodule handle;
    divvy_drv_context_t *context;
    divvy_drv_library_t *library; /* of which it is the module in this context, or NULL */
    divvy_drv_image_t *image;
    divvy_drv_function_t *functions; /* one per kernel */
    uint64_t *variables;             /* device address of each */
    uint64_t code_bytes;             /* charged */
    divvy_drv_module_t *next;
};

/* A CUfunction, or a CUkernel in its place (then the function in CONTEXT).
 * CUDA_ERROR_INVALID_HANDLE. */
CUresult divvy_drv_function_find(CUfunction handle, divvy_drv_context_t *context,
                                 divvy_drv_function_t **ret_function);
/* All modules of a context that goes. */
void divvy_drv_module_free_all(divvy_drv_context_t *context);

void divvy_drv_image_ref(divvy_drv_image_t *image);
void divvy_drv_image_unref(divvy_drv_image_t *image);

/* Reads CODE (PTX text) with the JIT options of the caller, logs included. */
CUresult divvy_drv_image_load(const void *code, unsigned count, CUjit_option *options,
                              void **values, divvy_drv_image_t **ret_image);
CUresult divvy_drv_module_new(divvy_drv_context_t *context, divvy_drv_image_t *image,
                              divvy_drv_library_t *library, divvy_drv_module_t **ret_module);
void divvy_drv_module_free(divvy_drv_module_t *module);

/* Blocks of THREADS threads with SHARED_BYTES dynamic shared memory that fit one SM; 0 when none
 * does. */
unsigned divvy_drv_occupancy(const divvy_drv_function_t *function, unsigned threads,
                             uint64_t shared_bytes);

/* Checks a launch against the kernel and the device. */
CUresult divvy_drv_kernel_check(const divvy_drv_function_t *function,
                                const divvy_drv_kernel_op_t *op);
/* Gathers the parameters of a launch into BUFFER (entry->params_bytes long). */
CUresult divvy_drv_kernel_pack(const divvy_drv_function_t *function, void **kernel_params,
                               void **extra, void *buffer);

#endif
