/* Workers of the running agent: from wishes to processes. See agent.h. */
#include "agent/agent.h"

#include "backend/environment.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUNNER_BUSY 75 /* divvy-runner's exit status when it has no slice to run on */

/* ---- the command ---- */

static const char *vendor_of(const struct divvy_agent *agent, const struct divvy_agent_wish *wish) {
    const char *first = json_string_value(json_array_get(wish->devices, 0));
    const json_t *gpu = first ? divvy_agent_gpu_find(agent->gpus, first) : NULL;
    const char *vendor = gpu ? json_string_value(divvy_backend_object_get(gpu, "vendor")) : NULL;

    return vendor && vendor[0] ? vendor : "nvidia";
}

static int variable_set(struct divvy_backend_environment *environment, const char *name,
                        const char *format, ...) __attribute__((format(printf, 3, 4)));

static int variable_set(struct divvy_backend_environment *environment, const char *name,
                        const char *format, ...) {
    char value[PATH_MAX + 64];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(value, sizeof value, format, arguments);
    va_end(arguments);
    return length < 0 || (size_t)length >= sizeof value
               ? -ENAMETOOLONG
               : divvy_backend_environment_set(environment, name, value);
}

/* The same value for each of its devices, by UUID: indices would count all devices of the machine. */
static int limits_set(struct divvy_backend_environment *environment, const char *name,
                      const json_t *devices, uint64_t value) {
    cleanup_free char *text = NULL;
    json_t *limits = json_object();
    int status = limits ? 0 : -ENOMEM;

    for (size_t i = 0; i < json_array_size(devices) && status == 0; i++)
        status = json_object_set_new(limits, json_string_value(json_array_get(devices, i)),
                                     json_integer((json_int_t)value)) < 0
                     ? -ENOMEM
                     : 0;
    text = status == 0 ? json_dumps(limits, JSON_COMPACT) : NULL;
    json_decref(limits);
    return text ? divvy_backend_environment_set(environment, name, text) : -ENOMEM;
}

/* Soft isolation: the limiter is loaded into the worker and holds it to its share. */
static int soft_limits_set(const struct divvy_agent *agent, const struct divvy_agent_wish *wish,
                           struct divvy_backend_environment *environment,
                           struct divvy_error *error) {
    int status;

    if (!wish->memory_bytes && !wish->percent)
        return 0;
    if (!agent->limiter[0])
        return divvy_error_set(error, -ENOENT,
                               "its limits need libcuda_limiter.so, which is not installed here");
    status = variable_set(environment, "LD_PRELOAD", "%s", agent->limiter);
    if (status == 0) /* of whoever started us: its limits would count instead */
        status = divvy_backend_environment_set(environment, "DIVVY_TENANT_DIR", NULL);
    if (status == 0 && wish->memory_bytes)
        status = limits_set(environment, "TENSOR_FUSION_CUDA_MEM_LIMIT", wish->devices,
                            wish->memory_bytes);
    if (status == 0 && wish->percent)
        status = limits_set(environment, "TENSOR_FUSION_CUDA_UP_LIMIT", wish->devices, wish->percent);
    return status < 0 ? divvy_error_set_errno(error, status, "its limits") : 0;
}

/* What workers of the later generation look for. */
static int extras_set(const struct divvy_agent *agent, const struct divvy_agent_wish *wish,
                      struct divvy_backend_environment *environment) {
    const char *plain = json_string_value(json_object_get(agent->registration.license, "plain"));
    const char *sign = json_string_value(json_object_get(agent->registration.license, "encrypted"));
    char name[NAME_MAX], path[PATH_MAX];
    int status = divvy_backend_environment_set(environment, "TF_ENABLE_LOG", "1");

    if (status == 0 && !getenv("TF_LOG_LEVEL"))
        status = divvy_backend_environment_set(environment, "TF_LOG_LEVEL", "info");
    (void)snprintf(name, sizeof name, "connections/%.128s.txt", wish->id);
    divvy_agent_path_join(agent->paths.state, name, path);
    if (status == 0 && !strchr(wish->id, '/'))
        status = variable_set(environment, "TF_CONNECTION_INFO_PATH", "%s", path);
    (void)snprintf(name, sizeof name, "%.128s_share_codes", wish->id);
    divvy_agent_path_join(agent->paths.config, name, path);
    if (status == 0 && !strchr(wish->id, '/') && !wish->is_local) {
        status = divvy_backend_environment_set(environment, "TF_ENABLE_URL_AUTH", "1");
        if (status == 0)
            status = variable_set(environment, "TF_AUTHORIZED_KEY_PATH", "%s", path);
    }
    if (status == 0 && plain && plain[0] && sign && sign[0]) {
        status = divvy_backend_environment_set(environment, "TF_LICENSE", plain);
        if (status == 0)
            status = divvy_backend_environment_set(environment, "TF_LICENSE_SIGN", sign);
    }
    return status;
}

/* A slice of its GPU: divvy-runner reserves one, or makes it, has the worker on that and on nothing else, and gives it back. */
static size_t slice_arguments(const struct divvy_agent *agent, const struct divvy_agent_wish *wish, const char *gpu,
                              struct divvy_agent_launch *command) {
    size_t at = 0;

    if (wish->profile[0])
        (void)snprintf(command->profile, sizeof command->profile, "%s", wish->profile);
    else
        (void)snprintf(command->profile, sizeof command->profile, "custom.%llu",
                       (unsigned long long)((wish->memory_bytes + (1u << 20) - 1) >> 20));
    command->arguments[at++] = "--require-slice";
    command->arguments[at++] = "--create";
    command->arguments[at++] = "--metrics";
    command->arguments[at++] = "off";
    command->arguments[at++] = "--gpu";
    command->arguments[at++] = gpu;
    command->arguments[at++] = "--profile";
    command->arguments[at++] = command->profile;
    command->arguments[at++] = "--target";
    command->arguments[at++] = agent->worker_binary;
    command->arguments[at++] = "--";
    return at;
}

int divvy_agent_launch_make(const struct divvy_agent *agent, const struct divvy_agent_wish *wish,
                            struct divvy_agent_launch *ret_command, struct divvy_error *error) {
    const char *devices[DIVVY_AGENT_GPUS_MAX];
    size_t count = json_array_size(wish->devices), at = 0;
    struct divvy_backend_grant grant = {.worker = wish->id,
                                        .vendor = vendor_of(agent, wish),
                                        .devices = devices,
                                        .device_count = count};
    int status;

    memset(ret_command, 0, sizeof *ret_command);
    if (count > DIVVY_AGENT_GPUS_MAX)
        return divvy_error_set(error, -EINVAL, "it has more than %u GPUs", DIVVY_AGENT_GPUS_MAX);
    for (size_t i = 0; i < count; i++)
        devices[i] = json_string_value(json_array_get(wish->devices, i));
    if (wish->isolation == DIVVY_AGENT_HARD) {
        grant.memory_bytes = wish->memory_bytes;
        grant.compute_percent = wish->percent;
    }
    status = divvy_backend_environment_init(&ret_command->environment, &grant, error);
    if (status == 0 && wish->isolation == DIVVY_AGENT_SOFT)
        status = soft_limits_set(agent, wish, &ret_command->environment, error);
    if (status == 0 && (status = extras_set(agent, wish, &ret_command->environment)) < 0)
        (void)divvy_error_set_errno(error, status, "its environment");
    (void)snprintf(ret_command->port, sizeof ret_command->port, "%u", wish->port);
    if (wish->isolation == DIVVY_AGENT_PARTITIONED) {
        if (status == 0 && !agent->runner[0])
            status = divvy_error_set(error, -ENOENT, "partitions need divvy-runner, which is not installed beside ggo");
        at = slice_arguments(agent, wish, devices[0], ret_command);
        if (status == 0 && wish->memory_bytes &&
            (status = variable_set(&ret_command->environment, "HYPERCORE_VRAM_LIMIT_BYTES", "%llu",
                                   (unsigned long long)wish->memory_bytes)) < 0)
            (void)divvy_error_set_errno(error, status, "its limits");
    }
    ret_command->arguments[at++] = "-p";
    ret_command->arguments[at++] = ret_command->port;
    if (!agent->is_single_node) {
        ret_command->arguments[at++] = "-n";
        ret_command->arguments[at++] = "native";
    }
    ret_command->command = (struct divvy_backend_command){
        .binary = wish->isolation == DIVVY_AGENT_PARTITIONED ? agent->runner : agent->worker_binary,
        .arguments = ret_command->arguments,
        .environment = (const char *const *)ret_command->environment.entries,
        .folder = agent->paths.state,
        .port = wish->port};
    return status;
}

void divvy_agent_launch_done(struct divvy_agent_launch *command) {
    divvy_backend_environment_done(&command->environment);
}

/* ---- what is said of a worker ---- */

static void process_view(const struct divvy_backend_process *process,
                         struct divvy_agent_view *view) {
    view->pid = process->pid;
    view->restarts = process->restarts;
    view->exit_code = process->exit_code;
    switch (process->phase) {
    case DIVVY_NODE_LIFE_RUNNING:
        view->status = "running";
        return;
    case DIVVY_NODE_LIFE_STOPPING:
    case DIVVY_NODE_LIFE_KILLED:
        view->status = "stopping";
        return;
    case DIVVY_NODE_LIFE_WAITING:
        view->status = process->exited && process->exit_known && process->exit_code == 0
                           ? "terminated"
                           : "error";
        (void)snprintf(view->message, sizeof view->message, "%.159s", process->reason);
        return;
    default:
        view->status = "stopped";
    }
}

void divvy_agent_worker_view(const struct divvy_agent *agent, const struct divvy_agent_wish *wish,
                             struct divvy_agent_view *ret_view) {
    struct divvy_backend_process process;

    *ret_view = (struct divvy_agent_view){.status = "stopped"};
    if (divvy_backend_process_get(agent->processes, wish->id, &process) == 0)
        process_view(&process, ret_view);
    if (wish->isolation == DIVVY_AGENT_PARTITIONED && !ret_view->pid && ret_view->exit_code == RUNNER_BUSY)
        (void)snprintf(ret_view->message, sizeof ret_view->message,
                       "no slice of its GPU is to be had; its log says why, and it is tried again");
    if (wish->enabled && wish->refusal[0]) {
        ret_view->status = ret_view->pid ? ret_view->status : "error";
        (void)snprintf(ret_view->message, sizeof ret_view->message, "%.159s", wish->refusal);
    }
}

/* ---- reading and following ---- */

/* 1: it was read anew and is another; 0: nothing new; negative: it could not be read, and what is known stays. */
static int file_read(struct divvy_backend_filestate *file, const char *folder, const char *name,
                     json_t **known, struct divvy_error *last) {
    struct divvy_error error = {0};
    json_t *list = NULL;
    int status = divvy_backend_filestate_read(file, &list, NULL, &error);

    if (status < 0) {
        if (strcmp(last->text, error.text) != 0)
            divvy_log_error("%s/%s: %s; what was known before stays in force", folder, name,
                            error.text);
        *last = error;
        return status;
    }
    last->text[0] = '\0';
    if (*known && json_equal(*known, list)) {
        json_decref(list);
        return 0;
    }
    json_decref(*known);
    *known = list;
    return 1;
}

static bool runs_now(void *data, const char *id) {
    const struct divvy_agent *agent = data;
    struct divvy_backend_process process;

    return divvy_backend_process_get(agent->processes, id, &process) == 0 && process.pid > 0;
}

static void worker_follow(struct divvy_agent *agent, struct divvy_agent_wish *wish) {
    struct divvy_agent_launch command;
    struct divvy_error error = {0};
    int status;

    if (!wish->enabled || wish->refusal[0]) {
        (void)divvy_backend_process_unwant(agent->processes, wish->id);
        return;
    }
    status = divvy_agent_launch_make(agent, wish, &command, &error);
    if (status == 0)
        status = divvy_backend_process_want(agent->processes, wish->id, &command.command, &error);
    divvy_agent_launch_done(&command);
    if (status < 0) {
        (void)snprintf(wish->refusal, sizeof wish->refusal, "%.159s", error.text);
        (void)divvy_backend_process_unwant(agent->processes, wish->id);
    }
}

/* Refusals are told when they are new. */
static void refusals_tell(const struct divvy_agent_wishes *before,
                          const struct divvy_agent_wishes *wishes) {
    for (size_t i = 0; i < wishes->count; i++) {
        const struct divvy_agent_wish *wish = &wishes->list[i];
        const struct divvy_agent_wish *former =
            before->by_id ? divvy_agent_wishes_find(before, wish->id) : NULL;
        char id[DIVVY_AGENT_WORKER_ID_BYTES], why[DIVVY_AGENT_REASON_BYTES];

        if (!wish->enabled || !wish->refusal[0] ||
            (former && strcmp(former->refusal, wish->refusal) == 0))
            continue;
        divvy_text_clean(wish->id, id, sizeof id);
        divvy_text_clean(wish->refusal, why, sizeof why);
        divvy_log_warn("worker %s cannot run: %s", id, why);
    }
}

struct left {
    struct divvy_agent *agent;
    json_t *ids;
};

static void left_note(void *data, const char *id) {
    struct left *left = data;

    if (!divvy_agent_wishes_find(&left->agent->wishes, id))
        (void)json_array_append_new(left->ids, json_string(id));
}

/* Workers that run, from now or from an earlier agent's time, though no file names them any more. */
static void strangers_stop(struct divvy_agent *agent) {
    struct left left = {.agent = agent, .ids = json_array()};
    json_t *id;
    size_t index;

    for (size_t i = 0; i < divvy_backend_processes_count(agent->processes); i++) {
        struct divvy_backend_process process;

        if (divvy_backend_processes_at(agent->processes, i, &process) == 0)
            left_note(&left, process.id);
    }
    (void)divvy_backend_processes_left(agent->processes, left_note, &left);
    json_array_foreach(left.ids, index, id)(void)
        divvy_backend_process_unwant(agent->processes, json_string_value(id));
    json_decref(left.ids);
}

void divvy_agent_workers_follow(struct divvy_agent *agent) {
    const struct divvy_agent_wish_input input = {.is_single_node = agent->is_single_node,
                                                 .isolation = agent->isolation,
                                                 .runs = runs_now,
                                                 .data = agent};
    struct divvy_agent_wish_input filled = input;
    struct divvy_agent_wishes wishes, before = agent->wishes;
    struct divvy_error none = {0};
    bool is_known;
    int gpus, state, config;

    agent->must_read = false;
    gpus = file_read(agent->config_gpus, agent->paths.config, "gpus.json", &agent->gpus, &none);
    state = file_read(agent->state_workers, agent->paths.state, DIVVY_BACKEND_WORKERS_FILE,
                      &agent->state, &agent->last_state);
    config = file_read(agent->config_workers, agent->paths.config, DIVVY_BACKEND_WORKERS_FILE,
                       &agent->config, &agent->last_config);
    is_known = agent->is_single_node ? agent->state != NULL : agent->config != NULL;
    /* As long as the deciding file was never readable, nobody knows what shall run: what runs goes on. */
    if (!is_known || (agent->wishes.by_id && gpus <= 0 && state <= 0 && config <= 0))
        return;
    filled.state = agent->state;
    filled.config = agent->config;
    filled.gpus = agent->gpus;
    if (divvy_agent_wishes_make(&filled, &wishes) < 0) {
        divvy_log_error("out of memory: the workers stay as they are");
        return;
    }
    agent->wishes = wishes;
    for (size_t i = 0; i < wishes.count; i++)
        worker_follow(agent, &wishes.list[i]);
    refusals_tell(&before, &agent->wishes);
    divvy_agent_wishes_done(&before);
    strangers_stop(agent);
    agent->must_report = true;
}
