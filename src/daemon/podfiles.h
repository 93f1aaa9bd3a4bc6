/*
 * Serves pod files (page/podfile.h) to limiters of other systems: `<base>/<namespace>/<pod>/shm` for each pod that the state
 * knows. Twice a second the state says what its pods are and have used; here that becomes heartbeat, limits, memory in use, PID
 * set, and tokens by the elastic rate limiter (node/elastic.h). What tenants write into their files beyond taking tokens is
 * undone with the next turn; a file that was removed or cut is made again.
 *
 * An existing valid file is gone on with, never emptied: its tokens stay, and its PID set tells which processes a daemon before
 * this one knew. The file of a pod that is no longer served stays until the orphan rule lets it go.
 *
 * Not thread-safe: one thread at a time. Blocks for the file system only.
 */
#ifndef DIVVY_DAEMON_PODFILES_H
#define DIVVY_DAEMON_PODFILES_H

#include "node/elastic.h"

#include <stdbool.h>
#include <stdint.h>

#define DIVVY_PODFILES_TURN_NS   INT64_C(500000000)
#define DIVVY_PODFILES_SWEEP_NS  INT64_C(300000000000)
#define DIVVY_PODFILES_ORPHAN_S  10u /* of its last heartbeat, before a file may be removed */

struct divvy_podfiles;

struct divvy_podfiles_device {
    uint32_t index;            /* NVML's */
    char uuid[64];
    uint32_t compute_permille; /* 1 to 1000 (no cap) */
    uint64_t limit_bytes;
    uint64_t used_bytes;
    uint32_t cores;
    double utilisation; /* the pod's own since the last sample, 0 to 1; NAN: no new sample */
};

/* A pod, or one container of it: several with the same names are added up. Nothing is kept after the call. */
struct divvy_podfiles_pod {
    const char *namespace, *pod; /* not empty, without '/', '\' and ".." */
    bool frozen;                 /* gets no tokens */
    const struct divvy_podfiles_device *devices;
    uint32_t device_count;
    const uint64_t *pids; /* of the host */
    uint32_t pid_count;
};

struct divvy_podfiles_callbacks {
    /* Something to tell people of the pod `name` ("namespace/pod"), once for each cause. */
    void (*tell)(void *data, const char *name, const char *text);
    /* A process that a daemon before us had entered, alive and no younger than that: whether the pod still has it. */
    bool (*restore)(void *data, const char *namespace, const char *pod, uint64_t pid);
    void *data;
};

/* `base` is made when it is first needed, mode 0755. 0 or -ENOMEM. */
int divvy_podfiles_new(const char *base, const struct divvy_podfiles_callbacks *callbacks, struct divvy_podfiles **ret_files);

/*
 * How tokens are given from the next step on; rates and capacities go on from where they are, within the new bounds. What is no number
 * above 0 is divvyd's own (divvy_node_elastic_settle).
 */
void divvy_podfiles_params_set(struct divvy_podfiles *files, const struct divvy_node_elastic_params *params);

/* Close all; the files stay, without heartbeat. NULL is fine. */
void divvy_podfiles_free(struct divvy_podfiles *files);

/*
 * One turn: begin, add every pod, end. Times are CLOCK_MONOTONIC in ns and CLOCK_REALTIME in ns.
 * add: -EINVAL (names), -ERANGE (a device index above 15, for which the format has no room; told), -ENOMEM.
 */
void divvy_podfiles_begin(struct divvy_podfiles *files);
int divvy_podfiles_add(struct divvy_podfiles *files, const struct divvy_podfiles_pod *pod);
void divvy_podfiles_end(struct divvy_podfiles *files, int64_t now_ns, int64_t realtime_ns);

/*
 * Between turns, as often as one likes: the tokens that time has brought. In small portions work is spread evenly, which is what
 * the driver's samples of utilisation can tell; half a second's at once are used up in one go.
 */
void divvy_podfiles_refill(struct divvy_podfiles *files, int64_t now_ns);

/* Remove files that nobody serves, whose processes are gone and whose heartbeat is old. How many. */
unsigned divvy_podfiles_sweep(struct divvy_podfiles *files, int64_t realtime_ns);

#endif
