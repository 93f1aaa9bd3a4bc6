/*
 * Packets of XenStore as they go over its socket and over a guest's /dev/xen/xenbus: {type, request, transaction, length} of 32 bits
 * each, and so many bytes. Pure. The numbers are those of Xen's public headers (io/xs_wire.h).
 */
#ifndef DIVVY_WIRE_XEN_PACKET_H
#define DIVVY_WIRE_XEN_PACKET_H

#include <stddef.h>
#include <stdint.h>

#define DIVVY_WIRE_XEN_HEADER_BYTES  16u
#define DIVVY_WIRE_XEN_PAYLOAD_BYTES 4096u /* more is never sent */

enum {
    DIVVY_WIRE_XEN_DIRECTORY = 1,
    DIVVY_WIRE_XEN_READ = 2,
    DIVVY_WIRE_XEN_WATCH = 4,
    DIVVY_WIRE_XEN_START = 6, /* a transaction; its number is the answer */
    DIVVY_WIRE_XEN_END = 7,
    DIVVY_WIRE_XEN_WRITE = 11,
    DIVVY_WIRE_XEN_RM = 13,
    DIVVY_WIRE_XEN_EVENT = 15,
    DIVVY_WIRE_XEN_ERROR = 16,
};

struct divvy_wire_xen_packet {
    uint32_t type, request, transaction, length;
};

/* 0 or -EMSGSIZE: no packet is so long. */
int divvy_wire_xen_packet_read(const uint8_t bytes[DIVVY_WIRE_XEN_HEADER_BYTES], struct divvy_wire_xen_packet *ret_packet);
void divvy_wire_xen_packet_write(const struct divvy_wire_xen_packet *packet, uint8_t ret_bytes[DIVVY_WIRE_XEN_HEADER_BYTES]);

/*
 * The domain whose request node a watch event is about: its payload begins with a path, "/local/domain/N/gpu/request" and a NUL.
 * 0; -ENOENT: another path; -EINVAL: no path.
 */
int divvy_wire_xen_event_domain(const char *payload, size_t length, uint32_t *ret_domain);

/* The domain itself, which has come or gone: "/local/domain/N". 0, -ENOENT or -EINVAL, likewise. */
int divvy_wire_xen_event_life(const char *payload, size_t length, uint32_t *ret_domain);

/* A domain's number as a name of a node, `length` bytes. 0, or -EINVAL: it is none that a guest can have. */
int divvy_wire_xen_domain_parse(const char *text, size_t length, uint32_t *ret_domain);

#endif
