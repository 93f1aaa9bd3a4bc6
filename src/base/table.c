/* Tables for people: see table.h. */
#include "base/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* ---- colours ---- */

const char *divvy_tint_code(enum divvy_tint tint) {
    static const char *const codes[DIVVY_TINT_MAX] = {"\033[0m", "\033[32m", "\033[33m", "\033[31m",
                                                      "\033[2m"};

    return codes[tint];
}

unsigned int divvy_table_width(FILE *out) {
    struct winsize size;

    if (!isatty(fileno(out)))
        return 0;
    if (ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return 80;
}

bool divvy_table_colour(FILE *out) {
    const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");

    return (!no_colour || !no_colour[0]) && term && term[0] && strcmp(term, "dumb") != 0 &&
           isatty(fileno(out));
}

/* ---- tables ---- */

struct cell {
    char *text;
    enum divvy_tint tint;
};

struct divvy_table {
    const struct divvy_table_column *columns;
    unsigned int column_count;
    size_t count, room;
    struct cell *cells;
    bool dropped;
};

struct divvy_table *divvy_table_new(const struct divvy_table_column *columns,
                                    unsigned int column_count) {
    struct divvy_table *table = calloc(1, sizeof *table);

    if (table) {
        table->columns = columns;
        table->column_count = column_count;
    }
    return table;
}

void divvy_table_free(struct divvy_table *table) {
    if (!table)
        return;
    for (size_t i = 0; i < table->count; i++)
        free(table->cells[i].text);
    free(table->cells);
    free(table);
}

void divvy_table_add(struct divvy_table *table, const char *text, enum divvy_tint tint) {
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
static unsigned int widths_choose(const struct divvy_table *table, unsigned int width,
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
                       enum divvy_tint tint, bool colour) {
    unsigned int length = (unsigned int)strlen(text), shown = length > width ? width - 1 : length;
    unsigned int padding = length > width ? 0 : width - length;
    bool tinted = colour && tint != DIVVY_TINT_NONE;

    line->blanks += right ? padding : 0;
    if (length > 0) {
        (void)fprintf(line->out, "%*s%s%.*s%s%s", (int)line->blanks, "",
                      tinted ? divvy_tint_code(tint) : "", (int)shown, text,
                      length > width ? "~" : "", tinted ? divvy_tint_code(DIVVY_TINT_NONE) : "");
        line->blanks = 0;
    }
    line->blanks += right ? 0 : padding;
}

int divvy_table_print(const struct divvy_table *table, FILE *out, unsigned int width, bool colour) {
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
        struct cell title = {(char *)table->columns[c].title, DIVVY_TINT_NONE};
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

void divvy_text_clean(const char *text, char *ret_clean, size_t size_bytes) {
    size_t length = 0;

    for (; text[length] && length + 1 < size_bytes; length++)
        ret_clean[length] = text[length] >= ' ' && text[length] <= '~' ? text[length] : '?';
    ret_clean[length] = '\0';
}
