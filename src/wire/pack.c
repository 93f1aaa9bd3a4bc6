/* Packing and unpacking in the LZ4 block format: see pack.h. */
#include "wire/pack.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define HEAD_BYTES    sizeof(uint32_t)
#define MATCH_LEAST   4u     /* bytes of a match, of which the format tells those beyond */
#define MATCH_MARGIN  12u    /* no match begins closer to the end, */
#define LITERALS_LAST 5u     /* or goes on closer to it */
#define OFFSET_MAX    65535u
#define NIBBLE        15u    /* a length of so much and more goes on in bytes of its own */
#define MISSES_SHIFT  6      /* after 64 misses every second place is looked at, and so on: what cannot be packed is passed over */

/* --- packing --------------------------------------------------------------------------------------------- */

struct out {
    uint8_t *at, *end;
};

static uint32_t word_at(const uint8_t *at) {
    uint32_t word;

    memcpy(&word, at, sizeof word);
    return word;
}

static uint32_t place_of(uint32_t word) {
    return word * UINT32_C(2654435761) >> 20; /* 12 bits: one of 4096 */
}

static bool byte_put(struct out *out, size_t byte) {
    if (out->at == out->end)
        return false;
    *out->at++ = (uint8_t)byte;
    return true;
}

/* What of a length is beyond its nibble. */
static bool length_put(struct out *out, size_t rest) {
    for (; rest >= 255; rest -= 255)
        if (!byte_put(out, 255))
            return false;
    return byte_put(out, rest);
}

/* Bytes as they are, then a match so far back; the last sequence has none (match 0). */
static bool sequence_put(struct out *out, const uint8_t *literals, size_t count, size_t offset, size_t match) {
    size_t beyond = match ? match - MATCH_LEAST : 0;

    if (!byte_put(out, (count < NIBBLE ? count : NIBBLE) << 4 | (beyond < NIBBLE ? beyond : NIBBLE)) ||
        (count >= NIBBLE && !length_put(out, count - NIBBLE)) || (size_t)(out->end - out->at) < count)
        return false;
    memcpy(out->at, literals, count);
    out->at += count;
    if (!match)
        return true;
    return byte_put(out, offset & 255) && byte_put(out, offset >> 8) && (beyond < NIBBLE || length_put(out, beyond - NIBBLE));
}

/* How long the bytes at two places are the same; `end` bounds the later one. */
static size_t same_bytes(const uint8_t *earlier, const uint8_t *later, const uint8_t *end) {
    const uint8_t *begin = later;
    uint64_t a, b;

    for (; (size_t)(end - later) >= sizeof a; earlier += sizeof a, later += sizeof a) {
        memcpy(&a, earlier, sizeof a);
        memcpy(&b, later, sizeof b);
        if (a != b)
            break;
    }
    while (later < end && *earlier == *later) {
        earlier++;
        later++;
    }
    return (size_t)(later - begin);
}

size_t divvy_wire_pack(struct divvy_wire_packer *packer, const void *bytes, size_t length, void *ret_packed) {
    const uint8_t *from = bytes;
    size_t room = length - length / 16, at = 0, literals = 0, misses = 0;
    uint32_t head = (uint32_t)length;
    struct out out = {.at = ret_packed, .end = (uint8_t *)ret_packed + room};

    if (length < DIVVY_WIRE_PACK_LEAST_BYTES || length > UINT32_MAX)
        return 0;
    memcpy(out.at, &head, HEAD_BYTES);
    out.at += HEAD_BYTES;
    memset(packer->places, 0, sizeof packer->places);
    while (at + MATCH_MARGIN <= length) {
        uint32_t word = word_at(from + at), *place = &packer->places[place_of(word)];
        size_t earlier = *place, match;

        *place = (uint32_t)at;
        if (earlier >= at || at - earlier > OFFSET_MAX || word_at(from + earlier) != word) {
            at += 1 + (misses++ >> MISSES_SHIFT);
            continue;
        }
        match = MATCH_LEAST + same_bytes(from + earlier + MATCH_LEAST, from + at + MATCH_LEAST, from + length - LITERALS_LAST);
        if (!sequence_put(&out, from + literals, at - literals, at - earlier, match))
            return 0;
        at += match;
        literals = at;
        misses = 0;
    }
    if (!sequence_put(&out, from + literals, length - literals, 0, 0))
        return 0;
    return (size_t)(out.at - (uint8_t *)ret_packed);
}

/* --- unpacking ------------------------------------------------------------------------------------------- */

struct in {
    const uint8_t *at, *end;
};

/* A length whose nibble is `*length`. What is left of the input bounds it. */
static bool length_take(struct in *in, size_t *length) {
    uint8_t byte = 255;

    if (*length < NIBBLE)
        return true;
    while (byte == 255) {
        if (in->at == in->end)
            return false;
        byte = *in->at++;
        *length += byte;
    }
    return true;
}

/* A match may reach into itself: what lies between its place and here is repeated. */
static void match_copy(uint8_t *to, size_t offset, size_t length) {
    const uint8_t *from = to - offset;

    while (length > 0) {
        size_t there = (size_t)(to - from), part = there < length ? there : length;

        memcpy(to, from, part);
        to += part;
        length -= part;
    }
}

int divvy_wire_unpack(const void *packed, size_t length, void *ret_bytes, size_t room, size_t *ret_length) {
    struct in in = {.at = packed, .end = (const uint8_t *)packed + length};
    uint8_t *begin = ret_bytes, *to = begin, *end;
    uint32_t head;

    if (length < HEAD_BYTES)
        return -EPROTO;
    memcpy(&head, packed, HEAD_BYTES);
    if (head > room)
        return -EPROTO;
    in.at += HEAD_BYTES;
    end = begin + head;
    while (in.at < in.end) {
        size_t literals = *in.at >> 4, match = *in.at & NIBBLE, offset;

        in.at++;
        if (!length_take(&in, &literals) || literals > (size_t)(in.end - in.at) || literals > (size_t)(end - to))
            return -EPROTO;
        memcpy(to, in.at, literals);
        to += literals;
        in.at += literals;
        if (in.at == in.end) {
            if (to != end || match != 0)
                return -EPROTO;
            *ret_length = head;
            return 0;
        }
        if (in.end - in.at < 2)
            return -EPROTO;
        offset = (size_t)in.at[0] | (size_t)in.at[1] << 8;
        in.at += 2;
        if (!length_take(&in, &match))
            return -EPROTO;
        match += MATCH_LEAST;
        if (offset == 0 || offset > (size_t)(to - begin) || match > (size_t)(end - to))
            return -EPROTO;
        match_copy(to, offset, match);
        to += match;
    }
    return -EPROTO;
}
