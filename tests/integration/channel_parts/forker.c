/* Uses CUDA, then forks a child that does not; says the child's pid, and both wait to be killed. */
#include "../limiter/cu.h"

#include <unistd.h>

int main(void) {
    pid_t child;

    (void)cu_begin(0);
    /* The channel's thread has connected by then, or will: both must do. */
    (void)usleep(200000);
    child = fork();
    CHECK(child >= 0);
    if (child > 0) {
        printf("%d\n", (int)child);
        fflush(stdout);
    }
    for (;;)
        (void)pause();
}
