/*
 * Walks the relocations of loaded objects. A slot that holds a function of the driver gets its
 * hook; one that has not been bound yet (lazy binding) and names a hooked function gets the hook
 * before the loader can find the driver's.
 */
#include "limiter/hook/bind.h"
#include "limiter/hook/elf.h"
#include "limiter/hook/route.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__x86_64__)
#define RELOCATION_JUMP_SLOT R_X86_64_JUMP_SLOT
#define RELOCATION_GLOB_DAT  R_X86_64_GLOB_DAT
#define RELOCATION_ABSOLUTE  R_X86_64_64
#elif defined(__aarch64__)
#define RELOCATION_JUMP_SLOT R_AARCH64_JUMP_SLOT
#define RELOCATION_GLOB_DAT  R_AARCH64_GLOB_DAT
#define RELOCATION_ABSOLUTE  R_AARCH64_ABS64
#endif

static void slot_write(const struct divvy_elf *object, void **slot, void *value) {
    uintptr_t page_bytes = 4096, address = (uintptr_t)slot;
    void *page = (void *)(address - address % page_bytes);
    bool read_only = address >= object->relro_start && address < object->relro_end;
    int saved = errno;

    if (read_only && mprotect(page, page_bytes, PROT_READ | PROT_WRITE) != 0) {
        errno = saved;
        return;
    }
    __atomic_store_n(slot, value, __ATOMIC_RELEASE);
    if (read_only)
        (void)mprotect(page, page_bytes, PROT_READ);
    errno = saved;
}

static void relocations_exchange(const struct divvy_elf *object, const ElfW(Rela) * relocations,
                                 size_t count) {
    const ElfW(Sym) *symbols = object->symbols;

    for (size_t i = 0; i < count; i++) {
        unsigned type = (unsigned)ELF64_R_TYPE(relocations[i].r_info);
        size_t symbol = ELF64_R_SYM(relocations[i].r_info);
        void **slot = (void **)(object->base + relocations[i].r_offset);
        void *bound, *hook;

        if (symbol == 0 || (type != RELOCATION_JUMP_SLOT && type != RELOCATION_GLOB_DAT &&
                            type != RELOCATION_ABSOLUTE))
            continue;
        bound = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
        hook = divvy_route_pointer(bound);
        if (type == RELOCATION_JUMP_SLOT && symbols[symbol].st_shndx == SHN_UNDEF &&
            (uintptr_t)bound >= object->start && (uintptr_t)bound < object->end)
            hook = divvy_route_named(object->strings + symbols[symbol].st_name);
        if (hook && hook != bound)
            slot_write(object, slot, hook);
    }
}

static bool is_vendors(const struct divvy_elf *object) {
    const char *slash = strrchr(object->path, '/');
    const char *name = object->soname ? object->soname : slash ? slash + 1 : object->path;

    return strncmp(name, "libnvidia-", 10) == 0 || divvy_elf_is_named(object, "libcuda.so");
}

static bool visit_exchange(const struct divvy_elf *object, void *argument) {
    const ElfW(Rela) *plt = NULL, *rela = NULL;
    size_t plt_bytes = 0, rela_bytes = 0;

    (void)argument;
    if (!object->symbols || is_vendors(object) || divvy_elf_symbol(object, "set_limit"))
        return false;
    for (const ElfW(Dyn) *entry = object->dynamic; entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == DT_JMPREL)
            plt = divvy_elf_pointer(object, entry->d_un.d_ptr);
        else if (entry->d_tag == DT_PLTRELSZ)
            plt_bytes = entry->d_un.d_val;
        else if (entry->d_tag == DT_RELA)
            rela = divvy_elf_pointer(object, entry->d_un.d_ptr);
        else if (entry->d_tag == DT_RELASZ)
            rela_bytes = entry->d_un.d_val;
    }
    if (plt)
        relocations_exchange(object, plt, plt_bytes / sizeof *plt);
    if (rela)
        relocations_exchange(object, rela, rela_bytes / sizeof *rela);
    return false;
}

void divvy_bind_exchange(void) {
    struct divvy_elf driver, nvml;
    bool any = false;

    if (divvy_route_cuda_enabled() && divvy_elf_named("libcuda.so", &driver)) {
        divvy_route_learn_driver(&driver);
        any = true;
    }
    if (divvy_route_nvml_enabled() && divvy_elf_named("libnvidia-ml.so", &nvml)) {
        divvy_route_learn_nvml(&nvml);
        any = true;
    }
    if (any)
        (void)divvy_elf_each(visit_exchange, NULL);
}
