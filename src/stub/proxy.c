/* Messages of QEMU's remote-device link. */
#include "stub/proxy.h"

#include <errno.h>
#include <string.h>

/* The layouts of QEMU 7.2 (include/hw/remote/mpqemu-link.h), with the compiler's padding spelled out. */
struct header {
    int32_t command, pad;
    uint64_t size_bytes;
};
struct config_access {
    uint32_t address, value;
    int32_t length;
};
struct bar_access {
    uint64_t address, value;
    uint32_t size;
    uint8_t is_memory, pad[3];
};

_Static_assert(sizeof(struct header) == DIVVY_STUB_PROXY_HEADER_BYTES, "header of the link");
_Static_assert(sizeof(struct config_access) == 12 && sizeof(struct bar_access) == 24, "data of the link");

/* The data that a command has: exactly `least`, or from there to `most`. */
static const struct {
    uint32_t least, most;
    bool has_answer;
} shapes[DIVVY_STUB_PROXY_MAX] = {
    [DIVVY_STUB_PROXY_SYNC_SYSMEM] = {0, DIVVY_STUB_PROXY_DATA_BYTES, false},
    [DIVVY_STUB_PROXY_RET] = {1, 0, false}, /* never sent to a device */
    [DIVVY_STUB_PROXY_CFG_WRITE] = {sizeof(struct config_access), sizeof(struct config_access), true},
    [DIVVY_STUB_PROXY_CFG_READ] = {sizeof(struct config_access), sizeof(struct config_access), true},
    [DIVVY_STUB_PROXY_BAR_WRITE] = {sizeof(struct bar_access), sizeof(struct bar_access), true},
    [DIVVY_STUB_PROXY_BAR_READ] = {sizeof(struct bar_access), sizeof(struct bar_access), true},
    [DIVVY_STUB_PROXY_SET_IRQFD] = {0, DIVVY_STUB_PROXY_DATA_BYTES, false},
    [DIVVY_STUB_PROXY_RESET] = {0, DIVVY_STUB_PROXY_DATA_BYTES, true},
};

static uint64_t config_handle(struct divvy_stub_pci *pci, int32_t command, const uint8_t *data) {
    struct config_access access;

    memcpy(&access, data, sizeof access);
    if (command == DIVVY_STUB_PROXY_CFG_READ)
        return divvy_stub_pci_read(pci, access.address, access.length);
    divvy_stub_pci_write(pci, access.address, access.value, access.length);
    return 0;
}

static uint64_t bar_handle(struct divvy_stub_pci *pci, struct divvy_stub_device *device, int32_t command,
                           const uint8_t *data, uint64_t now_ns, struct divvy_stub_proxy_outcome *outcome) {
    struct bar_access access;
    uint64_t offset;
    bool is_ours;

    memcpy(&access, data, sizeof access);
    is_ours = access.is_memory && divvy_stub_pci_locate(pci, access.address, &offset);
    if (command == DIVVY_STUB_PROXY_BAR_READ)
        return is_ours ? divvy_stub_device_read(device, offset, access.size) : UINT64_MAX;
    if (is_ours)
        outcome->is_submitted = divvy_stub_device_write(device, offset, access.value, access.size, now_ns);
    return 0;
}

int divvy_stub_proxy_handle(struct divvy_stub_pci *pci, struct divvy_stub_device *device, const uint8_t *bytes, size_t size,
                            uint64_t now_ns, struct divvy_stub_proxy_outcome *ret_outcome) {
    const struct header answer = {.command = DIVVY_STUB_PROXY_RET, .size_bytes = sizeof(uint64_t)};
    struct header header;
    uint64_t value = 0;

    memset(ret_outcome, 0, sizeof *ret_outcome);
    if (size < sizeof header)
        return 0;
    memcpy(&header, bytes, sizeof header);
    if (header.command < 0 || header.command >= DIVVY_STUB_PROXY_MAX ||
        header.size_bytes < shapes[header.command].least || header.size_bytes > shapes[header.command].most)
        return -EPROTO;
    if (size - sizeof header < header.size_bytes)
        return 0;
    bytes += sizeof header;
    if (header.command == DIVVY_STUB_PROXY_CFG_WRITE || header.command == DIVVY_STUB_PROXY_CFG_READ) {
        value = config_handle(pci, header.command, bytes);
    } else if (header.command == DIVVY_STUB_PROXY_BAR_WRITE || header.command == DIVVY_STUB_PROXY_BAR_READ) {
        value = bar_handle(pci, device, header.command, bytes, now_ns, ret_outcome);
    } else if (header.command == DIVVY_STUB_PROXY_RESET) {
        divvy_stub_device_reset(device);
        ret_outcome->is_reset = true;
    }
    ret_outcome->used_bytes = sizeof header + header.size_bytes;
    ret_outcome->has_answer = shapes[header.command].has_answer;
    memcpy(ret_outcome->answer, &answer, sizeof answer);
    memcpy(ret_outcome->answer + sizeof answer, &value, sizeof value);
    return 0;
}
