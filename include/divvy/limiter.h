/*
 * libcuda_limiter.so, as a program under it may see it. Found by dlsym(RTLD_DEFAULT, ...): nothing
 * needs to link to the library.
 */
#ifndef DIVVY_LIMITER_H
#define DIVVY_LIMITER_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Change the limits of this process's tenant on one device, at once and for all its processes.
 *
 *   gpu        the device's number in NVML's order (nvidia-smi's), not in CUDA's
 *   up_limit   percent of GPU time; 0 or above 100: no limit
 *   mem_limit  bytes; 0: no limit. Below what is in use: nothing is taken away, further allocations
 * are refused
 *
 * Does nothing when the process has no limits, or there is no such device. Any thread; not in a
 * signal handler.
 */
void set_limit(uint32_t gpu, uint32_t up_limit, uint64_t mem_limit);

#ifdef __cplusplus
}
#endif

#endif
