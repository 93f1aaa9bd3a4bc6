/* The device plugin inside divvyd: see plugin.h. */
#include "daemon/plugin.h"

#include "base/cleanup.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct divvy_daemon_plugin {
    struct divvy_daemon *daemon;
    struct divvy_plugin *plugin;
    int (*owner)(void *data, const char *id, uint32_t *ret_uid);
    void *owner_data;
};

static const struct divvy_daemon_peer ourselves = {.admin = true};

static bool fails_open(void *data) {
    const struct divvy_daemon_plugin *plugin = data;

    return divvy_daemon_fails_open(plugin->daemon);
}

static size_t devices(void *data, struct divvy_node_device *ret_devices) {
    const struct divvy_daemon_plugin *plugin = data;
    cleanup_free struct divvy_node_device *found = NULL;
    size_t count = 0;

    if (divvy_daemon_devices(plugin->daemon, &found, &count) < 0)
        return 0;
    if (count > DIVVY_NODE_DEVICES)
        count = DIVVY_NODE_DEVICES;
    if (count > 0)
        memcpy(ret_devices, found, count * sizeof *found);
    return count;
}

/* --- the tenant of a pod -------------------------------------------------------------------------------------------------- */

/* The plugin's devices are the registry's, in its order. */
static void bindings_fill(struct divvy_node_spec *spec, const struct divvy_plugin_share *shares, size_t count) {
    for (size_t i = 0; i < count; i++) {
        spec->bindings[i].device = shares[i].device;
        spec->bindings[i].limit_bytes = shares[i].memory_bytes ? shares[i].memory_bytes : DIVVY_NODE_MEMORY_NONE;
        spec->bindings[i].compute_permille = shares[i].compute_permille;
    }
    spec->binding_count = (uint32_t)count;
}

static bool is_on(const struct divvy_node_tenant *tenant, const struct divvy_plugin_share *shares, size_t count) {
    if (tenant->binding_count != count)
        return false;
    for (size_t i = 0; i < count; i++) {
        uint32_t k = 0;

        while (k < tenant->binding_count && tenant->bindings[k].device != shares[i].device)
            k++;
        if (k == tenant->binding_count)
            return false;
    }
    return true;
}

static int tenant_make(const struct divvy_daemon_plugin *plugin, const struct divvy_plugin_holder *holder, const char *id,
                       const struct divvy_plugin_share *shares, size_t count, struct divvy_node_tenant *ret_tenant, struct divvy_error *error) {
    struct divvy_node_spec spec = {.source = DIVVY_NODE_FROM_POD, .qos = DIVVY_NODE_QOS_MEDIUM};

    (void)snprintf(spec.id, sizeof spec.id, "%s", id);
    memcpy(spec.namespace, holder->namespace, sizeof spec.namespace);
    memcpy(spec.pod, holder->pod, sizeof spec.pod);
    if (plugin->owner && plugin->owner(plugin->owner_data, id, &spec.owner_uid) < 0)
        return divvy_error_set(error, -EAGAIN, "the API server has not told of the pod yet");
    bindings_fill(&spec, shares, count);
    return divvy_daemon_tenant_create(plugin->daemon, &ourselves, &spec, ret_tenant, error);
}

/* -ENOENT: a pod of this name before this one had it, and it is gone; -EAGAIN: its processes are still ending. */
static int leftover_remove(struct divvy_daemon *daemon, const struct divvy_node_tenant *tenant, struct divvy_error *error) {
    int status = divvy_daemon_tenant_remove(daemon, &ourselves, tenant->id, false, error);

    if (status == -EBUSY)
        return divvy_error_set(error, -EAGAIN, "processes of a pod of this name before it have not ended");
    return status < 0 ? status : -ENOENT;
}

static int tenant_hold(void *data, const struct divvy_plugin_holder *holder, const struct divvy_plugin_share *shares, size_t count,
                       bool is_new, char ret_folder[DIVVY_PLUGIN_FOLDER_BYTES], struct divvy_error *error) {
    const struct divvy_daemon_plugin *plugin = data;
    struct divvy_node_tenant tenant;
    char id[DIVVY_NODE_ID_BYTES];
    int status;

    if (snprintf(id, sizeof id, "%s/%s", holder->namespace, holder->pod) >= (int)sizeof id)
        return divvy_error_set(error, -ENAMETOOLONG, "the names of pod and namespace have more than %zu bytes together", sizeof id - 2);
    status = divvy_daemon_tenant(plugin->daemon, id, &tenant);
    if (status == 0 && tenant.source == DIVVY_NODE_FROM_POD && (is_new || !is_on(&tenant, shares, count)))
        status = leftover_remove(plugin->daemon, &tenant, error);
    if (status == -ENOENT)
        status = tenant_make(plugin, holder, id, shares, count, &tenant, error);
    else if (status == 0 && !is_on(&tenant, shares, count))
        status = divvy_error_set(error, -EBUSY, "the tenant %.80s was made by hand, on other devices than its pod was given", id);
    if (status < 0)
        return status;
    (void)snprintf(ret_folder, DIVVY_PLUGIN_FOLDER_BYTES, "%s", tenant.folder);
    return 0;
}

static int tenant_release(void *data, const char *folder) {
    const struct divvy_daemon_plugin *plugin = data;
    cleanup_free struct divvy_node_tenant *tenants = NULL;
    size_t count = 0;
    int status = 0;

    if (divvy_daemon_tenants(plugin->daemon, &tenants, &count) < 0)
        return -EBUSY;
    for (size_t i = 0; i < count; i++)
        if (strcmp(tenants[i].folder, folder) == 0 && tenants[i].source == DIVVY_NODE_FROM_POD)
            status = divvy_daemon_tenant_remove(plugin->daemon, &ourselves, tenants[i].id, false, NULL);
    return status == -EBUSY ? -EBUSY : 0;
}

/* --- beginning and end ---------------------------------------------------------------------------------------------------- */

/* `slots` beside the base: on the same file system as what its links lead to, and mounted with it. */
static int slots_dir_find(const char *base, char ret_path[PATH_MAX], struct divvy_error *error) {
    const char *slash = strrchr(base, '/');

    if (!slash || slash == base || snprintf(ret_path, PATH_MAX, "%.*s/slots", (int)(slash - base), base) >= PATH_MAX)
        return divvy_error_set(error, -EINVAL, "the folder of tenants %.150s has no room for one beside it", base);
    return 0;
}

int divvy_daemon_plugin_start(struct divvy_daemon *daemon, const struct divvy_daemon_plugin_options *options,
                              struct divvy_daemon_plugin **ret_plugin, struct divvy_error *error) {
    struct divvy_daemon_plugin *plugin = calloc(1, sizeof *plugin);
    char slots_dir[PATH_MAX];
    struct divvy_plugin_options whole = {.kubelet_dir = options->kubelet_dir,
                                         .pod_resources = options->pod_resources,
                                         .resource = options->resource,
                                         .slots = options->slots,
                                         .policy = (enum divvy_plugin_policy)options->policy,
                                         .device_root = options->device_root,
                                         .library_dir = options->library_dir,
                                         .preload_file = options->preload_file,
                                         .slots_dir = slots_dir,
                                         .hooks = {plugin, devices, tenant_hold, tenant_release, fails_open}};
    int status;

    if (!plugin)
        return divvy_error_set_errno(error, -ENOMEM, "the device plugin");
    plugin->daemon = daemon;
    plugin->owner = options->owner;
    plugin->owner_data = options->owner_data;
    status = slots_dir_find(divvy_daemon_settings(daemon)->base, slots_dir, error);
    if (status == 0)
        status = divvy_plugin_start(&whole, &plugin->plugin, error);
    if (status < 0) {
        free(plugin);
        return status;
    }
    *ret_plugin = plugin;
    return 0;
}

void divvy_daemon_plugin_stop(struct divvy_daemon_plugin *plugin) {
    if (!plugin)
        return;
    divvy_plugin_stop(plugin->plugin);
    free(plugin);
}
