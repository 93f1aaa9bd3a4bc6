/* ggo agent status, list and get. */
#include "agent/config.h"
#include "agent/output.h"
#include "agent/pidfile.h"
#include "agent/verbs.h"
#include "base/json/file.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct divvy_agent_column agent_columns[] = {{"agent_id", "AGENT", false},
                                                          {"hostname", "HOSTNAME", false},
                                                          {"status", "STATUS", false},
                                                          {"gpu_count", "GPUS", true},
                                                          {"gpu_summary", "MODEL", false},
                                                          {"last_seen_at", "LAST SEEN", false},
                                                          {NULL, NULL, false}};

static const struct divvy_agent_column local_columns[] = {
    {"worker_id", "WORKER", false}, {"status", "STATUS", false},
    {"listen_port", "PORT", true},  {"pid", "PID", true},
    {"enabled", "ENABLED", false},  {"gpu_ids", "GPUS", false},
    {"message", "MESSAGE", false},  {NULL, NULL, false}};

/* ---- status ---- */

/* A worker of config/workers.json as status shows it; NULL for what is none. */
static json_t *worker_show(const json_t *entry) {
    static const struct {
        const char *key;
        json_type type;
    } optional[] = {{"status", JSON_STRING}, {"pid", JSON_INTEGER}, {"message", JSON_STRING}};
    const json_t *id = json_object_get(entry, "worker_id"),
                 *mode = json_object_get(entry, "isolation_mode");
    json_t *gpus = json_object_get(entry, "gpu_ids"), *shown;

    if (!json_is_string(id))
        return NULL;
    shown = json_pack("{s:s, s:o, s:I, s:b, s:s}", "worker_id", json_string_value(id), "gpu_ids",
                      json_is_array(gpus) ? json_incref(gpus) : json_array(), "listen_port",
                      json_integer_value(json_object_get(entry, "listen_port")), "enabled",
                      json_is_true(json_object_get(entry, "enabled")), "isolation_mode",
                      json_is_string(mode) ? json_string_value(mode) : "shared");
    for (size_t i = 0; shown && i < sizeof optional / sizeof optional[0]; i++) {
        json_t *value = json_object_get(entry, optional[i].key);

        if (value && json_typeof(value) == optional[i].type)
            (void)json_object_set(shown, optional[i].key, value);
    }
    return shown;
}

static json_t *workers_show(const struct divvy_agent_paths *paths) {
    char path[PATH_MAX];
    struct divvy_error error;
    json_t *file = NULL, *list = json_array(), *entry;
    size_t index;
    int status;

    divvy_agent_path_join(paths->config, "workers.json", path);
    status = divvy_json_file_read(path, &file, &error);
    if (status < 0 && status != -ENOENT)
        divvy_log_warn("%s", error.text);
    json_array_foreach(file, index, entry) {
        json_t *shown = worker_show(entry);

        if (shown)
            (void)json_array_append_new(list, shown);
    }
    json_decref(file);
    return list;
}

static int status_table(const struct divvy_agent_registration *registration, pid_t pid,
                        const json_t *workers, const struct divvy_agent_call *call) {
    char running[48] = "stopped";

    if (pid)
        (void)snprintf(running, sizeof running, "running (pid %d)", (int)pid);
    (void)printf("agent    %s\nserver   %s\nlocal    %s\nversion  %lld\n\n", registration->agent_id,
                 registration->server_url, running, (long long)registration->config_version);
    return divvy_agent_print_items(call, workers, local_columns, "no workers");
}

int divvy_agent_verb_status(struct divvy_agent_call *call) {
    static struct divvy_agent_registration registration;
    struct divvy_agent_paths paths;
    struct divvy_error error = {0};
    json_t *workers, *value;
    pid_t pid;
    int status = divvy_agent_paths_find(call->values[DIVVY_AGENT_CONFIG_DIR],
                                        call->values[DIVVY_AGENT_STATE_DIR], &paths, &error);

    if (status == 0)
        status = divvy_agent_registration_read(&paths, &registration, &error);
    if (status == -ENOENT) {
        if (!call->is_json)
            return puts("Agent is not registered") == EOF;
        value = json_pack("{s:b, s:s}", "registered", 0, "message", "Agent is not registered");
        status = divvy_agent_print_json(value);
        json_decref(value);
        return status;
    }
    if (status < 0)
        return divvy_agent_fail(call, &error);
    pid = divvy_agent_pidfile_look(paths.state);
    workers = workers_show(&paths);
    if (call->is_json) {
        value = json_pack("{s:b, s:s, s:I, s:s, s:{s:s, s:i}, s:O}", "registered", 1, "agent_id",
                          registration.agent_id, "config_version",
                          (json_int_t)registration.config_version, "server_url",
                          registration.server_url, "local_status", "state",
                          pid ? "running" : "stopped", "pid", (int)pid, "workers", workers);
        status = divvy_agent_print_json(value);
        json_decref(value);
    } else {
        status = status_table(&registration, pid, workers, call);
    }
    json_decref(workers);
    divvy_agent_registration_done(&registration);
    return status;
}

/* ---- list and get ---- */

static int ask(struct divvy_agent_call *call, enum divvy_agent_api api, const char *id,
               json_t **ret_answer) {
    static struct divvy_agent_platform platform;
    struct divvy_error error = {0};
    int status = divvy_agent_user_open(call, &platform, &error);

    if (status == 0)
        status = divvy_agent_platform_call(&platform, api, id, NULL, NULL, ret_answer, &error);
    return status < 0 ? divvy_agent_fail(call, &error) : 0;
}

int divvy_agent_verb_list(struct divvy_agent_call *call) {
    json_t *answer = NULL;
    int status = ask(call, DIVVY_AGENT_API_AGENTS, NULL, &answer);

    if (status == 0)
        status = divvy_agent_print_items(call, json_object_get(answer, "agents"), agent_columns,
                                         "no agents");
    json_decref(answer);
    return status;
}

int divvy_agent_verb_get(struct divvy_agent_call *call) {
    json_t *answer = NULL;
    int status = ask(call, DIVVY_AGENT_API_AGENT, call->arguments[0], &answer);

    if (status == 0)
        status = divvy_agent_print_item(call, answer);
    json_decref(answer);
    return status;
}
