/*
 * The registers of the vGPU in BAR0: one table, from which the device, the guest's tool, the tests and docs/VGPU.md derive.
 * Words of 32 bits, little-endian.
 */
#ifndef DIVVY_STUB_REGISTERS_H
#define DIVVY_STUB_REGISTERS_H

#include <stddef.h>
#include <stdint.h>

#define DIVVY_STUB_BAR_BYTES        4096u
#define DIVVY_STUB_REGISTERS_BYTES  0x40u
#define DIVVY_STUB_REQUEST_OFFSET   0x040u
#define DIVVY_STUB_RESPONSE_OFFSET  0x440u
#define DIVVY_STUB_BUFFER_BYTES     1024u
#define DIVVY_STUB_VENDOR           0x1AF4u
#define DIVVY_STUB_DEVICE           0x1111u
#define DIVVY_STUB_CLASS            0x120000u /* processing accelerator */
#define DIVVY_STUB_REVISION         2u

/* offset, name, access, meaning. Access: RO, RW, W1C (a written 1 clears its bit), CMD (a write acts, reads as 0). */
#define DIVVY_STUB_REGISTERS(X)                                                                    \
    X(0x000, DOORBELL, CMD, "write 1: submit the request")                                         \
    X(0x004, STATUS, RO, "0 idle, 1 busy, 2 done, 3 error")                                        \
    X(0x008, POOL_ID, RO, "the pool's letter: 0x41 is A")                                          \
    X(0x00C, PRIORITY, RO, "0 low, 1 medium, 2 high")                                              \
    X(0x010, VM_ID, RO, "number of the VM in the host's configuration")                            \
    X(0x014, ERROR_CODE, RO, "why, where STATUS is 3; else 0")                                     \
    X(0x018, REQUEST_LEN, RW, "bytes of the request, 1 to 1024")                                   \
    X(0x01C, RESPONSE_LEN, RO, "bytes of the response")                                            \
    X(0x020, PROTOCOL_VER, RO, "major in the high half, minor in the low half")                    \
    X(0x024, CAPABILITIES, RO, "bits: see below")                                                  \
    X(0x028, IRQ_CTRL, RW, "kept; no interrupt is ever raised")                                    \
    X(0x02C, IRQ_STATUS, W1C, "bit 0: a request was done; bit 1: one failed")                      \
    X(0x030, REQUEST_ID, RW, "for the guest's own use")                                            \
    X(0x034, TIMESTAMP_LO, RO, "when the last request ended, ns since the device was made")        \
    X(0x038, TIMESTAMP_HI, RO, "its upper half")                                                   \
    X(0x03C, SCRATCH, RW, "reads back what was written")

typedef enum {
    DIVVY_STUB_ACCESS_RO,
    DIVVY_STUB_ACCESS_RW,
    DIVVY_STUB_ACCESS_W1C,
    DIVVY_STUB_ACCESS_CMD,
    DIVVY_STUB_ACCESS_MAX,
} divvy_stub_access_t;

enum {
#define DIVVY_STUB_REGISTER_ENUM(offset, name, access, meaning) DIVVY_STUB_REG_##name = (offset),
    DIVVY_STUB_REGISTERS(DIVVY_STUB_REGISTER_ENUM)
#undef DIVVY_STUB_REGISTER_ENUM
};

typedef enum {
    DIVVY_STUB_STATUS_IDLE,
    DIVVY_STUB_STATUS_BUSY,
    DIVVY_STUB_STATUS_DONE,
    DIVVY_STUB_STATUS_ERROR,
    DIVVY_STUB_STATUS_MAX,
} divvy_stub_status_t;

/* bit, name, meaning, of CAPABILITIES. A bit that is not set is not offered, and what it names is refused. */
#define DIVVY_STUB_CAPABILITIES(X)                                                                 \
    X(0, BASIC, "requests through the buffers")                                                    \
    X(1, INTERRUPT, "interrupts")                                                                  \
    X(2, DMA, "DMA")                                                                               \
    X(3, MULTIPLE, "several requests at once")                                                     \
    X(4, CUDA, "CUDA remoting")                                                                    \
    X(5, BAR1, "data in BAR1")                                                                     \
    X(6, SHARED_MEMORY, "a ring in shared memory beside the device")

enum {
#define DIVVY_STUB_CAPABILITY_ENUM(bit, name, meaning) DIVVY_STUB_CAP_##name = 1 << (bit),
    DIVVY_STUB_CAPABILITIES(DIVVY_STUB_CAPABILITY_ENUM)
#undef DIVVY_STUB_CAPABILITY_ENUM
};

#define DIVVY_STUB_IRQ_DONE   1u
#define DIVVY_STUB_IRQ_FAILED 2u

struct divvy_stub_register {
    uint32_t offset;
    const char *name;
    divvy_stub_access_t access;
    const char *access_text, *meaning;
};

/* The table, ordered by offset, one row for each word of the registers; *ret_count rows. */
const struct divvy_stub_register *divvy_stub_registers(size_t *ret_count);

#endif
