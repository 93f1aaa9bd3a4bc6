/*
 * Requests that come at random (Poisson): each is kernels of 1 ms, one behind the other, and is waited for. Prints the time from
 * arrival to completion of each, in milliseconds; requests that come while another is served wait their turn.
 *
 * usage: subject_requests KERNELS LOAD_PERCENT COUNT SEED
 */
#include "subject.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

static void sleep_until(uint64_t ns) {
    struct timespec time = {.tv_sec = (time_t)(ns / 1000000000),
                            .tv_nsec = (long)(ns % 1000000000)};

    (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}

int main(int argc, char **argv) {
    uint64_t kernels, load, count, state, duration_ns = 1000000, arrival_ns;
    void *parameters[] = {&duration_ns};
    CUfunction kernel;
    double mean_ns;

    if (argc != 5)
        return 2;
    kernels = subject_number(argv[1]);
    load = subject_number(argv[2]);
    count = subject_number(argv[3]);
    state = subject_number(argv[4]) * 2 + 1;
    subject_open(0);
    kernel = subject_timed_kernel();
    mean_ns = (double)(kernels * duration_ns) * 100.0 / (double)load;
    arrival_ns = subject_now_ns();
    for (uint64_t i = 0; i < count + 20; i++) {
        double uniform = (double)(subject_random(&state) >> 11) / 9007199254740992.0;

        arrival_ns += (uint64_t)(-log(1 - uniform) * mean_ns);
        sleep_until(arrival_ns);
        for (uint64_t k = 0; k < kernels; k++)
            CHECK(cuLaunchKernel(kernel, 132, 1, 1, 1024, 1, 1, 0, NULL, parameters, NULL));
        CHECK(cuCtxSynchronize());
        if (i >= 20) /* the first ones warm up */
            (void)printf("%.6f\n", (double)(subject_now_ns() - arrival_ns) / 1e6);
    }
    return 0;
}
