/* Operations on tenants: see state.h. */
#include "daemon/inside.h"

#include "daemon/freezer.h"
#include "daemon/hostpid.h"
#include "daemon/remote.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void lock(struct divvy_daemon *daemon) {
    (void)pthread_mutex_lock(&daemon->lock);
    daemon->touched_ns = divvy_daemon_now_ns();
}

static void unlock(struct divvy_daemon *daemon) {
    (void)pthread_mutex_unlock(&daemon->lock);
}

static struct divvy_node_tenant_params params_of(const struct divvy_node_tenant *tenant,
                                                 const struct divvy_node_binding *binding) {
    return (struct divvy_node_tenant_params){.weight = binding->weight,
                                             .cap_permille = binding->compute_permille,
                                             .cap_soft = binding->soft,
                                             .qos = tenant->qos};
}

int divvy_daemon_tenant_for(struct divvy_daemon *daemon, const struct divvy_daemon_peer *peer,
                            const char *id, struct divvy_node_tenant **ret_tenant,
                            struct divvy_error *error) {
    struct divvy_node_tenant *tenant = divvy_node_registry_tenant(daemon->registry, id);

    if (!tenant)
        return divvy_error_set(error, -ENOENT, "there is no tenant '%.128s'", id);
    if (!peer->admin && !(peer->known && peer->uid == tenant->owner_uid))
        return divvy_error_set(error, -EPERM, "tenant '%.128s' belongs to another user", id);
    *ret_tenant = tenant;
    return 0;
}

/* --- making --------------------------------------------------------------------------------------------------------- */

int divvy_daemon_tenant_hold(struct divvy_daemon *daemon, struct divvy_node_tenant *tenant,
                             struct divvy_folder *folder) {
    struct divvy_daemon_held *held = calloc(1, sizeof *held);
    struct divvy_lease_tenant lease = {.number = tenant->number,
                                       .control = folder->control,
                                       .folder_fd = folder->fd,
                                       .bell_fd = folder->bell_fd,
                                       .owner_uid = tenant->owner_uid,
                                       .frozen = tenant->frozen || tenant->asleep,
                                       .door = folder->control->door,
                                       .binding_count = tenant->binding_count};
    int status;

    if (!held)
        return -ENOMEM;
    divvy_usage_init(&held->usage, daemon->copy);
    for (uint32_t i = 0; i < tenant->binding_count; i++)
        lease.bindings[i] =
            (struct divvy_lease_binding){.device = tenant->bindings[i].device,
                                         .entry = i,
                                         .params = params_of(tenant, &tenant->bindings[i])};
    __atomic_store_n(&folder->control->daemon_pid, (uint64_t)getpid(), __ATOMIC_RELAXED);
    status = divvy_lease_tenant_add(daemon->lease, &lease);
    if (status < 0) {
        free(held);
        return status;
    }
    held->folder = *folder;
    held->maybe_saved = tenant->frozen || tenant->asleep;
    daemon->held[tenant->number] = held;
    tenant->state = tenant->asleep   ? DIVVY_NODE_TENANT_ASLEEP
                    : tenant->frozen ? DIVVY_NODE_TENANT_FROZEN
                                     : DIVVY_NODE_TENANT_IDLE;
    divvy_freezer_hold(daemon, tenant);
    (void)snprintf(tenant->folder, sizeof tenant->folder, "%s", folder->path);
    if (tenant->keeper_pid > 0 &&
        divvy_liveness_watch_keeper(daemon->liveness, tenant->id, tenant->keeper_pid, 0) == -ESRCH)
        tenant->keeper_pid = 0;
    return 0;
}

static int spec_check(const struct divvy_daemon_peer *peer, const struct divvy_node_spec *spec,
                      struct divvy_error *error) {
    char path[48];
    struct stat status;

    if (!peer->admin && !(peer->known && peer->uid == spec->owner_uid))
        return divvy_error_set(error, -EPERM, "a tenant can only be made for one's own user");
    if (spec->keeper_pid <= 0)
        return 0;
    (void)snprintf(path, sizeof path, "/proc/%d", spec->keeper_pid);
    if (stat(path, &status) < 0)
        return divvy_error_set(error, -ESRCH, "keeper_pid %d is no process of this machine",
                               spec->keeper_pid);
    if (!peer->admin && status.st_uid != peer->uid)
        return divvy_error_set(error, -EPERM, "keeper_pid %d is a process of another user",
                               spec->keeper_pid);
    return 0;
}

int divvy_daemon_tenant_make(struct divvy_daemon *daemon, const struct divvy_node_spec *spec,
                             struct divvy_node_tenant **ret_tenant, struct divvy_error *error) {
    const struct divvy_node_device *devices[DIVVY_NODE_DEVICES] = {0};
    struct divvy_node_tenant *tenant;
    struct divvy_node_spec whole = *spec;
    struct divvy_folder folder;
    char why[DIVVY_NODE_TEXT_BYTES] = "";
    int status = divvy_node_registry_tenant_add(daemon->registry, spec, divvy_daemon_realtime_ns(),
                                                daemon->settings.overcommit_permille, &tenant, why);

    if (status < 0)
        return divvy_error_set(error, status, "%s", why[0] ? why : strerror(-status));
    for (uint32_t i = 0; i < tenant->binding_count; i++) {
        devices[i] = divvy_node_registry_device(daemon->registry, tenant->bindings[i].device);
        whole.bindings[i].weight = tenant->bindings[i].weight;
    }
    status = divvy_folder_create(daemon->base_fd, daemon->settings.base, &whole, devices, &folder,
                                 error);
    if (status == 0) {
        status = divvy_daemon_tenant_hold(daemon, tenant, &folder);
        if (status < 0) {
            divvy_folder_remove(daemon->base_fd, spec->id, &folder);
            (void)divvy_error_set_errno(error, status, "tenant '%.128s' cannot be given leases",
                                        spec->id);
        }
    }
    if (status < 0)
        (void)divvy_node_registry_tenant_remove(daemon->registry, spec->id);
    else
        *ret_tenant = tenant;
    return status;
}

int divvy_daemon_tenant_create(struct divvy_daemon *daemon, const struct divvy_daemon_peer *peer,
                               const struct divvy_node_spec *spec,
                               struct divvy_node_tenant *ret_tenant, struct divvy_error *error) {
    struct divvy_node_tenant *tenant;
    int status = spec_check(peer, spec, error);

    if (status < 0)
        return status;
    lock(daemon);
    status = divvy_daemon_tenant_make(daemon, spec, &tenant, error);
    if (status == 0) {
        divvy_daemon_event_locked(daemon, DIVVY_NODE_EVENT_TENANT_CREATED, tenant->id,
                                  "qos %s, %u device%s", divvy_node_qos_name(tenant->qos),
                                  tenant->binding_count, tenant->binding_count == 1 ? "" : "s");
        *ret_tenant = *tenant;
    }
    unlock(daemon);
    return status;
}

/* --- changing ------------------------------------------------------------------------------------------------------- */

static void binding_apply(struct divvy_daemon *daemon, const struct divvy_node_tenant *tenant,
                          uint32_t index) {
    const struct divvy_node_binding *binding = &tenant->bindings[index];
    struct divvy_control_device *entry =
        &daemon->held[tenant->number]->folder.control->devices[index];
    struct divvy_node_tenant_params params = params_of(tenant, binding);

    __atomic_store_n(&entry->limit_bytes, binding->limit_bytes, __ATOMIC_RELAXED);
    __atomic_store_n(&entry->compute_permille, binding->compute_permille, __ATOMIC_RELAXED);
    entry->weight = binding->weight;
    entry->flags = binding->soft ? DIVVY_CONTROL_SOFT : 0;
    (void)divvy_lease_tenant_set(daemon->lease, tenant->number, binding->device, &params);
}

static void change_describe(const struct divvy_node_change *change,
                            char text[DIVVY_NODE_TEXT_BYTES]) {
    int at = 0;

    text[0] = '\0';
    if (change->fields & DIVVY_NODE_CHANGE_MEMORY && change->limit_bytes == DIVVY_NODE_MEMORY_NONE)
        at += snprintf(text + at, DIVVY_NODE_TEXT_BYTES - (size_t)at, "memory unlimited ");
    else if (change->fields & DIVVY_NODE_CHANGE_MEMORY)
        at += snprintf(text + at, DIVVY_NODE_TEXT_BYTES - (size_t)at, "memory %llu bytes ",
                       (unsigned long long)change->limit_bytes);
    if (change->fields & DIVVY_NODE_CHANGE_COMPUTE)
        at += snprintf(text + at, DIVVY_NODE_TEXT_BYTES - (size_t)at, "compute %u.%u %% ",
                       change->compute_permille / 10, change->compute_permille % 10);
    if (change->fields & DIVVY_NODE_CHANGE_SOFT)
        at += snprintf(text + at, DIVVY_NODE_TEXT_BYTES - (size_t)at, "%s cap ",
                       change->soft ? "soft" : "hard");
    if (change->fields & DIVVY_NODE_CHANGE_WEIGHT)
        at += snprintf(text + at, DIVVY_NODE_TEXT_BYTES - (size_t)at, "weight %u ", change->weight);
    if (change->fields & DIVVY_NODE_CHANGE_QOS)
        at += snprintf(text + at, DIVVY_NODE_TEXT_BYTES - (size_t)at, "qos %s ",
                       divvy_node_qos_name(change->qos));
    if (at > 0)
        text[at - 1] = '\0';
}

int divvy_daemon_tenant_change(struct divvy_daemon *daemon, const struct divvy_daemon_peer *peer,
                               const char *id, const struct divvy_node_change *change,
                               struct divvy_error *error) {
    struct divvy_node_tenant *tenant;
    char why[DIVVY_NODE_TEXT_BYTES] = "";
    int status;

    lock(daemon);
    status = divvy_daemon_tenant_for(daemon, peer, id, &tenant, error);
    if (status == 0) {
        status = divvy_node_registry_tenant_change(daemon->registry, id, change,
                                                   daemon->settings.overcommit_permille, why);
        if (status < 0)
            (void)divvy_error_set(error, status, "%s", why[0] ? why : strerror(-status));
    }
    if (status == 0) {
        daemon->held[tenant->number]->folder.control->qos = (uint32_t)tenant->qos;
        for (uint32_t i = 0; i < tenant->binding_count; i++)
            binding_apply(daemon, tenant, i);
        change_describe(change, why);
        divvy_daemon_event_locked(daemon, DIVVY_NODE_EVENT_TENANT_CHANGED, id, "%s", why);
    }
    unlock(daemon);
    return status;
}

/* --- going ---------------------------------------------------------------------------------------------------------- */

void divvy_daemon_tenant_drop(struct divvy_daemon *daemon, struct divvy_node_tenant *tenant,
                              const char *why) {
    struct divvy_daemon_held *held = daemon->held[tenant->number];
    char id[DIVVY_NODE_ID_BYTES];

    memcpy(id, tenant->id, sizeof id);
    divvy_liveness_forget(daemon->liveness, id);
    (void)divvy_lease_tenant_remove(daemon->lease, tenant->number);
    daemon->held[tenant->number] = NULL;
    (void)divvy_node_registry_tenant_remove(daemon->registry, id);
    divvy_usage_close(&held->usage);
    divvy_folder_remove(daemon->base_fd, id, &held->folder);
    free(held);
    divvy_daemon_event_locked(daemon, DIVVY_NODE_EVENT_TENANT_REMOVED, id, "%s", why);
}

int divvy_daemon_tenant_remove(struct divvy_daemon *daemon, const struct divvy_daemon_peer *peer,
                               const char *id, bool force, struct divvy_error *error) {
    struct divvy_node_tenant *tenant;
    int status;

    lock(daemon);
    status = divvy_daemon_tenant_for(daemon, peer, id, &tenant, error);
    if (status == 0 && tenant->process_count && !force)
        status = divvy_error_set(error, -EBUSY,
                                 "tenant '%.100s' has %u process%s: end them, or use force", id,
                                 tenant->process_count, tenant->process_count == 1 ? "" : "es");
    else if (status == 0 && tenant->process_count &&
             (daemon->held[tenant->number]->saved || daemon->held[tenant->number]->stepping))
        status = divvy_error_set(
            error, -EBUSY, "the device memory of tenant '%.100s' is saved: resume it first", id);
    if (status == 0)
        divvy_daemon_tenant_drop(daemon, tenant, force ? "removed by force" : "removed");
    unlock(daemon);
    return status;
}

/* --- processes ------------------------------------------------------------------------------------------------------ */

/*
 * Where the cluster has told of the pod, its processes are told by the cgroup that the kubelet has put them in, and what their environment
 * says counts for nothing. Who asks through the unix socket with a pod's token must itself be of that pod.
 */
static int cluster_search(const struct divvy_daemon_peer *peer, const char *uid, struct divvy_hostpid_search *search,
                          struct divvy_error *error) {
    char found[DIVVY_KUBE_UID_BYTES];

    search->pod = search->namespace = search->container = NULL;
    search->container_hint = peer->container;
    if (peer->pid > 0 && peer->pod[0] && (divvy_hostpid_pod(NULL, peer->pid, found) < 0 || strcmp(found, uid) != 0))
        return divvy_error_set(error, -EPERM, "process %d, who asks, is not of this pod", (int)peer->pid);
    return 0;
}

int divvy_daemon_process_register(struct divvy_daemon *daemon, const struct divvy_daemon_peer *peer,
                                  const char *id, int32_t container_pid,
                                  struct divvy_node_process *ret_process,
                                  struct divvy_error *error) {
    char pod[DIVVY_NODE_ID_BYTES] = "", namespace[DIVVY_NODE_ID_BYTES] = "",
         container[DIVVY_NODE_ID_BYTES] = "", uid[DIVVY_NODE_POD_UID_BYTES] = "";
    struct divvy_hostpid_search search = {.container_pid = container_pid,
                                          .peer_pid = peer->pid,
                                          .pod = pod,
                                          .namespace = namespace,
                                          .container = container,
                                          .pod_uid = uid,
                                          .timeout_ns = INT64_C(5000000000)};
    struct divvy_node_tenant *tenant;
    struct divvy_node_process process = {.container_pid = container_pid};
    int status;

    lock(daemon);
    status = divvy_daemon_tenant_for(daemon, peer, id, &tenant, error);
    if (status == -EPERM && peer->pod[0]) {
        tenant = divvy_node_registry_tenant(daemon->registry, id);
        if (tenant && strcmp(peer->pod, tenant->pod) == 0 &&
            strcmp(peer->namespace, tenant->namespace) == 0 &&
            (!tenant->pod_uid[0] || !peer->pod_uid[0] || strcmp(tenant->pod_uid, peer->pod_uid) == 0))
            status = 0;
    }
    if (status == 0) {
        memcpy(pod, tenant->pod, sizeof pod);
        memcpy(namespace, tenant->namespace, sizeof namespace);
        memcpy(container, tenant->container, sizeof container);
        memcpy(uid, tenant->pod_uid, sizeof uid);
    }
    unlock(daemon);
    if (status == 0 && uid[0])
        status = cluster_search(peer, uid, &search, error);
    if (status == 0)
        status = divvy_hostpid_find(&search, &process.host_pid, &process.start_ticks, error);
    if (status < 0)
        return status;
    lock(daemon);
    status = divvy_node_registry_process_add(daemon->registry, id, &process);
    if (status == 0)
        divvy_daemon_event_process_locked(daemon, DIVVY_NODE_EVENT_PROCESS_STARTED, id,
                                          process.host_pid, "process %d has registered",
                                          process.host_pid);
    unlock(daemon);
    if (status < 0 && status != -EEXIST)
        return divvy_error_set_errno(error, status, "process %d cannot be registered with '%.100s'",
                                     container_pid, id);
    (void)divvy_liveness_watch_process(daemon->liveness, id, process.host_pid, process.start_ticks);
    *ret_process = process;
    return 0;
}

int divvy_daemon_process_tenant(struct divvy_daemon *daemon, int32_t host_pid, struct divvy_node_tenant *ret_tenant) {
    const struct divvy_node_tenant *tenant;

    (void)pthread_mutex_lock(&daemon->lock);
    tenant = divvy_node_registry_process_tenant(daemon->registry, host_pid);
    if (tenant)
        *ret_tenant = *tenant;
    (void)pthread_mutex_unlock(&daemon->lock);
    return tenant ? 0 : -ENOENT;
}

int divvy_daemon_channel_came(struct divvy_daemon *daemon, int32_t host_pid) {
    const struct divvy_node_tenant *tenant;
    int status = -ENOENT;

    (void)pthread_mutex_lock(&daemon->lock);
    tenant = divvy_node_registry_process_tenant(daemon->registry, host_pid);
    if (tenant)
        status = divvy_remote_come(divvy_lease_remote(daemon->lease), host_pid, tenant->number,
                                   daemon->held[tenant->number]->folder.control);
    (void)pthread_mutex_unlock(&daemon->lock);
    return status;
}

struct divvy_remote *divvy_daemon_remote(struct divvy_daemon *daemon) {
    return divvy_lease_remote(daemon->lease);
}

void divvy_daemon_process_ended(struct divvy_daemon *daemon, const char *id, int32_t host_pid,
                                uint64_t start_ticks) {
    (void)pthread_mutex_lock(&daemon->lock);
    if (divvy_node_registry_process_remove(daemon->registry, id, host_pid, start_ticks) == 0)
        divvy_daemon_event_process_locked(daemon, DIVVY_NODE_EVENT_PROCESS_ENDED, id, host_pid,
                                          "process %d ended", host_pid);
    divvy_remote_went(divvy_lease_remote(daemon->lease), host_pid);
    (void)pthread_mutex_unlock(&daemon->lock);
}

void divvy_daemon_keeper_ended(struct divvy_daemon *daemon, const char *id) {
    struct divvy_node_tenant *tenant;

    (void)pthread_mutex_lock(&daemon->lock);
    tenant = divvy_node_registry_tenant(daemon->registry, id);
    if (tenant)
        tenant->keeper_pid = 0;
    (void)pthread_mutex_unlock(&daemon->lock);
}
