/* Messages of programs: shapes of lines, budgets, files that are begun anew, readers that sleep. */
#include "base/log.h"

#include "core/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define TIME_NS (INT64_C(1700000000) * 1000000000 + 123456789)

static char folder[] = "/tmp/divvy-log-XXXXXX";

static int folder_make(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int folder_remove(void **state) {
    char command[128];

    (void)state;
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static void shapes(void **state) {
    const struct divvy_log_field fields[] = {{"tenant", "a\"b"}, {"missing", NULL}, {"gpu", "0"}};
    char line[DIVVY_LOG_LINE_BYTES], expected[512];

    (void)state;
    divvy_log_line_format(DIVVY_LOG_FORMAT_TEXT, "x", DIVVY_LOG_WARN, TIME_NS, "two\nlines", fields, 3, line, sizeof line);
    (void)snprintf(expected, sizeof expected, "2023-11-14T22:13:20.123Z warn x[%d]: two lines tenant=a\"b gpu=0", (int)getpid());
    assert_string_equal(line, expected);
    divvy_log_line_format(DIVVY_LOG_FORMAT_JOURNAL, "x", DIVVY_LOG_ERROR, TIME_NS, "m", NULL, 0, line, sizeof line);
    assert_string_equal(line, "<3>m");
    divvy_log_line_format(DIVVY_LOG_FORMAT_JSON, "x", DIVVY_LOG_INFO, TIME_NS, "a\\\t\x01 \xc3\xa4 \xff\xc0\xaf", fields, 3, line,
                          sizeof line);
    (void)snprintf(expected, sizeof expected,
                   "{\"time\":\"2023-11-14T22:13:20.123Z\",\"level\":\"info\",\"program\":\"x\",\"pid\":%d,"
                   "\"tenant\":\"a\\u0022b\",\"gpu\":\"0\",\"message\":\"a\\u005c\\u0009\\u0001 \xc3\xa4 "
                   "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"}",
                   (int)getpid());
    assert_string_equal(line, expected);
}

/* Whatever is cut, and wherever, JSON stays JSON: quotes in pairs, a brace at the end, escapes whole. */
static void cut_lines_stay_whole(void **state) {
    char message[4000], value[4000], line[DIVVY_LOG_LINE_BYTES];

    (void)state;
    for (size_t size = 512; size <= sizeof line; size += 7) {
        const struct divvy_log_field field = {"tenant", value};
        size_t length, quotes = 0;

        for (size_t i = 0; i < sizeof message - 1; i++) {
            message[i] = "\"\\\n\xff" "abc"[(i * 7 + size) % 7];
            value[i] = "\x01x\"y\xc3"[(i * 3 + size) % 5];
        }
        message[sizeof message - 1] = value[sizeof value - 1] = '\0';
        length = divvy_log_line_format(DIVVY_LOG_FORMAT_JSON, "x", DIVVY_LOG_INFO, TIME_NS, message, &field, 1, line, size);
        assert_true(length < size && strlen(line) == length);
        assert_int_equal(line[length - 1], '}');
        assert_int_equal(line[length - 2], '"');
        for (size_t i = 0; i < length; i++) {
            quotes += line[i] == '"';
            if (line[i] == '\\')
                assert_true(line[i + 1] == 'u' && strspn(line + i + 2, "0123456789abcdef") >= 4);
        }
        assert_int_equal(quotes % 2, 0);
    }
}

static size_t lines_count(const char *path, const char *needle) {
    FILE *file = fopen(path, "r");
    char line[DIVVY_LOG_LINE_BYTES + 2];
    size_t count = 0;

    if (!file)
        return 0;
    while (fgets(line, sizeof line, file))
        count += !needle || strstr(line, needle) != NULL;
    (void)fclose(file);
    return count;
}

static void chatter(unsigned int number) {
    divvy_log_info("chatter %u", number);
}

static void a_place_has_a_budget(void **state) {
    char path[96];
    struct divvy_log_settings settings = {.level = DIVVY_LOG_INFO, .program = "x", .path = path};

    (void)state;
    (void)snprintf(path, sizeof path, "%s/budget", folder);
    assert_int_equal(divvy_log_open(&settings, NULL), 0);
    errno = EDOM;
    for (unsigned int i = 0; i < 1000; i++)
        chatter(i);
    divvy_log_debug("not heard");
    divvy_log_warn("another place");
    assert_int_equal(errno, EDOM);
    divvy_log_tick(); /* the window is not over: nothing is told yet */
    assert_int_equal(lines_count(path, "chatter"), DIVVY_LOG_BURST);
    assert_int_equal(lines_count(path, "another place"), 1);
    assert_int_equal(lines_count(path, NULL), DIVVY_LOG_BURST + 1);
    divvy_log_close();
    assert_int_equal(lines_count(path, "990 messages were dropped"), 1);
}

static void files_are_begun_anew(void **state) {
    char path[96], old[96];
    struct divvy_log_settings settings = {
        .level = DIVVY_LOG_DEBUG, .format = DIVVY_LOG_FORMAT_JSON, .program = "x", .path = path, .file_bytes = 300};
    struct divvy_error error = {0, ""};
    struct stat status;

    (void)state;
    (void)snprintf(path, sizeof path, "%s/file", folder);
    (void)snprintf(old, sizeof old, "%s/file.1", folder);
    assert_int_equal(divvy_log_open(&settings, NULL), 0);
    for (int i = 0; i < 9; i++)
        divvy_log_tenant(DIVVY_LOG_INFO, "t", "line %d", i);
    assert_int_equal(stat(path, &status), 0);
    assert_true(status.st_size > 0 && status.st_size < 600);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(stat(old, &status), 0);
    assert_int_equal(lines_count(path, "\"message\":\"line 8\"}"), 1);
    /* Moved away and asked to open again, as a log rotation would. */
    assert_int_equal(rename(path, old), 0);
    assert_int_equal(divvy_log_open(&settings, NULL), 0);
    divvy_log_info("anew");
    assert_int_equal(lines_count(path, NULL), 1);
    settings.path = "/nonexistent/file";
    assert_int_equal(divvy_log_open(&settings, &error), -ENOENT);
    divvy_log_info("still there");
    assert_int_equal(lines_count(path, NULL), 2);
    divvy_log_close();
}

/* A pipe that nobody reads: the program goes on, and what was lost is told when there is room. */
static void a_sleeping_reader_holds_nobody(void **state) {
    struct divvy_log_settings settings = {.level = DIVVY_LOG_INFO, .program = "x"};
    int ends[2], kept = dup(STDERR_FILENO);
    static char text[1 << 17];
    ssize_t got;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    assert_int_equal(divvy_log_open(&settings, NULL), 0);
    (void)fcntl(ends[1], F_SETFL, O_NONBLOCK);
    memset(text, 'x', sizeof text);
    while (write(ends[1], text, 4096) > 0)
        ;
    (void)fcntl(ends[1], F_SETFL, 0);
    divvy_log_warn("lost");
    got = read(ends[0], text, sizeof text);
    assert_true(got > 0);
    divvy_log_tick();
    got = read(ends[0], text, sizeof text - 1);
    assert_int_equal(dup2(kept, STDERR_FILENO), STDERR_FILENO);
    (void)close(kept);
    (void)close(ends[0]);
    (void)close(ends[1]);
    assert_true(got > 0);
    text[got] = '\0';
    assert_non_null(strstr(text, "1 messages were dropped: nobody read them"));
    assert_null(strstr(text, "lost"));
}

static void *talker(void *data) {
    (void)data;
    for (unsigned int i = 0; i < 200; i++) {
        divvy_log_info("talk %u", i);
        divvy_log_tick();
    }
    return NULL;
}

static void many_threads(void **state) {
    char path[96];
    struct divvy_log_settings settings = {.level = DIVVY_LOG_INFO, .program = "x", .path = path, .file_bytes = 1};
    pthread_t threads[4];

    (void)state;
    (void)snprintf(path, sizeof path, "%s/threads", folder);
    assert_int_equal(divvy_log_open(&settings, NULL), 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, talker, NULL), 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(divvy_log_open(&settings, NULL), 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    divvy_log_close();
    assert_true(lines_count(path, NULL) >= 1);
}

static void formats_by_name(void **state) {
    enum divvy_log_format format;

    (void)state;
    assert_int_equal(divvy_log_format_parse("JSON", &format), 0);
    assert_int_equal(format, DIVVY_LOG_FORMAT_JSON);
    assert_int_equal(divvy_log_format_parse("xml", &format), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes),
        cmocka_unit_test(cut_lines_stay_whole),
        cmocka_unit_test(a_place_has_a_budget),
        cmocka_unit_test(files_are_begun_anew),
        cmocka_unit_test(a_sleeping_reader_holds_nobody),
        cmocka_unit_test(many_threads),
        cmocka_unit_test(formats_by_name),
    };

    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
