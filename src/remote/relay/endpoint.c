/* Addresses: see endpoint.h. */
#include "remote/relay/endpoint.h"

#include "base/cleanup.h"
#include "core/parse.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

static int unix_address(const char *path, struct sockaddr_storage *ret_address, socklen_t *ret_length) {
    struct sockaddr_un un = {.sun_family = AF_UNIX};

    if (!path[0])
        return -EINVAL;
    if (strlen(path) >= sizeof un.sun_path)
        return -ENAMETOOLONG;
    memcpy(un.sun_path, path, strlen(path) + 1);
    memset(ret_address, 0, sizeof *ret_address);
    memcpy(ret_address, &un, sizeof un);
    *ret_length = sizeof un;
    return 0;
}

static int tcp_resolve(const char *host, const char *port, struct divvy_relay_endpoint *endpoint, struct divvy_error *error) {
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found;
    uint64_t number;
    int status;

    if (divvy_core_u64_parse(port, strlen(port), &number, NULL) < 0 || number < 1 || number > 65535)
        return divvy_error_set(error, -EINVAL, "'%.100s': the port must be a number from 1 to 65535", endpoint->text);
    status = getaddrinfo(host, port, &hints, &found);
    if (status != 0)
        return divvy_error_set(error, -EHOSTUNREACH, "'%.100s': %s", endpoint->text, gai_strerror(status));
    memcpy(&endpoint->address, found->ai_addr, found->ai_addrlen);
    endpoint->length = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

int divvy_relay_endpoint_parse(const char *text, struct divvy_relay_endpoint *ret_endpoint, struct divvy_error *error) {
    struct divvy_relay_endpoint endpoint = {0};
    const char *path = strncmp(text, "unix:", 5) == 0 ? text + 5 : strchr(text, '/') ? text : NULL;
    char host[sizeof endpoint.text], *port;
    int status;

    if (strlen(text) >= sizeof endpoint.text)
        return divvy_error_set(error, -ENAMETOOLONG, "'%.40s...': an address is at most %zu bytes long", text,
                               sizeof endpoint.text - 1);
    memcpy(endpoint.text, text, strlen(text) + 1);
    if (path) {
        status = unix_address(path, &endpoint.address, &endpoint.length);
        if (status < 0)
            return divvy_error_set_errno(error, status, "'%.100s' cannot be a unix socket", text);
    } else {
        memcpy(host, text, strlen(text) + 1);
        port = strrchr(host, ':');
        if (port)
            *port++ = '\0';
        if (host[0] == '[' && host[strlen(host) - 1] == ']') {
            host[strlen(host) - 1] = '\0';
            memmove(host, host + 1, strlen(host));
        }
        status = tcp_resolve(port ? host : "127.0.0.1", port ? port : host, &endpoint, error);
        if (status < 0)
            return status;
    }
    *ret_endpoint = endpoint;
    return 0;
}

int divvy_relay_endpoint_connect(const struct divvy_relay_endpoint *endpoint, int *ret_waits) {
    cleanup_close int fd = socket(endpoint->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const int one = 1;

    if (fd < 0)
        return -errno;
    if (endpoint->address.ss_family != AF_UNIX)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    *ret_waits = 0;
    if (connect(fd, (const struct sockaddr *)&endpoint->address, endpoint->length) < 0) {
        if (errno != EINPROGRESS)
            return -errno;
        *ret_waits = 1;
    }
    return divvy_cleanup_keep(&fd);
}
