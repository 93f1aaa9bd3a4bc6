/* Frames, the table of operations, checksums, and the ends of JSON objects against a model. */
#include "wire/frame.h"
#include "wire/json_frame.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void table_is_sound(void **state) {
    size_t count;
    const struct divvy_wire_op *table = divvy_wire_op_table(&count);

    (void)state;
    assert_true(count > 30);
    for (size_t i = 0; i < count; i++) {
        assert_true(i == 0 || table[i - 1].number < table[i].number);
        assert_ptr_equal(divvy_wire_op_find(table[i].number), &table[i]);
        assert_true(table[i].in_words <= DIVVY_WIRE_WORDS_MAX && table[i].out_words <= DIVVY_WIRE_WORDS_MAX);
        if (table[i].kind == DIVVY_WIRE_ONEWAY)
            assert_true(table[i].out_words == 0 && !table[i].out_bytes);
    }
    assert_null(divvy_wire_op_find(0));
    assert_null(divvy_wire_op_find(UINT16_MAX));
    assert_int_equal(sizeof(struct divvy_wire_launch_in), 9 * sizeof(uint64_t));
    assert_int_equal(sizeof(struct divvy_wire_launch_with_in), 10 * sizeof(uint64_t));
}

static void headers_are_checked(void **state) {
    const struct divvy_wire_header good = {
        .magic = DIVVY_WIRE_MAGIC, .op = DIVVY_WIRE_OP_PING, .length = 100, .id = UINT64_MAX};
    struct divvy_wire_header header, read;
    char bytes[sizeof header + 1];

    (void)state;
    memcpy(bytes + 1, &good, sizeof good);
    assert_int_equal(divvy_wire_header_read(bytes + 1, 100, &read), 0);
    assert_memory_equal(&read, &good, sizeof good);
    assert_int_equal(divvy_wire_header_read(&good, 99, &read), -EMSGSIZE);
#define WRONG(field, value)                                                                        \
    header = good;                                                                                 \
    header.field = (value);                                                                        \
    assert_int_equal(divvy_wire_header_read(&header, 100, &read), -EPROTO)
    WRONG(magic, 0);
    WRONG(flags, 16);
    WRONG(flags, DIVVY_WIRE_LATCHED);
    WRONG(status, 1);
    WRONG(checksum, 1);
    WRONG(reserved, 1);
}

static void payloads_fit_their_rows(void **state) {
    size_t count;
    const struct divvy_wire_op *table = divvy_wire_op_table(&count);
    const char payload[4096] = {0};

    (void)state;
    for (size_t i = 0; i < count; i++)
        for (unsigned int flags = 0; flags <= DIVVY_WIRE_ANSWER; flags++) {
            uint32_t words = (flags ? table[i].out_words : table[i].in_words) * 8u;
            bool bytes = flags ? table[i].out_bytes : table[i].in_bytes;
            struct divvy_wire_header header = {.op = table[i].number, .flags = (uint16_t)flags, .length = words};

            assert_int_equal(divvy_wire_payload_check(&header, &table[i], payload), 0);
            header.length = words + 1;
            assert_int_equal(divvy_wire_payload_check(&header, &table[i], payload), bytes ? 0 : -EINVAL);
            header.flags |= DIVVY_WIRE_PACKED;
            assert_int_equal(divvy_wire_payload_check(&header, &table[i], payload), bytes ? 0 : -EINVAL);
            header.flags = (uint16_t)flags;
            if (words == 0)
                continue;
            header.length = words - 1;
            assert_int_equal(divvy_wire_payload_check(&header, &table[i], payload), -EINVAL);
        }
}

static void checksums_are_castagnoli(void **state) {
    const char text[] = "123456789";
    struct divvy_wire_header header = {.op = DIVVY_WIRE_OP_PING, .flags = DIVVY_WIRE_CHECKED, .length = 9};

    (void)state;
    assert_int_equal(divvy_wire_checksum(0, text, 9), 0xE3069283);
    for (size_t cut = 0; cut <= 9; cut++)
        assert_int_equal(divvy_wire_checksum(divvy_wire_checksum(0, text, cut), text + cut, 9 - cut), 0xE3069283);
    header.checksum = 0xE3069283;
    assert_int_equal(divvy_wire_payload_check(&header, divvy_wire_op_find(DIVVY_WIRE_OP_PING), text), 0);
    header.checksum++;
    assert_int_equal(divvy_wire_payload_check(&header, divvy_wire_op_find(DIVVY_WIRE_OP_PING), text), -EBADMSG);
}

/* Appends a random object; what is in strings looks like structure. */
static size_t object_write(char *to, int depth) {
    static const char *const leaves[] = {"1", "\"}\"", "\"\\\"{\"", "\"\\\\\"", "null", "[]", "[1,2]", "\"[\""};
    size_t at = 0;

    at += (size_t)snprintf(to + at, 64, "{");
    for (int i = rand() % 3; i >= 0; i--) {
        at += (size_t)snprintf(to + at, 64, "\"k\\\"%d\": ", i);
        at += depth > 0 && rand() % 2 ? object_write(to + at, depth - 1)
                                      : (size_t)snprintf(to + at, 64, "%s", leaves[(size_t)rand() % 8]);
        at += (size_t)snprintf(to + at, 64, i ? "," : "");
    }
    return at + (size_t)snprintf(to + at, 64, "}");
}

static void objects_end_where_they_end(void **state) {
    unsigned int seed = (unsigned int)time(NULL);

    (void)state;
    print_message("seed %u\n", seed);
    srand(seed);
    for (int round = 0; round < 2000; round++) {
        static char text[65536], got[65536];
        struct divvy_wire_json_frame frame = {0};
        size_t ends[4], length = 0, at = 0, object = 0, have = 0;

        for (int i = 0; i < 4; i++) {
            length += (size_t)snprintf(text + length, 64, "%s", rand() % 2 ? " \r\n\t" : "");
            length += object_write(text + length, 3);
            ends[i] = length;
        }
        while (at < length) {
            size_t part = 1 + (size_t)rand() % 40, start, end;
            int status;

            part = part < length - at ? part : length - at;
            status = divvy_wire_json_frame_feed(&frame, text + at, part, &start, &end);
            assert_true(status >= 0);
            memcpy(got + have, text + at + start, end - start);
            have += end - start;
            at += end;
            if (status == 0)
                continue;
            assert_int_equal(at, ends[object]);
            assert_memory_equal(got, text + ends[object] - have, have);
            assert_true(got[0] == '{' && frame.length == 0);
            object++;
            have = 0;
        }
        assert_int_equal(object, 4);
    }
}

static void what_is_no_object_is_refused(void **state) {
    struct divvy_wire_json_frame frame = {0};
    size_t start, end;
    char deep[DIVVY_WIRE_JSON_DEPTH_MAX + 1];

    (void)state;
    assert_int_equal(divvy_wire_json_frame_feed(&frame, "[1]", 3, &start, &end), -EPROTO);
    memset(&frame, 0, sizeof frame);
    assert_int_equal(divvy_wire_json_frame_feed(&frame, "  x", 3, &start, &end), -EPROTO);
    memset(&frame, 0, sizeof frame);
    memset(deep, '{', sizeof deep);
    assert_int_equal(divvy_wire_json_frame_feed(&frame, deep, sizeof deep - 1, &start, &end), 0);
    assert_int_equal(divvy_wire_json_frame_feed(&frame, deep, 1, &start, &end), -EPROTO);
    frame = (struct divvy_wire_json_frame){.depth = 1, .length = DIVVY_WIRE_JSON_BYTES_MAX};
    assert_int_equal(divvy_wire_json_frame_feed(&frame, " ", 1, &start, &end), -EMSGSIZE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_is_sound),
        cmocka_unit_test(headers_are_checked),
        cmocka_unit_test(payloads_fit_their_rows),
        cmocka_unit_test(checksums_are_castagnoli),
        cmocka_unit_test(objects_end_where_they_end),
        cmocka_unit_test(what_is_no_object_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
