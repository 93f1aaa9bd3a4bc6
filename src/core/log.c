/* Logger of injected code: see log.h. */
#include "core/log.h"

#include "core/parse.h"
#include "core/sys.h"
#include "core/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LEVEL_UNKNOWN (-1)
#define LINE_BYTES    1024 /* longer messages are cut; a write of this size to a pipe is atomic */

static int current_level = LEVEL_UNKNOWN;

static const char *const level_words[DIVVY_LOG_MAX] = {"off",  "error", "warn",
                                                       "info", "debug", "trace"};

int divvy_core_log_level_parse(const char *text, size_t length, divvy_log_level_t *ret_level) {
    for (int level = 0; level < DIVVY_LOG_MAX; level++) {
        if (!divvy_core_word_equal(text, length, level_words[level]))
            continue;
        *ret_level = (divvy_log_level_t)level;
        return 0;
    }
    if (!divvy_core_word_equal(text, length, "warning"))
        return -EINVAL;
    *ret_level = DIVVY_LOG_WARN;
    return 0;
}

/* secure_getenv answers NULL in a program that runs with more rights than its user. */
static divvy_log_level_t level_from_environment(void) {
    divvy_log_level_t level = DIVVY_LOG_ERROR;
    const char *own = secure_getenv("DIVVY_LOG");
    const char *enable, *word;

    if (own && own[0]) {
        (void)divvy_core_log_level_parse(own, strlen(own), &level);
        return level;
    }
    enable = secure_getenv("TF_ENABLE_LOG");
    if (!enable ||
        (strcmp(enable, "1") != 0 && !divvy_core_word_equal(enable, strlen(enable), "true")))
        return level;
    level = DIVVY_LOG_INFO;
    word = secure_getenv("TF_LOG_LEVEL");
    if (word)
        (void)divvy_core_log_level_parse(word, strlen(word), &level);
    return level;
}

void divvy_core_log_set_level(divvy_log_level_t level) {
    __atomic_store_n(&current_level, (int)level, __ATOMIC_RELAXED);
}

bool divvy_core_log_enabled(divvy_log_level_t level) {
    int now = __atomic_load_n(&current_level, __ATOMIC_RELAXED);

    if (__builtin_expect(now == LEVEL_UNKNOWN, 0)) {
        now = (int)level_from_environment();
        __atomic_store_n(&current_level, now, __ATOMIC_RELAXED);
    }
    return (int)level <= now && level != DIVVY_LOG_OFF;
}

bool divvy_core_log_due(uint64_t *last_ns, uint64_t interval_ns) {
    uint64_t now = divvy_core_clock_ns();
    uint64_t last = __atomic_load_n(last_ns, __ATOMIC_RELAXED);

    if (last != 0 && now - last < interval_ns)
        return false;
    return __atomic_compare_exchange_n(last_ns, &last, now, false, __ATOMIC_RELAXED,
                                       __ATOMIC_RELAXED);
}

void divvy_core_log_write(divvy_log_level_t level, const char *format, ...) {
    char line[LINE_BYTES];
    divvy_core_text_t text;
    va_list arguments;

    /* One byte is kept back so that the line break fits even when the message is cut. */
    divvy_core_text_init(&text, line, sizeof line - 1);
    divvy_core_text_format(&text, "divvy[%d]: %s: ", divvy_core_sys_getpid(),
                           level < DIVVY_LOG_MAX ? level_words[level] : "?");
    va_start(arguments, format);
    divvy_core_text_vformat(&text, format, arguments);
    va_end(arguments);
    for (size_t i = 0; i < text.length; i++)
        if (line[i] == '\n' || line[i] == '\r')
            line[i] = ' ';
    line[text.length] = '\n';
    (void)divvy_core_sys_write(STDERR_FILENO, line, text.length + 1);
}
