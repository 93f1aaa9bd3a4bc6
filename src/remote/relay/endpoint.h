/* Where somebody listens: a TCP port or a unix socket, as people write it. */
#ifndef DIVVY_REMOTE_RELAY_ENDPOINT_H
#define DIVVY_REMOTE_RELAY_ENDPOINT_H

#include "base/error.h"

#include <sys/socket.h>

struct divvy_relay_endpoint {
    struct sockaddr_storage address;
    socklen_t length;
    char text[128]; /* as it was written */
};

/*
 * "PORT", "HOST:PORT", "[IPV6]:PORT", "unix:PATH" or a path with a '/'. Names are resolved here, which may block: for the start and
 * for reloads. 0, -EINVAL, -ENAMETOOLONG, or -EHOSTUNREACH when the name leads nowhere.
 */
int divvy_relay_endpoint_parse(const char *text, struct divvy_relay_endpoint *ret_endpoint, struct divvy_error *error);

/* A socket that does not block, on its way there: its descriptor, the caller's; *ret_waits: not connected yet. Or a negative errno. */
int divvy_relay_endpoint_connect(const struct divvy_relay_endpoint *endpoint, int *ret_waits);

#endif
