/* The limiter's end of the channel: see channel.h. */
#include "limiter/channel/channel.h"

#include "core/log.h"
#include "core/sys.h"
#include "core/text.h"
#include "limiter/channel/lease.h"
#include "limiter/channel/pod.h"
#include "limiter/channel/report.h"
#include "limiter/channel/visible.h"
#include "limiter/compute/compute.h"
#include "limiter/foreign/foreign.h"
#include "limiter/hook/control.h"
#include "limiter/hook/door.h"
#include "limiter/hook/loader.h"
#include "limiter/hook/process.h"
#include "limiter/hook/real.h"
#include "limiter/hook/table.h"
#include "wire/channel/client.h"
#include "wire/channel/duration.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TOKEN_PATH    "/var/run/secrets/kubernetes.io/serviceaccount/token"
#define KERNEL_SIGSET 8 /* bytes of the kernel's own set of signals */

static struct divvy_wire_client client; /* of the caller of pod_ask, then of the thread */
static struct divvy_pod pod;
static bool pod_known;
static pid_t thread_pid; /* of the process that has the thread */
static char client_id[DIVVY_CHANNEL_CLIENT_ID_BYTES] = "worker_0";

/* The thread's own. */
static bool suspended;
static uint64_t broken_ns; /* when the stream ended; 0: it stands, or there was none */
static bool reports_refused;

/* ---- settings ---- */

static const char *variable(const char *name) {
    const char *value = getenv(name);

    return value && *value ? value : NULL;
}

bool divvy_channel_is_wanted(void) {
    return variable("HYPERVISOR_IP") && variable("HYPERVISOR_PORT") && variable("CONTAINER_NAME") && !variable("TF_SHM_FILE");
}

static uint64_t timeout_of(const char *name) {
    const char *text = variable(name);
    int64_t duration_ns;

    if (!text)
        return 0;
    if (divvy_wire_duration_parse(text, strlen(text), &duration_ns) == 0)
        return (uint64_t)duration_ns;
    divvy_core_log_warn("%s: '%s' is no duration such as 30s or 1m 30s; the default holds", name, text);
    return 0;
}

static void task_handle(void *context, const struct divvy_wire_client_task *task, struct divvy_wire_client_result *ret_result);
static void stream_changed(void *context, bool is_connected);
static int process_register(void *context);
static uint64_t stream_tick(void *context);

/* Somebody stands at a gate that a lease over the channel would open. */
static void gate_rang(void) {
    divvy_wire_client_wake(&client);
}

static int client_make(void) {
    struct divvy_wire_client_settings settings = {
        .base = DIVVY_CHANNEL_BASE,
        .client_id = client_id,
        .token_path = variable("DIVVY_POD_TOKEN") ? variable("DIVVY_POD_TOKEN") : TOKEN_PATH,
        .request_ns = timeout_of("HTTP_REQUEST_TIMEOUT"),
        .connect_ns = timeout_of("HTTP_CONNECT_TIMEOUT"),
        .can_wake = true,
        .handle = task_handle,
        .connected = stream_changed,
        .prepare = process_register,
        .tick = stream_tick,
    };
    const char *host = variable("HYPERVISOR_IP"), *port = variable("HYPERVISOR_PORT");
    int status = host && port ? divvy_wire_address_parse(host, port, &settings.address) : -EINVAL;

    if (status < 0) {
        divvy_core_log_once(DIVVY_LOG_ERROR, "HYPERVISOR_IP and HYPERVISOR_PORT must be an IP address and a port: '%s', '%s'",
                            host ? host : "", port ? port : "");
        return status;
    }
    return divvy_wire_client_init(&client, &settings);
}

/* "?container_name=…&container_pid=…" */
static int target_make(divvy_core_text_t *target, const char *path) {
    const char *name = variable("CONTAINER_NAME");

    divvy_core_text_format(target, "%s?container_name=", path);
    for (; name && *name; name++) {
        char byte = *name;
        bool is_plain = (byte >= '0' && byte <= '9') || ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'z') || byte == '-' ||
                        byte == '.' || byte == '_';

        if (is_plain)
            divvy_core_text_add_bytes(target, &byte, 1);
        else
            divvy_core_text_format(target, "%%%02x", (unsigned)(unsigned char)byte);
    }
    divvy_core_text_format(target, "&container_pid=%d", divvy_core_sys_getpid());
    return target->is_cut ? -ENAMETOOLONG : 0;
}

/* One request about this process; the answer's body is in *ret_answer when it is 200. */
static int ask(const char *method, const char *path, struct divvy_wire_client_answer *ret_answer,
               char message[DIVVY_POD_MESSAGE_BYTES]) {
    char bytes[512];
    divvy_core_text_t target, text;
    int status;

    divvy_core_text_init(&target, bytes, sizeof bytes);
    divvy_core_text_init(&text, message, DIVVY_POD_MESSAGE_BYTES);
    status = target_make(&target, path);
    if (status == 0)
        status = divvy_wire_client_call(&client, method, bytes, NULL, 0, ret_answer);
    if (status < 0) {
        divvy_core_text_format(&text, "it cannot be reached: %s (errno %d)", divvy_core_sys_error_text(status), -status);
        return status;
    }
    if (ret_answer->status == 200)
        return 0;
    divvy_core_text_format(&text, "it answered %d", ret_answer->status);
    return ret_answer->status == 401 || ret_answer->status == 403 ? -EACCES : -EPROTO;
}

/* ---- the pod, at activation ---- */

/* A pod that names no GPUs has those that its container was given, as long as that is still what the variable says. */
static void gpus_of_container(void) {
    const char *at = variable("NVIDIA_VISIBLE_DEVICES");

    if (pod.gpu_count > 0 || variable("TF_REMAPPED"))
        return;
    while (at && *at && pod.gpu_count < DIVVY_POD_GPUS_MAX) {
        size_t length = strcspn(at, ",");

        pod.gpu_count += divvy_core_uuid_parse(at, length, &pod.gpus[pod.gpu_count], NULL) == 0;
        at += length + (at[length] == ',');
    }
}

static void visible_rewrite(const struct divvy_limit_device *machine, size_t count) {
    struct divvy_visible_device devices[DIVVY_POD_GPUS_MAX];
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    char text[DIVVY_VISIBLE_BYTES] = "-1";
    size_t used = 0;
    int status;

    /* In NVML's order where that is known; a GPU that NVML does not list is not to be had. */
    for (size_t i = 0; i < count && used < DIVVY_POD_GPUS_MAX && pod.gpu_count > 0; i++)
        if (divvy_pod_has(&pod, &machine[i].uuid))
            devices[used++] = (struct divvy_visible_device){machine[i].index, machine[i].uuid};
    for (unsigned i = 0; i < pod.gpu_count && count == 0; i++)
        devices[used++] = (struct divvy_visible_device){-1, pod.gpus[i]};
    status = divvy_visible_remap(visible, getenv("TF_REMAPPED"), devices, used, text);
    if (status < 0)
        divvy_core_log_once(DIVVY_LOG_ERROR, "CUDA_VISIBLE_DEVICES: '%s' %s; no device is visible", visible ? visible : "",
                            status == -ERANGE ? "is out of range of the pod's devices" : "is no list of devices");
    if (status != 1 && divvy_visible_set(text) < 0)
        divvy_core_log_once(DIVVY_LOG_ERROR, "no memory for the environment; devices keep their machine's numbers");
}

int divvy_channel_pod_ask(const struct divvy_limit_device *machine, size_t count) {
    char message[DIVVY_POD_MESSAGE_BYTES] = "";
    struct divvy_wire_client_answer answer;
    int status = client_make();

    if (status < 0)
        return status;
    status = ask("GET", "/api/v1/pod", &answer, message);
    if (status == 0)
        status = divvy_pod_parse(answer.body, answer.length, &pod, message);
    if (status < 0) {
        divvy_core_log_once(DIVVY_LOG_ERROR, "the hypervisor at %s does not tell the limits of pod %s/%s: %s; %s",
                            client.settings.address.host, variable("POD_NAMESPACE") ? variable("POD_NAMESPACE") : "?",
                            variable("POD_NAME") ? variable("POD_NAME") : "?", message, divvy_limits_what_follows());
        return status;
    }
    pod_known = true;
    if (pod.has_tflops && !divvy_foreign_is_wanted())
        divvy_core_log_warn("the pod's limit in TFLOPS has no percentage with it; GPU time is not limited here");
    gpus_of_container();
    visible_rewrite(machine, count);
    return 0;
}

bool divvy_channel_is_divvyd(void) { return pod_known && pod.is_divvyd; }

void divvy_channel_limit(const struct divvy_limit_device *device, struct divvy_limit *limit) {
    if (!pod_known || (!divvy_pod_has(&pod, &device->uuid) && !divvy_pod_has(&pod, &device->parent)))
        return;
    if (pod.memory_bytes && (limit->bytes == 0 || pod.memory_bytes < limit->bytes))
        limit->bytes = pod.memory_bytes;
    if (pod.permille && (limit->permille == 0 || pod.permille < limit->permille))
        limit->permille = pod.permille;
}

void divvy_channel_device_entered(const struct divvy_page *usage, unsigned device) {
    if (divvy_channel_is_wanted())
        divvy_channel_lease_device(usage, device, gate_rang);
}

void divvy_channel_device_changed(const struct divvy_page *usage, unsigned device) {
    if (divvy_channel_is_wanted())
        divvy_channel_lease_limits(usage, device);
}

/* ---- the thread: registration ---- */

/* Before each stream: a hypervisor that was started anew knows this process again, maybe by another pid. */
static int process_register(void *context) {
    char message[DIVVY_POD_MESSAGE_BYTES] = "";
    struct divvy_wire_client_answer answer;
    divvy_core_text_t id;
    int32_t host_pid;
    int status = ask("POST", "/api/v1/process", &answer, message);

    (void)context;
    if (status == 0)
        status = divvy_pod_process_parse(answer.body, answer.length, &host_pid, message);
    if (status < 0) {
        divvy_core_log_limited(DIVVY_LOG_WARN, 60 * DIVVY_NS_PER_SECOND, "the hypervisor does not register this process: %s",
                               message);
        return status;
    }
    divvy_core_text_init(&id, client_id, sizeof client_id);
    divvy_core_text_format(&id, "worker_%d", host_pid);
    return 0;
}

/* ---- the thread: commands ---- */

static void suspend(bool is_suspended) {
    suspended = is_suspended;
    divvy_compute_suspend(DIVVY_COMPUTE_BY_COMMAND, is_suspended);
}

/* Memory that the driver keeps in pools for later goes back to the device. */
static const char *memory_reclaim(void) {
    unsigned trimmed = 0;

    if (divvy_door_is_shut())
        return "its memory is saved";
    if (!divvy_real_has(cuMemPoolTrimTo) || !divvy_real_has(cuDeviceGetDefaultMemPool))
        return "the driver has no pools";
    for (uint32_t ordinal = 0; ordinal < divvy_process.device_count; ordinal++) {
        CUmemoryPool pool;

        if (divvy_real.cuDeviceGetDefaultMemPool(&pool, (CUdevice)ordinal) == CUDA_SUCCESS &&
            divvy_hook_cuMemPoolTrimTo(pool, 0) == CUDA_SUCCESS)
            trimmed++;
    }
    return trimmed > 0 ? NULL : "no pool could be trimmed";
}

/* NULL: done; else why not. */
static const char *command_do(const struct divvy_wire_command *command) {
    int status;

    switch (command->kind) {
    case DIVVY_CHANNEL_HEALTH_CHECK:
        return NULL;
    case DIVVY_CHANNEL_SUSPEND:
        suspend(true);
        return NULL;
    case DIVVY_CHANNEL_RESUME:
        suspend(false);
        return NULL;
    case DIVVY_CHANNEL_VRAM_RECLAIM:
        return memory_reclaim();
    case DIVVY_CHANNEL_LEASE:
        status = divvy_channel_lease_apply(command, divvy_core_clock_ns());
        return status == 0         ? NULL
               : status == -EBUSY  ? DIVVY_CHANNEL_LEASE_PAGED
               : status == -ENODEV ? DIVVY_CHANNEL_LEASE_ABSENT
               : status == -ESTALE ? "a later lease has come"
                                   : "mode or times are out of range";
    default:
        return "this command is not known here";
    }
}

static void task_handle(void *context, const struct divvy_wire_client_task *task, struct divvy_wire_client_result *ret_result) {
    struct divvy_wire_command command;
    divvy_core_text_t error;
    const char *reason;

    (void)context;
    divvy_core_text_init(&error, ret_result->error, sizeof ret_result->error);
    if (divvy_wire_command_parse(task->data, &command) < 0) {
        divvy_core_text_add(&error, "no limiter command");
        return;
    }
    reason = command_do(&command);
    divvy_wire_command_answer(&command, reason == NULL, reason, ret_result);
    if (reason)
        divvy_core_text_add(&error, reason);
}

/* Orders outlive their stream for a moment only: nobody could take them back. */
static void stream_changed(void *context, bool is_connected) {
    uint64_t now_ns = divvy_core_clock_ns();
    bool is_long;

    (void)context;
    divvy_channel_report_reset();
    if (is_connected) {
        broken_ns = 0;
        reports_refused = false;
        return;
    }
    if (broken_ns == 0)
        broken_ns = now_ns;
    is_long = now_ns - broken_ns >= (uint64_t)DIVVY_CONTROL_FROZEN_STALE_NS;
    divvy_channel_lease_reset(!is_long);
    if (is_long && suspended)
        suspend(false);
}

/* ---- the thread: reports, while leases come over the channel ---- */

/* A request takes its time: what came of the leases meanwhile is looked at again right after it. */
static uint64_t stream_tick(void *context) {
    uint64_t now_ns = divvy_core_clock_ns(), lease_ns = divvy_channel_lease_tick(now_ns), report_ns;
    struct divvy_wire_client_answer answer;
    char bytes[DIVVY_CHANNEL_REPORT_BYTES];
    divvy_core_text_t body;

    (void)context;
    if (lease_ns == UINT64_MAX || reports_refused)
        return lease_ns;
    divvy_core_text_init(&body, bytes, sizeof bytes);
    if (divvy_channel_report_make(client_id, now_ns, &body, &report_ns)) {
        reports_refused = divvy_wire_client_call(&client, "POST", DIVVY_CHANNEL_BASE "/report", bytes, body.length,
                                                 &answer) == 0 &&
                          answer.status == 404;
        now_ns = divvy_core_clock_ns() - now_ns;
        report_ns = report_ns > now_ns ? report_ns - now_ns : 0;
    }
    return report_ns < lease_ns ? report_ns : lease_ns;
}

/* ---- the thread itself ---- */

static void *thread_main(void *argument) {
    (void)argument;
    (void)prctl(PR_SET_NAME, "divvy-channel");
    divvy_wire_client_run(&client);
    return NULL;
}

typedef int create_t(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
typedef int detach_t(pthread_t);

/* libpthread is there when CUDA is; which version of it, and in which library, only the loader knows. */
static int thread_start(void) {
    create_t *create;
    detach_t *detach;
    uint64_t all = UINT64_MAX, before = 0;
    pthread_t thread;
    int host_errno = errno, status;

    *(void **)&create = divvy_loader_symbol(RTLD_DEFAULT, "pthread_create");
    *(void **)&detach = divvy_loader_symbol(RTLD_DEFAULT, "pthread_detach");
    if (!create || !detach)
        return -ENOSYS;
    /* Signals of the program are for its own threads; the new one inherits this. */
    (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, (size_t)KERNEL_SIGSET);
    status = create(&thread, NULL, thread_main, NULL);
    (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, (size_t)KERNEL_SIGSET);
    if (status == 0)
        (void)detach(thread);
    errno = host_errno;
    return -status;
}

void divvy_channel_start(void) {
    pid_t pid = divvy_core_sys_getpid();
    int status;

    if (!divvy_channel_is_wanted() || thread_pid == pid)
        return;
    if (thread_pid != 0)
        divvy_channel_forked();
    thread_pid = pid;
    status = client_make();
    if (status == 0)
        status = thread_start();
    if (status < 0)
        divvy_core_log_once(DIVVY_LOG_ERROR, "the channel to the hypervisor cannot be opened: %s (errno %d)",
                            divvy_core_sys_error_text(status), -status);
}

void divvy_channel_forked(void) {
    if (thread_pid == 0)
        return;
    divvy_wire_client_forked(&client);
    divvy_channel_lease_reset(false);
    suspended = reports_refused = false;
    broken_ns = 0;
    divvy_channel_report_reset();
    thread_pid = 0;
}
