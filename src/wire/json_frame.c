/* The end of a JSON object in a stream: see json_frame.h. */
#include "wire/json_frame.h"

#include <string.h>

static size_t blanks_skip(const char *bytes, size_t length) {
    size_t at = 0;

    while (at < length && bytes[at] != '{' && divvy_wire_json_begins((unsigned char)bytes[at]))
        at++;
    return at;
}

/* Takes one byte that is not in a string; negative errno. */
static int structure_take(struct divvy_wire_json_frame *frame, char byte) {
    switch (byte) {
    case '"':
        frame->in_string = true;
        return 0;
    case '{':
    case '[':
        return ++frame->depth > DIVVY_WIRE_JSON_DEPTH_MAX ? -EPROTO : 0;
    case '}':
    case ']':
        frame->depth--;
        return 0;
    default:
        return 0;
    }
}

static void string_take(struct divvy_wire_json_frame *frame, char byte) {
    if (frame->is_escaped)
        frame->is_escaped = false;
    else if (byte == '\\')
        frame->is_escaped = true;
    else if (byte == '"')
        frame->in_string = false;
}

int divvy_wire_json_frame_feed(struct divvy_wire_json_frame *frame, const char *bytes,
                               size_t length, size_t *ret_start, size_t *ret_end) {
    size_t start = frame->depth == 0 ? blanks_skip(bytes, length) : 0, at = start;

    if (frame->depth == 0 && at < length && bytes[at] != '{')
        return -EPROTO;
    while (at < length) {
        char byte = bytes[at++];

        if (++frame->length > DIVVY_WIRE_JSON_BYTES_MAX)
            return -EMSGSIZE;
        if (frame->in_string)
            string_take(frame, byte);
        else if (structure_take(frame, byte) < 0)
            return -EPROTO;
        if (frame->depth == 0) {
            memset(frame, 0, sizeof *frame);
            *ret_start = start;
            *ret_end = at;
            return 1;
        }
    }
    *ret_start = start;
    *ret_end = at;
    return 0;
}
