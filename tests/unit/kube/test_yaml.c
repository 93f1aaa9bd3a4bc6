/* The YAML of kubeconfig files, and what is beyond it. */
#include "kube/yaml.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void check(const char *yaml, const char *json) {
    struct divvy_error error = {0, ""};
    json_t *read = NULL, *wanted = json_loads(json, JSON_DECODE_ANY, NULL);

    if (divvy_kube_yaml_parse(yaml, strlen(yaml), &read, &error) < 0)
        fail_msg("%s: %s", yaml, error.text);
    if (!json_equal(read, wanted)) {
        char *text = json_dumps(read, JSON_ENCODE_ANY);

        fail_msg("%s is %s, not %s", yaml, text, json);
    }
    json_decref(read);
    json_decref(wanted);
}

static void test_read(void **state) {
    (void)state;
    check("", "null");
    check("# nothing\n---\n", "null");
    check("a: b", "{\"a\":\"b\"}");
    check("a: b # c\nd: 'it''s # not'\ne: \"x\\\"\\n#\" # y\n", "{\"a\":\"b\",\"d\":\"it's # not\",\"e\":\"x\\\"\\n#\"}");
    check("a:\nb: null\nc: ~\nd: {}\ne: []\nf: \"\"", "{\"a\":null,\"b\":null,\"c\":null,\"d\":{},\"e\":[],\"f\":\"\"}");
    check("---\nclusters:\n- cluster:\n    server: https://127.0.0.1:6443\n  name: x\n- name: y\n  cluster: {}\nusers: []\r\n",
          "{\"clusters\":[{\"cluster\":{\"server\":\"https://127.0.0.1:6443\"},\"name\":\"x\"},{\"name\":\"y\",\"cluster\":{}}],\"users\":[]}");
    check("a:\n  - b: c\n    d:\n      - e\n      - f:g\n  - h\n  -\n", "{\"a\":[{\"b\":\"c\",\"d\":[\"e\",\"f:g\"]},\"h\",null]}");
    check("'a: b': c\n\"d\": e\n", "{\"a: b\":\"c\",\"d\":\"e\"}");
    check("- - a\n  - b\n- c\n", "[[\"a\",\"b\"],\"c\"]");
    check("  a: b\n  c: d\n", "{\"a\":\"b\",\"c\":\"d\"}");
    check(" {\"a\": [1, {\"b\": null}]}", "{\"a\":[\"1\",{\"b\":null}]}");
    check("{\"a\": \"x\\u00e9\\/\", 'b' : [c , d,],}", "{\"a\":\"x\u00e9/\",\"b\":[\"c\",\"d\"]}");
    check("a: [{name: b, user: {token: c}}]\nd: {e: f}", "{\"a\":[{\"name\":\"b\",\"user\":{\"token\":\"c\"}}],\"d\":{\"e\":\"f\"}}");
    check("a: |\n  b\n  c\nd: >-\n  e\n  f\n", "{\"a\":\"b\\nc\\n\",\"d\":\"e f\"}");
    check("a: &x b\nc: !!str null\nd: 'null'\ne: ! null", "{\"a\":\"b\",\"c\":\"null\",\"d\":\"null\",\"e\":\"null\"}");
    check("? a\n: b\n", "{\"a\":\"b\"}");
    check("%YAML 1.1\n---\na: b\n...\n", "{\"a\":\"b\"}");
    check("\xef\xbb\xbf" "a: b", "{\"a\":\"b\"}");
}

static void test_refused(void **state) {
    static const char *const wrong[] = {
        "a: b\na: c",      "a: &x b\nc: *x",   "a: *x",           "a: !own b",     "!own {a: b}",      "a: [b, c",
        "a: {b: c",        "\ta: b",            "a: b\n   c: d",   "a:\n    b: c\n  d: e", "a: 'b", "a: \"b\\q\"",   "a: 'b' c",
        "a: b\n- c",       "a b\nc: d",         ": a",             "~: a",          "{\"a\":",          "a: b\n---\nc: d", "a: \xff",
        "- a\nb: c",       "a: @b",             "a: %b",           "a: `b",         "? [a]\n: b",       "? {a: b}\n: c", "a: b\n...\nc",
        "a: \"\\0\"",      "a: \xed\xa0\x80", "a: \x01",        "{\"a\": 1, \"a\": 2}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct divvy_error error = {0, ""};
        json_t *json = NULL;

        if (divvy_kube_yaml_parse(wrong[i], strlen(wrong[i]), &json, &error) == 0)
            fail_msg("'%s' was taken", wrong[i]);
        assert_true(strstr(error.text, "line ") != NULL);
    }
}

static void line_is(const char *yaml, const char *start) {
    struct divvy_error error = {0, ""};
    json_t *json = NULL;

    assert_int_equal(divvy_kube_yaml_parse(yaml, strlen(yaml), &json, &error), -EINVAL);
    if (strncmp(error.text, start, strlen(start)) != 0)
        fail_msg("'%s': %s", yaml, error.text);
}

static void test_lines(void **state) {
    (void)state;
    line_is("a: b: c\nd: e\n\nf: g\n", "line 1: ");
    line_is("a: b\nc: @d\ne: f\n", "line 2: ");
    line_is("a: b\nc: d\na: e\nf: g\n", "line 3: ");
    line_is("a: b\nc: *d\n", "line 2: ");
}

static void test_depth(void **state) {
    char text[400] = "";
    struct divvy_error error;
    json_t *json = NULL;

    (void)state;
    for (int i = 0; i < 100; i++)
        strcat(text, "- ");
    assert_int_equal(divvy_kube_yaml_parse(text, strlen(text), &json, &error), -EINVAL);
    assert_int_equal(divvy_kube_yaml_parse("a\0b", 3, &json, &error), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_depth),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
