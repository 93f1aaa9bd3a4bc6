/*
 * The live view: what was last heard of devices and tenants, in which order and with which one
 * selected it is shown, and how it looks. Pure: samples, keys and time come in, a canvas comes out.
 */
#ifndef DIVVY_CLI_TOP_H
#define DIVVY_CLI_TOP_H

#include "cli/canvas.h"
#include "cli/seen.h"

#include <stdbool.h>
#include <stddef.h>

enum divvy_cli_top_sort {
    DIVVY_CLI_TOP_BY_NAME,
    DIVVY_CLI_TOP_BY_COMPUTE,
    DIVVY_CLI_TOP_BY_MEMORY,
    DIVVY_CLI_TOP_SORT_MAX
};

/* A tenant on one of its devices. */
struct divvy_cli_top_row {
    const struct divvy_cli_seen_tenant *tenant;
    unsigned int use; /* which of its devices; one row, 0, for a tenant that has none */
    double waiting;   /* threads at the gate, mean since the sample before; unknown at first */
    double waited_ns; /* for the next mean */
};

/* What the caller has to do about a key. */
enum divvy_cli_top_action {
    DIVVY_CLI_TOP_NOTHING, /* draw again */
    DIVVY_CLI_TOP_QUIT,
    DIVVY_CLI_TOP_REFRESH,
    DIVVY_CLI_TOP_FREEZE, /* or let go on: the selected tenant */
    DIVVY_CLI_TOP_MORE,   /* the selected row's share */
    DIVVY_CLI_TOP_LESS,
};

struct divvy_cli_top {
    struct divvy_cli_seen_node node;
    struct divvy_cli_seen_device *devices;
    size_t device_count;
    struct divvy_cli_seen_tenant *tenants;
    size_t tenant_count;
    struct divvy_cli_top_row *rows; /* those shown, in order */
    size_t row_count;
    enum divvy_cli_top_sort sort;
    bool all;  /* also tenants without processes */
    bool help; /* instead of the table */
    char selected[128];
    unsigned int selected_use;
    size_t first;      /* row at the top of the table */
    size_t page;       /* rows that the last drawing had room for */
    double sampled_s;  /* CLOCK_MONOTONIC; 0 never */
    char message[160]; /* shown instead of the keys, until the next key */
};

void divvy_cli_top_done(struct divvy_cli_top *top);

/*
 * A new sample; takes over both arrays (malloc'ed), also on failure. -ENOMEM: the view is empty
 * then.
 */
int divvy_cli_top_update(struct divvy_cli_top *top, struct divvy_cli_seen_device *devices,
                         size_t device_count, struct divvy_cli_seen_tenant *tenants,
                         size_t tenant_count, double now_s);

enum divvy_cli_top_action divvy_cli_top_key(struct divvy_cli_top *top, int key);

/* The selected row, or NULL when there is none. */
const struct divvy_cli_top_row *divvy_cli_top_selected(const struct divvy_cli_top *top);

/*
 * The share to ask for: five points more or less than `percent` (unknown: no cap), at a multiple of
 * five, from 1 to 100; unknown when nothing is to be changed.
 */
double divvy_cli_top_share_step(double percent, bool more);

/* `clock` is what stands at the right of the first line. `interactive`: with selection and keys. */
void divvy_cli_top_draw(struct divvy_cli_top *top, struct divvy_cli_canvas *canvas,
                        const char *clock, bool interactive);

/* Lines that a drawing of everything takes. */
unsigned int divvy_cli_top_lines(const struct divvy_cli_top *top);

#endif
