/* Words of a string: see words.h. */
#include "mig/runner/words.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct splitter {
    const char *text;
    size_t at;
    char *out; /* where the next byte of a word goes */
};

static bool is_blank(char byte) {
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

/* Behind an opening quote: up to the one that closes it. false: there is none. */
static bool single_take(struct splitter *s) {
    for (; s->text[s->at] != '\''; s->at++) {
        if (!s->text[s->at])
            return false;
        *s->out++ = s->text[s->at];
    }
    s->at++;
    return true;
}

static bool double_take(struct splitter *s) {
    for (; s->text[s->at] != '"'; s->at++) {
        char next = s->text[s->at] ? s->text[s->at + 1] : '\0';

        if (!s->text[s->at])
            return false;
        if (s->text[s->at] == '\\' && next == '\n') {
            s->at++;
            continue;
        }
        if (s->text[s->at] == '\\' && next && strchr("\"\\$`", next))
            s->at++;
        *s->out++ = s->text[s->at];
    }
    s->at++;
    return true;
}

/* One word from where `at` stands. 0, or -EINVAL with the fault said. */
static int word_take(struct splitter *s, struct divvy_error *error) {
    while (s->text[s->at] && !is_blank(s->text[s->at])) {
        size_t begin = s->at;
        char byte = s->text[s->at++];

        if (byte == '\'' || byte == '"') {
            if (!(byte == '"' ? double_take(s) : single_take(s)))
                return divvy_error_set(error, -EINVAL, "character %zu: the quote %c that begins here does not end",
                                       begin + 1, byte);
        } else if (byte != '\\') {
            *s->out++ = byte;
        } else if (!s->text[s->at]) {
            return divvy_error_set(error, -EINVAL, "character %zu: a backslash with nothing behind it", begin + 1);
        } else if (s->text[s->at++] != '\n') {
            *s->out++ = s->text[s->at - 1];
        }
    }
    *s->out++ = '\0';
    return 0;
}

int divvy_runner_words_split(const char *text, char ***ret_words, size_t *ret_count, struct divvy_error *error) {
    size_t length = strlen(text), count = 0;
    struct splitter s = {.text = text};
    char **words;

    if (length > DIVVY_RUNNER_WORDS_TEXT_BYTES)
        return divvy_error_set(error, -E2BIG, "longer than %u bytes", DIVVY_RUNNER_WORDS_TEXT_BYTES);
    /* Every word takes a byte of text and, but for the last, a blank; its copy is no longer than itself with a NUL. */
    words = malloc((length / 2 + 2) * sizeof *words + length + 2);
    if (!words)
        return divvy_error_set_errno(error, -ENOMEM, "cannot split %zu bytes into words", length);
    s.out = (char *)(words + length / 2 + 2);
    for (;;) {
        while (is_blank(text[s.at]))
            s.at++;
        if (!text[s.at])
            break;
        words[count++] = s.out;
        if (word_take(&s, error) < 0) {
            free(words);
            return -EINVAL;
        }
    }
    words[count] = NULL;
    *ret_words = words;
    if (ret_count)
        *ret_count = count;
    return 0;
}
