/* One start of the program: a child, set up and replaced by it. */
#ifndef DIVVY_MIG_RUNNER_JOB_H
#define DIVVY_MIG_RUNNER_JOB_H

#include "mig/runner/cgroup.h"

#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

struct divvy_runner_job {
    const char *program; /* a path */
    char **arguments;
    int lock_fd;         /* kept open in the child, so that the slice is taken as long as anything of it lives; -1 none */
    const char *meminfo; /* file to be seen as /proc/meminfo; NULL none */
    const struct divvy_runner_cgroup *cgroup; /* NULL none */
    uint64_t data_bytes; /* limit of each process's memory (RLIMIT_DATA); 0 none */
    /* What the runner found and has changed for itself. */
    sigset_t mask;
    struct sigaction child_action, pipe_action;
    struct rlimit files;
};

/*
 * Starts it: 0 and the pid, or a negative errno of what failed in the child before the program ran (-ENOENT: not found; others).
 * Blocks until the program runs. The child is killed when this process (its one thread) ends.
 */
int divvy_runner_job_start(const struct divvy_runner_job *job, pid_t *ret_pid);

#endif
