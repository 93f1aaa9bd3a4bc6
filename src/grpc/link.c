/* One HTTP/2 connection in a loop: see link.h. */
#include "grpc/link.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define READ_BYTES 16384
#define READS      8 /* in one turn: others want theirs */

nghttp2_nv divvy_grpc_header(const char *name, const char *value) {
    return (nghttp2_nv){.name = (uint8_t *)name,
                        .value = (uint8_t *)value,
                        .namelen = strlen(name),
                        .valuelen = strlen(value),
                        .flags = NGHTTP2_NV_FLAG_NONE};
}

bool divvy_grpc_is(const uint8_t *bytes, size_t length, const char *text) {
    return strlen(text) == length && memcmp(bytes, text, length) == 0;
}

ssize_t divvy_grpc_link_write(nghttp2_session *session, const uint8_t *data, size_t length, int flags, void *user_data) {
    struct divvy_grpc_link *link = user_data;
    ssize_t sent;

    (void)session;
    (void)flags;
    do
        sent = send(link->source.fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return sent;
    return errno == EAGAIN || errno == EWOULDBLOCK ? NGHTTP2_ERR_WOULDBLOCK : NGHTTP2_ERR_CALLBACK_FAILURE;
}

void divvy_grpc_link_end(struct divvy_grpc_link *link) {
    if (link->ended)
        return;
    link->ended = true;
    divvy_loop_close(link->loop, &link->source);
    nghttp2_session_del(link->session);
    link->session = NULL;
    /* Its memory stays until nothing of this turn can come back to it. */
    divvy_loop_queue(link->loop, &link->later);
}

/* What has come; negative at the end of it. */
static int take(struct divvy_grpc_link *link) {
    uint8_t bytes[READ_BYTES];

    for (int i = 0; i < READS; i++) {
        ssize_t got = recv(link->source.fd, bytes, sizeof bytes, MSG_DONTWAIT);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
        if (got == 0)
            return -ECONNRESET;
        if (nghttp2_session_mem_recv(link->session, bytes, (size_t)got) < 0)
            return -EPROTO;
        if (got < (ssize_t)sizeof bytes)
            return 0;
    }
    return 0;
}

static int give(struct divvy_grpc_link *link) {
    uint32_t events;

    if (nghttp2_session_send(link->session) != 0)
        return -EPIPE;
    if (!nghttp2_session_want_read(link->session) && !nghttp2_session_want_write(link->session))
        return -ESHUTDOWN;
    events = EPOLLIN | (nghttp2_session_want_write(link->session) ? (uint32_t)EPOLLOUT : 0);
    if (events != link->events) {
        link->events = events;
        return divvy_loop_change(link->loop, &link->source, events);
    }
    return 0;
}

static void pump(struct divvy_grpc_link *link, bool takes) {
    int status = 0, given;

    link->pumping = true;
    if (takes)
        status = take(link);
    /* Also at the end: a GOAWAY may say why. */
    given = give(link);
    link->pumping = false;
    if (status < 0 || given < 0) {
        link->over(link);
        divvy_grpc_link_end(link);
    }
}

static void ready(struct divvy_source *source, uint32_t events) {
    struct divvy_grpc_link *link = (struct divvy_grpc_link *)((char *)source - offsetof(struct divvy_grpc_link, source));

    if (!link->ended)
        pump(link, events & (EPOLLIN | EPOLLHUP | EPOLLERR));
}

static void later_run(struct divvy_later *later) {
    struct divvy_grpc_link *link = (struct divvy_grpc_link *)((char *)later - offsetof(struct divvy_grpc_link, later));

    if (link->ended)
        link->free(link);
    else
        pump(link, false);
}

int divvy_grpc_link_begin(struct divvy_grpc_link *link, struct divvy_loop *loop, int fd) {
    int status;

    link->loop = loop;
    link->later.run = later_run;
    link->source = (struct divvy_source){.fd = fd, .ready = ready};
    link->events = EPOLLIN;
    status = divvy_loop_add(loop, &link->source, link->events);
    if (status == 0)
        divvy_grpc_link_kick(link);
    else
        link->source.fd = -1;
    return status;
}

void divvy_grpc_link_abandon(struct divvy_grpc_link *link, struct divvy_loop *loop) {
    link->loop = loop;
    link->later.run = later_run;
    link->source.fd = -1;
    divvy_grpc_link_end(link);
}

void divvy_grpc_link_kick(struct divvy_grpc_link *link) {
    if (!link->ended && !link->pumping)
        divvy_loop_queue(link->loop, &link->later);
}
