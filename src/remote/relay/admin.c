/* The socket for administration: see admin.h. One request at a time and connection. */
#include "remote/relay/admin.h"

#include "base/unix_socket.h"
#include "remote/relay/relay.h"
#include "remote/relay/report.h"
#include "wire/vgpu/words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PEERS_MAX 16u

struct peer {
    struct divvy_source source;
    struct divvy_later dead;
    struct divvy_relay_admin *admin;
    struct peer *next;
    struct divvy_relay_bytes in, out;
    uint64_t sent;
    bool is_closed;
};

struct divvy_relay_admin {
    struct divvy_source listener;
    struct divvy_relay *relay;
    struct peer *peers;
    uint32_t peer_count;
    char path[DIVVY_RELAY_PATH_BYTES];
};

static void peer_free_late(struct divvy_later *later) {
    struct peer *peer = (struct peer *)(void *)((char *)later - offsetof(struct peer, dead));

    divvy_relay_bytes_done(&peer->in);
    divvy_relay_bytes_done(&peer->out);
    free(peer);
}

static void peer_close(struct peer *peer) {
    struct peer **link = &peer->admin->peers;

    if (peer->is_closed)
        return;
    peer->is_closed = true;
    while (*link != peer)
        link = &(*link)->next;
    *link = peer->next;
    peer->admin->peer_count--;
    divvy_loop_close(&peer->admin->relay->loop, &peer->source);
    peer->dead.run = peer_free_late;
    divvy_loop_queue(&peer->admin->relay->loop, &peer->dead);
}

static int quarantine(struct divvy_relay *relay, uint32_t vm_id, bool quarantined) {
    struct divvy_relay_vm *vm = divvy_relay_vm_by_id(relay, vm_id);

    if (!vm)
        return -ENOENT;
    divvy_relay_vm_quarantine(vm, quarantined);
    divvy_relay_state_note(vm);
    return 0;
}

static int reload(struct divvy_relay *relay, struct divvy_relay_bytes *text) {
    struct divvy_error error = {0};
    int status = relay->store ? divvy_relay_state_load(relay, &error) :
                                divvy_error_set(&error, -ENOTSUP, "this relay runs without a state file");

    return status < 0 && divvy_relay_bytes_append(text, error.text, strlen(error.text)) < 0 ? -ENOMEM : status;
}

static int command_run(struct divvy_relay *relay, uint32_t command, uint32_t parameter, struct divvy_relay_bytes *text) {
    switch (command) {
    case DIVVY_RELAY_ADMIN_METRICS:
        return parameter ? divvy_relay_report_prometheus(relay, text) : divvy_relay_report_metrics(relay, text);
    case DIVVY_RELAY_ADMIN_HEALTH:
        return divvy_relay_report_health(relay, text);
    case DIVVY_RELAY_ADMIN_RELOAD:
        return reload(relay, text);
    case DIVVY_RELAY_ADMIN_QUARANTINE:
    case DIVVY_RELAY_ADMIN_UNQUARANTINE:
        return quarantine(relay, parameter, command == DIVVY_RELAY_ADMIN_QUARANTINE);
    case DIVVY_RELAY_ADMIN_CONNECTIONS:
        return divvy_relay_report_connections(relay, text);
    default:
        return -EOPNOTSUPP;
    }
}

static int request_serve(struct peer *peer, const uint8_t *request) {
    struct divvy_relay_bytes text = {0};
    uint8_t reply[DIVVY_RELAY_ADMIN_REPLY_BYTES];
    int status = command_run(peer->admin->relay, divvy_wire_u32_get(request + 4), divvy_wire_u32_get(request + 8), &text);

    divvy_wire_u32_put(reply, DIVVY_RELAY_ADMIN_MAGIC);
    divvy_wire_u32_put(reply + 4, (uint32_t)-status);
    divvy_wire_u32_put(reply + 8, (uint32_t)divvy_relay_bytes_length(&text));
    status = divvy_relay_bytes_append(&peer->out, reply, sizeof reply);
    if (status == 0 && divvy_relay_bytes_length(&text) > 0)
        status = divvy_relay_bytes_append(&peer->out, divvy_relay_bytes_front(&text), divvy_relay_bytes_length(&text));
    divvy_relay_bytes_done(&text);
    return status;
}

/* One request is served when the answer to the one before is sent. */
static int peer_serve(struct peer *peer) {
    int status = 0;

    while (status == 0 && divvy_relay_bytes_length(&peer->out) == 0 &&
           divvy_relay_bytes_length(&peer->in) >= DIVVY_RELAY_ADMIN_REQUEST_BYTES) {
        uint8_t request[DIVVY_RELAY_ADMIN_REQUEST_BYTES];

        memcpy(request, divvy_relay_bytes_front(&peer->in), sizeof request);
        divvy_relay_bytes_consume(&peer->in, sizeof request);
        if (divvy_wire_u32_get(request) != DIVVY_RELAY_ADMIN_MAGIC)
            return -EPROTO;
        status = request_serve(peer, request);
        if (status == 0)
            status = divvy_relay_bytes_send(&peer->out, peer->source.fd, &peer->sent);
    }
    return status;
}

static void peer_ready(struct divvy_source *source, uint32_t events) {
    struct peer *peer = (struct peer *)(void *)source;
    bool waits = divvy_relay_bytes_length(&peer->out) > 0;
    int status = 0;

    if (peer->is_closed)
        return;
    if (waits)
        status = divvy_relay_bytes_send(&peer->out, source->fd, &peer->sent);
    else if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        int64_t got = divvy_relay_bytes_receive(&peer->in, source->fd, 4096);

        status = got > 0 || got == -EAGAIN ? 0 : -EPIPE;
    }
    if (status == 0)
        status = peer_serve(peer);
    if (status < 0 || ((events & EPOLLERR) && waits)) {
        peer_close(peer);
        return;
    }
    waits = divvy_relay_bytes_length(&peer->out) > 0;
    (void)divvy_loop_change(&peer->admin->relay->loop, &peer->source, waits ? EPOLLOUT : EPOLLIN);
}

static void listener_ready(struct divvy_source *source, uint32_t events) {
    struct divvy_relay_admin *admin = (struct divvy_relay_admin *)(void *)source;
    int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct peer *peer = fd < 0 || admin->peer_count >= PEERS_MAX ? NULL : calloc(1, sizeof *peer);

    (void)events;
    if (!peer) {
        if (fd >= 0)
            (void)close(fd);
        return;
    }
    peer->source = (struct divvy_source){.fd = fd, .ready = peer_ready};
    peer->admin = admin;
    if (divvy_loop_add(&admin->relay->loop, &peer->source, EPOLLIN) < 0) {
        (void)close(fd);
        free(peer);
        return;
    }
    peer->next = admin->peers;
    admin->peers = peer;
    admin->peer_count++;
}

int divvy_relay_admin_open(struct divvy_relay *relay, const char *path, struct divvy_relay_admin **ret_admin,
                           struct divvy_error *error) {
    struct divvy_relay_admin *admin;
    int fd = divvy_unix_listen(path, 0600, error), status;

    if (fd < 0)
        return fd;
    admin = calloc(1, sizeof *admin);
    if (!admin) {
        (void)close(fd);
        return divvy_error_set(error, -ENOMEM, "no memory");
    }
    admin->listener = (struct divvy_source){.fd = fd, .ready = listener_ready};
    admin->relay = relay;
    memcpy(admin->path, path, strlen(path) + 1); /* it fitted a socket's address */
    status = divvy_loop_add(&relay->loop, &admin->listener, EPOLLIN);
    if (status < 0) {
        divvy_relay_admin_close(admin);
        return divvy_error_set_errno(error, status, "the socket for administration");
    }
    *ret_admin = admin;
    return 0;
}

void divvy_relay_admin_close(struct divvy_relay_admin *admin) {
    if (!admin)
        return;
    while (admin->peers)
        peer_close(admin->peers);
    divvy_loop_close(&admin->relay->loop, &admin->listener);
    (void)unlink(admin->path);
    divvy_loop_turn(&admin->relay->loop, 0); /* what is to be freed after the turn */
    free(admin);
}
