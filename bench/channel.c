/*
 * The two-way channel: how many clients can register in a second, what 1,000 of them cost that have nothing to do, and how
 * long a command takes there and back. The server is a process of its own; its CPU time is read from the kernel.
 */
#include "bench.h"
#include "channel_host.h"
#include "wire/channel/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ABREAST = 32, IDLE = 1000, ROUNDS_MAX = 4000 };

/* What the server process does when it reads a byte: 'c' that many commands to "worker", each waited for. */
struct order {
    char what;
    uint32_t count;
};

struct bench_server {
    pid_t pid;
    uint16_t port;
    int to, from; /* pipes */
};

/* ---- the server's process ---- */

static void serve_commands(struct channel_host *host, uint32_t count, int to) {
    struct divvy_channel_order command = {.kind = DIVVY_CHANNEL_HEALTH_CHECK};

    for (uint32_t i = 0; i < count; i++) {
        struct divvy_channel_outcome outcome = {0};
        char id[DIVVY_CHANNEL_TASK_ID_BYTES];
        uint64_t start_ns = bench_now_ns();
        double us = -1;

        if (divvy_channel_server_command(host->server, "worker", &command, NULL, id) == 0 &&
            divvy_channel_server_wait(host->server, "worker", id, INT64_C(10000000000), &outcome) == 0 && outcome.success)
            us = (double)(bench_now_ns() - start_ns) / 1e3;
        free(outcome.result);
        free(outcome.error);
        if (write(to, &us, sizeof us) != (ssize_t)sizeof us)
            _exit(1);
    }
}

static void serve(int from, int to) {
    struct channel_host host;
    struct order order;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (channel_host_start(&host, NULL, NULL, 0) < 0 || write(to, &host.port, sizeof host.port) != (ssize_t)sizeof host.port)
        _exit(1);
    while (read(from, &order, sizeof order) == (ssize_t)sizeof order)
        serve_commands(&host, order.count, to);
    channel_host_stop(&host);
    _exit(0);
}

static void server_start(const struct bench *bench, struct bench_server *ret_server) {
    int there[2], back[2];

    if (pipe(there) < 0 || pipe(back) < 0)
        bench_fail(bench, "pipe: %s", strerror(errno));
    ret_server->pid = fork();
    if (ret_server->pid < 0)
        bench_fail(bench, "fork: %s", strerror(errno));
    if (ret_server->pid == 0) {
        (void)close(there[1]);
        (void)close(back[0]);
        serve(there[0], back[1]);
    }
    (void)close(there[0]);
    (void)close(back[1]);
    ret_server->to = there[1];
    ret_server->from = back[0];
    if (read(back[0], &ret_server->port, sizeof ret_server->port) != (ssize_t)sizeof ret_server->port)
        bench_fail(bench, "the server did not start");
}

static void server_stop(const struct bench *bench, struct bench_server *server) {
    int status;

    (void)close(server->to);
    (void)close(server->from);
    if (waitpid(server->pid, &status, 0) != server->pid || status != 0)
        bench_fail(bench, "the server ended with status %d", status);
}

static double cpu_seconds(const struct bench *bench, pid_t pid) {
    struct timespec used;
    clockid_t clock;

    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) < 0)
        bench_fail(bench, "the CPU time of process %d cannot be read", (int)pid);
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

static double resident_mib(pid_t pid) {
    char path[64];
    long pages = 0;
    FILE *file;

    (void)snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    file = fopen(path, "r");
    if (!file || fscanf(file, "%*d %ld", &pages) != 1)
        pages = 0;
    if (file)
        (void)fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1048576;
}

/* ---- clients: sockets of this process, one thread ---- */

/* A new client: its connection, with the request for its events sent. */
static int client_open(const struct bench *bench, const struct bench_server *server, unsigned number) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(server->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    char text[256];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), length;

    length = snprintf(text, sizeof text,
                      "GET " DIVVY_CHANNEL_BASE "/events/worker_%u HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n", number);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0 || write(fd, text, (size_t)length) != length)
        bench_fail(bench, "client %u: %s", number, strerror(errno));
    return fd;
}

/* Its stream is open when the first comment has come. */
static void client_await(const struct bench *bench, int fd) {
    char text[1024];
    size_t length = 0;

    for (;;) {
        ssize_t got = read(fd, text + length, sizeof text - 1 - length);

        if (got <= 0)
            bench_fail(bench, "a stream did not open: %.*s", (int)length, text);
        length += (size_t)got;
        text[length] = '\0';
        if (strstr(text, ": open"))
            return;
    }
}

static void registrations(struct bench *bench, const struct bench_server *server, unsigned count) {
    int fds[ABREAST];
    uint64_t start_ns = bench_now_ns();
    double cpu = cpu_seconds(bench, server->pid), seconds;

    for (unsigned done = 0; done < count; done += ABREAST) {
        for (unsigned i = 0; i < ABREAST; i++)
            fds[i] = client_open(bench, server, done + i);
        for (unsigned i = 0; i < ABREAST; i++) {
            client_await(bench, fds[i]);
            (void)close(fds[i]);
        }
    }
    seconds = (double)(bench_now_ns() - start_ns) / 1e9;
    bench_row(bench, "clients registered, stream open", count / seconds, count / seconds, count / seconds, "1/s", ">= 2000",
              bench_judge(2000, count / seconds));
    cpu = cpu_seconds(bench, server->pid) - cpu;
    bench_row(bench, "CPU of the server for each", cpu / count * 1e6, cpu / count * 1e6, cpu / count * 1e6, "us", "",
              BENCH_SHOWN);
}

static void idle_clients(struct bench *bench, const struct bench_server *server, unsigned seconds) {
    static int fds[IDLE];
    double cpu, percent;

    for (unsigned i = 0; i < IDLE; i++) {
        fds[i] = client_open(bench, server, 1000000 + i);
        client_await(bench, fds[i]);
    }
    cpu = cpu_seconds(bench, server->pid);
    bench_sleep_until_ns(bench_now_ns() + (uint64_t)seconds * UINT64_C(1000000000));
    percent = (cpu_seconds(bench, server->pid) - cpu) / seconds * 100;
    bench_row(bench, "1,000 idle streams: CPU of the server", percent, percent, percent, "%", "<= 1", bench_judge(percent, 1));
    bench_row(bench, "1,000 idle streams: memory of the server", resident_mib(server->pid), 0, 0, "MiB", "", BENCH_SHOWN);
    for (unsigned i = 0; i < IDLE; i++) {
        char text[4096];

        /* All that came meanwhile must be keep-alive comments, and the stream must stand. */
        while (recv(fds[i], text, sizeof text - 1, MSG_DONTWAIT) > 0)
            if (strncmp(strchr(text, ':') ? strchr(text, ':') : "", ": keep-alive", 12) != 0)
                bench_fail(bench, "an idle stream said something else");
        if (errno != EAGAIN)
            bench_fail(bench, "an idle stream has ended");
        (void)close(fds[i]);
    }
}

/* ---- commands ---- */

static void handle(void *context, const struct divvy_wire_client_task *task, struct divvy_wire_client_result *ret_result) {
    struct divvy_wire_command command;

    (void)context;
    if (divvy_wire_command_parse(task->data, &command) == 0)
        divvy_wire_command_answer(&command, true, NULL, ret_result);
}

static void *run(void *context) {
    divvy_wire_client_run(context);
    return NULL;
}

static void commands(struct bench *bench, const struct bench_server *server, uint32_t count) {
    static struct divvy_wire_client client;
    static double us[ROUNDS_MAX];
    struct divvy_wire_client_settings settings = {
        .base = DIVVY_CHANNEL_BASE, .client_id = "worker", .can_stop = true, .handle = handle};
    struct order order = {'c', count};
    struct bench_stats stats;
    pthread_t thread;
    char port[8];

    (void)snprintf(port, sizeof port, "%u", server->port);
    if (divvy_wire_address_parse("127.0.0.1", port, &settings.address) < 0 ||
        divvy_wire_client_init(&client, &settings) < 0 || pthread_create(&thread, NULL, run, &client) != 0)
        bench_fail(bench, "the client did not start");
    if (write(server->to, &order, sizeof order) != (ssize_t)sizeof order)
        bench_fail(bench, "the server is gone");
    for (uint32_t i = 0; i < count; i++)
        if (read(server->from, &us[i], sizeof us[i]) != (ssize_t)sizeof us[i] || us[i] < 0)
            bench_fail(bench, "command %u was not answered", i);
    divvy_wire_client_stop(&client);
    (void)pthread_join(thread, NULL);
    divvy_wire_client_done(&client);
    bench_stats(us, count, &stats);
    bench_row(bench, "command there and result back", stats.median, stats.p05, stats.p95, "us", "", BENCH_SHOWN);
}

int main(int argc, char **argv) {
    static struct bench bench;
    struct rlimit files = {8192, 8192};
    struct bench_server server;

    bench_open(&bench, argc, argv, "channel", BENCH_STUB,
               "The two-way channel between daemon and limiters on the loopback: registrations a second, the cost of 1,000\n"
               "idle clients, and the time of a command and its result.");
    if (setrlimit(RLIMIT_NOFILE, &files) < 0)
        bench_fail(&bench, "8192 open files are not allowed here");
    server_start(&bench, &server);
    registrations(&bench, &server, bench.quick ? 640 : 9600);
    commands(&bench, &server, bench.quick ? 200 : ROUNDS_MAX);
    idle_clients(&bench, &server, bench.quick ? 2 : 45);
    server_stop(&bench, &server);
    return bench_close(&bench);
}
