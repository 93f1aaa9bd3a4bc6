/* Allocations of MIG instances in a file, so that a daemon that starts again knows whose they are. Blocks on the disk. */
#ifndef DIVVY_DAEMON_HTTP_MIG_KEPT_H
#define DIVVY_DAEMON_HTTP_MIG_KEPT_H

#include "daemon/http/mig.h"

/* Writes all of them. */
int divvy_http_mig_kept_write(const char *path, const struct divvy_http_mig_allocation *allocations, size_t count,
                              struct divvy_error *error);

/*
 * Reads what was written: workload, UUID of the device, user and times of each; malloc'd. No file: none. -EINVAL: it is damaged.
 */
int divvy_http_mig_kept_read(const char *path, struct divvy_http_mig_allocation **ret_allocations, size_t *ret_count,
                             struct divvy_error *error);

#endif
