/*
 * Running a tenant's program. Two processes of divvy stay for it:
 *
 *   front    what the user's shell or service manager knows as "divvy run": passes on signals, ends
 *            with the program's status as soon as the program ends
 *   keeper   its child, parent of the program and of every orphan of the tenant (child subreaper):
 *            stays until the tenant's last process is gone, then takes the tenant out
 *
 * All share the front's process group and terminal, so what the terminal sends reaches the program
 * by itself and is not passed on again. When the front is killed, the program is too; when the
 * keeper is, likewise.
 */
#ifndef DIVVY_CLI_SUPERVISE_H
#define DIVVY_CLI_SUPERVISE_H

#include "cli/member.h"
#include "base/alone.h"

/*
 * Runs `program` (argv, found by PATH, ends in NULL) in the current environment and returns the
 * exit status for the shell: the program's own, 128 + n when signal n ended it, 127 when it was not
 * found, 126 when it could not be run. The tenant is `member`, which the keeper enters with the daemon
 * (DIVVY_TENANT_DIR is set to the daemon's answer), or where that is NULL `tenant`, whose folder is
 * open. Either is taken out in the end. To be called once, by a program with one thread.
 */
int divvy_cli_supervise(char **program, struct divvy_alone *tenant,
                        const struct divvy_cli_member *member);

#endif
