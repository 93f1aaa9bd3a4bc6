/*
 * Carrying out the plan: see run.h. One thread, one loop. In this order: signals, listeners, slice, tenant's folder, limits of
 * host memory, environment, program; and back in the opposite one. Whatever ends the runner, the kernel drops the slice's lock with the
 * last process that has it open: the program is killed with the runner, and holds the lock as long as it lives.
 */
#include "mig/runner/run.h"

#include "base/alone.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "core/clock.h"
#include "mig/runner/environment.h"
#include "mig/runner/job.h"
#include "mig/runner/meminfo.h"
#include "mig/runner/watch.h"
#include "node/life.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define RESTART_DELAY_NS ((int64_t)DIVVY_NS_PER_SECOND) /* doubles up to a minute, anew after a healthy minute */
#define STRAGGLERS_NS    (5 * DIVVY_NS_PER_SECOND)      /* from asking what the program left to killing it, and to giving up */
#define STRAGGLERS_LOOK  (20 * DIVVY_NS_PER_MS)

struct runner {
    const struct divvy_runner_plan *plan;
    struct divvy_loop loop;
    struct divvy_source signals;
    int ending_fd; /* readable when a signal to be passed on is pending: ends the wait for a slice */
    struct divvy_runner_watch watch;
    struct divvy_runner_slice slice;
    struct divvy_alone folder;
    struct divvy_runner_cgroup cgroup;
    struct divvy_runner_job job;
    struct divvy_node_life life;
    pid_t child;              /* 0: it does not run */
    bool is_stopping;         /* it shall not be started again */
    int hung_up;              /* SIGHUP was passed on to the run that is now */
    bool is_finished;
    int exit_status;
    uint64_t kill_ns;         /* when it is killed; 0 never */
    uint64_t heartbeat_ns;    /* when the next one is due; UINT64_MAX never */
};

/* ---- the program's life ---- */

static void finish(struct runner *r, int exit_status) {
    r->is_finished = true;
    r->exit_status = exit_status;
}

static void child_start(struct runner *r) {
    int status = divvy_runner_job_start(&r->job, &r->child);

    if (status < 0) {
        r->child = 0;
        divvy_log_error("cannot run '%s': %s", r->job.program, strerror(-status));
        finish(r, status == -ENOENT ? DIVVY_RUNNER_NOT_FOUND : DIVVY_RUNNER_NOT_EXECUTABLE);
        return;
    }
    r->watch.restarts = r->life.starts;
    divvy_node_life_started(&r->life, (int64_t)divvy_core_clock_ns());
    r->hung_up = 0;
    r->watch.is_running = true;
    divvy_log_debug("started '%s' as process %d", r->job.program, (int)r->child);
}

static bool is_restarted(const struct runner *r, int wait_status) {
    if (r->is_stopping || (r->hung_up && WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGHUP))
        return false;
    if (r->plan->restart == DIVVY_RUNNER_RESTART_NEVER ||
        (r->plan->restart == DIVVY_RUNNER_RESTART_ON_FAILURE && wait_status == 0))
        return false;
    return r->plan->options.restart_limit == 0 || r->watch.restarts < r->plan->options.restart_limit;
}

static void child_ended(struct runner *r, int wait_status) {
    int status = WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
    int64_t now_ns = (int64_t)divvy_core_clock_ns();
    char how[64];

    r->child = 0;
    r->kill_ns = 0;
    r->watch.is_running = false;
    divvy_runner_watch_settle(&r->watch);
    divvy_node_life_ended(&r->life, now_ns);
    if (WIFSIGNALED(wait_status))
        (void)snprintf(how, sizeof how, "was killed by signal %d (%s)", WTERMSIG(wait_status), strsignal(WTERMSIG(wait_status)));
    else
        (void)snprintf(how, sizeof how, "ended with status %d", status);
    if (!is_restarted(r, wait_status)) {
        divvy_log_debug("the program %s", how);
        finish(r, status);
        return;
    }
    divvy_log_warn("the program %s; it is started again in %lld ms", how,
                   (long long)((divvy_node_life_next_ns(&r->life) - now_ns) / (int64_t)DIVVY_NS_PER_MS));
    r->exit_status = status;
}

static void children_reap(struct runner *r) {
    for (;;) {
        int wait_status;
        pid_t ended = waitpid(-1, &wait_status, WNOHANG);

        if (ended < 0 && errno == EINTR)
            continue;
        if (ended <= 0)
            return;
        if (ended == r->child)
            child_ended(r, wait_status);
    }
}

/* ---- signals ---- */

static const int passed_signals[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};

static void signals_choose(sigset_t *set) {
    (void)sigemptyset(set);
    (void)sigaddset(set, SIGCHLD);
    for (size_t i = 0; i < sizeof passed_signals / sizeof passed_signals[0]; i++)
        (void)sigaddset(set, passed_signals[i]);
}

static void signal_take(struct runner *r, const struct signalfd_siginfo *info) {
    int number = (int)info->ssi_signo;

    if (number == SIGCHLD)
        return;
    /* What a terminal sends reaches the program by itself: both are of its foreground group. */
    if (r->child > 0 && info->ssi_code != SI_KERNEL)
        (void)kill(r->child, number);
    if (number == SIGHUP)
        r->hung_up = 1;
    if (number == SIGTERM || number == SIGINT || number == SIGQUIT || (number == SIGHUP && r->child == 0))
        r->is_stopping = true;
    if ((number == SIGTERM || number == SIGINT) && r->plan->options.kill_after_ns && !r->kill_ns)
        r->kill_ns = divvy_core_clock_ns() + (uint64_t)r->plan->options.kill_after_ns;
    if (r->is_stopping && r->child == 0)
        finish(r, 128 + number);
}

static void signals_read(struct runner *r) {
    struct signalfd_siginfo info;

    while (read(r->signals.fd, &info, sizeof info) == (ssize_t)sizeof info)
        signal_take(r, &info);
    children_reap(r);
}

static void signals_ready(struct divvy_source *source, uint32_t events) {
    (void)events;
    signals_read((struct runner *)((char *)source - offsetof(struct runner, signals)));
}

/* Also keeps what the program gets back. */
static int signals_begin(struct runner *r, struct divvy_error *error) {
    sigset_t set;

    (void)sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_DFL}, &r->job.child_action);
    (void)sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, &r->job.pipe_action);
    signals_choose(&set);
    (void)sigprocmask(SIG_BLOCK, &set, &r->job.mask);
    (void)sigdelset(&set, SIGCHLD);
    r->ending_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    (void)sigaddset(&set, SIGCHLD);
    r->signals = (struct divvy_source){.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), .ready = signals_ready};
    if (r->signals.fd < 0 || r->ending_fd < 0)
        return divvy_error_set_errno(error, -errno, "signalfd");
    /* What the program leaves behind becomes ours, to be ended before the slice is given back. */
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    return divvy_loop_add(&r->loop, &r->signals, EPOLLIN);
}

/* A proxy has two sockets and two pipes for each client. */
static void files_allow(struct runner *r) {
    struct rlimit more;

    if (getrlimit(RLIMIT_NOFILE, &r->job.files) < 0)
        return;
    more = (struct rlimit){.rlim_cur = r->job.files.rlim_max, .rlim_max = r->job.files.rlim_max};
    (void)setrlimit(RLIMIT_NOFILE, &more);
}

/* ---- the loop ---- */

static void heartbeat(struct runner *r, uint64_t now_ns) {
    struct divvy_mig_error reason;

    if (now_ns < r->heartbeat_ns)
        return;
    if (divvy_mig_heartbeat(r->slice.reservation, &reason) < 0)
        divvy_log_error("the reservation of slice %s: %s", r->slice.device.uuid, reason.text);
    r->heartbeat_ns = now_ns + (uint64_t)divvy_mig_heartbeat_interval_ns(r->slice.reservation);
}

static uint64_t due_serve(struct runner *r) {
    uint64_t now_ns = divvy_core_clock_ns(), next_ns;
    int64_t life_ns;

    heartbeat(r, now_ns);
    if (!r->is_finished && !r->is_stopping && divvy_node_life_due(&r->life, (int64_t)now_ns) == DIVVY_NODE_LIFE_START)
        child_start(r);
    if (r->kill_ns && now_ns >= r->kill_ns && r->child > 0) {
        divvy_log_warn("the program has not ended in time and is killed");
        (void)kill(r->child, SIGKILL);
        r->kill_ns = 0;
    }
    next_ns = divvy_runner_watch_tick(&r->watch, now_ns);
    life_ns = divvy_node_life_next_ns(&r->life);
    next_ns = (uint64_t)life_ns < next_ns ? (uint64_t)life_ns : next_ns;
    next_ns = r->kill_ns && r->kill_ns < next_ns ? r->kill_ns : next_ns;
    return r->heartbeat_ns < next_ns ? r->heartbeat_ns : next_ns;
}

static void loop_run(struct runner *r) {
    while (!r->is_finished) {
        uint64_t next_ns = due_serve(r);

        if (!r->is_finished)
            divvy_loop_turn(&r->loop, next_ns);
    }
}

/* ---- what the program left ---- */

/* Whether all are gone until the deadline. */
static bool stragglers_wait(struct runner *r, uint64_t deadline_ns) {
    struct timespec pause = divvy_core_clock_timespec(STRAGGLERS_LOOK);

    for (;;) {
        int living = divvy_runner_processes_find(&r->watch.processes, getpid());

        children_reap(r);
        if (living <= 0)
            return true;
        if (divvy_core_clock_ns() >= deadline_ns)
            return false;
        (void)nanosleep(&pause, NULL);
    }
}

/* A slice that some process still computes on must not be given to another. False: they cannot be ended. */
static bool stragglers_end(struct runner *r) {
    uint64_t now_ns = divvy_core_clock_ns();
    int living = divvy_runner_processes_find(&r->watch.processes, getpid());

    if (living <= 0)
        return true;
    divvy_log_warn("the program has left %d processes behind, which are ended now", living);
    divvy_runner_processes_signal(&r->watch.processes, SIGTERM);
    if (stragglers_wait(r, now_ns + STRAGGLERS_NS))
        return true;
    divvy_runner_processes_signal(&r->watch.processes, SIGKILL);
    return stragglers_wait(r, now_ns + 2 * STRAGGLERS_NS);
}

/* ---- from the plan to the loop ---- */

static const char *library_of(const struct divvy_runner_plan *plan, char ret_path[PATH_MAX]) {
    if (!plan->options.simulate)
        return NULL;
    (void)snprintf(ret_path, PATH_MAX, "%.*s/libnvidia-ml.so.1", PATH_MAX - 32, plan->install.simulated_dir);
    return ret_path;
}

static struct divvy_runner_wish wish_of(const struct runner *r, const char *library) {
    const struct divvy_runner_plan *plan = r->plan;

    return (struct divvy_runner_wish){
        .profile = plan->profile,
        .lock_dir = plan->options.lock_dir,
        .library = library,
        .visible = plan->visible,
        .gpu = plan->options.gpu ? plan->options.gpu : plan->visible_is_model ? plan->visible : NULL,
        .gpu_is_needed = plan->options.gpu,
        .slice_is_needed = plan->options.require_slice,
        .wait_ns = plan->options.wait_ns,
        .busy = plan->options.busy,
        .bigger = plan->options.bigger,
        .create = plan->options.create,
        .cancel_fd = r->ending_fd,
    };
}

static int slice_take(struct runner *r, const struct divvy_runner_wish *wish, struct divvy_error *error) {
    int status = divvy_runner_slice_take(wish, &r->slice, error);

    r->heartbeat_ns = UINT64_MAX;
    if (status == 0 && r->slice.reservation)
        r->heartbeat_ns = divvy_core_clock_ns() + (uint64_t)divvy_mig_heartbeat_interval_ns(r->slice.reservation);
    return status;
}

/* Limits of host memory and the view of it; what cannot be had is said and done without. */
static void memory_begin(struct runner *r) {
    static char meminfo[PATH_MAX];
    struct divvy_error error = {0};

    if (!r->plan->memory_bytes)
        return;
    if (divvy_runner_cgroup_make(r->plan->memory_bytes, &r->cgroup, &error) == 0) {
        r->job.cgroup = &r->cgroup;
    } else {
        divvy_log_warn("%s; HYPERCORE_CPU_MEM_MB limits each process by itself", error.text);
        r->job.data_bytes = r->plan->memory_bytes;
    }
    if (r->plan->settings.no_meminfo)
        return;
    (void)snprintf(meminfo, sizeof meminfo, "%.*s/meminfo", (int)sizeof meminfo - 10, r->folder.path);
    r->watch.meminfo_fd = divvy_runner_meminfo_make(meminfo, r->plan->memory_bytes, &error);
    if (r->watch.meminfo_fd >= 0)
        r->job.meminfo = meminfo;
    else
        divvy_log_warn("%s; /proc/meminfo shows the whole machine", error.text);
}

static void warnings_say(const struct divvy_runner_plan *plan) {
    if (plan->settings.bad_prefetch)
        divvy_log_warn("HYPERCORE_PREFETCH: '%.60s' is neither 0 nor 1; it is 0", plan->settings.bad_prefetch);
}

/* Everything up to the program: 0, or the exit status after a line that says why. */
static int prepare(struct runner *r, struct divvy_error *error) {
    const struct divvy_node_life_params params = {.delay_ns = RESTART_DELAY_NS};
    struct divvy_runner_wish wish;
    char library[PATH_MAX];
    int status;

    if ((status = divvy_loop_init(&r->loop)) < 0)
        return divvy_error_set_errno(error, status, "epoll");
    if (r->plan->options.simulate && !r->plan->install.simulated_dir[0])
        return divvy_error_set(error, -ENOENT, "--simulate: the simulated GPU is not installed beside this runner");
    files_allow(r);
    if (signals_begin(r, error) < 0)
        return error->status;
    wish = wish_of(r, library_of(r->plan, library));
    if (divvy_runner_slice_check(&wish, error) < 0 || divvy_runner_watch_listen(&r->watch, r->plan, &r->loop, error) < 0)
        return error->status;
    if ((status = slice_take(r, &wish, error)) < 0)
        return status;
    if (divvy_alone_open(r->plan->instance, &r->folder, error) < 0 ||
        divvy_runner_watch_begin(&r->watch, &r->slice, r->folder.path, error) < 0)
        return error->status == -EBUSY ? -EEXIST : error->status;
    memory_begin(r);
    if (divvy_runner_environment_set(r->plan, &r->slice, r->folder.path, r->watch.latency_path, &r->watch.has_limiter, error) < 0)
        return error->status;
    r->job.program = r->plan->program;
    r->job.arguments = r->plan->arguments;
    r->job.lock_fd = r->slice.reservation ? divvy_mig_reservation_fd(r->slice.reservation) : -1;
    divvy_node_life_init(&r->life, &params);
    divvy_node_life_want(&r->life, true, (int64_t)divvy_core_clock_ns());
    return 0;
}

static int failure_status(struct runner *r, int status, const struct divvy_error *error) {
    struct signalfd_siginfo info;

    if (status == -ECANCELED && read(r->ending_fd, &info, sizeof info) == (ssize_t)sizeof info)
        return 128 + (int)info.ssi_signo;
    divvy_log_error("%s", error->text);
    if (status == -EBUSY || status == -ETIMEDOUT)
        return DIVVY_RUNNER_BUSY;
    return status == -EINVAL || status == -ERANGE || status == -EEXIST ? DIVVY_RUNNER_USAGE : DIVVY_RUNNER_FAILED;
}

int divvy_runner_run(const struct divvy_runner_plan *plan) {
    static struct runner r;
    struct divvy_error error = {0};
    int status;

    r.plan = plan;
    r.folder = (struct divvy_alone){.fd = -1, .base_fd = -1};
    r.cgroup.procs_fd = r.ending_fd = r.signals.fd = -1;
    /* What a failure before it is begun finds. */
    r.watch = (struct divvy_runner_watch){.plan = plan, .loop = &r.loop, .meminfo_fd = -1, .datagrams = {.fd = -1}};
    warnings_say(plan);
    status = prepare(&r, &error);
    if (status == 0)
        loop_run(&r);
    else
        finish(&r, failure_status(&r, status, &error));
    if (!stragglers_end(&r)) {
        /* They have the lock: the slice is theirs until they end. */
        divvy_log_error("processes of the program cannot be ended; the slice stays theirs");
        return r.exit_status;
    }
    divvy_runner_watch_end(&r.watch);
    divvy_alone_remove(&r.folder);
    divvy_runner_cgroup_remove(&r.cgroup);
    divvy_runner_slice_give(&r.slice);
    divvy_cleanup_close(&r.ending_fd);
    divvy_loop_close(&r.loop, &r.signals);
    divvy_loop_done(&r.loop);
    return r.exit_status;
}
