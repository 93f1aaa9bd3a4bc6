/* divvy vm: what is asked of a relay that runs. */
#include "base/cleanup.h"
#include "base/table.h"
#include "cli/act.h"
#include "cli/cli.h"
#include "cli/vm.h"
#include "remote/relay/admin.h"
#include "remote/relay/ask.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int divvy_cli_vm_push(const char *what, const struct divvy_cli_vm_arguments *arguments) {
    struct divvy_error error = {0};
    char *text = NULL;
    int status = divvy_relay_ask(arguments->admin, DIVVY_RELAY_ADMIN_RELOAD, 0, &text, &error);

    free(text);
    if (status == 0)
        return DIVVY_CLI_OK;
    if (status == -ENOTCONN) {
        (void)fprintf(stderr, "divvy vm %s: no relay runs: it is remembered, and holds when one starts\n", what);
        return DIVVY_CLI_OK;
    }
    (void)divvy_error_prefix(&error, "it is remembered, but does not hold yet");
    return divvy_cli_vm_fail(what, &error);
}

int divvy_cli_vm_reload(const char *what, const struct divvy_cli_vm_arguments *arguments) {
    struct divvy_error error = {0};
    char *text = NULL;

    if (divvy_relay_ask(arguments->admin, DIVVY_RELAY_ADMIN_RELOAD, 0, &text, &error) < 0)
        return divvy_cli_vm_fail(what, &error);
    free(text);
    return DIVVY_CLI_OK;
}

/* --- what the relay tells ------------------------------------------------------------------------------------------------ */

static json_t *ask_json(const char *what, const struct divvy_cli_vm_arguments *arguments, uint32_t command) {
    struct divvy_error error = {0};
    char *text = NULL;
    json_t *answer;

    if (divvy_relay_ask(arguments->admin, command, 0, &text, &error) < 0) {
        (void)divvy_cli_vm_fail(what, &error);
        return NULL;
    }
    answer = json_loads(text, 0, NULL);
    free(text);
    if (!answer)
        divvy_cli_complain("vm", "the relay's answer makes no sense");
    return answer;
}

struct column {
    const char *title, *key;
    bool right;
};

/* The objects of an array as a table. */
static int table_print(const json_t *array, const struct column *columns, unsigned int count) {
    struct divvy_table_column titles[12];
    struct divvy_table *table;
    const json_t *object;
    size_t i;
    int status;

    for (unsigned int c = 0; c < count; c++)
        titles[c] = (struct divvy_table_column){columns[c].title, columns[c].right};
    table = divvy_table_new(titles, count);
    json_array_foreach(array, i, object) for (unsigned int c = 0; c < count; c++) {
        const json_t *value = json_object_get(object, columns[c].key);
        char cell[128], clean[128];

        if (json_is_string(value))
            (void)snprintf(cell, sizeof cell, "%s", json_string_value(value));
        else if (json_is_real(value))
            (void)snprintf(cell, sizeof cell, "%.1f%%", 100 * json_real_value(value));
        else if (json_is_boolean(value))
            (void)snprintf(cell, sizeof cell, "%s", json_is_true(value) ? "yes" : "no");
        else
            (void)snprintf(cell, sizeof cell, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        divvy_text_clean(cell, clean, sizeof clean);
        divvy_table_add(table, clean, DIVVY_TINT_NONE);
    }
    status = table ? divvy_table_print(table, stdout, divvy_table_width(stdout), divvy_table_colour(stdout)) : -ENOMEM;
    divvy_table_free(table);
    return status < 0 ? DIVVY_CLI_FAILED : DIVVY_CLI_OK;
}

int divvy_cli_vm_metrics(const char *what, const struct divvy_cli_vm_arguments *arguments) {
    static const struct column columns[] = {
        {"VM", "name", false},       {"ID", "vm_id", true},          {"JOBS", "jobs", true},     {"ERRORS", "errors", true},
        {"REFUSED", "rejected", true}, {"WAIT", "queued", true},     {"P50US", "p50_us", true},  {"P95US", "p95_us", true},
        {"P99US", "p99_us", true},   {"GPU", "utilisation", true}, {"QUARANTINE", "quarantined", false},
    };
    struct divvy_error error = {0};
    cleanup_free char *text = NULL;
    json_t *answer;
    int status;

    if (arguments->prometheus) {
        if (divvy_relay_ask(arguments->admin, DIVVY_RELAY_ADMIN_METRICS, 1, &text, &error) < 0)
            return divvy_cli_vm_fail(what, &error);
        return fputs(text, stdout) < 0 || fflush(stdout) != 0 ? DIVVY_CLI_FAILED : DIVVY_CLI_OK;
    }
    answer = ask_json(what, arguments, DIVVY_RELAY_ADMIN_METRICS);
    if (!answer)
        return DIVVY_CLI_FAILED;
    if (arguments->json)
        return divvy_cli_json_print(answer, 2, stdout);
    (void)printf("jobs %" JSON_INTEGER_FORMAT ", errors %" JSON_INTEGER_FORMAT ", refused %" JSON_INTEGER_FORMAT
                 ", context switches %" JSON_INTEGER_FORMAT ", resets %" JSON_INTEGER_FORMAT "\n\n",
                 json_integer_value(json_object_get(answer, "jobs")), json_integer_value(json_object_get(answer, "errors")),
                 json_integer_value(json_object_get(answer, "rejected")),
                 json_integer_value(json_object_get(answer, "context_switches")),
                 json_integer_value(json_object_get(answer, "gpu_resets")));
    status = table_print(json_object_get(answer, "vms"), columns, sizeof columns / sizeof columns[0]);
    json_decref(answer);
    return status;
}

int divvy_cli_vm_health(const char *what, const struct divvy_cli_vm_arguments *arguments) {
    static const struct column columns[] = {
        {"WORKER", "address", false}, {"POOLS", "pools", false}, {"REACHABLE", "reachable", false}, {"RUNNING", "running", true}};
    json_t *answer = ask_json(what, arguments, DIVVY_RELAY_ADMIN_HEALTH), *gpus;
    char why[320] = "";
    int status;

    if (!answer)
        return DIVVY_CLI_FAILED;
    gpus = divvy_cli_vm_gpu_health(arguments, why, sizeof why); /* those of this host; the relay has no NVML */
    (void)json_object_set_new(answer, "gpu", gpus ? json_null() : json_string(why));
    (void)json_object_set_new(answer, "gpus", gpus ? gpus : json_array());
    if (arguments->json)
        return divvy_cli_json_print(answer, 2, stdout);
    (void)printf("%s; up for %" JSON_INTEGER_FORMAT " s%s%s\n\n",
                 json_is_true(json_object_get(answer, "healthy")) ? "healthy" : "no worker can be reached",
                 json_integer_value(json_object_get(answer, "uptime_s")), why[0] ? "; GPUs: " : "", why);
    status = table_print(json_object_get(answer, "workers"), columns, sizeof columns / sizeof columns[0]);
    if (status == DIVVY_CLI_OK && gpus) {
        (void)putchar('\n');
        (void)fflush(stdout);
        status = divvy_cli_vm_gpus_print(gpus);
    }
    json_decref(answer);
    return status;
}

int divvy_cli_vm_connections(const char *what, const struct divvy_cli_vm_arguments *arguments) {
    static const struct column columns[] = {{"VM", "name", false},      {"ID", "vm_id", true},      {"AGE", "age_s", true},
                                            {"RX", "rx_bytes", true}, {"TX", "tx_bytes", true}, {"DIALECT", "dialect", false}};
    json_t *answer = ask_json(what, arguments, DIVVY_RELAY_ADMIN_CONNECTIONS);
    int status;

    if (!answer)
        return DIVVY_CLI_FAILED;
    if (arguments->json)
        return divvy_cli_json_print(answer, 2, stdout);
    status = table_print(json_object_get(answer, "connections"), columns, sizeof columns / sizeof columns[0]);
    json_decref(answer);
    return status;
}
