/*
 * Tables as people read them on a terminal or in a pipe. Plain ASCII is expected in cells; text of
 * others goes through divvy_text_clean first.
 */
#ifndef DIVVY_BASE_TABLE_H
#define DIVVY_BASE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct divvy_table_column {
    const char *title;
    bool right; /* aligned to the right */
};

/* Attributes of a cell, when the table is printed with colours. */
enum divvy_tint {
    DIVVY_TINT_NONE,
    DIVVY_TINT_GOOD,
    DIVVY_TINT_WARN,
    DIVVY_TINT_BAD,
    DIVVY_TINT_DIM,
    DIVVY_TINT_MAX,
};

/* The escape sequence that switches to a tint; the one of NONE switches all off. */
const char *divvy_tint_code(enum divvy_tint tint);

struct divvy_table;

/* Columns are borrowed. NULL: no memory. */
struct divvy_table *divvy_table_new(const struct divvy_table_column *columns,
                                    unsigned int column_count);
void divvy_table_free(struct divvy_table *table);

/* The next cell, row by row; the text is copied. Lack of memory shows when it is printed. */
void divvy_table_add(struct divvy_table *table, const char *text, enum divvy_tint tint);

/*
 * Prints it: a line of titles, then the rows, columns two blanks apart. Where `width` (0: no
 * bound) is not enough, the first column is cut down to 8 characters, ending in '~', and the gaps
 * to one blank. 0, or -ENOMEM when there was no memory for a cell (nothing is printed then).
 */
int divvy_table_print(const struct divvy_table *table, FILE *out, unsigned int width, bool colour);

/* Columns of the terminal behind a stream, 0 when it is none. */
unsigned int divvy_table_width(FILE *out);

/* Whether a stream is a terminal that wants colours: NO_COLOR is not set, TERM is not dumb. */
bool divvy_table_colour(FILE *out);

/* Copies text for a terminal: what is not printable ASCII becomes '?'. Cut to the buffer. */
void divvy_text_clean(const char *text, char *ret_clean, size_t size_bytes);

#endif
