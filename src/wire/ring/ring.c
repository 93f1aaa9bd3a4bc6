/* The ring in shared memory. */
#include "wire/ring/ring.h"

#include <errno.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the words of the ring are little-endian"
#endif

static uint64_t load(const uint64_t *word) {
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static int broken(struct divvy_wire_ring *ring) {
    ring->is_broken = true;
    return -EPROTO;
}

/* --- the layout ------------------------------------------------------------------------------------------ */

int divvy_wire_ring_size_check(uint64_t memory_bytes) {
    return memory_bytes < DIVVY_WIRE_RING_LEAST_BYTES || memory_bytes > DIVVY_WIRE_RING_MOST_BYTES ||
                   memory_bytes % DIVVY_WIRE_RING_PAGE_BYTES != 0
               ? -EINVAL
               : 0;
}

static int memory_check(const void *memory, uint64_t memory_bytes) {
    return (uintptr_t)memory % 64 == 0 ? divvy_wire_ring_size_check(memory_bytes) : -EINVAL;
}

static struct divvy_wire_ring_header header_of(uint64_t memory_bytes, uint64_t session) {
    uint64_t pages = memory_bytes / DIVVY_WIRE_RING_PAGE_BYTES, capacity = (pages - 1) / 2 * DIVVY_WIRE_RING_PAGE_BYTES;

    return (struct divvy_wire_ring_header){
        .magic = DIVVY_WIRE_RING_MAGIC,
        .version = DIVVY_WIRE_RING_VERSION,
        .memory_bytes = memory_bytes,
        .capacity_bytes = capacity,
        .offsets = {DIVVY_WIRE_RING_PAGE_BYTES, DIVVY_WIRE_RING_PAGE_BYTES + capacity},
        .session = session,
    };
}

/* The layout comes from the size: nothing is taken from shared memory. */
static struct divvy_wire_ring side_of(void *memory, uint64_t memory_bytes, int out) {
    const struct divvy_wire_ring_header header = header_of(memory_bytes, 0);
    struct divvy_wire_ring_shared *shared = memory;

    return (struct divvy_wire_ring){
        .out_lines = &shared->lines[out],
        .in_lines = &shared->lines[!out],
        .out = (uint8_t *)memory + header.offsets[out],
        .in = (uint8_t *)memory + header.offsets[!out],
        .capacity_bytes = header.capacity_bytes,
    };
}

int divvy_wire_ring_create(void *memory, uint64_t memory_bytes, uint64_t session, struct divvy_wire_ring *ret_ring) {
    struct divvy_wire_ring_shared *shared = memory;
    struct divvy_wire_ring_header header;
    int status = memory_check(memory, memory_bytes);

    if (status < 0)
        return status;
    header = header_of(memory_bytes, session);
    header.magic = 0;
    __atomic_store_n(&shared->header.magic, 0, __ATOMIC_SEQ_CST);
    memset(shared->lines, 0, sizeof shared->lines);
    memcpy(&shared->header, &header, sizeof header);
    /* The magic comes last: who sees it sees the rest. */
    __atomic_store_n(&shared->header.magic, DIVVY_WIRE_RING_MAGIC, __ATOMIC_RELEASE);
    *ret_ring = side_of(memory, memory_bytes, 0);
    return 0;
}

int divvy_wire_ring_take_over(void *memory, uint64_t memory_bytes, struct divvy_wire_ring *ret_ring) {
    int status = memory_check(memory, memory_bytes);

    if (status == 0)
        *ret_ring = side_of(memory, memory_bytes, 0);
    return status;
}

int divvy_wire_ring_attach(void *memory, uint64_t memory_bytes, uint64_t session, struct divvy_wire_ring *ret_ring) {
    const struct divvy_wire_ring_shared *shared = memory;
    struct divvy_wire_ring_header header, expected;
    int status = memory_check(memory, memory_bytes);

    if (status < 0)
        return status;
    expected = header_of(memory_bytes, session);
    if (__atomic_load_n(&shared->header.magic, __ATOMIC_ACQUIRE) != DIVVY_WIRE_RING_MAGIC)
        return -EAGAIN;
    memcpy(&header, &shared->header, sizeof header);
    if (header.version >> 16 != DIVVY_WIRE_RING_VERSION >> 16)
        return -EPROTO;
    if (header.session != session)
        return -ESTALE;
    if (header.memory_bytes != expected.memory_bytes || header.capacity_bytes != expected.capacity_bytes ||
        header.offsets[0] != expected.offsets[0] || header.offsets[1] != expected.offsets[1])
        return -EINVAL;
    *ret_ring = side_of(memory, memory_bytes, 1);
    return 0;
}

/* --- bytes ----------------------------------------------------------------------------------------------- */

/* `bytes` from a position on, in at most two pieces, as a direction wraps around. */
static void pieces_make(uint8_t *start, uint64_t capacity_bytes, uint64_t position, uint64_t bytes, struct iovec ret_pieces[2]) {
    uint64_t at = position % capacity_bytes, first = capacity_bytes - at;

    if (first > bytes)
        first = bytes;
    ret_pieces[0] = (struct iovec){.iov_base = start + at, .iov_len = first};
    ret_pieces[1] = (struct iovec){.iov_base = start, .iov_len = bytes - first};
}

/* Looks how far the reader is. It may only go on, and not past what was written. */
static int read_look(struct divvy_wire_ring *ring) {
    uint64_t read = load(&ring->out_lines->read);

    if (ring->written - read > ring->written - ring->seen_read)
        return broken(ring);
    ring->seen_read = read;
    return 0;
}

/* Looks how far the writer is. It may only go on, and not further than there was room for. */
static int written_look(struct divvy_wire_ring *ring) {
    uint64_t written = load(&ring->in_lines->written);

    if (written - ring->read > ring->capacity_bytes || written - ring->read < ring->seen_written - ring->read)
        return broken(ring);
    ring->seen_written = written;
    return 0;
}

/* Whether the other side asked by this word to be woken, and takes the request back. Read before exchanged: the usual case. */
static bool wake_take(uint32_t *word) {
    return __atomic_load_n(word, __ATOMIC_SEQ_CST) == 1 && __atomic_exchange_n(word, 0, __ATOMIC_SEQ_CST) == 1;
}

ssize_t divvy_wire_ring_room(struct divvy_wire_ring *ring, struct iovec ret_pieces[2]) {
    uint64_t room;

    if (ring->is_broken || read_look(ring) < 0)
        return -EPROTO;
    room = ring->capacity_bytes - (ring->written - ring->seen_read);
    pieces_make(ring->out, ring->capacity_bytes, ring->written, room, ret_pieces);
    return (ssize_t)room;
}

void divvy_wire_ring_put(struct divvy_wire_ring *ring, size_t bytes, bool *ret_wake) {
    ring->written += bytes;
    __atomic_store_n(&ring->out_lines->written, ring->written, __ATOMIC_SEQ_CST);
    *ret_wake = wake_take(&ring->out_lines->sleeping);
}

ssize_t divvy_wire_ring_there(struct divvy_wire_ring *ring, struct iovec ret_pieces[2]) {
    uint64_t there;

    if (ring->is_broken || written_look(ring) < 0)
        return -EPROTO;
    there = ring->seen_written - ring->read;
    pieces_make(ring->in, ring->capacity_bytes, ring->read, there, ret_pieces);
    return (ssize_t)there;
}

void divvy_wire_ring_take(struct divvy_wire_ring *ring, size_t bytes, bool *ret_wake) {
    ring->read += bytes;
    __atomic_store_n(&ring->in_lines->read, ring->read, __ATOMIC_SEQ_CST);
    /* Not for every byte: who waits for room shall get some. Who takes everything frees all in the end. */
    *ret_wake = ring->seen_written - ring->read <= ring->capacity_bytes - ring->capacity_bytes / 4 &&
                wake_take(&ring->in_lines->wants_room);
}

static size_t piece_bytes(const struct iovec *piece, size_t left) {
    return piece->iov_len < left ? piece->iov_len : left;
}

ssize_t divvy_wire_ring_write(struct divvy_wire_ring *ring, const void *bytes, size_t size, bool *ret_wake) {
    struct iovec pieces[2];
    ssize_t room = divvy_wire_ring_room(ring, pieces);
    size_t first, second;

    *ret_wake = false;
    if (room <= 0 || size == 0)
        return room < 0 ? room : 0;
    first = piece_bytes(&pieces[0], size);
    second = piece_bytes(&pieces[1], size - first);
    memcpy(pieces[0].iov_base, bytes, first);
    if (second)
        memcpy(pieces[1].iov_base, (const uint8_t *)bytes + first, second);
    divvy_wire_ring_put(ring, first + second, ret_wake);
    return (ssize_t)(first + second);
}

ssize_t divvy_wire_ring_read(struct divvy_wire_ring *ring, void *buffer, size_t size, bool *ret_wake) {
    struct iovec pieces[2];
    ssize_t there = divvy_wire_ring_there(ring, pieces);
    size_t first, second;

    *ret_wake = false;
    if (there <= 0 || size == 0)
        return there < 0 ? there : 0;
    first = piece_bytes(&pieces[0], size);
    second = piece_bytes(&pieces[1], size - first);
    memcpy(buffer, pieces[0].iov_base, first);
    if (second)
        memcpy((uint8_t *)buffer + first, pieces[1].iov_base, second);
    divvy_wire_ring_take(ring, first + second, ret_wake);
    return (ssize_t)(first + second);
}

/* --- sleeping -------------------------------------------------------------------------------------------- */

/* One of the two sides sees what the other wrote: the word here against the position in put and take. */
bool divvy_wire_ring_sleep(struct divvy_wire_ring *ring) {
    if (ring->is_broken)
        return false;
    __atomic_store_n(&ring->in_lines->sleeping, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&ring->in_lines->written, __ATOMIC_SEQ_CST) == ring->read)
        return true;
    __atomic_store_n(&ring->in_lines->sleeping, 0, __ATOMIC_SEQ_CST);
    return false;
}

bool divvy_wire_ring_wait_room(struct divvy_wire_ring *ring) {
    if (ring->is_broken)
        return false;
    __atomic_store_n(&ring->out_lines->wants_room, 1, __ATOMIC_SEQ_CST);
    if (ring->written - __atomic_load_n(&ring->out_lines->read, __ATOMIC_SEQ_CST) == ring->capacity_bytes)
        return true;
    __atomic_store_n(&ring->out_lines->wants_room, 0, __ATOMIC_SEQ_CST);
    return false;
}
