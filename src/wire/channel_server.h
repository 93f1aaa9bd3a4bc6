/*
 * The server's end of the channel: the queues of channel_queue.h behind a lock, with bodies for an HTTP server on
 * libmicrohttpd. Who mounts it has the routes, the methods and the credentials, and calls the functions below with client
 * ids that the caller may use; this file has the streams. Idle streams sleep (suspended connections) and are woken by a task, a
 * keep-alive or the end of their client: no thread for a client, no polling.
 *
 * The HTTP daemon needs MHD_ALLOW_SUSPEND_RESUME, and a limit of connections above the number of clients.
 *
 * Thread-safe, all of it. Order at the end: divvy_channel_server_stop, stop the HTTP daemon, divvy_channel_server_free.
 */
#ifndef DIVVY_WIRE_CHANNEL_SERVER_H
#define DIVVY_WIRE_CHANNEL_SERVER_H

#include "base/error.h"
#include "wire/channel_queue.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct MHD_Connection;
struct MHD_Response;
struct divvy_channel_server;

struct divvy_channel_report {
    const char *client_id;
    uint64_t door;
    uint32_t count;
    struct {
        char uuid[48];
        uint64_t waiting, busy_ns, used_bytes, launches, inflight_ns, drain_ns, lease;
        bool is_over;
    } devices[DIVVY_CHANNEL_REPORT_DEVICES];
};

struct divvy_channel_server_options {
    struct divvy_channel_limits limits; /* zeros: the defaults of channel_queue.h */
    int64_t keep_alive_ns;              /* 0: DIVVY_CHANNEL_KEEP_ALIVE_NS */
    void *context;                      /* of the functions below, each of which may be NULL */
    /* A task has ended. Called with the server's lock held: must be quick and call nothing of the server. */
    divvy_channel_finished_t *finished;
    /* A client's first reader came, or its last one went. The same rules. */
    void (*presence)(void *context, const char *client_id, bool is_there);
    /* A report arrived. No lock is held. 0, or a negative errno: the client gets 404 for -ENOENT, 429 for -EBUSY, else 500. */
    int (*report)(void *context, const struct divvy_channel_report *report);
};

/* Starts one thread, for timers. `options` may be NULL. 0 or negative errno. */
int divvy_channel_server_new(const struct divvy_channel_server_options *options, struct divvy_channel_server **ret_server);
/* Ends all streams with an error event and refuses new ones; waiters of divvy_channel_server_wait get -ESHUTDOWN. */
void divvy_channel_server_stop(struct divvy_channel_server *server);
/* Stops if need be. No stream may be left, that is: the HTTP daemon has stopped. NULL is fine. */
void divvy_channel_server_free(struct divvy_channel_server *server);

/* --- for the routes ------------------------------------------------------------------------------------------------ */

/*
 * GET <base>/events/<client id>: the answer, to be queued with 200 on this connection and then destroyed by the caller.
 * is_stream: Server-Sent Events (the request accepts text/event-stream), else a long poll that ends after wait_ns at the
 * latest (<= 0 or more than DIVVY_CHANNEL_POLL_NS: that). Replaces the client's reader. -EINVAL client id (400); -EUSERS,
 * -ENOSPC, -ENOMEM (503); -ESHUTDOWN (503).
 */
int divvy_channel_server_events(struct divvy_channel_server *server, const char *client_id, bool is_stream, int64_t wait_ns,
                                struct MHD_Connection *connection, struct MHD_Response **ret_response);

/*
 * POST <base>/result and <base>/report with their bodies. client_id: the id that the credential allows; NULL: any (admins).
 * The HTTP status: 200, or 400, 403 (another's id), 404, 429, 500 with a line in `error` (may be NULL).
 */
int divvy_channel_server_result(struct divvy_channel_server *server, const char *client_id, const char *body, size_t length,
                                struct divvy_error *error);
int divvy_channel_server_report(struct divvy_channel_server *server, const char *client_id, const char *body, size_t length,
                                struct divvy_error *error);

/* --- for producers ------------------------------------------------------------------------------------------------- */

/*
 * A task with any data (borrowed); wakes the client's reader. Does not block. -EINVAL, -E2BIG, -ENOBUFS (the client's queue
 * is full), -EUSERS, -ENOSPC, -ENOMEM, -ESHUTDOWN. ret_id may be NULL.
 */
int divvy_channel_server_send(struct divvy_channel_server *server, const char *client_id, const json_t *data, uint64_t tag,
                              char ret_id[DIVVY_CHANNEL_TASK_ID_BYTES]);

struct divvy_channel_order {
    enum divvy_channel_kind kind;
    /* of DIVVY_CHANNEL_LEASE only; see channel/channel.h */
    const char *device; /* UUID or NULL */
    const char *mode;   /* or NULL */
    uint64_t begin_ns, length_ns;
    uint64_t budget_ns; /* 0: none is named */
    uint64_t door;      /* the same */
    bool has_limits;    /* with these: memory_bytes 0 and permille 1000 stand for none */
    uint64_t memory_bytes, permille;
};

/* A limiter command, numbered by the server from 1 on. The number is also the task's tag. */
int divvy_channel_server_command(struct divvy_channel_server *server, const char *client_id,
                                 const struct divvy_channel_order *order, uint64_t *ret_number,
                                 char ret_id[DIVVY_CHANNEL_TASK_ID_BYTES]);

struct divvy_channel_outcome {
    bool success;
    char *result, *error; /* malloc'd, the caller's; or NULL */
};
/*
 * Blocks until the task has ended, for timeout_ns at most. -ETIMEDOUT (it goes on), -ENOENT (not known, or its outcome has
 * left the history), -ENOMEM, -ESHUTDOWN.
 */
int divvy_channel_server_wait(struct divvy_channel_server *server, const char *client_id, const char *task_id,
                              int64_t timeout_ns, struct divvy_channel_outcome *ret_outcome);

/* Whether the client has a reader now. */
bool divvy_channel_server_is_there(struct divvy_channel_server *server, const char *client_id);
void divvy_channel_server_figures(struct divvy_channel_server *server, struct divvy_channel_figures *ret_figures);

#endif
