/* The live view's state and keys: see top.h. How it looks is in top_draw.c. */
#include "cli/top.h"

#include "cli/terminal.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void divvy_cli_top_done(struct divvy_cli_top *top) {
    free(top->devices);
    free(top->tenants);
    free(top->rows);
    top->devices = NULL;
    top->tenants = NULL;
    top->rows = NULL;
    top->device_count = top->tenant_count = top->row_count = 0;
}

/* ---- order ---- */

static const struct divvy_cli_seen_use *use_of(const struct divvy_cli_top_row *row) {
    return row->tenant->use_count ? &row->tenant->uses[row->use] : NULL;
}

static int by_name(const void *a, const void *b) {
    const struct divvy_cli_top_row *left = a, *right = b;
    int order = strcmp(left->tenant->id, right->tenant->id);

    return order ? order : (left->use > right->use) - (left->use < right->use);
}

static int by_value(double left, double right, const void *a, const void *b) {
    return left > right ? -1 : left < right ? 1 : by_name(a, b);
}

static int by_compute(const void *a, const void *b) {
    const struct divvy_cli_seen_use *left = use_of(a), *right = use_of(b);

    return by_value(left ? left->share_percent : -1, right ? right->share_percent : -1, a, b);
}

static int by_memory(const void *a, const void *b) {
    const struct divvy_cli_seen_use *left = use_of(a), *right = use_of(b);

    return by_value(left ? left->used_bytes : -1, right ? right->used_bytes : -1, a, b);
}

static void rows_sort(struct divvy_cli_top *top) {
    static int (*const orders[DIVVY_CLI_TOP_SORT_MAX])(const void *, const void *) = {
        by_name, by_compute, by_memory};

    if (top->row_count > 1)
        qsort(top->rows, top->row_count, sizeof *top->rows, orders[top->sort]);
}

/* ---- samples ---- */

static double waiting_mean(const struct divvy_cli_top_row *row,
                           const struct divvy_cli_top_row *before, size_t count, double passed_s) {
    for (size_t i = 0; i < count; i++) {
        const struct divvy_cli_top_row *old = &before[i];

        if (old->use != row->use || strcmp(old->tenant->id, row->tenant->id) != 0)
            continue;
        /* One of the same name that is younger has waited less. */
        if (old->waited_ns < 0 || row->waited_ns < old->waited_ns || passed_s <= 0)
            break;
        return (row->waited_ns - old->waited_ns) / 1e9 / passed_s;
    }
    return DIVVY_CLI_SEEN_UNKNOWN;
}

static int rows_make(struct divvy_cli_top *top, const struct divvy_cli_top_row *before,
                     size_t before_count, double passed_s) {
    size_t room = 0;

    for (size_t i = 0; i < top->tenant_count; i++)
        room += top->tenants[i].use_count ? top->tenants[i].use_count : 1;
    top->rows = calloc(room ? room : 1, sizeof *top->rows);
    top->row_count = 0;
    if (!top->rows)
        return -ENOMEM;
    for (size_t i = 0; i < top->tenant_count; i++) {
        const struct divvy_cli_seen_tenant *tenant = &top->tenants[i];

        if (!top->all && !divvy_cli_seen_is_active(tenant))
            continue;
        for (unsigned int use = 0; use == 0 || use < tenant->use_count; use++) {
            struct divvy_cli_top_row *row = &top->rows[top->row_count++];

            *row = (struct divvy_cli_top_row){.tenant = tenant, .use = use, .waited_ns = -1};
            if (tenant->use_count)
                row->waited_ns = tenant->uses[use].waited_ns;
            row->waiting = waiting_mean(row, before, before_count, passed_s);
        }
    }
    rows_sort(top);
    return 0;
}

int divvy_cli_top_update(struct divvy_cli_top *top, struct divvy_cli_seen_device *devices,
                         size_t device_count, struct divvy_cli_seen_tenant *tenants,
                         size_t tenant_count, double now_s) {
    struct divvy_cli_seen_tenant *old_tenants = top->tenants;
    struct divvy_cli_top_row *old_rows = top->rows;
    int status;

    free(top->devices);
    top->devices = devices;
    top->device_count = device_count;
    top->tenants = tenants;
    top->tenant_count = tenant_count;
    status =
        rows_make(top, old_rows, top->row_count, top->sampled_s > 0 ? now_s - top->sampled_s : 0);
    top->sampled_s = now_s;
    free(old_rows);
    free(old_tenants);
    return status;
}

/* Rows for another choice of tenants, of the sample that is there. */
static void rows_choose(struct divvy_cli_top *top) {
    struct divvy_cli_top_row *old = top->rows;
    size_t old_count = top->row_count;

    if (rows_make(top, NULL, 0, 0) < 0)
        top->row_count = 0;
    for (size_t i = 0; i < top->row_count; i++)
        for (size_t k = 0; k < old_count; k++)
            if (old[k].tenant == top->rows[i].tenant && old[k].use == top->rows[i].use)
                top->rows[i].waiting = old[k].waiting;
    free(old);
}

/* ---- selection and keys ---- */

static size_t selected_at(const struct divvy_cli_top *top) {
    for (size_t i = 0; i < top->row_count; i++)
        if (strcmp(top->rows[i].tenant->id, top->selected) == 0 &&
            top->rows[i].use == top->selected_use)
            return i;
    return SIZE_MAX;
}

const struct divvy_cli_top_row *divvy_cli_top_selected(const struct divvy_cli_top *top) {
    size_t at = selected_at(top);

    return at == SIZE_MAX ? NULL : &top->rows[at];
}

static void select_row(struct divvy_cli_top *top, long wanted) {
    if (top->row_count == 0)
        return;
    if (wanted >= (long)top->row_count)
        wanted = (long)top->row_count - 1;
    if (wanted < 0)
        wanted = 0;
    (void)snprintf(top->selected, sizeof top->selected, "%s", top->rows[wanted].tenant->id);
    top->selected_use = top->rows[wanted].use;
}

static enum divvy_cli_top_action for_selected(struct divvy_cli_top *top,
                                              enum divvy_cli_top_action action) {
    if (divvy_cli_top_selected(top))
        return action;
    (void)snprintf(top->message, sizeof top->message, "select a tenant first: j, k or the arrows");
    return DIVVY_CLI_TOP_NOTHING;
}

static enum divvy_cli_top_action sort_by(struct divvy_cli_top *top, enum divvy_cli_top_sort sort) {
    top->sort = sort;
    rows_sort(top);
    return DIVVY_CLI_TOP_NOTHING;
}

/* From no selection down is the first row, and up the last. */
static enum divvy_cli_top_action move(struct divvy_cli_top *top, long step) {
    size_t at = selected_at(top);

    if (at == SIZE_MAX)
        select_row(top, step > 0 ? 0 : (long)top->row_count - 1);
    else
        select_row(top, (long)at + step);
    return DIVVY_CLI_TOP_NOTHING;
}

enum divvy_cli_top_action divvy_cli_top_key(struct divvy_cli_top *top, int key) {
    long page = top->page > 1 ? (long)top->page - 1 : 1;

    top->message[0] = '\0';
    if (top->help && key != DIVVY_CLI_KEY_RESIZED && key != DIVVY_CLI_KEY_ENDED) {
        top->help = false;
        return key == 'q' ? DIVVY_CLI_TOP_QUIT : DIVVY_CLI_TOP_NOTHING;
    }
    switch (key) {
    case 'q':
    case DIVVY_CLI_KEY_ENDED:
        return DIVVY_CLI_TOP_QUIT;
    case 'j':
    case DIVVY_CLI_KEY_DOWN:
        return move(top, 1);
    case 'k':
    case DIVVY_CLI_KEY_UP:
        return move(top, -1);
    case DIVVY_CLI_KEY_PAGE_DOWN:
        return move(top, page);
    case DIVVY_CLI_KEY_PAGE_UP:
        return move(top, -page);
    case 'g':
    case DIVVY_CLI_KEY_HOME:
        select_row(top, 0);
        return DIVVY_CLI_TOP_NOTHING;
    case 'G':
    case DIVVY_CLI_KEY_END:
        select_row(top, (long)top->row_count);
        return DIVVY_CLI_TOP_NOTHING;
    case DIVVY_CLI_KEY_ESCAPE:
        top->selected[0] = '\0';
        return DIVVY_CLI_TOP_NOTHING;
    case 'm':
        return sort_by(top, DIVVY_CLI_TOP_BY_MEMORY);
    case 'c':
        return sort_by(top, DIVVY_CLI_TOP_BY_COMPUTE);
    case 'n':
        return sort_by(top, DIVVY_CLI_TOP_BY_NAME);
    case 'a':
        top->all = !top->all;
        rows_choose(top);
        return DIVVY_CLI_TOP_NOTHING;
    case 'f':
        return for_selected(top, DIVVY_CLI_TOP_FREEZE);
    case '+':
    case '=':
        return for_selected(top, DIVVY_CLI_TOP_MORE);
    case '-':
        return for_selected(top, DIVVY_CLI_TOP_LESS);
    case ' ':
    case 'r':
        return DIVVY_CLI_TOP_REFRESH;
    case '?':
    case 'h':
        top->help = true;
        return DIVVY_CLI_TOP_NOTHING;
    default:
        return DIVVY_CLI_TOP_NOTHING;
    }
}

double divvy_cli_top_share_step(double percent, bool more) {
    double now = percent < 0 || percent > 100 ? 100 : percent, next;

    if (more)
        next = floor(now / 5 + 1e-9) * 5 + 5;
    else
        next = ceil(now / 5 - 1e-9) * 5 - 5;
    next = next > 100 ? 100 : next < 1 ? 1 : next;
    return fabs(next - now) < 1e-9 ? DIVVY_CLI_SEEN_UNKNOWN : next;
}
