/* Serving one client from its first byte to its end, in a process for that. */
#ifndef DIVVY_REMOTE_WORKER_SERVE_H
#define DIVVY_REMOTE_WORKER_SERVE_H

#include "remote/worker/driver.h"
#include "remote/worker/vector.h"

/* What kind of client it was. */
enum divvy_worker_served {
    DIVVY_WORKER_SERVED_NOTHING, /* it went away before it said anything, or spoke neither dialect */
    DIVVY_WORKER_SERVED_JSON,    /* nothing of it is left in this process */
    DIVVY_WORKER_SERVED_FRAMES,  /* the process is to end: that frees what the client had */
};

/*
 * Speaks with the client on `fd`, a connected stream socket that blocks, until either side ends it; closes fd. A client that
 * vanishes while the GPU works for it ends the process within two seconds.
 */
enum divvy_worker_served divvy_worker_serve(int fd, const struct divvy_worker_driver *driver,
                                            struct divvy_worker_vector *vector);

#endif
