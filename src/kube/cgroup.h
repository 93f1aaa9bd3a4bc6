/*
 * Which pod a process is of, by /proc/PID/cgroup: the kubelet puts all processes of all containers of a pod below a cgroup of the pod's
 * UID, under either of its drivers and either version of cgroups. Nothing in a container can leave it. Pure.
 */
#ifndef DIVVY_KUBE_CGROUP_H
#define DIVVY_KUBE_CGROUP_H

#include <stdbool.h>
#include <stddef.h>

#define DIVVY_KUBE_UID_BYTES 64u

/*
 * The UID as the API server writes it (lower case, with dashes; the hash of a static pod as it stands). The outermost pod of a path counts:
 * what is below it a container may have made. Below a login session there is none. False: no pod's.
 */
bool divvy_kube_cgroup_pod(const char *text, size_t length, char ret_uid[DIVVY_KUBE_UID_BYTES]);

#endif
