/* Bounded text: conversions agree with stdio's, cuts stay inside the buffer, sizes read well. */
#include "core/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define SAME(format, ...)                                                                          \
    do {                                                                                           \
        char ours_[256], theirs_[256];                                                             \
        divvy_core_text_t text_;                                                                   \
        divvy_core_text_init(&text_, ours_, sizeof ours_);                                         \
        divvy_core_text_format(&text_, format, __VA_ARGS__);                                       \
        snprintf(theirs_, sizeof theirs_, format, __VA_ARGS__);                                    \
        assert_string_equal(ours_, theirs_);                                                       \
        assert_int_equal(text_.length, strlen(theirs_));                                           \
        assert_false(text_.is_cut);                                                                \
    } while (0)

static void agrees_with_stdio(void **state) {
    (void)state;
    SAME("plain %s", "word");
    SAME("%d %d %d", 0, -1, 2147483647);
    SAME("%d", (int)-2147483647 - 1);
    SAME("%u %x", 4294967295u, 0xdeadbeefu);
    SAME("%lu %ld %lx", 18446744073709551615ul, -9223372036854775807l - 1, 255ul);
    SAME("%llu %lld", 18446744073709551615ull, -1ll);
    SAME("%zu %zu", (size_t)0, (size_t)-1);
    SAME("%5d|%05d|%2u|%08x", 42, 42, 12345u, 0xabcu);
    SAME("%5d|%05d", -42, -42);
    SAME("%.*s|%.*s", 2, "abc", 9, "abc");
    SAME("%c%c %d%%", 'a', 'b', 30);
    SAME("%p", (void *)0x1234);
    SAME("trailing %d text", 1);
}

static void random_numbers(void **state) {
    unsigned int seed = (unsigned int)time(NULL);

    (void)state;
    print_message("seed %u\n", seed);
    for (int round = 0; round < 10000; round++) {
        unsigned long long value =
            ((unsigned long long)rand_r(&seed) << 33) ^ (unsigned)rand_r(&seed);

        value >>= rand_r(&seed) % 64;
        SAME("%llu %lld %llx", value, (long long)value, value);
    }
}

static void null_string(void **state) {
    char buffer[32];
    divvy_core_text_t text;
    const char *volatile missing = NULL;

    (void)state;
    divvy_core_text_init(&text, buffer, sizeof buffer);
    divvy_core_text_format(&text, "%s", missing);
    assert_string_equal(buffer, "(null)");
}

static void is_cut_at_every_capacity(void **state) {
    static const char whole[] = "one 12345 two 0xff three";

    (void)state;
    for (size_t capacity = 1; capacity <= sizeof whole + 2; capacity++) {
        char *buffer = malloc(capacity);
        divvy_core_text_t text;

        assert_non_null(buffer);
        divvy_core_text_init(&text, buffer, capacity);
        divvy_core_text_format(&text, "%s %d two %p three", "one", 12345, (void *)0xff);
        assert_int_equal(text.is_cut, capacity < sizeof whole);
        assert_int_equal(text.length, capacity < sizeof whole ? capacity - 1 : sizeof whole - 1);
        assert_memory_equal(buffer, whole, text.length);
        assert_int_equal(buffer[text.length], '\0');
        divvy_core_text_add(&text, "more");
        assert_true(text.length < capacity);
        free(buffer);
    }
}

static void sizes_read_well(void **state) {
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {
        {0, "0 B"},
        {1023, "1023 B"},
        {1024, "1 KiB"},
        {1536, "1.5 KiB"},
        {UINT64_C(8) << 30, "8 GiB"},
        {UINT64_C(141) << 30, "141 GiB"},
        {(UINT64_C(8) << 30) + 1, "8.0 GiB"},
        {UINT64_C(8000000000), "7.4 GiB"},
        {(UINT64_C(1) << 40) - 1, "1023.9 GiB"},
        {UINT64_MAX, "15.9 EiB"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char buffer[32];
        divvy_core_text_t text;

        divvy_core_text_init(&text, buffer, sizeof buffer);
        divvy_core_text_add_size(&text, cases[i].bytes);
        assert_string_equal(buffer, cases[i].text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_stdio),
        cmocka_unit_test(random_numbers),
        cmocka_unit_test(null_string),
        cmocka_unit_test(sizes_read_well),
        cmocka_unit_test(is_cut_at_every_capacity),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
