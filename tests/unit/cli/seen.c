/* The daemon's JSON, as recorded and as a broken daemon might write it, into plain values. */
#include "cli/seen.h"
#include "cli/client.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char recorded[] =
    "{\"tenants\": [{\"id\": \"shop/backend/main\", \"state\": \"running\", \"qos\": \"high\","
    " \"source\": \"pod\", \"frozen\": false, \"owner_uid\": 1000, \"pod\": \"backend\","
    " \"folder\": \"/run/divvy/tenants/x\", \"created\": \"2026-11-28T10:11:12.5Z\","
    " \"process_count\": 3, \"devices\": [{\"uuid\": \"GPU-1\", \"index\": 2,"
    " \"memory_limit_bytes\": 8589934592, \"memory_used_bytes\": 4294967296,"
    " \"memory_peak_bytes\": 5, \"refused\": 1, \"compute_percent\": 12.5, \"soft\": true,"
    " \"weight\": 125, \"share_percent\": 12.4, \"busy_ns\": 9007199254740991, \"waited_ns\": 7,"
    " \"waiting\": 2, \"launches\": 11, \"mode\": \"leased\"},"
    " {\"uuid\": \"GPU-2\", \"index\": 3, \"memory_limit_bytes\": null, \"compute_percent\": "
    "null}]},"
    " {\"id\": \"idle\", \"state\": \"idle\", \"process_count\": 0, \"devices\": []}]}";

static json_t *parsed(const char *text) {
    json_t *value = json_loads(text, 0, NULL);

    assert_non_null(value);
    return value;
}

static void recorded_tenants(void **state) {
    struct divvy_cli_seen_tenant *tenants = NULL;
    size_t count = 0;
    json_t *answer = parsed(recorded);

    (void)state;
    assert_int_equal(divvy_cli_seen_tenants_read(answer, &tenants, &count), 0);
    json_decref(answer);
    assert_int_equal(count, 2);
    assert_string_equal(tenants[0].id, "shop/backend/main");
    assert_string_equal(tenants[0].qos, "high");
    assert_true(tenants[0].created_s > 1795860672.4 && tenants[0].created_s < 1795860672.6);
    assert_int_equal(tenants[0].use_count, 2);
    assert_true(tenants[0].uses[0].limit_bytes == 8589934592.0);
    assert_true(tenants[0].uses[0].compute_percent == 12.5);
    assert_true(tenants[0].uses[0].busy_ns == 9007199254740991.0);
    assert_true(tenants[0].uses[0].soft);
    assert_true(tenants[0].uses[1].limit_bytes < 0 && tenants[0].uses[1].compute_percent < 0);
    assert_true(tenants[0].uses[1].waited_ns < 0);
    assert_true(divvy_cli_seen_is_active(&tenants[0]));
    assert_false(divvy_cli_seen_is_active(&tenants[1]));
    free(tenants);
}

static void nonsense_is_unknown(void **state) {
    static const char *const texts[] = {
        "{}",
        "{\"id\": 7, \"state\": [], \"devices\": {}, \"created\": {}, \"process_count\": \"x\"}",
        "{\"devices\": [1, null, [], \"x\", {\"index\": -1, \"uuid\": null, "
        "\"memory_limit_bytes\": -5}]}",
        "[]", "7"};
    struct divvy_cli_seen_tenant tenant;
    struct divvy_cli_seen_device device;
    struct divvy_cli_seen_event event;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        json_t *value = json_loads(texts[i], JSON_DECODE_ANY, NULL);

        divvy_cli_seen_tenant_read(value, &tenant);
        assert_string_equal(tenant.id, "");
        assert_true(tenant.process_count < 0 && tenant.created_s < 0);
        for (unsigned int k = 0; k < tenant.use_count; k++)
            assert_true(tenant.uses[k].index < 0 && tenant.uses[k].limit_bytes < 0);
        divvy_cli_seen_device_read(value, &device);
        assert_true(device.memory_bytes < 0 && device.healthy);
        divvy_cli_seen_event_read(value, &event);
        assert_int_equal(event.number, 0);
        json_decref(value);
    }
}

static void no_list_is_an_error(void **state) {
    struct divvy_cli_seen_tenant *tenants = NULL;
    struct divvy_cli_seen_device *devices = NULL;
    size_t count = 5;
    json_t *answer = parsed("{\"tenants\": {}, \"devices\": []}");

    (void)state;
    assert_int_equal(divvy_cli_seen_tenants_read(answer, &tenants, &count), -EPROTO);
    assert_int_equal(divvy_cli_seen_tenants_read(NULL, &tenants, &count), -EPROTO);
    assert_int_equal(count, 5);
    assert_int_equal(divvy_cli_seen_devices_read(answer, &devices, &count), 0);
    assert_int_equal(count, 0);
    assert_null(devices);
    json_decref(answer);
}

static void too_many_devices_are_cut(void **state) {
    struct divvy_cli_seen_tenant tenant;
    json_t *uses = json_array();
    json_t *object = json_pack("{s:s, s:o}", "id", "x", "devices", uses);

    (void)state;
    for (int i = 0; i < 40; i++)
        (void)json_array_append_new(uses, json_pack("{s:i}", "index", i));
    divvy_cli_seen_tenant_read(object, &tenant);
    assert_int_equal(tenant.use_count, DIVVY_CLI_SEEN_DEVICES);
    json_decref(object);
}

static void text_is_made_fit_for_a_terminal(void **state) {
    struct divvy_cli_seen_tenant tenant;
    char clean[8];
    json_t *object =
        json_pack("{s:s, s:s}", "id", "a\033[2Jb\x7f\xc3\xa9", "state", "a state too long to fit");

    (void)state;
    divvy_cli_seen_tenant_read(object, &tenant);
    assert_string_equal(tenant.id, "a?[2Jb???");
    assert_string_equal(tenant.state, "a state too lon");
    json_decref(object);
    divvy_text_clean("0123456789", clean, sizeof clean);
    assert_string_equal(clean, "0123456");
}

static void times(void **state) {
    static const struct {
        const char *json;
        double seconds;
    } cases[] = {
        {"\"1970-01-01T00:01:00Z\"", 60},
        {"\"1970-01-01T01:00:00+01:00\"", 0},
        {"\"1970-01-01T00:00:00-01:30\"", 5400},
        {"1795860672", 1795860672.0},
        {"1795860672000000000", 1795860672.0},
        {"\"yesterday\"", -1},
        {"null", -1},
        {"-4", -1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *value = json_loads(cases[i].json, JSON_DECODE_ANY, NULL);

        assert_true(divvy_cli_seen_time(value) == cases[i].seconds);
        json_decref(value);
    }
}

static void paths(void **state) {
    char path[DIVVY_CLI_TENANT_PATH_BYTES], longest[129];
    struct divvy_error error;

    (void)state;
    assert_int_equal(divvy_cli_client_tenant_path("a/b c?", "/freeze", path, sizeof path, &error),
                     0);
    assert_string_equal(path, "/api/v1/tenants/a%2Fb%20c%3F/freeze");
    assert_int_equal(divvy_cli_client_tenant_path("\xff%", "", path, sizeof path, &error), 0);
    assert_string_equal(path, "/api/v1/tenants/%FF%25");
    assert_int_equal(divvy_cli_client_tenant_path("", "", path, sizeof path, &error), -EINVAL);
    assert_int_equal(divvy_cli_client_tenant_path(".", "", path, sizeof path, &error), -EINVAL);
    assert_int_equal(divvy_cli_client_tenant_path("..", "", path, sizeof path, &error), -EINVAL);
    memset(longest, '/', 128);
    longest[128] = '\0';
    assert_int_equal(divvy_cli_client_tenant_path(longest, "", path, sizeof path, &error), -EINVAL);
    longest[127] = '\0';
    assert_int_equal(divvy_cli_client_tenant_path(longest, "/snapshot", path, sizeof path, &error),
                     0);
    assert_int_equal(divvy_cli_client_tenant_path(longest, "", path, 40, &error), -ENAMETOOLONG);
}

static void sockets(void **state) {
    struct divvy_cli_sockets found;
    struct divvy_error error;
    char longest[200];

    (void)state;
    (void)setenv("DIVVY_SOCKET", "/x/y.sock", 1);
    assert_int_equal(divvy_cli_sockets_find(&found, &error), 0);
    assert_true(found.given);
    assert_int_equal(found.count, 1);
    assert_string_equal(found.paths[0], "/x/y.sock");
    (void)setenv("DIVVY_SOCKET", "", 1);
    (void)setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
    assert_int_equal(divvy_cli_sockets_find(&found, &error), 0);
    assert_false(found.given);
    assert_int_equal(found.count, 2);
    assert_string_equal(found.paths[0], "/run/user/7/divvy/divvyd.sock");
    assert_string_equal(found.paths[1], "/run/divvy/divvyd.sock");
    (void)setenv("XDG_RUNTIME_DIR", "/run", 1);
    assert_int_equal(divvy_cli_sockets_find(&found, &error), 0);
    assert_int_equal(found.count, 1);
    memset(longest, 'x', sizeof longest - 1);
    longest[0] = '/';
    longest[sizeof longest - 1] = '\0';
    (void)setenv("DIVVY_SOCKET", longest, 1);
    assert_int_equal(divvy_cli_sockets_find(&found, &error), -ENAMETOOLONG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_tenants),
        cmocka_unit_test(nonsense_is_unknown),
        cmocka_unit_test(no_list_is_an_error),
        cmocka_unit_test(too_many_devices_are_cut),
        cmocka_unit_test(text_is_made_fit_for_a_terminal),
        cmocka_unit_test(times),
        cmocka_unit_test(paths),
        cmocka_unit_test(sockets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
