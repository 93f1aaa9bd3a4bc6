/*
 * The daemon for divvy run: found, or started on demand. One that was started this way belongs to
 * this user (to the node when that is root) and ends by itself when nobody has needed it for a
 * while.
 */
#ifndef DIVVY_CLI_DAEMON_H
#define DIVVY_CLI_DAEMON_H

#include "base/error.h"
#include "cli/client.h"
#include "base/install.h"

#define DIVVY_CLI_DAEMON_READY_MS  5000u
#define DIVVY_CLI_DAEMON_IDLE_EXIT "30s"

/*
 * A client of a daemon that is ready: of one that answers, else of one that is started. Blocks up
 * to DIVVY_CLI_DAEMON_READY_MS. Negative with the reason when there is none and none can be had;
 * the environment of this process is what the daemon gets, but for LD_PRELOAD. The calling program
 * must have one thread.
 */
int divvy_cli_daemon_ensure(const struct divvy_install *install,
                            struct divvy_cli_client **ret_client, struct divvy_error *error);

#endif
