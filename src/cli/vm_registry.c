/* divvy vm: what is registered, in the relay's state. */
#include "base/cleanup.h"
#include "base/table.h"
#include "cli/act.h"
#include "cli/cli.h"
#include "cli/vm.h"
#include "cli/vm_hook.h"
#include "core/parse.h"
#include "remote/relay/admin.h"
#include "remote/relay/ask.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define BUSY_MS 5000

static const char *const priorities[] = {"low", "medium", "high"};

const char *divvy_cli_vm_priority_name(uint32_t priority) {
    return priority < 3 ? priorities[priority] : "?";
}

static int number_take(const char *text, const char *option, uint64_t most, uint32_t *ret_value, struct divvy_error *error) {
    uint64_t value;

    if (divvy_core_u64_parse(text, strlen(text), &value, NULL) < 0 || value > most)
        return divvy_error_set(error, -EINVAL, "--%s: '%.40s' is no number from 0 to %" PRIu64, option, text, most);
    *ret_value = (uint32_t)value;
    return 0;
}

static int priority_take(const char *text, uint32_t *ret_priority, struct divvy_error *error) {
    for (uint32_t i = 0; i < 3; i++)
        if (strcasecmp(text, priorities[i]) == 0 || (text[0] == (char)('0' + i) && !text[1])) {
            *ret_priority = i;
            return 0;
        }
    return divvy_error_set(error, -EINVAL, "--priority: '%.40s' is none of low, medium and high", text);
}

static int pool_take(const char *text, char *ret_pool, struct divvy_error *error) {
    if ((text[0] | 32) < 'a' || (text[0] | 32) > 'b' || text[1])
        return divvy_error_set(error, -EINVAL, "--pool: '%.40s' is none of A and B", text);
    *ret_pool = (char)(text[0] & ~32);
    return 0;
}

static int text_take(const char *text, const char *option, char *ret_text, size_t size, struct divvy_error *error) {
    if (strlen(text) >= size)
        return divvy_error_set(error, -EINVAL, "--%s: longer than %zu bytes", option, size - 1);
    memcpy(ret_text, text, strlen(text) + 1);
    return 0;
}

/* A file of memory, or "none"; and its size. */
static int shm_take(const struct divvy_cli_vm_arguments *a, struct divvy_relay_store_vm *vm, struct divvy_error *error) {
    divvy_core_size_t size = {0};
    int status = 0;

    if (a->shm) {
        vm->shm_bytes = 0;
        status = text_take(strcmp(a->shm, "none") == 0 ? "" : a->shm, "shm", vm->shm, sizeof vm->shm, error);
    }
    if (status < 0 || !a->shm_size)
        return status;
    if (!vm->shm[0])
        return divvy_error_set(error, -EINVAL, "--shm-size needs --shm");
    if (divvy_core_size_parse(a->shm_size, strlen(a->shm_size), &size, NULL) < 0 || size.kind != DIVVY_CORE_SIZE_BYTES)
        return divvy_error_set(error, -EINVAL, "--shm-size: '%.40s' is no size such as 64MiB", a->shm_size);
    vm->shm_bytes = size.value;
    return 0;
}

/* Puts what the command line gives into a VM. */
static int values_take(const struct divvy_cli_vm_arguments *a, struct divvy_relay_store_vm *vm, struct divvy_error *error) {
    int status = 0;

    if (a->name)
        status = text_take(a->name, "vm-name", vm->name, sizeof vm->name, error);
    if (status == 0 && a->uuid)
        status = text_take(a->uuid, "vm-uuid", vm->uuid, sizeof vm->uuid, error);
    if (status == 0 && a->socket)
        status = text_take(a->socket, "socket", vm->socket, sizeof vm->socket, error);
    if (status == 0 && a->id)
        status = number_take(a->id, "vm-id", DIVVY_RELAY_ID_MAX, &vm->vm_id, error);
    if (status == 0 && a->id && vm->vm_id == 0)
        status = divvy_error_set(error, -EINVAL, "--vm-id: 0 is the host itself");
    if (status == 0 && a->pool)
        status = pool_take(a->pool, &vm->pool, error);
    if (status == 0 && a->priority)
        status = priority_take(a->priority, &vm->priority, error);
    if (status == 0 && a->weight)
        status = number_take(a->weight, "weight", 100, &vm->weight, error);
    if (status == 0 && a->rate)
        status = number_take(a->rate, "rate", 1000000, &vm->rate, error);
    if (status == 0 && a->depth)
        status = number_take(a->depth, "queue-depth", 16384, &vm->depth, error);
    if (status == 0)
        status = shm_take(a, vm, error);
    if (status == 0 && a->qmp)
        status = text_take(strcmp(a->qmp, "none") == 0 ? "" : a->qmp, "qmp", vm->qmp, sizeof vm->qmp, error);
    vm->connects = vm->connects || a->connects;
    return status == 0 ? divvy_relay_store_check(vm, error) : status;
}

static int state_open(const char *what, const struct divvy_cli_vm_arguments *a, struct divvy_relay_store **ret_store) {
    struct divvy_error error = {0};

    return divvy_relay_store_open(a->state, BUSY_MS, ret_store, &error) < 0 ? divvy_cli_vm_fail(what, &error) : DIVVY_CLI_OK;
}

/* The VM that is meant: the argument, or what names one where it is not given. */
static int vm_find(const char *what, const struct divvy_cli_vm_arguments *a, struct divvy_relay_store *store,
                   struct divvy_relay_store_vm *ret_vm) {
    const bool renames = strcmp(what, "set-vm-id") == 0 || strcmp(what, "update-vm") == 0;
    const char *key = a->vm ? a->vm : a->uuid ? a->uuid : a->name ? a->name : renames ? NULL : a->id;
    struct divvy_error error = {0};

    if (!key)
        (void)divvy_error_set(&error, -EINVAL, "which VM? Give its name, UUID or id");
    else
        (void)divvy_relay_store_find(store, key, ret_vm, &error);
    return error.status < 0 ? divvy_cli_vm_fail(what, &error) : DIVVY_CLI_OK;
}

int divvy_cli_vm_register(const char *what, const struct divvy_cli_vm_arguments *a) {
    struct divvy_relay_store_vm vm = {.pool = 'A', .priority = 1, .weight = 50};
    struct divvy_relay_store *store;
    struct divvy_error error = {0};
    int status;

    if (!a->name && !a->uuid)
        (void)divvy_error_set(&error, -EINVAL, "give --vm-name or --vm-uuid");
    if (a->uuid && strlen(a->uuid) < sizeof vm.name)
        memcpy(vm.name, a->uuid, strlen(a->uuid) + 1);
    if (error.status < 0 || values_take(a, &vm, &error) < 0)
        return divvy_cli_vm_fail(what, &error);
    status = state_open(what, a, &store);
    if (status != DIVVY_CLI_OK)
        return status;
    status = divvy_relay_store_add(store, &vm, &error) < 0 ? divvy_cli_vm_fail(what, &error) : divvy_cli_vm_push(what, a);
    divvy_relay_store_close(store);
    if (status == DIVVY_CLI_OK)
        (void)printf("registered %s with id %u in pool %c, priority %s\n", vm.name, vm.vm_id, vm.pool,
                     divvy_cli_vm_priority_name(vm.priority));
    return status;
}

/* Shows a value that changes. Whether it does. */
static bool change_show(const char *name, const char *old, const char *new) {
    if (strcmp(old, new) == 0)
        return false;
    (void)printf("%s: %s -> %s\n", name, old[0] ? old : "none", new[0] ? new : "none");
    return true;
}

static bool bytes_show(const char *name, uint64_t old, uint64_t new) {
    char before[24], after[24];

    (void)snprintf(before, sizeof before, "%" PRIu64, old);
    (void)snprintf(after, sizeof after, "%" PRIu64, new);
    return change_show(name, before, after);
}

static bool number_show(const char *name, uint32_t old, uint32_t new) {
    return bytes_show(name, old, new);
}

static bool changes_show(const struct divvy_relay_store_vm *old, const struct divvy_relay_store_vm *new) {
    const char old_pool[2] = {old->pool}, new_pool[2] = {new->pool};
    bool changed = change_show("name", old->name, new->name);

    changed |= change_show("uuid", old->uuid, new->uuid);
    changed |= number_show("id", old->vm_id, new->vm_id);
    changed |= change_show("pool", old_pool, new_pool);
    changed |= change_show("priority", divvy_cli_vm_priority_name(old->priority), divvy_cli_vm_priority_name(new->priority));
    changed |= number_show("weight", old->weight, new->weight);
    changed |= number_show("rate", old->rate, new->rate);
    changed |= number_show("queue depth", old->depth, new->depth);
    changed |= change_show("socket", old->socket, new->socket);
    changed |= number_show("connects", old->connects, new->connects);
    changed |= change_show("shared memory", old->shm, new->shm);
    changed |= bytes_show("its bytes", old->shm_bytes, new->shm_bytes);
    changed |= change_show("monitor", old->qmp, new->qmp);
    return changed;
}

/* Whether these changes are asked about first: what a guest sees of them changes only with its next start. */
static bool is_asked(const struct divvy_relay_store_vm *old, const struct divvy_relay_store_vm *new) {
    return old->pool != new->pool || old->priority != new->priority || old->vm_id != new->vm_id;
}

static bool confirm(const char *name, bool restarts) {
    char line[16];

    if (restarts)
        (void)printf("VM %s runs: it is stopped, and started again. Change it? [y/N] ", name);
    else
        (void)fputs("Change it? The VM's own registers show it after its next start. [y/N] ", stdout);
    (void)fflush(stdout);
    return fgets(line, sizeof line, stdin) && (line[0] == 'y' || line[0] == 'Y');
}

/* What each of these verbs cannot do without. */
static const char *option_missing(const char *what, const struct divvy_cli_vm_arguments *a) {
    if (strcmp(what, "set-pool") == 0 && !a->pool)
        return "--pool";
    if (strcmp(what, "set-priority") == 0 && !a->priority)
        return "--priority";
    if (strcmp(what, "set-vm-id") == 0 && !a->id)
        return "--vm-id";
    if (strcmp(what, "set-weight") == 0 && !a->weight)
        return "--weight";
    if (strcmp(what, "set-rate-limit") == 0 && !a->rate)
        return "--rate";
    return NULL;
}

/* Writes the new values and tells the relay; around it the VM is stopped and started where that is wanted. The exit status. */
static int change_do(const char *what, const struct divvy_cli_vm_arguments *a, struct divvy_relay_store *store,
                     const struct divvy_cli_vm_hook *hook, bool restarts, const struct divvy_relay_store_vm *old,
                     const struct divvy_relay_store_vm *new) {
    struct divvy_error error = {0}, again = {0};
    int status;

    if (restarts && divvy_cli_vm_hook_stop(hook, old, &error) < 0) {
        (void)divvy_error_prefix(&error, "nothing was changed");
        return divvy_cli_vm_fail(what, &error);
    }
    if (divvy_relay_store_update(store, old->vm_id, new, &error) < 0) {
        if (restarts && divvy_cli_vm_hook_start(hook, old, false, &again) < 0)
            (void)fprintf(stderr, "divvy vm %s: the VM was stopped: %s\n", what, again.text);
        return divvy_cli_vm_fail(what, &error);
    }
    status = divvy_cli_vm_push(what, a);
    if (restarts && divvy_cli_vm_hook_start(hook, new, true, &error) < 0) {
        (void)divvy_error_prefix(&error, "it is changed, and the VM is stopped");
        return divvy_cli_vm_fail(what, &error);
    }
    return status;
}

/* Shows what changes, asks where it has to, does it. The exit status. */
static int change(const char *what, const struct divvy_cli_vm_arguments *a, struct divvy_relay_store *store,
                  const struct divvy_relay_store_vm *old, const struct divvy_relay_store_vm *new) {
    struct divvy_cli_vm_hook hook = {""};
    struct divvy_error error = {0};
    int runs = 0;

    if (!changes_show(old, new)) {
        (void)printf("nothing changes\n");
        return DIVVY_CLI_OK;
    }
    if (is_asked(old, new)) {
        if (divvy_cli_vm_hook_read(store, &hook, &error) < 0 || (runs = divvy_cli_vm_hook_running(&hook, old, &error)) < 0)
            return divvy_cli_vm_fail(what, &error);
        if (!a->yes && !confirm(old->name, runs)) {
            (void)printf("nothing was changed\n");
            return DIVVY_CLI_OK;
        }
    }
    (void)fflush(stdout);
    return change_do(what, a, store, &hook, runs, old, new);
}

int divvy_cli_vm_update(const char *what, const struct divvy_cli_vm_arguments *a) {
    struct divvy_relay_store_vm old = {0}, new;
    struct divvy_relay_store *store;
    struct divvy_error error = {0};
    int status;

    if (option_missing(what, a)) {
        (void)divvy_error_set(&error, -EINVAL, "give %s", option_missing(what, a));
        return divvy_cli_vm_fail(what, &error);
    }
    status = state_open(what, a, &store);
    if (status != DIVVY_CLI_OK)
        return status;
    status = vm_find(what, a, store, &old);
    new = old;
    if (status == DIVVY_CLI_OK && values_take(a, &new, &error) < 0)
        status = divvy_cli_vm_fail(what, &error);
    if (status == DIVVY_CLI_OK)
        status = change(what, a, store, &old, &new);
    divvy_relay_store_close(store);
    return status;
}

int divvy_cli_vm_set_hook(const char *what, const struct divvy_cli_vm_arguments *a) {
    struct divvy_relay_store *store;
    struct divvy_error error = {0};
    bool is_none = a->vm && strcmp(a->vm, "none") == 0;
    int status;

    if (!a->vm)
        (void)divvy_error_set(&error, -EINVAL, "give the program's path, or none");
    if (error.status < 0 || (!is_none && divvy_cli_vm_hook_check(a->vm, &error) < 0))
        return divvy_cli_vm_fail(what, &error);
    status = state_open(what, a, &store);
    if (status != DIVVY_CLI_OK)
        return status;
    if (divvy_relay_store_setting_set(store, DIVVY_CLI_VM_HOOK_SETTING, is_none ? NULL : a->vm, &error) < 0)
        status = divvy_cli_vm_fail(what, &error);
    divvy_relay_store_close(store);
    return status;
}

int divvy_cli_vm_remove(const char *what, const struct divvy_cli_vm_arguments *a) {
    struct divvy_relay_store_vm vm = {0};
    struct divvy_relay_store *store;
    struct divvy_error error = {0};
    int status = state_open(what, a, &store);

    if (status != DIVVY_CLI_OK)
        return status;
    status = vm_find(what, a, store, &vm);
    if (status == DIVVY_CLI_OK)
        status = divvy_relay_store_remove(store, vm.vm_id, &error) < 0 ? divvy_cli_vm_fail(what, &error) :
                                                                         divvy_cli_vm_push(what, a);
    divvy_relay_store_close(store);
    return status;
}

/* Remembered first, so that it holds whatever happens to the relay meanwhile. */
static int quarantine(const char *what, const struct divvy_cli_vm_arguments *a, bool quarantined) {
    struct divvy_relay_store_vm vm = {0};
    struct divvy_relay_store *store;
    struct divvy_error error = {0};
    char *text = NULL;
    int status = state_open(what, a, &store);

    if (status != DIVVY_CLI_OK)
        return status;
    status = vm_find(what, a, store, &vm);
    if (status == DIVVY_CLI_OK &&
        divvy_relay_store_faults(store, vm.vm_id, quarantined, quarantined ? vm.error_count : 0, &error) < 0)
        status = divvy_cli_vm_fail(what, &error);
    divvy_relay_store_close(store);
    if (status != DIVVY_CLI_OK)
        return status;
    status = divvy_relay_ask(a->admin, quarantined ? DIVVY_RELAY_ADMIN_QUARANTINE : DIVVY_RELAY_ADMIN_UNQUARANTINE, vm.vm_id,
                              &text, &error);
    free(text);
    return status < 0 && status != -ENOTCONN ? divvy_cli_vm_fail(what, &error) : DIVVY_CLI_OK;
}

int divvy_cli_vm_quarantine(const char *what, const struct divvy_cli_vm_arguments *a) {
    return quarantine(what, a, true);
}

int divvy_cli_vm_clear(const char *what, const struct divvy_cli_vm_arguments *a) {
    return quarantine(what, a, false);
}

/* --- lists --------------------------------------------------------------------------------------------------------------- */

struct listing {
    char pool;         /* 0: all */
    uint32_t priority; /* 3: all */
    json_t *vms;
};

static json_t *vm_json(const struct divvy_relay_store_vm *vm) {
    const char pool[2] = {vm->pool};

    return json_pack("{s:I, s:s, s:s, s:s, s:s, s:i, s:I, s:I, s:b, s:I, s:s, s:b, s:s, s:I, s:s, s:s, s:s}", "vm_id", (json_int_t)vm->vm_id, "name",
                     vm->name, "uuid", vm->uuid, "pool", pool, "priority", divvy_cli_vm_priority_name(vm->priority), "weight",
                     (int)vm->weight, "max_jobs_per_sec", (json_int_t)vm->rate, "max_queue_depth", (json_int_t)vm->depth,
                     "quarantined", (int)vm->quarantined, "error_count", (json_int_t)vm->error_count, "socket", vm->socket,
                     "connects", (int)vm->connects, "shm", vm->shm, "shm_bytes", (json_int_t)vm->shm_bytes, "qmp", vm->qmp, "created_at", vm->created_at, "updated_at", vm->updated_at);
}

static int vm_list(const struct divvy_relay_store_vm *vm, void *data) {
    struct listing *listing = data;

    if ((listing->pool && vm->pool != listing->pool) || (listing->priority < 3 && vm->priority != listing->priority))
        return 0;
    return json_array_append_new(listing->vms, vm_json(vm)) < 0 ? -ENOMEM : 0;
}

/* The VMs that the command line means, or NULL with the exit status in *ret_status. */
static json_t *vms_get(const char *what, const struct divvy_cli_vm_arguments *a, int *ret_status) {
    struct listing listing = {.priority = 3};
    struct divvy_relay_store *store;
    struct divvy_error error = {0};

    if ((a->pool && pool_take(a->pool, &listing.pool, &error) < 0) ||
        (a->priority && priority_take(a->priority, &listing.priority, &error) < 0)) {
        *ret_status = divvy_cli_vm_fail(what, &error);
        return NULL;
    }
    *ret_status = state_open(what, a, &store);
    if (*ret_status != DIVVY_CLI_OK)
        return NULL;
    listing.vms = json_array();
    if (divvy_relay_store_each(store, vm_list, &listing, &error) < 0) {
        *ret_status = divvy_cli_vm_fail(what, &error);
        json_decref(listing.vms);
        listing.vms = NULL;
    }
    divvy_relay_store_close(store);
    return listing.vms;
}

static const char *const columns[] = {"name", "vm_id", "pool", "priority", "weight", "max_jobs_per_sec", "max_queue_depth", "quarantined"};

static int vms_print(const json_t *vms) {
    static const struct divvy_table_column titles[] = {{"VM", false},    {"ID", true},   {"POOL", false},  {"PRIORITY", false},
                                                       {"WEIGHT", true}, {"RATE", true}, {"DEPTH", true}, {"QUARANTINE", false}};
    struct divvy_table *table = divvy_table_new(titles, 8);
    const json_t *vm;
    size_t i;
    int status;

    json_array_foreach(vms, i, vm) for (int c = 0; c < 8; c++) {
        const json_t *value = json_object_get(vm, columns[c]);
        char cell[80];

        if (json_is_integer(value))
            (void)snprintf(cell, sizeof cell, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        else
            (void)snprintf(cell, sizeof cell, "%s", json_is_string(value) ? json_string_value(value) : json_is_true(value) ? "yes" : "no");
        divvy_table_add(table, cell, DIVVY_TINT_NONE);
    }
    status = table ? divvy_table_print(table, stdout, divvy_table_width(stdout), divvy_table_colour(stdout)) : -ENOMEM;
    divvy_table_free(table);
    return status < 0 ? DIVVY_CLI_FAILED : DIVVY_CLI_OK;
}

int divvy_cli_vm_list(const char *what, const struct divvy_cli_vm_arguments *a) {
    int status;
    json_t *vms = vms_get(what, a, &status);

    if (!vms)
        return status;
    if (a->json)
        return divvy_cli_json_print(json_pack("{s:o}", "vms", vms), 2, stdout);
    status = vms_print(vms);
    json_decref(vms);
    return status;
}

int divvy_cli_vm_show(const char *what, const struct divvy_cli_vm_arguments *a) {
    struct divvy_relay_store_vm vm = {0};
    struct divvy_relay_store *store;
    const char *key;
    json_t *object, *value;
    int status = state_open(what, a, &store);

    if (status != DIVVY_CLI_OK)
        return status;
    status = vm_find(what, a, store, &vm);
    divvy_relay_store_close(store);
    if (status != DIVVY_CLI_OK)
        return status;
    object = vm_json(&vm);
    if (a->json)
        return divvy_cli_json_print(object, 2, stdout);
    json_object_foreach(object, key, value) {
        if (json_is_integer(value))
            (void)printf("%-17s %" JSON_INTEGER_FORMAT "\n", key, json_integer_value(value));
        else
            (void)printf("%-17s %s\n", key, json_is_string(value) ? json_string_value(value) : json_is_true(value) ? "yes" : "no");
    }
    json_decref(object);
    return DIVVY_CLI_OK;
}

int divvy_cli_vm_pools(const char *what, const struct divvy_cli_vm_arguments *a) {
    int status;
    json_t *vms, *pools = json_array();
    const json_t *vm;
    size_t i;

    if (strcmp(what, "show-pool") == 0 && !a->pool) {
        json_decref(pools);
        divvy_cli_complain("vm show-pool", "give --pool-id A or B");
        return DIVVY_CLI_USAGE;
    }
    vms = vms_get(what, a, &status);
    for (char pool = 'A'; vms && pool <= 'B'; pool++) {
        const char name[2] = {pool};
        int counts[3] = {0};

        if (a->pool && (a->pool[0] & ~32) != pool)
            continue;
        json_array_foreach(vms, i, vm) for (int p = 0; p < 3; p++) counts[p] +=
            strcmp(json_string_value(json_object_get(vm, "pool")), name) == 0 &&
            strcmp(json_string_value(json_object_get(vm, "priority")), priorities[p]) == 0;
        if (!a->json)
            (void)printf("pool %s: %d VMs (%d high, %d medium, %d low)\n", name, counts[0] + counts[1] + counts[2], counts[2], counts[1],
                         counts[0]);
        (void)json_array_append_new(pools, json_pack("{s:s, s:i, s:i, s:i}", "pool_id", name, "high", counts[2], "medium", counts[1],
                                                     "low", counts[0]));
    }
    if (vms && a->json)
        return json_decref(vms), divvy_cli_json_print(json_pack("{s:o}", "pools", pools), 2, stdout);
    json_decref(vms);
    json_decref(pools);
    return status;
}
