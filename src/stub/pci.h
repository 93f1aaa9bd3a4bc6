/* The configuration space of the vGPU: 256 bytes, BAR0 of 4 KiB below 4 GiB. Pure. */
#ifndef DIVVY_STUB_PCI_H
#define DIVVY_STUB_PCI_H

#include <stdbool.h>
#include <stdint.h>

#include "stub/device.h"

#define DIVVY_STUB_PCI_BYTES 256u

struct divvy_stub_pci {
    uint8_t bytes[DIVVY_STUB_PCI_BYTES];
};

void divvy_stub_pci_init(struct divvy_stub_pci *pci, const struct divvy_stub_identity *identity);

/* `length` 1, 2 or 4 bytes at any address; all ones for another length or what lies outside. */
uint32_t divvy_stub_pci_read(const struct divvy_stub_pci *pci, uint32_t address, int32_t length);

/* Only writable bits change; a length or place that cannot be is ignored. */
void divvy_stub_pci_write(struct divvy_stub_pci *pci, uint32_t address, uint32_t value, int32_t length);

/* The offset within BAR0 of an absolute address of the guest; false: the address is not of BAR0 as it is placed now. */
bool divvy_stub_pci_locate(const struct divvy_stub_pci *pci, uint64_t address, uint64_t *ret_offset);

#endif
