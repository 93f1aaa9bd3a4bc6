/*
 * The folder of a running tenant that no daemon knows: it holds the page that the tenant's processes
 * share, and its lock says that the name is taken. Folders lie in $XDG_RUNTIME_DIR/divvy/alone,
 * /run/divvy/alone (root) or /dev/shm/divvy-UID/alone, the first that can be had, mode 0700. Those
 * of the daemon's tenants lie beside, in its own folder `tenants`: neither touches the other's.
 */
#ifndef DIVVY_BASE_ALONE_H
#define DIVVY_BASE_ALONE_H

#include "base/error.h"

#include <limits.h>

struct divvy_alone {
    int fd;      /* the folder, locked as long as it is open here or in a forked child; -1 = none */
    int base_fd; /* the folder of folders; -1 = none */
    char name[65];
    char path[PATH_MAX];
};

/*
 * Makes and locks the folder for `name` (checked before: a plain file name). A folder left over
 * from a tenant that is gone is taken over, empty; others' leftovers are removed on the way.
 * -EBUSY: a tenant of this name is alive.
 */
int divvy_alone_open(const char *name, struct divvy_alone *ret_tenant,
                          struct divvy_error *error);

/* Removes the folder with what is in it, gives up the lock. Harmless on one that is not open. */
void divvy_alone_remove(struct divvy_alone *tenant);

/*
 * Only tells whether a folder can be had, and where: for divvy doctor. ret_path has PATH_MAX bytes.
 */
int divvy_alone_base_find(char *ret_path, struct divvy_error *error);

#endif
