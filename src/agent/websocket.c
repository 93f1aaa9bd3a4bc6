/* WebSocket frames and handshake: see websocket.h. */
#include "agent/websocket.h"

#include "core/sys.h"

#include <openssl/evp.h>

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ACCEPT_BYTES 29 /* base64 of a SHA-1, with NUL */

/* RFC 6455, 1.3: what server and client put behind the key. */
static const char key_suffix[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

enum opcode { OP_MORE = 0, OP_TEXT = 1, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };

struct buffer {
    char *bytes;
    size_t length, room;
};

struct divvy_agent_ws {
    divvy_agent_ws_message_t message;
    void *data;
    char accept[ACCEPT_BYTES];
    bool is_open, is_closing, ping_waits;
    bool in_message;         /* a fragmented message has begun */
    struct buffer in, out;   /* bytes that came and are no whole frame yet; bytes to send */
    struct buffer fragments; /* of a message */
};

static int buffer_add(struct buffer *buffer, const void *bytes, size_t length) {
    if (buffer->length + length > buffer->room) {
        size_t room = (buffer->length + length) * 2;
        char *grown = realloc(buffer->bytes, room);

        if (!grown)
            return -ENOMEM;
        buffer->bytes = grown;
        buffer->room = room;
    }
    if (length > 0)
        memcpy(buffer->bytes + buffer->length, bytes, length);
    buffer->length += length;
    return 0;
}

static void buffer_drop(struct buffer *buffer, size_t length) {
    if (length >= buffer->length) {
        buffer->length = 0;
        return;
    }
    memmove(buffer->bytes, buffer->bytes + length, buffer->length - length);
    buffer->length -= length;
}

/* ---- handshake ---- */

/* What the server must answer to this key. */
static int accept_make(const char *key, char ret_accept[ACCEPT_BYTES]) {
    unsigned char digest[EVP_MAX_MD_SIZE], text[64];
    unsigned int length = 0;
    char both[96];
    int size = snprintf(both, sizeof both, "%s%s", key, key_suffix);

    if (EVP_Digest(both, (size_t)size, digest, &length, EVP_sha1(), NULL) != 1)
        return -EIO;
    (void)EVP_EncodeBlock(text, digest, (int)length);
    memcpy(ret_accept, text, ACCEPT_BYTES);
    return 0;
}

static int request_add(struct divvy_agent_ws *ws, const char *host, const char *path,
                       const char *bearer, const char *key) {
    char *request = NULL;
    int length = asprintf(&request,
                          "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: "
                          "Upgrade\r\nSec-WebSocket-Key: %s\r\n"
                          "Sec-WebSocket-Version: 13\r\n%s%s%s\r\n",
                          path, host, key, bearer ? "Authorization: Bearer " : "",
                          bearer ? bearer : "", bearer ? "\r\n" : "");
    int status = length < 0 ? -ENOMEM : buffer_add(&ws->out, request, (size_t)length);

    if (length >= 0)
        explicit_bzero(request, (size_t)length);
    free(length < 0 ? NULL : request);
    return status;
}

struct divvy_agent_ws *divvy_agent_ws_new(const char *host, const char *path, const char *bearer,
                                          const uint8_t key[DIVVY_AGENT_WS_KEY_BYTES],
                                          divvy_agent_ws_message_t message, void *data) {
    struct divvy_agent_ws *ws = calloc(1, sizeof *ws);
    unsigned char text[32];

    if (!ws)
        return NULL;
    ws->message = message;
    ws->data = data;
    (void)EVP_EncodeBlock(text, key, DIVVY_AGENT_WS_KEY_BYTES);
    if (accept_make((const char *)text, ws->accept) < 0 ||
        request_add(ws, host, path, bearer, (const char *)text) < 0) {
        divvy_agent_ws_free(ws);
        return NULL;
    }
    return ws;
}

void divvy_agent_ws_free(struct divvy_agent_ws *ws) {
    if (!ws)
        return;
    if (ws->out.bytes)
        explicit_bzero(ws->out.bytes, ws->out.room);
    free(ws->in.bytes);
    free(ws->out.bytes);
    free(ws->fragments.bytes);
    free(ws);
}

/* The value of a header in a head that ends in an empty line; NULL when missing. Its length without blanks at its ends. */
static const char *header_find(const char *head, size_t length, const char *name,
                               size_t *ret_length) {
    size_t name_length = strlen(name);

    for (size_t at = 0; at < length;) {
        const char *line = head + at, *end = memchr(line, '\n', length - at);
        size_t size = end ? (size_t)(end - line) : length - at;

        at += size + 1;
        if (size > name_length && line[name_length] == ':' &&
            strncasecmp(line, name, name_length) == 0) {
            const char *value = line + name_length + 1;
            size_t left = size - name_length - 1;

            while (left > 0 && isspace((unsigned char)value[left - 1]))
                left--;
            while (left > 0 && isspace((unsigned char)*value))
                value++, left--;
            *ret_length = left;
            return value;
        }
    }
    return NULL;
}

/* "HTTP/1.1 101 ..." */
static long head_status(const char *head, size_t length) {
    long status = 0;

    if (length < 12 || memcmp(head, "HTTP/1.", 7) != 0 || head[8] != ' ')
        return -1;
    for (size_t i = 9; i < 12; i++) {
        if (head[i] < '0' || head[i] > '9')
            return -1;
        status = status * 10 + (head[i] - '0');
    }
    return status;
}

static int head_judge(struct divvy_agent_ws *ws, const char *head, size_t length,
                      struct divvy_error *error) {
    long status = head_status(head, length);
    size_t size = 0;
    const char *accept = header_find(head, length, "Sec-WebSocket-Accept", &size), *upgrade;

    if (status < 0)
        return divvy_error_set(error, -EPROTO, "the push channel does not speak HTTP");
    if (status != 101)
        return divvy_error_set(error, status == 401 || status == 403 ? -EPERM : -ECONNREFUSED,
                               "the push channel was refused with status %ld", status);
    if (!accept || size != strlen(ws->accept) || memcmp(accept, ws->accept, size) != 0)
        return divvy_error_set(error, -EPROTO, "the push channel answers another handshake");
    upgrade = header_find(head, length, "Upgrade", &size);
    if (!upgrade || size != 9 || strncasecmp(upgrade, "websocket", 9) != 0)
        return divvy_error_set(error, -EPROTO,
                               "the push channel became something else than a WebSocket");
    ws->is_open = true;
    return 0;
}

/* 1: the head was taken; 0: there is more to come. */
static int head_take(struct divvy_agent_ws *ws, struct divvy_error *error) {
    const char *end = ws->in.length ? memmem(ws->in.bytes, ws->in.length, "\r\n\r\n", 4) : NULL;
    size_t length;
    int status;

    if (!end)
        return ws->in.length > DIVVY_AGENT_WS_HEAD_BYTES
                   ? divvy_error_set(error, -EPROTO, "the push channel's answer has no end")
                   : 0;
    length = (size_t)(end - ws->in.bytes) + 4;
    status = head_judge(ws, ws->in.bytes, length, error);
    if (status < 0)
        return status;
    buffer_drop(&ws->in, length);
    return 1;
}

/* ---- frames ---- */

/* A frame of a client is masked, so that no proxy takes it for something else. Control frames only: shorter than 126 bytes. */
static int frame_send(struct divvy_agent_ws *ws, enum opcode opcode, const char *bytes,
                      size_t length) {
    uint8_t frame[6 + 125];

    if (divvy_core_sys_getrandom(frame + 2, 4) < 0)
        memset(frame + 2, 0, 4);
    frame[0] = (uint8_t)(0x80 | opcode);
    frame[1] = (uint8_t)(0x80 | length);
    for (size_t i = 0; i < length; i++)
        frame[6 + i] = (uint8_t)bytes[i] ^ frame[2 + i % 4];
    return buffer_add(&ws->out, frame, 6 + length);
}

struct frame {
    bool is_last;
    enum opcode opcode;
    size_t head, length; /* bytes of head and of payload */
};

static int broken(struct divvy_error *error, const char *how) {
    return divvy_error_set(error, -EPROTO, "the push channel sent %s", how);
}

/* 1: a whole frame is there; 0: not yet. */
static int frame_look(const struct buffer *in, struct frame *frame, struct divvy_error *error) {
    const uint8_t *bytes = (const uint8_t *)in->bytes;
    uint64_t length;
    unsigned int extra;

    if (in->length < 2)
        return 0;
    frame->is_last = bytes[0] & 0x80;
    frame->opcode = bytes[0] & 0x0f;
    length = bytes[1] & 0x7f;
    if (bytes[0] & 0x70)
        return broken(error, "a frame with reserved bits");
    if (bytes[1] & 0x80)
        return broken(error, "a masked frame");
    if ((frame->opcode > OP_BINARY && frame->opcode < OP_CLOSE) || frame->opcode > OP_PONG)
        return broken(error, "a frame of an unknown kind");
    if (frame->opcode >= OP_CLOSE && (!frame->is_last || length > 125))
        return broken(error, "a control frame that is long or in parts");
    extra = length == 126 ? 2 : length == 127 ? 8 : 0;
    if (in->length < 2 + extra)
        return 0;
    if (extra)
        length = 0;
    for (unsigned int i = 0; i < extra; i++)
        length = length << 8 | bytes[2 + i];
    if (length > DIVVY_AGENT_WS_MESSAGE_BYTES)
        return divvy_error_set(error, -EMSGSIZE,
                               "the push channel sent a message of more than %u bytes",
                               DIVVY_AGENT_WS_MESSAGE_BYTES);
    frame->head = 2 + extra;
    frame->length = (size_t)length;
    return in->length >= frame->head + frame->length;
}

static int data_take(struct divvy_agent_ws *ws, const struct frame *frame, const char *payload,
                     struct divvy_error *error) {
    if ((frame->opcode == OP_MORE) != ws->in_message)
        return broken(error, frame->opcode == OP_MORE ? "the rest of no message"
                                                      : "a message within another");
    if (ws->fragments.length + frame->length > DIVVY_AGENT_WS_MESSAGE_BYTES)
        return divvy_error_set(error, -EMSGSIZE,
                               "the push channel sent a message of more than %u bytes",
                               DIVVY_AGENT_WS_MESSAGE_BYTES);
    if (buffer_add(&ws->fragments, payload, frame->length) < 0)
        return divvy_error_set_errno(error, -ENOMEM, "the push channel");
    ws->in_message = !frame->is_last;
    if (frame->is_last) {
        ws->message(ws->data, ws->fragments.bytes ? ws->fragments.bytes : "", ws->fragments.length);
        ws->fragments.length = 0;
    }
    return 0;
}

static int frame_take(struct divvy_agent_ws *ws, const struct frame *frame, const char *payload,
                      struct divvy_error *error) {
    switch (frame->opcode) {
    case OP_PING:
        return frame_send(ws, OP_PONG, payload, frame->length);
    case OP_PONG:
        ws->ping_waits = false;
        return 0;
    case OP_CLOSE:
        ws->is_closing = true;
        (void)frame_send(ws, OP_CLOSE, payload, frame->length < 2 ? 0 : 2);
        return divvy_error_set(error, -ESHUTDOWN, "the push channel was closed by the platform");
    default:
        return data_take(ws, frame, payload, error);
    }
}

int divvy_agent_ws_feed(struct divvy_agent_ws *ws, const char *bytes, size_t length,
                        struct divvy_error *error) {
    int status;

    if (ws->is_closing)
        return divvy_error_set(error, -ESHUTDOWN, "the push channel is closed");
    if (buffer_add(&ws->in, bytes, length) < 0)
        return divvy_error_set_errno(error, -ENOMEM, "the push channel");
    if (!ws->is_open) {
        status = head_take(ws, error);
        if (status <= 0)
            return status;
    }
    for (;;) {
        struct frame frame = {0};

        status = frame_look(&ws->in, &frame, error);
        if (status <= 0)
            return status;
        status = frame_take(ws, &frame, ws->in.bytes + frame.head, error);
        if (status < 0)
            return status;
        buffer_drop(&ws->in, frame.head + frame.length);
    }
}

bool divvy_agent_ws_is_open(const struct divvy_agent_ws *ws) {
    return ws->is_open && !ws->is_closing;
}

int divvy_agent_ws_ping(struct divvy_agent_ws *ws) {
    if (ws->ping_waits)
        return -EAGAIN;
    ws->ping_waits = true;
    return frame_send(ws, OP_PING, "", 0);
}

const char *divvy_agent_ws_output(const struct divvy_agent_ws *ws, size_t *ret_length) {
    *ret_length = ws->out.length;
    return ws->out.bytes;
}

void divvy_agent_ws_sent(struct divvy_agent_ws *ws, size_t length) {
    buffer_drop(&ws->out, length);
}
