/* Running a tenant's program: see supervise.h. */
#include "cli/supervise.h"

#include "base/cleanup.h"
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* What both processes need; each has its own copy. */
struct supervisor {
    sigset_t passed;   /* signals that are read from signal_fd: those passed on, and SIGCHLD */
    sigset_t original; /* the mask that the program gets */
    struct sigaction original_child; /* and its disposition of SIGCHLD */
    int signal_fd;
    int report[2]; /* from keeper to front: the program's wait status */
    pid_t child;   /* the front's: keeper; the keeper's: program */
    pid_t front;
    struct divvy_alone *tenant;
    const struct divvy_cli_member *member; /* NULL: no daemon */
};

static void signals_choose(sigset_t *set) {
    static const int passed[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGUSR1,  SIGUSR2, SIGALRM,
                                 SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU, SIGWINCH, SIGCHLD};

    (void)sigemptyset(set);
    for (size_t i = 0; i < sizeof passed / sizeof passed[0]; i++)
        (void)sigaddset(set, passed[i]);
    for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
        (void)sigaddset(set, number);
}

static int exit_status(int wait_status) {
    return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

/* ---- the tenant ---- */

static void tenant_end(const struct supervisor *s) {
    if (s->member)
        divvy_cli_member_leave(s->member);
    else
        divvy_alone_remove(s->tenant);
}

/* Enters the tenant with the daemon, if there is one. 0 or the exit status, said why. */
static int tenant_begin(const struct supervisor *s) {
    static char folder[PATH_MAX];
    struct divvy_error error = {0};

    if (!s->member)
        return 0;
    if (divvy_cli_member_enter(s->member, folder, sizeof folder, &error) < 0) {
        int status = divvy_cli_fail("run", &error);

        return error.status == -EBUSY ? DIVVY_CLI_USAGE : status;
    }
    if (setenv("DIVVY_TENANT_DIR", folder, 1) == 0)
        return 0;
    divvy_cli_complain("run", "cannot set DIVVY_TENANT_DIR: %s", strerror(errno));
    tenant_end(s);
    return DIVVY_CLI_FAILED;
}

/* ---- the program ---- */

static void __attribute__((noreturn))
program_start(const struct supervisor *s, char **program, pid_t keeper) {
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != keeper)
        _exit(DIVVY_CLI_FAILED);
    (void)sigaction(SIGCHLD, &s->original_child, NULL);
    (void)sigprocmask(SIG_SETMASK, &s->original, NULL);
    (void)execvp(program[0], program);
    divvy_cli_complain("run", "cannot start '%s': %s", program[0], strerror(errno));
    _exit(errno == ENOENT ? DIVVY_CLI_NOT_FOUND : DIVVY_CLI_NOT_EXECUTABLE);
}

/* ---- the keeper ---- */

/* Reaps what has ended; true when the program is among it. *ret_last: nobody is left. */
static bool children_reap(struct supervisor *s, int *ret_wait_status, bool *ret_last) {
    bool program_ended = false;

    *ret_last = false;
    for (;;) {
        int wait_status;
        pid_t ended = waitpid(-1, &wait_status, WNOHANG);

        if (ended < 0 && errno == EINTR)
            continue;
        *ret_last = ended < 0;
        if (ended <= 0)
            return program_ended;
        if (ended == s->child) {
            *ret_wait_status = wait_status;
            program_ended = true;
            s->child = -1;
        }
    }
}

/* The terminal must not be held, nor any pipe that waits for its end. */
static void keeper_detach(void) {
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null_fd >= 0)
        for (int fd = 0; fd <= 2; fd++)
            (void)dup2(null_fd, fd);
    if (null_fd > 2)
        (void)close(null_fd);
    (void)chdir("/");
    (void)setsid();
}

static void keeper_signal_pass(struct supervisor *s, const struct signalfd_siginfo *info) {
    /*
     * Only the front speaks for the user; what reached the whole group has reached the program too.
     */
    if (info->ssi_signo != SIGCHLD && info->ssi_pid == (uint32_t)s->front && s->child > 0)
        (void)kill(s->child, (int)info->ssi_signo);
}

static void __attribute__((noreturn)) keeper_run(struct supervisor *s, char **program) {
    pid_t self = getpid();
    int wait_status = 0, status;
    bool last = false;

    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    divvy_cleanup_close(&s->report[0]);
    status = tenant_begin(s);
    if (status != 0)
        _exit(status);
    s->child = fork();
    if (s->child == 0)
        program_start(s, program, self);
    if (s->child < 0) {
        divvy_cli_complain("run", "cannot start a process: %s", strerror(errno));
        tenant_end(s);
        _exit(DIVVY_CLI_FAILED);
    }
    (void)signal(SIGPIPE, SIG_IGN);
    while (s->child > 0) {
        struct pollfd wait[] = {{.fd = s->signal_fd, .events = POLLIN}, {.fd = s->report[1]}};
        struct signalfd_siginfo info;

        if (poll(wait, 2, -1) < 0)
            continue;
        /* Nobody reads the report any more: the front was killed, and the program goes with it. */
        if (wait[1].revents & POLLERR) {
            (void)kill(s->child, SIGKILL);
            divvy_cleanup_close(&s->report[1]);
        }
        if (wait[0].revents & POLLIN &&
            read(s->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
            keeper_signal_pass(s, &info);
        (void)children_reap(s, &wait_status, &last);
    }
    if (last)
        tenant_end(s);
    if (s->report[1] >= 0)
        (void)!write(s->report[1], &wait_status, sizeof wait_status);
    divvy_cleanup_close(&s->report[1]);
    if (!last) {
        keeper_detach();
        while (waitpid(-1, NULL, 0) >= 0 || errno == EINTR)
            ;
        tenant_end(s);
    }
    _exit(DIVVY_CLI_OK);
}

/* ---- the front ---- */

static void front_signal_pass(struct supervisor *s, const struct signalfd_siginfo *info) {
    int number = (int)info->ssi_signo;
    bool from_terminal = info->ssi_code == SI_KERNEL;

    if (number == SIGCHLD)
        return;
    if (!from_terminal && s->child > 0)
        (void)kill(s->child, number);
    /*
     * Stopped like the program, so that the shell takes the terminal back; its SIGCONT wakes both.
     */
    if (number == SIGTSTP || number == SIGTTIN || number == SIGTTOU)
        (void)raise(SIGSTOP);
}

static int front_run(struct supervisor *s) {
    int wait_status, kept = 0;

    divvy_cleanup_close(&s->report[1]);
    for (;;) {
        struct pollfd wait[] = {{.fd = s->signal_fd, .events = POLLIN},
                                {.fd = s->report[0], .events = POLLIN}};
        struct signalfd_siginfo info;
        ssize_t got;

        if (poll(wait, 2, -1) < 0)
            continue;
        if (wait[0].revents & POLLIN &&
            read(s->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
            front_signal_pass(s, &info);
        if (!(wait[1].revents & (POLLIN | POLLHUP)))
            continue;
        got = read(s->report[0], &wait_status, sizeof wait_status);
        if (got == (ssize_t)sizeof wait_status)
            return exit_status(wait_status);
        if (got < 0 && errno == EINTR)
            continue;
        break;
    }
    /*
     * The keeper ended without a report: it was killed, or could not start anything and has said
     * so.
     */
    if (waitpid(s->child, &kept, 0) == s->child && WIFEXITED(kept))
        return WEXITSTATUS(kept) ? WEXITSTATUS(kept) : DIVVY_CLI_FAILED;
    divvy_cli_complain("run", "the process that kept the tenant was killed; the program was ended");
    tenant_end(s);
    return DIVVY_CLI_FAILED;
}

int divvy_cli_supervise(char **program, struct divvy_alone *tenant,
                        const struct divvy_cli_member *member) {
    struct supervisor s = {
        .signal_fd = -1, .report = {-1, -1}, .front = getpid(), .tenant = tenant, .member = member};

    /* Where SIGCHLD is ignored, nobody learns how a child ended. */
    (void)sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_DFL}, &s.original_child);
    signals_choose(&s.passed);
    (void)sigprocmask(SIG_BLOCK, &s.passed, &s.original);
    s.signal_fd = signalfd(-1, &s.passed, SFD_CLOEXEC);
    if (s.signal_fd < 0 || pipe2(s.report, O_CLOEXEC) < 0 || (s.child = fork()) < 0) {
        divvy_cli_complain("run", "cannot start a process: %s", strerror(errno));
        if (!member)
            divvy_alone_remove(tenant);
        return DIVVY_CLI_FAILED;
    }
    if (s.child == 0)
        keeper_run(&s, program);
    return front_run(&s);
}
