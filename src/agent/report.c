/* What became of the workers: into the files, and to the platform. See agent.h. */
#include "agent/agent.h"
#include "agent/connections.h"

#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Sets a key unless it has the value already; takes `value` over. NULL removes the key. */
static int key_set(json_t *object, const char *key, json_t *value, bool *any) {
    const json_t *known = divvy_backend_object_get(object, key);

    if (known ? value && json_equal(known, value) : !value) {
        json_decref(value);
        return 0;
    }
    *any = true;
    if (value)
        return divvy_backend_object_set(object, key, value);
    (void)json_object_del(object, key);
    return 0;
}

static json_t *pid_or_none(pid_t pid) {
    return pid > 0 ? json_integer(pid) : NULL;
}

static json_t *text_or_none(const char *text) {
    return text[0] ? json_string(text) : NULL;
}

/* ---- config/workers.json ---- */

static int config_entry_set(const struct divvy_agent *agent, const struct divvy_agent_wish *wish,
                            json_t *entry, bool *any) {
    struct divvy_agent_view view;
    int status = 0;

    divvy_agent_worker_view(agent, wish, &view);
    /* What the platform said is the measure of its next change; only what it left open is filled in. */
    if (wish->is_local) {
        status |= key_set(entry, "gpu_ids", json_incref(wish->devices), any);
        status |= key_set(entry, "listen_port", json_integer(wish->port), any);
        status |= key_set(entry, "enabled", json_boolean(wish->enabled), any);
        status |= key_set(entry, "origin", json_string("local"), any);
    } else if (json_integer_value(divvy_backend_object_get(entry, "listen_port")) <= 0) {
        status |= key_set(entry, "listen_port", json_integer(wish->port), any);
    }
    status |= key_set(entry, "pid", pid_or_none(view.pid), any);
    status |= key_set(entry, "status", json_string(view.status), any);
    status |= key_set(entry, "message", text_or_none(view.message), any);
    return status;
}

static int config_change(void *data, struct divvy_backend_entries *entries,
                         struct divvy_error *error) {
    const struct divvy_agent *agent = data;
    bool any = false;

    for (size_t i = 0; i < agent->wishes.count; i++) {
        const struct divvy_agent_wish *wish = &agent->wishes.list[i];
        json_t *entry = wish->is_local ? divvy_backend_entries_put(entries, wish->id)
                                       : divvy_backend_entries_find(entries, wish->id);

        if (!entry && !wish->is_local)
            continue;
        if (!entry || config_entry_set(agent, wish, entry, &any) < 0)
            return divvy_error_set_errno(error, -ENOMEM, "worker %.100s", wish->id);
    }
    for (size_t i = divvy_backend_entries_count(entries); i-- > 0;) {
        json_t *entry = divvy_backend_entries_at(entries, i);
        const char *id = divvy_backend_object_id(entry, DIVVY_BACKEND_AGENT_WORKERS);

        if (!id || divvy_agent_wishes_find(&agent->wishes, id))
            continue;
        if (divvy_backend_object_get(entry, "origin")) {
            char gone[DIVVY_BACKEND_ID_BYTES];

            (void)snprintf(gone, sizeof gone, "%s", id);
            any |= divvy_backend_entries_remove(entries, gone) == 0;
        } else {
            /* The platform's, but taken out of state/workers.json by hand. */
            (void)key_set(entry, "pid", NULL, &any);
            (void)key_set(entry, "status", json_string("stopped"), &any);
            (void)key_set(entry, "message", NULL, &any);
        }
    }
    return any ? 0 : DIVVY_BACKEND_UNCHANGED;
}

/* ---- state/workers.json ---- */

/*
 * No executable: where one stands, divvyd and TensorFusion's hypervisor take it as their order to run the worker, also
 * one that is switched off.
 */
static json_t *running_info(const struct divvy_agent *agent, const struct divvy_agent_view *view) {
    return json_pack("{s:s, s:s, s:[], s:{}, s:s, s:i, s:i, s:b, s:i}", "type", "process",
                     "executable", "", "args", "env", "workingDir", agent->paths.state, "restarts",
                     (int)view->restarts, "pid", (int)view->pid, "isRunning", view->pid > 0,
                     "exitCode", view->exit_code);
}

/* Never the wish: Status stays what somebody wished for. */
static int state_change(void *data, struct divvy_backend_entries *entries,
                        struct divvy_error *error) {
    const struct divvy_agent *agent = data;
    bool any = false;

    for (size_t i = 0; i < agent->wishes.count; i++) {
        const struct divvy_agent_wish *wish = &agent->wishes.list[i];
        json_t *entry = divvy_backend_entries_find(entries, wish->id);
        struct divvy_agent_view view;

        if (!entry)
            continue;
        divvy_agent_worker_view(agent, wish, &view);
        /* One that never ran here keeps what another program may have written. */
        if (view.pid == 0 && view.restarts == 0 &&
            !divvy_backend_object_get(entry, "WorkerRunningInfo"))
            continue;
        if (key_set(entry, "WorkerRunningInfo", running_info(agent, &view), &any) < 0)
            return divvy_error_set_errno(error, -ENOMEM, "worker %.100s", wish->id);
    }
    return any ? 0 : DIVVY_BACKEND_UNCHANGED;
}

/* ---- config/gpus.json ---- */

/* The first running worker of each GPU: id, by the GPU's id as gpus.json has it. */
static json_t *users_of_gpus(const struct divvy_agent *agent) {
    json_t *users = json_object(), *device;
    size_t index;

    for (size_t i = 0; i < agent->wishes.count; i++) {
        const struct divvy_agent_wish *wish = &agent->wishes.list[i];
        struct divvy_agent_view view;

        divvy_agent_worker_view(agent, wish, &view);
        json_array_foreach(view.pid > 0 ? wish->devices : NULL, index, device) {
            const json_t *gpu = divvy_agent_gpu_find(agent->gpus, json_string_value(device));
            const char *id = gpu ? divvy_backend_object_id(gpu, DIVVY_BACKEND_AGENT_GPUS) : NULL;

            if (id && !json_object_get(users, id))
                (void)json_object_set_new(users, id, json_string(wish->id));
        }
    }
    return users;
}

static int gpus_change(void *data, struct divvy_backend_entries *entries,
                       struct divvy_error *error) {
    const json_t *users = data;
    bool any = false;

    for (size_t i = 0; i < divvy_backend_entries_count(entries); i++) {
        json_t *entry = divvy_backend_entries_at(entries, i), *user;
        const char *id = divvy_backend_object_id(entry, DIVVY_BACKEND_AGENT_GPUS);
        const json_t *known = divvy_backend_object_get(entry, "used_by_worker");

        user = id ? json_object_get(users, id) : NULL;
        if (known && user ? json_equal(known, user) : !known && !user)
            continue;
        any = true;
        if (divvy_backend_object_set(entry, "used_by_worker",
                                     user ? json_incref(user) : json_null()) < 0)
            return divvy_error_set_errno(error, -ENOMEM, "gpus.json");
    }
    return any ? 0 : DIVVY_BACKEND_UNCHANGED;
}

void divvy_agent_report_write(struct divvy_agent *agent) {
    struct divvy_error error = {0};
    json_t *users = users_of_gpus(agent);
    int status =
        divvy_backend_filestate_change(agent->config_workers, config_change, agent, &error);
    const char *aside = divvy_backend_filestate_aside(agent->config_workers);

    if (aside[0])
        divvy_log_warn("%s/%s could not be used and was kept as %s", agent->paths.config,
                       DIVVY_BACKEND_WORKERS_FILE, aside);
    /* Of state/workers.json nothing is written while it cannot be read: whoever edits it may be in the middle of it. */
    if (status >= 0 && !agent->last_state.text[0])
        status = divvy_backend_filestate_change(agent->state_workers, state_change, agent, &error);
    if (status >= 0)
        status = divvy_backend_filestate_change(agent->config_gpus, gpus_change, users, &error);
    json_decref(users);
    if (status < 0 && strcmp(agent->last_report.text, error.text) != 0)
        divvy_log_error("what became of the workers could not be written: %s", error.text);
    agent->last_report = error;
}

/* ---- the platform ---- */

/* The wire's words. */
static const char *wire_status(const struct divvy_agent_wish *wish,
                               const struct divvy_agent_view *view) {
    if (strcmp(view->status, "running") == 0 || strcmp(view->status, "stopping") == 0)
        return view->status;
    return wish->enabled ? "pending" : "stopped";
}

static json_t *worker_tell(const struct divvy_agent *agent, const struct divvy_agent_wish *wish) {
    struct divvy_agent_view view;
    json_t *worker;

    divvy_agent_worker_view(agent, wish, &view);
    worker = json_pack("{s:s, s:s, s:O, s:i, s:o}", "worker_id", wish->id, "status",
                       wire_status(wish, &view), "gpu_ids", wish->devices, "restarts",
                       (int)view.restarts, "connections",
                       divvy_agent_connections_read(agent->paths.state, wish->id));
    if (worker && view.pid > 0)
        (void)json_object_set_new(worker, "pid", json_integer(view.pid));
    if (worker && view.message[0])
        (void)json_object_set_new(worker, "message", json_string(view.message));
    return worker;
}

json_t *divvy_agent_report_body(const struct divvy_agent *agent) {
    char now[DIVVY_AGENT_TIME_BYTES];
    json_t *gpus = json_array(), *workers = json_array(), *users = users_of_gpus(agent), *gpu,
           *body;
    size_t index;

    divvy_agent_time_format((int64_t)time(NULL), now);
    json_array_foreach(agent->gpus, index, gpu) {
        const char *id = divvy_backend_object_id(gpu, DIVVY_BACKEND_AGENT_GPUS);
        json_t *user = id ? json_object_get(users, id) : NULL;

        if (id)
            (void)json_array_append_new(gpus,
                                        json_pack("{s:s, s:o}", "gpu_id", id, "used_by_worker",
                                                  user ? json_incref(user) : json_null()));
    }
    for (size_t i = 0; i < agent->wishes.count; i++)
        (void)json_array_append_new(workers, worker_tell(agent, &agent->wishes.list[i]));
    body = json_pack("{s:s, s:o, s:o}", "timestamp", now, "gpus", gpus, "workers", workers);
    /* A state file that cannot be read is nothing that only a log should know. */
    if (body && agent->last_state.text[0])
        (void)json_object_set_new(body, "message", json_string(agent->last_state.text));
    json_decref(users);
    return body;
}
