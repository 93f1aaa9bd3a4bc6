/* Messages in pieces: see message.h. */
#include "wire/xen/message.h"

#include "core/parse.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

uint32_t divvy_wire_xen_pieces(uint32_t length) {
    if (length + DIVVY_WIRE_XEN_HEAD_BYTES <= DIVVY_WIRE_XEN_VALUE_BYTES)
        return 0;
    return (length + DIVVY_WIRE_XEN_VALUE_BYTES - 1) / DIVVY_WIRE_XEN_VALUE_BYTES;
}

uint32_t divvy_wire_xen_piece_bytes(uint32_t length, uint32_t index) {
    uint32_t left = length - index * DIVVY_WIRE_XEN_VALUE_BYTES;

    return left < DIVVY_WIRE_XEN_VALUE_BYTES ? left : DIVVY_WIRE_XEN_VALUE_BYTES;
}

size_t divvy_wire_xen_head_write(const struct divvy_wire_xen_head *head, char ret_text[DIVVY_WIRE_XEN_HEAD_BYTES]) {
    return (size_t)snprintf(ret_text, DIVVY_WIRE_XEN_HEAD_BYTES, "@%u %u %u\n", head->pieces, head->length, head->tag);
}

/* A number and the byte behind it. */
static int number_read(const char **text, const char *end, char behind, uint32_t *ret_number) {
    const char *stop = memchr(*text, behind, (size_t)(end - *text));
    uint64_t number;

    if (!stop || divvy_core_u64_parse(*text, (size_t)(stop - *text), &number, NULL) < 0 || number > UINT32_MAX)
        return -EINVAL;
    *text = stop + 1;
    *ret_number = (uint32_t)number;
    return 0;
}

int divvy_wire_xen_head_read(const char *value, size_t length, struct divvy_wire_xen_head *ret_head, size_t *ret_bytes) {
    struct divvy_wire_xen_head head;
    const char *text = value + 1, *end = value + length;

    if (length == 0 || value[0] != '@')
        return -ENOENT;
    if (number_read(&text, end, ' ', &head.pieces) < 0 || number_read(&text, end, ' ', &head.length) < 0 ||
        number_read(&text, end, '\n', &head.tag) < 0)
        return -EINVAL;
    *ret_head = head;
    *ret_bytes = (size_t)(text - value);
    if (head.length > DIVVY_WIRE_XEN_MESSAGE_BYTES)
        return -EMSGSIZE;
    if (head.pieces > DIVVY_WIRE_XEN_PIECES_MAX || (size_t)(end - text) != (head.pieces == 0 ? head.length : 0))
        return -EINVAL;
    return 0;
}
