/* Cutting lists and streams, whatever portions they come in. */
#include "kube/split.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char pieces[4096];

static int on_piece(void *data, const char *text, size_t length) {
    (void)data;
    assert_true(strlen(pieces) + length + 2 < sizeof pieces);
    strncat(pieces, text, length);
    strcat(pieces, "|");
    return 0;
}

/* Fed in portions of `step` bytes. */
static int feed(struct divvy_kube_split *split, enum divvy_kube_split_mode mode, const char *text, size_t step) {
    int status = 0;

    pieces[0] = '\0';
    divvy_kube_split_init(split, mode, on_piece, NULL);
    for (size_t at = 0, length = strlen(text); at < length && status == 0; at += step)
        status = divvy_kube_split_take(split, text + at, length - at < step ? length - at : step);
    return status;
}

static void test_list(void **state) {
    static const char list[] = "{\"kind\":\"PodList\", \"metadata\": {\"items\":[1,{}], \"resourceVersion\":\"7\"},\n"
                               "\"items\":[{\"a\":\"}]\\\"{\"}, {\"b\":[{\"items\":[]}]},{}],\"z\":\"items\",\"more\":[{}]} \n";
    struct divvy_kube_split split;

    (void)state;
    for (size_t step = 1; step < sizeof list; step++) {
        assert_int_equal(feed(&split, DIVVY_KUBE_SPLIT_LIST, list, step), 0);
        assert_true(divvy_kube_split_is_whole(&split));
        assert_string_equal(pieces, "{\"a\":\"}]\\\"{\"}|{\"b\":[{\"items\":[]}]}|{}|");
        assert_int_equal(divvy_kube_split_take(&split, " ", 1), 0);
        assert_memory_equal(split.rest.text,
                            "{\"kind\":\"PodList\",\"metadata\":{\"items\":[1,{}],\"resourceVersion\":\"7\"},\"items\":[],\"z\":\"items\",\"more\":[{}]}",
                            split.rest.length);
        assert_int_equal(divvy_kube_split_take(&split, "{", 1), -EPROTO); /* a second document */
        divvy_kube_split_done(&split);
    }
}

static void test_stream(void **state) {
    static const char stream[] = "{\"type\":\"ADDED\"}\n{\"type\":\"x\",\"object\":{\"y\":[[]]}}{}\r\n\n {\"half\":";
    struct divvy_kube_split split;

    (void)state;
    for (size_t step = 1; step < sizeof stream; step++) {
        assert_int_equal(feed(&split, DIVVY_KUBE_SPLIT_STREAM, stream, step), 0);
        assert_string_equal(pieces, "{\"type\":\"ADDED\"}|{\"type\":\"x\",\"object\":{\"y\":[[]]}}|{}|");
        assert_false(divvy_kube_split_is_whole(&split));
        divvy_kube_split_done(&split);
    }
}

static void test_wrong(void **state) {
    static const struct {
        enum divvy_kube_split_mode mode;
        const char *text;
    } wrong[] = {
        {DIVVY_KUBE_SPLIT_STREAM, "x"},   {DIVVY_KUBE_SPLIT_STREAM, "}"},       {DIVVY_KUBE_SPLIT_STREAM, "{}}"},
        {DIVVY_KUBE_SPLIT_STREAM, "\"a"}, {DIVVY_KUBE_SPLIT_LIST, "<html>"},    {DIVVY_KUBE_SPLIT_LIST, "{}{"},
        {DIVVY_KUBE_SPLIT_LIST, "]"},     {DIVVY_KUBE_SPLIT_LIST, "{\"items\":[1"}, {DIVVY_KUBE_SPLIT_LIST, "{\"items\":[\"a\""},
    };
    struct divvy_kube_split split;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(feed(&split, wrong[i].mode, wrong[i].text, 1), -EPROTO);
        divvy_kube_split_done(&split);
    }
}

/* Whatever comes, no more is kept than the limits say. */
static void test_floods(void **state) {
    static const char *const starts[] = {"{\"metadata\":\"", "{\"items\":[{\"a\":\"", "{\"items\":["};
    static const char *const fills[] = {"xxxxxxxxxxxxxxxx", "xxxxxxxxxxxxxxxx", "[[[[[[[[[[[[[[[["};
    static const int ends[] = {-EFBIG, -EFBIG, -EPROTO};
    struct divvy_kube_split split;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        int status = feed(&split, DIVVY_KUBE_SPLIT_LIST, starts[i], 64);
        size_t sent = 0;

        for (; status == 0 && sent < 3 * (size_t)DIVVY_KUBE_OBJECT_BYTES; sent += 16)
            status = divvy_kube_split_take(&split, fills[i], 16);
        assert_int_equal(status, ends[i]);
        assert_true(split.now.room <= 2 * (size_t)DIVVY_KUBE_OBJECT_BYTES && split.rest.room <= 2 * (size_t)DIVVY_KUBE_REST_BYTES);
        divvy_kube_split_done(&split);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_floods),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
