/*
 * Packets of XenStore as they go over its socket: {type, request, transaction, length} of 32 bits each, and so many bytes. Pure.
 * The numbers are those of Xen's public headers (io/xs_wire.h).
 */
#ifndef DIVVY_REMOTE_RELAY_XEN_PACKET_H
#define DIVVY_REMOTE_RELAY_XEN_PACKET_H

#include <stddef.h>
#include <stdint.h>

#define DIVVY_RELAY_XEN_HEADER_BYTES  16u
#define DIVVY_RELAY_XEN_PAYLOAD_BYTES 4096u /* more is never sent */
#define DIVVY_RELAY_XEN_VALUE_BYTES   1900u /* longer values do not fit a guest's quota with its overhead */

enum {
    DIVVY_RELAY_XEN_DIRECTORY = 1,
    DIVVY_RELAY_XEN_READ = 2,
    DIVVY_RELAY_XEN_WATCH = 4,
    DIVVY_RELAY_XEN_WRITE = 11,
    DIVVY_RELAY_XEN_RM = 13,
    DIVVY_RELAY_XEN_EVENT = 15,
    DIVVY_RELAY_XEN_ERROR = 16,
};

struct divvy_relay_xen_packet {
    uint32_t type, request, transaction, length;
};

/* 0 or -EMSGSIZE: no packet is so long. */
int divvy_relay_xen_packet_read(const uint8_t bytes[DIVVY_RELAY_XEN_HEADER_BYTES], struct divvy_relay_xen_packet *ret_packet);
void divvy_relay_xen_packet_write(const struct divvy_relay_xen_packet *packet, uint8_t ret_bytes[DIVVY_RELAY_XEN_HEADER_BYTES]);

/*
 * The domain whose request node a watch event is about: its payload begins with a path, "/local/domain/N/gpu/request" and a NUL.
 * 0; -ENOENT: another path; -EINVAL: no path.
 */
int divvy_relay_xen_event_domain(const char *payload, size_t length, uint32_t *ret_domain);

#endif
