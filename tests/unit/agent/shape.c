/* Answers of the platform: which pass, and what is said of those that do not. */
#include "agent/shape.h"
#include "agent/config.h"
#include "agent/platform.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct divvy_error error;

static int take(const struct divvy_agent_shape *shape, const char *text, char **ret_text) {
    json_t *value = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL), *taken = NULL;
    int status;

    assert_non_null(value);
    status = divvy_agent_shape_take(shape, value, &taken, &error);
    if (status == 0 && ret_text)
        *ret_text = json_dumps(taken, JSON_COMPACT);
    assert_true((status == 0) == (taken != NULL));
    json_decref(taken);
    json_decref(value);
    return status;
}

static void what_passes_is_made_even(void **state) {
    char *text = NULL;

    (void)state;
    assert_int_equal(take(&divvy_agent_shape_config,
                          "{\"WORKERS\": [null, {\"enabled\": true, \"gpu_ids\": null, "
                          "\"worker_id\": \"a\", \"listen_port\": 9001.0, \"x\": 1}]"
                          ", \"config_version\": 3, \"license\": null}",
                          &text),
                     0);
    assert_string_equal(text, "{\"config_version\":3,\"workers\":[{\"worker_id\":\"a\",\"gpu_ids\":"
                              "[],\"listen_port\":9001,\"enabled\":true}]}");
    free(text);
}

static void what_does_not_is_named(void **state) {
    static const struct {
        const struct divvy_agent_shape *shape;
        const char *text, *part;
    } cases[] = {
        {&divvy_agent_shape_config, "[]", "configuration is no object"},
        {&divvy_agent_shape_config, "{\"workers\": {}}", "workers is no list"},
        {&divvy_agent_shape_config, "{\"workers\": [1]}", "workers[0] is no object"},
        {&divvy_agent_shape_config, "{\"workers\": [{}]}", "workers[0].worker_id is missing"},
        {&divvy_agent_shape_config, "{\"workers\": [{\"worker_id\": \"../x\"}]}",
         "workers[0].worker_id is no id"},
        {&divvy_agent_shape_config, "{\"workers\": [{\"worker_id\": \"a\\u0000b\"}]}", "zero byte"},
        {&divvy_agent_shape_config,
         "{\"workers\": [{\"worker_id\": \"a\", \"listen_port\": 70000}]}", "listen_port is 70000"},
        {&divvy_agent_shape_config, "{\"workers\": [{\"worker_id\": \"a\", \"listen_port\": 1.5}]}",
         "no whole number"},
        {&divvy_agent_shape_config, "{\"workers\": [{\"worker_id\": \"a\", \"enabled\": 1}]}",
         "neither true nor false"},
        {&divvy_agent_shape_config, "{\"workers\": [{\"worker_id\": \"a\", \"gpu_ids\": [3]}]}",
         "workers[0].gpu_ids[0] is no text"},
        {&divvy_agent_shape_config, "{\"workers\": [{\"worker_id\": \"a\", \"gpu_ids\": [\"\"]}]}",
         "is empty"},
        {&divvy_agent_shape_registered, "{\"agent_id\": \"a\", \"agent_secret\": \"\"}",
         "agent_secret is empty"},
        {&divvy_agent_shape_registered, "{\"agent_id\": \"a\"}", "agent_secret is missing"},
        {&divvy_agent_shape_status, "{\"worker_share_codes\": {\"..\": []}}",
         "a key that is no id"},
        {&divvy_agent_shape_status, "{\"worker_share_codes\": {\"a\": 1}}", "is no list"},
        {&divvy_agent_shape_push, "{\"config_version\": -1}", "is -1"},
        {&divvy_agent_shape_push, "{\"config_version\": 1e300}", "no whole number"},
        {&divvy_agent_shape_push, "3", "no object"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(take(cases[i].shape, cases[i].text, NULL), -EPROTO);
        if (!strstr(error.text, cases[i].part))
            fail_msg("%s says '%s'", cases[i].text, error.text);
    }
}

static int judge(enum divvy_agent_api api, long status, const char *bytes) {
    return divvy_agent_answer_judge(api, "s3cret", status, bytes, strlen(bytes), NULL, &error);
}

static void statuses_mean_something(void **state) {
    static const struct {
        enum divvy_agent_api api;
        long status;
        const char *bytes;
        int expected;
    } cases[] = {{DIVVY_AGENT_API_AGENTS, 200, "{\"agents\": []}", 0},
                 {DIVVY_AGENT_API_AGENTS, 201, "{\"agents\": []}", -EREMOTEIO},
                 {DIVVY_AGENT_API_WORKER_CREATE, 201, "{\"worker_id\": \"a\"}", 0},
                 {DIVVY_AGENT_API_AGENT_DELETE, 204, "", 0},
                 {DIVVY_AGENT_API_METRICS, 200, "", 0},
                 {DIVVY_AGENT_API_METRICS, 201, "", -EREMOTEIO},
                 {DIVVY_AGENT_API_AGENTS, 200, "", -EPROTO},
                 {DIVVY_AGENT_API_AGENTS, 200, "nonsense", -EPROTO},
                 {DIVVY_AGENT_API_AGENTS, 401, "", -EPERM},
                 {DIVVY_AGENT_API_AGENTS, 404, "{}", -ENOENT},
                 {DIVVY_AGENT_API_AGENTS, 429, "", -EAGAIN},
                 {DIVVY_AGENT_API_AGENTS, 503, "", -EAGAIN},
                 {DIVVY_AGENT_API_AGENTS, 0, "", -EREMOTEIO}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(judge(cases[i].api, cases[i].status, cases[i].bytes), cases[i].expected);
}

static void secrets_are_not_repeated(void **state) {
    (void)state;
    assert_int_equal(judge(DIVVY_AGENT_API_AGENTS, 401, "{\"error\": \"token s3cret is bad\"}"),
                     -EPERM);
    assert_null(strstr(error.text, "s3cret"));
    assert_int_equal(judge(DIVVY_AGENT_API_AGENTS, 500, "<html>s3cret\x1b[31m"), -EREMOTEIO);
    assert_null(strstr(error.text, "s3cret"));
    assert_int_equal(
        judge(DIVVY_AGENT_API_AGENTS, 500, "{\"error\": {\"message\": \"a\\u001b[31m\\nb\"}}"),
        -EREMOTEIO);
    assert_null(strchr(error.text, '\n'));
    assert_null(strchr(error.text, '\x1b'));
}

static void servers(void **state) {
    static const char *const good[] = {"https://api.gpu.tf", "http://127.0.0.1:80/base/",
                                       "http://[::1]:9"};
    static const char *const bad[] = {"",           "ftp://x",    "http://",   "api.gpu.tf:x",
                                      "http://u@x", "http://x?q", "http://x y"};
    struct divvy_agent_platform platform;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_int_equal(divvy_agent_server_set(&platform, good[i], &error), 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(divvy_agent_server_set(&platform, bad[i], &error), -EINVAL);
    assert_int_equal(divvy_agent_server_set(&platform, "http://127.0.0.1/a//", &error), 0);
    assert_string_equal(platform.server, "http://127.0.0.1/a");
    assert_false(divvy_agent_server_is_open(&platform));
    assert_int_equal(divvy_agent_server_set(&platform, "http://192.0.2.1", &error), 0);
    assert_true(divvy_agent_server_is_open(&platform));
    assert_int_equal(divvy_agent_credential_set(&platform, "a\r\nX: y", &error), -EINVAL);
    assert_null(strstr(error.text, "X: y"));
}

static void times(void **state) {
    int64_t seconds = 0;
    char text[DIVVY_AGENT_TIME_BYTES];

    (void)state;
    assert_int_equal(divvy_agent_time_parse("1970-01-02T00:00:00Z", &seconds), 0);
    assert_int_equal(seconds, 86400);
    assert_int_equal(divvy_agent_time_parse("1970-01-02T00:00:00.123456789+01:00", &seconds), 0);
    assert_int_equal(seconds, 86400 - 3600);
    divvy_agent_time_format(1767607200, text);
    assert_string_equal(text, "2026-01-05T10:00:00Z");
    assert_int_equal(divvy_agent_time_parse("2026-01-05", &seconds), -EINVAL);
    assert_int_equal(divvy_agent_time_parse("2026-01-05T10:00:00", &seconds), -EINVAL);
    assert_int_equal(divvy_agent_time_parse("2026-01-05T10:00:00Zx", &seconds), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_passes_is_made_even),
                                       cmocka_unit_test(what_does_not_is_named),
                                       cmocka_unit_test(statuses_mean_something),
                                       cmocka_unit_test(secrets_are_not_repeated),
                                       cmocka_unit_test(servers),
                                       cmocka_unit_test(times)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
