/*
 * A GPU through memory that a client shares with a relay: the time of a small message and of the smallest job there and back, and
 * how fast copies to and from device memory go, beside the bare transport: two processes that move bytes through the same kind of
 * memory by memcpy and do nothing else. Targets: 30 us for the job, half of the bare transport for copies.
 */
#include "bench.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "divvy/client.h"
#include "wire/ring/pipe.h"

#define SHARED_BYTES (UINT64_C(16) << 20)
#define START_NS     (20 * UINT64_C(1000000000))
#define JOB_US       30.0
#define ROUNDS       5

static const char job[] = "{\"operation\":\"vector_add\",\"array_a\":[1,2,3],\"array_b\":[4,5,6]}";

static void check(const struct bench *bench, const char *what, int status) {
    if (status != 0)
        bench_fail(bench, "%s: %d", what, status);
}

static void trips(struct bench *bench, const char *what, size_t count, void (*once)(const struct bench *, void *), void *with,
                  const char *target, double limit_us) {
    double *took_us = malloc(count * sizeof *took_us);
    struct bench_stats stats;

    if (!took_us)
        bench_fail(bench, "no memory");
    once(bench, with);
    for (size_t i = 0; i < count; i++) {
        uint64_t begun_ns = bench_now_ns();

        once(bench, with);
        took_us[i] = (double)(bench_now_ns() - begun_ns) / 1e3;
    }
    bench_stats(took_us, count, &stats);
    bench_row(bench, what, stats.median, stats.p05, stats.p95, "us", target, limit_us > 0 ? bench_judge(stats.median, limit_us) : BENCH_SHOWN);
    free(took_us);
}

/* --- the bare transport ----------------------------------------------------------------------------------- */

struct bare {
    struct divvy_wire_ring_pipe pipe;
    uint8_t *bytes; /* of a copy */
    uint64_t size;
    pid_t other;
};

/*
 * Answers requests of 8 bytes: 0 ends, else so many bytes follow, which it copies out, and 8 bytes go back. Or, with the highest
 * bit set, so many bytes go back.
 */
static void __attribute__((noreturn)) other_side(void *shared, int stream, uint64_t room) {
    struct divvy_wire_ring_pipe pipe = {.stream_fd = stream, .is_socket = true};
    uint8_t *buffer = calloc(1, room);
    uint64_t request;

    if (!buffer || divvy_wire_ring_attach(shared, SHARED_BYTES, 1, &pipe.ring) < 0)
        _exit(2);
    divvy_wire_ring_pipe_init(&pipe);
    while (divvy_wire_ring_pipe_read(&pipe, &request, sizeof request) == (ssize_t)sizeof request && request != 0) {
        uint64_t size = request & INT64_MAX, there = 0;

        if (request >> 63) {
            if (divvy_wire_ring_pipe_write(&pipe, buffer, size) < 0)
                _exit(3);
            continue;
        }
        while (there < size) {
            ssize_t got = divvy_wire_ring_pipe_read(&pipe, buffer + there, size - there);

            if (got < 0)
                _exit(3);
            there += (uint64_t)got;
        }
        if (divvy_wire_ring_pipe_write(&pipe, &request, sizeof request) < 0)
            _exit(3);
    }
    _exit(request == 0 ? 0 : 3);
}

static void bare_receive(const struct bench *bench, struct bare *bare, void *buffer, uint64_t size) {
    uint64_t there = 0;

    while (there < size) {
        ssize_t got = divvy_wire_ring_pipe_read(&bare->pipe, (uint8_t *)buffer + there, size - there);

        check(bench, "the bare transport", got < 0 ? (int)got : 0);
        there += (uint64_t)got;
    }
}

static void bare_in(const struct bench *bench, void *with) {
    struct bare *bare = with;
    uint64_t word = bare->size;

    check(bench, "the bare transport", divvy_wire_ring_pipe_write(&bare->pipe, &word, sizeof word));
    check(bench, "the bare transport", divvy_wire_ring_pipe_write(&bare->pipe, bare->bytes, bare->size));
    bare_receive(bench, bare, &word, sizeof word);
}

static void bare_out(const struct bench *bench, void *with) {
    struct bare *bare = with;
    uint64_t word = bare->size | UINT64_C(1) << 63;

    check(bench, "the bare transport", divvy_wire_ring_pipe_write(&bare->pipe, &word, sizeof word));
    bare_receive(bench, bare, bare->bytes, bare->size);
}

static void bare_start(const struct bench *bench, struct bare *bare, uint64_t room) {
    uint8_t *shared = mmap(NULL, SHARED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int pair[2];

    bare->bytes = calloc(1, room);
    if (shared == MAP_FAILED || !bare->bytes || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        bench_fail(bench, "no shared memory");
    check(bench, "no ring", divvy_wire_ring_create(shared, SHARED_BYTES, 1, &bare->pipe.ring));
    bare->other = fork();
    if (bare->other == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        other_side(shared, pair[1], room);
    }
    if (bare->other < 0)
        bench_fail(bench, "no second process");
    bare->pipe.stream_fd = pair[0];
    bare->pipe.is_socket = true;
    divvy_wire_ring_pipe_init(&bare->pipe);
}

static void bare_end(const struct bench *bench, struct bare *bare) {
    const uint64_t bye = 0;
    int status;

    check(bench, "the bare transport", divvy_wire_ring_pipe_write(&bare->pipe, &bye, sizeof bye));
    if (waitpid(bare->other, &status, 0) != bare->other || status != 0)
        bench_fail(bench, "the other side ended with status %d", status);
    free(bare->bytes);
}

/* --- worker, relay, client ---------------------------------------------------------------------------------- */

struct chain {
    pid_t worker, relay;
    char folder[64];
    struct divvy_client *client;
    uint64_t address, size;
    char *out, *back;
};

static void socket_wait(const struct bench *bench, const char *path, pid_t pid, const char *what) {
    uint64_t deadline_ns = bench_now_ns() + START_NS;

    while (access(path, F_OK) < 0) {
        if (bench_now_ns() > deadline_ns || waitpid(pid, NULL, WNOHANG) != 0)
            bench_fail(bench, "%s does not start", what);
        bench_sleep_until_ns(bench_now_ns() + 20000000);
    }
}

static void chain_start(const struct bench *bench, struct chain *chain) {
    const struct bench_limits limits = {.preload = true, .bytes = UINT64_C(4) << 30}, none = {.preload = false};
    char worker[96], socket[96], lock[96], vm[256], address[96];
    int status;
    const char *worker_arguments[] = {"--no-daemon", "--socket", worker, NULL};
    const char *relay_arguments[] = {"--worker", worker, "--vm", vm, "--state=", "--admin=", "--quiet", "--lock", lock, NULL};

    (void)snprintf(chain->folder, sizeof chain->folder, "/tmp/divvy-bench-ring-XXXXXX");
    if (!mkdtemp(chain->folder))
        bench_fail(bench, "no folder");
    (void)snprintf(worker, sizeof worker, "%s/worker", chain->folder);
    (void)snprintf(lock, sizeof lock, "%s/lock", chain->folder);
    (void)snprintf(socket, sizeof socket, "%s/ring.sock", chain->folder);
    (void)snprintf(address, sizeof address, "shm:%s/ring", chain->folder);
    (void)snprintf(vm, sizeof vm, "A=%s,shm=%s/ring,size=%llu", socket, chain->folder, (unsigned long long)SHARED_BYTES);
    chain->worker = bench_start(bench, &limits, "divvy-worker", worker_arguments, NULL);
    socket_wait(bench, worker, chain->worker, "the worker");
    chain->relay = bench_start(bench, &none, "divvy-relay", relay_arguments, NULL);
    socket_wait(bench, socket, chain->relay, "the relay");
    /* The socket's name is there a moment before anybody listens. */
    for (uint64_t deadline_ns = bench_now_ns() + START_NS; (status = divvy_client_open(address, 20000, &chain->client)) < 0;) {
        if (bench_now_ns() > deadline_ns) {
            (void)kill(chain->relay, SIGTERM);
            (void)kill(chain->worker, SIGTERM);
            bench_fail(bench, "open: %d", status);
        }
        bench_sleep_until_ns(bench_now_ns() + 20000000);
    }
}

static void chain_end(const struct bench *bench, struct chain *chain) {
    static const char *const names[] = {"worker", "lock", "ring.sock", "ring"};

    divvy_client_close(chain->client);
    (void)kill(chain->relay, SIGTERM);
    bench_finish(bench, chain->relay, "divvy-relay");
    (void)kill(chain->worker, SIGTERM);
    bench_finish(bench, chain->worker, "divvy-worker");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[96];

        (void)snprintf(path, sizeof path, "%s/%s", chain->folder, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(chain->folder);
    free(chain->out);
    free(chain->back);
}

static void empty_once(const struct bench *bench, void *with) {
    const struct chain *chain = with;

    check(bench, "ping", divvy_client_ping(chain->client, "01234567", 8));
}

static void job_once(const struct bench *bench, void *with) {
    const struct chain *chain = with;
    char *answer;
    size_t length;

    check(bench, "job", divvy_client_job(chain->client, job, sizeof job - 1, &answer, &length));
    if (!strstr(answer, "[5, 7, 9]"))
        bench_fail(bench, "a wrong answer: %s", answer);
    free(answer);
}

static void chain_in(const struct bench *bench, void *with) {
    const struct chain *chain = with;

    check(bench, "copy", divvy_client_copy_in(chain->client, chain->address, chain->out, chain->size, 0));
    check(bench, "wait", divvy_client_context_sync(chain->client));
}

static void chain_out(const struct bench *bench, void *with) {
    const struct chain *chain = with;

    check(bench, "copy", divvy_client_copy_out(chain->client, chain->address, chain->size, 0, chain->back));
}

/* The same by turns, bare and whole, so that both see the same machine. */
static void bulk(struct bench *bench, const char *what, uint64_t size, void (*bare_once)(const struct bench *, void *), struct bare *bare,
                 void (*chain_once)(const struct bench *, void *), struct chain *chain) {
    double bare_gbs[ROUNDS], chain_gbs[ROUNDS], percent[ROUNDS];
    struct bench_stats stats;
    char text[80];

    bare_once(bench, bare); /* pages are there before anything is timed */
    chain_once(bench, chain);
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t begun_ns = bench_now_ns();

        bare_once(bench, bare);
        bare_gbs[i] = (double)size / (double)(bench_now_ns() - begun_ns);
        begun_ns = bench_now_ns();
        chain_once(bench, chain);
        chain_gbs[i] = (double)size / (double)(bench_now_ns() - begun_ns);
        percent[i] = 100 * chain_gbs[i] / bare_gbs[i];
    }
    bench_stats(bare_gbs, ROUNDS, &stats);
    (void)snprintf(text, sizeof text, "%s, bare", what);
    bench_row(bench, text, stats.median, stats.min, stats.max, "GB/s", "", BENCH_SHOWN);
    bench_stats(chain_gbs, ROUNDS, &stats);
    (void)snprintf(text, sizeof text, "%s", what);
    bench_row(bench, text, stats.median, stats.min, stats.max, "GB/s", "", BENCH_SHOWN);
    bench_stats(percent, ROUNDS, &stats);
    (void)snprintf(text, sizeof text, "%s, of the bare", what);
    bench_row(bench, text, stats.median, stats.min, stats.max, "%", ">= 50", stats.median >= 50 ? BENCH_MET : BENCH_MISSED);
}

int main(int argc, char **argv) {
    struct bare bare = {.size = 8};
    struct chain chain = {.size = 0};
    struct bench bench;
    uint64_t context, size;

    bench_open(&bench, argc, argv, "ring", BENCH_SIM, "A GPU through memory that a client shares with a relay, beside bare memory.");
    size = bench.quick ? UINT64_C(4) << 20 : UINT64_C(256) << 20;
    bare_start(&bench, &bare, size);
    trips(&bench, "8 bytes there and back, bare", bench.quick ? 500 : 50000, bare_in, &bare, "", 0);
    chain_start(&bench, &chain);
    trips(&bench, "empty request, shared memory", bench.quick ? 200 : 10000, empty_once, &chain, "", 0);
    trips(&bench, "3-element add, shared memory", bench.quick ? 200 : 10000, job_once, &chain, "<= 30", JOB_US);
    chain.size = bare.size = size;
    chain.out = malloc(size);
    chain.back = calloc(1, size);
    if (!chain.out || !chain.back)
        bench_fail(&bench, "no memory");
    for (uint64_t i = 0; i < size; i++)
        chain.out[i] = (char)(i * 37 + (i >> 16));
    check(&bench, "context", divvy_client_context_primary(chain.client, 0, &context));
    check(&bench, "memory", divvy_client_memory_allocate(chain.client, size, &chain.address));
    bulk(&bench, "copies to the GPU", size, bare_in, &bare, chain_in, &chain);
    bulk(&bench, "copies from the GPU", size, bare_out, &bare, chain_out, &chain);
    if (memcmp(chain.out, chain.back, size) != 0)
        bench_fail(&bench, "what came back is not what was sent");
    chain_end(&bench, &chain);
    bare_end(&bench, &bare);
    return bench_close(&bench);
}
