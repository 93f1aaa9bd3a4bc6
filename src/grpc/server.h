/*
 * A gRPC server on a unix socket, in its user's loop: unary and server-streaming calls. Peers are hostile: every size and count
 * has a bound, and what a peer does wrong ends its call or its connection, never the others'.
 *
 * One thread, the loop's. Nothing blocks.
 */
#ifndef DIVVY_GRPC_SERVER_H
#define DIVVY_GRPC_SERVER_H

#include "base/error.h"
#include "base/loop.h"
#include "grpc/status.h"

#include <stddef.h>
#include <stdint.h>

/* What one peer may have; the rest is refused. */
#define DIVVY_GRPC_CONNECTIONS     16u
#define DIVVY_GRPC_CALLS           64u         /* of a connection at a time */
#define DIVVY_GRPC_MESSAGE_BYTES   (1u << 20)  /* of a request */
#define DIVVY_GRPC_WAITING_BYTES   (4u << 20)  /* answers of a call that its peer has not taken */
#define DIVVY_GRPC_PATH_BYTES      128u
#define DIVVY_GRPC_RESETS          200u        /* of calls by their peer, in ten seconds */
#define DIVVY_GRPC_HANDSHAKE_NS    UINT64_C(10000000000) /* until a connection must have spoken HTTP/2 */

struct divvy_grpc_call;

/*
 * One method. `begin` gets the request, which is valid during the call only, and answers then or later by _send and _finish;
 * after it has returned without an end, the call is open until _finish, or until `gone`.
 */
struct divvy_grpc_method {
    const char *path; /* "/package.Service/Method" */
    void (*begin)(void *data, struct divvy_grpc_call *call, const uint8_t *request, size_t length);
};

struct divvy_grpc_server;

struct divvy_grpc_server_options {
    const char *path;  /* of the socket; one that nobody listens on is taken over. Mode 0600 */
    const struct divvy_grpc_method *methods;
    size_t method_count;
    void *data; /* for begin */
};

/* Listen. Root and our own user are let in, nobody else. -EADDRINUSE: somebody answers there; what the system says. */
int divvy_grpc_server_new(struct divvy_loop *loop, const struct divvy_grpc_server_options *options, struct divvy_grpc_server **ret_server,
                          struct divvy_error *error);
/* Ends all calls (their `gone` is called), removes the socket if it is still ours; memory goes in the loop's next turn. */
void divvy_grpc_server_free(struct divvy_grpc_server *server);

/* To be called between turns of the loop: ends what has passed its time. Returns when it wants to be called again at the latest. */
uint64_t divvy_grpc_server_tick(struct divvy_grpc_server *server, uint64_t now_ns);

/* Whether the socket's name still leads to the socket that is listened on: kubelet empties the folder when it starts. */
int divvy_grpc_server_is_there(const struct divvy_grpc_server *server);

/* What somebody keeps with an open call; `gone` is told once when the call ends without _finish (or at _free). */
void divvy_grpc_call_keep(struct divvy_grpc_call *call, void *data, void (*gone)(struct divvy_grpc_call *call, void *data));
/* A message, copied. 0; -ENOBUFS: the peer does not take its answers, and -ENOMEM: the call has ended, `gone` was called. */
int divvy_grpc_call_send(struct divvy_grpc_call *call, const uint8_t *message, size_t length);
/* The end; `text` may be NULL. `call` is not valid any more. */
void divvy_grpc_call_finish(struct divvy_grpc_call *call, enum divvy_grpc_status status, const char *text);

#endif
