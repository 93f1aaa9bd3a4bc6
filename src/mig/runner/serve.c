/* The server of /metrics: see serve.h. */
#include "mig/runner/serve.h"

#include "base/cleanup.h"
#include "core/clock.h"
#include "mig/runner/http.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define REQUEST_BYTES 4096
#define QUIET_NS      (30 * DIVVY_NS_PER_SECOND) /* a scraper comes every 15 or 30 s, over the same connection */
#define HEAD_NS       (5 * DIVVY_NS_PER_SECOND)

struct connection {
    struct divvy_source source;
    struct divvy_runner_serve *serve;
    uint64_t since_ns; /* of the last answer, or of a head's first byte */
    size_t length, searched;
    char bytes[REQUEST_BYTES];
};

struct divvy_runner_serve {
    struct divvy_loop *loop;
    struct divvy_source listener;
    struct divvy_runner_serve_source from;
    struct connection connections[DIVVY_RUNNER_SERVE_CONNECTIONS];
};

struct answer {
    const char *status, *type, *body, *more;
    size_t length;
};

#define TEXT         "text/plain; charset=utf-8"
#define METRICS_TEXT "text/plain; version=0.0.4; charset=utf-8"

static void answer_text(struct answer *answer, const char *status, const char *text) {
    *answer = (struct answer){.status = status, .type = TEXT, .body = text, .more = "", .length = strlen(text)};
}

static bool target_is(const char *target, size_t length, const char *path) {
    size_t size = strlen(path);

    return length >= size && memcmp(target, path, size) == 0 && (length == size || target[size] == '?');
}

static void answer_find(struct divvy_runner_serve *serve, const char *head, const struct divvy_runner_http_head *parsed,
                        struct answer *answer) {
    const char *target = head + parsed->target_at;
    bool is_get = parsed->is_head || (parsed->method_length == 3 && memcmp(head, "GET", 3) == 0);
    int is_well = 0;

    if (!is_get) {
        answer_text(answer, "405 Method Not Allowed", "only GET and HEAD\n");
        answer->more = "Allow: GET, HEAD\r\n";
    } else if (target_is(target, parsed->target_length, "/metrics")) {
        *answer = (struct answer){.status = "200 OK", .type = METRICS_TEXT, .more = ""};
        answer->body = serve->from.metrics(serve->from.data, &answer->length);
    } else if (target_is(target, parsed->target_length, "/healthz")) {
        const char *word = serve->from.health(serve->from.data, &is_well);

        answer_text(answer, is_well ? "200 OK" : "503 Service Unavailable", word);
    } else {
        answer_text(answer, "404 Not Found", "there are /metrics and /healthz\n");
    }
}

/* All at once or not at all: the answer is far smaller than a socket's buffer. false: the connection is over. */
static bool answer_send(struct connection *c, const struct answer *answer, bool with_body, bool is_last) {
    char head[512];
    int length = snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s%s\r\n",
                          answer->status, answer->type, answer->length, answer->more, is_last ? "Connection: close\r\n" : "");
    struct iovec parts[] = {{.iov_base = head, .iov_len = (size_t)length},
                            {.iov_base = (void *)(uintptr_t)answer->body, .iov_len = with_body ? answer->length : 0}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};

    return sendmsg(c->source.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)(parts[0].iov_len + parts[1].iov_len) &&
           !is_last;
}

/* The request at the beginning of the bytes: 1 answered, 0 not whole yet, -1 the connection is over. */
static int request_serve(struct connection *c) {
    struct divvy_runner_http_head head;
    struct answer answer;
    int length = divvy_runner_http_head_find(c->bytes, c->length, &c->searched);
    int status = length > 0 ? divvy_runner_http_request_parse(c->bytes, (size_t)length, &head) : length;

    if (status == 0 && length == 0 && c->length < sizeof c->bytes)
        return 0;
    if (length == 0 || status < 0) {
        answer_text(&answer, "400 Bad Request", "this is no HTTP request\n");
        (void)answer_send(c, &answer, true, true);
        return -1;
    }
    answer_find(c->serve, c->bytes, &head, &answer);
    /* A body is none of our business; behind it nothing could be found. */
    if (!answer_send(c, &answer, !head.is_head, head.is_last || head.framing != DIVVY_RUNNER_HTTP_NONE))
        return -1;
    c->length -= (size_t)length;
    memmove(c->bytes, c->bytes + length, c->length);
    c->searched = 0;
    c->since_ns = divvy_core_clock_coarse_ns();
    return 1;
}

static void connection_end(struct connection *c) {
    (void)shutdown(c->source.fd, SHUT_WR);
    divvy_loop_close(c->serve->loop, &c->source);
}

static void connection_ready(struct divvy_source *source, uint32_t events) {
    struct connection *c = (struct connection *)((char *)source - offsetof(struct connection, source));
    ssize_t got;
    int status = 1;

    (void)events;
    if (source->fd < 0)
        return;
    got = recv(source->fd, c->bytes + c->length, sizeof c->bytes - c->length, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        connection_end(c);
        return;
    }
    if (c->length == 0)
        c->since_ns = divvy_core_clock_coarse_ns();
    c->length += (size_t)got;
    while (status == 1 && c->length > 0)
        status = request_serve(c);
    if (status < 0)
        connection_end(c);
}

static struct connection *place_find(struct divvy_runner_serve *serve) {
    struct connection *oldest = &serve->connections[0];

    for (size_t i = 0; i < DIVVY_RUNNER_SERVE_CONNECTIONS; i++) {
        struct connection *c = &serve->connections[i];

        if (c->source.fd < 0)
            return c;
        if (c->since_ns < oldest->since_ns)
            oldest = c;
    }
    connection_end(oldest);
    return oldest;
}

static void listener_ready(struct divvy_source *source, uint32_t events) {
    struct divvy_runner_serve *serve =
        (struct divvy_runner_serve *)((char *)source - offsetof(struct divvy_runner_serve, listener));
    int fd = accept4(source->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct connection *c;

    (void)events;
    if (fd < 0) {
        /* Looked at again with the next tick: without descriptors this would turn and turn. */
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
            (void)divvy_loop_change(serve->loop, source, 0);
        return;
    }
    c = place_find(serve);
    c->source.fd = fd;
    c->length = c->searched = 0;
    c->since_ns = divvy_core_clock_coarse_ns();
    if (divvy_loop_add(serve->loop, &c->source, EPOLLIN) < 0)
        divvy_cleanup_close(&c->source.fd);
}

int divvy_runner_serve_new(struct divvy_loop *loop, int listen_fd, const struct divvy_runner_serve_source *source,
                           struct divvy_runner_serve **ret_serve, struct divvy_error *error) {
    cleanup_close int fd = listen_fd;
    struct divvy_runner_serve *serve = calloc(1, sizeof *serve);
    int status = serve ? 0 : -ENOMEM;

    if (serve) {
        serve->loop = loop;
        serve->from = *source;
        serve->listener = (struct divvy_source){.fd = fd, .ready = listener_ready};
        for (size_t i = 0; i < DIVVY_RUNNER_SERVE_CONNECTIONS; i++) {
            serve->connections[i].source = (struct divvy_source){.fd = -1, .ready = connection_ready};
            serve->connections[i].serve = serve;
        }
        status = divvy_loop_add(loop, &serve->listener, EPOLLIN);
    }
    if (status < 0) {
        free(serve);
        return divvy_error_set_errno(error, status, "cannot serve metrics");
    }
    (void)divvy_cleanup_keep(&fd);
    *ret_serve = serve;
    return 0;
}

void divvy_runner_serve_tick(struct divvy_runner_serve *serve, uint64_t now_ns) {
    for (size_t i = 0; i < DIVVY_RUNNER_SERVE_CONNECTIONS; i++) {
        struct connection *c = &serve->connections[i];

        if (c->source.fd >= 0 && now_ns > c->since_ns + (c->length > 0 ? HEAD_NS : QUIET_NS))
            connection_end(c);
    }
    (void)divvy_loop_change(serve->loop, &serve->listener, EPOLLIN);
}

void divvy_runner_serve_free(struct divvy_runner_serve *serve) {
    if (!serve)
        return;
    for (size_t i = 0; i < DIVVY_RUNNER_SERVE_CONNECTIONS; i++)
        divvy_loop_close(serve->loop, &serve->connections[i].source);
    divvy_loop_close(serve->loop, &serve->listener);
    free(serve);
}
