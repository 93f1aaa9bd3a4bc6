/* Latencies: see latency.h. */
#include "mig/runner/latency.h"

#include "core/checked.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define MS UINT64_C(1000000)

const uint64_t divvy_runner_bucket_ns[DIVVY_RUNNER_BUCKETS] = {
    5 * MS, 10 * MS, 25 * MS, 50 * MS, 100 * MS, 250 * MS, 500 * MS, 1000 * MS, 2500 * MS, 5000 * MS, 10000 * MS};

void divvy_runner_latency_add(struct divvy_runner_latency *latency, uint64_t duration_ns) {
    size_t bucket = 0;

    while (bucket < DIVVY_RUNNER_BUCKETS && duration_ns > divvy_runner_bucket_ns[bucket])
        bucket++;
    latency->buckets[bucket]++;
    latency->count++;
    latency->sum_ns = divvy_core_u64_add_saturated(latency->sum_ns, duration_ns);
}

/* A decimal number taken apart: digits * 10^exponent, digits of up to 18 places. */
struct decimal {
    uint64_t digits;
    int exponent;
    bool any;
};

/* Takes the digits at *at; behind the point each lowers the exponent. */
static void digits_take(struct decimal *d, const char *text, size_t length, size_t *at, int step) {
    for (; *at < length && text[*at] >= '0' && text[*at] <= '9'; (*at)++) {
        d->any = true;
        if (d->digits < UINT64_C(100000000000000000)) {
            d->digits = d->digits * 10 + (uint64_t)(text[*at] - '0');
            d->exponent -= step;
        } else if (step == 0) {
            d->exponent++; /* places that are beyond what is kept */
        }
    }
}

/* "e-05": 0 or -EINVAL. Beyond a thousand it says no more than that. */
static int exponent_take(struct decimal *d, const char *text, size_t length, size_t *at) {
    bool negative = false;
    int value = 0;
    size_t begin;

    if (*at >= length || (text[*at] != 'e' && text[*at] != 'E'))
        return 0;
    (*at)++;
    if (*at < length && (text[*at] == '-' || text[*at] == '+'))
        negative = text[(*at)++] == '-';
    begin = *at;
    for (; *at < length && text[*at] >= '0' && text[*at] <= '9'; (*at)++)
        value = value < 1000 ? value * 10 + (text[*at] - '0') : value;
    d->exponent += negative ? -value : value;
    return *at > begin ? 0 : -EINVAL;
}

int divvy_runner_seconds_parse(const char *text, size_t length, uint64_t *ret_ns) {
    struct decimal d = {0};
    size_t at = 0;

    if (length > 64)
        return -EINVAL;
    digits_take(&d, text, length, &at, 0);
    if (at < length && text[at] == '.') {
        at++;
        digits_take(&d, text, length, &at, 1);
    }
    if (!d.any || exponent_take(&d, text, length, &at) < 0 || at != length)
        return -EINVAL;
    for (d.exponent += 9; d.exponent < 0 && d.digits > 0; d.exponent++)
        d.digits /= 10;
    for (; d.exponent > 0 && d.digits > 0; d.exponent--)
        if (divvy_core_u64_mul(d.digits, 10, &d.digits) < 0)
            return -ERANGE;
    if (d.digits > DIVVY_RUNNER_LATENCY_MAX_NS)
        return -ERANGE;
    *ret_ns = d.digits;
    return 0;
}

static void line_take(struct divvy_runner_latency *latency, const char *line, size_t length) {
    static const char word[] = "latency ";
    uint64_t duration_ns;

    if (length == 0)
        return;
    if (length == 5 && memcmp(line, "error", 5) == 0) {
        latency->errors++;
    } else if (length >= sizeof word && memcmp(line, word, sizeof word - 1) == 0 &&
             divvy_runner_seconds_parse(line + sizeof word - 1, length - (sizeof word - 1), &duration_ns) == 0) {
        latency->told++;
        divvy_runner_latency_add(latency, duration_ns);
    } else {
        latency->refused++;
    }
}

void divvy_runner_latency_take(struct divvy_runner_latency *latency, const char *datagram, size_t length) {
    while (length > 0) {
        const char *end = memchr(datagram, '\n', length);
        size_t line = end ? (size_t)(end - datagram) : length;
        size_t used = end ? line + 1 : line;

        if (line > 0 && datagram[line - 1] == '\r')
            line_take(latency, datagram, line - 1);
        else
            line_take(latency, datagram, line);
        datagram += used;
        length -= used;
    }
}
