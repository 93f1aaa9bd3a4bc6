/* Any memory as a ring: a host that laid it out, or a side that joins it, with another side that writes what it likes. */
#include <stdlib.h>
#include <string.h>

#include "wire/ring/ring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MEMORY_BYTES 8192

/* Sends and receives with `ring` while the input changes the shared words between the calls. */
static void use(struct divvy_wire_ring *ring, uint8_t *memory, const uint8_t *data, size_t size) {
    static uint8_t buffer[MEMORY_BYTES];
    uint64_t largest = divvy_wire_ring_message_bytes(ring);

    for (size_t at = 0; at + 4 <= size; at += 4) {
        uint32_t tag, length, wanted = (uint32_t)(data[at + 1] | data[at + 2] << 8) % (uint32_t)(largest + 2);
        bool wake;

        if (ring->written - ring->seen_read > ring->capacity_bytes)
            abort();
        if (data[at] & 1)
            (void)divvy_wire_ring_send(ring, 1, buffer, wanted, &wake);
        if ((data[at] & 2) && divvy_wire_ring_receive(ring, buffer, wanted, &tag, &length) == 0 && length > wanted)
            abort();
        if (data[at] & 4)
            (void)divvy_wire_ring_sleep(ring);
        if (data[at] & 8)
            memory[(size_t)(data[at + 1] | data[at + 2] << 8) % MEMORY_BYTES] = data[at + 3];
        if (data[at] & 16)
            memory[64 + (size_t)data[at + 1] % 256] = data[at + 3];
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static _Alignas(64) uint8_t memory[MEMORY_BYTES];
    struct divvy_wire_ring ring;
    size_t head = size < 512 ? size : 512;

    if (divvy_wire_ring_create(memory, sizeof memory, &ring) < 0)
        abort();
    use(&ring, memory, data, size);
    memset(memory, 0, sizeof memory);
    memcpy(memory, data, head);
    if (divvy_wire_ring_attach(memory, sizeof memory, DIVVY_WIRE_RING_GUEST, &ring) == 0)
        use(&ring, memory, data + head, size - head);
    return 0;
}
