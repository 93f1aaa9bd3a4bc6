/* Moving bytes: see proxy_flow.h. */
#include "mig/runner/proxy_flow.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SPLICE_LEAST 32768u  /* shorter stretches are read and written: a splice is two calls as well, and a pipe more */
#define SPLICE_MOST  1048576u

void divvy_runner_flow_init(struct divvy_runner_flow *flow) {
    *flow = (struct divvy_runner_flow){.pipe = {-1, -1}};
}

static void buffer_give(struct divvy_runner_flow *flow, struct divvy_runner_buffers *buffers) {
    divvy_runner_buffers_give(buffers, flow->buffer);
    flow->buffer = NULL;
    flow->begin = flow->passed = flow->end = 0;
}

void divvy_runner_flow_done(struct divvy_runner_flow *flow, struct divvy_runner_buffers *buffers) {
    buffer_give(flow, buffers);
    divvy_cleanup_close(&flow->pipe[0]);
    divvy_cleanup_close(&flow->pipe[1]);
    flow->piped = 0;
}

bool divvy_runner_flow_is_empty(const struct divvy_runner_flow *flow) {
    return flow->begin == flow->end && flow->piped == 0;
}

static bool is_later(int error) {
    return error == EAGAIN || error == EINTR;
}

enum divvy_runner_move divvy_runner_flow_write(struct divvy_runner_flow *flow, struct divvy_runner_end *to,
                                               struct divvy_runner_buffers *buffers) {
    ssize_t written;

    if (!to->writable || to->source.fd < 0)
        return DIVVY_RUNNER_MOVE_WAIT;
    if (flow->piped > 0)
        written = splice(flow->pipe[0], NULL, to->source.fd, NULL, flow->piped, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    else
        written = send(to->source.fd, flow->buffer + flow->begin, flow->passed - flow->begin, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (written <= 0) {
        if (written < 0 && !is_later(errno))
            return DIVVY_RUNNER_MOVE_TO_BROKEN;
        to->writable = written < 0 && errno == EINTR;
        return to->writable ? DIVVY_RUNNER_MOVE_MORE : DIVVY_RUNNER_MOVE_WAIT;
    }
    to->has_taken = true;
    if (flow->piped > 0) {
        flow->piped -= (uint32_t)written;
        return DIVVY_RUNNER_MOVE_MORE;
    }
    flow->begin += (uint32_t)written;
    if (flow->begin == flow->end)
        buffer_give(flow, buffers);
    return DIVVY_RUNNER_MOVE_MORE;
}

static enum divvy_runner_move splice_in(struct divvy_runner_flow *flow, struct divvy_runner_end *from, uint64_t plain) {
    size_t wanted = plain < SPLICE_MOST ? (size_t)plain : SPLICE_MOST;
    ssize_t moved = splice(from->source.fd, NULL, flow->pipe[1], NULL, wanted, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);

    if (moved < 0) {
        if (!is_later(errno))
            return DIVVY_RUNNER_MOVE_FROM_BROKEN;
        from->readable = errno == EINTR;
        return from->readable ? DIVVY_RUNNER_MOVE_MORE : DIVVY_RUNNER_MOVE_WAIT;
    }
    if (moved == 0) {
        from->is_ended = true;
        return DIVVY_RUNNER_MOVE_MORE;
    }
    flow->piped = (uint32_t)moved;
    divvy_runner_http_body_skip(&flow->body, (uint64_t)moved);
    if (flow->body.is_done)
        flow->in_body = false;
    return DIVVY_RUNNER_MOVE_MORE;
}

static enum divvy_runner_move read_in(struct divvy_runner_flow *flow, struct divvy_runner_end *from,
                                      struct divvy_runner_buffers *buffers) {
    size_t room;
    ssize_t got;

    if (!flow->buffer && !(flow->buffer = divvy_runner_buffers_take(buffers)))
        return DIVVY_RUNNER_MOVE_FULL;
    if (flow->begin > 0) {
        memmove(flow->buffer, flow->buffer + flow->begin, flow->end - flow->begin);
        flow->passed -= flow->begin;
        flow->end -= flow->begin;
        flow->begin = 0;
    }
    room = DIVVY_RUNNER_BUFFER_BYTES - flow->end;
    got = room > 0 ? recv(from->source.fd, flow->buffer + flow->end, room, MSG_DONTWAIT) : 0;
    if (got <= 0) {
        int error = got < 0 ? errno : 0;

        if (flow->end == 0)
            buffer_give(flow, buffers);
        if (got == 0) {
            from->is_ended = room > 0;
            return room > 0 ? DIVVY_RUNNER_MOVE_MORE : DIVVY_RUNNER_MOVE_WAIT;
        }
        if (!is_later(error))
            return DIVVY_RUNNER_MOVE_FROM_BROKEN;
        from->readable = error == EINTR;
        return from->readable ? DIVVY_RUNNER_MOVE_MORE : DIVVY_RUNNER_MOVE_WAIT;
    }
    flow->end += (uint32_t)got;
    /* Less than there was room for: the socket is empty, and the next bytes come with an edge of their own. */
    if ((size_t)got < room && !from->hung_up)
        from->readable = false;
    return DIVVY_RUNNER_MOVE_MORE;
}

enum divvy_runner_move divvy_runner_flow_read(struct divvy_runner_flow *flow, struct divvy_runner_end *from,
                                              struct divvy_runner_buffers *buffers) {
    uint64_t plain = flow->in_body ? divvy_runner_http_body_plain(&flow->body) : 0;

    if (!from->readable || from->is_ended || from->source.fd < 0)
        return DIVVY_RUNNER_MOVE_WAIT;
    if (plain >= SPLICE_LEAST && flow->begin == flow->end &&
        (flow->pipe[0] >= 0 || pipe2(flow->pipe, O_CLOEXEC | O_NONBLOCK) == 0))
        return splice_in(flow, from, plain);
    return read_in(flow, from, buffers);
}
