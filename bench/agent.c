/*
 * What ggo costs that has nothing to do, and how soon it follows a change of workers.json: with the tests' platform, its push channel open, and the tests'
 * TCP worker.
 */
#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Below those that the kernel gives to whoever connects: who knocks often enough at a shut port of these is let in by itself. */
enum { CHANGES_MAX = 100, FIRST_PORT = 22600 };

static struct bench bench;
static char place[64] = "/tmp/divvy-bench-agent.XXXXXX";
static pid_t platform, agent;
static int port;

static void in_place(const char *name, char ret_path[PATH_MAX]) {
    (void)snprintf(ret_path, PATH_MAX, "%s/%s", place, name);
}

static pid_t start(const char *program, char *const arguments[]) {
    char path[PATH_MAX + 64], log[PATH_MAX];
    pid_t pid;

    (void)snprintf(path, sizeof path, "%s/%s", bench.build, program);
    in_place("log", log);
    pid = fork();
    if (pid == 0) {
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);

        (void)dup2(fd, STDOUT_FILENO);
        (void)dup2(fd, STDERR_FILENO);
        (void)execv(path, arguments);
        _exit(127);
    }
    return pid;
}

static void end(pid_t *pid, int number) {
    if (*pid > 0) {
        (void)kill(*pid, number);
        (void)waitpid(*pid, NULL, 0);
    }
    *pid = 0;
}

static void all_end(void) {
    char command[96];

    end(&agent, SIGINT);
    end(&platform, SIGTERM);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", place);
    if (system(command) != 0)
        (void)fprintf(stderr, "bench agent: %s could not be removed\n", place);
}

static bool serves(int number) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)number),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_there = connect(fd, (const struct sockaddr *)&address, sizeof address) == 0;

    (void)close(fd);
    return is_there;
}

/* Milliseconds until the worker's port is open, or shut; more than ten seconds end the bench. */
static double wait_ms(bool open_wanted, uint64_t since_ns) {
    while (serves(port) != open_wanted) {
        if (bench_now_ns() - since_ns > UINT64_C(10000000000)) {
            all_end();
            bench_fail(&bench, "the agent does not follow a change of workers.json");
        }
        (void)usleep(500);
    }
    return (double)(bench_now_ns() - since_ns) / 1e6;
}

/* Written as programs do that know nothing of divvy: beside it, then renamed. The time of the renaming. */
static uint64_t wish(bool runs) {
    char path[PATH_MAX], beside[PATH_MAX];
    FILE *file;
    uint64_t now_ns;

    in_place("state/workers.json", path);
    in_place("state/new", beside);
    file = fopen(beside, "w");
    if (!file)
        bench_fail(&bench, "%s: %s", beside, strerror(errno));
    (void)fprintf(file,
                  "[{\"WorkerUID\": \"w\", \"AllocatedDevices\": [\"GPU-0\"], \"Status\": \"%s\", "
                  "\"ListenPort\": %d}]\n",
                  runs ? "Running" : "Pending", port);
    (void)fclose(file);
    now_ns = bench_now_ns();
    if (rename(beside, path) < 0)
        bench_fail(&bench, "%s: %s", path, strerror(errno));
    return now_ns;
}

static void platform_start(void) {
    char path[PATH_MAX], url[64], line[16] = "";
    char *const arguments[] = {"agent_platform", path, NULL};
    FILE *file = NULL;

    in_place("port", path);
    platform = start("tests/agent_platform", arguments);
    for (int i = 0; i < 500 && !line[0]; i++) {
        (void)usleep(10000);
        file = fopen(path, "r");
        if (file && !fgets(line, sizeof line, file))
            line[0] = '\0';
        if (file)
            (void)fclose(file);
    }
    if (!line[0])
        bench_fail(&bench, "the tests' platform does not start");
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d", (int)strtol(line, NULL, 10));
    (void)setenv("GPU_GO_ENDPOINT", url, 1);
}

static void agent_start(void) {
    char worker[PATH_MAX + 64], path[PATH_MAX];
    char *const enroll[] = {"ggo", "agent", "register", "--token", "tmp_good", NULL};
    char *const run[] = {"ggo", "agent", "start", "--single-node", "--worker-binary", worker, NULL};
    int status = -1;
    pid_t pid;

    (void)snprintf(worker, sizeof worker, "%s/tests/backend_tcp_worker", bench.build);
    in_place("config", path);
    (void)setenv("GGO_CONFIG_DIR", path, 1);
    in_place("state", path);
    (void)setenv("TENSOR_FUSION_STATE_DIR", path, 1);
    (void)mkdir(path, 0755);
    (void)setenv("HOME", place, 1);
    (void)setenv("GPU_GO_MOCK_GPUS", "8", 1);
    pid = start("bin/ggo", enroll);
    if (waitpid(pid, &status, 0) < 0 || status != 0)
        bench_fail(&bench, "ggo agent register failed");
    agent = start("bin/ggo", run);
}

/* Kilobytes of memory, and nanoseconds of processor time so far. */
static void usage_read(double *ret_mib, double *ret_cpu_ns) {
    char path[64], line[512];
    unsigned long long user = 0, system_ticks = 0;
    FILE *file;

    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)agent);
    file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "VmRSS:", 6) == 0)
            *ret_mib = strtod(line + 6, NULL) / 1024;
    if (file)
        (void)fclose(file);
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)agent);
    file = fopen(path, "r");
    if (!file || !fgets(line, sizeof line, file) ||
        sscanf(strrchr(line, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
               &user, &system_ticks) != 2)
        bench_fail(&bench, "the agent is gone");
    (void)fclose(file);
    *ret_cpu_ns = (double)(user + system_ticks) * 1e9 / (double)sysconf(_SC_CLK_TCK);
}

static void idle_measure(unsigned int seconds) {
    double mib = 0, before = 0, after = 0, percent;

    usage_read(&mib, &before);
    (void)sleep(seconds);
    usage_read(&mib, &after);
    percent = (after - before) / seconds / 1e7;
    bench_row(&bench, "idle agent, memory", mib, mib, mib, "MiB", "<= 20", bench_judge(mib, 20));
    bench_row(&bench, "idle agent, a processor's time", percent, percent, percent, "%", "<= 0.5",
              bench_judge(percent, 0.5));
}

static void changes_measure(int count) {
    static double starts[CHANGES_MAX], stops[CHANGES_MAX];
    struct bench_stats stats;

    for (int i = 0; i < count; i++) {
        starts[i] = wait_ms(true, wish(true));
        (void)usleep(20000);
        stops[i] = wait_ms(false, wish(false));
        (void)usleep(20000);
    }
    bench_stats(starts, (size_t)count, &stats);
    bench_row(&bench, "written to serving", stats.median, stats.p05, stats.p95, "ms", "<= 100",
              bench_judge(stats.p95, 100));
    bench_stats(stops, (size_t)count, &stats);
    bench_row(&bench, "written to stopped", stats.median, stats.p05, stats.p95, "ms", "<= 100",
              bench_judge(stats.p95, 100));
}

int main(int argc, char **argv) {
    bench_open(
        &bench, argc, argv, "agent", BENCH_STUB,
        "ggo with the tests' platform: memory and processor time of an idle agent, and "
        "milliseconds from a change of\n"
        "workers.json to the worker's port being open or shut; the target is for 95 of 100.");
    if (!mkdtemp(place))
        bench_fail(&bench, "no temporary folder");
    for (port = FIRST_PORT; serves(port);)
        port++;
    platform_start();
    agent_start();
    (void)wait_ms(true, wish(true));
    (void)wait_ms(false, wish(false));
    changes_measure(bench.quick ? 5 : CHANGES_MAX);
    (void)sleep(1);
    idle_measure(bench.quick ? 2 : 30);
    all_end();
    return bench_close(&bench);
}
