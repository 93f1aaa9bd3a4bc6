/*
 * The daemon's HTTP server: the API of docs/HTTP.md on a unix socket and, when asked for, on TCP; and the file of metrics.
 * main.c starts it after the state and stops it before; everything else of this folder is its own.
 */
#ifndef DIVVY_DAEMON_HTTP_HTTP_H
#define DIVVY_DAEMON_HTTP_HTTP_H

#include "base/error.h"
#include "daemon/state.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * What main has read from the configuration (docs of each: divvyd.conf(5)). Strings are borrowed for the time of the call of
 * divvy_http_start or divvy_http_reload; an empty one means "not set". Paths are absolute.
 */
struct divvy_http_options {
    /* Unix socket: made here with this mode, a dead one of the same name replaced, removed by divvy_http_stop. */
    const char *socket_path;
    uint32_t socket_mode; /* 0600, 0660 or 0666 */
    /*
     * A listening unix socket that was passed to us (systemd): used instead of making one, -1 none. Owned by the server from
     * the call on, also when it fails. socket_path then is only a name for answers and is neither made nor removed.
     */
    int socket_fd;

    const char *listen;             /* HOST:PORT or [IPV6]:PORT; empty: no TCP. Port 0: one that is free, logged */
    const char *token_file;         /* one bearer token a line, '#' comments; each is an admin credential */
    const char *tls_cert, *tls_key; /* PEM; both or none */
    bool allow_plaintext;           /* beyond loopback, tokens without TLS are let through */

    /*
     * Tokens of pods (Kubernetes service accounts). Without a key none is believed, unless jwt_unverified: then their claims
     * are taken as they are, on unix sockets and loopback only; divvy_http_start refuses it beyond.
     */
    const char *jwt_key_file; /* PEM, one or more public keys: RSA (RS256) or P-256 (ES256) */
    const char *jwt_audience; /* must be among the token's; empty: any */
    bool jwt_unverified;

    bool hide_others;              /* users see their own tenants only, not everybody's */
    uint32_t connections_max;      /* of each listener; 0: 2048 */
    uint32_t connections_per_peer; /* from one address or one uid; 0: 512 */
    uint32_t request_timeout_s;    /* for a request to come in, and for its answer to be taken; 0: 30 */

    const char *metrics_path; /* file that grows and is rotated; empty: none */
    int64_t metrics_interval_ns;
    bool metrics_json;          /* else line protocol */
    const char *metrics_labels; /* JSON object {pod label: tag name}, or empty */
    const char *pool;           /* tag of metrics; the node's name is in the state's settings */

    /* Workers of a single node: how to tell of those with an allocation, all (an array) or one (NULL: there is none). NULL: no such node. */
    struct divvy_http_single {
        void *data;
        json_t *(*workers)(void *data);
        json_t *(*worker)(void *data, const char *uid);
        json_t *(*usages)(void *data); /* of workers that are no tenants, for the file of metrics: see divvy_single_usages_json */
    } single;

    /* The pods of a cluster. NULL: the daemon follows none. */
    struct divvy_http_cluster {
        void *data;
        json_t *(*pods)(void *data); /* see divvy_cluster_pods */
        /* Whose a pod's token is, where there are no keys: see divvy_cluster_review. */
        int (*review)(void *data, const char *token, const char *audience, bool may_ask, struct divvy_daemon_peer *peer,
                      const char **ret_fault);
    } cluster;

    /* The relay of this host (docs/RELAY.md). Borrowed as long as the server lives. */
    struct divvy_http_vgpu {
        const char *state;   /* its state file; empty or NULL: there is no relay */
        const char *admin;   /* its socket for administration */
        const char *sockets; /* folder of VMs' sockets where an orchestrator names none; empty or NULL: such VMs have none */
    } vgpu;

    const char *mig_kept; /* file that remembers allocations of MIG instances; NULL: they end with the daemon */
    const char *mig_lock_dir; /* folder of the lock files of MIG instances; empty: the MIG library's own */
    const char *mig_library;  /* NVML for MIG; empty: the system's */
};

struct divvy_http;

/*
 * Start the threads of the server. -EADDRINUSE (a living server has the socket or the port), -EINVAL (an option cannot be
 * taken), -EACCES and others of bind and open. The state must outlive the server.
 */
int divvy_http_start(struct divvy_daemon *daemon, const struct divvy_http_options *options, struct divvy_http **ret_server,
                     struct divvy_error *error);

/*
 * After SIGHUP: the token file, certificate and metrics settings are read again; sockets stay as they are. On failure
 * everything stays as it was, with the reason in `error`.
 */
int divvy_http_reload(struct divvy_http *server, const struct divvy_http_options *options, struct divvy_error *error);

/*
 * The server's end of the two-way channel (wire/channel_server.h), for those who give orders to processes: client ids are
 * "worker_<host pid>". The server's; valid until divvy_http_stop.
 */
struct divvy_channel_server;
struct divvy_channel_server *divvy_http_channel(struct divvy_http *server);

/* Answer what has begun for at most two seconds, end all threads, free everything. NULL is fine. */
void divvy_http_stop(struct divvy_http *server);

#endif
