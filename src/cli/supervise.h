/*
 * Running a tenant's program. Two processes of divvy stay for it:
 *
 *   front    what the user's shell or service manager knows as "divvy run": passes on signals, ends
 *            with the program's status as soon as the program ends
 *   keeper   its child, parent of the program and of every orphan of the tenant (child subreaper):
 *            stays until the tenant's last process is gone, then removes the tenant's folder
 *
 * All share the front's process group and terminal, so what the terminal sends reaches the program
 * by itself and is not passed on again. When the front is killed, the program is too; when the
 * keeper is, likewise.
 */
#ifndef DIVVY_CLI_SUPERVISE_H
#define DIVVY_CLI_SUPERVISE_H

#include "cli/tenant.h"

/*
 * Runs `program` (argv, found by PATH, ends in NULL) in the current environment and returns the
 * exit status for the shell: the program's own, 128 + n when signal n ended it, 127 when it was not
 * found, 126 when it could not be run. Owns the tenant from here on. To be called once, by a
 * program with one thread.
 */
int divvy_cli_supervise(char **program, struct divvy_cli_tenant *tenant);

#endif
