/*
 * The limit objects: the documented examples, every kind of refusal with its place, random objects
 * against a model.
 */
#include "core/limits_json.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static int parse(const char *text, divvy_core_limits_kind_t kind, divvy_core_limits_t *limits,
                 divvy_core_fault_t *fault) {
    return divvy_core_limits_parse(text, strlen(text), kind, limits, fault);
}

static void documented_examples(void **state) {
    divvy_core_limits_t limits;

    (void)state;
    assert_int_equal(parse("{\"gpu-3430f778-7a25-704c-9090-8b0bb2478114\": 10}",
                           DIVVY_CORE_LIMITS_PERCENT, &limits, NULL),
                     0);
    assert_int_equal(limits.count, 1);
    assert_int_equal(limits.entries[0].key, DIVVY_CORE_LIMIT_KEY_UUID);
    assert_int_equal(limits.entries[0].uuid.bytes[0], 0x34);
    assert_int_equal(limits.entries[0].value, 10);
    assert_int_equal(parse("{\"0\": 2147483648}", DIVVY_CORE_LIMITS_BYTES, &limits, NULL), 0);
    assert_int_equal(limits.count, 1);
    assert_int_equal(limits.entries[0].key, DIVVY_CORE_LIMIT_KEY_INDEX);
    assert_int_equal(limits.entries[0].index, 0);
    assert_true(limits.entries[0].value == UINT64_C(2147483648));
    assert_int_equal(limits.entries[0].key_position, 2);
    assert_int_equal(limits.entries[0].value_position, 6);
    assert_int_equal(
        parse(" \t\r\n{ \"0\" :20 ,\n\"gpu-3430f778-7a25-704c-9090-8b0bb2478114\":10 } ",
              DIVVY_CORE_LIMITS_PERCENT, &limits, NULL),
        0);
    assert_int_equal(limits.count, 2);
    assert_int_equal(parse("{}", DIVVY_CORE_LIMITS_PERCENT, &limits, NULL), 0);
    assert_int_equal(limits.count, 0);
}

static void no_limit_values(void **state) {
    divvy_core_limits_t limits;

    (void)state;
    assert_int_equal(parse("{\"0\": 0, \"1\": 100, \"2\": 101, \"3\": 18446744073709551615}",
                           DIVVY_CORE_LIMITS_PERCENT, &limits, NULL),
                     0);
    assert_int_equal(limits.entries[0].value, 0);
    assert_int_equal(limits.entries[1].value, 100);
    assert_int_equal(limits.entries[2].value, 0);
    assert_int_equal(limits.entries[3].value, 0);
    assert_int_equal(parse("{\"0\": 18446744073709551615}", DIVVY_CORE_LIMITS_BYTES, &limits, NULL),
                     0);
    assert_true(limits.entries[0].value == UINT64_MAX);
}

static void refusals(void **state) {
    static const struct {
        const char *text;
        int status;
        size_t position;
    } cases[] = {
        {"", -EINVAL, 0},
        {"   ", -EINVAL, 3},
        {"20", -EINVAL, 0},
        {"[20]", -EINVAL, 0},
        {"null", -EINVAL, 0},
        {"{", -EINVAL, 1},
        {"{\"0\": 20", -EINVAL, 8},
        {"{\"0\": 20} x", -EINVAL, 10},
        {"{\"0\": 20}{}", -EINVAL, 9},
        {"{\"0\": 20,}", -EINVAL, 9},
        {"{,}", -EINVAL, 1},
        {"{\"0\": 20 \"1\": 20}", -EINVAL, 9},
        {"{\"0\" 20}", -EINVAL, 5},
        {"{0: 20}", -EINVAL, 1},
        {"{'0': 20}", -EINVAL, 1},
        {"{\"0\": \"20\"}", -EINVAL, 6},
        {"{\"0\": -5}", -EINVAL, 6},
        {"{\"0\": +5}", -EINVAL, 6},
        {"{\"0\": 1.5}", -EINVAL, 7},
        {"{\"0\": 1e3}", -EINVAL, 7},
        {"{\"0\": 020}", -EINVAL, 6},
        {"{\"0\": 0x20}", -EINVAL, 7},
        {"{\"0\": 20%}", -EINVAL, 8},
        {"{\"0\": true}", -EINVAL, 6},
        {"{\"0\": }", -EINVAL, 6},
        {"{\"0\": {\"1\": 2}}", -EINVAL, 6},
        {"{\"0\": [1]}", -EINVAL, 6},
        {"{\"0\": 18446744073709551616}", -ERANGE, 6},
        {"{\"0\": 20, \"0\": 30}", -EINVAL, 11},
        {"{\"GPU-3430F778-7A25-704C-9090-8B0BB2478114\": 1, "
         "\"3430f778-7a25-704c-9090-8b0bb2478114\": 1}",
         -EINVAL, 49},
        {"{\"\": 20}", -EINVAL, 2},
        {"{\"00\": 20}", -EINVAL, 2},
        {"{\"-1\": 20}", -EINVAL, 2},
        {"{\"65536\": 20}", -EINVAL, 2},
        {"{\"99999999999999999999\": 20}", -EINVAL, 10},
        {"{\"gpu-3430f778\": 20}", -EINVAL, 14},
        {"{\"all\": 20}", -EINVAL, 3},
        {"{\"\\u0030\": 20}", -EINVAL, 2},
        {"{\"0", -EINVAL, 3},
        {"{\"0\n\": 1}", -EINVAL, 3},
        {"{\"0\": 20}\x01", -EINVAL, 9},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        divvy_core_limits_t limits;
        divvy_core_fault_t fault = {99, NULL};
        int status = parse(cases[i].text, DIVVY_CORE_LIMITS_PERCENT, &limits, &fault);

        if (status != cases[i].status || fault.position != cases[i].position)
            fail_msg("%s: status %d at byte %zu (%s)", cases[i].text, status, fault.position,
                     fault.reason ? fault.reason : "no reason");
        assert_non_null(fault.reason);
    }
}

/* A NUL inside the range is a byte like others, and refused. */
static void embedded_nul(void **state) {
    divvy_core_limits_t limits;

    (void)state;
    assert_int_equal(
        divvy_core_limits_parse("{\"0\": 20}\0", 10, DIVVY_CORE_LIMITS_PERCENT, &limits, NULL),
        -EINVAL);
    assert_int_equal(
        divvy_core_limits_parse("{\"0\": \0}", 8, DIVVY_CORE_LIMITS_PERCENT, &limits, NULL),
        -EINVAL);
}

static void add(char *text, size_t size, const char *more) {
    strncat(text, more, size - 1 - strlen(text));
}

static void entries_are_bounded(void **state) {
    char text[4096] = "{";
    divvy_core_limits_t limits;

    (void)state;
    for (int i = 0; i < DIVVY_CORE_LIMITS_MAX; i++) {
        char entry[32];

        snprintf(entry, sizeof entry, "%s\"%d\":%d", i ? "," : "", i, i + 1);
        add(text, sizeof text, entry);
    }
    add(text, sizeof text, "}");
    assert_int_equal(parse(text, DIVVY_CORE_LIMITS_PERCENT, &limits, NULL), 0);
    assert_int_equal(limits.count, DIVVY_CORE_LIMITS_MAX);
    text[strlen(text) - 1] = '\0';
    add(text, sizeof text, ",\"64\":1}");
    assert_int_equal(parse(text, DIVVY_CORE_LIMITS_PERCENT, &limits, NULL), -E2BIG);
}

static void blanks_add(char *text, unsigned int *seed) {
    for (int i = rand_r(seed) % 3; i > 0; i--)
        strncat(text, &" \t\n\r"[rand_r(seed) % 4], 1);
}

/*
 * Random objects are read back exactly; with one byte removed or changed they never crash, and what
 * is still accepted has no more entries.
 */
static void random_objects(void **state) {
    unsigned int seed = (unsigned int)time(NULL);

    (void)state;
    print_message("seed %u\n", seed);
    for (int round = 0; round < 3000; round++) {
        char text[4096] = "";
        uint64_t values[16];
        int count = rand_r(&seed) % 16;
        divvy_core_limits_t limits;
        size_t length;

        add(text, sizeof text, "{");
        for (int i = 0; i < count; i++) {
            char entry[64];

            values[i] = (uint64_t)rand_r(&seed) << (rand_r(&seed) % 33);
            blanks_add(text, &seed);
            snprintf(entry, sizeof entry, "\"%d\"", i * 7);
            add(text, sizeof text, entry);
            blanks_add(text, &seed);
            add(text, sizeof text, ":");
            blanks_add(text, &seed);
            snprintf(entry, sizeof entry, "%" PRIu64 "%s", values[i], i + 1 < count ? "," : "");
            add(text, sizeof text, entry);
        }
        blanks_add(text, &seed);
        add(text, sizeof text, "}");
        assert_int_equal(parse(text, DIVVY_CORE_LIMITS_BYTES, &limits, NULL), 0);
        assert_int_equal(limits.count, count);
        for (int i = 0; i < count; i++) {
            assert_int_equal(limits.entries[i].index, i * 7);
            assert_true(limits.entries[i].value == values[i]);
        }
        length = strlen(text);
        for (size_t cut = 0; cut < length; cut++)
            assert_int_not_equal(
                divvy_core_limits_parse(text, cut, DIVVY_CORE_LIMITS_BYTES, &limits, NULL), 0);
        text[(size_t)rand_r(&seed) % length] = (char)rand_r(&seed);
        (void)divvy_core_limits_parse(text, length, DIVVY_CORE_LIMITS_BYTES, &limits, NULL);
        assert_true(limits.count <= (size_t)count + 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documented_examples),
        cmocka_unit_test(no_limit_values),
        cmocka_unit_test(refusals),
        cmocka_unit_test(embedded_nul),
        cmocka_unit_test(entries_are_bounded),
        cmocka_unit_test(random_objects),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
