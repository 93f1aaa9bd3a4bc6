/* A tenant that the daemon keeps: see member.h. */
#include "cli/member.h"

#include "base/cleanup.h"
#include "cli/seen.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define LEAVE_MS 2000u

/* A daemon that says nothing of it is an older one, which knows closed only. */
static int policy_read(struct divvy_cli_client *client, bool *ret_fails_open, struct divvy_error *error) {
    json_t *node = NULL;
    const char *policy;
    int status = divvy_cli_client_call(client, "GET", "/api/v1/node", NULL, DIVVY_CLI_CALL_MS, &node, error);

    if (status < 0)
        return status;
    policy = json_string_value(json_object_get(node, "fail_policy"));
    *ret_fails_open = policy && strcmp(policy, "open") == 0;
    json_decref(node);
    return 0;
}

int divvy_cli_member_init(struct divvy_cli_member *member, struct divvy_cli_client *client,
                          const struct divvy_cli_wish *wish, struct divvy_error *error) {
    json_t *device = json_pack("{s:s}", "gpu", wish->gpu);
    int status = 0;

    *member = (struct divvy_cli_member){.socket = {.given = true, .count = 1}};
    (void)snprintf(member->socket.paths[0], sizeof member->socket.paths[0], "%s",
                   divvy_cli_client_path(client));
    (void)snprintf(member->id, sizeof member->id, "%s", wish->id);
    if (wish->memory_bytes)
        status |= json_object_set_new(device, "memory_limit_bytes",
                                      json_integer((json_int_t)wish->memory_bytes));
    if (wish->percent)
        status |= json_object_set_new(device, "compute_percent", json_integer(wish->percent));
    if (wish->soft)
        status |= json_object_set_new(device, "soft", json_true());
    if (wish->weight)
        status |= json_object_set_new(device, "weight", json_integer((json_int_t)wish->weight));
    member->spec = json_pack("{s:s, s:[o]}", "id", wish->id, "devices", device);
    if (wish->qos)
        status |= json_object_set_new(member->spec, "qos", json_string(wish->qos));
    if (!member->spec || status != 0)
        return divvy_error_set_errno(error, -ENOMEM, "cannot register the tenant");
    return policy_read(client, &member->fails_open, error);
}

int divvy_cli_member_gpu_check(struct divvy_cli_client *client, const char *uuid,
                               struct divvy_error *error) {
    cleanup_free struct divvy_cli_seen_device *devices = NULL;
    const struct divvy_cli_seen_device *found = NULL;
    json_t *answer = NULL;
    size_t count = 0;
    int status = divvy_cli_client_call(client, "GET", "/api/v1/node/devices", NULL,
                                       DIVVY_CLI_CALL_MS, &answer, error);

    if (status < 0)
        return status;
    (void)divvy_cli_seen_devices_read(answer, &devices, &count);
    json_decref(answer);
    for (size_t i = 0; i < count && !found; i++)
        if (strcasecmp(devices[i].uuid, uuid) == 0)
            found = &devices[i];
    if (!found)
        return divvy_error_set(error, -ENODEV, "divvyd at %s does not have %s",
                               divvy_cli_client_path(client), uuid);
    if (!found->healthy)
        return divvy_error_set(error, -ENODEV, "divvyd at %s has lost %s",
                               divvy_cli_client_path(client), uuid);
    return 0;
}

int divvy_cli_member_enter(const struct divvy_cli_member *member, char *ret_folder,
                           size_t size_bytes, struct divvy_error *error) {
    struct divvy_cli_client *client = NULL;
    json_t *answer = NULL;
    const char *folder;
    int status;

    if (json_object_set_new(member->spec, "keeper_pid", json_integer(getpid())) < 0)
        return divvy_error_set_errno(error, -ENOMEM, "cannot register the tenant");
    status = divvy_cli_client_open(&member->socket, &client, error);
    if (status == 0)
        status = divvy_cli_client_call(client, "POST", "/api/v1/tenants", member->spec,
                                       DIVVY_CLI_CALL_MS, &answer, error);
    if (status == -EBUSY) {
        size_t length = strlen(error->text);

        (void)snprintf(error->text + length, sizeof error->text - length,
                       "; give another --name, or wait for it");
    }
    folder = json_string_value(json_object_get(answer, "folder"));
    if (status == 0 && (!folder || folder[0] != '/' || strlen(folder) >= size_bytes))
        status = divvy_error_set(error, -EPROTO,
                                 "divvyd at %s made the tenant but names no folder for it",
                                 divvy_cli_client_path(client));
    if (status == 0)
        (void)snprintf(ret_folder, size_bytes, "%s", folder);
    json_decref(answer);
    divvy_cli_client_free(client);
    return status;
}

void divvy_cli_member_leave(const struct divvy_cli_member *member) {
    /* Its processes are gone, even if the daemon has not noticed yet. */
    static const char *const ways[] = {"", "?force=1"};
    struct divvy_cli_client *client = NULL;
    struct divvy_error error;
    char path[DIVVY_CLI_TENANT_PATH_BYTES];
    int status = divvy_cli_client_open(&member->socket, &client, &error);

    if (status == 0)
        status = -EBUSY;
    for (size_t i = 0; status == -EBUSY && i < sizeof ways / sizeof ways[0]; i++)
        if (divvy_cli_client_tenant_path(member->id, ways[i], path, sizeof path, &error) == 0)
            status = divvy_cli_client_call(client, "DELETE", path, NULL, LEAVE_MS, NULL, &error);
    divvy_cli_client_free(client);
}
