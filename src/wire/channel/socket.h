/*
 * Sockets for injected code: raw system calls (a host program may have its own connect or poll), errno kept, no signal ever
 * (MSG_NOSIGNAL), every wait with an end. Thread-safe; valid after fork.
 */
#ifndef DIVVY_WIRE_CHANNEL_SOCKET_H
#define DIVVY_WIRE_CHANNEL_SOCKET_H

#include "core/clock.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#define DIVVY_WIRE_HOST_BYTES 108

struct divvy_wire_address {
    struct sockaddr_storage storage;
    socklen_t length;
    char host[DIVVY_WIRE_HOST_BYTES]; /* for the Host header */
};

/*
 * An IPv4 or IPv6 address (brackets allowed) or "localhost", with a port of 1 to 65535; or "unix:/path" or "/path", port
 * ignored. Names are not looked up: that takes libraries and memory. -EINVAL, -ENAMETOOLONG.
 */
int divvy_wire_address_parse(const char *host, const char *port, struct divvy_wire_address *ret_address);

/*
 * A descriptor that becomes readable when waits shall end early (an eventfd, say), or -1: as a member of all waits below,
 * which then return -ECANCELED. Deadlines are divvy_core_clock_ns.
 */

/* Connected, non-blocking, close-on-exec. The caller's to close; or -ETIMEDOUT, -ECANCELED, -ECONNREFUSED and others. */
int divvy_wire_socket_connect(const struct divvy_wire_address *address, uint64_t deadline_ns, int cancel_fd);
/* All of it. 0, -ETIMEDOUT, -ECANCELED, -EPIPE, -ECONNRESET and others. */
int divvy_wire_socket_send(int fd, const char *bytes, size_t length, uint64_t deadline_ns, int cancel_fd);
/* At least one byte, 0 at the end of the stream, or a negative errno as above. */
ssize_t divvy_wire_socket_receive(int fd, char *bytes, size_t room, uint64_t deadline_ns, int cancel_fd);
/* Until the deadline: -ETIMEDOUT; or -ECANCELED. */
int divvy_wire_socket_wait(uint64_t deadline_ns, int cancel_fd);

#endif
