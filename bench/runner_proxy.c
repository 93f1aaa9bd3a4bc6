/*
 * The runner's latency proxy: what it adds to a request, how many it carries, and how much memory the runner takes with it. The
 * model is subject_model, started by a real divvy-runner; every comparison is with going to the model directly, in turns.
 */
#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ABREAST = 32, BLOCK = 500, ROUNDS = 40 };
#define ADDED_US   100.0
#define CARRIED    10000.0
#define MEMORY_MIB 8.0

static const char request[] = "POST /v1/infer HTTP/1.1\r\nHost: model\r\nAccept: */*\r\nContent-Length: 0\r\n\r\n";

/* A port that was free a moment ago. */
static uint16_t port_find(const struct bench *bench) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        bench_fail(bench, "no port: %s", strerror(errno));
    (void)close(fd);
    return ntohs(address.sin_port);
}

/* Connected, or -1. */
static int reach(uint16_t port) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        return fd;
    }
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

static int reach_soon(const struct bench *bench, uint16_t port) {
    for (int i = 0; i < 1000; i++) {
        int fd = reach(port);

        if (fd >= 0)
            return fd;
        (void)usleep(10000);
    }
    bench_fail(bench, "nobody listens on port %u", port);
}

/* One answer, whole; answers all have one length, which the first tells. */
static void answer_take(const struct bench *bench, int fd, size_t *answer_length) {
    char bytes[4096];
    size_t have = 0;

    while (have == 0 || have < *answer_length) {
        ssize_t got = recv(fd, bytes + have, sizeof bytes - have, 0);
        const char *body;

        if (got <= 0)
            bench_fail(bench, "the connection ended in the middle of an answer");
        have += (size_t)got;
        if (memcmp(bytes, "HTTP/1.1 200 ", 13) != 0)
            bench_fail(bench, "the answer is '%.40s'", bytes);
        body = memmem(bytes, have, "\r\n\r\n", 4);
        if (!*answer_length && body)
            *answer_length = (size_t)(body - bytes) + 4 + 200;
    }
}

static void latency_measure(const struct bench *bench, int fd, size_t count, double *ret_us) {
    size_t answer_length = 0;

    for (size_t i = 0; i < count; i++) {
        uint64_t start_ns = bench_now_ns();

        if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) != (ssize_t)sizeof request - 1)
            bench_fail(bench, "send: %s", strerror(errno));
        answer_take(bench, fd, &answer_length);
        ret_us[i] = (double)(bench_now_ns() - start_ns) / 1e3;
    }
}

static void latency(struct bench *bench, uint16_t direct_port, uint16_t proxy_port) {
    size_t rounds = bench->quick ? 4 : ROUNDS;
    double *direct_us = calloc(rounds * BLOCK, sizeof(double)), *proxy_us = calloc(rounds * BLOCK, sizeof(double));
    int direct = reach_soon(bench, direct_port), proxy = reach_soon(bench, proxy_port);
    struct bench_stats with, without;
    double added;

    if (!direct_us || !proxy_us)
        bench_fail(bench, "no memory");
    for (size_t i = 0; i < rounds; i++) {
        latency_measure(bench, direct, BLOCK, direct_us + i * BLOCK);
        latency_measure(bench, proxy, BLOCK, proxy_us + i * BLOCK);
    }
    bench_stats(direct_us, rounds * BLOCK, &without);
    bench_stats(proxy_us, rounds * BLOCK, &with);
    added = with.median - without.median;
    bench_row(bench, "request to the model, direct", without.median, without.p05, without.p95, "us", "", BENCH_SHOWN);
    bench_row(bench, "request through the proxy", with.median, with.p05, with.p95, "us", "", BENCH_SHOWN);
    bench_row(bench, "added by the proxy at the median", added, added, added, "us", "<= 100", bench_judge(added, ADDED_US));
    (void)close(direct);
    (void)close(proxy);
    free(direct_us);
    free(proxy_us);
}

/* Answers per second over ABREAST connections that each always have one request out. */
static double throughput(const struct bench *bench, uint16_t port) {
    double seconds = bench->quick ? 0.3 : 3;
    int fds[ABREAST], epoll = epoll_create1(EPOLL_CLOEXEC);
    uint64_t begin_ns = bench_now_ns(), end_ns = begin_ns + (uint64_t)(seconds * 1e9), count = 0;

    for (int i = 0; i < ABREAST; i++) {
        struct epoll_event event = {.events = EPOLLIN};

        fds[i] = reach_soon(bench, port);
        event.data.fd = fds[i];
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event) < 0)
            bench_fail(bench, "epoll: %s", strerror(errno));
        (void)!send(fds[i], request, sizeof request - 1, MSG_NOSIGNAL);
    }
    while (bench_now_ns() < end_ns) {
        struct epoll_event events[ABREAST];
        int ready = epoll_wait(epoll, events, ABREAST, 1000);

        for (int i = 0; i < ready; i++) {
            size_t answer_length = 0;

            answer_take(bench, events[i].data.fd, &answer_length);
            count++;
            (void)!send(events[i].data.fd, request, sizeof request - 1, MSG_NOSIGNAL);
        }
    }
    for (int i = 0; i < ABREAST; i++)
        (void)close(fds[i]);
    (void)close(epoll);
    return (double)count / ((double)(bench_now_ns() - begin_ns) / 1e9);
}

/* What the kernel says of a process in MiB: "VmRSS", "VmHWM". */
static double memory_mib(const struct bench *bench, pid_t pid, const char *what) {
    char path[64], line[256];
    double kib = -1;
    FILE *file;

    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, what, strlen(what)) == 0)
            kib = strtod(line + strlen(what) + 1, NULL);
    if (file)
        (void)fclose(file);
    if (kib < 0)
        bench_fail(bench, "%s has no %s", path, what);
    return kib / 1024;
}

static void measure(struct bench *bench, pid_t runner, uint16_t model_port, uint16_t proxy_port) {
    double direct, carried, rss, peak;

    (void)close(reach_soon(bench, model_port));
    rss = memory_mib(bench, runner, "VmRSS");
    bench_row(bench, "memory of the runner at rest", rss, rss, rss, "MiB", "<= 8", bench_judge(rss, MEMORY_MIB));
    latency(bench, model_port, proxy_port);
    direct = throughput(bench, model_port);
    carried = throughput(bench, proxy_port);
    bench_row(bench, "requests a second, direct", direct, direct, direct, "/s", "", BENCH_SHOWN);
    bench_row(bench, "requests a second through the proxy", carried, carried, carried, "/s", ">= 10000",
              bench_judge(-carried, -CARRIED));
    peak = memory_mib(bench, runner, "VmHWM");
    bench_row(bench, "most memory of the runner under load", peak, peak, peak, "MiB", "<= 8", bench_judge(peak, MEMORY_MIB));
}

int main(int argc, char **argv) {
    static struct bench bench;
    const struct bench_limits none = {0};
    char model[16], proxy[32], program[PATH_MAX + 32];
    uint16_t model_port, proxy_port;
    int status;
    pid_t runner;

    bench_open(&bench, argc, argv, "runner_proxy", BENCH_STUB,
               "What the latency proxy of divvy-runner adds and carries, and the runner's memory.");
    model_port = port_find(&bench);
    proxy_port = port_find(&bench);
    (void)snprintf(model, sizeof model, "%u", model_port);
    (void)snprintf(proxy, sizeof proxy, "127.0.0.1:%u", proxy_port);
    (void)snprintf(program, sizeof program, "%s/bin/bench/subject_model", bench.build);
    runner = bench_start(&bench, &none, "divvy-runner",
                         (const char *const[]){"--metrics", "off", "--proxy", proxy, "--model-port", model, "--target",
                                               program, "--", model, NULL},
                         NULL);
    measure(&bench, runner, model_port, proxy_port);
    /* The runner passes it on and ends with its program: by the signal's number. */
    (void)kill(runner, SIGTERM);
    if (waitpid(runner, &status, 0) != runner || !WIFEXITED(status) || WEXITSTATUS(status) != 128 + SIGTERM)
        bench_fail(&bench, "the runner ended with wait status %d", status);
    return bench_close(&bench);
}
