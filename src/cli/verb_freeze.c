/* divvy freeze: a tenant's GPU work stops until divvy resume. */
#include "cli/act.h"
#include "cli/cli.h"

static const char doc[] =
    "Stop the GPU work of tenants: their programs go on until they want to start something "
    "on the GPU, and wait there. Device memory stays theirs.\v"
    "For example:\n"
    "  divvy freeze train\n"
    "  divvy freeze train web && sleep 60 && divvy resume train web\n\n"
    "`divvy snapshot' also frees the device memory; `divvy resume' undoes both.\n\n"
    "Exit status: 0 when all are frozen, 1 when one is not, 2 for wrong use.";

static int freeze(struct divvy_cli_client *client, const char *id, void *data,
                  struct divvy_cli_deed *ret_deed, struct divvy_error *error) {
    (void)data;
    ret_deed->did = "frozen";
    return divvy_cli_act_post(client, id, "/freeze", DIVVY_CLI_CALL_MS, ret_deed, error);
}

int divvy_cli_verb_freeze(int argc, char **argv) {
    struct divvy_cli_targets targets;

    if (divvy_cli_targets_parse(argc, argv, doc, &targets) != 0)
        return DIVVY_CLI_USAGE;
    return divvy_cli_act_on_each("freeze", &targets, freeze, NULL);
}
