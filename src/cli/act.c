/* Doing something to tenants: see act.h. */
#include "cli/act.h"

#include "cli/cli.h"

#include <errno.h>
#include <string.h>

error_t divvy_cli_targets_take(int key, char *value, struct argp_state *state,
                               struct divvy_cli_targets *targets) {
    (void)value;
    switch (key) {
    case DIVVY_CLI_OPTION_JSON:
        targets->json = 1;
        return 0;
    case ARGP_KEY_ARGS:
        targets->ids = state->argv + state->next;
        targets->count = state->argc - state->next;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "no TENANT is given (`divvy ps' lists them)");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t targets_only(int key, char *value, struct argp_state *state) {
    return divvy_cli_targets_take(key, value, state, state->input);
}

int divvy_cli_targets_parse(int argc, char **argv, const char *doc,
                            struct divvy_cli_targets *ret_targets) {
    static const struct argp_option options[] = {
        {"json", DIVVY_CLI_OPTION_JSON, NULL, 0, "For machines: one JSON object", 0},
        {0},
    };
    const struct argp parser = {
        .options = options, .parser = targets_only, .args_doc = "TENANT...", .doc = doc};

    *ret_targets = (struct divvy_cli_targets){0};
    return argp_parse(&parser, argc, argv, 0, NULL, ret_targets) != 0 ? DIVVY_CLI_USAGE : 0;
}

void divvy_cli_act_advise(struct divvy_error *error) {
    static const char unknown[] = "; 'divvy ps --all' lists the tenants";
    static const char foreign[] = "; its owner and root may";
    const char *advice = error->status == -ENOENT  ? unknown
                         : error->status == -EPERM ? foreign
                                                   : "";
    size_t length = strlen(error->text);

    (void)snprintf(error->text + length, sizeof error->text - length, "%s", advice);
}

int divvy_cli_json_print(json_t *value, int indent, FILE *out) {
    /* 12 digits, as the daemon writes numbers: 19.9 and not 19.899999999999999. */
    int status = value ? json_dumpf(value, out, JSON_REAL_PRECISION(12) | (indent ? JSON_INDENT((size_t)indent) : 0)) : -1;

    json_decref(value);
    if (status == 0)
        (void)fputc('\n', out);
    return status == 0 && fflush(out) == 0 ? DIVVY_CLI_OK : DIVVY_CLI_FAILED;
}

int divvy_cli_act_post(struct divvy_cli_client *client, const char *id, const char *tail,
                       unsigned int timeout_ms, struct divvy_cli_deed *ret_deed,
                       struct divvy_error *error) {
    char path[DIVVY_CLI_TENANT_PATH_BYTES];

    if (divvy_cli_client_tenant_path(id, tail, path, sizeof path, error) < 0)
        return error->status;
    return divvy_cli_client_call(client, "POST", path, NULL, timeout_ms, &ret_deed->answer, error);
}

int divvy_cli_act_on_each(const char *verb, const struct divvy_cli_targets *targets,
                          divvy_cli_act_t *act, void *data) {
    struct divvy_cli_client *client = NULL;
    struct divvy_error error = {0};
    json_t *answers = json_array();
    int worst = DIVVY_CLI_OK;

    if (divvy_cli_client_find(&client, &error) < 0) {
        json_decref(answers);
        return divvy_cli_fail(verb, &error);
    }
    for (int i = 0; i < targets->count; i++) {
        struct divvy_cli_deed deed = {0};
        int status;

        if (act(client, targets->ids[i], data, &deed, &error) < 0) {
            divvy_cli_act_advise(&error);
            (void)divvy_error_prefix(&error, "%.64s", targets->ids[i]);
            status = divvy_cli_fail(verb, &error);
            worst = status > worst ? status : worst;
            continue;
        }
        if (!targets->json)
            (void)printf("%s: %s\n", targets->ids[i], deed.did);
        else if (!deed.answer)
            deed.answer = json_pack("{s:s, s:s}", "id", targets->ids[i], "state", deed.did);
        if (deed.answer && targets->json)
            (void)json_array_append(answers, deed.answer);
        json_decref(deed.answer);
    }
    divvy_cli_client_free(client);
    if (targets->json && divvy_cli_json_print(json_pack("{s:O}", "tenants", answers), 2, stdout))
        worst = worst ? worst : DIVVY_CLI_FAILED;
    json_decref(answers);
    return worst;
}
