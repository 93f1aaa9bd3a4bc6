/* Numbers, percentages and sizes: see parse.h. */
#include "core/parse.h"

#include "core/checked.h"

#include <errno.h>
#include <string.h>

static bool is_digit(char byte) {
    return byte >= '0' && byte <= '9';
}

bool divvy_core_word_equal(const char *text, size_t length, const char *word) {
    size_t i = 0;

    for (; i < length && word[i]; i++)
        if (divvy_core_ascii_lower(text[i]) != divvy_core_ascii_lower(word[i]))
            return false;
    return i == length && !word[i];
}

bool divvy_core_host_is_loopback(const char *host, size_t length) {
    return divvy_core_word_equal(host, length, "localhost") || divvy_core_word_equal(host, length, "[::1]") ||
           (length > 4 && strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == length);
}

/* Reads the digits at the start; *ret_used is their number (at least 1 on success). */
static int digits_read(const char *text, size_t length, uint64_t *ret_value, size_t *ret_used,
                       divvy_core_fault_t *fault) {
    uint64_t value = 0;
    size_t i = 0;

    if (length == 0)
        return divvy_core_fault_set(fault, -EINVAL, 0, "nothing given where a number is needed");
    if (text[0] == '-')
        return divvy_core_fault_set(fault, -EINVAL, 0, "a negative number is not accepted");
    for (; i < length && is_digit(text[i]); i++)
        if (divvy_core_u64_mul(value, 10, &value) < 0 ||
            divvy_core_u64_add(value, (uint64_t)(text[i] - '0'), &value) < 0)
            return divvy_core_fault_set(fault, -ERANGE, 0, "the number is too large");
    if (i == 0)
        return divvy_core_fault_set(fault, -EINVAL, 0, "a number must begin with a digit");
    *ret_value = value;
    *ret_used = i;
    return 0;
}

static int trailing_refuse(const char *text, size_t at, const char *otherwise,
                           divvy_core_fault_t *fault) {
    if (text[at] == '.' || text[at] == ',')
        return divvy_core_fault_set(fault, -EINVAL, at,
                                    "a fraction is not accepted; use a whole number");
    return divvy_core_fault_set(fault, -EINVAL, at, otherwise);
}

int divvy_core_u64_parse(const char *text, size_t length, uint64_t *ret_value,
                         divvy_core_fault_t *ret_fault) {
    uint64_t value;
    size_t used;
    int status = digits_read(text, length, &value, &used, ret_fault);

    if (status < 0)
        return status;
    if (used < length)
        return trailing_refuse(text, used, "only digits are accepted", ret_fault);
    *ret_value = value;
    return 0;
}

int divvy_core_percent_parse(const char *text, size_t length, unsigned int *ret_percent,
                             divvy_core_fault_t *ret_fault) {
    uint64_t value;
    size_t used;
    int status = digits_read(text, length, &value, &used, ret_fault);

    if (status < 0)
        return status;
    if (used < length && !(used + 1 == length && text[used] == '%'))
        return trailing_refuse(text, used, "only '%' may follow the number", ret_fault);
    if (value > 100)
        return divvy_core_fault_set(ret_fault, -ERANGE, 0, "more than 100 percent");
    *ret_percent = (unsigned int)value;
    return 0;
}

/* Multiplier of a unit, or 0 when it is none. */
static uint64_t unit_bytes(const char *unit, size_t length) {
    static const char prefixes[] = "kmgtp";
    uint64_t decimal = 1, binary = 1;

    if (length == 0 || divvy_core_word_equal(unit, length, "b"))
        return 1;
    for (const char *prefix = prefixes; *prefix; prefix++) {
        char binary_word[] = {*prefix, 'i', 'b', '\0'};
        char decimal_word[] = {*prefix, 'b', '\0'};

        decimal *= 1000;
        binary *= 1024;
        if (divvy_core_word_equal(unit, length, binary_word) ||
            (length == 2 && divvy_core_word_equal(unit, 1, (char[]){*prefix, '\0'}) &&
             divvy_core_ascii_lower(unit[1]) == 'i'))
            return binary;
        if (divvy_core_word_equal(unit, length, decimal_word) ||
            (length == 1 && divvy_core_ascii_lower(unit[0]) == *prefix))
            return decimal;
    }
    return 0;
}

int divvy_core_size_parse(const char *text, size_t length, divvy_core_size_t *ret_size,
                          divvy_core_fault_t *ret_fault) {
    uint64_t value, unit;
    size_t used;
    int status = digits_read(text, length, &value, &used, ret_fault);

    if (status < 0)
        return status;
    if (used + 1 == length && text[used] == '%') {
        if (value > 100)
            return divvy_core_fault_set(ret_fault, -ERANGE, 0, "more than 100 percent");
        *ret_size = (divvy_core_size_t){DIVVY_CORE_SIZE_PERCENT, value};
        return 0;
    }
    unit = unit_bytes(text + used, length - used);
    if (unit == 0)
        return trailing_refuse(
            text, used, "unknown unit; use B, K, M, G, T, P, Ki, Mi, Gi, Ti, Pi or %", ret_fault);
    if (divvy_core_u64_mul(value, unit, &value) < 0)
        return divvy_core_fault_set(ret_fault, -ERANGE, 0, "the size is too large");
    *ret_size = (divvy_core_size_t){DIVVY_CORE_SIZE_BYTES, value};
    return 0;
}

uint64_t divvy_core_size_resolve(const divvy_core_size_t *size, uint64_t total_bytes) {
    return size->kind == DIVVY_CORE_SIZE_PERCENT
               ? divvy_core_u64_scale(total_bytes, size->value, 100)
               : size->value;
}
