/*
 * A limit of host memory by control groups (version 2): a group of our own beside that of the runner, or below it, in which the
 * program is started. Needs the right to make groups there and the memory controller switched on.
 */
#ifndef DIVVY_MIG_RUNNER_CGROUP_H
#define DIVVY_MIG_RUNNER_CGROUP_H

#include "base/error.h"

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

struct divvy_runner_cgroup {
    int procs_fd;        /* cgroup.procs of the group; writing "0" moves the writer in. -1: no group */
    char path[PATH_MAX]; /* of the group; empty: none */
};

/*
 * Makes the group with this limit for all its processes together (swap included). Groups that runners left who are dead are removed
 * on the way. -ENOTSUP: there is no hierarchy of version 2 with memory in it; -EACCES, -EPERM, -EROFS: no right to.
 */
int divvy_runner_cgroup_make(uint64_t limit_bytes, struct divvy_runner_cgroup *ret_cgroup, struct divvy_error *error);

/* In the child: enters. 0 or a negative errno. */
int divvy_runner_cgroup_enter(const struct divvy_runner_cgroup *cgroup);

/* Removes the group, whose processes must be gone. Harmless where there is none. */
void divvy_runner_cgroup_remove(struct divvy_runner_cgroup *cgroup);

/* The same below `root`, the folder of a group: for tests, and what _make tries for one place after the other. */
int divvy_runner_cgroup_make_in(const char *root, uint64_t limit_bytes, struct divvy_runner_cgroup *ret_cgroup);

/* Where the hierarchy of version 2 is mounted, by the text of /proc/self/mountinfo: 0 or -ENOENT. Pure. */
int divvy_runner_cgroup_mount_find(const char *mountinfo, char *ret_path, size_t size_bytes);

#endif
