/*
 * Objects of this process and their symbols, read from memory. Needs dl_iterate_phdr only: no dlsym
 * (which this library takes the place of, and which has lived in two libraries under two versions),
 * no loader lock held while looking, no allocation.
 */
#ifndef DIVVY_LIMITER_HOOK_ELF_H
#define DIVVY_LIMITER_HOOK_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A loaded object. Valid while it stays loaded. Borrowed strings lie in the object. */
struct divvy_elf {
    uintptr_t base;  /* load bias */
    uintptr_t start; /* lowest and one past the highest address */
    uintptr_t end;
    const char *path;    /* as the loader knows it; "" for the program */
    const char *soname;  /* NULL: none */
    const void *symbols; /* dynamic symbol table; NULL: nothing to look up */
    const char *strings;
    const uint32_t *gnu_hash;
    const uint32_t *sysv_hash;
    const void *dynamic;   /* its dynamic section */
    uintptr_t relro_start; /* made read-only after relocation; 0, 0: nothing is */
    uintptr_t relro_end;
};

/* The pointer in a dynamic entry: loaders differ in whether they add the bias. */
const void *divvy_elf_pointer(const struct divvy_elf *object, uintptr_t value);

/* Called for each object in load order until it returns true. The loader's list is locked: do not
 * load or unload. */
typedef bool divvy_elf_visit_t(const struct divvy_elf *object, void *argument);

/* Whether a visit returned true. */
bool divvy_elf_each(divvy_elf_visit_t *visit, void *argument);

/* Address of the function `name` that the object defines, or NULL. Indirect functions are resolved.
 */
void *divvy_elf_symbol(const struct divvy_elf *object, const char *name);

/* The object that contains this address. */
bool divvy_elf_containing(const void *address, struct divvy_elf *ret_object);

/* Whether the object calls itself `stem` or `stem` and a version ("libcuda.so" matches
 * "libcuda.so.1"). */
bool divvy_elf_is_named(const struct divvy_elf *object, const char *stem);

/* The first such object in load order. */
bool divvy_elf_named(const char *stem, struct divvy_elf *ret_object);

/*
 * The function `name` that the next object after `self` in load order defines, as RTLD_NEXT finds
 * it; `self` NULL: from the first object on.
 */
void *divvy_elf_next(const void *self, const char *name);

#endif
