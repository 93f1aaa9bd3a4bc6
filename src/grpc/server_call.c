/* Calls on a connection of the server: headers and messages in, messages and trailers out. */
#include "core/clock.h"
#include "grpc/server_inside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RESETS_NS       (10 * DIVVY_NS_PER_SECOND)
#define HEADERS_BYTES   16384u /* what a peer is told of: nghttp2 has a bound of its own */
#define WINDOW_BYTES    (1 << 20)
#define OUT_FIRST_BYTES 1024u

/* NULL: it has ended. */
static struct divvy_grpc_call *call_of(nghttp2_session *session, int32_t stream) {
    return nghttp2_session_get_stream_user_data(session, stream);
}

/* --- the life of a call --------------------------------------------------------------------------------------------------- */

static struct divvy_grpc_call *call_new(struct divvy_grpc_connection *connection, int32_t stream) {
    struct divvy_grpc_call *call = calloc(1, sizeof *call);

    if (!call)
        return NULL;
    call->connection = connection;
    call->stream = stream;
    call->reader.max_bytes = DIVVY_GRPC_MESSAGE_BYTES;
    call->next = connection->calls;
    connection->calls = call;
    connection->call_count++;
    return call;
}

static void call_unlink(struct divvy_grpc_call *call) {
    struct divvy_grpc_connection *connection = call->connection;

    for (struct divvy_grpc_call **at = &connection->calls; *at; at = &(*at)->next)
        if (*at == call) {
            *at = call->next;
            connection->call_count--;
            return;
        }
}

/* It is out of its connection's list. */
static void call_release(struct divvy_grpc_call *call) {
    void (*gone)(struct divvy_grpc_call *, void *) = call->finished ? NULL : call->gone;

    call->finished = true;
    if (gone)
        gone(call, call->kept);
    divvy_grpc_reader_done(&call->reader);
    free(call->out);
    free(call);
}

static void call_free(struct divvy_grpc_call *call) {
    call_unlink(call);
    call_release(call);
}

void divvy_grpc_connection_calls_end(struct divvy_grpc_connection *connection) {
    struct divvy_grpc_call *call;

    while ((call = connection->calls)) {
        connection->calls = call->next;
        connection->call_count--;
        call_release(call);
    }
}

void divvy_grpc_call_keep(struct divvy_grpc_call *call, void *data, void (*gone)(struct divvy_grpc_call *call, void *data)) {
    call->kept = data;
    call->gone = gone;
}

/* --- answers -------------------------------------------------------------------------------------------------------------- */

static int trailers_submit(struct divvy_grpc_call *call, bool alone) {
    char code[8], text[3 * DIVVY_GRPC_TEXT_BYTES];
    nghttp2_nv headers[4];
    size_t count = 0;

    (void)snprintf(code, sizeof code, "%d", (int)call->status);
    if (alone) {
        headers[count++] = divvy_grpc_header(":status", "200");
        headers[count++] = divvy_grpc_header("content-type", "application/grpc");
    }
    headers[count++] = divvy_grpc_header("grpc-status", code);
    if (divvy_grpc_text_encode(call->text, text) > 0)
        headers[count++] = divvy_grpc_header("grpc-message", text);
    return alone ? nghttp2_submit_response(call->connection->link.session, call->stream, headers, count, NULL)
                 : nghttp2_submit_trailer(call->connection->link.session, call->stream, headers, count);
}

static ssize_t out_read(nghttp2_session *session, int32_t stream, uint8_t *buffer, size_t room, uint32_t *flags,
                        nghttp2_data_source *source, void *user_data) {
    struct divvy_grpc_call *call = call_of(session, stream);
    size_t part;

    (void)source;
    (void)user_data;
    if (!call)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    part = call->out_length - call->out_begin;
    if (part == 0 && !call->finished) {
        call->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (part > room)
        part = room;
    if (part > 0)
        memcpy(buffer, call->out + call->out_begin, part);
    call->out_begin += part;
    if (call->out_begin == call->out_length)
        call->out_begin = call->out_length = 0;
    if (call->out_length == 0 && call->finished) {
        *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
        if (trailers_submit(call, false) != 0)
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    return (ssize_t)part;
}

static void answer_begin(struct divvy_grpc_call *call) {
    nghttp2_nv headers[] = {divvy_grpc_header(":status", "200"), divvy_grpc_header("content-type", "application/grpc")};
    nghttp2_data_provider provider = {.read_callback = out_read};

    if (!call->answered)
        (void)nghttp2_submit_response(call->connection->link.session, call->stream, headers, 2, &provider);
    call->answered = true;
    if (call->deferred) {
        call->deferred = false;
        (void)nghttp2_session_resume_data(call->connection->link.session, call->stream);
    }
    divvy_grpc_link_kick(&call->connection->link);
}

/* Room behind what is there; what was sent makes room first. */
static int out_grow(struct divvy_grpc_call *call, size_t more) {
    size_t waiting = call->out_length - call->out_begin, room = call->out_room ? call->out_room : OUT_FIRST_BYTES;
    uint8_t *out;

    if (waiting + more > DIVVY_GRPC_WAITING_BYTES)
        return -ENOBUFS;
    if (call->out_begin > 0) {
        memmove(call->out, call->out + call->out_begin, waiting);
        call->out_begin = 0;
        call->out_length = waiting;
    }
    while (room < waiting + more)
        room *= 2;
    if (room > call->out_room) {
        out = realloc(call->out, room);
        if (!out)
            return -ENOMEM;
        call->out = out;
        call->out_room = room;
    }
    return 0;
}

/* The call cannot be answered any more. */
static void call_abort(struct divvy_grpc_call *call, uint32_t code) {
    struct divvy_grpc_connection *connection = call->connection;

    (void)nghttp2_submit_rst_stream(connection->link.session, NGHTTP2_FLAG_NONE, call->stream, code);
    (void)nghttp2_session_set_stream_user_data(connection->link.session, call->stream, NULL);
    call_free(call);
    divvy_grpc_link_kick(&connection->link);
}

int divvy_grpc_call_send(struct divvy_grpc_call *call, const uint8_t *message, size_t length) {
    int status = length > UINT32_MAX ? -ENOBUFS : out_grow(call, DIVVY_GRPC_PREFIX_BYTES + length);

    if (status < 0) {
        call_abort(call, NGHTTP2_ENHANCE_YOUR_CALM);
        return status;
    }
    divvy_grpc_prefix_write((uint32_t)length, call->out + call->out_length);
    call->out_length += DIVVY_GRPC_PREFIX_BYTES;
    if (length > 0)
        memcpy(call->out + call->out_length, message, length);
    call->out_length += length;
    answer_begin(call);
    return 0;
}

void divvy_grpc_call_finish(struct divvy_grpc_call *call, enum divvy_grpc_status status, const char *text) {
    call->finished = true;
    call->status = status;
    (void)snprintf(call->text, sizeof call->text, "%s", text ? text : "");
    if (!call->answered) {
        call->answered = true;
        (void)trailers_submit(call, true);
        divvy_grpc_link_kick(&call->connection->link);
        return;
    }
    answer_begin(call);
}

/* What is no gRPC at all gets an answer of HTTP. */
static void refuse_http(struct divvy_grpc_call *call, const char *code) {
    nghttp2_nv headers[] = {divvy_grpc_header(":status", code)};

    call->answered = call->finished = true;
    (void)nghttp2_submit_response(call->connection->link.session, call->stream, headers, 1, NULL);
}

/* --- requests ------------------------------------------------------------------------------------------------------------- */

static void header_take(struct divvy_grpc_call *call, const uint8_t *name, size_t name_length, const uint8_t *value, size_t length) {
    if (divvy_grpc_is(name, name_length, ":method")) {
        call->is_post = divvy_grpc_is(value, length, "POST");
    } else if (divvy_grpc_is(name, name_length, ":path")) {
        call->path_long = length >= sizeof call->path;
        if (!call->path_long) {
            memcpy(call->path, value, length);
            call->path[length] = '\0';
        }
    } else if (divvy_grpc_is(name, name_length, "content-type")) {
        size_t stem = strlen("application/grpc");

        call->is_grpc = length >= stem && memcmp(value, "application/grpc", stem) == 0 &&
                        (length == stem || value[stem] == '+' || value[stem] == ';');
    } else if (divvy_grpc_is(name, name_length, "grpc-timeout")) {
        if (divvy_grpc_timeout_parse((const char *)value, length, &call->timeout_ns) < 0)
            call->timeout_ns = 0;
        else if (call->timeout_ns == 0)
            call->timeout_ns = 1;
    }
}

static void headers_judge(struct divvy_grpc_call *call) {
    const struct divvy_grpc_server *server = call->connection->server;
    uint64_t now_ns = divvy_core_clock_ns();

    if (!call->is_post) {
        refuse_http(call, "405");
        return;
    }
    if (!call->is_grpc) {
        refuse_http(call, "415");
        return;
    }
    for (size_t i = 0; !call->path_long && i < server->method_count; i++)
        if (strcmp(call->path, server->methods[i].path) == 0)
            call->method = &server->methods[i];
    if (!call->method)
        divvy_grpc_call_finish(call, DIVVY_GRPC_UNIMPLEMENTED, "no such method here");
    else if (call->timeout_ns)
        call->deadline_ns = call->timeout_ns > UINT64_MAX - now_ns ? 0 : now_ns + call->timeout_ns;
}

static const char *why(enum divvy_grpc_status status) {
    switch (status) {
    case DIVVY_GRPC_RESOURCE_EXHAUSTED:
        return "the request is too long";
    case DIVVY_GRPC_UNIMPLEMENTED:
        return "compressed messages are not taken";
    default:
        return "the request is broken";
    }
}

static void bytes_take(struct divvy_grpc_call *call, const uint8_t *data, size_t length) {
    while (length > 0 && !call->finished) {
        enum divvy_grpc_status status;
        size_t taken;
        int whole;

        if (call->request_whole) {
            divvy_grpc_call_finish(call, DIVVY_GRPC_INTERNAL, "more than one message in a request");
            return;
        }
        status = divvy_grpc_reader_feed(&call->reader, data, length, &taken, &whole);
        if (status != DIVVY_GRPC_OK) {
            divvy_grpc_call_finish(call, status, why(status));
            return;
        }
        call->request_whole = whole != 0;
        data += taken;
        length -= taken;
    }
}

static void request_end(struct divvy_grpc_call *call) {
    call->half_closed = true;
    if (call->finished || call->begun || !call->method)
        return;
    if (!call->request_whole) {
        divvy_grpc_call_finish(call, DIVVY_GRPC_INTERNAL, "the request ends before its message");
        return;
    }
    call->begun = true;
    call->method->begin(call->connection->server->data, call, call->reader.message, call->reader.length);
}

/* --- what nghttp2 calls --------------------------------------------------------------------------------------------------- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user_data) {
    struct divvy_grpc_connection *connection = user_data;
    struct divvy_grpc_call *call;

    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    call = connection->call_count < DIVVY_GRPC_CALLS ? call_new(connection, frame->hd.stream_id) : NULL;
    if (!call)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    (void)nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, call);
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_length, const uint8_t *value,
                     size_t length, uint8_t flags, void *user_data) {
    struct divvy_grpc_call *call = call_of(session, frame->hd.stream_id);

    (void)flags;
    (void)user_data;
    if (call && frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        header_take(call, name, name_length, value, length);
    return 0;
}

/* A peer that opens calls only to take them back costs us more than itself. */
static int reset_count(struct divvy_grpc_connection *connection) {
    uint64_t now_ns = divvy_core_clock_ns();

    if (now_ns - connection->resets_ns > RESETS_NS) {
        connection->resets_ns = now_ns;
        connection->resets = 0;
    }
    if (++connection->resets <= DIVVY_GRPC_RESETS)
        return 0;
    return nghttp2_session_terminate_session(connection->link.session, NGHTTP2_ENHANCE_YOUR_CALM) == 0 ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user_data) {
    struct divvy_grpc_connection *connection = user_data;
    struct divvy_grpc_call *call;

    if (frame->hd.type == NGHTTP2_SETTINGS)
        connection->spoke = true;
    if (frame->hd.type == NGHTTP2_RST_STREAM)
        return reset_count(connection);
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    call = call_of(session, frame->hd.stream_id);
    if (call && frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        headers_judge(call);
    /* Judging may have ended it. */
    call = call_of(session, frame->hd.stream_id);
    if (call && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        request_end(call);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data, size_t length, void *user_data) {
    struct divvy_grpc_call *call = call_of(session, stream);

    (void)flags;
    (void)user_data;
    if (call)
        bytes_take(call, data, length);
    return 0;
}

/* An answer that ends before its request: the peer need not send the rest. */
static int on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user_data) {
    struct divvy_grpc_call *call;

    (void)user_data;
    if (frame->hd.type != NGHTTP2_HEADERS || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    call = call_of(session, frame->hd.stream_id);
    if (call && !call->half_closed)
        (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    return 0;
}

static int on_close(nghttp2_session *session, int32_t stream, uint32_t code, void *user_data) {
    struct divvy_grpc_call *call = call_of(session, stream);

    (void)code;
    (void)user_data;
    if (call)
        call_free(call);
    return 0;
}

/* --- the session ---------------------------------------------------------------------------------------------------------- */

static int callbacks_new(nghttp2_session_callbacks **ret_callbacks) {
    if (nghttp2_session_callbacks_new(ret_callbacks) != 0)
        return -ENOMEM;
    nghttp2_session_callbacks_set_send_callback(*ret_callbacks, divvy_grpc_link_write);
    nghttp2_session_callbacks_set_on_begin_headers_callback(*ret_callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(*ret_callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(*ret_callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(*ret_callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(*ret_callbacks, on_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(*ret_callbacks, on_close);
    return 0;
}

int divvy_grpc_connection_session_new(struct divvy_grpc_connection *connection) {
    nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, DIVVY_GRPC_CALLS},
                                         {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEADERS_BYTES}};
    nghttp2_session_callbacks *callbacks;
    int status = callbacks_new(&callbacks);

    if (status < 0)
        return status;
    status = nghttp2_session_server_new(&connection->link.session, callbacks, connection);
    nghttp2_session_callbacks_del(callbacks);
    if (status != 0)
        return -ENOMEM;
    if (nghttp2_submit_settings(connection->link.session, NGHTTP2_FLAG_NONE, settings, sizeof settings / sizeof settings[0]) != 0 ||
        nghttp2_session_set_local_window_size(connection->link.session, NGHTTP2_FLAG_NONE, 0, WINDOW_BYTES) != 0)
        return -ENOMEM;
    return 0;
}

uint64_t divvy_grpc_connection_calls_tick(struct divvy_grpc_connection *connection, uint64_t now_ns) {
    uint64_t due_ns = UINT64_MAX;
    struct divvy_grpc_call *call = connection->calls, *next;

    for (; call; call = next) {
        next = call->next;
        if (!call->deadline_ns || call->finished)
            continue;
        if (call->deadline_ns > now_ns) {
            due_ns = call->deadline_ns < due_ns ? call->deadline_ns : due_ns;
            continue;
        }
        if (call->gone) {
            call->gone(call, call->kept);
            call->gone = NULL;
        }
        divvy_grpc_call_finish(call, DIVVY_GRPC_DEADLINE_EXCEEDED, "the call's time is over");
    }
    return due_ns;
}
