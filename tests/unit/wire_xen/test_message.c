/* Messages in nodes of XenStore: how they are cut and named, what is refused; and what divvy-client's library does not even ask. */
#include "divvy/client.h"
#include "wire/xen/message.h"
#include "wire/xen/packet.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static void pieces_are_the_message(void **state) {
    (void)state;
    for (uint32_t length = 0; length <= DIVVY_WIRE_XEN_MESSAGE_BYTES; length += length < 6000 ? 1 : 997) {
        uint32_t pieces = divvy_wire_xen_pieces(length), sum = 0;

        assert_true(pieces <= DIVVY_WIRE_XEN_PIECES_MAX);
        for (uint32_t i = 0; i < pieces; i++) {
            uint32_t bytes = divvy_wire_xen_piece_bytes(length, i);

            assert_in_range(bytes, 1, DIVVY_WIRE_XEN_VALUE_BYTES);
            sum += bytes;
        }
        assert_int_equal(sum, pieces ? length : 0);
        if (pieces == 0)
            assert_true(length + DIVVY_WIRE_XEN_HEAD_BYTES <= DIVVY_WIRE_XEN_VALUE_BYTES);
    }
    assert_int_equal(divvy_wire_xen_pieces(DIVVY_WIRE_XEN_MESSAGE_BYTES), DIVVY_WIRE_XEN_PIECES_MAX);
}

static void heads_read_as_written(void **state) {
    static const struct divvy_wire_xen_head heads[] = {
        {1, 1, 0}, {256, DIVVY_WIRE_XEN_MESSAGE_BYTES, UINT32_MAX}, {3, 5000, 42}, {0, 0, 7}};
    char text[DIVVY_WIRE_XEN_HEAD_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        struct divvy_wire_xen_head head;
        size_t start, bytes = divvy_wire_xen_head_write(&heads[i], text);

        assert_in_range(bytes, 7, sizeof text - 1);
        assert_int_equal(divvy_wire_xen_head_read(text, bytes, &head, &start), 0);
        assert_int_equal(start, bytes);
        assert_memory_equal(&head, &heads[i], sizeof head);
    }
}

static void heads_that_are_wrong(void **state) {
    static const struct {
        const char *value;
        int status;
    } cases[] = {{"", -ENOENT},           {"{\"a\":1}", -ENOENT}, {"@", -EINVAL},         {"@1 2 3", -EINVAL},
                 {"@1 2\n", -EINVAL},     {"@0 2 3\nx", -EINVAL}, {"@0 2 3\nxyz", -EINVAL}, {"@1 2 3\nxy", -EINVAL},
                 {"@257 9 1\n", -EINVAL}, {"@-1 9 1\n", -EINVAL}, {"@1 9 4294967296\n", -EINVAL},
                 {"@ 1 9 1\n", -EINVAL},  {"@1 486401 9\n", -EMSGSIZE}, {"@1 4294967295 9\n", -EMSGSIZE}, {"@0 2 3\nxy", 0}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct divvy_wire_xen_head head = {0};
        size_t start;

        assert_int_equal(divvy_wire_xen_head_read(cases[i].value, strlen(cases[i].value), &head, &start), cases[i].status);
        if (cases[i].status == -EMSGSIZE)
            assert_int_equal(head.tag, 9);
    }
}

static void domains_of_events(void **state) {
    static const char good[] = "/local/domain/17/gpu/request\0token";
    static const char *const others[] = {"/local/domain/17/gpu/request/0", "/local/domain/0/gpu/request", "/local/domain//gpu/request",
                                         "/local/domain/17/gpu/response", "/local/domain/99999/gpu/request", "/local/domain", "gpu/request"};
    uint32_t domain = 0;

    (void)state;
    assert_int_equal(divvy_wire_xen_event_domain(good, sizeof good, &domain), 0);
    assert_int_equal(domain, 17);
    assert_int_equal(divvy_wire_xen_event_life(good, sizeof good, &domain), -ENOENT);
    assert_int_equal(divvy_wire_xen_event_life("/local/domain/18", 17, &domain), 0);
    assert_int_equal(domain, 18);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_int_equal(divvy_wire_xen_event_domain(others[i], strlen(others[i]) + 1, &domain), -ENOENT);
    assert_int_equal(divvy_wire_xen_event_domain("/local", 6, &domain), -EINVAL);
}

/* Refused before the store is asked: this one would never answer. */
static void a_request_that_is_too_large(void **state) {
    char folder[] = "/tmp/divvy-xen-XXXXXX", address[64];
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char *text = calloc(1, DIVVY_WIRE_XEN_MESSAGE_BYTES + 1), *answer;
    struct divvy_client *client;
    size_t length;
    uint32_t count;

    (void)state;
    assert_non_null(text);
    assert_non_null(mkdtemp(folder));
    (void)snprintf(name.sun_path, sizeof name.sun_path, "%s/s", folder);
    (void)snprintf(address, sizeof address, "xenstore:%s/s", folder);
    assert_int_equal(bind(server, (const struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(listen(server, 4), 0);
    assert_int_equal(divvy_client_open(address, 50, &client), 0);
    assert_int_equal(divvy_client_job(client, text, DIVVY_WIRE_XEN_MESSAGE_BYTES + 1, &answer, &length), 0);
    assert_non_null(strstr(answer, "\"code\": 2"));
    assert_int_equal(strlen(answer), length);
    free(answer);
    assert_int_equal(divvy_client_device_count(client, &count), -EOPNOTSUPP);
    assert_int_equal(divvy_client_job(client, "{}", 2, &answer, &length), -ETIMEDOUT);
    assert_int_equal(divvy_client_job(client, "{}", 2, &answer, &length), -ENOTCONN);
    divvy_client_close(client);
    free(text);
    (void)close(server);
    (void)unlink(name.sun_path);
    (void)rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_the_message), cmocka_unit_test(heads_read_as_written),        cmocka_unit_test(heads_that_are_wrong),
        cmocka_unit_test(domains_of_events),      cmocka_unit_test(a_request_that_is_too_large),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
