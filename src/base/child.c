/* Short-lived children: see child.h. */
#include "base/child.h"

#include "base/cleanup.h"
#include "core/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void __attribute__((noreturn))
child_run(int (*body)(void *data, int fd), void *data, int errors_too, int fd, pid_t parent) {
    int null_fd = open("/dev/null", O_RDWR);

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || null_fd < 0)
        _exit(255);
    (void)dup2(null_fd, STDIN_FILENO);
    (void)dup2(null_fd, STDOUT_FILENO);
    (void)dup2(errors_too ? fd : null_fd, STDERR_FILENO);
    _exit(body(data, fd) & 255);
}

/* Reads until the end or the deadline; 1 at the deadline. What does not fit is read and dropped. */
static int pipe_drain(int fd, uint64_t deadline_ns, char *buffer, size_t size_bytes,
                      size_t *ret_length) {
    *ret_length = 0;
    for (;;) {
        uint64_t now = divvy_core_clock_ns();
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        char spill[512];
        size_t room = size_bytes - *ret_length;
        ssize_t got;

        if (now >= deadline_ns)
            return 1;
        if (poll(&wait, 1, (int)((deadline_ns - now) / DIVVY_NS_PER_MS) + 1) <= 0)
            continue;
        got = room ? read(fd, buffer + *ret_length, room) : read(fd, spill, sizeof spill);
        if (got < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (got <= 0)
            return 0;
        if (room)
            *ret_length += (size_t)got;
    }
}

/* Waits for the child's end until the deadline, then kills it. */
static void child_reap(pid_t child, uint64_t deadline_ns, struct divvy_child_result *result) {
    while (!result->timed_out) {
        pid_t reaped = waitpid(child, &result->wait_status, WNOHANG);

        if (reaped == child || (reaped < 0 && errno != EINTR))
            return;
        if (divvy_core_clock_ns() >= deadline_ns)
            result->timed_out = 1;
        else
            (void)usleep(500);
    }
    (void)kill(child, SIGKILL);
    while (waitpid(child, &result->wait_status, 0) < 0 && errno == EINTR)
        ;
}

int divvy_child_collect(int (*body)(void *data, int fd), void *data, int errors_too,
                        uint64_t timeout_ns, void *buffer, size_t size_bytes,
                        struct divvy_child_result *ret_result, struct divvy_error *error) {
    uint64_t deadline_ns = divvy_core_clock_ns() + timeout_ns;
    struct divvy_child_result result = {0};
    pid_t parent = getpid(), child;
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return divvy_error_set_errno(error, -errno, "cannot make a pipe");
    child = fork();
    if (child < 0) {
        int status = -errno;

        divvy_cleanup_close(&ends[0]);
        divvy_cleanup_close(&ends[1]);
        return divvy_error_set_errno(error, status, "cannot start a process");
    }
    if (child == 0) {
        (void)close(ends[0]);
        child_run(body, data, errors_too, ends[1], parent);
    }
    divvy_cleanup_close(&ends[1]);
    result.timed_out = pipe_drain(ends[0], deadline_ns, buffer, size_bytes, &result.length);
    divvy_cleanup_close(&ends[0]);
    child_reap(child, deadline_ns, &result);
    *ret_result = result;
    return 0;
}
