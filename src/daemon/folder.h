/*
 * The folders of tenants: `<base>/<id with '+' for '/'>` with the control page, the bell, and the usage page that the tenant's
 * processes make there. A folder belongs to the tenant's user, so what lies in it is not believed: every name is opened without
 * following links, and a control page that is not the daemon's own is no control page.
 *
 * What the control page has no room for lies in the file `about`: the container's name, the pod's labels and its UID, a line each.
 *
 * Every folder is locked as long as it is open here. That one daemon uses a base is main's business.
 */
#ifndef DIVVY_DAEMON_FOLDER_H
#define DIVVY_DAEMON_FOLDER_H

#include "base/error.h"
#include "node/registry.h"
#include "page/control.h"

#include <stdbool.h>

struct divvy_folder {
    int fd;         /* the folder; -1: none of these is open */
    int control_fd; /* holds the lock of the control page */
    int bell_fd;    /* read end, never at its end */
    struct divvy_control *control;
    char path[256];
};

/* Open the base, made when missing (its parents too): a descriptor, or -EPERM and others. */
int divvy_folder_base_open(const char *base, struct divvy_error *error);

/*
 * Make the folder of a new tenant and fill its control page from the spec and the devices; what a dead tenant of this id left is
 * removed first. -ENAMETOOLONG and what the file system says.
 */
int divvy_folder_create(int base_fd, const char *base, const struct divvy_node_spec *spec,
                        const struct divvy_node_device *const *devices,
                        struct divvy_folder *ret_folder, struct divvy_error *error);

/*
 * Open a folder of that name that a daemon left, and tell what its control page says: spec->bindings[i].device is the entry in
 * the page, whose UUID tells the device. -EPROTO: not to be believed. `ret_frozen`: was frozen by request.
 */
int divvy_folder_adopt(int base_fd, const char *base, const char *name,
                       struct divvy_folder *ret_folder, struct divvy_node_spec *ret_spec,
                       bool *ret_frozen);

/* A folder that a daemon was ended in the midst of making, before that time (CLOCK_REALTIME): ours, unlocked, and without pages. */
bool divvy_folder_is_half_made(int base_fd, const char *name, int64_t before_realtime_ns);

/* Close; the folder stays as it is. Harmless when not open. */
void divvy_folder_close(struct divvy_folder *folder);

/* Close and remove with all that is in it. */
void divvy_folder_remove(int base_fd, const char *id, struct divvy_folder *folder);

/* The folder of that name is of no use: remove it. */
void divvy_folder_discard(int base_fd, const char *name);

#endif
