/*
 * A QEMU, a guest and a relay of any make against the device: the input is a stream of the link's messages; between them a
 * byte decides whether the relay answers, and with what. Nothing may be read or written outside, and the states stay sound.
 */
#include <stdlib.h>
#include <string.h>

#include "stub/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void sound(const struct divvy_stub_device *device) {
    uint64_t status = divvy_stub_device_read(device, DIVVY_STUB_REG_STATUS, 4);
    uint64_t code = divvy_stub_device_read(device, DIVVY_STUB_REG_ERROR_CODE, 4);

    if (status >= DIVVY_STUB_STATUS_MAX || (status == DIVVY_STUB_STATUS_ERROR) != (code != 0) || code > 0xFF ||
        device->submitted_bytes > DIVVY_STUB_BUFFER_BYTES ||
        (status == DIVVY_STUB_STATUS_BUSY) != (device->submitted_bytes != 0) ||
        divvy_stub_device_read(device, DIVVY_STUB_REG_RESPONSE_LEN, 4) > DIVVY_STUB_BUFFER_BYTES ||
        divvy_stub_device_read(device, DIVVY_STUB_REG_VM_ID, 4) != 7)
        abort();
}

/* The bytes as accesses of the guest: offset, size and value, many in a small input. */
static void accesses(struct divvy_stub_device *device, const uint8_t *data, size_t size) {
    for (size_t at = 0; at + 12 <= size; at += 12) {
        uint64_t offset = (uint64_t)(data[at] | data[at + 1] << 8) % (2 * DIVVY_STUB_BAR_BYTES), value;

        memcpy(&value, data + at + 4, sizeof value);
        if (data[at + 3] & 1)
            (void)divvy_stub_device_read(device, offset, data[at + 2] % 12);
        else if (divvy_stub_device_write(device, offset, value, data[at + 2] % 12, at))
            sound(device);
        if (data[at + 3] & 2)
            (void)divvy_stub_device_complete(device, data + at, (uint32_t)(size - at), at);
        if (data[at + 3] & 4)
            divvy_stub_device_fail(device, DIVVY_WIRE_VGPU_CODE_TIMEOUT, at);
        sound(device);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct divvy_stub_identity identity = {.vm_id = 7, .pool_id = 'B', .vendor = DIVVY_STUB_VENDOR};
    struct divvy_stub_proxy_outcome outcome;
    struct divvy_stub_device device;
    struct divvy_stub_pci pci;

    divvy_stub_device_init(&device, &identity);
    divvy_stub_pci_init(&pci, &identity);
    accesses(&device, data, size);
    for (size_t at = 0; divvy_stub_proxy_handle(&pci, &device, data + at, size - at, at, &outcome) == 0 && outcome.used_bytes;) {
        at += outcome.used_bytes;
        if (outcome.is_submitted && at < size && (data[at] & 1))
            (void)divvy_stub_device_complete(&device, data + at, (uint32_t)(size - at), at);
        sound(&device);
        if (divvy_stub_pci_read(&pci, 0, 2) != DIVVY_STUB_VENDOR)
            abort();
    }
    return 0;
}
