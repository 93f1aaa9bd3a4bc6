/*
 * Values and tables as people read them. Pure: text goes into the caller's buffer, is plain ASCII
 * and always ends in NUL. Unknown values (below 0) are "-".
 */
#ifndef DIVVY_CLI_FORMAT_H
#define DIVVY_CLI_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define DIVVY_CLI_VALUE_BYTES 32

/* "640 KiB", "7.8 GiB", "8 GiB": three digits at most before the unit. */
void divvy_cli_format_size(double bytes, char ret_text[DIVVY_CLI_VALUE_BYTES]);

/* Two sizes in the unit of the second: "1.2/8 GiB"; without a limit "1.2 GiB/-". */
void divvy_cli_format_used(double used_bytes, double limit_bytes,
                           char ret_text[DIVVY_CLI_VALUE_BYTES]);

/* At most 6 characters: "12ms", "3.4s", "5m12s", "2h05m", "3d04h", "120d". */
void divvy_cli_format_duration(double seconds, char ret_text[DIVVY_CLI_VALUE_BYTES]);

/* "30%", "29.7%", "0.4%". */
void divvy_cli_format_percent(double percent, char ret_text[DIVVY_CLI_VALUE_BYTES]);

/* The asked share: "30%", "30%+" when soft (may be exceeded), "-" without a cap. */
void divvy_cli_format_asked(double percent, bool soft, char ret_text[DIVVY_CLI_VALUE_BYTES]);

/* Local time "2026-11-28 10:11:12". */
void divvy_cli_format_time(double seconds, char ret_text[DIVVY_CLI_VALUE_BYTES]);

/* ---- tables ---- */

struct divvy_cli_column {
    const char *title;
    bool right; /* aligned to the right */
};

/* Attributes of a cell, when the table is printed with colours. */
enum divvy_cli_tint {
    DIVVY_CLI_TINT_NONE,
    DIVVY_CLI_TINT_GOOD,
    DIVVY_CLI_TINT_WARN,
    DIVVY_CLI_TINT_BAD,
    DIVVY_CLI_TINT_DIM,
    DIVVY_CLI_TINT_MAX,
};

/* The escape sequence that switches to a tint; the one of NONE switches all off. */
const char *divvy_cli_tint_code(enum divvy_cli_tint tint);

enum divvy_cli_tint divvy_cli_tint_state(const char *state);

struct divvy_cli_table;

/* Columns are borrowed. NULL: no memory. */
struct divvy_cli_table *divvy_cli_table_new(const struct divvy_cli_column *columns,
                                            unsigned int column_count);
void divvy_cli_table_free(struct divvy_cli_table *table);

/* The next cell, row by row; the text is copied. Lack of memory shows when it is printed. */
void divvy_cli_table_add(struct divvy_cli_table *table, const char *text, enum divvy_cli_tint tint);

/*
 * Prints it: a line of titles, then the rows, columns two blanks apart. Where `width` (0: no
 * bound) is not enough, the first column is cut down to 8 characters, ending in '~', and the gaps
 * to one blank. 0, or -ENOMEM when there was no memory for a cell (nothing is printed then).
 */
int divvy_cli_table_print(const struct divvy_cli_table *table, FILE *out, unsigned int width,
                          bool colour);

/* Columns of the terminal behind a stream, 0 when it is none. */
unsigned int divvy_cli_format_width(FILE *out);

/* Whether a stream is a terminal that wants colours: NO_COLOR is not set, TERM is not dumb. */
bool divvy_cli_format_colour(FILE *out);

#endif
