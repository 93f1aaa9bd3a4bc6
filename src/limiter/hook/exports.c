/*
 * The exported names: each jumps to its hook. They are written in assembly because a definition in
 * C would need every parameter list again; a jump passes on whatever came. This file is linked into
 * the library itself, not into an archive, so that the names survive.
 */
#include "limiter/hook/table.h"

#define EXPORT(symbol)                                                                             \
    __asm__(".text\n.globl " #symbol "\n.type " #symbol ", @function\n.p2align 4\n" #symbol ":\n"  \
            "    jmp divvy_hook_" #symbol "\n.size " #symbol ", . - " #symbol "\n");
#define EXPORT_ROW(symbol, what)               EXPORT(symbol)
#define EXPORT_COMPUTE_ROW(symbol, room, what) EXPORT(symbol)

DIVVY_BASE_HOOKS(EXPORT_ROW)
DIVVY_MEMORY_HOOKS(EXPORT_ROW)
DIVVY_VIEW_HOOKS(EXPORT_ROW)
DIVVY_NVML_HOOKS(EXPORT_ROW)
DIVVY_COMPUTE_HOOKS(EXPORT_COMPUTE_ROW)
