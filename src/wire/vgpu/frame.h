/*
 * What a vGPU's stub and the relay say to each other over the stream socket of one VM, and the requests and responses of
 * the vGPU's buffers that travel inside. All words are little-endian. Pure: bytes in, structures out; nothing is trusted.
 *
 * Who a VM is, its pool and its priority come from the socket and the host's configuration. The same fields of a frame
 * are hints of the other side, never a basis for accounting.
 */
#ifndef DIVVY_WIRE_VGPU_FRAME_H
#define DIVVY_WIRE_VGPU_FRAME_H

#include <stddef.h>
#include <stdint.h>

#define DIVVY_WIRE_VGPU_MAGIC         UINT32_C(0x56475055)
#define DIVVY_WIRE_VGPU_HEADER_BYTES  24u
#define DIVVY_WIRE_VGPU_PAYLOAD_BYTES 1024u /* most of a REQUEST or RESPONSE: the buffers of the device */

/* The version of the protocol of the buffers: major in the high half. */
#define DIVVY_WIRE_VGPU_VERSION UINT32_C(0x00010000)

#define DIVVY_WIRE_VGPU_BODY_BYTES 32u  /* eight words in front of parameters or results */
#define DIVVY_WIRE_VGPU_WORDS_MAX  248u /* parameters or results: what fits behind them */

/* Kinds of frames. The CUDA kinds (0x10 to 0x12) are reserved and refused. */
typedef enum {
    DIVVY_WIRE_VGPU_REQUEST = 0x01,     /* stub to relay; payload: a request as in the buffer */
    DIVVY_WIRE_VGPU_RESPONSE = 0x02,    /* relay to stub; payload: a response as in the buffer */
    DIVVY_WIRE_VGPU_PING = 0x03,        /* either way, no payload; answered by PONG with the same request_id */
    DIVVY_WIRE_VGPU_PONG = 0x04,
    DIVVY_WIRE_VGPU_BUSY = 0x05,        /* relay to stub: over the rate limit; no payload */
    DIVVY_WIRE_VGPU_QUARANTINED = 0x06, /* relay to stub; no payload */
} divvy_wire_vgpu_kind_t;

/* Why a request failed: STATUS = error, ERROR_CODE = one of these; and the status word of a response. */
#define DIVVY_WIRE_VGPU_CODES(X)                                                                   \
    X(0x00, NONE, "no error")                                                                      \
    X(0x01, INVALID, "invalid request")                                                            \
    X(0x02, TOO_LARGE, "request too large")                                                        \
    X(0x03, NO_RELAY, "relay unavailable")                                                         \
    X(0x04, TIMEOUT, "timeout")                                                                    \
    X(0x05, CUDA, "error of the GPU")                                                              \
    X(0x06, POOL, "invalid pool")                                                                  \
    X(0x07, QUEUE_FULL, "queue full")                                                              \
    X(0x08, UNSUPPORTED, "unsupported operation")                                                  \
    X(0x09, EMPTY, "request of length zero")                                                       \
    X(0x0A, RATE, "rate limited")                                                                  \
    X(0x0B, QUARANTINED, "quarantined")

/* From here to 0xFF: an error of CUDA of its own kind. */
#define DIVVY_WIRE_VGPU_CODE_CUDA_FIRST 0xF0u

typedef enum {
#define DIVVY_WIRE_VGPU_CODE_ENUM(value, name, text) DIVVY_WIRE_VGPU_CODE_##name = (value),
    DIVVY_WIRE_VGPU_CODES(DIVVY_WIRE_VGPU_CODE_ENUM)
#undef DIVVY_WIRE_VGPU_CODE_ENUM
} divvy_wire_vgpu_code_t;

/* What a guest can ask for. 2, 3, 4, 6 have a number and no service yet; from VENDOR on the numbers are a vendor's. */
typedef enum {
    DIVVY_WIRE_VGPU_OP_NOP = 0,         /* no parameters, no results */
    DIVVY_WIRE_VGPU_OP_VECTOR_ADD = 1,  /* 2 n parameters, first all of a, then all of b (int32); n results a[i] + b[i] */
    DIVVY_WIRE_VGPU_OP_ALLOC = 2,
    DIVVY_WIRE_VGPU_OP_FREE = 3,
    DIVVY_WIRE_VGPU_OP_COPY = 4,
    DIVVY_WIRE_VGPU_OP_DEVICE_INFO = 5, /* no parameters; results: SMs, MiB of memory; data: the name, without a NUL */
    DIVVY_WIRE_VGPU_OP_SYNC = 6,
    DIVVY_WIRE_VGPU_OP_VENDOR = 0x1000,
} divvy_wire_vgpu_op_t;

#define DIVVY_WIRE_VGPU_FLAG_ASYNC         UINT32_C(1)
#define DIVVY_WIRE_VGPU_FLAG_HIGH_PRIORITY UINT32_C(2)

struct divvy_wire_vgpu_header {
    uint32_t kind; /* divvy_wire_vgpu_kind_t */
    uint32_t vm_id, request_id;
    char pool_id;
    uint8_t priority;
    uint32_t payload_bytes;
};

/* A request as it lies in `bytes`, or a response: `code` is the opcode of the one and the status of the other. */
struct divvy_wire_vgpu_body {
    uint32_t version, code;
    uint32_t flags;        /* of a request; 0 in a response */
    uint32_t exec_time_us; /* of a response; 0 in a request */
    uint32_t word_count;
    uint32_t words[DIVVY_WIRE_VGPU_WORDS_MAX]; /* parameters or results, copied: the source may change */
    uint32_t data_offset, data_bytes;          /* within the payload; both 0: no data */
};

void divvy_wire_vgpu_header_write(const struct divvy_wire_vgpu_header *header,
                                  uint8_t ret_bytes[DIVVY_WIRE_VGPU_HEADER_BYTES]);

/*
 * 0; -EPROTO: wrong magic (the older header of 20 bytes does not pass either: its next frame has no magic here), an unknown
 * or reserved kind, padding that is not zero; -EMSGSIZE: more payload than the kind may have.
 */
int divvy_wire_vgpu_header_read(const uint8_t bytes[DIVVY_WIRE_VGPU_HEADER_BYTES],
                                struct divvy_wire_vgpu_header *ret_header);

/*
 * Reads a request of `size` bytes. The result is the code that the guest gets: NONE, EMPTY, TOO_LARGE, INVALID (shorter than
 * its header, wrong version, words or data that do not lie in it, reserved words that are not zero) or UNSUPPORTED (an
 * opcode without a meaning). ret_body is complete only with NONE.
 */
divvy_wire_vgpu_code_t divvy_wire_vgpu_request_read(const uint8_t *bytes, size_t size,
                                                    struct divvy_wire_vgpu_body *ret_body);

/* The same for a response; NONE, or INVALID for everything that is wrong with its form. */
divvy_wire_vgpu_code_t divvy_wire_vgpu_response_read(const uint8_t *bytes, size_t size,
                                                     struct divvy_wire_vgpu_body *ret_body);

/*
 * Writes body's words and then data_bytes of `data` (data_offset is chosen here). The length, or -EMSGSIZE when it is more
 * than DIVVY_WIRE_VGPU_PAYLOAD_BYTES.
 */
int divvy_wire_vgpu_request_write(const struct divvy_wire_vgpu_body *body, const void *data,
                                  uint8_t ret_bytes[DIVVY_WIRE_VGPU_PAYLOAD_BYTES]);
int divvy_wire_vgpu_response_write(const struct divvy_wire_vgpu_body *body, const void *data,
                                   uint8_t ret_bytes[DIVVY_WIRE_VGPU_PAYLOAD_BYTES]);

/* A code in words; never NULL. */
const char *divvy_wire_vgpu_code_text(uint32_t code);

#endif
