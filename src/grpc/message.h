/*
 * The parts of gRPC that are not HTTP/2: messages in the bytes of a stream (a flag, a length of four bytes, the message), time
 * limits, and texts of statuses in headers. All input is hostile. No clock, no descriptor; one thread per object.
 */
#ifndef DIVVY_GRPC_MESSAGE_H
#define DIVVY_GRPC_MESSAGE_H

#include "grpc/status.h"

#include <stddef.h>
#include <stdint.h>

#define DIVVY_GRPC_PREFIX_BYTES 5u

/* Takes a stream of messages apart. Embedded; begins as all zero but for max_bytes. */
struct divvy_grpc_reader {
    size_t max_bytes; /* a longer message is refused before memory is had for it */
    uint8_t prefix[DIVVY_GRPC_PREFIX_BYTES];
    size_t prefix_length;
    uint8_t *message; /* malloc'd; grows as bytes come, not by what the prefix promises */
    size_t length, room, wanted;
};

/*
 * Takes some of the `length` bytes at `data`: how many, in *ret_taken. DIVVY_GRPC_OK, and *ret_whole tells whether a message has
 * become whole: reader->message with reader->length bytes, until the next call. RESOURCE_EXHAUSTED: too long; UNIMPLEMENTED:
 * compressed, which was never agreed to; INTERNAL: a flag that does not exist, or no memory. After an error only _done is allowed.
 */
enum divvy_grpc_status divvy_grpc_reader_feed(struct divvy_grpc_reader *reader, const uint8_t *data, size_t length, size_t *ret_taken,
                                              int *ret_whole);
/* Whether the stream may end here: not within a message. */
int divvy_grpc_reader_is_between(const struct divvy_grpc_reader *reader);
void divvy_grpc_reader_done(struct divvy_grpc_reader *reader);

/* The prefix of an uncompressed message. */
void divvy_grpc_prefix_write(uint32_t length, uint8_t ret_prefix[DIVVY_GRPC_PREFIX_BYTES]);

/* "10S", "250m": 1 to 8 digits and a unit of H M S m u n. 0 or -EINVAL. */
int divvy_grpc_timeout_parse(const char *text, size_t length, uint64_t *ret_ns);
/* The other way, rounded up to what eight digits can say. */
#define DIVVY_GRPC_TIMEOUT_BYTES 16u
void divvy_grpc_timeout_format(uint64_t timeout_ns, char ret_text[DIVVY_GRPC_TIMEOUT_BYTES]);

/* A status' code in decimal; UNKNOWN for what is no code. */
enum divvy_grpc_status divvy_grpc_status_parse(const char *text, size_t length);

/*
 * A text for the header grpc-message: what is not printable ASCII, and '%', as %XX. Returns the length; `ret_text` has
 * 3 * DIVVY_GRPC_TEXT_BYTES bytes and the text is cut at DIVVY_GRPC_TEXT_BYTES - 1.
 */
size_t divvy_grpc_text_encode(const char *text, char *ret_text);
/* The other way, as one printable line: control characters become blanks; a broken escape stays as it is. */
void divvy_grpc_text_decode(const char *text, size_t length, char ret_text[DIVVY_GRPC_TEXT_BYTES]);

#endif
