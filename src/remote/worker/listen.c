/* Listening: see listen.h. */
#include "remote/worker/listen.h"

#include "base/cleanup.h"
#include "base/unix_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 512

/* All addresses, of both families where there are two; else the one given. */
static int address_make(const struct divvy_worker_options *options, int family, struct sockaddr_storage *ret_address,
                        socklen_t *ret_length, struct divvy_error *error) {
    struct sockaddr_in *four = (struct sockaddr_in *)ret_address;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)ret_address;

    memset(ret_address, 0, sizeof *ret_address);
    ret_address->ss_family = (sa_family_t)family;
    if (family == AF_INET) {
        four->sin_port = htons(options->port);
        *ret_length = sizeof *four;
    } else {
        six->sin6_port = htons(options->port);
        *ret_length = sizeof *six;
    }
    if (options->address && inet_pton(family, options->address,
                                      family == AF_INET ? (void *)&four->sin_addr : (void *)&six->sin6_addr) != 1)
        return divvy_error_set(error, -EINVAL, "--bind '%.64s': a numeric address is needed, as 127.0.0.1",
                               options->address);
    return 0;
}

static int tcp_open(const struct divvy_worker_options *options, int *ret_fd, uint16_t *ret_port,
                    struct divvy_error *error) {
    bool is_four = options->address && !strchr(options->address, ':');
    int family = is_four ? AF_INET : AF_INET6, one = 1, off = 0;
    struct sockaddr_storage address;
    socklen_t length;
    cleanup_close int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 && !options->address && errno == EAFNOSUPPORT) {
        family = AF_INET;
        fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    }
    if (fd < 0)
        return divvy_error_set_errno(error, -errno, "cannot make a socket");
    if (address_make(options, family, &address, &length, error) < 0)
        return error->status;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, BACKLOG) < 0)
        return divvy_error_set_errno(error, -errno, "cannot listen on port %u", options->port);
    length = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        return divvy_error_set_errno(error, -errno, "cannot tell the port");
    *ret_port = ntohs(family == AF_INET ? ((struct sockaddr_in *)&address)->sin_port
                                        : ((struct sockaddr_in6 *)&address)->sin6_port);
    *ret_fd = divvy_cleanup_keep(&fd);
    return 0;
}

int divvy_worker_listen_open(const struct divvy_worker_options *options, struct divvy_worker_listen *ret_listen,
                             struct divvy_error *error) {
    struct divvy_worker_listen listener = {.fds = {-1, -1}, .path = options->socket};

    if (options->has_tcp && tcp_open(options, &listener.fds[0], &listener.port, error) < 0)
        return error->status;
    if (options->socket) {
        listener.fds[1] = divvy_unix_listen(options->socket, 0600, error);
        if (listener.fds[1] < 0) {
            divvy_cleanup_close(&listener.fds[0]);
            return error->status;
        }
    }
    listener.owns_path = options->socket;
    *ret_listen = listener;
    return 0;
}

void divvy_worker_listen_close(struct divvy_worker_listen *listener) {
    divvy_cleanup_close(&listener->fds[0]);
    divvy_cleanup_close(&listener->fds[1]);
    if (listener->owns_path)
        (void)unlink(listener->path);
    listener->owns_path = false;
}
