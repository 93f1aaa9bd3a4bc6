/* Addresses of workers: see divvy/client.h. Names are not resolved: a program in a small guest has no resolver. */
#include "remote/client/stream.h"

#include "core/parse.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

/* What waking up the processor of a virtual machine takes, its host's share included. */
#define PORT_WINDOW_NS (300 * DIVVY_NS_PER_US)

/* How often, and how far apart, a port is tried that another program has. */
#define BUSY_TRIES    50
#define BUSY_PAUSE_MS 20

union any_address {
    struct sockaddr any;
    struct sockaddr_un local;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
};

static int socket_connect(const union any_address *address, socklen_t length, uint32_t timeout_ms) {
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1, status;
    struct timeval timeout = {.tv_sec = timeout_ms / 1000, .tv_usec = (suseconds_t)(timeout_ms % 1000) * 1000};

    if (fd < 0)
        return -errno;
    /* Also bounds connect. */
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    if (address->any.sa_family != AF_UNIX)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    do
        status = connect(fd, &address->any, length) < 0 ? -errno : 0;
    while (status == -EINTR);
    if (status == 0)
        return fd;
    (void)close(fd);
    return status == -EINPROGRESS ? -ETIMEDOUT : status;
}

static int unix_connect(const char *path, uint32_t timeout_ms) {
    union any_address address = {.local.sun_family = AF_UNIX};

    if (path[0] == '\0' || strlen(path) >= sizeof address.local.sun_path)
        return -EINVAL;
    memcpy(address.local.sun_path, path, strlen(path) + 1);
    return socket_connect(&address, sizeof address.local, timeout_ms);
}

static int tcp_connect(const char *text, uint32_t timeout_ms) {
    const char *colon = strrchr(text, ':'), *host = text;
    size_t length = colon ? (size_t)(colon - text) : 0;
    union any_address address;
    uint64_t port;
    char name[64];

    if (!colon || divvy_core_u64_parse(colon + 1, strlen(colon + 1), &port, NULL) < 0 || port < 1 || port > UINT16_MAX)
        return -EINVAL;
    if (length >= 2 && host[0] == '[' && host[length - 1] == ']') {
        host++;
        length -= 2;
    }
    if (length == 0 || length >= sizeof name)
        return -EINVAL;
    memcpy(name, host, length);
    name[length] = '\0';
    memset(&address, 0, sizeof address);
    if (inet_pton(AF_INET, strcmp(name, "localhost") == 0 ? "127.0.0.1" : name, &address.four.sin_addr) == 1) {
        address.four.sin_family = AF_INET;
        address.four.sin_port = htons((uint16_t)port);
        return socket_connect(&address, sizeof address.four, timeout_ms);
    }
    if (inet_pton(AF_INET6, name, &address.six.sin6_addr) != 1)
        return -EINVAL;
    address.six.sin6_family = AF_INET6;
    address.six.sin6_port = htons((uint16_t)port);
    return socket_connect(&address, sizeof address.six, timeout_ms);
}

static int serial_open(const char *path) {
    struct termios mode;
    int fd = -1;

    /* A port is one program's at a time, and one that was killed may have it for a moment yet. */
    for (int tries = 0; tries < BUSY_TRIES; tries++) {
        /* A port that nobody listens to on the host would block whoever writes. */
        fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd >= 0 || errno != EBUSY || tries == BUSY_TRIES - 1)
            break;
        (void)poll(NULL, 0, BUSY_PAUSE_MS);
    }
    if (fd < 0)
        return -errno;
    /* A virtio-serial port has no line discipline; a serial line has one, which must keep bytes as they are. */
    if (tcgetattr(fd, &mode) == 0) {
        cfmakeraw(&mode);
        (void)tcsetattr(fd, TCSANOW, &mode);
    }
    return fd;
}

/* "FILE,STREAM", either of which may be missing: in a VM both are looked for, else the stream is FILE.sock. */
static int ring_connect(struct divvy_client *client, const char *text) {
    const char *comma = strrchr(text, ',');
    size_t length = comma ? (size_t)(comma - text) : strlen(text);
    char file[256], stream[256];
    struct stat found;
    bool is_found = length == 0;
    int status = 0;

    if (length + sizeof ".sock" > sizeof file || (comma && (!comma[1] || strlen(comma + 1) >= sizeof stream)))
        return -EINVAL;
    memcpy(file, text, length);
    file[length] = '\0';
    if (is_found)
        status = divvy_client_ring_device_find(file, sizeof file);
    if (status == 0 && comma)
        memcpy(stream, comma + 1, strlen(comma + 1) + 1);
    else if (status == 0 && (is_found || strncmp(file, "/sys/", 5) == 0))
        status = divvy_client_ring_port_find(stream, sizeof stream);
    else if (status == 0)
        (void)snprintf(stream, sizeof stream, "%.250s.sock", file);
    if (status < 0)
        return status;
    client->is_socket = stat(stream, &found) == 0 && S_ISSOCK(found.st_mode);
    client->fd = client->is_socket ? unix_connect(stream, client->timeout_ms) : serial_open(stream);
    if (client->fd < 0)
        return client->fd;
    if (!client->is_socket)
        (void)fcntl(client->fd, F_SETFL, fcntl(client->fd, F_GETFL) | O_NONBLOCK);
    return divvy_client_ring_open(file, client->fd, client->is_socket, client->timeout_ms, &client->ring);
}

int divvy_client_stream_connect(struct divvy_client *client, const char *address) {
    if (strncmp(address, "shm:", 4) == 0)
        return ring_connect(client, address + 4);
    client->is_socket = strncmp(address, "serial:", 7) != 0;
    client->spin.window_ns = DIVVY_CORE_SPIN_WINDOW_NS;
    if (!client->is_socket) {
        client->fd = serial_open(address + 7);
        client->spin.window_ns = PORT_WINDOW_NS;
    } else if (strncmp(address, "unix:", 5) == 0)
        client->fd = unix_connect(address + 5, client->timeout_ms);
    else if (strncmp(address, "tcp:", 4) == 0)
        client->fd = tcp_connect(address + 4, client->timeout_ms);
    else
        client->fd = strchr(address, '/') ? unix_connect(address, client->timeout_ms) : tcp_connect(address, client->timeout_ms);
    return client->fd < 0 ? client->fd : 0;
}
