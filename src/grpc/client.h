/*
 * One gRPC call to a server on a unix socket, with a connection of its own, in its user's loop: unary or server-streaming. The
 * server is not trusted to be well: what comes is bounded, and the call ends by its deadline.
 *
 * One thread, the loop's. Nothing blocks.
 */
#ifndef DIVVY_GRPC_CLIENT_H
#define DIVVY_GRPC_CLIENT_H

#include "base/loop.h"
#include "grpc/status.h"

#include <stddef.h>
#include <stdint.h>

struct divvy_grpc_client;

/* All is copied but `data`. */
struct divvy_grpc_client_options {
    const char *socket_path;
    const char *path; /* "/package.Service/Method" */
    const uint8_t *request;
    size_t length;
    uint64_t timeout_ns;     /* until its end; not 0 */
    size_t answer_max_bytes; /* of one message */
    void (*message)(void *data, const uint8_t *message, size_t length); /* once for each, valid during the call */
    /* The end: once, always, never within _new. `text` says why it is not DIVVY_GRPC_OK. May call _free. */
    void (*done)(void *data, enum divvy_grpc_status status, const char *text);
    void *data;
};

/* 0: done will be called, also when nobody listens there (UNAVAILABLE). -ENOMEM, -ENAMETOOLONG. */
int divvy_grpc_client_new(struct divvy_loop *loop, const struct divvy_grpc_client_options *options, struct divvy_grpc_client **ret_client);
/* Within or after done, or before it: then the call is taken back and done does not come. NULL is fine. */
void divvy_grpc_client_free(struct divvy_grpc_client *client);

/* To be called between turns of the loop; when it wants to be called again at the latest. NULL: never. */
uint64_t divvy_grpc_client_tick(struct divvy_grpc_client *client, uint64_t now_ns);

#endif
