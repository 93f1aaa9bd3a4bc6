/* The line of a lock file: what is written, what is understood. */
#include "common.h"
#include "mig/folder.h"
#include "mig/line.h"

#include <regex.h>

static const struct {
    const char *text;
    int32_t pid;
    int64_t realtime_s; /* 0: refused */
} lines[] = {
    {"pid=4711 ts=2026-01-31T09:15:02Z\n", 4711, 1769850902},
    {"pid=4711 ts=2026-01-31T09:15:02Z", 4711, 1769850902},
    {"pid=1 ts=2026-01-31T10:15:02+01:00\n", 1, 1769850902},
    {"pid=1 ts=2026-01-31T09:15:02-00:00\n", 1, 1769850902},
    {"pid=1 ts=2026-01-31T03:45:02.123456-05:30\n", 1, 1769850902},
    {"pid=2147483647 ts=2026-01-31t09:15:02.9z\n", 2147483647, 1769850902},
    {"pid=7 ts=2024-02-29T00:00:00Z\n", 7, 1709164800},
    {"pid=7 ts=2016-12-31T23:59:60Z\n", 7, 1483228800},
    {"", 0, 0},
    {"\n", 0, 0},
    {"pid=0 ts=2026-01-31T09:15:02Z\n", 0, 0},
    {"pid=-1 ts=2026-01-31T09:15:02Z\n", 0, 0},
    {"pid=2147483648 ts=2026-01-31T09:15:02Z\n", 0, 0},
    {"pid=99999999999999999999 ts=2026-01-31T09:15:02Z\n", 0, 0},
    {"pid= ts=2026-01-31T09:15:02Z\n", 0, 0},
    {"pid=4711  ts=2026-01-31T09:15:02Z\n", 0, 0},
    {" pid=4711 ts=2026-01-31T09:15:02Z\n", 0, 0},
    {"pid=4711 ts=2026-01-31T09:15:02Z\n\n", 0, 0},
    {"pid=4711 ts=2026-01-31T09:15:02Z x\n", 0, 0},
    {"pid=4711 ts=2026-01-31T09:15:02\n", 0, 0},
    {"pid=4711 ts=2026-01-31T09:15:02.Z\n", 0, 0},
    {"pid=4711 ts=2026-1-31T09:15:02Z\n", 0, 0},
    {"pid=4711 ts=2026-13-31T09:15:02Z\n", 0, 0},
    {"pid=4711 ts=2026-00-31T09:15:02Z\n", 0, 0},
    {"pid=4711 ts=2026-02-30T09:15:02Z\n", 0, 0},
    {"pid=4711 ts=2025-02-29T09:15:02Z\n", 0, 0},
    {"pid=4711 ts=2026-01-31T24:15:02Z\n", 0, 0},
    {"pid=4711 ts=2026-01-31T09:60:02Z\n", 0, 0},
    {"pid=4711 ts=2026-01-31T09:15:61Z\n", 0, 0},
    {"pid=4711 ts=2026-01-31T09:15:02+24:00\n", 0, 0},
    {"pid=4711 ts=2026-01-31T09:15:02+0100\n", 0, 0},
    {"PID=4711 ts=2026-01-31T09:15:02Z\n", 0, 0},
    {"4711\n", 0, 0},
};

static void test_read(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct divvy_mig_line line = {.pid = -5};
        int status = divvy_mig_line_parse(lines[i].text, strlen(lines[i].text), &line);

        if (lines[i].realtime_s == 0) {
            if (status != -EINVAL || line.pid != -5)
                fail_msg("accepted: %s", lines[i].text);
        } else if (status != 0 || line.pid != lines[i].pid || line.realtime_s != lines[i].realtime_s) {
            fail_msg("%s: %d, %d, %lld", lines[i].text, status, line.pid, (long long)line.realtime_s);
        }
    }
    assert_int_equal(divvy_mig_line_parse("pid=1 ts=\0", 10, &(struct divvy_mig_line){0}), -EINVAL);
}

static void test_written(void **state) {
    const char *pattern = "^pid=[0-9]+ ts=[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z\n$";
    static const int64_t times[] = {0, 1, 951782399, 1769850902, 4102444800, INT64_C(253402300799)};
    char text[DIVVY_MIG_LINE_BYTES];
    regex_t expression;

    (void)state;
    assert_int_equal(regcomp(&expression, pattern, REG_EXTENDED | REG_NOSUB), 0);
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        const struct divvy_mig_line written = {.pid = 4711 + (int32_t)i, .realtime_s = times[i]};
        struct divvy_mig_line line;
        size_t length = divvy_mig_line_format(&written, text);

        assert_int_equal(length, strlen(text));
        assert_int_equal(regexec(&expression, text, 0, NULL, 0), 0);
        assert_int_equal(divvy_mig_line_parse(text, length, &line), 0);
        assert_int_equal(line.pid, written.pid);
        assert_true(line.realtime_s == written.realtime_s);
    }
    (void)divvy_mig_line_format(&(struct divvy_mig_line){.pid = INT32_MAX, .realtime_s = INT64_MAX}, text); /* no crash */
    (void)divvy_mig_line_format(&(struct divvy_mig_line){.pid = INT32_MAX, .realtime_s = INT64_MIN}, text);
    regfree(&expression);
}

static void test_names(void **state) {
    char name[DIVVY_MIG_LOCK_NAME_BYTES], uuid[DIVVY_MIG_UUID_BYTES + 8];

    (void)state;
    assert_int_equal(divvy_mig_folder_name("MIG-0a-b", "", ".lock", name), 0);
    assert_string_equal(name, "MIG-0a-b.lock");
    assert_int_equal(divvy_mig_folder_name("MIG-GPU-0a/7/0", "", ".lock", name), 0);
    assert_string_equal(name, "MIG-GPU-0a%2F7%2F0.lock");
    assert_int_equal(divvy_mig_folder_name("a%2Fb/", ".", ".flock", name), 0);
    assert_string_equal(name, ".a%252Fb%2F.flock");
    assert_int_equal(divvy_mig_folder_name("", "", ".lock", name), -EINVAL);
    assert_int_equal(divvy_mig_folder_name("..", "", ".lock", name), -EINVAL);
    assert_int_equal(divvy_mig_folder_name("a\nb", "", ".lock", name), -EINVAL);
    assert_int_equal(divvy_mig_folder_name("a b", "", ".lock", name), -EINVAL);
    assert_int_equal(divvy_mig_folder_name("\xc3\xa4", "", ".lock", name), -EINVAL);
    memset(uuid, 'x', sizeof uuid);
    uuid[DIVVY_MIG_UUID_BYTES] = '\0';
    assert_int_equal(divvy_mig_folder_name(uuid, "", ".lock", name), -EINVAL);
    uuid[DIVVY_MIG_UUID_BYTES - 1] = '\0';
    assert_int_equal(divvy_mig_folder_name(uuid, ".", ".flock", name), 0);
    memset(uuid, '/', DIVVY_MIG_UUID_BYTES - 1);
    assert_int_equal(divvy_mig_folder_name(uuid, ".", ".flock", name), -EINVAL); /* longer than a name may be */
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_read), cmocka_unit_test(test_written),
                                       cmocka_unit_test(test_names)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
