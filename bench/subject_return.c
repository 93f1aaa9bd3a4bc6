/*
 * subject_return BYTES ROUNDS PAUSE_MS: holds BYTES on the device, does nothing for PAUSE_MS, launches a kernel and waits for it;
 * prints how many microseconds the launch took, ROUNDS times.
 */
#include "subject.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv) {
    struct timespec pause;
    CUfunction function;
    CUdeviceptr memory;
    uint64_t pause_ms;

    if (argc != 4) {
        (void)fputs("usage: subject_return BYTES ROUNDS PAUSE_MS\n", stderr);
        return 2;
    }
    pause_ms = subject_number(argv[3]);
    pause = (struct timespec){(time_t)(pause_ms / 1000), (long)(pause_ms % 1000) * 1000000};
    subject_open(0);
    function = subject_kernel();
    CHECK(cuMemAlloc_v2(&memory, subject_number(argv[1])));
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    for (uint64_t i = subject_number(argv[2]); i > 0; i--) {
        uint64_t began_ns;

        (void)nanosleep(&pause, NULL);
        began_ns = subject_now_ns();
        CHECK(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL));
        (void)printf("%.1f\n", (double)(subject_now_ns() - began_ns) / 1e3);
        CHECK(cuCtxSynchronize());
    }
    CHECK(cuMemFree_v2(memory));
    return 0;
}
