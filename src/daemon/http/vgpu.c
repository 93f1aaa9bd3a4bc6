/* What an orchestrator does with VMs behind a relay: see vgpu.h. */
#include "daemon/http/vgpu.h"

#include "daemon/http/fields.h"
#include "remote/relay/admin.h"
#include "remote/relay/ask.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUSY_MS 5000

static const char *const priorities[] = {"low", "medium", "high"};

/* --- what is asked for -------------------------------------------------------------------------------------------------- */

/* 0: given; 1: not given; -EINVAL. */
static int u32_read(const struct divvy_http_fields *fields, const char *name, uint64_t least, uint64_t most, uint32_t *ret_value,
                    struct divvy_error *error) {
    uint64_t value;
    int status = divvy_http_field_u64(fields, name, least, most, &value, error);

    if (status == 0)
        *ret_value = (uint32_t)value;
    return status == -ENOENT ? 1 : status;
}

static int text_read(const struct divvy_http_fields *fields, const char *name, char *text, size_t size, struct divvy_error *error) {
    int status = divvy_http_field_text(fields, name, text, size, error);

    return status == -ENOENT ? 1 : status;
}

static int priority_read(const struct divvy_http_fields *fields, uint32_t *ret_priority, struct divvy_error *error) {
    char text[16];
    int status = text_read(fields, "priority", text, sizeof text, error);

    if (status != 0)
        return status;
    for (uint32_t i = 0; i < 3; i++)
        if (strcmp(text, priorities[i]) == 0) {
            *ret_priority = i;
            return 0;
        }
    return divvy_error_set(error, -EINVAL, "priority must be low, medium or high");
}

int divvy_http_vgpu_wish_read(const json_t *body, struct divvy_http_vgpu_wish *ret_wish, struct divvy_error *error) {
    static const char *const names[] = {"name",   "uuid",             "vm_id",           "pool",   "priority",
                                        "weight", "max_jobs_per_sec", "max_queue_depth", "socket", "connects", NULL};
    const struct divvy_http_fields fields = {body, ""};
    struct divvy_relay_store_vm *vm = &ret_wish->vm;
    char pool[4] = "";
    int status = divvy_http_fields_only(&fields, names, error), given[5] = {0};

    *ret_wish = (struct divvy_http_vgpu_wish){.vm = {.priority = 1, .weight = 50}};
    if (status < 0 || (status = text_read(&fields, "name", vm->name, sizeof vm->name, error)) < 0 ||
        (status = text_read(&fields, "uuid", vm->uuid, sizeof vm->uuid, error)) < 0 ||
        (status = text_read(&fields, "pool", pool, sizeof pool, error)) < 0 ||
        (status = u32_read(&fields, "vm_id", 1, DIVVY_RELAY_ID_MAX, &vm->vm_id, error)) < 0 ||
        (status = given[0] = priority_read(&fields, &vm->priority, error)) < 0 ||
        (status = given[1] = u32_read(&fields, "weight", 1, 100, &vm->weight, error)) < 0 ||
        (status = given[2] = u32_read(&fields, "max_jobs_per_sec", 0, 1000000, &vm->rate, error)) < 0 ||
        (status = given[3] = u32_read(&fields, "max_queue_depth", 0, 16384, &vm->depth, error)) < 0 ||
        (status = given[4] = text_read(&fields, "socket", vm->socket, sizeof vm->socket, error)) < 0)
        return status;
    status = divvy_http_field_flag(&fields, "connects", &vm->connects, error);
    if (status < 0 && status != -ENOENT)
        return status;
    ret_wish->has_priority = given[0] == 0;
    ret_wish->has_weight = given[1] == 0;
    ret_wish->has_rate = given[2] == 0;
    ret_wish->has_depth = given[3] == 0;
    ret_wish->has_socket = given[4] == 0;
    if (pool[0] && (strlen(pool) != 1 || (pool[0] != 'A' && pool[0] != 'B')))
        return divvy_error_set(error, -EINVAL, "pool must be A or B");
    if (!vm->name[0] && !vm->uuid[0])
        return divvy_error_set(error, -EINVAL, "name is missing, and uuid too");
    if (!vm->name[0])
        memcpy(vm->name, vm->uuid, sizeof vm->uuid);
    if (vm->socket[0] && vm->socket[0] != '/')
        return divvy_error_set(error, -EINVAL, "socket must be an absolute path");
    vm->pool = pool[0] ? pool[0] : 'A';
    status = divvy_relay_store_check(vm, error);
    vm->pool = pool[0];
    return status;
}

/* --- shapes --------------------------------------------------------------------------------------------------------------- */

json_t *divvy_http_vgpu_json(const struct divvy_relay_store_vm *vm) {
    const char pool[2] = {vm->pool}, *priority = priorities[vm->priority % 3];
    char id[16];
    json_t *stub = json_null();

    (void)snprintf(id, sizeof id, "%u", vm->vm_id);
    if (vm->socket[0] && !vm->connects)
        stub = json_pack("[s, s, s, s, s, s, s, s, s]", "divvy-vgpu-stub", "--relay", vm->socket, "--vm-id", id, "--pool", pool,
                         "--priority", priority);
    return json_pack("{s:I, s:s, s:o, s:s, s:s, s:i, s:I, s:I, s:b, s:I, s:o, s:b, s:o}", "vm_id", (json_int_t)vm->vm_id, "name", vm->name,
                     "uuid", vm->uuid[0] ? json_string(vm->uuid) : json_null(), "pool", pool, "priority", priority, "weight",
                     (int)vm->weight, "max_jobs_per_sec", (json_int_t)vm->rate, "max_queue_depth", (json_int_t)vm->depth, "quarantined",
                     (int)vm->quarantined, "error_count", (json_int_t)vm->error_count, "socket",
                     vm->socket[0] ? json_string(vm->socket) : json_null(), "connects", (int)vm->connects, "stub", stub);
}

static uint32_t free_of(const struct divvy_relay_store_capacity *c) {
    return c->total > c->used ? c->total - c->used : 0;
}

json_t *divvy_http_vgpu_capacity_json(const struct divvy_relay_store_capacity pools[DIVVY_RELAY_STORE_POOLS],
                                      const struct divvy_relay_store_gpu *gpus, size_t gpu_count) {
    json_t *pool_list = json_array(), *gpu_list = json_array();
    uint32_t total = 0, used = 0, rest = 0;

    for (uint32_t i = 0; i < DIVVY_RELAY_STORE_POOLS; i++) {
        const char name[2] = {(char)('A' + i)};

        total += pools[i].total;
        used += pools[i].used;
        rest += free_of(&pools[i]);
        (void)json_array_append_new(pool_list, json_pack("{s:s, s:i, s:i, s:i, s:i}", "pool", name, "gpus", (int)pools[i].gpus, "total",
                                                         (int)pools[i].total, "used", (int)pools[i].used, "free",
                                                         (int)free_of(&pools[i])));
    }
    for (size_t i = 0; i < gpu_count; i++) {
        const char pool[2] = {gpus[i].pool};

        (void)json_array_append_new(
            gpu_list, json_pack("{s:i, s:o, s:o, s:s, s:i, s:o}", "gpu_id", (int)gpus[i].gpu_id, "uuid",
                                gpus[i].uuid[0] ? json_string(gpus[i].uuid) : json_null(), "name",
                                gpus[i].name[0] ? json_string(gpus[i].name) : json_null(), "pool", pool, "max_vms", (int)gpus[i].vms_max,
                                "worker", gpus[i].worker[0] ? json_string(gpus[i].worker) : json_null()));
    }
    return json_pack("{s:i, s:i, s:i, s:o, s:o}", "total", (int)total, "used", (int)used, "free", (int)rest, "pools", pool_list, "gpus",
                     gpu_list);
}

/* --- the state and the relay ------------------------------------------------------------------------------------------------ */

int divvy_http_vgpu_open(const struct divvy_http_vgpu *vgpu, struct divvy_relay_store **ret_store, struct divvy_error *error) {
    if (!vgpu->state || !vgpu->state[0])
        return divvy_error_set(error, -ENODEV, "no relay is set up here (relay-state is empty)");
    if (access(vgpu->state, F_OK) != 0)
        return divvy_error_set(error, -ENODEV, "no relay is set up here: there is no %.120s", vgpu->state);
    return divvy_relay_store_open(vgpu->state, BUSY_MS, ret_store, error);
}

int divvy_http_vgpu_find(struct divvy_relay_store *store, const char *key, struct divvy_relay_store_vm *ret_vm,
                         struct divvy_error *error) {
    int status = divvy_relay_store_find(store, key, ret_vm, error);

    if (status == 0 && strcmp(key, ret_vm->name) != 0 && strcasecmp(key, ret_vm->uuid) != 0)
        status = divvy_error_set(error, -ENOENT, "no VM is registered as '%.60s'", key);
    return status;
}

int divvy_http_vgpu_metrics(const struct divvy_http_vgpu *vgpu, json_t **ret_usage, struct divvy_error *error) {
    char *text = NULL;
    int status = divvy_relay_ask(vgpu->admin, DIVVY_RELAY_ADMIN_METRICS, 0, &text, error);

    *ret_usage = NULL;
    if (status == -ENOTCONN)
        return 0;
    if (status < 0)
        return status;
    *ret_usage = json_loads(text, 0, NULL);
    free(text);
    return *ret_usage ? 0 : divvy_error_set(error, -EPROTO, "the relay's answer makes no sense");
}

static bool relay_has(const struct divvy_http_vgpu *vgpu, const struct divvy_relay_store_vm *vm) {
    json_t *metrics = NULL;
    const json_t *one;
    bool has = false;
    size_t i;

    if (divvy_http_vgpu_metrics(vgpu, &metrics, NULL) < 0 || !metrics)
        return false;
    json_array_foreach(json_object_get(metrics, "vms"), i, one) {
        const char *name = json_string_value(json_object_get(one, "name"));

        has |= name && strcmp(name, vm->name) == 0 && json_integer_value(json_object_get(one, "vm_id")) == vm->vm_id;
    }
    json_decref(metrics);
    return has;
}

/* The relay reads the state: 1 it did, 0 none runs, or what it said. */
static int relay_tell(const struct divvy_http_vgpu *vgpu, struct divvy_error *error) {
    struct divvy_error said = {0};
    char *text = NULL;
    int status = divvy_relay_ask(vgpu->admin, DIVVY_RELAY_ADMIN_RELOAD, 0, &text, &said);

    free(text);
    if (status == -ENOTCONN)
        return 0;
    return status < 0 ? divvy_error_set(error, status, "%s", said.text) : 1;
}

/* --- create and destroy ------------------------------------------------------------------------------------------------------ */

/* Whether what there is is what is asked for. */
static bool is_same(const struct divvy_relay_store_vm *vm, const struct divvy_http_vgpu_wish *wish) {
    return strcmp(vm->name, wish->vm.name) == 0 && (!wish->vm.uuid[0] || strcasecmp(vm->uuid, wish->vm.uuid) == 0) &&
           (!wish->vm.vm_id || vm->vm_id == wish->vm.vm_id) && (!wish->vm.pool || vm->pool == wish->vm.pool) &&
           (!wish->has_priority || vm->priority == wish->vm.priority) && (!wish->has_weight || vm->weight == wish->vm.weight) &&
           (!wish->has_rate || vm->rate == wish->vm.rate) && (!wish->has_depth || vm->depth == wish->vm.depth) &&
           (!wish->has_socket || (strcmp(vm->socket, wish->vm.socket) == 0 && vm->connects == wish->vm.connects));
}

static int pool_choose(struct divvy_relay_store *store, struct divvy_relay_store_vm *vm, struct divvy_error *error) {
    struct divvy_relay_store_capacity pools[DIVVY_RELAY_STORE_POOLS];
    uint32_t best = 0;
    int status = divvy_relay_store_capacity(store, pools, error);

    if (status < 0)
        return status;
    for (uint32_t i = 1; i < DIVVY_RELAY_STORE_POOLS; i++)
        best = free_of(&pools[i]) > free_of(&pools[best]) ? i : best;
    if (!vm->pool && free_of(&pools[best]) == 0)
        return divvy_error_set(error, -EDQUOT, "no pool has room for one more VM");
    if (!vm->pool)
        vm->pool = (char)('A' + best);
    if (pools[vm->pool - 'A'].gpus == 0)
        return divvy_error_set(error, -EDQUOT, "pool %c has no GPU", vm->pool);
    return 0;
}

static int socket_choose(const struct divvy_http_vgpu *vgpu, struct divvy_relay_store_vm *vm, struct divvy_error *error) {
    if (vm->socket[0] || !vgpu->sockets || !vgpu->sockets[0])
        return 0;
    (void)mkdir(vgpu->sockets, 0711); /* where it cannot be made the relay says so */
    if ((size_t)snprintf(vm->socket, sizeof vm->socket, "%s/%s.sock", vgpu->sockets, vm->name) >= sizeof vm->socket)
        return divvy_error_set(error, -EINVAL, "the VM's name is too long for a socket in %.60s", vgpu->sockets);
    return 0;
}

int divvy_http_vgpu_create(const struct divvy_http_vgpu *vgpu, struct divvy_relay_store *store,
                           const struct divvy_http_vgpu_wish *wish, struct divvy_relay_store_vm *ret_vm, bool *ret_is_new,
                           bool *ret_is_live, struct divvy_error *error) {
    struct divvy_relay_store_vm vm = wish->vm;
    int status, told;

    *ret_is_new = false;
    status = divvy_http_vgpu_find(store, vm.uuid[0] ? vm.uuid : vm.name, ret_vm, NULL);
    if (status < 0 && status != -ENOENT)
        return divvy_error_set(error, status, "the state cannot be read");
    if (status == 0) {
        *ret_is_live = relay_has(vgpu, ret_vm);
        return is_same(ret_vm, wish) ? 0 : divvy_error_set(error, -EEXIST, "there is such a VM already, with other values");
    }
    if ((status = pool_choose(store, &vm, error)) < 0 || (status = socket_choose(vgpu, &vm, error)) < 0 ||
        (status = divvy_relay_store_add(store, &vm, error)) < 0)
        return status;
    told = relay_tell(vgpu, error);
    *ret_is_live = told == 1;
    if (told < 0 && !relay_has(vgpu, &vm)) { /* else another VM is what it complains of */
        (void)divvy_relay_store_remove(store, vm.vm_id, NULL);
        return told;
    }
    *ret_is_live = told != 0;
    *ret_is_new = true;
    *ret_vm = vm;
    return 0;
}

int divvy_http_vgpu_destroy(const struct divvy_http_vgpu *vgpu, struct divvy_relay_store *store, const char *key,
                            struct divvy_error *error) {
    struct divvy_relay_store_vm vm;
    int found = divvy_http_vgpu_find(store, key, &vm, error), status = 0;

    if (found == 0)
        status = divvy_relay_store_remove(store, vm.vm_id, error);
    if ((found < 0 && found != -ENOENT) || (status < 0 && status != -ENOENT))
        return found < 0 ? found : status;
    /* Also where nothing was there: a relay that missed it before hears it now. Only what it says of this VM counts. */
    if (relay_tell(vgpu, error) < 0 && found == 0 && relay_has(vgpu, &vm))
        return error->status;
    return found == 0 && status == 0;
}
