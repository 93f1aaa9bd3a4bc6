/*
 * Where divvyd lives on this machine: its folder, its one instance, what it was installed with, and the file that systemd
 * passes. For main.c, at the start, with one thread.
 */
#ifndef DIVVY_DAEMON_RUNTIME_H
#define DIVVY_DAEMON_RUNTIME_H

#include "base/error.h"

#include <stddef.h>

#define DIVVY_RUNTIME_PATH_BYTES 256u
#define DIVVY_RUNTIME_PID_FILE   ".divvyd.pid"

/*
 * The folder `divvy` of this user's daemon, made when missing: in $XDG_RUNTIME_DIR, else in /run (root), else
 * /dev/shm/divvy-UID; the first that can be had. Mode 0755 for root, whose socket is for all, else 0700. -EACCES and others.
 */
int divvy_runtime_folder_find(char ret_path[DIVVY_RUNTIME_PATH_BYTES], struct divvy_error *error);

/* The configuration file that is read when none is named; empty when there can be none. */
void divvy_runtime_config_find(char ret_path[DIVVY_RUNTIME_PATH_BYTES]);

/* Folder of the simulated driver, beside this program's; empty when it is not installed. ret_path has PATH_MAX bytes. */
void divvy_runtime_simulated_find(char *ret_path);

/*
 * Make the base folder when missing and become its one daemon: the pid file in it is locked for as long as *ret_fd is open.
 * -EBUSY: another has it, and its pid is in the text.
 */
int divvy_runtime_instance_take(const char *base, int *ret_fd, struct divvy_error *error);

/*
 * Real devices are one daemon's only, whatever its base: -EBUSY with its pid when another answers at the socket `path` of the
 * system's daemon. `own`: the socket that we serve ourselves.
 */
#define DIVVY_RUNTIME_SYSTEM_SOCKET "/run/divvy/divvyd.sock"
int divvy_runtime_system_check(const char *path, const char *own, struct divvy_error *error);

/* Remove the pid file and unlock it. */
void divvy_runtime_instance_drop(const char *base, int *fd);

/*
 * The listening unix socket that systemd passed to this process, or -1 when it passed none. -EINVAL: what was passed is
 * something else. The environment no longer tells of it afterwards.
 */
int divvy_runtime_socket_take(int *ret_fd, struct divvy_error *error);

#endif
