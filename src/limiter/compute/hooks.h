/*
 * Shapes of hook bodies in this room.
 */
#ifndef DIVVY_LIMITER_COMPUTE_HOOKS_H
#define DIVVY_LIMITER_COMPUTE_HOOKS_H

#include "limiter/compute/compute.h"
#include "limiter/compute/fast.h"
#include "limiter/hook/real.h"

/*
 * A hook that gates its call. `condition`: whether this call is worth it; key, guess_ns, stream: of divvy_compute_begin. The
 * slow path is a function of its own, so that the way through the open gate keeps the arguments where they are and ends in
 * a jump to the driver.
 */
#define DIVVY_COMPUTE_GATED(symbol, parameters, arguments, condition, key, guess_ns, stream)                           \
    static __attribute__((noinline)) CUresult slow_##symbol parameters {                                               \
        struct divvy_compute_pass pass;                                                                                \
        CUresult result;                                                                                               \
                                                                                                                       \
        divvy_compute_begin(&pass, key, guess_ns, stream);                                                             \
        result = divvy_real.symbol arguments;                                                                          \
        divvy_compute_end(&pass, result);                                                                              \
        return result;                                                                                                 \
    }                                                                                                                  \
    CUresult divvy_hook_##symbol parameters {                                                                          \
        if (__builtin_expect(!divvy_compute_armed(), 1) || !(condition) || divvy_compute_fast(key, stream))            \
            return divvy_real.symbol arguments;                                                                        \
        return slow_##symbol arguments;                                                                                \
    }

/* A hook that lets through what is not GPU time of ours, and keeps it out of measured time. */
#define DIVVY_COMPUTE_BREAKING(symbol, parameters, arguments, condition, stream)                                       \
    CUresult divvy_hook_##symbol parameters {                                                                          \
        if (divvy_compute_armed() && (condition))                                                                      \
            divvy_compute_break(stream);                                                                               \
        return divvy_real.symbol arguments;                                                                            \
    }

#define LEGACY(stream)     divvy_compute_stream_legacy(stream)
#define PER_THREAD(stream) divvy_compute_stream_per_thread(stream)

#endif
