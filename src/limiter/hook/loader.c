/*
 * The loader's own functions, and what the exported dlsym and dlvsym (lookup.c) ask before they
 * jump to them.
 */
#include "limiter/hook/loader.h"
#include "limiter/hook/bind.h"
#include "limiter/hook/route.h"

#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef void *dlopen_t(const char *, int);
typedef void *dlsym_t(void *, const char *);
typedef void *dlvsym_t(void *, const char *, const char *);

static const char here; /* any address of this library */

/* The next object's functions; NULL until looked up. Read by lookup.c. */
void *divvy_loader_next_dlsym;
void *divvy_loader_next_dlvsym;
void *divvy_loader_next_dlopen;

/* What to do with a lookup: `answer` if not NULL, else go on with `handle`. Returned in rax and
 * rdx. */
struct divvy_loader_decision {
    void *answer;
    void *handle;
};

struct divvy_loader_decision divvy_loader_answer(void *handle, const char *name,
                                                 const char *version, const void *caller);
void divvy_loader_find_next(void);

static void *next_once(void **place, const char *name) {
    void *function = __atomic_load_n(place, __ATOMIC_ACQUIRE);

    if (!function) {
        function = divvy_elf_next(&here, name);
        __atomic_store_n(place, function, __ATOMIC_RELEASE);
    }
    return function;
}

void divvy_loader_find_next(void) {
    (void)next_once(&divvy_loader_next_dlsym, "dlsym");
    (void)next_once(&divvy_loader_next_dlvsym, "dlvsym");
    (void)next_once(&divvy_loader_next_dlopen, "dlopen");
}

/*
 * dlvsym(RTLD_NEXT, "dlsym", version) is how preloads that take dlsym themselves find the next one.
 * For a preload before this library that is this library's, but the loader passes over names
 * without a version when it is asked for one.
 */
static void *next_is_own(void *handle, const char *name, const char *version, const void *caller) {
    struct divvy_elf own, there;
    void *next;

    if (handle != RTLD_NEXT || !version ||
        (strcmp(name, "dlsym") != 0 && strcmp(name, "dlvsym") != 0))
        return NULL;
    next = divvy_elf_next(caller, name);
    return next && divvy_elf_containing(next, &there) && divvy_elf_containing(&here, &own) &&
                   there.base == own.base
               ? next
               : NULL;
}

struct divvy_loader_decision divvy_loader_answer(void *handle, const char *name,
                                                 const char *version, const void *caller) {
    struct divvy_loader_decision decision = {.handle = handle};

    /* The few tests that every lookup of every program pays. */
    if (!name)
        return decision;
    if (name[0] == 'd' && name[1] == 'l')
        decision.answer = next_is_own(handle, name, version, caller);
    else if ((name[0] == 'c' && name[1] == 'u') || (name[0] == 'n' && name[1] == 'v'))
        decision.answer = divvy_route_lookup(handle, name, version, &decision.handle);
    return decision;
}

void *divvy_loader_symbol(void *handle, const char *name) {
    dlsym_t *function = (dlsym_t *)next_once(&divvy_loader_next_dlsym, "dlsym");

    return function ? function(handle, name) : NULL;
}

void *divvy_loader_symbol_version(void *handle, const char *name, const char *version) {
    dlvsym_t *function = (dlvsym_t *)next_once(&divvy_loader_next_dlvsym, "dlvsym");

    return function ? function(handle, name, version) : NULL;
}

static void *open_handle(const char *name, int flags) {
    dlopen_t *function = (dlopen_t *)next_once(&divvy_loader_next_dlopen, "dlopen");

    return function ? function(name, flags) : NULL;
}

void *divvy_loader_open_deep(const char *name, int flags) {
    void *handle =
        divvy_route_cuda_enabled() || divvy_route_nvml_enabled() ? open_handle(name, flags) : NULL;

    if (handle)
        divvy_bind_exchange();
    return handle;
}

void *divvy_loader_libc(void) {
    void *handle = open_handle("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);

    return handle ? handle : RTLD_DEFAULT;
}

struct by_handle {
    const char *probe;
    void *address;
};

bool divvy_loader_open(const char *name, struct divvy_elf *ret_object) {
    void *handle = open_handle(name, RTLD_LAZY | RTLD_LOCAL);
    void *address = NULL;

    if (!handle)
        return false;
    /* Any function of the library tells where it lies. */
    for (const char *const *probe =
             (const char *const[]){"cuInit", "nvmlInit_v2", "nvmlInit", NULL};
         *probe; probe++) {
        address = divvy_loader_symbol(handle, *probe);
        if (address)
            break;
    }
    return address && divvy_elf_containing(address, ret_object);
}

bool divvy_loader_pin(const struct divvy_elf *object) {
    return object->path[0] &&
           open_handle(object->path, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE) != NULL;
}
