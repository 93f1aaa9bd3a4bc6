/* The ring in shared memory. */
#include "wire/ring/ring.h"

#include <errno.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the words of the ring are little-endian"
#endif

/* In front of each message; messages begin at multiples of its size. */
struct record {
    uint32_t size, tag;
};

static uint64_t load(const uint64_t *word) {
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static uint64_t padded(uint32_t size) {
    return sizeof(struct record) + (((uint64_t)size + 7) & ~UINT64_C(7));
}

/* Bytes between two positions; false when that cannot be: one overtook the other, or they are not whole records. */
static bool distance(const struct divvy_wire_ring *ring, uint64_t ahead, uint64_t behind, uint64_t *ret_bytes) {
    uint64_t bytes = ahead - behind;

    if (bytes > ring->capacity_bytes || bytes % sizeof(struct record) != 0)
        return false;
    *ret_bytes = bytes;
    return true;
}

static int broken(struct divvy_wire_ring *ring) {
    ring->is_broken = true;
    return -EPROTO;
}

/* The bytes of a direction wrap around: copies in at most two parts. */
static void put(struct divvy_wire_ring *ring, uint64_t position, const void *bytes, uint64_t size) {
    uint64_t at = position & (ring->capacity_bytes - 1), first = ring->capacity_bytes - at;

    if (first > size)
        first = size;
    memcpy(ring->out + at, bytes, first);
    if (size > first)
        memcpy(ring->out, (const uint8_t *)bytes + first, size - first);
}

static void get(const struct divvy_wire_ring *ring, uint64_t position, void *bytes, uint64_t size) {
    uint64_t at = position & (ring->capacity_bytes - 1), first = ring->capacity_bytes - at;

    if (first > size)
        first = size;
    memcpy(bytes, ring->in + at, first);
    if (size > first)
        memcpy((uint8_t *)bytes + first, ring->in, size - first);
}

static bool bounds_are_good(const void *memory, uint64_t memory_bytes) {
    return (uintptr_t)memory % 64 == 0 && memory_bytes >= DIVVY_WIRE_RING_LEAST_BYTES &&
           memory_bytes <= DIVVY_WIRE_RING_MOST_BYTES;
}

static void side_take(void *memory, const struct divvy_wire_ring_header *header, divvy_wire_ring_side_t side,
                      struct divvy_wire_ring *ret_ring) {
    struct divvy_wire_ring_shared *shared = memory;
    int out = side == DIVVY_WIRE_RING_HOST ? 0 : 1;

    memset(ret_ring, 0, sizeof *ret_ring);
    ret_ring->out_lines = &shared->lines[out];
    ret_ring->in_lines = &shared->lines[!out];
    ret_ring->out = (uint8_t *)memory + header->offsets[out];
    ret_ring->in = (uint8_t *)memory + header->offsets[!out];
    ret_ring->capacity_bytes = header->capacity_bytes;
    ret_ring->written = load(&ret_ring->out_lines->written);
    ret_ring->read = load(&ret_ring->in_lines->read);
    ret_ring->seen_read = load(&ret_ring->out_lines->read);
}

int divvy_wire_ring_create(void *memory, uint64_t memory_bytes, struct divvy_wire_ring *ret_ring) {
    struct divvy_wire_ring_shared *shared = memory;
    struct divvy_wire_ring_header header = {.version = DIVVY_WIRE_RING_VERSION, .memory_bytes = memory_bytes};

    if (!bounds_are_good(memory, memory_bytes))
        return -EINVAL;
    header.capacity_bytes = 64;
    while (sizeof *shared + 4 * header.capacity_bytes <= memory_bytes)
        header.capacity_bytes *= 2;
    header.offsets[0] = sizeof *shared;
    header.offsets[1] = sizeof *shared + header.capacity_bytes;
    __atomic_store_n(&shared->header.magic, 0, __ATOMIC_SEQ_CST);
    memset(shared->lines, 0, sizeof shared->lines);
    memcpy(&shared->header, &header, sizeof header);
    /* The magic comes last: who sees it sees the rest. */
    __atomic_store_n(&shared->header.magic, DIVVY_WIRE_RING_MAGIC, __ATOMIC_RELEASE);
    side_take(memory, &header, DIVVY_WIRE_RING_HOST, ret_ring);
    return 0;
}

/* Whether the directions lie in the memory, behind the words and apart from each other. */
static bool header_is_good(const struct divvy_wire_ring_header *header, uint64_t memory_bytes) {
    uint64_t capacity = header->capacity_bytes, a = header->offsets[0], b = header->offsets[1];

    if (header->memory_bytes != memory_bytes || capacity < 64 || (capacity & (capacity - 1)) != 0 || capacity > memory_bytes / 2)
        return false;
    if (a % 64 != 0 || b % 64 != 0 || a < sizeof(struct divvy_wire_ring_shared) || b < sizeof(struct divvy_wire_ring_shared) ||
        a > memory_bytes - capacity || b > memory_bytes - capacity)
        return false;
    return a < b ? b - a >= capacity : a - b >= capacity;
}

int divvy_wire_ring_attach(void *memory, uint64_t memory_bytes, divvy_wire_ring_side_t side,
                           struct divvy_wire_ring *ret_ring) {
    struct divvy_wire_ring_shared *shared = memory;
    struct divvy_wire_ring_header header;
    struct divvy_wire_ring ring;
    uint64_t bytes;

    if (!bounds_are_good(memory, memory_bytes))
        return -EINVAL;
    if (__atomic_load_n(&shared->header.magic, __ATOMIC_ACQUIRE) != DIVVY_WIRE_RING_MAGIC)
        return -EAGAIN;
    memcpy(&header, &shared->header, sizeof header);
    if (header.version >> 16 != DIVVY_WIRE_RING_VERSION >> 16)
        return -EPROTO;
    if (!header_is_good(&header, memory_bytes))
        return -EINVAL;
    side_take(memory, &header, side, &ring);
    if (!distance(&ring, ring.written, ring.seen_read, &bytes) || ring.written % sizeof(struct record) != 0 ||
        ring.read % sizeof(struct record) != 0)
        return -EINVAL;
    *ret_ring = ring;
    return 0;
}

uint64_t divvy_wire_ring_message_bytes(const struct divvy_wire_ring *ring) {
    return ring->capacity_bytes / 4 - sizeof(struct record);
}

int divvy_wire_ring_send(struct divvy_wire_ring *ring, uint32_t tag, const void *bytes, uint32_t size, bool *ret_wake) {
    const struct record record = {size, tag};
    uint64_t used;

    if (ring->is_broken)
        return -EPROTO;
    if (size > divvy_wire_ring_message_bytes(ring))
        return -EMSGSIZE;
    if (padded(size) > ring->capacity_bytes - (ring->written - ring->seen_read)) {
        uint64_t read = load(&ring->out_lines->read);

        /* The reader may only go on, and not past what was written. */
        if (!distance(ring, ring->written, read, &used) || used > ring->written - ring->seen_read)
            return broken(ring);
        ring->seen_read = read;
        if (padded(size) > ring->capacity_bytes - used)
            return -EAGAIN;
    }
    put(ring, ring->written, &record, sizeof record);
    if (size)
        put(ring, ring->written + sizeof record, bytes, size);
    ring->written += padded(size);
    __atomic_store_n(&ring->out_lines->written, ring->written, __ATOMIC_SEQ_CST);
    /* Against divvy_wire_ring_sleep: one of the two sees what the other wrote. Read before exchanged: the usual case. */
    *ret_wake = __atomic_load_n(&ring->out_lines->sleeping, __ATOMIC_SEQ_CST) == 1 &&
                __atomic_exchange_n(&ring->out_lines->sleeping, 0, __ATOMIC_SEQ_CST) == 1;
    return 0;
}

int divvy_wire_ring_receive(struct divvy_wire_ring *ring, void *buffer, uint32_t buffer_bytes, uint32_t *ret_tag,
                            uint32_t *ret_size) {
    struct record record;
    uint64_t there;

    if (ring->is_broken)
        return -EPROTO;
    if (!distance(ring, load(&ring->in_lines->written), ring->read, &there))
        return broken(ring);
    if (there == 0)
        return -EAGAIN;
    get(ring, ring->read, &record, sizeof record);
    if (record.size > divvy_wire_ring_message_bytes(ring) || padded(record.size) > there)
        return broken(ring);
    if (record.size > buffer_bytes) {
        *ret_size = record.size;
        return -EMSGSIZE;
    }
    if (record.size)
        get(ring, ring->read + sizeof record, buffer, record.size);
    *ret_tag = record.tag;
    *ret_size = record.size;
    ring->read += padded(record.size);
    __atomic_store_n(&ring->in_lines->read, ring->read, __ATOMIC_RELEASE);
    return 0;
}

bool divvy_wire_ring_sleep(struct divvy_wire_ring *ring) {
    if (ring->is_broken)
        return false;
    __atomic_store_n(&ring->in_lines->sleeping, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&ring->in_lines->written, __ATOMIC_SEQ_CST) == ring->read)
        return true;
    __atomic_store_n(&ring->in_lines->sleeping, 0, __ATOMIC_SEQ_CST);
    return false;
}
