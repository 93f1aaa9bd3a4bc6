/* The proxy: see proxy.h. */
#include "mig/runner/proxy.h"

#include "base/cleanup.h"
#include "core/clock.h"
#include "mig/runner/proxy_flow.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIPELINED    8u /* requests whose answers are out; then the client is not read from */
#define TURN_STEPS   64 /* moves of one connection before others have their turn */
#define ACCEPTED     64 /* likewise */
#define LINGER_BYTES 65536

/* How long a connection may stay as it is. A model that computes has no limit. */
#define HEAD_NS    (10 * DIVVY_NS_PER_SECOND) /* from a head's first byte, or the connection, to its end */
#define CONNECT_NS (10 * DIVVY_NS_PER_SECOND)
#define STALL_NS   (60 * DIVVY_NS_PER_SECOND) /* a client that sends no more of a body, or takes no more of an answer */
#define IDLE_NS    (75 * DIVVY_NS_PER_SECOND) /* between requests */
#define LINGER_NS  (2 * DIVVY_NS_PER_SECOND)
#define ROOM_NS    DIVVY_NS_PER_SECOND /* a half-sent body that is quiet this long may have to make room */

#define EDGES (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

enum { CLIENT, MODEL, ENDS };   /* ends[]; flow[i] goes from ends[i] to the other */
enum { REQUEST, ANSWER, FLOWS };

enum state { FREE, OPEN, LINGER };

/* A request whose answer has not ended. */
struct pending {
    uint64_t start_ns;
    bool is_head, is_upgrade, is_last;
};

struct connection {
    enum state state;
    bool is_tunnel;
    bool is_last;        /* no answer comes behind the one in hand */
    unsigned int refusal; /* status that the client gets once its earlier answers are out; 0 none */
    unsigned int status;  /* of the answer in hand */
    uint32_t pending_count, pending_first;
    uint32_t answered;
    uint32_t lingered_bytes;
    uint64_t quiet_ns;   /* since when nothing has moved; coarse */
    uint64_t head_ns;    /* since when a head is incomplete; 0: none is */
    struct divvy_runner_end ends[ENDS];
    struct divvy_runner_flow flows[FLOWS];
    struct divvy_later later;
    struct pending pending[PIPELINED];
    struct divvy_runner_proxy *proxy;
    struct connection *next_free;
};

struct divvy_runner_proxy {
    struct divvy_loop *loop;
    struct divvy_runner_latency *latency;
    struct divvy_source listener;
    struct sockaddr_in model;
    struct divvy_runner_buffers buffers;
    struct divvy_runner_proxy_counts counts;
    struct connection *free;
    struct connection connections[DIVVY_RUNNER_PROXY_CONNECTIONS];
};

/* ---- the end of connections ---- */

static void model_close(struct connection *c) {
    divvy_loop_close(c->proxy->loop, &c->ends[MODEL].source);
}

static void connection_close(struct connection *c) {
    model_close(c);
    divvy_loop_close(c->proxy->loop, &c->ends[CLIENT].source);
    for (int i = 0; i < FLOWS; i++)
        divvy_runner_flow_done(&c->flows[i], &c->proxy->buffers);
    c->state = FREE;
    c->next_free = c->proxy->free;
    c->proxy->free = c;
    c->proxy->counts.connections--;
}

/* An answer that was cut off must not look as if it had ended. */
static void connection_reset(struct connection *c) {
    struct linger at_once = {.l_onoff = 1};

    (void)setsockopt(c->ends[CLIENT].source.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    connection_close(c);
}

/* Closed at once, what the client still sends would be answered by a reset, which could eat the answer that it has not read. */
static void connection_linger(struct connection *c) {
    model_close(c);
    if (c->ends[CLIENT].is_ended) {
        connection_close(c);
        return;
    }
    (void)shutdown(c->ends[CLIENT].source.fd, SHUT_WR);
    c->state = LINGER;
    c->lingered_bytes = 0;
    c->quiet_ns = divvy_core_clock_coarse_ns();
    for (int i = 0; i < FLOWS; i++)
        divvy_runner_flow_done(&c->flows[i], &c->proxy->buffers);
}

static void linger_read(struct connection *c) {
    char waste[4096];

    for (;;) {
        ssize_t got = recv(c->ends[CLIENT].source.fd, waste, sizeof waste, MSG_DONTWAIT);

        if (got < 0 && errno == EAGAIN)
            return;
        if (got > 0)
            c->lingered_bytes += (uint32_t)got;
        if (got <= 0 || c->lingered_bytes > LINGER_BYTES) {
            connection_close(c);
            return;
        }
    }
}

static const struct {
    unsigned int status;
    const char *reason, *text;
} refusals[] = {
    {400, "Bad Request", "the request is not HTTP/1.1 as it should be"},
    {408, "Request Timeout", "the request did not come in time"},
    {431, "Request Header Fields Too Large", "the head of the request is longer than 16 KiB"},
    {501, "Not Implemented", "this method or coding is not passed on"},
    {502, "Bad Gateway", "the model broke off, or did not answer in HTTP/1.1"},
    {503, "Service Unavailable", "the model cannot be reached; it may be starting"},
};

/* Says so and ends the connection; no answer may be on its way. */
static void connection_refuse(struct connection *c, unsigned int status) {
    char answer[512];
    size_t i = 0;
    int length;

    while (i + 1 < sizeof refusals / sizeof refusals[0] && refusals[i].status != status)
        i++;
    length = snprintf(answer, sizeof answer,
                      "HTTP/1.1 %u %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n%sConnection: close\r\n\r\n%s\n",
                      refusals[i].status, refusals[i].reason, strlen(refusals[i].text) + 1,
                      status == 503 ? "Retry-After: 1\r\n" : "", refusals[i].text);
    if (status < 500 || status == 501)
        c->proxy->counts.refused++;
    /* A new answer always fits into the socket: everything before it is out. */
    (void)!send(c->ends[CLIENT].source.fd, answer, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT);
    connection_linger(c);
}

/* ---- requests and answers ---- */

static struct pending *pending_at(struct connection *c, uint32_t place) {
    return &c->pending[(c->pending_first + place) % PIPELINED];
}

static bool answer_is_clean(const struct connection *c) {
    return !c->flows[ANSWER].in_body && divvy_runner_flow_is_empty(&c->flows[ANSWER]);
}

/* The model cannot be had, broke off, or talks what is no HTTP. */
static void model_fail(struct connection *c) {
    struct divvy_runner_proxy *proxy = c->proxy;

    if (c->pending_count > 0) {
        proxy->counts.requests += c->pending_count;
        proxy->counts.errors += c->pending_count;
    }
    /*
     * On a connection that has had answers, the model may have closed it just as the request came: a client knows that a
     * connection which ends without an answer may be tried again.
     */
    if (!answer_is_clean(c))
        connection_reset(c);
    else if (c->pending_count == 0 || c->answered > 0)
        connection_linger(c);
    else
        connection_refuse(c, c->ends[MODEL].has_taken ? 502 : 503);
}

/* The answer in hand has ended. */
static void answer_complete(struct connection *c) {
    struct divvy_runner_proxy *proxy = c->proxy;
    const struct pending *pending = pending_at(c, 0);

    if (!c->is_tunnel)
        divvy_runner_latency_add(proxy->latency, divvy_core_clock_ns() - pending->start_ns);
    proxy->counts.requests++;
    if (c->status >= 500)
        proxy->counts.errors++;
    c->is_last = c->is_last || pending->is_last;
    c->pending_first = (c->pending_first + 1) % PIPELINED;
    c->pending_count--;
    c->answered++;
}

static void tunnel_begin(struct connection *c, const struct divvy_runner_http_head *head) {
    c->is_tunnel = true;
    answer_complete(c);
    for (int i = 0; i < FLOWS; i++) {
        divvy_runner_http_body_begin(&c->flows[i].body, head);
        c->flows[i].in_body = true;
    }
}

static int model_connect(struct connection *c) {
    struct divvy_runner_end *model = &c->ends[MODEL];
    int one = 1;

    model->source.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (model->source.fd < 0)
        return -errno;
    (void)setsockopt(model->source.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(model->source.fd, (const struct sockaddr *)&c->proxy->model, sizeof c->proxy->model) < 0 &&
        errno != EINPROGRESS)
        return -errno;
    model->readable = model->writable = true;
    return divvy_loop_add(c->proxy->loop, &model->source, EDGES);
}

static void flow_pass(struct divvy_runner_flow *flow, size_t bytes) {
    flow->passed += (uint32_t)bytes;
    flow->searched = 0;
}

/* MOVE_WAIT: the head is not whole yet. The connection may be gone behind any other return. */
static enum divvy_runner_move request_head(struct connection *c) {
    struct divvy_runner_flow *flow = &c->flows[REQUEST];
    const char *bytes = flow->buffer + flow->passed;
    struct divvy_runner_http_head head;
    int length = divvy_runner_http_head_find(bytes, flow->end - flow->passed, &flow->searched);
    int status = length > 0 ? divvy_runner_http_request_parse(bytes, (size_t)length, &head) : length;

    if (status < 0) {
        c->refusal = status == -E2BIG ? 431 : status == -EOPNOTSUPP ? 501 : 400;
        flow->is_over = true;
        return DIVVY_RUNNER_MOVE_MORE;
    }
    if (length == 0) {
        c->head_ns = c->head_ns ? c->head_ns : divvy_core_clock_coarse_ns();
        return DIVVY_RUNNER_MOVE_WAIT;
    }
    c->head_ns = 0;
    *pending_at(c, c->pending_count++) = (struct pending){.start_ns = divvy_core_clock_ns(),
                                                          .is_head = head.is_head,
                                                          .is_upgrade = head.is_upgrade,
                                                          .is_last = head.is_last};
    flow_pass(flow, (size_t)length);
    divvy_runner_http_body_begin(&flow->body, &head);
    flow->in_body = !flow->body.is_done;
    flow->is_over = head.is_last && !flow->in_body;
    if (c->ends[MODEL].source.fd < 0 && model_connect(c) < 0)
        return DIVVY_RUNNER_MOVE_TO_BROKEN;
    return DIVVY_RUNNER_MOVE_MORE;
}

static enum divvy_runner_move answer_head(struct connection *c) {
    struct divvy_runner_flow *flow = &c->flows[ANSWER];
    const char *bytes = flow->buffer + flow->passed;
    const struct pending *pending = pending_at(c, 0);
    struct divvy_runner_http_head head;
    int length;

    /* Nobody has asked: some servers say 408 to a connection that they close. */
    if (c->pending_count == 0)
        return DIVVY_RUNNER_MOVE_FROM_BROKEN;
    length = divvy_runner_http_head_find(bytes, flow->end - flow->passed, &flow->searched);
    if (length == 0)
        return DIVVY_RUNNER_MOVE_WAIT;
    if (length < 0 ||
        divvy_runner_http_answer_parse(bytes, (size_t)length, pending->is_head, pending->is_upgrade, &head) < 0) {
        /* Not a byte of it has been passed on. */
        flow->end = flow->passed;
        return DIVVY_RUNNER_MOVE_FROM_BROKEN;
    }
    flow_pass(flow, (size_t)length);
    c->status = head.status;
    if (head.framing == DIVVY_RUNNER_HTTP_TUNNEL) {
        tunnel_begin(c, &head);
        return DIVVY_RUNNER_MOVE_MORE;
    }
    if (head.status < 200)
        return DIVVY_RUNNER_MOVE_MORE;
    c->is_last = head.is_last || head.framing == DIVVY_RUNNER_HTTP_CLOSE;
    divvy_runner_http_body_begin(&flow->body, &head);
    flow->in_body = !flow->body.is_done;
    if (!flow->in_body)
        answer_complete(c);
    return DIVVY_RUNNER_MOVE_MORE;
}

/* What a body's end means for its direction. */
static void body_ended(struct connection *c, int direction) {
    c->flows[direction].in_body = false;
    if (direction == ANSWER)
        answer_complete(c);
    else if (c->pending_count > 0 && pending_at(c, c->pending_count - 1)->is_last)
        c->flows[REQUEST].is_over = true;
}

static enum divvy_runner_move body_bytes(struct connection *c, int direction) {
    struct divvy_runner_flow *flow = &c->flows[direction];
    size_t taken;

    if (divvy_runner_http_body_take(&flow->body, flow->buffer + flow->passed, flow->end - flow->passed, &taken) < 0)
        return DIVVY_RUNNER_MOVE_FROM_BROKEN;
    flow_pass(flow, taken);
    if (flow->body.is_done)
        body_ended(c, direction);
    return DIVVY_RUNNER_MOVE_MORE;
}

/* Whether the client's next request has to wait. */
static bool is_held(struct connection *c, int direction) {
    if (direction == ANSWER || c->flows[REQUEST].in_body || c->pending_count == 0)
        return false;
    return c->pending_count == PIPELINED || pending_at(c, c->pending_count - 1)->is_upgrade;
}

/* Behind the last answer comes nothing that is one. */
static void answer_over(struct connection *c) {
    struct divvy_runner_flow *flow = &c->flows[ANSWER];

    if (!c->is_last || flow->in_body)
        return;
    flow->is_over = true;
    flow->end = flow->passed;
}

/* Understands what was read, as far as that goes. */
static enum divvy_runner_move flow_examine(struct connection *c, int direction) {
    struct divvy_runner_flow *flow = &c->flows[direction];
    enum divvy_runner_move move = DIVVY_RUNNER_MOVE_MORE;

    while (move == DIVVY_RUNNER_MOVE_MORE && flow->end > flow->passed && !flow->is_over && !is_held(c, direction)) {
        if (flow->in_body)
            move = body_bytes(c, direction);
        else
            move = direction == REQUEST ? request_head(c) : answer_head(c);
        if (direction == ANSWER)
            answer_over(c);
    }
    return move;
}

/* The end of a flow's file, with all before it passed on. */
static void flow_ended(struct connection *c, int direction) {
    struct divvy_runner_flow *flow = &c->flows[direction];
    struct divvy_runner_end *to = &c->ends[!direction];

    if (c->is_tunnel || direction == REQUEST) {
        bool is_done = c->is_tunnel ? c->ends[!direction].is_ended : c->pending_count == 0;

        if (is_done || to->source.fd < 0) {
            connection_close(c);
        } else if (!to->is_shut) {
            (void)shutdown(to->source.fd, SHUT_WR);
            to->is_shut = true;
        }
        return;
    }
    if (flow->in_body && flow->body.framing == DIVVY_RUNNER_HTTP_CLOSE) {
        flow->in_body = false;
        answer_complete(c);
        connection_linger(c);
        return;
    }
    flow->end = flow->passed; /* a head that was cut off */
    model_fail(c);
}

static enum divvy_runner_move flow_step(struct connection *c, int direction) {
    struct divvy_runner_flow *flow = &c->flows[direction];
    struct divvy_runner_end *from = &c->ends[direction], *to = &c->ends[!direction];
    enum divvy_runner_move move = flow_examine(c, direction);
    bool was_in_body;

    if (move == DIVVY_RUNNER_MOVE_FROM_BROKEN || move == DIVVY_RUNNER_MOVE_TO_BROKEN)
        return move;
    if (flow->piped > 0 || flow->passed > flow->begin)
        return divvy_runner_flow_write(flow, to, &c->proxy->buffers);
    if (flow->is_over || is_held(c, direction))
        return DIVVY_RUNNER_MOVE_WAIT;
    if (from->is_ended) {
        if (!to->is_shut)
            flow_ended(c, direction);
        return DIVVY_RUNNER_MOVE_WAIT;
    }
    was_in_body = flow->in_body;
    move = divvy_runner_flow_read(flow, from, &c->proxy->buffers);
    if (was_in_body && !flow->in_body)
        body_ended(c, direction);
    if (direction == ANSWER && was_in_body)
        answer_over(c);
    return move;
}

/* The model takes no more, but may have answered before it closed: then that answer is the last. */
static void request_give_up(struct connection *c) {
    divvy_runner_flow_done(&c->flows[REQUEST], &c->proxy->buffers);
    c->flows[REQUEST].in_body = false;
    c->flows[REQUEST].is_over = true;
    c->ends[MODEL].readable = true;
    if (c->pending_count > 0)
        pending_at(c, 0)->is_last = true;
}

/* A direction is broken; whose fault is it? */
static void connection_broken(struct connection *c, int direction, enum divvy_runner_move move) {
    bool is_model = (direction == REQUEST) == (move == DIVVY_RUNNER_MOVE_TO_BROKEN);

    if (is_model && c->is_tunnel) {
        connection_reset(c);
    } else if (is_model && direction == REQUEST && c->ends[MODEL].source.fd >= 0 && !c->flows[REQUEST].is_over) {
        request_give_up(c);
    } else if (is_model) {
        model_fail(c);
    } else if (direction == REQUEST && !c->ends[CLIENT].is_ended && c->flows[REQUEST].in_body && answer_is_clean(c) &&
               c->pending_count == 1 && !c->is_tunnel) {
        /* A body that is no chunks, or a connection that broke: then this goes nowhere, which does no harm. */
        connection_refuse(c, 400);
    } else {
        connection_reset(c);
    }
}

/* Nothing moves any more: is the connection at its end? */
static void connection_settle(struct connection *c) {
    if (c->state != OPEN || !answer_is_clean(c))
        return;
    if (c->refusal && c->pending_count == 0)
        connection_refuse(c, c->refusal);
    else if (c->is_last || (c->ends[CLIENT].is_ended && c->pending_count == 0))
        connection_linger(c);
}

static void connection_pump(struct connection *c) {
    int steps = 0;

    c->quiet_ns = divvy_core_clock_coarse_ns();
    while (c->state == OPEN && steps < TURN_STEPS) {
        bool has_moved = false;

        for (int direction = 0; direction < FLOWS && c->state == OPEN; direction++) {
            enum divvy_runner_move move = flow_step(c, direction);

            if (c->state == OPEN && (move == DIVVY_RUNNER_MOVE_FROM_BROKEN || move == DIVVY_RUNNER_MOVE_TO_BROKEN))
                connection_broken(c, direction, move);
            has_moved = has_moved || (move != DIVVY_RUNNER_MOVE_WAIT && move != DIVVY_RUNNER_MOVE_FULL);
        }
        if (!has_moved)
            break;
        steps++;
    }
    connection_settle(c);
    if (c->state == OPEN && steps == TURN_STEPS)
        divvy_loop_queue(c->proxy->loop, &c->later);
}

static void connection_later(struct divvy_later *later) {
    struct connection *c = (struct connection *)((char *)later - offsetof(struct connection, later));

    if (c->state == OPEN)
        connection_pump(c);
}

static void end_ready(struct connection *c, struct divvy_runner_end *end, uint32_t events) {
    if (c->state == FREE || end->source.fd < 0)
        return;
    end->hung_up = end->hung_up || events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
    end->readable = end->readable || events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR);
    end->writable = end->writable || events & (EPOLLOUT | EPOLLHUP | EPOLLERR);
    if (c->state == LINGER)
        linger_read(c);
    else if (end == &c->ends[CLIENT] && events & EPOLLERR)
        connection_reset(c);
    else
        connection_pump(c);
}

static void client_ready(struct divvy_source *source, uint32_t events) {
    struct connection *c = (struct connection *)((char *)source - offsetof(struct connection, ends[CLIENT].source));

    end_ready(c, &c->ends[CLIENT], events);
}

static void model_ready(struct divvy_source *source, uint32_t events) {
    struct connection *c = (struct connection *)((char *)source - offsetof(struct connection, ends[MODEL].source));

    end_ready(c, &c->ends[MODEL], events);
}

/* ---- new connections ---- */

static bool may_make_room(const struct connection *c, uint64_t now_ns) {
    if (c->state == LINGER)
        return true;
    if (c->state != OPEN || c->is_tunnel)
        return false;
    return c->pending_count == 0 || (c->flows[REQUEST].in_body && now_ns - c->quiet_ns > ROOM_NS);
}

static void room_make(struct divvy_runner_proxy *proxy) {
    uint64_t now_ns = divvy_core_clock_coarse_ns();
    struct connection *oldest = NULL;

    for (size_t i = 0; i < DIVVY_RUNNER_PROXY_CONNECTIONS; i++) {
        struct connection *c = &proxy->connections[i];

        if (may_make_room(c, now_ns) && (!oldest || c->quiet_ns < oldest->quiet_ns))
            oldest = c;
    }
    if (oldest) {
        proxy->counts.displaced++;
        connection_close(oldest);
    }
}

static void connection_begin(struct divvy_runner_proxy *proxy, int fd) {
    struct connection *c = proxy->free;
    int one = 1;

    proxy->free = c->next_free;
    proxy->counts.connections++;
    /* What is queued stays queued: it may be this very connection of a moment ago. */
    memset(&c->state, 0, offsetof(struct connection, later));
    for (int i = 0; i < FLOWS; i++)
        divvy_runner_flow_init(&c->flows[i]);
    c->state = OPEN;
    c->quiet_ns = divvy_core_clock_coarse_ns();
    c->ends[CLIENT].source = (struct divvy_source){.fd = fd, .ready = client_ready};
    c->ends[MODEL].source = (struct divvy_source){.fd = -1, .ready = model_ready};
    c->ends[CLIENT].readable = c->ends[CLIENT].writable = true;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    if (divvy_loop_add(proxy->loop, &c->ends[CLIENT].source, EDGES) < 0)
        connection_close(c);
    else
        connection_pump(c);
}

static void listener_ready(struct divvy_source *source, uint32_t events) {
    struct divvy_runner_proxy *proxy =
        (struct divvy_runner_proxy *)((char *)source - offsetof(struct divvy_runner_proxy, listener));

    (void)events;
    for (int i = 0; i < ACCEPTED; i++) {
        int fd;

        if (!proxy->free)
            room_make(proxy);
        /* Nobody can make room: newcomers wait in the listener's queue, looked at again with every tick. */
        if (!proxy->free) {
            (void)divvy_loop_change(proxy->loop, &proxy->listener, 0);
            return;
        }
        fd = accept4(source->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            connection_begin(proxy, fd);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            (void)divvy_loop_change(proxy->loop, &proxy->listener, 0);
        if (errno != ECONNABORTED && errno != EINTR)
            return;
    }
}

/* ---- time ---- */

static bool client_stalls(const struct connection *c) {
    const struct divvy_runner_flow *answer = &c->flows[ANSWER], *request = &c->flows[REQUEST];

    if ((answer->piped > 0 || answer->passed > answer->begin) && !c->ends[CLIENT].writable)
        return true;
    return request->in_body && !c->is_tunnel && !c->ends[CLIENT].readable && divvy_runner_flow_is_empty(request);
}

static void connection_tick(struct connection *c, uint64_t now_ns) {
    uint64_t quiet_ns = now_ns > c->quiet_ns ? now_ns - c->quiet_ns : 0;
    bool is_idle = c->pending_count == 0 && !c->is_tunnel;

    if (c->state == LINGER) {
        if (quiet_ns > LINGER_NS)
            connection_close(c);
    } else if (c->head_ns && is_idle && now_ns > c->head_ns + HEAD_NS) {
        connection_refuse(c, 408);
    } else if (client_stalls(c)) {
        if (quiet_ns > STALL_NS)
            connection_reset(c);
    } else if (is_idle && quiet_ns > (c->answered ? IDLE_NS : HEAD_NS)) {
        connection_linger(c);
    } else if (c->pending_count > 0 && !c->ends[MODEL].has_taken && quiet_ns > CONNECT_NS) {
        model_fail(c);
    }
}

void divvy_runner_proxy_tick(struct divvy_runner_proxy *proxy, uint64_t now_ns) {
    for (size_t i = 0; i < DIVVY_RUNNER_PROXY_CONNECTIONS; i++)
        if (proxy->connections[i].state != FREE)
            connection_tick(&proxy->connections[i], now_ns);
    divvy_runner_buffers_trim(&proxy->buffers);
    (void)divvy_loop_change(proxy->loop, &proxy->listener, EPOLLIN);
}

/* ---- the whole ---- */

int divvy_runner_proxy_new(struct divvy_loop *loop, int listen_fd, const struct sockaddr_in *model,
                           struct divvy_runner_latency *latency, struct divvy_runner_proxy **ret_proxy,
                           struct divvy_error *error) {
    cleanup_close int fd = listen_fd;
    struct divvy_runner_proxy *proxy = calloc(1, sizeof *proxy);
    int status = -ENOMEM;

    if (!proxy)
        return divvy_error_set_errno(error, status, "cannot make the proxy");
    proxy->loop = loop;
    proxy->latency = latency;
    proxy->model = *model;
    for (size_t i = DIVVY_RUNNER_PROXY_CONNECTIONS; i-- > 0;) {
        struct connection *c = &proxy->connections[i];

        c->proxy = proxy;
        c->later.run = connection_later;
        c->next_free = proxy->free;
        proxy->free = c;
    }
    proxy->listener = (struct divvy_source){.fd = fd, .ready = listener_ready};
    status = divvy_runner_buffers_init(&proxy->buffers, DIVVY_RUNNER_PROXY_CONNECTIONS * FLOWS);
    if (status == 0)
        status = divvy_loop_add(loop, &proxy->listener, EPOLLIN);
    if (status < 0) {
        divvy_runner_buffers_done(&proxy->buffers);
        free(proxy);
        return divvy_error_set_errno(error, status, "cannot make the proxy");
    }
    (void)divvy_cleanup_keep(&fd);
    *ret_proxy = proxy;
    return 0;
}

void divvy_runner_proxy_counts(const struct divvy_runner_proxy *proxy, struct divvy_runner_proxy_counts *ret_counts) {
    *ret_counts = proxy->counts;
}

void divvy_runner_proxy_free(struct divvy_runner_proxy *proxy) {
    if (!proxy)
        return;
    for (size_t i = 0; i < DIVVY_RUNNER_PROXY_CONNECTIONS; i++)
        if (proxy->connections[i].state != FREE)
            connection_close(&proxy->connections[i]);
    divvy_loop_close(proxy->loop, &proxy->listener);
    divvy_runner_buffers_done(&proxy->buffers);
    free(proxy);
}
