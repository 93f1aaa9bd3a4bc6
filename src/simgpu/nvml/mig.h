/* Handles of GPU instances and compute instances. Internal to the simulated NVML. */
#ifndef DIVVY_SIMGPU_NVML_MIG_H
#define DIVVY_SIMGPU_NVML_MIG_H

#include "simgpu/nvml/api.h"

/* NVML_ERROR_INVALID_ARGUMENT for what is no handle, or of an instance that is gone. */
nvmlReturn_t divvy_nvml_gi(nvmlGpuInstance_t handle, divvy_simgpu_gi_t *ret_gi);
nvmlReturn_t divvy_nvml_ci(nvmlComputeInstance_t handle, divvy_simgpu_ci_t *ret_ci);
nvmlGpuInstance_t divvy_nvml_gi_handle(const divvy_simgpu_gi_t *gi);
nvmlComputeInstance_t divvy_nvml_ci_handle(const divvy_simgpu_ci_t *ci);

/* The starts in the mask, with that size, into the caller's placements. Without a buffer the answer is how many there
 * are; with one too small too, as NVML_ERROR_INSUFFICIENT_SIZE. Both kinds of placements are laid out alike. */
nvmlReturn_t divvy_nvml_placements(uint32_t starts, unsigned int size,
                                   nvmlGpuInstancePlacement_t *placements, unsigned int *count);

#endif
