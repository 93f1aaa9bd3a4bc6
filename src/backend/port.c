/* Whether a TCP port is free: see process.h. */
#include "backend/process.h"

#include "base/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

static int listen_try(int family, const struct sockaddr *address, socklen_t length) {
    cleanup_close int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int yes = 1;

    if (fd < 0)
        return errno == EAFNOSUPPORT ? 0 : -errno;
    /* connections that have just ended do not hold a port; whoever listens does, also on one address alone */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) < 0 ||
        (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes) < 0))
        return -errno;
    if (bind(fd, address, length) < 0 || listen(fd, 1) < 0)
        return errno == EADDRNOTAVAIL ? 0 : -errno;
    return 0;
}

int divvy_backend_port_check(uint16_t port) {
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_ANY)}};
    struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_any};
    int status = listen_try(AF_INET, (const struct sockaddr *)&any, sizeof any);

    return status < 0 ? status : listen_try(AF_INET6, (const struct sockaddr *)&any6, sizeof any6);
}
