/*
 * The limiter's end of the channel on the simulated GPU: hypervisor LOAD PROBE FORKER LIBRARIES [SANITIZER]. Plays the hypervisor of a
 * node: programs are started as a pod's container starts them, register, and get commands; the device's record of busy time
 * tells whether they obey.
 */
#include "../../../bench/channel_host.h"
#include "core/clock.h"
#include "core/uuid.h"
#include "simgpu/engine/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MS      UINT64_C(1000000)
#define WAIT_MS 20000 /* for what must happen, however busy the host */

static char folder[] = "/tmp/divvy-channel-XXXXXX";
static const char *load, *probe, *forker, *libraries;
static unsigned failures;
static struct channel_host host;
static uint16_t port;
static char uuid[2][DIVVY_CORE_UUID_TEXT_BYTES];

/* What the pod is, and what has been asked. Written while nobody asks; counted by the server's threads. */
static struct {
    const char *limits; /* members of PodInfo, or NULL: no such pod */
    unsigned pods, processes, reports;
    uint64_t waiting;
} pod;

static void expect(bool right, const char *what) {
    failures += !right;
    printf("%-74s %s\n", what, right ? "right" : "WRONG");
    fflush(stdout);
}

static void rest_ms(uint64_t ms) {
    struct timespec duration = {(time_t)(ms / 1000), (long)(ms % 1000 * MS)};

    (void)nanosleep(&duration, NULL);
}

/* ---- the hypervisor ---- */

static int other(void *context, const char *method, const char *path, const char *container, int pid, char *text, size_t size) {
    bool is_pod = strcmp(path, "/api/v1/pod") == 0 && strcmp(method, "GET") == 0;

    (void)context;
    if (!is_pod && (strcmp(path, "/api/v1/process") != 0 || strcmp(method, "POST") != 0))
        return 404;
    if (!container || strcmp(container, "main c") != 0 || pid <= 0)
        return 400;
    __atomic_add_fetch(is_pod ? &pod.pods : &pod.processes, 1, __ATOMIC_SEQ_CST);
    if (!pod.limits)
        (void)snprintf(text, size, "{\"success\":false,\"data\":null,\"message\":\"Pod p not found in namespace n\"}");
    else if (is_pod)
        (void)snprintf(text, size, "{\"success\":true,\"data\":{\"pod_name\":\"p\",\"namespace\":\"n\",%s},\"message\":\"\"}", pod.limits);
    else
        (void)snprintf(text, size, "{\"success\":true,\"data\":{\"host_pid\":%d,\"container_pid\":%d},\"message\":\"\"}", pid, pid);
    return 200;
}

static int report(void *context, const struct divvy_channel_report *given) {
    (void)context;
    __atomic_add_fetch(&pod.reports, 1, __ATOMIC_SEQ_CST);
    for (uint32_t i = 0; i < given->count; i++)
        __atomic_add_fetch(&pod.waiting, given->devices[i].waiting, __ATOMIC_SEQ_CST);
    return 0;
}

static bool host_start(uint16_t wanted) {
    struct divvy_channel_server_options options = {.report = report};
    int status = -EADDRINUSE;

    for (int i = 0; i < 100 && status == -EADDRINUSE; i++) {
        status = channel_host_start(&host, &options, NULL, wanted);
        if (status < 0)
            rest_ms(20);
    }
    host.other = other;
    port = status == 0 ? host.port : 0;
    return status == 0;
}

static bool client_waits(int pid) {
    char name[64];

    (void)snprintf(name, sizeof name, "worker_%d", pid);
    for (int i = 0; i < WAIT_MS / 10; i++) {
        if (divvy_channel_server_is_there(host.server, name))
            return true;
        rest_ms(10);
    }
    return false;
}

/* A command and its answer: 1 success, 0 refused, -1 none came. */
static int order(int pid, const struct divvy_channel_order *command) {
    struct divvy_channel_outcome outcome;
    char name[64], id[DIVVY_CHANNEL_TASK_ID_BYTES];
    bool success;

    (void)snprintf(name, sizeof name, "worker_%d", pid);
    if (divvy_channel_server_command(host.server, name, command, NULL, id) < 0 ||
        divvy_channel_server_wait(host.server, name, id, INT64_C(1000000) * WAIT_MS, &outcome) < 0)
        return -1;
    success = outcome.success;
    free(outcome.result);
    free(outcome.error);
    return success;
}

static int simple(int pid, enum divvy_channel_kind kind) {
    return order(pid, &(struct divvy_channel_order){.kind = kind});
}

static int lease(int pid, const char *mode, uint64_t begin_ns, uint64_t length_ns) {
    return order(pid, &(struct divvy_channel_order){
                          .kind = DIVVY_CHANNEL_LEASE, .device = uuid[0], .mode = mode, .begin_ns = begin_ns, .length_ns = length_ns});
}

/* ---- programs ---- */

static void child_become(const char *program, const char *argument, const char *visible, const char *policy, int output) {
    char text[300];

    (void)dup2(output, 1);
    (void)dup2(output, 2);
    (void)setenv("HYPERVISOR_IP", "127.0.0.1", 1);
    (void)snprintf(text, sizeof text, "%u", port);
    (void)setenv("HYPERVISOR_PORT", text, 1);
    (void)setenv("POD_NAME", "p", 1);
    (void)setenv("POD_NAMESPACE", "n", 1);
    (void)setenv("CONTAINER_NAME", "main c", 1);
    (void)setenv("HTTP_CONNECT_TIMEOUT", "10s", 1);
    if (visible)
        (void)setenv("CUDA_VISIBLE_DEVICES", visible, 1);
    if (policy)
        (void)setenv("DIVVY_FAIL_POLICY", policy, 1);
    (void)snprintf(text, sizeof text, "%s/simgpu", libraries);
    (void)setenv("LD_LIBRARY_PATH", text, 1);
    (void)snprintf(text, sizeof text, "%s/libcuda_limiter.so", libraries);
    (void)setenv("LD_PRELOAD", text, 1);
    (void)execlp(program, program, argument, (char *)NULL);
    _exit(127);
}

static pid_t child_start(const char *program, const char *argument, const char *visible, const char *policy, int *ret_output) {
    int pipes[2];
    pid_t pid;

    if (pipe2(pipes, O_CLOEXEC) < 0)
        exit(2);
    pid = fork();
    if (pid == 0)
        child_become(program, argument, visible, policy, pipes[1]);
    (void)close(pipes[1]);
    *ret_output = pipes[0];
    return pid;
}

/* Runs a program to its end: its status; what it said is in `text`. */
static int child_run(const char *program, const char *argument, const char *visible, const char *policy, char *text, size_t size) {
    size_t length = 0;
    ssize_t got;
    int output, status;
    pid_t pid = child_start(program, argument, visible, policy, &output);

    while (length < size - 1 && (got = read(output, text + length, size - 1 - length)) > 0)
        length += (size_t)got;
    text[length] = '\0';
    (void)close(output);
    (void)waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void child_stop(pid_t pid, int output) {
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    (void)close(output);
}

static uint64_t busy_ns(pid_t pid) {
    divvy_simgpu_process_t processes[8];
    size_t total = 0;

    if (divvy_simgpu_processes(0, processes, 8, &total) < 0)
        return 0;
    for (size_t i = 0; i < total && i < 8; i++)
        if (processes[i].pid == pid)
            return processes[i].busy_ns;
    return 0;
}

/* GPU time that it used in so long. */
static uint64_t used_ms(pid_t pid, uint64_t ms) {
    uint64_t before_ns = busy_ns(pid);

    rest_ms(ms);
    return (busy_ns(pid) - before_ns) / MS;
}

static bool computes(pid_t pid) {
    for (int i = 0; i < WAIT_MS / 100; i++)
        if (used_ms(pid, 100) >= 5)
            return true;
    return false;
}

/* In mode open a program may have queued a lot. */
static bool comes_to_rest(pid_t pid) {
    for (int i = 0; i < WAIT_MS / 300; i++)
        if (used_ms(pid, 300) == 0)
            return true;
    return false;
}

/* What was let through before has drained by then. */
static bool stands_still(pid_t pid) {
    rest_ms(100);
    return used_ms(pid, 300) == 0;
}

/* ---- what is shown ---- */

static void commands_check(pid_t pid) {
    expect(simple(pid, DIVVY_CHANNEL_HEALTH_CHECK) == 1, "health check is answered");
    expect(computes(pid), "computes");
    expect(simple(pid, DIVVY_CHANNEL_SUSPEND) == 1 && stands_still(pid), "suspended: nothing runs");
    expect(simple(pid, DIVVY_CHANNEL_SUSPEND) == 1 && stands_still(pid), "suspended twice is suspended");
    expect(simple(pid, DIVVY_CHANNEL_RESUME) == 1 && computes(pid), "resumed: goes on");
    expect(simple(pid, DIVVY_CHANNEL_VRAM_RECLAIM) >= 0, "reclaim is answered");
}

static void leases_check(pid_t pid) {
    uint64_t before_ns, ms;

    expect(lease(pid, "frozen", 0, 0) == 1 && stands_still(pid), "frozen by a lease: nothing runs");
    expect(pod.reports > 0 && pod.waiting > 0, "reports say that it waits");
    before_ns = busy_ns(pid);
    expect(lease(pid, "leased", 20 * MS, 100 * MS) == 1, "leased for 100 ms, 20 ms from now");
    rest_ms(400);
    ms = (busy_ns(pid) - before_ns) / MS;
    printf("  %llu ms of GPU time in the lease\n", (unsigned long long)ms);
    expect(ms >= 50 && ms <= 110, "computes inside the lease, and drains at most");
    expect(stands_still(pid), "and not behind it");
    expect(lease(pid, "open", 0, 0) == 1 && computes(pid), "open: computes");
    expect(lease(pid, "frozen", 0, 0) == 1 && comes_to_rest(pid), "frozen again: comes to rest");
    expect(lease(pid, "self", 0, 0) == 1 && computes(pid), "self: computes at its own pace");
    expect(lease(pid, "nonsense", 0, 0) == 0, "a mode that is not known is refused");
    expect(order(pid, &(struct divvy_channel_order){.kind = DIVVY_CHANNEL_LEASE, .device = "GPU-77777777-0000-0000-0000-000000000000"}) == 0,
           "a device that it does not have is refused");
}

static void restart_check(pid_t pid) {
    unsigned before = pod.processes;

    expect(lease(pid, "leased", 0, 1) == 1 && stands_still(pid), "a lease that is over: nothing runs");
    channel_host_stop(&host);
    expect(computes(pid), "the hypervisor is gone: computes at its own pace");
    expect(host_start(port) && client_waits(pid), "the hypervisor is back: it has returned");
    expect(pod.processes > before, "and has registered again");
    expect(simple(pid, DIVVY_CHANNEL_SUSPEND) == 1 && stands_still(pid), "suspended");
    channel_host_stop(&host);
    expect(used_ms(pid, 3000) == 0, "the hypervisor is gone: stays suspended for a while");
    for (int i = 0; i < 60 && used_ms(pid, 500) < 5; i++)
        ;
    expect(computes(pid), "and not for ever");
    expect(host_start(port), "the hypervisor is back");
}

/* A child that has nothing to do with CUDA does not keep its parent's stream open. */
static void forked_check(void) {
    char text[32] = "", name[64];
    int output;
    pid_t pid = child_start(forker, NULL, NULL, NULL, &output);
    bool is_gone = false;

    expect(client_waits(pid), "a program that is going to fork waits for commands");
    expect(read(output, text, sizeof text - 1) > 0 && simple(pid, DIVVY_CHANNEL_HEALTH_CHECK) == 1, "so it does after the fork");
    child_stop(pid, output);
    (void)snprintf(name, sizeof name, "worker_%d", pid);
    for (int i = 0; i < WAIT_MS / 10 && !is_gone; i++) {
        is_gone = !divvy_channel_server_is_there(host.server, name);
        rest_ms(10);
    }
    expect(is_gone && kill((pid_t)strtol(text, NULL, 10), SIGKILL) == 0, "killed: that is seen, while its child lives on");
}

static void others_check(void) {
    char text[4096];
    unsigned before;

    before = pod.pods + pod.processes;
    expect(child_run("true", NULL, NULL, NULL, text, sizeof text) == 0 && text[0] == '\0', "a program without CUDA runs as ever");
    expect(pod.pods + pod.processes == before, "and nothing is asked");
    before = pod.processes;
    expect(child_run(probe, "nvml", NULL, NULL, text, sizeof text) == 0 && strstr(text, "nvml-total 1073741824 "),
           "NVML alone shows the pod's memory");
    expect(pod.processes == before, "and does not register");
    expect(child_run(probe, NULL, NULL, NULL, text, sizeof text) == 0 && strstr(text, "total 1073741824 used"),
           "CUDA shows the pod's memory");
    expect(!strstr(text, "device 1"), "and the pod's GPU only");
    expect(child_run(probe, NULL, "0", NULL, text, sizeof text) == 0 && strstr(text, "device 0"), "index 0 is the pod's first");
    expect(child_run(probe, NULL, "1", NULL, text, sizeof text) == 0 && !strstr(text, "device 0 ") && strstr(text, "out of range"),
           "index 1 is out of range");
}

static void refused_check(void) {
    char text[4096];

    pod.limits = NULL;
    expect(child_run(probe, NULL, NULL, NULL, text, sizeof text) == 0 && strstr(text, "Pod p not found in namespace n") &&
               !strstr(text, "device 0"),
           "a pod that is not known: CUDA is refused, with the reason");
    expect(child_run(probe, NULL, NULL, "open", text, sizeof text) == 0 && strstr(text, "device 0"), "or free, if so configured");
    channel_host_stop(&host);
    expect(child_run(probe, NULL, NULL, NULL, text, sizeof text) == 0 && strstr(text, "cannot be reached") && !strstr(text, "device 0"),
           "no hypervisor: CUDA is refused, with the reason");
}

static void uuids_read(void) {
    for (unsigned i = 0; i < 2; i++) {
        const divvy_simgpu_device_t *facts = divvy_simgpu_device_get((int)i);
        divvy_core_uuid_t raw;

        if (!facts)
            exit(2);
        memcpy(raw.bytes, facts->uuid, sizeof raw.bytes);
        divvy_core_uuid_format(&raw, uuid[i]);
    }
}

int main(int argc, char **argv) {
    char error[DIVVY_SIMGPU_ERROR_MAX], limits[256], command[64];
    int output;
    pid_t pid;

    if (argc > 5) {
        printf("a sanitized library cannot be preloaded into programs that are not\n");
        return 77;
    }
    if (argc < 5 || !mkdtemp(folder))
        return 2;
    load = argv[1];
    probe = argv[2];
    forker = argv[3];
    libraries = argv[4];
    (void)signal(SIGPIPE, SIG_IGN);
    (void)setenv("DIVVY_SIM_DIR", folder, 1);
    (void)setenv("DIVVY_SIM_DEVICES", "2", 1);
    (void)unsetenv("TENSOR_FUSION_CUDA_UP_LIMIT");
    (void)unsetenv("TENSOR_FUSION_CUDA_MEM_LIMIT");
    if (divvy_simgpu_attach(DIVVY_SIMGPU_OBSERVER, error) < 0) {
        printf("the simulated GPU cannot be had: %s\n", error);
        return 1;
    }
    uuids_read();
    (void)snprintf(limits, sizeof limits, "\"gpu_uuids\":[\"%s\"],\"vram_limit\":1073741824,\"compute_permille\":500", uuid[0]);
    pod.limits = limits;
    if (!host_start(0))
        return 1;
    pid = child_start(load, "kernels-1ms", NULL, NULL, &output);
    expect(client_waits(pid), "a program that computes registers and waits for commands");
    if (failures == 0) {
        commands_check(pid);
        leases_check(pid);
        restart_check(pid);
    }
    child_stop(pid, output);
    forked_check();
    others_check();
    refused_check();
    divvy_simgpu_detach();
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command) != 0)
        printf("%s could not be removed\n", folder);
    return failures ? 1 : 0;
}
