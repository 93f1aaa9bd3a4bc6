/*
 * Many virtual machines behind one relay, each a process that speaks JSON on its own socket as a guest does: the device's time between
 * weights of 80 and 20, by its own record, beside what they are charged; what a flood of one machine does to another; what 1 to 30 machines get,
 * and what the relay itself takes for it.
 */
#include "bench.h"

#include "simgpu/engine/engine.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND_NS   UINT64_C(1000000000)
#define START_NS    (20 * SECOND_NS)
#define RATIO       4.0
#define RATIO_ERROR 0.08 /* two per cent of it */
#define FLOOD_P99   1.2  /* times what it is alone */
#define RELAY_CORES 1.0
#define GROWTH_KIB  1024.0 /* "flat": what a page more here and there comes to */

enum { VMS_MAX = 30, TIMES_MAX = 1 << 18, WINDOW_MAX = 64 };

static const char request[] =
    "{\"operation\":\"vector_add\",\"array_a\":[1,2,3],\"array_b\":[4,5,6]}\n";

/* Written by a client, read by the bench. */
struct client {
    pid_t pid;
    volatile uint64_t jobs;
    volatile uint64_t measured; /* of times_us */
    volatile bool is_wrong;
    float times_us[TIMES_MAX];
};

struct scene {
    struct bench *bench;
    char folder[64];
    pid_t worker, relay;
    struct client *clients; /* VMS_MAX, shared */
};

/* --- clients ------------------------------------------------------------------------------------------------- */

static int socket_connect(const struct scene *scene, const char *name) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof address.sun_path, "%.63s/%.20s", scene->folder, name);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) < 0)
        bench_fail(scene->bench, "%s: %s", address.sun_path, strerror(errno));
    return fd;
}

static void requests_send(const struct scene *scene, int fd, unsigned int count) {
    for (unsigned int i = 0; i < count; i++)
        if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) != (ssize_t)sizeof request - 1)
            bench_fail(scene->bench, "a request: %s", strerror(errno));
}

/* Lines of right answers that came; a wrong one ends the client. */
static unsigned int answers_take(const struct scene *scene, int fd, char *buffer, size_t *length) {
    ssize_t got = read(fd, buffer + *length, 8191 - *length);
    unsigned int answers = 0;
    char *line = buffer, *end;

    if (got <= 0)
        bench_fail(scene->bench, "the relay ended a connection");
    *length += (size_t)got;
    buffer[*length] = '\0';
    while ((end = strchr(line, '\n'))) {
        *end = '\0';
        if (!strstr(line, "[5, 7, 9]") && !strstr(line, "[5,7,9]"))
            bench_fail(scene->bench, "a wrong answer: %.200s", line);
        answers++;
        line = end + 1;
    }
    *length -= (size_t)(line - buffer);
    memmove(buffer, line, *length);
    return answers;
}

/* Keeps `window` requests on the way until it is killed. Answers come in order: the oldest request is the one that is answered. */
static void __attribute__((noreturn))
client_run(const struct scene *scene, unsigned int vm, unsigned int window) {
    struct client *self = &scene->clients[vm];
    uint64_t sent_ns[WINDOW_MAX], first = 0;
    char buffer[8192], name[16];
    size_t length = 0;
    int fd;

    (void)snprintf(name, sizeof name, "vm%u", vm);
    fd = socket_connect(scene, name);

    requests_send(scene, fd, window);
    for (unsigned int i = 0; i < window; i++)
        sent_ns[i] = bench_now_ns();
    for (;;) {
        unsigned int answers = answers_take(scene, fd, buffer, &length);

        for (unsigned int i = 0; i < answers; i++, first++) {
            uint64_t now_ns = bench_now_ns();

            if (self->measured < TIMES_MAX)
                self->times_us[self->measured++] = (float)(now_ns - sent_ns[first % window]) / 1e3F;
            self->jobs++;
            requests_send(scene, fd, 1);
            sent_ns[first % window] = bench_now_ns();
        }
    }
}

static void client_start(const struct scene *scene, unsigned int vm, unsigned int window) {
    struct client *client = &scene->clients[vm];
    pid_t parent = getpid(), pid;

    client->jobs = client->measured = 0;
    pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == parent)
            client_run(scene, vm, window);
        _exit(1);
    }
    client->pid = pid;
}

static void client_end(const struct scene *scene, unsigned int vm) {
    struct client *client = &scene->clients[vm];

    if (client->pid > 0 && waitpid(client->pid, NULL, WNOHANG) != 0)
        bench_fail(scene->bench, "the client of machine %u ended by itself", vm);
    (void)kill(client->pid, SIGKILL);
    (void)waitpid(client->pid, NULL, 0);
    client->pid = 0;
}

/* --- relay and worker ---------------------------------------------------------------------------------------- */

static void vm_register(const struct scene *scene, unsigned int vm, unsigned int weight) {
    const struct bench_limits none = {0};
    char name[16], id[16], number[16], socket_path[96], state[96], admin[96];
    const char *arguments[] = {"vm",      "register-vm", "--vm-name", name,       "--vm-id",
                               id,        "--weight",    number,      "--socket", socket_path,
                               "--state", state,         "--admin",   admin,      NULL};

    (void)snprintf(name, sizeof name, "vm%u", vm);
    (void)snprintf(id, sizeof id, "%u", vm + 1);
    (void)snprintf(number, sizeof number, "%u", weight);
    (void)snprintf(socket_path, sizeof socket_path, "%s/vm%u", scene->folder, vm);
    (void)snprintf(state, sizeof state, "%s/state", scene->folder);
    (void)snprintf(admin, sizeof admin, "%s/admin", scene->folder);
    bench_finish(scene->bench, bench_start(scene->bench, &none, "divvy", arguments, NULL),
                 "divvy vm register-vm");
}

static void socket_wait(const struct scene *scene, const char *name, pid_t pid) {
    uint64_t until_ns = bench_now_ns() + START_NS;
    char path[96];

    (void)snprintf(path, sizeof path, "%s/%s", scene->folder, name);
    while (access(path, F_OK) != 0) {
        if (bench_now_ns() > until_ns || waitpid(pid, NULL, WNOHANG) != 0)
            bench_fail(scene->bench, "%s does not appear", path);
        bench_sleep_until_ns(bench_now_ns() + 5000000);
    }
}

/* A worker, and a relay with `count` machines; the first two have these weights. */
static void scene_open(struct scene *scene, struct bench *bench, unsigned int count,
                       unsigned int first, unsigned int second, const char *parallel) {
    const struct bench_limits limits = {.preload = true, .bytes = UINT64_C(100) << 30}, none = {0};
    char worker[96], state[96], admin[96], lock[96];
    const char *worker_arguments[] = {"--socket", worker, NULL};
    const char *relay_arguments[] = {"--worker", worker, "--state", state,        "--admin", admin,
                                     "--lock",   lock,   "--quiet", "--parallel", parallel,  NULL};

    *scene = (struct scene){.bench = bench, .clients = scene->clients};
    (void)snprintf(scene->folder, sizeof scene->folder, "/tmp/divvy-bench-vms-XXXXXX");
    if (!mkdtemp(scene->folder))
        bench_fail(bench, "no folder can be made in /tmp: %s", strerror(errno));
    (void)snprintf(worker, sizeof worker, "%s/worker", scene->folder);
    (void)snprintf(state, sizeof state, "%s/state", scene->folder);
    (void)snprintf(admin, sizeof admin, "%s/admin", scene->folder);
    (void)snprintf(lock, sizeof lock, "%s/lock", scene->folder);
    scene->worker = bench_start(bench, &limits, "divvy-worker", worker_arguments, NULL);
    socket_wait(scene, "worker", scene->worker);
    scene->relay = bench_start(bench, &none, "divvy-relay", relay_arguments, NULL);
    socket_wait(scene, "admin", scene->relay);
    for (unsigned int vm = 0; vm < count; vm++)
        vm_register(scene, vm, vm == 0 ? first : vm == 1 ? second : 50);
    for (unsigned int vm = 0; vm < count; vm++) {
        char name[16];

        (void)snprintf(name, sizeof name, "vm%u", vm);
        socket_wait(scene, name, scene->relay);
    }
}

static void scene_close(struct scene *scene) {
    char command[96];

    (void)kill(scene->relay, SIGTERM);
    bench_finish(scene->bench, scene->relay, "divvy-relay");
    (void)kill(scene->worker, SIGTERM);
    bench_finish(scene->bench, scene->worker, "divvy-worker");
    (void)snprintf(command, sizeof command, "rm -rf '%s'", scene->folder);
    if (system(command) != 0)
        (void)fprintf(stderr, "vms: %s cannot be removed\n", scene->folder);
}

/* Waits until a client has had answers: its machine has its process at the worker then. */
static void client_wait(const struct scene *scene, unsigned int vm, uint64_t jobs) {
    uint64_t until_ns = bench_now_ns() + START_NS;

    while (scene->clients[vm].jobs < jobs) {
        if (bench_now_ns() > until_ns)
            bench_fail(scene->bench, "machine %u gets no answers", vm);
        bench_sleep_until_ns(bench_now_ns() + 1000000);
    }
}

static void pause_s(double seconds) {
    bench_sleep_until_ns(bench_now_ns() + (uint64_t)(seconds * (double)SECOND_NS));
}

/* --- shares -------------------------------------------------------------------------------------------------- */

/* Busy time of the processes on the device, in the order in which they came; the number of processes. */
static size_t busy_read(const struct bench *bench, uint64_t ret_busy_ns[VMS_MAX]) {
    static divvy_simgpu_process_t processes[64];
    size_t total = 0, count = 0;

    if (divvy_simgpu_processes(0, processes, 64, &total) != 0)
        bench_fail(bench, "the simulated GPU cannot be read");
    for (size_t i = 0; i < total && i < 64 && count < VMS_MAX; i++)
        ret_busy_ns[count++] = processes[i].busy_ns;
    return count;
}

/* What the relay has charged to the first two machines, asked for at its socket for administration. */
static void charged_read(const struct scene *scene, uint64_t ret_charged_ns[2]) {
    const struct {
        uint32_t magic, command, parameters[2];
    } ask = {0x4D445644, 0x10, {0, 0}};
    static char text[1 << 16]; /* a head of 12 bytes, whose last word is the length of what follows */
    int fd = socket_connect(scene, "admin");
    size_t length = 0, wanted = 12;
    uint32_t follows;
    ssize_t got;

    if (send(fd, &ask, sizeof ask, MSG_NOSIGNAL) != (ssize_t)sizeof ask)
        bench_fail(scene->bench, "the relay takes no question");
    while (length < wanted && wanted < sizeof text && (got = read(fd, text + length, wanted - length)) > 0) {
        length += (size_t)got;
        memcpy(&follows, text + 8, sizeof follows);
        wanted = length < 12 ? 12 : 12 + (size_t)follows;
    }
    (void)close(fd);
    text[length] = '\0';
    for (unsigned int vm = 0; vm < 2; vm++) {
        char name[32];
        const char *at;

        (void)snprintf(name, sizeof name, "\"name\":\"vm%u\"", vm);
        at = length > 12 ? strstr(text + 12, name) : NULL;
        at = at ? strstr(at, "\"used_ns\":") : NULL;
        if (!at)
            bench_fail(scene->bench, "the relay does not tell what it has charged");
        ret_charged_ns[vm] = strtoull(at + 10, NULL, 10);
    }
}

struct shares {
    uint64_t charged_ns[2], busy_ns[VMS_MAX];
};

static void shares_read(const struct scene *scene, struct shares *ret_shares) {
    charged_read(scene, ret_shares->charged_ns);
    if (busy_read(scene->bench, ret_shares->busy_ns) != 2)
        bench_fail(scene->bench, "two machines, and not two processes on the device");
}

static double ratio_of(const uint64_t *before, const uint64_t *after) {
    return (double)(after[0] - before[0]) / (double)(after[1] - before[1]);
}

/* These jobs are over in microseconds on the device: bench/relay has the shares of work that keeps it busy. */
static void shares_measure(struct bench *bench, struct scene *scene) {
    unsigned int windows = bench->quick ? 3 : 12;
    double charged[12], busy[12], ratio;
    struct bench_stats charged_stats, busy_stats;
    struct shares start, last, now;

    scene_open(scene, bench, 2, 80, 20, "1");
    client_start(scene, 0, 32);
    client_wait(scene, 0, 1);
    client_start(scene, 1, 32);
    client_wait(scene, 1, 1);
    pause_s(1);
    shares_read(scene, &start);
    last = start;
    for (unsigned int i = 0; i < windows; i++) {
        pause_s(bench->quick ? 0.5 : 5);
        shares_read(scene, &now);
        charged[i] = ratio_of(last.charged_ns, now.charged_ns);
        busy[i] = ratio_of(last.busy_ns, now.busy_ns);
        last = now;
    }
    bench_stats(charged, windows, &charged_stats);
    bench_stats(busy, windows, &busy_stats);
    ratio = ratio_of(start.busy_ns, now.busy_ns);
    bench_row(bench, "JSON jobs, weights 80:20: by the device's record", ratio, busy_stats.min, busy_stats.max, "ratio", "4 +- 2 %",
              fabs(ratio - RATIO) <= RATIO_ERROR ? BENCH_MET : BENCH_MISSED);
    bench_row(bench, "the same, by what they were charged", ratio_of(start.charged_ns, now.charged_ns), charged_stats.min, charged_stats.max,
              "ratio", "", BENCH_SHOWN);
    client_end(scene, 1);
    client_end(scene, 0);
    scene_close(scene);
}

/* --- a flood ------------------------------------------------------------------------------------------------- */

static double percentile(const struct client *client, double part, double *ret_median) {
    static double times[TIMES_MAX];
    struct bench_stats stats;
    size_t count = client->measured;

    if (count == 0)
        return 0;
    for (size_t i = 0; i < count; i++)
        times[i] = (double)client->times_us[i];
    bench_stats(times, count, &stats); /* sorts */
    *ret_median = stats.median;
    return times[(size_t)((double)(count - 1) * part)];
}

static double p99_for(struct scene *scene, double seconds, double *ret_median) {
    client_start(scene, 0, 1);
    client_wait(scene, 0, 50);
    scene->clients[0].measured = 0;
    pause_s(seconds);
    client_end(scene, 0);
    return percentile(&scene->clients[0], 0.99, ret_median);
}

static void flood_measure(struct bench *bench, struct scene *scene, const char *parallel,
                          bool is_judged) {
    unsigned int rounds = bench->quick ? 1 : 5;
    double seconds = bench->quick ? 0.5 : 2, alone[8], flooded[8], factors[8], median;
    struct bench_stats factor, before, during;
    char what[80];

    scene_open(scene, bench, 2, 50, 50, parallel);
    for (unsigned int i = 0; i < rounds; i++) {
        alone[i] = p99_for(scene, seconds, &median);
        client_start(scene, 1, WINDOW_MAX);
        client_wait(scene, 1, 50);
        flooded[i] = p99_for(scene, seconds, &median);
        client_end(scene, 1);
        factors[i] = flooded[i] / alone[i];
    }
    bench_stats(alone, rounds, &before);
    bench_stats(flooded, rounds, &during);
    bench_stats(factors, rounds, &factor);
    (void)snprintf(what, sizeof what, "p99 of a machine alone, %s at a time", parallel);
    bench_row(bench, what, before.median, before.min, before.max, "us", "", BENCH_SHOWN);
    (void)snprintf(what, sizeof what, "p99 of it beside a flood, %s at a time", parallel);
    bench_row(bench, what, during.median, during.min, during.max, "us", "", BENCH_SHOWN);
    (void)snprintf(what, sizeof what, "flooded to alone, %s at a time", parallel);
    bench_row(bench, what, factor.median, factor.min, factor.max, "x", is_judged ? "<= 1.2" : "",
              is_judged ? bench_judge(factor.median, FLOOD_P99) : BENCH_SHOWN);
    scene_close(scene);
}

/* --- 1 to 30 machines ------------------------------------------------------------------------------------------ */

static double relay_cpu_s(const struct scene *scene) {
    unsigned long long user = 0, system_time = 0;
    char path[64];
    FILE *file;

    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)scene->relay);
    file = fopen(path, "r");
    if (!file || fscanf(file, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
                        &user, &system_time) != 2)
        bench_fail(scene->bench, "%s cannot be read", path);
    (void)fclose(file);
    return (double)(user + system_time) / (double)sysconf(_SC_CLK_TCK);
}

static double relay_rss_kib(const struct scene *scene) {
    char path[64], line[128];
    double kib = 0;
    FILE *file;

    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)scene->relay);
    file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "VmRSS:", 6) == 0)
            kib = strtod(line + 6, NULL);
    if (file)
        (void)fclose(file);
    return kib;
}

/* The largest p99 of any machine, and its p50 and p95. */
static void latencies_show(struct bench *bench, const struct scene *scene, unsigned int count) {
    double p50[VMS_MAX], p95[VMS_MAX], p99[VMS_MAX], unused;
    struct bench_stats stats;
    char what[80];

    for (unsigned int vm = 0; vm < count; vm++) {
        p99[vm] = percentile(&scene->clients[vm], 0.99, &p50[vm]);
        p95[vm] = percentile(&scene->clients[vm], 0.95, &unused);
    }
    bench_stats(p50, count, &stats);
    (void)snprintf(what, sizeof what, "%u machines: p50", count);
    bench_row(bench, what, stats.median, stats.min, stats.max, "us", "", BENCH_SHOWN);
    bench_stats(p95, count, &stats);
    (void)snprintf(what, sizeof what, "%u machines: p95", count);
    bench_row(bench, what, stats.median, stats.min, stats.max, "us", "", BENCH_SHOWN);
    bench_stats(p99, count, &stats);
    (void)snprintf(what, sizeof what, "%u machines: p99", count);
    bench_row(bench, what, stats.median, stats.min, stats.max, "us", "", BENCH_SHOWN);
}

static void rates_show(struct bench *bench, const struct scene *scene, unsigned int count,
                       double seconds) {
    double all = 0, least = HUGE_VAL, most = 0;
    char what[80];

    for (unsigned int vm = 0; vm < count; vm++) {
        double rate = (double)scene->clients[vm].measured / seconds;

        all += rate;
        least = fmin(least, rate);
        most = fmax(most, rate);
    }
    (void)snprintf(what, sizeof what, "%u machines: jobs a second; spread: of one", count);
    bench_row(bench, what, all, least, most, "/s", "", BENCH_SHOWN);
    if (least <= 0)
        bench_row(bench, "a machine had no answer", least, 0, 0, "/s", "> 0", BENCH_WRONG);
}

static void count_measure(struct bench *bench, struct scene *scene, unsigned int count) {
    double seconds = bench->quick       ? 1
                     : count == VMS_MAX ? 30
                                        : 5,
           cpu_s, first_kib, growth_kib = 0, wall_s;
    uint64_t start_ns;

    for (unsigned int vm = 0; vm < count; vm++)
        client_start(scene, vm, 1);
    for (unsigned int vm = 0; vm < count; vm++)
        client_wait(scene, vm, 20);
    for (unsigned int vm = 0; vm < count; vm++)
        scene->clients[vm].measured = 0;
    start_ns = bench_now_ns();
    cpu_s = relay_cpu_s(scene);
    first_kib = relay_rss_kib(scene);
    while (bench_now_ns() < start_ns + (uint64_t)(seconds * (double)SECOND_NS)) {
        pause_s(0.1);
        growth_kib = fmax(growth_kib, relay_rss_kib(scene) - first_kib);
    }
    wall_s = (double)(bench_now_ns() - start_ns) / (double)SECOND_NS;
    cpu_s = relay_cpu_s(scene) - cpu_s;
    rates_show(bench, scene, count, wall_s);
    latencies_show(bench, scene, count);
    for (unsigned int vm = 0; vm < count; vm++)
        client_end(scene, vm);
    if (count < VMS_MAX && !bench->quick)
        return;
    bench_row(bench, "the relay's processor time, most machines", cpu_s / wall_s, 0, 0, "cores",
              "<= 1", bench_judge(cpu_s / wall_s, RELAY_CORES));
    bench_row(bench, "the relay's memory grew by, most machines", growth_kib, 0, first_kib, "KiB",
              "<= 1024", bench_judge(growth_kib, GROWTH_KIB));
}

int main(int argc, char **argv) {
    static const unsigned int counts[] = {1, 2, 4, 8, 15, 30};
    static struct scene scene;
    struct bench bench;
    char error[DIVVY_SIMGPU_ERROR_MAX];

    bench_open(&bench, argc, argv, "vms", BENCH_SIM,
               "Machines behind a relay: shares, a flood, 1 to 30 of them, the relay's own cost.");
    if (bench.gpu != BENCH_SIM) {
        (void)fputs("vms: judged by the simulated device's record only\n", stderr);
        return 2;
    }
    scene.clients = mmap(NULL, VMS_MAX * sizeof *scene.clients, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (scene.clients == MAP_FAILED)
        bench_fail(&bench, "no memory");
    if (divvy_simgpu_attach(DIVVY_SIMGPU_OBSERVER, error) != 0)
        bench_fail(&bench, "%s", error);
    shares_measure(&bench, &scene);
    flood_measure(&bench, &scene, "1", true);
    if (!bench.quick)
        flood_measure(&bench, &scene, "2", false);
    scene_open(&scene, &bench, bench.quick ? 4 : VMS_MAX, 50, 50, "1");
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        if (!bench.quick || counts[i] == 4)
            count_measure(&bench, &scene, counts[i]);
    scene_close(&scene);
    divvy_simgpu_detach();
    return bench_close(&bench);
}
