/* Fuzz target of packed bytes: what is unpacked stays within its room, and what is packed comes back. */
#include "wire/pack.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROOM_BYTES 65536u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct divvy_wire_packer packer;
    uint8_t *packed = malloc(size + 1), *back = malloc(ROOM_BYTES);
    size_t length = 0, packed_length;

    if (!packed || !back)
        abort();
    if (divvy_wire_unpack(data, size, back, ROOM_BYTES, &length) == 0 && length > ROOM_BYTES)
        abort();
    packed_length = divvy_wire_pack(&packer, data, size, packed);
    if (packed_length > 0 && size <= ROOM_BYTES &&
        (divvy_wire_unpack(packed, packed_length, back, ROOM_BYTES, &length) != 0 || length != size || memcmp(back, data, size) != 0))
        abort();
    free(packed);
    free(back);
    return 0;
}
