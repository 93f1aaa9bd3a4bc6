/* divvy vm: virtual machines that run on this host, registered or not; and the whole picture. */
#include "base/cleanup.h"
#include "base/table.h"
#include "cli/act.h"
#include "cli/cli.h"
#include "cli/qemu.h"
#include "cli/vm.h"
#include "remote/relay/admin.h"
#include "remote/relay/ask.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BUSY_MS 5000

/* The registered VM that this is: by UUID where both have one, else by name. */
struct match {
    const struct divvy_cli_qemu *found;
    uint32_t vm_id; /* 0: none */
};

static int match_try(const struct divvy_relay_store_vm *vm, void *data) {
    struct match *match = data;
    bool both = vm->uuid[0] && match->found->uuid[0];

    if (both ? strcasecmp(vm->uuid, match->found->uuid) == 0 : strcmp(vm->name, match->found->name) == 0)
        match->vm_id = vm->vm_id;
    return 0;
}

json_t *divvy_cli_vm_running(struct divvy_relay_store *store, struct divvy_error *error) {
    cleanup_free struct divvy_cli_qemu *found = calloc(DIVVY_CLI_QEMU_MAX, sizeof *found);
    json_t *list;
    size_t count = 0;

    if (!found)
        return divvy_error_set(error, -ENOMEM, "no memory"), NULL;
    if (divvy_cli_qemu_scan(NULL, found, &count, error) < 0)
        return NULL;
    list = json_array();
    for (size_t i = 0; i < count; i++) {
        struct match match = {.found = &found[i]};

        if (divvy_relay_store_each(store, match_try, &match, error) < 0) {
            json_decref(list);
            return NULL;
        }
        (void)json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:I, s:o, s:o}", "name", found[i].name, "uuid", found[i].uuid, "pid",
                                                    (json_int_t)found[i].pid, "uid", (json_int_t)found[i].uid, "domain",
                                                    found[i].domain ? json_integer(found[i].domain) : json_null(), "vm_id",
                                                    match.vm_id ? json_integer(match.vm_id) : json_null()));
    }
    return list;
}

static int running_print(const json_t *running) {
    static const struct divvy_table_column titles[] = {{"VM", false}, {"UUID", false}, {"PID", true}, {"UID", true}, {"REGISTERED", false}};
    static const char *const keys[] = {"name", "uuid", "pid", "uid", "vm_id"};
    struct divvy_table *table = divvy_table_new(titles, 5);
    const json_t *vm;
    size_t i;
    int status;

    json_array_foreach(running, i, vm) for (size_t c = 0; c < 5; c++) {
        const json_t *value = json_object_get(vm, keys[c]);
        char cell[96] = "-";

        if (json_is_integer(value))
            (void)snprintf(cell, sizeof cell, "%s%" JSON_INTEGER_FORMAT, c == 4 ? "as " : "", json_integer_value(value));
        else if (c == 4)
            (void)snprintf(cell, sizeof cell, "no");
        else if (json_is_string(value) && json_string_value(value)[0])
            (void)snprintf(cell, sizeof cell, "%s", json_string_value(value));
        divvy_table_add(table, cell, DIVVY_TINT_NONE);
    }
    status = table ? divvy_table_print(table, stdout, divvy_table_width(stdout), divvy_table_colour(stdout)) : -ENOMEM;
    divvy_table_free(table);
    return status < 0 ? DIVVY_CLI_FAILED : DIVVY_CLI_OK;
}

int divvy_cli_vm_scan(const char *what, const struct divvy_cli_vm_arguments *a) {
    struct divvy_relay_store *store;
    struct divvy_error error = {0};
    json_t *running;
    int status;

    if (divvy_relay_store_open(a->state, BUSY_MS, &store, &error) < 0)
        return divvy_cli_vm_fail(what, &error);
    running = divvy_cli_vm_running(store, &error);
    divvy_relay_store_close(store);
    if (!running)
        return divvy_cli_vm_fail(what, &error);
    if (a->json)
        return divvy_cli_json_print(json_pack("{s:o}", "vms", running), 2, stdout);
    status = running_print(running);
    json_decref(running);
    return status;
}

/* --- status ------------------------------------------------------------------------------------------------------------------ */

/* VMs that run and nobody registered, those that the relay serves without (domains of Xen) among them. */
static json_t *unregistered_of(const json_t *running, const json_t *metrics) {
    json_t *list = json_array(), *vm;
    size_t i;

    json_array_foreach((json_t *)(uintptr_t)running, i, vm) if (json_is_null(json_object_get(vm, "vm_id")))
        (void)json_array_append_new(list, json_pack("{s:O, s:O, s:O}", "name", json_object_get(vm, "name"), "uuid",
                                                    json_object_get(vm, "uuid"), "pid", json_object_get(vm, "pid")));
    json_array_foreach(json_object_get(metrics, "vms"), i, vm) if (json_is_false(json_object_get(vm, "registered")))
        (void)json_array_append_new(list, json_pack("{s:O, s:s, s:n}", "name", json_object_get(vm, "name"), "uuid", "", "pid"));
    return list;
}

struct counting {
    int counts[DIVVY_RELAY_STORE_POOLS][3];
    int all;
};

static int vm_count(const struct divvy_relay_store_vm *vm, void *data) {
    struct counting *counting = data;

    if ((vm->pool == 'A' || vm->pool == 'B') && vm->priority < 3)
        counting->counts[vm->pool - 'A'][vm->priority]++;
    counting->all++;
    return 0;
}

static json_t *pools_json(const struct counting *counting, const struct divvy_relay_store_capacity *capacity) {
    json_t *pools = json_array();

    for (uint32_t p = 0; p < DIVVY_RELAY_STORE_POOLS; p++) {
        const char name[2] = {(char)('A' + p)};
        const struct divvy_relay_store_capacity *c = &capacity[p];

        (void)json_array_append_new(pools, json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "pool_id", name, "high",
                                                     counting->counts[p][2], "medium", counting->counts[p][1], "low",
                                                     counting->counts[p][0], "gpus", (int)c->gpus, "total", (int)c->total, "used",
                                                     (int)c->used, "free", (int)(c->total > c->used ? c->total - c->used : 0)));
    }
    return pools;
}

/* All of the state, and what runs; NULL with `error`. */
static json_t *picture(struct divvy_relay_store *store, const json_t *metrics, struct divvy_error *error) {
    struct divvy_relay_store_capacity capacity[DIVVY_RELAY_STORE_POOLS];
    struct counting counting = {0};
    json_t *gpus, *running, *whole;

    if (divvy_relay_store_capacity(store, capacity, error) < 0 || divvy_relay_store_each(store, vm_count, &counting, error) < 0)
        return NULL;
    gpus = divvy_cli_vm_gpus_assigned(store, error);
    running = gpus ? divvy_cli_vm_running(store, error) : NULL;
    if (!running) {
        json_decref(gpus);
        return NULL;
    }
    whole = json_pack("{s:o, s:o, s:i, s:o}", "pools", pools_json(&counting, capacity), "gpus", gpus, "vms", counting.all, "unregistered",
                      unregistered_of(running, metrics));
    json_decref(running);
    return whole;
}

static int picture_print(const json_t *whole) {
    const json_t *object;
    size_t i;

    json_array_foreach(json_object_get(whole, "pools"), i, object) {
        int counts[7];
        static const char *const keys[] = {"high", "medium", "low", "gpus", "total", "used", "free"};

        for (size_t k = 0; k < 7; k++)
            counts[k] = (int)json_integer_value(json_object_get(object, keys[k]));
        (void)printf("pool %s: %d VMs (%d high, %d medium, %d low)", json_string_value(json_object_get(object, "pool_id")), counts[5],
                     counts[0], counts[1], counts[2]);
        if (counts[3])
            (void)printf("; GPUs: %d, for %d VMs, %d free", counts[3], counts[4], counts[6]);
        (void)putchar('\n');
    }
    (void)printf("VMs: %" JSON_INTEGER_FORMAT " registered, %zu run unregistered\n", json_integer_value(json_object_get(whole, "vms")),
                 json_array_size(json_object_get(whole, "unregistered")));
    json_array_foreach(json_object_get(whole, "unregistered"), i, object) {
        const char *name = json_string_value(json_object_get(object, "name")), *uuid = json_string_value(json_object_get(object, "uuid"));

        (void)printf("  %s %s\n", name && name[0] ? name : "-", uuid ? uuid : "");
    }
    if (json_array_size(json_object_get(whole, "gpus")) == 0)
        return DIVVY_CLI_OK;
    (void)putchar('\n');
    (void)fflush(stdout);
    return divvy_cli_vm_gpus_print(json_object_get(whole, "gpus"));
}

int divvy_cli_vm_status(const char *what, const struct divvy_cli_vm_arguments *a) {
    struct divvy_relay_store *store;
    struct divvy_error error = {0};
    cleanup_free char *text = NULL;
    json_t *metrics, *whole;
    int status;

    if (divvy_relay_store_open(a->state, BUSY_MS, &store, &error) < 0)
        return divvy_cli_vm_fail(what, &error);
    metrics = divvy_relay_ask(a->admin, DIVVY_RELAY_ADMIN_METRICS, 0, &text, NULL) == 0 ? json_loads(text, 0, NULL) : NULL;
    whole = picture(store, metrics, &error);
    divvy_relay_store_close(store);
    json_decref(metrics);
    if (!whole)
        return divvy_cli_vm_fail(what, &error);
    if (a->json)
        return divvy_cli_json_print(whole, 2, stdout);
    status = picture_print(whole);
    json_decref(whole);
    (void)putchar('\n');
    (void)fflush(stdout);
    return status == DIVVY_CLI_OK ? divvy_cli_vm_health(what, a) : status;
}
