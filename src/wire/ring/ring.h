/*
 * Messages through memory that two sides share and neither trusts: a host's process and a VM that sees the same file as an
 * ivshmem-plain device, or two processes of one host. One ring for each direction, one writer and one reader each.
 *
 * Every word of the other side is read once, checked, and never read again: it may change at any time. A side that breaks
 * the rules is told by -EPROTO, and can garble its own messages only. The messages of a side are copied; nobody computes
 * on shared bytes.
 *
 * Sleeping: the ring itself never waits. Who wants to sleep says so by divvy_wire_ring_sleep, and the other side's next
 * send tells its caller to wake it, by a byte on whatever stream the two have. The wake-up is a hint: who sleeps
 * should look again now and then, as the other side may keep it back.
 *
 * Memory, all words little-endian, cache lines of 64 bytes: a header that the host writes before the guest may come, then
 * for each direction a line of the writer's, a line of the reader's, then the bytes of both directions.
 */
#ifndef DIVVY_WIRE_RING_RING_H
#define DIVVY_WIRE_RING_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIVVY_WIRE_RING_MAGIC       UINT32_C(0x52565644) /* "DVVR" */
#define DIVVY_WIRE_RING_VERSION     UINT32_C(0x00010000) /* major in the high half */
#define DIVVY_WIRE_RING_LEAST_BYTES 8192u
#define DIVVY_WIRE_RING_MOST_BYTES  (UINT64_C(1) << 32)

typedef enum {
    DIVVY_WIRE_RING_HOST,
    DIVVY_WIRE_RING_GUEST,
} divvy_wire_ring_side_t;

/* The layout, once for both sides. */
struct divvy_wire_ring_header {
    uint32_t magic, version;
    uint64_t memory_bytes;   /* of the whole */
    uint64_t capacity_bytes; /* of each direction: a power of two */
    uint64_t offsets[2];     /* of the bytes of host to guest, and guest to host */
    uint8_t reserved[24];    /* 0 */
};

/* A direction's words, each line written by one side. Positions count bytes for ever; their low bits are the place. */
struct divvy_wire_ring_lines {
    uint64_t written; /* by the writer: bytes put in */
    uint8_t writer_rest[56];
    uint64_t read;     /* by the reader: bytes taken out */
    uint32_t sleeping; /* by the reader: 1 while it wants to be woken; cleared by the writer that wakes */
    uint8_t reader_rest[52];
};

struct divvy_wire_ring_shared {
    struct divvy_wire_ring_header header;
    struct divvy_wire_ring_lines lines[2]; /* host to guest, guest to host */
};

_Static_assert(sizeof(struct divvy_wire_ring_header) == 64, "header of a line");
_Static_assert(sizeof(struct divvy_wire_ring_lines) == 128, "two lines for a direction");

/* One side's view. Everything that it relies on is here, not in shared memory. Plain memory: nothing to close. */
struct divvy_wire_ring {
    struct divvy_wire_ring_lines *out_lines, *in_lines;
    uint8_t *out, *in;
    uint64_t capacity_bytes;
    uint64_t written, read; /* our own positions */
    uint64_t seen_read;     /* the other side's, as last seen and found right: saves looking */
    bool is_broken;         /* the other side broke the rules */
};

/*
 * Host: lays out `memory` (aligned to 64; what was in it is lost) and takes its side. -EINVAL: not aligned, or not
 * between LEAST and MOST bytes. Each direction gets the largest power of two of which two fit.
 */
int divvy_wire_ring_create(void *memory, uint64_t memory_bytes, struct divvy_wire_ring *ret_ring);

/*
 * Either side: joins what was laid out, at the positions that stand there. -EAGAIN: nothing is laid out yet; -EPROTO:
 * another version; -EINVAL: words that cannot be true of memory_bytes. A host that comes back uses this too.
 */
int divvy_wire_ring_attach(void *memory, uint64_t memory_bytes, divvy_wire_ring_side_t side,
                           struct divvy_wire_ring *ret_ring);

/* Bytes of the longest message: a quarter of a direction. */
uint64_t divvy_wire_ring_message_bytes(const struct divvy_wire_ring *ring);

/*
 * Sends one message: 0, and *ret_wake says whether the other side sleeps and is to be woken. -EAGAIN: no room now (look
 * again when the other side has read); -EMSGSIZE: never; -EPROTO.
 */
int divvy_wire_ring_send(struct divvy_wire_ring *ring, uint32_t tag, const void *bytes, uint32_t size, bool *ret_wake);

/*
 * Takes the next message into `buffer`: 0 with its tag and size. -EAGAIN: none; -EMSGSIZE: it does not fit (*ret_size
 * says what it takes; it stays); -EPROTO.
 */
int divvy_wire_ring_receive(struct divvy_wire_ring *ring, void *buffer, uint32_t buffer_bytes, uint32_t *ret_tag,
                            uint32_t *ret_size);

/*
 * Before sleeping: asks the other side for a wake-up. True: nothing is there, sleep; false: a message came meanwhile (or
 * the rules are broken), receive instead.
 */
bool divvy_wire_ring_sleep(struct divvy_wire_ring *ring);

#endif
