/*
 * Keeps the device busy with kernels of 1 ms, and rests, in turns; says when, in nanoseconds of CLOCK_MONOTONIC.
 *
 * usage: subject_bursts WORK_MS REST_MS TURNS        prints "work NS" and "rest NS"
 */
#include "subject.h"

#include <stdio.h>
#include <time.h>

#define DEPTH 8

static void nap(uint64_t ms) {
    struct timespec time = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};

    (void)nanosleep(&time, NULL);
}

int main(int argc, char **argv) {
    uint64_t work_ms, rest_ms, turns, duration_ns = 1000000;
    void *parameters[] = {&duration_ns};
    CUevent events[DEPTH];
    CUfunction kernel;

    if (argc != 4)
        return 2;
    work_ms = subject_number(argv[1]);
    rest_ms = subject_number(argv[2]);
    turns = subject_number(argv[3]);
    subject_open(0);
    kernel = subject_timed_kernel();
    for (int i = 0; i < DEPTH; i++)
        CHECK(cuEventCreate(&events[i], CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING));
    for (uint64_t turn = 0; turn < turns; turn++) {
        uint64_t begin_ns = subject_now_ns();

        (void)printf("work %llu\n", (unsigned long long)begin_ns);
        (void)fflush(stdout);
        for (uint64_t i = 0; subject_now_ns() < begin_ns + work_ms * 1000000; i++) {
            CHECK(cuLaunchKernel(kernel, 132, 1, 1, 1024, 1, 1, 0, NULL, parameters, NULL));
            CHECK(cuEventRecord(events[i % DEPTH], NULL));
            if (i + 1 >= DEPTH)
                CHECK(cuEventSynchronize(events[(i + 1) % DEPTH]));
        }
        CHECK(cuCtxSynchronize());
        (void)printf("rest %llu\n", (unsigned long long)subject_now_ns());
        (void)fflush(stdout);
        nap(rest_ms);
    }
    return 0;
}
