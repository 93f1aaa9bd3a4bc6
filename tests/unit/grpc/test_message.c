/* Messages, time limits and texts of gRPC. */
#include "grpc/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void messages_in_pieces(void **state) {
    static const uint8_t stream[] = {0, 0, 0, 0, 3, 'a', 'b', 'c', 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 'd', 'e'};
    static const char *const expected[] = {"abc", "", "de"};

    (void)state;
    for (size_t step = 1; step <= sizeof stream; step++) {
        struct divvy_grpc_reader reader = {.max_bytes = 3};
        size_t at = 0, count = 0;

        while (at < sizeof stream) {
            size_t part = sizeof stream - at < step ? sizeof stream - at : step, taken;
            int whole;

            assert_int_equal(divvy_grpc_reader_feed(&reader, stream + at, part, &taken, &whole), DIVVY_GRPC_OK);
            at += taken;
            if (!whole)
                continue;
            assert_true(count < 3);
            assert_int_equal(reader.length, strlen(expected[count]));
            if (reader.length > 0)
                assert_memory_equal(reader.message, expected[count], reader.length);
            count++;
        }
        assert_int_equal(count, 3);
        assert_true(divvy_grpc_reader_is_between(&reader));
        divvy_grpc_reader_done(&reader);
    }
}

static void messages_refused(void **state) {
    static const struct {
        uint8_t prefix[5];
        enum divvy_grpc_status status;
    } rows[] = {
        {{0, 0, 0, 0, 100}, DIVVY_GRPC_OK},
        {{0, 0, 0, 0, 101}, DIVVY_GRPC_RESOURCE_EXHAUSTED},
        {{0, 0xff, 0xff, 0xff, 0xff}, DIVVY_GRPC_RESOURCE_EXHAUSTED},
        {{1, 0, 0, 0, 1}, DIVVY_GRPC_UNIMPLEMENTED},
        {{2, 0, 0, 0, 1}, DIVVY_GRPC_INTERNAL},
        {{0xff, 0, 0, 0, 0}, DIVVY_GRPC_INTERNAL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct divvy_grpc_reader reader = {.max_bytes = 100};
        size_t taken;
        int whole;

        assert_int_equal(divvy_grpc_reader_feed(&reader, rows[i].prefix, 5, &taken, &whole), rows[i].status);
        assert_false(whole);
        assert_false(divvy_grpc_reader_is_between(&reader));
        /* Memory comes with bytes, not with promises. */
        assert_int_equal(reader.room, 0);
        divvy_grpc_reader_done(&reader);
    }
}

static void timeouts(void **state) {
    static const struct {
        const char *text;
        int status;
        uint64_t ns;
    } rows[] = {
        {"1S", 0, 1000000000},
        {"250m", 0, 250000000},
        {"7u", 0, 7000},
        {"99999999n", 0, 99999999},
        {"2M", 0, UINT64_C(120000000000)},
        {"1H", 0, UINT64_C(3600000000000)},
        {"99999999H", 0, UINT64_MAX},
        {"0S", 0, 0},
        {"", -22, 0},
        {"S", -22, 0},
        {"5", -22, 0},
        {"123456789S", -22, 0},
        {"-1S", -22, 0},
        {"+1S", -22, 0},
        {"1.5S", -22, 0},
        {" 1S", -22, 0},
        {"1s", -22, 0},
        {"1 S", -22, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t ns = 0;

        assert_int_equal(divvy_grpc_timeout_parse(rows[i].text, strlen(rows[i].text), &ns), rows[i].status);
        assert_int_equal(ns, rows[i].ns);
    }
}

static void timeouts_written(void **state) {
    static const struct {
        uint64_t ns;
        const char *text;
    } rows[] = {{0, "0n"},
                {1, "1n"},
                {99999999, "99999999n"},
                {100000000, "100000u"},
                {100000001, "100001u"},
                {UINT64_C(10000000000), "10000000u"},
                {UINT64_C(3600000000000), "3600000m"},
                {UINT64_MAX, "5124096H"}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[DIVVY_GRPC_TIMEOUT_BYTES];

        divvy_grpc_timeout_format(rows[i].ns, text);
        assert_string_equal(text, rows[i].text);
    }
}

static void statuses(void **state) {
    (void)state;
    assert_int_equal(divvy_grpc_status_parse("0", 1), DIVVY_GRPC_OK);
    assert_int_equal(divvy_grpc_status_parse("16", 2), DIVVY_GRPC_UNAUTHENTICATED);
    assert_int_equal(divvy_grpc_status_parse("17", 2), DIVVY_GRPC_UNKNOWN);
    assert_int_equal(divvy_grpc_status_parse("", 0), DIVVY_GRPC_UNKNOWN);
    assert_int_equal(divvy_grpc_status_parse("-1", 2), DIVVY_GRPC_UNKNOWN);
    assert_int_equal(divvy_grpc_status_parse("100", 3), DIVVY_GRPC_UNKNOWN);
    assert_string_equal(divvy_grpc_status_name(DIVVY_GRPC_DEADLINE_EXCEEDED), "DEADLINE_EXCEEDED");
    assert_string_equal(divvy_grpc_status_name((enum divvy_grpc_status)99), "UNKNOWN");
}

static void texts(void **state) {
    static const struct {
        const char *plain, *coded;
    } rows[] = {{"", ""}, {"all is well", "all is well"}, {"100 %", "100 %25"}, {"\xc3\xbc", "%C3%BC"}};
    char coded[3 * DIVVY_GRPC_TEXT_BYTES], plain[DIVVY_GRPC_TEXT_BYTES];
    char longest[2 * DIVVY_GRPC_TEXT_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(divvy_grpc_text_encode(rows[i].plain, coded), strlen(rows[i].coded));
        assert_string_equal(coded, rows[i].coded);
        divvy_grpc_text_decode(coded, strlen(coded), plain);
        assert_string_equal(plain, rows[i].plain);
    }
    /* Broken escapes stay; no line comes out of one. */
    divvy_grpc_text_decode("%", 1, plain);
    assert_string_equal(plain, "%");
    divvy_grpc_text_decode("%4", 2, plain);
    assert_string_equal(plain, "%4");
    divvy_grpc_text_decode("%zz%0a%1B[m", 11, plain);
    assert_string_equal(plain, "%zz  [m");
    memset(longest, '%', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(divvy_grpc_text_encode(longest, coded), 3 * (DIVVY_GRPC_TEXT_BYTES - 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_in_pieces), cmocka_unit_test(messages_refused), cmocka_unit_test(timeouts),
        cmocka_unit_test(timeouts_written),   cmocka_unit_test(statuses),         cmocka_unit_test(texts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
