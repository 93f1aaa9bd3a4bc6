/* The two-way channel's routes: a process follows its own commands and answers them. */
#include "daemon/http/server.h"
#include "daemon/remote.h"
#include "wire/channel_server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whether the process is one of a tenant that is the caller's own. */
static bool is_own_process(struct divvy_http_request *request, int32_t pid) {
    struct divvy_node_tenant tenant;

    if (request->peer.known && request->peer.pid == pid && request->credential == DIVVY_HTTP_CREDENTIAL_USER)
        return true;
    if (divvy_daemon_process_tenant(request->daemon, pid, &tenant) < 0 || !divvy_http_may_see(request, &tenant))
        return false;
    return request->credential != DIVVY_HTTP_CREDENTIAL_USER || tenant.owner_uid == request->peer.uid;
}

/* The pid of "worker_<host pid>"; 0: it is another client. */
static int32_t client_pid(const char *client_id) {
    char *end = NULL;
    long pid;

    if (strncmp(client_id, "worker_", 7) != 0 || client_id[7] < '1' || client_id[7] > '9')
        return 0;
    pid = strtol(client_id + 7, &end, 10);
    return *end == '\0' && pid > 0 && pid <= INT32_MAX ? (int32_t)pid : 0;
}

/* Client ids are "worker_<host pid>"; who is no administrator has those of its own processes. */
static bool is_own_client(struct divvy_http_request *request, const char *client_id) {
    int32_t pid = client_pid(client_id);

    return request->credential == DIVVY_HTTP_CREDENTIAL_ADMIN || (pid && is_own_process(request, pid));
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

/* A process that comes, or comes back: it gets its leases here, and is stopped while its tenant is frozen. */
static void newcomer_tell(struct divvy_http_request *request) {
    int32_t pid = client_pid(request->id);
    struct divvy_node_tenant tenant;

    if (!pid || divvy_daemon_process_tenant(request->daemon, pid, &tenant) < 0)
        return;
    if (tenant.frozen)
        process_tell(request, pid, DIVVY_CHANNEL_SUSPEND);
    (void)divvy_daemon_channel_came(request->daemon, pid);
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
    newcomer_tell(request);
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

/* --- leases by the channel: between its server and remote.h ------------------------------------------------------- */

static int lease_send(void *context, const struct divvy_remote_order *order, uint64_t *ret_number) {
    static const char *const modes[DIVVY_CONTROL_MODE_MAX] = {"self", "open", "leased", "frozen"};
    struct divvy_http *http = context;
    struct divvy_channel_order command = {.kind = DIVVY_CHANNEL_LEASE,
                                          .device = order->device,
                                          .mode = modes[order->mode],
                                          .begin_ns = order->begin_ns,
                                          .length_ns = order->length_ns,
                                          .budget_ns = order->budget_ns,
                                          .door = order->door,
                                          .has_limits = order->memory_bytes <= INT64_MAX,
                                          .memory_bytes = order->memory_bytes,
                                          .permille = order->permille};
    char client_id[DIVVY_CHANNEL_CLIENT_ID_BYTES];

    snprintf(client_id, sizeof client_id, "worker_%d", order->pid);
    if (!divvy_channel_server_is_there(http->channel, client_id))
        return -ENOENT; /* it would lie in the queue, and be of no use when it is read */
    return divvy_channel_server_command(http->channel, client_id, &command, ret_number, NULL);
}

static void lease_finished(void *context, const struct divvy_channel_task *task) {
    struct divvy_http *http = context;
    int32_t pid = client_pid(task->client_id);

    if (pid)
        divvy_remote_done(divvy_daemon_remote(http->daemon), pid, task->tag,
                          task->state == DIVVY_CHANNEL_COMPLETED ? NULL
                          : task->error                          ? task->error
                                                                 : "");
}

static void presence_changed(void *context, const char *client_id, bool is_there) {
    struct divvy_http *http = context;

    if (!is_there && client_pid(client_id))
        divvy_remote_went(divvy_daemon_remote(http->daemon), client_pid(client_id));
}

static int report_take(void *context, const struct divvy_channel_report *report) {
    struct divvy_http *http = context;
    struct divvy_remote_told told[DIVVY_CHANNEL_REPORT_DEVICES];

    for (uint32_t i = 0; i < report->count; i++) {
        told[i] = (struct divvy_remote_told){.waiting = report->devices[i].waiting,
                                             .busy_ns = report->devices[i].busy_ns,
                                             .used_bytes = report->devices[i].used_bytes,
                                             .launches = report->devices[i].launches,
                                             .inflight_ns = report->devices[i].inflight_ns,
                                             .drain_ns = report->devices[i].drain_ns,
                                             .lease = report->devices[i].lease,
                                             .is_over = report->devices[i].is_over};
        memcpy(told[i].device, report->devices[i].uuid, sizeof told[i].device);
    }
    return divvy_remote_report(divvy_daemon_remote(http->daemon), client_pid(report->client_id), report->door, told,
                               report->count);
}

int divvy_http_channel_start(struct divvy_http *http, struct divvy_error *error) {
    struct divvy_channel_server_options options = {.context = http};
    struct divvy_remote *remote = divvy_daemon_remote(http->daemon);
    int result;

    if (remote) {
        options.finished = lease_finished;
        options.presence = presence_changed;
        options.report = report_take;
    }
    result = divvy_channel_server_new(&options, &http->channel);
    if (result == 0 && remote)
        result = divvy_remote_sender_set(remote, lease_send, http);
    return result < 0 ? divvy_error_set_errno(error, result, "the two-way channel cannot be started") : 0;
}

void divvy_http_channel_stop(struct divvy_http *http) {
    struct divvy_remote *remote = divvy_daemon_remote(http->daemon);

    if (remote)
        (void)divvy_remote_sender_set(remote, NULL, NULL);
    if (http->channel)
        divvy_channel_server_stop(http->channel);
}
