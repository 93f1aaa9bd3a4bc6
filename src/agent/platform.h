/*
 * The platform's HTTP API: one table of calls, what each sends and accepts, and what came back judged by its shape.
 *
 * An exchange is one request. It is either performed here, with retries (divvy_agent_platform_call), or its handle is given to a curl multi
 * handle and divvy_agent_exchange_finish is called when that is through. Credentials go into headers only; they are never part
 * of a message, also not where the server repeats them. Whoever uses this has called curl_global_init.
 */
#ifndef DIVVY_AGENT_PLATFORM_H
#define DIVVY_AGENT_PLATFORM_H

#include "base/error.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdbool.h>

#define DIVVY_AGENT_SERVER_DEFAULT   "https://api.gpu.tf"
#define DIVVY_AGENT_URL_BYTES        1024
#define DIVVY_AGENT_CREDENTIAL_BYTES 8193
#define DIVVY_AGENT_ANSWER_BYTES     (32u << 20)

enum divvy_agent_api {
    DIVVY_AGENT_API_REGISTER,
    DIVVY_AGENT_API_CONFIG,
    DIVVY_AGENT_API_STATUS,
    DIVVY_AGENT_API_METRICS,
    DIVVY_AGENT_API_AGENTS,
    DIVVY_AGENT_API_AGENT,
    DIVVY_AGENT_API_AGENT_DELETE,
    DIVVY_AGENT_API_WORKERS,
    DIVVY_AGENT_API_WORKER_CREATE,
    DIVVY_AGENT_API_WORKER,
    DIVVY_AGENT_API_WORKER_UPDATE,
    DIVVY_AGENT_API_WORKER_DELETE,
    DIVVY_AGENT_API_SHARE_CREATE,
    DIVVY_AGENT_API_SHARES,
    DIVVY_AGENT_API_SHARE_DELETE,
    DIVVY_AGENT_API_PUBLIC, /* GET /s/CODE, without a credential */
    DIVVY_AGENT_API_MAX
};

/* Whom to ask, and as who. */
struct divvy_agent_platform {
    char server[DIVVY_AGENT_URL_BYTES];            /* without a '/' at its end */
    char credential[DIVVY_AGENT_CREDENTIAL_BYTES]; /* "": none */
};

/*
 * Takes a server's URL: http or https, a host, perhaps a port and a path. -EINVAL with what is wrong. Credentials over plain http to other
 * machines are possible and warned of by the caller: divvy_agent_server_is_open.
 */
int divvy_agent_server_set(struct divvy_agent_platform *platform, const char *url,
                           struct divvy_error *error);

/* Whether what is sent can be read on the way: http, to a host that is not this one. */
bool divvy_agent_server_is_open(const struct divvy_agent_platform *platform);

/* -EINVAL: empty, too long, or bytes in it that a header cannot hold. */
int divvy_agent_credential_set(struct divvy_agent_platform *platform, const char *credential,
                               struct divvy_error *error);

struct divvy_agent_exchange;

/*
 * `id` is the part of the path (NULL where the call has none), `query` what stands behind '?' with values already escaped (or NULL), `body`
 * borrowed. Freed by _free, after it was removed from any multi handle.
 */
int divvy_agent_exchange_new(const struct divvy_agent_platform *platform, enum divvy_agent_api api,
                             const char *id, const char *query, const json_t *body,
                             struct divvy_agent_exchange **ret_exchange, struct divvy_error *error);
void divvy_agent_exchange_free(struct divvy_agent_exchange *exchange);
CURL *divvy_agent_exchange_handle(struct divvy_agent_exchange *exchange);

/*
 * Judges what came: 0 and *ret_answer (may be NULL), a new reference to an object of the call's shape. -EPERM 401 and 403; -ENOENT 404 and
 * 410; -EBUSY 409; -EINVAL 400 and 422; -EAGAIN 408, 425, 429, 502 to 504; -EREMOTEIO other statuses; -ENOTCONN nobody to talk to;
 * -ETIMEDOUT; -EPROTO an answer that makes no sense; -ENOMEM. *ret_again (may be NULL): whether the same request may do better a little later, and
 * does no harm when the first one arrived after all.
 */
int divvy_agent_exchange_finish(struct divvy_agent_exchange *exchange, CURLcode code,
                                json_t **ret_answer, bool *ret_again, struct divvy_error *error);

/* One call, performed, tried at most three times with pauses of 1 and 2 s. Blocks. */
int divvy_agent_platform_call(const struct divvy_agent_platform *platform, enum divvy_agent_api api,
                              const char *id, const char *query, const json_t *body,
                              json_t **ret_answer, struct divvy_error *error);

/* An answer's bytes judged as those of this call and status: the part of _finish that is pure, for tests. */
int divvy_agent_answer_judge(enum divvy_agent_api api, const char *credential, long http_status,
                             const char *bytes, size_t length, json_t **ret_answer,
                             struct divvy_error *error);

/* Appends NAME=VALUE to a query, escaped; false when it does not fit. */
bool divvy_agent_query_add(char *query, size_t size_bytes, const char *name, const char *value);

#endif
