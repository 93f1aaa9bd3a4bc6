/* Starting a worker's process. Inside this room. */
#ifndef DIVVY_BACKEND_SPAWN_H
#define DIVVY_BACKEND_SPAWN_H

#include "backend/process.h"
#include "backend/record.h"

/* A command of one's own: what divvy_backend_command points to, copied into one piece of memory. */
struct divvy_backend_launch {
    char *binary, *folder, *log;
    char **arguments, **environment; /* ended by NULL, never NULL themselves */
    uint16_t port;
    uint64_t digest; /* of all of it: another command has another one */
};

int divvy_backend_launch_copy(const struct divvy_backend_command *command, struct divvy_backend_launch *ret_launch);
void divvy_backend_launch_done(struct divvy_backend_launch *launch);

/*
 * Starts it, as the leader of a session and a process group of its own, with nothing open but standard input (nothing), output and error
 * (the log). record->id, boot, port and command are given, pid and start time come back. `run_fd` is the folder of records.
 * 0, or what kept it from starting, with words for it.
 */
int divvy_backend_spawn(const struct divvy_backend_launch *launch, int run_fd, struct divvy_backend_record *record,
                        struct divvy_error *error);

#endif
