/*
 * Instances that are made on demand and destroyed again. Each carries a mark, the file ".UUID.made" beside the lock files, so
 * that whoever finds it without a living holder may destroy it. Until it has that, intent.h tells of it.
 */
#ifndef DIVVY_MIG_CREATE_H
#define DIVVY_MIG_CREATE_H

#include "mig/folder.h"
#include "mig/list.h"
#include "mig/lock.h"

/*
 * Whoever creates or destroys does it in turn: waits for up to ten seconds. The descriptor that holds it, to be closed. -EBUSY.
 */
int divvy_mig_turn_take(const struct divvy_mig_folder *folder, struct divvy_mig_error *error);

/* Whether nobody has it; in the next moment somebody may. */
bool divvy_mig_turn_is_free(const struct divvy_mig_folder *folder);

/*
 * Makes an instance that is wanted, on the GPU where the fewest more of it would fit (gpu_uuid NULL: any that has MIG on), marks
 * it, takes its lock for this process and describes it. One process at a time; blocks for up to ten seconds until it is its
 * turn. What fails half way is undone. -ENOTSUP: no GPU offers the profile; -ENOSPC: no room; -EPERM; -EBUSY: others are at it,
 * or have taken it at once; and what NVML says.
 */
int divvy_mig_create(struct divvy_mig *mig, struct divvy_mig_folder *folder, const struct divvy_mig_profile *wanted,
                     const char *gpu_uuid, int64_t ttl_ns, struct divvy_mig_device *ret_device,
                     struct divvy_mig_lock *ret_lock, struct divvy_mig_error *error);

/*
 * Its first part: makes an instance and marks it. It must be the caller's turn, or nobody else's.
 */
int divvy_mig_create_instance(struct divvy_mig *mig, const struct divvy_mig_folder *folder,
                              const struct divvy_mig_profile *wanted, const char *gpu_uuid, struct divvy_mig_device *ret_device,
                              struct divvy_mig_error *error);

/* Marks an instance as one that was created on demand. What is wrong with the folder; -EINVAL: nothing has such a UUID. */
int divvy_mig_mark_set(const struct divvy_mig_folder *folder, const char *uuid, struct divvy_mig_error *error);

/* The instance that has this id on its GPU, with all that is known of it; -EIO where none with a compute instance can be found. */
int divvy_mig_instance_find(struct divvy_mig *mig, nvmlDevice_t gpu, const struct divvy_mig_device *parent, uint32_t id,
                            struct divvy_mig_device *ret_device);

/* Whether the instance carries a mark that can be believed (of this user or root). */
bool divvy_mig_is_marked(const struct divvy_mig_folder *folder, const char *uuid);

/*
 * Destroys an instance that the caller has reserved, and its mark, in the caller's turn: another one made in its place has the same
 * UUID, and so the same mark. -EBUSY: it is in use; the mark stays.
 */
int divvy_mig_destroy(struct divvy_mig *mig, const struct divvy_mig_folder *folder, const char *uuid,
                      struct divvy_mig_error *error);

#endif
