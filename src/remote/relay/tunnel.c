/*
 * Frames of a VM's client, passed on to a worker over a connection of their own. Only headers are looked at: so that a stream that is
 * no stream of frames ends here, and to know when the client uses the GPU. Each direction holds at most about a megabyte: who is slow
 * is not read from.
 *
 * Where the hypervisor offers a line (virtio-serial), the line lasts while programs in the guest come and go. There a new hello, or
 * the first byte of another dialect, ends the conversation of the program before: what that one had at the worker is freed.
 */
#include "remote/relay/tunnel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_BYTES (2 << 20) /* of sockets: fewer wake-ups for long copies */

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
    divvy_relay_turn_close(tunnel);
    channel->tunnel = NULL;
    tunnel->channel = NULL;
    tunnel->worker->tunnels--;
    divvy_relay_flow_done(&tunnel->forward);
    divvy_relay_flow_done(&tunnel->backward);
    divvy_relay_bytes_done(&tunnel->answers);
    divvy_loop_close(loop_of(channel), &tunnel->source);
    tunnel->dead.run = tunnel_free_late;
    divvy_loop_queue(loop_of(channel), &tunnel->dead);
}

const struct divvy_relay_worker *divvy_relay_tunnel_worker(const struct divvy_relay_channel *channel) {
    return channel->tunnel->worker;
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

/* --- what is in the headers ------------------------------------------------------------------------------------ */

static enum divvy_relay_verdict request_judge(struct divvy_relay_tunnel *tunnel, const struct divvy_wire_header *header) {
    return header->flags & DIVVY_WIRE_ANSWER ? DIVVY_RELAY_BAD : divvy_relay_turn_request(tunnel, header);
}

static enum divvy_relay_verdict answer_judge(struct divvy_relay_tunnel *tunnel, const struct divvy_wire_header *header) {
    if (!(header->flags & DIVVY_WIRE_ANSWER))
        return DIVVY_RELAY_BAD;
    if (header->op == DIVVY_WIRE_OP_DRAIN)
        return header->length <= DIVVY_WIRE_PAYLOAD_HELLO_BYTES ? DIVVY_RELAY_DROP : DIVVY_RELAY_BAD;
    divvy_relay_turn_answer(tunnel, header);
    return DIVVY_RELAY_PASS;
}

/* Whether somebody else's conversation begins at these bytes. */
static bool is_another(const struct divvy_relay_tunnel *tunnel, const char *bytes, size_t length) {
    struct divvy_wire_header header;

    if (!tunnel->channel->vm->config.connects)
        return false;
    if (divvy_wire_json_begins((unsigned char)bytes[0]) || bytes[0] == DIVVY_RELAY_GREETING_BYTE)
        return true;
    return length >= sizeof header && divvy_wire_header_read(bytes, DIVVY_WIRE_PAYLOAD_MAX_BYTES, &header) == 0 &&
           header.op == DIVVY_WIRE_OP_HELLO;
}

/* In a turn of the loop of its own: a guest may send any number of these. */
static void next_begin(struct divvy_later *later) {
    struct divvy_relay_tunnel *tunnel = (struct divvy_relay_tunnel *)(void *)((char *)later - offsetof(struct divvy_relay_tunnel, again));
    struct divvy_relay_channel *channel = tunnel->channel;

    if (!channel)
        return;
    /* Frames that were begun are sent to their end. */
    (void)divvy_relay_bytes_append(&channel->out, tunnel->answers.data ? divvy_relay_bytes_front(&tunnel->answers) : "",
                                   divvy_relay_flow_is_partial(&tunnel->backward) ? divvy_relay_bytes_length(&tunnel->answers)
                                                                                  : (size_t)tunnel->backward.cleared);
    divvy_relay_tunnel_close(channel);
    divvy_relay_channel_begin(channel);
}

/* --- bytes ------------------------------------------------------------------------------------------------------- */

static void watch(struct divvy_relay_tunnel *tunnel) {
    struct divvy_relay_channel *channel = tunnel->channel;
    const struct divvy_relay_flow *forward = &tunnel->forward, *backward = &tunnel->backward;
    uint32_t events = (divvy_relay_flow_can_read(forward) && !tunnel->is_connecting ? EPOLLIN : 0) |
                      (backward->is_blocked ? EPOLLOUT : 0);
    uint32_t worker_events = (divvy_relay_flow_can_read(backward) && !tunnel->is_connecting ? EPOLLIN : 0) |
                             (tunnel->is_connecting || forward->is_blocked ? EPOLLOUT : 0);

    /* Through memory no events come; who has room looks. */
    if (events != channel->events && !channel->ring) {
        (void)divvy_loop_change(loop_of(channel), &channel->source, events);
        channel->events = events;
    }
    if (worker_events != tunnel->worker_events && tunnel->source.fd >= 0)
        (void)divvy_loop_change(loop_of(channel), &tunnel->source, worker_events);
    tunnel->worker_events = worker_events;
}

static int forward(struct divvy_relay_tunnel *tunnel, bool readable) {
    struct divvy_relay_channel *channel = tunnel->channel;
    struct divvy_relay_flow *flow = &tunnel->forward;
    uint64_t moved = 0, sent = 0;
    int status;

    if (tunnel->is_connecting || tunnel->source.fd < 0)
        return 0;
    status = divvy_relay_flow_move(flow, channel->source.fd, tunnel->source.fd, readable, &moved, &sent);
    channel->rx_bytes += moved;
    channel->vm->rx_bytes += moved;
    if (moved > 0 || sent > 0)
        channel->moved_ns = tunnel->turn.moved_ns = divvy_core_clock_ns();
    if (status == -EPROTO) {
        divvy_relay_channel_offence(channel, "what is no frame of a client");
        return status;
    }
    if (status == 0 && flow->has_ended && !flow->is_held && !flow->is_blocked && !tunnel->told_end) {
        if (!divvy_relay_flow_is_empty(flow) || divvy_relay_flow_is_partial(flow)) {
            divvy_relay_channel_offence(channel, "a part of a frame");
            return -EPROTO;
        }
        tunnel->told_end = true;
        (void)shutdown(tunnel->source.fd, SHUT_WR);
    }
    /* A worker that is gone may have left answers: they are read before the end is seen. */
    return status == -EPIPE || status == -ECONNRESET ? 0 : status;
}

static int backward(struct divvy_relay_tunnel *tunnel, bool readable) {
    struct divvy_relay_channel *channel = tunnel->channel;
    struct divvy_relay_flow *flow = &tunnel->backward;
    uint64_t before = channel->tx_bytes, moved = 0, sent = 0;
    int status;

    if (tunnel->is_connecting)
        return 0;
    status = divvy_relay_flow_move(flow, tunnel->source.fd, channel->source.fd, readable, &moved, &sent);
    channel->tx_bytes += sent;
    channel->vm->tx_bytes += channel->tx_bytes - before;
    if (moved > 0 || channel->tx_bytes > before)
        tunnel->turn.moved_ns = divvy_core_clock_ns();
    if (moved > 0)
        divvy_relay_worker_answered(channel->vm->relay, tunnel->worker);
    /* It would be reported as gone again and again while the client takes what is left. */
    if (flow->has_ended)
        divvy_loop_close(loop_of(channel), &tunnel->source);
    return status;
}

/* Answers first: they may end a turn, and others may begin. */
static void move(struct divvy_relay_tunnel *tunnel, bool from_client, bool from_worker) {
    struct divvy_relay_channel *channel = tunnel->channel;
    int status = backward(tunnel, from_worker);

    if (status == 0)
        status = forward(tunnel, from_client);
    if (status == 0 && divvy_relay_turn_settle(tunnel))
        status = forward(tunnel, false);
    if (status == 0 && tunnel->forward.is_replaced && tunnel->forward.cleared == 0 && tunnel->forward.piped == 0)
        divvy_loop_queue(loop_of(channel), &tunnel->again);
    else if (status < 0 || tunnel->turn.is_over || 
        (tunnel->backward.has_ended && divvy_relay_flow_is_empty(&tunnel->backward) && divvy_relay_bytes_length(&channel->out) == 0))
        divvy_relay_channel_close(channel);
    else
        watch(tunnel);
}

void divvy_relay_tunnel_settle(struct divvy_relay_tunnel *tunnel) {
    move(tunnel, false, false);
}

void divvy_relay_tunnel_ready(struct divvy_relay_channel *channel, uint32_t events) {
    if ((events & (EPOLLHUP | EPOLLERR)) && !(events & EPOLLIN))
        divvy_relay_channel_close(channel); /* nobody is there who would take an answer */
    else
        move(channel->tunnel, events & EPOLLIN, false);
}

static void unreachable(struct divvy_relay_channel *channel, int status) {
    struct divvy_wire_header first;

    divvy_relay_worker_failed(channel->vm->relay, channel->tunnel->worker, status);
    if (divvy_wire_header_read(divvy_relay_bytes_front(&channel->in), DIVVY_WIRE_PAYLOAD_MAX_BYTES, &first) == 0)
        (void)refuse(channel, &first, DIVVY_WIRE_STATUS_UNAVAILABLE);
    if (!channel->is_closed)
        divvy_relay_channel_close(channel);
}

static void worker_ready(struct divvy_source *source, uint32_t events) {
    struct divvy_relay_tunnel *tunnel = (struct divvy_relay_tunnel *)(void *)source;
    struct divvy_relay_channel *channel = tunnel->channel;
    int status = 0;
    socklen_t length = sizeof status;

    if (!channel || tunnel->source.fd < 0)
        return;
    if (tunnel->is_connecting) {
        (void)getsockopt(tunnel->source.fd, SOL_SOCKET, SO_ERROR, &status, &length);
        if (status != 0) {
            unreachable(channel, -status);
            return;
        }
        tunnel->is_connecting = false;
    }
    move(tunnel, false, events & (EPOLLIN | EPOLLHUP | EPOLLERR));
}

/* --- beginning ------------------------------------------------------------------------------------------------------ */

static int tunnel_begin(struct divvy_relay_channel *channel, struct divvy_relay_worker *worker, int fd, bool waits) {
    struct divvy_relay_tunnel *tunnel = calloc(1, sizeof *tunnel);
    const int size = BUFFER_BYTES;

    if (!tunnel) {
        (void)close(fd);
        return -ENOMEM;
    }
    *tunnel = (struct divvy_relay_tunnel){.source = {.fd = fd, .ready = worker_ready},
                                          .again = {.run = next_begin},
                                          .channel = channel,
                                          .worker = worker,
                                          .is_connecting = waits,
                                          .worker_events = waits ? EPOLLOUT : EPOLLIN,
                                          .connect_until_ns = divvy_core_clock_ns() + channel->vm->relay->settings.connect_timeout_ns};
    worker->tunnels++;
    divvy_relay_flow_init(&tunnel->forward, tunnel, &channel->in, request_judge);
    tunnel->forward.is_another = is_another;
    tunnel->forward.inlet = channel;
    divvy_relay_flow_init(&tunnel->backward, tunnel, &tunnel->answers, answer_judge);
    tunnel->backward.outlet = channel;
    divvy_relay_turn_init(tunnel);
    channel->tunnel = tunnel;
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    (void)setsockopt(channel->source.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    divvy_relay_deadline(channel->vm->relay, tunnel->connect_until_ns);
    if (divvy_loop_add(loop_of(channel), &tunnel->source, tunnel->worker_events) < 0) {
        divvy_relay_channel_close(channel);
        return 0;
    }
    divvy_relay_vm_received(channel->vm);
    move(tunnel, false, false);
    return 0;
}

int divvy_relay_tunnel_open(struct divvy_relay_channel *channel) {
    struct divvy_relay_vm *vm = channel->vm;
    struct divvy_relay_worker *worker;
    struct divvy_wire_header first;
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
    return tunnel_begin(channel, worker, fd, waits);
}

void divvy_relay_tunnel_tick(struct divvy_relay_channel *channel, uint64_t now_ns, uint64_t *next_ns) {
    struct divvy_relay_tunnel *tunnel = channel->tunnel;
    uint64_t deadline_ns = tunnel->connect_until_ns;

    if (tunnel->is_connecting) {
        if (now_ns >= tunnel->connect_until_ns) {
            unreachable(channel, -ETIMEDOUT);
            return;
        }
    } else {
        if ((divvy_relay_flow_is_partial(&tunnel->forward) || tunnel->forward.is_short) && !tunnel->forward.is_blocked &&
            now_ns >= channel->moved_ns + channel->vm->relay->settings.partial_timeout_ns) {
            divvy_relay_channel_offence(channel, "a frame that does not go on");
            divvy_relay_channel_close(channel);
            return;
        }
        if (now_ns >= tunnel->turn.deadline_ns || tunnel->turn.state == DIVVY_RELAY_TURN_HAS)
            divvy_relay_tunnel_settle(tunnel);
        if (channel->is_closed)
            return;
        deadline_ns = tunnel->turn.deadline_ns;
    }
    if (deadline_ns < *next_ns)
        *next_ns = deadline_ns;
}
