/*
 * What is about to be created or destroyed, written down before the driver is asked: the file ".creating" beside the lock files. Whoever does it may
 * die while the instance has no mark (create.h), or no UUID any more; the next one finds by this file what to take away. Only in the
 * turn (divvy_mig_turn_take) is it written, settled or removed.
 */
#ifndef DIVVY_MIG_INTENT_H
#define DIVVY_MIG_INTENT_H

#include "mig/folder.h"
#include "mig/nvml.h"

/*
 * Before the driver is asked for an instance of a profile: which GPU, and which instances it has by now. *ret_fd is for _made, and
 * to be closed. What is wrong with the folder.
 */
int divvy_mig_intent_begin(struct divvy_mig *mig, const struct divvy_mig_folder *folder, nvmlDevice_t gpu, const char *gpu_uuid,
                           uint32_t profile_id, int *ret_fd, struct divvy_mig_error *error);

/* As soon as it is there: its id on the GPU. */
int divvy_mig_intent_made(int fd, uint32_t instance_id);

/*
 * Before an instance is destroyed, which takes two steps as well: after the first nothing in the list of devices tells of it. It is
 * destroyed also where this cannot be written.
 */
void divvy_mig_intent_unmake(const struct divvy_mig_folder *folder, const char *gpu_uuid, uint32_t profile_id,
                             uint32_t instance_id);

/* It has its mark, or is gone. */
void divvy_mig_intent_end(const struct divvy_mig_folder *folder);

/* Whether there is such a file and nobody has the turn: its writer is dead. */
bool divvy_mig_intent_is_abandoned(const struct divvy_mig_folder *folder);

/*
 * Carries out what a dead writer left to do, in the caller's turn: an instance that nothing computes on yet is destroyed, one that could
 * be used already gets its mark, so that it is destroyed like any other whose holder is dead. 0 also when there was nothing; what
 * NVML says, and then the file stays for the next one.
 */
int divvy_mig_intent_settle(struct divvy_mig *mig, const struct divvy_mig_folder *folder, struct divvy_mig_error *error);

#endif
