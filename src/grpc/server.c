/* The server's socket and connections: see server.h. What happens on a connection is in server_call.c. */
#include "grpc/server.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/unix_socket.h"
#include "core/clock.h"
#include "grpc/server_inside.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PAUSE_NS UINT64_C(100000000) /* when no descriptor is to be had */

static void connection_unlink(struct divvy_grpc_connection *connection) {
    for (struct divvy_grpc_connection **at = &connection->server->connections; *at; at = &(*at)->next)
        if (*at == connection) {
            *at = connection->next;
            connection->server->connection_count--;
            return;
        }
}

static void connection_over(struct divvy_grpc_link *link) {
    struct divvy_grpc_connection *connection = (struct divvy_grpc_connection *)link;

    divvy_grpc_connection_calls_end(connection);
    connection_unlink(connection);
}

static void connection_free(struct divvy_grpc_link *link) {
    free(link);
}

static void connection_end(struct divvy_grpc_connection *connection) {
    connection_over(&connection->link);
    divvy_grpc_link_end(&connection->link);
}

static bool peer_may(int fd) {
    struct ucred peer;
    socklen_t length = sizeof peer;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && (peer.uid == 0 || peer.uid == geteuid());
}

static void connection_new(struct divvy_grpc_server *server, int fd) {
    struct divvy_grpc_connection *connection;

    if (server->connection_count >= DIVVY_GRPC_CONNECTIONS || !peer_may(fd)) {
        divvy_log_warn("%s: a connection is refused: %s", server->address.sun_path,
                       server->connection_count >= DIVVY_GRPC_CONNECTIONS ? "there are too many" : "it is of another user");
        (void)close(fd);
        return;
    }
    connection = calloc(1, sizeof *connection);
    if (!connection) {
        (void)close(fd);
        return;
    }
    connection->server = server;
    connection->link.over = connection_over;
    connection->link.free = connection_free;
    connection->due_ns = divvy_core_clock_ns() + DIVVY_GRPC_HANDSHAKE_NS;
    if (divvy_grpc_connection_session_new(connection) < 0 || divvy_grpc_link_begin(&connection->link, server->loop, fd) < 0) {
        nghttp2_session_del(connection->link.session);
        free(connection);
        (void)close(fd);
        return;
    }
    connection->next = server->connections;
    server->connections = connection;
    server->connection_count++;
}

static void listen_ready(struct divvy_source *source, uint32_t events) {
    struct divvy_grpc_server *server = (struct divvy_grpc_server *)source;
    int fd;

    (void)events;
    while ((fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
        connection_new(server, fd);
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
        divvy_log_warn("%s: connections cannot be taken for now: %s", server->address.sun_path, strerror(errno));
        server->paused_until_ns = divvy_core_clock_ns() + PAUSE_NS;
        (void)divvy_loop_change(server->loop, &server->source, 0);
    }
}

/* --- the socket ----------------------------------------------------------------------------------------------------------- */

static int listen_begin(struct divvy_grpc_server *server, struct divvy_error *error) {
    const char *path = server->address.sun_path;
    cleanup_close int fd = divvy_unix_listen(path, 0600, error);
    int status;

    if (fd < 0)
        return fd;
    if (lstat(path, &server->socket_stat) < 0)
        return divvy_error_set_errno(error, -errno, "%s", path);
    server->source.fd = divvy_cleanup_keep(&fd);
    server->source.ready = listen_ready;
    status = divvy_loop_add(server->loop, &server->source, EPOLLIN);
    return status < 0 ? divvy_error_set_errno(error, status, "cannot wait for connections") : 0;
}

int divvy_grpc_server_is_there(const struct divvy_grpc_server *server) {
    struct stat found;

    return lstat(server->address.sun_path, &found) == 0 && found.st_ino == server->socket_stat.st_ino &&
           found.st_dev == server->socket_stat.st_dev;
}

static void later_free(struct divvy_later *later) {
    free((char *)later - offsetof(struct divvy_grpc_server, later));
}

int divvy_grpc_server_new(struct divvy_loop *loop, const struct divvy_grpc_server_options *options, struct divvy_grpc_server **ret_server,
                          struct divvy_error *error) {
    struct divvy_grpc_server *server;
    int status;

    if (strlen(options->path) >= sizeof server->address.sun_path)
        return divvy_error_set(error, -ENAMETOOLONG, "a socket's path has at most %zu bytes: %.150s", sizeof server->address.sun_path - 1,
                               options->path);
    server = calloc(1, sizeof *server);
    if (!server)
        return divvy_error_set_errno(error, -ENOMEM, "a gRPC server");
    server->loop = loop;
    server->methods = options->methods;
    server->method_count = options->method_count;
    server->data = options->data;
    server->source.fd = -1;
    server->later.run = later_free;
    server->address.sun_family = AF_UNIX;
    memcpy(server->address.sun_path, options->path, strlen(options->path) + 1);
    status = listen_begin(server, error);
    if (status < 0) {
        divvy_loop_close(loop, &server->source);
        free(server);
        return status;
    }
    *ret_server = server;
    return 0;
}

void divvy_grpc_server_free(struct divvy_grpc_server *server) {
    if (!server)
        return;
    while (server->connections)
        connection_end(server->connections);
    if (divvy_grpc_server_is_there(server))
        (void)unlink(server->address.sun_path);
    divvy_loop_close(server->loop, &server->source);
    divvy_loop_queue(server->loop, &server->later);
}

uint64_t divvy_grpc_server_tick(struct divvy_grpc_server *server, uint64_t now_ns) {
    struct divvy_grpc_connection *connection = server->connections, *next;
    uint64_t due_ns = UINT64_MAX;

    if (server->paused_until_ns && now_ns >= server->paused_until_ns) {
        server->paused_until_ns = 0;
        (void)divvy_loop_change(server->loop, &server->source, EPOLLIN);
    }
    if (server->paused_until_ns)
        due_ns = server->paused_until_ns;
    for (; connection; connection = next) {
        uint64_t calls_ns = divvy_grpc_connection_calls_tick(connection, now_ns);

        next = connection->next;
        if (!connection->spoke && now_ns >= connection->due_ns) {
            connection_end(connection);
            continue;
        }
        if (!connection->spoke && connection->due_ns < due_ns)
            due_ns = connection->due_ns;
        if (calls_ns < due_ns)
            due_ns = calls_ns;
    }
    return due_ns;
}
