/*
 * NVML in processes of its own: for programs that stay long and shall stay small. A driver's NVML takes some 20 MiB and gives nothing
 * of it back (seen: 580.159, 15 MiB of it on the heap), and a crash in it is not theirs.
 */
#ifndef DIVVY_MIG_APART_H
#define DIVVY_MIG_APART_H

#include "divvy/mig.h"
#include "mig/folder.h"

/*
 * As divvy_mig_open, but this process never loads NVML: each list is read by a child that ends, and instances are created and
 * destroyed by such. For all functions but divvy_mig_offers. For programs with one thread, which find a SIGCHLD for each child; a
 * wait's cancel_fd must not be woken by that.
 */
int divvy_mig_open_apart(const char *library, struct divvy_mig **ret_mig, struct divvy_mig_error *error);

/* What divvy_mig_list does for such a one. */
int divvy_mig_apart_list(struct divvy_mig *mig, uint32_t flags, struct divvy_mig_list **ret_list,
                         struct divvy_mig_error *error);

/*
 * What divvy_mig_create_instance does for such a one. The death of this process does not keep the child from finishing: it
 * marks the instance, finds nobody to tell, and destroys it again.
 */
int divvy_mig_apart_create(const char *library, const struct divvy_mig_folder *folder, const struct divvy_mig_profile *wanted,
                           const char *gpu_uuid, struct divvy_mig_device *ret_device, struct divvy_mig_error *error);

/* What divvy_mig_destroy does for such a one; finished too when this process dies. */
int divvy_mig_apart_destroy(const char *library, const struct divvy_mig_folder *folder, const char *uuid,
                            struct divvy_mig_error *error);

/* What divvy_mig_intent_settle does for such a one. */
int divvy_mig_apart_settle(const char *library, const struct divvy_mig_folder *folder, struct divvy_mig_error *error);

#endif
