/* The options of divvyd, a row each: see config.h. */
#include "daemon/config.h"

#include "core/clock.h"

#include <string.h>

#define SECOND ((int64_t)DIVVY_NS_PER_SECOND)
#define MSEC   ((int64_t)DIVVY_NS_PER_MS)
#define USEC   ((int64_t)DIVVY_NS_PER_US)
#define DAY    (24 * 3600 * SECOND)

#define IN(member) offsetof(struct divvy_config, member), sizeof(((struct divvy_config *)NULL)->member)
#define COMMAND(member)                                                                            \
    offsetof(struct divvy_config_command, member), sizeof(((struct divvy_config_command *)NULL)->member)

static const char *const gpu_words[] = {"auto", "real", "sim", NULL};
static const char *const backend_words[] = {"simple", "kubernetes", NULL};
static const char *const policy_words[] = {"closed", "open", NULL};
static const char *const format_words[] = {"influx", "json", NULL};
static const char *const isolation_words[] = {"shared", "soft", "hard", "partitioned", NULL};
static const char *const plugin_policy_words[] = {"pack", "spread", NULL};
static const char *const log_level_words[] = {"off", "error", "warn", "info", "debug", "trace", NULL};
static const char *const log_format_words[] = {"auto", "text", "json", "journal", NULL};

/* clang-format off */
static const struct divvy_config_option table[] = {
    {"help", NULL, DIVVY_CONFIG_COMMAND, false, {NULL}, NULL, NULL, NULL,
     "Print this and end", COMMAND(help), 0, 1, NULL},
    {"version", NULL, DIVVY_CONFIG_COMMAND, false, {NULL}, NULL, NULL, NULL,
     "Print the version and end", COMMAND(version), 0, 1, NULL},
    {"check-config", NULL, DIVVY_CONFIG_COMMAND, false, {NULL}, NULL, NULL, NULL,
     "Print the configuration as read, with the source of each value, and end", COMMAND(check), 0, 1, NULL},
    {"background", NULL, DIVVY_CONFIG_COMMAND, false, {NULL}, NULL, NULL, NULL,
     "Detach from the terminal; return when the daemon is ready, or with its error", COMMAND(background), 0, 1, NULL},
    {"foreground", NULL, DIVVY_CONFIG_COMMAND, false, {NULL}, NULL, NULL, NULL,
     "Stay in the foreground: the default", COMMAND(background), 0, 0, NULL},
    {"config", NULL, DIVVY_CONFIG_PATH, false, {"DIVVY_CONFIG", NULL}, NULL, "FILE", NULL,
     "Read this file instead of /etc/divvy/divvyd.conf (root) or ~/.config/divvy/divvyd.conf", IN(path), 0, 0, NULL},

    {"gpu", "daemon", DIVVY_CONFIG_WORD, false, {"DIVVY_GPU", NULL}, NULL, "auto|real|sim", "auto",
     "Which devices to divide: the driver's, the simulated ones, or the latter where there are no others",
     IN(gpu), 0, 0, gpu_words},
    {"base", "daemon", DIVVY_CONFIG_PATH, false, {"DIVVY_BASE", NULL}, NULL, "DIR", NULL,
     "Folder of the tenants' folders; one daemon for each. Not set: tenants/ beside the socket's usual place",
     IN(state.base), 0, 0, NULL},
    {"idle-exit", "daemon", DIVVY_CONFIG_DURATION, true, {NULL}, NULL, "TIME", "never",
     "End when there was no tenant and no request for so long", IN(idle_exit_ns), 0, 365 * DAY, NULL},
    {"node", "daemon", DIVVY_CONFIG_TEXT, false, {"GPU_NODE_NAME", NULL}, NULL, "NAME", NULL,
     "Name of this machine in answers and metrics. Not set: its host name", IN(state.node), 0, 0, NULL},
    {"sample-interval", "daemon", DIVVY_CONFIG_DURATION, true, {NULL}, NULL, "TIME", "1s",
     "How often the devices' utilisation, memory and so on are read", IN(sample_interval_ns), 100 * MSEC, 60 * SECOND, NULL},
    {"discovery-interval", "daemon", DIVVY_CONFIG_DURATION, true, {NULL}, NULL, "TIME", "12h",
     "How often devices are looked for anew", IN(discovery_interval_ns), SECOND, 30 * DAY, NULL},
    {"fail-policy", "daemon", DIVVY_CONFIG_WORD, true, {"DIVVY_FAIL_POLICY", NULL}, NULL, "closed|open", "closed",
     "What programs of tenants do whose limits cannot be read: start without a GPU, or without limits. DIVVY_FAIL_POLICY in their own environment is stronger", IN(state.fail_open), 0, 0, policy_words},
    {"shm-base", "daemon", DIVVY_CONFIG_PATH, false, {"SHM_BASE_PATH", NULL}, NULL, "DIR", "/run/tensor-fusion/shm",
     "Folder of the pod files for limiters of other systems", IN(state.shm_base), 0, 0, NULL},
    {"mig-locks", "daemon", DIVVY_CONFIG_PATH, false, {"HC_MIG_LOCK_DIR", NULL}, NULL, "DIR", "/var/run/hypercore/mig",
     "Folder of the lock files of MIG instances, the same for all that reserve them", IN(mig_locks), 0, 0, NULL},

    {"socket", "http", DIVVY_CONFIG_PATH, false, {"DIVVY_SOCKET", NULL}, NULL, "PATH", NULL,
     "Unix socket of the API. Not set: divvy/divvyd.sock in $XDG_RUNTIME_DIR, /run (root) or /dev/shm/divvy-UID",
     IN(socket), 0, 0, NULL},
    {"socket-mode", "http", DIVVY_CONFIG_MODE, false, {NULL}, NULL, "MODE", "auto",
     "Its permission bits: auto (0666 for root, whose requests are told apart by user; else 0600), 0600, 0660, 0666",
     IN(socket_mode), 0, 0, NULL},
    {"port", "http", DIVVY_CONFIG_PORT, false, {"HYPERVISOR_PORT", NULL}, NULL, "PORT", NULL,
     "The same as --listen 127.0.0.1:PORT", IN(listen), 0, 0, NULL},
    {"listen", "http", DIVVY_CONFIG_LISTEN, false, {"API_LISTEN_ADDR", NULL}, NULL, "HOST:PORT", NULL,
     "Serve the API on TCP too. Beyond loopback only with --token-file and TLS", IN(listen), 0, 0, NULL},
    {"token-file", "http", DIVVY_CONFIG_PATH, true, {"DIVVY_TOKEN_FILE", NULL}, NULL, "FILE", NULL,
     "Bearer tokens that are let in on TCP, one a line", IN(token_file), 0, 0, NULL},
    {"tls-cert", "http", DIVVY_CONFIG_PATH, true, {"DIVVY_TLS_CERT", NULL}, NULL, "FILE", NULL,
     "Certificate chain for TCP (PEM)", IN(tls_cert), 0, 0, NULL},
    {"tls-key", "http", DIVVY_CONFIG_PATH, true, {"DIVVY_TLS_KEY", NULL}, NULL, "FILE", NULL,
     "Its key (PEM)", IN(tls_key), 0, 0, NULL},
    {"allow-plaintext", "http", DIVVY_CONFIG_BOOL, false, {NULL}, NULL, "yes|no", "no",
     "Take tokens without TLS beyond loopback: where something else encrypts", IN(allow_plaintext), 0, 0, NULL},
    {"jwt-key-file", "http", DIVVY_CONFIG_PATH, true, {NULL}, NULL, "FILE", NULL,
     "Public keys (PEM, RSA or P-256) that tokens of pods are verified with", IN(jwt_key_file), 0, 0, NULL},
    {"jwt-audience", "http", DIVVY_CONFIG_TEXT, true, {NULL}, NULL, "NAME", NULL,
     "Audience that they must name; not set: any", IN(jwt_audience), 0, 0, NULL},
    {"jwt-unverified", "http", DIVVY_CONFIG_BOOL, false, {NULL}, NULL, "yes|no", "no",
     "Believe tokens of pods unseen, on the unix socket and loopback", IN(jwt_unverified), 0, 0, NULL},
    {"hide-others", "http", DIVVY_CONFIG_BOOL, true, {NULL}, NULL, "yes|no", "no",
     "Show users their own tenants only", IN(hide_others), 0, 0, NULL},
    {"connections", "http", DIVVY_CONFIG_NUMBER, false, {NULL}, NULL, "N", "2048",
     "How many connections each listener takes", IN(connections_max), 1, 65536, NULL},
    {"connections-per-peer", "http", DIVVY_CONFIG_NUMBER, false, {NULL}, NULL, "N", "512",
     "How many of one user or address", IN(connections_per_peer), 1, 65536, NULL},
    {"request-timeout", "http", DIVVY_CONFIG_DURATION, false, {NULL}, NULL, "TIME", "30s",
     "How long a request may take to come in, and its answer to be taken", IN(request_timeout_ns), SECOND, 3600 * SECOND, NULL},

    {"overcommit", "sharing", DIVVY_CONFIG_PERMILLE, true, {NULL}, NULL, "PERCENT|none", "100%",
     "How much of a device's memory may be promised to tenants in all", IN(state.overcommit_permille), 0, 100000, NULL},
    {"freeze-low", "sharing", DIVVY_CONFIG_DURATION, true, {NULL}, NULL, "TIME", "never",
     "Save the device memory of tenants of QoS low that were idle for so long", IN(state.autofreeze_ns[0]), 0, 365 * DAY, NULL},
    {"freeze-medium", "sharing", DIVVY_CONFIG_DURATION, true, {NULL}, NULL, "TIME", "never",
     "The same of QoS medium", IN(state.autofreeze_ns[1]), 0, 365 * DAY, NULL},
    {"freeze-high", "sharing", DIVVY_CONFIG_DURATION, true, {NULL}, NULL, "TIME", "never",
     "The same of QoS high", IN(state.autofreeze_ns[2]), 0, 365 * DAY, NULL},
    {"freeze-critical", "sharing", DIVVY_CONFIG_DURATION, true, {NULL}, NULL, "TIME", "never",
     "The same of QoS critical", IN(state.autofreeze_ns[3]), 0, 365 * DAY, NULL},
    {"scheduling-config", "sharing", DIVVY_CONFIG_SCHEDULING, true, {"TF_HYPERVISOR_SCHEDULING_CONFIG", NULL}, NULL, "JSON", NULL,
     "TensorFusion's JSON: freeze-low to -critical, and the refill of pod files' tokens", 0, 0, 0, 0, NULL},
    {"lease-low", "sharing", DIVVY_CONFIG_DURATION, true, {NULL}, NULL, "TIME", NULL,
     "Longest lease of GPU time of QoS low", IN(state.sched.lease_ns[0]), 200 * USEC, SECOND, NULL},
    {"lease-medium", "sharing", DIVVY_CONFIG_DURATION, true, {NULL}, NULL, "TIME", NULL,
     "The same of QoS medium", IN(state.sched.lease_ns[1]), 200 * USEC, SECOND, NULL},
    {"lease-high", "sharing", DIVVY_CONFIG_DURATION, true, {NULL}, NULL, "TIME", NULL,
     "The same of QoS high", IN(state.sched.lease_ns[2]), 200 * USEC, SECOND, NULL},
    {"lease-critical", "sharing", DIVVY_CONFIG_DURATION, true, {NULL}, NULL, "TIME", NULL,
     "The same of QoS critical", IN(state.sched.lease_ns[3]), 200 * USEC, SECOND, NULL},
    {"lease-min", "sharing", DIVVY_CONFIG_DURATION, true, {NULL}, NULL, "TIME", NULL,
     "Shortest lease of a tenant with a cap", IN(state.sched.lease_min_ns), 200 * USEC, SECOND, NULL},
    {"bank", "sharing", DIVVY_CONFIG_DURATION, true, {NULL}, NULL, "TIME", NULL,
     "GPU time that an idle or capped tenant can save up", IN(state.sched.bank_ns), 200 * USEC, 10 * SECOND, NULL},
    {"debt-max", "sharing", DIVVY_CONFIG_DURATION, true, {NULL}, NULL, "TIME", NULL,
     "Longest that a tenant stays behind for having overrun", IN(state.sched.debt_max_ns), MSEC, 600 * SECOND, NULL},

    {"metrics-path", "metrics", DIVVY_CONFIG_PATH, true, {NULL}, "metrics-output-path", "FILE", NULL,
     "Write metrics to this file too (/metrics is there always)", IN(metrics_path), 0, 0, NULL},
    {"metrics-interval", "metrics", DIVVY_CONFIG_DURATION, true, {NULL}, NULL, "TIME", "60s",
     "How often", IN(metrics_interval_ns), SECOND, DAY, NULL},
    {"metrics-format", "metrics", DIVVY_CONFIG_WORD, true, {"TF_HYPERVISOR_METRICS_FORMAT", NULL}, NULL, "influx|json", "influx",
     "As line protocol or as lines of JSON", IN(metrics_format), 0, 0, format_words},
    {"metrics-labels", "metrics", DIVVY_CONFIG_LABELS, true, {"TF_HYPERVISOR_METRICS_EXTRA_LABELS", NULL}, NULL, "JSON", NULL,
     "Labels of pods that become tags: an object {label: tag}", IN(metrics_labels), 0, 0, NULL},
    {"pool", "metrics", DIVVY_CONFIG_TEXT, true, {"TENSOR_FUSION_POOL_NAME", NULL}, NULL, "NAME", "unknown",
     "Tag `pool' of metrics", IN(pool), 0, 0, NULL},

    {"backend", "cluster", DIVVY_CONFIG_WORD, false, {NULL}, "backend-type", "simple|kubernetes", "simple",
     "kubernetes: give the pods of this node what their annotations ask for", IN(cluster), 0, 0, backend_words},
    {"kubeconfig", "cluster", DIVVY_CONFIG_PATH, false, {"KUBECONFIG", NULL}, NULL, "FILE", NULL,
     "How the API server is reached. Not set: as the account of the container that the daemon runs in", IN(kubeconfig), 0, 0, NULL},
    {"pod-selector", "cluster", DIVVY_CONFIG_TEXT, false, {NULL}, NULL, "SELECTOR", NULL,
     "Labels of the pods that are looked at, as kubectl's -l. Not set: all of the node", IN(pod_selector), 0, 0, NULL},

    {"device-plugin", "device-plugin", DIVVY_CONFIG_BOOL, false, {NULL}, NULL, "yes|no", "no",
     "Offer slots of the devices to this node's kubelet", IN(device_plugin), 0, 0, NULL},
    {"device-plugin-resource", "device-plugin", DIVVY_CONFIG_TEXT, false, {"DEVICE_PLUGIN_RESOURCE_NAME", NULL}, NULL, "NAME", "divvy.io/gpu",
     "What pods call a slot", IN(plugin_resource), 0, 0, NULL},
    {"device-plugin-slots", "device-plugin", DIVVY_CONFIG_NUMBER, false, {NULL}, NULL, "N", "10",
     "How many slots each device has", IN(plugin_slots), 1, 100, NULL},
    {"device-plugin-policy", "device-plugin", DIVVY_CONFIG_WORD, false, {NULL}, NULL, "pack|spread", "pack",
     "Which slots to prefer: of devices in use, or of those used least", IN(plugin_policy), 0, 0, plugin_policy_words},
    {"device-plugin-dir", "device-plugin", DIVVY_CONFIG_PATH, false, {"DEVICE_PLUGIN_PATH", NULL}, NULL, "DIR", "/var/lib/kubelet/device-plugins",
     "The kubelet's folder of sockets of device plugins", IN(plugin_dir), 0, 0, NULL},
    {"pod-resources", "device-plugin", DIVVY_CONFIG_PATH, false, {NULL}, NULL, "PATH", "/var/lib/kubelet/pod-resources/kubelet.sock",
     "The kubelet's socket that tells which pod has which slots", IN(plugin_pods), 0, 0, NULL},
    {"device-plugin-library", "device-plugin", DIVVY_CONFIG_PATH, false, {NULL}, NULL, "DIR", "/var/lib/divvy/lib",
     "Folder of the limiter on the host, mounted in containers as /usr/lib/divvy", IN(plugin_library), 0, 0, NULL},
    {"device-plugin-preload", "device-plugin", DIVVY_CONFIG_PATH, false, {NULL}, NULL, "FILE", "/var/lib/divvy/loader/ld.so.preload",
     "File of the host that containers get as /etc/ld.so.preload, where it is there", IN(plugin_preload), 0, 0, NULL},
    {"device-root", "device-plugin", DIVVY_CONFIG_PATH, false, {"NVIDIA_DEV_ROOT", NULL}, NULL, "DIR", "/dev",
     "Folder of the device files that containers are given", IN(plugin_devices), 0, 0, NULL},

    {"single-node", "single", DIVVY_CONFIG_BOOL, false, {NULL}, NULL, "yes|no", "no",
     "Take workers from workers.json in the folder of state, give them devices and limits, and run them", IN(single_node), 0, 0, NULL},
    {"state-dir", "single", DIVVY_CONFIG_PATH, false, {"TENSOR_FUSION_STATE_DIR", NULL}, NULL, "DIR", "/tmp/tensor-fusion-state",
     "The folder of state: workers.json, devices.json, logs/", IN(state_dir), 0, 0, NULL},
    {"accelerator-lib", "single", DIVVY_CONFIG_PATH, false, {"TF_ACCELERATOR_LIB_PATH", NULL}, NULL, "FILE|DIR", NULL,
     "The accelerator library, or where it lies. Not set: looked for", IN(accelerator_lib), 0, 0, NULL},
    {"vendor", "single", DIVVY_CONFIG_TEXT, false, {"TF_HARDWARE_VENDOR", NULL}, NULL, "NAME", NULL,
     "The devices' vendor. Not set: NVIDIA, AMD, or what the library shows", IN(vendor), 0, 0, NULL},
    {"isolation-mode", "single", DIVVY_CONFIG_WORD, false, {NULL}, NULL, "MODE", "soft",
     "Isolation of workers that name none: shared, soft, hard or partitioned", IN(isolation_mode), 0, 0, isolation_words},
    {"worker-binary", "single", DIVVY_CONFIG_PATH, false, {NULL}, NULL, "FILE", NULL,
     "Program of workers that do not say how they are run: FILE -p PORT. Not set: somebody else runs them", IN(worker_binary), 0, 0, NULL},
    {"overcommit-compute", "single", DIVVY_CONFIG_PERMILLE, false, {NULL}, NULL, "PERCENT|none", "100%",
     "How much of a device's time may be given out to workers in all", IN(overcommit_compute_permille), 0, 100000, NULL},

    {"relay-state", "vgpu", DIVVY_CONFIG_PATH, false, {"DIVVY_RELAY_STATE", NULL}, NULL, "FILE", "/var/lib/divvy/relay.db",
     "State of the relay whose VMs /api/v1/vgpu is about", IN(relay_state), 0, 0, NULL},
    {"relay-admin", "vgpu", DIVVY_CONFIG_PATH, false, {"DIVVY_RELAY_ADMIN", NULL}, NULL, "PATH", "/run/divvy/relay-admin.sock",
     "Its socket for administration", IN(relay_admin), 0, 0, NULL},
    {"vm-sockets", "vgpu", DIVVY_CONFIG_PATH, false, {NULL}, NULL, "DIR", "/run/divvy/vm",
     "Folder of the sockets of VMs that an orchestrator registers", IN(vm_sockets), 0, 0, NULL},

    {"log-level", "log", DIVVY_CONFIG_WORD, true, {"DIVVY_LOG", "TF_LOG_LEVEL"}, NULL, "LEVEL", "info",
     "off, error, warn, info, debug or trace", IN(log_level), 0, 0, log_level_words},
    {"log-format", "log", DIVVY_CONFIG_WORD, true, {NULL}, NULL, "FORMAT", "auto",
     "text, json, journal (prefixes that systemd reads), or auto: one of text and journal", IN(log_format), 0, 0, log_format_words},
    {"log-path", "log", DIVVY_CONFIG_PATH, true, {"TF_LOG_PATH", NULL}, NULL, "FILE", NULL,
     "Log to this file instead of standard error", IN(log_path), 0, 0, NULL},
    {"log-size", "log", DIVVY_CONFIG_SIZE, true, {NULL}, NULL, "SIZE", "8MiB",
     "Begin the file anew at this size, keeping the one before as FILE.1; 0: never", IN(log_bytes), 0, 0, NULL},
};
/* clang-format on */

_Static_assert(sizeof table / sizeof table[0] <= DIVVY_CONFIG_OPTIONS, "DIVVY_CONFIG_OPTIONS is too small");
_Static_assert(DIVVY_NODE_QOS_MAX == 4, "an option for each class");

const struct divvy_config_option *divvy_config_table(size_t *ret_count) {
    *ret_count = sizeof table / sizeof table[0];
    return table;
}

static bool name_is(const char *name, const char *text, size_t length) {
    if (!name || strlen(name) != length)
        return false;
    for (size_t i = 0; i < length; i++)
        if (name[i] != (text[i] == '_' ? '-' : text[i]))
            return false;
    return true;
}

const struct divvy_config_option *divvy_config_find(const char *name, size_t length) {
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (name_is(table[i].name, name, length) || name_is(table[i].alias, name, length))
            return &table[i];
    return NULL;
}
