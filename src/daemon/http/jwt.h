/* JSON Web Tokens of pods (RFC 7515, 7519): RS256 and ES256. Pure but for the keys' memory; no clock. */
#ifndef DIVVY_DAEMON_HTTP_JWT_H
#define DIVVY_DAEMON_HTTP_JWT_H

#include "base/error.h"
#include "daemon/http/auth.h"

struct divvy_http_jwt_keys;

/* Reads PEM public keys (RSA of 2048 bits and more, or P-256), at most 16. -EINVAL: none, or one that is neither. */
int divvy_http_jwt_keys_new(const char *pem, size_t length, struct divvy_http_jwt_keys **ret_keys, struct divvy_error *error);
void divvy_http_jwt_keys_free(struct divvy_http_jwt_keys *keys); /* NULL is fine */

/* As divvy_http_auth_pod; keys NULL: the signature is not looked at. */
int divvy_http_jwt_pod(const struct divvy_http_jwt_keys *keys, const char *audience, const char *token, int64_t now_s,
                       struct divvy_http_pod *ret_pod, const char **ret_fault);

/* Base64url without padding (RFC 4648, 5): bytes written, or -EINVAL, -ENOSPC. Bits left over must be zero. */
int divvy_http_base64url_decode(const char *text, size_t length, uint8_t *bytes, size_t room);

#endif
