/* Packets of XenStore: see packet.h. */
#include "wire/xen/packet.h"

#include "core/parse.h"
#include "wire/vgpu/words.h"

#include <errno.h>
#include <string.h>

#define DOMAIN_MAX UINT64_C(0x7FEF) /* Xen's own numbers follow */

int divvy_wire_xen_packet_read(const uint8_t bytes[DIVVY_WIRE_XEN_HEADER_BYTES], struct divvy_wire_xen_packet *ret_packet) {
    const struct divvy_wire_xen_packet packet = {divvy_wire_u32_get(bytes), divvy_wire_u32_get(bytes + 4),
                                                  divvy_wire_u32_get(bytes + 8), divvy_wire_u32_get(bytes + 12)};

    if (packet.length > DIVVY_WIRE_XEN_PAYLOAD_BYTES)
        return -EMSGSIZE;
    *ret_packet = packet;
    return 0;
}

void divvy_wire_xen_packet_write(const struct divvy_wire_xen_packet *packet, uint8_t ret_bytes[DIVVY_WIRE_XEN_HEADER_BYTES]) {
    divvy_wire_u32_put(ret_bytes, packet->type);
    divvy_wire_u32_put(ret_bytes + 4, packet->request);
    divvy_wire_u32_put(ret_bytes + 8, packet->transaction);
    divvy_wire_u32_put(ret_bytes + 12, packet->length);
}

int divvy_wire_xen_domain_parse(const char *text, size_t length, uint32_t *ret_domain) {
    uint64_t domain;

    if (divvy_core_u64_parse(text, length, &domain, NULL) < 0 || domain < 1 || domain > DOMAIN_MAX)
        return -EINVAL;
    *ret_domain = (uint32_t)domain;
    return 0;
}

/* "/local/domain/N" and what follows. */
static int event_read(const char *payload, size_t length, const char *behind, uint32_t *ret_domain) {
    static const char before[] = "/local/domain/";
    const char *end = memchr(payload, '\0', length), *digits = payload + sizeof before - 1;
    size_t count;

    if (!end)
        return -EINVAL;
    if (strncmp(payload, before, sizeof before - 1) != 0)
        return -ENOENT;
    count = strcspn(digits, "/");
    return strcmp(digits + count, behind) != 0 || divvy_wire_xen_domain_parse(digits, count, ret_domain) < 0 ? -ENOENT : 0;
}

int divvy_wire_xen_event_domain(const char *payload, size_t length, uint32_t *ret_domain) {
    return event_read(payload, length, "/gpu/request", ret_domain);
}

int divvy_wire_xen_event_life(const char *payload, size_t length, uint32_t *ret_domain) {
    return event_read(payload, length, "", ret_domain);
}
