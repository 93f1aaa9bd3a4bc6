/*
 * The frame of the simulated driver: how its functions are named, how they begin and how they fail.
 *
 * Every exported cu* symbol is made in exports.c from the one table. It asks whether the process is
 * initialised and whether a fault was ordered for the call, and then calls DRV(symbol), where that
 * exists; where it does not, the answer is CUDA_ERROR_NOT_SUPPORTED. The forms of the per-thread
 * default stream (_ptsz, _ptds) share the implementation of their plain twin: exports.c marks the
 * thread while they run.
 */
#ifndef DIVVY_SIMGPU_DRIVER_API_H
#define DIVVY_SIMGPU_DRIVER_API_H

#include "cuda/driver.h"

#include <stdbool.h>

#define DRV(symbol) divvy_drv_##symbol

#define DIVVY_DRV_DECLARE(symbol, api, since, form, kind, parameters, arguments)                   \
    CUresult DRV(symbol) parameters;
DIVVY_CUDA_DRIVER_TABLE(DIVVY_DRV_DECLARE)
#undef DIVVY_DRV_DECLARE

#define DIVVY_DRV_VERSION 13000

/* Returns from the calling function with any result but CUDA_SUCCESS. */
#define DRV_TRY(expression)                                                                        \
    do {                                                                                           \
        CUresult drv_try_ = (expression);                                                          \
        if (__builtin_expect(drv_try_ != CUDA_SUCCESS, 0))                                         \
            return drv_try_;                                                                       \
    } while (0)

/* What a negative errno of the engine (or 0) is to a caller of CUDA. */
CUresult divvy_drv_result(int status);

/* The exported function that SYMBOL is in this library, whatever else in the process bears that
 * name. */
typedef struct {
    const char *symbol;
    const char *api;
    int since;
    char form; /* 'p' plain, 's' _ptsz, 'd' _ptds */
    void *address;
} divvy_drv_export_t;

/* All rows of the table, in its order; *ret_count of them. Never fails. */
const divvy_drv_export_t *divvy_drv_exports(size_t *ret_count);

#endif
