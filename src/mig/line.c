/* The line of a lock file: see line.h. */
#include "mig/line.h"

#include "core/parse.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct cursor {
    const char *at, *end;
};

static bool byte_take(struct cursor *cursor, const char *accepted) {
    if (cursor->at == cursor->end || *cursor->at == '\0' || !strchr(accepted, *cursor->at))
        return false;
    cursor->at++;
    return true;
}

static bool word_take(struct cursor *cursor, const char *word) {
    size_t length = strlen(word);

    if ((size_t)(cursor->end - cursor->at) < length || memcmp(cursor->at, word, length) != 0)
        return false;
    cursor->at += length;
    return true;
}

static size_t digits_count(const struct cursor *cursor) {
    const char *at = cursor->at;

    while (at < cursor->end && *at >= '0' && *at <= '9')
        at++;
    return (size_t)(at - cursor->at);
}

/* Exactly `digits` digits, a number from min to max. */
static bool number_take(struct cursor *cursor, size_t digits, int min, int max, int *ret_number) {
    uint64_t value;

    if (digits_count(cursor) < digits || divvy_core_u64_parse(cursor->at, digits, &value, NULL) < 0 ||
        value < (uint64_t)min || value > (uint64_t)max)
        return false;
    cursor->at += digits;
    *ret_number = (int)value;
    return true;
}

static bool day_exists(int year, int month, int day) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return day <= days[month - 1] + (month == 2 && is_leap);
}

/* "Z", or the offset of the place, in seconds. */
static bool offset_take(struct cursor *cursor, int *ret_seconds) {
    bool is_west = cursor->at < cursor->end && *cursor->at == '-';
    int hours, minutes;

    if (byte_take(cursor, "Zz")) {
        *ret_seconds = 0;
        return true;
    }
    if (!byte_take(cursor, "+-") || !number_take(cursor, 2, 0, 23, &hours) || !byte_take(cursor, ":") ||
        !number_take(cursor, 2, 0, 59, &minutes))
        return false;
    *ret_seconds = (hours * 60 + minutes) * (is_west ? -60 : 60);
    return true;
}

static bool time_take(struct cursor *cursor, int64_t *ret_realtime_s) {
    struct tm utc = {0};
    int year, month, offset;

    if (!number_take(cursor, 4, 0, 9999, &year) || !byte_take(cursor, "-") || !number_take(cursor, 2, 1, 12, &month) ||
        !byte_take(cursor, "-") || !number_take(cursor, 2, 1, 31, &utc.tm_mday) || !byte_take(cursor, "Tt ") ||
        !number_take(cursor, 2, 0, 23, &utc.tm_hour) || !byte_take(cursor, ":") ||
        !number_take(cursor, 2, 0, 59, &utc.tm_min) || !byte_take(cursor, ":") ||
        !number_take(cursor, 2, 0, 60, &utc.tm_sec) || !day_exists(year, month, utc.tm_mday))
        return false;
    if (byte_take(cursor, ".")) {
        size_t digits = digits_count(cursor);

        if (digits == 0)
            return false;
        cursor->at += digits;
    }
    if (!offset_take(cursor, &offset))
        return false;
    utc.tm_year = year - 1900;
    utc.tm_mon = month - 1;
    *ret_realtime_s = (int64_t)timegm(&utc) - offset;
    return true;
}

int divvy_mig_line_parse(const char *text, size_t length, struct divvy_mig_line *ret_line) {
    struct cursor cursor = {text, text + length};
    struct divvy_mig_line line;
    uint64_t pid;
    size_t digits;

    if (!word_take(&cursor, "pid="))
        return -EINVAL;
    digits = digits_count(&cursor);
    if (divvy_core_u64_parse(cursor.at, digits, &pid, NULL) < 0 || pid == 0 || pid > INT32_MAX)
        return -EINVAL;
    cursor.at += digits;
    if (!word_take(&cursor, " ts=") || !time_take(&cursor, &line.realtime_s))
        return -EINVAL;
    (void)byte_take(&cursor, "\n");
    if (cursor.at != cursor.end)
        return -EINVAL;
    line.pid = (int32_t)pid;
    *ret_line = line;
    return 0;
}

size_t divvy_mig_line_format(const struct divvy_mig_line *line, char ret_text[DIVVY_MIG_LINE_BYTES]) {
    time_t seconds = (time_t)line->realtime_s;
    struct tm utc;
    int length;

    if (!gmtime_r(&seconds, &utc) || utc.tm_year < -1900 || utc.tm_year > 9999 - 1900)
        memset(&utc, 0, sizeof utc); /* a clock that is this wrong is not worth a failure */
    length = snprintf(ret_text, DIVVY_MIG_LINE_BYTES, "pid=%" PRId32 " ts=%04d-%02d-%02dT%02d:%02d:%02dZ\n", line->pid,
                      utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec);
    return (size_t)length < DIVVY_MIG_LINE_BYTES ? (size_t)length : DIVVY_MIG_LINE_BYTES - 1;
}
