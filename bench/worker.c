/*
 * A GPU over divvy's protocol, without a relay: round trips of empty requests and of the smallest job, asynchronous launches a
 * second, copies. The worker runs behind the limiter, as a tenant does; launches are counted over a driver that does nothing,
 * where only divvy's own cost remains, and over the simulated GPU.
 */
#include "bench.h"

#include "divvy/client.h"
#include "remote/kernels.h"
#include "wire/pack.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_NS   (20 * UINT64_C(1000000000))
#define JOB_US     60.0     /* through a relay; here without one */
#define LAUNCHES   500000.0 /* a second */
#define PACK_BYTES ((size_t)1 << 20) /* the longest piece of a copy */
#define PACK_TIMES 8
#define COPIES_GBS 4.5      /* half of what a bare unix socket carries */

struct worker {
    pid_t pid;
    char path[96];
};

static const char job[] = "{\"operation\":\"vector_add\",\"array_a\":[1,2,3],\"array_b\":[4,5,6]}";

static void check(const struct bench *bench, const char *what, int status) {
    if (status != 0)
        bench_fail(bench, "%s: %d", what, status);
}

/* Starts a worker on a unix socket of its own; the first connection that it takes is given back. */
static struct divvy_client *worker_start(const struct bench *bench, struct worker *worker) {
    const struct bench_limits limits = {.preload = true, .bytes = UINT64_C(4) << 30};
    const char *arguments[] = {"--socket", worker->path, NULL};
    uint64_t deadline_ns = bench_now_ns() + START_NS;
    struct divvy_client *client;

    (void)snprintf(worker->path, sizeof worker->path, "/tmp/divvy-bench-%d.sock", (int)getpid());
    worker->pid = bench_start(bench, &limits, "divvy-worker", arguments, NULL);
    while (divvy_client_open(worker->path, 20000, &client) < 0) {
        if (bench_now_ns() > deadline_ns || waitpid(worker->pid, NULL, WNOHANG) != 0)
            bench_fail(bench, "the worker does not start");
        bench_sleep_until_ns(bench_now_ns() + 20000000);
    }
    return client;
}

static void worker_end(const struct bench *bench, const struct worker *worker, struct divvy_client *client) {
    divvy_client_close(client);
    (void)kill(worker->pid, SIGTERM);
    bench_finish(bench, worker->pid, "divvy-worker");
}

static enum bench_verdict at_least(double value, double target) {
    return value >= target ? BENCH_MET : BENCH_MISSED;
}

/* --- what is measured ------------------------------------------------------------------------------------ */

static void empty_once(const struct bench *bench, struct divvy_client *client) {
    check(bench, "ping", divvy_client_ping(client, "01234567", 8));
}

static void job_once(const struct bench *bench, struct divvy_client *client) {
    char *answer;
    size_t length;

    check(bench, "job", divvy_client_job(client, job, sizeof job - 1, &answer, &length));
    if (!strstr(answer, "[5, 7, 9]"))
        bench_fail(bench, "a wrong answer: %s", answer);
    free(answer);
}

static void trips(struct bench *bench, struct divvy_client *client, const char *what, bool is_judged,
                  void (*once)(const struct bench *, struct divvy_client *)) {
    size_t count = bench->quick ? 200 : 5000;
    double *times = malloc(count * sizeof *times);
    struct bench_stats stats;

    if (!times)
        bench_fail(bench, "no memory");
    once(bench, client);
    for (size_t i = 0; i < count; i++) {
        uint64_t start_ns = bench_now_ns();

        once(bench, client);
        times[i] = (double)(bench_now_ns() - start_ns) / 1e3;
    }
    bench_stats(times, count, &stats);
    bench_row(bench, what, stats.median, stats.p05, stats.p95, "us", is_judged ? "<= 60" : "",
              is_judged ? bench_judge(stats.median, JOB_US) : BENCH_SHOWN);
    free(times);
}

static void launches(struct bench *bench, struct divvy_client *client, const char *what, bool is_judged) {
    const struct divvy_client_shape shape = {.grid = {1, 1, 1}, .block = {1, 1, 1}};
    uint64_t count = bench->quick ? 5000 : 500000, context, module, unused = 0;
    const void *parameters[] = {&unused};
    struct divvy_client_function function;
    double rates[5];
    struct bench_stats stats;

    check(bench, "context", divvy_client_context_primary(client, 0, &context));
    check(bench, "module", divvy_client_module_load(client, DIVVY_REMOTE_PTX_NOTHING,
                                                    sizeof DIVVY_REMOTE_PTX_NOTHING, &module));
    check(bench, "function", divvy_client_function_get(client, module, "nothing", &function));
    for (size_t round = 0; round < 5; round++) {
        uint64_t start_ns = bench_now_ns();

        for (uint64_t i = 0; i < count; i++)
            check(bench, "launch", divvy_client_launch(client, &function, &shape, 0, parameters));
        check(bench, "wait", divvy_client_context_sync(client));
        rates[round] = (double)count / ((double)(bench_now_ns() - start_ns) / 1e9);
    }
    bench_stats(rates, 5, &stats);
    bench_row(bench, what, stats.median, stats.min, stats.max, "/s", is_judged ? ">= 500000" : "",
              is_judged ? at_least(stats.median, LAUNCHES) : BENCH_SHOWN);
}

static void copies(struct bench *bench, struct divvy_client *client) {
    uint64_t size = bench->quick ? 4u << 20 : 256u << 20, context, address;
    char *out = malloc(size), *back = malloc(size);
    double in_rates[5], out_rates[5];
    struct bench_stats stats;

    if (!out || !back)
        bench_fail(bench, "no memory");
    for (uint64_t i = 0; i < size; i++)
        out[i] = (char)(i * 37 + (i >> 16));
    check(bench, "context", divvy_client_context_primary(client, 0, &context));
    check(bench, "memory", divvy_client_memory_allocate(client, size, &address));
    for (size_t round = 0; round < 5; round++) {
        uint64_t start_ns = bench_now_ns(), there_ns;

        check(bench, "copy", divvy_client_copy_in(client, address, out, size, 0));
        check(bench, "wait", divvy_client_context_sync(client));
        there_ns = bench_now_ns();
        memset(back, 0, size);
        in_rates[round] = (double)size / (double)(there_ns - start_ns);
        start_ns = bench_now_ns();
        check(bench, "copy", divvy_client_copy_out(client, address, size, 0, back));
        out_rates[round] = (double)size / (double)(bench_now_ns() - start_ns);
        if (memcmp(out, back, size) != 0)
            bench_fail(bench, "what came back is not what was sent");
    }
    bench_stats(in_rates, 5, &stats);
    bench_row(bench, "copy to the GPU, unix socket", stats.median, stats.min, stats.max, "GB/s", ">= 4.5",
              at_least(stats.median, COPIES_GBS));
    bench_stats(out_rates, 5, &stats);
    bench_row(bench, "copy from the GPU, unix socket", stats.median, stats.min, stats.max, "GB/s", ">= 4.5",
              at_least(stats.median, COPIES_GBS));
    check(bench, "memory", divvy_client_memory_free(client, address));
    free(out);
    free(back);
}

enum content { SPARSE, NUMBERS, TEXT, NOISE, CONTENTS };

/* A matrix of which nine tenths are 0; 32-bit numbers in order; PTX; what cannot be packed. */
static void content_fill(enum content content, char *bytes) {
    static const char text[] = DIVVY_REMOTE_PTX_VECTOR_ADD;
    uint32_t state = 1;

    for (size_t i = 0; i < PACK_BYTES / sizeof state; i++) {
        uint32_t word;

        state = state * 1664525 + 1013904223;
        word = content == NUMBERS ? (uint32_t)i * 3 : content == SPARSE && state >> 16 < 58982 ? 0 : state ^ state >> 13;
        memcpy(bytes + i * sizeof word, &word, sizeof word);
    }
    for (size_t i = 0; content == TEXT && i < PACK_BYTES; i++)
        bytes[i] = text[i % (sizeof text - 1)];
}

/* What packing costs, and what it saves: so the link is told below which it is worth it. */
static void packing(struct bench *bench) {
    static const char *const names[] = {"a matrix, nine tenths 0", "numbers in order", "PTX", "noise"};
    static struct divvy_wire_packer packer;
    static char bytes[PACK_BYTES], packed[PACK_BYTES], back[PACK_BYTES];
    size_t rounds = bench->quick ? 3 : 9;

    for (enum content content = SPARSE; content < CONTENTS; content++) {
        double pack_rates[9], unpack_rates[9];
        struct bench_stats stats;
        size_t length = 0, there = 0;
        char what[80];

        content_fill(content, bytes);
        for (size_t round = 0; round < rounds; round++) {
            uint64_t start_ns = bench_now_ns(), packed_ns;

            for (int i = 0; i < PACK_TIMES; i++)
                length = divvy_wire_pack(&packer, bytes, sizeof bytes, packed);
            packed_ns = bench_now_ns();
            for (int i = 0; i < PACK_TIMES && length > 0; i++)
                if (divvy_wire_unpack(packed, length, back, sizeof back, &there) != 0 || memcmp(bytes, back, 64) != 0)
                    bench_fail(bench, "what was packed does not come back");
            pack_rates[round] = (double)PACK_BYTES * PACK_TIMES / (double)(packed_ns - start_ns);
            unpack_rates[round] = (double)PACK_BYTES * PACK_TIMES / (double)(bench_now_ns() - packed_ns);
        }
        bench_stats(pack_rates, rounds, &stats);
        (void)snprintf(what, sizeof what, "pack %s", names[content]);
        bench_row(bench, what, stats.median, stats.min, stats.max, "GB/s", "", BENCH_SHOWN);
        if (length == 0)
            continue;
        (void)snprintf(what, sizeof what, "packed, %s: of its length", names[content]);
        bench_row(bench, what, 100.0 * (double)length / PACK_BYTES, 0, 0, "%", "", BENCH_SHOWN);
        bench_stats(unpack_rates, rounds, &stats);
        (void)snprintf(what, sizeof what, "unpack %s", names[content]);
        bench_row(bench, what, stats.median, stats.min, stats.max, "GB/s", "", BENCH_SHOWN);
    }
}

int main(int argc, char **argv) {
    struct divvy_client *client;
    struct worker worker;
    struct bench bench;

    bench_open(&bench, argc, argv, "worker", BENCH_SIM, "A GPU over divvy's protocol: round trips, launches, copies.");
    client = worker_start(&bench, &worker);
    trips(&bench, client, "empty request there and back", false, empty_once);
    trips(&bench, client, "3-element add there and back", true, job_once);
    copies(&bench, client);
    launches(&bench, client, "asynchronous launches, done", bench.gpu == BENCH_REAL);
    worker_end(&bench, &worker, client);
    if (bench.gpu == BENCH_SIM) {
        bench.gpu = BENCH_STUB;
        client = worker_start(&bench, &worker);
        launches(&bench, client, "asynchronous launches, driver that does nothing", true);
        worker_end(&bench, &worker, client);
        bench.gpu = BENCH_SIM;
    }
    packing(&bench);
    return bench_close(&bench);
}
