/*
 * One request from its first byte to the end of its answer, and what handlers do with it. Handlers read the request, call the
 * state, and set an answer; they never see the HTTP library. A handler runs on a thread of the server, or, when its route is
 * marked slow, on one of the workers while the connection sleeps.
 */
#ifndef DIVVY_DAEMON_HTTP_REQUEST_H
#define DIVVY_DAEMON_HTTP_REQUEST_H

#include "daemon/http/http.h"
#include "daemon/http/route.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define DIVVY_HTTP_BODY_MAX  (64u * 1024u)
#define DIVVY_HTTP_DRAIN_MAX (1024u * 1024u) /* of a body that is too large: read and dropped, so that the answer arrives */
#define DIVVY_HTTP_JSON      "application/json"

struct MHD_Connection;
struct MHD_Response;
struct divvy_http_link;
struct divvy_http_stream;

/* The credential that came with the request. */
enum divvy_http_credential {
    DIVVY_HTTP_CREDENTIAL_NONE,
    DIVVY_HTTP_CREDENTIAL_BAD,   /* one that is not valid; `credential_fault` says why */
    DIVVY_HTTP_CREDENTIAL_LOCAL, /* an open loopback port: may read */
    DIVVY_HTTP_CREDENTIAL_POD,   /* a pod's token */
    DIVVY_HTTP_CREDENTIAL_USER,  /* a process on the unix socket */
    DIVVY_HTTP_CREDENTIAL_ADMIN
};

struct divvy_http_request {
    struct divvy_http *http;
    struct divvy_daemon *daemon;
    struct MHD_Connection *connection;
    struct divvy_http_link *link;
    const struct divvy_http_route *route;
    char method[16];
    char id[DIVVY_NODE_ID_BYTES]; /* the decoded {…} of the path */
    enum divvy_http_credential credential;
    const char *credential_fault;
    bool has_authorization;
    bool is_unreviewed; /* a pod's token whose claims are still to be confirmed */
    struct divvy_daemon_peer peer;

    char *body; /* NUL-terminated; NULL when there is none */
    size_t body_length, body_room;
    uint64_t body_seen; /* with what was dropped */
    bool body_refused;  /* too large, or no memory */

    bool is_refused;        /* before the body came: there is an answer already */
    bool is_run, is_asleep; /* the handler was called; the connection waits for a worker or an event */
    int64_t deadline_ns;    /* of a handler that waits; CLOCK_MONOTONIC, 0 not set */
    uint64_t wait_after;    /* of events */

    int status;
    char *answer; /* malloc'd */
    size_t answer_length;
    const char *answer_type;          /* static */
    char allow[64];                   /* header Allow, or empty */
    struct divvy_http_stream *stream; /* instead of `answer` */
    struct MHD_Response *response;    /* instead of both */

    struct divvy_http_request *next; /* in the queue that it waits in */
};

/* Returned by a handler instead of a status: call it again when there is an event, or at deadline_ns. */
#define DIVVY_HTTP_LATER (-1)

/* Answers: set the status and the body, and return the status. `json` is taken over; NULL (no memory) gives 500. */
int divvy_http_answer(struct divvy_http_request *request, int status, json_t *json);
int divvy_http_answer_text(struct divvy_http_request *request, int status, const char *type, char *text, size_t length);
int divvy_http_answer_empty(struct divvy_http_request *request, int status);
/* {"error": "one line"} */
int divvy_http_fail(struct divvy_http_request *request, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* What the state said: the status that fits the negative errno, and error->text (or the system's words without). */
int divvy_http_fail_errno(struct divvy_http_request *request, int error_number, const struct divvy_error *error);

/*
 * Value of a query parameter, decoded, into `text`: its length, -ENOENT when it is not there, -EINVAL when its encoding is
 * broken, it holds NUL or is too long.
 */
int divvy_http_query(const struct divvy_http_request *request, const char *name, char *text, size_t size);
/* A whole number of the query: 0, *ret_value untouched when it is not there, -EINVAL when it is none or above `max`. */
int divvy_http_query_u64(const struct divvy_http_request *request, const char *name, uint64_t max, uint64_t *ret_value);
/* A flag of the query: absent false; "1" and "true", "0" and "false", else -EINVAL. */
int divvy_http_query_flag(const struct divvy_http_request *request, const char *name, bool *ret_value);
/* A header as it came, or NULL. */
const char *divvy_http_header(const struct divvy_http_request *request, const char *name);

/*
 * The body as a JSON object. 0 and *ret_json (the caller's), or an HTTP status with the answer set. An empty body is a
 * failure, unless `may_be_empty`: then *ret_json is NULL.
 */
int divvy_http_body_object(struct divvy_http_request *request, bool may_be_empty, json_t **ret_json);

/* Decodes %XX of `length` bytes into `text`: the length, or -EINVAL (broken, NUL inside), -ENAMETOOLONG. Pure. */
int divvy_http_percent_decode(const char *coded, size_t length, char *text, size_t size);

/* Whether whoever asks may see this tenant at all; who may not is told that there is none. */
bool divvy_http_may_see(const struct divvy_http_request *request, const struct divvy_node_tenant *tenant);

#endif
