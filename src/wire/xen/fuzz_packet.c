/* Fuzzes what relay and client read of XenStore: a packet's header, and the path of a watch event. */
#include "wire/xen/packet.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct divvy_wire_xen_packet packet;
    uint8_t again[DIVVY_WIRE_XEN_HEADER_BYTES];
    uint32_t domain;

    if (size < DIVVY_WIRE_XEN_HEADER_BYTES)
        return 0;
    if (divvy_wire_xen_packet_read(data, &packet) == 0) {
        divvy_wire_xen_packet_write(&packet, again);
        if (memcmp(again, data, sizeof again) != 0)
            abort();
    }
    if (divvy_wire_xen_event_domain((const char *)data + DIVVY_WIRE_XEN_HEADER_BYTES, size - DIVVY_WIRE_XEN_HEADER_BYTES,
                                     &domain) == 0 &&
        (domain < 1 || domain > 0x7FEF))
        abort();
    if (divvy_wire_xen_event_life((const char *)data + DIVVY_WIRE_XEN_HEADER_BYTES, size - DIVVY_WIRE_XEN_HEADER_BYTES, &domain) == 0 &&
        (domain < 1 || domain > 0x7FEF))
        abort();
    return 0;
}
