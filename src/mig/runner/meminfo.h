/*
 * /proc/meminfo as a program with a limit of host memory should see it: a file of our own, bound over the real one in a mount
 * namespace of the program's, and kept up to date by the runner.
 */
#ifndef DIVVY_MIG_RUNNER_MEMINFO_H
#define DIVVY_MIG_RUNNER_MEMINFO_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

#define DIVVY_RUNNER_MEMINFO_BYTES 2048u

/*
 * The text for a limit and what is in use of it, both bytes: MemTotal is the limit, MemAvailable what is left, never negative.
 * Of the same length whatever the figures, so that a reader never finds a mixture of lines. Its length. Pure.
 */
size_t divvy_runner_meminfo_render(uint64_t limit_bytes, uint64_t used_bytes, char ret_text[DIVVY_RUNNER_MEMINFO_BYTES]);

/* Makes the file (mode 0444, replaced if it is there): its descriptor, the caller's, or a negative errno. */
int divvy_runner_meminfo_make(const char *path, uint64_t limit_bytes, struct divvy_error *error);

/* Writes the figures of now. */
void divvy_runner_meminfo_update(int fd, uint64_t limit_bytes, uint64_t used_bytes);

/*
 * In the child that becomes the program: a mount namespace of its own with `path` in the place of /proc/meminfo. A negative errno
 * where that is not allowed (-EPERM: neither root nor CAP_SYS_ADMIN, or a container that forbids it); nothing is changed then.
 */
int divvy_runner_meminfo_enter(const char *path);

#endif
