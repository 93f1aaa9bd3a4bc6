/*
 * What a tenant is shown of a device: one set of figures for CUDA, NVML and everything on top of
 * them.
 */
#ifndef DIVVY_LIMITER_VIEW_FIGURES_H
#define DIVVY_LIMITER_VIEW_FIGURES_H

#include <stdbool.h>
#include <stdint.h>

struct divvy_figures {
    uint64_t total_bytes; /* the limit */
    uint64_t used_bytes;  /* the tenant's charge, at most the total */
    uint64_t free_bytes;  /* the rest; 0 while more is charged than the limit allows */
};

/*
 * The figures of a device of the page; false: its memory is not limited and the physical values
 * hold. First gives back what is not held any more: pools of this process that shrank, dead
 * processes (looked for ten times a second at most).
 */
bool divvy_view_figures(int device, uint64_t physical_bytes, struct divvy_figures *ret_figures);

/* Whether a pid that NVML reports belongs to a living process of the tenant. */
bool divvy_view_is_own_pid(uint32_t pid);

#endif
