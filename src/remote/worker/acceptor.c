/* The acceptor and its processes: see acceptor.h. */
#include "remote/worker/acceptor.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "core/clock.h"
#include "remote/worker/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Processes that may wait for a client at one time: one is started ahead, others come back from JSON clients. */
#define SPARES_MAX 4u

/* How long processes have to end after SIGTERM, and how long the acceptor waits after one could not start. */
#define END_NS   (2 * DIVVY_NS_PER_SECOND)
#define PAUSE_NS DIVVY_NS_PER_SECOND

enum state { STARTING, WAITING, SERVING };

/* What a process tells, in one write. */
struct notice {
    pid_t pid;
    enum { NOTICE_READY, NOTICE_BUSY, NOTICE_FAILED } what;
    char text[DIVVY_ERROR_TEXT_BYTES];
};

struct process {
    pid_t pid;
    enum state state;
};

struct acceptor {
    struct divvy_worker_listen *listener;
    struct process *processes; /* clients_max + SPARES_MAX */
    unsigned int count, clients_max;
    _Atomic uint32_t *waiting; /* shared: how many wait for a client, as the acceptor knows it */
    int notice_fds[2], signal_fd;
    uint64_t pause_until_ns;
    bool has_served; /* a process was ready once */
    bool is_ending;
};

/* --- in the process -------------------------------------------------------------------------------------- */

static void notify(const struct acceptor *acceptor, int what, const char *text) {
    struct notice notice = {.pid = getpid(), .what = what};

    (void)snprintf(notice.text, sizeof notice.text, "%s", text);
    (void)!write(acceptor->notice_fds[1], &notice, sizeof notice);
}

static int client_wait(const struct divvy_worker_listen *listener) {
    for (;;) {
        struct pollfd fds[2] = {{.fd = listener->fds[0], .events = POLLIN}, {.fd = listener->fds[1], .events = POLLIN}};

        (void)poll(fds, 2, -1);
        for (int i = 0; i < 2; i++) {
            int one = 1, fd = fds[i].revents ? accept4(listener->fds[i], NULL, NULL, SOCK_CLOEXEC) : -1;

            if (fd < 0)
                continue;
            if (i == 0) {
                (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
            }
            return fd;
        }
    }
}

static void __attribute__((noreturn)) process_run(struct acceptor *acceptor) {
    static struct divvy_worker_driver driver;
    static struct divvy_worker_vector vector;
    struct divvy_error error = {0};

    if (divvy_worker_driver_load(&driver, &error) < 0) {
        notify(acceptor, NOTICE_FAILED, error.text);
        _exit(1);
    }
    vector.driver = &driver;
    do {
        int fd;

        notify(acceptor, NOTICE_READY, "");
        fd = client_wait(acceptor->listener);
        notify(acceptor, NOTICE_BUSY, "");
        if (divvy_worker_serve(fd, &driver, &vector) == DIVVY_WORKER_SERVED_FRAMES)
            break;
    } while (atomic_load(acceptor->waiting) < SPARES_MAX);
    /* The driver cleans up after a process that ends, however it does. */
    exit(0);
}

/* Nothing of the acceptor's but its sockets and the pipe; ends with it. */
static void process_enter(struct acceptor *acceptor, pid_t parent) {
    sigset_t none;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    (void)signal(SIGTERM, SIG_DFL);
    (void)signal(SIGINT, SIG_DFL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    divvy_cleanup_close(&acceptor->signal_fd);
    divvy_cleanup_close(&acceptor->notice_fds[0]);
}

/* --- in the acceptor ------------------------------------------------------------------------------------- */

static int process_start(struct acceptor *acceptor) {
    pid_t parent = getpid(), pid = fork();

    if (pid == 0) {
        process_enter(acceptor, parent);
        process_run(acceptor);
    }
    if (pid < 0)
        return -errno;
    acceptor->processes[acceptor->count++] = (struct process){.pid = pid, .state = STARTING};
    return 0;
}

static unsigned int count_of(const struct acceptor *acceptor, enum state state) {
    unsigned int count = 0;

    for (unsigned int i = 0; i < acceptor->count; i++)
        count += acceptor->processes[i].state == state;
    return count;
}

static void waiting_publish(const struct acceptor *acceptor) {
    atomic_store(acceptor->waiting, count_of(acceptor, WAITING) + count_of(acceptor, STARTING));
}

static struct process *process_find(struct acceptor *acceptor, pid_t pid) {
    for (unsigned int i = 0; i < acceptor->count; i++)
        if (acceptor->processes[i].pid == pid)
            return &acceptor->processes[i];
    return NULL;
}

static void reap(struct acceptor *acceptor) {
    int wait_status;
    pid_t pid;

    while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0) {
        struct process *process = process_find(acceptor, pid);

        if (!process)
            continue;
        if (WIFSIGNALED(wait_status) && !acceptor->is_ending)
            divvy_log_warn("process %d was ended by signal %d%s", (int)pid, WTERMSIG(wait_status),
                           process->state == SERVING ? ", its client is disconnected" : "");
        if (process->state == STARTING)
            acceptor->pause_until_ns = divvy_core_clock_ns() + PAUSE_NS;
        *process = acceptor->processes[--acceptor->count];
    }
}

/* 0, or the error when the very first process cannot have the driver. */
static int notices_take(struct acceptor *acceptor, void (*ready)(const struct divvy_worker_listen *),
                        struct divvy_error *error) {
    struct notice notice;

    while (read(acceptor->notice_fds[0], &notice, sizeof notice) == (ssize_t)sizeof notice) {
        struct process *process = process_find(acceptor, notice.pid);

        notice.text[sizeof notice.text - 1] = '\0';
        if (notice.what == NOTICE_FAILED && !acceptor->has_served)
            return divvy_error_set(error, -ENODEV, "%s", notice.text);
        if (notice.what == NOTICE_FAILED)
            divvy_log_error("a process for the next client does not start: %s", notice.text);
        if (process && notice.what != NOTICE_FAILED)
            process->state = notice.what == NOTICE_READY ? WAITING : SERVING;
        if (notice.what == NOTICE_READY && !acceptor->has_served) {
            acceptor->has_served = true;
            ready(acceptor->listener);
        }
    }
    return 0;
}

/* Whether a signal asks for the end. */
static bool signals_take(struct acceptor *acceptor) {
    struct signalfd_siginfo info;
    bool is_end = false;

    while (read(acceptor->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
        is_end = is_end || info.ssi_signo != SIGCHLD;
    reap(acceptor);
    return is_end;
}

static void spare_have(struct acceptor *acceptor) {
    if (count_of(acceptor, STARTING) + count_of(acceptor, WAITING) > 0 ||
        count_of(acceptor, SERVING) >= acceptor->clients_max || divvy_core_clock_ns() < acceptor->pause_until_ns)
        return;
    if (process_start(acceptor) < 0) {
        divvy_log_error("cannot start a process for the next client");
        acceptor->pause_until_ns = divvy_core_clock_ns() + PAUSE_NS;
    }
}

static void processes_end(struct acceptor *acceptor) {
    uint64_t end_ns = divvy_core_clock_ns() + END_NS;

    acceptor->is_ending = true;
    for (unsigned int i = 0; i < acceptor->count; i++)
        (void)kill(acceptor->processes[i].pid, SIGTERM);
    while (acceptor->count > 0 && divvy_core_clock_ns() < end_ns) {
        struct pollfd fd = {.fd = acceptor->signal_fd, .events = POLLIN};

        (void)poll(&fd, 1, 100);
        (void)signals_take(acceptor);
    }
    for (unsigned int i = 0; i < acceptor->count; i++)
        (void)kill(acceptor->processes[i].pid, SIGKILL);
    while (acceptor->count > 0 && waitpid(-1, NULL, 0) > 0)
        acceptor->count--;
}

static int serve(struct acceptor *acceptor, void (*ready)(const struct divvy_worker_listen *),
                 struct divvy_error *error) {
    for (;;) {
        struct pollfd fds[2] = {{.fd = acceptor->notice_fds[0], .events = POLLIN},
                                {.fd = acceptor->signal_fd, .events = POLLIN}};
        int status;

        waiting_publish(acceptor);
        spare_have(acceptor);
        (void)poll(fds, 2, acceptor->pause_until_ns ? 500 : -1);
        if (divvy_core_clock_ns() >= acceptor->pause_until_ns)
            acceptor->pause_until_ns = 0;
        status = notices_take(acceptor, ready, error);
        if (status < 0)
            return status;
        if (signals_take(acceptor))
            return 0;
        if (!acceptor->has_served && acceptor->count == 0)
            return divvy_error_set(error, -ENODEV, "the GPU driver ends the process that loads it");
    }
}

static int prepare(struct acceptor *acceptor, struct divvy_error *error) {
    sigset_t signals;

    acceptor->processes = calloc(acceptor->clients_max + SPARES_MAX, sizeof *acceptor->processes);
    acceptor->waiting =
        mmap(NULL, sizeof *acceptor->waiting, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!acceptor->processes || acceptor->waiting == MAP_FAILED)
        return divvy_error_set_errno(error, -ENOMEM, "cannot start");
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
    acceptor->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (acceptor->signal_fd < 0 || pipe2(acceptor->notice_fds, O_CLOEXEC) < 0 ||
        fcntl(acceptor->notice_fds[0], F_SETFL, O_NONBLOCK) < 0)
        return divvy_error_set_errno(error, -errno, "cannot start");
    return 0;
}

int divvy_worker_acceptor_run(struct divvy_worker_listen *listener, unsigned int clients_max,
                              void (*ready)(const struct divvy_worker_listen *listener), struct divvy_error *error) {
    struct acceptor acceptor = {
        .listener = listener, .clients_max = clients_max, .notice_fds = {-1, -1}, .signal_fd = -1};
    int status = prepare(&acceptor, error);

    if (status == 0) {
        status = serve(&acceptor, ready, error);
        processes_end(&acceptor);
    }
    divvy_cleanup_close(&acceptor.notice_fds[0]);
    divvy_cleanup_close(&acceptor.notice_fds[1]);
    divvy_cleanup_close(&acceptor.signal_fd);
    if (acceptor.waiting && acceptor.waiting != MAP_FAILED)
        (void)munmap(acceptor.waiting, sizeof *acceptor.waiting);
    free(acceptor.processes);
    return status;
}
