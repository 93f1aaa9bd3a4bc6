/* The server from inside: for server.c and server_call.c only. */
#ifndef DIVVY_GRPC_SERVER_INSIDE_H
#define DIVVY_GRPC_SERVER_INSIDE_H

#include "grpc/link.h"
#include "grpc/message.h"
#include "grpc/server.h"

#include <sys/stat.h>
#include <sys/un.h>

struct divvy_grpc_server {
    struct divvy_source source; /* first: the listening socket */
    struct divvy_later later;   /* frees it */
    struct divvy_loop *loop;
    const struct divvy_grpc_method *methods;
    size_t method_count;
    void *data;
    struct sockaddr_un address;
    struct stat socket_stat;
    uint64_t paused_until_ns; /* no connections are taken; 0 they are */
    struct divvy_grpc_connection *connections;
    uint32_t connection_count;
};

struct divvy_grpc_connection {
    struct divvy_grpc_link link; /* first */
    struct divvy_grpc_connection *next;
    struct divvy_grpc_server *server;
    struct divvy_grpc_call *calls;
    uint32_t call_count;
    uint32_t resets;         /* since resets_ns */
    uint64_t resets_ns, due_ns;
    bool spoke;              /* its settings have come */
};

struct divvy_grpc_call {
    struct divvy_grpc_call *next;
    struct divvy_grpc_connection *connection;
    int32_t stream;
    char path[DIVVY_GRPC_PATH_BYTES]; /* "" too long */
    bool is_post, is_grpc, path_long;
    const struct divvy_grpc_method *method;
    struct divvy_grpc_reader reader;
    bool request_whole; /* one message has come */
    bool begun;         /* the method has it */
    bool answered;      /* headers were submitted */
    bool finished;
    bool deferred;      /* nghttp2 waits for more of the answer */
    bool half_closed;   /* the peer has sent all */
    enum divvy_grpc_status status;
    char text[DIVVY_GRPC_TEXT_BYTES];
    uint8_t *out; /* what is to be sent: out_length bytes, from out_begin on */
    size_t out_begin, out_length, out_room;
    uint64_t timeout_ns, deadline_ns; /* 0: none */
    void *kept;
    void (*gone)(struct divvy_grpc_call *call, void *data);
};

/* The connection's session; 0 or -ENOMEM. */
int divvy_grpc_connection_session_new(struct divvy_grpc_connection *connection);
/* All its calls end; their keepers are told. */
void divvy_grpc_connection_calls_end(struct divvy_grpc_connection *connection);
/* Ends calls that have passed their time; when the next one will have. */
uint64_t divvy_grpc_connection_calls_tick(struct divvy_grpc_connection *connection, uint64_t now_ns);

#endif
