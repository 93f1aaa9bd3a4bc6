/* Any memory as a ring: a side that laid it out, or one that joins it, with another side that writes what it likes. */
#include <stdlib.h>
#include <string.h>

#include "wire/ring/ring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MEMORY_BYTES 12288u

static _Alignas(64) uint8_t memory[MEMORY_BYTES];
static uint8_t buffer[MEMORY_BYTES];

/* Pieces lie in the memory, and are as long as was said. */
static void pieces_check(const struct divvy_wire_ring *ring, ssize_t bytes, const struct iovec pieces[2]) {
    if (bytes < 0)
        return;
    if ((size_t)bytes > ring->capacity_bytes || pieces[0].iov_len + pieces[1].iov_len != (size_t)bytes)
        abort();
    for (int i = 0; i < 2; i++)
        if ((uint8_t *)pieces[i].iov_base < memory + DIVVY_WIRE_RING_PAGE_BYTES ||
            (uint8_t *)pieces[i].iov_base + pieces[i].iov_len > memory + MEMORY_BYTES)
            abort();
}

/* Uses `ring` while the input changes the shared words between the calls. */
static void use(struct divvy_wire_ring *ring, const uint8_t *data, size_t size) {
    for (size_t at = 0; at + 4 <= size; at += 4) {
        size_t wanted = (size_t)(data[at + 1] | data[at + 2] << 8) % sizeof buffer;
        struct iovec pieces[2];
        bool wake;

        pieces_check(ring, divvy_wire_ring_room(ring, pieces), pieces);
        pieces_check(ring, divvy_wire_ring_there(ring, pieces), pieces);
        if ((data[at] & 1) && divvy_wire_ring_write(ring, buffer, wanted, &wake) > (ssize_t)wanted)
            abort();
        if ((data[at] & 2) && divvy_wire_ring_read(ring, buffer, wanted, &wake) > (ssize_t)wanted)
            abort();
        if (data[at] & 4)
            (void)divvy_wire_ring_sleep(ring);
        if (data[at] & 8)
            (void)divvy_wire_ring_wait_room(ring);
        if (data[at] & 16)
            memory[(size_t)(data[at + 1] | data[at + 2] << 8) % MEMORY_BYTES] = data[at + 3];
        if (data[at] & 32)
            memory[64 + (size_t)data[at + 1] % 256] = data[at + 3];
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct divvy_wire_ring ring;
    size_t head = size < 512 ? size : 512;

    if (divvy_wire_ring_create(memory, sizeof memory, 7, &ring) < 0)
        abort();
    use(&ring, data, size);
    memset(memory, 0, sizeof memory);
    memcpy(memory, data, head);
    if (divvy_wire_ring_attach(memory, sizeof memory, 7, &ring) == 0)
        use(&ring, data + head, size - head);
    return 0;
}
