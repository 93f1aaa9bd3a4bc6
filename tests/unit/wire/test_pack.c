/* Packed bytes: blocks written by hand from the format's description, there and back for all kinds of bytes, and hostile ones. */
#include "wire/pack.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define LONG_BYTES (1u << 20)

static int unpack(const char *block, size_t block_length, uint32_t announced, char *ret_bytes, size_t room, size_t *ret_length) {
    char packed[512];

    memcpy(packed, &announced, sizeof announced);
    memcpy(packed + sizeof announced, block, block_length);
    return divvy_wire_unpack(packed, sizeof announced + block_length, ret_bytes, room, ret_length);
}

#define UNPACK(block, announced) unpack((block), sizeof(block) - 1, (announced), bytes, sizeof bytes, &length)

static void blocks_of_the_format(void **state) {
    char bytes[600], expected[600];
    size_t length = 0;

    (void)state;
    assert_int_equal(UNPACK("\x50hello", 5), 0);
    assert_memory_equal(bytes, "hello", 5);
    assert_int_equal(length, 5);
    /* One literal, a match of 9 that reaches into itself, five last literals. */
    assert_int_equal(UNPACK("\x15" "a\x01\x00\x50" "bcdef", 15), 0);
    assert_memory_equal(bytes, "aaaaaaaaaabcdef", 15);
    /* Two literals, a match of 6 from two back. */
    assert_int_equal(UNPACK("\x22xy\x02\x00\x10z", 9), 0);
    assert_memory_equal(bytes, "xyxyxyxyz", 9);
    /* Lengths that go on in further bytes: 15 + 255 + 0 more than the least match of 4. */
    assert_int_equal(UNPACK("\x1F" "a\x01\x00\xFF\x00\x00", 275), 0);
    memset(expected, 'a', sizeof expected);
    assert_memory_equal(bytes, expected, 275);
    assert_int_equal(length, 275);
}

static void what_is_wrong_is_refused(void **state) {
    char bytes[64];
    size_t length = 77;

    (void)state;
    assert_int_equal(divvy_wire_unpack("\1\0\0", 3, bytes, sizeof bytes, &length), -EPROTO); /* no head */
    assert_int_equal(UNPACK("", 0), -EPROTO);                       /* no block */
    assert_int_equal(UNPACK("\x50hello", 4), -EPROTO);              /* longer than announced */
    assert_int_equal(UNPACK("\x50hello", 6), -EPROTO);              /* shorter */
    assert_int_equal(UNPACK("\x50hell", 5), -EPROTO);               /* ends within literals */
    assert_int_equal(UNPACK("\xF0", 20), -EPROTO);                  /* within a length */
    assert_int_equal(UNPACK("\xF0\xFF", 20), -EPROTO);
    assert_int_equal(UNPACK("\x10" "a\x01", 9), -EPROTO);           /* within an offset */
    assert_int_equal(UNPACK("\x10" "a\x01\x00", 5), -EPROTO);       /* with a match */
    assert_int_equal(UNPACK("\x10" "a\x00\x00\x10z", 6), -EPROTO);  /* from here */
    assert_int_equal(UNPACK("\x10" "a\x02\x00\x10z", 6), -EPROTO);  /* from before the beginning */
    assert_int_equal(UNPACK("\x1F" "a\x01\x00\xFF\xFF\xFF\x00\x10z", 10), -EPROTO);
    assert_int_equal(UNPACK("\x51hello", 5), -EPROTO);              /* a last sequence with a match */
    assert_int_equal(unpack("\x50hello", 6, 5, bytes, 4, &length), -EPROTO); /* no room */
    assert_int_equal(length, 77);
}

static void there_and_back(const char *bytes, size_t length, bool must_pack) {
    static struct divvy_wire_packer packer;
    char *packed = malloc(length + 1), *back = malloc(length + 1);
    size_t packed_length, back_length = 0;

    assert_true(packed && back);
    memset(&packer, rand(), sizeof packer); /* nothing in it needs to be set */
    packed[length] = back[length] = 0x5A;
    packed_length = divvy_wire_pack(&packer, bytes, length, packed);
    assert_true(packed_length <= length - length / 16);
    assert_true(packed_length > 0 || !must_pack);
    if (packed_length > 0) {
        assert_int_equal(divvy_wire_unpack(packed, packed_length, back, length, &back_length), 0);
        assert_int_equal(back_length, length);
        assert_memory_equal(back, bytes, length);
    }
    assert_true(packed[length] == 0x5A && back[length] == 0x5A);
    free(packed);
    free(back);
}

static void any_bytes_come_back(void **state) {
    unsigned int seed = (unsigned int)time(NULL);
    char *bytes = malloc(LONG_BYTES);

    (void)state;
    print_message("seed %u\n", seed);
    srand(seed);
    assert_non_null(bytes);
    memset(bytes, 0, LONG_BYTES);
    for (size_t length = 256; length <= LONG_BYTES; length = length * 5 / 4 + 1)
        there_and_back(bytes, length, true);
    for (int round = 0; round < 400; round++) {
        size_t length = 256 + (size_t)rand() % (round % 10 ? 5000 : LONG_BYTES - 256), alphabet = 1 + (size_t)rand() % 256;

        /* Runs, repetitions from near and far, and noise. */
        for (size_t at = 0; at < length;) {
            size_t part = 1 + (size_t)rand() % 700, back = at ? 1 + (size_t)rand() % at : 0, kind = (size_t)rand() % 3;

            for (; part > 0 && at < length; part--, at++)
                bytes[at] = (char)(kind == 0 && back ? (size_t)bytes[at - back] : kind == 1 ? alphabet : (size_t)rand() % alphabet);
        }
        there_and_back(bytes, length, false);
    }
    free(bytes);
}

static void short_ones_and_noise_stay_as_they_are(void **state) {
    static struct divvy_wire_packer packer;
    static char bytes[65536], packed[65536];

    (void)state;
    assert_int_equal(divvy_wire_pack(&packer, bytes, 255, packed), 0);
    assert_int_equal(divvy_wire_pack(&packer, bytes, 0, packed), 0);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(rand() >> 7);
    assert_int_equal(divvy_wire_pack(&packer, bytes, sizeof bytes, packed), 0);
}

/* Any change of packed bytes is refused or gives as many bytes as before: nothing outside is touched (run it with sanitizers). */
static void changed_bytes_do_no_harm(void **state) {
    static struct divvy_wire_packer packer;
    char bytes[4000];
    size_t packed_length, length = 0;

    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i % 97 < 60 ? i / 300 : i * 7);
    for (int round = 0; round < 20000; round++) {
        char *packed = malloc(sizeof bytes), *back = malloc(sizeof bytes), *exact;

        assert_true(packed && back);
        packed_length = divvy_wire_pack(&packer, bytes, sizeof bytes, packed);
        assert_true(packed_length > 0);
        if (rand() % 2)
            packed_length = (size_t)rand() % packed_length;
        exact = malloc(packed_length + (packed_length == 0));
        assert_non_null(exact);
        memcpy(exact, packed, packed_length);
        for (int changes = rand() % 4; changes > 0 && packed_length > 0; changes--)
            exact[(size_t)rand() % packed_length] = (char)rand();
        if (divvy_wire_unpack(exact, packed_length, back, sizeof bytes, &length) == 0)
            assert_true(length <= sizeof bytes);
        free(packed);
        free(back);
        free(exact);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_of_the_format),
        cmocka_unit_test(what_is_wrong_is_refused),
        cmocka_unit_test(any_bytes_come_back),
        cmocka_unit_test(short_ones_and_noise_stay_as_they_are),
        cmocka_unit_test(changed_bytes_do_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
