/* Configuration space of the vGPU. */
#include "stub/pci.h"

#include <string.h>

#include "wire/vgpu/words.h"

/* Offsets of the header of type 0. */
enum { ID = 0x00, COMMAND = 0x04, CLASS_REVISION = 0x08, CACHE_LINE = 0x0C, BAR0 = 0x10, SUBSYSTEM = 0x2C, INTERRUPT = 0x3C };

/* Which bits the guest may change, by words. */
static const struct {
    uint32_t address, bits;
} writable[] = {
    {COMMAND, 0x00000406}, /* memory decoding, bus master, INTx disabled */
    {CACHE_LINE, 0x000000FF},
    {BAR0, ~(DIVVY_STUB_BAR_BYTES - 1)},
    {INTERRUPT, 0x000000FF}, /* line; the pin is fixed */
};

static uint32_t get(const struct divvy_stub_pci *pci, uint32_t address) {
    return divvy_wire_u32_get(pci->bytes + address);
}

void divvy_stub_pci_init(struct divvy_stub_pci *pci, const struct divvy_stub_identity *identity) {
    memset(pci, 0, sizeof *pci);
    divvy_wire_u32_put(pci->bytes + ID, (uint32_t)identity->vendor | (uint32_t)identity->device << 16);
    divvy_wire_u32_put(pci->bytes + CLASS_REVISION, DIVVY_STUB_CLASS << 8 | DIVVY_STUB_REVISION);
    divvy_wire_u32_put(pci->bytes + SUBSYSTEM, (uint32_t)identity->sub_vendor | (uint32_t)identity->sub_device << 16);
    divvy_wire_u32_put(pci->bytes + INTERRUPT, 1u << 8); /* pin A */
}

static bool fits(uint32_t address, int32_t length) {
    return (length == 1 || length == 2 || length == 4) && address <= DIVVY_STUB_PCI_BYTES - (uint32_t)length;
}

uint32_t divvy_stub_pci_read(const struct divvy_stub_pci *pci, uint32_t address, int32_t length) {
    uint32_t value = 0;

    if (!fits(address, length))
        return UINT32_MAX;
    for (int32_t i = 0; i < length; i++)
        value |= (uint32_t)pci->bytes[address + (uint32_t)i] << 8 * i;
    return value;
}

static uint8_t writable_bits(uint32_t address) {
    for (size_t i = 0; i < sizeof writable / sizeof *writable; i++)
        if (writable[i].address == (address & ~3u))
            return (uint8_t)(writable[i].bits >> 8 * (address & 3u));
    return 0;
}

void divvy_stub_pci_write(struct divvy_stub_pci *pci, uint32_t address, uint32_t value, int32_t length) {
    if (!fits(address, length))
        return;
    for (int32_t i = 0; i < length; i++) {
        uint8_t *byte = &pci->bytes[address + (uint32_t)i], bits = writable_bits(address + (uint32_t)i);

        *byte = (uint8_t)((*byte & ~bits) | ((uint8_t)(value >> 8 * i) & bits));
    }
}

bool divvy_stub_pci_locate(const struct divvy_stub_pci *pci, uint64_t address, uint64_t *ret_offset) {
    uint32_t base = get(pci, BAR0);

    if (address < base || address - base >= DIVVY_STUB_BAR_BYTES)
        return false;
    *ret_offset = address - base;
    return true;
}
