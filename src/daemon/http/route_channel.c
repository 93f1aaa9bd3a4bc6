/* The two-way channel's routes: a process follows its own commands and answers them. */
#include "daemon/http/copies.h"
#include "daemon/http/server.h"
#include "wire/channel_server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whether the process is one of a tenant that is the caller's own. */
static bool is_own_process(struct divvy_http_request *request, int32_t pid) {
    struct divvy_http_copies copies;
    bool found = false;

    if (request->peer.known && request->peer.pid == pid && request->credential == DIVVY_HTTP_CREDENTIAL_USER)
        return true;
    if (divvy_http_copies_get(request, &copies) == 0)
        for (size_t i = 0; i < copies.tenant_count && !found; i++) {
            struct divvy_node_process *processes = NULL;
            size_t count = 0;

            if (request->credential == DIVVY_HTTP_CREDENTIAL_USER && copies.tenants[i].owner_uid != request->peer.uid)
                continue;
            if (divvy_daemon_processes(request->daemon, copies.tenants[i].id, &processes, &count) == 0)
                for (size_t j = 0; j < count; j++)
                    found = found || processes[j].host_pid == pid;
            free(processes);
        }
    divvy_http_copies_free(&copies);
    return found;
}

/* Client ids are "worker_<host pid>"; who is no administrator has those of its own processes. */
static bool is_own_client(struct divvy_http_request *request, const char *client_id) {
    char *end = NULL;
    long pid;

    if (request->credential == DIVVY_HTTP_CREDENTIAL_ADMIN)
        return true;
    if (strncmp(client_id, "worker_", 7) != 0 || client_id[7] < '1' || client_id[7] > '9')
        return false;
    pid = strtol(client_id + 7, &end, 10);
    return *end == '\0' && pid > 0 && pid <= INT32_MAX && is_own_process(request, (int32_t)pid);
}

static void process_tell(struct divvy_http_request *request, int32_t host_pid, enum divvy_channel_kind kind) {
    struct divvy_channel_order order = {.kind = kind};
    char client_id[DIVVY_CHANNEL_CLIENT_ID_BYTES];

    snprintf(client_id, sizeof client_id, "worker_%d", host_pid);
    if (divvy_channel_server_is_there(request->http->channel, client_id))
        (void)divvy_channel_server_command(request->http->channel, client_id, &order, NULL, NULL);
}

void divvy_http_channel_freeze(struct divvy_http_request *request, const char *tenant, bool frozen) {
    struct divvy_node_process *processes = NULL;
    size_t count = 0;

    if (divvy_daemon_processes(request->daemon, tenant, &processes, &count) < 0)
        return;
    for (size_t i = 0; i < count; i++)
        process_tell(request, processes[i].host_pid, frozen ? DIVVY_CHANNEL_SUSPEND : DIVVY_CHANNEL_RESUME);
    free(processes);
}

/* A process that comes, or comes back, while its tenant is frozen. */
static void newcomer_freeze(struct divvy_http_request *request, const char *client_id) {
    long pid = strncmp(client_id, "worker_", 7) == 0 ? strtol(client_id + 7, NULL, 10) : 0;
    struct divvy_http_copies copies;

    if (pid > 0 && pid <= INT32_MAX && divvy_http_copies_get(request, &copies) == 0) {
        for (size_t i = 0; i < copies.tenant_count; i++) {
            struct divvy_node_process *processes = NULL;
            size_t count = 0;

            if (!copies.tenants[i].frozen ||
                divvy_daemon_processes(request->daemon, copies.tenants[i].id, &processes, &count) < 0)
                continue;
            for (size_t j = 0; j < count; j++)
                if (processes[j].host_pid == pid)
                    process_tell(request, (int32_t)pid, DIVVY_CHANNEL_SUSPEND);
            free(processes);
        }
        divvy_http_copies_free(&copies);
    }
}

int divvy_http_get_channel_events(struct divvy_http_request *request) {
    const char *accept = divvy_http_header(request, "Accept");
    uint64_t wait_s = 0;
    int result;

    if (divvy_http_query_u64(request, "wait", 3600, &wait_s) < 0)
        return divvy_http_fail(request, 400, "wait must be a whole number of seconds");
    if (!divvy_channel_client_id_is_valid(request->id))
        return divvy_http_fail(request, 400, "the client id is not well formed");
    if (!is_own_client(request, request->id))
        return divvy_http_fail(request, 403, "this client id belongs to another process");
    if (strcmp(request->method, "HEAD") == 0) /* takes nobody's place */
        return divvy_http_answer_empty(request, 200);
    result = divvy_channel_server_events(request->http->channel, request->id, accept && strstr(accept, "text/event-stream"),
                                         (int64_t)wait_s * 1000000000, request->connection, &request->response);
    if (result == -EINVAL)
        return divvy_http_fail(request, 400, "the client id is not well formed");
    if (result < 0)
        return divvy_http_fail(request, 503, "no place for this client: %s", strerror(-result));
    newcomer_freeze(request, request->id);
    request->status = 200;
    return 200;
}

/* The client id that the body names, if it is the caller's. 0, or the status of the refusal. */
static int body_client(struct divvy_http_request *request, char client_id[DIVVY_CHANNEL_CLIENT_ID_BYTES]) {
    json_t *body;
    const char *text;
    int status = divvy_http_body_object(request, false, &body);

    if (status != 0)
        return status;
    text = json_string_value(json_object_get(body, "client_id"));
    if (!text || strlen(text) >= DIVVY_CHANNEL_CLIENT_ID_BYTES || !divvy_channel_client_id_is_valid(text))
        status = divvy_http_fail(request, 400, "client_id is missing or not well formed");
    else if (!is_own_client(request, text))
        status = divvy_http_fail(request, 403, "this client id belongs to another process");
    else
        memcpy(client_id, text, strlen(text) + 1);
    json_decref(body);
    return status;
}

static int body_pass(struct divvy_http_request *request,
                     int (*pass)(struct divvy_channel_server *, const char *, const char *, size_t, struct divvy_error *)) {
    char client_id[DIVVY_CHANNEL_CLIENT_ID_BYTES];
    struct divvy_error error = {0};
    int status = body_client(request, client_id);

    if (status != 0)
        return status;
    status = pass(request->http->channel, client_id, request->body, request->body_length, &error);
    if (status != 200)
        return divvy_http_fail(request, status, "%s", error.text[0] ? error.text : "refused");
    return divvy_http_answer_empty(request, 200);
}

int divvy_http_post_channel_result(struct divvy_http_request *request) {
    return body_pass(request, divvy_channel_server_result);
}

int divvy_http_post_channel_report(struct divvy_http_request *request) {
    return body_pass(request, divvy_channel_server_report);
}
