/* What the pod watcher does to the state: see state.h. And which processes on the devices are of which pods, by their cgroups. */
#include "daemon/inside.h"

#include "core/sys.h"
#include "daemon/hostpid.h"
#include "kube/pod.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAITS_FOR_SLOTS "the device plugin gives it its slots when its container starts"

static const struct divvy_daemon_peer ourselves = {.admin = true};

static struct divvy_node_tenant *tenant_of(struct divvy_daemon *daemon, const char *id, const char *uid) {
    struct divvy_node_tenant *tenant = divvy_node_registry_tenant(daemon->registry, id);

    return tenant && strcmp(tenant->pod_uid, uid) == 0 ? tenant : NULL;
}

/* A tenant whose memory is saved has processes that can still come back to it. */
static bool is_movable(const struct divvy_daemon *daemon, const struct divvy_node_tenant *tenant) {
    const struct divvy_daemon_held *held = daemon->held[tenant->number];

    return !(tenant->process_count && (held->saved || held->stepping));
}

/* A pod that names no GPUs keeps those that it was given. */
static void devices_keep(struct divvy_daemon *daemon, const struct divvy_node_tenant *tenant, struct divvy_kube_ask *ask) {
    if (ask->device_count)
        return;
    for (uint32_t i = 0; i < tenant->binding_count; i++)
        memcpy(ask->devices[i], divvy_node_registry_device(daemon->registry, tenant->bindings[i].device)->uuid_text, sizeof ask->devices[i]);
    ask->device_count = tenant->binding_count;
}

static int spec_make(struct divvy_daemon *daemon, const struct divvy_kube_pod *pod, struct divvy_node_spec *ret_spec, struct divvy_error *error) {
    const struct divvy_node_device *devices[DIVVY_NODE_DEVICES];
    struct divvy_node_promise promises[DIVVY_NODE_DEVICES];
    uint32_t count = divvy_node_registry_device_count(daemon->registry);
    char why[DIVVY_NODE_TEXT_BYTES] = "";
    int status;

    for (uint32_t i = 0; i < count && i < DIVVY_NODE_DEVICES; i++) {
        devices[i] = divvy_node_registry_device(daemon->registry, i);
        promises[i] = divvy_node_registry_promise(daemon->registry, i);
    }
    status = divvy_kube_pod_spec(pod, devices, promises, count < DIVVY_NODE_DEVICES ? count : DIVVY_NODE_DEVICES, ret_spec, why);
    return status < 0 ? divvy_error_set(error, status, "%s", why) : 0;
}

static bool devices_differ(const struct divvy_node_tenant *tenant, const struct divvy_node_spec *spec) {
    if (tenant->binding_count != spec->binding_count)
        return true;
    for (uint32_t i = 0; i < spec->binding_count; i++)
        if (tenant->bindings[i].device != spec->bindings[i].device)
            return true;
    return false;
}

/* What a pod's slots give it stands, where no annotation says otherwise. */
static void slots_keep(const struct divvy_node_tenant *tenant, const struct divvy_kube_ask *ask, struct divvy_node_spec *spec) {
    bool has_cap = ask->compute_permille || !divvy_node_quantity_is_zero(ask->tflops);
    bool has_weight = has_cap || ask->request_permille || !divvy_node_quantity_is_zero(ask->request_tflops);

    for (uint32_t i = 0; i < spec->binding_count && !ask->is_shared; i++) {
        if (!ask->memory_bytes)
            spec->bindings[i].limit_bytes = tenant->bindings[i].limit_bytes;
        if (!has_cap)
            spec->bindings[i].compute_permille = tenant->bindings[i].compute_permille;
        if (!has_weight)
            spec->bindings[i].weight = tenant->bindings[i].weight;
    }
    if (!ask->has_qos)
        spec->qos = tenant->qos;
}

/* What has to change for one device; no fields when nothing has. */
static struct divvy_node_change change_of(const struct divvy_node_tenant *tenant, const struct divvy_node_spec *spec, uint32_t i) {
    const struct divvy_node_binding *has = &tenant->bindings[i];
    uint32_t cap = spec->bindings[i].compute_permille;
    uint32_t weight = spec->bindings[i].weight                ? spec->bindings[i].weight
                      : cap == DIVVY_NODE_PERMILLE_NONE ? DIVVY_NODE_WEIGHT_DEFAULT
                                                        : cap;
    struct divvy_node_change change = {.device = (int32_t)spec->bindings[i].device,
                                       .limit_bytes = spec->bindings[i].limit_bytes,
                                       .compute_permille = cap,
                                       .weight = spec->bindings[i].weight,
                                       .qos = spec->qos};

    change.fields |= has->limit_bytes != change.limit_bytes ? DIVVY_NODE_CHANGE_MEMORY : 0;
    change.fields |= has->compute_permille != cap ? DIVVY_NODE_CHANGE_COMPUTE : 0;
    change.fields |= has->weight != weight ? DIVVY_NODE_CHANGE_WEIGHT : 0;
    change.fields |= tenant->qos != spec->qos ? DIVVY_NODE_CHANGE_QOS : 0;
    return change;
}

static int changes_apply(struct divvy_daemon *daemon, const char *id, const struct divvy_node_change *changes, uint32_t count,
                         struct divvy_error *error) {
    int status = 0;

    for (uint32_t i = 0; i < count && status == 0; i++)
        if (changes[i].fields)
            status = divvy_daemon_tenant_change(daemon, &ourselves, id, &changes[i], error);
    return status;
}

/* Lock held. The pod's tenant is there: which changes make it what the pod asks now. */
static int changes_find(struct divvy_daemon *daemon, const struct divvy_node_tenant *tenant, const struct divvy_kube_pod *pod,
                        struct divvy_node_change changes[DIVVY_NODE_DEVICES], uint32_t *ret_count, struct divvy_error *error) {
    struct divvy_kube_pod asks = *pod;
    struct divvy_node_spec spec;
    int status;

    if (pod->has_slots)
        asks.ask.device_count = 0;
    devices_keep(daemon, tenant, &asks.ask);
    status = spec_make(daemon, &asks, &spec, error);
    if (status < 0)
        return status;
    if (pod->has_slots)
        slots_keep(tenant, &pod->ask, &spec);
    if (devices_differ(tenant, &spec))
        return divvy_error_set(error, -EOPNOTSUPP, "the GPUs of a pod do not change while it lives");
    for (uint32_t i = 0; i < spec.binding_count; i++)
        changes[i] = change_of(tenant, &spec, i);
    *ret_count = spec.binding_count;
    return 0;
}

static int tenant_make(struct divvy_daemon *daemon, const struct divvy_kube_pod *pod, struct divvy_error *error) {
    struct divvy_node_tenant *tenant;
    struct divvy_node_spec spec;
    int status = spec_make(daemon, pod, &spec, error);

    if (status == 0)
        status = divvy_daemon_tenant_make(daemon, &spec, &tenant, error);
    if (status == 0)
        divvy_daemon_event_locked(daemon, DIVVY_NODE_EVENT_TENANT_CREATED, tenant->id, "pod %s, qos %s, %u device%s", tenant->pod_uid,
                                  divvy_node_qos_name(tenant->qos), tenant->binding_count, tenant->binding_count == 1 ? "" : "s");
    return status;
}

int divvy_daemon_pod_set(struct divvy_daemon *daemon, const struct divvy_kube_pod *pod, struct divvy_error *error) {
    struct divvy_node_change changes[DIVVY_NODE_DEVICES];
    struct divvy_node_tenant *tenant;
    char id[DIVVY_NODE_ID_BYTES];
    uint32_t count = 0;
    int status = divvy_kube_pod_id(pod, id);

    if (status < 0)
        return divvy_error_set(error, -EINVAL, "its name is too long");
    (void)pthread_mutex_lock(&daemon->lock);
    daemon->touched_ns = divvy_daemon_now_ns();
    tenant = divvy_node_registry_tenant(daemon->registry, id);
    if (pod->has_slots && (!tenant || tenant->source != DIVVY_NODE_FROM_POD)) {
        status = divvy_error_set(error, -EAGAIN, WAITS_FOR_SLOTS);
    } else if (pod->has_slots && !tenant->pod_uid[0]) {
        memcpy(tenant->pod_uid, pod->uid, sizeof tenant->pod_uid); /* from here on it goes with the pod */
    } else if (tenant && !tenant->pod_uid[0]) {
        status = divvy_error_set(error, -EEXIST, "a tenant of this name was made by hand, and is left as it is");
    } else if (tenant && strcmp(tenant->pod_uid, pod->uid) != 0) {
        status = is_movable(daemon, tenant) ? 0 : divvy_error_set(error, -EBUSY, "the pod of this name before it is still saved");
        if (status == 0)
            divvy_daemon_tenant_drop(daemon, tenant, "another pod has its name now");
        tenant = NULL;
    }
    if (status == 0 && !tenant && pod->has_slots)
        status = divvy_error_set(error, -EAGAIN, WAITS_FOR_SLOTS);
    else if (status == 0)
        status = tenant ? changes_find(daemon, tenant, pod, changes, &count, error) : tenant_make(daemon, pod, error);
    (void)pthread_mutex_unlock(&daemon->lock);
    return status == 0 ? changes_apply(daemon, id, changes, count, error) : status;
}

int divvy_daemon_pod_gone(struct divvy_daemon *daemon, const char *id, const char *uid) {
    struct divvy_node_tenant *tenant;
    int status = -ENOENT;

    (void)pthread_mutex_lock(&daemon->lock);
    tenant = tenant_of(daemon, id, uid);
    if (tenant)
        status = is_movable(daemon, tenant) ? 0 : -EBUSY;
    if (status == 0)
        divvy_daemon_tenant_drop(daemon, tenant, "its pod is gone");
    (void)pthread_mutex_unlock(&daemon->lock);
    return status;
}

bool divvy_daemon_pod_is_held(struct divvy_daemon *daemon, const char *id, const char *uid) {
    bool is_held;

    (void)pthread_mutex_lock(&daemon->lock);
    is_held = tenant_of(daemon, id, uid) != NULL;
    (void)pthread_mutex_unlock(&daemon->lock);
    return is_held;
}

unsigned divvy_daemon_pods_keep(struct divvy_daemon *daemon, bool (*is_there)(void *data, const char *id, const char *uid), void *data) {
    struct divvy_node_tenant *tenant, *next;
    unsigned dropped = 0;

    (void)pthread_mutex_lock(&daemon->lock);
    daemon->cluster_pods = 0;
    tenant = divvy_node_registry_tenant_next(daemon->registry, NULL);
    for (; tenant; tenant = next) {
        next = divvy_node_registry_tenant_next(daemon->registry, tenant);
        if (!tenant->pod_uid[0])
            continue;
        if (is_there(data, tenant->id, tenant->pod_uid) || !is_movable(daemon, tenant)) {
            daemon->cluster_pods++;
            continue;
        }
        divvy_daemon_tenant_drop(daemon, tenant, "its pod is gone");
        dropped++;
    }
    (void)pthread_mutex_unlock(&daemon->lock);
    return dropped;
}

/* --- processes on the devices ----------------------------------------------------------------------------------------- */

static struct divvy_node_tenant *tenant_of_uid(struct divvy_daemon *daemon, const char *uid) {
    struct divvy_node_tenant *tenant = NULL;

    while ((tenant = divvy_node_registry_tenant_next(daemon->registry, tenant)))
        if (tenant->pod_uid[0] && strcmp(tenant->pod_uid, uid) == 0)
            return tenant;
    return NULL;
}

/* Enters a process that the driver has seen with the pod whose cgroup it is in, registered or not. */
static void process_enter(struct divvy_daemon *daemon, const struct divvy_node_sighting *seen, const char *uid, uint64_t start_ticks) {
    struct divvy_node_process process = {.host_pid = seen->host_pid, .start_ticks = start_ticks, .used_bytes = seen->used_bytes};
    struct divvy_node_tenant *tenant;

    (void)divvy_hostpid_container_pid("/proc", seen->host_pid, &process.container_pid);
    (void)pthread_mutex_lock(&daemon->lock);
    tenant = tenant_of_uid(daemon, uid);
    if (tenant && divvy_node_registry_process_used(daemon->registry, tenant->id, seen->host_pid, start_ticks, seen->used_bytes) == -ENOENT &&
        divvy_node_registry_process_add(daemon->registry, tenant->id, &process) == 0) {
        if (divvy_liveness_watch_process(daemon->liveness, tenant->id, process.host_pid, start_ticks) < 0)
            (void)divvy_node_registry_process_remove(daemon->registry, tenant->id, process.host_pid, start_ticks);
        else
            divvy_daemon_event_process_locked(daemon, DIVVY_NODE_EVENT_PROCESS_STARTED, tenant->id, process.host_pid,
                                              "process %d uses a GPU and has not registered", process.host_pid);
    }
    (void)pthread_mutex_unlock(&daemon->lock);
}

void divvy_daemon_pods_processes(struct divvy_daemon *daemon, const struct divvy_node_sighting *sightings, size_t count) {
    char uid[DIVVY_KUBE_UID_BYTES];
    uint64_t start_ticks;

    for (size_t i = 0; i < count; i++)
        if (divvy_hostpid_pod(NULL, sightings[i].host_pid, uid) == 0 && divvy_core_sys_start_time(sightings[i].host_pid, &start_ticks) == 0)
            process_enter(daemon, &sightings[i], uid, start_ticks);
}
