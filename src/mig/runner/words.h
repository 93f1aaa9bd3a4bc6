/*
 * One string into words, as a shell splits them, without a shell: no variable, pattern, command or operator means anything.
 *
 * Blanks, tabs and line ends separate words. 'single quotes' keep everything; "double quotes" keep everything but a backslash
 * before one of " \ $ ` (which it takes the meaning from) and before a line end (both vanish); elsewhere a backslash keeps the next
 * character. Quoted and unquoted parts that touch are one word; '' is an empty word.
 */
#ifndef DIVVY_MIG_RUNNER_WORDS_H
#define DIVVY_MIG_RUNNER_WORDS_H

#include "base/error.h"

#include <stddef.h>

#define DIVVY_RUNNER_WORDS_TEXT_BYTES (1u << 20) /* longer text is refused: no kernel passes more as one argument */

/*
 * The words, ended by NULL, in one block for free(). *ret_count may be NULL. -EINVAL: a quote that does not end, a backslash
 * at the end, both with their place (from 1); -E2BIG; -ENOMEM.
 */
int divvy_runner_words_split(const char *text, char ***ret_words, size_t *ret_count, struct divvy_error *error);

#endif
