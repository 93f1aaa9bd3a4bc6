/* A client's connection through shared memory. Not installed; stream.c uses it. */
#ifndef DIVVY_REMOTE_CLIENT_RING_H
#define DIVVY_REMOTE_CLIENT_RING_H

#include "wire/ring/pipe.h"

#include <stdbool.h>
#include <stdint.h>

struct divvy_client_ring {
    struct divvy_wire_ring_pipe pipe; /* its stream_fd belongs to whoever opened it */
    void *memory;
    uint64_t memory_bytes;
};

/* The device file of the virtio-serial port org.divvy.0 of this VM. -ENODEV; or a negative errno. */
int divvy_client_ring_port_find(char *ret_path, size_t room);

/* The memory of the first ivshmem device of this VM, switched on. -ENODEV; or a negative errno. */
int divvy_client_ring_device_find(char *ret_path, size_t room);

/*
 * Maps `path` and greets the host on stream_fd, which does not block if it is no socket. *ret_ring is to be closed. -ESTALE: the
 * host has another file or none for this VM; -EBUSY: another client uses it; -EPROTO: versions, or no relay of this protocol;
 * -ETIMEDOUT; others.
 */
int divvy_client_ring_open(const char *path, int stream_fd, bool is_socket, uint32_t timeout_ms,
                           struct divvy_client_ring **ret_ring);

/* Tells the host on a stream that goes on, and unmaps. NULL is fine. */
void divvy_client_ring_close(struct divvy_client_ring *ring);

#endif
