/*
 * Keeps the registry true: reads the usage pages of tenants, enters the processes that it finds there, counts shares, and lets
 * tenants go whose makers and processes are gone.
 */
#include "daemon/inside.h"

#include "daemon/remote.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MS        INT64_C(1000000)
#define TURN_NS   (100 * MS)
#define ASLEEP_NS (1000 * MS) /* between looks at a tenant that does nothing */
#define SECOND_NS (1000 * MS)
#define LINGER_NS (500 * MS) /* a tenant without maker and process is kept so long */

/* Its pid here, as the page claims it; 0 where that is not known. */
static int32_t process_pid(const struct divvy_daemon *daemon,
                           const struct divvy_usage_process *claim) {
    uint64_t pid = claim->pidns == daemon->own_pidns ? claim->pid : claim->host_pid;

    return pid <= INT32_MAX ? (int32_t)pid : 0;
}

/* A process as the page claims it: believed when there is one of that pid, of the tenant's user. */
static bool process_check(const struct divvy_node_tenant *tenant,
                          const struct divvy_usage_process *claim, int32_t host_pid,
                          struct divvy_node_process *ret_process) {
    char path[48];
    struct stat status;
    FILE *name;

    *ret_process = (struct divvy_node_process){.host_pid = host_pid,
                                               .container_pid = (int32_t)claim->pid,
                                               .start_ticks = claim->start_ticks,
                                               .used_bytes = claim->used_bytes};
    (void)snprintf(path, sizeof path, "/proc/%d", ret_process->host_pid);
    if (stat(path, &status) < 0 || status.st_uid != tenant->owner_uid)
        return false;
    (void)snprintf(path, sizeof path, "/proc/%d/comm", ret_process->host_pid);
    name = fopen(path, "re");
    if (name) {
        if (fgets(ret_process->name, sizeof ret_process->name, name))
            ret_process->name[strcspn(ret_process->name, "\n")] = '\0';
        (void)fclose(name);
    }
    return true;
}

int divvy_daemon_processes_look(struct divvy_daemon *daemon, struct divvy_node_tenant *tenant) {
    static struct divvy_usage_process
        claims[DIVVY_PAGE_SLOTS]; /* under the daemon's lock, like all here */
    struct divvy_daemon_held *held = daemon->held[tenant->number];
    int count = divvy_usage_processes(&held->usage, held->folder.fd, tenant->owner_uid, claims,
                                      DIVVY_PAGE_SLOTS);

    for (int i = 0; i < count; i++) {
        int32_t host_pid = process_pid(daemon, &claims[i]);
        struct divvy_node_process process;

        if (host_pid <= 0 ||
            divvy_node_registry_process_used(daemon->registry, tenant->id, host_pid,
                                             claims[i].start_ticks, claims[i].used_bytes) == 0)
            continue;
        if (!process_check(tenant, &claims[i], host_pid, &process))
            continue;
        if (divvy_node_registry_process_add(daemon->registry, tenant->id, &process) < 0)
            continue;
        if (divvy_liveness_watch_process(daemon->liveness, tenant->id, process.host_pid,
                                         process.start_ticks) < 0) {
            (void)divvy_node_registry_process_remove(daemon->registry, tenant->id, process.host_pid,
                                                     process.start_ticks);
            continue;
        }
        divvy_daemon_event_process_locked(daemon, DIVVY_NODE_EVENT_PROCESS_STARTED, tenant->id,
                                          process.host_pid, "process %d (%s)", process.host_pid,
                                          process.name);
    }
    return count < 0 ? count : 0;
}

static void share_count(struct divvy_daemon *daemon, struct divvy_daemon_held *held, uint32_t index,
                        struct divvy_node_binding *binding, int64_t now_ns) {
    int64_t passed_ns = now_ns - held->share_since_ns[index];
    const struct divvy_node_device *device;
    uint64_t used_ns;

    if (held->share_since_ns[index] && passed_ns < SECOND_NS)
        return;
    used_ns = binding->busy_ns > held->share_busy_ns[index]
                  ? binding->busy_ns - held->share_busy_ns[index]
                  : 0;
    binding->share_permille = held->share_since_ns[index] && used_ns < (uint64_t)passed_ns * 2
                                  ? (uint32_t)(used_ns * 1000 / (uint64_t)passed_ns)
                                  : 0;
    device = divvy_node_registry_device(daemon->registry, binding->device);
    /* behind an open gate nothing is measured: it is alone, and the device's own figure is its */
    if (binding->mode == DIVVY_CONTROL_OPEN && device->utilisation_permille >= 0)
        binding->share_permille = (uint32_t)device->utilisation_permille;
    held->share_busy_ns[index] = binding->busy_ns;
    held->share_since_ns[index] = now_ns;
}

/* With what reading its page has come to. True: it wants GPU time, or has used some since the last look. */
static bool binding_look(struct divvy_daemon *daemon, struct divvy_node_tenant *tenant,
                         struct divvy_daemon_held *held, uint32_t index, int status,
                         int64_t now_ns) {
    struct divvy_node_binding *binding = &tenant->bindings[index];
    struct divvy_usage_device use = {0};
    struct divvy_control_lease lease;
    bool ready = false, active;

    if (status == 0)
        status = divvy_usage_sum(&held->usage, (const uint8_t *)&held->folder.control->devices[index].uuid, now_ns,
                                 &daemon->own_pidns, &use);
    if (status < 0 && status != -EPROTO)
        use = (struct divvy_usage_device){0};
    if (divvy_remote_usage(divvy_lease_remote(daemon->lease), tenant->number, index, &use) && status == -ENOENT)
        status = 0;
    if (status == -EPROTO) {
        daemon->pages_broken++;
        if (!held->page_broken)
            divvy_daemon_event_locked(
                daemon, DIVVY_NODE_EVENT_PAGE_BROKEN, tenant->id,
                "its usage page is not to be believed; what it uses is not known");
        held->page_broken = true;
    }
    if (divvy_control_lease_read(held->folder.control, index, &lease))
        binding->mode = lease.mode;
    (void)divvy_lease_stats(daemon->lease, tenant->number, binding->device, &binding->sched,
                            &ready);
    active = use.charged_ns != binding->busy_ns || use.waiting ||
             (binding->mode == DIVVY_CONTROL_OPEN && use.processes);
    /* What it has in flight it looks at when it next launches: until then only the device tells whether that is done. */
    if (use.charged_ns != binding->busy_ns || use.waiting || use.drain_ns > now_ns ||
        (use.inflight_ns && divvy_node_registry_device(daemon->registry, binding->device)->utilisation_permille > 0))
        divvy_freezer_active(daemon, tenant, now_ns);
    if (status == 0) {
        held->page_broken = false;
        binding->used_bytes = use.used_bytes;
        binding->peak_bytes = use.peak_bytes;
        binding->refused = use.refused;
        binding->busy_ns = use.charged_ns;
        binding->waited_ns = use.waited_ns;
        binding->launches = use.launches;
        binding->waiting = use.waiting;
        if (use.refused > held->refused[index])
            divvy_daemon_event_locked(daemon, DIVVY_NODE_EVENT_MEMORY_REFUSED, tenant->id,
                                      "%llu allocations refused so far, %llu of %llu bytes used",
                                      (unsigned long long)use.refused,
                                      (unsigned long long)use.used_bytes,
                                      (unsigned long long)binding->limit_bytes);
        held->refused[index] = use.refused;
    }
    share_count(daemon, held, index, binding, now_ns);
    return active;
}

static void tenant_look(struct divvy_daemon *daemon, struct divvy_node_tenant *tenant,
                        int64_t now_ns) {
    struct divvy_daemon_held *held = daemon->held[tenant->number];
    bool active = false;
    int status;

    if (now_ns < held->looked_ns + ASLEEP_NS && now_ns > tenant->active_ns + 2 * ASLEEP_NS &&
        tenant->active_ns)
        return;
    if (!tenant->process_count && now_ns < held->looked_ns + ASLEEP_NS)
        return;
    held->looked_ns = now_ns;
    status = divvy_daemon_processes_look(daemon, tenant);
    for (uint32_t i = 0; i < tenant->binding_count; i++)
        active |= binding_look(daemon, tenant, held, i, status, now_ns);
    if (active)
        tenant->active_ns = now_ns;
    if (tenant->asleep && (held->saved || held->maybe_saved))
        tenant->state = DIVVY_NODE_TENANT_ASLEEP;
    else if (tenant->frozen)
        tenant->state = held->saved ? DIVVY_NODE_TENANT_SAVED : DIVVY_NODE_TENANT_FROZEN;
    else
        tenant->state = tenant->active_ns && now_ns < tenant->active_ns + SECOND_NS
                            ? DIVVY_NODE_TENANT_RUNNING
                            : DIVVY_NODE_TENANT_IDLE;
}

/* Nobody made it who still lives, and nobody uses it. */
static bool tenant_is_left(struct divvy_daemon *daemon, const struct divvy_node_tenant *tenant,
                           int64_t now_ns) {
    struct divvy_daemon_held *held = daemon->held[tenant->number];

    if (tenant->source != DIVVY_NODE_FROM_RUN || tenant->keeper_pid || tenant->process_count) {
        held->empty_since_ns = 0;
        return false;
    }
    if (!held->empty_since_ns)
        held->empty_since_ns = now_ns;
    return now_ns >= held->empty_since_ns + LINGER_NS;
}

static void turn(struct divvy_daemon *daemon) {
    int64_t now_ns = divvy_daemon_now_ns();
    struct divvy_node_tenant *tenant = divvy_node_registry_tenant_next(daemon->registry, NULL);

    while (tenant) {
        struct divvy_node_tenant *next = divvy_node_registry_tenant_next(daemon->registry, tenant);

        tenant_look(daemon, tenant, now_ns);
        divvy_freezer_look(daemon, tenant, now_ns);
        if (tenant_is_left(daemon, tenant, now_ns))
            divvy_daemon_tenant_drop(daemon, tenant, "its maker and its processes are gone");
        tenant = next;
    }
    divvy_daemon_pods_turn(daemon, now_ns);
}

static void *watch_run(void *data) {
    struct divvy_daemon *daemon = data;
    bool stopping = false;

    (void)prctl(PR_SET_NAME, "divvyd-watch");
    while (!stopping) {
        struct timespec pause = {.tv_nsec = TURN_NS};

        (void)nanosleep(&pause, NULL);
        (void)pthread_mutex_lock(&daemon->lock);
        stopping = daemon->stopping;
        if (!stopping)
            turn(daemon);
        (void)pthread_mutex_unlock(&daemon->lock);
    }
    return NULL;
}

int divvy_daemon_watch_start(struct divvy_daemon *daemon) {
    int error = pthread_create(&daemon->watch, NULL, watch_run, daemon);

    daemon->watching = error == 0;
    return -error;
}
