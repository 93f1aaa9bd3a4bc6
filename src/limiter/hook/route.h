/*
 * From a function of the real driver (or of NVML) to the limiter's hook of that exact form. The
 * pointer decides, never the name: only the driver knows which version and stream form a request
 * meant.
 */
#ifndef DIVVY_LIMITER_HOOK_ROUTE_H
#define DIVVY_LIMITER_HOOK_ROUTE_H

#include "limiter/hook/elf.h"

#include <stdbool.h>
#include <stddef.h>

/* One hooked function. */
struct divvy_route_row {
    const char *symbol;
    void *hook;
    bool is_nvml;
};

/* All rows; for tests and documentation. */
const struct divvy_route_row *divvy_route_rows(size_t *ret_count);

/* Enter the functions of a loaded libcuda or libnvidia-ml. Any number of times, from any thread. */
void divvy_route_learn_driver(const struct divvy_elf *driver);
void divvy_route_learn_nvml(const struct divvy_elf *nvml);

/* Enter one more address of the function `symbol` (as cuGetProcAddress gave it). */
void divvy_route_learn_address(const void *address, const char *symbol);

/* The hook for a pointer that the driver gave out, or the pointer itself when it is none of ours.
 */
void *divvy_route_pointer(void *function);

/* The hook of this name, or NULL. */
void *divvy_route_named(const char *symbol);

/*
 * What dlsym(handle, name) or dlvsym answers for a name that begins like the driver's: the hook, or
 * NULL: let the loader answer, with *ret_handle in the place of `handle`.
 */
void *divvy_route_lookup(void *handle, const char *name, const char *version, void **ret_handle);

/* Whether each hook family is on (DISABLE_GPU_LIMITER, ENABLE_CUDA_HOOKS, ENABLE_NVML_HOOKS). Read
 * once. */
bool divvy_route_cuda_enabled(void);
bool divvy_route_nvml_enabled(void);

#endif
