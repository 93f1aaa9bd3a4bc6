/* divvyd: the daemon that shares this machine's GPUs between tenants. Beginning, signals, end. */
#include "backend/filestate.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "core/clock.h"
#include "daemon/checkpoint.h"
#include "daemon/cluster.h"
#include "daemon/config.h"
#include "daemon/http/http.h"
#include "daemon/liveness.h"
#include "daemon/monitor.h"
#include "daemon/notify.h"
#include "daemon/plugin.h"
#include "daemon/runtime.h"
#include "daemon/single.h"
#include "daemon/state.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND_NS     ((int64_t)DIVVY_NS_PER_SECOND)
#define FIRST_LOOK_NS (3 * SECOND_NS)  /* how long the start waits for the driver */
#define DISCOVER_NS   (10 * SECOND_NS) /* and a request for discovery */
#define HANG_NS       (10 * SECOND_NS)
#define TICK_NS       SECOND_NS

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct program {
    struct divvy_config config;
    struct divvy_config_sources sources;
    char config_path[DIVVY_RUNTIME_PATH_BYTES];
    char folder[PATH_MAX]; /* in which it was started */
    char simulated_dir[PATH_MAX];
    char mig_library[PATH_MAX + sizeof "/libnvidia-ml.so.1"];
    char mig_kept[PATH_MAX + sizeof "/.mig-allocations.json"];
    char log_path[DIVVY_CONFIG_TEXT_BYTES]; /* of --background where no other is configured */

    int ready_fd; /* the waiting parent of --background; -1 none */
    int instance_fd, signal_fd, passed_fd;
    struct divvy_daemon *daemon;
    struct divvy_monitor *monitor;
    struct divvy_http *http;
    struct divvy_single *single;
    struct divvy_cluster *cluster;
    struct divvy_daemon_plugin *plugin;
};

static const char *environment_get(const char *name, void *data) {
    (void)data;
    return getenv(name);
}

static int complain(const struct divvy_error *error) {
    (void)fprintf(stderr, "divvyd: %s\n", error->text);
    return error->status == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
}

/* --- configuration -------------------------------------------------------------------------------------- */

/* What has no value yet and depends on the machine. */
static int defaults_resolve(struct divvy_config *config, struct divvy_error *error) {
    char folder[DIVVY_RUNTIME_PATH_BYTES];

    if (!config->state.node[0] && gethostname(config->state.node, sizeof config->state.node - 1) < 0)
        (void)snprintf(config->state.node, sizeof config->state.node, "unknown");
    if (config->socket_mode == 0)
        config->socket_mode = geteuid() == 0 ? 0666 : 0600;
    if (config->state.base[0] && config->socket[0])
        return 0;
    if (divvy_runtime_folder_find(folder, error) < 0)
        return error->status;
    if (!config->state.base[0])
        (void)snprintf(config->state.base, sizeof config->state.base, "%.240s/tenants", folder);
    if (!config->socket[0])
        (void)snprintf(config->socket, sizeof config->socket, "%.240s/divvyd.sock", folder);
    return divvy_config_validate(config, error);
}

static struct divvy_log_settings log_settings(const struct divvy_config *config) {
    return (struct divvy_log_settings){.level = (divvy_log_level_t)config->log_level,
                                       .format = (enum divvy_log_format)config->log_format,
                                       .program = "divvyd",
                                       .path = config->log_path,
                                       .file_bytes = config->log_bytes};
}

static struct divvy_monitor_options monitor_options(const struct program *program) {
    return (struct divvy_monitor_options){.gpu = (enum divvy_monitor_gpu)program->config.gpu,
                                          .simulated_dir = program->simulated_dir,
                                          .sample_interval_ns = program->config.sample_interval_ns,
                                          .discovery_interval_ns = program->config.discovery_interval_ns,
                                          .hang_ns = HANG_NS};
}

static struct divvy_http_options http_options(const struct program *program) {
    const struct divvy_config *config = &program->config;

    return (struct divvy_http_options){.socket_path = config->socket,
                                       .socket_mode = config->socket_mode,
                                       .socket_fd = program->passed_fd,
                                       .listen = config->listen,
                                       .token_file = config->token_file,
                                       .tls_cert = config->tls_cert,
                                       .tls_key = config->tls_key,
                                       .allow_plaintext = config->allow_plaintext,
                                       .jwt_key_file = config->jwt_key_file,
                                       .jwt_audience = config->jwt_audience,
                                       .jwt_unverified = config->jwt_unverified,
                                       .hide_others = config->hide_others,
                                       .connections_max = config->connections_max,
                                       .connections_per_peer = config->connections_per_peer,
                                       .request_timeout_s = (uint32_t)(config->request_timeout_ns / SECOND_NS),
                                       .metrics_path = config->metrics_path,
                                       .metrics_interval_ns = config->metrics_interval_ns,
                                       .metrics_json = config->metrics_format == 1,
                                       .metrics_labels = config->metrics_labels,
                                       .pool = config->pool,
                                       .vgpu = {.state = config->relay_state,
                                                .admin = config->relay_admin,
                                                .sockets = config->vm_sockets},
                                       .mig_lock_dir = config->mig_locks};
}

/* --- background ------------------------------------------------------------------------------------------- */

/* In the parent: until the daemon is ready, or has ended. */
static int background_wait(int fd, pid_t child) {
    char byte;
    ssize_t got;
    int status;

    do
        got = read(fd, &byte, 1);
    while (got < 0 && errno == EINTR);
    if (got == 1)
        return EXIT_OK;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : EXIT_FAILED;
}

/*
 * Goes on in a child with a session of its own, so that no terminal's end reaches it. Does not return in the parent, which
 * ends when the child is ready.
 */
static int background_begin(struct program *program, struct divvy_error *error) {
    int ends[2];
    pid_t child;

    if (pipe2(ends, O_CLOEXEC) < 0 || (child = fork()) < 0)
        return divvy_error_set_errno(error, -errno, "cannot go into the background");
    if (child > 0) {
        (void)close(ends[1]);
        _exit(background_wait(ends[0], child));
    }
    (void)close(ends[0]);
    program->ready_fd = ends[1];
    if (setsid() < 0 || chdir("/") < 0)
        return divvy_error_set_errno(error, -errno, "cannot go into the background");
    return 0;
}

/* The daemon is ready: the parent may go, and what it was started from may be closed. */
static void background_end(struct program *program) {
    struct divvy_log_settings settings = log_settings(&program->config);
    const char *socket = program->config.socket;
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (!program->config.log_path[0]) {
        /* Standard error is about to go: beside the socket somebody may look for what it would have said. */
        (void)snprintf(program->log_path, sizeof program->log_path, "%.*s/divvyd.log",
                       (int)(strrchr(socket, '/') - socket), socket);
        memcpy(program->config.log_path, program->log_path, sizeof program->log_path);
        (void)divvy_log_open(&settings, NULL);
    }
    (void)!write(program->ready_fd, "", 1);
    divvy_cleanup_close(&program->ready_fd);
    for (int fd = 0; fd <= 2 && null_fd >= 0; fd++)
        (void)dup2(null_fd, fd);
    if (null_fd > 2)
        (void)close(null_fd);
}

/* --- running ------------------------------------------------------------------------------------------------ */

static int signals_begin(int *ret_fd, struct divvy_error *error) {
    sigset_t set;

    (void)signal(SIGPIPE, SIG_IGN);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGHUP);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || (*ret_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)) < 0)
        return divvy_error_set_errno(error, -errno, "cannot take signals");
    return 0;
}

/* Which driver's devices these are may only turn out in the course of time. */
static void driver_tell(struct program *program) {
    char library[PATH_MAX + sizeof "/libcuda.so.1"];

    (void)snprintf(library, sizeof library, "%s/libcuda.so.1", program->simulated_dir);
    divvy_daemon_driver_set(program->daemon,
                            divvy_monitor_is_simulated(program->monitor) ? library : "libcuda.so.1");
    if (divvy_monitor_is_simulated(program->monitor))
        (void)snprintf(program->mig_library, sizeof program->mig_library, "%s/libnvidia-ml.so.1", program->simulated_dir);
}

static int discover(void *data, struct divvy_error *error) {
    return divvy_monitor_discover(data, DISCOVER_NS, error);
}

/*
 * What the accelerator library is to load may only turn out when threads run. Then a variable that is there already is given another value,
 * which whoever reads it meanwhile does not mind; a new one would move the table under them. These are what is taken without them.
 */
static void accelerator_driver_prepare(void) {
    (void)setenv("TF_NVML_LIB_PATH", "libnvidia-ml.so.1", 0);
    (void)setenv("TF_CUDA_LIB_PATH", "libcuda.so.1", 0);
}

/* The accelerator library takes the driver that we take. */
static void accelerator_driver_set(const struct program *program) {
    char library[PATH_MAX + sizeof "/libcuda.so.1"];

    (void)snprintf(library, sizeof library, "%s/libcuda.so.1", program->simulated_dir);
    (void)setenv("TF_NVML_LIB_PATH", program->mig_library, 1);
    (void)setenv("TF_CUDA_LIB_PATH", library, 1);
}

static int single_start(struct program *program, struct divvy_http_options *http, struct divvy_error *error) {
    const struct divvy_config *config = &program->config;
    bool simulated = divvy_monitor_is_simulated(program->monitor);
    struct divvy_single_options options = {.state_dir = config->state_dir,
                                           .accelerator = config->accelerator_lib,
                                           .vendor = config->vendor,
                                           .worker_binary = config->worker_binary,
                                           .library_dir = simulated ? program->simulated_dir : "",
                                           .isolation = config->isolation_mode,
                                           .discovery_interval_ns = config->discovery_interval_ns,
                                           .memory_permille = config->state.overcommit_permille,
                                           .compute_permille = config->overcommit_compute_permille};

    if (!config->single_node)
        return 0;
    if (simulated)
        accelerator_driver_set(program);
    if (divvy_single_start(program->daemon, &options, &program->single, error) < 0)
        return error->status;
    http->single = (struct divvy_http_single){program->single, divvy_single_workers_json, divvy_single_worker_json, divvy_single_usages_json};
    return 0;
}

static int cluster_start(struct program *program, struct divvy_http_options *http, struct divvy_error *error) {
    const struct divvy_config *config = &program->config;
    const struct divvy_cluster_options options = {
        .kubeconfig = config->kubeconfig, .node = config->state.node, .selector = config->pod_selector};

    if (!config->cluster)
        return 0;
    if (divvy_cluster_start(program->daemon, &options, &program->cluster, error) < 0)
        return error->status;
    http->cluster = (struct divvy_http_cluster){program->cluster, divvy_cluster_pods, divvy_cluster_review};
    return 0;
}

static int plugin_start(struct program *program, struct divvy_error *error) {
    const struct divvy_config *config = &program->config;
    const struct divvy_daemon_plugin_options options = {.kubelet_dir = config->plugin_dir,
                                                        .pod_resources = config->plugin_pods,
                                                        .resource = config->plugin_resource,
                                                        .device_root = config->plugin_devices,
                                                        .library_dir = config->plugin_library,
                                                        .preload_file = config->plugin_preload,
                                                        .slots = config->plugin_slots,
                                                        .policy = config->plugin_policy,
                                                        .owner = program->cluster ? divvy_cluster_pod_owner : NULL,
                                                        .owner_data = program->cluster};

    return config->device_plugin ? divvy_daemon_plugin_start(program->daemon, &options, &program->plugin, error) : 0;
}

static int start(struct program *program, struct divvy_error *error) {
    struct divvy_monitor_options devices = monitor_options(program);
    struct divvy_http_options http = http_options(program);
    struct divvy_error first_look = {0, ""};
    int status = divvy_runtime_instance_take(program->config.state.base, &program->instance_fd, error);

    if (program->config.single_node)
        accelerator_driver_prepare();
    if (status == 0)
        status = divvy_daemon_new(&program->config.state, &program->daemon, error);
    if (status == 0)
        status = divvy_daemon_start(program->daemon, error);
    if (status == 0)
        status = divvy_monitor_start(program->daemon, &devices, FIRST_LOOK_NS, &program->monitor, &first_look);
    if (status < 0)
        return status;
    if (!divvy_monitor_is_simulated(program->monitor) && first_look.status == 0 &&
        divvy_runtime_system_check(DIVVY_RUNTIME_SYSTEM_SOCKET, program->config.socket, error) < 0)
        return error->status;
    divvy_daemon_discover_set(program->daemon, discover, program->monitor);
    driver_tell(program);
    http.mig_library = program->mig_library;
    (void)snprintf(program->mig_kept, sizeof program->mig_kept, "%s/.mig-allocations.json", program->config.state.base);
    http.mig_kept = program->mig_kept;
    status = single_start(program, &http, error);
    if (status == 0)
        status = cluster_start(program, &http, error);
    if (status == 0)
        status = plugin_start(program, error);
    if (status < 0)
        return status;
    program->passed_fd = -1; /* the server's from here on, whatever it says */
    return divvy_http_start(program->daemon, &http, &program->http, error);
}

static void stop(struct program *program) {
    divvy_notify_send("STOPPING=1");
    divvy_http_stop(program->http);
    divvy_daemon_plugin_stop(program->plugin);
    divvy_single_stop(program->single);
    divvy_cluster_stop(program->cluster);
    if (program->daemon)
        divvy_daemon_discover_set(program->daemon, NULL, NULL);
    divvy_monitor_stop(program->monitor);
    divvy_daemon_stop(program->daemon);
    divvy_runtime_instance_drop(program->config.state.base, &program->instance_fd);
    divvy_cleanup_close(&program->passed_fd);
    divvy_cleanup_close(&program->signal_fd);
}

static int reload_read(struct program *program, struct divvy_error *error) {
    struct divvy_config_command command;
    struct divvy_config fresh;
    char kept[512];
    int status = divvy_config_read(&program->sources, &fresh, &command, error);

    if (status == 0)
        status = defaults_resolve(&fresh, error);
    if (status < 0)
        return status;
    if (!fresh.log_path[0]) /* what --background chose */
        memcpy(fresh.log_path, program->log_path, sizeof fresh.log_path);
    divvy_config_take(&program->config, &fresh, kept, sizeof kept);
    if (kept[0])
        divvy_log_warn("changes only at the next start: %s", kept);
    return 0;
}

static void reload(struct program *program) {
    struct divvy_monitor_options devices;
    struct divvy_http_options http;
    struct divvy_log_settings log;
    struct divvy_error error = {0, ""};

    divvy_notify_reloading();
    if (reload_read(program, &error) < 0) {
        divvy_log_error("the configuration stays as it was: %s", error.text);
    } else {
        log = log_settings(&program->config);
        if (divvy_log_open(&log, &error) < 0)
            divvy_log_error("the log stays as it was: %s", error.text);
        devices = monitor_options(program);
        http = http_options(program);
        divvy_monitor_reload(program->monitor, &devices);
        divvy_daemon_reload(program->daemon, &program->config.state);
        if (divvy_http_reload(program->http, &http, &error) < 0)
            divvy_log_error("the HTTP server stays as it was: %s", error.text);
        divvy_daemon_event(program->daemon, DIVVY_NODE_EVENT_DAEMON, "", "configuration read again");
        divvy_log_info("configuration read again");
    }
    divvy_notify_ready("running");
}

/* The signal that came, 0 for none. */
static int signal_wait(const struct program *program, int64_t until_ns) {
    struct pollfd ready = {.fd = program->signal_fd, .events = POLLIN};
    int64_t left_ns = until_ns - (int64_t)divvy_core_clock_ns();
    struct signalfd_siginfo info;

    if (left_ns > 0)
        (void)poll(&ready, 1, (int)(left_ns / (int64_t)DIVVY_NS_PER_MS) + 1);
    return read(program->signal_fd, &info, sizeof info) == (ssize_t)sizeof info ? (int)info.ssi_signo : 0;
}

static void run(struct program *program) {
    int64_t watchdog_ns = divvy_notify_watchdog_ns();
    int64_t period_ns = watchdog_ns > 0 && watchdog_ns / 3 < TICK_NS ? watchdog_ns / 3 : TICK_NS;

    for (;;) {
        int got = signal_wait(program, (int64_t)divvy_core_clock_ns() + period_ns);

        if (got == SIGHUP) {
            reload(program);
        } else if (got) {
            divvy_log_info("ends by signal %d", got);
            return;
        }
        if (watchdog_ns > 0)
            divvy_notify_send("WATCHDOG=1");
        (void)divvy_monitor_check(program->monitor);
        driver_tell(program);
        divvy_log_tick();
        if (program->config.idle_exit_ns > 0 && divvy_daemon_is_idle(program->daemon, program->config.idle_exit_ns)) {
            divvy_log_info("ends: nobody needed it");
            return;
        }
    }
}

/* A second signal ends the program at once, whatever the first one's end waits for. */
static void signals_end(void) {
    sigset_t set;

    (void)sigfillset(&set);
    (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static int serve(struct program *program) {
    struct divvy_log_settings log = log_settings(&program->config);
    struct divvy_error error = {0, ""};
    int status = divvy_log_open(&log, &error);

    if (status == 0)
        status = signals_begin(&program->signal_fd, &error);
    if (status == 0)
        status = divvy_runtime_socket_take(&program->passed_fd, &error);
    if (status == 0) {
        divvy_liveness_files_raise();
        status = start(program, &error);
    }
    if (status < 0) {
        stop(program);
        divvy_log_close();
        return complain(&error);
    }
    divvy_log_info("ready: version " DIVVY_VERSION ", base %s, socket %s", program->config.state.base,
                   program->config.socket);
    if (program->ready_fd >= 0)
        background_end(program);
    divvy_notify_ready("running");
    run(program);
    signals_end();
    stop(program);
    divvy_log_close();
    return EXIT_OK;
}

static int command_run(struct program *program, const struct divvy_config_command *command) {
    struct divvy_error error = {0, ""};

    if (command->help) {
        divvy_config_help(stdout);
        return EXIT_OK;
    }
    if (command->version) {
        (void)puts("divvyd " DIVVY_VERSION);
        return EXIT_OK;
    }
    if (command->check && program->config.single_node && divvy_backend_folder_check(program->config.state_dir, &error) < 0)
        return complain(&error);
    if (command->check) {
        divvy_config_print(&program->config, stdout);
        return EXIT_OK;
    }
    if (getenv("DIVVY_TENANT_DIR")) {
        (void)fputs("divvyd: cannot run inside a tenant of divvy run\n", stderr);
        return EXIT_FAILED;
    }
    (void)umask(0022);
    if (defaults_resolve(&program->config, &error) < 0)
        return complain(&error);
    if (command->background && background_begin(program, &error) < 0)
        return complain(&error);
    return serve(program);
}

int main(int argc, char **argv) {
    static struct program program = {.ready_fd = -1, .instance_fd = -1, .signal_fd = -1, .passed_fd = -1};
    struct divvy_config_command command;
    struct divvy_error error = {0, ""};

    if (argc > 1 && strcmp(argv[1], DIVVY_CHECKPOINT_ARGUMENT) == 0)
        return divvy_checkpoint_main(argc, argv);
    divvy_runtime_config_find(program.config_path);
    divvy_runtime_simulated_find(program.simulated_dir);
    if (!getcwd(program.folder, sizeof program.folder))
        program.folder[0] = '\0';
    program.sources = (struct divvy_config_sources){.argc = argc,
                                                    .argv = argv,
                                                    .environment = environment_get,
                                                    .default_path = program.config_path,
                                                    .folder = program.folder[0] ? program.folder : NULL};
    if (divvy_config_read(&program.sources, &program.config, &command, &error) < 0)
        return complain(&error);
    return command_run(&program, &command);
}
