/* ggo share and ggo worker share: links by which others use a worker. */
#include "agent/config.h"
#include "agent/output.h"
#include "agent/share.h"
#include "agent/verbs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct divvy_agent_column columns[] = {
    {"share_id", "SHARE", false}, {"short_link", "LINK", false}, {"worker_id", "WORKER", false},
    {"used_count", "USED", true}, {"max_uses", "OF", true},      {"expires_at", "EXPIRES", false},
    {NULL, NULL, false}};

/* The id of the worker of this name: exactly one must have it, or have it as its id. */
static int worker_find(const struct divvy_agent_platform *platform, const char *name, char *ret_id,
                       size_t size_bytes, struct divvy_error *error) {
    json_t *answer = NULL, *worker, *found = NULL;
    size_t index;
    unsigned int matches = 0;
    int status = divvy_agent_platform_call(platform, DIVVY_AGENT_API_WORKERS, NULL, NULL, NULL,
                                           &answer, error);

    if (status < 0)
        return status;
    json_array_foreach(json_object_get(answer, "workers"), index, worker) {
        const char *each = json_string_value(json_object_get(worker, "name"));
        const char *id = json_string_value(json_object_get(worker, "worker_id"));

        if ((each && strcmp(each, name) == 0) || strcmp(id, name) == 0) {
            found = worker;
            matches++;
        }
    }
    if (matches == 0)
        status = divvy_error_set(error, -ENOENT,
                                 "no worker is called '%.60s'; 'ggo worker list' lists them", name);
    else if (matches > 1)
        status = divvy_error_set(error, -EINVAL, "%u workers are called '%.60s'; give --worker-id",
                                 matches, name);
    else
        (void)snprintf(ret_id, size_bytes, "%s",
                       json_string_value(json_object_get(found, "worker_id")));
    json_decref(answer);
    return status;
}

static int address_check(const char *text, struct divvy_error *error) {
    unsigned char bytes[sizeof(struct in6_addr)];

    if (inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1)
        return 0;
    return divvy_error_set(error, -EINVAL,
                           "--connection-ip '%.60s': write an IP address that clients can reach",
                           text);
}

static json_t *body_make(const struct divvy_agent_call *call, const char *worker,
                         const char *address) {
    json_t *body = json_pack("{s:s, s:s}", "worker_id", worker, "connection_ip", address);
    char until[DIVVY_AGENT_TIME_BYTES];

    if (body && call->values[DIVVY_AGENT_EXPIRES_IN]) {
        divvy_agent_time_format(
            (int64_t)time(NULL) + (int64_t)call->numbers[DIVVY_AGENT_EXPIRES_IN], until);
        (void)json_object_set_new(body, "expires_at", json_string(until));
    }
    if (body && call->values[DIVVY_AGENT_MAX_USES] && call->numbers[DIVVY_AGENT_MAX_USES] > 0)
        (void)json_object_set_new(body, "max_uses",
                                  json_integer((json_int_t)call->numbers[DIVVY_AGENT_MAX_USES]));
    return body;
}

static int create(struct divvy_agent_call *call, const char *address, json_t **ret_answer,
                  struct divvy_error *error) {
    static struct divvy_agent_platform platform;
    const char *id = call->values[DIVVY_AGENT_WORKER_ID];
    char worker[512];
    json_t *body;
    int status = address_check(address, error);

    if (status == 0 && !id && !call->argument_count)
        status = divvy_error_set(error, -EINVAL, "which worker? Give its name, or --worker-id ID");
    if (status == 0 && id && call->argument_count)
        status = divvy_error_set(error, -EINVAL, "give either the worker's name or --worker-id");
    if (status == 0)
        status = divvy_agent_user_open(call, &platform, error);
    if (status == 0 && id)
        (void)snprintf(worker, sizeof worker, "%s", id);
    else if (status == 0)
        status = worker_find(&platform, call->arguments[0], worker, sizeof worker, error);
    if (status < 0)
        return status;
    body = body_make(call, worker, address);
    status = body ? divvy_agent_platform_call(&platform, DIVVY_AGENT_API_SHARE_CREATE, NULL, NULL,
                                              body, ret_answer, error)
                  : divvy_error_set(error, -EINVAL, "an option holds text that is not UTF-8");
    json_decref(body);
    return status;
}

int divvy_agent_verb_share_create(struct divvy_agent_call *call) {
    struct divvy_error error = {0};
    char *address =
        call->values[DIVVY_AGENT_CONNECTION_IP]
            ? strdup(call->values[DIVVY_AGENT_CONNECTION_IP])
            : divvy_agent_ask("connection-ip", "Address that clients connect to (IP)", &error);
    json_t *answer = NULL;
    int status = address ? create(call, address, &answer, &error) : -EINVAL;

    free(address);
    if (status < 0) {
        json_decref(answer);
        return divvy_agent_fail(call, &error);
    }
    status = divvy_agent_print_item(call, answer);
    json_decref(answer);
    return status;
}

int divvy_agent_verb_share_list(struct divvy_agent_call *call) {
    static struct divvy_agent_platform platform;
    struct divvy_error error = {0};
    json_t *answer = NULL;
    int status = divvy_agent_user_open(call, &platform, &error);

    if (status == 0)
        status = divvy_agent_platform_call(&platform, DIVVY_AGENT_API_SHARES, NULL, NULL, NULL,
                                           &answer, &error);
    status = status < 0 ? divvy_agent_fail(call, &error)
                        : divvy_agent_print_items(call, json_object_get(answer, "shares"), columns,
                                                  "no shares");
    json_decref(answer);
    return status;
}

int divvy_agent_verb_share_get(struct divvy_agent_call *call) {
    struct divvy_error error = {0};
    char code[DIVVY_AGENT_CODE_BYTES];
    json_t *share = NULL;
    int status = divvy_agent_code_parse(call->arguments[0], code, &error);

    if (status == 0)
        status = divvy_agent_code_resolve(call, code, &share, &error);
    status = status < 0 ? divvy_agent_fail(call, &error) : divvy_agent_print_item(call, share);
    json_decref(share);
    return status;
}

int divvy_agent_verb_share_delete(struct divvy_agent_call *call) {
    static struct divvy_agent_platform platform;
    struct divvy_error error = {0};
    const char *id = call->arguments[0];
    int status;

    if (!divvy_agent_confirm(call, &error, "Withdraw share %.60s?", id))
        return divvy_agent_fail(call, &error);
    status = divvy_agent_user_open(call, &platform, &error);
    if (status == 0)
        status = divvy_agent_platform_call(&platform, DIVVY_AGENT_API_SHARE_DELETE, id, NULL, NULL,
                                           NULL, &error);
    return status < 0 ? divvy_agent_fail(call, &error)
                      : divvy_agent_print_action(call, id, "share %s was withdrawn", id);
}
