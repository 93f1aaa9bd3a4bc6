/*
 * Shares of GPU time on the simulated GPU: shares LOAD LIBRARIES [SANITIZER] [-- SCENARIO...]. Runs scenarios of `load` as
 * tenants on a machine of their own and holds the device's record of busy time against the share that was asked for.
 *
 * More than the share is an error whatever the host does; less may be the host's doing, so only much less is one.
 */
#include "core/clock.h"
#include "core/futex.h"
#include "page/page.h"
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

#define SECOND_NS DIVVY_NS_PER_SECOND
#define PROCESSES 8u
#define OVER      1.5 /* points above the share that are forgiven */

static char folder[] = "/tmp/divvy-compute-XXXXXX";
static const char *load, *libraries;
static unsigned failures, checks, skipped;

struct tenant {
    pid_t processes[PROCESSES];
    int outputs[PROCESSES];
    unsigned count;
    char path[128];
};

static pid_t start(const char *scenario, const char *path, unsigned percent, int *ret_output) {
    int pipes[2];
    pid_t child;

    if (pipe2(pipes, O_CLOEXEC) < 0)
        exit(1);
    child = fork();
    if (child == 0) {
        char text[256];

        dup2(pipes[1], 1);
        setenv("DIVVY_SIM_DIR", folder, 1);
        setenv("DIVVY_TENANT_DIR", path, 1);
        snprintf(text, sizeof(text), "%s/simgpu", libraries);
        setenv("LD_LIBRARY_PATH", text, 1);
        snprintf(text, sizeof(text), "{\"0\": %u}", percent);
        if (percent < 100) {
            setenv("TENSOR_FUSION_CUDA_UP_LIMIT", text, 1);
            snprintf(text, sizeof(text), "%s/libcuda_limiter.so", libraries);
            setenv("LD_PRELOAD", text, 1);
        }
        execl(load, load, scenario, (char *)NULL);
        _exit(127);
    }
    close(pipes[1]);
    *ret_output = pipes[0];
    return child;
}

static void tenant_start(struct tenant *tenant, const char *scenario, unsigned percent, unsigned count) {
    static unsigned number;

    snprintf(tenant->path, sizeof(tenant->path), "%s/tenant%u", folder, number++);
    (void)mkdir(tenant->path, 0700);
    for (tenant->count = 0; tenant->count < count; tenant->count++)
        tenant->processes[tenant->count] =
            start(scenario, tenant->path, percent, &tenant->outputs[tenant->count]);
}

/* All processes have begun: true. One ended before: false, its status in *ret_status. */
static bool tenant_is_ready(struct tenant *tenant, int *ret_status) {
    for (unsigned i = 0; i < tenant->count; i++) {
        char text[6];

        if (read(tenant->outputs[i], text, sizeof(text)) == (ssize_t)sizeof(text))
            continue;
        (void)waitpid(tenant->processes[i], ret_status, 0);
        tenant->processes[i] = 0;
        return false;
    }
    return true;
}

/* Whether all processes are still there; they are killed. */
static bool tenant_stop(struct tenant *tenant) {
    bool whole = true;

    for (unsigned i = 0; i < tenant->count; i++) {
        int status = 0;

        close(tenant->outputs[i]);
        if (tenant->processes[i] <= 0)
            continue;
        if (waitpid(tenant->processes[i], &status, WNOHANG) == tenant->processes[i]) {
            whole = false;
            continue;
        }
        kill(tenant->processes[i], SIGKILL);
        (void)waitpid(tenant->processes[i], &status, 0);
    }
    return whole;
}

static uint64_t tenant_busy_ns(const struct tenant *tenant) {
    divvy_simgpu_process_t processes[2 * PROCESSES];
    uint64_t sum_ns = 0;
    size_t total = 0;

    if (divvy_simgpu_processes(0, processes, 2 * PROCESSES, &total) < 0)
        return 0;
    for (size_t i = 0; i < total && i < 2 * PROCESSES; i++)
        for (unsigned j = 0; j < tenant->count; j++)
            if (processes[i].pid == tenant->processes[j])
                sum_ns += processes[i].busy_ns;
    return sum_ns;
}

static void rest_until(uint64_t moment_ns) {
    struct timespec moment = divvy_core_clock_timespec(moment_ns);

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &moment, NULL) == EINTR)
        ;
}

/* Share of the device in percent over a time from now. */
static double tenant_share(const struct tenant *tenant, double seconds) {
    uint64_t begin_ns, end_ns, busy_ns;

    busy_ns = tenant_busy_ns(tenant);
    begin_ns = divvy_core_clock_ns();
    rest_until(begin_ns + (uint64_t)(seconds * (double)SECOND_NS));
    busy_ns = tenant_busy_ns(tenant) - busy_ns;
    end_ns = divvy_core_clock_ns();
    return 100.0 * (double)busy_ns / (double)(end_ns - begin_ns);
}

/*
 * The same, up to three times while it is less than expected: a host that has no time for the program makes it less. More
 * is never the host's doing.
 */
static double tenant_share_patient(const struct tenant *tenant, double seconds, double least) {
    double share = tenant_share(tenant, seconds);

    for (int i = 0; i < 2 && share < least; i++)
        share = tenant_share(tenant, seconds);
    return share;
}

static void check(const char *what, double share, double asked, double least) {
    bool right = share <= asked + OVER && share >= least;

    checks++;
    failures += !right;
    printf("%-44s asked %4.1f %%, got %5.2f %%%s\n", what, asked, share, right ? "" : "  WRONG");
    fflush(stdout);
}

static void failed(const char *what, const char *how) {
    checks++;
    failures++;
    printf("%-44s %s  WRONG\n", what, how);
}

static bool observe(void) {
    char error[DIVVY_SIMGPU_ERROR_MAX];
    int status = 0;

    for (unsigned i = 0; i < 200 && status != -ENOENT; i++)
        if ((status = divvy_simgpu_attach(DIVVY_SIMGPU_OBSERVER | DIVVY_SIMGPU_EXISTING, error)) == 0)
            return true;
    printf("the simulated GPU cannot be read: %s\n", error);
    return false;
}

/* Processes of one tenant in a scenario: their share together, after a second. */
static void share_check(const char *scenario, unsigned percent, unsigned count, double least) {
    struct tenant tenant = {.count = 0};
    char what[64];
    int status = 0;

    snprintf(what, sizeof(what), count > 1 ? "%s x %u" : "%s", scenario, count);
    tenant_start(&tenant, scenario, percent, count);
    if (!tenant_is_ready(&tenant, &status)) {
        if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
            printf("%-44s skipped: this simulated driver has no such call\n", what);
            skipped++;
        } else {
            failed(what, "ended at once");
        }
        (void)tenant_stop(&tenant);
        return;
    }
    if (observe()) {
        rest_until(divvy_core_clock_ns() + SECOND_NS);
        check(what, tenant_share_patient(&tenant, 2, least), percent, least);
        if (count == 1 && strcmp(scenario, "threads") == 0)
            rest_until(divvy_core_clock_ns() + SECOND_NS); /* it judges itself after three seconds */
        divvy_simgpu_detach();
    }
    if (!tenant_stop(&tenant))
        failed(what, "a process ended");
}

/* A scenario that ends by itself, with 0. */
static void end_check(const char *scenario, unsigned percent) {
    struct tenant tenant = {.count = 0};
    int status = 0;

    tenant_start(&tenant, scenario, percent, 1);
    (void)waitpid(tenant.processes[0], &status, 0);
    close(tenant.outputs[0]);
    checks++;
    failures += status != 0;
    printf("%-44s at %2u %%: %s\n", scenario, percent, status ? "WRONG" : "right");
}

/* The limit changes while the tenant runs. */
static void change_check(void) {
    static const unsigned percents[] = {80, 20, 80, 50};
    struct tenant tenant = {.count = 0};
    struct divvy_page *page;
    char path[160];
    int fd, status = 0;

    tenant_start(&tenant, "kernels-1ms", 80, 1);
    snprintf(path, sizeof(path), "%s/usage", tenant.path);
    if (tenant_is_ready(&tenant, &status) && observe()) {
        if (divvy_page_open(path, NULL, 0, &page, &fd) < 0) {
            failed("limit changes", "no page");
        } else {
            for (size_t i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
                char what[64];

                __atomic_store_n(&page->devices[0].compute_permille, percents[i] * 10, __ATOMIC_RELAXED);
                divvy_core_futex_wake(&page->devices[0].compute_permille, INT32_MAX, true);
                rest_until(divvy_core_clock_ns() + SECOND_NS / 5);
                snprintf(what, sizeof(what), "limit changed to %u %%", percents[i]);
                check(what, tenant_share_patient(&tenant, 1, percents[i] * 0.6), percents[i], percents[i] * 0.6);
            }
            divvy_page_close(page);
            close(fd);
        }
        divvy_simgpu_detach();
    }
    (void)tenant_stop(&tenant);
}

/* Two tenants, one of them maybe without a limit. */
static void neighbour_check(const char *one, unsigned one_percent, const char *two, unsigned two_percent) {
    struct tenant first = {.count = 0}, second = {.count = 0};
    char what[64];
    int status = 0;

    tenant_start(&first, one, one_percent, 1);
    tenant_start(&second, two, two_percent, 1);
    if (tenant_is_ready(&first, &status) && tenant_is_ready(&second, &status) && observe()) {
        double share;
        uint64_t begin_ns, busy_ns;

        rest_until(divvy_core_clock_ns() + SECOND_NS);
        begin_ns = divvy_core_clock_ns();
        busy_ns = tenant_busy_ns(&second);
        share = tenant_share_patient(&first, 2, one_percent * 0.5);
        snprintf(what, sizeof(what), "%s beside %s", one, two);
        check(what, share, one_percent, one_percent * 0.5);
        if (two_percent < 100) {
            share = 100.0 * (double)(tenant_busy_ns(&second) - busy_ns) / (double)(divvy_core_clock_ns() - begin_ns);
            snprintf(what, sizeof(what), "%s beside %s", two, one);
            check(what, share, two_percent, two_percent * 0.5);
        }
        divvy_simgpu_detach();
    }
    (void)tenant_stop(&first);
    (void)tenant_stop(&second);
}

/* One of a tenant's processes is killed: the others take over its share. */
static void kill_check(void) {
    struct tenant tenant = {.count = 0};
    int status = 0;

    tenant_start(&tenant, "kernels-1ms", 40, 3);
    if (tenant_is_ready(&tenant, &status) && observe()) {
        kill(tenant.processes[1], SIGKILL);
        (void)waitpid(tenant.processes[1], &status, 0);
        tenant.processes[1] = 0;
        rest_until(divvy_core_clock_ns() + SECOND_NS / 2);
        check("after one of three was killed", tenant_share_patient(&tenant, 2, 24), 40, 24);
        divvy_simgpu_detach();
    }
    (void)tenant_stop(&tenant);
}

static const struct {
    const char *scenario;
    unsigned percent, count;
    double least;
} runs[] = {
    {"kernels-100us", 10, 1, 6},     {"kernels-100us", 90, 1, 45},   {"kernels-1ms", 1, 1, 0.6},
    {"kernels-1ms", 5, 1, 3},        {"kernels-1ms", 50, 1, 30},     {"kernels-5ms", 30, 1, 18},
    {"legacy-stream", 30, 1, 18},    {"synchronous", 20, 1, 10},     {"mixed", 40, 1, 24},
    {"four-streams", 60, 1, 36},     {"extended", 30, 1, 18},        {"cooperative", 30, 1, 18},
    {"multi-device", 30, 1, 18},     {"oldest", 30, 1, 18},          {"graphs", 30, 1, 18},
    {"graphs-short-lived", 30, 1, 5}, {"copies", 10, 1, 0},          {"transfers-between", 20, 1, 4},
    {"contexts-pushed", 30, 1, 18},  {"contexts-two", 30, 1, 15},    {"contexts-short-lived", 30, 1, 4},
    {"streams-short-lived", 30, 1, 15}, {"threads", 40, 1, 24},      {"per-thread-streams", 30, 1, 18},
    {"threads-short-lived", 30, 1, 10}, {"threads-and-streams", 30, 1, 15}, {"captures", 30, 1, 10},
    {"kernels-1ms", 25, 4, 15},      {"threads-in-turns", 50, 1, 30},
};

static bool is_asked_for(const char *name, int count, char **names) {
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return count == 0;
}

static void all(int count, char **names) {
    for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++)
        if (is_asked_for(runs[i].scenario, count, names))
            share_check(runs[i].scenario, runs[i].percent, runs[i].count, runs[i].least);
    if (is_asked_for("end", count, names)) {
        end_check("dependent", 30);
        end_check("first-second", 20);
        end_check("burst", 20);
        end_check("forked", 30);
    }
    if (is_asked_for("change", count, names))
        change_check();
    if (is_asked_for("kill", count, names))
        kill_check();
    if (is_asked_for("neighbours", count, names)) {
        neighbour_check("kernels-1ms", 60, "kernels-100us", 30);
        neighbour_check("kernels-1ms", 30, "kernels-1ms", 100);
    }
}

int main(int argc, char **argv) {
    char command[160];
    int names = argc;

    if (argc > 3 && strcmp(argv[3], "--") != 0) {
        printf("a sanitized library cannot be preloaded into programs that are not\n");
        return 77;
    }
    if (argc < 3 || !mkdtemp(folder))
        return 2;
    load = argv[1];
    libraries = argv[2];
    setenv("DIVVY_SIM_DIR", folder, 1);
    if (argc > 4)
        names = 4;
    all(argc - names, argv + names);
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    if (system(command) != 0)
        printf("%s could not be removed\n", folder);
    printf("%u checks, %u wrong, %u skipped\n", checks, failures, skipped);
    return failures ? 1 : 0;
}
