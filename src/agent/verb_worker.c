/* ggo worker: list, create, get, update, delete, by the platform. */
#include "agent/config.h"
#include "agent/output.h"
#include "agent/verbs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PORT_DEFAULT 9001

static const struct divvy_agent_column columns[] = {{"worker_id", "WORKER", false},
                                                    {"name", "NAME", false},
                                                    {"agent_hostname", "HOSTNAME", false},
                                                    {"status", "STATUS", false},
                                                    {"listen_port", "PORT", true},
                                                    {"enabled", "ENABLED", false},
                                                    {"gpu_ids", "GPUS", false},
                                                    {NULL, NULL, false}};

/* "a,b" as a list of texts; NULL for empty parts. */
static json_t *ids_list(const char *text) {
    json_t *list = json_array();

    for (;;) {
        size_t length = strcspn(text, ",");

        if (length == 0 || json_array_append_new(list, json_stringn(text, length)) < 0) {
            json_decref(list);
            return NULL;
        }
        if (!text[length])
            return list;
        text += length + 1;
    }
}

/* One call as the user; prints the error. The answer, or the exit status. */
static int ask(struct divvy_agent_call *call, enum divvy_agent_api api, const char *id,
               const char *query, const json_t *body, json_t **ret_answer) {
    static struct divvy_agent_platform platform;
    struct divvy_error error = {0};
    int status = divvy_agent_user_open(call, &platform, &error);

    if (status == 0)
        status = divvy_agent_platform_call(&platform, api, id, query, body, ret_answer, &error);
    return status < 0 ? divvy_agent_fail(call, &error) : 0;
}

static int usage(struct divvy_agent_call *call, const char *text) {
    struct divvy_error error;

    (void)divvy_error_set(&error, -EINVAL, "%s", text);
    return divvy_agent_fail(call, &error);
}

int divvy_agent_verb_worker_list(struct divvy_agent_call *call) {
    static const struct {
        enum divvy_agent_flag flag;
        const char *name;
    } filters[] = {{DIVVY_AGENT_AGENT_ID, "agent_id"}, {DIVVY_AGENT_HOSTNAME, "hostname"}};
    char query[512] = "";
    json_t *answer = NULL;
    int status;

    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++)
        if (call->values[filters[i].flag] &&
            !divvy_agent_query_add(query, sizeof query, filters[i].name,
                                   call->values[filters[i].flag]))
            return usage(call, "--agent-id or --hostname is too long");
    status = ask(call, DIVVY_AGENT_API_WORKERS, NULL, query, NULL, &answer);
    if (status == 0)
        status = divvy_agent_print_items(call, json_object_get(answer, "workers"), columns,
                                         "no workers");
    json_decref(answer);
    return status;
}

/* The flag's value, or what the person at the terminal says. */
static char *value_get(struct divvy_agent_call *call, enum divvy_agent_flag flag,
                       const char *question, struct divvy_error *error) {
    if (call->values[flag])
        return strdup(call->values[flag]);
    return divvy_agent_ask(divvy_agent_flags[flag].name, question, error);
}

/* What a worker cannot be made without. */
static const struct {
    enum divvy_agent_flag flag;
    const char *question;
} needed[] = {{DIVVY_AGENT_AGENT_ID, "Agent (id)"},
              {DIVVY_AGENT_NAME, "Name of the worker"},
              {DIVVY_AGENT_GPU_IDS, "GPUs (ids, separated by commas)"}};
#define NEEDED_COUNT (sizeof needed / sizeof needed[0])

/* The request, or NULL and the exit status. */
static json_t *create_body(struct divvy_agent_call *call, char *const *values, int *ret_status) {
    uint64_t port = call->values[DIVVY_AGENT_PORT] ? call->numbers[DIVVY_AGENT_PORT] : PORT_DEFAULT;
    bool is_enabled =
        !call->values[DIVVY_AGENT_ENABLED] || divvy_agent_call_on(call, DIVVY_AGENT_ENABLED);
    json_t *ids = ids_list(values[2]), *body;

    if (!ids) {
        *ret_status = usage(call, "--gpu-ids: write ids separated by commas");
        return NULL;
    }
    body = json_pack("{s:s, s:s, s:o, s:I, s:b}", "agent_id", values[0], "name", values[1],
                     "gpu_ids", ids, "listen_port", (json_int_t)port, "enabled", is_enabled);
    if (!body)
        *ret_status = usage(call, "an option holds text that is not UTF-8");
    return body;
}

int divvy_agent_verb_worker_create(struct divvy_agent_call *call) {
    struct divvy_error error = {0};
    char *values[NEEDED_COUNT] = {NULL};
    json_t *body = NULL, *answer = NULL;
    int status = 0;

    for (size_t i = 0; i < NEEDED_COUNT && status == 0; i++) {
        values[i] = value_get(call, needed[i].flag, needed[i].question, &error);
        if (!values[i])
            status = divvy_agent_fail(call, &error);
    }
    if (status == 0)
        body = create_body(call, values, &status);
    if (body)
        status = ask(call, DIVVY_AGENT_API_WORKER_CREATE, NULL, NULL, body, &answer);
    if (status == 0) {
        const char *id = json_string_value(json_object_get(answer, "worker_id"));

        status = divvy_agent_print_action(call, id, "worker %s was created (%s)", values[1], id);
    }
    for (size_t i = 0; i < NEEDED_COUNT; i++)
        free(values[i]);
    json_decref(body);
    json_decref(answer);
    return status;
}

int divvy_agent_verb_worker_get(struct divvy_agent_call *call) {
    json_t *answer = NULL;
    int status = ask(call, DIVVY_AGENT_API_WORKER, call->arguments[0], NULL, NULL, &answer);

    if (status == 0)
        status = divvy_agent_print_item(call, answer);
    json_decref(answer);
    return status;
}

int divvy_agent_verb_worker_update(struct divvy_agent_call *call) {
    const char *gpus = call->values[DIVVY_AGENT_GPU_IDS], *name = call->values[DIVVY_AGENT_NAME];
    bool on = call->values[DIVVY_AGENT_ENABLED], off = call->values[DIVVY_AGENT_DISABLED];
    json_t *body, *ids = NULL;
    int status;

    if (on && off)
        return usage(call, "--enabled and --disabled contradict each other");
    if (!gpus && !name && !on && !off && !call->values[DIVVY_AGENT_PORT])
        return usage(call,
                     "nothing to change: give --name, --gpu-ids, --port, --enabled or --disabled");
    if (gpus && !(ids = ids_list(gpus)))
        return usage(call, "--gpu-ids: write ids separated by commas");
    body = json_object();
    status = (name && json_object_set_new(body, "name", json_string(name)) < 0) ||
                     (ids && json_object_set_new(body, "gpu_ids", ids) < 0) ||
                     (call->values[DIVVY_AGENT_PORT] &&
                      json_object_set_new(
                          body, "listen_port",
                          json_integer((json_int_t)call->numbers[DIVVY_AGENT_PORT])) < 0) ||
                     ((on || off) &&
                      json_object_set_new(
                          body, "enabled",
                          json_boolean(on ? divvy_agent_call_on(call, DIVVY_AGENT_ENABLED)
                                          : !divvy_agent_call_on(call, DIVVY_AGENT_DISABLED))) < 0)
                 ? usage(call, "an option holds text that is not UTF-8")
                 : ask(call, DIVVY_AGENT_API_WORKER_UPDATE, call->arguments[0], NULL, body, NULL);
    json_decref(body);
    return status ? status
                  : divvy_agent_print_action(call, call->arguments[0], "worker %s was changed",
                                             call->arguments[0]);
}

int divvy_agent_verb_worker_delete(struct divvy_agent_call *call) {
    struct divvy_error error = {0};
    int status;

    if (!divvy_agent_confirm(call, &error, "Delete worker %.60s?", call->arguments[0]))
        return divvy_agent_fail(call, &error);
    status = ask(call, DIVVY_AGENT_API_WORKER_DELETE, call->arguments[0], NULL, NULL, NULL);
    return status ? status
                  : divvy_agent_print_action(call, call->arguments[0], "worker %s was deleted",
                                             call->arguments[0]);
}
