/* Listening sockets, and files of credentials. */
#ifndef DIVVY_DAEMON_HTTP_LISTEN_H
#define DIVVY_DAEMON_HTTP_LISTEN_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A listening TCP socket at "HOST:PORT", "[IPV6]:PORT" or ":PORT" (all addresses). The descriptor, the caller's; -EINVAL: not
 * such a text, or the host has no address.
 */
int divvy_http_listen_tcp(const char *text, bool *ret_loopback, uint16_t *ret_port, struct divvy_error *error);

/*
 * A whole file of at most 256 KiB, NUL-terminated, malloc'd; ret_length may be NULL. secret: -EPERM when everybody can read
 * it. Others of open and read.
 */
int divvy_http_file_read(const char *path, bool secret, char **ret_text, size_t *ret_length, struct divvy_error *error);

#endif
