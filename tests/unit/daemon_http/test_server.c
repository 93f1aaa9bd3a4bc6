/*
 * The HTTP server as a whole: rude clients, limits, credentials on every kind of channel, waiting and streaming, and what
 * pods and processes may do. With a state that stands in for the daemon's.
 */
#include "client.h"
#include "daemon/http/server.h"
#include "fake_state.h"
#include "wire/channel_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TOKEN  "a-token-of-the-tests-0001"
#define BEARER "Authorization: Bearer " TOKEN "\r\n"
/* {"alg":"none"} {"exp":4102444800,"kubernetes.io":{"namespace":"prod","pod":{"name":"web-0","uid":"u-1"}}} */
#define POD_TOKEN                                                                                                              \
    "eyJhbGciOiJub25lIn0.eyJleHAiOjQxMDI0NDQ4MDAsImt1YmVybmV0ZXMuaW8iOnsibmFtZXNwYWNlIjoicHJvZCIsInBvZCI6eyJuYW1lIjoid2Vi"     \
    "LTAiLCJ1aWQiOiJ1LTEifX19."
#define POD_BEARER "Authorization: Bearer " POD_TOKEN "\r\n"

static char folder[] = "/tmp/divvy-http-server-XXXXXX";
static char socket_path[96], token_path[96];
static struct divvy_daemon *state;
static struct divvy_http *server;

static int start(struct divvy_http_options options, struct divvy_error *error) {
    options.socket_path = socket_path;
    options.socket_mode = 0666;
    options.socket_fd = -1;
    return divvy_http_start(state, &options, &server, error);
}

static void start_well(struct divvy_http_options options) {
    struct divvy_error error = {0};

    if (start(options, &error) != 0)
        fail_msg("%s", error.text);
}

static uint16_t port_of(void) {
    return server->listeners[1].port;
}

static int setup(void **unused) {
    (void)unused;
    state = fake_new();
    server = NULL;
    return 0;
}

static int teardown(void **unused) {
    (void)unused;
    divvy_http_stop(server);
    fake_free(state);
    return 0;
}

static void expect_fd(int fd, const char *method, const char *url, const char *headers, const char *body, int status,
                      const char *words) {
    struct client_answer answer = client_ask_fd(fd, method, url, headers, body);

    if (answer.status != status || (words && !strstr(answer.text, words)))
        fail_msg("%s %s: not %d '%s' but %s", method, url, status, words ? words : "", answer.text);
    client_answer_free(&answer);
}

static void expect(const char *method, const char *url, const char *headers, const char *body, int status, const char *words) {
    expect_fd(client_unix(socket_path), method, url, headers, body, status, words);
}

static void expect_tcp(const char *method, const char *url, const char *headers, const char *body, int status,
                       const char *words) {
    expect_fd(client_tcp(port_of()), method, url, headers, body, status, words);
}

/* --- rude clients --------------------------------------------------------------------------------------------------- */

static void test_bad_requests(void **unused) {
    char *large = malloc(70001);

    (void)unused;
    start_well((struct divvy_http_options){0});
    memset(large, ' ', 70000);
    large[70000] = '\0';
    expect("GET", "/", NULL, NULL, 404, "no such path");
    expect("GET", "/api/v1/tenants/", NULL, NULL, 404, "no such path");
    expect("GET", "/api/v1/tenants/%00", NULL, NULL, 400, "not well encoded");
    expect("GET", "/api/v1/tenants/%2", NULL, NULL, 400, "not well encoded");
    expect("GET", "/api/v1/tenants/..", NULL, NULL, 404, "no tenant '..'");
    expect("PUT", "/api/v1/tenants", NULL, "{}", 405, "Allow: GET, HEAD, POST");
    expect("DELETE", "/healthz", NULL, NULL, 405, "Allow: GET, HEAD\r\n");
    expect("BREW", "/healthz", NULL, NULL, 405, "BREW is not for this path");
    expect("POST", "/api/v1/tenants", NULL, "", 400, "empty");
    expect("POST", "/api/v1/tenants", NULL, "{\"id\": }", 400, "line 1 column 8");
    expect("POST", "/api/v1/tenants", NULL, "{\"id\":\"a\",\"id\":\"b\"}", 400, "duplicate object key");
    expect("POST", "/api/v1/tenants", NULL, "{\"id\":\"\\u0000\"}", 400, "NUL");
    expect("POST", "/api/v1/tenants", NULL, "{\"id\":\"\xff\"}", 400, "0xff");
    expect("POST", "/api/v1/tenants", NULL, "{} {}", 400, "column 4");
    expect("POST", "/api/v1/tenants", NULL, "[]", 400, "not a JSON object");
    expect("POST", "/api/v1/tenants", NULL, "{\"id\":5,\"devices\":[]}", 422, "id must be a string");
    expect("POST", "/api/v1/tenants", NULL, large, 413, "65536 bytes");
    expect("POST", "/healthz", NULL, large, 405, "Allow"); /* the body is read, the answer arrives */
    expect("POST", "/api/v1/tenants", "Content-Length: 104857600\r\n", NULL, 413, "65536 bytes");
    expect("POST", "/api/v1/tenants", "Expect: 100-continue\r\nContent-Length: 70000\r\n", NULL, 413, "65536 bytes");
    expect("GET", "/api/v1/events?after=-1", NULL, NULL, 400, "after");
    expect("GET", "/api/v1/events?wait=61", NULL, NULL, 400, "wait");
    expect("GET", "/api/v1/events?wait=x", NULL, NULL, 400, "wait");
    expect("HEAD", "/api/v1/node", NULL, NULL, 200, "Content-Type: application/json");
    memset(large, '[', 60000);
    large[60000] = '\0';
    expect("POST", "/api/v1/tenants", NULL, large, 400, "nested deeper than 16 at line 1 column 17");
    expect("POST", "/api/v1/tenants", NULL, "{\"id\":\"[[[[[[[[[[[[[[[[[[[[\\\"[\",\"devices\":[]}", 422, "devices");
    expect("GET", "/healthz", NULL, NULL, 200, "ok");
    free(large);
}

static void test_errors_of_the_state(void **unused) {
    static const struct {
        int number, status;
    } cases[] = {{-EPERM, 403},  {-EEXIST, 409}, {-EBUSY, 409},      {-EINVAL, 422},    {-EDQUOT, 409}, {-ENOSPC, 503},
                 {-ENOENT, 404}, {-EIO, 500},    {-EOPNOTSUPP, 501}, {-ETIMEDOUT, 503}, {-ESRCH, 404}};

    (void)unused;
    start_well((struct divvy_http_options){0});
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fake_fail_next(state, cases[i].number, "one\nline \"of\" words");
        expect("POST", "/api/v1/tenants", NULL, "{\"id\":\"a\",\"devices\":[{\"gpu\":0}]}", cases[i].status,
               "{\"error\":\"one line \\\"of\\\" words\"}");
    }
}

/* Status 1: any refusal, also without an answer. */
static void raw(const char *bytes, size_t length, int status) {
    int fd = client_unix(socket_path);
    struct client_answer answer;

    (void)client_send(fd, bytes, length);
    answer = client_read(fd, 15000);
    if (status == 1 ? answer.status != 0 && answer.status < 400 : answer.status != status)
        fail_msg("%d instead of %d: %.200s", answer.status, status, answer.text);
    client_answer_free(&answer);
}

static void test_raw_bytes(void **unused) {
    static const char chunked[] =
        "POST /api/v1/tenants HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    char *bytes = malloc(300000);
    unsigned seed = 12345;
    size_t length;

    (void)unused;
    start_well((struct divvy_http_options){.request_timeout_s = 1});
    raw("GET / HTTP/9.9\r\n\r\n", 18, 1);
    raw("GARBAGE\r\n\r\n", 11, 1);
    raw("GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 54, 200);
    /* A chunked body that grows beyond the limit, and one that never ends. */
    length = (size_t)sprintf(bytes, "%s%x\r\n", chunked, 100000);
    memset(bytes + length, ' ', 100000);
    memcpy(bytes + length + 100000, "\r\n0\r\n\r\n", 7);
    raw(bytes, length + 100007, 413);
    raw(chunked, sizeof chunked - 1, 1);
    /* A header without end, and noise. */
    length = (size_t)sprintf(bytes, "GET /healthz HTTP/1.1\r\nX: ");
    memset(bytes + length, 'y', 200000);
    raw(bytes, length + 200000, 1);
    for (int i = 0; i < 20; i++) {
        int fd = client_unix(socket_path);
        struct client_answer answer;

        for (size_t j = 0; j < 4096; j++)
            bytes[j] = (char)rand_r(&seed);
        (void)client_send(fd, bytes, 4096);
        shutdown(fd, SHUT_WR);
        answer = client_read(fd, 5000);
        client_answer_free(&answer);
    }
    expect("GET", "/healthz", NULL, NULL, 200, "ok");
    free(bytes);
}

/* A client that sends a byte now and then does not hold a connection for ever, nor others up. */
static void test_slow_client(void **unused) {
    static const char request[] = "GET /healthz HTTP/1.1\r\nHost: a\r\nX-Long: ";
    int fd;
    bool ended = false;

    (void)unused;
    start_well((struct divvy_http_options){.request_timeout_s = 1});
    fd = client_unix(socket_path);
    assert_int_equal(client_send(fd, request, sizeof request - 1), 0);
    for (int i = 0; i < 100 && !ended; i++) {
        ended = client_send(fd, "x", 1) != 0;
        usleep(100000);
        if (i == 5)
            expect("GET", "/healthz", NULL, NULL, 200, "ok");
    }
    assert_true(ended);
    close(fd);
}

static void test_limit_of_a_user(void **unused) {
    int held[8], status;
    pid_t child;

    (void)unused;
    if (geteuid() != 0)
        skip();
    start_well((struct divvy_http_options){.connections_per_peer = 4});
    chmod(folder, 0755);
    child = fork();
    if (child == 0) { /* another user takes more connections than it may */
        bool refused;

        if (setuid(65534) != 0)
            _exit(2);
        for (int i = 0; i < 4; i++)
            held[i] = client_unix(socket_path);
        usleep(200000);
        struct client_answer answer = client_ask(socket_path, "GET", "/api/v1/node", NULL, NULL);

        refused = answer.status == 503;
        for (int i = 0; i < 4; i++)
            close(held[i]);
        usleep(300000);
        answer = client_ask(socket_path, "GET", "/api/v1/node", NULL, NULL);
        _exit(refused && answer.status == 200 ? 0 : 1);
    }
    usleep(300000);
    expect("GET", "/api/v1/node", NULL, NULL, 200, "node-of-tests"); /* root is not held up */
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
}

/* --- credentials ---------------------------------------------------------------------------------------------------- */

struct call {
    const char *method, *url, *body;
};
static const struct call reads[] = {{"GET", "/api/v1/node", NULL},    {"GET", "/api/v1/tenants", NULL},
                                    {"GET", "/api/v1/devices", NULL}, {"GET", "/api/v1/workers", NULL},
                                    {"GET", "/api/v1/events", NULL},  {"GET", "/metrics", NULL},
                                    {"GET", "/api/v1/limiter", NULL}, {"GET", "/api/v1/node/devices", NULL}};
static const struct call changes[] = {
    {"POST", "/api/v1/tenants", "{\"id\":\"x\",\"devices\":[{\"gpu\":0}]}"},
    {"PATCH", "/api/v1/tenants/mine", "{\"soft\":true}"},
    {"POST", "/api/v1/tenants/mine/freeze", NULL},
    {"POST", "/api/v1/tenants/mine/snapshot", NULL},
    {"POST", "/api/v1/workers/mine/snapshot", NULL},
    {"POST", "/api/v1/devices/discover", NULL},
    {"DELETE", "/api/v1/tenants/mine", NULL},
};

static void test_tcp_open_on_loopback(void **unused) {
    (void)unused;
    fake_tenant_add(state, "mine", "", "", "", DIVVY_NODE_QOS_LOW, 0, 0, 0);
    start_well((struct divvy_http_options){.listen = "127.0.0.1:0"});
    expect_tcp("GET", "/healthz", NULL, NULL, 200, "ok");
    for (size_t i = 0; i < sizeof reads / sizeof reads[0]; i++)
        expect_tcp(reads[i].method, reads[i].url, NULL, reads[i].body, 200, NULL);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
        expect_tcp(changes[i].method, changes[i].url, NULL, changes[i].body, 401, "WWW-Authenticate: Bearer");
    expect_tcp("POST", "/api/v1/trap", NULL, NULL, 401, "Missing authorization header");
    expect_tcp("GET", "/api/v1/pod", NULL, NULL, 401, "Missing authorization header");
    expect_tcp("GET", "/api/v1/limiter/events/worker_1", NULL, NULL, 401, NULL);
    expect_tcp("GET", "/api/v1/node", BEARER, NULL, 401, "Authentication failed");
    expect_tcp("GET", "/api/v1/node", POD_BEARER, NULL, 401, "no key");
    /* A page of another site, by way of a name that leads here. */
    struct client_answer answer;
    int fd = client_tcp(port_of());
    static const char foreign[] = "GET /api/v1/tenants HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";

    (void)client_send(fd, foreign, sizeof foreign - 1);
    answer = client_read(fd, 10000);
    assert_int_equal(answer.status, 401);
    client_answer_free(&answer);
}

static void test_tcp_with_tokens(void **unused) {
    struct divvy_http_options options = {.listen = "127.0.0.1:0", .token_file = token_path};
    struct divvy_error error = {0};
    FILE *file;

    (void)unused;
    fake_can_snapshot(state, true);
    fake_tenant_add(state, "mine", "", "", "", DIVVY_NODE_QOS_LOW, 0, 0, 0);
    start_well(options);
    expect_tcp("GET", "/healthz", NULL, NULL, 200, "ok");
    expect_tcp("GET", "/readyz", NULL, NULL, 200, "ready");
    for (size_t i = 0; i < sizeof reads / sizeof reads[0]; i++) {
        expect_tcp(reads[i].method, reads[i].url, NULL, NULL, 401, "Missing authorization header");
        expect_tcp(reads[i].method, reads[i].url, "Authorization: Bearer wrong-token-of-the-tests\r\n", NULL, 401,
                   "Authentication failed");
        expect_tcp(reads[i].method, reads[i].url, "Authorization: Basic " TOKEN "\r\n", NULL, 401,
                   "Invalid authorization header format");
        expect_tcp(reads[i].method, reads[i].url, BEARER, NULL, 200, NULL);
    }
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        expect_tcp(changes[i].method, changes[i].url, NULL, changes[i].body, 401, NULL);
        expect_tcp(changes[i].method, changes[i].url, BEARER, changes[i].body,
                   i == 0                                     ? 201
                   : strcmp(changes[i].method, "DELETE") == 0 ? 204
                                                              : 200,
                   NULL);
    }
    assert_true(fake_last_peer(state)->admin);
    assert_false(fake_last_peer(state)->known);
    /* Other tokens from now on. */
    file = fopen(token_path, "w");
    fputs("another-token-of-the-tests\n", file);
    fclose(file);
    options.socket_fd = -1;
    assert_int_equal(divvy_http_reload(server, &options, &error), 0);
    expect_tcp("GET", "/api/v1/node", BEARER, NULL, 401, NULL);
    expect_tcp("GET", "/api/v1/node", "Authorization: bearer another-token-of-the-tests\r\n", NULL, 200, NULL);
    file = fopen(token_path, "w");
    fputs("short\n", file);
    fclose(file);
    assert_int_equal(divvy_http_reload(server, &options, &error), -EINVAL);
    expect_tcp("GET", "/api/v1/node", "Authorization: Bearer another-token-of-the-tests\r\n", NULL, 200, NULL);
    file = fopen(token_path, "w");
    fputs(TOKEN "\n", file);
    fclose(file);
}

static void test_refuses_to_start(void **unused) {
    struct divvy_error error = {0};

    (void)unused;
    assert_int_equal(start((struct divvy_http_options){.listen = "0.0.0.0:0"}, &error), -EINVAL);
    assert_non_null(strstr(error.text, "not loopback, without a token file"));
    assert_int_equal(start((struct divvy_http_options){.listen = "0.0.0.0:0", .token_file = token_path}, &error), -EINVAL);
    assert_non_null(strstr(error.text, "without TLS"));
    assert_int_equal(start((struct divvy_http_options){.listen = "0.0.0.0:0", .jwt_unverified = true}, &error), -EINVAL);
    assert_int_equal(start(
                         (struct divvy_http_options){
                             .listen = "0.0.0.0:0", .token_file = token_path, .allow_plaintext = true, .jwt_unverified = true},
                         &error),
                     -EINVAL);
    assert_non_null(strstr(error.text, "not verified"));
    assert_int_equal(start((struct divvy_http_options){.listen = "127.0.0.1:0", .tls_cert = token_path}, &error), -EINVAL);
    assert_non_null(strstr(error.text, "only one is given"));
    assert_int_equal(
        start((struct divvy_http_options){.listen = "127.0.0.1:0", .tls_cert = token_path, .tls_key = token_path}, &error),
        -EINVAL);
    assert_non_null(strstr(error.text, "certificate"));
    start_well((struct divvy_http_options){.listen = "0.0.0.0:0", .token_file = token_path, .allow_plaintext = true});
    expect_tcp("GET", "/api/v1/node", NULL, NULL, 401, NULL);
    expect_tcp("GET", "/api/v1/node", BEARER, NULL, 200, NULL);
}

/* As another user: own tenants only, never an administrator's routes. */
static void test_other_user(void **unused) {
    pid_t child;
    int status;

    (void)unused;
    if (geteuid() != 0)
        skip();
    fake_tenant_add(state, "roots", "", "", "", DIVVY_NODE_QOS_LOW, 0, 0, 0);
    fake_tenant_add(state, "theirs", "", "", "", DIVVY_NODE_QOS_LOW, 65534, 0, 0);
    start_well((struct divvy_http_options){.token_file = token_path});
    chmod(folder, 0755);
    child = fork();
    if (child == 0) {
        if (setuid(65534) != 0)
            _exit(2);
        expect("GET", "/api/v1/tenants/roots", NULL, NULL, 200, NULL);
        expect("PATCH", "/api/v1/tenants/roots", NULL, "{\"soft\":true}", 403, "another user");
        expect("DELETE", "/api/v1/tenants/roots", NULL, NULL, 403, "another user");
        expect("PATCH", "/api/v1/tenants/theirs", NULL, "{\"soft\":true}", 200, NULL);
        expect("POST", "/api/v1/devices/discover", NULL, NULL, 403, "administrators");
        expect("POST", "/api/v1/trap", NULL, NULL, 403, "administrators");
        expect("POST", "/api/v1/tenants", NULL, "{\"id\":\"x\",\"owner_uid\":0,\"devices\":[{\"gpu\":0}]}", 403, "owner_uid");
        expect("POST", "/api/v1/tenants", NULL, "{\"id\":\"x\",\"pod\":\"web-0\",\"devices\":[{\"gpu\":0}]}", 403, "pod");
        expect("POST", "/api/v1/tenants", NULL, "{\"id\":\"x\",\"devices\":[{\"gpu\":0}]}", 201, "\"owner_uid\":65534");
        expect("GET", "/api/v1/limiter/events/worker_1?wait=1", NULL, NULL, 403, "another process");
        expect("POST", "/api/v1/devices/discover", BEARER, NULL, 200, NULL); /* with an administrator's token */
        _exit(0);
    }
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_true(fake_last_peer(state)->known || fake_last_peer(state)->admin);
}

static void test_hide_others(void **unused) {
    pid_t child;
    int status;

    (void)unused;
    if (geteuid() != 0)
        skip();
    fake_tenant_add(state, "roots", "", "", "", DIVVY_NODE_QOS_LOW, 0, 0, 0);
    fake_tenant_add(state, "theirs", "", "", "", DIVVY_NODE_QOS_LOW, 65534, 0, 0);
    start_well((struct divvy_http_options){.hide_others = true});
    chmod(folder, 0755);
    child = fork();
    if (child == 0) {
        static const char *const lists[] = {"/api/v1/tenants", "/api/v1/workers", "/api/v1/limiter", "/metrics",
                                            "/api/v1/events"};

        if (setuid(65534) != 0)
            _exit(2);
        expect("GET", "/api/v1/tenants/roots", NULL, NULL, 404, NULL);
        expect("PATCH", "/api/v1/tenants/roots", NULL, "{\"soft\":true}", 404, NULL);
        expect("GET", "/api/v1/workers/roots", NULL, NULL, 404, "worker not found");
        for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
            struct client_answer answer = client_ask(socket_path, "GET", lists[i], NULL, NULL);

            if (answer.status != 200 || strstr(answer.text, "roots") || !strstr(answer.text, "theirs"))
                fail_msg("%s: %s", lists[i], answer.text);
            client_answer_free(&answer);
        }
        _exit(0);
    }
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    expect("GET", "/api/v1/tenants", NULL, NULL, 200, "theirs");
}

/* --- pods ----------------------------------------------------------------------------------------------------------- */

static void test_pods(void **unused) {
    (void)unused;
    fake_tenant_add(state, "prod/web-0/main", "prod", "web-0", "main", DIVVY_NODE_QOS_HIGH, 0, 0, 0);
    fake_tenant_add(state, "prod/web-1/main", "prod", "web-1", "main", DIVVY_NODE_QOS_HIGH, 0, 77, 0);
    start_well((struct divvy_http_options){.listen = "127.0.0.1:0", .jwt_unverified = true});
    expect_tcp("GET", "/api/v1/pod?container_name=main&container_pid=7", POD_BEARER, NULL, 200,
               "{\"success\":true,\"data\":{\"pod_name\":\"web-0\",\"namespace\":\"prod\",\"gpu_uuids\":"
               "[\"GPU-a0a0a0a0-0000-0000-0000-000000000000\"],\"tflops_limit\":494.75,\"vram_limit\":8589934592,"
               "\"qos_level\":\"High\",\"compute_permille\":500,\"compute_shard\":false,\"isolation\":\"soft\"},"
               "\"message\":\"Pod web-0 information retrieved successfully\"}");
    expect_tcp("GET", "/api/v1/pod?container_name=side", POD_BEARER, NULL, 200,
               "{\"success\":false,\"data\":null,\"message\":\"Pod web-0 not found in namespace prod\"}");
    expect_tcp("POST", "/api/v1/process?container_name=main&container_pid=7", POD_BEARER, NULL, 200,
               "{\"success\":true,\"data\":{\"host_pid\":4242,\"container_pid\":7,\"container_name\":\"main\",\"pod_name\":"
               "\"web-0\",\"namespace\":\"prod\"},\"message\":\"Process initialized successfully\"}");
    assert_string_equal(fake_last_peer(state)->pod, "web-0");
    assert_string_equal(fake_last_peer(state)->pod_uid, "u-1");
    assert_false(fake_last_peer(state)->admin);
    fake_fail_next(state, -ETIMEDOUT, "x");
    expect_tcp("POST", "/api/v1/process?container_name=main&container_pid=7", POD_BEARER, NULL, 200,
               "Process initialization timed out after 5 seconds");
    fake_fail_next(state, -ESRCH, "no such process");
    expect_tcp("POST", "/api/v1/process?container_name=main&container_pid=7", POD_BEARER, NULL, 200,
               "Failed to initialize process: no such process");
    expect_tcp("POST", "/api/v1/process?container_pid=7", POD_BEARER, NULL, 400, "container_name");
    expect_tcp("POST", "/api/v1/process?container_name=main", POD_BEARER, NULL, 400, "container_pid");
    expect_tcp("POST", "/api/v1/process?container_name=main&container_pid=7", NULL, NULL, 401, NULL);
    expect_tcp("GET", "/api/v1/pod?container_name=main", "Authorization: Bearer a.b.c\r\n", NULL, 401, "Authentication failed");
    /* Its own tenants only, and no other's commands. */
    expect_tcp("GET", "/api/v1/tenants/prod%2Fweb-0%2Fmain", POD_BEARER, NULL, 200, NULL);
    expect_tcp("GET", "/api/v1/tenants/prod%2Fweb-1%2Fmain", POD_BEARER, NULL, 404, NULL);
    expect_tcp("PATCH", "/api/v1/tenants/prod%2Fweb-0%2Fmain", POD_BEARER, "{\"soft\":true}", 403, NULL);
    expect_tcp("GET", "/api/v1/pod", POD_BEARER, NULL, 200, "not found"); /* no container named: none fits */
    expect_tcp("GET", "/api/v1/limiter/events/worker_77?wait=1", POD_BEARER, NULL, 403, "another process");
    expect_tcp("POST", "/api/v1/limiter/result", POD_BEARER, "{\"task_id\":\"x\",\"client_id\":\"worker_77\",\"success\":true}",
               403, "another process");
    expect_tcp("POST", "/api/v1/trap", POD_BEARER,
               "{\"trap_id\":\"t\",\"process_id\":77,\"frame\":{\"OutOfMemory\":{\"requested_bytes\":5}}}", 404, "77");
    /* The list of pods is the administrator's. */
    expect_tcp("GET", "/api/v1/pod", NULL, NULL, 401, NULL);
    expect("GET", "/api/v1/pod", NULL, NULL, 200, "\"pods\":[{\"pod_name\":\"web-0\"");
}

static void test_no_pods(void **unused) {
    (void)unused;
    start_well((struct divvy_http_options){0});
    expect("GET", "/api/v1/pod", NULL, NULL, 503, "{\"error\":\"kubernetes backend not enabled\"}");
    expect("GET", "/api/v1/pod?container_name=x", NULL, NULL, 401, "Missing authorization header");
}

static void test_trap(void **unused) {
    char body[256];

    (void)unused;
    fake_tenant_add(state, "asks", "", "", "", DIVVY_NODE_QOS_HIGH, 0, 100, UINT64_C(4) << 30);
    fake_tenant_add(state, "low", "", "", "", DIVVY_NODE_QOS_LOW, 0, 101, UINT64_C(6) << 30);
    fake_tenant_add(state, "equal", "", "", "", DIVVY_NODE_QOS_HIGH, 0, 102, UINT64_C(7) << 30);
    start_well((struct divvy_http_options){0});
#define TRAP(pid, bytes)                                                                                                       \
    (snprintf(body, sizeof body,                                                                                               \
              "{\"trap_id\":\"t-1\",\"process_id\":%d,\"frame\":{\"OutOfMemory\":{"                                            \
              "\"requested_bytes\":%llu}},\"timeout_seconds\":5}",                                                             \
              pid, (unsigned long long)(bytes)),                                                                               \
     body)
    expect("POST", "/api/v1/trap", NULL, NULL, 501, "checkpoint");
    expect("POST", "/api/v1/trap", NULL, TRAP(100, 1 << 20), 200,
           "{\"trap_id\":\"t-1\",\"action\":\"Resume\",\"timestamp\":\"2");
    expect("POST", "/api/v1/trap", NULL, TRAP(100, UINT64_C(5) << 30), 200, "\"action\":{\"Fatal\":\"the request is beyond");
    expect("POST", "/api/v1/trap", NULL, TRAP(999, 1), 404, "no process 999");
    expect("POST", "/api/v1/trap", NULL, "{\"trap_id\":\"t\"}", 422, "process_id is missing");
    expect("POST", "/api/v1/trap", NULL, "{\"trap_id\":\"t\",\"process_id\":\"1\"}", 422, "process_id must be a whole number");
    expect("POST", "/api/v1/trap", NULL, "{\"trap_id\":\"t\",\"process_id\":1,\"frame\":{}}", 422, "frame must be");
    /* A full device: the lowest class makes room. */
    fake_memory_used(state, 0, UINT64_C(79) << 30);
    expect("POST", "/api/v1/trap", NULL, TRAP(100, UINT64_C(3) << 30), 200, "the driver cannot move memory");
    fake_can_snapshot(state, true);
    expect("POST", "/api/v1/trap", NULL, TRAP(100, UINT64_C(3) << 30), 200, "\"action\":\"Resume\"");
    expect("GET", "/api/v1/tenants/low", NULL, NULL, 200, "\"state\":\"saved\"");
    expect("GET", "/api/v1/tenants/equal", NULL, NULL, 200, "\"state\":\"idle\"");
    expect("POST", "/api/v1/trap", NULL, TRAP(100, UINT64_C(3) << 30), 200, "no tenant of a lower class");
    expect("POST", "/api/v1/trap", NULL, NULL, 200, "{\"message\":\"trap initiated\",\"snapshot_count\":0}");
    expect("POST", "/api/v1/workers/low/resume", NULL, NULL, 200, "{\"message\":\"worker resume initiated\",\"data\":\"low\"}");
    expect("POST", "/api/v1/trap", NULL, NULL, 200, "{\"message\":\"trap initiated\",\"snapshot_count\":1}");
}

/* --- waiting -------------------------------------------------------------------------------------------------------- */

static void *event_later(void *unused) {
    (void)unused;
    usleep(300000);
    divvy_daemon_event(state, DIVVY_NODE_EVENT_TENANT_CHANGED, "later", "what was waited for");
    return NULL;
}

static void test_long_poll(void **unused) {
    pthread_t thread;

    (void)unused;
    start_well((struct divvy_http_options){0});
    expect("GET", "/api/v1/events", NULL, NULL, 200, "\"kind\":\"daemon\",\"tenant\":null,\"text\":\"started\"}],\"last\":1}");
    expect("GET", "/api/v1/events?after=1", NULL, NULL, 200, "{\"events\":[],\"last\":1}");
    expect("GET", "/api/v1/events?after=1&wait=1", NULL, NULL, 200, "{\"events\":[],\"last\":1}");
    pthread_create(&thread, NULL, event_later, NULL);
    expect("GET", "/api/v1/events?after=1&wait=30", NULL, NULL, 200, "what was waited for");
    pthread_join(thread, NULL);
}

static void test_stream(void **unused) {
    struct client_answer answer;
    char value[64], request[256];
    int fds[40], length;

    (void)unused;
    start_well((struct divvy_http_options){0});
    length =
        snprintf(request, sizeof request,
                 "GET /api/v1/events?after=0 HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\nLast-Event-ID: 1\r\n\r\n");
    for (size_t i = 0; i < 40; i++) {
        fds[i] = client_unix(socket_path);
        assert_int_equal(client_send(fds[i], request, (size_t)length), 0);
    }
    usleep(300000);
    for (int i = 0; i < 20; i++)
        divvy_daemon_event(state, DIVVY_NODE_EVENT_TENANT_CREATED, "t", "number %d", i);
    usleep(200000);
    divvy_daemon_event(state, DIVVY_NODE_EVENT_TENANT_REMOVED, "t", "the last");
    expect("GET", "/healthz", NULL, NULL, 200, "ok"); /* streams hold up nobody */
    usleep(200000);
    for (size_t i = 0; i < 40; i++) {
        const char *at;

        answer = client_read(fds[i], 50);
        assert_int_equal(answer.status, 200);
        assert_true(client_header(&answer, "Content-Type", value, sizeof value) > 0);
        assert_string_equal(value, "text/event-stream");
        assert_null(strstr(answer.text, "id: 1\n"));
        at = answer.text;
        for (int number = 2; number <= 22; number++) { /* all, in order, once */
            char line[32];

            snprintf(line, sizeof line, "id: %d\nevent: ", number);
            at = strstr(at, line);
            if (!at)
                fail_msg("stream %zu: no event %d in %s", i, number, answer.text);
        }
        assert_non_null(strstr(at, "event: tenant-removed\ndata: {\"number\":22,"));
        client_answer_free(&answer);
    }
}

static void *stop_later(void *unused) {
    (void)unused;
    usleep(200000);
    divvy_http_stop(server);
    return NULL;
}

/* Streams, polls and slow requests that are under way when the server ends. */
static void test_stop_while_waiting(void **unused) {
    static const char stream[] = "GET /api/v1/events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n";
    static const char poll[] = "GET /api/v1/events?after=1&wait=60 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    static const char channel[] =
        "GET /api/v1/limiter/events/worker_9?wait=25 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    static const char slow[] =
        "POST /api/v1/tenants/t/snapshot HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    struct client_answer answer;
    int fds[4], slow_fds[8];
    pthread_t thread;

    (void)unused;
    fake_tenant_add(state, "t", "", "", "", DIVVY_NODE_QOS_LOW, 0, 0, 0);
    fake_can_snapshot(state, true);
    fake_delay(state, 500);
    start_well((struct divvy_http_options){0});
    fds[0] = client_unix(socket_path);
    (void)client_send(fds[0], stream, sizeof stream - 1);
    fds[1] = client_unix(socket_path);
    (void)client_send(fds[1], poll, sizeof poll - 1);
    fds[2] = client_unix(socket_path);
    (void)client_send(fds[2], channel, sizeof channel - 1);
    fds[3] = client_unix(socket_path); /* says nothing */
    for (size_t i = 0; i < 8; i++) {
        slow_fds[i] = client_unix(socket_path);
        (void)client_send(slow_fds[i], slow, sizeof slow - 1);
    }
    pthread_create(&thread, NULL, stop_later, NULL);
    for (size_t i = 0; i < 4; i++) {
        answer = client_read(fds[i], 10000);
        assert_int_equal(answer.status, i == 3 ? 0 : 200);
        client_answer_free(&answer);
    }
    for (size_t i = 0; i < 8; i++) { /* those that had begun are answered, the others are told */
        answer = client_read(slow_fds[i], 10000);
        assert_true(answer.status == 200 || answer.status == 503);
        client_answer_free(&answer);
    }
    pthread_join(thread, NULL);
    server = NULL;
    fake_delay(state, 0);
    assert_int_not_equal(access(socket_path, F_OK), 0);
    start_well((struct divvy_http_options){0});
    expect("GET", "/healthz", NULL, NULL, 200, "ok");
}

/* Slow operations do not keep others waiting, however many there are. */
static void test_slow_operations(void **unused) {
    static const char slow[] =
        "POST /api/v1/tenants/t/snapshot HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    struct client_answer answer;
    int fds[12];

    (void)unused;
    fake_tenant_add(state, "t", "", "", "", DIVVY_NODE_QOS_LOW, 0, 0, 0);
    fake_can_snapshot(state, true);
    fake_delay(state, 300);
    start_well((struct divvy_http_options){0});
    for (size_t i = 0; i < 12; i++) {
        fds[i] = client_unix(socket_path);
        (void)client_send(fds[i], slow, sizeof slow - 1);
    }
    usleep(50000);
    answer = client_read(fds[0], 1);
    client_answer_free(&answer); /* one gives up before its answer */
    expect("GET", "/api/v1/node", NULL, NULL, 200, NULL);
    for (size_t i = 1; i < 12; i++) {
        answer = client_read(fds[i], 10000);
        assert_int_equal(answer.status, 200);
        client_answer_free(&answer);
    }
    assert_true(fake_touched(state) >= 13);
}

/* --- channel -------------------------------------------------------------------------------------------------------- */

static void test_channel(void **unused) {
    static const char stream[] =
        "GET /api/v1/limiter/events/worker_4242 HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n";
    struct divvy_channel_order order = {.kind = DIVVY_CHANNEL_SUSPEND};
    struct divvy_channel_outcome outcome = {0};
    char id[DIVVY_CHANNEL_TASK_ID_BYTES], body[256];
    struct client_answer answer;
    uint64_t number;
    int fd;

    (void)unused;
    start_well((struct divvy_http_options){0});
    fd = client_unix(socket_path);
    (void)client_send(fd, stream, sizeof stream - 1);
    for (int i = 0; i < 100 && !divvy_channel_server_is_there(divvy_http_channel(server), "worker_4242"); i++)
        usleep(20000);
    assert_int_equal(divvy_channel_server_command(divvy_http_channel(server), "worker_4242", &order, &number, id), 0);
    answer = client_read(fd, 500);
    assert_non_null(strstr(answer.text, "\"kind\":\"Suspend\""));
    assert_non_null(strstr(answer.text, id));
    client_answer_free(&answer);
    snprintf(body, sizeof body,
             "{\"task_id\":\"%s\",\"client_id\":\"worker_4242\",\"success\":true,\"result\":{\"id\":%llu,"
             "\"success\":true,\"message\":null},\"error\":null,\"timestamp\":\"2026-01-01T00:00:00Z\"}",
             id, (unsigned long long)number);
    expect("POST", "/api/v1/limiter/result", NULL, body, 200, NULL);
    assert_int_equal(divvy_channel_server_wait(divvy_http_channel(server), "worker_4242", id, 1000000000, &outcome), 0);
    assert_true(outcome.success);
    free(outcome.result);
    free(outcome.error);
    expect("POST", "/api/v1/limiter/result", NULL, "{\"client_id\":5}", 400, "client_id");
    expect("GET", "/api/v1/limiter/events/a%2Fb", NULL, NULL, 400, "not well formed");
    expect("GET", "/api/v1/limiter/events/worker_4242?wait=1", NULL, NULL, 200, "[");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_bad_requests),
        TEST(test_errors_of_the_state),
        TEST(test_raw_bytes),
        TEST(test_slow_client),
        TEST(test_limit_of_a_user),
        TEST(test_tcp_open_on_loopback),
        TEST(test_tcp_with_tokens),
        TEST(test_refuses_to_start),
        TEST(test_other_user),
        TEST(test_hide_others),
        TEST(test_pods),
        TEST(test_no_pods),
        TEST(test_trap),
        TEST(test_long_poll),
        TEST(test_stream),
        TEST(test_stop_while_waiting),
        TEST(test_slow_operations),
        TEST(test_channel),
    };
    FILE *file;
    int result;

    if (!mkdtemp(folder))
        return 1;
    snprintf(socket_path, sizeof socket_path, "%s/socket", folder);
    snprintf(token_path, sizeof token_path, "%s/tokens", folder);
    file = fopen(token_path, "w");
    fputs(TOKEN "\n", file);
    fclose(file);
    chmod(token_path, 0600);
    result = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(token_path);
    rmdir(folder);
    return result;
}
