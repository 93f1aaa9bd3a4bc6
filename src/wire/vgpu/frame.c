/* Frames between stub and relay, requests and responses of the vGPU's buffers. */
#include "wire/vgpu/frame.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "wire/vgpu/words.h"

/* The words of a header, by their place. */
enum { MAGIC, KIND, VM_ID, REQUEST_ID, POOL_PRIORITY, PAYLOAD };

/* The words of a request, and those of a response. */
enum { VERSION, CODE, REQ_FLAGS, REQ_COUNT, REQ_OFFSET, REQ_LENGTH, REQ_RESERVED };
enum { RSP_COUNT = 2, RSP_OFFSET, RSP_LENGTH, RSP_TIME, RSP_RESERVED };

static const struct {
    uint32_t kind, most_bytes;
} kinds[] = {
    {DIVVY_WIRE_VGPU_REQUEST, DIVVY_WIRE_VGPU_PAYLOAD_BYTES},
    {DIVVY_WIRE_VGPU_RESPONSE, DIVVY_WIRE_VGPU_PAYLOAD_BYTES},
    {DIVVY_WIRE_VGPU_PING, 0},
    {DIVVY_WIRE_VGPU_PONG, 0},
    {DIVVY_WIRE_VGPU_BUSY, 0},
    {DIVVY_WIRE_VGPU_QUARANTINED, 0},
};

static uint32_t word(const uint8_t *bytes, unsigned int index) {
    return divvy_wire_u32_get(bytes + 4 * (size_t)index);
}

static void put(uint8_t *bytes, unsigned int index, uint32_t value) {
    divvy_wire_u32_put(bytes + 4 * (size_t)index, value);
}

void divvy_wire_vgpu_header_write(const struct divvy_wire_vgpu_header *header,
                                  uint8_t ret_bytes[DIVVY_WIRE_VGPU_HEADER_BYTES]) {
    put(ret_bytes, MAGIC, DIVVY_WIRE_VGPU_MAGIC);
    put(ret_bytes, KIND, header->kind);
    put(ret_bytes, VM_ID, header->vm_id);
    put(ret_bytes, REQUEST_ID, header->request_id);
    put(ret_bytes, POOL_PRIORITY, (uint32_t)(uint8_t)header->pool_id | (uint32_t)header->priority << 8);
    put(ret_bytes, PAYLOAD, header->payload_bytes);
}

int divvy_wire_vgpu_header_read(const uint8_t bytes[DIVVY_WIRE_VGPU_HEADER_BYTES],
                                struct divvy_wire_vgpu_header *ret_header) {
    uint32_t kind = word(bytes, KIND), mixed = word(bytes, POOL_PRIORITY), payload = word(bytes, PAYLOAD);

    if (word(bytes, MAGIC) != DIVVY_WIRE_VGPU_MAGIC || mixed >> 16 != 0)
        return -EPROTO;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (kinds[i].kind != kind)
            continue;
        if (payload > kinds[i].most_bytes)
            return -EMSGSIZE;
        *ret_header = (struct divvy_wire_vgpu_header){.kind = kind,
                                                      .vm_id = word(bytes, VM_ID),
                                                      .request_id = word(bytes, REQUEST_ID),
                                                      .pool_id = (char)(mixed & 0xFF),
                                                      .priority = (uint8_t)(mixed >> 8),
                                                      .payload_bytes = payload};
        return 0;
    }
    return -EPROTO;
}

/* Takes over words and the place of the data, when both lie within the payload and not over each other. */
static bool parts_read(const uint8_t *bytes, size_t size, uint32_t count, struct divvy_wire_vgpu_body *ret_body) {
    size_t words_end = DIVVY_WIRE_VGPU_BODY_BYTES + 4 * (size_t)count;

    if (count > DIVVY_WIRE_VGPU_WORDS_MAX || words_end > size)
        return false;
    if (ret_body->data_bytes == 0)
        ret_body->data_offset = 0;
    else if (ret_body->data_offset < words_end || ret_body->data_offset > size ||
             ret_body->data_bytes > size - ret_body->data_offset)
        return false;
    ret_body->word_count = count;
    for (uint32_t i = 0; i < count; i++)
        ret_body->words[i] = divvy_wire_u32_get(bytes + DIVVY_WIRE_VGPU_BODY_BYTES + 4 * (size_t)i);
    return true;
}

static bool opcode_has_meaning(uint32_t opcode) {
    return opcode <= DIVVY_WIRE_VGPU_OP_SYNC || opcode >= DIVVY_WIRE_VGPU_OP_VENDOR;
}

divvy_wire_vgpu_code_t divvy_wire_vgpu_request_read(const uint8_t *bytes, size_t size,
                                                    struct divvy_wire_vgpu_body *ret_body) {
    if (size == 0)
        return DIVVY_WIRE_VGPU_CODE_EMPTY;
    if (size > DIVVY_WIRE_VGPU_PAYLOAD_BYTES)
        return DIVVY_WIRE_VGPU_CODE_TOO_LARGE;
    if (size < DIVVY_WIRE_VGPU_BODY_BYTES || word(bytes, VERSION) != DIVVY_WIRE_VGPU_VERSION ||
        word(bytes, REQ_RESERVED) != 0 || word(bytes, REQ_RESERVED + 1) != 0 ||
        (word(bytes, REQ_FLAGS) & ~(DIVVY_WIRE_VGPU_FLAG_ASYNC | DIVVY_WIRE_VGPU_FLAG_HIGH_PRIORITY)) != 0)
        return DIVVY_WIRE_VGPU_CODE_INVALID;
    ret_body->version = word(bytes, VERSION);
    ret_body->code = word(bytes, CODE);
    ret_body->flags = word(bytes, REQ_FLAGS);
    ret_body->exec_time_us = 0;
    ret_body->data_offset = word(bytes, REQ_OFFSET);
    ret_body->data_bytes = word(bytes, REQ_LENGTH);
    if (!parts_read(bytes, size, word(bytes, REQ_COUNT), ret_body))
        return DIVVY_WIRE_VGPU_CODE_INVALID;
    return opcode_has_meaning(ret_body->code) ? DIVVY_WIRE_VGPU_CODE_NONE : DIVVY_WIRE_VGPU_CODE_UNSUPPORTED;
}

divvy_wire_vgpu_code_t divvy_wire_vgpu_response_read(const uint8_t *bytes, size_t size,
                                                     struct divvy_wire_vgpu_body *ret_body) {
    if (size < DIVVY_WIRE_VGPU_BODY_BYTES || size > DIVVY_WIRE_VGPU_PAYLOAD_BYTES ||
        word(bytes, VERSION) != DIVVY_WIRE_VGPU_VERSION || word(bytes, CODE) > 0xFF || word(bytes, RSP_RESERVED) != 0 ||
        word(bytes, RSP_RESERVED + 1) != 0)
        return DIVVY_WIRE_VGPU_CODE_INVALID;
    ret_body->version = word(bytes, VERSION);
    ret_body->code = word(bytes, CODE);
    ret_body->flags = 0;
    ret_body->exec_time_us = word(bytes, RSP_TIME);
    ret_body->data_offset = word(bytes, RSP_OFFSET);
    ret_body->data_bytes = word(bytes, RSP_LENGTH);
    return parts_read(bytes, size, word(bytes, RSP_COUNT), ret_body) ? DIVVY_WIRE_VGPU_CODE_NONE
                                                                     : DIVVY_WIRE_VGPU_CODE_INVALID;
}

/* Words and data behind the eight words of the head; the data's offset goes to `ret_offset`. */
static int parts_write(const struct divvy_wire_vgpu_body *body, const void *data, uint8_t *bytes, uint32_t *ret_offset) {
    size_t words_end = DIVVY_WIRE_VGPU_BODY_BYTES + 4 * (size_t)body->word_count;

    if (body->word_count > DIVVY_WIRE_VGPU_WORDS_MAX ||
        body->data_bytes > DIVVY_WIRE_VGPU_PAYLOAD_BYTES - words_end)
        return -EMSGSIZE;
    memset(bytes, 0, DIVVY_WIRE_VGPU_BODY_BYTES);
    put(bytes, VERSION, DIVVY_WIRE_VGPU_VERSION);
    put(bytes, CODE, body->code);
    for (uint32_t i = 0; i < body->word_count; i++)
        divvy_wire_u32_put(bytes + DIVVY_WIRE_VGPU_BODY_BYTES + 4 * (size_t)i, body->words[i]);
    *ret_offset = body->data_bytes ? (uint32_t)words_end : 0;
    if (body->data_bytes)
        memcpy(bytes + words_end, data, body->data_bytes);
    return (int)(words_end + body->data_bytes);
}

int divvy_wire_vgpu_request_write(const struct divvy_wire_vgpu_body *body, const void *data,
                                  uint8_t ret_bytes[DIVVY_WIRE_VGPU_PAYLOAD_BYTES]) {
    uint32_t offset;
    int length = parts_write(body, data, ret_bytes, &offset);

    if (length < 0)
        return length;
    put(ret_bytes, REQ_FLAGS, body->flags);
    put(ret_bytes, REQ_COUNT, body->word_count);
    put(ret_bytes, REQ_OFFSET, offset);
    put(ret_bytes, REQ_LENGTH, body->data_bytes);
    return length;
}

int divvy_wire_vgpu_response_write(const struct divvy_wire_vgpu_body *body, const void *data,
                                   uint8_t ret_bytes[DIVVY_WIRE_VGPU_PAYLOAD_BYTES]) {
    uint32_t offset;
    int length = parts_write(body, data, ret_bytes, &offset);

    if (length < 0)
        return length;
    put(ret_bytes, RSP_COUNT, body->word_count);
    put(ret_bytes, RSP_OFFSET, offset);
    put(ret_bytes, RSP_LENGTH, body->data_bytes);
    put(ret_bytes, RSP_TIME, body->exec_time_us);
    return length;
}

const char *divvy_wire_vgpu_code_text(uint32_t code) {
    switch (code) {
#define DIVVY_WIRE_VGPU_CODE_TEXT(value, name, text)                                               \
    case (value):                                                                                  \
        return text;
        DIVVY_WIRE_VGPU_CODES(DIVVY_WIRE_VGPU_CODE_TEXT)
#undef DIVVY_WIRE_VGPU_CODE_TEXT
    default:
        return code >= DIVVY_WIRE_VGPU_CODE_CUDA_FIRST && code <= 0xFF ? "error of CUDA" : "unknown error";
    }
}
