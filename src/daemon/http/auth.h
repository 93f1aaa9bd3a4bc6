/*
 * Credentials: bearer tokens of a file, and pods' tokens (JSON Web Tokens). No secret is kept: of bearer tokens only their
 * SHA-256, and comparing takes the same time whatever comes.
 */
#ifndef DIVVY_DAEMON_HTTP_AUTH_H
#define DIVVY_DAEMON_HTTP_AUTH_H

#include "base/error.h"
#include "node/registry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIVVY_HTTP_TOKENS_MAX      64u
#define DIVVY_HTTP_TOKEN_MIN_CHARS 16u
#define DIVVY_HTTP_TOKEN_MAX_CHARS 8192u
#define DIVVY_HTTP_JWT_LEEWAY_S    5

struct divvy_http_auth;

/*
 * Reads the token file and the file of public keys; empty or NULL: none. -EPERM: the token file can be read by everybody;
 * -EINVAL: a token is too short, a key is not one; others of open. NULL jwt_audience: any.
 */
int divvy_http_auth_new(const char *token_file, const char *jwt_key_file, const char *jwt_audience, bool jwt_unverified,
                        struct divvy_http_auth **ret_auth, struct divvy_error *error);
void divvy_http_auth_free(struct divvy_http_auth *auth); /* NULL is fine */

bool divvy_http_auth_has_tokens(const struct divvy_http_auth *auth);
bool divvy_http_auth_has_keys(const struct divvy_http_auth *auth);
/* Whether `token` is one of the file. */
bool divvy_http_auth_token_is_known(const struct divvy_http_auth *auth, const char *token);

/* Who a pod's token says it is. */
struct divvy_http_pod {
    char namespace[DIVVY_NODE_ID_BYTES], pod[DIVVY_NODE_ID_BYTES], pod_uid[64];
};

/*
 * Checks a pod's token at unix time now_s: its signature (RS256 or ES256) against the keys, `exp` (must be there), `nbf`,
 * audience, and that it names a pod. allow_unverified: the channel is one on which claims may be taken as they are, if the
 * settings say so too. 0 or -EACCES, *ret_fault (static) then says why.
 */
int divvy_http_auth_pod(const struct divvy_http_auth *auth, const char *token, int64_t now_s, bool allow_unverified,
                        struct divvy_http_pod *ret_pod, const char **ret_fault);

/* Only the token's form, times, audience and that it names a pod: before somebody else is asked about it. As above. */
int divvy_http_auth_claims(const struct divvy_http_auth *auth, const char *token, int64_t now_s, const char **ret_fault);

/* What must be among a token's audiences; or NULL. Borrowed from `auth`. */
const char *divvy_http_auth_audience(const struct divvy_http_auth *auth);

#endif
