/*
 * Allocates and frees with many blocks alive, and prints the nanoseconds of one free and one allocation.
 *
 * usage: subject_alloc fifo|lifo|random LIVE ROUNDS EXPECTED_BYTES
 *
 * Each turn frees one of LIVE blocks (the oldest, the newest, or any) and allocates another; a line is printed for each
 * of ROUNDS times LIVE turns.
 */
#include "subject.h"

#include <stdio.h>
#include <stdlib.h>

enum { BLOCK_BYTES = 4096 };

int main(int argc, char **argv) {
    uint64_t live, rounds, seed = UINT64_C(88172645463325252);
    CUdeviceptr *blocks;
    uint32_t *victims;

    if (argc != 5)
        return 2;
    live = subject_number(argv[2]);
    rounds = subject_number(argv[3]);
    subject_open(subject_number(argv[4]));
    blocks = calloc(live, sizeof(*blocks));
    victims = calloc(live, sizeof(*victims));
    if (blocks == NULL || victims == NULL)
        exit(1);
    for (uint64_t i = 0; i < live; i++)
        CHECK(cuMemAlloc_v2(&blocks[i], BLOCK_BYTES));
    /* The order is made beforehand: the newest block is always the one put in last. */
    for (uint64_t i = 0; i < live; i++)
        victims[i] = (uint32_t)(argv[1][0] == 'f'   ? i
                                : argv[1][0] == 'l' ? live - 1
                                                    : subject_random(&seed) % live);
    for (uint64_t round = 0; round <= rounds; round++) {
        uint64_t start_ns = subject_now_ns();
        CUresult result = CUDA_SUCCESS;

        for (uint64_t i = 0; i < live; i++) {
            CUdeviceptr *block = &blocks[victims[i]];

            result |= cuMemFree_v2(*block);
            result |= cuMemAlloc_v2(block, BLOCK_BYTES);
        }
        CHECK(result);
        if (round > 0) /* the first one warms up */
            (void)printf("%.2f\n", (double)(subject_now_ns() - start_ns) / (double)live);
    }
    for (uint64_t i = 0; i < live; i++)
        CHECK(cuMemFree_v2(blocks[i]));
    free(victims);
    free(blocks);
    return 0;
}
