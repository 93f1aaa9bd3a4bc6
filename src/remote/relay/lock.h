/* One instance: a locked file with the process's number in it. */
#ifndef DIVVY_REMOTE_RELAY_LOCK_H
#define DIVVY_REMOTE_RELAY_LOCK_H

#include "base/error.h"

/*
 * Takes the lock; what a dead process left is no obstacle. The descriptor, which is the lock as long as it is open, or a negative
 * errno; -EBUSY names the process that has it.
 */
int divvy_relay_lock_take(const char *path, struct divvy_error *error);

#endif
