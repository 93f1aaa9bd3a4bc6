/* divvy rm: the daemon forgets a tenant. */
#include "cli/act.h"
#include "cli/cli.h"

#include <errno.h>
#include <string.h>

enum { OPTION_FORCE = 0x100 };

struct arguments {
    struct divvy_cli_targets targets;
    int force;
};

static error_t argument_take(int key, char *value, struct argp_state *state) {
    struct arguments *arguments = state->input;

    if (key == OPTION_FORCE) {
        arguments->force = 1;
        return 0;
    }
    return divvy_cli_targets_take(key, value, state, &arguments->targets);
}

static const struct argp_option options[] = {
    {"force", OPTION_FORCE, NULL, 0, "Also one that still has processes", 0},
    {"json", DIVVY_CLI_OPTION_JSON, NULL, 0, "For machines: one JSON object", 0},
    {0},
};

static const struct argp parser = {
    .options = options,
    .parser = argument_take,
    .args_doc = "TENANT...",
    .doc = "Forget tenants. No process is ended: those that a tenant still has go on at their last "
           "limits, but are no longer seen or steered.\v"
           "For example:\n"
           "  divvy rm old\n"
           "  divvy rm --force stuck\n\n"
           "A tenant of `divvy run' goes by itself with its last process.\n\n"
           "Exit status: 0 when all are gone, 1 when one is not, 2 for wrong use.",
};

static int forget(struct divvy_cli_client *client, const char *id, void *data,
                  struct divvy_cli_deed *ret_deed, struct divvy_error *error) {
    const struct arguments *arguments = data;
    char path[DIVVY_CLI_TENANT_PATH_BYTES];
    size_t length;
    int status;

    ret_deed->did = "removed";
    status = divvy_cli_client_tenant_path(id, arguments->force ? "?force=1" : "", path, sizeof path,
                                          error);
    if (status < 0)
        return status;
    status = divvy_cli_client_call(client, "DELETE", path, NULL, DIVVY_CLI_CALL_MS, NULL, error);
    if (status == -EBUSY && !arguments->force && !strstr(error->text, "force")) {
        length = strlen(error->text);
        (void)snprintf(error->text + length, sizeof error->text - length,
                       "; end them, or use --force");
    }
    return status;
}

int divvy_cli_verb_rm(int argc, char **argv) {
    struct arguments arguments = {0};

    if (argp_parse(&parser, argc, argv, 0, NULL, &arguments) != 0)
        return DIVVY_CLI_USAGE;
    return divvy_cli_act_on_each("rm", &arguments.targets, forget, &arguments);
}
