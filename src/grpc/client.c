/* One call of a client: see client.h. */
#include "grpc/client.h"

#include "base/cleanup.h"
#include "core/clock.h"
#include "grpc/link.h"
#include "grpc/message.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define PATH_BYTES   128u
#define WINDOW_BYTES (1 << 20)

struct divvy_grpc_client {
    struct divvy_grpc_link link; /* first */
    bool linked;                 /* there is a connection, or was */
    struct sockaddr_un address;
    char path[PATH_BYTES], timeout[DIVVY_GRPC_TIMEOUT_BYTES];
    uint8_t *request; /* with its prefix */
    size_t length, sent;
    uint64_t deadline_ns;
    int32_t stream;
    struct divvy_grpc_reader reader;
    bool http_ok, status_came, failed, told, freed;
    enum divvy_grpc_status status;
    char text[DIVVY_GRPC_TEXT_BYTES];
    void (*message)(void *data, const uint8_t *message, size_t length);
    void (*done)(void *data, enum divvy_grpc_status status, const char *text);
    void *data;
};

/* The first failure counts. */
static void fail(struct divvy_grpc_client *client, enum divvy_grpc_status status, const char *text) {
    if (client->failed || client->status_came)
        return;
    client->failed = true;
    client->status = status;
    (void)snprintf(client->text, sizeof client->text, "%s", text);
}

static void tell(struct divvy_grpc_client *client) {
    if (client->told || client->freed)
        return;
    client->told = true;
    fail(client, DIVVY_GRPC_UNAVAILABLE, "the connection ended before the answer");
    client->done(client->data, client->status, client->text);
}

static void release(struct divvy_grpc_client *client) {
    divvy_grpc_reader_done(&client->reader);
    free(client->request);
    free(client);
}

/* --- what nghttp2 calls --------------------------------------------------------------------------------------------------- */

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_length, const uint8_t *value,
                     size_t length, uint8_t flags, void *user_data) {
    struct divvy_grpc_client *client = user_data;

    (void)session;
    (void)flags;
    if (frame->hd.stream_id != client->stream || client->failed)
        return 0;
    if (divvy_grpc_is(name, name_length, ":status")) {
        client->http_ok = divvy_grpc_is(value, length, "200");
    } else if (divvy_grpc_is(name, name_length, "grpc-status")) {
        client->status = divvy_grpc_status_parse((const char *)value, length);
        client->status_came = true;
    } else if (divvy_grpc_is(name, name_length, "grpc-message")) {
        divvy_grpc_text_decode((const char *)value, length, client->text);
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data, size_t length, void *user_data) {
    struct divvy_grpc_client *client = user_data;

    (void)flags;
    if (stream != client->stream)
        return 0;
    while (length > 0 && !client->failed && !client->freed) {
        size_t taken;
        int whole;
        enum divvy_grpc_status status = divvy_grpc_reader_feed(&client->reader, data, length, &taken, &whole);

        if (status != DIVVY_GRPC_OK) {
            fail(client, status, status == DIVVY_GRPC_RESOURCE_EXHAUSTED ? "the answer is too long" : "the answer is broken");
            (void)nghttp2_session_terminate_session(session, NGHTTP2_CANCEL);
            return 0;
        }
        data += taken;
        length -= taken;
        if (whole && client->http_ok)
            client->message(client->data, client->reader.message, client->reader.length);
    }
    return 0;
}

static int on_close(nghttp2_session *session, int32_t stream, uint32_t code, void *user_data) {
    struct divvy_grpc_client *client = user_data;

    if (stream != client->stream)
        return 0;
    if (!client->status_came && code != NGHTTP2_NO_ERROR)
        fail(client, DIVVY_GRPC_UNAVAILABLE, "the server has taken the call back");
    else if (!client->http_ok)
        fail(client, DIVVY_GRPC_UNKNOWN, "the server speaks no gRPC");
    else if (!client->status_came)
        fail(client, DIVVY_GRPC_INTERNAL, "the answer has no status");
    else if (client->status == DIVVY_GRPC_OK && !divvy_grpc_reader_is_between(&client->reader)) {
        client->status_came = false;
        fail(client, DIVVY_GRPC_INTERNAL, "the answer ends within a message");
    }
    (void)nghttp2_session_terminate_session(session, NGHTTP2_NO_ERROR);
    return 0;
}

static ssize_t request_read(nghttp2_session *session, int32_t stream, uint8_t *buffer, size_t room, uint32_t *flags,
                            nghttp2_data_source *source, void *user_data) {
    struct divvy_grpc_client *client = user_data;
    size_t part = client->length - client->sent;

    (void)session;
    (void)stream;
    (void)source;
    if (part > room)
        part = room;
    memcpy(buffer, client->request + client->sent, part);
    client->sent += part;
    if (client->sent == client->length)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)part;
}

/* --- the session ---------------------------------------------------------------------------------------------------------- */

static int call_submit(struct divvy_grpc_client *client) {
    nghttp2_nv headers[] = {divvy_grpc_header(":method", "POST"),
                            divvy_grpc_header(":scheme", "http"),
                            divvy_grpc_header(":path", client->path),
                            divvy_grpc_header(":authority", "localhost"),
                            divvy_grpc_header("te", "trailers"),
                            divvy_grpc_header("content-type", "application/grpc"),
                            divvy_grpc_header("user-agent", "divvy"),
                            divvy_grpc_header("grpc-timeout", client->timeout)};
    nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};
    nghttp2_data_provider provider = {.read_callback = request_read};

    if (nghttp2_submit_settings(client->link.session, NGHTTP2_FLAG_NONE, settings, 1) != 0 ||
        nghttp2_session_set_local_window_size(client->link.session, NGHTTP2_FLAG_NONE, 0, WINDOW_BYTES) != 0)
        return -ENOMEM;
    client->stream = nghttp2_submit_request(client->link.session, NULL, headers, sizeof headers / sizeof headers[0], &provider, NULL);
    return client->stream < 0 ? -ENOMEM : 0;
}

static int session_new(struct divvy_grpc_client *client) {
    nghttp2_session_callbacks *callbacks;
    int status;

    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        return -ENOMEM;
    nghttp2_session_callbacks_set_send_callback(callbacks, divvy_grpc_link_write);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    status = nghttp2_session_client_new(&client->link.session, callbacks, client);
    nghttp2_session_callbacks_del(callbacks);
    return status != 0 ? -ENOMEM : call_submit(client);
}

static void link_over(struct divvy_grpc_link *link) {
    tell((struct divvy_grpc_client *)link);
}

static void link_free(struct divvy_grpc_link *link) {
    struct divvy_grpc_client *client = (struct divvy_grpc_client *)link;

    /* Where it never had a connection, this turn is the one that says so. */
    tell(client);
    if (client->freed)
        release(client);
    else
        client->linked = false;
}

/* Unix sockets connect at once, or not. */
static int link_connect(struct divvy_grpc_client *client) {
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int status;

    if (fd < 0 || connect(fd, (const struct sockaddr *)&client->address, sizeof client->address) < 0)
        return -errno;
    status = session_new(client);
    if (status == 0)
        status = divvy_grpc_link_begin(&client->link, client->link.loop, fd);
    if (status == 0)
        (void)divvy_cleanup_keep(&fd);
    return status;
}

int divvy_grpc_client_new(struct divvy_loop *loop, const struct divvy_grpc_client_options *options, struct divvy_grpc_client **ret_client) {
    struct divvy_grpc_client *client;
    char text[DIVVY_GRPC_TEXT_BYTES];
    int status;

    if (strlen(options->socket_path) >= sizeof client->address.sun_path || strlen(options->path) >= PATH_BYTES ||
        options->length > UINT32_MAX)
        return -ENAMETOOLONG;
    client = calloc(1, sizeof *client);
    if (!client || !(client->request = malloc(DIVVY_GRPC_PREFIX_BYTES + options->length))) {
        free(client);
        return -ENOMEM;
    }
    client->address.sun_family = AF_UNIX;
    memcpy(client->address.sun_path, options->socket_path, strlen(options->socket_path) + 1);
    memcpy(client->path, options->path, strlen(options->path) + 1);
    divvy_grpc_timeout_format(options->timeout_ns, client->timeout);
    divvy_grpc_prefix_write((uint32_t)options->length, client->request);
    if (options->length > 0)
        memcpy(client->request + DIVVY_GRPC_PREFIX_BYTES, options->request, options->length);
    client->length = DIVVY_GRPC_PREFIX_BYTES + options->length;
    client->deadline_ns = divvy_core_clock_ns() + options->timeout_ns;
    client->reader.max_bytes = options->answer_max_bytes;
    client->message = options->message;
    client->done = options->done;
    client->data = options->data;
    client->link.loop = loop;
    client->link.source.fd = -1;
    client->link.over = link_over;
    client->link.free = link_free;
    client->linked = true;
    status = link_connect(client);
    if (status < 0) {
        (void)snprintf(text, sizeof text, "%s: %s", options->socket_path, strerror(-status));
        fail(client, DIVVY_GRPC_UNAVAILABLE, text);
        divvy_grpc_link_abandon(&client->link, loop);
    }
    *ret_client = client;
    return 0;
}

void divvy_grpc_client_free(struct divvy_grpc_client *client) {
    if (!client || client->freed)
        return;
    client->freed = true;
    if (!client->linked)
        release(client);
    else if (!client->link.pumping)
        divvy_grpc_link_end(&client->link);
    else /* within nghttp2: its own end follows */
        (void)nghttp2_session_terminate_session(client->link.session, NGHTTP2_CANCEL);
}

uint64_t divvy_grpc_client_tick(struct divvy_grpc_client *client, uint64_t now_ns) {
    if (!client || client->told)
        return UINT64_MAX;
    if (now_ns < client->deadline_ns)
        return client->deadline_ns;
    fail(client, DIVVY_GRPC_DEADLINE_EXCEEDED, "no answer in time");
    divvy_grpc_link_end(&client->link);
    tell(client);
    return UINT64_MAX;
}
