/* Starting a worker's process: see spawn.h. */
#include "backend/spawn.h"

#include "backend/log_file.h"
#include "base/cleanup.h"
#include "core/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#define CLOEXEC_RANGE 4u /* CLOSE_RANGE_CLOEXEC */

/* What a worker does not inherit: they are about this process, or are its secrets. */
static const char *const own_names[] = {"NOTIFY_SOCKET", "LISTEN_FDS",   "LISTEN_PID",   "LISTEN_FDNAMES",
                                        "WATCHDOG_USEC", "WATCHDOG_PID", "GPU_GO_TOKEN", "GPU_GO_USER_TOKEN"};

/* All that the child needs, made before the fork: it may not allocate. */
struct prepared {
    char path[PATH_MAX];
    char **arguments, **environment;
    const char *folder;
    int log_fd, null_fd, record_fd, error_fd;
    struct divvy_backend_record *record;
};

static bool is_name(const char *entry, const char *name, size_t length) {
    return strncmp(entry, name, length) == 0 && (entry[length] == '=' || !entry[length]);
}

static bool is_inherited(const char *entry, char *const *over) {
    size_t length = strcspn(entry, "=");

    for (size_t i = 0; i < sizeof own_names / sizeof own_names[0]; i++)
        if (is_name(own_names[i], entry, length))
            return false;
    for (; *over; over++)
        if (is_name(*over, entry, length))
            return false;
    return true;
}

/* The pointers alone are ours; the texts are the environment's and the launch's. */
static char **environment_make(char *const *over) {
    size_t count = 0, used = 0;
    char **made;

    while (environ && environ[count])
        count++;
    for (size_t i = 0; over[i]; i++)
        count++;
    made = calloc(count + 1, sizeof *made);
    for (char **at = environ; made && at && *at; at++)
        if (is_inherited(*at, over))
            made[used++] = *at;
    for (; made && *over; over++)
        if (strchr(*over, '='))
            made[used++] = *over;
    return made;
}

static bool is_program(const char *path) {
    struct stat status;

    return stat(path, &status) == 0 && S_ISREG(status.st_mode) && access(path, X_OK) == 0;
}

static int binary_find(const char *binary, char ret_path[PATH_MAX], struct divvy_error *error) {
    const char *at = getenv("PATH");

    if (strchr(binary, '/')) {
        if (snprintf(ret_path, PATH_MAX, "%s", binary) < PATH_MAX && is_program(ret_path))
            return 0;
        return divvy_error_set(error, -ENOENT, "%.180s is no program that can be run", binary);
    }
    for (at = at ? at : "/usr/local/bin:/usr/bin:/bin"; *at; at += *at == ':') {
        int length = (int)strcspn(at, ":");

        if (length > 0 && snprintf(ret_path, PATH_MAX, "%.*s/%s", length, at, binary) < PATH_MAX && is_program(ret_path))
            return 0;
        at += length;
    }
    return divvy_error_set(error, -ENOENT, "there is no program %.180s in PATH", binary);
}

static int record_open(int run_fd, const char *id) {
    char name[DIVVY_BACKEND_RECORD_NAME_BYTES], file[DIVVY_BACKEND_RECORD_NAME_BYTES + 8];
    int fd;

    divvy_backend_record_name(id, name);
    (void)snprintf(file, sizeof file, "%s.run", name);
    fd = openat(run_fd, file, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    return fd < 0 ? -errno : fd;
}

/* --- in the child: no memory, no locks --------------------------------------------------------------------------------------- */

static void signals_reset(void) {
    struct sigaction usual = {.sa_handler = SIG_DFL};
    sigset_t none;

    for (int i = 1; i < NSIG; i++)
        (void)sigaction(i, &usual, NULL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static int child_prepare(struct prepared *prepared) {
    int status;

    if (setsid() < 0 || (prepared->folder && chdir(prepared->folder) < 0))
        return -errno;
    if (dup2(prepared->null_fd, 0) < 0 || dup2(prepared->log_fd, 1) < 0 || dup2(prepared->log_fd, 2) < 0)
        return -errno;
    (void)syscall(SYS_close_range, 3u, ~0u, CLOEXEC_RANGE); /* what some library opened without that flag; needs Linux 5.11 */
    status = divvy_backend_record_write(prepared->record_fd, prepared->record);
    if (status == 0)
        signals_reset();
    return status;
}

static void __attribute__((noreturn)) child_run(struct prepared *prepared) {
    int status = child_prepare(prepared);

    if (status == 0) {
        (void)execve(prepared->path, prepared->arguments, prepared->environment);
        status = -errno;
        (void)divvy_core_sys_ftruncate(prepared->record_fd, 0);
    }
    (void)divvy_core_sys_write(prepared->error_fd, &status, sizeof status);
    _exit(127);
}

/* --- in the parent ----------------------------------------------------------------------------------------------------------- */

/* Waits until the child has become the worker, or says why it cannot. */
static int child_await(pid_t child, int error_fd, const struct divvy_backend_launch *launch, struct divvy_error *error) {
    int status = 0, wait_status;

    if (divvy_core_sys_read(error_fd, &status, sizeof status) != (ssize_t)sizeof status)
        return 0;
    while (waitpid(child, &wait_status, 0) < 0 && errno == EINTR)
        ;
    return divvy_error_set_errno(error, status, "%.150s cannot be started", launch->binary);
}

static int spawn(struct prepared *prepared, const struct divvy_backend_launch *launch, struct divvy_error *error) {
    cleanup_close int read_fd = -1, write_fd = -1;
    sigset_t all, before;
    pid_t child;
    int ends[2], status;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return divvy_error_set_errno(error, -errno, "cannot make a pipe");
    read_fd = ends[0];
    prepared->error_fd = write_fd = ends[1];
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* no handler of this program runs in the child */
    child = fork();
    if (child == 0)
        child_run(prepared);
    status = -errno;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (child < 0)
        return divvy_error_set_errno(error, status, "cannot start a process");
    divvy_cleanup_close(&write_fd);
    status = child_await(child, read_fd, launch, error);
    if (status < 0)
        return status;
    prepared->record->pid = child;
    if (divvy_core_sys_start_time(child, &prepared->record->start_ticks) < 0)
        prepared->record->start_ticks = 0; /* no /proc: nobody will be able to adopt it */
    return 0;
}

static char **arguments_make(const struct divvy_backend_launch *launch) {
    size_t count = 0;
    char **made;

    while (launch->arguments[count])
        count++;
    made = calloc(count + 2, sizeof *made);
    if (made) {
        made[0] = launch->binary;
        memcpy(made + 1, launch->arguments, count * sizeof *made);
    }
    return made;
}

int divvy_backend_spawn(const struct divvy_backend_launch *launch, int run_fd, struct divvy_backend_record *record,
                        struct divvy_error *error) {
    struct prepared prepared = {.folder = launch->folder, .record = record};
    cleanup_close int log_fd = divvy_backend_log_open(launch->log, error), null_fd = -1, record_fd = -1;
    int status;

    if (log_fd < 0)
        return log_fd;
    status = binary_find(launch->binary, prepared.path, error);
    if (status < 0)
        return status;
    null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    record_fd = record_open(run_fd, record->id);
    if (null_fd < 0 || record_fd < 0)
        return divvy_error_set_errno(error, null_fd < 0 ? -errno : record_fd, "the record of a worker cannot be written");
    prepared.log_fd = log_fd;
    prepared.null_fd = null_fd;
    prepared.record_fd = record_fd;
    prepared.environment = environment_make(launch->environment);
    prepared.arguments = arguments_make(launch);
    if (prepared.environment && prepared.arguments)
        status = spawn(&prepared, launch, error);
    else
        status = divvy_error_set_errno(error, -ENOMEM, "cannot start a process");
    free(prepared.environment);
    free(prepared.arguments);
    return status;
}
