/* Blocking sockets for tests of the runner's servers: whatever does not come within seconds fails the test. */
#ifndef DIVVY_TESTS_MIG_RUNNER_NET_H
#define DIVVY_TESTS_MIG_RUNNER_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A listener on a free port of 127.0.0.1. */
int net_listen(uint16_t *ret_port);
int net_connect(uint16_t port);
/* The next connection; -1: none comes within so many milliseconds. */
int net_accept(int listen_fd, int timeout_ms);

void net_send(int fd, const void *bytes, size_t length);
void net_say(int fd, const char *text);
/* Exactly so many bytes. */
void net_take(int fd, void *bytes, size_t length);
/* Exactly this text. */
void net_expect(int fd, const char *text);
/* Up to and with the empty line of a head. */
void net_head(int fd, char *ret_head, size_t size);
/* All up to the end; false: the connection was reset. */
bool net_rest(int fd, char *ret_text, size_t size);

#endif
