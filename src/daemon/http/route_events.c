/* What has happened: once, by long poll, or as a stream of server-sent events. */
#include "daemon/http/copies.h"
#include "daemon/http/server.h"
#include "daemon/http/shape.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH      64u /* events looked at at a time */
#define ANSWER_MAX 1024u
#define WAIT_MAX_S 60u

/* Events of the node itself are for whoever may read; those of a tenant for whoever may see it, or is an administrator. */
static bool may_see_event(struct divvy_http_request *request, const struct divvy_node_event *event) {
    struct divvy_node_tenant tenant;

    if (request->credential == DIVVY_HTTP_CREDENTIAL_ADMIN || event->tenant[0] == '\0')
        return true;
    if (request->credential != DIVVY_HTTP_CREDENTIAL_POD && !request->http->hide_others)
        return true;
    return divvy_http_copies_tenant(request, event->tenant, &tenant) == 0;
}

static int events_answer(struct divvy_http_request *request, uint64_t after, uint64_t *ret_last, size_t *ret_count) {
    struct divvy_node_event *events = malloc(BATCH * sizeof *events);
    json_t *list = json_array();
    uint32_t count;
    int result = events && list ? 0 : -ENOMEM;

    *ret_last = after;
    while (result == 0 && json_array_size(list) < ANSWER_MAX &&
           (count = divvy_daemon_events(request->daemon, *ret_last, 0, events, BATCH)) > 0) {
        for (uint32_t i = 0; i < count && result == 0; i++)
            if (may_see_event(request, &events[i]) && json_array_append_new(list, divvy_http_event_json(&events[i])) != 0)
                result = -ENOMEM;
        *ret_last = events[count - 1].number;
    }
    free(events);
    *ret_count = json_array_size(list);
    if (result < 0) {
        json_decref(list);
        return divvy_http_fail_errno(request, result, NULL);
    }
    return divvy_http_answer(request, 200, json_pack("{s:o, s:I}", "events", list, "last", (json_int_t)*ret_last));
}

/* --- stream -------------------------------------------------------------------------------------------------------- */

struct event_stream {
    struct divvy_http_stream stream;
    struct divvy_http_request *request; /* lives until after the stream */
    struct divvy_node_event events[8];
    char text[2048]; /* of one event, being sent */
    size_t length, sent;
    uint32_t count, next; /* of events */
};

static void event_text(struct event_stream *stream, const struct divvy_node_event *event) {
    json_t *json = divvy_http_event_json(event);
    char *line = json ? json_dumps(json, JSON_COMPACT) : NULL;
    int length = line ? snprintf(stream->text, sizeof stream->text, "id: %llu\nevent: %s\ndata: %s\n\n",
                                 (unsigned long long)event->number, divvy_node_event_name(event->kind), line)
                      : 0;

    stream->length = length > 0 && (size_t)length < sizeof stream->text ? (size_t)length : 0;
    stream->sent = 0;
    free(line);
    json_decref(json);
}

static ssize_t events_fill(struct divvy_http_stream *base, char *buffer, size_t size) {
    struct event_stream *stream = (struct event_stream *)base;
    size_t used = 0;

    while (used < size) {
        size_t left = stream->length - stream->sent;

        if (left > 0) {
            left = left < size - used ? left : size - used;
            memcpy(buffer + used, stream->text + stream->sent, left);
            stream->sent += left;
            used += left;
            continue;
        }
        if (stream->next == stream->count) {
            stream->next = 0;
            stream->count = divvy_daemon_events(stream->request->daemon, base->event_seen, 0, stream->events,
                                                sizeof stream->events / sizeof stream->events[0]);
            if (stream->count == 0)
                break;
        }
        base->event_seen = stream->events[stream->next].number;
        if (may_see_event(stream->request, &stream->events[stream->next]))
            event_text(stream, &stream->events[stream->next]);
        stream->next++;
    }
    return (ssize_t)used;
}

static void events_free(struct divvy_http_stream *base) {
    free(base);
}

static int events_stream(struct divvy_http_request *request, uint64_t after) {
    struct event_stream *stream = calloc(1, sizeof *stream);

    if (!stream)
        return divvy_http_fail_errno(request, -ENOMEM, NULL);
    stream->request = request;
    stream->stream = (struct divvy_http_stream){.http = request->http,
                                                .connection = request->connection,
                                                .fill = events_fill,
                                                .free = events_free,
                                                .wants_events = true,
                                                .event_seen = after};
    /* Something at once, so that a client knows that it is connected. */
    stream->length = (size_t)snprintf(stream->text, sizeof stream->text, ": events after %llu\n\n", (unsigned long long)after);
    request->stream = &stream->stream;
    request->status = 200;
    return 200;
}

int divvy_http_get_events(struct divvy_http_request *request) {
    const char *accept = divvy_http_header(request, "Accept"), *seen = divvy_http_header(request, "Last-Event-ID");
    uint64_t after = 0, wait_s = 0, last;
    size_t count;

    if (divvy_http_query_u64(request, "after", INT64_MAX, &after) < 0)
        return divvy_http_fail(request, 400, "after must be a whole number");
    if (divvy_http_query_u64(request, "wait", WAIT_MAX_S, &wait_s) < 0)
        return divvy_http_fail(request, 400, "wait must be a whole number of seconds, at most %u", WAIT_MAX_S);
    if (accept && strstr(accept, "text/event-stream") && strcmp(request->method, "HEAD") != 0) {
        /* A browser that connects again says in the header what it has. */
        if (seen && seen[0] && seen[strspn(seen, "0123456789")] == '\0' && strlen(seen) < 19)
            after = strtoull(seen, NULL, 10);
        return events_stream(request, after);
    }
    if (request->wait_after > after) /* seen, and not for whoever asks: wait behind those */
        after = request->wait_after;
    if (events_answer(request, after, &last, &count) != 200 || count > 0 || wait_s == 0)
        return request->status;
    if (request->deadline_ns == 0)
        request->deadline_ns = divvy_http_now_ns() + (int64_t)wait_s * 1000000000;
    request->wait_after = last;
    if (divvy_http_now_ns() >= request->deadline_ns)
        return request->status;
    request->status = 0; /* not yet */
    return DIVVY_HTTP_LATER;
}
