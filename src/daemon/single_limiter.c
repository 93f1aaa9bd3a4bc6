/* Workers as tenants of the daemon: see single_inside.h. */
#include "daemon/single_inside.h"

#include "base/cleanup.h"
#include "base/install.h"
#include "base/log.h"
#include "core/uuid.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const struct divvy_daemon_peer self = {.admin = true};

/* --- notes ------------------------------------------------------------------------------------------------------------------- */

/* Ids of tenants are plain but for slashes; '+' is in none. */
static void note_name(const char *uid, char ret_name[DIVVY_NODE_ID_BYTES]) {
    (void)snprintf(ret_name, DIVVY_NODE_ID_BYTES, "%s", uid);
    for (char *at = ret_name; *at; at++)
        *at = *at == '/' ? '+' : *at;
}

int divvy_single_notes_open(struct divvy_daemon *daemon, int state_fd, struct divvy_single_notes *ret_notes, struct divvy_error *error) {
    int fd = mkdirat(state_fd, "tenants", 0700) < 0 && errno != EEXIST
                 ? -1
                 : openat(state_fd, "tenants", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return divvy_error_set_errno(error, -errno, "the folder tenants below the folder of state cannot be used");
    *ret_notes = (struct divvy_single_notes){daemon, fd};
    return 0;
}

static int note_write(const struct divvy_single_notes *notes, const char *uid, struct divvy_error *error) {
    char name[DIVVY_NODE_ID_BYTES];
    int fd;

    note_name(uid, name);
    fd = openat(notes->fd, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return divvy_error_set_errno(error, -errno, "the tenant of worker %.100s cannot be noted", uid);
    (void)close(fd);
    return 0;
}

static void note_remove(const struct divvy_single_notes *notes, const char *uid) {
    char name[DIVVY_NODE_ID_BYTES];

    note_name(uid, name);
    (void)unlinkat(notes->fd, name, 0);
}

static bool is_wanted(struct divvy_backend_single *single, const char *uid) {
    struct divvy_backend_worker *view = calloc(1, sizeof *view);
    bool wanted = !view || (divvy_backend_single_get(single, uid, view) == 0 && view->wanted);

    free(view);
    return wanted;
}

void divvy_single_notes_sweep(struct divvy_single_notes *notes, struct divvy_backend_single *single) {
    struct divvy_backend_limiter limiter = divvy_single_limiter(notes);
    int fd = openat(notes->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_closedir DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!folder) {
        divvy_cleanup_close(&fd);
        return;
    }
    while ((entry = readdir(folder))) {
        char uid[DIVVY_NODE_ID_BYTES];

        if (entry->d_name[0] == '.' || snprintf(uid, sizeof uid, "%s", entry->d_name) >= (int)sizeof uid)
            continue;
        for (char *at = uid; *at; at++)
            *at = *at == '+' ? '/' : *at;
        if (!is_wanted(single, uid))
            limiter.drop(limiter.data, uid);
    }
}

/* --- tenants ------------------------------------------------------------------------------------------------------------------ */

static int device_index(const struct divvy_node_device *devices, size_t count, const char *uuid) {
    for (size_t i = 0; i < count; i++)
        if (divvy_core_uuid_text_equal(devices[i].uuid_text, strlen(devices[i].uuid_text), uuid, strlen(uuid)))
            return (int)i;
    return -ENODEV;
}

static int spec_make(struct divvy_daemon *daemon, const struct divvy_node_worker *worker, const struct divvy_node_claims *claims,
                     struct divvy_node_spec *ret_spec, struct divvy_error *error) {
    cleanup_free struct divvy_node_device *devices = NULL;
    size_t count;
    int status = divvy_daemon_devices(daemon, &devices, &count);

    if (status < 0)
        return divvy_error_set_errno(error, status, "worker %.100s", worker->uid);
    if (claims->count > DIVVY_NODE_DEVICES)
        return divvy_error_set(error, -EINVAL, "worker %.100s: a tenant has at most %u devices", worker->uid, DIVVY_NODE_DEVICES);
    *ret_spec = (struct divvy_node_spec){
        .source = DIVVY_NODE_FROM_API, .qos = worker->qos, .owner_uid = geteuid(), .binding_count = claims->count};
    memcpy(ret_spec->id, worker->uid, sizeof ret_spec->id);
    for (uint32_t i = 0; i < claims->count; i++) {
        const struct divvy_node_demand *demand = &claims->claims[i].demand;
        int index = device_index(devices, count, claims->claims[i].uuid);

        if (index < 0)
            return divvy_error_set(error, -ENODEV, "worker %.80s: divvyd gives no leases for device %.60s; take another isolation",
                                   worker->uid, claims->claims[i].uuid);
        ret_spec->bindings[i].device = (uint32_t)index;
        ret_spec->bindings[i].limit_bytes = demand->limit_bytes ? demand->limit_bytes : DIVVY_NODE_MEMORY_NONE;
        ret_spec->bindings[i].compute_permille = demand->limit_permille;
        ret_spec->bindings[i].weight = demand->weight_permille < demand->limit_permille ? demand->weight_permille : 0;
    }
    return 0;
}

static bool has_same_devices(const struct divvy_node_tenant *tenant, const struct divvy_node_spec *spec) {
    if (tenant->binding_count != spec->binding_count)
        return false;
    for (uint32_t i = 0; i < spec->binding_count; i++)
        if (tenant->bindings[i].device != spec->bindings[i].device)
            return false;
    return true;
}

static int limits_change(struct divvy_daemon *daemon, const struct divvy_node_spec *spec, struct divvy_error *error) {
    int status = 0;

    for (uint32_t i = 0; i < spec->binding_count && status == 0; i++) {
        struct divvy_node_change change = {.fields = DIVVY_NODE_CHANGE_MEMORY | DIVVY_NODE_CHANGE_COMPUTE | DIVVY_NODE_CHANGE_WEIGHT |
                                                     DIVVY_NODE_CHANGE_QOS,
                                           .device = (int32_t)spec->bindings[i].device,
                                           .limit_bytes = spec->bindings[i].limit_bytes,
                                           .compute_permille = spec->bindings[i].compute_permille,
                                           .weight = spec->bindings[i].weight,
                                           .qos = spec->qos};

        status = divvy_daemon_tenant_change(daemon, &self, spec->id, &change, error);
    }
    return status;
}

/* One of this name is there: of an earlier run, or with other limits; or it is somebody else's. */
static int tenant_take(struct divvy_daemon *daemon, const struct divvy_node_spec *spec, struct divvy_node_tenant *tenant,
                       struct divvy_error *error) {
    if (tenant->source != DIVVY_NODE_FROM_API || tenant->owner_uid != spec->owner_uid || tenant->pod[0])
        return divvy_error_set(error, -EEXIST, "there is a tenant %.100s already, which is no worker of this node", spec->id);
    if (has_same_devices(tenant, spec))
        return limits_change(daemon, spec, error);
    if (divvy_daemon_tenant_remove(daemon, &self, spec->id, true, error) < 0)
        return error->status;
    return divvy_daemon_tenant_create(daemon, &self, spec, tenant, error);
}

static int environment_fill(struct divvy_daemon *daemon, struct divvy_backend_environment *environment, const struct divvy_node_tenant *tenant,
                            struct divvy_error *error) {
    cleanup_free char *list = NULL;
    struct divvy_install install;
    int status = divvy_install_find(&install, error);

    if (status < 0)
        return status;
    if (!install.limiter[0])
        return divvy_error_set(error, -ENOENT, "libcuda_limiter.so is not found beside divvyd: limits could not be kept");
    list = divvy_install_list_front(install.limiter, getenv("LD_PRELOAD"));
    status = list ? divvy_backend_environment_set(environment, "LD_PRELOAD", list) : -ENOMEM;
    if (status == 0)
        status = divvy_backend_environment_set(environment, "DIVVY_TENANT", tenant->id);
    if (status == 0)
        status = divvy_backend_environment_set(environment, "DIVVY_TENANT_DIR", tenant->folder);
    if (status == 0 && divvy_daemon_fails_open(daemon) && !divvy_backend_environment_get(environment, "DIVVY_FAIL_POLICY"))
        status = divvy_backend_environment_set(environment, "DIVVY_FAIL_POLICY", "open");
    return status < 0 ? divvy_error_set_errno(error, status, "the environment of worker %.100s", tenant->id) : 0;
}

static int hold(void *data, const struct divvy_node_worker *worker, const struct divvy_node_claims *claims,
                struct divvy_backend_environment *environment, struct divvy_error *error) {
    const struct divvy_single_notes *notes = data;
    struct divvy_daemon *daemon = notes->daemon;
    struct divvy_node_tenant tenant;
    struct divvy_node_spec spec;
    bool is_new;
    int status = spec_make(daemon, worker, claims, &spec, error);

    if (status == 0)
        status = note_write(notes, spec.id, error);
    if (status < 0)
        return status;
    is_new = divvy_daemon_tenant(daemon, spec.id, &tenant) == -ENOENT;
    status = is_new ? divvy_daemon_tenant_create(daemon, &self, &spec, &tenant, error) : tenant_take(daemon, &spec, &tenant, error);
    if (status < 0)
        return status;
    status = environment_fill(daemon, environment, &tenant, error);
    if (status < 0 && is_new)
        (void)divvy_daemon_tenant_remove(daemon, &self, spec.id, true, &(struct divvy_error){0});
    return status;
}

static void drop(void *data, const char *uid) {
    const struct divvy_single_notes *notes = data;
    struct divvy_node_tenant tenant;
    struct divvy_error error = {0, ""};
    int status = divvy_daemon_tenant(notes->daemon, uid, &tenant);

    /* of a name that somebody else has taken meanwhile nothing is ours */
    if (status == 0 && tenant.source == DIVVY_NODE_FROM_API && tenant.owner_uid == geteuid() && !tenant.pod[0])
        status = divvy_daemon_tenant_remove(notes->daemon, &self, uid, true, &error);
    if (status == 0 || status == -ENOENT)
        note_remove(notes, uid);
    else
        divvy_log_warn("the tenant of worker %s is not removed: %s", uid, error.text);
}

struct divvy_backend_limiter divvy_single_limiter(struct divvy_single_notes *notes) {
    return (struct divvy_backend_limiter){.data = notes, .hold = hold, .drop = drop};
}
