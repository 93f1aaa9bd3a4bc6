/* Files of who is connected: NUL bytes, lines in parts, addresses of both kinds. */
#include "agent/connections.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void lines(void **state) {
    static const char bytes[] =
        "10.0.0.1,5000,77\0\0\n::1\n\n fe80::1 , 6000 "
        "\r\nhost,1,1\n10.0.0.2,70000,1\n10.0.0.3,1,x\n,,\n10.0.0.4,,9\n10.0.0.5,1";
    json_t *list = divvy_agent_connections_parse(bytes, sizeof bytes - 1, "T");
    char *text = json_dumps(list, JSON_COMPACT);

    (void)state;
    assert_string_equal(text,
                        "[{\"client_ip\":\"10.0.0.1\",\"client_port\":5000,\"client_pid\":77,"
                        "\"connected_at\":\"T\"},"
                        "{\"client_ip\":\"::1\",\"connected_at\":\"T\"},"
                        "{\"client_ip\":\"fe80::1\",\"client_port\":6000,\"connected_at\":\"T\"},"
                        "{\"client_ip\":\"10.0.0.4\",\"client_pid\":9,\"connected_at\":\"T\"},"
                        "{\"client_ip\":\"10.0.0.5\",\"client_port\":1,\"connected_at\":\"T\"}]");
    free(text);
    json_decref(list);
}

static void bounded(void **state) {
    static char bytes[DIVVY_AGENT_CONNECTIONS_BYTES];
    json_t *list;

    (void)state;
    for (size_t i = 0; i + 9 <= sizeof bytes; i += 8)
        memcpy(bytes + i, "1.1.1.1\n", 8);
    list = divvy_agent_connections_parse(bytes, sizeof bytes, "T");
    assert_int_equal(json_array_size(list), DIVVY_AGENT_CONNECTIONS_MAX);
    json_decref(list);
    list = divvy_agent_connections_parse("", 0, "T");
    assert_int_equal(json_array_size(list), 0);
    json_decref(list);
    list = divvy_agent_connections_read("/nonexistent", "../x");
    assert_int_equal(json_array_size(list), 0);
    json_decref(list);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(lines), cmocka_unit_test(bounded)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
