/* Messages, time limits and texts of gRPC: see message.h. */
#include "grpc/message.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BYTES  4096u
#define DIGITS_MAX   8u
#define COUNT_MAX    UINT64_C(99999999)

static const char *const names[DIVVY_GRPC_STATUS_MAX] = {
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
};

const char *divvy_grpc_status_name(enum divvy_grpc_status status) {
    return (unsigned int)status < DIVVY_GRPC_STATUS_MAX ? names[status] : names[DIVVY_GRPC_UNKNOWN];
}

/* --- messages ------------------------------------------------------------------------------------------------------------- */

void divvy_grpc_prefix_write(uint32_t length, uint8_t ret_prefix[DIVVY_GRPC_PREFIX_BYTES]) {
    ret_prefix[0] = 0;
    for (int i = 0; i < 4; i++)
        ret_prefix[1 + i] = (uint8_t)(length >> (24 - 8 * i));
}

static enum divvy_grpc_status prefix_judge(struct divvy_grpc_reader *reader) {
    const uint8_t *at = reader->prefix;

    reader->wanted = (size_t)at[1] << 24 | (size_t)at[2] << 16 | (size_t)at[3] << 8 | at[4];
    if (at[0] > 1)
        return DIVVY_GRPC_INTERNAL;
    if (at[0] == 1)
        return DIVVY_GRPC_UNIMPLEMENTED;
    return reader->wanted > reader->max_bytes ? DIVVY_GRPC_RESOURCE_EXHAUSTED : DIVVY_GRPC_OK;
}

/* Room for `more` bytes behind those that are there: doubled, but never beyond what is wanted. */
static int grow(struct divvy_grpc_reader *reader, size_t more) {
    size_t room = reader->room ? reader->room : FIRST_BYTES;
    uint8_t *message;

    while (room < reader->length + more)
        room *= 2;
    if (room > reader->wanted)
        room = reader->wanted;
    if (room <= reader->room)
        return 0;
    message = realloc(reader->message, room);
    if (!message)
        return -ENOMEM;
    reader->message = message;
    reader->room = room;
    return 0;
}

enum divvy_grpc_status divvy_grpc_reader_feed(struct divvy_grpc_reader *reader, const uint8_t *data, size_t length, size_t *ret_taken,
                                              int *ret_whole) {
    size_t taken = 0, part;
    enum divvy_grpc_status status;

    *ret_whole = 0;
    *ret_taken = 0;
    if (reader->prefix_length == 0)
        reader->length = 0;
    while (reader->prefix_length < DIVVY_GRPC_PREFIX_BYTES && taken < length) {
        reader->prefix[reader->prefix_length++] = data[taken++];
        if (reader->prefix_length == DIVVY_GRPC_PREFIX_BYTES && (status = prefix_judge(reader)) != DIVVY_GRPC_OK)
            return status;
    }
    *ret_taken = taken;
    if (reader->prefix_length < DIVVY_GRPC_PREFIX_BYTES)
        return DIVVY_GRPC_OK;
    part = reader->wanted - reader->length;
    if (part > length - taken)
        part = length - taken;
    if (part > 0) {
        if (grow(reader, part) < 0)
            return DIVVY_GRPC_INTERNAL;
        memcpy(reader->message + reader->length, data + taken, part);
        reader->length += part;
        *ret_taken += part;
    }
    if (reader->length == reader->wanted) {
        *ret_whole = 1;
        reader->prefix_length = 0;
    }
    return DIVVY_GRPC_OK;
}

int divvy_grpc_reader_is_between(const struct divvy_grpc_reader *reader) {
    return reader->prefix_length == 0;
}

void divvy_grpc_reader_done(struct divvy_grpc_reader *reader) {
    free(reader->message);
    reader->message = NULL;
    reader->length = reader->room = reader->prefix_length = 0;
}

/* --- time limits ---------------------------------------------------------------------------------------------------------- */

/* From the finest: the first that can say it is the most exact. */
static const struct {
    char letter;
    uint64_t ns;
} units[] = {{'n', 1},
             {'u', UINT64_C(1000)},
             {'m', UINT64_C(1000000)},
             {'S', UINT64_C(1000000000)},
             {'M', UINT64_C(60000000000)},
             {'H', UINT64_C(3600000000000)}};
#define UNITS (sizeof units / sizeof units[0])

int divvy_grpc_timeout_parse(const char *text, size_t length, uint64_t *ret_ns) {
    uint64_t count = 0;

    if (length < 2 || length > DIGITS_MAX + 1)
        return -EINVAL;
    for (size_t i = 0; i < length - 1; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -EINVAL;
        count = count * 10 + (uint64_t)(text[i] - '0');
    }
    for (size_t i = 0; i < UNITS; i++)
        if (units[i].letter == text[length - 1]) {
            /* Hours of eight digits would wrap. */
            *ret_ns = count > UINT64_MAX / units[i].ns ? UINT64_MAX : count * units[i].ns;
            return 0;
        }
    return -EINVAL;
}

void divvy_grpc_timeout_format(uint64_t timeout_ns, char ret_text[DIVVY_GRPC_TIMEOUT_BYTES]) {
    for (size_t i = 0; i < UNITS; i++) {
        uint64_t count = timeout_ns / units[i].ns + (timeout_ns % units[i].ns != 0);

        if (count > COUNT_MAX && i + 1 < UNITS)
            continue;
        (void)snprintf(ret_text, DIVVY_GRPC_TIMEOUT_BYTES, "%llu%c", (unsigned long long)(count > COUNT_MAX ? COUNT_MAX : count),
                       units[i].letter);
        return;
    }
}

/* --- statuses ------------------------------------------------------------------------------------------------------------- */

enum divvy_grpc_status divvy_grpc_status_parse(const char *text, size_t length) {
    unsigned int code = 0;

    if (length < 1 || length > 2)
        return DIVVY_GRPC_UNKNOWN;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return DIVVY_GRPC_UNKNOWN;
        code = code * 10 + (unsigned int)(text[i] - '0');
    }
    return code < DIVVY_GRPC_STATUS_MAX ? (enum divvy_grpc_status)code : DIVVY_GRPC_UNKNOWN;
}

size_t divvy_grpc_text_encode(const char *text, char *ret_text) {
    static const char digits[] = "0123456789ABCDEF";
    size_t length = 0;

    for (size_t i = 0; text[i] && i < DIVVY_GRPC_TEXT_BYTES - 1; i++) {
        unsigned char byte = (unsigned char)text[i];

        if (byte >= 0x20 && byte < 0x7f && byte != '%') {
            ret_text[length++] = (char)byte;
        } else {
            ret_text[length++] = '%';
            ret_text[length++] = digits[byte >> 4];
            ret_text[length++] = digits[byte & 15];
        }
    }
    ret_text[length] = '\0';
    return length;
}

static int hex(char digit) {
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    digit |= 0x20;
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

void divvy_grpc_text_decode(const char *text, size_t length, char ret_text[DIVVY_GRPC_TEXT_BYTES]) {
    size_t out = 0;

    for (size_t i = 0; i < length && out < DIVVY_GRPC_TEXT_BYTES - 1; i++) {
        unsigned char byte = (unsigned char)text[i];

        if (byte == '%' && i + 2 < length && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0) {
            byte = (unsigned char)(hex(text[i + 1]) << 4 | hex(text[i + 2]));
            i += 2;
        }
        ret_text[out++] = byte < 0x20 || byte == 0x7f ? ' ' : (char)byte;
    }
    ret_text[out] = '\0';
}
