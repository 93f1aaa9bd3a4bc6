/*
 * A library whose constructor looks symbols up and allocates, before anything else has run, as
 * allocators and tracers do.
 */
#include <dlfcn.h>
#include <stdlib.h>

static void *(*next_malloc)(size_t);
int early_works(void);

__attribute__((constructor)) static void begin(void) {
    next_malloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
    (void)dlsym(RTLD_DEFAULT, "cuInit");
    (void)dlsym(RTLD_DEFAULT, "nvmlInit_v2");
}

int early_works(void) {
    void *memory = next_malloc ? next_malloc(10) : NULL;

    free(memory);
    return memory != NULL;
}
