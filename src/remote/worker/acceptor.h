/*
 * Processes for clients. The acceptor never touches the GPU: it keeps one process ready that has loaded the driver and waits for
 * a client on the listening sockets, and starts the next one as soon as that has found one. A process that crashes takes its
 * client with it and nobody else.
 */
#ifndef DIVVY_REMOTE_WORKER_ACCEPTOR_H
#define DIVVY_REMOTE_WORKER_ACCEPTOR_H

#include "base/error.h"
#include "remote/worker/listen.h"

/*
 * Serves until SIGTERM or SIGINT, then ends all processes: 0. Negative errno, with the reason, when no process can serve.
 * `ready` is called once, when the first process has the driver. For a program with one thread.
 */
int divvy_worker_acceptor_run(struct divvy_worker_listen *listener, unsigned int clients_max,
                              void (*ready)(const struct divvy_worker_listen *listener), struct divvy_error *error);

#endif
