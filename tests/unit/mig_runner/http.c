/* Heads and bodies of HTTP/1, above all those that must be refused. */
#include "mig/runner/http.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int request(const char *text, struct divvy_runner_http_head *ret_head) {
    size_t searched = 0;
    int length = divvy_runner_http_head_find(text, strlen(text), &searched);

    if (length <= 0)
        return length == 0 ? -EAGAIN : length;
    return divvy_runner_http_request_parse(text, (size_t)length, ret_head);
}

static void requests(void **state) {
    struct divvy_runner_http_head head;

    (void)state;
    assert_int_equal(request("GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n", &head), 0);
    assert_int_equal(head.framing, DIVVY_RUNNER_HTTP_NONE);
    assert_false(head.is_last || head.is_head || head.is_upgrade);
    assert_int_equal(head.target_at, 4);
    assert_int_equal(head.target_length, 4);
    assert_int_equal(request("HEAD / HTTP/1.0\r\n\r\n", &head), 0);
    assert_true(head.is_last && head.is_head);
    assert_int_equal(request("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", &head), 0);
    assert_false(head.is_last);
    assert_int_equal(request("GET / HTTP/1.1\r\nconnection: a, CLOSE\r\n\r\n", &head), 0);
    assert_true(head.is_last);
    assert_int_equal(request("GET / HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n", &head), 0);
    assert_true(head.is_upgrade);
    assert_int_equal(request("POST / HTTP/1.1\r\nContent-Length:  12 \r\n\r\n", &head), 0);
    assert_int_equal(head.framing, DIVVY_RUNNER_HTTP_LENGTH);
    assert_int_equal(head.length_bytes, 12);
    assert_int_equal(request("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", &head), 0);
    assert_int_equal(head.framing, DIVVY_RUNNER_HTTP_NONE);
    assert_int_equal(request("POST / HTTP/1.1\r\nTRANSFER-ENCODING: Chunked\r\n\r\n", &head), 0);
    assert_int_equal(head.framing, DIVVY_RUNNER_HTTP_CHUNKED);
}

static void hostile_requests(void **state) {
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: x\r\n", -EAGAIN},
        {"GET / HTTP/1.1\nHost: x\n\n", -EPROTO},
        {"GET / HTTP/1.1\r\nHost: x\n\r\n", -EPROTO},
        {"\r\n\r\nGET / HTTP/1.1\r\n\r\n", -EPROTO},
        {"GET /\r\n\r\n", -EPROTO},
        {"GET  / HTTP/1.1\r\n\r\n", -EPROTO},
        {"GET / x HTTP/1.1\r\n\r\n", -EPROTO},
        {" GET / HTTP/1.1\r\n\r\n", -EPROTO},
        {"G(T / HTTP/1.1\r\n\r\n", -EPROTO},
        {"GET /\x7f HTTP/1.1\r\n\r\n", -EPROTO},
        {"GET / HTTP/2.0\r\n\r\n", -EOPNOTSUPP},
        {"GET / HTTP/1.2\r\n\r\n", -EOPNOTSUPP},
        {"GET / http/1.1\r\n\r\n", -EPROTO},
        {"PRI * HTTP/2.0\r\n\r\n", -EOPNOTSUPP},
        {"CONNECT a:1 HTTP/1.1\r\n\r\n", -EOPNOTSUPP},
        {"GET / HTTP/1.1\r\nno colon\r\n\r\n", -EPROTO},
        {"GET / HTTP/1.1\r\n: no name\r\n\r\n", -EPROTO},
        {"GET / HTTP/1.1\r\nHost : x\r\n\r\n", -EPROTO},
        {"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", -EPROTO},
        {"GET / HTTP/1.1\r\n A: b\r\n\r\n", -EPROTO},
        {"GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", -EPROTO},
        {"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", -EPROTO},
        {"POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\n", -EPROTO},
        {"POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\n", -EPROTO},
        {"POST / HTTP/1.1\r\nContent-Length: 0x5\r\n\r\n", -EPROTO},
        {"POST / HTTP/1.1\r\nContent-Length: \r\n\r\n", -EPROTO},
        {"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", -EPROTO},
        {"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", -EPROTO},
        {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", -EPROTO},
        {"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", -EOPNOTSUPP},
        {"POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n", -EOPNOTSUPP},
        {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", -EPROTO},
    };
    struct divvy_runner_http_head head;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (request(cases[i].text, &head) != cases[i].status)
            fail_msg("%s: %d, not %d", cases[i].text, request(cases[i].text, &head), cases[i].status);
}

static void bounds(void **state) {
    static char text[DIVVY_RUNNER_HTTP_HEAD_BYTES + 64];
    struct divvy_runner_http_head head;
    size_t searched = 0, length;

    (void)state;
    memset(text, 'a', sizeof text);
    assert_int_equal(divvy_runner_http_head_find(text, DIVVY_RUNNER_HTTP_HEAD_BYTES - 1, &searched), 0);
    assert_int_equal(divvy_runner_http_head_find(text, DIVVY_RUNNER_HTTP_HEAD_BYTES, &searched), -E2BIG);
    text[5] = '\0';
    searched = 0;
    assert_int_equal(divvy_runner_http_head_find(text, 10, &searched), -EPROTO);
    length = (size_t)snprintf(text, sizeof text, "GET / HTTP/1.1\r\n");
    for (unsigned int i = 0; i <= DIVVY_RUNNER_HTTP_FIELDS; i++)
        length += (size_t)snprintf(text + length, sizeof text - length, "A: b\r\n");
    (void)snprintf(text + length, sizeof text - length, "\r\n");
    assert_int_equal(request(text, &head), -EPROTO);
}

static int answer(const char *text, bool is_head, bool is_upgrade, struct divvy_runner_http_head *ret_head) {
    return divvy_runner_http_answer_parse(text, strlen(text), is_head, is_upgrade, ret_head);
}

static void answers(void **state) {
    struct divvy_runner_http_head head;

    (void)state;
    assert_int_equal(answer("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", false, false, &head), 0);
    assert_int_equal(head.framing, DIVVY_RUNNER_HTTP_LENGTH);
    assert_int_equal(answer("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", true, false, &head), 0);
    assert_int_equal(head.framing, DIVVY_RUNNER_HTTP_NONE);
    assert_int_equal(answer("HTTP/1.1 204\r\n\r\n", false, false, &head), 0);
    assert_int_equal(head.framing, DIVVY_RUNNER_HTTP_NONE);
    assert_int_equal(answer("HTTP/1.1 304 x\r\nContent-Length: 3\r\n\r\n", false, false, &head), 0);
    assert_int_equal(head.framing, DIVVY_RUNNER_HTTP_NONE);
    assert_int_equal(answer("HTTP/1.1 100 Continue\r\n\r\n", false, false, &head), 0);
    assert_int_equal(head.framing, DIVVY_RUNNER_HTTP_NONE);
    assert_int_equal(answer("HTTP/1.1 200 OK\r\n\r\n", false, false, &head), 0);
    assert_int_equal(head.framing, DIVVY_RUNNER_HTTP_CLOSE);
    assert_int_equal(answer("HTTP/1.0 503 No\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", false, false, &head), 0);
    assert_int_equal(head.status, 503);
    assert_false(head.is_last);
    assert_int_equal(answer("HTTP/1.1 101 Go\r\n\r\n", false, true, &head), 0);
    assert_int_equal(head.framing, DIVVY_RUNNER_HTTP_TUNNEL);
    assert_int_equal(answer("HTTP/1.1 101 Go\r\n\r\n", false, false, &head), -EPROTO);
    assert_int_equal(answer("HTTP/1.1 99 x\r\n\r\n", false, false, &head), -EPROTO);
    assert_int_equal(answer("HTTP/1.1 600 x\r\n\r\n", false, false, &head), -EPROTO);
    assert_int_equal(answer("HTTP/1.1  20 x\r\n\r\n", false, false, &head), -EPROTO);
    assert_int_equal(answer("ICY 200 OK\r\n\r\n", false, false, &head), -EPROTO);
    assert_int_equal(answer("HTTP/1.1\r\n\r\n", false, false, &head), -EPROTO);
}

/* 1 done, 0 not yet, -1 refused; *ret_taken of it. */
static int chunks(const char *text, size_t step, size_t *ret_taken) {
    const struct divvy_runner_http_head head = {.framing = DIVVY_RUNNER_HTTP_CHUNKED};
    struct divvy_runner_http_body body;
    size_t length = strlen(text), at = 0;

    divvy_runner_http_body_begin(&body, &head);
    while (at < length && !body.is_done) {
        size_t taken;

        if (divvy_runner_http_body_take(&body, text + at, step < length - at ? step : length - at, &taken) < 0)
            return -1;
        at += taken;
    }
    *ret_taken = at;
    return body.is_done;
}

static void bodies(void **state) {
    static const struct {
        const char *text;
        int result;
        size_t left; /* behind the body */
    } cases[] = {
        {"0\r\n\r\n", 1, 0},
        {"5\r\nhello\r\n0\r\n\r\nGET", 1, 3},
        {"00a;x=\"y\"\r\n0123456789\r\n0\r\nTrailer: z\r\n\r\n", 1, 0},
        {"A \r\n0123456789\r\n0;a\r\n\r\n", 1, 0},
        {"5\r\nhell", 0, 0},
        {"\r\n\r\n", -1, 0},
        {"x\r\n", -1, 0},
        {"-5\r\nhello", -1, 0},
        {"5\nhello\n", -1, 0},
        {"5\r\nhelloX\r\n", -1, 0},
        {"5\r\nhello\n0\r\n\r\n", -1, 0},
        {"5x\r\nhello", -1, 0},
        {"0\r\nbare\nline\r\n\r\n", -1, 0},
        {"ffffffffffffffffff\r\n", -1, 0},
        {"10000000000000000\r\n", -1, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t step = 1; step < 8; step++) {
            size_t taken = 0;

            assert_int_equal(chunks(cases[i].text, step, &taken), cases[i].result);
            if (cases[i].result == 1)
                assert_int_equal(strlen(cases[i].text) - taken, cases[i].left);
        }
}

static void long_lines(void **state) {
    char text[DIVVY_RUNNER_HTTP_TRAILER_BYTES + 64];
    size_t taken;

    (void)state;
    memset(text, '0', sizeof text);
    text[DIVVY_RUNNER_HTTP_CHUNK_BYTES + 1] = '\0';
    assert_int_equal(chunks(text, 100, &taken), -1);
    memset(text, 'a', sizeof text);
    memcpy(text, "0\r\n", 3);
    text[sizeof text - 1] = '\0';
    assert_int_equal(chunks(text, 1000, &taken), -1);
}

static void plain(void **state) {
    const struct divvy_runner_http_head head = {.framing = DIVVY_RUNNER_HTTP_LENGTH, .length_bytes = 1000};
    struct divvy_runner_http_body body;

    (void)state;
    divvy_runner_http_body_begin(&body, &head);
    assert_int_equal(divvy_runner_http_body_plain(&body), 1000);
    divvy_runner_http_body_skip(&body, 999);
    assert_false(body.is_done);
    divvy_runner_http_body_skip(&body, 1);
    assert_true(body.is_done);
    assert_int_equal(divvy_runner_http_body_plain(&body), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(requests), cmocka_unit_test(hostile_requests), cmocka_unit_test(bounds),
                                       cmocka_unit_test(answers),  cmocka_unit_test(bodies),           cmocka_unit_test(long_lines),
                                       cmocka_unit_test(plain)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
