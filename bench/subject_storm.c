/*
 * Many processes of one tenant that allocate and free at random, together wanting far more than the limit.
 *
 * usage: subject_storm PROCESSES OPERATIONS SEED EXPECTED_BYTES
 *
 * The first process starts the others and is the root of the tenant. When all have their contexts it prints "ready" and
 * waits for SIGUSR1; at the end it prints how many allocations were granted and how many refused.
 */
#include "subject.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SLOTS = 64, UNIT_BYTES = 2 << 20, UNITS_MAX = 32, PROCESSES_MAX = 64 };
/* Descriptors of a worker. */
enum { READY = 10, GO = 11, RESULT = 12 };

struct result {
    uint64_t granted, refused;
};

static int worker(uint64_t operations, uint64_t seed, uint64_t expected_bytes) {
    CUdeviceptr blocks[SLOTS] = {0};
    struct result result = {0, 0};
    char word = 'r';

    subject_open(expected_bytes);
    if (write(READY, &word, 1) != 1 || read(GO, &word, 1) != 0)
        return 1;
    for (uint64_t i = 0; i < operations; i++) {
        uint64_t random = subject_random(&seed);
        CUdeviceptr *block = &blocks[random % SLOTS];

        if (*block != 0) {
            CHECK(cuMemFree_v2(*block));
            *block = 0;
        } else {
            CUresult refusal = cuMemAlloc_v2(block, (1 + (random >> 32) % UNITS_MAX) * UNIT_BYTES);

            result.granted += refusal == CUDA_SUCCESS;
            result.refused += refusal == CUDA_ERROR_OUT_OF_MEMORY;
            if (refusal != CUDA_SUCCESS) {
                *block = 0;
                if (refusal != CUDA_ERROR_OUT_OF_MEMORY)
                    subject_check(refusal, "cuMemAlloc");
            }
        }
    }
    for (int i = 0; i < SLOTS; i++) {
        if (blocks[i] != 0)
            CHECK(cuMemFree_v2(blocks[i]));
    }
    return write(RESULT, &result, sizeof(result)) == (ssize_t)sizeof(result) ? 0 : 1;
}

static void worker_start(char **argv, int ready, int go, int results, uint64_t seed) {
    char text[32];

    if (fork() != 0)
        return;
    (void)dup2(ready, READY);
    (void)dup2(go, GO);
    (void)dup2(results, RESULT);
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)seed);
    (void)execl("/proc/self/exe", "subject_storm", "worker", argv[2], text, argv[4], (char *)NULL);
    _exit(127);
}

static int root(char **argv) {
    uint64_t processes = subject_number(argv[1]), seed = subject_number(argv[3]);
    int ready[2], go[2], results[2], status, failed = 0;
    struct result sum = {0, 0}, one;
    sigset_t usr1;
    char word;
    int number;

    (void)sigemptyset(&usr1);
    (void)sigaddset(&usr1, SIGUSR1);
    (void)sigprocmask(SIG_BLOCK, &usr1, NULL);
    if (processes > PROCESSES_MAX || pipe2(ready, O_CLOEXEC) || pipe2(go, O_CLOEXEC) ||
        pipe2(results, O_CLOEXEC))
        return 1;
    for (uint64_t i = 0; i < processes; i++)
        worker_start(argv, ready[1], go[0], results[1], seed * 1000003 + i + 1);
    (void)close(ready[1]);
    (void)close(results[1]);
    for (uint64_t i = 0; i < processes; i++) {
        if (read(ready[0], &word, 1) != 1)
            return 1;
    }
    (void)puts("ready");
    (void)fflush(stdout);
    (void)sigwait(&usr1, &number);
    (void)close(go[1]);
    while (read(results[0], &one, sizeof(one)) == (ssize_t)sizeof(one)) {
        sum.granted += one.granted;
        sum.refused += one.refused;
    }
    while (wait(&status) > 0)
        failed |= status != 0;
    (void)printf("%llu\n%llu\n", (unsigned long long)sum.granted, (unsigned long long)sum.refused);
    return failed;
}

int main(int argc, char **argv) {
    if (argc != 5)
        return 2;
    if (strcmp(argv[1], "worker") == 0)
        return worker(subject_number(argv[2]), subject_number(argv[3]), subject_number(argv[4]));
    return root(argv);
}
