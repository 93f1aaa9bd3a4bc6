/* Credentials: the token file, and which of them a request has brought. */
#include "daemon/http/auth.h"

#include "base/cleanup.h"
#include "daemon/http/jwt.h"
#include "daemon/http/listen.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>

struct divvy_http_auth {
    uint8_t digests[DIVVY_HTTP_TOKENS_MAX][SHA256_DIGEST_LENGTH];
    size_t token_count;
    struct divvy_http_jwt_keys *keys;
    char *audience;
    bool unverified;
};

static int tokens_read(struct divvy_http_auth *auth, const char *path, struct divvy_error *error) {
    char *text = NULL, *line, *rest;
    size_t length = 0;
    unsigned number = 0;
    int result = divvy_http_file_read(path, true, &text, &length, error);

    if (result < 0)
        return result;
    for (line = text; line && result == 0; line = rest) {
        size_t chars;

        number++;
        rest = strchr(line, '\n');
        if (rest)
            *rest++ = '\0';
        line += strspn(line, " \t");
        chars = strcspn(line, " \t\r");
        if (chars == 0 || line[0] == '#')
            continue;
        if (chars < DIVVY_HTTP_TOKEN_MIN_CHARS || chars > DIVVY_HTTP_TOKEN_MAX_CHARS)
            result = divvy_error_set(error, -EINVAL, "%s line %u: a token has at least %u characters", path, number,
                                     DIVVY_HTTP_TOKEN_MIN_CHARS);
        else if (line[chars + strspn(line + chars, " \t\r")] != '\0')
            result = divvy_error_set(error, -EINVAL, "%s line %u: a token has no blanks", path, number);
        else if (auth->token_count >= DIVVY_HTTP_TOKENS_MAX)
            result = divvy_error_set(error, -EINVAL, "%s: more than %u tokens", path, DIVVY_HTTP_TOKENS_MAX);
        else
            SHA256((const unsigned char *)line, chars, auth->digests[auth->token_count++]);
    }
    OPENSSL_cleanse(text, length);
    free(text);
    if (result == 0 && auth->token_count == 0)
        result = divvy_error_set(error, -EINVAL, "%s holds no token", path);
    return result;
}

static int keys_read(struct divvy_http_auth *auth, const char *path, struct divvy_error *error) {
    cleanup_free char *text = NULL;
    size_t length = 0;
    int result = divvy_http_file_read(path, false, &text, &length, error);

    if (result == 0) {
        result = divvy_http_jwt_keys_new(text, length, &auth->keys, error);
        if (result < 0)
            divvy_error_prefix(error, "%s", path);
    }
    return result;
}

int divvy_http_auth_new(const char *token_file, const char *jwt_key_file, const char *jwt_audience, bool jwt_unverified,
                        struct divvy_http_auth **ret_auth, struct divvy_error *error) {
    struct divvy_http_auth *auth = calloc(1, sizeof *auth);
    int result = 0;

    if (!auth)
        return divvy_error_set(error, -ENOMEM, "out of memory");
    auth->unverified = jwt_unverified;
    if (jwt_audience && *jwt_audience && !(auth->audience = strdup(jwt_audience)))
        result = divvy_error_set(error, -ENOMEM, "out of memory");
    if (result == 0 && token_file && *token_file)
        result = tokens_read(auth, token_file, error);
    if (result == 0 && jwt_key_file && *jwt_key_file)
        result = keys_read(auth, jwt_key_file, error);
    if (result < 0) {
        divvy_http_auth_free(auth);
        return result;
    }
    *ret_auth = auth;
    return 0;
}

void divvy_http_auth_free(struct divvy_http_auth *auth) {
    if (!auth)
        return;
    divvy_http_jwt_keys_free(auth->keys);
    free(auth->audience);
    free(auth);
}

bool divvy_http_auth_has_tokens(const struct divvy_http_auth *auth) {
    return auth->token_count > 0;
}

bool divvy_http_auth_has_keys(const struct divvy_http_auth *auth) {
    return auth->keys != NULL;
}

bool divvy_http_auth_token_is_known(const struct divvy_http_auth *auth, const char *token) {
    size_t length = strnlen(token, DIVVY_HTTP_TOKEN_MAX_CHARS + 1);
    uint8_t digest[SHA256_DIGEST_LENGTH];
    unsigned found = 0;

    if (length > DIVVY_HTTP_TOKEN_MAX_CHARS)
        return false;
    SHA256((const unsigned char *)token, length, digest);
    for (size_t i = 0; i < auth->token_count; i++) /* all of them: the time tells nothing */
        found |= (unsigned)(CRYPTO_memcmp(digest, auth->digests[i], sizeof digest) == 0);
    return found != 0;
}

int divvy_http_auth_pod(const struct divvy_http_auth *auth, const char *token, int64_t now_s, bool allow_unverified,
                        struct divvy_http_pod *ret_pod, const char **ret_fault) {
    bool unverified = !auth->keys && auth->unverified && allow_unverified;

    if (!auth->keys && !unverified) {
        *ret_fault = "Authentication failed: no key to verify pods' tokens is configured";
        return -EACCES;
    }
    return divvy_http_jwt_pod(unverified ? NULL : auth->keys, auth->audience, token, now_s, ret_pod, ret_fault);
}

int divvy_http_auth_claims(const struct divvy_http_auth *auth, const char *token, int64_t now_s, const char **ret_fault) {
    struct divvy_http_pod pod;

    return divvy_http_jwt_pod(NULL, auth->audience, token, now_s, &pod, ret_fault);
}

const char *divvy_http_auth_audience(const struct divvy_http_auth *auth) {
    return auth->audience;
}
