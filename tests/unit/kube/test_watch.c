/* What is asked next, and when, after every kind of answer. */
#include "kube/watch.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SECOND INT64_C(1000000000)

static char told[2048];

static void on_listing(void *data) {
    (void)data;
    strcat(told, "[");
}

static void on_pod(void *data, enum divvy_kube_change change, const struct divvy_kube_pod *pod) {
    (void)data;
    strcat(told, change == DIVVY_KUBE_POD_SET ? "+" : "-");
    strcat(told, pod->name);
}

static void on_listed(void *data) {
    (void)data;
    strcat(told, "]");
}

static void on_odd(void *data, const char *text) {
    (void)data;
    (void)text;
    strcat(told, "?");
}

static struct divvy_kube_watch watch;
static char path[DIVVY_KUBE_PATH_BYTES];
static int64_t now;
static struct divvy_error error;

static int begin(void **state) {
    static const struct divvy_kube_watch_calls calls = {on_listing, on_pod, on_listed, on_odd, NULL};

    (void)state;
    told[0] = '\0';
    now = 100 * SECOND;
    divvy_kube_watch_init(&watch, &calls, "node-a", "a=b,c", 4711);
    return 0;
}

static int end(void **state) {
    (void)state;
    divvy_kube_watch_done(&watch);
    return 0;
}

/* One request and its answer; how long until the next may begin. */
static int64_t ask(long http_status, const char *answer, int64_t lasts_ns, bool cut, int wanted) {
    int taken = 0;

    error.text[0] = '\0';
    divvy_kube_watch_begin(&watch, now, path);
    if (http_status)
        taken = divvy_kube_watch_take(&watch, http_status, answer, strlen(answer));
    now += lasts_ns;
    assert_int_equal(divvy_kube_watch_end(&watch, now, http_status, cut || taken < 0, &error), wanted);
    return divvy_kube_watch_due_ns(&watch) - now;
}

#define POD(name, version)                                                                                                                   \
    "{\"metadata\":{\"namespace\":\"d\",\"name\":\"" name "\",\"uid\":\"u\",\"resourceVersion\":\"" version "\"},\"spec\":{\"nodeName\":\"node-a\"}}"
#define LIST(items, metadata) "{\"kind\":\"PodList\",\"metadata\":{" metadata "},\"items\":[" items "]}"
#define GONE "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410,\"message\":\"too old\"}}"

static void test_pages_and_watch(void **state) {
    (void)state;
    assert_int_equal(ask(200, LIST(POD("a", "1") "," POD("b", "2"), "\"resourceVersion\":\"7\",\"continue\":\"m/x=\""), SECOND, false, 0), 0);
    assert_string_equal(path, "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-a&labelSelector=a%3Db%2Cc&limit=250");
    assert_int_equal(ask(200, LIST(POD("c", "3"), "\"resourceVersion\":\"7\""), SECOND, false, 0), 0);
    assert_non_null(strstr(path, "&continue=m%2Fx%3D"));
    assert_string_equal(told, "[+a+b+c]");
    assert_int_equal(ask(200, "{\"type\":\"MODIFIED\",\"object\":" POD("a", "8") "}{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"12\"}}}",
                         SECOND, true, 0), 0);
    assert_non_null(strstr(path, "watch=1&allowWatchBookmarks=true&resourceVersion=7&"));
    assert_int_equal(ask(200, "{\"type\":\"DELETED\",\"object\":" POD("c", "13") "}", 0, false, 0), 0);
    assert_non_null(strstr(path, "resourceVersion=12&"));
    assert_string_equal(told, "[+a+b+c]+a-c");
    /* a stream that gives nothing and ends at once is not asked for in a circle */
    assert_true(ask(200, "", 0, false, 0) > 0);
    assert_true(ask(200, "", 0, false, 0) > 0);
    assert_int_equal(ask(200, "", 2 * SECOND, false, 0), 0);
}

static void test_gone(void **state) {
    int64_t pause, last = 0;

    (void)state;
    (void)ask(200, LIST("", "\"resourceVersion\":\"7\""), 0, false, 0);
    assert_int_equal(ask(200, GONE, 5 * SECOND, false, 0), 0);
    assert_false(watch.is_watching);
    assert_int_equal(ask(200, LIST(POD("x", "9"), "\"resourceVersion\":\"9\""), 0, false, 0), 0);
    assert_null(strstr(path, "resourceVersion"));
    assert_string_equal(told, "[][+x]");
    /* again and again: pauses that grow */
    for (int i = 0; i < 20; i++) {
        pause = ask(200, GONE, 0, false, 0);
        if (i > 1)
            assert_true(pause > 0 && pause <= DIVVY_KUBE_BACKOFF_MAX_NS && (i > 11 || pause > last / 2));
        last = pause;
        (void)ask(200, LIST("", "\"resourceVersion\":\"9\""), 0, false, 0);
    }
    assert_true(pause >= DIVVY_KUBE_BACKOFF_MAX_NS / 2);
    assert_int_equal(ask(410, "{\"message\":\"gone\"}", 2 * SECOND, false, 0), 0);
    /* in the middle of a list as well */
    (void)ask(200, LIST("", "\"resourceVersion\":\"7\",\"continue\":\"x\""), 0, false, 0);
    (void)ask(410, "{}", 0, false, 0);
    (void)ask(200, LIST("", "\"resourceVersion\":\"7\""), 0, false, 0);
    assert_null(strstr(path, "continue"));
}

static void test_failures(void **state) {
    static const struct {
        long http_status;
        const char *answer;
        bool cut;
        int wanted;
        const char *words;
    } table[] = {
        {0, "", true, -EIO, ""},
        {401, "{}", false, -EACCES, "401"},
        {403, "{\"message\":\"User x cannot list\"}", false, -EPERM, "ClusterRole"},
        {500, "not JSON\n", false, -EIO, "500"},
        {429, "{\"message\":\"slow\\ndown\"}", false, -EIO, "slow?down"},
        {200, "", false, -EPROTO, "no list"},
        {200, "{}", false, -EPROTO, "no list"},
        {200, "{\"kind\":\"PodList\",\"metadata\":{}}", false, -EPROTO, "no list"},
        {200, "{\"kind\":\"SecretList\",\"metadata\":{\"resourceVersion\":\"1\"}}", false, -EPROTO, "no list"},
        {200, LIST("", "\"resourceVersion\":\"1\""), true, -EIO, "broke off"},
        {200, "<html>", false, -EIO, "broke off"},
        {200, LIST("{", "\"resourceVersion\":\"1\""), false, -EIO, "broke off"},
    };
    int64_t pause = 0;

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        pause = ask(table[i].http_status, table[i].answer, 0, table[i].cut, table[i].wanted);
        assert_true(pause >= DIVVY_KUBE_BACKOFF_MIN_NS / 2 && pause <= DIVVY_KUBE_BACKOFF_MAX_NS);
        if (!strstr(error.text, table[i].words))
            fail_msg("%ld %s: %s", table[i].http_status, table[i].answer, error.text);
        assert_false(watch.is_watching || watch.is_listed);
    }
    assert_true(pause >= DIVVY_KUBE_BACKOFF_MAX_NS / 2);
    /* after that a good answer, and a stream that gave something: the pauses begin anew */
    (void)ask(200, LIST("", "\"resourceVersion\":\"1\""), 0, false, 0);
    (void)ask(200, "{\"type\":\"ADDED\",\"object\":" POD("a", "2") "}", 0, false, 0);
    assert_true(ask(0, "", 0, true, -EIO) <= DIVVY_KUBE_BACKOFF_MIN_NS);
    assert_true(watch.is_watching); /* from where it was */
    (void)ask(200, "x", 0, false, -EIO);
    assert_non_null(strstr(error.text, "no JSON"));
}

/* What a server says that lies is passed over, and what follows is taken. */
static void test_lies(void **state) {
    (void)state;
    (void)ask(200, LIST("{},{\"metadata\":{\"namespace\":\"d\",\"name\":\"../x\",\"uid\":\"u\"}}," POD("a", "1"), "\"resourceVersion\":\"1\""), 0, false, 0);
    (void)ask(200,
              "{}{\"type\":\"ADDED\"}{\"type\":\"WHAT\",\"object\":" POD("b", "2") "}{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"namespace\":"
              "\"d\",\"name\":\"c\",\"uid\":\"u\"},\"spec\":{\"nodeName\":\"node-b\"}}}{\"type\":\"ADDED\",\"object\":" POD("d", "4") "}",
              0, false, 0);
    assert_string_equal(told, "[??+a]????+d");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pages_and_watch, begin, end),
        cmocka_unit_test_setup_teardown(test_gone, begin, end),
        cmocka_unit_test_setup_teardown(test_failures, begin, end),
        cmocka_unit_test_setup_teardown(test_lies, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
