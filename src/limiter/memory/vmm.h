/*
 * Physical memory of cuMemCreate: an object lives as long as it has a handle or a mapping, and its
 * bytes stay charged as long. Handles may come back with the same value after a release; objects
 * have numbers of our own.
 */
#ifndef DIVVY_LIMITER_MEMORY_VMM_H
#define DIVVY_LIMITER_MEMORY_VMM_H

#include "cuda/driver_types.h"

#include <stdint.h>

/* After a successful cuMemCreate (device -1 or bytes 0: not charged) or import.
 * CUDA_ERROR_OUT_OF_MEMORY: no memory. */
CUresult divvy_vmm_created(CUmemGenericAllocationHandle handle, int device, uint64_t bytes);

/* After the successful call of each. */
void divvy_vmm_released(CUmemGenericAllocationHandle handle);
void divvy_vmm_retained(CUmemGenericAllocationHandle handle, uint64_t address);
void divvy_vmm_mapped(uint64_t address, uint64_t bytes, CUmemGenericAllocationHandle handle);
void divvy_vmm_unmapped(uint64_t address, uint64_t bytes);

/* The object of `handle` is mapped into a sparse array, and stays until the array is destroyed. */
void divvy_vmm_array_holds(uint64_t array, CUmemGenericAllocationHandle handle);
void divvy_vmm_array_destroyed(uint64_t array);

void divvy_vmm_fork_child(void);

#endif
