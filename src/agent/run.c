/* The running agent: opened, its loop, ended. See agent.h. */
#include "agent/agent.h"

#include "agent/pidfile.h"
#include "base/cleanup.h"
#include "base/install.h"
#include "base/log.h"
#include "core/clock.h"

#include <errno.h>
#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define REPORT_NS     (50 * DIVVY_NS_PER_MS)
#define METRICS_NS    (60 * DIVVY_NS_PER_SECOND)
#define LONGEST_MS    60000
#define UNWATCHED_MS  2000 /* how often files are looked at where the system has no watch to give */
#define STOP_NS       (15 * DIVVY_NS_PER_SECOND)
#define LOG_BYTES     (UINT64_C(16) << 20)
#define LOG_FILES     3
#define WORKER_BINARY "tensor-fusion-worker"

/* ---- events ---- */

static void process_changed(void *data, const struct divvy_backend_process *process) {
    struct divvy_agent *agent = data;

    divvy_log_debug("worker %s: %s, pid %d%s%s", process->id,
                    divvy_node_life_phase_name(process->phase), (int)process->pid,
                    process->reason[0] ? ", " : "", process->reason);
    if (!agent->must_report)
        agent->report_ns = divvy_core_clock_ns() + REPORT_NS;
    agent->must_report = true;
}

static int config_came(void *data, const json_t *config) {
    struct divvy_agent *agent = data;
    char path[PATH_MAX];
    struct divvy_agent_files files = {.state = agent->state_workers,
                                      .config = agent->config_workers,
                                      .config_folder = agent->paths.config};
    struct divvy_error error = {0};
    json_int_t version = json_integer_value(json_object_get(config, "config_version"));
    json_t *license = json_object_get(config, "license");
    int status;

    divvy_agent_path_join(agent->paths.state, DIVVY_BACKEND_WORKERS_FILE, path);
    files.state_is_missing = access(path, F_OK) < 0 && errno == ENOENT;
    status = divvy_agent_config_apply(&files, config, &error);
    if (status == 0 && (version != agent->registration.config_version ||
                        (license && !json_equal(license, agent->registration.license)))) {
        divvy_log_info("configuration %lld with %zu workers", (long long)version,
                       json_array_size(json_object_get(config, "workers")));
        agent->registration.config_version = version;
        if (license) {
            json_decref(agent->registration.license);
            agent->registration.license = json_incref(license);
        }
        status = divvy_agent_registration_write(&agent->paths, &agent->registration, &error);
    }
    if (status < 0)
        divvy_log_error("the configuration of the platform could not be kept: %s", error.text);
    agent->must_read = true;
    return status;
}

static void codes_came(void *data, const json_t *by_worker) {
    const struct divvy_agent *agent = data;
    struct divvy_error error;
    const char *worker;
    json_t *codes;

    json_object_foreach(
        (json_t *)by_worker, worker,
        codes) if (divvy_agent_share_codes_write(agent->paths.config, worker, codes, &error) < 0)
        divvy_log_error("share codes of %s: %s", worker, error.text);
}

static json_t *status_wanted(void *data) {
    return divvy_agent_report_body(data);
}

static json_t *metrics_wanted(void *data) {
    const struct divvy_agent *agent = data;

    return agent->metrics ? divvy_agent_metrics_take(agent->metrics) : NULL;
}

/* Called by the thread of the figures. */
static void metrics_ready(void *data) {
    const struct divvy_agent *agent = data;

    (void)curl_multi_wakeup(divvy_agent_link_multi(agent->link));
}

/* ---- opening ---- */

/* A name without '/' is looked for beside this program; if it is not there, in PATH at each start. */
static int binary_find(const char *given, char ret_path[PATH_MAX], struct divvy_error *error) {
    char here[PATH_MAX], path[PATH_MAX * 2];
    ssize_t length;

    if (given[0] != '/' && strchr(given, '/')) {
        if (!getcwd(here, sizeof here))
            return divvy_error_set_errno(error, -errno, "the current folder cannot be told");
        (void)snprintf(path, sizeof path, "%s/%s", here, given);
    } else if (given[0] == '/') {
        (void)snprintf(path, sizeof path, "%s", given);
    } else {
        length = readlink("/proc/self/exe", here, sizeof here - 1);
        here[length < 0 ? 0 : length] = '\0';
        (void)snprintf(path, sizeof path, "%s/%s", dirname(here), given);
        if (length <= 0 || access(path, X_OK) < 0)
            (void)snprintf(path, sizeof path, "%s", given);
    }
    if ((size_t)snprintf(ret_path, PATH_MAX, "%s", path) >= PATH_MAX)
        return divvy_error_set_errno(error, -ENAMETOOLONG, "%.150s", given);
    if (strchr(ret_path, '/') && access(ret_path, X_OK) < 0)
        divvy_log_warn("the worker's program %s cannot be run: %s; workers wait for it", ret_path,
                       strerror(errno));
    return 0;
}

static sigset_t signals_heard(void) {
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    return set;
}

/* Before anybody can learn our pid, so that who ends the agent at once gets its farewell too; and before there are threads. */
static void signals_hold(void) {
    sigset_t set = signals_heard();

    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    /* A shell has its background jobs ignore it; what is ignored is never delivered. */
    (void)signal(SIGINT, SIG_DFL);
    (void)signal(SIGPIPE, SIG_IGN);
}

static int folders_open(struct divvy_agent *agent, struct divvy_error *error) {
    agent->state_fd = divvy_backend_folder_open(agent->paths.state, error);
    if (agent->state_fd < 0)
        return agent->state_fd;
    agent->config_fd = divvy_backend_folder_open(agent->paths.config, error);
    if (agent->config_fd < 0)
        return agent->config_fd;
    return divvy_agent_pidfile_take(agent->paths.state, &agent->pid_fd, error);
}

static int files_open(struct divvy_agent *agent, struct divvy_error *error) {
    int status = divvy_backend_filestate_open(agent->state_fd, DIVVY_BACKEND_WORKERS_FILE,
                                              DIVVY_BACKEND_WORKERS, &agent->state_workers, error);

    if (status == 0)
        status = divvy_backend_filestate_open(agent->config_fd, DIVVY_BACKEND_WORKERS_FILE,
                                              DIVVY_BACKEND_AGENT_WORKERS, &agent->config_workers,
                                              error);
    if (status == 0)
        status = divvy_backend_filestate_open(agent->config_fd, "gpus.json",
                                              DIVVY_BACKEND_AGENT_GPUS, &agent->config_gpus, error);
    return status;
}

static int processes_open(struct divvy_agent *agent, struct divvy_error *error) {
    char logs[PATH_MAX], connections[PATH_MAX];
    const struct divvy_backend_process_options options = {.state_fd = agent->state_fd,
                                                          .log_folder = logs,
                                                          .log_bytes = LOG_BYTES,
                                                          .log_files = LOG_FILES,
                                                          .changed = process_changed,
                                                          .data = agent};

    divvy_agent_path_join(agent->paths.state, "logs", logs);
    divvy_agent_path_join(agent->paths.state, "connections", connections);
    if (divvy_agent_folder_make(connections, 0755, error) < 0)
        return error->status;
    agent->connections_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (agent->connections_fd >= 0 &&
        inotify_add_watch(agent->connections_fd, connections,
                          IN_CLOSE_WRITE | IN_MOVED_TO | IN_DELETE) < 0)
        divvy_cleanup_close(&agent->connections_fd);
    return divvy_backend_processes_new(&options, &agent->processes, error);
}

int divvy_agent_open(struct divvy_agent *agent, const struct divvy_agent_call *call,
                     struct divvy_error *error) {
    const struct divvy_agent_link_events events = {.status = status_wanted,
                                                   .config = config_came,
                                                   .codes = codes_came,
                                                   .metrics = metrics_wanted,
                                                   .data = agent};
    const char *isolation = call->values[DIVVY_AGENT_ISOLATION_MODE],
               *binary = call->values[DIVVY_AGENT_WORKER_BINARY];
    struct divvy_install install;
    const char *url;
    int status;

    memset(agent, 0, sizeof *agent);
    agent->state_fd = agent->config_fd = agent->pid_fd = agent->connections_fd = -1;
    agent->library = call->values[DIVVY_AGENT_ACCELERATOR_LIB];
    agent->is_single_node = divvy_agent_call_on(call, DIVVY_AGENT_SINGLE_NODE);
    if (isolation)
        (void)divvy_agent_isolation_parse(isolation, &agent->isolation);
    if (divvy_install_find(&install, NULL) == 0) {
        memcpy(agent->limiter, install.limiter, sizeof agent->limiter);
        memcpy(agent->runner, install.runner, sizeof agent->runner);
    }
    status = divvy_agent_paths_find(call->values[DIVVY_AGENT_CONFIG_DIR],
                                    call->values[DIVVY_AGENT_STATE_DIR], &agent->paths, error);
    if (status == 0)
        status = divvy_agent_registration_read(&agent->paths, &agent->registration, error);
    if (status < 0)
        return status;
    /* Here what was registered goes in front of the variable: a machine does not change its platform by chance. */
    url = call->values[DIVVY_AGENT_SERVER] ? call->values[DIVVY_AGENT_SERVER]
                                           : agent->registration.server_url;
    status = url[0] ? divvy_agent_server_set(&agent->platform, url, error)
                    : divvy_agent_server_find(call, NULL, &agent->platform, error);
    if (status == 0)
        status = divvy_agent_credential_set(&agent->platform, agent->registration.secret, error);
    if (status == 0)
        status = binary_find(binary ? binary : WORKER_BINARY, agent->worker_binary, error);
    if (status == 0) {
        signals_hold();
        status = folders_open(agent, error);
    }
    if (status == 0)
        status = files_open(agent, error);
    if (status == 0)
        status = processes_open(agent, error);
    if (status < 0)
        return status;
    agent->link = divvy_agent_link_new(&agent->platform, agent->registration.agent_id,
                                       agent->registration.config_version, &events);
    return agent->link ? 0 : divvy_error_set_errno(error, -ENOMEM, "the talk with the platform");
}

void divvy_agent_close(struct divvy_agent *agent) {
    divvy_agent_metrics_free(agent->metrics);
    divvy_agent_link_free(agent->link);
    divvy_backend_processes_free(agent->processes);
    divvy_backend_filestate_close(agent->state_workers);
    divvy_backend_filestate_close(agent->config_workers);
    divvy_backend_filestate_close(agent->config_gpus);
    divvy_agent_wishes_done(&agent->wishes);
    json_decref(agent->state);
    json_decref(agent->config);
    json_decref(agent->gpus);
    divvy_agent_registration_done(&agent->registration);
    explicit_bzero(agent->platform.credential, sizeof agent->platform.credential);
    divvy_cleanup_close(&agent->state_fd);
    divvy_cleanup_close(&agent->config_fd);
    divvy_cleanup_close(&agent->pid_fd);
    divvy_cleanup_close(&agent->connections_fd);
}

/* ---- the loop ---- */

static void all_stop(struct divvy_agent *agent) {
    for (size_t i = divvy_backend_processes_count(agent->processes); i-- > 0;) {
        struct divvy_backend_process process;

        if (divvy_backend_processes_at(agent->processes, i, &process) == 0)
            (void)divvy_backend_process_unwant(agent->processes, process.id);
    }
}

/* SIGINT is a person at a terminal: everything shall be gone. After SIGTERM another agent may take the workers over. */
static void signal_take(struct divvy_agent *agent, int signal_fd) {
    struct signalfd_siginfo info;

    if (read(signal_fd, &info, sizeof info) != (ssize_t)sizeof info)
        return;
    if (info.ssi_signo == SIGHUP) {
        agent->must_read = true;
        return;
    }
    if (info.ssi_signo == SIGINT && !agent->is_ending) {
        agent->stops_workers = true;
        all_stop(agent);
    }
    divvy_log_info("ending; the workers %s", agent->stops_workers
                                                 ? "are stopped"
                                                 : "run on and are taken over by the next agent");
    agent->is_ending = true;
}

static bool files_changed(struct divvy_agent *agent) {
    bool state = divvy_backend_filestate_changed(agent->state_workers),
         config = divvy_backend_filestate_changed(agent->config_workers);

    return divvy_backend_filestate_changed(agent->config_gpus) || state || config;
}

static int timeout_ms(const struct divvy_agent *agent, uint64_t next_ns, bool is_watched) {
    uint64_t now = divvy_core_clock_ns(),
             until = agent->must_report && agent->report_ns < next_ns ? agent->report_ns : next_ns;
    uint64_t left_ms = until > now ? (until - now + DIVVY_NS_PER_MS - 1) / DIVVY_NS_PER_MS : 0;
    uint64_t most = is_watched ? LONGEST_MS : UNWATCHED_MS;

    return (int)(left_ms < most ? left_ms : most);
}

/* Somebody connected to a worker, or left: a reason to tell the status anew. */
static void connections_note(struct divvy_agent *agent) {
    char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));

    while (read(agent->connections_fd, events, sizeof events) > 0)
        ;
    if (!agent->must_report)
        agent->report_ns = divvy_core_clock_ns() + REPORT_NS;
    agent->must_report = true;
}

static void wait_for_events(struct divvy_agent *agent, int signal_fd, uint64_t next_ns) {
    const int watches[] = {divvy_backend_filestate_fd(agent->state_workers),
                           divvy_backend_filestate_fd(agent->config_workers),
                           divvy_backend_filestate_fd(agent->config_gpus)};
    struct curl_waitfd fds[7] = {
        {.fd = signal_fd, .events = CURL_WAIT_POLLIN},
        {.fd = divvy_backend_processes_fd(agent->processes), .events = CURL_WAIT_POLLIN}};
    unsigned int count = 2, connections;
    bool is_watched = true;
    short events = 0;
    int channel = divvy_agent_link_fd(agent->link, &events);

    for (size_t i = 0; i < sizeof watches / sizeof watches[0]; i++) {
        is_watched = is_watched && watches[i] >= 0;
        if (watches[i] >= 0)
            fds[count++] = (struct curl_waitfd){.fd = watches[i], .events = CURL_WAIT_POLLIN};
    }
    connections = count;
    if (agent->connections_fd >= 0)
        fds[count++] =
            (struct curl_waitfd){.fd = agent->connections_fd, .events = CURL_WAIT_POLLIN};
    if (channel >= 0)
        fds[count++] = (struct curl_waitfd){
            .fd = channel,
            .events = (short)(CURL_WAIT_POLLIN | (events & POLLOUT ? CURL_WAIT_POLLOUT : 0))};
    (void)curl_multi_poll(divvy_agent_link_multi(agent->link), fds, count,
                          timeout_ms(agent, next_ns, is_watched), NULL);
    if (fds[0].revents)
        signal_take(agent, signal_fd);
    if (agent->connections_fd >= 0 && fds[connections].revents)
        connections_note(agent);
    divvy_log_tick();
}

/* What the last status post was about, so that the platform hears of changes and of nothing else. */
static void news_tell(struct divvy_agent *agent, json_t **told) {
    json_t *body = divvy_agent_report_body(agent);

    if (body)
        (void)json_object_del(body, "timestamp");
    if (body && *told && json_equal(body, *told)) {
        json_decref(body);
        return;
    }
    json_decref(*told);
    *told = body;
    divvy_agent_link_tell(agent->link);
}

static bool is_over(const struct divvy_agent *agent, uint64_t deadline_ns) {
    if (!agent->is_ending)
        return false;
    return !agent->stops_workers || divvy_backend_processes_count(agent->processes) == 0 ||
           divvy_core_clock_ns() >= deadline_ns;
}

int divvy_agent_run(struct divvy_agent *agent) {
    sigset_t set = signals_heard();
    cleanup_close int signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    uint64_t deadline_ns = UINT64_MAX;
    json_t *told = NULL;

    if (signal_fd < 0) {
        divvy_log_error("signals cannot be waited for: %s", strerror(errno));
        return 1;
    }
    agent->metrics = divvy_agent_metrics_new(agent->library, METRICS_NS, metrics_ready, agent);
    agent->must_read = true;
    while (!is_over(agent, deadline_ns)) {
        uint64_t next_ns;

        divvy_backend_processes_turn(agent->processes);
        if (agent->is_ending && deadline_ns == UINT64_MAX)
            deadline_ns = divvy_core_clock_ns() + STOP_NS;
        if (!agent->is_ending && (files_changed(agent) || agent->must_read)) {
            divvy_agent_workers_follow(agent);
            divvy_backend_processes_turn(agent->processes);
        }
        if (agent->must_report && divvy_core_clock_ns() >= agent->report_ns) {
            agent->must_report = false;
            divvy_agent_report_write(agent);
            news_tell(agent, &told);
        }
        next_ns = divvy_agent_link_turn(agent->link);
        if (agent->must_read && !agent->is_ending)
            continue;
        wait_for_events(agent, signal_fd,
                        agent->is_ending && deadline_ns < next_ns ? deadline_ns : next_ns);
    }
    divvy_agent_report_write(agent);
    divvy_agent_link_farewell(agent->link);
    json_decref(told);
    return 0;
}
