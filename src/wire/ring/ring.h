/*
 * Two streams of bytes through memory that two sides share and neither trusts: a host's process and a VM that sees the same
 * file as an ivshmem-plain device, or two processes of one host. One direction each way, with one writer and one reader.
 *
 * Every word of the other side is read once, checked, and never read again: it may change at any time. A side that breaks
 * the rules is told by -EPROTO, and can garble its own bytes only. What lies in a direction may change too: who decides
 * something by it copies it out first.
 *
 * Sleeping: the ring itself never waits. Who wants to sleep says so (divvy_wire_ring_sleep, divvy_wire_ring_wait_room), and
 * the other side's next step tells its caller to wake it, by a byte on whatever stream the two have. The wake-up is a hint:
 * who sleeps should look again now and then, as the other side may keep it back.
 *
 * Memory, all words little-endian, cache lines of 64 bytes: a header that the host writes before the guest may come, then
 * for each direction a line of the writer's and a line of the reader's, from 4096 on the bytes of both directions. The
 * layout follows from the size alone; the header is there to be compared.
 */
#ifndef DIVVY_WIRE_RING_RING_H
#define DIVVY_WIRE_RING_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define DIVVY_WIRE_RING_MAGIC       UINT32_C(0x52565644) /* "DVVR" */
#define DIVVY_WIRE_RING_VERSION     UINT32_C(0x00020000) /* major in the high half */
#define DIVVY_WIRE_RING_PAGE_BYTES  4096u                /* sizes are multiples of this */
#define DIVVY_WIRE_RING_LEAST_BYTES 12288u
#define DIVVY_WIRE_RING_MOST_BYTES  (UINT64_C(1) << 32)

/* The layout, once for both sides. */
struct divvy_wire_ring_header {
    uint32_t magic, version;
    uint64_t memory_bytes;   /* of the whole */
    uint64_t capacity_bytes; /* of each direction */
    uint64_t offsets[2];     /* of the bytes of host to guest, and guest to host */
    uint64_t session;        /* who joins knows it from another way, and so that it is the right memory */
    uint8_t reserved[16];    /* 0 */
};

/* A direction's words, each line written by one side. Positions count bytes for ever, from 0. */
struct divvy_wire_ring_lines {
    uint64_t written;    /* by the writer: bytes put in */
    uint32_t wants_room; /* by the writer: 1 while it wants to be woken; cleared by the reader that wakes */
    uint8_t writer_rest[52];
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
_Static_assert(sizeof(struct divvy_wire_ring_shared) <= DIVVY_WIRE_RING_PAGE_BYTES, "bytes begin behind the words");

/* One side's view. Everything that it relies on is here, not in shared memory. Plain memory: nothing to close. */
struct divvy_wire_ring {
    struct divvy_wire_ring_lines *out_lines, *in_lines;
    uint8_t *out, *in;
    uint64_t capacity_bytes;
    uint64_t written, read;         /* our own positions */
    uint64_t seen_written, seen_read; /* the other side's, as last seen and found right */
    bool is_broken;                 /* the other side broke the rules */
};

/* Whether memory of this size can be a ring: -EINVAL when not. */
int divvy_wire_ring_size_check(uint64_t memory_bytes);

/*
 * Host: lays out `memory` (aligned to 64; what was in it is lost) and takes its side. -EINVAL: not aligned, or no such size.
 * Nobody may use the memory as a ring any more when this is called.
 */
int divvy_wire_ring_create(void *memory, uint64_t memory_bytes, uint64_t session, struct divvy_wire_ring *ret_ring);

/*
 * Host: takes over the side of a process that has created the ring and neither put in nor taken out a byte. Nothing in the
 * memory is looked at. -EINVAL as above.
 */
int divvy_wire_ring_take_over(void *memory, uint64_t memory_bytes, struct divvy_wire_ring *ret_ring);

/*
 * Guest: joins what was laid out. -EAGAIN: nothing is laid out; -EPROTO: another version; -ESTALE: another session, so other
 * memory than was meant; -EINVAL: words that cannot be true of memory_bytes.
 */
int divvy_wire_ring_attach(void *memory, uint64_t memory_bytes, uint64_t session, struct divvy_wire_ring *ret_ring);

/*
 * Where the next bytes can be put: how many, in one or two pieces (the second may be empty), or -EPROTO. The pieces are in
 * shared memory. divvy_wire_ring_put hands over the first `bytes` of them; *ret_wake: the other side sleeps, and is to be woken.
 */
ssize_t divvy_wire_ring_room(struct divvy_wire_ring *ring, struct iovec ret_pieces[2]);
void divvy_wire_ring_put(struct divvy_wire_ring *ring, size_t bytes, bool *ret_wake);

/* What is there to be taken, likewise. The pieces change as the other side likes. */
ssize_t divvy_wire_ring_there(struct divvy_wire_ring *ring, struct iovec ret_pieces[2]);
void divvy_wire_ring_take(struct divvy_wire_ring *ring, size_t bytes, bool *ret_wake);

/* Copies in what there is room for; copies out what is there. How many bytes, perhaps 0; or -EPROTO. *ret_wake as above. */
ssize_t divvy_wire_ring_write(struct divvy_wire_ring *ring, const void *bytes, size_t size, bool *ret_wake);
ssize_t divvy_wire_ring_read(struct divvy_wire_ring *ring, void *buffer, size_t size, bool *ret_wake);

/*
 * Before sleeping for bytes: asks the other side for a wake-up. True: nothing is there, sleep; false: bytes came meanwhile
 * (or the rules are broken), take them instead.
 */
bool divvy_wire_ring_sleep(struct divvy_wire_ring *ring);

/* Before sleeping for room, likewise. The wake-up comes when a quarter of the direction is free. */
bool divvy_wire_ring_wait_room(struct divvy_wire_ring *ring);

#endif
