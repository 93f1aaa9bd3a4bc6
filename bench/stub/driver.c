/*
 * A CUDA driver that does nothing, as fast as can be: what a program spends above it is the cost of what lies between.
 *
 * All names of the driver table exist. Launches, waits, records and the like succeed at once; allocation hands out
 * addresses from a stack; the few questions that a program or a limiter asks at its start have answers; everything else
 * answers CUDA_ERROR_NOT_SUPPORTED. Linked with -Bsymbolic: its own lookups must find its own functions.
 */
#include "cuda/driver.h"


#define EXPORT __attribute__((visibility("default")))

/* Everything that follows overrides the weak refusal of its name. */
#define REFUSE(symbol, api, since, form, kind, parameters, arguments)                              \
    EXPORT __attribute__((weak)) CUresult symbol parameters {                                      \
        return CUDA_ERROR_NOT_SUPPORTED;                                                           \
    }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
DIVVY_CUDA_DRIVER_TABLE(REFUSE)
#pragma GCC diagnostic pop
