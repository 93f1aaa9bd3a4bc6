/* Bytes from one socket to another, frame by frame: see tunnel.h. */
#include "remote/relay/tunnel.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_LEAST_BYTES ((size_t)4 << 10)
#define READ_MOST_BYTES  ((size_t)256 << 10)
#define BULK_BYTES       (32u << 10)        /* a payload that is longer is not copied */
#define PIPE_BYTES       ((size_t)1 << 20)  /* what a user may have without asking */
#define MOVE_BYTES       ((uint64_t)4 << 20) /* then others have their turn */

void divvy_relay_flow_init(struct divvy_relay_flow *flow, struct divvy_relay_tunnel *tunnel, struct divvy_relay_bytes *bytes,
                           enum divvy_relay_verdict (*judge)(struct divvy_relay_tunnel *, const struct divvy_wire_header *)) {
    *flow = (struct divvy_relay_flow){
        .tunnel = tunnel, .judge = judge, .bytes = bytes, .pipe_fds = {-1, -1}, .read_bytes = READ_LEAST_BYTES};
}

void divvy_relay_flow_done(struct divvy_relay_flow *flow) {
    divvy_cleanup_close(&flow->pipe_fds[0]);
    divvy_cleanup_close(&flow->pipe_fds[1]);
    divvy_relay_bytes_done(&flow->control);
}

static bool pipe_have(struct divvy_relay_flow *flow) {
    if (flow->pipe_fds[0] >= 0)
        return true;
    if (pipe2(flow->pipe_fds, O_CLOEXEC | O_NONBLOCK) < 0)
        return false;
    (void)fcntl(flow->pipe_fds[1], F_SETPIPE_SZ, (int)PIPE_BYTES); /* a smaller one serves too */
    return true;
}

/* --- headers ------------------------------------------------------------------------------------------------- */

static void frame_clear(struct divvy_relay_flow *flow, const struct divvy_wire_header *header) {
    flow->has_begun = true;
    flow->cleared += sizeof *header + header->length;
    flow->is_bulk = header->length >= BULK_BYTES;
    if (flow->is_bulk)
        flow->read_bytes = READ_LEAST_BYTES; /* what is read with the header is copied */
}

static bool is_replaced(struct divvy_relay_flow *flow) {
    size_t there = divvy_relay_bytes_length(flow->bytes);

    if (flow->is_another && flow->has_begun && there > flow->cleared)
        flow->is_replaced = flow->is_replaced || flow->is_another(flow->tunnel, divvy_relay_bytes_front(flow->bytes) + flow->cleared,
                                                                  there - (size_t)flow->cleared);
    return flow->is_replaced;
}

/* Short frames are passed on whole: whoever stops within one leaves nothing begun at the receiver. */
static bool is_here(const struct divvy_relay_flow *flow, const struct divvy_wire_header *header) {
    return header->length >= BULK_BYTES || flow->cleared + sizeof *header + header->length <= divvy_relay_bytes_length(flow->bytes);
}

/* Looks at the headers that are there. 0 or -EPROTO. */
static int flow_clear(struct divvy_relay_flow *flow) {
    struct divvy_wire_header header;

    flow->is_held = flow->is_short = false;
    while (!is_replaced(flow) && divvy_relay_bytes_length(&flow->control) == 0 && flow->cleared + sizeof header <= divvy_relay_bytes_length(flow->bytes)) {
        if (divvy_wire_header_read(divvy_relay_bytes_front(flow->bytes) + flow->cleared, DIVVY_WIRE_PAYLOAD_MAX_BYTES, &header) < 0)
            return -EPROTO;
        flow->is_short = !is_here(flow, &header);
        if (flow->is_short)
            return 0;
        switch (flow->judge(flow->tunnel, &header)) {
        case DIVVY_RELAY_PASS:
            frame_clear(flow, &header);
            break;
        case DIVVY_RELAY_HOLD:
            flow->is_held = true;
            return 0;
        case DIVVY_RELAY_DROP:
            if (flow->cleared > 0) /* first what is before it */
                return 0;
            divvy_relay_bytes_consume(flow->bytes, sizeof header + header.length);
            divvy_relay_turn_drained(flow->tunnel);
            break;
        default:
            return -EPROTO;
        }
    }
    return 0;
}

/* --- bytes --------------------------------------------------------------------------------------------------- */

/* 0: all is sent; -EAGAIN: the receiver takes no more; or its error. */
static int pipe_send(struct divvy_relay_flow *flow, int to_fd, uint64_t *sent) {
    while (flow->piped > 0) {
        ssize_t put = splice(flow->pipe_fds[0], NULL, to_fd, NULL, flow->piped, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put == 0 ? -EPIPE : -errno;
        flow->piped -= (size_t)put;
        *sent += (uint64_t)put;
    }
    return 0;
}

static int bytes_send(struct divvy_relay_bytes *bytes, size_t length, int to_fd, uint64_t *sent) {
    while (length > 0) {
        ssize_t put = send(to_fd, divvy_relay_bytes_front(bytes), length, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -errno;
        divvy_relay_bytes_consume(bytes, (size_t)put);
        length -= (size_t)put;
        *sent += (uint64_t)put;
    }
    return 0;
}

/* What was put into the channel before, and what is put there on the way through memory. */
static int outlet_send(struct divvy_relay_channel *outlet) {
    int status = divvy_relay_bytes_length(&outlet->out) > 0 ? divvy_relay_channel_send(outlet) : 0;

    return status < 0 ? status : divvy_relay_bytes_length(&outlet->out) > 0 ? -EAGAIN : 0;
}

static int outlet_put(struct divvy_relay_channel *outlet, struct divvy_relay_bytes *bytes, size_t length) {
    if (divvy_relay_bytes_append(&outlet->out, divvy_relay_bytes_front(bytes), length) < 0)
        return -ENOMEM;
    divvy_relay_bytes_consume(bytes, length);
    return outlet_send(outlet);
}

static int flow_send(struct divvy_relay_flow *flow, int to_fd, uint64_t *sent) {
    size_t there = divvy_relay_bytes_length(flow->bytes), length = flow->cleared < there ? (size_t)flow->cleared : there;
    int status = flow->outlet ? outlet_send(flow->outlet) : 0;

    if (status == 0)
        status = pipe_send(flow, to_fd, sent);
    if (status == 0 && length > 0) {
        status = flow->outlet && flow->outlet->ring ? outlet_put(flow->outlet, flow->bytes, length)
                                                    : bytes_send(flow->bytes, length, to_fd, sent);
        flow->cleared -= there - divvy_relay_bytes_length(flow->bytes);
    }
    if (status == 0 && flow->cleared == 0)
        status = bytes_send(&flow->control, divvy_relay_bytes_length(&flow->control), to_fd, sent);
    return status;
}

/* Bytes that came, 0 at the end, negative errno. */
static int64_t flow_read(struct divvy_relay_flow *flow, int from_fd) {
    bool is_memory = (flow->inlet && flow->inlet->ring) || (flow->outlet && flow->outlet->ring);
    int64_t got;

    if (!is_memory && flow->is_bulk && flow->cleared > 0 && divvy_relay_bytes_length(flow->bytes) == 0 && !flow->has_no_splice && pipe_have(flow)) {
        size_t length = flow->cleared < PIPE_BYTES ? (size_t)flow->cleared : PIPE_BYTES;

        do
            got = splice(from_fd, NULL, flow->pipe_fds[1], NULL, length, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        while (got < 0 && errno == EINTR);
        if (got >= 0 || errno != EINVAL) {
            flow->cleared -= got > 0 ? (uint64_t)got : 0;
            flow->piped += got > 0 ? (size_t)got : 0;
            return got < 0 ? -errno : got;
        }
        flow->has_no_splice = true;
    }
    got = flow->inlet ? divvy_relay_channel_receive(flow->inlet, flow->read_bytes)
                      : divvy_relay_bytes_receive(flow->bytes, from_fd, flow->read_bytes);
    if (got == (int64_t)flow->read_bytes && flow->read_bytes < READ_MOST_BYTES)
        flow->read_bytes *= 4;
    return got;
}

int divvy_relay_flow_move(struct divvy_relay_flow *flow, int from_fd, int to_fd, bool readable, uint64_t *moved, uint64_t *sent) {
    uint64_t before = *moved;

    for (;;) {
        int status = flow_clear(flow);
        int64_t got;

        if (status < 0)
            return status;
        status = flow_send(flow, to_fd, sent);
        flow->is_blocked = status == -EAGAIN;
        if (status < 0)
            return flow->is_blocked ? 0 : status;
        /* What was sent may have made way for a frame of the relay's own. */
        if (flow->cleared == 0 && divvy_relay_bytes_length(flow->bytes) >= sizeof(struct divvy_wire_header) && !flow->is_held &&
            flow_clear(flow) < 0)
            return -EPROTO;
        if (flow->cleared > 0 && divvy_relay_bytes_length(flow->bytes) > 0)
            continue;
        if (!readable || !divvy_relay_flow_can_read(flow) || *moved - before >= MOVE_BYTES)
            return 0;
        got = flow_read(flow, from_fd);
        if (got == -EAGAIN)
            return 0;
        flow->has_ended = got <= 0;
        if (got < 0 && got != -ECONNRESET)
            return (int)got;
        *moved += got > 0 ? (uint64_t)got : 0;
    }
}
