/* The client's side of a WebSocket: the handshake of RFC 6455's own example, frames whole and in parts, and a peer that breaks the rules. */
#include "agent/websocket.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* RFC 6455, 1.3: this key and this answer belong together. */
static const uint8_t key[DIVVY_AGENT_WS_KEY_BYTES] = "the sample nonce";
static const char head[] =
    "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept:  s3pPLMBiTxaQ9kYGzzhZRbK+xOo= \r\n\r\n";

static char received[DIVVY_AGENT_WS_MESSAGE_BYTES + 1];
static unsigned int messages;
static struct divvy_error error;

static void message(void *data, const char *bytes, size_t length) {
    (void)data;
    messages++;
    memcpy(received, bytes, length);
    received[length] = '\0';
}

static struct divvy_agent_ws *begin(void) {
    struct divvy_agent_ws *ws = divvy_agent_ws_new("host:1", "/ws/a", "secret", key, message, NULL);

    assert_non_null(ws);
    messages = 0;
    return ws;
}

static struct divvy_agent_ws *opened(void) {
    struct divvy_agent_ws *ws = begin();
    size_t length;

    assert_int_equal(divvy_agent_ws_feed(ws, head, sizeof head - 1, &error), 0);
    assert_true(divvy_agent_ws_is_open(ws));
    (void)divvy_agent_ws_output(ws, &length);
    divvy_agent_ws_sent(ws, length);
    return ws;
}

static void the_handshake(void **state) {
    struct divvy_agent_ws *ws = begin();
    size_t length;
    const char *request = divvy_agent_ws_output(ws, &length);
    static const char expected[] =
        "GET /ws/a HTTP/1.1\r\nHost: host:1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        "Authorization: Bearer secret\r\n\r\n";

    (void)state;
    assert_int_equal(length, sizeof expected - 1);
    assert_memory_equal(request, expected, length);
    /* Byte by byte, with a message at its heels. */
    for (size_t i = 0; i < sizeof head - 1; i++) {
        assert_false(divvy_agent_ws_is_open(ws));
        assert_int_equal(divvy_agent_ws_feed(ws, head + i, 1, &error), 0);
    }
    assert_true(divvy_agent_ws_is_open(ws));
    divvy_agent_ws_free(ws);
    divvy_agent_ws_free(NULL);
}

static void handshakes_that_fail(void **state) {
    static const struct {
        const char *head;
        int status;
    } cases[] = {
        {"HTTP/1.1 404 Not Found\r\n\r\n", -ECONNREFUSED},
        {"HTTP/1.1 401 No\r\n\r\n", -EPERM},
        {"HTTP/1.1 200 OK\r\n\r\n", -ECONNREFUSED},
        {"SMTP ready\r\n\r\n", -EPROTO},
        {"HTTP/1.1 1x1 \r\n\r\n", -EPROTO},
        {"HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n", -EPROTO},
        {"HTTP/1.1 101 X\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n", -EPROTO},
        {"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "
         "s3pPLMBiTxaQ9kYGzzhZRbK+xOp=\r\n\r\n",
         -EPROTO}};
    struct divvy_agent_ws *ws;
    char endless[DIVVY_AGENT_WS_HEAD_BYTES + 2];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ws = begin();
        assert_int_equal(divvy_agent_ws_feed(ws, cases[i].head, strlen(cases[i].head), &error),
                         cases[i].status);
        divvy_agent_ws_free(ws);
    }
    ws = begin();
    memset(endless, 'x', sizeof endless);
    assert_int_equal(divvy_agent_ws_feed(ws, endless, sizeof endless, &error), -EPROTO);
    divvy_agent_ws_free(ws);
}

static void messages_whole_and_in_parts(void **state) {
    struct divvy_agent_ws *ws = opened();
    static const char parts[] = "\x01\x03Hel\x89\x01!\x80\x02lo"; /* with a ping between */
    char longer[4 + 300] = "\x81\x7e\x01\x2c";
    size_t length;
    const char *output;

    (void)state;
    assert_int_equal(divvy_agent_ws_feed(ws, "\x81\x05Hello\x81\x00", 9, &error), 0);
    assert_int_equal(messages, 2);
    for (size_t i = 0; i < sizeof parts - 1; i++)
        assert_int_equal(divvy_agent_ws_feed(ws, parts + i, 1, &error), 0);
    assert_int_equal(messages, 3);
    assert_string_equal(received, "Hello");
    output = divvy_agent_ws_output(ws, &length);
    assert_int_equal(length, 7); /* a masked pong with one byte */
    assert_int_equal((uint8_t)output[0], 0x8a);
    assert_int_equal((uint8_t)output[1], 0x81);
    assert_int_equal(output[6] ^ output[2], '!');
    memset(longer + 4, 'y', 300);
    assert_int_equal(divvy_agent_ws_feed(ws, longer, sizeof longer, &error), 0);
    assert_int_equal(strlen(received), 300);
    divvy_agent_ws_free(ws);
}

static void pings(void **state) {
    struct divvy_agent_ws *ws = opened();

    (void)state;
    assert_int_equal(divvy_agent_ws_ping(ws), 0);
    assert_int_equal(divvy_agent_ws_ping(ws), -EAGAIN);
    assert_int_equal(divvy_agent_ws_feed(ws, "\x8a\x00", 2, &error), 0);
    assert_int_equal(divvy_agent_ws_ping(ws), 0);
    divvy_agent_ws_free(ws);
}

static void a_close_is_answered(void **state) {
    struct divvy_agent_ws *ws = opened();
    size_t length;
    const char *output;

    (void)state;
    assert_int_equal(divvy_agent_ws_feed(ws, "\x88\x04\x03\xe8ok", 6, &error), -ESHUTDOWN);
    assert_false(divvy_agent_ws_is_open(ws));
    output = divvy_agent_ws_output(ws, &length);
    assert_int_equal(length, 8);
    assert_int_equal((uint8_t)output[0], 0x88);
    assert_int_equal(divvy_agent_ws_feed(ws, "\x81\x00", 2, &error), -ESHUTDOWN);
    divvy_agent_ws_free(ws);
}

static void what_breaks_the_rules(void **state) {
    static const struct {
        const char *bytes;
        size_t length;
        int status;
    } cases[] = {{"\xc1\x00", 2, -EPROTO},
                 {"\x81\x80\0\0\0\0", 6, -EPROTO},
                 {"\x83\x00", 2, -EPROTO},
                 {"\x8b\x00", 2, -EPROTO},
                 {"\x09\x00", 2, -EPROTO},
                 {"\x89\x7e\0\x80", 4, -EPROTO},
                 {"\x80\x00", 2, -EPROTO},
                 {"\x01\x00\x81\x00", 4, -EPROTO},
                 {"\x81\x7f\0\0\0\0\0\1\0\1", 10, -EMSGSIZE},
                 {"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff", 10, -EMSGSIZE}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct divvy_agent_ws *ws = opened();

        assert_int_equal(divvy_agent_ws_feed(ws, cases[i].bytes, cases[i].length, &error),
                         cases[i].status);
        divvy_agent_ws_free(ws);
    }
}

/* A message that grows fragment by fragment ends at its bound. */
static void fragments_are_bounded(void **state) {
    struct divvy_agent_ws *ws = opened();
    static char frame[4 + 0x4000] = "\x01\x7e\x40\x00";
    int status = 0;

    (void)state;
    for (int i = 0; i < 5 && status == 0; i++) {
        status = divvy_agent_ws_feed(ws, frame, sizeof frame, &error);
        frame[0] = 0;
    }
    assert_int_equal(status, -EMSGSIZE);
    assert_int_equal(messages, 0);
    divvy_agent_ws_free(ws);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_handshake),
                                       cmocka_unit_test(handshakes_that_fail),
                                       cmocka_unit_test(messages_whole_and_in_parts),
                                       cmocka_unit_test(pings),
                                       cmocka_unit_test(a_close_is_answered),
                                       cmocka_unit_test(what_breaks_the_rules),
                                       cmocka_unit_test(fragments_are_bounded)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
