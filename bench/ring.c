/*
 * Messages through the ring in shared memory, between two processes: the time of a small message there and back, and how
 * fast bulk goes one way. Target: 30 us for a round trip of the ring; half of what memcpy does for bulk.
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
#include <sys/wait.h>
#include <unistd.h>

#include "wire/ring/ring.h"

#define SHARED_BYTES (UINT64_C(16) << 20)
#define CHUNK_BYTES  (UINT32_C(1) << 19) /* below a quarter of a direction, the most that a message may have */
#define BYE          UINT32_MAX

static uint8_t buffer[CHUNK_BYTES];

static void __attribute__((noreturn)) die(const char *what, int status) {
    (void)fprintf(stderr, "ring: %s: %s\n", what, strerror(-status));
    _exit(1);
}

/* Looks again and again; lets others run in between, for machines with fewer cores than processes. */
static uint32_t receive(struct divvy_wire_ring *ring, uint32_t *ret_size) {
    uint32_t tag;
    int status;

    for (unsigned int looks = 1; (status = divvy_wire_ring_receive(ring, buffer, sizeof buffer, &tag, ret_size)) == -EAGAIN; looks++)
        if (looks % 1024 == 0)
            (void)sched_yield();
    if (status < 0)
        die("receive", status);
    return tag;
}

static void send(struct divvy_wire_ring *ring, uint32_t tag, uint32_t size) {
    bool wake;
    int status;

    for (unsigned int looks = 1; (status = divvy_wire_ring_send(ring, tag, buffer, size, &wake)) == -EAGAIN; looks++)
        if (looks % 1024 == 0)
            (void)sched_yield();
    if (status < 0)
        die("send", status);
}

/* Answers small messages, swallows big ones but for the last of a series (tag 1), ends at BYE. */
static void other_side(void *shared) {
    struct divvy_wire_ring ring;
    uint32_t size, tag;

    if (divvy_wire_ring_attach(shared, SHARED_BYTES, DIVVY_WIRE_RING_GUEST, &ring) < 0)
        _exit(2);
    while ((tag = receive(&ring, &size)) != BYE)
        if (tag == 1)
            send(&ring, 1, 8);
    _exit(0);
}

static void round_trips(struct bench *bench, struct divvy_wire_ring *ring, size_t count) {
    double *took_us = calloc(count, sizeof *took_us);
    struct bench_stats stats;
    uint32_t size;

    if (!took_us)
        bench_fail(bench, "no memory");
    for (size_t i = 0; i < count; i++) {
        uint64_t begun_ns = bench_now_ns();

        send(ring, 1, 8);
        (void)receive(ring, &size);
        took_us[i] = (double)(bench_now_ns() - begun_ns) / 1e3;
    }
    bench_stats(took_us, count, &stats);
    bench_row(bench, "8 bytes there and back", stats.median, stats.p05, stats.p95, "us", "<= 30", bench_judge(stats.median, 30));
    free(took_us);
}

static double bulk_gb(struct divvy_wire_ring *ring, unsigned int chunks) {
    uint64_t begun_ns = bench_now_ns();
    uint32_t size;

    for (unsigned int i = 1; i <= chunks; i++)
        send(ring, i == chunks, CHUNK_BYTES);
    (void)receive(ring, &size);
    return (double)chunks * CHUNK_BYTES / (double)(bench_now_ns() - begun_ns);
}

/* The bare transport: the two copies that a message takes, in memory of the same size. */
static double copies_gb(uint8_t *shared, unsigned int chunks) {
    uint64_t begun_ns = bench_now_ns();

    for (unsigned int i = 0; i < chunks; i++) {
        memcpy(shared + (uint64_t)(i % 8) * CHUNK_BYTES, buffer, CHUNK_BYTES);
        memcpy(buffer, shared + (uint64_t)(i % 8) * CHUNK_BYTES, CHUNK_BYTES);
    }
    return (double)chunks * CHUNK_BYTES / (double)(bench_now_ns() - begun_ns);
}

int main(int argc, char **argv) {
    struct bench bench;
    struct divvy_wire_ring ring;
    uint8_t *shared;
    unsigned int chunks;
    double ring_gb, bare_gb;
    int status;
    pid_t pid;

    bench_open(&bench, argc, argv, "ring", BENCH_STUB, "Messages through a ring in shared memory, between two processes.");
    chunks = bench.quick ? 64 : 4096;
    shared = mmap(NULL, SHARED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        bench_fail(&bench, "no shared memory");
    memset(shared, 1, SHARED_BYTES); /* pages are there before anything is timed */
    bare_gb = copies_gb(shared, chunks);
    if (divvy_wire_ring_create(shared, SHARED_BYTES, &ring) < 0)
        bench_fail(&bench, "no ring");
    pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* it spins: it must not outlive a bench that fails */
        other_side(shared);
    }
    if (pid < 0)
        bench_fail(&bench, "no second process");
    round_trips(&bench, &ring, bench.quick ? 1000 : 200000);
    ring_gb = bulk_gb(&ring, chunks);
    bench_row(&bench, "bulk one way, 512 KiB messages", ring_gb, ring_gb, ring_gb, "GB/s", "", BENCH_SHOWN);
    bench_row(&bench, "of two bare copies", 100 * ring_gb / bare_gb, 100 * ring_gb / bare_gb, 100 * ring_gb / bare_gb, "%",
              ">= 50", ring_gb >= bare_gb / 2 ? BENCH_MET : BENCH_MISSED);
    send(&ring, BYE, 0);
    if (waitpid(pid, &status, 0) != pid || status != 0)
        bench_fail(&bench, "the other side ended with status %d", status);
    return bench_close(&bench);
}
