/*
 * Every way to get at a function of the driver leads to the hook of that exact form, and everything
 * that is not hooked is the driver's own pointer. What the driver itself would answer is read from
 * its symbol table, past all hooks.
 *
 * Run under the limiter. `routes linked` is built against libcuda; the others load it.
 */
#include "cu.h"

#include "limiter/hook/elf.h"

#include <link.h>
#include <stdbool.h>

static struct divvy_elf driver, limiter;

struct row {
    const char *symbol;
    const char *api;
    int since;
    cuuint64_t flags;
};

#define ASK_PLAIN CU_GET_PROC_ADDRESS_LEGACY_STREAM
#define ASK_PTSZ  CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM
#define ASK_PTDS  CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM

static const struct row rows[] = {
#define ROW(symbol, api, since, form, kind, parameters, arguments)                                 \
    {#symbol, #api, since, ASK_##form},
    DIVVY_CUDA_DRIVER_TABLE(ROW)
#undef ROW
};
#define ROWS (sizeof rows / sizeof rows[0])

static bool is_in(const struct divvy_elf *object, const void *address) {
    return (uintptr_t)address >= object->start && (uintptr_t)address < object->end;
}

static bool visit_limiter(const struct divvy_elf *object, void *argument) {
    if (!strstr(object->path, "libcuda_limiter.so"))
        return false;
    *(struct divvy_elf *)argument = *object;
    return true;
}

/* What a program must get for a pointer that the driver gave out: the hook for it, or the pointer.
 */
static void *expected(void *raw, void *handle) {
    for (size_t i = 0; raw && i < ROWS; i++)
        if (divvy_elf_symbol(&driver, rows[i].symbol) == raw)
            return dlsym(handle, rows[i].symbol);
    return raw;
}

static unsigned test_lookups(void *handle) {
    unsigned hooked = 0;

    for (size_t i = 0; i < ROWS; i++) {
        void *raw = divvy_elf_symbol(&driver, rows[i].symbol);
        void *by_handle = dlsym(handle, rows[i].symbol);
        void *own = divvy_elf_symbol(&limiter, rows[i].symbol);

        if (!raw) {
            CHECK(!by_handle);
            continue;
        }
        if (!own) {
            CHECK(by_handle == raw);
            continue;
        }
        hooked++;
        if (!is_in(&limiter, by_handle)) {
            fprintf(stderr, "dlsym(handle, %s) is not a hook\n", rows[i].symbol);
            exit(1);
        }
        CHECK(dlsym(handle, rows[i].symbol) == by_handle);
        CHECK(dlsym(RTLD_DEFAULT, rows[i].symbol) == by_handle);
        CHECK(dlsym(RTLD_NEXT, rows[i].symbol) == by_handle);
        CHECK(dlvsym(handle, rows[i].symbol, "GLIBC_2.2.5") == NULL ||
              dlvsym(handle, rows[i].symbol, "GLIBC_2.2.5") == by_handle);
    }
    return hooked;
}

/* Every name at every version where some ABI changed, with every flag, by both ABIs of the call. */
static unsigned test_proc_address(void *handle) {
    static const int versions[] = {2000,  3020,  4000,  5050,  7000,  8000, 10000,
                                   11000, 11030, 11040, 12000, 12080, 13000};
    __typeof__(&cuGetProcAddress) raw_1 =
        (__typeof__(&cuGetProcAddress))divvy_elf_symbol(&driver, "cuGetProcAddress");
    __typeof__(&cuGetProcAddress_v2) raw_2 =
        (__typeof__(&cuGetProcAddress_v2))divvy_elf_symbol(&driver, "cuGetProcAddress_v2");
    __typeof__(&cuGetProcAddress) hook_1 =
        (__typeof__(&cuGetProcAddress))dlsym(handle, "cuGetProcAddress");
    __typeof__(&cuGetProcAddress_v2) hook_2 =
        (__typeof__(&cuGetProcAddress_v2))dlsym(handle, "cuGetProcAddress_v2");
    unsigned hooked = 0;

    CHECK(raw_1 && raw_2 && hook_1 != raw_1 && hook_2 != raw_2);
    for (size_t i = 0; i < ROWS; i++) {
        for (size_t v = 0; v < sizeof versions / sizeof versions[0]; v++) {
            for (cuuint64_t flags = 0; flags < 3; flags++) {
                CUdriverProcAddressQueryResult raw_status = 9, status = 9;
                void *raw = NULL, *answer = NULL;

                CHECK(raw_1(rows[i].api, &raw, versions[v], flags) ==
                      hook_1(rows[i].api, &answer, versions[v], flags));
                CHECK(answer == expected(raw, handle));
                CHECK(raw_2(rows[i].api, &raw, versions[v], flags, &raw_status) ==
                      hook_2(rows[i].api, &answer, versions[v], flags, &status));
                CHECK(raw_status == status);
                CHECK(answer == expected(raw, handle));
                hooked += answer && is_in(&limiter, answer);
            }
        }
    }
    /* The exact version and form of each row. */
    for (size_t i = 0; i < ROWS; i++) {
        void *answer = NULL;

        if (hook_1(rows[i].api, &answer, rows[i].since, rows[i].flags) == CUDA_SUCCESS && answer &&
            divvy_elf_symbol(&limiter, rows[i].symbol) && divvy_elf_symbol(&driver, rows[i].symbol))
            CHECK(is_in(&limiter, answer));
    }
    CHECK(hook_1("cuNoSuchFunction", (void *[1]){NULL}, 13000, 0) ==
          raw_1("cuNoSuchFunction", (void *[1]){NULL}, 13000, 0));
    return hooked;
}

/* Callers of the old symbol version, as every binary from before glibc 2.34 is. */
extern void *old_dlsym(void *handle, const char *name);
__asm__(".symver old_dlsym, dlsym@GLIBC_2.2.5");

int main(int argc, char **argv) {
    bool linked = argc > 1 && strcmp(argv[1], "linked") == 0;
    void *handle;

    if (!linked) {
        /* Before the driver is there, its names must not be either. */
        CHECK(dlsym(RTLD_DEFAULT, "cuInit") == NULL);
        CHECK(dlerror() != NULL);
        CHECK(dlsym(RTLD_DEFAULT, "nvmlInit_v2") == NULL);
    }
    handle = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return 77;
    CHECK(divvy_elf_named("libcuda.so", &driver));
    if (!divvy_elf_each(visit_limiter, &limiter)) {
        fprintf(stderr, "not under the limiter\n");
        return 1;
    }
    CHECK(old_dlsym(handle, "cuInit") == dlsym(handle, "cuInit"));
    CHECK(is_in(&limiter, old_dlsym(handle, "cuMemAlloc_v2")));
    CHECK(dlsym(dlopen(NULL, RTLD_NOW), "cuMemAlloc_v2") == dlsym(handle, "cuMemAlloc_v2"));
    CHECK(dlsym(handle, "cudaMalloc") == NULL && dlsym(handle, "cu") == NULL);
    printf("%u hooked functions by name, ", test_lookups(handle));
    printf("%u answers of cuGetProcAddress exchanged\n", test_proc_address(handle));
    return 0;
}
