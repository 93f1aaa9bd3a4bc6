/* Parents of processes, from /proc. Inside this room. */
#ifndef DIVVY_BACKEND_TREE_H
#define DIVVY_BACKEND_TREE_H

#include <sys/types.h>

/* Parent, process group and session of a process; -ESRCH when it is gone. */
int divvy_backend_tree_look(pid_t pid, pid_t *ret_parent, pid_t *ret_group, pid_t *ret_session);

#endif
