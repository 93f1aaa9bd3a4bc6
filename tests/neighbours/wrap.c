/*
 * A preload as others write them: wraps getppid, finds the next one by RTLD_NEXT again and again,
 * and adds WRAP_ADDS, so that a chain of wrappers can be read from the result.
 */
#include <dlfcn.h>
#include <sys/types.h>

pid_t getppid(void);

pid_t getppid(void) {
    pid_t (*next)(void) = (pid_t(*)(void))dlsym(RTLD_NEXT, "getppid");
    pid_t (*again)(void) = (pid_t(*)(void))dlsym(RTLD_NEXT, "getppid");

    if (!next || next != again || next == getppid)
        return -1;
    return next() + WRAP_ADDS;
}

/*
 * As LLVM's OpenMP does: is there another function of this name behind this library? There is none.
 * The result is kept until after the call: a call in tail position becomes a jump, and then the one
 * who asks is whoever called this.
 */
void *ompt_like_tool(void);

void *ompt_like_tool(void) {
    void *volatile next = dlsym(RTLD_NEXT, "ompt_like_tool");

    return next;
}

/* The same in tail position, on purpose: the loader takes this function's caller for the one who
 * asks. */
void *ompt_like_tail(void);

__attribute__((optimize("O2"))) void *ompt_like_tail(void) {
    return dlsym(RTLD_NEXT, "ompt_like_tail");
}
