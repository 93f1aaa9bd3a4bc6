/*
 * The driver's checkpoint calls for a tenant's processes, made in a process of its own: the daemon never loads libcuda, and a
 * driver that hangs or crashes there takes nothing with it. The process is the daemon's own program, started anew.
 */
#ifndef DIVVY_DAEMON_CHECKPOINT_H
#define DIVVY_DAEMON_CHECKPOINT_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

enum divvy_checkpoint_verb {
    DIVVY_CHECKPOINT_SAVE,    /* calls of all processes are held back, their device memory goes to host memory */
    DIVVY_CHECKPOINT_RESTORE, /* the other way, from whatever state each is in */
    DIVVY_CHECKPOINT_PROBE,   /* nothing: whether the driver has the calls; without processes */
    DIVVY_CHECKPOINT_VERB_MAX
};

/* First argument of the daemon's program that makes it this process. */
#define DIVVY_CHECKPOINT_ARGUMENT "--checkpoint-of"

/*
 * All of `pids`, or none: what was done is undone when one fails. Those without CUDA are left out. `library` is the driver's
 * libcuda, a name or a path. Blocks for as long as copying takes, `timeout_ns` at most; any thread. A save that times out or is
 * killed is undone by a restore. `lock_fd` (-1: none) is left open in the process that makes the calls, so that a lock on it is
 * held until the calls are over, whatever becomes of the daemon meanwhile. -EOPNOTSUPP: the driver lacks the calls, or cannot do it for such a process; -ENOMEM: no room on
 * the device to come back to; -EBUSY: a call of a process did not end; -ETIMEDOUT; -EIO. `error` names the call, the process
 * and the driver's error.
 */
int divvy_checkpoint_run(const char *library, enum divvy_checkpoint_verb verb, const int32_t *pids, size_t count,
                         int lock_fd, int64_t timeout_ns, struct divvy_error *error);

/* What that process does: argv[1] is the argument, then "save", "restore" or "probe", the library, pids. Exit status. */
int divvy_checkpoint_main(int argc, char **argv);

#endif
