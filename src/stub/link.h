/*
 * The stub's end of the relay's socket of its VM: connects, sends one frame at a time, takes frames apart. Never blocks. A
 * relay that breaks the protocol loses its connection, no more: the next one is tried.
 */
#ifndef DIVVY_STUB_LINK_H
#define DIVVY_STUB_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "wire/vgpu/frame.h"

struct divvy_stub_link {
    const char *path; /* borrowed */
    int fd;           /* -1: not connected */
    uint8_t in[DIVVY_WIRE_VGPU_HEADER_BYTES + DIVVY_WIRE_VGPU_PAYLOAD_BYTES];
    size_t in_bytes;
    uint8_t out[4096]; /* what the socket could not take yet */
    size_t out_bytes;
};

/* A frame that came; its payload lies in the link until the next call. */
struct divvy_stub_frame {
    struct divvy_wire_vgpu_header header;
    const uint8_t *payload;
};

/* Not connected. -ENAMETOOLONG for a path that no socket can have. */
int divvy_stub_link_init(struct divvy_stub_link *link, const char *path, struct divvy_error *error);

/* 0 when connected, now or before; else why not. */
int divvy_stub_link_connect(struct divvy_stub_link *link);

/*
 * Sends a frame, or keeps what the socket does not take for divvy_stub_link_flush. -ENOTCONN; -ENOBUFS when a relay that
 * does not read has left no room; any error of sending: the connection is closed then.
 */
int divvy_stub_link_send(struct divvy_stub_link *link, const struct divvy_wire_vgpu_header *header, const uint8_t *payload);
int divvy_stub_link_flush(struct divvy_stub_link *link);
bool divvy_stub_link_wants_write(const struct divvy_stub_link *link);

/*
 * The next frame: 1; 0: none has come in full. Negative: the relay closed (-ECONNRESET) or broke the protocol (-EPROTO,
 * -EMSGSIZE), and the connection is closed.
 */
int divvy_stub_link_receive(struct divvy_stub_link *link, struct divvy_stub_frame *ret_frame);

void divvy_stub_link_close(struct divvy_stub_link *link);

#endif
