/* Headers, requests and responses of any bytes: what is accepted can be written and read again, and is the same. */
#include <stdlib.h>
#include <string.h>

#include "wire/vgpu/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef divvy_wire_vgpu_code_t read_fn(const uint8_t *, size_t, struct divvy_wire_vgpu_body *);
typedef int write_fn(const struct divvy_wire_vgpu_body *, const void *, uint8_t *);

static void round_trip(const uint8_t *bytes, size_t size, read_fn *reads, write_fn *writes) {
    struct divvy_wire_vgpu_body first, second;
    uint8_t copy[DIVVY_WIRE_VGPU_PAYLOAD_BYTES];
    int length;

    if (reads(bytes, size, &first) != DIVVY_WIRE_VGPU_CODE_NONE)
        return;
    length = writes(&first, bytes + first.data_offset, copy);
    if (length < 0 || (size_t)length > size || reads(copy, (size_t)length, &second) != DIVVY_WIRE_VGPU_CODE_NONE)
        abort();
    if (first.code != second.code || first.flags != second.flags || first.word_count != second.word_count ||
        first.data_bytes != second.data_bytes || memcmp(first.words, second.words, 4 * (size_t)first.word_count) != 0 ||
        memcmp(bytes + first.data_offset, copy + second.data_offset, first.data_bytes) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct divvy_wire_vgpu_header header;
    uint8_t again[DIVVY_WIRE_VGPU_HEADER_BYTES];

    if (size >= DIVVY_WIRE_VGPU_HEADER_BYTES && divvy_wire_vgpu_header_read(data, &header) == 0) {
        divvy_wire_vgpu_header_write(&header, again);
        if (memcmp(data, again, sizeof again) != 0)
            abort();
    }
    round_trip(data, size, divvy_wire_vgpu_request_read, divvy_wire_vgpu_request_write);
    round_trip(data, size, divvy_wire_vgpu_response_read, divvy_wire_vgpu_response_write);
    return 0;
}
