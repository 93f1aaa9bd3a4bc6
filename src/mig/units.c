/* Durations and sizes of the MIG settings. They are other grammars than those of limits: see the header. Pure. */
#include "core/checked.h"
#include "core/parse.h"
#include "divvy/mig.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct unit {
    char name[4];
    uint64_t scale;
};

/* Those of two letters first: "m" begins "ms". */
static const struct unit times[] = {
    {"ns", 1},
    {"us", 1000},
    {"ms", 1000000},
    {"s", UINT64_C(1000000000)},
    {"m", 60 * UINT64_C(1000000000)},
    {"h", 3600 * UINT64_C(1000000000)},
};

static bool is_digit(char byte) {
    return byte >= '0' && byte <= '9';
}

/* The unit at the front of the text, or NULL. */
static const struct unit *time_unit_find(const char *text) {
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
        if (strncmp(text, times[i].name, strlen(times[i].name)) == 0)
            return &times[i];
    return NULL;
}

/* Nanoseconds of the digits behind the point; what is below one is dropped. */
static uint64_t fraction_ns(const char *digits, size_t count, uint64_t scale) {
    uint64_t ns = 0;

    for (size_t i = 0; i < count && scale > 0; i++) {
        /* Exact as long as the unit has factors of ten, then rounded down: units are at most 13 digits. */
        ns += scale * (uint64_t)(digits[i] - '0') / 10;
        scale /= 10;
    }
    return ns;
}

/* One number with its unit, at *at, which is moved behind it. */
static int part_take(const char **at, uint64_t *ret_ns) {
    const char *whole = *at, *fraction, *end;
    const struct unit *unit;
    uint64_t value = 0, ns;

    for (end = whole; is_digit(*end); end++)
        ;
    if (end == whole)
        return -EINVAL;
    if (divvy_core_u64_parse(whole, (size_t)(end - whole), &value, NULL) < 0)
        return -ERANGE;
    fraction = end;
    if (*end == '.') {
        fraction = ++end;
        while (is_digit(*end))
            end++;
        if (end == fraction)
            return -EINVAL;
    }
    unit = time_unit_find(end);
    if (!unit)
        return -EINVAL;
    if (divvy_core_u64_mul(value, unit->scale, &ns) < 0 ||
        divvy_core_u64_add(ns, fraction_ns(fraction, (size_t)(end - fraction), unit->scale), &ns) < 0)
        return -ERANGE;
    *ret_ns = ns;
    *at = end + strlen(unit->name);
    return 0;
}

int divvy_mig_ttl_parse(const char *text, int64_t *ret_ns) {
    uint64_t sum = 0, part;

    if (!*text)
        return -EINVAL;
    for (const char *at = text; *at;) {
        int status = part_take(&at, &part);

        if (status < 0)
            return status;
        if (divvy_core_u64_add(sum, part, &sum) < 0 || sum > INT64_MAX)
            return -ERANGE;
    }
    if (sum == 0)
        return -EINVAL;
    *ret_ns = (int64_t)sum;
    return 0;
}

int divvy_mig_size_parse(const char *text, uint64_t *ret_bytes) {
    static const char prefixes[] = "kmgt";
    size_t digits = strspn(text, "0123456789");
    const char *unit = text + digits;
    uint64_t value, scale = 1;
    int status;

    if (digits == 0 || !*unit)
        return -EINVAL;
    if (!divvy_core_word_equal(unit, strlen(unit), "b")) {
        const char *prefix = strchr(prefixes, divvy_core_ascii_lower(*unit));

        if (!prefix || !(divvy_core_word_equal(unit + 1, strlen(unit + 1), "b") ||
                         divvy_core_word_equal(unit + 1, strlen(unit + 1), "ib")))
            return -EINVAL;
        scale = UINT64_C(1) << (10 * (prefix - prefixes + 1));
    }
    status = divvy_core_u64_parse(text, digits, &value, NULL);
    if (status == 0)
        status = divvy_core_u64_mul(value, scale, &value);
    if (status < 0)
        return status;
    *ret_bytes = value;
    return 0;
}
