/* Who has a device, and giving back what another process was given: see the public header. */
#include "mig/error.h"
#include "mig/lock.h"

#include <errno.h>
#include <stddef.h>

int divvy_mig_holder(const char *lock_dir, const char *uuid, int64_t ttl_ns, struct divvy_mig_holder *ret_holder,
                     struct divvy_mig_error *error) {
    struct divvy_mig_folder folder;
    int status = divvy_mig_folder_open(lock_dir, false, &folder, error);

    if (status == -ENOENT) {
        *ret_holder = (struct divvy_mig_holder){.state = DIVVY_MIG_FREE};
        return 0;
    }
    if (status < 0)
        return status;
    status = divvy_mig_lock_look(&folder, uuid, ttl_ns > 0 ? ttl_ns : DIVVY_MIG_TTL_NS, ret_holder);
    divvy_mig_folder_close(&folder);
    return status < 0 ? divvy_mig_error_set_errno(error, status, "lock of %.96s", uuid) : 0;
}

int divvy_mig_holder_is_taken(const struct divvy_mig_holder *holder) {
    return holder->state == DIVVY_MIG_HELD || holder->state == DIVVY_MIG_NAMED || holder->state == DIVVY_MIG_UNSURE;
}

const char *divvy_mig_holder_state_name(uint32_t state) {
    static const char *const names[] = {"free", "held", "named", "unsure", "dead"};

    return state < sizeof names / sizeof names[0] ? names[state] : NULL;
}

int divvy_mig_release_for(const char *lock_dir, const char *uuid, int32_t holder_pid, struct divvy_mig_error *error) {
    struct divvy_mig_holder holder = {0};
    struct divvy_mig_folder folder;
    int status = divvy_mig_folder_open(lock_dir, false, &folder, error);

    if (status < 0)
        return status == -ENOENT ? divvy_mig_error_set(error, status, "%.96s is not reserved", uuid) : status;
    status = divvy_mig_lock_remove_for(&folder, uuid, holder_pid, &holder);
    if (status == -ENOENT)
        (void)divvy_mig_error_set(error, status, "%.96s is not reserved", uuid);
    else if (status == -EBUSY)
        (void)divvy_mig_error_set(error, status, "%.96s is held by process %d itself: end that to have it back", uuid,
                                  holder.pid);
    else if (status == -EPERM && holder.pid != holder_pid)
        (void)divvy_mig_error_set(error, status, "%.96s is not reserved for process %d (but for %d)", uuid, holder_pid,
                                  holder.pid);
    else if (status == -EINVAL)
        (void)divvy_mig_error_set(error, status, "'%.96s' cannot be the UUID of a device", uuid);
    else if (status < 0)
        (void)divvy_mig_folder_fail(&folder, status, error);
    divvy_mig_folder_close(&folder);
    return status;
}

int divvy_mig_is_unusable(int status) {
    static const int luckier[] = {0, -EINVAL, -ENXIO, -EBUSY, -ETIMEDOUT, -ECANCELED, -ESRCH, -ENOMEM};

    for (size_t i = 0; i < sizeof luckier / sizeof luckier[0]; i++)
        if (status == luckier[i])
            return 0;
    return 1;
}
