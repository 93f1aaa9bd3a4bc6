/* A session through memory that a relay hands over: see wire/ring/pipe.h. */
#ifndef DIVVY_REMOTE_WORKER_RING_H
#define DIVVY_REMOTE_WORKER_RING_H

#include "wire/ring/pipe.h"

/*
 * Takes the greeting and the file that come on `fd`, a unix socket, maps it, takes the host's side and answers. The memory is
 * mapped until the process ends. -EPROTO: no greeting, or no file with it; -EINVAL: no ring can be in it; others.
 */
int divvy_worker_ring_take_over(int fd, struct divvy_wire_ring_pipe *ret_pipe);

#endif
