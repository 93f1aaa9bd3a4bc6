/*
 * Knows when processes end: those of tenants, and the keepers that hold tenants' names. One thread waits for all of them with
 * pidfds (Linux 5.3); what has none (an older kernel, too few descriptors) is looked at by pid and start time four times a
 * second. A process is its pid and its start time, so that a pid used again is never taken for the one that ended.
 *
 * Thread-safe. The two callbacks at the end are called by the thread without any lock of this module, once for each process
 * that was watched and not forgotten; they may call every function here but divvy_liveness_free.
 */
#ifndef DIVVY_DAEMON_LIVENESS_H
#define DIVVY_DAEMON_LIVENESS_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct divvy_daemon;
struct divvy_liveness;

/* Makes the watcher, without a thread yet: `daemon` is what the callbacks get. 0 or a negative errno. */
int divvy_liveness_new(struct divvy_daemon *daemon, struct divvy_liveness **ret_liveness, struct divvy_error *error);

/* Starts the thread; processes may have been watched before. 0, or what pthread_create says. */
int divvy_liveness_start(struct divvy_liveness *liveness, struct divvy_error *error);

/* Ends the thread and frees everything; no callback comes after it returns. Not from a callback. NULL is fine. */
void divvy_liveness_free(struct divvy_liveness *liveness);

/*
 * Watch a process of tenant `id`, or its keeper. start_ticks 0: of the process that has the pid now. The same process of
 * the same tenant twice is harmless. -ESRCH: it is gone already, and there will be no callback; -ENOMEM; -ENAMETOOLONG;
 * -EMFILE and kin: without start_ticks it cannot be told who has the pid.
 */
int divvy_liveness_watch_process(struct divvy_liveness *liveness, const char *id, int32_t host_pid, uint64_t start_ticks);
int divvy_liveness_watch_keeper(struct divvy_liveness *liveness, const char *id, int32_t host_pid, uint64_t start_ticks);

/* Forget all processes and the keeper of a tenant. A callback that has begun may still come. */
void divvy_liveness_forget(struct divvy_liveness *liveness, const char *id);

/* How many processes and keepers are watched, and how many of them without a pidfd. */
void divvy_liveness_count(struct divvy_liveness *liveness, uint32_t *ret_watched, uint32_t *ret_polled);

/* Raises the limit of open files to what the kernel lets us have; one pidfd for each process needs it. */
void divvy_liveness_files_raise(void);

/* --- implemented by the state --------------------------------------------------------------------------------------- */

void divvy_daemon_process_ended(struct divvy_daemon *daemon, const char *id, int32_t host_pid, uint64_t start_ticks);
void divvy_daemon_keeper_ended(struct divvy_daemon *daemon, const char *id);

#endif
