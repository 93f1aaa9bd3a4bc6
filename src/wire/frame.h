/*
 * The framed protocol between clients, relays and workers: 32 bytes of header, then `length` bytes of payload. docs/PROTOCOL.md
 * describes it; wire/ops.h lists the operations. Bytes are little-endian; the structs here lie in memory as on the wire.
 *
 * Who passes frames on without understanding them needs only divvy_wire_header_read: a frame ends `length` bytes behind its
 * header, an answer has the id and op of its request and DIVVY_WIRE_ANSWER set, and `status` is 0 unless it is an answer.
 *
 * Libc only, no allocation, no locks; usable in injected code. Everything read is hostile.
 */
#ifndef DIVVY_WIRE_FRAME_H
#define DIVVY_WIRE_FRAME_H

#include "wire/ops.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIVVY_WIRE_MAGIC UINT32_C(0x31465644) /* "DVF1"; no JSON text begins with 'D' */

/* High half: who differs in it cannot talk. Low half: features added since; both sides use the smaller. */
#define DIVVY_WIRE_VERSION UINT32_C(0x00010000)

/* A payload is never longer than both sides said in the handshake; nor than this, before it and whatever they say. */
#define DIVVY_WIRE_PAYLOAD_HELLO_BYTES 4096u          /* limit until the handshake is done, and least that may be offered */
#define DIVVY_WIRE_PAYLOAD_MAX_BYTES   (8u << 20)     /* most that may be offered */
#define DIVVY_WIRE_PAYLOAD_BYTES       ((1u << 20) + 256) /* what divvy's own sides offer: chunks of 1 MiB with their words */
#define DIVVY_WIRE_IMAGE_BYTES_MAX     (256u << 20)   /* image of a module, sent in parts */
#define DIVVY_WIRE_WORDS_MAX           10u            /* words of any request or answer */

/* Attributes of a launch: so many at most, each with so many bytes (CUlaunchAttribute). */
#define DIVVY_WIRE_ATTRIBUTES_MAX  16u
#define DIVVY_WIRE_ATTRIBUTE_BYTES 72u

/* flags */
#define DIVVY_WIRE_ANSWER   UINT16_C(1) /* the answer to the request with this id */
#define DIVVY_WIRE_LATCHED  UINT16_C(2) /* in an answer: status is of an earlier one-way request, whose id is the only word */
#define DIVVY_WIRE_CHECKED  UINT16_C(4) /* `checksum` is the CRC-32C of the payload */
#define DIVVY_WIRE_PACKED   UINT16_C(8) /* the bytes behind the words are packed: wire/pack.h */
#define DIVVY_WIRE_FLAGS    UINT16_C(15) /* all that there are; others are refused */

/* features, by bits; what both sides have in HELLO is used */
#define DIVVY_WIRE_FEATURE_CHECKSUM UINT64_C(1) /* both sides set DIVVY_WIRE_CHECKED on every frame after HELLO */
#define DIVVY_WIRE_FEATURE_PACKED   UINT64_C(2) /* frames after HELLO may be DIVVY_WIRE_PACKED, each as its sender sees fit */
#define DIVVY_WIRE_FEATURES         UINT64_C(3)

/*
 * status of answers: 0, a CUresult (1 to 999), or one of these. Errors of the JSON dialect and of a VM's registers have their
 * own numbers (enum divvy_wire_code).
 */
enum {
    DIVVY_WIRE_STATUS_UNSUPPORTED = 801,   /* CUDA_ERROR_NOT_SUPPORTED: also for unknown operations */
    DIVVY_WIRE_STATUS_MALFORMED = 10001,   /* words or bytes that the operation does not have */
    DIVVY_WIRE_STATUS_SEQUENCE = 10002,    /* no HELLO yet, or a second one */
    DIVVY_WIRE_STATUS_VERSION = 10003,     /* the versions have nothing in common; the connection ends */
    DIVVY_WIRE_STATUS_UNAVAILABLE = 10004, /* no worker behind the relay */
    DIVVY_WIRE_STATUS_BUSY = 10005,        /* too much is queued already; the connection stays usable */
    DIVVY_WIRE_STATUS_REFUSED = 10006,     /* not for this client (quarantine, limits) */
};

/* Codes of {"error":{"code":N,"message":"..."}} and of ERROR_CODE in a VM's registers. */
enum divvy_wire_code {
    DIVVY_WIRE_CODE_NONE = 0,
    DIVVY_WIRE_CODE_INVALID = 1,
    DIVVY_WIRE_CODE_TOO_LARGE = 2,
    DIVVY_WIRE_CODE_UNAVAILABLE = 3,
    DIVVY_WIRE_CODE_TIMEOUT = 4,
    DIVVY_WIRE_CODE_CUDA = 5,
    DIVVY_WIRE_CODE_POOL = 6,
    DIVVY_WIRE_CODE_QUEUE_FULL = 7,
    DIVVY_WIRE_CODE_UNSUPPORTED = 8,
    DIVVY_WIRE_CODE_ZERO_LENGTH = 9,
    DIVVY_WIRE_CODE_RATE = 10,
    DIVVY_WIRE_CODE_QUARANTINE = 11,
};

struct divvy_wire_header {
    uint32_t magic;
    uint16_t op;
    uint16_t flags;
    uint32_t length; /* bytes of payload behind the header */
    int32_t status;
    uint64_t id;       /* the requester's choice */
    uint32_t checksum; /* 0 unless DIVVY_WIRE_CHECKED */
    uint32_t reserved; /* 0 */
};
_Static_assert(sizeof(struct divvy_wire_header) == 32, "layout of the wire");
_Static_assert(offsetof(struct divvy_wire_header, id) == 16, "layout of the wire");

enum divvy_wire_kind {
    DIVVY_WIRE_CALL,
    DIVVY_WIRE_ONEWAY,
    DIVVY_WIRE_SYNC,
    DIVVY_WIRE_KIND_MAX,
};

/* A row of the table. */
struct divvy_wire_op {
    const char *name; /* "copy_in" */
    const char *text;
    uint16_t number;
    uint8_t kind; /* enum divvy_wire_kind */
    uint8_t in_words, out_words;
    bool in_bytes, out_bytes;
};

/* The row with this number, or NULL. */
const struct divvy_wire_op *divvy_wire_op_find(uint16_t number);

/* All rows, ascending by number; *ret_count of them. */
const struct divvy_wire_op *divvy_wire_op_table(size_t *ret_count);

/*
 * Reads a header from sizeof *ret_header bytes at any alignment. -EPROTO: no frame of this protocol (magic, unknown flags,
 * reserved not 0, status in a request); -EMSGSIZE: payload longer than payload_limit_bytes. After either the stream cannot be
 * understood any more and is to be closed.
 */
int divvy_wire_header_read(const void *bytes, uint32_t payload_limit_bytes,
                           struct divvy_wire_header *ret_header);

/*
 * Whether the length of a request or answer fits its row, and the checksum (where there is one) its payload. A failed answer
 * (status not 0) has either no words, or one when it is LATCHED, and may carry bytes, never packed ones. -EBADMSG: the checksum differs;
 * -EINVAL: the length does not fit. Packed bytes are not looked at.
 */
int divvy_wire_payload_check(const struct divvy_wire_header *header, const struct divvy_wire_op *op,
                             const void *payload);

/* CRC-32C (Castagnoli) as iSCSI has it; `seed` 0 for the first part, then what came out of the part before. */
uint32_t divvy_wire_checksum(uint32_t seed, const void *bytes, size_t length);

#endif
