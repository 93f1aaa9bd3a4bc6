/*
 * Frames of a VM's client, passed on to a worker as they are, over a connection of their own. Only headers are looked at, so that a
 * stream that is no stream of frames ends here. Each direction holds at most about a megabyte: who is slow is not read from.
 *
 * Where the hypervisor offers a line (virtio-serial), the line lasts while programs in the guest come and go. There a new hello, or
 * the first byte of another dialect, ends the conversation of the program before: what that one had at the worker is freed.
 */
#include "remote/relay/channel.h"
#include "wire/frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define READ_BYTES ((size_t)256 << 10)
#define HOLD_BYTES ((size_t)1 << 20)

struct divvy_relay_tunnel {
    struct divvy_source source; /* of the worker; first: the loop hands it back */
    struct divvy_later dead;
    struct divvy_relay_channel *channel; /* NULL: closed */
    struct divvy_relay_worker *worker;
    struct divvy_later again;    /* the next conversation, when all of this one is passed on */
    bool is_connecting, worker_ended, told_end;
    bool has_begun, is_replaced; /* a frame was seen; the next conversation begins at `known` */
    uint64_t connect_until_ns;
    uint64_t known; /* bytes from the front of what came from the client that are of frames whose header was looked at */
    uint32_t worker_events;
};

static struct divvy_loop *loop_of(const struct divvy_relay_channel *channel) {
    return &channel->vm->relay->loop;
}

static void tunnel_free_late(struct divvy_later *later) {
    free((char *)later - offsetof(struct divvy_relay_tunnel, dead));
}

void divvy_relay_tunnel_close(struct divvy_relay_channel *channel) {
    struct divvy_relay_tunnel *tunnel = channel->tunnel;

    if (!tunnel)
        return;
    channel->tunnel = NULL;
    tunnel->channel = NULL;
    divvy_loop_close(loop_of(channel), &tunnel->source);
    tunnel->dead.run = tunnel_free_late;
    divvy_loop_queue(loop_of(channel), &tunnel->dead);
}

/* Tells the client why its first request cannot be served; the connection ends behind it. */
static int refuse(struct divvy_relay_channel *channel, const struct divvy_wire_header *request, int32_t status) {
    const struct divvy_wire_header answer = {.magic = DIVVY_WIRE_MAGIC,
                                             .op = request->op,
                                             .flags = DIVVY_WIRE_ANSWER,
                                             .status = status,
                                             .id = request->id};

    divvy_relay_channel_put(channel, &answer, sizeof answer);
    return -ECONNREFUSED;
}

/* Whether somebody else's conversation begins at these bytes, the first ones behind a whole frame. */
static bool is_another(const struct divvy_relay_channel *channel, const char *bytes, size_t length) {
    struct divvy_wire_header header;

    if (!channel->vm->config.connects || !channel->tunnel->has_begun || length == 0)
        return false;
    if (divvy_wire_json_begins((unsigned char)bytes[0]) || bytes[0] == DIVVY_RELAY_GREETING_BYTE)
        return true;
    return length >= sizeof header && divvy_wire_header_read(bytes, DIVVY_WIRE_PAYLOAD_MAX_BYTES, &header) == 0 &&
           header.op == DIVVY_WIRE_OP_HELLO;
}

/* Looks at the headers of what came in. Negative: it is no stream of a client's frames. */
static int frames_check(struct divvy_relay_channel *channel) {
    struct divvy_relay_tunnel *tunnel = channel->tunnel;
    struct divvy_wire_header header;

    while (!tunnel->is_replaced && tunnel->known < divvy_relay_bytes_length(&channel->in)) {
        const char *next = divvy_relay_bytes_front(&channel->in) + tunnel->known;
        size_t there = divvy_relay_bytes_length(&channel->in) - (size_t)tunnel->known;
        int status;

        tunnel->is_replaced = is_another(channel, next, there);
        if (tunnel->is_replaced || there < sizeof header)
            break;
        status = divvy_wire_header_read(next, DIVVY_WIRE_PAYLOAD_MAX_BYTES, &header);

        if (status < 0 || (header.flags & DIVVY_WIRE_ANSWER)) {
            divvy_relay_channel_offence(channel, status == -EMSGSIZE ? "a frame that is too long" : "what is no frame of a client");
            return -EPROTO;
        }
        tunnel->has_begun = true;
        tunnel->known += sizeof header + header.length;
    }
    return 0;
}

/* Sends the worker what it may have of what came in. */
static int forward(struct divvy_relay_channel *channel) {
    struct divvy_relay_tunnel *tunnel = channel->tunnel;

    for (;;) {
        size_t there = divvy_relay_bytes_length(&channel->in), length = there < tunnel->known ? there : (size_t)tunnel->known;
        ssize_t put;

        if (tunnel->is_connecting || length == 0)
            break;
        put = send(tunnel->source.fd, divvy_relay_bytes_front(&channel->in), length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return errno == EAGAIN ? 0 : -errno;
        tunnel->known -= (uint64_t)put;
        divvy_relay_bytes_consume(&channel->in, (size_t)put);
    }
    if (channel->has_ended && !tunnel->told_end && !tunnel->is_connecting) {
        tunnel->told_end = true;
        (void)shutdown(tunnel->source.fd, SHUT_WR);
    }
    return 0;
}

static void watch(struct divvy_relay_channel *channel) {
    struct divvy_relay_tunnel *tunnel = channel->tunnel;
    size_t in = divvy_relay_bytes_length(&channel->in), out = divvy_relay_bytes_length(&channel->out);
    bool can_forward = in > 0 && tunnel->known > 0;
    uint32_t events = (!channel->has_ended && in < HOLD_BYTES ? EPOLLIN : 0) | (out > 0 ? EPOLLOUT : 0);
    uint32_t worker_events = (!tunnel->worker_ended && !tunnel->is_connecting && out < HOLD_BYTES ? EPOLLIN : 0) |
                             (tunnel->is_connecting || can_forward ? EPOLLOUT : 0);

    /* Through memory no events come; who has room looks. */
    if (events != channel->events && !channel->ring)
        (void)divvy_loop_change(loop_of(channel), &channel->source, events);
    if (!channel->ring)
        channel->events = events;
    if (worker_events != tunnel->worker_events)
        (void)divvy_loop_change(loop_of(channel), &tunnel->source, worker_events);
    tunnel->worker_events = worker_events;
}

static int backward_send(struct divvy_relay_channel *channel) {
    uint64_t before = channel->tx_bytes;
    int status = divvy_relay_channel_send(channel);

    channel->vm->tx_bytes += channel->tx_bytes - before;
    return status;
}

/* After anything that happened: sends on what can be, watches what is missing, or ends. */
static void settle(struct divvy_relay_channel *channel, int status) {
    struct divvy_relay_tunnel *tunnel = channel->tunnel;

    if (status == 0)
        status = forward(channel);
    /* A worker that is gone may have left answers: they are read before the end is seen. */
    if (status == -EPIPE || status == -ECONNRESET)
        status = tunnel->worker_ended ? -EPIPE : 0;
    if (status == 0)
        status = backward_send(channel);
    if (status == 0 && tunnel->is_replaced && tunnel->known == 0)
        divvy_loop_queue(loop_of(channel), &tunnel->again);
    else if (status < 0 || (tunnel->worker_ended && divvy_relay_bytes_length(&channel->out) == 0))
        divvy_relay_channel_close(channel);
    else
        watch(channel);
}

/* In a turn of the loop of its own: a guest may send any number of these. */
static void next_begin(struct divvy_later *later) {
    struct divvy_relay_tunnel *tunnel = (struct divvy_relay_tunnel *)(void *)((char *)later - offsetof(struct divvy_relay_tunnel, again));
    struct divvy_relay_channel *channel = tunnel->channel;

    if (!channel)
        return;
    divvy_relay_tunnel_close(channel);
    divvy_relay_channel_begin(channel);
}

void divvy_relay_tunnel_ready(struct divvy_relay_channel *channel, uint32_t events) {
    int status = 0;

    if (events & EPOLLIN) {
        int64_t got = divvy_relay_channel_receive(channel, READ_BYTES);

        if (got > 0) {
            channel->rx_bytes += (uint64_t)got;
            channel->vm->rx_bytes += (uint64_t)got;
            channel->moved_ns = divvy_core_clock_ns();
            status = frames_check(channel);
        } else if (got == 0) {
            channel->has_ended = true;
            if (divvy_relay_bytes_length(&channel->in) != channel->tunnel->known) {
                divvy_relay_channel_offence(channel, "a part of a frame");
                status = -EPROTO;
            }
        } else if (got != -EAGAIN)
            status = (int)got;
    } else if (events & (EPOLLHUP | EPOLLERR))
        status = -EPIPE;
    if (status < 0)
        divvy_relay_channel_close(channel);
    else
        settle(channel, 0);
}

static void unreachable(struct divvy_relay_channel *channel, int status) {
    struct divvy_wire_header first;

    divvy_relay_worker_failed(channel->vm->relay, channel->tunnel->worker, status);
    if (divvy_wire_header_read(divvy_relay_bytes_front(&channel->in), DIVVY_WIRE_PAYLOAD_MAX_BYTES, &first) == 0)
        (void)refuse(channel, &first, DIVVY_WIRE_STATUS_UNAVAILABLE);
    if (!channel->is_closed)
        divvy_relay_channel_close(channel);
}

static void worker_read(struct divvy_relay_channel *channel) {
    struct divvy_relay_tunnel *tunnel = channel->tunnel;
    int64_t got = divvy_relay_bytes_receive(&channel->out, tunnel->source.fd, READ_BYTES);

    if (got == -EAGAIN)
        return;
    if (got > 0)
        divvy_relay_worker_answered(channel->vm->relay, tunnel->worker);
    else
        tunnel->worker_ended = true;
}

static void worker_ready(struct divvy_source *source, uint32_t events) {
    struct divvy_relay_tunnel *tunnel = (struct divvy_relay_tunnel *)(void *)source;
    struct divvy_relay_channel *channel = tunnel->channel;
    int status = 0;
    socklen_t length = sizeof status;

    if (!channel)
        return;
    if (tunnel->is_connecting) {
        (void)getsockopt(tunnel->source.fd, SOL_SOCKET, SO_ERROR, &status, &length);
        if (status != 0) {
            unreachable(channel, -status);
            return;
        }
        tunnel->is_connecting = false;
    } else if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        worker_read(channel);
    settle(channel, 0);
}

int divvy_relay_tunnel_open(struct divvy_relay_channel *channel) {
    struct divvy_relay_vm *vm = channel->vm;
    struct divvy_relay_worker *worker;
    struct divvy_wire_header first;
    struct divvy_relay_tunnel *tunnel;
    int waits = 0, fd;

    if (divvy_relay_bytes_length(&channel->in) < sizeof first)
        return channel->has_ended ? -EPROTO : 0;
    if (divvy_wire_header_read(divvy_relay_bytes_front(&channel->in), DIVVY_WIRE_PAYLOAD_MAX_BYTES, &first) < 0 ||
        (first.flags & DIVVY_WIRE_ANSWER)) {
        divvy_relay_channel_offence(channel, "what is no frame of a client");
        return -EPROTO;
    }
    if (vm->config.quarantined)
        return refuse(channel, &first, DIVVY_WIRE_STATUS_REFUSED);
    worker = divvy_relay_worker_choose(vm);
    fd = worker ? divvy_relay_endpoint_connect(&worker->endpoint, &waits) : -ENOTCONN;
    if (fd < 0) {
        if (worker)
            divvy_relay_worker_failed(vm->relay, worker, fd);
        return refuse(channel, &first, DIVVY_WIRE_STATUS_UNAVAILABLE);
    }
    tunnel = calloc(1, sizeof *tunnel);
    if (!tunnel)
        return -ENOMEM;
    *tunnel = (struct divvy_relay_tunnel){.source = {.fd = fd, .ready = worker_ready},
                                          .again = {.run = next_begin},
                                          .channel = channel,
                                          .worker = worker,
                                          .is_connecting = waits,
                                          .worker_events = waits ? EPOLLOUT : EPOLLIN,
                                          .connect_until_ns = divvy_core_clock_ns() + vm->relay->settings.connect_timeout_ns};
    channel->tunnel = tunnel;
    divvy_relay_deadline(vm->relay, tunnel->connect_until_ns);
    if (divvy_loop_add(loop_of(channel), &tunnel->source, tunnel->worker_events) < 0 || frames_check(channel) < 0) {
        divvy_relay_channel_close(channel);
        return 0;
    }
    divvy_relay_vm_received(vm);
    settle(channel, 0);
    return 0;
}

void divvy_relay_tunnel_tick(struct divvy_relay_channel *channel, uint64_t now_ns, uint64_t *next_ns) {
    const struct divvy_relay_tunnel *tunnel = channel->tunnel;
    size_t there = divvy_relay_bytes_length(&channel->in);

    if (there > 0 && there < HOLD_BYTES && there < tunnel->known &&
        now_ns >= channel->moved_ns + channel->vm->relay->settings.partial_timeout_ns) {
        divvy_relay_channel_offence(channel, "a frame that does not go on");
        divvy_relay_channel_close(channel);
        return;
    }
    if (!tunnel->is_connecting)
        return;
    if (now_ns >= tunnel->connect_until_ns)
        unreachable(channel, -ETIMEDOUT);
    else if (tunnel->connect_until_ns < *next_ns)
        *next_ns = tunnel->connect_until_ns;
}
