/* Values and tables for people: see format.h. */
#include "cli/format.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

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

const char *divvy_cli_tint_code(enum divvy_cli_tint tint) {
    static const char *const codes[DIVVY_CLI_TINT_MAX] = {"\033[0m", "\033[32m", "\033[33m",
                                                          "\033[31m", "\033[2m"};

    return codes[tint];
}

enum divvy_cli_tint divvy_cli_tint_state(const char *state) {
    if (strcmp(state, "running") == 0)
        return DIVVY_CLI_TINT_GOOD;
    if (strcmp(state, "frozen") == 0 || strcmp(state, "saved") == 0)
        return DIVVY_CLI_TINT_WARN;
    return DIVVY_CLI_TINT_DIM;
}

unsigned int divvy_cli_format_width(FILE *out) {
    struct winsize size;

    if (!isatty(fileno(out)))
        return 0;
    if (ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return 80;
}

bool divvy_cli_format_colour(FILE *out) {
    const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");

    return (!no_colour || !no_colour[0]) && term && term[0] && strcmp(term, "dumb") != 0 &&
           isatty(fileno(out));
}

/* ---- tables ---- */

struct cell {
    char *text;
    enum divvy_cli_tint tint;
};

struct divvy_cli_table {
    const struct divvy_cli_column *columns;
    unsigned int column_count;
    size_t count, room;
    struct cell *cells;
    bool dropped;
};

struct divvy_cli_table *divvy_cli_table_new(const struct divvy_cli_column *columns,
                                            unsigned int column_count) {
    struct divvy_cli_table *table = calloc(1, sizeof *table);

    if (table) {
        table->columns = columns;
        table->column_count = column_count;
    }
    return table;
}

void divvy_cli_table_free(struct divvy_cli_table *table) {
    if (!table)
        return;
    for (size_t i = 0; i < table->count; i++)
        free(table->cells[i].text);
    free(table->cells);
    free(table);
}

void divvy_cli_table_add(struct divvy_cli_table *table, const char *text,
                         enum divvy_cli_tint tint) {
    char *copy = strdup(text);

    if (copy && table->count == table->room) {
        size_t room = table->room ? table->room * 2 : 64;
        struct cell *cells = reallocarray(table->cells, room, sizeof *cells);

        if (!cells) {
            free(copy);
            copy = NULL;
        } else {
            table->cells = cells;
            table->room = room;
        }
    }
    if (!copy) {
        table->dropped = true;
        return;
    }
    table->cells[table->count].text = copy;
    table->cells[table->count].tint = tint;
    table->count++;
}

#define COLUMNS_MAX        16
#define FIRST_COLUMN_LEAST 8

/* How wide each column is, and the gap between them. */
static unsigned int widths_choose(const struct divvy_cli_table *table, unsigned int width,
                                  unsigned int *ret_widths) {
    unsigned int total = 0, gap = 2, columns = table->column_count;

    for (unsigned int c = 0; c < columns; c++)
        ret_widths[c] = (unsigned int)strlen(table->columns[c].title);
    for (size_t i = 0; i < table->count; i++) {
        unsigned int length = (unsigned int)strlen(table->cells[i].text);

        if (length > ret_widths[i % columns])
            ret_widths[i % columns] = length;
    }
    for (unsigned int c = 0; c < columns; c++)
        total += ret_widths[c];
    if (width == 0)
        return gap;
    if (total + gap * (columns - 1) > width)
        gap = 1;
    total += gap * (columns - 1);
    if (total > width) {
        unsigned int over = total - width, first = ret_widths[0];

        if (first > FIRST_COLUMN_LEAST)
            ret_widths[0] = first > over + FIRST_COLUMN_LEAST ? first - over : FIRST_COLUMN_LEAST;
    }
    return gap;
}

/* A line in the making: blanks are held back until something follows, so that none ends a line. */
struct line {
    FILE *out;
    unsigned int blanks;
};

static void cell_print(struct line *line, const char *text, unsigned int width, bool right,
                       enum divvy_cli_tint tint, bool colour) {
    unsigned int length = (unsigned int)strlen(text), shown = length > width ? width - 1 : length;
    unsigned int padding = length > width ? 0 : width - length;
    bool tinted = colour && tint != DIVVY_CLI_TINT_NONE;

    line->blanks += right ? padding : 0;
    if (length > 0) {
        (void)fprintf(line->out, "%*s%s%.*s%s%s", (int)line->blanks, "",
                      tinted ? divvy_cli_tint_code(tint) : "", (int)shown, text,
                      length > width ? "~" : "",
                      tinted ? divvy_cli_tint_code(DIVVY_CLI_TINT_NONE) : "");
        line->blanks = 0;
    }
    line->blanks += right ? 0 : padding;
}

int divvy_cli_table_print(const struct divvy_cli_table *table, FILE *out, unsigned int width,
                          bool colour) {
    unsigned int widths[COLUMNS_MAX] = {0}, columns = table->column_count, gap;
    struct line line = {.out = out};

    if (columns == 0 || columns > COLUMNS_MAX)
        return -EINVAL;
    /* Without one cell all that follow would stand in wrong columns. */
    if (table->dropped)
        return -ENOMEM;
    gap = widths_choose(table, width, widths);
    for (size_t i = 0; i < table->count + columns; i++) {
        unsigned int c = (unsigned int)(i % columns);
        struct cell title = {(char *)table->columns[c].title, DIVVY_CLI_TINT_NONE};
        const struct cell *cell = i < columns ? &title : &table->cells[i - columns];

        cell_print(&line, cell->text, widths[c], table->columns[c].right, cell->tint, colour);
        line.blanks += gap;
        if (c + 1 == columns) {
            (void)fputc('\n', out);
            line.blanks = 0;
        }
    }
    return 0;
}
