/*
 * The exported names: each jumps to its hook. They are written in assembly because a definition in
 * C would need every parameter list again; a jump passes on whatever came. This file is linked into
 * the library itself, not into an archive, so that the names survive.
 */
#include "limiter/hook/door.h"
#include "limiter/hook/table.h"

#define EXPORT(symbol, way)                                                                        \
    __asm__(".text\n.globl " #symbol "\n.type " #symbol ", @function\n.p2align 4\n" #symbol ":\n"  \
            "    jmp divvy_" #way "_" #symbol "\n.size " #symbol ", . - " #symbol "\n");
#define EXPORT_ROW(symbol, what)                EXPORT(symbol, hook)
#define EXPORT_LAUNCH_ROW(symbol, room, what)   EXPORT(symbol, hook)
#define EXPORT_DOOR_ROW(symbol)                 EXPORT(symbol, hook)
#define EXPORT_DOORWAY_ROW(symbol, what)        EXPORT(symbol, doorway)
#define EXPORT_COMPUTE_ROW(symbol, room, what)  EXPORT(symbol, doorway)

DIVVY_BASE_HOOKS(EXPORT_ROW)
DIVVY_MEMORY_HOOKS(EXPORT_DOORWAY_ROW)
DIVVY_VIEW_HOOKS(EXPORT_DOORWAY_ROW)
DIVVY_NVML_HOOKS(EXPORT_ROW)
DIVVY_COMPUTE_LAUNCHES(EXPORT_LAUNCH_ROW)
DIVVY_COMPUTE_OTHERS(EXPORT_COMPUTE_ROW)
DIVVY_DOOR_HOOKS(EXPORT_DOOR_ROW)
