/* Prototypes of NVML, derived from the table; only the simulated NVML defines the symbols. */
#ifndef DIVVY_CUDA_NVML_H
#define DIVVY_CUDA_NVML_H

#include "cuda/nvml_table.h"

#define DIVVY_NVML_DECLARE(symbol, type, parameters, arguments) type symbol parameters;
DIVVY_CUDA_NVML_TABLE(DIVVY_NVML_DECLARE)
#undef DIVVY_NVML_DECLARE

#endif
