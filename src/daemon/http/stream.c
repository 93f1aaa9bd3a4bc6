/* Server-sent events: a connection that sends what there is and sleeps in between. */
#include "daemon/http/server.h"

#include <string.h>

/* Lock held, the stream awake: let it sleep. False: there is something, or the server ends. */
static bool stream_sleep_locked(struct divvy_http_stream *stream) {
    struct divvy_http *http = stream->http;

    if (http->is_stopping || stream->is_woken || (stream->wants_events && http->event_last > stream->event_seen))
        return false;
    stream->is_asleep = true;
    stream->next = http->streams;
    stream->back = &http->streams;
    if (stream->next)
        stream->next->back = &stream->next;
    http->streams = stream;
    MHD_suspend_connection(stream->connection);
    return true;
}

void divvy_http_stream_resume_locked(struct divvy_http_stream *stream) {
    stream->is_woken = true;
    if (!stream->is_asleep)
        return;
    stream->is_asleep = false;
    *stream->back = stream->next;
    if (stream->next)
        stream->next->back = stream->back;
    MHD_resume_connection(stream->connection);
}

void divvy_http_stream_wake(struct divvy_http_stream *stream) {
    pthread_mutex_lock(&stream->http->sleep_lock);
    divvy_http_stream_resume_locked(stream);
    pthread_mutex_unlock(&stream->http->sleep_lock);
}

static ssize_t stream_read(void *argument, uint64_t position, char *buffer, size_t size) {
    static const char comment[] = ":\n\n"; /* keeps proxies from giving up, and finds clients that are gone */
    struct divvy_http_stream *stream = argument;
    struct divvy_http *http = stream->http;
    int64_t now_ns = divvy_http_now_ns();
    ssize_t filled;
    bool ends;

    (void)position;
    divvy_daemon_touch(http->daemon); /* whoever follows is somebody who is here */
    pthread_mutex_lock(&http->sleep_lock);
    stream->is_woken = false;
    ends = http->is_stopping;
    pthread_mutex_unlock(&http->sleep_lock);
    if (ends)
        return MHD_CONTENT_READER_END_OF_STREAM;
    filled = stream->fill(stream, buffer, size);
    if (filled < 0)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (filled == 0 && now_ns >= stream->keepalive_ns && size >= sizeof comment - 1) {
        filled = sizeof comment - 1;
        memcpy(buffer, comment, sizeof comment - 1);
    }
    if (filled > 0) {
        stream->keepalive_ns = now_ns + DIVVY_HTTP_KEEPALIVE_NS;
        return filled;
    }
    pthread_mutex_lock(&http->sleep_lock);
    (void)stream_sleep_locked(stream); /* false: asked again at once */
    pthread_mutex_unlock(&http->sleep_lock);
    return 0;
}

static void stream_done(void *argument) {
    struct divvy_http_stream *stream = argument;

    pthread_mutex_lock(&stream->http->sleep_lock);
    if (stream->is_asleep) {
        *stream->back = stream->next;
        if (stream->next)
            stream->next->back = stream->back;
        stream->is_asleep = false;
    }
    pthread_mutex_unlock(&stream->http->sleep_lock);
    stream->free(stream);
}

struct MHD_Response *divvy_http_stream_response(struct divvy_http_stream *stream) {
    struct MHD_Response *response;

    stream->keepalive_ns = divvy_http_now_ns() + DIVVY_HTTP_KEEPALIVE_NS;
    response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, stream_read, stream, stream_done);
    if (!response) {
        stream->free(stream);
        return NULL;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/event-stream");
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(response, "X-Accel-Buffering", "no");
    return response;
}
