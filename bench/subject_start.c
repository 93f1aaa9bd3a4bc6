/*
 * Starts as a CUDA program does, takes a little memory, and ends.
 *
 * usage: subject_start EXPECTED_BYTES [PROCESSES]
 *
 * With PROCESSES so many of them are started at once; they are one tenant, whose root is the first process.
 */
#include "subject.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

static int crowd(char **argv, uint64_t processes) {
    char *const arguments[] = {argv[0], argv[1], NULL};
    int status, failed = 0;
    pid_t pid;

    for (uint64_t i = 0; i < processes; i++)
        failed |= posix_spawn(&pid, "/proc/self/exe", NULL, NULL, arguments, environ) != 0;
    while (wait(&status) > 0)
        failed |= status != 0;
    return failed;
}

int main(int argc, char **argv) {
    CUdeviceptr pointer;

    if (argc < 2 || argc > 3)
        return 2;
    if (argc == 3)
        return crowd(argv, subject_number(argv[2]));
    subject_open(subject_number(argv[1]));
    CHECK(cuMemAlloc_v2(&pointer, 1 << 20));
    CHECK(cuMemFree_v2(pointer));
    return 0;
}
