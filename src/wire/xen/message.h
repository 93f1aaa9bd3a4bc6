/*
 * Messages through nodes of XenStore, whose values must stay short. A message is the value of one node, and of pieces below it:
 *
 *     gpu/request      "@PIECES LENGTH TAG\n", and the message itself where PIECES is 0
 *     gpu/request/0    its first bytes, where PIECES is not 0
 *     gpu/request/1    the next ones ...
 *
 * The three are decimal numbers. Pieces are written before the node that names them, so that whoever sees the node finds them all, and
 * go with it when it is removed. TAG is the requester's; the answer, in gpu/response, has the same one. A value that does not begin
 * with '@' is the message as it is, and is answered by such a value: that is how clients ask that know nothing of this. Pure.
 */
#ifndef DIVVY_WIRE_XEN_MESSAGE_H
#define DIVVY_WIRE_XEN_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

/*
 * A guest's quota is 2048 bytes for a value with its overhead, and, in Debian's daemon, 1000 nodes of which some 420 are left beside
 * those of its devices. Requester and relay both keep to these bounds, whatever the store would bear.
 */
#define DIVVY_WIRE_XEN_VALUE_BYTES   1900u
#define DIVVY_WIRE_XEN_PIECES_MAX    256u
#define DIVVY_WIRE_XEN_MESSAGE_BYTES (DIVVY_WIRE_XEN_PIECES_MAX * DIVVY_WIRE_XEN_VALUE_BYTES)
#define DIVVY_WIRE_XEN_HEAD_BYTES    40u /* longest head */

struct divvy_wire_xen_head {
    uint32_t pieces; /* 0: the message stands behind the head */
    uint32_t length; /* of the message, bytes */
    uint32_t tag;
};

/* How a message of `length` bytes (at most DIVVY_WIRE_XEN_MESSAGE_BYTES) is cut: 0 pieces, or so many of VALUE_BYTES, the last shorter. */
uint32_t divvy_wire_xen_pieces(uint32_t length);

/* Length of piece `index` of a message of `length` bytes that is cut so; index < divvy_wire_xen_pieces(length). */
uint32_t divvy_wire_xen_piece_bytes(uint32_t length, uint32_t index);

/* Writes a head; its length. */
size_t divvy_wire_xen_head_write(const struct divvy_wire_xen_head *head, char ret_text[DIVVY_WIRE_XEN_HEAD_BYTES]);

/*
 * Reads the head of a value; *ret_bytes is its length, behind which the message stands. 0; -ENOENT: the value has none, it is the
 * message; -EINVAL: it is wrong, or the value is not as long as it says; -EMSGSIZE: a longer message than there may be (ret_head is set,
 * so that it can be answered).
 */
int divvy_wire_xen_head_read(const char *value, size_t length, struct divvy_wire_xen_head *ret_head, size_t *ret_bytes);

#endif
