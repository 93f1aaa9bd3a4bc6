/*
 * Where a JSON request ends in a stream of bytes: the JSON dialect of workers and relays has no other frame. A request is one
 * object, of any length, cut anywhere; white space and line ends around it do not matter, and behind it the next one may follow.
 * This finds the end only: whether it is well formed, a JSON parser says afterwards.
 *
 * Libc only, pure; the state is the caller's.
 */
#ifndef DIVVY_WIRE_JSON_FRAME_H
#define DIVVY_WIRE_JSON_FRAME_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIVVY_WIRE_JSON_BYTES_MAX (64u << 20)
#define DIVVY_WIRE_JSON_DEPTH_MAX 64u

/* Zero at the beginning, and again behind each object. */
struct divvy_wire_json_frame {
    uint32_t depth;   /* open braces and brackets; 0 before the object */
    bool in_string, is_escaped;
    uint64_t length; /* bytes of the object so far */
};

/* Whether a connection that begins with this byte speaks JSON: an object, or white space before it. */
static inline bool divvy_wire_json_begins(unsigned char byte) {
    return byte == '{' || byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

/*
 * Looks at the next `length` bytes. Returns 1 when the object ends in them: *ret_start and *ret_end (the byte behind it) tell
 * what of them belongs to it, and the state is zero again. 0: it is not over yet; the same two tell what belongs to it so far
 * (start = end = length: only white space came). -EPROTO: a byte that begins no object, or nesting deeper than
 * DIVVY_WIRE_JSON_DEPTH_MAX. -EMSGSIZE: longer than DIVVY_WIRE_JSON_BYTES_MAX. After an error the stream is lost.
 */
int divvy_wire_json_frame_feed(struct divvy_wire_json_frame *frame, const char *bytes,
                               size_t length, size_t *ret_start, size_t *ret_end);

#endif
