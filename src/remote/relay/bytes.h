/* Bytes that come in at the end and go out at the front, in one piece of memory that grows and is given back when large. */
#ifndef DIVVY_REMOTE_RELAY_BYTES_H
#define DIVVY_REMOTE_RELAY_BYTES_H

#include <stddef.h>
#include <stdint.h>

/* All zero: empty. */
struct divvy_relay_bytes {
    char *data;
    size_t start, end, room; /* data[start .. end) is there */
};

static inline size_t divvy_relay_bytes_length(const struct divvy_relay_bytes *bytes) {
    return bytes->end - bytes->start;
}

static inline char *divvy_relay_bytes_front(const struct divvy_relay_bytes *bytes) {
    return bytes->data + bytes->start;
}

/* Room for `length` more behind the end. 0 or -ENOMEM. */
int divvy_relay_bytes_reserve(struct divvy_relay_bytes *bytes, size_t length);

/* 0 or -ENOMEM. */
int divvy_relay_bytes_append(struct divvy_relay_bytes *bytes, const void *data, size_t length);

/* Drops `length` bytes (at most what is there) from the front. */
void divvy_relay_bytes_consume(struct divvy_relay_bytes *bytes, size_t length);

void divvy_relay_bytes_done(struct divvy_relay_bytes *bytes);

/* Reads once from a socket that does not block, at most `length` bytes. How many came; 0 at the end; or a negative errno. */
int64_t divvy_relay_bytes_receive(struct divvy_relay_bytes *bytes, int fd, size_t length);

/* Sends what is there until the socket takes no more. 0, or a negative errno other than -EAGAIN. *sent is added to. */
int divvy_relay_bytes_send(struct divvy_relay_bytes *bytes, int fd, uint64_t *sent);

#endif
