/* Starting the program: see job.h. */
#include "mig/runner/job.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "core/sys.h"
#include "mig/runner/meminfo.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOCK_FD_LEAST 100 /* away from the numbers that scripts use */

/* What the child may lack and still be started. */
static void child_limit(const struct divvy_runner_job *job) {
    struct rlimit data = {.rlim_cur = job->data_bytes, .rlim_max = job->data_bytes};
    int status;

    if (job->cgroup && (status = divvy_runner_cgroup_enter(job->cgroup)) < 0)
        divvy_log_error("host memory is not limited: %s: %s", job->cgroup->path, strerror(-status));
    if (job->data_bytes && setrlimit(RLIMIT_DATA, &data) < 0)
        divvy_log_error("host memory is not limited: setrlimit: %s", strerror(errno));
    if (job->meminfo && (status = divvy_runner_meminfo_enter(job->meminfo)) < 0)
        divvy_log_warn("/proc/meminfo shows the whole machine: no mount namespace can be had here: %s", strerror(-status));
}

static int child_prepare(const struct divvy_runner_job *job, pid_t runner) {
    child_limit(job);
    /* Killed with the runner, and not later than the lock would otherwise be lost. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return -errno;
    if (getppid() != runner)
        return -ESRCH;
    if (job->lock_fd >= 0 && fcntl(job->lock_fd, F_DUPFD, LOCK_FD_LEAST) < 0)
        return -errno;
    (void)setrlimit(RLIMIT_NOFILE, &job->files);
    (void)sigaction(SIGCHLD, &job->child_action, NULL);
    (void)sigaction(SIGPIPE, &job->pipe_action, NULL);
    (void)sigprocmask(SIG_SETMASK, &job->mask, NULL);
    return 0;
}

static void __attribute__((noreturn)) child_run(const struct divvy_runner_job *job, pid_t runner, int report_fd) {
    int status = child_prepare(job, runner);

    if (status == 0) {
        (void)execv(job->program, job->arguments);
        status = -errno;
    }
    (void)divvy_core_sys_write(report_fd, &status, sizeof status);
    _exit(127);
}

int divvy_runner_job_start(const struct divvy_runner_job *job, pid_t *ret_pid) {
    cleanup_close int report_read = -1, report_write = -1;
    pid_t runner = getpid(), child;
    int report[2], status = 0;

    if (pipe2(report, O_CLOEXEC) < 0)
        return -errno;
    report_read = report[0];
    report_write = report[1];
    child = fork();
    if (child < 0)
        return -errno;
    if (child == 0)
        child_run(job, runner, report_write);
    divvy_cleanup_close(&report_write);
    if (divvy_core_sys_read(report_read, &status, sizeof status) == (ssize_t)sizeof status) {
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
            ;
        return status < 0 ? status : -EIO;
    }
    *ret_pid = child;
    return 0;
}
