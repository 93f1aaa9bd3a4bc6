/* Pure parts of the HTTP server: decoding, strict fields, specs, tokens of pods, metrics and their lines. */
#include "client.h"
#include "daemon/http/auth.h"
#include "daemon/http/buffer.h"
#include "daemon/http/jwt.h"
#include "daemon/http/listen.h"
#include "daemon/http/metrics.h"
#include "daemon/http/metrics_file.h"
#include "daemon/http/request.h"
#include "daemon/http/spec.h"
#include "fake_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/divvy-http-parts-XXXXXX";

static void test_percent_decode(void **unused) {
    static const struct {
        const char *coded, *text; /* NULL: refused */
    } cases[] = {{"", ""},     {"abc", "abc"}, {"a%2Fb", "a/b"}, {"%2f%2F", "//"}, {"%", NULL},
                 {"%2", NULL}, {"%zz", NULL},  {"%00", NULL},    {"a%0", NULL},    {"%25", "%"},
                 {"+", "+"},   {"%41%", NULL}, {"%c3%a4", "ä"},  {"%-1", NULL},    {"% 1", NULL}};
    char text[16];

    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int result = divvy_http_percent_decode(cases[i].coded, strlen(cases[i].coded), text, sizeof text);

        assert_int_equal(result, cases[i].text ? (int)strlen(cases[i].text) : -EINVAL);
        if (cases[i].text)
            assert_string_equal(text, cases[i].text);
    }
    assert_int_equal(divvy_http_percent_decode("123456789012345", 15, text, sizeof text), 15);
    assert_int_equal(divvy_http_percent_decode("1234567890123456", 16, text, sizeof text), -ENAMETOOLONG);
}

static void test_base64url(void **unused) {
    uint8_t bytes[8];

    (void)unused;
    assert_int_equal(divvy_http_base64url_decode("", 0, bytes, 8), 0);
    assert_int_equal(divvy_http_base64url_decode("_-8", 3, bytes, 8), 2);
    assert_int_equal(bytes[0], 0xff);
    assert_int_equal(bytes[1], 0xef);
    assert_int_equal(divvy_http_base64url_decode("A", 1, bytes, 8), -EINVAL);
    assert_int_equal(divvy_http_base64url_decode("AB", 2, bytes, 8), -EINVAL); /* bits left over */
    assert_int_equal(divvy_http_base64url_decode("AA==", 4, bytes, 8), -EINVAL);
    assert_int_equal(divvy_http_base64url_decode("+/+/", 4, bytes, 8), -EINVAL);
    assert_int_equal(divvy_http_base64url_decode("AAAAAAAAAAAA", 12, bytes, 8), -ENOSPC);
}

/* --- specs ---------------------------------------------------------------------------------------------------------- */

static const struct divvy_node_device two[2] = {{.index = 3, .uuid_text = "GPU-00000000-0000-0000-0000-00000000000a"},
                                                {.index = 5, .uuid_text = "GPU-00000000-0000-0000-0000-00000000000b"}};

/* words NULL: it is taken. */
static void spec_try(const char *body, const char *words, struct divvy_node_spec *ret_spec) {
    json_t *json = json_loads(body, 0, NULL);
    struct divvy_error error = {0};
    bool owner_set;
    int result;

    assert_non_null(json);
    result = divvy_http_spec_read(json, two, 2, ret_spec, &owner_set, &error);
    if (result != (words ? -EINVAL : 0) || (words && !strstr(error.text, words)))
        fail_msg("%s: %d '%s'", body, result, error.text);
    json_decref(json);
}

static void test_spec(void **unused) {
    static const struct {
        const char *body, *words;
    } bad[] = {
        {"{}", "id is missing"},
        {"{\"id\":5}", "id must be a string"},
        {"{\"id\":\"\"}", "id must not be empty"},
        {"{\"id\":\"a\"}", "devices must be a list"},
        {"{\"id\":\"a\",\"devices\":{}}", "devices must be a list"},
        {"{\"id\":\"a\",\"devices\":[]}", "at least one"},
        {"{\"id\":\"a\",\"devices\":[1]}", "devices[0] must be an object"},
        {"{\"id\":\"a\",\"devices\":[{}]}", "devices[0].gpu is missing"},
        {"{\"id\":\"a\",\"devices\":[{\"gpu\":4}]}", "no GPU '4'"},
        {"{\"id\":\"a\",\"devices\":[{\"gpu\":-3}]}", "devices[0].gpu must be"},
        {"{\"id\":\"a\",\"devices\":[{\"gpu\":3.0}]}", "devices[0].gpu must be"},
        {"{\"id\":\"a\",\"devices\":[{\"gpu\":\"\"}]}", "no GPU ''"},
        {"{\"id\":\"a\",\"devices\":[{\"gpu\":3},{\"gpu\":5,\"weight\":0}]}", "devices[1].weight must be from 1"},
        {"{\"id\":\"a\",\"devices\":[{\"gpu\":3,\"weight\":1000001}]}", "devices[0].weight must be from 1"},
        {"{\"id\":\"a\",\"devices\":[{\"gpu\":3,\"memory_limit_bytes\":0}]}", "memory_limit_bytes must be from 1"},
        {"{\"id\":\"a\",\"devices\":[{\"gpu\":3,\"memory_limit_bytes\":-5}]}", "memory_limit_bytes must be from 1"},
        {"{\"id\":\"a\",\"devices\":[{\"gpu\":3,\"memory_limit_bytes\":\"8Gi\"}]}", "must be a whole number"},
        {"{\"id\":\"a\",\"devices\":[{\"gpu\":3,\"memory_limit_bytes\":1.5}]}", "must be a whole number"},
        {"{\"id\":\"a\",\"devices\":[{\"gpu\":3,\"compute_percent\":0}]}", "from 0.1 to 100"},
        {"{\"id\":\"a\",\"devices\":[{\"gpu\":3,\"compute_percent\":100.1}]}", "from 0.1 to 100"},
        {"{\"id\":\"a\",\"devices\":[{\"gpu\":3,\"compute_percent\":-1e300}]}", "from 0.1 to 100"},
        {"{\"id\":\"a\",\"devices\":[{\"gpu\":3,\"compute_percent\":true}]}", "number of percent"},
        {"{\"id\":\"a\",\"devices\":[{\"gpu\":3,\"soft\":1}]}", "soft must be true or false"},
        {"{\"id\":\"a\",\"devices\":[{\"gpu\":3,\"size\":1}]}", "devices[0].size is not a field"},
        {"{\"id\":\"a\",\"devices\":[{\"gpu\":3}],\"uid\":0}", "uid is not a field"},
        {"{\"id\":\"a\",\"devices\":[{\"gpu\":3}],\"qos\":\"best\"}", "qos must be low"},
        {"{\"id\":\"a\",\"devices\":[{\"gpu\":3}],\"keeper_pid\":0}", "keeper_pid must be from 1"},
        {"{\"id\":\"a\",\"devices\":[{\"gpu\":3}],\"keeper_pid\":2147483648}", "keeper_pid must be from 1"},
        {"{\"id\":\"a\",\"devices\":[{\"gpu\":3}],\"labels\":[]}", "labels must be an object"},
        {"{\"id\":\"a\",\"devices\":[{\"gpu\":3}],\"labels\":{\"app\":1}}", "labels: 'app' must be a text"},
        {"{\"id\":\"a\",\"devices\":[{\"gpu\":3}],\"labels\":{\"\":\"x\"}}", "labels: '' must be a text"},
    };
    struct divvy_node_spec spec, untouched;
    char many[1024] = "{\"id\":\"a\",\"devices\":[{\"gpu\":3}", name[400];

    (void)unused;
    memset(&spec, 0x5a, sizeof spec);
    untouched = spec;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        spec_try(bad[i].body, bad[i].words, &spec);
    assert_memory_equal(&spec, &untouched, sizeof spec);
    for (int i = 0; i < 16; i++)
        strcat(many, ",{\"gpu\":3}");
    strcat(many, "]}");
    spec_try(many, "more than 16", &spec);
    snprintf(name, sizeof name, "{\"id\":\"%0200d\",\"devices\":[{\"gpu\":3}]}", 0);
    spec_try(name, "longer than 127", &spec);

    spec_try("{\"id\":\"a/b\",\"qos\":\"CRITICAL\",\"keeper_pid\":12,\"devices\":[{\"gpu\":\"5\",\"compute_percent\":33.34},"
             "{\"gpu\":\"00000000-0000-0000-0000-00000000000A\",\"memory_limit_bytes\":null,\"compute_percent\":100,"
             "\"soft\":true,\"weight\":9}],\"labels\":{\"team\":\"vision\",\"app\":\"we\\\"b\"}}",
             NULL, &spec);
    assert_string_equal(spec.labels, "{\"app\":\"we\\\"b\",\"team\":\"vision\"}");
    assert_string_equal(spec.id, "a/b");
    assert_int_equal(spec.qos, DIVVY_NODE_QOS_CRITICAL);
    assert_int_equal(spec.source, DIVVY_NODE_FROM_RUN);
    assert_int_equal(spec.binding_count, 2);
    assert_int_equal(spec.bindings[0].device, 1);
    assert_int_equal(spec.bindings[0].compute_permille, 333);
    assert_true(spec.bindings[0].limit_bytes == DIVVY_NODE_MEMORY_NONE);
    assert_int_equal(spec.bindings[0].weight, 0);
    assert_int_equal(spec.bindings[1].device, 0);
    assert_int_equal(spec.bindings[1].compute_permille, 1000);
    assert_true(spec.bindings[1].soft);
}

static void test_change(void **unused) {
    static const struct {
        const char *body, *words; /* NULL: taken */
        uint32_t fields;
    } cases[] = {
        {"{}", "nothing to change", 0},
        {"{\"gpu\":3}", "nothing to change", 0},
        {"{\"gpu\":9,\"soft\":true}", "no GPU", 0},
        {"{\"id\":\"x\"}", "id is not a field", 0},
        {"{\"weight\":null}", "weight must be a whole number", 0},
        {"{\"soft\":false}", NULL, DIVVY_NODE_CHANGE_SOFT},
        {"{\"compute_percent\":null,\"memory_limit_bytes\":null}", NULL, DIVVY_NODE_CHANGE_COMPUTE | DIVVY_NODE_CHANGE_MEMORY},
        {"{\"qos\":\"low\",\"weight\":3}", NULL, DIVVY_NODE_CHANGE_QOS | DIVVY_NODE_CHANGE_WEIGHT},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *json = json_loads(cases[i].body, 0, NULL);
        struct divvy_node_change change = {0};
        struct divvy_error error = {0};
        int result = divvy_http_change_read(json, two, 2, &change, &error);

        if (result != (cases[i].words ? -EINVAL : 0) || (cases[i].words && !strstr(error.text, cases[i].words)))
            fail_msg("%s: %d '%s'", cases[i].body, result, error.text);
        assert_int_equal(change.fields, cases[i].fields);
        json_decref(json);
    }
}

/* --- tokens --------------------------------------------------------------------------------------------------------- */

static EVP_PKEY *rsa, *ec, *other;

static char *encode64(const uint8_t *bytes, size_t length) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    char *text = calloc(1, length * 4 / 3 + 4), *at = text;

    for (size_t i = 0; i < length; i += 3) {
        uint32_t bits =
            (uint32_t)bytes[i] << 16 | (i + 1 < length ? (uint32_t)bytes[i + 1] << 8 : 0) | (i + 2 < length ? bytes[i + 2] : 0);

        for (size_t j = 0; j < 4 && i + j < length + 1; j++)
            *at++ = digits[bits >> (18 - 6 * j) & 63];
    }
    return text;
}

/* A signed token; `key` NULL: with an empty signature. */
static char *token_make(const char *header, const char *claims, EVP_PKEY *key) {
    char *first = encode64((const uint8_t *)header, strlen(header)),
         *second = encode64((const uint8_t *)claims, strlen(claims));
    char *token = calloc(1, strlen(first) + strlen(second) + 2048), *third = NULL;
    uint8_t signature[1024], raw[64];
    size_t length = sizeof signature;

    if (!token)
        abort();
    sprintf(token, "%s.%s", first, second);
    if (key) {
        EVP_MD_CTX *context = EVP_MD_CTX_new();

        assert_int_equal(EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key), 1);
        assert_int_equal(EVP_DigestSign(context, signature, &length, (uint8_t *)token, strlen(token)), 1);
        EVP_MD_CTX_free(context);
        if (EVP_PKEY_is_a(key, "EC")) {
            const uint8_t *at = signature;
            ECDSA_SIG *parsed = d2i_ECDSA_SIG(NULL, &at, (long)length);

            BN_bn2binpad(ECDSA_SIG_get0_r(parsed), raw, 32);
            BN_bn2binpad(ECDSA_SIG_get0_s(parsed), raw + 32, 32);
            ECDSA_SIG_free(parsed);
            third = encode64(raw, 64);
        } else {
            third = encode64(signature, length);
        }
    }
    sprintf(token + strlen(token), ".%s", third ? third : "");
    free(first);
    free(second);
    free(third);
    return token;
}

static void file_write(const char *name, const char *text, mode_t mode, char path[128]) {
    FILE *file;

    snprintf(path, 128, "%s/%s", folder, name);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    chmod(path, mode);
}

static void keys_write(char path[128]) {
    FILE *file;

    rsa = EVP_RSA_gen(2048);
    ec = EVP_EC_gen("P-256");
    other = EVP_RSA_gen(2048);
    snprintf(path, 128, "%s/keys.pem", folder);
    file = fopen(path, "w");
    PEM_write_PUBKEY(file, rsa);
    PEM_write_PUBKEY(file, ec);
    fclose(file);
}

#define POD "\"kubernetes.io\":{\"namespace\":\"prod\",\"pod\":{\"name\":\"web-0\",\"uid\":\"u-1\"}}"

static void token_try(const struct divvy_http_auth *auth, const char *header, const char *claims, EVP_PKEY *key,
                      const char *fault) {
    char *token = token_make(header, claims, key);
    struct divvy_http_pod pod = {0};
    const char *found = NULL;
    int result = divvy_http_auth_pod(auth, token, 1000000, true, &pod, &found);

    if (result != (fault ? -EACCES : 0) || (fault && !strstr(found, fault)))
        fail_msg("%s %s: %d '%s'", header, claims, result, found ? found : "");
    if (!fault) {
        assert_string_equal(pod.namespace, "prod");
        assert_string_equal(pod.pod, "web-0");
        assert_string_equal(pod.pod_uid, "u-1");
    }
    free(token);
}

static void test_pod_tokens(void **unused) {
    const char *rs = "{\"alg\":\"RS256\"}", *es = "{\"alg\":\"ES256\",\"kid\":\"x\"}";
    const char *good = "{\"exp\":1000100,\"nbf\":999000,\"aud\":[\"a\",\"divvy\"]," POD "}";
    struct divvy_http_auth *auth = NULL, *open = NULL, *none = NULL;
    struct divvy_error error = {0};
    struct divvy_http_pod pod;
    const char *fault;
    char path[128], *token;

    (void)unused;
    keys_write(path);
    assert_int_equal(divvy_http_auth_new(NULL, path, "divvy", false, &auth, &error), 0);
    token_try(auth, rs, good, rsa, NULL);
    token_try(auth, es, good, ec, NULL);
    token_try(auth, rs, good, other, "signature");
    token_try(auth, es, good, rsa, "signature");
    token_try(auth, rs, good, ec, "signature");
    token_try(auth, rs, good, NULL, "signature");
    token_try(auth, "{\"alg\":\"none\"}", good, NULL, "signature");
    token_try(auth, "{\"alg\":\"HS256\"}", good, rsa, "signature");
    token_try(auth, "{}", good, rsa, "signature");
    token_try(auth, "{\"alg\":\"RS256\",\"crit\":[\"b64\"]}", good, rsa, "extensions");
    token_try(auth, "[]", good, rsa, "cannot be read");
    token_try(auth, rs, "{\"exp\":999990,\"aud\":\"divvy\"," POD "}", rsa, "expired");
    token_try(auth, rs, "{\"exp\":999996,\"aud\":\"divvy\"," POD "}", rsa, NULL); /* within the leeway */
    token_try(auth, rs, "{\"aud\":\"divvy\"," POD "}", rsa, "no exp");
    token_try(auth, rs, "{\"exp\":\"1000100\",\"aud\":\"divvy\"," POD "}", rsa, "no exp");
    token_try(auth, rs, "{\"exp\":1000100,\"nbf\":1000010,\"aud\":\"divvy\"," POD "}", rsa, "not valid yet");
    token_try(auth, rs, "{\"exp\":1000100,\"nbf\":\"soon\",\"aud\":\"divvy\"," POD "}", rsa, "not valid yet");
    token_try(auth, rs, "{\"exp\":1000100,\"aud\":\"other\"," POD "}", rsa, "audience");
    token_try(auth, rs, "{\"exp\":1000100," POD "}", rsa, "audience");
    token_try(auth, rs, "{\"exp\":1000100,\"aud\":\"divvy\"}", rsa, "no pod");
    token_try(auth, rs, "{\"exp\":1000100,\"aud\":\"divvy\",\"kubernetes.io\":{\"namespace\":\"..\",\"pod\":{\"name\":\"x\"}}}",
              rsa, "no pod");
    token_try(auth, rs,
              "{\"exp\":1000100,\"aud\":\"divvy\",\"kubernetes.io\":{\"namespace\":\"a/b\",\"pod\":{\"name\":\"x\"}}}", rsa,
              "no pod");
    for (size_t i = 0; i < 3; i++) {
        static const char *const odd[] = {"a.b", "a.b.c.d", "!.!.!"};

        assert_int_equal(divvy_http_auth_pod(auth, odd[i], 1000000, true, &pod, &fault), -EACCES);
    }
    /* Any change of the signed part, byte by byte. */
    token = token_make(rs, good, rsa);
    for (char *at = token; *at && *at != '.'; at++) {
        *at ^= 1;
        assert_int_equal(divvy_http_auth_pod(auth, token, 1000000, true, &pod, &fault), -EACCES);
        *at ^= 1;
    }
    assert_int_equal(divvy_http_auth_pod(auth, token, 1000000, true, &pod, &fault), 0);
    free(token);

    assert_int_equal(divvy_http_auth_new(NULL, NULL, NULL, true, &open, &error), 0);
    token_try(open, "{\"alg\":\"none\"}", good, NULL, NULL);
    token_try(open, rs, "{\"exp\":999990," POD "}", NULL, "expired");
    token = token_make("{\"alg\":\"none\"}", good, NULL);
    assert_int_equal(divvy_http_auth_pod(open, token, 1000000, false, &pod, &fault), -EACCES); /* not on this channel */
    assert_int_equal(divvy_http_auth_new(NULL, NULL, NULL, false, &none, &error), 0);
    assert_int_equal(divvy_http_auth_pod(none, token, 1000000, true, &pod, &fault), -EACCES);
    free(token);
    divvy_http_auth_free(auth);
    divvy_http_auth_free(open);
    divvy_http_auth_free(none);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(other);
}

static void test_token_file(void **unused) {
    static const struct {
        const char *text;
        mode_t mode;
        int result;
        const char *words;
    } cases[] = {
        {"# one\n0123456789abcdef\n\n  fedcba9876543210-x \r\n", 0600, 0, NULL},
        {"0123456789abcdef", 0644, -EPERM, "everybody"},
        {"0123456789abcdef", 0640, 0, NULL},
        {"short\n", 0600, -EINVAL, "line 1"},
        {"0123456789abcdef\ntwo words-and-more-of-them\n", 0600, -EINVAL, "line 2"},
        {"# nothing\n", 0600, -EINVAL, "no token"},
    };
    struct divvy_http_auth *auth = NULL;
    struct divvy_error error = {0};
    char path[128];

    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        file_write("tokens", cases[i].text, cases[i].mode, path);
        assert_int_equal(divvy_http_auth_new(path, NULL, NULL, false, &auth, &error), cases[i].result);
        if (cases[i].result < 0) {
            assert_non_null(strstr(error.text, cases[i].words));
            continue;
        }
        assert_true(divvy_http_auth_has_tokens(auth));
        assert_true(divvy_http_auth_token_is_known(auth, "0123456789abcdef"));
        assert_false(divvy_http_auth_token_is_known(auth, "0123456789abcdeF"));
        assert_false(divvy_http_auth_token_is_known(auth, "0123456789abcde"));
        assert_false(divvy_http_auth_token_is_known(auth, ""));
        assert_int_equal(divvy_http_auth_token_is_known(auth, "fedcba9876543210-x"), i == 0);
        divvy_http_auth_free(auth);
    }
    file_write("keys", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", 0644, path);
    assert_int_equal(divvy_http_auth_new(NULL, path, NULL, false, &auth, &error), -EINVAL);
    assert_int_equal(divvy_http_auth_new("/nowhere/tokens", NULL, NULL, false, &auth, &error), -ENOENT);
}

static void test_listen(void **unused) {
    static const char *const bad[] = {"",
                                      "8001",
                                      "localhost",
                                      "localhost:",
                                      "localhost:x",
                                      "localhost:65536",
                                      "::1:80",
                                      "[::1]80",
                                      "no-such-host.invalid:80",
                                      "localhost:-1"};
    struct divvy_error error;
    bool loopback = false;
    uint16_t port = 0;
    int fd;

    (void)unused;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(divvy_http_listen_tcp(bad[i], &loopback, &port, &error), -EINVAL);
    fd = divvy_http_listen_tcp("127.0.0.1:0", &loopback, &port, &error);
    assert_true(fd >= 0 && loopback && port > 0);
    close(fd);
    fd = divvy_http_listen_tcp("0.0.0.0:0", &loopback, &port, &error);
    assert_true(fd >= 0 && !loopback);
    close(fd);
}

/* --- metrics -------------------------------------------------------------------------------------------------------- */

static struct divvy_daemon *state_with_tenants(void) {
    struct divvy_daemon *state = fake_new();

    fake_tenant_add(state, "prod/we\"b\\0/main", "prod", "we\"b\\0", "main", DIVVY_NODE_QOS_HIGH, 0, 4242, UINT64_C(1) << 30);
    fake_tenant_add(state, "idle one", "", "", "", DIVVY_NODE_QOS_LOW, 0, 0, 0);
    return state;
}

static void test_metrics(void **unused) {
    struct divvy_daemon *state = state_with_tenants();
    struct divvy_metrics_figures figures = {.version = "1.2", .node = "n\n1", .connections = 3};
    struct divvy_daemon_health health;
    struct divvy_node_device *devices;
    struct divvy_node_tenant *tenants;
    size_t length = 0;
    char *text;
    static const char *const lines[] = {
        "\ndivvy_build_info{version=\"1.2\",node=\"n\\n1\"} 1\n",
        "\ndivvy_ready 1\n",
        "\ndivvy_uptime_seconds 12.345678901\n",
        "\ndivvy_scheduler_decision_mean_seconds 8e-07\n",
        "\ndivvy_device_temperature_celsius{gpu=\"GPU-a0a0a0a0-0000-0000-0000-000000000000\"} 41\n",
        "\ndivvy_device_memory_bytes{gpu=\"GPU-a0a0a0a0-0000-0000-0000-000000000000\"} 85899345920\n",
        "\ndivvy_device_memory_promised_bytes{gpu=\"GPU-a0a0a0a0-0000-0000-0000-000000000000\"} 17179869184\n",
        "\ndivvy_device_tenants{gpu=\"GPU-a1a1a1a1-0000-0000-0000-000000000001\"} 0\n",
        "\ndivvy_tenant_share_ratio{tenant=\"prod/we\\\"b\\\\0/main\",gpu=\"GPU-a0a0a0a0-0000-0000-0000-000000000000\"} "
        "0.497\n",
        "\ndivvy_tenant_throttled_seconds_total{tenant=\"idle one\",gpu=\"GPU-a0a0a0a0-0000-0000-0000-000000000000\"} 1.5\n",
        "\nprocess_resident_memory_bytes 10485760\n",
        "\n# TYPE divvy_tenant_memory_refused_total counter\n",
    };

    (void)unused;
    divvy_daemon_health(state, &health);
    figures.health = &health;
    assert_int_equal(divvy_daemon_devices(state, &devices, &figures.device_count), 0);
    assert_int_equal(divvy_daemon_tenants(state, &tenants, &figures.tenant_count), 0);
    figures.devices = devices;
    figures.tenants = tenants;
    text = divvy_metrics_render(&figures, &length);
    assert_non_null(text);
    assert_int_equal(strlen(text), length);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        if (!strstr(text, lines[i]))
            fail_msg("no %s in\n%s", lines[i], text);
    /* The second device's temperature is unknown. */
    assert_null(strstr(text, "temperature_celsius{gpu=\"GPU-a1"));
    free(text);
    free(devices);
    free(tenants);
    fake_free(state);
}

static void test_lines(void **unused) {
    struct divvy_daemon *state = state_with_tenants();
    struct divvy_metrics_lines lines = {.node = "node 1", .pool = "a=b,c", .realtime_ns = 1700000000123456789};
    struct divvy_node_device *devices;
    struct divvy_node_tenant *tenants;
    json_t *workers;
    size_t length;
    char *text;

    (void)unused;
    assert_int_equal(divvy_daemon_devices(state, &devices, &lines.device_count), 0);
    assert_int_equal(divvy_daemon_tenants(state, &tenants, &lines.tenant_count), 0);
    lines.devices = devices;
    lines.tenants = tenants;
    text = divvy_metrics_lines_render(&lines, &length);
    assert_string_equal(
        text,
        "tf_gpu_usage,uuid=GPU-a0a0a0a0-0000-0000-0000-000000000000,node=node\\ 1,pool=a\\=b\\,c temperature=41,"
        "memory_bytes=1073741824i,memory_percentage=1.25,compute_percentage=33.3,compute_tflops=329.5035,power_usage=350.5,"
        "sm_clock_mhz=1980,memory_clock_mhz=2619 1700000000123\n"
        "tf_gpu_usage,uuid=GPU-a1a1a1a1-0000-0000-0000-000000000001,node=node\\ 1,pool=a\\=b\\,c "
        "memory_bytes=1073741824i,memory_percentage=1.25,compute_percentage=33.3,compute_tflops=329.5035,"
        "sm_clock_mhz=1980,memory_clock_mhz=2619 1700000000123\n"
        "tf_worker_usage,uuid=GPU-a0a0a0a0-0000-0000-0000-000000000000,node=node\\ 1,pool=a\\=b\\,c,pod_name=we\"b\\\\0,"
        "namespace=prod,worker=prod/we\"b\\\\0/main memory_bytes=1073741824i,memory_percentage=12.5,compute_percentage=49.7,"
        "compute_tflops=491.7815,compute_throttled_cnt=0,compute_throttled_seconds=1.5,vram_freezed_cnt=0,vram_resumed_cnt=0 "
        "1700000000123\n");
    free(text);
    workers = json_pack("[{s:s, s:s, s:s, s:I, s:f}, {s:s}]", "WorkerUID", "a b", "WorkerName", "", "DeviceUUID", "MIG-1", "MemoryBytes",
                        (json_int_t)4096, "ComputePercentage", 12.5, "WorkerUID", "nothing known");
    lines.workers = workers;
    text = divvy_metrics_lines_render(&lines, &length);
    assert_non_null(strstr(text, "\ntf_worker_usage,uuid=MIG-1,node=node\\ 1,pool=a\\=b\\,c,worker=a\\ b memory_bytes=4096i,"
                                 "compute_percentage=12.5 1700000000123\n"));
    free(text);
    lines.workers = NULL;
    json_decref(workers);
    lines.is_json = true;
    text = divvy_metrics_lines_render(&lines, &length);
    for (char *line = text, *next; *line; line = next) {
        json_t *json;

        next = strchr(line, '\n') + 1;
        next[-1] = '\0';
        json = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(json);
        assert_int_equal(json_integer_value(json_object_get(json, "ts")), 1700000000123);
        assert_true(json_is_object(json_object_get(json, "tag")) && json_object_size(json_object_get(json, "field")) > 4);
        assert_string_equal(json_string_value(json_object_get(json_object_get(json, "tag"), "pool")), "a=b,c");
        json_decref(json);
    }
    free(text);
    free(devices);
    free(tenants);
    fake_free(state);
}

/* Tags that come of a pod's labels, and what happened to processes. */
static void test_labels_and_events(void **unused) {
    struct divvy_daemon *state = state_with_tenants();
    struct divvy_node_event events[] = {
        {.number = 1, .time_ns = 1600000000001000000, .kind = DIVVY_NODE_EVENT_PROCESS_STARTED, .pid = 4242, .qos = DIVVY_NODE_QOS_HIGH,
         .weight = 500, .text = "process 4242 (trainer)"},
        {.number = 2, .time_ns = 1600000000002000000, .kind = DIVVY_NODE_EVENT_TENANT_FROZEN, .weight = 3},
        {.number = 3, .time_ns = 1600000000003000000, .kind = DIVVY_NODE_EVENT_TRAP, .pid = 4242, .weight = 500,
         .text = "short of \"5\\\" bytes"},
        {.number = 4, .time_ns = 1600000000004000000, .kind = DIVVY_NODE_EVENT_PROCESS_ENDED, .pid = 4242, .qos = DIVVY_NODE_QOS_HIGH,
         .weight = 500},
    };
    struct divvy_metrics_lines lines = {
        .node = "n", .pool = "p", .realtime_ns = 1700000000123456789, .events = events, .event_count = 4};
    struct divvy_error error = {0};
    struct divvy_node_device *devices;
    struct divvy_node_tenant *tenants;
    json_t *labels, *json;
    size_t length;
    char *text;

    (void)unused;
    assert_int_equal(divvy_metrics_labels_read("{\"team\":\"group one\",\"absent\":\"absent\",\"x/app\":\"app\"}", &labels, &error), 0);
    assert_int_equal(divvy_daemon_devices(state, &devices, &lines.device_count), 0);
    assert_int_equal(divvy_daemon_tenants(state, &tenants, &lines.tenant_count), 0);
    snprintf(tenants[0].labels, sizeof tenants[0].labels,
             "{\"team\":\"a, b\",\"tensor-fusion.ai/workload\":\"web\",\"x/app\":\"\",\"other\":\"o\"}");
    lines.devices = devices;
    lines.device_count = 1;
    lines.tenants = tenants;
    lines.labels = labels;
    text = divvy_metrics_lines_render(&lines, &length);
    assert_non_null(strstr(text, ",pod_name=we\"b\\\\0,namespace=prod,workload=web,worker=prod/we\"b\\\\0/main,group\\ one=a\\,\\ b "
                                 "memory_bytes="));
    assert_non_null(strstr(text, "\ntf_scheduler_event,event_type=register_process,pid=4242,qos=high weight=500 1600000000001\n"
                                 "tf_scheduler_event,event_type=on_trap,pid=4242,qos=low weight=500,"
                                 "trap_details=\"short of \\\"5\\\\\\\" bytes\" 1600000000003\n"
                                 "tf_scheduler_event,event_type=remove_process,pid=4242,qos=high weight=500 1600000000004\n"));
    assert_null(strstr(text, "frozen"));
    free(text);
    lines.is_json = true;
    text = divvy_metrics_lines_render(&lines, &length);
    json = json_loads(strstr(text, "{\"measure\":\"tf_scheduler_event\",\"tag\":{\"event_type\":\"on_trap\""), JSON_DISABLE_EOF_CHECK, NULL);
    assert_string_equal(json_string_value(json_object_get(json_object_get(json, "field"), "trap_details")), events[2].text);
    json_decref(json);
    json = json_loads(strstr(text, "{\"measure\":\"tf_worker_usage\""), JSON_DISABLE_EOF_CHECK, NULL);
    assert_string_equal(json_string_value(json_object_get(json_object_get(json, "tag"), "group one")), "a, b");
    assert_null(json_object_get(json_object_get(json, "tag"), "absent"));
    json_decref(json);
    free(text);
    /* What a tenant's file may say, whoever wrote it. */
    snprintf(tenants[0].labels, sizeof tenants[0].labels, "[1, {");
    text = divvy_metrics_lines_render(&lines, &length);
    assert_null(strstr(text, "group one"));
    free(text);
    json_decref(labels);
    free(devices);
    free(tenants);
    fake_free(state);
    assert_int_equal(divvy_metrics_labels_read("{\"a\":\"node\"}", &labels, &error), -EINVAL);
    assert_int_equal(divvy_metrics_labels_read("{\"a\":\"t\",\"b\":\"t\"}", &labels, &error), -EINVAL);
    assert_non_null(strstr(error.text, "there already"));
    assert_int_equal(divvy_metrics_labels_read("null", &labels, &error), 0);
    assert_null(labels);
}

static long file_size(const char *path) {
    struct stat status;

    return stat(path, &status) == 0 ? (long)status.st_size : -1;
}

static void wait_for(const char *path, long more_than) {
    for (int i = 0; i < 1000 && file_size(path) <= more_than; i++)
        usleep(10000);
    assert_true(file_size(path) > more_than);
}

static void test_metrics_file(void **unused) {
    struct divvy_daemon *state = state_with_tenants();
    struct divvy_metrics_file_settings settings = {.interval_ns = 10000000, .labels = "{\"team\":\"team\"}"};
    struct divvy_metrics_file *file = NULL;
    struct divvy_error error = {0};
    char path[128], moved[140];

    (void)unused;
    snprintf(path, sizeof path, "%s/metrics.log", folder);
    settings.path = path;
    settings.labels = "[1]";
    assert_int_equal(divvy_metrics_file_start(state, &settings, &file, &error), -EINVAL);
    settings.labels = NULL;
    settings.interval_ns = 1;
    assert_int_equal(divvy_metrics_file_start(state, &settings, &file, &error), -EINVAL);
    settings.interval_ns = 10000000;
    settings.path = folder;
    assert_true(divvy_metrics_file_start(state, &settings, &file, &error) < 0);
    settings.path = path;
    assert_int_equal(divvy_metrics_file_start(state, &settings, &file, &error), 0);
    wait_for(path, 2000); /* more than one measurement */
    /* Moved away by somebody: begun anew. */
    snprintf(moved, sizeof moved, "%s.moved", path);
    assert_int_equal(rename(path, moved), 0);
    wait_for(path, 100);
    /* Full: renamed. A hole makes it long. */
    assert_int_equal(truncate(path, DIVVY_METRICS_FILE_BYTES), 0);
    snprintf(moved, sizeof moved, "%s.1", path);
    wait_for(moved, DIVVY_METRICS_FILE_BYTES - 1);
    wait_for(path, 100);
    assert_true(file_size(path) < 1000000);
    settings.path = "/nowhere/metrics";
    assert_int_equal(divvy_metrics_file_reload(file, &settings, &error), -ENOENT);
    settings.path = "";
    assert_int_equal(divvy_metrics_file_reload(file, &settings, &error), 0);
    divvy_metrics_file_stop(file);
    fake_free(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_percent_decode), cmocka_unit_test(test_base64url),  cmocka_unit_test(test_spec),
        cmocka_unit_test(test_change),         cmocka_unit_test(test_pod_tokens), cmocka_unit_test(test_token_file),
        cmocka_unit_test(test_listen),         cmocka_unit_test(test_metrics),    cmocka_unit_test(test_lines),
        cmocka_unit_test(test_metrics_file),   cmocka_unit_test(test_labels_and_events),
    };
    int result;
    struct dirent *entry;
    DIR *directory;

    if (!mkdtemp(folder))
        return 1;
    result = cmocka_run_group_tests(tests, NULL, NULL);
    directory = opendir(folder);
    while (directory && (entry = readdir(directory)))
        (void)unlinkat(dirfd(directory), entry->d_name, 0);
    if (directory)
        closedir(directory);
    rmdir(folder);
    return result;
}
