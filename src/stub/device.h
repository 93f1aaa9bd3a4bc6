/*
 * The vGPU behind its BAR0: reads and writes of a guest in, state and requests out. Pure: no socket, no clock. Everything
 * that the guest writes is hostile; whatever it writes changes its own device only.
 *
 * A request is copied when the doorbell rings: what the guest writes afterwards does not change it. While one is under way
 * (STATUS busy) the doorbell is ignored.
 */
#ifndef DIVVY_STUB_DEVICE_H
#define DIVVY_STUB_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "stub/registers.h"
#include "wire/vgpu/frame.h"

/* What the host's configuration says of the VM and its device. */
struct divvy_stub_identity {
    uint32_t vm_id;
    char pool_id;     /* 'A' or 'B' */
    uint8_t priority; /* 0 low, 1 medium, 2 high */
    uint16_t vendor, device, sub_vendor, sub_device;
    uint32_t capabilities; /* DIVVY_STUB_CAP_* */
};

struct divvy_stub_device {
    uint32_t registers[DIVVY_STUB_REGISTERS_BYTES / 4];
    uint8_t request[DIVVY_STUB_BUFFER_BYTES], response[DIVVY_STUB_BUFFER_BYTES];
    uint8_t submitted[DIVVY_STUB_BUFFER_BYTES]; /* the request under way, as it was at the doorbell */
    uint32_t submitted_bytes;
};

/* As after power-on. */
void divvy_stub_device_init(struct divvy_stub_device *device, const struct divvy_stub_identity *identity);

/* A reset by the guest: as after power-on; a request under way is forgotten. */
void divvy_stub_device_reset(struct divvy_stub_device *device);

/*
 * A read of `size` bytes (1 to 8) at an offset of BAR0, in any alignment. What is reserved or outside reads as 0; a size
 * out of range reads as all ones.
 */
uint64_t divvy_stub_device_read(const struct divvy_stub_device *device, uint64_t offset, uint32_t size);

/*
 * A write of `size` bytes (1 to 8). The request buffer takes bytes in any alignment; registers take aligned words, one or
 * two at once, and nothing else. True when a request is now under way: device->submitted is to be sent. A request with a
 * fault in it is answered here, at `now_ns` of the device's own time.
 */
bool divvy_stub_device_write(struct divvy_stub_device *device, uint64_t offset, uint64_t value, uint32_t size,
                             uint64_t now_ns);

bool divvy_stub_device_is_busy(const struct divvy_stub_device *device);

/*
 * The answer to the request under way, from the relay. A response of status 0 makes STATUS done, another status an error
 * with that code. 0, or -EPROTO when these bytes are no response: nothing has changed then, and the caller ends it by
 * divvy_stub_device_fail. Without a request under way nothing happens.
 */
int divvy_stub_device_complete(struct divvy_stub_device *device, const uint8_t *bytes, uint32_t size, uint64_t now_ns);

/* Ends the request under way with an error; RESPONSE_LEN becomes 0. */
void divvy_stub_device_fail(struct divvy_stub_device *device, divvy_wire_vgpu_code_t code, uint64_t now_ns);

#endif
