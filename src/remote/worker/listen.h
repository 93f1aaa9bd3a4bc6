/* The sockets that a worker listens on. */
#ifndef DIVVY_REMOTE_WORKER_LISTEN_H
#define DIVVY_REMOTE_WORKER_LISTEN_H

#include "base/error.h"
#include "remote/worker/options.h"

#include <stdbool.h>

struct divvy_worker_listen {
    int fds[2];      /* TCP, unix; -1 none. They do not block */
    uint16_t port;   /* that TCP has */
    const char *path; /* of the unix socket; borrowed */
    bool owns_path;  /* it is to be removed at the end */
};

/*
 * Opens what the options ask for. A unix socket that nobody answers on is replaced; other files are not. -EADDRINUSE: the port
 * or socket is taken; other errors as bind has them. On failure nothing is open.
 */
int divvy_worker_listen_open(const struct divvy_worker_options *options, struct divvy_worker_listen *ret_listen,
                             struct divvy_error *error);

/* Closes them; removes the unix socket. */
void divvy_worker_listen_close(struct divvy_worker_listen *listener);

#endif
