/* The daemon's state from inside: for state.c, tenants.c and watch.c only. All of it is under `lock`, but for what says so. */
#ifndef DIVVY_DAEMON_INSIDE_H
#define DIVVY_DAEMON_INSIDE_H

#include "daemon/folder.h"
#include "daemon/freezer.h"
#include "daemon/lease.h"
#include "daemon/liveness.h"
#include "daemon/podfiles.h"
#include "daemon/state.h"
#include "daemon/usage.h"

#include <limits.h>
#include <pthread.h>

/* What the daemon holds of a tenant besides its entry in the registry. */
struct divvy_daemon_held {
    struct divvy_folder folder;
    struct divvy_usage usage; /* its page; the lease thread has readers of its own */
    uint64_t share_busy_ns
        [DIVVY_NODE_DEVICES]; /* at the beginning of the second that its share is counted in */
    int64_t share_since_ns[DIVVY_NODE_DEVICES];
    uint64_t refused[DIVVY_NODE_DEVICES]; /* that an event has told of */
    int64_t looked_ns;
    int64_t empty_since_ns; /* no keeper and no process since then; 0 it has one */
    bool page_broken;       /* an event has told of it */
    bool saved;             /* its device memory lies in host memory */
    bool maybe_saved;       /* was found frozen: whoever was here before may have saved it */
    bool stepping;          /* it is being saved or restored, without the lock */
    struct divvy_freezer_tenant rest; /* whether it is idle, and what comes of that */
};

struct divvy_daemon {
    struct divvy_daemon_settings settings;
    int base_fd; /* locked as long as we live */
    int64_t started_ns;
    pthread_mutex_t lock;
    pthread_cond_t event; /* a new event, or stopping */
    struct divvy_node_registry *registry;
    struct divvy_daemon_held *held[DIVVY_NODE_TENANTS_MAX]; /* by tenant number */
    struct divvy_lease *lease;
    struct divvy_liveness *liveness;
    struct divvy_page *copy; /* usage pages are read into it */
    uint64_t last_event;
    int64_t touched_ns;
    uint64_t pages_broken;
    uint32_t own_pidns;
    uint32_t devices_known; /* when leftovers were last adopted */
    bool ready, stopping, watching;
    pthread_t watch;
    struct divvy_podfiles *podfiles; /* NULL: none are served */
    int64_t podfiles_ns;             /* of the last turn */
    bool pods_known;                 /* the last turn found some */
    uint32_t cluster_pods;           /* tenants that the cluster has told of, at the last look */
    struct divvy_node_sighting *sightings; /* of processes on the devices */
    size_t sighting_count;
    bool sightings_new; /* no turn has used them yet */
    int (*discover)(void *data, struct divvy_error *error);
    void *discover_data;
    char driver[PATH_MAX]; /* its libcuda */
    bool driver_known;     /* somebody has said which */
    int steps_fd;          /* locked as long as a step of this daemon, or of the one before, is under way */
    bool steps_ours;
    uint32_t door_last; /* newest word of a door */
    struct divvy_freezer *freezer;
};

int64_t divvy_daemon_now_ns(void);      /* CLOCK_MONOTONIC */
int64_t divvy_daemon_realtime_ns(void); /* CLOCK_REALTIME */

/* An event, under the lock. */
void divvy_daemon_event_locked(struct divvy_daemon *daemon, enum divvy_node_event_kind kind,
                               const char *tenant, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The same of one process. */
void divvy_daemon_event_process_locked(struct divvy_daemon *daemon, enum divvy_node_event_kind kind,
                                       const char *tenant, int32_t pid, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* The tenant, if whoever asks may do with it what they will. -ENOENT, -EPERM. */
int divvy_daemon_tenant_for(struct divvy_daemon *daemon, const struct divvy_daemon_peer *peer, const char *id,
                            struct divvy_node_tenant **ret_tenant, struct divvy_error *error);

/* --- saving.c: device memory of tenants to host memory and back --- */

#define DIVVY_DAEMON_STEP_NS INT64_C(240000000000) /* some hundred GiB over a slow bus */

/* A tenant whose processes are being saved or restored while the lock is not held. */
struct divvy_daemon_stepping {
    char id[DIVVY_NODE_ID_BYTES];
    int64_t created_ns; /* another one may bear its id by the end */
    bool was_frozen;
    uint32_t count;
    int32_t pids[DIVVY_NODE_PROCESSES_MAX];
    char driver[PATH_MAX];
};

/* Lock held. -EBUSY: somebody else is at it. */
int divvy_daemon_stepping_begin(struct divvy_daemon *daemon, struct divvy_node_tenant *tenant,
                                struct divvy_daemon_stepping *stepping, struct divvy_error *error);
/* Lock held; the tenant again, NULL when it has gone meanwhile. */
struct divvy_node_tenant *divvy_daemon_stepping_end(struct divvy_daemon *daemon,
                                                    const struct divvy_daemon_stepping *stepping);
/* Lock not held: the driver's calls, for as long as they take. */
int divvy_daemon_stepping_run(struct divvy_daemon *daemon, const struct divvy_daemon_stepping *stepping, bool saves,
                              struct divvy_error *error);
/* Lock held: it is saved. */
void divvy_daemon_saved_set(struct divvy_daemon *daemon, struct divvy_node_tenant *tenant,
                            const struct divvy_daemon_stepping *stepping);
/* Lock held: a word for the tenant's door, with these bits and as none before, and the door written; 0: open. */
uint32_t divvy_daemon_door_set(struct divvy_daemon *daemon, const struct divvy_node_tenant *tenant, uint32_t bits);

/* Make a tenant, under the lock: as divvy_daemon_tenant_create without asking who wants it, and without an event. */
int divvy_daemon_tenant_make(struct divvy_daemon *daemon, const struct divvy_node_spec *spec,
                             struct divvy_node_tenant **ret_tenant, struct divvy_error *error);

/* Give the scheduler and the pages a tenant that is in the registry; `folder` is taken over on success. */
int divvy_daemon_tenant_hold(struct divvy_daemon *daemon, struct divvy_node_tenant *tenant,
                             struct divvy_folder *folder);
/* The tenant goes, with its folder. */
void divvy_daemon_tenant_drop(struct divvy_daemon *daemon, struct divvy_node_tenant *tenant,
                              const char *why);

/* Go on with the tenants whose folders lie in the base and whose devices are known by now; how many. */
uint32_t divvy_daemon_adopt(struct divvy_daemon *daemon);

/* Reads its usage page and enters the processes that it names now. Errors as of divvy_usage_processes. */
int divvy_daemon_processes_look(struct divvy_daemon *daemon, struct divvy_node_tenant *tenant);

/* The thread that reads usage pages ten times a second and keeps the registry true. */
int divvy_daemon_watch_start(struct divvy_daemon *daemon);

/* Pod files: made ready and given up by the state, and what the watching thread does for them, ten times a second. */
int divvy_daemon_pods_new(struct divvy_daemon *daemon);
void divvy_daemon_pods_free(struct divvy_daemon *daemon);
/* Processes that the driver sees on the devices and whose cgroups say that they are a pod's are entered. Lock not held. */
void divvy_daemon_pods_processes(struct divvy_daemon *daemon, const struct divvy_node_sighting *sightings, size_t count);
void divvy_daemon_pods_turn(struct divvy_daemon *daemon, int64_t now_ns);

#endif
