/*
 * Workers as processes: see process.h. What is to be done when is decided by node/life.h; here it is done, and what has happened is
 * found out.
 */
#include "backend/process.h"

#include "backend/log_file.h"
#include "backend/record.h"
#include "backend/spawn.h"
#include "backend/tree.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/map.h"
#include "core/clock.h"
#include "core/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MS            ((int64_t)DIVVY_NS_PER_MS)
#define SECOND        ((int64_t)DIVVY_NS_PER_SECOND)
#define LOOK_NS       (100 * MS)   /* between looks at processes whose end cannot be waited for (Linux before 5.3) */
#define ROTATE_NS     (5 * SECOND) /* between looks at the lengths of logs */
#define TAKE_OVER_NS  (2 * SECOND) /* a child of a supervisor that was killed becomes a worker by then, and lets the lock go */
#define TREE_DEPTH    64u
#define GROUP_END_NS  (200 * MS) /* those that were killed are gone by then, or somebody does not collect them */

struct worker {
    struct divvy_node_life life;
    struct divvy_backend_launch launch;
    struct divvy_backend_process view;
    int pid_fd;         /* -1: none to be had */
    bool is_child;      /* its status is ours to collect */
    uint64_t digest;    /* of the command that it runs by */
    size_t place;       /* in the list */
};

struct divvy_backend_processes {
    struct divvy_backend_process_options options;
    char log_folder[PATH_MAX];
    char boot[DIVVY_BACKEND_BOOT_BYTES];
    int run_fd, lock_fd, poll_fd, timer_fd;
    struct divvy_map by_id;
    struct worker **list;
    size_t count, room;
    int64_t rotate_ns;
};

static int64_t now_ns(void) {
    return (int64_t)divvy_core_clock_ns();
}

/* --- making ------------------------------------------------------------------------------------------------------------------ */

static int run_open(int state_fd) {
    if (mkdirat(state_fd, "run", 0700) < 0 && errno != EEXIST)
        return -errno;
    int fd = openat(state_fd, "run", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

/* One supervisor for each folder of state. Who was killed may have left a child that still holds the lock, but not for long. */
static int lock_take(struct divvy_backend_processes *processes, struct divvy_error *error) {
    cleanup_close int fd = -1;
    int64_t deadline_ns = now_ns() + TAKE_OVER_NS;
    char text[32];

    if (processes->lock_fd >= 0)
        return 0;
    fd = openat(processes->run_fd, "supervisor.lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return divvy_error_set_errno(error, -errno, "run/supervisor.lock cannot be used");
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        struct timespec wait = divvy_core_clock_timespec(5 * DIVVY_NS_PER_MS);

        if (now_ns() > deadline_ns)
            return divvy_error_set(error, -EBUSY, "another program runs the workers of this folder of state (run/supervisor.lock)");
        (void)nanosleep(&wait, NULL);
    }
    (void)snprintf(text, sizeof text, "%d\n", (int)getpid());
    if (ftruncate(fd, 0) == 0)
        (void)!pwrite(fd, text, strlen(text), 0); /* for people: the lock is what counts */
    processes->lock_fd = divvy_cleanup_keep(&fd);
    return 0;
}

static int poll_make(struct divvy_backend_processes *processes) {
    struct epoll_event event = {.events = EPOLLIN};

    processes->poll_fd = epoll_create1(EPOLL_CLOEXEC);
    processes->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (processes->poll_fd < 0 || processes->timer_fd < 0 ||
        epoll_ctl(processes->poll_fd, EPOLL_CTL_ADD, processes->timer_fd, &event) < 0)
        return -errno;
    return 0;
}

static int open_all(struct divvy_backend_processes *processes, struct divvy_error *error) {
    int status;

    if (snprintf(processes->log_folder, sizeof processes->log_folder, "%s", processes->options.log_folder) >=
        (int)sizeof processes->log_folder)
        return divvy_error_set(error, -ENAMETOOLONG, "the folder of logs has too long a name");
    if (mkdir(processes->log_folder, 0755) < 0 && errno != EEXIST)
        return divvy_error_set_errno(error, -errno, "the folder of logs %.150s cannot be made", processes->log_folder);
    processes->run_fd = run_open(processes->options.state_fd);
    if (processes->run_fd < 0)
        return divvy_error_set_errno(error, processes->run_fd, "the folder run below the folder of state cannot be used");
    status = poll_make(processes);
    return status < 0 ? divvy_error_set_errno(error, status, "workers cannot be watched") : 0;
}

int divvy_backend_processes_new(const struct divvy_backend_process_options *options,
                                struct divvy_backend_processes **ret_processes, struct divvy_error *error) {
    struct divvy_backend_processes *processes = calloc(1, sizeof *processes);
    int status;

    if (!processes)
        return divvy_error_set_errno(error, -ENOMEM, "workers cannot be watched");
    processes->options = *options;
    processes->options.life.grace_ns = options->grace_ns;
    processes->run_fd = processes->lock_fd = processes->poll_fd = processes->timer_fd = -1;
    divvy_backend_record_boot(processes->boot);
    processes->rotate_ns = now_ns() + ROTATE_NS;
    status = open_all(processes, error);
    if (status < 0) {
        divvy_backend_processes_free(processes);
        return status;
    }
    *ret_processes = processes;
    return 0;
}

static void worker_free(struct worker *worker) {
    divvy_cleanup_close(&worker->pid_fd);
    divvy_backend_launch_done(&worker->launch);
    free(worker);
}

void divvy_backend_processes_free(struct divvy_backend_processes *processes) {
    if (!processes)
        return;
    for (size_t i = 0; i < processes->count; i++)
        worker_free(processes->list[i]);
    free(processes->list);
    divvy_map_done(&processes->by_id);
    divvy_cleanup_close(&processes->poll_fd);
    divvy_cleanup_close(&processes->timer_fd);
    divvy_cleanup_close(&processes->run_fd);
    divvy_cleanup_close(&processes->lock_fd);
    free(processes);
}

/* --- telling ----------------------------------------------------------------------------------------------------------------- */

static void tell(struct divvy_backend_processes *processes, struct worker *worker) {
    worker->view.phase = worker->life.phase;
    worker->view.retry_ns = worker->life.phase == DIVVY_NODE_LIFE_WAITING ? worker->life.retry_ns : 0;
    worker->view.restarts = worker->life.starts > 1 ? worker->life.starts - 1 : 0;
    if (processes->options.changed)
        processes->options.changed(processes->options.data, &worker->view);
}

static void reason_set(struct worker *worker, const char *reason) {
    (void)snprintf(worker->view.reason, sizeof worker->view.reason, "%s", reason);
}

static void exit_tell(struct worker *worker, int wait_status, bool known) {
    struct divvy_backend_process *view = &worker->view;

    view->exited = true;
    view->exit_known = known;
    view->exit_code = known && WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1;
    view->exit_signal = known && WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0;
    if (!known)
        reason_set(worker, "ended; with what status is not known, since an earlier supervisor started it");
    else if (view->exit_signal)
        (void)snprintf(view->reason, sizeof view->reason, "killed by signal %d (%s)", view->exit_signal,
                       strsignal(view->exit_signal));
    else
        (void)snprintf(view->reason, sizeof view->reason, "exited with status %d", view->exit_code);
}

/* --- running ----------------------------------------------------------------------------------------------------------------- */

static void watch(struct divvy_backend_processes *processes, struct worker *worker) {
    struct epoll_event event = {.events = EPOLLIN};

    worker->pid_fd = divvy_core_sys_pidfd_open(worker->view.pid);
    if (worker->pid_fd >= 0 && epoll_ctl(processes->poll_fd, EPOLL_CTL_ADD, worker->pid_fd, &event) < 0)
        divvy_cleanup_close(&worker->pid_fd);
}

static void run_begin(struct divvy_backend_processes *processes, struct worker *worker,
                      const struct divvy_backend_record *record, bool adopted) {
    worker->view.pid = record->pid;
    worker->view.start_ticks = record->start_ticks;
    worker->view.port = record->port;
    worker->view.adopted = adopted;
    worker->view.started_ns = now_ns();
    worker->is_child = !adopted;
    worker->digest = record->command;
    worker->view.reason[0] = '\0';
    watch(processes, worker);
    divvy_node_life_started(&worker->life, worker->view.started_ns);
}

/* Takes over a process that runs from before. Whether there was one. */
static bool adopt(struct divvy_backend_processes *processes, struct worker *worker) {
    struct divvy_backend_record record;
    char name[DIVVY_BACKEND_RECORD_NAME_BYTES];

    divvy_backend_record_name(worker->view.id, name);
    if (divvy_backend_record_read(processes->run_fd, name, &record) < 0 || strcmp(record.id, worker->view.id) != 0 ||
        !divvy_backend_record_is_alive(&record, processes->boot))
        return false;
    run_begin(processes, worker, &record, true);
    if (divvy_backend_record_is_alive(&record, processes->boot)) { /* still: what is watched is this process and no other */
        divvy_log_info("worker %s runs already, as process %d", worker->view.id, (int)record.pid);
        return true;
    }
    divvy_cleanup_close(&worker->pid_fd);
    worker->view.pid = 0;
    worker->life.phase = DIVVY_NODE_LIFE_WAITING;
    return false;
}

static void start_fail(struct divvy_backend_processes *processes, struct worker *worker, const char *reason) {
    divvy_node_life_failed(&worker->life, now_ns());
    reason_set(worker, reason);
    divvy_log_warn("worker %s was not started: %s; tried again in %lld s", worker->view.id, reason,
                   (long long)((worker->life.retry_ns - now_ns() + SECOND / 2) / SECOND));
    tell(processes, worker);
}

static void start(struct divvy_backend_processes *processes, struct worker *worker) {
    struct divvy_backend_record record = {.port = worker->launch.port, .command = worker->launch.digest};
    struct divvy_error error = {0, ""};
    int status = worker->launch.port ? divvy_backend_port_check(worker->launch.port) : 0;

    if (status < 0) {
        (void)divvy_error_set_errno(&error, status, "port %u", (unsigned int)worker->launch.port);
        start_fail(processes, worker, error.text);
        return;
    }
    memcpy(record.id, worker->view.id, sizeof record.id);
    memcpy(record.boot, processes->boot, sizeof record.boot);
    status = divvy_backend_spawn(&worker->launch, processes->run_fd, &record, &error);
    if (status < 0) {
        start_fail(processes, worker, error.text);
        return;
    }
    run_begin(processes, worker, &record, false);
    divvy_log_info("worker %s started as process %d", worker->view.id, (int)record.pid);
    tell(processes, worker);
}

/* A group whose first process is a zombie or alive cannot be another's. */
static void group_signal(const struct worker *worker, int number) {
    if (worker->view.pid > 1)
        (void)kill(-worker->view.pid, number);
}

/* Whether its first process has ended; of a child the status is left to be collected. */
static bool has_ended(const struct worker *worker) {
    siginfo_t info = {0};

    if (!worker->is_child)
        return !divvy_core_sys_is_alive(worker->view.pid, worker->view.start_ticks);
    return waitid(P_PID, (id_t)worker->view.pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == worker->view.pid;
}

/* What is left of the group would hold ports and devices that the next run needs. Before its first process is collected. */
static void group_kill(const struct worker *worker) {
    uint64_t ticks;

    if (worker->is_child || divvy_core_sys_start_time(worker->view.pid, &ticks) < 0)
        group_signal(worker, SIGKILL);
}

/* A number stays taken as long as there is somebody in its group. */
static void group_await(pid_t group) {
    int64_t deadline_ns = now_ns() + GROUP_END_NS;

    while (group > 1 && kill(-group, 0) == 0 && now_ns() < deadline_ns) {
        struct timespec wait = divvy_core_clock_timespec(DIVVY_NS_PER_MS);

        (void)nanosleep(&wait, NULL);
    }
}

static void run_end(struct divvy_backend_processes *processes, struct worker *worker) {
    bool asked = worker->life.phase != DIVVY_NODE_LIFE_RUNNING;
    int wait_status = 0;
    pid_t reaped = -1;

    group_kill(worker);
    if (worker->is_child)
        while ((reaped = waitpid(worker->view.pid, &wait_status, 0)) < 0 && errno == EINTR)
            ;
    group_await(worker->view.pid);
    exit_tell(worker, wait_status, reaped == worker->view.pid);
    divvy_cleanup_close(&worker->pid_fd);
    divvy_log_at(asked ? DIVVY_LOG_INFO : DIVVY_LOG_WARN, NULL, 0, "worker %s (process %d) %s", worker->view.id,
                 (int)worker->view.pid, worker->view.reason);
    worker->view.pid = 0;
    worker->view.start_ticks = 0;
    divvy_node_life_ended(&worker->life, now_ns());
    tell(processes, worker);
}

/* --- the list ---------------------------------------------------------------------------------------------------------------- */

static int worker_add(struct divvy_backend_processes *processes, const char *id, struct worker **ret_worker) {
    struct worker *worker = calloc(1, sizeof *worker);

    if (processes->count == processes->room) {
        size_t room = processes->room ? processes->room * 2 : 16;
        struct worker **grown = reallocarray(processes->list, room, sizeof *grown);

        if (!grown) {
            free(worker);
            return -ENOMEM;
        }
        processes->list = grown;
        processes->room = room;
    }
    if (!worker || divvy_map_put(&processes->by_id, id, worker) < 0) {
        free(worker);
        return -ENOMEM;
    }
    worker->pid_fd = -1;
    (void)snprintf(worker->view.id, sizeof worker->view.id, "%s", id);
    divvy_node_life_init(&worker->life, &processes->options.life);
    worker->place = processes->count;
    processes->list[processes->count++] = worker;
    *ret_worker = worker;
    return 0;
}

static void worker_forget(struct divvy_backend_processes *processes, struct worker *worker) {
    char name[DIVVY_BACKEND_RECORD_NAME_BYTES], file[DIVVY_BACKEND_RECORD_NAME_BYTES + 8];

    divvy_backend_record_name(worker->view.id, name);
    (void)snprintf(file, sizeof file, "%s.run", name);
    (void)unlinkat(processes->run_fd, file, 0);
    (void)divvy_map_remove(&processes->by_id, worker->view.id);
    processes->list[worker->place] = processes->list[--processes->count];
    processes->list[worker->place]->place = worker->place;
    worker_free(worker);
}

static int id_check(const char *id, struct divvy_error *error) {
    size_t length = strlen(id);

    if (length == 0 || length >= DIVVY_BACKEND_ID_BYTES)
        return divvy_error_set(error, -EINVAL, "a worker's id has 1 to %u bytes", DIVVY_BACKEND_ID_BYTES - 1);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)id[i] < 0x20 || id[i] == 0x7f)
            return divvy_error_set(error, -EINVAL, "a worker's id holds a control character");
    return 0;
}

static int launch_make(const struct divvy_backend_processes *processes, const char *id,
                       const struct divvy_backend_command *command, struct divvy_backend_launch *ret_launch,
                       struct divvy_error *error) {
    struct divvy_backend_command whole = *command;
    char name[DIVVY_BACKEND_RECORD_NAME_BYTES], log[PATH_MAX];
    int status;

    if (!command->binary || !command->binary[0])
        return divvy_error_set(error, -EINVAL, "worker %.100s: there is no program to run", id);
    divvy_backend_record_name(id, name);
    if (!whole.log) {
        if (snprintf(log, sizeof log, "%s/worker-%s.log", processes->log_folder, name) >= (int)sizeof log)
            return divvy_error_set(error, -ENAMETOOLONG, "worker %.100s: its log has too long a name", id);
        whole.log = log;
    }
    status = divvy_backend_launch_copy(&whole, ret_launch);
    return status < 0 ? divvy_error_set_errno(error, status, "worker %.100s", id) : 0;
}

/* --- what is due ------------------------------------------------------------------------------------------------------------- */

static void step(struct divvy_backend_processes *processes, struct worker *worker) {
    if (worker->view.pid && has_ended(worker))
        run_end(processes, worker);
    for (;;) {
        switch (divvy_node_life_due(&worker->life, now_ns())) {
        case DIVVY_NODE_LIFE_START:
            start(processes, worker);
            break;
        case DIVVY_NODE_LIFE_TERMINATE:
            group_signal(worker, SIGTERM);
            group_signal(worker, SIGCONT); /* one that is stopped could not hear it */
            divvy_node_life_terminated(&worker->life, now_ns());
            tell(processes, worker);
            break;
        case DIVVY_NODE_LIFE_KILL:
            divvy_log_warn("worker %s does not end by itself and is killed", worker->view.id);
            group_signal(worker, SIGKILL);
            divvy_node_life_killed(&worker->life, now_ns());
            tell(processes, worker);
            break;
        case DIVVY_NODE_LIFE_FORGET:
            worker_forget(processes, worker);
            return;
        default:
            return;
        }
    }
}

static void logs_rotate(struct divvy_backend_processes *processes) {
    if (now_ns() < processes->rotate_ns)
        return;
    processes->rotate_ns = now_ns() + ROTATE_NS;
    for (size_t i = 0; i < processes->count && processes->options.log_bytes; i++) {
        const struct worker *worker = processes->list[i];
        int status = worker->launch.log ? divvy_backend_log_rotate(worker->launch.log, processes->options.log_bytes,
                                                                   processes->options.log_files)
                                        : 0;

        if (status < 0 && status != -ENOENT)
            divvy_log_warn("the log %s cannot be rotated: %s", worker->launch.log, strerror(-status));
    }
}

static void timer_arm(struct divvy_backend_processes *processes, int64_t at_ns) {
    struct itimerspec timer = {0};

    if (at_ns < INT64_MAX)
        timer.it_value = divvy_core_clock_timespec(at_ns > 1 ? (uint64_t)at_ns : 1);
    (void)timerfd_settime(processes->timer_fd, TFD_TIMER_ABSTIME, &timer, NULL);
}

/* The descriptor is readable again when the next thing is due. */
static void timer_set(struct divvy_backend_processes *processes) {
    int64_t next_ns = processes->count && processes->options.log_bytes ? processes->rotate_ns : INT64_MAX;
    int64_t look_ns = now_ns() + LOOK_NS;

    for (size_t i = 0; i < processes->count; i++) {
        const struct worker *worker = processes->list[i];
        int64_t at_ns = divvy_node_life_next_ns(&worker->life);

        if (worker->view.pid && worker->pid_fd < 0 && look_ns < at_ns)
            at_ns = look_ns;
        if (at_ns < next_ns)
            next_ns = at_ns;
    }
    timer_arm(processes, next_ns);
}

void divvy_backend_processes_turn(struct divvy_backend_processes *processes) {
    for (size_t i = processes->count; i-- > 0;) /* backwards: who is forgotten gives its place to one that had its turn */
        step(processes, processes->list[i]);
    logs_rotate(processes);
    timer_set(processes);
}

int divvy_backend_processes_fd(const struct divvy_backend_processes *processes) {
    return processes->poll_fd;
}

/* --- wishes ------------------------------------------------------------------------------------------------------------------ */

int divvy_backend_process_want(struct divvy_backend_processes *processes, const char *id,
                               const struct divvy_backend_command *command, struct divvy_error *error) {
    struct worker *worker = divvy_map_get(&processes->by_id, id);
    struct divvy_backend_launch launch;
    int status = id_check(id, error);

    if (status == 0)
        status = lock_take(processes, error);
    if (status == 0)
        status = launch_make(processes, id, command, &launch, error);
    if (status < 0)
        return status;
    if (!worker && worker_add(processes, id, &worker) < 0) {
        divvy_backend_launch_done(&launch);
        return divvy_error_set_errno(error, -ENOMEM, "worker %.100s", id);
    }
    divvy_backend_launch_done(&worker->launch);
    worker->launch = launch;
    divvy_node_life_want(&worker->life, true, now_ns());
    if (worker->life.phase == DIVVY_NODE_LIFE_WAITING && worker->life.starts == 0 && adopt(processes, worker))
        tell(processes, worker);
    if (worker->life.phase == DIVVY_NODE_LIFE_RUNNING && worker->digest != launch.digest)
        divvy_node_life_restart(&worker->life, now_ns());
    timer_arm(processes, 0); /* the next turn sees to it */
    return 0;
}

int divvy_backend_process_unwant(struct divvy_backend_processes *processes, const char *id) {
    struct worker *worker = divvy_map_get(&processes->by_id, id);

    if (!worker) { /* one from before, that nobody has wanted since */
        struct divvy_backend_process recorded;
        int status = divvy_backend_process_recorded(processes, id, &recorded);

        if (status == 0)
            status = lock_take(processes, NULL);
        if (status < 0)
            return status;
        if (worker_add(processes, id, &worker) < 0)
            return -ENOENT;
        worker->life.phase = DIVVY_NODE_LIFE_WAITING;
        if (!adopt(processes, worker)) {
            worker_forget(processes, worker);
            return -ENOENT;
        }
    }
    divvy_node_life_want(&worker->life, false, now_ns());
    timer_arm(processes, 0); /* the next turn sees to it */
    return 0;
}

int divvy_backend_process_restart(struct divvy_backend_processes *processes, const char *id) {
    struct worker *worker = divvy_map_get(&processes->by_id, id);

    if (!worker)
        return -ENOENT;
    divvy_node_life_restart(&worker->life, now_ns());
    timer_arm(processes, 0); /* the next turn sees to it */
    return 0;
}

/* --- looking ----------------------------------------------------------------------------------------------------------------- */

int divvy_backend_process_get(const struct divvy_backend_processes *processes, const char *id,
                              struct divvy_backend_process *ret_process) {
    const struct worker *worker = divvy_map_get(&processes->by_id, id);

    if (!worker)
        return -ENOENT;
    *ret_process = worker->view;
    return 0;
}

int divvy_backend_process_recorded(const struct divvy_backend_processes *processes, const char *id,
                                   struct divvy_backend_process *ret_process) {
    char name[DIVVY_BACKEND_RECORD_NAME_BYTES];
    struct divvy_backend_record record;

    if (id_check(id, NULL) < 0)
        return -ENOENT;
    divvy_backend_record_name(id, name);
    if (divvy_backend_record_read(processes->run_fd, name, &record) < 0 || strcmp(record.id, id) != 0 ||
        !divvy_backend_record_is_alive(&record, processes->boot))
        return -ENOENT;
    *ret_process = (struct divvy_backend_process){.phase = DIVVY_NODE_LIFE_RUNNING, .pid = record.pid,
                                                  .start_ticks = record.start_ticks, .port = record.port, .adopted = true};
    (void)snprintf(ret_process->id, sizeof ret_process->id, "%s", id);
    return 0;
}

size_t divvy_backend_processes_count(const struct divvy_backend_processes *processes) {
    return processes->count;
}

int divvy_backend_processes_at(const struct divvy_backend_processes *processes, size_t index,
                               struct divvy_backend_process *ret_process) {
    if (index >= processes->count)
        return -ENOENT;
    *ret_process = processes->list[index]->view;
    return 0;
}

static const struct worker *leader_find(const struct divvy_backend_processes *processes, pid_t pid) {
    for (size_t i = 0; pid > 1 && i < processes->count; i++)
        if (processes->list[i]->view.pid == pid)
            return processes->list[i];
    return NULL;
}

int divvy_backend_process_of_pid(const struct divvy_backend_processes *processes, pid_t pid,
                                 struct divvy_backend_process *ret_process) {
    const struct worker *found = leader_find(processes, pid);

    for (size_t depth = 0; !found && pid > 1 && depth < TREE_DEPTH; depth++) {
        pid_t parent, group, session;

        if (divvy_backend_tree_look(pid, &parent, &group, &session) < 0)
            return -ENOENT;
        found = leader_find(processes, parent);
        if (!found)
            found = leader_find(processes, session); /* its parents are gone */
        pid = parent;
    }
    if (!found)
        return -ENOENT;
    *ret_process = found->view;
    return 0;
}

int divvy_backend_processes_left(const struct divvy_backend_processes *processes, void (*found)(void *data, const char *id),
                                 void *data) {
    int fd = openat(processes->run_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_closedir DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!folder) {
        int status = -errno;

        divvy_cleanup_close(&fd);
        return status;
    }
    while ((entry = readdir(folder))) {
        size_t length = strlen(entry->d_name);
        struct divvy_backend_record record;
        char name[DIVVY_BACKEND_RECORD_NAME_BYTES];

        if (length < 5 || length - 4 >= sizeof name || strcmp(entry->d_name + length - 4, ".run") != 0)
            continue;
        (void)snprintf(name, sizeof name, "%.*s", (int)(length - 4), entry->d_name);
        if (divvy_backend_record_read(processes->run_fd, name, &record) < 0)
            continue;
        if (divvy_backend_record_is_alive(&record, processes->boot) && !divvy_map_get(&processes->by_id, record.id))
            found(data, record.id);
    }
    return 0;
}
