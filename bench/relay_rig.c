/* A worker, a relay and what loads them: see relay_rig.h. */
#include "relay_rig.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_NS   (20 * UINT64_C(1000000000))
#define PAUSE_NS   UINT64_C(10000000)
#define TIMEOUT_MS 60000u

static int try_connect(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static void wait_for(const struct bench *bench, const char *path, pid_t pid) {
    uint64_t deadline_ns = bench_now_ns() + START_NS;
    int fd;

    while ((fd = try_connect(path)) < 0) {
        if (bench_now_ns() > deadline_ns || waitpid(pid, NULL, WNOHANG) != 0)
            bench_fail(bench, "nobody listens at %s", path);
        bench_sleep_until_ns(bench_now_ns() + PAUSE_NS);
    }
    (void)close(fd);
}

static void vm_register(const struct bench *bench, const struct rig *rig, size_t i, const char *state, const char *admin) {
    const struct bench_limits limits = {0};
    char name[24], id[24];
    const char *weight = i == 0 ? "80" : "20";
    const char *arguments[] = {"vm",       "register-vm", "--vm-name", name, "--vm-id",      id, "--weight", weight, "--socket",
                               rig->vms[i], "--state",     state,       "--admin", admin, NULL};

    (void)snprintf(name, sizeof name, "vm%zu", i + 1);
    (void)snprintf(id, sizeof id, "%zu", i + 1);
    bench_finish(bench, bench_start(bench, &limits, "divvy", arguments, NULL), "divvy vm register-vm");
}

void rig_start(const struct bench *bench, struct rig *ret_rig, size_t count) {
    const struct bench_limits tenant = {.preload = true, .bytes = UINT64_C(8) << 30}, none = {0};
    struct rig *rig = ret_rig;
    char state[96], admin[96], lock[96];
    const char *worker_arguments[] = {"--socket", rig->worker_path, NULL};
    const char *relay_arguments[] = {"--worker", rig->worker_path, "--state", state, "--admin", admin, "--lock", lock, "--quiet", NULL};

    *rig = (struct rig){0};
    (void)snprintf(rig->folder, sizeof rig->folder, "/tmp/divvy-bench-relay-XXXXXX");
    if (!mkdtemp(rig->folder))
        bench_fail(bench, "mkdtemp: %s", strerror(errno));
    (void)snprintf(rig->worker_path, sizeof rig->worker_path, "%s/worker", rig->folder);
    (void)snprintf(state, sizeof state, "%s/state", rig->folder);
    (void)snprintf(admin, sizeof admin, "%s/admin", rig->folder);
    (void)snprintf(lock, sizeof lock, "%s/lock", rig->folder);
    rig->worker = bench_start(bench, &tenant, "divvy-worker", worker_arguments, NULL);
    wait_for(bench, rig->worker_path, rig->worker);
    rig->relay = bench_start(bench, &none, "divvy-relay", relay_arguments, NULL);
    wait_for(bench, admin, rig->relay);
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(rig->vms[i], sizeof rig->vms[i], "%s/vm%zu", rig->folder, i + 1);
        vm_register(bench, rig, i, state, admin);
    }
}

void rig_end(const struct bench *bench, const struct rig *rig) {
    static const char *const left[] = {"state", "state-wal", "state-shm", "lock", "admin"};
    char path[128];

    (void)kill(rig->relay, SIGTERM);
    bench_finish(bench, rig->relay, "divvy-relay");
    (void)kill(rig->worker, SIGTERM);
    bench_finish(bench, rig->worker, "divvy-worker");
    for (size_t i = 0; i < sizeof left / sizeof left[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", rig->folder, left[i]);
        (void)unlink(path);
    }
    (void)rmdir(rig->folder);
}

/* --- clients ------------------------------------------------------------------------------------------------- */

int rig_connect(const struct bench *bench, const char *path) {
    int fd = try_connect(path);

    if (fd < 0)
        bench_fail(bench, "%s: %s", path, strerror(errno));
    return fd;
}

struct divvy_client *rig_client(const struct bench *bench, const char *path) {
    struct divvy_client *client;
    int status = divvy_client_open(path, TIMEOUT_MS, &client);

    if (status < 0)
        bench_fail(bench, "%s: %s", path, strerror(-status));
    return client;
}

void rig_check(const struct bench *bench, const struct divvy_client *client, const char *what, int status) {
    if (status != 0)
        bench_fail(bench, "%s: %d %s", what, status, divvy_client_text(client));
}

void rig_function(const struct bench *bench, struct divvy_client *client, const char *ptx, const char *name,
                  struct divvy_client_function *ret_function) {
    uint64_t context, module;

    rig_check(bench, client, "context", divvy_client_context_primary(client, 0, &context));
    rig_check(bench, client, "module", divvy_client_module_load(client, ptx, strlen(ptx) + 1, &module));
    rig_check(bench, client, "function", divvy_client_function_get(client, module, name, ret_function));
}

/* --- loads ---------------------------------------------------------------------------------------------------- */

void rig_loads_start(const struct bench *bench, const struct rig *rig, struct rig_loads *ret_loads, size_t count, rig_load_t load) {
    struct rig_loads loads = {.count = count};
    pid_t parent = getpid();

    loads.done = mmap(NULL, RIG_VMS * sizeof *loads.done, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (loads.done == MAP_FAILED)
        bench_fail(bench, "no memory");
    for (size_t i = 0; i < count; i++) {
        loads.pids[i] = fork();
        if (loads.pids[i] < 0)
            bench_fail(bench, "fork: %s", strerror(errno));
        if (loads.pids[i] == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() == parent)
                load(bench, rig, i, &loads.done[i]);
            _exit(1);
        }
    }
    *ret_loads = loads;
}

void rig_loads_wait(const struct bench *bench, const struct rig_loads *loads) {
    uint64_t deadline_ns = bench_now_ns() + 3 * START_NS;

    for (size_t i = 0; i < loads->count; i++)
        while (loads->done[i] == 0) {
            if (bench_now_ns() > deadline_ns || waitpid(loads->pids[i], NULL, WNOHANG) != 0)
                bench_fail(bench, "client %zu does nothing", i + 1);
            bench_sleep_until_ns(bench_now_ns() + PAUSE_NS);
        }
}

void rig_loads_end(struct rig_loads *loads) {
    for (size_t i = 0; i < loads->count; i++)
        (void)kill(loads->pids[i], SIGKILL);
    for (size_t i = 0; i < loads->count; i++)
        (void)waitpid(loads->pids[i], NULL, 0);
    (void)munmap((void *)(uintptr_t)loads->done, RIG_VMS * sizeof *loads->done);
}
