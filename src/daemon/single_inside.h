/* The single-node backend inside divvyd: for single*.c only. */
#ifndef DIVVY_DAEMON_SINGLE_INSIDE_H
#define DIVVY_DAEMON_SINGLE_INSIDE_H

#include "backend/workers.h"
#include "daemon/single.h"

/* Which tenants were made for workers is noted, a file each in <state>/tenants: they outlive us, and may have to go after a restart. */
struct divvy_single_notes {
    struct divvy_daemon *daemon;
    int fd; /* the folder */
};

struct divvy_single {
    struct divvy_single_notes notes;
    struct divvy_backend_devices *devices;
    struct divvy_backend_allocations *allocations;
    struct divvy_backend_single *single;
    struct divvy_backend_workers *workers;
    int state_fd;
};

/* Limits kept by tenants of the daemon. `notes` must outlive it. */
struct divvy_backend_limiter divvy_single_limiter(struct divvy_single_notes *notes);

int divvy_single_notes_open(struct divvy_daemon *daemon, int state_fd, struct divvy_single_notes *ret_notes, struct divvy_error *error);
/* Removes the tenants of workers that are not wanted any more. */
void divvy_single_notes_sweep(struct divvy_single_notes *notes, struct divvy_backend_single *single);

#endif
