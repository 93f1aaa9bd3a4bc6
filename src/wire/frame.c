/* Headers, the table of operations and checksums: see frame.h. */
#include "wire/frame.h"

#include <errno.h>
#include <string.h>

#define COUNT_WORD(name) +1u
#define BYTES            true
#define NONE             false
#define ROW(NAME, name_, number_, kind_, in, in_bytes_, out, out_bytes_, text_)                    \
    {.name = #name_,                                                                               \
     .text = (text_),                                                                              \
     .number = (number_),                                                                          \
     .kind = DIVVY_WIRE_##kind_,                                                                   \
     .in_words = (uint8_t)(0u in(COUNT_WORD)),                                                     \
     .out_words = (uint8_t)(0u out(COUNT_WORD)),                                                   \
     .in_bytes = (in_bytes_),                                                                      \
     .out_bytes = (out_bytes_)},

static const struct divvy_wire_op rows[] = {DIVVY_WIRE_OPS(ROW)};

#define ROW_COUNT (sizeof rows / sizeof rows[0])

/* Numbers are small: an index instead of a search. A name's ordinal in the table is its row. */
#define ORDINAL(NAME, ...) ORDINAL_##NAME,
enum { DIVVY_WIRE_OPS(ORDINAL) ORDINAL_COUNT };
#define INDEX(NAME, name_, number_, ...) [(number_)] = (uint8_t)(ORDINAL_##NAME + 1),
static const uint8_t row_of[256] = {DIVVY_WIRE_OPS(INDEX)};
_Static_assert(ORDINAL_COUNT < 256, "a row's number fits a byte");

const struct divvy_wire_op *divvy_wire_op_find(uint16_t number) {
    if (number >= sizeof row_of || row_of[number] == 0)
        return NULL;
    return &rows[row_of[number] - 1];
}

const struct divvy_wire_op *divvy_wire_op_table(size_t *ret_count) {
    *ret_count = ROW_COUNT;
    return rows;
}

int divvy_wire_header_read(const void *bytes, uint32_t payload_limit_bytes,
                           struct divvy_wire_header *ret_header) {
    struct divvy_wire_header header;

    memcpy(&header, bytes, sizeof header);
    if (header.magic != DIVVY_WIRE_MAGIC || header.flags & ~DIVVY_WIRE_FLAGS ||
        header.reserved != 0)
        return -EPROTO;
    if (!(header.flags & DIVVY_WIRE_ANSWER) &&
        (header.status != 0 || header.flags & DIVVY_WIRE_LATCHED))
        return -EPROTO;
    if (!(header.flags & DIVVY_WIRE_CHECKED) && header.checksum != 0)
        return -EPROTO;
    if (header.length > payload_limit_bytes)
        return -EMSGSIZE;
    *ret_header = header;
    return 0;
}

int divvy_wire_payload_check(const struct divvy_wire_header *header, const struct divvy_wire_op *op,
                             const void *payload) {
    bool is_answer = header->flags & DIVVY_WIRE_ANSWER;
    uint32_t words = is_answer ? op->out_words : op->in_words;
    bool bytes = is_answer ? op->out_bytes : op->in_bytes;

    if (header->flags & DIVVY_WIRE_CHECKED &&
        divvy_wire_checksum(0, payload, header->length) != header->checksum)
        return -EBADMSG;
    if (header->flags & DIVVY_WIRE_PACKED && (!bytes || header->status != 0))
        return -EINVAL;
    if (is_answer && header->status != 0) {
        words = header->flags & DIVVY_WIRE_LATCHED ? 1 : 0;
        bytes = true;
    }
    if (header->length < words * sizeof(uint64_t))
        return -EINVAL;
    return bytes || header->length == words * sizeof(uint64_t) ? 0 : -EINVAL;
}

/* Reflected polynomial of CRC-32C, one step per nibble: small, and the processor's own instruction where it has one. */
static uint32_t checksum_plain(uint32_t state, const unsigned char *bytes, size_t length) {
    static const uint32_t step[16] = {
        0x00000000, 0x105EC76F, 0x20BD8EDE, 0x30E349B1, 0x417B1DBC, 0x5125DAD3,
        0x61C69362, 0x7198540D, 0x82F63B78, 0x92A8FC17, 0xA24BB5A6, 0xB21572C9,
        0xC38D26C4, 0xD3D3E1AB, 0xE330A81A, 0xF36E6F75,
    };

    for (size_t i = 0; i < length; i++) {
        state ^= bytes[i];
        state = state >> 4 ^ step[state & 15];
        state = state >> 4 ^ step[state & 15];
    }
    return state;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t
checksum_fast(uint32_t state, const unsigned char *bytes, size_t length) {
    uint64_t wide = state, word;

    for (; length >= sizeof word; bytes += sizeof word, length -= sizeof word) {
        memcpy(&word, bytes, sizeof word);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    return checksum_plain((uint32_t)wide, bytes, length);
}
#endif

uint32_t divvy_wire_checksum(uint32_t seed, const void *bytes, size_t length) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return ~checksum_fast(~seed, bytes, length);
#endif
    return ~checksum_plain(~seed, bytes, length);
}
