/* A session through memory that a relay hands over: see wire/ring/pipe.h. */
#ifndef DIVVY_REMOTE_WORKER_RING_H
#define DIVVY_REMOTE_WORKER_RING_H

#include "remote/worker/session.h"
#include "wire/ring/pipe.h"

/* A session's memory, and its turn at the GPU, which the relay gives and asks back. */
struct divvy_worker_ring {
    struct divvy_wire_ring_pipe pipe;
    struct divvy_worker_session *session;
    void *memory;
    size_t memory_bytes;
    bool has_turn;
    uint64_t looked_ns; /* when it was last looked whether the relay wants the turn back */
};

/*
 * Takes the greeting and the file that come on `fd`, a unix socket, maps it, takes the host's side and answers. The memory is
 * mapped until the process ends. -EPROTO: no greeting, or no file with it; -EINVAL: no ring can be in it; others.
 */
int divvy_worker_ring_take_over(int fd, struct divvy_worker_ring *ret_ring);

/* Waits for bytes, without a turn if they do not come at once, and then for a turn. 0, or negative when the connection is to end. */
int divvy_worker_ring_wait(struct divvy_worker_ring *ring);

/* Sends; gives the turn back while the client does not take what was sent before. 0, or negative. */
int divvy_worker_ring_send(struct divvy_worker_ring *ring, const void *bytes, size_t size);

/*
 * A large copy, if that is what comes next, from the memory to the device or back, without a copy in between: 1 when it was done;
 * 0 when something else comes, or nothing yet; negative when the connection is to end. Answers before it have been sent.
 */
int divvy_worker_ring_copy(struct divvy_worker_ring *ring);

#endif
