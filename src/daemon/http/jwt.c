/* JSON Web Tokens of pods. What is not understood is refused; the algorithm is the key's, never the token's choice. */
#include "daemon/http/jwt.h"

#include "daemon/http/fields.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/bio.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_MAX 16

struct divvy_http_jwt_keys {
    EVP_PKEY *keys[KEYS_MAX];
    size_t count;
};

static bool key_is_rs256(const EVP_PKEY *key) {
    return EVP_PKEY_is_a(key, "RSA") && EVP_PKEY_get_bits(key) >= 2048;
}

static bool key_is_es256(const EVP_PKEY *key) {
    char group[32];
    size_t length = 0;

    return EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group, sizeof group, &length) &&
           strcmp(group, "prime256v1") == 0;
}

int divvy_http_jwt_keys_new(const char *pem, size_t length, struct divvy_http_jwt_keys **ret_keys, struct divvy_error *error) {
    struct divvy_http_jwt_keys *keys = calloc(1, sizeof *keys);
    BIO *bio = length < INT32_MAX ? BIO_new_mem_buf(pem, (int)length) : NULL;
    int result = 0;

    if (!keys || !bio) {
        result = divvy_error_set(error, -ENOMEM, "out of memory");
    } else {
        EVP_PKEY *key;

        while (result == 0 && (key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL))) {
            if (keys->count < KEYS_MAX && (key_is_rs256(key) || key_is_es256(key))) {
                keys->keys[keys->count++] = key;
                continue;
            }
            EVP_PKEY_free(key);
            result = divvy_error_set(error, -EINVAL,
                                     keys->count < KEYS_MAX ? "a key is neither RSA of 2048 bits or more nor P-256"
                                                            : "more than 16 keys");
        }
        if (result == 0 && keys->count == 0)
            result = divvy_error_set(error, -EINVAL, "no PEM public key");
    }
    ERR_clear_error();
    BIO_free(bio);
    if (result < 0) {
        divvy_http_jwt_keys_free(keys);
        return result;
    }
    *ret_keys = keys;
    return 0;
}

void divvy_http_jwt_keys_free(struct divvy_http_jwt_keys *keys) {
    if (!keys)
        return;
    for (size_t i = 0; i < keys->count; i++)
        EVP_PKEY_free(keys->keys[i]);
    free(keys);
}

static int digit64(char c) {
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

int divvy_http_base64url_decode(const char *text, size_t length, uint8_t *bytes, size_t room) {
    uint32_t bits = 0;
    unsigned held = 0;
    size_t count = 0;

    if (length % 4 == 1)
        return -EINVAL;
    for (size_t i = 0; i < length; i++) {
        int digit = digit64(text[i]);

        if (digit < 0)
            return -EINVAL;
        bits = bits << 6 | (uint32_t)digit;
        held += 6;
        if (held >= 8) {
            held -= 8;
            if (count >= room)
                return -ENOSPC;
            bytes[count++] = (uint8_t)(bits >> held);
            bits &= (1u << held) - 1;
        }
    }
    return bits == 0 ? (int)count : -EINVAL;
}

/* ES256 signatures are r and s, 32 bytes each; OpenSSL wants them in DER. Length, or 0. */
static size_t ecdsa_der(const uint8_t *raw, uint8_t *der, size_t room) {
    ECDSA_SIG *signature = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, 32, NULL), *s = BN_bin2bn(raw + 32, 32, NULL);
    int length = 0;

    if (signature && r && s && ECDSA_SIG_set0(signature, r, s)) {
        r = s = NULL; /* are the signature's now */
        length = i2d_ECDSA_SIG(signature, NULL);
        if (length > 0 && (size_t)length <= room)
            length = i2d_ECDSA_SIG(signature, &der);
        else
            length = 0;
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(signature);
    return length > 0 ? (size_t)length : 0;
}

static bool signature_fits(EVP_PKEY *key, bool is_ec, const char *text, size_t length, const uint8_t *signature,
                           size_t signature_length) {
    EVP_MD_CTX *context;
    uint8_t der[80];
    bool fits;

    if (is_ec) {
        if (signature_length != 64 || (signature_length = ecdsa_der(signature, der, sizeof der)) == 0)
            return false;
        signature = der;
    }
    context = EVP_MD_CTX_new();
    fits = context && EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
           EVP_DigestVerify(context, signature, signature_length, (const uint8_t *)text, length) == 1;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return fits;
}

static json_t *part_json(const char *part, size_t length) {
    uint8_t *bytes = malloc(length + 1);
    json_error_t error;
    json_t *json = NULL;
    int count;

    if (!bytes)
        return NULL;
    count = divvy_http_base64url_decode(part, length, bytes, length + 1);
    if (count > 0)
        json = divvy_http_json_parse((const char *)bytes, (size_t)count, &error);
    if (json && !json_is_object(json)) {
        json_decref(json);
        json = NULL;
    }
    free(bytes);
    return json;
}

static bool signature_is_good(const struct divvy_http_jwt_keys *keys, const char *token, size_t signed_length,
                              const char *algorithm) {
    const char *text = token + signed_length + 1;
    bool is_ec = algorithm && strcmp(algorithm, "ES256") == 0;
    uint8_t signature[1024];
    int length = divvy_http_base64url_decode(text, strlen(text), signature, sizeof signature);

    if (length <= 0 || (!is_ec && !(algorithm && strcmp(algorithm, "RS256") == 0)))
        return false;
    for (size_t i = 0; i < keys->count; i++)
        if ((is_ec ? key_is_es256(keys->keys[i]) : key_is_rs256(keys->keys[i])) &&
            signature_fits(keys->keys[i], is_ec, token, signed_length, signature, (size_t)length))
            return true;
    return false;
}

static bool audience_fits(const json_t *claims, const char *audience) {
    const json_t *found = json_object_get(claims, "aud"), *one;
    size_t i;

    if (!audience)
        return true;
    if (json_is_string(found))
        return strcmp(json_string_value(found), audience) == 0;
    json_array_foreach(found, i, one) if (json_is_string(one) && strcmp(json_string_value(one), audience) == 0) return true;
    return false;
}

/* A NumericDate: whole or broken seconds. */
static bool date_get(const json_t *claims, const char *name, double *ret_seconds) {
    const json_t *value = json_object_get(claims, name);

    if (!json_is_number(value))
        return false;
    *ret_seconds = json_number_value(value);
    return true;
}

static const char *times_fault(const json_t *claims, int64_t now_s) {
    double seconds;

    if (!date_get(claims, "exp", &seconds))
        return "Authentication failed: the token has no exp";
    if ((double)now_s >= seconds + DIVVY_HTTP_JWT_LEEWAY_S)
        return "Authentication failed: the token has expired";
    if (date_get(claims, "nbf", &seconds) ? (double)now_s < seconds - DIVVY_HTTP_JWT_LEEWAY_S
                                          : json_object_get(claims, "nbf") != NULL)
        return "Authentication failed: the token is not valid yet";
    return NULL;
}

static bool text_copy(const json_t *value, char *text, size_t size, bool optional) {
    const char *from = json_string_value(value);

    if (!from)
        return optional && !value;
    if (json_string_length(value) >= size || strlen(from) != json_string_length(value) || (!optional && !*from) ||
        strpbrk(from, "/\\") || strcmp(from, "..") == 0)
        return false;
    memcpy(text, from, strlen(from) + 1);
    return true;
}

static bool pod_read(const json_t *claims, struct divvy_http_pod *pod) {
    const json_t *kubernetes = json_object_get(claims, "kubernetes.io");
    const json_t *named = json_object_get(kubernetes, "pod");

    memset(pod, 0, sizeof *pod);
    return text_copy(json_object_get(kubernetes, "namespace"), pod->namespace, sizeof pod->namespace, false) &&
           text_copy(json_object_get(named, "name"), pod->pod, sizeof pod->pod, false) &&
           text_copy(json_object_get(named, "uid"), pod->pod_uid, sizeof pod->pod_uid, true);
}

int divvy_http_jwt_pod(const struct divvy_http_jwt_keys *keys, const char *audience, const char *token, int64_t now_s,
                       struct divvy_http_pod *ret_pod, const char **ret_fault) {
    const char *dot = strchr(token, '.'), *second = dot ? strchr(dot + 1, '.') : NULL;
    json_t *header = NULL, *claims = NULL;
    struct divvy_http_pod pod;

    *ret_fault = "Invalid authorization header format";
    if (!second || strchr(second + 1, '.') || strlen(token) > DIVVY_HTTP_TOKEN_MAX_CHARS)
        return -EACCES;
    header = part_json(token, (size_t)(dot - token));
    claims = part_json(dot + 1, (size_t)(second - dot - 1));
    if (!header || !claims)
        *ret_fault = "Authentication failed: the token cannot be read";
    else if (json_object_get(header, "crit"))
        *ret_fault = "Authentication failed: the token asks for extensions";
    else if (keys &&
             !signature_is_good(keys, token, (size_t)(second - token), json_string_value(json_object_get(header, "alg"))))
        *ret_fault = "Authentication failed: the token's signature is not good";
    else if (!(*ret_fault = times_fault(claims, now_s))) {
        if (!audience_fits(claims, audience))
            *ret_fault = "Authentication failed: the token is for another audience";
        else if (!pod_read(claims, &pod))
            *ret_fault = "Authentication failed: the token names no pod";
    }
    json_decref(header);
    json_decref(claims);
    if (*ret_fault)
        return -EACCES;
    *ret_pod = pod;
    return 0;
}
