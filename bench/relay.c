/*
 * The way of a virtual machine's work through relay and worker, over unix sockets, beside the bare socket in the same run: the
 * smallest job, asynchronous launches, long copies; and the shares of machines whose clients speak frames and want all of the GPU.
 * The worker runs behind the limiter, as a tenant does. bench/vms has many machines that speak JSON.
 */
#include "relay_rig.h"

#include "remote/kernels.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define JOB_US      60.0
#define LAUNCHES    500000.0 /* a second */
#define OF_BARE     50.0     /* percent */
#define RATIO       4.0
#define RATIO_ERROR 2.0 /* percent */

#define MAX_TRIPS 20000u

static const char job[] = "{\"operation\":\"vector_add\",\"array_a\":[1,2,3],\"array_b\":[4,5,6]}\n";

static enum bench_verdict at_least(double value, double target) {
    return value >= target ? BENCH_MET : BENCH_MISSED;
}

/* --- the bare socket ----------------------------------------------------------------------------------------- */

static void bytes_all(const struct bench *bench, int fd, char *bytes, size_t length, bool out) {
    while (length > 0) {
        ssize_t done = out ? send(fd, bytes, length, MSG_NOSIGNAL) : recv(fd, bytes, length, 0);

        if (done <= 0)
            bench_fail(bench, "a socket ended");
        bytes += done;
        length -= (size_t)done;
    }
}

static void echo_run(int fd) {
    char bytes[64];
    ssize_t got;

    while ((got = recv(fd, bytes, sizeof bytes, 0)) > 0)
        (void)!send(fd, bytes, (size_t)got, MSG_NOSIGNAL);
    _exit(0);
}

/* Sends back one byte for each `size` that came. */
static void sink_run(int fd, char *bytes, size_t chunk, size_t size) {
    for (;;)
        for (size_t had = 0; had < size;) {
            ssize_t got = recv(fd, bytes, chunk, 0);

            if (got <= 0)
                _exit(0);
            had += (size_t)got;
            if (had == size)
                (void)!send(fd, bytes, 1, MSG_NOSIGNAL);
        }
}

static pid_t pair_start(const struct bench *bench, int *ret_fd, char *bytes, size_t chunk, size_t size) {
    const int buffer = 2 << 20; /* as the relay has it */
    int fds[2];
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        bench_fail(bench, "socketpair: %s", strerror(errno));
    (void)setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
    pid = fork();
    if (pid == 0) {
        (void)close(fds[0]);
        if (bytes)
            sink_run(fds[1], bytes, chunk, size);
        echo_run(fds[1]);
    }
    (void)close(fds[1]);
    *ret_fd = fds[0];
    return pid;
}

static void pair_end(pid_t pid, int fd) {
    (void)close(fd);
    (void)waitpid(pid, NULL, 0);
}

static void bare_trips(struct bench *bench, size_t count) {
    static double times[MAX_TRIPS];
    struct bench_stats stats;
    char bytes[64] = {0};
    int fd;
    pid_t pid = pair_start(bench, &fd, NULL, 0, 0);

    for (size_t i = 0; i < count; i++) {
        uint64_t start_ns = bench_now_ns();

        bytes_all(bench, fd, bytes, sizeof bytes, true);
        bytes_all(bench, fd, bytes, sizeof bytes, false);
        times[i] = (double)(bench_now_ns() - start_ns) / 1e3;
    }
    pair_end(pid, fd);
    bench_stats(times, count, &stats);
    bench_row(bench, "bare socket: 64 bytes there and back", stats.median, stats.p05, stats.p95, "us", "", BENCH_SHOWN);
}

static double bare_rate(const struct bench *bench, char *bytes, size_t size) {
    const size_t chunk = 1 << 20;
    uint64_t start_ns;
    double rate;
    int fd;
    pid_t pid = pair_start(bench, &fd, bytes, chunk, size);
    char end;

    for (int round = 0; round < 2; round++) { /* the first one warms up */
        start_ns = bench_now_ns();
        for (size_t at = 0; at < size; at += chunk)
            bytes_all(bench, fd, bytes + at, size - at < chunk ? size - at : chunk, true);
        bytes_all(bench, fd, &end, 1, false);
    }
    rate = (double)size / (double)(bench_now_ns() - start_ns);
    pair_end(pid, fd);
    return rate;
}

/* --- jobs ------------------------------------------------------------------------------------------------------ */

/* One read for the whole answer, as a client would. */
static void json_trip(const struct bench *bench, int fd) {
    char answer[256];
    ssize_t got;

    bytes_all(bench, fd, (char *)(uintptr_t)job, sizeof job - 1, true);
    got = recv(fd, answer, sizeof answer - 1, 0);
    if (got <= 0)
        bench_fail(bench, "the relay went away");
    answer[got] = '\0';
    if (!strstr(answer, "[5, 7, 9]"))
        bench_fail(bench, "a wrong answer: %s", answer);
    while (answer[got - 1] != '\n')
        bytes_all(bench, fd, answer, (size_t)(got = 1), false);
}

static void frame_trip(const struct bench *bench, struct divvy_client *client) {
    char *answer;
    size_t length;
    int status = divvy_client_job(client, job, sizeof job - 1, &answer, &length);

    if (status != 0)
        bench_fail(bench, "job: %d %s", status, divvy_client_text(client));
    if (!strstr(answer, "[5, 7, 9]"))
        bench_fail(bench, "a wrong answer: %s", answer);
    free(answer);
}

static void trips(struct bench *bench, const char *path, const char *what, bool is_frames, bool is_judged) {
    static double times[MAX_TRIPS];
    size_t count = bench->quick ? 200 : 5000;
    struct divvy_client *client = is_frames ? rig_client(bench, path) : NULL;
    int fd = is_frames ? -1 : rig_connect(bench, path);
    struct bench_stats stats;

    for (size_t i = 0; i < count + 20; i++) {
        uint64_t start_ns = bench_now_ns();

        if (is_frames)
            frame_trip(bench, client);
        else
            json_trip(bench, fd);
        if (i >= 20)
            times[i - 20] = (double)(bench_now_ns() - start_ns) / 1e3;
    }
    divvy_client_close(client);
    if (fd >= 0)
        (void)close(fd);
    bench_stats(times, count, &stats);
    bench_row(bench, what, stats.median, stats.p05, stats.p95, "us", is_judged ? "<= 60" : "",
              is_judged ? bench_judge(stats.median, JOB_US) : BENCH_SHOWN);
}

/* --- launches and copies ------------------------------------------------------------------------------------------- */

static void launches(struct bench *bench, const struct rig *rig, const char *what, bool is_judged) {
    const struct divvy_client_shape shape = {.grid = {1, 1, 1}, .block = {1, 1, 1}};
    uint64_t count = bench->quick ? 5000 : 500000, unused = 0;
    struct divvy_client *client = rig_client(bench, rig->vms[0]);
    const void *parameters[] = {&unused};
    struct divvy_client_function function;
    struct bench_stats stats;
    double rates[5];

    rig_function(bench, client, DIVVY_REMOTE_PTX_NOTHING, "nothing", &function);
    for (size_t round = 0; round < 5; round++) {
        uint64_t start_ns = bench_now_ns();

        for (uint64_t i = 0; i < count; i++)
            rig_check(bench, client, "launch", divvy_client_launch(client, &function, &shape, 0, parameters));
        rig_check(bench, client, "wait", divvy_client_context_sync(client));
        rates[round] = (double)count / ((double)(bench_now_ns() - start_ns) / 1e9);
    }
    divvy_client_close(client);
    bench_stats(rates, 5, &stats);
    bench_row(bench, what, stats.median, stats.min, stats.max, "/s", is_judged ? ">= 500000" : "",
              is_judged ? at_least(stats.median, LAUNCHES) : BENCH_SHOWN);
}

/* The bare socket before and after each, so that what else the machine does falls on both. */
static void copies(struct bench *bench, const struct rig *rig) {
    uint64_t size = bench->quick ? 4u << 20 : 256u << 20, context, address;
    struct divvy_client *client = rig_client(bench, rig->vms[0]);
    char *out = malloc(size), *back = malloc(size);
    double bare[5], in[5], from[5], in_of[5], from_of[5];
    struct bench_stats stats;

    if (!out || !back)
        bench_fail(bench, "no memory");
    for (uint64_t i = 0; i < size; i++)
        out[i] = (char)(i * 37 + (i >> 16));
    rig_check(bench, client, "context", divvy_client_context_primary(client, 0, &context));
    rig_check(bench, client, "memory", divvy_client_memory_allocate(client, size, &address));
    /* Memory that nobody has used yet is made when it is: that is the device's own time. */
    rig_check(bench, client, "fill", divvy_client_fill(client, address, 0, 1, size, 0));
    rig_check(bench, client, "copy", divvy_client_copy_in(client, address, out, size, 0));
    for (size_t round = 0; round < 5; round++) {
        uint64_t start_ns;

        bare[round] = bare_rate(bench, out, size);
        start_ns = bench_now_ns();
        rig_check(bench, client, "copy", divvy_client_copy_in(client, address, out, size, 0));
        rig_check(bench, client, "wait", divvy_client_context_sync(client));
        in[round] = (double)size / (double)(bench_now_ns() - start_ns);
        memset(back, 0, size);
        start_ns = bench_now_ns();
        rig_check(bench, client, "copy", divvy_client_copy_out(client, address, size, 0, back));
        from[round] = (double)size / (double)(bench_now_ns() - start_ns);
        in_of[round] = 100 * in[round] / bare[round];
        from_of[round] = 100 * from[round] / bare[round];
        if (memcmp(out, back, size) != 0)
            bench_row(bench, "what came back", 0, 0, 0, "", "the same", BENCH_WRONG);
    }
    bench_stats(bare, 5, &stats);
    bench_row(bench, "bare socket: long copy", stats.median, stats.min, stats.max, "GB/s", "", BENCH_SHOWN);
    bench_stats(in, 5, &stats);
    bench_row(bench, "copy to the GPU", stats.median, stats.min, stats.max, "GB/s", "", BENCH_SHOWN);
    bench_stats(from, 5, &stats);
    bench_row(bench, "copy from the GPU", stats.median, stats.min, stats.max, "GB/s", "", BENCH_SHOWN);
    bench_stats(in_of, 5, &stats);
    bench_row(bench, "copy to the GPU, of the bare socket", stats.median, stats.min, stats.max, "%", ">= 50",
              at_least(stats.median, OF_BARE));
    bench_stats(from_of, 5, &stats);
    bench_row(bench, "copy from the GPU, of the bare socket", stats.median, stats.min, stats.max, "%", ">= 50",
              at_least(stats.median, OF_BARE));
    divvy_client_close(client);
    free(out);
    free(back);
}

/* --- many ------------------------------------------------------------------------------------------------------------- */

/* Kernels of a fixed device time, one after the other, each window waited for; counts those done. */
static void kernels_run(const struct bench *bench, const struct rig *rig, size_t number, volatile uint64_t *done) {
    const struct divvy_client_shape shape = {.grid = {132, 1, 1}, .block = {32, 1, 1}};
    struct divvy_client *client = rig_client(bench, rig->vms[number]);
    struct divvy_client_function function;
    uint64_t time_ns = rig->kernel_ns;
    const void *parameters[] = {&time_ns};

    rig_function(bench, client, RIG_PTX_TIME, "takes", &function);
    for (;;) {
        for (int i = 0; i < 4; i++)
            rig_check(bench, client, "launch", divvy_client_launch(client, &function, &shape, 0, parameters));
        rig_check(bench, client, "wait", divvy_client_context_sync(client));
        *done += 4;
    }
}

/* The same without a wait between: as much is on its way as there is room for. */
static void kernels_pour(const struct bench *bench, const struct rig *rig, size_t number, volatile uint64_t *done) {
    const struct divvy_client_shape shape = {.grid = {132, 1, 1}, .block = {32, 1, 1}};
    struct divvy_client *client = rig_client(bench, rig->vms[number]);
    struct divvy_client_function function;
    uint64_t time_ns = rig->kernel_ns;
    const void *parameters[] = {&time_ns};

    rig_function(bench, client, RIG_PTX_TIME, "takes", &function);
    for (;;) {
        for (int i = 0; i < 100; i++)
            rig_check(bench, client, "launch", divvy_client_launch(client, &function, &shape, 0, parameters));
        rig_check(bench, client, "wait", divvy_client_context_sync(client));
        *done += 100;
    }
}

static void shares(struct bench *bench, struct rig *rig, const char *what, uint64_t kernel_ns, rig_load_t load) {
    uint64_t windows = bench->quick ? 2 : 10, before[2] = {0}, start_ns, last_ns;
    double ratios[10], busy[10];
    struct bench_stats stats, together;
    struct rig_loads loads;
    char text[96];

    rig->kernel_ns = kernel_ns;
    rig_loads_start(bench, rig, &loads, 2, load);
    rig_loads_wait(bench, &loads);
    bench_sleep_until_ns(bench_now_ns() + (bench->quick ? 300000000u : 2000000000u));
    start_ns = last_ns = bench_now_ns();
    before[0] = loads.done[0];
    before[1] = loads.done[1];
    for (uint64_t i = 0; i < windows; i++) {
        uint64_t now[2];

        bench_sleep_until_ns(start_ns + (i + 1) * (bench->quick ? 500000000u : 3000000000u));
        now[0] = loads.done[0];
        now[1] = loads.done[1];
        ratios[i] = (double)(now[0] - before[0]) / (double)(now[1] - before[1] ? now[1] - before[1] : 1);
        busy[i] = 100 * (double)(now[0] - before[0] + now[1] - before[1]) * (double)kernel_ns / (double)(bench_now_ns() - last_ns);
        last_ns = bench_now_ns();
        memcpy(before, now, sizeof before);
    }
    rig_loads_end(&loads);
    bench_stats(ratios, windows, &stats);
    bench_stats(busy, windows, &together);
    (void)snprintf(text, sizeof text, "weights 80:20, %s: ratio", what);
    bench_row(bench, text, stats.mean, stats.min, stats.max, "", "4 +- 2 %",
              stats.mean >= RATIO * (1 - RATIO_ERROR / 100) && stats.mean <= RATIO * (1 + RATIO_ERROR / 100) ? BENCH_MET : BENCH_MISSED);
    (void)snprintf(text, sizeof text, "weights 80:20, %s: both", what);
    bench_row(bench, text, together.mean, together.min, together.max, "%", "", BENCH_SHOWN);
}

int main(int argc, char **argv) {
    static struct bench bench;
    static struct rig rig;

    bench_open(&bench, argc, argv, "relay", BENCH_SIM, "The way of a virtual machine's work through relay and worker, over unix sockets.");
    bare_trips(&bench, bench.quick ? 200 : 5000);
    rig_start(&bench, &rig, 2);
    trips(&bench, rig.worker_path, "3-element add, JSON, no relay", false, false);
    trips(&bench, rig.vms[0], "3-element add, JSON", false, true);
    trips(&bench, rig.vms[0], "3-element add, frames", true, true);
    copies(&bench, &rig);
    launches(&bench, &rig, "asynchronous launches, done", bench.gpu == BENCH_REAL);
    if (bench.gpu == BENCH_SIM) {
        shares(&bench, &rig, "1 ms kernels", 1000000, kernels_run);
        shares(&bench, &rig, "100 us kernels, poured", 100000, kernels_pour);
    }
    rig_end(&bench, &rig);
    if (bench.gpu == BENCH_SIM) {
        bench.gpu = BENCH_STUB;
        rig_start(&bench, &rig, 1);
        launches(&bench, &rig, "asynchronous launches, driver that does nothing", true);
        rig_end(&bench, &rig);
        bench.gpu = BENCH_SIM;
    }
    return bench_close(&bench);
}
