/* Sockets of VMs: see channel.h. */
#include "remote/relay/channel.h"

#include "base/unix_socket.h"
#include "remote/relay/monitor.h"
#include "remote/relay/ring.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES   ((size_t)256 << 10)
#define RECONNECT_NS (100 * DIVVY_NS_PER_MS)

struct divvy_relay_channel *divvy_relay_channel_of(struct divvy_relay_front *front) {
    return (struct divvy_relay_channel *)(void *)((char *)front - offsetof(struct divvy_relay_channel, front));
}

/* --- what is told of a VM ------------------------------------------------------------------------------------- */

void divvy_relay_vm_received(struct divvy_relay_vm *vm) {
    if (divvy_log_enabled(DIVVY_LOG_INFO))
        divvy_log_write(&vm->received_site, DIVVY_LOG_INFO, NULL, 0, "Received GPU request from VM-%s", vm->config.name);
}

void divvy_relay_vm_sent(struct divvy_relay_vm *vm) {
    if (divvy_log_enabled(DIVVY_LOG_INFO))
        divvy_log_write(&vm->sent_site, DIVVY_LOG_INFO, NULL, 0, "Sent response to VM %s", vm->config.name);
}

void divvy_relay_channel_offence(struct divvy_relay_channel *channel, const char *what) {
    struct divvy_relay_vm *vm = channel->vm;

    divvy_log_write(&vm->offence_site, DIVVY_LOG_WARN, NULL, 0, "VM-%s (id %u) sent %s: its connection is closed", vm->config.name,
                    vm->config.vm_id, what);
}

/* --- a connection ------------------------------------------------------------------------------------------------ */

static void channel_free_late(struct divvy_later *later) {
    struct divvy_relay_channel *channel =
        (struct divvy_relay_channel *)(void *)((char *)later - offsetof(struct divvy_relay_channel, dead));

    divvy_relay_bytes_done(&channel->in);
    divvy_relay_bytes_done(&channel->out);
    free(channel);
}

/* Keeps the VM's account of what lies in the channel. */
static void channel_count(struct divvy_relay_channel *channel) {
    uint64_t there = divvy_relay_bytes_length(&channel->in);

    channel->vm->bytes += there - channel->counted;
    channel->vm->relay->bytes += there - channel->counted;
    channel->counted = there;
}

void divvy_relay_channel_close(struct divvy_relay_channel *channel) {
    struct divvy_relay_vm *vm = channel->vm;
    struct divvy_relay_channel **link = &vm->channels;

    if (channel->is_closed)
        return;
    channel->is_closed = true;
    divvy_relay_ring_leave(channel);
    divvy_relay_tunnel_close(channel);
    divvy_loop_close(&vm->relay->loop, &channel->source);
    divvy_relay_bytes_done(&channel->in);
    channel_count(channel);
    if (channel->outstanding > 0)
        divvy_relay_front_leave(vm, &channel->front);
    while (*link != channel)
        link = &(*link)->next;
    *link = channel->next;
    vm->channel_count--;
    if (vm->config.connects && !vm->is_going) {
        vm->connect_at_ns = divvy_core_clock_ns() + RECONNECT_NS;
        divvy_relay_deadline(vm->relay, vm->connect_at_ns);
    }
    channel->dead.run = channel_free_late;
    divvy_loop_queue(&vm->relay->loop, &channel->dead);
}

void divvy_relay_channel_watch(struct divvy_relay_channel *channel) {
    size_t waits = divvy_relay_bytes_length(&channel->out);
    uint32_t events = waits > 0 ? EPOLLOUT : 0;

    if (channel->is_closed || channel->tunnel || channel->ring)
        return;
    if (!channel->has_ended && !channel->is_ending && waits < DIVVY_RELAY_OUT_BYTES)
        events |= EPOLLIN;
    if (events == channel->events)
        return;
    channel->events = events;
    (void)divvy_loop_change(&channel->vm->relay->loop, &channel->source, events);
}

/* Whether a connection has no more to do, and its end. */
static void channel_settle(struct divvy_relay_channel *channel) {
    if (channel->is_closed)
        return;
    if ((channel->is_ending || (channel->has_ended && channel->outstanding == 0)) &&
        divvy_relay_bytes_length(&channel->out) == 0)
        divvy_relay_channel_close(channel);
    else
        divvy_relay_channel_watch(channel);
}

int64_t divvy_relay_channel_receive(struct divvy_relay_channel *channel, size_t length) {
    return channel->ring ? divvy_relay_ring_receive(channel, length)
                         : divvy_relay_bytes_receive(&channel->in, channel->source.fd, length);
}

int divvy_relay_channel_send(struct divvy_relay_channel *channel) {
    return channel->ring ? divvy_relay_ring_send(channel)
                         : divvy_relay_bytes_send(&channel->out, channel->source.fd, &channel->tx_bytes);
}

void divvy_relay_channel_reset(struct divvy_relay_channel *channel) {
    divvy_relay_tunnel_close(channel);
    divvy_relay_bytes_done(&channel->in);
    divvy_relay_bytes_done(&channel->out);
    channel_count(channel);
    if (channel->outstanding > 0)
        divvy_relay_front_leave(channel->vm, &channel->front);
    channel->outstanding = 0;
    channel->dialect = NULL;
    channel->json = (struct divvy_wire_json_frame){0};
    channel->looked_at = 0;
    channel->is_ending = channel->has_ended = false;
}

void divvy_relay_channel_put(struct divvy_relay_channel *channel, const void *bytes, size_t length) {
    uint64_t sent = channel->tx_bytes;

    if (channel->is_closed)
        return;
    if (divvy_relay_bytes_append(&channel->out, bytes, length) < 0 ||
        divvy_relay_channel_send(channel) < 0) {
        divvy_relay_channel_close(channel);
        return;
    }
    channel->vm->tx_bytes += channel->tx_bytes - sent;
    divvy_relay_channel_watch(channel);
}

void divvy_relay_channel_submit(struct divvy_relay_channel *channel, const struct divvy_relay_job *model,
                                struct divvy_relay_bytes *request) {
    channel->outstanding++;
    divvy_relay_vm_received(channel->vm);
    channel_count(channel); /* before the job is counted: the bytes may be the same */
    divvy_relay_submit(channel->vm, &channel->front, model, request);
}

static void front_answer(struct divvy_relay_front *front, const struct divvy_relay_job *job, const char *json, size_t length) {
    struct divvy_relay_channel *channel = divvy_relay_channel_of(front);

    channel->outstanding--;
    channel->dialect->front.answer(front, job, json, length);
    divvy_relay_vm_sent(channel->vm);
    channel_settle(channel);
}

static void front_refuse(struct divvy_relay_front *front, const struct divvy_relay_job *job, uint32_t code, const char *message) {
    struct divvy_relay_channel *channel = divvy_relay_channel_of(front);

    channel->outstanding--;
    channel->dialect->front.refuse(front, job, code, message);
    divvy_relay_vm_sent(channel->vm);
    channel_settle(channel);
}

static int dialect_find(struct divvy_relay_channel *channel) {
    switch (divvy_relay_bytes_front(&channel->in)[0]) {
    case 'D':
        return divvy_relay_tunnel_open(channel);
    case DIVVY_RELAY_GREETING_BYTE:
        if (!channel->ring)
            return divvy_relay_ring_begin(channel);
        channel->dialect = &divvy_relay_dialect_json;
        return 0;
    case 'U':
        channel->dialect = &divvy_relay_dialect_vgpu;
        return 0;
    default:
        channel->dialect = &divvy_relay_dialect_json;
        return 0;
    }
}

/*
 * On a line that outlasts the programs of a guest one that speaks frames may come after one that spoke JSON: what the former asked
 * for and nobody waits for any more is dropped.
 */
static void json_leave(struct divvy_relay_channel *channel) {
    while (divvy_relay_bytes_length(&channel->in) > 0 && isspace((unsigned char)divvy_relay_bytes_front(&channel->in)[0]))
        divvy_relay_bytes_consume(&channel->in, 1);
    if (divvy_relay_bytes_length(&channel->in) == 0 || (divvy_relay_bytes_front(&channel->in)[0] != 'D' &&
                                                        divvy_relay_bytes_front(&channel->in)[0] != DIVVY_RELAY_GREETING_BYTE))
        return;
    divvy_relay_front_leave(channel->vm, &channel->front);
    channel->outstanding = 0;
    channel->dialect = NULL;
}

static void channel_take(struct divvy_relay_channel *channel) {
    int status = 0;

    if (channel->vm->config.connects && channel->dialect == &divvy_relay_dialect_json && channel->looked_at == 0)
        json_leave(channel);
    if (!channel->dialect && divvy_relay_bytes_length(&channel->in) > 0)
        status = dialect_find(channel);
    if (status == 0 && channel->dialect && !channel->is_closed)
        status = channel->dialect->take(channel);
    if (channel->is_closed)
        return;
    if (status < 0) {
        channel->is_ending = true;
        divvy_relay_bytes_done(&channel->in);
    }
    channel_count(channel);
    if (channel->vm->bytes > DIVVY_RELAY_VM_BYTES || channel->vm->relay->bytes > DIVVY_RELAY_ALL_BYTES) {
        divvy_relay_channel_offence(channel, "more at a time than it may");
        divvy_relay_channel_close(channel);
    }
}

void divvy_relay_channel_begin(struct divvy_relay_channel *channel) {
    channel->dialect = NULL;
    channel_take(channel);
    channel_settle(channel);
}

static void channel_read(struct divvy_relay_channel *channel) {
    int64_t got = divvy_relay_channel_receive(channel, READ_BYTES);

    if (got == -EAGAIN)
        return;
    if (got < 0) {
        divvy_relay_channel_close(channel);
        return;
    }
    channel->has_ended = got == 0;
    channel->moved_ns = divvy_core_clock_ns();
    channel->rx_bytes += (uint64_t)got;
    channel->vm->rx_bytes += (uint64_t)got;
    channel_take(channel);
}

void divvy_relay_channel_moved(struct divvy_relay_channel *channel, uint32_t events) {
    if (channel->is_closed)
        return;
    if (channel->tunnel) {
        divvy_relay_tunnel_ready(channel, events);
        return;
    }
    if (!(events & EPOLLIN) || (events & EPOLLOUT))
        divvy_relay_channel_put(channel, NULL, 0);
    if (!channel->is_closed && (events & EPOLLIN))
        channel_read(channel);
    /* The peer is gone, and nothing more can be read or will be. */
    if (!channel->is_closed && (events & (EPOLLHUP | EPOLLERR)) && !(events & EPOLLIN))
        divvy_relay_channel_close(channel);
    channel_settle(channel);
}

static void channel_ready(struct divvy_source *source, uint32_t events) {
    struct divvy_relay_channel *channel = (struct divvy_relay_channel *)(void *)source;

    if (channel->ring && !channel->is_closed)
        divvy_relay_ring_ready(channel, events);
    else
        divvy_relay_channel_moved(channel, events);
}

static void channel_open(struct divvy_relay_vm *vm, int fd) {
    struct divvy_relay_channel *channel = calloc(1, sizeof *channel);

    if (!channel) {
        (void)close(fd);
        return;
    }
    channel->source = (struct divvy_source){.fd = fd, .ready = channel_ready};
    channel->front = (struct divvy_relay_front){front_answer, front_refuse};
    channel->vm = vm;
    channel->events = EPOLLIN;
    channel->opened_ns = channel->moved_ns = divvy_core_clock_ns();
    if (divvy_loop_add(&vm->relay->loop, &channel->source, EPOLLIN) < 0) {
        (void)close(fd);
        free(channel);
        return;
    }
    channel->next = vm->channels;
    vm->channels = channel;
    vm->channel_count++;
}

/* --- a VM's socket -------------------------------------------------------------------------------------------------- */

static void listener_ready(struct divvy_source *source, uint32_t events) {
    struct divvy_relay_vm *vm = (struct divvy_relay_vm *)(void *)((char *)source - offsetof(struct divvy_relay_vm, listener));
    int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    (void)events;
    if (fd < 0)
        return;
    if (vm->channel_count < DIVVY_RELAY_CHANNELS_MAX) {
        channel_open(vm, fd);
        return;
    }
    divvy_log_write(&vm->offence_site, DIVVY_LOG_WARN, NULL, 0, "VM-%s has %u connections: one more is refused", vm->config.name,
                    DIVVY_RELAY_CHANNELS_MAX);
    (void)close(fd);
}

static void vm_connect(struct divvy_relay_vm *vm) {
    struct divvy_relay_endpoint endpoint;
    char text[DIVVY_RELAY_PATH_BYTES + 8];
    int waits, fd;

    (void)snprintf(text, sizeof text, "unix:%s", vm->config.socket);
    fd = divvy_relay_endpoint_parse(text, &endpoint, NULL) < 0 ? -EINVAL : divvy_relay_endpoint_connect(&endpoint, &waits);
    if (fd < 0) {
        vm->connect_at_ns = divvy_core_clock_ns() + RECONNECT_NS;
        return;
    }
    vm->connect_at_ns = 0;
    channel_open(vm, fd);
}

int divvy_relay_vm_listen(struct divvy_relay_vm *vm, struct divvy_error *error) {
    int fd, status;

    vm->listener = (struct divvy_source){.fd = -1, .ready = listener_ready};
    vm->connect_at_ns = 0;
    if (!vm->config.socket[0])
        return 0;
    if (vm->config.connects) {
        vm_connect(vm);
        return divvy_relay_monitor_open(vm, error);
    }
    fd = divvy_unix_listen(vm->config.socket, 0600, error);
    if (fd < 0)
        return fd;
    vm->listener.fd = fd;
    status = divvy_loop_add(&vm->relay->loop, &vm->listener, EPOLLIN);
    if (status < 0) {
        divvy_loop_close(&vm->relay->loop, &vm->listener);
        return divvy_error_set_errno(error, status, "VM %s", vm->config.name);
    }
    return 0;
}

void divvy_relay_vm_close(struct divvy_relay_vm *vm) {
    if (vm->listener.fd >= 0)
        (void)unlink(vm->config.socket);
    divvy_loop_close(&vm->relay->loop, &vm->listener);
    divvy_relay_monitor_close(vm);
    while (vm->channels)
        divvy_relay_channel_close(vm->channels);
    vm->connect_at_ns = 0;
}

void divvy_relay_channels_quarantined(struct divvy_relay_vm *vm) {
    struct divvy_relay_channel *next;

    for (struct divvy_relay_channel *channel = vm->channels; channel; channel = next) {
        next = channel->next;
        if ((channel->tunnel || divvy_relay_ring_is_handed_over(channel)) && vm->config.quarantined)
            divvy_relay_channel_close(channel);
    }
}

void divvy_relay_channels_misplaced(struct divvy_relay_vm *vm) {
    struct divvy_relay_channel *next;

    for (struct divvy_relay_channel *channel = vm->channels; channel; channel = next) {
        const struct divvy_relay_worker *worker = channel->tunnel ? divvy_relay_tunnel_worker(channel) : divvy_relay_ring_worker(channel);

        next = channel->next;
        if (!worker || divvy_relay_worker_serves(vm->relay, worker, vm->config.params.pool))
            continue;
        divvy_log_info("VM-%s: a connection to worker %s ends: it does not serve the VM's pool any more", vm->config.name,
                       worker->endpoint.text);
        divvy_relay_channel_close(channel);
    }
}

static bool has_left(const struct divvy_relay_channel *channel) {
    return channel->tunnel || channel->ring || channel->outstanding > 0 || divvy_relay_bytes_length(&channel->in) > 0 ||
           divvy_relay_bytes_length(&channel->out) > 0;
}

bool divvy_relay_channels_have_left(const struct divvy_relay_vm *vm) {
    for (const struct divvy_relay_channel *channel = vm->channels; channel; channel = channel->next)
        if (has_left(channel))
            return true;
    return false;
}

void divvy_relay_channels_hung_up(struct divvy_relay_vm *vm) {
    struct divvy_relay_channel *next;

    for (struct divvy_relay_channel *channel = vm->channels; channel; channel = next) {
        next = channel->next;
        if (!has_left(channel))
            continue;
        divvy_log_info("VM-%s: the program at its port has ended: what it had is freed", vm->config.name);
        divvy_relay_channel_close(channel);
        vm_connect(vm);
    }
}

void divvy_relay_channels_tick(struct divvy_relay_vm *vm, uint64_t now_ns, uint64_t *next_ns) {
    struct divvy_relay_channel *next;

    divvy_relay_monitor_tick(vm, now_ns, next_ns);
    if (vm->connect_at_ns != 0 && now_ns >= vm->connect_at_ns)
        vm_connect(vm);
    if (vm->connect_at_ns != 0 && vm->connect_at_ns < *next_ns)
        *next_ns = vm->connect_at_ns;
    for (struct divvy_relay_channel *channel = vm->channels; channel; channel = next) {
        next = channel->next;
        if (channel->tunnel) {
            divvy_relay_tunnel_tick(channel, now_ns, next_ns);
            continue;
        }
        if (divvy_relay_bytes_length(&channel->in) == 0 ||
            now_ns < channel->moved_ns + vm->relay->settings.partial_timeout_ns)
            continue;
        divvy_relay_channel_offence(channel, "a request that does not go on");
        divvy_relay_channel_close(channel);
    }
}
