/* divvy cloudstack: Apache CloudStack's machines get vGPUs of this host. */
#include "base/cleanup.h"
#include "base/log.h"
#include "base/table.h"
#include "cli/act.h"
#include "cli/cli.h"
#include "cli/cloudstack_sync.h"

#include <argp.h>
#include <curl/curl.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_PATH  "/etc/divvy/cloudstack.json"
#define PAUSE_MAX_S  300u

struct arguments {
    const char *config;
    int json, once, only_tell, count;
    char **words; /* part of argv */
};

enum { OPTION_CONFIG = 0x100, OPTION_JSON, OPTION_ONCE, OPTION_DRY };

static const struct argp_option options[] = {
    {"config", OPTION_CONFIG, "FILE", 0, "The configuration (" CONFIG_PATH ")", 0},
    {"once", OPTION_ONCE, NULL, 0, "follow: one round", 0},
    {"dry-run", OPTION_DRY, NULL, 0, "follow: tell what would be done", 0},
    {"json", OPTION_JSON, NULL, 0, "For machines: JSON", 0},
    {0},
};

static error_t argument_take(int key, char *value, struct argp_state *state) {
    struct arguments *a = state->input;

    switch (key) {
    case OPTION_CONFIG:
        a->config = value;
        return 0;
    case OPTION_JSON:
        a->json = 1;
        return 0;
    case OPTION_ONCE:
        a->once = 1;
        return 0;
    case OPTION_DRY:
        a->only_tell = a->once = 1;
        return 0;
    case ARGP_KEY_ARGS:
        a->words = state->argv + state->next;
        a->count = state->argc - state->next;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "say what to do: follow, vms or call");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp parser = {
    .options = options,
    .parser = argument_take,
    .args_doc = "follow|vms|call COMMAND [NAME=VALUE...]",
    .doc = "Apache CloudStack's virtual machines get vGPUs of this host.\v"
           "follow  machines that run get what the configuration says for their offering,\n"
           "        and give it back when they stop; until SIGTERM, or --once\n"
           "vms     the machines, and what they are to have\n"
           "call    one command of CloudStack's API, signed; waits for its job\n\n"
           "For example:\n"
           "  divvy cloudstack follow --once --dry-run\n"
           "  divvy cloudstack call startVirtualMachine id=3430f778-...\n\n"
           "Exit status: 0 when it was done, 1 when it was not, 2 for wrong use.",
};

/* --- call ---------------------------------------------------------------------------------------------------------------------- */

static json_t *parameters_read(const struct arguments *a, struct divvy_error *error) {
    json_t *parameters = json_object();

    for (int i = 2; i < a->count; i++) {
        char *equals = strchr(a->words[i], '=');
        json_t *value = equals ? json_string(equals + 1) : NULL;

        if (equals)
            *equals = '\0';
        if (!value || json_object_set_new(parameters, a->words[i], value) < 0) {
            (void)divvy_error_set(error, -EINVAL, "'%.60s' is not NAME=VALUE", a->words[i]);
            json_decref(parameters);
            return NULL;
        }
    }
    return parameters;
}

static int call(const struct divvy_cloudstack_config *config, const struct arguments *a) {
    struct divvy_error error = {0};
    json_t *parameters, *response = NULL, *result = NULL;
    const char *job;
    int status;

    if (a->count < 2)
        (void)divvy_error_set(&error, -EINVAL, "which command? For example listZones");
    parameters = error.status < 0 ? NULL : parameters_read(a, &error);
    if (!parameters)
        return divvy_cli_fail("cloudstack", &error);
    status = divvy_cloudstack_call(&config->cloud, a->words[1], parameters, &response, &error);
    json_decref(parameters);
    job = json_string_value(json_object_get(response, "jobid"));
    if (status == 0 && job && strcasecmp(a->words[1], "queryAsyncJobResult") != 0)
        status = divvy_cloudstack_job_wait(&config->cloud, job, &result, &error);
    if (status < 0) {
        json_decref(response);
        (void)divvy_cli_fail("cloudstack", &error);
        return DIVVY_CLI_FAILED;
    }
    if (result) {
        json_decref(response);
        response = result;
    }
    return divvy_cli_json_print(response, 2, stdout);
}

/* --- vms ----------------------------------------------------------------------------------------------------------------------- */

static int vms(const struct divvy_cloudstack_config *config, const struct arguments *a) {
    static const char *const wishes[] = {"none", "as it is", "vGPU"};
    static const struct divvy_table_column titles[] = {{"VM", false}, {"STATE", false}, {"HOST", false}, {"OFFERING", false}, {"WANTS", false}, {"UUID", false}};
    cleanup_free struct divvy_cloudstack_vm *list = NULL;
    struct divvy_table *table = divvy_table_new(titles, 6);
    struct divvy_error error = {0};
    json_t *array = json_array();
    size_t count = 0;
    int status;

    if (divvy_cloudstack_vms(&config->cloud, &list, &count, &error) < 0) {
        divvy_table_free(table);
        json_decref(array);
        (void)divvy_cli_fail("cloudstack", &error);
        return DIVVY_CLI_FAILED;
    }
    for (size_t i = 0; i < count; i++) {
        const struct divvy_cloudstack_vm *vm = &list[i];
        const char *cells[] = {vm->name, vm->state, vm->host, vm->offering, wishes[divvy_cloudstack_wish(config, vm)], vm->id};

        for (size_t c = 0; table && c < 6; c++)
            divvy_table_add(table, cells[c][0] ? cells[c] : "-", DIVVY_TINT_NONE);
        (void)json_array_append_new(array, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "uuid", vm->id, "name", vm->name, "state", vm->state,
                                                     "host", vm->host, "offering", vm->offering, "wants", cells[4]));
    }
    if (a->json) {
        divvy_table_free(table);
        return divvy_cli_json_print(json_pack("{s:o}", "vms", array), 2, stdout);
    }
    status = table ? divvy_table_print(table, stdout, divvy_table_width(stdout), divvy_table_colour(stdout)) : -ENOMEM;
    divvy_table_free(table);
    json_decref(array);
    return status < 0 ? DIVVY_CLI_FAILED : DIVVY_CLI_OK;
}

/* --- follow -------------------------------------------------------------------------------------------------------------------- */

static void deeds_print(const json_t *deeds, bool only_tell) {
    const json_t *deed;
    size_t i;

    json_array_foreach(deeds, i, deed) {
        const char *failed = json_string_value(json_object_get(deed, "error"));

        (void)printf("%s%s %s (%s)%s%s\n", failed ? "not " : only_tell ? "would be " : "", json_string_value(json_object_get(deed, "did")),
                     json_string_value(json_object_get(deed, "vm")), json_string_value(json_object_get(deed, "uuid")), failed ? ": " : "",
                     failed ? failed : "");
    }
    (void)fflush(stdout);
}

/* One round and what came of it. The exit status. */
static int round_do(const struct divvy_cloudstack_config *config, const struct arguments *a) {
    struct divvy_cloudstack_round round = {0};
    struct divvy_cli_client *agent;
    struct divvy_error error = {0};
    int status = divvy_cli_client_find(&agent, &error);

    if (status == 0) {
        status = divvy_cloudstack_round(config, agent, a->only_tell, &round, &error);
        divvy_cli_client_free(agent);
    }
    if (status < 0)
        divvy_cli_complain("cloudstack", "%s", error.text);
    if (a->json && round.deeds)
        (void)divvy_cli_json_print(json_pack("{s:i, s:i, s:i, s:i, s:O}", "vms", (int)round.vms, "assigned", (int)round.assigned, "released",
                                             (int)round.released, "failed", (int)round.failed, "deeds", round.deeds),
                                   a->once ? 2 : 0, stdout);
    else
        deeds_print(round.deeds, a->only_tell);
    json_decref(round.deeds);
    return status < 0 || round.failed > 0 ? DIVVY_CLI_FAILED : DIVVY_CLI_OK;
}

/* Rounds until a signal; after failures the pauses grow. */
static int follow(const struct divvy_cloudstack_config *config, const struct arguments *a) {
    uint32_t pause_s = config->interval_s;
    sigset_t set;
    int status;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    if (!a->once)
        (void)sigprocmask(SIG_BLOCK, &set, NULL);
    for (;;) {
        struct timespec pause = {0};

        status = round_do(config, a);
        if (a->once)
            return status;
        pause_s = status == DIVVY_CLI_OK ? config->interval_s : pause_s < PAUSE_MAX_S / 2 ? 2 * pause_s : PAUSE_MAX_S;
        pause.tv_sec = pause_s;
        if (sigtimedwait(&set, NULL, &pause) > 0)
            return DIVVY_CLI_OK;
    }
}

int divvy_cli_verb_cloudstack(int argc, char **argv) {
    static const struct {
        const char *name;
        int (*run)(const struct divvy_cloudstack_config *config, const struct arguments *arguments);
    } parts[] = {{"follow", follow}, {"vms", vms}, {"call", call}};
    static struct divvy_cloudstack_config config;
    struct arguments arguments = {.config = CONFIG_PATH};
    struct divvy_error error = {0};

    if (argp_parse(&parser, argc, argv, 0, NULL, &arguments) != 0)
        return DIVVY_CLI_USAGE;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strcmp(parts[i].name, arguments.words[0]) == 0) {
            if (parts[i].run != call && arguments.count > 1)
                break;
            if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                (void)divvy_error_set(&error, -ENOMEM, "no memory");
            if (error.status < 0 || divvy_cloudstack_config_read(arguments.config, &config, &error) < 0)
                return divvy_cli_fail("cloudstack", &error);
            return parts[i].run(&config, &arguments);
        }
    divvy_cli_complain("cloudstack", "'%.40s' is none of follow, vms and call, or has too much behind it", arguments.words[0]);
    return DIVVY_CLI_USAGE;
}
