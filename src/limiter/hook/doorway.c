/*
 * Through the door: hooks and entrances without C bodies, since none of them needs to know its parameters. Each asks the door and
 * jumps on with all arguments as they came; r11 is free at a call.
 */
#include "limiter/hook/door.h"
#include "limiter/hook/real.h"
#include "limiter/hook/table.h"

#include <stddef.h>

/*
 * The door is not open: wait with every register that can carry an argument put aside, then go to r11. On entry the stack is as
 * the caller left it.
 */
__asm__(".text\n"
        ".type divvy_doorway_wait, @function\n"
        "divvy_doorway_wait:\n"
        "    push %rbp\n    mov %rsp, %rbp\n"
        "    push %rdi\n    push %rsi\n    push %rdx\n    push %rcx\n    push %r8\n    push %r9\n"
        "    push %rax\n    push %r11\n"
        "    sub $128, %rsp\n"
        "    movups %xmm0, (%rsp)\n    movups %xmm1, 16(%rsp)\n    movups %xmm2, 32(%rsp)\n"
        "    movups %xmm3, 48(%rsp)\n    movups %xmm4, 64(%rsp)\n    movups %xmm5, 80(%rsp)\n"
        "    movups %xmm6, 96(%rsp)\n    movups %xmm7, 112(%rsp)\n"
        "    call divvy_door_wait\n"
        "    movups (%rsp), %xmm0\n    movups 16(%rsp), %xmm1\n    movups 32(%rsp), %xmm2\n"
        "    movups 48(%rsp), %xmm3\n    movups 64(%rsp), %xmm4\n    movups 80(%rsp), %xmm5\n"
        "    movups 96(%rsp), %xmm6\n    movups 112(%rsp), %xmm7\n"
        "    add $128, %rsp\n"
        "    pop %r11\n    pop %rax\n"
        "    pop %r9\n    pop %r8\n    pop %rcx\n    pop %rdx\n    pop %rsi\n    pop %rdi\n"
        "    pop %rbp\n"
        "    jmp *%r11\n"
        ".size divvy_doorway_wait, . - divvy_doorway_wait\n");

/* To the driver: `offset` is the function's place in divvy_real. Never inlined, and reached by name only. */
#define HOOK(symbol)                                                                                                   \
    __attribute__((naked, used)) void divvy_hook_##symbol(void) {                                                      \
        __asm__("mov divvy_door(%%rip), %%r11\n\tcmpl $0, (%%r11)\n\tjne 1f\n\tjmp *divvy_real+%c0(%%rip)\n"             \
                "1:\tmov divvy_real+%c0(%%rip), %%r11\n\tjmp divvy_doorway_wait" ::"i"(offsetof(struct divvy_real, symbol))); \
    }
DIVVY_DOOR_HOOKS(HOOK)

/* To the hook of the same name. */
#define DOORWAY(symbol)                                                                                                \
    __asm__(".text\n.globl divvy_doorway_" #symbol "\n.hidden divvy_doorway_" #symbol "\n.type divvy_doorway_" #symbol \
            ", @function\n.p2align 4\ndivvy_doorway_" #symbol ":\n"                                                    \
            "    mov divvy_door(%rip), %r11\n    cmpl $0, (%r11)\n    jne 1f\n    jmp divvy_hook_" #symbol "\n"        \
            "1:  lea divvy_hook_" #symbol "(%rip), %r11\n    jmp divvy_doorway_wait\n.size divvy_doorway_" #symbol     \
            ", . - divvy_doorway_" #symbol "\n");
#define DOORWAY_ROW(symbol, what)               DOORWAY(symbol)
#define DOORWAY_COMPUTE_ROW(symbol, room, what) DOORWAY(symbol)

DIVVY_MEMORY_HOOKS(DOORWAY_ROW)
DIVVY_VIEW_HOOKS(DOORWAY_ROW)
DIVVY_COMPUTE_OTHERS(DOORWAY_COMPUTE_ROW)
