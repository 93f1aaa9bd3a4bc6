/* divvy top: GPUs and tenants as they are now, again and again. */
#include "cli/act.h"
#include "cli/cli.h"
#include "cli/terminal.h"
#include "cli/top.h"
#include "core/clock.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Keys wait for the answer, so it must not take long. */
#define SAMPLE_MS 1500u

struct arguments {
    int once, json;
    double interval_s;
};

enum { OPTION_INTERVAL = 'i', OPTION_ONCE = 0x100, OPTION_JSON };

static error_t argument_take(int key, char *value, struct argp_state *state) {
    struct arguments *arguments = state->input;
    char *end;

    switch (key) {
    case OPTION_INTERVAL:
        arguments->interval_s = strtod(value, &end);
        if (end == value || (*end && strcmp(end, "s") != 0) ||
            !(arguments->interval_s >= 0.1 && arguments->interval_s <= 3600))
            argp_error(state, "--interval '%.40s': write seconds, 0.1 to 3600", value);
        return 0;
    case OPTION_ONCE:
        arguments->once = 1;
        return 0;
    case OPTION_JSON:
        arguments->json = 1;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", value);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"interval", OPTION_INTERVAL, "S", 0, "Seconds between two looks (default: 1)", 0},
    {"once", OPTION_ONCE, NULL, 0, "Print one view and end", 0},
    {"json", OPTION_JSON, NULL, 0, "For machines: one JSON object a line", 0},
    {0},
};

static const struct argp parser = {
    .options = options,
    .parser = argument_take,
    .doc = "Watch the GPUs of this node and their tenants: what each asked for and got, its "
           "memory, and how many of its threads wait.\v"
           "Keys: q quits, j k and the arrows select, f freezes or lets go on, + and - change the "
           "cap, m c n sort by memory, compute or name, a shows all, ? explains.\n\n"
           "For example:\n"
           "  divvy top\n"
           "  divvy top --once | head\n"
           "  divvy top --json --interval 5 >>usage.jsonl\n\n"
           "Where stdout is no terminal one view is printed, as with --once.\n\n"
           "Exit status: 0; 1 when the daemon cannot be asked; 2 for wrong use.",
};

/* ---- samples ---- */

struct sample {
    json_t *node, *devices, *tenants; /* the daemon's answers */
};

static void sample_done(struct sample *sample) {
    json_decref(sample->node);
    json_decref(sample->devices);
    json_decref(sample->tenants);
    *sample = (struct sample){0};
}

/* Asks; finds the daemon first where it is not known (any more). */
static int sample_take(struct divvy_cli_client **client, struct sample *ret_sample,
                       struct divvy_error *error) {
    struct sample sample = {0};
    int status = *client ? 0 : divvy_cli_client_find(client, error);

    if (status == 0)
        status = divvy_cli_client_call(*client, "GET", "/api/v1/node", NULL, SAMPLE_MS,
                                       &sample.node, error);
    if (status == 0)
        status = divvy_cli_client_call(*client, "GET", "/api/v1/node/devices", NULL, SAMPLE_MS,
                                       &sample.devices, error);
    if (status == 0)
        status = divvy_cli_client_call(*client, "GET", "/api/v1/tenants", NULL, SAMPLE_MS,
                                       &sample.tenants, error);
    if (status == 0) {
        *ret_sample = sample;
        return 0;
    }
    sample_done(&sample);
    divvy_cli_client_free(*client);
    *client = NULL;
    return status;
}

static int sample_use(struct divvy_cli_top *top, const struct sample *sample,
                      struct divvy_error *error) {
    struct divvy_cli_seen_device *devices = NULL;
    struct divvy_cli_seen_tenant *tenants = NULL;
    size_t device_count = 0, tenant_count = 0;
    int status = divvy_cli_seen_devices_read(sample->devices, &devices, &device_count);

    if (status == 0)
        status = divvy_cli_seen_tenants_read(sample->tenants, &tenants, &tenant_count);
    if (status < 0) {
        free(devices);
        return divvy_error_set_errno(error, status, "the daemon's answer cannot be used");
    }
    divvy_cli_seen_node_read(sample->node, &top->node);
    status = divvy_cli_top_update(top, devices, device_count, tenants, tenant_count,
                                  (double)divvy_core_clock_ns() / 1e9);
    return status < 0 ? divvy_error_set_errno(error, status, "cannot show the tenants") : 0;
}

static int sample_show(struct divvy_cli_client **client, struct divvy_cli_top *top,
                       struct divvy_error *error) {
    struct sample sample = {0};
    int status = sample_take(client, &sample, error);

    if (status == 0)
        status = sample_use(top, &sample, error);
    sample_done(&sample);
    return status;
}

/* ---- not a live view ---- */

static int json_run(const struct arguments *arguments, struct divvy_cli_client **client,
                    struct divvy_error *error) {
    for (;;) {
        struct sample sample = {0};
        struct timespec now;
        int status = sample_take(client, &sample, error);
        json_t *object;

        if (status < 0)
            return status;
        (void)clock_gettime(CLOCK_REALTIME, &now);
        object = json_pack("{s:f, s:O, s:O?, s:O?}", "time",
                           (double)now.tv_sec + (double)now.tv_nsec / 1e9, "node", sample.node,
                           "devices", json_object_get(sample.devices, "devices"), "tenants",
                           json_object_get(sample.tenants, "tenants"));
        sample_done(&sample);
        if (divvy_cli_json_print(object, arguments->once ? 2 : 0, stdout) != 0)
            return divvy_error_set_errno(error, -EIO, "cannot write");
        if (arguments->once)
            return 0;
        (void)usleep((useconds_t)(arguments->interval_s * 1e6));
    }
}

static void clock_text(char *text, size_t size_bytes) {
    time_t now = time(NULL);
    struct tm parts;

    if (!localtime_r(&now, &parts) || strftime(text, size_bytes, "%H:%M:%S", &parts) == 0)
        text[0] = '\0';
}

static int once_run(struct divvy_cli_client **client, struct divvy_cli_top *top,
                    struct divvy_error *error) {
    struct divvy_cli_canvas canvas;
    unsigned int width = divvy_table_width(stdout);
    int status = sample_show(client, top, error);
    char clock[16];
    size_t length = 0;
    char *text;

    if (status < 0)
        return status;
    if (divvy_cli_canvas_init(&canvas, width ? width : 80, divvy_cli_top_lines(top)) < 0)
        return divvy_error_set_errno(error, -ENOMEM, "cannot draw");
    clock_text(clock, sizeof clock);
    divvy_cli_top_draw(top, &canvas, clock, false);
    text = divvy_cli_canvas_text(&canvas, false, divvy_table_colour(stdout), &length);
    divvy_cli_canvas_done(&canvas);
    if (!text)
        return divvy_error_set_errno(error, -ENOMEM, "cannot draw");
    (void)fwrite(text, 1, length, stdout);
    free(text);
    return fflush(stdout) == 0 ? 0 : divvy_error_set_errno(error, -EIO, "cannot write");
}

/* ---- the live view ---- */

static void screen_draw(struct divvy_cli_top *top) {
    struct divvy_cli_canvas canvas;
    unsigned int columns, lines;
    char clock[16];
    size_t length = 0;
    char *text;

    divvy_cli_terminal_size(&columns, &lines);
    if (divvy_cli_canvas_init(&canvas, columns, lines) < 0)
        return;
    clock_text(clock, sizeof clock);
    divvy_cli_top_draw(top, &canvas, clock, true);
    text = divvy_cli_canvas_text(&canvas, true, divvy_table_colour(stdout), &length);
    divvy_cli_canvas_done(&canvas);
    if (text)
        divvy_cli_terminal_write(text, length);
    free(text);
}

static int freeze(struct divvy_cli_client *client, const struct divvy_cli_seen_tenant *tenant,
                  const char **ret_did, struct divvy_error *error) {
    bool saved = strcmp(tenant->state, "saved") == 0;
    bool frozen = tenant->frozen || strcmp(tenant->state, "frozen") == 0;
    struct divvy_cli_deed deed = {0};
    int status;

    /* Bringing memory back can take longer than a live view may be blind. */
    if (saved)
        return divvy_error_set(error, -EOPNOTSUPP, "its memory is saved: use 'divvy resume'");
    status = divvy_cli_act_post(client, tenant->id, frozen ? "/thaw" : "/freeze", SAMPLE_MS, &deed,
                                error);
    json_decref(deed.answer);
    *ret_did = frozen ? "goes on" : "frozen";
    return status;
}

static int share_change(struct divvy_cli_client *client, const struct divvy_cli_top_row *row,
                        bool more, char *ret_did, size_t size_bytes, struct divvy_error *error) {
    const struct divvy_cli_seen_use *use = &row->tenant->uses[row->use];
    double percent;
    char path[DIVVY_CLI_TENANT_PATH_BYTES];
    json_t *change;
    int status;

    if (!row->tenant->use_count)
        return divvy_error_set(error, -ENODEV, "it uses no GPU");
    percent = divvy_cli_top_share_step(use->compute_percent, more);
    if (percent < 0) {
        (void)snprintf(ret_did, size_bytes, "its cap cannot go further");
        return 0;
    }
    if (divvy_cli_client_tenant_path(row->tenant->id, "", path, sizeof path, error) < 0)
        return error->status;
    change = json_pack("{s:s, s:f}", "gpu", use->uuid, "compute_percent", percent);
    status = divvy_cli_client_call(client, "PATCH", path, change, SAMPLE_MS, NULL, error);
    json_decref(change);
    (void)snprintf(ret_did, size_bytes, "compute %.0f%%", percent);
    return status;
}

static void selected_act(struct divvy_cli_client *client, struct divvy_cli_top *top,
                         enum divvy_cli_top_action action) {
    const struct divvy_cli_top_row *row = divvy_cli_top_selected(top);
    struct divvy_error error = {0};
    const char *did = "";
    char changed[64] = "";
    int status;

    if (!row || !client)
        return;
    if (action == DIVVY_CLI_TOP_FREEZE) {
        status = freeze(client, row->tenant, &did, &error);
    } else {
        status = share_change(client, row, action == DIVVY_CLI_TOP_MORE, changed, sizeof changed,
                              &error);
        did = changed;
    }
    if (status < 0)
        divvy_cli_act_advise(&error);
    (void)snprintf(top->message, sizeof top->message, "%.60s: %.95s", row->tenant->id,
                   status < 0 ? error.text : did);
}

static void live_run(const struct arguments *arguments, struct divvy_cli_client **client,
                     struct divvy_cli_top *top) {
    uint64_t interval_ns = (uint64_t)(arguments->interval_s * 1e9);
    uint64_t next_ns = divvy_core_clock_ns() + interval_ns;
    bool lost = false;

    for (;;) {
        uint64_t now_ns = divvy_core_clock_ns();
        enum divvy_cli_top_action action = DIVVY_CLI_TOP_NOTHING;
        struct divvy_error error = {0};
        int key;

        screen_draw(top);
        key = divvy_cli_terminal_key(
            now_ns < next_ns ? (unsigned int)((next_ns - now_ns) / DIVVY_NS_PER_MS) : 0);
        if (key != DIVVY_CLI_KEY_NONE)
            action = divvy_cli_top_key(top, key);
        if (action == DIVVY_CLI_TOP_QUIT)
            return;
        if (action == DIVVY_CLI_TOP_FREEZE || action == DIVVY_CLI_TOP_MORE ||
            action == DIVVY_CLI_TOP_LESS)
            selected_act(*client, top, action);
        if (action == DIVVY_CLI_TOP_NOTHING && divvy_core_clock_ns() < next_ns)
            continue;
        if (sample_show(client, top, &error) < 0) {
            (void)snprintf(top->message, sizeof top->message, "%.120s (trying again)", error.text);
            lost = true;
        } else if (lost) {
            top->message[0] = '\0';
            lost = false;
        }
        next_ns = divvy_core_clock_ns() + interval_ns;
    }
}

int divvy_cli_verb_top(int argc, char **argv) {
    struct arguments arguments = {.interval_s = 1};
    struct divvy_cli_top top = {.sort = DIVVY_CLI_TOP_BY_COMPUTE};
    struct divvy_cli_client *client = NULL;
    struct divvy_error error = {0};
    int status, ended_by = 0;

    if (argp_parse(&parser, argc, argv, 0, NULL, &arguments) != 0)
        return DIVVY_CLI_USAGE;
    if (arguments.json) {
        status = json_run(&arguments, &client, &error);
    } else if (arguments.once || !isatty(STDOUT_FILENO)) {
        status = once_run(&client, &top, &error);
    } else {
        /* What can be said on the usual screen comes before the other one. */
        status = sample_show(&client, &top, &error);
        if (status == 0)
            status = divvy_cli_terminal_enter(&error);
        if (status == 0) {
            live_run(&arguments, &client, &top);
            divvy_cli_terminal_leave();
            ended_by = divvy_cli_terminal_signal();
        }
    }
    divvy_cli_client_free(client);
    divvy_cli_top_done(&top);
    if (status < 0)
        return divvy_cli_fail("top", &error);
    /* ^C is how people leave it; any other signal was meant to end it, and shows. */
    if (ended_by && ended_by != SIGINT)
        return 128 + ended_by;
    return DIVVY_CLI_OK;
}
