/* The daemon's state: its beginning and end, questions and events. Operations on tenants are in tenants.c. */
#include "daemon/state.h"

#include "base/cleanup.h"
#include "core/clock.h"
#include "core/sys.h"
#include "daemon/inside.h"
#include "daemon/remote.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS INT64_C(1000000000)

static int64_t clock_read(clockid_t clock) {
    struct timespec now;

    (void)clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * SECOND_NS + now.tv_nsec;
}

int64_t divvy_daemon_now_ns(void) {
    return (int64_t)divvy_core_clock_ns();
}

int64_t divvy_daemon_realtime_ns(void) {
    return clock_read(CLOCK_REALTIME);
}

static void lock(struct divvy_daemon *daemon) {
    (void)pthread_mutex_lock(&daemon->lock);
}

static void unlock(struct divvy_daemon *daemon) {
    (void)pthread_mutex_unlock(&daemon->lock);
}

/* --- events --------------------------------------------------------------------------------------------------------- */

static void event_enter(struct divvy_daemon *daemon, enum divvy_node_event_kind kind,
                        const char *tenant, int32_t pid, const char *format, va_list arguments) {
    char text[DIVVY_NODE_TEXT_BYTES];

    (void)vsnprintf(text, sizeof text, format, arguments);
    daemon->last_event = divvy_node_registry_event(daemon->registry, divvy_daemon_realtime_ns(),
                                                   kind, tenant ? tenant : "", pid, text);
    (void)pthread_cond_broadcast(&daemon->event);
}

void divvy_daemon_event_locked(struct divvy_daemon *daemon, enum divvy_node_event_kind kind,
                               const char *tenant, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    event_enter(daemon, kind, tenant, 0, format, arguments);
    va_end(arguments);
}

void divvy_daemon_event_process_locked(struct divvy_daemon *daemon, enum divvy_node_event_kind kind,
                                       const char *tenant, int32_t pid, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    event_enter(daemon, kind, tenant, pid, format, arguments);
    va_end(arguments);
}

void divvy_daemon_event_process(struct divvy_daemon *daemon, enum divvy_node_event_kind kind,
                                const char *tenant, int32_t pid, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    lock(daemon);
    event_enter(daemon, kind, tenant, pid, format, arguments);
    unlock(daemon);
    va_end(arguments);
}

void divvy_daemon_event(struct divvy_daemon *daemon, enum divvy_node_event_kind kind,
                        const char *tenant, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    lock(daemon);
    event_enter(daemon, kind, tenant, 0, format, arguments);
    unlock(daemon);
    va_end(arguments);
}

uint32_t divvy_daemon_events(struct divvy_daemon *daemon, uint64_t after, uint32_t wait_ms,
                             struct divvy_node_event *ret_events, uint32_t room) {
    int64_t until_ns = divvy_daemon_now_ns() + (int64_t)wait_ms * 1000000;
    struct timespec until = {.tv_sec = (time_t)(until_ns / SECOND_NS),
                             .tv_nsec = (long)(until_ns % SECOND_NS)};
    uint32_t count;

    lock(daemon);
    while (wait_ms && daemon->last_event <= after && !daemon->stopping &&
           pthread_cond_timedwait(&daemon->event, &daemon->lock, &until) == 0)
        ;
    count = divvy_node_registry_events(daemon->registry, after, ret_events, room);
    unlock(daemon);
    return count;
}

/* --- questions ------------------------------------------------------------------------------------------------------ */

int divvy_daemon_devices(struct divvy_daemon *daemon, struct divvy_node_device **ret_devices,
                         size_t *ret_count) {
    struct divvy_node_device *devices = NULL;
    uint32_t count;

    lock(daemon);
    count = divvy_node_registry_device_count(daemon->registry);
    if (count)
        devices = calloc(count, sizeof *devices);
    for (uint32_t i = 0; devices && i < count; i++)
        devices[i] = *divvy_node_registry_device(daemon->registry, i);
    unlock(daemon);
    if (count && !devices)
        return -ENOMEM;
    *ret_devices = devices;
    *ret_count = count;
    return 0;
}

int divvy_daemon_tenants(struct divvy_daemon *daemon, struct divvy_node_tenant **ret_tenants,
                         size_t *ret_count) {
    struct divvy_node_tenant *tenants = NULL, *tenant = NULL;
    uint32_t count, i = 0;

    lock(daemon);
    count = divvy_node_registry_tenant_count(daemon->registry);
    if (count)
        tenants = calloc(count, sizeof *tenants);
    while (tenants && i < count &&
           (tenant = divvy_node_registry_tenant_next(daemon->registry, tenant)))
        tenants[i++] = *tenant;
    unlock(daemon);
    if (count && !tenants)
        return -ENOMEM;
    *ret_tenants = tenants;
    *ret_count = i;
    return 0;
}

int divvy_daemon_tenant(struct divvy_daemon *daemon, const char *id,
                        struct divvy_node_tenant *ret_tenant) {
    struct divvy_node_tenant *tenant;

    lock(daemon);
    tenant = divvy_node_registry_tenant(daemon->registry, id);
    if (tenant)
        *ret_tenant = *tenant;
    unlock(daemon);
    return tenant ? 0 : -ENOENT;
}

int divvy_daemon_processes(struct divvy_daemon *daemon, const char *id,
                           struct divvy_node_process **ret_processes, size_t *ret_count) {
    struct divvy_node_process *processes = calloc(DIVVY_NODE_PROCESSES_MAX, sizeof *processes);
    int count;

    if (!processes)
        return -ENOMEM;
    lock(daemon);
    count =
        divvy_node_registry_processes(daemon->registry, id, processes, DIVVY_NODE_PROCESSES_MAX);
    unlock(daemon);
    if (count <= 0) {
        free(processes);
        processes = NULL;
    }
    if (count < 0)
        return count;
    *ret_processes = processes;
    *ret_count =
        (size_t)count < DIVVY_NODE_PROCESSES_MAX ? (size_t)count : DIVVY_NODE_PROCESSES_MAX;
    return 0;
}

static uint64_t rss_bytes(void) {
    unsigned long long pages = 0;
    char text[128];
    cleanup_close int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

    if (length <= 0)
        return 0;
    text[length] = '\0';
    return sscanf(text, "%*u %llu", &pages) == 1 ? pages * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

void divvy_daemon_health(struct divvy_daemon *daemon, struct divvy_daemon_health *ret_health) {
    struct divvy_lease_health lease;
    struct divvy_remote_figures remote;

    divvy_lease_health(daemon->lease, &lease);
    divvy_remote_figures(divvy_lease_remote(daemon->lease), &remote);
    lock(daemon);
    *ret_health = (struct divvy_daemon_health){
        .ready = daemon->ready,
        .uptime_ns = divvy_daemon_now_ns() - daemon->started_ns,
        .leases_granted = lease.granted,
        .leases_revoked = lease.revoked,
        .handovers = lease.handovers,
        .decision_ns_mean = lease.decision_ns_mean,
        .decision_ns_max = lease.decision_ns_max,
        .wake_late_ns_mean = lease.late_ns_mean,
        .wake_late_ns_max = lease.late_ns_max,
        .bells = lease.bells,
        .pages_broken = lease.pages_broken + daemon->pages_broken,
        .channel_processes = remote.processes,
        .channel_orders = remote.orders,
        .channel_reports = remote.reports,
        .channel_flooded = remote.flooded,
        .channel_silent = remote.silent,
        .channel_way_ns = remote.way_ns,
        .cpu_ns = (uint64_t)clock_read(CLOCK_PROCESS_CPUTIME_ID),
        .rss_bytes = rss_bytes(),
    };
    unlock(daemon);
}

const struct divvy_daemon_settings *divvy_daemon_settings(const struct divvy_daemon *daemon) {
    return &daemon->settings;
}

/* --- devices -------------------------------------------------------------------------------------------------------- */

static bool device_is_among(const struct divvy_node_device *device,
                            const struct divvy_node_device *devices, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (memcmp(device->uuid, devices[i].uuid, sizeof device->uuid) == 0)
            return true;
    return false;
}

static void device_health_tell(struct divvy_daemon *daemon, const struct divvy_node_device *device,
                               bool healthy) {
    divvy_daemon_event_locked(daemon,
                              healthy ? DIVVY_NODE_EVENT_DEVICE_BACK : DIVVY_NODE_EVENT_DEVICE_LOST,
                              NULL, "device %u (%s) %s", device->index, device->uuid_text,
                              healthy ? "answers again" : "is lost");
}

void divvy_daemon_devices_seen(struct divvy_daemon *daemon, const struct divvy_node_device *devices,
                               size_t count) {
    lock(daemon);
    for (size_t i = 0; i < count; i++) {
        int index = divvy_node_registry_device_find(daemon->registry, devices[i].uuid_text);
        const struct divvy_node_device *known =
            index < 0 ? NULL : divvy_node_registry_device(daemon->registry, (uint32_t)index);

        if (known && known->healthy != devices[i].healthy)
            device_health_tell(daemon, known, devices[i].healthy);
        (void)divvy_node_registry_device_set(daemon->registry, &devices[i]);
    }
    for (uint32_t i = 0; i < divvy_node_registry_device_count(daemon->registry); i++) {
        struct divvy_node_device *device = divvy_node_registry_device(daemon->registry, i);

        if (!device->healthy || device_is_among(device, devices, count))
            continue;
        device->healthy = false;
        device_health_tell(daemon, device, false);
    }
    /* Tenants may have been left whose devices were not known until now. */
    if (divvy_node_registry_device_count(daemon->registry) != daemon->devices_known)
        (void)divvy_daemon_adopt(daemon);
    daemon->devices_known = divvy_node_registry_device_count(daemon->registry);
    daemon->ready = daemon->devices_known > 0;
    unlock(daemon);
}

void divvy_daemon_discover_set(struct divvy_daemon *daemon,
                               int (*discover)(void *data, struct divvy_error *error), void *data) {
    lock(daemon);
    daemon->discover = discover;
    daemon->discover_data = data;
    unlock(daemon);
}

int divvy_daemon_discover(struct divvy_daemon *daemon, struct divvy_error *error) {
    int (*discover)(void *data, struct divvy_error *error);
    void *data;

    lock(daemon);
    discover = daemon->discover;
    data = daemon->discover_data;
    unlock(daemon);
    if (!discover)
        return divvy_error_set(error, -ENODEV, "nobody looks for devices in this process");
    return discover(data, error);
}

/* --- beginning and end ---------------------------------------------------------------------------------------------- */

static int locks_init(struct divvy_daemon *daemon) {
    pthread_condattr_t attributes;
    int error = pthread_condattr_init(&attributes);

    if (error)
        return -error;
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    error = pthread_cond_init(&daemon->event, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    return error ? -error : -pthread_mutex_init(&daemon->lock, NULL);
}

int divvy_daemon_new(const struct divvy_daemon_settings *settings, struct divvy_daemon **ret_daemon,
                     struct divvy_error *error) {
    struct divvy_daemon *daemon = calloc(1, sizeof *daemon);
    uint64_t pidns;
    int status = -ENOMEM;

    if (!daemon)
        return divvy_error_set_errno(error, -ENOMEM, "the daemon cannot begin");
    daemon->settings = *settings;
    daemon->started_ns = daemon->touched_ns = divvy_daemon_now_ns();
    (void)snprintf(daemon->driver, sizeof daemon->driver, "libcuda.so.1");
    if (divvy_core_sys_namespace_id("pid", &pidns) == 0)
        daemon->own_pidns = (uint32_t)pidns;
    daemon->base_fd = divvy_folder_base_open(settings->base, error);
    if (daemon->base_fd < 0) {
        status = daemon->base_fd;
        free(daemon);
        return status;
    }
    daemon->steps_fd = openat(daemon->base_fd, ".steps", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    daemon->door_last = (uint32_t)(divvy_daemon_realtime_ns() / SECOND_NS) * DIVVY_CONTROL_DOOR_STEP;
    daemon->copy = calloc(1, sizeof *daemon->copy);
    status = daemon->copy ? locks_init(daemon) : -ENOMEM;
    if (status == 0)
        status = divvy_node_registry_new(&daemon->registry);
    if (status == 0)
        status = divvy_lease_new(DIVVY_NODE_TENANTS_MAX, &settings->sched, &daemon->lease);
    if (status == 0)
        status = divvy_liveness_new(daemon, &daemon->liveness, error);
    if (status == 0)
        status = divvy_freezer_new(daemon, &daemon->freezer);
    if (status == 0)
        status = divvy_daemon_pods_new(daemon);
    if (status < 0) {
        divvy_daemon_stop(daemon);
        return error && error->status
                   ? status
                   : divvy_error_set_errno(error, status, "the daemon cannot begin");
    }
    *ret_daemon = daemon;
    return 0;
}

int divvy_daemon_start(struct divvy_daemon *daemon, struct divvy_error *error) {
    int status = divvy_lease_start(daemon->lease, error);

    if (status == 0)
        status = divvy_liveness_start(daemon->liveness, error);
    if (status == 0)
        status = divvy_freezer_start(daemon->freezer, error);
    if (status == 0 && (status = divvy_daemon_watch_start(daemon)) < 0)
        return divvy_error_set_errno(error, status, "the watching thread cannot be started");
    return status;
}

void divvy_daemon_stop(struct divvy_daemon *daemon) {
    if (!daemon)
        return;
    lock(daemon);
    daemon->stopping = true;
    (void)pthread_cond_broadcast(&daemon->event);
    unlock(daemon);
    if (daemon->watching)
        (void)pthread_join(daemon->watch, NULL);
    divvy_freezer_stop(daemon->freezer);
    divvy_liveness_free(daemon->liveness);
    divvy_lease_free(daemon->lease); /* leaves every tenant to pace itself */
    for (uint32_t i = 0; i < DIVVY_NODE_TENANTS_MAX; i++) {
        struct divvy_daemon_held *held = daemon->held[i];

        if (!held)
            continue;
        divvy_usage_close(&held->usage);
        divvy_folder_close(&held->folder);
        free(held);
    }
    divvy_daemon_pods_free(daemon);
    divvy_freezer_free(daemon->freezer);
    divvy_cleanup_close(&daemon->steps_fd);
    divvy_node_registry_free(daemon->registry);
    free(daemon->copy);
    divvy_cleanup_close(&daemon->base_fd);
    (void)pthread_cond_destroy(&daemon->event);
    (void)pthread_mutex_destroy(&daemon->lock);
    free(daemon);
}

int64_t divvy_daemon_autofreeze_ns(struct divvy_daemon *daemon, enum divvy_node_qos qos) {
    int64_t after_ns;

    lock(daemon);
    after_ns = divvy_freezer_after_ns(daemon, qos);
    unlock(daemon);
    return after_ns;
}

bool divvy_daemon_is_idle(struct divvy_daemon *daemon, int64_t idle_ns) {
    bool idle;

    lock(daemon);
    idle = divvy_node_registry_tenant_count(daemon->registry) == 0 &&
           divvy_daemon_now_ns() - daemon->touched_ns >= idle_ns;
    unlock(daemon);
    return idle;
}

void divvy_daemon_driver_set(struct divvy_daemon *daemon, const char *library) {
    lock(daemon);
    (void)snprintf(daemon->driver, sizeof daemon->driver, "%s", library);
    daemon->driver_known = true;
    unlock(daemon);
}

bool divvy_daemon_fails_open(struct divvy_daemon *daemon) {
    bool is_open;

    lock(daemon);
    is_open = daemon->settings.fail_open;
    unlock(daemon);
    return is_open;
}

void divvy_daemon_touch(struct divvy_daemon *daemon) {
    lock(daemon);
    daemon->touched_ns = divvy_daemon_now_ns();
    unlock(daemon);
}

void divvy_daemon_reload(struct divvy_daemon *daemon,
                         const struct divvy_daemon_settings *settings) {
    lock(daemon);
    daemon->settings.overcommit_permille = settings->overcommit_permille;
    daemon->settings.fail_open = settings->fail_open;
    memcpy(daemon->settings.autofreeze_ns, settings->autofreeze_ns, sizeof settings->autofreeze_ns);
    daemon->settings.elastic = settings->elastic;
    if (daemon->podfiles)
        divvy_podfiles_params_set(daemon->podfiles, &settings->elastic);
    unlock(daemon);
}

/* --- adoption ------------------------------------------------------------------------------------------------------- */

/* From entries of the page to devices of the registry. -EAGAIN: one is not known yet. */
static int spec_resolve(struct divvy_daemon *daemon, const struct divvy_control *control,
                        struct divvy_node_spec *spec) {
    for (uint32_t i = 0; i < spec->binding_count; i++) {
        const struct divvy_page_word *uuid = &control->devices[spec->bindings[i].device].uuid;
        uint32_t count = divvy_node_registry_device_count(daemon->registry), k = 0;

        while (k < count && memcmp(divvy_node_registry_device(daemon->registry, k)->uuid, uuid,
                                   sizeof *uuid) != 0)
            k++;
        if (k == count)
            return -EAGAIN;
        spec->bindings[i].device = k;
    }
    return 0;
}

static int adopt_one(struct divvy_daemon *daemon, const char *name) {
    struct divvy_folder folder;
    struct divvy_node_spec spec;
    struct divvy_node_tenant *tenant;
    bool frozen;
    int status =
        divvy_folder_adopt(daemon->base_fd, daemon->settings.base, name, &folder, &spec, &frozen);

    if (status < 0)
        return status;
    status = spec_resolve(daemon, folder.control, &spec);
    /* What was promised is kept, whatever the settings say now. */
    if (status == 0)
        status = divvy_node_registry_tenant_add(daemon->registry, &spec, divvy_daemon_realtime_ns(),
                                                UINT32_MAX, &tenant, NULL);
    if (status == 0) {
        tenant->asleep = frozen && folder.control->frozen == DIVVY_CONTROL_FROZEN_IDLE;
        tenant->frozen = frozen && !tenant->asleep;
        status = divvy_daemon_tenant_hold(daemon, tenant, &folder);
        if (status < 0)
            (void)divvy_node_registry_tenant_remove(daemon->registry, spec.id);
    }
    if (status < 0)
        divvy_folder_close(&folder);
    else
        divvy_daemon_event_locked(daemon, DIVVY_NODE_EVENT_TENANT_ADOPTED, spec.id,
                                  "found with its pages, goes on");
    return status;
}

uint32_t divvy_daemon_adopt(struct divvy_daemon *daemon) {
    int fd = openat(daemon->base_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_closedir DIR *base = fd < 0 ? NULL : fdopendir(fd);
    int64_t began_ns = divvy_daemon_realtime_ns() - (divvy_daemon_now_ns() - daemon->started_ns);
    struct dirent *entry;
    uint32_t adopted = 0;

    if (!base) {
        divvy_cleanup_close(&fd);
        return 0;
    }
    while ((entry = readdir(base))) {
        int status;

        if (entry->d_name[0] == '.')
            continue;
        status = adopt_one(daemon, entry->d_name);
        adopted += status == 0;
        if (status == -EPROTO || (status == -ENOENT && divvy_folder_is_half_made(daemon->base_fd, entry->d_name, began_ns)))
            divvy_folder_discard(daemon->base_fd, entry->d_name);
    }
    return adopted;
}
