/* Which worker a process belongs to: see single.h. */
#include "backend/single_inside.h"

#include "backend/leaders.h"
#include "backend/tree.h"
#include "core/sys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TREE_DEPTH 64u

static int order(const void *a, const void *b) {
    const struct divvy_backend_leader *x = a, *y = b;

    return x->pid < y->pid ? -1 : x->pid > y->pid;
}

int divvy_backend_leaders_get(struct divvy_backend_single *single, struct divvy_backend_leaders *ret_leaders) {
    struct divvy_backend_leaders leaders = {0};
    struct divvy_backend_worker *workers;
    size_t count;
    int status = divvy_backend_single_list(single, &workers, &count);

    if (status < 0)
        return status;
    leaders.leaders = calloc(count + 1, sizeof *leaders.leaders);
    for (size_t i = 0; leaders.leaders && i < count; i++)
        if (workers[i].has_process && workers[i].process.pid > 1) {
            struct divvy_backend_leader *leader = &leaders.leaders[leaders.count++];

            leader->pid = workers[i].process.pid;
            memcpy(leader->worker, workers[i].worker.uid, sizeof leader->worker);
        }
    free(workers);
    if (!leaders.leaders)
        return -ENOMEM;
    qsort(leaders.leaders, leaders.count, sizeof *leaders.leaders, order);
    *ret_leaders = leaders;
    return 0;
}

static const struct divvy_backend_leader *leader_at(const struct divvy_backend_leaders *leaders, pid_t pid) {
    struct divvy_backend_leader key = {.pid = pid};

    return pid > 1 ? bsearch(&key, leaders->leaders, leaders->count, sizeof key, order) : NULL;
}

const struct divvy_backend_leader *divvy_backend_leaders_find(const struct divvy_backend_leaders *leaders, pid_t pid) {
    const struct divvy_backend_leader *found = leader_at(leaders, pid);

    for (size_t depth = 0; !found && pid > 1 && depth < TREE_DEPTH; depth++) {
        pid_t parent, group, session;

        if (divvy_backend_tree_look(pid, &parent, &group, &session) < 0)
            return NULL;
        found = leader_at(leaders, parent);
        if (!found)
            found = leader_at(leaders, session); /* its parents are gone */
        pid = parent;
    }
    return found;
}

void divvy_backend_leaders_free(struct divvy_backend_leaders *leaders) {
    free(leaders->leaders);
    *leaders = (struct divvy_backend_leaders){0};
}

/* The last number of the line NSpid; the host's where the kernel does not tell. */
static pid_t guest_pid(pid_t pid) {
    char path[32], status[4096];
    const char *line;
    pid_t guest = pid;
    int number, used;

    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    if (divvy_core_sys_read_file(path, status, sizeof status) < 0 || !(line = strstr(status, "\nNSpid:")))
        return pid;
    for (line += 7; sscanf(line, "%*[ \t]%d%n", &number, &used) == 1; line += used) // NOLINT(cert-err34-c): the kernel's own
        guest = number;
    return guest;
}

int divvy_backend_single_mapping(struct divvy_backend_single *single, pid_t host_pid, struct divvy_backend_mapping *ret_mapping) {
    const struct divvy_backend_leader *found;
    struct divvy_backend_leaders leaders;
    uint64_t ticks;
    int status;

    if (host_pid <= 0 || divvy_core_sys_start_time(host_pid, &ticks) < 0)
        return -ESRCH;
    status = divvy_backend_leaders_get(single, &leaders);
    if (status < 0)
        return status;
    found = divvy_backend_leaders_find(&leaders, host_pid);
    if (found) {
        memcpy(ret_mapping->worker, found->worker, sizeof ret_mapping->worker);
        ret_mapping->host_pid = host_pid;
        ret_mapping->guest_pid = guest_pid(host_pid);
        ret_mapping->leader = found->pid;
    }
    divvy_backend_leaders_free(&leaders);
    return found ? 0 : -ENOENT;
}
