/* Numbers, percentages and sizes: accepted spellings, refusals with their places, a round trip. */
#include "core/parse.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void u64_accepts(void **state) {
    uint64_t value = 7;

    (void)state;
    assert_int_equal(divvy_core_u64_parse("0", 1, &value, NULL), 0);
    assert_int_equal(value, 0);
    assert_int_equal(divvy_core_u64_parse("18446744073709551615", 20, &value, NULL), 0);
    assert_true(value == UINT64_MAX);
    assert_int_equal(divvy_core_u64_parse("12345", 3, &value, NULL), 0);
    assert_int_equal(value, 123);
}

static void u64_refuses(void **state) {
    static const struct {
        const char *text;
        int status;
        size_t position;
    } cases[] = {
        {"", -EINVAL, 0},     {"-1", -EINVAL, 0},
        {"+1", -EINVAL, 0},   {" 1", -EINVAL, 0},
        {"1 ", -EINVAL, 1},   {"1.5", -EINVAL, 1},
        {"0x10", -EINVAL, 1}, {"18446744073709551616", -ERANGE, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        divvy_core_fault_t fault = {99, NULL};
        uint64_t value = 7;

        assert_int_equal(divvy_core_u64_parse(cases[i].text, strlen(cases[i].text), &value, &fault),
                         cases[i].status);
        assert_int_equal(fault.position, cases[i].position);
        assert_non_null(fault.reason);
        assert_int_equal(value, 7);
    }
}

static void percent_spellings(void **state) {
    unsigned int percent = 7;
    divvy_core_fault_t fault;

    (void)state;
    assert_int_equal(divvy_core_percent_parse("30", 2, &percent, NULL), 0);
    assert_int_equal(percent, 30);
    assert_int_equal(divvy_core_percent_parse("100%", 4, &percent, NULL), 0);
    assert_int_equal(percent, 100);
    assert_int_equal(divvy_core_percent_parse("0%", 2, &percent, NULL), 0);
    assert_int_equal(percent, 0);
    assert_int_equal(divvy_core_percent_parse("101", 3, &percent, &fault), -ERANGE);
    assert_int_equal(divvy_core_percent_parse("30%%", 4, &percent, &fault), -EINVAL);
    assert_int_equal(fault.position, 2);
    assert_int_equal(divvy_core_percent_parse("12.5%", 5, &percent, &fault), -EINVAL);
    assert_int_equal(fault.position, 2);
    assert_int_equal(divvy_core_percent_parse("%", 1, &percent, &fault), -EINVAL);
    assert_int_equal(divvy_core_percent_parse("-3", 2, &percent, &fault), -EINVAL);
    assert_int_equal(percent, 0);
}

static void size_spellings(void **state) {
    static const struct {
        const char *text;
        uint64_t bytes;
    } cases[] = {
        {"0", 0},
        {"1", 1},
        {"512B", 512},
        {"512b", 512},
        {"8GiB", UINT64_C(8) << 30},
        {"8Gi", UINT64_C(8) << 30},
        {"8gib", UINT64_C(8) << 30},
        {"8G", UINT64_C(8000000000)},
        {"8g", UINT64_C(8000000000)},
        {"8GB", UINT64_C(8000000000)},
        {"800MiB", UINT64_C(800) << 20},
        {"800m", UINT64_C(800000000)},
        {"7k", 7000},
        {"7KIB", 7168},
        {"2T", UINT64_C(2000000000000)},
        {"2TiB", UINT64_C(2) << 40},
        {"3PiB", UINT64_C(3) << 50},
        {"18446744073709551615", UINT64_MAX},
        {"16383PiB", UINT64_C(16383) << 50},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        divvy_core_size_t size = {DIVVY_CORE_SIZE_MAX, 0};

        if (divvy_core_size_parse(cases[i].text, strlen(cases[i].text), &size, NULL) != 0)
            fail_msg("%s was refused", cases[i].text);
        assert_int_equal(size.kind, DIVVY_CORE_SIZE_BYTES);
        if (size.value != cases[i].bytes)
            fail_msg("%s read as %" PRIu64, cases[i].text, size.value);
        assert_true(divvy_core_size_resolve(&size, 1) == cases[i].bytes);
    }
}

static void size_percent(void **state) {
    divvy_core_size_t size;

    (void)state;
    assert_int_equal(divvy_core_size_parse("50%", 3, &size, NULL), 0);
    assert_int_equal(size.kind, DIVVY_CORE_SIZE_PERCENT);
    assert_true(divvy_core_size_resolve(&size, UINT64_C(141) << 30) == (UINT64_C(141) << 29));
    assert_true(divvy_core_size_resolve(&size, 3) == 1);
    assert_true(divvy_core_size_resolve(&size, UINT64_MAX) == UINT64_MAX / 2);
    assert_int_equal(divvy_core_size_parse("101%", 4, &size, NULL), -ERANGE);
}

static void size_refusals(void **state) {
    static const struct {
        const char *text;
        int status;
        size_t position;
    } cases[] = {
        {"", -EINVAL, 0},
        {"GiB", -EINVAL, 0},
        {"-8GiB", -EINVAL, 0},
        {"1.5GiB", -EINVAL, 1},
        {"8XB", -EINVAL, 1},
        {"8 GiB", -EINVAL, 1},
        {"8GiBB", -EINVAL, 1},
        {"8iB", -EINVAL, 1},
        {"50%%", -EINVAL, 2},
        {"8GG", -EINVAL, 1},
        {"16384PiB", -ERANGE, 0},
        {"18446744073709551616", -ERANGE, 0},
        {"18446744073709552K", -ERANGE, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        divvy_core_fault_t fault = {99, NULL};
        divvy_core_size_t size = {DIVVY_CORE_SIZE_MAX, 7};

        if (divvy_core_size_parse(cases[i].text, strlen(cases[i].text), &size, &fault) !=
            cases[i].status)
            fail_msg("%s: wrong status", cases[i].text);
        assert_int_equal(fault.position, cases[i].position);
        assert_non_null(fault.reason);
        assert_int_equal(size.value, 7);
    }
}

/* The length bounds the text, not a NUL: what follows the range is never looked at. */
static void size_is_bounded(void **state) {
    divvy_core_size_t size;

    (void)state;
    assert_int_equal(divvy_core_size_parse("8GiBjunk", 4, &size, NULL), 0);
    assert_true(size.value == UINT64_C(8) << 30);
    assert_int_equal(divvy_core_size_parse("8GiB\0", 5, &size, NULL), -EINVAL);
}

static void random_sizes_round_trip(void **state) {
    static const struct {
        const char *unit;
        uint64_t bytes;
    } units[] = {{"", 1},          {"KiB", 1 << 10}, {"MiB", 1 << 20},
                 {"GiB", 1 << 30}, {"K", 1000},      {"M", 1000000}};
    unsigned int seed = (unsigned int)time(NULL);

    (void)state;
    print_message("seed %u\n", seed);
    for (int round = 0; round < 10000; round++) {
        size_t unit = (size_t)rand_r(&seed) % (sizeof units / sizeof units[0]);
        uint64_t count = (uint64_t)rand_r(&seed);
        divvy_core_size_t size;
        char text[64];
        int length = snprintf(text, sizeof text, "%" PRIu64 "%s", count, units[unit].unit);

        assert_int_equal(divvy_core_size_parse(text, (size_t)length, &size, NULL), 0);
        assert_true(size.value == count * units[unit].bytes);
    }
}

static void loopback_is_no_name_that_looks_like_it(void **state) {
    static const char *const yes[] = {"localhost", "LocalHost", "[::1]", "127.0.0.1", "127.1.2.3"},
                             *const no[] = {"", "localhost.example", "127.", "127.0.0.1.example", "1127.0.0.1", "[::1", "::1", "[::11]", "0.0.0.0"};

    (void)state;
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
        assert_true(divvy_core_host_is_loopback(yes[i], strlen(yes[i])));
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
        assert_false(divvy_core_host_is_loopback(no[i], strlen(no[i])));
    assert_true(divvy_core_host_is_loopback("127.0.0.1:80", 9));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(u64_accepts),       cmocka_unit_test(u64_refuses),
        cmocka_unit_test(percent_spellings), cmocka_unit_test(size_spellings),
        cmocka_unit_test(size_percent),      cmocka_unit_test(size_refusals),
        cmocka_unit_test(size_is_bounded),   cmocka_unit_test(loopback_is_no_name_that_looks_like_it),
        cmocka_unit_test(random_sizes_round_trip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
