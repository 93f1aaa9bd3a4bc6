/* Addresses to listen on: "8001", "127.0.0.1:8001", "localhost:8001", "*:8001", "[::1]:8001". Numbers only, no name is looked up. */
#ifndef DIVVY_MIG_RUNNER_ADDRESS_H
#define DIVVY_MIG_RUNNER_ADDRESS_H

#include "base/error.h"

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

#define DIVVY_RUNNER_ADDRESS_BYTES 64

struct divvy_runner_address {
    struct sockaddr_storage socket;
    socklen_t length;
};

/* A port alone is one of 127.0.0.1; port 0 leaves the choice to the system. -EINVAL. Pure. */
int divvy_runner_address_parse(const char *text, struct divvy_runner_address *ret_address, struct divvy_error *error);

uint16_t divvy_runner_address_port(const struct divvy_runner_address *address);
void divvy_runner_address_port_set(struct divvy_runner_address *address, uint16_t port);

/* "127.0.0.1:8001" */
void divvy_runner_address_format(const struct divvy_runner_address *address, char ret_text[DIVVY_RUNNER_ADDRESS_BYTES]);

/*
 * A listening socket (non-blocking, close-on-exec), the caller's; *address then has the port that it got. -EADDRINUSE and others.
 */
int divvy_runner_address_listen(struct divvy_runner_address *address, struct divvy_error *error);

#endif
