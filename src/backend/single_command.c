/* How workers are run, and what is written back of it: see single.h. */
#include "backend/single_inside.h"

#include "base/log.h"
#include "core/clock.h"
#include "core/parse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INFO          "WorkerRunningInfo"
#define ARGUMENTS_MAX 1024u
#define RETRY_NS      (INT64_C(5) * DIVVY_NS_PER_SECOND) /* until a file that could not be written is tried again */

/* --- commands ---------------------------------------------------------------------------------------------------------------- */

static bool is_text(const json_t *value) {
    return json_is_string(value) && strlen(json_string_value(value)) == json_string_length(value);
}

static int refuse(struct divvy_error *error, const char *key, const char *why) {
    return divvy_error_set(error, -EINVAL, INFO ": %s: %s", key, why);
}

static int arguments_take(struct divvy_backend_single_command *command, struct divvy_error *error) {
    json_t *array = divvy_backend_object_get(command->info, "args"), *value;
    size_t i;

    if (array && (!json_is_array(array) || json_array_size(array) > ARGUMENTS_MAX))
        return refuse(error, "args", "an array of texts is needed");
    command->arguments = calloc(json_array_size(array) + 1, sizeof *command->arguments);
    if (!command->arguments)
        return divvy_error_set_errno(error, -ENOMEM, INFO);
    json_array_foreach(array, i, value) {
        if (!is_text(value))
            return refuse(error, "args", "an array of texts is needed");
        command->arguments[i] = json_string_value(value);
    }
    return 0;
}

/* The port that the arguments name: it is looked at before the worker is started. */
static uint16_t port_named(const char *const *arguments) {
    for (size_t i = 0; arguments[i] && arguments[i + 1]; i++) {
        uint64_t port;

        if ((strcmp(arguments[i], "-p") == 0 || strcmp(arguments[i], "--port") == 0) &&
            divvy_core_u64_parse(arguments[i + 1], strlen(arguments[i + 1]), &port, NULL) == 0 && port <= UINT16_MAX)
            return (uint16_t)port;
    }
    return 0;
}

static int info_take(struct divvy_backend_single_command *command, struct divvy_error *error) {
    const json_t *type = divvy_backend_object_get(command->info, "type");
    const json_t *executable = divvy_backend_object_get(command->info, "executable");
    const json_t *folder = divvy_backend_object_get(command->info, "workingDir");

    if (type && (!is_text(type) || !divvy_core_word_equal(json_string_value(type), json_string_length(type), "process")))
        return refuse(error, "type", "only process is done");
    if (!executable)
        return 0; /* another program tells how it fares, and runs it */
    if (!is_text(executable) || (folder && !is_text(folder)))
        return refuse(error, "executable", "texts are needed");
    command->command.binary = json_string_length(executable) ? json_string_value(executable) : NULL;
    command->command.folder = folder && json_string_length(folder) ? json_string_value(folder) : NULL;
    return arguments_take(command, error);
}

static int add(struct divvy_backend_single_command *command, size_t *used, char *made) {
    if (!made)
        return -ENOMEM;
    command->made[command->made_count++] = made;
    command->environment[(*used)++] = made;
    return 0;
}

static char *joined(const char *name, const char *value) {
    char *text;

    return asprintf(&text, "%s=%s", name, value) < 0 ? NULL : text;
}

/* What the worker says itself, then what it is given: the latter cannot be overridden. */
static int environment_take(struct divvy_backend_single_command *command, const struct divvy_backend_held *held,
                            struct divvy_error *error) {
    static const struct divvy_backend_environment none;
    const struct divvy_backend_environment *given = held->allocation ? &held->allocation->environment : &none;
    json_t *own = divvy_backend_object_get(command->info, "env"), *value;
    size_t used = 0, room = json_object_size(own) + given->count + 2;
    const char *name;

    if (own && (!json_is_object(own) || json_object_size(own) > ARGUMENTS_MAX))
        return refuse(error, "env", "an object of texts is needed");
    command->environment = calloc(room, sizeof *command->environment);
    command->made = calloc(room, sizeof *command->made);
    if (!command->environment || !command->made)
        return divvy_error_set_errno(error, -ENOMEM, INFO);
    json_object_foreach(own, name, value) {
        size_t i = 0;

        if (!is_text(value) || !name[0] || strchr(name, '='))
            return refuse(error, "env", "an object of texts is needed");
        while (i < given->count && (strncmp(given->entries[i], name, strlen(name)) != 0 ||
                                    (given->entries[i][strlen(name)] != '=' && given->entries[i][strlen(name)])))
            i++;
        if (i == given->count && add(command, &used, joined(name, json_string_value(value))) < 0)
            return divvy_error_set_errno(error, -ENOMEM, INFO);
    }
    if (!given->count && !divvy_backend_object_get(own, "WORKER_ID") && add(command, &used, joined("WORKER_ID", held->worker.uid)) < 0)
        return divvy_error_set_errno(error, -ENOMEM, INFO);
    for (size_t i = 0; i < given->count; i++)
        command->environment[used++] = given->entries[i];
    return 0;
}

int divvy_backend_single_command_make(struct divvy_backend_single *single, struct divvy_backend_held *held,
                                      struct divvy_backend_single_command *ret_command, struct divvy_error *error) {
    struct divvy_backend_single_command *command = ret_command;
    int status = 0;

    *command = (struct divvy_backend_single_command){0};
    command->info = json_incref(divvy_backend_object_get(held->object, INFO));
    if (single->worker_binary && held->port) {
        json_decref(command->info);
        command->info = NULL;
        (void)snprintf(command->port_text, sizeof command->port_text, "%u", held->port);
        command->arguments = calloc(3, sizeof *command->arguments);
        if (!command->arguments)
            return divvy_error_set_errno(error, -ENOMEM, INFO);
        command->arguments[0] = "-p";
        command->arguments[1] = command->port_text;
        command->command.binary = single->worker_binary;
    } else if (json_is_object(command->info)) {
        status = info_take(command, error);
    }
    if (status < 0 || !command->command.binary)
        return status;
    status = environment_take(command, held, error);
    command->command.port = port_named(command->arguments);
    command->command.arguments = command->arguments;
    command->command.environment = command->environment;
    return status;
}

void divvy_backend_single_command_done(struct divvy_backend_single_command *command) {
    for (size_t i = 0; i < command->made_count; i++)
        free(command->made[i]);
    free(command->made);
    free((void *)command->arguments);
    free((void *)command->environment);
    json_decref(command->info);
    *command = (struct divvy_backend_single_command){0};
}

/* --- writing back ------------------------------------------------------------------------------------------------------------ */

static int set(json_t *object, const char *key, json_t *value) {
    return value ? divvy_backend_object_set(object, key, value) : -ENOMEM;
}

static int command_write(const struct divvy_backend_single *single, const struct divvy_backend_held *held, json_t *info, json_t *element) {
    int status;

    if (!single->worker_binary || !held->port)
        return 0;
    status = set(info, "type", json_string("process"));
    if (status == 0)
        status = set(info, "executable", json_string(single->worker_binary));
    if (status == 0)
        status = set(info, "args", json_pack("[s, o]", "-p", json_sprintf("%u", held->port)));
    if (status == 0)
        status = set(info, "env", json_null());
    if (status == 0)
        status = set(info, "workingDir", json_string(""));
    return status == 0 ? set(element, DIVVY_BACKEND_OWN_PORT, json_integer(held->port)) : status;
}

static int process_write(struct divvy_backend_single *single, const struct divvy_backend_held *held, json_t *element) {
    struct divvy_backend_process process = {.exit_code = 0};
    json_t *info = divvy_backend_object_get(element, INFO);
    bool runs;
    int status = 0;

    if (!held->running && !json_is_object(info))
        return 0;
    if (divvy_backend_process_get(single->processes, held->worker.uid, &process) < 0 && held->running)
        return 0;
    runs = process.pid > 0;
    if (!json_is_object(info)) {
        status = set(element, INFO, json_object());
        info = divvy_backend_object_get(element, INFO);
    }
    if (status == 0)
        status = command_write(single, held, info, element);
    if (status == 0)
        status = set(info, "restarts", json_integer(process.restarts));
    if (status == 0)
        status = set(info, "pid", json_integer(process.pid));
    if (status == 0)
        status = set(info, "isRunning", json_boolean(runs));
    return status == 0 ? set(info, "exitCode", json_integer(process.exited ? process.exit_code : 0)) : status;
}

static int message_write(const struct divvy_backend_held *held, json_t *element) {
    if (held->message[0])
        return set(element, DIVVY_BACKEND_OWN_MESSAGE, json_string(held->message));
    (void)json_object_del(element, DIVVY_BACKEND_OWN_MESSAGE);
    return 0;
}

static int write_body(void *data, struct divvy_backend_entries *entries, struct divvy_error *error) {
    struct divvy_backend_single *single = data;
    struct divvy_backend_held *held;
    bool changed = false;
    size_t cursor = 0;
    int status = 0;

    (void)pthread_mutex_lock(&single->lock);
    while (status == 0 && (held = divvy_map_next(&single->by_uid, &cursor))) {
        json_t *element = held->unwritten && held->listed ? divvy_backend_entries_find(entries, held->worker.uid) : NULL;
        json_t *before = json_deep_copy(element);

        if (!element)
            continue;
        status = process_write(single, held, element);
        if (status == 0)
            status = message_write(held, element);
        changed = changed || !before || !json_equal(before, element);
        json_decref(before);
    }
    (void)pthread_mutex_unlock(&single->lock);
    if (status < 0)
        return divvy_error_set_errno(error, status, DIVVY_BACKEND_WORKERS_FILE);
    return changed ? 0 : DIVVY_BACKEND_UNCHANGED;
}

/* What was written is so no more, unless it has changed meanwhile: only the calling thread changes processes. */
static void written(struct divvy_backend_single *single, int64_t next_ns) {
    struct divvy_backend_held *held;
    size_t cursor = 0;

    (void)pthread_mutex_lock(&single->lock);
    single->write_ns = next_ns;
    while (!next_ns && (held = divvy_map_next(&single->by_uid, &cursor)))
        held->unwritten = false;
    (void)pthread_mutex_unlock(&single->lock);
}

void divvy_backend_single_write_back(struct divvy_backend_single *single, int64_t now_ns) {
    struct divvy_error error = {0, ""};
    int64_t due_ns;

    (void)pthread_mutex_lock(&single->lock);
    due_ns = single->write_ns;
    (void)pthread_mutex_unlock(&single->lock);
    /* a broken file is left to whoever breaks or mends it: nothing of ours is worth writing into it */
    if (!due_ns || due_ns > now_ns || single->read_failed)
        return;
    if (divvy_backend_filestate_change(single->file, write_body, single, &error) < 0) {
        divvy_log_warn("how workers fare is not written down: %s", error.text);
        written(single, (int64_t)divvy_core_clock_ns() + RETRY_NS);
        return;
    }
    written(single, 0);
}
