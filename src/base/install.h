/*
 * Where the parts of this installation (or build) lie, found from where the running program lies:
 * bin/divvy beside lib/ or lib/divvy/, and divvyd beside divvy or in ../sbin.
 */
#ifndef DIVVY_BASE_INSTALL_H
#define DIVVY_BASE_INSTALL_H

#include "base/error.h"

#include <limits.h>

struct divvy_install {
    char limiter[PATH_MAX];       /* libcuda_limiter.so, empty when not found */
    char simulated_dir[PATH_MAX]; /* folder of the simulated libcuda.so.1, empty when not found */
    char daemon[PATH_MAX];        /* divvyd, empty when not found */
    char runner[PATH_MAX];        /* divvy-runner, likewise */
};

/* 0, or the error of reading /proc/self/exe; missing parts are empty, not errors. */
int divvy_install_find(struct divvy_install *ret_install, struct divvy_error *error);

/*
 * `first` in front of a colon-separated list (NULL or empty: none), without doubling it. malloc'ed;
 * NULL: no memory.
 */
char *divvy_install_list_front(const char *first, const char *list);

#endif
