/* Durations of HC_MIG_TTL and sizes of model files. */
#include "divvy/mig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define SECOND INT64_C(1000000000)

static const struct {
    const char *text;
    int64_t ns; /* or the error */
} durations[] = {
    {"10m", 600 * SECOND},
    {"90s", 90 * SECOND},
    {"1h30m", 5400 * SECOND},
    {"300ms", SECOND * 3 / 10},
    {"5m", 300 * SECOND},
    {"1.5h", 5400 * SECOND},
    {"0.5s", SECOND / 2},
    {"1.000000001s", SECOND + 1},
    {"2us3ns", 2003},
    {"1ns", 1},
    {"1m1ms", 60 * SECOND + SECOND / 1000},
    {"9223372036854775807ns", INT64_MAX},
    {"9223372036854775808ns", -ERANGE},
    {"9223372036854775807ns1ns", -ERANGE},
    {"99999999999999999999h", -ERANGE},
    {"3000000h", -ERANGE},
    {"", -EINVAL},
    {"0", -EINVAL},
    {"0s", -EINVAL},
    {"0.0000000001s", -EINVAL},
    {"-5m", -EINVAL},
    {"+5m", -EINVAL},
    {"5", -EINVAL},
    {"m", -EINVAL},
    {"5 m", -EINVAL},
    {" 5m", -EINVAL},
    {"5m ", -EINVAL},
    {"5d", -EINVAL},
    {"5M", -EINVAL},
    {".5s", -EINVAL},
    {"1.s", -EINVAL},
    {"1..5s", -EINVAL},
    {"1.5", -EINVAL},
    {"5min", -EINVAL},
    {"1h30", -EINVAL},
};

static void test_durations(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof durations / sizeof durations[0]; i++) {
        int64_t ns = -7;
        int status = divvy_mig_ttl_parse(durations[i].text, &ns);

        if (durations[i].ns > 0 ? status != 0 || ns != durations[i].ns : status != durations[i].ns || ns != -7)
            fail_msg("'%s': %d, %lld", durations[i].text, status, (long long)ns);
    }
}

static const struct {
    const char *text;
    int status;
    uint64_t bytes;
} sizes[] = {
    {"3GiB", 0, UINT64_C(3221225472)},
    {"3gb", 0, UINT64_C(3221225472)},
    {"2048MB", 0, UINT64_C(2147483648)},
    {"7b", 0, 7},
    {"0KB", 0, 0},
    {"1KiB", 0, 1024},
    {"1tib", 0, UINT64_C(1) << 40},
    {"16777215TB", 0, UINT64_C(16777215) << 40},
    {"16777216TB", -ERANGE, 0},
    {"18446744073709551616b", -ERANGE, 0},
    {"5", -EINVAL, 0},
    {"1.5GB", -EINVAL, 0},
    {"3 GiB", -EINVAL, 0},
    {"GiB", -EINVAL, 0},
    {"-3GiB", -EINVAL, 0},
    {"3G", -EINVAL, 0},
    {"3Gi", -EINVAL, 0},
    {"3PiB", -EINVAL, 0},
    {"3GiBs", -EINVAL, 0},
    {"", -EINVAL, 0},
};

static void test_sizes(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint64_t bytes = 0;
        int status = divvy_mig_size_parse(sizes[i].text, &bytes);

        if (status != sizes[i].status || bytes != sizes[i].bytes)
            fail_msg("'%s': %d, %llu", sizes[i].text, status, (unsigned long long)bytes);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_durations), cmocka_unit_test(test_sizes)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
