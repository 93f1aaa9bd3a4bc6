/*
 * Between the state and the pod files: tells podfiles.c what the pods are and use. What a pod's processes use comes from the
 * driver, because limiters of other systems write no usage page; which processes are its own, from their registration.
 */
#include "daemon/inside.h"

#include "core/checked.h"
#include "core/sys.h"
#include "daemon/hostpid.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_tell(void *data, const char *name, const char *text) {
    divvy_daemon_event_locked(data, DIVVY_NODE_EVENT_PAGE_BROKEN, name, "%s", text);
}

static bool is_served(const struct divvy_node_tenant *tenant) {
    return tenant->source == DIVVY_NODE_FROM_POD && tenant->pod[0] && tenant->namespace[0];
}

/* Of several containers the first has them: which one it was, the file does not say. */
static bool on_restore(void *data, const char *namespace, const char *pod, uint64_t pid) {
    struct divvy_daemon *daemon = data;
    struct divvy_node_process process = {.host_pid = (int32_t)pid};
    struct divvy_node_tenant *tenant = divvy_node_registry_tenant_next(daemon->registry, NULL);

    while (tenant && !(is_served(tenant) && strcmp(tenant->pod, pod) == 0 && strcmp(tenant->namespace, namespace) == 0))
        tenant = divvy_node_registry_tenant_next(daemon->registry, tenant);
    if (!tenant || divvy_core_sys_start_time((pid_t)pid, &process.start_ticks) < 0)
        return false;
    (void)divvy_hostpid_container_pid("/proc", (pid_t)pid, &process.container_pid);
    if (divvy_node_registry_process_add(daemon->registry, tenant->id, &process) < 0)
        return false;
    if (divvy_liveness_watch_process(daemon->liveness, tenant->id, process.host_pid, process.start_ticks) == 0)
        return true;
    (void)divvy_node_registry_process_remove(daemon->registry, tenant->id, process.host_pid, process.start_ticks);
    return false;
}

int divvy_daemon_pods_new(struct divvy_daemon *daemon) {
    const struct divvy_podfiles_callbacks callbacks = {.tell = on_tell, .restore = on_restore, .data = daemon};

    int status = daemon->settings.shm_base[0] ? divvy_podfiles_new(daemon->settings.shm_base, &callbacks, &daemon->podfiles) : 0;

    if (daemon->podfiles)
        divvy_podfiles_params_set(daemon->podfiles, &daemon->settings.elastic);
    return status;
}

void divvy_daemon_pods_free(struct divvy_daemon *daemon) {
    divvy_podfiles_free(daemon->podfiles);
    free(daemon->sightings);
}

bool divvy_daemon_processes_wanted(struct divvy_daemon *daemon) {
    bool wanted;

    (void)pthread_mutex_lock(&daemon->lock);
    wanted = daemon->pods_known || daemon->cluster_pods > 0;
    (void)pthread_mutex_unlock(&daemon->lock);
    return wanted;
}

void divvy_daemon_processes_seen(struct divvy_daemon *daemon, const struct divvy_node_sighting *sightings, size_t count) {
    struct divvy_node_sighting *copy = count ? malloc(count * sizeof *copy) : NULL;

    if (count && !copy)
        return;
    divvy_daemon_pods_processes(daemon, sightings, count);
    if (count)
        memcpy(copy, sightings, count * sizeof *copy);
    (void)pthread_mutex_lock(&daemon->lock);
    free(daemon->sightings);
    daemon->sightings = copy;
    daemon->sighting_count = count;
    daemon->sightings_new = true;
    (void)pthread_mutex_unlock(&daemon->lock);
}

static bool is_among(const uint64_t *pids, uint32_t count, int32_t pid) {
    for (uint32_t i = 0; i < count; i++)
        if (pids[i] == (uint64_t)pid)
            return true;
    return false;
}

/* What the driver has seen of these processes on a device. */
static void use_add(const struct divvy_daemon *daemon, const uint8_t uuid[16], const uint64_t *pids, uint32_t count,
                    struct divvy_podfiles_device *device) {
    double busy = 0;

    for (size_t i = 0; i < daemon->sighting_count; i++) {
        const struct divvy_node_sighting *seen = &daemon->sightings[i];

        if (memcmp(seen->uuid, uuid, sizeof seen->uuid) != 0 || !is_among(pids, count, seen->host_pid))
            continue;
        device->used_bytes = divvy_core_u64_add_saturated(device->used_bytes, seen->used_bytes);
        busy = seen->busy_permille == DIVVY_NODE_UNKNOWN ? NAN : busy + (double)seen->busy_permille / 1000;
    }
    device->utilisation = daemon->sightings_new ? busy : NAN;
}

static void binding_fill(struct divvy_daemon *daemon, const struct divvy_node_binding *binding, const uint64_t *pids,
                         uint32_t pid_count, struct divvy_podfiles_device *ret_device) {
    const struct divvy_node_device *device = divvy_node_registry_device(daemon->registry, binding->device);

    *ret_device = (struct divvy_podfiles_device){
        .index = device->index,
        .compute_permille = binding->compute_permille,
        .limit_bytes = binding->limit_bytes == DIVVY_NODE_MEMORY_NONE ? device->memory_bytes : binding->limit_bytes,
        .cores = device->cores,
    };
    (void)snprintf(ret_device->uuid, sizeof ret_device->uuid, "%s", device->uuid_text);
    use_add(daemon, device->uuid, pids, pid_count, ret_device);
    /* Processes with divvy's limiter know more, and at once. */
    if (binding->used_bytes > ret_device->used_bytes)
        ret_device->used_bytes = binding->used_bytes;
}

static void tenant_add(struct divvy_daemon *daemon, const struct divvy_node_tenant *tenant) {
    static struct divvy_node_process processes[DIVVY_NODE_PROCESSES_MAX]; /* of the one watching thread, and the next two */
    static struct divvy_podfiles_device devices[DIVVY_NODE_DEVICES];
    static uint64_t pids[DIVVY_NODE_PROCESSES_MAX];
    struct divvy_podfiles_pod pod = {.namespace = tenant->namespace,
                                     .pod = tenant->pod,
                                     .frozen = tenant->frozen,
                                     .devices = devices,
                                     .device_count = tenant->binding_count,
                                     .pids = pids};
    int count = divvy_node_registry_processes(daemon->registry, tenant->id, processes, DIVVY_NODE_PROCESSES_MAX);

    for (int i = 0; i < count && i < (int)DIVVY_NODE_PROCESSES_MAX; i++)
        pids[pod.pid_count++] = (uint64_t)processes[i].host_pid;
    for (uint32_t i = 0; i < tenant->binding_count; i++)
        binding_fill(daemon, &tenant->bindings[i], pids, pod.pid_count, &devices[i]);
    (void)divvy_podfiles_add(daemon->podfiles, &pod); /* it tells what is wrong itself */
}

void divvy_daemon_pods_turn(struct divvy_daemon *daemon, int64_t now_ns) {
    struct divvy_node_tenant *tenant = NULL;

    if (!daemon->podfiles)
        return;
    /* Woken ten times a second: a little early is better than one waking late. */
    if (now_ns < daemon->podfiles_ns + DIVVY_PODFILES_TURN_NS - DIVVY_PODFILES_TURN_NS / 20) {
        divvy_podfiles_refill(daemon->podfiles, now_ns);
        return;
    }
    daemon->podfiles_ns = now_ns;
    daemon->pods_known = false;
    divvy_podfiles_begin(daemon->podfiles);
    while ((tenant = divvy_node_registry_tenant_next(daemon->registry, tenant))) {
        if (!is_served(tenant))
            continue;
        daemon->pods_known = true;
        tenant_add(daemon, tenant);
    }
    divvy_podfiles_end(daemon->podfiles, now_ns, divvy_daemon_realtime_ns());
    daemon->sightings_new = false;
}
