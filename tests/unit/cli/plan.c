/* From wishes to limits: what is accepted, what a refusal says, what a tenant is told. */
#include "cli/plan.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct divvy_cli_gpu device = {
    .index = 3, .memory_bytes = UINT64_C(16) << 30, .has_driver_facts = true};

static int resolve(const char *value, uint64_t *ret_bytes, struct divvy_error *error) {
    divvy_core_size_t size;
    int status = divvy_cli_plan_memory_parse(value, &size, error);

    return status < 0 ? status : divvy_cli_plan_memory_resolve(&size, &device, ret_bytes, error);
}

static void memory_is_resolved(void **state) {
    uint64_t bytes;

    (void)state;
    assert_int_equal(resolve("8GiB", &bytes, NULL), 0);
    assert_true(bytes == UINT64_C(8) << 30);
    assert_int_equal(resolve("25%", &bytes, NULL), 0);
    assert_true(bytes == UINT64_C(4) << 30);
    assert_int_equal(resolve("100%", &bytes, NULL), 0);
    assert_true(bytes == device.memory_bytes);
    assert_int_equal(resolve("16GiB", &bytes, NULL), 0);
    assert_int_equal(resolve("1MiB", &bytes, NULL), 0);
}

static void memory_refusals(void **state) {
    static const struct {
        const char *value, *says;
    } cases[] = {
        {"17179869185", "more than GPU 3 has (16 GiB, 17179869184 bytes)"},
        {"1048575", "less than 1 MiB"},
        {"0", "no memory"},
        {"0%", "no memory"},
        {"8gb!", "--memory '8gb!': character 2: unknown unit"},
        {"", "character 1: nothing given"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct divvy_error error = {0};
        uint64_t bytes = 7;

        assert_true(resolve(cases[i].value, &bytes, &error) < 0);
        assert_int_equal(bytes, 7);
        if (!strstr(error.text, cases[i].says))
            fail_msg("%s: %s", cases[i].value, error.text);
        assert_true(error.status == -EINVAL || error.status == -ERANGE);
    }
}

static void long_values_do_not_hide_the_remedy(void **state) {
    char value[5000];
    struct divvy_error error;
    divvy_core_size_t size;

    (void)state;
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    assert_true(divvy_cli_plan_memory_parse(value, &size, &error) < 0);
    assert_non_null(strstr(error.text, "write a size such as"));
}

static void names(void **state) {
    static const char *const good[] = {"a", "A-1", "team.blue_2", "0"};
    static const char *const bad[] = {"", ".", "..", "-a", "_a", "a/b", "a b", "\xc3\xa4", "a\n"};
    char name[DIVVY_CLI_NAME_MAX + 1], longest[DIVVY_CLI_NAME_MAX + 2];

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_int_equal(divvy_cli_plan_name_check(good[i], NULL), 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(divvy_cli_plan_name_check(bad[i], NULL), -EINVAL);
    memset(longest, 'a', sizeof longest);
    longest[DIVVY_CLI_NAME_MAX] = '\0';
    assert_int_equal(divvy_cli_plan_name_check(longest, NULL), 0);
    longest[DIVVY_CLI_NAME_MAX] = 'a';
    longest[DIVVY_CLI_NAME_MAX + 1] = '\0';
    assert_int_equal(divvy_cli_plan_name_check(longest, NULL), -EINVAL);

    divvy_cli_plan_name_default("/usr/bin/python3", 123, name);
    assert_string_equal(name, "python3-123");
    divvy_cli_plan_name_default("/opt/My Program (1)", 2147483647, name);
    assert_string_equal(name, "MyProgram1-2147483647");
    divvy_cli_plan_name_default("///", 5, name);
    assert_string_equal(name, "tenant-5");
    memset(longest, 'x', DIVVY_CLI_NAME_MAX + 1);
    divvy_cli_plan_name_default(longest, 1, name);
    assert_int_equal(divvy_cli_plan_name_check(name, NULL), 0);
}

static void limit_objects(void **state) {
    struct divvy_cli_gpu gpu = {.uuid = {{0x34, 0x30}}};
    char text[DIVVY_CLI_LIMIT_TEXT_BYTES];

    (void)state;
    divvy_cli_plan_limit_format(&gpu, UINT64_MAX, text);
    assert_string_equal(text,
                        "{\"GPU-34300000-0000-0000-0000-000000000000\": 18446744073709551615}");
    assert_int_equal(divvy_cli_plan_variable_check("X", text, 1, NULL), 0);
    gpu.is_instance = true;
    divvy_cli_plan_limit_format(&gpu, 7, text);
    assert_string_equal(text, "{\"MIG-34300000-0000-0000-0000-000000000000\": 7}");
    assert_int_equal(divvy_cli_plan_variable_check("X", text, 1, NULL), 0);
    assert_int_equal(divvy_cli_plan_variable_value(text, 1, &gpu), 7);
}

static void variables(void **state) {
    struct divvy_error error;

    (void)state;
    assert_int_equal(divvy_cli_plan_variable_check("X", NULL, 0, NULL), 0);
    assert_int_equal(divvy_cli_plan_variable_check("X", "", 0, NULL), 0);
    assert_int_equal(divvy_cli_plan_variable_check("X", "{\"0\": 20}", 0, NULL), 0);
    assert_int_equal(divvy_cli_plan_variable_check("X", "{\"0\": -20}", 0, &error), -EINVAL);
    assert_string_equal(
        error.text, "X: byte 6: a negative limit is not accepted; write it like {\"0\": 20}, or "
                    "unset it");
}

static void weights_and_classes(void **state) {
    struct divvy_error error;
    uint64_t weight = 0;

    (void)state;
    assert_int_equal(divvy_cli_plan_weight_parse("1", &weight, NULL), 0);
    assert_int_equal(divvy_cli_plan_weight_parse("1000000", &weight, NULL), 0);
    assert_int_equal(weight, 1000000);
    assert_int_equal(divvy_cli_plan_weight_parse("0", &weight, NULL), -ERANGE);
    assert_int_equal(divvy_cli_plan_weight_parse("1000001", &weight, NULL), -ERANGE);
    assert_int_equal(divvy_cli_plan_weight_parse("-1", &weight, NULL), -EINVAL);
    assert_int_equal(divvy_cli_plan_weight_parse("7x", &weight, &error), -EINVAL);
    assert_non_null(strstr(error.text, "character 2"));
    assert_int_equal(weight, 1000000);
    assert_int_equal(divvy_cli_plan_qos_check("High", NULL), 0);
    assert_int_equal(divvy_cli_plan_qos_check("highest", NULL), -EINVAL);
    assert_int_equal(divvy_cli_plan_qos_check("", NULL), -EINVAL);
}

static void values_of_variables(void **state) {
    static const struct divvy_cli_gpu gpu = {.index = 1, .uuid = {{0xaa}}};

    (void)state;
    assert_int_equal(divvy_cli_plan_variable_value(NULL, 0, &gpu), 0);
    assert_int_equal(divvy_cli_plan_variable_value("{\"0\": 20}", 0, &gpu), 0);
    assert_int_equal(divvy_cli_plan_variable_value("{\"0\": 20, \"1\": 30}", 0, &gpu), 30);
    /* By index and by UUID: the stricter holds; 0 is no limit. */
    assert_int_equal(divvy_cli_plan_variable_value(
                         "{\"1\": 30, \"aa000000-0000-0000-0000-000000000000\": 25}", 0, &gpu),
                     25);
    assert_int_equal(divvy_cli_plan_variable_value(
                         "{\"1\": 0, \"GPU-AA000000-0000-0000-0000-000000000000\": 4096}", 1, &gpu),
                     4096);
    assert_int_equal(divvy_cli_plan_variable_value("{\"1\": ", 1, &gpu), 0);
}

static void lists(void **state) {
    static const struct {
        const char *first, *list, *result;
    } cases[] = {
        {"/a", NULL, "/a"},          {"/a", "", "/a"},         {"/a", "/b", "/a:/b"},
        {"/a", "/a", "/a"},          {"/a", "/a:/b", "/a:/b"}, {"/a", "/ab", "/a:/ab"},
        {"/a", "/b:/a", "/a:/b:/a"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *result = divvy_install_list_front(cases[i].first, cases[i].list);

        assert_non_null(result);
        assert_string_equal(result, cases[i].result);
        free(result);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_resolved),
        cmocka_unit_test(memory_refusals),
        cmocka_unit_test(names),
        cmocka_unit_test(long_values_do_not_hide_the_remedy),
        cmocka_unit_test(limit_objects),
        cmocka_unit_test(variables),
        cmocka_unit_test(weights_and_classes),
        cmocka_unit_test(values_of_variables),
        cmocka_unit_test(lists),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
