/* Durations: see duration.h. */
#include "wire/channel/duration.h"

#include "core/checked.h"
#include "core/parse.h"

#include <errno.h>

static const struct {
    char name[8];
    uint64_t ns;
} units[] = {
    {"ns", 1},
    {"nsec", 1},
    {"us", 1000},
    {"usec", 1000},
    {"ms", 1000000},
    {"msec", 1000000},
    {"s", UINT64_C(1000000000)},
    {"sec", UINT64_C(1000000000)},
    {"second", UINT64_C(1000000000)},
    {"m", 60 * UINT64_C(1000000000)},
    {"min", 60 * UINT64_C(1000000000)},
    {"minute", 60 * UINT64_C(1000000000)},
    {"h", 3600 * UINT64_C(1000000000)},
    {"hr", 3600 * UINT64_C(1000000000)},
    {"hour", 3600 * UINT64_C(1000000000)},
    {"d", 86400 * UINT64_C(1000000000)},
    {"day", 86400 * UINT64_C(1000000000)},
    {"w", 7 * 86400 * UINT64_C(1000000000)},
    {"week", 7 * 86400 * UINT64_C(1000000000)},
};

static uint64_t unit_ns(const char *name, size_t length) {
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (divvy_core_word_equal(name, length, units[i].name))
            return units[i].ns;
        /* "hours", but not "ss" or "mss" */
        if (length > 3 && (name[length - 1] | 0x20) == 's' && divvy_core_word_equal(name, length - 1, units[i].name))
            return units[i].ns;
    }
    return 0;
}

static size_t skip(const char *text, size_t length, size_t at, int (*is_it)(char)) {
    while (at < length && is_it(text[at]))
        at++;
    return at;
}

static int is_blank(char byte) {
    return byte == ' ' || byte == '\t';
}

static int is_digit(char byte) {
    return byte >= '0' && byte <= '9';
}

static int is_letter(char byte) {
    return (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z';
}

int divvy_wire_duration_parse(const char *text, size_t length, int64_t *ret_ns) {
    size_t at = skip(text, length, 0, is_blank);
    uint64_t sum = 0;

    while (at < length) {
        size_t number = at, name, end;
        uint64_t value, unit;
        int status;

        at = skip(text, length, number, is_digit);
        status = at > number ? divvy_core_u64_parse(text + number, at - number, &value, NULL) : -EINVAL;
        if (status < 0)
            return status;
        name = skip(text, length, at, is_blank);
        end = skip(text, length, name, is_letter);
        unit = unit_ns(text + name, end - name);
        if (unit == 0)
            return -EINVAL;
        if (divvy_core_u64_mul(value, unit, &value) < 0 || divvy_core_u64_add(sum, value, &sum) < 0 || sum > INT64_MAX)
            return -ERANGE;
        at = skip(text, length, end, is_blank);
    }
    if (sum == 0)
        return -EINVAL;
    *ret_ns = (int64_t)sum;
    return 0;
}
