/* What the channel's client reads: JSON, answers of HTTP in pieces, events, arrays, durations, addresses, commands. */
#include "wire/channel/client.h"
#include "wire/channel/duration.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

/* ---- JSON ---- */

static void json_accepts_and_refuses(void **state) {
    static const char *const good[] = {"{}", "[]", "0", "-0", "1.5e+10", "\"\"", " null ", "[1,[2,[3]],{\"a\":{}}]",
                                       "\"\\u00e9\\ud83d\\ude00\\\\\\/\"", "\"\xc3\xa9\xf0\x9f\x98\x80\"", "{\"a\":1 , \"b\" : [ ] }"};
    static const char *const bad[] = {"", " ", "{", "}", "[1,]", "{\"a\":1,}", "{\"a\"}", "{a:1}", "{'a':1}", "01", "1.", ".5", "+1",
                                      "1e", "-", "nul", "truefalse", "\"", "\"\\x\"", "\"\\u12\"", "\"\\ud800\"", "\"\\udc00\"",
                                      "\"\n\"", "\"\xff\"", "\"\xc0\xaf\"", "\"\xed\xa0\x80\"", "\"\xf5\x80\x80\x80\"", "[1 2]", "1 2",
                                      "{\"a\":1]", "[1}", "//", "NaN", "{\"a\" 1}", "{,}", "[,]"};
    divvy_wire_json_t value;
    char deep[2 * DIVVY_WIRE_JSON_DEPTH_MAX + 2];

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(divvy_wire_json_check(good[i], strlen(good[i]), &value), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (divvy_wire_json_check(bad[i], strlen(bad[i]), &value) != -EINVAL)
            fail_msg("accepted: %s", bad[i]);
    assert_int_equal(divvy_wire_json_check("1\0", 2, &value), -EINVAL);
    memset(deep, '[', DIVVY_WIRE_JSON_DEPTH_MAX);
    memset(deep + DIVVY_WIRE_JSON_DEPTH_MAX, ']', DIVVY_WIRE_JSON_DEPTH_MAX);
    assert_int_equal(divvy_wire_json_check(deep, 2 * DIVVY_WIRE_JSON_DEPTH_MAX, &value), 0);
    memset(deep, '[', DIVVY_WIRE_JSON_DEPTH_MAX + 1);
    memset(deep + DIVVY_WIRE_JSON_DEPTH_MAX + 1, ']', DIVVY_WIRE_JSON_DEPTH_MAX + 1);
    assert_int_equal(divvy_wire_json_check(deep, sizeof deep, &value), -E2BIG);
}

static void json_looks_inside(void **state) {
    static const char text[] = " {\"a\" : 12, \"b\":\"x\\n\\u00e9\", \"c\":[1, \"two\" ,{\"a\":3}], \"d\":true, \"e\":null, \"f\":1, \"f\":2,"
                               "\"g\":18446744073709551615,\"h\":18446744073709551616,\"i\":-1,\"j\":1.0,\"k\":\"\\u0000\"} ";
    divvy_wire_json_t object, value, element;
    uint64_t number;
    char string[16];
    size_t at = 0;
    bool flag;

    (void)state;
    assert_int_equal(divvy_wire_json_check(text, strlen(text), &object), 0);
    assert_int_equal(object.length, strlen(text) - 2);
    assert_int_equal(divvy_wire_json_member(object, "a", &value), 0);
    assert_int_equal(divvy_wire_json_u64(value, &number), 0);
    assert_int_equal(number, 12);
    assert_int_equal(divvy_wire_json_member(object, "b", &value), 0);
    assert_int_equal(divvy_wire_json_string(value, string, sizeof string), 0);
    assert_string_equal(string, "x\n\xc3\xa9");
    assert_int_equal(divvy_wire_json_string(value, string, 4), -ENAMETOOLONG);
    assert_int_equal(divvy_wire_json_string(value, string, 5), 0);
    assert_int_equal(divvy_wire_json_u64(value, &number), -EINVAL);
    assert_int_equal(divvy_wire_json_member(object, "c", &value), 0);
    assert_true(divvy_wire_json_next(value, &at, &element) && element.length == 1);
    assert_true(divvy_wire_json_next(value, &at, &element) && element.length == 5);
    assert_true(divvy_wire_json_next(value, &at, &element) && element.text[0] == '{');
    assert_false(divvy_wire_json_next(value, &at, &element));
    assert_int_equal(divvy_wire_json_member(object, "d", &value), 0);
    assert_int_equal(divvy_wire_json_bool(value, &flag), 0);
    assert_true(flag);
    assert_int_equal(divvy_wire_json_member(object, "e", &value), 0);
    assert_true(divvy_wire_json_is_null(value));
    assert_int_equal(divvy_wire_json_member(object, "f", &value), -EEXIST);
    assert_int_equal(divvy_wire_json_member(object, "z", &value), -ENOENT);
    assert_int_equal(divvy_wire_json_member(value, "a", &value), -ENOENT);
    assert_int_equal(divvy_wire_json_member(object, "g", &value), 0);
    assert_int_equal(divvy_wire_json_u64(value, &number), 0);
    assert_true(number == UINT64_MAX);
    assert_int_equal(divvy_wire_json_member(object, "h", &value), 0);
    assert_int_equal(divvy_wire_json_u64(value, &number), -ERANGE);
    assert_int_equal(divvy_wire_json_member(object, "i", &value), 0);
    assert_int_equal(divvy_wire_json_u64(value, &number), -EINVAL);
    assert_int_equal(divvy_wire_json_member(object, "j", &value), 0);
    assert_int_equal(divvy_wire_json_u64(value, &number), -EINVAL);
    assert_int_equal(divvy_wire_json_member(object, "k", &value), 0);
    assert_int_equal(divvy_wire_json_string(value, string, sizeof string), -EINVAL);
}

/* Random texts, made by breaking good ones: accepted by us exactly when jansson accepts them (but for its own limits). */
static void json_agrees_with_jansson(void **state) {
    static const char seeds[][96] = {"{\"id\":\"a-b\",\"data\":{\"id\":1,\"kind\":\"Lease\"},\"x\":[true,false,null,-1.5e3]}",
                                     "[\"\\u00e9\\ud83d\\ude00\\n\",{\"k\":[[],{}]},0,10,\"\xc3\xa9\"]"};
    static const char bytes[] = "{}[]\",:\\u0123eE+-.ntf x\x80\xc3";
    unsigned random = 7, accepted = 0;

    (void)state;
    for (int round = 0; round < 200000; round++) {
        char text[100];
        size_t length = strlen(seeds[round % 2]);
        divvy_wire_json_t value;
        json_t *other;
        bool ours;

        memcpy(text, seeds[round % 2], length);
        for (int change = rand_r(&random) % 4; change >= 0; change--) {
            size_t at = (size_t)rand_r(&random) % length;

            if (rand_r(&random) % 3 == 0 && length > 1) {
                memmove(text + at, text + at + 1, length - at - 1);
                length--;
            } else {
                text[at] = bytes[(size_t)rand_r(&random) % (sizeof bytes - 1)];
            }
        }
        ours = divvy_wire_json_check(text, length, &value) == 0;
        other = json_loadb(text, length, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        if (ours != (other != NULL))
            fail_msg("%s by us: %.*s", ours ? "accepted" : "refused", (int)length, text);
        accepted += ours;
        json_decref(other);
    }
    assert_true(accepted > 1000);
}

static void json_strings_written(void **state) {
    static const char bytes[] = "a\"b\\c\n\x01\xc3\xa9\xff z";
    char buffer[128], back[64];
    divvy_core_text_t text;
    divvy_wire_json_t value;

    (void)state;
    divvy_core_text_init(&text, buffer, sizeof buffer);
    divvy_wire_json_add_string(&text, bytes, sizeof bytes - 1);
    assert_string_equal(buffer, "\"a\\\"b\\\\c\\u000a\\u0001\xc3\xa9? z\"");
    assert_int_equal(divvy_wire_json_check(buffer, text.length, &value), 0);
    assert_int_equal(divvy_wire_json_string(value, back, sizeof back), 0);
    assert_string_equal(back, "a\"b\\c\n\x01\xc3\xa9? z");
}

/* ---- HTTP ---- */

struct collected {
    char bytes[4096];
    size_t length;
    unsigned events, errors;
};

static int collect(void *context, const char *bytes, size_t length) {
    struct collected *collected = context;

    assert_true(collected->length + length < sizeof collected->bytes);
    memcpy(collected->bytes + collected->length, bytes, length);
    collected->length += length;
    return 0;
}

/* In pieces of `step` bytes. */
static int answer_of(const char *text, size_t length, size_t step, struct divvy_wire_http_answer *answer,
                     struct collected *collected) {
    int status = 0;

    divvy_wire_http_answer_init(answer);
    memset(collected, 0, sizeof *collected);
    for (size_t at = 0; at < length && status == 0; at += step)
        status = divvy_wire_http_answer_feed(answer, text + at, length - at < step ? length - at : step, collect, collected);
    return status;
}

static void http_answers(void **state) {
    static const struct {
        const char *text;
        int status, http, end;
        const char *body;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef", 0, 200, 0, "abc"},
        {"HTTP/1.1 200\r\ncontent-length:3\r\n\r\nab", 0, 200, -EPIPE, "ab"},
        {"HTTP/1.0 404 Not Found\n\nnot here", 0, 404, 0, "not here"},
        {"HTTP/1.1 204 No Content\r\n\r\nxx", 0, 204, 0, ""},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0, 200, 0, ""},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nzzz", 0, 200, 0,
         "abc0123456789"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", 0, 200, -EPIPE, "abc"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n", -EPROTO, 200, 0, NULL},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", -EPROTO, 200, 0, NULL},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000000000000000\r\n", -EPROTO, 200, 0, NULL},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", -EPROTO, 200, 0, NULL},
        {"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\n", -EPROTO, 200, 0, NULL},
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", -EPROTO, 200, 0, NULL},
        {"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", -EPROTO, 200, 0, NULL},
        {"HTTP/2 200\r\n\r\n", -EPROTO, 0, 0, NULL},
        {"HTTP/1.1 999 Odd\r\n\r\n", -EPROTO, 0, 0, NULL},
        {"SSH-2.0-OpenSSH_9\r\n", -EPROTO, 0, 0, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t step = 1; step <= strlen(cases[i].text); step = step * 2 + 1) {
            struct divvy_wire_http_answer answer;
            struct collected collected;

            assert_int_equal(answer_of(cases[i].text, strlen(cases[i].text), step, &answer, &collected), cases[i].status);
            assert_int_equal(answer.status, cases[i].http);
            if (cases[i].status < 0)
                continue;
            assert_int_equal(divvy_wire_http_answer_end(&answer), cases[i].end);
            assert_string_equal(collected.bytes, cases[i].body);
        }
}

static void http_headers_are_bounded(void **state) {
    static const char begin[] = "HTTP/1.1 200 OK\r\nX: ", line[] = "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy";
    struct divvy_wire_http_answer answer;
    struct collected collected = {.length = 0};
    int status = 0;

    (void)state;
    /* One long header is passed over... */
    divvy_wire_http_answer_init(&answer);
    assert_int_equal(divvy_wire_http_answer_feed(&answer, begin, sizeof begin - 1, collect, &collected), 0);
    for (int i = 0; i < 50; i++)
        assert_int_equal(divvy_wire_http_answer_feed(&answer, line, sizeof line - 1, collect, &collected), 0);
    assert_int_equal(divvy_wire_http_answer_feed(&answer, "\r\nContent-Length: 1\r\n\r\nz", 24, collect, &collected), 0);
    assert_string_equal(collected.bytes, "z");
    /* ... headers without end are not. */
    divvy_wire_http_answer_init(&answer);
    assert_int_equal(divvy_wire_http_answer_feed(&answer, begin, sizeof begin - 1, collect, &collected), 0);
    for (int i = 0; i < 2000 && status == 0; i++)
        status = divvy_wire_http_answer_feed(&answer, line, sizeof line - 1, collect, &collected);
    assert_int_equal(status, -EMSGSIZE);
}

static int event(void *context, bool is_error, const char *data, size_t length) {
    struct collected *collected = context;

    collected->events++;
    collected->errors += is_error;
    (void)collect(collected, "<", 1);
    if (length < 100)
        (void)collect(collected, data, length);
    return collect(collected, ">", 1);
}

static void sse_events(void **state) {
    static const char text[] = ": open\n\ndata: one\n\ndata:two\ndata:  lines\r\n\r\nevent: error\rdata\r\rid: 7\nretry: 5\ndatax: no\n\n"
                               "event: other\ndata: last\n\ndata: unfinished";
    (void)state;
    for (size_t step = 1; step < sizeof text; step++) {
        static struct divvy_wire_sse sse;
        struct collected collected = {.length = 0};

        divvy_wire_sse_init(&sse, event, &collected);
        for (size_t at = 0; at < sizeof text - 1; at += step)
            assert_int_equal(
                divvy_wire_sse_feed(&sse, text + at, sizeof text - 1 - at < step ? sizeof text - 1 - at : step), 0);
        assert_string_equal(collected.bytes, "<one><two\n lines><><last>");
        assert_int_equal(collected.errors, 1);
    }
}

static void sse_large_events_dropped(void **state) {
    static struct divvy_wire_sse sse;
    struct collected collected = {.length = 0};

    (void)state;
    divvy_wire_sse_init(&sse, event, &collected);
    assert_int_equal(divvy_wire_sse_feed(&sse, "data: ", 6), 0);
    for (int i = 0; i <= DIVVY_WIRE_SSE_DATA_BYTES; i++)
        assert_int_equal(divvy_wire_sse_feed(&sse, "x", 1), 0);
    assert_int_equal(divvy_wire_sse_feed(&sse, "\n\ndata: fine\n\n", 14), 0);
    assert_string_equal(collected.bytes, "<fine>");
    assert_int_equal(sse.dropped, 1);
}

static void arrays(void **state) {
    static const struct {
        const char *text, *elements;
        int status;
    } cases[] = {
        {"[]", "", 0},
        {" [ ] ", "", 0},
        {"[{\"a\":[1,2]} , \"x],\\\"\" ,3]", "<{\"a\":[1,2]}><\"x],\\\"\"><3>", 0},
        {"{}", "", -EPROTO},
        {"[1]2", "<1>", -EPROTO},
        {"[1][", "<1>", -EPROTO},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        static struct divvy_wire_sse sse;
        struct divvy_wire_array array;
        struct collected collected = {.length = 0};
        int status = 0;

        divvy_wire_sse_init(&sse, event, &collected);
        divvy_wire_array_init(&array, &sse);
        for (const char *at = cases[i].text; *at && status == 0; at++)
            status = divvy_wire_array_feed(&array, at, 1);
        assert_int_equal(status, cases[i].status);
        assert_string_equal(collected.bytes, cases[i].elements);
    }
}

/* ---- the rest ---- */

static void durations(void **state) {
    static const struct {
        const char *text;
        int64_t ns;
    } good[] = {{"30s", 30000000000}, {"1h 30m", 5400000000000},  {" 250ms ", 250000000},       {"1day2hours", 93600000000000},
                {"1ns", 1},           {"2 min", 120000000000},    {"1H30M", 5400000000000},     {"3weeks", 1814400000000000},
                {"7us 1usec", 8000},  {"1 second", 1000000000}};
    static const char *const bad[] = {"", " ", "30", "s", "-1s", "1.5s", "1ss", "1 fortnight", "0s", "1s,2s", "300000w", "1mss",
                                      "99999999999999999999s"};
    int64_t ns = 0;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(divvy_wire_duration_parse(good[i].text, strlen(good[i].text), &ns), 0);
        assert_int_equal(ns, good[i].ns);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (divvy_wire_duration_parse(bad[i], strlen(bad[i]), &ns) == 0)
            fail_msg("accepted: '%s'", bad[i]);
}

static void addresses(void **state) {
    static const struct {
        const char *host, *port, *header;
        sa_family_t family;
    } good[] = {{"10.0.0.7", "8001", "10.0.0.7:8001", AF_INET}, {"::1", "1", "[::1]:1", AF_INET6},
                {"[fe80::1]", "65535", "[fe80::1]:65535", AF_INET6}, {"localhost", "80", "localhost:80", AF_INET},
                {"unix:/run/divvy/x.sock", NULL, "localhost", AF_UNIX}, {"/run/x", "", "localhost", AF_UNIX}};
    static const char *const bad[][2] = {{"node.example", "80"}, {"10.0.0.7", "0"}, {"10.0.0.7", "65536"}, {"10.0.0.7", ""},
                                         {"10.0.0.7", "80 "},    {"", "80"},        {"1.2.3", "80"},       {"[::1", "80"}};
    struct divvy_wire_address address;
    char longest[200];

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(divvy_wire_address_parse(good[i].host, good[i].port, &address), 0);
        assert_string_equal(address.host, good[i].header);
        assert_int_equal(address.storage.ss_family, good[i].family);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(divvy_wire_address_parse(bad[i][0], bad[i][1], &address), -EINVAL);
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(divvy_wire_address_parse(longest, "80", &address), -ENAMETOOLONG);
    longest[0] = '/';
    assert_int_equal(divvy_wire_address_parse(longest, "80", &address), -ENAMETOOLONG);
}

static int command_of(const char *text, struct divvy_wire_command *ret_command) {
    divvy_wire_json_t value;

    assert_int_equal(divvy_wire_json_check(text, strlen(text), &value), 0);
    return divvy_wire_command_parse(value, ret_command);
}

static void commands(void **state) {
    struct divvy_wire_client_result result = {0};
    struct divvy_wire_command command;
    divvy_wire_json_t value;
    char message[1000];

    (void)state;
    assert_int_equal(command_of("{\"id\":1,\"kind\":\"Suspend\"}", &command), 0);
    assert_int_equal(command.kind, DIVVY_CHANNEL_SUSPEND);
    assert_int_equal(command_of("{\"kind\":\"Lease\",\"id\":18446744073709551615,\"length\":5,\"device\":null}", &command), 0);
    assert_int_equal(command.kind, DIVVY_CHANNEL_LEASE);
    assert_true(command.number == UINT64_MAX);
    assert_int_equal(command.length_ns, 5);
    assert_string_equal(command.device, "");
    assert_int_equal(command_of("{\"id\":3,\"kind\":\"Dance\"}", &command), 0);
    assert_int_equal(command.kind, DIVVY_CHANNEL_KIND_MAX);
    assert_int_equal(command_of("{\"id\":\"3\",\"kind\":\"Resume\"}", &command), -EINVAL);
    assert_int_equal(command_of("{\"id\":3}", &command), -EINVAL);
    assert_int_equal(command_of("{\"id\":3,\"kind\":4}", &command), -EINVAL);
    assert_int_equal(command_of("{\"id\":3,\"kind\":\"Lease\",\"begin\":-1}", &command), -EINVAL);
    assert_int_equal(command_of("[]", &command), -EINVAL);
    assert_int_equal(command_of("{\"id\":3,\"kind\":\"Lease\",\"memory\":8,\"permille\":300,\"door\":12,\"budget\":9}", &command), 0);
    assert_true(command.has_limits);
    assert_int_equal(command.memory_bytes, 8);
    assert_int_equal(command.permille, 300);
    assert_int_equal(command.door, 12);
    assert_int_equal(command.budget_ns, 9);
    assert_int_equal(command_of("{\"id\":3,\"kind\":\"Lease\"}", &command), 0);
    assert_false(command.has_limits);
    assert_int_equal(command_of("{\"id\":3,\"kind\":\"Lease\",\"memory\":8}", &command), -EINVAL);
    assert_int_equal(command_of("{\"id\":3,\"kind\":\"Lease\",\"door\":\"shut\"}", &command), -EINVAL);

    memset(message, '\n', sizeof message - 1);
    message[sizeof message - 1] = '\0';
    divvy_wire_command_answer(&command, false, message, &result);
    assert_int_equal(divvy_wire_json_check(result.result, strlen(result.result), &value), 0);
    command.number = 9;
    divvy_wire_command_answer(&command, true, NULL, &result);
    assert_string_equal(result.result, "{\"id\":9,\"success\":true,\"message\":null}");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_accepts_and_refuses), cmocka_unit_test(json_looks_inside),
        cmocka_unit_test(json_agrees_with_jansson), cmocka_unit_test(json_strings_written),
        cmocka_unit_test(http_answers),             cmocka_unit_test(http_headers_are_bounded),
        cmocka_unit_test(sse_events),               cmocka_unit_test(sse_large_events_dropped),
        cmocka_unit_test(arrays),                   cmocka_unit_test(durations),
        cmocka_unit_test(addresses),                cmocka_unit_test(commands),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
