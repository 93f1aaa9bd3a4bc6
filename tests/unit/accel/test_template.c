/* Names of MIG profiles: all rows of an H200, in all their spellings. */
#include "accel/nvidia/template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    unsigned int id;
    const char *name, *chart;
} rows[] = {
    {19, "1g.18gb", "nv-h200-1g-18gb"}, {20, "1g.18gb+me", "nv-h200-1g-18gb-me"}, {15, "1g.35gb", "nv-h200-1g-35gb"},
    {14, "2g.35gb", "nv-h200-2g-35gb"}, {9, "3g.71gb", "nv-h200-3g-71gb"},        {5, "4g.71gb", "nv-h200-4g-71gb"},
    {0, "7g.141gb", "nv-h200-7g-141gb"},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

/* Which row a template means, -1 none; it never means two. */
static int row_of(const char *template_id, const char *model) {
    int found = -1;

    for (int i = 0; i < ROWS; i++) {
        char told[64];

        (void)snprintf(told, sizeof told, "MIG %s", rows[i].name);
        if (!divvy_nvidia_template_means(template_id, rows[i].id, told, model))
            continue;
        assert_int_equal(found, -1);
        found = i;
    }
    return found;
}

static void test_rows(void **state) {
    static const char *const before[] = {"", "MIG-", "mig ", "  ", "mig_", "MIG/"};

    (void)state;
    for (int i = 0; i < ROWS; i++) {
        char text[64];

        (void)snprintf(text, sizeof text, "%u", rows[i].id);
        assert_int_equal(row_of(text, "NVIDIA H200"), i);
        assert_int_equal(row_of(rows[i].chart, "NVIDIA H200"), i);
        assert_int_equal(row_of(rows[i].chart, "NVIDIA H200 NVL"), i);
        assert_int_equal(row_of(rows[i].chart, "NVIDIA H100 80GB HBM3"), -1);
        for (size_t f = 0; f < sizeof before / sizeof before[0]; f++) {
            (void)snprintf(text, sizeof text, "%s%s ", before[f], rows[i].name);
            assert_int_equal(row_of(text, "NVIDIA H200"), i);
            for (char *at = text; *at; at++)
                *at = *at == '.' ? '-' : *at >= 'a' && *at <= 'z' ? (char)(*at - 32) : *at;
            assert_int_equal(row_of(text, "NVIDIA H200"), i);
        }
    }
    assert_true(divvy_nvidia_template_means("nv-a100-80gb-2g-20gb", 14, "MIG 2g.20gb", "NVIDIA A100-SXM4-80GB"));
    assert_false(divvy_nvidia_template_means("nv-a100-40gb-2g-20gb", 14, "MIG 2g.20gb", "NVIDIA A100-SXM4-80GB"));
}

static void test_none(void **state) {
    static const char *const none[] = {
        "",       "-",     "mig-", "1g.18gb-me", "1g.18gb+gfx", "1g", "18gb", "1g.17gb", "01g.18gb", "11g.18gb", "nv-h200-1g-18gb+me+me", "nv--1g-18gb",
        "nv-1g-18gb", "20.0", "0x13", "19a",     "4294967315",  "-19a", "99999999999999999999999", "nv-h20-1g-18gb", "nv-h2000-1g-18gb",
    };
    char endless[1000];

    (void)state;
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        if (row_of(none[i], "NVIDIA H200") != -1)
            fail_msg("'%s' means %d", none[i], row_of(none[i], "NVIDIA H200"));
    memset(endless, '1', sizeof endless - 1);
    endless[sizeof endless - 1] = '\0';
    assert_int_equal(row_of(endless, "NVIDIA H200"), -1);
    /* a driver that tells no name knows its profiles by number only */
    assert_true(divvy_nvidia_template_means("19", 19, "", "NVIDIA H200"));
    assert_false(divvy_nvidia_template_means("1g.18gb", 19, "", "NVIDIA H200"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_none)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
