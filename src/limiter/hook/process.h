/*
 * What the limiter knows about the process it is in: the tenant's page, the slot of this process,
 * the devices and their limits. Empty until the first cuInit or nvmlInit; a program that uses no
 * GPU never gets beyond that.
 */
#ifndef DIVVY_LIMITER_HOOK_PROCESS_H
#define DIVVY_LIMITER_HOOK_PROCESS_H

#include "core/uuid.h"
#include "cuda/driver_types.h"
#include "page/page.h"

#include <stdbool.h>
#include <stdint.h>

#define DIVVY_CUDA_DEVICES 64 /* CUDA ordinals that one process can see */

typedef enum {
    DIVVY_PROCESS_UNKNOWN, /* nothing has asked yet */
    DIVVY_PROCESS_LIMITED, /* page and devices are known */
    DIVVY_PROCESS_FREE,    /* nothing to limit: hooks pass everything on */
    DIVVY_PROCESS_REFUSED, /* limits that cannot be understood, policy closed: CUDA is refused */
} divvy_process_state_t;

struct divvy_process {
    struct divvy_page *page;                /* NULL unless limited */
    uint32_t slot;                          /* of this process in the page; valid while attached */
    uint32_t device_count;                  /* CUDA ordinals seen by this process */
    int8_t page_device[DIVVY_CUDA_DEVICES]; /* CUDA ordinal -> device of the page, -1: none */
    uint64_t total_bytes[DIVVY_CUDA_DEVICES]; /* CUDA ordinal -> physical size */
    struct divvy_page_identity self;
};

extern struct divvy_process divvy_process;

/*
 * 1 while this process holds a slot. The word lies in memory that the kernel clears in a forked
 * child (and an atfork handler clears it), so a child sees 0 and gets a slot of its own. The middle
 * one of three pages, since the first may be shared with initialised data, which the kernel would
 * not clear.
 */
#define DIVVY_PROCESS_FORK_PAGE 4096
extern uint32_t divvy_process_fork_words[3 * DIVVY_PROCESS_FORK_PAGE / sizeof(uint32_t)];
#define divvy_process_attached_word                                                                \
    (&divvy_process_fork_words[DIVVY_PROCESS_FORK_PAGE / sizeof(uint32_t)])

/*
 * Make sure that this process holds a slot: false when nothing is limited, or cannot be. Also finds
 * out about limits and devices if no cuInit came by (a call that some private way found). Any
 * thread, any time after the driver's cuInit.
 */
bool divvy_process_attach(void);

/* The same; one load when attached. */
static inline bool divvy_process_ready(void) {
    return __builtin_expect(__atomic_load_n(divvy_process_attached_word, __ATOMIC_ACQUIRE) == 1,
                            1) ||
           divvy_process_attach();
}

divvy_process_state_t divvy_process_state(void);

/* Whether calls that begin using a device must be refused with CUDA_ERROR_NOT_PERMITTED. */
bool divvy_process_is_refused(void);

/* Device of the page for a CUDA ordinal, or -1. Any thread after activation. */
static inline int divvy_process_page_device(CUdevice device) {
    return (unsigned)device < DIVVY_CUDA_DEVICES ? divvy_process.page_device[device] : -1;
}

/*
 * Device of the page with this UUID, for NVML's views: enters it with its limits if need be. -1:
 * not limited, or NVML is used without any limit. Any thread.
 */
int divvy_process_page_device_by_uuid(const divvy_core_uuid_t *uuid);

/* As set_limit of divvy/limiter.h. */
void divvy_process_set_limit(uint32_t gpu, uint32_t up_limit, uint64_t mem_limit);

/* Read limits and open the page without needing a driver: what nvmlInit does. The state afterwards.
 */
divvy_process_state_t divvy_process_open(void);

#endif
