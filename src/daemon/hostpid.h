/*
 * Which process of this machine a process of a container is: it knows its own pid only as its pid namespace counts. Reads
 * /proc; needs the right to look at the other's files there (root, or the same user).
 */
#ifndef DIVVY_DAEMON_HOSTPID_H
#define DIVVY_DAEMON_HOSTPID_H

#include "base/error.h"
#include "kube/cgroup.h"

#include <stdint.h>
#include <sys/types.h>

/* What is known of the process that is looked for. NULL or empty strings are not looked at. */
struct divvy_hostpid_search {
    int32_t container_pid;  /* its pid in its own, innermost pid namespace; > 0 */
    pid_t peer_pid;         /* some process of the same pid namespace, by SO_PEERCRED; 0 unknown */
    const char *pod_uid;    /* from the cluster: must be that of the process's cgroup path */
    const char *container_hint; /* CONTAINER_NAME of the environment, where several processes fit otherwise */
    const char *pod, *namespace, *container; /* POD_NAME, POD_NAMESPACE, CONTAINER_NAME of its environment */
    int64_t timeout_ns;     /* look again until then: the process may be starting; at most 5 s */
    const char *proc;       /* NULL: /proc. Tests give another folder */
};

/*
 * The pid and the start time of the one process that fits all that is known. What a process says in its environment proves
 * nothing: so with peer_pid or pod_uid the environment is only looked at beyond those, and without either a second process
 * that fits makes it -ENOTUNIQ. -EINVAL: nothing but the pid is known; -ETIMEDOUT: none found; -ESRCH: the peer is gone.
 * Blocks up to timeout_ns.
 */
int divvy_hostpid_find(const struct divvy_hostpid_search *search, int32_t *ret_host_pid, uint64_t *ret_start_ticks,
                       struct divvy_error *error);

/* The pid of a process in its own pid namespace (last number of NSpid), or -ESRCH, -ENOENT where the kernel does not tell. */
int divvy_hostpid_container_pid(const char *proc, pid_t host_pid, int32_t *ret_container_pid);

/* The UID of the pod that a process is of, by its cgroup. 0; -ESRCH; -ENOENT: of none. */
int divvy_hostpid_pod(const char *proc, pid_t host_pid, char ret_uid[DIVVY_KUBE_UID_BYTES]);

#endif
