/*
 * Fuzz target of frames and of the ends of JSON objects. Frames: whatever is accepted lies within its limits. JSON: the first byte
 * says how the rest is cut into pieces; cut or whole, the reading must come to the same.
 */
#include "wire/frame.h"
#include "wire/json_frame.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LIMIT_BYTES 4096u

static void frame_try(const uint8_t *data, size_t size) {
    struct divvy_wire_header header;
    const struct divvy_wire_op *op;

    if (size < sizeof header || divvy_wire_header_read(data, LIMIT_BYTES, &header) < 0)
        return;
    if (header.length > LIMIT_BYTES || header.flags & ~DIVVY_WIRE_FLAGS)
        abort();
    op = divvy_wire_op_find(header.op);
    if (op && op->number != header.op)
        abort();
    if (op && size - sizeof header >= header.length &&
        divvy_wire_payload_check(&header, op, data + sizeof header) == 0 && header.status == 0 &&
        header.length < (header.flags & DIVVY_WIRE_ANSWER ? op->out_words : op->in_words) * sizeof(uint64_t))
        abort();
}

struct reading {
    size_t objects, bytes;
    int status;
};

static struct reading json_read(const char *text, size_t size, size_t piece) {
    struct divvy_wire_json_frame frame = {0};
    struct reading reading = {0};

    for (size_t at = 0; at < size && reading.status >= 0;) {
        size_t part = size - at < piece ? size - at : piece, start = 0, end = 0;

        reading.status = divvy_wire_json_frame_feed(&frame, text + at, part, &start, &end);
        if (reading.status < 0)
            break;
        if (start > end || end > part || (reading.status == 0 && end != part) || (part > 0 && end == 0))
            abort();
        reading.objects += (size_t)reading.status;
        reading.bytes += end - start;
        at += end;
    }
    return reading;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct reading whole, cut;

    frame_try(data, size);
    if (size < 1)
        return 0;
    whole = json_read((const char *)data + 1, size - 1, size);
    cut = json_read((const char *)data + 1, size - 1, (size_t)data[0] + 1);
    if (whole.objects != cut.objects || (whole.status < 0) != (cut.status < 0) ||
        (whole.status >= 0 && whole.bytes != cut.bytes))
        abort();
    return 0;
}
