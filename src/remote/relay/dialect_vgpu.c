/* The dialect of a vGPU's stub: its requests become jobs. Its words about VM, pool and priority are not looked at. */
#include "remote/relay/channel.h"
#include "wire/vgpu/frame.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void frame_put(struct divvy_relay_channel *channel, divvy_wire_vgpu_kind_t kind, uint32_t request_id, const uint8_t *payload,
                      uint32_t length) {
    const struct divvy_node_vmq_params *params = &channel->vm->config.params;
    const struct divvy_wire_vgpu_header header = {.kind = kind,
                                                  .vm_id = channel->vm->config.vm_id,
                                                  .request_id = request_id,
                                                  .pool_id = (char)('A' + params->pool),
                                                  .priority = (uint8_t)params->priority,
                                                  .payload_bytes = length};
    uint8_t frame[DIVVY_WIRE_VGPU_HEADER_BYTES + DIVVY_WIRE_VGPU_PAYLOAD_BYTES];

    divvy_wire_vgpu_header_write(&header, frame);
    if (length > 0)
        memcpy(frame + DIVVY_WIRE_VGPU_HEADER_BYTES, payload, length);
    divvy_relay_channel_put(channel, frame, DIVVY_WIRE_VGPU_HEADER_BYTES + length);
}

static void response_put(struct divvy_relay_channel *channel, uint32_t request_id, struct divvy_wire_vgpu_body *body, const char *data) {
    uint8_t payload[DIVVY_WIRE_VGPU_PAYLOAD_BYTES];
    int length;

    body->version = DIVVY_WIRE_VGPU_VERSION;
    length = divvy_wire_vgpu_response_write(body, data, payload);
    if (length < 0) {
        body->code = DIVVY_WIRE_VGPU_CODE_TOO_LARGE;
        body->word_count = body->data_bytes = 0;
        length = divvy_wire_vgpu_response_write(body, NULL, payload);
    }
    frame_put(channel, DIVVY_WIRE_VGPU_RESPONSE, request_id, payload, (uint32_t)length);
}

static void code_put(struct divvy_relay_channel *channel, uint32_t request_id, uint32_t code) {
    struct divvy_wire_vgpu_body body = {.code = code};

    switch (code) {
    case DIVVY_WIRE_VGPU_CODE_RATE:
        frame_put(channel, DIVVY_WIRE_VGPU_BUSY, request_id, NULL, 0);
        return;
    case DIVVY_WIRE_VGPU_CODE_QUARANTINED:
        frame_put(channel, DIVVY_WIRE_VGPU_QUARANTINED, request_id, NULL, 0);
        return;
    default:
        response_put(channel, request_id, &body, NULL);
    }
}

/* --- requests --------------------------------------------------------------------------------------------------------- */

static json_t *numbers(const uint32_t *words, uint32_t count) {
    json_t *array = json_array();

    for (uint32_t i = 0; i < count && array; i++)
        if (json_array_append_new(array, json_integer((int32_t)words[i])) < 0) {
            json_decref(array);
            return NULL;
        }
    return array;
}

static int request_write(const struct divvy_wire_vgpu_body *body, struct divvy_relay_bytes *out) {
    uint32_t count = body->word_count / 2;
    json_t *object = body->code == DIVVY_WIRE_VGPU_OP_DEVICE_INFO ?
                         json_pack("{s:s}", "operation", "device_info") :
                         json_pack("{s:s, s:o, s:o}", "operation", "vector_add", "array_a", numbers(body->words, count), "array_b",
                                   numbers(body->words + count, count));
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    int status = text ? divvy_relay_bytes_append(out, text, strlen(text)) : -ENOMEM;

    json_decref(object);
    free(text);
    return status < 0 ? status : divvy_relay_bytes_append(out, "\n", 1);
}

static divvy_wire_vgpu_code_t request_start(struct divvy_relay_channel *channel, uint32_t request_id,
                                            const struct divvy_wire_vgpu_body *body) {
    const struct divvy_relay_job model = {.is_vgpu = true, .request_id = request_id, .opcode = body->code};
    struct divvy_relay_bytes request = {0};

    if (body->code != DIVVY_WIRE_VGPU_OP_VECTOR_ADD && body->code != DIVVY_WIRE_VGPU_OP_DEVICE_INFO)
        return DIVVY_WIRE_VGPU_CODE_UNSUPPORTED;
    if (body->code == DIVVY_WIRE_VGPU_OP_VECTOR_ADD && (body->word_count == 0 || body->word_count % 2 != 0))
        return DIVVY_WIRE_VGPU_CODE_INVALID;
    if (request_write(body, &request) < 0) {
        divvy_relay_bytes_done(&request);
        return DIVVY_WIRE_VGPU_CODE_QUEUE_FULL;
    }
    divvy_relay_channel_submit(channel, &model, &request);
    return DIVVY_WIRE_VGPU_CODE_NONE;
}

static void request_take(struct divvy_relay_channel *channel, uint32_t request_id, const uint8_t *payload, uint32_t length) {
    struct divvy_wire_vgpu_body body;
    divvy_wire_vgpu_code_t code = divvy_wire_vgpu_request_read(payload, length, &body);

    if (code == DIVVY_WIRE_VGPU_CODE_NONE && body.code == DIVVY_WIRE_VGPU_OP_NOP) {
        divvy_relay_vm_received(channel->vm);
        code_put(channel, request_id,
                 channel->vm->config.quarantined ? DIVVY_WIRE_VGPU_CODE_QUARANTINED : DIVVY_WIRE_VGPU_CODE_NONE);
        return;
    }
    if (code == DIVVY_WIRE_VGPU_CODE_NONE)
        code = request_start(channel, request_id, &body);
    if (code != DIVVY_WIRE_VGPU_CODE_NONE)
        code_put(channel, request_id, code);
}

/* What is wrong with a frame, for the log; NULL: nothing. */
static const char *header_fault(int status, const struct divvy_wire_vgpu_header *header) {
    if (status == -EMSGSIZE)
        return "a frame of a vGPU that is too long";
    if (status < 0)
        return "what is no frame of a vGPU";
    if (header->kind != DIVVY_WIRE_VGPU_REQUEST && header->kind != DIVVY_WIRE_VGPU_PING && header->kind != DIVVY_WIRE_VGPU_PONG)
        return "a frame that only a relay sends";
    return NULL;
}

static int take(struct divvy_relay_channel *channel) {
    while (!channel->is_closed && divvy_relay_bytes_length(&channel->in) >= DIVVY_WIRE_VGPU_HEADER_BYTES) {
        const uint8_t *bytes = (const uint8_t *)divvy_relay_bytes_front(&channel->in);
        struct divvy_wire_vgpu_header header;
        const char *fault = header_fault(divvy_wire_vgpu_header_read(bytes, &header), &header);

        if (fault) {
            divvy_relay_channel_offence(channel, fault);
            return -EPROTO;
        }
        if (divvy_relay_bytes_length(&channel->in) < DIVVY_WIRE_VGPU_HEADER_BYTES + header.payload_bytes)
            break;
        if (header.kind == DIVVY_WIRE_VGPU_PING)
            frame_put(channel, DIVVY_WIRE_VGPU_PONG, header.request_id, NULL, 0);
        else if (header.kind == DIVVY_WIRE_VGPU_REQUEST)
            request_take(channel, header.request_id, bytes + DIVVY_WIRE_VGPU_HEADER_BYTES, header.payload_bytes);
        divvy_relay_bytes_consume(&channel->in, DIVVY_WIRE_VGPU_HEADER_BYTES + header.payload_bytes);
    }
    if (!channel->is_closed && channel->has_ended && divvy_relay_bytes_length(&channel->in) > 0) {
        divvy_relay_channel_offence(channel, "a part of a frame");
        return -EPROTO;
    }
    return 0;
}

/* --- answers ---------------------------------------------------------------------------------------------------------- */

static uint32_t answer_read(const json_t *object, struct divvy_wire_vgpu_body *body) {
    const json_t *result = json_object_get(object, "result"), *code = json_object_get(json_object_get(object, "error"), "code");
    size_t count = json_array_size(result);

    if (json_is_integer(code) && json_integer_value(code) > 0 && json_integer_value(code) <= 0xFF)
        return (uint32_t)json_integer_value(code);
    if (!json_is_array(result))
        return DIVVY_WIRE_VGPU_CODE_CUDA;
    if (count > DIVVY_WIRE_VGPU_WORDS_MAX)
        return DIVVY_WIRE_VGPU_CODE_TOO_LARGE;
    for (size_t i = 0; i < count; i++) {
        const json_t *number = json_array_get(result, i);

        if (!json_is_integer(number))
            return DIVVY_WIRE_VGPU_CODE_CUDA;
        body->words[i] = (uint32_t)json_integer_value(number); /* wraps as 32-bit integers on a GPU do */
    }
    body->word_count = (uint32_t)count;
    return DIVVY_WIRE_VGPU_CODE_NONE;
}

#define MIB (1 << 20)

/* What a worker tells of its GPU, as words and a name that is `object`'s. */
static uint32_t info_read(const json_t *object, struct divvy_wire_vgpu_body *body, const char **ret_name) {
    const json_t *result = json_object_get(object, "result"), *code = json_object_get(json_object_get(object, "error"), "code");
    const char *name = json_string_value(json_object_get(result, "name"));
    json_int_t multiprocessors = json_integer_value(json_object_get(result, "multiprocessors"));
    json_int_t memory_mib = json_integer_value(json_object_get(result, "memory_bytes")) / MIB;

    if (json_is_integer(code) && json_integer_value(code) > 0 && json_integer_value(code) <= 0xFF)
        return (uint32_t)json_integer_value(code);
    if (!name || multiprocessors < 0 || multiprocessors > UINT32_MAX || memory_mib < 0 || memory_mib > UINT32_MAX)
        return DIVVY_WIRE_VGPU_CODE_CUDA;
    body->words[0] = (uint32_t)multiprocessors;
    body->words[1] = (uint32_t)memory_mib;
    body->word_count = 2;
    body->data_bytes = (uint32_t)strnlen(name, DIVVY_WIRE_VGPU_PAYLOAD_BYTES);
    *ret_name = name;
    return DIVVY_WIRE_VGPU_CODE_NONE;
}

static void answer(struct divvy_relay_front *front, const struct divvy_relay_job *job, const char *json, size_t length) {
    struct divvy_wire_vgpu_body body = {0};
    uint64_t took_us = (divvy_core_clock_ns() - job->sent_ns) / DIVVY_NS_PER_US;
    json_t *object = json_loadb(json, length, 0, NULL);
    const char *name = NULL;

    body.code = job->opcode == DIVVY_WIRE_VGPU_OP_DEVICE_INFO ? info_read(object, &body, &name) : answer_read(object, &body);
    body.exec_time_us = took_us > UINT32_MAX ? UINT32_MAX : (uint32_t)took_us;
    if (body.code != DIVVY_WIRE_VGPU_CODE_NONE)
        body.word_count = 0;
    response_put(divvy_relay_channel_of(front), job->request_id, &body, name);
    json_decref(object);
}

static void refuse(struct divvy_relay_front *front, const struct divvy_relay_job *job, uint32_t code, const char *message) {
    (void)message;
    code_put(divvy_relay_channel_of(front), job->request_id, code);
}

const struct divvy_relay_dialect divvy_relay_dialect_vgpu = {"vgpu", take, {answer, refuse}};
