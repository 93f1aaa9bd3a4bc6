/* How the live view looks: see top.h. */
#include "cli/top.h"

#include <stdio.h>
#include <string.h>

#define LABEL_COLUMNS   6u   /* "GPU 0" */
#define HEALTH_COLUMNS  11u  /* "62C 350W" */
#define WIDE_COLUMNS    100u /* room for a bar of what each tenant got */
#define GOT_BAR_COLUMNS 20u

/* The table's columns behind the name: where each ends, counted from the right edge of the name. */
static const struct {
    const char *title;
    unsigned int width;
} columns[] = {{"STATE", 8}, {"QOS", 8},     {"GPU", 3},  {"ASKED", 6},
               {"GOT", 6},   {"MEMORY", 15}, {"WAIT", 5}, {"PROCS", 5}};

enum { STATE, QOS, GPU, ASKED, GOT, MEMORY, WAIT, PROCS, COLUMN_COUNT };

_Static_assert(sizeof columns / sizeof columns[0] == COLUMN_COUNT, "a title for each");

static unsigned int columns_width(void) {
    unsigned int width = 0;

    for (unsigned int i = 0; i < COLUMN_COUNT; i++)
        width += columns[i].width + 1;
    return width;
}

/* ---- head and devices ---- */

static void head_draw(const struct divvy_cli_top *top, struct divvy_cli_canvas *canvas,
                      const char *clock) {
    char text[256], uptime[DIVVY_CLI_VALUE_BYTES];
    size_t running = 0;

    for (size_t i = 0; i < top->tenant_count; i++)
        running += strcmp(top->tenants[i].state, "running") == 0;
    divvy_cli_format_duration(top->node.uptime_s, uptime);
    (void)snprintf(text, sizeof text, "%s  divvyd %s, up %s  %zu tenant%s, %zu running",
                   top->node.name[0] ? top->node.name : "-",
                   top->node.version[0] ? top->node.version : "-", uptime, top->tenant_count,
                   top->tenant_count == 1 ? "" : "s", running);
    (void)divvy_cli_canvas_put(canvas, 0, 0, DIVVY_CLI_BOLD, text);
    divvy_cli_canvas_put_right(canvas, 0, canvas->columns, 0, clock);
}

static double share_of(double part, double whole) {
    return part < 0 || whole <= 0 ? -1 : part / whole;
}

static void device_draw(const struct divvy_cli_seen_device *device, struct divvy_cli_canvas *canvas,
                        unsigned int line) {
    unsigned int bars = canvas->columns > LABEL_COLUMNS + HEALTH_COLUMNS + 20
                            ? canvas->columns - LABEL_COLUMNS - HEALTH_COLUMNS
                            : 20;
    unsigned int use = bars * 2 / 5, at;
    char text[2 * DIVVY_CLI_VALUE_BYTES], value[DIVVY_CLI_VALUE_BYTES];

    (void)snprintf(text, sizeof text, device->index < 0 ? "GPU ?" : "GPU %.0f", device->index);
    (void)divvy_cli_canvas_put(canvas, line, 0, 0, text);
    if (!device->healthy) {
        (void)divvy_cli_canvas_put(canvas, line, LABEL_COLUMNS, DIVVY_TINT_BAD | DIVVY_CLI_BOLD,
                                   "lost: the driver does not answer for it");
        return;
    }
    divvy_cli_format_percent(device->utilisation_percent, value);
    divvy_cli_canvas_bar(canvas, line, LABEL_COLUMNS, use, device->utilisation_percent / 100,
                         value);
    at = LABEL_COLUMNS + use + 1;
    divvy_cli_format_used(device->used_bytes, device->memory_bytes, text);
    divvy_cli_canvas_bar(canvas, line, at, bars - use - 1,
                         share_of(device->used_bytes, device->memory_bytes), text);
    text[0] = '\0';
    if (device->temperature_c >= 0)
        (void)snprintf(text, sizeof text, "%.0fC", device->temperature_c);
    if (device->power_w >= 0)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), " %.0fW", device->power_w);
    divvy_cli_canvas_put_right(canvas, line, canvas->columns, 0, text);
}

static unsigned int devices_draw(const struct divvy_cli_top *top, struct divvy_cli_canvas *canvas) {
    /* On a low screen at least half of it is for tenants. */
    size_t room = canvas->lines / 2 > 3 ? canvas->lines / 2 - 2 : 1;
    size_t shown = top->device_count <= room ? top->device_count : room;
    unsigned int line = 1;
    char text[64];

    for (size_t i = 0; i < shown; i++)
        device_draw(&top->devices[i], canvas, line++);
    if (shown < top->device_count) {
        (void)snprintf(text, sizeof text, "and %zu more GPUs", top->device_count - shown);
        (void)divvy_cli_canvas_put(canvas, line++, 0, DIVVY_TINT_DIM, text);
    }
    return line;
}

/* ---- the table ---- */

static unsigned int name_width(const struct divvy_cli_canvas *canvas) {
    unsigned int rest = columns_width(), width;

    if (canvas->columns >= WIDE_COLUMNS)
        rest += GOT_BAR_COLUMNS + 1;
    width = canvas->columns > rest + 8 ? canvas->columns - rest : 8;
    return width > 48 ? 48 : width;
}

/* Texts stand at the left of their column, numbers at the right. */
static void cell_put(struct divvy_cli_canvas *canvas, unsigned int line, unsigned int column,
                     unsigned int attributes, const char *text) {
    unsigned int at = name_width(canvas) + 1;

    for (unsigned int i = 0; i < column; i++)
        at += columns[i].width + 1;
    if (column == STATE || column == QOS)
        (void)divvy_cli_canvas_put(canvas, line, at, attributes, text);
    else
        divvy_cli_canvas_put_right(canvas, line, at + columns[column].width, attributes, text);
}

static void titles_draw(const struct divvy_cli_top *top, struct divvy_cli_canvas *canvas,
                        unsigned int line) {
    static const unsigned int sorted[DIVVY_CLI_TOP_SORT_MAX] = {COLUMN_COUNT, GOT, MEMORY};

    (void)divvy_cli_canvas_put(canvas, line, 0,
                               top->sort == DIVVY_CLI_TOP_BY_NAME ? DIVVY_CLI_BOLD : 0, "NAME");
    for (unsigned int i = 0; i < COLUMN_COUNT; i++)
        cell_put(canvas, line, i, sorted[top->sort] == i ? DIVVY_CLI_BOLD : 0, columns[i].title);
    divvy_cli_canvas_mark(canvas, line, DIVVY_CLI_REVERSE);
}

static void use_draw(const struct divvy_cli_top_row *row, struct divvy_cli_canvas *canvas,
                     unsigned int line) {
    const struct divvy_cli_seen_use *use = &row->tenant->uses[row->use];
    char text[DIVVY_CLI_VALUE_BYTES];
    bool full = use->limit_bytes > 0 && use->used_bytes > 0.95 * use->limit_bytes;

    (void)snprintf(text, sizeof text, use->index < 0 ? "-" : "%.0f", use->index);
    cell_put(canvas, line, GPU, 0, text);
    divvy_cli_format_asked(use->compute_percent, use->soft, text);
    cell_put(canvas, line, ASKED, 0, text);
    divvy_cli_format_percent(use->share_percent, text);
    cell_put(canvas, line, GOT, 0, text);
    divvy_cli_format_used(use->used_bytes, use->limit_bytes, text);
    cell_put(canvas, line, MEMORY, full ? DIVVY_TINT_WARN : 0, text);
    (void)snprintf(text, sizeof text, row->waiting < 0 ? "-" : "%.1f", row->waiting);
    cell_put(canvas, line, WAIT, 0, text);
    if (canvas->columns >= WIDE_COLUMNS)
        divvy_cli_canvas_bar(canvas, line, name_width(canvas) + columns_width() + 1,
                             GOT_BAR_COLUMNS, use->share_percent / 100, "");
}

static void row_draw(const struct divvy_cli_top_row *row, struct divvy_cli_canvas *canvas,
                     unsigned int line, bool selected) {
    char text[DIVVY_CLI_VALUE_BYTES], name[49];
    unsigned int width = name_width(canvas);

    (void)snprintf(name, sizeof name, "%.48s", row->tenant->id);
    if (strlen(row->tenant->id) > width)
        (void)snprintf(name + width - 1, 2, "~");
    (void)divvy_cli_canvas_put(canvas, line, 0, 0, name);
    cell_put(canvas, line, STATE, divvy_cli_tint_state(row->tenant->state), row->tenant->state);
    cell_put(canvas, line, QOS, 0, row->tenant->qos);
    if (row->tenant->use_count)
        use_draw(row, canvas, line);
    (void)snprintf(text, sizeof text, row->tenant->process_count < 0 ? "-" : "%.0f",
                   row->tenant->process_count);
    cell_put(canvas, line, PROCS, 0, text);
    if (selected)
        divvy_cli_canvas_mark(canvas, line, DIVVY_CLI_REVERSE);
}

/* The part of the table that holds the selected row. */
static void scroll(struct divvy_cli_top *top, size_t room) {
    const struct divvy_cli_top_row *selected = divvy_cli_top_selected(top);
    size_t at = selected ? (size_t)(selected - top->rows) : top->first;

    top->page = room;
    if (room == 0)
        return;
    if (top->first + room > top->row_count)
        top->first = top->row_count > room ? top->row_count - room : 0;
    if (at < top->first)
        top->first = at;
    else if (at >= top->first + room)
        top->first = at - room + 1;
}

static void table_draw(struct divvy_cli_top *top, struct divvy_cli_canvas *canvas,
                       unsigned int line, unsigned int end, bool interactive) {
    const struct divvy_cli_top_row *selected = interactive ? divvy_cli_top_selected(top) : NULL;
    size_t room = end > line + 1 ? end - line - 1 : 0;

    titles_draw(top, canvas, line);
    scroll(top, room);
    for (size_t i = 0; i < room && top->first + i < top->row_count; i++) {
        const struct divvy_cli_top_row *row = &top->rows[top->first + i];

        row_draw(row, canvas, line + 1 + (unsigned int)i, row == selected);
    }
    if (top->row_count == 0)
        (void)divvy_cli_canvas_put(canvas, line + 1, 0, DIVVY_TINT_DIM,
                                   top->tenant_count && !top->all
                                       ? "no tenant has a process (a shows all)"
                                       : "no tenant: start one with divvy run");
}

/* ---- the rest ---- */

static void help_draw(struct divvy_cli_canvas *canvas, unsigned int line) {
    static const char *const lines[] = {
        "j k, arrows, PgUp PgDn, Home End   select a tenant; Esc selects none",
        "m  c  n     sort by memory in use, by share got, by name",
        "f           freeze the selected tenant, or let it go on",
        "+  -        its cap of GPU time up or down by five points",
        "a           also tenants without processes, or not",
        "space, r    look again now",
        "q, ^C       quit",
        "",
        "ASKED  cap of GPU time; + behind it: may be exceeded while nobody else wants the GPU",
        "GOT    share of GPU time in the last second",
        "WAIT   threads that wait for the GPU, on average since the view before",
        "",
        "any key goes back",
    };

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        (void)divvy_cli_canvas_put(canvas, line + (unsigned int)i, 2, 0, lines[i]);
}

void divvy_cli_top_draw(struct divvy_cli_top *top, struct divvy_cli_canvas *canvas,
                        const char *clock, bool interactive) {
    static const char keys[] = "q quit  j k select  f freeze  + - share  m c n sort  a all  ? help";
    unsigned int end = canvas->lines - (interactive && canvas->lines > 3 ? 1 : 0), line;

    if (canvas->lines == 0)
        return;
    head_draw(top, canvas, clock);
    line = devices_draw(top, canvas) + 1;
    if (top->help)
        help_draw(canvas, line);
    else
        table_draw(top, canvas, line, end, interactive);
    if (end == canvas->lines)
        return;
    for (unsigned int column = 0; column < canvas->columns; column++)
        (void)divvy_cli_canvas_put(canvas, end, column, 0, " ");
    (void)divvy_cli_canvas_put(canvas, end, 0,
                               top->message[0] ? DIVVY_CLI_BOLD : DIVVY_TINT_DIM,
                               top->message[0] ? top->message : keys);
}

unsigned int divvy_cli_top_lines(const struct divvy_cli_top *top) {
    /* Twice the devices, so that none is left out to make room for tenants. */
    size_t lines = 2 * top->device_count + 8 + top->row_count;

    return lines > 1000 ? 1000 : (unsigned int)lines;
}
