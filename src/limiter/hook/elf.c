/*
 * Reading the dynamic sections of loaded objects.
 */
#include "limiter/hook/elf.h"

#include <elf.h>
#include <link.h>
#include <string.h>

struct each {
    divvy_elf_visit_t *visit;
    void *argument;
    bool found;
};

/* glibc has relocated these pointers in place, other loaders have not. */
const void *divvy_elf_pointer(const struct divvy_elf *object, uintptr_t value) {
    return (const void *)(value < object->base ? object->base + value : value);
}

static void read_dynamic(struct divvy_elf *object, const ElfW(Dyn) * dynamic) {
    ElfW(Addr) soname = 0;
    bool has_soname = false;

    for (; dynamic->d_tag != DT_NULL; dynamic++) {
        const void *pointer = divvy_elf_pointer(object, dynamic->d_un.d_ptr);

        switch (dynamic->d_tag) {
        case DT_SYMTAB:
            object->symbols = pointer;
            break;
        case DT_STRTAB:
            object->strings = pointer;
            break;
        case DT_GNU_HASH:
            object->gnu_hash = pointer;
            break;
        case DT_HASH:
            object->sysv_hash = pointer;
            break;
        case DT_SONAME:
            soname = dynamic->d_un.d_val;
            has_soname = true;
            break;
        default:
            break;
        }
    }
    if (has_soname && object->strings)
        object->soname = object->strings + soname;
    if (!object->strings || (!object->gnu_hash && !object->sysv_hash))
        object->symbols = NULL;
}

static int each_object(struct dl_phdr_info *info, size_t size, void *argument) {
    struct each *each = argument;
    struct divvy_elf object = {.base = info->dlpi_addr,
                               .path = info->dlpi_name ? info->dlpi_name : ""};
    const ElfW(Dyn) *dynamic = NULL;

    (void)size;
    object.start = UINTPTR_MAX;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        uintptr_t start = object.base + header->p_vaddr;

        if (header->p_type == PT_DYNAMIC)
            dynamic = (const void *)start;
        if (header->p_type == PT_GNU_RELRO) {
            object.relro_start = start;
            object.relro_end = start + header->p_memsz;
        }
        if (header->p_type != PT_LOAD)
            continue;
        if (start < object.start)
            object.start = start;
        if (start + header->p_memsz > object.end)
            object.end = start + header->p_memsz;
    }
    /* The kernel's own page of code is no library; its dynamic section is not relocated by anybody.
     */
    if (!dynamic || strncmp(object.path, "linux-vdso", 10) == 0 ||
        strncmp(object.path, "linux-gate", 10) == 0)
        return 0;
    object.dynamic = dynamic;
    read_dynamic(&object, dynamic);
    each->found = each->visit(&object, each->argument);
    return each->found;
}

bool divvy_elf_each(divvy_elf_visit_t *visit, void *argument) {
    struct each each = {.visit = visit, .argument = argument};

    (void)dl_iterate_phdr(each_object, &each);
    return each.found;
}

/* ---- symbols ---- */

static void *symbol_address(const struct divvy_elf *object, const ElfW(Sym) * symbol) {
    unsigned type = ELF64_ST_TYPE(symbol->st_info);
    void *address = (void *)(object->base + symbol->st_value);

    if (symbol->st_shndx == SHN_UNDEF || symbol->st_value == 0)
        return NULL;
    if (type == STT_GNU_IFUNC)
        return ((void *(*)(void))address)();
    return type == STT_FUNC || type == STT_NOTYPE ? address : NULL;
}

static void *gnu_lookup(const struct divvy_elf *object, const char *name) {
    const uint32_t *table = object->gnu_hash;
    uint32_t bucket_count = table[0], first = table[1], bloom_words = table[2],
             bloom_shift = table[3];
    const ElfW(Addr) *bloom = (const void *)(table + 4);
    const uint32_t *buckets = (const void *)(bloom + bloom_words);
    const uint32_t *chains = buckets + bucket_count;
    const ElfW(Sym) *symbols = object->symbols;
    uint32_t hash = 5381;
    ElfW(Addr) word;

    for (const char *at = name; *at; at++)
        hash = hash * 33 + (unsigned char)*at;
    if (bucket_count == 0 || bloom_words == 0)
        return NULL;
    word = bloom[hash / 64 % bloom_words];
    if ((word >> hash % 64 & word >> (hash >> bloom_shift) % 64 & 1) == 0)
        return NULL;
    for (uint32_t index = buckets[hash % bucket_count]; index >= first; index++) {
        uint32_t chain = chains[index - first];

        if ((chain | 1) == (hash | 1) &&
            strcmp(object->strings + symbols[index].st_name, name) == 0) {
            void *address = symbol_address(object, &symbols[index]);

            if (address)
                return address;
        }
        if (chain & 1)
            break;
    }
    return NULL;
}

static void *sysv_lookup(const struct divvy_elf *object, const char *name) {
    const uint32_t *table = object->sysv_hash;
    uint32_t bucket_count = table[0];
    const uint32_t *buckets = table + 2;
    const uint32_t *chains = buckets + bucket_count;
    const ElfW(Sym) *symbols = object->symbols;
    uint32_t hash = 0;

    for (const char *at = name; *at; at++) {
        hash = (hash << 4) + (unsigned char)*at;
        hash ^= hash >> 24 & 0xf0;
    }
    hash &= 0x0fffffff;
    if (bucket_count == 0)
        return NULL;
    for (uint32_t index = buckets[hash % bucket_count]; index != STN_UNDEF; index = chains[index]) {
        if (strcmp(object->strings + symbols[index].st_name, name) == 0) {
            void *address = symbol_address(object, &symbols[index]);

            if (address)
                return address;
        }
    }
    return NULL;
}

void *divvy_elf_symbol(const struct divvy_elf *object, const char *name) {
    if (!object->symbols)
        return NULL;
    return object->gnu_hash ? gnu_lookup(object, name) : sysv_lookup(object, name);
}

/* ---- finding objects ---- */

struct search {
    uintptr_t address;
    const char *name;
    bool past_self;
    struct divvy_elf object;
    void *symbol;
};

static bool visit_containing(const struct divvy_elf *object, void *argument) {
    struct search *search = argument;

    if (search->address < object->start || search->address >= object->end)
        return false;
    search->object = *object;
    return true;
}

bool divvy_elf_containing(const void *address, struct divvy_elf *ret_object) {
    struct search search = {.address = (uintptr_t)address};

    if (!divvy_elf_each(visit_containing, &search))
        return false;
    *ret_object = search.object;
    return true;
}

static bool name_matches(const char *name, const char *stem) {
    size_t length = strlen(stem);

    return name && strncmp(name, stem, length) == 0 &&
           (name[length] == '\0' || name[length] == '.');
}

bool divvy_elf_is_named(const struct divvy_elf *object, const char *stem) {
    const char *slash = strrchr(object->path, '/');

    return name_matches(object->soname, stem) ||
           name_matches(slash ? slash + 1 : object->path, stem);
}

static bool visit_named(const struct divvy_elf *object, void *argument) {
    struct search *search = argument;

    if (!divvy_elf_is_named(object, search->name))
        return false;
    search->object = *object;
    return true;
}

bool divvy_elf_named(const char *stem, struct divvy_elf *ret_object) {
    struct search search = {.name = stem};

    if (!divvy_elf_each(visit_named, &search))
        return false;
    *ret_object = search.object;
    return true;
}

static bool visit_next(const struct divvy_elf *object, void *argument) {
    struct search *search = argument;

    if (!search->past_self) {
        search->past_self = search->address >= object->start && search->address < object->end;
        return false;
    }
    search->symbol = divvy_elf_symbol(object, search->name);
    return search->symbol != NULL;
}

void *divvy_elf_next(const void *self, const char *name) {
    struct search search = {.address = (uintptr_t)self, .name = name, .past_self = self == NULL};

    return divvy_elf_each(visit_next, &search) ? search.symbol : NULL;
}
