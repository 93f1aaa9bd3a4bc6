/* A state of the daemon for tests of the HTTP server. */
#include "fake_state.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#define TENANTS 4096u
#define EVENTS  256u

struct divvy_daemon {
    pthread_mutex_t lock;
    pthread_cond_t event;
    struct divvy_daemon_settings settings;
    struct divvy_node_device devices[2];
    struct divvy_node_tenant *tenants;
    struct divvy_node_process *processes; /* one for each tenant */
    size_t tenant_count;
    struct divvy_node_event events[EVENTS];
    uint64_t event_last;
    int fail_status;
    char fail_text[128];
    uint32_t delay_ms;
    bool ready, can_snapshot;
    struct divvy_daemon_peer peer;
    struct divvy_node_change change;
    uint64_t touched;
};

const char *divvy_node_qos_name(enum divvy_node_qos qos) {
    static const char *const names[] = {"low", "medium", "high", "critical"};

    return (unsigned)qos < DIVVY_NODE_QOS_MAX ? names[qos] : NULL;
}

const char *divvy_node_state_name(enum divvy_node_tenant_state state) {
    static const char *const names[] = {"idle", "running", "frozen", "saved", "asleep"};

    return (unsigned)state < DIVVY_NODE_TENANT_STATE_MAX ? names[state] : NULL;
}

const char *divvy_node_event_name(enum divvy_node_event_kind kind) {
    static const char *const names[DIVVY_NODE_EVENT_KIND_MAX] = {
        "tenant-created", "tenant-adopted",  "tenant-changed", "tenant-frozen",  "tenant-resumed",
        "tenant-removed", "process-started", "process-ended",  "memory-refused", "long-kernel",
        "device-lost",    "device-back",     "page-broken",    "daemon",          "trap",
    };

    return (unsigned)kind < DIVVY_NODE_EVENT_KIND_MAX ? names[kind] : NULL;
}

int divvy_node_qos_parse(const char *text, enum divvy_node_qos *ret_qos) {
    for (int i = 0; i < DIVVY_NODE_QOS_MAX; i++)
        if (strcasecmp(text, divvy_node_qos_name((enum divvy_node_qos)i)) == 0) {
            *ret_qos = (enum divvy_node_qos)i;
            return 0;
        }
    return -EINVAL;
}

static int64_t realtime_ns(void) {
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

struct divvy_daemon *fake_new(void) {
    struct divvy_daemon *daemon = calloc(1, sizeof *daemon);

    if (!daemon)
        abort();
    pthread_mutex_init(&daemon->lock, NULL);
    pthread_cond_init(&daemon->event, NULL);
    daemon->tenants = calloc(TENANTS, sizeof *daemon->tenants);
    daemon->processes = calloc(TENANTS, sizeof *daemon->processes);
    snprintf(daemon->settings.node, sizeof daemon->settings.node, "node-of-tests");
    snprintf(daemon->settings.base, sizeof daemon->settings.base, "/nowhere");
    daemon->ready = true;
    for (uint32_t i = 0; i < 2; i++) {
        struct divvy_node_device *device = &daemon->devices[i];

        device->index = i;
        memset(device->uuid, (int)(0xa0 + i), sizeof device->uuid);
        snprintf(device->uuid_text, sizeof device->uuid_text, "GPU-a%ua%ua%ua%u-0000-0000-0000-00000000000%u", i, i, i, i, i);
        snprintf(device->model, sizeof device->model, "Simulated \"H100\"");
        snprintf(device->vendor, sizeof device->vendor, "NVIDIA");
        snprintf(device->pci_bus_id, sizeof device->pci_bus_id, "00000000:0%u:00.0", i + 1);
        device->simulated = device->healthy = true;
        device->numa_node = -1;
        device->memory_bytes = UINT64_C(80) << 30;
        device->max_tflops = 989.5;
        device->sampled_ns = 1;
        device->utilisation_permille = 333;
        device->memory_used_bytes = 1 << 30;
        device->temperature_c = i == 0 ? 41 : DIVVY_NODE_UNKNOWN;
        device->power_mw = i == 0 ? 350500 : DIVVY_NODE_UNKNOWN;
        device->clock_sm_mhz = 1980;
        device->clock_memory_mhz = 2619;
        device->clock_graphics_mhz = device->clock_video_mhz = DIVVY_NODE_UNKNOWN;
        device->pcie_rx_kb = device->pcie_tx_kb = DIVVY_NODE_UNKNOWN;
    }
    divvy_daemon_event(daemon, DIVVY_NODE_EVENT_DAEMON, NULL, "started");
    return daemon;
}

void fake_free(struct divvy_daemon *daemon) {
    pthread_cond_destroy(&daemon->event);
    pthread_mutex_destroy(&daemon->lock);
    free(daemon->tenants);
    free(daemon->processes);
    free(daemon);
}

void fake_fail_next(struct divvy_daemon *daemon, int status, const char *text) {
    pthread_mutex_lock(&daemon->lock);
    daemon->fail_status = status;
    snprintf(daemon->fail_text, sizeof daemon->fail_text, "%s", text ? text : "");
    pthread_mutex_unlock(&daemon->lock);
}

void fake_delay(struct divvy_daemon *daemon, uint32_t milliseconds) {
    pthread_mutex_lock(&daemon->lock);
    daemon->delay_ms = milliseconds;
    pthread_mutex_unlock(&daemon->lock);
}

void fake_ready(struct divvy_daemon *daemon, bool ready) {
    pthread_mutex_lock(&daemon->lock);
    daemon->ready = ready;
    pthread_mutex_unlock(&daemon->lock);
}

void fake_can_snapshot(struct divvy_daemon *daemon, bool can) {
    pthread_mutex_lock(&daemon->lock);
    daemon->can_snapshot = can;
    pthread_mutex_unlock(&daemon->lock);
}

void fake_memory_used(struct divvy_daemon *daemon, uint32_t device, uint64_t bytes) {
    pthread_mutex_lock(&daemon->lock);
    daemon->devices[device].memory_used_bytes = (int64_t)bytes;
    pthread_mutex_unlock(&daemon->lock);
}

const struct divvy_daemon_peer *fake_last_peer(struct divvy_daemon *daemon) {
    static struct divvy_daemon_peer copy;

    pthread_mutex_lock(&daemon->lock);
    copy = daemon->peer;
    pthread_mutex_unlock(&daemon->lock);
    return &copy;
}

const struct divvy_node_change *fake_last_change(struct divvy_daemon *daemon) {
    static struct divvy_node_change copy;

    pthread_mutex_lock(&daemon->lock);
    copy = daemon->change;
    pthread_mutex_unlock(&daemon->lock);
    return &copy;
}

uint64_t fake_touched(const struct divvy_daemon *daemon) {
    return __atomic_load_n(&daemon->touched, __ATOMIC_RELAXED);
}

/* Lock held. */
static struct divvy_node_tenant *find(struct divvy_daemon *daemon, const char *id) {
    for (size_t i = 0; i < daemon->tenant_count; i++)
        if (strcmp(daemon->tenants[i].id, id) == 0)
            return &daemon->tenants[i];
    return NULL;
}

static void event_locked(struct divvy_daemon *daemon, enum divvy_node_event_kind kind, const char *tenant, const char *text) {
    struct divvy_node_event *event = &daemon->events[daemon->event_last++ % EVENTS];

    memset(event, 0, sizeof *event);
    event->number = daemon->event_last;
    event->time_ns = realtime_ns();
    event->kind = kind;
    snprintf(event->tenant, sizeof event->tenant, "%s", tenant ? tenant : "");
    snprintf(event->text, sizeof event->text, "%s", text);
    pthread_cond_broadcast(&daemon->event);
}

/* Takes the lock, notes who asks, waits and fails where a test wants so, finds the tenant and checks its owner. */
static int begin(struct divvy_daemon *daemon, const struct divvy_daemon_peer *peer, const char *id,
                 struct divvy_node_tenant **ret_tenant, struct divvy_error *error) {
    int status;

    pthread_mutex_lock(&daemon->lock);
    daemon->peer = *peer;
    if (daemon->delay_ms) {
        struct timespec pause = {.tv_sec = daemon->delay_ms / 1000, .tv_nsec = daemon->delay_ms % 1000 * 1000000L};

        pthread_mutex_unlock(&daemon->lock);
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&daemon->lock);
    }
    status = daemon->fail_status;
    daemon->fail_status = 0;
    if (status < 0)
        return divvy_error_set(error, status, "%s", daemon->fail_text);
    if (!id)
        return 0;
    *ret_tenant = find(daemon, id);
    if (!*ret_tenant)
        return divvy_error_set(error, -ENOENT, "no such tenant");
    if (!peer->admin && !(peer->pod[0] && strcmp(peer->pod, (*ret_tenant)->pod) == 0) &&
        !(peer->known && peer->uid == (*ret_tenant)->owner_uid))
        return divvy_error_set(error, -EPERM, "the tenant belongs to another user");
    return 0;
}

int divvy_daemon_devices(struct divvy_daemon *daemon, struct divvy_node_device **ret_devices, size_t *ret_count) {
    *ret_devices = malloc(sizeof daemon->devices);
    if (!*ret_devices)
        return -ENOMEM;
    pthread_mutex_lock(&daemon->lock);
    memcpy(*ret_devices, daemon->devices, sizeof daemon->devices);
    pthread_mutex_unlock(&daemon->lock);
    *ret_count = 2;
    return 0;
}

int divvy_daemon_tenants(struct divvy_daemon *daemon, struct divvy_node_tenant **ret_tenants, size_t *ret_count) {
    pthread_mutex_lock(&daemon->lock);
    *ret_count = daemon->tenant_count;
    *ret_tenants = daemon->tenant_count ? malloc(daemon->tenant_count * sizeof **ret_tenants) : NULL;
    if (*ret_tenants)
        memcpy(*ret_tenants, daemon->tenants, daemon->tenant_count * sizeof **ret_tenants);
    pthread_mutex_unlock(&daemon->lock);
    return 0;
}

int divvy_daemon_tenant(struct divvy_daemon *daemon, const char *id, struct divvy_node_tenant *ret_tenant) {
    struct divvy_node_tenant *tenant;

    pthread_mutex_lock(&daemon->lock);
    tenant = find(daemon, id);
    if (tenant)
        *ret_tenant = *tenant;
    pthread_mutex_unlock(&daemon->lock);
    return tenant ? 0 : -ENOENT;
}

int divvy_daemon_process_tenant(struct divvy_daemon *daemon, int32_t host_pid, struct divvy_node_tenant *ret_tenant) {
    int status = -ENOENT;

    pthread_mutex_lock(&daemon->lock);
    for (size_t i = 0; i < daemon->tenant_count; i++)
        if (daemon->tenants[i].process_count && daemon->processes[i].host_pid == host_pid) {
            *ret_tenant = daemon->tenants[i];
            status = 0;
        }
    pthread_mutex_unlock(&daemon->lock);
    return status;
}

int64_t divvy_daemon_autofreeze_ns(struct divvy_daemon *daemon, enum divvy_node_qos qos) {
    return daemon->settings.autofreeze_ns[qos];
}

int divvy_daemon_channel_came(struct divvy_daemon *daemon, int32_t host_pid) {
    (void)daemon;
    (void)host_pid;
    return 0;
}

struct divvy_remote *divvy_daemon_remote(struct divvy_daemon *daemon) {
    (void)daemon;
    return NULL; /* no leases this way */
}

int divvy_daemon_processes(struct divvy_daemon *daemon, const char *id, struct divvy_node_process **ret_processes,
                           size_t *ret_count) {
    struct divvy_node_tenant *tenant;

    *ret_processes = NULL;
    *ret_count = 0;
    pthread_mutex_lock(&daemon->lock);
    tenant = find(daemon, id);
    if (tenant && tenant->process_count && (*ret_processes = malloc(sizeof **ret_processes))) {
        **ret_processes = daemon->processes[tenant - daemon->tenants];
        *ret_count = 1;
    }
    pthread_mutex_unlock(&daemon->lock);
    return tenant ? 0 : -ENOENT;
}

int divvy_daemon_tenant_create(struct divvy_daemon *daemon, const struct divvy_daemon_peer *peer,
                               const struct divvy_node_spec *spec, struct divvy_node_tenant *ret_tenant,
                               struct divvy_error *error) {
    struct divvy_node_tenant *tenant = NULL;
    int status = begin(daemon, peer, NULL, &tenant, error);

    if (status == 0 && find(daemon, spec->id))
        status = divvy_error_set(error, -EEXIST, "the name '%s' is in use", spec->id);
    if (status == 0 && daemon->tenant_count == TENANTS)
        status = divvy_error_set(error, -ENOSPC, "no room for another tenant");
    if (status == 0) {
        tenant = &daemon->tenants[daemon->tenant_count++];
        memset(tenant, 0, sizeof *tenant);
        tenant->number = (uint32_t)daemon->tenant_count - 1;
        memcpy(tenant->id, spec->id, sizeof tenant->id);
        memcpy(tenant->pod, spec->pod, sizeof tenant->pod);
        memcpy(tenant->namespace, spec->namespace, sizeof tenant->namespace);
        memcpy(tenant->container, spec->container, sizeof tenant->container);
        memcpy(tenant->labels, spec->labels, sizeof tenant->labels);
        tenant->source = spec->source;
        tenant->qos = spec->qos;
        tenant->owner_uid = spec->owner_uid;
        tenant->keeper_pid = spec->keeper_pid;
        tenant->created_ns = realtime_ns();
        tenant->binding_count = spec->binding_count;
        for (uint32_t i = 0; i < spec->binding_count; i++) {
            tenant->bindings[i].device = spec->bindings[i].device;
            tenant->bindings[i].limit_bytes = spec->bindings[i].limit_bytes;
            tenant->bindings[i].compute_permille = spec->bindings[i].compute_permille;
            tenant->bindings[i].soft = spec->bindings[i].soft;
            tenant->bindings[i].weight = spec->bindings[i].weight ? spec->bindings[i].weight : DIVVY_NODE_WEIGHT_DEFAULT;
            tenant->bindings[i].mode = 2;
        }
        snprintf(tenant->folder, sizeof tenant->folder, "/nowhere/%.100s", tenant->id);
        event_locked(daemon, DIVVY_NODE_EVENT_TENANT_CREATED, tenant->id, "created");
        *ret_tenant = *tenant;
    }
    pthread_mutex_unlock(&daemon->lock);
    return status;
}

void fake_tenant_add(struct divvy_daemon *daemon, const char *id, const char *namespace, const char *pod, const char *container,
                     enum divvy_node_qos qos, uint32_t owner_uid, int32_t pid, uint64_t used_bytes) {
    struct divvy_daemon_peer peer = {.admin = true};
    struct divvy_node_spec spec = {.qos = qos, .owner_uid = owner_uid, .binding_count = 1};
    struct divvy_node_tenant tenant, *kept;

    snprintf(spec.id, sizeof spec.id, "%s", id);
    snprintf(spec.namespace, sizeof spec.namespace, "%s", namespace);
    snprintf(spec.pod, sizeof spec.pod, "%s", pod);
    snprintf(spec.container, sizeof spec.container, "%s", container);
    spec.source = pod[0] ? DIVVY_NODE_FROM_POD : DIVVY_NODE_FROM_RUN;
    spec.bindings[0].limit_bytes = UINT64_C(8) << 30;
    spec.bindings[0].compute_permille = 500;
    if (divvy_daemon_tenant_create(daemon, &peer, &spec, &tenant, NULL) != 0)
        abort();
    pthread_mutex_lock(&daemon->lock);
    kept = find(daemon, id);
    kept->bindings[0].used_bytes = kept->bindings[0].peak_bytes = used_bytes;
    kept->bindings[0].share_permille = 497;
    kept->bindings[0].waited_ns = UINT64_C(1500000000);
    kept->bindings[0].refused = 3;
    if (pid) {
        struct divvy_node_process *process = &daemon->processes[kept - daemon->tenants];

        kept->process_count = 1;
        *process = (struct divvy_node_process){.host_pid = pid, .container_pid = 7, .used_bytes = used_bytes};
        snprintf(process->name, sizeof process->name, "trainer");
    }
    pthread_mutex_unlock(&daemon->lock);
}

int divvy_daemon_tenant_change(struct divvy_daemon *daemon, const struct divvy_daemon_peer *peer, const char *id,
                               const struct divvy_node_change *change, struct divvy_error *error) {
    struct divvy_node_tenant *tenant = NULL;
    int status = begin(daemon, peer, id, &tenant, error);

    if (status == 0) {
        daemon->change = *change;
        for (uint32_t i = 0; i < tenant->binding_count; i++) {
            struct divvy_node_binding *binding = &tenant->bindings[i];

            if (change->device >= 0 && (uint32_t)change->device != binding->device)
                continue;
            if (change->fields & DIVVY_NODE_CHANGE_MEMORY)
                binding->limit_bytes = change->limit_bytes;
            if (change->fields & DIVVY_NODE_CHANGE_COMPUTE)
                binding->compute_permille = change->compute_permille;
            if (change->fields & DIVVY_NODE_CHANGE_SOFT)
                binding->soft = change->soft;
            if (change->fields & DIVVY_NODE_CHANGE_WEIGHT)
                binding->weight = change->weight;
        }
        if (change->fields & DIVVY_NODE_CHANGE_QOS)
            tenant->qos = change->qos;
        event_locked(daemon, DIVVY_NODE_EVENT_TENANT_CHANGED, id, "changed");
    }
    pthread_mutex_unlock(&daemon->lock);
    return status;
}

int divvy_daemon_tenant_freeze(struct divvy_daemon *daemon, const struct divvy_daemon_peer *peer, const char *id, bool frozen,
                               struct divvy_error *error) {
    struct divvy_node_tenant *tenant = NULL;
    int status = begin(daemon, peer, id, &tenant, error);

    if (status == 0) {
        tenant->frozen = frozen;
        tenant->state = frozen ? DIVVY_NODE_TENANT_FROZEN : DIVVY_NODE_TENANT_IDLE;
    }
    pthread_mutex_unlock(&daemon->lock);
    return status;
}

int divvy_daemon_tenant_remove(struct divvy_daemon *daemon, const struct divvy_daemon_peer *peer, const char *id, bool force,
                               struct divvy_error *error) {
    struct divvy_node_tenant *tenant = NULL;
    int status = begin(daemon, peer, id, &tenant, error);

    if (status == 0 && tenant->process_count && !force)
        status = divvy_error_set(error, -EBUSY, "'%s' has %u processes", id, tenant->process_count);
    if (status == 0) {
        size_t place = (size_t)(tenant - daemon->tenants);

        daemon->tenant_count--;
        memmove(tenant, tenant + 1, (daemon->tenant_count - place) * sizeof *tenant);
        memmove(&daemon->processes[place], &daemon->processes[place + 1],
                (daemon->tenant_count - place) * sizeof *daemon->processes);
        event_locked(daemon, DIVVY_NODE_EVENT_TENANT_REMOVED, id, "removed");
    }
    pthread_mutex_unlock(&daemon->lock);
    return status;
}

static int save(struct divvy_daemon *daemon, const struct divvy_daemon_peer *peer, const char *id, bool saved,
                struct divvy_error *error) {
    struct divvy_node_tenant *tenant = NULL;
    int status = begin(daemon, peer, id, &tenant, error);

    if (status == 0 && !daemon->can_snapshot)
        status = divvy_error_set(error, -EOPNOTSUPP, "the driver has no checkpoint calls");
    if (status == 0) {
        tenant->state = saved ? DIVVY_NODE_TENANT_SAVED : DIVVY_NODE_TENANT_IDLE;
        *(saved ? &tenant->frozen_count : &tenant->resumed_count) += 1;
        if (saved)
            tenant->bindings[0].used_bytes = 0;
    }
    pthread_mutex_unlock(&daemon->lock);
    return status;
}

int divvy_daemon_tenant_snapshot(struct divvy_daemon *daemon, const struct divvy_daemon_peer *peer, const char *id,
                                 struct divvy_error *error) {
    return save(daemon, peer, id, true, error);
}

int divvy_daemon_tenant_resume(struct divvy_daemon *daemon, const struct divvy_daemon_peer *peer, const char *id,
                               struct divvy_error *error) {
    return save(daemon, peer, id, false, error);
}

int divvy_daemon_process_register(struct divvy_daemon *daemon, const struct divvy_daemon_peer *peer, const char *id,
                                  int32_t container_pid, struct divvy_node_process *ret_process, struct divvy_error *error) {
    struct divvy_node_tenant *tenant = NULL;
    int status = begin(daemon, peer, id, &tenant, error);

    if (status == 0) {
        *ret_process = (struct divvy_node_process){.host_pid = peer->pid ? peer->pid : 4242, .container_pid = container_pid};
        daemon->processes[tenant - daemon->tenants] = *ret_process;
        tenant->process_count = 1;
    }
    pthread_mutex_unlock(&daemon->lock);
    return status;
}

uint32_t divvy_daemon_events(struct divvy_daemon *daemon, uint64_t after, uint32_t wait_ms, struct divvy_node_event *ret_events,
                             uint32_t room) {
    struct timespec until;
    uint32_t count = 0;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += wait_ms / 1000;
    until.tv_nsec += wait_ms % 1000 * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&daemon->lock);
    while (wait_ms && daemon->event_last <= after)
        if (pthread_cond_timedwait(&daemon->event, &daemon->lock, &until) != 0)
            break;
    if (after + EVENTS < daemon->event_last)
        after = daemon->event_last - EVENTS;
    for (; after < daemon->event_last && count < room; after++)
        ret_events[count++] = daemon->events[after % EVENTS];
    pthread_mutex_unlock(&daemon->lock);
    return count;
}

void divvy_daemon_event(struct divvy_daemon *daemon, enum divvy_node_event_kind kind, const char *tenant, const char *format,
                        ...) {
    char text[DIVVY_NODE_TEXT_BYTES];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&daemon->lock);
    event_locked(daemon, kind, tenant, text);
    pthread_mutex_unlock(&daemon->lock);
}

void divvy_daemon_event_process(struct divvy_daemon *daemon, enum divvy_node_event_kind kind, const char *tenant, int32_t pid,
                                const char *format, ...) {
    char text[DIVVY_NODE_TEXT_BYTES];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&daemon->lock);
    event_locked(daemon, kind, tenant, text);
    daemon->events[(daemon->event_last - 1) % EVENTS].pid = pid;
    pthread_mutex_unlock(&daemon->lock);
}

void divvy_daemon_health(struct divvy_daemon *daemon, struct divvy_daemon_health *ret_health) {
    pthread_mutex_lock(&daemon->lock);
    *ret_health = (struct divvy_daemon_health){.ready = daemon->ready,
                                               .uptime_ns = 12345678901,
                                               .leases_granted = 100,
                                               .leases_revoked = 7,
                                               .handovers = 50,
                                               .decision_ns_mean = 800,
                                               .decision_ns_max = 2500,
                                               .wake_late_ns_mean = 9000,
                                               .wake_late_ns_max = 60000,
                                               .bells = 11,
                                               .pages_broken = 1,
                                               .cpu_ns = 1234567890,
                                               .rss_bytes = 10 << 20};
    pthread_mutex_unlock(&daemon->lock);
}

bool divvy_daemon_fails_open(struct divvy_daemon *daemon) {
    return daemon->settings.fail_open;
}

const struct divvy_daemon_settings *divvy_daemon_settings(const struct divvy_daemon *daemon) {
    return &daemon->settings;
}

int divvy_daemon_discover(struct divvy_daemon *daemon, struct divvy_error *error) {
    struct divvy_daemon_peer peer = {.admin = true};
    struct divvy_node_tenant *tenant;
    int status = begin(daemon, &peer, NULL, &tenant, error);

    pthread_mutex_unlock(&daemon->lock);
    return status < 0 ? status : 2;
}

void divvy_daemon_touch(struct divvy_daemon *daemon) {
    __atomic_add_fetch(&daemon->touched, 1, __ATOMIC_RELAXED);
}
