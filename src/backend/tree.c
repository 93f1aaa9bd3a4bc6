/* Parents of processes: see tree.h. */
#include "backend/tree.h"

#include "core/sys.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* /proc/PID/stat: "PID (command) state ppid pgrp session …"; the command may hold anything, brackets too. */
int divvy_backend_tree_look(pid_t pid, pid_t *ret_parent, pid_t *ret_group, pid_t *ret_session) {
    char path[32], line[1024];
    const char *at;
    ssize_t length;
    int parent, group, session;

    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    length = divvy_core_sys_read_file(path, line, sizeof line);
    at = length > 0 ? memrchr(line, ')', (size_t)length) : NULL;
    if (!at || sscanf(at + 1, " %*c %d %d %d", &parent, &group, &session) != 3) // NOLINT(cert-err34-c): the kernel's own
        return -ESRCH;
    *ret_parent = parent;
    *ret_group = group;
    *ret_session = session;
    return 0;
}
