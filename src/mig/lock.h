/*
 * Lock files: one for each device that is reserved. Whoever holds one has the kernel's lock (flock) on it, so that it is free
 * the moment the last process that has it open is gone; what the file says is for programs that do not look there.
 *
 * How a lock is taken without a moment in which two could think they have it, or in which a death leaves one that nobody can
 * judge:
 *
 *   - A new lock file is locked and written before it has a name (O_TMPFILE), and gets its name by link(2), which fails when
 *     the name is taken. So no file is ever seen empty, or without its lock.
 *   - A file that is there is opened and locked; would that block, a living process has it. Once locked, it must still be what
 *     the name stands for: else whoever had it has removed it meanwhile, and all begins anew.
 *   - Then it is judged (the table in docs/MIG.md). If its holder is gone the name is removed, while the lock is held, and a
 *     new file made as above. Whoever has the old one open finds that the name no longer stands for it.
 *
 * A file of a holder that keeps the kernel's lock has a second name, ".UUID.flock": when the kernel's lock is free, such a
 * holder is dead, whatever process now has its pid. In a folder that several pid namespaces share, nothing else tells.
 */
#ifndef DIVVY_MIG_LOCK_H
#define DIVVY_MIG_LOCK_H

#include "mig/folder.h"
#include "mig/line.h"

#include <sys/types.h>

struct divvy_mig_lock {
    int fd; /* holds it; -1 none */
    dev_t device;
    ino_t inode;
    pid_t owner; /* process that took it */
    char name[DIVVY_MIG_LOCK_NAME_BYTES];
    char twin[DIVVY_MIG_LOCK_NAME_BYTES];
    char line[DIVVY_MIG_LINE_BYTES];
};

/*
 * Takes the lock of a device. holder_pid 0: for this process, until divvy_mig_lock_release or its end. Else the file names
 * that process, the kernel's lock is not kept, and ret_lock->fd is -1.
 *
 * -EBUSY: taken, *ret_holder says by whom; its `reserved` is 1 when that is worth another look in a moment (somebody has the
 * kernel's lock, and the file does not name anybody living: taking, or looking). Whatever else comes is about the folder.
 */
int divvy_mig_lock_take(struct divvy_mig_folder *folder, const char *uuid, int64_t ttl_ns, pid_t holder_pid,
                        struct divvy_mig_lock *ret_lock, struct divvy_mig_holder *ret_holder,
                        struct divvy_mig_error *error);

/* Whether the name still stands for our file. */
bool divvy_mig_lock_is_ours(const struct divvy_mig_folder *folder, const struct divvy_mig_lock *lock);

/* Sets the file's time. -ESTALE: the name does not stand for our file any more. */
int divvy_mig_lock_beat(const struct divvy_mig_folder *folder, const struct divvy_mig_lock *lock);

/*
 * Removes our lock file and closes it; in any case the descriptor is closed. -ESTALE: it was not what the name stands for,
 * or does not say what we wrote; it is left alone. -EPERM: this is a child of the process that took it.
 */
int divvy_mig_lock_release(const struct divvy_mig_folder *folder, struct divvy_mig_lock *lock);

/* Removes a lock that names holder_pid and is not locked. -ENOENT, -EPERM (it names another), -EBUSY (locked). */
int divvy_mig_lock_remove_for(struct divvy_mig_folder *folder, const char *uuid, pid_t holder_pid,
                              struct divvy_mig_holder *ret_holder);

/*
 * Who has the device. Hinders nobody: a shared lock is tried for a moment, and takers look twice. Errors are those of opening
 * and reading.
 */
int divvy_mig_lock_look(const struct divvy_mig_folder *folder, const char *uuid, int64_t ttl_ns,
                        struct divvy_mig_holder *ret_holder);

#endif
