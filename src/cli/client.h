/*
 * The daemon of this node, by HTTP over its unix socket. One client is one connection, kept open
 * between calls; it belongs to one thread, and is not used on both sides of a fork. Every call
 * blocks, at most for the time given.
 */
#ifndef DIVVY_CLI_CLIENT_H
#define DIVVY_CLI_CLIENT_H

#include "base/error.h"
#include "base/table.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* sun_path of a unix socket, NUL included. */
#define DIVVY_CLI_SOCKET_BYTES 108

#define DIVVY_CLI_CALL_MS 10000u /* for calls that do not wait on purpose */

/*
 * Where a daemon may be listening, best first: $DIVVY_SOCKET alone when it is set; else the user's
 * own daemon ($XDG_RUNTIME_DIR/divvy/divvyd.sock, /run/divvy/divvyd.sock for root,
 * /dev/shm/divvy-UID/divvyd.sock), then the node's, /run/divvy/divvyd.sock.
 */
struct divvy_cli_sockets {
    bool given; /* by $DIVVY_SOCKET */
    unsigned int count;
    char paths[2][DIVVY_CLI_SOCKET_BYTES];
};

/* -ENAMETOOLONG: a path that no unix socket can have. */
int divvy_cli_sockets_find(struct divvy_cli_sockets *ret_sockets, struct divvy_error *error);

struct divvy_cli_client;

/*
 * A client of the first of these sockets that somebody answers who may be believed: root or this
 * user, or whoever it is when the path was given. -ENOTCONN: nobody answers; -EACCES: this user may
 * not connect; -EPERM: somebody else's. *ret_client is freed by divvy_cli_client_free.
 */
int divvy_cli_client_open(const struct divvy_cli_sockets *sockets,
                          struct divvy_cli_client **ret_client, struct divvy_error *error);

/* Finds the sockets and opens one. */
int divvy_cli_client_find(struct divvy_cli_client **ret_client, struct divvy_error *error);

/* NULL is fine. */
void divvy_cli_client_free(struct divvy_cli_client *client);

/* Borrowed, as long as the client lives. */
const char *divvy_cli_client_path(const struct divvy_cli_client *client);

/*
 * One call. `method` in capitals; `path` with what has to be escaped already escaped; `body` NULL
 * or borrowed. 0 for a status of 2xx, *ret_answer (may be NULL) then is the answer, a new reference
 * to an object, or NULL when there was no body. Otherwise negative, the daemon's own words in
 * `error`: -EINVAL 400, 413 and 422; -EPERM 401 and 403; -ENOENT 404; -EBUSY 409; -EOPNOTSUPP 501;
 * -EAGAIN 503; -EREMOTEIO other statuses; -ENOTCONN when it went away; -ETIMEDOUT; -EPROTO when the
 * answer makes no sense or is larger than 64 MiB; -ENOMEM.
 */
int divvy_cli_client_call(struct divvy_cli_client *client, const char *method, const char *path,
                          const json_t *body, unsigned int timeout_ms, json_t **ret_answer,
                          struct divvy_error *error);

/*
 * The path of a tenant: "/api/v1/tenants/", the id with all but letters, digits, '.', '_', '-' as
 * %XX, and `tail`. -EINVAL: no such id can exist (empty, longer than 127 bytes); -ENAMETOOLONG.
 */
int divvy_cli_client_tenant_path(const char *id, const char *tail, char *ret_path,
                                 size_t size_bytes, struct divvy_error *error);
#define DIVVY_CLI_TENANT_PATH_BYTES 512

#endif
