/*
 * What the driver takes beyond the ledger: contexts, code, heaps and stacks. Measured as NVML's
 * bytes of this process less what the ledger has for it; shown in the page (struct divvy_page_cell,
 * overhead_bytes). DIVVY_OVERHEAD=charge also charges it to the tenant; the default, reserve,
 * leaves it to the memory that nobody was given.
 */
#ifndef DIVVY_LIMITER_MEMORY_OVERHEAD_H
#define DIVVY_LIMITER_MEMORY_OVERHEAD_H

#include "cuda/driver_types.h"
#include "cuda/nvml_types.h"

/* After a context was made on a CUDA ordinal: measure, if overhead is charged (asks NVML:
 * milliseconds). */
void divvy_overhead_context_made(CUdevice ordinal);

/* After a context went: the devices that had overhead are measured again, if it is charged. */
void divvy_overhead_context_gone(void);

/* NVML said that this process has so many bytes on a device of the page. */
void divvy_overhead_seen(int device, uint64_t process_bytes);

#endif
