/*
 * Fuzz target of the words of a string: what is split and quoted again must split into the same words.
 */
#include "mig/runner/words.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every word in single quotes, a quote in it as '"'"'. */
static char *quote(char *const *words, size_t count) {
    size_t room = 1;
    char *text, *at;

    for (size_t i = 0; i < count; i++)
        room += strlen(words[i]) * 5 + 3;
    at = text = malloc(room);
    if (!text)
        abort();
    for (size_t i = 0; i < count; i++) {
        *at++ = '\'';
        for (const char *byte = words[i]; *byte; byte++) {
            memcpy(at, *byte == '\'' ? "'\"'\"'" : byte, *byte == '\'' ? 5 : 1);
            at += *byte == '\'' ? 5 : 1;
        }
        *at++ = '\'';
        *at++ = ' ';
    }
    *at = '\0';
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char **words, **again, *text = malloc(size + 1), *quoted;
    struct divvy_error error = {0};
    size_t count, count_again;

    if (!text)
        return 0;
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    if (divvy_runner_words_split(text, &words, &count, &error) < 0) {
        if (error.status == 0 || !error.text[0])
            abort();
        free(text);
        return 0;
    }
    quoted = quote(words, count);
    if (divvy_runner_words_split(quoted, &again, &count_again, &error) < 0) {
        /* Only what has grown beyond the bound by being quoted. */
        if (strlen(quoted) <= DIVVY_RUNNER_WORDS_TEXT_BYTES)
            abort();
    } else {
        if (count != count_again || words[count] || again[count])
            abort();
        for (size_t i = 0; i < count; i++)
            if (strcmp(words[i], again[i]) != 0)
                abort();
        free(again);
    }
    free(quoted);
    free(words);
    free(text);
    return 0;
}
