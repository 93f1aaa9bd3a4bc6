/* Unix sockets that programs of ours serve. */
#ifndef DIVVY_BASE_UNIX_SOCKET_H
#define DIVVY_BASE_UNIX_SOCKET_H

#include "base/error.h"

#include <sys/types.h>

/*
 * A listening stream socket at `path`, close-on-exec, not blocking; its name has the mode, and nobody connects before it has. A name that is
 * left of a server that has gone is taken over; where somebody answers, or what is there is no socket, nothing is touched. The fd, which is the
 * caller's, or: -EINVAL, -ENAMETOOLONG: no path for a socket; -ENOTSOCK: something else is there; -EADDRINUSE: somebody serves it; others.
 */
int divvy_unix_listen(const char *path, mode_t mode, struct divvy_error *error);

#endif
