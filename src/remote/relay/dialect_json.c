/* The JSON dialect of VMs: objects, passed on as they are. Whether one is well formed, the worker says. */
#include "remote/relay/channel.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define COPIED_BYTES     ((size_t)4 << 10)  /* shorter requests leave the channel its buffer, which has room for long ones */
#define ID_REQUEST_BYTES ((size_t)64 << 10) /* in longer requests no id is looked for, when they are refused */

static json_t *request_id(const struct divvy_relay_bytes *request) {
    json_t *object = NULL, *id = NULL;

    if (request && divvy_relay_bytes_length(request) > 0 && divvy_relay_bytes_length(request) <= ID_REQUEST_BYTES)
        object = json_loadb(divvy_relay_bytes_front(request), divvy_relay_bytes_length(request), JSON_DECODE_ANY, NULL);
    if (json_is_object(object))
        id = json_incref(json_object_get(object, "id"));
    json_decref(object);
    return id;
}

int divvy_relay_json_error(struct divvy_relay_bytes *out, const struct divvy_relay_bytes *request, uint32_t code,
                           const char *message) {
    json_t *id = request_id(request);
    json_t *object = json_pack("{s:{s:I, s:s}, s:o*}", "error", "code", (json_int_t)code, "message", message, "id", id);
    char *text = object ? json_dumps(object, 0) : NULL;
    int status = text ? divvy_relay_bytes_append(out, text, strlen(text)) : -ENOMEM;

    json_decref(object);
    free(text);
    return status;
}

static void error_put(struct divvy_relay_channel *channel, const struct divvy_relay_bytes *request, uint32_t code,
                      const char *message) {
    struct divvy_relay_bytes line = {0};

    if (divvy_relay_json_error(&line, request, code, message) == 0 && divvy_relay_bytes_append(&line, "\n", 1) == 0)
        divvy_relay_channel_put(channel, line.data, line.end);
    else
        divvy_relay_channel_close(channel);
    divvy_relay_bytes_done(&line);
}

/* The first `length` bytes of what came in, as a request; without a copy when they are all and many. */
static int request_take(struct divvy_relay_channel *channel, size_t length, struct divvy_relay_bytes *ret_request) {
    if (length > COPIED_BYTES && length == divvy_relay_bytes_length(&channel->in)) {
        *ret_request = channel->in;
        channel->in = (struct divvy_relay_bytes){0};
    } else {
        if (divvy_relay_bytes_append(ret_request, divvy_relay_bytes_front(&channel->in), length) < 0)
            return -ENOMEM;
        divvy_relay_bytes_consume(&channel->in, length);
    }
    return divvy_relay_bytes_append(ret_request, "\n", 1);
}

static int stream_lost(struct divvy_relay_channel *channel, int status) {
    if (status == -EMSGSIZE)
        error_put(channel, NULL, 2, "a request is at most 64 MiB long");
    else
        error_put(channel, NULL, 1, "a request is a JSON object, at most 64 deep");
    if (!channel->is_closed)
        divvy_relay_channel_offence(channel, status == -EMSGSIZE ? "a request that is too long" : "what is no JSON object");
    return -EPROTO;
}

static int take(struct divvy_relay_channel *channel) {
    const struct divvy_relay_job model = {0};
    size_t start, end;

    while (!channel->is_closed && divvy_relay_bytes_length(&channel->in) > channel->looked_at) {
        struct divvy_relay_bytes request = {0};
        int status = divvy_wire_json_frame_feed(&channel->json, divvy_relay_bytes_front(&channel->in) + channel->looked_at,
                                                divvy_relay_bytes_length(&channel->in) - channel->looked_at, &start, &end);

        if (status < 0)
            return stream_lost(channel, status);
        if (channel->looked_at == 0) {
            divvy_relay_bytes_consume(&channel->in, start);
            end -= start;
        }
        if (status == 0) {
            channel->looked_at = divvy_relay_bytes_length(&channel->in);
            break;
        }
        if (request_take(channel, channel->looked_at + end, &request) < 0) {
            divvy_relay_bytes_done(&request);
            return -ENOMEM;
        }
        channel->looked_at = 0;
        divvy_relay_channel_submit(channel, &model, &request);
    }
    if (!channel->is_closed && channel->has_ended && divvy_relay_bytes_length(&channel->in) > 0) {
        error_put(channel, NULL, 1, "the request ended before its closing brace");
        return -EPROTO;
    }
    return 0;
}

static void answer(struct divvy_relay_front *front, const struct divvy_relay_job *job, const char *json, size_t length) {
    struct divvy_relay_channel *channel = divvy_relay_channel_of(front);

    (void)job;
    /* One system call, and one wake-up of the client, for both. */
    if (divvy_relay_bytes_append(&channel->out, json, length) < 0)
        divvy_relay_channel_close(channel);
    else
        divvy_relay_channel_put(channel, "\n", 1);
}

static void refuse(struct divvy_relay_front *front, const struct divvy_relay_job *job, uint32_t code, const char *message) {
    error_put(divvy_relay_channel_of(front), &job->request, code, message);
}

const struct divvy_relay_dialect divvy_relay_dialect_json = {"json", take, {answer, refuse}};
