/*
 * What the limiter knows about the process it is in: the tenant's page, the slot of this process, the devices and their
 * limits. Empty until the first cuInit or nvmlInit; a program that uses no GPU never gets beyond that.
 */
#ifndef DIVVY_LIMITER_HOOK_PROCESS_H
#define DIVVY_LIMITER_HOOK_PROCESS_H

#include "cuda/driver_types.h"
#include "page/page.h"

#include <stdbool.h>
#include <stdint.h>

#define DIVVY_CUDA_DEVICES 64 /* CUDA ordinals that one process can see */

struct divvy_process {
    struct divvy_page *page; /* NULL: not activated, or nothing to limit */
    uint32_t slot;           /* of this process in the page */
    uint32_t device_count;   /* CUDA ordinals seen by this process */
    int8_t page_device[DIVVY_CUDA_DEVICES]; /* CUDA ordinal -> device of the page, -1: none */
    struct divvy_page_identity self;
};

extern struct divvy_process divvy_process;

/*
 * 1 while this process is attached. The word lies in memory that the kernel clears in a forked child (where that is
 * not to be had, an atfork handler clears it), so a child sees 0 and gets a slot of its own.
 */
extern uint32_t *divvy_process_attached_word;

/* Attach if need be: true when divvy_process.page and .slot may be used. One load when attached already. */
bool divvy_process_attach(void);

static inline bool divvy_process_ready(void) {
    return __builtin_expect(__atomic_load_n(divvy_process_attached_word, __ATOMIC_ACQUIRE) == 1, 1) ||
           divvy_process_attach();
}

/* Device of the page for a CUDA ordinal, or -1. Any thread after activation. */
static inline int divvy_process_page_device(CUdevice device) {
    return (unsigned)device < DIVVY_CUDA_DEVICES ? divvy_process.page_device[device] : -1;
}

/*
 * Called once per process, and again in a forked child, after slot and devices are known: rooms of the limiter hang
 * their own state on it. Defined by limiter/compute: divvy_compute_attach(); by limiter/memory: divvy_memory_attach().
 */

#endif
