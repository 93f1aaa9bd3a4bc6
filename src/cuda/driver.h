/*
 * Prototypes of the CUDA driver API, derived from the table. A room that calls the driver takes pointers of these types
 * (`__typeof__(&cuMemAlloc_v2)`); only the simulated driver defines the symbols.
 */
#ifndef DIVVY_CUDA_DRIVER_H
#define DIVVY_CUDA_DRIVER_H

#include "cuda/driver_table.h"

#define DIVVY_CUDA_DECLARE(symbol, api, since, form, kind, parameters, arguments) CUresult symbol parameters;
DIVVY_CUDA_DRIVER_TABLE(DIVVY_CUDA_DECLARE)
#undef DIVVY_CUDA_DECLARE

#endif
