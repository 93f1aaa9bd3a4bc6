/*
 * Waiting until what the threads of some processes were about to do when something was changed is done: a thread that has
 * looked at the tenant's door before it was shut (page/control.h) has left word, or is known to leave it no more.
 *
 * Between the look and the word lie some instructions and no system call. So a thread that is seen asleep in a system call is past
 * them or before them, and so is one that has had the processor for a while since. Who can be told neither of (stopped, or kept
 * from the processor) is waited for.
 */
#ifndef DIVVY_DAEMON_QUIET_H
#define DIVVY_DAEMON_QUIET_H

#include <stddef.h>
#include <stdint.h>

/* 0; -ETIMEDOUT: a thread could not be told; -ENOMEM, -EACCES and what /proc says. Processes that are gone are quiet. Blocks. */
int divvy_quiet_wait(const int32_t *pids, size_t count, int64_t timeout_ns);

#endif
