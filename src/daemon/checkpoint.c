/* Starting the process that makes the driver's checkpoint calls, and what it does: see checkpoint.h. */
#include "daemon/checkpoint.h"

#include "accel/checkpoint/steps.h"
#include "base/cleanup.h"
#include "core/clock.h"
#include "core/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* --- the process -------------------------------------------------------------------------------------------- */

/* Exit statuses: how the two sides agree on the kind of failure. */
static const int failures[] = {0, -EIO, -EOPNOTSUPP, -ENOMEM, -EBUSY};
enum { FAILURES = sizeof failures / sizeof failures[0] };

static const char *const verbs[DIVVY_CHECKPOINT_VERB_MAX] = {"save", "restore", "probe"};

static void tell(const char *line) {
    (void)puts(line);
}

static int pid_read(const char *text, int *ret_pid) {
    uint64_t value;

    if (divvy_core_u64_parse(text, strlen(text), &value, NULL) < 0 || value == 0 || value > INT32_MAX)
        return -EIO;
    *ret_pid = (int)value;
    return 0;
}

int divvy_checkpoint_main(int argc, char **argv) {
    struct divvy_checkpoint_process *all;
    size_t count;
    int status, verb = 0;

    while (argc >= 4 && verb < DIVVY_CHECKPOINT_VERB_MAX && strcmp(argv[2], verbs[verb]) != 0)
        verb++;
    if (argc < 4 || verb == DIVVY_CHECKPOINT_VERB_MAX)
        return 1;
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    count = (size_t)argc - 4;
    all = calloc(count + 1, sizeof *all);
    if (!all)
        return 1;
    status = divvy_checkpoint_load(argv[3], tell);
    for (size_t i = 0; i < count && status == 0; i++) {
        status = pid_read(argv[4 + i], &all[i].pid);
        if (status == 0)
            divvy_checkpoint_look(&all[i]);
    }
    if (status == 0 && verb == DIVVY_CHECKPOINT_SAVE)
        status = divvy_checkpoint_save(all, count, tell);
    else if (status == 0 && verb == DIVVY_CHECKPOINT_RESTORE)
        status = divvy_checkpoint_restore(all, count, tell);
    free(all);
    for (int i = 0; i < FAILURES; i++)
        if (failures[i] == status)
            return i;
    return 1;
}

/* --- starting it -------------------------------------------------------------------------------------------- */

/* The daemon's environment, but all devices are visible. Borrowed strings. */
static char **environment_make(void) {
    size_t count = 0, kept = 0;
    char **copy;

    while (environ[count])
        count++;
    copy = calloc(count + 1, sizeof *copy);
    for (size_t i = 0; copy && i < count; i++)
        if (strncmp(environ[i], "CUDA_VISIBLE_DEVICES=", 21) != 0)
            copy[kept++] = environ[i];
    return copy;
}

#define LOCK_FD 3 /* where the process has the descriptor that it keeps open */

static int process_start(char **argv, int output_fd, int lock_fd, pid_t *ret_pid) {
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    char **environment = environment_make();
    sigset_t none;
    int status;

    if (!environment)
        return -ENOMEM;
    (void)sigemptyset(&none);
    (void)posix_spawnattr_init(&attributes);
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    (void)posix_spawnattr_setpgroup(&attributes, 0); /* what ends the daemon at a terminal does not cut a step in two */
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    (void)posix_spawn_file_actions_init(&files);
    (void)posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    (void)posix_spawn_file_actions_adddup2(&files, output_fd, 1);
    (void)posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
    if (lock_fd >= 0)
        (void)posix_spawn_file_actions_adddup2(&files, lock_fd, LOCK_FD);
    status = posix_spawn(ret_pid, "/proc/self/exe", &files, &attributes, argv, environment);
    (void)posix_spawn_file_actions_destroy(&files);
    (void)posix_spawnattr_destroy(&attributes);
    free(environment);
    return -status;
}

/* What it says, until it has ended or the time is over (-ETIMEDOUT). */
static int output_read(int fd, int64_t timeout_ns, char *text, size_t size) {
    int64_t deadline_ns = (int64_t)divvy_core_clock_ns() + timeout_ns;
    size_t length = 0;

    for (;;) {
        int64_t left_ns = deadline_ns - (int64_t)divvy_core_clock_ns();
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        char more[256];
        ssize_t got;

        if (left_ns <= 0)
            return -ETIMEDOUT;
        if (poll(&ready, 1, (int)(left_ns / (int64_t)DIVVY_NS_PER_MS) + 1) < 1)
            continue;
        got = read(fd, more, sizeof more);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        for (ssize_t i = 0; i < got && length + 1 < size; i++)
            text[length++] = more[i];
        text[length] = '\0';
    }
    return 0;
}

/* Its first line is why; what follows is about undoing. */
static int outcome(int wait_status, char *text, struct divvy_error *error) {
    int code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1;

    text[strcspn(text, "\n")] = '\0';
    if (code == 0)
        return 0;
    if (code < 0)
        return divvy_error_set(error, -EINTR, "the process that calls the driver was killed by signal %d",
                               WTERMSIG(wait_status));
    return divvy_error_set(error, code < FAILURES ? failures[code] : -EIO, "%s",
                           text[0] ? text : "the driver cannot be called");
}

static int run_once(enum divvy_checkpoint_verb verb, const char *library, const int32_t *pids, size_t count, int lock_fd,
                    int64_t timeout_ns, struct divvy_error *error) {
    char text[512] = "", (*numbers)[12] = calloc(count + 1, sizeof *numbers);
    char **argv = calloc(count + 5, sizeof *argv);
    int ends[2] = {-1, -1}, status = -ENOMEM, wait_status = 0;
    pid_t pid;

    if (numbers && argv) {
        argv[0] = (char *)(uintptr_t)"divvyd";
        argv[1] = (char *)(uintptr_t)DIVVY_CHECKPOINT_ARGUMENT;
        argv[2] = (char *)(uintptr_t)verbs[verb];
        argv[3] = (char *)(uintptr_t)library;
        for (size_t i = 0; i < count; i++) {
            (void)snprintf(numbers[i], sizeof numbers[i], "%d", pids[i]);
            argv[4 + i] = numbers[i];
        }
        status = pipe2(ends, O_CLOEXEC) < 0 ? -errno : process_start(argv, ends[1], lock_fd, &pid);
    }
    free(argv);
    divvy_cleanup_close(&ends[1]);
    if (status < 0) {
        (void)divvy_error_set_errno(error, status, "the process that calls the driver cannot be started");
    } else {
        status = output_read(ends[0], timeout_ns, text, sizeof text);
        if (status < 0) {
            (void)kill(pid, SIGKILL);
            (void)divvy_error_set(error, status, "the driver did not answer within %lld s",
                                  (long long)(timeout_ns / (int64_t)DIVVY_NS_PER_SECOND));
        }
        while (waitpid(pid, &wait_status, 0) < 0 && errno == EINTR)
            ;
        if (status == 0)
            status = outcome(wait_status, text, error);
    }
    divvy_cleanup_close(&ends[0]);
    free(numbers);
    return status;
}

int divvy_checkpoint_run(const char *library, enum divvy_checkpoint_verb verb, const int32_t *pids, size_t count,
                         int lock_fd, int64_t timeout_ns, struct divvy_error *error) {
    struct divvy_error ignored = {0, ""};
    int status;

    if (count == 0 && verb != DIVVY_CHECKPOINT_PROBE)
        return 0;
    status = run_once(verb, library, pids, count, lock_fd, timeout_ns, error);
    /* cut off in the middle: it could not undo what it had done */
    if (verb == DIVVY_CHECKPOINT_SAVE && (status == -ETIMEDOUT || status == -EINTR))
        (void)run_once(DIVVY_CHECKPOINT_RESTORE, library, pids, count, lock_fd, timeout_ns, &ignored);
    return status == -EINTR ? -EIO : status;
}
