/*
 * The Kubernetes device plugin: hands slots of this node's devices to the kubelet (device plugin API v1beta1) and sees to it that a
 * container finds the pages of its tenant. A thread of its own with a loop; whose tenants and devices they are is told by hooks.
 *
 * How a container gets its limits: the kubelet asks Allocate for slots without saying for whom. The answer mounts the link of the
 * first slot (plugin/links.h). Before it makes the container, the kubelet asks PreStartContainer; the plugin then asks the kubelet
 * (PodResources API) who holds these slots, has the tenant made, and sets the link. A container that nobody can name does not start.
 */
#ifndef DIVVY_PLUGIN_PLUGIN_H
#define DIVVY_PLUGIN_PLUGIN_H

#include "base/error.h"
#include "plugin/holders.h"
#include "plugin/slots.h"

#define DIVVY_PLUGIN_FOLDER_BYTES 256u

/* Called by the plugin's thread; none may block for long. */
struct divvy_plugin_hooks {
    void *data;
    /* The devices now, always in the same order: how many, at most DIVVY_NODE_DEVICES. */
    size_t (*devices)(void *data, struct divvy_node_device *ret_devices);
    /*
     * The tenant of a pod that holds these shares, made when there is none: its folder. `is_new`: none of the pod's containers has been
     * here with these slots, so a tenant of this name is left of another pod. A negative errno with the reason, which the pod's owner
     * reads; -EAGAIN: ask again soon.
     */
    int (*tenant_hold)(void *data, const struct divvy_plugin_holder *holder, const struct divvy_plugin_share *shares, size_t count,
                       bool is_new, char ret_folder[DIVVY_PLUGIN_FOLDER_BYTES], struct divvy_error *error);
    /* Nobody holds the slots any more that the tenant of this folder had. 0: it is gone; -EBUSY: not yet, ask again. */
    int (*tenant_release)(void *data, const char *folder);
    /* Whether programs whose limits cannot be read go on without any; NULL: they do not. */
    bool (*fails_open)(void *data);
};

/* Texts are copied. */
struct divvy_plugin_options {
    const char *kubelet_dir;   /* "/var/lib/kubelet/device-plugins" */
    const char *pod_resources; /* its socket */
    const char *resource;      /* "divvy.io/gpu" */
    uint32_t slots;            /* of each device, 1..DIVVY_PLUGIN_SLOTS_MAX */
    enum divvy_plugin_policy policy;
    const char *device_root, *library_dir, *preload_file, *slots_dir; /* see plugin/answer.h */
    struct divvy_plugin_hooks hooks;
};

struct divvy_plugin;

/* -EINVAL: an option that cannot be; -ENAMETOOLONG, -ENOMEM and others. That there is no kubelet (yet) is no error. */
int divvy_plugin_start(const struct divvy_plugin_options *options, struct divvy_plugin **ret_plugin, struct divvy_error *error);
/* The hooks are not called any more when it returns. Containers and links stay. NULL is fine. */
void divvy_plugin_stop(struct divvy_plugin *plugin);

#endif
