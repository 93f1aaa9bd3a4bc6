/* Bytes on their way: see bytes.h. */
#include "remote/relay/bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define KEEP_BYTES ((size_t)256 << 10) /* an empty buffer that is larger gives its memory back */

int divvy_relay_bytes_reserve(struct divvy_relay_bytes *bytes, size_t length) {
    size_t there = divvy_relay_bytes_length(bytes), room = bytes->room ? bytes->room : 4096;
    char *data;

    if (bytes->room - bytes->end >= length)
        return 0;
    if (bytes->start > 0) {
        memmove(bytes->data, bytes->data + bytes->start, there);
        bytes->start = 0;
        bytes->end = there;
    }
    if (bytes->room - bytes->end >= length)
        return 0;
    while (room - there < length) {
        if (room > SIZE_MAX / 2)
            return -ENOMEM;
        room *= 2;
    }
    data = realloc(bytes->data, room);
    if (!data)
        return -ENOMEM;
    bytes->data = data;
    bytes->room = room;
    return 0;
}

int divvy_relay_bytes_append(struct divvy_relay_bytes *bytes, const void *data, size_t length) {
    if (length == 0)
        return 0;
    if (divvy_relay_bytes_reserve(bytes, length) < 0)
        return -ENOMEM;
    memcpy(bytes->data + bytes->end, data, length);
    bytes->end += length;
    return 0;
}

void divvy_relay_bytes_consume(struct divvy_relay_bytes *bytes, size_t length) {
    size_t there = divvy_relay_bytes_length(bytes);

    bytes->start += length < there ? length : there;
    if (bytes->start < bytes->end)
        return;
    bytes->start = bytes->end = 0;
    if (bytes->room > KEEP_BYTES)
        divvy_relay_bytes_done(bytes);
}

void divvy_relay_bytes_done(struct divvy_relay_bytes *bytes) {
    free(bytes->data);
    *bytes = (struct divvy_relay_bytes){0};
}

int64_t divvy_relay_bytes_receive(struct divvy_relay_bytes *bytes, int fd, size_t length) {
    ssize_t got;

    if (divvy_relay_bytes_reserve(bytes, length) < 0)
        return -ENOMEM;
    do
        got = recv(fd, bytes->data + bytes->end, length, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    bytes->end += (size_t)got;
    return got;
}

int divvy_relay_bytes_send(struct divvy_relay_bytes *bytes, int fd, uint64_t *sent) {
    while (divvy_relay_bytes_length(bytes) > 0) {
        ssize_t put = send(fd, divvy_relay_bytes_front(bytes), divvy_relay_bytes_length(bytes), MSG_NOSIGNAL | MSG_DONTWAIT);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return errno == EAGAIN ? 0 : -errno;
        *sent += (uint64_t)put;
        divvy_relay_bytes_consume(bytes, (size_t)put);
    }
    return 0;
}
