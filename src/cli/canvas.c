/* A screen as an array of cells: see canvas.h. */
#include "cli/canvas.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SIDE_MAX 1000u

int divvy_cli_canvas_init(struct divvy_cli_canvas *canvas, unsigned int columns,
                          unsigned int lines) {
    size_t cells;

    columns = columns > SIDE_MAX ? SIDE_MAX : columns;
    lines = lines > SIDE_MAX ? SIDE_MAX : lines;
    cells = (size_t)columns * lines;
    *canvas = (struct divvy_cli_canvas){
        .columns = columns,
        .lines = lines,
        .characters = malloc(cells + 1),
        .attributes = calloc(cells + 1, 1),
    };
    if (!canvas->characters || !canvas->attributes) {
        divvy_cli_canvas_done(canvas);
        return -ENOMEM;
    }
    memset(canvas->characters, ' ', cells);
    return 0;
}

void divvy_cli_canvas_done(struct divvy_cli_canvas *canvas) {
    free(canvas->characters);
    free(canvas->attributes);
    *canvas = (struct divvy_cli_canvas){0};
}

unsigned int divvy_cli_canvas_put(struct divvy_cli_canvas *canvas, unsigned int line,
                                  unsigned int column, unsigned int attributes, const char *text) {
    for (; *text; text++, column++)
        if (line < canvas->lines && column < canvas->columns) {
            size_t at = (size_t)line * canvas->columns + column;

            canvas->characters[at] = *text >= ' ' && *text <= '~' ? *text : '?';
            canvas->attributes[at] = (unsigned char)attributes;
        }
    return column;
}

void divvy_cli_canvas_put_right(struct divvy_cli_canvas *canvas, unsigned int line,
                                unsigned int end, unsigned int attributes, const char *text) {
    size_t length = strlen(text);

    if (length > end)
        text += length - end;
    (void)divvy_cli_canvas_put(canvas, line, length > end ? 0 : end - (unsigned int)length,
                               attributes, text);
}

void divvy_cli_canvas_mark(struct divvy_cli_canvas *canvas, unsigned int line,
                           unsigned int attributes) {
    if (line >= canvas->lines)
        return;
    for (unsigned int column = 0; column < canvas->columns; column++)
        canvas->attributes[(size_t)line * canvas->columns + column] |= (unsigned char)attributes;
}

void divvy_cli_canvas_bar(struct divvy_cli_canvas *canvas, unsigned int line, unsigned int column,
                          unsigned int width, double share, const char *text) {
    unsigned int inside = width > 2 ? width - 2 : 0, full;
    enum divvy_tint tint = share > 0.95   ? DIVVY_TINT_BAD
                               : share > 0.75 ? DIVVY_TINT_WARN
                                              : DIVVY_TINT_GOOD;

    share = share < 0 ? 0 : share > 1 ? 1 : share;
    full = (unsigned int)(share * inside + 0.5);
    (void)divvy_cli_canvas_put(canvas, line, column, DIVVY_CLI_BOLD, "[");
    for (unsigned int i = 0; i < inside; i++)
        (void)divvy_cli_canvas_put(canvas, line, column + 1 + i, i < full ? tint : 0,
                                   i < full ? "|" : " ");
    (void)divvy_cli_canvas_put(canvas, line, column + 1 + inside, DIVVY_CLI_BOLD, "]");
    if (strlen(text) <= inside)
        divvy_cli_canvas_put_right(canvas, line, column + 1 + inside, 0, text);
}

/* ---- writing ---- */

struct sink {
    char *bytes;
    size_t length, room;
    bool failed;
};

static void add(struct sink *sink, const char *bytes, size_t length) {
    if (sink->length + length + 1 > sink->room) {
        size_t room = (sink->length + length + 1) * 2;
        char *grown = realloc(sink->bytes, room);

        if (!grown) {
            sink->failed = true;
            return;
        }
        sink->bytes = grown;
        sink->room = room;
    }
    memcpy(sink->bytes + sink->length, bytes, length);
    sink->length += length;
    sink->bytes[sink->length] = '\0';
}

static void add_text(struct sink *sink, const char *text) {
    add(sink, text, strlen(text));
}

static void attributes_switch(struct sink *sink, unsigned char attributes) {
    add_text(sink, divvy_tint_code(DIVVY_TINT_NONE));
    if ((attributes & 0xf) != DIVVY_TINT_NONE)
        add_text(sink, divvy_tint_code((enum divvy_tint)(attributes & 0xf)));
    if (attributes & DIVVY_CLI_BOLD)
        add_text(sink, "\033[1m");
    if (attributes & DIVVY_CLI_REVERSE)
        add_text(sink, "\033[7m");
}

static void line_add(struct sink *sink, const char *characters, const unsigned char *attributes,
                     unsigned int length, unsigned char kept) {
    unsigned char now = 0;

    for (unsigned int i = 0; i < length; i++) {
        unsigned char wanted = attributes[i] & kept;

        if (wanted != now)
            attributes_switch(sink, wanted);
        now = wanted;
        add(sink, &characters[i], 1);
    }
    if (now != 0)
        attributes_switch(sink, 0);
}

char *divvy_cli_canvas_text(const struct divvy_cli_canvas *canvas, bool screen, bool colour,
                            size_t *ret_length) {
    struct sink sink = {0};
    unsigned char kept = (unsigned char)(colour ? 0xff : screen ? DIVVY_CLI_REVERSE : 0);
    size_t trimmed = 0;

    add_text(&sink, screen ? "\033[H" : "");
    for (unsigned int line = 0; line < canvas->lines; line++) {
        size_t at = (size_t)line * canvas->columns;
        unsigned int length = canvas->columns;

        while (length > 0 && canvas->characters[at + length - 1] == ' ' &&
               (!screen || !(canvas->attributes[at + length - 1] & DIVVY_CLI_REVERSE)))
            length--;
        line_add(&sink, canvas->characters + at, canvas->attributes + at, length, kept);
        /* Behind a full line the cursor still stands on its last character. */
        if (screen && length < canvas->columns)
            add_text(&sink, "\033[K");
        if (!screen || line + 1 < canvas->lines)
            add_text(&sink, screen ? "\r\n" : "\n");
        if (length > 0)
            trimmed = sink.length;
    }
    if (!screen && sink.bytes) {
        sink.length = trimmed;
        sink.bytes[trimmed] = '\0';
    }
    if (sink.failed || !sink.bytes) {
        free(sink.bytes);
        return NULL;
    }
    *ret_length = sink.length;
    return sink.bytes;
}
