/*
 * For the limiter's test programs: the driver and NVML as a program that loads them itself sees
 * them, and checks that end the program with a line that names what was wrong.
 */
#ifndef DIVVY_TESTS_LIMITER_CU_H
#define DIVVY_TESTS_LIMITER_CU_H

#include "cuda/driver.h"
#include "cuda/nvml.h"

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

/* All functions of the driver, NULL: it has none of this name. */
struct cu {
#define CU_MEMBER(symbol, api, since, form, kind, parameters, arguments) __typeof__(&symbol) symbol;
    DIVVY_CUDA_DRIVER_TABLE(CU_MEMBER)
#undef CU_MEMBER
};

struct nv {
#define NV_MEMBER(symbol, type, parameters, arguments) __typeof__(&symbol) symbol;
    DIVVY_CUDA_NVML_TABLE(NV_MEMBER)
#undef NV_MEMBER
};

extern struct cu cu;
extern struct nv nv;

/* Load the library and fill the struct; exit 77 without it. */
void cu_load(void);
void nv_load(void);

/* cu_load, cuInit, and a context on device `ordinal`. */
CUcontext cu_begin(int ordinal);

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

#define CHECK_CU(call)                                                                             \
    do {                                                                                           \
        CUresult check_result_ = (call);                                                           \
        if (check_result_ != CUDA_SUCCESS) {                                                       \
            fprintf(stderr, "%s:%d: %s = %d\n", __FILE__, __LINE__, #call, (int)check_result_);    \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

#define CHECK_U64(is, wanted)                                                                      \
    do {                                                                                           \
        uint64_t check_is_ = (is), check_wanted_ = (wanted);                                       \
        if (check_is_ != check_wanted_) {                                                          \
            fprintf(stderr, "%s:%d: %s is %llu, not %llu\n", __FILE__, __LINE__, #is,              \
                    (unsigned long long)check_is_, (unsigned long long)check_wanted_);             \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* Bytes in use and in total, as cuMemGetInfo_v2 says. */
uint64_t cu_used(void);
uint64_t cu_total(void);

#endif
