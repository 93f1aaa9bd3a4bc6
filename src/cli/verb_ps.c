/* divvy ps: the tenants of this node. */
#include "base/cleanup.h"
#include "cli/act.h"
#include "cli/cli.h"
#include "cli/format.h"
#include "cli/seen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct arguments {
    int all, json;
};

enum { OPTION_ALL = 'a', OPTION_JSON = 0x100 };

static error_t argument_take(int key, char *value, struct argp_state *state) {
    struct arguments *arguments = state->input;

    switch (key) {
    case OPTION_ALL:
        arguments->all = 1;
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
    {"all", OPTION_ALL, NULL, 0, "Also tenants without processes", 0},
    {"json", OPTION_JSON, NULL, 0, "For machines: one JSON object", 0},
    {0},
};

static const struct argp parser = {
    .options = options,
    .parser = argument_take,
    .doc = "List the tenants of this node: those that have processes, and those that are frozen or "
           "saved.\v"
           "MEMORY is used/limit. COMPUTE is asked/got: the cap, with + behind it when it may be "
           "exceeded while nobody else wants the GPU, and the share of GPU time in the last "
           "second. WAIT is how long its threads have waited for the GPU in all.\n\n"
           "For example:\n"
           "  divvy ps\n"
           "  divvy ps --json | jq '.tenants[].id'\n\n"
           "Exit status: 0, also without tenants; 1 when the daemon cannot be asked; 2 for wrong "
           "use.",
};

static void tenant_rows_add(struct divvy_table *table,
                            const struct divvy_cli_seen_tenant *tenant, double now_s) {
    unsigned int rows = tenant->use_count ? tenant->use_count : 1;
    char text[2 * DIVVY_CLI_VALUE_BYTES + 2], got[DIVVY_CLI_VALUE_BYTES];

    for (unsigned int i = 0; i < rows; i++) {
        static const struct divvy_cli_seen_use none = {
            .index = -1,
            .limit_bytes = -1,
            .used_bytes = -1,
            .compute_percent = -1,
            .share_percent = -1,
            .waited_ns = -1,
        };
        const struct divvy_cli_seen_use *use = tenant->use_count ? &tenant->uses[i] : &none;

        /* What belongs to the tenant stands in its first row only. */
        divvy_table_add(table, i ? "" : tenant->id, DIVVY_TINT_NONE);
        divvy_table_add(table, i ? "" : tenant->state, divvy_cli_tint_state(tenant->state));
        divvy_table_add(table, i ? "" : tenant->qos, DIVVY_TINT_NONE);
        (void)snprintf(text, sizeof text, use->index < 0 ? "-" : "%.0f", use->index);
        divvy_table_add(table, text, DIVVY_TINT_NONE);
        divvy_cli_format_used(use->used_bytes, use->limit_bytes, text);
        divvy_table_add(table, text, DIVVY_TINT_NONE);
        divvy_cli_format_asked(use->compute_percent, use->soft, text);
        divvy_cli_format_percent(use->share_percent, got);
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "/%s", got);
        divvy_table_add(table, text, DIVVY_TINT_NONE);
        divvy_cli_format_duration(use->waited_ns < 0 ? -1 : use->waited_ns / 1e9, text);
        divvy_table_add(table, text, DIVVY_TINT_NONE);
        (void)snprintf(text, sizeof text, tenant->process_count < 0 ? "-" : "%.0f",
                       tenant->process_count);
        divvy_table_add(table, i ? "" : text, DIVVY_TINT_NONE);
        /* A clock that was set back makes nobody younger than nothing. */
        divvy_cli_format_duration(tenant->created_s < 0       ? -1
                                  : now_s < tenant->created_s ? 0
                                                              : now_s - tenant->created_s,
                                  text);
        divvy_table_add(table, i ? "" : text, DIVVY_TINT_NONE);
    }
}

static int table_print(const struct divvy_cli_seen_tenant *tenants, size_t count, int all) {
    static const struct divvy_table_column columns[] = {
        {"NAME", false},   {"STATE", false}, {"QOS", false},  {"GPU", true}, {"MEMORY", true},
        {"COMPUTE", true}, {"WAIT", true},   {"PROCS", true}, {"AGE", true},
    };
    unsigned int column_count = sizeof columns / sizeof columns[0];
    struct divvy_table *table = divvy_table_new(columns, column_count);
    struct timespec now;
    size_t hidden = 0;
    int status;

    if (!table)
        return -ENOMEM;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    for (size_t i = 0; i < count; i++)
        if (all || divvy_cli_seen_is_active(&tenants[i]))
            tenant_rows_add(table, &tenants[i], (double)now.tv_sec + (double)now.tv_nsec / 1e9);
        else
            hidden++;
    status = divvy_table_print(table, stdout, divvy_table_width(stdout),
                                   divvy_table_colour(stdout));
    divvy_table_free(table);
    if (status == 0 && hidden > 0 && divvy_table_width(stdout) > 0)
        (void)printf("and %zu without processes (--all shows them)\n", hidden);
    return status;
}

/* Pods that the daemon has heard of and that have no share, or not the one that they ask for now. */
static json_t *pods_without(const json_t *pods) {
    json_t *found = json_array(), *pod;
    size_t i;

    json_array_foreach(json_object_get(pods, "pods"), i, pod) {
        const char *state = json_string_value(json_object_get(pod, "state"));

        if (state && strcmp(state, "held") != 0)
            (void)json_array_append(found, pod);
    }
    return found;
}

static void pods_print(const json_t *pods) {
    json_t *without = pods_without(pods), *pod;
    const char *message = json_string_value(json_object_get(pods, "message"));
    size_t i;

    if (json_is_true(json_object_get(pods, "cluster")) && !json_is_true(json_object_get(pods, "in_step")))
        (void)printf("the cluster is not followed now: %s\n", message && *message ? message : "no answer yet");
    json_array_foreach(without, i, pod) {
        const char *namespace = "", *name = "", *state = "", *why = "";

        if (json_unpack(pod, "{s:s, s:s, s:s, s:s}", "namespace", &namespace, "name", &name, "state", &state, "message", &why) == 0)
            (void)printf("pod %s/%s %s: %s\n", namespace, name, state, why);
    }
    json_decref(without);
}

/* The daemon's own objects, without those that were not asked for. */
static int json_print(const json_t *answer, const json_t *pods, const struct divvy_cli_seen_tenant *tenants, int all) {
    const json_t *array = json_object_get(answer, "tenants");
    json_t *chosen = json_array();

    for (size_t i = 0; i < json_array_size(array); i++)
        if (all || divvy_cli_seen_is_active(&tenants[i]))
            (void)json_array_append(chosen, json_array_get(array, i));
    if (!json_is_true(json_object_get(pods, "cluster")))
        return divvy_cli_json_print(json_pack("{s:o}", "tenants", chosen), 2, stdout);
    return divvy_cli_json_print(json_pack("{s:o, s:o}", "tenants", chosen, "pods_without_share", pods_without(pods)), 2, stdout);
}

int divvy_cli_verb_ps(int argc, char **argv) {
    struct arguments arguments = {0};
    struct divvy_cli_client *client = NULL;
    struct divvy_error error = {0};
    cleanup_free struct divvy_cli_seen_tenant *tenants = NULL;
    json_t *answer = NULL, *pods = NULL;
    size_t count = 0;
    int status;

    if (argp_parse(&parser, argc, argv, 0, NULL, &arguments) != 0)
        return DIVVY_CLI_USAGE;
    if (divvy_cli_client_find(&client, &error) < 0)
        return divvy_cli_fail("ps", &error);
    status = divvy_cli_client_call(client, "GET", "/api/v1/tenants", NULL, DIVVY_CLI_CALL_MS,
                                   &answer, &error);
    if (status == 0 && (status = divvy_cli_seen_tenants_read(answer, &tenants, &count)) < 0)
        (void)divvy_error_set_errno(&error, status, "divvyd at %s: no list of tenants",
                                    divvy_cli_client_path(client));
    if (status == 0) /* a daemon that knows of none has none */
        (void)divvy_cli_client_call(client, "GET", "/api/v1/node/pods", NULL, DIVVY_CLI_CALL_MS, &pods, NULL);
    divvy_cli_client_free(client);
    if (status == 0 && arguments.json) {
        status = json_print(answer, pods, tenants, arguments.all);
    } else if (status == 0) {
        status = table_print(tenants, count, arguments.all);
        if (status < 0)
            (void)divvy_error_set_errno(&error, status, "cannot print the tenants");
        else
            pods_print(pods);
    }
    json_decref(pods);
    json_decref(answer);
    return status < 0 ? divvy_cli_fail("ps", &error) : status;
}
