/*
 * A screen as an array of cells: text is put anywhere and cut at the edges, and the whole is then
 * written as escape sequences or as plain text. ASCII only. Pure but for memory.
 */
#ifndef DIVVY_CLI_CANVAS_H
#define DIVVY_CLI_CANVAS_H

#include "cli/format.h"

#include <stdbool.h>
#include <stddef.h>

/* A tint, with these added. */
#define DIVVY_CLI_BOLD    0x10u
#define DIVVY_CLI_REVERSE 0x20u

struct divvy_cli_canvas {
    unsigned int columns, lines;
    char *characters;          /* columns * lines */
    unsigned char *attributes; /* the same */
};

/* Blank. Sizes are bounded by 1000 by 1000. -ENOMEM. */
int divvy_cli_canvas_init(struct divvy_cli_canvas *canvas, unsigned int columns,
                          unsigned int lines);
void divvy_cli_canvas_done(struct divvy_cli_canvas *canvas);

/* Puts text at a place; what lies outside is dropped. Returns the column behind it. */
unsigned int divvy_cli_canvas_put(struct divvy_cli_canvas *canvas, unsigned int line,
                                  unsigned int column, unsigned int attributes, const char *text);

/* Puts it so that it ends before column `end`; what does not fit goes off at the left. */
void divvy_cli_canvas_put_right(struct divvy_cli_canvas *canvas, unsigned int line,
                                unsigned int end, unsigned int attributes, const char *text);

/* Adds attributes to a whole line. */
void divvy_cli_canvas_mark(struct divvy_cli_canvas *canvas, unsigned int line,
                           unsigned int attributes);

/*
 * A bar "[|||||     text]" of `width` columns in all, filled to `share` (0 to 1; below 0: unknown,
 * empty). Its colour goes from good over warn to bad.
 */
void divvy_cli_canvas_bar(struct divvy_cli_canvas *canvas, unsigned int line, unsigned int column,
                          unsigned int width, double share, const char *text);

/*
 * The whole as one malloc'ed text of *ret_length bytes, NUL behind it; NULL: no memory. For a
 * screen it begins at home, clears what is behind each line, and has no line break at the end; else
 * lines end without blanks, and empty ones at the end are left out. Without colour no attribute is
 * used but for reverse on a screen.
 */
char *divvy_cli_canvas_text(const struct divvy_cli_canvas *canvas, bool screen, bool colour,
                            size_t *ret_length);

#endif
