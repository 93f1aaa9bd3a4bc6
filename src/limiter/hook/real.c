/*
 * Finding the real driver. Every pointer of divvy_real starts at a stub of its own, which looks
 * libcuda up and goes on to the function with all arguments as they came; so hooks never ask
 * whether the driver is there. Looking up takes no lock: threads that come at the same time write
 * the same values.
 */
#include "limiter/hook/real.h"
#include "core/log.h"
#include "limiter/hook/elf.h"
#include "limiter/hook/loader.h"
#include "limiter/hook/route.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static uint32_t resolved; /* 1: divvy_real leads to a driver */

__attribute__((used)) void *divvy_real_find(uint32_t offset);

CUresult divvy_real_missing(void) {
    return CUDA_ERROR_NOT_SUPPORTED;
}

static CUresult driver_absent(void) {
    return CUDA_ERROR_NOT_INITIALIZED;
}

/*
 * Common part of the stubs; r11d holds the offset of the pointer in divvy_real. Keeps every
 * register that can carry an argument (all of xmm0-7 because some functions take floats).
 */
__asm__(".text\n"
        ".type divvy_real_stub, @function\n"
        "divvy_real_stub:\n"
        "    push %rbp\n    mov %rsp, %rbp\n"
        "    push %rdi\n    push %rsi\n    push %rdx\n    push %rcx\n    push %r8\n    push %r9\n"
        "    sub $128, %rsp\n"
        "    movups %xmm0, (%rsp)\n    movups %xmm1, 16(%rsp)\n    movups %xmm2, 32(%rsp)\n"
        "    movups %xmm3, 48(%rsp)\n    movups %xmm4, 64(%rsp)\n    movups %xmm5, 80(%rsp)\n"
        "    movups %xmm6, 96(%rsp)\n    movups %xmm7, 112(%rsp)\n"
        "    mov %r11d, %edi\n"
        "    call divvy_real_find\n"
        "    mov %rax, %r11\n"
        "    movups (%rsp), %xmm0\n    movups 16(%rsp), %xmm1\n    movups 32(%rsp), %xmm2\n"
        "    movups 48(%rsp), %xmm3\n    movups 64(%rsp), %xmm4\n    movups 80(%rsp), %xmm5\n"
        "    movups 96(%rsp), %xmm6\n    movups 112(%rsp), %xmm7\n"
        "    add $128, %rsp\n"
        "    pop %r9\n    pop %r8\n    pop %rcx\n    pop %rdx\n    pop %rsi\n    pop %rdi\n"
        "    pop %rbp\n"
        "    jmp *%r11\n"
        ".size divvy_real_stub, . - divvy_real_stub\n");

#define STUB(symbol, api, since, form, kind, parameters, arguments)                                \
    static __attribute__((naked)) void stub_##symbol(void) {                                       \
        __asm__(                                                                                   \
            "movl %0, %%r11d\n\tjmp divvy_real_stub" ::"i"(offsetof(struct divvy_real, symbol)));  \
    }
DIVVY_CUDA_DRIVER_TABLE(STUB)

struct divvy_real divvy_real = {
#define START(symbol, api, since, form, kind, parameters, arguments)                               \
    .symbol = (__typeof__(&symbol))(void *)stub_##symbol,
    DIVVY_CUDA_DRIVER_TABLE(START)
#undef START
};

static const char *const names[] = {
#define NAME(symbol, api, since, form, kind, parameters, arguments) #symbol,
    DIVVY_CUDA_DRIVER_TABLE(NAME)
#undef NAME
};

static void **slot_at(size_t offset) {
    return (void **)(void *)((char *)&divvy_real + offset);
}

/* The driver that is loaded, else the one that can be: where the environment says, then where the
 * loader looks. */
static bool driver_object(struct divvy_elf *ret_object) {
    const char *configured = getenv("TF_CUDA_LIB_PATH");

    if (configured && *configured && divvy_loader_open(configured, ret_object))
        return true;
    return divvy_elf_named("libcuda.so", ret_object) ||
           divvy_loader_open("libcuda.so.1", ret_object) ||
           divvy_loader_open("libcuda.so", ret_object);
}

/* A symbol of an object that is not this library: a driver that found ours first would call itself
 * for ever. */
static void fill(const struct divvy_elf *driver) {
    size_t missing = 0;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        void *function = divvy_elf_symbol(driver, names[i]);

        missing += function == NULL;
        __atomic_store_n(slot_at(i * sizeof(void *)),
                         function ? function : (void *)divvy_real_missing, __ATOMIC_RELAXED);
    }
    divvy_core_log_debug("driver %s: %zu functions, %zu not there", driver->path,
                         sizeof names / sizeof names[0] - missing, missing);
}

bool divvy_real_resolve(void) {
    struct divvy_elf driver;

    if (__builtin_expect(__atomic_load_n(&resolved, __ATOMIC_ACQUIRE) == 1, 1))
        return true;
    if (!driver_object(&driver))
        return false;
    /* Kept for good: the pointers must stay true when the program closes its own handle. */
    (void)divvy_loader_pin(&driver);
    fill(&driver);
    divvy_route_learn_driver(&driver);
    __atomic_store_n(&resolved, 1, __ATOMIC_RELEASE);
    return true;
}

void *divvy_real_find(uint32_t offset) {
    if (!divvy_real_resolve())
        return (void *)driver_absent;
    return __atomic_load_n(slot_at(offset), __ATOMIC_RELAXED);
}
