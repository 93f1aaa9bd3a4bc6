/*
 * A preload that takes dlsym for itself, as overlays and profilers do: it finds the next one by
 * dlvsym and counts.
 */
#include <dlfcn.h>
#include <stddef.h>

int hook_dlsym_calls(void);

static int calls;

int hook_dlsym_calls(void) {
    return calls;
}

void *dlsym(void *restrict handle, const char *restrict name) {
    static void *(*next)(void *, const char *);

    if (!next)
        next = (void *(*)(void *, const char *))dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.2.5");
    calls++;
    return next ? next(handle, name) : NULL;
}
