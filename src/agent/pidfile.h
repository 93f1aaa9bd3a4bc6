/* Who runs the workers of a state folder: agent.pid in it, locked for as long as that agent lives, whatever its pid becomes after. */
#ifndef DIVVY_AGENT_PIDFILE_H
#define DIVVY_AGENT_PIDFILE_H

#include "base/error.h"

#include <sys/types.h>

/* Takes the place; the descriptor is the caller's and holds it. -EBUSY: another agent has it, which `error` names. */
int divvy_agent_pidfile_take(const char *state_folder, int *ret_fd, struct divvy_error *error);

/* The pid of the agent that lives, or 0. */
pid_t divvy_agent_pidfile_look(const char *state_folder);

#endif
