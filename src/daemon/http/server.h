/* What the parts of the HTTP server share: listeners, connections, credentials, workers, waiting requests. Not for others. */
#ifndef DIVVY_DAEMON_HTTP_SERVER_H
#define DIVVY_DAEMON_HTTP_SERVER_H

#include "daemon/http/auth.h"
#include "daemon/http/request.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#define DIVVY_HTTP_LISTENERS 2u /* unix, TCP */
#define DIVVY_HTTP_THREADS   2u /* of each listener */
#define DIVVY_HTTP_WORKERS   4u
#define DIVVY_HTTP_RETIRED   8u

struct divvy_http_listener {
    struct divvy_http *http;
    struct MHD_Daemon *mhd;
    bool is_unix, is_loopback, is_tls;
    uint16_t port;
};

/* What a connection is doing, for the reaper. */
enum divvy_http_phase {
    DIVVY_HTTP_READING, /* a request, or waiting for one */
    DIVVY_HTTP_WORKING,
    DIVVY_HTTP_SENDING,
    DIVVY_HTTP_STREAMING
};

/* A connection, from accept to close. */
struct divvy_http_link {
    struct divvy_http_link *next, **back;
    struct divvy_http_listener *listener;
    int fd; /* the HTTP library's; valid while the link is in the list */
    bool is_known;
    uid_t uid;
    pid_t pid;
    uint32_t same_peer; /* connections of the same uid when this one came */
    atomic_int phase;
    _Atomic int64_t since_ns; /* of the phase */
};

struct divvy_http {
    struct divvy_daemon *daemon;
    char socket_path[108];
    bool is_socket_ours;
    uint32_t connections_max, per_peer, timeout_s;
    bool hide_others, is_pod_aware;
    struct divvy_http_single single;
    struct divvy_http_cluster cluster;
    struct divvy_http_vgpu vgpu;
    int64_t started_ns;

    struct divvy_http_listener listeners[DIVVY_HTTP_LISTENERS];
    size_t listener_count;
    struct MHD_Daemon *retired[DIVVY_HTTP_RETIRED]; /* with an old certificate, until their last connection ends */
    char *tls_cert, *tls_key;

    pthread_rwlock_t auth_lock;
    struct divvy_http_auth *auth;

    pthread_mutex_t retired_lock;
    pthread_mutex_t link_lock;
    struct divvy_http_link *links;

    /* Requests that sleep: for a worker, or for an event. */
    pthread_mutex_t sleep_lock;
    pthread_cond_t sleep_work;
    struct divvy_http_request *work_first, **work_last;
    struct divvy_http_request *waiting; /* long polls */
    struct divvy_http_stream *streams;  /* streams that have nothing to send */
    uint64_t event_last;                /* newest number seen */
    bool is_stopping;
    pthread_t workers[DIVVY_HTTP_WORKERS];
    uint32_t worker_count;
    pthread_t waker;
    bool has_waker;

    struct divvy_metrics_file *metrics_file;
    struct divvy_channel_server *channel;
    struct divvy_http_mig *mig;
};

int64_t divvy_http_now_ns(void); /* CLOCK_MONOTONIC */

/* --- links (link.c) ------------------------------------------------------------------------------------------------- */

void divvy_http_link_notify(void *listener, struct MHD_Connection *connection, void **socket_context,
                            enum MHD_ConnectionNotificationCode code);
void divvy_http_link_phase(struct divvy_http_link *link, enum divvy_http_phase phase);
/* Ends connections that take too long to send a request or to take its answer. */
void divvy_http_links_reap(struct divvy_http *http, int64_t now_ns);
/* How many there are, and how many of them do something for a client. */
size_t divvy_http_links_count(struct divvy_http *http, size_t *ret_busy);
/* Frees the HTTP library's threads that had an old certificate and have no connection left. */
void divvy_http_retired_reap(struct divvy_http *http);

/* --- serving (serve.c) ---------------------------------------------------------------------------------------------- */

enum MHD_Result divvy_http_serve(void *listener, struct MHD_Connection *connection, const char *url, const char *method,
                                 const char *version, const char *upload_data, size_t *upload_data_size, void **state);
void divvy_http_serve_done(void *listener, struct MHD_Connection *connection, void **state,
                           enum MHD_RequestTerminationCode code);

/* --- sleeping (sleep.c) --------------------------------------------------------------------------------------------- */

/* By a worker: the cluster is asked about the token of the request, which has an answer afterwards if that is no good. Blocks. */
void divvy_http_review(struct divvy_http_request *request);

int divvy_http_sleep_start(struct divvy_http *http, struct divvy_error *error);
/* Hand the request to a worker, or let it wait for an event or its deadline. False when the server is stopping. */
bool divvy_http_sleep_work(struct divvy_http_request *request);
bool divvy_http_sleep_wait(struct divvy_http_request *request);
/* Wake all that sleep, for good, and end the threads. */
void divvy_http_sleep_stop(struct divvy_http *http);

/* --- the two-way channel (route_channel.c) -------------------------------------------------------------------------- */

/* The channel with its leases; -ENOMEM and what pthread_create says. Stopping ends all its streams. */
int divvy_http_channel_start(struct divvy_http *http, struct divvy_error *error);
void divvy_http_channel_stop(struct divvy_http *http);

/* The tenant was frozen or thawed: those of its processes that follow the channel are told, since they may have no page. */
void divvy_http_channel_freeze(struct divvy_http_request *request, const char *tenant, bool frozen);

/* --- streams (stream.c) --------------------------------------------------------------------------------------------- */

/*
 * A stream of server-sent events. fill() puts the next bytes into `buffer`: how many, 0 when there are none now (the
 * connection sleeps until divvy_http_stream_wake or the keep-alive), -1 at the end. It is never called by two threads at once.
 */
struct divvy_http_stream {
    struct divvy_http *http;
    struct MHD_Connection *connection;
    ssize_t (*fill)(struct divvy_http_stream *stream, char *buffer, size_t size);
    void (*free)(struct divvy_http_stream *stream); /* frees the stream itself */
    struct divvy_http_stream *next, **back;         /* among those that sleep */
    bool is_asleep;
    bool is_woken;        /* since fill() was last called */
    bool wants_events;    /* to be woken for every event of the node */
    uint64_t event_seen;  /* number of the newest that fill() has looked at */
    int64_t keepalive_ns; /* when to send a comment */
};
#define DIVVY_HTTP_KEEPALIVE_NS INT64_C(15000000000)

struct MHD_Response *divvy_http_stream_response(struct divvy_http_stream *stream);
/* There is something to send. From any thread, as long as the stream lives. */
void divvy_http_stream_wake(struct divvy_http_stream *stream);
/* sleep_lock is held: wake it, whatever for. */
void divvy_http_stream_resume_locked(struct divvy_http_stream *stream);

#endif
