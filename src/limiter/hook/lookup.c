/*
 * dlsym, dlvsym and dlopen as exported to everybody. They jump to the next object's function with
 * the stack as it came: the return address stays the caller's, by which RTLD_NEXT and RTLD_DEFAULT
 * are resolved. Before, divvy_loader_answer looks at the name; only names that begin like the
 * driver's or NVML's cost more than that. Nothing is remembered from one lookup to the next, so a
 * repeated or a nested lookup is like the first. This file is linked into the library itself, not
 * into an archive, so that the names survive; they carry no version, so that callers of both the
 * old and the new one are caught.
 */

/*
 * dlsym(handle rdi, name rsi), dlvsym(handle rdi, name rsi, version rdx). r11 is free at a call.
 */
__asm__(".text\n"
        ".macro divvy_lookup symbol, next, has_version\n"
        ".globl \\symbol\n"
        ".type \\symbol, @function\n"
        "\\symbol:\n"
        "    push %rdi\n    push %rsi\n    push %rdx\n"
        "    mov 24(%rsp), %rcx\n" /* whom the caller returns to */
        ".if \\has_version == 0\n"
        "    xor %edx, %edx\n"
        ".endif\n"
        "    call divvy_loader_answer\n"
        "    mov %rdx, %r11\n"
        "    pop %rdx\n    pop %rsi\n    pop %rdi\n"
        "    test %rax, %rax\n"
        "    jne 2f\n"
        "    mov %r11, %rdi\n"
        "    mov \\next(%rip), %r11\n"
        "    test %r11, %r11\n"
        "    je 1f\n"
        "    jmp *%r11\n"
        "1:  push %rdi\n    push %rsi\n    push %rdx\n"
        "    call divvy_loader_find_next\n"
        "    pop %rdx\n    pop %rsi\n    pop %rdi\n"
        "    mov \\next(%rip), %r11\n"
        "    xor %eax, %eax\n"
        "    test %r11, %r11\n"
        "    je 2f\n"
        "    jmp *%r11\n"
        "2:  ret\n"
        ".size \\symbol, . - \\symbol\n"
        ".endm\n"
        "divvy_lookup dlsym, divvy_loader_next_dlsym, 0\n"
        "divvy_lookup dlvsym, divvy_loader_next_dlvsym, 1\n");

/* dlopen(name rdi, flags esi): the next one's, unless the library shall bind deeply (RTLD_DEEPBIND,
 * 8). */
__asm__(".text\n"
        ".globl dlopen\n"
        ".type dlopen, @function\n"
        "dlopen:\n"
        "    test $8, %esi\n"
        "    je 1f\n"
        "    push %rdi\n    push %rsi\n    push %rsi\n"
        "    call divvy_loader_open_deep\n"
        "    pop %rsi\n    pop %rsi\n    pop %rdi\n"
        "    test %rax, %rax\n"
        "    jne 3f\n"
        "1:  mov divvy_loader_next_dlopen(%rip), %r11\n"
        "    test %r11, %r11\n"
        "    jne 2f\n"
        "    push %rdi\n    push %rsi\n    push %rsi\n"
        "    call divvy_loader_find_next\n"
        "    pop %rsi\n    pop %rsi\n    pop %rdi\n"
        "    mov divvy_loader_next_dlopen(%rip), %r11\n"
        "    xor %eax, %eax\n"
        "    test %r11, %r11\n"
        "    je 3f\n"
        "2:  jmp *%r11\n"
        "3:  ret\n"
        ".size dlopen, . - dlopen\n");
