/*
 * One direction of a connection through the proxy: bytes from one end to the other, as far as they have been understood.
 * proxy.c says what a head means; here bytes are read, held, spliced and written. All descriptors are non-blocking.
 */
#ifndef DIVVY_MIG_RUNNER_PROXY_FLOW_H
#define DIVVY_MIG_RUNNER_PROXY_FLOW_H

#include "mig/runner/buffers.h"
#include "mig/runner/http.h"
#include "base/loop.h"

#include <stdbool.h>
#include <stdint.h>

/* A socket, and what edges have told of it. */
struct divvy_runner_end {
    struct divvy_source source;
    bool readable, writable;
    bool hung_up;   /* the peer sends no more: a short read does not mean that there is no end of file */
    bool is_ended;  /* end of file was read */
    bool is_shut;   /* our side was shut */
    bool has_taken; /* bytes have been written to it: it is connected */
};

struct divvy_runner_flow {
    char *buffer; /* NULL: none needed */
    uint32_t begin, passed, end; /* [begin, passed) may be written, [passed, end) is not understood yet */
    size_t searched;             /* of a head, behind `passed` */
    int pipe[2];                 /* -1: none yet */
    uint32_t piped;              /* bytes in it */
    bool in_body;
    bool is_over; /* no more messages are taken from this end */
    struct divvy_runner_http_body body;
};

enum divvy_runner_move {
    DIVVY_RUNNER_MOVE_WAIT, /* nothing can be done before an edge */
    DIVVY_RUNNER_MOVE_MORE, /* something was done */
    DIVVY_RUNNER_MOVE_FULL, /* no buffer was to be had */
    DIVVY_RUNNER_MOVE_FROM_BROKEN,
    DIVVY_RUNNER_MOVE_TO_BROKEN,
};

void divvy_runner_flow_init(struct divvy_runner_flow *flow);
void divvy_runner_flow_done(struct divvy_runner_flow *flow, struct divvy_runner_buffers *buffers);

/* Nothing of it is on the way, and nothing that was read is left. */
bool divvy_runner_flow_is_empty(const struct divvy_runner_flow *flow);

/* Writes what may be written. */
enum divvy_runner_move divvy_runner_flow_write(struct divvy_runner_flow *flow, struct divvy_runner_end *to,
                                               struct divvy_runner_buffers *buffers);

/*
 * Reads more, or, where a long stretch of body comes that need not be looked at, moves it into the pipe. To be called when nothing
 * is left to write. At the end of the file sets from->is_ended.
 */
enum divvy_runner_move divvy_runner_flow_read(struct divvy_runner_flow *flow, struct divvy_runner_end *from,
                                              struct divvy_runner_buffers *buffers);

#endif
