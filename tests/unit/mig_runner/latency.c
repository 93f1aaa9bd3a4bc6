/* Histogram and lines of latencies. */
#include "mig/runner/latency.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void seconds(void **state) {
    static const struct {
        const char *text;
        int status;
        uint64_t ns;
    } cases[] = {
        {"0", 0, 0},
        {"0.0123", 0, 12300000},
        {"1", 0, 1000000000},
        {"1.2e-05", 0, 12000},
        {"5E-1", 0, 500000000},
        {"1e+2", 0, 100000000000},
        {".5", 0, 500000000},
        {"5.", 0, 5000000000},
        {"0.000000001", 0, 1},
        {"0.0000000019", 0, 1},
        {"0.123456789123456789123456789", 0, 123456789},
        {"00000000000000000000000000000001", 0, 1000000000},
        {"0e999", 0, 0},
        {"1e-999", 0, 0},
        {"", -EINVAL, 0},
        {".", -EINVAL, 0},
        {"-1", -EINVAL, 0},
        {"+1", -EINVAL, 0},
        {"1e", -EINVAL, 0},
        {"1 ", -EINVAL, 0},
        {"nan", -EINVAL, 0},
        {"inf", -EINVAL, 0},
        {"0x10", -EINVAL, 0},
        {"1,5", -EINVAL, 0},
        {"1e9", -ERANGE, 0},
        {"99999999999999999999999999", -ERANGE, 0},
        {"1e999999999", -ERANGE, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t ns = 77;

        assert_int_equal(divvy_runner_seconds_parse(cases[i].text, strlen(cases[i].text), &ns), cases[i].status);
        assert_int_equal(ns, cases[i].status == 0 ? cases[i].ns : 77);
    }
}

static void buckets(void **state) {
    struct divvy_runner_latency latency = {0};

    (void)state;
    for (size_t i = 0; i < DIVVY_RUNNER_BUCKETS; i++) {
        divvy_runner_latency_add(&latency, divvy_runner_bucket_ns[i]);
        divvy_runner_latency_add(&latency, divvy_runner_bucket_ns[i] + 1);
    }
    assert_int_equal(latency.buckets[0], 1);
    for (size_t i = 1; i < DIVVY_RUNNER_BUCKETS; i++)
        assert_int_equal(latency.buckets[i], 2);
    assert_int_equal(latency.buckets[DIVVY_RUNNER_BUCKETS], 1);
    assert_int_equal(latency.count, 2 * DIVVY_RUNNER_BUCKETS);
    divvy_runner_latency_add(&latency, UINT64_MAX);
    assert_int_equal(latency.sum_ns, UINT64_MAX);
    divvy_runner_latency_add(&latency, 1);
    assert_int_equal(latency.sum_ns, UINT64_MAX);
}

static void lines(void **state) {
    static const char datagram[] = "latency 0.1\nerror\r\n\nlatency 2\r\nlatency x\nLatency 1\nerrors\nlatency 0.003";
    struct divvy_runner_latency latency = {0};

    (void)state;
    divvy_runner_latency_take(&latency, datagram, sizeof datagram - 1);
    assert_int_equal(latency.told, 3);
    assert_int_equal(latency.count, 3);
    assert_int_equal(latency.errors, 1);
    assert_int_equal(latency.refused, 3);
    assert_int_equal(latency.sum_ns, 2103000000);
    divvy_runner_latency_take(&latency, "", 0);
    divvy_runner_latency_take(&latency, "latency 1\0", 10);
    assert_int_equal(latency.refused, 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(seconds), cmocka_unit_test(buckets), cmocka_unit_test(lines)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
