/* Listening sockets, and files of credentials. */
#include "daemon/http/listen.h"

#include "base/cleanup.h"
#include "core/parse.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define BACKLOG  1024
#define FILE_MAX (256u * 1024u)

int divvy_http_file_read(const char *path, bool secret, char **ret_text, size_t *ret_length, struct divvy_error *error) {
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    cleanup_free char *text = NULL;
    struct stat status;
    size_t length = 0;

    if (fd < 0)
        return divvy_error_set_errno(error, -errno, "%s cannot be read", path);
    if (fstat(fd, &status) != 0)
        return divvy_error_set_errno(error, -errno, "%s cannot be read", path);
    if (secret && (status.st_mode & S_IROTH))
        return divvy_error_set(error, -EPERM, "%s holds secrets but everybody can read it: chmod o-r", path);
    text = malloc(FILE_MAX + 1);
    if (!text)
        return divvy_error_set(error, -ENOMEM, "out of memory");
    for (;;) {
        ssize_t got = read(fd, text + length, FILE_MAX + 1 - length);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return divvy_error_set_errno(error, -errno, "%s cannot be read", path);
        if (got == 0)
            break;
        length += (size_t)got;
        if (length > FILE_MAX)
            return divvy_error_set(error, -EFBIG, "%s is longer than %u bytes", path, FILE_MAX);
    }
    text[length] = '\0';
    *ret_text = text;
    if (ret_length)
        *ret_length = length;
    text = NULL;
    return 0;
}

/* The descriptor, which is no longer closed at the end of its scope. */
static int fd_take(int *fd) {
    int taken = *fd;

    *fd = -1;
    return taken;
}

static bool address_is_loopback(const struct sockaddr *address) {
    if (address->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr) >> 24 == 127;
    if (address->sa_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
    return false;
}

static int tcp_bind(const struct addrinfo *found, const char *text, bool *ret_loopback, uint16_t *ret_port,
                    struct divvy_error *error) {
    cleanup_close int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_storage bound;
    socklen_t length = sizeof bound;
    int one = 1, zero = 0;

    if (fd < 0)
        return divvy_error_set_errno(error, -errno, "socket");
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (found->ai_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
    if (bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&bound, &length) != 0)
        return divvy_error_set_errno(error, -errno, "cannot listen on %s", text);
    *ret_loopback = address_is_loopback((const struct sockaddr *)&bound);
    *ret_port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)(void *)&bound)->sin6_port
                                                  : ((struct sockaddr_in *)(void *)&bound)->sin_port);
    return fd_take(&fd);
}

int divvy_http_listen_tcp(const char *text, bool *ret_loopback, uint16_t *ret_port, struct divvy_error *error) {
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    const char *colon = strrchr(text, ':'), *name = text;
    struct addrinfo *found = NULL;
    char host[256];
    uint64_t port;
    size_t length = colon ? (size_t)(colon - text) : 0;
    int result;

    if (!colon || divvy_core_u64_parse(colon + 1, strlen(colon + 1), &port, NULL) != 0 || port > 65535)
        return divvy_error_set(error, -EINVAL, "'%s' is not HOST:PORT", text);
    if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
        name++;
        length -= 2;
    } else if (memchr(text, ':', length)) {
        return divvy_error_set(error, -EINVAL, "'%s' is not HOST:PORT; an IPv6 address goes into brackets", text);
    }
    if (length >= sizeof host)
        return divvy_error_set(error, -EINVAL, "the host of '%s' is too long", text);
    memcpy(host, name, length);
    host[length] = '\0';
    result = getaddrinfo(length ? host : NULL, colon + 1, &hints, &found);
    if (result != 0)
        return divvy_error_set(error, -EINVAL, "host '%s' has no address: %s", host, gai_strerror(result));
    result = tcp_bind(found, text, ret_loopback, ret_port, error);
    freeaddrinfo(found);
    return result;
}
