/* The single-node backend inside divvyd: for single*.c only. */
#ifndef DIVVY_DAEMON_SINGLE_INSIDE_H
#define DIVVY_DAEMON_SINGLE_INSIDE_H

#include "backend/workers.h"
#include "daemon/single.h"

struct divvy_single {
    struct divvy_backend_devices *devices;
    struct divvy_backend_allocations *allocations;
    struct divvy_backend_single *single;
    struct divvy_backend_workers *workers;
    int state_fd;
};

/* Limits kept by tenants of the daemon. */
struct divvy_backend_limiter divvy_single_limiter(struct divvy_daemon *daemon);

#endif
