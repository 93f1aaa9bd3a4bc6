/*
 * What all parts of the daemon share: the registry under its lock, and the operations on it. HTTP handlers, the two-way channel,
 * the monitor and the pod watcher call these and nothing else; they get copies, never pointers into the state.
 *
 * Thread-safe unless said otherwise. Errors are negative errno, with a line for the caller's user in `error`.
 */
#ifndef DIVVY_DAEMON_STATE_H
#define DIVVY_DAEMON_STATE_H

#include "base/error.h"
#include "node/elastic.h"
#include "node/registry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct divvy_daemon;

/* Settings that the state goes by; daemon/config.h reads them from file, flags and environment. */
struct divvy_daemon_settings {
    char base[256]; /* folder of folders of tenants; made when missing, mode 0755 (root) or 0700 */
    char node[DIVVY_NODE_ID_BYTES]; /* name of the node in metrics and answers */
    char shm_base
        [256]; /* folder of pod files for limiters of other systems; empty: none are served */
    uint32_t
        overcommit_permille; /* of device memory that may be promised; 1000: no more than there is. UINT32_MAX: no check */
    bool fail_open; /* what processes do whose limits cannot be read */
    int64_t autofreeze_ns
        [DIVVY_NODE_QOS_MAX]; /* save an idle tenant of this class after so long (freezer.h); 0 never */
    struct divvy_node_sched_params sched;
    struct divvy_node_elastic_params elastic; /* how tokens of pod files are given; all zero: divvyd's own */
};

/* Who asks, as the transport knows it: never from what a message claims. */
struct divvy_daemon_peer {
    bool admin; /* root, the daemon's own user, or an admin token */
    bool known; /* uid and pid are from SO_PEERCRED */
    uid_t uid;
    pid_t pid; /* in the daemon's pid namespace; 0 unknown */
    char pod[DIVVY_NODE_ID_BYTES],
        namespace[DIVVY_NODE_ID_BYTES]; /* from a verified token, or empty */
    char pod_uid[64];                   /* from the same token, or empty */
    char container[DIVVY_NODE_ID_BYTES]; /* what it calls its container; tells processes of one pod apart, no more */
};

/* Figures of the daemon itself. */
struct divvy_daemon_health {
    bool ready; /* devices known, leftovers adopted */
    int64_t uptime_ns;
    uint64_t leases_granted, leases_revoked;
    uint64_t handovers;                        /* from one tenant to another */
    int64_t decision_ns_mean, decision_ns_max; /* of the scheduler, over the last second */
    int64_t wake_late_ns_mean,
        wake_late_ns_max;  /* of the lease thread behind its own timer, over the last second */
    uint64_t bells;        /* rung */
    uint64_t pages_broken; /* reads of usage pages that were refused */
    uint32_t channel_processes; /* that get their leases by the two-way channel */
    uint64_t channel_orders, channel_reports, channel_flooded, channel_silent;
    int64_t channel_way_ns; /* an order and its answer, of all of them together, smoothed; 0 none yet */
    uint64_t cpu_ns;       /* of this process */
    uint64_t rss_bytes;
};

/* Copies of all devices or tenants: malloc'd, to be freed by the caller; *ret_count 0 and NULL when there are none. */
int divvy_daemon_devices(struct divvy_daemon *daemon, struct divvy_node_device **ret_devices,
                         size_t *ret_count);
int divvy_daemon_tenants(struct divvy_daemon *daemon, struct divvy_node_tenant **ret_tenants,
                         size_t *ret_count);
/* -ENOENT. */
int divvy_daemon_tenant(struct divvy_daemon *daemon, const char *id,
                        struct divvy_node_tenant *ret_tenant);
int divvy_daemon_processes(struct divvy_daemon *daemon, const char *id,
                           struct divvy_node_process **ret_processes, size_t *ret_count);

/*
 * Make a tenant: registry, folder with control page and bell, scheduler. Who is not admin makes tenants of its own uid only.
 * -EPERM, -EEXIST, -EINVAL, -EDQUOT, -ENOSPC and what the file system says. ret_tenant->folder is what goes into
 * DIVVY_TENANT_DIR.
 */
int divvy_daemon_tenant_create(struct divvy_daemon *daemon, const struct divvy_daemon_peer *peer,
                               const struct divvy_node_spec *spec,
                               struct divvy_node_tenant *ret_tenant, struct divvy_error *error);
/* The rest: the tenant's own uid or admin; -EPERM, -ENOENT. Changes hold within one lease, at most 20 ms later. */
int divvy_daemon_tenant_change(struct divvy_daemon *daemon, const struct divvy_daemon_peer *peer,
                               const char *id, const struct divvy_node_change *change,
                               struct divvy_error *error);
int divvy_daemon_tenant_freeze(struct divvy_daemon *daemon, const struct divvy_daemon_peer *peer,
                               const char *id, bool frozen, struct divvy_error *error);
/*
 * Its processes are not touched: without a control page they go on at their last limits. -EBUSY: it has processes, unless `force`;
 * or it is saved, and its processes with it.
 */
int divvy_daemon_tenant_remove(struct divvy_daemon *daemon, const struct divvy_daemon_peer *peer,
                               const char *id, bool force, struct divvy_error *error);
/*
 * Device memory of its processes into host memory and back (driver's checkpoint calls). Saving freezes the tenant, resuming thaws it;
 * so does divvy_daemon_tenant_freeze(false). Blocks for as long as copying takes. What fails leaves the tenant as it was, with the
 * driver's error in `error`: -EOPNOTSUPP the driver has no such calls, or cannot do it for this tenant; -ENOMEM no room on the
 * device to come back to; -EBUSY a call of a process does not end, or somebody else is at it; -ETIMEDOUT, -EIO.
 */
int divvy_daemon_tenant_snapshot(struct divvy_daemon *daemon, const struct divvy_daemon_peer *peer,
                                 const char *id, struct divvy_error *error);
int divvy_daemon_tenant_resume(struct divvy_daemon *daemon, const struct divvy_daemon_peer *peer,
                               const char *id, struct divvy_error *error);

/*
 * A process says that it belongs to a tenant. peer->pid decides which process it is where known; else container_pid is looked
 * up below the tenant's container. -ENOENT, -EPERM, -ESRCH (no such process), -ETIMEDOUT.
 */
int divvy_daemon_process_register(struct divvy_daemon *daemon, const struct divvy_daemon_peer *peer,
                                  const char *id, int32_t container_pid,
                                  struct divvy_node_process *ret_process,
                                  struct divvy_error *error);

/* The tenant that a process is one of, by its pid here. 0 or -ENOENT. */
int divvy_daemon_process_tenant(struct divvy_daemon *daemon, int32_t host_pid, struct divvy_node_tenant *ret_tenant);
/*
 * A registered process follows the two-way channel (again): from here on it is told of its leases there, unless it has pages.
 * 0, -ENOENT, -ENOMEM. What else there is of that is in remote.h; NULL: leases are not given this way.
 */
int divvy_daemon_channel_came(struct divvy_daemon *daemon, int32_t host_pid);
struct divvy_remote;
struct divvy_remote *divvy_daemon_remote(struct divvy_daemon *daemon);

/* Events after number `after`; waits up to wait_ms for the first. How many were copied. */
uint32_t divvy_daemon_events(struct divvy_daemon *daemon, uint64_t after, uint32_t wait_ms,
                             struct divvy_node_event *ret_events, uint32_t room);
/* Enter an event of another part of the daemon. */
void divvy_daemon_event(struct divvy_daemon *daemon, enum divvy_node_event_kind kind,
                        const char *tenant, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The same of one process, by its pid of the host. */
void divvy_daemon_event_process(struct divvy_daemon *daemon, enum divvy_node_event_kind kind,
                                const char *tenant, int32_t pid, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

void divvy_daemon_health(struct divvy_daemon *daemon, struct divvy_daemon_health *ret_health);
const struct divvy_daemon_settings *divvy_daemon_settings(const struct divvy_daemon *daemon);
/* settings.fail_open now: a reload may change it. What the daemon hands to programs as DIVVY_FAIL_POLICY. */
bool divvy_daemon_fails_open(struct divvy_daemon *daemon);

/* After how long an idle tenant of the class is saved by itself; 0: never, also where the driver has no checkpoint calls. */
int64_t divvy_daemon_autofreeze_ns(struct divvy_daemon *daemon, enum divvy_node_qos qos);

/* Look for devices again. Number found, or -ENODEV and others. */
int divvy_daemon_discover(struct divvy_daemon *daemon, struct divvy_error *error);

/* --- for the monitor --------------------------------------------------------------------------------------------- */

/* What a look at the devices found: entered or updated by UUID. Devices that are missing become unhealthy. */
void divvy_daemon_devices_seen(struct divvy_daemon *daemon, const struct divvy_node_device *devices,
                               size_t count);
/* Whether somebody needs to know what processes use of the devices: pods whose limiters may be of other systems. */
bool divvy_daemon_processes_wanted(struct divvy_daemon *daemon);
/* What the driver says of the processes on all devices, since it was asked before. Copied. */
void divvy_daemon_processes_seen(struct divvy_daemon *daemon,
                                 const struct divvy_node_sighting *sightings, size_t count);
/* What divvy_daemon_discover calls (number of devices or negative errno); -ENODEV until it is set. `data` must outlive `daemon`'s
 * use of it: NULL takes it away. */
void divvy_daemon_discover_set(struct divvy_daemon *daemon,
                               int (*discover)(void *data, struct divvy_error *error), void *data);

/* The driver's libcuda for checkpoints, a name or a path; libcuda.so.1 until it is set. Copied. */
void divvy_daemon_driver_set(struct divvy_daemon *daemon, const char *library);

/* --- for the pod watcher (cluster.h) ------------------------------------------------------------------------------- */

struct divvy_kube_pod;

/*
 * The pod is on this node: its tenant, `namespace/name`, is made, or changed to what the pod asks now. A tenant of another pod of this name goes
 * first. 0; -EINVAL: it asks for what cannot be; -EOPNOTSUPP: for what cannot change while it lives; -EEXIST: somebody else has made a tenant of
 * this id; -ENODEV, -EDQUOT, -ENOSPC, -EBUSY and others, which may pass. On failure a tenant that there is stays as it is.
 */
int divvy_daemon_pod_set(struct divvy_daemon *daemon, const struct divvy_kube_pod *pod, struct divvy_error *error);
/* The pod is gone, and its tenant goes, whatever processes it has. 0; -ENOENT: there is none of this pod; -EBUSY: it is saved (later). */
int divvy_daemon_pod_gone(struct divvy_daemon *daemon, const char *id, const char *uid);
/* Whether the pod has its tenant. */
bool divvy_daemon_pod_is_held(struct divvy_daemon *daemon, const char *id, const char *uid);
/* Tenants of pods that `is_there` says are not there go. How many. Called with the state's lock held: is_there calls nothing of the state. */
unsigned divvy_daemon_pods_keep(struct divvy_daemon *daemon, bool (*is_there)(void *data, const char *id, const char *uid), void *data);

/* --- for main ------------------------------------------------------------------------------------------------------ */

/* Make the state; adopt tenants left in settings->base. Starts no thread. */
int divvy_daemon_new(const struct divvy_daemon_settings *settings, struct divvy_daemon **ret_daemon,
                     struct divvy_error *error);
/* The lease thread: from here on tenants get leases. */
int divvy_daemon_start(struct divvy_daemon *daemon, struct divvy_error *error);
/* Leave tenants as they are (they go on self-paced), stop the thread, free everything. */
void divvy_daemon_stop(struct divvy_daemon *daemon);
/* Whether nobody has been here for idle_ns: no tenant, no request. Requests call divvy_daemon_touch. */
bool divvy_daemon_is_idle(struct divvy_daemon *daemon, int64_t idle_ns);
void divvy_daemon_touch(struct divvy_daemon *daemon);
/* Settings that may change while running (SIGHUP): all but base, node and shm_base. */
void divvy_daemon_reload(struct divvy_daemon *daemon, const struct divvy_daemon_settings *settings);

#endif
