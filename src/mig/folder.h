/* The folder of the lock files: found, made where it is missing, and what to say when it cannot be used. */
#ifndef DIVVY_MIG_FOLDER_H
#define DIVVY_MIG_FOLDER_H

#include "divvy/mig.h"

#include <stdbool.h>

#define DIVVY_MIG_FOLDER_BYTES 3072 /* of its path */
/* Name of a lock file: each byte of the UUID may become three, with dot, ending and NUL. */
#define DIVVY_MIG_LOCK_NAME_BYTES (3 * DIVVY_MIG_UUID_BYTES + 16)

struct divvy_mig_folder {
    int fd; /* -1: not open */
    bool without_tmpfile; /* the file system has no unnamed files, or /proc is not mounted (found at the first use) */
    char path[DIVVY_MIG_FOLDER_BYTES];
};

/*
 * Opens the folder (NULL: DIVVY_MIG_LOCK_DIR), with `create` also making it and its parents, mode 0755. -ENOENT: it is not
 * there; -EINVAL: the path is not absolute or too long; -ELOOP: it is a symbolic link; -ENOTDIR and others.
 * To be closed by divvy_mig_folder_close.
 */
int divvy_mig_folder_open(const char *path, bool create, struct divvy_mig_folder *ret_folder,
                          struct divvy_mig_error *error);
void divvy_mig_folder_close(struct divvy_mig_folder *folder);

/* Whether the path still is this folder: it may have been removed or exchanged while it was open. */
bool divvy_mig_folder_is_there(const struct divvy_mig_folder *folder);

/* Sets what to say when a file cannot be made or removed in the folder: it, the user, and the remedy. Returns status. */
int divvy_mig_folder_fail(const struct divvy_mig_folder *folder, int status, struct divvy_mig_error *error);

/*
 * Name of the lock file of a UUID: '%' and '/' are written as "%25" and "%2F"; `prefix` before it and `ending` behind.
 * -EINVAL: the UUID is empty, too long, or has bytes that no name of a device has.
 */
int divvy_mig_folder_name(const char *uuid, const char *prefix, const char *ending,
                          char ret_name[DIVVY_MIG_LOCK_NAME_BYTES]);

#endif
