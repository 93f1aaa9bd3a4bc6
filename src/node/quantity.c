/* Quantities as Kubernetes writes them: see quantity.h. */
#include "node/quantity.h"

#include "core/parse.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NANO         1000000000u
#define DIGITS_MAX   38u /* of the number: 10^38 fits 128 bits */
#define EXPONENT_MAX 60u

typedef unsigned __int128 wide_t;

/* digits * 10^exponent, digits below 10^DIGITS_MAX. */
struct number {
    wide_t digits;
    int exponent;
};

static bool is_digit(char byte) {
    return byte >= '0' && byte <= '9';
}

/* The digits at the start; how many bytes they take, or 0 with the fault. */
static size_t number_read(const char *text, size_t length, struct number *ret, divvy_core_fault_t *fault) {
    size_t i = 0, count = 0, significant = 0;
    bool in_fraction = false;

    *ret = (struct number){0, 0};
    for (; i < length && (is_digit(text[i]) || (text[i] == '.' && !in_fraction)); i++) {
        if (text[i] == '.') {
            in_fraction = true;
            continue;
        }
        count++;
        if (significant > 0 || text[i] != '0')
            significant++;
        if (significant > DIGITS_MAX) {
            (void)divvy_core_fault_set(fault, -ERANGE, i, "the number has too many digits");
            return 0;
        }
        ret->digits = ret->digits * 10 + (unsigned int)(text[i] - '0');
        ret->exponent -= in_fraction;
    }
    if (count == 0) {
        (void)divvy_core_fault_set(fault, -EINVAL, 0,
                                   length && text[0] == '-' ? "a negative number is not accepted" : "a number is needed");
        return 0;
    }
    return i;
}

/* 'e' or 'E' and a number: whether the whole range is such an exponent. */
static bool exponent_read(const char *text, size_t length, int *ret_exponent) {
    bool minus = length > 1 && text[1] == '-', sign = length > 1 && (minus || text[1] == '+');
    uint64_t value;

    if (length < 2 || (text[0] != 'e' && text[0] != 'E') ||
        divvy_core_u64_parse(text + 1 + sign, length - 1 - sign, &value, NULL) < 0 || value > EXPONENT_MAX)
        return false;
    *ret_exponent = minus ? -(int)value : (int)value;
    return true;
}

/* The unit: a power of ten and a power of two. */
static int unit_read(const char *text, size_t length, int *ret_ten, unsigned int *ret_two) {
    static const struct {
        char unit[4];
        int ten;
        unsigned int two;
    } units[] = {{"", 0, 0},    {"n", -9, 0},  {"u", -6, 0},  {"m", -3, 0},  {"k", 3, 0},   {"M", 6, 0},   {"G", 9, 0},
                 {"T", 12, 0},  {"P", 15, 0},  {"E", 18, 0},  {"Ki", 0, 10}, {"Mi", 0, 20}, {"Gi", 0, 30}, {"Ti", 0, 40},
                 {"Pi", 0, 50}, {"Ei", 0, 60}, {"ki", 0, 10}, {"mi", 0, 20}, {"gi", 0, 30}, {"ti", 0, 40}, {"pi", 0, 50}};
    size_t bare = length > 0 && text[length - 1] == 'B' ? length - 1 : length;

    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strlen(units[i].unit) != bare || memcmp(units[i].unit, text, bare) != 0 || (bare < length && units[i].ten < 0))
            continue;
        *ret_ten = units[i].ten;
        *ret_two = units[i].two;
        return 0;
    }
    return -EINVAL;
}

/* digits * 10^exponent * 2^two in nano, rounded up; UINT64_MAX units and more do not fit. */
static int nano_of(struct number number, unsigned int two, wide_t *ret_nano) {
    const wide_t limit = (wide_t)UINT64_MAX * NANO + (NANO - 1);
    wide_t value = number.digits;
    bool rest = false;
    int exponent = number.exponent + 9;

    /* twos first while there is room, since dividing by ten then loses nothing that it need not */
    for (; two > 0 && value <= ~(wide_t)0 / 2; two--)
        value *= 2;
    for (; exponent < 0 && value > 0; exponent++) {
        rest |= value % 10 != 0;
        value /= 10;
        for (; two > 0 && value <= ~(wide_t)0 / 2; two--)
            value *= 2;
    }
    if (two > 0 && value > 0)
        return -ERANGE;
    for (; exponent > 0 && value > 0; exponent--) {
        if (value > limit / 10)
            return -ERANGE;
        value *= 10;
    }
    if (value > limit - rest)
        return -ERANGE;
    *ret_nano = value + rest;
    return 0;
}

int divvy_node_quantity_parse(const char *text, size_t length, divvy_node_quantity_t *ret_quantity, divvy_core_fault_t *ret_fault) {
    divvy_core_fault_t fault = {0, NULL};
    struct number number;
    size_t used = number_read(text, length, &number, &fault);
    unsigned int two = 0;
    int ten = 0;
    wide_t nano;

    if (used == 0) {
        if (ret_fault)
            *ret_fault = fault;
        return fault.reason && fault.position > 0 ? -ERANGE : -EINVAL;
    }
    if (!exponent_read(text + used, length - used, &ten) && unit_read(text + used, length - used, &ten, &two) < 0)
        return divvy_core_fault_set(ret_fault, -EINVAL, used, "unknown unit; use n, u, m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi or Ei");
    number.exponent += ten;
    if (nano_of(number, two, &nano) < 0)
        return divvy_core_fault_set(ret_fault, -ERANGE, 0, "the quantity is too large");
    *ret_quantity = (divvy_node_quantity_t){(uint64_t)(nano / NANO), (uint32_t)(nano % NANO)};
    return 0;
}

int divvy_node_quantity_bytes_parse(const char *text, size_t length, uint64_t *ret_bytes, divvy_core_fault_t *ret_fault) {
    divvy_node_quantity_t quantity;
    int status;

    if (length > 0 && strchr("num", text[length - 1]) && text[length - 1])
        return divvy_core_fault_set(ret_fault, -EINVAL, length - 1,
                                    "parts of a byte are no size; mebibytes are Mi, megabytes M");
    status = divvy_node_quantity_parse(text, length, &quantity, ret_fault);
    if (status < 0)
        return status;
    if (quantity.nano)
        return divvy_core_fault_set(ret_fault, -EINVAL, 0, "not a whole number of bytes");
    *ret_bytes = quantity.whole;
    return 0;
}

bool divvy_node_quantity_is_zero(divvy_node_quantity_t quantity) {
    return quantity.whole == 0 && quantity.nano == 0;
}

double divvy_node_quantity_value(divvy_node_quantity_t quantity) {
    return (double)quantity.whole + (double)quantity.nano / NANO;
}

int divvy_node_quantity_compare(divvy_node_quantity_t a, divvy_node_quantity_t b) {
    if (a.whole != b.whole)
        return a.whole < b.whole ? -1 : 1;
    return a.nano == b.nano ? 0 : a.nano < b.nano ? -1 : 1;
}

void divvy_node_quantity_format(divvy_node_quantity_t quantity, char ret_text[DIVVY_NODE_QUANTITY_TEXT_BYTES]) {
    static const char *const binary[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
    static const char *const parts[] = {"n", "u", "m"};
    wide_t value = quantity.nano ? (wide_t)quantity.whole * NANO + quantity.nano : quantity.whole;
    char digits[DIVVY_NODE_QUANTITY_TEXT_BYTES];
    size_t unit = 0, at = sizeof digits;

    if (quantity.nano)
        for (; unit < 2 && value % 1000 == 0; unit++)
            value /= 1000;
    else
        for (; unit < 6 && value > 0 && value % 1024 == 0; unit++)
            value /= 1024;
    digits[--at] = '\0';
    do
        digits[--at] = (char)('0' + (char)(value % 10));
    while ((value /= 10) > 0);
    (void)snprintf(ret_text, DIVVY_NODE_QUANTITY_TEXT_BYTES, "%.30s%s", digits + at, quantity.nano ? parts[unit] : binary[unit]);
}
