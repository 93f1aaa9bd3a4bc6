/*
 * The processes of a job: all descendants of one process, found in /proc, also those whose parents are gone (the runner adopts
 * them). Single-threaded use.
 */
#ifndef DIVVY_MIG_RUNNER_PROCESSES_H
#define DIVVY_MIG_RUNNER_PROCESSES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct divvy_runner_process {
    pid_t pid, parent;
    uint64_t resident_bytes;
    char state; /* as /proc tells it: 'Z' has ended */
    char is_ours;
};

/* Kept between calls, so that memory is not taken anew each time. All zeros at first. */
struct divvy_runner_processes {
    struct divvy_runner_process *all;
    size_t count, capacity;
};

/* Looks anew: descendants of `root`, without itself, have is_ours set. How many live (zombies do not), or a negative errno. */
int divvy_runner_processes_find(struct divvy_runner_processes *processes, pid_t root);

/* Resident bytes of ours, as of the last look. */
uint64_t divvy_runner_processes_resident(const struct divvy_runner_processes *processes);

/* Sends a signal to each of ours, as of the last look. */
void divvy_runner_processes_signal(const struct divvy_runner_processes *processes, int number);

void divvy_runner_processes_done(struct divvy_runner_processes *processes);

/* One line of /proc/PID/stat. 0 or -EINVAL. Pure. */
int divvy_runner_process_parse(const char *line, uint64_t page_bytes, struct divvy_runner_process *ret_process);

#endif
