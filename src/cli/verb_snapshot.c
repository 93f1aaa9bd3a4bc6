/* divvy snapshot: a tenant's device memory goes to host memory, and the GPU's is free. */
#include "cli/act.h"
#include "cli/cli.h"

/* Tens of GiB cross the bus, one process after the other. */
#define SNAPSHOT_MS 300000u

static const char doc[] =
    "Save the device memory of tenants in host memory and free it on the GPU; their "
    "programs stop until `divvy resume'. The driver must be able to do this.\v"
    "For example:\n"
    "  divvy snapshot train      another tenant can have its memory\n"
    "  divvy resume train        and back\n\n"
    "Exit status: 0 when all are saved, 1 when one is not, 2 for wrong use.";

static int snapshot(struct divvy_cli_client *client, const char *id, void *data,
                    struct divvy_cli_deed *ret_deed, struct divvy_error *error) {
    (void)data;
    ret_deed->did = "saved, its device memory is free";
    return divvy_cli_act_post(client, id, "/snapshot", SNAPSHOT_MS, ret_deed, error);
}

int divvy_cli_verb_snapshot(int argc, char **argv) {
    struct divvy_cli_targets targets;

    if (divvy_cli_targets_parse(argc, argv, doc, &targets) != 0)
        return DIVVY_CLI_USAGE;
    return divvy_cli_act_on_each("snapshot", &targets, snapshot, NULL);
}
