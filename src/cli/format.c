/* Values and tables for people: see format.h. */
#include "cli/format.h"

#include <math.h>
#include <string.h>
#include <time.h>

static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};

static unsigned int unit_of(double bytes, double *ret_scale) {
    unsigned int unit = 0;

    *ret_scale = 1;
    /* From here on rounding would show four digits. */
    while (unit < 6 && bytes / *ret_scale >= 999.5) {
        *ret_scale *= 1024;
        unit++;
    }
    return unit;
}

/* Nothing has so many bytes, of whatever unit; what says so must not break a table. */
#define VALUE_MAX 1e9

/* One decimal where it says something: below 100, and not for whole numbers. */
static int scaled_print(char *text, size_t size_bytes, double value, unsigned int unit) {
    bool whole = unit == 0 || value >= 99.95 || fabs(value - round(value)) < 1e-9;

    if (!(value < VALUE_MAX))
        value = VALUE_MAX;
    return snprintf(text, size_bytes, whole ? "%.0f" : "%.1f", value);
}

void divvy_cli_format_size(double bytes, char ret_text[DIVVY_CLI_VALUE_BYTES]) {
    double scale;
    unsigned int unit;
    int length;

    if (bytes < 0) {
        (void)snprintf(ret_text, DIVVY_CLI_VALUE_BYTES, "-");
        return;
    }
    unit = unit_of(bytes, &scale);
    length = scaled_print(ret_text, DIVVY_CLI_VALUE_BYTES, bytes / scale, unit);
    (void)snprintf(ret_text + length, DIVVY_CLI_VALUE_BYTES - (size_t)length, " %s", units[unit]);
}

void divvy_cli_format_used(double used_bytes, double limit_bytes,
                           char ret_text[DIVVY_CLI_VALUE_BYTES]) {
    char limit[DIVVY_CLI_VALUE_BYTES], used[DIVVY_CLI_VALUE_BYTES];
    double scale;
    unsigned int unit;

    if (used_bytes < 0 || limit_bytes < 0) {
        divvy_cli_format_size(used_bytes, used);
        divvy_cli_format_size(limit_bytes, limit);
        (void)snprintf(ret_text, DIVVY_CLI_VALUE_BYTES, "%.14s/%.14s", used, limit);
        return;
    }
    unit = unit_of(limit_bytes, &scale);
    divvy_cli_format_size(limit_bytes, limit);
    (void)scaled_print(used, sizeof used, used_bytes / scale, unit);
    (void)snprintf(ret_text, DIVVY_CLI_VALUE_BYTES, "%.14s/%.14s", used, limit);
}

void divvy_cli_format_duration(double seconds, char ret_text[DIVVY_CLI_VALUE_BYTES]) {
    double minutes = floor(seconds / 60), hours = floor(seconds / 3600);
    double days = floor(seconds / 86400);

    if (seconds < 0)
        (void)snprintf(ret_text, DIVVY_CLI_VALUE_BYTES, "-");
    else if (seconds == 0)
        (void)snprintf(ret_text, DIVVY_CLI_VALUE_BYTES, "0s");
    else if (seconds < 0.9995)
        (void)snprintf(ret_text, DIVVY_CLI_VALUE_BYTES, "%.0fms", ceil(seconds * 1000));
    else if (seconds < 9.95)
        (void)snprintf(ret_text, DIVVY_CLI_VALUE_BYTES, "%.1fs", seconds);
    else if (seconds < 59.5)
        (void)snprintf(ret_text, DIVVY_CLI_VALUE_BYTES, "%.0fs", seconds);
    else if (hours < 1)
        (void)snprintf(ret_text, DIVVY_CLI_VALUE_BYTES, "%.0fm%02.0fs", fmax(minutes, 1),
                       minutes < 1 ? 0 : floor(seconds - minutes * 60));
    else if (days < 1)
        (void)snprintf(ret_text, DIVVY_CLI_VALUE_BYTES, "%.0fh%02.0fm", hours,
                       minutes - hours * 60);
    else if (days < 100)
        (void)snprintf(ret_text, DIVVY_CLI_VALUE_BYTES, "%.0fd%02.0fh", days, hours - days * 24);
    else
        (void)snprintf(ret_text, DIVVY_CLI_VALUE_BYTES, days < 99999 ? "%.0fd" : "long", days);
}

void divvy_cli_format_percent(double percent, char ret_text[DIVVY_CLI_VALUE_BYTES]) {
    if (percent < 0)
        (void)snprintf(ret_text, DIVVY_CLI_VALUE_BYTES, "-");
    else if (percent > 9999)
        (void)snprintf(ret_text, DIVVY_CLI_VALUE_BYTES, ">9999%%");
    else
        (void)snprintf(ret_text, DIVVY_CLI_VALUE_BYTES,
                       fabs(percent - round(percent)) < 0.05 || percent >= 99.95 ? "%.0f%%"
                                                                                 : "%.1f%%",
                       percent);
}

void divvy_cli_format_asked(double percent, bool soft, char ret_text[DIVVY_CLI_VALUE_BYTES]) {
    size_t length;

    divvy_cli_format_percent(percent, ret_text);
    length = strlen(ret_text);
    if (percent >= 0 && soft)
        (void)snprintf(ret_text + length, DIVVY_CLI_VALUE_BYTES - length, "+");
}

void divvy_cli_format_time(double seconds, char ret_text[DIVVY_CLI_VALUE_BYTES]) {
    struct tm parts;
    time_t whole = (time_t)seconds;

    if (seconds < 0 || seconds > 4e9 || !localtime_r(&whole, &parts) ||
        strftime(ret_text, DIVVY_CLI_VALUE_BYTES, "%Y-%m-%d %H:%M:%S", &parts) == 0)
        (void)snprintf(ret_text, DIVVY_CLI_VALUE_BYTES, "-");
}

/* ---- colours ---- */

enum divvy_tint divvy_cli_tint_state(const char *state) {
    if (strcmp(state, "running") == 0)
        return DIVVY_TINT_GOOD;
    if (strcmp(state, "frozen") == 0 || strcmp(state, "saved") == 0 || strcmp(state, "asleep") == 0)
        return DIVVY_TINT_WARN;
    return DIVVY_TINT_DIM;
}
