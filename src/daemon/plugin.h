/*
 * The device plugin (plugin/plugin.h) inside divvyd: its devices are the state's, and a pod that holds slots is the tenant
 * `namespace/pod` of the state, whichever of its containers they are for.
 */
#ifndef DIVVY_DAEMON_PLUGIN_H
#define DIVVY_DAEMON_PLUGIN_H

#include "daemon/state.h"
#include "plugin/plugin.h"

/* Texts are borrowed during the call. */
struct divvy_daemon_plugin_options {
    const char *kubelet_dir, *pod_resources, *resource, *device_root, *library_dir, *preload_file;
    uint32_t slots, policy; /* enum divvy_plugin_policy */
    /* Whose a pod is (cluster.h), called by the plugin's thread; NULL: nobody knows, and all are root's. */
    int (*owner)(void *data, const char *id, uint32_t *ret_uid);
    void *owner_data;
};

struct divvy_daemon_plugin;

/* After the state; the links to tenants' folders lie in `slots` beside the base. -EINVAL, -ENOMEM and what the system says. */
int divvy_daemon_plugin_start(struct divvy_daemon *daemon, const struct divvy_daemon_plugin_options *options,
                              struct divvy_daemon_plugin **ret_plugin, struct divvy_error *error);
/* Before the state's end. Pods and their tenants stay. NULL is fine. */
void divvy_daemon_plugin_stop(struct divvy_daemon_plugin *plugin);

#endif
