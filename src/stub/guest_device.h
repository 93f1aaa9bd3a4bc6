/*
 * The vGPU as a guest reaches it without a kernel module: BAR0 mapped from resource0 of sysfs. The kernel gives that file
 * mode 0600: who drives the device is root, or was let by root. One thread, one user at a time: the device has one buffer.
 */
#ifndef DIVVY_STUB_GUEST_DEVICE_H
#define DIVVY_STUB_GUEST_DEVICE_H

#include <limits.h>
#include <stdint.h>

#include "stub/registers.h"
#include "wire/vgpu/frame.h"

struct divvy_stub_guest {
    volatile uint32_t *words; /* BAR0 */
    int lock_fd;              /* resource0, locked against other processes as long as it is open */
    char path[256];           /* folder of the device in sysfs */
    char fault[256];          /* why the last call failed, one line */
};

/* How a request ended. */
struct divvy_stub_guest_result {
    uint32_t code; /* divvy_wire_vgpu_code_t or a code of CUDA */
    struct divvy_wire_vgpu_body body;
    uint8_t data[DIVVY_WIRE_VGPU_PAYLOAD_BYTES]; /* body.data_bytes of them */
    uint64_t took_ns;                            /* doorbell to the end */
};

/*
 * Opens the device at a PCI address ("0000:00:03.0"), or with NULL the first one with the usual ids or class 1200 and our
 * protocol. 0 or a negative errno, with `fault` set: -ENODEV none is there, -EACCES not allowed.
 */
int divvy_stub_guest_open(struct divvy_stub_guest *guest, const char *address);
void divvy_stub_guest_close(struct divvy_stub_guest *guest);

uint32_t divvy_stub_guest_read(const struct divvy_stub_guest *guest, uint32_t offset);
void divvy_stub_guest_write(const struct divvy_stub_guest *guest, uint32_t offset, uint32_t value);

/*
 * Puts `size` bytes into the request buffer (at most its size), says `length` in REQUEST_LEN, rings, and waits at most
 * timeout_ns. 0, whatever the device answered; -ETIMEDOUT; -EBUSY when a request of somebody else does not end; -EIO when
 * the device is gone (reads all ones) or answers what cannot be.
 */
int divvy_stub_guest_submit(struct divvy_stub_guest *guest, const uint8_t *bytes, uint32_t size, uint32_t length,
                            uint64_t timeout_ns, struct divvy_stub_guest_result *ret_result);

#endif
