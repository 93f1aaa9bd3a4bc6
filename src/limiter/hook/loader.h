/*
 * The loader's own functions (dlopen, dlsym, dlvsym), found without linking to them: they lie in
 * libdl before glibc 2.34 and in libc since, under two versions. Names that this library exports
 * itself lead to the next object's.
 */
#ifndef DIVVY_LIMITER_HOOK_LOADER_H
#define DIVVY_LIMITER_HOOK_LOADER_H

#include "limiter/hook/elf.h"

#include <stdbool.h>

/* Load a library by name or path, as the program itself would; false when it cannot be. Never
 * prints. */
bool divvy_loader_open(const char *name, struct divvy_elf *ret_object);

/* Keep a loaded object loaded. */
bool divvy_loader_pin(const struct divvy_elf *object);

/*
 * What the next object's dlsym answers for this handle (RTLD_DEFAULT and handles; RTLD_NEXT means
 * next to this library). NULL also when there is no dlsym. dlerror is as after dlsym.
 */
void *divvy_loader_symbol(void *handle, const char *name);
void *divvy_loader_symbol_version(void *handle, const char *name, const char *version);

/*
 * dlopen with RTLD_DEEPBIND: such a library binds to the driver past everything that was preloaded,
 * so its bindings are exchanged afterwards. The handle, or NULL: let the loader do it (it could not
 * be opened from here).
 */
void *divvy_loader_open_deep(const char *name, int flags);

/* Handle of the C library, for lookups that shall fail with the loader's own message. */
void *divvy_loader_libc(void);

#endif
