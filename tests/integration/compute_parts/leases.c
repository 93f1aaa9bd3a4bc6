/*
 * Leases on the simulated GPU: leases LOAD LIBRARIES [SANITIZER]. Plays the daemon: two tenants of `load` with a control page each
 * and no limit in their environment take turns, with a pause between the turns. The device's record of busy time says who computed
 * when: inside its own lease and while its last work drained, and nowhere else.
 */
#include "core/clock.h"
#include "page/control.h"
#include "simgpu/engine/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define US       UINT64_C(1000)
#define MS       UINT64_C(1000000)
#define LEASE_NS (10 * MS)
#define PAUSE_NS (8 * MS) /* between the end of one tenant's lease and the other's begin */
#define DRAIN_NS (4 * MS) /* the last work of a lease is done by then, however slow the host */
#define TURNS    60u
#define PROCESSES 3u

static char folder[] = "/tmp/divvy-leases-XXXXXX";
static const char *load, *libraries;
static unsigned failures;

struct tenant {
    char path[128];
    pid_t processes[PROCESSES];
    int outputs[PROCESSES];
    unsigned count;
    struct divvy_control *control;
    int control_fd, bell_fd;
    unsigned rings;
    uint64_t inside_ns, outside_ns, leased_ns;
};

static void expect(bool right, const char *what) {
    failures += !right;
    printf("%-60s %s\n", what, right ? "right" : "WRONG");
    fflush(stdout);
}

static bool heard(struct tenant *tenant) {
    char bytes[64];
    ssize_t count = read(tenant->bell_fd, bytes, sizeof bytes);

    if (count > 0)
        tenant->rings += (unsigned)count;
    return count > 0;
}

/* Time goes on, and the daemon with it. */
static void rest_until(struct tenant *tenants, uint64_t moment_ns) {
    for (;;) {
        uint64_t now_ns = divvy_core_clock_ns(), next_ns = now_ns + 20 * MS;
        struct timespec moment;

        for (unsigned i = 0; i < 2; i++)
            __atomic_store_n(&tenants[i].control->heartbeat_ns, (int64_t)now_ns, __ATOMIC_RELAXED);
        if (now_ns >= moment_ns)
            return;
        moment = divvy_core_clock_timespec(next_ns < moment_ns ? next_ns : moment_ns);
        (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &moment, NULL);
    }
}

static void lease_put(struct tenant *tenant, uint32_t mode, uint64_t begin_ns, uint64_t end_ns) {
    struct divvy_control_lease lease = {
        .mode = mode, .begin_ns = (int64_t)begin_ns, .end_ns = (int64_t)end_ns, .budget_ns = 1000000};

    divvy_control_lease_write(tenant->control, 0, &lease);
}

static uint64_t busy_ns(const struct tenant *tenant) {
    divvy_simgpu_process_t processes[8];
    uint64_t sum_ns = 0;
    size_t total = 0;

    if (divvy_simgpu_processes(0, processes, 8, &total) < 0)
        return 0;
    for (size_t i = 0; i < total && i < 8; i++)
        for (unsigned j = 0; j < tenant->count; j++)
            if (processes[i].pid == tenant->processes[j])
                sum_ns += processes[i].busy_ns;
    return sum_ns;
}

static bool tenant_make(struct tenant *tenant, unsigned number, const uint8_t uuid[16]) {
    char path[160];
    int folder_fd;

    snprintf(tenant->path, sizeof tenant->path, "%s/tenant%u", folder, number);
    snprintf(path, sizeof path, "%s/%s", tenant->path, DIVVY_CONTROL_BELL);
    if (mkdir(tenant->path, 0700) < 0 || mkfifo(path, 0600) < 0)
        return false;
    tenant->bell_fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    folder_fd = open(tenant->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (tenant->bell_fd < 0 || folder_fd < 0 ||
        divvy_control_create(folder_fd, &tenant->control, &tenant->control_fd) < 0)
        return false;
    close(folder_fd);
    tenant->control->devices[0].limit_bytes = DIVVY_PAGE_UNLIMITED;
    tenant->control->devices[0].compute_permille = 400;
    tenant->control->devices[0].armed = 1;
    tenant->control->devices[0].listening = 1;
    memcpy(&tenant->control->devices[0].uuid, uuid, 16);
    tenant->control->heartbeat_ns = (int64_t)divvy_core_clock_ns();
    lease_put(tenant, DIVVY_CONTROL_LEASED, 0, 0);
    return true;
}

static bool tenant_start(struct tenant *tenant, const char *scenario) {
    int pipes[2];
    pid_t child;

    if (pipe2(pipes, O_CLOEXEC) < 0)
        return false;
    child = fork();
    if (child == 0) {
        char text[256];

        dup2(pipes[1], 1);
        setenv("DIVVY_TENANT_DIR", tenant->path, 1);
        snprintf(text, sizeof text, "%s/simgpu", libraries);
        setenv("LD_LIBRARY_PATH", text, 1);
        snprintf(text, sizeof text, "%s/libcuda_limiter.so", libraries);
        setenv("LD_PRELOAD", text, 1);
        execl(load, load, scenario, (char *)NULL);
        _exit(127);
    }
    close(pipes[1]);
    tenant->outputs[tenant->count] = pipes[0];
    tenant->processes[tenant->count] = child;
    tenant->count += child > 0;
    return child > 0;
}

static void tenant_stop(struct tenant *tenant) {
    for (unsigned i = 0; i < tenant->count; i++) {
        kill(tenant->processes[i], SIGKILL);
        (void)waitpid(tenant->processes[i], NULL, 0);
        close(tenant->outputs[i]);
    }
}

static void turns(struct tenant *tenants) {
    uint64_t begin_ns = divvy_core_clock_ns() + 5 * MS;

    for (unsigned turn = 0; turn < TURNS; turn++) {
        struct tenant *own = &tenants[turn % 2], *other = &tenants[1 - turn % 2];
        uint64_t own_ns, other_ns, drained_ns, now_ns;

        lease_put(own, DIVVY_CONTROL_LEASED, begin_ns, begin_ns + LEASE_NS);
        own_ns = busy_ns(own);
        other_ns = busy_ns(other);
        if (divvy_core_clock_ns() >= begin_ns)
            goto next; /* the host was away: nothing is known of this turn */
        rest_until(tenants, begin_ns + LEASE_NS + DRAIN_NS);
        drained_ns = busy_ns(own);
        other->outside_ns += busy_ns(other) - other_ns;
        own->inside_ns += drained_ns - own_ns;
        own->leased_ns += LEASE_NS;
        rest_until(tenants, begin_ns + LEASE_NS + PAUSE_NS - 2 * MS);
        own->outside_ns += busy_ns(own) - drained_ns;
    next:
        now_ns = divvy_core_clock_ns();
        begin_ns += LEASE_NS + PAUSE_NS;
        if (begin_ns < now_ns + MS)
            begin_ns = now_ns + 2 * MS;
    }
}

static void turns_check(struct tenant *tenants) {
    turns(tenants);
    for (unsigned i = 0; i < 2; i++) {
        double used = 100.0 * (double)tenants[i].inside_ns / (double)tenants[i].leased_ns;

        printf("tenant %u: %.1f %% of %llu ms leased, %.3f ms outside, %u rings\n", i, used,
               (unsigned long long)(tenants[i].leased_ns / MS), (double)tenants[i].outside_ns / 1e6, tenants[i].rings);
        expect(tenants[i].leased_ns >= TURNS / 4 * LEASE_NS, "the host had time for most turns");
        expect(tenants[i].outside_ns == 0, "nothing was computed outside its leases");
        expect(used > 50 && used < 130, "its leases were used");
        expect(heard(&tenants[i]), "it rang");
    }
}

/* The daemon is silent: both go on at their own pace, together; then it is back. */
static void silence_check(struct tenant *tenants) {
    struct timespec second = {.tv_sec = 1};
    uint64_t before_ns, after_ns;
    double share;

    (void)nanosleep(&second, NULL);
    before_ns = busy_ns(&tenants[0]);
    (void)nanosleep(&second, NULL);
    share = (double)(busy_ns(&tenants[0]) - before_ns) / 1e7;
    printf("without the daemon: %.1f %% of 40\n", share);
    expect(share > 15 && share < 43, "without the daemon it paces itself");
    rest_until(tenants, divvy_core_clock_ns() + 200 * MS);
    before_ns = busy_ns(&tenants[0]);
    rest_until(tenants, divvy_core_clock_ns() + 200 * MS);
    after_ns = busy_ns(&tenants[0]);
    expect(after_ns == before_ns, "as soon as it is back leases count");
}

static void open_and_freeze_check(struct tenant *tenants) {
    uint64_t before_ns;

    lease_put(&tenants[0], DIVVY_CONTROL_OPEN, 0, (uint64_t)DIVVY_CONTROL_FOREVER_NS);
    __atomic_store_n(&tenants[0].control->devices[0].armed, 0, __ATOMIC_SEQ_CST);
    rest_until(tenants, divvy_core_clock_ns() + 100 * MS);
    before_ns = busy_ns(&tenants[0]);
    rest_until(tenants, divvy_core_clock_ns() + 300 * MS);
    expect(busy_ns(&tenants[0]) - before_ns > 200 * MS, "with the gate open it has the device");
    __atomic_store_n(&tenants[0].control->devices[0].armed, 1, __ATOMIC_SEQ_CST);
    lease_put(&tenants[0], DIVVY_CONTROL_FROZEN, 0, 0);
    rest_until(tenants, divvy_core_clock_ns() + 1500 * MS); /* what was queued while nobody looked */
    before_ns = busy_ns(&tenants[0]);
    rest_until(tenants, divvy_core_clock_ns() + 300 * MS);
    expect(busy_ns(&tenants[0]) == before_ns, "frozen it computes nothing");
}

/* What a program of the tenant is shown of the device's memory; its environment asks for 1 GiB. */
static unsigned long long memory_shown(const struct tenant *tenant) {
    char command[1024], line[256];
    unsigned long long total = 0;
    FILE *output;

    snprintf(command, sizeof command,
             "DIVVY_TENANT_DIR='%s' LD_LIBRARY_PATH='%s/simgpu' LD_PRELOAD='%s/libcuda_limiter.so' "
             "TENSOR_FUSION_CUDA_MEM_LIMIT='{\"0\": 1073741824}' '%.*s/limiter_probe'",
             tenant->path, libraries, libraries, (int)(strrchr(load, '/') - load), load);
    output = popen(command, "r");
    while (output && fgets(line, sizeof line, output))
        (void)sscanf(line, "device 0 total %llu", &total);
    if (output)
        (void)pclose(output);
    return total;
}

static void memory_check(struct tenant *tenant) {
    static const uint64_t sizes[] = {UINT64_C(3) << 30, UINT64_C(5) << 30};

    for (unsigned i = 0; i < 2; i++) {
        __atomic_store_n(&tenant->control->devices[0].limit_bytes, sizes[i], __ATOMIC_RELAXED);
        expect(memory_shown(tenant) == sizes[i], "the page's memory limit holds, not the environment's");
    }
}

static bool ready(struct tenant *tenants) {
    char text[6];

    for (unsigned i = 0; i < 2; i++) { /* its first launch needs a lease */
        uint64_t now_ns = divvy_core_clock_ns();

        lease_put(&tenants[i], DIVVY_CONTROL_LEASED, now_ns, now_ns + 20000 * MS);
        __atomic_store_n(&tenants[i].control->heartbeat_ns, (int64_t)now_ns, __ATOMIC_RELAXED);
        for (unsigned j = 0; j < tenants[i].count; j++)
            if (read(tenants[i].outputs[j], text, sizeof text) != (ssize_t)sizeof text)
                return false;
    }
    for (unsigned i = 0; i < 2; i++) {
        lease_put(&tenants[i], DIVVY_CONTROL_LEASED, 0, 0);
        (void)heard(&tenants[i]);
    }
    rest_until(tenants, divvy_core_clock_ns() + 20 * MS);
    return true;
}

int main(int argc, char **argv) {
    struct tenant tenants[2] = {{.control_fd = -1}, {.control_fd = -1}};
    char error[DIVVY_SIMGPU_ERROR_MAX], command[160];
    const divvy_simgpu_device_t *facts;

    if (argc > 3) {
        printf("a sanitized library cannot be preloaded into programs that are not\n");
        return 77;
    }
    if (argc < 3 || !strchr(argv[1], '/') || !mkdtemp(folder))
        return 2;
    load = argv[1];
    libraries = argv[2];
    setenv("DIVVY_SIM_DIR", folder, 1);
    unsetenv("TENSOR_FUSION_CUDA_UP_LIMIT");
    unsetenv("TENSOR_FUSION_CUDA_MEM_LIMIT");
    if (divvy_simgpu_attach(DIVVY_SIMGPU_OBSERVER, error) < 0 || !(facts = divvy_simgpu_device_get(0))) {
        printf("the simulated GPU cannot be had: %s\n", error);
        return 1;
    }
    if (!tenant_make(&tenants[0], 0, facts->uuid) || !tenant_make(&tenants[1], 1, facts->uuid) ||
        !tenant_start(&tenants[0], "kernels-100us") || !tenant_start(&tenants[1], "four-streams") ||
        !tenant_start(&tenants[1], "kernels-1ms") || !tenant_start(&tenants[1], "synchronous") || !ready(tenants)) {
        expect(false, "tenants start");
    } else {
        turns_check(tenants);
        silence_check(tenants);
        open_and_freeze_check(tenants);
        memory_check(&tenants[1]);
    }
    for (unsigned i = 0; i < 2; i++)
        tenant_stop(&tenants[i]);
    divvy_simgpu_detach();
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command) != 0)
        printf("%s could not be removed\n", folder);
    return failures ? 1 : 0;
}
