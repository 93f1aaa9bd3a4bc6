/*
 * Packed bytes of frames: four bytes with their number, then one block of the LZ4 format (lz4.org, "LZ4 Block Format Description"),
 * which is quick, needs no memory to unpack, and is simple enough to be checked. For links that are slower than a processor packs.
 *
 * Libc only, no allocation, no locks; usable in injected code. What is unpacked is hostile: nothing is read or written outside of
 * what is given, whatever the bytes say.
 */
#ifndef DIVVY_WIRE_PACK_H
#define DIVVY_WIRE_PACK_H

#include <stddef.h>
#include <stdint.h>

#define DIVVY_WIRE_PACK_LEAST_BYTES 256u /* fewer are not worth it */

/* Memory of whoever packs; one thread uses it. Nothing in it needs to be set. */
struct divvy_wire_packer {
    uint32_t places[4096];
};

/*
 * Packs at most UINT32_MAX bytes into ret_packed, which has room for as many. The length of what is there then, or 0: it would not be
 * shorter by a sixteenth at least, and ret_packed may have been written.
 */
size_t divvy_wire_pack(struct divvy_wire_packer *packer, const void *bytes, size_t length, void *ret_packed);

/*
 * Unpacks to at most `room` bytes at ret_bytes, *ret_length of them. -EPROTO: these are no packed bytes, or of more than `room`;
 * ret_bytes may have been written.
 */
int divvy_wire_unpack(const void *packed, size_t length, void *ret_bytes, size_t room, size_t *ret_length);

#endif
