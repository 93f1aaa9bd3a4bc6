/* First processes of workers, to find out whose another one is. Inside this room. */
#ifndef DIVVY_BACKEND_LEADERS_H
#define DIVVY_BACKEND_LEADERS_H

#include "backend/single.h"

struct divvy_backend_leaders {
    size_t count;
    struct divvy_backend_leader {
        pid_t pid;
        char worker[DIVVY_NODE_WORKER_ID_BYTES];
    } *leaders; /* by pid */
};

/* Of all workers that run, whoever runs them; to be freed. */
int divvy_backend_leaders_get(struct divvy_backend_single *single, struct divvy_backend_leaders *ret_leaders);
void divvy_backend_leaders_free(struct divvy_backend_leaders *leaders);
/* The one among a process's parents, or that of its session; NULL: none. */
const struct divvy_backend_leader *divvy_backend_leaders_find(const struct divvy_backend_leaders *leaders, pid_t pid);

#endif
