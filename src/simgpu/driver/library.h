/* Libraries: code that belongs to no context until a kernel of it is used in one. */
#ifndef DIVVY_SIMGPU_DRIVER_LIBRARY_H
#define DIVVY_SIMGPU_DRIVER_LIBRARY_H

#include "simgpu/driver/module.h"

typedef struct divvy_drv_kernel divvy_drv_kernel_t;

/* The function that KERNEL is in CONTEXT; the library's module there is made when first needed. */
CUresult divvy_drv_kernel_function(divvy_drv_kernel_t *kernel, divvy_drv_context_t *context,
                                   divvy_drv_function_t **ret_function);
/* CONTEXT goes: the library has no module there any more. */
void divvy_drv_library_forget(divvy_drv_library_t *library, divvy_drv_context_t *context);

#endif
