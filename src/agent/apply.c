/* The platform's configuration into the files: see apply.h. */
#include "agent/apply.h"

#include "agent/paths.h"
#include "agent/shape.h"
#include "agent/wish.h"
#include "core/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What the platform says of a worker, in the order of the file. */
static const char *const keys[] = {"gpu_ids",        "gpu_indices", "vram_mb", "compute_percent",
                                   "isolation_mode", "listen_port", "enabled"};
#define KEY_COUNT (sizeof keys / sizeof keys[0])

struct change {
    const struct divvy_agent_files *files;
    const json_t *workers; /* the platform's */
    const json_t *former;  /* config/workers.json as it was */
    const json_t *workers_by_id, *former_by_id;
};

static bool is_local(const json_t *entry) {
    return divvy_backend_object_get(entry, "origin") != NULL;
}

/* Port 0 is no port: the agent chooses, and what it chose is no change of the platform's. */
static bool value_differs(const char *key, const json_t *said, const json_t *known) {
    if (strcmp(key, "listen_port") == 0 && (!said || json_integer_value(said) == 0))
        return false;
    if (!said && !known)
        return false;
    if (!said || !known)
        return !(json_is_integer(said ? said : known) &&
                 json_integer_value(said ? said : known) == 0);
    return !json_equal(said, known);
}

static bool worker_differs(const json_t *said, const json_t *known) {
    if (!known || is_local(known))
        return true;
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (value_differs(keys[i], json_object_get(said, keys[i]),
                          divvy_backend_object_get(known, keys[i])))
            return true;
    return false;
}

/* ---- state/workers.json ---- */

static int resources_set(json_t *entry, const json_t *said) {
    json_int_t vram = json_integer_value(json_object_get(said, "vram_mb")),
               percent = json_integer_value(json_object_get(said, "compute_percent"));
    char vram_text[32] = "0", percent_text[32] = "0";

    if (vram > 0)
        (void)snprintf(vram_text, sizeof vram_text, "%lldMi", (long long)vram);
    if (percent > 0)
        (void)snprintf(percent_text, sizeof percent_text, "%lld", (long long)percent);
    for (int i = 0; i < 2; i++)
        if (divvy_backend_object_set(entry, i ? "Limits" : "Requests",
                                     json_pack("{s:s, s:s, s:s}", "tflops", "0", "compute",
                                               percent_text, "vram", vram_text)) < 0)
            return -ENOMEM;
    return 0;
}

static int state_entry_set(json_t *entry, const json_t *said) {
    const json_t *enabled = json_object_get(said, "enabled"),
                 *isolation = json_object_get(said, "isolation_mode");
    int status = 0;

    if (divvy_backend_object_set(entry, "AllocatedDevices",
                                 json_deep_copy(json_object_get(said, "gpu_ids"))) < 0 ||
        divvy_backend_object_set(entry, "Status",
                                 json_string(json_is_true(enabled) ? "Running" : "Pending")) < 0)
        return -ENOMEM;
    if (isolation && json_string_length(isolation) > 0)
        status = divvy_backend_object_set(entry, "IsolationMode", json_deep_copy(isolation));
    if (status == 0 &&
        (json_object_get(said, "vram_mb") || json_object_get(said, "compute_percent")))
        status = resources_set(entry, said);
    return status;
}

static int state_change(void *data, struct divvy_backend_entries *entries,
                        struct divvy_error *error) {
    const struct change *change = data;
    const json_t *each;
    size_t index;
    bool any = false;

    json_array_foreach(change->workers, index, each) {
        const char *id = json_string_value(json_object_get(each, "worker_id"));
        json_t *entry;

        if (!change->files->state_is_missing &&
            !worker_differs(each, json_object_get(change->former_by_id, id)))
            continue;
        entry = divvy_backend_entries_put(entries, id);
        if (!entry || state_entry_set(entry, each) < 0)
            return divvy_error_set_errno(error, -ENOMEM, "worker %.100s", id);
        any = true;
    }
    json_array_foreach(change->former, index, each) {
        const char *id = divvy_backend_object_id(each, DIVVY_BACKEND_AGENT_WORKERS);

        if (id && !is_local(each) && !json_object_get(change->workers_by_id, id))
            any |= divvy_backend_entries_remove(entries, id) == 0;
    }
    return any ? 0 : DIVVY_BACKEND_UNCHANGED;
}

/* ---- config/workers.json ---- */

static int config_entry_set(json_t *entry, const json_t *said, bool *any) {
    for (size_t i = 0; i < KEY_COUNT; i++) {
        json_t *value = json_object_get(said, keys[i]);

        if (!value_differs(keys[i], value, divvy_backend_object_get(entry, keys[i])))
            continue;
        *any = true;
        if (!value)
            (void)json_object_del(entry, keys[i]);
        else if (divvy_backend_object_set(entry, keys[i], json_deep_copy(value)) < 0)
            return -ENOMEM;
    }
    if (json_object_get(entry, "origin")) {
        *any = true;
        (void)json_object_del(entry, "origin");
    }
    return 0;
}

static int config_change(void *data, struct divvy_backend_entries *entries,
                         struct divvy_error *error) {
    const struct change *change = data;
    const json_t *each;
    size_t index;
    bool any = false;

    json_array_foreach(change->workers, index, each) {
        const char *id = json_string_value(json_object_get(each, "worker_id"));
        bool is_new = !divvy_backend_entries_find(entries, id);
        json_t *entry = divvy_backend_entries_put(entries, id);

        if (!entry || config_entry_set(entry, each, &any) < 0)
            return divvy_error_set_errno(error, -ENOMEM, "worker %.100s", id);
        any |= is_new;
    }
    for (size_t i = divvy_backend_entries_count(entries); i-- > 0;) {
        const json_t *entry = divvy_backend_entries_at(entries, i);
        const char *id = divvy_backend_object_id(entry, DIVVY_BACKEND_AGENT_WORKERS);

        if (id && !is_local(entry) && !json_object_get(change->workers_by_id, id)) {
            char gone[DIVVY_BACKEND_ID_BYTES];

            (void)snprintf(gone, sizeof gone, "%s", id);
            any |= divvy_backend_entries_remove(entries, gone) == 0;
            (void)divvy_agent_share_codes_write(change->files->config_folder, gone, NULL, NULL);
        }
    }
    return any ? 0 : DIVVY_BACKEND_UNCHANGED;
}

int divvy_agent_config_apply(const struct divvy_agent_files *files, const json_t *config,
                             struct divvy_error *error) {
    struct change change = {.files = files, .workers = json_object_get(config, "workers")};
    json_t *former = NULL, *former_by_id, *workers_by_id, *each;
    size_t index;
    int status = divvy_backend_filestate_read(files->config, &former, NULL, error);

    /* What cannot be read is kept aside by the change below; until then nothing is known of before. */
    if (status < 0 && status != -EBADMSG)
        return status;
    change.former = former;
    former_by_id = divvy_agent_elements_index(former, DIVVY_BACKEND_AGENT_WORKERS);
    workers_by_id = divvy_agent_elements_index(change.workers, DIVVY_BACKEND_AGENT_WORKERS);
    change.former_by_id = former_by_id;
    change.workers_by_id = workers_by_id;
    status = divvy_backend_filestate_change(files->state, state_change, &change, error);
    if (status >= 0)
        status = divvy_backend_filestate_change(files->config, config_change, &change, error);
    json_array_foreach(change.workers, index,
                       each) if (status >= 0 && json_object_get(each, "share_codes")) status =
        divvy_agent_share_codes_write(files->config_folder,
                                      json_string_value(json_object_get(each, "worker_id")),
                                      json_object_get(each, "share_codes"), error);
    json_decref(former_by_id);
    json_decref(workers_by_id);
    json_decref(former);
    return status < 0 ? status : 0;
}

/* ---- share codes ---- */

int divvy_agent_share_codes_write(const char *config_folder, const char *worker,
                                  const json_t *codes, struct divvy_error *error) {
    char name[NAME_MAX], path[PATH_MAX], temporary[PATH_MAX + 8];
    const json_t *code;
    size_t index;
    int fd, status = 0;

    if (!divvy_agent_id_is_valid(worker))
        return 0;
    (void)snprintf(name, sizeof name, "%.130s_share_codes", worker);
    divvy_agent_path_join(config_folder, name, path);
    if (json_array_size(codes) == 0)
        return unlink(path) == 0 || errno == ENOENT
                   ? 0
                   : divvy_error_set_errno(error, -errno, "cannot remove %.150s", path);
    (void)snprintf(temporary, sizeof temporary, "%s.new", path);
    (void)unlink(temporary);
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return divvy_error_set_errno(error, -errno, "cannot write %.150s", path);
    json_array_foreach(codes, index, code) {
        const char *text = json_string_value(code);

        /* A line each: what would be two lines is none. */
        if (status == 0 && text[strcspn(text, "\r\n")] == '\0') {
            status = divvy_core_sys_write(fd, text, strlen(text));
            if (status == 0)
                status = divvy_core_sys_write(fd, "\n", 1);
        }
    }
    if (status == 0 && fsync(fd) < 0)
        status = -errno;
    (void)close(fd);
    if (status == 0 && rename(temporary, path) < 0)
        status = -errno;
    return status < 0 ? divvy_error_set_errno(error, status, "cannot write %.150s", path) : 0;
}
