/* The command line: see options.h. */
#include "remote/relay/options.h"

#include "core/parse.h"
#include "wire/ring/ring.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
    "Usage: divvy-relay [--worker ADDRESS] [OPTION...]\n"
    "Takes GPU work from virtual machines that have no GPU, lets it wait in fair\n"
    "queues, has it done by workers (divvy-worker) and brings the answers back.\n"
    "\n"
    "Workers (besides those of `divvy vm assign-gpu'):\n"
    "  --worker ADDRESS[=POOLS]  HOST:PORT, PORT or the path of a unix socket; POOLS\n"
    "                            is A, B or AB (default). May be given again\n"
    "  --parallel N              jobs that a worker is given at a time (1)\n"
    "  --exclusive               and no short request of a VM that is behind its\n"
    "                            share beside those of another\n"
    "\n"
    "Virtual machines (besides those of `divvy vm register-vm'):\n"
    "  --vm NAME[:ID]=PATH[,shm=FILE[,size=SIZE]]\n"
    "                            listen on this unix socket for the VM; FILE is\n"
    "                            memory that it shares (QEMU: ivshmem-plain)\n"
    "  --vm-connect NAME[:ID]=PATH[,shm=FILE[,size=SIZE]][,qmp=PATH]\n"
    "                            connect to a socket of its hypervisor, again and\n"
    "                            again (QEMU: -chardev socket,server=on,wait=off);\n"
    "                            qmp is its monitor (-qmp unix:PATH,server=on,\n"
    "                            wait=off): who ends in the VM is freed at once\n"
    "  --xenstore[=SOCKET]       serve /local/domain/*/gpu/request; without SOCKET:\n"
    "                            XENSTORED_PATH, else /run/xenstored/socket\n"
    "\n"
    "Queues:\n"
    "  --single-queue            one queue for all pools\n"
    "  --by-arrival              inside a class first come, first served: no weights\n"
    "  --job-limit SECONDS       a job may run so long (30)\n"
    "  --faults N                so many late jobs quarantine a VM (5; 0: never)\n"
    "  --queue-depth N           jobs of a VM that may wait (256)\n"
    "  --age-low SECONDS         a job of class low counts as medium after this (30)\n"
    "  --age-medium SECONDS      any job counts as high after this (60)\n"
    "\n"
    "Files:\n"
    "  --state FILE              VMs and pools, an SQLite file; --state= for none\n"
    "                            (/var/lib/divvy/relay.db)\n"
    "  --admin SOCKET            for `divvy vm'; --admin= for none\n"
    "                            (/run/divvy/relay-admin.sock)\n"
    "  --lock FILE               only one relay runs with it (/run/divvy/relay.lock)\n"
    "  --log-format FORMAT       text, json, journal or auto\n"
    "  --quiet                   warnings only\n"
    "  --help, --version\n"
    "\n"
    "For example:\n"
    "  divvy-relay --worker 127.0.0.1:5000 --vm A:1=/run/divvy/vm-a.sock\n"
    "\n"
    "SIGHUP reads the state again. Exit status: 0 after SIGTERM or SIGINT, 2 wrong\n"
    "arguments, 1 other failures.\n";

enum {
    OPTION_WORKER = 0x100,
    OPTION_PARALLEL,
    OPTION_EXCLUSIVE,
    OPTION_VM,
    OPTION_VM_CONNECT,
    OPTION_XENSTORE,
    OPTION_SINGLE,
    OPTION_ARRIVAL,
    OPTION_JOB_LIMIT,
    OPTION_FAULTS,
    OPTION_DEPTH,
    OPTION_AGE_LOW,
    OPTION_AGE_MEDIUM,
    OPTION_STATE,
    OPTION_ADMIN,
    OPTION_LOCK,
    OPTION_LOG_FORMAT,
    OPTION_QUIET,
    OPTION_HELP,
    OPTION_VERSION,
};

static const struct option table[] = {
    {"worker", required_argument, NULL, OPTION_WORKER},
    {"parallel", required_argument, NULL, OPTION_PARALLEL},
    {"exclusive", no_argument, NULL, OPTION_EXCLUSIVE},
    {"vm", required_argument, NULL, OPTION_VM},
    {"vm-connect", required_argument, NULL, OPTION_VM_CONNECT},
    {"xenstore", optional_argument, NULL, OPTION_XENSTORE},
    {"single-queue", no_argument, NULL, OPTION_SINGLE},
    {"by-arrival", no_argument, NULL, OPTION_ARRIVAL},
    {"job-limit", required_argument, NULL, OPTION_JOB_LIMIT},
    {"faults", required_argument, NULL, OPTION_FAULTS},
    {"queue-depth", required_argument, NULL, OPTION_DEPTH},
    {"age-low", required_argument, NULL, OPTION_AGE_LOW},
    {"age-medium", required_argument, NULL, OPTION_AGE_MEDIUM},
    {"state", required_argument, NULL, OPTION_STATE},
    {"admin", required_argument, NULL, OPTION_ADMIN},
    {"lock", required_argument, NULL, OPTION_LOCK},
    {"log-format", required_argument, NULL, OPTION_LOG_FORMAT},
    {"quiet", no_argument, NULL, OPTION_QUIET},
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
    {0},
};

static int number_take(const char *text, const char *option, uint64_t least, uint64_t most, uint64_t *ret_value,
                       struct divvy_error *error) {
    uint64_t value;

    if (divvy_core_u64_parse(text, strlen(text), &value, NULL) < 0 || value < least || value > most)
        return divvy_error_set(error, -EINVAL, "--%s: '%.40s' is no number from %llu to %llu", option, text,
                               (unsigned long long)least, (unsigned long long)most);
    *ret_value = value;
    return 0;
}

static int u32_take(const char *text, const char *option, uint32_t least, uint32_t most, uint32_t *ret_value,
                    struct divvy_error *error) {
    uint64_t value;
    int status = number_take(text, option, least, most, &value, error);

    if (status == 0)
        *ret_value = (uint32_t)value;
    return status;
}

static int seconds_take(const char *text, const char *option, int64_t *ret_ns, struct divvy_error *error) {
    uint64_t value;
    int status = number_take(text, option, 1, 86400, &value, error);

    if (status == 0)
        *ret_ns = (int64_t)(value * DIVVY_NS_PER_SECOND);
    return status;
}

static int worker_take(char *text, struct divvy_relay_options *o, struct divvy_error *error) {
    char *pools = strrchr(text, '=');

    if (o->worker_count == DIVVY_RELAY_WORKERS_MAX)
        return divvy_error_set(error, -EINVAL, "--worker: more than %u", DIVVY_RELAY_WORKERS_MAX);
    if (pools)
        *pools++ = '\0';
    if (pools && strlen(pools) >= sizeof o->workers[0].pools)
        return divvy_error_set(error, -EINVAL, "--worker: '%.20s' is none of A, B and AB", pools);
    o->workers[o->worker_count].endpoint = text;
    (void)snprintf(o->workers[o->worker_count].pools, sizeof o->workers[0].pools, "%s", pools ? pools : "AB");
    o->worker_count++;
    return 0;
}

/* What may stand behind the path of a VM's socket. */
static const char *const settings[] = {",shm=", ",size=", ",qmp="};

enum { SETTING_SHM, SETTING_SIZE, SETTING_QMP, SETTINGS };

/* The first of them in a text; its end, and SETTINGS, where there is none. */
static const char *setting_find(const char *text, size_t *ret_which) {
    const char *first = text + strlen(text);

    *ret_which = SETTINGS;
    for (size_t i = 0; i < SETTINGS; i++) {
        const char *at = strstr(text, settings[i]);

        if (!at || at >= first)
            continue;
        first = at;
        *ret_which = i;
    }
    return first;
}

static int path_take(const char *text, size_t length, const char *name, char ret_path[DIVVY_RELAY_PATH_BYTES], struct divvy_error *error) {
    if (length == 0 || length >= DIVVY_RELAY_PATH_BYTES)
        return divvy_error_set(error, -EINVAL, "--vm: %s= needs a path of at most %u bytes", name, DIVVY_RELAY_PATH_BYTES - 1);
    memcpy(ret_path, text, length);
    ret_path[length] = '\0';
    return 0;
}

static int setting_take(size_t which, const char *text, size_t length, struct divvy_relay_vm_config *vm, struct divvy_error *error) {
    divvy_core_size_t size = {0};

    if (which == SETTING_SHM)
        return path_take(text, length, "shm", vm->shm, error);
    if (which == SETTING_QMP && !vm->connects)
        return divvy_error_set(error, -EINVAL, "--vm: qmp= tells of a socket that the hypervisor has: use --vm-connect");
    if (which == SETTING_QMP)
        return path_take(text, length, "qmp", vm->qmp, error);
    if (divvy_core_size_parse(text, length, &size, NULL) < 0 || size.kind != DIVVY_CORE_SIZE_BYTES ||
        divvy_wire_ring_size_check(size.value) < 0)
        return divvy_error_set(error, -EINVAL, "--vm: '%.40s' is no size from 12KiB to 4GiB in multiples of 4096", text);
    vm->shm_bytes = size.value;
    return 0;
}

/* NAME[:ID]=PATH and settings. Without an ID: the next number. */
static int vm_take(const char *text, bool connects, struct divvy_relay_options *o, struct divvy_error *error) {
    struct divvy_relay_vm_config *vm = &o->vms[o->vm_count];
    const char *equals = strchr(text, '='), *colon = equals ? memchr(text, ':', (size_t)(equals - text)) : NULL;
    const char *end = colon ? colon : equals, *setting;
    uint64_t id = o->vm_count + 1;
    size_t which, path_length;
    int status = 0;

    if (o->vm_count == DIVVY_RELAY_OPTION_VMS_MAX)
        return divvy_error_set(error, -EINVAL, "--vm: more than %u; register them with `divvy vm'", DIVVY_RELAY_OPTION_VMS_MAX);
    setting = setting_find(equals ? equals : text, &which);
    path_length = equals ? (size_t)(setting - equals) - 1 : 0;
    if (!equals || end == text || (size_t)(end - text) >= sizeof vm->name || path_length == 0 || path_length >= sizeof vm->socket ||
        (colon && (divvy_core_u64_parse(colon + 1, (size_t)(equals - colon) - 1, &id, NULL) < 0 || id > UINT32_MAX - 1)))
        return divvy_error_set(error, -EINVAL, "--vm: '%.60s' is not NAME=PATH or NAME:ID=PATH, with or without ,shm=FILE", text);
    *vm = (struct divvy_relay_vm_config){.vm_id = (uint32_t)id, .connects = connects, .params = {.priority = 1, .weight = 50}};
    memcpy(vm->name, text, (size_t)(end - text));
    memcpy(vm->socket, equals + 1, path_length);
    while (status == 0 && which < SETTINGS) {
        const char *value = setting + strlen(settings[which]);
        size_t next;

        setting = setting_find(value, &next);
        status = setting_take(which, value, (size_t)(setting - value), vm, error);
        which = next;
    }
    if (status == 0 && vm->shm_bytes && !vm->shm[0])
        status = divvy_error_set(error, -EINVAL, "--vm: size= needs shm=FILE");
    o->vm_count++;
    return status;
}

static int take(int key, char *value, struct divvy_relay_options *o, struct divvy_error *error) {
    struct divvy_node_vmq_settings *vmq = &o->settings.vmq;

    switch (key) {
    case OPTION_WORKER:
        return worker_take(value, o, error);
    case OPTION_PARALLEL:
        return u32_take(value, "parallel", 1, 1024, &o->settings.parallel, error);
    case OPTION_EXCLUSIVE:
        o->settings.beside = false;
        return 0;
    case OPTION_VM:
    case OPTION_VM_CONNECT:
        return vm_take(value, key == OPTION_VM_CONNECT, o, error);
    case OPTION_XENSTORE:
        o->xenstore = value ? value : "";
        return 0;
    case OPTION_SINGLE:
        vmq->single_queue = true;
        return 0;
    case OPTION_ARRIVAL:
        vmq->by_arrival = true;
        return 0;
    case OPTION_JOB_LIMIT:
        return seconds_take(value, "job-limit", &vmq->job_limit_ns, error);
    case OPTION_FAULTS:
        return u32_take(value, "faults", 0, 1000000, &vmq->faults, error);
    case OPTION_DEPTH:
        return u32_take(value, "queue-depth", 1, DIVVY_RELAY_JOBS_MAX, &vmq->depth, error);
    case OPTION_AGE_LOW:
        return seconds_take(value, "age-low", &vmq->age_low_ns, error);
    case OPTION_AGE_MEDIUM:
        return seconds_take(value, "age-medium", &vmq->age_medium_ns, error);
    case OPTION_STATE:
        o->state = value;
        return 0;
    case OPTION_ADMIN:
        o->admin = value;
        return 0;
    case OPTION_LOCK:
        o->lock = value;
        return 0;
    case OPTION_LOG_FORMAT:
        if (divvy_log_format_parse(value, &o->log.format) < 0)
            return divvy_error_set(error, -EINVAL, "--log-format: '%.20s' is none of text, json, journal and auto", value);
        return 0;
    case OPTION_QUIET:
        o->log.level = DIVVY_LOG_WARN;
        return 0;
    case OPTION_HELP:
        (void)fputs(help, stdout);
        return 1;
    case OPTION_VERSION:
        (void)puts("divvy-relay " DIVVY_VERSION);
        return 1;
    default:
        return divvy_error_set(error, -EINVAL, "unknown or incomplete option (`divvy-relay --help' explains)");
    }
}

int divvy_relay_options_parse(int argc, char **argv, struct divvy_relay_options *ret_options, struct divvy_error *error) {
    struct divvy_relay_options *o = ret_options;
    int key, status;

    *o = (struct divvy_relay_options){.log = {.level = DIVVY_LOG_INFO, .program = "divvy-relay"}};
    divvy_relay_settings_default(&o->settings);
    opterr = 0;
    while ((key = getopt_long(argc, argv, "h", table, NULL)) != -1) {
        status = take(key == 'h' ? OPTION_HELP : key, optarg, o, error);
        if (status != 0)
            return status;
    }
    if (optind < argc)
        return divvy_error_set(error, -EINVAL, "'%.60s' is no option (`divvy-relay --help' explains)", argv[optind]);
    if (o->worker_count == 0 && o->state && !o->state[0])
        return divvy_error_set(error, -EINVAL, "no worker: give --worker ADDRESS");
    if (o->settings.vmq.age_medium_ns < o->settings.vmq.age_low_ns)
        return divvy_error_set(error, -EINVAL, "--age-medium must not be less than --age-low");
    return 0;
}
