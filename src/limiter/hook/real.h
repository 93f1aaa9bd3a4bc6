/*
 * The real driver's functions, by name: one pointer for each row of the driver table. Until libcuda
 * has been found each pointer leads to a stub that finds it and goes on; a function that this
 * driver lacks leads to one that answers CUDA_ERROR_NOT_SUPPORTED. So `divvy_real.cuMemAlloc_v2(&p,
 * n)` may be called at any time from any thread, without a check, and costs one load and one
 * indirect call.
 */
#ifndef DIVVY_LIMITER_HOOK_REAL_H
#define DIVVY_LIMITER_HOOK_REAL_H

#include "cuda/driver.h"

#include <stdbool.h>

struct divvy_real {
#define DIVVY_REAL_MEMBER(symbol, api, since, form, kind, parameters, arguments)                   \
    __typeof__(&symbol) symbol;
    DIVVY_CUDA_DRIVER_TABLE(DIVVY_REAL_MEMBER)
#undef DIVVY_REAL_MEMBER
};

extern struct divvy_real divvy_real;

/* What stands in for a function that the driver lacks. */
CUresult divvy_real_missing(void);

/* Find libcuda now if it is loaded or can be: true when divvy_real leads to it. Any thread; takes a
 * lock once. */
bool divvy_real_resolve(void);

/* Whether the driver has the function; resolves if need be. `symbol` is a name of the driver table.
 */
#define divvy_real_has(symbol)                                                                     \
    (divvy_real_resolve() && (void *)divvy_real.symbol != (void *)divvy_real_missing)

#endif
