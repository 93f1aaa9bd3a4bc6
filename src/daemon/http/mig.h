/*
 * MIG for the HTTP server: the instances of this machine, and those that were allocated over HTTP. An allocation is a
 * reservation of the MIG library, held by the daemon: it is taken back at its expiry. It ends with the daemon, which takes it again when
 * it starts anew.
 *
 * Everything may be called by all threads at once. NVML is asked by one at a time; a driver that hangs holds up those who ask
 * it, and not those who want allocations or the last known devices.
 */
#ifndef DIVVY_DAEMON_HTTP_MIG_H
#define DIVVY_DAEMON_HTTP_MIG_H

#include "base/error.h"
#include "divvy/mig.h"
#include "node/registry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct divvy_http_mig;

/* What is wanted. */
struct divvy_http_mig_wish {
    const char *workload, *profile;
    int64_t timeout_ns; /* after which it is taken back */
    uint32_t uid;       /* whose it is; 0 for administrators without a user */
};

struct divvy_http_mig_allocation {
    char workload[DIVVY_NODE_ID_BYTES];
    struct divvy_mig_device device;
    uint32_t uid;
    int64_t created_ns, expires_ns; /* CLOCK_REALTIME */
};

struct divvy_http_mig_device {
    struct divvy_mig_device device;
    struct divvy_mig_holder holder; /* of an instance */
};

/*
 * Starts the thread that keeps heartbeats, ends what has expired, and looks at the devices now and then. library: NVML, NULL for
 * the system's; lock_dir NULL: the library's. NVML need not be there. kept: the file that remembers allocations (NULL: none does);
 * those in it are reserved again by the thread, and what somebody else has by then is told and forgotten.
 */
int divvy_http_mig_start(const char *library, const char *lock_dir, const char *kept, struct divvy_http_mig **ret_mig,
                         struct divvy_error *error);

/* Lets all reservations go; the file remembers them. NULL is fine. */
void divvy_http_mig_stop(struct divvy_http_mig *mig);

/*
 * Reserves an instance for a workload. -EEXIST: it has one; what divvy_mig_profile_read and divvy_mig_reserve return; -ENFILE:
 * there are too many.
 */
int divvy_http_mig_allocate(struct divvy_http_mig *mig, const struct divvy_http_mig_wish *wish,
                            struct divvy_http_mig_allocation *ret_allocation, struct divvy_mig_error *error);

/* Gives it back. -ENOENT: there is none; -EPERM: it is another user's (an administrator's `is_admin` may all). */
int divvy_http_mig_deallocate(struct divvy_http_mig *mig, const char *workload, uint32_t uid, bool is_admin);

/* One of them: 0 or -ENOENT. */
int divvy_http_mig_find(struct divvy_http_mig *mig, const char *workload, struct divvy_http_mig_allocation *ret_allocation);

/* All, sorted by workload; malloc'd. 0 or -ENOMEM. */
int divvy_http_mig_allocations(struct divvy_http_mig *mig, struct divvy_http_mig_allocation **ret_allocations,
                               size_t *ret_count);

/* The devices as they are now, with who has them; malloc'd. What divvy_mig_open and divvy_mig_list return. */
int divvy_http_mig_devices(struct divvy_http_mig *mig, struct divvy_http_mig_device **ret_devices, size_t *ret_count,
                           struct divvy_mig_error *error);

/* As they were when they were last looked at, up to ten seconds ago, with who has them now; malloc'd. NVML is not asked. */
int divvy_http_mig_devices_known(struct divvy_http_mig *mig, struct divvy_http_mig_device **ret_devices, size_t *ret_count);

#endif
