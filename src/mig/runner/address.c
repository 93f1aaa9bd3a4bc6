/* Addresses: see address.h. */
#include "mig/runner/address.h"

#include "base/cleanup.h"
#include "core/parse.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define BACKLOG 512

static int host_parse(const char *host, size_t length, struct sockaddr_storage *ret_socket) {
    struct sockaddr_in *v4 = (struct sockaddr_in *)ret_socket;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret_socket;
    char text[INET6_ADDRSTRLEN + 1];

    if (length > 2 && host[0] == '[' && host[length - 1] == ']') {
        if (length - 2 >= sizeof text)
            return -EINVAL;
        memcpy(text, host + 1, length - 2);
        text[length - 2] = '\0';
        v6->sin6_family = AF_INET6;
        return inet_pton(AF_INET6, text, &v6->sin6_addr) == 1 ? 0 : -EINVAL;
    }
    v4->sin_family = AF_INET;
    v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (length == 0 || divvy_core_word_equal(host, length, "localhost"))
        return 0;
    v4->sin_addr.s_addr = htonl(INADDR_ANY);
    if (divvy_core_word_equal(host, length, "*"))
        return 0;
    if (length >= sizeof text)
        return -EINVAL;
    memcpy(text, host, length);
    text[length] = '\0';
    return inet_pton(AF_INET, text, &v4->sin_addr) == 1 ? 0 : -EINVAL;
}

int divvy_runner_address_parse(const char *text, struct divvy_runner_address *ret_address, struct divvy_error *error) {
    const char *colon = strrchr(text, ':'), *port = colon ? colon + 1 : text;
    struct divvy_runner_address address = {.length = 0};
    uint64_t number;

    if (divvy_core_u64_parse(port, strlen(port), &number, NULL) < 0 || number > UINT16_MAX ||
        (colon == text) || host_parse(text, colon ? (size_t)(colon - text) : 0, &address.socket) < 0)
        return divvy_error_set(error, -EINVAL,
                               "'%.64s' is no address; write PORT, 127.0.0.1:PORT, *:PORT or [::1]:PORT", text);
    address.length = address.socket.ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    divvy_runner_address_port_set(&address, (uint16_t)number);
    *ret_address = address;
    return 0;
}

/* The port stands at the same place in both families. */
_Static_assert(offsetof(struct sockaddr_in, sin_port) == offsetof(struct sockaddr_in6, sin6_port), "port");

uint16_t divvy_runner_address_port(const struct divvy_runner_address *address) {
    return ntohs(((const struct sockaddr_in *)&address->socket)->sin_port);
}

void divvy_runner_address_port_set(struct divvy_runner_address *address, uint16_t port) {
    ((struct sockaddr_in *)&address->socket)->sin_port = htons(port);
}

void divvy_runner_address_format(const struct divvy_runner_address *address, char ret_text[DIVVY_RUNNER_ADDRESS_BYTES]) {
    bool is_v6 = address->socket.ss_family == AF_INET6;
    char host[INET6_ADDRSTRLEN] = "?";

    (void)inet_ntop(address->socket.ss_family,
                    is_v6 ? (const void *)&((const struct sockaddr_in6 *)&address->socket)->sin6_addr
                          : (const void *)&((const struct sockaddr_in *)&address->socket)->sin_addr,
                    host, sizeof host);
    (void)snprintf(ret_text, DIVVY_RUNNER_ADDRESS_BYTES, is_v6 ? "[%s]:%u" : "%s:%u", host,
                   divvy_runner_address_port(address));
}

int divvy_runner_address_listen(struct divvy_runner_address *address, struct divvy_error *error) {
    cleanup_close int fd = socket(address->socket.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    char text[DIVVY_RUNNER_ADDRESS_BYTES];
    socklen_t length = sizeof address->socket;
    int one = 1;

    divvy_runner_address_format(address, text);
    if (fd < 0)
        return divvy_error_set_errno(error, -errno, "cannot listen on %s", text);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (const struct sockaddr *)&address->socket, address->length) < 0 || listen(fd, BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)&address->socket, &length) < 0)
        return divvy_error_set_errno(error, -errno, "cannot listen on %s", text);
    return divvy_cleanup_keep(&fd);
}
