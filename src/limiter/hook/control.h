/*
 * The tenant's control page, where a daemon has set the tenant up: limits and leases. Mapped read only at activation; limits are
 * copied into the usage page whenever they are about to be used, so that everything that reads limits there need not know of it.
 */
#ifndef DIVVY_LIMITER_HOOK_CONTROL_H
#define DIVVY_LIMITER_HOOK_CONTROL_H

#include "page/control.h"

#include <stdint.h>

struct divvy_control_link {
    const struct divvy_control *page; /* NULL: nobody but ourselves */
    /* by device of the usage page; NULL: the daemon does not know it */
    const struct divvy_control_device *devices[DIVVY_PAGE_DEVICES];
    void (*ring)(void); /* instead of the bell, where the page is no file of a daemon; NULL */
};

extern struct divvy_control_link divvy_control_link;

/*
 * Map `$DIVVY_TENANT_DIR/control`, if it is there. 0, also when it is not; -errno after one line when there is one that cannot be
 * believed. Once, before any device is entered.
 */
int divvy_control_attach(void);

/* Whether the daemon has limits for the device with this UUID. */
bool divvy_control_knows(const uint8_t uuid[16]);

/* A device of the usage page was entered: find its entry, and take the limits over. True: it has one. */
bool divvy_control_device_entered(struct divvy_page *usage, unsigned device, uint64_t physical_bytes);

/* Limits as they are now. Two loads where there is a daemon, one where there is none. */
static inline void divvy_control_follow(struct divvy_page *usage, unsigned device) {
    const struct divvy_control_device *entry = divvy_control_link.devices[device];
    uint64_t limit_bytes;
    uint32_t permille;

    if (!entry)
        return;
    limit_bytes = __atomic_load_n(&entry->limit_bytes, __ATOMIC_RELAXED);
    permille = __atomic_load_n(&entry->compute_permille, __ATOMIC_RELAXED);
    if (__atomic_load_n(&usage->devices[device].limit_bytes, __ATOMIC_RELAXED) != limit_bytes)
        __atomic_store_n(&usage->devices[device].limit_bytes, limit_bytes, __ATOMIC_RELAXED);
    if (__atomic_load_n(&usage->devices[device].compute_permille, __ATOMIC_RELAXED) != permille)
        __atomic_store_n(&usage->devices[device].compute_permille, permille, __ATOMIC_RELAXED);
}

/* The daemon is to look here: there is somebody at a shut gate. Four system calls at most; errno is kept, and no signal can come of it. */
void divvy_control_ring(void);

#endif
