/* The socket between stub and relay. */
#include "stub/link.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/cleanup.h"

int divvy_stub_link_init(struct divvy_stub_link *link, const char *path, struct divvy_error *error) {
    struct sockaddr_un address;

    if (!*path || strlen(path) >= sizeof address.sun_path)
        return divvy_error_set(error, -ENAMETOOLONG, "the relay's socket needs a path of 1 to %zu bytes",
                               sizeof address.sun_path - 1);
    link->path = path;
    link->fd = -1;
    link->in_bytes = link->out_bytes = 0;
    return 0;
}

int divvy_stub_link_connect(struct divvy_stub_link *link) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    cleanup_close int fd = -1;

    if (link->fd >= 0)
        return 0;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    memcpy(address.sun_path, link->path, strlen(link->path) + 1);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) != 0)
        return -errno;
    link->fd = divvy_cleanup_keep(&fd);
    link->in_bytes = link->out_bytes = 0;
    return 0;
}

void divvy_stub_link_close(struct divvy_stub_link *link) {
    divvy_cleanup_close(&link->fd);
    link->in_bytes = link->out_bytes = 0;
}

static int closed(struct divvy_stub_link *link, int status) {
    divvy_stub_link_close(link);
    return status;
}

bool divvy_stub_link_wants_write(const struct divvy_stub_link *link) {
    return link->fd >= 0 && link->out_bytes > 0;
}

int divvy_stub_link_flush(struct divvy_stub_link *link) {
    while (link->fd >= 0 && link->out_bytes > 0) {
        ssize_t sent = send(link->fd, link->out, link->out_bytes, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EAGAIN ? 0 : closed(link, -errno);
        link->out_bytes -= (size_t)sent;
        memmove(link->out, link->out + sent, link->out_bytes);
    }
    return 0;
}

int divvy_stub_link_send(struct divvy_stub_link *link, const struct divvy_wire_vgpu_header *header,
                         const uint8_t *payload) {
    if (link->fd < 0)
        return -ENOTCONN;
    if (DIVVY_WIRE_VGPU_HEADER_BYTES + (size_t)header->payload_bytes > sizeof link->out - link->out_bytes)
        return closed(link, -ENOBUFS);
    divvy_wire_vgpu_header_write(header, link->out + link->out_bytes);
    link->out_bytes += DIVVY_WIRE_VGPU_HEADER_BYTES;
    if (header->payload_bytes)
        memcpy(link->out + link->out_bytes, payload, header->payload_bytes);
    link->out_bytes += header->payload_bytes;
    return divvy_stub_link_flush(link);
}

/* Reads on until `in` holds `wanted` bytes: 1, or 0 when they have not come yet. */
static int fill(struct divvy_stub_link *link, size_t wanted) {
    while (link->in_bytes < wanted) {
        ssize_t got = recv(link->fd, link->in + link->in_bytes, wanted - link->in_bytes, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return 0;
        if (got <= 0)
            return closed(link, got < 0 ? -errno : -ECONNRESET);
        link->in_bytes += (size_t)got;
    }
    return 1;
}

int divvy_stub_link_receive(struct divvy_stub_link *link, struct divvy_stub_frame *ret_frame) {
    int status;

    if (link->fd < 0)
        return 0;
    status = fill(link, DIVVY_WIRE_VGPU_HEADER_BYTES);
    if (status <= 0)
        return status;
    status = divvy_wire_vgpu_header_read(link->in, &ret_frame->header);
    if (status < 0)
        return closed(link, status);
    status = fill(link, DIVVY_WIRE_VGPU_HEADER_BYTES + (size_t)ret_frame->header.payload_bytes);
    if (status <= 0)
        return status;
    ret_frame->payload = link->in + DIVVY_WIRE_VGPU_HEADER_BYTES;
    link->in_bytes = 0;
    return 1;
}
