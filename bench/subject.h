/* What subjects share: the driver's errors, a context with a kernel, arguments, and random numbers. */
#ifndef DIVVY_BENCH_SUBJECT_H
#define DIVVY_BENCH_SUBJECT_H

#include "cuda/driver.h"

#include <stdint.h>

/* Ends the program with status 1 and the error's name, unless it is CUDA_SUCCESS. */
void subject_check(CUresult result, const char *what);
#define CHECK(call) subject_check(call, #call)

/*
 * Makes the first device's primary context current. With expected_bytes not 0 the limiter must be at work: the program
 * ends with status 3 when the device is not seen to have just that much memory.
 */
void subject_open(uint64_t expected_bytes);

/* A kernel that does nothing, with one block of one thread. */
CUfunction subject_kernel(void);

/* A kernel that takes the device for as long as its one parameter says: u64, nanoseconds. Simulated GPU only. */
CUfunction subject_timed_kernel(void);

/* An argument as a whole number. */
uint64_t subject_number(const char *text);

uint64_t subject_now_ns(void);

/* xorshift; the state must not be 0. */
uint64_t subject_random(uint64_t *state);

#endif
