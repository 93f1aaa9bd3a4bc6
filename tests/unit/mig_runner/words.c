/* Words of a string: a shell is the model. */
#include "mig/runner/words.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static void table(void **state) {
    static const struct {
        const char *text, *words[5];
    } cases[] = {
        {"", {NULL}},
        {" \t\n", {NULL}},
        {"a", {"a"}},
        {"MIG device reserved", {"MIG", "device", "reserved"}},
        {"-c 'exit 7'", {"-c", "exit 7"}},
        {"-c \"echo 'x y'\" z", {"-c", "echo 'x y'", "z"}},
        {"a\\ b c\\\\", {"a b", "c\\"}},
        {"'' \"\" x", {"", "", "x"}},
        {"a'b c'\"d e\"f", {"ab cd ef"}},
        {"\"\\\"\\\\\\$\\`\\n\"", {"\"\\$`\\n"}},
        {"'a\\b'", {"a\\b"}},
        {"$HOME *.c a;b|c&d>e", {"$HOME", "*.c", "a;b|c&d>e"}},
        {"a\\\nb \"c\\\nd\"", {"ab", "cd"}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char **words = NULL;
        size_t count = 99, expected = 0;

        while (cases[i].words[expected])
            expected++;
        assert_int_equal(divvy_runner_words_split(cases[i].text, &words, &count, NULL), 0);
        assert_int_equal(count, expected);
        for (size_t k = 0; k < count; k++)
            assert_string_equal(words[k], cases[i].words[k]);
        assert_null(words[count]);
        free(words);
    }
}

static void refused(void **state) {
    static const char *const texts[] = {"'", "\"", "a 'b", "a \"b\\\"", "a\\", "\\"};
    struct divvy_error error;
    char **words = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_int_equal(divvy_runner_words_split(texts[i], &words, NULL, &error), -EINVAL);
        assert_non_null(strstr(error.text, "character "));
    }
    assert_null(words);
}

static void too_long(void **state) {
    char *text = malloc(DIVVY_RUNNER_WORDS_TEXT_BYTES + 2), **words = NULL;

    (void)state;
    memset(text, 'x', DIVVY_RUNNER_WORDS_TEXT_BYTES + 1);
    text[DIVVY_RUNNER_WORDS_TEXT_BYTES + 1] = '\0';
    assert_int_equal(divvy_runner_words_split(text, &words, NULL, NULL), -E2BIG);
    text[DIVVY_RUNNER_WORDS_TEXT_BYTES] = '\0';
    assert_int_equal(divvy_runner_words_split(text, &words, NULL, NULL), 0);
    assert_int_equal(strlen(words[0]), DIVVY_RUNNER_WORDS_TEXT_BYTES);
    free(words);
    free(text);
}

/* What /bin/sh makes of the same text, without what only shells know: a NUL behind each word. */
static ssize_t shell_split(const char *text, char *ret_words, size_t size) {
    static char command[512];
    FILE *out;
    size_t length;

    (void)snprintf(command, sizeof command, "set -f; printf '%%s\\0' %s", text);
    out = popen(command, "r");
    if (!out)
        return -1;
    length = fread(ret_words, 1, size, out);
    return pclose(out) == 0 ? (ssize_t)length : -1;
}

static void like_a_shell(void **state) {
    static const char alphabet[] = "ab'\"\\ ";
    unsigned int seed = (unsigned int)time(NULL);
    int compared = 0;

    (void)state;
    print_message("seed %u\n", seed);
    for (int round = 0; round < 150; round++) {
        char text[16], expected[64], got[64];
        size_t length = (size_t)(rand_r(&seed) % 12) + 1, used = 0, count;
        char **words;
        ssize_t size;

        for (size_t i = 0; i < length; i++)
            text[i] = alphabet[(size_t)rand_r(&seed) % (sizeof alphabet - 1)];
        text[length] = '\0';
        if (divvy_runner_words_split(text, &words, &count, NULL) < 0)
            continue;
        for (size_t i = 0; i < count; i++) {
            memcpy(got + used, words[i], strlen(words[i]) + 1);
            used += strlen(words[i]) + 1;
        }
        free(words);
        if (count == 0)
            continue;
        size = shell_split(text, expected, sizeof expected);
        assert_int_equal(size, used);
        assert_memory_equal(expected, got, used);
        compared++;
    }
    assert_true(compared > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(table), cmocka_unit_test(refused), cmocka_unit_test(too_long),
                                       cmocka_unit_test(like_a_shell)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
