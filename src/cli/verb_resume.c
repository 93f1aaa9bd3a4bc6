/* divvy resume: a frozen tenant goes on; one whose memory was saved gets it back first. */
#include "cli/act.h"
#include "cli/cli.h"

#include <string.h>

/* Bringing back the device memory of large tenants takes its time. */
#define RESUME_MS 300000u

static const char doc[] =
    "Let tenants go on that `divvy freeze' stopped or `divvy snapshot' saved. Device memory "
    "that was saved is brought back first; for that there must be room on the GPU.\v"
    "For example:\n"
    "  divvy resume train\n\n"
    "Exit status: 0 when all go on (also those that were not stopped), 1 when one does not, "
    "2 for wrong use.";

static int resume(struct divvy_cli_client *client, const char *id, void *data,
                  struct divvy_cli_deed *ret_deed, struct divvy_error *error) {
    char path[DIVVY_CLI_TENANT_PATH_BYTES];
    json_t *tenant = NULL;
    const char *state;
    bool saved, frozen;

    (void)data;
    if (divvy_cli_client_tenant_path(id, "", path, sizeof path, error) < 0 ||
        divvy_cli_client_call(client, "GET", path, NULL, DIVVY_CLI_CALL_MS, &tenant, error) < 0)
        return error->status;
    state = json_string_value(json_object_get(tenant, "state"));
    saved = state && (strcmp(state, "saved") == 0 || strcmp(state, "asleep") == 0);
    frozen =
        json_is_true(json_object_get(tenant, "frozen")) || (state && strcmp(state, "frozen") == 0);
    if (!saved && !frozen) {
        ret_deed->did = "was not stopped";
        ret_deed->answer = tenant;
        return 0;
    }
    json_decref(tenant);
    ret_deed->did = "goes on";
    if (saved)
        return divvy_cli_act_post(client, id, "/resume", RESUME_MS, ret_deed, error);
    return divvy_cli_act_post(client, id, "/thaw", DIVVY_CLI_CALL_MS, ret_deed, error);
}

int divvy_cli_verb_resume(int argc, char **argv) {
    struct divvy_cli_targets targets;

    if (divvy_cli_targets_parse(argc, argv, doc, &targets) != 0)
        return DIVVY_CLI_USAGE;
    return divvy_cli_act_on_each("resume", &targets, resume, NULL);
}
