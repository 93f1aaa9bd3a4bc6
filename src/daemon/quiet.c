/* Threads that are past something: see quiet.h. */
#include "daemon/quiet.h"

#include "base/cleanup.h"
#include "core/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOOK_NS    2000000
#define RAN_TICKS  2u /* of processor time: more than any pause within the last one that was counted */
#define THREADS_MAX 65536u

struct thread {
    int32_t pid, tid;
    uint64_t ticks; /* of processor time when it was first looked at */
};

struct threads {
    struct thread *list;
    size_t count, room;
};

/* State and processor time of a thread. -ENOENT: it is gone. */
static int thread_read(int32_t pid, int32_t tid, char *ret_state, uint64_t *ret_ticks) {
    unsigned long long user = 0, system = 0;
    char path[64], text[1024];
    const char *after;
    cleanup_close int fd = -1;
    ssize_t length;

    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/stat", pid, tid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (length <= 0)
        return fd >= 0 || errno == ENOENT || errno == ESRCH ? -ENOENT : -errno;
    text[length] = '\0';
    after = strrchr(text, ')'); /* its name may hold anything */
    if (!after || sscanf(after, ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", ret_state, &user, &system) != 3)
        return -EPROTO;
    *ret_ticks = user + system;
    return 0;
}

static bool state_is_quiet(char state) {
    return state == 'S' || state == 'I' || state == 'Z' || state == 'X' || state == 'x';
}

static int thread_add(struct threads *threads, int32_t pid, int32_t tid, uint64_t ticks) {
    if (threads->count == threads->room) {
        size_t room = threads->room ? 2 * threads->room : 64;
        struct thread *grown = room > THREADS_MAX ? NULL : realloc(threads->list, room * sizeof *grown);

        if (!grown)
            return -ENOMEM;
        threads->list = grown;
        threads->room = room;
    }
    threads->list[threads->count++] = (struct thread){pid, tid, ticks};
    return 0;
}

/* The threads of a process that are doing something. */
static int process_look(struct threads *threads, int32_t pid) {
    char path[32];
    struct dirent *entry;
    int status = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/task", pid);
    {
        cleanup_closedir DIR *folder = opendir(path);

        if (!folder)
            return errno == ENOENT ? 0 : -errno;
        while (status == 0 && (entry = readdir(folder))) {
            int32_t tid = (int32_t)strtol(entry->d_name, NULL, 10);
            uint64_t ticks;
            char state;

            if (tid <= 0)
                continue;
            status = thread_read(pid, tid, &state, &ticks);
            if (status == 0 && !state_is_quiet(state))
                status = thread_add(threads, pid, tid, ticks);
            else if (status == -ENOENT)
                status = 0;
        }
    }
    return status;
}

/* Those that are still not known to be past it stay in the list. */
static int threads_look(struct threads *threads) {
    size_t kept = 0;

    for (size_t i = 0; i < threads->count; i++) {
        struct thread *thread = &threads->list[i];
        uint64_t ticks = 0;
        char state = 'X';
        int status = thread_read(thread->pid, thread->tid, &state, &ticks);

        if (status < 0 && status != -ENOENT)
            return status;
        if (status == 0 && !state_is_quiet(state) && ticks < thread->ticks + RAN_TICKS)
            threads->list[kept++] = *thread;
    }
    threads->count = kept;
    return 0;
}

int divvy_quiet_wait(const int32_t *pids, size_t count, int64_t timeout_ns) {
    int64_t deadline_ns = (int64_t)divvy_core_clock_ns() + timeout_ns;
    struct threads threads = {0};
    int status = 0;

    for (size_t i = 0; i < count && status == 0; i++)
        status = process_look(&threads, pids[i]);
    while (status == 0 && threads.count > 0) {
        struct timespec pause = {.tv_nsec = LOOK_NS};

        (void)nanosleep(&pause, NULL);
        status = threads_look(&threads);
        if (status == 0 && threads.count > 0 && (int64_t)divvy_core_clock_ns() >= deadline_ns)
            status = -ETIMEDOUT;
    }
    free(threads.list);
    return status;
}
