/* Routes of the node and its tenants over the unix socket, with a state that stands in for the daemon's. */
#include "client.h"
#include "daemon/http/http.h"
#include "fake_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char socket_path[96];
static struct divvy_daemon *state;
static struct divvy_http *server;

static int setup(void **unused) {
    struct divvy_http_options options = {.socket_path = socket_path, .socket_mode = 0600, .socket_fd = -1};
    struct divvy_error error = {0};

    (void)unused;
    state = fake_new();
    if (divvy_http_start(state, &options, &server, &error) != 0) {
        fprintf(stderr, "%s\n", error.text);
        return -1;
    }
    return 0;
}

static int teardown(void **unused) {
    (void)unused;
    divvy_http_stop(server);
    fake_free(state);
    return 0;
}

static struct client_answer ask(const char *method, const char *url, const char *body, int status) {
    struct client_answer answer = client_ask(socket_path, method, url, NULL, body);

    if (answer.status != status)
        fail_msg("%s %s: %d instead of %d: %s", method, url, answer.status, status, answer.text);
    return answer;
}

static void fails(const char *method, const char *url, const char *body, int status, const char *words) {
    struct client_answer answer = ask(method, url, body, status);
    const char *text = json_string_value(json_object_get(answer.json, "error"));

    if (!text || !strstr(text, words))
        fail_msg("%s %s: no '%s' in %s", method, url, words, answer.body);
    assert_int_equal(json_object_size(answer.json), 1);
    assert_null(strchr(text, '\n'));
    client_answer_free(&answer);
}

static const char *text_of(const struct client_answer *answer, const char *key) {
    return json_string_value(json_object_get(answer->json, key));
}

static void test_node(void **unused) {
    struct client_answer answer = ask("GET", "/healthz", NULL, 200);

    (void)unused;
    assert_string_equal(text_of(&answer, "status"), "ok");
    client_answer_free(&answer);
    fake_ready(state, false);
    answer = ask("GET", "/readyz", NULL, 503);
    assert_string_equal(text_of(&answer, "status"), "not ready");
    client_answer_free(&answer);
    fake_ready(state, true);
    answer = ask("GET", "/readyz", NULL, 200);
    client_answer_free(&answer);
    answer = ask("GET", "/api/v1/node", NULL, 200);
    assert_string_equal(text_of(&answer, "name"), "node-of-tests");
    assert_string_equal(text_of(&answer, "socket"), socket_path);
    assert_int_equal(json_integer_value(json_object_get(answer.json, "pid")), getpid());
    client_answer_free(&answer);
    answer = ask("GET", "/api/v1/node/devices", NULL, 200);
    assert_int_equal(json_array_size(json_object_get(answer.json, "devices")), 2);
    client_answer_free(&answer);
}

static const json_t *device_of(const struct client_answer *answer, size_t place) {
    return json_array_get(json_object_get(answer->json, "devices"), place);
}

static void test_life(void **unused) {
    struct client_answer answer =
        ask("POST", "/api/v1/tenants",
            "{\"id\":\"a/b\",\"qos\":\"High\",\"devices\":[{\"gpu\":\"GPU-A0A0A0A0-0000-0000-0000-000000000000\","
            "\"memory_limit_bytes\":1073741824,\"compute_percent\":33.3},{\"gpu\":1,\"soft\":true,"
            "\"weight\":7}]}",
            201);

    (void)unused;
    assert_string_equal(text_of(&answer, "id"), "a/b");
    assert_string_equal(text_of(&answer, "qos"), "high");
    assert_string_equal(text_of(&answer, "source"), "api");
    assert_true(json_is_null(json_object_get(device_of(&answer, 1), "compute_percent")));
    assert_true(json_is_null(json_object_get(device_of(&answer, 1), "memory_limit_bytes")));
    assert_int_equal(json_integer_value(json_object_get(device_of(&answer, 1), "weight")), 7);
    assert_non_null(strstr(answer.body, "\"compute_percent\":33.3,"));
    client_answer_free(&answer);
    fails("POST", "/api/v1/tenants", "{\"id\":\"a/b\",\"devices\":[{\"gpu\":0}]}", 409, "in use");
    answer = ask("GET", "/api/v1/tenants/a%2Fb", NULL, 200);
    client_answer_free(&answer);
    fails("GET", "/api/v1/tenants/a/b", NULL, 404, "no such path");
    answer = ask("PATCH", "/api/v1/tenants/a%2fb", "{\"gpu\":1,\"memory_limit_bytes\":5000,\"compute_percent\":null}", 200);
    assert_int_equal(json_integer_value(json_object_get(device_of(&answer, 1), "memory_limit_bytes")), 5000);
    assert_int_equal(json_integer_value(json_object_get(device_of(&answer, 0), "memory_limit_bytes")), 1073741824);
    assert_int_equal(fake_last_change(state)->fields, DIVVY_NODE_CHANGE_MEMORY | DIVVY_NODE_CHANGE_COMPUTE);
    client_answer_free(&answer);
    answer = ask("POST", "/api/v1/tenants/a%2Fb/freeze", "", 200);
    assert_true(json_is_true(json_object_get(answer.json, "frozen")));
    client_answer_free(&answer);
    answer = ask("POST", "/api/v1/tenants/a%2Fb/thaw", "{}", 200);
    assert_true(json_is_false(json_object_get(answer.json, "frozen")));
    client_answer_free(&answer);
    fails("POST", "/api/v1/tenants/a%2Fb/snapshot", NULL, 501, "checkpoint");
    answer = ask("GET", "/api/v1/tenants", NULL, 200);
    assert_int_equal(json_array_size(json_object_get(answer.json, "tenants")), 1);
    client_answer_free(&answer);
    answer = ask("GET", "/api/v1/tenants/a%2Fb/processes", NULL, 200);
    assert_int_equal(json_array_size(json_object_get(answer.json, "processes")), 0);
    client_answer_free(&answer);
    answer = ask("POST", "/api/v1/tenants/a%2Fb/processes", "{\"container_pid\":9}", 201);
    client_answer_free(&answer);
    fails("DELETE", "/api/v1/tenants/a%2Fb", NULL, 409, "processes");
    fails("DELETE", "/api/v1/tenants/a%2Fb?force=maybe", NULL, 400, "force");
    answer = ask("DELETE", "/api/v1/tenants/a%2Fb?force=1", NULL, 204);
    assert_string_equal(answer.body, "");
    client_answer_free(&answer);
    fails("DELETE", "/api/v1/tenants/a%2Fb", NULL, 404, "no tenant 'a/b'");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_node, setup, teardown),
        cmocka_unit_test_setup_teardown(test_life, setup, teardown),
    };
    char folder[] = "/tmp/divvy-http-XXXXXX";
    int result;

    if (!mkdtemp(folder))
        return 1;
    snprintf(socket_path, sizeof socket_path, "%s/socket", folder);
    result = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(folder);
    return result;
}
