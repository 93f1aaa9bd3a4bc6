/*
 * A ring and the stream beside it as one connection, for a thread that waits: a client, or a worker. What travels on the
 * stream, and how a session begins.
 *
 * Waiting: the other side is looked for at once for a short while, as long as that has paid lately; then the thread sleeps
 * on the stream. So a busy connection costs no system calls, and an idle one no processor.
 *
 * Libc only.
 */
#ifndef DIVVY_WIRE_RING_PIPE_H
#define DIVVY_WIRE_RING_PIPE_H

#include "wire/ring/ring.h"

/*
 * A session begins by a greeting on the stream, from client to host; the host lays out the ring anew, with the greeting's
 * session, and answers with the same greeting and a status. A greeting later on the same stream ends the session and begins
 * another. Other bytes on the stream are the two below.
 */
#define DIVVY_WIRE_RING_GREETING UINT32_C(0x31474E52) /* "RNG1" */
#define DIVVY_WIRE_RING_WAKE     'w'
#define DIVVY_WIRE_RING_END      'e' /* client to host: the session ends, on streams that go on without their user */

/*
 * A relay hands the host's side over to a worker by the same greeting, with the file; then these go between the two as well. The
 * worker uses its GPU in turns only, which the relay gives: it asks when there is something to do, and says when all is done.
 */
#define DIVVY_WIRE_RING_TURN_WANT 't' /* worker to relay */
#define DIVVY_WIRE_RING_TURN_OVER 'o'
#define DIVVY_WIRE_RING_TURN_GIVE 'g' /* relay to worker */
#define DIVVY_WIRE_RING_TURN_ASK  'y' /* the turn has lasted long enough */

/* Long copies go in parts of this, so that the other side takes one while the next is put in. */
#define DIVVY_WIRE_RING_PART_BYTES ((size_t)64 << 10)

struct divvy_wire_ring_greeting {
    uint32_t magic, version; /* DIVVY_WIRE_RING_VERSION */
    uint64_t memory_bytes;   /* as the sender sees the memory */
    uint64_t session;        /* the client's choice, by chance */
    uint32_t status;         /* in an answer, DIVVY_WIRE_RING_STATUS_; else 0 */
    uint32_t reserved;       /* 0 */
};
_Static_assert(sizeof(struct divvy_wire_ring_greeting) == 32, "layout of the stream");

enum {
    DIVVY_WIRE_RING_STATUS_OK,
    DIVVY_WIRE_RING_STATUS_VERSION, /* the answer's version is the host's */
    DIVVY_WIRE_RING_STATUS_SIZE,    /* the sizes differ: not the same memory; the answer's size is the host's */
    DIVVY_WIRE_RING_STATUS_NONE,    /* this VM has no ring */
    DIVVY_WIRE_RING_STATUS_BUSY,    /* somebody uses it */
    DIVVY_WIRE_RING_STATUS_MAX,
};

struct divvy_wire_ring_pipe {
    struct divvy_wire_ring ring;
    int stream_fd;       /* the caller's; a socket or a character device */
    uint32_t timeout_ms; /* longest wait without a byte; 0: without end */
    uint32_t spin_ns;    /* so long the next wait looks before it sleeps: kept here */
    bool is_socket;
};

/* Takes over ring and descriptors as they are in *pipe; spin_ns is set. */
void divvy_wire_ring_pipe_init(struct divvy_wire_ring_pipe *pipe);

/*
 * Waits until something can be taken. 1, or -ETIMEDOUT; -ECONNRESET when the stream has ended and nothing is left to take;
 * -EPROTO.
 */
int divvy_wire_ring_pipe_wait_bytes(struct divvy_wire_ring_pipe *pipe);

/* The same without sleeping: 0 when nothing came for as long as it pays to look. */
int divvy_wire_ring_pipe_look(struct divvy_wire_ring_pipe *pipe);

/* Waits until something can be put in; as above. */
int divvy_wire_ring_pipe_wait_room(struct divvy_wire_ring_pipe *pipe);

/* Takes what is there, at least a byte: how many, or as above. Blocks. */
ssize_t divvy_wire_ring_pipe_read(struct divvy_wire_ring_pipe *pipe, void *buffer, size_t size);

/* Puts in all of it: 0, or as above. Blocks. */
int divvy_wire_ring_pipe_write(struct divvy_wire_ring_pipe *pipe, const void *bytes, size_t size);

/* After divvy_wire_ring_put or _take said so: wakes the other side. Does not block. */
void divvy_wire_ring_pipe_wake(const struct divvy_wire_ring_pipe *pipe);

#endif
