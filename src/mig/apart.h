/*
 * NVML in processes of its own: for programs that stay long and shall stay small. A driver's NVML takes some 20 MiB and gives nothing
 * of it back (seen: 580.159, 15 MiB of it on the heap), and a crash in it is not theirs.
 */
#ifndef DIVVY_MIG_APART_H
#define DIVVY_MIG_APART_H

#include "divvy/mig.h"

/*
 * As divvy_mig_open, but this process never loads NVML: each list is read by a child that ends. Only for divvy_mig_list,
 * divvy_mig_profile_read and divvy_mig_reserve without DIVVY_MIG_CREATE (else -EINVAL). For programs with one thread, which find
 * a SIGCHLD for each list; a wait's cancel_fd must not be woken by that.
 */
int divvy_mig_open_apart(const char *library, struct divvy_mig **ret_mig, struct divvy_mig_error *error);

/* What divvy_mig_list does for such a one. */
int divvy_mig_apart_list(struct divvy_mig *mig, uint32_t flags, struct divvy_mig_list **ret_list,
                         struct divvy_mig_error *error);

#endif
