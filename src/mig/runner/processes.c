/* Processes of a job: see processes.h. */
#include "mig/runner/processes.h"

#include "base/cleanup.h"
#include "core/checked.h"
#include "core/parse.h"
#include "core/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RSS_FIELD 24 /* of /proc/PID/stat, counted from 1 */

/* The number at the start of `text`, up to a blank or the end; UINT64_MAX: there is none. */
static uint64_t number_at(const char *text) {
    uint64_t value;

    return divvy_core_u64_parse(text, strcspn(text, " \n"), &value, NULL) < 0 ? UINT64_MAX : value;
}

int divvy_runner_process_parse(const char *line, uint64_t page_bytes, struct divvy_runner_process *ret_process) {
    /* The program's name may hold blanks and brackets: what counts is the last bracket. */
    const char *at = strrchr(line, ')');
    uint64_t pid = number_at(line), parent, pages;
    char state;

    if (!at || at[1] != ' ' || !at[2] || at[3] != ' ')
        return -EINVAL;
    state = at[2];
    at += 4;
    parent = number_at(at);
    for (int field = 4; field < RSS_FIELD; field++) {
        at = strchr(at, ' ');
        if (!at)
            return -EINVAL;
        at++;
    }
    pages = number_at(at);
    if (pid == 0 || pid > INT32_MAX || parent > INT32_MAX || pages == UINT64_MAX)
        return -EINVAL;
    *ret_process = (struct divvy_runner_process){.pid = (pid_t)pid,
                                                 .parent = (pid_t)parent,
                                                 .state = state,
                                                 .resident_bytes = divvy_core_u64_mul_saturated(pages, page_bytes)};
    return 0;
}

static int place_make(struct divvy_runner_processes *processes) {
    size_t capacity = processes->capacity ? processes->capacity * 2 : 256;
    void *all;

    if (processes->count < processes->capacity)
        return 0;
    all = reallocarray(processes->all, capacity, sizeof *processes->all);
    if (!all)
        return -ENOMEM;
    processes->all = all;
    processes->capacity = capacity;
    return 0;
}

static int one_read(struct divvy_runner_processes *processes, int proc_fd, const char *name) {
    char path[32], line[1024];
    cleanup_close int fd = -1;
    ssize_t length;

    if (name[0] < '0' || name[0] > '9' || (size_t)snprintf(path, sizeof path, "%s/stat", name) >= sizeof path)
        return 0;
    fd = divvy_core_sys_openat(proc_fd, path, O_RDONLY, 0);
    length = fd < 0 ? fd : divvy_core_sys_read(fd, line, sizeof line - 1);
    if (length <= 0)
        return 0; /* it has just ended */
    line[length] = '\0';
    if (place_make(processes) < 0)
        return -ENOMEM;
    if (divvy_runner_process_parse(line, (uint64_t)sysconf(_SC_PAGESIZE), &processes->all[processes->count]) == 0)
        processes->count++;
    return 0;
}

static int by_pid(const void *a, const void *b) {
    const struct divvy_runner_process *first = a, *second = b;

    return (first->pid > second->pid) - (first->pid < second->pid);
}

static bool is_ours(const struct divvy_runner_processes *processes, pid_t pid) {
    struct divvy_runner_process key = {.pid = pid};
    const struct divvy_runner_process *found =
        bsearch(&key, processes->all, processes->count, sizeof *processes->all, by_pid);

    return found && found->is_ours;
}

/* Children of ours are ours; true when one was found. */
static bool marks_spread(struct divvy_runner_processes *processes, pid_t root) {
    bool has_changed = false;

    for (size_t i = 0; i < processes->count; i++) {
        struct divvy_runner_process *process = &processes->all[i];

        if (process->is_ours || (process->parent != root && !is_ours(processes, process->parent)))
            continue;
        process->is_ours = 1;
        has_changed = true;
    }
    return has_changed;
}

int divvy_runner_processes_find(struct divvy_runner_processes *processes, pid_t root) {
    cleanup_closedir DIR *folder = opendir("/proc");
    struct dirent *entry;
    int living = 0;

    if (!folder)
        return -errno;
    processes->count = 0;
    while ((entry = readdir(folder)))
        if (one_read(processes, dirfd(folder), entry->d_name) < 0)
            return -ENOMEM;
    if (processes->count > 0)
        qsort(processes->all, processes->count, sizeof *processes->all, by_pid);
    while (marks_spread(processes, root))
        ;
    for (size_t i = 0; i < processes->count; i++)
        living += processes->all[i].is_ours && processes->all[i].state != 'Z' && processes->all[i].state != 'X';
    return living;
}

uint64_t divvy_runner_processes_resident(const struct divvy_runner_processes *processes) {
    uint64_t bytes = 0;

    for (size_t i = 0; i < processes->count; i++)
        if (processes->all[i].is_ours)
            bytes = divvy_core_u64_add_saturated(bytes, processes->all[i].resident_bytes);
    return bytes;
}

void divvy_runner_processes_signal(const struct divvy_runner_processes *processes, int number) {
    for (size_t i = 0; i < processes->count; i++)
        if (processes->all[i].is_ours && processes->all[i].state != 'Z')
            (void)kill(processes->all[i].pid, number);
}

void divvy_runner_processes_done(struct divvy_runner_processes *processes) {
    free(processes->all);
    *processes = (struct divvy_runner_processes){0};
}
