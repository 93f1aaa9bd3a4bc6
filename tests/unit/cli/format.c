/* Values and tables as people read them. */
#include "cli/format.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GIB 1073741824.0

static void sizes(void **state) {
    static const struct {
        double bytes;
        const char *text;
    } cases[] = {
        {-1, "-"},
        {0, "0 B"},
        {999, "999 B"},
        {1000, "1.0 KiB"},
        {1024, "1 KiB"},
        {1536, "1.5 KiB"},
        {999 * 1024.0, "999 KiB"},
        {1023 * 1024.0, "1.0 MiB"},
        {8 * GIB, "8 GiB"},
        {7.84 * GIB, "7.8 GiB"},
        {141.2 * GIB, "141 GiB"},
        {99.96 * GIB, "100 GiB"},
        {1e21, "867 EiB"},
    };
    char text[DIVVY_CLI_VALUE_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        divvy_cli_format_size(cases[i].bytes, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void used_of_limit(void **state) {
    char text[DIVVY_CLI_VALUE_BYTES];

    (void)state;
    divvy_cli_format_used(1.25 * GIB, 8 * GIB, text);
    assert_string_equal(text, "1.2/8 GiB");
    divvy_cli_format_used(0, 8 * GIB, text);
    assert_string_equal(text, "0/8 GiB");
    divvy_cli_format_used(512 * 1048576.0, -1, text);
    assert_string_equal(text, "512 MiB/-");
    divvy_cli_format_used(-1, 8 * GIB, text);
    assert_string_equal(text, "-/8 GiB");
    /* Whatever a daemon says, it fits. */
    divvy_cli_format_used(1e300, 1, text);
    assert_in_range(strlen(text), 1, DIVVY_CLI_VALUE_BYTES - 1);
    divvy_cli_format_used(1e300, 1e300, text);
    assert_in_range(strlen(text), 1, DIVVY_CLI_VALUE_BYTES - 1);
}

static void durations(void **state) {
    static const struct {
        double seconds;
        const char *text;
    } cases[] = {
        {-1, "-"},         {0, "0s"},         {0.0001, "1ms"}, {0.9991, "1000ms"}, {1, "1.0s"},
        {3.44, "3.4s"},    {9.96, "10s"},     {59.4, "59s"},   {59.7, "1m00s"},    {60, "1m00s"},
        {125, "2m05s"},    {3599, "59m59s"},  {3600, "1h00m"}, {7500, "2h05m"},    {86400, "1d00h"},
        {273600, "3d04h"}, {8640000, "100d"}, {1e300, "long"},
    };
    char text[DIVVY_CLI_VALUE_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        divvy_cli_format_duration(cases[i].seconds, text);
        assert_string_equal(text, cases[i].text);
    }
    /* Any duration: never wider than the column, never a part beyond its bound. */
    for (double seconds = 0.0007; seconds < 1e9; seconds *= 1.0137) {
        divvy_cli_format_duration(seconds, text);
        assert_in_range(strlen(text), 2, 6);
        assert_null(strstr(text, "m60s"));
        assert_null(strstr(text, "h60m"));
        assert_null(strstr(text, "d24h"));
    }
}

static void shares(void **state) {
    char text[DIVVY_CLI_VALUE_BYTES];

    (void)state;
    divvy_cli_format_percent(-1, text);
    assert_string_equal(text, "-");
    divvy_cli_format_percent(30, text);
    assert_string_equal(text, "30%");
    divvy_cli_format_percent(29.74, text);
    assert_string_equal(text, "29.7%");
    divvy_cli_format_percent(29.98, text);
    assert_string_equal(text, "30%");
    divvy_cli_format_percent(1e12, text);
    assert_string_equal(text, ">9999%");
    divvy_cli_format_asked(30, true, text);
    assert_string_equal(text, "30%+");
    divvy_cli_format_asked(-1, true, text);
    assert_string_equal(text, "-");
    divvy_cli_format_asked(12.5, false, text);
    assert_string_equal(text, "12.5%");
}

static void times(void **state) {
    char text[DIVVY_CLI_VALUE_BYTES];

    (void)state;
    (void)setenv("TZ", "UTC", 1);
    divvy_cli_format_time(1795860672, text);
    assert_string_equal(text, "2026-11-28 10:11:12");
    divvy_cli_format_time(-1, text);
    assert_string_equal(text, "-");
    divvy_cli_format_time(1e30, text);
    assert_string_equal(text, "-");
}

static const struct divvy_table_column columns[] = {{"NAME", false}, {"SIZE", true}, {"END", true}};

static char *table_text(const char *const *cells, unsigned int count, unsigned int width,
                        bool colour) {
    struct divvy_table *table = divvy_table_new(columns, 3);
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(table);
    for (unsigned int i = 0; i < count; i++)
        divvy_table_add(table, cells[i],
                            i % 3 == 1 ? DIVVY_TINT_WARN : DIVVY_TINT_NONE);
    assert_int_equal(divvy_table_print(table, out, width, colour), 0);
    divvy_table_free(table);
    (void)fclose(out);
    return text;
}

static void tables(void **state) {
    static const char *const cells[] = {"a-long-name-indeed", "12", "x", "b", "1234567", ""};
    char *text;

    (void)state;
    text = table_text(cells, 6, 0, false);
    assert_string_equal(text, "NAME                   SIZE  END\n"
                              "a-long-name-indeed       12    x\n"
                              "b                   1234567\n");
    free(text);
    text = table_text(cells, 0, 0, false);
    assert_string_equal(text, "NAME  SIZE  END\n");
    free(text);
    text = table_text(cells, 6, 24, false);
    assert_string_equal(text, "NAME            SIZE END\n"
                              "a-long-name~      12   x\n"
                              "b            1234567\n");
    free(text);
    /* Narrower than can be: the name keeps its 8 characters. */
    text = table_text(cells, 3, 3, false);
    assert_string_equal(text, "NAME     SIZE END\na-long-~   12   x\n");
    free(text);
    text = table_text(cells, 3, 0, true);
    assert_string_equal(text, "NAME                SIZE  END\n"
                              "a-long-name-indeed    \033[33m12\033[0m    x\n");
    free(text);
}

static void no_colour_where_nobody_sees_it(void **state) {
    FILE *file = tmpfile();

    (void)state;
    assert_non_null(file);
    (void)setenv("TERM", "xterm", 1);
    assert_false(divvy_table_colour(file));
    assert_int_equal(divvy_table_width(file), 0);
    (void)fclose(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),
        cmocka_unit_test(used_of_limit),
        cmocka_unit_test(durations),
        cmocka_unit_test(shares),
        cmocka_unit_test(times),
        cmocka_unit_test(tables),
        cmocka_unit_test(no_colour_where_nobody_sees_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
