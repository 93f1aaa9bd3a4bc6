/* Sockets by raw system calls: see socket.h. */
#include "wire/channel/socket.h"

#include "core/parse.h"
#include "core/sys.h"
#include "core/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define SYSTEM_CALL(...)                                                                                                       \
    __extension__({                                                                                                            \
        int host_errno_ = errno;                                                                                               \
        long result_ = syscall(__VA_ARGS__);                                                                                   \
        if (result_ == -1)                                                                                                     \
            result_ = -(long)errno;                                                                                            \
        errno = host_errno_;                                                                                                   \
        result_;                                                                                                               \
    })

static int unix_parse(const char *path, struct divvy_wire_address *ret_address) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);

    if (length >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, length + 1);
    memset(ret_address, 0, sizeof *ret_address);
    memcpy(&ret_address->storage, &address, sizeof address);
    ret_address->length = (socklen_t)sizeof address;
    memcpy(ret_address->host, "localhost", 10);
    return 0;
}

static int port_parse(const char *port, uint16_t *ret_port) {
    uint64_t number;

    if (!port || divvy_core_u64_parse(port, strlen(port), &number, NULL) < 0 || number == 0 || number > 65535)
        return -EINVAL;
    *ret_port = htons((uint16_t)number);
    return 0;
}

int divvy_wire_address_parse(const char *host, const char *port, struct divvy_wire_address *ret_address) {
    struct sockaddr_in ipv4 = {.sin_family = AF_INET};
    struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6};
    char text[DIVVY_WIRE_HOST_BYTES];
    size_t length = strlen(host);
    divvy_core_text_t header;
    int host_errno = errno;
    bool is_ipv4, is_ipv6;

    if (strncmp(host, "unix:/", 6) == 0)
        return unix_parse(host + 5, ret_address);
    if (host[0] == '/')
        return unix_parse(host, ret_address);
    if (length >= sizeof text - sizeof ":65535[]")
        return -ENAMETOOLONG;
    if (host[0] == '[' && length > 2 && host[length - 1] == ']') {
        memcpy(text, host + 1, length - 2);
        text[length - 2] = '\0';
    } else {
        memcpy(text, host, length + 1);
    }
    if (port_parse(port, &ipv4.sin_port) < 0)
        return -EINVAL;
    ipv6.sin6_port = ipv4.sin_port;
    is_ipv4 = inet_pton(AF_INET, strcmp(text, "localhost") == 0 ? "127.0.0.1" : text, &ipv4.sin_addr) == 1;
    is_ipv6 = !is_ipv4 && inet_pton(AF_INET6, text, &ipv6.sin6_addr) == 1;
    errno = host_errno;
    if (!is_ipv4 && !is_ipv6)
        return -EINVAL;
    memset(ret_address, 0, sizeof *ret_address);
    if (is_ipv4)
        memcpy(&ret_address->storage, &ipv4, sizeof ipv4);
    else
        memcpy(&ret_address->storage, &ipv6, sizeof ipv6);
    ret_address->length = (socklen_t)(is_ipv4 ? sizeof ipv4 : sizeof ipv6);
    divvy_core_text_init(&header, ret_address->host, sizeof ret_address->host);
    divvy_core_text_format(&header, is_ipv4 ? "%s:%u" : "[%s]:%u", text, (unsigned)ntohs(ipv4.sin_port));
    return 0;
}

/* Waits for one of `events` on fd (-1: for nothing). 0, -ETIMEDOUT, -ECANCELED. */
static int await(int fd, short events, uint64_t deadline_ns, int cancel_fd) {
    for (;;) {
        struct pollfd fds[2] = {{.fd = fd, .events = events}, {.fd = cancel_fd, .events = POLLIN}};
        uint64_t now_ns = divvy_core_clock_ns();
        struct timespec left = divvy_core_clock_timespec(deadline_ns > now_ns ? deadline_ns - now_ns : 0);
        long count = SYSTEM_CALL(SYS_ppoll, fds, 2, &left, NULL, (size_t)8);

        if (count < 0 && count != -EINTR)
            return (int)count;
        if (count > 0 && fds[1].revents)
            return -ECANCELED;
        if (count > 0 && fds[0].revents)
            return 0;
        if (divvy_core_clock_ns() >= deadline_ns)
            return -ETIMEDOUT;
    }
}

int divvy_wire_socket_wait(uint64_t deadline_ns, int cancel_fd) {
    return await(-1, 0, deadline_ns, cancel_fd);
}

static int connect_finish(int fd, uint64_t deadline_ns, int cancel_fd) {
    int status = await(fd, POLLOUT, deadline_ns, cancel_fd), fault = 0;
    socklen_t length = sizeof fault;

    if (status == 0)
        status = (int)SYSTEM_CALL(SYS_getsockopt, fd, SOL_SOCKET, SO_ERROR, &fault, &length);
    return status < 0 ? status : -fault;
}

int divvy_wire_socket_connect(const struct divvy_wire_address *address, uint64_t deadline_ns, int cancel_fd) {
    int fd = (int)SYSTEM_CALL(SYS_socket, address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int status, on = 1;

    if (fd < 0)
        return fd;
    do {
        status = (int)SYSTEM_CALL(SYS_connect, fd, &address->storage, address->length);
        /* A unix socket whose queue is full does not tell when there is room. */
        if (status == -EAGAIN && await(-1, 0, divvy_core_clock_ns() + 5 * DIVVY_NS_PER_MS, cancel_fd) == -ECANCELED)
            status = -ECANCELED;
    } while ((status == -EAGAIN && divvy_core_clock_ns() < deadline_ns) || status == -EINTR);
    if (status == -EINPROGRESS || status == -EALREADY)
        status = connect_finish(fd, deadline_ns, cancel_fd);
    if (status < 0) {
        divvy_core_sys_close(&fd);
        return status == -EAGAIN ? -ETIMEDOUT : status;
    }
    (void)SYSTEM_CALL(SYS_setsockopt, fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

int divvy_wire_socket_send(int fd, const char *bytes, size_t length, uint64_t deadline_ns, int cancel_fd) {
    size_t done = 0;

    while (done < length) {
        long sent = SYSTEM_CALL(SYS_sendto, fd, bytes + done, length - done, MSG_NOSIGNAL, NULL, 0);

        if (sent > 0) {
            done += (size_t)sent;
        } else if (sent == -EAGAIN) {
            int status = await(fd, POLLOUT, deadline_ns, cancel_fd);

            if (status < 0)
                return status;
        } else if (sent != -EINTR) {
            return sent < 0 ? (int)sent : -EPIPE;
        }
    }
    return 0;
}

ssize_t divvy_wire_socket_receive(int fd, char *bytes, size_t room, uint64_t deadline_ns, int cancel_fd) {
    for (;;) {
        long got = SYSTEM_CALL(SYS_recvfrom, fd, bytes, room, 0, NULL, NULL);
        int status;

        if (got >= 0)
            return (ssize_t)got;
        if (got == -EINTR)
            continue;
        if (got != -EAGAIN)
            return (ssize_t)got;
        status = await(fd, POLLIN, deadline_ns, cancel_fd);
        if (status < 0)
            return status;
    }
}
